"""A first look at the values of features: cell widths come from it where the configuration gives none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from coffea.nanoevents import BaseSchema
from coffea.processor.executor import ExecutorBase

from cortado.cells import DEFAULT_CHANNEL, NOMINAL
from cortado.columnar.datasets import Inventory
from cortado.columnar.running import run_processor
from cortado.columnar.weights import by_variation
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
    """A sink that keeps the features as they stand, in one channel or in all.

    ``columns`` are the names of all that events have to hold, where that is more.
    """

    def __init__(
        self, features: Features, columns: Sequence[str] | None = None, channel: str | None = None
    ) -> None:
        self.features = features
        self.columns = tuple(columns or features.names)
        self._channel = channel

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
        channel: str = DEFAULT_CHANNEL,
    ) -> Columns:
        """The features of the usable events."""
        if self._channel not in (None, channel):
            return self.empty
        events = clean(self.features, features, next(iter(by_variation(weight).values())))
        return Columns(events.x[events.usable])


def set_widths(
    features: Features,
    make_processor: Any,
    inventory: Inventory,
    executor: ExecutorBase,
    datasets: Sequence[str],
    schema: type[BaseSchema],
    channel: str | None = None,
) -> Features:
    """Features with every cell width set, from the first file (in sorted order) that has selected events.

    With ``channel``, they are events of that channel. The entries looked at are fixed, so that widths do not
    depend on the chunk size.
    """
    if None not in features.widths:
        return features
    processor = make_processor(Probe(features, channel=channel))
    first_chunks = [c for c in inventory.chunks(_PROBED_ENTRIES, datasets) if c.entrystart == 0]
    for chunk in sorted(first_chunks, key=lambda c: (c.dataset, c.filename)):
        found = run_processor(
            processor, [chunk], executor, schema=schema, description="Looking at values", returns=Columns
        )
        if len(found.x):
            return features.with_widths_from(found.x)
    raise InputError("no event with all features was selected in the first entries of any file")
