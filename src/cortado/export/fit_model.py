"""Channels, signals and rate uncertainties as one model, which pyhf and combine can fit: checked here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from cortado.arguments import NameOrNames, checked_arguments
from cortado.errors import ConfigError, InputError
from cortado.export.filling import fill_background, is_populated
from cortado.export.fit_input import FitChannel, Flow, Layout, fit_channels
from cortado.export.rates import LogNormal, RateUncertainties, log_normals
from cortado.templates import ManyTemplates

Floats = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)

_ADVICE = "raise the minimum background yield of the training, or merge categories or bins of an observable"
_FILL = f"{_ADVICE} (a larger fill=… would put a number there, which decides the significance)"
_MERGE = "merge it with another process, or merge categories"


class FitOptions(TypedDict, total=False):
    """How templates become the model of a fit.

    ``layout``
        "bins" (one channel whose bins are the categories) or "channels" (a channel for every category).
    ``rate_uncertainties``
        By nuisance parameter: a factor for all simulated processes, or factors by process. A factor is that
        of one standard deviation up (1.016), with its inverse down, or a pair (down, up).
    ``fill``
        Expected background events for bins that have fewer, and less than one effective event, (Σw)²/Σw²;
        these are an error without it.
    ``flow``
        What becomes of underflow and overflow of an observable: "refuse", "fold" or "drop".
    """

    layout: Layout
    rate_uncertainties: RateUncertainties
    fill: float | None
    flow: Flow


@dataclass(frozen=True, eq=False)
class FitModel:
    """What pyhf and combine are given.

    Attributes
    ----------
    channels
        Each with its signals before its backgrounds, and without the processes that are empty there.
    signals
        Names of the processes that have a strength of their own.
    rates
        By nuisance parameter and process, log-normal uncertainties of the rates.
    idle
        Names of nuisance parameters that are left out, as they act on no process of the fit.
    """

    channels: tuple[FitChannel, ...]
    signals: tuple[str, ...]
    rates: Mapping[str, Mapping[str, LogNormal]]
    idle: tuple[str, ...] = ()

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of the processes of all channels, signals first."""
        return _in_order((channel.processes for channel in self.channels), self.signals)

    @property
    def nuisances(self) -> tuple[str, ...]:
        """Names of the nuisance parameters: those of rates, then those that have templates alone."""
        return tuple(dict.fromkeys([*self.rates, *(n for c in self.channels for n in c.acting)]))


@checked_arguments
def fit_model(
    templates: ManyTemplates,
    signals: NameOrNames,
    *,
    layout: Layout = "bins",
    rate_uncertainties: RateUncertainties | None = None,
    fill: float | None = None,
    flow: Flow = "refuse",
) -> FitModel:
    """The model of a fit to templates, or an error that says why there is none.

    The arguments are those of :class:`FitOptions`. A process that is empty in a channel is left out of it,
    and so is a nuisance parameter that acts on no process that is left, which is logged. A negative yield of
    one process in a bin is allowed as long as the sums stay positive. A bin without background is refused,
    because a tiny number there would invent significance, and so is one whose background is made of less
    than one effective event, (Σw)²/Σw².

    Raises
    ------
    ConfigError
        The signals are not distinct simulated processes, no process is left as background, channels share a
        name or some lack data, an option has no such value, or a nuisance parameter has both a number and
        templates for the same process.
    InputError
        Yields or variances are not finite, variances or data are negative; the total of a process in a
        channel is not positive, nominal or varied; the background, or background and signals together, are
        not positive in some bin, nominal or varied; a background is less than one effective event; there are
        yields beyond the bins, or variations of no nuisance parameter.
    """
    channels = fit_channels(templates, layout, flow)
    simulated = _in_order((channel.processes for channel in channels), ())
    names = _check_signals(simulated, signals)
    _check_data(channels)
    for channel in channels:
        _check_numbers(channel)
    if fill is not None:
        if not (np.isfinite(fill) and fill > 0):
            raise ConfigError(f"fill must be a number of events above 0, got {fill!r}")
        channels = [fill_background(channel, names, fill) for channel in channels]
    kept = [_without_empty(channel, names) for channel in channels]
    for name in names:
        if not any(name in channel.processes for channel in kept):
            raise InputError(
                f"the signal {name!r} must have a positive yield, got 0 in all channels together"
            )
    rates = log_normals(rate_uncertainties or {}, simulated)
    for channel in kept:
        _check_sums(channel, names)
        _check_variations(channel, names, rates)
    declared = dict.fromkeys([*rates, *(n for channel in channels for n in channel.acting)])
    model = FitModel(tuple(kept), names, _acting(rates, kept))
    idle = tuple(name for name in declared if name not in model.nuisances)
    for name in idle:
        logger.warning("nuisance parameter %s acts on no process of the fit and is left out", name)
    return replace(model, idle=idle)


def _acting(
    rates: Mapping[str, Mapping[str, LogNormal]], channels: Sequence[FitChannel]
) -> dict[str, dict[str, LogNormal]]:
    """The rates of the processes that there are in some channel."""
    there = {name for channel in channels for name in channel.processes}
    kept = {
        nuisance: {name: factors for name, factors in by_process.items() if name in there}
        for nuisance, by_process in rates.items()
    }
    return {nuisance: by_process for nuisance, by_process in kept.items() if by_process}


def _in_order(lists: Iterable[Sequence[str]], first: Sequence[str]) -> tuple[str, ...]:
    """Every name once, those in ``first`` first."""
    names = dict.fromkeys(name for names in lists for name in names)
    return (*(name for name in first if name in names), *(name for name in names if name not in first))


def _check_signals(simulated: Sequence[str], signals: NameOrNames) -> tuple[str, ...]:
    names = (signals,) if isinstance(signals, str) else tuple(signals)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"signals must be distinct names, at least one, got {list(names)}")
    if unknown := [name for name in names if name not in simulated]:
        raise ConfigError(f"signals {unknown} are not among the simulated processes {list(simulated)}")
    if len(names) == len(simulated):
        raise ConfigError(f"at least one process must be background, got all of {list(names)} as signals")
    return names


def _check_data(channels: Sequence[FitChannel]) -> None:
    without = [channel.name for channel in channels if channel.observed is None]
    if without and len(without) < len(channels):
        raise ConfigError(
            f"either all channels of a fit must have collision data or none, got none in {without}"
        )
    for channel in channels:
        if channel.observed is not None:
            wrong = ~np.isfinite(channel.observed) | (channel.observed < 0)
            _refuse_first(wrong, channel.observed, channel, "number of observed events")


def _check_numbers(channel: FitChannel) -> None:
    for p, name in enumerate(channel.processes):
        yields, variances = channel.nominal[p], channel.variances[p]
        _refuse_first(~np.isfinite(yields), yields, channel, f"yield of {name!r}")
        _refuse_first(~np.isfinite(variances) | (variances < 0), variances, channel, f"variance of {name!r}")
        for n, nuisance in enumerate(channel.nuisances):
            for side, varied in zip(("up", "down"), channel.varied[n, :, p], strict=True):
                what = f"yield of {name!r} with {nuisance} {side}"
                _refuse_first(~np.isfinite(varied), varied, channel, what)


def _refuse_first(wrong: npt.NDArray[np.bool_], numbers: Floats, channel: FitChannel, what: str) -> None:
    for b in np.flatnonzero(wrong)[:1]:
        raise InputError(
            f"the {what} in {channel.bins[b]} of {channel.name!r} must be finite"
            f"{' and not negative' if np.isfinite(numbers[b]) else ''}, got {numbers[b]:g}"
        )


def _without_empty(channel: FitChannel, signals: Sequence[str]) -> FitChannel:
    filled = np.asarray(channel.nominal.any(axis=1))
    for name in np.array(channel.processes)[~filled]:
        logger.info("process %s is empty in channel %s and left out there", name, channel.name)
    names = [name for name, any_yield in zip(channel.processes, filled, strict=True) if any_yield]
    return channel.with_processes(_in_order([names], signals))


def _check_sums(channel: FitChannel, signals: Sequence[str]) -> None:
    rows = _background(channel, signals)
    background, variance = channel.nominal[rows].sum(axis=0), channel.variances[rows].sum(axis=0)
    _check_positive("background", background, channel, _FILL)
    if few := np.flatnonzero(~is_populated(background, variance)).tolist():
        listed = ", ".join(f"{background[b]:g} ± {variance[b] ** 0.5:g} in {channel.bins[b]}" for b in few)
        raise InputError(
            f"the background in {channel.name!r} must be made of at least one effective event, (Σw)²/Σw², in "
            f"every bin, got {listed}: {_FILL}"
        )
    for name, total in zip(channel.processes, channel.nominal.sum(axis=1), strict=True):
        if total <= 0:
            raise InputError(
                f"the yield of {name!r} in {channel.name!r} must be positive, got {total:g}: {_MERGE}"
            )
    _check_positive("sum of background and signals", channel.asimov, channel, _ADVICE)


def _background(channel: FitChannel, signals: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(P,) which processes are backgrounds."""
    return np.array([name not in signals for name in channel.processes], dtype=bool)


def _check_variations(
    channel: FitChannel, signals: Sequence[str], rates: Mapping[str, Mapping[str, LogNormal]]
) -> None:
    backgrounds = _background(channel, signals)
    for n, nuisance in enumerate(channel.nuisances):
        for p in np.flatnonzero(channel.affected[n]):
            name = channel.processes[p]
            if name in rates.get(nuisance, {}):
                raise ConfigError(
                    f"rate_uncertainties.{nuisance} must not name {name!r}, which has templates of that "
                    f"nuisance parameter in {channel.name!r}"
                )
            for side, total in zip(("up", "down"), channel.varied[n, :, p].sum(axis=1), strict=True):
                if total <= 0:
                    raise InputError(
                        f"the yield of {name!r} in {channel.name!r} with {nuisance} {side} must be positive, "
                        f"got {total:g}: {_MERGE}, or leave that variation out"
                    )
        for side, varied in zip(("up", "down"), channel.varied[n], strict=True):
            for what, rows in (
                ("background", backgrounds),
                ("sum of background and signals", backgrounds | True),
            ):
                _check_positive(
                    f"{what} with {nuisance} {side}",
                    varied[rows].sum(axis=0),
                    channel,
                    f"{_ADVICE}, or leave that variation out",
                )


def _check_positive(what: str, yields: Floats, channel: FitChannel, advice: str) -> None:
    if bad := np.flatnonzero(yields <= 0).tolist():
        listed = ", ".join(f"{yields[b]:g} in {channel.bins[b]}" for b in bad)
        raise InputError(
            f"the {what} in {channel.name!r} must be positive in every bin, got {listed}: {advice}"
        )
