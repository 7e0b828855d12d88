"""Datasets, their files, and the chunks that are made of them."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from coffea.processor.executor import WorkItem

from cortado.columnar.inspection import FileFacts
from cortado.errors import ConfigError, InputError
from cortado.normalisation import Normalisation, weight_factor
from cortado.templates import DATA

DEFAULT_CHUNK_SIZE = 500_000


@dataclass(frozen=True)
class Dataset:
    """Files of one origin, and what they stand for.

    Attributes
    ----------
    name
        Name of the dataset, ``events.metadata["dataset"]`` in a processor.
    files
        Paths, globs or URLs.
    tree
        Name of the tree of events.
    metadata
        More that processors find in ``events.metadata``, beside ``process``, ``xsec``, ``is_mc`` and ``era``.
    sum_of_weights
        Σw(generated) before any cut: a number, or the (tree, branch) that holds it, summed once per file.
    process
        Name of the process; by default that of the dataset.
    xsec
        Cross section in the inverse unit of the luminosity; None where the event weight is complete.
    is_data
        Whether these are collision data.
    era
        The period of data taking, where each has a luminosity of its own.
    """

    name: str
    files: str | Sequence[str]
    tree: str = "Events"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sum_of_weights: float | tuple[str, str] | None = None
    process: str | None = None
    xsec: float | None = None
    is_data: bool = False
    era: str | None = None

    @property
    def process_name(self) -> str:
        """The process that the events belong to, ``data_obs`` for collision data."""
        return DATA if self.is_data else self.process or self.name

    @property
    def user_metadata(self) -> dict[str, Any]:
        """What processors find in ``events.metadata`` of a chunk, beside what coffea puts there."""
        own = {"process": self.process_name, "xsec": self.xsec, "is_mc": not self.is_data}
        era = {} if self.era is None else {"era": self.era}
        return {**own, **era, **self.metadata}


@dataclass(frozen=True)
class Inventory:
    """The files of all datasets, inspected: chunks can be made of them without opening any."""

    datasets: tuple[Dataset, ...]
    facts: Mapping[tuple[str, str], FileFacts]

    def _files(self, dataset: str) -> list[tuple[str, FileFacts]]:
        return sorted((path, f) for (name, path), f in self.facts.items() if name == dataset)

    def sum_of_weights(self, dataset: str) -> float:
        """Σw(generated) over the files of a dataset."""
        return sum(f.sum_of_weights for _, f in self._files(dataset))

    @property
    def simulated(self) -> tuple[str, ...]:
        """Names of the datasets that are not collision data."""
        return tuple(d.name for d in self.datasets if not d.is_data)

    def normalisation(
        self, luminosity: float | None = None, eras: Mapping[str, float] | None = None
    ) -> Normalisation:
        """Process and weight factor of each dataset: cross section × luminosity / Σw(generated), or 1.

        The luminosity is that of the dataset's era, by name in ``eras``, or ``luminosity`` without one.
        Raises ``ConfigError`` if a dataset has a cross section and there is no luminosity or no positive Σw.
        """
        known = eras or {}
        factors = {
            d.name: self._factor(d, luminosity if d.era is None else known.get(d.era)) for d in self.datasets
        }
        return Normalisation({d.name: d.process_name for d in self.datasets}, factors)

    def _factor(self, dataset: Dataset, luminosity: float | None) -> float:
        if dataset.xsec is None:
            return 1.0
        if luminosity is None:
            of_era = "" if dataset.era is None else f" of its era {dataset.era!r}"
            raise ConfigError(
                f"dataset {dataset.name!r} has a cross section, so the luminosity{of_era} must be given"
            )
        given = dataset.sum_of_weights
        total = given if isinstance(given, int | float) else self.sum_of_weights(dataset.name)
        if not total > 0:
            raise ConfigError(f"dataset {dataset.name!r}: sum_of_weights must be positive, got {total}")
        return weight_factor(dataset.xsec, luminosity, total)

    def chunks(
        self, chunk_size: int = DEFAULT_CHUNK_SIZE, only: Sequence[str] | None = None
    ) -> list[WorkItem]:
        """Work items of at most ``chunk_size`` entries, of all datasets or of ``only`` some."""
        if chunk_size < 1:
            raise ConfigError(f"the chunk size must be at least 1, got {chunk_size}")
        items = []
        for dataset in self.datasets:
            if only is not None and dataset.name not in only:
                continue
            for path, facts in self._files(dataset.name):
                items += [
                    WorkItem(
                        dataset.name,
                        path,
                        dataset.tree,
                        start,
                        min(start + chunk_size, facts.n_entries),
                        facts.uuid,
                        dataset.user_metadata,
                    )
                    for start in range(0, facts.n_entries, chunk_size)
                ]
        return items


def resolve_files(dataset: str, patterns: Sequence[str], base: Path) -> tuple[str, ...]:
    """Sorted paths of a dataset's files: names, globs (``**`` for any depth) or URLs, which stay as they are.

    Raises ``InputError`` if a pattern matches nothing.
    """
    files: set[str] = set()
    for pattern in patterns:
        if "://" in pattern:
            files.add(pattern)
            continue
        named = base / Path(pattern).expanduser()
        if named.exists():  # a name may contain brackets
            files.add(str(named))
            continue
        relative = str(Path(pattern).expanduser())
        matches = glob.glob(relative, root_dir=base, recursive=True)  # noqa: PTH207 - it may be absolute
        if not matches:
            what = "no file matches" if glob.has_magic(pattern) else "there is no file"
            raise InputError(f"dataset {dataset!r}: {what} {pattern} in {base}")
        files.update(str(base / match) for match in matches)
    return tuple(sorted(files))


def expand_globs(dataset: Dataset) -> list[str]:
    """The files of a dataset, seen from the current folder; names without wildcards are taken as they are."""
    names = [dataset.files] if isinstance(dataset.files, str) else dataset.files
    files: list[str] = []
    for name in names:
        plain = "://" in name or not glob.has_magic(name) or Path(name).exists()
        files += [name] if plain else resolve_files(dataset.name, [name], Path.cwd())
    return files
