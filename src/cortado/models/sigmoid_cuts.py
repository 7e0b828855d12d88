"""Sigmoid cuts: ordered boundaries along every discriminant, and the products of their bins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import GridRule
from cortado.errors import ConfigError
from cortado.exact.grid import grid_boundaries
from cortado.models.model import LateModel, coordinates, over_processes
from cortado.models.ranges import Ranges, checked_ranges, one_a_coordinate
from cortado.models.start import Start
from cortado.models.tensorflow import tf
from cortado.softcuts.relaxations import Sigmoid, matched_width, shape_of, soft_bins

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LEAST_SHARE = 1e-4  # of the range between two boundaries where a training begins


class SigmoidCuts(LateModel):
    """Bins along d discriminants; categories are their Cartesian product, the last one running fastest.

    The weight of a bin between boundaries e and f is σ(k (u − e)) − σ(k (u − f)), with k = sharpness ·
    steepness · bins / range, so that the weights of a discriminant sum to 1. In the place of the sigmoid σ
    may stand any other relaxed cut, with the slope that the sigmoid has at the boundary. Boundaries are
    running sums of positive shares of the range, and so in order. The hard limit bins at the boundaries
    themselves: at low steepness the largest weight belongs to another bin than the event lies in. No training
    changes the steepness but by its schedule.

    Parameters
    ----------
    bins
        Number ≥ 1 of bins, for each discriminant (coordinate), one of them at least 2.
    ranges
        (low, high) for each discriminant, between which boundaries lie; by default the range declared with a
        ``Linear`` coordinate, or where all but 0.1 % of the events of any process are on either side.
    steepness
        A number > 0, or one for each discriminant: how steep the sigmoids are, in units of the mean bin.
    relaxation
        The name of another shape, one of :data:`cortado.softcuts.RELAXATIONS`.
    """

    def __init__(
        self,
        bins: int | Sequence[int],
        *,
        ranges: Sequence[tuple[float, float]] | None = None,
        steepness: float | Sequence[float] = 4.0,
        relaxation: str = Sigmoid.NAME,
    ) -> None:
        numbers = np.atleast_1d(bins)
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or numbers.min() < 1 or numbers.max() < 2:
            raise ConfigError(
                f"bins must be integers ≥ 1, one for each discriminant, and one of them ≥ 2, got {bins!r}"
            )
        self._bins: tuple[int, ...] = tuple(numbers.tolist())
        super().__init__(int(np.prod(self._bins)))
        self._ranges = None if ranges is None else checked_ranges("ranges", ranges)
        d = len(self._bins)
        steep = _checked_steepness(steepness, d)
        for name, values in (("steepness", steep), ("ranges", self._ranges)):
            if values is not None and len(values) != d:
                raise ConfigError(
                    f"{name} must have one entry for each of {d} discriminants, got {len(values)}"
                )
        self._steepness = tuple(steep.tolist())
        self._relaxation = shape_of(relaxation)

    @property
    def configuration(self) -> dict[str, Any]:
        """The arguments that make a model like this one."""
        return {
            "bins": self._bins,
            "ranges": self._ranges,
            "steepness": self._steepness,
            "relaxation": self._relaxation.NAME,
        }

    def _fixed(self) -> tuple[str, ...]:
        return ("low", "high")

    def _shapes(self, state: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
        del state
        d = len(self._bins)
        shapes: dict[str, tuple[int, ...]] = {"low": (d,), "high": (d,)}
        return shapes | {f"shares_{j}": (n,) for j, n in enumerate(self._bins)}

    def initialise(self, start: Start) -> bool:
        """Boundaries between the categories of one discriminant; of several, the best that a search finds.

        Categories of a partition are no products of bins. Nothing is left to imitate.
        """
        one_a_coordinate("bins", self._bins, start.points.features)
        ranges = self._chosen_ranges(start)
        low, high = np.array(ranges).T
        if len(self._bins) == 1:
            edges = [_between(start)]
        else:
            edges = grid_boundaries(start.cells, start.objective, self._bins, ranges, start.rng)
        state = {"low": low, "high": high}
        for j, inner in enumerate(edges):
            shares = np.diff(np.concatenate([[low[j]], np.clip(inner, low[j], high[j]), [high[j]]]))
            shares = np.maximum(shares / (high[j] - low[j]), _LEAST_SHARE)
            state[f"shares_{j}"] = np.log(shares / shares.sum())
        self.restore(state)
        return False

    def _chosen_ranges(self, start: Start) -> Ranges:
        if self._ranges is None:
            return start.ranges
        place = start.points.place
        events = zip(place.min(axis=0), place.max(axis=0), strict=True)
        for label, given, (first, last) in zip(
            start.points.features.labels, self._ranges, events, strict=True
        ):
            if last < given[0] or given[1] < first:
                raise ConfigError(
                    f"ranges must be where events are, from {first:g} to {last:g} in {label}, got {given}"
                )
        return self._ranges

    def boundaries(self, discriminant: int = 0) -> Floats:
        """(bins − 1,) boundaries along a discriminant, in increasing order.

        Raises ``ConfigError`` if there is no discriminant of that number, from 0 on.
        """
        if discriminant not in range(len(self._bins)):
            raise ConfigError(
                f"discriminant must be from 0 to {len(self._bins) - 1}, one of those with bins, "
                f"got {discriminant!r}"
            )
        return np.asarray(self._edges(discriminant))

    def _edges(self, j: int) -> Any:
        low, high = self._value("low")[j], self._value("high")[j]
        return low + (high - low) * tf.cumsum(tf.nn.softmax(self._value(f"shares_{j}")))[:-1]

    def _weights(self, u: Any, j: int, sharpness: Any) -> Any:
        """(n, bins) weights of the bins along one discriminant u (n,)."""
        span = self._value("high")[j] - self._value("low")[j]
        slope = self._steepness[j] / matched_width(self._relaxation, Sigmoid())
        steepness = tf.cast(sharpness, tf.float64) * (slope * self._bins[j]) / span
        return soft_bins(self._relaxation.rise(steepness * (u[:, None] - self._edges(j)[None, :])))

    def _products(self, u: Any, sharpness: Any) -> Any:
        products = self._weights(u[:, 0], 0, sharpness)
        for j in range(1, len(self._bins)):
            weights = self._weights(u[:, j], j, sharpness)
            products = tf.reshape(
                products[:, :, None] * weights[:, None, :], (-1, products.shape[1] * weights.shape[1])
            )
        return products

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        """(n, K) memberships at coordinates u (n, d), or per process for a mapping; rows sum to 1."""
        return over_processes(
            lambda values: self._products(coordinates(values, len(self._bins)), sharpness), u
        )

    def _categories(self, u: Floats) -> Integers:
        # Those of the memberships: a bin that is empty, which a rule would leave out, keeps its number.
        place = np.asarray(coordinates(u, len(self._bins)))
        bins = [np.searchsorted(self.boundaries(j), column, side="right") for j, column in enumerate(place.T)]
        return np.ravel_multi_index(bins, self._bins)

    def parameters(self) -> GridRule:
        """The boundaries along each discriminant, in the sample's coordinates."""
        # Boundaries that have become one leave a bin between them empty: it goes.
        edges = [np.unique(self.boundaries(j)) for j in range(len(self._bins))]
        return GridRule(edges=tuple(tuple(e.tolist()) for e in edges))


def _checked_steepness(steepness: float | Sequence[float], d: int) -> Floats:
    """(d or other number of entries,) steepnesses, from one for all or from one for each."""
    try:
        given = np.asarray(steepness, np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"steepness must be finite numbers > 0, got {steepness!r}") from error
    if given.ndim > 1 or not np.all((given > 0) & np.isfinite(given)):
        raise ConfigError(f"steepness must be finite numbers > 0, got {given.tolist()}")
    return given if given.ndim else np.full(d, given)


def _between(start: Start) -> Floats:
    """(K − 1,) boundaries of one coordinate that put the least importance into a wrong category."""
    u = start.points.place[:, 0]
    position = [
        np.average(u[chosen], weights=start.importance[chosen] + 1e-12)
        if (chosen := start.category == k).any()
        else np.inf
        for k in range(start.n_categories)
    ]
    rank = np.argsort(np.argsort(position, kind="stable"), kind="stable")[start.category]
    order = np.argsort(u, kind="stable")
    rank, weight, u = rank[order], start.importance[order], u[order]
    cuts = 0.5 * (u[1:] + u[:-1])
    edges = []
    for k in range(1, start.n_categories):
        wrong = np.cumsum(np.where(rank >= k, weight, -weight))[:-1]  # up to a constant
        edges.append(cuts[np.argmin(wrong)])
    return np.sort(np.array(edges))
