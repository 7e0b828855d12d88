"""Arguments of public functions, checked against the types that they are declared with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce, wraps
from numbers import Integral, Real
from operator import or_
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import AfterValidator, BeforeValidator, InstanceOf, TypeAdapter, ValidationError

from cortado.errors import ConfigError, shown

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class InWords:
    """What an argument must be, as an error says it; stands beside the type in ``Annotated``."""

    text: str


def _plain(value: Any) -> Any:
    """Numbers of numpy as those of Python; a truth value is no number."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def _with_a_name(path: str | Path) -> str | Path:
    if not Path(path).name:
        raise ValueError("no name of a file")
    return path


Number = Annotated[float, BeforeValidator(_plain)]
FilePath = Annotated[str | Path, AfterValidator(_with_a_name), InWords("the path of a file")]
Names = Annotated[Sequence[str], InWords("a list of names")]
NameOrNames = Annotated[str | Sequence[str], InWords("a name or a list of names")]
Groups = Annotated[Mapping[str, Sequence[str]], InWords("lists of names by the name of their group")]

_SIMPLE: Mapping[Any, tuple[Any, str]] = {
    float: (Number, "a number"),
    int: (Annotated[int, BeforeValidator(_plain)], "an integer"),
    bool: (bool, "True or False"),
    str: (str, "text"),
    Path: (Path, "a path"),
    NoneType: (None, "None"),
}


def checked_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """A function that raises ``ConfigError`` for an argument of another type than it is declared with.

    Checked are numbers, texts, paths, one of some values, objects of some class, and what says in words what
    it is (:class:`InWords`). Arguments arrive as they were given.
    """
    signature = inspect.signature(function)

    @cache  # at the first call, when all names of the module are there
    def rules() -> dict[str, _Rule | None]:
        return {name: _Rule.of(hint) for name, hint in _hints(function, signature).items()}

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        known = rules()
        for name, value in _given(signature, args, kwargs).items():
            if name not in known:
                raise ConfigError(f"{name} is no option here, there are {', '.join(known)}")
            if (rule := known[name]) is not None:
                rule.check(name, value)
        return function(*args, **kwargs)

    return checked


@dataclass(frozen=True)
class _Rule:
    """What pydantic checks of an argument, and how it is said."""

    adapter: TypeAdapter[Any]
    words: str

    @classmethod
    def of(cls, hint: Any) -> _Rule | None:
        """The rule of a type, if there is one."""
        kind = _kind(hint)
        return None if kind is None else cls(TypeAdapter(kind[0]), kind[1])

    def check(self, name: str, value: Any) -> None:
        """Raise ``ConfigError`` for a value of another type."""
        try:
            self.adapter.validate_python(value, strict=True)
        except ValidationError as error:
            raise ConfigError(f"{name} must be {self.words}, got {shown(value)}") from error


def _given(signature: inspect.Signature, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name, those of ``**options`` among them."""
    given = signature.bind(*args, **kwargs).arguments
    options = next((p.name for p in signature.parameters.values() if p.kind is p.VAR_KEYWORD), "")
    return {name: value for name, value in given.items() if name != options} | given.get(options, {})


def _hints(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """The types of all arguments, of the keys of ``**options`` as well."""
    hints = get_type_hints(function, include_extras=True)
    found: dict[str, Any] = {}
    for name in signature.parameters:
        options = next(iter(get_args(hints.get(name))), None)
        if is_typeddict(options):
            found |= get_type_hints(options, include_extras=True)
        else:
            found[name] = hints.get(name, Any)
    return found


def _kind(hint: Any) -> tuple[Any, str] | None:
    """What pydantic can check of a type, and its name in words; None if there is nothing."""
    origin, members = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next(((hint, m.text) for m in hint.__metadata__ if isinstance(m, InWords)), None)
    if origin is Literal:
        return hint, f"one of {', '.join(map(str, members))}"
    if origin in (Union, UnionType):
        kinds = [kind for member in members if (kind := _kind(member)) is not None]
        of_all = len(kinds) == len(members)
        return (reduce(or_, (t for t, _ in kinds)), " or ".join(w for _, w in kinds)) if of_all else None
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if not isinstance(hint, type) or hint is Any:
        return None
    return InstanceOf[hint], f"of the type {hint.__name__}"  # type: ignore[misc]  # a type that mypy cannot know
