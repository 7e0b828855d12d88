"""The expected upper limit on a strength: CLs, arXiv:1007.1727, sections 3.7 and 4.3."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.stats import norm

from cortado.arguments import checked_arguments
from cortado.errors import ConfigError, FitError
from cortado.inference.likelihood import Likelihood

Floats = npt.NDArray[np.float64]

BAND = (-2, -1, 0, 1, 2)
_POINTS = 16
_DOUBLINGS = 40


@dataclass(frozen=True, eq=False)
class UpperLimit:
    """The strength excluded at a confidence ``level`` if there is no such signal.

    ``expected`` (5) are its median and what it is 1 and 2 standard deviations below and above, from −2 to +2.
    ``scanned`` (m) are the strengths of the scan, ``cls`` (5, m) the CLs there.
    """

    level: float
    expected: Floats
    scanned: Floats
    cls: Floats


@checked_arguments
def upper_limit(likelihood: Likelihood, strength: str, level: float = 0.95) -> UpperLimit:
    """The expected limit by a scan of q_μ of the Asimov data without the signal, the other strengths free.

    If √q_μ of these data is x, then CLs is [1 − Φ(x − N)] / Φ(N) where the data are N standard deviations
    from their median, so that the limit is where x = N + Φ⁻¹(1 − (1 − level) Φ(N)). x is nearly proportional
    to μ, and the scan is interpolated.

    Raises ``FitError`` if a fit does not converge, or no strength is excluded, and ``ConfigError`` for an
    unknown strength and for a level that is not between 0 and 1.
    """
    likelihood.require(strength)
    if not 0 < level < 1:
        raise ConfigError(f"level must be between 0 and 1, like 0.95, got {level!r}")
    n_sigma = np.array(BAND, np.float64)
    wanted = n_sigma + norm.isf((1 - level) * norm.cdf(n_sigma))
    scanned = np.linspace(0.0, _where_it_ends(likelihood, strength, float(wanted.max())), _POINTS)
    roots = np.array([_root_q(likelihood, strength, mu) for mu in scanned])
    if np.any(np.diff(roots) <= 0):
        raise FitError(f"the scan of {strength} does not rise, so that a fit in it must have failed")
    return UpperLimit(
        level,
        PchipInterpolator(roots, scanned)(wanted),
        scanned,
        norm.sf(roots - n_sigma[:, None]) / norm.cdf(n_sigma)[:, None],
    )


def _where_it_ends(likelihood: Likelihood, strength: str, wanted: float) -> float:
    """A strength at which √q_μ is at least what is wanted, and less at half of it."""
    end = 1.0
    for _ in range(_DOUBLINGS):
        if _root_q(likelihood, strength, end) < wanted:
            end *= 2
        elif _root_q(likelihood, strength, end / 2) >= wanted:
            end /= 2
        else:
            return end
    raise FitError(f"there is no upper limit on {strength}: no strength up to {end:g} is excluded")


def _root_q(likelihood: Likelihood, strength: str, mu: float) -> float:
    """√q_μ of Asimov data without the signal, whose best fit is what they were made with."""
    truth = likelihood.parameters({strength: 0.0})
    data = likelihood.asimov(truth)
    found = likelihood.minimum(data, {strength: mu})
    return math.sqrt(max(found.twice_nll - likelihood.twice_nll(truth, data), 0.0))
