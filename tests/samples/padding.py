"""Samples of padding with elements of the array."""

import numpy as np

from samples import array, case, structured


def place(mode, i, n):
    """The place that position ``i`` of the endlessly continued array of length ``n`` repeats."""
    if mode == "edge" or n == 1:
        return min(max(i, 0), n - 1)
    if mode == "wrap":
        return i % n
    period = 2 * n if mode == "symmetric" else 2 * n - 2
    i %= period
    return i if i < n else (period - 1 if mode == "symmetric" else period) - i


def continued(x, axis, before, after, mode):
    n = x.shape[axis]
    if n == 0:
        raise ValueError("there is nothing to continue")
    return np.take(x, [place(mode, i, n) for i in range(-before, n + after)], axis)


def folded(y, axis, before, after, mode):
    y = np.moveaxis(y, axis, 0)
    n = len(y) - before - after
    if n <= 0:
        raise ValueError("there is nothing that was continued")
    out = np.zeros((n, *y.shape[1:]), y.dtype)
    for i, row in enumerate(y):
        out[place(mode, i - before, n)] += row
    return np.moveaxis(out, 0, axis)


MODES = ("edge", "reflect", "symmetric", "wrap")

STRUCTURED = {
    "pad": structured(
        continued,
        [
            *(case(array(3, 2), axis=0, before=1, after=2, mode=m) for m in MODES),
            *(case(array(2, 4), axis=-1, before=0, after=2, mode=m) for m in MODES),
            *(case(array(3), axis=0, before=7, after=4, mode=m) for m in MODES),
            *(case(array(1), axis=0, before=2, after=1, mode=m) for m in MODES),
            *(case(array(0, 3), axis=1, before=1, after=1, mode=m) for m in MODES),
        ],
        emptied=False,
    ),
    "fold": (
        folded,
        [
            *(case(array(6, 2), axis=0, before=1, after=2, mode=m) for m in MODES),
            *(case(array(2, 6), axis=-1, before=0, after=2, mode=m) for m in MODES),
            *(case(array(14), axis=0, before=7, after=4, mode=m) for m in MODES),
            *(case(array(30), axis=0, before=3, after=25, mode=m) for m in MODES),
            *(case(array(4), axis=0, before=2, after=1, mode=m) for m in MODES),
            *(case(array(0, 5), axis=1, before=1, after=1, mode=m) for m in MODES),
        ],
    ),
}
