"""Templates as a datacard of CMS combine with its shapes, arXiv:2404.06614.

The rules are those of the datacard parser and of the template code of combine,
https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import hist
import numpy as np
import numpy.typing as npt

from cortado.arguments import FilePath, Groups, NameOrNames, checked_arguments
from cortado.cells import NOMINAL
from cortado.errors import ConfigError
from cortado.export.fit_input import FitChannel
from cortado.export.fit_model import FitModel, FitOptions, fit_model
from cortado.export.root_file import Named, write_histograms
from cortado.files import write_text
from cortado.templates import DATA, ManyTemplates

Floats = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Of the strength, the mass, the observable, the channels and the statistics of the simulation in combine's
# own workspaces.
_TAKEN = re.compile(r"r|MH|CMS_th1x|CMS_channel|prop_bin.*")
# Threshold, include-signal, hist-mode: the values that combine documents and its users share. One Gaussian
# parameter scales the sum in a category; with at most 10 effective background events there, where a Gaussian
# is no longer right, each process gets a parameter of its own instead.
_MC_STATISTICS = "10 0 1"
_STATISTICS_GROUP = "autoMCStats"
_RULE = "-" * 80
_NONE = "-"


@checked_arguments
def write_datacard(
    templates: ManyTemplates,
    *,
    signals: NameOrNames,
    path: FilePath = "datacard.txt",
    groups: Groups | None = None,
    **options: Unpack[FitOptions],
) -> Path:
    """Write a combine datacard and, beside it, the ROOT file of its shapes, ``<stem of path>.root``.

    A template is ``<channel>/<process>`` in the shapes file, its variations are ``<channel>/<process>_jesUp``
    and ``…Down``, without errors. A nuisance parameter is of the type ``shape``, one with numbers ``lnN``,
    and one with templates of some processes and numbers for others ``shape?``. The statistical uncertainty of
    the simulation is left to combine's ``autoMCStats`` with threshold 10. Observed are the collision data or,
    where there are none, the Asimov data: the sum of all simulation, not rounded. A process with no yield in
    a channel is left out there, which is logged. So are negative yields, nominal or varied, as a warning:
    combine takes them for 0.

    ``groups`` are nuisance parameters by the name of their group, of which those that act on no process are
    left out; ``options`` are those of :class:`cortado.export.fit_model.FitOptions`.

    Returns
    -------
    Path
        The datacard. It is written after its shapes, so that it never refers to a file that is not there.

    Raises
    ------
    ConfigError, InputError
        No fit can be made from these templates (see :func:`cortado.export.fit_model.fit_model`), a name is
        not one that combine reads, or a group is not made of nuisance parameters.
    OutputError
        A file cannot be written.
    """
    card = Path(path)
    shapes = card.with_suffix(".root")
    if card == shapes or re.search(r"\s", shapes.name):
        raise ConfigError(
            f"the datacard must have a name without spaces that does not end in .root, got {card.name!r}"
        )
    model = fit_model(templates, signals, **options)
    check_names(
        [channel.name for channel in model.channels],
        model.processes,
        [*model.nuisances, *model.idle],
        groups or {},
    )
    for channel in model.channels:
        _warn_of_negative_yields(channel)
    write_histograms(shapes, [named for channel in model.channels for named in _histograms(channel)])
    write_text(card, _card(model, _without(model.idle, groups or {}), shapes.name))
    return card


def check_names(
    channels: Sequence[str], processes: Sequence[str], nuisances: Sequence[str], groups: Groups
) -> None:
    """Raise ``ConfigError`` for a name that combine does not read, and a group of what is no nuisance."""
    for name in (*channels, *processes, *nuisances, *groups):
        if not _NAME.fullmatch(name):
            raise ConfigError(f"a name in a datacard must match {_NAME.pattern}, got {name!r}")
    if clash := [*filter(_TAKEN.fullmatch, nuisances)] or [*{_STATISTICS_GROUP} & {*groups}]:
        raise ConfigError(
            f"combine has a meaning of its own for {clash[0]!r}, which must not be used as a name"
        )
    for group, members in groups.items():
        if not members or (unknown := [name for name in members if name not in nuisances]):
            raise ConfigError(
                f"the group {group!r} must be made of the nuisance parameters {list(nuisances)}, "
                f"got {unknown if members else list(members)}"
            )


def _without(idle: Sequence[str], groups: Groups) -> dict[str, list[str]]:
    """The groups without some nuisance parameters."""
    kept = {group: [name for name in members if name not in idle] for group, members in groups.items()}
    return {group: members for group, members in kept.items() if members}


def _warn_of_negative_yields(channel: FitChannel) -> None:
    tables = [("", channel.nominal)]
    for nuisance, sides, affected in zip(channel.nuisances, channel.varied, channel.affected, strict=True):
        for side, varied in zip(("up", "down"), sides, strict=True):
            tables.append((f" with {nuisance} {side}", np.where(affected[:, None], varied, 0.0)))
    for variation, yields in tables:
        for p, b in np.argwhere(yields < 0):
            logger.warning(
                "the yield of %s%s in %s of channel %s is negative (%g): combine takes it for 0",
                channel.processes[p],
                variation,
                channel.bins[b],
                channel.name,
                yields[p, b],
            )


def _histograms(channel: FitChannel) -> Iterator[Named]:
    """All templates of a channel; those of collision or Asimov data have Poisson variances."""
    yield Named(channel.name, DATA, NOMINAL, _histogram(channel.data, channel.data))
    for p, process in enumerate(channel.processes):
        yield Named(channel.name, process, NOMINAL, _histogram(channel.nominal[p], channel.variances[p]))
        for n in np.flatnonzero(channel.affected[:, p]):
            for side, varied in zip(("Up", "Down"), channel.varied[n, :, p], strict=True):
                histogram = _histogram(varied, np.zeros_like(varied))
                yield Named(channel.name, process, f"{channel.nuisances[n]}{side}", histogram)


def _histogram(values: Floats, variances: Floats) -> hist.Hist[Any]:
    axis = hist.axis.Regular(len(values), 0, len(values), name="bin", flow=False)
    filled = hist.Hist(axis, storage=hist.storage.Weight())
    filled[...] = np.stack([values, variances], axis=-1)
    return filled


def _card(model: FitModel, groups: Mapping[str, Sequence[str]], shapes: str) -> str:
    """The text of a card; signals have process ids ≤ 0."""
    columns = [(c, p) for c in model.channels for p in range(len(c.processes))]
    ids = {name: str(i) for i, name in enumerate(model.processes, 1 - len(model.signals))}
    # One table, so that the effects stand below the processes that they are on.
    table = _aligned(
        [
            ["bin", "", *(c.name for c, _ in columns)],
            ["process", "", *(c.processes[p] for c, p in columns)],
            ["process", "", *(ids[c.processes[p]] for c, p in columns)],
            ["rate", "", *(repr(float(c.nominal[p].sum())) for c, p in columns)],
            *(_effects(nuisance, model, columns) for nuisance in model.nuisances),
        ]
    )
    observed = [["bin", *(c.name for c in model.channels)], ["observation", *("-1" for _ in model.channels)]]
    lines = [
        f"imax {len(model.channels)}  number of channels",
        f"jmax {len(model.processes) - 1}  number of processes minus one",
        "kmax *  number of nuisance parameters",
        _RULE,
        f"shapes * * {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        _RULE,
        *_aligned(observed),
        _RULE,
        *table[:4],
        _RULE,
        *table[4:],
        *(f"{group} group = {' '.join(members)}" for group, members in groups.items()),
        *(f"{channel.name} autoMCStats {_MC_STATISTICS}" for channel in model.channels),
    ]
    return "\n".join(lines) + "\n"


def _effects(nuisance: str, model: FitModel, columns: Sequence[tuple[FitChannel, int]]) -> list[str]:
    """The line of a nuisance parameter: name, type, and its effect on every process of every channel."""
    factors = model.rates.get(nuisance, {})
    shaped = [_is_shaped(c, p, nuisance) for c, p in columns]
    effects = [
        "1" if shape else factors[name].in_card if (name := c.processes[p]) in factors else _NONE
        for shape, (c, p) in zip(shaped, columns, strict=True)
    ]
    kind = "lnN" if not any(shaped) else "shape?" if factors else "shape"
    return [nuisance, kind, *effects]


def _is_shaped(channel: FitChannel, p: int, nuisance: str) -> bool:
    """Whether there are templates of the p-th process with a nuisance parameter."""
    return nuisance in channel.nuisances and bool(channel.affected[channel.nuisances.index(nuisance), p])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
