"""Samples of histograms: the bin of each value."""

import numpy as np

from samples import INF, NAN, array, case

EDGES = np.array([-1.0, 0.0, 0.0, 0.5, 2.0])


def bins_one_by_one(x, edges):
    """The first bin that has the value, its upper edge left out except in the last."""
    count = len(edges) - 1

    def bin_of(value):
        for k in range(count):
            below = value <= edges[k + 1] if k == count - 1 else value < edges[k + 1]
            if edges[k] <= value and below:
                return k
        return count

    return np.array([bin_of(v) for v in np.ravel(x)], int).reshape(np.shape(x))


STRUCTURED = {
    "bin_of": (
        bins_one_by_one,
        [
            case(array(3, 4), EDGES),
            case(np.array([-1.0, 0.0, 0.5, 2.0, 2.1, -1.1, NAN, INF, -INF]), EDGES),
            case(np.array([0.3, 0.4, 1.2]), np.array([0.4, 1.2])),
        ],
    ),
}
