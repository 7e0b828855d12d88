"""What makes one number of the significances of several signals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace
from cortado.objectives.described import described
from cortado.objectives.terms import Term
from cortado.objectives.yields import Yields

_TINY = 1e-300


def root(square: Any) -> Any:
    """√square with a finite gradient at 0."""
    xp = array_namespace(square)
    return xp.sqrt(xp.maximum(square, _TINY)) * xp.where(square > 0, 1.0, 0.0)


def _geometric(squares: Any) -> Any:
    xp = array_namespace(squares)
    return xp.exp(xp.sum(xp.log(xp.maximum(squares, _TINY))) / (2 * squares.shape[0]))


def _quadrature(squares: Any) -> Any:
    return root(array_namespace(squares).sum(squares))


def _minimum(squares: Any) -> Any:
    return root(array_namespace(squares).min(squares))


def _sum(squares: Any) -> Any:
    return array_namespace(squares).sum(root(squares))


COMBINATIONS: dict[str, Callable[[Any], Any]] = {
    "geometric": _geometric,
    "quadrature": _quadrature,
    "minimum": _minimum,
    "sum": _sum,
}
"""One number from Z² of every signal, (S,)."""


@dataclass(frozen=True, repr=False)
class Significance(Term):
    """Base of the terms that have a number for each of one or more signals, such as a significance Z.

    Parameters
    ----------
    signals
        Names of the signal processes.
    combine
        How the significances Z make one number: "geometric" mean, "quadrature" sum, "minimum", weighted
        "sum", or a function of the list of Z, one scalar a signal, numpy numbers or tensors.
    weights
        For "sum": a factor > 0 for each signal, 1 where none is given.
    other_signals
        What the other signals are to a signal: one of the ``ROLES`` of the term.
    """

    ROLES: ClassVar[tuple[str, ...]]
    """What ``other_signals`` may be."""
    SYMBOL: ClassVar[str] = "Z"
    """What the number of a signal is called."""

    signals: tuple[str, ...]
    combine: str | Callable[[list[Any]], Any]
    weights: tuple[tuple[str, float], ...]
    other_signals: str

    def __init__(
        self,
        signals: tuple[str, ...] | list[str] | str,
        combine: str | Callable[[list[Any]], Any],
        weights: Mapping[str, float] | None,
        other_signals: str,
    ) -> None:
        names = (signals,) if isinstance(signals, str) else tuple(signals)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"signals must be distinct names, at least one, got {list(names)}")
        if not callable(combine) and combine not in self.combinations():
            raise ConfigError(
                f"combine must be one of {sorted(self.combinations())} or a function, got {combine!r}"
            )
        if other_signals not in self.ROLES:
            raise ConfigError(f"other_signals must be one of {list(self.ROLES)}, got {other_signals!r}")
        factors = dict(weights or {})
        if factors and combine != "sum":
            raise ConfigError(f'weights go with combine="sum" alone, got combine={described(combine)}')
        for name, factor in factors.items():
            if name not in names or not 0 < factor < float("inf"):
                raise ConfigError(
                    f"weights must be finite numbers > 0 for some of the signals {list(names)}, "
                    f"got {name!r}: {factor!r}"
                )
        object.__setattr__(self, "signals", names)
        object.__setattr__(self, "combine", combine)
        object.__setattr__(self, "weights", tuple((n, float(factors[n])) for n in names if n in factors))
        object.__setattr__(self, "other_signals", other_signals)

    def __repr__(self) -> str:
        weights = f", weights={dict(self.weights)}" if self.weights else ""
        others = f", other_signals={self.other_signals!r}"
        more = "".join(f", {name}={described(value)}" for name, value in self.own_options.items())
        return f"{type(self).__name__}({self.signals!r}, {described(self.combine)}{weights}{others}{more})"

    @property
    def own_options(self) -> dict[str, Any]:
        """What a term is made with beside what all of them take, for its ``repr``."""
        return {}

    @classmethod
    def combinations(cls) -> tuple[str, ...]:
        """The names that ``combine`` may have."""
        return tuple(COMBINATIONS)

    def backgrounds_of(self, signal: str, processes: tuple[str, ...]) -> tuple[str, ...]:
        """The processes that are background to a signal."""
        others = self.signals if self.other_signals == "ignored" else (signal,)
        return tuple(process for process in processes if process not in others)

    def squares(self, yields: Yields) -> Any:
        """(S,) Z² of every signal, of yields taken as they are."""
        raise NotImplementedError

    def each(self, yields: Yields) -> dict[str, float]:
        """The significance of each signal, of yields taken as they are.

        Those that the terms of an objective see are :meth:`Objective.prepared`.
        """
        squares = np.maximum(self.squares(yields), 0.0)
        return {name: float(z2**0.5) for name, z2 in zip(self.signals, squares, strict=True)}

    def __call__(self, yields: Yields) -> Any:
        return self.combined(self.squares(yields))

    def combined(self, squares: Any) -> Any:
        """One number from Z² of every signal, (S,) in their order; less than 0 counts as 0."""
        if callable(self.combine):
            z = root(squares)
            return self.combine([z[i] for i in range(len(self.signals))])
        if self.weights:
            factors = dict(self.weights)
            squares = squares * np.square([factors.get(name, 1.0) for name in self.signals])  # w Z = √(w² Z²)
        return COMBINATIONS[self.combine](squares)


@dataclass(frozen=True, repr=False, init=False)
class InCategories(Significance):
    """Base of those in which every category has a Z² of its own, and the sum is that of all."""

    ROLES = ("background", "ignored")

    def in_categories(self, yields: Yields) -> Any:
        """(S, K) Z² of each signal in each category, of yields taken as they are."""
        raise NotImplementedError

    def per_category(self, yields: Yields) -> dict[str, Any]:
        """Z² of each signal in each category, (K,) each.

        The yields are taken as they are; those that the terms of an objective see are
        :meth:`Objective.prepared`.
        """
        squares = self.in_categories(yields)
        return {name: squares[i] for i, name in enumerate(self.signals)}

    def squares(self, yields: Yields) -> Any:
        return array_namespace(yields.sumw).sum(self.in_categories(yields), axis=1)


@dataclass(frozen=True, repr=False, init=False)
class InFit(Significance):
    """Base of those that come of a fit to all categories together, with nuisance parameters.

    Parameters
    ----------
    nuisances
        Names of the nuisance parameters whose variations the yields hold.
    simulation
        Whether the statistical uncertainty of the simulation is part of the fit.
    """

    ROLES = ("floating", "background")

    nuisances: tuple[str, ...]
    simulation: bool

    def __init__(
        self,
        signals: tuple[str, ...] | list[str] | str,
        combine: str | Callable[[list[Any]], Any] = "geometric",
        *,
        nuisances: Sequence[str] = (),
        simulation: bool = True,
        weights: Mapping[str, float] | None = None,
        other_signals: str = "floating",
    ) -> None:
        super().__init__(signals, combine, weights, other_signals)
        if (
            not isinstance(nuisances, list | tuple)
            or not all(isinstance(name, str) and name for name in nuisances)
            or len(set(nuisances)) < len(nuisances)
        ):
            raise ConfigError(f"nuisances must be a list of distinct names, got {nuisances!r}")
        if not isinstance(simulation, bool):
            raise ConfigError(f"simulation must be True or False, got {simulation!r}")
        object.__setattr__(self, "nuisances", tuple(nuisances))
        object.__setattr__(self, "simulation", simulation)

    @property
    def own_options(self) -> dict[str, Any]:
        return {"nuisances": self.nuisances, "simulation": self.simulation}
