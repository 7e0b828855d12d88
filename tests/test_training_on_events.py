"""Laws of training on events: exact gradients in blocks of any size, and the rules of every training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.categorizer.rules import GridRule
from cortado.errors import ConfigError, TrainingError
from cortado.event_sample import EventSample
from cortado.models import GaussianMixture, MaxAffine, Model, SigmoidCuts
from cortado.models.tensorflow import keras, tf
from cortado.objectives import Asimov, MinBackground, MinEvents, Objective, Yields, as_objective
from cortado.sample import Sample
from cortado.shares import Shares, shares_of
from cortado.training import Constant, Exponential, FitResult, Step, TrainingWarning, fit
from cortado.training.blocks import Here, Kernel, Shape, shares_at
from cortado.training.loop import Trainer
from cortado.training.on_events import Events, EventTrainer
from cortado.training.starts import random_start

OBJECTIVE = Asimov(toys.SIGNALS) + MinBackground(10.0)
QUICK: dict[str, Any] = {"seed": 1, "starts": 2, "steps": 20, "evaluate_every": 10, "smoothing": False}
ON_EVENTS: dict[str, Any] = QUICK | {"event_steps": 20}

Arrays = dict[str, tuple[Any, Any]]
Make = Callable[[], Model]


class Network(Model):
    """A model of a user's, whose layer waits for its first input."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self.layer = keras.layers.Dense(
            n_categories, kernel_initializer=keras.initializers.RandomNormal(seed=1)
        )

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        logits = tf.cast(self.layer(tf.cast(u, tf.float32)), tf.float64)
        return tf.nn.softmax(logits * tf.cast(sharpness, tf.float64))


MODELS: list[Make] = [
    lambda: GaussianMixture(3),
    lambda: SigmoidCuts([2, 2]),
    lambda: MaxAffine(3),
    lambda: Network(3),
]
model_table = pytest.mark.parametrize("make", MODELS, ids=lambda make: type(make()).__name__)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return dict(toys.arrays(toys.three_class(seed=5, n_signal=1_000, n_background=10_000)))


@pytest.fixture(scope="module")
def sample(arrays: Arrays) -> Sample:
    return Sample.from_arrays(arrays, "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def events(arrays: Arrays) -> EventSample:
    return EventSample.from_arrays(arrays, "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def result(sample: Sample, events: EventSample) -> FitResult:
    return fit(GaussianMixture(4), sample, OBJECTIVE, events=events, **ON_EVENTS)


def begun(model: Model, sample: Sample) -> Model:
    """The model at a start."""
    points = sample.points().coarsened(500)
    model.initialise(random_start(points, OBJECTIVE, model.n_categories, np.random.default_rng(1)))
    return model


def held(
    model: Model,
    sample: EventSample,
    shape: Shape,
    folds: Any = (0,),
    threads: int = 2,
    shares: Shares | None = None,
) -> tuple[Events, Kernel]:
    kernel = Kernel(model, shape, shares)
    units = shape.units(sample.in_folds(folds), sample.processes)
    scale = sample.n_folds / len(folds)
    return Events(Here(kernel, units, threads), units, sample.processes, scale, shares), kernel


def together(events: EventSample, fold: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Coordinates and weights of each process in a fold."""
    streams = events.in_folds([fold])
    return {s.dataset: s.read(0, s.n_events) for s in streams}


def in_one_go(model: Model, events: EventSample, sharpness: float) -> Any:
    """(P, 3, K) soft sums of all events at once, at full luminosity."""
    tables = []
    for u, w in together(events, 0).values():
        memberships = tf.cast(model.memberships(tf.constant(u), sharpness), tf.float64)
        tables.append(tf.constant(np.stack([2 * w, 4 * w * w, np.ones_like(w)])) @ memberships)
    return tf.stack(tables)


@model_table
@pytest.mark.parametrize("compiled", [False, True], ids=["traced", "compiled"])
def test_sums_and_gradient_are_those_of_all_events_in_one_go(
    make: Make, compiled: bool, sample: Sample, events: EventSample
) -> None:
    model = begun(make(), sample)
    found, kernel = held(model, events, Shape(256, 2, compiled))
    derivatives = np.random.default_rng(2).normal(size=(7, 3, model.n_categories))
    for sharpness in (1.0, 4.0):
        with tf.GradientTape() as tape:
            expected = in_one_go(model, events, sharpness)
            value = tf.reduce_sum(expected * derivatives)
        tolerance = 1e-5 if isinstance(model, Network) else 1e-9  # a network computes in float32
        np.testing.assert_allclose(found.soft_sums(sharpness), expected, rtol=tolerance)
        gradient = tape.gradient(value, model.trainable_variables)
        for a, b in zip(found.gradient(sharpness, derivatives), gradient, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())
    assert kernel.n_traces == 1


@pytest.fixture(scope="module")
def shares(sample: Sample) -> Shares:
    found = shares_of(sample.points([0]))
    assert found is not None
    return found


def test_shares_are_those_of_the_regression(sample: Sample, shares: Shares) -> None:
    place = sample.points().place
    found = shares_at(shares, tf.constant(place))
    np.testing.assert_allclose(found, shares(place), rtol=1e-3, atol=1e-6)  # in float32
    np.testing.assert_allclose(np.sum(found, axis=0), 1.0, rtol=1e-6)


def test_smooth_sums_are_those_of_smoothed_cells(sample: Sample, events: EventSample, shares: Shares) -> None:
    model = begun(GaussianMixture(3), sample)
    found = held(model, events, Shape(256, 2, False), shares=shares)[0].soft_sums(2.0)
    smooth = shares.smoothed(sample.points([0]))
    memberships = np.asarray(model.memberships(tf.constant(smooth.place), 2.0))
    assert found.shape == (7, 4, 3)
    plain = held(model, events, Shape(256, 2, False))[0].soft_sums(2.0)
    np.testing.assert_allclose(found[:, :3], plain, rtol=1e-12)
    # The cells are small, but not so small that all events of one have the same memberships and shares.
    np.testing.assert_allclose(found[:, 3], smooth.sumw @ memberships, rtol=2e-3)
    assert np.abs(found[:, 3] / found[:, 0] - 1).max() > 0.005


@pytest.mark.parametrize("smoothing", [False, True], ids=["as they are", "smooth"])
def test_gradient_is_that_of_finite_differences(
    smoothing: bool, sample: Sample, events: EventSample, shares: Shares
) -> None:
    model = begun(GaussianMixture(3), sample)
    objective = as_objective(OBJECTIVE + MinBackground(9_000.0) + MinEvents(4_000.0))
    found, _ = held(model, events, Shape(256, 2, False), shares=shares if smoothing else None)
    trainer = EventTrainer(model, found, objective, keras.optimizers.SGD(1.0))
    before = {name: value.copy() for name, value in model.state.items()}
    trainer.run(np.array([0.7]), None, np.array([1.3]))
    moved = {name: value - before[name] for name, value in model.state.items()}
    assert not moved["location"].any()
    step = 1e-5
    for name in ("logits", "means", "factors"):
        for place in np.ndindex(before[name].shape):
            values = []
            for sign in (1, -1):
                changed = before[name].copy()
                changed[place] += sign * step
                model.restore(before | {name: changed})
                values.append(trainer.objective(0.7, 1.3))
            slope = (values[0] - values[1]) / (2 * step)
            # Keras' learning rates are float32, as are its updates of nothing else.
            assert moved[name][place] == pytest.approx(slope, rel=1e-5, abs=1e-6), (name, place)


@pytest.mark.parametrize("block", [256, 512, 4096])
def test_result_does_not_depend_on_the_size_of_blocks(
    block: int, sample: Sample, events: EventSample
) -> None:
    model = begun(GaussianMixture(3), sample)
    rule = model.freeze(sample.points())
    (found, _), (other, _) = (held(model, events, Shape(size, 2, False)) for size in (block, 1024))
    np.testing.assert_allclose(found.soft_sums(2.0), other.soft_sums(2.0), rtol=1e-11)
    derivatives = np.random.default_rng(2).normal(size=(7, 3, 3))
    for a, b in zip(found.gradient(2.0, derivatives), other.gradient(2.0, derivatives), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * np.abs(b).max())
    np.testing.assert_allclose(found.yields(rule).sumw, other.yields(rule).sumw, rtol=1e-12)
    np.testing.assert_array_equal(found.yields(rule).count, other.yields(rule).count)


@pytest.mark.parametrize("compiled", [False, True], ids=["traced", "compiled"])
def test_bits_do_not_depend_on_threads_or_files(
    compiled: bool, sample: Sample, events: EventSample, tmp_path: Path
) -> None:
    model = begun(GaussianMixture(3), sample)
    derivatives = np.random.default_rng(2).normal(size=(7, 3, 3))
    shape = Shape(512, 2, compiled)
    kernel = Kernel(model, shape)
    bits = set()
    for source in (events, events.save(tmp_path)):
        units = shape.units(source.in_folds([0]), source.processes)
        for threads in (1, 2, 3):
            found = Events(Here(kernel, units, threads), units, source.processes, 2.0)
            arrays = [found.soft_sums(2.0), *found.gradient(2.0, derivatives)]
            bits.add(b"".join(array.tobytes() for array in arrays))
    assert len(bits) == 1


@pytest.mark.parametrize("folds", [(0,), (1,), (0, 1)])
def test_hard_yields_are_those_of_the_sample_where_a_category_is_made_of_whole_cells(
    folds: tuple[int, ...], sample: Sample, events: EventSample
) -> None:
    points = sample.points(folds)
    rule = GridRule(edges=((-4 * points.widths[0], 0.0), (20 * points.widths[1],)))
    found = held(GaussianMixture(6), events, Shape(256, 2, False), folds)[0].yields(rule)
    # A cell stands for its events at their centroid, which lies inside.
    expected = points.yields(rule.assign(points.place), rule.n_categories)
    np.testing.assert_array_equal(found.count, expected.count)
    np.testing.assert_allclose(found.sumw, expected.sumw, rtol=1e-6)
    np.testing.assert_allclose(found.sumw2, expected.sumw2, rtol=1e-6)


def test_steps_are_those_on_cells_with_one_event_each(arrays: Arrays) -> None:
    few = {p: (np.log(x[:400, :2]), w[:400] * len(w) / 400) for p, (x, w) in arrays.items()}
    inputs: dict[str, Any] = {
        "coordinates": [{"kind": "identity", "features": toys.SIGNALS, "width": [1e-9] * 2}],
        "names": toys.SIGNALS,
        "n_folds": 1,
    }
    sample, events = Sample.from_arrays(few, **inputs), EventSample.from_arrays(few, **inputs)
    points = sample.points()
    assert len(points.place) == events.n_events
    goal = as_objective(OBJECTIVE)
    numbers = np.geomspace(1.0, 0.2, 15), np.full(15, 0.05), np.ones(15)
    ends = []
    for kind in ("cells", "events"):
        model = begun(GaussianMixture(3), sample)
        if kind == "cells":
            trainer: Any = Trainer(model, points, points, goal, keras.optimizers.Adam(), 15, 15)
        else:
            found, _ = held(model, events, Shape(256, 2, False))
            trainer = EventTrainer(model, found, goal, keras.optimizers.Adam())
        ends.append((trainer.run(*numbers), model.state))
        assert trainer.n_traces == 1
    # Points are rounded to 24 bits.
    np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=1e-4)
    for name, value in ends[0][1].items():
        np.testing.assert_allclose(value, ends[1][1][name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_learning_rate_and_temperature_reach_the_steps(sample: Sample, events: EventSample) -> None:
    model = begun(GaussianMixture(3), sample)
    found, kernel = held(model, events, Shape(1024, 2, False))
    trainer = EventTrainer(model, found, as_objective(OBJECTIVE), keras.optimizers.SGD())
    before = model.state
    temperature = np.array([4.0, 1.0, 0.05])
    soft = trainer.run(temperature, np.zeros(3), np.ones(3))
    assert all((before[name] == value).all() for name, value in model.state.items())
    assert soft.tolist() == [trainer.objective(t, 1.0) for t in temperature]
    moved = []
    for rate in (0.01, 0.02):
        model.restore(before)
        trainer.run(np.ones(1), np.array([rate]), np.ones(1))
        moved.append(model.state["means"] - before["means"])
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-5)
    assert (trainer.n_traces, kernel.n_traces) == (1, 1)


class TestAFit:
    def test_yields_are_those_of_the_events(self, result: FitResult, arrays: Arrays) -> None:
        from cortado.folds import assign_folds, content_ids

        assert result.counted == "events"
        for fold, yields in enumerate((result.training, result.held_out)):
            assert yields is not None
            for row, (process, (scores, w)) in enumerate(sorted(arrays.items())):
                x = scores.astype(np.float64)
                chosen = assign_folds(content_ids(np.column_stack([x, w])), 2) == fold
                category = result.categorizer(x[chosen])
                k = result.categorizer.n_categories
                assert yields.processes[row] == process
                np.testing.assert_array_equal(yields.count[row], np.bincount(category, minlength=k))
                np.testing.assert_allclose(
                    yields.sumw[row], 2 * np.bincount(category, w[chosen], k), rtol=1e-12
                )
                np.testing.assert_allclose(
                    yields.sumw2[row], 4 * np.bincount(category, w[chosen] ** 2, k), rtol=1e-12
                )
        assert "training events" in str(result)
        assert "training cells" not in str(result)
        assert result.categorizer.training is not None
        assert result.categorizer.training.objective == OBJECTIVE.value(result.training)

    def test_steps_on_events_come_after_those_on_cells(self, result: FitResult, sample: Sample) -> None:
        cells = fit(GaussianMixture(4), sample, OBJECTIVE, **QUICK)
        assert cells.counted == "cells"
        n = len(cells.history)
        assert repr(result.history[:n]) == repr(cells.history)
        last = result.history[n:]
        assert [(s.start, s.step) for s in last] == [(2, -1), (2, 9), (2, 19)]
        schedule = Exponential(0.3, 0.05)
        expected = [schedule(0.5 + 0.5 * max(s.step, 0) / 19) for s in last]
        assert [s.temperature for s in last] == pytest.approx(expected)

    def test_the_best_on_events_is_kept_and_no_worse_than_where_it_began(self, result: FitResult) -> None:
        last = [s for s in result.history if s.start == 2]
        assert result.objective.value(result.training) == pytest.approx(max(s.hard for s in last), rel=1e-12)
        assert len({s.hard for s in last}) > 1  # steps change the categories

    def test_it_begins_with_the_best_state_on_cells(self, result: FitResult, sample: Sample) -> None:
        cells = fit(GaussianMixture(4), sample, OBJECTIVE, **QUICK)
        began = next(s for s in result.history if s.start == 2)
        points = sample.points([0])
        best = max(s.hard for s in result.history if s.start < 2)
        rule = cells.categorizer.rule
        assert OBJECTIVE.value(points.yields(rule.assign(points.place), rule.n_categories)) == best
        assert began.hard == pytest.approx(best, rel=0.02)  # the same categories, on events

    def test_floors_hold_on_events(self, sample: Sample, events: EventSample) -> None:
        floors = as_objective(Asimov(toys.SIGNALS) + MinBackground(40.0) + MinEvents(30))
        trained = fit(GaussianMixture(6), sample, floors, events=events, **ON_EVENTS)
        assert not floors.shortfall(trained.training).any()

    def test_files_give_the_same(
        self, result: FitResult, sample: Sample, events: EventSample, tmp_path: Path
    ) -> None:
        saved = events.save(tmp_path)
        again = fit(GaussianMixture(4), sample, OBJECTIVE, events=saved, **ON_EVENTS)
        assert again.categorizer == result.categorizer
        assert repr(again.history) == repr(result.history)

    @model_table
    def test_any_model(self, make: Make, sample: Sample, events: EventSample) -> None:
        trained = fit(make(), sample, OBJECTIVE, events=events, **ON_EVENTS | {"starts": 1})
        last = [s for s in trained.history if s.start == 1]
        assert max(s.hard for s in last) >= last[0].hard > 0

    def test_events_alone(self, sample: Sample, events: EventSample) -> None:
        trained = fit(GaussianMixture(4), sample, OBJECTIVE, events=events, **ON_EVENTS | {"steps": 0})
        assert [(s.start, s.step) for s in trained.history] == [(0, -1), (1, -1), (2, -1), (2, 9), (2, 19)]
        temperatures = [s.temperature for s in trained.history]
        assert temperatures[:3] == [0.3, 0.3, 0.3]
        assert temperatures[-1] == pytest.approx(0.05)
        assert trained.history[-1].hard > trained.history[2].hard

    def test_progress_and_callbacks(self, sample: Sample, events: EventSample) -> None:
        told: list[tuple[int, int, float | None]] = []
        steps: list[Step] = []

        def on_events_only_once(step: Step) -> bool:
            steps.append(step)
            return step.start == 2 and step.step == 9

        trained = fit(
            GaussianMixture(4),
            sample,
            OBJECTIVE,
            events=events,
            progress=lambda *arguments: told.append(arguments),
            callbacks=[on_events_only_once],
            **ON_EVENTS | {"event_steps": 50},
        )
        assert tuple(steps) == trained.history
        assert [done for done, _, _ in told] == [0, 10, 20, 20, 30, 40, 40, 50, 90]
        assert {total for _, total, _ in told} == {90}
        assert trained.history[-1].step == 9

    def test_patience_holds_on_events(self, sample: Sample, events: EventSample) -> None:
        options = ON_EVENTS | {"steps": 0, "event_steps": 90, "learning_rate": Constant(1e-12)}
        trained = fit(GaussianMixture(4), sample, OBJECTIVE, events=events, patience=2, **options)
        assert [s.step for s in trained.history if s.start == 2] == [-1, 9, 19, 29]


class Interruption(Exception):
    """What stops a training."""


def test_a_training_interrupted_again_and_again_comes_to_the_same(
    sample: Sample, events: EventSample, tmp_path: Path
) -> None:
    options = ON_EVENTS | {"events": events, "starts": 1, "steps": 10}
    for make in (MODELS[0], MODELS[3]):
        straight = fit(make(), sample, OBJECTIVE, **options)
        path = tmp_path / f"{type(make()).__name__}.npz"

        class Second:
            left = 2

            def __call__(self, step: Step) -> None:
                self.left -= 1
                if not self.left:
                    raise Interruption(step)

        for _ in range(len(straight.history) - 1):
            with pytest.raises(Interruption):
                fit(make(), sample, OBJECTIVE, checkpoint=path, callbacks=[Second()], **options)
        finished = fit(make(), sample, OBJECTIVE, checkpoint=path, **options)
        assert finished.categorizer == straight.categorizer
        assert repr(finished.history) == repr(straight.history)


def test_a_checkpoint_is_that_of_its_events(
    arrays: Arrays, sample: Sample, events: EventSample, tmp_path: Path
) -> None:
    path = tmp_path / "training.npz"
    fit(GaussianMixture(3), sample, OBJECTIVE, events=events, checkpoint=path, **ON_EVENTS)
    x, w = arrays["bkg1"]
    moved = EventSample.from_arrays(arrays | {"bkg1": (x[::-1], w)}, "logratio", names=toys.SCORES)
    others: list[tuple[dict[str, Any], str]] = [({"events": None}, "plan"), ({"event_steps": 21}, "plan")]
    if moved.in_folds([0])[0].n_events == events.in_folds([0])[0].n_events:
        others.append(({"events": moved}, "events"))
    for change, what in others:
        with pytest.raises(ConfigError, match=f"is that of another training: its {what} is"):
            fit(
                GaussianMixture(3),
                sample,
                OBJECTIVE,
                checkpoint=path,
                **ON_EVENTS | {"events": events} | change,
            )


def test_what_diverges_on_events_leaves_the_best_before(sample: Sample, events: EventSample) -> None:
    calls = tf.Variable(0, dtype=tf.int64)
    significance = Asimov(toys.SIGNALS)

    def objective(yields: Yields) -> Any:
        value = significance(yields)
        if not tf.is_tensor(value):
            return value
        return tf.where(calls.assign_add(1) > 14, tf.constant(np.nan, tf.float64), value)

    options = ON_EVENTS | {"steps": 0, "starts": 1, "initialisation": "random"}
    with pytest.warns(TrainingWarning, match="training on events diverged at step 14, with .* nan") as told:
        trained = fit(GaussianMixture(3), sample, objective, events=events, **options)
    assert [Path(w.filename).name for w in told] == [Path(__file__).name]
    assert [s.step for s in trained.history if s.start == 1] == [-1, 9]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"event_steps": 0}, ["event_steps", "at least 1", "0"]),
        ({"event_steps": 1.5}, ["event_steps", "an integer", "1.5"]),
        ({"steps": -1}, ["steps", "at least 0", "-1"]),
        ({"events": "all"}, ["events", "EventSample", "str"]),
        ({"events": None, "client": object()}, ["client", "events"]),
        ({"temperature": lambda p: 1.0 if p < 0.99 else 0.0}, ["temperature", "> 0"]),
    ],
)
def test_bad_arguments(sample: Sample, events: EventSample, change: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        fit(GaussianMixture(3), sample, OBJECTIVE, **ON_EVENTS | {"events": events} | change)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: replace(e, streams=e.streams[1:]), ["those of the sample", "'bkg1' in fold 0", "got 0"]),
        (
            lambda e: replace(e, streams=tuple(replace(s, factor=2.0) for s in e.streams)),
            ["those of the sample", "weight", "'bkg1'"],
        ),
        (lambda e: replace(e, n_folds=1), ["folds"]),
        (
            lambda e: replace(e, features=e.features.model_copy(update={"missing": {"p_signal1": 0.0}})),
            ["features"],
        ),
        (
            lambda e: replace(e, streams=(*e.streams, replace(e.streams[0], dataset="other"))),
            ["has 0 of process 'other'"],
        ),
    ],
    ids=["fewer", "not normalised", "other folds", "other features", "another process"],
)
def test_events_must_be_those_of_the_sample(
    sample: Sample, events: EventSample, change: Callable[[EventSample], EventSample], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        fit(GaussianMixture(3), sample, OBJECTIVE, events=change(events), **ON_EVENTS)
    for word in words:
        assert word in str(error.value)


def test_floors_that_cannot_be_met_are_an_error(sample: Sample, events: EventSample) -> None:
    goal: Objective = Asimov(toys.SIGNALS) + MinBackground(20_000.0)
    with pytest.raises(TrainingError, match="lower the floors"):
        fit(GaussianMixture(3), sample, goal, events=events, **ON_EVENTS)


def test_it_helps_where_cells_are_coarse() -> None:
    """In four coordinates 16 000 cells are too coarse for gradient steps: steps on events mend that."""
    toy = next(t for t in toys.family.FAMILY if t.name == "five classes")
    arrays = toys.arrays(toy.events(1, 5_000, 50_000))
    inputs: dict[str, Any] = {"coordinates": toy.coordinates, "names": toy.names, "n_folds": 1}
    sample = Sample.from_arrays(arrays, **inputs)
    events = EventSample.from_arrays(arrays, **inputs)
    goal = as_objective(ct.Asimov(toy.signals) + MinBackground(10.0))
    trained = fit(
        GaussianMixture(8),
        sample,
        goal,
        events=events,
        seed=1,
        starts=1,
        steps=60,
        event_steps=60,
        max_cells=1000,
    )
    began = next(s.hard for s in trained.history if s.start == 1)
    other = toy.events(2, 10_000, 100_000)

    def on_others(rule: Any) -> float:
        sums = []
        for e in other.values():
            category = rule.assign(events.features.forward(e.scores.astype(np.float64)))
            sums.append(np.bincount(category, e.weight, rule.n_categories))
        return goal.value(Yields(tuple(other), np.array(sums), np.array(sums), np.array(sums)))

    cells = fit(GaussianMixture(8), sample, goal, seed=1, starts=1, steps=60, max_cells=1000)
    assert goal.value(trained.training) > 1.005 * began
    assert on_others(trained.categorizer.rule) > 1.01 * on_others(cells.categorizer.rule)
