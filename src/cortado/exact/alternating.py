"""Alternating assignment: every cell to the category to which it is worth most, until nothing changes.

The significance is a convex, degree-1 homogeneous function F of each category's yield vector, so that
F(V) ≥ ⟨∇F(V'), V⟩. With V_k = Σ_{i in k} v_i, giving every cell i to the category with the largest
⟨∇F(V_k), v_i⟩ never lowers a sum of such terms. Other objectives may fall from one round to the next: the
best round is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def alternate(
    values: Floats,
    value_and_gradient: Callable[[Floats], tuple[float, Floats]],
    category: Integers,
    n_categories: int,
    rounds: int = 60,
) -> tuple[Integers, Floats]:
    """Improve a partition of n cells until it no longer changes, or for so many rounds.

    Parameters
    ----------
    values
        (n, m) additive vectors of the cells: yields of the processes, and what else the objective needs.
    value_and_gradient
        Objective and its gradient (K, m) at the sums (K, m) of the categories.
    category
        (n,) the partition to start from.

    Returns
    -------
    category
        (n,) the best partition met.
    merit
        (n, K) ⟨∇F(V_k), v_i⟩ there: what each cell is worth to each category.
    """
    best = -np.inf
    best_category, best_merit = category, np.zeros((len(values), n_categories))
    for _ in range(rounds):
        sums = sums_of(values.T, category, n_categories)
        value, gradient = value_and_gradient(sums)
        merit = values @ gradient.T
        if value > best:
            best, best_category, best_merit = value, category, merit
        following = np.argmax(merit, axis=1)
        if np.array_equal(following, category):
            break
        category = following
    return best_category, best_merit


def sums_of(columns: npt.NDArray[Any], category: Integers, n_categories: int) -> Floats:
    """(K, m) sums over categories of m columns (m, n)."""
    sums = [np.bincount(category, weights=column, minlength=n_categories) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64)
