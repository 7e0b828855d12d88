"""What the benchmarks share: processes, their memory, and where the time of a fit goes."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cortado as ct
from cortado import toys

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def benchmark_program() -> Iterator[Any]:
    """A function that imports a program of benchmarks/ by name."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture
def job(benchmark_program, tmp_path, monkeypatch):
    """A function that runs lines of Python, which may use ``job`` and fill ``report``, in a process."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))

    def run(lines: str, **values: Any) -> dict[str, Any]:
        script = tmp_path / "script.py"
        head = "from _processes import answer, job_of_this_process, measured\njob = job_of_this_process()\n"
        script.write_text(f"{head}{lines}\nanswer(report)\n", encoding="utf-8")
        return dict(benchmark_program("_processes").run_job(sys.executable, script, values))

    return run


@pytest.mark.parametrize("megabytes", [0, 100, 300])
def test_peak_memory_is_that_of_the_process_alone(job, megabytes):
    """However much its parent has had."""
    here = np.ones(80_000_000)
    assert here.nbytes == 640_000_000
    report = job(
        "with measured() as report:\n    bytearray(b'1') * (job['megabytes'] * 1_000_000)",
        megabytes=megabytes,
    )
    assert report["memory_before"] < 100e6
    assert report["peak_memory"] - report["memory_before"] == pytest.approx(1e6 * megabytes, abs=5e6)


def test_seconds_are_those_of_the_block(job):
    report = job("import time\ntime.sleep(1)\nwith measured() as report:\n    time.sleep(0.2)")
    assert 0.2 <= report["seconds"] < 0.9
    assert report["cpu_seconds"] < 0.2


def test_a_job_that_fails_says_why(job):
    with pytest.raises(RuntimeError, match=r"script\.py failed with status 1:\n(.|\n)*no such luck"):
        job("raise ValueError('no such luck')")


@pytest.fixture
def asked(benchmark_program, tmp_path, monkeypatch):
    """A function that lets a process wait, in which ``ask`` is what it is to do each time."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "benchmarks"))

    def wait(lines: str, **values: Any) -> Any:
        script = tmp_path / "script.py"
        head = "from _processes import each_time_asked, job_of_this_process\njob = job_of_this_process()\n"
        script.write_text(f"{head}{lines}\neach_time_asked(ask)\n", encoding="utf-8")
        return benchmark_program("_processes").waiting(sys.executable, script, values)

    return wait


def test_a_waiting_process_acts_when_it_is_asked(asked, tmp_path):
    """Once each time and not before, whatever it prints."""
    notes = tmp_path / "notes"
    notes.touch()
    lines = "def ask():\n    print('done')\n    open(job['notes'], 'a').write('x')"
    with asked(lines, notes=str(notes)) as once_more:
        for n in range(4):
            assert notes.read_text(encoding="utf-8") == n * "x"
            once_more()
    assert notes.read_text(encoding="utf-8") == "xxxx"


@pytest.mark.parametrize(
    "lines", ["raise ValueError('no such luck')", "def ask(): raise ValueError('no such luck')"]
)
def test_a_waiting_process_that_fails_says_why(asked, lines):
    with (
        asked(lines) as once_more,
        pytest.raises(RuntimeError, match=r"script\.py failed with status 1:\n(.|\n)*no such luck"),
    ):
        once_more()


@pytest.mark.parametrize(
    ("epochs", "seconds", "extrapolated"),
    [([5.0, 2.0, 2.0, 3.0], 14.0 + 6 * 2.0, True), ([5.0, *(9 * [2.0])], 25.0, False)],
)
def test_times_of_epochs_that_were_not_made(benchmark_program, epochs, seconds, extrapolated):
    """Each counts as the median of those after the first; with all of them the time is what was measured."""
    each = {"seconds": epochs, "cpu_seconds": [2 * t for t in epochs]}
    report = {"seconds": 2 + sum(epochs), "cpu_seconds": 2 * (2 + sum(epochs)), "per_epoch": each}
    found = benchmark_program("peer").full_length(report | {"trained": "x"}, 10)
    assert found == report | {
        "trained": "x",
        "seconds": seconds,
        "cpu_seconds": 2 * seconds,
        "extrapolated": extrapolated,
    }


def test_stages_add_up_to_the_time_of_a_fit(benchmark_program):
    """Every part is met, and less than half is left over."""
    stages = benchmark_program("_stages")
    events = toys.arrays(toys.three_class(seed=1, n_signal=2_000, n_background=20_000))
    objective = ct.Asimov(toys.SIGNALS) + ct.MinBackground(10.0)
    ct.fit, ct.GaussianMixture  # noqa: B018  imports TensorFlow
    with stages.watched() as watch:
        began = time.perf_counter()
        sample = ct.Sample.from_arrays(events, "logratio", names=toys.SCORES, n_folds=1)
        ct.fit(ct.GaussianMixture(3), sample, objective, steps=60, starts=1)
        seconds = time.perf_counter() - began
    spent = watch.stages(seconds)
    assert sum(spent.values()) == pytest.approx(seconds)
    assert all(spent[part] > 0 for part in [*stages.PARTS, "tracing"])
    assert 0 <= spent["other"] < 0.5 * seconds
    assert [len(watch.calls[part]) for part in ("compression", "steps")] == [1, 3]


def test_a_stopwatch_leaves_everything_as_it_was(benchmark_program):
    before = ct.Sample.__dict__["from_arrays"], ct.Sample.points
    with benchmark_program("_stages").watched():
        assert ct.Sample.points is not before[1]
    assert (ct.Sample.__dict__["from_arrays"], ct.Sample.points) == before


def test_cells_of_a_number(benchmark_program):
    """Repeated or thinned out, the cells stay cells: each has its own yields and its own place."""
    events = toys.arrays(toys.three_class(seed=1, n_signal=500, n_background=5_000))
    points = ct.Sample.from_arrays(events, "logratio", names=toys.SCORES, n_folds=1).points()
    for n in (100, len(points.place), 3 * len(points.place)):
        chosen = benchmark_program("devices").of_number(points, n)
        assert chosen.place.shape == (n, 2)
        assert chosen.sumw.shape == (len(points.processes), n)
        known = {(*place, *sumw) for place, sumw in zip(points.place, points.sumw.T, strict=True)}
        assert {(*place, *sumw) for place, sumw in zip(chosen.place, chosen.sumw.T, strict=True)} <= known
