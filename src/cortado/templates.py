"""Templates: yields that a fit uses, per process, category and variation, and maybe in bins of a mass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import hist
import numpy as np
import numpy.typing as npt
from hist import Hist

from cortado.cells import NOMINAL, SUMW, SUMW2, Cells, only_channel
from cortado.errors import ConfigError, InputError
from cortado.folds import chosen_folds
from cortado.objectives.yields import Yields
from cortado.observable import Observable
from cortado.variations import both_sides, completed, mirrored, sides_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DATA = "data_obs"
_UNCATEGORISED = -1


@dataclass(frozen=True, eq=False)
class Templates:
    """The yields of one channel.

    Attributes
    ----------
    hist
        Axes ``process`` and ``variation`` (string categories) and ``category`` (integers 0 … K − 1), in the
        order process, category, variation, and last, where there is one, the observable (M bins); no flow.
        Weight storage, so that it holds Σw and Σw². Collision data, if any, are the process ``data_obs``.
    counts
        (P, K) or (P, K, M) number of events behind each nominal yield, in the order of the process axis.
    uncategorised
        (P, 2) Σw and Σw² of the events that have no category because a feature does not exist in them.
    events
        Which events are in: "all", "training" or "held-out" (scaled to the full luminosity).
    channel
        Name of the channel.
    derived
        The (process, variation) that were not filled, at least for one of the datasets: mirror images of the
        other side, 2 · nominal − other.
    outside
        (P,) nominal Σw beyond the edges of the observable: in the outer bins if that is ``folded``, else
        left out.
    folded
        Whether what lies beyond the edges of the observable is in the outer bins.
    varied
        The (process, variation) that there are, maybe without events; other processes are not affected. None
        if they are those with entries.
    """

    hist: Hist[Any]
    counts: Integers
    uncategorised: Floats
    events: str = "all"
    channel: str = "SR"
    derived: frozenset[tuple[str, str]] = frozenset()
    outside: Floats = field(default_factory=lambda: np.zeros(0))
    folded: bool = True
    varied: frozenset[tuple[str, str]] | None = None

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

    @property
    def observable(self) -> Any | None:
        """The axis of the observable (``name``, ``edges`` (M + 1,)), or None."""
        return self.hist.axes[3] if len(self.hist.axes) > 3 else None

    def values(self, process: str, variation: str = NOMINAL) -> Floats:
        """(K,) or, with an observable, (K, M) yields Σw of one process."""
        return np.asarray(self._select(process, variation).values())

    def variances(self, process: str, variation: str = NOMINAL) -> Floats:
        """(K,) or (K, M) Σw² of one process."""
        return np.asarray(self._select(process, variation).variances())

    def is_varied(self, process: str, variation: str) -> bool:
        """Whether a process has a variation, maybe without events; one that has not is not affected by it."""
        if variation == NOMINAL or self.varied is not None:
            return variation == NOMINAL or (process, variation) in (self.varied or ())
        return bool(self.values(process, variation).any() or self.variances(process, variation).any())

    @property
    def nominal(self) -> Templates:
        """These templates without variations."""
        kept = _empty(self.processes, self.n_categories, [NOMINAL], self.observable)
        _view(kept)[...] = _view(self.hist)[:, :, :1]
        return replace(self, hist=kept, derived=frozenset(), varied=None)

    @property
    def data(self) -> Floats | None:
        """(K,) or (K, M) observed events, or None where there are no collision data."""
        return self.values(DATA) if DATA in self.processes else None

    @property
    def without_data(self) -> Templates:
        """These templates without the collision data."""
        rows = [self.processes.index(name) for name in self.simulated]
        kept = _empty(self.simulated, self.n_categories, self.variations, self.observable)
        _view(kept)[...] = _view(self.hist)[rows]
        return replace(
            self,
            hist=kept,
            counts=self.counts[rows],
            uncategorised=self.uncategorised[rows],
            outside=self.outside[rows] if len(self.outside) else self.outside,
        )

    @property
    def without_observable(self) -> Templates:
        """The categories as a whole: sums over the bins of the observable."""
        if self.observable is None:
            return self
        kept = _empty(self.processes, self.n_categories, self.variations)
        for name in ("value", "variance"):
            _view(kept)[name] = _view(self.hist)[name].sum(axis=-1)
        return replace(self, hist=kept, counts=self.counts.sum(axis=-1), outside=np.zeros(0))

    @property
    def unrolled(self) -> Templates:
        """Every bin of the observable as a category: those of the first category, of the second …"""
        if self.observable is None:
            return self
        n = self.n_categories * len(self.observable)
        kept = _empty(self.processes, n, self.variations)
        for name in ("value", "variance"):
            moved = np.moveaxis(_view(self.hist)[name], 3, 2)
            _view(kept)[name] = moved.reshape(len(self.processes), n, len(self.variations))
        return replace(
            self, hist=kept, counts=self.counts.reshape(len(self.processes), n), outside=np.zeros(0)
        )

    def merged(self, groups: Mapping[str, Sequence[str]]) -> Templates:
        """These templates with some processes added up: ``groups`` gives, by new name, those that are one.

        A process that is not affected by a variation adds its nominal yields to it. A new process stands
        where the first of its parts stood. Raises ``ConfigError`` for a process that is not there or in two
        groups, for collision data, and for a name that is taken.
        """
        parts = _parts(self.processes, groups)
        filled = _empty(list(parts), self.n_categories, self.variations, self.observable)
        for p, names in enumerate(parts.values()):
            for v, variation in enumerate(self.variations):
                if any(self.is_varied(name, variation) for name in names):
                    _view(filled)[p, :, v] = sum(self._with(name, variation) for name in names)
        rows = [[self.processes.index(name) for name in names] for names in parts.values()]
        new_name = {name: new for new, names in parts.items() for name in names}
        return replace(
            self,
            hist=filled,
            counts=np.stack([self.counts[r].sum(axis=0) for r in rows]),
            uncategorised=np.stack([self.uncategorised[r].sum(axis=0) for r in rows]),
            derived=frozenset((new_name[p], v) for p, v in self.derived),
            varied=None if self.varied is None else frozenset((new_name[p], v) for p, v in self.varied),
            outside=np.array([self.outside[r].sum() for r in rows]) if len(self.outside) else self.outside,
        )

    def _with(self, process: str, variation: str) -> Any:
        """Σw and Σw² of one process in a variation: the nominal ones if it is not affected."""
        return _view(self._select(process, variation if self.is_varied(process, variation) else NOMINAL))

    def histogram(self, process: str, variation: str = NOMINAL) -> Hist[Any]:
        """The histogram of one process, Weight storage: what goes into files.

        K unit bins from 0 to K, with an observable as the second axis where there is one.
        """
        axes: list[Any] = [
            hist.axis.Regular(self.n_categories, 0, self.n_categories, name="category", flow=False)
        ]
        if self.observable is not None:
            axes.append(self.observable)
        single = hist.Hist(*axes, storage=hist.storage.Weight())
        single[...] = np.stack([self.values(process, variation), self.variances(process, variation)], axis=-1)
        return single

    def yields(self, signals: Sequence[str] = (), nuisances: Sequence[str] = ()) -> Yields:
        """Nominal yields of the simulated processes, for objectives, and the variations of ``nuisances``.

        With an observable every bin of it counts as a category (:attr:`unrolled`). Raises ``InputError`` if
        there are no variations of a nuisance parameter.
        """
        if self.observable is not None:
            return self.unrolled.yields(signals, nuisances)
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

    def _varied(self, nuisance: str) -> Floats:
        """(2, P, K) yields of the simulated processes with a nuisance parameter up, and down."""
        names = self.simulated
        nominal = np.stack([self.values(name) for name in names])
        sides, present = np.zeros((2, *nominal.shape)), np.zeros((2, len(names)), bool)
        for side, variation in enumerate(sides_of(nuisance, self.variations)):
            if variation in self.variations:
                sides[side] = [self.values(name, variation) for name in names]
                present[side] = [self.is_varied(name, variation) for name in names]
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
    observable: Observable | None = None,
    n_folds: int = 1,
    folds: Collection[int] | None = None,
    events: str | None = None,
    channel: str | None = None,
    processes: Sequence[str] | None = None,
    derived: Collection[tuple[str, str]] = (),
) -> Templates:
    """Templates from normalised sums per category.

    Cells have the category as their address, −1 for none, and then, with an ``observable``, its bin, −1 below
    the edges and M above; what lies there goes into the outer bins or is left out, as the observable says.

    ``folds`` selects events; simulation is scaled to the full luminosity by n_folds / len(folds).
    Collision data are always shown whole. ``channel`` is by default the only one, or "SR"; ``processes``
    fixes the order of the process axis, and may have ones without events; ``events`` says which events these
    are where "all" or the numbers of the folds do not; ``derived`` are (process, variation) that were derived
    before. A process that has one side of a nuisance parameter gets the other, its mirror image.

    Raises ``ConfigError`` for unknown folds, ``InputError`` for an unknown channel, process or category, and
    for collision data with weights.
    """
    chosen = chosen_folds(folds, n_folds)
    channel = only_channel(cells, channel)
    here = cells.select(lambda s: s.channel == channel)
    _refuse_stray_categories(here, n_categories)
    _refuse_weighted_data(here)
    names = _names(here, processes)
    reflected = {(s.dataset, s.variation) for s in mirrored(here)}
    whole = completed(here, {name: name for name in names})
    varied = frozenset((s.dataset, s.variation) for s in whole.sources if s.variation != NOMINAL)
    kept = _of_folds(whole, chosen)
    variations = (NOMINAL, *sorted({variation for _, variation in varied}))
    p = np.array([names.index(s.dataset) for s in kept.sources], np.int64)[kept.source]
    v = np.array([variations.index(s.variation) for s in kept.sources], np.int64)[kept.source]
    sums = _scaled(kept, n_folds / len(chosen))
    without = kept.key[:, 0] == _UNCATEGORISED
    beyond, inside, place = _places(kept.key, observable)
    filled = _empty(names, n_categories, variations, observable and _axis(observable))
    view = _view(filled)
    at = (p[inside], place[0], v[inside], *place[1:])
    view["value"], view["variance"] = (_sums(view.shape, at, column[inside]) for column in sums.T)
    by_process = len(names), len(variations)
    label = events or ("all" if folds is None else f"fold {', '.join(map(str, sorted(chosen)))}")
    return Templates(
        filled,
        _sums(view.shape, at, kept.count[inside])[:, :, 0],
        _sums((*by_process, 2), (p[without], v[without]), sums[without])[:, 0],
        label,
        channel,
        frozenset(d for d in {*derived, *reflected} if d[0] in names),
        _sums(by_process, (p[beyond], v[beyond]), sums[beyond, 0])[:, 0] if observable else np.zeros(0),
        observable is None or observable.flow == "fold",
        varied,
    )


def _names(cells: Cells, processes: Sequence[str] | None) -> tuple[str, ...]:
    """The process axis: those of the cells, or the declared ones."""
    there = sorted({s.dataset for s in cells.sources})
    names = tuple(processes or there)
    if unknown := sorted(set(there) - set(names)):
        raise InputError(f"processes {unknown} are not among the declared {list(names)}")
    return names


def _of_folds(cells: Cells, folds: Collection[int]) -> Cells:
    """The simulation of some folds, and all collision data, put together."""
    kept = cells.select(lambda s: s.dataset == DATA or s.fold in folds)
    return kept.relabel(lambda s: s._replace(fold=0))


def _scaled(cells: Cells, factor: float) -> Floats:
    """(n, 2) Σw and Σw² of the rows, with a factor on the weights of simulation."""
    factors = np.array([1.0 if s.dataset == DATA else factor for s in cells.sources])[cells.source]
    return np.stack([factors * cells.sums[:, SUMW], factors**2 * cells.sums[:, SUMW2]], axis=1)


def _sums(shape: tuple[int, ...], index: Any, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A table of this shape in which values of the same index are added up."""
    table = np.zeros(shape, values.dtype)
    np.add.at(table, index, values)
    return table


def _places(key: Integers, observable: Observable | None) -> tuple[Bools, Bools, tuple[Integers, ...]]:
    """Of rows with addresses ``key``: which are beyond the edges, which count, and their category and bin."""
    category = key[:, 0]
    categorised = category != _UNCATEGORISED
    if observable is None:
        return np.zeros(len(key), bool), categorised, (category[categorised],)
    last = observable.n_bins - 1
    beyond = categorised & ((key[:, 1] < 0) | (key[:, 1] > last))
    inside = categorised & ~beyond if observable.flow == "drop" else categorised
    return beyond, inside, (category[inside], np.clip(key[inside, 1], 0, last))


def _refuse_stray_categories(cells: Cells, n_categories: int) -> None:
    if len(stray := np.setdiff1d(cells.key[:, 0], np.arange(_UNCATEGORISED, n_categories))):
        raise InputError(f"categories must be {_UNCATEGORISED} … {n_categories - 1}, got {stray.tolist()}")


def _parts(processes: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """For each process after merging, the ones that it consists of."""
    merged = [name for names in groups.values() for name in names]
    if unknown := [name for name in merged if name not in processes or name == DATA]:
        raise ConfigError(
            f"processes to merge, {unknown}, are not among {[p for p in processes if p != DATA]}"
        )
    if len(set(merged)) < len(merged) or not all(groups.values()):
        raise ConfigError(f"a process can be merged into one other, and each has some, got {dict(groups)}")
    if taken := [new for new in groups if new in set(processes) - set(groups[new])]:
        raise ConfigError(f"a merged process needs a name of its own, {taken} are taken")
    new_name = {name: new for new, names in groups.items() for name in names}
    parts: dict[str, list[str]] = {}
    for name in processes:
        parts.setdefault(new_name.get(name, name), []).append(name)
    return parts


def _view(filled: Hist[Any]) -> Any:
    """The sums of a histogram, with the fields value and variance."""
    return filled.view()


def _axis(observable: Observable) -> Any:
    return hist.axis.Variable(observable.bin_edges, name=observable.name, flow=False)


def _empty(
    processes: Sequence[str], n_categories: int, variations: Sequence[str], observable: Any = None
) -> Hist[Any]:
    return hist.Hist(
        hist.axis.StrCategory(processes, name="process", flow=False),
        hist.axis.Integer(0, n_categories, name="category", flow=False),
        hist.axis.StrCategory(variations, name="variation", flow=False),
        *([] if observable is None else [observable]),
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
    variations: Mapping[str, Mapping[str, npt.ArrayLike]] | None = None,
    observable: Observable | None = None,
    channel: str = "SR",
) -> Templates:
    """Templates from yields per process written down by hand; Poisson variances unless given.

    Yields are (K,), or (K, M) with an ``observable``; ``variations`` has those of the processes that a
    variation affects, with the variances of the nominal ones.
    """
    names, varied = tuple(values), dict(variations or {})
    table = np.stack([np.asarray(values[name], np.float64) for name in names])
    squares = table if variances is None else np.stack([np.asarray(variances[n], np.float64) for n in names])
    filled = _empty(names, table.shape[1], [NOMINAL, *varied], observable and _axis(observable))
    view: Any = filled.view()
    view["value"][:, :, 0], view["variance"][:, :, 0] = table, squares
    for v, of_processes in enumerate(varied.values(), 1):
        for name, shifted in of_processes.items():
            p = names.index(name)
            view["value"][p, :, v], view["variance"][p, :, v] = shifted, squares[p]
    outside = np.zeros(len(names) if observable else 0)
    counts = np.rint(table).astype(np.int64)
    return Templates(filled, counts, np.zeros((len(names), 2)), "all", channel, outside=outside)
