"""What an objective is made of, in words that are the same in every process: they go into fingerprints."""

from __future__ import annotations

import re
from typing import Any


def described(value: Any) -> str:
    """``repr(value)``, but functions by module and name, and nothing by its address in memory.

    A function that was made within another, which may make several, is also known by its line and by the
    values that it took from there.
    """
    if isinstance(value, tuple):
        return f"({', '.join(described(item) for item in value)})"
    if name := getattr(value, "__qualname__", None):
        code = getattr(value, "__code__", None)
        if code is None or "<" not in name:
            return f"{value.__module__}.{name}"
        taken = (*(cell.cell_contents for cell in value.__closure__ or ()), *(value.__defaults__ or ()))
        return f"{value.__module__}.{name}:{code.co_firstlineno}{described(taken) if taken else ''}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
