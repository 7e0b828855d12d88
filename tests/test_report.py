"""Reports quote the significances of the objective itself, and say where nothing can be claimed."""

import json
import math

import numpy as np
import pytest

from cortado.exact import CellSize, Limit, Split
from cortado.objectives import Asimov, MinBackground, Yields, simulation_uncertainty
from cortado.report import (
    evaluate,
    fit_rows,
    limit_in_words,
    limit_table,
    reach_in_words,
    significance_table,
    to_text,
)

OBJECTIVE = Asimov(["ggH", "qqH"]) + MinBackground(10.0)


def yields(background=(80.0, 40.0, 20.0)) -> Yields:
    sumw = np.array([[2.0, 5.0, 9.0], [1.0, 3.0, 0.5], background, [30.0, 10.0, 5.0]])
    return Yields(("ggH", "qqH", "DY", "TT"), sumw, 0.1 * np.abs(sumw), np.ones((4, 3), np.int64))


def test_a_row_quotes_the_objective_without_its_floors():
    row = evaluate("learned", "held-out", yields(), OBJECTIVE)
    each = Asimov(["ggH", "qqH"]).each(yields())
    assert row.significances == each
    assert row.combined == pytest.approx(math.sqrt(each["ggH"] * each["qqH"]))
    assert row.combined_uncertainty == simulation_uncertainty(OBJECTIVE.value, yields())
    assert row.combined_uncertainty > 0
    assert (row.scheme, row.events, row.n_categories) == ("learned", "held-out", 3)


def test_background_is_what_is_not_a_signal():
    row = evaluate("learned", "all", yields(), OBJECTIVE)
    assert row.min_background == 25.0
    assert row.min_effective_events == pytest.approx(25.0**2 / 2.5)
    assert row.without_background == []


def test_categories_without_background_are_listed_and_contribute_nothing():
    row = evaluate("learned", "all", yields(background=(80.0, -10.0, -7.5)), OBJECTIVE)
    alone = yields()
    first = Yields(alone.processes, alone.sumw[:, :1], alone.sumw2[:, :1], alone.count[:, :1])
    assert row.without_background == [1, 2]
    assert row.significances == evaluate("learned", "all", first, OBJECTIVE).significances
    assert row.min_effective_events == 0.0
    assert row.min_background == -2.5


def test_a_row_becomes_json():
    row = evaluate("learned", "all", yields(background=(80.0, -10.0, -7.5)), OBJECTIVE)
    assert json.loads(json.dumps(row.as_dict())) == row.as_dict()
    assert set(row.as_dict()) >= {"scheme", "events", "significances", "combined", "without_background"}


def test_the_table_says_on_which_events_a_number_was_computed():
    rows = [
        evaluate(scheme, events, yields(), OBJECTIVE)
        for scheme in ("learned", "equidistant")
        for events in ("training", "held-out", "all")
    ]
    text = to_text(significance_table(rows, "Expected significance"))
    lines = text.splitlines()
    assert "Expected significance" in lines[0]
    for word in ("learned", "equidistant"):
        assert text.count(word) == 1
    for word in ("training", "held-out", "all"):
        assert text.count(word) == 2
    for value in (*rows[0].significances.values(), rows[0].combined, rows[0].combined_uncertainty):
        assert f"{value:.4f}" in text
    assert all(heading in text for heading in ("Z ggH", "Z qqH", "combined", "min B", "n_eff"))


def test_a_fit_reports_on_cells():
    assert [row.events for row in fit_rows(yields(), yields(), OBJECTIVE)] == [
        "training cells",
        "held-out cells",
    ]
    assert [row.events for row in fit_rows(yields(), None, OBJECTIVE)] == ["training cells"]


def bracket(upper: float = 0.7, unresolved: float = 0.05) -> Limit:
    size = CellSize((0.5, 0.25), 120, 0.69, 0.02, 0.66, unresolved, 0.6, 0.01)
    return Limit(0.6, 0.01, upper, 0.02, unresolved, (size, size))


def test_the_limit_in_words():
    words = limit_in_words(bracket())
    assert words.startswith(
        "Infinitely many categories would give between 0.6000 ± 0.0100 and 0.7000 ± 0.0200. The upper bound "
        "assumes that "
    )
    assert "rare" not in words
    assert "up to 12 % of Z² is where simulated background is too rare" in limit_in_words(
        bracket(unresolved=0.12)
    )
    without = limit_in_words(bracket(upper=math.inf))
    assert "above 0.6000 ± 0.0100, without an upper bound: simulated background is too rare" in without
    assert without.endswith("simulate more background.")


def test_what_is_reached_in_words():
    row = evaluate("learned", "held-out", yields(), OBJECTIVE)
    least, most = (f"{100 * row.combined / bound:.1f}" for bound in (0.7, 0.6))
    words = reach_in_words(row, bracket(), Split(0.0123, 0.0045))
    assert words.startswith(f"3 categories reach {least} to {most} % of that (held-out); one more, ")
    assert "would add 0.01230 ± 0.00450; a new training" in words
    assert "no split of one of them pays (-0.00500 ± 0.00300 " in reach_in_words(
        row, bracket(), Split(-0.005, 0.003)
    )
    assert f"at most {most} %" in reach_in_words(row, bracket(upper=math.inf), Split(0.0, 0.0))


def test_the_table_of_the_limit_has_a_row_for_each_size():
    text = to_text(limit_table(bracket()))
    assert text.count("0.5 × 0.25     120   0.6000 ± 0.0100      0.6600   0.6900 ± 0.0200        5.0 %") == 2
    assert "between 0.6000 ± 0.0100 and 0.7000 ± 0.0200" in text
