"""Categories as they are made by hand: what the learned ones are compared with."""

from __future__ import annotations

import numpy as np

from cortado.categorizer.categorizer import Categorizer
from cortado.categorizer.rules import ArgmaxRule, GridRule
from cortado.coordinates import Coordinates, Features, Identity, Linear, LogRatio
from cortado.errors import ConfigError


def equidistant(features: Features, n_categories: int, ranges: dict[str, tuple[float, float]]) -> Categorizer:
    """Equally wide bins of the features themselves, at most ``n_categories`` altogether.

    Softmax scores are binned in the last one, the background's; other scores over [0, 1]; every other feature
    over ``ranges`` (for a linear coordinate, its own range). With several axes, a grid as even as possible.
    Raises ``ConfigError`` for less than one category, or where ``ranges`` lacks a feature.
    """
    axes = {name: span for group in features.coordinates for name, span in _axes(group, ranges).items()}
    bins = dict(zip(axes, even_factors(n_categories, len(axes)), strict=True))
    edges = [_inner_edges(*axes[name], bins[name]) if name in axes else () for name in features.names]
    return Categorizer(features=_as_they_stand(features), rule=GridRule(edges=tuple(edges)))


def argmax_projections(features: Features, n_categories: int) -> Categorizer | None:
    """The class of the largest softmax score, each signal class in equidistant bins; None without softmax.

    One bin for the background class (the last score) and n for each of the others, from 1/C to 1, with n the
    smallest number that gives at least ``n_categories`` in total.
    """
    if len(features.coordinates) != 1 or not isinstance(features.coordinates[0], LogRatio):
        return None
    scores = features.coordinates[0].features
    n = max(1, -(-(n_categories - 1) // (len(scores) - 1)))
    edges = {name: _inner_edges(1 / len(scores), 1.0, n) for name in scores[:-1]} | {scores[-1]: ()}
    ordered = _as_they_stand(features, scores)
    return Categorizer(features=ordered, rule=ArgmaxRule(edges=tuple(edges[name] for name in scores)))


def even_factors(n: int, axes: int) -> tuple[int, ...]:
    """Numbers of bins along ``axes`` axes, differing by at most one, with the largest product ≤ n."""
    if n < 1:
        raise ConfigError(f"the number of categories must be at least 1, got {n}")
    low = 1
    while (low + 1) ** axes <= n:
        low += 1
    more = max(m for m in range(axes) if low ** (axes - m) * (low + 1) ** m <= n)
    return (low + 1,) * more + (low,) * (axes - more)


def _axes(group: Coordinates, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    if isinstance(group, LogRatio):
        return {group.features[-1]: (0.0, 1.0)}
    if isinstance(group, Linear):
        return dict.fromkeys(group.features, group.range)
    if isinstance(group, Identity):
        if without := [name for name in group.features if name not in ranges]:
            raise ConfigError(f"ranges must hold every feature without one; {without} have none")
        return {name: ranges[name] for name in group.features}
    return dict.fromkeys(group.features, (0.0, 1.0))


def _inner_edges(low: float, high: float, bins: int) -> tuple[float, ...]:
    return tuple(float(e) for e in np.linspace(low, high, bins + 1)[1:-1])


def _as_they_stand(features: Features, order: tuple[str, ...] | None = None) -> Features:
    names = order or features.names
    return Features(names=names, coordinates=(Identity(features=names),), missing=features.missing)
