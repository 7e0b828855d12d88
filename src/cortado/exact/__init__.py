"""Solvers that know no model, and what is best at all.

Best bins of one discriminant, best categories of one signal, hard partitions of cells; the limit of
infinitely many categories, and what one more would add.
"""

from cortado.exact.likelihood_ratio import RatioBinning, RatioBinnings, optimal_thresholds
from cortado.exact.limit import CellSize, Limit, NoLimit, limit_or_reason, unbinned_limit
from cortado.exact.one_dimension import (
    Binning,
    Boundaries,
    SumOverBins,
    optimal_boundaries,
    optimal_intervals,
)
from cortado.exact.partition import Partition, hard_partition
from cortado.exact.split import Split, best_split

__all__ = [
    "Binning",
    "Boundaries",
    "CellSize",
    "Limit",
    "NoLimit",
    "Partition",
    "RatioBinning",
    "RatioBinnings",
    "Split",
    "SumOverBins",
    "best_split",
    "hard_partition",
    "limit_or_reason",
    "optimal_boundaries",
    "optimal_intervals",
    "optimal_thresholds",
    "unbinned_limit",
]
