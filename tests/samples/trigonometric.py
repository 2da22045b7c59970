"""Samples of the trigonometric functions and their inverses."""

import numpy as np

from samples import BETWEEN, INF, LINE, NAN, NONZERO, OUTSIDE, PAIRS

ELEMENTWISE = {
    "sin": (np.sin, LINE),
    "cos": (np.cos, LINE),
    "tan": (np.tan, LINE),
    "sec": (lambda x: 1 / np.cos(x), LINE),
    "csc": (lambda x: 1 / np.sin(x), NONZERO),
    "cot": (lambda x: 1 / np.tan(x), NONZERO),
    "arcsin": (np.arcsin, BETWEEN),
    "arccos": (np.arccos, BETWEEN),
    "arctan": (np.arctan, LINE),
    "arcsec": (lambda x: np.arccos(1 / x), OUTSIDE),
    "arccsc": (lambda x: np.arcsin(1 / x), OUTSIDE),
    "arccot": (lambda x: np.pi / 2 - np.arctan(x), LINE),
    "arctan2": (np.arctan2, PAIRS),
    "sinc": (np.sinc, (-7.3, -1.2, -0.41, -0.39, 1e-9, 0.2, 0.6, 3.5, 40.1)),
}

CONVENTIONS = {
    "arcsin": [((1.0,), (INF,))],
    "arccos": [((-1.0,), (-INF,))],
    "arcsec": [((1.0,), (INF,))],
    "arccsc": [((-1.0,), (-INF,))],
    "arctan2": [((0.0, 0.0), (NAN, NAN)), ((0.0, -2.0), (-0.5, 0.0))],
}
