"""Ufuncs called in another way: methods, options, two results, Python's operators."""

import math

import numpy as np
import pytest
from oracles import extrapolated

import chainrule as cr
from chainrule.errors import NotDifferentiableError, TraceError

X = np.array([[1.0137, 2.3, 0.8, 3.5], [2.6, 2.8, 1.9, 0.95], [1.4, 1.9, 2.2, 5.1]])
Y = np.array([1.0, 2.0, 3.0])
REDUCED = (
    np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp, np.logaddexp2,
    np.hypot, np.subtract, np.divide,
)  # fmt: skip


def by_name(value):
    return getattr(value, "__name__", None)


def assert_derivatives(f, x):
    """The value is NumPy's, and both modes and the second order agree with differences."""
    rng = np.random.default_rng(x.size)
    t = rng.uniform(0.3, 1.0, x.shape)
    size = np.max(np.abs(f(x)), initial=1.0)
    loss = lambda v: np.sum(np.sin(f(v) / size))
    value, gradient = cr.value_and_grad(loss)(x)
    np.testing.assert_allclose(value, loss(x), rtol=1e-13)
    expected, error = extrapolated(lambda h: loss(x + h * t), (0.01, 0.003))
    assert error < 1e-8
    assert np.sum(gradient * t) == pytest.approx(float(expected), rel=1e-8, abs=1e-8)
    assert cr.jvp(loss, (x,), (t,))[1] == pytest.approx(float(np.sum(gradient * t)), rel=1e-12)
    along = lambda v: np.sum(cr.grad(loss)(v) * t)
    expected, error = extrapolated(lambda h: along(x + h * t), (0.01, 0.003))
    assert error < 1e-7
    second = float(np.sum(cr.grad(along)(x) * t))
    assert second == pytest.approx(float(expected), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("ufunc", REDUCED, ids=by_name)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reduce_is_differentiated_along_an_axis(ufunc, axis, keepdims):
    f = lambda x: ufunc.reduce(x, axis=axis, keepdims=keepdims)
    assert_derivatives(f, X)
    assert np.shape(cr.vjp(f, X)[0]) == f(X).shape


@pytest.mark.parametrize("ufunc", REDUCED[:-2], ids=by_name)
def test_reduce_takes_the_options_that_numpy_has(ufunc):
    mask = X > 1.5
    assert_derivatives(lambda x: ufunc.reduce(x, axis=None), X)
    assert_derivatives(lambda x: ufunc.reduce(x, axis=(0, 1), keepdims=True), X)
    assert_derivatives(lambda x: ufunc.reduce(x, axis=1, initial=1.7), X)
    assert_derivatives(lambda x: ufunc.reduce(x, axis=1, where=mask, initial=1.7), X)


def test_reduce_of_float32_stays_float32_and_of_nothing_is_the_identity():
    for ufunc in REDUCED:
        x = X.astype(np.float32)
        assert cr.grad(lambda v, u=ufunc: np.sum(u.reduce(v)))(x).dtype == np.float32
        if ufunc.identity is not None and ufunc not in (np.subtract, np.divide):
            empty = np.zeros((0, 3))
            value, pull = cr.vjp(lambda v, u=ufunc: u.reduce(v) + np.sum(v), empty)
            np.testing.assert_array_equal(value, ufunc.reduce(empty))
            assert pull(np.ones(3))[0].shape == (0, 3)


@pytest.mark.parametrize("ufunc", REDUCED, ids=by_name)
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_accumulate_is_differentiated_along_an_axis(ufunc, axis):
    assert_derivatives(lambda x: ufunc.accumulate(x, axis=axis), X)
    assert_derivatives(lambda x: ufunc.accumulate(x[:, :1], axis=axis), X)


def test_conditions_reduced_are_plain_booleans():
    seen = []

    def f(x):
        seen.append(np.logical_and.reduce(x > 1, axis=1))
        seen.append(np.logical_or.reduce(x, axis=1))
        return np.sum(x)

    cr.grad(f)(X)
    assert [s.dtype for s in seen] == [np.bool_, np.bool_]


@pytest.mark.parametrize(
    "ufunc", [np.add, np.multiply, np.power, np.arctan2, np.maximum, np.hypot], ids=by_name
)
def test_outer_combines_every_element_with_every_other(ufunc):
    assert_derivatives(lambda x: ufunc.outer(x, Y), X)
    assert_derivatives(lambda x: ufunc.outer(Y, x[0]), X)
    assert_derivatives(lambda x: ufunc.outer(x[0], x + 0.5), X)
    assert_derivatives(lambda x: ufunc.outer(x[0, 0], [1.0, 2.0]), X)


def test_outer_of_a_comparison_is_plain():
    assert cr.grad(lambda x: np.sum(x[:, None] * np.greater.outer(x, Y)))(Y).tolist() == [0, 1, 2]


@pytest.mark.parametrize("indices", [[0, 2], [2, 0], [1, 1, 0, 3], [3], [], [0, 3, 1, 2]])
@pytest.mark.parametrize("axis", [1, -1])
def test_reduceat_sums_slices_as_numpy_does(indices, axis):
    indices = np.array(indices, int)
    assert_derivatives(lambda x: np.add.reduceat(x, indices, axis=axis), X)
    assert_derivatives(lambda x: np.add.reduceat(x.T, indices), X)


def test_reduceat_takes_an_empty_list_and_refuses_an_index_outside():
    assert cr.grad(lambda x: np.sum(np.add.reduceat(x, [])) + x[0])(Y).tolist() == [1, 0, 0]
    with pytest.raises(IndexError):
        cr.grad(lambda x: np.sum(np.add.reduceat(x, [3])))(Y)


def test_dtype_says_what_the_ufunc_computes_in():
    x = X.astype(np.float32)
    value, pull = cr.vjp(lambda v: np.multiply(v, v, dtype=np.float64), x)
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, np.multiply(x, x, dtype=np.float64))
    assert pull(np.ones_like(value))[0].dtype == np.float32
    assert cr.vjp(lambda v: np.exp(v, dtype=np.float32), X)[0].dtype == np.float32
    with pytest.raises(TypeError, match="casting rule"):
        cr.grad(lambda v: np.sum(np.add(v, 1, dtype=np.float32, casting="safe")))(X)
    with pytest.raises(TypeError):
        cr.grad(lambda v: np.sum(np.add(v, 1, dtype=int)))(X)
    with pytest.raises(TraceError, match="astype"):
        cr.grad(lambda v: np.sum(np.add(v, 1, dtype=int, casting="unsafe")))(X)


def test_options_about_memory_make_no_difference():
    f = lambda x: np.sum(np.multiply(x, x, order="F", subok=False, casting="same_kind", where=True))
    np.testing.assert_array_equal(cr.grad(f)(X), 2 * X)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: np.add(x, 1, where=X > 1), "np.where"),
        (lambda x: np.add(x, 1, out=np.zeros_like(X)), "Assign the result"),
        (lambda x: np.add.reduce(x, out=np.zeros(4)), "Assign the result"),
        (lambda x: np.hypot.reduce(x, out=np.zeros(4)), "Assign the result"),
        (lambda x: np.add.accumulate(x, out=np.zeros_like(X)), "Assign the result"),
        (lambda x: np.exp(x, signature="d->d"), "signature"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(call, says):
    with pytest.raises(TraceError, match=says):
        cr.grad(lambda x: np.sum(call(x)))(X)


def test_a_method_without_a_rule_says_so():
    for call in (np.arctan2.reduce, np.power.accumulate):
        with pytest.raises(NotDifferentiableError, match="no row"):
            cr.grad(lambda x, call=call: np.sum(call(x)))(X)


# ------------------------------------------------------------------- two results, and operators


def test_ufuncs_with_two_results_are_differentiated_in_both():
    assert_derivatives(lambda x: np.divmod(x, 0.73)[1] * x, X)
    assert_derivatives(lambda x: np.divmod(9.0, x)[1] + np.divmod(9.0, x)[0] * x, X)
    assert_derivatives(lambda x: np.modf(-x)[0] * x + np.modf(x)[1] * x, X)
    assert_derivatives(lambda x: np.frexp(x)[0] * x + np.frexp(x)[1] * x, X)


def test_modf_agrees_with_numpy_at_infinities_zeros_and_nan():
    x = np.array([np.inf, -np.inf, 0.0, -0.0, np.nan, -2.0])
    (fraction, whole), _ = cr.vjp(np.modf, x)
    for found, expected in zip((fraction, whole), np.modf(x), strict=True):
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.signbit(found[:4]), np.signbit(expected[:4]))


def test_ldexp_reaches_the_ends_of_the_range():
    for x, n in ((1e-300, 1990), (1e300, -1990), (0.75, 3), (5e-324, 1074), (3.0, -1074)):
        value, slope = cr.value_and_grad(lambda v, n=n: np.ldexp(v, n))(x)
        assert value == np.ldexp(x, n)
        assert slope == 2.0**n if n < 1024 else np.isinf(slope)
    with pytest.raises(TypeError, match="whole"):
        cr.grad(lambda v: np.ldexp(v, 0.5))(1.0)


def test_float_power_computes_in_double_precision():
    x = np.float32(1.5)
    value, pull = cr.vjp(lambda v: np.float_power(v, 3), x)
    assert value.dtype == np.float64
    assert pull(1.0)[0] == np.float32(6.75)
    assert pull(1.0)[0].dtype == np.float32


def test_the_remainder_knows_the_whole_quotient_where_the_division_is_rounded_up():
    assert cr.grad(lambda y: np.remainder(1.0, y))(0.1) == -9.0
    assert cr.grad(lambda y: np.fmod(1.0, y))(0.1) == -9.0
    assert cr.grad(lambda y: np.remainder(-1.0, y))(0.1) == 10.0


def test_operators_of_division_with_remainder():
    assert cr.grad(lambda x: x // 2.0 + x)(5.5) == 1.0
    assert cr.grad(lambda x: 7.0 // x + x)(2.2) == 1.0
    assert cr.grad(lambda x: 7.0 % x)(2.2) == -3.0
    assert cr.grad(lambda x: divmod(x, 2.0)[1] * x)(5.5) == 7.0
    assert cr.grad(lambda x: divmod(7.0, x)[1])(2.2) == -3.0


def test_rounding_to_an_int_gives_an_int_that_can_count_and_index():
    def f(x):
        for to_int in (math.floor, math.ceil, math.trunc, round, int):
            assert type(to_int(x)) is int
            assert to_int(x) == to_int(2.3)
        return sum(x for _ in range(math.floor(x))) * [1.0, 2.0, 3.0][round(x)]

    assert cr.grad(f)(2.3) == 6.0
    assert cr.grad(lambda x: x + round(x, 1))(2.34) == 1.0
    assert cr.value_and_grad(lambda x: round(x, 1) * x)(2.34) == (2.3 * 2.34, 2.3)
    with pytest.raises(TypeError, match="scalar"):
        cr.grad(lambda x: np.sum(x) * math.floor(x))(X)


def test_bit_operations_are_for_conditions():
    f = lambda x: np.where(((x > 1) & (x < 3)) ^ ~(x > 2), x**2, x)
    np.testing.assert_allclose(cr.vmap(cr.grad(f))(np.array([0.5, 1.5, 2.5])), [2 * 0.5, 1, 5])
    g = lambda x: np.where(np.bitwise_and(x > 1, np.invert(x > 2)), x**2, x)
    np.testing.assert_allclose(cr.vmap(cr.grad(g))(np.array([0.5, 1.5, 2.5])), [1, 3, 1])
    for wrong in (lambda x: x & 1, lambda x: 1 | x, lambda x: ~x, lambda x: np.bitwise_xor(x, x)):
        with pytest.raises(TypeError, match="conditions"):
            cr.grad(wrong)(1.0)


def test_functions_of_complex_numbers_know_that_traced_values_are_real():
    def f(x):
        assert np.isrealobj(x)
        assert not np.iscomplexobj(x)
        assert not np.any(np.iscomplex(x))
        assert np.all(np.isreal(x))
        assert not np.any(np.isposinf(x) | np.isneginf(x))
        assert np.all(np.imag(x) == 0)
        assert np.all(x.imag == 0)
        np.testing.assert_array_equal(np.angle(x, deg=True), [180.0, 0.0])
        same = np.real(x) + x.real + np.real_if_close(x) + np.conj(x) + x.conj() + np.conjugate(x)
        return np.sum(same + np.angle(x) * x)

    x = np.array([-1.5, 2.0])
    np.testing.assert_allclose(cr.grad(f)(x), [6 + np.pi, 6])
