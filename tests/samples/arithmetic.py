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
}

CONVENTIONS = {
    "remainder": [((6.0, 2.0), (1.0, -3.0))],
}
