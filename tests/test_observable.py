"""An observable inside the categories, and channels of a single bin."""

from __future__ import annotations

import functools
import itertools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import cortado as ct
from cortado.categorizer import equidistant
from cortado.columnar import CategorySums
from cortado.errors import ConfigError, InputError
from cortado.templates import templates_from_arrays

YIELDS: dict[str, list[list[float]]] = {
    "ggH": [[1.0, 2.0]],
    "WW": [[3.0, 4.0]],
    "W": [[5.0, 5.0]],
    "ZZ": [[1.0, 1.0]],
    "data_obs": [[9.0, 9.0]],
}
EDGES = (0.0, 50.0, 100.0, 200.0)
FEATURES = ct.Features.declare(["x"], [{"kind": "linear", "features": ["x"], "range": (0, 1)}], {"x": -1.0})
CATEGORIZER = equidistant(FEATURES, 2, {"x": (0.0, 1.0)})


def mass(flow="fold", edges=EDGES):
    return ct.Observable.declare("m", edges, flow=flow)


def events(n, seed=0):
    random = np.random.default_rng(seed)
    columns = {"x": random.random(n), "m": random.uniform(-40.0, 260.0, n)}
    return columns, random.normal(1.0, 1.0, n), random.integers(0, 1 << 40, n)


finite = st.floats(allow_nan=False, allow_infinity=False)


class TestObservable:
    @given(edges=st.lists(finite, min_size=2, max_size=8, unique=True), values=st.lists(finite, max_size=20))
    def test_a_bin_holds_its_lower_edge(self, edges, values):
        observable = ct.Observable.declare("m", sorted(edges))
        values = np.array([*values, *edges])
        bins = observable.bin_of(values)
        assert observable.n_bins == len(edges) - 1
        wide = np.array([-np.inf, *sorted(edges), np.inf])
        assert np.all((wide[bins + 1] <= values) & (values < wide[bins + 2]))

    def test_equal_bins(self):
        observable = ct.Observable.model_validate({"name": "m", "edges": {"bins": 4, "low": -1, "high": 1}})
        assert observable.bin_edges.tolist() == [-1, -0.5, 0, 0.5, 1]
        assert ct.Observable.model_validate_json(observable.model_dump_json()) == observable

    @pytest.mark.parametrize("edges", [[1], [1, 1], [2, 1], [0, np.nan], [0, np.inf], "ab", None, [[1, 2]]])
    def test_edges_that_do_not_increase_are_refused(self, edges):
        with pytest.raises(ConfigError, match=r"observable 'm': "):
            ct.Observable.declare("m", edges)

    @pytest.mark.parametrize(
        "content",
        [
            {"name": "category", "edges": [0, 1]},
            {"name": "", "edges": [0, 1]},
            {"name": "m", "edges": {"bins": 0, "low": 0, "high": 1}},
            {"name": "m", "edges": {"bins": 1, "low": 1, "high": 1}},
            {"name": "m", "edges": [0, 1], "flow": "overflow"},
            {"name": "m", "edges": [0, 1], "unit": "GeV"},
        ],
    )
    def test_what_makes_no_axis_is_refused(self, content):
        with pytest.raises(ValidationError):
            ct.Observable.model_validate(content)


@pytest.mark.parametrize("flow", ["fold", "drop"])
def test_templates_are_the_histograms_of_the_events(flow):
    columns, weight, ids = events(3000)
    binning = ct.Binning(CATEGORIZER, mass(flow))
    templates = ct.TemplateFiller(binning, n_folds=2).fill("dy", columns, weight, event_id=ids).templates()
    assert [axis.name for axis in templates.hist.axes] == ["process", "category", "variation", "m"]
    assert templates.observable is not None
    assert templates.observable.edges.tolist() == [*EDGES]
    outside = (columns["m"] < EDGES[0]) | (columns["m"] >= EDGES[-1])
    values = np.clip(columns["m"], EDGES[0], EDGES[-1] - 1e-6)
    kept = np.full(3000, True) if flow == "fold" else ~outside
    for power, found in ((1, templates.values("dy")), (2, templates.variances("dy"))):
        expected, *_ = np.histogram2d(
            CATEGORIZER(columns)[kept], values[kept], bins=[[0, 1, 2], EDGES], weights=weight[kept] ** power
        )
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert templates.counts.shape == (1, 2, 3)
    assert templates.counts.sum() == kept.sum()
    assert templates.outside == pytest.approx([weight[outside].sum()])
    assert templates.folded == (flow == "fold")


def test_the_views_of_templates_agree():
    columns, weight, ids = events(500)
    binning = ct.Binning(CATEGORIZER, mass())
    plain, binned = (
        ct.TemplateFiller(b, n_folds=2).fill("dy", columns, weight, event_id=ids)
        for b in (CATEGORIZER, binning)
    )
    templates = binned.templates()
    np.testing.assert_allclose(templates.without_observable.values("dy"), plain.templates().values("dy"))
    np.testing.assert_array_equal(templates.without_observable.counts, plain.templates().counts)
    unrolled = templates.unrolled
    assert unrolled.observable is templates.without_observable.observable is None
    assert unrolled.n_categories == 6
    np.testing.assert_array_equal(unrolled.variances("dy"), templates.variances("dy").ravel())
    np.testing.assert_array_equal(templates.yields().sumw, unrolled.values("dy")[None])
    histogram = templates.histogram("dy")
    np.testing.assert_array_equal(histogram.values(), templates.values("dy"))
    np.testing.assert_array_equal(histogram.variances(), templates.variances("dy"))
    assert histogram.axes[1].edges.tolist() == [*EDGES]
    assert templates.nominal.observable == templates.observable


@given(cuts=st.lists(st.integers(0, 300), max_size=5), random=st.randoms(use_true_random=False))
def test_any_chunks_in_any_order_give_the_same(cuts, random, assert_same_sums):
    columns, weight, ids = events(300)
    filler = ct.TemplateFiller(
        {"signal": ct.Binning(CATEGORIZER, mass()), "control": ct.Binning(None, mass("drop", (0, 100)))},
        n_folds=2,
    )
    whole = filler.fill("dy", columns, weight, event_id=ids)
    pieces = [slice(i, j) for i, j in itertools.pairwise([0, *sorted(cuts), 300])]
    random.shuffle(pieces)
    parts = [
        filler.fill("dy", {n: c[s] for n, c in columns.items()}, weight[s], event_id=ids[s]) for s in pieces
    ]
    total = functools.reduce(operator.add, parts, filler.empty)
    for name in ("signal", "control"):
        assert_same_sums(total.cells[name], whole.cells[name])


class TestChannels:
    def filler(self):
        return ct.TemplateFiller(
            {
                "SR": ct.Binning(CATEGORIZER, mass(), channel="SR"),
                "top": ct.Binning(channel="top"),
                "wjets": ct.Binning(observable=mass(), channel="wjets"),
            },
            n_folds=2,
        )

    def test_each_has_its_own_categories_and_observable(self):
        columns, weight, ids = events(900)
        filler, part = self.filler(), slice(0, 300)
        total = filler.empty
        for i, channel in enumerate(("SR", "top", "wjets")):
            part = slice(300 * i, 300 * (i + 1))
            chosen = {name: column[part] for name, column in columns.items()}
            total += filler.fill("dy", chosen, weight[part], event_id=ids[part], channel=channel)
        assert [total.templates(n).values("dy").shape for n in ("SR", "top", "wjets")] == [
            (2, 3),
            (1,),
            (1, 3),
        ]
        assert [total.templates(n).channel for n in ("SR", "top", "wjets")] == ["SR", "top", "wjets"]
        for i, name in enumerate(("SR", "top", "wjets")):
            of_channel = weight[300 * i : 300 * (i + 1)].sum()
            assert total.templates(name).values("dy").sum() == pytest.approx(of_channel)
        assert filler.columns == ("x", "m")

    def test_a_single_bin_needs_no_features(self):
        part = ct.TemplateFiller(ct.Binning()).fill("dy", None, [1.0, 2.0], channel="top")
        assert part.templates().values("dy").tolist() == [3.0]
        with pytest.raises(ConfigError, match="no features"):
            _ = ct.TemplateFiller(ct.Binning()).features

    def test_one_that_is_not_declared_is_refused(self):
        message = r"channel 'CR' is not declared; there are \['SR', 'top', 'wjets'\]"
        with pytest.raises(InputError, match=message):
            self.filler().fill("dy", events(3)[0], np.ones(3), event_id=np.arange(3), channel="CR")

    def test_sums_survive_a_file(self, tmp_path, assert_same_sums):
        columns, weight, ids = events(50)
        part = self.filler().fill("dy", columns, weight, event_id=ids)
        part += self.filler().fill("dy", columns, weight, event_id=ids, variation="jesUp")
        part = part.normalise(ct.Normalisation({"dy": "DY"}, {"dy": 2.0}))
        part.save(tmp_path / "sums.npz")
        again = CategorySums.load(tmp_path / "sums.npz")
        assert (again.observables, again.derived) == (part.observables, part.derived)
        assert {(s.dataset, s.variation) for s in again.derived} == {("DY", "jesDown")}
        for name in ("SR", "top", "wjets"):
            assert_same_sums(again.cells[name], part.cells[name])
        np.testing.assert_array_equal(
            again.templates("SR").values("DY", "jesDown"), part.templates("SR").values("DY", "jesDown")
        )

    def test_sums_of_other_observables_cannot_be_added(self):
        one, other = (
            ct.TemplateFiller(ct.Binning(CATEGORIZER, mass(flow))).empty for flow in ("fold", "drop")
        )
        with pytest.raises(InputError, match="observables"):
            one + other

    def test_several_need_a_name(self):
        with pytest.raises(ConfigError, match=r"no categorizer None; there are \['SR', 'top', 'wjets'\]"):
            self.filler().empty.templates()


class TestValues:
    def fill(self, **changes):
        columns = {"x": np.array([0.2, 0.7, -1.0]), "m": np.array([60.0, 70.0, 80.0])} | changes
        return ct.TemplateFiller(ct.Binning(CATEGORIZER, mass())).fill("dy", columns, np.ones(3))

    @pytest.mark.parametrize("bad", [np.nan, np.inf])
    def test_one_that_is_not_finite_is_counted_and_refused(self, bad):
        part = self.fill(m=np.array([60.0, bad, 80.0]))
        assert part.invalid == {("dy", "m"): 1}
        with pytest.raises(InputError, match=r"1 of 'm' in 'dy'"):
            part.checked()

    def test_an_event_without_a_category_needs_none(self):
        part = self.fill(m=np.array([60.0, 70.0, np.nan]))
        assert not part.invalid
        assert part.templates().uncategorised.tolist() == [[1.0, 1.0]]
        assert part.templates().outside.tolist() == [0.0]

    def test_one_that_is_not_handed_over_is_refused(self):
        filler = ct.TemplateFiller(ct.Binning(CATEGORIZER, mass()))
        with pytest.raises(InputError, match=r"observable 'm' is not there; there are \['x'\]"):
            filler.fill("dy", {"x": [0.1]}, [1.0])
        with pytest.raises(InputError, match=r"observable 'm' is not there; an array has no names"):
            filler.fill("dy", [[0.1]], [1.0])
        with pytest.raises(InputError, match=r"observable 'm' must have one value an event, 1, got 2"):
            filler.fill("dy", {"x": [0.1], "m": [1.0, 2.0]}, [1.0])

    def test_categorizers_of_other_features_need_names(self):
        other = ct.Features.declare(["y"], [{"kind": "linear", "features": ["y"], "range": (0, 1)}])
        filler = ct.TemplateFiller({"x": CATEGORIZER, "y": equidistant(other, 2, {"y": (0.0, 1.0)})})
        with pytest.raises(InputError, match="by name for categorizers of different ones"):
            filler.fill("dy", [[0.1]], [1.0])
        with pytest.raises(InputError, match=r"features \['y'\] are not there"):
            filler.fill("dy", {"x": [0.1]}, [1.0])


class TestMerging:
    def templates(self):
        varied = {"jesUp": {"WW": [[4.0, 4.0]]}, "puUp": {"W": [[6.0, 6.0]]}}
        observable = ct.Observable.declare("m", [0, 1, 2])
        return templates_from_arrays(YIELDS, variations=varied, observable=observable)

    def test_what_is_not_affected_adds_its_nominal_yields(self):
        merged = self.templates().merged({"VV": ["ZZ", "WW"]})
        assert merged.processes == ("ggH", "VV", "W", "data_obs")
        assert merged.values("VV").tolist() == merged.variances("VV").tolist() == [[4.0, 5.0]]
        assert merged.values("VV", "jesUp").tolist() == [[5.0, 5.0]]
        assert merged.values("VV", "jesDown").tolist() == [[3.0, 5.0]]
        sides = ("nominal", "jesUp", "jesDown", "puUp", "puDown")
        assert [merged.is_varied("VV", v) for v in sides] == [True, True, True, False, False]
        assert merged.derived == {("VV", "jesDown"), ("W", "puDown")}
        assert merged.values("W", "puUp").tolist() == [[6.0, 6.0]]
        assert merged.counts.sum() == self.templates().counts.sum()
        assert merged.data.tolist() == [[9, 9]]

    def test_one_may_be_renamed_and_take_the_name_of_a_part(self):
        merged = self.templates().merged({"W": ["W", "WW"], "higgs": ["ggH"]})
        assert merged.processes == ("higgs", "W", "ZZ", "data_obs")
        assert merged.values("W", "jesUp").tolist() == [[9.0, 9.0]]

    @pytest.mark.parametrize(
        ("groups", "message"),
        [
            ({"VV": ["WZ"]}, r"\['WZ'\], are not among \['ggH', 'WW', 'W', 'ZZ'\]"),
            ({"VV": ["WW", "data_obs"]}, r"\['data_obs'\], are not"),
            ({"VV": ["WW"], "X": ["WW"]}, "into one other"),
            ({"VV": []}, "each has some"),
            ({"W": ["WW", "ZZ"]}, r"\['W'\] are taken"),
        ],
    )
    def test_what_cannot_be_merged_is_refused(self, groups, message):
        with pytest.raises(ConfigError, match=message):
            self.templates().merged(groups)
