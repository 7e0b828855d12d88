"""The table of what categories are worth that are learned with several objectives, in systematics.md.

    python docs/systematics.py

executes the first block of the page, trains with default settings on several samples, and rewrites the table.
"""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

from marked import refresh

import cortado as ct

PAGE = Path(__file__).resolve().parent / "systematics.md"
SEEDS = (1, 3, 4)  # of the events to train on; 2 is that of the others


def of_page() -> dict[str, Any]:
    """What the first Python block of the page defines: the objectives, the sample and other events."""
    code = re.search(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    return names


def values(page: dict[str, Any], name: str, seed: int) -> list[float]:
    """Every objective, on other events, of categories learned with one of them."""
    objective = page["objectives"][name] + ct.MinBackground(5.0)
    sample = page["sample_with_systematics"](20_000, seed=seed)
    result = ct.fit(ct.GaussianMixture(4), sample, objective, seed=1)
    found = page["other"].yields(result.categorizer, nuisances=page["nuisances"])
    return [float(term(found)) for term in page["objectives"].values()]


def table(page: dict[str, Any]) -> str:
    """Markdown: medians over the samples, with the smallest and the largest value."""
    columns = list(page["objectives"])
    lines = [f"| categories | {' | '.join(columns)} |", "|---" + "|--:" * len(columns) + "|"]
    for name in columns:
        runs = [values(page, name, seed) for seed in SEEDS]
        cells = [f"{median(v):.3f} ({min(v):.3f} … {max(v):.3f})" for v in zip(*runs, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    many = f"Medians of trainings on {len(SEEDS)} samples, and their range."
    return "\n".join([*lines, "", many])


def main() -> None:
    """Rewrite the table."""
    refresh(PAGE, {"objectives": table(of_page())})


if __name__ == "__main__":
    main()
