"""Exports: what is written can be read and fitted by other programs, and what cannot is refused.

The files in ``golden/`` are what the exports of :func:`toy` look like. After a change that is meant, write
them anew with ``CORTADO_UPDATE_GOLDEN=1 pytest tests/test_export.py`` and look at the difference.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cortado import export
from cortado.errors import ConfigError, InputError, OutputError
from cortado.export.pyhf_workspace import build_workspace
from cortado.objectives.asimov import Asimov
from cortado.templates import Templates, templates_from_arrays

GOLDEN = Path(__file__).parent / "golden"
SIGNALS = ["signal1", "signal2"]

YIELDS = {
    "signal1": [1.25, 4.5, 9.75, 14.0, 20.5],
    "signal2": [5.0, 1.5, 1.25, 1.75, 0.5],
    "background": [20000.0, 5000.0, 900.0, 90.0, 9.5],
}
VARIANCES = {
    "signal1": [0.0125, 0.045, 0.0975, 0.14, 0.205],
    "signal2": [0.005, 0.0015, 0.00125, 0.00175, 0.0005],
    "background": [520.0, 130.0, 23.4, 2.34, 0.247],
}
DATA = [20011.0, 4987.0, 905.0, 107.0, 28.0]


def toy(variances=VARIANCES, **yields) -> Templates:
    """Two signals on one background in five categories; ``yields`` replaces or adds processes."""
    values = {**YIELDS, **yields}
    return templates_from_arrays(
        values, {name: variances.get(name, np.abs(row)) for name, row in values.items()}
    )


def renamed(templates: Templates, names: dict[str, str], channel: str = "SR") -> Templates:
    rows = {names.get(name, name): templates.values(name) for name in templates.processes}
    return templates_from_arrays(
        rows,
        {names.get(name, name): templates.variances(name) for name in templates.processes},
        channel=channel,
    )


def with_yield(
    templates: Templates, process: str, category: int, value: float, what: str = "value"
) -> Templates:
    view: Any = templates.hist.view()
    view[what][templates.processes.index(process), category, 0] = value
    return templates


def varied() -> Templates:
    """Two processes and data; the variation "jesUp" exists for the signal only."""
    axes = (
        hist.axis.StrCategory(["signal1", "background", "data_obs"], name="process", flow=False),
        hist.axis.Integer(0, 2, name="category", flow=False),
        hist.axis.StrCategory(["nominal", "jesUp"], name="variation", flow=False),
    )
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    view = filled.view()
    view["value"][:, :, 0] = [[1.5, 2.5], [10.25, 3.125], [12.0, 6.0]]
    view["variance"][:, :, 0] = [[0.15, 0.25], [1.1, 0.3], [12.0, 6.0]]
    view["value"][0, :, 1] = [1.4, 2.7]
    view["variance"][0, :, 1] = [0.14, 0.27]
    return Templates(filled, np.zeros((3, 2), np.int64), np.zeros((3, 2)))


def assert_golden(name: str, written: Path) -> None:
    if os.environ.get("CORTADO_UPDATE_GOLDEN"):
        (GOLDEN / name).write_bytes(written.read_bytes())
    assert written.read_text(encoding="utf-8") == (GOLDEN / name).read_text(encoding="utf-8")


# --- pyhf ---------------------------------------------------------------------------------------------------


def test_workspace_equals_the_golden_file(tmp_path):
    assert_golden("workspace.json", export.pyhf(toy(), signals=SIGNALS, path=tmp_path / "workspace.json"))


def test_workspace_is_valid_and_holds_the_templates(tmp_path):
    import pyhf

    templates = toy(data_obs=DATA)
    path = export.pyhf(templates, signals=SIGNALS, path=tmp_path / "new" / "workspace.json")
    workspace = pyhf.Workspace(json.loads(path.read_text()), validate=True)
    assert workspace.channels == ["SR"]
    assert workspace.samples == sorted(YIELDS)
    assert workspace.modifiers == [
        ("mu_signal1", "normfactor"),
        ("mu_signal2", "normfactor"),
        ("staterror_SR", "staterror"),
    ]
    model = workspace.model()
    assert model.config.poi_name == "mu_signal1"
    assert list(workspace.data(model, include_auxdata=False)) == DATA
    expected = model.expected_data(model.config.suggested_init(), include_auxdata=False)
    np.testing.assert_allclose(expected, np.sum(list(YIELDS.values()), axis=0), rtol=1e-15)
    for sample in workspace["channels"][0]["samples"]:
        assert sample["data"] == YIELDS[sample["name"]]
        assert sample["modifiers"][-1]["data"] == np.sqrt(VARIANCES[sample["name"]]).tolist()


def test_without_data_the_observations_are_asimov_data():
    (observation,) = build_workspace(toy(), SIGNALS)["observations"]
    assert observation["data"] == np.sum(list(YIELDS.values()), axis=0).tolist()


def test_one_signal_may_be_given_as_a_string():
    assert build_workspace(toy(), "signal2")["measurements"][0]["config"]["poi"] == "mu_signal2"


def test_workspace_fits_to_asimov_data():
    import pyhf

    pyhf.set_backend("numpy", "scipy")
    workspace = build_workspace(toy(), SIGNALS)
    model = workspace.model()
    best = pyhf.infer.mle.fit(workspace.data(model), model)
    np.testing.assert_allclose(best, 1.0, atol=1e-3)
    assert model.config.npars == len(SIGNALS) + 5


def test_workspace_fits_to_collision_data():
    import pyhf

    pyhf.set_backend("numpy", "scipy")
    workspace = build_workspace(toy(data_obs=DATA), SIGNALS)
    model = workspace.model()
    best, minimum = pyhf.infer.mle.fit(workspace.data(model), model, return_fitted_val=True)
    start = model.logpdf(model.config.suggested_init(), workspace.data(model))
    assert np.isfinite(best).all()
    assert minimum < -2 * start[0]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("extra", [{}, {"other": [30.0, -1.5, 4.0, -0.25, 0.125]}], ids=["plain", "negative"])
def test_expected_significance_of_the_workspace_is_the_asimov_significance(signal, extra):
    """√q0 without MC statistics and with the other signal fixed; q0: arXiv:1007.1727, eq. 12."""
    import pyhf

    pyhf.set_backend("numpy", "scipy")
    templates = toy(**extra)
    workspace = build_workspace(templates, SIGNALS).prune(modifiers=["staterror_SR"])
    model = workspace.model(poi_name=f"mu_{signal}")
    fixed = [name != f"mu_{signal}" for name in model.config.par_order]
    q0 = pyhf.infer.test_statistics.q0(
        0.0,
        workspace.data(model),
        model,
        model.config.suggested_init(),
        model.config.suggested_bounds(),
        fixed,
    )
    expected = Asimov(SIGNALS).each(templates.yields(SIGNALS))[signal]
    assert np.sqrt(q0) == pytest.approx(expected, rel=1e-4, abs=1e-3)


# --- nuisance parameters ------------------------------------------------------------------------------------

FACTORS: dict[str, Any] = {
    "jesUp": {"bkg": [1.1, 1.2, 1.4], "other": 1.05},
    "jesDown": {"bkg": [0.9, 0.85, 0.7]},
}
RATES: dict[str, Any] = {"lumi": 1.016, "xs": {"bkg": (0.92, 1.06)}, "jes": {"signal": 1.03}}


@pytest.fixture
def regions(make_templates) -> list[Templates]:
    """A signal region with a nuisance parameter, and a control region of a single bin."""
    return [
        make_templates(
            {"signal": [1.0, 2.0, 4.0], "bkg": [90.0, 30.0, 8.0], "other": [10.0, 5.0, 2.0]}, FACTORS
        ),
        make_templates({"bkg": [800.0], "other": [0.0]}, {"jesUp": {"bkg": 1.3}}, channel="CR"),
    ]


@pytest.mark.parametrize("layout", ["bins", "channels"])
def test_the_workspace_varies_as_the_templates_do(regions, layout):
    """Normalisation and shape together give the varied templates at ±1 standard deviation."""
    model = build_workspace(regions, "signal", layout=layout, rate_uncertainties=RATES).model()
    assert dict(model.config.modifiers)["jes"] in ("normsys", "histosys")
    assert model.config.npars == len(["mu_signal", *RATES]) + 4
    region = regions[0]
    signal, other = region.values("signal"), region.values("other")
    cases = {
        ("jes", 1): (region.values("bkg", "jesUp") + 1.05 * other + 1.03 * signal, [1040.0]),
        ("jes", -1): (region.values("bkg", "jesDown") + 0.95 * other + signal / 1.03, [560.0]),
        ("lumi", 1): (1.016 * (region.values("bkg") + other + signal), [800 * 1.016]),
        ("lumi", -1): ((region.values("bkg") + other + signal) / 1.016, [800 / 1.016]),
        ("xs", 1): (1.06 * region.values("bkg") + other + signal, [800 * 1.06]),
        ("xs", -1): (0.92 * region.values("bkg") + other + signal, [800 * 0.92]),
    }
    for (name, value), (in_region, in_control) in cases.items():
        parameters = np.array(model.config.suggested_init())
        parameters[model.config.par_slice(name)] = value
        expected = model.expected_data(parameters, include_auxdata=False)
        by_channel = {c: expected[model.config.channel_slices[c]] for c in model.config.channels}
        found = np.concatenate([by_channel[c] for c in sorted(by_channel) if c != "CR"])
        np.testing.assert_allclose(found, in_region, rtol=1e-12)
        np.testing.assert_allclose(by_channel["CR"], in_control, rtol=1e-12)


def test_shapes_have_the_nominal_integral_and_one_bin_has_none(regions):
    workspace = build_workspace(regions, "signal")
    region, control = ({s["name"]: s for s in c["samples"]} for c in workspace["channels"])
    assert [m["type"] for m in control["bkg"]["modifiers"]] == ["normsys", "staterror"]
    assert [m["type"] for m in region["bkg"]["modifiers"]] == ["normsys", "histosys", "staterror"]
    assert [m["name"] for m in region["bkg"]["modifiers"]] == ["jes", "jes", "staterror_SR"]
    assert [m["type"] for m in region["signal"]["modifiers"]] == ["normfactor", "staterror"]
    shapes = region["bkg"]["modifiers"][1]["data"]
    assert [sum(shape) for shape in shapes.values()] == pytest.approx([128.0, 128.0], rel=1e-14)
    assert control["bkg"]["modifiers"][1]["name"] == "staterror_CR"
    assert set(control) == {"bkg"}


def test_groups_are_those_of_combine_alone(regions):
    options: Any = {"groups": {"theory": ["jes"]}}
    with pytest.raises(ConfigError, match="groups is no option here, there are templates, signals, layout"):
        build_workspace(regions, "signal", **options)


@pytest.mark.parametrize("name", ["mu_signal", "staterror_SR"])
def test_parameters_of_one_name_are_refused(regions, name):
    with pytest.raises(ConfigError, match=f"must not be named '{name}'"):
        build_workspace(regions, "signal", rate_uncertainties={name: 1.1})


# --- combine ------------------------------------------------------------------------------------------------


def read_card(path: Path) -> tuple[dict[str, list[list[str]]], Path]:
    """The lines of a datacard by their keyword, and its shapes file: written without the writer."""
    lines: dict[str, list[list[str]]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if not line.startswith("-"):
            keyword, *fields = line.split()
            lines.setdefault(keyword, []).append(fields)
    ((process, channel, shapes, nominal, varied),) = lines["shapes"]
    assert [process, channel, nominal, varied] == [
        "*",
        "*",
        "$CHANNEL/$PROCESS",
        "$CHANNEL/$PROCESS_$SYSTEMATIC",
    ]
    return lines, path.parent / shapes


def test_datacard_equals_the_golden_file(tmp_path):
    assert_golden("datacard.txt", export.combine(toy(), signals=SIGNALS, path=tmp_path / "datacard.txt"))


@pytest.mark.parametrize("data", [None, DATA], ids=["asimov", "data"])
def test_datacard_agrees_with_its_shapes(tmp_path, data):
    templates = toy(other=[0.1, 0.2, 0.3, 0.0, -0.05], **({} if data is None else {"data_obs": data}))
    card, shapes = read_card(export.combine(templates, signals=SIGNALS, path=tmp_path / "cards" / "SR.txt"))
    assert shapes == tmp_path / "cards" / "SR.root"
    (bins, (channel,)), (names, ids), (rates,) = card["bin"][::-1], card["process"], card["rate"]
    assert names == ["signal1", "signal2", "background", "other"]
    assert ids == ["-1", "0", "1", "2"]
    assert (channel, set(bins), card["observation"]) == ("SR", {"SR"}, [["-1"]])
    assert card["imax"][0][0] == "1"
    assert int(card["jmax"][0][0]) == len(names) - 1
    assert card["kmax"][0][0] == "*"
    assert card["SR"] == [["autoMCStats", "10", "0", "1"]]
    with uproot.open(shapes) as file:
        assert set(file.keys(recursive=True, cycle=False)) == {
            "SR",
            "SR/data_obs",
            *(f"SR/{n}" for n in names),
        }
        for name, rate in zip(names, rates, strict=True):
            histogram = file[f"SR/{name}"]
            assert histogram.classname == "TH1D"
            assert float(rate) == histogram.values().sum()
            np.testing.assert_array_equal(histogram.values(), templates.values(name))
            np.testing.assert_array_equal(histogram.variances(), templates.variances(name))
        observed = sum(templates.values(name) for name in names) if data is None else data
        np.testing.assert_allclose(file["SR/data_obs"].values(), observed, rtol=1e-15)


@pytest.mark.parametrize("layout", ["bins", "channels"])
def test_every_rule_of_combine_holds_for_a_card_with_everything(regions, tmp_path, layout):
    path = export.combine(
        regions,
        signals="signal",
        path=tmp_path / "card.txt",
        layout=layout,
        rate_uncertainties=RATES,
        groups={"theory": ["xs"], "all": ["lumi", "jes"]},
    )
    card, shapes = read_card(path)
    (channels, columns), (names, ids), (rates,) = card["bin"], card["process"], card["rate"]
    assert channels == (["SR", "CR"] if layout == "bins" else ["SR_0", "SR_1", "SR_2", "CR"])
    assert card["observation"] == [["-1"] * len(channels)]
    assert card["imax"][0][0] == str(len(channels))
    assert card["jmax"][0][0] == "2"
    assert set(zip(names, ids, strict=True)) == {("signal", "0"), ("bkg", "1"), ("other", "2")}
    assert list(zip(columns, names, strict=True))[-1] == ("CR", "bkg")
    for channel in channels:
        assert card[channel] == [["autoMCStats", "10", "0", "1"]]
        assert any(c == channel and int(i) > 0 for c, i in zip(columns, ids, strict=True))
    assert card["theory"] == [["group", "=", "xs"]]
    assert card["all"] == [["group", "=", "lumi", "jes"]]
    ((kind, *jes),), (lumi,), (xs,) = card["jes"], card["lumi"], card["xs"]
    assert kind == "shape?"
    effects = {"signal": "1.03", "bkg": "1", "other": "1"}
    assert jes == [effects[name] for name in names]
    assert lumi == ["lnN", *("1.016" for _ in names)]
    assert xs == ["lnN", *("0.92/1.06" if name == "bkg" else "-" for name in names)]
    with uproot.open(shapes) as file:
        written = {key for key in file.keys(recursive=True, cycle=False) if "/" in key}
        wanted = {f"{channel}/data_obs" for channel in channels}
        for channel, name, rate, effect in zip(columns, names, rates, jes, strict=True):
            sides = [f"_jes{side}" for side in ("Up", "Down")] if effect == "1" else []
            wanted |= {f"{channel}/{name}{side}" for side in ("", *sides)}
            assert float(rate) == file[f"{channel}/{name}"].values().sum()
            assert all(file[f"{channel}/{name}{side}"].values().sum() > 0 for side in sides)
        assert written == wanted


def test_shapes_of_a_card_are_read_as_they_were_written(regions, tmp_path):
    export.combine(regions, signals="signal", path=tmp_path / "card.txt")
    with uproot.open(tmp_path / "card.root") as file:
        for templates in regions:
            for name in templates.simulated if templates.channel == "SR" else ["bkg"]:
                histogram = file[f"{templates.channel}/{name}"]
                assert histogram.values().astype(float).tobytes() == templates.values(name).tobytes()
                assert histogram.variances().astype(float).tobytes() == templates.variances(name).tobytes()
            varied = file[f"{templates.channel}/bkg_jesUp"].values().astype(float)
            assert varied.tobytes() == templates.values("bkg", "jesUp").tobytes()
        assert file["CR/bkg_jesDown"].values() == 2 * 800 - 1040


CARDS = {
    "nuisance": ({"rate_uncertainties": {"1st": 1.1}}, "must match .* got '1st'"),
    "strength": ({"rate_uncertainties": {"r": 1.1}}, "combine has a meaning of its own for 'r'"),
    "group": ({"groups": {"my group": ["jes"]}}, "must match .* got 'my group'"),
    "group of statistics": ({"groups": {"autoMCStats": ["jes"]}}, "meaning of its own for 'autoMCStats'"),
    "empty group": ({"groups": {"theory": []}}, r"group 'theory' must be made of .*\['jes'\], got \[\]"),
    "group of a text": ({"groups": {"theory": "jes"}}, "groups must be lists of names by .* got {'theory'"),
    "groups": ({"groups": ["jes"]}, "groups must be lists of names"),
    "unknown nuisance": ({"groups": {"theory": ["jes", "xs"]}}, r"\['jes'\], got \['xs'\]"),
}


@pytest.mark.parametrize(("options", "message"), CARDS.values(), ids=CARDS)
def test_nuisances_that_combine_cannot_read_are_refused(regions, tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        export.combine(regions, signals="signal", path=tmp_path / "card.txt", **options)
    assert not any(tmp_path.iterdir())


def test_datacard_leaves_out_an_empty_process_and_says_so(tmp_path, caplog):
    with caplog.at_level(logging.INFO, "cortado"):
        path = export.combine(toy(top=[0.0] * 5), signals=SIGNALS, path=tmp_path / "datacard.txt")
    assert "process top is empty in channel SR" in caplog.text
    card, shapes = read_card(path)
    assert card["process"][0] == [*SIGNALS, "background"]
    assert card["jmax"][0][0] == "2"
    with uproot.open(shapes) as file:
        assert "SR/top" not in file


def test_a_nuisance_parameter_of_nothing_is_in_no_file_and_in_no_group(tmp_path):
    templates = toy(top=[0.0] * 5)
    rates: Any = {"lumi": 1.02, "xs_top": {"top": 1.1}}
    groups = {"theory": ["xs_top", "lumi"], "top": ["xs_top"]}
    path = export.combine(
        templates, signals=SIGNALS, path=tmp_path / "card.txt", rate_uncertainties=rates, groups=groups
    )
    card, _ = read_card(path)
    assert card["theory"] == [["group", "=", "lumi"]]
    assert not {"xs_top", "top"} & set(card)
    modifiers = dict(build_workspace(templates, SIGNALS, rate_uncertainties=rates).modifiers)
    assert "xs_top" not in modifiers
    assert modifiers["lumi"] == "normsys"


def test_datacard_warns_of_negative_varied_yields(make_templates, tmp_path, caplog):
    templates = make_templates(
        {"s": [1.0, 2.0], "b": [9.0, 9.0], "c": [5.0, 1.0]}, {"jesUp": {"c": [0.9, -1]}}
    )
    export.combine(templates, signals="s", path=tmp_path / "card.txt")
    (record,) = caplog.records
    assert "of c with jes up in category 1 of channel SR is negative (-1): combine" in record.getMessage()


def test_datacard_warns_of_negative_yields(tmp_path, caplog):
    export.combine(toy(top=[5.0, -0.5, 1, 1, 1]), signals=SIGNALS, path=tmp_path / "datacard.txt")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "the yield of top in category 1 of channel SR is negative (-0.5): combine takes it for 0"
    )


# --- ROOT ---------------------------------------------------------------------------------------------------

names = st.text(
    st.characters(exclude_categories=["C", "Z"], exclude_characters="/:;"), min_size=1, max_size=12
)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), channel=names, n_categories=st.integers(1, 12))
def test_root_file_gives_values_and_variances_back(data, channel, n_categories):
    finite = arrays(np.float64, n_categories, elements=st.floats(-1e18, 1e18))
    positive = arrays(np.float64, n_categories, elements=st.floats(0, 1e300))
    processes = data.draw(st.lists(names, min_size=1, max_size=4, unique=True))
    templates = templates_from_arrays(
        {name: data.draw(finite) for name in processes},
        {name: data.draw(positive) for name in processes},
        channel=channel,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = export.root(templates, Path(folder) / "templates.root")
        assert list(Path(folder).iterdir()) == [path]
        with uproot.open(path) as file:
            assert set(file[channel].keys(cycle=False)) == set(processes)
            for name in processes:
                histogram = file[f"{channel}/{name}"]
                assert histogram.classname == "TH1D"
                np.testing.assert_array_equal(histogram.axis().edges(), np.arange(n_categories + 1))
                assert histogram.values().astype(float).tobytes() == templates.values(name).tobytes()
                assert histogram.variances().astype(float).tobytes() == templates.variances(name).tobytes()
                assert not histogram.values(flow=True)[[0, -1]].any()


def test_root_file_holds_the_variations_that_were_filled(tmp_path):
    templates = varied()
    with uproot.open(export.root(templates, tmp_path / "templates.root")) as file:
        assert set(file["SR"].keys(cycle=False)) == {
            "signal1",
            "signal1_jesUp",
            "signal1_jesDown",
            "background",
            "data_obs",
        }
        shifted = file["SR/signal1_jesUp"]
        np.testing.assert_array_equal(shifted.values(), templates.values("signal1", "jesUp"))
        np.testing.assert_array_equal(shifted.variances(), templates.variances("signal1", "jesUp"))


# --- errors -------------------------------------------------------------------------------------------------

FIT_ERRORS = {
    "unknown signal": (toy, ["ggH"], ConfigError, r"signals \['ggH'\] are not among .*'signal1'"),
    "no signal": (toy, [], ConfigError, r"at least one, got \[\]"),
    "signal twice": (toy, ["signal1", "signal1"], ConfigError, "distinct"),
    "data as signal": (lambda: toy(data_obs=DATA), ["data_obs"], ConfigError, "simulated"),
    "no background": (toy, [*SIGNALS, "background"], ConfigError, "at least one process must be background"),
    "no background in a category": (
        lambda: toy(background=[100.0, 50.0, 0.0, 5.0, -1.5]),
        SIGNALS,
        InputError,
        r"background in 'SR' must be positive.*0 in category 2, -1.5 in category 4: raise .* merge",
    ),
    "negative sum": (
        lambda: toy(signal1=[100.0, 1, 1, 1, -11]),
        SIGNALS,
        InputError,
        r"sum of background and signals.*got -1 in category 4",
    ),
    "empty signal": (
        lambda: toy(signal2=[0.0] * 5),
        SIGNALS,
        InputError,
        "'signal2' must have a positive yield",
    ),
    "not finite": (
        lambda: with_yield(toy(), "background", 2, np.nan),
        SIGNALS,
        InputError,
        "yield of 'background' in category 2 of 'SR' must be finite, got nan",
    ),
    "infinite variance": (
        lambda: with_yield(toy(), "background", 1, np.inf, "variance"),
        SIGNALS,
        InputError,
        "variance of 'background' in category 1 of 'SR' must be finite, got inf",
    ),
    "negative variance": (
        lambda: with_yield(toy(), "background", 4, -2.0, "variance"),
        SIGNALS,
        InputError,
        "variance of 'background' in category 4 of 'SR' must be finite and not negative, got -2",
    ),
    "negative data": (
        lambda: toy(data_obs=[1.0, -3, 1, 1, 1]),
        SIGNALS,
        InputError,
        "number of observed events in category 1 of 'SR' must be finite and not negative, got -3",
    ),
}


@pytest.mark.parametrize("write", [export.pyhf, export.combine], ids=["pyhf", "combine"])
@pytest.mark.parametrize(("make", "signals", "error", "message"), FIT_ERRORS.values(), ids=FIT_ERRORS)
def test_what_no_fit_can_use_is_refused_and_nothing_is_written(
    tmp_path, write, make, signals, error, message
):
    with pytest.raises(error, match=message):
        write(make(), signals=signals, path=tmp_path / "output.txt")
    assert not any(tmp_path.iterdir())


CARD_ERRORS = {
    "process name": (
        lambda: renamed(toy(), {"background": "W+jets"}),
        "card.txt",
        ConfigError,
        r"must match .* got 'W\+jets'",
    ),
    "leading digit": (lambda: renamed(toy(), {"background": "2b"}), "card.txt", ConfigError, "got '2b'"),
    "letters beyond ASCII": (
        lambda: renamed(toy(), {"background": "ττ"}),
        "card.txt",
        ConfigError,
        "got 'ττ'",
    ),
    "line end": (lambda: toy().merged({"bkg\n": ["background"]}), "card.txt", ConfigError, r"got 'bkg\\n'"),
    "channel name": (lambda: renamed(toy(), {}, "SR 1"), "card.txt", ConfigError, "got 'SR 1'"),
    "negative total": (
        lambda: toy(top=[1.0, 1, -5, 1, 1]),
        "card.txt",
        InputError,
        "yield of 'top' in 'SR' must be positive, got -1: merge it",
    ),
    "no name": (toy, "", ConfigError, "path must be the path of a file, got ''"),
    "name of the shapes": (toy, "card.root", ConfigError, r"got 'card.root'"),
    "space": (toy, "my card.txt", ConfigError, r"got 'my card.txt'"),
}


@pytest.mark.parametrize(("make", "name", "error", "message"), CARD_ERRORS.values(), ids=CARD_ERRORS)
def test_what_combine_cannot_read_is_refused_and_nothing_is_written(tmp_path, make, name, error, message):
    with pytest.raises(error, match=message):
        export.combine(make(), signals=SIGNALS, path=tmp_path / name if name else "")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a/b", "a;1", "a:b", "a\n"])
def test_names_that_a_root_file_cannot_hold_are_refused(tmp_path, name):
    for templates in (toy().merged({name: ["background"]}), replace(toy(), channel=name)):
        with pytest.raises(ConfigError, match="a name in a ROOT file"):
            export.root(templates, tmp_path / "templates.root")
    assert not any(tmp_path.iterdir())


def test_two_histograms_of_one_name_are_refused(tmp_path):
    templates = varied()
    axes = (hist.axis.StrCategory(["a", "a_jesUp"], name="process", flow=False), *templates.hist.axes[1:])
    filled = hist.Hist(*axes, storage=hist.storage.Weight())
    filled.view()["value"] = 1.0
    with pytest.raises(ConfigError, match="'SR/a_jesUp' for two histograms"):
        export.root(Templates(filled, templates.counts, templates.uncategorised), tmp_path / "templates.root")


@pytest.mark.parametrize(
    ("write", "options"),
    [(export.pyhf, {"signals": SIGNALS}), (export.combine, {"signals": SIGNALS}), (export.root, {})],
    ids=["pyhf", "combine", "root"],
)
def test_a_place_that_cannot_be_written_to_is_an_output_error(tmp_path, write, options):
    for name in ("output.txt", "output.root"):
        (tmp_path / name).mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write(toy(), path=tmp_path / "output.txt", **options)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["output.root", "output.txt"]


def test_importing_the_exports_is_light():
    code = "import sys, cortado.export; print({'tensorflow', 'pyhf'} & set(sys.modules))"
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert finished.stdout == "set()\n"
