"""README and documentation hold: their code runs, their configurations parse, their options exist."""

from __future__ import annotations

import functools
import importlib
import json
import linecache
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import uproot
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

import cortado
from cortado import toys
from cortado.categorizer import Categorizer, Expected, Training
from cortado.categorizer.rules import ArgmaxRule, GaussianMixtureRule, GridRule, MaxAffineRule, TableRule
from cortado.cli import app
from cortado.config import parse_config
from cortado.coordinates import Features

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
ALL_PAGES = [*PAGES, *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/README.md"))]
ALL_PAGES += sorted((ROOT / "examples").glob("*/README.md"))


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """Fenced blocks of a page with the number of their first line."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [(text.count("\n", 0, m.start(1)) + 1, m[1]) for m in found]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.fixture(scope="module")
def docs_program() -> Iterator[Any]:
    """A function that imports a program of docs/ by name."""
    sys.path.insert(0, str(ROOT / "docs"))
    yield importlib.import_module
    sys.path.remove(str(ROOT / "docs"))


@pytest.fixture(scope="module")
def ntuples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small toys under every file name that the pages mention."""
    folder = tmp_path_factory.mktemp("docs")
    toys.write_ntuples(folder / "demo" / "ntuples", seed=1, n_signal=3_000, n_background=20_000)
    for number, (name, background) in enumerate(
        {"ggH_0": -1.0, "qqH_0": -1.0, "DY_0J_0": 1.5, "DY_1J_0": 1.5, "Run2012B": 1.5}.items()
    ):
        n = 4_000
        random = np.random.default_rng(number)
        logits = random.normal([name == "ggH_0", name == "qqH_0", background], 1.0, (n, 3))
        scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        columns = {f"score_{c}": scores[:, i].astype("f4") for i, c in enumerate(("ggH", "qqH", "bkg"))}
        columns |= {
            "weight": np.full(n, 1.0 if background > 0 else 0.01, "f4"),
            "event": np.arange(n, dtype="u8"),
            "q_1": random.choice([-1, 1], n).astype("i4"),
            "q_2": random.choice([-1, 1], n).astype("i4"),
            "mt_1": random.exponential(20.0, n).astype("f4"),
        }
        with uproot.recreate(folder / f"{name}.root") as file:
            file.mktree("Events", {k: v.dtype for k, v in columns.items()}).extend(columns)
            file.mktree("Runs", {"genEventSumw": "f8"}).extend({"genEventSumw": np.array([float(n)])})
    return folder


@pytest.fixture
def less_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """``ct.fit`` with few steps: what the pages show is done, only less of it."""
    monkeypatch.setattr(cortado, "fit", functools.partial(cortado.fit, steps=20, starts=1), raising=False)


def execute(page: Path) -> dict[str, Any]:
    """Run the Python blocks of a page, in order and in one module; return its names."""
    module = ModuleType("page_" + re.sub(r"\W", "_", page.stem))
    sys.modules[module.__name__] = module  # where a class is defined, for whoever looks
    try:
        for line, code in blocks(page, "python"):
            source = f"{page}:{line}"
            linecache.cache[source] = (len(code), None, code.splitlines(keepends=True), source)
            exec(compile(code, source, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
        plt.close("all")
    return module.__dict__


@pytest.mark.usefixtures("less_training")
@pytest.mark.parametrize("page", [p for p in PAGES[1:] if blocks(p, "python")], ids=lambda p: p.name)
def test_python_blocks_run(page, ntuples, monkeypatch):
    monkeypatch.chdir(ntuples)
    execute(page)


@pytest.mark.usefixtures("less_training")
def test_python_blocks_of_the_readme_give_what_they_say(ntuples, monkeypatch):
    monkeypatch.chdir(ntuples)
    found = execute(README)
    templates = found["templates"]
    with uproot.open("templates.root") as file:
        assert sorted(file["SR"].keys(cycle=False)) == sorted(toys.PROCESSES)
        total = sum(file[f"SR/{process}"].values().sum() for process in toys.PROCESSES)
    assert total == pytest.approx(toys.LUMINOSITY * sum(toys.CROSS_SECTIONS.values()))
    assert templates.yields(found["signals"]).backgrounds == toys.BACKGROUNDS
    assert Path("workspace.json").exists()
    assert "datacard.root" in Path("datacard.txt").read_text(encoding="utf-8")
    assert set(found["category"]) <= set(range(5))


def test_readme_job_runs_with_the_readme_processor(ntuples, tmp_path):
    """The configuration and the processor of the README, as files beside one another."""
    (_, text), *_ = blocks(README, "yaml")
    (_, processor), *_ = [b for b in blocks(README, "python") if "ProcessorABC" in b[1]]
    (tmp_path / "my_processor.py").write_text(processor, encoding="utf-8")
    quicker = text + "fit: {steps: 20, starts: 1}\n"
    (tmp_path / "config.yaml").write_text(quicker, encoding="utf-8")
    files = [str(tmp_path / "config.yaml"), "-o", str(tmp_path / "results"), "--base", str(ntuples)]
    finished = CliRunner().invoke(app, ["run", *files], catch_exceptions=False)
    assert finished.exit_code == 0, finished.output
    written = {path.name for path in (tmp_path / "results").iterdir()}
    cells = re.findall(r"^\| (`[^|]+) \|", section(README, "## What comes out"), re.MULTILINE)
    promised = {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}
    assert len(promised) > 5
    assert promised <= written

    summary = json.loads((tmp_path / "results" / "summary.json").read_text(encoding="utf-8"))
    (result,) = summary["results"]
    assert {*summary, *result, *result["significances"][0]} <= described("`summary.json`")
    record = json.loads((tmp_path / "results" / "run.json").read_text(encoding="utf-8"))
    assert set(record) <= described("`run.json` and `stages/`")


def described(heading: str) -> set[str]:
    """What stands in code quotes below a heading of docs/outputs.md."""
    return set(re.findall(r"`(\w+)", section(ROOT / "docs" / "outputs.md", f"## {heading}")))


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next of the same level."""
    level = heading.partition(" ")[0]
    text = page.read_text(encoding="utf-8")
    return re.split(rf"^{level} ", text.partition(f"{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


YAML_BLOCKS = [
    pytest.param(text, id=f"{page.name}:{line}") for page in PAGES for line, text in blocks(page, "yaml")
]


@pytest.mark.parametrize("text", YAML_BLOCKS)
def test_yaml_blocks_are_configurations(text):
    """A block that is no complete configuration replaces keys of the README's."""
    (_, complete), *_ = blocks(README, "yaml")
    parse_config(yaml.safe_load(complete) | yaml.safe_load(text))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*/config.yaml")), ids=lambda p: p.parent.name
)
def test_example_configurations_parse(path):
    parse_config(yaml.safe_load(path.read_text(encoding="utf-8")))


COMMAND = re.compile(r"(?:^|[\s/`])cortado +(run|demo|export)\b([^`\n|&]*)")


@pytest.mark.parametrize("name", names(ALL_PAGES))
def test_options_in_commands_exist(name, docs_program):
    reference = docs_program("reference")
    for command, rest in COMMAND.findall((ROOT / name).read_text(encoding="utf-8")):
        used = {word for word in rest.split() if word.startswith("-")}
        assert used <= reference.options(command), f"{name}: cortado {command}{rest}"


def test_options_in_the_text_exist(docs_program):
    reference = docs_program("reference")
    known = {"--version"}.union(*map(reference.options, reference.commands()))
    for page in PAGES:
        used = set(re.findall(r"`(--[a-z-]+)", page.read_text(encoding="utf-8")))
        assert used <= known, page


@pytest.mark.parametrize("page", ["configuration.md", "command-line.md"])
def test_tables_are_those_of_the_code(page, docs_program):
    """``python docs/reference.py`` writes them anew."""
    reference, marked = docs_program("reference"), docs_program("marked")
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for name, write in reference.BLOCKS[page].items():
        assert marked.replaced(text, name, write()) == text, f"{page}, {name}: run `python docs/reference.py`"


def test_the_schema_is_that_of_the_code(docs_program):
    """``python docs/reference.py`` writes it anew."""
    reference = docs_program("reference")
    assert reference.SCHEMA.read_text(encoding="utf-8") == reference.schema()


@pytest.mark.parametrize("name", names(ALL_PAGES))
def test_relative_links_exist(name):
    page = ROOT / name
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+://|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), f"{name} links to {target}"


def test_included_files_exist():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"^```\{literalinclude\} (\S+)", text, re.MULTILINE):
            assert (page.parent / target).exists(), f"{page.name} includes {target}"


def test_modules_in_the_map_are_those_of_the_package():
    """Every module and folder of the package stands in the layout of docs/architecture.md, and no other."""
    layout = section(ROOT / "docs" / "architecture.md", "## Layout")
    package = ROOT / "src" / "cortado"
    inside = layout.partition("src/cortado/\n")[2].partition("\n    processors/")[0]
    named = set(re.findall(r"^ {6}(\S+)", inside, re.MULTILINE))
    there = {p.name for p in package.glob("*.py")}
    there |= {f"{p.parent.name}/" for p in package.glob("*/__init__.py")}
    assert named == there - {"__init__.py", "_version.py"}
    columnar = set(re.findall(r"^ {8}(\S+\.py)", inside, re.MULTILINE))
    assert columnar == {p.name for p in (package / "columnar").glob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize(
    "model",
    [
        ArgmaxRule,
        Categorizer,
        Expected,
        Features,
        GaussianMixtureRule,
        GridRule,
        MaxAffineRule,
        TableRule,
        Training,
    ],
)
def test_fields_of_the_categorizer_are_described(model: type[BaseModel]):
    assert set(model.model_fields) <= described("`categorizer.json`")


def test_picture_is_there_and_small():
    assert 10_000 < (ROOT / "docs" / "images" / "overview.png").stat().st_size <= 300_000


@pytest.mark.parametrize("extrapolated", [False, True])
def test_times_that_were_extrapolated_are_marked(docs_program, extrapolated):
    """The time, both ratios, and a note: wherever fewer epochs have an influence."""
    worth = {"value": 1.0, "min_background": 10.0, "n_categories": 5}
    row = {"toy": "toy", "n_categories": 5, "training": worth, "test": worth}
    costs = {"seconds": 300.0, "cpu_seconds": 600.0, "peak_memory": 2e8, "memory_before": 1e8}
    ratio = dict.fromkeys(costs, 100.0) | {"extrapolated": extrapolated}
    own = {"program": "cortado", "trained": "1 × 250", "extrapolated": False, "median": costs}
    peer = {"program": "gato-hep", "trained": "10", "extrapolated": extrapolated, "median": costs}
    rows = [{**row, **each, "peer_over_this": ratio} for each in (own, peer)]
    text = docs_program("benchmarks").peer({"rows": rows, "setting": {"epochs_of_the_examples": 250}})
    assert text.count("≈") == 4 * extrapolated
    assert "| ≈ **100** | ≈ 100 |" in text or not extrapolated


PARTS_OF_BENCHMARKS = {
    "devices": ["--categories", "3", "--cells", "500"],
    "events": ["--only", "events", "cells", "--multiples", "1"],  # as below, without the peer's environment
    "pass1": ["--scores", "4", "--datasets", "3"],
    "peer": ["--only", "cortado, one start", "--categories", "3", "--toys", "one score"],
    "scaling": ["--only", "categories", "--categories", "3", "--steps", "20", "--starts", "1"],
    "significance": ["--only", "three-classes", "--categories", "3", "--steps", "20", "--starts", "1"],
}


@pytest.mark.parametrize("program", sorted((ROOT / "benchmarks").glob("[!_]*.py")), ids=lambda p: p.stem)
def test_benchmarks_run(program, tmp_path, docs_program):
    """On few events: that they run and say what they compared, not how fast anything is."""
    few = ["--events", "5000", "--repetitions", "1", "--output", str(tmp_path)]
    part = PARTS_OF_BENCHMARKS.get(program.stem, [])
    subprocess.run([sys.executable, str(program), *few, *part], check=True, capture_output=True, timeout=300)
    result = json.loads((tmp_path / f"{program.stem}.json").read_text(encoding="utf-8"))
    assert result["benchmark"] == program.stem
    assert result["setting"]["events"] == 5000
    assert all(ratio["median"] > 0 for ratio in result.get("speed_ratio", {}).values())
    if program.stem != "significance":  # whose page is not that of the times
        page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
        tables = docs_program("benchmarks").tables(program.stem, result)
        assert tables
        for name, text in tables.items():
            assert docs_program("marked").replaced(page, name, text) != page
