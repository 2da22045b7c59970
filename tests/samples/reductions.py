"""Samples of reductions."""

import numpy as np

from samples import array, case

AXES = (None, 0, 1, -1, (0, 2), (-1, 0), (1,), ())
REDUCTIONS = [
    *(case(array(2, 3, 2), axis=a, keepdims=k) for a in AXES for k in (False, True)),
    case(np.float64(2.5), axis=None),
    case(array(5)),
]
EMPTY = [case(array(0, 3), axis=0), case(array(0, 3), axis=1)]
WITH_ZEROS = [
    case(np.array([2.0, 0.0, -3.0])),
    case(np.array([0.0, 0.0, -3.0])),
    case(np.array([[2.0, 0.0], [1.5, -1.0]]), axis=1, keepdims=True),
    case(np.array([[2.0, 0.0], [0.0, -1.0]]), axis=(0, 1)),
]


def looped_product(x, axis=None, keepdims=False):
    return np.multiply.reduce(x, axis=axis, keepdims=keepdims)


STRUCTURED = {
    "sum": (np.add.reduce, [*REDUCTIONS, *EMPTY]),
    "mean": (lambda x, axis=None, **k: np.average(x, axis, **k), REDUCTIONS),
    "prod": (looped_product, [*REDUCTIONS, *EMPTY, *WITH_ZEROS]),
}
