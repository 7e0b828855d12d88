"""Yields per process and category: what every objective is a function of."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Yields:
    """Sums over the events of P processes in K categories, as numpy arrays or TensorFlow tensors.

    Attributes
    ----------
    processes
        Names of the P processes.
    sumw, sumw2
        (P, K) Σw and Σw².
    count
        (P, K) number of simulated events.
    signals
        The processes that are signals; every other one is background.
    """

    processes: tuple[str, ...]
    sumw: Any
    sumw2: Any
    count: Any
    signals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.signals if name not in self.processes]:
            raise ConfigError(f"signals {unknown} are not among the processes {list(self.processes)}")

    def total(self, names: tuple[str, ...], what: str = "sumw") -> Any:
        """(K,) sum of ``what`` ("sumw", "sumw2" or "count") over the named processes; 0 if there are none."""
        if unknown := [name for name in names if name not in self.processes]:
            raise ConfigError(f"{unknown} are not among the processes {list(self.processes)}")
        table = getattr(self, what)
        xp = array_namespace(table)
        # One product: gradients of rows taken one by one are added in an order that changes from run to run.
        mask = xp.asarray([[float(name in names) for name in self.processes]], dtype=np.float64)
        return xp.matmul(mask, table if what != "count" else xp.asarray(table, dtype=np.float64))[0]

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The processes that are not signals."""
        return tuple(name for name in self.processes if name not in self.signals)


def array_namespace(array: Any) -> Any:
    """The module whose functions act on ``array``: numpy, or TensorFlow's numpy interface for its tensors.

    TensorFlow is looked up, never imported: an array of its can only exist where it is loaded already.
    """
    if isinstance(array, np.ndarray | np.generic | float | int):
        return np
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.is_tensor(array):
        raise TypeError(f"yields must be numpy arrays or TensorFlow tensors, got {type(array).__name__}")
    return tensorflow.experimental.numpy
