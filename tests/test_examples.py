"""The programs of the examples, on few events and for few epochs: what they write."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from cortado.classifiers.performance import auc

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ("calibration", "comparison", "cuts", "images", "roc", "scores")


@pytest.fixture(scope="module")
def compare() -> Iterator[Any]:
    """The program of the comparison, with training on one thread."""
    path = ROOT / "examples" / "classifiers" / "compare.py"
    spec = importlib.util.spec_from_file_location("compare_classifiers", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # where dataclasses look
    spec.loader.exec_module(module)
    with threadpool_limits(1):
        yield module
    del sys.modules[spec.name]


def test_comparison_on_jets(compare, tmp_path, capsys):
    compare.main(["-o", str(tmp_path), "--jets", "300", "--epochs", "1"])
    files = {path.name: path for path in (tmp_path / "jets").iterdir()}
    assert set(files) == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")} | {
        "comparison.json"
    }
    assert all(path.stat().st_size > 1000 for path in files.values())
    content = json.loads(files["comparison.json"].read_text(encoding="utf-8"))
    rows = {row["approach"]: row for row in content["rows"]}
    assert list(rows) == ["cuts", "boosted trees", "dense network", "convolutions"]
    held_out = compare.jets(300).test
    for row in rows.values():
        assert (row["events"], row["n_events"]) == ("held-out", len(held_out))
        assert 0 < row["accuracy"]["uncertainty"] < 0.1
    assert rows["boosted trees"]["auc"]["value"] > 0.9
    printed = capsys.readouterr().out
    assert content["cuts"][0][0] in printed
    for row in rows.values():
        assert f"{row['auc']['value']:.3f}" in printed


def test_images_and_observables_have_the_same_events_in_each_part(compare):
    problem = compare.jets(100)
    for part in ("train", "validation", "test"):
        observables, images = (getattr(split, part) for split in (problem.splits[0], problem.images[0]))
        np.testing.assert_array_equal(observables.event_id, images.event_id)
        np.testing.assert_array_equal(observables.y, images.y)


@pytest.mark.realdata
def test_events_of_htautau(compare, htautau):
    problem = compare.htautau(htautau)
    assert not {"run", "gen_match", "weight"} & set(problem.events.observables)
    assert np.bincount(problem.events.y).tolist() == [3838 + 397 + 742, 486 + 611]
    np.testing.assert_allclose(problem.yields, [5062.5 + 159.6 + 837.1, 229.0 + 22.1], atol=0.2)
    tests = [set(split.test.event_id.tolist()) for split in problem.splits]
    assert set.union(*tests) == set(problem.events.event_id.tolist())
    assert sum(map(len, tests)) == len(problem.events)

    models = [compare.cuts(split) for split in problem.splits]
    predictions = compare.predicted(models, problem.splits, problem)
    assert len(predictions) == len(problem.events)
    assert auc(predictions).value > 0.55
