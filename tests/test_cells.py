"""Cells add up like a histogram: whatever the order, the chunks, or the way addresses are looked up."""

import math
from dataclasses import replace
from functools import reduce
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortado.cells import MOMENTS, SUMABSW, SUMW, SUMW2, Cells, Joint, Source
from cortado.errors import InputError
from cortado.kernels import sum_records
from cortado.numbering import distinct, in_order, numbers
from cortado.tally import Tally

DIMENSIONS = 2
# From a dense table of cells over a sorted list to addresses that 64 bits cannot number.
REACHES = {"dense": 2, "sparse": 10**6, "beyond 64 bits": 2**52, "any integer": 2**62}


class Event(NamedTuple):
    dataset: str
    fold: int
    key: tuple[int, ...]
    weight: float
    u: tuple[float, ...]


def events(reach: int, max_size: int = 40):
    """Lists of events, some of which share their cell."""
    integers = st.one_of(st.integers(-reach, reach), st.sampled_from([-reach, -1, 0, reach]))
    floats = st.floats(-1e3, 1e3, allow_subnormal=False)
    weights = st.one_of(st.floats(-10, 10, allow_subnormal=False), st.sampled_from([0.0, 1.0, -1.0]))
    pairs = (st.tuples(integers, integers), st.tuples(floats, floats))
    one = st.builds(Event, st.sampled_from(["a", "b"]), st.integers(0, 2), pairs[0], weights, pairs[1])
    return st.lists(one, max_size=max_size)


def any_events(max_size: int = 40):
    return st.sampled_from(list(REACHES.values())).flatmap(lambda reach: events(reach, max_size))


def fill(chunk: list[Event]) -> Cells:
    """The cells of some events, filled one dataset at a time as processors do."""
    total = Cells.empty(DIMENSIONS, DIMENSIONS)
    for dataset in sorted({e.dataset for e in chunk}):
        part = [e for e in chunk if e.dataset == dataset]
        total += Cells.from_events(
            Source(dataset),
            np.array([(e.fold, *e.key) for e in part], np.int64),
            np.array([e.weight for e in part]),
            np.array([e.u for e in part]),
        )
    return total


def rows(cells: Cells) -> dict[tuple[Source, tuple[int, ...]], tuple[list[float], int]]:
    """A table as a dictionary; a row that came twice would be lost, so they are counted."""
    table = {
        (cells.sources[s], tuple(key)): (sums, n)
        for s, key, sums, n in zip(
            cells.source.tolist(), cells.key.tolist(), cells.sums.tolist(), cells.count.tolist(), strict=True
        )
    }
    assert len(table) == len(cells)
    return table


def naive(chunk: list[Event]) -> dict[tuple[Source, tuple[int, ...]], tuple[list[float], int]]:
    """The same without numpy, with exact sums."""
    found: dict[tuple[Source, tuple[int, ...]], list[Event]] = {}
    for e in chunk:
        found.setdefault((Source(e.dataset, fold=e.fold), e.key), []).append(e)
    return {
        place: (
            [
                math.fsum(e.weight for e in group),
                math.fsum(e.weight**2 for e in group),
                math.fsum(abs(e.weight) for e in group),
                *(math.fsum(abs(e.weight) * e.u[i] for e in group) for i in range(DIMENSIONS)),
            ],
            len(group),
        )
        for place, group in found.items()
    }


def assert_close(one, other) -> None:
    """Same rows, counts exactly; sums to 1e-9 of what their terms add up to without signs."""
    assert one.keys() == other.keys()
    for place, (sums, count) in one.items():
        sums_there, count_there = other[place]
        assert count == count_there
        size = np.array([sums[SUMABSW], sums[SUMW2], sums[SUMABSW], *[1e3 * sums[SUMABSW]] * DIMENSIONS])
        assert np.all(np.abs(np.subtract(sums, sums_there)) <= 1e-9 * size + 1e-300), place


@given(chunk=any_events())
def test_sums_are_those_of_a_dictionary(chunk):
    cells = fill(chunk)
    assert_close(rows(cells), naive(chunk))
    assert cells.sources == tuple(sorted({Source(e.dataset, fold=e.fold) for e in chunk}))
    assert cells.key.dtype == cells.count.dtype == cells.source.dtype == np.int64
    assert cells.sums.dtype == np.float64


@given(chunk=any_events())
def test_rows_are_unique_and_sorted(chunk):
    cells = fill(chunk)
    places = [(s, *key) for s, key in zip(cells.source.tolist(), cells.key.tolist(), strict=True)]
    assert places == sorted(set(places))


@given(chunk=any_events(), data=st.data())
def test_chunks_and_order_do_not_matter(chunk, data):
    whole = fill(chunk)
    shuffled = data.draw(st.permutations(chunk))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(chunk)), max_size=5)))
    parts = [fill(shuffled[i:j]) for i, j in zip([0, *cuts], [*cuts, len(chunk)], strict=True)]
    total = reduce(Cells.__add__, parts)
    assert total.sources == whole.sources
    assert_close(rows(total), rows(whole))
    assert np.array_equal(total.key, whole.key)
    assert np.array_equal(total.count, whole.count)


@given(one=any_events(15), two=any_events(15), three=any_events(15))
def test_addition_is_commutative_and_associative_and_has_an_identity(one, two, three):
    a, b, c = fill(one), fill(two), fill(three)
    nothing = Cells.empty(DIMENSIONS, DIMENSIONS)
    assert rows(a + b) == rows(b + a)
    assert (a + b).sources == (b + a).sources
    assert_close(rows((a + b) + c), rows(a + (b + c)))
    assert rows(a + nothing) == rows(nothing + a) == rows(a)
    assert (a + nothing).sources == a.sources


@given(chunk=events(2))
def test_every_way_to_look_up_addresses_gives_the_same(chunk):
    """One far away cell more makes the same events sparse, or too far apart for 64 bits."""
    dense = rows(fill(chunk))
    for reach in (10**8, 2**40, 2**62):
        far = Event("a", 0, (reach, -reach), 1.0, (0.0, 0.0))
        table = rows(fill([*chunk, far]))
        del table[Source("a"), far.key]
        assert_close(table, dense)


@pytest.mark.parametrize(("distance", "sizes"), [(1, [4]), (1000, []), (10**9, [0])])
def test_no_table_of_a_box_is_made_for_distant_cells(monkeypatch, distance, sizes):
    """Two cells 10⁹ apart in each direction must not cost 10¹⁸ of memory."""
    made: list[int] = []

    def noting(records, seen, *others):
        made.append(len(seen))
        return sum_records(records, seen, *others)

    monkeypatch.setattr("cortado.tally.sum_records", noting)
    fill([Event("a", 0, (i * distance, i * distance), 1.0, (0.0, 0.0)) for i in range(2)])
    assert made == sizes


@pytest.mark.parametrize("far", [1, 1000, 10**8])
def test_events_may_come_in_any_order(far):
    """Those far from the first ones are not looked up in a table, but must not be different."""
    rng = np.random.default_rng(5)
    address = np.sort(rng.integers(-30, 30, (500, 3)), axis=0) * [1, far, far]
    weight, u = rng.normal(1, 1, 500), rng.normal(0, 1, (500, 2))
    tally = Tally(500, 3, 2)
    for first in range(0, 500, 50):
        part = slice(first, first + 50)
        tally.add(address[part].T.copy(), weight[part], u[part].T.copy())
    address[:, 0] += 30
    whole = Cells.from_events(Source("a"), address, weight, u)
    found = tally.rows()
    assert np.array_equal(found.key, whole.key)
    assert np.array_equal(found.n_events, whole.count)
    np.testing.assert_allclose(found.sums, whole.sums, atol=1e-12)


def test_fills_that_use_the_same_memory_do_not_disturb_one_another():
    """Neither one after the other, with what was found before, nor at the same time."""
    rng = np.random.default_rng(6)
    address = rng.integers(-30, 30, (2, 500, 3))
    weight, u = rng.normal(1, 1, (2, 500)), rng.normal(0, 1, (2, 500, 2))

    def tally(i: int) -> Tally:
        found = Tally(500, 3, 2)
        found.add(address[i].T.copy(), weight[i], u[i].T.copy())
        return found

    one = tally(0).rows()
    before = [column.copy() for column in one]
    first, second = tally(0), tally(1)
    other, again = second.rows(), first.rows()
    for column, same, repeated in zip(one, before, again, strict=True):
        assert np.array_equal(column, same)
        assert np.array_equal(column, repeated)
    assert other.sums[:, 0].sum() == pytest.approx(weight[1].sum())


@pytest.mark.parametrize("distance", [1, 10**9, 2**40, 2**62])
def test_numbers_are_in_the_order_of_the_addresses(distance):
    """Whether their box has few places, many, or more than 64 bits can tell."""
    rng = np.random.default_rng(4)
    address = np.concatenate([rng.integers(-3, 3, (3, 200)), [[0, distance]] * 3], axis=1)
    number, size = numbers(address)
    assert number.min() >= 0
    assert number.max() < size
    by_number, by_address = np.argsort(number, kind="stable"), np.lexsort(address[::-1])
    assert np.array_equal(by_number, by_address)
    assert len(np.unique(number)) == len(np.unique(address, axis=1).T)


@pytest.mark.parametrize("bits", [0, 1, 10, 11, 12, 33, 52, 53, 62])
def test_numbers_in_order_keep_equal_ones_in_their_order(bits):
    """Also those of so many bits that their indices do not fit beside them."""
    number = np.random.default_rng(bits).integers(0, 2**bits, 3000)
    number[::7] = number[0]
    packed, index_bits = in_order(number, 2**bits)
    assert np.array_equal(packed & np.uint64(2**index_bits - 1), np.argsort(number, kind="stable"))


def test_events_of_a_cell_are_added_up_in_their_order():
    """So that sums are the same to the last bit, wherever the other events are."""
    weight = np.random.default_rng(6).normal(1, 1, 500)
    cell = np.random.default_rng(7).integers(0, 5, 500)
    far = np.where(cell == 4, 10**9, cell)
    for address in (cell, far):
        cells = Cells.from_events(Source("a"), np.stack([np.zeros(500, np.int64), address]).T, weight)
        assert cells.key[:, 0].tolist() == np.unique(address).tolist()
        assert cells.sums[:, 0].tolist() == [sum(weight[cell == i].tolist()) for i in range(5)]


@given(chunk=any_events(), other=any_events(), bits=st.lists(st.integers(0, 64), min_size=2, max_size=2))
def test_a_union_knows_its_rows_before_they_are_added_up(chunk, other, bits):
    """Also when the addresses of one table lose bits; without the last of them all are 0."""
    one, two = fill(chunk), fill(other)
    joint = Joint.of((one, two), (np.array(bits), np.zeros(2, np.int64)))
    coarse = [
        e._replace(key=tuple(0 if n == 64 else k >> n for k, n in zip(e.key, bits, strict=True)))
        for e in chunk
    ]
    total = joint.cells()
    assert joint.n_rows == len(total)
    assert_close(rows(total), naive([*coarse, *other]))
    assert [(s, *k) for s, k in zip(total.source.tolist(), total.key.tolist(), strict=True)] == sorted(
        {(total.sources.index(source), *key) for source, key in rows(total)}
    )


@given(chunks=st.lists(any_events(10), min_size=1, max_size=5))
def test_many_tables_add_up_at_once_as_one_after_the_other(chunks):
    tables = [fill(chunk) for chunk in chunks]
    together = Joint.of(tables).cells()
    one_by_one = reduce(lambda a, b: Joint.of((a, b)).cells(), tables)
    assert rows(together) == rows(one_by_one)
    assert together.sources == one_by_one.sources


def test_weights_that_cancel_leave_a_row():
    cells = fill([Event("a", 0, (1, 2), w, (0.5, 0.5)) for w in (2.0, -2.0, 0.0)])
    ((sums, count),) = rows(cells).values()
    assert count == 3
    assert sums == [0.0, 8.0, 4.0, 2.0, 2.0]


def test_an_empty_fill_is_empty():
    cells = Cells.from_events(Source("a"), np.zeros((0, 3), np.int64), np.zeros(0), np.zeros((0, 2)))
    assert len(cells) == 0
    assert cells.sources == ()
    assert cells.dimensions == 2
    assert cells.sums.shape == (0, MOMENTS + 2)
    some = fill([Event("a", 0, (0, 0), 1.0, (0.0, 0.0))])
    assert rows(cells + some) == rows(some)


def test_sums_of_many_events_keep_their_digits():
    """10⁶ weights of 0.1 in one cell, in one chunk and in a thousand."""
    n = 1_000_000
    weight = np.full(n, 0.1)
    zero = np.zeros((n, 2), np.int64)

    def part(chunk: slice) -> Cells:
        return Cells.from_events(Source("a"), zero[chunk], weight[chunk])

    whole = part(slice(None))
    cut = reduce(Cells.__add__, (part(slice(i, i + 1000)) for i in range(0, n, 1000)))
    for cells in (whole, cut):
        assert cells.count.tolist() == [n]
        assert cells.sums[0] == pytest.approx([n * 0.1, n * 0.01, n * 0.1], rel=1e-9)


@given(chunk=any_events())
def test_scaling_a_dataset_scales_its_sums(chunk):
    cells = fill(chunk)
    factor = {"a": 3.0, "b": 0.5}
    scaled = cells.relabel(lambda s: s, factor)
    assert np.array_equal(scaled.count, cells.count)
    for (source, _), (sums, _), (old, _) in zip(
        rows(scaled), rows(scaled).values(), rows(cells).values(), strict=True
    ):
        f = factor[source.dataset]
        assert sums[SUMW] == f * old[SUMW]
        assert sums[SUMW2] == pytest.approx(f * f * old[SUMW2], rel=1e-15)
        assert sums[SUMABSW:] == [f * value for value in old[SUMABSW:]]


@given(chunk=any_events())
def test_sources_of_one_name_are_merged(chunk):
    merged = fill(chunk).relabel(lambda s: Source("all", fold=s.fold))
    renamed = [e._replace(dataset="all") for e in chunk]
    assert_close(rows(merged), naive(renamed))
    assert merged.sources == tuple(sorted({Source("all", fold=e.fold) for e in chunk}))


@given(chunk=any_events())
def test_selection_keeps_the_rows_of_its_sources(chunk):
    cells = fill(chunk)

    def keep(source: Source) -> bool:
        return source.fold == 1

    assert rows(cells.select(keep)) == {p: v for p, v in rows(cells).items() if keep(p[0])}
    rest = cells.select(lambda s: not keep(s))
    assert rows(cells.select(keep) + rest) == rows(cells)
    assert rows(cells.select(lambda _: False)) == {}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Cells.empty(1, 2), "addresses of 2 and 1 integers, 5 and 5 sums"),
        (Cells.empty(2, 0), "addresses of 2 and 2 integers, 5 and 3 sums"),
    ],
)
def test_tables_of_different_shape_do_not_add_up(other, message):
    with pytest.raises(InputError, match=message):
        Cells.empty(2, 2) + other


def test_only_cells_can_be_added():
    with pytest.raises(TypeError):
        Cells.empty(2) + 1  # type: ignore[operator]


def test_a_table_is_not_changed_by_what_is_made_of_it():
    cells = fill([Event("a", 0, (0, 0), 2.0, (1.0, 5.0)), Event("b", 1, (3, 0), 1.0, (1.0, 5.0))])
    before = replace(cells, sums=cells.sums.copy(), key=cells.key.copy())
    cells.relabel(lambda s: s, {"a": 2.0, "b": 2.0})
    cells.select(lambda s: s.dataset == "a")
    _ = cells + cells
    assert rows(cells) == rows(before)


@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.integers(-2, 2)), max_size=30),
    stretch=st.sampled_from([1, 2**20, 2**40]),
)
def test_different_rows_are_found_near_and_far(rows, stretch):
    """Rows that span more than 62 bits have no number each."""
    address = np.array(rows, np.int64).reshape(-1, 2) * stretch
    unique, index = distinct(address)
    np.testing.assert_array_equal(unique, np.unique(address, axis=0))
    np.testing.assert_array_equal(unique[index], address)
