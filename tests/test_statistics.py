"""Variance, averages, medians, quantiles and covariances as NumPy calls them."""

import warnings

import numpy as np
import pytest
from calls import hold
from samples import NAN, array

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")

A, M, V, S = array(2, 3, 2) * 0.37, array(3, 4) * 0.41, array(6) * 0.53, np.float64(1.7)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 0, 1]], bool)
W, P = np.abs(V[:4]) + 0.2, np.abs(V) + 0.2
METHODS = (
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf",
    "hazen", "weibull", "linear", "median_unbiased", "normal_unbiased", "lower", "higher",
    "midpoint", "nearest",
)  # fmt: skip


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_variances_take_numpys_options(name):
    function = getattr(np, name)
    for axis in (None, 0, -1, (0, 2), (2, -2)):
        hold(lambda x, axis=axis: function(x, axis=axis), A)
    hold(lambda x: function(x, axis=0, ddof=1, keepdims=True), M)
    hold(lambda x: function(x, correction=1, axis=(0, 1)), M)
    hold(lambda x: function(x, axis=1, where=MASK, ddof=1), M)
    hold(lambda x: function(x, where=MASK, keepdims=True), M)
    hold(lambda x: function(x, axis=1, mean=np.mean(x, axis=1, keepdims=True) + 0.1), M)
    if name.startswith("nan"):
        hold(lambda x: function(np.where(MASK, x, NAN), axis=1, ddof=1), M)
        with np.errstate(invalid="ignore"):
            found = cr.grad(lambda x: function(np.sqrt(x)))(np.array([-1.0, 4.0, 9.0]))
        np.testing.assert_allclose(found, [0, -1 / 8, 1 / 12], rtol=1e-14)
    else:
        hold(lambda x: getattr(x, name)(axis=1), M)
    with pytest.raises(ValueError, match="correction"):
        cr.vjp(lambda x: function(x, ddof=1, correction=1), M)


def test_equal_elements_have_a_standard_deviation_with_derivative_zero():
    x = np.full(3, 2.0)
    for f in (np.std, np.nanstd, lambda v: np.std(v) ** 2, lambda v: np.std(v, where=v > 1)):
        assert cr.grad(f)(x).tolist() == [0, 0, 0]
        assert cr.jvp(f, (x,), (np.array([1.0, 0.0, 0.0]),))[1] == 0
    assert cr.grad(np.std)(1.0) == 0.0
    # As a variance it is smooth there.
    hold(np.var, x)


def test_medians_take_numpys_options():
    for function in (np.median, np.nanmedian):
        for axis in (None, 0, -1, (0, 2), (2, -2)):
            hold(lambda x, f=function, a=axis: f(x, axis=a, keepdims=True), A)
        hold(function, V[:5])
        hold(function, S)
    hold(lambda x: np.nanmedian(np.where(MASK, x, NAN), axis=1), M)


def test_a_median_of_equal_elements_belongs_to_those_in_the_middle():
    assert cr.grad(np.median)(np.array([1.0, 1.0, 1.0])).tolist() == [0, 1, 0]
    assert cr.grad(np.median)(np.array([5.0, 1.0, 1.0, 0.0])).tolist() == [0, 0.5, 0.5, 0]


def test_a_nan_wins_in_a_median_and_a_quantile():
    x = np.array([1.0, NAN, 3.0])
    for f in (np.median, lambda v: np.quantile(v, 0.2)):
        value, gradient = cr.value_and_grad(f)(x)
        assert np.isnan(value)
        assert gradient.tolist() == [0, 1, 0]


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_by_every_method_are_differentiated_in_both_arguments(method):
    options = {"method": method}
    for function in (np.quantile, np.nanquantile):
        f = lambda x, q, g=function: g(x, q, axis=1, **options)
        hold(f, M, np.float64(0.37), float32=False)
        f = lambda x, q, g=function: g(x, q, axis=(0, 2), keepdims=True, **options)
        hold(f, A, np.array([0.123, 0.52, 0.91]), float32=False, second=False)
        for q in (0.0, 0.25, 0.5, 1.0):
            hold(lambda x, g=function, q=q: g(x, q, axis=0, **options), M, vmap=False, second=False)
    f = lambda x, q: np.nanquantile(np.where(MASK, x, NAN), q, axis=1, **options)
    hold(f, M, np.array([0.13, 0.52, 0.91]), float32=False)


def test_percentiles_are_quantiles_in_hundredths():
    for function in (np.percentile, np.nanpercentile):
        hold(lambda x, q, g=function: g(x, q, axis=1), M, np.float64(37.0), float32=False)
        hold(lambda x, g=function: g(x, 30), V)
        hold(lambda x, g=function: g(x, [[10, 50.5], [20, 70]]), V)


def test_weighted_quantiles_pick_the_element_with_that_much_weight():
    for function in (np.quantile, np.nanquantile):
        options = {"weights": np.abs(M), "method": "inverted_cdf"}
        hold(lambda x, g=function, options=options: g(x, 0.6, **options), M)
        hold(lambda x, g=function, options=options: g(x, [0.0, 0.5, 0.9], axis=1, **options), M)
    with pytest.raises(ValueError, match="supports weights"):
        cr.vjp(lambda x: np.quantile(x, 0.5, weights=P), V)


def test_the_slope_in_q_at_an_order_statistic_is_the_one_to_its_right():
    a = np.array([1.0, 2.0, 5.0])
    slopes = [cr.grad(lambda q: np.quantile(a, q))(q) for q in (0.0, 0.25, 0.5, 1.0)]
    assert slopes == [2, 2, 6, 6]


def test_quantiles_refuse_what_numpy_refuses():
    with pytest.raises(ValueError, match="range"):
        cr.vjp(lambda x: np.quantile(x, 1.5), V)
    with pytest.raises(ValueError, match="not a valid method"):
        cr.vjp(lambda x: np.quantile(x, 0.5, method="best"), V)
    with pytest.raises(IndexError):
        cr.vjp(lambda x: np.quantile(x, 0.5), np.zeros(0))


def test_averages_are_differentiated_in_their_weights():
    hold(np.average, M)
    hold(lambda a, w: np.average(a, axis=1, weights=w), M, W)
    hold(lambda a, w: np.average(a, weights=w), V, P)
    hold(lambda a, w: np.average(a, axis=0, weights=w, keepdims=True), M, np.abs(M) + 0.1)
    hold(lambda a, w: np.average(a, axis=(2, 1), weights=w), A, np.abs(array(2, 3)) + 0.1)
    hold(lambda a, w: np.average(a, axis=1, weights=w, returned=True)[1], M, W)
    hold(lambda a: np.average(a, axis=1, returned=True)[0], M)
    hold(lambda a: np.average(a, axis=0, weights=[1, 2, 3]), M)
    with pytest.raises(ZeroDivisionError, match="sum to zero"):
        cr.grad(lambda a: np.average(a, weights=[1.0, -1.0]))(np.ones(2))
    with pytest.raises(TypeError, match="Axis must be specified"):
        cr.vjp(lambda a: np.average(a, weights=W), M)


def test_covariances_take_numpys_options():
    hold(np.cov, M)
    hold(np.cov, V)
    hold(lambda x, y: np.cov(x, y), M, array(2, 4) * 0.3)
    hold(lambda x, y: np.cov(x, y, rowvar=False), array(5, 2), array(5) + 0.4)
    hold(lambda x: np.cov(x, rowvar=False, bias=True), M)
    hold(lambda x: np.cov(x, fweights=[1, 2, 1, 3]), M)
    hold(lambda x, w: np.cov(x, aweights=w), M, W)
    hold(lambda x, w: np.cov(x, aweights=w, fweights=[1, 2, 0, 3], ddof=2), M, W)
    hold(np.corrcoef, M)
    hold(lambda x, y: np.corrcoef(x, y), V, P)
    hold(lambda x: np.corrcoef(x, rowvar=False), M)


def test_a_covariance_without_freedom_warns_as_numpy_does():
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"), np.errstate(all="ignore"):
        value, _ = cr.vjp(np.cov, np.ones((2, 1)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(value, np.cov(np.ones((2, 1))))


def test_counts_by_weight_are_linear_in_the_weights():
    hold(lambda w: np.bincount(np.array([0, 2, 2, 5, 1, 0]), w, 8), V)
    with pytest.raises(cr.errors.NotDifferentiableError, match="integers"):
        cr.grad(lambda x: np.sum(np.bincount(x)))(V)


def test_statistics_of_no_elements_are_numpys():
    empty = np.zeros((0, 3))
    for f in (np.var, np.std, np.median, lambda x, axis: np.quantile(x, 0.5, axis=axis)):
        value, pull = cr.vjp(lambda x, f=f: f(x, axis=1), empty)
        assert np.shape(value) == (0,)
        assert pull(np.zeros(0))[0].shape == (0, 3)


def test_half_precision_stays_half_precision():
    x = np.array([1.7, 2.2, 3.0, 0.4], np.float16)
    for f in (np.var, np.std, np.median, np.average, lambda v: np.quantile(v, 0.3)):
        value, gradient = cr.value_and_grad(f)(x)
        expected = cr.grad(f)(x.astype(float))
        assert value.dtype == gradient.dtype == np.float16
        np.testing.assert_allclose(gradient, expected, atol=4e-3)
