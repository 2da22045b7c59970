"""Samples of variance and standard deviation."""

import numpy as np

from samples import array, case, structured
from samples.reductions import AXES

SPREADS = [
    *(case(array(2, 3, 2), axis=a, keepdims=k) for a in AXES[:-1] for k in (False, True)),
    case(array(3, 4), axis=0, ddof=1),
    case(array(3, 4), axis=(0, 1), ddof=2),
    case(array(5), axis=None, ddof=1.5),
]


def mean_square(x, axis=None, keepdims=False, ddof=0):
    distance = x - np.average(x, axis, keepdims=True)
    total = np.add.reduce(distance * distance, axis=axis, keepdims=keepdims)
    return total / (x.size // total.size - ddof)


STRUCTURED = {
    "var": structured(mean_square, SPREADS, analytic=False),
    "std": structured(lambda x, **k: np.sqrt(mean_square(x, **k)), SPREADS, analytic=False),
}

CONVENTIONS = {"std": [(case(np.array([2.0, 2.0, 2.0])), (np.zeros(3),))]}
