"""Expected discovery significance of a fit with nuisance parameters, profiled where the signal is absent.

    q₀ = −2 ln [L(0, θ̂̂) / L(μ̂, θ̂)],  Z = √q₀

(Cowan, Cranmer, Gross and Vitells, arXiv:1007.1727, eq. 12), for Asimov data, which are what is expected at
strengths of 1, so that μ̂ = 1 and θ̂ = 0. L is the likelihood of a binned fit: Poisson in every category,
with a Gaussian constraint of unit width on every nuisance parameter and, for the statistical uncertainty of
the simulation, one factor γ_k a category on all processes, constrained by √Σw²/Σw of their sum: a
``staterror`` of pyhf (Barlow and Beeston in the simpler form of Conway, arXiv:1103.0354). The best γ_k for
given ν_k is the positive root of

    γ² + (ν δ² − 1) γ − n δ² = 0.

θ̂̂ is found by Newton steps, each the best of some lengths and of two curvatures: the exact one, and that
without second derivatives of ν, which always leads down; a training takes a fixed number
of them, a value that is quoted as many as it takes. As q₀ has its minimum there, its derivatives
with respect to the yields are those at fixed θ̂̂.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortado.objectives.arrays import array_namespace, repeated, solved, without_gradient
from cortado.objectives.deviance import deviance
from cortado.objectives.expected import Expectation
from cortado.objectives.significance import InFit
from cortado.objectives.yields import Yields

_STEPS, _MOST_STEPS = 12, 1_000  # in a training, and where a value is quoted
_SMALL_STEP = 1e-9
_LENGTHS = np.array([10.0, 3.0, 1.0, 0.4, 0.1, 0.02, 0.0])[:, None, None]
_LEAST = 1e-200  # expected events, of a trial that expects none or fewer
_LEAST_CURVATURE = 1e-3
_RIDGE = 1e-12


@dataclass(frozen=True, repr=False, init=False)
class ProfiledSignificance(InFit):
    """Expected significance of one or more signals, √q₀ of a fit with nuisance parameters.

    Without nuisances and without the uncertainty of the simulation, and with the other signals fixed, it is
    that of :class:`Asimov`.

    Parameters
    ----------
    signals, combine, weights
        As for :class:`Asimov`.
    nuisances
        Names of the nuisance parameters whose variations the yields hold.
    simulation
        Whether the statistical uncertainty of the simulation is part of the fit.
    other_signals
        Whether the strengths of the other signals are "floating" in the fit, or fixed as "background".
    """

    def squares(self, yields: Yields) -> Any:
        """(S,) q₀ of every signal, of yields taken as they are."""
        expected = Expectation.of(yields, self.signals, self.nuisances)
        variance = expected.variance if self.simulation else 0 * expected.variance
        fit = _Fit(expected, variance, self.other_signals == "floating")
        return fit.deviance(without_gradient(fit.best()))


@dataclass(frozen=True, eq=False)
class _Fit:
    """S fits to Asimov data side by side, in each of which another signal is absent.

    Parameters are (S, S + N): strengths and nuisance parameters.
    """

    expected: Expectation
    variance: Any
    floating: bool

    @property
    def _n_signals(self) -> int:
        return int(self.expected.nominal.shape[0]) - 1

    @property
    def _n_nuisances(self) -> int:
        return int(self.expected.slope.shape[0])

    @property
    def _start(self) -> Any:
        """All strengths 1 but that of the absent signal, all nuisance parameters 0."""
        present = 1 - np.eye(self._n_signals)
        start = np.concatenate([present, np.zeros((self._n_signals, self._n_nuisances))], axis=1)
        return array_namespace(self.expected.nominal).asarray(start, dtype=np.float64)

    @property
    def _free(self) -> Any:
        """(S, S + N) 1 for parameters that are fitted."""
        strengths = self.floating * (1 - np.eye(self._n_signals))
        return np.concatenate([strengths, np.ones((self._n_signals, self._n_nuisances))], axis=1)

    @property
    def _constrained(self) -> Any:
        """(S + N,) 1 for parameters with a constraint."""
        return np.concatenate([np.zeros(self._n_signals), np.ones(self._n_nuisances)])

    def best(self) -> Any:
        """(S, S + N) the parameters of the largest likelihood."""
        if not self._free.any():
            return self._start
        return repeated(self._better, self._start, _STEPS, _MOST_STEPS, _SMALL_STEP)

    def _better(self, parameters: Any) -> Any:
        """The best of the ends of some steps, of which one has no length."""
        xp = array_namespace(parameters)
        steps = xp.concatenate([_LENGTHS * step for step in self._newton(parameters)])
        trials = parameters + xp.where(xp.isfinite(steps), steps, 0.0)
        found = self.deviance(trials)
        best = xp.argmin(xp.where(xp.isnan(found), np.inf, found), axis=0)
        chosen = xp.asarray(best == np.arange(2 * len(_LENGTHS))[:, None], dtype=np.float64)
        return xp.sum(chosen[..., None] * trials, axis=0)

    def deviance(self, parameters: Any) -> Any:
        """(…, S) −2 ln of the likelihood of parameters (…, S, S + N) over the largest one."""
        xp = array_namespace(parameters)
        n, relative = self.expected.total, self._relative_variance
        nu = self._nu(parameters)
        gamma, _ = _best_factor(nu, n, relative)
        mean = gamma * nu
        in_categories = mean * deviance((n - mean) / mean) + relative * xp.square(n / gamma - nu)
        pulls = xp.square(parameters) * self._constrained
        return xp.sum(xp.where(self.expected.usable, in_categories, 0.0), axis=-1) + xp.sum(pulls, axis=-1)

    def _newton(self, parameters: Any) -> tuple[Any, Any]:
        """(S, S + N) steps with the exact curvature, and with one that is positive."""
        xp = array_namespace(parameters)
        n, relative = self.expected.total, self._relative_variance
        nu = self._nu(parameters)
        gamma, root = _best_factor(nu, n, relative)
        # Of −ln L: γ has its best value, so that its own change matters in the second derivative alone.
        first = xp.where(self.expected.usable, gamma - n / nu, 0.0)
        poisson = n / xp.square(nu)
        second = xp.where(self.expected.usable, poisson - gamma * relative / root, 0.0)
        slopes = self.expected.slopes(*self._parted(parameters)) * self._free[..., None]
        gradient = xp.sum(slopes * first[..., None, :], axis=-1) + parameters * self._constrained
        bends = self.expected.curvature_of(*self._parted(parameters), first)
        both_free = self._free[..., None] * self._free[..., None, :]
        exact = _product(slopes, second) + bends * both_free
        positive = _product(slopes, xp.maximum(second, _LEAST_CURVATURE * poisson))
        right = -(gradient * self._free)[..., None]
        return self._step(exact, right), self._step(positive, right)

    def _step(self, curvature: Any, right: Any) -> Any:
        diagonal = array_namespace(curvature).einsum("...ii->...i", curvature)
        held = self._constrained + (1 - self._free) + _RIDGE * diagonal + 1e-300
        return solved(curvature + _diagonal(held), right)[..., 0]

    @property
    def _relative_variance(self) -> Any:
        """(K,) δ² of the factor γ."""
        return self.variance / array_namespace(self.variance).square(self.expected.total)

    def _nu(self, parameters: Any) -> Any:
        xp = array_namespace(parameters)
        nu = xp.maximum(self.expected.at(*self._parted(parameters)), _LEAST)
        return xp.where(self.expected.usable, nu, 1.0)

    def _parted(self, parameters: Any) -> tuple[Any, Any]:
        return parameters[..., : self._n_signals], parameters[..., self._n_signals :]


def _product(slopes: Any, weight: Any) -> Any:
    xp = array_namespace(slopes)
    return xp.matmul(slopes * weight[..., None, :], xp.swapaxes(slopes, -1, -2))


def _diagonal(values: Any) -> Any:
    """(…, m, m) matrices with these values (…, m) on their diagonal."""
    return values[..., None] * np.eye(values.shape[-1])


def _best_factor(nu: Any, n: Any, relative: Any) -> tuple[Any, Any]:
    """The best γ for expected ν and observed n, and the root 2 γ + ν δ² − 1 of the quadratic equation."""
    xp = array_namespace(nu)
    half = 1 - nu * relative
    root = xp.sqrt(xp.square(half) + 4 * n * relative)
    # Of two forms, the one without a difference of numbers that are nearly the same.
    above = half > 0
    small = 2 * n * relative / xp.where(above, 1.0, root - half)
    return xp.where(above, (half + root) / 2, small), root
