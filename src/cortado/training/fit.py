"""The training loop: gradient ascent of an objective of soft yields, while the categories are made hard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cortado.categorizer import Categorizer, Training
from cortado.categorizer.rules import ModelRule
from cortado.errors import ConfigError, TrainingError
from cortado.models.tensorflow import keras, tf
from cortado.objectives import Objective, Yields, as_objective
from cortado.report import combination, fit_rows, significance_table, to_text
from cortado.sample import Points, Sample
from cortado.training.order import ordered_rule
from cortado.training.schedules import Cosine, Exponential
from cortado.training.starts import Start, partition_start

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_IMITATION_STEPS, _IMITATION_RATE = 150, 0.05
_LEAST_MEMBERSHIP = 1e-30

Progress = Callable[[int, int, float | None], None]


class Model(Protocol):
    """What :func:`fit` needs of a model."""

    n_categories: int

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables to change."""

    def initialise(self, points: Points, category: Integers, importance: Floats) -> None:
        """A start near a partition of points: their category (n,), and how much each matters (n,)."""

    def memberships(self, u: Any, sharpness: Any) -> Any:
        """(n, K) soft category memberships at coordinates u (n, d)."""

    def freeze(self) -> ModelRule:
        """The hard limit."""


@dataclass(frozen=True)
class Step:
    """What the history holds of one step: soft objective, hard objective, whether the floors are met."""

    start: int
    step: int
    temperature: float
    soft: float
    hard: float
    shortfall: float


@dataclass(frozen=True, eq=False)
class FitResult:
    """Categories learned from a sample.

    ``training`` and ``held_out`` are yields of the hard categories on the cells of these folds, scaled to the
    full luminosity; ``held_out`` is None where no fold was held out.
    """

    categorizer: Categorizer
    objective: Objective
    training: Yields
    held_out: Yields | None
    history: tuple[Step, ...] = field(repr=False)

    def __str__(self) -> str:
        rows = fit_rows(self.training, self.held_out, self.objective)
        title = f"{self.categorizer.n_categories} categories"
        return to_text(significance_table(rows, title, combination(self.objective)))


@dataclass(frozen=True, eq=False)
class _State:
    """Hard categories, and what they are worth."""

    rule: ModelRule
    value: float
    shortfall: float

    def better_than(self, other: _State | None) -> bool:
        """Meeting the floors comes first, then the objective."""
        if other is None:
            return True
        if not np.isfinite(self.value):
            return False
        return (-self.shortfall, self.value) > (-other.shortfall, other.value)


def fit(
    model: Model,
    sample: Sample,
    objective: Objective | Callable[[Yields], Any],
    *,
    seed: int = 0,
    held_out: Sequence[int] | None = None,
    steps: int = 300,
    starts: int = 4,
    learning_rate: Callable[[float], float] = Cosine(0.05, 0.005),
    temperature: Callable[[float], float] = Exponential(1.0, 0.05),
    evaluate_every: int = 10,
    max_cells: int = 10_000,
    progress: Progress | None = None,
) -> FitResult:
    """Learn categories of ``sample`` that maximise ``objective``.

    The optimiser sees soft yields, at a temperature that falls from step to step; what is kept is the state
    whose *hard* categories are best on the training folds, over all steps and starts. A category that misses
    a floor is dropped, and its region falls to its neighbours.

    Parameters
    ----------
    model
        A soft categorisation, such as :class:`cortado.GaussianMixture`; it is left in the last state trained.
    sample
        Normalised sample: its sources are processes.
    objective
        Function of :class:`Yields`, larger is better; a sum of terms.
    seed
        Same seed, same sample: same categories.
    held_out
        Folds kept out of the training; by default the last of several.
    steps, starts
        Gradient steps from each of several starts, hard partitions of the cells from random beginnings.
    learning_rate, temperature
        Functions of the progress 0 … 1.
    evaluate_every
        Hard categories are evaluated every so many steps, on the sample's own cells.
    max_cells
        For the gradient steps the cells are doubled in size until there are at most so many.
    progress
        Called with (steps done, steps in all, best hard objective so far or None).

    Raises
    ------
    ConfigError
        If an argument breaks a rule, or the signals are not among the processes.
    TrainingError
        If no state has a finite objective, or the floors leave fewer than two categories.
    """
    goal = as_objective(objective)
    folds, left_out = _split_folds(sample.n_folds, held_out)
    plan = _Plan(steps, starts, learning_rate, temperature, evaluate_every, max_cells)
    points = sample.points(folds)
    _check_signals(goal, points, model.n_categories)
    history: list[Step] = []
    best: _State | None = None
    for step, state in _train(model, points, goal, plan, seed):
        history.append(step)
        best = state if state.better_than(best) else best
        if progress:
            progress(step.start * steps + step.step + 1, starts * steps, best.value if best else None)
    rule = ordered_rule(_usable(best, points, goal).rule, points, goal)
    training = points.yields(rule.assign(points.place), rule.n_categories)
    record = Training(
        signals=goal.signals,
        processes=points.processes,
        n_folds=sample.n_folds,
        folds=tuple(folds),
        seed=seed,
        objective=goal.value(training),
    )
    categorizer = Categorizer(features=sample.features, rule=rule, training=record)
    aside = sample.points(left_out) if left_out else None
    held = aside.yields(rule.assign(aside.place), rule.n_categories) if aside else None
    return FitResult(categorizer, goal, training, held, tuple(history))


@dataclass(frozen=True)
class _Plan:
    """How to train; every number is at least 1."""

    steps: int
    starts: int
    learning_rate: Callable[[float], float]
    temperature: Callable[[float], float]
    evaluate_every: int
    max_cells: int

    def __post_init__(self) -> None:
        for name in ("steps", "starts", "evaluate_every", "max_cells"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


def _train(
    model: Model, points: Points, goal: Objective, plan: _Plan, seed: int
) -> Iterator[tuple[Step, _State]]:
    """Train from every start, and give the hard categories every so many steps."""
    coarse = points.coarsened(plan.max_cells)
    trainer: _Trainer | None = None
    for start, generator in enumerate(np.random.default_rng(seed).spawn(plan.starts)):
        beginning = partition_start(coarse, goal, model.n_categories, generator)
        model.initialise(beginning.points, beginning.category, beginning.importance)
        trainer = trainer or _Trainer(model, coarse, goal)
        trainer.imitate(beginning)
        for step in range(plan.steps):
            progress = step / max(plan.steps - 1, 1)
            temperature = plan.temperature(progress)
            soft = trainer.step(temperature, plan.learning_rate(progress))
            if not np.isfinite(soft):
                break  # diverged; what was found before stays
            if step % plan.evaluate_every == plan.evaluate_every - 1 or step == plan.steps - 1:
                state = _evaluate(model, points, goal)
                if state is not None:
                    yield Step(start, step, temperature, soft, state.value, state.shortfall), state


def _usable(best: _State | None, points: Points, goal: Objective) -> _State:
    """The best state, if it has categories that meet the floors; else ``TrainingError``."""
    if best is None:
        raise TrainingError("the objective was not finite in any start; check the weights of the sample")
    if best.shortfall or best.rule.n_categories < 2:
        background = [p for p, name in enumerate(points.processes) if name not in goal.signals]
        floors = ", ".join(map(str, goal.floors))
        raise TrainingError(
            f"no two categories were found that both meet {floors}: the training folds hold an expected "
            f"background {points.sumw[background].sum():.4g} from {points.count[background].sum()} events; "
            "lower the floors or simulate more events"
        )
    return best


def _split_folds(n_folds: int, held_out: Sequence[int] | None) -> tuple[list[int], list[int]]:
    left_out = [n_folds - 1] if held_out is None and n_folds > 1 else sorted(set(held_out or ()))
    folds = [f for f in range(n_folds) if f not in left_out]
    if not folds or not set(left_out) <= set(range(n_folds)):
        raise ConfigError(
            f"held_out must be some, but not all, of the folds 0 … {n_folds - 1}, got {left_out}"
        )
    return folds, left_out


def _check_signals(goal: Objective, points: Points, n_categories: int) -> None:
    if goal.floors and not goal.signals:
        raise ConfigError("floors are on the background, so a term of the objective must name the signals")
    for name in goal.signals:
        if name not in points.processes:
            raise ConfigError(f"signal {name!r} is not among the processes {list(points.processes)}")
        total = points.sumw[points.processes.index(name)].sum()
        if not total > 0:
            raise ConfigError(f"signal {name!r} has a total weight of {total:.6g} in the training folds")
    if len(points.place) < n_categories:
        raise ConfigError(
            f"{n_categories} categories need as many cells, the training folds have {len(points.place)}"
        )


def _evaluate(model: Model, points: Points, goal: Objective) -> _State | None:
    """The hard categories without those that miss a floor; None where the model has no valid hard limit."""
    try:
        rule = model.freeze()
    except ValueError:
        return None
    while True:
        yields = points.yields(rule.assign(points.place), rule.n_categories)
        shortfall = goal.shortfall(yields)
        if not shortfall.any() or rule.n_categories == 1:
            return _State(rule, goal.value(yields), float(shortfall.sum()))
        rule = rule.without(int(np.argmax(shortfall)))


class _Trainer:
    """The traced step. Temperature and learning rate are tensors: a schedule reaches the graph."""

    def __init__(self, model: Model, points: Points, goal: Objective) -> None:
        self._model, self._goal = model, goal
        self._place = tf.constant(points.place, tf.float64)
        sums = np.concatenate([points.sumw, points.sumw2, points.count.astype(np.float64)])
        self._sums = tf.constant(sums, tf.float64)
        self._processes = points.processes
        self._optimizer = keras.optimizers.Adam()
        self._optimizer.build(model.trainable_variables)
        self._fresh = [tf.identity(v) for v in self._optimizer.variables]
        self._step = tf.function(self._take_step, autograph=False)
        self._imitation = tf.function(self._imitate, autograph=False)

    def _forget(self) -> None:
        """Set the momenta back."""
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)

    def imitate(self, start: Start) -> None:
        """Bring the model close to a partition, by cross entropy weighted by the importance of points."""
        labels = tf.one_hot(start.category, self._model.n_categories, dtype=tf.float64)
        targets = labels * tf.constant(start.importance, tf.float64)[:, None]
        place = tf.constant(start.points.place, tf.float64)
        self._forget()
        for _ in range(_IMITATION_STEPS):
            self._imitation(place, targets)
        self._forget()

    def _imitate(self, place: Any, targets: Any) -> None:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            memberships = self._model.memberships(place, tf.ones((), tf.float64))
            loss = -tf.reduce_sum(targets * tf.math.log(memberships + _LEAST_MEMBERSHIP))
        self._optimizer.learning_rate.assign(_IMITATION_RATE)
        self._optimizer.apply(tape.gradient(loss, variables), variables)

    def step(self, temperature: float, learning_rate: float) -> float:
        """One step up; returns the soft objective before it."""
        sharpness = tf.constant(1.0 / temperature, tf.float64)
        return float(self._step(sharpness, tf.constant(learning_rate, tf.float32)))

    def _take_step(self, sharpness: Any, learning_rate: Any) -> Any:
        variables = self._model.trainable_variables
        with tf.GradientTape() as tape:
            memberships = self._model.memberships(self._place, sharpness)
            sumw, sumw2, count = tf.split(self._sums @ memberships, 3)
            objective = self._goal(Yields(self._processes, sumw, sumw2, count))
            loss = -objective
        gradients = tape.gradient(loss, variables)
        self._optimizer.learning_rate.assign(learning_rate)
        self._optimizer.apply(gradients, variables)
        return objective
