"""The main job from Python, on toy ntuples: what it writes, and how it goes on after an interrupt."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import textwrap
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyhf
import pytest
import uproot

import cortado as ct
from cortado import toys
from cortado.columnar import CategorySums, open_executor
from cortado.columnar.loading import load_processor
from cortado.config import parse_config
from cortado.exact import unbinned_limit
from cortado.folds import assign_folds
from cortado.report import limit_in_words
from cortado.workflow import Display, prepare, run_job

ALL_EVENTS = "templates_all_events.root"
OUTPUTS = {
    "categorizer.json",
    "templates.root",
    "workspace.json",
    "datacard.txt",
    "datacard.root",
    *(f"{name}.{kind}" for name in ("stack", "category_map") for kind in ("png", "pdf")),
}


def run(content, folder, base, *, display=None, chunk_size=200_000, force=False):
    """Do a job given as a dictionary; its configuration lies where the ntuples are."""
    job = prepare(parse_config(content), base)
    with open_executor(progress=False) as executor:
        return run_job(job, folder, executor, display=display, chunk_size=chunk_size, force=force)


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read(folder):
    return json.loads((folder / "summary.json").read_text())


def significance(s, b):
    """The Asimov significance of categories, from the formula."""
    return np.sqrt(np.sum(2 * ((s + b) * np.log1p(s / b) - s)[(s > 0) & (b > 0)]))


def by_hand(yields):
    """Significance of each signal over all other processes, and their geometric mean."""
    total = sum(yields.values())
    z = {name: significance(yields[name], total - yields[name]) for name in toys.SIGNALS}
    return z, np.sqrt(z["signal1"] * z["signal2"])


def row_of(result, scheme, events):
    (found,) = [r for r in result["significances"] if (r["scheme"], r["events"]) == (scheme, events)]
    return found


class Recorder(Display):
    """Notes stages begun and skipped, and stops like a Ctrl-C at the beginning of one of them."""

    def __init__(self, stop_at=None, stop_in_fit=None):
        self.stop_at, self.stop_in_fit = stop_at, stop_in_fit
        self.begun: list[str] = []
        self.skipped_stages: list[str] = []

    def stage(self, title):
        self.begun.append(title)
        if self.stop_at and title.startswith(self.stop_at):
            raise KeyboardInterrupt

    def skipped(self, title):
        self.skipped_stages.append(title)

    @contextlib.contextmanager
    def fitting(self, n_categories):
        def progress(done, total, best):
            assert 0 <= done <= total
            assert best is None or best > 0
            if n_categories == self.stop_in_fit:
                raise KeyboardInterrupt

        yield progress


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])


@pytest.fixture(scope="module")
def columns(toy_folder):
    """Per process, the branches of all its events."""
    return {
        process: uproot.concatenate(f"{toy_folder}/{process}_*.root:Events", library="np")
        for process in toys.PROCESSES
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory, toy_folder, toy_config):
    """A finished job with two numbers of categories and collision data."""
    folder = tmp_path_factory.mktemp("done") / "out"
    content = toy_config(categories=[3, 5])
    content["datasets"]["Run1"] = {"files": ["collisions.root"], "is_data": True}
    return run(content, folder, toy_folder)


class TestTheJob:
    def test_all_files_are_there_and_no_others(self, done):
        expected = {f"K{n}/{name}" for n in (3, 5) for name in (*OUTPUTS, ALL_EVENTS)}
        expected |= {"summary.json", "significance.png", "significance.pdf"}
        stages = {"sample.npz", "categorizer-3.json", "categorizer-5.json", "sums.npz"}
        assert files_in(done.folder) == expected | {f"stages/{name}" for name in stages} | {"run.json"}
        assert all((done.folder / name).stat().st_size > 0 for name in expected)
        record = json.loads((done.folder / "run.json").read_text())
        assert record["finished"]
        assert set(record["files"]) == expected

    @pytest.mark.parametrize(("name", "events"), [("templates.root", "held-out"), (ALL_EVENTS, "all")])
    @pytest.mark.parametrize("n", [3, 5])
    def test_significances_are_those_of_the_templates(self, done, n, name, events):
        with uproot.open(done.folder / f"K{n}" / name) as file:
            yields = {process: file[f"SR/{process}"].values() for process in toys.PROCESSES}
        z, combined = by_hand(yields)
        (result,) = [r for r in read(done.folder)["results"] if r["asked_for"] == n]
        row = row_of(result, "learned", events)
        assert row["significances"] == pytest.approx(z, rel=1e-9)
        assert row["combined"] == pytest.approx(combined, rel=1e-9)
        background = sum(yields[name] for name in toys.BACKGROUNDS)
        assert row["min_background"] == pytest.approx(background.min(), rel=1e-9)
        assert row["n_categories"] == result["n_categories"] == len(background)
        channel = result["channels"]["SR"]
        assert (channel["events"], channel["observable"]) == ("held-out", None)
        assert [*channel["yields"]] == [*toys.PROCESSES, "data_obs"]  # signals first, data last
        for process, values in yields.items() if events == "held-out" else ():
            assert channel["yields"][process] == values.tolist()

    def test_the_difference_to_all_events_is_shown(self, done):
        for result in read(done.folder)["results"]:
            quoted, everything = (row_of(result, "learned", events) for events in ("held-out", "all"))
            difference = result["difference_to_all_events"]
            relative = everything["combined"] / quoted["combined"] - 1
            assert difference["combined"] == pytest.approx(relative)
            for signal, z in quoted["significances"].items():
                expected = everything["significances"][signal] / z - 1
                assert difference["significances"][signal] == pytest.approx(expected)
            (note,) = (note for note in done.notes if "not trained on" in note)
            assert f"{100 * relative:+.2g} % (K = {result['asked_for']})" in note

    @pytest.mark.parametrize(("events", "fold"), [("training", 0), ("held-out", 1)])
    def test_significances_on_folds_are_those_of_their_events(self, done, columns, events, fold):
        for result in read(done.folder)["results"]:
            categorizer = ct.Categorizer.load(done.folder / f"K{result['asked_for']}" / "categorizer.json")
            yields = {}
            for process, c in columns.items():
                chosen = assign_folds(c["event"], 2) == fold
                category = categorizer({name: c[name][chosen] for name in toys.SCORES})
                yields[process] = 2 * np.bincount(category, c["weight"][chosen], categorizer.n_categories)
            z, combined = by_hand(yields)
            row = row_of(result, "learned", events)
            assert row["significances"] == pytest.approx(z, rel=1e-9)
            assert row["combined"] == pytest.approx(combined, rel=1e-9)

    def test_the_limit_is_that_of_the_sample(self, done):
        sample = ct.Sample.load(done.folder / "stages" / "sample.npz")
        limit = unbinned_limit(sample, ct.Asimov(toys.SIGNALS))
        assert done.limit == limit
        summary = read(done.folder)
        assert summary["limit"]["lower"] == limit.lower
        assert len(summary["limit"]["sizes"]) == len(limit.sizes)
        for result in summary["results"]:
            for events in ("training", "held-out", "all"):
                significance = row_of(result, "learned", events)["combined"]
                assert result["of_limit"][events] == pytest.approx(limit.fraction(significance))
            assert result["one_more"] == asdict(done.one_more[result["asked_for"]])
        assert done.notes[0] == limit_in_words(limit)
        assert [note.split()[0] for note in done.notes[1:3]] == ["3", "5"]

    def test_baselines_are_those_of_the_events(self, done, columns):
        for result in read(done.folder)["results"]:
            n = result["asked_for"]
            edges = np.linspace(0, 1, n + 1)[1:-1]
            equidistant = {
                process: np.bincount(np.searchsorted(edges, c["p_background"], "right"), c["weight"], n)
                for process, c in columns.items()
            }
            z, _ = by_hand(equidistant)
            assert row_of(result, "equidistant", "all")["significances"] == pytest.approx(z, rel=1e-9)
            bins = -(-(n - 1) // 2)
            inner = np.linspace(1 / 3, 1, bins + 1)[1:-1]
            argmax = {}
            for process, c in columns.items():
                scores = np.column_stack([c[name] for name in toys.SCORES])
                winner = scores.argmax(axis=1)
                category = np.searchsorted(inner, scores.max(axis=1), "right") + bins * winner
                category[winner == 2] = 2 * bins
                argmax[process] = np.bincount(category, c["weight"], 2 * bins + 1)
            z, _ = by_hand(argmax)
            assert row_of(result, "argmax", "all")["significances"] == pytest.approx(z, rel=1e-9)

    @pytest.mark.parametrize("name", ["templates.root", ALL_EVENTS])
    def test_templates_are_those_of_the_events(self, done, columns, toy_folder, name):
        """The fit has the fold that was not trained on, at the full luminosity, and all collision data."""
        collisions = uproot.concatenate(f"{toy_folder}/collisions.root:Events", library="np")
        for n in (3, 5):
            categorizer = ct.Categorizer.load(done.folder / f"K{n}" / "categorizer.json")
            k = categorizer.n_categories
            with uproot.open(done.folder / f"K{n}" / name) as file:
                assert set(file["SR"].keys(cycle=False)) == {*toys.PROCESSES, "data_obs"}
                for process, c in columns.items():
                    held_out = assign_folds(c["event"], 2) == 1
                    weight = c["weight"] if name == ALL_EVENTS else np.where(held_out, 2 * c["weight"], 0.0)
                    category, histogram = categorizer(c), file[f"SR/{process}"]
                    np.testing.assert_allclose(
                        histogram.values(), np.bincount(category, weight, k), rtol=1e-9
                    )
                    np.testing.assert_allclose(
                        histogram.errors() ** 2, np.bincount(category, weight**2, k), rtol=1e-9
                    )
                observed = np.bincount(categorizer(collisions), minlength=k)
                np.testing.assert_array_equal(file["SR/data_obs"].values(), observed)
                assert observed.sum() == 1500

    def test_the_workspace_is_valid_and_fits(self, done):
        for n in (3, 5):
            workspace = pyhf.Workspace(json.loads((done.folder / f"K{n}" / "workspace.json").read_text()))
            model = workspace.model()
            data = workspace.data(model)
            with uproot.open(done.folder / f"K{n}" / "templates.root") as file:
                assert workspace.observations["SR"] == file["SR/data_obs"].values().tolist()
            best, twice_nll = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
            start = np.asarray(model.config.suggested_init())
            assert np.all(np.isfinite(best))
            assert twice_nll < -2 * model.logpdf(start, data)[0]

    def test_the_datacard_gives_the_integrals_of_its_shapes(self, done):
        for n in (3, 5):
            folder = done.folder / f"K{n}"
            lines = [line.split() for line in (folder / "datacard.txt").read_text().splitlines()]
            names, rates = (next(row[1:] for row in lines if row[:1] == [key]) for key in ("process", "rate"))
            assert set(names) == {*toys.PROCESSES}
            with uproot.open(folder / "datacard.root") as shapes, uproot.open(folder / "templates.root") as t:
                for name, rate in zip(names, rates, strict=True):
                    assert float(rate) == pytest.approx(shapes[f"SR/{name}"].values().sum(), rel=1e-12)
                    np.testing.assert_array_equal(shapes[f"SR/{name}"].values(), t[f"SR/{name}"].values())
                np.testing.assert_array_equal(shapes["SR/data_obs"].values(), t["SR/data_obs"].values())

    def test_the_result_says_what_the_files_say(self, done):
        summary = read(done.folder)
        for result in summary["results"]:
            rows = [row.as_dict() for row in done.rows[result["asked_for"]]]
            assert json.loads(json.dumps(rows)) == result["significances"]
            categorizer = ct.Categorizer.load(done.folder / f"K{result['asked_for']}" / "categorizer.json")
            assert categorizer.digest == result["categorizer"]
            assert done.n_learned[result["asked_for"]] == result["n_categories"]
        assert summary["signals"] == [*toys.SIGNALS]
        assert summary["configuration"]["categories"] == [3, 5]
        assert set(summary["uncategorised"]) == {*toys.PROCESSES, "data_obs"}
        assert not any(summary["uncategorised"].values())

    def test_learning_is_better_than_the_baselines(self, done):
        result = read(done.folder)["results"][1]
        learned, *baselines = (row_of(result, s, "all") for s in ("learned", "equidistant", "argmax"))
        assert all(learned["combined"] > b["combined"] for b in baselines)

    def test_a_finished_run_is_refused(self, done, toy_folder):
        before = {path: path.stat().st_mtime_ns for path in done.folder.rglob("*")}
        content = json.loads((done.folder / "run.json").read_text())["job"]["config"]
        with pytest.raises(ct.OutputError, match=f"{done.folder} holds this very run, finished.*--force"):
            run(content, done.folder, toy_folder)
        with pytest.raises(ct.OutputError, match="another configuration"):
            run(content | {"categories": [4]}, done.folder, toy_folder)
        assert {path: path.stat().st_mtime_ns for path in done.folder.rglob("*")} == before

    def test_the_objective_is_compared_on_cells_and_on_events(self, done):
        for result in read(done.folder)["results"]:
            training = row_of(result, "learned", "training")["combined"]
            on_cells, on_events = result["objective_on_cells"], result["objective_on_events"]
            assert on_events == pytest.approx(training, rel=1e-9)
            assert on_cells != on_events
            assert on_cells == pytest.approx(on_events, rel=5e-3)  # there are few events
            noted = any(f"{on_events:.4f} event by event" in note for note in done.notes)
            assert noted == (abs(on_cells / on_events - 1) > 1e-3)


class TestFewCells:
    @pytest.fixture(scope="class", params=["cells", "events"], ids=["trained on cells", "trained on events"])
    @classmethod
    def coarse(cls, request, tmp_path_factory, toy_folder, toy_config):
        fit = {"steps": 20, "starts": 1, "sample_cells": 100, "train_on": request.param, "event_steps": 1}
        folder = tmp_path_factory.mktemp("coarse")
        return request.param, run(toy_config(categories=4, fit=fit), folder, toy_folder)

    def test_the_difference_is_reported(self, coarse):
        trained_on, job = coarse
        (result,) = read(job.folder)["results"]
        on_cells, on_events = result["objective_on_cells"], result["objective_on_events"]
        assert on_events == pytest.approx(row_of(result, "learned", "training")["combined"], rel=1e-9)
        assert abs(on_cells / on_events - 1) > 1e-3
        (note,) = (note for note in job.notes if "event by event" in note)
        assert f"{on_cells:.4f} as their cells say, and {on_events:.4f} event by event" in note
        advice = {"cells": r"fit\.train_on.*fit\.sample_cells", "events": "went on with the events"}
        assert re.search(advice[trained_on], note)

    def test_there_are_as_few_cells_as_asked_for(self, coarse):
        _, job = coarse
        sample = ct.Sample.load(job.folder / "stages" / "sample.npz")
        assert sample.doublings > 0
        assert 0 < len(sample.cells) <= 100


class TestOneNumberOfCategories:
    @pytest.fixture(scope="class")
    @classmethod
    def single(cls, tmp_path_factory, toy_folder, toy_config):
        """One number of categories, no collision data, one fold."""
        folder = tmp_path_factory.mktemp("single")
        fit = {"steps": 20, "starts": 1, "folds": 1}
        return run(toy_config(categories=4, fit=fit), folder, toy_folder)

    def test_files_lie_in_the_folder_itself(self, single):
        stages = {"stages/sample.npz", "stages/categorizer-4.json", "stages/sums.npz"}
        assert files_in(single.folder) == OUTPUTS | {"summary.json", "run.json"} | stages

    def test_asimov_data_give_back_the_signal_strengths(self, single):
        workspace = pyhf.Workspace(json.loads((single.folder / "workspace.json").read_text()))
        model = workspace.model()
        best = pyhf.infer.mle.fit(workspace.data(model), model)
        for name in toys.SIGNALS:
            assert best[model.config.par_slice(f"mu_{name}")] == pytest.approx(1.0, abs=0.02)

    def test_without_held_out_events_training_is_all(self, single):
        (result,) = read(single.folder)["results"]
        assert {row["events"] for row in result["significances"]} == {"training", "all"}
        training, everything = (row_of(result, "learned", e) for e in ("training", "all"))
        assert training | {"events": "all"} == everything

    def test_a_single_fold_has_no_limit_and_says_so(self, single):
        summary = read(single.folder)
        (result,) = summary["results"]
        assert summary["limit"] is result["of_limit"] is result["one_more"] is None
        assert (single.limit, single.one_more) == (None, {})
        assert {f.kind for f in single.findings[4]} <= {"empty bins"}
        without, *rest = single.notes
        assert without.startswith("No limit: sample must have at least 2 folds")
        assert all("minor findings" in note for note in rest)


@pytest.mark.usefixtures("without_figures")
class TestOtherModelsAndObjectives:
    @pytest.mark.parametrize(("model", "kind"), [("sigmoid_cuts", "grid"), ("max_affine", "max_affine")])
    def test_the_job_does_what_its_configuration_says(self, tmp_path, toy_folder, toy_config, model, kind):
        content = toy_config(
            categories=5,
            combine="sum",
            signal_weights={"signal2": 3.0},
            other_signals="ignored",
            constraints={"min_events": 40},
            fit={"steps": 20, "starts": 1, "model": model, "folds": 1},
        )
        run(content, tmp_path / "out", toy_folder)
        (result,) = read(tmp_path / "out")["results"]
        categorizer = ct.Categorizer.load(tmp_path / "out" / "categorizer.json")
        assert categorizer.rule.kind == kind
        assert result["n_categories"] == categorizer.n_categories >= 3
        with uproot.open(tmp_path / "out" / "templates.root") as file:
            yields = {name: file[f"SR/{name}"].values() for name in toys.PROCESSES}
        background = sum(yields[name] for name in toys.BACKGROUNDS)
        z = {name: significance(yields[name], background) for name in toys.SIGNALS}
        row = row_of(result, "learned", "all")
        assert row["significances"] == pytest.approx(z)
        assert row["combined"] == pytest.approx(z["signal1"] + 3.0 * z["signal2"])


class TestNormalisation:
    """Cross section × luminosity / Σw(generated) × generator weight is the toy's complete weight."""

    @staticmethod
    def scaled(toy_config, sum_of_weights):
        content = toy_config(luminosity=toys.LUMINOSITY, fit={"steps": 5, "starts": 1})
        content["processor"] = {"options": {"weight": "genWeight", "event_id": "event"}}
        for process, n in toys.event_counts(2000, 20_000).items():
            content["datasets"][process] |= {
                "xsec": toys.CROSS_SECTIONS[process],
                "sum_of_weights": sum_of_weights or float(n),
            }
        return content

    def test_a_number_a_tree_and_a_complete_weight_are_one(self, tmp_path, toy_folder, toy_config):
        contents = {
            "complete": toy_config(fit={"steps": 5, "starts": 1}),
            "number": self.scaled(toy_config, None),
            "tree": self.scaled(toy_config, {"tree": "Runs", "branch": "genEventSumw"}),
        }
        templates = {}
        for name, content in contents.items():
            run(content, tmp_path / name, toy_folder)
            with uproot.open(tmp_path / name / ALL_EVENTS) as file:
                templates[name] = {
                    p: (file[f"SR/{p}"].values(), file[f"SR/{p}"].errors()) for p in toys.PROCESSES
                }
        for process, (values, errors) in templates["complete"].items():
            assert values.sum() == pytest.approx(toys.CROSS_SECTIONS[process] * toys.LUMINOSITY, rel=1e-9)
            for other in ("number", "tree"):
                np.testing.assert_allclose(templates[other][process][0], values, rtol=1e-6)
                np.testing.assert_allclose(templates[other][process][1], errors, rtol=1e-6)

    def test_datasets_of_one_process_are_scaled_one_by_one(self, tmp_path, few_events, toy_config):
        """Half of the cross section each, from two files with different numbers of events."""
        content = toy_config(luminosity=10.0, fit={"steps": 5, "starts": 1}, categories=2)
        content["constraints"] = {"min_background": 0.0, "min_effective_events": 0.0}
        content["processor"] = {"options": {"weight": "genWeight", "event_id": "event"}}
        metadata = {"tree": "Runs", "branch": "genEventSumw"}
        for i in (0, 1):
            content["datasets"][f"more_{i}"] = {
                "files": [f"bkg1_{i}.root"],
                "process": "bkg1",
                "xsec": 50.0,
                "sum_of_weights": metadata,
            }
        del content["datasets"]["bkg1"]
        run(content, tmp_path / "out", few_events)
        with uproot.open(tmp_path / "out" / ALL_EVENTS) as file:
            values, errors = file["SR/bkg1"].values(), file["SR/bkg1"].errors()
        n = [uproot.open(few_events / f"bkg1_{i}.root")["Events"].num_entries for i in (0, 1)]
        assert n[0] != n[1]
        assert values.sum() == pytest.approx(2 * 50 * 10, rel=1e-9)
        assert (errors**2).sum() == pytest.approx(sum((50 * 10) ** 2 / m for m in n), rel=1e-9)


@pytest.mark.usefixtures("without_figures")
class TestMissingValues:
    def test_their_yield_has_no_category(self, tmp_path, write_tree):
        random = np.random.default_rng(5)
        missing, events = {}, {}
        for process, shift in (("sig", 1.0), ("bkg", 0.0), ("data", 0.1)):
            n = 2000
            x = {"m": random.normal(shift, 1, n), "pt": random.normal(shift, 1, n)}
            gone = random.random(n) < 0.2
            x["pt"][gone] = -999.0
            weight = np.ones(n) if process == "data" else random.uniform(0.5, 1.5, n)
            missing[process] = weight[gone].sum()
            events[process] = (x, weight, gone)
            write_tree(tmp_path / f"{process}.root", x | {"w": weight})
        content = {
            "processor": {"options": {"weight": "w"}},
            "datasets": {
                "sig": {"files": ["sig.root"], "process": "sig"},
                "bkg": {"files": ["bkg.root"], "process": "bkg"},
                "data": {"files": ["data.root"], "is_data": True},
            },
            "features": [{"name": "m"}, {"name": "pt", "missing": -999.0}],
            "coordinates": [{"kind": "identity", "features": ["m", "pt"]}],
            "signals": ["sig"],
            "categories": 3,
            "fit": {"steps": 20, "starts": 1},
        }
        result = run(content, tmp_path / "out", tmp_path)
        assert result.uncategorised == pytest.approx(
            {"sig": missing["sig"], "bkg": missing["bkg"], "data_obs": missing["data"]}
        )
        assert read(result.folder)["uncategorised"] == pytest.approx(result.uncategorised)
        categorizer = ct.Categorizer.load(result.folder / "categorizer.json")
        with uproot.open(result.folder / ALL_EVENTS) as file:
            for process, name in (("sig", "sig"), ("bkg", "bkg"), ("data", "data_obs")):
                x, weight, gone = events[process]
                category = categorizer(x)
                np.testing.assert_array_equal(category == -1, gone)
                expected = np.bincount(category[~gone], weight[~gone], categorizer.n_categories)
                np.testing.assert_allclose(file[f"SR/{name}"].values(), expected, rtol=1e-9)


def collected(content, folder, base, chunk_size):
    """The sample of a job that is stopped after pass 1."""
    with pytest.raises(KeyboardInterrupt):
        run(content, folder, base, display=Recorder(stop_at="Fit"), chunk_size=chunk_size)
    return ct.Sample.load(folder / "stages" / "sample.npz")


class TestPassOne:
    def test_the_chunk_size_does_not_matter(self, tmp_path, few_events, toy_config, assert_same_sums):
        """Nor does it for cell widths that come from the events."""
        content = toy_config(coordinates=[{"kind": "identity", "features": list(toys.SCORES)}])
        whole, *parts = (
            collected(content, tmp_path / str(size), few_events, size) for size in (10**6, 40, 7)
        )
        assert None not in whole.features.widths
        assert whole.processes == tuple(sorted(toys.PROCESSES))
        for part in parts:
            assert part.features == whole.features
            assert_same_sums(part.cells, whole.cells)

    def test_a_file_is_in_two_datasets_that_metadata_tell_apart(self, tmp_path, few_events, toy_config):
        (tmp_path / "halves.py").write_text(
            textwrap.dedent("""
                from cortado.columnar import FlatNtuple

                class Halves(FlatNtuple):
                    def process(self, events):
                        half = events.metadata.get("half")
                        return super().process(events if half is None else events[events.event % 2 == half])
            """)
        )
        files = {"files": ["bkg1_*.root"]}
        halves = {f"half{i}": files | {"process": f"half{i}", "metadata": {"half": i}} for i in (0, 1)}
        options = {"class": str(tmp_path / "halves.py:Halves"), "options": {"event_id": "event"}}
        content = toy_config(processor=options)
        content["datasets"] |= halves
        cells = collected(content, tmp_path / "out", few_events, 50).cells
        sums = dict.fromkeys((s.dataset for s in cells.sources), 0)
        for source, n in zip(cells.sources, np.bincount(cells.source, cells.count), strict=True):
            sums[source.dataset] += n
        assert sums["half0"] > 0
        assert sums["half1"] > 0
        assert sums["half0"] + sums["half1"] == sums["bkg1"]

    @pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")
    def test_nanoaod(self, tmp_path, toy_config):
        """A processor of one's own on NanoAOD-like files, with features that are no branches."""
        (tmp_path / "mine.py").write_text(
            textwrap.dedent("""
            from coffea.processor import ProcessorABC


            class Mine(ProcessorABC):
                def __init__(self, sink):
                    self.sink = sink

                def process(self, events):
                    keep = events.MET.pt > 0.5
                    return self.sink.fill(
                        events.metadata["dataset"],
                        {"double": 2 * events.MET.pt[keep], "phi": events.MET.phi[keep]},
                        events.genWeight[keep],
                        event_id=events.event[keep],
                    )

                def postprocess(self, accumulator):
                    return accumulator
            """)
        )
        random = np.random.default_rng(1)
        pt = {}
        for name in ("sig", "bkg"):
            pt[name] = random.random(300)
            with uproot.recreate(tmp_path / f"{name}.root") as file:
                file["Events"] = {
                    "MET_pt": pt[name],
                    "MET_phi": random.random(300),
                    "genWeight": np.ones(300),
                    "event": np.arange(300, dtype=np.uint64),
                    "run": np.ones(300, np.uint32),
                    "luminosityBlock": np.ones(300, np.uint32),
                }
        content = toy_config(
            schema="nanoaod",
            processor={"class": "mine.py:Mine"},
            datasets={n: {"files": [f"{n}.root"], "process": n} for n in pt},
            features=[{"name": "double"}, {"name": "phi"}],
            coordinates=[{"kind": "identity", "features": ["double", "phi"], "width": [0.1, 0.1]}],
            signals=["sig"],
        )
        sample = collected(content, tmp_path / "out", tmp_path, 100)
        points = sample.points()
        for i, name in enumerate(points.processes):
            assert points.count[i].sum() == np.count_nonzero(pt[name] > 0.5)
        assert points.place[:, 0].min() > 1.0


@pytest.mark.usefixtures("without_figures")
class TestInterrupts:
    """What was finished stays; the same job goes on after it, and ends as if nothing had happened."""

    STAGES = ("Pass 1", "Fit: 2 categories", "Fit: 3 categories", "Pass 2")

    @staticmethod
    def content(toy_config):
        return toy_config(
            categories=[2, 3],
            # Of so few events, a partition of the cells finds regions without any background.
            fit={"steps": 20, "starts": 1, "initialisation": "random"},
            constraints={"min_background": 0.0, "min_effective_events": 0.0},
        )

    @pytest.fixture(scope="class")
    @classmethod
    def uninterrupted(cls, tmp_path_factory, few_events, toy_config):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cortado.figures.write_figures", lambda *_: [])
            return run(cls.content(toy_config), tmp_path_factory.mktemp("reference") / "out", few_events)

    def test_in_every_stage_in_turn(self, tmp_path, few_events, toy_config, uninterrupted, monkeypatch):
        content, folder = self.content(toy_config), tmp_path / "out"

        def attempt(display, n_finished, match=None):
            if match:
                with pytest.raises(KeyboardInterrupt):
                    run(content, folder, few_events, display=display)
            else:
                run(content, folder, few_events, display=display)
            assert display.skipped_stages == [*self.STAGES[:n_finished]]
            assert not list(folder.rglob("*partial*"))

        attempt(Recorder("Input files"), 0, match="stop")
        assert files_in(folder) == {"run.json"}
        attempt(Recorder("Pass 1"), 0, match="stop")
        assert files_in(folder) == {"run.json"}
        attempt(Recorder("Fit: 2"), 0, match="stop")
        kept = (folder / "stages" / "sample.npz").stat().st_mtime_ns
        attempt(Recorder(stop_in_fit=2), 1, match="stop")
        assert files_in(folder) == {"run.json", "stages/sample.npz"}
        attempt(Recorder(stop_in_fit=3), 1, match="stop")
        assert files_in(folder) == {"run.json", "stages/sample.npz", "stages/categorizer-2.json"}
        attempt(Recorder("Pass 2"), 2, match="stop")
        with monkeypatch.context() as patch:
            patch.setattr("cortado.workflow.CategorySums.save", _interrupted)
            attempt(Recorder(), 3, match="stop")
        assert not (folder / "stages" / "sums.npz").exists()
        with monkeypatch.context() as patch:
            patch.setattr("cortado.outputs.export.combine", _interrupted)
            attempt(Recorder(), 3, match="stop")
        assert (folder / "K2" / "workspace.json").exists()
        assert not (folder / "K2" / "datacard.txt").exists()
        assert not json.loads((folder / "run.json").read_text())["finished"]
        last = Recorder()
        attempt(last, 4)
        assert last.begun == ["Input files", "Output"]
        assert (folder / "stages" / "sample.npz").stat().st_mtime_ns == kept
        self.assert_same_results(folder, uninterrupted.folder)

    @staticmethod
    def assert_same_results(folder, reference):
        assert files_in(folder) == files_in(reference)
        assert read(folder) == read(reference)
        for n in (2, 3):
            name = f"K{n}/categorizer.json"
            assert (folder / name).read_bytes() == (reference / name).read_bytes()
            with (
                uproot.open(folder / f"K{n}" / "templates.root") as a,
                uproot.open(reference / f"K{n}" / "templates.root") as b,
            ):
                for process in toys.PROCESSES:
                    np.testing.assert_array_equal(a[f"SR/{process}"].values(), b[f"SR/{process}"].values())

    def test_the_same_seed_gives_the_same_bits(self, tmp_path, few_events, toy_config, uninterrupted):
        again = run(self.content(toy_config), tmp_path / "again", few_events)
        self.assert_same_results(again.folder, uninterrupted.folder)

    def test_another_job_does_not_go_on_with_its_stages(self, tmp_path, few_events, toy_config):
        copied = tmp_path / "ntuples"
        shutil.copytree(few_events, copied)
        content, folder = self.content(toy_config), tmp_path / "out"
        collected(content, folder, copied, 100)
        for other in (content | {"signals": ["signal1"]}, content | {"fit": {"steps": 20, "starts": 2}}):
            with pytest.raises(ct.OutputError, match="another configuration"):
                run(other, folder, copied)
        changed = copied / "bkg3_0.root"
        shutil.copy(few_events / "bkg4_0.root", changed)
        os.utime(changed, ns=(1, 1))
        with pytest.raises(ct.OutputError, match="other input files"):
            run(content, folder, copied)
        display = Recorder(stop_at="Fit")
        with pytest.raises(KeyboardInterrupt):
            run(content, folder, copied, display=display, force=True)
        assert "Pass 1: collecting the sample" in display.begun

    def test_a_changed_processor_is_another_job(self, tmp_path, few_events, toy_config):
        processor = tmp_path / "mine.py"
        text = "from cortado.columnar import FlatNtuple\n\n\nclass Mine(FlatNtuple):\n    pass\n"
        processor.write_text(text)
        content = self.content(toy_config)
        content["processor"] = {"class": f"{processor}:Mine", "options": {"event_id": "event"}}
        collected(content, tmp_path / "out", few_events, 1000)
        processor.write_text(text + "# changed\n")
        with pytest.raises(ct.OutputError, match="another configuration"):
            run(content, tmp_path / "out", few_events)

    def test_chunks_are_not_part_of_the_job(self, tmp_path, few_events, toy_config):
        content = self.content(toy_config)
        collected(content, tmp_path / "out", few_events, 100)
        display = Recorder(stop_at="Fit")
        with pytest.raises(KeyboardInterrupt):
            run(content, tmp_path / "out", few_events, display=display, chunk_size=50)
        assert display.skipped_stages == ["Pass 1"]

    def test_a_folder_of_others_is_refused(self, tmp_path, few_events, toy_config):
        folder = tmp_path / "out"
        folder.mkdir()
        (folder / "thesis.tex").write_text("precious")
        with pytest.raises(ct.OutputError, match="not the folder of a cortado run"):
            run(self.content(toy_config), folder, few_events)
        assert files_in(folder) == {"thesis.tex"}
        with pytest.raises(KeyboardInterrupt):
            run(self.content(toy_config), folder, few_events, display=Recorder("Pass 1"), force=True)
        assert (folder / "thesis.tex").read_text() == "precious"


def _interrupted(*_, **__):
    raise KeyboardInterrupt


class TestPrepare:
    def test_files_are_found_from_base_or_from_the_configuration(self, few_events, toy_config, monkeypatch):
        config = parse_config(toy_config())
        monkeypatch.chdir(few_events.parent)
        for job in (
            prepare(config, few_events),
            prepare(config, Path("elsewhere"), few_events),
            prepare(config, Path(few_events.name)),
        ):
            assert all(Path(path).is_absolute() for d in job.datasets for path in d.files)
            assert {Path(p) for d in job.datasets for p in d.files} == set(few_events.glob("*_*.root"))

    @pytest.mark.parametrize("other", ["bkg1_0.root", "../few-link/bkg1_0.root", "link.root"])
    def test_a_file_counts_once(self, tmp_path, few_events, toy_config, other):
        folder = tmp_path / "few"
        shutil.copytree(few_events, folder)
        (tmp_path / "few-link").symlink_to(folder)
        (folder / "link.root").symlink_to(folder / "bkg1_0.root")
        content = toy_config()
        content["datasets"]["twice"] = {"files": [other], "process": "bkg1"}
        with pytest.raises(ct.ConfigError, match=r"datasets.twice.files: .* in dataset 'bkg1' already"):
            prepare(parse_config(content), folder)

    def test_collision_data_and_simulation_are_told_apart(self, toy_folder, toy_config):
        content = toy_config()
        content["datasets"]["Run1"] = {"files": ["collisions.root"], "is_data": True}
        content["datasets"]["bkg2"] |= {"tree": "Other"}
        job = prepare(parse_config(content), toy_folder)
        of = {d.name: d for d in job.datasets}
        assert of["Run1"].user_metadata == {"process": "data_obs", "is_mc": False, "xsec": None}
        assert of["bkg1"].user_metadata == {"process": "bkg1", "is_mc": True, "xsec": None}
        assert (of["bkg1"].tree, of["bkg2"].tree) == ("Events", "Other")
        assert of["Run1"].is_data


class TestLoadProcessor:
    def test_from_a_module_and_from_a_file(self, tmp_path):
        from cortado.columnar import FlatNtuple

        assert load_processor("cortado.columnar:FlatNtuple", tmp_path)[0] is FlatNtuple
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "mine.py").write_text("class Mine:\n    def process(self, events): ...\n")
        found, digest = load_processor("sub/mine.py:Mine", tmp_path)
        again, same = load_processor(f"{tmp_path}/sub/mine.py:Mine", Path("anywhere"))
        assert found.__name__ == again.__name__ == "Mine"
        assert digest == same

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("absent.py:Mine", "", r"cannot import absent.py: .*there is no file .*absent.py"),
            (
                "mine.py:Mine",
                "import nothing_like_this\n",
                r"mine.py: ModuleNotFoundError: .*nothing_like_this",
            ),
            ("mine.py:Mine", "class Mine(:\n", r"cannot import mine.py: SyntaxError"),
            ("mine.py:Mine", "Mine = 3\n", "mine.py has no class 'Mine'"),
            ("mine.py:Mine", "class Yours: ...\n", "mine.py has no class 'Mine'"),
            ("mine.py:Mine", "class Mine: ...\n", "has no method 'process'"),
            ("no.such.module:Mine", "", r"cannot import no.such.module: ModuleNotFoundError"),
        ],
    )
    def test_what_cannot_be_had(self, tmp_path, name, text, message):
        (tmp_path / "mine.py").write_text(text)
        with pytest.raises(ct.ConfigError, match=message) as caught:
            load_processor(name, tmp_path)
        assert str(caught.value).startswith("processor.class: ")

    def test_options_that_do_not_fit(self, few_events, toy_config):
        content = toy_config(processor={"options": {"colour": "red"}})
        message = r"processor.options: FlatNtuple .*'red'.*TypeError.*'colour'"
        with pytest.raises(ct.ConfigError, match=message):
            prepare(parse_config(content), few_events)


def test_sums_of_the_job_hold_all_schemes(done):
    sums = CategorySums.load(done.folder / "stages" / "sums.npz")
    assert set(sums.cells) == {f"{s}-{n}" for s in ("learned", "equidistant", "argmax") for n in (3, 5)}
    assert re.fullmatch(r"[0-9a-f]{64}", json.loads((done.folder / "run.json").read_text())["fingerprint"])


@pytest.fixture(scope="module")
def four_features(tmp_path_factory, write_tree):
    folder = tmp_path_factory.mktemp("four")
    rng = np.random.default_rng(4)
    for name, mean, n in (("sig", 0.8, 1500), ("few", 0.0, 2000), ("many", -0.3, 4000)):
        columns = {f"x{i}": rng.normal(mean * (1 - 0.2 * i), 1.0, n) for i in range(4)}
        own = {"weight": rng.uniform(0.5, 1.5, n), "event": np.arange(n)}
        write_tree(folder / f"{name}.root", {**columns, **own}, sum_of_weights=2.0 * n)
    return folder


@pytest.fixture(scope="module")
def four_features_config():
    runs = {"tree": "Runs", "branch": "genEventSumw"}
    names = {"sig": ("signal", 0.5), "few": ("bkg", 20.0), "many": ("bkg", 70.0)}
    return {
        "luminosity": 30.0,
        "processor": {"options": {"weight": "weight", "event_id": "event"}},
        "datasets": {
            name: {"files": [f"{name}.root"], "process": process, "xsec": xsec, "sum_of_weights": runs}
            for name, (process, xsec) in names.items()
        },
        "features": [{"name": f"x{i}"} for i in range(4)],
        "coordinates": [{"kind": "identity", "features": [f"x{i}" for i in range(4)]}],
        "signals": ["signal"],
        "categories": 3,
        "fit": {"steps": 20, "starts": 1, "event_steps": 20},
    }


@pytest.fixture(scope="module")
def on_events(tmp_path_factory, four_features, four_features_config):
    return run(four_features_config, tmp_path_factory.mktemp("events") / "out", four_features, chunk_size=900)


class StopsOnEvents(Display):
    """Stops like a Ctrl-C before the first step on events."""

    @contextlib.contextmanager
    def fitting(self, n_categories):
        del n_categories
        told = []

        def progress(*arguments):
            told.append(arguments)
            if len(told) == 3:  # the start, the steps from there, and the best state on events
                assert told[-1][:2] == (20, 40)
                raise KeyboardInterrupt

        yield progress


class TestTrainingOnEvents:
    """Four features, two datasets in one process, generator weights: pass 2 finds what was trained on."""

    def test_the_objective_on_events_is_that_of_the_templates(self, on_events):
        categorizer = ct.Categorizer.load(on_events.folder / "categorizer.json")
        (result,) = read(on_events.folder)["results"]
        row = row_of(result, "learned", "training")
        assert categorizer.training is not None
        assert categorizer.training.objective == pytest.approx(row["combined"], rel=1e-12)
        assert row["min_background"] >= 10
        assert row["min_effective_events"] >= 10

    def test_events_are_left_in_few_files(self, on_events):
        stages = files_in(on_events.folder / "stages")
        assert stages == {
            "sample.npz",
            "categorizer-3.json",
            "sums.npz",
            "events/events.json",
            *(f"events/{i:04d}.npy" for i in range(6)),
        }

    @pytest.mark.parametrize("killed", [False, True])
    def test_an_interrupted_job_comes_to_the_same(
        self, on_events, four_features, four_features_config, tmp_path, killed
    ):
        folder = tmp_path / "out"
        with pytest.raises(KeyboardInterrupt):
            run(four_features_config, folder, four_features, chunk_size=900, display=StopsOnEvents())
        assert (folder / "stages" / "training-3.npz").exists()
        if killed:  # before the sample was there
            (folder / "stages" / "sample.npz").unlink()
            (folder / "stages" / ".parts").mkdir()
            (folder / "stages" / ".parts" / "some.npy").write_text("left behind")
        again = run(four_features_config, folder, four_features, chunk_size=900)
        assert files_in(again.folder) == files_in(on_events.folder)
        assert categorizer_of(again) == categorizer_of(on_events)

    def test_cells_alone_if_asked_for(self, on_events, four_features, four_features_config, tmp_path):
        alone = {"fit": four_features_config["fit"] | {"train_on": "cells"}}
        cells = run(four_features_config | alone, tmp_path / "out", four_features)
        assert not (cells.folder / "stages" / "events").exists()
        assert categorizer_of(cells) != categorizer_of(on_events)

    @pytest.mark.cluster
    def test_workers_come_to_the_same(self, on_events, four_features, four_features_config, tmp_path):
        job = prepare(parse_config(four_features_config), four_features)
        with open_executor(workers=2, progress=False) as executor:
            there = run_job(job, tmp_path / "out", executor, chunk_size=900)
        assert categorizer_of(there) == categorizer_of(on_events)


def categorizer_of(result):
    return (result.folder / "categorizer.json").read_text()
