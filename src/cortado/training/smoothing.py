"""Cells without the fluctuations of the simulation: smooth shares of the processes in them.

Categories that are trained on cells follow their fluctuations, which other events do not have. The shares of
the processes vary slowly from cell to cell, and can be had from all events together, by a regression
(:mod:`cortado.shares`). The smoothed Σw of a process in a cell is its share of the effective events in the
cell. Whether polynomials describe the shares is found out from cells that were left out: where the neighbours
of such cells say more about them, nothing is smoothed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cortado.sample import Points
from cortado.shares import Shares, best_degree, per_event


def smoothed(points: Points, fitted: Points) -> Points:
    """The points with smooth shares of the processes in Σw and Σw², from a regression on ``fitted`` cells.

    Counts stay what they are. The same points, where no polynomial describes the shares.
    """
    degree = best_degree(fitted)
    if degree is None:
        return points
    events_per_weight = per_event(fitted)[:, None]
    events = (points.sumw * events_per_weight).sum(axis=0)
    sumw = Shares(fitted, degree)(points.place) * events / events_per_weight
    ratio = fitted.sumw2.sum(axis=1) / fitted.sumw.sum(axis=1)
    return replace(points, sumw=sumw, sumw2=np.abs(sumw * ratio[:, None]))
