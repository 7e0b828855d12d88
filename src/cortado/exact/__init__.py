"""Solvers that know no model: exact boundaries in one dimension, hard partitions of cells in any."""

from cortado.exact.one_dimension import (
    Binning,
    Boundaries,
    SumOverBins,
    optimal_boundaries,
    optimal_intervals,
)
from cortado.exact.partition import Partition, hard_partition

__all__ = [
    "Binning",
    "Boundaries",
    "Partition",
    "SumOverBins",
    "hard_partition",
    "optimal_boundaries",
    "optimal_intervals",
]
