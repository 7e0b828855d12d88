"""Templates as a ROOT file of TH1D histograms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hist
import numpy as np
import uproot

from cortado.cells import NOMINAL
from cortado.errors import ConfigError
from cortado.files import write_whole
from cortado.templates import DATA, Templates

# Of folders, of an object within a file, and of an object's cycle number.
_SEPARATORS = set("/:;")


def write_templates(templates: Templates, path: str | Path = "templates.root") -> Path:
    """Write all templates, data included, as TH1D of one unit bin a category with Σw² as squared errors.

    The nominal template of a process is ``<channel>/<process>``, another variation of it
    ``<channel>/<process>_<variation>``; a variation that a process was not filled with (no entry in any
    category) is left out. Reading the file gives values and variances back to the last bit.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ConfigError
        A name cannot be that of an object in a ROOT file, or two histograms would have one name.
    OutputError
        The file cannot be written.
    """
    histograms: dict[str, hist.Hist[Any]] = {}
    for process in templates.processes:
        for variation in templates.variations if process != DATA else (NOMINAL,):
            name = process if variation == NOMINAL else f"{process}_{variation}"
            if name in histograms:
                raise ConfigError(f"names in a ROOT file must be distinct, got {name!r} for two histograms")
            histogram = templates.histogram(process, variation)
            if variation == NOMINAL or _is_filled(histogram):
                histograms[name] = histogram
    return write_histograms(Path(path), templates.channel, histograms)


def write_histograms(path: Path, channel: str, histograms: Mapping[str, hist.Hist[Any]]) -> Path:
    """Write histograms of Weight storage into the folder ``channel`` of a ROOT file, whole or not at all."""
    for name in (channel, *histograms):
        if not name or not name.isprintable() or set(name) & _SEPARATORS:
            raise ConfigError(
                f"a name in a ROOT file must be printable and without any of '/:;', got {name!r}"
            )
    with write_whole(path) as partial, uproot.recreate(partial) as file:
        file.update({f"{channel}/{name}": histogram for name, histogram in histograms.items()})
    return path


def _is_filled(histogram: hist.Hist[Any]) -> bool:
    return bool(np.any(histogram.values()) or np.any(histogram.variances()))
