"""Laws of a training's result: what it maximises, what it respects, and that it repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.categorizer.rules import GaussianMixtureRule, GridRule, MaxAffineRule
from cortado.cells import Cells
from cortado.exact import best_split, optimal_boundaries, unbinned_limit
from cortado.folds import fold_of
from cortado.models import GaussianMixture, MaxAffine, Model, SigmoidCuts
from cortado.objectives import (
    Asimov,
    MinBackground,
    MinEffectiveEvents,
    Objective,
    Yields,
    array_namespace,
    as_objective,
)
from cortado.points import Points
from cortado.sample import Sample
from cortado.training import Exponential, TrainingWarning, fit
from cortado.training.order import ordered_rule

FLOOR = 10.0
OBJECTIVE = Asimov(toys.SIGNALS) + MinBackground(FLOOR)
ONE_SIGNAL = Asimov("signal1") + MinBackground(FLOOR)
QUICK: dict[str, Any] = {"seed": 1, "starts": 1, "steps": 30, "smoothing": False}

Arrays = dict[str, tuple[Any, Any]]


def summed(arrays: Arrays, **options: Any) -> Sample:
    return Sample.from_arrays(arrays, "logratio", names=toys.SCORES, **options)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return dict(toys.arrays(toys.three_class(seed=5, n_signal=2_000, n_background=20_000)))


@pytest.fixture(scope="module")
def sample(arrays: Arrays) -> Sample:
    return summed(arrays)


@pytest.fixture(scope="module")
def large() -> Sample:
    return summed(dict(toys.arrays(toys.three_class(seed=3, n_signal=10_000, n_background=100_000))))


@pytest.fixture(scope="module")
def result(large: Sample) -> ct.FitResult:
    return fit(GaussianMixture(5), large, OBJECTIVE, seed=1, starts=2, steps=80)


@pytest.fixture(scope="module")
def line() -> Sample:
    events = toys.one_dimensional(seed=1, n_signal=50_000, n_background=300_000)
    return Sample.from_arrays(toys.arrays(events), "logit", n_folds=1)


def background(yields: Yields) -> Any:
    return yields.total(toys.BACKGROUNDS)


def test_learned_categories_beat_the_largest_score(large: Sample, result: ct.FitResult) -> None:
    baseline = ct.categorizer.argmax_projections(large.features, 5)
    assert baseline is not None
    held_out = toys.three_class(seed=4, n_signal=10_000, n_background=100_000)

    def significance(categorizer: ct.Categorizer) -> float:
        k = categorizer.n_categories
        sums = np.stack([np.bincount(categorizer(e.scores), e.weight, k) for e in held_out.values()])
        return OBJECTIVE.value(Yields(tuple(held_out), sums, sums, sums))

    assert significance(result.categorizer) > 1.4 * significance(baseline)


def test_every_category_meets_the_floors(large: Sample) -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0) + MinEffectiveEvents(150.0)
    trained = fit(GaussianMixture(8), large, objective, seed=2, starts=1, steps=60)
    assert background(trained.training).min() >= 25.0
    assert not objective.shortfall(trained.training).any()


def test_the_best_of_all_starts_and_steps_is_kept(result: ct.FitResult) -> None:
    met = [step.hard for step in result.history if not step.shortfall]
    assert OBJECTIVE.value(result.training) == pytest.approx(max(met), rel=1e-12)
    assert {step.start for step in result.history} == {0, 1}


def test_a_further_start_never_makes_it_worse(sample: Sample) -> None:
    values = []
    for starts in (1, 3):
        trained = fit(GaussianMixture(4), sample, OBJECTIVE, **QUICK | {"starts": starts})
        values.append(OBJECTIVE.value(trained.training))
    assert values[1] >= values[0]


def test_the_result_holds_what_its_categorizer_does(large: Sample, result: ct.FitResult) -> None:
    for folds, yields in (([0], result.training), ([1], result.held_out)):
        points = large.points(folds)
        again = points.yields(result.categorizer.rule.assign(points.place), result.categorizer.n_categories)
        assert yields is not None
        np.testing.assert_array_equal(again.sumw, yields.sumw)
    record = result.categorizer.training
    assert record is not None
    assert record.objective == OBJECTIVE.value(result.training)
    assert (record.signals, record.processes) == (toys.SIGNALS, large.processes)
    assert (record.folds, record.n_folds, record.seed) == ((0,), 2, 1)
    assert record.sample == large.digest
    assert [e.events for e in record.expected] == ["training cells", "held-out cells"]
    for expected, yields in zip(record.expected, (result.training, result.held_out), strict=True):
        assert yields is not None
        assert expected.yields == {
            p: tuple(row) for p, row in zip(yields.processes, yields.sumw, strict=True)
        }
        assert expected.significances == OBJECTIVE.terms[0].each(OBJECTIVE.prepared(yields))  # type: ignore[attr-defined]
        assert expected.objective == OBJECTIVE.value(yields)
    assert str(result).startswith(f"{result.categorizer.n_categories} categories")


def test_the_result_says_what_it_reaches_of_the_limit(large: Sample, result: ct.FitResult) -> None:
    assert result.limit == unbinned_limit(large, OBJECTIVE)
    assert result.one_more == best_split(large, OBJECTIVE, result.categorizer.rule)
    assert result.held_out is not None
    least, most = (100 * f for f in result.limit.fraction(OBJECTIVE.value(result.held_out)))
    reached = f"{least:.1f} to {most:.1f}" if least > 0 else f"at most {most:.1f}"
    assert f"reach {reached} % of that (held-out cells)" in str(result)


@pytest.mark.parametrize("initialisation", ["partition", "random"])
def test_same_seed_same_categories(sample: Sample, initialisation: str) -> None:
    options = QUICK | {"initialisation": initialisation, "steps": 20}
    first, again, other = (
        fit(GaussianMixture(3), sample, OBJECTIVE, **options | {"seed": seed}) for seed in (5, 5, 6)
    )
    assert first.categorizer == again.categorizer
    assert repr(first.history) == repr(again.history)
    assert first.categorizer.rule != other.categorizer.rule


def test_held_out_events_do_not_matter(sample: Sample) -> None:
    both = fit(GaussianMixture(4), sample, OBJECTIVE, **QUICK)
    halved = Sample(sample.features, 2, sample.cells.select(lambda s: s.fold == 0))
    training_only = fit(GaussianMixture(4), halved, OBJECTIVE, **QUICK)
    assert both.categorizer.rule == training_only.categorizer.rule
    assert both.held_out is not None
    assert both.overtraining is not None
    assert training_only.held_out is None
    assert training_only.overtraining is None


# Raw cells of few events: the categories follow them.
@pytest.mark.filterwarnings("ignore::cortado.training.OvertrainingWarning")
def test_the_folds_held_out_are_the_ones_asked_for(sample: Sample) -> None:
    trained = fit(GaussianMixture(3), sample, OBJECTIVE, held_out=[0], **QUICK)
    assert trained.categorizer.training is not None
    assert trained.categorizer.training.folds == (1,)
    everything = fit(GaussianMixture(3), sample, OBJECTIVE, held_out=[], **QUICK)
    assert everything.held_out is None
    np.testing.assert_allclose(
        everything.training.sumw.sum(axis=1), sample.points().sumw.sum(axis=1), rtol=1e-6
    )


def test_same_categories_however_the_sample_was_summed(arrays: Arrays, sample: Sample) -> None:
    rng = np.random.default_rng(0)
    cells = sample.cells
    # Summing in another order changes the last bits.
    noise = 1 + 1e-15 * rng.standard_normal(cells.sums.shape)
    noisy = replace(
        sample, cells=Cells(cells.sources, cells.source, cells.key, cells.sums * noise, cells.count)
    )
    shuffled = {}
    for process, (x, w) in reversed(arrays.items()):
        order = rng.permutation(len(x))
        shuffled[process] = (x[order], w[order])
    first, *others = (
        fit(GaussianMixture(4), s, OBJECTIVE, **QUICK).categorizer for s in (sample, noisy, summed(shuffled))
    )
    assert [other.rule == first.rule for other in others] == [True, True]


def test_many_cells_make_no_difference_to_repeatability() -> None:
    # On thousands of cells several threads share every sum, and must not add in an order of their own.
    events = toys.three_class(seed=9, n_signal=20_000, n_background=100_000)
    sample = summed(dict(toys.arrays(events)), n_folds=1)
    digests = {
        fit(GaussianMixture(6), sample, OBJECTIVE, max_cells=20_000, **QUICK).categorizer.digest
        for _ in range(3)
    }
    assert len(digests) == 1


def test_names_of_processes_do_not_matter(arrays: Arrays) -> None:
    other = dict(zip(toys.PROCESSES, ["zeta", "eta", "ny", "my", "xi", "alpha", "beta"], strict=True))
    ids = {process: np.arange(len(w)) for process, (_, w) in arrays.items()}
    named = summed(arrays, event_ids=ids)
    renamed = summed(
        {other[p]: a for p, a in arrays.items()}, event_ids={other[p]: i for p, i in ids.items()}
    )
    objective = Asimov([other[s] for s in toys.SIGNALS]) + MinBackground(FLOOR)
    first = fit(GaussianMixture(3), named, OBJECTIVE, **QUICK)
    second = fit(GaussianMixture(3), renamed, objective, **QUICK)
    # Sums over backgrounds in another order differ in the last bits, which steps of a training enlarge.
    x = np.concatenate([x for x, _ in arrays.values()])
    assert (first.categorizer(x) == second.categorizer(x)).mean() > 0.999


def test_an_event_or_two_of_half_its_weight_are_worth_the_same(arrays: Arrays) -> None:
    plain = as_objective(Asimov(toys.SIGNALS))
    ids = {process: np.arange(len(w)) for process, (_, w) in arrays.items()}
    whole = summed(arrays, event_ids=ids)
    halves = summed(
        {p: (np.concatenate([x, x]), np.concatenate([w, w]) / 2) for p, (x, w) in arrays.items()},
        event_ids={p: np.concatenate([i, i]) for p, i in ids.items()},
    )
    rule = fit(GaussianMixture(3), whole, plain, **QUICK).categorizer.rule
    values = [plain.value(p.yields(rule.assign(p.place), 3)) for p in (whole.points([0]), halves.points([0]))]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    # Training sees the size of the simulation, but comes to categories of much the same worth.
    again = fit(GaussianMixture(3), halves, plain, **QUICK)
    assert plain.value(again.training) == pytest.approx(values[0], rel=0.1)


@pytest.mark.parametrize("model", [GaussianMixture(3), SigmoidCuts([2, 2])], ids=lambda m: type(m).__name__)
def test_events_of_negative_weight_are_taken(arrays: Arrays, model: Model) -> None:
    rng = np.random.default_rng(1)
    signed = {p: (x, w * np.where(rng.random(len(w)) < 0.15, -1.0, 1.0)) for p, (x, w) in arrays.items()}
    trained = fit(model, summed(signed), OBJECTIVE, **QUICK | {"smoothing": True})
    assert background(trained.training).min() >= FLOOR
    assert all(np.isfinite([s.soft, s.hard]).all() for s in trained.history)


@pytest.mark.parametrize("model", [GaussianMixture(4), SigmoidCuts(4)], ids=lambda m: type(m).__name__)
def test_categories_of_one_discriminant_are_ordered_by_position(line: Sample, model: Model) -> None:
    trained = fit(model, line, ONE_SIGNAL, **QUICK)
    category = trained.categorizer(np.linspace(0.001, 0.999, 500)[:, None])
    positions = [np.flatnonzero(category == k).mean() for k in np.unique(category)]
    assert len(positions) > 1
    assert (np.diff(positions) > 0).all()


def test_a_tail_without_events_goes_to_its_neighbour(line: Sample) -> None:
    # The wide component is the most probable one on either side of the narrow ones.
    rule = GaussianMixtureRule(
        weights=(0.4, 0.3, 0.3),
        means=((-3.0,), (1.0,), (3.0,)),
        covariances=(((9.0,),), ((0.3,),), ((0.3,),)),
    )
    u = line.points().place
    assert list(rule.boundaries().categories) == [0, 1, 2, 0]
    beyond = rule.boundaries().edges[-1]
    known = replace(line.points(), place=np.minimum(u, beyond - 0.1))
    ordered = ordered_rule(rule, known, ONE_SIGNAL)
    assert ordered.assign(np.array([[beyond - 0.1], [beyond + 0.1], [1e6]])).tolist() == [2, 2, 2]
    np.testing.assert_array_equal(ordered.assign(known.place), rule.assign(known.place))


def test_categories_are_ordered_by_significance(result: ct.FitResult) -> None:
    shares = [z2 / z2.sum() for z2 in Asimov(toys.SIGNALS).per_category(result.training).values()]
    assert (np.diff(np.sum(shares, axis=0)) >= 0).all()


def test_empty_categories_are_left_out(line: Sample, sample: Sample) -> None:
    cuts = GridRule(edges=((-50.0, -40.0, -1.0, 1.0, 60.0),))
    ordered = ordered_rule(cuts, line.points(), ONE_SIGNAL)
    assert ordered.n_categories == 3
    points = sample.points()
    slopes = ((1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, 0.0))
    affine = MaxAffineRule(slopes=slopes, offsets=(0.0, -1e6, 0.0, 0.5), exponential=(False, False))
    merged = ordered_rule(affine, points, OBJECTIVE)
    before, after = affine.assign(points.place), merged.assign(points.place)
    assert (affine.n_categories, merged.n_categories) == (4, 3)
    for k in range(3):
        assert len(np.unique(before[after == k])) == 1


def test_the_model_is_left_in_the_state_of_the_result(line: Sample) -> None:
    model = GaussianMixture(3)
    result = fit(model, line, ONE_SIGNAL, **QUICK | {"starts": 3})
    assert result.categorizer.n_categories == 3
    u = line.points().place
    own = line.points().yields(model.categories(u), 3)
    assert ONE_SIGNAL.value(own) == pytest.approx(ONE_SIGNAL.value(result.training))


def test_a_plain_function_is_an_objective(sample: Sample) -> None:
    def purity(yields: Yields) -> Any:
        signal = yields.total(("signal1",))
        total = yields.total(yields.processes)
        return array_namespace(total).sum(signal**2 / (total + 10.0))

    trained = fit(GaussianMixture(3), sample, purity, **QUICK)
    assert trained.categorizer.n_categories >= 2
    assert trained.objective.value(trained.training) == purity(trained.training)
    assert trained.limit is None
    assert trained.one_more is None
    assert "categories reach" not in str(trained)
    assert str(trained).splitlines()[-1].startswith("No limit: objective must be an Asimov, ")


def test_factors_for_categories_keep_their_order_and_number(line: Sample) -> None:
    # Sigmoid cuts number categories upwards: a factor makes the lowest category, or the highest, useless.
    worst = 1e6
    points = line.points()
    for factors in ([worst, 1.0, 1.0], [1.0, 1.0, worst]):
        objective = Asimov("signal1").with_scales({tuple(toys.BACKGROUNDS): factors})
        trained = fit(SigmoidCuts(3), line, objective, **QUICK)
        rule = trained.categorizer.rule
        assert rule.n_categories == 3
        category = rule.assign(points.place)
        assert (np.diff(category[np.argsort(points.place[:, 0], kind="stable")]) >= 0).all()
        value = objective.value(points.yields(category, 3))
        assert value == pytest.approx(objective.value(trained.training))
        assert value == pytest.approx(max(s.hard for s in trained.history))


def test_more_on_training_than_on_held_out_events_is_a_warning(arrays: Arrays) -> None:
    ids = {process: np.arange(len(w)) for process, (_, w) in arrays.items()}
    moved = {}
    for process, (x, w) in arrays.items():
        held_out = fold_of(ids[process], len(x), 2) == 1
        # In the held-out fold signals look like one background.
        like = np.resize(arrays["bkg1"][0], x.shape)
        chosen = held_out & (process in toys.SIGNALS)
        moved[process] = (np.where(chosen[:, None], like, x), w)
    with pytest.warns(
        TrainingWarning, match="training .* exceeds .* held-out .* standard deviations"
    ) as told:
        trained = fit(GaussianMixture(4), summed(moved, event_ids=ids), OBJECTIVE, **QUICK)
    assert len(told) == 1
    assert told[0].filename == __file__
    compared = trained.overtraining
    assert compared is not None
    assert trained.held_out is not None
    difference = OBJECTIVE.value(trained.training) - OBJECTIVE.value(trained.held_out)
    assert compared.difference == pytest.approx(difference)
    assert compared.significance > 3
    assert compared.is_significant


def test_training_and_held_out_events_of_one_kind_agree(result: ct.FitResult) -> None:
    assert result.overtraining is not None
    assert result.overtraining.standard_deviation > 0
    assert abs(result.overtraining.significance) < 3


def best_intervals(points: Points, trained: ct.FitResult) -> float:
    """The best objective of as many intervals with as much background in the smallest."""
    least = background(trained.training).min()
    exact = optimal_boundaries(
        points, Asimov("signal1") + MinBackground(least * (1 - 1e-6)), trained.categorizer.n_categories
    )
    return exact.best(trained.categorizer.n_categories).value


@pytest.mark.parametrize("k", [3, 5, 10])
@pytest.mark.parametrize("kind", [SigmoidCuts, GaussianMixture], ids=["cuts", "mixture"])
def test_one_discriminant_is_divided_as_well_as_can_be(line: Sample, kind: type[Any], k: int) -> None:
    trained = fit(kind(k), line, ONE_SIGNAL, seed=1, starts=2, steps=100)
    best = best_intervals(line.points(), trained)
    found = ONE_SIGNAL.value(trained.training)
    assert trained.categorizer.n_categories == k
    # The best is made of groups of cells, which a boundary may divide; and a category of a mixture can be
    # what lies on both sides of another: then it may be a little better.
    assert 0.997 * best < found < (1.001 if kind is SigmoidCuts else 1.003) * best


def test_random_starts_lead_near_the_best_cuts(line: Sample) -> None:
    trained = fit(
        SigmoidCuts(3),
        line,
        ONE_SIGNAL,
        seed=1,
        starts=2,
        steps=100,
        initialisation="random",
        learning_rate=Exponential(0.03, 0.001),
        temperature=Exponential(1.0, 0.05),
    )
    assert ONE_SIGNAL.value(trained.training) > 0.95 * best_intervals(line.points(), trained)


def resonance(n: int = 20_000, far: bool = False) -> Sample:
    """A score and a mass, with a signal at 900 ± 60; one background event may have a mass of 100 000."""
    rng = np.random.default_rng(1)
    signal = np.column_stack([rng.normal(1, 1, n), rng.normal(900, 60, n)])
    falling = np.column_stack([rng.normal(-1, 1, n), 200 + rng.exponential(400, n)])
    falling[0] = (0.0, 1e5 if far else 500.0)
    arrays = {"signal1": (signal, np.full(n, 60 / n)), "bkg1": (falling, np.full(n, 6000 / n))}
    return Sample.from_arrays(arrays, names=["score", "mass"], n_folds=1)


def best_grid_of_a_coordinate_search(points: Points, objective: Objective, bins: tuple[int, int]) -> float:
    """The largest objective of categories that meet the floors; boundaries are moved one at a time.

    They lie at quantiles of the signals; the search is begun six times.
    """
    rng = np.random.default_rng(0)
    signal = points.sumw[[points.processes.index(name) for name in objective.signals]].sum(axis=0)
    levels, column = np.linspace(0, 1, 27)[1:-1], []
    for place in points.place.T:
        order = np.argsort(place)
        quantiles = np.interp(levels, np.cumsum(signal[order]) / signal.sum(), place[order])
        column.append(np.searchsorted(quantiles, place))

    def value(edges: list[Any]) -> float:
        parts = [np.searchsorted(np.sort(e), c) for e, c in zip(edges, column, strict=True)]
        yields = points.yields(np.ravel_multi_index(parts, bins), bins[0] * bins[1])
        kept = objective.shortfall(yields) == 0
        return objective.value(
            Yields(yields.processes, yields.sumw[:, kept], yields.sumw2[:, kept], yields.count[:, kept])
        )

    ends = []
    for _ in range(6):
        edges = [rng.integers(len(levels), size=n - 1) for n in bins]
        best, before = value(edges), -np.inf
        while best > before:
            before = best
            for along in edges:
                for i in range(len(along)):
                    kept = along[i]
                    for place in range(len(levels)):
                        along[i] = place
                        if (found := value(edges)) > best:
                            best, kept = found, place
                    along[i] = kept
        ends.append(best)
    return max(ends)


@pytest.mark.parametrize("toy", ["resonance", "three classes"])
def test_cuts_of_two_coordinates_are_as_good_as_a_coordinate_search(toy: str, large: Sample) -> None:
    # With fewer events the search would find their fluctuations, which training does not follow.
    given, objective = (
        (resonance(200_000), Asimov("signal1") + MinBackground(10.0))
        if toy == "resonance"
        else (large, OBJECTIVE)
    )
    trained = fit(SigmoidCuts((3, 3)), given, objective, seed=1, starts=1, steps=40)
    cells = given.points([0]).coarsened(2500)
    assert objective.value(trained.training) > 0.98 * best_grid_of_a_coordinate_search(
        cells, objective, (3, 3)
    )


@pytest.mark.parametrize(
    "make",
    [lambda: GaussianMixture(6), lambda: MaxAffine(6), lambda: SigmoidCuts((3, 3))],
    ids=["mixture", "affine", "cuts"],
)
def test_one_far_event_costs_nothing(make: Callable[[], Model]) -> None:
    objective = Asimov("signal1") + MinBackground(2.0)
    near, far = (
        objective.value(fit(make(), resonance(far=f), objective, **QUICK | {"seed": 3, "steps": 60}).training)
        for f in (False, True)
    )
    assert far > 0.9 * near


def test_a_result_on_coarse_cells_says_so() -> None:
    toy = next(t for t in toys.FAMILY if t.name == "five classes")
    arrays = toys.arrays(toy.events(seed=1, n_signal=1000, n_background=5000))
    sample = Sample.from_arrays(arrays, toy.coordinates, names=toy.names)
    result = fit(GaussianMixture(3), sample, Asimov(toy.signals), seed=1, starts=1, steps=20)
    assert "fit(events=…) goes on with the events" in str(result)
