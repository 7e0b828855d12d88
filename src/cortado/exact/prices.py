"""Every cell to the category where it is worth most, while every category gets what it needs.

The largest Σ_i m(c_i, i) over assignments c under Σ_{i in k} a(k, i) ≥ r_k is a transport problem. Its dual
variables are prices λ_k ≥ 0: cells go where m(k, i) + λ_k a(k, i) is largest. As in an auction (Bertsekas,
Ann. Oper. Res. 14 (1988) 105), a category that is short of something raises its price until enough cells
come, those first for which the rise is least. Prices only rise, so that the cells which one category draws
away from another are made up for in the next sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_SWEEPS = 50
# A lack of this little, relative to what is needed, is rounding.
_ROUNDING = 1e-9
# Of a price, relative to what is paid for.
_LEAST_RISE = 1e-9


@dataclass(frozen=True, eq=False)
class Requirement:
    """What every category needs, in units of its own: ``brought`` (K, n) by each cell, ``needed`` (K,)."""

    brought: Floats
    needed: Floats


def assigned(
    merit: Floats, category: Integers, requirements: Sequence[Requirement]
) -> tuple[Integers, Floats]:
    """The assignment of n cells to K categories of largest merit, as far as that meets the requirements.

    Parameters
    ----------
    merit
        (K, n) what each cell is worth to each category.
    category
        (n,) where the cells are now: they stay where nothing is better.
    requirements
        What the categories need. Where it cannot be had, they get as much of it as there is.

    Returns
    -------
    category
        (n,) the assignment.
    priced
        (K, n) merit with what each cell brings at the prices of what is needed: the category of a cell has
        the largest, but for ties.
    """
    cells = np.arange(merit.shape[1])
    priced = merit.copy()
    best = priced.argmax(axis=0)
    target = np.where(priced[best, cells] > priced[category, cells], best, category)
    for _ in range(_SWEEPS):
        raised = [
            _raise_price(priced, target, k, requirement)
            for requirement in requirements
            if (_lack(target, requirement) > _ROUNDING).any()
            for k in range(len(merit))
        ]
        if not any(raised):
            break
    return target, priced


def _lack(target: Integers, requirement: Requirement) -> Floats:
    """(K,) what every category lacks."""
    here = requirement.brought[target, np.arange(len(target))]
    return requirement.needed - np.bincount(target, here, len(requirement.needed))


def _raise_price(priced: Floats, target: Integers, k: int, requirement: Requirement) -> bool:
    """Give category ``k`` what it needs, by changes in place; whether there were any."""
    brought = requirement.brought[k]
    mine = target == k
    lack = requirement.needed[k] - brought[mine].sum()
    useful = np.flatnonzero(np.where(mine, brought < 0, brought > 0))
    if lack <= _ROUNDING or not len(useful):
        return False
    own = priced[k].copy()
    priced[k] = -np.inf
    elsewhere = np.where(mine[useful], priced[:, useful].argmax(axis=0), target[useful])
    price = (priced[elsewhere, useful] - own[useful]) / brought[useful]
    order = np.argsort(price, kind="stable")
    enough = 1 + np.searchsorted(np.cumsum(np.abs(brought[useful[order]])), lack - _ROUNDING)
    chosen = order[:enough]
    target[useful[chosen]] = np.where(mine[useful[chosen]], elsewhere[chosen], k)
    # As high as the next cell just does not come, and a little more than nothing: at the lowest price that
    # does, others could take cells back for nothing.
    rise = _LEAST_RISE * (np.abs(own).max() or 1.0) / np.abs(brought).max()
    next_price = price[order[min(enough, len(order) - 1)]]
    priced[k] = own + max(next_price, price[chosen[-1]] + rise, 0.0) * brought
    return True
