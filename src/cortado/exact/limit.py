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
that all further ones together gain no more than the last. Then the larger one of the plug-in value, and of
the corrected value with the last gain once more, is an upper bound on average.

What is put together hides how the ratio varies there, and where it rises steeply most of the significance may
be in it. As a part of what cells of a size leave *unresolved* counts the largest squared significance that
cells of any larger size would have from their signal, if there was at least one background event in each.
The bound is that of the smallest cells that leave little unresolved: no choice by its value. There is none
if a corrected value of smaller cells exceeds what the assumption allows after as many halvings, or if the
lower bound exceeds it by more than its standard deviation.

**Uncertainties** are those of the bounds to first order in the yields. The lower bound depends on these by
the sums, and by the ratios: they are shrunk, hence not the best ones, and enter in first order as well. Such
estimates count what is of second order, like the product of two fluctuations, more than once, so that with
few events they are too large rather than too small (as for the jackknife: Efron and Stein, Ann. Statist. 9
(1981) 586).

**Several signals** have bounds on Z² each, which the objective combines. It must not fall with any Z. Where
it is concave in the Z², as every combination with a name, the lower bound holds on average (Jensen's
inequality); the upper bound does up to the square of its relative uncertainty. Floors have no part in either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.exact.crossed import MAX_CELLS, doubled_cells, mean, others, points_by_fold
from cortado.exact.ratio import ShrunkRatio, Weights, shrunk_ratios
from cortado.exact.roles import Roles, only_asimov
from cortado.objectives import Objective, Yields, as_objective, squared_significance
from cortado.objectives.asimov import tangent
from cortado.points import Points, sums_by_index
from cortado.sample import Sample

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

# Effective background events below which a cell does not stand alone in the plug-in value.
_LEAST_EVENTS = 4.0
# Share of the squared significance, above which what is unresolved may hide more than is assumed.
_MOST_UNRESOLVED = 0.15


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
        Share of the squared significances (as far as they matter to the combined one) that may be in cells
        with too few background events for this size, if these had one event at least.
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
        Likewise from above, under an assumption; infinite where none can be given, as simulated background
        is too rare.
    unresolved
        The share of the squared significance that may be where simulated background is too rare to say how
        the ratio of signal to background varies, in the cells that the upper bound comes from; in the
        smallest ones where there is none.
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
        lower = f"{self.lower:.4f} ± {self.lower_uncertainty:.4f}"
        if not np.isfinite(self.upper):
            return f"above {lower}, without an upper bound"
        return f"between {lower} and {self.upper:.4f} ± {self.upper_uncertainty:.4f}"

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
    by_fold = [shrunk_ratios(others(parts, fold), roles, doubled) for fold in range(len(parts))]
    sizes = tuple(
        CellSize(
            widths=tuple((2**k * whole.widths).tolist()),
            n_cells=int(cell.max()) + 1,
            **_from_above(whole, roles, doubled[k:])._asdict(),
            **_from_below(parts, roles, cell, k, by_fold)._asdict(),
        )
        for k, cell in enumerate(doubled)
    )
    lower = sizes[0].cross_fitted
    k = smallest_resolving(sizes)
    bounded = holds(sizes, k)
    return Limit(
        lower=lower,
        lower_uncertainty=sizes[0].cross_fitted_uncertainty,
        upper=max(upper_bound(sizes, k), lower) if bounded else np.inf,
        upper_uncertainty=_upper_uncertainty(whole, roles, doubled, sizes, k) if bounded else np.inf,
        unresolved=sizes[k if bounded else 0].unresolved,
        sizes=sizes,
    )


@dataclass(frozen=True)
class NoLimit:
    """Why a sample or an objective has no limit."""

    reason: str

    def __str__(self) -> str:
        return f"No limit: {self.reason}."


def limit_or_reason(sample: Sample, objective: Objective | Callable[[Yields], Any]) -> Limit | NoLimit:
    """:func:`unbinned_limit`, or why the sample or the objective has none."""
    try:
        return unbinned_limit(sample, objective)
    except ConfigError as error:
        return NoLimit(str(error))


def smallest_resolving(sizes: Sequence[CellSize]) -> int:
    """Which of the sizes has the smallest cells that leave little unresolved; the last one if none does."""
    resolving = (k for k, size in enumerate(sizes) if size.unresolved <= _MOST_UNRESOLVED)
    return next(resolving, len(sizes) - 1)


def upper_bound(sizes: Sequence[CellSize], k: int) -> float:
    """What cells of one of the sizes give under the assumption; infinite for the last, which has no gain."""
    if k + 1 == len(sizes):
        return np.inf
    return max(sizes[k].plug_in, sizes[k].corrected + _gain(sizes, k))


def holds(sizes: Sequence[CellSize], k: int) -> bool:
    """Whether there is a bound of one of the sizes that neither smaller cells nor the lower bound refute."""
    bound, size = upper_bound(sizes, k), sizes[k]
    if not np.isfinite(bound) or bound + size.plug_in_uncertainty < sizes[0].cross_fitted:
        return False
    # What the assumption allows after 0, 1, … further halvings.
    allowed = [max(size.plug_in, size.corrected + (1 - 0.5**m) * _gain(sizes, k)) for m in range(k + 1)]
    return all(finer.corrected <= most for finer, most in zip(sizes[k::-1], allowed, strict=True))


def _gain(sizes: Sequence[CellSize], k: int) -> float:
    """By how much the corrected value of one of the sizes exceeds that of cells twice as large."""
    return max(sizes[k].corrected - sizes[k + 1].corrected, 0.0)


def _upper_uncertainty(
    points: Points, roles: Roles, doubled: Sequence[Integers], sizes: Sequence[CellSize], k: int
) -> float:
    """The standard deviation of the bound of one of the sizes."""
    background = _background(points, roles)
    derivatives = _plug_in_derivatives(points, roles, pooled(doubled[k:], background))
    if upper_bound(sizes, k) > sizes[k].plug_in:
        of_larger = _plug_in_derivatives(points, roles, pooled(doubled[k + 1 :], background))
        derivatives = 2 * derivatives - of_larger
    return _deviation([derivatives], [points.sumw2])


class _Below(NamedTuple):
    cross_fitted: float
    cross_fitted_uncertainty: float


def _from_below(
    parts: Sequence[Points],
    roles: Roles,
    cell: Integers,
    size: int,
    by_fold: Sequence[Sequence[ShrunkRatio]],
) -> _Below:
    """The cross-fitted value of cells of one size, with the ratios (S) that each fold is tested with."""
    n, n_cells = len(parts), int(cell.max()) + 1
    sums = [roles.split(sums_by_index(part.sumw, cell, n_cells)) for part in parts]
    ratio = [np.stack([of_signal.by_size[size] for of_signal in ratios]) for ratios in by_fold]
    squares = np.mean([_tangent_squares(t, s, b) for t, (s, b) in zip(ratio, sums, strict=True)], axis=0)
    importance = roles.importance(squares)[:, None]
    derivatives = []
    for t in ratio:
        alpha, beta = tangent(t)
        derivatives.append(roles.derivatives(importance * alpha, -importance * beta))
    for fold, (t, (s, b)) in enumerate(zip(ratio, sums, strict=True)):
        slope = importance * 2 * (s - t * b) / (1 + t)
        of_ratios = [of.derivatives(size, row) for of, row in zip(by_fold[fold], slope, strict=True)]
        by_others = roles.derivatives(*np.stack(of_ratios, axis=1)) / (n - 1)
        for other in range(n):
            if other != fold:
                derivatives[other] = derivatives[other] + by_others
    squared_errors = [sums_by_index(part.sumw2, cell, n_cells) for part in parts]
    return _Below(roles.combined(squares), _deviation(derivatives, squared_errors) / n)


def _deviation(derivatives: Sequence[Floats], sumw2: Sequence[Floats]) -> float:
    """The standard deviation of what has such derivatives with respect to independent Σw."""
    return float(np.sqrt(np.sum([(np.square(d) * s).sum() for d, s in zip(derivatives, sumw2, strict=True)])))


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
    group = pooled(sizes, _background(points, roles))
    n = int(group.max()) + 1
    z2, bias = roles.squares_and_bias(
        sums_by_index(points.sumw, group, n), sums_by_index(points.sumw2, group, n)
    )
    squares = z2.sum(axis=1)
    return _Above(
        plug_in=roles.combined(squares),
        plug_in_uncertainty=_deviation([_plug_in_derivatives(points, roles, group)], [points.sumw2]),
        corrected=roles.combined(squares - bias.sum(axis=1)),
        unresolved=_unresolved(points, roles, sizes, roles.importance(squares)),
    )


def _plug_in_derivatives(points: Points, roles: Roles, group: Integers) -> Floats:
    """(P, n) of the plug-in value of groups, (n,) of each point, with respect to Σw."""
    sumw = sums_by_index(points.sumw, group, int(group.max()) + 1)
    z2 = roles.squares_and_bias(sumw, np.zeros_like(sumw))[0]
    s, b = roles.split(sumw)
    alpha, beta = tangent(np.where(z2 > 0, s, 0.0) / np.where(z2 > 0, b, 1.0))
    importance = roles.importance(z2.sum(axis=1))[:, None]
    return roles.derivatives(importance * alpha, -importance * beta)[:, group]


def _unresolved(points: Points, roles: Roles, sizes: Sequence[Integers], importance: Floats) -> float:
    """The share of Z² that may be in cells of the first of ``sizes`` that hold too little background."""
    background, cell = _background(points, roles), sizes[0]
    if not background.sumw.sum() > 0:
        return 1.0
    n = int(cell.max()) + 1
    enough = _enough(background.in_cells(cell, n), _LEAST_EVENTS)
    s, b = roles.split(sums_by_index(points.sumw, cell, n))
    resolved = float(importance @ squared_significance(s, b)[:, enough].sum(axis=1))
    rest = np.flatnonzero(~enough[cell])
    hidden = 0.0
    for larger in sizes if len(rest) else ():
        s, b = roles.split(sums_by_index(points.sumw[:, rest], larger[rest], int(larger.max()) + 1))
        z2 = squared_significance(s, np.maximum(b, background.per_event))
        hidden = max(hidden, float(importance @ z2.sum(axis=1)))
    return hidden / (hidden + resolved) if hidden > 0 else 0.0


def _background(points: Points, roles: Roles) -> Weights:
    """The background to all signals, of each point."""
    return Weights(points.sumw[roles.common].sum(axis=0), points.sumw2[roles.common].sum(axis=0))


def _enough(background: Weights, least: float) -> npt.NDArray[np.bool_]:
    """(n,) where there are that many effective events."""
    positive = background.sumw > 0
    enough: npt.NDArray[np.bool_] = positive & (np.square(background.sumw) >= least * background.sumw2)
    return enough


def pooled(sizes: Sequence[Integers], background: Weights, least: float = _LEAST_EVENTS) -> Integers:
    """Cells put together until each group has ``least`` effective background events, (Σw)²/Σw².

    Parameters
    ----------
    sizes
        From those cells on that may stand alone, the cell of each of n addresses, (n,), in every size.
    background
        Of the n addresses.

    Returns
    -------
    The group (n,) of each address. A cell of the first size that has enough is a group; what is left over in
    a cell of the next size is one, if that has enough; and so on. What never had enough joins the last group.
    """
    group = np.full(len(sizes[0]), -1)
    rest = np.arange(len(group))
    n_groups = 0
    for cell in sizes:
        inside = cell[rest]
        enough = _enough(background.some(rest).in_cells(inside, int(cell.max()) + 1), least)
        done = enough[inside]
        group[rest[done]] = (n_groups - 1 + np.cumsum(enough))[inside[done]]
        n_groups += int(enough.sum())
        rest = rest[~done]
    group[rest] = max(n_groups - 1, 0)
    return group
