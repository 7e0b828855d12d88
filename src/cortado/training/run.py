"""A training in progress: starts, steps and evaluations, one after the other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import TrainingError
from cortado.models import Model, Start
from cortado.objectives import Objective
from cortado.objectives.described import described
from cortado.sample import Points
from cortado.training.checkpoint import Checkpoint, Progress, digest
from cortado.training.hard import HardState, evaluate_model
from cortado.training.history import Step, bias
from cortado.training.loop import Trainer
from cortado.training.plan import Plan
from cortado.training.smoothing import smoothed
from cortado.training.starts import starts

Floats = npt.NDArray[np.float64]

_SMOOTHING_CELLS = 4000
# A cell that a boundary cuts counts on one side as a whole: on events a category can hold a little less.
_MARGIN = 0.01


class TrainingWarning(UserWarning):
    """A training went on, but something about it needs attention."""


class OvertrainingWarning(TrainingWarning):
    """The result is better on the events it was trained on than chance allows."""


class Run:
    """A training in progress: what was found, and where it stands."""

    def __init__(self, model: Model, points: Points, goal: Objective, plan: Plan, optimizer: Any) -> None:
        self._model, self._points, self._plan = model, points, plan
        self._asked, self._goal = goal, goal.with_margin(_MARGIN)
        self._optimizer = type(optimizer).from_config(optimizer.get_config())
        self._coarse = points.coarsened(plan.max_cells)
        self._smooth = self._coarse
        if plan.smoothing and points.place.shape[1] > 1:
            self._smooth = smoothed(self._coarse, points.coarsened(_SMOOTHING_CELLS))
        self._trainer: Trainer | None = None
        self._ended = False
        self._diverged: list[str] = []
        self.history: list[Step] = []
        self.best: HardState | None = None

    @property
    def description(self) -> dict[str, str]:
        """What the result depends on."""
        return {
            "model": f"{type(self._model).__name__}({self._model.configuration})",
            "objective": described(self._asked),
            "plan": str(self._plan),
            "optimizer": f"{type(self._optimizer).__name__}({_configuration(self._optimizer)})",
            "sample": digest(self._points),
        }

    def end_start(self) -> None:
        """Take no more steps from this start."""
        self._ended = True

    def evaluations(self, kept: Checkpoint | None) -> Iterator[tuple[int, Step]]:
        """Train, and give the start and what was found at every evaluation."""
        plan = self._plan
        begun = kept.load() if kept else None
        if begun:
            self.history, self.best, self._diverged = list(begun.history), begun.best, list(begun.diverged)
        rngs = np.random.default_rng(plan.seed).spawn(plan.starts)
        all_starts = starts(self._smooth, self._goal, self._model.n_categories, plan.initialisation, rngs)
        for number, start in enumerate(all_starts):
            if begun and number < begun.start:
                continue
            trainer = self._prepared(start)
            first = 0
            if begun and number == begun.start:
                trainer.restore(begun.variables)
                first = begun.step + 1
                self._ended = begun.ended
            else:
                self._ended = False
                if (step := self._begun(trainer, number)) is not None:
                    yield number, step
            for chunk in _chunks(first, plan.steps, plan.evaluate_every):
                if self._ended:
                    break
                step = self._advance(trainer, number, chunk)
                if step is not None:
                    yield number, step
                if kept:
                    kept.save(self._progress(number, chunk.stop - 1, trainer))

    def _progress(self, number: int, step: int, trainer: Trainer) -> Progress:
        return Progress(
            number,
            step,
            self._ended,
            trainer.state(),
            self.best,
            tuple(self.history),
            tuple(self._diverged),
        )

    def _prepared(self, start: Start) -> Trainer:
        if self._trainer is None:
            self._model.initialise(start)  # its variables exist from now on
            plan = self._plan
            self._trainer = Trainer(
                self._model,
                self._coarse,
                self._smooth,
                self._goal,
                self._optimizer,
                plan.evaluate_every,
                plan.steps * plan.starts,
            )
        self._trainer.begin(start)
        return self._trainer

    def _advance(self, trainer: Trainer, number: int, chunk: slice) -> Step | None:
        """Take some steps and evaluate; None, with the model as it was before, if that led nowhere."""
        plan = self._plan
        before = trainer.state()
        temperature = plan.values(plan.temperature, chunk)
        rate = plan.values(plan.learning_rate, chunk) if plan.learning_rate else None
        soft = trainer.run(temperature, rate, plan.values(plan.penalty, chunk))
        if not np.isfinite(soft).all():
            first = int(np.argmin(np.isfinite(soft)))
            trainer.restore(before)
            self._diverge(number, chunk.start + first, float(soft[first]))
            return None
        step = self._evaluated(number, chunk.stop - 1, float(temperature[-1]), float(soft[-1]))
        if step is None:
            trainer.restore(before)
            self._diverge(number, chunk.stop - 1, float(soft[-1]))
        else:
            self._ended = self._stalled(number)
        return step

    def _begun(self, trainer: Trainer, number: int) -> Step | None:
        """What a start is worth before any step; None if that is nothing finite, which steps may mend."""
        first = slice(0, 1)
        temperature = float(self._plan.values(self._plan.temperature, first)[0])
        soft = trainer.objective(temperature, float(self._plan.values(self._plan.penalty, first)[0]))
        return self._evaluated(number, -1, temperature, soft)

    def _evaluated(self, number: int, step: int, temperature: float, soft: float) -> Step | None:
        """The hard categories as they are now, kept if they are the best; None if they are not finite."""
        state = evaluate_model(self._model, self._points, self._goal)
        if state is None:
            return None
        self.best = state if state.better_than(self.best) else self.best
        found = Step(
            number,
            step,
            temperature,
            soft,
            state.value,
            state.shortfall,
            bias(self._model, self._coarse, temperature),
        )
        self.history.append(found)
        return found

    def _diverge(self, number: int, step: int, objective: float) -> None:
        self._ended = True
        where = f"start {number} diverged at step {step}, with an objective of {objective:g}"
        self._diverged.append(where)
        warnings.warn(f"{where}; what was found before is kept", TrainingWarning, stacklevel=5)

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


def _configuration(optimizer: Any) -> dict[str, Any]:
    """What an optimizer is made from, but for its name, which counts the optimizers of a process."""
    return {name: value for name, value in optimizer.get_config().items() if name != "name"}


def _first_best(values: Sequence[tuple[float, float]]) -> int:
    return max(range(len(values)), key=lambda i: (values[i], -i))


def _chunks(first: int, steps: int, length: int) -> Iterable[slice]:
    """Steps from ``first`` on, so many at a time."""
    return (slice(i, min(i + length, steps)) for i in range(first, steps, length))
