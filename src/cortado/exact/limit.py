"""The significance that infinitely many categories would give, between two bounds.

Of one signal, with expected s and b per unit of discriminant space, that is Z² = ∫ z²(s, b), where z² is that
of a category (:func:`cortado.objectives.squared_significance`). z² is convex and grows in proportion with s
and b together, hence subadditive: to merge cells never helps, and Z² is the limit of Σ_c z²(s_c, b_c) over
smaller and smaller cells c, the least upper bound over all partitions.

**From below.** The tangent plane of z² at any ratio t ≥ 0 lies below it, so that for any t_c

    Σ_c [α(t_c) s_c − β(t_c) b_c] ≤ Σ_c z²(s_c, b_c) ≤ Z²,  α = 2 ln(1 + t),  β = 2 [t − ln(1 + t)],

with equality for t = s/b (the variational bound of an f-divergence: Nguyen, Wainwright and Jordan, IEEE
Trans. Inf. Theory 56 (2010) 5847). The left side is linear in the yields: with t from other events, it has no
bias, whether or not weights are negative or cells empty. Where t = 0 it is 0, where b is 0 it is finite. Here
t comes from the other folds (:mod:`cortado.exact.ratio`), every fold has its turn, and the mean over folds is
the *cross-fitted* value. It rises with smaller cells until these say nothing new; what is quoted is that of
the smallest, so that nothing is chosen by it.

**From above.** Yields (S, B) that fluctuate around (s, b) have E[z²(S, B)] ≥ z²(s, b), as z² is convex: the
*plug-in* value Σ_c z²(S_c, B_c) of given cells is biased upwards, to lowest order by

    Σ_c (σ_S² + t² σ_B²) / (s + b),  t = s/b,

and is *corrected* by that. But z² is infinite for b = 0, and a category without background counts as nothing;
so cells with few effective background events are put together with such around them. And cells lose what
the ratio varies inside them. How much that is takes an assumption: every further halving of the cells gains
at most half as much as the one before (a quarter is what smooth densities give, a half what a jump does), so
that all further ones together gain no more than the last. At each size the larger one of the plug-in value,
and of the corrected value with the last gain once more, is then an upper bound on average. The least of them
is quoted, among those where no corrected value of smaller cells exceeds what the assumption allows after as
many halvings, where cells of the size itself hold at least half of the squared significance, and that are
not below the lower bound by more than their standard deviation.

**Several signals** have bounds on Z² each, which the objective combines. It must not fall with any Z. Where
it is concave in the Z², as every combination with a name, the lower bound holds on average (Jensen's
inequality); the upper bound does up to the square of its relative uncertainty. Floors have no part in either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.exact.crossed import MAX_CELLS, doubled_cells, mean, others, points_by_fold
from cortado.exact.ratio import Weights, ratios
from cortado.exact.roles import Roles, only_asimov
from cortado.objectives import Objective, Yields, as_objective
from cortado.objectives.asimov import tangent
from cortado.points import Points
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Effective background events below which a cell does not stand alone in the plug-in value.
_LEAST_EVENTS = 4.0
# Share of the squared significance, above which cells put together hide how the ratio varies.
_MOST_UNRESOLVED = 0.5


@dataclass(frozen=True)
class CellSize:
    """What cells of one size say about the limit, from all events at the full luminosity.

    Attributes
    ----------
    widths
        Of a cell along each coordinate.
    n_cells
        How many of them have events.
    plug_in, plug_in_uncertainty
        The significance of the cells, biased upwards; its standard deviation from the finite simulation.
    corrected
        The same without that bias, to lowest order.
    unresolved
        Share of the squared significances (as far as they matter to the combined one) in cells that hold too
        few background events for this size, and were put together.
    cross_fitted, cross_fitted_uncertainty
        The lower bound with ratios from cells of this size, and its standard deviation.
    """

    widths: tuple[float, ...]
    n_cells: int
    plug_in: float
    plug_in_uncertainty: float
    corrected: float
    unresolved: float
    cross_fitted: float
    cross_fitted_uncertainty: float


@dataclass(frozen=True)
class Limit:
    """A bracket for the significance that infinitely many categories would give.

    Attributes
    ----------
    lower, lower_uncertainty
        The cross-fitted value of the smallest cells and its standard deviation from the finite simulation.
    upper, upper_uncertainty
        Likewise from above; infinite where no size of the cells gives one.
    unresolved
        The share of the squared significance where simulated background is too rare to say how the
        ratio of signal to background varies, in cells of the size that the upper bound comes from. If it is
        not small, that bound may be too low; above a half there is none.
    sizes
        The numbers behind it, from the smallest cells to one.
    """

    lower: float
    lower_uncertainty: float
    upper: float
    upper_uncertainty: float
    unresolved: float
    sizes: tuple[CellSize, ...]

    def fraction(self, value: float) -> tuple[float, float]:
        """(least, most) of the limit that a significance is: over the upper and over the lower bound.

        0 where the upper bound is infinite, and infinity where the lower one is 0.
        """
        return value / self.upper, value / self.lower if self.lower > 0 else np.inf

    def __str__(self) -> str:
        upper = f"{self.upper:.4f} ± {self.upper_uncertainty:.4f}" if np.isfinite(self.upper) else "infinity"
        return f"between {self.lower:.4f} ± {self.lower_uncertainty:.4f} and {upper}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; null for an upper bound that is infinite."""
        content = asdict(self)
        if not np.isfinite(self.upper):
            content |= {"upper": None, "upper_uncertainty": None}
        return content


def unbinned_limit(
    sample: Sample, objective: Objective | Callable[[Yields], Any], *, max_cells: int = MAX_CELLS
) -> Limit:
    """The significance that infinitely many categories would give, as a bracket.

    Parameters
    ----------
    sample
        Normalised sample of at least two folds.
    objective
        An :class:`Asimov`; floors are ignored. A function that combines significances must not fall with any.
    max_cells
        Where more cells have events, they are doubled in size before.

    Raises
    ------
    ConfigError
        If the sample has a single fold, the objective is another one, its scales are not one number each, or
        it names processes that are not in the sample or leaves no background.
    """
    goal = as_objective(objective)
    asimov = only_asimov(goal)
    parts = points_by_fold(sample, goal, max_cells)
    doubled = doubled_cells(parts[0].key)
    roles = Roles.of(asimov, parts[0].processes)
    whole = mean(parts)
    by_fold = [ratios(others(parts, fold), roles, doubled) for fold in range(len(parts))]
    sizes = tuple(
        CellSize(
            widths=tuple((2**k * whole.widths).tolist()),
            n_cells=int(cell.max()) + 1,
            **_from_above(whole, roles, doubled[k:])._asdict(),
            **_from_below(parts, roles, cell, [ratio[k] for ratio in by_fold])._asdict(),
        )
        for k, cell in enumerate(doubled)
    )
    smallest = sizes[0]
    upper, at = least_upper(sizes)
    return Limit(
        lower=smallest.cross_fitted,
        lower_uncertainty=smallest.cross_fitted_uncertainty,
        upper=max(upper, smallest.cross_fitted),
        upper_uncertainty=at.plug_in_uncertainty,
        unresolved=at.unresolved,
        sizes=sizes,
    )


def limit_or_none(sample: Sample, objective: Objective | Callable[[Yields], Any]) -> Limit | None:
    """:func:`unbinned_limit`, or None where the sample or the objective has none."""
    try:
        return unbinned_limit(sample, objective)
    except ConfigError:
        return None


def least_upper(sizes: Sequence[CellSize]) -> tuple[float, CellSize]:
    """The least upper bound and the size that it comes from; infinity and the smallest, if there is none."""
    bounds = []
    for k, (size, larger) in enumerate(pairwise(sizes)):
        gain = max(size.corrected - larger.corrected, 0.0)
        # What the assumption allows after 0, 1, … further halvings.
        allowed = [max(size.plug_in, size.corrected + (1 - 0.5**m) * gain) for m in range(k + 1)]
        obeyed = all(finer.corrected <= most for finer, most in zip(sizes[k::-1], allowed, strict=True))
        bound = max(size.plug_in, size.corrected + gain)
        resolved = size.unresolved <= _MOST_UNRESOLVED
        if obeyed and resolved and bound + size.plug_in_uncertainty >= sizes[0].cross_fitted:
            bounds.append((bound, size))
    return min(bounds, key=lambda bound: bound[0], default=(np.inf, sizes[0]))


class _Below(NamedTuple):
    cross_fitted: float
    cross_fitted_uncertainty: float


def _from_below(parts: Sequence[Points], roles: Roles, cell: Integers, by_fold: Sequence[Floats]) -> _Below:
    """The cross-fitted value of cells of one size, with the ratios (S, m) that each fold is tested with."""
    squares = np.mean(
        [
            _tangent_squares(ratio, *roles.split(_binned(part.sumw, cell)))
            for ratio, part in zip(by_fold, parts, strict=True)
        ],
        axis=0,
    )
    importance = roles.importance(squares)
    # Folds are independent but for the ratios, which enter in second order.
    variances = [
        roles.variance(ratio, importance, _binned(part.sumw2, cell))
        for ratio, part in zip(by_fold, parts, strict=True)
    ]
    return _Below(roles.combined(squares), float(np.sqrt(np.sum(variances))) / len(parts))


def _tangent_squares(ratio: Floats, s: Floats, b: Floats) -> Floats:
    """(S,) Z² of the tangents at ``ratio``, where ratio, signals and backgrounds are (S, m)."""
    alpha, beta = tangent(ratio)
    squares: Floats = (alpha * s - beta * b).sum(axis=1)
    return squares


class _Above(NamedTuple):
    plug_in: float
    plug_in_uncertainty: float
    corrected: float
    unresolved: float


def _from_above(points: Points, roles: Roles, sizes: Sequence[Integers]) -> _Above:
    """The plug-in value of cells of the first of ``sizes``, larger ones where these hold too little."""
    background = Weights(points.sumw[roles.common].sum(axis=0), points.sumw2[roles.common].sum(axis=0))
    group, n_alone = pooled(sizes, background)
    sumw, sumw2 = _binned(points.sumw, group), _binned(points.sumw2, group)
    z2, bias = roles.squares_and_bias(sumw, sumw2)
    s, b = roles.split(sumw)
    ratio = np.where(z2 > 0, s, 0.0) / np.where(z2 > 0, b, 1.0)
    squares = z2.sum(axis=1)
    importance = roles.importance(squares)
    total = float(importance @ squares)
    together = float(importance @ z2[:, n_alone:].sum(axis=1))
    return _Above(
        plug_in=roles.combined(squares),
        plug_in_uncertainty=float(np.sqrt(roles.variance(ratio, importance, sumw2))),
        corrected=roles.combined(squares - bias.sum(axis=1)),
        unresolved=together / total if total > 0 else 0.0,
    )


def pooled(
    sizes: Sequence[Integers], background: Weights, least: float = _LEAST_EVENTS
) -> tuple[Integers, int]:
    """Cells put together until each group has ``least`` effective background events, (Σw)²/Σw².

    Parameters
    ----------
    sizes
        From those cells on that may stand alone, the cell of each of n addresses, (n,), in every size.
    background
        Of the n addresses.

    Returns
    -------
    group
        (n,) of each address. A cell of the first size that has enough is a group; what is left over in a
        cell of the next size is one, if that has enough; and so on. What never had enough joins the last
        group.
    n_alone
        Groups 0 … n_alone − 1 are cells of the first size, and nothing else.
    """
    group = np.full(len(sizes[0]), -1)
    rest = np.arange(len(group))
    n_groups, alone = 0, []
    for cell in sizes:
        inside = cell[rest]
        sumw, sumw2 = (np.bincount(inside, of[rest]) for of in (background.sumw, background.sumw2))
        enough = (sumw > 0) & (np.square(sumw) >= least * sumw2)
        done = enough[inside]
        group[rest[done]] = (n_groups - 1 + np.cumsum(enough))[inside[done]]
        n_groups += int(enough.sum())
        alone.append(n_groups)
        rest = rest[~done]
    last = max(n_groups - 1, 0)
    group[rest] = last
    return group, min(alone[0], last) if len(rest) else alone[0]


def _binned(table: Floats, cell: Integers) -> Floats:
    """(P, m) sums over m cells of a table (P, n)."""
    return np.stack([np.bincount(cell, row) for row in table])
