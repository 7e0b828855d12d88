"""All that a fit of a workspace is expected to find, together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from cortado._version import __version__
from cortado.arguments import Names, checked_arguments
from cortado.inference.likelihood import Likelihood, numpy_in_pyhf, require_extra
from cortado.inference.limit import BAND, UpperLimit, upper_limit
from cortado.inference.nuisances import Impact, Pull, pulls, ranking
from cortado.inference.significance import Discovery, discovery
from cortado.inference.strengths import Strength, best_fit

ASIMOV, OBSERVED = "Asimov data", "observations"


@dataclass(frozen=True)
class Signal:
    """What is found out about one signal; ``ranking`` holds the impacts of nuisance parameters by name."""

    significance: Discovery
    strength: Strength
    limit: UpperLimit
    ranking: Mapping[str, Impact]


@dataclass(frozen=True, eq=False)
class Findings:
    """What a fit finds: by strength, about its signal; correlations of the strengths; pulls by parameter.

    ``fitted_to`` says what strengths, pulls and rankings come from, Asimov data or the observations.
    """

    signals: Mapping[str, Signal]
    correlations: Mapping[str, Mapping[str, float]]
    pulls: Mapping[str, Pull]
    fitted_to: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": "cortado-fit",
            "version": 1,
            "written_by": f"cortado {__version__}",
            "fitted_to": self.fitted_to,
            "signals": {name: _signal(signal) for name, signal in self.signals.items()},
            "correlations": {name: dict(row) for name, row in self.correlations.items()},
            "pulls": {name: asdict(pull) for name, pull in self.pulls.items()},
        }


@checked_arguments
def expected_results(workspace: Any, strengths: Names = (), *, observed: bool = False) -> Findings:
    """Significances, strengths, limits, pulls and rankings of a ``pyhf.Workspace``.

    ``strengths`` name the normfactors that are strengths of signals; without them, all are. Significances and
    limits are always expected ones. Strengths, pulls and rankings come from Asimov data with strengths of 1,
    or from a fit to what was ``observed``.

    Raises
    ------
    ConfigError
        The packages of the extra ``fit`` are not installed, what is given is no workspace, or a strength is
        no normfactor.
    InputError
        The workspace makes no model, or a bin has no background.
    FitError
        A fit does not converge.
    """
    require_extra()
    with numpy_in_pyhf():
        likelihood = Likelihood.of(workspace, strengths)
        asimov = likelihood.asimov(likelihood.parameters())
        data = np.array(workspace.data(likelihood.model), np.float64) if observed else asimov
        fitted = best_fit(likelihood, data)
        signals = {
            name: Signal(
                discovery(likelihood, name),
                fitted.strengths[name],
                upper_limit(likelihood, name),
                ranking(likelihood, data, fitted, name),
            )
            for name in likelihood.strengths
        }
        correlations = {
            a: {b: float(fitted.correlations[i, j]) for b, j in likelihood.places.items()}
            for a, i in likelihood.places.items()
        }
        found_pulls = pulls(likelihood, fitted)
    return Findings(signals, correlations, found_pulls, OBSERVED if observed else ASIMOV)


def _signal(signal: Signal) -> dict[str, Any]:
    return {
        "significance": asdict(signal.significance),
        "strength": asdict(signal.strength),
        "limit": {
            "level": signal.limit.level,
            "expected": dict(zip(map(str, BAND), signal.limit.expected.tolist(), strict=True)),
            "scanned": signal.limit.scanned.tolist(),
            "cls": dict(zip(map(str, BAND), signal.limit.cls.tolist(), strict=True)),
        },
        "ranking": {name: asdict(impact) for name, impact in signal.ranking.items()},
    }


def findings_table(findings: Findings, title: str) -> Table:
    """The findings on signals as a rich table, a column each."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("")
    for name in findings.signals:
        table.add_column(name, justify="right", no_wrap=True)
    columns = [_in_words(signal) for signal in findings.signals.values()]
    for row, heading in enumerate(
        (
            "expected significance Z, the other signals fixed",
            "  their strengths free",
            "  without uncertainties, the other signals fixed",
            f"strength, fitted to {findings.fitted_to}",
            "  its interval (minos)",
            "  its uncertainty (hesse)",
            "expected upper limit (95 % CLs)",
            "  for 68 % of all experiments",
        )
    ):
        table.add_row(heading, *(column[row] for column in columns))
    return table


def _in_words(signal: Signal) -> list[str]:
    z, mu, limit = signal.significance, signal.strength, signal.limit.expected
    return [
        f"{z.others_fixed:.4f}",
        f"{z.others_free:.4f}",
        f"{z.without_uncertainties:.4f}",
        f"{mu.value:.3g}",
        f"−{_side(mu.down)} +{_side(mu.up)}",
        f"{mu.hesse:.3g}",
        f"{limit[2]:.3g}",
        f"{limit[1]:.3g} … {limit[3]:.3g}",
    ]


def _side(interval: float | None) -> str:
    return "?" if interval is None else f"{interval:.3g}"
