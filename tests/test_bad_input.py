"""What a user can get wrong: a clear sentence, an exit status that says what, and nothing half-written."""

from __future__ import annotations

import os
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

from cortado import cli, toys

CONFIG, INPUT, OUTPUT, TRAINING = 2, 3, 4, 5
LINES = 10


@dataclass
class Job:
    """A job that would do well: ntuples in a folder of their own, and a configuration beside them."""

    folder: Path
    content: dict[str, Any]
    text: str | None = None  # instead of the content

    @property
    def output(self) -> Path:
        """Where results would go."""
        return self.folder / "out"

    def file(self, name: str) -> Path:
        """One of the ntuples."""
        return self.folder / name

    def processor(self, body: str, **options: Any) -> None:
        """Use a processor with this code in its method process."""
        lines = textwrap.indent(textwrap.dedent(body).strip(), 8 * " ")
        self.file("mine.py").write_text(
            "import awkward as ak\nimport numpy as np\nfrom cortado.columnar import FlatNtuple\n\n\n"
            f"class Mine(FlatNtuple):\n    def process(self, events):\n{lines}\n"
        )
        self.content["processor"] = {"class": "mine.py:Mine", "options": {"event_id": "event"} | options}

    def rewrite(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the columns of one of the ntuples."""
        with uproot.open(self.file(name)) as file:
            columns = file["Events"].arrays(library="np")
        change(columns)
        with uproot.recreate(self.file(name)) as file:
            file.mktree("Events", {key: column.dtype for key, column in columns.items()}).extend(columns)

    def run(self, *options: str) -> Any:
        """The command, in this process."""
        config = self.folder / "config.yaml"
        config.write_text(yaml.safe_dump(self.content) if self.text is None else self.text)
        return CliRunner().invoke(cli.app, ["run", str(config), "-o", str(self.output), *options])


@pytest.fixture
def job(tmp_path, few_events, toy_config):
    for path in few_events.glob("*_*.root"):
        shutil.copy(path, tmp_path)
    return Job(tmp_path, toy_config(categories=2, fit={"steps": 5, "starts": 1}))


def check(result, status, words, folder, output):
    """Status, words in a short message, no traceback, nothing half-written."""
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    assert result.stderr.startswith("cortado: ")
    for word in words:
        assert word in result.stderr
    assert len(result.stderr.splitlines()) <= LINES
    assert "Traceback" not in result.output
    assert not [*folder.rglob("*partial*")]
    if output.is_dir():
        assert {path.name for path in output.rglob("*") if path.is_file()} <= {"run.json", "sample.npz"}


def update(**changes):
    return lambda job: job.content.update(changes)


def dataset(name, **changes):
    return lambda job: job.content["datasets"].setdefault(name, {}).update(changes)


def text(content):
    def change(job):
        job.text = content

    return change


def processor(body, **options):
    return lambda job: job.processor(body, **options)


def replace_features(job):
    names = [*toys.SCORES[:2], "p_bkg"]
    job.content["features"] = [{"name": name} for name in names]
    job.content["coordinates"] = [{"kind": "logratio", "features": names}]


def write_bytes(name, content):
    return lambda job: job.file(name).write_bytes(content)


def truncate(name, part):
    def change(job):
        content = job.file(name).read_bytes()
        job.file(name).write_bytes(content[: int(part * len(content))])

    return change


def set_values(name, column, values):
    def change(columns):
        columns[column][: len(values)] = values

    return lambda job: job.rewrite(name, change)


def normalised(**where):
    """Cross sections with Σw(generated) from the files."""

    def change(job):
        job.content["luminosity"] = 10.0
        for process, entry in job.content["datasets"].items():
            entry.update(xsec=toys.CROSS_SECTIONS[process], sum_of_weights=where)

    return change


RETURN = "return super().process(events)"

CONFIGURATION = {
    "bad YAML": (text("tree: [Events\nsignals"), ["config.yaml", "not valid YAML", "line"]),
    "no mapping": (text("- a\n- b\n"), ["config.yaml", "keys and values", "list"]),
    "empty": (text(""), ["config.yaml", "NoneType"]),
    "not text": (lambda job: setattr(job, "text", "tree: \0"), ["config.yaml", "not valid YAML"]),
    "a key twice": (text("tree: Events\ntree: Other\n"), ["'tree' is given twice"]),
    "an unknown key": (update(catgories=3), ["config.yaml", "catgories", "unknown key"]),
    "an unknown key below": (
        dataset("bkg1", cross_section=3.0),
        ["datasets.bkg1.cross_section: unknown key"],
    ),
    "a wrong value": (dataset("bkg1", xsec=-3.0), ["datasets.bkg1.xsec", "greater than 0", "-3.0"]),
    "too few categories": (update(categories=1), ["categories", "greater than or equal to 2", "1"]),
    "no signal": (update(signals=[]), ["signals", "at least 1"]),
    "an unknown signal": (update(signals=["signal3"]), ["signals ['signal3'] are not among", "bkg5"]),
    "signals only": (update(signals=list(toys.PROCESSES)), ["every process is a signal", "bkg1"]),
    "no luminosity": (
        dataset("bkg1", xsec=1.0, sum_of_weights=2.0),
        ["['bkg1'] have a cross section", "luminosity"],
    ),
    "coordinates of another feature": (
        update(coordinates=[{"kind": "logit", "features": ["p_signal1"]}]),
        ["coordinates must name every feature exactly once", "p_background"],
    ),
    "coordinates of no kind": (
        update(coordinates=[{"kind": "polar", "features": list(toys.SCORES)}]),
        ["coordinates", "'polar'", "'logratio'"],
    ),
    "held out everything": (update(fit={"folds": 2, "held_out": [0, 1]}), ["fit", "held_out", "0 … 1"]),
    "a file twice": (
        dataset("more", files=["bkg1_0.root"], process="bkg1"),
        ["datasets.more.files", "bkg1_0.root is in dataset 'bkg1' already"],
    ),
    "a file twice with the same metadata": (
        dataset("more", files=["bkg1_0.root"], process="bkg1", metadata={}),
        ["datasets.more.files", "bkg1_0.root is in dataset 'bkg1' already", "with other metadata"],
    ),
    "metadata that are there already": (
        dataset("more", files=["bkg1_0.root"], process="bkg1", metadata={"is_mc": False}),
        ["datasets.more.metadata", "must not name ['is_mc']"],
    ),
    "no processor file": (
        update(processor={"class": "absent.py:Mine"}),
        ["processor.class: cannot import absent.py", "there is no file", "absent.py"],
    ),
    "no processor class": (
        update(processor={"class": "cortado.columnar:Collectr"}),
        ["processor.class: cortado.columnar has no class 'Collectr'"],
    ),
    "no class named": (update(processor={"class": "mine.py"}), ["processor.class", "mine.py"]),
    "wrong options": (
        update(processor={"options": {"wieght": "w"}}),
        ["processor.options: FlatNtuple", "'wieght'"],
    ),
    "a processor that refuses": (
        lambda job: (
            job.processor(RETURN, cut=3),
            job.file("mine.py").write_text(
                job.file("mine.py").read_text()
                + "\n    def __init__(self, sink, event_id, cut):\n        raise ValueError(f'cut {cut}')\n"
            ),
        ),
        ["processor.options: Mine", "ValueError: cut 3"],
    ),
}

FILES = {
    "no file": (dataset("bkg2", files=["bkg2_7.root"]), ["dataset 'bkg2'", "there is no file bkg2_7.root"]),
    "no match": (dataset("bkg2", files=["nt/bkg2*"]), ["dataset 'bkg2'", "no file matches nt/bkg2*"]),
    "a vanished file": (
        lambda job: (
            job.file("gone.root").symlink_to(job.file("nowhere.root")),
            dataset("bkg2", files=["gone*.root"])(job),
        ),
        ["dataset 'bkg2'", "gone.root", "No such file"],
    ),
    "a folder": (
        lambda job: (job.file("sub.root").mkdir(), dataset("bkg2", files=["sub.root"])(job)),
        ["sub.root", "'bkg2'", "cannot be read"],
    ),
    "not ROOT": (write_bytes("bkg2_0.root", b"text " * 500), ["bkg2_0.root", "'bkg2'", "cannot be read"]),
    "nothing in it": (write_bytes("bkg2_0.root", b""), ["bkg2_0.root", "'bkg2'", "cannot be read"]),
    "cut short": (truncate("bkg2_0.root", 0.6), ["bkg2_0.root", "'bkg2'", "cut short"]),
    "cut a little short": (truncate("bkg2_0.root", 0.99), ["bkg2_0.root", "'bkg2'", "cut short"]),
    "no tree": (
        update(tree="Ntuple"),
        ["tree 'Ntuple' is not in", "bkg1_0.root", "it has Events, Runs"],
    ),
    "no tree in one": (dataset("bkg3", tree="tree"), ["tree 'tree'", "bkg3_0.root", "it has Events, Runs"]),
    "no branch": (
        lambda job: job.rewrite("bkg2_1.root", lambda columns: columns.pop("p_signal2")),
        ["branch 'p_signal2' is not in tree 'Events'", "bkg2_1.root", "'bkg2'", "p_signal1, p_background"],
    ),
    "no branches": (
        lambda job: job.rewrite(
            "bkg2_1.root", lambda columns: (columns.pop("p_signal2"), columns.pop("event"))
        ),
        ["branches 'p_signal2', 'event' are not in tree 'Events'", "bkg2_1.root"],
    ),
    "no metadata tree": (
        lambda job: (
            normalised(tree="Runs", branch="genEventSumw")(job),
            job.rewrite("bkg4_0.root", lambda columns: columns),
        ),
        ["tree 'Runs' is not in", "bkg4_0.root", "it has Events"],
    ),
    "no metadata branch": (
        normalised(tree="Runs", branch="sumw"),
        ["branch 'sumw' is not in tree 'Runs'", "signal1_0.root", "genEventSumw, genEventCount"],
    ),
}

EVENTS = {
    "features that are not finite": (
        lambda job: (
            set_values("bkg2_0.root", "p_signal1", [np.nan, np.inf])(job),
            set_values("bkg2_1.root", "p_signal1", [-np.inf])(job),
            set_values("signal1_0.root", "p_background", [np.nan])(job),
        ),
        ["not finite numbers", "3 of 'p_signal1' in 'bkg2', 1 of 'p_background' in 'signal1'"],
    ),
    "features that do not exist": (
        processor(
            """
            some = ak.mask(events.p_signal2, events.p_signal2 < 0.9)
            features = {"p_signal1": events.p_signal1, "p_signal2": some, "p_background": events.p_background}
            return self.sink.fill(events.metadata["dataset"], features, events.weight, event_id=events.event)
            """
        ),
        ["not finite numbers", "of 'p_signal2' in 'signal2'"],
    ),
    "features of another length": (
        processor(
            """
            features = {"p_signal1": events.p_signal1, "p_signal2": events.p_signal2, "p_background": [0.5]}
            return self.sink.fill(events.metadata["dataset"], features, events.weight, event_id=events.event)
            """
        ),
        ["Mine failed on", "bkg1_0.root", "equal length"],
    ),
    "features that nobody makes": (
        lambda job: (
            replace_features(job),
            job.content.update(processor={"class": "few.py:Few"}),
            job.file("few.py").write_text(
                "class Few:\n    def __init__(self, sink):\n        self.sink = sink\n\n"
                "    def process(self, events):\n"
                "        return self.sink.fill(events.metadata['dataset'], events, events.weight)\n"
            ),
        ),
        ["Few failed on", "bkg1_0.root, entries 0 to", "['p_bkg'] are not there", "'p_background'"],
    ),
    "weights that are not finite": (
        set_values("bkg2_0.root", "weight", [np.nan, np.inf, 1.0]),
        ["bkg2_0.root, entries 0 to 75", "weight must be finite, got 2"],
    ),
    "a process without selected events": (
        processor(
            """
            events = events[events.weight > (1e9 if events.metadata["dataset"] == "bkg3" else 0)]
            return self.sink.fill(events.metadata["dataset"], events, events.weight, event_id=events.event)
            """
        ),
        ["no event", "selected in: 'bkg3'"],
    ),
    "a process without events": (
        lambda job: job.rewrite("bkg3_0.root", lambda c: c.update({k: v[:0] for k, v in c.items()})),
        ["no event", "selected in: 'bkg3'"],
    ),
    "a negative process": (
        processor(
            """
            sign = -1.0 if events.metadata["dataset"] == "bkg4" else 1.0
            return self.sink.fill(
                events.metadata["dataset"], events, sign * events.weight, event_id=events.event
            )
            """
        ),
        ["'bkg4'", "total weight of -2000", "must be positive"],
    ),
    "no identifiers": (
        processor(
            'return self.sink.fill(events.metadata["dataset"], events, events.weight)',
        ),
        ["Mine failed on", "event_id is needed"],
    ),
    "identifiers that are no integers": (
        update(processor={"options": {"event_id": "weight"}}),
        ["event_id must be one integer an event", "float64"],
    ),
    "a selection of another length": (
        processor(
            """
            some = events[events.p_signal1 > 0.5]
            return self.sink.fill(events.metadata["dataset"], some, events.weight, event_id=events.event)
            """
        ),
        ["Mine failed on", "weight must have one value an event"],
    ),
    "a processor that fails": (
        processor('raise ValueError("no calibration for " + events.metadata["dataset"])'),
        ["Mine failed on", "bkg1_0.root, entries 0 to", "ValueError: no calibration for bkg1"],
    ),
    "a processor that wants another branch": (
        processor("return events.p_signal3"),
        ["Mine failed on", "p_signal3", "tree 'Events' has p_signal1, p_signal2, p_background"],
    ),
    "a processor that returns nothing": (
        processor("self.sink.fill"),
        ["Mine failed on", "process returned nothing"],
    ),
    "a processor that returns something else": (
        processor('return {"events": len(events)}'),
        ["Mine must return what its sink's fill returns, a Sample, got a dict"],
    ),
    "weights generated that vanish": (
        lambda job: (
            normalised(tree="Runs", branch="genEventSumw")(job),
            _write_runs(job.file("bkg5_0.root"), 0.0),
        ),
        ["sum_of_weights must be positive, got 0.0", "'bkg5'"],
    ),
}


def _write_runs(path, total):
    with uproot.update(path) as file:
        del file["Runs"]
        file.mktree("Runs", {"genEventSumw": np.float64}).extend({"genEventSumw": np.array([total])})


def cases(table):
    return pytest.mark.parametrize(("change", "words"), table.values(), ids=table.keys())


class TestConfiguration:
    @cases(CONFIGURATION)
    def test_it_is_refused_before_anything_is_written(self, job, change, words):
        change(job)
        check(job.run(), CONFIG, words, job.folder, job.output)
        assert not job.output.exists()

    def test_no_configuration(self, tmp_path):
        for path in (tmp_path / "absent.yaml", tmp_path):
            result = CliRunner().invoke(cli.app, ["run", str(path), "-o", str(tmp_path / "out")])
            check(result, CONFIG, ["cannot read the configuration", str(path)], tmp_path, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--workers", "2", "--scheduler", "tcp://here:1"], ["either", "'tcp://here:1' and 2"]),
            (["--workers", "0"], ["number of workers must be at least 1, got 0"]),
            (["--scheduler", "here"], ["no dask scheduler answers at 'here'"]),
            (["--scheduler", "tcp://127.0.0.1:1"], ["no dask scheduler answers at 'tcp://127.0.0.1:1'"]),
        ],
    )
    def test_options(self, job, options, words, monkeypatch):
        monkeypatch.setattr("cortado.columnar.executors.CONNECT_SECONDS", 0.5)
        check(job.run(*options), CONFIG, words, job.folder, job.output)
        assert not job.output.exists()


class TestInput:
    @cases(FILES)
    def test_files_are_looked_into_first(self, job, change, words):
        change(job)
        result = job.run()
        check(result, INPUT, words, job.folder, job.output)
        assert "Pass 1" not in result.stdout

    @cases(EVENTS)
    def test_events(self, job, change, words):
        change(job)
        status = CONFIG if "sum_of_weights" in words[0] else INPUT
        check(job.run(), status, words, job.folder, job.output)
        assert not (job.output / "stages" / "sample.npz").exists()

    def test_it_can_be_mended(self, job, monkeypatch):
        """What finished no stage is not in the way of a second attempt with a better configuration."""
        monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
        job.content["constraints"] = {"min_background": 0.0, "min_effective_events": 0.0}
        processor("return self.sink.fill(events.metadata['dataset'], events, events.w)")(job)
        assert job.run().exit_code == INPUT
        processor(RETURN)(job)
        assert job.run().exit_code == 0

    @pytest.mark.cluster
    def test_on_a_cluster(self, job):
        change, words = EVENTS["a processor that fails"]
        change(job)
        check(job.run("--workers", "2"), INPUT, words, job.folder, job.output)


class TestCollisionData:
    """Data are read in pass 2 only, when a fit lies behind: what is wrong with their files is said before."""

    def test_a_branch_that_they_lack(self, job):
        job.rewrite("bkg5_0.root", lambda columns: columns.pop("p_signal1"))
        job.content["datasets"]["bkg5"] = {"files": ["bkg5_0.root"], "is_data": True}
        words = ["branch 'p_signal1' is not in tree 'Events'", "bkg5_0.root", "'bkg5'"]
        check(job.run(), INPUT, words, job.folder, job.output)

    def test_features_that_are_not_finite(self, job):
        set_values("bkg5_0.root", "p_signal1", [np.nan])(job)
        job.content["datasets"]["bkg5"] = {"files": ["bkg5_0.root"], "is_data": True}
        job.content["constraints"] = {"min_background": 0.0, "min_effective_events": 0.0}
        result = job.run()
        assert result.exit_code == INPUT
        assert "1 of 'p_signal1' in 'bkg5'" in result.stderr
        kept = {path.name for path in job.output.rglob("*") if path.is_file()}
        assert kept == {"run.json", "sample.npz", "categorizer-2.json"}


class TestOutput:
    def test_a_place_that_is_a_file(self, job):
        job.output.write_text("")
        for options in ([], ["--force"]):
            check(job.run(*options), OUTPUT, [str(job.output)], job.folder, job.output)
        assert job.output.read_text() == ""

    def test_a_place_below_a_file(self, job):
        below = job.folder / "config.yaml" / "out"
        (job.folder / "config.yaml").write_text(yaml.safe_dump(job.content))
        result = CliRunner().invoke(cli.app, ["run", str(job.folder / "config.yaml"), "-o", str(below)])
        check(result, OUTPUT, [str(below), "Not a directory"], job.folder, below)

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_a_place_that_may_not_be_written(self, job):
        job.output.mkdir()
        job.output.chmod(0o500)
        check(job.run(), OUTPUT, [str(job.output), "Permission denied"], job.folder, job.output)

    def test_files_of_others(self, job):
        job.output.mkdir()
        (job.output / "thesis.tex").write_text("precious")
        result = job.run()
        assert result.exit_code == OUTPUT
        assert f"{job.output} exists and is not the folder of a cortado run" in result.stderr
        assert [path.name for path in job.output.iterdir()] == ["thesis.tex"]

    def test_a_run_of_something_else(self, job):
        job.content["constraints"] = {"min_background": 1e9}
        assert job.run().exit_code == TRAINING
        before = (job.output / "run.json").read_bytes()
        job.content["categories"] = 5
        check(job.run(), OUTPUT, [str(job.output), "another configuration"], job.folder, job.output)
        assert (job.output / "run.json").read_bytes() == before
        assert (job.output / "stages" / "sample.npz").exists()

    def test_a_full_disk(self, job, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("numpy.savez_compressed", full)
        check(job.run(), OUTPUT, ["sample.npz", "No space left on device"], job.folder, job.output)


class TestTraining:
    def test_floors_that_nothing_meets(self, job):
        job.content["constraints"] = {"min_background": 1e9, "min_effective_events": 0.0}
        words = ["no two categories", "MinBackground(1e+09)"]
        check(job.run(), TRAINING, words, job.folder, job.output)
