"""Plots: take axes, return axes; never fit, never save. Importing them changes no global style."""

from cortado.plotting.cuts import cut, cuts
from cortado.plotting.maps import category_map
from cortado.plotting.significance import significance, significance_curve
from cortado.plotting.stack import ratio, stack

__all__ = ["category_map", "cut", "cuts", "ratio", "significance", "significance_curve", "stack"]
