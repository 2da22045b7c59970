"""Writing into traced arrays: NumPy's own run of the same program says what comes out."""

import numpy as np
import pytest
from assignments import SHAPES, point, random_program, run

import chainrule as cr
from chainrule.errors import ChainruleError, TraceError

X = np.array([0.7, 1.3, 2.1])
# What a program may be refused for; everything else has to come out as NumPy has it.
REFUSED = ("a traced number", "v is a view of a", "read-only", "plain array", "x[mask]", "float()")


def differences(f, x, h):
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[place] = h
        near, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
        found[place] = (8 * near - far) / (12 * h)
    return found


def assert_as_numpy(f, x=X):
    """Value, gradient, forward mode, second order and vmap of a program are NumPy's."""
    value, gradient = cr.value_and_grad(f)(x)
    assert value == f(x.copy())
    np.testing.assert_allclose(gradient, differences(f, x, 1e-3), rtol=1e-7, atol=1e-8)
    direction = np.cos(np.arange(x.size)).reshape(x.shape)
    assert cr.jvp(f, (x,), (direction,))[1] == pytest.approx(np.sum(direction * gradient))
    along = lambda h: cr.grad(f)(x + h * direction)
    second = cr.jvp(cr.grad(f), (x,), (direction,))[1]
    np.testing.assert_allclose(second, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-6, atol=1e-6)
    twice = cr.grad(lambda v: np.sum(cr.grad(f)(v) * direction))(x)
    np.testing.assert_allclose(twice, second, rtol=1e-10, atol=1e-12)
    batch = np.stack([x, 1.1 * x])
    np.testing.assert_allclose(cr.vmap(f)(batch), [f(v.copy()) for v in batch], rtol=1e-14)
    each = [cr.grad(f)(v) for v in batch]
    np.testing.assert_allclose(cr.vmap(cr.grad(f))(batch), each, rtol=1e-12, atol=1e-14)
    summed = cr.grad(lambda v: np.sum(cr.vmap(f)(v)))(batch)
    np.testing.assert_allclose(summed, each, rtol=1e-12, atol=1e-14)


# --------------------------------------------------------------------------------- random programs


def program_of(seed):
    rng = np.random.default_rng(seed)
    shape = SHAPES[int(rng.integers(len(SHAPES)))]
    lines = random_program(rng, shape, int(rng.integers(2, 9)))
    return (lambda x: run(lines, x)), point(shape), "\n".join(lines)


def tried(f, x, lines):
    """What a transform of a program gives; ``None`` if it is refused for one of the reasons."""
    try:
        return f(x)
    except (ChainruleError, ValueError) as error:
        if not any(reason in str(error) for reason in REFUSED):
            raise AssertionError(lines) from error
        return None


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
@pytest.mark.parametrize("block", range(5))
def test_a_random_program_of_assignments_and_views_has_numpys_value_and_its_derivative(block):
    refused = 0
    for seed in range(60 * block, 60 * (block + 1)):
        f, x, lines = program_of(seed)
        found = tried(cr.value_and_grad(f), x, lines)
        if found is None:
            refused += 1
            continue
        value, gradient = found
        np.testing.assert_allclose(value, f(x.copy()), rtol=1e-13, err_msg=lines)
        coarse, fine = differences(f, x, 1e-4), differences(f, x, 3e-5)
        if np.allclose(coarse, fine, rtol=1e-3, atol=1e-3):  # else a condition changes its mind
            np.testing.assert_allclose(gradient, fine, rtol=1e-6, atol=1e-6, err_msg=lines)
    assert refused <= 6


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
def test_a_random_program_may_stand_in_a_batch_a_loop_or_a_checkpoint():
    compared = 0
    for seed in range(1000, 1060):
        f, x, lines = program_of(seed)
        gradient = tried(cr.grad(f), x, lines)
        if gradient is None:
            continue
        batch = np.stack([x, 1.01 * x])
        each = np.stack([cr.grad(f)(v) for v in batch])
        batched = tried(cr.vmap(cr.grad(f)), batch, lines)
        summed = tried(cr.grad(lambda v, f=f: np.sum(cr.vmap(f)(v))), batch, lines)
        again = tried(cr.grad(cr.checkpoint(f)), x, lines)
        loop = lambda v, f=f: cr.scan(lambda c, t: (c + t * f(v * t), None), 0.0, np.ones(2))[0]
        looped = tried(cr.grad(loop), x, lines)
        for found, expected in [
            (batched, each), (summed, each), (again, gradient), (looped, 2 * gradient),
        ]:  # fmt: skip
            if found is not None:
                compared += 1
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11, err_msg=lines)
    assert compared > 120


# --------------------------------------------------------------------------- one by one: what works


def fill_zeros_like(x):
    a = np.zeros_like(x)
    for i in range(3):
        a[i] = x[i] ** 2 + (a[i - 1] if i else 0.0)
    return np.sum(a**2)


def fill_empty(x):
    a = np.empty((2, 3), like=x)
    a[0], a[1] = x, np.sin(x)
    return np.sum(a[:, 1:] * a[:, :-1])


def fill_full(x):
    a = np.full(5, x[0])
    a[1:4] *= x
    a[-1] = 2
    return np.sum(a**2)


def change_the_argument(x):
    x[0] = x[1] * x[2]
    x += 1
    return np.sum(x**3)


def change_another_name(x):
    y = x
    y[0] = 3.0
    return np.sum(x**2) + np.sum(y)


def write_through_rows(x):
    a = np.stack([x, 2 * x])
    for row in a:
        row /= np.sum(row**2)
        row[0] = 0.5
    return np.sum(a * np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))


def write_through_two_indices(x):
    grid = np.zeros((3, 3), like=x)
    for i in range(3):
        grid[i][i] = x[i]
        grid[i][i - 1] += x[i] ** 2
    return np.sum(grid @ grid)


def write_through_a_transpose(x):
    a = np.stack([x, 2 * x])
    a.T[1] = x[:2] * x[2]
    a.reshape(-1)[2] *= x[0]
    np.flip(a)[0, 0] = x[0] ** 2
    a.flat[4] = x[1] ** 3
    a.T.flat[1] += 1
    return np.sum(a**2 * np.arange(6.0).reshape(2, 3))


def read_through_a_view(x):
    a = x * 1.0
    head, tail = a[:1], a[1:]
    a[1] = x[0] ** 2
    tail[1] = head[0] * x[2]
    return np.sum(a) + np.sum(head * tail**2)


def swap_rows_as_numpy_does(x):
    a = np.stack([x, x**2])
    a[0], a[1] = a[1], a[0]  # both rows are the second one
    b = np.stack([x, x**2])
    b[[0, 1]] = b[[1, 0]]  # swapped
    return np.sum(a**2 * np.arange(6.0).reshape(2, 3)) + np.sum(b[0] ** 2)


def duplicates(x):
    a = x * 1.0
    a[[0, 0, 1]] = x[[1, 2, 0]] ** 2  # the last one wins
    np.add.at(a, [2, 2], x[:2])  # every one counts
    np.subtract.at(a, [0, 0], [1.0, 2.0])
    return np.sum(a**2)


def masks(x):
    a = x * 1.0
    a[np.array([True, False, True])] += x[1]
    a[a < 1.4] = 0.0
    return np.sum(a**2)


def functions(x):
    a = np.zeros((3, 3), like=x)
    np.fill_diagonal(a, x)
    np.put_along_axis(a, np.array([[2]]), x[:, None] ** 2, 1)
    np.put(a, [1, -2], x[:2])
    np.place(a, np.eye(3)[::-1] > 0, x[1:])
    np.putmask(a, np.eye(3) > 0, x)
    np.copyto(a[1], x**2, where=np.array([True, False, True]))
    b = x[::-1] * 1.0
    b.sort()
    c = x * 1.0
    c.fill(x[1] ** 2)
    return np.sum(a**2 * np.arange(9.0).reshape(3, 3)) + np.sum(b * x) + np.sum(c * b)


def lists(x):
    a = np.array([x[0], 2.0, [x[1]][0]])
    a[1] *= x[2]
    b = np.array([[x[0], 1], [x[1] ** 2, x[2]]])
    b[0] = b[1] * a[1]
    return np.sum(a**2) + np.sum(b**2) + np.sum(np.asarray([x, x**2])[:, 1])


def overlapping(x):
    a = x * 1.0
    a[1:] = a[:-1]
    a[:-1] *= a[1:] * x[0]
    a += a[::-1]
    return np.sum(a**3)


def numbers_are_immutable(x):
    r = x[0]
    s = r
    r += 1
    r *= x
    return np.sum(r) * s + x[0]


PROGRAMS = [
    fill_zeros_like, fill_empty, fill_full, change_the_argument, change_another_name,
    write_through_rows, write_through_two_indices, write_through_a_transpose, read_through_a_view,
    swap_rows_as_numpy_does, duplicates, masks, functions, lists, overlapping,
    numbers_are_immutable,
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_a_program_that_writes_into_arrays_is_differentiated_as_it_stands(f):
    assert_as_numpy(f)


@pytest.mark.parametrize("f", PROGRAMS, ids=lambda f: f.__name__)
def test_it_may_stand_in_a_loop_that_stays_a_loop_and_in_a_checkpoint(f):
    plain = lambda x: sum(t * f(x * t) for t in (1.0, 0.9))
    loop = lambda x: cr.scan(lambda c, t: (c + t * f(x * t), None), 0.0, np.array([1.0, 0.9]))[0]
    expected = cr.grad(plain)(X)
    np.testing.assert_allclose(cr.grad(loop)(X), expected, rtol=1e-12)
    np.testing.assert_allclose(cr.grad(cr.checkpoint(plain))(X), expected, rtol=1e-12)


def test_the_argument_of_the_caller_is_left_as_it_was():
    x = X.copy()
    cr.value_and_grad(change_the_argument)(x)
    assert x.tolist() == X.tolist()


def test_a_carry_may_be_written_into():
    def recurrence(x):
        def step(state, t):
            state[0] += t * state[1]
            state[1:] *= x[1:]
            return state, state[0]

        state, seen = cr.scan(step, x * 1.0, np.array([0.5, 0.7, 0.9]))
        return np.sum(state**2) + np.sum(seen)

    def unrolled(x):
        state, seen = x * 1.0, 0.0
        for t in (0.5, 0.7, 0.9):
            state[0] += t * state[1]
            state[1:] *= x[1:]
            seen += state[0]
        return np.sum(state**2) + seen

    assert_as_numpy(unrolled)
    np.testing.assert_allclose(cr.grad(recurrence)(X), cr.grad(unrolled)(X), rtol=1e-13)
    batch = np.stack([X, 2 * X])
    each = [cr.grad(unrolled)(x) for x in batch]
    np.testing.assert_allclose(cr.vmap(cr.grad(recurrence))(batch), each, rtol=1e-13)


def test_every_value_of_a_batch_may_be_written_to_a_place_of_its_own():
    def f(x, i, v):
        a = x * 1.0
        a[i] = v
        a[i - 1] += v**2
        return np.sum(a**3)

    xs, places, vs = np.stack([X, 2 * X, 3 * X]), np.array([0, 2, 1]), np.array([0.3, 0.4, 0.5])
    for axes in ((0, 0, 0), (None, 0, None), (0, None, 0), (None, None, 0), (None, 0, 0)):
        args = [a if axis == 0 else a[0] for a, axis in zip((xs, places, vs), axes, strict=True)]
        pick = lambda n, args=args, axes=axes: [
            a[n] if axis == 0 else a for a, axis in zip(args, axes, strict=True)
        ]
        found = cr.vmap(cr.grad(f, argnums=(0, 2)), in_axes=axes)(*args)
        for n in range(3):
            expected = cr.grad(f, argnums=(0, 2))(*pick(n))
            np.testing.assert_allclose(found[0][n], expected[0], rtol=1e-13)
            np.testing.assert_allclose(found[1][n], expected[1], rtol=1e-13)


def test_a_new_array_takes_values_of_the_innermost_computation():
    def outer(x):
        def inner(t):
            a = np.zeros_like(x)
            a[0] = t * x[1]
            a[1:] = t**2
            return np.sum(a**2)

        return np.sum(cr.vmap(inner)(np.array([1.0, 2.0]))) + cr.grad(inner)(x[2])

    plain = lambda x: (
        sum(t**2 * x[1] ** 2 + 2 * t**4 for t in (1.0, 2.0)) + 2 * x[2] * x[1] ** 2 + 8 * x[2] ** 3
    )
    value, gradient = cr.value_and_grad(outer)(X)
    assert value == pytest.approx(plain(X))
    np.testing.assert_allclose(gradient, differences(plain, X, 1e-3), rtol=1e-9)


def filled_inside(x):
    """An array of the outer derivative is given values of the inner one; others used it before."""
    others = np.sin(x)

    def inner(y):
        a = x * 2
        before = np.sum(a * others)
        a[0] = y * y
        between = np.sum(a * others)
        a[1] = y * a[0]
        return before * between + np.sum(a**2) * y

    return cr.grad(inner)(x[0]) + np.sum(others)


def views_filled_inside(x):
    """The same through views, of which some are used again after the array was moved inside."""

    def inner(y):
        a = x * 2
        end = a[1:]
        before = np.sum(end * end)
        a[1] = y * y
        between = np.sum(end**3)
        end[:] = end * y
        return before * between + np.sum(a**2) * y + np.sum(end * x[:2])

    return cr.grad(inner)(x[0])


@pytest.mark.parametrize("f", [filled_inside, views_filled_inside])
def test_an_array_of_an_outer_derivative_may_be_given_values_of_an_inner_one(f):
    x, small = np.array([1.0, 2.0, 3.0]), 1e-5
    value = cr.value_and_grad(f)
    slopes = [(value(x + e)[0] - value(x - e)[0]) / (2 * small) for e in small * np.eye(3)]
    np.testing.assert_allclose(cr.grad(f)(x), slopes, rtol=1e-7, atol=1e-5)
    np.testing.assert_allclose(cr.jit(cr.grad(f))(x), slopes, rtol=1e-7, atol=1e-5)


@pytest.mark.parametrize("compiled", [lambda f: f, cr.jit])
def test_views_of_one_element_of_several_copies_are_views_of_their_own_copy(compiled):
    def f(x):
        a, b = np.copy(x), np.copy(x)
        a[..., 0] += 0.5
        b[..., 0] += 0.25
        return np.stack([a, b])

    np.testing.assert_array_equal(compiled(f)(X), f(X))
    gradient = compiled(cr.grad(lambda x: np.sum(f(x) ** 2)))(X)
    np.testing.assert_allclose(gradient, 2 * np.sum(f(X), axis=0), rtol=1e-14)


def test_what_is_assigned_takes_the_dtype_of_the_array():
    def f(x):
        a = np.zeros_like(x)
        a[0] = np.float64(0.1)
        a[1:] = x[1:].astype(np.float64) / 3
        assert a.dtype == np.float32
        a *= np.float32(2)
        return np.sum(a * x)

    value, gradient = cr.value_and_grad(f)(X.astype(np.float32))
    assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
    assert value == f(X.astype(np.float32))
    np.testing.assert_allclose(gradient, [0.2, 4 / 3 * 1.3, 4 / 3 * 2.1], rtol=1e-6)


def test_a_long_loop_of_assignments_does_not_recurse():
    def f(x):
        a = np.zeros_like(x)
        view = a[:1]
        for _ in range(3000):
            view += x[0] * 1e-3
        return np.sum(a)

    assert cr.grad(f)(X)[0] == pytest.approx(3.0)


# ----------------------------------------------------------------------- one by one: what does not


def refused(f, x=X, error=TraceError):
    with pytest.raises(error) as caught:
        cr.grad(f)(x)
    return str(caught.value)


def test_writing_through_what_numpy_keeps_from_being_written_is_refused_as_numpy_does():
    def f(x):
        np.broadcast_to(x, (2, 3))[0] = 1.0
        return np.sum(x)

    def g(x):
        np.diagonal(np.outer(x, x))[0] = 1.0
        return np.sum(x)

    for program in (f, g):
        with pytest.raises(ValueError, match="read-only"):
            program(X.copy())
        assert "read-only" in refused(program, error=ValueError)


def test_a_mask_that_is_filled_from_a_view_of_the_same_array_is_refused():
    def f(x):
        a = np.outer(x, x)
        a.T[a > 1.6] = a[0, :1]
        return np.sum(a)

    assert "view of a" in refused(f)
    assert "v.copy()" in refused(f)


def test_an_array_from_outside_is_not_written_into_where_one_run_stands_for_many():
    def f(x):
        total = np.zeros_like(x)

        def step(carry, t):
            total[0] += x[0]
            return carry + t * total[0], None

        return cr.scan(step, 0.0, np.ones(3))[0]

    assert "from outside" in refused(f)
    assert "carry" in refused(f)

    def g(x):
        def piece(y):
            y2 = x
            y2[0] = 1.0
            return np.sum(y * y2)

        return cr.checkpoint(piece)(x * 2)

    assert "from outside" in refused(g)


def test_values_of_a_batch_do_not_go_into_an_array_that_is_not_one():
    def f(x):
        def inner(t):
            a = x * 2
            a[0] = t
            return np.sum(a)

        return np.sum(cr.vmap(inner)(np.ones(2)))

    assert "inner computation" in refused(f)


def test_what_kept_a_value_of_an_inner_derivative_says_so():
    def f(x):
        a = np.zeros_like(x)

        def inner(t):
            a[0] = t
            return np.sum(a**2)

        return cr.grad(inner)(x[0]) + np.sum(a)

    assert "after the function" in refused(f)


def test_shapes_that_numpy_would_not_assign_are_not_assigned():
    def wide(x):
        a = np.zeros_like(x)
        a[:2] = x
        return np.sum(a)

    def grown(x):
        a = x[:1] * 1
        a += x
        return np.sum(a)

    assert "could not broadcast input array from shape (3,) into shape (2,)" in refused(
        wide, error=ValueError
    )
    assert "(3,)" in refused(grown, error=ValueError)


def test_a_number_has_nothing_to_be_filled():
    def f(x):
        x[0].fill(2.0)
        return x[0]

    assert "traced number" in refused(f)
