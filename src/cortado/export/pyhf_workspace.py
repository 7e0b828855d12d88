"""Templates as a pyhf workspace: HistFactory in JSON, https://pyhf.readthedocs.io/en/v0.7.6/likelihood.html."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortado.export.fit_input import check_fit_input, observed_data
from cortado.files import write_text
from cortado.templates import Templates

# Not below 0: a category of mostly signal would have a negative expectation, for which there is no likelihood
# and where minuit is lost. Signals of poorly known strength meet pyhf's own upper bound of 10 unnoticed.
_STRENGTH_BOUNDS = (0.0, 100.0)


def write_workspace(
    templates: Templates, *, signals: Sequence[str] | str, path: str | Path = "workspace.json"
) -> Path:
    """Write a pyhf workspace of one channel whose bins are the categories.

    Every signal is scaled by a strength ``mu_<signal>`` of its own, between 0 and 100 and 1 in the beginning;
    that of the first signal is the parameter of interest. All processes share the statistical uncertainty of
    the simulation, ``staterror_<channel>`` (√Σw², one parameter a category). The observations are the
    collision data or, where there are none, the Asimov data: the sum of all simulation, not rounded.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError, InputError
        No fit can be made from these templates: see :func:`cortado.export.fit_input.check_fit_input`.
    OutputError
        The file cannot be written.
    """
    workspace = build_workspace(templates, signals)
    write_text(path, json.dumps(workspace, indent=2, allow_nan=False) + "\n")
    return Path(path)


def build_workspace(templates: Templates, signals: Sequence[str] | str) -> Any:
    """The workspace that :func:`write_workspace` writes, as a validated ``pyhf.Workspace``."""
    # pyhf takes most of a second to import, which workers need not pay.
    import pyhf

    signals = check_fit_input(templates, signals)
    samples = [_sample(templates, name, name in signals) for name in templates.simulated]
    observations = observed_data(templates).tolist()
    strengths = [
        {"name": _strength(name), "bounds": [list(_STRENGTH_BOUNDS)], "inits": [1.0]} for name in signals
    ]
    specification = {
        "channels": [{"name": templates.channel, "samples": samples}],
        "observations": [{"name": templates.channel, "data": observations}],
        "measurements": [
            {"name": "cortado", "config": {"poi": _strength(signals[0]), "parameters": strengths}}
        ],
        "version": "1.0.0",
    }
    return pyhf.Workspace(specification, validate=True)


def _sample(templates: Templates, process: str, is_signal: bool) -> dict[str, Any]:
    errors = np.sqrt(templates.variances(process)).tolist()
    modifiers = [{"name": f"staterror_{templates.channel}", "type": "staterror", "data": errors}]
    if is_signal:
        modifiers.insert(0, {"name": _strength(process), "type": "normfactor", "data": None})
    return {"name": process, "data": templates.values(process).tolist(), "modifiers": modifiers}


def _strength(signal: str) -> str:
    return f"mu_{signal}"
