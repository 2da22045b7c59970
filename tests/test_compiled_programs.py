"""Whole functions as machine code: what a caller may rely on."""

import gc
import resource

import numpy as np
import pytest

import chainrule as cr

RNG = np.random.default_rng(3)
X = RNG.normal(size=(5, 4))


def both(f, *args):
    """The compiled and the plain result, after the compiled one was called twice."""
    compiled = cr.jit(f)
    compiled(*args)
    return compiled(*args), f(*args)


def lowering_of(f, *args):
    """What the compiler made of a function."""
    compiled = cr.jit(f)
    compiled(*args)
    return lowering_of_jitted(compiled)


def lowering_of_jitted(compiled):
    (traces,) = compiled._traces.values()
    return traces[0].executable.lowering


# ---------------------------------------------------------------------------- places beyond an axis


@pytest.mark.parametrize("places", [[0, 5], [-6, 0], [2**40, 0]])
def test_an_index_beyond_its_axis_is_numpys_error(places):
    taken = cr.jit(lambda x, k: np.sum(x[k], axis=1))
    assert taken(X, np.array([4, -5])).shape == (2,)
    with pytest.raises(IndexError, match="out of bounds"):
        taken(X, np.array(places))
    expected = np.sum(X[[0, 1]], axis=1)
    np.testing.assert_allclose(taken(X, np.array([0, 1])), expected, rtol=1e-14)


def test_an_index_beyond_its_axis_is_numpys_error_where_it_is_written_to():
    def written(x, k):
        y = x * 2
        y[k] = 1.0
        return y

    compiled = cr.jit(written)
    k = np.array([1, 3])
    np.testing.assert_array_equal(compiled(X, k), written(X, k))
    with pytest.raises(IndexError, match="out of bounds"):
        compiled(X, np.array([1, 7]))
    np.testing.assert_array_equal(compiled(X, k), written(X, k))


def test_an_index_beyond_its_axis_is_numpys_error_along_an_axis():
    taken = cr.jit(lambda x, k: np.take_along_axis(x, k, 1))
    k = np.full((5, 2), -4)
    np.testing.assert_array_equal(taken(X, k), np.take_along_axis(X, k, 1))
    with pytest.raises(IndexError, match="out of bounds"):
        taken(X, np.full((5, 2), 4))


def test_a_constant_index_beyond_its_axis_is_numpys_error():
    with pytest.raises(IndexError, match="out of bounds"):
        cr.jit(lambda x: x[np.array([0, 9])] * 2)(X)


# ---------------------------------------------------------------------------- whose the results are


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x,
        lambda x: (x, x),
        lambda x: x[1:3],
        lambda x: np.transpose(x),
        lambda x: (x * 2, x.ravel(), np.broadcast_to(x, (2, *x.shape))),
        lambda x: np.ones(3),
        lambda x: (np.cos(x), np.cos(x)),
    ],
)
def test_results_are_the_callers_own_arrays(f):
    x = X.copy()
    compiled = cr.jit(f)
    first = compiled(x)
    parts = first if isinstance(first, tuple) else (first,)
    kept = [p.copy() for p in parts]
    for k, part in enumerate(parts):
        assert part.flags.writeable
        assert not np.shares_memory(part, x)
        assert not any(np.shares_memory(part, q) for q in parts[:k])
    for part in parts:
        part[...] = -1.0
    np.testing.assert_array_equal(x, X)
    again = compiled(x)
    for part, old in zip(again if isinstance(again, tuple) else (again,), kept, strict=True):
        np.testing.assert_array_equal(part, old)


def test_assignments_leave_the_argument_as_it_was():
    def f(x):
        y = x * 1.0
        y[1] = 0.0
        y[:, 2] += 5.0
        z = np.copy(y)
        z[0, 0] = 9.0
        return y, z

    x = X.copy()
    (y, z), (expected_y, expected_z) = both(f, x)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(z, expected_z)


def test_a_value_is_not_written_over_while_a_view_of_it_is_used():
    def f(x):
        y = np.copy(x)
        y[::-2] *= 3.0
        seen = y[...]
        z = np.copy(seen)
        z[...] = 1.0
        return y, z

    (y, z), (expected_y, expected_z) = both(f, X)
    np.testing.assert_array_equal(y, expected_y)
    np.testing.assert_array_equal(z, expected_z)


def test_an_element_of_a_short_axis_is_found_by_a_computed_place():
    def f(x, k):
        low = np.clip(x, -0.5, 1.0)
        return np.take_along_axis(low, k, 1) + 0

    x, k = RNG.normal(size=(8, 1)), np.zeros((8, 4), int)
    found, expected = both(f, x, k)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [4, 7, 16, 17, 33])
def test_a_diagonal_beside_all_elements_is_of_each_row_its_own(n):
    def f(a, b):
        v = np.fmax(np.clip(a[:, None] * b.T, -0.5, 1.0), (a[:, None] * b.T) ** 2)
        return np.sum(np.sin(v)) + np.sum(np.sin(-np.diagonal(v)))

    a, b = RNG.normal(size=n), RNG.normal(size=(n + 1, n))
    (value, slopes), (expected, others) = both(cr.value_and_grad(f, argnums=(0, 1)), a, b)
    np.testing.assert_allclose(value, expected, rtol=1e-13)
    for slope, other in zip(slopes, others, strict=True):
        np.testing.assert_allclose(slope, other, rtol=1e-11, atol=1e-12)


# ---------------------------------------------------------------------- what is fused, and what not


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.var(x, axis=0) + np.std(x, axis=1).sum(),
        lambda x: np.linalg.norm(x, axis=1),
        lambda x: np.trace(x) + np.sum(np.diagonal(x, 1)),
        lambda x: np.roll(x, 2, axis=1) + np.flip(x),
        lambda x: np.pad(x, 1, mode="edge") + np.pad(x, 1),
        lambda x: np.tile(x, (2, 1)) * np.repeat(x, 2, axis=0),
        lambda x: np.argmax(x, axis=0) + np.argmin(x),
        lambda x: np.logaddexp(x, 0.5) + np.heaviside(x, 0.5) + np.rint(x) + np.round(x, 2),
        lambda x: np.floor(x * 3).astype(int) % 2 + np.remainder(x, 0.7) + x // 0.3,
        lambda x: np.outer(x[0], x[1]) + np.cross(x[0, :3], x[1, :3])[0],
        lambda x: np.convolve(x[0], x[1, :2], "valid"),
        lambda x: np.take_along_axis(x, np.argsort(X, axis=1), 1),
    ],
)
def test_common_functions_are_loops_and_not_calls_of_numpy(f):
    found, expected = both(f, X)
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    assert [v.op.name for v, _ in lowering_of(f, X).numpy] == []


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.uint64, np.complex128])
def test_dtypes_without_loops_of_their_own_are_left_to_numpy(dtype):
    x = np.array([1, 2, 3, 100]).astype(dtype)

    def f(x):
        return x * x + x, np.sum(x), np.sum(np.abs(x) * 2.5)

    found, expected = both(f, x)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_whole_numbers_have_numpys_dtypes_and_overflow():
    i, j, t = (
        np.array([2**31 - 1, -(2**31), 7], np.int32),
        np.array([3, -1, 0]),
        np.array([True, 0, 1]),
    )

    def f(i, j, t):
        return (
            i + i,
            i * 2,
            i + j,
            i * t,
            i / j,
            i // j,
            j % (i * 0 + 3),
            -i,
            np.abs(i),
            t + t,
            t * t,
        )

    with np.errstate(all="ignore"):
        found, expected = both(f, i, j, t)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_division_of_whole_numbers_by_zero_is_zero_and_the_smallest_by_minus_one_itself():
    x = np.array([5, -5, -(2**63), -(2**63), 0])
    y = np.array([0, 0, -1, 3, -1])
    with np.errstate(all="ignore"):
        found, expected = both(lambda x, y: (x // y, x % y, np.fmod(x, y)), x, y)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


# ------------------------------------------------------------------------------------------- memory


def test_many_calls_and_compilations_leave_no_memory_behind():
    def f(x, k):
        y = x * 2
        y[k] += np.sin(x[k])
        return np.sum(y**2), y

    x, k = RNG.normal(size=2000), np.arange(0, 2000, 3)
    compiled = cr.jit(cr.value_and_grad(f, has_aux=True))

    def rounds(count):
        for _ in range(count):
            compiled(x, k)
        for _ in range(count // 100):
            cr.jit(lambda x: np.sum(np.tanh(x)))(x)

    rounds(300)
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rounds(3000)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"{grown} kB more"
