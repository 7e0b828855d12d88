"""The toys: that of arXiv:2601.07756, two rare signals over five backgrounds, and others to compare with.

What holds for one toy alone is of no use. The others differ from it in means, smearing, cross sections, and
in the number of signals and of coordinates; in two of them the discriminant is not, or not only, made of
scores. Their numbers were written down once and follow no rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from cortado.toys.toy import Toy, ToyEvents

T = TypeVar("T")

MEANS: Mapping[str, tuple[float, float, float]] = MappingProxyType(
    {
        "signal1": (1.5, -1.0, -1.0),
        "signal2": (-1.0, 1.5, -1.0),
        "bkg1": (-0.5, -0.5, 1.0),
        "bkg2": (0.5, -0.5, 0.8),
        "bkg3": (0.5, 0.5, -0.6),
        "bkg4": (-0.5, 1.0, -0.4),
        "bkg5": (-0.5, 0.5, -0.2),
    }
)
"""Mean of the latent Gaussian of each process of the three-class toy."""

CROSS_SECTIONS: Mapping[str, float] = MappingProxyType(
    {"signal1": 0.5, "signal2": 0.1, "bkg1": 100.0, "bkg2": 80.0, "bkg3": 50.0, "bkg4": 20.0, "bkg5": 10.0}
)
"""Cross section of each of them, pb: 50, 10 and 26 000 events at `LUMINOSITY`."""

SIGNALS = ("signal1", "signal2")

THREE_CLASS = Toy("three classes", MEANS, CROSS_SECTIONS, SIGNALS)
"""The toy of arXiv:2601.07756."""

PROCESSES = THREE_CLASS.processes
BACKGROUNDS = THREE_CLASS.backgrounds
SCORES = THREE_CLASS.names
"""Names of its three scores, in the order of the columns and as branches of the ntuples."""

ONE_DIMENSIONAL = replace(
    THREE_CLASS,
    name="one score",
    cross_sections={process: CROSS_SECTIONS[process] for process in ("signal1", *BACKGROUNDS)},
    signals=("signal1",),
    observed="logit",
)
"""The same events without signal2. With r the likelihood ratio of signal1 to background, their score is
r / (1 + r) = p_signal1 / (p_signal1 + p_background) of the three-class toy."""


def _numbered(signals: Sequence[T], backgrounds: Sequence[T]) -> dict[str, T]:
    """Values of signal1, signal2 …, and of bkg1, bkg2 …"""
    named = {f"signal{i}": value for i, value in enumerate(signals, 1)}
    return named | {f"bkg{i}": value for i, value in enumerate(backgrounds, 1)}


FAMILY: tuple[Toy, ...] = (
    ONE_DIMENSIONAL,
    THREE_CLASS,
    Toy(
        "more noise",
        means=_numbered(
            [(2.0, -0.6, 0.4), (-0.8, 1.8, 0.9)],
            [(-0.4, -0.7, 0.5), (0.6, 0.1, -1.1), (0.3, 0.8, 0.2), (-1.0, 0.2, -0.3), (0.1, -0.2, 1.2)],
        ),
        cross_sections=CROSS_SECTIONS,
        signals=SIGNALS,
        noise=0.6,
    ),
    replace(
        THREE_CLASS,
        name="rarer signals",
        cross_sections=_numbered([0.05, 0.01], [5.0, 300.0, 20.0, 2.0, 8.0]),
        luminosity=3000.0,
    ),
    replace(
        THREE_CLASS,
        name="similar signals",
        means={**MEANS, "signal1": (1.2, -0.8, -1.0), "signal2": (0.9, -1.2, -0.6)},
        cross_sections={**CROSS_SECTIONS, "signal1": 0.6, "signal2": 0.4},
    ),
    Toy(
        "four classes",
        means=_numbered(
            [(1.4, -0.7, -0.9, 0.3), (-0.8, 1.5, -0.4, -0.9), (-0.5, -1.1, 1.6, 0.8)],
            [(-0.3, -0.4, -0.2, 0.9), (0.6, 0.2, 0.5, -0.4), (0.1, 0.7, -0.8, 0.5), (-0.9, -0.3, 0.2, -0.6)],
        ),
        cross_sections=_numbered([0.8, 0.4, 0.2], [120.0, 60.0, 30.0, 15.0]),
        signals=("signal1", "signal2", "signal3"),
        noise=0.2,
    ),
    Toy(
        "five classes",
        means=_numbered(
            [
                (1.3, -0.6, -0.8, 0.4, -0.2),
                (-0.7, 1.4, -0.3, -0.9, 0.5),
                (-0.4, -1.0, 1.5, 0.6, -0.8),
                (0.2, 0.5, -1.1, 1.6, 0.9),
            ],
            [
                (-0.3, -0.5, 0.1, -0.2, 0.7),
                (0.5, 0.3, 0.4, -0.6, -0.3),
                (0.1, 0.6, -0.5, 0.2, -0.9),
                (-0.8, -0.1, 0.3, 0.4, 0.1),
                (0.4, -0.9, -0.2, -0.5, 0.2),
                (-0.2, 0.2, 0.8, 0.9, -0.4),
            ],
        ),
        cross_sections=_numbered([1.0, 0.6, 0.4, 0.2], [90.0, 70.0, 40.0, 20.0, 10.0, 5.0]),
        signals=("signal1", "signal2", "signal3", "signal4"),
        covariance=0.1,
    ),
    Toy(
        "two observables",
        means=_numbered([(1.6, -1.2)], [(-0.6, -0.4), (0.4, 0.9), (-0.9, 0.7)]),
        cross_sections=_numbered([0.4], [80.0, 50.0, 20.0]),
        signals=("signal1",),
        observed="identity",
        covariance=0.4,
    ),
    Toy(
        "scores and mass",
        means=_numbered([(1.1, -0.7), (-0.6, 1.3)], [(-0.4, -0.5), (0.5, 0.2), (-0.1, 0.6)]),
        cross_sections=_numbered([0.4, 0.1], [60.0, 30.0, 10.0]),
        signals=SIGNALS,
        masses=_numbered([600.0, 1200.0], [150.0, 250.0, 400.0]),
    ),
)
"""Toys of 1 to 4 coordinates, each with a name of its own."""


def three_class(seed: int, n_signal: int = 100_000, n_background: int = 1_000_000) -> dict[str, ToyEvents]:
    """Events of each of the `PROCESSES` with the three scores `SCORES`, each in [0, 1], of sum 1.

    There are `n_signal` events of *each* signal; the `n_background` events are shared by the backgrounds in
    proportion to cross section. Raises `ConfigError` where a process would be left without events.
    """
    return THREE_CLASS.events(seed, n_signal, n_background)


def one_dimensional(seed: int, n_signal: int = 100_000, n_background: int = 300_000) -> dict[str, ToyEvents]:
    """Events of signal1 and the backgrounds with the one score (n, 1) of `ONE_DIMENSIONAL`.

    Numbers of events and errors as in `three_class`.
    """
    return ONE_DIMENSIONAL.events(seed, n_signal, n_background)


def event_counts(n_signal: int = 100_000, n_background: int = 1_000_000) -> dict[str, int]:
    """`Toy.event_counts` of the three-class toy."""
    return THREE_CLASS.event_counts(n_signal, n_background)
