"""What a fit of a pyhf workspace will find: significances, strengths, limits, pulls and a ranking.

The likelihood and its minimisation are those of pyhf and iminuit, the figures cabinetry's; both come with the
extra ``fit``. Everything is expected from Asimov data, unless a fit to the observations is asked for.
"""

from cortado.inference.expected import Findings, Signal, expected_results
from cortado.inference.likelihood import Likelihood
from cortado.inference.limit import UpperLimit, upper_limit
from cortado.inference.nuisances import Impact, Pull, pulls, ranking
from cortado.inference.significance import Discovery, discovery
from cortado.inference.strengths import BestFit, Strength, best_fit
from cortado.inference.workspace import load_workspace

__all__ = [
    "BestFit",
    "Discovery",
    "Findings",
    "Impact",
    "Likelihood",
    "Pull",
    "Signal",
    "Strength",
    "UpperLimit",
    "best_fit",
    "discovery",
    "expected_results",
    "load_workspace",
    "pulls",
    "ranking",
    "upper_limit",
]
