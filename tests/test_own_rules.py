"""What users say about derivatives themselves: rules of their own, no derivative, recomputation."""

import math
import tracemalloc

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentsError, TraceError

X = np.array([0.5, 1.2, 0.7])
BATCH = np.stack([X, 2 * X])


@cr.custom_rule(partials=[lambda x, out: 1 / (1 + np.exp(-x))])
def softplus(x):
    """A smooth ramp."""
    return np.logaddexp(x, 0.0)


sine = cr.custom_rule(lambda x: math.sin(x), pull=lambda ct, x, out: ct * np.cos(x))
squares = cr.custom_rule(lambda x: np.sum(x**2), push=lambda ts, x, out: np.sum(2 * x * ts[0]))


# -------------------------------------------------------------------------------------- custom_rule


def test_partials_serve_both_modes_every_order_and_batches():
    slope, bend = 1 / (1 + np.exp(-X)), np.exp(-X) / (1 + np.exp(-X)) ** 2
    total = lambda x: np.sum(softplus(x))
    np.testing.assert_allclose(cr.grad(total)(X), slope)
    np.testing.assert_allclose(cr.jvp(softplus, (X,), (X,))[1], X * slope)
    np.testing.assert_allclose(cr.hessian(total)(X), np.diag(bend))
    np.testing.assert_allclose(cr.vmap(cr.grad(total))(BATCH)[0], slope)
    np.testing.assert_allclose(cr.vmap(softplus)(BATCH), softplus(BATCH))
    assert (softplus.__name__, softplus.__doc__) == ("softplus", "A smooth ramp.")
    assert cr.grad(total)(X.astype(np.float32)).dtype == np.float32


def test_partials_of_arguments_that_broadcast_are_added_up():
    times = cr.custom_rule(lambda a, b: a * b, partials=[lambda a, b, out: b, lambda a, b, out: a])
    of_a, of_b = cr.grad(lambda a, b: np.sum(times(a, b)), argnums=(0, 1))(2.0, X)
    assert of_a == pytest.approx(np.sum(X))
    assert of_b.tolist() == [2.0] * 3
    scaled = cr.custom_rule(lambda a: 3 * a, partials=[3.0])
    assert cr.grad(scaled)(1.0) == 3.0


def test_a_pull_alone_is_transposed_for_forward_mode():
    assert cr.grad(sine)(0.5) == math.cos(0.5)
    assert cr.jvp(sine, (0.5,), (2.0,))[1] == pytest.approx(2 * math.cos(0.5))
    assert cr.grad(cr.grad(sine))(0.5) == pytest.approx(-math.sin(0.5))
    np.testing.assert_allclose(cr.vmap(sine)(X), np.sin(X))
    np.testing.assert_allclose(cr.vmap(cr.grad(sine))(X), np.cos(X))
    looped = lambda x: cr.scan(lambda s, t: (sine(s) * t, None), x, X)[0]
    written = lambda x: np.sin(np.sin(np.sin(x) * X[0]) * X[1]) * X[2]
    assert cr.grad(looped)(0.5) == pytest.approx(cr.grad(written)(0.5))


def test_a_push_alone_is_transposed_for_reverse_mode():
    np.testing.assert_allclose(cr.grad(squares)(X), 2 * X)
    np.testing.assert_allclose(cr.hessian(squares)(X), 2 * np.eye(3))
    np.testing.assert_allclose(cr.vmap(cr.grad(squares))(BATCH), 2 * BATCH)


def test_an_argument_that_is_no_float_has_no_cotangent():
    power = cr.custom_rule(
        lambda x, n: x**n, pull=lambda ct, x, n, out: (ct * n * x ** (n - 1.0), None)
    )
    assert cr.grad(lambda x: power(x, 3))(2.0) == 12.0
    assert cr.jvp(lambda x: power(x, 3), (2.0,), (1.0,))[1] == 12.0


def refused(error, f, x):
    with pytest.raises(error) as caught:
        f(x)
    return str(caught.value)


def test_a_rule_that_does_not_fit_its_function_is_refused():
    two = cr.custom_rule(lambda a, b: a * b, pull=lambda ct, a, b, out: ct)
    assert "1 cotangent(s) for 2 argument(s)" in refused(
        ArgumentsError, cr.grad(lambda x: two(x, x)), 2.0
    )
    narrow = cr.custom_rule(lambda a: a * 2, pull=lambda ct, a, out: np.sum(ct))
    assert "of shape () for argument 0 of shape (3,)" in refused(
        ArgumentsError, cr.grad(lambda x: np.sum(narrow(x))), X
    )
    pushed = cr.custom_rule(lambda a: a * 2, push=lambda ts, a, out: np.sum(ts[0]))
    assert "tangent of shape () for a result of shape (3,)" in refused(
        ArgumentsError, lambda x: cr.jvp(pushed, (x,), (x,)), X
    )
    few = cr.custom_rule(lambda a, b: a * b, partials=[1.0])
    for transform in (cr.grad, lambda f: lambda x: cr.jvp(f, (x,), (x,))):
        assert "1 partial(s) for 2 argument(s)" in refused(
            ArgumentsError, transform(lambda x: few(x, x)), 2.0
        )
    assert "takes partials, or pull and push" in refused(ArgumentsError, cr.custom_rule, np.sin)
    both = lambda f: cr.custom_rule(f, partials=[1.0], pull=lambda ct, x, out: ct)
    assert "takes partials" in refused(ArgumentsError, both, np.sin)


def test_a_rule_does_not_lose_the_gradient_of_what_it_takes_from_outside():
    def f(x):
        return cr.custom_rule(lambda a: a * x, pull=lambda ct, a, out: ct * x)(2.0)

    assert "not among its arguments" in refused(TraceError, cr.grad(f), 2.0)


# ------------------------------------------------------------------------------------ stop_gradient


def test_a_stopped_value_is_a_constant_of_every_order():
    f = lambda x: x * cr.stop_gradient(x)
    assert cr.grad(f)(3.0) == 3.0
    assert cr.jvp(f, (3.0,), (1.0,)) == (9.0, 3.0)
    assert cr.grad(lambda p: p["a"] * cr.stop_gradient(p)["a"])({"a": 3.0}) == {"a": 3.0}
    assert cr.vmap(cr.grad(f))(X).tolist() == X.tolist()
    with pytest.warns(cr.AbsentGradientWarning):
        assert cr.grad(lambda x: cr.stop_gradient(x) ** 2)(3.0) == 0.0
    looped = lambda x: cr.scan(lambda s, t: (s * t * cr.stop_gradient(x), None), x, X)[0]
    assert cr.grad(looped)(2.0) == pytest.approx(8 * np.prod(X))


def test_a_stopped_array_is_an_array_of_its_own():
    def f(x):
        y = cr.stop_gradient(x)
        y[0] = 5.0
        return np.sum(x**2) + np.sum(y)

    x = X.copy()
    assert cr.value_and_grad(f)(x)[0] == f(x)
    np.testing.assert_allclose(cr.grad(f)(x), 2 * X)
    assert x.tolist() == X.tolist()


# --------------------------------------------------------------------------------------- checkpoint


def chain(x, n):
    for _ in range(n):
        x = np.sin(x) * 1.01
    return x


def peak(f, x):
    """The most memory that a gradient takes, and the gradient."""
    tracemalloc.start()
    gradient = cr.grad(f)(x)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most, gradient


def test_a_chain_of_ten_thousand_operations_in_a_hundred_pieces_needs_the_memory_of_few_of_them():
    pieces = lambda x: np.sum(_repeated(cr.checkpoint(lambda x: chain(x, 50)), x, 100))
    whole, expected = peak(lambda x: np.sum(chain(x, 5000)), np.ones(200))
    saved, gradient = peak(pieces, np.ones(200))
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    assert saved < whole / 12  # 2·√10000 of 10000 values would be a fiftieth


def _repeated(piece, x, n):
    for _ in range(n):
        x = piece(x)
    return x


def test_a_checkpoint_in_a_loop_saves_memory_too():
    piece = cr.checkpoint(lambda x: chain(x, 50))
    looped = lambda x: np.sum(cr.scan(lambda s, t: (piece(s), None), x, length=60)[0])
    whole, expected = peak(lambda x: np.sum(chain(x, 3000)), np.ones(200))
    saved, gradient = peak(looped, np.ones(200))
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)
    assert saved < whole / 2


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sin(x) * x[0],
        lambda x: np.stack([np.sum(x), np.prod(x)]),
        lambda x: x if x[0] > 0 else -x,
        lambda x: x * cr.checkpoint(np.sin)(x),
        lambda x: cr.scan(lambda s, t: (s * t, s + x[0]), x[1], x)[1],
    ],
)
def test_a_checkpoint_changes_no_derivative_of_any_order_and_mode(f):
    again = cr.checkpoint(f)
    assert again(X).tolist() == f(X).tolist()
    np.testing.assert_allclose(cr.jacobian(again)(X), cr.jacobian(f)(X), rtol=1e-13)
    np.testing.assert_allclose(
        cr.jacobian(again, mode="forward")(X), cr.jacobian(f, mode="reverse")(X), rtol=1e-13
    )
    total = lambda f: lambda x: np.sum(f(x) ** 2)
    np.testing.assert_allclose(cr.hessian(total(again))(X), cr.hessian(total(f))(X), rtol=1e-12)
    np.testing.assert_allclose(cr.linearize(again, X)[1](X), cr.jvp(f, (X,), (X,))[1], rtol=1e-13)
    _, pull = cr.vjp(again, X)
    cotangent = np.ones(np.shape(f(X)))
    assert pull(cotangent)[0].tolist() == pull(cotangent)[0].tolist(), "it may be pulled twice"


def test_what_a_checkpoint_takes_from_outside_is_differentiated():
    f = lambda w: cr.checkpoint(lambda x: np.sum(np.sin(w * x)))(X)
    assert cr.grad(f)(0.3) == pytest.approx(np.sum(X * np.cos(0.3 * X)))
    assert cr.grad(lambda x: cr.checkpoint(lambda y: x)(2 * x))(1.0) == 1.0
    assert cr.grad(lambda x: cr.checkpoint(lambda y: y)(2 * x))(1.0) == 2.0
    assert cr.grad(lambda x: cr.checkpoint(lambda y: 3.0)(2 * x) * x)(1.0) == 3.0


def test_a_checkpoint_takes_and_gives_pytrees_and_anything_that_is_no_array():
    f = cr.checkpoint(lambda p, n, mode="a": {"o": p["a"] ** n if mode == "b" else 0.0, "n": None})
    assert cr.grad(lambda p: f(p, 3, mode="b")["o"])({"a": 2.0}) == {"a": 12.0}
