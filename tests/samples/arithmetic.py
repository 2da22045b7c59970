"""Samples of arithmetic and comparisons."""

import numpy as np

from samples import LINE, LOGICAL, NONZERO, PAIRS, WILD

ELEMENTWISE = {
    "add": (np.add, PAIRS),
    "subtract": (np.subtract, PAIRS),
    "multiply": (np.multiply, PAIRS),
    "divide": (np.divide, PAIRS),
    "negative": (np.negative, LINE),
    "positive": (np.positive, LINE),
    "reciprocal": (np.reciprocal, NONZERO),
    "remainder": (np.mod, ((7.3, 2.0), (-7.3, 2.0), (7.3, -2.0), (0.4, 3.0), (-0.4, -3.0))),
    "less": (np.less, PAIRS),
    "less_equal": (np.less_equal, PAIRS),
    "greater": (np.greater, PAIRS),
    "greater_equal": (np.greater_equal, PAIRS),
    "equal": (np.equal, (*PAIRS, (2.0, 2.0))),
    "not_equal": (np.not_equal, (*PAIRS, (2.0, 2.0))),
    "logical_and": (np.logical_and, LOGICAL),
    "logical_or": (np.logical_or, LOGICAL),
    "logical_not": (np.logical_not, (0.0, 2.0)),
    "isfinite": (np.isfinite, WILD),
    "isnan": (np.isnan, WILD),
    "isinf": (np.isinf, WILD),
    "fmod": (np.fmod, ((7.3, 2.0), (-7.3, 2.0), (7.3, -2.0), (0.4, 3.0), (-0.4, -3.0))),
    "floor_divide": (np.floor_divide, ((7.3, 2.0), (-7.3, 2.0), (7.3, -2.0), (0.4, 3.0))),
    "radians": (np.deg2rad, LINE),
    "degrees": (np.rad2deg, LINE),
    "mantissa": (lambda x: np.frexp(x)[0], (-20.0, -3.1, -0.8, 0.6, 1.7, 12.0)),
    "exponent": (lambda x: np.frexp(x)[1], NONZERO),
    "nextafter": (np.nextafter, PAIRS),
    "spacing": (np.spacing, NONZERO),
    "signbit": (np.signbit, LINE),
    "logical_xor": (np.logical_xor, LOGICAL),
}

CONVENTIONS = {
    "remainder": [((6.0, 2.0), (1.0, -3.0))],
    "fmod": [((-6.0, 2.0), (1.0, 3.0))],
    "floor_divide": [((6.0, 2.0), (0.0, 0.0))],
    "mantissa": [((2.0,), (0.25,))],
    "spacing": [((2.0,), (0.0,))],
}
