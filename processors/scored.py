"""Scores of classifiers as features: a coffea processor to run on flat ntuples, or to copy.

In a configuration:

    processor:
      class: scored.py:Scored
      options: {models: [fold0.onnx, fold1.onnx], event_id: event}
    features: [{name: score_signal}, {name: score_background}]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from coffea.processor import ProcessorABC

from cortado.columnar import FoldedScorer, entry_ids


class Scored(ProcessorABC):
    """Select events, compute what the classifiers take, and hand their scores to a sink.

    `models` are ONNX files that `cortado.classifiers.export_onnx` wrote, from the current folder on: one for
    each fold, the k-th of a classifier that did not see fold k, so that no event is scored by one that did. A
    single file is that of a classifier which saw none of these events. They are read here and travel to the
    workers with the processor. `weight` is a branch, None counts every event once; so do collision data.
    `event_id` is a branch of integers; without it file and entry identify an event.
    """

    def __init__(
        self,
        sink: Any,
        models: Sequence[str],
        weight: str | None = "weight",
        event_id: str | None = None,
    ) -> None:
        self.sink = sink
        self.scorer = FoldedScorer.load(models)
        self.weight = weight
        self.event_id = event_id

    @property
    def digest(self) -> str:
        """Other classifiers make another job."""
        return self.scorer.digest

    def branches(self, *, is_mc: bool) -> list[str]:
        """Branches that every file must have."""
        weight = [self.weight] if is_mc and self.weight else []
        identifier = [self.event_id] if self.event_id else []
        return [*self.scorer.observables, *self.others, *weight, *identifier]

    @property
    def others(self) -> list[str]:
        """What the sink takes beside scores."""
        return [name for name in self.sink.columns if name not in self.scorer.names]

    def selected(self, events: Any) -> Any:
        """(n,) which events are kept: all of them. The place for an analysis' own selection."""
        return np.ones(len(events), bool)

    def observables(self, events: Any) -> dict[str, Any]:
        """What the classifiers take, by name: branches. The place for what has to be computed first."""
        return {name: events[name] for name in self.scorer.observables}

    def process(self, events: Any) -> Any:
        """What the sink makes of one chunk; such results add up."""
        keep = np.asarray(self.selected(events))
        event_id = np.asarray(events[self.event_id]) if self.event_id else entry_ids(events)
        kept, event_id = events[keep], event_id[keep]
        scores = self.scorer(self.observables(kept), event_id)
        weighted = self.weight and events.metadata.get("is_mc", True)
        return self.sink.fill(
            events.metadata["dataset"],
            {name: kept[name] for name in self.others} | dict(zip(self.scorer.names, scores.T, strict=True)),
            kept[self.weight] if weighted else np.ones(len(kept)),
            event_id=event_id,
        )

    def postprocess(self, accumulator: Any) -> Any:
        return accumulator
