"""What a processor of either pass gives its events to."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from cortado.cells import DEFAULT_CHANNEL, NOMINAL
from cortado.coordinates import Features
from cortado.errors import InputError


def refuse_undeclared(channel: str, declared: Collection[str]) -> None:
    """Raise ``InputError`` if a channel is not one of those declared."""
    if channel not in declared:
        raise InputError(f"channel {channel!r} is not declared; there are {sorted(declared)}")


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
