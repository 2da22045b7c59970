"""Products with known matrices that are mostly zeros, in what is compiled."""

import numpy as np
import pytest

import chainrule as cr
from tests.test_jacobians import carried_stacks

RNG = np.random.default_rng(8)


def weights(rows, columns, terms, seed=1):
    """A matrix with a few terms in each row."""
    rng = np.random.default_rng(seed)
    found = np.zeros((rows, columns))
    for row in found:
        row[rng.choice(columns, terms, replace=False)] = rng.normal(size=terms)
    return found


W = weights(30, 16, 2)


@pytest.mark.parametrize("f", [
    lambda x: W @ x,
    lambda x: x.T @ W.T,
    lambda x: np.einsum("vb,bi->iv", W, x),
    lambda x: np.einsum("vb,bi,vi->v", W, x, np.ones((30, 5))),
    lambda x: np.einsum("uvb,bi->uiv", np.stack([W, 2 * W]), np.exp(x)),
    lambda x: np.sin(W @ (x * 2)) + W @ x[:, :1],
    lambda x: W @ x[:, 0],
    lambda x: W.astype(np.float32) @ x.astype(np.float32),
    lambda x: np.zeros((4, 16)) @ x,
])  # fmt: skip
def test_few_terms_of_each_row_make_the_same_product(f):
    x = RNG.normal(size=(16, 5))
    compiled = cr.jit(f)
    found, expected = compiled(x), f(x)
    rtol = 1e-6 if expected.dtype == np.float32 else 1e-13
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    loss = cr.grad(lambda x: np.sum(f(x) ** 2))
    np.testing.assert_allclose(cr.jit(loss)(x), loss(x), rtol=100 * rtol, atol=100 * rtol)


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("first", [False, True])
def test_a_zero_of_the_matrix_times_what_is_not_finite_is_nan(special, first):
    x = RNG.normal(size=(16, 5))
    bad = x.copy()
    bad[3, 1] = special
    compiled = cr.jit(lambda x: W @ (x * 2))
    for given in (bad, x, bad) if first else (x, bad, x):
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(compiled(given), W @ (given * 2), rtol=1e-13, atol=1e-15)


def blocks(x):
    """Joints of four fingers, of three angles each, and the points that hang on a bone or two."""
    turns = np.stack([np.cos(x), np.sin(x), -np.sin(x), np.cos(x)], -1).reshape(4, 3, 2, 2)
    ends = np.stack([turns[:, 0], turns[:, 0] @ turns[:, 1], turns[:, 1] @ turns[:, 2]], 1)
    hangs = np.zeros((10, 12))
    hangs[np.arange(10), np.arange(10) + 1] = 0.25
    hangs[np.arange(10), np.arange(10)] = 0.75
    bases = np.linspace(1.0, 2.0, 20).reshape(10, 2)
    return np.einsum("vb,bij,vj->vi", hangs, ends.reshape(12, 2, 2), bases)


def test_zeros_of_a_known_matrix_take_columns_of_a_jacobian_apart(monkeypatch):
    rows = carried_stacks(monkeypatch)
    x = np.linspace(-1.0, 1.0, 12)
    f = lambda x: np.tanh(blocks(x))
    found = cr.jit(cr.jacobian(f, mode="forward"))(x)
    np.testing.assert_allclose(found, cr.jacobian(f, mode="reverse")(x), rtol=1e-12, atol=1e-15)
    assert max(rows) == 3, "no point is moved by the same angle of two fingers"


def test_columns_that_meet_in_one_place_of_a_row_are_multiplied_apart():
    mixed = weights(9, 8, 2, seed=5)

    def f(x):
        first = np.concatenate([x[:4] * x[4:], np.sin(x[:4])])
        return mixed @ (first * np.cos(first))

    x = np.linspace(-1.0, 2.0, 8)
    found = cr.jit(cr.jacobian(f, mode="forward"))(x)
    np.testing.assert_allclose(found, cr.jacobian(f, mode="reverse")(x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("first", [False, True])
def test_a_jacobian_through_an_infinite_slope_is_that_of_the_interpreter(first):
    forward = cr.jacobian(lambda x: W @ np.sqrt(x), mode="forward")
    x = RNG.uniform(1.0, 2.0, size=16)
    bad = x.copy()
    bad[5] = 0.0
    compiled = cr.jit(forward)
    for given in (bad, x, bad) if first else (x, bad, x):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(compiled(given), forward(given), rtol=1e-13)
