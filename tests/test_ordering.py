"""Sorting, places, and selections by place."""

import numpy as np
import pytest
from calls import hold
from samples import NAN, array

import chainrule as cr

A, M, V = array(2, 3, 2) * 0.37, array(3, 4) * 0.41, array(6) * 0.53


def test_sort_and_partition_take_numpys_options():
    for axis in (None, 0, -1):
        hold(lambda x, axis=axis: np.sort(x, axis=axis), A)
        hold(lambda x, axis=axis: np.partition(x, 1, axis=axis), A)
    hold(lambda x: np.sort(x, kind="heapsort"), V)
    hold(lambda x: np.sort(x, stable=True), V)
    hold(lambda x: np.partition(x, (1, -2)), V)


def test_of_equal_elements_the_first_carries_the_derivative():
    x = np.array([2.0, 1.0, 2.0, 1.0])
    for place, expected in enumerate(([0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0])):
        assert cr.grad(lambda v, k=place: np.sort(v)[k])(x).tolist() == expected


def test_a_nan_is_sorted_to_the_end_and_stays_there():
    x = np.array([NAN, 4.0, 9.0])
    assert cr.grad(lambda v: np.sort(np.sqrt(v))[0])(x).tolist() == [0, 0.25, 0]


def test_places_are_plain_integers_to_index_with():
    hold(lambda x: x[np.argsort(x)], V)
    hold(lambda x: x[np.argpartition(x, 2)[2]], V)
    hold(lambda x: x[np.argmax(x)] * x[x.argmin()], V)
    hold(lambda x: np.take_along_axis(x, np.argsort(x, axis=0), axis=0), M)
    hold(lambda x: np.take_along_axis(x, np.argmax(x, axis=1, keepdims=True), axis=1), M)

    def f(x):
        for axis, keepdims in ((None, False), (None, True), (0, False), (1, True)):
            for name in ("argmax", "argmin", "nanargmax", "nanargmin"):
                function = getattr(np, name)
                found = function(x, axis=axis, keepdims=keepdims)
                np.testing.assert_array_equal(found, function(M, axis=axis, keepdims=keepdims))
                assert found.dtype == np.intp
        np.testing.assert_array_equal(np.argsort(x, axis=0), np.argsort(M, axis=0))
        np.testing.assert_array_equal(
            np.lexsort((x, x > 0), axis=0), np.lexsort((M, M > 0), axis=0)
        )
        np.testing.assert_array_equal(np.digitize(x, [0.0, 0.5]), np.digitize(M, [0.0, 0.5]))
        np.testing.assert_array_equal(np.argwhere(x > 0), np.argwhere(M > 0))
        np.testing.assert_array_equal(np.flatnonzero(x > 0), np.flatnonzero(M > 0))
        for one, other in zip(np.nonzero(x > 0), np.nonzero(M > 0), strict=True):
            np.testing.assert_array_equal(one, other)
        return np.sum(x)

    assert cr.grad(f)(M).tolist() == np.ones((3, 4)).tolist()


def test_searchsorted_takes_traced_values_on_either_side():
    hold(lambda x: x[np.searchsorted(np.sort(x), 0.1, side="right")], V)
    hold(lambda x: x[x.searchsorted(0.1, sorter=np.argsort(x))], V)


def test_take_along_axis_takes_an_index_twice_and_broadcasts():
    x = np.array([[1.0, 2], [3, 4], [5, 6.0]])
    hold(lambda v: np.take_along_axis(v, np.array([[0], [1], [1]]), axis=1), x)
    hold(lambda v: np.take_along_axis(v, np.array([[0, 1, 1]]), axis=1), x)
    hold(lambda v: np.take_along_axis(v, np.array([1, 1, 4]), axis=None), x)
    with pytest.raises(ValueError, match="same number of dimensions"):
        cr.vjp(lambda v: np.take_along_axis(v, np.array([0]), axis=1), x)
    with pytest.raises(IndexError, match="integer"):
        cr.vjp(lambda v: np.take_along_axis(v, x, axis=1), x)


def test_unique_values_are_those_that_came_first():
    x = np.array([3.0, 1.0, 3.0, 2.0])
    hold(np.unique, np.array([3.0, 1, 2, 0.5]), vmap=False)
    assert cr.vjp(np.unique, x)[1](np.array([1.0, 2, 3]))[0].tolist() == [3, 1, 0, 2]

    def f(v):
        values, first, inverse, counts = np.unique(v, True, True, True)
        assert (first.tolist(), inverse.tolist(), counts.tolist()) == (
            [1, 3, 0], [2, 0, 2, 1], [1, 1, 2],
        )  # fmt: skip
        return np.sum(values * counts)

    assert cr.grad(f)(x).tolist() == [2, 1, 0, 1]
    rows = np.array([[1.0, 2], [1, 2], [0, 1]])
    pulled = cr.vjp(lambda v: np.unique(v, axis=0), rows)[1](np.array([[1.0, 2], [3, 4]]))[0]
    assert pulled.tolist() == [[3, 4], [0, 0], [1, 2]]


def test_a_result_whose_length_depends_on_values_is_refused_in_a_batch():
    for f in (np.unique, np.flatnonzero, np.argwhere, lambda x: np.extract(x > 0, x)):
        with pytest.raises(cr.errors.TraceError, match="length of the result"):
            cr.vmap(f)(M)


def test_partition_in_place_moves_the_derivative_along():
    def f(x):
        y = x * 1.0
        y.partition(1)
        return y[1]

    assert cr.grad(f)(np.array([3.0, 1.0, 2.0])).tolist() == [0, 0, 1]


def test_fields_of_structured_arrays_are_refused():
    with pytest.raises(cr.errors.TraceError, match="order"):
        cr.grad(lambda x: np.sum(np.sort(x, order="name")))(V)


def test_no_elements_and_no_dimensions():
    assert cr.vjp(np.sort, np.zeros((0, 2)))[1](np.zeros((0, 2)))[0].shape == (0, 2)
    assert cr.vjp(np.unique, np.zeros(0))[1](np.zeros(0))[0].shape == (0,)
    assert cr.grad(lambda x: np.sort(x, axis=None)[0] + x * np.argmax(x))(2.0) == 1.0
    with pytest.raises(np.exceptions.AxisError):
        cr.vjp(np.sort, 1.0)
    with pytest.raises(ValueError, match="0d"):
        cr.vjp(np.nonzero, 1.0)
