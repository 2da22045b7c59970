"""Samples of special functions."""

import numpy as np
import scipy.special

from samples import LINE

ELEMENTWISE = {
    "erf": (scipy.special.erf, (-3.0, -0.8, 1e-6, 0.5, 2.5)),
    "erfc": (scipy.special.erfc, (-3.0, -0.8, 1e-6, 0.5, 2.5, 6.0)),
    "softplus": (lambda x: np.log1p(np.exp(x)), LINE),
    "gelu": (lambda x: x * scipy.special.ndtr(x), (-4.0, -1.3, -1e-3, 0.6, 2.0, 9.0)),
    "logit": (scipy.special.logit, (1e-5, 0.1, 0.4, 0.5001, 0.7, 0.999)),
}
