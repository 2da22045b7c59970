"""np.vectorize: its function is called for every element, with branches and all."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError

X = np.array([[0.5, -1.0, 2.0], [-0.3, 0.7, 3.0]])


@np.vectorize
def bent(x, slope=0.1):
    """Made before anything is traced, and with a branch for each element."""
    return x if x > 0 else slope * x


def test_every_element_takes_its_own_branch():
    value, gradient = cr.value_and_grad(lambda x: np.sum(bent(x) ** 2))(X)
    assert value == np.sum(bent(X) ** 2)
    np.testing.assert_allclose(gradient, np.where(X > 0, 2 * X, 0.02 * X))
    of_slope = cr.grad(lambda s: np.sum(bent(X, slope=s)))(0.1)
    assert of_slope == pytest.approx(X[X < 0].sum())


def test_plain_values_are_numpys_business():
    seen = []
    f = np.vectorize(lambda x: seen.append(type(x)) or x * 2)
    cr.grad(lambda x: np.sum(x) * f(np.array([1.5]))[0])(X)
    assert seen[-1] is float  # Python's own number, as NumPy passes it


def test_arguments_that_are_excluded_are_passed_whole():
    p = np.array([2.0, -1.0, 0.5])
    f = np.vectorize(np.polyval, excluded=[0, "p"])
    for call in (lambda p, x: f(p, x), lambda p, x: f(p=p, x=x)):
        value, pull = cr.vjp(call, p, X)
        np.testing.assert_allclose(value, np.polyval(p, X))
        of_p, of_x = pull(np.ones(X.shape))
        np.testing.assert_allclose(of_p, [np.sum(X**2), np.sum(X), X.size])
        np.testing.assert_allclose(of_x, 4 * X - 1)
    alone = np.vectorize(lambda p: p * 2, excluded=["p"])
    np.testing.assert_array_equal(cr.vjp(lambda p: alone(p=p), p)[0], 2 * p)


def test_several_results_are_several_arrays():
    f = np.vectorize(lambda a, b: (a * b, a - b))
    (product, difference), pull = cr.vjp(f, X, X[0])
    np.testing.assert_array_equal(product, X * X[0])
    np.testing.assert_array_equal(difference, X - X[0])
    of_a, _ = pull((np.ones(X.shape), np.zeros(X.shape)))
    np.testing.assert_array_equal(of_a, np.broadcast_to(X[0], X.shape))


def test_the_dtype_is_that_of_the_first_result_or_the_one_asked_for():
    whole = np.vectorize(lambda x: 0 if x > 0 else 1.5 * x)
    found = []
    cr.grad(lambda x: np.sum(x) + 0 * len(found.append(cr.stop_gradient(whole(x))) or [1]))(X)
    assert found[0].dtype == whole(X).dtype
    assert np.array_equal(found[0], whole(X))
    floats = np.vectorize(lambda x: 0 if x > 0 else 1.5 * x, otypes=[np.float32])
    value, pull = cr.vjp(floats, X)
    assert value.dtype == np.float32
    np.testing.assert_allclose(pull(np.ones_like(value))[0], np.where(X > 0, 0, 1.5))
    assert cr.vjp(floats, X[:0])[0].shape == (0, 3)


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (np.vectorize(lambda x: x * 2), ValueError, "size 0 inputs"),
        (np.vectorize(lambda x: x, signature="(n)->(n)"), TraceError, "cr.vmap"),
        (np.vectorize(lambda x: np.stack([x, x]), excluded=[1]), ValueError, "sequence"),
    ],
)
def test_what_cannot_be_vectorized_says_why(f, error, says):
    x = X[:0] if "size" in says else X
    with pytest.raises(error, match=says):
        cr.grad(lambda x: np.sum(f(x)))(x)
