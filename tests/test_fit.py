"""Laws of the training: what it maximises, what it respects, and that it repeats itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.cells import Cells
from cortado.errors import ConfigError, TrainingError
from cortado.models import GaussianMixture
from cortado.models.tensorflow import tf
from cortado.objectives import Asimov, MinBackground, MinEffectiveEvents, Yields, array_namespace
from cortado.sample import Sample
from cortado.training import Cosine, Exponential, fit
from cortado.training.starts import partition_start

FLOOR = 10.0
OBJECTIVE = Asimov(toys.SIGNALS) + MinBackground(FLOOR)


@pytest.fixture(scope="module")
def events() -> dict[str, toys.ToyEvents]:
    return toys.three_class(seed=3, n_signal=10_000, n_background=100_000)


@pytest.fixture(scope="module")
def sample(events: dict[str, toys.ToyEvents]) -> Sample:
    arrays = {name: (e.scores, np.full(len(e.scores), 1.0) * e.weight) for name, e in events.items()}
    return Sample.from_arrays(arrays, "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def result(sample: Sample) -> ct.FitResult:
    return fit(GaussianMixture(5), sample, OBJECTIVE, seed=1, starts=2, steps=150)


def model_near(sample: Sample, n_categories: int, seed: int = 0) -> GaussianMixture:
    """A mixture set near a partition of the sample."""
    model = GaussianMixture(n_categories)
    start = partition_start(sample.points(), OBJECTIVE, n_categories, np.random.default_rng(seed))
    model.initialise(start.points, start.category, start.importance)
    return model


def background(yields: Yields) -> Any:
    return yields.total(toys.BACKGROUNDS)


def test_learned_categories_beat_the_largest_score(sample: Sample, result: ct.FitResult) -> None:
    baseline = ct.categorizer.argmax_projections(sample.features, 5)
    assert baseline is not None
    held_out = toys.three_class(seed=4, n_signal=10_000, n_background=100_000)

    def significance(categorizer: ct.Categorizer) -> float:
        sums = np.stack(
            [
                np.bincount(
                    categorizer(e.scores),
                    weights=np.full(len(e.scores), 1.0) * e.weight,
                    minlength=categorizer.n_categories,
                )
                for e in held_out.values()
            ]
        )
        return OBJECTIVE.value(Yields(tuple(held_out), sums, sums, sums))

    assert significance(result.categorizer) > 1.4 * significance(baseline)


def test_every_category_meets_the_floors(sample: Sample) -> None:
    objective = Asimov(toys.SIGNALS) + MinBackground(25.0) + MinEffectiveEvents(150.0)
    trained = fit(GaussianMixture(8), sample, objective, seed=2, starts=1, steps=100)
    assert background(trained.training).min() >= 25.0
    assert not objective.shortfall(trained.training).any()


def test_the_result_holds_what_its_categorizer_does(sample: Sample, result: ct.FitResult) -> None:
    for folds, yields in (([0], result.training), ([1], result.held_out)):
        points = sample.points(folds)
        again = points.yields(result.categorizer.rule.assign(points.place), result.categorizer.n_categories)
        assert yields is not None
        np.testing.assert_array_equal(again.sumw, yields.sumw)
    assert result.categorizer.training is not None
    assert result.categorizer.training.objective == OBJECTIVE.value(result.training)


def test_held_out_events_do_not_matter(sample: Sample) -> None:
    short: dict[str, Any] = {"seed": 1, "starts": 1, "steps": 20}
    both = fit(GaussianMixture(4), sample, OBJECTIVE, **short)
    halved = Sample(sample.features, 2, sample.cells.select(lambda s: s.fold == 0))
    training_only = fit(GaussianMixture(4), halved, OBJECTIVE, **short)
    assert both.categorizer.rule == training_only.categorizer.rule


def test_same_seed_same_categories_however_the_sample_was_summed(sample: Sample) -> None:
    short: dict[str, Any] = {"seed": 5, "starts": 2, "steps": 40}
    rng = np.random.default_rng(0)
    cells = sample.cells
    # Summing in another order changes the last bits.
    noisy = Cells(
        cells.sources,
        cells.source,
        cells.key,
        cells.sums * (1 + 1e-15 * rng.standard_normal(cells.sums.shape)),
        cells.count,
    )
    again = Sample(sample.features, sample.n_folds, noisy)
    first, second = (fit(GaussianMixture(5), s, OBJECTIVE, **short).categorizer for s in (sample, again))
    assert first.rule == second.rule
    assert (
        fit(GaussianMixture(5), sample, OBJECTIVE, seed=6, starts=2, steps=40).categorizer.rule != first.rule
    )


def test_categories_are_ordered_by_significance(result: ct.FitResult) -> None:
    shares = [z2 / z2.sum() for z2 in Asimov(toys.SIGNALS).per_category(result.training).values()]
    assert (np.diff(np.sum(shares, axis=0)) >= 0).all()


def test_categories_of_one_discriminant_are_ordered_by_position() -> None:
    events = toys.one_dimensional(seed=1, n_signal=5_000, n_background=20_000)
    arrays = {name: (e.scores, np.full(len(e.scores), 1.0) * e.weight) for name, e in events.items()}
    trained = fit(
        GaussianMixture(4),
        Sample.from_arrays(arrays, "logit"),
        Asimov("signal1") + MinBackground(FLOOR),
        starts=1,
        steps=100,
    )
    category = trained.categorizer(np.linspace(0.001, 0.999, 500)[:, None])
    positions = [np.flatnonzero(category == k).mean() for k in np.unique(category)]
    assert (np.diff(positions) > 0).all()


def test_frozen_rule_is_the_argmax_of_the_model(sample: Sample) -> None:
    model = model_near(sample, 6)
    points = sample.points()
    soft = np.asarray(model.memberships(tf.constant(points.place), tf.constant(1.0, tf.float64)))
    np.testing.assert_allclose(soft.sum(axis=1), 1.0, atol=1e-12)
    top = np.sort(soft, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-9
    assert clear.mean() > 0.999
    np.testing.assert_array_equal(model.freeze().assign(points.place)[clear], soft.argmax(axis=1)[clear])


def test_fast_log_densities_are_those_of_the_distribution(sample: Sample) -> None:
    model = model_near(sample, 4)
    points = sample.points().coarsened(500)
    mixture = model.distribution()
    z = (points.place - model.location) / model.scale
    expected = np.asarray(mixture.components_distribution.log_prob(z[:, None, :]))
    expected = expected + np.log(np.asarray(mixture.mixture_distribution.probs_parameter()))
    fast = np.asarray(model.log_densities(tf.constant(points.place)))
    # The fast form leaves out the constant −(d/2) log 2π.
    np.testing.assert_allclose(fast - np.log(2 * np.pi), expected, rtol=1e-9, atol=1e-9)


def test_temperature_reaches_the_traced_graph(sample: Sample) -> None:
    model = model_near(sample, 4)
    place = tf.constant(sample.points().coarsened(500).place)
    traced = tf.function(model.memberships)
    hardness = [
        float(tf.reduce_mean(tf.reduce_max(traced(place, tf.constant(1 / t, tf.float64)), axis=1)))
        for t in (1000.0, 1.0, 0.1, 0.001)
    ]
    assert hardness == sorted(hardness)
    assert hardness[0] < 0.3  # four categories, nearly equal
    assert hardness[-1] > 0.99
    assert traced.experimental_get_tracing_count() == 1


def test_gradients_match_finite_differences(sample: Sample) -> None:
    model = model_near(sample, 3)
    points = sample.points().coarsened(300)
    sumw, sumw2 = tf.constant(points.sumw), tf.constant(points.sumw2)
    count = tf.constant(points.count.astype(np.float64))

    def objective() -> Any:
        soft = model.memberships(tf.constant(points.place), tf.constant(2.0, tf.float64))
        return OBJECTIVE(Yields(points.processes, sumw @ soft, sumw2 @ soft, count @ soft))

    with tf.GradientTape() as tape:
        value = objective()
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(value, model.trainable_variables), strict=True
    ):
        original = variable.numpy()
        numerical = np.zeros_like(original)
        for index in np.ndindex(original.shape):
            shifted = []
            for step in (1e-5, -1e-5):
                moved = original.copy()
                moved[index] += step
                variable.assign(moved)
                shifted.append(float(objective()))
            numerical[index] = (shifted[0] - shifted[1]) / 2e-5
        variable.assign(original)
        np.testing.assert_allclose(gradient.numpy(), numerical, rtol=1e-5, atol=1e-8)


def test_a_plain_function_is_an_objective(sample: Sample) -> None:
    def purity(yields: Yields) -> Any:
        signal = yields.total(("signal1",))
        total = yields.total(yields.processes)
        return array_namespace(total).sum(signal**2 / (total + 10.0))

    trained = fit(GaussianMixture(3), sample, purity, starts=1, steps=30)
    assert trained.categorizer.n_categories >= 2
    assert np.isfinite(trained.objective.value(trained.training))


def test_progress_is_told(sample: Sample) -> None:
    told: list[tuple[int, int, float | None]] = []
    fit(GaussianMixture(3), sample, OBJECTIVE, starts=2, steps=20, progress=lambda *args: told.append(args))
    assert [done for done, _, _ in told] == [10, 20, 30, 40]
    assert {total for _, total, _ in told} == {40}
    best = [value for _, _, value in told if value is not None]
    assert best == sorted(best)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": Asimov("signal3")}, ["signal3", "bkg1"]),
        ({"steps": 0}, ["steps", "at least 1", "0"]),
        ({"starts": -1}, ["starts", "at least 1", "-1"]),
        ({"held_out": [0, 1]}, ["held_out", "not all", "[0, 1]"]),
        ({"held_out": [7]}, ["held_out", "0 … 1", "[7]"]),
    ],
)
def test_bad_arguments(sample: Sample, change: dict[str, Any], words: list[str]) -> None:
    arguments: dict[str, Any] = {"objective": OBJECTIVE} | change
    with pytest.raises(ConfigError) as error:
        fit(GaussianMixture(3), sample, **arguments)
    for word in words:
        assert word in str(error.value)


def test_one_category_is_no_categorisation() -> None:
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        GaussianMixture(1)


def test_floors_that_nothing_meets_are_an_error(sample: Sample) -> None:
    with pytest.raises(TrainingError, match=r"MinBackground\(20000\).*lower the floors"):
        fit(GaussianMixture(3), sample, Asimov(toys.SIGNALS) + MinBackground(20_000.0), starts=1, steps=20)


def test_an_objective_that_is_never_finite_is_an_error(sample: Sample) -> None:
    def nothing(yields: Yields) -> Any:
        return yields.sumw[0][0] * np.nan

    with pytest.raises(TrainingError, match="not finite in any start"):
        fit(GaussianMixture(3), sample, nothing, starts=2, steps=20)


@pytest.mark.parametrize("schedule", [Exponential(2.0, 0.1), Cosine(2.0, 0.1)])
def test_schedules_go_from_first_to_last(schedule: Callable[[float], float]) -> None:
    values = [schedule(x) for x in np.linspace(0, 1, 11)]
    assert values[0] == pytest.approx(2.0)
    assert values[-1] == pytest.approx(0.1)
    assert values == sorted(values, reverse=True)


def test_many_cells_make_no_difference_to_repeatability() -> None:
    # On thousands of cells several threads share every sum, and must not add in an order of their own.
    events = toys.three_class(seed=9, n_signal=20_000, n_background=100_000)
    arrays = {name: (e.scores, np.full(len(e.scores), 1.0) * e.weight) for name, e in events.items()}
    sample = Sample.from_arrays(arrays, "logratio", names=toys.SCORES, n_folds=1)
    digests = {
        fit(GaussianMixture(8), sample, OBJECTIVE, starts=1, steps=60, max_cells=20_000).categorizer.digest
        for _ in range(3)
    }
    assert len(digests) == 1
