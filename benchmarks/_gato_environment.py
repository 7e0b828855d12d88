"""A virtual environment with gato-hep, which pins a TensorFlow older than ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

GATO_HEP = "0.2.1"
# TensorFlow 2.17 to 2.19, which gato-hep wants, has wheels for these and no others that gato-hep runs on.
_MINORS = (12, 11, 10)
_LIBRARIES = ("gato-hep", "tensorflow", "keras", "tensorflow-probability", "numpy")


def gato_hep_python(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``, which is built unless it is there already."""
    environment = folder / f"gato-hep-{GATO_HEP}"
    python, complete = environment / "bin" / "python", environment / "complete"
    if not complete.exists():
        shutil.rmtree(environment, ignore_errors=True)
        print(f"building an environment with gato-hep {GATO_HEP} in {environment}", flush=True)
        for command in _commands(environment, python):
            subprocess.run(command, check=True)
        complete.touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """The versions of Python and of what matters in the environment of an interpreter."""
    program = (
        "import json, platform; from importlib.metadata import version; "
        f"print(json.dumps({{'python': platform.python_version(), "
        f"**{{name: version(name) for name in {_LIBRARIES}}}}}))"
    )
    found = subprocess.run([str(python), "-c", program], check=True, capture_output=True, text=True)
    return dict(json.loads(found.stdout))


def _commands(environment: Path, python: Path) -> list[list[str]]:
    wanted = f"gato-hep=={GATO_HEP}"
    base = _supported()
    if uv := shutil.which("uv"):
        return [
            [uv, "venv", "--python", base, str(environment)],
            [uv, "pip", "install", "--python", str(python), wanted],
        ]
    return [[base, "-m", "venv", str(environment)], [str(python), "-m", "pip", "install", "-q", wanted]]


def _supported() -> str:
    """An interpreter that gato-hep runs on, this one if it is; with uv its version is enough."""
    if sys.version_info[:2] in [(3, minor) for minor in _MINORS]:
        return sys.executable
    if shutil.which("uv"):
        return f"3.{_MINORS[0]}"
    for minor in _MINORS:
        found = shutil.which(f"python3.{minor}")
        # A shim of pyenv is there for versions that are not switched on, and fails.
        if found and subprocess.run([found, "--version"], check=False, capture_output=True).returncode == 0:
            return found
    raise SystemExit(
        f"gato-hep {GATO_HEP} needs Python 3.{_MINORS[-1]} to 3.{_MINORS[0]}, none is on the path"
    )
