"""Templates: yields that a fit uses, per process, category and variation, and maybe in bins of a mass."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import hist
import numpy as np
import numpy.typing as npt
from hist import Hist
from pydantic import InstanceOf

from cortado.arguments import Groups, InWords, Names, checked_arguments
from cortado.cells import NOMINAL, SUMW, SUMW2, Cells, only_channel
from cortado.errors import ConfigError, InputError, checked_name, shown
from cortado.folds import chosen_folds
from cortado.objectives.yields import Yields
from cortado.observable import RESERVED, Observable
from cortado.variations import both_names, mirror_image, nuisance_of, nuisances_of, other_side, sides_of

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

DATA = "data_obs"
_Arrays = Annotated[Mapping[str, Any], InWords("arrays by process")]
_ArraysByVariation = Annotated[Mapping[str, Mapping[str, Any]], InWords("by variation, arrays by process")]
_UNCATEGORISED = -1
_MOST_EVENTS = 2**53


@dataclass(frozen=True, eq=False)
class Templates:
    """The yields of one channel.

    A process that has one side of a nuisance parameter has the other one, too: what was not given is made
    when the templates are, the mirror image 2 · nominal − other with the nominal Σw².

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
        other side.
    outside
        (P,) nominal Σw beyond the edges of the observable: in the outer bins if that is ``folded``, else
        left out.
    folded
        Whether what lies beyond the edges of the observable is in the outer bins.
    varied
        The (process, variation) that there are, maybe without events; other processes are not affected. Those
        with entries where None is given.
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

    def __post_init__(self) -> None:
        given: Any = self.hist
        names = [axis.name for axis in given.axes] if isinstance(given, Hist) else []
        if names[:3] != list(RESERVED) or len(names) > 4:
            raise ConfigError(
                f"hist must be a Hist with the axes {', '.join(RESERVED)} and maybe an observable, got "
                f"{names or shown(given)}"
            )
        nuisances_of(self.variations)  # refuses names that are none
        given = _with_entries(self.hist) if self.varied is None else self.varied
        made = frozenset((p, other_side(v)) for p, v in given) - given
        values: dict[str, Any] = {"varied": given | made, "derived": self.derived | made}
        if made:
            values["hist"] = _with_mirror_images(self.hist, made)
        for name, value in values.items():
            object.__setattr__(self, name, value)

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
        return variation == NOMINAL or (process, variation) in (self.varied or ())

    def affected_values(self, process: str, variation: str) -> Floats:
        """(K,) or (K, M) Σw of one process in a variation, the nominal one if it is not affected."""
        return self.values(process, variation if self.is_varied(process, variation) else NOMINAL)

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

    @checked_arguments
    def merged(self, groups: Groups) -> Templates:
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
            varied=frozenset((new_name[p], v) for p, v in self.varied or ()),
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

    @checked_arguments
    def yields(self, signals: Names = (), nuisances: Names = ()) -> Yields:
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
        sides = sides_of(nuisance, self.variations)
        return np.array([[self.affected_values(name, side) for name in self.simulated] for side in sides])

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


ListOfTemplates = Annotated[Sequence[InstanceOf[Templates]], InWords("a list of templates")]
ManyTemplates = Annotated[
    InstanceOf[Templates] | Sequence[InstanceOf[Templates]], InWords("templates, or a list of them")
]


@checked_arguments
def build_templates(
    cells: Cells,
    n_categories: int,
    *,
    observable: Observable | None = None,
    n_folds: int = 1,
    folds: Collection[int] | None = None,
    events: str | None = None,
    channel: str | None = None,
    processes: Names | None = None,
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
    varied = frozenset((s.dataset, s.variation) for s in here.sources if s.variation != NOMINAL)
    nuisances = sorted({nuisance_of(variation) for _, variation in varied})
    variations = (NOMINAL, *sorted(side for nuisance in nuisances for side in both_names(nuisance)))
    kept = _of_folds(here, chosen)
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
        frozenset(d for d in derived if d[0] in names),
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


def _with_entries(filled: Hist[Any]) -> frozenset[tuple[str, str]]:
    """The (process, variation) with any entry."""
    view, processes, variations = _view(filled), tuple(filled.axes[0]), tuple(filled.axes[2])
    rows = np.moveaxis((view["value"] != 0) | (view["variance"] != 0), 2, 1)
    has_entries = rows.reshape(len(processes), len(variations), -1).any(axis=2)
    return frozenset(
        (processes[p], variations[v]) for p, v in np.argwhere(has_entries) if variations[v] != NOMINAL
    )


def _with_mirror_images(filled: Hist[Any], made: Collection[tuple[str, str]]) -> Hist[Any]:
    """The histogram with some (process, variation) made of the other side."""
    axis = filled.axes[2]
    given, flow = tuple(axis), bool(axis.traits.overflow)
    names = (*given, *sorted({variation for _, variation in made} - {*given}))
    axes: list[Any] = list(filled.axes)
    axes[2] = hist.axis.StrCategory(names, name=axis.name, flow=flow)
    result: Hist[Any] = hist.Hist(*axes, storage=hist.storage.Weight())
    old: Any = filled.view(flow=True)
    new: Any = result.view(flow=True)
    new[:, :, : len(given)] = old[:, :, : len(given)]
    new[:, :, len(names) :] = old[:, :, len(given) :]
    nominal = names.index(NOMINAL)
    for process, variation in made:
        p, v = filled.axes[0].index(process), names.index(variation)
        other = names.index(other_side(variation))
        new["value"][p, :, v] = mirror_image(new["value"][p, :, nominal], new["value"][p, :, other])
        new["variance"][p, :, v] = new["variance"][p, :, nominal]
    return result


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


@checked_arguments
def templates_from_arrays(
    values: _Arrays,
    variances: _Arrays | None = None,
    *,
    variations: _ArraysByVariation | None = None,
    observable: Observable | None = None,
    channel: str = "SR",
) -> Templates:
    """Templates from yields per process written down by hand; Poisson variances unless given.

    Yields are (K,), or (K, M) with an ``observable``; ``variations`` has those of the processes that a
    variation affects, with the variances of the nominal ones. A side of a nuisance parameter that is missing
    is made, see :class:`Templates`.

    Raises
    ------
    ConfigError
        There is no process; a name is empty, not printable, or has one of '/:;' in it; variances are not
        those of all processes; a variation is one of a process that is not there, or of collision data.
    InputError
        Yields or variances are not finite numbers, one a bin; variances are negative; a variation is not
        named after a nuisance parameter.
    """
    names, varied = tuple(values), dict(variations or {})
    _check_names(names, varied, channel)
    given = values if variances is None else variances
    if set(given) != set(names):
        raise ConfigError(f"variances must be those of the processes {list(names)}, got {list(given)}")
    n_bins = () if observable is None else (observable.n_bins,)
    shape = (_length(values[names[0]]), *n_bins)
    table = np.stack([_numbers(f"the yields of {name!r}", values[name], shape) for name in names])
    squares = np.stack([_numbers(f"the variances of {name!r}", given[name], shape) for name in names])
    if variances is None:
        squares = np.abs(squares)
    elif (squares < 0).any():
        raise InputError(f"variances must not be negative, got {squares.min():g}")
    filled = _empty(names, table.shape[1], [NOMINAL, *varied], observable and _axis(observable))
    view: Any = filled.view()
    view["value"][:, :, 0], view["variance"][:, :, 0] = table, squares
    for v, (variation, of_processes) in enumerate(varied.items(), 1):
        for name, shifted in of_processes.items():
            p = names.index(name)
            view["value"][p, :, v] = _numbers(f"the yields of {name!r} with {variation}", shifted, shape)
            view["variance"][p, :, v] = squares[p]
    return Templates(
        filled,
        np.clip(np.rint(table), 0, _MOST_EVENTS).astype(np.int64),
        np.zeros((len(names), 2)),
        "all",
        channel,
        outside=np.zeros(len(names) if observable else 0),
        varied=frozenset((name, variation) for variation, of in varied.items() for name in of),
    )


def _check_names(processes: Sequence[str], varied: Mapping[str, Collection[str]], channel: str) -> None:
    """Refuse names that no file can hold, and variations of what is not there."""
    checked_name("the name of a channel", channel)
    if not processes:
        raise ConfigError("templates need at least one process, got none")
    for name in processes:
        checked_name("the name of a process", name)
    simulated = [name for name in processes if name != DATA]
    for variation, affected in varied.items():
        nuisance_of(checked_name("the name of a variation", variation))
        if unknown := [name for name in affected if name not in simulated]:
            raise ConfigError(
                f"variations.{variation} names {unknown}, which are not among the simulated processes "
                f"{simulated}"
            )


def _length(given: Any) -> int:
    return len(given) if hasattr(given, "__len__") else 1


def _numbers(what: str, given: npt.ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Finite numbers of this shape, else ``InputError``."""
    try:
        numbers = np.asarray(given)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{what} must be numbers, got {shown(given)}") from error
    if numbers.dtype.kind not in "iuf":
        raise InputError(f"{what} must be numbers, got {shown(given)}")
    if numbers.shape != shape or not numbers.size:
        raise InputError(
            f"{what} must be one number for each bin, of the shape {shape}, got those of {numbers.shape}"
        )
    if not np.isfinite(numbers).all():
        raise InputError(f"{what} must be finite, got {numbers[~np.isfinite(numbers)][0]:g}")
    return numbers.astype(np.float64)
