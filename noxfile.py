"""Every task of a contributor. ``nox`` alone checks style and types and runs the tests; ``nox -l`` lists all.

Arguments after ``--`` go to the program that a task runs: ``nox -s tests -- -k sample``.
"""

from __future__ import annotations

import itertools
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["lint", "tests"]
nox.options.reuse_venv = "yes"

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(GROUPS, name))


def fresh(*parts: str) -> Path:
    """Return the path of an output folder below build/ that does not exist yet."""
    path = BUILD.joinpath(*parts)
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@nox.session
def lint(session: nox.Session) -> None:
    """Check style (ruff) and types (mypy); the heavy libraries are not installed for it."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, in two processes; arguments go to pytest."""
    session.install("-e", ".", *group("test"))
    session.run("pytest", "-n", "2", "--dist", "worksteal", *session.posargs)


@nox.session(default=False)
def rabbit(session: nox.Session) -> None:
    """Fit datacards with rabbit, another program that reads them, and compare with pyhf."""
    session.install("-e", ".", *group("test"), *group("rabbit"))
    session.run("pytest", "-o", "log_cli=true", "tests/agreement_with_rabbit.py", *session.posargs)


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """Run the whole job on toy ntuples, into build/demo; arguments go to `cortado demo`."""
    session.install("-e", ".")
    session.run("cortado", "demo", "-o", str(fresh("demo")), *session.posargs)


@nox.session(default=False)
def examples(session: nox.Session) -> None:
    """Run each example by the command in its README; arguments select examples by name."""
    session.install("-e", ".[classifiers]")
    folders = {page.parent.name: page for page in sorted((ROOT / "examples").glob("*/README.md"))}
    unknown = set(session.posargs) - set(folders)
    if unknown:
        session.error(f"no such example: {', '.join(sorted(unknown))} (there are: {', '.join(folders)})")
    fresh("examples")
    for name in session.posargs or folders:
        run_example(session, name, folders[name].read_text(encoding="utf-8"))


def run_example(session: nox.Session, name: str, page: str) -> None:
    """Run the command of one example from the repository's root.

    It is the fenced block after ``<!-- command -->``. OUT in it stands for a fresh output folder, and FOLDER
    for the input that ``<!-- folder: PATH -->`` names; where that is absent the example is left out.
    """
    block = re.search(r"^<!-- command -->\s*```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    if block is None:
        session.error(f"examples/{name}/README.md marks no command with <!-- command -->")
    command = re.sub(r"\bOUT\b", f"build/examples/{name}", block[1].strip())
    if folder := re.search(r"^<!-- folder: (.+?) -->", page, re.MULTILINE):
        if not (ROOT / folder[1]).exists():
            session.warn(f"example {name} left out: {folder[1]} is not here")
            return
        command = re.sub(r"\bFOLDER\b", folder[1], command)
    session.log(f"example {name}: {command}")
    session.run("bash", "-euo", "pipefail", "-c", command, external=True)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build/html; a warning is an error."""
    session.install("-e", ".", *group("docs"))
    session.run("python", "docs/reference.py")
    session.run("sphinx-build", "-W", "--keep-going", *session.posargs, "docs", "docs/_build/html")


@nox.session(default=False)
def figures(session: nox.Session) -> None:
    """Run the demo, and refresh its picture and results in README and docs; arguments go to overview.py."""
    session.install("-e", ".")
    out = fresh("figures")
    session.run("cortado", "demo", "-o", str(out))
    session.run("python", "docs/overview.py", str(out / "results"), *session.posargs)


@nox.session(default=False)
def benchmark(session: nox.Session) -> None:
    """Run the scripts in benchmarks/, with JSON files in build/benchmarks.

    Names before all other arguments select some of them; what comes after goes to each.
    """
    session.install("-e", ".")
    scripts = {script.stem: script for script in sorted((ROOT / "benchmarks").glob("[!_]*.py"))}
    names = list(itertools.takewhile(scripts.__contains__, session.posargs))
    for name in names or scripts:
        output = ["--output", str(BUILD / "benchmarks")]
        session.run("python", str(scripts[name]), *output, *session.posargs[len(names) :])


@nox.session(default=False, reuse_venv=False)
def build(session: nox.Session) -> None:
    """Build the wheel into dist/ and run its demo in a clean environment, away from the repository."""
    wheels = ROOT / "dist"
    shutil.rmtree(wheels, ignore_errors=True)
    session.run("pip", "wheel", "--no-deps", "--wheel-dir", str(wheels), ".")
    (wheel,) = wheels.glob("*.whl")
    session.install(str(wheel))
    with session.chdir(session.create_tmp()):
        out = fresh("wheel-demo")
        session.run("python", "-c", "import cortado; print(cortado.__version__, cortado.__file__)")
        session.run("cortado", "demo", "-o", str(out), *session.posargs)
