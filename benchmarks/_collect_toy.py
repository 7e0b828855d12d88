"""The sample of toy events that are made and filled chunk by chunk, in a process of its own."""

from __future__ import annotations

import time

from _processes import answer, job_of_this_process, peak_memory
from _toy import toy_named

import cortado as ct


def main() -> None:
    """Make and fill so many background events, and a fifth as many of all signals together; write the sample.

    Each chunk is a toy of its own, of the full luminosity, so its weights are scaled to its share.
    """
    job = job_of_this_process()
    toy = toy_named(job["toy"])
    collector = ct.Collector(toy.names, toy.coordinates, n_folds=1)
    sample = collector.empty
    n, chunk = job["events"], min(job["chunk"], job["events"])
    spent = 0.0
    for seed, first in enumerate(range(0, n, chunk), start=1):
        size = min(chunk, n - first)
        events = toy.events(seed, max(size // (5 * len(toy.signals)), 1), size)
        began = time.perf_counter()
        for process, part in events.items():
            sample += collector.fill(process, part.scores, part.weight * (size / n))
        spent += time.perf_counter() - began
    sample.save(job["sample"])
    answer({"seconds": spent, "peak_memory": peak_memory()})


if __name__ == "__main__":
    main()
