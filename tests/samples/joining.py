"""Samples of joins."""

import numpy as np

from samples import array, case


def one_after_the_other(*pieces, axis):
    lengths = [np.shape(piece)[axis] for piece in pieces]
    shape = list(np.shape(pieces[0]))
    shape[axis] = sum(lengths)
    out, start = np.empty(shape, np.result_type(*pieces)), 0
    for piece, length in zip(pieces, lengths, strict=True):
        np.moveaxis(out, axis, 0)[start : start + length] = np.moveaxis(piece, axis, 0)
        start += length
    return out


def layers(*pieces, axis):
    return np.moveaxis(np.array(pieces), 0, axis)


STRUCTURED = {
    "concatenate": (
        one_after_the_other,
        [
            case(array(2, 3), array(1, 3), array(4, 3), axis=0),
            case(array(2, 3), array(2, 1), array(2, 2), axis=1),
            case(array(2, 3), array(2, 0), array(2, 2), axis=-1),
            case(array(3), array(2), array(1), axis=0),
            case(array(0, 2), array(0, 2), array(0, 2), axis=0),
        ],
    ),
    "stack": (
        layers,
        [
            case(array(2, 3), array(2, 3) + 0.5, array(2, 3) - 1, axis=0),
            case(array(2, 3), array(2, 3) + 0.5, array(2, 3) - 1, axis=1),
            case(array(2, 3), array(2, 3) + 0.5, array(2, 3) - 1, axis=2),
            case(array(2, 3), array(2, 3) + 0.5, array(2, 3) - 1, axis=-1),
            case(np.float64(2.5), np.float64(-1.0), np.float64(0.5), axis=0),
            case(array(0), array(0), array(0), axis=1),
        ],
    ),
}
