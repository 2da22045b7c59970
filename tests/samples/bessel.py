"""Samples of Bessel functions."""

import numpy as np
import scipy.special as sp

from samples import LINE

X = (0.003, 0.2, 0.9, 2.5, 7.5, 29.0)
FAR = (*X, 31.0, 60.0, 400.0)
ORDERS = tuple((v, x) for v in (0.0, 1.0, 2.5) for x in X)
FAR_ORDERS = tuple((v, x) for v in (0.0, 1.0, 2.0) for x in FAR)

ELEMENTWISE = {
    "jv": (sp.jv, ORDERS),
    "yv": (sp.yv, ORDERS),
    "iv": (sp.iv, ORDERS),
    "kv": (sp.kv, ORDERS),
    "ive": (lambda v, x: np.exp(-abs(x)) * sp.iv(v, x), FAR_ORDERS),
    "kve": (lambda v, x: np.exp(x) * sp.kv(v, x), FAR_ORDERS),
    "j0": (sp.j0, LINE),
    "j1": (sp.j1, LINE),
    "y0": (sp.y0, X),
    "y1": (sp.y1, X),
    "i0": (sp.i0, LINE),
    "i1": (sp.i1, LINE),
    "k0": (sp.k0, X),
    "k1": (sp.k1, X),
    "i0e": (sp.i0e, (*LINE, *FAR, -60.0)),
    "i1e": (sp.i1e, (*LINE, *FAR, -60.0)),
    "k0e": (sp.k0e, FAR),
    "k1e": (sp.k1e, FAR),
}
