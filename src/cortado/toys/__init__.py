"""Toy events of one signal or several over several backgrounds, in memory or as ROOT ntuples."""

from cortado.toys.family import (
    BACKGROUNDS,
    CROSS_SECTIONS,
    FAMILY,
    MEANS,
    ONE_DIMENSIONAL,
    PROCESSES,
    SCORES,
    SIGNALS,
    THREE_CLASS,
    event_counts,
    one_dimensional,
    three_class,
)
from cortado.toys.ntuples import write_ntuples
from cortado.toys.toy import COVARIANCE, LUMINOSITY, NOISE, Toy, ToyEvents, arrays

__all__ = [
    "BACKGROUNDS",
    "COVARIANCE",
    "CROSS_SECTIONS",
    "FAMILY",
    "LUMINOSITY",
    "MEANS",
    "NOISE",
    "ONE_DIMENSIONAL",
    "PROCESSES",
    "SCORES",
    "SIGNALS",
    "THREE_CLASS",
    "Toy",
    "ToyEvents",
    "arrays",
    "event_counts",
    "one_dimensional",
    "three_class",
    "write_ntuples",
]
