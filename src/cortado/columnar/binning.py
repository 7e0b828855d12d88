"""How pass 2 bins the events of a channel."""

from __future__ import annotations

from dataclasses import dataclass

from cortado.categorizer import Categorizer
from cortado.observable import Observable


@dataclass(frozen=True)
class Binning:
    """The categories of a channel, and the bins of an observable inside each.

    Attributes
    ----------
    categorizer
        What gives events their categories; None puts all of them into a single one, as in a control region
        that is counted.
    observable
        What is binned inside every category, if anything.
    channel
        The channel whose events are taken; None takes those of all channels, each by itself.
    """

    categorizer: Categorizer | None = None
    observable: Observable | None = None
    channel: str | None = None

    @property
    def n_categories(self) -> int:
        """Number K of categories."""
        return self.categorizer.n_categories if self.categorizer else 1

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features and of the observable."""
        features = self.categorizer.features.names if self.categorizer else ()
        return (*features, *([self.observable.name] if self.observable else []))

    def takes(self, channel: str) -> bool:
        """Whether events of a channel are binned."""
        return self.channel in (None, channel)
