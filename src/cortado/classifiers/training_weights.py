"""Weights for training, none of them negative, from physical ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from cortado.errors import ConfigError, InputError

Floats = npt.NDArray[np.float64]

NegativeWeights = Literal["absolute", "drop", "refuse"]


def weights_of_processes(
    weight: Floats,
    process: npt.NDArray[np.str_],
    negative: NegativeWeights,
    process_factors: Mapping[str, float],
) -> Floats:
    """(n,) weights ≥ 0 whose sum in each process is that of its physical ``weight`` (n,), times its factor.

    Treatments of negative weights, and errors, are those of ``LabelledEvents.balanced_weight``.
    """
    if negative not in get_args(NegativeWeights):
        raise ConfigError(f"negative must be one of {', '.join(get_args(NegativeWeights))}, got {negative!r}")
    is_negative = weight < 0
    if negative == "refuse" and is_negative.any():
        raise InputError(f"weights must not be negative, {is_negative.sum()} are")
    usable = np.where(is_negative, 0.0, weight) if negative == "drop" else np.abs(weight)
    names, number = np.unique(process, return_inverse=True)
    total = np.bincount(number, weight, minlength=len(names))
    if (bad := total <= 0).any():
        raise InputError(
            f"the weights of every process must have a positive sum, got {total[bad][0]:g} for "
            f"{str(names[bad][0])!r}"
        )
    scale = total / np.bincount(number, usable, minlength=len(names)) * _factors(names, process_factors)
    return usable * scale[number]


def _factors(names: npt.NDArray[np.str_], given: Mapping[str, float]) -> Floats:
    if unknown := sorted(set(given) - set(names.tolist())):
        raise ConfigError(f"process_factors: {unknown} are not among the processes {names.tolist()}")
    factors = np.array([given.get(name, 1.0) for name in names.tolist()], np.float64)
    if not (np.isfinite(factors) & (factors > 0)).all():
        raise ConfigError(f"process_factors must be positive, got {dict(given)}")
    return factors
