"""Pass 1: a processor holds a :class:`Collector` and gives it the events it selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any

from cortado.cells import DEFAULT_CHANNEL, NOMINAL, Source
from cortado.columnar.sink import refuse_undeclared
from cortado.columnar.weights import by_variation
from cortado.coordinates import Coordinates, Features
from cortado.errors import ConfigError, checked_integer
from cortado.sample import DEFAULT_MAX_CELLS, Sample


class Collector:
    """Turns selected events into partial samples, which add up in any order.

    Parameters
    ----------
    features
        Names of the columns that make the discriminant, or a complete :class:`Features`.
    coordinates
        Kind of coordinates for all of them ("identity", "logit", "logratio"), or a list of groups.
    missing
        Per feature, the value that means "does not exist in this event".
    n_folds
        Into how many folds events are split; later fits train on some and are judged on the others.
    max_cells
        How many cells a sample may have in a channel and variation, over all datasets and folds, before they
        are doubled in size.
    channel
        The channel whose events are collected; those of others are left out. None collects all.
    declared
        The channels that there are, if another one is to be an error.
    """

    def __init__(
        self,
        features: Sequence[str] | Features,
        coordinates: str | Sequence[Coordinates | Mapping[str, Any]] = "identity",
        *,
        missing: Mapping[str, float] | None = None,
        n_folds: int = 2,
        max_cells: int = DEFAULT_MAX_CELLS,
        channel: str | None = None,
        declared: Collection[str] | None = None,
    ) -> None:
        if not isinstance(features, Features):
            features = Features.declare(features, coordinates, missing)
        checked_integer("n_folds", n_folds, 1)
        checked_integer("max_cells", max_cells, 1)
        if unset := [label for label, w in zip(features.labels, features.widths, strict=True) if w is None]:
            raise ConfigError(
                f"identity coordinates need a cell width: {unset} have none; "
                "give the coordinates a width, or use linear coordinates with a range"
            )
        self.features = features
        self.n_folds = n_folds
        self.max_cells = max_cells
        self.channel = channel
        self.declared = declared

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the features, which events have to hold."""
        return self.features.names

    @property
    def empty(self) -> Sample:
        """The sample without events."""
        return Sample.empty(self.features, self.n_folds, self.max_cells)

    def fill(
        self,
        dataset: str,
        features: Any,
        weight: Any,
        *,
        event_id: Any = None,
        variation: str = NOMINAL,
        channel: str = DEFAULT_CHANNEL,
    ) -> Sample:
        """The sample of these n events, to be returned from the processor or added to other parts.

        Parameters
        ----------
        dataset
            Name of the dataset, as in ``events.metadata["dataset"]``.
        features
            An (n, D) array, or a mapping or record array (such as the selected events) with them by name.
        weight
            (n,) event weights, before cross section and luminosity unless they are complete; or those of the
            nominal events and of variations by weight: a mapping by variation, "nominal" among them, or
            coffea's ``Weights`` (:func:`cortado.columnar.weights.by_variation`).
        event_id
            (n,) integers that identify the events and decide their fold: the event number, or
            :func:`entry_ids`.
        variation
            "nominal", or the name of a systematic variation of features with "Up" or "Down" at its end.
        channel
            Name of the signal or control region.

        Raises
        ------
        InputError
            If a feature is absent, lengths differ, identifiers are needed and absent, or a name is not that
            of a variation or, where they are declared, of a channel. Features that are not finite numbers are
            counted in the sample and refused by :meth:`Sample.checked`.
        """
        weights = by_variation(weight, variation)
        if self.declared is not None:
            refuse_undeclared(channel, self.declared)
        if self.channel not in (None, channel):
            return self.empty
        parts = [
            Sample.from_events(
                self.features,
                self.n_folds,
                Source(dataset, channel, v),
                features,
                w,
                event_id,
                self.max_cells,
            )
            for v, w in weights.items()
        ]
        shifted = (replace(part, invalid=Counter(), missing=Counter()) for part in parts[1:])
        return reduce(add, shifted, parts[0])  # values are counted once, not for each weight
