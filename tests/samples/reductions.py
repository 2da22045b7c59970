"""Samples of reductions."""

import numpy as np
import scipy.special

from samples import INF, NAN, array, case, structured

AXES = (None, 0, 1, -1, (0, 2), (-1, 0), (1,), ())
REDUCTIONS = [
    *(case(array(2, 3, 2), axis=a, keepdims=k) for a in AXES for k in (False, True)),
    case(np.float64(2.5), axis=None),
    case(array(5), axis=None),
]
EMPTY = [case(array(0, 3), axis=0), case(array(0, 3), axis=1)]
WITH_ZEROS = [
    case(np.array([2.0, 0.0, -3.0]), axis=None),
    case(np.array([0.0, 0.0, -3.0]), axis=None),
    case(np.array([[2.0, 0.0], [1.5, -1.0]]), axis=1, keepdims=True),
    case(np.array([[2.0, 0.0], [0.0, -1.0]]), axis=(0, 1)),
]
ALONG = [*(case(array(2, 3, 2), axis=a) for a in AXES[:-1]), case(array(5), axis=0)]
TRUTHS = np.array([[True, False, True], [False, False, True]])
CONDITIONS = [
    *(case(TRUTHS, axis=a, keepdims=k) for a in (None, 0, -1, (0, 1)) for k in (False, True)),
    case(np.array([0.0, 2.0, NAN]), axis=0),
    case(np.zeros((0, 2)), axis=0),
]


def looped_product(x, axis=None, keepdims=False):
    return np.multiply.reduce(x, axis=axis, keepdims=keepdims)


def largest_of_all(x, b=1.0, axis=None):
    found = np.max(np.where(np.broadcast_to(b, x.shape) == 0, -INF, x), axis, keepdims=True)
    return np.where(np.isfinite(found), found, 0)


STRUCTURED = {
    "sum": (np.add.reduce, [*REDUCTIONS, *EMPTY]),
    "mean": (lambda x, axis=None, **k: np.average(x, axis, **k), REDUCTIONS),
    "prod": (looped_product, [*REDUCTIONS, *EMPTY, *WITH_ZEROS]),
    "max": structured(np.maximum.reduce, REDUCTIONS, analytic=False),
    "min": structured(np.minimum.reduce, REDUCTIONS, analytic=False),
    "nanmax": structured(np.fmax.reduce, REDUCTIONS, analytic=False),
    "nanmin": structured(np.fmin.reduce, REDUCTIONS, analytic=False),
    "logsumexp": structured(np.logaddexp.reduce, REDUCTIONS, analytic=False),
    "softmax": structured(scipy.special.softmax, ALONG, analytic=False),
    "log_softmax": structured(scipy.special.log_softmax, ALONG, analytic=False),
    "finite_max": (
        largest_of_all,
        [
            case(array(2, 3), axis=0),
            case(np.array([-INF, -INF]), axis=0),
            case(np.array([3.0, 9.0, -2.0]), np.array([1.0, 0.0, -2.0]), axis=0),
        ],
    ),
    "any": (np.logical_or.reduce, CONDITIONS),
    "all": (np.logical_and.reduce, CONDITIONS),
    "count_nonzero": (lambda x, **k: np.sum(x != 0, **k), CONDITIONS),
}

CONVENTIONS = {
    "max": [(case(np.array([1.0, 3.0, 3.0])), (np.array([0.0, 0.5, 0.5]),))],
    "min": [(case(np.array([[1.0, 1.0], [3.0, 2.0]]), axis=1), (np.array([[0.5, 0.5], [0, 1]]),))],
    "nanmax": [(case(np.array([3.0, NAN, 3.0])), (np.array([0.5, 0.0, 0.5]),))],
    "nanmin": [(case(np.array([3.0, NAN, 3.0])), (np.array([0.5, 0.0, 0.5]),))],
    "logsumexp": [(case(np.array([-INF, -INF])), (np.zeros(2),))],
}
