"""Jobs with processors as analysts write them: variations, helpers in files of their own, empty datasets."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest
import uproot

import cortado as ct
from cortado import toys
from cortado.columnar import open_executor
from cortado.config import parse_config
from cortado.jobfolder import JobFolder
from cortado.workflow import prepare, run_job

PROCESSOR = """
    import numpy as np
    from coffea.processor import ProcessorABC
    from cuts import passes

    class Mine(ProcessorABC):
        def __init__(self, sink, varied=False, data_weight=1.0):
            self.sink, self.varied, self.data_weight = sink, varied, data_weight

        def process(self, events):
            name = events.metadata["dataset"]
            kept = events[passes(events, name)]
            if not events.metadata["is_mc"]:
                weight = np.full(len(kept), self.data_weight)
                return self.sink.fill(name, kept, weight, event_id=kept.event)
            part = self.sink.fill(name, kept, kept.weight, event_id=kept.event)
            if self.varied:
                part = part + self.sink.fill(
                    name, kept, 1.1 * kept.weight, event_id=kept.event, variation="xsecUp"
                )
            return part

        def postprocess(self, accumulator):
            return accumulator
"""
CUTS = """
    def passes(events, name):
        return (events.p_background < 2) & (name != "nothing")
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a processor and a helper that it imports."""
    (tmp_path / "mine.py").write_text(textwrap.dedent(PROCESSOR))
    (tmp_path / "cuts.py").write_text(textwrap.dedent(CUTS))
    return tmp_path


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])


def job_of(content, folder, toy_folder, **options):
    content["processor"] = {"class": "mine.py:Mine", "options": options}
    return prepare(parse_config(content), folder, toy_folder)


def do(job, out, **where):
    with open_executor(progress=False, **where) as executor:
        return run_job(job, out, executor)


def test_variations_are_in_the_templates_and_in_the_fit_inputs(folder, toy_folder, toy_config):
    chosen = {
        "layout": "channels",
        "rate_uncertainties": {"lumi": 1.016},
        "groups": {"all": ["lumi", "xsec"]},
    }
    result = do(job_of(toy_config(fit_model=chosen), folder, toy_folder, varied=True), folder / "out")
    with uproot.open(folder / "out" / "templates.root") as file:
        nominal, varied = (file[f"SR/{name}"].values() for name in ("bkg1", "bkg1_xsecUp"))
    np.testing.assert_allclose(varied, 1.1 * nominal)
    workspace = json.loads((folder / "out" / "workspace.json").read_text())
    assert [channel["name"] for channel in workspace["channels"]] == ["SR_0", "SR_1", "SR_2"]
    modifiers = [m for c in workspace["channels"] for s in c["samples"] for m in s["modifiers"]]
    assert {m["type"] for m in modifiers} == {"normfactor", "normsys", "staterror"}
    factors = [m["data"] for m in modifiers if m["name"] == "xsec"]
    assert len(factors) == sum(len(channel["samples"]) for channel in workspace["channels"])
    np.testing.assert_allclose([[f["hi"], f["lo"]] for f in factors], [[1.1, 0.9]] * len(factors))
    card = (folder / "out" / "datacard.txt").read_text().split("\n")
    lines = [line.split() for line in card if line.startswith(("lumi ", "xsec ", "all "))]
    assert [line[1] for line in lines] == ["lnN", "shape", "group"]
    assert any("xsecDown was not filled for bkg1, bkg2" in note for note in result.notes)


def test_a_dataset_may_be_empty_if_its_process_is_not(folder, toy_folder, toy_config):
    content = toy_config()
    content["datasets"]["nothing"] = {"files": [str(toy_folder / "collisions.root")], "process": "bkg5"}
    # The file has no weights, and none are needed: nothing of it is selected.
    weights = "kept.weight if 'weight' in kept.fields else np.ones(len(kept))"
    with_or_without = PROCESSOR.replace("kept, kept.weight,", f"kept, {weights},")
    (folder / "mine.py").write_text(textwrap.dedent(with_or_without))
    result = do(job_of(content, folder, toy_folder), folder / "out")
    assert set(result.uncategorised) == set(toys.PROCESSES)
    content["datasets"]["nothing"]["process"] = "alone"
    with pytest.raises(ct.InputError, match="no event with all features was selected in: 'alone'"):
        do(job_of(content, folder, toy_folder), folder / "other")


def test_collision_data_with_weights_are_refused(folder, toy_folder, toy_config):
    content = toy_config()
    content["datasets"]["Run1"] = {"files": ["collisions.root"], "is_data": True}
    with pytest.raises(ct.InputError, match="collision data must have the weight 1"):
        do(job_of(content, folder, toy_folder, data_weight=0.5), folder / "out")


@pytest.mark.cluster
def test_a_helper_beside_the_processor_travels_to_the_workers(folder, toy_folder, toy_config):
    result = do(job_of(toy_config(), folder, toy_folder), folder / "out", workers=2)
    assert result.n_learned[3] >= 2


def test_a_change_of_the_helper_is_another_job(folder, toy_folder, toy_config, monkeypatch):
    before = job_of(toy_config(), folder, toy_folder).description["processor"]
    (folder / "cuts.py").write_text(textwrap.dedent(CUTS) + "\nthreshold = 3\n")
    assert job_of(toy_config(), folder, toy_folder).description["processor"] != before
    monkeypatch.chdir(folder)
    assert job_of(toy_config(), folder, toy_folder).description["processor"] != before


def test_a_run_that_finished_no_stage_gives_way(tmp_path):
    JobFolder.claim(tmp_path / "out", {"features": ["typo"]})
    JobFolder.claim(tmp_path / "out", {"features": ["right"]})
    assert json.loads((tmp_path / "out" / "run.json").read_text())["job"] == {"features": ["right"]}


@pytest.mark.parametrize("score", [-0.1, 1.1, -999.0])
@pytest.mark.parametrize("kind", ["logit", "logratio"])
def test_scores_outside_of_their_range_are_refused(kind, score):
    x = np.full((10, 2), 0.5)
    x[3, 0] = score
    with pytest.raises(ct.InputError, match=r"scores outside of \[0, 1\].*1 of 'a' in 'signal'"):
        ct.Sample.from_arrays({"signal": (x, np.ones(10))}, kind, names=["a", "b"])
