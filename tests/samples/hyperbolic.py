"""Samples of the hyperbolic functions and their inverses."""

import numpy as np

from samples import BETWEEN, INF, LINE, NONZERO, OUTSIDE

ELEMENTWISE = {
    "sinh": (np.sinh, LINE),
    "cosh": (np.cosh, LINE),
    "tanh": (np.tanh, LINE),
    "sech": (lambda x: 1 / np.cosh(x), LINE),
    "csch": (lambda x: 1 / np.sinh(x), NONZERO),
    "coth": (lambda x: 1 / np.tanh(x), NONZERO),
    "arcsinh": (np.arcsinh, LINE),
    "arccosh": (np.arccosh, (1.001, 1.5, 3.0, 40.0, 1e5)),
    "arctanh": (np.arctanh, BETWEEN),
    "arcsech": (lambda x: np.arccosh(1 / x), (1e-3, 0.1, 0.5, 0.8, 0.99)),
    "arccsch": (lambda x: np.arcsinh(1 / x), NONZERO),
    "arccoth": (lambda x: np.arctanh(1 / x), OUTSIDE),
}

CONVENTIONS = {
    "arccosh": [((1.0,), (INF,))],
    "arcsech": [((1.0,), (-INF,))],
}
