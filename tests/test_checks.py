"""Checks of templates: each finds what it is there for, and nothing in templates that are well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cortado as ct
from cortado.checks import Finding, Limits, check_templates
from cortado.errors import ConfigError
from cortado.notes import of_findings
from cortado.templates import templates_from_arrays

TEXT: Any = "0.1"
SIGNALS = ["ggH"]
WELL = {"ggH": [5.0, 9.0, 2.0], "DY": [900.0, 100.0, 20.0], "W": [50.0, 60.0, 70.0]}
SHAPED = {"jesUp": {"DY": [910.0, 95.0, 21.0]}, "jesDown": {"DY": [891.0, 104.0, 19.0]}}


def templates(variances=None, variations=None, **yields):
    values = {name: np.asarray(row, float) for name, row in (WELL | yields).items()}
    squares = {name: np.abs(row) * 0.1 for name, row in values.items()} | (variances or {})
    return templates_from_arrays(values, squares, variations=SHAPED if variations is None else variations)


def up_and_down(process, up, down, nuisance="jes"):
    return {f"{nuisance}Up": {process: up}, f"{nuisance}Down": {process: down}}


def test_nothing_is_found_where_all_is_well():
    assert check_templates(templates(), SIGNALS) == []
    assert check_templates(templates(data_obs=[955, 169, 0]), SIGNALS) == []


CASES = {
    "signal without background": (
        templates(DY=[900.0, 0, 0], W=[50.0, -1, 0], variations={}),
        "SR: there is signal and no background in categories 1, 2",
        ((1,), (2,)),
    ),
    "no background": (
        templates(ggH=[5.0, 0, 9], DY=[900.0, 0, 20], W=[50.0, 0, 70], variations={}),
        "SR: there is no background in category 1",
        ((1,),),
    ),
    "empty process": (templates(TT=[0.0, 0, 0]), "SR: TT is empty", ()),
    "negative process": (templates(TT=[1.0, 1, -4]), "SR: the yield of TT is not positive, -2", ()),
    "negative bins": (templates(TT=[5.0, 1, -4]), "SR: TT is negative in category 2", ((2,),)),
    "few effective events": (
        templates({"DY": np.array([90.0, 10.0, 1600.0])}),
        "SR: the background is made of fewer than 10 effective events (5 at worst) in category 2",
        ((2,),),
    ),
    "empty variation": (
        templates(variations=up_and_down("W", [50.0, 60.0, 71.0], [1.0, 0, -1])),
        "SR: the yield of W is 0 with jesDown",
        (),
    ),
    "negative variation": (
        templates(variations=up_and_down("W", [50.0, 60.0, 71.0], [60.0, 60.0, -1.0])),
        "SR: W is negative with jesDown in category 2",
        ((2,),),
    ),
    "identical sides": (
        templates(variations=up_and_down("W", [51.0, 58.0, 72.0], [51.0, 58.0, 72.0])),
        "SR: W is the same with jes up and down",
        (),
    ),
    "no effect": (
        templates(variations=up_and_down("W", WELL["W"], WELL["W"])),
        "SR: jes does not change W",
        (),
    ),
    "one-sided": (
        templates(variations=up_and_down("W", [55.0, 60.0, 70.0], [54.0, 60.0, 75.0])),
        "SR: jes moves the yield of W to the same side, up +2.8 % and down +5 %",
        (),
    ),
    "large effect": (
        templates(variations=up_and_down("W", [90.0, 60.0, 70.0], [40.0, 50.0, 70.0])),
        "SR: jes changes the yield of W by +22 % up and -11 % down",
        (),
    ),
    "small shape": (
        templates(variations=up_and_down("W", [52.5, 63.0, 73.5], [47.5, 57.0, 66.5])),
        "SR: jes changes the yield of W and not its shape: a rate uncertainty would do",
        (),
    ),
    "little background": (
        templates(
            {"DY": np.array([90.0, 10.0, 1e-6]), "W": np.array([5.0, 6.0, 0.0])},
            DY=[900.0, 100.0, 0.01],
            W=[50.0, 60.0, 0.0],
            variations={},
        ),
        (
            "SR: there are fewer than 0.1 expected background events (0.01 at worst) and more signal, so "
            "that the significance is that of a small number in category 2"
        ),
        ((2,),),
    ),
    "empty bins": (templates(TT=[5.0, 0, 1]), "SR: TT is empty in category 1", ((1,),)),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_check_finds_what_it_is_for(kind):
    made, message, bins = CASES[kind]
    found = {f.kind: f for f in check_templates(made, SIGNALS)}
    assert kind in found
    assert found[kind].message == message
    assert found[kind].bins == bins
    assert found[kind].as_dict()["kind"] == kind


def test_a_small_signal_is_one_beside_another():
    made = templates(qqH=[0.001, 0.002, 0.001])
    assert [f.kind for f in check_templates(made, [*SIGNALS, "qqH"])] == ["small signal"]
    assert [f.kind for f in check_templates(made, SIGNALS)] == []


@pytest.mark.parametrize(
    ("rate", "kind", "message"),
    [
        (
            (1.1, 0.9),
            "swapped rate",
            "xs moves the rate of DY the other way, by -10 % up and +10 % down: a pair",
        ),
        (
            (1.1, 1.2),
            "one-sided rate",
            "xs moves the rate of DY to the same side, by +20 % up and +10 % down",
        ),
        ((0.9, 0.8), "one-sided rate", "to the same side, by -20 % up and -10 % down"),
        ((0.9, 1.1), None, ""),
        (0.9, None, ""),
        (1.1, None, ""),
    ],
)
def test_sides_of_rates_are_looked_at(rate, kind, message):
    found = check_templates(templates(), SIGNALS, rate_uncertainties={"xs": {"DY": rate}})
    assert [f.kind for f in found] == ([kind] if kind else [])
    assert all(message in f.message and f.channel == "all channels" for f in found)


def test_a_side_that_was_made_is_said():
    """Once for all processes, and after what is wrong with an effect."""
    large = {"W": [80.0, 60.0, 70.0]}
    made = templates(variations={"jesUp": SHAPED["jesUp"] | large, "puDown": {"W": [51.0, 59.0, 71.0]}})
    found = [f for f in check_templates(made, SIGNALS) if f.kind != "small shape"]
    assert [f.kind for f in found] == ["large effect", "missing side", "missing side"]
    assert [f.message for f in found[1:]] == [
        "SR: jesDown was not filled for DY, W: it is the mirror image of jesUp, 2 · nominal − other",
        "SR: puUp was not filled for W: it is the mirror image of puDown, 2 · nominal − other",
    ]
    assert [(f.process, f.nuisance) for f in found[1:]] == [(None, "jes"), (None, "pu")]


def test_signals_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match=r"signals \['Higs'\] are not among the simulated processes"):
        check_templates(templates(), "Higs")


@pytest.mark.parametrize("value", [TEXT, -1.0, float("nan")])
def test_limits_are_numbers(value):
    with pytest.raises(ConfigError, match="max_effect must be a number that is not negative, got"):
        Limits(max_effect=value)


def test_limits_are_those_that_are_given():
    made = CASES["large effect"][0]
    assert [f.kind for f in check_templates(made, SIGNALS, Limits(max_effect=0.3))] == []
    strict = check_templates(templates(), SIGNALS, Limits(max_effect=0.001, min_effective_events=1e4))
    assert {f.kind for f in strict} == {"large effect", "few effective events"}


@pytest.mark.parametrize(("flow", "fate"), [("fold", "is in its outer bins"), ("drop", "is left out")])
def test_what_lies_beyond_the_edges_is_said(flow, fate):
    mass = ct.Observable.declare("m", [0.0, 1.0, 2.0], flow=flow)
    filler = ct.TemplateFiller(ct.Binning(observable=mass))
    sums = filler.fill("DY", {"m": [0.5] * 15 + [1.5] * 15 + [-1.0] * 10}, np.ones(40))
    sums += filler.fill("ggH", {"m": [0.5, 1.5]}, np.ones(2))
    (found,) = check_templates(sums.templates(), SIGNALS)
    assert found.kind == "beyond the edges"
    assert found.message == f"SR: what lies beyond the edges of m {fate}, of the yields DY 25 %"


def test_bins_of_an_observable_are_named_by_category_and_bin():
    mass = ct.Observable.declare("m", range(13))
    background = np.zeros((2, 12))
    background[0] = 20
    values = {"ggH": np.ones((2, 12)), "DY": background}
    found, *_ = check_templates(templates_from_arrays(values, observable=mass), SIGNALS)
    assert found.message == (
        "SR: there is signal and no background in bins (category:m) 1:0, 1:1, 1:2, 1:3, 1:4, 1:5, 1:6, 1:7 …"
    )
    assert found.bins == tuple((1, m) for m in range(12))


def test_channels_come_together_and_the_gravest_first():
    good, bad = templates(), replace(CASES["signal without background"][0], channel="CR")
    found = check_templates([good, bad], SIGNALS)
    assert found[0].kind == "signal without background"
    assert {f.channel for f in found} == {"CR"}


def test_many_findings_of_a_kind_do_not_hide_others():
    many = [Finding("large effect", "SR", f"SR: jes{i} changes much") for i in range(20)]
    other, minor = Finding("missing side", "SR", "SR: made"), Finding("empty bins", "SR", "SR: empty")
    told = [*of_findings({3: [*many, other, minor], 5: [many[0]]})]
    assert told == [
        "SR: jes0 changes much.",
        "K = 3: SR: jes1 changes much.",
        "K = 3: SR: jes2 changes much.",
        "K = 3: SR: made.",
        "Of the templates, summary.json lists 18 more findings.",
    ]


numbers = st.lists(st.integers(-1000, 10**5).map(lambda i: i / 10), min_size=3, max_size=3)


@given(values=st.lists(numbers, min_size=2, max_size=4), up=numbers, down=numbers)
def test_any_templates_can_be_checked(values, up, down):
    """No division by zero, whatever the yields; bins named are bins that are there."""
    names = ["ggH", "DY", "W", "TT"][: len(values)]
    made = templates_from_arrays(
        dict(zip(names, values, strict=True)),
        {name: np.abs(row) for name, row in zip(names, values, strict=True)},
        variations=up_and_down("DY", up, down),
    )
    for found in check_templates(made, SIGNALS):
        assert all(0 <= k < 3 for (k,) in found.bins)
        assert found.message.startswith("SR: ")
