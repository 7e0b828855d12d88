"""Programs in processes of their own: how long they take, and how much memory they need at most.

Nothing here needs more than the standard library, so that it also runs in the environment of a peer.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any


def peak_memory() -> int:
    """The largest resident set that this process has had, bytes.

    On Linux ``ru_maxrss`` of a new process begins with that of the one which started it; /proc knows better.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text(encoding="utf-8").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def measured() -> Iterator[dict[str, Any]]:
    """What a block costs, filled in at its end.

    ``seconds``, ``cpu_seconds`` of all threads, and ``peak_memory`` of the process, bytes, beside what it was
    before, ``memory_before``: libraries and what the block is given.
    """
    found: dict[str, Any] = {"memory_before": peak_memory()}
    wall, processor = time.perf_counter(), time.process_time()
    yield found
    found["seconds"] = time.perf_counter() - wall
    found["cpu_seconds"] = time.process_time() - processor
    found["peak_memory"] = peak_memory()


def run_job(python: str | Path, script: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Run ``script`` with a job, and return what it reports. Raises where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        order, report = Path(folder) / "job.json", Path(folder) / "report.json"
        order.write_text(json.dumps(job), encoding="utf-8")
        command = [str(python), str(script), str(order), str(report)]
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise RuntimeError(f"{script.name} failed with status {done.returncode}:\n{done.stderr}")
        return dict(json.loads(report.read_text(encoding="utf-8")))


@contextmanager
def waiting(python: str | Path, script: Path, job: dict[str, Any]) -> Iterator[Callable[[], None]]:
    """A function that has ``script`` do once more what it does, in a process that waits in between.

    So can a program that needs another environment take turns with those of this process.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "errors.txt").open("w+") as errors:
        order = Path(folder) / "job.json"
        order.write_text(json.dumps(job), encoding="utf-8")
        command = [str(python), str(script), str(order)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe, stderr=errors) as process:
            stdin, stdout = process.stdin, process.stdout
            assert stdin
            assert stdout

            def once_more() -> None:
                with suppress(BrokenPipeError):
                    stdin.write(b"once more\n")
                if stdout.readline() != b"done\n":
                    errors.seek(0)
                    raise RuntimeError(f"{script.name} failed with status {process.wait()}:\n{errors.read()}")

            yield once_more


def each_time_asked(function: Callable[[], Any]) -> None:
    """What the process of :func:`waiting` does."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        for _ in sys.stdin:
            function()
            print("done", file=answers, flush=True)


def job_of_this_process() -> dict[str, Any]:
    """What :func:`run_job` asked this process for."""
    return dict(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


def answer(report: dict[str, Any]) -> None:
    """What this process reports to :func:`run_job`."""
    Path(sys.argv[2]).write_text(json.dumps(report), encoding="utf-8")
