"""What a relaxed cut is optimised for: significances, cross entropy and sum of squares of the weights.

Each is a function of the weights f of signal events (…, n) and background events (…, m), and of the weights
of the events themselves, (n,) and (m,); it gives a number for each leading index, numpy or TensorFlow, summed
in float64. The significances are those of :mod:`cortado.objectives`, of S = Σ w f of the signal and B = Σ w f
of the background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.errors import ConfigError
from cortado.objectives.arrays import array_namespace
from cortado.objectives.counting import SQUARED_SIGNIFICANCES
from cortado.objectives.significance import root

EPSILON = 1e-6
"""Keeps the logarithms of the cross entropy finite."""


@dataclass(frozen=True)
class Loss:
    """A number to be made as small as possible, or as large as possible where ``maximised``.

    ``function`` takes the weights of the relaxed cut for signal and background, then the weights of signal
    and background events. ``symbol`` is what figures and tables call the number.
    """

    name: str
    symbol: str
    maximised: bool
    function: Callable[[Any, Any, Any, Any], Any]

    def __call__(self, signal: Any, background: Any, signal_weights: Any, background_weights: Any) -> Any:
        """The number, from weights (…, n) and (…, m) and event weights (n,) and (m,)."""
        return self.function(signal, background, signal_weights, background_weights)

    @property
    def sign(self) -> float:
        """What the number is multiplied by to be minimised."""
        return -1.0 if self.maximised else 1.0


def cross_entropy(f_s: Any, f_b: Any, w_s: Any, w_b: Any) -> Any:
    """−Σ_s w ln(f + ε) − Σ_b w ln(1 − f + ε), with ε = 10⁻⁶."""
    log = array_namespace(f_s).log
    return -_sum(w_s * log(f_s + EPSILON)) - _sum(w_b * log(1 - f_b + EPSILON))


def sum_of_squares(f_s: Any, f_b: Any, w_s: Any, w_b: Any) -> Any:
    """Σ_s w (1 − f)² + Σ_b w f²."""
    return _sum(w_s * (1 - f_s) ** 2) + _sum(w_b * f_b**2)


def _significance(kind: str) -> Callable[[Any, Any, Any, Any], Any]:
    def significance(f_s: Any, f_b: Any, w_s: Any, w_b: Any) -> Any:
        return root(SQUARED_SIGNIFICANCES[kind](_sum(w_s * f_s), _sum(w_b * f_b)))

    return significance


def _sum(values: Any) -> Any:
    return array_namespace(values).sum(values, axis=-1, dtype=np.float64)


_SYMBOLS = {"asimov": "Asimov Z", "s/sqrt(b)": "S/√B", "s/sqrt(s+b)": "S/√(S+B)"}

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        *(Loss(kind, symbol, True, _significance(kind)) for kind, symbol in _SYMBOLS.items()),
        Loss("cross entropy", "cross entropy", False, cross_entropy),
        Loss("squares", "sum of squares", False, sum_of_squares),
    )
}
"""Losses by name."""


def loss_of(name: str) -> Loss:
    """The loss of a name; ``ConfigError`` where there is none."""
    if name not in LOSSES:
        raise ConfigError(f"loss must be one of {list(LOSSES)}, got {name!r}")
    return LOSSES[name]


def losses_of(names: Sequence[str] | str | None) -> list[Loss]:
    """The losses of some names, or all of them; ``ConfigError`` for others, or none."""
    if isinstance(names, str):
        names = [names]
    chosen = [loss_of(name) for name in (LOSSES if names is None else names)]
    if not chosen:
        raise ConfigError(f"losses must be at least one of {list(LOSSES)}, got none")
    return chosen
