"""What a quick training of the toys has led to: a table, so that no change makes it worse unseen."""

from __future__ import annotations

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.exact import optimal_boundaries
from cortado.objectives import Yields
from cortado.training import FitResult

K = 4

# Objective on 20 000 background events and 4000 of each signal that were trained on, and on the same number
# of others, and how many categories met the floors. Other machines round differently: categories can differ
# by some cells.
LEARNED = {
    "one score": (1.9625, 1.7341, 4),
    "three classes": (0.5731, 0.5479, 4),
    "more noise": (0.4096, 0.4244, 4),
    "rarer signals": (0.3831, 0.3948, 4),
    "similar signals": (1.0088, 0.9864, 4),
    "four classes": (1.0321, 1.1186, 4),
    "five classes": (0.9654, 0.9467, 4),
    "two observables": (3.3274, 3.3041, 4),
    "scores and mass": (1.8281, 1.8304, 4),
}

# Of the best intervals of the toy with one score, for every number of them, B ≥ 10, on the same events.
EXACT = (0.3099875, 1.678261, 1.916032, 1.961471, 1.973836, 1.984500, 1.991280, 1.996970)


def floored(member: toys.Toy) -> ct.objectives.Objective:
    return ct.Asimov(member.signals) + ct.MinBackground(10.0) + ct.MinEffectiveEvents(10.0)


def sample_of(member: toys.Toy, seed: int) -> ct.Sample:
    events = toys.arrays(member.events(seed, 4000, 20_000))
    return ct.Sample.from_arrays(events, member.coordinates, names=member.names, n_folds=1)


def learned(member: toys.Toy) -> tuple[FitResult, float]:
    sample = sample_of(member, seed=1)
    result = ct.fit(ct.GaussianMixture(K), sample, floored(member), seed=1, starts=1, steps=60)
    category = result.categorizer
    test = member.events(2, 4000, 20_000)
    k = category.n_categories
    sumw, sumw2, count = (
        np.stack([np.bincount(category(e.scores), e.weight**n, k) for e in test.values()]) for n in (1, 2, 0)
    )
    return result, floored(member).value(Yields(tuple(test), sumw, sumw2, count))


@pytest.mark.parametrize("member", toys.FAMILY, ids=lambda member: member.name)
def test_learned_categories(member: toys.Toy) -> None:
    result, test = learned(member)
    training, expected, n_categories = LEARNED[member.name]
    assert result.categorizer.n_categories == n_categories
    assert floored(member).value(result.training) == pytest.approx(training, rel=0.01)
    assert test == pytest.approx(expected, rel=0.01)


def test_best_intervals() -> None:
    points = sample_of(toys.FAMILY[0], seed=1).points()
    exact = optimal_boundaries(points, ct.Asimov("signal1") + ct.MinBackground(10.0), len(EXACT))
    assert [binning.value for binning in exact.binnings] == pytest.approx(EXACT, rel=1e-5)
