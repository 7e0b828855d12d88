"""A processor for flat ntuples: one row an event, one column a feature, everything selected beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
from coffea.processor import ProcessorABC

from cortado.columnar.sink import Sink
from cortado.folds import entry_ids


class FlatNtuple(ProcessorABC):
    """Gives every event of a flat ntuple to its sink.

    Parameters
    ----------
    sink
        A ``Collector`` (pass 1) or a ``TemplateFiller`` (pass 2).
    weight
        Branch of the event weight; None counts every event once. Collision data always count once.
    event_id
        Branch of an integer that identifies the event; None takes file and entry.
    """

    def __init__(self, sink: Sink, weight: str | None = "weight", event_id: str | None = None) -> None:
        self.sink = sink
        self.weight = weight
        self.event_id = event_id

    def branches(self, *, is_mc: bool) -> list[str]:
        """Branches read from the files of a dataset; the runner checks that every file has them."""
        weight = [self.weight] if is_mc and self.weight else []
        identifier = [self.event_id] if self.event_id else []
        return [*self.sink.columns, *weight, *identifier]

    def process(self, events: Any) -> Any:
        """One chunk of events in, a partial result out."""
        weighted = self.weight and events.metadata.get("is_mc", True)
        return self.sink.fill(
            events.metadata["dataset"],
            events,
            events[self.weight] if weighted else np.ones(len(events)),
            event_id=events[self.event_id] if self.event_id else entry_ids(events),
        )

    def postprocess(self, accumulator: Any) -> Any:
        """Nothing to do at the end."""
        return accumulator
