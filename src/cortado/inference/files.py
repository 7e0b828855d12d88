"""From workspaces in files to findings in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cortado.errors import InputError, OutputError
from cortado.files import write_text
from cortado.inference.expected import Findings
from cortado.inference.figures import write_fit_figures

_WORKSPACE = "workspace.json"
_FINDINGS = "fit.json"


def find_workspaces(source: Path) -> dict[Path, Path]:
    """Where workspaces are, by the folder for their results: a file itself, or those of the results of a job.

    The results of a job hold a workspace, or one in a folder of its own for each number of categories. Raises
    ``InputError`` if there are none.
    """
    if not source.is_dir():
        return {Path(): source}
    if (source / _WORKSPACE).is_file():
        return {Path(): source / _WORKSPACE}
    several = sorted(source.glob(f"K*/{_WORKSPACE}"), key=lambda path: (len(path.parent.name), path))
    if not several:
        raise InputError(f"there is no {_WORKSPACE} in {source}, nor in folders K<number> of it")
    return {path.parent.relative_to(source): path for path in several}


def claim(folder: Path, force: bool) -> None:
    """Raise ``OutputError`` if a folder for results holds anything already, unless ``force``."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())) and not force:
        raise OutputError(f"{folder} exists and is not empty; choose another folder, or use --force")


def write_findings(folder: Path, findings: Findings, workspace: Any) -> list[Path]:
    """Write the figures, and then ``fit.json``, of which the paths are returned.

    Raises ``OutputError`` where a file cannot be written; a file is written whole or not at all.
    """
    import pyhf

    figures = write_fit_figures(folder, findings)
    content = findings.as_dict() | {"workspace": pyhf.utils.digest(workspace)}
    write_text(folder / _FINDINGS, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return [*figures, folder / _FINDINGS]
