"""Loops that stay loops: one record, derivatives of every order, batches, and what they refuse."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentsError, TraceError
from chainrule.graph.tape import Tape, running

X = np.array([0.5, 1.2, 0.7])
T = np.array([0.9, 1.1])


def recurrence(x):
    state, seen = cr.scan(lambda s, t: (np.tanh(s * t) + x[0], s * 2), x[1], x)
    return state + np.sum(seen)


def unrolled(x):
    state, seen = x[1], 0.0
    for t in x:
        state, seen = np.tanh(state * t) + x[0], seen + 2 * state
    return state + seen


def newton(a):
    return cr.while_loop(lambda s: abs(s * s - a) > 1e-13, lambda s: (s + a / s) / 2, a)


def test_a_scan_has_the_value_and_every_derivative_of_the_loop_written_out():
    assert recurrence(X) == pytest.approx(unrolled(X), rel=1e-15)
    np.testing.assert_allclose(cr.grad(recurrence)(X), cr.grad(unrolled)(X), rtol=1e-13)
    np.testing.assert_allclose(cr.hessian(recurrence)(X), cr.hessian(unrolled)(X), rtol=1e-11)
    third = lambda f: cr.grad(lambda x: np.sum(cr.hessian(f)(x)))(X)
    np.testing.assert_allclose(third(recurrence), third(unrolled), rtol=1e-10)
    forward, backward = (
        cr.jacobian(cr.grad(recurrence), mode=m)(X) for m in ("forward", "reverse")
    )
    np.testing.assert_allclose(forward, backward, rtol=1e-11)
    np.testing.assert_allclose(cr.linearize(recurrence, X)[1](X), X @ cr.grad(unrolled)(X))


def test_a_scan_is_one_record():
    tape = Tape()
    with running(tape):
        cr.fori_loop(0, 500, lambda i, s: np.sin(s) * s, tape.input(1.5))
    assert [r.op.name for r in tape.records if r.op and r.op.name != "item"] == ["scan"]


def test_a_loop_of_plain_arrays_is_a_plain_loop():
    states = []

    def step(state, x):
        states.append((type(state), type(x)))
        if state > 1:  # a branch is no matter here
            return state + x, state
        return state * 2 + [1.0, 2.0][int(x)], state

    last, seen = cr.scan(step, 0.25, np.array([0.0, 1.0, 1.0]))
    assert (last, seen.tolist()) == (3.5, [0.25, 1.5, 2.5])
    assert set(states) == {(np.float64, np.float64)}
    assert cr.fori_loop(0, 3, lambda i, s: s + [1, 2, 3][i], 0) == 6


def test_a_step_that_writes_into_its_arguments_changes_nothing_outside():
    def step(state, x):
        state += x
        x[0] = 7.0
        return state, state

    start, xs = np.zeros(2), np.arange(6.0).reshape(3, 2)
    last, seen = cr.scan(step, start, xs)
    assert (start.tolist(), xs.tolist()) == ([0.0, 0.0], np.arange(6.0).reshape(3, 2).tolist())
    assert seen.tolist() == np.cumsum(xs, axis=0).tolist()
    assert last.tolist() == seen[-1].tolist()
    traced, seen_traced = cr.jvp(lambda s: cr.scan(step, s, xs), (start,), (start,))[0]
    assert (traced.tolist(), seen_traced.tolist()) == (last.tolist(), seen.tolist())


def test_reverse_walks_from_the_last_element_and_leaves_the_results_in_their_places():
    step = lambda s, t: (s * t + 1, s)
    f = lambda x: cr.scan(step, x[0], x, reverse=True)
    last, seen = f(X)
    mirrored, mirrored_seen = cr.scan(step, X[0], X[::-1])
    assert last == mirrored
    assert seen.tolist() == mirrored_seen[::-1].tolist()
    weigh = lambda last, seen: last + seen @ np.array([1.0, 2.0, 3.0])
    written = lambda x: weigh(
        ((x[0] * x[2] + 1) * x[1] + 1) * x[0] + 1,
        np.stack([(x[0] * x[2] + 1) * x[1] + 1, x[0] * x[2] + 1, x[0]]),
    )
    np.testing.assert_allclose(cr.grad(lambda x: weigh(*f(x)))(X), cr.grad(written)(X), rtol=1e-13)


def test_carries_and_sequences_are_pytrees():
    def f(p):
        step = lambda s, t: (
            {"a": s["a"] * t["u"] + s["b"][0], "b": [s["b"][0] * p["w"]]},
            (s["a"], None, t["v"][1]),
        )
        xs = {"u": X, "v": (X, 2 * X)}
        last, seen = cr.scan(step, {"a": p["w"], "b": [p["w"] ** 2]}, xs)
        assert seen[1] is None
        return last["a"] + np.sum(seen[0] * seen[2])

    h = 1e-6
    slope = (f({"w": 0.3 + h}) - f({"w": 0.3 - h})) / (2 * h)
    assert cr.grad(f)({"w": 0.3})["w"] == pytest.approx(slope, rel=1e-8)


def test_whole_numbers_and_conditions_may_be_carried():
    f = lambda x: cr.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * x[0], s[1] > 1), (0, x[1], True)
    )
    np.testing.assert_allclose(cr.grad(lambda x: f(x)[1])(X), [3 * 0.25 * 1.2, 0.125, 0.0])
    assert f(X)[0] == 3
    g = lambda x: cr.fori_loop(0, 3, lambda i, s: (s[0] + i, s[1] * x[i] + s[0]), (0, x[1]))[1]
    written = lambda x: ((x[1] * x[0]) * x[1]) * x[2] + x[2] * 0 + 1.0
    np.testing.assert_allclose(cr.grad(g)(X), cr.grad(written)(X))


def test_loops_of_no_iterations_are_the_identity():
    nothing = lambda s, t: (s * t, s)
    assert cr.scan(nothing, 2.0, np.zeros(0))[0] == 2.0
    assert cr.scan(lambda s, t: (s, np.ones(2)), 2.0, np.zeros((0, 3)))[1].shape == (0, 2)
    assert cr.grad(lambda x: cr.scan(nothing, x[0], x[:0])[0])(X).tolist() == [1.0, 0.0, 0.0]
    assert cr.grad(lambda x: cr.fori_loop(3, 3, lambda i, s: 2 * s, x))(2.0) == 1.0
    f = lambda x: cr.while_loop(lambda s: s < 0, lambda s: 2 * s, x**2)
    assert (cr.grad(f)(3.0), cr.grad(cr.grad(f))(3.0)) == (6.0, 2.0)


def test_the_shape_of_a_loop_is_known_before_it_runs():
    with pytest.raises(ArgumentsError, match=r"from float64\[\] to float64\[3\]"):
        cr.grad(lambda x: cr.scan(lambda s, t: (x, None), x[0], x)[0])(X)
    for call in (lambda x: cr.fori_loop(0, 3, lambda i, s: s * x, 1), cr.grad(
        lambda x: cr.while_loop(lambda s: s < 3, lambda s: s * 2.0, 1) * x
    )):  # fmt: skip
        with pytest.raises(ArgumentsError, match=r"from int64.* to float64.*keeps its shape and"):
            call(2.0)
    with pytest.raises(ArgumentsError, match="differ in length"):
        cr.scan(lambda s, t: (s, None), 0.0, (np.ones(2), np.ones(3)))
    with pytest.raises(ArgumentsError, match="give length="):
        cr.scan(lambda s, t: (s, None), 0.0)
    with pytest.raises(ArgumentsError, match="is a scalar"):
        cr.scan(lambda s, t: (s, None), 0.0, 1.0)


def test_while_runs_until_its_condition_is_false_and_is_differentiated_backward():
    a = np.array([2.0, 3.0, 50.0])
    np.testing.assert_allclose(cr.grad(newton)(2.0), 0.5 / np.sqrt(2.0))
    np.testing.assert_allclose(cr.jvp(newton, (2.0,), (3.0,))[1], 1.5 / np.sqrt(2.0))
    np.testing.assert_allclose(cr.grad(cr.grad(newton))(2.0), -0.25 * 2**-1.5)
    np.testing.assert_allclose(cr.vmap(newton)(a), np.sqrt(a))
    np.testing.assert_allclose(cr.vmap(cr.grad(newton))(a), 0.5 / np.sqrt(a))
    np.testing.assert_allclose(cr.vmap(cr.grad(cr.grad(newton)))(a), -0.25 * a**-1.5)
    np.testing.assert_allclose(cr.grad(lambda a: np.sum(cr.vmap(newton)(a)))(a), 0.5 / np.sqrt(a))
    np.testing.assert_allclose(cr.jacobian(cr.vmap(newton))(a), np.diag(0.5 / np.sqrt(a)))
    both = np.stack([a, 2 * a])
    np.testing.assert_allclose(cr.vmap(cr.vmap(newton))(both), np.sqrt(both))


def test_loops_lie_in_loops():
    f = lambda a: cr.scan(lambda s, t: (s + newton(a * t), None), 0.0, np.array([1.0, 2.0]))[0]
    assert cr.grad(f)(2.0) == pytest.approx(0.5 / np.sqrt(2) * (1 + np.sqrt(2)))

    def inner(s, a):
        return cr.scan(lambda u, t: (u * t + a, None), s, np.array([1.5, 2.0]))[0]

    g = lambda a: cr.while_loop(lambda s: s < 10.0, lambda s: inner(s, a), a)
    # s ← 3 s + 3 a from a: a, 6 a, 21 a
    assert (g(1.1), cr.grad(g)(1.1)) == (pytest.approx(23.1), pytest.approx(21.0))


def test_cond_takes_the_branch_of_each_value():
    f = lambda x: cr.cond(x > 1, lambda v: v**2, lambda v: -v, x)
    assert (cr.grad(f)(2.0), cr.grad(f)(0.5)) == (4.0, -1.0)
    points = np.array([2.0, 0.5])
    assert cr.vmap(cr.grad(f))(points).tolist() == [4.0, -1.0]
    assert cr.grad(lambda x: np.sum(cr.vmap(f)(x)))(points).tolist() == [4.0, -1.0]
    g = lambda x: cr.scan(lambda s, t: (s + f(t * x), None), 0.0, np.array([0.5, 2.0]))[0]
    assert (cr.grad(g)(1.0), cr.grad(cr.grad(g))(1.0)) == (7.5, 8.0)
    h = lambda a: cr.while_loop(
        lambda s: s < 10.0, lambda s: cr.cond(s > 5, lambda v: v * a * 3, lambda v: v + a, s), a
    )
    assert cr.vmap(cr.grad(h))(np.array([1.0, 2.0])).tolist() == [36.0, 36.0]
    assert cr.cond(np.bool_(True), lambda: 1.0, lambda: 2.0) == 1.0


def test_derivatives_and_batches_may_be_taken_inside_a_loop():
    descend = lambda a: cr.scan(
        lambda w, t: (w - 0.1 * cr.grad(lambda w: (w * t - a) ** 2)(w), None), 0.0, np.ones(4)
    )[0]
    assert cr.grad(descend)(2.0) == pytest.approx(1 - 0.8**4)
    waves = lambda a: cr.scan(
        lambda s, t: (s + np.sum(cr.vmap(lambda v: np.sin(v * a * t))(X)), None), 0.0, T
    )[0]
    expected = sum(np.sum(X * t * np.cos(0.3 * X * t)) for t in T)
    assert cr.grad(waves)(0.3) == pytest.approx(expected)
    curved = lambda a: cr.scan(
        lambda s, t: (s + np.sum(cr.hessian(lambda v: np.sum(v**3) * a * t)(X)), None), 0.0, T
    )[0]
    assert cr.grad(curved)(0.3) == pytest.approx(6 * np.sum(X) * np.sum(T))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_loop_stays_in_its_dtype(dtype):
    x = X.astype(dtype)
    f = lambda x: cr.fori_loop(0, 3, lambda i, s: s * x[i] + np.sin(s), x[0]) + recurrence(x)
    value, gradient = cr.value_and_grad(f)(x)
    found = [
        value, gradient, cr.jvp(f, (x,), (x,))[1], cr.hessian(f)(x), cr.vmap(f)(np.stack([x, x])),
        cr.vmap(cr.grad(f))(np.stack([x, x])), cr.grad(cr.checkpoint(f))(x), *cr.scan(
            lambda s, t: (s * t, s), x[0], x
        ),
        cr.grad(lambda x: cr.while_loop(lambda s: s < 3, lambda s: s * dtype(2), x[1]))(x),
    ]  # fmt: skip
    assert {v.dtype for v in found} == {np.dtype(dtype)}
    np.testing.assert_allclose(gradient, cr.grad(f)(X), rtol=20 * np.finfo(dtype).eps)


# --------------------------------------------------------------------------- what a loop cannot do


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (lambda s, t, x: s if s > 0 else -s, "np.where"),
        (lambda s, t, x: s if not t else -s, "iteration would take the branch of the first"),
        (lambda s, t, x: s + np.sum(x[x > t]), "how many elements"),
        (lambda s, t, x: s + float(t), "float()"),
        (lambda s, t, x: s + int(t), "int()"),
        (lambda s, t, x: s + sum(x[0] for _ in range(t.astype(int))), "range"),
        (lambda s, t, x: s + np.ones(3)[t.astype(int)], "np.take"),
        (lambda s, t, x: s + np.sum(x[: t.astype(int)]), "whole number"),
    ],
)
def test_what_depends_on_a_value_is_refused_with_a_way_out(step, says):
    f = lambda x: cr.scan(lambda s, t: (step(s, t, x), None), x[0], x)[0]
    with pytest.raises(TraceError) as caught:
        cr.grad(f)(X)
    assert says in str(caught.value)
    assert "test_loops.py:" in str(caught.value)


def test_a_table_is_read_by_the_number_of_the_iteration():
    table = np.array([3.0, 5.0, 7.0])
    f = lambda x: cr.fori_loop(0, 3, lambda i, s: s + np.take(table, i) * x[i], 0.0)
    assert cr.grad(f)(X).tolist() == table.tolist()
    assert f(X) == pytest.approx(table @ X)


def test_a_condition_of_a_loop_chooses_for_a_whole_batch_inside_it():
    branch = lambda x, p: cr.cond(p > 1.0, lambda y: np.sin(y) * p, lambda y: -y, x)
    f = lambda x: cr.scan(
        lambda s, t: (s + np.sum(cr.vmap(lambda v: branch(v, t))(x) * s), None), 1.0, T
    )[0]
    written = lambda x: (1 - np.sum(x)) * (1 + np.sum(np.sin(x) * 1.1))
    assert f(X) == pytest.approx(written(X))
    np.testing.assert_allclose(cr.grad(f)(X), cr.grad(written)(X), rtol=1e-12)
    matrix = lambda x: cr.scan(
        lambda s, t: (s + np.sum(cr.jacobian(lambda v: branch(v, t))(x)), None), 0.0, T
    )[0]
    np.testing.assert_allclose(cr.grad(matrix)(X), -1.1 * np.sin(X), rtol=1e-12)


def test_a_loop_of_unknown_length_of_a_batch_may_stand_inside_a_loop():
    f = lambda a: cr.scan(lambda s, t: (s + np.sum(cr.vmap(newton)(a * t)), None), 0.0, T)[0]
    g = lambda a: np.sum(np.sqrt(np.outer(T, a)))
    a = np.array([2.0, 3.0])
    assert f(a) == pytest.approx(g(a), rel=1e-12)
    np.testing.assert_allclose(cr.grad(f)(a), cr.grad(g)(a), rtol=1e-6)


def test_a_loop_over_plain_numbers_inside_a_recorded_one_makes_all_its_turns():
    def power(x):
        return cr.fori_loop(0, 4, lambda i, v: v * x, 1.0)

    def f(x):  # the pull of plain numbers replays a loop, although nothing of it is recorded
        step = lambda s, t: (s + t * cr.vjp(power, 2.0)[1](1.0)[0], None)
        return cr.scan(step, x, T)[0]

    assert cr.grad(lambda x: f(x) ** 2)(1.0) == pytest.approx(2 * (1 + 32 * np.sum(T)))
    assert cr.linearize(f, 1.0)[0] == pytest.approx(1 + 32 * np.sum(T))
