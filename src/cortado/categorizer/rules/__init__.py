"""Rules that turn coordinates into a category: the frozen forms of the models, evaluated with numpy alone.

All rules have ``n_categories``, ``dimensions``, ``assign`` and ``boundaries``. Those that models freeze into,
``ModelRule``, can lose and reorder categories, too: ``select`` and ``without``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cortado.categorizer.rules.argmax import ArgmaxRule
from cortado.categorizer.rules.gaussian_mixture import GaussianMixtureRule
from cortado.categorizer.rules.grid import GridRule
from cortado.categorizer.rules.intervals import Intervals
from cortado.categorizer.rules.max_affine import MaxAffineRule
from cortado.categorizer.rules.table import TableRule

__all__ = [
    "ArgmaxRule",
    "GaussianMixtureRule",
    "GridRule",
    "Intervals",
    "MaxAffineRule",
    "ModelRule",
    "Rule",
    "TableRule",
]

ModelRule = GaussianMixtureRule | MaxAffineRule | TableRule | GridRule

Rule = Annotated[ModelRule | ArgmaxRule, Field(discriminator="kind")]
