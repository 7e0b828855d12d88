"""cortado beside gato-hep 0.2.1: the same events, one process for each training, one table.

    python benchmarks/peer.py [--output FOLDER] [--categories K ...] [--epochs N ...] [--toys TOY ...]

The three-class toy, 1 000 000 background and 2 × 100 000 signal events, and the toy with one score. gato-hep
has the settings of its examples, in an environment of its own below build/, which is made when it is first
needed. Ours has default settings, and beside them one start with as many steps as the examples of the peer
have epochs, 250, on at most 4000 cells and with hard categories evaluated at its start and end; and that from
a random start with the optimizer, learning rate and temperature of the peer. With fewer
``--epochs`` the peer's time for 250 is extrapolated, and the table says so.
Times are those of the optimisation: compression of the events, tracing and training, without imports and
without making events. The hard categories that either finds are evaluated here, in float64. With one score
they stand beside the best intervals of whole cells under a floor: ours, and the smallest background that the
peer left.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _gato_environment import GATO_HEP, gato_hep_python, versions
from _measure import finish
from _peer_settings import EPOCHS, LEARNING_RATE, OPTIMIZER, TEMPERATURE
from _processes import run_job
from _toy import FLOOR, TEST_SEED, dimensions_of, objective_of, write_events, yields_of
from rich.console import Console
from rich.table import Table

import cortado as ct
from cortado import toys
from cortado.exact import optimal_boundaries

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
TRAINING_SEED = 1
TOYS = (toys.THREE_CLASS, toys.ONE_DIMENSIONAL)
DEFAULT, ONE_START, ALIKE = "cortado", "cortado, one start", "cortado, settings of gato-hep"
PEER = "gato-hep"
PROGRAMS = (DEFAULT, ONE_START, ALIKE, PEER)
ONE_START_SETTINGS = {"steps": EPOCHS, "starts": 1, "max_cells": 4000, "evaluate_every": EPOCHS}
ALIKE_SETTINGS = ONE_START_SETTINGS | {
    "initialisation": "random",
    "optimizer": OPTIMIZER,
    "learning_rate": LEARNING_RATE,
    "temperature": TEMPERATURE,
}


@dataclass(frozen=True)
class Program:
    """A program that is compared: the interpreter and the script that run it, and what its job needs."""

    name: str
    python: Path
    script: Path
    job: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Events:
    """The events of a toy, and the files that hold them, by what they are for."""

    toy: toys.Toy
    parts: Mapping[str, Mapping[str, toys.ToyEvents]]
    files: Mapping[str, str]


def main() -> None:
    """Run everything in turns; print and write what was found."""
    parser = argparse.ArgumentParser(description="time, memory and significance beside gato-hep")
    parser.add_argument("--output", type=Path, help="folder for a JSON file with the results")
    parser.add_argument("--events", type=int, default=1_000_000, help="background events to train on")
    parser.add_argument("--repetitions", type=int, default=3, help="trainings of ours")
    parser.add_argument("--peer-repetitions", type=int, default=1, help="trainings of the peer")
    parser.add_argument("--categories", type=int, nargs="+", default=[5, 10, 20], metavar="K")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[EPOCHS], help="of the peer: one number, or one for each K"
    )
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, help="some of the programs")
    parser.add_argument("--toys", nargs="+", choices=[t.name for t in TOYS], help="some of the toys")
    options = parser.parse_args()
    epochs = options.epochs * (len(options.categories) if len(options.epochs) == 1 else 1)
    if len(epochs) != len(options.categories):
        parser.error(f"--epochs must be one number or {len(options.categories)}, got {options.epochs}")
    if not all(3 <= n <= EPOCHS for n in epochs):
        parser.error(f"--epochs must be 3 to {EPOCHS}, got {options.epochs}")
    names = options.only or PROGRAMS
    peer = gato_hep_python(BUILD) if PEER in names else None
    rows, best = [], []
    for toy in TOYS:
        if options.toys and toy.name not in options.toys:
            continue
        with tempfile.TemporaryDirectory() as folder:
            events = made(toy, options.events, Path(folder))
            for n_categories, n_epochs in zip(options.categories, epochs, strict=True):
                compared = [p for p in programs(toy, n_epochs, peer) if p.name in names]
                turns = {
                    p.name: options.peer_repetitions if p.name == PEER else options.repetitions
                    for p in compared
                }
                found = compare(compared, events, n_categories, turns)
                rows += found
                if toy.observed == "logit":
                    best += best_intervals(events, n_categories, found)
    print_table(rows, best)
    setting = {
        "events": options.events,
        "repetitions": options.repetitions,
        "floor": FLOOR,
        "seeds": {"training": TRAINING_SEED, "test": TEST_SEED},
        "epochs_of_the_examples": EPOCHS,
        "peer": peer and versions(peer),
    }
    finish(options.output, "peer", setting, {"rows": rows, "best_intervals": best})


def made(toy: toys.Toy, n: int, folder: Path) -> Events:
    """Events to train on, and four times as many others, in files of ``folder``."""
    parts = {
        "training": toy.events(TRAINING_SEED, max(n // 10, 1), n),
        "test": toy.events(TEST_SEED, max(4 * n // 10, 1), 4 * n),
    }
    for part, events in parts.items():
        write_events(folder / f"{part}.npz", toys.arrays(events))
    return Events(toy, parts, {part: str(folder / f"{part}.npz") for part in parts})


def programs(toy: toys.Toy, epochs: int, peer: Path | None) -> list[Program]:
    """All that can be compared on a toy."""
    this, ours = Path(sys.executable), HERE / "_fit_cortado.py"
    found = [
        Program(DEFAULT, this, ours, {"settings": {}}),
        Program(ONE_START, this, ours, {"settings": ONE_START_SETTINGS}),
        Program(ALIKE, this, ours, {"settings": ALIKE_SETTINGS}),
    ]
    if peer is not None:
        job = {"epochs": epochs, "processes": toy.processes, "signals": toy.signals}
        job |= {"dimensions": dimensions_of(toy)}
        found.append(Program(PEER, peer, HERE / "_fit_gato_hep.py", job))
    return found


def compare(
    compared: Sequence[Program], events: Events, n_categories: int, turns: Mapping[str, int]
) -> list[dict[str, Any]]:
    """A row for each program. They take turns, so that what slows the machine down slows all of them.

    Some may have fewer turns than others: the first ones.
    """
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "categories.npz"
        job = {**events.files, "toy": events.toy.name, "n_categories": n_categories, "categories": str(file)}
        for turn in range(max(turns.values())):
            for program in compared:
                if turn >= turns[program.name]:
                    continue
                report = run_job(program.python, program.script, {**job, **program.job, "seed": 1})
                report = full_length(report, EPOCHS)
                print(events.toy.name, n_categories, program.name, f"{report['seconds']:.2f} s", flush=True)
                row = rows.setdefault(
                    program.name,
                    {
                        "toy": events.toy.name,
                        "n_categories": n_categories,
                        "program": program.name,
                        "trained": report["trained"],
                        "extrapolated": report["extrapolated"],
                        **{part: quality(events, part, left(file, part)) for part in events.parts},
                        "runs": [],
                    },
                )
                row["runs"].append(report)
    peer = rows.get(PEER)
    return [summarised(row, peer) for row in rows.values()]


def full_length(report: dict[str, Any], epochs: int) -> dict[str, Any]:
    """A report with the times of all epochs, where fewer were made.

    Each that is missing counts as the median of those after the first, which is also traced. Only the peer
    reports times of epochs.
    """
    made = report.get("per_epoch", {})
    missing = max(0, epochs - len(made["seconds"])) if made else 0
    times = {key: report[key] + missing * float(np.median(own[1:])) for key, own in made.items()}
    return report | times | {"extrapolated": missing > 0}


def left(file: Path, part: str) -> dict[str, Any]:
    """The categories that a program left in a file, by process."""
    with np.load(file) as categories:
        names = [name for name in categories.files if name.startswith(f"{part}/")]
        return {name.removeprefix(f"{part}/"): categories[name] for name in names}


def quality(events: Events, part: str, category: Mapping[str, Any]) -> dict[str, Any]:
    """What hard categories are worth on whole events.

    Empty ones are left out: a mixture may have components that are the most probable ones nowhere.
    """
    weight = {process: own.weight for process, own in events.parts[part].items()}
    yields = yields_of(weight, category, 1 + max(int(own.max()) for own in category.values()))
    occupied = yields.count.sum(axis=0) > 0
    return {
        "value": objective_of(events.toy).value(yields),
        "min_background": float(yields.total(events.toy.backgrounds)[occupied].min()),
        "n_categories": int(np.count_nonzero(occupied)),
    }


def summarised(row: dict[str, Any], peer: dict[str, Any] | None) -> dict[str, Any]:
    """The row with medians over its runs, and what the peer costs beside it."""
    costs = medians(row["runs"], ("seconds", "cpu_seconds", "memory_before", "peak_memory"))
    ratios: dict[str, Any] = {}
    if peer:
        ratios = {key: value / costs[key] for key, value in medians(peer["runs"], costs).items()}
        ratios["extrapolated"] = peer["extrapolated"]
    stages = [run["stages"] for run in row["runs"] if "stages" in run]
    parts = medians(stages, stages[0]) if stages else {}
    return row | {"median": costs, "peer_over_this": ratios, "stages": parts}


def medians(runs: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> dict[str, float]:
    """Of some numbers, over runs."""
    return {key: float(np.median([run[key] for run in runs])) for key in keys}


def best_intervals(events: Events, n_categories: int, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best intervals of the only score on the cells of the training events, by floor.

    The peer keeps no floor. What it leaves can only be compared with the best under the floor that it met.
    """
    toy = events.toy
    sample = ct.Sample.from_arrays(
        toys.arrays(events.parts["training"]), toy.coordinates, names=toy.names, n_folds=1
    )
    of_peer = [row["training"]["min_background"] for row in rows if row["program"] == PEER]
    found = []
    for floor in (FLOOR, *of_peer):
        goal = ct.Asimov(toy.signals) + ct.MinBackground(floor)
        binning = optimal_boundaries(sample.points(), goal, n_categories).binnings[-1]
        worth = {
            part: quality(
                events,
                part,
                {name: binning.assign(sample.features.forward(own.scores)) for name, own in parts.items()},
            )
            for part, parts in events.parts.items()
        }
        found.append({"toy": toy.name, "n_categories": n_categories, "floor": floor, **worth})
    return found


def print_table(rows: list[dict[str, Any]], best: list[dict[str, Any]]) -> None:
    """All rows, the best that was possible, and where the time of one start goes."""
    table = Table(title=f"cortado beside gato-hep {GATO_HEP}", title_justify="left")
    if any(row["extrapolated"] for row in rows):
        table.caption = f"≈ extrapolated to {EPOCHS} epochs from the time of those that were made"
    headings = ("toy", "K", "program", "steps", "time", "gato-hep / this", "CPU time", "peak memory")
    for heading in (*headings, "Z training", "Z test", "min B training", "min B test"):
        table.add_column(heading, justify="left" if heading in ("toy", "program") else "right", no_wrap=True)
    for row in rows:
        cost, ratio, found = row["median"], row["peer_over_this"], row["training"]["n_categories"]
        table.add_row(
            row["toy"],
            f"{row['n_categories']}" + (f" ({found} used)" if found < row["n_categories"] else ""),
            row["program"],
            row["trained"],
            f"{'≈ ' * row['extrapolated']}{cost['seconds']:.2f} s",
            f"{'≈ ' * ratio['extrapolated']}{ratio['seconds']:.1f}" if ratio else "–",
            f"{cost['cpu_seconds']:.1f} s",
            f"{cost['peak_memory'] / 1e6:.0f} MB",
            *(f"{row[part]['value']:.4f}" for part in ("training", "test")),
            *(f"{row[part]['min_background']:.3g}" for part in ("training", "test")),
        )
    Console(width=180).print(table)
    for own in best:
        worth = ", ".join(f"{own[part]['value']:.4f} on {part} events" for part in ("training", "test"))
        print(f"{own['toy']}, best {own['n_categories']} intervals with B ≥ {own['floor']:.3g}: {worth}")
    for row in rows:
        if row["program"] == ONE_START:
            parts = sorted(row["stages"].items(), key=lambda item: -item[1])
            print(f"{row['toy']}, K = {row['n_categories']}, {ONE_START}, {row['trained']} steps:")
            print("  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts))


if __name__ == "__main__":
    main()
