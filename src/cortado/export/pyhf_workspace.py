"""Templates as a pyhf workspace: HistFactory in JSON, https://pyhf.readthedocs.io/en/v0.7.6/likelihood.html."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from cortado.arguments import FilePath, NameOrNames, checked_arguments
from cortado.errors import ConfigError
from cortado.export.fit_input import FitChannel
from cortado.export.fit_model import FitModel, FitOptions, fit_model
from cortado.files import write_text
from cortado.templates import ManyTemplates

# Not below 0: a category of mostly signal would have a negative expectation, for which there is no likelihood
# and where minuit is lost. Signals of poorly known strength meet pyhf's own upper bound of 10 unnoticed.
_STRENGTH_BOUNDS = (0.0, 100.0)
_STATISTICS = "staterror_"


@checked_arguments
def write_workspace(
    templates: ManyTemplates,
    *,
    signals: NameOrNames,
    path: FilePath = "workspace.json",
    **options: Unpack[FitOptions],
) -> Path:
    """Write a pyhf workspace of templates, one or several channels of an analysis.

    Every signal is scaled by a strength ``mu_<signal>`` of its own, between 0 and 100 and 1 in the beginning;
    that of the first signal is the parameter of interest. All processes of a channel share the statistical
    uncertainty of the simulation, ``staterror_<channel>`` (√Σw², one parameter a bin). A nuisance parameter
    is a ``normsys`` with the change of a process's yield in the channel and, where there are several bins, a
    ``histosys`` with that of its shape, at the nominal yield; rate uncertainties are a ``normsys`` each. The
    observations are the collision data or, where there are none, the Asimov data: the sum of all simulation,
    not rounded.

    ``options`` are those of :class:`cortado.export.fit_model.FitOptions`.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError, InputError
        No fit can be made from these templates: see :func:`cortado.export.fit_model.fit_model`.
    OutputError
        The file cannot be written.
    """
    workspace = build_workspace(templates, signals, **options)
    write_text(path, json.dumps(workspace, indent=2, allow_nan=False) + "\n")
    return Path(path)


@checked_arguments
def build_workspace(templates: ManyTemplates, signals: NameOrNames, **options: Unpack[FitOptions]) -> Any:
    """The workspace that :func:`write_workspace` writes, as a validated ``pyhf.Workspace``."""
    # pyhf takes most of a second to import, which workers need not pay.
    import pyhf

    model = fit_model(templates, signals, **options)
    check_parameters(model.signals, model.nuisances)
    strengths = [
        {"name": _strength(name), "bounds": [list(_STRENGTH_BOUNDS)], "inits": [1.0]}
        for name in model.signals
    ]
    specification = {
        "channels": [
            {"name": channel.name, "samples": _samples(channel, model)} for channel in model.channels
        ],
        "observations": [{"name": channel.name, "data": channel.data.tolist()} for channel in model.channels],
        "measurements": [
            {"name": "cortado", "config": {"poi": strengths[0]["name"], "parameters": strengths}}
        ],
        "version": "1.0.0",
    }
    return pyhf.Workspace(specification, validate=True)


def check_parameters(signals: Collection[str], nuisances: Sequence[str]) -> None:
    """Raise ``ConfigError`` for nuisance parameters named as others: these would be one parameter."""
    strengths = {_strength(name) for name in signals}
    if clash := [name for name in nuisances if name in strengths or name.startswith(_STATISTICS)]:
        raise ConfigError(
            f"a nuisance parameter must not be named {clash[0]!r}: mu_<signal> are the strengths of signals, "
            f"{_STATISTICS}<channel> is the statistical uncertainty of the simulation"
        )


def _samples(channel: FitChannel, model: FitModel) -> list[dict[str, Any]]:
    return [
        {
            "name": process,
            "data": channel.nominal[p].tolist(),
            "modifiers": list(_modifiers(channel, p, model)),
        }
        for p, process in enumerate(channel.processes)
    ]


def _modifiers(channel: FitChannel, p: int, model: FitModel) -> Iterator[dict[str, Any]]:
    """What changes the p-th process of a channel."""
    process = channel.processes[p]
    if process in model.signals:
        yield _modifier("normfactor", _strength(process), None)
    for nuisance, factors in model.rates.items():
        if process in factors:
            yield _norm(nuisance, factors[process].up, factors[process].down)
    nominal = channel.nominal[p]
    for n in np.flatnonzero(channel.affected[:, p]):
        nuisance, (up, down) = channel.nuisances[n], channel.varied[n, :, p]
        rise, fall = (float(varied.sum() / nominal.sum()) for varied in (up, down))
        yield _norm(nuisance, rise, fall)
        if len(channel.bins) > 1:
            shapes = {"hi_data": (up / rise).tolist(), "lo_data": (down / fall).tolist()}
            yield _modifier("histosys", nuisance, shapes)
    yield _modifier("staterror", _statistics(channel), np.sqrt(channel.variances[p]).tolist())


def _norm(nuisance: str, up: float, down: float) -> dict[str, Any]:
    return _modifier("normsys", nuisance, {"hi": up, "lo": down})


def _modifier(kind: str, name: str, data: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "data": data}


def _strength(signal: str) -> str:
    return f"mu_{signal}"


def _statistics(channel: FitChannel) -> str:
    return f"{_STATISTICS}{channel.name}"
