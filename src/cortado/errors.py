"""Errors a user can cause or meet, each with the exit status that the command line returns.

Every message is one clear sentence that names the argument, file or field, the rule and the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


_LONGEST_VALUE = 200
_SEPARATORS = set("/:;")  # in ROOT files: of folders, of an object within a file, and of its cycle number


class CortadoError(Exception):
    """Base of all errors that cortado raises on purpose; the command line shows no traceback for them."""

    exit_status = 1


class ConfigError(CortadoError, ValueError):
    """A configuration, an option or an argument breaks a rule."""

    exit_status = 2


class InputError(CortadoError, ValueError):
    """The events, files or trees given are not what the job needs."""

    exit_status = 3


class OutputError(CortadoError, OSError):
    """The output folder or a file in it cannot be written, or must not be overwritten."""

    exit_status = 4


class TrainingError(CortadoError, RuntimeError):
    """The optimisation found no usable categories."""

    exit_status = 5


class FitError(CortadoError, RuntimeError):
    """A fit of a statistical model did not converge."""

    exit_status = 6


def checked_integer(name: str, value: object, least: int) -> int:
    """The value of an argument that must be an integer and not less than ``least``; else ``ConfigError``."""
    if not isinstance(value, Integral):
        raise ConfigError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ConfigError(f"{name} must be at least {least}, got {value}")
    return int(value)


def checked_name(what: str, value: object) -> str:
    """A name that all files can hold, as text; else ``ConfigError``, in which it is called ``what``."""
    if not isinstance(value, str) or not value or not value.isprintable() or set(value) & _SEPARATORS:
        raise ConfigError(f"{what} must be printable and without any of '/:;', got {value!r}")
    return value


def sentences(error: ValidationError) -> list[str]:
    """What pydantic found, one sentence a mistake: the field, the rule and the value."""
    mistakes = error.errors(include_url=False)
    places = [mistake["loc"] for mistake in mistakes]
    return [_sentence(mistake) for mistake in mistakes if not _follows(mistake, places)]


def shown(value: object) -> str:
    """A value as an error shows it: in one line, without the end of a long one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} …"


def _follows(mistake: Any, places: Sequence[tuple[int | str, ...]]) -> bool:
    """Whether a list is too short because of mistakes in it, which pydantic leaves out before it counts."""
    own = mistake["loc"]
    return mistake["type"] == "too_short" and any(p[: len(own)] == own and p != own for p in places)


def _got(value: Any) -> str:
    return f" (got {shown(value)})" if isinstance(value, str | int | float | list | tuple | None) else ""


def _sentence(mistake: Any) -> str:
    place = ".".join(str(part) for part in mistake["loc"])
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "tuple_type":
        message = "must be a list"
    if mistake["type"] == "extra_forbidden":
        return f"{place}: unknown key"
    if mistake["type"] == "missing":
        return f"{place}: is required"
    got = "" if mistake["type"] == "json_invalid" else _got(mistake["input"])
    return f"{place}: {message}{got}" if place else f"{message}{got}"
