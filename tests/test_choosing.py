"""Choosing elements, pieces and interpolated values as NumPy calls it."""

import numpy as np
import pytest
from calls import hold
from samples import INF, NAN, array

import chainrule as cr

A, M, V, S = array(2, 3, 2) * 0.37, array(3, 4) * 0.41, array(6) * 0.53, np.float64(1.7)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
X = np.array([0.0, 0.7, 1.1, 2.5, 3.0, 4.4])
POINTS = np.array([-1.0, 0.3, 0.9, 2.0, 3.7, 9.0, 0.01])
TWICE = np.array([[0, 1], [1, 1]])


def test_take_takes_numpys_options():
    for axis in (None, 0, 1, -1):
        hold(lambda x, axis=axis: np.take(x, TWICE, axis=axis), A)
    hold(lambda x: np.take(x, [-5, 9, 1], mode="wrap"), V)
    hold(lambda x: np.take(x, [-5, 9, 1], axis=0, mode="clip"), M)
    hold(lambda x: x.take([0, 0]), V)
    hold(lambda x: np.take(x, 1), V)
    assert cr.vjp(lambda x: np.take(x, []), V)[0].shape == (0,)
    with pytest.raises(IndexError):
        cr.vjp(lambda x: np.take(x, 6), V)
    with pytest.raises(ValueError, match="clipmode"):
        cr.vjp(lambda x: np.take(x, 1, mode="around"), V)


def test_compress_and_extract_take_where_a_condition_holds():
    hold(lambda x: np.compress([True, False, True], x, axis=0), M)
    hold(lambda x: np.compress([True, False, True], x), M)
    hold(lambda x: x.compress([False, True, True], axis=1), M)
    hold(lambda x: np.extract(MASK, x), M)
    hold(lambda x: np.extract(x > 0, x), M, vmap=False)
    with pytest.raises(ValueError, match="1-d"):
        cr.vjp(lambda x: np.compress(MASK, x), M)


def test_choose_takes_numpys_modes():
    places = np.array([0, 1, 2, 1])
    hold(lambda a, b, d: np.choose(places, [a, b, d]), M, M * 2, S)
    for mode in ("wrap", "clip"):
        hold(lambda a, mode=mode: np.choose(np.array([0, 5, -1]), a, mode=mode), array(4, 3))
    with pytest.raises(ValueError, match="invalid entry"):
        cr.vjp(lambda a: np.choose(np.array([0, 5, -1]), a), array(4, 3))


def test_select_takes_the_first_choice_that_applies():
    hold(lambda x, y: np.select([x > 0.3, x < -0.3], [x * x, np.sin(y)], x * y), M, M + 0.1)
    hold(lambda x: np.select([MASK, MASK | (M > 0)], [x, 2 * x], 3.0), M)
    found = cr.grad(lambda x: np.sum(np.select([x > 0], [np.sqrt(x)])))(np.array([0.0, 4.0]))
    assert found.tolist() == [0, 0.25]
    with pytest.raises(TypeError, match="boolean"):
        cr.vjp(lambda x: np.select([np.ones(6)], [x]), V)
    with pytest.raises(ValueError, match="same length"):
        cr.vjp(lambda x: np.select([x > 0], [x, x]), V)


def test_piecewise_calls_each_function_where_its_condition_holds():
    pieces = [lambda v: v**2, np.exp, lambda v: 3 * v]
    hold(lambda x: np.piecewise(x, [x < 0, x >= 0.5], pieces), V, vmap=False)
    hold(lambda x: np.piecewise(x, x < 0, [lambda v: -v, 2.0]), V, vmap=False)
    hold(lambda x: np.piecewise(x, [x < 0, x >= 0], [np.cos, np.sin]), S, vmap=False)
    powers = [lambda v, k: v**k, lambda v, k: v]
    hold(lambda x: np.piecewise(x, [x > 0], powers, 2), V, vmap=False)
    # The logarithm never sees what is not positive, so nothing warns.
    found = cr.grad(lambda x: np.sum(np.piecewise(x, [x > 0], [np.log, 0.0])))(np.array([0.0, 4.0]))
    assert found.tolist() == [0, 0.25]
    with pytest.raises(ValueError, match="functions are expected"):
        cr.vjp(lambda x: np.piecewise(x, [x > 0], pieces), V)


def test_a_number_put_in_the_place_of_a_nan_stops_the_derivative():
    hold(np.nan_to_num, M)
    hold(lambda x: np.nan_to_num(np.where(MASK, x, NAN), nan=2.0, posinf=3.0), M)
    x = np.array([NAN, INF, -INF, 2.0])
    value, pull = cr.vjp(np.nan_to_num, x)
    np.testing.assert_array_equal(value, np.nan_to_num(x))
    assert pull(np.ones(4))[0].tolist() == [0, 0, 0, 1]
    with pytest.raises(cr.errors.TraceError, match="copy=False"):
        cr.vjp(lambda v: np.nan_to_num(v, copy=False), x)


def test_interpolation_is_differentiated_in_all_its_points():
    hold(lambda x, xp, fp: np.interp(x, xp, fp), POINTS, X, V)
    hold(lambda x, fp: np.interp(x, X, fp, left=-1.0, right=5.0), POINTS, V)
    hold(lambda x, xp, fp: np.interp(x, xp, fp, period=5.0), POINTS, X, V)
    hold(lambda x: np.interp(x, X, V), S)
    hold(lambda x: np.interp(x, X, V), np.zeros((0, 2)), vmap=False, second=False)
    assert cr.grad(lambda x: np.interp(x, [1.0], [2.0]) + x)(0.3) == 1.0
    assert cr.grad(lambda x: np.interp(x[0], X, V, right=x[1]))(np.array([9.0, 2.0])).tolist() == [
        0,
        1,
    ]


def test_at_a_coordinate_the_slope_to_its_right_is_used():
    slope = cr.grad(lambda x: np.interp(x, [0.0, 1.0, 2.0], [0.0, 3.0, 4.0]))
    assert [slope(x) for x in (-0.5, 0.0, 1.0, 2.0, 2.5)] == [0, 3, 1, 1, 0]


def test_interpolation_refuses_what_numpy_refuses():
    with pytest.raises(ValueError, match="not of the same length"):
        cr.vjp(lambda x: np.interp(x, X, V[:5]), S)
    with pytest.raises(ValueError, match="empty"):
        cr.vjp(lambda x: np.interp(x, [], []), S)
    with pytest.raises(ValueError, match="non-zero"):
        cr.vjp(lambda x: np.interp(x, X, V, period=0.0), S)


def test_comparisons_within_a_tolerance_are_plain():
    def f(x):
        assert np.isclose(x, x + 1e-9).tolist() == [True] * 6
        assert np.allclose(x, V) is True
        assert np.allclose(x, V + 1) is False
        assert np.array_equal(x, V) is True
        assert np.array_equal(x, V[:3]) is False
        assert np.array_equiv(x, np.stack([V, V])) is True
        assert np.array_equal(x * NAN, V * NAN, equal_nan=True) is True
        assert np.allclose(x * NAN, V * NAN, equal_nan=True) is True
        return np.sum(x)

    assert cr.grad(f)(V).tolist() == [1] * 6


def test_clip_takes_one_side_arrays_and_bounds_that_cross():
    hold(lambda x: np.clip(x, None, 0.2), M)
    hold(lambda x: np.clip(x, min=-0.2), M)
    hold(lambda x: np.clip(x, 0.2, -0.1), M)
    hold(lambda x, lo, hi: np.clip(x, lo, hi), M, np.float64(-0.3), np.array([0.1, 0.2, 0.3, 0.4]))
    hold(lambda x: np.clip(x, None, None), M)
    assert cr.grad(lambda x: np.clip(x, 0.0, INF))(NAN) == 0.0
