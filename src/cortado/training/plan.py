"""How a training is done: its numbers and schedules, checked."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.objectives.described import described
from cortado.training.schedules import Schedule

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """How to train; every number but the seed is at least 1."""

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

    def __post_init__(self) -> None:
        for name in ("steps", "starts", "evaluate_every", "max_cells", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} must be at least 1, got {value}")
        if self.initialisation not in ("partition", "random"):
            raise ConfigError(f"initialisation must be 'partition' or 'random', got {self.initialisation!r}")
        for name, least in (("temperature", 0.0), ("learning_rate", 0.0), ("penalty", -np.finfo(float).tiny)):
            schedule = getattr(self, name)
            if schedule is None and name == "learning_rate":
                continue
            if not callable(schedule):
                raise ConfigError(f"{name} must be a function of the progress 0 … 1, got {schedule!r}")
            values = [schedule(p) for p in self.progress]
            if not all(np.isfinite(v) and v > least for v in values):
                rule = "finite and ≥ 0" if name == "penalty" else "finite and > 0"
                raise ConfigError(f"{name} must be {rule} in all steps, got {min(values)} … {max(values)}")

    @property
    def progress(self) -> Floats:
        """(steps,) progress 0 … 1 of each step."""
        return np.arange(self.steps) / max(self.steps - 1, 1)

    def values(self, schedule: Schedule, chunk: slice) -> Floats:
        """The values of a schedule in some of the steps."""
        return np.array([schedule(float(p)) for p in self.progress[chunk]], np.float64)

    def __str__(self) -> str:
        return ", ".join(f"{f.name}={described(getattr(self, f.name))}" for f in fields(self))
