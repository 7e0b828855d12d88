"""Nuisance parameters by the names of their variations: ``jes`` is behind ``jesUp`` and ``jesDown``."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from itertools import groupby
from operator import add

import numpy as np
import numpy.typing as npt

from cortado.cells import NOMINAL, SUMW, Cells, Source
from cortado.errors import InputError

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_SIDES = ("Up", "Down")


def checked_variation(name: str) -> str:
    """The name of a variation, "nominal" or that of a side of a nuisance parameter; else ``InputError``."""
    if name != NOMINAL:
        nuisance_of(name)
    return name


def nuisance_of(variation: str) -> str:
    """The nuisance parameter that a variation is a side of.

    Raises ``InputError`` if its name ends in neither Up nor Down, or is nothing else.
    """
    name = str(variation)
    nuisance = next((name.removesuffix(side) for side in _SIDES if name.endswith(side)), "")
    if not nuisance:
        raise InputError(
            f"the name of a variation must be that of a nuisance parameter with {' or '.join(_SIDES)} "
            f"at its end, got {variation!r}"
        )
    return nuisance


def nuisances_of(variations: Iterable[str]) -> tuple[str, ...]:
    """The nuisance parameters behind variations, in the order in which they first appear; none is nominal's.

    Raises ``InputError`` if a name is not that of a variation.
    """
    return tuple(dict.fromkeys(nuisance_of(v) for v in variations if v != NOMINAL))


def sides_of(nuisance: str, variations: Iterable[str]) -> tuple[str, str]:
    """The names of the up and the down variation of a nuisance parameter.

    Raises ``InputError`` if neither is among the ``variations`` that there are.
    """
    up, down = both_names(nuisance)
    known = set(variations)
    if not known & {up, down}:
        raise InputError(
            f"nuisance parameter {nuisance!r} has no variation {up!r} or {down!r}; "
            f"there are those of {sorted(nuisances_of(known))}"
        )
    return up, down


def both_names(nuisance: str) -> tuple[str, str]:
    """The names of the up and the down variation of a nuisance parameter."""
    up, down = (f"{nuisance}{side}" for side in _SIDES)
    return up, down


def other_side(variation: str) -> str:
    """The name of the variation to the other side of the same nuisance parameter."""
    (other,) = (name for name in both_names(nuisance_of(variation)) if name != variation)
    return other


def mirror_image(nominal: Floats, other: Floats) -> Floats:
    """Σw of a side that is missing, from the nominal Σw and that of the other side: 2 · nominal − other."""
    return 2 * nominal - other


def both_sides(nominal: Floats, sides: Floats, present: Bools) -> Floats:
    """(2, P, n) Σw of the up and the down variation of P processes, from those that there are.

    A process with neither is not affected: both are its ``nominal`` Σw (P, n). Where one of ``sides``
    (2, P, n) is not ``present`` (2, P), it is the mirror image of the other, 2 · nominal − other. (coffea's
    ``Weights`` mirrors the factor of each event to 1/factor, which is the same to first order, and hands
    over both variations. Sums know no factors, and the ratio of two that fluctuate would be biased.)
    """
    alone = np.where(present[::-1, :, None], mirror_image(nominal, sides[::-1]), nominal)
    return np.where(present[:, :, None], sides, alone)


def mirrored(cells: Cells) -> frozenset[Source]:
    """The variations that :func:`completed` makes of the other side: channel, dataset and variation."""
    return frozenset(
        Source(dataset, channel, variation)
        for (channel, dataset), there in _variations(cells).items()
        for nuisance in nuisances_of(there)
        for variation in both_names(nuisance)
        if variation not in there
    )


def completed(cells: Cells, process: Mapping[str, str]) -> Cells:
    """Cells in which every dataset has all variations that its ``process`` has in the channel.

    What is not there would be missing in the sum of the datasets. A dataset with neither side of a nuisance
    parameter is not affected by it: both are its nominal sums. Where one side is missing, it is the mirror
    image of the other, as of :func:`both_sides`, with Σw² and the number of events of the nominal sums.
    """
    there = _variations(cells)
    nuisances: dict[tuple[str, str], set[str]] = {}
    for (channel, dataset), variations in there.items():
        nuisances.setdefault((channel, process[dataset]), set()).update(nuisances_of(variations))
    parts = [
        _missing_sides(cells, channel, dataset, sorted(nuisances[channel, process[dataset]]), variations)
        for (channel, dataset), variations in there.items()
    ]
    return reduce(add, parts, cells)


def _variations(cells: Cells) -> dict[tuple[str, str], set[str]]:
    """The variations that each (channel, dataset) has."""
    by_place = sorted((s.channel, s.dataset, s.variation) for s in cells.sources)
    return {place: {v for *_, v in group} for place, group in groupby(by_place, key=lambda s: s[:2])}


def _missing_sides(
    cells: Cells, channel: str, dataset: str, nuisances: Collection[str], there: Collection[str]
) -> Cells:
    """The variations that a dataset lacks of some nuisance parameters in a channel."""
    lacking = [v for nuisance in nuisances for v in both_names(nuisance) if v not in there]
    empty = cells.select(lambda _: False)
    if not lacking:
        return empty
    own = cells.select(lambda s: (s.channel, s.dataset) == (channel, dataset))
    nominal = own.select(lambda s: s.variation == NOMINAL)
    return reduce(add, (_made(own, nominal, variation) for variation in lacking), empty)


def _made(own: Cells, nominal: Cells, variation: str) -> Cells:
    """A variation of a dataset that has the other side of it, or none."""
    other = other_side(variation)
    opposite = own.select(lambda s: s.variation == other)
    if not opposite.sources:
        return _named(nominal, variation)
    twice, minus = nominal.sums.copy(), np.zeros_like(opposite.sums)
    twice[:, SUMW] *= 2
    minus[:, SUMW] = -opposite.sums[:, SUMW]
    reflected = replace(opposite, sums=minus, count=np.zeros_like(opposite.count))
    return _named(replace(nominal, sums=twice), variation) + _named(reflected, variation)


def _named(cells: Cells, variation: str) -> Cells:
    return cells.relabel(lambda s: s._replace(variation=variation))
