"""Samples of powers and roots."""

import numpy as np

from samples import INF, LINE, NAN, NONZERO, PAIRS, POSITIVE

ELEMENTWISE = {
    "power": (
        np.power,
        ((2.0, 3.0), (0.3, 0.5), (1e-3, -1.5), (7.0, 0.0), (40.0, 2.5), (1.0, -4.0), (3.0, 1.0)),
    ),
    "square": (np.square, LINE),
    "sqrt": (np.sqrt, POSITIVE),
    "cbrt": (np.cbrt, NONZERO),
    "hypot": (np.hypot, PAIRS),
}

CONVENTIONS = {
    "power": [((0.0, 0.5), (INF, 0.0)), ((0.0, 1.5), (0.0, 0.0)), ((0.0, 0.0), (0.0, -INF))],
    "sqrt": [((0.0,), (INF,))],
    "cbrt": [((0.0,), (INF,))],
    "hypot": [((0.0, 0.0), (NAN, NAN))],
}
