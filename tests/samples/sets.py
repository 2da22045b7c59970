"""Samples of sets: which elements are in another array, as plain truth values."""

import numpy as np

from samples import NAN, case

SOME = np.array([[3.0, 1.0, 2.0], [-1.0, 5.0, NAN]])

STRUCTURED = {
    "isin": (
        lambda x, among, invert, kind: np.vectorize(
            lambda v: (v in list(np.ravel(among))) != invert, otypes=[bool]
        )(x),
        [
            case(SOME, np.array([1.0, 5.0, NAN]), invert=False, kind=None),
            case(SOME, np.array([[1.0], [5.0]]), invert=True, kind="sort"),
            case(np.array([3, 8, 1]), np.array([8, 9]), invert=False, kind="table"),
        ],
    ),
}
