"""What the optimisation costs with more events, with more categories and in more dimensions.

    python benchmarks/scaling.py [--output FOLDER] [--only events|categories|dimensions] [--events N]

Events: samples of 10⁵ to 10⁸ background events of the three-class toy, and a fifth as many signal events,
made and filled chunk by chunk; then categories are learned from each sample, in turns. Categories: 2 to 40
of them, from 10⁶ events. Dimensions: toys of the family with one to four coordinates, likewise. Everything
runs in processes of its own with default settings, without imports and without reading the sample.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from _measure import finish
from _processes import run_job
from rich.console import Console
from rich.table import Table

from cortado import toys

HERE = Path(__file__).resolve().parent
CHUNK = 1_000_000  # background events that are made at a time
MULTIPLES = (0.1, 1, 10, 100)  # of the number of events
CATEGORIES = (2, 3, 5, 10, 20, 40)
USUAL = 10  # categories
REFERENCE = {"events": 1_000_000, "categories": USUAL, "dimensions": 2}  # what others are compared with
BY_DIMENSION = ("one score", "three classes", "four classes", "five classes")


def main() -> None:
    """Run the parts that are asked for; print and write what was found."""
    parser = argparse.ArgumentParser(
        description="cost of the optimisation with events, categories, dimensions"
    )
    parser.add_argument("--output", type=Path, help="folder for a JSON file with the results")
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="background events, where they are fixed"
    )
    parser.add_argument("--repetitions", type=int, default=3, help="how often each is trained")
    parser.add_argument("--only", choices=("events", "categories", "dimensions"), help="one part alone")
    parser.add_argument("--multiples", type=float, nargs="+", default=MULTIPLES, help="of the events")
    parser.add_argument("--categories", type=int, nargs="+", default=CATEGORIES, metavar="K")
    parser.add_argument("--steps", type=int, help="gradient steps from each start, if not the default")
    parser.add_argument("--starts", type=int, help="starts, if not the default")
    options = parser.parse_args()
    settings = {name: getattr(options, name) for name in ("steps", "starts") if getattr(options, name)}
    n = options.events
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        samples = Samples(Path(folder))
        if options.only in (None, "events"):
            jobs = {int(n * m): samples.job(toys.THREE_CLASS.name, int(n * m)) for m in options.multiples}
            result["events"] = learned("events", jobs, settings, options.repetitions)
        if options.only in (None, "categories"):
            one = samples.job(toys.THREE_CLASS.name, n)
            jobs = {k: one | {"n_categories": k} for k in options.categories}
            result["categories"] = learned("categories", jobs, settings, options.repetitions)
        if options.only in (None, "dimensions"):
            jobs = {d: samples.job(name, n) for d, name in enumerate(BY_DIMENSION, start=1)}
            result["dimensions"] = learned("dimensions", jobs, settings, options.repetitions)
    for part, rows in result.items():
        print_table(part, rows)
    setting = {"events": n, "repetitions": options.repetitions, "settings": settings, "chunk": CHUNK}
    finish(options.output, "scaling", setting, result)


class Samples:
    """Samples in files, each made once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[str, int], dict[str, Any]] = {}

    def job(self, toy: str, n: int) -> dict[str, Any]:
        """The job of learning from a sample, and what making the sample took."""
        if (toy, n) not in self._made:
            path = str(self._folder / f"{toy.replace(' ', '-')}-{n}.npz")
            job = {"toy": toy, "events": n, "chunk": CHUNK, "sample": path}
            report = run_job(sys.executable, HERE / "_collect_toy.py", job)
            print(f"{toy}, {n} events: filled in {report['seconds']:.1f} s", flush=True)
            self._made[toy, n] = {"toy": toy, "sample": path, "n_categories": USUAL, "filling": report}
        return self._made[toy, n]


def learned(
    what: str, jobs: Mapping[int, dict[str, Any]], settings: dict[str, int], repetitions: int
) -> list[dict[str, Any]]:
    """A row for each job; they take turns."""
    runs: dict[int, list[dict[str, Any]]] = {number: [] for number in jobs}
    for _ in range(repetitions):
        for number, job in jobs.items():
            report = run_job(
                sys.executable, HERE / "_fit_cortado.py", {**job, "settings": settings, "seed": 1}
            )
            print(f"{number} {what}: {report['seconds']:.2f} s", flush=True)
            runs[number].append(report)
    rows = [row(what, number, jobs[number], runs[number]) for number in jobs]
    usual = next((own for own in rows if own[what] == REFERENCE[what]), rows[0])
    return [own | {"relative": own["median"]["seconds"] / usual["median"]["seconds"]} for own in rows]


def row(what: str, number: int, job: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the trainings of one job."""
    keys = ("seconds", "cpu_seconds", "memory_before", "peak_memory")
    return {
        what: number,
        "toy": job["toy"],
        "n_categories": job["n_categories"],
        "cells": runs[0]["cells"],
        "trained": runs[0]["trained"],
        "objective": runs[0]["objective"],
        "filling": job["filling"],
        "median": {key: float(np.median([run[key] for run in runs])) for key in keys},
        "stages": {
            part: float(np.median([run["stages"][part] for run in runs])) for part in runs[0]["stages"]
        },
        "runs": runs,
    }


def print_table(part: str, rows: list[dict[str, Any]]) -> None:
    """Times, and how they compare with that of the reference."""
    table = Table(title=f"Cost of the optimisation by {part}", title_justify="left")
    for heading in (part, "toy", "cells", "time", "relative", "CPU time", "peak memory", "of filling"):
        table.add_column(heading, justify="left" if heading == "toy" else "right", no_wrap=True)
    for own in rows:
        cost = own["median"]
        table.add_row(
            str(own[part]),
            own["toy"],
            str(own["cells"]),
            f"{cost['seconds']:.2f} s",
            f"{own['relative']:.2f}",
            f"{cost['cpu_seconds']:.1f} s",
            f"{cost['peak_memory'] / 1e6:.0f} MB",
            f"{own['filling']['peak_memory'] / 1e6:.0f} MB",
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
