"""Whether a model does what training expects of it, and whether it is the one that it was."""

from __future__ import annotations

import zlib
from types import CodeType

import numpy as np

from cortado.errors import ConfigError
from cortado.models.model import Model
from cortado.models.tensorflow import tf
from cortado.points import Points

_SOME = 100
_ROUNDING = 1e-3


def check_memberships(model: Model, points: Points) -> None:
    """``ConfigError`` unless the memberships of some points are (n, K) numbers in rows that sum to 1."""
    place = points.place[:_SOME]
    name = f"{type(model).__name__}.memberships"
    try:
        found = np.asarray(model.memberships(tf.constant(place, tf.float64), tf.ones((), tf.float64)))
    except Exception as error:  # a user's code can raise anything
        raise ConfigError(
            f"{name}(u, sharpness) must take float64 tensors of shapes {place.shape} and (): "
            f"{type(error).__name__}: {error}"
        ) from error
    if found.shape != (len(place), model.n_categories):
        raise ConfigError(
            f"{name} must give the shape (n, n_categories), here {(len(place), model.n_categories)}, "
            f"got {found.shape}"
        )
    sums = found.sum(axis=1)
    wrong = np.isfinite(sums) & (np.abs(sums - 1) > _ROUNDING)
    if wrong.any():
        raise ConfigError(f"{name} must give rows that sum to 1, got a sum of {sums[wrong][0]:.6g}")


def code_of(model: Model) -> str:
    """A checksum of the code of the memberships: a model of one's own can change under the same name."""
    code = getattr(type(model).memberships, "__code__", None)
    return f"{zlib.crc32(repr(_parts(code)).encode()):08x}" if isinstance(code, CodeType) else ""


def _parts(code: CodeType) -> tuple[object, ...]:
    constants = tuple(_parts(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    return (code.co_code, code.co_names, constants)
