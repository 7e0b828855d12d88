"""Templates hold the sums of the events, scaled to the luminosity; data are never scaled."""

from typing import Any

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado.cells import Cells, Source
from cortado.checks import check_templates
from cortado.errors import ConfigError, InputError
from cortado.observable import Observable
from cortado.templates import DATA, Templates, build_templates, templates_from_arrays

K, N_FOLDS = 3, 4
PROCESSES = ("ggH", "DY", DATA)


def fill(events, variation: str = "nominal", channel: str = "SR") -> Cells:
    """Cells of (process, category, fold, weight); category −1 for none."""
    total = Cells.empty(1)
    for process in sorted({e[0] for e in events}):
        part = [e for e in events if e[0] == process]
        category, fold = (np.array([e[i] for e in part], np.int64) for i in (1, 2))
        weight = np.array([e[3] for e in part], np.float64)
        total += Cells.from_events(
            Source(process, channel, variation), np.stack([fold, category], axis=1), weight
        )
    return total


def event_lists():
    weights = st.floats(-3, 10)
    folds, categories = st.integers(0, N_FOLDS - 1), st.integers(-1, K - 1)
    simulated = st.tuples(st.sampled_from(["ggH", "DY"]), categories, folds, weights)
    data = st.tuples(st.just(DATA), categories, folds, st.just(1.0))
    return st.lists(st.one_of(simulated, data), min_size=1, max_size=40)


SOME = [("ggH", 0, 0, 0.5), ("ggH", 2, 1, 0.5), ("ggH", -1, 0, 0.25), ("DY", 0, 0, 2.0), ("DY", 0, 3, -1.0)]
OBSERVED = [(DATA, 0, 0, 1.0), (DATA, 0, 1, 1.0), (DATA, -1, 2, 1.0)]


@given(events=event_lists(), folds=st.sets(st.integers(0, N_FOLDS - 1), min_size=1))
def test_templates_are_scaled_sums_and_data_are_whole(events, folds):
    templates = build_templates(fill(events), K, n_folds=N_FOLDS, folds=folds, processes=PROCESSES)
    assert templates.processes == PROCESSES
    for p, process in enumerate(PROCESSES):
        scale = 1.0 if process == DATA else N_FOLDS / len(folds)
        for k in range(-1, K):
            chosen = [e for e in events if e[:2] == (process, k) and (process == DATA or e[2] in folds)]
            value = scale * sum(e[3] for e in chosen)
            variance = scale**2 * sum(e[3] ** 2 for e in chosen)
            if k == -1:
                assert templates.uncategorised[p] == pytest.approx([value, variance], abs=1e-12)
            else:
                assert templates.values(process)[k] == pytest.approx(value, abs=1e-12)
                assert templates.variances(process)[k] == pytest.approx(variance, abs=1e-12)
                assert templates.counts[p, k] == len(chosen)


@given(events=event_lists())
def test_all_folds_are_the_default_and_their_mean_is_the_whole(events):
    cells = fill(events)
    whole = build_templates(cells, K, n_folds=N_FOLDS, processes=PROCESSES)
    parts = [
        build_templates(cells, K, n_folds=N_FOLDS, folds=[f], processes=PROCESSES) for f in range(N_FOLDS)
    ]
    for process in PROCESSES:
        mean = np.mean([part.values(process) for part in parts], axis=0)
        np.testing.assert_allclose(whole.values(process), mean, atol=1e-12)


def test_the_histogram_is_one_that_everybody_reads():
    templates = build_templates(fill(SOME), K, n_folds=N_FOLDS)
    filled = templates.hist
    assert [axis.name for axis in filled.axes] == ["process", "category", "variation"]
    assert list(filled.axes["process"]) == ["DY", "ggH"]
    assert list(filled.axes["variation"]) == ["nominal"]
    assert isinstance(filled.storage_type(), hist.storage.Weight)
    assert not any(axis.traits.underflow or axis.traits.overflow for axis in filled.axes)
    found: Any = filled["DY", 0, "nominal"]
    assert (found.value, found.variance) == (1.0, 5.0)


def test_data_are_optional():
    assert build_templates(fill(SOME), K, n_folds=N_FOLDS).data is None
    templates = build_templates(fill(SOME + OBSERVED), K, n_folds=N_FOLDS, folds=[0], events="training")
    assert templates.data is not None
    assert templates.data.tolist() == [2.0, 0.0, 0.0]
    assert templates.simulated == ("DY", "ggH")
    assert templates.events == "training"
    assert templates.n_categories == K


def test_channels_are_kept_apart():
    cells = fill(SOME) + fill([("DY", 1, 0, 7.0)], channel="CR")
    assert build_templates(cells, K, channel="CR").values("DY").tolist() == [0.0, 7.0, 0.0]
    signal_region = build_templates(cells, K, n_folds=N_FOLDS, channel="SR")
    assert signal_region.values("DY").tolist() == [1.0, 0.0, 0.0]
    assert signal_region.channel == "SR"


def test_variations_follow_the_nominal_yields():
    cells = fill(SOME) + fill([("DY", 1, 0, 3.0)], "jesUp") + fill([("ggH", 2, 0, 2.0)], "jesDown")
    templates = build_templates(cells, K, n_folds=N_FOLDS)
    assert templates.variations == ("nominal", "jesDown", "jesUp")
    assert templates.values("DY", "jesUp").tolist() == [0.0, 3.0, 0.0]
    assert templates.variances("DY", "jesUp").tolist() == [0.0, 9.0, 0.0]
    assert templates.values("DY").tolist() == [1.0, 0.0, 0.0]
    assert templates.counts.tolist() == [[2, 0, 0], [1, 0, 1]]


def test_a_single_histogram_has_the_values_and_variances_of_its_process():
    templates = build_templates(fill(SOME), K, n_folds=N_FOLDS)
    single = templates.histogram("DY")
    assert single.axes[0].edges.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert single.values().tolist() == templates.values("DY").tolist()
    np.testing.assert_array_equal(single.variances(), templates.variances("DY"))
    single[0] = (100.0, 1.0)
    assert templates.values("DY")[0] == 1.0


def test_yields_are_those_of_the_simulation():
    templates = build_templates(
        fill(SOME + OBSERVED), K, n_folds=N_FOLDS, processes=["ggH", DATA, "TT", "DY"]
    )
    yields = templates.yields(["ggH"])
    assert yields.processes == ("ggH", "TT", "DY")
    assert yields.signals == ("ggH",)
    assert yields.backgrounds == ("TT", "DY")
    assert yields.sumw.tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert yields.sumw2.tolist() == [[0.25, 0.0, 0.25], [0.0, 0.0, 0.0], [5.0, 0.0, 0.0]]
    assert yields.count.tolist() == [[1, 0, 1], [0, 0, 0], [2, 0, 0]]


def test_yields_can_be_written_down_by_hand():
    templates = templates_from_arrays({"b": [1.0, 2.5], "a": [3, 4]}, channel="CR")
    assert templates.processes == ("b", "a")
    assert templates.channel == "CR"
    assert templates.values("a").tolist() == templates.variances("a").tolist() == [3.0, 4.0]
    given_variances = templates_from_arrays({"b": [1.0, 2.5]}, {"b": [0.1, 0.2]})
    assert given_variances.variances("b").tolist() == [0.1, 0.2]


def test_a_side_that_is_missing_is_made_once_on_every_road():
    """From cells, from arrays and from a histogram; merged templates and checks see it."""
    values, up = {"DY": [4.0, 6.0], "ggH": [1.0, 1.0]}, {"jesUp": {"DY": [5.0, 5.5]}}
    from_arrays = templates_from_arrays(values, variations=up)
    cells = fill([("DY", 0, 0, 4.0), ("DY", 1, 0, 6.0), ("ggH", 0, 0, 1.0), ("ggH", 1, 0, 1.0)])
    from_cells = build_templates(cells + fill([("DY", 0, 0, 5.0), ("DY", 1, 0, 5.5)], "jesUp"), 2)
    axes = [from_arrays.hist.axes[i] for i in (0, 1)]
    variation = hist.axis.StrCategory(["nominal", "jesUp"], name="variation", flow=False)
    filled = hist.Hist(*axes, variation, storage=hist.storage.Weight())
    view: Any = filled.view()
    view["value"] = np.stack([[[4.0, 6.0], [1.0, 1.0]], [[5.0, 5.5], [0.0, 0.0]]], axis=2)
    from_histogram = Templates(filled, from_arrays.counts, from_arrays.uncategorised)
    for made in (from_arrays, from_cells, from_histogram):
        assert made.derived == {("DY", "jesDown")}
        assert made.values("DY", "jesDown").tolist() == [3.0, 6.5]
        np.testing.assert_array_equal(made.variances("DY", "jesDown"), made.variances("DY"))
        assert not made.is_varied("ggH", "jesDown")
        assert made.merged({"all": ["DY", "ggH"]}).values("all", "jesDown").tolist() == [4.0, 7.5]
        assert made.yields(nuisances=["jes"]).varied[0, 1, made.simulated.index("DY")].tolist() == [3.0, 6.5]
        assert [f.kind for f in check_templates(made, "ggH")].count("missing side") == 1


def test_a_variation_without_events_is_one():
    made = templates_from_arrays({"DY": [4.0], "ggH": [1.0]}, variations={"jesUp": {"DY": [0.0]}})
    assert made.values("DY", "jesDown").tolist() == [8.0]
    assert (made.is_varied("DY", "jesUp"), made.is_varied("ggH", "jesUp")) == (True, False)


def some() -> Templates:
    return build_templates(fill(SOME), K, n_folds=N_FOLDS)


ERRORS: dict[str, Any] = {
    "unknown process": (
        lambda: build_templates(fill(SOME), K, n_folds=N_FOLDS, processes=["ggH"]),
        InputError,
        r"processes \['DY'\] are not among the declared \['ggH'\]",
    ),
    "unknown channel": (
        lambda: build_templates(fill(SOME), K, n_folds=N_FOLDS, channel="CR"),
        InputError,
        r"no events of channel 'CR'; there are \['SR'\]",
    ),
    "category too high": (
        lambda: build_templates(fill(SOME), 2, n_folds=N_FOLDS),
        InputError,
        r"categories must be -1 … 1, got \[2\]",
    ),
    "category too low": (
        lambda: build_templates(fill([("DY", -2, 0, 1.0)]), K),
        InputError,
        r"categories must be -1 … 2, got \[-2\]",
    ),
    "no folds": (
        lambda: build_templates(fill(SOME), K, n_folds=N_FOLDS, folds=[]),
        ConfigError,
        r"folds must be some of 0 … 3, got \[\]",
    ),
    "unknown fold": (
        lambda: build_templates(fill(SOME), K, n_folds=N_FOLDS, folds=[4]),
        ConfigError,
        r"folds must be some of 0 … 3, got \[4\]",
    ),
    "values": (lambda: some().values("TT"), InputError, r"process 'TT' .*there are \['DY', 'ggH'\]"),
    "variances": (lambda: some().variances("DY", "jesUp"), InputError, r"variation 'jesUp' .*\['nominal'\]"),
    "histogram": (lambda: some().histogram("jesUp"), InputError, "process 'jesUp'"),
    "signals": (lambda: some().yields(["VH"]), ConfigError, r"signals \['VH'\] are not among the processes"),
}


TEXT: Any = "2"
MASS = Observable.declare("m", [0, 1, 2])


def by_hand(values, variances=None, **options):
    return lambda: templates_from_arrays(values, variances, **options)


def with_up(process, values, name="jesUp"):
    return by_hand({"a": [1.0, 2.0], "b": [3.0, 4.0]}, variations={name: {process: values}})


ERRORS |= {
    "no mapping": (by_hand([1, 2]), ConfigError, r"values must be arrays by process, got \[1, 2\]"),
    "no process": (by_hand({}), ConfigError, "at least one process, got none"),
    "name": (by_hand({"a/b": [1]}), ConfigError, "name of a process must be printable .*got 'a/b'"),
    "number as name": (by_hand({1: [1]}), ConfigError, "values must be arrays by process"),
    "channel": (by_hand({"a": [1]}, channel="a:b"), ConfigError, "name of a channel .*got 'a:b'"),
    "lengths": (by_hand({"a": [1, 2], "b": [1]}), InputError, r"yields of 'b' .* shape \(2,\), .* \(1,\)"),
    "one number": (by_hand({"a": 3.0}), InputError, r"yields of 'a' must be one number for each bin"),
    "no bin": (by_hand({"a": []}), InputError, r"yields of 'a' must be one number for each bin"),
    "ragged": (by_hand({"a": [[1], [1, 2]]}), InputError, "yields of 'a' must be numbers"),
    "text": (by_hand({"a": ["1", "2"]}), InputError, "yields of 'a' must be numbers"),
    "two axes": (by_hand({"a": [[1, 2]]}), InputError, r"shape \(1,\), got those of \(1, 2\)"),
    "bins": (by_hand({"a": [[1, 2, 3]]}, observable=MASS), InputError, r"shape \(1, 2\), .* \(1, 3\)"),
    "NaN": (by_hand({"a": [1, np.nan]}), InputError, "yields of 'a' must be finite, got nan"),
    "infinite variance": (by_hand({"a": [1]}, {"a": [np.inf]}), InputError, "variances of 'a' .* got inf"),
    "negative variance": (by_hand({"a": [1]}, {"a": [-1]}), InputError, "not be negative, got -1"),
    "missing variance": (
        by_hand({"a": [1], "b": [1]}, {"a": [1]}),
        ConfigError,
        r"\['a', 'b'\], got \['a'\]",
    ),
    "variances": (by_hand({"a": [1]}, [1]), ConfigError, "variances must be arrays by process or None"),
    "no nuisance": (with_up("a", [1, 2], "jes"), InputError, "Up or Down at its end, got 'jes'"),
    "nominal": (with_up("a", [1, 2], "nominal"), InputError, "got 'nominal'"),
    "variation of another": (with_up("c", [1, 2]), ConfigError, r"jesUp names \['c'\], .* \['a', 'b'\]"),
    "variation of data": (
        by_hand({"a": [1], DATA: [1]}, variations={"jesUp": {DATA: [1]}}),
        ConfigError,
        r"names \['data_obs'\]",
    ),
    "a number for all bins": (
        with_up("a", 1.0),
        InputError,
        "'a' with jesUp must be one number for each bin",
    ),
    "NaN in a variation": (with_up("a", [1, np.nan]), InputError, "'a' with jesUp must be finite"),
    "variations": (
        by_hand({"a": [1]}, variations={"jesUp": [1]}),
        ConfigError,
        "variations must be by variation, arrays by process or None",
    ),
    "no histogram": (
        lambda: Templates(TEXT, np.zeros((1, 1), np.int64), np.zeros((1, 2))),
        ConfigError,
        "hist must be a Hist with the axes process, category, variation and maybe an observable, got '2'",
    ),
    "other axes": (
        lambda: Templates(hist.Hist.new.Reg(2, 0, 1, name="m").Weight(), np.zeros(1, np.int64), np.zeros(1)),
        ConfigError,
        r"got \['m'\]",
    ),
    "groups": (lambda: some().merged({"x": "DY"}), ConfigError, "groups must be lists of names by"),
    "one signal as text": (lambda: some().yields("DY"), ConfigError, "signals must be a list of names"),
    "number of folds": (
        lambda: build_templates(fill(SOME), K, n_folds=TEXT),
        ConfigError,
        "n_folds must be an integer, got '2'",
    ),
}


@pytest.mark.parametrize(("make", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_what_is_not_there_is_refused_with_the_reason(make, error, message):
    with pytest.raises(error, match=message):
        make()
