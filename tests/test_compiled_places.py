"""Through arrays of places, compiled programs read and write what interpreted ones do.

Places may be named more than once: what is added there adds up, and of what is written the last
stays. Numbers are small and whole, so that sums are exact in any order. More programs than the
suite's: ``python tests/test_compiled_places.py COUNT [START]``.
"""

import numpy as np
import pytest
from fuzzing import all_right, leave_nan_behind, main

import chainrule as cr

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error::chainrule.transforms.jit.JitWarning"),  # not compiled at all
]

COUNT = 120
LENGTHS = (1, 2, 3, 5, 8, 9, 17, 33, 64)
NAMED = ((1,), (3,), (8,), (40,), (5, 2), (17, 3), (9, 16), (2, 3, 4))


def assigned(x, at, value):
    x = x + 1.0
    x[at] = value
    return x


def changed(x, at, value):
    x = x - 1.0
    x[at] *= value
    return x


def added_at(x, at, value):
    x = x * 1.0
    np.add.at(x, at, value)
    return x


def taken_at(x, at, value):
    x = np.zeros_like(x)
    np.subtract.at(x, at, value)
    return x


READ = {
    "index": lambda x, at, value: x[at] * value,
    "index of a sum": lambda x, at, value: (x + np.max(x, axis=0))[at] + value,
    "read again": lambda x, at, value: np.flip(x[at]) - value,
}
WRITTEN = {f.__name__: f for f in (assigned, changed, added_at, taken_at)}
THEN = {
    "nothing": lambda y: y,
    "sum": lambda y: np.sum(y, axis=0),
    "largest": lambda y: np.max(y, axis=-1, keepdims=True),
    "order": lambda y: np.take_along_axis(y, np.argsort(y, axis=0, kind="stable"), axis=0),
    "positive": lambda y: y[y > 0],
}


class Random:
    """A program and its arguments: an array, places in it, and what is written there."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)

        def one_of(choices):
            return list(choices)[rng.integers(len(choices))]

        ndim = int(rng.integers(1, 4))
        shape = tuple(int(one_of(LENGTHS[: 9 - 2 * ndim])) for _ in range(ndim))
        named = one_of(NAMED)
        self.how = one_of(list(WRITTEN) * 2 + list(READ))
        self.then = one_of(THEN)
        self.transform = one_of(("value", "gradient", "tangent", "batch"))
        self.index, arrays = [], []
        for n in shape:
            kind = one_of(("places", "places", "places", "slice", "number"))
            if kind == "places":
                places = rng.integers(-n if rng.random() < 0.4 else 0, n, named)
                arrays.append(places.astype(one_of((np.int64, np.int32))))
                self.index.append(None)
            elif kind == "slice":
                self.index.append(slice(None, None, int(one_of((1, -1)))))
            else:
                self.index.append(int(rng.integers(-n, n)))
        self.constant = rng.random() < 0.3  # places that are no arguments
        dtype = one_of((np.float64, np.float64, np.float32))
        x = np.round(3 * rng.normal(size=shape)).astype(dtype)
        value = np.round(3 * rng.normal(size=np.shape(x[self.at(arrays)])))
        self.arrays = arrays
        self.arguments = [x, np.asarray(value, dtype), *([] if self.constant else arrays)]

    def __repr__(self):
        shapes = [np.shape(v) for v in (*self.arguments[:2], *self.arrays)]
        return f"{vars(self) | {'arguments': shapes, 'arrays': len(self.arrays)}}"

    def at(self, arrays):
        left = iter(arrays)
        return tuple(next(left) if part is None else part for part in self.index)

    def value(self, x, value, *arrays):
        do = {**READ, **WRITTEN}[self.how]
        return THEN[self.then](np.atleast_1d(do(x, self.at(arrays or self.arrays), value)))

    def loss(self, x, value, *arrays):
        y = self.value(x, value, *arrays)
        return np.sum(y * y)

    def tangent(self, x, value, *arrays):
        return cr.jvp(lambda x, v: self.value(x, v, *arrays), (x, value), (x[::-1], value * 2))[1]

    @property
    def function(self):
        return {
            "value": self.value,
            "gradient": cr.grad(self.loss, argnums=(0, 1)),
            "tangent": self.tangent,
            "batch": cr.vmap(self.value),
        }[self.transform]

    def calls(self):
        """Arguments of several calls: with others of the same kind, the first recording is used."""
        for arguments in (self.arguments, [np.flip(v).copy() for v in self.arguments]):
            batch = self.transform == "batch"
            yield [np.stack((v, np.flip(v))) for v in arguments] if batch else arguments


def results(found):
    return found if isinstance(found, tuple) else (found,)


def wrong(program):
    """What is wrong with the compiled program."""
    compiled = cr.jit(program.function)
    for arguments in program.calls():
        try:
            expected = results(program.function(*arguments))
        except cr.errors.TraceError:  # a length that differs from row to row of a batch
            return ""
        leave_nan_behind(*map(np.shape, expected))
        for found, wanted in zip(results(compiled(*arguments)), expected, strict=True):
            if not np.array_equal(found, wanted) or found.dtype != wanted.dtype:
                return f"{found}\ninstead of\n{wanted}"
    return ""


@pytest.mark.parametrize("start", range(0, COUNT, 10))
def test_places_are_read_and_written_compiled_as_they_are_interpreted(start):
    all_right(Random, wrong, range(start, start + 10))


@pytest.mark.parametrize("shape", [(40, 3), (3, 40), (7, 9), (4, 5, 6)])
def test_of_what_is_written_to_a_place_repeatedly_the_last_stays(shape):
    rng = np.random.default_rng(0)
    places, value = rng.integers(0, 5, shape), rng.normal(size=shape)
    x = np.zeros(5)
    np.testing.assert_array_equal(cr.jit(assigned)(x, places, value), assigned(x, places, value))


def test_a_place_that_all_write_to_keeps_the_last():
    value = np.random.default_rng(0).normal(size=(3, 8))
    places = np.zeros((3, 8), int)  # known, and all the same
    found = cr.jit(lambda x, value: assigned(x, (-2, places), value))(np.zeros((5, 1)), value)
    np.testing.assert_array_equal(found, assigned(np.zeros((5, 1)), (-2, places), value))


def test_what_numpy_scatters_is_added_to_what_is_compiled():
    def loss(x):
        y = x * 1.0
        y[x > 0] += 2.0
        return np.sum(y * y)

    x = np.array([1.0, -1.0, 2.0])
    np.testing.assert_array_equal(cr.jit(cr.grad(loss))(x), cr.grad(loss)(x))


def test_where_nothing_is_added_a_negative_zero_stays():
    x, value = np.array([-0.0, -0.0, 1.0]), np.array([2.0, 3.0])
    found = cr.jit(added_at)(x, np.array([1, 1]), value)
    np.testing.assert_array_equal(np.signbit(found), [True, False, False])


if __name__ == "__main__":
    main(Random, wrong)
