"""Workspaces from files, with what pyhf does not check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortado.errors import InputError


def load_workspace(path: str | Path) -> Any:
    """The workspace of a file as a validated ``pyhf.Workspace``.

    Raises ``InputError`` if the file cannot be read or holds no workspace, and for what :func:`check`
    refuses.
    """
    import pyhf

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        workspace = pyhf.Workspace(content, validate=True)
    except OSError as error:
        raise InputError(f"cannot read the workspace {path}: {error.strerror}") from error
    except ValueError as error:  # of JSON and of texts
        raise InputError(f"{path} is not valid JSON: {error}") from error
    except (pyhf.exceptions.InvalidSpecification, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no workspace of pyhf: {str(error).splitlines()[0]}") from error
    check(content, str(path))
    return workspace


def check(content: Mapping[str, Any], origin: str) -> None:
    """Refuse what pyhf 0.7.6 accepts silently, or fails at with other words.

    Raises ``InputError`` if channels or samples share a name, samples or observations are not as long as
    their channel, yields are not finite, or a ``lumi`` modifier has no configuration in the measurement.
    """
    _check_names(content, origin)
    observed = {observation["name"]: observation["data"] for observation in content["observations"]}
    for channel in content["channels"]:
        place = f"channel {channel['name']!r} of {origin}"
        samples = channel["samples"]
        _check_distinct([sample["name"] for sample in samples], f"samples of {place}")
        lengths = sorted({len(sample["data"]) for sample in samples})
        if len(lengths) > 1:
            raise InputError(f"the samples of {place} must have as many bins, got {lengths}")
        if channel["name"] not in observed:
            raise InputError(f"{place} must have observations, got those of {sorted(observed)}")
        if len(data := observed[channel["name"]]) != lengths[0]:
            raise InputError(f"the observations of {place} must have {lengths[0]} bins, got {len(data)}")
        rows = np.array([sample["data"] for sample in samples], np.float64)
        if not np.isfinite(rows).all():
            raise InputError(f"the yields of {place} must be finite, got {rows[~np.isfinite(rows)][0]:g}")
    _check_measurements(content, origin)


def _check_names(content: Mapping[str, Any], origin: str) -> None:
    for what in ("channels", "observations"):
        _check_distinct([part["name"] for part in content[what]], f"{what} of {origin}")


def _check_distinct(names: Sequence[str], what: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{what} must have distinct names, got {twice[0]!r} more than once")


def _check_measurements(content: Mapping[str, Any], origin: str) -> None:
    modifiers = [m for c in content["channels"] for s in c["samples"] for m in s["modifiers"]]
    lumi = {m["name"] for m in modifiers if m["type"] == "lumi"}
    settings = content["measurements"][0]["config"]["parameters"]
    configured = {s["name"] for s in settings if {"auxdata", "sigmas"} <= set(s)}
    if missing := sorted(lumi - configured):
        raise InputError(
            f"the first measurement of {origin} must configure {missing[0]!r} with auxdata and sigmas, "
            f"as its type is lumi; a normsys needs no such configuration"
        )
