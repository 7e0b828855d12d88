"""What a fit is made of: the yields of its channels, from templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cortado.arguments import checked_arguments
from cortado.cells import NOMINAL
from cortado.errors import ConfigError, InputError
from cortado.templates import ManyTemplates, Templates
from cortado.variations import both_names, nuisances_of

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

Layout = Literal["bins", "channels"]
Flow = Literal["refuse", "fold", "drop"]
_OWN_AXES = ("process", "category", "variation")  # of templates: no place outside of these has a neighbour


@dataclass(frozen=True, eq=False)
class FitChannel:
    """One channel of a fit: P simulated processes in B bins, with N nuisance parameters.

    Attributes
    ----------
    name
        Name of the channel.
    bins
        What each of the B bins is, in words.
    processes
        Names of the P processes.
    nominal, variances
        (P, B) Σw and Σw².
    nuisances
        Names of the N nuisance parameters.
    varied
        (N, 2, P, B) Σw with a nuisance parameter up, and down; the nominal ones of a process that it does not
        affect.
    affected
        (N, P) whether a nuisance parameter changes a process.
    observed
        (B,) collision data, or None where there are none.
    """

    name: str
    bins: tuple[str, ...]
    processes: tuple[str, ...]
    nominal: Floats
    variances: Floats
    nuisances: tuple[str, ...]
    varied: Floats
    affected: Bools
    observed: Floats | None

    @property
    def acting(self) -> tuple[str, ...]:
        """Names of the nuisance parameters that change some process."""
        return tuple(
            name for name, of_name in zip(self.nuisances, self.affected, strict=True) if of_name.any()
        )

    @property
    def asimov(self) -> Floats:
        """(B,) expected events, the sum of all processes, not rounded."""
        return self.nominal.sum(axis=0)

    @property
    def data(self) -> Floats:
        """(B,) the observed events, or the Asimov data where there are none."""
        return self.asimov if self.observed is None else self.observed

    def with_processes(self, names: Sequence[str]) -> FitChannel:
        """The channel with some of its processes, in this order."""
        rows = [self.processes.index(name) for name in names]
        return replace(
            self,
            processes=tuple(names),
            nominal=self.nominal[rows],
            variances=self.variances[rows],
            varied=self.varied[:, :, rows],
            affected=self.affected[:, rows],
        )

    def part(self, name: str, bins: slice) -> FitChannel:
        """Some of its bins as a channel of their own."""
        return replace(
            self,
            name=name,
            bins=self.bins[bins],
            nominal=self.nominal[:, bins],
            variances=self.variances[:, bins],
            varied=self.varied[..., bins],
            observed=None if self.observed is None else self.observed[bins],
        )


@checked_arguments
def fit_channels(
    templates: ManyTemplates, layout: Layout = "bins", flow: Flow = "refuse"
) -> list[FitChannel]:
    """The channels of a fit to templates, of which each is a channel of the analysis.

    With the layout "bins", a channel of the analysis is one of the fit, and its bins are the categories; with
    "channels" every category is a channel of the fit, named ``<channel>_<category>``. A channel with a single
    category keeps its name. What an observable has in underflow and overflow is refused, or added to the
    outermost bins ("fold"), or left out ("drop"), as ``flow`` says.

    Raises
    ------
    ConfigError
        There is no such layout or ``flow``, there are no templates, or two channels have one name.
    InputError
        A variation is not named after a nuisance parameter, or there are yields beyond the bins.
    """
    given = [templates] if isinstance(templates, Templates) else list(templates)
    if not given:
        raise ConfigError("a fit needs the templates of at least one channel, got none")
    channels = [channel for one in given for channel in _channels_of(one, layout, flow)]
    names = [channel.name for channel in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"channels of a fit must have distinct names, got {', '.join(twice)} more than once"
        )
    return channels


def _channels_of(templates: Templates, layout: Layout, flow: Flow) -> list[FitChannel]:
    whole = _whole(_without_flow(templates, flow))
    k = templates.n_categories
    if layout == "bins" or k == 1:
        return [whole]
    step = len(whole.bins) // k
    return [whole.part(f"{whole.name}_{c}", slice(c * step, (c + 1) * step)) for c in range(k)]


def _whole(templates: Templates) -> FitChannel:
    """All bins of all categories, one category after the other."""
    names = templates.simulated
    nominal = _rows(templates.values, names)
    varied = {v for _, v in templates.varied or ()}
    nuisances = nuisances_of(v for v in templates.variations if v in varied)
    sides = [both_names(nuisance) for nuisance in nuisances]
    found = [[_rows(templates.affected_values, names, side) for side in pair] for pair in sides]
    affected = [[templates.is_varied(name, up) for name in names] for up, _ in sides]
    return FitChannel(
        name=templates.channel,
        bins=_labels(templates.n_categories, nominal.shape[1]),
        processes=names,
        nominal=nominal,
        variances=_rows(templates.variances, names),
        nuisances=nuisances,
        varied=np.reshape(found, (len(nuisances), 2, *nominal.shape)),
        affected=np.reshape(affected, (len(nuisances), len(names))).astype(bool),
        observed=None if templates.data is None else np.ravel(templates.data),
    )


def _rows(numbers: Any, processes: Sequence[str], variation: str = NOMINAL) -> Floats:
    """(P, B) of the processes, the bins of a category following one another."""
    return np.stack([np.ravel(numbers(name, variation)) for name in processes])


def _labels(n_categories: int, n_bins: int) -> tuple[str, ...]:
    inside = n_bins // n_categories
    if inside == 1:
        return tuple(f"category {k}" for k in range(n_categories))
    return tuple(f"category {k}, bin {m}" for k in range(n_categories) for m in range(inside))


def _without_flow(templates: Templates, flow: Flow) -> Templates:
    """The templates with nothing in underflow and overflow, where no fit looks."""
    axes = templates.hist.axes
    inner = [i for i, axis in enumerate(axes) if axis.name not in _OWN_AXES]
    filled = templates.hist.copy()
    for i in inner if flow != "refuse" else []:
        view: Any = np.moveaxis(filled.view(flow=True), i, 0)
        for has, edge, neighbour in (
            (axes[i].traits.underflow, 0, 1),
            (axes[i].traits.overflow, len(view) - 1, len(view) - 2),
        ):
            for sums in ("value", "variance") if has else ():
                view[sums][neighbour] += view[sums][edge] if flow == "fold" else 0.0
                view[sums][edge] = 0.0
    everything = np.abs(np.asarray(filled.values(flow=True))).sum()
    inside = np.abs(np.asarray(filled.values())).sum()
    if everything > inside * (1 + 1e-12):
        raise InputError(
            f"templates of a fit must hold no yield beyond their bins, got {everything - inside:g} in "
            f"underflow and overflow of {templates.channel!r}: fold it into the outermost bins "
            f"(flow='fold'), or drop it (flow='drop')"
        )
    return replace(templates, hist=filled)
