"""A categorizer as a correction of correctionlib, schema version 2: https://cms-nanoaod.github.io/correctionlib/."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product
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
)
from cortado.categorizer.cuts import Cuts
from cortado.coordinates import Features, Identity, Linear, Logit, LogRatio
from cortado.errors import ConfigError
from cortado.events import as_stored
from cortado.export.decimals import with_readable_numbers
from cortado.files import write_text

Floats = npt.NDArray[np.float64]

NAME = "category"
_LETTERS = "xyzt"  # what a formula calls its variables
_MOST_TERMS = 20_000
_LOWEST = float(np.finfo(np.float64).min)  # −∞ itself is no value of a feature


@checked_arguments
def write_correction(categorizer: Categorizer, path: FilePath = "correction.json") -> Path:
    """Write a categorizer as a file of correctionlib with one correction, ``category``.

    Its inputs are the features by name, its output is the category: −1 where the categorizer gives it when
    asked to, and for invalid features. Cuts on features, and all rules of a single coordinate, become
    binnings; in two to four coordinates, mixtures, affine functions and argmax projections become a formula,
    whose length grows with the square of the number of categories.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError
        The rule has no form in correctionlib, or one that is too long.
    OutputError
        The file cannot be written.
    """
    content = build_correction_set(categorizer).model_dump_json(exclude_unset=True)
    write_text(path, with_readable_numbers(content) + "\n")
    return Path(path)


def build_correction_set(categorizer: Categorizer) -> Any:
    """The ``correctionlib.schemav2.CorrectionSet`` that :func:`write_correction` writes."""
    from correctionlib import schemav2

    labels = ", ".join(f"{k}: {label}" for k, label in enumerate(categorizer.labels))
    correction = schemav2.Correction(
        name=NAME,
        description=f"The category of an event, learned by {categorizer.written_by}",
        version=categorizer.version,
        inputs=[schemav2.Variable(name=name, type="real") for name in categorizer.features.names],
        output=schemav2.Variable(name=NAME, type="real", description=f"-1: none, {labels}"),
        data=_content(categorizer),
    )
    return schemav2.CorrectionSet(schema_version=schemav2.VERSION, corrections=[correction])


def _content(categorizer: Categorizer) -> dict[str, Any]:
    features, rule = categorizer.features, categorizer.rule
    if cuts := Cuts.of(categorizer, np.float64):
        plain = [name for g in cuts.features.coordinates if isinstance(g, Identity) for name in g.features]
        content = _binning(cuts, features.limits)
        content = _with_coordinates(content, cuts.features, np.zeros(rule.dimensions))
        checked = [name for name in features.names if name not in plain]
    else:
        centre = _centre(rule)
        content = _formula(_index(categorizer, centre), _holders(features))
        content = _with_coordinates(content, features, centre)
        checked = list(features.names)
    return _without_missing(_within_limits(content, features, checked), features)


def _without_missing(content: dict[str, Any], features: Features) -> dict[str, Any]:
    """The content where no feature is missing; one that is becomes infinite or NaN."""
    for name, value in features.missing.items():
        low, high = features.limits[name]
        if low <= value <= high:
            there = "*".join(f"(x!={_number(stored)})" for stored in sorted({*as_stored(value)}))
            content = _transform(name, f"x/({there})", [name], content)
    return content


def _within_limits(content: dict[str, Any], features: Features, names: Iterable[str]) -> dict[str, Any]:
    """The content where the named features have values with coordinates, else −1."""
    for name in names:
        content = {
            "nodetype": "binning",
            "input": name,
            "edges": _outer(features.limits[name]),
            "content": [content],
            "flow": UNCATEGORISED,
        }
    return content


def _outer(limits: tuple[float, float]) -> list[float | str]:
    """The edges of a bin with all values from one limit to another, both included."""
    above = math.nextafter(limits[1], math.inf)
    return [limits[0], "inf" if math.isinf(above) else above]


def _with_coordinates(content: dict[str, Any], features: Features, centre: Floats) -> dict[str, Any]:
    """The content with coordinates minus ``centre`` (d,) in the place of the features that hold them."""
    first = 0
    for group in features.coordinates:
        for name, shift in zip(_held_by(group), centre[first : first + len(group.labels)], strict=True):
            shifted = f"-({_number(shift)})" if shift else ""
            if isinstance(group, Logit):
                log = f"log(max(x,{_number(group.floor)}))-log(max(1-x,{_number(group.floor)}))"
                content = _transform(name, log + shifted, [name], content)
            elif isinstance(group, LogRatio):
                log = f"log(max(x,{_number(group.floor)}))-log(max(y,{_number(group.floor)}))"
                content = _transform(name, log + shifted, [name, group.features[-1]], content)
            elif shift:
                content = _transform(name, "x" + shifted, [name], content)
        first += len(group.labels)
    return content


def _held_by(group: Identity | Linear | Logit | LogRatio) -> tuple[str, ...]:
    """The features whose place the coordinates of a group take."""
    return group.features[: len(group.labels)]


def _holders(features: Features) -> list[str]:
    return [name for group in features.coordinates for name in _held_by(group)]


def _binning(cuts: Cuts, limits: dict[str, tuple[float, float]]) -> dict[str, Any]:
    """Bins along each coordinate; the category of a bin is that of its lower edge."""
    edges: list[list[Any]] = []
    for group in cuts.features.coordinates:
        for name in _held_by(group):
            inner = cuts.edges[len(edges)]
            low, high = limits[name] if isinstance(group, Identity) else (_LOWEST, -_LOWEST)
            first, last = _outer((low, high))
            edges.append([first, *np.unique(inner[(inner > low) & (inner <= high)]).tolist(), last])
    corners = np.array(list(product(*(along[:-1] for along in edges))))
    content = cuts.assign(corners).tolist()
    names = _holders(cuts.features)
    if len(names) == 1:
        axes = {"nodetype": "binning", "input": names[0], "edges": edges[0]}
    else:
        axes = {"nodetype": "multibinning", "inputs": names, "edges": edges}
    return axes | {"content": content, "flow": UNCATEGORISED}


def _centre(rule: Any) -> Floats:
    """What coordinates (d,) are shifted by, so that squares lose no digits."""
    if isinstance(rule, GaussianMixtureRule):
        return np.array(rule.means).mean(axis=0)
    return np.zeros(rule.dimensions)


def _index(categorizer: Categorizer, centre: Floats) -> str:
    """The category as a formula of at most four variables: −1 + Σ_k (k + 1)·[k wins].

    There is no conditional in the language; comparisons are 1 or 0, and 0 for NaN.
    """
    rule = categorizer.rule
    if isinstance(rule, ArgmaxRule):
        _check_size(rule.dimensions, rule.dimensions, 1)
        wins = _wins(list(_LETTERS[: rule.dimensions]), np.eye(rule.dimensions))
        first = np.cumsum([0, *(len(edges) + 1 for edges in rule.edges[:-1])])
        numbers = [
            "+".join([str(k + 1), *(f"({x}>={_number(edge)})" for edge in edges)])
            for k, x, edges in zip(first, _LETTERS, rule.edges, strict=False)
        ]
        return "-1+" + "+".join(f"({number})*{win}" for number, win in zip(numbers, wins, strict=True))
    terms, functions = _functions(categorizer, centre)
    _check_size(rule.dimensions, rule.n_categories, len(terms))
    return "-1+" + "+".join(f"{k + 1}*{win}" for k, win in enumerate(_wins(terms, functions)))


def _functions(categorizer: Categorizer, centre: Floats) -> tuple[list[str], Floats]:
    """Terms, as formulas, and coefficients (m, K) of the functions whose largest is the category."""
    rule = categorizer.rule
    letters = list(_LETTERS[: rule.dimensions])
    if isinstance(rule, GaussianMixtureRule):
        left, right = np.triu_indices(rule.dimensions)
        squares = [f"{_LETTERS[i % 4]}*{_LETTERS[j % 4]}" for i, j in zip(left, right, strict=True)]
        return ["1", *letters, *squares], rule.quadratic(centre)
    if isinstance(rule, MaxAffineRule):
        exponential = np.array(rule.exponential)
        if (exponential & ~categorizer.features.logarithmic).any():
            raise ConfigError(
                "exponentials of features that are no scores have no form in correctionlib, as they are not "
                "bounded; export the categorizer to ONNX"
            )
        terms = [f"exp({x})" if e else x for x, e in zip(letters, exponential, strict=False)]
        return ["1", *terms], np.vstack([rule.offsets, np.array(rule.slopes).T])
    raise ConfigError(
        f"a rule of kind {rule.kind!r} in {rule.dimensions} coordinates has no form in correctionlib; export "
        "the categorizer to ONNX"
    )


def _wins(terms: Sequence[str], functions: Floats) -> list[str]:
    """For each of K functions, whether it is the largest, the first of equals, as a formula."""
    n = functions.shape[1]
    return [
        "*".join(
            f"({_sum(terms, functions[:, k] - functions[:, j])}{'>' if j < k else '>='}0)"
            for j in range(n)
            if j != k
        )
        or "1"
        for k in range(n)
    ]


def _sum(terms: Sequence[str], coefficients: Floats) -> str:
    parts = [f"({_number(c)})*{term}" for c, term in zip(coefficients, terms, strict=True) if c]
    return "+".join(parts) or "0"


def _check_size(dimensions: int, n_functions: int, n_terms: int) -> None:
    if dimensions > len(_LETTERS):
        raise ConfigError(
            f"formulas of correctionlib have at most {len(_LETTERS)} variables, the rule has {dimensions} "
            "coordinates; export the categorizer to ONNX"
        )
    if (size := n_functions * (n_functions - 1) * n_terms) > _MOST_TERMS:
        raise ConfigError(
            f"the formula would have {size} terms, more than the {_MOST_TERMS} that can be evaluated in a "
            "reasonable time; export the categorizer to ONNX"
        )


def _number(value: float) -> str:
    # The grammar has no sign + in exponents.
    return repr(float(value)).replace("e+", "e")


def _formula(expression: str, variables: Sequence[str]) -> dict[str, Any]:
    return {
        "nodetype": "formula",
        "expression": expression,
        "parser": "TFormula",
        "variables": list(variables),
    }


def _transform(name: str, expression: str, variables: Sequence[str], content: Any) -> dict[str, Any]:
    rule = _formula(expression, variables)
    return {"nodetype": "transform", "input": name, "rule": rule, "content": content}
