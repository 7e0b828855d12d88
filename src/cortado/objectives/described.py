"""What an objective is made of, in words that are the same in every process: they go into fingerprints."""

from __future__ import annotations

import re
from typing import Any


def described(value: Any) -> str:
    """``repr(value)``, but functions by module and name, and nothing by its address in memory."""
    if isinstance(value, tuple):
        return f"({', '.join(described(item) for item in value)})"
    if name := getattr(value, "__qualname__", None):
        return f"{value.__module__}.{name}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
