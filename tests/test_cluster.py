"""The same on a cluster of two worker processes as in this one."""

from __future__ import annotations

import os
import signal
import textwrap
import time

import numpy as np
import pytest

import cortado as ct
from cortado import toys
from cortado.categorizer import equidistant
from cortado.columnar import (
    Dataset,
    FlatNtuple,
    ObservableCollector,
    open_executor,
    run_processor,
    take_inventory,
)
from cortado.columnar.loading import load_processor
from cortado.columnar.probe import set_widths
from cortado.coordinates import Features

pytestmark = pytest.mark.cluster

LOGRATIO = Features.declare(toys.SCORES, "logratio")
COLLECTOR = ct.Collector(LOGRATIO)

# In a file that no module search finds, with a function and a constant beside the class.
PROCESSOR = """
    import os, sys

    from coffea.processor import ProcessorABC

    THRESHOLD = 0.5


    def keep(scores):
        return scores > THRESHOLD


    class Selecting(ProcessorABC):
        def __init__(self, sink, mode="select", path=None):
            self.sink, self.mode, self.path = sink, mode, path

        def process(self, events):
            if self.mode == "tell":
                return {(os.getpid(), "tensorflow" in sys.modules)}
            if self.mode == "fail" and events.metadata["dataset"] == "bkg2":
                raise ValueError(f"cannot use {THRESHOLD}")
            if self.mode == "flaky" and not os.path.exists(self.path + events.metadata["dataset"]):
                open(self.path + events.metadata["dataset"], "w").close()
                raise OSError("timeout")
            if self.mode == "nothing":
                return None
            if self.mode == "die" and events.metadata["filename"].endswith("bkg2_0.root"):
                os._exit(1)
            selected = events[keep(events.p_background)]
            return self.sink.fill(
                events.metadata["dataset"], selected, selected.weight, event_id=selected.event
            )

        def postprocess(self, accumulator):
            pass
"""


@pytest.fixture(scope="module")
def cluster():
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as found:
        yield found


@pytest.fixture(scope="module")
def remote(cluster):
    with open_executor(cluster.scheduler_address, progress=False) as executor:
        yield executor


@pytest.fixture(scope="module")
def local():
    with open_executor(progress=False) as executor:
        yield executor


@pytest.fixture(scope="module")
def inventory(toy_folder, remote):
    datasets = [
        Dataset(process, tuple(map(str, sorted(toy_folder.glob(f"{process}_*.root")))))
        for process in toys.PROCESSES
    ]
    return take_inventory(datasets, remote, FlatNtuple(COLLECTOR))


@pytest.fixture(scope="module")
def selecting(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "theirs.py").write_text(textwrap.dedent(PROCESSOR))
    found, _ = load_processor("theirs.py:Selecting", folder)
    return found


def test_the_inventory_is_the_same(inventory, local):
    assert take_inventory(inventory.datasets, local).facts == inventory.facts


@pytest.mark.parametrize("size", [500, 10**6])
def test_the_sample_is_the_same(inventory, local, remote, size, assert_same_sums):
    processor = FlatNtuple(COLLECTOR, event_id="event")
    here = run_processor(processor, inventory.chunks(), local)
    there = run_processor(processor, inventory.chunks(size), remote)
    assert_same_sums(there.cells, here.cells)
    assert there.cells.count.sum() == 24_000


def test_categories_are_the_same(inventory, local, remote, assert_same_sums):
    filler = ct.TemplateFiller({"few": equidistant(LOGRATIO, 4, {}), "many": equidistant(LOGRATIO, 9, {})})
    here = run_processor(FlatNtuple(filler), inventory.chunks(), local)
    there = run_processor(FlatNtuple(filler), inventory.chunks(700), remote)
    for name in filler.binnings:
        assert_same_sums(there.cells[name], here.cells[name])


def test_observables_are_the_same(inventory, local, remote, selecting, tmp_path):
    """Written to files by the workers, with a processor that they cannot import."""
    classes = {"background": toys.BACKGROUNDS, "signal": toys.SIGNALS}
    here, there = (
        run_processor(
            selecting(ObservableCollector(toys.SCORES, folder)), inventory.chunks(size), executor
        ).labelled(classes, inventory.normalisation())
        for folder, size, executor in ((None, 10**6, local), (tmp_path, 900, remote))
    )
    assert len(list(tmp_path.glob("*.parquet"))) > 20
    for name in ("x", "y", "weight", "event_id", "process", "fold"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name))


def test_cell_widths_are_the_same(inventory, local, remote):
    features = Features.declare(toys.SCORES, "identity")
    found = [
        set_widths(features, FlatNtuple, inventory, executor, toys.PROCESSES, _schema())
        for executor in (local, remote)
    ]
    assert found[0] == found[1]
    assert None not in found[0].widths


def _schema():
    from coffea.nanoevents import BaseSchema

    return BaseSchema


def test_labels_are_the_same(inventory, toy_folder, local, remote):
    """A fit to the same sample is bit-equal; one to a sample that differs by rounding has the same labels."""
    import uproot

    def fitted(executor, size):
        part = run_processor(FlatNtuple(COLLECTOR, event_id="event"), inventory.chunks(size), executor)
        goal = ct.Asimov(toys.SIGNALS) + ct.MinBackground(10.0)
        return ct.fit(ct.GaussianMixture(5), part, goal, seed=1, steps=30, starts=1).categorizer

    here, again, there = fitted(local, 10**6), fitted(local, 10**6), fitted(remote, 333)
    assert again.model_dump_json() == here.model_dump_json()
    columns = uproot.concatenate(f"{toy_folder}/*_*.root:Events", toys.SCORES, library="np")
    assert len(columns["p_signal1"]) == 24_000
    assert np.mean(here(columns) == there(columns)) >= 0.999
    assert len(np.unique(here(columns))) > 1


class TestAProcessorFromAFile:
    def test_it_runs_on_workers_that_cannot_import_it(
        self, inventory, local, remote, selecting, assert_same_sums
    ):
        with pytest.raises(ModuleNotFoundError):
            __import__("theirs")
        here = run_processor(selecting(COLLECTOR), inventory.chunks(), local)
        there = run_processor(selecting(COLLECTOR), inventory.chunks(1000), remote)
        assert_same_sums(there.cells, here.cells)
        assert 0 < here.cells.count.sum() < 24_000

    def test_it_runs_in_processes_without_tensorflow(self, inventory, remote, selecting):
        told = run_processor(selecting(COLLECTOR, "tell"), inventory.chunks(500), remote)
        assert len(told) == 2
        assert os.getpid() not in {pid for pid, _ in told}
        assert not any(has_tensorflow for _, has_tensorflow in told)

    def test_the_next_run_gets_the_next_processor(self, inventory, remote, selecting):
        processors = [selecting(ct.Collector(LOGRATIO, n_folds=n)) for n in (2, 3)]
        chunks = inventory.chunks()
        assert [run_processor(p, chunks, remote).n_folds for p in processors] == [2, 3]

    @pytest.mark.parametrize(
        ("mode", "message"),
        [
            ("fail", r"Selecting failed on .*bkg2_0\.root, entries 0 to 500 .*ValueError: cannot use 0\.5"),
            ("nothing", r"Selecting failed on .*_0\.root, entries 0 to .*process returned nothing"),
        ],
    )
    def test_what_goes_wrong_there_is_told_here(self, inventory, remote, selecting, capfd, mode, message):
        remote = remote.copy(status=True, heavy_input=None)
        with pytest.raises(ct.InputError, match=message):
            run_processor(selecting(COLLECTOR, mode), inventory.chunks(500), remote)
        written = capfd.readouterr()
        assert "100%" in written.out
        assert "Traceback" not in written.out + written.err

    def test_reading_is_tried_again(self, inventory, local, remote, selecting, tmp_path, assert_same_sums):
        flaky = selecting(COLLECTOR, "flaky", f"{tmp_path}/tried-")
        there = run_processor(flaky, inventory.chunks(2000), remote)
        here = run_processor(selecting(COLLECTOR), inventory.chunks(), local)
        assert len([*tmp_path.iterdir()]) == len(toys.PROCESSES)
        assert_same_sums(there.cells, here.cells)


def test_a_file_that_vanished(tmp_path, write_tree, remote, capfd):
    path = write_tree(tmp_path / "x.root", dict.fromkeys((*toys.SCORES, "weight"), np.full(9, 0.3)))
    found = take_inventory([Dataset("dy", (str(path),))], remote)
    path.unlink()
    with pytest.raises(ct.InputError, match=rf"{path}, entries 0 to 9: cannot be processed"):
        run_processor(FlatNtuple(COLLECTOR), found.chunks(), remote.copy(status=True, heavy_input=None))
    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_cluster_of_our_own_comes_and_goes(inventory, selecting, capfd):
    import dask

    quickly = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with quickly, open_executor(workers=2) as executor:
        workers = {*executor.client.run(os.getpid).values()}
        assert len(workers) == 2
        assert os.getpid() not in workers
        with pytest.raises(ct.InputError, match=r"worker processes died.*bkg2_0\.root"):
            run_processor(selecting(COLLECTOR, "die"), inventory.chunks(only=["bkg2"])[:1], executor)
        part = run_processor(selecting(COLLECTOR), inventory.chunks(500), executor)
        assert part.cells.count.sum() > 0
        workers |= {*executor.client.run(os.getpid).values()}
    assert not [pid for pid in workers if is_running(pid)]
    assert capfd.readouterr().err == ""


def test_interrupts_do_not_reach_the_workers():
    """A terminal sends Ctrl-C to them, too; they must leave it to the process that they belong to."""
    with open_executor(workers=1, progress=False) as executor:
        (pid,) = executor.client.run(os.getpid).values()
        os.kill(pid, signal.SIGINT)
        time.sleep(0.5)
        assert [*executor.client.run(os.getpid).values()] == [pid]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
