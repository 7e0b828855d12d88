"""The output folder of a job: what it holds, whether a job may use it, where an interrupted one goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortado._version import __version__
from cortado.errors import OutputError
from cortado.files import write_text

_RECORD = "run.json"
_STAGES = "stages"


def fingerprint(content: Mapping[str, Any]) -> str:
    """A hash of everything that decides the result."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class JobFolder:
    """A claimed output folder. Stage files live in ``stages/``; ``run.json`` says whose they are."""

    path: Path

    @classmethod
    def claim(
        cls,
        path: Path,
        content: Mapping[str, Any],
        planned: Sequence[str] = (),
        *,
        late: Mapping[str, Sequence[str]] | None = None,
        force: bool = False,
    ) -> JobFolder:
        """Take the folder for the job described by ``content``; go on where the same job was interrupted.

        ``planned`` are the files that the job will write, relative to the folder. ``late`` are keys of
        ``content`` on which some files of stages depend, and no others: of a run that differs in nothing
        else, the other stages are kept. A run that finished no stage gives way to any other.

        Raises ``OutputError`` if the folder holds this very run, finished, one of another configuration, or
        other files, unless ``force``, which removes what an earlier run wrote and nothing else.
        """
        record = _read_record(path / _RECORD)
        if record is None and path.exists() and (not path.is_dir() or any(path.iterdir())) and not force:
            raise OutputError(
                f"{path} exists and is not the folder of a cortado run; choose another, or use --force"
            )
        late = late or {}
        changed = set(content) if record is None else _differing(record["job"], content)
        learns_alike = changed <= set(late)
        stages = path / _STAGES
        # What begins with a dot was being written when the run was killed.
        begun = stages.is_dir() and any(not file.name.startswith(".") for file in stages.iterdir())
        if record is not None and not force and (begun or record["finished"]):
            if not learns_alike:
                raise OutputError(
                    f"{path} holds a run of another configuration or of other input files; "
                    "choose another folder, or use --force to replace it"
                )
            if record["finished"] and (not changed or not begun):
                raise OutputError(f"{path} holds this very run, finished; use --force to repeat it")
        folder = cls(path)
        if force or changed:
            gone = [stage for key in changed for stage in late[key]] if learns_alike and not force else None
            folder._remove_earlier(record, gone)
            folder._write_record(content, planned, finished=False)
        return folder

    def stage_file(self, name: str) -> Path:
        """Where a stage leaves its result."""
        return self.path / _STAGES / name

    def finish(self, content: Mapping[str, Any], planned: Sequence[str]) -> None:
        """Note that the job is finished."""
        self._write_record(content, planned, finished=True)

    def _write_record(self, content: Mapping[str, Any], planned: Sequence[str], *, finished: bool) -> None:
        record = {
            "written_by": f"cortado {__version__}",
            "finished": finished,
            "fingerprint": fingerprint(content),
            "files": sorted(planned),
            "job": content,
        }
        write_text(self.path / _RECORD, json.dumps(record, indent=1) + "\n")

    def _remove_earlier(self, record: dict[str, Any] | None, stages: Sequence[str] | None) -> None:
        """Remove what an earlier run wrote, of its stages some files or, with None, all."""
        folder = self.path / _STAGES
        if record is None:
            if folder.exists():
                raise OutputError(f"{folder} is there, but no {_RECORD} says whose it is; remove it first")
            return
        # An interrupt from here on leaves an unfinished run, never a finished one without its files.
        write_text(self.path / _RECORD, json.dumps({**record, "finished": False}, indent=1) + "\n")
        try:
            for name in [*record["files"], *(f"{_STAGES}/{stage}" for stage in stages or ())]:
                self._remove(name)
            if stages is None and folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise OutputError(
                f"cannot remove the earlier run from {self.path}: {error.strerror or error}"
            ) from error

    def _remove(self, name: str) -> None:
        """Remove a file that an earlier run wrote, and the folders that are empty then."""
        file = self.path / name
        if not file.resolve().is_relative_to(self.path.resolve()):
            raise OutputError(f"{self.path / _RECORD} names a file outside of its folder: {name}")
        file.unlink(missing_ok=True)
        for parent in file.parents:
            if parent == self.path or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


def _differing(job: Mapping[str, Any], other: Mapping[str, Any]) -> set[str]:
    """The keys in which two descriptions of jobs differ."""
    marks = [{key: fingerprint({key: value}) for key, value in content.items()} for content in (job, other)]
    return {key for key, _ in {*marks[0].items()} ^ {*marks[1].items()}}


def _read_record(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    known = isinstance(record, dict) and {"fingerprint", "finished", "files"} <= set(record)
    return record if known and isinstance(record.get("job"), dict) else None
