"""Nuisance parameters by the names of their variations: ``jes`` is behind ``jesUp`` and ``jesDown``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SIDES = ("Up", "Down")


def nuisances_of(variations: Iterable[str]) -> tuple[str, ...]:
    """The nuisance parameters behind variations, in the order in which they first appear.

    Raises ``InputError`` if the name of a variation ends in neither Up nor Down, or is nothing else.
    """
    found: dict[str, None] = {}
    for variation in variations:
        nuisance = next((variation.removesuffix(side) for side in _SIDES if variation.endswith(side)), "")
        if not nuisance:
            raise InputError(
                f"the name of a variation must be that of a nuisance parameter with {' or '.join(_SIDES)} "
                f"at its end, got {variation!r}"
            )
        found[nuisance] = None
    return tuple(found)


def sides_of(nuisance: str, variations: Iterable[str]) -> tuple[str, str]:
    """The names of the up and the down variation of a nuisance parameter.

    Raises ``InputError`` if neither is among the ``variations`` that there are.
    """
    up, down = (f"{nuisance}{side}" for side in _SIDES)
    known = set(variations)
    if not known & {up, down}:
        there = sorted({v.removesuffix(side) for v in known for side in _SIDES if v.endswith(side)})
        raise InputError(
            f"nuisance parameter {nuisance!r} has no variation {up!r} or {down!r}; there are those of {there}"
        )
    return up, down


def both_sides(nominal: Floats, sides: Floats, present: Bools) -> Floats:
    """(2, P, n) Σw of the up and the down variation of P processes, from those that there are.

    A process with neither is not affected: both are its ``nominal`` Σw (P, n). Where one of ``sides``
    (2, P, n) is not ``present`` (2, P), it is the mirror image of the other, 2 · nominal − other. (coffea's
    ``Weights`` mirrors the factor of each event to 1/factor, which is the same to first order, and hands
    over both variations. Sums know no factors, and the ratio of two that fluctuate would be biased.)
    """
    mirrored = 2 * nominal - sides[::-1]
    alone = np.where(present[::-1, :, None], mirrored, nominal)
    return np.where(present[:, :, None], sides, alone)
