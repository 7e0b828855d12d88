"""The first pass over a flat ntuple beside a bare loop of uproot.iterate and a boost-histogram fill.

Both read the same columns, three float32 scores and a float32 weight, of one file of 10⁷ rows, in the same
steps, on one core: compressed by zlib, by zstd, and not at all. The bare loop fills one histogram of the
three scores, 50 bins each, with Σw and Σw². The pass runs a coffea processor with a Collector: checks of
every value, folds from a hash of file and entry, log-ratios, and sums of w, w², |w| and |w|·u in cells.

Each program runs in a process of its own, in turns with the others. Counted is the time for which the
processor works, after a first run that is not counted. Last, the peak memory of the pass over a tenth of the
events, over all, and over ten times as many, the same files under ten names: for log-ratios of three scores
and of four, two and three dimensions, and for events of one dataset and of several that differ.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
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

MEANS = {3: (-2.0, -3.0, 0.0), 4: (-2.0, -3.0, -1.0, 0.0)}  # of the logits, by the number of scores
N_DATASETS = (1, 3)
COMPRESSIONS = {"zlib": uproot.ZLIB(1), "zstd": uproot.ZSTD(1), "uncompressed": None}
_BASKET = 100_000


def write_ntuple(path: Path, n_events: int, seed: int, compression: Any, means: Sequence[float]) -> None:
    """A tree ``Events`` with softmax scores, whose logits have these means, and a weight, float32."""
    random = np.random.default_rng(seed)
    names = scores(len(means))
    with uproot.recreate(path, compression=compression) as file:
        tree = file.mktree("Events", dict.fromkeys((*names, "weight"), np.dtype(np.float32)))
        for start in range(0, n_events, _BASKET):
            n = min(_BASKET, n_events - start)
            p = np.exp(random.normal(means, 1.5, (n, len(means))))
            p /= p.sum(axis=1, keepdims=True)
            columns = {name: p[:, i].astype(np.float32) for i, name in enumerate(names)}
            tree.extend(columns | {"weight": random.uniform(0.5, 1.5, n).astype(np.float32)})


def scores(n: int) -> tuple[str, ...]:
    """The names of n scores."""
    return tuple(f"p_{i + 1}" for i in range(n))


def bare_loop(path: Path, step: int) -> bh.Histogram:
    """Read the columns and fill a histogram of the scores."""
    names = scores(3)
    histogram = bh.Histogram(*(bh.axis.Regular(50, 0, 1) for _ in names), storage=bh.storage.Weight())
    for part in uproot.iterate(f"{path}:Events", (*names, "weight"), step_size=step, library="np"):
        histogram.fill(*(part[name] for name in names), weight=part["weight"])
    return histogram


def first_pass(files: Mapping[str, Sequence[Path]], step: int, n_scores: int = 3) -> Sample:
    """The sample of some files by dataset, with all that the pass does, the look into the files included."""
    processor = FlatNtuple(Collector(scores(n_scores), "logratio"))
    datasets = [Dataset(name, tuple(map(str, paths))) for name, paths in files.items()]
    with open_executor(progress=False) as executor:
        inventory = take_inventory(datasets, executor, processor)
        sample: Sample = run_processor(processor, inventory.chunks(step), executor)
        return sample


def speeds(folder: Path, n_events: int, step: int, repetitions: int) -> dict[str, Any]:
    """Time both programs on files of every compression."""
    ratios, times = {}, {}
    for name, compression in COMPRESSIONS.items():
        path = folder / f"{name}.root"
        write_ntuple(path, n_events, 1, compression, MEANS[3])
        files = {"toy": [path]}
        sample, histogram = first_pass(files, step), bare_loop(path, step)
        seen = (int(sample.cells.count.sum()), float(sample.cells.sums[:, 0].sum()))
        print(f"Pass 1 over {n_events} rows, {name}, {path.stat().st_size / 1e6:.0f} MB, in steps of {step}:")
        print(f"  {len(sample.cells)} cells of two folds, {histogram.size} bins")
        print(f"  events {seen[0]}, Σw {seen[1]:.9g}; bare loop {histogram.sum(flow=True).value:.9g}")
        with ExitStack() as stack:
            programs = {
                "cortado": stack.enter_context(apart(first_pass, files, step)),
                "bare loop": stack.enter_context(apart(bare_loop, path, step)),
            }
            turns = [{program: run() for program, run in programs.items()} for _ in range(repetitions + 1)]
        found = report_times(
            {program: [turn[program] for turn in turns[1:]] for program in programs}, "cortado", n_events
        )
        ratios[name] = found["speed_ratio"]["bare loop"]
        times[name] = {key: found[key] for key in ("seconds", "events_per_second")}
    return {"speed_ratio": ratios, "times": times}


def memory(folder: Path, n_events: int, step: int, n_scores: int, n_datasets: int) -> list[dict[str, Any]]:
    """Peak memory of the pass, from a tenth of the events to ten times as many."""
    names = [f"dataset {i + 1}" for i in range(n_datasets)]
    few, all_, many = files = tuple(dict[str, list[Path]]() for _ in range(3))
    for i, name in enumerate(names):
        # Of each dataset another class has higher scores, but of a single one.
        means = np.array(MEANS[n_scores]) + 1.5 * (n_datasets > 1) * (np.arange(n_scores) == i)
        few[name], all_[name] = [folder / f"few{i}.root"], [folder / f"all{i}.root"]
        for (path,), n, seed in ((few[name], n_events // 10, 2), (all_[name], n_events, 1)):
            write_ntuple(path, n // n_datasets, 10 * i + seed, COMPRESSIONS["zstd"], means)
        many[name] = [folder / f"copy{i}_{k}.root" for k in range(10)]
        for copy in many[name]:
            copy.symlink_to(all_[name][0])
    first_pass(few, step, n_scores)  # compiles what later processes find
    rows = []
    for chosen, n in zip(files, (n_events // 10, n_events, 10 * n_events), strict=True):
        before, peak = peak_memory(first_pass, chosen, step, n_scores)
        growth = peak / rows[0]["peak"] if rows else 1.0
        print(
            f"peak memory, {n_scores - 1} dimensions, {n_datasets} datasets, {n} events: "
            f"{peak / 1e6:.0f} MB, {before / 1e6:.0f} MB before; × {growth:.2f}"
        )
        rows.append(
            {
                "dimensions": n_scores - 1,
                "datasets": n_datasets,
                "events": n,
                "before": before,
                "peak": peak,
                "growth": growth,
            }
        )
    return rows


def main() -> None:
    """Report the ratios of the speeds, and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--step", type=int, default=DEFAULT_CHUNK_SIZE, help="rows read at a time")
    parser.add_argument(
        "--scores", type=int, nargs="+", choices=MEANS, default=[*MEANS], help="of the memory"
    )
    parser.add_argument("--datasets", type=int, nargs="+", default=[*N_DATASETS], help="of the memory")
    chosen = options(parser, repetitions=7)
    with tempfile.TemporaryDirectory() as folder:
        result = speeds(Path(folder), chosen.events, chosen.step, chosen.repetitions)
    result["memory"] = []
    for n_scores in chosen.scores:
        for n_datasets in chosen.datasets:
            with tempfile.TemporaryDirectory() as folder:
                setting = chosen.events, chosen.step, n_scores, n_datasets
                result["memory"] += memory(Path(folder), *setting)
    finish(chosen.output, "pass1", {"events": chosen.events, "step": chosen.step}, result)


if __name__ == "__main__":
    main()
