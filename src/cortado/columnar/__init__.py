"""Passes over events with coffea: what a processor holds, and how it is run."""

from cortado.columnar.binning import Binning
from cortado.columnar.collector import Collector
from cortado.columnar.datasets import Dataset, Inventory
from cortado.columnar.event_collector import Collected, EventCollector
from cortado.columnar.executors import open_executor
from cortado.columnar.filler import TemplateFiller
from cortado.columnar.flat import FlatNtuple
from cortado.columnar.observable_collector import ObservableCollector, ObservedEvents
from cortado.columnar.running import run_processor, take_inventory
from cortado.columnar.scoring import FoldedScorer, Scorer
from cortado.columnar.sums import CategorySums
from cortado.folds import entry_ids

__all__ = [
    "Binning",
    "CategorySums",
    "Collected",
    "Collector",
    "Dataset",
    "EventCollector",
    "FlatNtuple",
    "FoldedScorer",
    "Inventory",
    "ObservableCollector",
    "ObservedEvents",
    "Scorer",
    "TemplateFiller",
    "entry_ids",
    "open_executor",
    "run_processor",
    "take_inventory",
]
