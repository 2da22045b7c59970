"""A computation that comes again is walked by a function written for it, with the same results."""

import numpy as np
import pytest
import test_compiled_fuzz as fuzz

import chainrule as cr
from chainrule.chain import modes
from chainrule.tree import leaves

RUNS = 6  # the walk is written after the third
X = np.linspace(0.2, 1.3, 6).reshape(2, 3)
Y = np.array([0.5, -1.5, 2.0])


def same(found, expected):
    """Whether two gradients agree in every bit, and in type, shape and dtype."""
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        assert type(a[1]) is type(b[1])
        assert np.asarray(a[1]).dtype == np.asarray(b[1]).dtype
        np.testing.assert_array_equal(a[1], b[1])


def network(params, x):
    w, b, v = params
    h = np.tanh(x @ w + b)
    out = h @ v - np.log(np.sum(np.exp(h), axis=1)).reshape(-1, 1)
    return -np.mean(out * out + 3.0 * out)


PROGRAMS = {
    "a network": (network, ((np.ones((3, 4)) / 7, np.arange(4.0) / 5, np.eye(4)[:, :2]), X)),
    "an array used several times": (lambda x: np.sum(x * x + np.sin(x) / x - x), (X,)),
    "a broadcast": (lambda x: np.sum((Y * x - x) * np.exp(Y + x)), (X[:, :1],)),
    "a scalar": (lambda x: np.exp(x) * 2 / (x + 1), (0.3,)),
    "a scalar among arrays": (lambda x: np.sum(x * X) + x, (0.3,)),
    "single precision": (lambda x: np.sum(np.tanh(x) * 2.0), (X.astype(np.float32),)),
    "mixed precision": (lambda x: np.sum(np.tanh(x) * Y), (X.astype(np.float32),)),
    "no elements": (lambda x: np.sum(np.tanh(x) * 2.0), (np.zeros((0, 3)),)),
    "one argument out of reach": (lambda p: np.sum(np.exp(p[0])), ((X, Y),)),
    "the argument itself": (lambda p: p[0] + 0.0, ((1.0, Y),)),
    "what is selected": (lambda x: np.sum(np.maximum(x, 0.7)[0] * x[1]), (X,)),
}


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_run_gives_the_same_bits(name):
    f, args = PROGRAMS[name]
    gradient = cr.grad(f)
    first = gradient(*args)
    for _ in range(RUNS):
        same(gradient(*args), first)


def test_other_numbers_give_their_own_gradient():
    gradient = cr.grad(lambda x, k: np.sum(np.sin(x * k) * x))
    for k in range(1, 9):
        x = X + k
        expected = np.cos(x * k) * k * x + np.sin(x * k)
        np.testing.assert_allclose(gradient(x, k), expected, rtol=1e-12)


def test_a_step_that_comes_again_is_not_asked_for_its_edges(monkeypatch):
    gradient = cr.grad(lambda x: np.sum(np.sin(x) * Y))
    expected = gradient(X)
    for _ in range(RUNS):
        gradient(X)

    def asked(*_):
        raise AssertionError

    monkeypatch.setattr(modes, "_scaled", asked)
    same(gradient(X), expected)


# Each pair has the same operations in the same order, and something else about them differs.
PAIRS = {
    "wiring": (lambda x, y: np.sum((x * y) + x), lambda x, y: np.sum((x * y) + y)),
    "order": (lambda x, y: np.sum(np.exp(x) - y), lambda x, y: np.sum(y - np.exp(x))),
    "attributes": (
        lambda x, _: np.sum(np.exp(np.sum(x, axis=0))),
        lambda x, _: np.sum(np.exp(np.sum(x, axis=1))),
    ),
    "a constant's shape": (lambda x, _: np.sum(x * Y), lambda x, _: np.sum(x * Y[:1])),
    "a constant's type": (lambda x, _: np.sum(x * 2), lambda x, _: np.sum(x * Y.sum())),
    "a number and an array": (lambda x, _: np.sum(x**2), lambda x, _: np.sum(x ** np.abs(Y))),
}


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
@pytest.mark.parametrize("what", PAIRS)
def test_computations_that_look_alike_are_told_apart(what):
    first, second = (cr.grad(f, argnums=(0, 1)) for f in PAIRS[what])
    y = X[::-1] + 2.0
    expected = first(X, y), second(X, y)
    for _ in range(2 * RUNS):
        same(first(X, y), expected[0])
        same(second(X, y), expected[1])


def test_shapes_and_dtypes_are_told_apart():
    gradient = cr.grad(lambda x, y: np.sum(np.exp(x) * y), argnums=(0, 1))
    cases = [(X, X), (X, Y), (Y, X), (X[:1], Y), (X.astype(np.float32), Y), (0.5, Y), (0.5, 0.25)]
    expected = [gradient(*case) for case in cases]
    for _ in range(3 * RUNS):
        for case, first in zip(cases, expected, strict=True):
            same(gradient(*case), first)


def test_an_assignment_moves_the_handle_each_time():
    def f(x):
        y = x * 2.0
        y[0] = x[1] * x[1]
        return np.sum(y * x)

    gradient = cr.grad(f)
    first = gradient(X)
    for _ in range(RUNS):
        same(gradient(X), first)


def test_the_gradient_is_the_callers_own():
    gradient = cr.grad(lambda p: np.sum((p[0] + p[1]) * Y))
    for _ in range(RUNS):
        a, b = gradient((X, X))
        a += 1.0
        np.testing.assert_array_equal(b, np.broadcast_to(Y, X.shape))


def test_a_division_by_zero_of_pythons_numbers_is_an_infinity():
    gradient = cr.grad(lambda x: np.sqrt(x) * 2)
    for _ in range(RUNS):
        assert gradient(0.0) == np.inf


def test_a_gradient_of_a_gradient_is_walked_as_ever():
    second = cr.grad(cr.grad(lambda x: np.sin(x) * x))
    for _ in range(RUNS):
        np.testing.assert_allclose(second(0.7), 2 * np.cos(0.7) - 0.7 * np.sin(0.7), rtol=1e-14)


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("seed", range(25))
def test_random_programs_give_the_same_bits_in_every_run(seed):
    program = fuzz.Random(9_000 + seed)
    args = program.arguments()
    moved = tuple(k for k, m in enumerate(program.inputs) if m.kind == "f")
    chosen = {k for k, m in enumerate(program.results) if m.kind == "f"}
    if not moved or not chosen:
        return
    gradient = cr.grad(fuzz.loss_of(program.function(), chosen), argnums=moved)
    try:
        first = gradient(*args)
    except cr.errors.TraceError:  # a part of an array that is not traced is assigned to
        return
    for _ in range(RUNS):
        same(gradient(*args), first)
