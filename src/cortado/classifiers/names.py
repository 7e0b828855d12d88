"""The names of classes and observables that a classifier carries, and of the file that it is kept in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cortado.errors import ConfigError


def names_or_numbers(what: str, names: Sequence[str], number: int, prefix: str = "") -> tuple[str, ...]:
    """``number`` distinct names: those given, or the numbers from 0 on behind a prefix where none are.

    Raises ``ConfigError``, in which they are called ``what``.
    """
    if isinstance(names, str):
        raise ConfigError(f"{what} must be a list of names, got the single name {names!r}")
    found: tuple[Any, ...] = tuple(names) or tuple(f"{prefix}{i}" for i in range(number))
    if len(found) != number or len(set(found)) < number or not all(isinstance(n, str) and n for n in found):
        raise ConfigError(f"{what} must be {number} distinct names, got {list(found)}")
    return found


def checked_ending(what: str, path: str | Path, ending: str) -> Path:
    """The path of a file whose name has to end in ``ending``; else ``ConfigError``."""
    if Path(path).suffix != ending:
        raise ConfigError(f"{what} is saved in a file whose name ends in {ending}, got {str(path)!r}")
    return Path(path)
