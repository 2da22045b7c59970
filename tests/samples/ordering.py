"""Samples of order: places are plain integers, what stands there is a selection."""

import numpy as np

from samples import NAN, array, case, structured

TABLE = np.array([[3.0, 1.0, 2.0], [-1.0, 5.0, -1.0]])
ORDER = np.array([[1, 2, 0], [0, 2, 1]])
ALONG = [case(array(2, 3, 4), axis=a) for a in (0, 1, -1)]
WITH_NAN = np.array([3.0, NAN, 7.0, -2.0])


def picked(x, indices, axis):
    x, indices = np.moveaxis(x, axis, -1), np.moveaxis(indices, axis, -1)
    out = np.zeros(indices.shape)
    for place in np.ndindex(indices.shape):
        out[place] = x[(*place[:-1], indices[place])]
    return np.moveaxis(out, -1, axis)


def added(x, indices, axis, length):
    x, indices = np.moveaxis(x, axis, -1), np.moveaxis(indices, axis, -1)
    if x.shape != indices.shape:
        raise ValueError("not an index for each element")
    out = np.zeros((*x.shape[:-1], length))
    for place in np.ndindex(x.shape):
        out[(*place[:-1], indices[place])] += x[place]
    return np.moveaxis(out, -1, axis)


def sorted_by(x, order, axis):
    if x.shape != order.shape:
        raise ValueError("not the order of this array")
    return np.sort(x, axis)


def first_places(x, what, axis, equal_nan):
    return np.unique(x, axis=axis, equal_nan=equal_nan, **{f"return_{what}": True})[1]


REPEATED = np.array([[0, 0], [2, 2]])

STRUCTURED = {
    "take_along_axis": (
        picked,
        [
            case(TABLE, ORDER, axis=1),
            case(TABLE, ORDER % 2, axis=0),
            case(TABLE, REPEATED, axis=-1),
            case(array(5), np.array([4, 4, -1]), axis=0),
        ],
    ),
    "add_along_axis": (
        added,
        [
            case(TABLE, ORDER, axis=1, length=3),
            case(TABLE, ORDER % 2, axis=0, length=2),
            case(array(2, 2), REPEATED, axis=-1, length=4),
        ],
    ),
    "sort": structured(
        sorted_by,
        [
            case(TABLE[:1], ORDER[:1], axis=1),
            case(array(4, 3), np.argsort(array(4, 3), 0), axis=0),
        ],
        analytic=False,
    ),
    "argsort": (np.argsort, [*ALONG, case(TABLE, axis=1, kind="stable")]),
    "argpartition": (
        np.argpartition,
        [case(array(2, 5), kth=2, axis=1), case(array(5), kth=(0, -1), axis=0)],
    ),
    "argmax": (np.argmax, [*ALONG, case(TABLE, axis=1, keepdims=True)]),
    "argmin": (np.argmin, [*ALONG, case(TABLE, axis=1, keepdims=True)]),
    "nanargmax": (np.nanargmax, [*ALONG, case(WITH_NAN, axis=0)]),
    "nanargmin": (np.nanargmin, [*ALONG, case(WITH_NAN, axis=0)]),
    "lexsort": (
        lambda *keys, axis: np.lexsort(keys, axis),
        [case(TABLE[0], TABLE[1], axis=0), case(TABLE, TABLE % 2, axis=1)],
    ),
    "searchsorted": (
        lambda a, v, sorter=None, side="left": np.searchsorted(a, v, side, sorter),
        [
            case(np.array([1.0, 2.0, 4.0]), TABLE, side="left"),
            case(np.array([1.0, 2.0, 4.0]), np.float64(2.0), side="right"),
            case(np.array([4.0, 1.0]), TABLE, np.array([1, 0]), side="left"),
        ],
    ),
    "digitize": (
        np.digitize,
        [case(TABLE, np.array([0.0, 2.0, 4.0]), right=r) for r in (False, True)],
    ),
    "argwhere": (np.argwhere, [case(TABLE > 1), case(np.array([0.0, 3.0])), case(np.float64(2.0))]),
    "unique": (
        first_places,
        [
            *(
                case(TABLE, what=w, axis=None, equal_nan=True)
                for w in ("index", "inverse", "counts")
            ),
            case(np.array([[1.0, 2.0], [1.0, 2.0]]), what="index", axis=0, equal_nan=True),
            case(np.array([NAN, 1.0, NAN]), what="index", axis=None, equal_nan=False),
        ],
    ),
}
