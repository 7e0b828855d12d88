"""How a training is done: its numbers and schedules, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, checked_integer
from cortado.objectives.described import described
from cortado.training.schedules import Schedule

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How to train; every number but the seed is at least 1.

    There may be no steps from the starts, or none on events, but there are some.
    """

    seed: int
    steps: int
    starts: int
    initialisation: str
    smoothing: bool
    learning_rate: Schedule | None
    temperature: Schedule
    penalty: Schedule
    evaluate_every: int
    patience: int | None
    max_cells: int
    event_steps: int = 0

    def __post_init__(self) -> None:
        checked_integer("seed", self.seed, 0)
        for name in ("steps", "starts", "evaluate_every", "max_cells", "patience"):
            value = getattr(self, name)
            least = 0 if name == "steps" and self.event_steps > 0 else 1
            if value is None and name == "patience":
                continue
            checked_integer(name, value, least)
        if self.initialisation not in ("partition", "random"):
            raise ConfigError(f"initialisation must be 'partition' or 'random', got {self.initialisation!r}")
        for name, bound in (("temperature", 0.0), ("learning_rate", 0.0), ("penalty", -np.finfo(float).tiny)):
            schedule = getattr(self, name)
            if schedule is None and name == "learning_rate":
                continue
            if not callable(schedule):
                raise ConfigError(f"{name} must be a function of the progress 0 … 1, got {schedule!r}")
            values = [*self.values(schedule, self.progress), *self.values(schedule, self.event_progress)]
            if not all(np.isfinite(v) and v > bound for v in values):
                rule = "finite and ≥ 0" if name == "penalty" else "finite and > 0"
                raise ConfigError(f"{name} must be {rule} in all steps, got {min(values)} … {max(values)}")

    @property
    def progress(self) -> Floats:
        """(steps,) progress 0 … 1 of each step from a start."""
        return np.arange(self.steps) / max(self.steps - 1, 1)

    @property
    def event_progress(self) -> Floats:
        """(event_steps,) progress of each step on events: the second half, if others came before."""
        progress = np.arange(self.event_steps) / max(self.event_steps - 1, 1)
        return 0.5 + 0.5 * progress if self.steps else progress

    @property
    def total_steps(self) -> int:
        """Number of all steps."""
        return self.starts * self.steps + self.event_steps

    def values(self, schedule: Schedule, progress: Floats) -> Floats:
        """The values of a schedule at some progress."""
        return np.array([schedule(float(p)) for p in progress], np.float64)

    def __str__(self) -> str:
        return ", ".join(f"{f.name}={described(getattr(self, f.name))}" for f in fields(self))
