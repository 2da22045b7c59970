"""Samples of functions put together from pieces."""

import numpy as np

from samples import NONZERO, PAIRS, STEPS

ELEMENTWISE = {
    "abs": (np.abs, NONZERO),
    "sign": (np.sign, NONZERO),
    "maximum": (np.maximum, PAIRS),
    "minimum": (np.minimum, PAIRS),
    "clip": (np.clip, ((0.3, -1.0, 2.0), (-4.0, -1.0, 2.0), (9.0, -1.0, 2.0), (9.0, 3.0, -2.0))),
    "where": (np.where, ((True, 3.0, -2.0), (False, 3.0, -2.0))),
    "relu": (lambda x: np.where(x > 0, x, 0.0), NONZERO),
    "floor": (np.floor, STEPS),
    "ceil": (np.ceil, STEPS),
    "round": (np.round, STEPS),
    "trunc": (np.trunc, STEPS),
    "fmax": (np.fmax, PAIRS),
    "fmin": (np.fmin, PAIRS),
    "copysign": (np.copysign, PAIRS),
    "heaviside": (np.heaviside, (*PAIRS, (0.0, 0.7))),
}

CONVENTIONS = {
    "abs": [((0.0,), (0.0,))],
    "sign": [((0.0,), (0.0,))],
    "maximum": [((2.0, 2.0), (0.5, 0.5))],
    "minimum": [((2.0, 2.0), (0.5, 0.5))],
    "clip": [((-1.0, -1.0, 2.0), (1.0, 0.0, 0.0))],
    "relu": [((0.0,), (0.0,))],
    "floor": [((3.0,), (0.0,))],
    "ceil": [((3.0,), (0.0,))],
    "round": [((2.5,), (0.0,))],
    "trunc": [((-3.0,), (0.0,))],
    "fmax": [((2.0, 2.0), (0.5, 0.5))],
    "fmin": [((2.0, 2.0), (0.5, 0.5))],
    "copysign": [((0.0, -2.0), (0.0, 0.0))],
    "heaviside": [((0.0, 0.5), (0.0, 1.0))],
}
