"""Datacards are read and fitted by a program that is not ours, and agree with workspaces: ``nox -s rabbit``.

rabbit (https://pypi.org/project/rabbit-fit) reads the card with a parser of its own and the shapes with
uproot, and fits with TensorFlow. The statistics of the simulation are one parameter a bin in both programs.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cortado import export
from cortado.inference import Likelihood, best_fit, load_workspace
from cortado.inference.likelihood import numpy_in_pyhf
from cortado.templates import Templates

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(900)

SIGNALS = ["signal1", "signal2"]
YIELDS = {
    "signal1": [2.0, 4.0, 8.0, 12.0, 10.0, 6.0],
    "signal2": [12.0, 9.0, 5.0, 3.0, 1.0, 0.5],
    "ttbar": [400.0, 200.0, 90.0, 40.0, 15.0, 5.0],
    "diboson": [100.0, 60.0, 40.0, 10.0, 5.0, 3.0],
}
SLOPE = np.linspace(-1, 1, 6)
FACTORS: dict[str, dict[str, Any]] = {
    "jesUp": {"ttbar": 1.05 + 0.05 * SLOPE, "diboson": 1.03 + 0.02 * SLOPE},
    "jesDown": {"ttbar": 0.94 - 0.05 * SLOPE, "diboson": 0.97 - 0.02 * SLOPE},
    "pileupUp": {"signal1": 1 + 0.02 * SLOPE**2, "ttbar": 1 - 0.02 * SLOPE},
}
CONTROL = {"ttbar": [5000.0], "diboson": [50.0]}
CONTROL_FACTORS = {"jesUp": {"ttbar": 1.02}, "jesDown": {"ttbar": 0.98}}
RATES = {"lumi": 1.016, "xs_ttbar": {"ttbar": (0.92, 1.06)}, "pileup": {"signal2": 1.02}}

CASES: dict[str, tuple[bool, bool, dict[str, Any]]] = {
    "statistics alone": (False, False, {}),
    "variations": (True, False, {}),
    "rates": (False, False, {"rate_uncertainties": RATES}),
    "everything": (True, True, {"rate_uncertainties": RATES}),
    "a channel a category": (True, True, {"rate_uncertainties": RATES, "layout": "channels"}),
}

# Of the fit: parameters by name, with the variance from the second derivatives.
READ = """
import sys
from rabbit import io_tools
names, _, uncertainties = io_tools.get_pulls_and_constraints(io_tools.get_fitresult(sys.argv[1]))
for name, uncertainty in zip(names, uncertainties):
    print("result", name, uncertainty)
"""


def rabbit(card: Path) -> dict[str, float]:
    """Uncertainties of all parameters by name, from Asimov data."""
    steps = [
        ["-m", "bin.text2hdf5", card.name, "-o", ".", "--outname", "tensor"],
        ["-m", "bin.rabbit_fit", "tensor.hdf5", "-t", "-1", "--unblind", "--allowNegativePOI", "-o", "."],
        ["-c", READ, "fitresults.hdf5"],
    ]
    for step in steps:
        done = subprocess.run(
            [sys.executable, *step],
            cwd=card.parent,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("result ")]
    return {name: float(uncertainty) for _, name, uncertainty in lines}


@pytest.mark.parametrize(("varied", "control", "options"), CASES.values(), ids=CASES)
def test_strengths_are_as_uncertain_in_rabbit_as_in_pyhf(
    tmp_path: Path,
    make_templates: Callable[..., Templates],
    varied: bool,
    control: bool,
    options: dict[str, Any],
) -> None:
    templates = [make_templates(YIELDS, FACTORS if varied else {})]
    if control:
        templates.append(
            make_templates(CONTROL, CONTROL_FACTORS if varied else {}, channel="CR", relative=0.01)
        )
    card = export.combine(templates, signals=SIGNALS, path=tmp_path / "card.txt", **options)
    workspace = load_workspace(
        export.pyhf(templates, signals=SIGNALS, path=tmp_path / "workspace.json", **options)
    )
    with numpy_in_pyhf():
        likelihood = Likelihood.of(workspace)
        fitted = best_fit(likelihood, likelihood.asimov(likelihood.parameters()))
    theirs = rabbit(card)
    for signal in SIGNALS:
        ours = fitted.strengths[f"mu_{signal}"].hesse
        logger.info("σ(%s): %.5f with pyhf, %.5f with rabbit", signal, ours, theirs[signal])
        assert theirs[signal] == pytest.approx(ours, rel=0.02)
    nuisances = {name for name in likelihood.names if "[" not in name} - set(likelihood.strengths)
    assert set(theirs) == {*SIGNALS, *nuisances}
