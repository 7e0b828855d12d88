"""Inventories, chunks and processors run over files in this process."""

from __future__ import annotations

import random

import numpy as np
import pytest
import uproot
from coffea.processor import IterativeExecutor

import cortado as ct
from cortado import toys
from cortado.categorizer import equidistant
from cortado.columnar import Dataset, FlatNtuple, open_executor, run_processor, take_inventory
from cortado.columnar.guard import Failure, Outcome
from cortado.columnar.probe import set_widths
from cortado.coordinates import Features

LOGRATIO = Features.declare(toys.SCORES, "logratio")
COLLECTOR = ct.Collector(LOGRATIO)


def datasets_in(folder, order=1):
    return [Dataset(p, tuple(map(str, sorted(folder.glob(f"{p}_*.root"))))) for p in toys.PROCESSES[::order]]


@pytest.fixture
def executor():
    with open_executor(progress=False) as found:
        yield found


@pytest.fixture(scope="module")
def inventory(few_events):
    with open_executor(progress=False) as found:
        return take_inventory(datasets_in(few_events), found, FlatNtuple(COLLECTOR, event_id="event"))


class TestTheSameWhateverTheChunks:
    SINKS = (
        COLLECTOR,
        ct.TemplateFiller({"x": equidistant(LOGRATIO, 9, {}), "y": equidistant(LOGRATIO, 4, {})}, n_folds=2),
    )

    @pytest.mark.parametrize("sink", SINKS, ids=["sample", "categories"])
    @pytest.mark.parametrize("event_id", ["event", None], ids=["number", "entry"])
    def test_size_and_order_of_chunks_and_files(
        self, few_events, inventory, executor, sink, event_id, assert_same_sums
    ):
        processor = FlatNtuple(sink, event_id=event_id)
        whole = run_processor(processor, inventory.chunks(1_000_000), executor)
        for size, order in ((7, 1), (100, -1)):
            reordered = take_inventory(datasets_in(few_events, order), executor)
            chunks = reordered.chunks(size)
            random.Random(size).shuffle(chunks)
            part = run_processor(processor, chunks, executor)
            if sink is COLLECTOR:
                assert_same_sums(part.cells, whole.cells)
                assert part.cells.count.sum() == sum(toys.event_counts(30, 300).values())
            else:
                for name in sink.binnings:
                    assert_same_sums(part.cells[name], whole.cells[name])

    def test_an_executor_of_coffea_gives_the_same(self, inventory, executor, assert_same_sums):
        processor = FlatNtuple(COLLECTOR, event_id="event")
        whole = run_processor(processor, inventory.chunks(), executor)
        part = run_processor(processor, inventory.chunks(50), IterativeExecutor(status=False))
        assert_same_sums(part.cells, whole.cells)

    def test_the_sums_are_those_of_the_files(self, few_events, inventory, executor):
        sample = run_processor(FlatNtuple(COLLECTOR, event_id="event"), inventory.chunks(100), executor)
        for process in toys.PROCESSES:
            weight = uproot.concatenate(f"{few_events}/{process}_*.root:Events", ["weight"], library="np")
            rows = np.array([s.dataset for s in sample.cells.sources])[sample.cells.source] == process
            np.testing.assert_allclose(sample.cells.sums[rows, 0].sum(), weight["weight"].sum(), rtol=1e-12)


class TestCellWidths:
    """Identity coordinates without a width take it from the first file that has selected events."""

    FEATURES = Features.declare(toys.SCORES, "identity")

    class Selecting(FlatNtuple):
        """Selects nothing from bkg1 and half of the rest."""

        def process(self, events):
            keep = (events.p_background > 0.5) & (events.metadata["dataset"] != "bkg1")
            return self.sink.fill(events.metadata["dataset"], events[keep], events.weight[keep])

    def test_they_come_from_the_first_file_with_events(self, few_events, inventory, executor):
        found = set_widths(
            self.FEATURES, self.Selecting, inventory, executor, list(toys.PROCESSES)[::-1], _schema()
        )
        first = uproot.concatenate(f"{few_events}/bkg2_0.root:Events", toys.SCORES, library="np")
        x = np.column_stack([first[name] for name in toys.SCORES])
        expected = self.FEATURES.with_widths_from(x[x[:, 2] > 0.5])
        assert found == expected
        assert None not in found.widths
        assert found != self.FEATURES.with_widths_from(x)

    def test_declared_widths_stay(self, inventory, executor):
        declared = Features.declare(
            toys.SCORES, [{"kind": "identity", "features": toys.SCORES, "width": (0.5, 0.25, 1.0)}]
        )
        assert set_widths(declared, FlatNtuple, inventory, executor, ["bkg1"], _schema()) is declared

    def test_without_any_event_there_are_none(self, inventory, executor):
        with pytest.raises(ct.InputError, match="no event"):
            set_widths(self.FEATURES, self.Selecting, inventory, executor, ["bkg1"], _schema())


def _schema():
    from coffea.nanoevents import BaseSchema

    return BaseSchema


class TestInventory:
    def test_chunks_cover_every_entry_once(self, few_events, inventory):
        for size in (1, 7, 74, 75, 76, 10**9):
            chunks = inventory.chunks(size)
            assert max(c.entrystop - c.entrystart for c in chunks) <= size
            for path in few_events.glob("*.root"):
                edges = sorted((c.entrystart, c.entrystop) for c in chunks if c.filename == str(path))
                with uproot.open(path) as file:
                    assert [edges[0][0], *(stop for _, stop in edges)] == [
                        *(start for start, _ in edges),
                        file["Events"].num_entries,
                    ]

    def test_chunks_of_some_datasets(self, inventory):
        assert {c.dataset for c in inventory.chunks(10, ["bkg1", "signal1"])} == {"bkg1", "signal1"}

    def test_chunks_must_hold_entries(self, inventory):
        with pytest.raises(ct.ConfigError, match="at least 1, got 0"):
            inventory.chunks(0)

    def test_generated_weights_are_added_once_a_file(self, tmp_path, write_tree, executor):
        paths = [
            str(write_tree(tmp_path / f"{i}.root", {"x": np.arange(5.0)}, sum_of_weights=10.0**i))
            for i in range(3)
        ]
        dataset = Dataset("dy", tuple(paths), sum_of_weights=("Runs", "genEventSumw"))
        assert take_inventory([dataset], executor).sum_of_weights("dy") == 111.0

    def test_a_file_without_entries_is_no_problem(self, tmp_path, write_tree, executor):
        paths = [str(write_tree(tmp_path / f"{n}.root", {"x": np.zeros(n)})) for n in (0, 3)]
        found = take_inventory([Dataset("dy", tuple(paths))], executor)
        assert [(c.filename, c.entrystart, c.entrystop) for c in found.chunks(2)] == [
            (paths[1], 0, 2),
            (paths[1], 2, 3),
        ]

    def test_all_problems_are_told_at_once(self, tmp_path, write_tree, executor):
        good = write_tree(tmp_path / "good.root", {"x": np.zeros(2)})
        (tmp_path / "text.root").write_text("no ROOT file\n" * 100)
        datasets = [
            Dataset("a", (str(tmp_path / "absent.root"), str(good))),
            Dataset("b", (str(tmp_path / "text.root"),)),
            Dataset("c", (str(good),), tree="Ntuple"),
        ]
        with pytest.raises(ct.InputError) as caught:
            take_inventory(datasets, executor)
        lines = str(caught.value).splitlines()
        assert len(lines) == 3
        for name, words in (("absent.root", "does not exist"), ("text.root", "cannot be read")):
            assert any(name in line and words in line for line in lines)
        assert any("'Ntuple'" in line and "it has Events" in line for line in lines)

    def test_many_problems_are_cut_short(self, tmp_path, executor):
        dataset = Dataset("a", tuple(str(tmp_path / f"{i}.root") for i in range(25)))
        with pytest.raises(ct.InputError, match="and 15 more") as caught:
            take_inventory([dataset], executor)
        assert len(str(caught.value).splitlines()) == 11

    def test_what_is_no_tree(self, tmp_path, executor):
        with uproot.recreate(tmp_path / "h.root") as file:
            file["Events"] = np.histogram(np.zeros(3))
        with pytest.raises(ct.InputError, match=r"'Events' in .*h.root.* is a TH1D, not a tree"):
            take_inventory([Dataset("a", (str(tmp_path / "h.root"),))], executor)

    def test_needs_files(self, executor):
        with pytest.raises(ct.InputError, match="no input files"):
            take_inventory([], executor)

    def test_a_processor_that_cannot_name_its_branches(self, few_events, executor):
        class Broken(FlatNtuple):
            def branches(self, *, is_mc):
                raise RuntimeError(f"is_mc={is_mc}")

        with pytest.raises(ct.ConfigError, match=r"Broken.branches.* failed: RuntimeError: is_mc=True"):
            take_inventory(datasets_in(few_events), executor, Broken(COLLECTOR))


class Breaks(FlatNtuple):
    """Raises what it is given, wherever a condition on the chunk holds."""

    def __init__(self, sink, error=None, where=lambda metadata: metadata["dataset"] == "bkg2", times=None):
        super().__init__(sink, event_id="event")
        self.error, self.where, self.times = error, where, times  # `times`: a file that counts

    def process(self, events):
        if self.where(events.metadata) and self._due():
            if self.error is None:
                return None
            raise self.error
        return super().process(events)

    def _due(self):
        if self.times is None:
            return True
        left = int(self.times.read_text()) - 1
        self.times.write_text(str(left))
        return left >= 0


class TestFailures:
    @pytest.mark.parametrize(
        ("error", "message"),
        [
            (ValueError("no such thing"), "ValueError: no such thing"),
            (ValueError(), "ValueError:"),
            (ct.InputError("features are odd"), "features are odd"),
            (ct.InputError(""), "InputError:"),
            (None, "process returned nothing; it must return what its sink's fill returns"),
        ],
    )
    def test_the_first_is_told_with_file_and_entries(self, few_events, inventory, executor, error, message):
        chunks = inventory.chunks(40)
        random.Random(0).shuffle(chunks)
        with pytest.raises(ct.InputError) as caught:
            run_processor(Breaks(COLLECTOR, error), chunks, executor)
        more = sum(c.dataset == "bkg2" for c in chunks) - 1
        assert str(caught.value).startswith(
            f"Breaks failed on {few_events}/bkg2_0.root, entries 0 to 40 (and {more} more chunks): {message}"
        )
        assert "\n" not in str(caught.value)
        assert "Traceback" in caught.value.__notes__[0]

    def test_an_absent_branch_is_told_with_those_that_exist(self, inventory, executor):
        class Wants(FlatNtuple):
            def process(self, events):
                return events.p_signal3

        with pytest.raises(ct.InputError, match=r"p_signal3.*tree 'Events' has p_signal1, p_signal2, p_back"):
            run_processor(Wants(COLLECTOR), inventory.chunks(), executor)

    @pytest.mark.parametrize("times", [1, 2])
    def test_reading_is_tried_again(self, tmp_path, inventory, executor, times, assert_same_sums):
        counter = tmp_path / "times"
        counter.write_text(str(times))
        whole = run_processor(FlatNtuple(COLLECTOR, event_id="event"), inventory.chunks(50), executor)
        where = lambda metadata: (metadata["dataset"], metadata["entrystart"]) == ("bkg2", 50)  # noqa: E731
        again = run_processor(
            Breaks(COLLECTOR, OSError("timeout"), where, counter), inventory.chunks(50), executor
        )
        assert int(counter.read_text()) < 0
        assert_same_sums(again.cells, whole.cells)

    def test_but_not_for_ever(self, tmp_path, inventory, executor):
        counter = tmp_path / "times"
        counter.write_text("1000")
        with pytest.raises(ct.InputError, match=r"bkg2_0.root, entries 0 to 75 .*: OSError: timeout"):
            run_processor(Breaks(COLLECTOR, OSError("timeout"), times=counter), inventory.chunks(), executor)
        assert int(counter.read_text()) == 1000 - 3 * 2

    def test_of_two_datasets_with_the_same_file_one_is_read_again(self, few_events, tmp_path, executor):
        path = str(next(few_events.glob("bkg2_*.root")))
        found = take_inventory([Dataset("bkg2", path), Dataset("copy", path)], executor)
        counter = tmp_path / "times"
        counter.write_text("1")
        sample = run_processor(Breaks(COLLECTOR, OSError("timeout"), times=counter), found.chunks(), executor)
        n_events = np.bincount(sample.cells.source, sample.cells.count)
        by_dataset = dict.fromkeys(("bkg2", "copy"), 0.0)
        for source, n in zip(sample.cells.sources, n_events, strict=True):
            by_dataset[source.dataset] += n
        assert by_dataset["bkg2"] == by_dataset["copy"] > 0

    def test_a_file_that_vanished(self, tmp_path, write_tree, executor):
        columns = dict.fromkeys((*toys.SCORES, "weight"), np.full(9, 0.3))
        path = write_tree(tmp_path / "x.root", columns)
        found = take_inventory([Dataset("dy", (str(path),))], executor)
        path.unlink()
        with pytest.raises(ct.InputError, match=rf"{path}, entries 0 to 9: cannot be processed"):
            run_processor(FlatNtuple(COLLECTOR), found.chunks(), executor)

    def test_few_of_many_keep_their_tracebacks(self):
        outcomes = [
            Outcome(failures=(Failure("toy", f"{i:03}.root", 0, 1, "m", "Traceback", False),))
            for i in range(100)
        ]
        random.Random(1).shuffle(outcomes)
        total = sum(outcomes, Outcome())
        assert [f.path for f in total.failures] == [f"{i:03}.root" for i in range(100)]
        assert [bool(f.details) for f in total.failures] == [True] * 20 + [False] * 80

    def test_no_chunks_no_result(self, executor):
        assert run_processor(FlatNtuple(COLLECTOR), [], executor) is None


class TestPostprocess:
    def test_it_may_change_the_sum_or_leave_it(self, inventory, executor, assert_same_sums):
        class Returns(FlatNtuple):
            def __init__(self, sink, answer):
                super().__init__(sink, event_id="event")
                self.answer = answer

            def postprocess(self, accumulator):
                return self.answer and (self.answer, accumulator)

        label, part = run_processor(Returns(COLLECTOR, "done"), inventory.chunks(50), executor)
        assert label == "done"
        assert_same_sums(
            run_processor(Returns(COLLECTOR, None), inventory.chunks(), executor).cells, part.cells
        )

    def test_it_may_fail(self, inventory, executor):
        class Fails(FlatNtuple):
            def postprocess(self, accumulator):
                return accumulator["hists"]

        with pytest.raises(ct.InputError, match=r"Fails.postprocess failed: TypeError"):
            run_processor(Fails(COLLECTOR), inventory.chunks(), executor)


class TestWhatIsReturned:
    class Counts(FlatNtuple):
        def process(self, events):
            return {"n": len(events), "datasets": {events.metadata["dataset"]}}

    def test_sums_are_those_of_coffea(self, inventory, executor):
        total = run_processor(self.Counts(COLLECTOR), inventory.chunks(50), executor)
        assert total == {"n": sum(toys.event_counts(30, 300).values()), "datasets": {*toys.PROCESSES}}

    def test_it_is_what_was_asked_for(self, inventory, executor):
        with pytest.raises(ct.InputError, match=r"Counts must return .* a Sample, got a dict"):
            run_processor(self.Counts(COLLECTOR), inventory.chunks(), executor, returns=ct.Sample)


class TestMetadata:
    class Tells(FlatNtuple):
        def process(self, events):
            return {f"{events.metadata['dataset']}-{events.metadata['xsec']}"}

    def test_processors_are_told_what_the_dataset_says_now(self, few_events, executor):
        files = (str(few_events / "bkg1_0.root"),)
        for xsec in (1.5, 2.5):
            found = take_inventory([Dataset("bkg1", files, metadata={"xsec": xsec})], executor)
            assert run_processor(self.Tells(COLLECTOR), found.chunks(), executor) == {f"bkg1-{xsec}"}


class TestOpenExecutor:
    def test_one_place_at_a_time(self):
        with (
            pytest.raises(ct.ConfigError, match=r"either a scheduler .*'tcp://x:1' and 2"),
            open_executor("tcp://x:1", 2),
        ):
            pass

    @pytest.mark.parametrize("workers", [0, -2])
    def test_workers_are_at_least_one(self, workers):
        with (
            pytest.raises(ct.ConfigError, match=f"at least 1, got {workers}"),
            open_executor(workers=workers),
        ):
            pass

    @pytest.mark.parametrize(
        ("address", "reason"),
        [("nonsense", "missing port"), ("ftp://here:1", "unknown address scheme 'ftp'")],
    )
    def test_addresses_that_are_none(self, address, reason):
        with (
            pytest.raises(ct.ConfigError, match=f"no dask scheduler answers at '{address}': {reason}"),
            open_executor(address),
        ):
            pass

    @pytest.mark.parametrize("progress", [True, False])
    def test_a_bar_only_where_asked_for(self, few_events, capfd, progress):
        with open_executor(progress=progress) as executor:
            found = take_inventory(datasets_in(few_events), executor)
            run_processor(FlatNtuple(COLLECTOR), found.chunks(), executor, description="Reading")
        written = capfd.readouterr()
        assert ("Reading 100%" in written.out) == progress
        assert (written.out == "") != progress
        assert written.err == ""
