"""Templates: histograms of yields that a fit uses, per process, category and variation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import hist
import numpy as np
import numpy.typing as npt
from hist import Hist

from cortado.cells import NOMINAL, SUMW, SUMW2, Cells
from cortado.errors import InputError
from cortado.folds import chosen_folds
from cortado.objectives.yields import Yields
from cortado.variations import both_sides, sides_of

DATA = "data_obs"
_UNCATEGORISED = -1


@dataclass(frozen=True, eq=False)
class Templates:
    """The yields of one channel.

    Attributes
    ----------
    hist
        Axes ``process`` and ``variation`` (string categories) and ``category`` (integers 0 … K − 1, no flow),
        in the order process, category, variation; Weight storage, so that it holds Σw and Σw².
        Collision data, if any, are the process ``data_obs``.
    counts
        (P, K) number of events behind each nominal yield, in the order of the process axis.
    uncategorised
        (P, 2) Σw and Σw² of the events that have no category because a feature does not exist in them.
    events
        Which events are in: "all", "training" or "held-out" (scaled to the full luminosity).
    channel
        Name of the channel.
    """

    hist: Hist[Any]
    counts: npt.NDArray[np.int64]
    uncategorised: npt.NDArray[np.float64]
    events: str = "all"
    channel: str = "SR"

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of all processes, data included."""
        return tuple(self.hist.axes["process"])

    @property
    def simulated(self) -> tuple[str, ...]:
        """Names of all processes but the data."""
        return tuple(name for name in self.processes if name != DATA)

    @property
    def variations(self) -> tuple[str, ...]:
        """Names of the variations, "nominal" first."""
        return tuple(self.hist.axes["variation"])

    @property
    def n_categories(self) -> int:
        """Number K of categories."""
        return len(self.hist.axes["category"])

    def values(self, process: str, variation: str = NOMINAL) -> npt.NDArray[np.float64]:
        """(K,) yields Σw of one process."""
        return np.asarray(self._select(process, variation).values())

    def variances(self, process: str, variation: str = NOMINAL) -> npt.NDArray[np.float64]:
        """(K,) Σw² of one process."""
        return np.asarray(self._select(process, variation).variances())

    @property
    def nominal(self) -> Templates:
        """These templates without variations."""
        kept = _empty(self.processes, self.n_categories, [NOMINAL])
        kept.view()[...] = self.hist.view()[:, :, :1]
        return replace(self, hist=kept)

    @property
    def data(self) -> npt.NDArray[np.float64] | None:
        """(K,) observed events, or None where there are no collision data."""
        return self.values(DATA) if DATA in self.processes else None

    def histogram(self, process: str, variation: str = NOMINAL) -> Hist[Any]:
        """One-dimensional histogram of K unit bins for one process, Weight storage: what goes into files."""
        single = hist.Hist(
            hist.axis.Regular(self.n_categories, 0, self.n_categories, name="category", flow=False),
            storage=hist.storage.Weight(),
        )
        columns = [self.values(process, variation), self.variances(process, variation)]
        single[...] = np.stack(columns, axis=-1)
        return single

    def yields(self, signals: Sequence[str] = (), nuisances: Sequence[str] = ()) -> Yields:
        """Nominal yields of the simulated processes, for objectives, and the variations of ``nuisances``.

        Raises ``InputError`` if there are no variations of a nuisance parameter.
        """
        names = self.simulated
        rows = [self.processes.index(name) for name in names]
        return Yields(
            names,
            np.stack([self.values(name) for name in names]),
            np.stack([self.variances(name) for name in names]),
            self.counts[rows],
            tuple(signals),
            tuple(nuisances),
            np.stack([self._varied(nuisance) for nuisance in nuisances]) if nuisances else None,
        )

    def _varied(self, nuisance: str) -> npt.NDArray[np.float64]:
        """(2, P, K) yields of the simulated processes with a nuisance parameter up, and down."""
        names = self.simulated
        nominal = np.stack([self.values(name) for name in names])
        sides, present = np.zeros((2, *nominal.shape)), np.zeros((2, len(names)), bool)
        for side, variation in enumerate(sides_of(nuisance, self.variations)):
            if variation in self.variations:
                sides[side] = [self.values(name, variation) for name in names]
                present[side] = [self.variances(name, variation).any() for name in names]
        return both_sides(nominal, sides, present)

    def _select(self, process: str, variation: str) -> Hist[Any]:
        # An unknown label would silently read the overflow bin.
        if process not in self.processes:
            raise InputError(f"process {process!r} is not in the templates; there are {list(self.processes)}")
        if variation not in self.variations:
            raise InputError(
                f"variation {variation!r} is not in the templates; there are {list(self.variations)}"
            )
        selected = self.hist[{"process": hist.loc(process), "variation": hist.loc(variation)}]
        assert isinstance(selected, Hist)  # and no number: the axis of categories is left
        return selected


def build_templates(
    cells: Cells,
    n_categories: int,
    *,
    n_folds: int = 1,
    folds: Collection[int] | None = None,
    events: str | None = None,
    channel: str = "SR",
    processes: Sequence[str] | None = None,
) -> Templates:
    """Templates from normalised sums per category (cells with one address, the category; −1 for none).

    ``folds`` selects events; simulation is scaled to the full luminosity by n_folds / len(folds).
    Collision data are always shown whole. ``processes`` fixes the order of the process axis, ``events`` says
    which events these are where "all" or the numbers of the folds do not.

    Raises ``ConfigError`` for unknown folds, ``InputError`` for an unknown channel, process or category, and
    for collision data with weights.
    """
    chosen = chosen_folds(folds, n_folds)
    scale = n_folds / len(chosen)
    if channel not in (known := sorted({s.channel for s in cells.sources})):
        raise InputError(f"no events of channel {channel!r}; there are {known}")
    if len(stray := np.setdiff1d(cells.key, np.arange(_UNCATEGORISED, n_categories))):
        raise InputError(f"categories must be {_UNCATEGORISED} … {n_categories - 1}, got {stray.tolist()}")
    kept = cells.select(lambda s: s.channel == channel and (s.dataset == DATA or s.fold in chosen))
    _refuse_weighted_data(kept)
    kept = kept.relabel(lambda s: s._replace(fold=0))
    names = tuple(processes or sorted({s.dataset for s in kept.sources}))
    if unknown := sorted({s.dataset for s in kept.sources} - set(names)):
        raise InputError(f"processes {unknown} are not among the declared {list(names)}")
    variations = (NOMINAL, *sorted({s.variation for s in kept.sources} - {NOMINAL}))
    filled = _empty(names, n_categories, variations)
    counts = np.zeros((len(names), n_categories), np.int64)
    uncategorised = np.zeros((len(names), 2))
    view: Any = filled.view()
    for index, source in enumerate(kept.sources):
        rows = kept.source == index
        category = kept.key[rows, 0]
        factor = 1.0 if source.dataset == DATA else scale
        p, v = names.index(source.dataset), variations.index(source.variation)
        inside = category != _UNCATEGORISED
        sums = kept.sums[rows]
        view["value"][p, category[inside], v] = factor * sums[inside, SUMW]
        view["variance"][p, category[inside], v] = factor**2 * sums[inside, SUMW2]
        if source.variation == NOMINAL:
            counts[p, category[inside]] = kept.count[rows][inside]
            uncategorised[p] = sums[~inside][:, [SUMW, SUMW2]].sum(axis=0) * [factor, factor**2]
    label = events or ("all" if folds is None else f"fold {', '.join(map(str, sorted(chosen)))}")
    return Templates(filled, counts, uncategorised, label, channel)


def _empty(processes: Sequence[str], n_categories: int, variations: Sequence[str]) -> Hist[Any]:
    return hist.Hist(
        hist.axis.StrCategory(processes, name="process", flow=False),
        hist.axis.Integer(0, n_categories, name="category", flow=False),
        hist.axis.StrCategory(variations, name="variation", flow=False),
        storage=hist.storage.Weight(),
    )


def _refuse_weighted_data(cells: Cells) -> None:
    """Collision data are counted: every one of their events has the weight 1."""
    data = cells.select(lambda s: s.dataset == DATA)
    if not all(np.array_equal(data.sums[:, column], data.count) for column in (SUMW, SUMW2)):
        raise InputError(
            f"collision data must have the weight 1 in every event, got Σw = {data.sums[:, SUMW].sum():.6g} "
            f"from {data.count.sum()} events; check what the processor hands over for them"
        )


def templates_from_arrays(
    values: Mapping[str, npt.ArrayLike],
    variances: Mapping[str, npt.ArrayLike] | None = None,
    *,
    channel: str = "SR",
) -> Templates:
    """Templates from yields (K,) per process written down by hand; Poisson variances unless given."""
    names = tuple(values)
    table = np.stack([np.asarray(values[name], np.float64) for name in names])
    squares = table if variances is None else np.stack([np.asarray(variances[n], np.float64) for n in names])
    filled = _empty(names, table.shape[1], [NOMINAL])
    filled[...] = np.stack([table, squares], axis=-1)[:, :, None, :]
    return Templates(filled, np.rint(table).astype(np.int64), np.zeros((len(names), 2)), "all", channel)
