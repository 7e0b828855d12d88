"""Scores on workers: pickled graphs, folds, and whole jobs on ROOT files with a processor that scores."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

from cortado.classifiers import CutAndCount, GradientBoostedDecisionTree, export_onnx
from cortado.cli import app
from cortado.columnar import (
    Collector,
    Dataset,
    FoldedScorer,
    Scorer,
    open_executor,
    run_processor,
    take_inventory,
)
from cortado.columnar.loading import load_processor
from cortado.config import parse_config
from cortado.errors import ConfigError, InputError
from cortado.folds import assign_folds
from cortado.workflow import prepare

PROCESSOR = Path(__file__).parents[1] / "processors" / "scored.py"
CLASSES = ("signal", "background")
OBSERVABLES = ("pt", "mass")
N = 4000


def columns(process, n=N, seed=0):
    """Flat events of one process, as they are in a ROOT file."""
    random = np.random.default_rng([seed, process == "signal"])
    shift = 1.5 if process == "signal" else 0.0
    return {
        "pt": (random.exponential(30, n) * (1 + shift)).astype(np.float32),
        "mass": random.normal(90 + 20 * shift, 15, n).astype(np.float32),
        "angle": random.uniform(0, 1, n).astype(np.float32),  # which tells nothing
        "weight": np.full(n, 0.01 if process == "signal" else 1.0),
        "event": np.arange(n, dtype=np.uint64) + 10**6 * (process == "signal"),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ROOT files, and trees for two folds, each trained without the fold of its number."""
    folder = tmp_path_factory.mktemp("scored")
    tables = {process: columns(process) for process in CLASSES}
    for process, table in tables.items():
        with uproot.recreate(folder / f"{process}.root") as file:
            file.mktree("Events", {k: v.dtype for k, v in table.items()}).extend(table)
    x = np.concatenate([np.stack([t[o] for o in OBSERVABLES], axis=1) for t in tables.values()])
    y = np.repeat([0, 1], N)
    fold = assign_folds(np.concatenate([t["event"] for t in tables.values()]), 2)
    for k in range(2):
        model = GradientBoostedDecisionTree(2, n_rounds=5, classes=CLASSES, observables=OBSERVABLES)
        model.compile()
        model.fit(x[fold != k], y[fold != k], verbose=0)
        export_onnx(model, folder / f"fold{k}.onnx")
        model.save(folder / f"fold{k}.skops")
    return folder


@pytest.fixture(scope="module")
def scorers(folder):
    return FoldedScorer.load([folder / f"fold{k}.onnx" for k in range(2)])


def test_events_by_name_or_in_order(folder):
    scorer = pickle.loads(pickle.dumps(Scorer.load(folder / "fold0.onnx")))
    table = columns("signal", 50)
    x = np.stack([table[o] for o in OBSERVABLES], axis=1)
    expected = scorer(x)
    np.testing.assert_array_equal(scorer(table), expected)
    np.testing.assert_array_equal(scorer(ak.Array(table)), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(scorer))(x), expected)  # with a session open
    assert scorer.names == ("score_signal", "score_background")
    assert scorer(x[:0]).shape == (0, 2)
    np.testing.assert_allclose(expected.sum(axis=1), 1, atol=1e-6)


def test_every_event_is_scored_by_the_classifier_that_did_not_see_it(folder, scorers):
    table = columns("background", 500, seed=1)
    scores = scorers(table, table["event"])
    fold = assign_folds(table["event"], 2)
    for k in range(2):
        own = Scorer.load(folder / f"fold{k}.onnx")(table)
        np.testing.assert_array_equal(scores[fold == k], own[fold == k])
        assert (scores[fold != k] != own[fold != k]).any()
    order = np.random.default_rng(1).permutation(500)
    shuffled = {name: values[order] for name, values in table.items()}
    np.testing.assert_array_equal(scorers(shuffled, shuffled["event"]), scores[order])


def test_many_events_are_scored_in_parts(folder, monkeypatch):
    table = columns("background", 50)
    scorer = Scorer.load(folder / "fold0.onnx")
    whole = scorer(table)
    monkeypatch.setattr("cortado.columnar.scoring._MANY", 14)
    np.testing.assert_array_equal(scorer(table), whole)


def test_one_classifier_needs_no_folds(folder):
    table = columns("signal", 50)
    single = FoldedScorer.load([folder / "fold1.onnx"])
    np.testing.assert_array_equal(single(table, table["event"]), Scorer.load(folder / "fold1.onnx")(table))


def test_bad_observables(folder):
    scorer = Scorer.load(folder / "fold0.onnx")
    with pytest.raises(InputError, match=r"shape \(n, 2\), got \(3, 5\)"):
        scorer(np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"features \['mass'\] are not there"):
        scorer({"pt": [1.0]})
    with pytest.raises(InputError, match=r"1 values of \['mass'\] are not finite"):
        scorer({"pt": [1.0], "mass": [np.inf]})
    assert np.isfinite(scorer({"pt": [1.0], "mass": [np.nan]})).all()  # which trees know


def test_missing_values_are_refused_where_the_classifier_knows_none(tmp_path):
    model = CutAndCount(2)
    model.compile()
    model.fit(np.random.default_rng(1).normal(size=(50, 2)), np.arange(50) % 2)
    scorer = Scorer.load(export_onnx(model, tmp_path / "cuts.onnx"))
    with pytest.raises(InputError, match=r"1 values of \['x1'\] are not finite"):
        scorer([[0.0, np.nan]])


def test_files_that_hold_no_classifier(folder, tmp_path):
    import onnx

    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match="is no valid ONNX graph"):
        Scorer.load(tmp_path / "text.onnx")
    with pytest.raises(InputError, match="cannot read the classifier"):
        Scorer.load(tmp_path / "absent.onnx")
    with pytest.raises(InputError, match="is no valid ONNX graph"):
        Scorer.load(folder / "fold0.skops")
    graph = onnx.load(folder / "fold0.onnx")
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "other.onnx")
    with pytest.raises(InputError, match="no classifier that cortado exported"):
        Scorer.load(tmp_path / "other.onnx")


def test_folds_of_different_classifiers(folder, tmp_path, scorers):
    model = CutAndCount(2)
    model.compile()
    model.fit(np.random.default_rng(1).normal(size=(50, 2)), np.arange(50) % 2)
    other = export_onnx(model, tmp_path / "cuts.onnx")
    with pytest.raises(ConfigError, match="the classifiers of all folds must have the same"):
        FoldedScorer.load([folder / "fold0.onnx", other])
    with pytest.raises(ConfigError, match="one classifier for each fold, got none"):
        FoldedScorer.load([])
    with pytest.raises(ConfigError, match="paths must be a list"):
        FoldedScorer.load("fold0.onnx")
    with pytest.raises(InputError, match="event_id is needed"):
        scorers(columns("signal", 5), None)


# --- jobs ---------------------------------------------------------------------------------------------------


def configuration(folder, **changes):
    return {
        "processor": {
            "class": str(PROCESSOR) + ":Scored",
            "options": {"models": [str(folder / f"fold{k}.onnx") for k in range(2)], "event_id": "event"},
        },
        "datasets": {p: {"files": [str(folder / f"{p}.root")], "process": p} for p in CLASSES},
        "features": [{"name": f"score_{name}"} for name in CLASSES],
        "coordinates": [{"kind": "logratio", "features": [f"score_{name}" for name in CLASSES]}],
        "channels": {"SR": {"observable": {"name": "angle", "edges": [0, 0.5, 1]}}},
        "signals": ["signal"],
        "categories": 2,
        "constraints": {"min_background": 20},
        "fit": {"steps": 10, "starts": 1},
    } | changes


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])


def yields_of(folder, out):
    """What the command line makes of a configuration."""
    config = out.parent / "config.yaml"
    config.write_text(yaml.safe_dump(configuration(folder)))
    done = CliRunner().invoke(app, ["run", str(config), "--output", str(out), "--chunk-size", "1500"])
    assert done.exit_code == 0, done.output
    with uproot.open(out / "templates.root") as file:
        return {key: file[key].values() for key in file.keys(recursive=True, filter_classname="TH*")}


@pytest.fixture(scope="module")
def here(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cortado.figures.write_figures", lambda *_: [])
        return yields_of(folder, tmp_path_factory.mktemp("job") / "out")


def test_a_job_on_scores(here):
    """All events get a score and a category; templates are those of the held-out fold, at full luminosity."""
    for process, weight in (("signal", 0.01), ("background", 1.0)):
        held_out = assign_folds(columns(process)["event"], 2) == 1
        assert here[f"SR/{process};1"].sum() == pytest.approx(2 * weight * held_out.sum())


@pytest.mark.cluster
def test_workers_score_alike_without_the_libraries_that_train(folder, assert_same_sums):
    loaded, _ = load_processor(f"{PROCESSOR}:Scored", folder)
    collector = Collector([f"score_{name}" for name in CLASSES], "logratio")
    processor = loaded(collector, [folder / f"fold{k}.onnx" for k in range(2)], event_id="event")
    samples = []
    for workers in (None, 1):
        with open_executor(workers=workers, progress=False) as executor:
            files = [Dataset(name, str(folder / f"{name}.root")) for name in CLASSES]
            chunks = take_inventory(files, executor, processor).chunks(1500)
            samples.append(run_processor(processor, chunks, executor))
            if workers:
                modules = executor.client.run(lambda: sorted(sys.modules))
    assert_same_sums(samples[0].cells, samples[1].cells)
    assert samples[0].cells.count.sum() == 2 * N
    for found in modules.values():
        assert "onnxruntime" in found
        assert not {"tensorflow", "keras", "sklearn", "skops", "onnx"} & set(found)


def test_other_classifiers_make_another_job(folder, tmp_path):
    def description():
        return prepare(parse_config(configuration(tmp_path)), tmp_path, folder).description

    for name in ("fold0.onnx", "fold1.onnx", "signal.root", "background.root"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    first = description()
    assert description() == first
    (tmp_path / "fold1.onnx").write_bytes((folder / "fold0.onnx").read_bytes())
    assert description() != first


SCORING = """
import numpy as np
from cortado.columnar import FoldedScorer
scorer = FoldedScorer.load({paths!r})
assert scorer(np.ones((3, 2)), np.arange(3)).shape == (3, 2)
import json, sys
print(json.dumps(sorted(sys.modules)))
"""


def test_scoring_imports_none_of_the_libraries_that_train(folder):
    code = SCORING.format(paths=[str(folder / f"fold{k}.onnx") for k in range(2)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "onnxruntime" in modules
    assert not modules & {"tensorflow", "keras", "sklearn", "skops", "onnx"}
