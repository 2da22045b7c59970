"""Whole matrices of derivatives: both modes, any structure of arguments and results, nested."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.chain import modes
from chainrule.errors import ArgumentsError, NotDifferentiableError
from chainrule.transforms import columns as carried_columns
from chainrule.transforms import reach

X = np.array([0.5, 1.2, -0.7])
MODES = ("forward", "reverse", None)


def columns(f, x, h=1e-5):
    steps = h * np.eye(x.size).reshape(x.size, *x.shape)
    found = [(f(x + s) - f(x - s)) / (2 * h) for s in steps]
    return np.moveaxis(found, 0, -1).reshape(*np.shape(f(x)), *x.shape)


FUNCTIONS = [
    lambda x: np.sin(x) * x[0],
    lambda x: np.sum(x**3),
    lambda x: np.outer(x, np.exp(x)),
    lambda x: x[:2] * np.stack([x[2], x[0]]),
    lambda x: np.linalg.norm(x) * np.ones((2, 1, 2), x.dtype) * x[1],
    lambda x: np.where(x > 0, np.sqrt(np.abs(x)), 0.0),
    lambda x: cr.scan(lambda s, t: (s * t, s + t), x[0], x)[1],
    lambda x: cr.vmap(lambda t: np.sum(np.tanh(x * t)))(np.arange(4, dtype=x.dtype)),
    lambda x: cr.checkpoint(np.cumprod)(x),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("f", FUNCTIONS)
def test_a_jacobian_has_every_derivative_in_either_mode(f, mode):
    found = cr.jacobian(f, mode=mode)(X)
    np.testing.assert_allclose(found, columns(f, X), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(
        cr.vmap(cr.jacobian(f, mode=mode))(np.stack([2 * X, X]))[1], found, rtol=1e-12, atol=1e-14
    )
    single = cr.jacobian(f, mode=mode)(X.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_jacobians_of_jacobians_agree_in_all_modes(outer, inner):
    f = lambda x: np.stack([np.prod(x), np.sum(np.sin(x) * x[0])])
    found = cr.jacobian(cr.jacobian(f, mode=inner), mode=outer)(X)
    np.testing.assert_allclose(found, columns(cr.jacobian(f), X), rtol=1e-7, atol=1e-8)
    rows = [cr.hessian(lambda x, i=i: f(x)[i])(X) for i in range(2)]
    np.testing.assert_allclose(found, rows, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("f", "walked"), [(lambda x: x[:2] * x[1], "reverse"), (
    lambda x: np.outer(x, x), "forward"
)])  # fmt: skip
def test_the_mode_with_fewer_passes_is_chosen(monkeypatch, f, walked):
    used = []
    from chainrule.transforms import derivatives

    for name in ("forward", "reverse"):
        walk = getattr(modes, name)
        monkeypatch.setattr(
            derivatives,
            name,
            lambda *args, n=name, walk=walk, **options: (used.append(n), walk(*args, **options))[1],
        )
    cr.jacobian(f)(X)
    assert used == [walked]


def test_several_arguments_and_pytrees():
    by_two = cr.jacobian(np.outer, argnums=(0, 1))(X[:2], X)
    assert [j.shape for j in by_two] == [(2, 3, 2), (2, 3, 3)]
    np.testing.assert_allclose(by_two[0], columns(lambda a: np.outer(a, X), X[:2]), atol=1e-9)
    for mode in MODES:
        found = cr.jacobian(lambda p: {"o": p["a"] * p["b"][0]}, mode=mode)(
            {"a": X, "b": (np.float64(3.0),)}
        )
        np.testing.assert_allclose(found["o"]["a"], 3 * np.eye(3))
        np.testing.assert_allclose(found["o"]["b"][0], X)
    curvature = cr.hessian(lambda p: p["a"] * p["b"] ** 2)({"a": 2.0, "b": 3.0})
    assert curvature == {"a": {"a": 0.0, "b": 6.0}, "b": {"a": 6.0, "b": 4.0}}
    blocks = cr.hessian(lambda a, b: np.sum(np.outer(a, b) ** 2), argnums=(0, 1))(X[:2], X)
    assert [[b.shape for b in row] for row in blocks] == [[(2, 2), (2, 3)], [(3, 2), (3, 3)]]
    np.testing.assert_allclose(blocks[0][1], blocks[1][0].T)


def test_auxiliary_results_are_passed_through():
    matrix, aux = cr.jacobian(lambda x: (2 * x, {"x": x}), has_aux=True)(X)
    assert (matrix.tolist(), aux["x"].tolist()) == ((2 * np.eye(3)).tolist(), X.tolist())
    curvature, aux = cr.hessian(lambda x: (np.sum(x**3), x[0]), has_aux=True)(X)
    np.testing.assert_allclose(curvature, np.diag(6 * X))
    assert aux == X[0]


@pytest.mark.parametrize("mode", MODES)
def test_what_does_not_depend_on_the_argument_has_a_jacobian_of_zeros(mode):
    assert cr.jacobian(lambda x: np.ones(2), mode=mode)(X).tolist() == np.zeros((2, 3)).tolist()
    assert cr.jacobian(lambda x: 3.0, mode=mode)(X).tolist() == [0.0] * 3
    assert cr.jacobian(lambda x: np.floor(x), mode=mode)(X).tolist() == np.zeros((3, 3)).tolist()
    assert cr.jacobian(lambda x: 2 * x, mode=mode)(np.ones(0)).shape == (0, 0)
    assert cr.jacobian(lambda x: np.ones(0) * x[0], mode=mode)(X).shape == (0, 3)
    assert cr.jacobian(lambda x: x * np.ones(3), mode=mode)(2.0).tolist() == [1.0] * 3


def test_a_hessian_times_a_vector_is_the_hessian_times_the_vector():
    f = lambda x: np.sum(np.sin(x) * np.prod(x)) + np.log(np.sum(np.exp(x)))
    v = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(cr.hvp(f, (X,), (v,)), cr.hessian(f)(X) @ v, rtol=1e-12)
    np.testing.assert_allclose(cr.hessian(f)(X), columns(cr.grad(f), X), rtol=1e-7, atol=1e-8)
    assert cr.hvp(lambda a, b: a * b**2, (2.0, 3.0), (1.0, 0.0)) == (0.0, 6.0)
    tree, along = {"a": 2.0, "b": 3.0}, {"a": 1.0, "b": 0.0}
    assert cr.hvp(lambda p: p["a"] * p["b"] ** 2, (tree,), (along,)) == {"a": 0.0, "b": 6.0}
    each = cr.vmap(lambda t: cr.hvp(f, (X,), (t,)))(np.eye(3))
    np.testing.assert_allclose(each, cr.hessian(f)(X), rtol=1e-12)


def test_linearize_runs_the_function_once():
    runs = []

    def f(x):
        runs.append(1)
        return np.sin(x) * x[0]

    value, push = cr.linearize(f, X)
    np.testing.assert_allclose(value, np.sin(X) * X[0])
    rows = [push(direction) for direction in np.eye(3)]
    np.testing.assert_allclose(
        np.transpose(rows), columns(lambda x: np.sin(x) * x[0], X), atol=1e-9
    )
    np.testing.assert_allclose(cr.vmap(push)(np.eye(3)), rows)
    assert len(runs) == 1


def test_what_cannot_have_a_jacobian_is_refused():
    with pytest.raises(ArgumentsError, match="'forward' or 'reverse', not 'x'"):
        cr.jacobian(np.sin, mode="x")
    with pytest.raises(NotDifferentiableError, match="dtype int64"):
        cr.jacobian(lambda x: x * 2)(np.arange(3))
    with pytest.raises(NotDifferentiableError, match="dtype int64"):
        cr.hessian(lambda x: x * 2)(np.arange(3))


def joints(x):
    """Turns that follow each other, in fingers that do not know of one another."""
    angles = np.zeros((3, 2), like=x)
    angles[[0, 1, 2, 0], [0, 0, 1, 1]] = x
    turns = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], -1)
    turns = turns.reshape(3, 2, 2, 2)
    ends = turns[:, 0] @ turns[:, 1]
    return np.einsum("vb,bij,vj->vi", np.arange(15.0).reshape(5, 3), ends, np.ones((5, 2)))


SPARSE = [
    np.sin,
    lambda x: x[1:] * x[:-1],
    lambda x: np.sum(x * x[0]),
    lambda x: np.prod(x[:2]) * x[::-1],
    lambda x: np.stack([x[0], x[1] * x[2], 3.0 * x[3]]),
    lambda x: np.concatenate([x[2:] * 2, x[:1], np.ones(2)]),
    lambda x: np.cumsum(x) - np.max(x),
    lambda x: np.where(x > 0.3, np.sqrt(np.abs(x)), x[0]),
    lambda x: np.pad(x, 1)[1:] * np.pad(x, 1)[:-1],
    lambda x: np.full(3, 2.0),
    lambda x: x[[0, 0, 2]] * x[1],
    lambda x: np.diag(x) @ np.outer(x, np.arange(3.0)),
    lambda x: np.reshape(np.outer(x[:2], x[2:]), (4, 1)) + x[3],
    lambda x: cr.scan(lambda s, t: (s * t, s + t), x[0], x)[1] * x[1],
    joints,
]


@pytest.mark.parametrize("f", SPARSE)
def test_a_compiled_jacobian_in_forward_mode_is_that_of_the_interpreter(f):
    x = np.array([0.7, 0.4, -0.2, 1.1])
    forward = cr.jacobian(f, mode="forward")
    expected = cr.jacobian(f, mode="reverse")(x)
    found = cr.jit(forward)(x)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)
    several = np.stack([x, x[::-1], 2 * x])
    found = cr.jit(cr.vmap(forward))(several)
    np.testing.assert_allclose(found, [forward(v) for v in several], rtol=1e-13, atol=1e-15)
    twice = cr.jit(cr.jacobian(forward, mode="forward"))(x)
    np.testing.assert_allclose(twice, cr.jacobian(forward)(x), rtol=1e-12, atol=1e-14)


def carried_stacks(monkeypatch):
    """How many tangents are carried together across each edge from here on."""
    sizes = []

    def pushed(op, position, args, out, attrs, carried):
        sizes.append(carried[0].stack.shape[0])
        return push(op, position, args, out, attrs, carried)

    push = carried_columns.push
    monkeypatch.setattr(carried_columns, "push", pushed)
    return sizes


@pytest.mark.parametrize(("f", "most"), [
    (np.sin, 1),
    (lambda x: x[1:] * x[:-1], 2),
    (lambda x: np.exp(x[2:]) - x[1:-1] * x[:-2], 4),
    (lambda x: np.sin(x[:4]) * x[4:8], 2),
    (lambda x: np.stack([x[0] * x[1], x[2] * x[3], np.sin(x[4])]), 2),
    (lambda x: x * x[0], 2),
    (lambda x: np.sum(np.sin(x)), 20),
])  # fmt: skip
def test_columns_that_do_not_meet_are_carried_as_one(monkeypatch, f, most):
    sizes = carried_stacks(monkeypatch)
    x = np.linspace(0.1, 2.0, 20)
    g = lambda x: np.tanh(f(x))
    found = cr.jit(cr.jacobian(g, mode="forward"))(x)
    np.testing.assert_allclose(found, cr.jacobian(g, mode="reverse")(x), rtol=1e-13, atol=1e-15)
    assert max(sizes) == most


def test_rows_of_a_contraction_are_multiplied_only_where_they_are_not_zero(monkeypatch):
    sizes = []

    def bound(op, args, attrs):
        sizes.append(args[0].shape)
        return bind(op, args, attrs)

    bind = reach.bind
    monkeypatch.setattr(reach, "bind", bound)
    weights = np.arange(60.0).reshape(5, 12) + 1
    f = lambda x: weights @ np.sin(np.repeat(x, 2))
    x = np.linspace(-1.0, 1.0, 6)
    found = cr.jit(cr.jacobian(f, mode="forward"))(x)
    np.testing.assert_allclose(found, cr.jacobian(f, mode="reverse")(x), rtol=1e-13)
    assert sizes[-1] == (6, 2)  # each row at its two places, of twelve


def test_a_compiled_jacobian_has_zeros_beside_an_infinite_slope():
    forward = cr.jacobian(np.sqrt, mode="forward")
    x = np.array([0.0, 4.0, 1.0])
    np.testing.assert_array_equal(cr.jit(forward)(x), forward(x))
    np.testing.assert_array_equal(forward(x), np.diag([np.inf, 0.25, 0.5]))
