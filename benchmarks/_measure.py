"""What the benchmarks share: timing in turns on one core, and saying what was found."""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _processes
import numpy as np

_LIBRARIES = ("cortado-hep", "numpy", "tensorflow", "keras", "awkward", "uproot", "boost-histogram", "coffea")


def options(
    parser: argparse.ArgumentParser, repetitions: int, *, one_core: bool = True
) -> argparse.Namespace:
    """The arguments, with those that all benchmarks take; keeps this process on ``one_core`` if it can."""
    parser.add_argument("--repetitions", type=int, default=repetitions, help="how often each program runs")
    parser.add_argument("--output", type=Path, help="folder for a JSON file with the results")
    chosen = parser.parse_args()
    # Numbers of threads were read when the libraries were loaded; the affinity holds for all threads.
    if one_core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return chosen


def in_turns(programs: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Seconds of every run. The programs take turns: what slows the machine down slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in programs}
    for program in programs.values():
        program()
    for _ in range(repetitions):
        for name, program in programs.items():
            gc.collect()
            start = time.perf_counter()
            program()
            times[name].append(time.perf_counter() - start)
    return times


@contextmanager
def apart(function: Callable[..., Any], *arguments: Any) -> Iterator[Callable[[], float]]:
    """A function in a process of its own, whose memory no other program has touched.

    Each call of what it gives runs it once more, and returns the seconds that the processor worked for it.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, function, arguments), daemon=True)
    process.start()
    there.close()  # so that a process which ends too early is an error, not a wait for ever

    def run() -> float:
        here.send(True)
        seconds: float = here.recv()
        return seconds

    try:
        yield run
    finally:
        with suppress(BrokenPipeError):
            here.send(False)
        process.join()


def _serve(connection: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    while connection.recv():
        start = time.process_time()
        function(*arguments)
        connection.send(time.process_time() - start)


def peak_memory(function: Callable[..., Any], *arguments: Any) -> tuple[int, int]:
    """Bytes that a new process has used at most: before it calls a function, and at the end."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        before: int = pool.apply(_processes.peak_memory)
        pool.apply(_and_nothing, (function, arguments))
        return before, pool.apply(_processes.peak_memory)


def _and_nothing(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    function(*arguments)


def report_times(times: Mapping[str, list[float]], reference: str, n_events: int) -> dict[str, Any]:
    """Print events/s on one core, best and median, and how fast the reference is beside each of the others.

    Ratios of medians, and the middle half of the ratios of runs that followed one another.
    """
    rates = {name: (n_events / min(t), n_events / float(np.median(t))) for name, t in times.items()}
    width = max(map(len, times))
    for name, (best, median) in rates.items():
        print(f"  {name:<{width}}  {median / 1e6:7.3f} (best {best / 1e6:7.3f}) million events/s and core")
    own = np.array(times[reference])
    ratios = {}
    for name, seconds in times.items():
        if name != reference:
            low, middle, high = np.quantile(np.array(seconds) / own, [0.25, 0.5, 0.75])
            best = min(seconds) / own.min()
            spread = f"({low:.2f} to {high:.2f}; of the best runs {best:.2f})"
            print(f"speed of {reference} / {name}: {middle:.2f} {spread}")
            ratios[name] = {"median": middle, "quartiles": [low, high], "best": best}
    return {
        "seconds": {name: list(t) for name, t in times.items()},
        "events_per_second": {name: {"best": b, "median": m} for name, (b, m) in rates.items()},
        "speed_ratio": ratios,
    }


def finish(output: Path | None, name: str, setting: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Print the machine and write everything to ``<output>/<name>.json`` if there is such a folder to be."""
    machine = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        # More than the cores that a benchmark uses: others were at work.
        "load": round(os.getloadavg()[1], 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in _LIBRARIES},
    }
    print("on " + ", ".join(f"{key} {value}" for key, value in machine.items()))
    if output:
        output.mkdir(parents=True, exist_ok=True)
        content = {"benchmark": name, "setting": setting, "machine": machine, **result}
        (output / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
