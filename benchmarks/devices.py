"""What a gradient step costs on whatever devices TensorFlow sees, compiled by XLA and not.

    python benchmarks/devices.py [--output FOLDER] [--categories K ...] [--cells N ...]

Steps of a Gaussian mixture on the cells of the three-class toy: seven processes in two coordinates, the
significance of two signals with the floors of a job. The cells are repeated or cut to the numbers wanted. The
code that is timed is that of a training, and the same on every device.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from _measure import finish
from _steps import MAX_CELLS, on_cells
from rich.console import Console
from rich.table import Table

import cortado as ct
from cortado import toys
from cortado.models.tensorflow import tf
from cortado.points import Points
from cortado.training.loop import Trainer

TOGETHER = 20  # steps that one call makes at most, as in a training
CELLS_TOGETHER = 2_000_000  # seen in one call, where that is fewer steps
LEAST_SECONDS = 0.5  # of steps in a repetition


@dataclass(frozen=True)
class Steps:
    """So many steps that one call makes."""

    trainer: Trainer
    number: int

    def run(self) -> float:
        """Make them; seconds of one."""
        ones = np.ones(self.number)
        began = time.perf_counter()
        self.trainer.run(ones, 1e-4 * ones, ones)
        return (time.perf_counter() - began) / self.number


def main() -> None:
    """Time every combination and report."""
    parser = argparse.ArgumentParser(description="step time on every device")
    parser.add_argument("--output", type=Path, help="folder for a JSON file with the results")
    parser.add_argument("--events", type=int, default=1_000_000, help="background events of the toy")
    parser.add_argument("--repetitions", type=int, default=5, help="how often each is timed")
    parser.add_argument("--categories", type=int, nargs="+", default=[5, 10, 20], metavar="K")
    parser.add_argument(
        "--cells", type=int, nargs="+", default=[6400, MAX_CELLS, 100_000, 1_000_000], metavar="N"
    )
    options = parser.parse_args()
    toy = toys.THREE_CLASS
    events = toy.events(1, max(options.events // 10, 1), options.events)
    points = ct.Sample.from_arrays(toys.arrays(events), toy.coordinates, names=toy.names, n_folds=1).points()
    devices = {d.name: described(d) for d in tf.config.list_logical_devices() if d.device_type != "XLA_CPU"}
    rows = []
    for n_cells in options.cells:
        cells = of_number(points, n_cells)
        for n_categories in options.categories:
            rows += timed(cells, toy, n_categories, devices, options.repetitions)
    print_table(rows)
    setting = {"events": options.events, "repetitions": options.repetitions, "steps_together": TOGETHER}
    finish(options.output, "devices", setting, {"rows": rows})


def described(device: Any) -> str:
    """What a device is: for a GPU its name."""
    number = int(device.name.rpartition(":")[2])
    if device.device_type == "CPU":
        return "CPU"
    physical = tf.config.list_physical_devices(device.device_type)[number]
    details = tf.config.experimental.get_device_details(physical)
    return f"{device.device_type} {number}, {details.get('device_name', 'unknown')}"


def of_number(points: Points, n: int) -> Points:
    """So many points: every so manyth, or each of them several times."""
    rows = np.arange(n) * len(points.place) // n
    tables = {name: getattr(points, name)[:, rows] for name in ("sumw", "sumw2", "count")}
    lists = {name: getattr(points, name)[rows] for name in ("place", "key", "mass")}
    return replace(points, **tables, **lists)


def ready(points: Points, toy: toys.Toy, n_categories: int, compiled: bool) -> Steps:
    """The steps of a training, on the device that is in force."""
    number = min(TOGETHER, max(1, CELLS_TOGETHER // len(points.place)))
    return Steps(on_cells(points, points, toy, n_categories, together=number, compiled=compiled), number)


def timed(
    points: Points, toy: toys.Toy, n_categories: int, devices: dict[str, str], repetitions: int
) -> list[dict[str, Any]]:
    """A row for each device, with XLA and without; they take turns."""
    rows, steps = [], []
    for name, what in devices.items():
        for compiled in (False, True):
            with tf.device(name):
                own = ready(points, toy, n_categories, compiled)
                began = time.perf_counter()
                own.run()
                first = time.perf_counter() - began
            steps.append((name, own))
            rows.append(
                {
                    "device": what,
                    "compiled": compiled,
                    "cells": len(points.place),
                    "n_categories": n_categories,
                    "first_call": first,
                    "seconds": [],
                }
            )
    for _ in range(repetitions):
        for row, (name, own) in zip(rows, steps, strict=True):
            with tf.device(name):
                row["seconds"].append(several(own))
    for row in rows:
        row["median"], row["best"] = float(np.median(row["seconds"])), min(row["seconds"])
        print(row, flush=True)
    return rows


def several(steps: Steps) -> float:
    """Seconds of one step, over as many calls as give a time that can be relied on."""
    began = time.perf_counter()
    found = [steps.run()]
    while time.perf_counter() - began < LEAST_SECONDS:
        found.append(steps.run())
    return float(np.mean(found))


def print_table(rows: list[dict[str, Any]]) -> None:
    """The best step times, a line for each number of cells and categories."""
    table = Table(title="Milliseconds a step, best of the repetitions", title_justify="left")
    kinds = list(dict.fromkeys((row["device"], row["compiled"]) for row in rows))
    for heading in ("cells", "K", *(f"{device}{', XLA' if xla else ''}" for device, xla in kinds)):
        table.add_column(heading, justify="right")
    for cells, n_categories in dict.fromkeys((row["cells"], row["n_categories"]) for row in rows):
        times = {
            (row["device"], row["compiled"]): row["best"]
            for row in rows
            if (row["cells"], row["n_categories"]) == (cells, n_categories)
        }
        table.add_row(str(cells), str(n_categories), *(f"{1e3 * times[kind]:.3g}" for kind in kinds))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
