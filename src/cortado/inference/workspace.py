"""Workspaces from files, with what pyhf does not check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortado.arguments import FilePath, checked_arguments
from cortado.errors import ConfigError, InputError, shown

_VERSION = "1.0.0"  # of the one schema that pyhf 0.7.6 has


@checked_arguments
def load_workspace(path: FilePath) -> Any:
    """The workspace of a file as a validated ``pyhf.Workspace``.

    Raises ``InputError`` if the file cannot be read or holds no workspace, and for what :func:`check`
    refuses.
    """
    import pyhf

    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read the workspace {path}: {error.strerror}") from error
    except ValueError as error:  # of JSON and of texts
        raise InputError(f"{path} is not valid JSON: {error}") from error
    version = content.get("version") if isinstance(content, dict) else None
    if version != _VERSION:  # of which pyhf looks for a file
        raise InputError(
            f"{path} holds no workspace of pyhf: its version must be {_VERSION!r}, got {version!r}"
        )
    try:
        workspace = pyhf.Workspace(content, validate=True)
    except (pyhf.exceptions.InvalidSpecification, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no workspace of pyhf: {_first_line(error)}") from error
    check(content, str(path))
    return workspace


def model_of(workspace: Any) -> Any:
    """The ``pyhf.Model`` of a ``pyhf.Workspace``.

    Raises ``ConfigError`` for what is no workspace, ``InputError`` for one that makes no model.
    """
    import pyhf

    if not isinstance(workspace, pyhf.Workspace):
        raise ConfigError(f"workspace must be of the type pyhf.Workspace, got {shown(workspace)}")
    try:
        return workspace.model()
    except Exception as error:  # pyhf has a dozen, of no common base, beside those of Python and numpy
        raise InputError(f"the workspace makes no model of pyhf: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def check(content: Mapping[str, Any], origin: str) -> None:
    """Refuse what pyhf 0.7.6 accepts silently, or fails at with other words.

    Raises ``InputError`` if channels or samples share a name, samples or observations are not as long as
    their channel, there are observations of no channel, numbers are not finite or observations negative, or a
    ``lumi`` modifier has no configuration in the measurement.
    """
    _check_names(content, origin)
    observed = {observation["name"]: observation["data"] for observation in content["observations"]}
    names = [channel["name"] for channel in content["channels"]]
    if stray := [name for name in observed if name not in names]:
        raise InputError(
            f"observations of {origin} must be of its channels {names}, got those of {stray[0]!r}"
        )
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
        _check_numbers(f"the observations of {place}", data, least=0.0)
        for sample in samples:
            _check_numbers(f"the yields of {place}", sample["data"])
            for modifier in sample["modifiers"]:
                _check_numbers(f"what {modifier['name']!r} does in {place}", modifier["data"])
    _check_measurements(content, origin)


def _check_numbers(what: str, data: Any, least: float = -np.inf) -> None:
    """Refuse numbers of modifiers, samples or observations that are not finite, or less than they can be."""
    parts = data.values() if isinstance(data, dict) else [data]
    for numbers in (np.ravel(part).astype(np.float64) for part in parts if part is not None):
        if (wrong := ~np.isfinite(numbers) | (numbers < least)).any():
            rule = "finite" if np.isinf(least) else "finite and not negative"
            raise InputError(f"{what} must be {rule}, got {numbers[wrong][0]:g}")


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
