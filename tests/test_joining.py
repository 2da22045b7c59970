"""Functions that join arrays to one, and that put elements in or take them out."""

import numpy as np
import pytest
from moving import (
    assert_a_batch_is_one_by_one,
    assert_both_modes,
    assert_dtype_is_kept,
    assert_second_order,
    assert_the_same_in_a_staged_loop,
    assert_value,
    call,
    numbers,
)

import chainrule as cr
from chainrule.errors import NotDifferentiableError, TraceError

M = (2, 3)
PLAIN = np.array([[1.0, 2.0, 4.0]], np.float16)

JOINED = [
    call("concatenate", lambda x, y: np.concatenate([x, y]), M, (1, 3)),
    call("concatenate many", lambda x, y: np.concatenate((x, y, x, x, y), axis=-1), M, (2, 1)),
    call("concatenate flat", lambda x, y: np.concatenate([x, y], axis=None), M, (2,)),
    call("concatenate scalars flat", lambda x, y: np.concatenate([x, y], axis=None), (), ()),
    call("concatenate one", lambda x: np.concatenate([x], 1), M),
    call("concatenate rows of an array", lambda x: np.concatenate(x, axis=1), (2, 3, 2)),
    call("concatenate constants", lambda x: np.concatenate([PLAIN, x, PLAIN]), M),
    call("concatenate a list", lambda x: np.concatenate([x, [[1, 2, 3]], [[0.5, 1, 2]]]), M),
    call("concatenate nothing", lambda x, y: np.concatenate([x, y]), (0, 3), M),
    call("concatenate dtype", lambda x: np.concatenate([x, PLAIN], dtype=np.longdouble), M),
    call("concatenate traced in lists", lambda x: np.concatenate([x, [x[1], 3.0]]), (2,)),
    call("concat", lambda x, y: np.concat([x, y], axis=1), M, (2, 0)),
    call("stack", lambda x, y: np.stack([x, y]), M, M),
    call("stack last", lambda x, y: np.stack([x, y, x], axis=-1), M, M),
    call("stack middle", lambda x, y: np.stack((x, y), axis=1), M, M),
    call("stack scalars", lambda x, y: np.stack([x, y, 3.0]), (), ()),
    call("stack rows of an array", lambda x: np.stack(x, axis=1), M),
    call("stack constants", lambda x: np.stack([x, np.ones(M), np.zeros(M)], 2), M),
    call("stack dtype", lambda x: np.stack([x, np.ones(M, np.float32)], dtype=float), M),
    call("vstack", lambda x, y: np.vstack([x, y]), M, (3,)),
    call("vstack scalars", lambda x, y: np.vstack([x, y]), (), (1,)),
    call("hstack", lambda x, y: np.hstack([x, y]), M, (2, 2)),
    call("hstack vectors", lambda x, y: np.hstack((x, y, 1.0)), (2,), ()),
    call("dstack", lambda x, y: np.dstack([x, y]), M, (2, 3, 2)),
    call("dstack vectors", lambda x, y: np.dstack([x, y]), (3,), (3,)),
    call("column_stack", lambda x, y: np.column_stack([x, y]), (2,), M),
    call("column_stack scalars", lambda x, y: np.column_stack([x, y]), (), ()),
    call("append", lambda x, y: np.append(x, y), M, (2,)),
    call("append scalar", lambda x: np.append(x, 3.0), M),
    call("append traced", lambda y: np.append([1.0, 2.0], y), ()),
    call("append axis", lambda x, y: np.append(x, y, axis=1), M, (2, 1)),
    call("block", lambda x, y: np.block([[x, y], [y, x]]), (2, 2), (2, 2)),
    call("block mixed", lambda x, y: np.block([[x, np.ones((2, 1))], [y, 3.0]]), (2, 2), (1, 2)),
    call("block vectors", lambda x, y: np.block([x, y, 2.0]), (2,), ()),
    call("block deep", lambda x, y: np.block([[[x]], [[y]]]), (2, 2), (2, 2)),
    call("block of more dimensions", lambda x: np.block([[x, x], [x, x]]), (2, 1, 2)),
    call("block of one", lambda x: np.block(x), (2,)),
]  # fmt: skip

PUT_IN = [
    call("insert", lambda x, y: np.insert(x, 1, y), (4,), ()),
    call("insert flat", lambda x, y: np.insert(x, 2, y), M, ()),
    call("insert row", lambda x, y: np.insert(x, 1, y, axis=0), M, (3,)),
    call("insert column", lambda x, y: np.insert(x, 1, y, axis=1), M, (2,)),
    call("insert column of one place", lambda x, y: np.insert(x, [1], y, axis=1), M, (2, 2)),
    call("insert at the end", lambda x, y: np.insert(x, 3, y, axis=1), M, (2,)),
    call("insert from the end", lambda x, y: np.insert(x, -1, y, axis=1), M, (2,)),
    call("insert several", lambda x, y: np.insert(x, [0, 2, 2], y), (4,), (3,)),
    call("insert one value often", lambda x, y: np.insert(x, [3, 0], y, axis=1), M, ()),
    call("insert by slice", lambda x, y: np.insert(x, slice(0, 3, 2), y, axis=1), M, (2, 2)),
    call("insert by mask", lambda x, y: np.insert(x, np.array([True, False, True]), y), (3,), (2,)),
    call("insert nothing", lambda x: np.insert(x, [], 1.0), (3,)),
    call("insert constants", lambda x: np.insert(x, [1, 1], [5, 6], axis=1), M),
    call("insert everywhere", lambda x, y: np.insert(x, np.arange(12), y), (12,), (12,)),
    call("insert several values at one place", lambda x: np.insert(x, 1, [7.0, 8.0, 9.0]), (3,)),
    call("insert into a constant", lambda y: np.insert(np.zeros(3, y.dtype), 1, y), (2,)),
    call("delete", lambda x: np.delete(x, 1), (4,)),
    call("delete flat", lambda x: np.delete(x, -2), M),
    call("delete row", lambda x: np.delete(x, 0, axis=0), M),
    call("delete columns", lambda x: np.delete(x, [0, -1], axis=1), M),
    call("delete by slice", lambda x: np.delete(x, slice(None, None, 2), axis=1), (2, 5)),
    call("delete by mask", lambda x: np.delete(x, np.array([True, False, True]), axis=1), M),
    call("delete nothing", lambda x: np.delete(x, [], axis=1), M),
    call("delete everything", lambda x: np.delete(x, slice(None), axis=1), M),
    call("delete here and there",
         lambda x: np.delete(x, [1, 4, 5, 9, 11, 13, 18, 20, 27, 31]), (40,)),
]  # fmt: skip

CALLS = [*JOINED, *PUT_IN]
each_call = pytest.mark.parametrize("one", CALLS, ids=[one.name for one in CALLS])


@each_call
def test_the_value_is_numpys(one):
    assert_value(one)


@each_call
def test_both_modes_are_the_jacobian_that_numpy_shows(one):
    assert_both_modes(one)


@each_call
def test_second_derivatives_pass_through(one):
    assert_second_order(one)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@each_call
def test_the_dtype_is_kept(one, dtype):
    assert_dtype_is_kept(one, dtype)


@each_call
def test_a_batch_is_one_value_after_the_other(one):
    assert_a_batch_is_one_by_one(one)


def test_pieces_of_different_precision_get_gradients_of_their_own():
    x, y = np.ones(2, np.float32), np.ones(3)
    for join in (np.concatenate, np.hstack):
        f = lambda x, y, join=join: np.sum(join([x, y]) ** 2)
        assert [g.dtype for g in cr.grad(f, (0, 1))(x, y)] == [np.float32, np.float64]
    f = lambda x, y: np.sum(np.stack([x, y[:2]]) ** 2)
    assert [g.dtype for g in cr.grad(f, (0, 1))(x, y)] == [np.float32, np.float64]


def test_a_join_is_one_record_however_many_pieces_it_has():
    counts = []

    def f(x):
        pieces = [x[i : i + 1] for i in range(200)]
        whole = np.concatenate(pieces)
        counts.append((whole.op.name, len(whole.args)))
        return np.sum(whole * np.arange(200.0))

    gradient = cr.grad(f)(np.ones(200))
    assert counts == [("concatenate", 200)]
    np.testing.assert_array_equal(gradient, np.arange(200.0))


def test_tangents_of_many_pieces_are_joined_once(monkeypatch):
    joined = []
    numpys = np.stack
    f = lambda x: numpys([x[i] * 2.0 for i in range(50)])
    monkeypatch.setattr(np, "stack", lambda *a, **k: joined.append(1) or numpys(*a, **k))
    _, tangent = cr.jvp(f, (np.ones(50),), (np.arange(1.0, 51.0),))
    np.testing.assert_array_equal(tangent, 2 * np.arange(1.0, 51.0))
    assert len(joined) <= 2  # the value, and all tangents together


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_support_of_each_piece_stays_with_it():
    def f(x):
        safe = np.where(x > 0, np.log(x), 0.0)
        return np.concatenate([safe, x]) * np.array([np.inf, 1.0, 1.0, 1.0])

    x = np.array([-1.0, 2.0])
    gradient = cr.grad(lambda x: np.sum(f(x)[1:]))(x)
    np.testing.assert_array_equal(gradient, [1.0, 1.5])
    np.testing.assert_array_equal(cr.jvp(f, (x,), (np.ones(2),))[1], [0.0, 0.5, 1.0, 1.0])


def test_the_same_value_may_be_several_pieces():
    assert (
        cr.grad(lambda x: np.sum(np.stack([x, x, 2.0]) * np.array([1.0, 10.0, 100.0])))(3.0) == 11
    )


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda x: np.concatenate([x, x], out=np.zeros(4)), TraceError, "out="),
        (lambda x: np.stack([x, x], out=np.zeros((2, 2))), TraceError, "out="),
        (lambda x: np.concatenate([x, x], dtype=int), TypeError, "casting='same_kind'"),
        (lambda x: np.concatenate([x, np.ones(1, np.float32)], casting="no"), TypeError, "'no'"),
        (lambda x: np.concatenate([x[0], x]), ValueError, "zero-dimensional"),
        (lambda x: np.concatenate([x, x[None]]), ValueError, "dimension"),
        (lambda x: np.concatenate([x, x], axis=1), ValueError, "out of bounds"),
        (lambda x: np.stack([x, x[:1]]), ValueError, "same shape"),
        (lambda x: np.stack([x, x], axis=2), np.exceptions.AxisError, "out of bounds"),
        (lambda x: np.block([(x, x)]), TypeError, "tuple"),
        (lambda x: np.block([x, []]), ValueError, "empty"),
        (lambda x: np.block([[x], x]), ValueError, "equally deep"),
        (lambda x: np.insert(x, 3, 1.0), IndexError, "out of bounds"),
        (lambda x: np.insert(np.arange(3), 1, x), NotDifferentiableError, "astype(float)"),
        (lambda x: np.insert(np.zeros(3), x[0], 1.0), NotDifferentiableError, "whole numbers"),
        (lambda x: np.delete(x, 2), IndexError, "out of bounds"),
    ],
)
def test_what_cannot_be_joined_is_refused_with_a_reason(f, error, says):
    with pytest.raises(error) as caught:
        cr.vjp(f, np.ones(2))
    assert says in str(caught.value)


def test_numbers_of_whole_dtypes_are_cut_where_numpy_was_asked_to_cut_them():
    f = lambda x: np.concatenate([x, x], dtype=int, casting="unsafe")
    value, _ = cr.vjp(f, np.array([1.5, -2.5]))
    assert value.dtype == int
    assert value.tolist() == [1, -2, 1, -2]


def test_large_joins_are_differentiated_in_one_pass():
    x = numbers((400, 3))
    f = lambda x: np.sum(np.stack([row * i for i, row in enumerate(x)]) ** 2)
    np.testing.assert_allclose(cr.grad(f)(x), 2 * x * (np.arange(400.0) ** 2)[:, None], rtol=1e-14)


@each_call
def test_a_loop_that_is_recorded_once_has_the_same_gradient(one):
    assert_the_same_in_a_staged_loop(one)
