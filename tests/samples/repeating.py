"""Samples of repetition."""

import numpy as np

from samples import array, case


def tiled(x, reps):
    return x[np.ix_(*(np.arange(n * k) % max(n, 1) for n, k in zip(x.shape, reps, strict=True)))]


def repeated(x, repeats, axis):
    return np.take(x, np.arange(x.shape[axis] * repeats) // max(repeats, 1), axis)


STRUCTURED = {
    "tile": (
        tiled,
        [
            case(array(3), reps=(2,)),
            case(array(2, 3), reps=(2, 1)),
            case(array(2, 1, 3), reps=(2, 3, 2)),
            case(array(2, 3), reps=(1, 1)),
            case(array(2, 3), reps=(0, 2)),
            case(array(0, 2), reps=(2, 2)),
        ],
    ),
    "repeat": (
        repeated,
        [
            case(array(3), repeats=2, axis=0),
            case(array(2, 3, 2), repeats=3, axis=1),
            case(array(2, 3, 2), repeats=2, axis=-1),
            case(array(2, 3), repeats=1, axis=0),
            case(array(2, 3), repeats=0, axis=1),
            case(array(0, 2), repeats=2, axis=0),
        ],
    ),
}
