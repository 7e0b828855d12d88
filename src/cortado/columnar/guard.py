"""Errors of a processor, brought back from the workers as results instead of tracebacks."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from coffea.processor import ProcessorABC, accumulate

from cortado.columnar.inspection import some
from cortado.errors import CortadoError, InputError

_MOST_DETAILS = 20
_LARGEST_BLOCK = 2**25 - 2**16  # bytes; larger ones do not count


@dataclass(frozen=True)
class Failure:
    """A chunk that could not be processed; ``transient`` if reading failed and may succeed later."""

    dataset: str
    path: str
    start: int
    stop: int
    message: str
    details: str
    transient: bool


@dataclass(frozen=True, eq=False)
class Outcome:
    """The sum of the parts that were made, and the chunks that failed."""

    part: Any = None
    failures: tuple[Failure, ...] = ()

    def __add__(self, other: Outcome) -> Outcome:
        # coffea's sum: that of dictionaries and sets, too
        return Outcome(accumulate([self.part, other.part]), _in_order(self.failures + other.failures))


class Guarded(ProcessorABC):
    """Runs another processor and turns its exceptions into failures."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def process(self, events: Any) -> Outcome:
        """One chunk of events in, an outcome out."""
        _keep_freed_memory()
        try:
            part = self.processor.process(events)
            if part is None:
                raise InputError("process returned nothing; it must return what its sink's fill returns")
        except Exception as error:  # a user's code can raise anything
            return Outcome(failures=(_failure(error, events),))
        return Outcome(part)

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing; the runner calls that of the processor once all chunks are there."""
        return accumulator


@cache
def _keep_freed_memory() -> None:
    """Have the memory of one chunk's arrays used again for those of the next.

    The C library of Linux returns it to the system and gets it back page by page, which may take as long as
    what is done with it, until a large block was freed: from then on it keeps as much (mallopt(3), on
    M_MMAP_THRESHOLD and M_TRIM_THRESHOLD). Once is enough. Elsewhere this does nothing.
    """
    np.empty(_LARGEST_BLOCK, np.uint8)


def require_success(failures: tuple[Failure, ...], processor: Any) -> None:
    """Raise ``InputError`` for the failures, naming the first in order of files and entries.

    Its traceback is in the exception's ``__notes__``.
    """
    if not failures:
        return
    first = _in_order(failures)[0]
    more = f" (and {len(failures) - 1} more chunks)" if len(failures) > 1 else ""
    error = InputError(
        f"{type(processor).__name__} failed on {first.path}, entries {first.start} to {first.stop}{more}: "
        f"{first.message}"
    )
    error.add_note(first.details)
    raise error


def _failure(error: Exception, events: Any) -> Failure:
    metadata = events.metadata
    text = " ".join(str(error).split("\n\n")[0].split())  # what awkward adds below is for developers
    message = text if isinstance(error, InputError) and text else f"{type(error).__name__}: {text}"
    if isinstance(error, AttributeError | KeyError):  # most likely a branch that is not there
        message += f" (tree {metadata['treename']!r} has {some(events.fields)})"
    return Failure(
        metadata["dataset"],
        metadata["filename"],
        metadata["entrystart"],
        metadata["entrystop"],
        message,
        traceback.format_exc(),
        isinstance(error, OSError) and not isinstance(error, CortadoError),
    )


def _in_order(failures: tuple[Failure, ...]) -> tuple[Failure, ...]:
    """Sorted by file and entry, so that the first is the same in every run; only a few keep their details."""
    ordered = sorted(failures, key=lambda f: (f.path, f.start))
    shortened = [replace(f, details="") for f in ordered[_MOST_DETAILS:]]
    return (*ordered[:_MOST_DETAILS], *shortened)
