"""Expected discovery significance over a background that is known with an uncertainty σ_b, per category.

    Z² = 2 {(s + b) ln[(s + b)(b + σ²) / (b² + (s + b) σ²)] − (b²/σ²) ln[1 + σ² s / (b (b + σ²))]}

(G. Cowan, Discovery sensitivity for a counting experiment with background uncertainty, 2012,
https://www.pp.rhul.ac.uk/~cowan/stat/medsig/medsigNote.pdf, eq. 20), the profile likelihood of the on/off
problem with b/σ² times the background counted in a sideband (Cousins, Linnemann and Tucker, Nucl. Instrum.
Meth. A 595 (2008) 480, physics/0702156). Categories have nothing in common: a systematic uncertainty that
moves several of them together is more, or less, harmful than that. It takes a profiled likelihood to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace
from cortado.objectives.asimov import LEAST_BACKGROUND, signals_and_backgrounds, squared_significance
from cortado.objectives.deviance import deviance_by_ratio
from cortado.objectives.significance import InCategories
from cortado.objectives.yields import Yields

Relative = float | Mapping[Any, float]


def squared_significance_with_uncertainty(signal: Any, background: Any, variance: Any) -> Any:
    """Z² of each category from expected signal, background and the variance σ² ≥ 0 of the latter, float64.

    As :func:`squared_significance` where the variance is 0, and 0 in the same categories. With t = s/b and
    q = σ²/(b + σ²), the formula is Z²(t) − Z²(q t)/q of a known background, b times each. Where σ² ≫ b some
    digits are lost, as many as σ²/b has.
    """
    xp = array_namespace(background)
    usable = (background > LEAST_BACKGROUND) & (signal > 0)
    b, s = xp.where(usable, background, 1.0), xp.where(usable, signal, 0.0)
    reduced = s / b * (variance / (b + variance))
    return xp.maximum(squared_significance(signal, background) - s * deviance_by_ratio(reduced), 0.0)


@dataclass(frozen=True, repr=False, init=False)
class AsimovWithUncertainty(InCategories):
    """Expected significance over backgrounds that are uncertain, each category by itself.

    The uncertainty is that of the simulation, σ_b² = Σw² of the background to the signal, and optional
    systematic ones in addition.

    Parameters
    ----------
    signals, combine, weights, other_signals
        As for :class:`Asimov`.
    relative
        Relative systematic uncertainties ≥ 0: one number for the whole background, or numbers by process or
        tuple of processes. Those of one entry vary together, entries and categories independently.
    """

    relative: tuple[tuple[tuple[str, ...], float], ...]

    def __init__(
        self,
        signals: tuple[str, ...] | list[str] | str,
        combine: str | Callable[[list[Any]], Any] = "geometric",
        *,
        relative: Relative = 0.0,
        weights: Mapping[str, float] | None = None,
        other_signals: str = "background",
    ) -> None:
        super().__init__(signals, combine, weights, other_signals)
        entries = _entries(relative)
        if len(self.signals) == 1 or other_signals == "ignored":
            named = {name for names, _ in entries for name in names}
            if wrong := sorted(named & set(self.signals)):
                raise ConfigError(
                    f"relative uncertainties are of backgrounds, {wrong} are background to no signal"
                )
        object.__setattr__(self, "relative", tuple((names, value) for names, value in entries if value))

    @property
    def own_options(self) -> dict[str, Any]:
        return {"relative": self.relative}

    def in_categories(self, yields: Yields) -> Any:
        signal, background = signals_and_backgrounds(self, yields)
        xp = array_namespace(background)
        backgrounds = [self.backgrounds_of(name, yields.processes) for name in self.signals]
        variance = yields.totals(backgrounds, "sumw2")
        for processes, fraction in self.relative:
            yields.require(processes)
            named = [tuple(p for p in every if not processes or p in processes) for every in backgrounds]
            variance = variance + xp.square(fraction * yields.totals(named))
        return squared_significance_with_uncertainty(signal, background, variance)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real)


def _entries(relative: Relative) -> tuple[tuple[tuple[str, ...], float], ...]:
    """Fractions with the processes that they are of; no process stands for the whole background."""
    given = relative if isinstance(relative, Mapping) else {(): relative}
    entries = tuple(((n,) if isinstance(n, str) else tuple(n), value) for n, value in given.items())
    for names, value in entries:
        if not _is_number(value) or not 0 <= value < float("inf"):
            raise ConfigError(
                f"relative uncertainties must be finite numbers ≥ 0, got {value!r}"
                f"{f' for {list(names)}' if names else ''}"
            )
    return tuple((names, float(value)) for names, value in entries)
