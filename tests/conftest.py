"""Settings and fixtures that several test modules share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hist
import numpy as np
import pytest
import uproot
from hypothesis import settings

from cortado import toys
from cortado.cells import Cells
from cortado.templates import Templates

ROOT = Path(__file__).resolve().parents[1]

# TensorFlow writes to the terminal while it starts.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# Where the machine is shared, the time of one example says nothing.
settings.register_profile("cortado", deadline=None, max_examples=50)
settings.load_profile("cortado")


def _htautau() -> Path:
    """The CMS Open Data H→ττ ntuples: beside the project, or where CORTADO_HTAUTAU says."""
    return Path(os.environ.get("CORTADO_HTAUTAU", ROOT.parent / "shared" / "data" / "cms_htautau"))


def pytest_runtest_setup(item):
    if item.get_closest_marker("realdata") and not any(_htautau().glob("*.root")):
        pytest.skip(f"no real ntuples in {_htautau()}; CORTADO_HTAUTAU can name another folder")


@pytest.fixture(scope="session")
def htautau() -> Path:
    """Folder of the CMS Open Data H→ττ ntuples; for tests marked ``realdata``."""
    return _htautau()


@pytest.fixture(scope="session")
def make_templates() -> Callable[..., Templates]:
    """A function that makes templates of yields by process and of factors by variation and process."""

    def make(
        yields: dict[str, Any],
        factors: dict[str, dict[str, Any]] | None = None,
        channel: str = "SR",
        relative: float = 0.05,
    ) -> Templates:
        """``relative`` is the statistical uncertainty of every yield; variations of others are not filled."""
        names, variations = list(yields), ["nominal", *(factors or {})]
        nominal = np.array([yields[name] for name in names], np.float64)
        filled = hist.Hist(
            hist.axis.StrCategory(names, name="process", flow=False),
            hist.axis.Integer(0, nominal.shape[1], name="category", flow=False),
            hist.axis.StrCategory(variations, name="variation", flow=False),
            storage=hist.storage.Weight(),
        )
        view: Any = filled.view()
        for v, variation in enumerate(variations):
            by_process = dict.fromkeys(names, 1.0) if v == 0 else (factors or {})[variation]
            for name, factor in by_process.items():
                row = names.index(name)
                view["value"][row, :, v] = nominal[row] * factor
                view["variance"][row, :, v] = (nominal[row] * relative) ** 2
        return Templates(filled, np.ones(nominal.shape, np.int64), np.zeros((len(names), 2)), "all", channel)

    return make


@pytest.fixture(scope="session")
def write_tree() -> Callable[..., Path]:
    """A function that writes columns as a TTree of a ROOT file, and a sum of weights as a second one."""

    def write(path: Path, columns: dict[str, Any], tree: str = "Events", sum_of_weights: float = 0.0) -> Path:
        arrays = {name: np.asarray(column) for name, column in columns.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with uproot.recreate(path) as file:
            file.mktree(tree, {name: array.dtype for name, array in arrays.items()}).extend(arrays)
            if sum_of_weights:
                file.mktree("Runs", {"genEventSumw": np.float64}).extend(
                    {"genEventSumw": np.array([sum_of_weights])}
                )
        return path

    return write


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy ntuples: 2000 events a signal, 20 000 background, several files for the large processes.

    The file ``collisions.root`` holds 1500 events without weights, as collision data do.
    """
    folder = tmp_path_factory.mktemp("toy")
    toys.write_ntuples(folder, seed=1, n_signal=2000, n_background=20_000, events_per_file=3000)
    events = toys.three_class(seed=2, n_signal=100, n_background=1300)
    scores = np.concatenate([e.scores for e in events.values()])
    with uproot.recreate(folder / "collisions.root") as file:
        tree = file.mktree("Events", dict.fromkeys(toys.SCORES, np.float32) | {"event": np.uint64})
        columns: dict[str, Any] = dict(zip(toys.SCORES, scores.T, strict=True))
        tree.extend(columns | {"event": np.arange(len(scores), dtype=np.uint64)})
    return folder


@pytest.fixture(scope="session")
def few_events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Toy ntuples small enough to be read in chunks of a handful: 30 events a signal, 300 background."""
    folder = tmp_path_factory.mktemp("few")
    toys.write_ntuples(folder, seed=3, n_signal=30, n_background=300, events_per_file=75)
    return folder


@pytest.fixture(scope="session")
def toy_config() -> Callable[..., dict[str, Any]]:
    """A function that gives the configuration of a quick fit to toy ntuples, with changes."""

    def config(**changes: Any) -> dict[str, Any]:
        content: dict[str, Any] = {
            "processor": {"options": {"weight": "weight", "event_id": "event"}},
            "datasets": {p: {"files": [f"{p}_*.root"], "process": p} for p in toys.PROCESSES},
            "features": [{"name": name} for name in toys.SCORES],
            "coordinates": [{"kind": "logratio", "features": list(toys.SCORES)}],
            "signals": list(toys.SIGNALS),
            "categories": 3,
            "fit": {"steps": 30, "starts": 1},
        }
        return content | changes

    return config


@pytest.fixture(scope="session")
def assert_same_sums() -> Callable[[Cells, Cells], None]:
    """A function that requires equal cells and counts, and sums equal to 10⁻⁹ of those of absolute values."""

    def check(a: Cells, b: Cells) -> None:
        assert a.sources == b.sources
        np.testing.assert_array_equal(a.source, b.source)
        np.testing.assert_array_equal(a.key, b.key)
        np.testing.assert_array_equal(a.count, b.count)
        assert np.all(np.abs(a.sums - b.sums) <= 1e-9 * np.abs(a.sums).sum(axis=0))

    return check
