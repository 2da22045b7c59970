"""Samples of special functions."""

import numpy as np
import scipy.special

from samples import LINE

DEGREES = (-200.0, -31.0, -2.5, 0.7, 44.0, 130.0)

ELEMENTWISE = {
    "erf": (scipy.special.erf, (-3.0, -0.8, 1e-6, 0.5, 2.5)),
    "erfc": (scipy.special.erfc, (-3.0, -0.8, 1e-6, 0.5, 2.5, 6.0)),
    "softplus": (lambda x: np.log1p(np.exp(x)), LINE),
    "gelu": (lambda x: x * scipy.special.ndtr(x), (-4.0, -1.3, -1e-3, 0.6, 2.0, 9.0)),
    "erfcx": (scipy.special.erfcx, (-3.0, -0.8, 1e-6, 0.5, 2.9, 3.1, 8.0, 300.0)),
    "erfi": (scipy.special.erfi, (-3.0, -0.8, 1e-6, 0.5, 2.5)),
    "erfinv": (scipy.special.erfinv, (-0.999, -0.75, -0.1, 1e-6, 0.3, 0.6, 0.99)),
    "erfcinv": (scipy.special.erfcinv, (1e-9, 0.2, 0.6, 1.1, 1.9)),
    "cosm1": (scipy.special.cosm1, (-30.0, -2.5, -1e-3, 1e-6, 0.7, 4.25)),
    "sindg": (scipy.special.sindg, DEGREES),
    "cosdg": (scipy.special.cosdg, DEGREES),
    "tandg": (scipy.special.tandg, DEGREES),
    "cotdg": (scipy.special.cotdg, DEGREES),
    "logit": (scipy.special.logit, (1e-5, 0.1, 0.4, 0.5001, 0.7, 0.999)),
}
