"""What a fit may stumble over, looked for in templates and said in words.

The list is that of CMS's ``ValidateDatacards``
(https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit/latest/part3/validation/), and what else has to
be known about the bins. Nothing is changed, and nothing here is an error: the exports refuse what no fit can
use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.arguments import NameOrNames, checked_arguments
from cortado.cells import NOMINAL
from cortado.errors import ConfigError
from cortado.export.rates import LogNormal, RateUncertainties, log_normals
from cortado.templates import ManyTemplates, Templates
from cortado.variations import both_names, nuisance_of, nuisances_of, other_side

Floats = npt.NDArray[np.float64]

MAX_EFFECT = 0.1
MIN_EFFECTIVE_EVENTS = 10.0
MIN_BACKGROUND = 0.1
ALL_CHANNELS = "all channels"
_SMALL_SIGNAL = 1e-3  # of all signals of the channel
_SMALL_SHAPE = 1e-3  # of the yield of a bin
_SAME = 1e-9
_MOST_BINS = 8


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    ``kind`` says what, in a few words that are always the same; ``message`` says it in a sentence.
    ``channel`` is its name, or "all channels" for what is said of the rate of a process. ``bins`` are the
    bins that it is about, each with its category and, with an observable, the number of its bin.
    """

    kind: str
    channel: str
    message: str
    process: str | None = None
    nuisance: str | None = None
    bins: tuple[tuple[int, ...], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """From where on something is worth mentioning.

    ``max_effect`` is the largest relative effect of a nuisance parameter on the yield of a process,
    ``min_effective_events`` the smallest (Σw)²/Σw² of the background of a bin; these defaults are those of
    ``ValidateDatacards``, and of combine's ``autoMCStats``, which describes fewer events process by process.
    ``min_background`` are the fewest expected background events of a bin that has more signal.
    """

    max_effect: float = MAX_EFFECT
    min_effective_events: float = MIN_EFFECTIVE_EVENTS
    min_background: float = MIN_BACKGROUND

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, Real) or not float(value) >= 0:
                raise ConfigError(f"{name} must be a number that is not negative, got {value!r}")


@checked_arguments
def check_templates(
    templates: ManyTemplates,
    signals: NameOrNames,
    limits: Limits | None = None,
    rate_uncertainties: RateUncertainties | None = None,
) -> list[Finding]:
    """What a fit to the templates of one or several channels may stumble over, the gravest first.

    ``signals`` are the processes that are signals in the fit; every other one but the data is background.
    ``rate_uncertainties`` are those that go into the fit beside the templates, see
    :class:`cortado.export.fit_model.FitOptions`. Raises ``ConfigError`` for signals that are in none of the
    channels, and for rates that are none.
    """
    given = [templates] if isinstance(templates, Templates) else templates
    names = (signals,) if isinstance(signals, str) else tuple(signals)
    there = sorted({process for one in given for process in one.simulated})
    if unknown := [name for name in names if name not in there]:
        raise ConfigError(f"signals {unknown} are not among the simulated processes {there}")
    chosen = limits or Limits()
    rates = log_normals(rate_uncertainties or {}, there)
    found = [found for check in _CHECKS for one in given for found in check(_Channel(one, names, chosen))]
    return [*_sides_of_rates(rates), *found]


def _sides_of_rates(rates: Mapping[str, Mapping[str, LogNormal]]) -> Iterator[Finding]:
    """Pairs of factors that do not move a rate down and up."""
    for nuisance, by_process in rates.items():
        for process, factors in by_process.items():
            down, up = factors
            moved = f"{nuisance} moves the rate of {process}"
            by = f"{_percent(up - 1)} up and {_percent(down - 1)} down"
            if (down - 1) * (up - 1) > 0:
                kind, message = "one-sided rate", f"{moved} to the same side, by {by}"
            elif down > 1 > up and not factors.is_one_number:
                kind, message = "swapped rate", f"{moved} the other way, by {by}: a pair is (down, up)"
            else:
                continue
            yield Finding(kind, ALL_CHANNELS, f"{ALL_CHANNELS}: {message}", process, nuisance)


class _Channel:
    """The templates of one channel as tables: P processes, K or K × M bins."""

    def __init__(self, templates: Templates, signals: Sequence[str], limits: Limits) -> None:
        self.templates, self.limits, self.name = templates, limits, templates.channel
        self.processes = templates.simulated
        self.signals = [p for p in self.processes if p in signals]
        self.backgrounds = [p for p in self.processes if p not in signals]

    def values(self, process: str, variation: str = NOMINAL) -> Floats:
        return self.templates.values(process, variation)

    def total(self, processes: Sequence[str]) -> Floats:
        return sum((self.values(p) for p in processes), np.zeros(self._shape))

    @property
    def background_variance(self) -> Floats:
        return sum((self.templates.variances(p) for p in self.backgrounds), np.zeros(self._shape))

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.templates.counts.shape[1:]

    def effects(self) -> Iterator[tuple[str, str, Floats, Floats, Floats]]:
        """Process, nuisance parameter, and the yields without it, up and down, where there is an effect."""
        for nuisance in nuisances_of(self.templates.variations):
            sides = both_names(nuisance)
            for process in self.processes:
                if self.templates.is_varied(process, sides[0]):
                    up, down = (self.values(process, v) for v in sides)
                    yield process, nuisance, self.values(process), up, down

    def finding(
        self,
        kind: str,
        message: str,
        process: str | None = None,
        nuisance: str | None = None,
        where: npt.NDArray[np.bool_] | None = None,
    ) -> Finding:
        """A finding of this channel, in the bins ``where`` it is."""
        bins = () if where is None else tuple(tuple(map(int, b)) for b in np.argwhere(where))
        named = f"{self.name}: {message}{f' in {self._listed(bins)}' if bins else ''}"
        return Finding(kind, self.name, named, process, nuisance, bins)

    def _listed(self, bins: Sequence[tuple[int, ...]]) -> str:
        shown = [str(b[0]) if len(b) == 1 else f"{b[0]}:{b[1]}" for b in bins[:_MOST_BINS]]
        more = " …" if len(bins) > _MOST_BINS else ""
        axis = self.templates.observable
        one, several = ("category", "categories") if axis is None else ("bin", "bins")
        labels = "" if axis is None else f" (category:{axis.name})"
        return f"{one if len(bins) == 1 else several}{labels} {', '.join(shown)}{more}"


def _signal_without_background(channel: _Channel) -> Iterator[Finding]:
    bare = channel.total(channel.backgrounds) <= 0
    signal = channel.total(channel.signals) > 0
    if (bare & signal).any():
        yield channel.finding(
            "signal without background", "there is signal and no background", where=bare & signal
        )
    if (bare & ~signal).any():
        yield channel.finding("no background", "there is no background", where=bare & ~signal)


def _empty_process(channel: _Channel) -> Iterator[Finding]:
    for p in channel.processes:
        if not channel.values(p).any():
            yield channel.finding("empty process", f"{p} is empty", p)
        elif (total := channel.values(p).sum()) <= 0:
            yield channel.finding("negative process", f"the yield of {p} is not positive, {total:.4g}", p)


def _negative_bins(channel: _Channel) -> Iterator[Finding]:
    for p in channel.processes:
        if (negative := channel.values(p) < 0).any():
            yield channel.finding("negative bins", f"{p} is negative", p, where=negative)


def _few_effective_events(channel: _Channel) -> Iterator[Finding]:
    background, variance = channel.total(channel.backgrounds), channel.background_variance
    effective = np.divide(background**2, variance, out=np.zeros_like(variance), where=variance > 0)
    few = (background > 0) & (effective < channel.limits.min_effective_events)
    if few.any():
        yield channel.finding(
            "few effective events",
            f"the background is made of fewer than {channel.limits.min_effective_events:g} effective events "
            f"({effective[few].min():.2g} at worst)",
            where=few,
        )


def _little_background(channel: _Channel) -> Iterator[Finding]:
    background, signal = channel.total(channel.backgrounds), channel.total(channel.signals)
    little = (background > 0) & (background < channel.limits.min_background) & (signal > background)
    if little.any():
        yield channel.finding(
            "little background",
            f"there are fewer than {channel.limits.min_background:g} expected background events "
            f"({background[little].min():.2g} at worst) and more signal, so that the significance is that of "
            "a small number",
            where=little,
        )


def _empty_variation(channel: _Channel) -> Iterator[Finding]:
    for process, nuisance, nominal, *sides in channel.effects():
        for variation, values in zip(both_names(nuisance), sides, strict=True):
            if nominal.sum() > 0 and not values.sum() > 0:
                yield channel.finding(
                    "empty variation",
                    f"the yield of {process} is {values.sum():.4g} with {variation}",
                    process,
                    nuisance,
                )
            elif (negative := (values < 0) & (nominal >= 0)).any():
                yield channel.finding(
                    "negative variation",
                    f"{process} is negative with {variation}",
                    process,
                    nuisance,
                    negative,
                )


def _missing_side(channel: _Channel) -> Iterator[Finding]:
    by_variation = sorted((variation, process) for process, variation in channel.templates.derived)
    for variation, group in groupby(by_variation, key=lambda made: made[0]):
        processes = ", ".join(process for _, process in group)
        yield channel.finding(
            "missing side",
            f"{variation} was not filled for {processes}: it is the mirror image of {other_side(variation)}, "
            "2 · nominal − other",
            nuisance=nuisance_of(variation),
        )


def _identical_sides(channel: _Channel) -> Iterator[Finding]:
    for process, nuisance, nominal, up, down in channel.effects():
        if _equal(up, nominal) and _equal(down, nominal):
            yield channel.finding("no effect", f"{nuisance} does not change {process}", process, nuisance)
        elif _equal(up, down):
            yield channel.finding(
                "identical sides", f"{process} is the same with {nuisance} up and down", process, nuisance
            )


def _one_sided(channel: _Channel) -> Iterator[Finding]:
    for process, nuisance, nominal, up, down in channel.effects():
        shifts = [_effect(nominal, side) for side in (up, down)]
        if not _equal(up, down) and min(shifts) * max(shifts) > 0 and min(map(abs, shifts)) > _SAME:
            yield channel.finding(
                "one-sided",
                f"{nuisance} moves the yield of {process} to the same side, up {_percent(shifts[0])} and "
                f"down {_percent(shifts[1])}",
                process,
                nuisance,
            )


def _large_effect(channel: _Channel) -> Iterator[Finding]:
    for process, nuisance, nominal, up, down in channel.effects():
        shifts = [_effect(nominal, side) for side in (up, down)]
        if max(map(abs, shifts)) > channel.limits.max_effect:
            yield channel.finding(
                "large effect",
                f"{nuisance} changes the yield of {process} by {_percent(shifts[0])} up and "
                f"{_percent(shifts[1])} down",
                process,
                nuisance,
            )


def _small_shape(channel: _Channel) -> Iterator[Finding]:
    for process, nuisance, nominal, up, down in channel.effects():
        totals = [side.sum() for side in (nominal, up, down)]
        if nominal.size == 1 or min(totals) <= 0 or _equal(up, down):
            continue
        shape, *shapes = (side / total for side, total in zip((nominal, up, down), totals, strict=True))
        if all(np.abs(s - shape).max() <= _SMALL_SHAPE * np.abs(shape).max() for s in shapes):
            yield channel.finding(
                "small shape",
                f"{nuisance} changes the yield of {process} and not its shape: a rate uncertainty would do",
                process,
                nuisance,
            )


def _small_signal(channel: _Channel) -> Iterator[Finding]:
    total = channel.total(channel.signals).sum()
    for p in channel.signals:
        own = channel.values(p).sum()
        if 0 < own < _SMALL_SIGNAL * total:
            yield channel.finding("small signal", f"{p} is {own / total:.2g} of the signals", p)


def _beyond_the_edges(channel: _Channel) -> Iterator[Finding]:
    templates = channel.templates
    shares = {
        p: outside / total if (total := _with_outside(templates, p, outside)) else 1.0
        for p, outside in zip(templates.processes, templates.outside.tolist(), strict=False)
        if outside
    }
    if shares and templates.observable is not None:
        fate = "is in its outer bins" if templates.folded else "is left out"
        listed = ", ".join(f"{p} {100 * share:.2g} %" for p, share in shares.items())
        yield channel.finding(
            "beyond the edges",
            f"what lies beyond the edges of {templates.observable.name} {fate}, of the yields {listed}",
        )


def _with_outside(templates: Templates, process: str, outside: float) -> float:
    return float(templates.values(process).sum()) + (0.0 if templates.folded else outside)


def _empty_bins(channel: _Channel) -> Iterator[Finding]:
    for p in channel.processes:
        values = channel.values(p)
        if values.any() and (empty := values == 0).any():
            yield channel.finding("empty bins", f"{p} is empty", p, where=empty)


def _effect(nominal: Floats, varied: Floats) -> float:
    """The relative change of a yield."""
    return float(varied.sum() / nominal.sum() - 1) if nominal.sum() > 0 else 0.0


def _equal(one: Floats, other: Floats) -> bool:
    return bool(np.allclose(one, other, rtol=_SAME, atol=0.0))


def _percent(share: float) -> str:
    return f"{100 * share:+.2g} %"


_CHECKS: tuple[Callable[[_Channel], Iterator[Finding]], ...] = (
    _signal_without_background,
    _empty_process,
    _negative_bins,
    _few_effective_events,
    _little_background,
    _empty_variation,
    _identical_sides,
    _one_sided,
    _large_effect,
    _missing_side,
    _small_shape,
    _small_signal,
    _beyond_the_edges,
    _empty_bins,
)
