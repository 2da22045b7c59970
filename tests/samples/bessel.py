"""Samples of Bessel functions."""

import mpmath
import numpy as np
import scipy.special as sp

from samples import LINE

X = (0.003, 0.2, 0.9, 2.5, 7.5, 29.0)
FAR = (*X, 31.0, 60.0, 400.0)
ORDERS = tuple((v, x) for v in (0.0, 1.0, 2.5) for x in X)
WHOLE = tuple((n, x) for n in (0, 1, 2, 5) for x in (0.2, 0.9, 2.5, 7.5))
AIRY = (-7.5, -2.1, -0.4, 1e-3, 0.6, 1.7, 4.5)
FAR_ORDERS = tuple((v, x) for v in (0.0, 1.0, 2.0) for x in FAR)


def airy(name, order):
    return lambda x: float(getattr(mpmath, name)(float(x), derivative=order))


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
    "spherical_jn": (lambda v, x: np.sqrt(np.pi / 2 / x) * sp.jv(v + 0.5, x), WHOLE),
    "spherical_yn": (lambda v, x: np.sqrt(np.pi / 2 / x) * sp.yv(v + 0.5, x), WHOLE),
    "spherical_in": (lambda v, x: np.sqrt(np.pi / 2 / x) * sp.iv(v + 0.5, x), WHOLE),
    "spherical_kn": (lambda v, x: np.sqrt(np.pi / 2 / x) * sp.kv(v + 0.5, x), WHOLE),
    "airy_ai": (airy("airyai", 0), AIRY),
    "airy_ai_slope": (airy("airyai", 1), AIRY),
    "airy_bi": (airy("airybi", 0), AIRY),
    "airy_bi_slope": (airy("airybi", 1), AIRY),
}
