"""Polynomials as NumPy has them: leading zeros, what is refused, and what NumPy warns of."""

import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError

P, Q = np.array([0.0, 2.0, -1.0, 3.0]), np.array([1.5, -0.5])


def valued(f, *args):
    """What ``f`` gives of traced values."""
    return cr.vjp(f, *args)[0]


def test_a_product_has_no_leading_zeros_and_they_get_no_gradient():
    assert np.array_equal(valued(np.polymul, P, Q), np.polymul(P, Q))
    gradient = cr.grad(lambda p: np.sum(np.polymul(p, Q)))(P)
    np.testing.assert_allclose(gradient, [0.0, 1.0, 1.0, 1.0])
    assert np.array_equal(valued(np.polymul, np.zeros(3), Q), np.polymul(np.zeros(3), Q))


def test_leading_zeros_stay_where_the_values_are_not_known():
    batch = np.stack([P, P + 1])
    found = cr.vmap(lambda p: np.polymul(p, Q))(batch)
    np.testing.assert_allclose(found, [np.convolve(p, Q) for p in batch])
    quotient, rest = cr.vmap(lambda p: np.polydiv(p, Q))(batch)
    for p, q, r in zip(batch, quotient, rest, strict=True):
        np.testing.assert_allclose(np.polyadd(np.polymul(q, Q), r), p, atol=1e-12)


def test_a_division_leaves_a_remainder_as_short_as_numpys():
    for u, v in ((np.convolve(P[1:], Q), Q), (Q, P[1:]), (P[1:], Q), (np.ones(3), np.ones(1))):
        for one, other in zip(valued(np.polydiv, u, v), np.polydiv(u, v), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-15)


def test_a_polynomial_of_one_coefficient_or_none_has_the_shape_of_its_argument():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    for p in (np.array([2.5]), np.array([])):
        value, pull = cr.vjp(np.polyval, p, x)
        assert np.array_equal(value, np.polyval(p, x))
        assert np.array_equal(pull(np.ones((2, 2)))[1], np.zeros((2, 2)))
    assert np.array_equal(valued(lambda c: np.polyval(np.poly1d(Q), c), x), np.polyval(Q, x))


def test_derivatives_and_integrals_of_every_order_have_numpys_length():
    for m in range(6):
        np.testing.assert_allclose(valued(lambda p, m=m: np.polyder(p, m), P), np.polyder(P, m))
        np.testing.assert_allclose(valued(lambda p, m=m: np.polyint(p, m), P), np.polyint(P, m))
    found = valued(lambda p: np.polyint(p, 2, 7.0), P)
    np.testing.assert_allclose(found, np.polyint(P, 2, 7.0))
    for f in (np.polyder, np.polyint):
        with pytest.raises(ValueError, match="must be positive"):
            cr.grad(lambda p, f=f: np.sum(f(p, -1)))(P)
    with pytest.raises(ValueError, match="length 1 or >m"):
        cr.grad(lambda p: np.sum(np.polyint(p, 3, [1.0, 2.0])))(P)


def test_roots_of_a_polynomial_are_refused_as_a_matrix():
    with pytest.raises(TraceError, match="eigvalsh"):
        cr.grad(lambda a: np.sum(np.poly(a)))(np.eye(2))
    assert valued(np.poly, np.zeros(0)) == np.poly(np.zeros(0)) == 1.0


def test_an_object_of_coefficients_beside_a_traced_value_is_refused():
    for f in (np.polyadd, np.polysub, np.polymul, np.polydiv):
        with pytest.raises(TraceError, match=r"p\.coeffs"):
            cr.grad(lambda q, f=f: np.sum(f(np.poly1d(P), q)))(Q)
    with pytest.raises(TraceError, match=r"p\.coeffs"):
        cr.grad(lambda q: np.sum(np.polyval(q, np.poly1d(P))))(Q)


def test_a_fit_without_enough_points_warns_as_numpy_does():
    x, y = np.array([1.0, 2.0]), np.array([1.0, 3.0])
    with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned"):
        value = valued(lambda y: np.polyfit(x, y, 3), y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_allclose(value, np.polyfit(x, y, 3), atol=1e-12)
    with pytest.raises(ValueError, match="exceed order"):
        cr.grad(lambda y: np.sum(np.polyfit(x, y, 1, cov=True)[1]))(y)


@pytest.mark.parametrize(
    ("x", "y", "deg", "options", "says"),
    [
        (np.ones(3), np.ones(3), -1, {}, "deg >= 0"),
        (np.ones((3, 1)), np.ones(3), 1, {}, "1D vector"),
        (np.ones(0), np.ones(0), 1, {}, "non-empty"),
        (np.ones(3), np.ones(2), 1, {}, "same length"),
        (np.ones(3), np.ones((3, 1, 1)), 1, {}, "1D or 2D"),
        (np.ones(3), np.ones(3), 1, {"w": np.ones(2)}, "same length"),
        (np.ones(3), np.ones(3), 1, {"w": np.ones((3, 1))}, "1-d array"),
    ],
)
def test_a_fit_of_arrays_that_do_not_fit_says_what_numpy_says(x, y, deg, options, says):
    for f in (np.polyfit, lambda *a, **k: cr.vjp(lambda v: np.polyfit(v, *a[1:], **k), a[0])):
        with pytest.raises((TypeError, ValueError), match=says):
            f(x, y, deg, **options)


def test_powers_of_zero_have_the_derivatives_of_powers():
    jacobian = cr.jacobian(lambda x: np.vander(x, 4, increasing=True))(np.array([0.0, -2.0]))
    np.testing.assert_array_equal(jacobian[0, :, 0], [0.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(jacobian[1, :, 1], [0.0, 1.0, -4.0, 12.0])


def test_single_precision_has_numpys_dtypes():
    p, x = P.astype(np.float32), np.linspace(-1, 1, 5, dtype=np.float32)
    for f in (
        lambda p, x: np.polyval(p, x), lambda p, x: np.polymul(p, x), lambda p, x: np.vander(x),
        lambda p, x: np.polyder(p), lambda p, x: np.polyint(p), lambda p, x: np.poly(x),
        lambda p, x: np.polyfit(x, x, 2), lambda p, x: np.polydiv(x, p[1:])[1],
    ):  # fmt: skip
        value, pull = cr.vjp(f, p, x)
        assert value.dtype == f(p, x).dtype
        assert [g.dtype for g in pull(np.ones_like(value))] == [np.float32, np.float32]
