"""Toy jets: those of a heavy resonance, with two prongs, and of a parton, with one.

They are made in steps that give what matters to a classifier its shape, and no more:

- A jet has pT from a falling spectrum. A resonance of mass `MASS`, smeared by `WIDTH`, decays in its rest
  frame into two massless prongs in any direction; the boost gives their pT and distance. A parton splits in
  two with the soft and collinear enhancement dz/z · dθ/θ, so that most of these jets have one prong.
- A prong becomes constituents that share its pT at random, with transverse momenta relative to it that do not
  depend on the share: soft ones are far from it.
- A few soft constituents anywhere in the jet stand for the underlying event.

Each jet is centred somewhere in |η| < 2 at a random azimuth. Constituents have the mass of a charged pion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from cortado.classifiers.jet_points import wrapped
from cortado.classifiers.substructure import jet_momenta, n_subjettiness
from cortado.errors import checked_integer

Floats = NDArray[np.float64]

MASS = 85.0
"""Mass of the resonance, GeV; that of its jets is some GeV more, as prongs have masses, too."""

WIDTH = 0.08
"""Its relative standard deviation, mostly that of a detector."""

RADIUS = 0.8
"""Distance from the axis up to which constituents belong to a jet."""

JET_OBSERVABLES = ("jet0.pt", "jet0.mass", "jet0.tau21", "jet0.n_constituents")
"""Names of the columns of `ToyJets.observables`."""

_PT = (350.0, 450.0)  # GeV
_SLOPE = 5.0  # of the spectrum, −d log N / d log pT
_PION = 0.13957  # GeV
_KT = 0.35  # GeV, mean transverse momentum relative to a prong
_WIDEST = 0.5  # distance within a prong
_MEAN_CONSTITUENTS = 18.0
_SOFTEST = 0.03  # share of pT of the softer prong of a parton
_CLOSEST = 0.02  # distance of its prongs
_MEAN_SOFT = 5.0
_SOFT_PT = 0.8  # GeV


@dataclass(frozen=True, eq=False)
class ToyJets:
    """n jets of one kind."""

    constituents: ak.Array
    """(n, var) records with pt, eta, phi and mass; GeV."""
    observables: NDArray[np.float32]
    """(n, 4) pT, mass, τ₂/τ₁ and number of constituents, columns `JET_OBSERVABLES`."""
    event: NDArray[np.uint64]
    """(n,) event numbers, unique over both kinds."""

    def __len__(self) -> int:
        return len(self.event)


Prongs = tuple[Floats, Floats, Floats]
"""(n, 2) each: share of the jet's pT, and place relative to its axis in x and y."""

MakeProngs = Callable[[np.random.Generator, Floats], Prongs]


def boosted_jets(seed: int, n_resonance: int = 5_000, n_parton: int = 5_000) -> dict[str, ToyJets]:
    """Jets of a "parton" and of a "resonance", in this order, so that the resonance is the last class.

    The same seed gives the same jets, each kind for itself. Raises `ConfigError` unless there is at least one
    of each.
    """
    checked_integer("seed", seed, 0)
    kinds = (("parton", _parton, n_parton), ("resonance", _resonance, n_resonance))
    return {
        name: _jets(
            np.random.default_rng([seed, number]), prongs, checked_integer(f"n_{name}", n, 1), number << 40
        )
        for number, (name, prongs, n) in enumerate(kinds)
    }


def _jets(random: np.random.Generator, prongs: MakeProngs, n: int, first: int) -> ToyJets:
    pt = _PT[0] * (1 - random.random(n) * (1 - (_PT[1] / _PT[0]) ** (1 - _SLOPE))) ** (1 / (1 - _SLOPE))
    constituents = _fragmented(random, pt, prongs(random, pt))
    momenta = jet_momenta(constituents)
    tau1, tau2 = (n_subjettiness(constituents, k, RADIUS) for k in (1, 2))
    number = ak.to_numpy(ak.num(constituents))
    observables = np.column_stack([momenta.pt, momenta.mass, tau2 / tau1, number]).astype(np.float32)
    return ToyJets(constituents, observables, np.arange(first, first + n, dtype=np.uint64))


def _resonance(random: np.random.Generator, pt: Floats) -> Prongs:
    """A decay in two: with β = p/E, shares z = (1 ± β cos θ*)/2, and a distance of m / (pT √(z(1 − z)))."""
    mass = MASS * np.maximum(random.normal(1.0, WIDTH, len(pt)), 0.1)
    beta = pt / np.hypot(pt, mass)
    z = (1 + beta * random.uniform(-1, 1, len(pt))) / 2
    return _pair(random, z, mass / (pt * np.sqrt(z * (1 - z))))


def _parton(random: np.random.Generator, pt: Floats) -> Prongs:
    """A splitting in two with dz/z · dθ/θ."""
    z = _SOFTEST * (0.5 / _SOFTEST) ** random.random(len(pt))
    return _pair(random, z, _CLOSEST * (RADIUS / _CLOSEST) ** random.random(len(pt)))


def _pair(random: np.random.Generator, z: Floats, distance: Floats) -> Prongs:
    """Two prongs in a random direction, with shares z and 1 − z, about their centre of pT."""
    direction = random.uniform(-np.pi, np.pi, len(z))
    far = np.column_stack([1 - z, -z]) * distance[:, None]
    return np.column_stack([z, 1 - z]), far * np.cos(direction)[:, None], far * np.sin(direction)[:, None]


def _fragmented(random: np.random.Generator, pt: Floats, prongs: Prongs) -> ak.Array:
    """Constituents of prongs, and soft ones, that are within the radius of the jet; at least one a jet."""
    shares, x, y = (values.reshape(-1) for values in prongs)
    n = len(pt)
    # A prong with a small share of the jet has fewer.
    counts = 1 + random.poisson(_MEAN_CONSTITUENTS * np.sqrt(shares))
    prong = np.repeat(np.arange(2 * n), counts)
    part = random.gamma(0.5, size=len(prong)) + 1e-6
    part /= np.bincount(prong, part, minlength=2 * n)[prong]
    part *= (shares * np.repeat(pt, 2))[prong]
    distance = random.exponential(_KT, len(prong)) / part
    distance /= 1 + distance / _WIDEST
    angle = random.uniform(-np.pi, np.pi, len(prong))
    soft = np.repeat(np.arange(n), random.poisson(_MEAN_SOFT, n))
    away, around = RADIUS * np.sqrt(random.random(len(soft))), random.uniform(-np.pi, np.pi, len(soft))
    jet = np.concatenate([prong // 2, soft])
    found_pt = np.concatenate([part, random.exponential(_SOFT_PT, len(soft))])
    found_x = np.concatenate([x[prong] + distance * np.cos(angle), away * np.cos(around)])
    found_y = np.concatenate([y[prong] + distance * np.sin(angle), away * np.sin(around)])
    hardest = np.zeros(n)
    np.maximum.at(hardest, jet, found_pt)
    kept = (np.hypot(found_x, found_y) < RADIUS) | (found_pt == hardest[jet])
    order = np.lexsort((-found_pt, jet))
    order = order[kept[order]]
    eta, phi = random.uniform(-2, 2, n), random.uniform(-np.pi, np.pi, n)
    columns = {
        "pt": found_pt[order],
        "eta": found_x[order] + eta[jet[order]],
        "phi": wrapped(found_y[order] + phi[jet[order]]),
        "mass": np.full(len(order), _PION),
    }
    return ak.unflatten(ak.zip(columns), np.bincount(jet[order], minlength=n))
