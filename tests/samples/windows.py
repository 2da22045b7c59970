"""Samples of sliding windows."""

import numpy as np

from samples import array, case, structured


def one_window_each(x, window, axis):
    x = np.moveaxis(x, axis, 0)
    found = [x[i : i + window] for i in range(len(x) - window + 1)]
    return np.moveaxis(np.moveaxis(np.array(found), 1, -1), 0, axis)


def laid_over(y, axis):
    rows = np.moveaxis(y, (axis, -1), (0, 1))
    if len(rows) == 0:
        raise ValueError("an array has at least one window")
    out = np.zeros((rows.shape[0] + rows.shape[1] - 1, *rows.shape[2:]), y.dtype)
    for place in np.ndindex(*rows.shape[:2]):
        out[sum(place)] += rows[place]
    return np.moveaxis(out, 0, axis)


STRUCTURED = {
    "sliding_window_view": (
        one_window_each,
        [
            case(array(5), window=2, axis=0),
            case(array(5), window=5, axis=0),
            case(array(2, 5, 2), window=3, axis=1),
            case(array(2, 4), window=1, axis=0),
            case(array(0, 3), window=2, axis=1),
        ],
    ),
    "overlap_add": structured(
        laid_over,
        [
            case(array(4, 2), axis=0),
            case(array(2, 5), axis=0),
            case(array(2, 3, 2, 3), axis=1),
            case(array(1, 2, 4), axis=0),
            case(array(0, 2, 2), axis=1),
        ],
        emptied=False,
    ),
}
