"""Samples of arrays turned around."""

import numpy as np

from samples import array, case


def flipped(x, axis):
    for a in axis if isinstance(axis, tuple) else range(x.ndim) if axis is None else (axis,):
        x = np.take(x, np.arange(x.shape[a])[::-1], a)
    return x


def rolled(x, shift, axis):
    for by, a in zip(shift, axis, strict=True):
        x = np.take(x, (np.arange(x.shape[a]) - by) % max(x.shape[a], 1), a)
    return x


STRUCTURED = {
    "flip": (
        flipped,
        [case(array(2, 3, 2), axis=a) for a in (None, 0, -1, (0, 2), (1,), ())]
        + [case(array(0, 3), axis=(0, 1)), case(array(4), axis=0)],
    ),
    "roll": (
        rolled,
        [
            case(array(5), shift=(2,), axis=(0,)),
            case(array(2, 3, 4), shift=(1, -2), axis=(0, 2)),
            case(array(2, 3, 4), shift=(7,), axis=(-1,)),
            case(array(2, 3), shift=(1, 1), axis=(1, 1)),
            case(array(0, 3), shift=(1,), axis=(0,)),
        ],
    ),
}
