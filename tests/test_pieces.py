"""Arrays that are put together of a few pieces: what is done to them is done to the pieces."""

import numpy as np
import pytest
from test_nests import loops_of, lowered, shapes_of

import chainrule as cr

X, Y = np.linspace(-1.0, 1.0, 12).reshape(3, 4), np.linspace(0.5, 2.0, 20).reshape(5, 4)


def assert_the_same(f, *args):
    """That a compiled function gives the same numbers and zeros of the same signs."""
    found, expected = cr.jit(f)(*args), f(*args)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected, strict=True)
    np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


@pytest.mark.parametrize("f", [
    lambda x, y: -np.concatenate([x, y]) * 2,
    lambda x, y: np.concatenate([x, y]) * np.arange(8.0)[:, None] + y[0],
    lambda x, y: np.concatenate([x, y]) - np.concatenate([y, x]),
    lambda x, y: np.concatenate([x, y]) * np.concatenate([x * 2, y - 1]),
    lambda x, y: np.stack([x, y[:3]]) * np.stack([y[1:4], x]),
    lambda x, y: np.stack([x, y[:3]], -1) * np.array([3.0, -0.0]),
    lambda x, y: np.stack([x[0], y[0]]) / np.stack([y[1], y[2]], -1).T,
    lambda x, y: np.where(np.concatenate([x, y]) > 0, np.concatenate([x, y]), -0.0),
    lambda x, y: (np.concatenate([x, y]).T * 3)[:, None],
    lambda x, y: np.transpose(np.stack([x, y[2:]], 1) + 1, (2, 0, 1)),
    lambda x, y: (np.concatenate([x, y]) + 1)[2:7],
    lambda x, y: (np.concatenate([x, y]) + 1)[-6, 1:],
    lambda x, y: (np.concatenate([x, y]) + 1)[:2],
    lambda x, y: (np.concatenate([x, y]) + 1)[::3],
    lambda x, y: (np.stack([x, y[:3], x], 1) * 2)[:, 1:, None, ::2],
    lambda x, y: (np.stack([x, y[:3], x], 1) * 2)[1, 2],
    lambda x, y: (np.stack([x, y[:3], x], 1) * 2)[:, 1:2],
    lambda x, y: np.sum(np.stack([x * -0.0, y[:3] * 0.0 - 0.0]) * -1.0, 0),
    lambda x, y: np.sum(np.stack([x, y[:3], x * y[0]], 1), 1),
    lambda x, y: np.sum(np.concatenate([x, y]) * 2.0, 0),
    lambda x, y: np.concatenate([x[:1], x[:0]]) * np.concatenate([y[:0], y[:1]]) + 1,
    lambda x, y: np.concatenate([np.stack([x, x * 2], 1), y[:3, None]], 1) - 1,
    lambda x, y: np.stack([np.concatenate([x, y]) for _ in range(2)]) * np.ones((2, 1, 1)),
    lambda x, y: np.maximum(np.concatenate([x, y]).astype(np.float32), np.float32(0.25)),
    lambda x, y: np.concatenate([x, y])[np.array([7, 0, 3])] * 2,
    lambda x, y: np.concatenate([x, y, x, y, x, y]) * 2,
    lambda x, y: np.concatenate([np.arange(3), np.arange(2)]) * x[0, 0],
])  # fmt: skip
def test_what_is_done_to_the_pieces_is_what_is_done_to_the_whole(f):
    assert_the_same(f, X, Y)


@pytest.mark.parametrize("f", [
    lambda x, y: np.concatenate([x, y]) @ np.arange(4.0),
    lambda x, y: np.concatenate([x, y]) @ np.concatenate([x, y]).T,
    lambda x, y: np.einsum("ij,kj->ik", np.stack([x[0], y[0]]), y),
    lambda x, y: np.einsum("sij,kj->ski", np.stack([x, y[:3]]), y),
    lambda x, y: np.stack([x, y[:3]]) @ np.ones((4, 2)),
    lambda x, y: np.sum(np.concatenate([x, y]) * 2.0, 1),
    lambda x, y: np.sum(np.stack([x, y[:3]]) * 2.0, (0, 2)),
    lambda x, y: np.sum(np.stack([x, y[:3]], 1) * 2.0, 2, keepdims=True),
    lambda x, y: np.mean(np.stack([x, y[:3]], 1), 0) + np.sum(np.concatenate([x, y])),
])  # fmt: skip
def test_sums_over_pieces_are_those_over_the_whole(f):
    np.testing.assert_allclose(cr.jit(f)(X, Y), f(X, Y), rtol=1e-14)


def test_an_array_is_not_put_together_to_be_computed_with():
    f = lambda x, y: np.tanh(np.concatenate([x, y])) * 2 + 1
    code = lowered(f, np.ones(30), np.ones(50))
    assert shapes_of(code) == []
    assert sorted(loop.var.here().extent for loop in loops_of(code)) == [30, 50]


def test_components_of_a_cross_product_stay_in_registers():
    def f(x, y):
        return np.cross(x, y) * 2 - x

    code = lowered(f, np.ones((40, 3)), np.ones((40, 3)))
    (loop,) = loops_of(code)
    assert loop.var.here().extent == 40
    assert all(b.dropped & 1 for b in code.nests.buffers if b.kind == "temporary")
    assert_the_same(f, X[:, 1:], Y[:3, 1:])


def test_pieces_of_pieces_are_written_to_their_places_at_once():
    def f(x, y):
        return np.concatenate([np.stack([x, -x], 1), np.stack([y, y * 2, y * 3], 1)], 1)

    code = lowered(f, np.ones((9, 6)), np.ones((9, 6)))
    assert shapes_of(code) in ([], [(9, 5, 6)]), "nothing but the result, or a row of it"
    assert_the_same(f, np.arange(54.0).reshape(9, 6), np.ones((9, 6)))


def test_many_pieces_are_put_together():
    rows = [np.ones(7)] * 9
    code = lowered(lambda *rows: np.sin(np.stack(rows)), *rows)
    assert shapes_of(code) == [(9, 7)]
