"""The first pass over a flat ntuple beside a bare loop of uproot.iterate and a boost-histogram fill.

Both read the same columns, three float32 scores and a float32 weight, of one file of 10⁷ rows, in the same
steps, on one core: compressed by zlib, by zstd, and not at all. The bare loop fills one histogram of the
three scores, 50 bins each, with Σw and Σw². The pass runs a coffea processor with a Collector: checks of
every value, folds from a hash of file and entry, log-ratios, and sums of w, w², |w| and |w|·u in cells.

Each program runs in a process of its own, in turns with the others. Counted is the time for which the
processor works, after a first run that is not counted. Last, the peak memory of the pass over a tenth of the
events, over all, and over ten times as many: the same file under ten names.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import boost_histogram as bh
import numpy as np
import uproot
from _measure import apart, finish, options, peak_memory, report_times

from cortado import Collector, Sample
from cortado.columnar import Dataset, FlatNtuple, open_executor, run_processor, take_inventory
from cortado.columnar.datasets import DEFAULT_CHUNK_SIZE

SCORES = ("p_1", "p_2", "p_3")
COLUMNS = (*SCORES, "weight")
COMPRESSIONS = {"zlib": uproot.ZLIB(1), "zstd": uproot.ZSTD(1), "uncompressed": None}
_BASKET = 100_000


def write_ntuple(path: Path, n_events: int, seed: int, compression: Any) -> None:
    """A tree ``Events`` with three softmax scores and a weight, float32."""
    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=compression) as file:
        tree = file.mktree("Events", dict.fromkeys(COLUMNS, np.dtype(np.float32)))
        for start in range(0, n_events, _BASKET):
            n = min(_BASKET, n_events - start)
            logits = random.normal([-2.0, -3.0, 0.0], 1.5, (n, 3))
            scores = np.exp(logits)
            scores /= scores.sum(axis=1, keepdims=True)
            columns = {name: scores[:, i].astype(np.float32) for i, name in enumerate(SCORES)}
            tree.extend(columns | {"weight": random.uniform(0.5, 1.5, n).astype(np.float32)})


def bare_loop(path: Path, step: int) -> bh.Histogram:
    """Read the columns and fill a histogram of the scores."""
    histogram = bh.Histogram(*(bh.axis.Regular(50, 0, 1) for _ in SCORES), storage=bh.storage.Weight())
    for part in uproot.iterate(f"{path}:Events", COLUMNS, step_size=step, library="np"):
        histogram.fill(*(part[name] for name in SCORES), weight=part["weight"])
    return histogram


def first_pass(paths: Sequence[Path], step: int) -> Sample:
    """The sample of some files, with everything that the pass does, the look into the files included."""
    processor = FlatNtuple(Collector(SCORES, "logratio"))
    with open_executor(progress=False) as executor:
        inventory = take_inventory([Dataset("toy", tuple(map(str, paths)))], executor, processor)
        sample: Sample = run_processor(processor, inventory.chunks(step), executor)
        return sample


def speeds(folder: Path, n_events: int, step: int, repetitions: int) -> dict[str, Any]:
    """Time both programs on files of every compression."""
    ratios, times = {}, {}
    for name, compression in COMPRESSIONS.items():
        path = folder / f"{name}.root"
        write_ntuple(path, n_events, seed=1, compression=compression)
        sample, histogram = first_pass([path], step), bare_loop(path, step)
        seen = (int(sample.cells.count.sum()), float(sample.cells.sums[:, 0].sum()))
        print(f"Pass 1 over {n_events} rows, {name}, {path.stat().st_size / 1e6:.0f} MB, in steps of {step}:")
        print(f"  {len(sample.cells)} cells of two folds, {histogram.size} bins")
        print(f"  events {seen[0]}, Σw {seen[1]:.9g}; bare loop {histogram.sum(flow=True).value:.9g}")
        with ExitStack() as stack:
            programs = {
                "cortado": stack.enter_context(apart(first_pass, [path], step)),
                "bare loop": stack.enter_context(apart(bare_loop, path, step)),
            }
            turns = [{program: run() for program, run in programs.items()} for _ in range(repetitions + 1)]
        found = report_times(
            {program: [turn[program] for turn in turns[1:]] for program in programs}, "cortado", n_events
        )
        ratios[name] = found["speed_ratio"]["bare loop"]
        times[name] = {key: found[key] for key in ("seconds", "events_per_second")}
    return {"speed_ratio": ratios, "times": times}


def memory(folder: Path, n_events: int, step: int) -> dict[str, Any]:
    """Peak memory of the pass, from a tenth of the events to ten times as many."""
    few, path = folder / "few.root", folder / "zstd.root"
    write_ntuple(few, n_events // 10, seed=2, compression=COMPRESSIONS["zstd"])
    copies = [folder / f"copy{i}.root" for i in range(10)]
    for copy in copies:
        copy.symlink_to(path)
    found = {}
    for n, files in ((n_events // 10, [few]), (n_events, [path]), (10 * n_events, copies)):
        before, peak = peak_memory(first_pass, files, step)
        print(f"peak memory over {n} events: {peak / 1e6:.0f} MB, {before / 1e6:.0f} MB before")
        found[str(n)] = {"before": before, "peak": peak}
    return {"peak_bytes": found}


def main() -> None:
    """Report the ratios of the speeds, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--step", type=int, default=DEFAULT_CHUNK_SIZE, help="rows read at a time")
    chosen = options(parser, repetitions=7)
    with tempfile.TemporaryDirectory() as folder:
        result = speeds(Path(folder), chosen.events, chosen.step, chosen.repetitions)
        result |= memory(Path(folder), chosen.events, chosen.step)
    finish(chosen.output, "pass1", {"events": chosen.events, "step": chosen.step}, result)


if __name__ == "__main__":
    main()
