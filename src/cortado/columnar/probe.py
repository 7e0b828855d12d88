"""A first look at the values of features: cell widths come from it where the configuration gives none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea.nanoevents import BaseSchema
from coffea.processor.executor import ExecutorBase

from cortado.cells import NOMINAL
from cortado.columnar.datasets import Inventory
from cortado.columnar.running import run_processor
from cortado.coordinates import Features
from cortado.errors import InputError
from cortado.events import clean

_PROBED_ENTRIES = 100_000


@dataclass(frozen=True, eq=False)
class Columns:
    """Feature values (n, D) of selected events; adds up by concatenation."""

    x: npt.NDArray[np.float64]

    def __add__(self, other: Columns) -> Columns:
        return Columns(np.concatenate([self.x, other.x]))


class Probe:
    """A sink that keeps the features as they stand."""

    def __init__(self, features: Features) -> None:
        self.features = features

    @property
    def empty(self) -> Columns:
        """No events."""
        return Columns(np.zeros((0, len(self.features.names))))

    def fill(
        self,
        dataset: str,  # noqa: ARG002 - the signature of a sink
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,  # noqa: ARG002
        variation: str = NOMINAL,  # noqa: ARG002
        channel: str = "SR",  # noqa: ARG002
    ) -> Columns:
        """The features of the usable events."""
        events = clean(self.features, features, weight)
        return Columns(events.x[events.usable])


def set_widths(
    features: Features,
    make_processor: Any,
    inventory: Inventory,
    executor: ExecutorBase,
    datasets: Sequence[str],
    schema: type[BaseSchema],
) -> Features:
    """Features with every cell width set, from the first file (in sorted order) that has selected events.

    The entries looked at are fixed, so that widths do not depend on the chunk size.
    """
    if None not in features.widths:
        return features
    processor = make_processor(Probe(features))
    first_chunks = [c for c in inventory.chunks(_PROBED_ENTRIES, datasets) if c.entrystart == 0]
    for chunk in sorted(first_chunks, key=lambda c: (c.dataset, c.filename)):
        found = run_processor(
            processor, [chunk], executor, schema=schema, description="Looking at values", returns=Columns
        )
        if len(found.x):
            return features.with_widths_from(found.x)
    raise InputError("no event with all features was selected in the first entries of any file")
