"""The command line: what it prints and returns, the demo, interrupts, and what reaches the terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

import cortado as ct
from cortado import cli, startup, toys
from cortado.config import parse_config
from cortado.toys import ntuples

# As a terminal would start it, even where the tests run in the background and ignore interrupts.
COMMAND = [
    sys.executable,
    "-c",
    "from signal import *; signal(SIGINT, default_int_handler); from cortado.cli import main; main()",
]
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
INTERRUPTED = "cortado: interrupted; finished stages are kept, and the same command goes on from there\n"


def invoke(*arguments):
    """Run the command in this process; an exception that is no exit of it is raised."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def config(tmp_path, toy_config):
    """A function that writes a configuration."""

    def write(**changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(toy_config(**changes)))
        return path

    return write


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def reference(tmp_path_factory, toy_folder, toy_config):
    """A finished run in this process, its configuration and what it printed."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "config.yaml").write_text(yaml.safe_dump(toy_config()))
    result = invoke("run", folder / "config.yaml", "--base", toy_folder, "-o", folder / "out[bold]")
    return result, folder / "out[bold]", folder / "config.yaml"


def assert_same_results(folder, reference, toy_folder):
    """Templates within rounding, or the same label for 99.9 % of the events."""
    found, expected = (ct.Categorizer.load(f / "categorizer.json") for f in (folder, reference))
    if found.digest == expected.digest:
        with uproot.open(folder / "templates.root") as a, uproot.open(reference / "templates.root") as b:
            for process in toys.PROCESSES:
                np.testing.assert_allclose(
                    a[f"SR/{process}"].values(), b[f"SR/{process}"].values(), rtol=1e-9
                )
    else:
        events = uproot.concatenate(f"{toy_folder}/bkg*_*.root:Events", toys.SCORES, library="np")
        assert np.mean(found(events) == expected(events)) >= 0.999


class TestUsage:
    def test_version(self):
        result = invoke("--version")
        assert result.exit_code == 0
        assert result.stdout == f"cortado {ct.__version__}\n"

    def test_help(self):
        result = invoke("run", "--help")
        assert result.exit_code == 0
        for option in ("--output", "--base", "--workers", "--scheduler", "--chunk-size", "--force"):
            assert option in result.stdout

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ([], "Usage"),
            (["roast"], "roast"),
            (["run"], "config"),
            (["demo"], "--output"),
            (["run", "config.yaml", "-o", "out", "--chunk-size", "0"], "--chunk-size"),
            (["run", "config.yaml", "-o", "out", "--workers", "many"], "--workers"),
            (["demo", "-o", "out", "--seed", "-1"], "--seed"),
        ],
    )
    def test_mistakes(self, arguments, words, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = invoke(*arguments)
        assert result.exit_code == 2
        assert words.lower() in result.output.lower()
        assert "Traceback" not in result.output
        assert not [*tmp_path.iterdir()]


class TestRun:
    def test_it_prints_what_it_found(self, reference):
        result, folder, _ = reference
        assert result.exit_code == 0
        assert result.stderr == ""
        for words in ("Input files", "Pass 1", "Fit: 3 categories", "Pass 2", "Output"):
            assert words in result.stdout
        assert f"Results are in {folder}\n" in result.stdout
        (found,) = summary(folder)["results"]
        for row in found["significances"]:
            line = f"{row['significances']['signal1']:.4f} +{row['significances']['signal2']:.4f} "
            assert re.search(line + f" +{row['combined']:.4f} ± ", result.stdout)

    def test_a_pipe_gets_no_control_characters(self, reference):
        assert "\x1b" not in reference[0].output
        assert "\r" not in reference[0].output

    def test_a_finished_run_is_refused_unless_forced(self, reference, toy_folder):
        _, folder, config = reference
        before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        result = invoke("run", config, "--base", toy_folder, "-o", folder)
        assert result.exit_code == 4
        assert result.stderr == (
            f"cortado: {folder} holds this very run, finished; use --force to repeat it\n"
        )
        assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
        found = summary(folder)
        assert invoke("run", config, "--base", toy_folder, "-o", folder, "--force").exit_code == 0
        assert summary(folder) == found
        assert (folder / "summary.json").stat().st_mtime_ns > before[folder / "summary.json"]

    def test_a_yield_without_category_is_printed(self, tmp_path, write_tree, config, monkeypatch):
        monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
        random = np.random.default_rng(1)
        for name, weight in (("sig", 0.5), ("bkg", 2.0)):
            x = random.normal(size=400)
            x[:8] = -999.0
            write_tree(tmp_path / f"{name}.root", {"x": x, "weight": np.full(400, weight)})
        path = config(
            processor={},
            datasets={n: {"files": [f"{n}.root"], "process": n} for n in ("sig", "bkg")},
            features=[{"name": "x", "missing": -999.0}],
            coordinates=[{"kind": "linear", "features": ["x"], "range": [-1, 1]}],
            signals=["sig"],
        )
        result = invoke("run", path, "-o", tmp_path / "out")
        assert result.exit_code == 0
        assert "Yield without a category (a feature does not exist): sig 4, bkg 16\n" in result.stdout

    def test_the_configuration_may_say_where_results_go(self, tmp_path, few_events, config, monkeypatch):
        monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
        floors = {"min_background": 0.0, "min_effective_events": 0.0}
        changes = {"categories": 2, "fit": {"steps": 5, "starts": 1}, "constraints": floors}
        nowhere = invoke("run", config(**changes), "--base", few_events)
        assert nowhere.exit_code == 2
        assert "give --output, or 'output' in the configuration" in nowhere.stderr
        assert invoke("run", config(**changes, output="below"), "--base", few_events).exit_code == 0
        assert (tmp_path / "below" / "summary.json").exists()

    def test_a_traceback_where_asked_for(self, tmp_path, toy_folder, config):
        (tmp_path / "mine.py").write_text(
            "from cortado.columnar import FlatNtuple\n\n\n"
            "class Mine(FlatNtuple):\n    def process(self, events):\n        return events / no_such_name\n"
        )
        arguments = [
            "run",
            config(processor={"class": "mine.py:Mine"}),
            "--base",
            toy_folder,
            "-o",
            tmp_path / "o",
        ]
        result = invoke(*arguments)
        assert "Traceback" not in result.output
        assert result.stderr.startswith("cortado: Mine failed on ")
        told = invoke(*arguments, "--traceback")
        assert told.exit_code == result.exit_code == 3
        assert "return events / no_such_name" in told.stderr


@pytest.mark.cluster
class TestOnACluster:
    def test_workers(self, tmp_path, toy_folder, reference):
        _, expected, config = reference
        result = invoke(
            "run", config, "--base", toy_folder, "-o", tmp_path / "out", "--workers", 2, "--chunk-size", 999
        )
        assert result.exit_code == 0
        assert result.stderr == ""
        assert_same_results(tmp_path / "out", expected, toy_folder)

    def test_scheduler(self, tmp_path, toy_folder, reference, monkeypatch):
        from distributed import LocalCluster

        monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
        _, expected, config = reference
        with LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        ) as cluster:
            address = cluster.scheduler_address
            result = invoke(
                "run", config, "--base", toy_folder, "-o", tmp_path / "out", "--scheduler", address
            )
            assert len(cluster.scheduler_info["workers"]) == 2
        assert result.exit_code == 0
        assert_same_results(tmp_path / "out", expected, toy_folder)


@pytest.fixture
def small_demo(monkeypatch):
    """The demo with few events, one number of categories and a short training."""
    write = toys.write_ntuples
    monkeypatch.setattr(toys, "write_ntuples", lambda folder, seed: write(folder, seed, 50, 500, 200))
    monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
    text = cli._demo_configuration()
    content = yaml.safe_load(text) | {
        "categories": 2,
        # Of so few events, a partition of the cells finds regions without any background.
        "fit": {"steps": 10, "starts": 1, "initialisation": "random"},
        "constraints": {"min_background": 0.0, "min_effective_events": 0.0},
    }
    monkeypatch.setattr(cli, "_demo_configuration", lambda: yaml.safe_dump(content))


class TestDemo:
    def test_its_configuration_is_that_of_the_toy(self):
        config = parse_config(yaml.safe_load(cli._demo_configuration()))
        assert config.categories == (5, 10, 20)
        assert config.signals == toys.SIGNALS
        assert config.processes == toys.PROCESSES
        assert config.discriminant.names == toys.SCORES

    @pytest.mark.usefixtures("small_demo")
    def test_from_nothing_to_results_and_again(self, tmp_path):
        folder = tmp_path / "demo"
        result = invoke("demo", "-o", folder, "--seed", 3)
        assert (result.exit_code, result.stderr) == (0, "")
        assert {path.name for path in folder.iterdir()} == {"ntuples", "config.yaml", "results"}
        found = summary(folder / "results")
        ntuples = {path: path.stat().st_mtime_ns for path in (folder / "ntuples").iterdir()}

        again = invoke("demo", "-o", folder, "--seed", 3)
        assert again.exit_code == 4
        assert "finished; use --force" in again.stderr
        other = invoke("demo", "-o", folder, "--seed", 4)
        assert other.exit_code == 4
        assert "holds the demo of seed 3, not 4" in other.stderr
        assert {path: path.stat().st_mtime_ns for path in (folder / "ntuples").iterdir()} == ntuples
        assert summary(folder / "results") == found

        assert invoke("demo", "-o", folder, "--seed", 4, "--force").exit_code == 0
        assert summary(folder / "results")["results"] != found["results"]

    @pytest.mark.usefixtures("small_demo")
    def test_a_folder_of_others_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("precious")
        result = invoke("demo", "-o", tmp_path)
        assert result.exit_code == 4
        assert result.stderr == (
            f"cortado: {tmp_path} holds 'thesis.tex' and is not the folder of a demo; "
            "choose another, or use --force\n"
        )
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.usefixtures("small_demo")
    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "file").write_text("")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            for force in ([], ["--force"]):
                result = invoke("demo", "-o", folder, *force)
                assert result.exit_code == 4
                assert str(folder) in result.stderr

    @pytest.mark.usefixtures("small_demo")
    def test_interrupted_while_it_writes_ntuples(self, tmp_path, monkeypatch):
        folder = tmp_path / "demo"
        with monkeypatch.context() as patch:
            patch.setattr(ntuples, "_write_file", _interrupted_at("bkg3_0.root", ntuples._write_file))
            result = invoke("demo", "-o", folder)
        assert (result.exit_code, result.stderr) == (130, INTERRUPTED)
        assert [str(p.relative_to(folder)) for p in folder.rglob("*")] == ["ntuples"]
        assert invoke("demo", "-o", folder).exit_code == 0
        assert (folder / "results" / "summary.json").exists()


def _interrupted_at(name, write):
    def write_file(path, *arguments):
        if path.name == name:
            raise KeyboardInterrupt
        write(path, *arguments)

    return write_file


class TestInterrupts:
    """A real Ctrl-C, which a terminal sends to the command and to the worker processes that it started."""

    @staticmethod
    def interrupt(arguments, stage, seconds):
        """Run the command, interrupt it some seconds after it begins a stage, return status and stderr."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(stage):
                break
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        return process, stderr

    @staticmethod
    def assert_gone(group):
        """No process of the group is left, but for those that nobody has waited for."""
        for _ in range(100):
            listing = subprocess.run(
                ["ps", "-A", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True
            ).stdout
            rows = [line.split(maxsplit=2) for line in listing.splitlines()]
            left = [row for row in rows if row[0] == str(group) and not row[1].startswith("Z")]
            if not left:
                return
            time.sleep(0.1)
        pytest.fail(f"processes are left: {left}")

    @pytest.mark.parametrize(
        ("options", "stage", "seconds", "kept"),
        [
            ([], "Pass 1", 0.5, []),
            pytest.param(["--workers", 2], "Pass 1", 0.5, [], marks=pytest.mark.cluster),
            ([], "Fit: 2", 0.5, ["Pass 1"]),
            ([], "Fit: 3", 0.3, ["Pass 1", "Fit: 2 categories"]),
        ],
    )
    def test_what_was_finished_stays(
        self, tmp_path, toy_folder, config, uninterrupted, options, stage, seconds, kept, monkeypatch
    ):
        path, folder = config(**self.CHANGES), tmp_path / "out"
        chunks = 20 if "Pass" in stage else 5000
        command = ["run", path, "--base", toy_folder, "-o", folder, "--chunk-size", chunks, *options]
        process, stderr = self.interrupt(command, stage, seconds)
        assert (process.returncode, stderr) == (130, INTERRUPTED)
        self.assert_gone(process.pid)
        files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
        stages = {"Pass 1": "stages/sample.npz", "Fit: 2 categories": "stages/categorizer-2.json"}
        assert files == {"run.json", *(stages[name] for name in kept)}

        monkeypatch.setattr("cortado.figures.write_figures", lambda *_: [])
        result = invoke("run", path, "--base", toy_folder, "-o", folder)
        assert result.exit_code == 0
        skipped = re.findall("(.*): finished by an earlier run", result.stdout)
        assert skipped == kept
        for n in (2, 3):
            assert_same_results(folder / f"K{n}", uninterrupted / f"K{n}", toy_folder)

    CHANGES: ClassVar[dict[str, Any]] = {"categories": [2, 3], "fit": {"steps": 30, "starts": 1}}

    @pytest.fixture(scope="class")
    @classmethod
    def uninterrupted(cls, tmp_path_factory, toy_folder, toy_config):
        folder = tmp_path_factory.mktemp("uninterrupted")
        (folder / "config.yaml").write_text(yaml.safe_dump(toy_config(**cls.CHANGES)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cortado.figures.write_figures", lambda *_: [])
            invoke("run", folder / "config.yaml", "--base", toy_folder, "-o", folder / "out")
        return folder / "out"


class TestInterruptsThatPythonWouldLose:
    class Dies:
        """Is interrupted while it is destroyed."""

        def __del__(self):
            raise KeyboardInterrupt

    def test_in_a_destructor(self, tmp_path, few_events, config, monkeypatch):
        def prepare(*_):
            self.Dies()
            time.sleep(10)

        # the tests may run where interrupts are ignored
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            monkeypatch.setattr("cortado.workflow.prepare", prepare)
            result = invoke("run", config(), "--base", few_events, "-o", tmp_path / "out")
        finally:
            signal.signal(signal.SIGINT, before)
        assert (result.exit_code, result.stderr) == (130, INTERRUPTED)

    def test_in_an_import(self, tmp_path, few_events, config, monkeypatch):
        def prepare(*_):
            raise ImportError("initialization failed") from KeyboardInterrupt()

        monkeypatch.setattr("cortado.workflow.prepare", prepare)
        result = invoke("run", config(), "--base", few_events, "-o", tmp_path / "out")
        assert (result.exit_code, result.stderr) == (130, INTERRUPTED)


class TestTheTerminal:
    CHATTER = (
        b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
        b"I0000 00:00:1771371374.642898   10781 port.cc:153] oneDNN custom operations are on. And so on.\n"
        b"E0000 00:00:1771371374.648236   10781 cuda_fft.cc:477] Unable to register cuFFT factory: 1\n"
        b"2025-03-01 10:11:12.131415: I tensorflow/core/util/port.cc:153] oneDNN custom operations are on.\n"
    )
    NEWS = b"F0000 00:00:1771371374.648236   10781 cpu.cc:1] not for this processor\nSomeWarning: heed me\n"

    @pytest.mark.parametrize("error", [None, ImportError("broken")])
    def test_only_what_is_known_is_held_back(self, capfd, monkeypatch, error):
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
        try:
            with startup.without_startup_messages():
                os.write(2, self.CHATTER + self.NEWS)
                if error:
                    raise error
        except ImportError:
            assert error
        os.write(2, b"afterwards\n")
        assert capfd.readouterr().err == self.NEWS.decode() + "afterwards\n"
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"

    def test_nothing_is_held_back_from_who_wants_to_see(self, capfd, monkeypatch):
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
        with startup.without_startup_messages():
            os.write(2, self.CHATTER)
        assert capfd.readouterr().err == self.CHATTER.decode()
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0"

    def test_markup_in_names_is_no_markup(self, tmp_path):
        result = invoke("run", tmp_path / "[red]no[/red].yaml", "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert str(Path(tmp_path) / "[red]no[/red].yaml") in result.stderr
