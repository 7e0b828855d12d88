"""The first pass over a flat ntuple beside a bare loop of uproot.iterate and a boost-histogram fill.

Both read the same columns, three float32 scores and a float32 weight, of one zlib-compressed file of 2·10⁶
rows, in the same steps, on one core. The bare loop fills one histogram of the three scores, 50 bins each,
with Σw and Σw². The pass runs a coffea processor with a Collector: checks of every value, folds from a hash
of file and entry, log-ratios, and sums of w, w², |w| and |w|·u in sparse cells.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boost_histogram as bh
import numpy as np
import uproot
from _measure import finish, in_turns, options, report_times

from cortado import Collector
from cortado.columnar import Dataset, FlatNtuple, open_executor, run_processor, take_inventory

SCORES = ("p_1", "p_2", "p_3")
COLUMNS = (*SCORES, "weight")
_BASKET = 100_000


def write_ntuple(path: Path, n_events: int, seed: int) -> None:
    """A tree ``Events`` with three softmax scores and a weight, float32, compressed by zlib at level 1."""
    random = np.random.default_rng(seed)
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
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


def first_pass(path: Path, step: int) -> Any:
    """The sample of the file, with everything that the pass does, the look into the file included."""
    processor = FlatNtuple(Collector(SCORES, "logratio"))
    with open_executor(progress=False) as executor:
        inventory = take_inventory([Dataset("toy", (str(path),))], executor, processor)
        return run_processor(processor, inventory.chunks(step), executor)


def main() -> None:
    """Time both in turns and report the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--step", type=int, default=200_000, help="rows read at a time")
    chosen = options(parser, repetitions=7)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "toy.root"
        write_ntuple(path, chosen.events, seed=1)
        size = path.stat().st_size
        sample, histogram = first_pass(path, chosen.step), bare_loop(path, chosen.step)
        programs: dict[str, Callable[[], Any]] = {
            "cortado": lambda: first_pass(path, chosen.step),
            "bare loop": lambda: bare_loop(path, chosen.step),
        }
        times = in_turns(programs, chosen.repetitions)

    seen = (int(sample.cells.count.sum()), float(sample.cells.sums[:, 0].sum()))
    print(
        f"Pass 1 over {chosen.events} rows ({size / 1e6:.0f} MB, zlib) in steps of {chosen.step}: "
        f"{len(np.unique(sample.cells.key, axis=0))} occupied cells, {histogram.size} bins"
    )
    print(f"events {seen[0]}, sum of weights {seen[1]:.6g} (bare loop {histogram.sum(flow=True).value:.6g})")
    result = report_times(times, reference="cortado", n_events=chosen.events)
    setting = {"events": chosen.events, "step": chosen.step, "compression": "zlib", "bytes": size}
    finish(chosen.output, "pass1", setting, result)


if __name__ == "__main__":
    main()
