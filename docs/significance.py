"""Tables of how good learned categories are, from the results of ``benchmarks/significance.py``.

    python docs/significance.py FOLDER

with the folder that holds significance.json, rewrites them in significance.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from marked import refresh

DOCS = Path(__file__).resolve().parent


def three_classes(rows: list[dict[str, Any]]) -> str:
    """Markdown: the toy of the literature, by number of categories."""
    sizes = [best["cells"] for best in rows[0]["best_on_test"]]
    head = "| K | argmax | learned, training | learned, test | learned on the test events |" + "".join(
        f" best partition of {n} test cells |" for n in sizes
    )
    lines = [head, "|--:" * (5 + len(sizes)) + "|"]
    for row in rows:
        test, argmax = row["median_test"], row["argmax"]
        same = row["learned_on_test"]["value"]
        bests = " | ".join(f"{b['value']:.4f} ({test / b['value']:.3f})" for b in row["best_on_test"])
        lines.append(
            f"| {row['n_categories']} | {argmax['value']:.3f} ({argmax['n_categories']} bins) "
            f"| {row['median_training']:.4f} | **{test:.4f}** | {same:.4f} ({test / same:.3f}) | {bests} |"
        )
    floors = [
        f"K = {row['n_categories']}: {row['least_training_background']:.1f} on training events, "
        f"{row['least_test_background']:.1f} on test events"
        for row in rows
    ]
    n = len(rows[0]["runs"])
    return "\n".join(
        [*lines, "", f"Medians of {n} trainings. Smallest background of any category: {'; '.join(floors)}."]
    )


def family(rows: list[dict[str, Any]]) -> str:
    """Markdown: all toys, with one number of categories."""
    head = (
        "| toy | coordinates | signals | equidistant | argmax | learned, training | learned, test | K "
        "| best partition of the test events |"
    )
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        argmax = f"{row['argmax']['value']:.3f}" if row["argmax"] else "–"
        lines.append(
            f"| {row['toy']} | {row['dimensions']} | {row['signals']} | {row['equidistant']['value']:.3f} "
            f"| {argmax} | {row['training']['value']:.4f} | **{row['test']['value']:.4f}** "
            f"| {row['test']['n_categories']} | {row['best_on_test']:.4f} |"
        )
    return "\n".join(lines)


def main(folder: str) -> None:
    """Rewrite both tables."""
    results = json.loads((Path(folder) / "significance.json").read_text(encoding="utf-8"))
    blocks = {"three classes": three_classes(results["three_classes"]), "family": family(results["family"])}
    refresh(DOCS / "significance.md", blocks)


if __name__ == "__main__":
    main(sys.argv[1])
