"""vmap: one function of many values, composable with every other transform in any order."""

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentsError, TraceError

X = np.arange(6.0).reshape(2, 3) + 0.5
V = np.array([0.5, 0.8, -0.3])
W = np.array([0.3, -0.7, 0.5])
T = np.array([0.9, 1.1])


# ------------------------------------------------------------------------------ where the batch is


def test_in_axes_say_which_axis_of_each_argument_is_the_batch():
    f = lambda x, y: x @ y
    np.testing.assert_allclose(cr.vmap(f)(X, X), np.sum(X * X, axis=1))
    np.testing.assert_allclose(cr.vmap(f, in_axes=(0, None))(X, W), X @ W)
    np.testing.assert_allclose(cr.vmap(f, in_axes=(1, None))(X, T), X.T @ T)
    np.testing.assert_allclose(cr.vmap(f, in_axes=(-1, 0))(X, X.T), np.sum(X * X, axis=0))
    np.testing.assert_allclose(cr.vmap(lambda x, *, y: x * y)(X, y=T), X * T[:, None])


def test_in_axes_may_be_a_prefix_of_a_pytree():
    f = lambda p, x: p["a"] * np.sum(x) + p["b"]
    params = {"a": np.array([1.0, 2.0, 3.0]), "b": 2.0}
    found = cr.vmap(f, in_axes=({"a": 0, "b": None}, 1))(params, X)
    np.testing.assert_allclose(found, params["a"] * np.sum(X, axis=0) + 2)
    found = cr.vmap(f, in_axes=(None, 0))({"a": 1.0, "b": 2.0}, X)
    np.testing.assert_allclose(found, np.sum(X, axis=1) + 2)


def test_out_axes_say_where_the_batch_stands_in_the_results():
    outer = np.stack([np.outer(x, x) for x in X])
    found = cr.vmap(lambda x: np.outer(x, x), out_axes=-1)(X)
    np.testing.assert_allclose(found, np.moveaxis(outer, 0, -1))
    pair = cr.vmap(lambda x: {"x": x, "n": (x.sum(), 3.0, None)}, out_axes={"x": 1, "n": 0})(X)
    np.testing.assert_allclose(pair["x"], X.T)
    np.testing.assert_allclose(pair["n"][0], X.sum(axis=1))
    assert pair["n"][1].tolist() == [3.0, 3.0]
    assert pair["n"][2] is None
    assert cr.vmap(lambda x: (x, 3.0), out_axes=(0, None))(X)[1] == 3.0


def test_batches_lie_in_batches():
    table = cr.vmap(cr.vmap(lambda a, b: a * b, in_axes=(0, None)), in_axes=(None, 0))(T, W)
    np.testing.assert_allclose(table, np.outer(W, T))


def test_a_batch_of_none_has_results_of_the_right_shape():
    none = np.zeros((0, 3))
    assert cr.vmap(lambda x: np.outer(x, x))(none).shape == (0, 3, 3)
    assert cr.vmap(cr.grad(lambda x: np.sum(x * x)))(none).shape == (0, 3)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: cr.vmap(lambda a, b: a * b)(T, W), "argument 0: 2, argument 1: 3"),
        (lambda: cr.vmap(lambda a: a, in_axes=None)(T), "in_axes is None throughout"),
        (lambda: cr.vmap(lambda a: a)(1.0), "has shape (), so it has no axis 0"),
        (lambda: cr.vmap(lambda a: a, in_axes=5)(T), "no axis 5"),
        (lambda: cr.vmap(lambda a: a, in_axes=(0, 0))(T), "in_axes has 2 entries"),
        (lambda: cr.vmap(lambda a: a, out_axes=None)(T), "out_axes is None for a result"),
        (lambda: cr.vmap(lambda p: p["a"], in_axes=({"b": 0, "c": 0},))({"a": T}), "no prefix"),
        (lambda: cr.vmap(lambda p: p["a"])({"a": T, "b": [W]}), "argument 0['b'][0]: 3"),
    ],
)
def test_batches_that_do_not_fit_are_named(call, says):
    with pytest.raises(ArgumentsError) as caught:
        call()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: x[0] if x[0] > 1 else x[1], "np.where"),
        (lambda x: np.sum(x[x > 1]), "np.where(mask, x, 0)"),
        (lambda x: [1.0, 2.0][np.argmax(x)], "np.take"),
        (lambda x: np.ones(3)[np.argmax(x)], "np.take(table, i, axis=0)"),
        (lambda x: sum(range(np.argmax(x))), "range(n)"),
        (lambda x: float(x[0]), "np.sin, not math.sin"),
        (lambda x: int(x[0]), "np.trunc"),
        (lambda x: np.zeros(3).__setitem__(0, x[0]), "np.zeros_like(x)"),
    ],
)
def test_what_would_differ_from_value_to_value_is_refused_with_a_way_out(f, says):
    with pytest.raises(TraceError) as caught:
        cr.vmap(f)(X)
    assert says in str(caught.value)
    assert "test_vmap.py:" in str(caught.value)


def test_a_plain_table_is_read_at_places_of_a_batch():
    table, places = np.arange(5.0) ** 2, np.array([1, 4, 0])
    assert cr.vmap(lambda i: np.take(table, i))(places).tolist() == [1.0, 16.0, 0.0]
    assert cr.vmap(lambda i: np.take(np.eye(5), i, axis=1))(places).tolist() == np.eye(5)[
        places
    ].tolist()  # fmt: skip
    assert cr.vmap(lambda x: x[np.argsort(x)])(-X).tolist() == np.sort(-X).tolist()
    assert cr.vmap(lambda x: x[np.argmax(x)])(-X).tolist() == np.max(-X, axis=1).tolist()


def test_arrays_are_made_inside_of_a_batch():
    f = lambda x: np.array([x[0], 1.0, x[1] * 2]) @ np.stack([x, np.ones(3), np.zeros_like(x)])
    np.testing.assert_allclose(cr.vmap(f)(X), [f(x) for x in X])


def test_a_batch_keeps_its_dtype_whatever_is_done_with_it():
    single = X.astype(np.float32)
    f = lambda x: np.mean(x * 2.0 + np.zeros_like(x)) / 3
    for g in (f, cr.grad(f), cr.jacobian(lambda x: x / 2), cr.hessian(f), cr.checkpoint(f)):
        assert cr.vmap(g)(single).dtype == np.float32
    assert cr.vmap(lambda i: i * 2)(np.arange(3)).dtype == np.int64
    assert cr.vmap(lambda x: x > 2)(X).dtype == np.bool_


def test_gradients_of_each_example_of_a_batch():
    loss = lambda w, x: np.sum(np.tanh(w @ x))
    weights = np.linspace(-1, 1, 6).reshape(2, 3)
    found = cr.vmap(cr.grad(loss), in_axes=(None, 0))(weights, X)
    np.testing.assert_allclose(found, [cr.grad(loss)(weights, x) for x in X])
    (value, aux), gradient = cr.vmap(
        cr.value_and_grad(lambda x: (np.sum(x * x), {"max": x.max()}), has_aux=True)
    )(X)
    np.testing.assert_allclose(value, np.sum(X * X, axis=1))
    np.testing.assert_allclose(aux["max"], X.max(axis=1))
    np.testing.assert_allclose(gradient, 2 * X)


# ------------------------------------------------------ random stacks of transforms over functions
#
# Each entry is a transform of f: R³ → R and the same thing written without it.


def two_terms(f):
    return lambda x: f(x * T[0]) * T[0] + f(x * T[1]) * T[1]


def scanned(f):
    return lambda x: cr.scan(lambda s, t: (np.tanh(s + f(x * t)), s * t), 0.1, T)[0]


def scan_written(f):
    return lambda x: np.tanh(np.tanh(0.1 + f(x * T[0])) + f(x * T[1]))


def scanned_back(f):
    def g(x):
        last, seen = cr.scan(lambda s, t: (s * 0.5 + W * f(s * t), f(s)), x, T, reverse=True)
        return np.sum(last) + np.sum(seen)

    return g


def scan_back_written(f):
    def g(x):
        s, total = x, 0.0
        for t in T[::-1]:
            total, s = total + f(s), s * 0.5 + W * f(s * t)
        return np.sum(s) + total

    return g


def while_loop(f):
    step = lambda s, x: (s[0] + 1, np.sin(s[1]) + f(x) * 0.5)
    return lambda x: cr.while_loop(lambda s: s[0] < 2, lambda s: step(s, x), (0, x[0]))[1]


def filled(f):
    def g(x):
        a = np.zeros_like(x)
        a[1:] = x[:-1] * f(x)
        a[0] += x[2]
        return f(a)

    return g


def along(f):
    return lambda x: cr.jvp(f, (x,), (W,))[1]


def pulled(f):
    return lambda x: np.sum(cr.vjp(f, x)[1](1.0)[0] * W)


flipped = cr.custom_rule(lambda u: np.exp(-u), partials=[lambda u, out: -out])
waved = cr.custom_rule(
    lambda u, v: u * np.sin(v),
    pull=lambda ct, u, v, out: (np.sum(ct * np.sin(v)), ct * u * np.cos(v)),
)

TRANSFORMS = {
    "grad": (lambda f: lambda x: np.sum(cr.grad(f)(x) * W), along),
    "jvp": (along, pulled),
    "vmap": (lambda f: lambda x: np.sum(cr.vmap(lambda t: f(x * t))(T) * T), two_terms),
    "vmap of columns": (
        lambda f: lambda x: np.sum(cr.vmap(f, in_axes=1)(np.stack([x, x * 1.1, x * x], axis=1))),
        lambda f: lambda x: f(x) + f(x * 1.1) + f(x * x),
    ),
    "scan": (scanned, scan_written),
    "scan in reverse": (scanned_back, scan_back_written),
    "fori_loop": (
        lambda f: lambda x: cr.fori_loop(0, 2, lambda i, s: s / 2 + np.take(x, i) * f(x), x[0]),
        lambda f: lambda x: (x[0] / 2 + x[0] * f(x)) / 2 + x[1] * f(x),
    ),
    "while_loop": (while_loop, lambda f: lambda x: np.sin(np.sin(x[0]) + f(x) / 2) + f(x) / 2),
    "cond": (
        lambda f: lambda x: cr.cond(x[0] > -99.0, lambda y: f(y) * y[1], lambda y: y[0], x),
        lambda f: lambda x: f(x) * x[1],
    ),
    "checkpoint": (cr.checkpoint, lambda f: f),
    "checkpoint over outside": (
        lambda f: lambda x: cr.checkpoint(lambda y: f(y * x))(x) * x[0],
        lambda f: lambda x: f(x * x) * x[0],
    ),
    "jacobian": (
        lambda f: lambda x: np.sum(cr.jacobian(lambda y: y * f(y))(x) @ W),
        lambda f: lambda x: np.sum(cr.jvp(lambda y: y * f(y), (x,), (W,))[1]),
    ),
    "jacobian forward": (lambda f: lambda x: cr.jacobian(f, mode="forward")(x) @ W, pulled),
    "hvp": (
        lambda f: lambda x: np.sum(cr.hvp(f, (x,), (W,))) / 10,
        lambda f: lambda x: np.sum(cr.vjp(along(f), x)[1](1.0)[0]) / 10,
    ),
    "linearize": (lambda f: lambda x: cr.linearize(f, x)[1](W), pulled),
    "rule": (lambda f: lambda x: flipped(f(x)), lambda f: lambda x: np.exp(-f(x))),
    "rule of two": (
        lambda f: lambda x: np.sum(waved(f(x), x)),
        lambda f: lambda x: np.sum(f(x) * np.sin(x)),
    ),
    "assignment": (
        filled, lambda f: lambda x: f(np.stack([x[2], x[0] * f(x), x[1] * f(x)])),
    ),
}  # fmt: skip
COSTLY = {"grad", "jvp", "jacobian", "jacobian forward", "hvp", "linearize"}
FUNCTIONS = [
    lambda x: np.sum(np.sin(x) * x[0]),
    lambda x: np.prod(np.tanh(x) + 1.5) * 0.3,
    lambda x: np.log(np.sum(np.exp(x))),
    lambda x: x @ np.array([[1.0, 0.2, 0.1], [0.3, 0.5, 0.0], [0.1, 0.1, 0.2]]) @ x * 0.2,
    lambda x: np.linalg.norm(np.cumsum(x) + 0.5),
]


def stack_of(seed):
    rng = np.random.default_rng(seed)
    names = []
    for _ in range(int(rng.integers(2, 6))):
        allowed = [n for n in TRANSFORMS if sum(m in COSTLY for m in names) < 2 or n not in COSTLY]
        names.append(allowed[int(rng.integers(len(allowed)))])
    f = written = FUNCTIONS[seed % len(FUNCTIONS)]
    for name in names:
        f, written = TRANSFORMS[name][0](f), TRANSFORMS[name][1](written)
    return f, written, names


@pytest.mark.parametrize("block", range(4))
def test_any_stack_of_transforms_is_what_it_stands_for(block):
    for seed in range(15 * block, 15 * (block + 1)):
        f, written, names = stack_of(seed)
        value, gradient = cr.value_and_grad(f)(V)
        expected, slopes = cr.value_and_grad(written)(V)
        h = 1e-5 * np.eye(3)
        differences = [(written(V + e) - written(V - e)) / 2e-5 for e in h]
        note = f"{seed}: {names}"
        np.testing.assert_allclose([value, f(V)], expected, rtol=1e-9, atol=1e-11, err_msg=note)
        np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-9, err_msg=note)
        np.testing.assert_allclose(slopes, differences, rtol=1e-4, atol=1e-4, err_msg=note)
        batch = cr.vmap(cr.grad(f))(np.stack([V, 0.9 * V]))
        np.testing.assert_allclose(batch[0], slopes, rtol=1e-7, atol=1e-9, err_msg=note)
        np.testing.assert_allclose(batch[1], cr.grad(f)(0.9 * V), rtol=1e-7, atol=1e-9)


def test_threads_that_trace_at_the_same_time_do_not_meet():
    original = np.array

    def work(k):
        f = lambda x: (
            np.sum(np.array([x[0] * k, x[1]]) ** 2)
            + cr.scan(lambda s, t: (s * t + x[2], None), 0.0, x)[0]
        )
        return cr.grad(f)(V).tolist(), cr.vmap(cr.hessian(f))(X).tolist()

    expected = [work(k) for k in range(4)]
    found = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda k=k: found[k].extend(work(k) for _ in range(20)))
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[result] * 20 for result in expected]
    assert np.array is original
