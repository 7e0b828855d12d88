"""Variations: complete before datasets are merged, by weight as coffea gives them, mirrored if need be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coffea.analysis_tools import Weights
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.cells import MOMENTS, SUMW, SUMW2, Cells, Source
from cortado.columnar.weights import by_variation
from cortado.variations import checked_variation, completed, mirrored

K = 3


def cells(dataset: str, weight, variation: str = "nominal", channel: str = "SR") -> Cells:
    """One event in each of some categories, all in fold 0."""
    w = np.asarray(weight, np.float64)
    address = np.stack([np.zeros(len(w), np.int64), np.arange(len(w))], axis=1)
    return Cells.from_events(Source(dataset, channel, variation), address, w)


def sums(table: Cells, dataset: str, variation: str, column: int = SUMW, channel: str = "SR"):
    found = np.zeros(K)
    here = table.select(lambda s: (s.dataset, s.channel, s.variation) == (dataset, channel, variation))
    np.add.at(found, here.key[:, 0], here.sums[:, column])
    return found.tolist()


NORMALISATION = ct.Normalisation(
    {"early": "DY", "late": "DY", "W": "W"}, {"early": 1.0, "late": 10.0, "W": 1.0}
)


def test_a_dataset_without_a_variation_of_its_process_adds_its_nominal_sums():
    """Two eras of one process, each with an uncertainty of its own: neither may get lost in the other's."""
    table = cells("early", [1, 2, 3]) + cells("late", [0.1, 0.1, 0.1]) + cells("W", [5, 5, 5])
    for era, shifted in (("early", [2, 2, 2]), ("late", [0.3, 0.1, 0.1])):
        for side in ("Up", "Down"):
            table += cells(era, shifted, f"jes_{era}{side}")
    merged = NORMALISATION.apply(table)
    assert sums(merged, "DY", "nominal") == [2, 3, 4]
    for side in ("Up", "Down"):
        assert sums(merged, "DY", f"jes_early{side}") == [3, 3, 3]
        assert sums(merged, "DY", f"jes_late{side}") == [4, 3, 4]
    assert {s.variation for s in merged.sources if s.dataset == "W"} == {"nominal"}  # another process
    assert mirrored(table) == frozenset()


def test_a_variation_of_one_dataset_reaches_the_points_and_templates_of_the_process():
    """DY = a + b, and jes moves a alone, by 10 %."""
    x, ids = np.array([[0.1], [0.7]]), np.arange(2)
    collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], n_folds=2)
    filler = ct.TemplateFiller(_halves(collector.features), n_folds=2)
    normalisation = ct.Normalisation({"a": "DY", "b": "DY"}, {"a": 1.0, "b": 1.0})
    for sink in (collector, filler):
        chosen: Any = sink
        total = chosen.fill("a", x, np.full(2, 0.5), event_id=ids) + chosen.fill(
            "b", x, [0.5, 0.5], event_id=ids
        )
        for variation, weight in (("jesUp", 0.55), ("jesDown", 0.45)):
            total += chosen.fill("a", x, np.full(2, weight), event_id=ids, variation=variation)
        whole = total.normalise(normalisation)
        seen = whole.points(nuisances=["jes"]).as_yields if sink is collector else None
        found = seen or whole.templates().yields(nuisances=["jes"])
        assert found.sumw.sum() == pytest.approx(2.0)
        assert found.varied[0].sum(axis=(1, 2)) == pytest.approx([2.1, 1.9])


def test_a_dataset_of_which_a_variation_selects_nothing_adds_nothing_to_it():
    """And not its nominal events; whatever the chunks are that the events come in."""
    x, none = np.array([[0.1], [0.7]]), np.zeros((0, 1))
    collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], n_folds=1)
    whole = collector.fill("early", x, [1, 2]) + collector.fill("early", none, [], variation="jesUp")
    whole += collector.fill("early", x, [2, 2], variation="jesDown")
    chunks = [collector.fill("early", x[i : i + 1], [i + 1]) for i in range(2)]
    chunks += [
        collector.fill("early", part, np.full(len(part), 2), variation="jesDown") for part in (none, x)
    ]
    chunks += [collector.fill("early", none, [], variation="jesUp") for _ in range(2)]
    for sample in (whole, sum(chunks, collector.empty)):
        late = (
            sample
            + collector.fill("late", x, [0.1, 0.1])
            + collector.fill("late", x, [0.2, 0.1], variation="jesUp")
        )
        points = late.normalise(NORMALISATION).points(nuisances=["jes"])
        assert points.varied is not None
        assert points.varied[0, :, 0].sum(axis=1) == pytest.approx([3, 5], rel=1e-6)
        assert mirrored(late.cells) == {Source("late", "SR", "jesDown")}
        assert sample.digest == whole.digest


def test_a_missing_side_is_the_mirror_image_dataset_by_dataset():
    table = cells("early", [1, 2, 3]) + cells("early", [2, 2, 2], "jesUp")
    table += (
        cells("late", [1, 1, 1]) + cells("late", [2, 1, 1], "jesUp") + cells("late", [0.5, 1, 1], "jesDown")
    )
    assert mirrored(table) == {Source("early", "SR", "jesDown")}
    whole = completed(table, {"early": "DY", "late": "DY"})
    assert sums(whole, "early", "jesDown") == [0, 2, 4]
    assert sums(whole, "early", "jesDown", SUMW2) == sums(whole, "early", "nominal", SUMW2)
    assert sums(whole, "late", "jesDown") == [0.5, 1, 1]
    merged = NORMALISATION.apply(table)
    assert sums(merged, "DY", "jesDown") == [5, 12, 14]
    assert completed(merged, {"DY": "DY"}) is merged


def test_channels_have_variations_of_their_own():
    table = cells("W", [1, 1, 1]) + cells("W", [2, 2, 2], "jesUp", "CR") + cells("W", [1, 1, 1], channel="CR")
    whole = completed(table, {"W": "W"})
    assert {s.variation for s in whole.sources if s.channel == "SR"} == {"nominal"}
    assert sums(whole, "W", "jesDown", channel="CR") == [0, 0, 0]


weights = st.lists(st.floats(-5, 5), min_size=K, max_size=K)


@given(nominal=weights, up=weights, other=weights)
def test_completing_twice_changes_nothing_and_what_was_filled_stays(nominal, up, other):
    table = cells("early", nominal) + cells("early", up, "aUp") + cells("late", other, "bDown")
    table += cells("late", other)
    process = {"early": "DY", "late": "DY"}
    once = completed(table, process)
    twice = completed(once, process)
    assert once.sources == twice.sources
    np.testing.assert_array_equal(once.sums, twice.sums)
    for source in table.sources:
        assert sums(once, source.dataset, source.variation) == sums(table, source.dataset, source.variation)
    assert {(s.dataset, s.variation) for s in once.sources} == {
        (d, v) for d in process for v in ("nominal", "aUp", "aDown", "bUp", "bDown")
    }


def test_moments_are_completed_as_well():
    x = np.array([[0.1], [0.7]])
    collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], n_folds=1)
    sample = collector.fill("early", x, [1, 2]) + collector.fill("late", x, [1, 1])
    sample += collector.fill("early", x, [2, 2], variation="jesUp")
    normalised = sample.normalise(NORMALISATION)
    assert normalised.cells.sums.shape[1] == MOMENTS + 1
    points = normalised.points(nuisances=["jes"])
    assert points.varied is not None
    assert sorted(points.sumw[0].tolist()) == [11, 12]
    assert points.varied[0, :, 0].sum(axis=1).tolist() == pytest.approx([24, 22])


class TestByWeight:
    NOMINAL = np.array([1.0, 2.0, 4.0])

    def coffea(self):
        weights = Weights(3)
        weights.add("gen", self.NOMINAL)
        weights.add("pileup", np.ones(3), weightUp=np.array([1.1, 1.2, 0.5]))
        weights.add("trigger", np.ones(3), weightUp=np.full(3, 1.3), weightDown=np.full(3, 0.9))
        return weights

    def test_coffea_names_them_and_gives_a_down_that_was_not_added(self):
        found = by_variation(self.coffea())
        assert [*found] == ["nominal", "pileupDown", "pileupUp", "triggerDown", "triggerUp"]
        np.testing.assert_allclose(found["nominal"], self.NOMINAL)
        np.testing.assert_allclose(found["pileupUp"], self.NOMINAL * [1.1, 1.2, 0.5])
        np.testing.assert_allclose(found["pileupDown"], self.NOMINAL / [1.1, 1.2, 0.5])
        np.testing.assert_allclose(found["triggerDown"], 0.9 * self.NOMINAL)

    @pytest.mark.parametrize("kind", ["coffea", "mapping"])
    @pytest.mark.parametrize("sink", ["collector", "filler"])
    def test_one_fill_is_as_many_as_there_are_weights(self, kind, sink, assert_same_sums):
        x, ids = np.array([[0.1], [0.2], [0.9]]), np.arange(3)
        collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}])
        categorizer = _halves(collector.features)
        chosen: Any = collector if sink == "collector" else ct.TemplateFiller(categorizer, n_folds=2)
        weights = self.coffea()
        named = by_variation(weights)
        together = chosen.fill("DY", x, weights if kind == "coffea" else named, event_id=ids)
        total = chosen.empty
        for variation, w in named.items():
            total += chosen.fill("DY", x, w, event_id=ids, variation=variation)
        if isinstance(together, ct.Sample):
            assert_same_sums(together.cells, total.cells)
        else:
            assert_same_sums(together.cells["categories"], total.cells["categories"])

    def test_a_variation_of_features_takes_the_nominal_weight(self):
        for weight in (self.coffea(), {"nominal": self.NOMINAL, "pileupUp": self.NOMINAL}):
            found = by_variation(weight, "jesUp")
            assert [*found] == ["jesUp"]
            np.testing.assert_allclose(found["jesUp"], self.NOMINAL)

    def test_invalid_features_are_counted_once(self):
        x = np.array([[0.1], [np.nan], [0.9]])
        collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], n_folds=1)
        assert collector.fill("DY", x, self.coffea()).invalid == {("DY", "x"): 1}
        filler = ct.TemplateFiller(_halves(collector.features))
        assert filler.fill("DY", x, self.coffea()).invalid == {("DY", "x"): 1}

    @pytest.mark.parametrize(
        ("weight", "variation", "message"),
        [
            ([1.0], "jes", r"nuisance parameter with Up or Down at its end, got 'jes'"),
            ([1.0], "Up", r"got 'Up'"),
            ({"nominal": [1.0], "pu": [1.0]}, "nominal", "got 'pu'"),
            ({"puUp": [1.0]}, "nominal", r"weights by variation need 'nominal', got those of \['puUp'\]"),
        ],
    )
    def test_names_that_are_no_variations_are_refused(self, weight, variation, message):
        collector = ct.Collector(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], n_folds=1)
        for sink in (collector, ct.TemplateFiller(_halves(collector.features))):
            with pytest.raises(ct.InputError, match=message):
                sink.fill("DY", [[0.5]], weight, variation=variation)

    def test_each_weight_must_fit_the_events(self):
        filler = ct.TemplateFiller(_halves(ct.Features.declare(["x"], "logit")))
        for wrong in ([1.0], [1.0, np.nan]):
            with pytest.raises(ct.InputError, match="weight must"):
                filler.fill("DY", [[0.5], [0.6]], {"nominal": [1.0, 1.0], "puUp": wrong})


def _halves(features):
    from cortado.categorizer import equidistant

    return equidistant(features, 2, {"x": (0.0, 1.0)})


def test_names():
    for name in ("nominal", "jesUp", "pileup_2018Down"):
        assert checked_variation(name) == name
