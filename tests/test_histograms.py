"""Histograms, sets and trimmed zeros: values are NumPy's, and what moves has a derivative."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError

RNG = np.random.default_rng(4)
X = np.round(RNG.normal(size=200), 1)  # many values lie on edges
W = RNG.uniform(size=200)
BINS = [1, 7, 40, np.linspace(-1, 1, 5), np.array([-1.0, 0.0, 0.0, 2.0]), "auto", "fd"]


def valued(f, *args):
    """What ``f`` gives of traced values."""
    return cr.vjp(f, *args)[0]


def found_while_traced(f, x):
    """What ``f`` gives of a traced value, as plain values."""
    seen = []

    def loss(x):
        seen.append(cr.stop_gradient(f(x)))
        return np.sum(x)

    cr.grad(loss)(x)
    return seen[0]


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bins", BINS, ids=str)
@pytest.mark.parametrize("limits", [None, (-1.5, 1.0), (0, 0)], ids=str)
@pytest.mark.parametrize("density", [False, True])
def test_counts_sums_and_edges_are_numpys(bins, limits, density):
    expected = np.histogram(X, bins, limits, density)
    found = found_while_traced(lambda x: np.histogram(x, bins, limits, density), X)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-14)
    np.testing.assert_array_equal(found[1], expected[1])
    if not isinstance(bins, str):
        expected = np.histogram(X, bins, limits, density, W)[0]
        sums = valued(lambda w: np.histogram(X, bins, limits, density, w)[0], W)
        np.testing.assert_allclose(sums, expected, rtol=1e-12, atol=1e-13)


def test_counts_are_plain_whole_numbers():
    def f(x):
        for counts in (np.histogram(x, 3)[0], np.histogram2d(x, x)[0], np.histogramdd((x, x))[0]):
            assert type(counts) is np.ndarray
        return np.sum(x)

    cr.grad(f)(X)


def test_counts_in_several_dimensions_are_numpys():
    points = np.stack([X, np.roll(X, 3), W], axis=1)
    for bins, limits in (
        (4, None),
        ((2, 3, 5), [(-1, 1), None, (0.2, 0.4)]),
        ([np.array([-1.0, 0.0, 2.0]), 3, [0.1, 0.5]], None),
    ):
        for density in (False, True):
            expected = np.histogramdd(points, bins, limits, density)
            found = found_while_traced(
                lambda x, o=(bins, limits, density): np.histogramdd(x, *o), points
            )
            np.testing.assert_allclose(found[0], expected[0], rtol=1e-13)
            for one, other in zip(found[1], expected[1], strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_density_moves_with_its_edges_and_not_with_what_lies_between():
    x = np.array([0.0, 1.2, 2.1, 4.0])
    gradient = cr.grad(lambda x: np.histogram(x, 2, density=True)[0][0])(x)
    # Half of the values in a bin of half the range: 1/(largest − smallest).
    np.testing.assert_allclose(gradient, [1 / 16, 0.0, 0.0, -1 / 16])


def test_bins_that_are_traced_carry_the_derivative_of_a_density():
    edges = np.array([-1.0, 0.5, 2.0])
    share = np.histogram(X, edges)[0] / np.sum(np.histogram(X, edges)[0])
    gradient = cr.grad(lambda e: np.histogram(X, e, density=True)[0][0])(edges)
    slope = share[0] / 1.5**2
    np.testing.assert_allclose(gradient, [slope, -slope, 0.0])


def test_equal_values_get_edges_half_a_unit_away():
    x = np.array([2.0, 2.0])
    value, pull = cr.vjp(lambda x: np.histogram_bin_edges(x, 2), x)
    assert np.array_equal(value, [1.5, 2.0, 2.5])
    np.testing.assert_allclose(pull(np.ones(3))[0].sum(), 3.0)


def test_a_histogram_of_whole_numbers_has_edges_of_floats():
    n = np.array([1, 2, 2, 5])
    found = cr.vmap(lambda n: np.histogram(n, 2)[0])(np.stack([n, n + 1, n * n]))
    assert np.array_equal(found, [np.histogram(v, 2)[0] for v in (n, n + 1, n * n)])


def test_single_precision_has_numpys_dtypes():
    x, w = X.astype(np.float32), W.astype(np.float32)
    for f in (
        lambda x, w: np.histogram(x, 5, weights=w)[0],
        lambda x, w: np.histogram(x, 5)[1],
        lambda x, w: np.histogram(x, 5, (0, 1))[1],
        lambda x, w: np.histogram(x, 5, density=True)[0],
        lambda x, w: np.histogramdd((x, w), 5)[1][0],
        lambda x, w: np.histogram2d(x, w, 5, weights=w)[0],
    ):
        value = cr.vjp(f, x, w)[0]
        assert value.dtype == f(x, w).dtype
        np.testing.assert_allclose(value, f(x, w), rtol=1e-5)
    edges, pull = cr.vjp(lambda x: np.histogram_bin_edges(x, 5), x)
    np.testing.assert_array_equal(edges, np.histogram_bin_edges(x, 5))
    assert pull(np.ones_like(edges))[0].dtype == np.float32


def test_no_values_at_all_are_counted_between_0_and_1():
    expected = np.histogram(np.zeros(0), 3)
    for one, other in zip(valued(lambda x: np.histogram(x, 3), np.zeros(0)), expected, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda x: np.histogram(x, 0), ValueError, "positive"),
        (lambda x: np.histogram(x, 2.5), TypeError, "integer"),
        (lambda x: np.histogram(x, [[1, 2]]), ValueError, "1d"),
        (lambda x: np.histogram(x, [1, 0]), ValueError, "monotonically"),
        (lambda x: np.histogram(x, 3, (1, 0)), ValueError, "max must be larger"),
        (lambda x: np.histogram(x, 3, (0, np.inf)), ValueError, "supplied range"),
        (lambda x: np.histogram(x * np.nan, 3), ValueError, "autodetected range"),
        (lambda x: np.histogram(x, 3, weights=W[:3]), ValueError, "same shape"),
        (lambda x: np.histogram(x, 3, (1, np.nextafter(1, 2))), ValueError, "Too many bins"),
        (lambda x: np.histogram(x, "auto", weights=W), TypeError, "weighted"),
        (lambda x: np.histogramdd((x, x), [1]), ValueError, "dimension of bins"),
        (lambda x: np.histogramdd((x, x), 2, [(0, 1)]), ValueError, "one entry per dimension"),
        (lambda x: np.histogramdd((x, x), [1, 0]), ValueError, "positive"),
        (lambda x: np.histogram2d(x, x[1:]), ValueError, "same length"),
        (lambda x: cr.vmap(lambda v: np.histogram(v, "auto")[0])(x[None]), TraceError, "number"),
        (lambda x: cr.vmap(np.unique_values)(x[None]), TraceError, "length of the result"),
        (lambda x: cr.vmap(np.union1d)(x[None], x[None]), TraceError, "length of the result"),
    ],
)
def test_what_cannot_be_counted_says_why(f, error, says):
    with pytest.raises(error, match=says):
        cr.grad(lambda x: np.sum(x) + 0 * len(f(x)))(X)


# -------------------------------------------------------------------------------------------- sets

A = np.array([[3.0, 1.0], [np.nan, 1.0], [-np.inf, np.nan]])
B = np.array([1.0, 7.0, np.inf, np.inf, np.nan])


@pytest.mark.parametrize(
    "f", [np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d], ids=lambda f: f.__name__
)
def test_sets_of_two_arrays_are_numpys(f):
    for a, b in ((A, B), (B, A), (A[:2, 0], B[:2]), (np.zeros(0), B), (np.zeros(0), np.zeros(0))):
        np.testing.assert_array_equal(valued(f, a, b), f(a, b))
        np.testing.assert_array_equal(valued(lambda a, b=b: f(a, b), a), f(a, b))
    one, other = np.array([4.0, 1.0, 3.0]), np.array([3.0, 8.0])
    if f is not np.union1d:
        np.testing.assert_array_equal(
            valued(lambda a: f(a, other, assume_unique=True), one), f(one, other, True)
        )


def test_sets_of_one_array_are_numpys():
    for f in (np.unique_all, np.unique_counts, np.unique_inverse):
        found, expected = found_while_traced(f, A), f(A)
        assert found._fields == expected._fields
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(valued(np.unique_values, X), np.unique_values(X))
    np.testing.assert_array_equal(valued(np.unique_values, A), np.unique_values(A))


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
def test_of_equal_elements_the_first_carries_the_derivative():
    x, y = np.array([2.0, 1.0, 2.0]), np.array([2.0, 5.0])
    for f, expected in (
        (np.union1d, ([1.0, 1.0, 0.0], [0.0, 1.0])),
        (np.intersect1d, ([1.0, 0.0, 0.0], [0.0, 0.0])),
        (np.setdiff1d, ([0.0, 1.0, 0.0], [0.0, 0.0])),
        (np.setxor1d, ([0.0, 1.0, 0.0], [0.0, 1.0])),
    ):
        gradient = cr.grad(lambda x, y, f=f: np.sum(f(x, y)), (0, 1))(x, y)
        for one, other in zip(gradient, expected, strict=True):
            assert np.array_equal(one, other), f.__name__
    assert np.array_equal(cr.grad(lambda x: np.sum(np.unique_values(x)))(x), [1.0, 1.0, 0.0])


def test_the_places_of_common_elements_are_plain_whole_numbers():
    x, y = np.array([2.0, 1.0, 7.0]), np.array([7.0, 5.0, 2.0])
    found = found_while_traced(lambda x: np.intersect1d(x, y, return_indices=True), x)
    for one, other in zip(found, np.intersect1d(x, y, return_indices=True), strict=True):
        np.testing.assert_array_equal(one, other)


# ----------------------------------------------------------------------------------- trimmed zeros


@pytest.mark.parametrize("x", [
    np.array([0.0, 0.0, 1.0, 0.0, 2.0, 0.0]), np.zeros(3), np.zeros(0),
    np.array([[0.0, 0, 0], [0, 0, 3], [0, 1, 0], [0, 0, 0]]), np.zeros((2, 3)),
])  # fmt: skip
@pytest.mark.parametrize("trim", ["fb", "B", "f"])
def test_zeros_are_trimmed_as_numpy_trims_them(x, trim):
    for axis in (None, -1, *range(x.ndim)):
        try:
            expected = np.trim_zeros(x, trim, axis)
        except TypeError:  # before NumPy 2.2: of one axis only
            continue
        np.testing.assert_array_equal(valued(lambda v, a=axis: np.trim_zeros(v, trim, a), x),
                                      expected)  # fmt: skip
    with pytest.raises(ValueError, match="unexpected character"):
        cr.grad(lambda v: np.sum(np.trim_zeros(v, "x")))(x)


def test_a_zero_that_was_cut_off_gets_no_gradient():
    gradient = cr.grad(lambda x: np.sum(np.cos(np.trim_zeros(x))))(np.array([0.0, 0.5, 0.0, 1.0]))
    np.testing.assert_allclose(gradient, [0.0, -np.sin(0.5), 0.0, -np.sin(1.0)])
