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
from statistics import median
from typing import Any

from marked import refresh

DOCS = Path(__file__).resolve().parent
MB = 1e6
HARDWARE = ("processor", "cores", "memory", "system", "load")
PEER, ONE_START = "gato-hep", "cortado, one start"


def table(headings: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> str:
    """Markdown; all columns but the first ``left`` ones are numbers."""
    rule = ["---"] * left + ["--:"] * (len(headings) - left)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in (headings, rule, *rows))


def libraries(result: dict[str, Any]) -> str:
    """Markdown: what the comparison ran with."""
    facts = {name: value for name, value in result["machine"].items() if name not in HARDWARE}
    text = ", ".join(f"{name} {version}" for name, version in facts.items()) + "."
    if peer := result["setting"]["peer"]:
        text += " gato-hep has an environment of its own: "
        text += ", ".join(f"{name} {version}" for name, version in peer.items()) + "."
    return text


def machine(result: dict[str, Any]) -> str:
    """Markdown: where a program ran."""
    facts = {name: result["machine"][name] for name in HARDWARE}
    return "On {processor}, {cores} cores, {memory}, {system}; load average {load} when it ended.".format(
        **facts
    )


def peer(result: dict[str, Any]) -> str:
    """Markdown: ours beside gato-hep."""
    rows = result["rows"]
    lines = []
    for row in rows:
        ratio, used = row["peer_over_this"], row["training"]["n_categories"]
        compared = ratio and row["program"] != PEER
        about = "≈ " * bool(ratio and ratio["extrapolated"])
        lines.append(
            (
                row["toy"],
                f"{row['n_categories']}" + (f" ({used} used)" if used < row["n_categories"] else ""),
                row["program"],
                row["trained"],
                *(
                    (f"{about}**{ratio['seconds']:.3g}**", f"{about}{ratio['cpu_seconds']:.3g}")
                    if compared
                    else ("–", "–")
                ),
                f"{row['training']['value']:.4f}",
                f"{row['test']['value']:.4f}",
                f"{row['training']['min_background']:.3g}",
                f"{row['test']['min_background']:.3g}",
                f"{row['median']['peak_memory'] / MB:.0f} ({row['median']['memory_before'] / MB:.0f})",
                f"{'≈ ' * row['extrapolated']}{row['median']['seconds']:.4g} s",
            )
        )
    usual = result["setting"]["epochs_of_the_examples"]
    note = (
        f"≈: gato-hep made fewer epochs than its examples. Its time is extrapolated to {usual}, with the "
        "median of the epochs after the first. Significances and backgrounds are of those that were made."
    )
    headings = (
        *(
            "toy",
            "K",
            "program",
            "steps",
            "time of gato-hep / this",
            "CPU time likewise",
            "Z, training",
            "Z, test",
        ),
        *("smallest background, training", "test", "peak memory, MB (before)", "time"),
    )
    extrapolated = any(row["extrapolated"] for row in rows)
    return table(headings, lines, left=3) + (f"\n\n{note}" if extrapolated else "")


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
                    grouped(row[what]),
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
    seconds = {name: median(times) for name, times in result["seconds"].items()}
    reference, ratios = result["setting"]["reference"], result["speed_ratio"]
    of_others = {name: "{:.3g} to {:.3g}".format(*ratio["quartiles"]) for name, ratio in ratios.items()}
    steps = table(
        ("step on", f"time, relative to {reference}", "middle half of the runs", "gato-hep / this", "time"),
        (
            (
                name,
                f"{ratios[name]['median'] if name in ratios else 1.0:.3g}",
                of_others.get(name, "–"),
                f"**{seconds[PEER] / time:.3g}**" if PEER in seconds else "–",
                f"{1e3 * time:.3g} ms",
            )
            for name, time in seconds.items()
        ),
    )
    memory = table(
        ("events in files", "peak memory, MB", "before, MB"),
        (
            (
                grouped(own["events"]),
                f"{own['peak_memory'] / MB:.0f}",
                f"{own['memory_before'] / MB:.0f}",
            )
            for own in result["memory"]
        ),
        left=0,
    )
    return f"{steps}\n\n{memory}"


def grouped(number: int) -> str:
    """With spaces between thousands."""
    return f"{number:,}".replace(",", " ")


def speeds(result: dict[str, Any]) -> str:
    """Markdown: how fast ours is beside each of the others."""
    lines = [
        (name, f"**{ratio['median']:.2f}**", "{:.2f} to {:.2f}".format(*ratio["quartiles"]))
        for name, ratio in result["speed_ratio"].items()
    ]
    return table(("beside", "speed of cortado / it", "middle half of the runs"), lines)


def first_pass(result: dict[str, Any]) -> str:
    """Markdown: how fast pass 1 is on files of each compression, and the memory that it takes."""
    fast = [
        (
            name,
            f"**{ratio['median']:.2f}**",
            "{:.2f} to {:.2f}".format(*ratio["quartiles"]),
            f"{result['times'][name]['events_per_second']['cortado']['median'] / 1e6:.2f}",
        )
        for name, ratio in result["speed_ratio"].items()
    ]
    large = [
        (
            of["dimensions"],
            of["datasets"],
            grouped(of["events"]),
            f"**{of['growth']:.2f}**",
            f"{of['peak'] / MB:.0f}",
            f"{of['before'] / MB:.0f}",
        )
        for of in result["memory"]
    ]
    headings = ("dimensions", "datasets", "events", "peak memory, relative", "MB", "before the pass, MB")
    speed = table(
        (
            "compression",
            "speed of pass 1 / bare loop",
            "middle half of the runs",
            "million events/s and core",
        ),
        fast,
    )
    return f"{speed}\n\n{table(headings, large, left=0)}"


def blocks(name: str, result: dict[str, Any]) -> dict[str, str]:
    """The tables that the result of one program fills, by the names of their blocks."""
    match name:
        case "peer":
            return {"peer": peer(result), "best intervals": best_intervals(result), "stages": stages(result)}
        case "scaling":
            return scaling(result)
        case "events":
            return {"events": steps_on_events(result)}
        case "devices":
            return {"devices": devices(result)}
        case "pass1":
            return {"pass1": first_pass(result)}
        case _:
            return {name: speeds(result)}


def tables(name: str, result: dict[str, Any]) -> dict[str, str]:
    """All blocks of one program, each with the machine that it ran on."""
    found = {block: f"{text}\n\n{machine(result)}" for block, text in blocks(name, result).items()}
    return found | ({"libraries": libraries(result)} if name == "peer" else {})


def main(folder: str) -> None:
    """Rewrite the tables of all results that are there."""
    for name in ("peer", "scaling", "devices", "events", "categorizer", "pass1"):
        file = Path(folder) / f"{name}.json"
        if file.exists():
            refresh(DOCS / "benchmarks.md", tables(name, json.loads(file.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main(sys.argv[1])
