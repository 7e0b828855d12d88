"""Yields per process and category: what every objective is a function of."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortado.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Yields:
    """Sums over the events of P processes in K categories, as numpy arrays or TensorFlow tensors.

    Attributes
    ----------
    processes
        Names of the P processes.
    sumw, sumw2
        (P, K) Σw and Σw².
    count
        (P, K) number of simulated events.
    signals
        The processes that are signals; every other one is background.
    """

    processes: tuple[str, ...]
    sumw: Any
    sumw2: Any
    count: Any
    signals: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.signals if name not in self.processes]:
            raise ConfigError(f"signals {unknown} are not among the processes {list(self.processes)}")

    def total(self, names: tuple[str, ...], what: str = "sumw") -> Any:
        """(K,) sum of ``what`` ("sumw", "sumw2" or "count") over the named processes; 0 if there are none."""
        return self.totals([names], what)[0]

    def totals(self, groups: Sequence[tuple[str, ...]], what: str = "sumw") -> Any:
        """(G, K) sums of ``what`` over each of G groups of processes, float64."""
        self._require({name: None for names in groups for name in names})
        table = getattr(self, what)
        xp = array_namespace(table)
        # One product: gradients of rows taken one by one are added in an order that changes from run to run.
        mask = xp.asarray([[float(p in names) for p in self.processes] for names in groups], dtype=np.float64)
        return xp.matmul(mask, table if what != "count" else xp.asarray(table, dtype=np.float64))

    def scaled(self, factors: Any, processes: tuple[str, ...]) -> Yields:
        """These yields with Σw of the named processes times ``factors``, a number or (K,), and Σw² times f².

        Counts stay what they are. Raises ``ConfigError`` if the number of factors is not that of categories.
        """
        self._require(processes)
        xp = array_namespace(self.sumw)
        factor = xp.asarray(factors, dtype=np.float64)
        shape, n_categories = tuple(factor.shape), self.sumw.shape[1]
        if shape not in {(), (n_categories,)}:
            raise ConfigError(
                f"scale factors of {list(processes)} must be one number, or one for each of the "
                f"{n_categories} categories, got {shape[0] if len(shape) == 1 else f'shape {shape}'}"
            )
        scale = xp.where(np.isin(self.processes, processes)[:, None], factor, 1.0)
        return replace(self, sumw=self.sumw * scale, sumw2=self.sumw2 * xp.square(scale))

    def _require(self, names: Iterable[str]) -> None:
        if unknown := [name for name in names if name not in self.processes]:
            raise ConfigError(f"{unknown} are not among the processes {list(self.processes)}")

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The processes that are not signals."""
        return tuple(name for name in self.processes if name not in self.signals)


def array_namespace(array: Any) -> Any:
    """The module whose functions act on ``array``: numpy, or TensorFlow's numpy interface for its tensors.

    TensorFlow is looked up, never imported: an array of its can only exist where it is loaded already.
    """
    if isinstance(array, np.ndarray | np.generic | float | int):
        return np
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not tensorflow.is_tensor(array):
        raise TypeError(f"yields must be numpy arrays or TensorFlow tensors, got {type(array).__name__}")
    return tensorflow.experimental.numpy
