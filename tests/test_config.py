"""Configurations: what is valid means one thing, and what is not says which field to mend, and its value."""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from cortado.columnar.datasets import resolve_files
from cortado.config import ChannelConfig, Config, MetadataBranch, load_config, parse_config
from cortado.coordinates import Identity, Linear, LogRatio
from cortado.errors import ConfigError, InputError
from cortado.objectives import (
    Asimov,
    AsimovWithUncertainty,
    MaxRelativeUncertainty,
    MinBackground,
    MinEffectiveEvents,
    MinEvents,
    Precision,
    ProfiledSignificance,
)

ROOT = Path(__file__).resolve().parents[1]

VALID = """
tree: Events
luminosity: 11467.0
processor:
  class: processors/mine.py:Mine
  options: {max_mt: 30.0}
datasets:
  DY: {files: [dy_*.root], process: DY, xsec: 3503.7, sum_of_weights: 30458871}
  ggH: {files: [ggH.root], process: ggH, xsec: 19.6, sum_of_weights: {tree: Runs}}
  W1: {files: [w1.root], process: W}
  W2: {files: [w2.root, "root://server//w2.root"], process: W, tree: OtherEvents}
  Run2012B: {files: [b.root], is_data: true}
features:
  - {name: m_vis}
  - {name: jpt_1, missing: -999.0}
  - {name: p_sig}
  - {name: p_bkg}
coordinates:
  - {kind: identity, features: [m_vis], width: [0.5]}
  - {kind: linear, features: [jpt_1], range: [30.0, 200.0]}
  - {kind: logratio, features: [p_sig, p_bkg]}
signals: [ggH]
categories: 6
constraints: {min_background: 5.0}
fit: {seed: 3, folds: 3}
"""


def valid() -> dict[str, Any]:
    content = yaml.safe_load(VALID)
    assert isinstance(content, dict)
    return content


def changed(*place, to):
    """The valid configuration with one entry replaced."""
    content = valid()
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = to
    return content


def test_a_valid_configuration_means_what_it_says(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(VALID, encoding="utf-8")
    config = load_config(path)
    assert config == parse_config(valid())
    assert config.processes == ("ggH", "DY", "W")
    assert config.has_data
    assert config.categories == (6,)
    assert config.datasets["ggH"].sum_of_weights == MetadataBranch(tree="Runs", branch="genEventSumw")
    assert config.datasets["W2"].tree == "OtherEvents"
    assert config.processor.class_ == "processors/mine.py:Mine"
    assert config.processor.options == {"max_mt": 30.0}
    assert config.fit.held_out_folds == (2,)
    assert config.fit.training_folds == (0, 1)


def test_the_discriminant_is_that_of_features_and_coordinates():
    features = parse_config(valid()).discriminant
    assert features.names == ("m_vis", "jpt_1", "p_sig", "p_bkg")
    assert features.missing == {"jpt_1": -999.0}
    assert features.coordinates == (
        Identity(features=("m_vis",), width=(0.5,)),
        Linear(features=("jpt_1",), range=(30.0, 200.0)),
        LogRatio(features=("p_sig", "p_bkg")),
    )


def test_the_objective_is_that_of_signals_and_constraints():
    objective = parse_config(valid()).objective
    assert objective.terms == (Asimov(["ggH"], "geometric"), MinBackground(5.0), MinEffectiveEvents(10.0))


def test_every_key_of_the_objective_reaches_it():
    content = valid() | {
        "signals": ["ggH", "W"],
        "combine": "sum",
        "signal_weights": {"W": 0.5},
        "other_signals": "ignored",
        "constraints": {"min_events": 7, "max_relative_uncertainty": 0.2, "min_effective_events": 3.0},
    }
    assert parse_config(content).objective.terms == (
        Asimov(["ggH", "W"], "sum", weights={"W": 0.5}, other_signals="ignored"),
        MinBackground(10.0),
        MinEffectiveEvents(3.0),
        MinEvents(7),
        MaxRelativeUncertainty(0.2),
    )


@pytest.mark.parametrize(
    ("keys", "term"),
    [
        ({"maximise": "significance_with_uncertainty"}, AsimovWithUncertainty("ggH")),
        (
            {"maximise": "significance_with_uncertainty", "background_uncertainties": {"W": 0.2}},
            AsimovWithUncertainty("ggH", relative={"W": 0.2}),
        ),
        (
            {"maximise": "profiled_significance", "nuisances": ["jes"]},
            ProfiledSignificance("ggH", nuisances=["jes"]),
        ),
        (
            {"maximise": "profiled_significance", "other_signals": "background"},
            ProfiledSignificance("ggH", other_signals="background"),
        ),
        (
            {"maximise": "precision", "combine": "determinant", "other_signals": "floating"},
            Precision("ggH", "determinant"),
        ),
    ],
)
def test_what_is_maximised_is_a_choice(keys, term):
    assert parse_config(valid() | keys).objective.merits == (term,)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"nuisances": ["jes"]}, "nuisances go with maximise: profiled_significance or precision"),
        ({"background_uncertainties": {"W": 0.1}}, "background_uncertainties go with maximise"),
        (
            {"maximise": "significance_with_uncertainty", "background_uncertainties": {"Z": 0.1}},
            "background_uncertainties name .*'Z'",
        ),
        ({"combine": "determinant"}, "combine must be one of"),
        ({"other_signals": "floating"}, "other_signals must be one of"),
        (
            {"maximise": "precision", "other_signals": "ignored"},
            r"other_signals must be one of \['floating', 'background'\], got 'ignored'",
        ),
        ({"maximise": "precision", "nuisances": ["jes", "jes"]}, "distinct names"),
        (
            {"maximise": "precision", "nuisances": ["jes"], "fit": {"train_on": "events"}},
            "train_on must be cells or auto",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(keys, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(valid() | keys)


@pytest.mark.parametrize(
    ("fit", "held_out", "training"),
    [
        ({}, (1,), (0,)),
        ({"folds": 1}, (), (0,)),
        ({"folds": 5}, (4,), (0, 1, 2, 3)),
        ({"folds": 5, "held_out": [3, 1, 3]}, (1, 3), (0, 2, 4)),
        ({"folds": 3, "held_out": []}, (), (0, 1, 2)),
    ],
)
def test_folds_are_held_out_or_trained_on(fit, held_out, training):
    options = parse_config(changed("fit", to=fit)).fit
    assert options.held_out_folds == held_out
    assert options.training_folds == training


@pytest.mark.parametrize("n_coordinates", [1, 3, 4, 5])
@pytest.mark.parametrize(("train_on", "expected"), [("auto", None), ("cells", False), ("events", True)])
def test_events_are_trained_on_in_many_coordinates_or_if_asked_for(n_coordinates, train_on, expected):
    names = [f"x{i}" for i in range(n_coordinates)]
    content = valid() | {
        "features": [{"name": name} for name in names],
        "coordinates": [{"kind": "identity", "features": names}],
        "fit": {"train_on": train_on},
    }
    wanted = n_coordinates >= 4 if expected is None else expected
    assert parse_config(content).trains_on_events is wanted


def test_channels_eras_and_merging_mean_what_they_say():
    content = valid() | {
        "eras": {"early": 4.4, "late": 7.0},
        "channels": {
            "CR": {"categorizer": "single_bin"},
            "SR": {"observable": {"name": "m", "edges": {"bins": 2, "low": 0, "high": 10}, "flow": "drop"}},
            "more": {"categorizer": "old/categorizer.json"},
        },
        "merge": {"V": ["W", "DY"]},
    }
    content["datasets"]["DY"]["era"] = "late"
    config = parse_config(content)
    assert config.training_channel == "SR"
    assert config.channels["more"].path == "old/categorizer.json"
    assert config.channels["CR"].path is config.channels["SR"].path is None
    observable = config.channels["SR"].observable
    assert observable is not None
    assert (observable.bin_edges.tolist(), observable.flow) == ([0, 5, 10], "drop")
    assert config.datasets["DY"].era == "late"
    assert config.fitted_processes == ("ggH", "V")
    assert parse_config(valid()).channels == {"SR": ChannelConfig()}
    assert (
        Config.model_validate(json.loads(json.dumps(config.model_dump(mode="json", by_alias=True)))) == config
    )


def test_an_era_takes_the_place_of_the_luminosity():
    content = {k: v for k, v in valid().items() if k != "luminosity"} | {"eras": {"all": 5.0}}
    for dataset in ("ggH", "DY"):
        content["datasets"][dataset]["era"] = "all"
    assert parse_config(content).luminosity is None


@pytest.mark.parametrize(("categories", "expected"), [(5, (5,)), ([5, 10, 20], (5, 10, 20))])
def test_one_or_several_numbers_of_categories(categories, expected):
    assert parse_config(changed("categories", to=categories)).categories == expected


def test_numbers_may_be_written_as_yaml_misreads_them():
    """YAML takes 1e3 for a word."""
    assert parse_config(changed("luminosity", to="1e3")).luminosity == 1000.0


def test_a_configuration_survives_json():
    config = parse_config(valid())
    text = json.dumps(config.model_dump(mode="json", by_alias=True))
    assert Config.model_validate(json.loads(text)) == config


def test_missing_may_be_nan():
    config = parse_config(changed("features", 1, "missing", to=math.nan))
    assert math.isnan(config.discriminant.missing["jpt_1"])


@pytest.mark.parametrize("path", ["src/cortado/demo.yaml", "examples/htautau/config.yaml"])
def test_the_configurations_that_come_along_are_valid(path):
    assert len(load_config(ROOT / path).signals) == 2


INVALID = {
    "unknown key": (changed("colour", to="red"), "colour: unknown key"),
    "unknown key of a dataset": (
        changed("datasets", "DY", "cut", to="pt > 3"),
        "datasets.DY.cut: unknown key",
    ),
    "unknown key of the fit": (changed("fit", "stepps", to=3), "fit.stepps: unknown key"),
    "no signals": ({k: v for k, v in valid().items() if k != "signals"}, "signals: is required"),
    "no datasets": (changed("datasets", to={}), "datasets: .*at least 1"),
    "no files": (changed("datasets", "DY", "files", to=[]), r"datasets.DY.files: .*at least 1.*\(got \[\]\)"),
    "one file": (changed("datasets", "DY", "files", to="a.root"), r"datasets.DY.files: .*\(got 'a.root'\)"),
    "no process": (changed("datasets", "W1", to={"files": ["a"]}), "datasets.W1: simulation needs a process"),
    "data with a process": (
        changed("datasets", "Run2012B", "process", to="DY"),
        "datasets.Run2012B: collision data .* got process = 'DY'",
    ),
    "data with a cross section": (
        changed("datasets", "Run2012B", to={"files": ["a"], "is_data": True, "xsec": 1.0}),
        "datasets.Run2012B: collision data .* got xsec = 1.0",
    ),
    "the name of the data": (
        changed("datasets", "W1", "process", to="data_obs"),
        "datasets.W1: .*'data_obs'",
    ),
    "a name for no datacard": (
        changed("datasets", "W1", "process", to="W+jets"),
        r"datasets.W1.process: .*pattern.*\(got 'W\+jets'\)",
    ),
    "a name that is not ASCII": (changed("datasets", "W1", "process", to="Zμμ"), r"process: .*\(got 'Zμμ'\)"),
    "negative cross section": (
        changed("datasets", "DY", "xsec", to=-1.0),
        r"datasets.DY.xsec: .*greater than 0 \(got -1.0\)",
    ),
    "infinite cross section": (
        changed("datasets", "DY", "xsec", to=math.inf),
        r"datasets.DY.xsec: .*finite number \(got inf\)",
    ),
    "cross section alone": (
        changed("datasets", "W1", "xsec", to=2.0),
        "datasets.W1: xsec and sum_of_weights go together.* got xsec = 2.0 alone",
    ),
    "sum of weights alone": (
        changed("datasets", "W1", "sum_of_weights", to=2.0),
        "datasets.W1: .*got sum_of_weights = 2.0 alone",
    ),
    "no luminosity": (
        changed("luminosity", to=None),
        r"datasets \['DY', 'ggH'\] have a cross section.*lumin",
    ),
    "negative luminosity": (changed("luminosity", to=-3), r"luminosity: .*greater than 0 \(got -3\)"),
    "luminosity in words": (changed("luminosity", to="much"), r"luminosity: .*number.*\(got 'much'\)"),
    "unknown era": (
        changed("datasets", "DY", "era", to="2012"),
        r"datasets.DY.era must be one of the eras \[\], got '2012'",
    ),
    "negative luminosity of an era": (changed("eras", to={"early": -1}), r"eras.early: .*greater than 0"),
    "no channel to learn from": (
        changed("channels", to={"SR": {"categorizer": "single_bin"}}),
        r"channels need one with the categorizer learned, got \{'SR': 'single_bin'\}",
    ),
    "unknown categorizer": (
        changed("channels", to={"SR": {"categorizer": "trained"}}),
        r"channels.SR.categorizer: must be learned, single_bin or the path .*\(got 'trained'\)",
    ),
    "name of a channel": (changed("channels", to={"S-R": {}}), r"channels.S-R.*pattern"),
    "edges that do not increase": (
        changed("channels", to={"SR": {"observable": {"name": "m", "edges": [0, 2, 1]}}}),
        r"channels.SR.observable.edges: must be at least two numbers, each larger .*\(got \[0, 2, 1\]\)",
    ),
    "equal bins of no width": (
        changed(
            "channels", to={"SR": {"observable": {"name": "m", "edges": {"bins": 2, "low": 1, "high": 1}}}}
        ),
        r"channels.SR.observable.edges.equal: low must be below high, got 1 and 1",
    ),
    "a name of combine's own": (
        changed("fit_model", to={"rate_uncertainties": {"r": 1.1}}),
        "combine has a meaning of its own for 'r'",
    ),
    "a name of combine's statistics": (
        changed("fit_model", to={"rate_uncertainties": {"prop_binSR_bin0": 1.1}}),
        "combine has a meaning of its own for 'prop_binSR_bin0'",
    ),
    "the name of a strength": (
        changed("fit_model", to={"rate_uncertainties": {"mu_ggH": 1.1}}),
        "a nuisance parameter must not be named 'mu_ggH'",
    ),
    "the name of the statistics of a bin": (
        changed("fit_model", to={"rate_uncertainties": {"staterror_SR_0": 1.1}}),
        "a nuisance parameter must not be named 'staterror_SR_0'",
    ),
    "one mistake in a list, and none for its length": (
        changed("coordinates", to=[{"kind": "linear", "features": ["x"], "range": [1, 0]}]),
        r"^[\w. ]+: coordinates.0.linear.range: range must go upwards[^\n]*$",
    ),
    "a rate in words": (
        changed("fit_model", to={"rate_uncertainties": {"xs": {"DY": "1.6%"}}}),
        r"^[\w. ]+: rate_uncertainties must be numbers or pairs \(down, up\) .*, got {'xs': {'DY': '1.6%'}}$",
    ),
    "a rate of three numbers": (
        changed("fit_model", to={"rate_uncertainties": {"xs": [0.9, 1.0, 1.1]}}),
        r"^[\w. ]+: rate_uncertainties.xs must be a factor .* for down and up, got \[0.9, 1.0, 1.1\]$",
    ),
    "a nuisance parameter that no card has": (
        changed("maximise", to="precision") | {"nuisances": ["je s"]},
        r"nuisances.0: String should match pattern .*'je s'",
    ),
    "a group of combine's own": (
        changed("fit_model", to={"groups": {"autoMCStats": ["jes"]}}),
        "combine has a meaning of its own for 'autoMCStats'",
    ),
    "flow of a fit": (changed("fit_model", to={"flow": "fold"}), "fit_model.flow: unknown key"),
    "fate of what is beyond": (
        changed("channels", to={"SR": {"observable": {"name": "m", "edges": [0, 1], "flow": "keep"}}}),
        r"observable.flow: .*'fold' or 'drop' \(got 'keep'\)",
    ),
    "name of an axis": (
        changed("channels", to={"SR": {"observable": {"name": "process", "edges": [0, 1]}}}),
        r"observable.name: must not be the name of another axis",
    ),
    "merging a signal": (
        changed("merge", to={"X": ["ggH", "W"]}),
        r"merge names \['ggH'\], which are not among the backgrounds \['DY', 'W'\]",
    ),
    "merging twice": (
        changed("merge", to={"X": ["W"], "Y": ["W"]}),
        "merge must name a process at most once",
    ),
    "merging nothing": (changed("merge", to={"X": []}), "merge must name a process .* some for each new one"),
    "a merged name that is taken": (
        changed("merge", to={"DY": ["W"]}),
        r"merge gives the names \['DY'\], which other processes have",
    ),
    "unknown signal": (
        changed("signals", to=["VBF"]),
        r"signals \['VBF'\] are not among the processes \['DY', 'ggH', 'W'\]",
    ),
    "signal twice": (
        changed("signals", to=["ggH", "ggH"]),
        r"signals: must not repeat a value, got \['ggH', 'ggH'\]",
    ),
    "all are signals": (
        changed("signals", to=["ggH", "DY", "W"]),
        r"every process is a signal \(\['DY', 'ggH', 'W'\]\)",
    ),
    "one category": (changed("categories", to=1), r"categories.0: .*greater than or equal to 2 \(got 1\)"),
    "half a category": (changed("categories", to=[2.5]), r"categories.0: .*integer.*\(got 2.5\)"),
    "categories twice": (
        changed("categories", to=[5, 5]),
        r"categories: must not repeat a value, got \[5, 5\]",
    ),
    "combination": (
        changed("combine", to="product"),
        r"combine: .*'geometric', 'quadrature', 'minimum', 'sum' or 'determinant' \(got 'product'\)",
    ),
    "schema": (changed("schema", to="delphes"), r"schema: .*'flat' or 'nanoaod' \(got 'delphes'\)"),
    "processor": (
        changed("processor", "class", to="mine.py"),
        r"processor.class: .*pattern.*\(got 'mine.py'\)",
    ),
    "negative floor": (changed("constraints", "min_background", to=-1), r"min_background: .*\(got -1\)"),
    "folds": (changed("fit", "folds", to=0), r"fit.folds: .*greater than or equal to 1 \(got 0\)"),
    "held out": (changed("fit", "held_out", to=[3]), r"fit: held_out must be some.* 0 … 2, got \[3\]"),
    "all held out": (changed("fit", "held_out", to=[0, 1, 2]), r"fit: held_out .*not all.* got \[0, 1, 2\]"),
    "seed": (changed("fit", "seed", to=-1), r"fit.seed: .*\(got -1\)"),
    "kind": (changed("coordinates", 0, "kind", to="polar"), r"coordinates.0: .*'polar'.*'logratio'"),
    "a kind for all": (changed("coordinates", to="logratio"), r"coordinates: .*\(got 'logratio'\)"),
    "range": (
        changed("coordinates", 1, "range", to=[200.0, 30.0]),
        r"coordinates.1.linear.range: .*upwards, got \[200.0, 30.0\]",
    ),
    "feature without coordinates": (
        changed("coordinates", to=[{"kind": "identity", "features": ["m_vis"]}]),
        r"every feature exactly once.*\['m_vis', 'jpt_1', 'p_sig', 'p_bkg'\].*\['m_vis'\]",
    ),
    "unknown feature": (
        changed("coordinates", 0, "features", to=["m_sv"]),
        r"every feature exactly once.*\['m_sv', 'jpt_1', 'p_sig', 'p_bkg'\]",
    ),
    "feature twice": (
        changed("features", 0, "name", to="jpt_1"),
        r"names must not repeat a feature, got \['jpt_1', 'jpt_1', 'p_sig', 'p_bkg'\]",
    ),
    "no name": (changed("features", 0, to={"missing": 3}), "features.0.name: is required"),
    "missing in words": (
        changed("features", 1, "missing", to="none"),
        r"features.1.missing: .*\(got 'none'\)",
    ),
}


@pytest.mark.parametrize(("content", "message"), INVALID.values(), ids=INVALID)
def test_what_is_not_valid_names_field_and_value(content, message):
    before = copy.deepcopy(content)
    with pytest.raises(ConfigError, match=message) as caught:
        parse_config(content, "config.yaml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("config.yaml: ") for line in lines)
    assert "pydantic" not in str(caught.value)
    assert repr(content) == repr(before)


def test_every_mistake_is_named_at_once():
    content = changed("luminosity", to=-3) | {"colour": "red"}
    with pytest.raises(ConfigError) as caught:
        parse_config(content)
    assert len(str(caught.value).splitlines()) == 2


FILES = {
    "twice": ("signals: [a]\nsignals: [b]\n", "key 'signals' is given twice.*line 2"),
    "twice below": ("datasets:\n  a: {files: [x]}\n  a: {files: [y]}\n", "key 'a' is given twice.*line 3"),
    "twice in braces": ("fit: {seed: 1, seed: 2}\n", "key 'seed' is given twice"),
    "not YAML": ("signals: [a\n", r"config\.yaml is not valid YAML"),
    "a list": ("- a\n- b\n", "must hold keys and values, got list"),
    "empty": ("", "must hold keys and values, got NoneType"),
    "numbers for keys": ("1: 2\n", "1.*(unknown|string)"),
    "a list for a key": ("{[a]: 1}\n", "is not valid YAML"),
    "an object": ("a: !!python/object/apply:os.getcwd []\n", "is not valid YAML.*python/object"),
}


@pytest.mark.parametrize(("text", "message"), FILES.values(), ids=FILES)
def test_a_file_that_cannot_be_meant_is_refused_with_the_reason(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(VALID.replace("Events", "Ereignisse für μτ").encode("utf-16"))
    with pytest.raises(ConfigError, match=r"config\.yaml is not valid YAML"):
        load_config(path)


def test_a_file_that_is_absent_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent\.yaml: No such file"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path)


def test_yaml_may_merge_what_datasets_have_in_common(tmp_path):
    path = tmp_path / "config.yaml"
    common = "W1: {files: [w1.root], process: W}"
    text = VALID.replace(common, "W1: &w {files: [w1.root], process: W, tree: T}\n  W3: {<<: *w, tree: U}")
    path.write_text(text, encoding="utf-8")
    datasets = load_config(path).datasets
    assert datasets["W3"].files == ("w1.root",)
    assert (datasets["W1"].tree, datasets["W3"].tree) == ("T", "U")


# --- files --------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    base = tmp_path / "data [v1]"
    for name in ("a_0.root", "a_1.root", "a_10.root", "b.root", "deep/er/c.root", "d[1].root"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    return base


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["b.root"], ["b.root"]),
        (["a_*.root"], ["a_0.root", "a_1.root", "a_10.root"]),
        (["a_?.root", "a_0.root", "b.root"], ["a_0.root", "a_1.root", "b.root"]),
        (["a_[01].root"], ["a_0.root", "a_1.root"]),
        (["*/er/c.root"], ["deep/er/c.root"]),
        (["**/*.root"], ["a_0.root", "a_1.root", "a_10.root", "b.root", "d[1].root", "deep/er/c.root"]),
        (["d[1].root"], ["d[1].root"]),
        (["./b.root"], ["b.root"]),
    ],
)
def test_patterns_become_sorted_files(folder, patterns, expected):
    paths = tuple(str(folder / name) for name in expected)
    assert resolve_files("DY", patterns, folder) == paths
    absolute = [str(folder / pattern) for pattern in patterns]
    if not any("*" in p or "?" in p or "a_[" in p for p in patterns):
        assert resolve_files("DY", absolute, Path("/elsewhere")) == paths


def test_absolute_patterns_do_not_start_from_the_folder(tmp_path):
    (tmp_path / "a.root").touch()
    assert resolve_files("DY", [str(tmp_path / "*.root")], Path("/elsewhere")) == (str(tmp_path / "a.root"),)


def test_the_home_folder_is_known(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert resolve_files("DY", ["~/b.root"], Path("/elsewhere")) == (str(folder / "b.root"),)


def test_addresses_stay_as_they_are(folder):
    url = "root://server//store/*.root"
    assert resolve_files("DY", [url, "b.root"], folder) == (str(folder / "b.root"), url)


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["absent.root"], r"dataset 'DY': there is no file absent\.root in .*data \[v1\]"),
        (["b.root", "x_*.root"], r"dataset 'DY': no file matches x_\*\.root in .*data \[v1\]"),
    ],
)
def test_files_that_are_not_there_are_named(folder, patterns, message):
    with pytest.raises(InputError, match=message):
        resolve_files("DY", patterns, folder)
