"""Text between markers of a page that a program writes: ``<!-- begin NAME -->`` … ``<!-- end NAME -->``."""

from __future__ import annotations

import re
from pathlib import Path


def replaced(page: str, name: str, text: str) -> str:
    """The page with ``text`` between the markers of ``name``, which it must have once."""
    block = re.compile(
        rf"(<!-- begin {re.escape(name)}\b[^>]*-->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL
    )
    changed, n = block.subn(lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", page)
    if n != 1:
        raise ValueError(f"the page must have one block marked {name!r}, it has {n}")
    return changed


def refresh(path: Path, blocks: dict[str, str]) -> None:
    """Write the blocks, by name, into a page."""
    page = path.read_text(encoding="utf-8")
    for name, text in blocks.items():
        page = replaced(page, name, text)
    path.write_text(page, encoding="utf-8")
