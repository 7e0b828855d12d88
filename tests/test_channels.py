"""Jobs with several channels: what is filled, what a fit gets, and which events these are."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pyhf
import pytest
import uproot

import cortado as ct
from cortado.categorizer import Training, equidistant
from cortado.channels import Channels, untrained_folds
from cortado.columnar import open_executor
from cortado.config import parse_config
from cortado.folds import assign_folds
from cortado.notes import of_given_categorizers
from cortado.outputs import planned_files
from cortado.workflow import prepare, run_job

PROCESSOR = """
    import numpy as np
    from coffea.analysis_tools import Weights

    class Mine:
        def __init__(self, sink, blind=False, only="", shift="jes"):
            self.sink, self.blind, self.only, self.shift = sink, blind, only, shift

        def branches(self, *, is_mc):
            return [*self.sink.columns, "event", "region", *(["weight"] if is_mc else [])]

        def process(self, events):
            total, dataset = self.sink.empty, events.metadata["dataset"]
            for number, channel in enumerate(("SR", "boosted", "top", "wjets")):
                if self.only and channel not in self.only:
                    continue
                kept = events[events.region == number]
                if events.metadata["is_mc"]:
                    total = total + self.simulation(dataset, kept, channel)
                elif not (self.blind and channel == "SR"):
                    ones = np.ones(len(kept))
                    total = total + self.sink.fill(dataset, kept, ones, event_id=kept.event, channel=channel)
            return total

        def simulation(self, name, kept, channel):
            weights = Weights(len(kept))
            weights.add("gen", np.asarray(kept.weight))
            weights.add("pu", np.ones(len(kept)), weightUp=np.full(len(kept), 1.02))
            part = self.sink.fill(name, kept, weights, event_id=kept.event, channel=channel)
            if self.shift:
                moved = {n: kept[n] for n in self.sink.columns} | {"score": np.clip(kept.score * 1.03, 0, 1)}
                shifted = dict(event_id=kept.event, variation=f"{self.shift}Up", channel=channel)
                part = part + self.sink.fill(name, moved, weights, **shifted)
            return part
"""
EDGES = [0.0, 50.0, 100.0, 200.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, write_tree):
    """Two eras of two backgrounds, a signal and data, each with events in four regions."""
    path = tmp_path_factory.mktemp("channels")
    (path / "mine.py").write_text(textwrap.dedent(PROCESSOR))
    datasets = (
        ("sig", 3000),
        ("bkg_early", 4000),
        ("bkg_late", 5000),
        ("top", 3000),
        ("zz", 500),
        ("data", 4000),
    )
    for i, (name, n) in enumerate(datasets):
        random = np.random.default_rng(i)
        columns = {
            "score": random.beta(3, 1, n) if name == "sig" else random.beta(1, 2, n),
            "mass": random.normal(90, 40, n),
            "weight": random.uniform(0.5, 1.5, n),
            "event": np.arange(n, dtype=np.uint64),
            "region": random.integers(0, 4, n),
        }
        write_tree(path / f"{name}.root", columns)
    return path


@pytest.fixture(scope="module")
def content():
    """The configuration of a quick job with four channels."""

    def make(**changes):
        made = {
            "eras": {"early": 20.0, "late": 40.0},
            "processor": {"class": "mine.py:Mine"},
            "datasets": {
                "sig": {"files": ["sig.root"], "process": "sig"},
                "bkg_early": {
                    "files": ["bkg_early.root"],
                    "process": "bkg",
                    "xsec": 100.0,
                    "sum_of_weights": 4000,
                    "era": "early",
                },
                "bkg_late": {
                    "files": ["bkg_late.root"],
                    "process": "bkg",
                    "xsec": 100.0,
                    "sum_of_weights": 5000,
                    "era": "late",
                },
                "top": {"files": ["top.root"], "process": "top"},
                "zz": {"files": ["zz.root"], "process": "zz"},
                "Run1": {"files": ["data.root"], "is_data": True},
            },
            "features": [{"name": "score"}],
            "coordinates": [{"kind": "linear", "features": ["score"], "range": [0, 1]}],
            "signals": ["sig"],
            "channels": {
                "SR": {"observable": {"name": "mass", "edges": EDGES}},
                "boosted": {},
                "top": {"categorizer": "single_bin"},
                "wjets": {
                    "categorizer": "given.json",
                    "observable": {
                        "name": "mass",
                        "edges": {"bins": 2, "low": 50, "high": 150},
                        "flow": "drop",
                    },
                },
            },
            "merge": {"other": ["top", "zz"]},
            "categories": 3,
            "fit": {"steps": 20, "starts": 1},
        }
        return made | changes

    return make


@pytest.fixture(scope="module", autouse=True)
def given(folder):
    """The categorizer of a control region, from a file."""
    features = ct.Features.declare(["score"], "logit")
    equidistant(features, 4, {"score": (0.0, 1.0)}).save(folder / "given.json")


@pytest.fixture(autouse=True, scope="module")
def _without_figures():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cortado.figures.write_figures", lambda *_: [])
        patch.setattr("cortado.figures.write_stacks", lambda *_: [])
        yield


def run(content, folder, out):
    with open_executor(progress=False) as executor:
        return run_job(prepare(parse_config(content), folder), out, executor, chunk_size=900)


@pytest.fixture(scope="module")
def done(folder, content, tmp_path_factory):
    return run(content(), folder, tmp_path_factory.mktemp("done") / "out")


def columns_of(folder, name):
    return uproot.open(folder / f"{name}.root")["Events"].arrays(library="np")


BACKGROUNDS = {
    "bkg": {"bkg_early": 100.0 * 20.0 / 4000, "bkg_late": 100.0 * 40.0 / 5000},
    "other": {"top": 1.0, "zz": 1.0},
    "sig": {"sig": 1.0},
}


def expected(folder, process, region, held_out, bins, category=None, edges=None):
    """Σw of a process in the bins of a channel, from its files."""
    total = np.zeros(bins if edges is None else (*bins, len(edges) - 1))
    for name, factor in BACKGROUNDS[process].items():
        c = columns_of(folder, name)
        kept = c["region"] == region
        scale = np.ones(len(kept))
        if held_out:
            scale = np.where(assign_folds(c["event"], 2) == 1, 2.0, 0.0)
        weight = (factor * scale * c["weight"])[kept]
        k = np.zeros(kept.sum(), int) if category is None else category(c)[kept]
        if edges is None:
            total = total + np.bincount(k, weight, bins[0])
        else:
            values = c["mass"][kept]
            found = np.histogram2d(k, values, bins=[np.arange(bins[0] + 1), edges], weights=weight)[0]
            total = total + found
    return total


def test_templates_of_every_channel_are_those_of_its_events(done, folder):
    learned = ct.Categorizer.load(done.folder / "categorizer.json")
    given = ct.Categorizer.load(folder / "given.json")
    k = learned.n_categories
    wide = [-1e9, 50.0, 100.0, 1e9]  # what lies beyond is in the outer bins
    for name, held_out in (("templates.root", True), ("templates_all_events.root", False)):
        with uproot.open(done.folder / name) as file:
            for process in BACKGROUNDS:
                found = {
                    channel: file[f"{channel}/{process}"].values()
                    for channel in ("SR", "boosted", "top", "wjets")
                }
                np.testing.assert_allclose(
                    found["SR"], expected(folder, process, 0, held_out, (k,), learned, wide), rtol=1e-9
                )
                np.testing.assert_allclose(
                    found["boosted"], expected(folder, process, 1, held_out, (k,), learned), rtol=1e-9
                )
                np.testing.assert_allclose(found["top"], expected(folder, process, 2, False, (1,)), rtol=1e-9)
                np.testing.assert_allclose(
                    found["wjets"],
                    expected(folder, process, 3, False, (4,), given, [50, 100, 150]),
                    rtol=1e-9,
                )


def test_variations_are_there_by_weight_and_by_features(done):
    with uproot.open(done.folder / "templates_all_events.root") as file:
        nominal, up, down = (file[f"top/bkg{v}"].values() for v in ("", "_puUp", "_puDown"))
        np.testing.assert_allclose(up, 1.02 * nominal)
        np.testing.assert_allclose(down, nominal / 1.02)
        moved = file["boosted/sig_jesUp"].values() - file["boosted/sig"].values()
        assert moved.sum() == pytest.approx(0, abs=1e-9)
        assert np.abs(moved).max() > 1  # between the categories
        mirrored = 2 * file["boosted/sig"].values() - file["boosted/sig_jesUp"].values()
        np.testing.assert_allclose(file["boosted/sig_jesDown"].values(), mirrored)
    kinds = {(f.kind, f.channel, f.process) for f in done.findings[3]}
    assert ("missing side", "boosted", None) in kinds
    assert ("no effect", "top", "bkg") in kinds  # a single bin sees nothing of a moved score


def test_the_summary_says_what_the_fit_gets(done):
    summary = json.loads((done.folder / "summary.json").read_text())
    (result,) = summary["results"]
    channels = result["channels"]
    assert {name: c["events"] for name, c in channels.items()} == {
        "SR": "held-out",
        "boosted": "held-out",
        "top": "all",
        "wjets": "all",
    }
    assert channels["SR"]["observable"] == {"name": "mass", "edges": EDGES}
    assert [*channels["SR"]["yields"]] == ["sig", "bkg", "other", "data_obs"]
    assert len(channels["wjets"]["yields"]["bkg"]) == 4
    assert result["findings"] == json.loads(json.dumps([f.as_dict() for f in done.findings[3]]))
    rows = {(r["scheme"], r["events"]): r for r in result["significances"]}
    binned, whole = rows["learned, mass", "held-out"], rows["learned", "held-out"]
    assert binned["n_categories"] == 3 * whole["n_categories"]
    assert binned["combined"] >= 0.99 * whole["combined"]
    (beyond,) = (f for f in done.findings[3] if (f.kind, f.channel) == ("beyond the edges", "wjets"))
    assert "is left out" in beyond.message


def test_the_workspace_and_the_card_have_all_channels(done):
    workspace = pyhf.Workspace(json.loads((done.folder / "workspace.json").read_text()))
    assert sorted(workspace.channels) == ["SR", "boosted", "top", "wjets"]
    assert workspace.channel_nbins["SR"] == 9
    with uproot.open(done.folder / "templates.root") as file:
        for channel in workspace.channels:
            observed = file[f"{channel}/data_obs"].values().ravel().tolist()
            assert workspace.observations[channel] == observed
    assert "imax 4" in (done.folder / "datacard.txt").read_text()


def test_every_channel_is_drawn(folder, content, tmp_path, monkeypatch):
    """The training channel as ever, the others beside it; a single bin in those of its observable."""
    config = parse_config(content())
    stacks = {f"stack_{name}.{kind}" for name in ("boosted", "top", "wjets") for kind in ("png", "pdf")}
    assert {name for name in planned_files(config) if name.startswith("stack_")} == stacks
    drawn: dict[str, list[str]] = {}
    monkeypatch.setattr(
        "cortado.figures.write_stacks",
        lambda _, channels, signals: drawn.update({t.channel: [*signals] for t in channels}),
    )
    run(content(), folder, tmp_path / "out")
    assert drawn == {name: ["sig"] for name in ("boosted", "top", "wjets")}


def test_only_the_channel_of_the_training_is_in_the_sample(done, folder):
    sample = ct.Sample.load(done.folder / "stages" / "sample.npz")
    assert {s.channel for s in sample.cells.sources} == {"SR"}
    assert sample.points().count.sum() == sum(
        np.count_nonzero(columns_of(folder, n)["region"] == 0) for p in BACKGROUNDS.values() for n in p
    )


def test_without_data_in_the_signal_region_the_fit_has_asimov_data(folder, content, tmp_path):
    made = content(processor={"class": "mine.py:Mine", "options": {"blind": True, "shift": False}})
    result = run(made, folder, tmp_path / "out")
    assert any("no collision data in SR, so that the fit inputs have Asimov data" in n for n in result.notes)
    with uproot.open(tmp_path / "out" / "templates.root") as file:
        assert "data_obs" not in file["SR"]
        assert file["top/data_obs"].values().sum() > 0
    workspace = json.loads((tmp_path / "out" / "workspace.json").read_text())
    (top,) = (o["data"] for o in workspace["observations"] if o["name"] == "top")
    assert top != np.round(top).tolist()


def test_the_trained_channel_may_have_any_name(folder, content, tmp_path):
    channels = {"top": {"categorizer": "single_bin"}, "boosted": {}}
    made = content(channels=channels, processor={"class": "mine.py:Mine", "options": {"only": "top boosted"}})
    result = run(made, folder, tmp_path / "out")
    sample = ct.Sample.load(result.folder / "stages" / "sample.npz")
    assert {s.channel for s in sample.cells.sources} == {"boosted"}
    assert parse_config(made).training_channel == "boosted"


def test_a_group_of_what_is_no_nuisance_is_refused_before_anything_is_written(folder, content, tmp_path):
    made = content(fit_model={"groups": {"experiment": ["pu", "jes"], "theory": ["scale"]}})
    with pytest.raises(ct.ConfigError, match=r"group 'theory' must be made of .*'pu'.*, got \['scale'\]"):
        run(made, folder, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.json", "stages"}


@pytest.mark.parametrize("maximise", ["profiled_significance", "precision"])
def test_a_job_may_be_for_a_fit_with_nuisance_parameters(folder, content, tmp_path, maximise):
    result = run(content(maximise=maximise, nuisances=["jes", "pu"]), folder, tmp_path / "out")
    (found,) = json.loads((tmp_path / "out" / "summary.json").read_text())["results"]
    assert found["objective_on_cells"] == pytest.approx(found["objective_on_events"], rel=0.02)
    known = {(row.scheme, row.events): row.combined for row in result.rows[3]}
    assert found["objective_on_events"] == pytest.approx(known["learned", "training"], rel=1e-6)
    assert result.limit is None
    kind = "precision" if maximise == "precision" else "significance"
    (told,) = (note for note in result.notes if f"All events would give a {kind} that differs by" in note)
    assert "also as more simulated events are less uncertain; their templates" in told


def test_a_variation_named_as_a_strength_is_refused_before_anything_is_written(folder, content, tmp_path):
    made = content(processor={"class": "mine.py:Mine", "options": {"shift": "mu_sig"}})
    with pytest.raises(ct.ConfigError, match="a nuisance parameter must not be named 'mu_sig'"):
        run(made, folder, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"run.json", "stages"}


def test_other_fits_and_observables_cost_no_training(folder, content, tmp_path, monkeypatch):
    out = tmp_path / "out"
    wrong = {"fit_model": {"rate_uncertainties": {"pu": {"bkg": 1.02}}}}
    with pytest.raises(ct.ConfigError, match=r"rate_uncertainties.pu must not name 'bkg'"):
        run(content(**wrong), folder, out)
    assert not (out / "workspace.json").exists()
    monkeypatch.setattr("cortado.workflow.run_processor", None)  # no pass through the events
    monkeypatch.setattr("cortado.training.fit", None)
    for nuisance in ("lumi", "luminosity"):
        mended = {"fit_model": {"rate_uncertainties": {nuisance: 1.02}}, "merge": {}}
        run(content(**mended), folder, out)
        workspace = pyhf.Workspace(json.loads((out / "workspace.json").read_text()))
        assert (nuisance, "normsys") in workspace.modifiers
        assert {"top", "zz"} <= {*workspace.samples}
    kept = (out / "categorizer.json").read_bytes()
    with pytest.raises(ct.OutputError, match="another configuration"):
        run(content(**mended, categories=4), folder, out)
    channels = content()["channels"]
    with pytest.raises(ct.OutputError, match="another configuration"):
        run(content(**mended, channels=channels | {"SR": {"categorizer": "single_bin"}}), folder, out)
    monkeypatch.undo()
    monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
    monkeypatch.setattr("cortado.figures.write_stacks", lambda *_: [])
    monkeypatch.setattr("cortado.training.fit", None)
    run(content(**mended, channels=channels | {"SR": {}}), folder, out)
    workspace = pyhf.Workspace(json.loads((out / "workspace.json").read_text()))
    assert workspace.channel_nbins["SR"] == 3  # the categories alone
    assert (out / "categorizer.json").read_bytes() == kept


def test_sides_of_rates_are_among_the_findings(folder, content, tmp_path):
    rates = {"xs": {"bkg": [1.1, 0.9]}}
    result = run(content(fit_model={"rate_uncertainties": rates}), folder, tmp_path / "out")
    assert "swapped rate" in {f.kind for f in result.findings[3]}
    assert any("xs moves the rate of bkg the other way" in note for note in result.notes)


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        (None, None),
        (Training(n_folds=2, folds=(0,)), None),
        (Training(n_folds=4, folds=(0, 2)), "was trained on some of 4 folds, and this job has 2"),
        (Training(n_folds=2, folds=(0, 1)), "was trained on every fold"),
    ],
)
def test_a_categorizer_that_may_know_the_events_of_the_fit_is_noted(folder, content, training, reason):
    given = ct.Categorizer.load(folder / "given.json").model_copy(update={"training": training})
    told = [*of_given_categorizers(Channels(parse_config(content()), {"wjets": given}))]
    assert len(told) == (reason is not None)
    assert all(f"hold all events of wjets, whose categorizer {reason}: if" in note for note in told)


ONLY_SR = {"class": "mine.py:Mine", "options": {"only": "SR"}}
ERRORS = {
    "a channel that is not declared": (
        {"channels": {"SR": {}, "boosted": {}, "top": {"categorizer": "single_bin"}}},
        r"channel 'wjets' is not declared; there are \['SR', 'boosted', 'top'\]",
    ),
    "no events to learn from": (
        {"channels": {"SR": {"categorizer": "single_bin"}, "boosted": {}}, "processor": ONLY_SR},
        r"no event with all features was selected in channel 'boosted'",
    ),
    "a channel without events": (
        {"processor": {"class": "mine.py:Mine", "options": {"only": "SR boosted top", "shift": False}}},
        r"handed over no event of channel 'wjets'",
    ),
    "an observable that is no branch": (
        {"channels": {"SR": {"observable": {"name": "m_jj", "edges": [0, 1]}}}},
        r"branch 'm_jj' is not in tree",
    ),
    "a categorizer of other features": (
        {"channels": {"SR": {}, "CR": {"categorizer": "other.json"}}},
        r"branch 'other' is not in tree",
    ),
    "a categorizer that is not there": (
        {"channels": {"SR": {}, "CR": {"categorizer": "nothing.json"}}},
        r"cannot read the categorizer .*nothing\.json",
    ),
}


@pytest.mark.parametrize(("changes", "message"), ERRORS.values(), ids=ERRORS)
def test_what_does_not_fit_is_refused(folder, content, tmp_path, changes, message):
    other = ct.Features.declare(["other"], "logit")
    equidistant(other, 2, {"other": (0.0, 1.0)}).save(folder / "other.json")
    with pytest.raises(ct.InputError, match=message):
        run(content(**changes), folder, tmp_path / "out")


def test_another_file_for_a_control_region_is_another_job(folder, content):
    before = prepare(parse_config(content()), folder).description
    text = (folder / "given.json").read_text()
    (folder / "given.json").write_text(text + "\n")
    assert prepare(parse_config(content()), folder).description != before
    (folder / "given.json").write_text(text)


@pytest.mark.parametrize(
    ("training", "n_folds", "folds"),
    [
        (None, 2, None),
        (Training(n_folds=2, folds=(0,)), 2, (1,)),
        (Training(n_folds=4, folds=(0, 2)), 4, (1, 3)),
        (Training(n_folds=4, folds=(0, 2)), 2, None),
        (Training(n_folds=1, folds=(0,)), 1, None),
    ],
)
def test_folds_that_a_categorizer_was_not_trained_on(training, n_folds, folds):
    features = ct.Features.declare(["score"], "logit")
    categorizer = equidistant(features, 2, {"score": (0.0, 1.0)}).model_copy(update={"training": training})
    assert untrained_folds(categorizer, n_folds) == folds
    assert untrained_folds(None, n_folds) is None
