"""Plots: the artists carry the right numbers, nothing of the caller's changes, nothing overlaps."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hist.intervals import poisson_interval
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cortado.categorizer import Categorizer, GaussianMixtureRule, GridRule
from cortado.coordinates import Features
from cortado.errors import ConfigError, InputError, OutputError
from cortado.exact import Limit
from cortado.figures import figure_style, stack_figure, write_curve, write_figures, write_stacks
from cortado.observable import Observable
from cortado.plotting import category_map, ratio, significance, significance_curve, stack
from cortado.plotting.maps import category_colours
from cortado.plotting.stack import round_scale
from cortado.report import SchemeRow
from cortado.templates import Templates, templates_from_arrays

SIGNALS = ["ggH", "qqH"]
BACKGROUNDS = ["DY", "Top", "W"]


@pytest.fixture
def axes() -> Any:
    figure = Figure(figsize=(8, 6))
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def make_templates(
    data: bool, n_categories: int = 10, decades: float = 3.0, backgrounds: int = 3
) -> Templates:
    rng = np.random.default_rng(n_categories)
    t = np.linspace(0, 1, n_categories)
    names = [*BACKGROUNDS, *(f"rare{i}" for i in range(backgrounds - 3))]
    simulated = {name: 9000 / (1 + i) * 10 ** (-decades * t) for i, name in enumerate(names)}
    observed = {"data_obs": rng.poisson(sum(simulated.values())).astype(float)} if data else {}
    values = {"ggH": 5 * t**2 + 0.1, "qqH": t**4 + 0.01, **simulated, **observed}
    return templates_from_arrays(values, {name: 0.1 * value for name, value in values.items()})


def mixture(dimensions: int, n_categories: int = 6) -> Categorizer:
    rng = np.random.default_rng(dimensions)
    root = rng.normal(0, 0.4, (n_categories, dimensions, dimensions))
    return Categorizer(
        features=Features.declare([f"f{i}" for i in range(dimensions)]),
        rule=GaussianMixtureRule.model_validate(
            {
                "weights": [1 / n_categories] * n_categories,
                "means": rng.normal(0, 2, (n_categories, dimensions)).tolist(),
                "covariances": (root @ root.transpose(0, 2, 1) + np.eye(dimensions)).tolist(),
            }
        ),
    )


def drawn(axes: Any) -> dict[str, Any]:
    """Artists by label."""
    return {label: artist for artist, label in zip(*axes.get_legend_handles_labels(), strict=True)}


def legend_texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def heights(artist: Any) -> Any:
    values, _, baseline = artist.get_data()
    return values - np.zeros_like(values) if baseline is None else values - baseline


# Stack


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("n_categories", [1, 2, 10, 30])
@pytest.mark.parametrize("decades", [0.5, 3.0])
def test_the_stack_holds_the_yields(axes, data, n_categories, decades):
    templates = make_templates(data, n_categories, decades)
    assert stack(templates, SIGNALS, ax=axes, signal_scale=50) is axes

    artists = drawn(axes)
    for name in BACKGROUNDS:
        np.testing.assert_allclose(heights(artists[name]), templates.values(name))
    total = sum(templates.values(name) for name in BACKGROUNDS)
    sigma = np.sqrt(sum(templates.variances(name) for name in BACKGROUNDS))
    # The largest is on top, so that it ends at the sum.
    np.testing.assert_allclose(artists["DY"].get_data().values, total)
    np.testing.assert_allclose(artists["MC stat. unc."].get_data().values, total + sigma)
    np.testing.assert_allclose(artists["MC stat. unc."].get_data().baseline, total - sigma)
    for name in SIGNALS:
        np.testing.assert_allclose(artists[f"{name} × 50"].get_data().values, 50 * templates.values(name))
    assert axes.get_ylabel() == ("Events" if data else "Expected events")


def test_data_carry_poisson_intervals(axes):
    templates = make_templates(data=True)
    stack(templates, SIGNALS, ax=axes)
    data: Any = templates.data
    points = drawn(axes)["Data"]
    np.testing.assert_allclose(points.lines[0].get_xydata(), np.stack([np.arange(10) + 0.5, data], 1))
    segments = np.array(points.lines[2][0].get_segments())
    np.testing.assert_allclose(segments[:, :, 1].T, poisson_interval(data))


@pytest.mark.parametrize("data", [False, True])
def test_the_legend_holds_every_process_and_the_factors(axes, data):
    templates = make_templates(data)
    stack(templates, SIGNALS, ax=axes)
    texts = legend_texts(axes)
    # Data and signals first, then the stack from top to bottom.
    factors = {
        text.split(" × ")[0]: float(text.split(" × ")[1].replace("\u2009", ""))
        for text in texts
        if "×" in text
    }
    assert list(factors) == SIGNALS
    rest = [text for text in texts if "×" not in text]
    assert rest == [*(["Data"] if data else []), *BACKGROUNDS, "MC stat. unc."]
    for text in texts:
        if "×" in text:
            name = text.split(" × ")[0]
            np.testing.assert_allclose(
                drawn(axes)[text].get_data().values, factors[name] * templates.values(name)
            )


def test_a_factor_of_one_is_not_stated(axes):
    stack(make_templates(data=False), SIGNALS, ax=axes, signal_scale=1)
    assert set(SIGNALS) <= set(drawn(axes))


@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("decades", [0.5, 3.0])
@pytest.mark.parametrize("backgrounds", [3, 14])
def test_nothing_reaches_the_legend(axes, data, decades, backgrounds):
    templates = make_templates(data, decades=decades, backgrounds=backgrounds)
    with figure_style():
        stack(templates, SIGNALS, ax=axes)
        axes.figure.canvas.draw()
        legend = axes.get_legend().get_window_extent()
    tops = [artist.get_data().values.max() for artist in axes.patches]
    if templates.data is not None:
        tops.append(poisson_interval(templates.data)[1].max())
    assert axes.transData.transform((0, max(tops)))[1] < legend.y0
    assert axes.get_window_extent().x0 < legend.x0
    assert axes.get_yscale() == ("log" if decades > 2 else "linear")


@pytest.mark.parametrize(
    ("n_categories", "labels"), [(3, ["0", "1", "2"]), (40, [str(k) for k in range(0, 40, 2)])]
)
def test_ticks_number_the_bin_centres(axes, n_categories, labels):
    stack(make_templates(data=False, n_categories=n_categories), SIGNALS, ax=axes)
    assert [tick.get_text() for tick in axes.get_xticklabels()] == labels
    np.testing.assert_array_equal(axes.get_xticks(), np.array(labels, float) + 0.5)


@pytest.mark.parametrize("events", ["all", "training", "held-out"])
def test_the_stack_says_which_events(axes, events):
    stack(replace(make_templates(data=False), events=events, channel="CR"), SIGNALS, ax=axes)
    title = axes.get_title(loc="right")
    assert f"CR: {events} events" in title
    assert ("full luminosity" in title) == (events != "all")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"ggH": [1.0, 2.0], "qqH": [0.0, 0.1]}, id="no background"),
        pytest.param({"ggH": [0.0, 0.0], "qqH": [0.0, 0.0], "DY": [0.0, 0.0]}, id="nothing at all"),
        pytest.param({"ggH": [1.0, 2.0], "qqH": [0.1, 0.1], "DY": [-1.0, 0.0]}, id="negative background"),
        pytest.param(
            {"ggH": [1.0, -2.0], "qqH": [0.1, 0.1], "DY": [1e6, 1e-9], "data_obs": [0.0, 0.0]}, id="extreme"
        ),
    ],
)
def test_odd_yields_are_drawn(axes, values):
    stack(templates_from_arrays(values, {name: np.ones(2) for name in values}), SIGNALS, ax=axes)
    axes.figure.canvas.draw()
    low, high = axes.get_ylim()
    assert np.isfinite([low, high]).all()
    assert low < high


def test_the_ratio_divides_data_by_background():
    templates = make_templates(data=True)
    figure = Figure()
    upper, lower = figure.subplots(2, sharex=True)
    assert stack(templates, SIGNALS, ax=upper, ratio_ax=lower) is upper
    data: Any = templates.data
    background: Any = sum(templates.values(name) for name in BACKGROUNDS)
    np.testing.assert_allclose(drawn(lower)["Data"].lines[0].get_ydata(), data / background)
    band = drawn(lower)["MC stat. unc."].get_data()
    sigma = np.sqrt(sum(templates.variances(name) for name in BACKGROUNDS)) / background
    np.testing.assert_allclose([band.values, band.baseline], [1 + sigma, 1 - sigma])
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "Category")


def test_points_beyond_the_ratio_axis_are_marked(axes):
    values = {"ggH": [0.1] * 4, "DY": [10.0, 10.0, 0.0, 1.0], "data_obs": [9.0, 12.0, 3.0, 20.0]}
    ratio(templates_from_arrays(values), ["ggH"], ax=axes)
    markers = next(line for line in axes.lines if line.get_marker() == "^")
    np.testing.assert_array_equal(markers.get_xdata(), [3.5])
    assert axes.get_ylim()[0] < markers.get_ydata()[0] < axes.get_ylim()[1]


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda ax: stack(make_templates(False), ["ggZ"], ax=ax), ConfigError, "ggZ"),
        (
            lambda ax: stack(make_templates(False), SIGNALS, ax=ax, signal_scale=0),
            ConfigError,
            "signal_scale.*0",
        ),
        (lambda ax: stack(make_templates(False), SIGNALS, ax=ax, ratio_ax=ax), InputError, "collision data"),
        (lambda ax: ratio(make_templates(False), SIGNALS, ax=ax), InputError, "collision data"),
    ],
)
def test_what_cannot_be_stacked_is_refused(axes, draw, error, message):
    with pytest.raises(error, match=message):
        draw(axes)


yields = st.lists(st.floats(1e-6, 1e6), min_size=4, max_size=4).map(np.array)


@given(yields, yields)
def test_the_automatic_factor_is_round_and_modest(signal, background):
    scale = round_scale(signal, background)
    assert scale >= 1
    assert f"{scale:.0e}"[0] in "125"
    assert float(f"{scale:.0e}") == pytest.approx(scale, rel=1e-12)
    if scale > 1:
        assert scale * signal.max() <= background.max() * (1 + 1e-6)
        assert scale <= np.median(background / signal) * (1 + 1e-6)


# Map

RANGES = [(-4.0, 4.0), (-3.0, 5.0), (-1.0, 1.0)]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_map_shows_the_categories(axes, dimensions):
    categorizer = mixture(dimensions)
    assert category_map(categorizer, ax=axes, ranges=RANGES[:dimensions], resolution=60) is axes

    image: Any = axes.images[0]
    columns = [low + (np.arange(60) + 0.5) * (high - low) / 60 for low, high in RANGES[: min(2, dimensions)]]
    grid = [axis.ravel() for axis in np.meshgrid(*columns)]
    middles = np.zeros((len(grid[0]), dimensions))  # the third coordinate is held at the middle of its range
    middles[:, : len(grid)] = np.transpose(grid)
    expected = categorizer.rule.assign(middles)
    np.testing.assert_array_equal(np.ravel(image.get_array()), expected)

    low, high = axes.get_xlim()
    assert (low, high) == RANGES[0]
    assert axes.get_xlabel() == categorizer.features.labels[0]
    if dimensions > 1:
        assert axes.get_ylim() == RANGES[1]
        assert axes.get_ylabel() == categorizer.features.labels[1]


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_every_number_stands_in_its_region(axes, dimensions):
    categorizer = mixture(dimensions)
    fixed = [0.3] * (dimensions - 2)
    category_map(categorizer, ax=axes, ranges=RANGES[:dimensions], fixed=fixed, resolution=100)
    for text in axes.texts:
        u = np.array([[*text.get_position()[: min(2, dimensions)], *fixed]])
        assert categorizer.rule.assign(u) == int(text.get_text())
    # Regions of a handful of pixels have no room for a number.
    pixels = np.bincount(np.ravel(axes.images[0].get_array()), minlength=categorizer.n_categories)
    assert {int(text.get_text()) for text in axes.texts} >= set(np.flatnonzero(pixels > 0.01 * pixels.sum()))


def test_numbers_stand_in_the_middle_of_a_grid(axes):
    grid = Categorizer(features=Features.declare(["a", "b"]), rule=GridRule(edges=((0.5,), (0.5,))))
    category_map(grid, ax=axes, resolution=100)  # the axes' own limits are (0, 1)
    places = {int(text.get_text()): text.get_position() for text in axes.texts}
    for k, place in enumerate([(0.25, 0.25), (0.25, 0.75), (0.75, 0.25), (0.75, 0.75)]):
        np.testing.assert_allclose(places[k], place, atol=0.02)


def test_a_section_says_where_it_lies(axes):
    features = Features.declare(["p1", "p2", "p3", "p4"], "logratio")
    categorizer = mixture(3).model_copy(update={"features": features})
    category_map(categorizer, ax=axes, ranges=RANGES, fixed=[0.25], resolution=20)
    assert axes.get_title(loc="right").replace("\u00a0", " ") == "at log(p3/p4) = 0.25"


@pytest.mark.parametrize(
    ("dimensions", "options", "message"),
    [
        (2, {"ranges": RANGES}, "ranges.*f1.*got 3"),
        (2, {"ranges": [(0, 1), (2, 2)]}, "upwards.*2"),
        (2, {"ranges": RANGES[:2], "fixed": [1.0]}, "fixed"),
        (3, {"ranges": RANGES[:2]}, "fixed.*f2"),
        (3, {"ranges": RANGES, "fixed": [1.0, 2.0]}, "fixed.*f2.*2.0"),
        (1, {"ranges": RANGES[:1], "resolution": 1}, "resolution.*1"),
    ],
)
def test_what_cannot_be_mapped_is_refused(axes, dimensions, options, message):
    with pytest.raises(ConfigError, match=message):
        category_map(mixture(dimensions), ax=axes, **options)


@pytest.mark.parametrize("n_categories", [1, 2, 10, 25])
def test_colours_brighten_with_the_category(n_categories):
    colours = category_colours(n_categories)(np.arange(n_categories))
    luminance = colours[:, :3] @ [0.299, 0.587, 0.114]
    assert (np.diff(luminance) > 0).all()


# Significances


ROWS = [
    SchemeRow(
        scheme=scheme,
        n_categories=10,
        events=events,
        significances={"ggH": value},
        combined=value + 0.1 * shift,
        combined_uncertainty=0.05,
        min_background=10.0,
        min_effective_events=100.0,
        without_background=[],
    )
    for scheme, value in [("learned", 1.4), ("equidistant", 1.1), ("argmax", 0.9)]
    for shift, events in enumerate(["training", "held-out", "all"])
]


def test_bars_hold_the_significances(axes):
    significance(ROWS, ax=axes)
    for events in ("training", "held-out", "all"):
        (bars,) = [c for c in axes.containers if c.get_label() == events]
        of_kind = [row for row in ROWS if row.events == events]
        np.testing.assert_allclose([bar.get_width() for bar in bars], [row.combined for row in of_kind])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["learned", "equidistant", "argmax"]
    texts = [text.get_text() for text in axes.texts]
    assert sorted(texts) == sorted(f"{row.combined:.3f} ± 0.050" for row in ROWS)


@pytest.mark.parametrize("rows", [[], [ROWS[0], ROWS[0]]])
def test_rows_must_be_unique(axes, rows):
    with pytest.raises(ConfigError, match="one row"):
        significance(rows, ax=axes)


# Significance against the number of categories


CURVE = [
    replace(ROWS[shift], n_categories=n, combined=1.0 - 1 / n + 0.01 * shift)
    for n in (2, 20, 5)
    for shift in (0, 1)
]


def bracket(upper: float = 1.2) -> Limit:
    return Limit(1.1, 0.05, upper, 0.06, 0.0, ())


def test_curves_hold_the_significances_in_order(axes):
    assert significance_curve(CURVE, bracket(), ax=axes) is axes
    containers: list[Any] = list(axes.containers)
    curves = {c.get_label(): c.lines[0].get_xydata() for c in containers}
    assert list(curves) == ["training", "held-out"]
    for (_, points), shift in zip(curves.items(), (0, 1), strict=True):
        np.testing.assert_allclose(points[:, 0], [2, 5, 20], atol=0.1)
        np.testing.assert_allclose(
            points[:, 1], [0.5 + 0.01 * shift, 0.8 + 0.01 * shift, 0.95 + 0.01 * shift]
        )
    assert axes.get_xticks().tolist() == [2, 5, 20]
    assert legend_texts(axes) == ["training", "held-out", "limit for K → ∞"]


@pytest.mark.parametrize(
    ("upper", "spans"),
    [(1.2, [(1.1, 1.2), (1.05, 1.1), (1.2, 1.26)]), (np.inf, [(1.1, 1.1), (1.05, 1.1)])],
)
def test_the_limit_is_a_band(axes, upper, spans):
    significance_curve(CURVE, bracket(upper), ax=axes)
    drawn = [(p.get_y(), p.get_y() + p.get_height()) for p in axes.patches]
    np.testing.assert_allclose(drawn, spans)


def test_many_numbers_have_few_ticks(axes):
    significance_curve([replace(ROWS[0], n_categories=n) for n in range(2, 60)], ax=axes)
    assert len(axes.get_xticks()) < 20
    assert (axes.get_xticks() % 1 == 0).all()
    assert legend_texts(axes) == ["training"]


def test_a_single_number_is_a_point(axes):
    significance_curve([ROWS[0]], bracket(), ax=axes)
    assert axes.containers[0].lines[0].get_xdata().tolist() == [10]


@pytest.mark.parametrize(("symbol", "quantity"), [("Z", "significance"), ("1/σ(μ)", "precision")])
def test_axes_say_what_it_is(axes, symbol, quantity):
    row = SchemeRow("learned", 3, "all", {"ggH": 1.0}, 1.0, 0.1, 10.0, 10.0, [], symbol)
    assert significance_curve([row], ax=axes).get_ylabel() == f"Combined expected {quantity}"
    assert significance([row], ax=axes).get_xlabel() == f"Combined expected {quantity}"
    assert significance([row], ax=axes, label="mine").get_xlabel() == "mine"


def test_a_curve_needs_rows(axes):
    with pytest.raises(ConfigError, match="at least one row"):
        significance_curve([], ax=axes)


def test_the_curve_is_written_and_repeats_itself(tmp_path):
    first, second = (write_curve(tmp_path / name, CURVE, bracket()) for name in ("one", "two"))
    assert [path.name for path in first] == ["significance.png", "significance.pdf"]
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]


# What does not change


@pytest.mark.parametrize("data", [False, True])
def test_drawing_changes_nothing_of_the_callers(tmp_path, data):
    templates, signals, ranges = make_templates(data), list(SIGNALS), RANGES[:2]
    before = (templates.hist.copy(), templates.counts.copy(), list(signals), list(ranges), dict(mpl.rcParams))
    write_figures(tmp_path, templates, signals, mixture(2), ranges)
    after = (templates.hist, templates.counts, signals, ranges, dict(mpl.rcParams))
    assert before[0] == after[0]
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]
    assert plt.get_fignums() == []


def test_importing_changes_no_style_and_loads_no_tensorflow():
    code = (
        "import sys, matplotlib; before = dict(matplotlib.rcParams);"
        "import cortado.plotting, cortado.figures;"
        "assert dict(matplotlib.rcParams) == before; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=os.environ)


def test_axes_default_to_the_current_ones():
    figure, axes = plt.subplots()
    try:
        assert stack(make_templates(False), SIGNALS) is axes
    finally:
        plt.close(figure)


# Files


@pytest.mark.parametrize(("data", "dimensions"), [(False, 1), (True, 2), (False, 3)])
def test_figures_are_written_and_repeat_themselves(tmp_path, data, dimensions):
    arguments = (make_templates(data), SIGNALS, mixture(dimensions), RANGES[:dimensions])
    first, second = (write_figures(tmp_path / name, *arguments) for name in ("one", "two"))
    assert [path.name for path in first] == ["stack.png", "stack.pdf", "category_map.png", "category_map.pdf"]
    assert sorted((tmp_path / "one").iterdir()) == sorted(first)
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
        assert a.read_bytes().startswith(b"\x89PNG" if a.suffix == ".png" else b"%PDF")
        assert b"CreationDate" not in a.read_bytes()


def test_a_letter_that_the_first_font_lacks_is_found_in_the_second(tmp_path):
    templates = templates_from_arrays({"H→ττ": [1.0, 2.0], "Z→νν": [100.0, 10.0]})
    assert len(write_figures(tmp_path, templates, ["H→ττ"], mixture(1), RANGES[:1])) == 4


def test_a_figure_that_cannot_be_written_leaves_nothing_half_done(tmp_path: Path):
    (tmp_path / "stack.pdf").mkdir()
    with pytest.raises(OutputError, match=r"stack\.pdf"):
        write_figures(tmp_path, make_templates(False), SIGNALS, mixture(1), RANGES[:1])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stack.pdf", "stack.png"]


def test_stacks_of_channels_are_written_side_by_side(tmp_path):
    """A control region of a single bin is drawn in the bins of its observable, categories as a whole."""
    mass = Observable.declare("m_jj", [0, 1, 2, 4])
    rows = {"ggH": [[1.0, 2.0, 1.0]], "ttbar": [[30.0, 50.0, 20.0]], "data_obs": [[29.0, 55.0, 18.0]]}
    single = templates_from_arrays(rows, observable=mass, channel="top")
    twice = {"ggH": [[1.0, 2.0, 1.0]] * 2, "ttbar": [[9.0, 8.0, 7.0]] * 2}
    several = templates_from_arrays(twice, observable=mass)
    written = write_stacks(tmp_path, [single, several], ["ggH"])
    assert [path.name for path in written] == [
        f"stack_{channel}.{kind}" for channel in ("top", "SR") for kind in ("png", "pdf")
    ]
    figure = stack_figure(single, ["ggH"])
    upper, lower = figure.axes
    assert (upper.get_xlabel(), lower.get_xlabel()) == ("", "m_jj")
    assert lower.get_xlim() == (0, 3)
    edges = {
        tick: label.get_text()
        for tick, label in zip(lower.get_xticks(), lower.get_xticklabels(), strict=True)
    }
    assert edges == {0: "0", 1: "1", 2: "2", 3: "4"}
    (axes,) = stack_figure(several, ["ggH"]).axes
    assert (axes.get_xlabel(), axes.get_xlim()) == ("Category", (0, 2))
