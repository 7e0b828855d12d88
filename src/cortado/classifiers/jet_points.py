"""Constituents of jets as points in a plane, each jet in a frame of its own.

The plane is that of pseudorapidity (x, to the right) and azimuth (y, upwards); azimuths are taken relative
to the hardest constituent of the jet, so that no jet is cut where they jump from π to −π. Each function makes
new points:

:func:`centred`
    the origin is the centroid, Σ pT·(x, y) / Σ pT
:func:`rotated`
    about the origin, until the principal axis is vertical: the direction in which Σ pT·(distance from the
    origin)² is largest. A jet without such a direction stays as it is.
:func:`flipped`
    mirrored, until the right half has at least as much pT as the left one, and the upper half as the lower

After all three, a jet looks the same wherever it was, however it was turned, and seen in a mirror.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from cortado.errors import InputError

Floats = npt.NDArray[np.float64]

_ROUND = 1e-12  # of the trace: from here on a jet has no principal axis


@dataclass(frozen=True, eq=False)
class JetPoints:
    """m constituents of n jets, those of a jet one after the other.

    Attributes
    ----------
    n_jets
        Number n of jets; some may have no constituents.
    jet
        (m,) the jet of each constituent, ascending.
    pt
        (m,) transverse momenta.
    x, y
        (m,) pseudorapidity and azimuth, or what they became.
    """

    n_jets: int
    jet: npt.NDArray[np.int64]
    pt: Floats
    x: Floats
    y: Floats

    @classmethod
    def of(cls, constituents: Any) -> JetPoints:
        """The points of constituents: pt, eta and phi by name, each a list a jet.

        ``constituents`` is an awkward record array of lists, or a mapping of awkward or (n, m) arrays; in the
        latter, entries with pt = 0 fill up. Raises ``InputError`` if a name is not there, lists differ in
        length, or a number is not finite, or a pt negative.
        """
        lists = {name: _lists(name, constituents) for name in ("pt", "eta", "phi")}
        counts = [np.asarray(ak.num(lists[name], axis=1)) for name in lists]
        if not all(np.array_equal(counts[0], other) for other in counts[1:]):
            raise InputError("pt, eta and phi of the constituents of every jet must be as many")
        flat = {name: _flat(name, values) for name, values in lists.items()}
        if (flat["pt"] < 0).any():
            raise InputError(f"pt of constituents must not be negative, got {flat['pt'].min():g}")
        jet = np.repeat(np.arange(len(counts[0])), counts[0])
        points = cls(len(counts[0]), jet, flat["pt"], flat["eta"], flat["phi"])
        return replace(points, y=wrapped(points.y - points.at_hardest(points.y)[jet]))

    def sums(self, values: Floats) -> Floats:
        """(n,) Σ pT · value over the constituents of each jet."""
        return np.asarray(np.bincount(self.jet, self.pt * values, self.n_jets), np.float64)

    def at_hardest(self, values: Floats) -> Floats:
        """(n,) the value of the constituent with the largest pT of each jet, 0 without one."""
        order = np.lexsort((-self.pt, self.jet))
        jets, first = np.unique(self.jet[order], return_index=True)
        result = np.zeros(self.n_jets)
        result[jets] = values[order[first]]
        return result


def wrapped(phi: Floats) -> Floats:
    """Azimuths brought into [−π, π)."""
    return (phi + np.pi) % (2 * np.pi) - np.pi


def centred(points: JetPoints) -> JetPoints:
    """Points about the centroid of their jet."""
    total = points.sums(np.ones_like(points.pt))
    x, y = (_ratio(points.sums(values), total) for values in (points.x, points.y))
    return replace(points, x=points.x - x[points.jet], y=points.y - y[points.jet])


def rotated(points: JetPoints) -> JetPoints:
    """Points with the principal axis of their jet upright."""
    xx, yy, xy = (points.sums(v) for v in (points.x**2, points.y**2, points.x * points.y))
    # Angle of the axis to the horizontal, of the larger eigenvalue of the symmetric matrix.
    angle = 0.5 * np.arctan2(2 * xy, xx - yy)
    upright = np.hypot(2 * xy, xx - yy) > _ROUND * (xx + yy)
    turn = np.where(upright, np.pi / 2 - angle, 0.0)[points.jet]
    cos, sin = np.cos(turn), np.sin(turn)
    return replace(points, x=cos * points.x - sin * points.y, y=sin * points.x + cos * points.y)


def flipped(points: JetPoints) -> JetPoints:
    """Points with the harder half of their jet to the right, and above."""
    x, y = (np.where(points.sums(np.sign(v)) < 0, -1.0, 1.0)[points.jet] * v for v in (points.x, points.y))
    return replace(points, x=x, y=y)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _lists(name: str, constituents: Any) -> ak.Array:
    names = list(constituents) if isinstance(constituents, Mapping) else ak.fields(constituents)
    if name not in names:
        raise InputError(f"constituents must have pt, eta and phi, got {sorted(names)}")
    values = ak.Array(constituents[name])
    if values.ndim != 2:
        raise InputError(f"{name} of constituents must be one list a jet, got {values.ndim} dimensions")
    return values


def _flat(name: str, values: ak.Array) -> Floats:
    flat = np.ma.filled(ak.to_numpy(ak.flatten(values, axis=1)).astype(np.float64), np.nan)
    if (bad := ~np.isfinite(flat)).any():
        raise InputError(f"{name} of constituents must be finite, {bad.sum()} values are not")
    return flat
