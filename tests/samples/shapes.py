"""Samples of operations that only move elements."""

import math

import numpy as np

from chainrule.rules.shapes import joined_index
from samples import array, case, indexed, structured

MASK = np.array([[True, False, True], [False, False, True]])
INDICES = [
    (3, 1), (3, -1), (3, slice(1, None)), (3, slice(None, None, -2)), (3, ...), (3, None),
    (3, [0, 0, 2]), (3, np.array([[2, 2], [0, 2]])), (3, np.array([True, False, True])),
    ((2, 3), 1), ((2, 3), (slice(None), 0)), ((2, 3), (0, -1)), ((2, 3), (..., None, 1)),
    ((2, 3), MASK), ((2, 3), (np.array([0, 1, 0]), np.array([2, 2, 2]))),
    ((2, 3), (slice(None), [1, 1])), ((2, 3), (None, 1, None, slice(0, 2))),
    ((2, 3), np.zeros((2, 3), bool)), ((), ()), ((), ...), ((), None),
]  # fmt: skip
INDICES = [(s if isinstance(s, tuple) else (s,), i) for s, i in INDICES]
BROADCASTS = [((3,), (2, 3)), ((2, 1), (2, 3)), ((), (2, 3)), ((1,), (4, 1)), ((1,), (0,))]


def added_at(x, *arrays, index, shape):
    index = joined_index(index, arrays)
    out, places = np.zeros(shape, np.result_type(x)), np.arange(math.prod(shape)).reshape(shape)
    for place, value in zip(np.ravel(places[index]), np.ravel(x), strict=True):
        out.flat[place] += value
    return out


STRUCTURED = {
    "reshape": (
        np.reshape,
        [
            *(case(array(2, 3), shape=s) for s in ((6,), (3, 2), (1, 6, 1), (2, 3))),
            case(array(1, 1), shape=()),
            case(np.float64(3.0), shape=(1,)),
            case(array(0), shape=(0, 2)),
        ],
    ),
    "transpose": (
        np.transpose,
        [case(array(2, 3, 4), axes=a) for a in ((2, 1, 0), (1, 2, 0), (0, 1, 2))]
        + [case(array(3), axes=(0,)), case(np.float64(3.0), axes=())],
    ),
    "broadcast_to": (
        np.broadcast_to,
        [case(array(*a), shape=s) for a, s in BROADCASTS],
    ),
    "index": (
        lambda x, *arrays, index: np.asarray(x)[joined_index(index, arrays)],
        [indexed(array(*s), i) for s, i in INDICES],
    ),
    "scatter": (
        added_at,
        [indexed(array(*np.shape(array(*s)[i])), i, shape=s) for s, i in INDICES],
    ),
    # A cast drops imaginary parts, so there is no complex step through it.
    "astype": structured(
        lambda x, dtype: x.astype(dtype),
        [case(array(2, 3), dtype=np.dtype(np.float64))],
        analytic=False,
    ),
    "copy": (np.copy, [case(array(2, 3)), case(np.float64(2.5)), case(array(0, 2))]),
    "truncate": structured(
        lambda x, dtype: np.trunc(x).astype(dtype),
        [case(array(2, 3), dtype=np.dtype(np.int64)), case(np.float64(-2.5), dtype=np.dtype(int))],
        analytic=False,
    ),
}
