"""Arguments of other types than declared: one sentence each, and everything else arrives as it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import pytest

from cortado.arguments import Groups, NameOrNames, Names, checked_arguments
from cortado.errors import ConfigError
from cortado.observable import Observable


class Options(TypedDict, total=False):
    fill: float | None
    layout: Literal["bins", "channels"]


@checked_arguments
def given(
    names: Names,
    some: NameOrNames = "x",
    path: str | Path = "p",
    groups: Groups | None = None,
    n: int = 1,
    observable: Observable | None = None,
    anything: Any = None,
    **options: Unpack[Options],
) -> list[Any]:
    """What arrived."""
    return [names, some, path, groups, n, observable, anything, options]


RIGHT: list[dict[str, Any]] = [
    {"names": ["a"]},
    {"names": ("a",), "some": ("b",), "path": Path("x")},
    {"names": [], "groups": {"x": ["lumi"]}, "n": np.int64(3), "anything": object()},
    {"names": ["a"], "fill": np.float32(0.5), "layout": "bins"},
    {"names": ["a"], "fill": 1, "observable": Observable.declare("m", [0, 1])},
    {"names": ["a"], "fill": None},
]


@pytest.mark.parametrize("arguments", RIGHT)
def test_what_is_right_arrives_as_it_was_given(arguments):
    arrived = given(**arguments)
    for value in arguments.values():
        assert any(value is found for found in [*arrived, *arrived[-1].values()])


WRONG: dict[str, Any] = {
    "names must be a list of names, got 'a'": {"names": "a"},
    "names must be a list of names, got [1]": {"names": [1]},
    "some must be a name or a list of names, got 3": {"some": 3},
    "path must be text or a path, got 3": {"path": 3},
    "groups must be lists of names by the name of their group or None, got {'x': 'lumi'}": {
        "groups": {"x": "lumi"}
    },
    "n must be an integer, got 2.5": {"n": 2.5},
    "n must be an integer, got True": {"n": True},
    "observable must be of the type Observable or None, got 'mass'": {"observable": "mass"},
    "fill must be a number or None, got 'a'": {"fill": "a"},
    "fill must be a number or None, got '0.5'": {"fill": "0.5"},
    "layout must be one of bins, channels, got ['bins']": {"layout": ["bins"]},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_of_another_type_is_refused_in_a_sentence(message):
    with pytest.raises(ConfigError) as error:
        given(**{"names": ["a"], **WRONG[message]})
    assert str(error.value) == message


def test_an_option_that_there_is_not_is_refused():
    arguments: Any = {"names": ["a"], "group": {}}
    with pytest.raises(ConfigError, match=r"group is no option here, there are names, .*, fill, layout"):
        given(**arguments)


def test_places_of_arguments_do_not_matter_and_the_docstring_stays():
    positions: Any = (["a"], 3)
    with pytest.raises(ConfigError, match="some must be a name or a list of names, got 3"):
        given(*positions)
    assert given.__doc__ == "What arrived."
