"""Errors of a processor, brought back from the workers as results instead of tracebacks."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from coffea.processor import ProcessorABC

from cortado.errors import InputError

_MOST_FAILURES = 20


@dataclass(frozen=True)
class Failure:
    """A chunk that could not be processed; ``transient`` if reading failed and may succeed later."""

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
        parts = [o.part for o in (self, other) if o.part is not None]
        total = parts[0] + parts[1] if len(parts) == 2 else (parts[0] if parts else None)
        return Outcome(total, self.failures + other.failures)


class Guarded(ProcessorABC):
    """Runs another processor and turns its exceptions into failures."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor

    def process(self, events: Any) -> Outcome:
        """One chunk of events in, an outcome out."""
        metadata = events.metadata
        try:
            part = self.processor.process(events)
        except Exception as error:  # a user's code can raise anything
            message = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            return Outcome(
                failures=(
                    Failure(
                        metadata["filename"],
                        metadata["entrystart"],
                        metadata["entrystop"],
                        message.strip().splitlines()[0],
                        traceback.format_exc(),
                        isinstance(error, OSError) and not isinstance(error, InputError),
                    ),
                )
            )
        if part is None:
            name = type(self.processor).__name__
            raise InputError(f"{name}.process returned nothing; it must return what its sink's fill returns")
        return Outcome(part)

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do at the end."""
        return accumulator


def require_success(failures: tuple[Failure, ...], processor: Any) -> None:
    """Raise ``InputError`` for the first failures, by file; their tracebacks are in its ``__notes__``."""
    if not failures:
        return
    ordered = sorted(failures, key=lambda f: (f.path, f.start))
    first = ordered[0]
    more = f" (and {len(ordered) - 1} more chunks)" if len(ordered) > 1 else ""
    error = InputError(
        f"{type(processor).__name__} failed on {first.path}, entries {first.start} to {first.stop}{more}: {first.message}"
    )
    error.add_note(first.details)
    raise error
