"""What cuts are chosen by: a significance of the events that pass, or a loss of decisions on all events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.classifiers.cuts import Loss, Passing
from cortado.errors import ConfigError
from cortado.objectives.asimov import squared_significance
from cortado.objectives.counting import SQUARED_SIGNIFICANCES
from cortado.objectives.significance import InCategories
from cortado.objectives.yields import Yields

Floats = npt.NDArray[np.float64]

SIGNIFICANCE = "significance"
_SIGNIFICANCES = {SIGNIFICANCE: squared_significance, **SQUARED_SIGNIFICANCES}
# With a probability for each of two classes both mean the same; the first wants one for the signal alone.
_SAME_FOR_TWO_CLASSES = {"binary_crossentropy": "sparse_categorical_crossentropy"}


def loss_of_cuts(loss: Any, classes: Sequence[str]) -> Loss:
    """The loss by which selections of two classes, background and signal, are compared.

    ``loss`` is "significance", the expected one of the second class, or a kind of ``SQUARED_SIGNIFICANCES``;
    a significance in categories of :mod:`cortado.objectives`, whose classes are the processes; or a loss of
    Keras, by name or as an object. Raises ``ConfigError`` for anything else.
    """
    if isinstance(loss, str) and loss in _SIGNIFICANCES:
        square = _SIGNIFICANCES[loss]
        return lambda passing: -np.sqrt(square(passing.sumw[1], passing.sumw[0]))
    if isinstance(loss, InCategories):
        if loss.signals != (classes[-1],):
            raise ConfigError(f"the signal of the loss must be {classes[-1]!r}, got {list(loss.signals)}")
        return _negative_significance(loss, tuple(classes))
    return _decision_loss(_table(loss))


def _negative_significance(term: InCategories, classes: tuple[str, ...]) -> Loss:
    def loss(passing: Passing) -> Floats:
        # Every selection is one category, that of the events which pass.
        squares = term.in_categories(Yields(classes, passing.sumw, passing.sumw2, passing.count))
        negative: Floats = -np.sqrt(np.maximum(squares[0], 0.0))
        return negative

    return loss


def _decision_loss(table: Floats) -> Loss:
    """The weighted mean of ``table`` (2, 2): a loss by the class of an event, and whether it passes."""

    def loss(passing: Passing) -> Floats:
        total = passing.total[:, None]
        of_classes = table[:, :1] * (total - passing.sumw) + table[:, 1:] * passing.sumw
        mean: Floats = of_classes.sum(axis=0) / total.sum()
        return mean

    return loss


def _table(loss: Any) -> Floats:
    """(2, 2) a loss of Keras by the class of an event and the decision about it, 0 or 1.

    A decision is a probability of 0 or 1, of which Keras takes 10⁻⁷ and 1 − 10⁻⁷: the cross entropy is 16.1
    for each wrong decision and 0 for a right one, so that cuts have the least weight of wrong decisions.
    """
    from cortado.models.tensorflow import keras

    known = _SAME_FOR_TWO_CLASSES.get(loss, loss) if isinstance(loss, str) else loss
    names = ", ".join(map(repr, _SIGNIFICANCES))
    rule = f"loss must be {names}, a significance in categories or a loss of Keras"
    try:
        found = keras.losses.get(known)
    except ValueError as error:
        raise ConfigError(f"{rule}, got {loss!r}") from error
    if not callable(found):
        raise ConfigError(f"{rule}, got {loss!r}")
    function = found.call if isinstance(found, keras.losses.Loss) else found
    decisions = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    rows = [np.asarray(function(np.full((2, 1), c), decisions)) for c in (0, 1)]
    table = np.stack(rows).astype(np.float64)
    if table.shape != (2, 2) or not np.isfinite(table).all():
        raise ConfigError(f"loss must give one finite number an event, which {loss!r} does not")
    return table
