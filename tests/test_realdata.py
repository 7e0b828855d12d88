"""The example with CMS Open Data, H→ττ: real events from observables to templates, here and on a cluster."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import uproot

from cortado import Categorizer
from cortado.classifiers import GradientBoostedDecisionTree, LabelledEvents
from cortado.columnar import open_executor
from cortado.config import load_config
from cortado.workflow import prepare, run_job

EXAMPLE = Path(__file__).parents[1] / "examples" / "htautau"
FILES = {"ggH": "GluGluToHToTauTauSkim", "qqH": "VBF_HToTauTauSkim", "TT": "TTbarSkim"}
WITH_QCD = {"Run2012B_TauPlusX": 0.8, "Run2012C_TauPlusX": 0.8, "DYJetsToLL": -0.8, "TTbar": -0.8} | {
    f"W{n}JetsToLNu": -0.8 for n in (1, 2, 3)
}

pytestmark = [pytest.mark.realdata, pytest.mark.cluster]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The program of the example."""
    spec = importlib.util.spec_from_file_location("htautau_example", EXAMPLE / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def events(example, htautau) -> LabelledEvents:
    return example.labelled_events(load_config(EXAMPLE / "config.yaml"), htautau)


@pytest.fixture(scope="module")
def classifiers(example, events, tmp_path_factory):
    """Trees of a few rounds for each fold: their folder, and the scores of all events."""

    def train(parts):
        names = {"classes": events.classes, "observables": events.observables}
        model = GradientBoostedDecisionTree(len(events.observables), 3, n_rounds=3, max_leaf_nodes=4, **names)
        model.compile()
        return model, example.fitted(model, parts)

    folder = tmp_path_factory.mktemp("htautau") / "classifiers"
    return folder, example.out_of_fold(events, train, folder)[0]


@pytest.fixture(scope="module")
def done(example, tmp_path_factory, htautau, classifiers):
    """The job done twice: in this process, and by two workers in small chunks."""
    config = example.with_classifiers(load_config(EXAMPLE / "config.yaml"), classifiers[0])
    quick = config.model_copy(update={"fit": config.fit.model_copy(update={"steps": 60, "starts": 1})})
    results = {}
    for name, chunk_size, workers in (("here", 200_000, None), ("cluster", 1000, 2)):
        folder = tmp_path_factory.mktemp("htautau") / name
        with open_executor(workers=workers, progress=False) as executor:
            job = prepare(quick, EXAMPLE, htautau)
            results[name] = run_job(job, folder, executor, chunk_size=chunk_size)
    return results


def selected(htautau, name, sign):
    """Weights of the events of a file that are selected, with pairs of one sign of their charges."""
    events = uproot.open(htautau / f"{name}.root")["Events"].arrays(library="np")
    keep = (sign * events["q_1"] * events["q_2"] > 0) & (events["mt_1"] < 30) & (events["iso_1"] < 0.1)
    return events["weight"].astype(np.float64)[keep]


def test_every_selected_event_is_counted(done, htautau):
    with uproot.open(done["here"].folder / "templates_all_events.root") as file:
        for process, name in FILES.items():
            expected = selected(htautau, name, -1).sum()
            assert file[f"SR/{process}"].values().sum() == pytest.approx(expected, rel=1e-9)
        same_sign = sum(factor * selected(htautau, f"{n}Skim", 1).sum() for n, factor in WITH_QCD.items())
        assert file["SR/QCD"].values().sum() == pytest.approx(same_sign, rel=1e-9)
        observed = file["SR/data_obs"].values()
    assert np.array_equal(observed, np.round(observed))
    assert observed.sum() == 7527
    assert not any(done["here"].uncategorised.values())


def test_scores_of_the_job_are_of_classifiers_that_have_not_seen_the_event(done, events, classifiers):
    """The yields of each category, from the scores that were made when the classifiers were trained."""
    config = load_config(EXAMPLE / "config.yaml")
    categorizer = done["here"].folder / "categorizer.json"
    category = Categorizer.load(categorizer)(classifiers[1])
    with uproot.open(done["here"].folder / "templates.root") as file:
        held_out = np.isin(events.fold, config.fit.held_out_folds)
        for process in ("ggH", "DY", "QCD"):
            here = held_out & (events.process == process)
            expected = 2 * np.bincount(category[here], events.weight[here], 6)
            found = file[f"SR/{process}"].values()
            # Single-precision scores of trees may fall on either side of a boundary.
            assert np.abs(found - expected).sum() < 0.005 * np.abs(expected).sum()


def test_a_cluster_gives_the_same_templates(done):
    files = {name: uproot.open(result.folder / "templates.root") for name, result in done.items()}
    assert files["here"].keys() == files["cluster"].keys()
    for name in files["here"].keys(filter_classname="TH1*"):
        here, cluster = files["here"][name], files["cluster"][name]
        total = np.abs(here.values()).sum()
        np.testing.assert_allclose(cluster.values(), here.values(), rtol=0, atol=1e-9 * total)
        np.testing.assert_allclose(cluster.variances(), here.variances(), rtol=1e-9)


def test_the_floors_are_met_on_training_events(done):
    (row,) = [r for r in done["here"].rows[6] if (r.scheme, r.events) == ("learned", "training")]
    # Floors hold for cells, each whole in one category; at the boundaries events differ from their cell.
    assert row.min_background >= 0.9 * 10
    assert row.min_effective_events >= 0.9 * 25


def test_cuts_make_three_categories(example, events, tmp_path):
    rows = example.cut_and_count(events, load_config(EXAMPLE / "config.yaml"), tmp_path)
    assert [(row.events, row.n_categories) for row in rows] == [("training", 3), ("held-out", 3)]
    assert all(np.isfinite(row.combined) for row in rows)
    assert "mjj ≥" in (tmp_path / "qqH.txt").read_text(encoding="utf-8")
