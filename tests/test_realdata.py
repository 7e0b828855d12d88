"""The example with CMS Open Data, H→ττ: real events through the whole job, here and on a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import uproot

from cortado.columnar import open_executor
from cortado.config import load_config
from cortado.workflow import prepare, run_job

EXAMPLE = Path(__file__).parents[1] / "examples" / "htautau"

pytestmark = [pytest.mark.realdata, pytest.mark.cluster]


@pytest.fixture(scope="module")
def done(tmp_path_factory, htautau):
    """The job done twice: in this process, and by two workers in small chunks."""
    config = load_config(EXAMPLE / "config.yaml")
    quick = config.model_copy(update={"fit": config.fit.model_copy(update={"steps": 60, "starts": 1})})
    results = {}
    for name, chunk_size, workers in (("here", 200_000, None), ("cluster", 1000, 2)):
        folder = tmp_path_factory.mktemp("htautau") / name
        with open_executor(workers=workers, progress=False) as executor:
            job = prepare(quick, EXAMPLE, htautau)
            results[name] = run_job(job, folder, executor, chunk_size=chunk_size)
    return results


def test_every_selected_event_is_counted(done, htautau):
    result = done["here"]
    expected = {"ggH": "GluGluToHToTauTauSkim", "qqH": "VBF_HToTauTauSkim", "TT": "TTbarSkim"}
    with uproot.open(result.folder / "templates_all_events.root") as file:
        for process, name in expected.items():
            events = uproot.open(htautau / f"{name}.root")["Events"].arrays(library="np")
            selected = (events["q_1"] * events["q_2"] < 0) & (events["mt_1"] < 30) & (events["iso_1"] < 0.1)
            weight = events["weight"].astype(np.float64)
            in_category = selected & (events["jpt_1"] != -999)
            assert file[f"SR/{process}"].values().sum() == pytest.approx(weight[in_category].sum(), rel=1e-9)
            without = weight[selected & ~in_category].sum()
            assert result.uncategorised[process] == pytest.approx(without, rel=1e-9)
        observed = file["SR/data_obs"].values()
    assert np.array_equal(observed, np.round(observed))
    assert observed.sum() + result.uncategorised["data_obs"] == 7527


def test_a_cluster_gives_the_same_templates(done):
    files = {name: uproot.open(result.folder / "templates.root") for name, result in done.items()}
    assert files["here"].keys() == files["cluster"].keys()
    for name in files["here"].keys(filter_classname="TH1*"):
        here, cluster = files["here"][name], files["cluster"][name]
        total = here.values().sum()
        np.testing.assert_allclose(cluster.values(), here.values(), rtol=0, atol=1e-9 * total)
        np.testing.assert_allclose(cluster.variances(), here.variances(), rtol=1e-9)


def test_the_floors_are_met_on_training_events(done):
    (row,) = [r for r in done["here"].rows[6] if (r.scheme, r.events) == ("learned", "training")]
    # Floors hold for cells, each whole in one category; at the boundaries events differ from their cell.
    assert row.min_background >= 0.9 * 10
    assert row.min_effective_events >= 0.9 * 25
