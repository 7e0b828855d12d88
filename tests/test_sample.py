"""Samples: what a fit learns from is the same however the events were read."""

import math
from collections import Counter
from functools import reduce
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from cortado import toys
from cortado.cells import MOMENTS, SUMABSW, SUMW, SUMW2, Joint, Source
from cortado.coordinates import Features, Identity
from cortado.errors import ConfigError, InputError
from cortado.models import GaussianMixture
from cortado.normalisation import Normalisation, weight_factor
from cortado.objectives import Asimov, MinBackground, Objective
from cortado.objectives.yields import Yields
from cortado.points import Points, to_24_bits
from cortado.sample import DEFAULT_MAX_CELLS, Sample
from cortado.training import fit

FEATURES = Features.declare(["a", "b"], [Identity(features=("a", "b"), width=(0.5, 0.25))], {"b": -999.0})
N_FOLDS = 3
NAMES = ("one", "two")

values = st.one_of(st.floats(-5, 5, allow_subnormal=False), st.sampled_from([0.0, 0.25, -0.25, 0.5]))
weights = st.one_of(st.floats(-2, 5, allow_subnormal=False), st.sampled_from([0.0, 1.0]))
special = st.one_of(values, st.sampled_from([math.nan, math.inf, -999.0]))


def event_lists(x=values, max_size=30):
    """(dataset, a, b, weight, identifier) of events."""
    event = st.tuples(st.sampled_from(NAMES), x, x, weights, st.integers(0, 2**64 - 1))
    return st.lists(event, max_size=max_size)


def fill(events, n_folds=N_FOLDS, max_cells=DEFAULT_MAX_CELLS) -> Sample:
    total = Sample.empty(FEATURES, n_folds, max_cells)
    for dataset in NAMES:
        part = [e for e in events if e[0] == dataset]
        x = np.array([e[1:3] for e in part], np.float64).reshape(-1, 2)
        event_id = np.array([e[4] for e in part], np.uint64)
        w = [e[3] for e in part]
        total += Sample.from_events(FEATURES, n_folds, Source(dataset), x, w, event_id, max_cells)
    return total


def assert_equal(one: Sample, other: Sample) -> None:
    """Counts exactly, sums to 1e-9 of Σ|w|, which coordinates up to 5 multiply."""
    a, b = one.cells, other.cells
    assert a.sources == b.sources
    for name in ("source", "key", "count"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    size = np.maximum(a.sums[:, SUMABSW : SUMABSW + 1], a.sums[:, SUMW2 : SUMW2 + 1])
    assert np.all(np.abs(a.sums - b.sums) <= 1e-9 * 5 * size)
    assert one.invalid == other.invalid
    assert one.missing == other.missing
    assert (one.features, one.n_folds) == (other.features, other.n_folds)
    assert (one.max_cells, one.doublings) == (other.max_cells, other.doublings)


def toy(rng=None, n=500, **options) -> Sample:
    rng = rng or np.random.default_rng(3)
    return Sample.from_arrays(
        {
            "sig": (rng.normal(1, 1, (n, 2)), np.full(n, 0.1)),
            "bkg": (rng.normal(-1, 1, (2 * n, 2)), rng.normal(1, 1, 2 * n)),
        },
        **options,
    )


def points_of(key, mass, n_processes=2) -> Points:
    """Points in given cells of width 1, in their centres."""
    key = np.array(key, np.int64)
    sumw = np.outer(np.arange(1, n_processes + 1), mass)
    count = np.ones((n_processes, len(key)), np.int64)
    dimensions = key.shape[1]
    features = Features.declare([f"x{i}" for i in range(dimensions)])
    widths, mass = np.ones(dimensions), np.array(mass, float)
    return Points(features, NAMES[:n_processes], key + 0.5, sumw, sumw**2, count, key, widths, mass)


# --- adding up ----------------------------------------------------------------------------------------------


@given(events=event_lists(special), data=st.data())
def test_chunks_and_order_do_not_matter(events, data):
    shuffled = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    parts = [fill(shuffled[i:j]) for i, j in zip([0, *cuts], [*cuts, len(events)], strict=True)]
    assert_equal(reduce(Sample.__add__, parts), fill(events))


def test_a_digest_is_that_of_the_events_and_not_of_the_chunks():
    random = np.random.default_rng(1)
    x, w, ids = random.normal(0, 1, (5_000, 2)), random.normal(1, 0.5, 5_000), np.arange(5_000)
    features = Features.declare(["a", "b"], [{"kind": "linear", "features": ["a", "b"], "range": [-5, 5]}])

    def digest(*chunks: np.ndarray, weight: np.ndarray = w, n_folds: int = 2) -> str:
        parts = [Sample.from_events(features, n_folds, Source("p"), x[c], weight[c], ids[c]) for c in chunks]
        return reduce(Sample.__add__, parts).digest

    whole = digest(ids)
    assert len(whole) == 64
    assert digest(*np.split(random.permutation(ids), [1_000, 1_001, 4_000])) == whole
    other = {digest(ids[1:]), digest(ids, weight=w * 1.0001), digest(ids, n_folds=3)}
    assert len(other | {whole}) == 4


@given(one=event_lists(special, 10), two=event_lists(special, 10), three=event_lists(special, 10))
def test_addition_is_commutative_and_associative_and_has_an_identity(one, two, three):
    a, b, c = fill(one), fill(two), fill(three)
    assert_equal(a + b, b + a)
    assert_equal((a + b) + c, a + (b + c))
    assert_equal(a + Sample.empty(FEATURES, N_FOLDS), a)
    assert_equal(Sample.empty(FEATURES, N_FOLDS) + a, a)


@given(events=event_lists(special))
def test_every_event_is_used_missing_or_invalid(events):
    sample = fill(events)
    missing = Counter(e[0] for e in events if e[2] == -999.0)
    invalid = Counter(
        (e[0], name)
        for e in events
        for name, value in zip("ab", e[1:3], strict=True)
        if e[2] != -999.0 and not math.isfinite(value)
    )
    bad = sum(e[2] != -999.0 and not all(map(math.isfinite, e[1:3])) for e in events)
    assert sample.missing == missing
    assert sample.invalid == invalid
    assert sample.cells.count.sum() + missing.total() + bad == len(events)


@given(events=event_lists())
def test_sums_hold_weights_and_moments(events):
    sample = fill(events)
    cells = sample.cells.relabel(lambda s: Source(s.dataset))
    for index, (dataset, *_) in enumerate(cells.sources):
        part = [e for e in events if e[0] == dataset]
        total = cells.sums[cells.source == index].sum(axis=0)
        w = np.array([e[3] for e in part])
        u = np.array([e[1:3] for e in part])
        expected = [w.sum(), (w**2).sum(), np.abs(w).sum(), *(np.abs(w) @ u)]
        np.testing.assert_allclose(total, expected, atol=1e-9)


@given(events=event_lists())
def test_cells_hold_the_events_between_their_edges(events):
    for dataset, a, b, weight, event_id in events:
        key = fill([(dataset, a, b, weight, event_id)]).cells.key[0]
        width = np.array([0.5, 0.25])
        assert np.all((key * width <= [a, b]) & ([a, b] < (key + 1) * width))


@pytest.mark.parametrize(
    "other",
    [
        Sample.empty(FEATURES, 2),
        Sample.empty(
            Features.declare(["a", "b"], [Identity(features=("a", "b"), width=(0.5, 0.5))]), N_FOLDS
        ),
        Sample.empty(Features.declare(["a", "c"], "logit"), N_FOLDS),
        Sample.empty(FEATURES, N_FOLDS, max_cells=7),
    ],
    ids=["folds", "widths", "features", "max_cells"],
)
def test_samples_of_different_kind_do_not_add_up(other):
    with pytest.raises(InputError, match="different features, coordinates, cell widths, folds or max_cells"):
        Sample.empty(FEATURES, N_FOLDS) + other


def test_missing_may_be_nan_and_samples_still_add_up_after_travelling():
    import pickle

    features = Features.declare(["a"], [Identity(features=("a",), width=(1.0,))], {"a": math.nan})
    part = Sample.from_events(features, 1, Source("one"), [[math.nan], [1.0]], [1.0, 1.0], None)
    total = pickle.loads(pickle.dumps(part)) + part
    assert total.missing == {"one": 2}
    assert total.invalid == {}
    assert total.cells.count.tolist() == [2]


# --- points -------------------------------------------------------------------------------------------------


@given(events=event_lists().filter(len))
def test_points_lie_in_their_cells_at_the_centroid(events):
    points = fill(events).points()
    width = np.array([0.5, 0.25])
    assert np.all(points.place >= points.key * width - 1e-6)  # points have 24 bits
    assert np.all(points.place <= (points.key + 1) * width + 1e-6)
    for key, place, mass in zip(points.key, points.place, points.mass, strict=True):
        inside = [e for e in events if np.all(np.floor(np.array(e[1:3]) / width) == key)]
        absolute = np.abs([e[3] for e in inside])
        assert mass == pytest.approx(absolute.sum(), rel=1e-7)
        if mass > 1e-200:
            expected = absolute @ np.array([e[1:3] for e in inside]) / absolute.sum()
            np.testing.assert_allclose(place, expected, rtol=1e-7, atol=1e-9)
        elif mass == 0:
            np.testing.assert_allclose(place, (key + 0.5) * width)


@given(values=st.lists(st.floats(-1e300, 1e300, allow_subnormal=False)))
def test_points_are_rounded_to_24_bits_in_the_whole_range(values):
    exact = np.array(values, np.float64)
    rounded = to_24_bits(exact)
    assert np.all(np.abs(rounded - exact) <= np.abs(exact) * 2.0**-24)
    mantissa = np.frexp(rounded)[0] * 2**24
    assert np.array_equal(mantissa, np.rint(mantissa))
    assert np.array_equal(to_24_bits(rounded), rounded)


def test_folds_are_scaled_to_the_full_luminosity():
    sample = toy(n_folds=5)
    full = sample.points()
    assert full.processes == ("bkg", "sig")
    assert full.sumw.sum(axis=1) == pytest.approx(sample.points(range(5)).sumw.sum(axis=1))
    assert full.sumw[1].sum() == pytest.approx(50.0)
    parts = [sample.points([fold]) for fold in range(5)]
    rest = sample.points([0, 2, 3, 4])
    for name, power in (("sumw", 1), ("sumw2", 2)):
        raw = [getattr(p, name).sum(axis=1) / 5**power for p in parts]
        np.testing.assert_allclose(np.sum(raw, axis=0), getattr(full, name).sum(axis=1))
        expected = (np.sum(raw, axis=0) - raw[1]) * (5 / 4) ** power
        np.testing.assert_allclose(getattr(rest, name).sum(axis=1), expected)
    assert sum(p.count.sum() for p in parts) == full.count.sum() == 1500
    assert rest.mass.sum() == pytest.approx(5 / 4 * (full.mass.sum() - parts[1].mass.sum() / 5))


def test_a_fold_given_twice_counts_once():
    sample = toy(n_folds=3)
    np.testing.assert_array_equal(sample.points([1, 1]).sumw, sample.points([1]).sumw)


@pytest.mark.parametrize("folds", [[], [2], [-1]])
def test_unknown_folds_are_refused(folds):
    with pytest.raises(ConfigError, match="folds must be some of 0 … 1"):
        toy().points(folds)


@pytest.mark.parametrize(
    ("place", "known"), [({"channel": "CR"}, "SR"), ({"variation": "jesUp"}, "nominal")], ids=str
)
def test_an_unknown_channel_or_variation_is_refused(place, known):
    with pytest.raises(InputError, match=rf"(CR|jesUp).*there are \['{known}'\]"):
        toy().points(**place)


def test_points_of_a_channel_and_variation_are_its_own():
    total = Sample.empty(FEATURES, 1)
    sources = [Source("one"), Source("one", "CR"), Source("one", variation="jesUp")]
    for n, source in enumerate(sources, 1):
        total += Sample.from_events(FEATURES, 1, source, np.zeros((n, 2)), np.ones(n), None)
    assert total.points().sumw.tolist() == [[1.0]]
    assert total.points(channel="CR").sumw.tolist() == [[2.0]]
    assert total.points(variation="jesUp").sumw.tolist() == [[3.0]]


@given(data=st.data())
def test_yields_sum_the_points_of_each_category(data):
    points = toy(n=20).points()
    n = len(points.place)
    category = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
    yields = points.yields(category, 5)
    for k in range(5):
        inside = category == k
        np.testing.assert_allclose(yields.sumw[:, k], points.sumw[:, inside].sum(axis=1), atol=1e-12)
        np.testing.assert_allclose(yields.sumw2[:, k], points.sumw2[:, inside].sum(axis=1), atol=1e-12)
        assert np.array_equal(yields.count[:, k], points.count[:, inside].sum(axis=1))
    assert yields.count.dtype == np.int64
    assert yields.processes == points.processes


# --- coarsening ---------------------------------------------------------------------------------------------

keys = st.lists(
    st.tuples(st.integers(-(2**40), 2**40), st.integers(-40, 40)), min_size=1, max_size=40, unique=True
)


@given(key=keys, limit=st.integers(1, 20), data=st.data())
@settings(max_examples=100)
def test_coarsening_keeps_sums_and_centroids(key, limit, data):
    masses = st.lists(st.floats(0.01, 100), min_size=len(key), max_size=len(key))
    points = points_of(key, data.draw(masses))
    coarse = points.coarsened(limit)
    assert len(coarse.place) <= limit
    assert len(np.unique(coarse.key, axis=0)) == len(coarse.key)
    for name in ("sumw", "sumw2", "count"):
        before, after = getattr(points, name), getattr(coarse, name)
        np.testing.assert_allclose(after.sum(axis=1), before.sum(axis=1), rtol=1e-12)
    assert coarse.count.dtype == np.int64
    assert coarse.mass.sum() == pytest.approx(points.mass.sum())
    np.testing.assert_allclose(coarse.mass @ coarse.place, points.mass @ points.place, rtol=1e-9, atol=1e-6)
    assert np.all(coarse.place >= points.place.min(axis=0) - 1e-3)
    assert np.all(coarse.place <= points.place.max(axis=0) + 1e-3)


def test_coarsening_merges_neighbours_first():
    points = points_of([(0, 0), (1, 1), (2, 0), (-1, 0)], [1.0, 3.0, 1.0, 1.0])
    coarse = points.coarsened(3)
    assert coarse.key.tolist() == [[-1, 0], [0, 0], [1, 0]]
    assert coarse.place.tolist() == [[-0.5, 0.5], [1.25, 1.25], [2.5, 0.5]]
    assert coarse.sumw.tolist() == [[1.0, 4.0, 1.0], [2.0, 8.0, 2.0]]


def test_coarsening_leaves_few_points_as_they_are():
    points = points_of([(0, 0), (7, 7)], [1.0, 2.0])
    assert points.coarsened(2) is points


def test_cells_on_either_side_of_zero_end_in_one():
    points = points_of([(-1, -1), (-1, 0), (0, -1), (0, 0)], [1.0, 1.0, 1.0, 1.0])
    coarse = points.coarsened(1)
    assert coarse.place.tolist() == [[0.0, 0.0]]
    assert coarse.sumw.tolist() == [[4.0], [8.0]]


def test_places_without_weight_stay_finite():
    coarse = points_of([(0, 0), (1, 0), (8, 8)], [0.0, 0.0, 1.0]).coarsened(2)
    assert np.isfinite(coarse.place).all()
    assert coarse.place[0].tolist() == pytest.approx([1.0, 0.5])
    nothing = points_of([(0, 0), (1, 0)], [0.0, 0.0]).coarsened(1)
    assert nothing.place.tolist() == [[1.0, 0.5]]


def test_coarsening_to_nothing_is_refused():
    with pytest.raises(ConfigError, match="limit must be at least 1, got 0"):
        points_of([(0, 0)], [1.0]).coarsened(0)


# --- a limit to the number of cells -------------------------------------------------------------------------

limits = st.integers(1, 12)


@given(events=event_lists(special), max_cells=limits, data=st.data())
def test_with_a_limit_chunks_and_order_do_not_matter_either(events, max_cells, data):
    shuffled = data.draw(st.permutations(events))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    parts = [
        fill(shuffled[i:j], max_cells=max_cells)
        for i, j in zip([0, *cuts], [*cuts, len(events)], strict=True)
    ]
    while len(parts) > 1:
        at = data.draw(st.integers(0, len(parts) - 2))
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    assert_equal(parts[0], fill(events, max_cells=max_cells))


@given(events=event_lists().filter(len), max_cells=limits)
def test_cells_are_doubled_until_there_are_few_enough_and_not_more_often(events, max_cells):
    free, limited = fill(events), fill(events, max_cells=max_cells)
    assert len(limited.cells) <= max(max_cells, len(limited.cells.sources))
    if limited.doublings:
        assert Joint.of([free.cells], [free._shift(limited.doublings - 1)]).n_rows > max_cells
    total = fill(events).cells.relabel(lambda _: Source("all"))
    assert limited.cells.count.sum() == total.count.sum()
    np.testing.assert_allclose(limited.cells.sums.sum(axis=0), total.sums.sum(axis=0), rtol=1e-9, atol=1e-9)
    for event in events[: 3 if limited.doublings < 50 else 0]:  # then all are in one
        assert (np.floor(np.array(event[1:3]) / limited.widths) == limited.cells.key).all(axis=1).any()


def test_cells_are_doubled_along_one_coordinate_after_the_other():
    x = np.stack(np.meshgrid(np.arange(8) / 2, np.arange(8) / 4, indexing="ij"), axis=-1).reshape(-1, 2)
    shapes = {}
    for max_cells in (64, 63, 31, 15, 7, 3, 1):
        sample = Sample.from_events(FEATURES, 1, Source("p"), x, np.ones(64), None, max_cells)
        shapes[max_cells] = tuple(len(set(k)) for k in sample.cells.key.T.tolist())
        points = sample.points()
        assert np.all(np.floor(points.place / points.widths) == points.key)
        assert points.count.sum() == 64
    assert shapes == {64: (8, 8), 63: (4, 8), 31: (4, 4), 15: (2, 4), 7: (2, 2), 3: (1, 2), 1: (1, 1)}


def test_the_limit_is_one_of_each_channel_and_variation():
    """A variation more does not make the cells of the nominal events coarser."""
    x = np.arange(100)[:, None] * [0.5, 0.0]
    total = Sample.empty(FEATURES, 1, max_cells=250)
    for source in (Source("p"), Source("q"), Source("p", "CR"), Source("p", variation="jesUp")):
        total += Sample.from_events(FEATURES, 1, source, x, np.ones(100), None, max_cells=250)
    assert total.doublings == 0
    assert (total + Sample.from_events(FEATURES, 1, Source("r"), x, np.ones(100), None, 250)).doublings == 1


def test_cells_on_either_side_of_zero_are_put_together_if_need_be():
    x = [[-4.0, 1e10], [4.0, -1e10]]
    sample = Sample.from_events(FEATURES, 1, Source("p"), x, [1.0, 2.0], None, max_cells=1)
    assert sample.points().sumw.tolist() == [[3.0]]


def test_a_limit_survives_a_file(tmp_path):
    sample = toy(max_cells=100)
    assert sample.doublings > 0
    sample.save(tmp_path / "sample.npz")
    assert_equal(Sample.load(tmp_path / "sample.npz"), sample)


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="max_cells must be at least 1, got 0"):
        toy(max_cells=0)


FEW_COORDINATES = [toy for toy in toys.FAMILY if Features.declare(toy.names, toy.coordinates).dimensions <= 3]


@pytest.mark.parametrize("toy", FEW_COORDINATES, ids=lambda toy: toy.name)
def test_cells_say_of_categories_what_events_say_to_a_per_mille(toy):
    """In cells of the default size; the categories are what is nearest to one of ten places."""
    arrays = toys.arrays(toy.events(seed=1, n_signal=20_000, n_background=200_000))
    sample = Sample.from_arrays(arrays, toy.coordinates, names=toy.names)
    points, scale = sample.points(), sample.points().place.std(axis=0)
    chosen = np.random.default_rng(3).choice(len(points.place), 10, p=points.mass / points.mass.sum())
    nearest = cKDTree(points.place[chosen] / scale)
    sums = np.zeros((3, len(sample.processes), 10))
    for row, process in enumerate(sample.processes):
        x, w = arrays[process]
        category = nearest.query(sample.features.forward(np.asarray(x, np.float64)) / scale)[1]
        sums[:, row] = [np.bincount(category, v, 10) for v in (w, w**2, np.ones(len(w)))]
    on_cells = points.yields(nearest.query(points.place / scale)[1], 10)
    on_events = Yields(sample.processes, sums[0], sums[1], sums[2].astype(np.int64))
    asimov = Objective((Asimov(toy.signals),))
    assert asimov.value(on_cells) == pytest.approx(asimov.value(on_events), rel=1e-3)
    assert np.any(on_cells.count != on_events.count)


def test_learned_categories_of_one_coordinate_are_worth_on_events_what_cells_say():
    """With a single coordinate every boundary cuts a cell, and a training finds where that pays."""
    toy = next(t for t in toys.FAMILY if t.name == "one score")
    arrays = toys.arrays(toy.events(seed=2, n_signal=20_000, n_background=100_000))
    sample = Sample.from_arrays(arrays, toy.coordinates, names=toy.names, n_folds=1)
    objective = Asimov(toy.signals) + MinBackground(10.0)
    found = fit(GaussianMixture(8), sample, objective, seed=1, starts=1, steps=100, evaluate_every=50)
    rows = []
    for x, w in (arrays[process] for process in found.training.processes):
        category = found.categorizer(np.asarray(x, np.float64))
        rows.append([np.bincount(category, v, 8) for v in (w, w**2, np.ones(len(w)))])
    sumw, sumw2, count = np.stack(rows, axis=1)
    on_events = Yields(found.training.processes, sumw, sumw2, count.astype(np.int64))
    assert objective.value(found.training) == pytest.approx(objective.value(on_events), rel=3e-4)


# --- from arrays --------------------------------------------------------------------------------------------


def test_arrays_become_processes():
    sample = toy()
    assert sample.processes == ("bkg", "sig")
    assert sample.features.names == ("x0", "x1")
    assert sample.n_folds == 2
    assert sample.cells.count.sum() == 1500


def test_the_same_events_as_float32_lists_or_arrays_make_the_same_sample():
    x, w = np.array([[0.5, 1.5], [2.5, 3.5]]), np.ones(2)
    expected = Sample.from_arrays({"p": (x, w)}, "identity", names=["a", "b"])
    for values, weight in ((x.astype(np.float32), w.astype(np.float32)), (x.tolist(), w.tolist())):
        assert_equal(Sample.from_arrays({"p": (values, weight)}, "identity", names=["a", "b"]), expected)


def test_declared_missing_values_do_not_stretch_the_cells():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (1000, 2))
    with_missing = x.copy()
    with_missing[::5, 0] = -999.0
    plain = Sample.from_arrays({"p": (x, np.ones(1000))}, names=["a", "b"])
    sample = Sample.from_arrays({"p": (with_missing, np.ones(1000))}, names=["a", "b"], missing={"a": -999.0})
    assert sample.features.widths == plain.features.widths
    assert sample.missing == {"p": 200}
    assert sample.cells.count.sum() == 800


FINE = [Identity(features=("x0", "x1"), width=(1e-9, 1e-9))]


def folds_of(sample: Sample) -> dict[tuple[str, int, int], int]:
    """The fold of each event of a sample whose cells hold one each."""
    cells = sample.cells
    assert np.all(cells.count == 1)
    sources = [cells.sources[i] for i in cells.source]
    return {(s.dataset, *key): s.fold for s, key in zip(sources, cells.key.tolist(), strict=True)}


def some_rows(arrays, rng, share):
    """A random share of the rows of each array, in random order."""
    rows = {p: rng.permutation(len(w))[: int(share * len(w))] for p, (_, w) in arrays.items()}
    return {p: (x[rows[p]], w[rows[p]]) for p, (x, w) in arrays.items()}, rows


def two_processes(rng, n=1000):
    return {p: (rng.normal(i, 1, (n, 2)), rng.normal(1, 0.1, n)) for i, p in enumerate(("bkg", "sig"))}


@pytest.mark.parametrize("share", [1.0, 0.3])
@pytest.mark.parametrize("numbered", [False, True], ids=["content", "numbers"])
@pytest.mark.parametrize("n_folds", [2, 3])
def test_the_fold_of_an_event_depends_on_nothing_but_the_event(share, numbered, n_folds):
    rng = np.random.default_rng(7)
    arrays = two_processes(rng)
    ids = {p: rng.integers(0, 2**63, len(w)) for p, (_, w) in arrays.items()} if numbered else None
    expected = folds_of(Sample.from_arrays(arrays, FINE, n_folds=n_folds, event_ids=ids))
    part, rows = some_rows(arrays, rng, share)
    ids_of_part = {p: ids[p][rows[p]] for p in arrays} if ids else None
    folds = folds_of(Sample.from_arrays(part, FINE, n_folds=n_folds, event_ids=ids_of_part))
    assert len(folds) == share * 2000
    assert folds == {event: expected[event] for event in folds}
    alone = folds_of(Sample.from_arrays({"sig": part["sig"]}, FINE, n_folds=n_folds, event_ids=ids_of_part))
    assert alone == {event: fold for event, fold in folds.items() if event[0] == "sig"}


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_folds_of_arrays_are_roughly_equal(n_folds):
    cells = Sample.from_arrays(two_processes(np.random.default_rng(8), 10_000), n_folds=n_folds).cells
    counts = np.bincount(cells.source, weights=cells.count)  # of each process in each fold
    assert len(counts) == 2 * n_folds
    expected = 10_000 / n_folds
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 2 * (n_folds - 1) + 5 * np.sqrt(4 * n_folds)


def test_event_numbers_decide_the_fold():
    rng = np.random.default_rng(9)
    arrays = two_processes(rng, 50)
    numbers: dict[str, npt.ArrayLike] = {
        "bkg": np.arange(50),
        "sig": np.arange(50, dtype=np.uint32),
        "not used": [1],
    }
    sample = Sample.from_arrays(arrays, FINE, n_folds=3, event_ids=numbers)
    features = sample.features
    for process, (x, w) in arrays.items():
        part = Sample.from_events(features, 3, Source(process), x, w, np.arange(50))
        assert folds_of(part).items() <= folds_of(sample).items()


X, W = np.arange(6.0).reshape(3, 2), np.ones(3)
ERRORS = {
    "nothing": ({}, {}, InputError, "at least one process"),
    "flat": ({"p": (W, W)}, {}, InputError, r"process 'p': .*\(n, D\).*got \(3,\) and \(3,\)"),
    "weights": ({"p": (X, W[:2])}, {}, InputError, r"process 'p': .*got \(3, 2\) and \(2,\)"),
    "depth": ({"p": (X, W), "q": (X[:, :1], W)}, {}, InputError, r"same number of features, got \[1, 2\]"),
    "names": ({"p": (X, W)}, {"names": ["a"]}, InputError, r"names must be one a feature, 2, got \['a'\]"),
    "empty": ({"p": (X, W), "q": (X[:0], W[:0])}, {}, InputError, "selected in: 'q'"),
    "nan": ({"p": (X * np.nan, W)}, {}, InputError, "not finite.*3 of 'x0' in 'p', 3 of 'x1' in 'p'"),
    "infinite weight": ({"p": (X, W * np.inf)}, {}, InputError, "weight must be finite, got 3"),
    "all missing": ({"p": (X * 0, W)}, {"missing": {"x0": 0.0}}, InputError, "selected in: 'p'"),
    "negative": ({"p": (X, -W)}, {}, InputError, "process 'p' has a total weight of -3; it must be positive"),
    "zero": ({"p": (X, 0 * W)}, {}, InputError, "process 'p' has a total weight of 0;"),
    "kind": ({"p": (X, W)}, {"coordinates": "polar"}, InputError, "got 'polar'"),
    "no fold": ({"p": (X, W)}, {"n_folds": 0}, ConfigError, "n_folds must be at least 1, got 0"),
    "no numbers": (
        {"p": (X, W), "q": (X, W)},
        {"event_ids": {"p": [1, 2, 3]}},
        InputError,
        r"^event_ids must have the event numbers of every process, got some of \['p'\] and none of 'q'$",
    ),
    "few numbers": (
        {"p": (X, W)},
        {"event_ids": {"p": [1, 2]}, "n_folds": 1},
        InputError,
        r"^event_ids\['p'\] must be one integer an event, shape \(3,\), got int64 of shape \(2,\)",
    ),
    "broken numbers": (
        {"p": (X, W)},
        {"event_ids": {"p": [1.0, 2.0, 3.0]}},
        InputError,
        r"^event_ids\['p'\] must be one integer an event, shape \(3,\), got float64",
    ),
    "far away": (
        {"p": (np.array([[1.0], [1e300]]), W[:2])},
        {"coordinates": [{"kind": "identity", "features": ["x0"], "width": [1e-3]}]},
        InputError,
        r"dataset 'p': a value of \['x0'\] is more than 9e\+15 cell widths \[0.001\]",
    ),
}


@pytest.mark.parametrize(("processes", "options", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_arrays_that_make_no_sample_are_refused_with_the_reason(processes, options, error, message):
    with pytest.raises(error, match=message):
        Sample.from_arrays(processes, **options)


def test_a_sample_needs_widths():
    with pytest.raises(ConfigError, match=r"every coordinate needs a cell width, got \(None,\)"):
        Sample.empty(Features.declare(["a"]))


def test_only_nominal_events_must_have_a_positive_total():
    nominal = Sample.from_events(FEATURES, 1, Source("one"), np.zeros((2, 2)), [1.0, 1.0], None)
    shifted = Sample.from_events(
        FEATURES, 1, Source("one", variation="jesUp"), np.zeros((1, 2)), [-3.0], None
    )
    assert (nominal + shifted).without_negative_processes().processes == ("one",)
    more = Sample.from_events(FEATURES, 1, Source("one", variation="jesUp"), np.zeros((1, 2)), [9.0], None)
    loss = Sample.from_events(FEATURES, 1, Source("one"), np.zeros((1, 2)), [-3.0], None)
    with pytest.raises(InputError, match="total weight of -1"):
        (nominal + loss + more).without_negative_processes()


# --- normalisation ------------------------------------------------------------------------------------------


def test_datasets_are_scaled_and_merged_into_processes():
    sample = fill([("one", 0.1, 0.1, 1.0, 1), ("one", 3.0, 0.1, 2.0, 1), ("two", 0.2, 0.2, 1.0, 1)])
    normalised = sample.normalise(Normalisation({"one": "DY", "two": "DY"}, {"one": 2.0, "two": 10.0}))
    assert normalised.processes == ("DY",)
    cells = normalised.cells
    assert cells.count.tolist() == [2, 1]
    np.testing.assert_allclose(cells.sums[:, SUMW], [2.0 + 10.0, 4.0])
    np.testing.assert_allclose(cells.sums[:, SUMW2], [4.0 + 100.0, 16.0])
    np.testing.assert_allclose(cells.sums[:, MOMENTS], [0.2 + 2.0, 12.0])


@given(one=event_lists(max_size=15), two=event_lists(max_size=15))
def test_normalisation_and_addition_commute(one, two):
    normalisation = Normalisation({"one": "p", "two": "q"}, {"one": 3.0, "two": 0.5})
    a, b = fill(one).cells, fill(two).cells
    left = normalisation.apply(a + b)
    right = normalisation.apply(a) + normalisation.apply(b)
    assert left.sources == right.sources
    np.testing.assert_allclose(left.sums, right.sums, rtol=1e-12, atol=1e-9)


def test_generator_weights_are_scaled_to_the_luminosity():
    assert weight_factor(19.6, 11467.0, 476963.0) == pytest.approx(0.47122, rel=1e-4)


NORMALISATION_ERRORS = {
    "no weights": (
        lambda: weight_factor(1.0, 1.0, 0.0),
        "sum of generator weights must be positive, got 0.0",
    ),
    "nan": (lambda: weight_factor(1.0, 1.0, math.nan), "must be positive, got nan"),
    "factor": (lambda: Normalisation({"a": "p"}, {"a": -1.0}), "dataset 'a': .*positive, got -1.0"),
    "infinite": (lambda: Normalisation({"a": "p"}, {"a": math.inf}), "dataset 'a': .*got inf"),
    "no factor": (lambda: Normalisation({"a": "p", "b": "p"}, {"a": 1.0}), r"\['b'\] .*no factor"),
    "unknown": (
        lambda: fill([("two", 0.0, 0.0, 1.0, 1)]).normalise(Normalisation({"one": "p"}, {"one": 1.0})),
        r"datasets \['two'\] have no process; known are \['one'\]",
    ),
}


@pytest.mark.parametrize(("make", "message"), NORMALISATION_ERRORS.values(), ids=NORMALISATION_ERRORS)
def test_what_cannot_be_normalised_is_refused_with_the_reason(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


# --- files --------------------------------------------------------------------------------------------------


@given(events=event_lists(special))
@settings(max_examples=10)
def test_a_saved_sample_is_the_same(tmp_path_factory, events):
    sample = fill(events)
    path = tmp_path_factory.mktemp("sample") / "deep" / "sample.npz"
    sample.save(path)
    loaded = Sample.load(path)
    assert list(path.parent.iterdir()) == [path]
    assert_equal(loaded, sample)
    assert loaded.cells.sums.tobytes() == sample.cells.sums.tobytes()


def test_saving_twice_gives_the_same_bytes(tmp_path):
    toy().save(tmp_path / "a.npz")
    Sample.load(tmp_path / "a.npz").save(tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def saved(path, array):
    with path.open("wb") as file:
        np.save(file, array, allow_pickle=True)


def truncated(path):
    toy().save(path)
    path.write_bytes(path.read_bytes()[:-200])


def of_other_kind(path):
    from cortado.archive import write_archive

    write_archive(path, "cortado-category-sums-1", {}, {})


FILES = {
    "absent": Path.exists,
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a sample"),
    "folder": lambda path: path.mkdir(),
    "pickle": lambda path: saved(path, np.array([{}], object)),
    "one array": lambda path: saved(path, np.zeros(3)),
    "other archive": lambda path: np.savez(path, x=np.zeros(3)),
    "truncated": truncated,
}


@pytest.mark.parametrize("make", FILES.values(), ids=FILES)
def test_what_is_not_a_sample_is_refused(tmp_path, make):
    path = tmp_path / "sample.npz"
    make(path)
    with pytest.raises(InputError, match=r"sample\.npz is not a file of format 'cortado-sample-2'"):
        Sample.load(path)


def test_a_damaged_sample_is_refused_wherever_the_damage_is(tmp_path):
    path = tmp_path / "sample.npz"
    toy(n=50).save(path)
    intact = path.read_bytes()
    refused = 0
    for position in range(0, len(intact), max(len(intact) // 200, 1)):
        content = bytearray(intact)
        content[position] ^= 0xFF
        path.write_bytes(content)
        try:
            Sample.load(path)  # a date, say, may be wrong
        except InputError:
            refused += 1
    assert refused > 100


def test_another_format_is_named(tmp_path):
    of_other_kind(tmp_path / "sums.npz")
    with pytest.raises(InputError, match="must be 'cortado-sample-2', got 'cortado-category-sums-1'"):
        Sample.load(tmp_path / "sums.npz")
