"""Signals and the background to each in tables of processes, and how their significances make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.objectives import Asimov, Objective, squared_significance
from cortado.objectives.described import described

Floats = npt.NDArray[np.float64]

_STEP = 1e-4  # relative, of derivatives


def only_asimov(objective: Objective) -> Asimov:
    """The term of an objective that is an :class:`Asimov` and, but for floors, nothing else.

    Raises ``ConfigError`` for other objectives, and for scales that are not the same in all categories.
    """
    if len(objective.merits) != 1 or not isinstance(asimov := objective.merits[0], Asimov):
        raise ConfigError(
            f"objective must be an Asimov, with floors or without, got {described(objective.merits)}"
        )
    if varying := [scale for scale in objective.scales if not isinstance(scale.factor, float)]:
        raise ConfigError(f"scales of the objective must be one number each, got {described(varying[0])}")
    return asimov


@dataclass(frozen=True, eq=False)
class Roles:
    """Which of the rows of tables (P, n) are each of S signals, the background to it, and to all of them."""

    asimov: Asimov
    signal: list[int]
    background: list[list[int]]
    common: list[int]

    @classmethod
    def of(cls, asimov: Asimov, processes: tuple[str, ...]) -> Roles:
        backgrounds = [asimov.backgrounds_of(name, processes) for name in asimov.signals]
        return cls(
            asimov,
            signal=[processes.index(name) for name in asimov.signals],
            background=[[processes.index(name) for name in names] for names in backgrounds],
            common=[row for row, name in enumerate(processes) if name not in asimov.signals],
        )

    def split(self, table: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Sums (S, n) of each signal and of its background, from those of the processes (P, n)."""
        return table[self.signal], np.stack([table[rows].sum(axis=0) for rows in self.background])

    def squares_and_bias(self, sumw: Floats, sumw2: Floats) -> tuple[Floats, Floats]:
        """(S, n) Z² of every signal, and by how much fluctuations raise it, from Σw and Σw² (P, n).

        Z² is convex: E[Z²] exceeds Z² of the expected yields by (σ_s² + t² σ_b²) / (s + b), t = s/b, to
        lowest order.
        """
        (s, b), (s2, b2) = self.split(sumw), self.split(sumw2)
        # Other signals by themselves are no background.
        z2 = squared_significance(s, np.where(sumw[self.common].sum(axis=0) > 0, b, 0.0))
        usable = z2 > 0
        ratio = np.where(usable, s, 0.0) / np.where(usable, b, 1.0)
        bias = np.where(usable, s2 + np.square(ratio) * b2, 0.0) / np.where(usable, s + b, 1.0)
        return z2, bias

    def combined(self, squares: Floats) -> float:
        """One significance from Z² (S,) of the signals."""
        return float(self.asimov.combined(np.maximum(squares, 0.0)))

    def importance(self, squares: Floats) -> Floats:
        """(S,) derivatives of the combined significance with respect to Z² of each signal."""
        derivatives = np.zeros(len(squares))
        for i in np.flatnonzero(squares > 0):
            up, down = squares.copy(), squares.copy()
            up[i] *= 1 + _STEP
            down[i] *= 1 - _STEP
            derivatives[i] = (self.combined(up) - self.combined(down)) / (up[i] - down[i])
        return derivatives

    def derivatives(self, of_signal: Floats, of_background: Floats) -> Floats:
        """(P, n) with respect to the processes, from those with respect to s and b of each signal, (S, n)."""
        of_processes = np.zeros((len(self.signal) + len(self.common), of_signal.shape[1]))
        for i, (row, rows) in enumerate(zip(self.signal, self.background, strict=True)):
            of_processes[row] += of_signal[i]
            of_processes[rows] += of_background[i]
        return of_processes
