"""The training: gradient ascent from several starts; the best hard categories met on the way are kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cortado.categorizer import Categorizer, Expected, Training
from cortado.categorizer.rules import ModelRule
from cortado.cells import NOMINAL, SUMW, only_channel
from cortado.errors import ConfigError, checked_integer
from cortado.event_sample import EventSample
from cortado.exact import Limit, NoLimit, Split, best_split, limit_or_reason
from cortado.models import Model
from cortado.models.tensorflow import keras
from cortado.objectives import Objective, Overtraining, Yields, as_objective, overtraining
from cortado.objectives.described import described
from cortado.points import Points
from cortado.report import (
    combination,
    fit_rows,
    limit_in_words,
    reach_in_words,
    significance_table,
    significances,
    to_text,
)
from cortado.sample import Sample
from cortado.shares import Shares, shares_of
from cortado.training.checkpoint import Checkpoint
from cortado.training.hard import yields_on
from cortado.training.history import Step
from cortado.training.on_events import Events, holding
from cortado.training.order import ordered_rule
from cortado.training.plan import Plan
from cortado.training.run import OvertrainingWarning, Run
from cortado.training.schedules import Constant, Exponential, Schedule

Progress = Callable[[int, int, float | None], None]
Callback = Callable[[Step], Any]
_OfFolds = Callable[[Sequence[int]], Events]

_SAME_WEIGHT = 1e-6  # relative


@dataclass(frozen=True, eq=False)
class FitResult:
    """Categories learned from a sample.

    ``training`` and ``held_out`` are yields of the hard categories on the cells of these folds, or on their
    events where these were trained on: ``counted`` says which. They are scaled to the full luminosity.
    ``overtraining`` compares the objective on the two; where no fold was held out, both are None. ``history``
    is what was found at every evaluation. ``limit`` and ``one_more`` are computed from the cells of the
    ``sample`` when they are first asked for.
    """

    categorizer: Categorizer
    objective: Objective
    training: Yields
    held_out: Yields | None
    overtraining: Overtraining | None
    history: tuple[Step, ...] = field(repr=False)
    sample: Sample = field(repr=False)
    counted: Literal["cells", "events"] = "cells"

    def __str__(self) -> str:
        rows = fit_rows(self.training, self.held_out, self.objective, self.counted)
        title = f"{self.categorizer.n_categories} categories"
        lines = [to_text(significance_table(rows, title, combination(self.objective)))]
        if self.counted == "cells" and self.sample.is_coarse:
            lines.append(
                "These are yields of cells, which are coarse here; fit(events=…) goes on with the events."
            )
        if self.limit and self.one_more:
            lines += [limit_in_words(self.limit), reach_in_words(rows[-1], self.limit, self.one_more)]
        else:
            lines.append(str(self._limit))
        return "\n".join(lines)

    @property
    def limit(self) -> Limit | None:
        """What infinitely many categories would give; None for an objective or a sample that has no limit."""
        return self._limit if isinstance(self._limit, Limit) else None

    @cached_property
    def _limit(self) -> Limit | NoLimit:
        return limit_or_reason(self.sample, self.objective)

    @cached_property
    def one_more(self) -> Split | None:
        """What one more category would add, split off from one of these; None without a limit."""
        if self.limit is None:
            return None
        return best_split(self.sample, self.objective, self.categorizer.rule)


def fit(
    model: Model,
    sample: Sample,
    objective: Objective | Callable[[Yields], Any],
    *,
    seed: int = 0,
    held_out: Sequence[int] | None = None,
    steps: int = 600,
    starts: int = 4,
    initialisation: Literal["partition", "random"] = "partition",
    smoothing: bool = True,
    optimizer: keras.optimizers.Optimizer | None = None,
    learning_rate: Schedule | None = Exponential(0.01, 0.001),
    temperature: Schedule = Exponential(0.3, 0.05),
    penalty: Schedule = Constant(1.0),
    evaluate_every: int = 20,
    patience: int | None = None,
    max_cells: int = 16_000,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    events: EventSample | None = None,
    event_steps: int = 100,
    client: Any = None,
) -> FitResult:
    """Learn categories of ``sample`` that maximise ``objective``.

    The optimizer sees soft yields, at a temperature that falls from step to step; what is kept is the state
    whose *hard* categories are best on the training folds, over all steps and starts. A category that misses
    a floor is dropped, and its region falls to its neighbours. Floors are kept with a margin of 1 %, since
    the yields of whole cells differ a little from those of events.

    With ``events``, the best state found on cells is trained further on the events of the sample one by one.
    What is kept is then the state whose hard categories are best on these events, and meet the floors there.

    Parameters
    ----------
    model
        A soft categorisation, such as :class:`cortado.GaussianMixture`. It is left in the state of the
        result, with the categories that were dropped.
    sample
        Normalised sample: its sources are processes.
    objective
        Function of :class:`Yields`, larger is better; a sum of terms.
    seed
        Same seed, same sample: same categories.
    held_out
        Folds kept out of the training; by default the last of several.
    steps, starts
        Gradient steps from each of several starts.
    initialisation
        Starts are "partition"s of the cells that are good for the objective, found from random beginnings (in
        one dimension the exact optimum is the first, where there is one), or "random" ones.
    smoothing
        Whether gradient steps see cells and events with smooth shares of the processes, where a regression
        describes them well enough (:mod:`cortado.shares`), so that categories do not follow
        fluctuations.
        With a single coordinate there is little to follow, and nothing is smoothed.
    optimizer
        Any Keras optimizer; a copy of it is used. Adam by default.
    learning_rate, temperature, penalty
        Functions of the progress 0 … 1. With a ``learning_rate`` of None the optimizer's own is used. The
        defaults refine partitions; from random starts it is a long way, at temperatures from 1 on.
        ``penalty`` is a factor on the strength of the floors while training.
    evaluate_every
        Hard categories are evaluated every so many steps, on the sample's own cells.
    patience
        A start ends after so many evaluations without a better result of its own; by default never.
    max_cells
        For the gradient steps the cells are doubled in size until there are at most so many.
    callbacks
        Each is called with the :class:`Step` of every evaluation; a start ends if one of them returns true.
    progress
        Called with (steps done, steps in all, best hard objective so far or None).
    checkpoint
        A file in which the training is kept after every evaluation. If it exists, the training goes on from
        there, to the same result.
    events
        The events that the sample is made of, for where cells are too coarse: in four dimensions and more.
        A step takes a time in proportion to their number; memory does not grow with it where they are in
        files.
    event_steps
        Gradient steps on events, with a fresh optimizer and the second half of the schedules. With ``steps``
        of 0 they follow the starts at once, with the whole schedules.
    client
        A ``distributed.Client``, whose workers each hold a part of the events; by default they are held here.
        The workers must be able to import what the model is made of, and to read the files of events. One
        that dies is replaced by others. The result is the same.

    Raises
    ------
    ConfigError
        If an argument breaks a rule, the signals are not among the processes, the checkpoint is that of
        another training, or the events are not those of the sample.
    TrainingError
        If no state has a finite objective, the floors leave fewer than two categories, or the workers that
        hold the events are lost.

    Warns
    -----
    TrainingWarning
        If a start diverges.
    OvertrainingWarning
        If the objective on the training folds exceeds that on the held-out ones by more than three standard
        deviations of a paired bootstrap.
    """
    goal = as_objective(objective)
    folds, left_out = _split_folds(sample.n_folds, held_out)
    checked_steps = checked_integer("event_steps", event_steps, 1)
    plan = Plan(
        seed,
        steps,
        starts,
        initialisation,
        smoothing,
        learning_rate,
        temperature,
        penalty,
        evaluate_every,
        patience,
        max_cells,
        0 if events is None else checked_steps,
    )
    points = sample.points(folds, nuisances=goal.nuisances)
    _check(goal, points, model)
    chosen = keras.optimizers.Adam() if optimizer is None else optimizer
    _check_optimizer(chosen, learning_rate)
    shares = shares_of(points) if smoothing and points.place.shape[1] > 1 else None
    of_folds = _events_of_folds(events, sample, points, model, plan, shares, client)
    run = Run(model, points, goal, plan, chosen, shares, of_folds(folds) if of_folds else None)
    kept = Checkpoint(checkpoint, run.description) if checkpoint else None
    for step in run.evaluations(kept):
        for callback in callbacks:
            if callback(step):
                run.end_start()
        if progress:
            best = run.best.value if run.best else None
            progress(step.start * steps + step.step + 1, plan.total_steps, best)
    if progress:
        progress(plan.total_steps, plan.total_steps, run.best.value if run.best else None)
    state = run.usable()
    model.restore(state.variables)
    rule = state.rule if goal.per_category else ordered_rule(state.rule, points, goal)
    training = run.yields_of(rule)
    held = _held_out_yields(sample, left_out, of_folds, rule, goal.nuisances)
    counted: Literal["cells", "events"] = "events" if of_folds else "cells"
    found = {f"training {counted}": training} | ({f"held-out {counted}": held} if held else {})
    record = Training(
        signals=goal.signals,
        processes=points.processes,
        n_folds=sample.n_folds,
        folds=tuple(folds),
        seed=seed,
        objective=_finite(goal.value(training)),
        sample=sample.digest,
        expected=tuple(_expected(events_of, y, goal) for events_of, y in found.items()),
    )
    categorizer = Categorizer(features=sample.features, rule=rule, training=record)
    compared = overtraining(goal.value, training, held, seed=seed) if held else None
    if compared and compared.is_significant:
        warnings.warn(compared.in_words, OvertrainingWarning, stacklevel=2)
    return FitResult(categorizer, goal, training, held, compared, tuple(run.history), sample, counted)


def _expected(events: str, yields: Yields, objective: Objective) -> Expected:
    """The record of what categories give on these events."""
    return Expected(
        events=events,
        significances={k: z for k, z in significances(yields, objective).items() if np.isfinite(z)},
        objective=_finite(objective.value(yields)),
        yields={p: tuple(row) for p, row in zip(yields.processes, yields.sumw.tolist(), strict=True)},
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _held_out_yields(
    sample: Sample,
    folds: Sequence[int],
    of_folds: _OfFolds | None,
    rule: ModelRule,
    nuisances: tuple[str, ...],
) -> Yields | None:
    """Yields of the hard categories in these folds; None without folds or events in them."""
    points = sample.points(folds, nuisances=nuisances) if folds else None
    if points is None or not len(points.place):
        return None
    return of_folds(folds).yields(rule) if of_folds else yields_on(points)(rule)


def _events_of_folds(
    events: EventSample | None,
    sample: Sample,
    points: Points,
    model: Model,
    plan: Plan,
    shares: Shares | None,
    client: Any,
) -> _OfFolds | None:
    """A function that gives the events of some folds; None without events."""
    if events is None:
        if client is not None:
            raise ConfigError("a client is of use with events alone: cells are trained on in this process")
        return None
    _check_events(events, sample)
    if nuisances := points.nuisances:
        raise ConfigError(
            "events must be None for an objective with nuisance parameters, because they are kept without "
            f"variations, got {list(nuisances)}"
        )
    return holding(events, points.processes, model, plan.event_steps, shares, client)


def _check_events(events: EventSample, sample: Sample) -> None:
    """Whether the events are those that the sample is made of; else ``ConfigError``."""
    if not isinstance(events, EventSample):
        raise ConfigError(f"events must be a cortado.EventSample, got {type(events).__name__}")
    if (events.features, events.n_folds) != (sample.features, sample.n_folds):
        raise ConfigError("the events must have the features, coordinates and folds of the sample")
    channel = only_channel(sample.cells)
    cells = sample.cells.select(lambda s: (s.channel, s.variation) == (channel, NOMINAL))
    counts = np.bincount(cells.source, cells.count, len(cells.sources))
    weights = np.bincount(cells.source, cells.sums[:, SUMW], len(cells.sources))
    expected = {(s.dataset, s.fold): (n, w) for s, n, w in zip(cells.sources, counts, weights, strict=True)}
    found = dict.fromkeys(expected, (0, 0.0))
    for s in events.streams:
        n, w = found.get((s.dataset, s.fold), (0, 0.0))
        found[s.dataset, s.fold] = n + s.n_events, w + s.sumw * s.factor
    for (process, fold), (n, w) in found.items():
        in_sample = expected.get((process, fold), (0, 0.0))
        if n != in_sample[0] or not np.isclose(w, in_sample[1], rtol=_SAME_WEIGHT):
            raise ConfigError(
                f"the events must be those of the sample, which has {in_sample[0]:.0f} of process "
                f"{process!r} in fold {fold} with a weight of {in_sample[1]:.6g}, got {n} with {w:.6g}"
            )


def _split_folds(n_folds: int, held_out: Sequence[int] | None) -> tuple[list[int], list[int]]:
    if held_out is not None and not isinstance(held_out, Collection):
        raise ConfigError(f"held_out must be a list of folds, got {held_out!r}")
    left_out = [n_folds - 1] if held_out is None and n_folds > 1 else sorted(set(held_out or ()))
    folds = [f for f in range(n_folds) if f not in left_out]
    if not folds or not set(left_out) <= set(range(n_folds)):
        raise ConfigError(
            f"held_out must be some, but not all, of the folds 0 … {n_folds - 1}, got {left_out}"
        )
    return folds, left_out


def _check(goal: Objective, points: Points, model: Model) -> None:
    if not isinstance(model, Model):
        raise ConfigError(f"model must derive from cortado.Model, got {type(model).__name__}")
    if goal.floors and not goal.signals:
        raise ConfigError("floors are on the background, so a term of the objective must name the signals")
    for name in goal.signals:
        if name not in points.processes:
            raise ConfigError(f"signal {name!r} is not among the processes {list(points.processes)}")
        total = points.sumw[points.processes.index(name)].sum()
        if not total > 0:
            raise ConfigError(f"signal {name!r} has a total weight of {total:.6g} in the training folds")
    if set(points.processes) <= set(goal.signals):
        raise ConfigError(f"every process is a signal ({list(points.processes)}); one must be background")
    if len(points.place) < model.n_categories:
        raise ConfigError(
            f"{model.n_categories} categories need as many cells, the training folds have {len(points.place)}"
        )


def _check_optimizer(optimizer: Any, learning_rate: Schedule | None) -> None:
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ConfigError(f"optimizer must be a Keras optimizer, got {optimizer!r}")
    own = optimizer.get_config().get("learning_rate")
    if learning_rate is not None and isinstance(own, dict):
        raise ConfigError(
            "learning_rate must be None for an optimizer that has a schedule of its own, got "
            f"{described(learning_rate)} and {own['class_name']}"
        )
