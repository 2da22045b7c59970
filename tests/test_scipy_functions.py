"""SciPy's special functions: ufuncs by name, and the plain functions through their fronts."""

import inspect
import math
import pickle
import subprocess
import sys

import mpmath
import numpy as np
import pytest
import scipy.special
from scipy.special import factorial, log_softmax, logsumexp, multigammaln, polygamma, softmax

import chainrule as cr
from chainrule.errors import NotDifferentiableError
from chainrule.rules import scipy_functions
from chainrule.rules.bessel import bessel_i

X = np.array([[0.3, -1.2, 2.0], [1.1, 0.4, -0.7]])
FRONTS = (factorial, log_softmax, logsumexp, multigammaln, polygamma, softmax)


def slope(f, x):
    return cr.grad(lambda v: np.sum(f(v)))(x)


def test_logsumexp_and_softmax_are_differentiated_with_all_their_options():
    for module in (scipy.special, sys.modules[__name__]):
        np.testing.assert_allclose(slope(module.logsumexp, X), softmax(X), rtol=1e-14)
        by_row = slope(lambda x, m=module: m.logsumexp(x, axis=1, keepdims=True), X)
        np.testing.assert_allclose(by_row, softmax(X, axis=1), rtol=1e-14)
        p = softmax(X, axis=1)
        first = slope(lambda x, m=module: m.softmax(x, axis=1)[:, 0], X)
        np.testing.assert_allclose(first, p[:, :1] * (np.eye(3)[0] - p), rtol=1e-13, atol=1e-16)
        log_first = slope(lambda x, m=module: m.log_softmax(x, axis=1)[:, 0], X)
        np.testing.assert_allclose(log_first, np.eye(3)[0] - p, rtol=1e-13, atol=1e-16)
    b = np.array([1.0, 2.0, 0.5])
    weighted = slope(lambda x: logsumexp(x, b=b, axis=1), X)
    np.testing.assert_allclose(weighted, softmax(X + np.log(b), axis=1), rtol=1e-13)
    of_weights = slope(lambda w: logsumexp(X[0], b=w), b)
    np.testing.assert_allclose(of_weights, np.exp(X[0]) / (np.exp(X[0]) @ b), rtol=1e-13)


def test_polygamma_multigammaln_and_factorial_are_differentiated():
    x = np.array([0.7, 2.3, 9.1])
    for n in range(4):
        np.testing.assert_array_equal(slope(lambda v, n=n: polygamma(n, v), x), polygamma(n + 1, x))
    orders = np.array([0, 1, 3])
    np.testing.assert_array_equal(
        slope(lambda v: polygamma(orders, v), x), polygamma(orders + 1, x)
    )
    expected = sum(scipy.special.psi(x + 1.5 - j / 2) for j in range(3))
    np.testing.assert_allclose(slope(lambda v: multigammaln(v + 1.5, 3), x), expected, rtol=1e-14)
    value, pull = cr.vjp(factorial, x)
    np.testing.assert_allclose(value, factorial(x), rtol=1e-14)
    np.testing.assert_allclose(
        pull(np.ones(3))[0], scipy.special.gamma(x + 1) * scipy.special.psi(x + 1), rtol=1e-14
    )


def test_what_plain_arguments_give_is_computed_by_scipys_own_code():
    for name, original in scipy_functions._originals.items():
        assert original.__module__.startswith("scipy.special")
        assert "chainrule" not in original.__code__.co_filename
        assert inspect.unwrap(getattr(scipy.special, name)) is inspect.unwrap(original)
    for found, expected in (
        (logsumexp([1.0, 2.0], b=[1, -3], return_sign=True), (2.9677898, -1.0)),
        (softmax(X.astype(np.float32), axis=0), None),
        (polygamma([0, 1], 2.5), [0.7031566, 0.4903578]),
        (factorial(5, exact=True), 120),
    ):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert softmax(X.astype(np.float32)).dtype == np.float32
    assert type(factorial(5, exact=True)) is int


def test_the_functions_keep_identity_signature_source_and_pickle():
    for function in FRONTS:
        assert getattr(scipy.special, function.__name__) is function
        assert pickle.loads(pickle.dumps(function)) is function
        assert f"def {function.__name__}(" in inspect.getsource(function)
        assert function.__doc__
    assert str(inspect.signature(softmax)) == "(x, axis=None)"
    assert list(inspect.signature(logsumexp).parameters)[:4] == ["a", "axis", "b", "keepdims"]
    assert list(inspect.signature(factorial).parameters)[:2] == ["n", "exact"]
    with pytest.raises(TypeError):
        softmax()


SCRIPT = """
import sys
{first}
import numpy as np
import chainrule as cr
{second}
assert ("scipy" in sys.modules) is {loaded}
def f(x):
    {inside}
    return logsumexp(x)
print(cr.grad(f)(np.zeros(4))[0])
"""
IMPORT = "from scipy.special import logsumexp"


@pytest.mark.parametrize(
    ("first", "second", "inside", "loaded"),
    [
        (IMPORT, "", "pass", True),
        ("", IMPORT, "pass", True),
        ("", "", IMPORT, False),
        (
            "",
            "import importlib.util",
            "importlib.util.find_spec('scipy.special'); " + IMPORT,
            False,
        ),
    ],
)
def test_it_makes_no_difference_when_scipy_is_imported(first, second, inside, loaded):
    script = SCRIPT.format(first=first, second=second, inside=inside, loaded=loaded)
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.stdout.strip() == "0.25", done.stderr


# --------------------------------------------------------------------------------------- ufuncs


def test_functions_with_two_results_are_differentiated_in_both():
    x = np.array([0.2, 1.3, 2.1])
    for function, slopes in (
        (scipy.special.sici, (np.sin(x) / x, np.cos(x) / x)),
        (scipy.special.shichi, (np.sinh(x) / x, np.cosh(x) / x)),
        (scipy.special.fresnel, (np.sin(np.pi * x**2 / 2), np.cos(np.pi * x**2 / 2))),
    ):
        for k, expected in enumerate(slopes):
            np.testing.assert_allclose(
                slope(lambda v, k=k, f=function: f(v)[k], x), expected, rtol=1e-13
            )
            np.testing.assert_array_equal(
                cr.vjp(lambda v, k=k, f=function: f(v)[k], x)[0], function(x)[k]
            )


def test_spherical_bessel_functions_are_scipys_on_both_sides_of_zero():
    for name in ("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn"):
        f, x = getattr(scipy.special, name), np.array([-3.0, -0.4, 1e-3, 0.7, 12.0])
        for n in (0, 1, np.array([0, 1, 2, 3, 7])):
            value, pull = cr.vjp(lambda v, n=n, f=f: f(n, v), x)
            np.testing.assert_array_equal(value, f(n, x))
            np.testing.assert_allclose(pull(np.ones(5))[0], f(n, x, derivative=True), rtol=1e-10)
            traced = cr.vjp(lambda v, n=n, f=f: f(n, v, derivative=True), x)[0]
            np.testing.assert_allclose(traced, f(n, x, derivative=True), rtol=1e-10)
    assert cr.grad(lambda x: scipy.special.spherical_jn(1, x))(0.0) == pytest.approx(1 / 3)
    with pytest.raises(NotDifferentiableError, match="order"):
        cr.grad(lambda n: scipy.special.spherical_jn(n, 2.0))(1.0)
    # What is not traced is computed by SciPy's own code, closure and all.
    assert scipy.special.spherical_jn(2, 1.5 + 1j).imag != 0
    assert pickle.loads(pickle.dumps(scipy.special.spherical_jn)) is scipy.special.spherical_jn


def test_numbers_of_choices_are_zero_where_there_is_nothing_to_choose():
    n, k = np.array([5.0, 2.0, 4.5, 3.0, -1.0]), np.array([2.0, 3.0, 0.5, -1.0, 0.5])
    for f in (scipy.special.comb, scipy.special.perm):
        value, pull = cr.vjp(f, n, k)
        np.testing.assert_allclose(value, f(n, k), rtol=1e-13)
        of_n, of_k = pull(np.ones(5))
        assert np.array_equal(of_n == 0, value == 0)
        assert np.array_equal(of_k == 0, value == 0)
        with pytest.raises(TypeError, match="exact=False"):
            cr.grad(lambda n, f=f: f(n, 2, exact=True))(5.0)
    again = cr.vjp(lambda n: scipy.special.comb(n, k, repetition=True), n)[0]
    np.testing.assert_allclose(again, scipy.special.comb(n, k, repetition=True), rtol=1e-13)


def test_orthogonal_polynomials_have_slopes_at_the_ends_and_constants_have_none():
    x = np.array([-1.0, 1.0])
    n = 6
    expected = np.array([-1.0, 1.0]) * n * (n + 1) / 2
    np.testing.assert_allclose(
        slope(lambda x: scipy.special.eval_legendre(n, x), x), expected, rtol=1e-13
    )
    for f in (scipy.special.eval_chebyt, scipy.special.eval_hermite, scipy.special.eval_laguerre):
        assert np.array_equal(slope(lambda x, f=f: f(0, x), x), [0.0, 0.0])
    with pytest.raises(NotDifferentiableError, match="degree"):
        cr.grad(lambda n: scipy.special.eval_sh_legendre(n, 0.3))(1.0)
    # Legendre's functions of broken degree have the same rule.
    h = 1e-6
    f = lambda x: scipy.special.eval_legendre(0.5, x)
    assert cr.grad(f)(0.3) == pytest.approx((f(0.3 + h) - f(0.3 - h)) / (2 * h), rel=1e-8)


@pytest.mark.parametrize("a", [0.02, 0.6, 1.0, 7.5, 130.0, 4000.0])
def test_the_incomplete_gamma_function_is_differentiated_in_its_parameter(a):
    with mpmath.workdps(60):
        for share in (1e-4, 0.4, 0.97, 1.1, 2.0):
            x = float(a * share)
            below = lambda p, x=x: mpmath.gammainc(p, 0, mpmath.mpf(x), regularized=True)
            expected = float(mpmath.diff(below, mpmath.mpf(a)))
            if abs(expected) < 1e-60:  # lost in the differences of mpmath
                continue
            for f, sign in ((scipy.special.gammainc, 1), (scipy.special.gammaincc, -1)):
                found = cr.grad(f)(a, x)
                assert found == pytest.approx(sign * expected, rel=2e-12)
    assert cr.grad(scipy.special.gammainc)(a, 0.0) == 0.0
    assert cr.grad(scipy.special.gammainc)(a, math.inf) == 0.0


def test_elliptic_integrals_have_derivatives_at_zero_and_near_one():
    assert slope(scipy.special.ellipk, np.zeros(1)) == pytest.approx(math.pi / 8, rel=1e-15)
    assert slope(scipy.special.ellipe, np.zeros(1)) == pytest.approx(-math.pi / 8, rel=1e-15)
    m = 1 - 1e-9
    k, e = scipy.special.ellipk(m), scipy.special.ellipe(m)
    assert cr.grad(scipy.special.ellipk)(m) == pytest.approx((e / (1 - m) - k) / (2 * m))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda x: scipy.special.jv(x, 2.0), "order"),
        (lambda x: scipy.special.betainc(x, 2.0, 0.5), "parameters a and b"),
        (lambda x: scipy.special.betainc(2.0, x, 0.5), "parameters a and b"),
        (lambda x: polygamma(x, 2.0), "order"),
        (lambda x: scipy.special.expn(x, 2.0), "order"),
        (lambda x: scipy.special.hyp2f1(1.0, 2.0, x, 0.5), "parameters"),
        (lambda x: scipy.special.lambertw(x), "complex"),
        (lambda x: scipy.special.wofz(x), "complex"),
    ],
)
def test_a_derivative_that_is_not_known_is_not_zero_but_an_error(call, says):
    with pytest.raises(NotDifferentiableError, match=says):
        cr.grad(lambda x: np.real(call(x)))(1.5)


def test_orders_may_be_arrays_and_come_from_an_outer_computation_of_integers():
    orders = np.array([[0], [1], [2]])
    x = np.array([0.5, 2.0])
    expected = scipy.special.jvp(orders, x)
    np.testing.assert_allclose(slope(lambda v: scipy.special.jn(orders, v), x), expected.sum(0))
    batched = cr.vmap(lambda n, v: cr.grad(lambda u: scipy.special.jv(n, u))(v))
    np.testing.assert_allclose(batched(np.arange(3), np.full(3, 2.0)), expected[:, 1])


MP = mpmath.mp.clone()
MP.dps = 32
# Far out and beside removable singularities: function, the same for mpmath, points.
ACCURATE = [
    (scipy.special.erfcx, lambda x: MP.exp(x * x) * MP.erfc(x), (2.9, 3.1, 30.0, 1e4)),
    (scipy.special.dawsn, lambda x: MP.exp(-x * x) * MP.erfi(x) * MP.sqrt(MP.pi) / 2, (7.1, 40.0)),
    (scipy.special.log_ndtr, lambda x: MP.log(MP.ncdf(x)), (-1e3, -30.0, -2.0)),
    (scipy.special.i0e, lambda x: MP.besseli(0, x) * MP.exp(-x), (1e-5, 33.0, 1e3)),
    (scipy.special.i1e, lambda x: MP.besseli(1, x) * MP.exp(-x), (1e-5, 33.0, 1e3)),
    (scipy.special.k0e, lambda x: MP.besselk(0, x) * MP.exp(x), (1e-2, 33.0)),
    (scipy.special.k1e, lambda x: MP.besselk(1, x) * MP.exp(x), (1e-2, 33.0)),
    (scipy.special.exprel, lambda x: MP.expm1(x) / x, (-3.0, 1e-9, 0.99, 1.01)),
    (scipy.special.spence, lambda x: MP.polylog(2, 1 - x).real, (0.51, 1 + 1e-9, 1.49, 1.51)),
    (scipy.special.rgamma, MP.rgamma, (-3 + 1e-9, -1e-9, 0.49)),
    (np.sinc, MP.sincpi, (1e-9, 0.39, 0.41)),
    (np.tanh, MP.tanh, (1e-9, 5.0, 30.0)),
    (scipy.special.expit, lambda x: 1 / (1 + MP.exp(-x)), (-40.0, 5.0, 40.0)),
    (lambda x: scipy.special.betaln(x, 1e-6), lambda x: MP.log(MP.beta(x, 1e-6)), (0.3, 300.0)),
    (lambda x: scipy.special.kl_div(x, 0.3), lambda x: x * MP.log(x / MP.mpf(0.3)) - x, (0.3001,)),
    (lambda p: scipy.special.boxcox(1.3, p), lambda p: MP.expm1(p * MP.log(MP.mpf(1.3))) / p,
     (1e-9, 0.4)),
]  # fmt: skip


@pytest.mark.parametrize(("f", "mp_f", "points"), ACCURATE)
def test_first_and_second_derivatives_keep_their_digits(f, mp_f, points):
    for x in points:
        first, second = cr.grad(f)(x), cr.grad(cr.grad(f))(x)
        assert first == pytest.approx(float(MP.diff(mp_f, MP.mpf(x))), rel=2e-13)
        assert second == pytest.approx(float(MP.diff(mp_f, MP.mpf(x), 2)), rel=3e-10)


def test_the_slope_of_an_incomplete_function_is_its_density_also_for_large_parameters():
    for a, x in ((1e4, 9.9e3), (30.0, 45.0), (1e6, 1.001e6), (0.3, 1e-5)):
        expected = MP.exp((MP.mpf(a) - 1) * MP.log(x) - x - MP.loggamma(a))
        found = cr.grad(lambda v, a=a: scipy.special.gammainc(a, v))(x)
        assert found == pytest.approx(float(expected), rel=1e-12)
    for a, b, x in ((1e4, 2e4, 0.33), (30.0, 9.0, 0.8), (0.3, 1e3, 1e-5)):
        logarithm = (MP.mpf(a) - 1) * MP.log(x) + (MP.mpf(b) - 1) * MP.log1p(-MP.mpf(x))
        expected = MP.exp(logarithm) / MP.beta(a, b)
        found = cr.grad(lambda v, a=a, b=b: scipy.special.betainc(a, b, v))(x)
        assert found == pytest.approx(float(expected), rel=1e-12)


def test_removable_singularities_have_their_slope():
    assert cr.grad(np.sinc)(0.0) == 0.0
    assert cr.grad(cr.grad(np.sinc))(0.0) == pytest.approx(-(math.pi**2) / 3, rel=1e-14)
    assert cr.grad(scipy.special.exprel)(0.0) == pytest.approx(0.5, rel=1e-14)
    assert cr.grad(scipy.special.spence)(1.0) == pytest.approx(-1.0, rel=1e-14)
    assert cr.grad(lambda x: scipy.special.sici(x)[0])(0.0) == pytest.approx(1.0, rel=1e-14)
    assert cr.grad(scipy.special.rgamma)(-2.0) == pytest.approx(2.0, rel=1e-14)
    assert cr.grad(lambda p: scipy.special.boxcox(2.0, p))(0.0) == pytest.approx(
        math.log(2.0) ** 2 / 2, rel=1e-14
    )
    assert cr.grad(lambda y: scipy.special.xlogy(0.0, y))(0.0) == 0.0


def test_the_modified_bessel_function_needs_no_scipy_where_numpy_has_it():
    x = np.array([-30.0, -1.0, 1e-8, 0.5, 3.0, 40.0, 600.0])
    for n in (0, 1, 2, 5):
        np.testing.assert_allclose(bessel_i(n, x), scipy.special.iv(n, x), rtol=1e-13)
    np.testing.assert_allclose(slope(np.i0, x), scipy.special.i1(x), rtol=1e-14)


def test_special_functions_keep_float32():
    for f in (
        scipy.special.erfcx, scipy.special.dawsn, scipy.special.i0e, scipy.special.k0e,
        scipy.special.exprel, scipy.special.spence, scipy.special.rgamma, np.sinc, logsumexp,
        lambda x: scipy.special.betaln(x, x), lambda x: scipy.special.gammainc(9.5, x),
    ):  # fmt: skip
        x = np.array([0.7, 1.9], np.float32)
        first = lambda v, f=f: slope(f, v)
        assert first(x).dtype == slope(first, x).dtype == np.float32
