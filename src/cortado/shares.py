"""Smooth shares of the processes in cells, and whether they describe the cells.

A multinomial logistic regression on polynomials of the coordinates u,

    P(p | u) = exp f_p(u) / Σ_q exp f_q(u),

in which a process counts as many events as it effectively has.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from cortado.sample import Points

Floats = npt.NDArray[np.float64]

_DEGREES = (2, 4, 6)
_MOST_FEATURES = 80
_LARGEST = 4.0  # standard deviations, beyond which a coordinate counts as that
_RIDGE = 1e-6
_ITERATIONS = 300
_PRIOR_EVENTS = 2.0  # effective events with the shares of all cells, in a neighbourhood


def best_degree(points: Points) -> int | None:
    """The degree of the polynomials that predict cells which are left out best.

    None if the neighbours of such cells predict them better, or there are too few cells or events to tell.
    """
    left_out = (points.key.sum(axis=1) % 2).astype(bool)
    if not left_out.any() or left_out.all() or (points.sumw.sum(axis=1) <= 0).any():
        return None
    kept, test = points.some(~left_out), points.some(left_out)
    if (kept.sumw.sum(axis=1) <= 0).any():
        return None
    events = test.sumw * per_event(points)[:, None]
    deviance: dict[int | None, float] = {None: _deviance(events, _neighbourhood(points, left_out))}
    for degree in _DEGREES:
        if len(_exponents(points.place.shape[1], degree)) <= _MOST_FEATURES:
            deviance[degree] = _deviance(events, Shares(kept, degree)(test.place))
    return min(deviance, key=lambda degree: deviance[degree])


def per_event(points: Points) -> Floats:
    """(P,) effective events of each process per unit of Σw."""
    return points.sumw.sum(axis=1) / np.maximum(points.sumw2.sum(axis=1), 1e-300)


def _deviance(events: Floats, shares: Floats) -> float:
    return float(-(events * np.log(np.maximum(shares, 1e-12))).sum())


def _neighbourhood(points: Points, left_out: npt.NDArray[np.bool_]) -> Floats:
    """(P, m) shares in the cells left out, from the others in the same cell of twice the size."""
    events = points.sumw * per_event(points)[:, None]
    _, group = np.unique(points.key >> 1, axis=0, return_inverse=True)
    group = group.reshape(-1)
    overall = events[:, ~left_out].sum(axis=1)
    known = np.stack([np.bincount(group, np.where(left_out, 0.0, row), group.max() + 1) for row in events])
    known = np.clip(known, 0.0, None) + _PRIOR_EVENTS * (overall / overall.sum())[:, None]
    shares: Floats = (known / known.sum(axis=0))[:, group[left_out]]
    return shares


def _exponents(dimensions: int, degree: int) -> list[tuple[int, ...]]:
    """The coordinates to multiply for each monomial up to a degree."""
    return [c for n in range(degree + 1) for c in combinations_with_replacement(range(dimensions), n)]


class Shares:
    """The regression: shares (P, n) of the processes at places (n, d)."""

    def __init__(self, points: Points, degree: int) -> None:
        events = points.sumw * per_event(points)[:, None]
        weight = np.maximum(np.abs(events).sum(axis=0), 1e-300)
        self._location = np.average(points.place, axis=0, weights=weight)
        variance = np.average((points.place - self._location) ** 2, axis=0, weights=weight)
        self._scale = np.where(variance > 0, np.sqrt(variance), 1.0)
        self._exponents = _exponents(points.place.shape[1], degree)
        self._coefficients = np.zeros((len(self._exponents), len(events)))
        monomials = self._monomials(points.place)
        total = np.abs(events).sum()

        def deviance(flat: Floats) -> tuple[float, Floats]:
            coefficients = flat.reshape(self._coefficients.shape)
            logs = _log_shares(monomials @ coefficients)
            value = -(events.T * logs).sum() / total + _RIDGE * (flat @ flat)
            expected = np.exp(logs) * events.sum(axis=0)[:, None]
            gradient = monomials.T @ (expected - events.T) / total
            return float(value), gradient.ravel() + 2 * _RIDGE * flat

        fit: Any = minimize(
            deviance,
            self._coefficients.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _ITERATIONS, "ftol": 1e-10},
        )
        self._coefficients = fit.x.reshape(self._coefficients.shape)

    def __call__(self, place: Floats) -> Floats:
        shares: Floats = np.exp(_log_shares(self._monomials(place) @ self._coefficients)).T
        return shares

    def _monomials(self, place: Floats) -> Floats:
        z = np.clip((place - self._location) / self._scale, -_LARGEST, _LARGEST) / 2
        return np.stack([np.prod(z[:, list(c)], axis=1) for c in self._exponents], axis=1)


def _log_shares(logits: Floats) -> Floats:
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
