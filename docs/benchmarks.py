"""Tables of what things cost, from the results of the programs in ``benchmarks/``.

    python docs/benchmarks.py FOLDER

with the folder that holds their JSON files (``build/benchmarks`` after ``nox -s benchmark``), rewrites in
benchmarks.md the tables of those that are there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from marked import refresh

DOCS = Path(__file__).resolve().parent
MB = 1e6
PEER, ONE_START = "gato-hep", "cortado, one start"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """Markdown; all columns but the first ``left`` ones are numbers."""
    rule = ["---"] * left + ["--:"] * (len(headings) - left)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (headings, rule, *rows))


def machine(result: dict[str, Any]) -> str:
    """Markdown: where the comparison ran."""
    facts = dict(result["machine"])
    cores, memory, load = (facts.pop(name) for name in ("cores", "memory", "load"))
    processor, system = facts.pop("processor"), facts.pop("system")
    libraries = ", ".join(f"{name} {version}" for name, version in facts.items())
    text = f"{processor}, {cores} cores, {memory}, {system}; {libraries}."
    if peer := result["setting"]["peer"]:
        text += " The peer: " + ", ".join(f"{name} {version}" for name, version in peer.items()) + "."
    return f"{text} Load average when it ended: {load}."


def peer(result: dict[str, Any]) -> str:
    """Markdown: ours beside gato-hep."""
    rows = result["rows"]
    lines = []
    for row in rows:
        ratio, used = row["peer_over_this"], row["training"]["n_categories"]
        compared = ratio and row["program"] != PEER
        lines.append(
            (
                row["toy"],
                f"{row['n_categories']}" + (f" ({used} used)" if used < row["n_categories"] else ""),
                row["program"],
                row["trained"],
                *((f"**{ratio['seconds']:.3g}**", f"{ratio['cpu_seconds']:.3g}") if compared else ("–", "–")),
                f"{row['training']['value']:.4f}",
                f"{row['test']['value']:.4f}",
                f"{row['training']['min_background']:.3g}",
                f"{row['test']['min_background']:.3g}",
                f"{row['median']['peak_memory'] / MB:.0f} ({row['median']['memory_before'] / MB:.0f})",
                f"{row['median']['seconds']:.3g} s",
            )
        )
    usual = result["setting"]["epochs_of_the_examples"]
    fewer = [
        f"K = {row['n_categories']} of {row['toy']} has {row['trained']}"
        for row in rows
        if row["program"] == PEER and row["trained"] != str(usual)
    ]
    note = f"The examples of gato-hep have {usual} epochs; here " + "; ".join(fewer) + "." if fewer else ""
    headings = (
        *("toy", "K", "program", "steps", "time of gato-hep / this", "CPU time", "Z, training", "Z, test"),
        *("smallest background, training", "test", "peak memory, MB (before)", "time"),
    )
    return f"{table(headings, lines, left=3)}\n\n{note}"


def best_intervals(result: dict[str, Any]) -> str:
    """Markdown: what can be reached with one score."""
    lines = (
        (
            row["toy"],
            row["n_categories"],
            f"{row['floor']:.3g}",
            f"{row['training']['value']:.4f}",
            f"{row['test']['value']:.4f}",
        )
        for row in result["best_intervals"]
    )
    return table(("toy", "K", "floor", "Z, training", "Z, test"), lines)


def stages(result: dict[str, Any]) -> str:
    """Markdown: where the time of one start goes."""
    rows = [row for row in result["rows"] if row["program"] == ONE_START]
    headings = ("part", *(f"{row['toy']}, K = {row['n_categories']}" for row in rows))
    parts = sorted(rows[0]["stages"], key=lambda part: -max(row["stages"][part] for row in rows))
    lines = [
        (
            part,
            *(
                f"{100 * row['stages'][part] / row['median']['seconds']:.0f} % ({row['stages'][part]:.2f} s)"
                for row in rows
            ),
        )
        for part in parts
    ]
    return table(headings, lines)


def scaling(result: dict[str, Any]) -> dict[str, str]:
    """Markdown, by name: the parts that there are."""
    return {
        f"scaling {what}": table(
            (what, "toy", "cells", "time, relative", "memory that a fit adds, MB", "time"),
            (
                (
                    f"{row[what]:,}".replace(",", " "),
                    row["toy"],
                    row["cells"],
                    f"{row['relative']:.2f}",
                    f"{(row['median']['peak_memory'] - row['median']['memory_before']) / MB:.0f}",
                    f"{row['median']['seconds']:.3g} s",
                )
                for row in result[what]
            ),
            left=0,
        )
        for what in ("events", "categories", "dimensions")
        if what in result
    }


def devices(result: dict[str, Any]) -> str:
    """Markdown: step times on every device, with XLA and without."""
    rows = result["rows"]
    kinds = list(dict.fromkeys((row["device"], row["compiled"]) for row in rows))
    best = {(r["cells"], r["n_categories"], r["device"], r["compiled"]): r["best"] for r in rows}
    headings = ("cells", "K", *(f"{device}{', XLA' if compiled else ''}" for device, compiled in kinds))
    lines = []
    for own in dict.fromkeys((row["cells"], row["n_categories"]) for row in rows):
        times = [best[own + kind] for kind in kinds]
        cells = [f"{seconds / times[0]:.2f} ({1e3 * seconds:.3g} ms)" for seconds in times]
        lines.append((*own, *cells))
    return table(headings, lines, left=0)


def steps_on_events(result: dict[str, Any]) -> str:
    """Markdown: what a step on events costs beside others, and the memory with more events."""
    seconds = {name: sorted(times)[len(times) // 2] for name, times in result["seconds"].items()}
    ratios = {name: ratio["median"] for name, ratio in result["speed_ratio"].items()} | {"events": 1.0}
    steps = table(
        ("step on", "time, relative", "time"),
        ((name, f"{ratios[name]:.3g}", f"{1e3 * time:.3g} ms") for name, time in seconds.items()),
    )
    memory = table(
        ("events in files", "peak memory, MB"),
        ((number, f"{size:.0f}") for number, size in result["peak_megabytes"].items()),
        left=0,
    )
    return f"{steps}\n\n{memory}"


def speeds(result: dict[str, Any]) -> str:
    """Markdown: how fast ours is beside each of the others."""
    lines = [
        (name, f"**{ratio['median']:.2f}**", "{:.2f} to {:.2f}".format(*ratio["quartiles"]))
        for name, ratio in result["speed_ratio"].items()
    ]
    return table(("beside", "speed of cortado / it", "middle half of the runs"), lines)


def tables(name: str, result: dict[str, Any]) -> dict[str, str]:
    """The blocks that the result of one program fills, by their names."""
    match name:
        case "peer":
            return {
                "machine": machine(result),
                "peer": peer(result),
                "best intervals": best_intervals(result),
                "stages": stages(result),
            }
        case "scaling":
            return scaling(result)
        case "events":
            return {"events": steps_on_events(result)}
        case "devices":
            return {"devices": devices(result)}
        case _:
            return {name: speeds(result)}


def main(folder: str) -> None:
    """Rewrite the tables of all results that are there."""
    for name in ("peer", "scaling", "devices", "events", "categorizer", "pass1"):
        file = Path(folder) / f"{name}.json"
        if file.exists():
            refresh(DOCS / "benchmarks.md", tables(name, json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(sys.argv[1])
