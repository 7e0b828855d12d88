"""Where the gradients of relaxed cuts die or lead astray, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich import box
from rich.table import Table

from cortado.errors import ConfigError, InputError
from cortado.softcuts.events import CutEvents, Floats
from cortado.softcuts.losses import Loss
from cortado.softcuts.optimum import HardCuts, Optimum, best_cut
from cortado.softcuts.relaxations import Relaxation, labels
from cortado.softcuts.scans import Scan, scan


@dataclass(frozen=True)
class StationaryPoint:
    """Where the gradient changes its sign.

    Following the gradient leads to it from both sides where it is ``attracting``, and away from it where not.
    It is ``spurious`` unless it is the optimum.
    """

    cut: float
    attracting: bool
    spurious: bool

    def __str__(self) -> str:
        return (
            "a false minimum" if self.attracting else "a point from which gradients lead away on both sides"
        )


@dataclass(frozen=True)
class Diagnosis:
    """What a scan of one relaxation and loss says about an optimisation by gradients.

    Attributes
    ----------
    scan
        Of the relaxation and the loss, in double precision; fractions are those of its cuts.
    optimum
        The best cut of the relaxation, and its loss.
    hard
        The best hard cut, and its significance of the ``kind`` asked for.
    bias
        The position of the optimum minus that of the best hard cut.
    kept
        What part of the best significance a hard cut at the optimum has.
    dead
        Fraction with a gradient below ``threshold`` times the largest.
    zero_in_float32
        Fraction with a gradient of exactly zero when weights are computed in single precision.
    stationary
        Where the gradient changes its sign.
    basin
        The first and the last of the cuts from which following the gradient in small steps ends at the
        optimum.
    """

    scan: Scan
    optimum: Optimum
    hard: Optimum
    kind: str
    bias: float
    kept: float
    threshold: float
    dead: float
    zero_in_float32: float
    stationary: tuple[StationaryPoint, ...]
    basin: tuple[float, float]

    @property
    def relaxation(self) -> Relaxation:
        """That of the scan."""
        return self.scan.relaxation

    @property
    def loss(self) -> Loss:
        """That of the scan."""
        return self.scan.loss

    @property
    def basin_fraction(self) -> float:
        """Fraction of the range from which the gradient leads to the optimum."""
        return (self.basin[1] - self.basin[0]) / float(np.ptp(self.scan.cuts))

    @property
    def sentences(self) -> list[str]:
        """The numbers in words, one sentence each."""
        side = "above" if self.bias > 0 else "below"
        ends = self.scan.cuts.min(), self.scan.cuts.max()
        edge = "at the edge of the range, " if self.optimum.cut in ends else ""
        return [
            (
                f"{self.relaxation}, {self.loss.symbol}: the best cut is {self.optimum.cut:.2f}, {edge}"
                f"{abs(self.bias):.2f} {side} the best hard cut; "
                f"a hard cut there has {100 * self.kept:.1f} % of the best significance."
            ),
            (
                f"In {100 * self.dead:.0f} % of the range the gradient is below {self.threshold:g} of its "
                f"largest, in {100 * self.zero_in_float32:.0f} % it is exactly zero in float32."
            ),
            (
                f"From {self.basin[0]:.1f} to {self.basin[1]:.1f} the gradient leads to the best cut, "
                f"{100 * self.basin_fraction:.0f} % of the range."
            ),
            *self._outside,
            *(f"At {point.cut:.2f} there is {point}." for point in self.stationary if point.spurious),
        ]

    @property
    def _outside(self) -> list[str]:
        """What becomes of cuts beside the basin, in words."""
        cuts, gradients = self.scan.cuts, self.scan.gradients
        beside = (
            ("below", self.basin[0], cuts < self.basin[0]),
            ("above", self.basin[1], cuts > self.basin[1]),
        )
        return [
            f"Cuts {word} {edge:.1f} "
            + ("do not move." if not gradients[there].any() else "are driven away from it, or hardly move.")
            for word, edge, there in beside
            if there.any()
        ]

    def __str__(self) -> str:
        return " ".join(self.sentences)


def diagnose(
    events: CutEvents,
    relaxations: Relaxation | Sequence[Relaxation],
    losses: str | Sequence[str] | None = None,
    cuts: npt.ArrayLike | None = None,
    *,
    kind: str = "s/sqrt(b)",
    threshold: float = 1e-3,
) -> list[Diagnosis]:
    """A diagnosis of every loss of every relaxation, from two scans, in double and in single precision.

    Parameters
    ----------
    events, relaxations, losses, cuts
        As :func:`scan` takes them. Stationary points that are closer than two cuts are not told apart.
    kind
        The significance by which hard cuts are judged, one of ``cortado.objectives.SQUARED_SIGNIFICANCES``.
    threshold
        A fraction of the largest gradient, between 0 and 1, below which a gradient counts as dead.

    Raises
    ------
    ConfigError, InputError
        As :func:`scan` does; ``ConfigError`` for a kind or a threshold that may not be, ``InputError`` for
        cuts that are all the same.
    """
    if not 0 < threshold < 1:
        raise ConfigError(f"threshold must be between 0 and 1, got {threshold!r}")
    double = scan(events, relaxations, losses, cuts)
    if not np.ptp(double[0].cuts) > 0:
        raise InputError(f"cuts must be at two positions at least, got only {double[0].cuts[0]:g}")
    single = scan(events, relaxations, losses, cuts, precision="float32")
    hard = {side: HardCuts(events, kind, side) for side in {s.relaxation.side for s in double}}
    return [
        _diagnosis(events, s, t, hard[s.relaxation.side], kind, threshold)
        for s, t in zip(double, single, strict=True)
    ]


def _diagnosis(
    events: CutEvents, found: Scan, single: Scan, hard: HardCuts, kind: str, threshold: float
) -> Diagnosis:
    near = found.cuts[max(found.best - 1, 0) : found.best + 2]
    optimum = best_cut(events, found.relaxation, found.loss.name, near)
    best = hard.best
    size = np.abs(found.gradients)
    slope = found.loss.sign * found.gradients
    stationary = _stationary(found.cuts, slope, optimum.cut)
    return Diagnosis(
        scan=found,
        optimum=optimum,
        hard=best,
        kind=kind,
        bias=optimum.cut - best.cut,
        kept=float(hard.value(np.array(optimum.cut))) / best.value,
        threshold=threshold,
        dead=float(np.mean(size <= threshold * size.max())),
        zero_in_float32=float(np.mean(single.gradients == 0)),
        stationary=stationary,
        basin=_basin(found.cuts, slope, optimum.cut),
    )


def _stationary(cuts: Floats, slope: Floats, optimum: float) -> tuple[StationaryPoint, ...]:
    """Where the slope of what is minimised changes its sign between two cuts, by interpolation.

    Cuts without a slope are passed over: it may change its sign at one of them, or across a flat stretch.
    """
    spacing = np.diff(cuts).max(initial=0.0)
    cuts, slope = cuts[slope != 0], slope[slope != 0]
    i = np.flatnonzero(np.sign(slope[:-1]) != np.sign(slope[1:]))
    before, gap = slope[i], cuts[i + 1] - cuts[i]
    places = cuts[i] + gap * before / (before - slope[i + 1])
    attracting = before < 0
    own = attracting & (np.abs(places - optimum) <= np.maximum(spacing, gap))
    return tuple(
        StationaryPoint(float(c), bool(a), not bool(o))
        for c, a, o in zip(places, attracting, own, strict=True)
    )


def _basin(cuts: Floats, slope: Floats, optimum: float) -> tuple[float, float]:
    """How far from the optimum every cut has a slope that leads towards it."""
    spacing = np.diff(cuts).max(initial=0.0)
    # The cuts next to the optimum may be on either side of where the slope vanishes.
    left = [c for c, s in zip(cuts, slope, strict=True) if c < optimum - spacing and s >= 0]
    right = [c for c, s in zip(cuts, slope, strict=True) if c > optimum + spacing and s <= 0]
    inside = [c for c in cuts if max(left, default=-np.inf) < c < min(right, default=np.inf)]
    return float(inside[0]), float(inside[-1])


def diagnosis_table(diagnoses: Sequence[Diagnosis]) -> Table:
    """The numbers of diagnoses as a rich table, a row each."""
    table = Table(title="Relaxed cuts", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("relaxation", "loss"):
        table.add_column(heading)
    for heading in ("best cut", "bias", "Z kept", "dead", "zero in float32", "basin"):
        table.add_column(heading, justify="right")
    for label, found in zip(labels([d.relaxation for d in diagnoses]), diagnoses, strict=True):
        table.add_row(label, found.loss.symbol, *cells(found))
    return table


def cells(found: Diagnosis) -> list[str]:
    """Best cut, bias, kept significance, dead zones and basin of a diagnosis, as tables show them."""
    return [
        f"{found.optimum.cut:.2f}",
        f"{found.bias:+.2f}",
        f"{100 * found.kept:.1f} %",
        f"{100 * found.dead:.0f} %",
        f"{100 * found.zero_in_float32:.0f} %",
        f"{found.basin[0]:.1f} … {found.basin[1]:.1f}",
    ]
