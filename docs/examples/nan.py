"""A gradient that is NaN where products are taken behind a ``where``: see docs/nan.md."""

import numpy as np


def loss(x):
    y = x / 2
    z = np.sqrt(x) + 1
    w = np.where(x == 0.0, y, z)
    return np.sum(w)
