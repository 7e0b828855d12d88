"""The model of a fit: channels of templates, rates, and all that is refused before anything is written."""

from dataclasses import replace
from typing import Any

import hist
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado import export
from cortado.errors import ConfigError, InputError
from cortado.export.fit_input import fit_channels
from cortado.export.fit_model import fit_model
from cortado.export.rates import LogNormal, log_normals
from cortado.templates import Templates, templates_from_arrays

YIELDS = {"signal": [1.0, 2.0, 3.0], "A": [50.0, 20.0, 5.0], "B": [9.0, 3.0, 1.5]}
FACTORS = {"jesUp": {"A": 1.1, "signal": 1.02}, "jesDown": {"A": 0.92}, "puDown": {"B": 0.9}}


def with_observable(extra: float = 0.0) -> Templates:
    """Two categories of three bins of a mass each, and ``extra`` events of the background beyond the last."""
    filled = hist.Hist(
        hist.axis.StrCategory(["signal", "A"], name="process", flow=False),
        hist.axis.Integer(0, 2, name="category", flow=False),
        hist.axis.StrCategory(["nominal"], name="variation", flow=False),
        hist.axis.Regular(3, 100, 130, name="mass"),
        storage=hist.storage.Weight(),
    )
    for process, weight in (("signal", 1.0), ("A", 10.0)):
        for category in range(2):
            for b, mass in enumerate((105, 115, 125)):
                filled.fill(process, category, "nominal", mass, weight=weight * (1 + b + 3 * category))
    if extra:
        filled.fill("A", 1, "nominal", 140.0, weight=extra)
    return Templates(filled, np.ones((2, 2), np.int64), np.zeros((2, 2)))


# --- channels -----------------------------------------------------------------------------------------------


def test_both_layouts_hold_the_same_bins(make_templates):
    templates = make_templates(YIELDS | {"data_obs": [61.0, 24.0, 9.0]}, FACTORS)
    (whole,) = fit_channels(templates)
    parts = fit_channels(templates, "channels")
    assert whole.name == "SR"
    assert [part.name for part in parts] == ["SR_0", "SR_1", "SR_2"]
    for field in ("nominal", "variances", "varied", "observed"):
        joined = np.concatenate([getattr(part, field) for part in parts], axis=-1)
        np.testing.assert_array_equal(joined, getattr(whole, field))
    assert whole.processes == tuple(YIELDS)
    np.testing.assert_array_equal(whole.nominal, list(YIELDS.values()))
    np.testing.assert_array_equal(whole.data, [61, 24, 9])
    np.testing.assert_array_equal(parts[1].asimov, [25.0])


def test_a_channel_of_one_category_keeps_its_name(make_templates):
    control = make_templates({"A": [500.0]}, channel="CR")
    channels = fit_channels([make_templates(YIELDS), control], "channels")
    assert [channel.name for channel in channels] == ["SR_0", "SR_1", "SR_2", "CR"]


def test_bins_of_an_observable_are_bins_of_the_fit():
    (whole,) = fit_channels(with_observable())
    np.testing.assert_array_equal(whole.nominal[0], [1, 2, 3, 4, 5, 6])
    assert whole.bins[4] == "category 1, bin 1"
    _, second = fit_channels(with_observable(), "channels")
    assert second.name == "SR_1"
    np.testing.assert_array_equal(second.nominal, [[4, 5, 6], [40, 50, 60]])


@pytest.mark.parametrize(("flow", "last"), [("fold", 67.0), ("drop", 60.0)])
def test_overflow_is_folded_or_dropped_on_request_alone(flow, last):
    templates = with_observable(extra=7.0)
    with pytest.raises(InputError, match=r"got 7 in underflow and overflow of 'SR': fold .*, or drop"):
        fit_channels(templates)
    (channel,) = fit_channels(templates, flow=flow)
    assert channel.nominal[1].tolist() == [10, 20, 30, 40, 50, last]
    assert templates.hist.values(flow=True).sum() == 210 + 21 + 7


def test_sides_that_are_missing_are_mirror_images(make_templates):
    (channel,) = fit_channels(make_templates(YIELDS, FACTORS))
    assert channel.nuisances == ("jes", "pu")
    np.testing.assert_array_equal(channel.affected, [[True, True, False], [False, False, True]])
    (s, a, b), (up, down) = channel.nominal, channel.varied[0]
    np.testing.assert_allclose(up, [1.02 * s, 1.1 * a, b])
    np.testing.assert_allclose(down, [0.98 * s, 0.92 * a, b])
    np.testing.assert_allclose(channel.varied[1, :, 2], [1.1 * b, 0.9 * b])


# --- rates --------------------------------------------------------------------------------------------------


@given(st.floats(0.1, 10).filter(lambda f: f != 1), st.floats(0.1, 10), st.floats(0.1, 10))
def test_rates_are_factors_up_with_their_inverse_down_or_both(factor, down, up):
    found = log_normals({"all": factor, "one": {"B": [down, up if up != 1 else 2.0]}}, ["A", "B"])
    assert found["all"] == dict.fromkeys("AB", LogNormal(1 / factor, factor))
    assert found["all"]["A"].in_card == repr(factor)
    assert set(found["one"]) == {"B"}
    assert found["one"]["B"].down == down


RATES = {
    "zero": ({"lumi": 0.0}, "rate_uncertainties.lumi must be a factor from 0.1 to 10.0 and other than 1"),
    "a difference": ({"lumi": 0.016}, "like 1.016 for 1.6 %, .*got 0.016"),
    "none": ({"lumi": 1.0}, "other than 1"),
    "negative": ({"lumi": {"A": (-0.9, 1.1)}}, r"got \(-0.9, 1.1\)"),
    "infinite": ({"lumi": float("inf")}, "got inf"),
    "three": ({"lumi": {"A": (0.9, 1.1, 1.2)}}, r"got \(0.9, 1.1, 1.2\)"),
    "unknown": ({"xs": {"C": 1.1}}, r"names \['C'\], which are not among the simulated processes"),
    "empty": ({"xs": {}}, "must name a process"),
    "both": ({"jes": {"A": 1.1}}, "must not name 'A', which has templates of that nuisance"),
}


@pytest.mark.parametrize(("rates", "message"), RATES.values(), ids=RATES)
def test_rates_that_are_none_are_refused(make_templates, rates, message):
    with pytest.raises(ConfigError, match=message):
        fit_model(make_templates(YIELDS, FACTORS), "signal", rate_uncertainties=rates)


# --- the model ----------------------------------------------------------------------------------------------


def test_signals_come_first_and_empty_processes_stay_out_of_a_channel(make_templates, caplog):
    templates = make_templates({"A": [5.0, 6.0], "C": [1.0, 0.0], "signal": [1.0, 1.0]})
    with caplog.at_level("INFO", "cortado"):
        model = fit_model(templates, "signal", layout="channels")
    assert [channel.processes for channel in model.channels] == [("signal", "A", "C"), ("signal", "A")]
    assert model.processes == ("signal", "A", "C")
    assert "process C is empty in channel SR_1 and left out there" in caplog.text


def test_a_signal_may_be_missing_in_a_control_region(make_templates):
    control = make_templates({"A": [500.0]}, channel="CR")
    model = fit_model([make_templates(YIELDS), control], "signal")
    assert [channel.processes for channel in model.channels] == [("signal", "A", "B"), ("A",)]


def test_filling_a_bin_is_asked_for_and_said(make_templates, caplog):
    yields = {"signal": [1.0, 3.0], "A": [50.0, -0.5], "B": [9.0, 0.25]}
    templates = make_templates(yields, {"jesUp": {"A": 1.1}, "jesDown": {"A": 0.9}})
    with pytest.raises(InputError, match=r"got -0.25 in category 1: raise .*merge.*fill="):
        fit_model(templates, "signal")
    (channel,) = fit_model(templates, "signal", fill=0.5).channels
    np.testing.assert_array_equal(channel.nominal, [[1, 3], [50, 0.5], [9, 0]])
    np.testing.assert_array_equal(channel.variances[1:, 1], [0.25, 0])
    np.testing.assert_allclose(channel.varied[0, :, 1], [[55, 0.5], [45, 0.5]])
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "0.5 background events of A filled into category 1 of channel SR" in record.getMessage()


def test_signals_alone_cannot_be_filled(make_templates):
    channels = [make_templates(YIELDS), make_templates({"signal": [1.0, 2.0]}, channel="other")]
    with pytest.raises(InputError, match="'other' has no background process that could be filled in"):
        fit_model(channels, "signal", fill=0.5)


def test_what_has_a_background_is_not_filled(make_templates, caplog):
    (channel,) = fit_model(make_templates(YIELDS), "signal", fill=100.0).channels
    np.testing.assert_array_equal(channel.nominal, list(YIELDS.values()))
    assert not caplog.records


MODELS = {
    "layout": ([(YIELDS, {}, "SR")], {"layout": "bin"}, ConfigError, "layout must be one of bins, channels"),
    "flow": ([(YIELDS, {}, "SR")], {"flow": "clip"}, ConfigError, "flow must be one of refuse, fold, drop"),
    "no channel": ([], {}, ConfigError, "at least one channel, got none"),
    "name twice": ([(YIELDS, {}, "SR")] * 2, {}, ConfigError, "distinct names, got SR more than once"),
    "name of a category": (
        [(YIELDS, {}, "SR"), ({"A": [9.0]}, {}, "SR_1")],
        {"layout": "channels"},
        ConfigError,
        "got SR_1 more than once",
    ),
    "some data": (
        [(YIELDS | {"data_obs": [60, 25, 10]}, {}, "SR"), ({"A": [9.0]}, {}, "CR")],
        {},
        ConfigError,
        r"all channels of a fit must have collision data or none, got none in \['CR'\]",
    ),
    "fill": ([(YIELDS, {}, "SR")], {"fill": 0.0}, ConfigError, "fill must be a number of events above 0"),
    "no side": (
        [(YIELDS, {"shifted": {"A": 1.1}}, "SR")],
        {},
        InputError,
        "nuisance parameter with Up or Down at its end, got 'shifted'",
    ),
    "varied yield": (
        [(YIELDS, {"jesUp": {"A": 0.0}, "jesDown": {"A": 1.1}}, "SR")],
        {},
        InputError,
        "yield of 'A' in 'SR' with jes up must be positive, got 0: merge",
    ),
    "mirrored yield": (
        [(YIELDS, {"jesUp": {"A": 2.5}}, "SR")],
        {},
        InputError,
        "yield of 'A' in 'SR' with jes down must be positive, got -37.5",
    ),
    "varied sum": (
        [(YIELDS, {"jesUp": {"A": [1.1, 1.1, 4.0]}}, "SR")],
        {},
        InputError,
        "background with jes down in 'SR' must be positive in every bin, got -8.5 in category 2",
    ),
    "varied sum of all": (
        [({"signal": [9.0, 4.0], "A": [9.0, 2.0]}, {"jesUp": {"signal": [1.0, -0.6]}}, "SR")],
        {},
        InputError,
        r"sum of background and signals with jes up in 'SR' must be positive .* got -0.4 in category 1",
    ),
    "not finite": (
        [(YIELDS, {"jesUp": {"A": np.nan}}, "SR")],
        {},
        InputError,
        "yield of 'A' with jes up in category 0 of 'SR' must be finite, got nan",
    ),
    "process": (
        [(YIELDS | {"C": [1.0, -2.0, 0.5]}, {}, "SR")],
        {},
        InputError,
        "yield of 'C' in 'SR' must be positive, got -0.5: merge",
    ),
}


@pytest.mark.parametrize(
    ("background", "variance"),
    [(1e-6, 1e-6), (0.5, 0.26), (3.0, 9.1), (3.0, 16.0)],
    ids=["tiny", "less than an event", "negative weights", "many of them"],
)
def test_a_background_of_less_than_one_effective_event_is_refused(background, variance):
    """Its uncertainty is larger than itself. fill is for bins of less than what is filled in."""
    values = {"signal": [1.0, 3.0], "A": [50.0, background]}
    templates = templates_from_arrays(values, {"signal": [0.1, 0.1], "A": [5.0, variance]})
    with pytest.raises(InputError, match=r"background in 'SR' must be made of at least one effective event"):
        fit_model(templates, "signal")
    if background < 1:
        (channel,) = fit_model(templates, "signal", fill=1.0).channels
        assert (channel.nominal[1, 1], channel.variances[1, 1]) == (1.0, 1.0)
    else:
        with pytest.raises(InputError, match="a larger fill="):
            fit_model(templates, "signal", fill=1.0)


@given(weight=st.floats(1e-6, 1e6), n=st.integers(1, 50))
def test_events_of_positive_weight_are_at_least_one_effective_event(weight, n):
    weights = weight * np.arange(1, n + 1)
    values = {"signal": [1.0], "A": [weights.sum()]}
    variances = {"signal": [1.0], "A": [(weights**2).sum()]}
    assert fit_model(templates_from_arrays(values, variances), "signal").channels


def test_a_background_without_an_uncertainty_is_as_many_events_as_one_likes():
    templates = templates_from_arrays({"signal": [1.0], "A": [0.01]}, {"signal": [0.0], "A": [0.0]})
    assert fit_model(templates, "signal").channels


def test_a_nuisance_parameter_of_nothing_that_is_left_is_left_out(make_templates, caplog):
    yields = YIELDS | {"C": [0.0, 0.0, 0.0]}
    factors = FACTORS | {"onlyUp": {"C": 1.1}}
    rates: Any = {"lumi": 1.02, "xs_C": {"C": 1.1}, "xs": {"A": 1.1, "C": 1.2}}
    templates = make_templates(yields, factors)
    shifted = replace(templates, varied=(templates.varied or frozenset()) | {("C", "onlyUp")})
    model = fit_model(shifted, "signal", rate_uncertainties=rates)
    assert model.nuisances == ("lumi", "xs", "jes", "pu")
    assert model.idle == ("xs_C", "only")
    assert {name: set(by) for name, by in model.rates.items()} == {"lumi": {*YIELDS}, "xs": {"A"}}
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"nuisance parameter {name} acts on no process of the fit and is left out" for name in model.idle
    ]


TYPES: dict[str, tuple[dict[str, Any], str]] = {
    "templates": ({"templates": {"SR": 1}}, "templates must be templates, or a list of them, got {'SR': 1}"),
    "signals": ({"signals": 3}, "signals must be a name or a list of names, got 3"),
    "fill": ({"fill": "a"}, "fill must be a number or None, got 'a'"),
    "rate": ({"rate_uncertainties": {"lumi": "1.016"}}, "rate_uncertainties must be numbers or pairs"),
    "rates": (
        {"rate_uncertainties": [1.016]},
        r"rate_uncertainties must be numbers or pairs .*got \[1.016\]",
    ),
}


@pytest.mark.parametrize(("changes", "message"), TYPES.values(), ids=TYPES)
@pytest.mark.parametrize("function", [fit_model, export.pyhf, export.combine])
def test_what_is_of_another_type_is_refused(make_templates, tmp_path, function, changes, message):
    path = {} if function is fit_model else {"path": tmp_path / "out.txt"}
    with pytest.raises(ConfigError, match=message):
        function(**{"templates": make_templates(YIELDS), "signals": "signal"} | changes | path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("channels", "options", "error", "message"), MODELS.values(), ids=MODELS)
def test_what_is_no_model_is_refused(make_templates, channels, options, error, message):
    with pytest.raises(error, match=message):
        fit_model([make_templates(*channel) for channel in channels], "signal", **options)
