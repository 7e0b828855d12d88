"""Observables of events by name: kinematics, distances, masses, charges, numbers of objects, tags.

Names are those of :mod:`cortado.classifiers.observable_names`; what they mean:

``m_vis``
    a branch of the events, one number an event
``jet0.pt``, ``muon0.charge``, ``jet0.b_tag``
    a field of an object, or what follows from its momentum: pt, eta, phi, mass, energy, px, py, pz, rapidity
``fatjet0.tau21``
    a ratio of fields, tau2 / tau1, unless there is a field tau21
``jets.size``
    the number of objects in a collection
``met.pt``
    a field of a collection with one object an event
``jet0,jet1.mass``
    a quantity of the sum of momenta, or the sum of charges
``jet0,jet1.delta_r``
    of two objects: delta_eta, delta_phi in (−π, π] or [−π, π), both of the first minus the second, and
    delta_r, √(Δη² + Δφ²)

A collection or field is looked up under its own name, then in the singular or plural and regardless of case
and underscores: ``jets`` and ``jet`` find ``Jet``, ``b_tag`` finds ``BTag``. Other names are given by the
user: ``{"met": "PuppiMET", "b_tag": "btagPNetB"}``.

An observable does not exist in an event without one of its objects, or where a denominator is not positive.
It then has its declared missing value, or NaN. A declared value within the range of the values that do exist,
in the same chunk of events, is an error, so that it is not taken for one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import reduce
from operator import add
from types import MappingProxyType
from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt
import vector

from cortado.classifiers.observable_names import ObjectName, ObservableName
from cortado.errors import ConfigError, InputError, shown

Floats = npt.NDArray[np.float64]

# With how many components of a momentum they can be had.
_QUANTITIES: Mapping[str, tuple[int, Callable[[Any], Any]]] = MappingProxyType(
    {
        "pt": (2, lambda p: p.pt),
        "phi": (2, lambda p: p.phi),
        "px": (2, lambda p: p.px),
        "py": (2, lambda p: p.py),
        "pz": (3, lambda p: p.pz),
        "eta": (3, lambda p: p.eta),
        "mass": (4, lambda p: p.mass),
        "energy": (4, lambda p: p.energy),
        "rapidity": (4, lambda p: p.rapidity),
    }
)
_PAIRS: Mapping[str, tuple[int, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "deltaphi": (2, lambda a, b: a.deltaphi(b)),
        "deltaeta": (3, lambda a, b: a.deltaeta(b)),
        "deltar": (3, lambda a, b: a.deltaR(b)),
    }
)
_COORDINATES = (
    ("pt", "eta", "phi", "mass"),
    ("pt", "eta", "phi", "energy"),
    ("px", "py", "pz", "energy"),
    ("px", "py", "pz", "mass"),
    ("pt", "eta", "phi"),
    ("px", "py", "pz"),
    ("pt", "phi"),
    ("px", "py"),
)
_ALSO_CALLED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"pt": ("rho",), "px": ("x",), "py": ("y",), "pz": ("z",), "energy": ("e", "t"), "mass": ("m",)}
)
_SHORT = {"m": "mass", "e": "energy", "invariantmass": "mass", "angulardistance": "deltar"}
_RATIO = re.compile(r"tau(\d)(\d)")


@dataclass(frozen=True)
class Observables:
    """Observables of the events of an analysis, in order.

    Attributes
    ----------
    names
        Their names.
    missing
        By observable, the value where it does not exist; NaN without one.
    fields
        By collection or quantity as it stands in names, the field of the events or objects that is meant.

    Raises ``ConfigError`` for a name outside of the grammar, one that comes twice, and a missing value for
    what is no observable.
    """

    names: tuple[str, ...]
    missing: Mapping[str, float] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: Any = self.names
        if isinstance(given, str) or not given:
            raise ConfigError(f"observables must be a list of names, got {given!r}")
        parsed = tuple(map(ObservableName.parse, given))
        object.__setattr__(self, "names", tuple(map(str, parsed)))
        if repeated := sorted({name for name in self.names if self.names.count(name) > 1}):
            raise ConfigError(f"observables must differ, got {repeated} more than once")
        missing = {str(ObservableName.parse(name)): value for name, value in self.missing.items()}
        object.__setattr__(self, "missing", missing)
        if unknown := sorted(set(self.missing) - set(self.names)):
            raise ConfigError(f"missing values are given for {unknown}, which are not among the observables")

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the observables that are branches of the events themselves."""
        return tuple(name for name in self.names if not ObservableName.parse(name).objects)

    def columns(self, events: Any) -> dict[str, Floats]:
        """By name, the values (n,) of the n events: an awkward record array, or a mapping of arrays.

        Such a mapping is what the sinks of both passes take as features. Raises ``InputError`` where a part
        of a name is not there, is not one number an event, or a missing value lies among values that exist.
        """
        return {name: self._values(name, events) for name in self.names}

    def __call__(self, events: Any) -> Floats:
        """The values (n, d) of the n events; errors as of :meth:`columns`."""
        return np.column_stack(list(self.columns(events).values()))

    def _values(self, name: str, events: Any) -> Floats:
        try:
            values, exists = _Evaluation(events, self.fields).of(ObservableName.parse(name))
            return with_missing(values, exists, self.missing.get(name, np.nan))
        except InputError as error:
            raise InputError(f"observable {name!r}: {error}") from error


def with_missing(values: Floats, exists: npt.NDArray[np.bool_], missing: float) -> Floats:
    """Values (n,), with the missing value where they do not exist.

    Raises ``InputError`` if it lies within the range of the finite ones that do.
    """
    if exists.all():
        return values
    there = values[exists & np.isfinite(values)]
    if len(there) and there.min() <= missing <= there.max():
        raise InputError(
            f"the missing value {missing:g} lies among the values that exist, {there.min():g} to "
            f"{there.max():g}, and could be taken for one"
        )
    return np.where(exists, values, missing)


Column = tuple[Floats, npt.NDArray[np.bool_]]
"""Values (n,), and in which events they exist."""


@dataclass(frozen=True)
class _Evaluation:
    """What names mean for some events."""

    events: Any
    fields: Mapping[str, str]

    def of(self, name: ObservableName) -> Column:
        """The values of an observable."""
        if not name.objects:
            return self._branch(name.quantity)
        quantity = _plain(name.quantity)
        if quantity == "size":
            return self._size(name.objects)
        objects = [self._object(one) for one in name.objects]
        if quantity in _PAIRS:
            return self._of_two(name.quantity, objects)
        if len(objects) == 1:
            return self._of_one(name.quantity, objects[0])
        return self._of_sum(name.quantity, objects)

    def _branch(self, name: str) -> Column:
        there = _field_names(self.events)
        chosen = self.fields.get(name, name)
        if chosen not in there:
            raise InputError(f"there is no branch {chosen!r}; there are {_like(chosen, there)}")
        return _numbers(chosen, self.events[chosen])

    def _collection(self, name: str) -> Any:
        chosen = self._look_up(name, _field_names(self.events), _numberless)
        if chosen is None:
            there = _field_names(self.events)
            raise InputError(f"there is no collection {name!r}; there are {_like(name, there)}")
        found = self.events[chosen]
        return found if isinstance(found, ak.Array) else ak.Array(found)

    def _object(self, name: ObjectName) -> Any:
        """One object an event, None where it is absent."""
        found = self._collection(name.collection)
        if name.number is None and found.ndim != 1:
            raise InputError(
                f"{name.collection!r} is a list of objects: name one by its number, such as "
                f"'{name.collection}0', or ask for '{name.collection}.size'"
            )
        if name.number is not None and found.ndim < 2:
            raise InputError(f"{name.collection!r} is one object an event and has no number {name.number}")
        if not ak.fields(found):
            raise InputError(f"{name.collection!r} holds numbers, not objects")
        return found if name.number is None else ak.firsts(found[:, name.number : name.number + 1], axis=1)

    def _size(self, objects: Sequence[ObjectName]) -> Column:
        if len(objects) > 1 or objects[0].number is not None:
            raise InputError("size is that of one whole collection, such as 'jets.size'")
        found = self._collection(objects[0].collection)
        if found.ndim < 2:
            raise InputError(f"{objects[0].collection!r} is one object an event and has no size")
        return _numbers("size", ak.num(found, axis=1))

    def _of_one(self, quantity: str, objects: Any) -> Column:
        if (values := self._field(quantity, objects)) is not None:
            return values
        if ratio := _RATIO.fullmatch(_plain(quantity)):
            above, below = (self._required(f"tau{n}", objects) for n in ratio.groups())
            exists = above[1] & below[1] & (below[0] > 0)
            return np.divide(above[0], below[0], out=np.full(len(exists), np.nan), where=exists), exists
        return self._of_sum(quantity, [objects])

    def _of_two(self, quantity: str, objects: Sequence[Any]) -> Column:
        if len(objects) != 2:
            raise InputError(f"{quantity} is that of two objects, got {len(objects)}")
        components, function = _PAIRS[_plain(quantity)]
        (first, second), exists = _momenta(quantity, components, map(self._components, objects))
        return np.asarray(function(first, second), np.float64), exists

    def _of_sum(self, quantity: str, objects: Sequence[Any]) -> Column:
        short = _plain(quantity)
        if short == "charge":
            charges = [self._required("charge", one) for one in objects]
            return reduce(add, (c for c, _ in charges)), np.logical_and.reduce([e for _, e in charges])
        if short not in _QUANTITIES:
            own = ak.fields(objects[0]) if len(objects) == 1 else ["charge", *_PAIRS]
            known = _like(quantity, [*own, *_QUANTITIES])
            raise InputError(f"there is no quantity {quantity!r} of such objects; there are {known}")
        components, function = _QUANTITIES[short]
        momenta, exists = _momenta(quantity, components, map(self._components, objects))
        with np.errstate(all="ignore"):  # of momenta that do not exist, or have no direction
            return np.asarray(function(reduce(add, momenta)), np.float64), exists

    def _components(self, objects: Any) -> dict[str, Column]:
        """As many components of momenta as there are."""
        for names in _COORDINATES:
            if len(names) < 4 and isinstance(objects, vector.Lorentz):  # in other coordinates
                return {name: _numbers(name, getattr(objects, name)) for name in _COORDINATES[0]}
            columns = {name: self._component(name, objects) for name in names}
            if all(columns.values()):
                return {name: column for name, column in columns.items() if column is not None}
        raise InputError(
            "an object needs pt and phi, or px and py, and eta, mass and the like, to have a momentum; "
            f"there are {shown(ak.fields(objects))}"
        )

    def _component(self, name: str, objects: Any) -> Column | None:
        names = (name, *_ALSO_CALLED.get(name, ()))
        return next((c for n in names if (c := self._field(n, objects)) is not None), None)

    def _required(self, name: str, objects: Any) -> Column:
        values = self._field(name, objects)
        if values is None:
            raise InputError(f"objects have no field {name!r}; there are {_like(name, ak.fields(objects))}")
        return values

    def _field(self, name: str, objects: Any) -> Column | None:
        """A field of objects, None if there is none."""
        chosen = self._look_up(name, ak.fields(objects), _plain)
        return None if chosen is None else _numbers(chosen, objects[chosen])

    def _look_up(self, name: str, there: Sequence[str], same: Callable[[str], str]) -> str | None:
        """The field called so by the user, by itself, or by what makes names the ``same``."""
        if (chosen := self.fields.get(name)) is not None:
            if chosen not in there:
                raise InputError(f"{name!r} is said to be {chosen!r}, and there are {_like(chosen, there)}")
            return chosen
        if name in there:
            return name
        alike = [f for f in there if same(f) == same(name)]
        if len(alike) > 1:
            raise InputError(f"{name!r} may be any of {alike}; say which in fields")
        return alike[0] if alike else None


def _plain(name: str) -> str:
    """A name without what it may be written with."""
    short = name.replace("_", "").lower()
    return _SHORT.get(short, short)


def _numberless(name: str) -> str:
    """A collection in the singular."""
    return _plain(name).removesuffix("s")


def _momenta(
    quantity: str, needed: int, components: Iterable[Mapping[str, Column]]
) -> tuple[list[Any], npt.NDArray[np.bool_]]:
    """Momenta (n,) of objects with as many components as the quantity needs, and where all exist."""
    columns = list(components)
    if (least := min(map(len, columns))) < needed:
        raise InputError(f"{quantity} needs {needed} components of every momentum, and there are {least}")
    exists = np.logical_and.reduce([e for c in columns for _, e in c.values()])
    momenta = [vector.array({name: values for name, (values, _) in c.items()}) for c in columns]
    return [getattr(p, f"to_{needed}D")() for p in momenta], exists


def _like(name: str, there: Iterable[str]) -> str:
    """What is there, beginning with what is most like a name: long lists are shown in part."""
    return shown(sorted(set(there), key=lambda n: (-SequenceMatcher(None, name, n).ratio(), n)))


def _field_names(events: Any) -> list[str]:
    return list(ak.fields(events)) if isinstance(events, ak.Array) else list(events)


def _numbers(name: str, values: Any) -> Column:
    """One number an event, float64, and where it is not None."""
    array = values if isinstance(values, ak.Array) else ak.Array(np.asarray(values))
    if array.ndim != 1 or ak.fields(array):
        what = f"an object with {shown(ak.fields(array))}" if array.ndim == 1 else "a list"
        raise InputError(f"{name!r} must be one number an event, and is {what}")
    try:
        column: Any = np.ma.asarray(ak.to_numpy(array)).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name!r} must be one number an event: {error}") from error
    return column.filled(np.nan), ~np.ma.getmaskarray(column)
