"""Training on events: the time of a step beside one of gato-hep and one on cells; memory with more events.

    python benchmarks/events.py [--output FOLDER] [--events N] [--only STEP ...] [--multiples X ...]

The three-class toy, ten Gaussians. A step on events goes over all of them twice, for the yields and for the
gradient, in blocks; once with the weights as they are and once with smooth shares of the processes, as
trainings have by default. gato-hep 0.2.1 makes an epoch on the same events, with the settings of its
examples, in a process of its own that waits while others have their turn. All use all processors that this
program may. Memory is that of a process that takes two steps on events in files, for some multiples of their
number, and before it reads any.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from _gato_environment import gato_hep_python, versions
from _measure import finish, in_turns, options
from _peer_settings import EPOCHS
from _processes import run_job, waiting
from _steps import MAX_CELLS, on_cells, on_events
from _toy import dimensions_of, write_events

import cortado as ct
from cortado import toys
from cortado.columnar import EventCollector
from cortado.shares import shares_of

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
TOY = toys.THREE_CLASS
N_CATEGORIES = 10
CHUNK = 200_000
EVENTS, SMOOTH, CELLS, PEER = "events", "events, smooth shares", "cells", "gato-hep"


def main() -> None:
    """Time steps in turns, measure memory, and report both."""
    parser = argparse.ArgumentParser(description="time of a step on events, and memory")
    parser.add_argument("--events", type=int, default=1_200_000, help="events of all processes")
    parser.add_argument("--only", nargs="+", choices=(EVENTS, SMOOTH, CELLS, PEER), help="some of the steps")
    parser.add_argument(
        "--multiples", type=float, nargs="+", default=(0.1, 1, 10), help="of the events, for the memory"
    )
    chosen = options(parser, repetitions=7, one_core=False)
    names = chosen.only or (EVENTS, SMOOTH, CELLS, PEER)
    peer = gato_hep_python(BUILD) if PEER in names else None

    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        sample, events = collected(chosen.events, folder / "timed")
        sample.save(folder / "sample.npz")
        ours = {
            EVENTS: partial(on_events, sample, events, TOY, N_CATEGORIES, smooth=False),
            SMOOTH: partial(on_events, sample, events, TOY, N_CATEGORIES, smooth=True),
            CELLS: partial(trainer_on_cells, sample),
        }
        programs = {what: one_step(make()) for what, make in ours.items() if what in names}
        if peer:
            programs[PEER] = stack.enter_context(epochs(peer, chosen.events, folder / "events.npz"))
        seconds = in_turns(programs, chosen.repetitions)
        stack.close()
        memory = [
            memory_with(int(chosen.events * m), folder / "sample.npz", folder / f"{m}")
            for m in chosen.multiples
        ]

    n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    ratios = relative(seconds, names[0])
    print(f"A step on {chosen.events} events, K = {N_CATEGORIES}, on {n_processors} processors:")
    for what, times in seconds.items():
        ratio = ratios.get(what, {"median": 1.0})["median"]
        print(f"  {what:<22} {np.median(times) * 1e3:8.1f} ms, {ratio:.4g} times that of {names[0]}")
    for own in memory:
        before, peak = own["memory_before"] / 1e6, own["peak_memory"] / 1e6
        print(f"peak memory with {own['events']} events in files: {peak:.0f} MB, before {before:.0f} MB")
    result = {"seconds": seconds, "speed_ratio": ratios, "memory": memory}
    setting = {
        "events": chosen.events,
        "n_categories": N_CATEGORIES,
        "processors": n_processors,
        "cells": len(sample.points().coarsened(MAX_CELLS).place),
        "reference": names[0],
        "peer": peer and versions(peer),
    }
    finish(chosen.output, "events", setting, result)


def toy_chunks(n_events: int) -> Iterator[tuple[str, Any, Any]]:
    """Scores and weights of the toy's processes, some events at a time, so that any number can be made.

    A twelfth of the events are of each signal, as with the numbers of events that the toy has by default.
    """
    counts = toys.event_counts(max(n_events // 12, 1), n_events - 2 * max(n_events // 12, 1))
    for process, n in counts.items():
        total = toys.CROSS_SECTIONS[process] * toys.LUMINOSITY
        for number, start in enumerate(range(0, n, CHUNK)):
            events = TOY.events_of(process, number + 1, min(CHUNK, n - start))
            yield process, events.scores, np.full(len(events), total / n)


def collected(n_events: int, folder: Path) -> tuple[ct.Sample, ct.EventSample]:
    """The sample of the toy, and its events in files."""
    collector = EventCollector(ct.Collector(TOY.names, TOY.coordinates, n_folds=1), folder / "parts")
    total = collector.empty
    for process, scores, weight in toy_chunks(n_events):
        total = total + collector.fill(process, scores, weight)
    return total.sample, total.events.save(folder / "events")


def trainer_on_cells(sample: ct.Sample) -> Any:
    """Steps on the cells of a training, with smooth shares of the processes where there are any."""
    points = sample.points()
    shares = shares_of(points)
    coarse = points.coarsened(MAX_CELLS)
    return on_cells(coarse, shares.smoothed(coarse) if shares else coarse, TOY, N_CATEGORIES)


def one_step(trainer: Any) -> Callable[[], Any]:
    """A function that makes a step, half-way through the schedules."""
    return partial(trainer.run, np.array([0.5]), np.array([0.001]), np.ones(1))


def epochs(python: Path, n_events: int, file: Path) -> Any:
    """A context with a function that makes an epoch of gato-hep on the same events."""
    parts: dict[str, list[tuple[Any, Any]]] = {}
    for process, scores, weight in toy_chunks(n_events):
        parts.setdefault(process, []).append((scores, weight))
    whole = {p: tuple(map(np.concatenate, zip(*chunks, strict=True))) for p, chunks in parts.items()}
    write_events(file, whole)
    job = {
        "training": str(file),
        "n_categories": N_CATEGORIES,
        "processes": TOY.processes,
        "signals": TOY.signals,
        "dimensions": dimensions_of(TOY),
        "epochs": EPOCHS,
        "seed": 1,
    }
    return waiting(python, HERE / "_step_gato_hep.py", job)


def relative(seconds: Mapping[str, list[float]], reference: str) -> dict[str, Any]:
    """The times of all others beside the reference's, of runs that followed one another."""
    ratios = {
        what: np.array(times) / np.array(seconds[reference])
        for what, times in seconds.items()
        if what != reference
    }
    return {
        what: {"median": float(np.median(each)), "quartiles": np.quantile(each, [0.25, 0.75]).tolist()}
        for what, each in ratios.items()
    }


def memory_with(n_events: int, sample: Path, folder: Path) -> dict[str, Any]:
    """What two steps on so many events need; the model begins from the same sample whatever the events."""
    collected(n_events, folder)
    job = {
        "toy": TOY.name,
        "n_categories": N_CATEGORIES,
        "sample": str(sample),
        "events": str(folder / "events"),
    }
    return {"events": n_events} | run_job(sys.executable, HERE / "_step_on_events.py", job)


if __name__ == "__main__":
    main()
