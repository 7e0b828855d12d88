"""Exact and combinatorial solvers: starts for the differentiable models, and yardsticks for their results."""

from cortado.exact.partition import alternate

__all__ = ["alternate"]
