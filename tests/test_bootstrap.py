"""Replicas of yields have the moments of the simulation; overtraining is told from fluctuations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado.errors import ConfigError
from cortado.objectives import (
    Asimov,
    Overtraining,
    Yields,
    as_objective,
    bootstrap,
    overtraining,
    simulation_uncertainty,
)
from cortado.objectives.bootstrap import _effective_events

PROCESSES = ("sig", "bkg")
OBJECTIVE = as_objective(Asimov("sig"))
EDGES = np.linspace(-1.0, 1.5, 4)


def yields_of(sumw, sumw2, count=None) -> Yields:
    sumw, sumw2 = np.array(sumw, float), np.array(sumw2, float)
    return Yields(PROCESSES, sumw, sumw2, np.ones_like(sumw) if count is None else np.array(count))


def replicas_of(yields: Yields, n: int, seed: int = 0) -> list[Yields]:
    """The yields that a function is given."""
    seen: list[Yields] = []

    def function(replica: Yields) -> float:
        seen.append(replica)
        return float(len(seen))

    values = bootstrap(function, yields, rng=np.random.default_rng(seed), n_replicas=n)
    assert values.tolist() == list(range(1, n + 1))
    return seen


def toy_events(rng, n_signal=4_000, n_background=20_000, spread=0.0):
    """Per process the value and weight of each event; weights vary by a factor exp(± spread)."""
    events = {}
    for name, n, mean, total in (("sig", n_signal, 1.0, 10.0), ("bkg", n_background, -0.5, 300.0)):
        weight = total / n * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
        events[name] = (rng.normal(mean, 1, n), weight)
    return events


def equidistant(events, multiplicity=None) -> Yields:
    """Yields in categories that know nothing of the events, each counted so many times."""
    table = []
    for name, (x, w) in events.items():
        n = np.ones(len(w)) if multiplicity is None else multiplicity[name]
        category = np.digitize(x, EDGES)
        table.append([np.bincount(category, weights=n * w**p, minlength=len(EDGES) + 1) for p in (1, 2, 0)])
    return Yields(PROCESSES, *np.array(table).transpose(1, 0, 2))


def halves(events, rng, share=0.5):
    """The yields of a random share of the events and of the others, at the full luminosity."""
    first = {name: rng.uniform(size=len(w)) < share for name, (_, w) in events.items()}
    parts = []
    for chosen, part in ((first, share), ({name: ~mask for name, mask in first.items()}, 1 - share)):
        parts.append({p: (x[chosen[p]], w[chosen[p]] / part) for p, (x, w) in events.items()})
    return equidistant(parts[0]), equidistant(parts[1])


# --- moments ------------------------------------------------------------------------------------------------

# (Σw, Σw², whether events of one weight can have these sums)
SUMS = {
    "one event": (0.3, 0.09, True),
    "one event, rounded": (0.3, 0.09 * (1 + 1e-7), True),
    "few events": (3.0, 2.0, True),
    "many events": (250.0, 10.0, True),
    "countless events": (1e8, 1.0, False),
    "signs cancel": (0.5, 3.0, False),
    "nothing left": (0.0, 4.0, False),
    "negative": (-2.0, 1.0, False),
    "no uncertainty": (7.0, 0.0, False),
    "negative, no uncertainty": (-7.0, 0.0, False),
    "empty": (0.0, 0.0, False),
}


@pytest.mark.parametrize(("sumw", "sumw2", "poisson"), SUMS.values(), ids=SUMS)
def test_replicas_have_the_mean_and_the_variance_of_the_simulation(sumw, sumw2, poisson):
    n = 10_000
    replicas = replicas_of(yields_of([[sumw], [sumw]], [[sumw2], [sumw2]], [[12], [12]]), n)
    values = np.array([r.sumw[0, 0] for r in replicas])
    kurtosis = sumw2 / sumw**2 if poisson else 0.0
    assert abs(values.mean() - sumw) <= 5 * math.sqrt(sumw2 / n)
    assert values.var() == pytest.approx(sumw2, rel=5 * math.sqrt((2 + kurtosis) / n), abs=1e-12)
    factors = np.array([[r.sumw2[0, 0] / (sumw2 or 1.0), r.count[0, 0] / 12] for r in replicas])
    if poisson:
        np.testing.assert_allclose(values / sumw, factors[:, 0], rtol=1e-12)
        np.testing.assert_allclose(values / sumw, factors[:, 1], rtol=1e-12)
        events = values / (sumw2 / sumw)
        np.testing.assert_allclose(events, np.rint(events), atol=1e-9)
        assert values.min() >= 0
    else:
        assert np.all(factors == (float(sumw2 > 0), 1.0))


def test_processes_and_categories_fluctuate_independently():
    n = 5_000
    replicas = replicas_of(yields_of([[4.0, 9.0], [0.1, 5.0]], [[2.0, 1.0], [1.0, 5.0]]), n)
    correlation = np.corrcoef(np.array([r.sumw.ravel() for r in replicas]).T)
    assert np.abs(correlation - np.eye(4)).max() < 5 / math.sqrt(n)


@given(
    weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30),
    dtype=st.sampled_from([float, np.float32]),
)
def test_positive_weights_never_make_a_yield_negative(weights, dtype):
    w = np.array(weights)
    sums = [np.array([[s]], dtype).astype(float) for s in (w.sum(), (w**2).sum())]
    effective = _effective_events(*sums)
    assert 1 - 1e-5 < effective.item() < len(weights) * (1 + 1e-5)


@given(sumw=st.floats(-1e200, 1e200), sumw2=st.floats(0, 1e300))
def test_whatever_the_sums_replicas_are_finite(sumw, sumw2):
    for replica in replicas_of(yields_of([[sumw], [1.0]], [[sumw2], [1.0]]), 2):
        assert np.isfinite(replica.sumw).all()
        assert np.isfinite(replica.sumw2).all()


def test_replicas_have_the_names_of_the_yields_which_stay():
    yields = Yields(PROCESSES, np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3), np.int64), ("sig",))
    replicas = replicas_of(yields, 3)
    assert all(r.processes == PROCESSES and r.signals == ("sig",) for r in replicas)
    assert all(np.all(getattr(yields, name) == 1) for name in ("sumw", "sumw2", "count"))


# --- against other ways -------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["geometric", "quadrature", "sum"])
def test_many_events_spread_as_the_first_order_says(combine):
    processes = ("ggH", "qqH", "DY")
    sumw = np.array([[2.0, 5.0, 9.0], [1.0, 3.0, 0.5], [80.0, 40.0, 20.0]])
    yields = Yields(processes, sumw, sumw * np.array([0.01, 0.005, 0.02])[:, None], sumw)
    function = as_objective(Asimov(["ggH", "qqH"], combine)).value
    replicas = bootstrap(function, yields, rng=np.random.default_rng(1), n_replicas=3000)
    assert replicas.std() == pytest.approx(simulation_uncertainty(function, yields), rel=0.06)
    assert replicas.mean() == pytest.approx(function(yields), abs=0.2 * replicas.std())


@pytest.mark.parametrize("spread", [0.0, 1.0], ids=["equal weights", "weights"])
def test_replicas_of_yields_spread_like_replicas_of_events(spread):
    rng = np.random.default_rng(2)
    events = toy_events(rng, 1_000, 5_000, spread)
    of_events = [
        OBJECTIVE.value(equidistant(events, {p: rng.poisson(1.0, len(w)) for p, (_, w) in events.items()}))
        for _ in range(1000)
    ]
    of_yields = bootstrap(OBJECTIVE.value, equidistant(events), rng=rng, n_replicas=1000)
    assert of_yields.std() == pytest.approx(np.std(of_events), rel=0.1)
    assert of_yields.mean() == pytest.approx(np.mean(of_events), abs=0.15 * float(np.std(of_events)))


# --- overtraining -------------------------------------------------------------------------------------------

# (difference, standard deviation, significance, whether it is significant)
CASES = {
    "none": (0.0, 0.1, 0.0, False),
    "some": (0.3, 0.2, 1.5, False),
    "limit": (0.75, 0.25, 3.0, False),
    "significant": (0.8, 0.25, 3.2, True),
    "better on held-out events": (-8.0, 2.0, -4.0, False),
    "certain": (0.1, 0.0, math.inf, True),
    "certainly not": (-0.1, 0.0, -math.inf, False),
    "exact": (0.0, 0.0, 0.0, False),
}


@pytest.mark.parametrize(("difference", "deviation", "expected", "significant"), CASES.values(), ids=CASES)
def test_overtraining_is_a_difference_of_more_than_three_deviations(
    difference, deviation, expected, significant
):
    found = Overtraining(difference, deviation)
    assert found.significance == pytest.approx(expected)
    assert found.is_significant is significant


def test_the_deviation_of_a_difference_is_that_of_both_parts():
    training, held_out = (
        yields_of([[30.0], [50.0]], [[3.0], [2.0]]),
        yields_of([[25.0], [50.0]], [[1.0], [0.0]]),
    )

    def difference(yields: Yields) -> float:
        return float(yields.sumw[0, 0] - yields.sumw[1, 0])

    found = overtraining(difference, training, held_out, n_replicas=5000)
    assert found.difference == 5.0
    assert found.standard_deviation == pytest.approx(math.sqrt(3.0 + 2.0 + 1.0), rel=0.05)


@pytest.mark.parametrize(("share", "spread"), [(0.5, 0.0), (0.8, 0.7)], ids=["halves", "five folds, weights"])
def test_categories_that_were_not_trained_show_no_more_than_fluctuations(share, spread):
    pulls = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        parts = halves(toy_events(rng, spread=spread), rng, share)
        pulls.append(overtraining(OBJECTIVE.value, *parts, seed=seed, n_replicas=50).significance)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(len(pulls))
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / math.sqrt(2 * len(pulls)))


def test_categories_that_know_the_training_events_by_heart_are_found_out():
    """Two thousand cells, each in the category that its few training events ask for."""
    rng = np.random.default_rng(3)
    cells = 2_000
    tables = rng.poisson([[[2.0]], [[4.0]]], (2, 2, cells)).transpose(1, 0, 2)  # (part, process, cell)
    category = (tables[0, 0] > tables[0, 1]).astype(int)
    parts = [np.array([np.bincount(category, weights=row) for row in table]) for table in tables]
    training, held_out = (Yields(PROCESSES, t, t, t) for t in parts)
    assert overtraining(OBJECTIVE.value, training, held_out).is_significant
    assert not overtraining(OBJECTIVE.value, held_out, training).is_significant


def test_the_same_seed_gives_the_same_result():
    rng = np.random.default_rng(4)
    parts = halves(toy_events(rng, 500, 1000), rng)
    first, again, other = (
        overtraining(OBJECTIVE.value, *parts, seed=seed, n_replicas=20) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.difference == other.difference
    assert first.standard_deviation != other.standard_deviation


@pytest.mark.parametrize("n_replicas", [-1, 0, 1])
def test_a_deviation_needs_two_replicas(n_replicas):
    yields = yields_of([[1.0], [1.0]], [[1.0], [1.0]])
    with pytest.raises(ConfigError, match=rf"^n_replicas must be at least 2, got {n_replicas}$"):
        overtraining(OBJECTIVE.value, yields, yields, n_replicas=n_replicas)
