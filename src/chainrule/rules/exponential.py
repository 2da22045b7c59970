"""Exponentials and logarithms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.graph.operand import bind, symbolic
from chainrule.graph.primitive import Primitive, Scale
from chainrule.rules.book import constant, define

_POSITIVE = (lambda x: x > 0, "a positive argument")

EXP = define(
    "exp", np.exp, Scale(lambda x, out: out), latex=r"\exp", analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.exp(x), sympy=lambda sp, x: sp.exp(x),
)
LOG = define(
    "log", np.log, Scale(lambda x, out: 1 / x),
    text="ln", latex=r"\ln", analytic=True, ulps=2.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.log(x), sympy=lambda sp, x: sp.log(x),
)
ln2 = constant(math.log(2.0), lambda graph: graph.apply(LOG, (2.0,)))
ln10 = constant(math.log(10.0), lambda graph: graph.apply(LOG, (10.0,)))

EXP2 = define(
    "exp2", np.exp2, Scale(lambda x, out: ln2(x) * out),
    text="2^({0})", latex=r"2^{{{0}}}", analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.power(2, x), sympy=lambda sp, x: 2**x,
)
EXPM1 = define(
    "expm1", np.expm1, Scale(lambda x, out: np.exp(x)), analytic=True, ulps=2.0,
    mpmath=lambda mp, x: mp.expm1(x), sympy=lambda sp, x: sp.exp(x) - 1,
)
LOG2 = define(
    "log2", np.log2, Scale(lambda x, out: 1 / (x * ln2(x))),
    latex=r"\log_{2}", analytic=True, ulps=2.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.log(x) / mp.log(2), sympy=lambda sp, x: sp.log(x) / sp.log(2),
)
LOG10 = define(
    "log10", np.log10, Scale(lambda x, out: 1 / (x * ln10(x))),
    latex=r"\log_{10}", analytic=True, ulps=2.0, domain=_POSITIVE,
    mpmath=lambda mp, x: mp.log(x) / mp.log(10), sympy=lambda sp, x: sp.log(x) / sp.log(10),
)
LOG1P = define(
    "log1p", np.log1p, Scale(lambda x, out: 1 / (1 + x)), analytic=True, ulps=2.0,
    domain=(lambda x: x > -1, "an argument above −1"),
    mpmath=lambda mp, x: mp.log1p(x), sympy=lambda sp, x: sp.log(1 + x),
)


def _sigmoid(x: Any) -> Any:
    """1/(1 + e^(−x)) without overflow on either side."""
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + decay), decay / (1 + decay))


def _sigmoid_slope(x: Any, out: Any) -> Any:
    """σ(x)·σ(−x): beside numbers not as out·(1 − out), which has no digits left where out ≈ 1."""
    return out * (1 - out) if symbolic(x) else out * bind(SIGMOID, (-x,))


SIGMOID: Primitive = define(
    "sigmoid", _sigmoid, Scale(_sigmoid_slope),
    text="σ", latex=r"\sigma", scipy="expit", ulps=4.0,
    mpmath=lambda mp, x: 1 / (1 + mp.exp(-x)), sympy=lambda sp, x: 1 / (1 + sp.exp(-x)),
)


def _share(x: Any, y: Any, out: Any) -> Any:
    """e^x/(e^x + e^y): how much of the sum is x's."""
    return np.exp(x - out) if symbolic(x) or symbolic(y) else bind(SIGMOID, (x - y,))


def _share2(x: Any, y: Any, out: Any) -> Any:
    if symbolic(x) or symbolic(y):
        return np.exp2(x - out)
    return bind(SIGMOID, ((x - y) * math.log(2.0),))


LOGADDEXP = define(
    "logaddexp", np.logaddexp, Scale(_share), Scale(lambda x, y, out: _share(y, x, out)),
    ulps=6.0,
    mpmath=lambda mp, x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    sympy=lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y)),
)  # fmt: skip
# Where the sum is nearly 1, its logarithm is nearly 0: no bound relative to it holds.
LOGADDEXP2 = define(
    "logaddexp2", np.logaddexp2, Scale(_share2), Scale(lambda x, y, out: _share2(y, x, out)),
    ulps=math.inf,
    mpmath=lambda mp, x, y: max(x, y) + mp.log1p(mp.power(2, -abs(x - y))) / mp.log(2),
    sympy=lambda sp, x, y: sp.log(2**x + 2**y) / sp.log(2),
)  # fmt: skip
