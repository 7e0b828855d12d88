"""Templates as a datacard of CMS combine with its shapes, arXiv:2404.06614.

The rules are those of the datacard parser and of the template code of combine,
https://cms-analysis.github.io/HiggsAnalysis-CombinedLimit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hist
import numpy as np

from cortado.errors import ConfigError, InputError
from cortado.export.fit_input import check_fit_input, observed_data
from cortado.export.root_file import write_histograms
from cortado.files import write_text
from cortado.templates import DATA, Templates

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
# Threshold, include-signal, hist-mode: the values that combine documents and its users share. One Gaussian
# parameter scales the sum in a category; with at most 10 effective background events there, where a Gaussian
# is no longer right, each process gets a parameter of its own instead.
_MC_STATISTICS = "10 0 1"
_RULE = "-" * 80


def write_datacard(
    templates: Templates, *, signals: Sequence[str] | str, path: str | Path = "datacard.txt"
) -> Path:
    """Write a combine datacard and, beside it, the ROOT file of its shapes, ``<stem of path>.root``.

    The channel is one shape whose bins are the categories, ``<channel>/<process>`` in the shapes file. The
    statistical uncertainty of the simulation is left to combine's ``autoMCStats`` with threshold 10. Observed
    are the collision data or, where there are none, the Asimov data: the sum of all simulation, not rounded.
    A process with no yield in any category is left out, which is logged. So are negative yields, as a
    warning: combine takes them for 0.

    Returns
    -------
    Path
        The datacard. It is written after its shapes, so that it never refers to a file that is not there.

    Raises
    ------
    ConfigError
        The signals cannot be those of a fit (see :func:`cortado.export.fit_input.check_fit_input`), or
        the name of the channel, of a process or of the file is not one that combine reads.
    InputError
        The yields cannot be those of a fit, or the total of a process is not positive.
    OutputError
        A file cannot be written.
    """
    card = Path(path)
    shapes = card.with_suffix(".root")
    if card == shapes or re.search(r"\s", shapes.name):
        raise ConfigError(
            f"the datacard must have a name without spaces that does not end in .root, got {card.name!r}"
        )
    signals = check_fit_input(templates, signals)
    backgrounds = [name for name in templates.simulated if name not in signals]
    processes = [name for name in (*signals, *backgrounds) if _is_kept(templates, name)]
    for name in (templates.channel, *processes):
        if not _NAME.fullmatch(name):
            raise ConfigError(f"a name in a datacard must match {_NAME.pattern}, got {name!r}")
    histograms = {name: templates.histogram(name) for name in processes}
    write_histograms(shapes, templates.channel, {DATA: _observed_histogram(templates), **histograms})
    write_text(card, _card(templates.channel, histograms, len(signals), shapes.name))
    return card


def _is_kept(templates: Templates, process: str) -> bool:
    values = templates.values(process)
    if not values.any():
        logger.info(
            "process %s is empty in channel %s and left out of the datacard", process, templates.channel
        )
        return False
    if (total := values.sum()) <= 0:
        raise InputError(
            f"the total yield of {process!r} in {templates.channel!r} must be positive, got {total:g}"
        )
    for category in np.flatnonzero(values < 0):
        logger.warning(
            "the yield of %s in category %d of channel %s is negative (%g): combine takes it for 0",
            process,
            category,
            templates.channel,
            values[category],
        )
    return True


def _observed_histogram(templates: Templates) -> hist.Hist[Any]:
    """Observed or Asimov data with Poisson variances."""
    histogram = templates.histogram(templates.processes[0])
    data = observed_data(templates)
    histogram[...] = np.stack([data, data], axis=-1)
    return histogram


def _card(channel: str, histograms: dict[str, hist.Hist[Any]], n_signals: int, shapes: str) -> str:
    """The text of a card of one channel; the first ``n_signals`` histograms are signals (process id ≤ 0)."""
    ids = range(1 - n_signals, 1 - n_signals + len(histograms))
    rates = [float(histogram.values().sum()) for histogram in histograms.values()]
    table = _aligned(
        [
            ["bin", *[channel] * len(histograms)],
            ["process", *histograms],
            ["process", *map(str, ids)],
            ["rate", *map(repr, rates)],
        ]
    )
    lines = [
        "imax 1  number of channels",
        f"jmax {len(histograms) - 1}  number of processes minus one",
        "kmax *  number of nuisance parameters",
        _RULE,
        f"shapes * * {shapes} $CHANNEL/$PROCESS $CHANNEL/$PROCESS_$SYSTEMATIC",
        _RULE,
        *_aligned([["bin", channel], ["observation", "-1"]]),
        _RULE,
        *table,
        _RULE,
        f"{channel} autoMCStats {_MC_STATISTICS}",
    ]
    return "\n".join(lines) + "\n"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
