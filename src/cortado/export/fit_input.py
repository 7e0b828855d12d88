"""What every fit asks of templates, checked before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, InputError
from cortado.templates import DATA, Templates

Floats = npt.NDArray[np.float64]

_ADVICE = "raise the minimum background yield of the training, or merge categories"


def check_fit_input(templates: Templates, signals: Sequence[str] | str) -> tuple[str, ...]:
    """Refuse templates from which no fit can be made; return the names of the signals.

    A negative yield of one process is allowed as long as the sums stay positive. A category without
    background is refused and never filled: a tiny number there would invent significance.

    Raises
    ------
    ConfigError
        The signals are not distinct simulated processes, no process is left as background, or there are
        variations, which no export can write as nuisance parameters and none may drop.
    InputError
        Yields or variances are not finite, variances or data are negative, a signal has no positive yield in
        total, or the background, or background and signals together, are not positive in some category.
    """
    names = _check_signals(templates, signals)
    if len(templates.variations) > 1:
        raise ConfigError(
            f"templates for a fit must hold the nominal variation alone, because systematic variations "
            f"cannot be written as nuisance parameters, got also {list(templates.variations[1:])}"
        )
    _check_numbers(templates)
    for name in names:
        if (total := templates.values(name).sum()) <= 0:
            raise InputError(
                f"the signal {name!r} must have a positive yield, got {total:g} in all categories together"
            )
    background = _total(templates, [name for name in templates.simulated if name not in names])
    _check_positive("background", background, templates.channel)
    _check_positive("sum of background and signals", asimov_data(templates), templates.channel)
    return names


def observed_data(templates: Templates) -> Floats:
    """(K,) observed events: the collision data, or the Asimov data where there are none."""
    return asimov_data(templates) if templates.data is None else templates.data


def asimov_data(templates: Templates) -> Floats:
    """(K,) expected events, the sum of all simulated processes, not rounded."""
    return _total(templates, templates.simulated)


def _total(templates: Templates, names: Sequence[str]) -> Floats:
    return np.sum([templates.values(name) for name in names], axis=0)


def _check_signals(templates: Templates, signals: Sequence[str] | str) -> tuple[str, ...]:
    names = (signals,) if isinstance(signals, str) else tuple(signals)
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"signals must be distinct names, at least one, got {list(names)}")
    if unknown := [name for name in names if name not in templates.simulated]:
        raise ConfigError(
            f"signals {unknown} are not among the simulated processes {list(templates.simulated)}"
        )
    if len(names) == len(templates.simulated):
        raise ConfigError(f"at least one process must be background, got all of {list(names)} as signals")
    return names


def _check_numbers(templates: Templates) -> None:
    for name in templates.processes:
        for what, numbers in (("yield", templates.values(name)), ("variance", templates.variances(name))):
            wrong = ~np.isfinite(numbers)
            if what == "variance" or name == DATA:
                wrong |= numbers < 0
            for category in np.flatnonzero(wrong)[:1]:
                raise InputError(
                    f"the {what} of {name!r} in category {category} of {templates.channel!r} "
                    f"must be finite{' and not negative' if np.isfinite(numbers[category]) else ''}, "
                    f"got {numbers[category]:g}"
                )


def _check_positive(what: str, yields: Floats, channel: str) -> None:
    if bad := {int(category): float(yields[category]) for category in np.flatnonzero(yields <= 0)}:
        listed = ", ".join(f"{value:g} in category {category}" for category, value in bad.items())
        raise InputError(
            f"the {what} in {channel!r} must be positive in every category, got {listed}: {_ADVICE}"
        )
