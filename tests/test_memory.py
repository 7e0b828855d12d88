"""Memory of large arrays is used again once nothing refers to it, and not before."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cortado.memory import integers

LARGE = 600_000  # 4.8 MB
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere arrays are numpy's own")


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@on_linux
def test_memory_is_used_again_after_the_last_view_is_gone() -> None:
    array = integers(LARGE)
    where, view = address(array), array[5:10].view(np.float64).reshape(5, 1)
    del array
    assert address(integers(LARGE)) != where
    view[:] = 1.0
    del view
    assert address(integers(LARGE - 100)) == where


@on_linux
def test_arrays_in_use_never_share_memory() -> None:
    arrays = [integers(LARGE + i) for i in range(5)]
    for i, array in enumerate(arrays):
        array[:] = i
    del arrays[2]
    arrays.append(integers(LARGE))
    arrays[-1][:] = 9
    assert [int(a.min()) for a in arrays] == [int(a.max()) for a in arrays] == [0, 1, 3, 4, 9]


def test_small_arrays_are_numpys_own() -> None:
    assert integers(10).base is None
