"""Weights of a fill and of its variations: an array, a mapping by variation, or coffea's ``Weights``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cortado.cells import NOMINAL
from cortado.errors import InputError
from cortado.variations import checked_variation


def by_variation(weight: Any, variation: str = NOMINAL) -> dict[str, Any]:
    """Weights (n,) by the name of the variation.

    ``weight`` is an array, which is that of ``variation``; a mapping from variations, "nominal" among them,
    to arrays; or coffea's ``Weights``, with the variations and the names that it gives: where only Up was
    added, Down is nominal² / Up, event by event. Together with a ``variation`` of features the nominal weight
    of a mapping or of ``Weights`` counts, as systematic variations come one at a time.

    Raises ``InputError`` if a name is not that of a variation, or "nominal" is absent.
    """
    checked_variation(variation)
    if _is_coffea(weight):
        shifted = sorted(weight.variations) if variation == NOMINAL else []
        return {variation: weight.weight(), **{checked_variation(v): weight.weight(v) for v in shifted}}
    if not isinstance(weight, Mapping):
        return {variation: weight}
    if NOMINAL not in weight:
        raise InputError(f"weights by variation need {NOMINAL!r}, got those of {sorted(weight)}")
    if variation != NOMINAL:
        return {variation: weight[NOMINAL]}
    return {checked_variation(name): values for name, values in weight.items()}


def _is_coffea(weight: Any) -> bool:
    # Importing coffea.analysis_tools to ask takes a second, which workers need not pay.
    return callable(getattr(weight, "weight", None)) and hasattr(weight, "variations")
