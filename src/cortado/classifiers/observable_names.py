"""Names of observables, read into what they mean; nothing in them is ever evaluated.

    NAME       = BRANCH | OBJECTS "." QUANTITY
    OBJECTS    = OBJECT { "," OBJECT }
    OBJECT     = COLLECTION [ NUMBER ]
    BRANCH, COLLECTION, QUANTITY = a letter or "_", then letters, digits and "_"

A number at the end of an object counts the objects of a collection from 0, in the order in which they stand
there: ``jet0`` is the first jet. Without one, a collection is meant as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cortado.errors import ConfigError

_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_OBJECT = re.compile(r"([A-Za-z_]\w*?)(0|[1-9]\d*)?", re.ASCII)


@dataclass(frozen=True)
class ObjectName:
    """One object of a collection by its number, or a whole collection."""

    collection: str
    number: int | None = None

    def __str__(self) -> str:
        return self.collection if self.number is None else f"{self.collection}{self.number}"


@dataclass(frozen=True)
class ObservableName:
    """A quantity of objects; without objects, the quantity is a branch of the events."""

    quantity: str
    objects: tuple[ObjectName, ...] = ()

    @classmethod
    def parse(cls, name: str) -> ObservableName:
        """Read a name. Raises ``ConfigError`` for one that the grammar does not have."""
        if not isinstance(name, str):
            raise ConfigError(f"the name of an observable must be text, got {name!r}")
        objects, dot, quantity = name.rpartition(".")
        if not _WORD.fullmatch(quantity):
            raise ConfigError(
                f"observable {name!r} must be a branch, or objects, a dot and a quantity, such as "
                f"'jet0.pt' or 'jet0,jet1.delta_r', got the quantity {quantity!r}"
            )
        named = [_object(name, part.strip()) for part in objects.split(",")] if dot else []
        return cls(quantity, tuple(named))

    def __str__(self) -> str:
        return f"{','.join(map(str, self.objects))}.{self.quantity}" if self.objects else self.quantity


def _object(name: str, part: str) -> ObjectName:
    found = _OBJECT.fullmatch(part)
    if found is None:
        raise ConfigError(
            f"observable {name!r}: an object must be a collection, maybe with a number, such as 'jet0', "
            f"got {part!r}"
        )
    return ObjectName(found[1], None if found[2] is None else int(found[2]))
