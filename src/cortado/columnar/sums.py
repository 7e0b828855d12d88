"""What pass 2 adds up: sums per category, and per bin of an observable, that become templates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from cortado.archive import read_archive, write_archive
from cortado.cells import Cells, Source, only_channel
from cortado.errors import ConfigError, InputError
from cortado.events import refuse_invalid
from cortado.normalisation import Normalisation
from cortado.observable import Observable
from cortado.templates import Templates, build_templates
from cortado.variations import mirrored

_FORMAT = "cortado-category-sums-2"


@dataclass(frozen=True, eq=False)
class CategorySums:
    """Σw, Σw² and counts per category, dataset, variation and fold, for one or more binnings; adds up.

    ``cells`` maps the name of a binning to sums whose address is the category, −1 for events without one, and
    the bin of the observable, if there is one, −1 below its edges and M above; ``n_categories`` to its K, and
    ``observables`` to its observable. ``invalid`` counts values that are not finite, by (dataset, column).
    ``derived`` are sources (channel, process, variation) that were made of the other side of a variation when
    datasets were merged.
    """

    n_folds: int
    n_categories: Mapping[str, int]
    cells: Mapping[str, Cells]
    observables: Mapping[str, Observable] = field(default_factory=dict)
    invalid: Counter[tuple[str, str]] = field(default_factory=Counter)
    derived: frozenset[Source] = frozenset()

    @classmethod
    def empty(
        cls,
        n_folds: int,
        n_categories: Mapping[str, int],
        observables: Mapping[str, Observable] | None = None,
    ) -> CategorySums:
        """Sums without events: the identity of addition."""
        inside = dict(observables or {})
        cells = {name: Cells.empty(2 if name in inside else 1) for name in n_categories}
        return cls(n_folds, n_categories, cells, inside)

    def __add__(self, other: CategorySums) -> CategorySums:
        if not isinstance(other, CategorySums):
            return NotImplemented
        if (self.n_categories, self.observables, self.n_folds) != (
            other.n_categories,
            other.observables,
            other.n_folds,
        ):
            raise InputError("sums of different categorizers, observables or folds cannot be added")
        cells = {name: part + other.cells[name] for name, part in self.cells.items()}
        return replace(
            self,
            cells=cells,
            invalid=self.invalid + other.invalid,
            derived=self.derived | other.derived,
        )

    def normalise(self, normalisation: Normalisation) -> CategorySums:
        """Datasets scaled to the luminosity and merged into processes."""
        derived = {
            s._replace(dataset=normalisation.of(s.dataset)[0])
            for part in self.cells.values()
            for s in mirrored(part)
        }
        cells = {name: normalisation.apply(part) for name, part in self.cells.items()}
        return replace(self, cells=cells, derived=self.derived | derived)

    def with_flow(self, flow: Literal["fold", "drop"]) -> CategorySums:
        """These sums with what lies beyond the edges of observables in the outer bins, or left out."""
        changed = {name: o.model_copy(update={"flow": flow}) for name, o in self.observables.items()}
        return replace(self, observables=changed)

    def checked(self) -> CategorySums:
        """These sums, if every event was usable; else ``InputError`` with the number in each dataset."""
        refuse_invalid(self.invalid)
        return self

    def templates(
        self,
        name: str | None = None,
        *,
        folds: Collection[int] | None = None,
        events: str | None = None,
        channel: str | None = None,
        processes: Sequence[str] | None = None,
    ) -> Templates:
        """Templates of one binning, by default the only one, from some folds, scaled to the full luminosity.

        Arguments and errors as of :func:`cortado.templates.build_templates`; ``ConfigError`` for the name.
        """
        name = self._binning(name)
        refuse_invalid(self.invalid)
        channel = only_channel(self.cells[name], channel)
        return build_templates(
            self.cells[name],
            self.n_categories[name],
            observable=self.observables.get(name),
            n_folds=self.n_folds,
            folds=folds,
            events=events,
            channel=channel,
            processes=processes,
            derived={(s.dataset, s.variation) for s in self.derived if s.channel == channel},
        )

    def _binning(self, name: str | None) -> str:
        if name is None and len(self.cells) == 1:
            return next(iter(self.cells))
        if name is None or name not in self.cells:
            raise ConfigError(f"there is no categorizer {name!r}; there are {sorted(self.cells)}")
        return name

    def save(self, path: str | Path) -> None:
        """Write the sums to an ``.npz`` file, whole or not at all."""
        header = {
            "n_folds": self.n_folds,
            "n_categories": dict(self.n_categories),
            "observables": {name: o.model_dump(mode="json") for name, o in self.observables.items()},
            "invalid": [[*k, n] for k, n in sorted(self.invalid.items())],
            "derived": [list(s) for s in sorted(self.derived)],
        }
        write_archive(path, _FORMAT, header, self.cells)

    @classmethod
    def load(cls, path: str | Path) -> CategorySums:
        """Read sums written by :meth:`save`. Raises ``InputError`` if the file does not hold any."""
        header, tables = read_archive(path, _FORMAT)
        return cls(
            header["n_folds"],
            header["n_categories"],
            tables,
            {name: Observable.model_validate(o) for name, o in header["observables"].items()},
            Counter({(d, f): n for d, f, n in header["invalid"]}),
            frozenset(Source(*s) for s in header["derived"]),
        )
