"""Schedules: where they begin and end, and what is between."""

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado.errors import ConfigError
from cortado.training.schedules import Constant, Cosine, Exponential, Joined, Linear, Schedule

HERE = __name__
PROGRESS = np.linspace(0, 1, 1001)
BETWEEN = [Linear, Exponential, Cosine]

numbers = st.floats(-1e300, 1e300)
positive = st.floats(1e-300, 1e300)


def square(progress: float) -> float:
    """A schedule of one's own."""
    return progress**2


# (schedule, value at 0, at 1)
SCHEDULES: dict[str, tuple[Schedule, float, float]] = {
    "constant": (Constant(0.3), 0.3, 0.3),
    "rising line": (Linear(-1.0, 2.0), -1.0, 2.0),
    "falling line": (Linear(2.0, -1.0), 2.0, -1.0),
    "rising exponential": (Exponential(0.05, 1.0), 0.05, 1.0),
    "falling exponential": (Exponential(1.0, 0.05), 1.0, 0.05),
    "flat exponential": (Exponential(0.1, 0.1), 0.1, 0.1),
    "rising cosine": (Cosine(0.1, 2.0), 0.1, 2.0),
    "falling cosine": (Cosine(2.0, 0.1), 2.0, 0.1),
    "cooling after a while": (Joined([Constant(1.0), Exponential(1.0, 0.05)], at=[0.3]), 1.0, 0.05),
    "three parts": (
        Joined([Linear(3.0, 2.0), Cosine(2.0, 1.0), Linear(1.0, -1.0)], at=[0.2, 0.9]),
        3.0,
        -1.0,
    ),
    "parts of parts": (
        Joined([Joined([Linear(0.0, 1.0), Constant(1.0)], at=[0.5]), Linear(1.0, 2.0)], at=[0.5]),
        0.0,
        2.0,
    ),
    "one part": (Joined([Cosine(2.0, 1.0)], at=[]), 2.0, 1.0),
    "of one's own": (Joined([Constant(0.0), square], at=[0.5]), 0.0, 1.0),
}


@pytest.mark.parametrize(("schedule", "first", "last"), SCHEDULES.values(), ids=SCHEDULES)
def test_schedules_go_from_first_to_last_without_a_turn_or_a_jump(schedule, first, last):
    values = np.array([schedule(float(p)) for p in PROGRESS])
    assert values[0] == pytest.approx(first, rel=1e-15)
    assert values[-1] == pytest.approx(last, rel=1e-15)
    steps = np.diff(values) * np.sign(last - first)
    assert np.all(steps >= -1e-15)
    assert np.abs(steps).max() <= 0.02 * abs(last - first) + 1e-15


@pytest.mark.parametrize("kind", BETWEEN)
def test_schedules_backwards_are_those_from_last_to_first(kind):
    for p in PROGRESS:
        assert kind(2.0, 0.5)(p) == pytest.approx(kind(0.5, 2.0)(1 - p), rel=1e-12)


@given(first=numbers, last=numbers, progress=st.floats(0, 1))
def test_a_line_has_the_same_slope_everywhere(first, last, progress):
    expected = first + (last / 2 - first / 2) * progress * 2
    assert Linear(first, last)(progress) == pytest.approx(expected, abs=1e-12 * (abs(first) + abs(last)))


@given(first=positive, last=positive, progress=st.floats(0, 1))
def test_an_exponential_has_the_same_factor_everywhere(first, last, progress):
    value = Exponential(first, last)(progress)
    expected = math.log(first) + progress * (math.log(last) - math.log(first))
    assert math.log(value) == pytest.approx(expected, abs=1e-10)


def test_half_of_a_cosine_is_slow_at_both_ends():
    cosine = Cosine(0.0, 1.0)
    assert [cosine(p) for p in (0.25, 0.5, 0.75)] == pytest.approx([0.5 - 8**-0.5, 0.5, 0.5 + 8**-0.5])


@given(kind=st.sampled_from(BETWEEN), first=st.floats(0.1, 10), last=st.floats(0.1, 10))
def test_the_ends_are_met(kind, first, last):
    schedule = kind(first, last)
    assert (schedule(0.0), schedule(1.0)) == pytest.approx((first, last), rel=1e-14)


@given(
    places=st.lists(st.integers(1, 99), max_size=4, unique=True).map(sorted),
    progress=st.floats(0, 1),
)
def test_each_part_sees_a_progress_of_its_own(places, progress):
    """Parts that return their progress plus their number: the sum is known everywhere."""
    at = [place / 100 for place in places]
    parts = [lambda p, n=n: n + p for n in range(len(at) + 1)]
    edges = [0.0, *at, 1.0]
    number = sum(progress >= place for place in at)
    within = (progress - edges[number]) / (edges[number + 1] - edges[number])
    assert 0 <= within <= 1
    assert Joined(parts, at)(progress) == pytest.approx(number + within, abs=1e-12)


def test_the_next_part_counts_where_one_ends():
    joined = Joined([Constant(1.0), Constant(2.0)], at=[0.5])
    assert [joined(p) for p in (0.0, 0.499, 0.5, 1.0)] == [1.0, 1.0, 2.0, 2.0]


HALF: Any = np.float32(0.5)
REPRS = {
    "Constant(value=1.0)": Constant(1),
    "Linear(first=0.5, last=2.0)": Linear(HALF, 2),
    "Exponential(first=1.0, last=0.05)": Exponential(1, 0.05),
    "Cosine(first=0.05, last=0.005)": Cosine(0.05, 0.005),
    f"Joined((Constant(value=1.0), {HERE}.square), at=(0.3,))": Joined([Constant(1), square], [0.3]),
}


@pytest.mark.parametrize(("text", "schedule"), REPRS.items(), ids=REPRS)
def test_schedules_read_the_same_in_every_process(text, schedule):
    assert repr(schedule) == text


def test_equal_schedules_are_equal_and_cannot_be_changed():
    joined = Joined((Constant(1), Linear(1, 2)), at=(0.5,))
    assert joined == Joined([Constant(1.0), Linear(1.0, 2.0)], at=[0.5])
    assert hash(joined) == hash(Joined([Constant(1.0), Linear(1.0, 2.0)], at=[0.5]))
    assert joined != replace(joined, at=(0.6,))
    with pytest.raises(FrozenInstanceError):
        joined.at = (0.6,)  # type: ignore[misc]


FLAT = Constant(1.0)
# (schedule, arguments, message)
ERRORS: dict[str, tuple[Any, tuple[Any, ...], str]] = {
    "constant nan": (Constant, (math.nan,), "^Constant: value must be a finite number, got nan$"),
    "constant text": (Constant, ("1",), "^Constant: value must be a finite number, got '1'$"),
    "linear inf": (Linear, (0.0, math.inf), "^Linear: last must be a finite number, got inf$"),
    "linear none": (Linear, (None, 1.0), "^Linear: first must be a finite number, got None$"),
    "cosine inf": (Cosine, (-math.inf, 1.0), "^Cosine: first must be a finite number, got -inf$"),
    "exponential zero": (Exponential, (1.0, 0.0), "^Exponential: last must be > 0, got 0.0$"),
    "exponential negative": (Exponential, (-1, 2.0), "^Exponential: first must be > 0, got -1.0$"),
    "exponential nan": (Exponential, (math.nan, 2.0), "^Exponential: first must be a finite number"),
    "no parts": (Joined, ([], []), r"parts at least one, got 0 parts and at = \[\]$"),
    "no place": (Joined, ([FLAT, FLAT], []), r"one number fewer .* got 2 parts and at = \[\]$"),
    "many places": (Joined, ([FLAT], [0.5]), r"one number fewer .* got 1 parts and at = \[0.5\]$"),
    "at 0": (Joined, ([FLAT] * 2, [0]), r"at must be increasing numbers between 0 and 1, got \[0\]$"),
    "at 1": (Joined, ([FLAT] * 2, [1.0]), r"increasing numbers between 0 and 1, got \[1.0\]$"),
    "equal": (Joined, ([FLAT] * 3, [0.5, 0.5]), r"increasing numbers .* got \[0.5, 0.5\]$"),
    "falling": (Joined, ([FLAT] * 3, [0.6, 0.5]), r"increasing numbers .* got \[0.6, 0.5\]$"),
    "nan": (Joined, ([FLAT] * 2, [math.nan]), "^Joined: at must be a finite number, got nan$"),
    "no function": (Joined, ([1.0], []), "^Joined: parts must be functions of the progress, got 1.0$"),
}


@pytest.mark.parametrize(("kind", "arguments", "message"), ERRORS.values(), ids=ERRORS)
def test_what_makes_no_schedule_is_refused_with_the_reason(kind, arguments, message):
    with pytest.raises(ConfigError, match=message):
        kind(*arguments)
