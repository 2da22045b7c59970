"""Exponentials and logarithms."""

from __future__ import annotations

import math

import numpy as np

from chainrule.graph.primitive import Scale
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
LOGADDEXP = define(
    "logaddexp", np.logaddexp,
    Scale(lambda x, y, out: np.exp(x - out)), Scale(lambda x, y, out: np.exp(y - out)),
    ulps=6.0,
    mpmath=lambda mp, x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
    sympy=lambda sp, x, y: sp.log(sp.exp(x) + sp.exp(y)),
)  # fmt: skip
