"""Collector, TemplateFiller and FlatNtuple, in processors of ours and of others."""

from __future__ import annotations

import functools
import itertools
import operator
from types import SimpleNamespace

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema
from coffea.processor import IterativeExecutor, ProcessorABC, Runner
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.categorizer import equidistant
from cortado.cells import SUMABSW, SUMW, SUMW2
from cortado.columnar import CategorySums, FlatNtuple
from cortado.folds import assign_folds

NAMES = ("a", "b")


def identity(width=0.25):
    return [{"kind": "identity", "features": NAMES, "width": (width, width)}]


def events(n, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 2))
    weight = random.normal(1.0, 1.0, n)  # some negative
    return x, weight, random.integers(0, 1 << 40, n, dtype=np.uint64)


def grid(features=None, n=4):
    """A categorizer with n equal cells of the plane from −2 to 2, for n = 2, 4, 6, 9."""
    features = features or ct.Features.declare(NAMES, identity())
    return equidistant(features, n, {"a": (-2.0, 2.0), "b": (-2.0, 2.0)})


class TestCollector:
    def test_sums_are_those_of_the_events(self):
        x, weight, event_id = events(5000)
        sample = ct.Collector(NAMES, identity(), n_folds=3).fill("dy", x, weight, event_id=event_id)
        fold = assign_folds(event_id, 3)
        for f in range(3):
            rows = np.array([s.fold for s in sample.cells.sources])[sample.cells.source] == f
            sums = sample.cells.sums[rows].sum(axis=0)
            assert sample.cells.count[rows].sum() == np.count_nonzero(fold == f)
            np.testing.assert_allclose(sums[SUMW], weight[fold == f].sum(), rtol=1e-12)
            np.testing.assert_allclose(sums[SUMW2], (weight[fold == f] ** 2).sum(), rtol=1e-12)
        np.testing.assert_allclose(sample.cells.sums[:, SUMABSW].sum(), np.abs(weight).sum(), rtol=1e-12)
        assert {s.dataset for s in sample.cells.sources} == {"dy"}

    @given(cuts=st.lists(st.integers(0, 400), max_size=6), random=st.randoms(use_true_random=False))
    def test_any_chunks_in_any_order_give_the_same(self, cuts, random, assert_same_sums):
        x, weight, event_id = events(400)
        collector = ct.Collector(NAMES, identity())
        whole = collector.fill("dy", x, weight, event_id=event_id)
        edges = [0, *sorted(cuts), 400]
        pieces = [slice(i, j) for i, j in itertools.pairwise(edges)]
        random.shuffle(pieces)
        parts = [collector.fill("dy", x[s], weight[s], event_id=event_id[s]) for s in pieces]
        assert_same_sums(functools.reduce(operator.add, parts, collector.empty).cells, whole.cells)

    def test_array_mapping_and_records_are_one(self, assert_same_sums):
        x, weight, event_id = events(50)
        columns = dict(zip(NAMES, x.T, strict=True))
        collector = ct.Collector(NAMES, identity())
        whole = collector.fill("dy", x, weight, event_id=event_id)
        for features in (columns, ak.zip({**columns, "more": weight}), {"b": x[:, 1], "a": x[:, 0]}):
            part = collector.fill("dy", features, ak.Array(weight), event_id=ak.Array(event_id))
            assert_same_sums(part.cells, whole.cells)

    def test_no_event_is_the_identity(self, assert_same_sums):
        x, weight, event_id = events(20)
        collector = ct.Collector(NAMES, identity())
        part = collector.fill("dy", x, weight, event_id=event_id)
        none = collector.fill("dy", x[:0], weight[:0], event_id=event_id[:0])
        for total in (part + collector.empty, collector.empty + part, none + part):
            assert_same_sums(total.cells, part.cells)
            np.testing.assert_array_equal(total.cells.sums, part.cells.sums)

    def test_missing_and_invalid_values_are_counted_and_not_used(self):
        x, weight, event_id = events(10)
        x[0, 0], x[1, 1], x[2] = -999.0, np.nan, np.inf
        collector = ct.Collector(NAMES, identity(), missing={"a": -999.0})
        sample = collector.fill("dy", x, weight, event_id=event_id)
        assert sample.cells.count.sum() == 7
        assert sample.missing == {"dy": 1}
        assert sample.invalid == {("dy", "a"): 1, ("dy", "b"): 2}
        with pytest.raises(ct.InputError, match=r"1 of 'a' in 'dy', 2 of 'b' in 'dy'"):
            sample.checked(["dy"])

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            ({"features": NAMES, "n_folds": 0}, ct.ConfigError, r"n_folds must be at least 1, got 0"),
            ({"features": NAMES}, ct.ConfigError, r"need a cell width: \['a', 'b'\] have none"),
            ({"features": NAMES, "coordinates": "polar"}, ct.InputError, "'polar'"),
            ({"features": NAMES, "coordinates": identity(), "missing": {"c": 0.0}}, ct.InputError, "'c'"),
        ],
    )
    def test_refuses_at_construction(self, arguments, error, message):
        with pytest.raises(error, match=message):
            ct.Collector(**arguments)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"features": np.zeros((3, 3))}, r"shape \(n, 2\) for \['a', 'b'\], got \(3, 3\)"),
            ({"features": {"a": np.zeros(3)}}, r"\['b'\] are not there; there are \['a'\]"),
            ({"features": {"a": np.zeros(3), "b": np.zeros(2)}}, r"equal length, got \[2, 3\]"),
            ({"weight": np.ones(4)}, r"one value an event, 3, got shape \(4,\)"),
            ({"weight": [1.0, np.nan, np.inf]}, "weight must be finite, got 2 values"),
            ({"event_id": None}, "event_id is needed"),
            ({"event_id": np.zeros(3)}, "one integer an event.*float64"),
            ({"event_id": np.zeros(4, int)}, r"shape \(3,\).*of shape \(4,\)"),
        ],
    )
    @pytest.mark.parametrize("sink", [ct.Collector(NAMES, identity()), ct.TemplateFiller(grid(), n_folds=2)])
    def test_sinks_refuse_what_does_not_fit_the_events(self, sink, changes, message):
        arguments = {"features": np.zeros((3, 2)), "weight": np.ones(3), "event_id": np.arange(3)} | changes
        with pytest.raises(ct.InputError, match=message):
            sink.fill("dy", **arguments)


class TestTemplateFiller:
    def test_sums_are_those_of_the_events(self):
        x, weight, event_id = events(3000)
        x[:5, 0] = -999.0
        features = ct.Features.declare(NAMES, identity(), {"a": -999.0})
        categorizer = grid(features)
        part = ct.TemplateFiller(categorizer).fill("dy", x, weight, event_id=event_id)
        category = categorizer(x)
        templates = part.templates()
        np.testing.assert_allclose(
            templates.values("dy"), np.bincount(category[5:], weight[5:], 4), rtol=1e-12
        )
        np.testing.assert_allclose(
            templates.variances("dy"), np.bincount(category[5:], weight[5:] ** 2, 4), rtol=1e-12
        )
        np.testing.assert_array_equal(templates.counts[0], np.bincount(category[5:], minlength=4))
        np.testing.assert_allclose(templates.uncategorised[0], [weight[:5].sum(), (weight[:5] ** 2).sum()])

    def test_folds_are_those_of_the_collector(self):
        x, weight, event_id = events(1000)
        sample = ct.Collector(NAMES, identity()).fill("dy", x, weight, event_id=event_id)
        part = ct.TemplateFiller(grid(), n_folds=2).fill("dy", x, weight, event_id=event_id)
        for fold in (0, 1):
            yields = part.templates(folds=[fold]).values("dy")
            np.testing.assert_allclose(yields.sum(), sample.points([fold]).sumw.sum(), rtol=1e-6)

    @given(cuts=st.lists(st.integers(0, 300), max_size=5), random=st.randoms(use_true_random=False))
    def test_any_chunks_in_any_order_give_the_same(self, cuts, random, assert_same_sums):
        x, weight, event_id = events(300)
        filler = ct.TemplateFiller({"coarse": grid(n=2), "fine": grid(n=9)}, n_folds=2)
        whole = filler.fill("dy", x, weight, event_id=event_id)
        edges = [0, *sorted(cuts), 300]
        pieces = [slice(i, j) for i, j in itertools.pairwise(edges)]
        random.shuffle(pieces)
        parts = [filler.fill("dy", x[s], weight[s], event_id=event_id[s]) for s in pieces]
        total = functools.reduce(operator.add, parts, filler.empty)
        for name in ("coarse", "fine"):
            assert_same_sums(total.cells[name], whole.cells[name])

    def test_not_finite_values_are_counted_and_refused(self):
        x, weight, event_id = events(10)
        x[3, 1] = np.nan
        part = ct.TemplateFiller(grid()).fill("dy", x, weight, event_id=event_id)
        with pytest.raises(ct.InputError, match="1 of 'b' in 'dy'"):
            part.checked()

    def test_sums_survive_a_file(self, tmp_path, assert_same_sums):
        x, weight, event_id = events(100)
        x[0] = np.nan
        part = ct.TemplateFiller(grid(), n_folds=3).fill("dy", x, weight, event_id=event_id)
        part.save(tmp_path / "sums.npz")
        again = CategorySums.load(tmp_path / "sums.npz")
        assert (again.n_folds, again.n_categories, again.invalid) == (3, {"categories": 4}, part.invalid)
        assert_same_sums(again.cells["categories"], part.cells["categories"])
        np.testing.assert_array_equal(again.cells["categories"].sums, part.cells["categories"].sums)
        with pytest.raises(ct.InputError, match=r"sums\.npz"):
            ct.Sample.load(tmp_path / "sums.npz")

    def test_needs_categorizers_of_one_training(self):
        with pytest.raises(ct.ConfigError, match="at least one categorizer, got none"):
            ct.TemplateFiller({})
        trained = {n: _trained_with(n) for n in (2, 5)}
        with pytest.raises(ct.ConfigError, match=r"different numbers of folds: \[2, 5\]"):
            ct.TemplateFiller({"two": trained[2], "five": trained[5]})
        assert ct.TemplateFiller(trained[5]).n_folds == 5
        assert ct.TemplateFiller(trained[5], n_folds=2).n_folds == 2

    def test_sums_of_other_categorizers_cannot_be_added(self):
        for other in (ct.TemplateFiller(grid(n=6)), ct.TemplateFiller(grid(), n_folds=7)):
            with pytest.raises(ct.InputError, match="cannot be added"):
                ct.TemplateFiller(grid()).empty + other.empty


def _trained_with(n_folds):
    from cortado.categorizer import Training

    return grid().model_copy(update={"training": Training(n_folds=n_folds)})


class TestFlatNtuple:
    SINK = SimpleNamespace(columns=NAMES)

    @pytest.mark.parametrize(
        ("options", "simulation", "data"),
        [
            ({}, ["a", "b", "weight"], ["a", "b"]),
            ({"weight": None}, ["a", "b"], ["a", "b"]),
            ({"weight": "w", "event_id": "event"}, ["a", "b", "w", "event"], ["a", "b", "event"]),
        ],
    )
    def test_names_the_branches_it_reads(self, options, simulation, data):
        processor = FlatNtuple(self.SINK, **options)
        assert processor.branches(is_mc=True) == simulation
        assert processor.branches(is_mc=False) == data


class Theirs(ProcessorABC):
    """A processor as an analysis has it: a selection, a variation with a mask, a dictionary."""

    def __init__(self, sink):
        self.sink = sink

    def process(self, events):
        dataset = events.metadata["dataset"]
        total = self.sink.empty
        for variation, scale in (("nominal", 1.0), ("scaleUp", 1.3)):
            shifted = {"a": events.a * scale, "b": events.b}
            keep = shifted["a"] > 0.5
            total = total + self.sink.fill(
                dataset,
                {name: column[keep] for name, column in shifted.items()},
                events.w[keep],
                event_id=events.number[keep],
                variation=variation,
            )
        return {"sink": total, "n": {dataset: len(events)}}

    def postprocess(self, accumulator):
        return accumulator


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_tree):
    """Per dataset, a file and the columns in it."""
    folder = tmp_path_factory.mktemp("theirs")
    found = {}
    for i, name in enumerate(("sig", "bkg")):
        x, weight, number = events(700, seed=i)
        columns = {"a": x[:, 0], "b": x[:, 1], "w": np.abs(weight), "number": number}
        found[name] = (write_tree(folder / f"{name}.root", columns), columns)
    return found


class TestInAProcessorOfTheirs:
    """Nothing of ours but the sink: coffea's Runner, their class, their dictionary."""

    def run(self, files, sink, chunksize):
        runner = Runner(
            executor=IterativeExecutor(status=False),
            schema=BaseSchema,
            chunksize=chunksize,
            metadata_cache={},
        )
        return runner(
            {name: [str(path)] for name, (path, _) in files.items()}, Theirs(sink), treename="Events"
        )

    def test_the_sample_is_that_of_the_selected_events(self, files):
        collector = ct.Collector(NAMES, identity())
        result = self.run(files, collector, 100)
        assert result["n"] == {"sig": 700, "bkg": 700}
        for variation, scale in (("nominal", 1.0), ("scaleUp", 1.3)):
            points = result["sink"].points(variation=variation)
            for name, (_, columns) in files.items():
                keep = columns["a"] * scale > 0.5
                row = points.processes.index(name)
                assert points.count[row].sum() == keep.sum()
                np.testing.assert_allclose(points.sumw[row].sum(), columns["w"][keep].sum(), rtol=1e-6)

    def test_the_chunk_size_does_not_matter(self, files, assert_same_sums):
        collector = ct.Collector(NAMES, identity())
        whole = self.run(files, collector, 1000)["sink"]
        for chunksize in (7, 100):
            assert_same_sums(self.run(files, collector, chunksize)["sink"].cells, whole.cells)

    def test_a_variation_keeps_the_folds_of_the_nominal_events(self, files):
        sample = self.run(files, ct.Collector(NAMES, identity()), 100)["sink"]
        _, columns = files["sig"]
        fold = assign_folds(columns["number"], 2)
        for variation, scale in (("nominal", 1.0), ("scaleUp", 1.3)):
            keep = (columns["a"] * scale > 0.5) & (fold == 1)
            points = sample.points([1], variation=variation)
            assert points.count[points.processes.index("sig")].sum() == keep.sum()

    def test_templates_hold_both_variations(self, files, tmp_path):
        categorizer = grid()
        sums = self.run(files, ct.TemplateFiller(categorizer, n_folds=2), 300)["sink"].checked()
        normalised = sums.normalise(ct.Normalisation({"sig": "S", "bkg": "B"}, {"sig": 0.5, "bkg": 3.0}))
        templates = normalised.templates()
        assert templates.variations == ("nominal", "scaleDown", "scaleUp")
        assert templates.derived == {("S", "scaleDown"), ("B", "scaleDown")}
        for process, dataset, factor in (("S", "sig", 0.5), ("B", "bkg", 3.0)):
            _, columns = files[dataset]
            for variation, scale in (("nominal", 1.0), ("scaleUp", 1.3)):
                keep = columns["a"] * scale > 0.5
                x = np.column_stack([columns["a"] * scale, columns["b"]])[keep]
                expected = np.bincount(categorizer(x), factor * columns["w"][keep], 4)
                np.testing.assert_allclose(templates.values(process, variation), expected, rtol=1e-9)
            mirrored = 2 * templates.values(process) - templates.values(process, "scaleUp")
            np.testing.assert_allclose(templates.values(process, "scaleDown"), mirrored, rtol=1e-9)
        ct.export.root(templates, tmp_path / "templates.root")
        with uproot.open(tmp_path / "templates.root") as file:
            np.testing.assert_array_equal(file["SR/S_scaleUp"].values(), templates.values("S", "scaleUp"))


class TestEntryIds:
    @staticmethod
    def chunk(filename, start, stop, dataset="dy"):
        metadata = {"dataset": dataset, "filename": filename, "entrystart": start, "entrystop": stop}
        return ct.entry_ids(SimpleNamespace(metadata=metadata))

    def test_they_depend_on_dataset_file_and_entry_only(self):
        whole = self.chunk("/here/x.root", 0, 100)
        parts = [self.chunk("root://there//x.root", s, s + 25) for s in range(0, 100, 25)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
        assert len({*whole.tolist()}) == 100
        for other in (self.chunk("/here/y.root", 0, 100), self.chunk("/here/x.root", 0, 100, "wjets")):
            assert not set(other.tolist()) & set(whole.tolist())
