"""Training on events: the time of a step beside one on cells, and peak memory against the number of events.

The three-class toy, ten Gaussians. A step on events goes over all of them twice, for the yields and for the
gradient, in blocks; once with the weights as they are and once with smooth shares of the processes. Both use
all processors that this program may. Memory is that of a process of its own that takes two steps on events
in files, for ten times fewer, as many and ten times more of them; what Python and TensorFlow take without
any events is said beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _measure import finish, in_turns, options

from cortado import Asimov, Collector, EventSample, MinBackground, Sample, toys
from cortado.columnar import EventCollector
from cortado.coordinates import Features

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

N_CATEGORIES = 10
_TEMPERATURE, _RATE = 0.5, 0.001
_CHUNK = 200_000


def toy_chunks(n_events: int) -> Iterator[tuple[str, Any, Any]]:
    """Scores and weights of the toy's processes, some events at a time, so that any number can be made.

    A twelfth of the events are of each signal, as with the numbers of events that the toy has by default.
    """
    counts = toys.event_counts(max(n_events // 12, 1), n_events - 2 * max(n_events // 12, 1))
    for process, n in counts.items():
        total = toys.CROSS_SECTIONS[process] * toys.LUMINOSITY
        for number, start in enumerate(range(0, n, _CHUNK)):
            events = toys.THREE_CLASS.events_of(process, number + 1, min(_CHUNK, n - start))
            yield process, events.scores, np.full(len(events), total / n)


def collected(n_events: int, folder: Path) -> tuple[Sample, EventSample]:
    """The sample of the toy, and its events in files."""
    collector = EventCollector(
        Collector(Features.declare(toys.SCORES, "logratio"), n_folds=1), folder / "parts"
    )
    total = collector.empty
    for process, scores, weight in toy_chunks(n_events):
        total = total + collector.fill(process, scores, weight)
    return total.sample, total.events.save(folder / "events")


class Steps:
    """A model at a start, and single steps on cells or on events."""

    def __init__(self, sample: Sample, events: EventSample | None, *, smooth: bool) -> None:
        from cortado.models import GaussianMixture
        from cortado.models.tensorflow import keras
        from cortado.objectives import as_objective
        from cortado.shares import shares_of
        from cortado.training.loop import Trainer
        from cortado.training.on_events import EventTrainer, holding
        from cortado.training.starts import random_start

        points = sample.points().coarsened(16_000)
        goal = as_objective(Asimov(toys.SIGNALS) + MinBackground(10.0))
        shares = shares_of(points) if smooth else None
        model = GaussianMixture(N_CATEGORIES)
        model.initialise(random_start(points, goal, N_CATEGORIES, np.random.default_rng(1)))
        optimizer = keras.optimizers.RMSprop()
        self.n_cells = len(points.place)
        self._trainer: Any
        if events is None:
            smoothed = shares.smoothed(points) if shares else points
            self._trainer = Trainer(model, points, smoothed, goal, optimizer, 1, 10**6)
        else:
            of_folds = holding(events, points.processes, model, 10**6, shares, None)
            self._trainer = EventTrainer(model, of_folds([0]), goal, optimizer)

    def __call__(self) -> float:
        (objective,) = self._trainer.run(np.array([_TEMPERATURE]), np.array([_RATE]), np.ones(1))
        return float(objective)


def peak_memory(*paths: Path) -> float:
    """MB that a fresh process takes at most: for two steps on the events in a folder, or without any.

    The second path is that of a sample, from which a model begins; it is the same whatever the events.
    """
    command = [sys.executable, __file__, "--memory-of", *map(str, paths)]
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(finished.stdout.splitlines()[-1]))


def _tell_memory(paths: list[str]) -> None:
    """What the process of :func:`peak_memory` does."""
    from cortado.training import fit  # noqa: F401 - TensorFlow

    if paths:
        folder, sample = paths
        steps = Steps(Sample.load(sample), EventSample.load(folder), smooth=True)
        steps()
        steps()
    print(json.dumps(_peak_kilobytes() / 1024))


def _peak_kilobytes() -> int:
    """Of this process. What getrusage says on Linux includes the program that started it."""
    facts = Path("/proc/self/status")
    if facts.is_file():
        return int(facts.read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Time steps in turns, measure memory, and report both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_200_000)
    parser.add_argument("--memory-of", nargs="*", help=argparse.SUPPRESS)
    if "--memory-of" in sys.argv:
        _tell_memory(parser.parse_args().memory_of)
        return
    chosen = options(parser, repetitions=7, one_core=False)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample, events = collected(chosen.events, folder / "timed")
        programs = {
            "events": Steps(sample, events, smooth=False),
            "events, smooth shares": Steps(sample, events, smooth=True),
            "cells": Steps(sample, None, smooth=True),
        }
        times = in_turns(programs, chosen.repetitions)
        memory = {}
        sample.save(folder / "sample.npz")
        for n in (chosen.events // 10, chosen.events, chosen.events * 10):
            collected(n, folder / str(n))
            memory[n] = peak_memory(folder / str(n) / "events", folder / "sample.npz")
        nothing = peak_memory()

    n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(f"A step on {chosen.events} events, K = {N_CATEGORIES}, on {n_processors} processors:")
    for what, seconds in times.items():
        print(f"  {what:<22} {np.median(seconds) * 1e3:8.1f} ms (best {min(seconds) * 1e3:.1f})")
    ratios = {}
    for what in ("events, smooth shares", "cells"):
        each = np.array(times[what]) / np.array(times["events"])
        ratios[what] = {
            "median": float(np.median(each)),
            "quartiles": np.quantile(each, [0.25, 0.75]).tolist(),
        }
        print(f"time of {what} / events: {ratios[what]['median']:.4f}")
    for n, megabytes in memory.items():
        print(f"peak memory with {n} events in files: {megabytes:.0f} MB ({nothing:.0f} MB without any)")
    result = {
        "seconds": {what: list(seconds) for what, seconds in times.items()},
        "speed_ratio": ratios,
        "peak_megabytes": {**{str(n): megabytes for n, megabytes in memory.items()}, "0": nothing},
    }
    setting = {"events": chosen.events, "n_categories": N_CATEGORIES, "processors": n_processors}
    finish(chosen.output, "events", setting | {"cells": programs["cells"].n_cells}, result)


if __name__ == "__main__":
    main()
