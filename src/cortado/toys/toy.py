"""A toy: processes with latent Gaussians, what is observed of their events, and how often they happen.

Every process is a Gaussian in L latent coordinates with unit variances and one covariance between any two of
them. Each coordinate of an event is smeared by a factor drawn from Normal(1, noise); the scores are then the
densities of the classes *without* the smearing, taken at the smeared point, normalised to sum 1:

    pᵢ ∝ N(x; μᵢ) of signal i,  p_B ∝ Σ_b σ_b N(x; μ_b) / Σ_b σ_b of all backgrounds b

so they play the part of the softmax output of a classifier that does not know the detector. Weights carry
the full luminosity: cross section × luminosity / events of the process.

Every process has random streams of its own, made from (seed, place of the process among the means): they do
not change with the other processes, and their first n events do not change with the number asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cortado.errors import ConfigError

Floats = NDArray[np.float64]

LUMINOSITY = 100.0
"""Integrated luminosity, 1/pb, where a toy names no other."""

COVARIANCE = 0.2
"""Covariance between any two latent coordinates, where a toy names no other; every variance is 1."""

NOISE = 0.3
"""Standard deviation of the factor, of mean 1, that smears each latent coordinate, likewise."""

MASS_RANGE = (200.0, 3000.0)
"""Where the masses of a toy matter, GeV: spectra of backgrounds begin at its lower end."""

MASS_RESOLUTION = 0.05
"""Standard deviation of the mass of a resonance, relative to its place."""

_OBSERVED = ("logratio", "logit", "identity")
_BLOCK = 100_000  # events made at a time
_EVENT_BITS = 40  # an event number is (process, number within the process)
_MASS = 1  # the second stream of a process


@dataclass(frozen=True)
class ToyEvents:
    """Events of one process."""

    scores: NDArray[np.float32]
    """(n, D) the features, columns `Toy.names`; float32, as a network would write them."""
    weight: Floats
    """(n,) complete weights; they add up to cross section × luminosity."""
    event: NDArray[np.uint64]
    """(n,) event numbers, unique over all processes of a toy."""

    def __len__(self) -> int:
        return len(self.weight)


def arrays(events: Mapping[str, ToyEvents]) -> dict[str, tuple[NDArray[np.float32], Floats]]:
    """Per process the features (n, D) and weights (n,): what `Sample.from_arrays` takes."""
    return {process: (part.scores, part.weight) for process, part in events.items()}


@dataclass(frozen=True, eq=False)
class Toy:
    """A toy by its numbers. Raises `ConfigError` for numbers that make none.

    Attributes
    ----------
    name
        What tables call it.
    means
        Mean (L,) of the latent Gaussian of each process. The place of a process here decides its random
        streams and event numbers; toys with the same means use the same ones. A process without a cross
        section does not happen.
    cross_sections
        pb, of each process.
    signals
        The processes that are a class each; all others are the background.
    observed
        What an event shows: the scores of all classes ("logratio", by the coordinates that they are for),
        the score of the only signal ("logit"), or its smeared latent coordinates ("identity").
    masses
        GeV, of each process where a last feature "mass" is wanted, independent of the others: the place of
        a resonance for a signal, with Gaussian width `MASS_RESOLUTION`, and the mean excess over the lower
        end of `MASS_RANGE` for a background, which falls exponentially.
    luminosity
        1/pb.
    covariance
        Between any two latent coordinates.
    noise
        Standard deviation of the factors that smear latent coordinates.
    """

    name: str
    means: Mapping[str, tuple[float, ...]]
    cross_sections: Mapping[str, float]
    signals: tuple[str, ...]
    observed: Literal["logratio", "logit", "identity"] = "logratio"
    masses: Mapping[str, float] = field(default_factory=dict)
    luminosity: float = LUMINOSITY
    covariance: float = COVARIANCE
    noise: float = NOISE

    def __post_init__(self) -> None:
        self._check_processes()
        self._check_numbers()

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """The processes that are no signal."""
        return tuple(process for process in self.cross_sections if process not in self.signals)

    @property
    def processes(self) -> tuple[str, ...]:
        """All processes that happen, signals first."""
        return self.signals + self.backgrounds

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features."""
        return self._observed_names + (("mass",) if self.masses else ())

    @property
    def coordinates(self) -> str | list[dict[str, Any]]:
        """The coordinates of the features, as `Sample.from_arrays` and `Features.declare` take them."""
        if not self.masses:
            return self.observed
        return [
            {"kind": self.observed, "features": self._observed_names},
            {"kind": "linear", "features": ("mass",), "range": MASS_RANGE},
        ]

    def events(
        self, seed: int, n_signal: int = 100_000, n_background: int = 1_000_000
    ) -> dict[str, ToyEvents]:
        """Events of each process, as many as `event_counts` says and with the errors that it raises."""
        counts = self.event_counts(n_signal, n_background)
        return {process: self.events_of(process, seed, n) for process, n in counts.items()}

    def events_of(self, process: str, seed: int, n: int) -> ToyEvents:
        """The first n events of one process. Raises `ConfigError` without the process or without events."""
        if process not in self.processes:
            raise ConfigError(f"process must be one of {list(self.processes)}, got {process!r}")
        if n < 1:
            raise ConfigError(f"n must be at least 1, got {n}")
        blocks = self._latent_points(process, seed, n)
        columns = [np.concatenate([self._observe(x).astype(np.float32) for x in blocks])]
        if self.masses:
            columns.append(self._masses(process, seed, n).astype(np.float32)[:, None])
        first = self._place(process) << _EVENT_BITS
        return ToyEvents(
            scores=np.concatenate(columns, axis=1),
            weight=np.full(n, self.cross_sections[process] * self.luminosity / n),
            event=np.arange(first, first + n, dtype=np.uint64),
        )

    def event_counts(self, n_signal: int = 100_000, n_background: int = 1_000_000) -> dict[str, int]:
        """Number of events of each process: `n_signal` per signal, `n_background` shared by cross section.

        Shares are rounded such that they add up to `n_background` exactly. Raises `ConfigError` where a
        process would be left without events.
        """
        if n_signal < 1:
            raise ConfigError(f"n_signal must be at least 1, not {n_signal}")
        shares = self._background_cross_sections
        edges = np.rint(np.cumsum(shares) * (n_background / shares.sum())).astype(np.int64)
        background = dict(zip(self.backgrounds, np.diff(edges, prepend=0).tolist(), strict=True))
        empty = [name for name, n in background.items() if n < 1]
        if empty:
            raise ConfigError(f"n_background = {n_background} leaves no events for {', '.join(empty)}")
        return dict.fromkeys(self.signals, n_signal) | background

    def _check_processes(self) -> None:
        lengths = sorted({len(mean) for mean in self.means.values()})
        if len(lengths) != 1 or lengths[0] < 1:
            raise ConfigError(f"means must be of one length, at least 1, got lengths {lengths}")
        if unknown := sorted(set(self.cross_sections) - set(self.means)):
            raise ConfigError(f"cross_sections must be of processes that have a mean, got {unknown}")
        known = set(self.signals) <= set(self.cross_sections)
        if not known or not self.signals or len(set(self.signals)) < len(self.signals):
            raise ConfigError(
                f"signals must be different ones of {list(self.cross_sections)}, at least one, "
                f"got {self.signals}"
            )
        if not self.backgrounds:
            raise ConfigError(f"signals must leave a process as background, got {self.signals}")
        if self.masses and set(self.masses) != set(self.processes):
            raise ConfigError(
                f"masses must be those of all of {list(self.processes)}, got {list(self.masses)}"
            )

    def _check_numbers(self) -> None:
        if not np.isfinite([*self.means.values()]).all():
            raise ConfigError(f"means must be finite, got {dict(self.means)}")
        if self.observed not in _OBSERVED:
            raise ConfigError(f"observed must be one of {_OBSERVED}, got {self.observed!r}")
        if self.observed == "logit" and len(self.signals) > 1:
            raise ConfigError(f"observed must not be 'logit' with more signals than one, got {self.signals}")
        for numbers in ("cross_sections", "masses"):
            if bad := {process: x for process, x in getattr(self, numbers).items() if not 0 < x < np.inf}:
                raise ConfigError(f"{numbers} must be positive and finite, got {bad}")
        if not 0 < self.luminosity < np.inf:
            raise ConfigError(f"luminosity must be positive and finite, got {self.luminosity}")
        if not 0 <= self.covariance < 1:
            raise ConfigError(f"covariance must be at least 0 and below 1, got {self.covariance}")
        if not 0 <= self.noise < np.inf:
            raise ConfigError(f"noise must be at least 0 and finite, got {self.noise}")

    @property
    def _observed_names(self) -> tuple[str, ...]:
        if self.observed == "identity":
            return tuple(f"x{i}" for i in range(1, self._latent_dimensions + 1))
        scores = (*(f"p_{name}" for name in self.signals), "p_background")
        return scores if self.observed == "logratio" else scores[:1]

    @property
    def _latent_dimensions(self) -> int:
        return len(next(iter(self.means.values())))

    @property
    def _background_cross_sections(self) -> Floats:
        return np.array([self.cross_sections[name] for name in self.backgrounds])

    @property
    def _covariance_matrix(self) -> Floats:
        size = self._latent_dimensions
        return np.full((size, size), self.covariance) + (1 - self.covariance) * np.eye(size)

    def _latent_points(self, process: str, seed: int, n: int) -> Iterator[Floats]:
        """Blocks (≤ _BLOCK, L) of smeared latent points, n in all."""
        random = self._random(process, seed)
        mean = np.array(self.means[process])
        size = len(mean)
        lower = np.asarray(np.linalg.cholesky(self._covariance_matrix), dtype=np.float64)
        for start in range(0, n, _BLOCK):
            normal = random.standard_normal((min(_BLOCK, n - start), 2 * size))
            yield (_combine(normal[:, :size], lower.T) + mean) * (1 + self.noise * normal[:, size:])

    def _masses(self, process: str, seed: int, n: int) -> Floats:
        """(n,) masses, GeV."""
        random = self._random(process, seed, _MASS)
        mass = self.masses[process]
        if process in self.signals:
            return mass * (1 + MASS_RESOLUTION * random.standard_normal(n))
        return MASS_RANGE[0] + mass * random.standard_exponential(n)

    def _random(self, process: str, seed: int, *stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(self._place(process), *stream)))

    def _place(self, process: str) -> int:
        return list(self.means).index(process)

    def _observe(self, x: Floats) -> Floats:
        """What is seen of events at smeared latent points x (n, L), without the mass: (n, D)."""
        if self.observed == "identity":
            return x
        scores = _softmax(self._class_log_densities(x))
        return scores if self.observed == "logratio" else scores[:, :1]

    def _class_log_densities(self, x: Floats) -> Floats:
        """(n, C) log-densities of the signals and the background at x (n, L), up to a term of the event.

        With one covariance C for all, log N(x; μ) = xᵀC⁻¹μ − μᵀC⁻¹μ/2 + (a term of x alone) is linear in x.
        """
        means = np.array([self.means[process] for process in self.processes])
        slopes = np.linalg.solve(self._covariance_matrix, means.T)
        logs = _combine(x, slopes) - (means * slopes.T).sum(axis=1) / 2
        n_signals, shares = len(self.signals), self._background_cross_sections
        background = logs[:, n_signals:] + np.log(shares / shares.sum())
        top = background.max(axis=1, keepdims=True)
        mean = top + np.log(np.exp(background - top).sum(axis=1, keepdims=True))
        return np.concatenate([logs[:, :n_signals], mean], axis=1)


def _combine(x: Floats, matrix: Floats) -> Floats:
    """Product x @ matrix, x (n, L), whose rows do not depend on n; BLAS may round differently with n."""
    product = x[:, :1] * matrix[0]
    for i in range(1, len(matrix)):
        product += x[:, i : i + 1] * matrix[i]
    return product


def _softmax(logs: Floats) -> Floats:
    scores: Floats = np.exp(logs - logs.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
