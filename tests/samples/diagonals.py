"""Samples of diagonals."""

import numpy as np

from samples import array, case, structured


def read_off(x, offset, axes):
    x = np.moveaxis(x, axes, (-2, -1))
    rows, columns = x.shape[-2:]
    places = [(i, i + offset) for i in range(rows) if 0 <= i + offset < columns]
    found = [x[..., i, j] for i, j in places]
    return np.stack(found, -1) if found else np.zeros((*x.shape[:-2], 0), x.dtype)


def laid_down(v, rows, columns, offset):
    if v.shape[-1] != sum(0 <= i + offset < columns for i in range(rows)):
        raise ValueError("the diagonal has another length")
    out = np.zeros((*v.shape[:-1], rows, columns), v.dtype)
    for k in range(v.shape[-1]):
        out[..., k + max(-offset, 0), k + max(offset, 0)] = v[..., k]
    return out


STRUCTURED = {
    "diagonal": (
        read_off,
        [
            *(case(array(3, 4), offset=k, axes=(0, 1)) for k in (-3, -1, 0, 2, 4)),
            case(array(2, 3, 4), offset=1, axes=(2, 0)),
            case(array(2, 3, 4), offset=0, axes=(-1, 1)),
            case(array(0, 3), offset=0, axes=(0, 1)),
        ],
    ),
    "diag": structured(
        laid_down,
        [
            case(array(3), rows=3, columns=3, offset=0),
            case(array(3), rows=5, columns=5, offset=2),
            case(array(3), rows=5, columns=5, offset=-2),
            case(array(2, 3), rows=4, columns=3, offset=-1),
            case(array(2, 2), rows=2, columns=4, offset=1),
            case(array(0), rows=0, columns=0, offset=0),
            case(array(0), rows=2, columns=2, offset=-2),
        ],
        emptied=False,
    ),
}
