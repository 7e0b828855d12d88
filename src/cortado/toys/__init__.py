"""Toy events of one signal or several over several backgrounds, in memory or as ROOT ntuples; toy jets."""

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
from cortado.toys.jets import JET_OBSERVABLES, ToyJets, boosted_jets
from cortado.toys.ntuples import write_ntuples
from cortado.toys.toy import COVARIANCE, LUMINOSITY, NOISE, Toy, ToyEvents, arrays

__all__ = [
    "BACKGROUNDS",
    "COVARIANCE",
    "CROSS_SECTIONS",
    "FAMILY",
    "JET_OBSERVABLES",
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
    "ToyJets",
    "arrays",
    "boosted_jets",
    "event_counts",
    "one_dimensional",
    "three_class",
    "write_ntuples",
]
