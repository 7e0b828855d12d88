"""What the benchmarks train for: toys by name, their objective, and yields of hard categories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

import cortado as ct
from cortado import toys
from cortado.objectives import Objective, Yields

FLOOR = 10.0
TEST_SEED = 1000


def toy_named(name: str) -> toys.Toy:
    """A toy of the family."""
    return {toy.name: toy for toy in toys.FAMILY}[name]


def objective_of(toy: toys.Toy) -> Objective:
    """Geometric mean over the signals, with the floors that a job has by default."""
    return ct.Asimov(toy.signals) + ct.MinBackground(FLOOR) + ct.MinEffectiveEvents(10.0)


def yields_of(
    weight: Mapping[str, npt.NDArray[np.float64]], category: Mapping[str, npt.NDArray[np.integer]], n: int
) -> Yields:
    """Yields of whole events in n hard categories, per process from weights and categories; float64."""
    sums = [
        np.stack([np.bincount(category[p], w**power, n) for p, w in weight.items()]) for power in (1, 2, 0)
    ]
    return Yields(tuple(weight), sums[0], sums[1], sums[2])


def dimensions_of(toy: toys.Toy) -> int:
    """How many of the scores gato-hep learns in: all but the last of several, whose sum is 1."""
    return max(1, len(toy.names) - 1)


def write_events(
    file: Path, events: Mapping[str, tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]]
) -> None:
    """Scores and weights by process, as all processes of a benchmark read them."""
    columns = {f"{process}/scores": scores for process, (scores, _) in events.items()}
    columns |= {f"{process}/weight": weight for process, (_, weight) in events.items()}
    np.savez(file, allow_pickle=False, **columns)
