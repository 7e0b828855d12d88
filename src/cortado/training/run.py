"""A training in progress: starts, steps and evaluations, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import ModelRule
from cortado.errors import ConfigError, TrainingError
from cortado.models import Model, Start
from cortado.models.checks import check_memberships, code_of
from cortado.objectives import Objective, Yields
from cortado.objectives.described import described
from cortado.points import Points
from cortado.shares import Shares
from cortado.training.checkpoint import Checkpoint, Progress, digest
from cortado.training.hard import HardState, YieldsOf, evaluate_model, yields_on
from cortado.training.history import Step, bias_of, soft_yields
from cortado.training.loop import Trainer
from cortado.training.on_events import Events, EventTrainer
from cortado.training.plan import Plan
from cortado.training.starts import starts

Floats = npt.NDArray[np.float64]

# A cell that a boundary cuts counts on one side as a whole: on events a category can hold a little less.
_MARGIN = 0.01


class TrainingWarning(UserWarning):
    """A training went on, but something about it needs attention."""


class OvertrainingWarning(TrainingWarning):
    """The result is better on the events it was trained on than chance allows."""


@dataclass(frozen=True, eq=False)
class Leg:
    """Steps from one start on cells, or on events: with what they are taken, and how the result is judged."""

    number: int
    trainer: Trainer | EventTrainer
    progress: Floats
    goal: Objective
    yields_of: YieldsOf


class Run:
    """A training in progress: what was found, and where it stands."""

    def __init__(
        self,
        model: Model,
        points: Points,
        goal: Objective,
        plan: Plan,
        optimizer: Any,
        shares: Shares | None = None,
        events: Events | None = None,
    ) -> None:
        self._model, self._points, self._plan, self._events = model, points, plan, events
        self._asked, self._goal = goal, goal.with_margin(_MARGIN)
        self._optimizer = optimizer
        self._coarse = points.coarsened(plan.max_cells)
        self._smooth = shares.smoothed(self._coarse) if shares else self._coarse
        self._trainer: Trainer | None = None
        self._ended = False
        self._diverged: list[str] = []
        self.history: list[Step] = []
        self.best: HardState | None = None

    @property
    def description(self) -> dict[str, str]:
        """What the result depends on."""
        return {
            "model": f"{type(self._model).__name__}({self._model.configuration}, {code_of(self._model)})",
            "objective": described(self._asked),
            "plan": str(self._plan),
            "optimizer": f"{type(self._optimizer).__name__}({_configuration(self._optimizer)})",
            "sample": digest(self._points),
            "events": self._events.digest if self._events else "none",
        }

    def end_start(self) -> None:
        """Take no more steps from this start."""
        self._ended = True

    def yields_of(self, rule: ModelRule) -> Yields:
        """What a rule holds in the end: on events where these are trained on, else on cells."""
        return self._events.yields(rule) if self._events else yields_on(self._points)(rule)

    def evaluations(self, kept: Checkpoint | None) -> Iterator[Step]:
        """Train, and give what was found at every evaluation."""
        plan = self._plan
        begun = kept.load() if kept else None
        if begun:
            self._refuse_another(begun)
            self.history, self.best, self._diverged = list(begun.history), begun.best, list(begun.diverged)
        rngs = np.random.default_rng(plan.seed).spawn(plan.starts)
        all_starts = starts(self._smooth, self._goal, self._model.n_categories, plan.initialisation, rngs)
        for number, start in enumerate(all_starts):
            if begun and number < begun.start:
                continue
            trainer = self._prepared(start)
            leg = Leg(number, trainer, plan.progress, self._goal, yields_on(self._points))
            yield from self._evaluations(leg, begun, kept)
        if self._events and self.best:
            if begun is None or begun.start < plan.starts:
                first, self.best = self.best, None
            else:
                first = self.best
            leg = self._on_events(self._events, first)
            yield from self._evaluations(leg, begun, kept)

    def _refuse_another(self, begun: Progress) -> None:
        """``ConfigError`` if what was found is not worth what it was: functions may have changed unseen."""
        if begun.best is None:
            return
        on_events = self._events if begun.start >= self._plan.starts else None
        yields = on_events.yields(begun.best.rule) if on_events else yields_on(self._points)(begun.best.rule)
        value = self._goal.value(yields)
        if not np.isclose(value, begun.best.value, rtol=1e-6, atol=0.0):
            raise ConfigError(
                "the checkpoint is that of another training: the categories that it holds had an objective "
                f"of {begun.best.value:.6g}, here they have {value:.6g}"
            )

    def _evaluations(self, leg: Leg, begun: Progress | None, kept: Checkpoint | None) -> Iterator[Step]:
        first = 0
        if begun and leg.number == begun.start:
            leg.trainer.restore(begun.variables)
            first = begun.step + 1
            self._ended = begun.ended
        else:
            self._ended = False
            if (step := self._begun(leg)) is not None:
                yield step
        for chunk in _chunks(first, len(leg.progress), self._plan.evaluate_every):
            if self._ended:
                break
            step = self._advance(leg, chunk)
            if step is not None:
                yield step
            if kept:
                kept.save(self._progress(leg, chunk.stop - 1))

    def _progress(self, leg: Leg, step: int) -> Progress:
        return Progress(
            leg.number,
            step,
            self._ended,
            leg.trainer.state(),
            self.best,
            tuple(self.history),
            tuple(self._diverged),
        )

    def _prepared(self, start: Start) -> Trainer:
        if self._trainer is None:
            self._model.initialise(start)  # its variables exist from now on
            check_memberships(self._model, start.points)
            plan = self._plan
            self._trainer = Trainer(
                self._model,
                self._coarse,
                self._smooth,
                self._goal,
                _copied(self._optimizer),
                plan.evaluate_every,
                plan.steps * plan.starts,
            )
        self._trainer.begin(start)
        return self._trainer

    def _on_events(self, events: Events, best: HardState) -> Leg:
        """Steps on events from the best state so far; floors need no margin there."""
        self._model.build(self._points.place.shape[1])
        self._model.restore(best.variables)
        trainer = EventTrainer(self._model, events, self._goal, _copied(self._optimizer))
        return Leg(self._plan.starts, trainer, self._plan.event_progress, self._asked, events.yields)

    def _advance(self, leg: Leg, chunk: slice) -> Step | None:
        """Take some steps and evaluate; None, with the model as it was before, if that led nowhere."""
        plan, progress = self._plan, leg.progress[chunk]
        before = leg.trainer.state()
        temperature = plan.values(plan.temperature, progress)
        rate = plan.values(plan.learning_rate, progress) if plan.learning_rate else None
        soft = leg.trainer.run(temperature, rate, plan.values(plan.penalty, progress))
        if not np.isfinite(soft).all():
            first = int(np.argmin(np.isfinite(soft)))
            leg.trainer.restore(before)
            self._diverge(leg, chunk.start + first, float(soft[first]))
            return None
        step = self._evaluated(leg, chunk.stop - 1, float(temperature[-1]))
        if step is None:
            leg.trainer.restore(before)
            self._diverge(leg, chunk.stop - 1, float(soft[-1]))
        else:
            self._ended = self._stalled(leg.number)
        return step

    def _begun(self, leg: Leg) -> Step | None:
        """What a start is worth before any step; None if that is nothing finite, which steps may mend."""
        first = leg.progress[:1] if len(leg.progress) else np.zeros(1)
        return self._evaluated(leg, -1, float(self._plan.values(self._plan.temperature, first)[0]))

    def _evaluated(self, leg: Leg, step: int, temperature: float) -> Step | None:
        """The hard categories as they are now, kept if they are the best; None if they are not finite."""
        state = evaluate_model(self._model, self._points, leg.goal, leg.yields_of)
        if state is None:
            return None
        self.best = state if state.better_than(self.best) else self.best
        soft = soft_yields(self._model, self._coarse, temperature)
        found = Step(
            leg.number,
            step,
            temperature,
            self._goal.value(soft),
            state.value,
            state.shortfall,
            bias_of(soft, self._model, self._coarse),
        )
        self.history.append(found)
        return found

    def _diverge(self, leg: Leg, step: int, objective: float) -> None:
        self._ended = True
        what = f"start {leg.number}" if leg.number < self._plan.starts else "the training on events"
        where = f"{what} diverged at step {step}, with an objective of {objective:g}"
        self._diverged.append(where)
        warnings.warn(f"{where}; what was found before is kept", TrainingWarning, stacklevel=6)

    def _stalled(self, number: int) -> bool:
        patience = self._plan.patience
        own = [(-s.shortfall, s.hard) for s in self.history if s.start == number and s.step >= 0]
        return patience is not None and len(own) - 1 - int(_first_best(own)) >= patience

    def usable(self) -> HardState:
        """The best state, if it has categories that meet the floors; else ``TrainingError``."""
        goal, points = self._asked, self._points
        if self.best is None:
            raise TrainingError(
                f"no start led to a finite objective of {self._model.n_categories} categories"
                f"{''.join(f'; {where}' for where in self._diverged)}; check the weights of the sample, or "
                "lower the learning rate"
            )
        if self.best.shortfall or len(np.unique(self.best.rule.assign(points.place))) < 2:
            background = [p for p, name in enumerate(points.processes) if name not in goal.signals]
            floors = ", ".join(map(str, goal.floors))
            raise TrainingError(
                f"no two categories were found that both {f'meet {floors}' if floors else 'hold events'}: "
                f"the training folds hold an expected background {points.sumw[background].sum():.4g} from "
                f"{points.count[background].sum()} events; "
                f"{'lower the floors or simulate more events' if floors else 'the objective gains by none'}"
            )
        return self.best


def _copied(optimizer: Any) -> Any:
    """One that was never used, so that the caller's stays as it is."""
    return type(optimizer).from_config(optimizer.get_config())


def _configuration(optimizer: Any) -> dict[str, Any]:
    """What an optimizer is made from, but for its name, which counts the optimizers of a process."""
    return {name: value for name, value in optimizer.get_config().items() if name != "name"}


def _first_best(values: Sequence[tuple[float, float]]) -> int:
    return max(range(len(values)), key=lambda i: (values[i], -i))


def _chunks(first: int, steps: int, length: int) -> Iterable[slice]:
    """Steps from ``first`` on, so many at a time."""
    return (slice(i, min(i + length, steps)) for i in range(first, steps, length))
