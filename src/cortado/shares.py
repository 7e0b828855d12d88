"""Cells without the fluctuations of the simulation: smooth shares of the processes in them.

Categories that are made for cells follow their fluctuations, which other events do not have. The shares of
the processes vary slowly from cell to cell, and can be had from all events together: a multinomial logistic
regression on polynomials of the coordinates,

    P(p | u) = exp f_p(u) / Σ_q exp f_q(u),

in which a process counts as many events as it effectively has. The smoothed Σw of a process in a cell is its
share of the effective events in the cell. Whether polynomials describe the shares is found out from cells
that were left out: where the neighbours of such cells say more about them, nothing is smoothed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve
from threadpoolctl import threadpool_limits

from cortado.points import Points

Floats = npt.NDArray[np.float64]

_FITTED_CELLS = 4000
_DEGREES = (2, 4, 6)
_MOST_FEATURES = 80
LARGEST = 4.0  # standard deviations, beyond which a coordinate counts as that
_RIDGE = 1e-6
_ITERATIONS = 50
_TOLERANCE = 1e-7  # of the deviance per event
_SHORTEST = 1e-3
_PRIOR_EVENTS = 2.0  # effective events with the shares of all cells, in a neighbourhood


def shares_of(points: Points) -> Shares | None:
    """The shares of the processes as functions of the place; None, where no polynomial describes them.

    The regression is made on some of the points, doubled in size until they are few enough.
    """
    fitted = points.coarsened(_FITTED_CELLS)
    # Products of small matrices: where other programs run, the threads of BLAS mostly wait for each other.
    with threadpool_limits(1, user_api="blas"):
        best = _best(fitted)
        return best and Shares(fitted, best.degree, best)


def _best(points: Points) -> Shares | None:
    """The regression on some cells with the least deviance in the others; None if neighbours do better."""
    left_out = (points.key.sum(axis=1) % 2).astype(bool)
    if not left_out.any() or left_out.all() or (points.sumw.sum(axis=1) <= 0).any():
        return None
    kept, test = points.some(~left_out), points.some(left_out)
    if (kept.sumw.sum(axis=1) <= 0).any():
        return None
    events = test.sumw * _per_event(points)[:, None]
    least, best, shares = _deviance(events, _neighbourhood(points, left_out)), None, None
    for degree in _DEGREES:
        if len(_exponents(points.place.shape[1], degree)) <= _MOST_FEATURES:
            shares = Shares(kept, degree, shares)
            deviance = _deviance(events, shares(test.place))
            least, best = (deviance, shares) if deviance < least else (least, best)
    return best


def _per_event(points: Points) -> Floats:
    """(P,) effective events of each process per unit of Σw."""
    return points.sumw.sum(axis=1) / np.maximum(points.sumw2.sum(axis=1), 1e-300)


def _deviance(events: Floats, shares: Floats) -> float:
    return float(-(events * np.log(np.maximum(shares, 1e-12))).sum())


def _neighbourhood(points: Points, left_out: npt.NDArray[np.bool_]) -> Floats:
    """(P, m) shares in the cells left out, from the others in the same cell of twice the size."""
    events = points.sumw * _per_event(points)[:, None]
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
    """The regression: shares (P, n) of the processes at places (n, d).

    Attributes
    ----------
    per_event
        (P,) effective events of each process per unit of Σw.
    mean_weight
        (P,) Σw²/Σw of each process.
    location, scale
        (d,) what coordinates are standardised by.
    degree
        Of the polynomials.
    exponents, coefficients
        The coordinates to multiply for each of M monomials; (M, P) their coefficients.
    """

    def __init__(self, points: Points, degree: int, similar: Shares | None = None) -> None:
        """``similar`` shares, of no higher degree, are where the regression begins."""
        self.per_event = _per_event(points)
        self.mean_weight = points.sumw2.sum(axis=1) / points.sumw.sum(axis=1)
        events = points.sumw * self.per_event[:, None]
        weight = np.maximum(np.abs(events).sum(axis=0), 1e-300)
        self.location = np.average(points.place, axis=0, weights=weight)
        variance = np.average((points.place - self.location) ** 2, axis=0, weights=weight)
        self.scale = np.where(variance > 0, np.sqrt(variance), 1.0)
        self.degree = degree
        self.exponents = _exponents(points.place.shape[1], degree)
        begin = np.zeros((len(self.exponents), len(events)))
        if similar:
            begin[: len(similar.exponents)] = similar.coefficients
        self.coefficients: Floats = _regression(self._monomials(points.place), events, begin)

    def __call__(self, place: Floats) -> Floats:
        shares: Floats = np.exp(_log_shares(self._monomials(place) @ self.coefficients)).T
        return shares

    def smoothed(self, points: Points) -> Points:
        """Points with these shares of the processes in Σw and Σw²; counts stay what they are.

        Variations change with Σw by the same amounts: how a variation differs from the nominal sums is kept,
        cell by cell. Their ratio has no value where a process has no events, and too many where it has few.
        """
        events = (points.sumw * self.per_event[:, None]).sum(axis=0)
        sumw = self(points.place) * events / self.per_event[:, None]
        varied = None if points.varied is None else points.varied + (sumw - points.sumw)
        return replace(points, sumw=sumw, sumw2=np.abs(sumw * self.mean_weight[:, None]), varied=varied)

    def _monomials(self, place: Floats) -> Floats:
        z = np.clip((place - self.location) / self.scale, -LARGEST, LARGEST) / 2
        return np.stack(products(self.exponents, z.T), axis=1)


def products(exponents: Sequence[tuple[int, ...]], z: Any) -> list[Any]:
    """Products of the rows of z (d, n), numpy arrays or tensors; every one is a shorter one times a row."""
    made: dict[tuple[int, ...], Any] = {(): z[0] * 0 + 1}
    for chosen in exponents:
        if chosen:
            made[chosen] = made[chosen[:-1]] * z[chosen[-1]]
    return list(made.values())


def _regression(monomials: Floats, events: Floats, begin: Floats) -> Floats:
    """(m, P) coefficients of the largest likelihood, of monomials (n, m) for effective events (P, n).

    By Newton's method from ``begin`` (m, P), with steps halved where they lead up: the deviance is convex.
    """
    n_processes, m = len(events), monomials.shape[1]
    total = np.abs(events).sum()
    in_cell = events.sum(axis=0)

    def deviance(x: Floats) -> tuple[float, Floats]:
        logs = _log_shares(monomials @ x)
        return float(-(events.T * logs).sum() / total + _RIDGE * np.square(x).sum()), np.exp(logs)

    def step(x: Floats, shares: Floats) -> tuple[Floats, float]:
        gradient = monomials.T @ (shares * in_cell[:, None] - events.T) / total + 2 * _RIDGE * x
        hessian = np.empty((m, n_processes, m, n_processes))
        # Cells with a negative sum would curve it down.
        weight = np.clip(in_cell, 0.0, None)[:, None] * shares / total
        for a in range(n_processes):
            for b in range(a + 1):
                curvature = weight[:, a] * ((a == b) - shares[:, b])
                block = (monomials * curvature[:, None]).T @ monomials
                hessian[:, a, :, b] = hessian[:, b, :, a] = block
        flat = hessian.reshape(m * n_processes, -1)
        flat[np.diag_indices_from(flat)] += 2 * _RIDGE
        direction = solve(flat, gradient.ravel(), assume_a="pos").reshape(x.shape)
        return direction, float(np.sum(direction * gradient))

    x = begin
    value, shares = deviance(x)
    for _ in range(_ITERATIONS):
        direction, decrease = step(x, shares)
        length = 1.0
        while (found := deviance(x - length * direction))[0] > value and length > _SHORTEST:
            length /= 2
        if found[0] > value:
            break
        x = x - length * direction
        value, shares = found
        if decrease < _TOLERANCE:
            break
    return x


def _log_shares(logits: Floats) -> Floats:
    logits = logits - logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
