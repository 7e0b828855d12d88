"""The variables of a model: TensorFlow's and Keras', wherever among its attributes they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cortado.models.tensorflow import keras, tf


def variables_of(owner: object) -> dict[str, Any]:
    """All variables among the attributes of an object, each once, by path: "means", "layers.0.1".

    Lists, tuples and mappings are searched; a layer, a Keras model or a ``tf.Module`` has a number for each
    of its variables, since names may repeat.
    """
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for path, variable in _walk("", vars(owner)):
        if id(variable) not in seen:
            seen.add(id(variable))
            found[path] = variable
    return found


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, tf.Variable | keras.Variable):
        yield path, value
        return
    if isinstance(value, tf.Module | keras.Layer):
        value = value.variables
    items = value.items() if isinstance(value, Mapping) else enumerate(value if _listed(value) else ())
    for name, item in items:
        yield from _walk(f"{path}.{name}" if path else str(name), item)


def _listed(value: Any) -> bool:
    return isinstance(value, list | tuple)
