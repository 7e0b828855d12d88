"""Classifiers as ONNX graphs: https://onnx.ai/onnx/operators/.

The graphs are written here, since converters do not keep up with the versions of protobuf and of the
libraries. Trees are a node of the operators for machine learning, ``ai.onnx.ml``, version 3.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado._version import __version__
from cortado.arguments import FilePath, checked_arguments
from cortado.classifiers.boosted_trees import GradientBoostedDecisionTree
from cortado.classifiers.cut_and_count import CutAndCount
from cortado.columnar.scoring import FORMAT, INPUT, OUTPUT
from cortado.errors import ConfigError
from cortado.export.nodes import IR_VERSION, OPSET, Graph, element_type, require_onnx, value_info
from cortado.files import write_whole

_ML = "ai.onnx.ml"
_ML_OPSET = 3

Singles = npt.NDArray[np.float32]


@checked_arguments
def export_onnx(model: Any, path: FilePath) -> Path:
    """Write a fitted classifier as an ONNX graph, for :class:`cortado.columnar.Scorer` or any runtime.

    Its input ``observables`` is float32 (n, d), or (n, h, w) for images, its output ``probabilities`` float32
    (n, n_classes). Scaling and normalisation are inside. Cuts and trees decide for every number of single
    precision, and for NaN, as the classifier does; sums are of single precision. The metadata hold the names
    of classes and observables.

    Raises
    ------
    ConfigError
        The model is no classifier of cortado or is not fitted, or the package ``onnx`` is absent.
    OutputError
        The file cannot be written.
    """
    content = build_graph(model).SerializeToString()
    with write_whole(Path(path)) as partial:
        partial.write_bytes(content)
    return Path(path)


def build_graph(model: Any) -> Any:
    """The checked ``onnx.ModelProto`` that :func:`export_onnx` writes."""
    onnx = require_onnx()
    graph = Graph()
    _writer(model)(graph, model)
    expects = model.expects
    made = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "classifier",
            [value_info(INPUT, np.float32, ["n", *expects.shape])],
            [value_info(OUTPUT, np.float32, ["n", len(expects.classes)])],
            [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid(_ML, _ML_OPSET)],
        ir_version=IR_VERSION,
        producer_name=f"cortado {__version__}",
        doc_string="Probabilities of the classes of an event from its observables.",
    )
    metadata = {
        "format": FORMAT,
        "version": 1,
        "classifier": type(model).__name__,
        "classes": expects.classes,
        "observables": model.observables,
        "shape": expects.shape,
        "missing": expects.missing,
    }
    onnx.helper.set_model_props(made, {name: json.dumps(value) for name, value in metadata.items()})
    onnx.checker.check_model(made, full_check=True)
    return made


def _writer(model: Any) -> Callable[[Graph, Any], None]:
    """What writes the nodes of a classifier."""
    if isinstance(model, CutAndCount):
        return _cuts
    if isinstance(model, GradientBoostedDecisionTree):
        return _trees
    name = type(model).__name__
    writers = {"MultiLayerPerceptron": _perceptron, "ConvolutionalNetwork": _convolutions}
    if name not in writers or not type(model).__module__.startswith("cortado."):
        raise ConfigError(f"only classifiers of cortado are exported, got a {name}")
    if not model.fitted.numpy():
        raise ConfigError(f"{name} has to be fitted before it is exported")
    return writers[name]


def _cuts(graph: Graph, model: CutAndCount) -> None:
    low, high, outside = (
        np.array([getattr(cut, end) for cut in model.cuts]) for end in ("low", "high", "outside")
    )
    inside = graph(
        "And",
        graph("GreaterOrEqual", INPUT, low.astype(np.float32)),
        graph("LessOrEqual", INPUT, high.astype(np.float32)),
    )
    kept = graph("Cast", graph("Xor", inside, outside), to=element_type(np.float32))
    passes = graph("ReduceMin", kept, axes=[1], keepdims=1)
    fails = graph("Sub", np.ones(1, np.float32), passes)
    graph("Concat", fails, passes, axis=1, output=OUTPUT)


def _perceptron(graph: Graph, model: Any) -> None:
    x = graph("Div", graph("Sub", INPUT, _array(model.mean)), _array(model.deviation))
    for layer in model.hidden:
        x = _activated(graph, _dense(graph, x, layer), model.activation)
    graph("Softmax", _dense(graph, x, model.last), axis=1, output=OUTPUT)


def _convolutions(graph: Graph, model: Any) -> None:
    x = graph("Unsqueeze", INPUT, np.array([1]))  # channels come first
    if model.normalisation == "maximum":
        largest = graph("ReduceMax", x, axes=[1, 2, 3], keepdims=1)
        positive = graph("Greater", largest, np.zeros(1, np.float32))
        x = graph("Div", x, graph("Where", positive, largest, np.ones(1, np.float32)))
    elif model.normalisation == "logarithm":
        x = graph("Log", graph("Add", x, np.ones(1, np.float32)))
    for layer in model.convolutions:
        kernel, bias = (_array(v) for v in (layer.kernel, layer.bias))
        x = graph("Conv", x, np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), bias, auto_pad="SAME_UPPER")
        x = _activated(graph, x, model.activation)
        x = graph("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    averages = graph("Flatten", graph("GlobalAveragePool", x), axis=1)
    graph("Softmax", _dense(graph, averages, model.last), axis=1, output=OUTPUT)


def _dense(graph: Graph, x: str, layer: Any) -> str:
    return graph("Gemm", x, _array(layer.kernel), _array(layer.bias))


def _activated(graph: Graph, x: str, activation: str) -> str:
    # The names of Keras are those of ONNX, but for capitals.
    return graph(activation.capitalize(), x)


def _array(variable: Any) -> Singles:
    array: Singles = variable.numpy().astype(np.float32)
    return array


def _trees(graph: Graph, model: GradientBoostedDecisionTree) -> None:
    trees = model.trees
    raw = graph(
        "TreeEnsembleRegressor",
        INPUT,
        domain=_ML,
        n_targets=trees.n_trees_per_iteration_,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=trees._baseline_prediction.ravel().astype(np.float32),
        **_nodes(trees._predictors),
    )
    if trees.n_trees_per_iteration_ == 1:
        # The sigmoid of r and its complement are the softmax of ∓ r / 2.
        raw = graph("Mul", raw, np.array([-0.5, 0.5], np.float32))
    graph("Softmax", raw, axis=1, output=OUTPUT)


def _nodes(rounds: Any) -> dict[str, Any]:
    """The attributes of a tree ensemble from scikit-learn's nodes, by round and class."""
    predictors = [(target, p.nodes) for trees in rounds for target, p in enumerate(trees)]
    nodes = np.concatenate([n for _, n in predictors])
    sizes = [len(n) for _, n in predictors]
    tree = np.repeat(np.arange(len(sizes)), sizes)
    number = np.concatenate([np.arange(size) for size in sizes])
    target = np.repeat([t for t, _ in predictors], sizes)
    leaf = nodes["is_leaf"].astype(bool)
    return {
        "nodes_treeids": tree,
        "nodes_nodeids": number,
        "nodes_featureids": np.where(leaf, 0, nodes["feature_idx"]),
        "nodes_modes": np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": np.where(leaf, 0, _downwards(nodes["num_threshold"])),
        "nodes_truenodeids": np.where(leaf, 0, nodes["left"]),
        "nodes_falsenodeids": np.where(leaf, 0, nodes["right"]),
        "nodes_missing_value_tracks_true": np.where(leaf, 0, nodes["missing_go_to_left"]),
        "target_treeids": tree[leaf],
        "target_nodeids": number[leaf],
        "target_ids": target[leaf],
        "target_weights": nodes["value"][leaf].astype(np.float32),
    }


def _downwards(threshold: npt.NDArray[np.float64]) -> Singles:
    """The largest numbers of single precision that are not above a threshold.

    For every x of single precision x ≤ threshold is then the same as for the threshold itself.
    """
    with np.errstate(over="ignore"):
        single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)
