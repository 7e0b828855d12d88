"""Objectives are sums of terms, each a function of yields; larger is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace
from cortado.objectives.described import described
from cortado.objectives.scale import Scale
from cortado.objectives.yields import Yields


class Term:
    """Base of the terms that come with cortado: gives them ``+``. A plain function is a term, too."""

    def __call__(self, yields: Yields) -> Any:
        """A scalar, larger for better categories."""
        raise NotImplementedError

    def __add__(self, other: Callable[[Yields], Any]) -> Objective:
        return Objective((self,)) + other

    def __radd__(self, other: Callable[[Yields], Any]) -> Objective:
        return Objective((other, self))

    def with_scales(self, factors: Mapping[Any, Any]) -> Objective:
        """The objective of this term alone, with scaled backgrounds: :meth:`Objective.with_scales`."""
        return Objective((self,)).with_scales(factors)


@dataclass(frozen=True, repr=False)
class Objective:
    """A sum of terms. The signals are those of the one term that names them.

    ``scales`` are part of the prediction: every term sees the scaled yields, also one that is added later.
    """

    terms: tuple[Callable[[Yields], Any], ...]
    scales: tuple[Scale, ...] = ()

    def __post_init__(self) -> None:
        for term in self.terms:
            if not callable(term):
                raise ConfigError(f"the terms of an objective must be functions of yields, got {term!r}")
        named = set(self._named_signals())
        if len(named) > 1:
            raise ConfigError(f"the terms of one objective must name the same signals, got {sorted(named)}")
        scaled = [name for scale in self.scales for name in scale.processes]
        if wrong := [name for name in scaled if name in self.signals]:
            raise ConfigError(f"only backgrounds can be scaled, got the signals {wrong}")
        if twice := sorted({name for name in scaled if scaled.count(name) > 1}):
            raise ConfigError(f"a process can be scaled only once, got {twice} several times")

    def __repr__(self) -> str:
        scales = f", scales={described(self.scales)}" if self.scales else ""
        return f"Objective({described(self.terms)}{scales})"

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the signal processes; empty if no term names any."""
        return next(iter(self._named_signals()), ())

    def _named_signals(self) -> list[tuple[str, ...]]:
        return [tuple(signals) for term in self.terms if (signals := getattr(term, "signals", ()))]

    @property
    def nuisances(self) -> tuple[str, ...]:
        """Names of the nuisance parameters whose variations the terms ask for."""
        return tuple(dict.fromkeys(n for term in self.terms for n in getattr(term, "nuisances", ())))

    @property
    def floors(self) -> tuple[Floor, ...]:
        """The terms that every category must satisfy."""
        return tuple(t for t in self.terms if isinstance(t, Floor))

    @property
    def merits(self) -> tuple[Callable[[Yields], Any], ...]:
        """The terms that are no floors."""
        return tuple(t for t in self.terms if not isinstance(t, Floor))

    @property
    def per_category(self) -> bool:
        """Whether scale factors belong to numbered categories, so that none may be moved or dropped."""
        return any(scale.per_category for scale in self.scales)

    def with_scales(self, factors: Mapping[Any, Any]) -> Objective:
        """This objective of yields in which backgrounds are scaled, with Σw² scaled by the square.

        ``factors`` maps a process, or a tuple of several, to what :class:`Scale` takes: a number > 0, K of
        them, or a function of the unscaled yields.
        """
        return replace(self, scales=self.scales + tuple(Scale(*item) for item in factors.items()))

    def with_margin(self, margin: float) -> Objective:
        """This objective with every floor stricter by a fraction ``margin``."""
        terms = tuple(t.with_margin(margin) if isinstance(t, Floor) else t for t in self.terms)
        return replace(self, terms=terms)

    def prepared(self, yields: Yields) -> Yields:
        """What the terms are given: the yields with the signals named and the backgrounds scaled."""
        unscaled = replace(yields, signals=self.signals)
        prepared = unscaled
        for scale in self.scales:
            prepared = scale(prepared, unscaled)
        return prepared

    def __call__(self, yields: Yields) -> Any:
        """The sum of the terms."""
        return self.soft(yields, 1.0)

    def soft(self, yields: Yields, strength: Any, floored: Yields | None = None) -> Any:
        """The sum of the terms, with ``strength`` (a number or a scalar tensor) as a factor on all floors.

        The floors are those of the yields ``floored``, where they are given.
        """
        prepared = self.prepared(yields)
        held = prepared if floored is None else self.prepared(floored)
        return _sum(self.merits, prepared) + strength * _sum(self.floors, held)

    def value(self, yields: Yields) -> float:
        """The objective without its floors, of hard categories: what is quoted."""
        return float(_sum(self.merits, self.prepared(yields)))

    def shortfall(self, yields: Yields) -> npt.NDArray[np.float64]:
        """(K,) how far each category is below its floors: 0 where all are met, 1 a floor if it is empty."""
        prepared = self.prepared(yields)
        gaps = [np.clip(floor.gap(prepared), 0.0, None) for floor in self.floors]
        return np.sum(gaps, axis=0) if gaps else np.zeros(np.shape(yields.sumw)[1])

    def __add__(self, other: Callable[[Yields], Any]) -> Objective:
        more = as_objective(other)
        if self.scales and more.scales and self.scales != more.scales:
            raise ConfigError(
                f"objectives that are added must have the same scales, got {self.scales} and {more.scales}"
            )
        return Objective(self.terms + more.terms, self.scales or more.scales)

    def __radd__(self, other: Callable[[Yields], Any]) -> Objective:
        return replace(self, terms=(other, *self.terms))


def _sum(terms: tuple[Callable[[Yields], Any], ...], yields: Yields) -> Any:
    values = [term(yields) for term in terms]
    for term, value in zip(terms, values, strict=True):
        # The shape of a tensor without a known rank is false, too.
        if shape := tuple(getattr(value, "shape", ()) or ()):
            raise ConfigError(f"every term must give a scalar, {described(term)} gave shape {shape}")
    return sum(values)


@dataclass(frozen=True)
class Floor(Term):
    """A limit that every category has to keep: a penalty while training, a rule afterwards.

    The penalty is −strength · Σ_k g²/(1 + g²) where the gap g is positive: smooth, and bounded for categories
    that are empty or negative. The other field of a floor is its limit, ``minimum`` or ``maximum``.
    """

    strength: float = field(default=10.0, kw_only=True)

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            enough, rule = (value >= 0, "≥ 0") if option.name == "minimum" else (value > 0, "> 0")
            if not enough or not np.isfinite(value):
                raise ConfigError(
                    f"{type(self).__name__}: {option.name} must be a finite number {rule}, got {value}"
                )

    def __str__(self) -> str:
        limits = (getattr(self, option.name) for option in fields(self) if option.name != "strength")
        return f"{type(self).__name__}({', '.join(f'{limit:g}' for limit in limits)})"

    def with_margin(self, margin: float) -> Self:
        """This floor with a limit stricter by a fraction ``margin``."""
        limits = {o.name: getattr(self, o.name) for o in fields(self) if o.name in ("minimum", "maximum")}
        stricter = {n: v * (1 + margin) if n == "minimum" else v / (1 + margin) for n, v in limits.items()}
        return replace(self, **stricter)

    def gap(self, yields: Yields) -> Any:
        """(K,) how far a category is from the limit: positive where it is missed, 1 if it is empty."""
        raise NotImplementedError

    def __call__(self, yields: Yields) -> Any:
        xp = array_namespace(yields.sumw)
        square = xp.square(xp.maximum(self.gap(yields), 0.0))
        return -self.strength * xp.sum(square / (1 + square))


def as_objective(function: Objective | Callable[[Yields], Any]) -> Objective:
    """An :class:`Objective` from one, from a term, or from a plain function of yields."""
    return function if isinstance(function, Objective) else Objective((function,))
