"""The likelihood of a workspace: Asimov data, and minima with some parameters held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.arguments import Names, checked_arguments
from cortado.errors import ConfigError, FitError, InputError
from cortado.inference.workspace import model_of

Floats = npt.NDArray[np.float64]

_TOLERANCE = 0.01  # of minuit: a tenth of its default, since q₀ of a weak signal is small itself
_POSITIVE = 0.9  # of the background of a bin, how much negative signals may take away
_MOST = 1e4
_MOST_CALLS = 100_000


def require_extra() -> None:
    """Raise ``ConfigError`` if the packages of the extra ``fit`` are not installed."""
    try:
        import cabinetry  # noqa: F401
        import iminuit  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "a fit needs the packages cabinetry and iminuit: pip install 'cortado-hep[fit]'"
        ) from error


@contextmanager
def numpy_in_pyhf() -> Iterator[None]:
    """Numpy as the backend of pyhf for as long as the context lasts; it is global there."""
    import pyhf

    backend, optimizer = pyhf.get_backend()
    pyhf.set_backend("numpy")
    try:
        yield
    finally:
        pyhf.set_backend(backend, optimizer)


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where −2 ln L is smallest: ``values`` (n) of all parameters, ``twice_nll`` there, and iminuit's object.

    The last is None if no parameter was free.
    """

    values: Floats
    twice_nll: float
    minuit: Any = None


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The likelihood of a ``pyhf.Model`` with n parameters, some of which are strengths of signals.

    Strengths may become negative in fits, as long as no bin loses its expected events: a bound at 0 would
    shorten the interval of every weak signal.
    """

    model: Any
    strengths: tuple[str, ...]

    @classmethod
    @checked_arguments
    def of(cls, workspace: Any, strengths: Names = ()) -> Likelihood:
        """The likelihood of a ``pyhf.Workspace``; without names, every normfactor is a strength.

        Raises ``ConfigError`` for a name that is no normfactor, and ``InputError`` if the workspace makes no
        model or a bin has no background, which is what is expected with strengths of 0: minuit would fail
        there.
        """
        model = model_of(workspace)
        known = [name for name, kind in model.config.modifiers if kind == "normfactor"]
        known.sort(key=model.config.par_order.index)
        if unknown := [name for name in strengths if name not in known]:
            raise ConfigError(f"a strength must be one of the normfactors {known}, got {unknown[0]!r}")
        if not known:
            raise ConfigError("a workspace must have a normfactor, the strength of a signal, got none")
        likelihood = cls(model, tuple(dict.fromkeys(strengths)) or tuple(known))
        likelihood._check_background()
        return likelihood

    def _check_background(self) -> None:
        background = self._expected({})
        for channel, place in self.model.config.channel_slices.items():
            for b in np.flatnonzero(~(background[place] > 0))[:1]:
                raise InputError(
                    f"without the signals of {', '.join(self.strengths)}, channel {channel!r} must have "
                    f"expected events in every bin, got {background[place][b]:g} in bin {b}: raise the "
                    f"minimum yield, merge bins, or name the strengths of signals, if these are others"
                )

    @property
    def names(self) -> list[str]:
        """Names of the n parameters, those of several numbers with a number in brackets."""
        return list(self.model.config.par_names)

    @property
    def places(self) -> dict[str, int]:
        """Where the strengths are among the parameters."""
        return {name: self.names.index(name) for name in self.strengths}

    def require(self, strength: str) -> None:
        """Raise ``ConfigError`` if a name is not that of a strength."""
        if strength not in self.strengths:
            raise ConfigError(f"strength must be one of {', '.join(self.strengths)}, got {strength!r}")

    def require_data(self, data: Floats) -> None:
        """Raise ``ConfigError`` if data are not one number for each bin and auxiliary measurement."""
        wanted = self.asimov(self.parameters()).shape
        if np.shape(data) != wanted or not np.isfinite(data).all():
            raise ConfigError(
                f"data must be finite, those of the {wanted[0]} bins and auxiliary measurements, got the "
                f"shape {np.shape(data)}"
            )

    def parameters(self, values: Mapping[str, float] | None = None) -> Floats:
        """(n) the nominal parameters, with strengths of 1 unless ``values`` has others."""
        chosen = np.array(self.model.config.suggested_init(), np.float64)
        for name, value in {**dict.fromkeys(self.strengths, 1.0), **(values or {})}.items():
            chosen[self.names.index(name)] = value
        return chosen

    def asimov(self, parameters: Floats) -> Floats:
        """What is expected with these parameters (n), auxiliary data included."""
        return np.asarray(self.model.expected_data(parameters))

    def twice_nll(self, parameters: Floats, data: Floats) -> float:
        """−2 ln L."""
        return float(-2 * self.model.logpdf(parameters, data)[0])

    def minimum(self, data: Floats, held: Mapping[str, float] | None = None) -> Minimum:
        """The minimum of −2 ln L with the parameters ``held`` at values of one's choice.

        Raises ``FitError`` if there is none that minuit finds.
        """
        import iminuit

        values, fixed, bounds = self.parameters(held), self.fixed.copy(), list(self.bounds)
        for name, value in (held or {}).items():
            i = self.names.index(name)
            fixed[i], bounds[i] = True, (min(bounds[i][0], value), max(bounds[i][1], value))
        if fixed.all():
            return Minimum(values, self.twice_nll(values, data))
        search = iminuit.Minuit(lambda at: self.twice_nll(at, data), values, name=self.names)
        search.fixed, search.limits = fixed, bounds
        search.errordef, search.tol = 1.0, _TOLERANCE
        for search.strategy in (0, 1, 2):  # the first is the quickest, and nearly always enough
            if search.migrad(ncall=_MOST_CALLS).valid:
                return Minimum(np.array(search.values), float(search.fval), search)
        which = ", ".join(f"{name} = {value:g}" for name, value in (held or {}).items()) or "nothing"
        raise FitError(f"a fit with {which} held did not converge in {search.nfcn} calls of the likelihood")

    @cached_property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """(n) which parameters are constant in every fit."""
        return np.array(self.model.config.suggested_fixed(), dtype=bool)

    @cached_property
    def bounds(self) -> list[tuple[float, float]]:
        """(n) lower and upper bounds of all parameters."""
        bounds = [(float(low), float(high)) for low, high in self.model.config.suggested_bounds()]
        background = self._expected({})
        for name, i in self.places.items():
            signal = self._expected({name: 1.0}) - background
            reach = background[signal > 0] / signal[signal > 0]
            # All signals together can take no bin further than to a tenth of its background.
            lowest = -_POSITIVE * float(reach.min()) / len(self.strengths) if reach.size else 0.0
            bounds[i] = (max(lowest, -_MOST), max(bounds[i][1], _MOST))
        return bounds

    def _expected(self, strengths: Mapping[str, float]) -> Floats:
        """Expected events in all bins, with strengths of 0 unless there are others."""
        parameters = self.parameters(dict.fromkeys(self.strengths, 0.0) | dict(strengths))
        return np.asarray(self.model.expected_data(parameters, include_auxdata=False))
