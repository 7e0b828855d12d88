"""From generated to expected events: cross section × luminosity / Σw(generated), once, per dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cortado.cells import Cells
from cortado.errors import ConfigError
from cortado.variations import completed


@dataclass(frozen=True)
class Normalisation:
    """The process that each dataset belongs to, and the factor on its event weights."""

    process: Mapping[str, str]
    factor: Mapping[str, float]

    def __post_init__(self) -> None:
        if without := sorted(set(self.process) - set(self.factor)):
            raise ConfigError(f"datasets {without} have a process but no factor")
        for dataset, factor in self.factor.items():
            if not 0 < factor < float("inf"):
                raise ConfigError(
                    f"dataset {dataset!r}: the factor on its weights must be positive, got {factor}"
                )

    def apply(self, cells: Cells) -> Cells:
        """Datasets scaled and merged into processes; raises ``ConfigError`` for an unknown dataset.

        Variations that some datasets of a process have are made for the others
        (:func:`cortado.variations.completed`).
        """
        if unknown := sorted({s.dataset for s in cells.sources} - set(self.process)):
            raise ConfigError(f"datasets {unknown} have no process; known are {sorted(self.process)}")
        whole = completed(cells, self.process)
        return whole.relabel(lambda s: s._replace(dataset=self.process[s.dataset]), self.factor)

    def of(self, dataset: str) -> tuple[str, float]:
        """Process and factor of a dataset; raises ``ConfigError`` for an unknown one."""
        if dataset not in self.process:
            raise ConfigError(f"dataset {dataset!r} has no process; known are {sorted(self.process)}")
        return self.process[dataset], self.factor[dataset]


def weight_factor(cross_section: float, luminosity: float, sum_of_weights: float) -> float:
    """Cross section × luminosity / Σw(generated): what a generator weight is multiplied by.

    ``cross_section`` and ``luminosity`` in inverse units of each other (pb and pb⁻¹, say);
    ``sum_of_weights`` over all generated events, before any cut.
    """
    if not sum_of_weights > 0:
        raise ConfigError(f"the sum of generator weights must be positive, got {sum_of_weights}")
    return cross_section * luminosity / sum_of_weights
