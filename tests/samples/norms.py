"""Samples of norms."""

import numpy as np

from samples import array, case, structured

AXES = [(0, False), (1, True), ((0, 2), False), ((0, 1, 2), True), ((2,), False)]


def by_logarithms(x, ord, axis, keepdims):
    """exp of the mean logarithm of powers, where the largest is taken out before."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    if any(x.shape[a] == 0 for a in axes):
        return np.sqrt(np.sum(x, axis, keepdims=keepdims))
    largest = np.max(np.abs(x), axis, keepdims=True)
    total = np.sum(np.exp(ord * np.log(np.abs(x) / largest)), axis, keepdims=True)
    found = largest * np.exp(np.log(total) / ord)
    return found if keepdims else np.squeeze(found, axis)


STRUCTURED = {
    "norm": structured(
        by_logarithms,
        [
            case(array(2, 3, 2), ord=p, axis=axis, keepdims=keepdims)
            for p, (axis, keepdims) in zip((2.0, 2.0, 3.0, 2.0, 2.5), AXES, strict=True)
        ]
        + [case(array(4), ord=p, axis=(0,), keepdims=False) for p in (2.0, 1.5, -1.0, 0.5)],
        analytic=False,
        rtol=1e-12,
    ),
}

CONVENTIONS = {
    "norm": [(case(np.zeros(3), ord=2.0, axis=(0,), keepdims=False), (np.zeros(3),))],
}
