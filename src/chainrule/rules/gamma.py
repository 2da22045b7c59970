"""The gamma function and its relatives: beta, digamma, their incomplete forms, and zeta.

The incomplete gamma function is differentiated in its limit and in its parameter, the incomplete
beta function in its limit only.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.operand import SCIPY_UFUNCS, Operand, bind, symbolic
from chainrule.graph.primitive import Flat, Primitive, Scale
from chainrule.rules.book import define
from chainrule.rules.scipy_values import from_scipy, takes_fixed
from chainrule.rules.ufunc_methods import ufunc_call

_FIXED = Flat("a parameter; SciPy has no derivative in it")
# Coefficients of 1/x, 1/x³, ... in Stirling's series of ln Γ, and of 1/x², 1/x⁴, ... in digamma's.
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798)
_STIRLING = tuple(b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI, 1))
_DIGAMMA = tuple(b / (2 * k) for k, b in enumerate(_BERNOULLI, 1))
_SHIFT = 12


def _not_a_pole(x: Any) -> Any:
    return (x > 0) | (x != np.floor(x))


def digamma(x: Any) -> Any:
    """ψ(x), the derivative of ln Γ."""
    return bind(DIGAMMA, (x,))


def digamma_difference(a: Any, b: Any) -> Any:
    """ψ(a) − ψ(a + b) for positive arguments, also where the two are nearly equal.

    Both are shifted up by the recurrence to where the asymptotic series holds, and the difference
    is taken term by term: all terms have the same sign.
    """
    if symbolic(a) or symbolic(b):
        return digamma(a) - digamma(a + b)
    total = 0.0
    for k in range(_SHIFT):
        total = total - b / ((a + k) * (a + b + k))
    p, q = 1 / (a + _SHIFT), 1 / (a + b + _SHIFT)
    total = total - np.log1p(b * p) - b * p * q / 2
    squares = b * p * q * (p + q)  # p² − q²
    powers, q_power = squares, q * q
    for c in _DIGAMMA:
        total = total - c * powers  # p²ᵏ − q²ᵏ
        powers, q_power = powers * p * p + q_power * squares, q_power * q * q
    return total


def _beta_slope(a: Any, b: Any) -> Any:
    """The slope of ln B(a, b) in a."""
    if symbolic(a) or symbolic(b):
        return digamma(a) - digamma(a + b)
    positive = (a > 0) & (b > 0)
    inside = digamma_difference(np.where(positive, a, 1.0), np.where(positive, b, 1.0))
    return np.where(positive, inside, digamma(a) - digamma(a + b))


def _rgamma_slope(x: Any, out: Any) -> Any:
    """−ψ(x)/Γ(x); left of ½ through the reflection, where ψ and Γ have their poles."""
    if symbolic(x):
        return -out * digamma(x)
    left = x < 0.5
    y = 1 - np.where(left, x, 0.0)
    whole = np.rint(y)
    sign = 1 - 2 * np.remainder(whole, 2)
    angle = math.pi * (y - whole)
    # 1/Γ(x) = sin(πx)·Γ(1 − x)/π, and sin(πx) = sin(π(1 − x)).
    turned = -sign * (np.cos(angle) + np.sin(angle) * digamma(y) / math.pi)
    return np.where(left, turned * bind(GAMMA, (y,)), -out * digamma(np.where(left, 1.0, x)))


def stirling_rest(x: Any) -> Any:
    """ln Γ(x) − [(x − ½)·ln x − x + ½·ln 2π], for x of at least 8."""
    square = 1 / (x * x)
    total = 0.0
    for c in reversed(_STIRLING):
        total = total * square + c
    return total / x


def deviance(a: Any, m: Any) -> Any:
    """m − a − a·ln(m/a), which is small where m is near a."""
    u = (m - a) / a
    return a * (u - np.log1p(u))


def _gamma_density(a: Any, x: Any) -> Any:
    """x^(a−1)·e^(−x)/Γ(a): for large a with ln x and ln Γ(a) taken off each other beforehand."""
    if symbolic(a) or symbolic(x):
        return np.exp((a - 1) * np.log(x) - x - bind(GAMMALN, (a,)))
    large = a > 8
    b, y = np.where(large, a, 8.0), np.where(large & (x > 0), x, 8.0)
    far = np.exp(-deviance(b, y) - stirling_rest(b)) * np.sqrt(b / (2 * math.pi)) / y
    c = np.where(large, 1.0, a)
    share = np.where(c > 1, x / np.maximum(c, 1.0), 0.0)  # of e^(−x), for each factor of x^(c−1)
    near = (x * np.exp(-share)) ** (c - 1) * np.exp(share * (c - 1) - x) * bind(RGAMMA, (c,))
    return np.where(large, np.where(x > 0, far, 0.0), near)


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """x^(a−1)·(1 − x)^(b−1)/B(a, b)."""
    if symbolic(a) or symbolic(b) or symbolic(x):
        return x ** (a - 1) * (1 - x) ** (b - 1) / bind(BETA, (a, b))
    large = (a > 8) & (b > 8)
    p, q, y = np.where(large, a, 8.0), np.where(large, b, 8.0), np.where(large, x, 0.5)
    n = p + q
    rest = stirling_rest(n) - stirling_rest(p) - stirling_rest(q)
    far = np.exp(rest - deviance(p, n * y) - deviance(q, n * (1 - y)))
    far = far * np.sqrt(p * q / (2 * math.pi * n)) / (y * (1 - y))
    c, d = np.where(large, 1.0, a), np.where(large, 1.0, b)
    near = np.exp((d - 1) * np.log1p(-x) - bind(BETALN, (c, d))) * x ** (c - 1)
    return np.where(large, far, near)


_PARAMETERS = (lambda a, x: (a > 0) & (x >= 0), "a positive parameter and a limit of at least 0")
_BETA = (lambda a, b: (a > 0) & (b > 0), "positive arguments")
_BETA_PARAMETERS = (
    lambda a, b, x: (a > 0) & (b > 0) & (x > 0) & (x < 1),
    "positive parameters and a limit between 0 and 1",
)

GAMMA = define(
    "gamma", from_scipy("gamma"), Scale(lambda x, out: out * digamma(x)),
    text="Γ", latex=r"\Gamma", scipy="gamma", ulps=64.0,
    domain=(_not_a_pole, "an argument other than 0, −1, −2, …"),
    mpmath=lambda mp, x: mp.gamma(x), sympy=lambda sp, x: sp.gamma(x),
)
GAMMALN = define(
    "gammaln", from_scipy("gammaln"), Scale(lambda x, out: digamma(x)),
    text="lnΓ", latex=r"\ln\Gamma", scipy="gammaln", ulps=math.inf,  # it has zeros left of 0
    domain=(_not_a_pole, "an argument other than 0, −1, −2, …"),
    mpmath=lambda mp, x: mp.log(abs(mp.gamma(x))), sympy=lambda sp, x: sp.loggamma(x),
)
LOGGAMMA = define(
    "loggamma", from_scipy("loggamma"), Scale(lambda x, out: digamma(x)),
    text="lnΓ", latex=r"\ln\Gamma", scipy="loggamma", ulps=math.inf,  # zeros at 1 and 2
    domain=(lambda x: x > 0, "a positive argument"),
    mpmath=lambda mp, x: mp.loggamma(x).real, sympy=lambda sp, x: sp.loggamma(x),
)
GAMMASGN = define(
    "gammasgn", from_scipy("gammasgn"), Flat("a sign: constant between the poles"),
    scipy="gammasgn", domain=(_not_a_pole, "an argument other than 0, −1, −2, …"),
    mpmath=lambda mp, x: mp.sign(mp.gamma(x)),
)
RGAMMA = define(
    "rgamma", from_scipy("rgamma"), Scale(_rgamma_slope),
    text="1/Γ({0})", latex=r"\frac{{1}}{{\Gamma\left({0}\right)}}", scipy="rgamma", ulps=math.inf,
    mpmath=lambda mp, x: mp.rgamma(x), sympy=lambda sp, x: 1 / sp.gamma(x),
)
DIGAMMA: Primitive = define(
    "digamma", from_scipy("psi"), Scale(lambda x, out: bind(POLYGAMMA, (1, x))),
    text="ψ", latex=r"\psi", scipy="psi", ulps=math.inf,  # a zero between any two poles
    domain=(_not_a_pole, "an argument other than 0, −1, −2, …"),
    mpmath=lambda mp, x: mp.digamma(x), sympy=lambda sp, x: sp.digamma(x),
)
POLYGAMMA: Primitive = define(
    "polygamma", from_scipy("polygamma", orders=1),
    Flat("an order"), Scale(lambda n, x, out: bind(POLYGAMMA, (n + 1, x))),
    text="ψ", latex=r"\psi", ulps=256.0,
    domain=(lambda n, x: (n >= 1) & (n == np.floor(n)) & (x > 0),
            "a whole order of at least 1 and a positive argument"),
    mpmath=lambda mp, n, x: mp.psi(int(n), x), sympy=lambda sp, n, x: sp.polygamma(n, x),
)
# ------------------------------------------------------- the incomplete gamma function's parameter

_STEP, _FROM, _TO = 1 / 16, -60, 84
_MOST = 8  # orders of derivatives


def _log_moments(a: Any, shifted: Any, k: int) -> Any:
    """What the density is multiplied by when it is differentiated k times in a.

    ``shifted`` is ln t − ψ(a); it and −ψ′, −ψ″, … are the derivatives of the density's logarithm.
    """
    slopes = [shifted, *(-bind(POLYGAMMA, (m, a)) for m in range(1, k))]
    found: list[Any] = [1.0]
    for j in range(k):
        found.append(sum(math.comb(j, i) * found[j - i] * slopes[i] for i in range(j + 1)))
    return found[k]


def _gammainc_order(a: Any, x: Any, k: Any) -> Any:
    """The k-th derivative of P(a, x) in a, as an integral over the side that adds up best.

    Below e^ψ(a) all of the integrand of the first derivative is negative, above it all is positive,
    and over both sides it gives 0. With t = x·e^(∓s) it falls off like an exponential or faster, so
    that sums at doubly exponential steps are nearly exact.
    """
    dtype = np.result_type(np.result_type(a, x), np.float16)
    a, x, k = np.broadcast_arrays(np.asarray(a, float), np.asarray(x, float), k)
    out = np.empty(a.shape)
    inside = (x > 0) & (x < np.inf)
    b, y = np.where(inside, a, 1.0), np.where(inside, x, 1.0)
    psi = digamma(b)
    below = y < np.maximum(np.exp(psi), 0.5)
    sign = np.where(below, -1.0, 1.0)
    width = np.where(below, np.maximum(b - y, 0) + np.minimum(b, np.sqrt(b)),
                     np.maximum(y - b, 0) + np.sqrt(y))  # fmt: skip
    shift = np.log(y) - psi
    totals = {int(order): np.zeros(a.shape) for order in np.unique(k)}
    for j in range(_FROM, _TO):
        u = j * _STEP
        v = math.exp(u - math.exp(-u))
        s = sign * v / width
        share = np.exp(b * s - y * np.expm1(s)) * (v * (1 + math.exp(-u)) * _STEP)
        for order, total in totals.items():
            total += share * _log_moments(b, shift + s, order)
    whole = y * _gamma_density(b, y) / width
    for order, total in totals.items():
        out = np.where(k == order, -sign * whole * total, out)
    return np.where(inside, out, np.where(np.isnan(a + x), np.nan, 0.0)).astype(dtype)


def _gammainc_order_in_limit(a: Any, x: Any, k: Any) -> Any:
    """The k-th derivative of the density in a."""
    inside = np.greater(x, 0)
    shifted = np.log(np.where(inside, x, 1.0)) - digamma(a)
    orders = range(1, _MOST + 1) if isinstance(k, Operand) else np.unique(k).tolist()
    found: Any = 0.0
    for order in orders:
        found = np.where(np.equal(k, order), _log_moments(a, shifted, order), found)
    return _gamma_density(a, x) * found


GAMMAINC_ORDER: Primitive = define(
    "gammainc_order", _gammainc_order,
    Scale(lambda a, x, k, out: bind(GAMMAINC_ORDER, (a, x, k + 1))),
    Scale(lambda a, x, k, out: _gammainc_order_in_limit(a, x, k)),
    Flat("an order"), text="∂ᵏP/∂aᵏ", latex=r"\partial_a^k P", ulps=math.inf, domain=(
        lambda a, x, k: (a > 0) & (x >= 0) & (k >= 1) & (k <= _MOST),
        f"a positive parameter, a limit of at least 0 and an order up to {_MOST}",
    ),
    mpmath=lambda mp, a, x, k:
        mp.diff(lambda a: mp.gammainc(a, 0, x, regularized=True), a, int(k)),
)  # fmt: skip
GAMMAINC = define(
    "gammainc", from_scipy("gammainc"), Scale(lambda a, x, out: bind(GAMMAINC_ORDER, (a, x, 1))),
    Scale(lambda a, x, out: _gamma_density(a, x)),
    domain=_PARAMETERS, ulps=4096.0,
    mpmath=lambda mp, a, x: mp.gammainc(a, 0, x, regularized=True),
)
GAMMAINCC = define(
    "gammaincc", from_scipy("gammaincc"), Scale(lambda a, x, out: -bind(GAMMAINC_ORDER, (a, x, 1))),
    Scale(lambda a, x, out: -_gamma_density(a, x)),
    domain=_PARAMETERS, ulps=4096.0,
    mpmath=lambda mp, a, x: mp.gammainc(a, x, regularized=True),
)
ufunc_call("gammainc")(lambda a, x: bind(GAMMAINC, (a, x)))
ufunc_call("gammaincc")(lambda a, x: bind(GAMMAINCC, (a, x)))
BETALN = define(
    "betaln", from_scipy("betaln"),
    Scale(lambda a, b, out: _beta_slope(a, b)), Scale(lambda a, b, out: _beta_slope(b, a)),
    scipy="betaln", domain=_BETA, ulps=math.inf,  # 0 wherever the beta function is 1
    mpmath=lambda mp, a, b: mp.log(abs(mp.beta(a, b))),
)
BETA = define(
    "beta", from_scipy("beta"),
    Scale(lambda a, b, out: out * _beta_slope(a, b)),
    Scale(lambda a, b, out: out * _beta_slope(b, a)),
    text="B", latex=r"\mathrm{B}", scipy="beta", domain=_BETA, ulps=4096.0,
    mpmath=lambda mp, a, b: mp.beta(a, b), sympy=lambda sp, a, b: sp.beta(a, b),
)
BETAINC = define(
    "betainc", from_scipy("betainc"), _FIXED, _FIXED,
    Scale(lambda a, b, x, out: _beta_density(a, b, x)), domain=_BETA_PARAMETERS, ulps=4096.0,
    mpmath=lambda mp, a, b, x: mp.betainc(a, b, 0, x, regularized=True),
)
BETAINCC = define(
    "betaincc", from_scipy("betaincc"), _FIXED, _FIXED,
    Scale(lambda a, b, x, out: -_beta_density(a, b, x)), domain=_BETA_PARAMETERS, ulps=4096.0,
    mpmath=lambda mp, a, b, x: mp.betainc(a, b, x, 1, regularized=True),
)
takes_fixed(BETAINC, "betainc", orders=2, what="parameters a and b")
takes_fixed(BETAINCC, "betaincc", orders=2, what="parameters a and b")
POCH = define(
    "poch", from_scipy("poch"),
    Scale(lambda z, m, out: -out * digamma_difference(z, m)),
    Scale(lambda z, m, out: out * digamma(z + m)),
    scipy="poch", ulps=2048.0,
    domain=(lambda z, m: (z > 0) & (m > 0), "positive arguments"),
    mpmath=lambda mp, z, m: mp.rf(z, m), sympy=lambda sp, z, m: sp.rf(z, m),
)
BINOM = define(
    "binom", from_scipy("binom"),
    Scale(lambda n, k, out: -out * digamma_difference(n - k + 1, k)),
    Scale(lambda n, k, out: out * (digamma(n - k + 1) - digamma(k + 1))),
    latex=r"\operatorname{binom}", scipy="binom", ulps=4096.0,
    domain=(lambda n, k: (k >= 0) & (n >= k), "0 ≤ k ≤ n"),
    mpmath=lambda mp, n, k: mp.binomial(n, k), sympy=lambda sp, n, k: sp.binomial(n, k),
)

# ------------------------------------------------------------------------------------------- zeta

_HEAD, _TAIL = 16, len(_BERNOULLI)


def _zeta_derivative(s: Any, q: Any, n: Any) -> Any:
    """The n-th derivative of Σ (q + k)^(−s) in s, by Euler and Maclaurin's formula."""
    dtype = np.result_type(np.result_type(s, q), np.float16)
    s, q, n = np.broadcast_arrays(np.asarray(s, float), np.asarray(q, float), n)
    out = np.empty(s.shape)
    for order in np.unique(n):
        here = n == order
        out[here] = _zeta_of_order(s[here], q[here], int(order))
    return out.astype(dtype)


def _zeta_of_order(s: Any, q: Any, n: int) -> Any:
    total = np.zeros(s.shape)
    for k in range(_HEAD):
        term = (q + k) ** -s
        total += term * (-np.log(q + k)) ** n
    a = q + _HEAD
    rising = np.polynomial.Polynomial([0.0, 1.0])  # s(s + 1)…(s + 2j − 2)
    tails = []
    for j, b in enumerate(_BERNOULLI, 1):
        tails.append(rising * (b / math.factorial(2 * j)))
        rising = rising * np.polynomial.Polynomial([2 * j - 1, 1.0])
        rising = rising * np.polynomial.Polynomial([2 * j, 1.0])
    for m in range(n + 1):
        inner = a * (-1.0) ** m * math.factorial(m) / (s - 1) ** (m + 1) + (0.5 if m == 0 else 0.0)
        for j, tail in enumerate(tails, 1):
            inner = inner + (tail.deriv(m) if m else tail)(s) * a ** (1.0 - 2 * j)
        total += math.comb(n, m) * (-np.log(a)) ** (n - m) * a**-s * inner
    return total


_ZETA_DOMAIN = (lambda s, q: (s > 1) & (q > 0), "an exponent above 1 and a positive shift")
ZETA_DERIVATIVE: Primitive = define(
    "zeta_derivative", _zeta_derivative,
    Scale(lambda s, q, n, out: bind(ZETA_DERIVATIVE, (s, q, n + 1))),
    Scale(lambda s, q, n, out: -s * bind(ZETA_DERIVATIVE, (s + 1, q, n))
          - n * bind(ZETA_DERIVATIVE, (s + 1, q, np.maximum(n - 1, 0)))),
    Flat("an order"), text="ζ⁽ⁿ⁾", latex=r"\zeta^{(n)}", ulps=math.inf,
    domain=(lambda s, q, n: (s > 1) & (q > 0) & (n >= 0) & (n <= 16) & (n == np.floor(n)),
            "an exponent above 1, a positive shift and a whole order up to 16"),
    mpmath=lambda mp, s, q, n: mp.zeta(s, q, int(n)),
)  # fmt: skip
ZETA: Primitive = define(
    "zeta", from_scipy("zeta"),
    Scale(lambda s, q, out: bind(ZETA_DERIVATIVE, (s, q, 1))),
    Scale(lambda s, q, out: -s * bind(ZETA, (s + 1, q))),
    text="ζ", latex=r"\zeta", domain=_ZETA_DOMAIN, ulps=2048.0,
    mpmath=lambda mp, s, q: mp.zeta(s, q), sympy=lambda sp, s, q: sp.zeta(s, q),
)
RIEMANN_ZETA = define(
    "riemann_zeta", from_scipy("zeta"), Scale(lambda s, out: bind(ZETA_DERIVATIVE, (s, 1.0, 1))),
    text="ζ", latex=r"\zeta", ulps=64.0,
    domain=(lambda s: (s >= 0) & (s != 1), "an exponent of at least 0 other than 1"),
    mpmath=lambda mp, s: mp.zeta(s), sympy=lambda sp, s: sp.zeta(s),
)
# What scipy.special.zeta calls inside, with and without a shift.
SCIPY_UFUNCS["_zeta"], SCIPY_UFUNCS["_riemann_zeta"] = ZETA, RIEMANN_ZETA
