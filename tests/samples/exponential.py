"""Samples of exponentials and logarithms."""

import numpy as np
import scipy.special

from samples import LINE, PAIRS, POSITIVE

ELEMENTWISE = {
    "exp": (np.exp, LINE),
    "log": (np.log, POSITIVE),
    "exp2": (np.exp2, LINE),
    "expm1": (np.expm1, LINE),
    "log2": (np.log2, POSITIVE),
    "log10": (np.log10, POSITIVE),
    "log1p": (np.log1p, (-0.99, -0.5, -1e-6, 1e-7, 0.3, 20.0, 4e5)),
    "logaddexp": (np.logaddexp, PAIRS),
    "logaddexp2": (np.logaddexp2, PAIRS),
    "sigmoid": (scipy.special.expit, LINE),
}
