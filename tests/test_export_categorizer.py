"""Categorizers in correctionlib and ONNX: the categories of the numpy form, up to events where two tie."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import correctionlib
import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from cortado import export
from cortado.categorizer import (
    UNCATEGORISED,
    ArgmaxRule,
    Categorizer,
    GaussianMixtureRule,
    GridRule,
    MaxAffineRule,
    TableRule,
    argmax_projections,
)
from cortado.cli import app
from cortado.coordinates import Features
from cortado.errors import ConfigError, OutputError
from cortado.export.decimals import with_readable_numbers
from cortado.export.onnx_graph import build_graph

GOLDEN = Path(__file__).parent / "golden" / "categorizer.json"
PAGE = Path(__file__).parents[1] / "docs" / "categorizer.md"
Floats = np.ndarray
Random = np.random.Generator

# --- categorizers and their events --------------------------------------------------------------------------

MASSES = (125.0, 91.0)
SCORES = Features.declare(["a", "b", "c"], "logratio", {"b": -999.0})
MIXED = Features.declare(
    ["p", "m"],
    [{"kind": "linear", "features": ["m"], "range": [100, 150]}, {"kind": "logit", "features": ["p"]}],
    {"m": 127.0, "p": -1.0},
)
SCORE = Features.declare(["p"], "logit", {"p": -99.9})
PLANE = Features.declare(["m", "q"], missing={"m": -999.0, "q": math.nan})


def mixture(n: int, centre: tuple[float, ...], spread: float = 2.0) -> GaussianMixtureRule:
    random, d = np.random.default_rng(n), len(centre)
    root = spread * random.normal(0, 0.5, (n, d, d))
    weights = random.dirichlet(np.full(n, 5.0))
    return GaussianMixtureRule(
        weights=tuple(weights / weights.sum()),
        means=(np.array(centre) + 2 * spread * random.normal(size=(n, d))).tolist(),
        covariances=(root @ root.transpose(0, 2, 1) + 0.3 * spread**2 * np.eye(d)).tolist(),
    )


def affine(n: int, at: tuple[float, ...], exponential: tuple[bool, ...]) -> MaxAffineRule:
    slopes = np.random.default_rng(n).normal(size=(n, len(at)))
    offsets = -slopes @ at - 0.5 * (slopes**2).sum(axis=1)
    return MaxAffineRule(slopes=slopes.tolist(), offsets=offsets.tolist(), exponential=exponential)


def table(widths: tuple[float, float], origin: tuple[int, int]) -> TableRule:
    keys = np.array([(i, j) for i in range(-9, 9) for j in range(-9, 9) if (i * 7 + j * 3) % 5])
    return TableRule.from_cells(np.array(widths, np.float64), np.add(keys, origin), (keys[:, 0] // 3) % 4)


def softmax(n_scores: int) -> Callable[[Random, int], Floats]:
    def events(random: Random, n: int) -> Floats:
        z = np.exp(random.normal(0, 3, (n, n_scores)))
        return z / z.sum(axis=1, keepdims=True)

    return events


def masses(random: Random, n: int) -> Floats:
    return random.normal(MASSES, (4.0, 3.0), (n, 2))


def score_and_mass(random: Random, n: int) -> Floats:
    return np.column_stack([random.uniform(0, 1, n), random.normal(125, 4, n)])


def near_0_and_1(random: Random, n: int) -> Floats:
    p = 10 ** -random.uniform(0, 12, n)
    return np.where(random.random(n) < 0.5, p, 1 - p)[:, None]


def two_scores(random: Random, n: int) -> Floats:
    p = near_0_and_1(random, n)
    return np.hstack([p, 1 - p])


def scores_and_mass(random: Random, n: int) -> Floats:
    p = softmax(3)(random, n)
    return np.column_stack([p[:, 0], masses(random, n)[:, 0], p[:, 1:]])


LOGRATIO_AND_MASS = Features.declare(
    ["p1", "m", "p2", "p3"],
    [{"kind": "logratio", "features": ["p1", "p2", "p3"]}, {"kind": "identity", "features": ["m"]}],
    {"m": -999.0},
)
MERGED = tuple(k % 4 for k in range(18))
ARGMAX = argmax_projections(SCORES, 6)
assert ARGMAX is not None

# Features, rule, events and the number of these.
Events = Callable[[Random, int], Floats]
CASES: dict[str, tuple[Features, Any, Events, int]] = {
    "mixture of scores": (SCORES, mixture(4, (0.0, 0.0)), softmax(3), 1_000_000),
    "mixture of masses": (PLANE, mixture(5, MASSES), masses, 1_000_000),
    "mixture in four coordinates": (
        Features.declare(list("abcde"), "logratio"),
        mixture(4, (0.0,) * 4),
        softmax(5),
        200_000,
    ),
    "mixture of a score and a mass": (MIXED, mixture(4, (125.0, 0.0)), score_and_mass, 200_000),
    "mixture of one score": (SCORE, mixture(6, (0.0,)), near_0_and_1, 200_000),
    "mixture of two scores": (
        Features.declare(["s", "b"], "logratio"),
        mixture(6, (0.0,)),
        two_scores,
        200_000,
    ),
    "one category": (PLANE, mixture(1, MASSES), masses, 1_000),
    "rectangles": (
        MIXED,
        GridRule(edges=((120.1, 125.3, 127.0, 130.7), (-2.0, 0.3, 1.0))),
        score_and_mass,
        1_000_000,
    ),
    "rectangles of log-ratios": (
        LOGRATIO_AND_MASS,
        GridRule(edges=((-1.0, 2.0), (0.5,), (120.0, 130.0)), categories=MERGED),
        scores_and_mass,
        200_000,
    ),
    "edges beyond the floor": (SCORE, GridRule(edges=((-25.0, 0.0, 25.0),)), near_0_and_1, 10_000),
    "affine functions of ratios": (SCORES, affine(5, (1.0, 1.0), (True, True)), softmax(3), 1_000_000),
    "affine functions of both": (MIXED, affine(4, (125.0, 1.0), (False, True)), score_and_mass, 200_000),
    "affine functions": (PLANE, affine(4, MASSES, (False, False)), masses, 200_000),
    "argmax projections": (ARGMAX.features, ARGMAX.rule, softmax(3), 1_000_000),
    "table of one score": (
        SCORE,
        TableRule.from_cells(np.array([0.3]), np.arange(-60, 60, 3)[:, None], np.arange(40) % 7),
        near_0_and_1,
        200_000,
    ),
    "table of scores": (SCORES, table((0.5, 0.3), (0, 0)), softmax(3), 200_000),
    "table of masses": (PLANE, table((1.0, 0.75), (125, 121)), masses, 200_000),
}
NOT_IN_CORRECTIONLIB = ("table of scores", "table of masses")
SPECIAL = (math.nan, math.inf, -math.inf, -999.0, -99.9, -1.0, 0.0, 1.0, 1 + 5e-7, 1.1, 127.0, 1e20, 5e-324)


def made(name: str) -> tuple[Categorizer, Floats]:
    """The categorizer and its events: n random ones, those on boundaries, and those with special values."""
    features, rule, sample, n = CASES[name]
    categorizer = Categorizer(features=features, rule=rule)
    random = np.random.default_rng(3)
    x = sample(random, n)
    special = sample(random, 100 * len(SPECIAL))
    column = random.integers(0, special.shape[1], len(special))
    special[np.arange(len(special)), column] = np.repeat(SPECIAL, 100)
    return categorizer, np.concatenate([x, on_boundaries(categorizer, sample(random, 20_000)), special])


def on_boundaries(categorizer: Categorizer, x: Floats) -> Floats:
    """Pairs of events, next to each other, on either side of boundaries: bisection between random events."""
    a, b = np.split(x, 2)
    own, other = categorizer(a), categorizer(b)
    a, b = a[own != other], b[own != other]
    own = categorizer(a)
    for _ in range(60):
        middle = 0.5 * (a + b)
        same = (categorizer(middle) == own)[:, None]
        a, b = np.where(same, middle, a), np.where(same, b, middle)
    return np.concatenate([a, b])


def disagree(categorizer: Categorizer, x: Floats, category: np.ndarray) -> tuple[Floats, np.ndarray]:
    """Events, and their categories, that are not those of the categorizer."""
    expected = categorizer(x, invalid="uncategorised")
    assert category.shape == expected.shape
    wrong = category != expected
    # A missing or invalid value is one on both sides.
    assert not ((category == UNCATEGORISED) & wrong).any()
    assert not ((expected == UNCATEGORISED) & wrong).any()
    return x[wrong], category[wrong]


def tie(categorizer: Categorizer, x: Floats, category: np.ndarray) -> bool:
    """Whether each event is as good in its category, to the rounding of double precision, 2⁻⁵³.

    For functions: their difference is no more than what rounding of coordinates, 2⁻⁴⁸ of the size of the
    logarithms in them, and of terms makes of it. Otherwise: a coordinate nearby, by as much, has this
    category.
    """
    rule, u = categorizer.rule, categorizer.features.forward(x)
    shift = 2.0**-48 * np.maximum(4.0, np.abs(u))
    if isinstance(rule, GaussianMixtureRule | MaxAffineRule) and rule.dimensions > 1:
        values, sizes = functions(rule, u)
        best = np.argmax(values, axis=1)
        rows = np.arange(len(x))
        allowed = 2.0**-49 * (sizes[rows, best] + sizes[rows, category])
        difference = values[rows, best] - values[rows, category]
        for axis in range(u.shape[1]):
            moved = u.copy()
            moved[:, axis] += shift[:, axis]
            there, _ = functions(rule, moved)
            allowed += np.abs(there[rows, best] - there[rows, category] - difference)
        return bool((difference <= allowed).all())
    nearby = np.array(np.meshgrid(*[(-1, 0, 1)] * u.shape[1])).reshape(u.shape[1], -1).T
    return bool(np.any([rule.assign(u + step * shift) == category for step in nearby], axis=0).all())


def functions(rule: GaussianMixtureRule | MaxAffineRule, u: Floats) -> tuple[Floats, Floats]:
    """The functions whose largest is the category, (n, K), and the sums of the sizes of their terms."""
    if isinstance(rule, GaussianMixtureRule):
        centre = np.mean(rule.means, axis=0)
        left, right = np.triu_indices(u.shape[1])
        z = u - centre
        terms, coefficients = np.hstack([z, z[:, left] * z[:, right]]), rule.quadratic(centre)
    else:
        terms = np.where(rule.exponential, np.exp(np.where(rule.exponential, u, 0.0)), u)
        coefficients = np.vstack([rule.offsets, np.transpose(rule.slopes)])
    terms = np.column_stack([np.ones(len(u)), terms])
    return terms @ coefficients, np.abs(terms) @ np.abs(coefficients)


# --- agreement ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_IN_CORRECTIONLIB])
def test_correctionlib_gives_the_same_categories(tmp_path, name):
    categorizer, x = made(name)
    path = export.correctionlib(categorizer, tmp_path / "correction.json")
    correction = correctionlib.CorrectionSet.from_file(str(path))["category"]
    assert [v.name for v in correction.inputs] == list(categorizer.features.names)
    category = correction.evaluate(*x.T)
    wrong, got = disagree(categorizer, x, category.astype(np.int64))
    assert np.array_equal(category, np.round(category))
    # Of 20 000 events on boundaries, to the rounding of double precision; of random events none.
    n = CASES[name][3]
    assert np.array_equal(category[:n], categorizer(x[:n], invalid="uncategorised"))
    assert len(wrong) < 10_000
    assert tie(categorizer, wrong, got)


def run(content: bytes | str, x: Floats) -> np.ndarray:
    """The categories from onnxruntime, with 100 000 events at a time."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    blocks = np.array_split(x.astype(np.float32), max(1, len(x) // 100_000))
    return np.concatenate([session.run(["category"], {"features": block})[0] for block in blocks])


EXACT = (
    "argmax projections",
    "edges beyond the floor",
    "mixture of one score",
    "one category",
    "rectangles",
    "table of one score",
)


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("name", CASES)
def test_onnx_gives_the_same_categories(tmp_path, name):
    categorizer, x = made(name)
    single = x.astype(np.float32).astype(np.float64)
    path = export.onnx(categorizer, tmp_path / "categorizer.onnx")
    category = run(str(path), single)
    assert category.dtype == np.int64
    wrong, got = disagree(categorizer, single, category)
    n = CASES[name][3]
    assert np.array_equal(category[:n], categorizer(single[:n], invalid="uncategorised"))
    assert len(wrong) < (1 if name in EXACT else 10_000)
    assert tie(categorizer, wrong, got)


def test_components_far_apart_in_units_of_their_width_are_told_apart(tmp_path):
    """Squares of 10⁵ widths have no digits left in single precision for what is decided within one."""
    narrow = ((1e-6, 0.0), (0.0, 1e-6))
    rule = GaussianMixtureRule(
        weights=(0.25,) * 4,
        means=((0.0, 0.0), (0.004, 0.003), (100.0, -60.0), (100.003, -60.0)),
        covariances=(narrow, ((2e-6, 5e-7), (5e-7, 1e-6)), narrow, ((1e-6, -5e-7), (-5e-7, 3e-6))),
    )
    categorizer = Categorizer(features=PLANE, rule=rule)
    random = np.random.default_rng(5)
    x = np.array(rule.means)[random.integers(4, size=50_000)] + random.normal(0, 0.003, (50_000, 2))
    x = x.astype(np.float32).astype(np.float64)
    category = run(str(export.onnx(categorizer, tmp_path / "c.onnx")), x)
    assert np.array_equal(category, categorizer(x))
    assert np.bincount(category).min() > 5_000


def numbers(random: Random, n: int) -> Floats:
    """Of all sizes that a quantity may have, most of them with 17 digits."""
    return np.concatenate([random.normal(0, 10, n), 10 ** random.uniform(-250, 250, n), -random.random(n)])


def test_correctionlib_reads_the_edges_that_were_meant(tmp_path):
    """Each edge is the first number of its bin, and the number before it the last one of the bin before."""
    edges = np.unique(numbers(np.random.default_rng(2), 1_000))
    categorizer = Categorizer(features=Features.declare(["m"]), rule=GridRule(edges=(tuple(edges),)))
    path = export.correctionlib(categorizer, tmp_path / "c.json")
    correction = correctionlib.CorrectionSet.from_file(str(path))["category"]
    for x in (edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)):
        assert np.array_equal(correction.evaluate(x), categorizer(x[:, None]))
    (content,) = json.loads(path.read_text(encoding="utf-8"))["corrections"]
    assert content["data"]["edges"][1:-1] == edges.tolist()


def test_what_readers_get_right_is_left_as_it_is():
    text = '{"0.30000000000000004": [1, 0.5, -2.25e-9, 120.1, true], "a\\"1.7976931348623157e308": null}'
    assert with_readable_numbers(text) == text
    again = with_readable_numbers(json.dumps(numbers(np.random.default_rng(3), 300).tolist()))
    assert json.loads(again) == numbers(np.random.default_rng(3), 300).tolist()


def test_without_standardisation_masses_would_be_assigned_wrongly():
    """Else the graph need not standardise."""
    at = (1000.0, 91.0)
    rule = mixture(10, at)
    x = np.random.default_rng(3).normal(at, 4.0, (100_000, 2)).astype(np.float32)
    u = x.astype(np.float64)
    left, right = np.triu_indices(2)
    terms = np.hstack([np.ones((len(x), 1), np.float32), x, x[:, left] * x[:, right]])
    raw = np.argmax(terms @ rule.quadratic(np.zeros(2)).astype(np.float32), axis=1)
    model = build_graph(Categorizer(features=PLANE, rule=rule)).SerializeToString()
    assert np.mean(raw != rule.assign(u)) > 1e-3
    assert np.mean(run(model, u) != rule.assign(u)) < 1e-5


@pytest.mark.parametrize("n", [0, 1])
def test_onnx_takes_any_number_of_events(n):
    categorizer = Categorizer.load(GOLDEN)
    category = run(build_graph(categorizer).SerializeToString(), np.full((n, 3), 1 / 3))
    assert category.tolist() == categorizer(np.full((n, 3), 1 / 3)).tolist()


# --- files --------------------------------------------------------------------------------------------------


def test_the_graph_says_what_it_is(tmp_path):
    model = onnx.load(export.onnx(Categorizer.load(GOLDEN), tmp_path / "categorizer.onnx"))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert {p.key: p.value for p in model.metadata_props} == {
        "features": '["p_ggH", "p_qqH", "p_bkg"]',
        "labels": '["background", "ggH", "qqH"]',
    }
    assert {"MatMul", "ArgMax", "Log"} <= {node.op_type for node in model.graph.node}
    assert model.producer_name == "cortado, any version"


def test_bins_of_nan_are_never_the_last(tmp_path):
    categorizer = Categorizer(features=Features.declare(["m"]), rule=GridRule(edges=((0.0, 1.0),)))
    path = export.correctionlib(categorizer, tmp_path / "c.json")
    correction = correctionlib.CorrectionSet.from_file(str(path))["category"]
    values = np.array([math.nan, -math.inf, -1e308, 0.0, 1e308, math.inf])
    assert correction.evaluate(values).tolist() == [-1, -1, 0, 1, 2, -1]
    content = path.read_text(encoding="utf-8")
    assert '"flow":-1' in content.replace(" ", "").replace("-1.0", "-1")
    assert '"inf"' in content


@pytest.mark.parametrize("write", [export.onnx, export.correctionlib])
def test_what_cannot_be_written_leaves_nothing(tmp_path, write, monkeypatch):
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"cannot write .*file: No space left"):
        write(Categorizer.load(GOLDEN), tmp_path / "file")
    assert not list(tmp_path.iterdir())


FIVE = Features.declare(list("abcdef"), "logratio")
REFUSED = {
    "table": (PLANE, table((1.0, 1.0), (125, 91)), r"kind 'table' in 2 coordinates has no form .* to ONNX"),
    "five coordinates": (FIVE, mixture(2, (0.0,) * 5), "at most 4 variables, the rule has 5 coordinates"),
    "many categories": (SCORES, mixture(80, (0.0, 0.0)), "would have 37920 terms, more than the 20000"),
    "exponentials": (PLANE, affine(3, (0.0, 0.0), (True, False)), "exponentials of features .* no scores"),
    "many scores": (
        Features.declare(list("abcde")),
        ArgmaxRule(edges=((0.5,),) * 5),
        "at most 4 variables, the rule has 5",
    ),
}


@pytest.mark.parametrize(("features", "rule", "message"), REFUSED.values(), ids=REFUSED)
def test_what_has_no_form_in_correctionlib_is_refused(tmp_path, features, rule, message):
    categorizer = Categorizer(features=features, rule=rule)
    with pytest.raises(ConfigError, match=message):
        export.correctionlib(categorizer, tmp_path / "c.json")
    assert not list(tmp_path.iterdir())
    x = np.random.default_rng(1).uniform(0, 1, (100, len(features.names))).astype(np.float32)
    assert np.mean(run(build_graph(categorizer).SerializeToString(), x) == categorizer(x)) > 0.98


def test_without_the_package_onnx_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"needs the package onnx: pip install 'cortado-hep\[onnx\]'"):
        export.onnx(Categorizer.load(GOLDEN), tmp_path / "c.onnx")
    assert not list(tmp_path.iterdir())


# --- command line and C++ -----------------------------------------------------------------------------------


def invoke(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["export", *map(str, arguments)], catch_exceptions=False)


@pytest.mark.parametrize("form", ["onnx", "correctionlib"])
def test_the_command_writes_what_the_function_writes(tmp_path, form):
    path = tmp_path / "folder" / "file"
    finished = invoke(GOLDEN, "--format", form, "-o", path)
    assert finished.exit_code == 0, finished.output
    again = getattr(export, form)(Categorizer.load(GOLDEN), tmp_path / "again")
    assert path.read_bytes() == again.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    refused = invoke(GOLDEN, "--format", form, "-o", path)
    assert (refused.exit_code, "file exists; choose another file, or use --force" in refused.output) == (
        4,
        True,
    )
    assert invoke(GOLDEN, "--format", form, "-o", path, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("source", "form", "status", "words"),
    [
        (GOLDEN, "lwtnn", 2, "--format must be one of onnx, correctionlib, got 'lwtnn'"),
        ("absent.json", "onnx", 3, "cannot read the categorizer absent.json: No such file or directory"),
        (Path(__file__), "onnx", 3, "is not a valid categorizer"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, source, form, status, words):
    finished = invoke(source, "--format", form, "-o", tmp_path / "out")
    assert finished.exit_code == status
    assert words in finished.output
    assert not list(tmp_path.iterdir())


def test_the_lines_of_the_page_evaluate_a_correction_in_cpp(tmp_path):
    """The lines of docs/categorizer.md, in a program that is compiled with the header in the wheel."""
    package = Path(correctionlib.__file__).parent
    compiler = shutil.which("c++") or shutil.which("g++")
    if compiler is None or not (package / "include" / "correction.h").exists():
        pytest.skip("there is no C++ compiler, or no header of correctionlib")
    lines = next(
        code
        for code in re.findall(
            r"^```cpp\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
        if "correction::" in code
    )
    program = f"""#include "correction.h"
#include <iostream>
int main() {{
double p_ggH, p_qqH, p_bkg;
while (std::cin >> p_ggH >> p_qqH >> p_bkg) {{
{lines}
std::cout << category << "\\n";
}}
}}
"""
    (tmp_path / "main.cpp").write_text(program, encoding="utf-8")
    library = package / "lib"
    command = [compiler, "-std=c++17", "main.cpp", "-o", "main", f"-I{package / 'include'}", f"-L{library}"]
    subprocess.run([*command, "-lcorrectionlib", f"-Wl,-rpath,{library}"], cwd=tmp_path, check=True)
    categorizer = Categorizer.load(GOLDEN)
    export.correctionlib(categorizer, tmp_path / "correction.json")
    x = np.vstack([softmax(3)(np.random.default_rng(1), 200), [0.2, -999.0, 0.8]])
    text = "\n".join(" ".join(map(repr, row)) for row in x.tolist())
    found = subprocess.run(["./main"], cwd=tmp_path, input=text, capture_output=True, text=True, check=True)
    assert [int(k) for k in found.stdout.split()] == categorizer(x).tolist()
