"""What a processor of either pass gives its events to."""

from __future__ import annotations

from typing import Any, Protocol

from cortado.cells import DEFAULT_CHANNEL, NOMINAL
from cortado.coordinates import Features


class Sink(Protocol):
    """The common face of ``Collector`` and ``TemplateFiller``, so that one processor serves both passes."""

    @property
    def features(self) -> Features:
        """The discriminant."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all that events have to hold: features, and observables in pass 2."""

    @property
    def empty(self) -> Any:
        """The result without events."""

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = DEFAULT_CHANNEL,
    ) -> Any:
        """A partial result, to be added to others."""
