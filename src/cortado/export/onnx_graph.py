"""A categorizer as an ONNX graph, opset 17: https://onnx.ai/onnx/operators/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.arguments import FilePath, checked_arguments
from cortado.categorizer import (
    UNCATEGORISED,
    ArgmaxRule,
    Categorizer,
    GaussianMixtureRule,
    MaxAffineRule,
    TableRule,
)
from cortado.categorizer.cuts import Cuts
from cortado.coordinates import Features, Logit, LogRatio
from cortado.errors import ConfigError
from cortado.export.nodes import IR_VERSION, OPSET, Graph, element_type, require_onnx, value_info
from cortado.files import write_whole

Floats = npt.NDArray[np.float64]

INPUT, OUTPUT = "features", "category"


@checked_arguments
def write_graph(categorizer: Categorizer, path: FilePath = "categorizer.onnx") -> Path:
    """Write a categorizer as an ONNX graph.

    Its input ``features`` is float32 (n, D), in the order of the categorizer's features, its output
    ``category`` int64 (n,): −1 where the categorizer gives it when asked to, and for invalid features.
    Missing values, coordinates and their standardisation are inside, the argmax is one of a matrix product.
    It computes in double precision: components of a mixture that are far apart in units of their width would
    not be told apart in single precision. Cuts on features are exact for each number of single precision;
    with other rules categories may differ where two are equally good to the rounding of double precision.
    The metadata hold the names of the features and the labels.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError
        The package ``onnx`` is absent.
    OutputError
        The file cannot be written.
    """
    content = build_graph(categorizer).SerializeToString()
    with write_whole(Path(path)) as partial:
        partial.write_bytes(content)
    return Path(path)


def build_graph(categorizer: Categorizer) -> Any:
    """The checked ``onnx.ModelProto`` that :func:`write_graph` writes."""
    onnx = require_onnx()
    graph = Graph()
    usable = _usable(graph, categorizer.features)
    category = graph("Where", usable, _category(graph, categorizer), np.array(UNCATEGORISED))
    graph("Identity", category, output=OUTPUT)
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "categorizer",
            [value_info(INPUT, np.float32, ["n", len(categorizer.features.names)])],
            [value_info(OUTPUT, np.int64, ["n"])],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=categorizer.written_by,
        doc_string="The category of an event from its features, -1 for none.",
    )
    metadata = {"features": categorizer.features.names, "labels": categorizer.labels}
    onnx.helper.set_model_props(model, {name: json.dumps(value) for name, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    return model


def _usable(graph: Graph, features: Features) -> str:
    """(n,) whether every feature is within its limits and none is missing."""
    limits = np.array([features.limits[name] for name in features.names])
    # Nothing equals NaN; a missing value that is none of single precision is not finite there.
    with np.errstate(over="ignore"):
        missing = np.array([features.missing.get(name, np.nan) for name in features.names]).astype(np.float32)
    inside = graph(
        "And",
        graph("GreaterOrEqual", INPUT, _towards(limits[:, 0], np.inf)),
        graph("LessOrEqual", INPUT, _towards(limits[:, 1], -np.inf)),
    )
    there = graph("And", inside, graph("Not", graph("Equal", INPUT, missing)))
    every = graph("ReduceMin", graph("Cast", there, to=element_type(np.float32)), axes=[1], keepdims=0)
    return graph("Cast", every, to=element_type(np.bool_))


def _towards(limits: Floats, direction: float) -> npt.NDArray[np.float32]:
    """Limits in single precision, rounded in one direction; at most its largest numbers."""
    largest = np.finfo(np.float32).max
    single = np.clip(limits, -largest, largest).astype(np.float32)
    beyond = single < limits if direction > 0 else single > limits
    return np.where(beyond, np.nextafter(single, np.float32(direction)), single)


def _coordinates(graph: Graph, features: Features) -> str:
    """Coordinates (n, d), in double precision."""
    x = graph("Cast", INPUT, to=element_type(np.float64))
    parts = []
    for group in features.coordinates:
        part = graph("Gather", x, np.array(features.columns(group)), axis=1)
        if isinstance(group, Logit | LogRatio):
            floor = np.array(group.floor)
            logs = graph("Log", graph("Max", part, floor))
            if isinstance(group, Logit):
                rest = graph("Log", graph("Max", graph("Sub", np.array(1.0), part), floor))
            else:
                last = len(group.features) - 1
                rest = graph("Gather", logs, np.array([last]), axis=1)
                logs = graph("Gather", logs, np.arange(last), axis=1)
            part = graph("Sub", logs, rest)
        parts.append(part)
    return parts[0] if len(parts) == 1 else graph("Concat", *parts, axis=1)


def _category(graph: Graph, categorizer: Categorizer) -> str:
    """Category (n,) of whatever has coordinates."""
    rule, features = categorizer.rule, categorizer.features
    if cuts := Cuts.of(categorizer, np.float32):
        return _by_cuts(graph, cuts)
    if isinstance(rule, GaussianMixtureRule):
        return _by_mixture(graph, rule, _coordinates(graph, features))
    if isinstance(rule, MaxAffineRule):
        return _by_functions(graph, rule, _coordinates(graph, features))
    if isinstance(rule, ArgmaxRule):
        return _by_scores(graph, rule, _coordinates(graph, features))
    if isinstance(rule, TableRule):
        return _by_table(graph, rule, _coordinates(graph, features))
    raise ConfigError(f"a rule of kind {rule.kind!r} has no form in ONNX")


def _argmax(graph: Graph, terms: str, coefficients: Floats, offsets: Floats) -> str:
    """The largest of the functions terms (n, m) × coefficients (m, K) + offsets (K,)."""
    functions = np.vstack([coefficients, offsets])
    # What all functions share changes no argmax, and costs digits.
    own = functions - functions.mean(axis=1, keepdims=True)
    values = graph("Add", graph("MatMul", terms, own[:-1]), own[-1])
    return graph("ArgMax", values, axis=1, keepdims=0)


def _by_mixture(graph: Graph, rule: GaussianMixtureRule, u: str) -> str:
    centre = np.array(rule.means).mean(axis=0)
    spread = np.sqrt(np.array(rule.covariances).diagonal(axis1=1, axis2=2).mean(axis=0))
    scale = np.exp2(-np.round(np.log2(spread)))  # powers of two, which round nothing
    z = graph("Mul", graph("Sub", u, centre), scale)
    left, right = np.triu_indices(rule.dimensions)
    products = graph("Mul", graph("Gather", z, left, axis=1), graph("Gather", z, right, axis=1))
    functions = rule.quadratic(centre)
    units = np.concatenate([scale, scale[left] * scale[right]])[:, None]
    return _argmax(graph, graph("Concat", z, products, axis=1), functions[1:] / units, functions[0])


def _by_functions(graph: Graph, rule: MaxAffineRule, u: str) -> str:
    slopes, exponential = np.array(rule.slopes).T, np.array(rule.exponential)
    centre = rule.centre()
    offsets = np.array(rule.offsets) + centre @ slopes
    z = graph("Sub", u, centre)
    if not exponential.any():
        return _argmax(graph, z, slopes, offsets)
    exponents = graph("Gather", z, np.flatnonzero(exponential), axis=1)
    # One positive factor exp(−largest) for all functions changes no argmax, and nothing overflows.
    largest = graph("Relu", graph("ReduceMax", exponents, axes=[1], keepdims=1))
    factor = graph("Exp", graph("Neg", largest))
    linear = graph("Mul", graph("Gather", z, np.flatnonzero(~exponential), axis=1), factor)
    terms = graph("Concat", graph("Exp", graph("Sub", exponents, largest)), linear, factor, axis=1)
    coefficients = np.vstack([slopes[exponential], slopes[~exponential], offsets])
    return _argmax(graph, terms, coefficients, np.zeros(rule.n_categories))


def _by_scores(graph: Graph, rule: ArgmaxRule, u: str) -> str:
    first = np.cumsum([0, *(len(edges) + 1 for edges in rule.edges[:-1])])
    reached = _reached(graph, u, [np.array(edges, np.float64) for edges in rule.edges])
    winner = graph("ArgMax", u, axis=1, keepdims=1)
    category = graph("GatherElements", graph("Add", reached, first), winner, axis=1)
    return graph("Squeeze", category, np.array([1]))


def _by_cuts(graph: Graph, cuts: Cuts) -> str:
    reached = _reached(graph, _coordinates(graph, cuts.features), cuts.edges)
    steps = np.array([int(np.prod(cuts.table.shape[i + 1 :])) for i in range(cuts.table.ndim)])
    cell = graph("ReduceSum", graph("Mul", reached, steps), np.array([1]), keepdims=0)
    return graph("Gather", cuts.table.ravel(), cell)


def _reached(graph: Graph, u: str, edges: Sequence[npt.NDArray[Any]]) -> str:
    """(n, d) how many of its edges each coordinate is not below."""
    table = np.full((len(edges), max([1, *map(len, edges)])), np.nan)
    for row, along in zip(table, edges, strict=True):
        row[: len(along)] = along
    # Nothing reaches NaN, not even infinity, which must not lead out of the table of categories.
    table[np.isinf(table)] = np.nan
    above = graph("GreaterOrEqual", graph("Unsqueeze", u, np.array([2])), table)
    return graph("ReduceSum", graph("Cast", above, to=element_type(np.int64)), np.array([2]), keepdims=0)


def _by_table(graph: Graph, rule: TableRule, u: str) -> str:
    """The nearest of cells k to cell a is argmax [2 a·k − |k|²], the first of equals; integers are exact."""
    keys = np.array(rule.keys, np.float64)
    origin = np.round(keys.mean(axis=0))
    keys -= origin
    cell = graph("Sub", graph("Floor", graph("Div", u, np.array(rule.widths))), origin)
    values = graph("Sub", graph("MatMul", cell, 2 * keys.T), (keys**2).sum(axis=1))
    return graph("Gather", np.array(rule.categories), graph("ArgMax", values, axis=1, keepdims=0))
