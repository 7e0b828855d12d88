"""The channels of a job: what pass 2 fills for each of them, and the templates of all that a fit gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortado.arguments import checked_arguments
from cortado.categorizer import Categorizer
from cortado.columnar import Binning, CategorySums
from cortado.config import LEARNED, Config
from cortado.errors import InputError
from cortado.templates import DATA, ListOfTemplates, Templates

EQUIDISTANT, ARGMAX = "equidistant", "argmax"
SCHEMES = (LEARNED, EQUIDISTANT, ARGMAX)
HELD_OUT, ALL = "held-out", "all"


def scheme_name(scheme: str, n_categories: int) -> str:
    """The name of the sums of a scheme: learned, equidistant or argmax, for so many categories."""
    return f"{scheme}-{n_categories}"


@dataclass(frozen=True)
class Channels:
    """The channels of a configuration, with the categorizers that come from files, by channel."""

    config: Config
    given: Mapping[str, Categorizer]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all that the events of some channel have to hold."""
        names = list(self.config.discriminant.names)
        for channel, declared in self.config.channels.items():
            names += Binning(self.given.get(channel), declared.observable).columns
        return tuple(dict.fromkeys(names))

    def binnings(self, schemes: Mapping[int, Mapping[str, Categorizer]]) -> dict[str, Binning]:
        """What pass 2 fills: for each K the categorizers of all ``schemes``, the learned one everywhere."""
        training = self.config.training_channel
        observable = self.config.channels[training].observable
        found = {
            scheme_name(scheme, n): Binning(categorizer, observable, training)
            for n, categorizers in schemes.items()
            for scheme, categorizer in categorizers.items()
        }
        for channel, declared in self.config.channels.items():
            if channel != training:
                for n, categorizers in schemes.items():
                    own = (
                        categorizers[LEARNED] if declared.categorizer == LEARNED else self.given.get(channel)
                    )
                    found[self._name(channel, n)] = Binning(own, declared.observable, channel)
        return found

    def templates(
        self, sums: CategorySums, n: int, learned: Categorizer, *, all_events: bool = False
    ) -> list[Templates]:
        """The templates of every channel, with K = ``n`` learned categories where they are learned.

        Those of a fit have the events that the categorizer of the channel was not trained on, scaled to the
        full luminosity; with ``all_events``, or if there are none, they have all.
        """
        return [self._templates(sums, n, learned, channel, all_events) for channel in self.config.channels]

    def _templates(
        self, sums: CategorySums, n: int, learned: Categorizer, channel: str, all_events: bool
    ) -> Templates:
        name = self._name(channel, n)
        if not len(sums.cells[name]):
            raise InputError(f"the processor handed over no event of channel {channel!r}")
        is_learned = self.config.channels[channel].categorizer == LEARNED
        own = learned if is_learned else self.given.get(channel)
        folds = None if all_events else untrained_folds(own, sums.n_folds)
        observed = any(s.dataset == DATA for s in sums.cells[name].sources)
        templates = sums.templates(
            name,
            channel=channel,
            folds=folds,
            events=HELD_OUT if folds else ALL,
            processes=[*self.config.processes, *([DATA] if observed else [])],
        )
        return templates.merged(self.config.merge)

    def _name(self, channel: str, n: int) -> str:
        """The name of the sums of a channel."""
        if channel == self.config.training_channel:
            return scheme_name(LEARNED, n)
        kind = self.config.channels[channel].categorizer
        return f"{channel}/{scheme_name(LEARNED, n) if kind == LEARNED else 'fixed'}"


@checked_arguments
def untrained_folds(categorizer: Categorizer | None, n_folds: int) -> tuple[int, ...] | None:
    """The folds that a categorizer was not trained on; None, which means all events, if it tells of none."""
    training = categorizer.training if categorizer else None
    if training is None or training.n_folds != n_folds:
        return None
    return tuple(fold for fold in range(n_folds) if fold not in training.folds) or None


@checked_arguments
def for_a_fit(channels: ListOfTemplates) -> list[Templates]:
    """The channels with collision data in all of them or in none, as a fit needs them."""
    complete = all(templates.data is not None for templates in channels)
    return [t if complete or t.data is None else t.without_data for t in channels]
