"""Yields per process and category: what every objective is a function of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace


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
    nuisances
        Names of the N nuisance parameters whose variations are there; none unless they were asked for.
    varied
        (N, 2, P, K) Σw with each of them one standard deviation up, and down; None without any.
    """

    processes: tuple[str, ...]
    sumw: Any
    sumw2: Any
    count: Any
    signals: tuple[str, ...] = ()
    nuisances: tuple[str, ...] = ()
    varied: Any = None

    def __post_init__(self) -> None:
        if unknown := [name for name in self.signals if name not in self.processes]:
            raise ConfigError(f"signals {unknown} are not among the processes {list(self.processes)}")

    @classmethod
    def of_rows(cls, processes: tuple[str, ...], rows: Any, nuisances: tuple[str, ...] = ()) -> Yields:
        """Yields from their :attr:`rows`."""
        n, xp = len(processes), array_namespace(rows)
        sumw, sumw2, count, more = xp.split(rows, [n, 2 * n, 3 * n])
        if not nuisances:
            return cls(processes, sumw, sumw2, count)
        shape = (len(nuisances), 2, n, -1)
        return cls(processes, sumw, sumw2, count, nuisances=nuisances, varied=xp.reshape(more, shape))

    @property
    def rows(self) -> Any:
        """(R, K) Σw, Σw² and counts of the processes, then the up and down variations of each nuisance."""
        tables = [self.sumw, self.sumw2, self.count]
        if self.varied is not None:
            tables.append(self._varied_rows)
        return array_namespace(self.sumw).concatenate(tables)

    @property
    def _varied_rows(self) -> Any:
        return array_namespace(self.varied).reshape(self.varied, (-1, self.varied.shape[-1]))

    def mapped(self, function: Callable[[Any], Any]) -> Yields:
        """These yields with a function of tables, (m, K) to (m, L), applied to all sums."""
        varied = None
        if self.varied is not None:
            shape = (len(self.nuisances), 2, len(self.processes), -1)
            rows = function(self._varied_rows)  # of another kind, perhaps: a function may make tensors
            varied = array_namespace(rows).reshape(rows, shape)
        sumw, sumw2, count = function(self.sumw), function(self.sumw2), function(self.count)
        return replace(self, sumw=sumw, sumw2=sumw2, count=count, varied=varied)

    def with_sumw(self, sumw: Any) -> Yields:
        """Yields, numpy arrays, with other Σw (P, K): variations change in proportion.

        Where Σw is not positive, they change by as much as it does.
        """
        if self.varied is None:
            return replace(self, sumw=sumw)
        positive = self.sumw > 0
        factor = np.where(positive, sumw / np.where(positive, self.sumw, 1.0), 1.0)
        return replace(self, sumw=sumw, varied=self.varied * factor + np.where(positive, 0, sumw - self.sumw))

    def variations(self, nuisance: str) -> Any:
        """(2, P, K) Σw with a nuisance parameter one standard deviation up, and down.

        Raises ``ConfigError`` if the yields do not hold its variations.
        """
        if nuisance not in self.nuisances:
            raise ConfigError(
                f"the yields hold no variations of the nuisance parameter {nuisance!r}, but of "
                f"{list(self.nuisances)}; ask points or templates for them with nuisances="
            )
        return self.varied[self.nuisances.index(nuisance)]

    def total(self, names: tuple[str, ...], what: str = "sumw") -> Any:
        """(K,) sum of ``what`` ("sumw", "sumw2" or "count") over the named processes; 0 if there are none."""
        return self.totals([names], what)[0]

    def totals(self, groups: Sequence[tuple[str, ...]], what: str = "sumw") -> Any:
        """(G, K) sums of ``what`` over each of G groups of processes, float64."""
        table = getattr(self, what)
        xp = array_namespace(table)
        return self._added(groups, table if what != "count" else xp.asarray(table, dtype=np.float64))

    def varied_totals(self, groups: Sequence[tuple[str, ...]], nuisances: Sequence[str]) -> Any:
        """(N, 2, G, K) sums as of :meth:`totals` with each of N ≥ 1 nuisance parameters up, and down."""
        tables = [self.variations(name) for name in nuisances]
        return self._added(groups, array_namespace(tables[0]).stack(tables))

    def _added(self, groups: Sequence[tuple[str, ...]], table: Any) -> Any:
        """(…, G, K) sums of a table (…, P, K) over groups of processes."""
        self.require({name: None for names in groups for name in names})
        xp = array_namespace(table)
        # One product: gradients of rows taken one by one are added in an order that changes from run to run.
        mask = xp.asarray([[float(p in names) for p in self.processes] for names in groups], dtype=np.float64)
        return xp.matmul(mask, table)

    def scaled(self, factors: Any, processes: tuple[str, ...]) -> Yields:
        """These yields with Σw of the named processes times ``factors``, a number or (K,), and Σw² times f².

        Counts stay what they are. Raises ``ConfigError`` if the number of factors is not that of categories.
        """
        self.require(processes)
        xp = array_namespace(self.sumw)
        factor = xp.asarray(factors, dtype=np.float64)
        shape, n_categories = tuple(factor.shape), self.sumw.shape[1]
        if shape not in {(), (n_categories,)}:
            raise ConfigError(
                f"scale factors of {list(processes)} must be one number, or one for each of the "
                f"{n_categories} categories, got {shape[0] if len(shape) == 1 else f'shape {shape}'}"
            )
        scale = xp.where(np.isin(self.processes, processes)[:, None], factor, 1.0)
        return replace(
            self,
            sumw=self.sumw * scale,
            sumw2=self.sumw2 * xp.square(scale),
            varied=None if self.varied is None else self.varied * scale,
        )

    def require(self, names: Iterable[str]) -> None:
        """Raise ``ConfigError`` if some of the names are not those of processes."""
        if unknown := [name for name in names if name not in self.processes]:
            raise ConfigError(f"{unknown} are not among the processes {list(self.processes)}")

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The processes that are not signals."""
        return tuple(name for name in self.processes if name not in self.signals)
