"""Workers and fit jobs must not pay for TensorFlow: what does not train does not import it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cortado as ct
from cortado import classifiers, softcuts

GOLDEN = Path(__file__).parent / "golden" / "categorizer.json"
HEAVY = ("tensorflow", "keras", "tf_keras", "tensorflow_probability", "torch", "sklearn", "onnxruntime")
PLOTTING = ("matplotlib", "mplhep")


def loaded(code: str) -> set[str]:
    """Names of the modules that a fresh interpreter holds after some code."""
    report = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    finished = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return set(json.loads(finished.stdout.splitlines()[-1]))


CATEGORIZER = f"""
import numpy as np
import cortado as ct
categorizer = ct.Categorizer.load({str(GOLDEN)!r})
assert categorizer(np.full((5, 3), 1 / 3)).shape == (5,)
filler = ct.TemplateFiller(categorizer)
part = filler.fill("DY", np.full((5, 3), 1 / 3), np.ones(5), event_id=np.arange(5))
part.templates().yields()
"""

COLLECTOR = """
import numpy as np
import cortado as ct
collector = ct.Collector(["a", "b", "c"], "logratio")
part = collector.fill("DY", np.full((5, 3), 1 / 3), np.ones(5), event_id=np.arange(5))
(part + collector.empty).points().coarsened(1)
yields = ct.Yields(("s", "b"), np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 3)))
(ct.Asimov("s") + ct.MinBackground(1.0))(yields)
"""

# One interpreter looks at all modules in turn, another at what they do.
MODULES = [
    "cortado",
    "cortado.columnar",
    "cortado.templates",
    "cortado.checks",
    "cortado.classifiers",
    "cortado.classifiers.hml_archive",
    "cortado.classifiers.images",
    "cortado.classifiers.labelled_events",
    "cortado.classifiers.observables",
    "cortado.classifiers.cut_and_count",
    "cortado.classifiers.comparison",
    "cortado.export",
    "cortado.config",
    "cortado.inference",
    "cortado.softcuts",
    "cortado.softcuts.losses",
    "cortado.softcuts.optimum",
    "cortado.softcuts.relaxations",
]
CODE = {
    "modules": "\n".join(f"import {name}" for name in [*MODULES, "cortado.workflow", "cortado.cli"]),
    "categorizer": CATEGORIZER,
    "collector": COLLECTOR,
}


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_nothing_but_training_imports_tensorflow(code):
    modules = loaded(code)
    assert "cortado.categorizer" in modules
    assert not modules.intersection(HEAVY)
    assert not modules.intersection(PLOTTING)


def test_training_does_import_tensorflow():
    """Else the tests above would prove nothing."""
    assert "tensorflow" in loaded("from cortado import GaussianMixture")


@pytest.mark.parametrize("name", ct.__all__)
def test_every_public_name_is_there(name):
    assert getattr(ct, name) is not None
    assert name in dir(ct)


@pytest.mark.parametrize("name", classifiers.__all__)
def test_every_classifier_is_there(name):
    assert getattr(classifiers, name) is not None
    assert name in dir(classifiers)


@pytest.mark.parametrize("name", softcuts.__all__)
def test_every_name_of_relaxed_cuts_is_there(name):
    assert getattr(softcuts, name) is not None
    assert name in dir(softcuts)


def test_unknown_names_are_an_attribute_error():
    with pytest.raises(AttributeError, match="'cortado' has no attribute 'Cappuccino'"):
        _ = ct.Cappuccino


@pytest.mark.parametrize(
    ("error", "status", "builtin"),
    [
        (ct.ConfigError, 2, ValueError),
        (ct.InputError, 3, ValueError),
        (ct.OutputError, 4, OSError),
        (ct.TrainingError, 5, RuntimeError),
        (ct.FitError, 6, RuntimeError),
    ],
)
def test_errors_have_an_exit_status_of_their_own(error, status, builtin):
    assert error.exit_status == status
    assert issubclass(error, ct.CortadoError)
    assert issubclass(error, builtin)
