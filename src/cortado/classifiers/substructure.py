"""Observables of jets from their constituents: mass, and how well one or several axes describe them."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import vector

from cortado.classifiers.jet_points import JetPoints, centred
from cortado.errors import checked_integer

Floats = npt.NDArray[np.float64]

_MOST_STEPS = 40
_TINY = 1e-9  # distance to an axis, for the weight of a constituent on it


def jet_momenta(constituents: Any) -> Any:
    """Four-momenta (n,) of n jets, sums of those of their constituents: a ``vector`` array.

    ``constituents`` are awkward records with pt, eta, phi and mass, one list a jet.
    """
    parts = vector.zip({name: constituents[name] for name in ("pt", "eta", "phi", "mass")})
    components = {c: ak.sum(getattr(parts, c), axis=1) for c in ("px", "py", "pz", "energy")}
    return vector.array({c: ak.to_numpy(values) for c, values in components.items()})


def n_subjettiness(constituents: Any, n_axes: int, radius: float = 1.0) -> Floats:
    """τ_N (n,) of n jets: Σ pT · min ΔR to one of N axes / (Σ pT · R) (Thaler and Van Tilburg, 1011.2268).

    Axes are brought towards a local minimum of that sum by at most 40 steps of Weiszfeld, with each
    constituent at its nearest axis: nearly all sums are within 1 % of the minimum. The search begins with
    the hardest constituent and, one after the other, the constituents for which pT · ΔR to the nearest axis
    so far is largest. 0 for a jet without constituents. Raises ``ConfigError`` unless there is an axis.
    """
    checked_integer("n_axes", n_axes, 1)
    points = centred(JetPoints.of(constituents))
    axes = _first_axes(points, n_axes)
    best, nearest = _nearest(points, axes)
    value = points.sums(best)
    for _ in range(_MOST_STEPS):
        axes = _moved(points, axes, best, nearest)
        best, nearest = _nearest(points, axes)
        before, value = value, points.sums(best)
        if (value >= before * (1 - 1e-6)).all():
            break
    total = points.sums(np.ones_like(points.pt)) * radius
    return np.divide(value, total, out=np.zeros_like(value), where=total > 0)


def _first_axes(points: JetPoints, n_axes: int) -> Floats:
    """(n, N, 2) places to begin with."""
    axes = np.stack([points.at_hardest(points.x), points.at_hardest(points.y)], axis=-1)[:, None]
    for _ in range(n_axes - 1):
        far = JetPoints(points.n_jets, points.jet, points.pt * _nearest(points, axes)[0], points.x, points.y)
        new = np.stack([far.at_hardest(points.x), far.at_hardest(points.y)], axis=-1)
        axes = np.concatenate([axes, new[:, None]], axis=1)
    return axes


def _nearest(points: JetPoints, axes: Floats) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(m,) the distance of each constituent to the nearest axis of its jet, and the number of that axis."""
    place = axes[points.jet]
    distance = np.hypot(points.x[:, None] - place[..., 0], points.y[:, None] - place[..., 1])
    nearest = np.argmin(distance, axis=1)
    return np.take_along_axis(distance, nearest[:, None], axis=1)[:, 0], nearest


def _moved(points: JetPoints, axes: Floats, distance: Floats, nearest: npt.NDArray[np.int64]) -> Floats:
    """Axes at the mean of their constituents with weights pT / ΔR; those of none stay.

    An axis on a constituent leaves it as far as the others pull more than it weighs (Vardi and Zhang,
    PNAS 97 (2000) 1423).
    """
    shape = axes.shape[:2]
    place = points.jet * shape[1] + nearest
    apart = distance > _TINY

    def summed(values: Floats) -> Floats:
        sums = np.bincount(place, points.pt * values, shape[0] * shape[1])
        return np.asarray(sums, np.float64).reshape(shape)

    per_distance = np.divide(1.0, distance, out=np.zeros_like(distance), where=apart)
    pull = np.stack(
        [
            summed(per_distance * (v - axes[points.jet, nearest, i]))
            for i, v in enumerate((points.x, points.y))
        ],
        axis=-1,
    )
    total, on_axis = summed(per_distance), summed(np.where(apart, 0.0, 1.0))
    strength = np.linalg.norm(pull, axis=-1)
    freed = np.divide(strength - on_axis, strength * total, out=np.zeros(shape), where=strength > on_axis)
    return axes + pull * freed[..., None]
