"""Compiled loops: kept for later processes where there is a folder for it, and compiled anew where not."""

from typing import Any

import numpy as np

from cortado.kernels import (
    addresses,
    cell_addresses,
    columns,
    compiled,
    n_within,
    number_in_box,
    row_numbers,
    row_sums,
)


def test_without_a_folder_functions_are_compiled_all_the_same():
    """As where the package, the home directory and the folder of temporary files cannot be written to."""
    names: dict[str, Any] = {}
    exec(compile("def doubled(x):\n    return 2 * x", "<nowhere>", "exec"), names)
    function = compiled(names["doubled"])
    assert function(21) == 42
    assert function.nopython_signatures


def test_numbers_of_addresses_are_those_of_numpy_and_lead_back():
    low, span = np.array([-3, 0, 5]), np.array([4, 1, 6])
    inside = np.stack(np.meshgrid(*(np.arange(n) for n in span), indexing="ij")).reshape(3, -1)
    number = number_in_box(inside + low[:, None], low, span)
    assert np.array_equal(number, np.ravel_multi_index(tuple(inside), tuple(span)))
    address = np.empty((len(number), 3), np.int64)
    addresses(number, low, span, address[:, 0], address[:, 1:])
    assert np.array_equal(address, (inside + low[:, None]).T)
    shift = np.array([0, 0])
    key = (inside[1:] + low[1:, None]).T
    assert np.array_equal(row_numbers(inside[0] + low[0], key, shift, low, span, columns(2)), number)


def test_what_is_outside_of_a_box_has_no_number():
    low, span = np.array([-3, 5]), np.array([4, 6])
    address = np.array([[-4, 1, -3, 0, 0, -(2**53)], [5, 5, 4, 11, 10, 2**53]])
    assert number_in_box(address, low, span).tolist() == [-1, -1, -1, -1, 23, -1]


def test_cells_are_those_of_numpy_on_either_side_of_zero_and_on_their_edges():
    width = np.array([0.25, 0.1])
    u = np.stack([np.arange(-8, 9) * 0.125, np.linspace(-1.0, 1.0, 17)])
    first = np.arange(17)
    address = cell_addresses(first, u, width)
    assert np.array_equal(address[0], first)
    assert np.array_equal(address[1:], np.floor(u / width[:, None]))


def test_values_within_limits_are_counted():
    for kind in (np.float64, np.float32):
        values = np.array([-0.5, 0.0, 0.25, 1.0, 1.5, np.nan, np.inf, -np.inf], kind)
        assert n_within(values, 0.0, 1.0) == 3


def test_sums_over_columns_of_one_index_are_those_of_numpy():
    random = np.random.default_rng(1)
    index = random.integers(0, 5, 40)
    for table in (random.random((3, 40)), random.integers(-9, 9, (3, 40))):
        found = row_sums(table, index, 6)
        assert found.dtype == table.dtype
        assert np.array_equal(found.T, [np.bincount(index, row, 6) for row in table])
