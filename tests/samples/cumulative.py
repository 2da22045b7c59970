"""Samples of running sums and products."""

import itertools

import numpy as np

from samples import array, case

RUNNING = [
    *(
        case(array(2, 3, 2), axis=a, reverse=r)
        for a, r in itertools.product((0, 1, -1), (False, True))
    ),
    case(array(5), axis=0),
    case(array(0, 3), axis=0),
    case(array(0, 3), axis=1, reverse=True),
]
WITH_ZEROS = [
    case(np.array([2.0, 0.0, -3.0, 1.5]), axis=0),
    case(np.array([2.0, 0.0, -3.0, 0.0, 0.7]), axis=0, reverse=True),
    case(np.array([[0.0, 2.0], [0.0, 0.0], [1.5, -1.0]]), axis=0),
]


def added(x, axis, reverse=False):
    triangle = np.tril(np.ones((x.shape[axis],) * 2))
    return np.moveaxis(np.tensordot(triangle.T if reverse else triangle, x, (1, axis)), 0, axis)


def multiplied(x, axis, reverse=False):
    x = np.moveaxis(x, axis, 0)
    parts = [x[i:] if reverse else x[: i + 1] for i in range(len(x))]
    out = np.array([np.multiply.reduce(part, axis=0) for part in parts]).reshape(x.shape)
    return np.moveaxis(out, 0, axis)


def shifted(x, axis, by):
    out = np.roll(x, by, axis).copy()
    edge = [slice(None)] * x.ndim
    edge[axis] = slice(0, 1) if by == 1 else slice(-1, None)
    out[tuple(edge)] = 0
    return out


def looped_recurrence(a, b, axis, reverse=False):
    a, b = (np.moveaxis(v, axis, 0)[:: -1 if reverse else 1] for v in (a, b))
    out = np.zeros(b.shape)
    for i in range(len(b)):
        out[i] = b[i] + (a[i] * out[i - 1] if i else 0)
    return np.moveaxis(out[:: -1 if reverse else 1], 0, axis)


STEPS = np.array([[0.2, 3.0, 6.5, -0.4, 0.1], [9.0, 2.0, -5.0, 0.3, 12.0]])
RECORDS = np.array([[1.0, 1.0, 0.5, 3.0, 2.0], [-1.0, -2.0, np.nan, 4.0, 4.0]])


STRUCTURED = {
    "shift": (
        shifted,
        [case(array(2, 3, 2), axis=a, by=b) for a in (0, 1, -1) for b in (1, -1)]
        + [case(array(1), axis=0, by=1)],
    ),
    "recurrence": (
        looped_recurrence,
        [
            *(case(array(2, 3, 2), array(2, 3, 2) + 0.3, axis=a) for a in (0, 1, -1)),
            case(array(6), array(6) - 0.3, axis=0),
            case(array(6), array(6) - 0.3, axis=0, reverse=True),
            case(array(3, 2), array(3, 2) - 0.3, axis=0, reverse=True),
            case(np.array([2.0, 0.0, 3.0, 0.0]), array(4), axis=0),
        ],
    ),
    "cumsum": (added, RUNNING),
    "cumprod": (multiplied, [*RUNNING, *WITH_ZEROS]),
    "unwrapping": (
        lambda p, axis, discont, period: np.unwrap(p, discont, axis, period=period) - p,
        [
            case(STEPS, axis=1, discont=np.pi, period=2 * np.pi),
            case(STEPS, axis=0, discont=4.0, period=5.0),
            case(np.array([0.0, np.pi, 0.0]), axis=0, discont=np.pi, period=2 * np.pi),
        ],
    ),
    "latest_record": (
        lambda x, axis, smallest=False: (
            np.array([[0, 0, 0, 3, 3], [0, 0, 2, 2, 2]])
            if not smallest
            else np.array([[0, 0, 2, 2, 2], [0, 1, 2, 2, 2]])
        ),
        [case(RECORDS, axis=1), case(RECORDS, axis=-1, smallest=True)],
    ),
}
