"""Reductions as NumPy and SciPy call them: every option, ties, NaNs, and what is refused."""

import itertools

import numpy as np
import pytest
import scipy.special
from calls import hold
from samples import INF, NAN, array

import chainrule as cr
from chainrule.rules.reductions import log_softmax, logsumexp, softmax

A, M, S = array(2, 3, 2) * 0.37, array(3, 4) * 0.41, np.float64(1.7)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
PLAIN = ("sum", "mean", "prod", "max", "min", "amax", "amin", "ptp")
NAN_SKIPPING = ("nansum", "nanmean", "nanprod", "nanmax", "nanmin")
LOWEST = {"max": -7.0, "nanmax": -7.0, "amax": -7.0, "min": 9.0, "nanmin": 9.0, "amin": 9.0}
AXES = (None, 0, -1, (0, 2), (2, -2), ())

each_reduction = pytest.mark.parametrize("name", PLAIN + NAN_SKIPPING)


@each_reduction
@pytest.mark.parametrize("keepdims", [False, True])
def test_reductions_take_numpys_axes(name, keepdims):
    for axis in AXES:
        hold(
            lambda x, axis=axis: getattr(np, name)(x, axis=axis, keepdims=keepdims),
            A,
            vmap=axis != (),
        )


@pytest.mark.parametrize("name", [n for n in PLAIN + NAN_SKIPPING if n != "ptp"])
def test_reductions_of_some_elements_only(name):
    options = {"initial": LOWEST[name]} if name in LOWEST else {}
    for axis in (None, 1):
        hold(lambda x, axis=axis: getattr(np, name)(x, axis=axis, where=MASK, **options), M)


@pytest.mark.parametrize("name", NAN_SKIPPING)
def test_nans_are_skipped_and_receive_nothing(name):
    for axis in (None, 1):
        hold(lambda x, axis=axis: getattr(np, name)(np.where(MASK, x, NAN), axis=axis), M)
    with np.errstate(invalid="ignore"):
        behind_a_root = cr.grad(lambda x: getattr(np, name)(np.sqrt(x)))(np.array([-1.0, 4.0, 9.0]))
    assert behind_a_root[0] == 0.0
    assert np.all(np.isfinite(behind_a_root))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min"])
def test_methods_are_the_functions(name):
    for axis in (None, 1):
        hold(lambda x, axis=axis: getattr(x, name)(axis=axis), M)


def test_what_a_reduction_starts_from_is_differentiated_too():
    for function in (np.sum, np.prod, np.max, np.min, np.nansum):
        hold(lambda x, f=function: f(x[1:], axis=0, initial=x[0, 0]), M)


def test_reduce_of_a_ufunc_is_the_reduction():
    for ufunc in (np.add, np.multiply, np.maximum, np.minimum, np.fmax, np.fmin, np.logaddexp):
        hold(lambda x, u=ufunc: u.reduce(x, axis=1), M)
        hold(lambda x, u=ufunc: u.reduce(x), M)


@each_reduction
def test_a_value_of_no_dimensions_is_its_own_reduction(name):
    expected = 0.0 if name == "ptp" else 1.0
    assert cr.grad(getattr(np, name))(1.7) == expected


def test_a_sum_in_another_dtype_adds_in_that_dtype():
    x = np.array([1.0, 2.0], np.float32)
    value, gradient = cr.value_and_grad(lambda v: np.sum(v, dtype=np.float64))(x)
    assert (value.dtype, gradient.dtype) == (np.float64, np.float32)
    assert cr.grad(lambda v: v[0] * np.sum(v, dtype=int))(np.array([1.7, 2.2])).tolist() == [3, 0]


# -------------------------------------------------------------------------------------------- ties


def test_a_tie_of_max_is_shared_equally():
    assert cr.grad(np.max)(np.array([3.0, 1.0, 3.0, 3.0])).tolist() == [1 / 3, 0, 1 / 3, 1 / 3]
    assert cr.grad(np.min)(np.zeros((2, 2))).tolist() == [[0.25, 0.25], [0.25, 0.25]]
    assert cr.jvp(np.max, (np.array([3.0, 3.0]),), (np.array([1.0, 0.0]),))[1] == 0.5


def test_a_nan_wins_and_carries_the_derivative():
    assert cr.grad(np.max)(np.array([1.0, NAN, 3.0])).tolist() == [0, 1, 0]
    assert cr.grad(np.nanmax)(np.array([1.0, NAN, 3.0])).tolist() == [0, 0, 1]


def test_what_loses_is_not_multiplied():
    with np.errstate(divide="ignore"):
        assert cr.grad(lambda x: np.min(1 / x))(np.array([0.0, 4.0, 2.0])).tolist() == [
            0,
            -1 / 16,
            0,
        ]
        assert cr.grad(lambda x: np.max(np.log(x)))(np.array([0.0, 4.0])).tolist() == [0, 0.25]
        found = cr.grad(lambda x: np.sum(np.sqrt(x), where=x > 0))(np.array([0.0, 4.0]))
    assert found.tolist() == [0, 0.25]


# ---------------------------------------------------------------------------------------- products


@pytest.mark.parametrize(
    "x", [[2.0, 0.0, 3.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0], [], [-2.0, 5.0, 0.5]]
)
def test_a_product_with_zeros_has_its_exact_derivatives(x):
    """The gradient is the product of the others, the Hessian that of all but two."""
    x = np.array(x)
    others = [np.prod(np.delete(x, i)) for i in range(x.size)]
    assert cr.grad(np.prod)(x).tolist() == others
    hessian = np.zeros((x.size, x.size))
    for i, j in itertools.permutations(range(x.size), 2):
        hessian[i, j] = np.prod(np.delete(x, [i, j]))
    rows = [cr.grad(lambda v, i=i: cr.grad(np.prod)(v)[i])(x) for i in range(x.size)]
    np.testing.assert_allclose(np.reshape(rows, hessian.shape), hessian, rtol=1e-15)


def test_the_third_derivative_of_a_product_with_zeros_is_exact():
    x = np.array([0.0, 0.0, 0.0, 5.0])
    first = lambda v: cr.grad(np.prod)(v)[0]
    second = lambda v: cr.grad(first)(v)[1]
    assert cr.grad(second)(x).tolist() == [0, 0, 5.0, 0]


def test_a_product_of_many_takes_no_square_of_memory():
    x = np.full(200_000, 1.0)
    x[7] = 0.0
    gradient = cr.grad(np.prod)(x)
    assert np.flatnonzero(gradient).tolist() == [7]


# --------------------------------------------------------------------------- no elements, refusals


def test_reductions_of_no_elements_are_numpys():
    empty = np.zeros((0, 3))
    for function in (np.sum, np.prod, np.nansum, np.nanprod):
        value, pull = cr.vjp(lambda x, f=function: f(x, axis=0), empty)
        np.testing.assert_array_equal(value, function(empty, axis=0))
        assert pull(np.ones(3))[0].shape == (0, 3)
    assert cr.vjp(lambda x: np.max(x, axis=1), empty)[0].shape == (0,)
    assert cr.vjp(lambda x: np.max(x, initial=2.0), empty)[0] == 2.0
    with pytest.raises(ValueError, match="no identity"):
        cr.grad(np.max)(np.zeros(0))


def test_out_is_refused():
    with pytest.raises(cr.errors.TraceError, match="Assign the result"):
        cr.grad(lambda x: np.sum(x, out=np.zeros(())))(np.ones(3))


def test_an_axis_that_is_not_there_is_numpys_error():
    with pytest.raises(np.exceptions.AxisError):
        cr.grad(lambda x: np.sum(np.max(x, axis=2)))(M)
    with pytest.raises(ValueError, match="initial"):
        cr.grad(lambda x: np.max(x, where=MASK))(M)


def test_conditions_are_plain():
    def f(x):
        assert np.any(x > 0) is not None
        assert type(np.all(x > 0)) is np.bool_
        assert (x > 0).any()
        assert not x.all()
        assert np.any(x, where=np.array([False, True]))
        assert np.logical_or.reduce(x)
        assert np.count_nonzero(x) == 1
        return np.sum(x)

    assert cr.grad(f)(np.array([0.0, 1.0])).tolist() == [1, 1]


# ------------------------------------------------------------------------------------- log-sum-exp


def test_scipys_softmax_family_is_differentiated():
    for axis in (None, 0, (0, 1)):
        for keepdims in (False, True):
            hold(lambda x, axis=axis, keepdims=keepdims: logsumexp(x, axis, keepdims=keepdims), M)
            hold(
                lambda x, b, axis=axis, keepdims=keepdims: logsumexp(x, axis, b, keepdims),
                M,
                np.abs(M) + 0.1,
            )
            hold(
                lambda x, b, axis=axis, keepdims=keepdims: logsumexp(x, axis, b, keepdims, True)[0],
                M,
                M + 0.05,
            )
        hold(lambda x, axis=axis: softmax(x, axis), M)
        hold(lambda x, axis=axis: log_softmax(x, axis), M)


def test_their_values_are_scipys():
    rng = np.random.default_rng(3)
    for scale in (1e-3, 1.0, 1e3):
        x, b = rng.normal(size=(4, 5)) * scale, rng.normal(size=(4, 5))
        b[0, 1] = 0.0
        for axis in (None, 0, 1, (0, 1)):
            ours, theirs = logsumexp(x, axis), scipy.special.logsumexp(x, axis)
            np.testing.assert_allclose(ours, theirs, rtol=1e-14)
            ours = logsumexp(x, axis, b, True, True)
            theirs = scipy.special.logsumexp(x, axis, b, True, True)
            np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-12)
            np.testing.assert_array_equal(ours[1], theirs[1])
            with np.errstate(invalid="ignore"):
                np.testing.assert_allclose(
                    logsumexp(x, axis, b), scipy.special.logsumexp(x, axis, b), rtol=1e-12
                )
            np.testing.assert_allclose(softmax(x, axis), scipy.special.softmax(x, axis), rtol=1e-13)
            np.testing.assert_allclose(
                log_softmax(x, axis), scipy.special.log_softmax(x, axis), rtol=1e-13
            )


def test_minus_infinity_adds_nothing_and_receives_nothing():
    x = np.array([-INF, 3.0, 2.0])
    p = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(cr.grad(logsumexp)(x), [0, p, 1 - p], rtol=1e-14)
    second = cr.grad(lambda v: cr.grad(logsumexp)(v)[1])(x)
    np.testing.assert_allclose(second, [0, p * (1 - p), -p * (1 - p)], rtol=1e-14)
    np.testing.assert_allclose(
        cr.grad(lambda v: softmax(v)[1])(x), [0, p * (1 - p), -p * (1 - p)], rtol=1e-14
    )
    np.testing.assert_allclose(
        cr.grad(lambda v: log_softmax(v)[1])(x), [0, 1 - p, p - 1], rtol=1e-14
    )
    weighted = cr.grad(lambda v: logsumexp(v, b=np.array([1.0, 2.0, 0.0])))(x)
    np.testing.assert_allclose(weighted, [0, 1, 0], rtol=1e-14)
    assert cr.grad(logsumexp)(np.full(2, -INF)).tolist() == [0, 0]


def test_a_weight_of_zero_has_its_derivative_and_hides_an_infinite_exponent():
    slope = cr.grad(lambda b: logsumexp(np.array([0.0, 1.0]), b=b))(np.array([1.0, 0.0]))
    np.testing.assert_allclose(slope, [1, np.e], rtol=1e-14)
    hidden = cr.value_and_grad(lambda a: logsumexp(a, b=np.array([1.0, 0.0])))(np.array([2.0, INF]))
    assert hidden[0] == 2.0
    assert hidden[1].tolist() == [1, 0]


def test_large_numbers_do_not_overflow_in_any_precision():
    for dtype in (np.float16, np.float32, np.float64):
        x = np.array([1e4, 1e4], dtype)
        value, gradient = cr.value_and_grad(logsumexp)(x)
        assert value.dtype == gradient.dtype == dtype
        assert gradient.tolist() == [0.5, 0.5]
        assert softmax(x).tolist() == [0.5, 0.5]
