"""Laws of events kept one by one: they are those that the sample is the sum of, in memory and in files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado import toys
from cortado.columnar import EventCollector
from cortado.errors import ConfigError, InputError
from cortado.event_sample import EventSample, Stream
from cortado.normalisation import Normalisation
from cortado.sample import Sample

Arrays = dict[str, tuple[Any, Any]]
OPTIONS: dict[str, Any] = {"coordinates": "logratio", "names": toys.SCORES}


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return dict(toys.arrays(toys.three_class(seed=5, n_signal=300, n_background=3_000)))


@pytest.fixture(scope="module")
def events(arrays: Arrays) -> EventSample:
    return EventSample.from_arrays(arrays, n_folds=3, **OPTIONS)


def rows(events: EventSample) -> dict[tuple[str, int], np.ndarray]:
    """Coordinates and weights by process and fold, in an order of their own."""
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for stream in events.streams:
        u, w = stream.read(0, stream.n_events)
        found.setdefault((stream.dataset, stream.fold), []).append(np.column_stack([u, w]))
    return {key: np.array(sorted(map(tuple, np.concatenate(parts)))) for key, parts in found.items()}


def assert_same_events(a: EventSample, b: EventSample) -> None:
    assert a.features == b.features
    assert rows(a).keys() == rows(b).keys()
    for key, values in rows(a).items():
        np.testing.assert_array_equal(values, rows(b)[key], err_msg=str(key))


@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        OPTIONS | {"n_folds": 1},
        OPTIONS | {"n_folds": 4, "missing": {"p_signal1": 0.25}},
        {"coordinates": "identity"},
    ],
    ids=["two folds", "one fold", "missing", "identity"],
)
@pytest.mark.parametrize("numbered", [False, True], ids=["by content", "by number"])
def test_sums_are_those_of_the_sample(arrays: Arrays, options: dict[str, Any], numbered: bool) -> None:
    x, w = arrays["bkg1"]
    x = x.copy()
    x[::7, 0] = 0.25
    arrays = arrays | {"bkg1": (x, w)}
    ids = {p: np.arange(len(w)) for p, (_, w) in arrays.items()} if numbered else None
    sample = Sample.from_arrays(arrays, event_ids=ids, **options)
    events = EventSample.from_arrays(arrays, event_ids=ids, **options)
    assert events.features == sample.features
    assert (events.n_folds, events.processes) == (sample.n_folds, sample.processes)
    for source in sample.cells.sources:
        chosen = sample.cells.source == sample.cells.sources.index(source)
        (stream,) = [s for s in events.streams if (s.dataset, s.fold) == (source.dataset, source.fold)]
        u, w = stream.read(0, stream.n_events)
        assert len(w) == stream.n_events == sample.cells.count[chosen].sum()
        absolute = np.abs(w)
        columns = [w, w * w, absolute, *(absolute * column for column in u.T)]
        np.testing.assert_allclose(
            np.sum(columns, axis=1), sample.cells.sums[chosen].sum(axis=0), rtol=1e-9, atol=1e-9
        )
        assert stream.sumw == pytest.approx(w.sum())


@pytest.mark.parametrize(
    "change",
    [
        lambda _: {},
        lambda a: a | {"bkg1": (a["bkg1"][0][:, :2], a["bkg1"][1])},
        lambda a: a | {"bkg1": (a["bkg1"][0] * np.nan, a["bkg1"][1])},
        lambda a: a | {"bkg1": (a["bkg1"][0], a["bkg1"][1][1:])},
        lambda a: a | {"bkg1": (a["bkg1"][0], a["bkg1"][1] * np.inf)},
    ],
    ids=["nothing", "fewer features", "not finite", "fewer weights", "infinite weights"],
)
def test_errors_are_those_of_the_sample(arrays: Arrays, change: Callable[[Arrays], Arrays]) -> None:
    said = []
    for kind in (Sample, EventSample):
        with pytest.raises(InputError) as error:
            kind.from_arrays(change(arrays), **OPTIONS)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_files_hold_the_same_events(events: EventSample, tmp_path: Path) -> None:
    saved = events.save(tmp_path / "events")
    loaded = EventSample.load(tmp_path / "events")
    for other in (saved, loaded):
        assert all(isinstance(stream.rows, Path) for stream in other.streams)
        assert_same_events(other, events)
        assert other.digest == events.digest
    names = {path.name for path in (tmp_path / "events").iterdir()}
    assert names == {"events.json", *(f"{i:04d}.npy" for i in range(len(events.streams)))}
    assert loaded.n_events == events.n_events == 3_600


def test_a_stretch_of_a_file_is_that_of_the_events(events: EventSample, tmp_path: Path) -> None:
    saved = events.save(tmp_path)
    for here, there in zip(events.streams, saved.streams, strict=True):
        for a, b in zip(here.read(3, 17), there.read(3, 17), strict=True):
            np.testing.assert_array_equal(a, b)
            assert len(a) == 14


@given(cuts=st.lists(st.integers(0, 3_000), max_size=5), order=st.randoms(use_true_random=False))
def test_events_add_up_in_any_pieces_and_order(arrays: Arrays, cuts: list[int], order: Any) -> None:
    whole = EventSample.from_arrays(arrays, **OPTIONS)
    parts = []
    for process, (x, w) in arrays.items():
        for start, stop in zip([0, *sorted(cuts)], [*sorted(cuts), len(w)], strict=True):
            if start < min(stop, len(w)):
                piece = {process: (x[start:stop], w[start:stop])}
                parts.append(EventSample.from_arrays(piece, **OPTIONS))
    order.shuffle(parts)
    total = sum(parts[1:], start=parts[0])
    assert_same_events(total, whole)
    order.shuffle(parts)
    assert sum(parts[1:], start=parts[0]).digest == total.digest


def test_datasets_are_scaled_and_become_processes(events: EventSample, arrays: Arrays) -> None:
    factor = {process: 2.0 + i for i, process in enumerate(arrays)}
    process = {name: "bkg" if name.startswith("bkg") else name for name in arrays}
    scaled = events.normalise(Normalisation(process, factor))
    assert scaled.processes == ("bkg", "signal1", "signal2")
    sums = dict.fromkeys(scaled.processes, 0.0)
    for stream in scaled.streams:
        sums[stream.dataset] += float(stream.read(0, stream.n_events)[1].sum())
    expected = sum(factor[name] * arrays[name][1].sum() for name in toys.BACKGROUNDS)
    assert sums["bkg"] == pytest.approx(expected)
    assert sums["signal1"] == pytest.approx(factor["signal1"] * arrays["signal1"][1].sum())
    with pytest.raises(ConfigError, match="'bkg1' has no process"):
        events.normalise(Normalisation({}, {}))


def test_factors_travel_with_the_files(events: EventSample, tmp_path: Path) -> None:
    names = events.processes
    normalisation = Normalisation(dict.fromkeys(names, "all"), dict.fromkeys(names, 3.0))
    scaled = events.normalise(normalisation).save(tmp_path)
    assert {s.dataset for s in scaled.streams} == {"all"}
    again = EventSample.load(tmp_path).normalise(Normalisation({"all": "all"}, {"all": 2.0}))
    assert {s.factor for s in again.streams} == {6.0}
    weights = np.concatenate([s.read(0, s.n_events)[1] for s in again.streams])
    assert weights.sum() == pytest.approx(6 * sum(s.sumw for s in events.streams))


class TestCollecting:
    @pytest.fixture
    def collector(self, events: EventSample, tmp_path: Path) -> EventCollector:
        return EventCollector(ct.Collector(events.features, n_folds=3), tmp_path / "parts")

    def fill(self, collector: EventCollector, arrays: Arrays, step: int, **options: Any) -> Any:
        total = collector.empty
        for process, (x, w) in arrays.items():
            ids = np.arange(len(w))
            for start in range(0, len(w), step):
                part = slice(start, start + step)
                total = total + collector.fill(process, x[part], w[part], event_id=ids[part], **options)
        return total

    @pytest.mark.parametrize("step", [97, 10_000])
    def test_sample_and_events_are_those_of_the_arrays(
        self, collector: EventCollector, arrays: Arrays, step: int, assert_same_sums: Any, tmp_path: Path
    ) -> None:
        ids = {p: np.arange(len(w)) for p, (_, w) in arrays.items()}
        found = self.fill(collector, arrays, step)
        assert_same_sums(
            found.sample.cells, Sample.from_arrays(arrays, n_folds=3, event_ids=ids, **OPTIONS).cells
        )
        expected = EventSample.from_arrays(arrays, n_folds=3, event_ids=ids, **OPTIONS)
        assert_same_events(found.events, expected)
        saved = found.events.save(tmp_path / "whole")
        assert_same_events(saved, expected)
        assert len(saved.streams) == len(expected.streams)

    def test_what_is_tried_again_counts_once(self, collector: EventCollector, arrays: Arrays) -> None:
        x, w = arrays["bkg1"]
        collector.fill("bkg1", x, w, event_id=np.arange(len(w)))  # its result is lost
        again = collector.fill("bkg1", x, w, event_id=np.arange(len(w)))
        assert again.events.n_events == len(w)

    @pytest.mark.parametrize("options", [{"variation": "jesUp"}, {"channel": "CR"}])
    def test_other_variations_and_channels_are_not_kept(
        self, collector: EventCollector, arrays: Arrays, options: dict[str, Any], tmp_path: Path
    ) -> None:
        found = self.fill(collector, arrays, 5_000, **options)
        assert found.sample.cells.count.sum() == 3_600
        assert not found.events.streams
        assert not (tmp_path / "parts").exists()


def test_different_events_do_not_add_up(events: EventSample, arrays: Arrays) -> None:
    with pytest.raises(InputError, match="features, coordinates or folds"):
        events + EventSample.from_arrays(arrays, n_folds=2, **OPTIONS)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "events.json").unlink(),
        lambda folder: (folder / "events.json").write_text("a diary"),
        lambda folder: (folder / "events.json").write_text(json.dumps({"format": "another"})),
        lambda folder: (folder / "events.json").write_text(json.dumps({"format": "cortado-events-1"})),
    ],
    ids=["absent", "text", "another format", "empty"],
)
def test_a_folder_without_events_is_an_error(
    events: EventSample, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    events.save(tmp_path)
    spoil(tmp_path)
    with pytest.raises(InputError, match="does not hold events"):
        EventSample.load(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b"short"),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: np.save(path, np.zeros((3, 3))),
    ],
    ids=["absent", "text", "cut short", "fewer events"],
)
def test_a_file_without_its_events_is_an_error(
    events: EventSample, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    stream = events.save(tmp_path).streams[0]
    assert isinstance(stream.rows, Path)
    spoil(stream.rows)
    with pytest.raises(InputError, match=r"0000\.npy"):
        stream.read(0, 10)


def test_a_stream_is_sorted_by_what_it_holds() -> None:
    rng = np.random.default_rng(1)
    streams = [Stream.of("dy", 0, rng.random((5, 3))) for _ in range(4)]
    features = ct.Features.declare(["a", "b"])
    orders = [EventSample(features, 1, tuple(some)).digest for some in (streams, streams[::-1])]
    assert orders[0] == orders[1]
