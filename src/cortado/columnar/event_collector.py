"""Pass 1 with the events kept: beside the sample, files with the place and the weight of every event."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from cortado.cells import DEFAULT_CHANNEL, NOMINAL
from cortado.columnar.collector import Collector
from cortado.columnar.weights import by_variation
from cortado.coordinates import Features
from cortado.event_sample import EventRows, EventSample, Stream
from cortado.sample import Sample


@dataclass(frozen=True, eq=False)
class Collected:
    """A partial sample, and the events of its channel in files, of which nothing but the names travels.

    A file counts if it is part of the sum: a chunk that is tried again leaves another one behind, but is
    added up once.
    """

    sample: Sample
    events: EventSample

    def __add__(self, other: Collected) -> Collected:
        if not isinstance(other, Collected):
            return NotImplemented
        return Collected(self.sample + other.sample, self.events + other.events)


class EventCollector:
    """A sink for pass 1 that writes the nominal events of one channel to files as they come.

    Parameters
    ----------
    collector
        What the sample is collected by; features and folds are its.
    folder
        Where files are written: workers and the program that trains must see it under the same path. Once the
        sum is there, ``events.save`` makes few files of them, and the folder can go.
    channel
        The channel whose events are kept.
    """

    def __init__(self, collector: Collector, folder: str | Path, channel: str = DEFAULT_CHANNEL) -> None:
        self._collector = collector
        self._folder = Path(folder).absolute()
        self._channel = channel

    @property
    def features(self) -> Features:
        """What to hand over."""
        return self._collector.features

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features, which events have to hold."""
        return self._collector.columns

    @property
    def empty(self) -> Collected:
        """The result without events."""
        return Collected(self._collector.empty, self._no_events)

    @property
    def _no_events(self) -> EventSample:
        return EventSample(self.features, self._collector.n_folds)

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = DEFAULT_CHANNEL,
    ) -> Collected:
        """The sample of these n events, and where they are; arguments and errors as of a ``Collector``."""
        sample = self._collector.fill(
            dataset, features, weight, event_id=event_id, variation=variation, channel=channel
        )
        events = self._no_events
        if (variation, channel) == (NOMINAL, self._channel):
            nominal = by_variation(weight)[NOMINAL]
            found = EventRows.of(self.features, self._collector.n_folds, features, nominal, event_id)
            streams = (
                Stream.of(dataset, fold, rows).written(self._folder / f"{uuid4().hex}.npy")
                for fold, rows in found.by_fold()
            )
            events = EventSample(self.features, self._collector.n_folds, tuple(streams))
        return Collected(sample, events)
