"""Samples of arrays with something written into them."""

import math

import numpy as np

from chainrule.rules.shapes import joined_index, split_index
from samples import array, case, structured
from samples.shapes import INDICES


def overwritten(x, value, *arrays, index):
    index = joined_index(index, arrays)
    out, places = x.copy(), np.arange(x.size).reshape(x.shape)
    for place, element in zip(np.ravel(places[index]), np.ravel(value), strict=True):
        out.flat[place] = element
    return out


def left_over(value, *arrays, index, shape):
    places = np.ravel(np.arange(math.prod(shape)).reshape(shape)[joined_index(index, arrays)])
    last = {place: number for number, place in enumerate(places)}
    return np.array([last[p] == k for k, p in enumerate(places)], bool).reshape(np.shape(value))


def written(shape, index):
    """A case with an array of distinct values for the places of the index."""
    template, arrays = split_index(index)
    x = array(*shape)
    return case(x, array(*np.shape(x[index])) + 0.1, *arrays, index=template)


def places(shape, index):
    template, arrays = split_index(index)
    x = array(*shape)
    return case(array(*np.shape(x[index])), *arrays, index=template, shape=shape)


INTO = [(s, i) for s, i in INDICES if s]
STRUCTURED = {
    "replace": structured(
        overwritten,
        [*(written(s, i) for s, i in INTO), written((0, 3), (slice(None), 1))],
        analytic=False,  # what is written is brought into the array's dtype
        emptied=False,
    ),
    "flat": (np.ravel, [case(array(2, 3)), case(array(3)), case(array(0, 2))]),
    "last_written": (left_over, [places(s, i) for s, i in INTO]),
}
