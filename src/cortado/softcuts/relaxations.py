"""Relaxed cuts: weights of events between 0 and 1 that rise smoothly across a cut.

A shape F(z) rises from 0 to 1, with F(−z) = 1 − F(z). An event at x has the weight F(±(x − c)/w) at a cut c
of width w, with + where events above the cut are kept. The same code serves numpy arrays and TensorFlow
tensors, in the precision that they come in.

What is one width differs from shape to shape. Widths w and w′ of two shapes match where the weights have the
same slope at the cut, F′(0)/w = F₁′(0)/w′: :func:`matched_width` converts, and so shape is not confused with
width. The unit error function has the slope 1/√π there, and the sigmoid that matches it the k = 4/√π.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace, error_function, logistic, with_slope

SIDES = ("above", "below")


@dataclass(frozen=True)
class Relaxation:
    """Base of the relaxed cuts; one of one's own defines :meth:`rise`, ``NAME`` and ``SLOPE``.

    Parameters
    ----------
    width
        A number > 0 in the unit of x: how wide the step is, as its shape defines it.
    side
        Which events are kept: those "above" or those "below" the cut.

    Raises
    ------
    ConfigError
        For other arguments.
    """

    NAME: ClassVar[str]
    """What the shape is called."""
    SLOPE: ClassVar[float]
    """F′(0), the slope of the weights at the cut for width 1."""

    width: float = 1.0
    side: str = "above"

    def __post_init__(self) -> None:
        width: object = self.width
        if isinstance(width, bool) or not isinstance(width, Real) or not 0 < float(width) < math.inf:
            raise ConfigError(f"width must be a finite number > 0, got {width!r}")
        object.__setattr__(self, "width", float(width))
        if self.side not in SIDES:
            raise ConfigError(f"side must be one of {list(SIDES)}, got {self.side!r}")

    @staticmethod
    def rise(z: Any) -> Any:
        """F(z) of every element: the weight at z widths inside the cut."""
        raise NotImplementedError

    def __call__(self, x: Any, cut: Any, scale: Any = 1.0) -> Any:
        """The weights of events at ``x`` for a ``cut``, arrays that broadcast.

        ``scale`` multiplies the width, for schedules that change it while training.
        """
        z = (x - cut) / (self.width * scale)
        return self.rise(z if self.side == "above" else -z)

    def bins(self, x: Any, boundaries: Any) -> Any:
        """(n, K) weights of events (n,) in the bins between (K − 1,) boundaries in increasing order."""
        return soft_bins(self.rise((x[:, None] - boundaries[None, :]) / self.width))

    def __str__(self) -> str:
        return f"{self.NAME}, width {self.width:.4g}"


class ErrorFunction(Relaxation):
    """F(z) = (erf z + 1)/2."""

    NAME = "error function"
    SLOPE = 1 / math.sqrt(math.pi)

    @staticmethod
    def rise(z: Any) -> Any:
        return (error_function(z) + 1) / 2


class Sigmoid(Relaxation):
    """F(z) = 1/(1 + e⁻ᶻ): 1/(1 + e^{−k(x − c)}) with k = 1/width."""

    NAME = "sigmoid"
    SLOPE = 1 / 4

    @staticmethod
    def rise(z: Any) -> Any:
        return logistic(z)


class HyperbolicTangent(Relaxation):
    """F(z) = (tanh z + 1)/2, which is the sigmoid of half the width."""

    NAME = "tanh"
    SLOPE = 1 / 2

    @staticmethod
    def rise(z: Any) -> Any:
        return (array_namespace(z).tanh(z) + 1) / 2


class Algebraic(Relaxation):
    """F(z) = (z/√(1 + z²) + 1)/2, whose tails fall like 1/(4z²)."""

    NAME = "algebraic"
    SLOPE = 1 / 2

    @staticmethod
    def rise(z: Any) -> Any:
        return (z / array_namespace(z).sqrt(1 + z * z) + 1) / 2


class LinearRamp(Relaxation):
    """F(z) = (z + 1)/2 for −1 < z < 1, and 0 or 1 beyond."""

    NAME = "linear ramp"
    SLOPE = 1 / 2

    @staticmethod
    def rise(z: Any) -> Any:
        return _ramp(z)


class Smoothstep(Relaxation):
    """F(z) = t² (3 − 2t) with t = (z + 1)/2 for −1 < z < 1, and 0 or 1 beyond."""

    NAME = "smoothstep"
    SLOPE = 3 / 4

    @staticmethod
    def rise(z: Any) -> Any:
        t = _ramp(z)
        return t * t * (3 - 2 * t)


class GaussianKernel(Relaxation):
    """F(z) = Φ(z), the part of a Gaussian kernel beyond the cut; the width is its standard deviation.

    Its :meth:`bins` are those of a histogram in which every event is spread over a Gaussian, as in neos
    (Simpson and Heinrich, arXiv:2203.05570). As a cut it is the error function with √2 times the width.
    """

    NAME = "gaussian kernel"
    SLOPE = 1 / math.sqrt(2 * math.pi)

    @staticmethod
    def rise(z: Any) -> Any:
        return (error_function(z / math.sqrt(2)) + 1) / 2


class StraightThrough(Relaxation):
    """The hard cut, 1 above and 0 below, with the gradient of a sigmoid of the same width.

    Bengio, Léonard and Courville, arXiv:1308.3432. An event exactly at the cut has the weight 1/2.
    """

    NAME = "straight-through"
    SLOPE = 1 / 4

    @staticmethod
    def rise(z: Any) -> Any:
        return with_slope(_hard, _slope_of_sigmoid, z)


RELAXATIONS: dict[str, type[Relaxation]] = {
    shape.NAME: shape
    for shape in (
        ErrorFunction,
        Sigmoid,
        HyperbolicTangent,
        Algebraic,
        LinearRamp,
        Smoothstep,
        GaussianKernel,
        StraightThrough,
    )
}
"""The shapes by name."""


def shape_of(name: str) -> type[Relaxation]:
    """The shape of a name; ``ConfigError`` where there is none."""
    if name not in RELAXATIONS:
        raise ConfigError(f"relaxation must be one of {list(RELAXATIONS)}, got {name!r}")
    return RELAXATIONS[name]


def relaxations_of(given: Relaxation | Sequence[Relaxation]) -> list[Relaxation]:
    """One or several relaxations as a list; ``ConfigError`` for anything else, or none."""
    chosen = list(given) if isinstance(given, Iterable) else [given]
    if not chosen:
        raise ConfigError("relaxations must be at least one, got none")
    for one in chosen:
        if not isinstance(one, Relaxation):
            raise ConfigError(f"relaxations must be relaxed cuts such as Sigmoid(width=1.0), got {given!r}")
    return chosen


def labels(relaxations: Sequence[Relaxation]) -> list[str]:
    """What tables and figures call relaxations: their names, with widths where names are not enough."""
    names = {one.NAME for one in relaxations}
    return [one.NAME if len(names) == len(set(relaxations)) else str(one) for one in relaxations]


def matched_width(shape: type[Relaxation] | str, like: Relaxation) -> float:
    """The width at which ``shape``, or the one of that name, has the slope of ``like`` at the cut."""
    kind = shape_of(shape) if isinstance(shape, str) else shape
    return like.width * kind.SLOPE / like.SLOPE


def matched_relaxations(like: Relaxation) -> list[Relaxation]:
    """All shapes, with the slope and side of ``like``."""
    return [shape(matched_width(shape, like), like.side) for shape in RELAXATIONS.values()]


def soft_bins(above: Any) -> Any:
    """(n, K) weights in bins from the weights above each of their K − 1 ordered boundaries; rows sum to 1."""
    pad = array_namespace(above).pad
    return pad(above, ((0, 0), (1, 0)), "constant", constant_values=1) - pad(
        above, ((0, 0), (0, 1)), "constant", constant_values=0
    )


def _ramp(z: Any) -> Any:
    return array_namespace(z).clip((z + 1) / 2, 0, 1)


def _hard(z: Any) -> Any:
    return (array_namespace(z).sign(z) + 1) / 2


def _slope_of_sigmoid(z: Any) -> Any:
    return logistic(z) * logistic(-z)
