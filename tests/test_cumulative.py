"""Running sums and products, differences, gradients and integrals as NumPy calls them."""

import numpy as np
import pytest
from calls import hold
from samples import NAN, array

import chainrule as cr

A, M, V, S = array(2, 3, 2) * 0.37, array(3, 4) * 0.41, array(6) * 0.53, np.float64(1.7)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
X = np.array([0.0, 0.7, 1.1, 2.5, 3.0, 4.4])


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumsum", "nancumprod"])
def test_running_operations_take_numpys_axes(name):
    function = getattr(np, name)
    for axis in (None, 0, -1):
        hold(lambda x, axis=axis: function(x, axis=axis), A)
    hold(function, S)
    if name.startswith("nan"):
        hold(lambda x: function(np.where(MASK, x, NAN), axis=1), M)
    else:
        hold(lambda x: getattr(x, name)(axis=0), M)


@pytest.mark.skipif(not hasattr(np, "cumulative_sum"), reason="NumPy before 2.1")
def test_the_standards_running_operations_may_start_with_nothing():
    for function in (np.cumulative_sum, np.cumulative_prod):
        hold(function, V)
        hold(lambda x, f=function: f(x, include_initial=True), V)
        hold(lambda x, f=function: f(x, axis=1, include_initial=True), M)


def test_running_extremes_follow_the_first_of_equal_elements():
    for ufunc in (np.maximum, np.minimum):
        hold(lambda x, u=ufunc: u.accumulate(x, axis=1), M)
    found = cr.vjp(np.maximum.accumulate, np.array([1.0, 1.0, 0.5, 3.0]))[1](np.ones(4))[0]
    assert found.tolist() == [3, 0, 0, 1]


def brute_cumprod_jacobian(x):
    n = x.size
    rows = [
        [np.prod(np.delete(x[: i + 1], j)) if j <= i else 0.0 for j in range(n)] for i in range(n)
    ]
    return np.reshape(rows, (n, n))


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 1.5], [0.0, 1.0, 0.0, 2.0], [0.0, 0.0], [3.0], []])
def test_cumprod_with_zeros_is_exact_as_in_autograd_257(x):
    """Dividing the product by the element gives NaN there (HIPS/autograd#257)."""
    x = np.array(x)
    expected = brute_cumprod_jacobian(x)
    _, pull = cr.vjp(np.cumprod, x)
    for i in range(x.size):
        unit = np.eye(x.size)[i]
        np.testing.assert_array_equal(pull(unit)[0], expected[i])
        np.testing.assert_array_equal(cr.jvp(np.cumprod, (x,), (unit,))[1], expected[:, i])


def test_the_second_derivative_of_cumprod_with_zeros_is_exact():
    for x in (np.array([2.0, 0.0, 3.0, 0.0, 1.5]), np.zeros(3)):
        hold(np.cumprod, x)


def test_what_stands_behind_does_not_reach_the_front():
    x = np.array([2.0, NAN, np.inf])
    assert cr.grad(lambda v: np.cumprod(v)[0])(x).tolist() == [1, 0, 0]
    assert cr.grad(lambda v: np.cumsum(v)[0])(x).tolist() == [1, 0, 0]


def test_cumprod_of_many_elements_takes_no_square_of_memory():
    gradient = cr.grad(lambda x: np.sum(np.cumprod(x)))(np.full(100_000, 1.0))
    np.testing.assert_array_equal(gradient, np.arange(100_000, 0, -1))


def test_differences_take_numpys_options():
    for n, axis in ((1, -1), (2, 0), (3, 1), (0, 0)):
        hold(lambda x, n=n, axis=axis: np.diff(x, n, axis), M)
    hold(lambda x, p, q: np.diff(x, 2, 0, p, q), M, np.array([[1.0, 2, 3, 5]]), S)
    hold(lambda x: np.diff(x, prepend=0.0), V)
    hold(np.ediff1d, M)
    hold(lambda x, p, q: np.ediff1d(x, p, q), V, np.array([1.0, 2]), S)
    with pytest.raises(ValueError, match="at least one dimensional"):
        cr.grad(np.diff)(1.0)
    with pytest.raises(ValueError, match="non-negative"):
        cr.vjp(lambda x: np.diff(x, -1), V)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient_of_samples_takes_numpys_options(edge_order):
    hold(lambda x: np.gradient(x, edge_order=edge_order), V)
    hold(lambda x, h: np.gradient(x, h, edge_order=edge_order), V, S)
    hold(lambda x, at: np.gradient(x, at, edge_order=edge_order), V, X)
    hold(lambda x, at: np.gradient(x, at, 2.0, edge_order=edge_order)[0], array(6, 3), X)
    hold(lambda x: np.gradient(x, axis=1, edge_order=edge_order), M)
    hold(lambda x: np.stack(np.gradient(x, edge_order=edge_order)), array(3, 3))
    hold(lambda x: np.gradient(x, [0, 1, 3, 4, 6, 9], edge_order=edge_order), V)
    with pytest.raises(ValueError, match="too small"):
        cr.vjp(lambda x: np.gradient(x, edge_order=edge_order), np.ones(edge_order))


def test_gradient_refuses_what_numpy_refuses():
    with pytest.raises(TypeError, match="number of arguments"):
        cr.vjp(lambda x: np.gradient(x, 1.0, 2.0), V)
    with pytest.raises(ValueError, match="must match"):
        cr.vjp(lambda x: np.gradient(x, X[:-1]), V)
    with pytest.raises(ValueError, match="edge_order"):
        cr.vjp(lambda x: np.gradient(x, edge_order=3), V)


def test_the_trapezoidal_rule_is_differentiated_in_heights_and_places():
    hold(np.trapezoid, V)
    hold(lambda y, x: np.trapezoid(y, x), V, X)
    hold(lambda y, x: np.trapezoid(y, x, axis=0), array(6, 2), X)
    hold(lambda y, x: np.trapezoid(y, x, axis=0), M, np.cumsum(np.abs(M) + 0.1, 0))
    hold(lambda y, d: np.trapezoid(y, dx=d, axis=1), M, S)


def test_unwrap_adds_whole_periods_and_passes_the_derivative_on():
    for options in ({}, {"axis": 0}, {"period": 2.0}, {"discont": 4.0, "period": 3.0}):
        hold(lambda p, options=options: np.unwrap(p, **options), M * 7)
    with pytest.raises(cr.errors.TraceError, match="period"):
        cr.grad(lambda t: np.sum(np.unwrap(V * t, period=t)))(2.0)
