"""What all models are: soft categorisations with a hard limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from cortado.categorizer.rules import ModelRule, TableRule
from cortado.errors import ConfigError, InputError
from cortado.models.start import Start
from cortado.models.storage import read_model, write_model
from cortado.models.tensorflow import softmax, tf
from cortado.models.variables import variables_of
from cortado.points import Points

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


class Model:
    """A soft categorisation of points in d coordinates into K categories.

    A model of one's own derives from this class and defines :meth:`memberships`; TensorFlow variables and
    Keras layers among its attributes are trained. The other methods have a meaning for all models; better
    ones may replace them.

    Parameters
    ----------
    n_categories
        Number K ≥ 2 of categories.
    """

    _arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        model = super().__new__(cls)
        bound = signature(cls.__init__).bind(model, *args, **kwargs).arguments
        model._arguments = dict(list(bound.items())[1:])
        return model

    def __init__(self, n_categories: int) -> None:
        if np.ndim(n_categories) or np.asarray(n_categories).dtype.kind not in "iu" or n_categories < 2:
            raise ConfigError(f"n_categories must be an integer, at least 2, got {n_categories!r}")
        self.n_categories = int(n_categories)

    def memberships(self, u: Any, sharpness: Any = 1.0) -> Any:
        """(n, K) memberships at coordinates u (n, d), float64, rows sum to 1.

        ``sharpness`` is 1/temperature, a scalar: the larger it is, the closer they come to 0 and 1. The
        models of cortado also take a mapping of processes to coordinates.
        """
        raise NotImplementedError

    def initialise(self, start: Start) -> bool:
        """Set the variables to begin from ``start``; whether a training should imitate it first.

        By default they stay what they are. Layers that wait for their first input are built.
        """
        self.build(start.points.place.shape[1])
        return True

    def build(self, dimensions: int) -> None:
        """Make the variables that wait for a first input, of d ``dimensions``; their values come later."""
        self.memberships(tf.zeros((1, dimensions), tf.float64), tf.ones((), tf.float64))

    def freeze(self, points: Points) -> ModelRule:
        """The hard limit as a rule; by default a table, the largest membership at each of the points.

        Such a table is as exact as the cells are fine. Categories without a point are left out.
        """
        _, category = np.unique(self._categories(points.place), return_inverse=True)
        return TableRule.from_cells(points.widths, points.key, category.reshape(-1))

    def categories(self, u: Any) -> Any:
        """Category (n,) at coordinates u (n, d) in the hard limit, or per process for a mapping."""
        return over_processes(lambda values: self._categories(np.asarray(values, np.float64)), u)

    def _categories(self, u: Floats) -> Integers:
        return np.argmax(np.asarray(self.memberships(tf.constant(u), tf.ones((), tf.float64))), axis=1)

    @property
    def configuration(self) -> dict[str, Any]:
        """The arguments that make a model like this one."""
        return dict(self._arguments)

    @property
    def trainable_variables(self) -> list[Any]:
        """The variables that are trained."""
        return [variable for variable in variables_of(self).values() if variable.trainable]

    @property
    def state(self) -> dict[str, Floats]:
        """The values of all variables, by name."""
        return {name: np.asarray(variable) for name, variable in variables_of(self).items()}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Set the variables to the :attr:`state` of a model that was made like this one.

        Raises ``InputError`` where names or shapes differ.
        """
        own = variables_of(self)
        expected = {name: tuple(variable.shape) for name, variable in own.items()}
        found = {name: np.shape(value) for name, value in state.items()}
        if expected != found:
            raise InputError(f"variables must have the shapes {expected} of this model, got {found}")
        for name, variable in own.items():
            variable.assign(state[name])

    def save(self, path: str | Path) -> None:
        """Write configuration and variables as JSON, whole or not at all."""
        write_model(path, type(self).__name__, self.configuration, self.state)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model of this class.

        Raises ``InputError`` if the file holds no model, one of another class, or variables that do not fit
        its configuration.
        """
        configuration, state = read_model(path, cls.__name__)
        try:
            model = cls(**configuration)
            model.restore(state)
        except (TypeError, ConfigError, InputError) as error:
            raise InputError(f"{path} is not a valid {cls.__name__}: {error}") from error
        return model


class LateModel(Model):
    """A model whose variables have shapes that follow from the first points it is given."""

    def __init__(self, n_categories: int) -> None:
        super().__init__(n_categories)
        self._named: dict[str, Any] = {}

    def _shapes(self, state: Mapping[str, Floats]) -> dict[str, tuple[int, ...]]:
        """The shapes that the variables must have, as far as ``state`` leaves a choice."""
        raise NotImplementedError

    def build(self, dimensions: int) -> None:
        """Nothing: :meth:`restore` makes the variables."""

    def _fixed(self) -> tuple[str, ...]:
        """Names of the variables that are not trained."""
        return ("location", "scale")

    def _values(self) -> dict[str, Any]:
        if not self._named:
            raise ConfigError(
                f"{type(self).__name__} has no parameters before it is initialised, fitted or loaded"
            )
        return self._named

    def _value(self, name: str) -> Any:
        return self._values()[name]

    @property
    def state(self) -> dict[str, Floats]:
        """The values of all variables, by name."""
        return {name: np.asarray(variable) for name, variable in self._values().items()}

    def parameters(self) -> ModelRule:
        """The effective parameters, in the sample's coordinates: those of the hard limit."""
        raise NotImplementedError

    def freeze(self, points: Points) -> ModelRule:
        """The hard limit: :meth:`parameters`."""
        del points
        return self.parameters()

    def _categories(self, u: Floats) -> Integers:
        rule = self.parameters()
        return rule.assign(np.asarray(coordinates(u, rule.dimensions)))

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Set the variables to the :attr:`state` of a model that was made like this one.

        Raises ``InputError`` where names or shapes differ.
        """
        try:
            expected = self._shapes(state)
        except (KeyError, IndexError) as error:
            raise InputError(f"variables must hold {error}, got {sorted(state)}") from error
        found = {name: np.shape(value) for name, value in state.items()}
        if found != expected or not all(np.isfinite(value).all() for value in state.values()):
            raise InputError(f"variables must be finite, of the shapes {expected}, got {found}")
        if {name: variable.shape for name, variable in self._named.items()} != expected:
            self._named = {
                name: tf.Variable(value, dtype=tf.float64, name=name, trainable=name not in self._fixed())
                for name, value in state.items()
            }
        for name, variable in self._named.items():
            variable.assign(state[name])


def over_processes(function: Callable[[Any], Any], u: Any) -> Any:
    """``function(u)``, or for a mapping of processes a dictionary of what it gives for each."""
    if isinstance(u, Mapping):
        return {process: function(values) for process, values in u.items()}
    return function(u)


def coordinates(u: Any, dimensions: int) -> Any:
    """Coordinates (n, d) as a float64 tensor; ``InputError`` unless they are ``dimensions`` a point."""
    place = tf.cast(u, tf.float64) if tf.is_tensor(u) else tf.constant(np.asarray(u, np.float64))
    if place.shape.rank != 2 or place.shape[1] != dimensions:
        raise InputError(f"coordinates must have the shape (n, {dimensions}), got {tuple(place.shape)}")
    return place


def tempered(logits: Any, sharpness: Any) -> Any:
    """softmax(sharpness · logits) of logits (n, K) over the last axis."""
    return tf.transpose(softmax(tf.transpose(logits) * tf.cast(sharpness, tf.float64)))
