"""Laws of the training loop: what reaches the graph, what ends a start, what is written down."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.errors import ConfigError, InputError, TrainingError
from cortado.models import GaussianMixture, Model, Start
from cortado.models.tensorflow import keras, tf
from cortado.objectives import Asimov, MinBackground, Objective, Yields, array_namespace
from cortado.points import Points
from cortado.sample import Sample
from cortado.training import Constant, Exponential, Linear, Step, TrainingWarning, bias, fit, run
from cortado.training.loop import Trainer
from cortado.training.starts import random_start

OBJECTIVE = Asimov(toys.SIGNALS) + MinBackground(10.0)
QUICK: dict[str, Any] = {"starts": 1, "steps": 20, "evaluate_every": 10, "smoothing": False}


class Planes(Model):
    """A model as a user would write it: softmax of affine functions, frozen as a table."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self.slopes = tf.Variable(np.zeros((2, n_categories)), dtype=tf.float64, name="slopes")
        self.offsets = tf.Variable(np.zeros(n_categories), dtype=tf.float64, name="offsets")

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        logits = tf.convert_to_tensor(u) @ self.slopes + self.offsets
        return tf.nn.softmax(logits * tf.cast(sharpness, tf.float64))


@pytest.fixture(scope="module")
def sample() -> Sample:
    events = toys.three_class(seed=5, n_signal=2_000, n_background=20_000)
    return Sample.from_arrays(toys.arrays(events), "logratio", names=toys.SCORES)


@pytest.fixture(scope="module")
def points(sample: Sample) -> Points:
    return sample.points([0]).coarsened(500)


@pytest.fixture
def trainers(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """All trainers that are made during a test."""
    made: list[Trainer] = []

    class Recorded(Trainer):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(run, "Trainer", Recorded)
    return made


def start_of(points: Points, n_categories: int = 3) -> Start:
    return random_start(points, OBJECTIVE, n_categories, np.random.default_rng(1))


def trainer_of(model: Model, points: Points, optimizer: Any, objective: Objective = OBJECTIVE) -> Trainer:
    model.initialise(start_of(points, model.n_categories))
    return Trainer(model, points, points, objective, optimizer, 5, 5)


def test_temperature_and_strength_of_the_floors_reach_the_graph(points: Points) -> None:
    model = GaussianMixture(3)
    missed = Asimov(toys.SIGNALS) + MinBackground(20_000.0)
    trainer = trainer_of(model, points, keras.optimizers.Adam(), missed)
    temperature, strength = np.array([4.0, 1.0, 0.3, 0.05, 1.0]), np.array([1.0, 0.0, 1.0, 3.0, 1e4])
    found = trainer.run(temperature, np.zeros(5), strength)
    count = points.count.astype(np.float64)

    def objective(t: float, s: float) -> float:
        soft = np.asarray(model.memberships(tf.constant(points.place), 1 / t))
        return float(
            missed.soft(Yields(points.processes, points.sumw @ soft, points.sumw2 @ soft, count @ soft), s)
        )

    expected = [objective(t, s) for t, s in zip(temperature, strength, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert len(set(expected)) == 5
    np.testing.assert_allclose(trainer.run(temperature[1:3], np.zeros(2), strength[1:3]), expected[1:3])
    assert trainer.n_traces == 1


def test_learning_rate_reaches_the_graph(points: Points) -> None:
    model = Planes(3)
    trainer = trainer_of(model, points, keras.optimizers.SGD())
    start = model.state
    moved = []
    for rate in (0.0, 0.01, 0.02):
        model.restore(start | {"offsets": np.array([0.1, 0.0, -0.1])})
        trainer.run(np.ones(1), np.array([rate]), np.ones(1))
        moved.append(model.state["offsets"] - [0.1, 0.0, -0.1])
    assert not moved[0].any()
    assert moved[1].any()
    np.testing.assert_allclose(moved[2], 2 * moved[1], rtol=1e-5)  # rates are float32
    assert trainer.n_traces == 1


def test_one_trace_for_all_starts_schedules_and_a_shorter_last_chunk(
    sample: Sample, trainers: list[Trainer]
) -> None:
    result = fit(
        GaussianMixture(3),
        sample,
        OBJECTIVE,
        starts=3,
        steps=25,
        evaluate_every=10,
        smoothing=False,
        temperature=Exponential(2.0, 0.01),
        penalty=Linear(0.0, 2.0),
    )
    assert [t.n_traces for t in trainers] == [1]
    assert [(s.start, s.step) for s in result.history] == [(i, j) for i in range(3) for j in (-1, 9, 19, 24)]
    for step in result.history:
        assert step.temperature == pytest.approx(Exponential(2.0, 0.01)(max(step.step, 0) / 24))


def test_objective_rises(sample: Sample) -> None:
    history = fit(
        Planes(3),
        sample,
        Asimov(toys.SIGNALS),
        starts=1,
        steps=60,
        initialisation="random",
        smoothing=False,
        evaluate_every=1,
        temperature=Constant(0.5),
    ).history
    assert history[-1].soft > history[0].soft
    assert history[-1].hard > history[0].hard


@pytest.mark.parametrize(
    ("make", "rate"),
    [
        (lambda: keras.optimizers.SGD(0.5, momentum=0.9), Constant(0.5)),
        (lambda: keras.optimizers.RMSprop(0.01), None),
        (
            lambda: keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.5)),
            None,
        ),
    ],
    ids=["SGD", "RMSprop", "Adam with a schedule"],
)
def test_any_optimizer_and_the_callers_own_stays_as_it_was(
    sample: Sample, make: Callable[[], Any], rate: Any
) -> None:
    optimizer = make()
    configuration = optimizer.get_config()
    n_variables = len(optimizer.variables)
    options = QUICK | {"optimizer": optimizer, "learning_rate": rate, "temperature": Constant(0.5)}
    first, again = (fit(GaussianMixture(3), sample, Asimov(toys.SIGNALS), **options) for _ in range(2))
    assert first.history[-1].soft > first.history[0].soft
    assert first.categorizer.rule == again.categorizer.rule
    assert optimizer.get_config() == configuration
    assert not optimizer.built
    assert len(optimizer.variables) == n_variables
    assert int(optimizer.iterations) == 0


def test_an_optimizers_own_rate_is_used(points: Points) -> None:
    # A rate of 0 leaves the model alone; so would a rate of the plan's that were not passed on.
    model = Planes(3)
    trainer = trainer_of(model, points, keras.optimizers.SGD(0.0))
    before = model.state
    trainer.run(np.ones(5), None, np.ones(5))
    assert all((before[name] == value).all() for name, value in model.state.items())


def test_a_start_forgets_the_ones_before(points: Points) -> None:
    model = Planes(3)
    trainer = trainer_of(model, points, keras.optimizers.Adam())
    states = []
    for _ in range(2):
        trainer.begin(start_of(points))
        trainer.run(np.ones(5), np.full(5, 0.1), np.ones(5))
        states.append(trainer.state())
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)


def test_a_state_that_is_restored_goes_on_to_the_same(points: Points) -> None:
    model = GaussianMixture(3)
    trainer = trainer_of(model, points, keras.optimizers.Adam())
    trainer.begin(start_of(points))
    numbers = np.ones(4), np.full(4, 0.1), np.ones(4)
    trainer.run(*numbers)
    middle = trainer.state()
    ends = []
    for _ in range(2):
        trainer.restore(middle)
        ends.append((trainer.run(*numbers).tolist(), trainer.state()))
    assert ends[0][0] == ends[1][0]
    for name, value in ends[0][1].items():
        np.testing.assert_array_equal(value, ends[1][1][name], err_msg=name)


def test_bias_is_that_of_soft_memberships_and_vanishes_when_cold(points: Points) -> None:
    model = GaussianMixture(3)
    model.initialise(start_of(points))
    weight = points.sumw.sum(axis=0)
    soft = weight @ np.asarray(model.memberships(tf.constant(points.place), tf.constant(0.5, tf.float64)))
    hard = np.bincount(model.categories(points.place), weights=weight, minlength=3)
    np.testing.assert_allclose(bias(model, points, 2.0), (hard - soft) / hard, rtol=1e-9)
    sizes = [np.abs(bias(model, points, t)).max() for t in (1.0, 0.1, 0.01, 1e-6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.01
    assert sizes[-1] < 1e-6


def test_bias_of_a_category_that_is_empty_is_not_a_number(points: Points) -> None:
    model = Planes(3)
    model.restore({"slopes": np.zeros((2, 3)), "offsets": np.array([1.0, 0.0, 0.0])})
    first, *others = bias(model, points, 1.0)
    assert 0 < first < 1
    assert np.isnan(others).all()


def test_patience_ends_a_start_that_no_longer_improves(sample: Sample) -> None:
    # So small a rate moves no cell from one category to another.
    options = QUICK | {"starts": 2, "steps": 60, "learning_rate": Constant(1e-12)}
    history = fit(Planes(3), sample, OBJECTIVE, patience=2, **options).history
    assert [(s.start, s.step) for s in history] == [(i, j) for i in range(2) for j in (-1, 9, 19, 29)]


def test_callbacks_are_told_every_step_and_can_end_a_start(sample: Sample) -> None:
    told: list[Step] = []

    def ends_first_start(step: Step) -> bool:
        return step.start == 0 and step.step >= 19

    def notes(step: Step) -> None:
        told.append(step)

    options = QUICK | {"starts": 2, "steps": 40}
    result = fit(Planes(3), sample, OBJECTIVE, callbacks=[ends_first_start, notes], **options)
    assert tuple(told) == result.history
    second = [(1, j) for j in (-1, 9, 19, 29, 39)]
    assert [(s.start, s.step) for s in told] == [(0, -1), (0, 9), (0, 19), *second]


def test_progress_is_told(sample: Sample) -> None:
    told: list[tuple[int, int, float | None]] = []
    options = QUICK | {"starts": 2, "steps": 25, "progress": lambda *arguments: told.append(arguments)}
    result = fit(Planes(3), sample, Asimov(toys.SIGNALS), **options)
    assert [done for done, _, _ in told] == [0, 10, 20, 25, 25, 35, 45, 50, 50]
    assert {total for _, total, _ in told} == {50}
    best = [value for _, _, value in told]
    assert best[:-1] == np.maximum.accumulate([s.hard for s in result.history]).tolist()
    assert best[-1] == best[-2]


def diverging(at: int) -> Callable[[Yields], Any]:
    """An objective that is not a number in the gradient step ``at``, and nowhere else."""
    calls = tf.Variable(0, dtype=tf.int64)
    significance = Asimov(toys.SIGNALS)

    def objective(yields: Yields) -> Any:
        value = significance(yields)
        if not tf.is_tensor(value):
            return value
        return tf.where(calls.assign_add(1) == at + 1, tf.constant(np.nan, tf.float64), value)

    return objective


@pytest.mark.parametrize("model", [Planes(3), GaussianMixture(3)], ids=lambda m: type(m).__name__)
def test_a_start_that_diverges_is_left_and_the_best_before_kept(sample: Sample, model: Model) -> None:
    options = QUICK | {"starts": 2, "steps": 30, "initialisation": "random"}
    with pytest.warns(TrainingWarning, match="start 0 diverged at step 14, with an objective of nan") as told:
        result = fit(model, sample, diverging(at=14), **options)
    assert [Path(w.filename).name for w in told] == [Path(__file__).name]
    second = [(1, j) for j in (-1, 9, 19, 29)]
    assert [(s.start, s.step) for s in result.history] == [(0, -1), (0, 9), *second]
    assert all(np.isfinite(s.soft) for s in result.history)
    assert result.objective.value(result.training) == pytest.approx(max(s.hard for s in result.history))


def test_a_single_start_that_diverges_leaves_its_last_good_state(sample: Sample) -> None:
    options = QUICK | {"steps": 30, "initialisation": "random"}
    with pytest.warns(TrainingWarning, match="start 0 diverged at step 25"):
        result = fit(Planes(3), sample, diverging(at=25), **options)
    with warnings.catch_warnings():
        shorter = fit(Planes(3), sample, diverging(at=25), **options | {"steps": 20})
    assert [s.step for s in result.history] == [-1, 9, 19]
    assert result.categorizer.n_categories == shorter.categorizer.n_categories


def test_an_objective_that_is_never_finite_is_an_error(sample: Sample) -> None:
    def nothing(yields: Yields) -> Any:
        return yields.sumw[0][0] * np.nan

    with (
        pytest.warns(TrainingWarning, match="start [01] diverged at step 0") as told,
        pytest.raises(TrainingError, match=r"no start .* finite .*start 0 diverged.*start 1 diverged"),
    ):
        fit(Planes(3), sample, nothing, **QUICK | {"starts": 2, "initialisation": "random"})
    assert len(told) == 2


class TooMany(Planes):
    """A model that gives a membership more than it has categories."""

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        given = super().memberships(u, sharpness)
        return tf.concat([given, tf.zeros_like(given[:, :1])], axis=1)


class Unbounded(Planes):
    """A model whose memberships are no shares."""

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        return 2.0 * super().memberships(u, sharpness)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (TooMany(3), ["TooMany.memberships", "(n, n_categories)", "4)"]),
        (Unbounded(3), ["Unbounded.memberships", "sum to 1", "got a sum of 2"]),
    ],
)
def test_memberships_that_are_none_are_refused(sample: Sample, model: Model, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        fit(model, sample, OBJECTIVE, **QUICK)
    for word in words:
        assert word in str(error.value)


def heaped(yields: Yields) -> Any:
    """An objective that is largest for a single category."""
    total = yields.total(yields.processes)
    return array_namespace(total).sum(total**2) * 1e-6


class Everything(Planes):
    """A model whose categories but one are empty."""

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        return super().memberships(u, sharpness) * 1e-3 + (1 - 1e-3) * tf.constant([1.0, 0, 0], tf.float64)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            Asimov(toys.SIGNALS) + MinBackground(20_000.0),
            ["both meet MinBackground(20000)", "lower the floors"],
        ),
        (heaped, ["both hold events"]),
    ],
)
def test_fewer_than_two_categories_are_an_error(sample: Sample, objective: Any, words: list[str]) -> None:
    with pytest.raises(TrainingError) as error:
        fit(Everything(3), sample, objective, **QUICK)
    for word in words:
        assert word in str(error.value)


class Lacking(Planes):
    """A model whose last category is empty."""

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        first, second, third = tf.unstack(super().memberships(u, sharpness), axis=1)
        return tf.stack([first, second + third, tf.zeros_like(third)], axis=1)


def test_a_category_with_a_factor_of_its_own_cannot_be_missing(sample: Sample) -> None:
    objective = Asimov(toys.SIGNALS).with_scales({"bkg1": [1.0, 1.2, 0.8]})
    with pytest.raises(TrainingError, match="no start led to a finite objective of 3 categories"):
        fit(Lacking(3), sample, objective, **QUICK)


def without(sample: Sample, process: str, fold: int) -> Sample:
    return Sample(
        sample.features,
        sample.n_folds,
        sample.cells.select(lambda s: not (s.dataset == process and s.fold == fold)),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 0}, ["steps", "at least 1", "0"]),
        ({"starts": -1}, ["starts", "at least 1", "-1"]),
        ({"evaluate_every": 0}, ["evaluate_every", "at least 1", "0"]),
        ({"max_cells": 0}, ["max_cells", "at least 1", "0"]),
        ({"patience": 0}, ["patience", "at least 1", "0"]),
        ({"initialisation": "best"}, ["initialisation", "'partition' or 'random'", "'best'"]),
        ({"temperature": Constant(0.0)}, ["temperature", "> 0", "0.0"]),
        ({"temperature": Linear(1.0, -1.0)}, ["temperature", "> 0", "-1.0"]),
        ({"temperature": 0.5}, ["temperature", "function of the progress", "0.5"]),
        ({"temperature": None}, ["temperature", "function of the progress", "None"]),
        ({"learning_rate": Linear(0.1, 0.0)}, ["learning_rate", "> 0", "0.0"]),
        ({"learning_rate": lambda _: np.nan}, ["learning_rate", "finite", "nan"]),
        ({"penalty": Constant(-1.0)}, ["penalty", "≥ 0", "-1.0"]),
        ({"optimizer": "adam"}, ["optimizer", "Keras", "'adam'"]),
        ({"held_out": [0, 1]}, ["held_out", "not all", "[0, 1]"]),
        ({"held_out": [7]}, ["held_out", "0 … 1", "[7]"]),
        ({"objective": Asimov("signal3")}, ["signal3", "bkg1"]),
        ({"objective": Asimov(toys.PROCESSES)}, ["every process is a signal"]),
        ({"objective": Objective((heaped, MinBackground(1.0)))}, ["floors", "signals"]),
        ({"objective": "significance"}, ["functions of yields", "'significance'"]),
        ({"model": 5}, ["model", "cortado.Model", "int"]),
        ({"model": tf.Module()}, ["model", "cortado.Model", "Module"]),
        ({"model": GaussianMixture(100_000)}, ["100000 categories", "as many cells"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_arguments(sample: Sample, change: dict[str, Any], words: list[str]) -> None:
    arguments: dict[str, Any] = {"model": GaussianMixture(3), "objective": OBJECTIVE} | change
    with pytest.raises(ConfigError) as error:
        fit(sample=sample, **arguments)
    for word in words:
        assert word in str(error.value)


def test_a_schedule_of_the_optimizers_own_needs_no_other(sample: Sample) -> None:
    optimizer = keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20))
    with pytest.raises(ConfigError, match=r"learning_rate must be None .*Exponential.*CosineDecay"):
        fit(GaussianMixture(3), sample, OBJECTIVE, optimizer=optimizer, **QUICK)


def test_one_category_is_no_categorisation() -> None:
    with pytest.raises(ConfigError, match="at least 2, got 1"):
        GaussianMixture(1)


def test_a_signal_must_have_weight_in_the_training_folds(sample: Sample) -> None:
    with pytest.raises(ConfigError, match="'signal1' has a total weight of 0 in the training folds"):
        fit(GaussianMixture(3), without(sample, "signal1", fold=0), OBJECTIVE, **QUICK)


def test_features_must_be_numbers(sample: Sample) -> None:
    broken = ct.Sample(sample.features, 2, sample.cells, invalid=ct.Sample.empty(sample.features).invalid)
    broken.invalid["signal1", "p_signal1"] += 3
    with pytest.raises(InputError, match="p_signal1"):
        fit(GaussianMixture(3), broken, OBJECTIVE, **QUICK)
