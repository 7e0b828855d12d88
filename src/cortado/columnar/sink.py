"""What a processor of either pass gives its events to."""

from __future__ import annotations

from typing import Any, Protocol

from cortado.cells import NOMINAL
from cortado.coordinates import Features


class Sink(Protocol):
    """The common face of ``Collector`` and ``TemplateFiller``, so that one processor serves both passes."""

    @property
    def features(self) -> Features:
        """What to hand over."""

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
        channel: str = "SR",
    ) -> Any:
        """A partial result, to be added to others."""
