"""Bessel functions and Airy's, differentiated in their argument; the order is fixed.

The recurrences C′ᵥ = (Cᵥ₋₁ ∓ Cᵥ₊₁)/2 serve every order. The scaled functions e^(−|x|)·Iᵥ(x) and
e^x·Kᵥ(x) vary slowly far out, where their recurrence would be a difference of nearly equal numbers:
there the slope is summed from the asymptotic series, whose leading terms cancel on paper.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from chainrule.graph.fronts import FRONTS
from chainrule.graph.operand import bind, symbolic
from chainrule.graph.primitive import Flat, Primitive, Scale
from chainrule.rules.book import define, numpy_function
from chainrule.rules.piecewise import WHERE
from chainrule.rules.scipy_values import from_scipy, refuse_differentiated, takes_fixed
from chainrule.rules.shapes import cast
from chainrule.rules.ufunc_methods import ufunc_call

_ORDER = Flat("an order; SciPy has no derivative in it")
_FAR, _TERMS = 32.0, 24
_POSITIVE = (lambda x: x > 0, "a positive argument")


def _tail(order: Any, x: Any, sign: float) -> Any:
    """Σ aₖ(v)·(±1/x)ᵏ from k = 1 on: the asymptotic series of a scaled function, without its 1."""
    total, term = 0.0, 1.0
    for k in range(1, _TERMS):
        term = term * (sign * (4 * order**2 - (2 * k - 1) ** 2) / (8 * k)) / x
        total = total + term
    return total


def _far(order: Any, x: Any) -> Any:
    """Where the asymptotic series has all digits."""
    return np.abs(x) > _FAR + 2 * np.asarray(order, float) ** 2


def _below(order: Any) -> Any:
    """The order below; I₋₁ is I₁."""
    if isinstance(order, int):
        return 1 if order == 0 else order - 1
    return bind(WHERE, (np.equal(order, 0), 1, order - 1))


def _ive_slope(order: Any, x: Any, out: Any) -> Any:
    """The slope of e^(−|x|)·Iᵥ(x)."""
    around = (bind(IVE, (_below(order), x)) + bind(IVE, (order + 1, x))) / 2
    direct = around - np.sign(x) * out
    if symbolic(x):
        return direct
    far = _far(order, x)
    y = np.where(far, np.abs(x), 2 * _FAR)
    tails = (_tail(order - 1, y, -1.0) + _tail(order + 1, y, -1.0)) / 2 - _tail(order, y, -1.0)
    parity = np.where(x < 0, 1 - 2 * np.remainder(order + 1, 2), 1)
    return np.where(far, parity * tails / np.sqrt(2 * math.pi * y), direct)


def _kve_slope(order: Any, x: Any, out: Any) -> Any:
    """The slope of e^x·Kᵥ(x)."""
    around = (bind(KVE, (np.abs(order - 1), x)) + bind(KVE, (order + 1, x))) / 2
    if symbolic(x):
        return out - around
    far = _far(order, x)
    y = np.where(far, x, 2 * _FAR)
    tails = _tail(order, y, 1.0) - (_tail(order - 1, y, 1.0) + _tail(order + 1, y, 1.0)) / 2
    return np.where(far, tails * np.sqrt(math.pi / 2 / y), out - around)


def _i1(x: Any) -> Any:
    """I₁, also where SciPy is not installed: NumPy's i0 is differentiated without it."""
    try:
        return from_scipy("i1")(x)
    except ModuleNotFoundError:
        return bessel_i(1, x)


def _iv(order: Any, x: Any) -> Any:
    try:
        return from_scipy("iv", orders=1)(order, x)
    except ModuleNotFoundError:
        return bessel_i(order, x)


def bessel_i(order: Any, x: Any) -> Any:
    """Iₙ(x) for whole orders: an integral of positive terms, periodic and so nearly exact in sums.

    Iₙ(x) = xⁿ/(1·3·…·(2n − 1)) times the mean of cosh(x·cos θ)·sin²ⁿθ.
    """
    n = int(np.max(np.abs(order)))
    if np.any(np.abs(order) != n):
        raise ValueError("orders of I that differ need SciPy")
    wide = np.asarray(x, float)
    size = np.abs(wide)
    total = np.zeros(wide.shape)
    count = 128
    for theta in (np.arange(count) + 0.5) * (math.pi / 2 / count):
        c = math.cos(theta)
        total += (np.exp(size * (c - 1)) + np.exp(-size * (c + 1))) / 2 * math.sin(theta) ** (2 * n)
    scale = math.prod(range(1, 2 * n, 2))
    dtype = np.result_type(np.result_type(x), np.float16)
    return (wide**n / scale * (total / count) * np.exp(size)).astype(dtype)


JV: Primitive = define(
    "jv", from_scipy("jv", orders=1), _ORDER,
    Scale(lambda v, x, out: (bind(JV, (v - 1, x)) - bind(JV, (v + 1, x))) / 2),
    text="J", latex=r"\mathrm{J}", ulps=math.inf,
    domain=(lambda v, x: (x >= 0) | (v == np.floor(v)), "x ≥ 0 or a whole order"),
    mpmath=lambda mp, v, x: mp.besselj(v, x), sympy=lambda sp, v, x: sp.besselj(v, x),
)
YV: Primitive = define(
    "yv", from_scipy("yv", orders=1), _ORDER,
    Scale(lambda v, x, out: (bind(YV, (v - 1, x)) - bind(YV, (v + 1, x))) / 2),
    text="Y", latex=r"\mathrm{Y}", ulps=math.inf,
    domain=(lambda v, x: x > 0, "a positive argument"),
    mpmath=lambda mp, v, x: mp.bessely(v, x), sympy=lambda sp, v, x: sp.bessely(v, x),
)
IV: Primitive = define(
    "iv", _iv, _ORDER,
    Scale(lambda v, x, out: (bind(IV, (_below(v), x)) + bind(IV, (v + 1, x))) / 2),
    text="I", latex=r"\mathrm{I}", ulps=4096.0,
    domain=(lambda v, x: (v >= 0) & ((x >= 0) | (v == np.floor(v))),
            "an order of at least 0, and x ≥ 0 or a whole order"),
    mpmath=lambda mp, v, x: mp.besseli(v, x), sympy=lambda sp, v, x: sp.besseli(v, x),
)
KV: Primitive = define(
    "kv", from_scipy("kv", orders=1), _ORDER,
    Scale(lambda v, x, out: -(bind(KV, (v - 1, x)) + bind(KV, (v + 1, x))) / 2),
    text="K", latex=r"\mathrm{K}", ulps=4096.0,
    domain=(lambda v, x: x > 0, "a positive argument"),
    mpmath=lambda mp, v, x: mp.besselk(v, x), sympy=lambda sp, v, x: sp.besselk(v, x),
)
IVE: Primitive = define(
    "ive", from_scipy("ive", orders=1), _ORDER, Scale(_ive_slope), ulps=4096.0,
    domain=(lambda v, x: (v >= 0) & ((x >= 0) | (v == np.floor(v))),
            "an order of at least 0, and x ≥ 0 or a whole order"),
    mpmath=lambda mp, v, x: mp.besseli(v, x) * mp.exp(-abs(x)),
)
KVE: Primitive = define(
    "kve", from_scipy("kve", orders=1), _ORDER, Scale(_kve_slope), ulps=4096.0,
    domain=(lambda v, x: x > 0, "a positive argument"),
    mpmath=lambda mp, v, x: mp.besselk(v, x) * mp.exp(x),
)
for _row, _names in {
    JV: ("jv", "jn"), YV: ("yv", "yn"), IV: ("iv",), KV: ("kv", "kn"), IVE: ("ive",),
    KVE: ("kve",),
}.items():  # fmt: skip
    takes_fixed(_row, *_names)

J1: Primitive = define(
    "j1", from_scipy("j1"), Scale(lambda x, out: (bind(J0, (x,)) - bind(JV, (2, x))) / 2),
    text="J₁", latex=r"\mathrm{J}_{1}", scipy="j1", ulps=math.inf,
    mpmath=lambda mp, x: mp.besselj(1, x), sympy=lambda sp, x: sp.besselj(1, x),
)
J0: Primitive = define(
    "j0", from_scipy("j0"), Scale(lambda x, out: -bind(J1, (x,))),
    text="J₀", latex=r"\mathrm{J}_{0}", scipy="j0", ulps=math.inf,
    mpmath=lambda mp, x: mp.besselj(0, x), sympy=lambda sp, x: sp.besselj(0, x),
)
Y1: Primitive = define(
    "y1", from_scipy("y1"), Scale(lambda x, out: (bind(Y0, (x,)) - bind(YV, (2, x))) / 2),
    text="Y₁", latex=r"\mathrm{Y}_{1}", scipy="y1", ulps=math.inf, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.bessely(1, x), sympy=lambda sp, x: sp.bessely(1, x),
)
Y0: Primitive = define(
    "y0", from_scipy("y0"), Scale(lambda x, out: -bind(Y1, (x,))),
    text="Y₀", latex=r"\mathrm{Y}_{0}", scipy="y0", ulps=math.inf, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.bessely(0, x), sympy=lambda sp, x: sp.bessely(0, x),
)
I1: Primitive = define(
    "i1", _i1, Scale(lambda x, out: (bind(I0, (x,)) + bind(IV, (2, x))) / 2),
    text="I₁", latex=r"\mathrm{I}_{1}", scipy="i1", ulps=16.0,
    mpmath=lambda mp, x: mp.besseli(1, x), sympy=lambda sp, x: sp.besseli(1, x),
)
I0: Primitive = define(
    "i0", lambda x: np.i0(x).astype(np.result_type(np.result_type(x), np.float16)),
    Scale(lambda x, out: bind(I1, (x,))),
    text="I₀", latex=r"\mathrm{I}_{0}", scipy="i0", ulps=16.0,
    mpmath=lambda mp, x: mp.besseli(0, x), sympy=lambda sp, x: sp.besseli(0, x),
)
K1: Primitive = define(
    "k1", from_scipy("k1"), Scale(lambda x, out: -(bind(K0, (x,)) + bind(KV, (2, x))) / 2),
    text="K₁", latex=r"\mathrm{K}_{1}", scipy="k1", ulps=16.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.besselk(1, x), sympy=lambda sp, x: sp.besselk(1, x),
)
K0: Primitive = define(
    "k0", from_scipy("k0"), Scale(lambda x, out: -bind(K1, (x,))),
    text="K₀", latex=r"\mathrm{K}_{0}", scipy="k0", ulps=16.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.besselk(0, x), sympy=lambda sp, x: sp.besselk(0, x),
)
for _name, _slope, _order in (
    ("i0e", _ive_slope, 0), ("i1e", _ive_slope, 1), ("k0e", _kve_slope, 0), ("k1e", _kve_slope, 1),
):  # fmt: skip
    _modified = "besseli" if _name[0] == "i" else "besselk"
    define(
        _name, from_scipy(_name),
        Scale(lambda x, out, slope=_slope, order=_order: slope(order, x, out)),
        scipy=_name, ulps=16.0, domain=None if _name[0] == "i" else _POSITIVE,
        mpmath=lambda mp, x, f=_modified, order=_order:
            getattr(mp, f)(order, x) * mp.exp(-abs(x) if f == "besseli" else x),
    )  # fmt: skip

# --------------------------------------------------------------------------------------- spherical


def _spherical_slope(letter: str, order: Any, x: Any) -> Any:
    """By the neighbours in order, which are regular at 0 where the function is."""
    row = SPHERICAL[letter]
    below = bind(row, (np.where(np.equal(order, 0), order, order - 1), x))
    above = bind(row, (order + 1, x))
    first, second = {"j": (1, -1), "y": (1, -1), "i": (1, 1), "k": (-1, -1)}[letter]
    share = order / (2 * order + 1)
    lower = np.where(np.equal(order, 0), 0.0, share * below)  # not 0·∞ at a pole
    return first * lower + second * (1 - share) * above


def _half_order(letter: str) -> Any:
    """The same function by one of half an order more."""
    name = {"j": "besselj", "y": "bessely", "i": "besseli", "k": "besselk"}[letter]
    return lambda mp, v, x: mp.sqrt(mp.pi / (2 * x)) * getattr(mp, name)(v + mp.mpf(0.5), x)


SPHERICAL: dict[str, Primitive] = {
    letter: define(
        f"spherical_{letter}n", from_scipy(f"spherical_{letter}n", orders=1), _ORDER,
        Scale(lambda v, x, out, letter=letter: _spherical_slope(letter, v, x)),
        text=letter, latex=rf"\mathrm{{{letter}}}", ulps=math.inf,
        domain=(lambda v, x: (v >= 0) & (v == np.floor(v)) & (x >= 0),
                "a whole order and an argument of at least 0"),
        mpmath=_half_order(letter),
    )
    for letter in "jyik"
}  # fmt: skip


def spherical(letter: str) -> Any:
    """``scipy.special.spherical_jn`` and its like for operands."""

    def call(n: Any, z: Any, derivative: bool = False) -> Any:
        refuse_differentiated(n, f"spherical_{letter}n", "order")
        if derivative:
            return _spherical_slope(letter, n, z)
        return bind(SPHERICAL[letter], (n, z))

    return call


# -------------------------------------------------------------------------------------------- Airy


def _airy(name: str, output: int, slope: Any, **facts: Any) -> Primitive:
    kind, order = ("airyai", "airybi")[output // 2], output % 2
    return define(
        name, from_scipy("airy", output), Scale(slope), ulps=math.inf,
        mpmath=lambda mp, x: getattr(mp, kind)(x, derivative=order), **facts,
    )  # fmt: skip


AI: Primitive = _airy(
    "airy_ai", 0, lambda x, out: bind(AI_SLOPE, (x,)), text="Ai", latex=r"\operatorname{Ai}",
    sympy=lambda sp, x: sp.airyai(x),
)
AI_SLOPE: Primitive = _airy(
    "airy_ai_slope", 1, lambda x, out: x * bind(AI, (x,)), text="Ai′",
    latex=r"\operatorname{Ai}'", sympy=lambda sp, x: sp.airyaiprime(x),
)
BI: Primitive = _airy(
    "airy_bi", 2, lambda x, out: bind(BI_SLOPE, (x,)), text="Bi", latex=r"\operatorname{Bi}",
    sympy=lambda sp, x: sp.airybi(x),
)
BI_SLOPE: Primitive = _airy(
    "airy_bi_slope", 3, lambda x, out: x * bind(BI, (x,)), text="Bi′",
    latex=r"\operatorname{Bi}'", sympy=lambda sp, x: sp.airybiprime(x),
)


@ufunc_call("airy")
def _airy_functions(x: Any) -> tuple[Any, ...]:
    return tuple(bind(row, (x,)) for row in (AI, AI_SLOPE, BI, BI_SLOPE))


@numpy_function(np.i0)
def _i0(x: Any) -> Any:
    return bind(I0, (x,))


def _kaiser(M: Any, beta: Any) -> Any:
    """NumPy's window, which makes a plain array of its arguments before anything else."""
    count = operator.index(M)
    middle = (count - 1) / 2
    distance = (np.arange(count) - middle) / (middle if count != 1 else 1)
    beta = cast(beta, np.float64(0))
    return bind(I0, (beta * np.sqrt(1 - distance**2),)) / bind(I0, (beta,))


FRONTS["kaiser"] = _kaiser
