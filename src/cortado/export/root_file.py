"""Templates as a ROOT file of TH1D histograms."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import hist
import uproot

from cortado.arguments import FilePath, checked_arguments
from cortado.cells import NOMINAL
from cortado.errors import ConfigError, checked_name
from cortado.files import write_whole
from cortado.templates import ManyTemplates, Templates


class Named(NamedTuple):
    """A histogram of Weight storage with its place in a file, ``<channel>/<process>[_<variation>]``."""

    channel: str
    process: str
    variation: str
    histogram: hist.Hist[Any]

    @property
    def name(self) -> str:
        """The name of the histogram in the folder of its channel."""
        return self.process if self.variation == NOMINAL else f"{self.process}_{self.variation}"


@checked_arguments
def write_templates(templates: ManyTemplates, path: FilePath = "templates.root") -> Path:
    """Write all templates, data included, as TH1D of one unit bin a category with Σw² as squared errors.

    With an observable they are TH2D, with its bins along the second axis.

    The nominal template of a process is ``<channel>/<process>``, another variation of it
    ``<channel>/<process>_<variation>``; one that does not affect the process is left out. Reading the file
    gives values and variances back to the last bit.

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
    given = [templates] if isinstance(templates, Templates) else templates
    return write_histograms(Path(path), [named for one in given for named in _histograms(one)])


def _histograms(templates: Templates) -> Iterable[Named]:
    for process in templates.processes:
        for variation in templates.variations:
            if templates.is_varied(process, variation):
                histogram = templates.histogram(process, variation)
                yield Named(templates.channel, process, variation, histogram)


def write_histograms(path: Path, histograms: Iterable[Named]) -> Path:
    """Write histograms into the folders of their channels in a ROOT file, whole or not at all."""
    content: dict[str, hist.Hist[Any]] = {}
    for named in histograms:
        for name in (named.channel, named.name):
            checked_name("a name in a ROOT file", name)
        place = f"{named.channel}/{named.name}"
        if place in content:
            raise ConfigError(f"names in a ROOT file must be distinct, got {place!r} for two histograms")
        content[place] = named.histogram
    with write_whole(path) as partial, uproot.recreate(partial) as file:
        file.update(content)
    return path
