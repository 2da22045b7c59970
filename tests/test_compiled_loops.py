"""Loops as machine code, held against the same loops as they are interpreted."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError
from chainrule.transforms.staging import stage

pytestmark = pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")

RNG = np.random.default_rng(7)


def code_of(jitted):
    """The executables behind a compiled function."""
    return [trace.executable for traces in jitted._traces.values() for trace in traces]


def compiled(f, *args):
    """What ``f`` gives as machine code, of which NumPy performs nothing."""
    jitted = cr.jit(f)
    jitted(*args)
    result = jitted(*args)  # the first call records, this one finds what was compiled
    (code,) = code_of(jitted)
    assert code.lowering.numpy == []
    return result


def leaves(tree):
    if tree is None:
        return []
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    return [x for part in tree for x in leaves(part)] if isinstance(tree, list | tuple) else [tree]


def assert_alike(found, expected, rtol=1e-12):
    found, expected = leaves(found), leaves(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (np.shape(a), np.asarray(a).dtype) == (np.shape(b), np.asarray(b).dtype)
        scale = np.max(np.abs(b), initial=0.0, where=np.isfinite(b)) if np.size(b) else 0.0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


# ------------------------------------------------------------------------- loops of every kind


def last_value(x, xs):
    return cr.scan(lambda s, t: (np.tanh(s * t) + 0.5 * s, None), x, xs)[0]


def given_and_last(x, xs):
    return cr.scan(lambda s, t: (s + t, s * t), x, xs)


def what_is_carried_is_given(x, xs):
    def step(s, t):
        s = np.sin(s + t)
        return s, s

    return cr.scan(step, x, xs)


def what_was_carried_is_given(x, xs):
    return cr.scan(lambda s, t: (np.sin(s + t), s), x, xs)


def given_alone(x, xs):
    return cr.scan(lambda s, t: (np.sin(s + t), np.sin(s + t)), x, xs)[1]


def exchanged(x, xs):
    (a, b), seen = cr.scan(lambda s, t: ((s[1], s[0] + np.cos(t) * s[1]), s[0]), (x, x * x), xs)
    return a - b, seen


def shifted_on(x, xs):
    start = (x, x + 1, x * x)
    (a, b, c), _ = cr.scan(lambda s, t: ((s[1], s[2], s[0] * t), None), start, xs)
    return a * b + c


def taken_through(x, xs):
    return cr.scan(lambda s, t: (s, (t, s, 2.0, x + 1)), x, xs)


def from_outside(x, xs):
    weight, still = np.exp(x), x * 3
    return cr.scan(lambda s, t: (s * weight + t * still, weight * t), x, xs)


def trees(x, xs):
    def step(carry, row):
        total = carry["total"] + row[0] * carry["pair"][1]
        pair = (carry["pair"][1] * 0.9, np.sin(carry["pair"][0]) + row[1]["t"])
        return {"total": total, "pair": pair}, {"seen": total, "none": None}

    start = {"total": x, "pair": (x + 1, x * 2)}
    return cr.scan(step, start, (xs, {"t": xs**2}))


def counted(x, xs):
    def step(carry, t):
        n, s = carry
        return (n + 1, s + n * t), n

    return cr.scan(step, (0, x), xs)


def branched(x, xs):
    def step(s, t):
        s = cr.cond(s * t > 0.4, lambda v: np.sin(v) * t, lambda v: v * v + t, s)
        return s, s

    return cr.scan(step, x, xs)


def chosen(x, xs):
    return cr.scan(lambda s, t: (np.where(s > t, s - t, s + t), np.maximum(s, t)), x, xs)


def nested(x, xs):
    def outer(s, t):
        inner, rows = cr.scan(lambda a, b: (np.sin(a * b) + t, a), s, xs)
        return inner, np.sum(rows) if len(xs) else t * 1.0

    return cr.scan(outer, x, xs)


def with_roots(x, xs):
    def root(a):
        return cr.while_loop(lambda r: abs(r * r - a) > 1e-13, lambda r: (r + a / r) / 2, a)

    return cr.scan(lambda s, t: (root(1 + s * s) * t, s), x, xs)


def of_two_scans(x, xs):
    _, first = cr.scan(lambda s, t: (s * t + 1, np.sin(s)), x, xs)
    return cr.scan(lambda s, t: (s + t[0] * t[1], s), x, (first, xs))


def by_number(x, xs):
    return cr.fori_loop(0, len(xs), lambda i, s: np.sin(s) * 0.9 + 0.1 * i, x)


def from_to(x, xs):
    return cr.fori_loop(3, 3 + len(xs), lambda i, s: s * x + np.take(xs, i - 3), x)


def of_a_compiled_step(x, xs):
    step = cr.jit(lambda s, t: (np.tanh(s + t), s * s))
    return cr.scan(step, x, xs)


def recomputed(x, xs):
    return cr.scan(cr.checkpoint(lambda s, t: (np.tanh(s * t) + t, np.exp(s))), x, xs)


def detached(x, xs):
    return cr.scan(lambda s, t: (s + t * cr.stop_gradient(np.sin(s)), s), x, xs)


def newton(a):
    return cr.while_loop(lambda r: abs(r * r - a) > 1e-13 * a, lambda r: (r + a / r) / 2, a)


def pair(a):
    def more(state):
        return (state[0] < 40) & (state[2] < 9)

    x, y, _ = cr.while_loop(
        more, lambda s: (s[0] * 1.5 + s[1], np.sin(s[1]) + a, s[2] + 1), (a, a * a, 0)
    )
    return x * y


def of_arrays(a):
    x = a * np.arange(1.0, 41.0)
    return np.sum(cr.while_loop(lambda v: np.max(v) < 100, lambda v: v[::-1] * 1.1 + v * a, x))


LOOPS = [
    last_value, given_and_last, what_is_carried_is_given, what_was_carried_is_given, given_alone,
    exchanged, shifted_on, taken_through, from_outside, trees, counted, branched, chosen, nested,
    with_roots, of_two_scans, by_number, from_to, of_a_compiled_step, recomputed, detached,
]  # fmt: skip
each_loop = pytest.mark.parametrize("f", LOOPS, ids=lambda f: f.__name__)


def total(f):
    """A number that depends on all results of a loop."""

    def summed(x, xs):
        found = [r for r in leaves(f(x, xs)) if r.dtype.kind == "f"]
        return sum(np.sum(np.cos(r + k)) for k, r in enumerate(found))

    return summed


def data(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.float64(0.7), rng.uniform(0.2, 1.0, size=n)


@each_loop
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_a_compiled_loop_gives_what_the_loop_gives(f, n):
    args = data(n)
    assert_alike(compiled(f, *args), f(*args))


@each_loop
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_its_gradient_is_compiled_too(f, n):
    slope = cr.value_and_grad(total(f), argnums=(0, 1))
    args = data(n)
    assert_alike(compiled(slope, *args), slope(*args))


@each_loop
def test_so_is_its_tangent(f):
    push = lambda x, xs: cr.jvp(total(f), (x, xs), (x + 1, xs * 2))
    assert_alike(compiled(push, *data(5)), push(*data(5)))


@each_loop
def test_so_are_its_second_derivatives(f):
    slope = cr.grad(lambda x, xs: np.sum(cr.grad(total(f), argnums=1)(x, xs) ** 2), argnums=(0, 1))
    assert_alike(compiled(slope, *data(4)), slope(*data(4)), rtol=1e-11)
    push = lambda x, xs: cr.jvp(cr.grad(total(f)), (x, xs), (1.0, np.ones(4)))
    assert_alike(compiled(push, *data(4)), push(*data(4)), rtol=1e-11)


@each_loop
def test_a_gradient_of_a_compiled_loop_is_that_of_the_loop(f):
    args = data(4)
    assert_alike(cr.grad(cr.jit(total(f)), argnums=(0, 1))(*args),
                 cr.grad(total(f), argnums=(0, 1))(*args))  # fmt: skip


@each_loop
def test_a_batch_of_a_loop_is_compiled(f):
    many = cr.vmap(cr.grad(total(f)), in_axes=(0, None))
    x, xs = np.array([0.2, 0.5, -0.8]), data(4)[1]
    expected = [cr.grad(total(f))(value, xs) for value in x]
    assert_alike(compiled(many, x, xs), np.array(expected))
    assert_alike(cr.vmap(cr.jit(cr.grad(total(f))), in_axes=(0, None))(x, xs), np.array(expected))


@pytest.mark.parametrize("f", [newton, pair, of_arrays], ids=lambda f: f.__name__)
def test_a_batch_of_loops_of_unknown_length_is_one_loop(f):
    a = np.array([2.0, 1.0, 300.0, 1e-3, 7.0])
    many = cr.jit(cr.vmap(cr.value_and_grad(f)))
    for batch in (a, a * 3, a / 1000):
        with np.errstate(all="ignore"):
            expected = [cr.value_and_grad(f)(value) for value in batch]
        assert_alike(many(batch), tuple(np.array(part) for part in zip(*expected, strict=True)))
    (code,) = code_of(many)
    assert code.lowering.numpy == []


@each_loop
def test_a_thousand_steps_of_a_batch_need_no_more_code_than_ten(f):
    slope = cr.vmap(cr.grad(total(f)), in_axes=(0, None))
    short, long = cr.jit(slope), cr.jit(slope)
    x = np.array([0.2, 0.5, -0.8])
    short(x, data(10)[1]), long(x, data(1000)[1])
    (a,), (b,) = code_of(short), code_of(long)
    assert len(b.library.text) < 1.3 * len(a.library.text)


@each_loop
def test_a_thousand_steps_need_no_more_code_than_ten(f):
    short, long = (cr.jit(cr.grad(total(f), argnums=(0, 1))) for _ in range(2))
    short(*data(10))
    found = long(*data(1000))
    (a,), (b,) = code_of(short), code_of(long)
    assert len(b.library.text) < 1.3 * len(a.library.text)
    assert all(np.all(np.isfinite(g)) for g in found)


# ------------------------------------------------------------------------- arrays that are carried


def network(weights, bias, state, xs):
    def step(h, x):
        h = np.tanh(weights @ h + bias + x)
        return h, np.sum(h**2)

    last, energies = cr.scan(step, state, xs)
    return np.sum(last) + np.sum(energies)


@pytest.mark.parametrize("size", [1, 3, 8, 20, 70])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_recurrent_network_and_its_gradient(size, dtype):
    weights = (RNG.normal(size=(size, size)) / np.sqrt(size)).astype(dtype)
    bias, state = RNG.normal(size=(2, size)).astype(dtype)
    xs = RNG.normal(size=(12, size)).astype(dtype)
    slope = cr.value_and_grad(network, argnums=(0, 1, 2, 3))
    args = weights, bias, state, xs
    rtol = 1e-12 if dtype is np.float64 else 2e-5
    assert_alike(compiled(slope, *args), slope(*args), rtol=rtol)


def test_a_batch_of_states_is_multiplied_by_matrices():
    def loss(weights, state, xs):
        def step(h, x):
            h = np.tanh(h @ weights + x)
            return h, h[:, 0]

        last, seen = cr.scan(step, state, xs)
        return np.sum(last * last) + np.sum(seen)

    args = RNG.normal(size=(24, 24)) / 5, RNG.normal(size=(32, 24)), RNG.normal(size=(6, 32, 24))
    slope = cr.value_and_grad(loss, argnums=(0, 1, 2))
    assert_alike(compiled(slope, *args), slope(*args))


def test_long_short_term_memory():
    def loss(w, b, h, c, xs):
        def step(carry, x):
            h, c = carry
            z = w @ np.concatenate([x, h]) + b
            n = len(h)
            i, f, o = (1 / (1 + np.exp(-z[k * n : (k + 1) * n])) for k in range(3))
            c = f * c + i * np.tanh(z[3 * n :])
            h = o * np.tanh(c)
            return (h, c), np.sum(np.square(h - x))

        return np.sum(cr.scan(step, (h, c), xs)[1])

    n = 6
    args = (RNG.normal(size=(4 * n, 2 * n)) / 3, RNG.normal(size=4 * n), *RNG.normal(size=(2, n)),
            RNG.normal(size=(30, n)))  # fmt: skip
    slope = cr.value_and_grad(loss, argnums=(0, 1, 2, 3, 4))
    assert_alike(compiled(slope, *args), slope(*args))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("size", [2, 100])
def test_loops_run_from_either_end(reverse, size):
    def f(x, xs):
        def step(s, t):
            s = np.roll(s, 1) * 0.5 + t
            return s, (s, s[0] * t)

        return cr.scan(step, x, xs, reverse=reverse)

    args = RNG.normal(size=size), RNG.normal(size=(5, size))
    assert_alike(compiled(f, *args), f(*args))
    slope = cr.grad(total(f), argnums=(0, 1))
    assert_alike(compiled(slope, *args), slope(*args))


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [3, 50])
def test_what_is_carried_is_never_read_after_it_was_written_over(turns, size):
    def f(x):
        def step(s, _):
            a, b = s
            return (b[::-1] + 1, a * b + np.roll(a, 2)), None

        return cr.scan(step, (x, x * 2), length=turns)[0]

    x = RNG.normal(size=size)
    assert_alike(compiled(f, x), f(x))
    slope = cr.grad(lambda x: np.sum(f(x)[0] * f(x)[1]))
    assert_alike(compiled(slope, x), slope(x))


def test_a_sequence_may_be_a_view():
    def f(x, table):
        rows = cr.scan(lambda s, t: (s + t, s * t), x, table[::-2])[1]
        columns = cr.scan(lambda s, t: (s + np.sum(t), np.sum(t)), x[0], table.T)[1]
        return rows, columns

    args = RNG.normal(size=3), RNG.normal(size=(7, 3))
    assert_alike(compiled(f, *args), f(*args))


def test_rows_that_are_picked_get_their_gradients():
    def loss(table, numbers):
        def step(s, i):
            s = np.tanh(s + np.take(table, i, axis=0))
            return s, None

        return np.sum(cr.scan(step, np.zeros(4), numbers)[0])

    args = RNG.normal(size=(10, 4)), np.array([3, 1, 3, 9, 0])
    slope = cr.grad(loss)
    assert_alike(compiled(slope, *args), slope(*args))


def test_a_checkpointed_step_keeps_nothing_of_itself():
    step = lambda s, t: (np.tanh(s * t) + np.exp(s - t), None)
    loss = lambda f: lambda x, xs: cr.scan(f, x, xs)[0]
    slopes = [cr.jit(cr.grad(loss(f))) for f in (step, cr.checkpoint(step))]
    kept, recomputed = (f(*data(1000)) for f in slopes)
    assert_alike(recomputed, kept)
    (a,), (b,) = (code_of(f) for f in slopes)
    row = 8 * 1000
    # The state before each turn; beside it an exponential, if nothing is said.
    assert b.workspace // row == 1
    assert a.workspace // row > 1


def test_not_a_number_goes_through():
    x, xs = np.float64(0.5), np.array([1.0, np.nan, 2.0, np.inf])
    for f in (given_and_last, chosen, what_is_carried_is_given, branched):
        with np.errstate(all="ignore"):
            expected = f(x, xs), cr.grad(total(f), argnums=(0, 1))(x, xs)
        assert_alike(
            (compiled(f, x, xs), compiled(cr.grad(total(f), argnums=(0, 1)), x, xs)), expected
        )


def test_calls_do_not_remember_each_other():
    jitted = cr.jit(cr.grad(total(what_is_carried_is_given), argnums=(0, 1)))
    inputs = [data(6, seed) for seed in range(4)]
    first = [jitted(*args) for args in inputs]
    again = [jitted(*args) for args in inputs[::-1]][::-1]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a[1], b[1])


# ------------------------------------------------------------------------- loops of unknown length


@pytest.mark.parametrize("f", [newton, pair, of_arrays], ids=lambda f: f.__name__)
def test_one_piece_of_code_makes_as_many_turns_as_are_needed(f):
    one, slope, curve = cr.grad(f), cr.jit(cr.grad(f)), cr.jit(cr.grad(cr.grad(f)))
    value, push = cr.jit(f), cr.jit(lambda a: cr.jvp(f, (a,), (1.0,)))
    for a in (2.0, 1.0, 300.0, 1e-3, 7.0, 1e6):
        with np.errstate(all="ignore"):
            assert_alike(value(a), np.float64(f(a)))
            assert_alike(slope(a), one(a))
            assert_alike(push(a), cr.jvp(f, (a,), (1.0,)))
            assert_alike(curve(a), cr.grad(one)(a), rtol=1e-10)
    for jitted in (value, slope, push, curve):
        (code,) = code_of(jitted)
        assert code.lowering.numpy == []


def test_a_loop_that_makes_no_turn_first_may_make_some_later():
    slope = cr.jit(cr.grad(newton))
    assert slope(1.0) == cr.grad(newton)(1.0)
    assert slope(3.0) == pytest.approx(cr.grad(newton)(3.0), rel=1e-14)


def test_many_turns_of_a_while_loop_are_remembered():
    def f(x):
        return cr.while_loop(lambda s: s[1] < 5000, lambda s: (np.sin(s[0]) + x, s[1] + 1), (x, 0))[
            0
        ]

    slope = cr.grad(f)
    assert_alike(compiled(slope, 0.3), slope(0.3))


def test_only_the_branch_that_is_taken_is_computed():
    def f(x, xs):
        # Were both computed, it would run for ever.
        endless = lambda v: cr.while_loop(lambda s: s > 0, lambda s: s + 1, v)
        return cr.scan(lambda s, t: (cr.cond(t > 5, endless, lambda v: v + t, s), None), x, xs)[0]

    assert compiled(f, *data(3)) == pytest.approx(0.7 + np.sum(data(3)[1]))


# ------------------------------------------------------------------------------ what stands around


def test_a_branch_on_a_value_in_a_body_is_refused_as_before():
    def step(s, t):
        return (s if s > 0 else -s), t

    with pytest.raises(TraceError, match="a branch on a value inside a staged loop"):
        cr.jit(lambda x, xs: cr.scan(step, x, xs))(*data(3))


def test_a_branch_on_the_result_of_a_loop_is_a_guard():
    def f(x, xs):
        last = last_value(x, xs)
        return last * 2 if last > 1 else -last

    jitted = cr.jit(f)
    for seed, x in ((0, 0.7), (1, -3.0), (2, 5.0), (0, -0.1)):
        xs = data(8, seed)[1]
        assert_alike(jitted(x, xs), f(x, xs))


def test_a_step_that_changes_what_it_carries_is_refused_with_the_same_words():
    with pytest.raises(cr.errors.ArgumentsError, match="a carry keeps its shape and dtype"):
        cr.jit(lambda x, xs: cr.scan(lambda s, t: (np.stack([s, t]), None), x, xs))(*data(3))


def test_a_loop_whose_body_is_not_all_code_is_run_by_numpy():
    def f(x, xs):
        def step(s, t):
            return s + np.linalg.det(np.eye(3) * s + t), s

        return cr.scan(step, x, xs)

    jitted = cr.jit(f)
    assert_alike(jitted(*data(3)), f(*data(3)))
    (code,) = code_of(jitted)
    assert "scan" in [value.op.name for value, _ in code.lowering.numpy]


def test_loops_side_by_side_on_several_threads():
    from concurrent.futures import ThreadPoolExecutor

    slope = cr.jit(cr.grad(newton))
    numbers = np.linspace(0.5, 90.0, 200)
    expected = [cr.grad(newton)(a) for a in numbers]
    with ThreadPoolExecutor(4) as pool:
        np.testing.assert_allclose(list(pool.map(slope, numbers)), expected, rtol=1e-13)


# ------------------------------------------------------------------------- rules of one's own


@cr.custom_rule(partials=[lambda x, out: 1 / (1 + np.exp(-x))])
def softplus(x):
    return np.logaddexp(x, 0.0)


@cr.custom_rule(pull=lambda ct, x, out: 3 * ct)
def sin(x):  # not the sine
    return x * x


def test_a_function_with_a_rule_of_its_own_becomes_a_part_of_the_code():
    def f(x, xs):
        return cr.scan(lambda s, t: (softplus(s * t) - t, sin(s)), x, xs)

    args = data(5)
    assert_alike(compiled(f, *args), f(*args))
    slope = cr.grad(total(f), argnums=(0, 1))
    assert_alike(compiled(slope, *args), slope(*args))


def test_its_name_says_nothing_of_what_it_does():
    assert compiled(lambda x: sin(x) + np.sin(x), 2.0) == pytest.approx(4 + np.sin(2.0))

    @cr.custom_rule(partials=[5.0])
    def negative(x):
        return np.asarray([float(v) for v in np.ravel(x)]).reshape(np.shape(x)) + 1

    f = lambda x: -negative(negative(-x))
    x = np.array([1.0, -2.0])
    assert_alike(cr.jit(f)(x), f(x))
    slope = cr.grad(lambda x: np.sum(f(x) ** 2))
    assert_alike(cr.jit(slope)(x), slope(x))


def test_a_function_of_another_library_is_called_as_it_is():
    calls = []

    @cr.custom_rule(pull=lambda ct, x, out: ct * out)
    def foreign(x):
        calls.append(type(x))
        return np.frompyfunc(lambda v: 2.0 if v > 0 else 3.0, 1, 1)(x).astype(float)

    slope = cr.jit(cr.grad(lambda x: np.sum(foreign(x) * x)))
    x = np.array([1.0, -2.0])
    np.testing.assert_array_equal(slope(x), [2.0 + 2.0, 3.0 - 6.0])
    before = len(calls)
    slope(x)
    assert calls[before:] == [np.ndarray]


def test_what_a_body_writes_several_times_is_taken_from_outside_and_carried_back_once():
    def f(x):
        def step(y, _):
            for _ in range(3):
                y = x[1:] * y + x[:-1]
            return y, None

        return np.sum(cr.scan(step, x[1:], None, length=4)[0])

    x = np.linspace(0.2, 0.7, 6)
    gradient = cr.grad(f)
    forth, back = [r for r in stage(gradient, (x,)).records if r.op and r.op.name == "scan"]
    assert len(forth.attrs["body"].outside) == 2, "two slices, each written three times"
    assert back.attrs["carried"] == 3, "the cotangents of the state and of both slices"
    assert cr.check(f, x).verdict == "PASS"
    np.testing.assert_allclose(cr.jit(gradient)(x), gradient(x), rtol=1e-13)


def test_a_slice_among_zeros_is_written_without_being_added_to_them():
    def f(x):
        return np.sum(np.sin(x[2:-1]) * x[:-3]), x * 2

    def on_negative_zero(x):
        return x[1:3] * -1.0

    x = np.linspace(-1, 1, 9)
    gradient = cr.grad(lambda x: f(x)[0])
    np.testing.assert_allclose(cr.jit(gradient)(x), gradient(x), rtol=1e-13)
    _, pull = cr.vjp(on_negative_zero, np.zeros(5))
    compiled = cr.jit(lambda ct: cr.vjp(on_negative_zero, np.zeros(5))[1](ct)[0])
    for found in (pull(np.zeros(2))[0], compiled(np.zeros(2))):
        assert not np.signbit(found).any(), "0 + (−0) is 0"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("f", [
    lambda a: np.sum(a / np.sum(a, axis=0)),
    lambda a: np.sum(a[:, ::-1] / np.sum(a, axis=0)[::-1]),
    lambda a: np.sum(a[:, np.arange(len(a))] / np.sum(a, axis=0)[np.arange(len(a))]),
])  # fmt: skip
def test_quotients_that_take_no_time_beside_a_loop_are_none_of_zeros(f, rows):
    """What takes hardly any time is compiled in another way: the lanes of a vector that hold no
    element must not come into a sum there either."""
    a = np.random.default_rng(rows).uniform(1, 2, (rows, rows))

    def with_a_loop(a, start):
        return cr.scan(lambda c, _: (np.tanh(c * 0.5), None), start, None, 16)[0], f(a)

    start = np.linspace(-1, 1, 400)
    np.testing.assert_allclose(cr.jit(with_a_loop)(a, start)[1], f(a), rtol=1e-13)
