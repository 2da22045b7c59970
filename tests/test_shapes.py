"""Functions that change shapes, order axes, turn around, repeat, cut and window arrays."""

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
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import chainrule as cr
from chainrule.errors import NotDifferentiableError, TraceError

M, C = (3, 4), (2, 3, 4)

SHAPES = [
    call("reshape", lambda x: np.reshape(x, (2, 6)), M),
    call("reshape unknown", lambda x: np.reshape(x, (2, -1)), M),
    call("reshape number", lambda x: np.reshape(x, 12), M),
    call("reshape F", lambda x: np.reshape(x, (2, 6), order="F"), M),
    call("reshape F unknown", lambda x: np.reshape(x, (-1, 2), "F"), C),
    call("reshape A", lambda x: np.reshape(x.T, (2, 6), order="A"), M),
    call("reshape A of C", lambda x: np.reshape(x, (2, 6), order="A"), M),
    call("reshape copy", lambda x: np.reshape(x, (2, 6), copy=True), M),
    call("reshape scalar", lambda x: np.reshape(x, (1, 1)), ()),
    call("reshape to scalar", lambda x: np.reshape(x, ()), (1,)),
    call("x.reshape", lambda x: x.reshape(2, -1), M),
    call("x.reshape tuple", lambda x: x.reshape((4, 3), order="F"), M),
    call("ravel", np.ravel, M),
    call("ravel F", lambda x: np.ravel(x, "F"), C),
    call("ravel A", lambda x: np.ravel(x.T, "A"), M),
    call("ravel K", lambda x: np.ravel(x.transpose(1, 0, 2), "K"), C),
    call("ravel K of a reversed view", lambda x: np.ravel(x[::-1].T, "K"), M),
    call("x.ravel", lambda x: x.ravel(order="F"), M),
    call("x.flatten", lambda x: x.flatten(), M),
    call("x.flatten F", lambda x: x.flatten("F"), C),
    call("transpose", np.transpose, C),
    call("transpose axes", lambda x: np.transpose(x, (1, -1, 0)), C),
    call("permute_dims", lambda x: np.permute_dims(x, (2, 0, 1)), C),
    call("matrix_transpose", np.matrix_transpose, C),
    call("x.T", lambda x: x.T, C),
    call("x.mT", lambda x: x.mT, C),
    call("x.transpose", lambda x: x.transpose(2, 0, 1), C),
    call("x.transpose tuple", lambda x: x.transpose((2, 0, 1)), C),
    call("x.transpose none", lambda x: x.transpose(None), C),
    call("x.transpose scalar", lambda x: x.reshape(()).transpose(), (1,)),
    call("x.transpose vector", lambda x: x.transpose(np.int64(0)), (3,)),
    call("moveaxis", lambda x: np.moveaxis(x, 0, -1), C),
    call("moveaxis many", lambda x: np.moveaxis(x, (0, 1), (-1, 0)), C),
    call("moveaxis list", lambda x: np.moveaxis(x, [-1, 0], [0, 1]), C),
    call("swapaxes", lambda x: np.swapaxes(x, 0, -1), C),
    call("x.swapaxes", lambda x: x.swapaxes(1, 2), C),
    *(
        call(f"rollaxis {a} {s}", lambda x, a=a, s=s: np.rollaxis(x, a, s), C)
        for a, s in ((2, 0), (0, 3), (1, 1), (0, -1), (-1, 1), (1, 2))
    ),
    call("expand_dims", lambda x: np.expand_dims(x, 1), M),
    call("expand_dims many", lambda x: np.expand_dims(x, (0, -1)), M),
    call("expand_dims scalar", lambda x: np.expand_dims(x, 0), ()),
    call("squeeze", np.squeeze, (1, 3, 1)),
    call("squeeze axis", lambda x: np.squeeze(x, axis=-1), (1, 3, 1)),
    call("x.squeeze", lambda x: x.squeeze((0, 2)), (1, 3, 1)),
    call("atleast_1d", np.atleast_1d, ()),
    call("atleast_2d", np.atleast_2d, (3,)),
    call("atleast_3d", np.atleast_3d, (3,)),
    call("atleast_3d matrix", np.atleast_3d, M),
    call("atleast_3d scalar", np.atleast_3d, ()),
    call("atleast many", lambda x, y: np.atleast_2d(x, y, [1.0, 2.0]), (), (2, 1, 2)),
    call("broadcast_to", lambda x: np.broadcast_to(x, (2, 3, 4)), (3, 1)),
    call("broadcast_to number", lambda x: np.broadcast_to(x, 3), ()),
    call("broadcast_arrays", lambda x, y: np.broadcast_arrays(x, y, 2.0), (3, 1), (4,)),
    call("ravel of nothing", np.ravel, (0, 3)),
    call("transpose of nothing", np.transpose, (0, 3)),
    call("reshape of nothing", lambda x: np.reshape(x, (3, 0, 2)), (0, 3)),
]

TURNED = [
    call("flip", np.flip, C),
    call("flip axis", lambda x: np.flip(x, 1), C),
    call("flip axes", lambda x: np.flip(x, (0, -1)), C),
    call("flip scalar", np.flip, ()),
    call("flipud", np.flipud, M),
    call("fliplr", np.fliplr, M),
    *(call(f"rot90 {k}", lambda x, k=k: np.rot90(x, k), M) for k in range(-1, 5)),
    *(call(f"rot90 {k} axes", lambda x, k=k: np.rot90(x, k, (2, 0)), C) for k in range(4)),
    call("roll", lambda x: np.roll(x, 2), M),
    call("roll vector", lambda x: np.roll(x, -2), (5,)),
    call("roll back", lambda x: np.roll(x, -5), M),
    call("roll axis", lambda x: np.roll(x, 1, axis=1), M),
    call("roll axes", lambda x: np.roll(x, (1, -2), axis=(0, 2)), C),
    call("roll one by two", lambda x: np.roll(x, 1, axis=(0, 1)), M),
    call("roll twice along one", lambda x: np.roll(x, (1, 2), axis=1), M),
    call("roll flat twice", lambda x: np.roll(x, (1, 2)), M),
    call("roll far", lambda x: np.roll(x, 23, axis=0), M),
    call("roll scalar", lambda x: np.roll(x, 1), ()),
    call("roll nothing", lambda x: np.roll(x, 1, axis=0), (0, 2)),
]

REPEATED = [
    call("tile", lambda x: np.tile(x, 2), M),
    call("tile more axes", lambda x: np.tile(x, (2, 1, 3)), M),
    call("tile fewer axes", lambda x: np.tile(x, (2,)), C),
    call("tile scalar", lambda x: np.tile(x, (2, 2)), ()),
    call("tile once", lambda x: np.tile(x, (1, 1, 1)), M),
    call("tile never", lambda x: np.tile(x, (0, 2)), M),
    call("tile nothing", lambda x: np.tile(x, (2, 3)), (0, 2)),
    call("repeat", lambda x: np.repeat(x, 2), M),
    call("repeat axis", lambda x: np.repeat(x, 3, axis=1), C),
    call("repeat last axis", lambda x: np.repeat(x, 2, -1), C),
    call("repeat each", lambda x: np.repeat(x, [1, 0, 3, 2], axis=1), M),
    call("repeat each flat", lambda x: np.repeat(x, np.arange(12) % 3), M),
    call("repeat list of one", lambda x: np.repeat(x, [2], axis=0), M),
    call("repeat never", lambda x: np.repeat(x, 0, axis=0), M),
    call("repeat scalar", lambda x: np.repeat(x, 3), ()),
    call("x.repeat", lambda x: x.repeat([2, 1, 1], axis=0), M),
    call("resize larger", lambda x: np.resize(x, (3, 7)), M),
    call("resize smaller", lambda x: np.resize(x, (2, 3)), M),
    call("resize number", lambda x: np.resize(x, 5), (2,)),
    call("resize to nothing", lambda x: np.resize(x, (0, 3)), M),
    call("resize nothing", lambda x: np.resize(x, (2, 3)), (0,)),
    *(
        call(
            f"meshgrid {indexing} {sparse}",
            lambda x, y, z, i=indexing, s=sparse: np.meshgrid(x, y, z, indexing=i, sparse=s),
            (2,), (3,), (2,),
        )
        for indexing in ("xy", "ij")
        for sparse in (False, True)
    ),
    call("meshgrid one", np.meshgrid, (3,)),
    call("meshgrid scalar", lambda x: np.meshgrid(x, [1.0, 2.0], copy=False), ()),
    call("meshgrid mixed", lambda x: np.meshgrid([1.0, 2.0], x), (3,)),
    call("ix_", lambda x, y: np.ix_(x, [True, False, True], y), (2,), (3,)),
]  # fmt: skip

CUT = [
    call("split", lambda x: np.split(x, 2, axis=1), M),
    call("split at", lambda x: np.split(x, [1, 3], axis=1), M),
    call("split beyond", lambda x: np.split(x, (2, 5), axis=0), M),
    call("split backwards", lambda x: np.split(x, [3, 1], axis=-1), M),
    call("split by array", lambda x: np.split(x, np.array([1, -1])), M),
    call("array_split", lambda x: np.array_split(x, 3, axis=1), M),
    call("array_split many", lambda x: np.array_split(x, 5), M),
    call("hsplit", lambda x: np.hsplit(x, 2), M),
    call("hsplit vector", lambda x: np.hsplit(x, 3), (6,)),
    call("vsplit", lambda x: np.vsplit(x, 3), M),
    call("dsplit", lambda x: np.dsplit(x, [1]), C),
    call("unstack", lambda x: np.unstack(x, axis=-1), M),
    call("unstack first", np.unstack, C),
]

DIAGONALS = [
    *(call(f"diagonal {k}", lambda x, k=k: np.diagonal(x, k), M) for k in (-4, -2, 0, 1, 3, 9)),
    call("diagonal axes", lambda x: np.diagonal(x, 1, 2, 0), C),
    call("diagonal more axes", lambda x: np.diagonal(x, axis1=-1, axis2=-2), C),
    call("x.diagonal", lambda x: x.diagonal(-1), M),
    *(call(f"diag {k}", lambda x, k=k: np.diag(x, k), (3,)) for k in (-2, 0, 1)),
    *(call(f"diag matrix {k}", lambda x, k=k: np.diag(x, k), M) for k in (-1, 0, 2)),
    call("diag nothing", np.diag, (0,)),
    call("diag nothing off", lambda x: np.diag(x, 2), (0,)),
    call("diagflat", lambda x: np.diagflat(x, -1), (2, 2)),
    call("diagflat scalar", np.diagflat, ()),
    *(call(f"tril {k}", lambda x, k=k: np.tril(x, k), M) for k in (-1, 0, 2)),
    *(call(f"triu {k}", lambda x, k=k: np.triu(x, k), C) for k in (-1, 0, 2)),
    call("triu vector", np.triu, (3,)),
    call("tril nothing", np.tril, (0, 3)),
]

WINDOWS = [
    call("windows", lambda x: sliding_window_view(x, 3), (7,)),
    call("wide windows", lambda x: sliding_window_view(x, 6), (7,)),
    call("window of all", lambda x: sliding_window_view(x, 7), (7,)),
    call("window of nothing", lambda x: sliding_window_view(x, 0), (3,)),
    call("windows along an axis", lambda x: sliding_window_view(x, 2, axis=0), M),
    call("windows of both axes", lambda x: sliding_window_view(x, (2, 3)), M),
    call("windows in another order", lambda x: sliding_window_view(x, (3, 2), axis=(-1, 0)), C),
    call("windows of windows", lambda x: sliding_window_view(x, (2, 3), axis=(1, 1)), (2, 6)),
]

OTHER = [
    call("copy", np.copy, M),
    call("x.copy", lambda x: x.copy("F"), M),
    call("real", np.real, M),
    call("x.real", lambda x: x.real, M),
    call("imag", np.imag, M),
    call("x.imag", lambda x: x.imag, M),
    call("x.conj", lambda x: x.conj() + x.conjugate(), M),
    call("x.flat", lambda x: x.flat[3], M),
    call("apply_along_axis", lambda x: np.apply_along_axis(np.sum, 1, x), C),
    call("apply_along_axis to matrices",
         lambda x: np.apply_along_axis(lambda v: v[:, None] * np.ones(2), 1, x), C),
    call("apply_along_axis with more",
         lambda x: np.apply_along_axis(lambda v, w, k: v[::k] * w, 0, x, 2.0, k=2), M),
    call("apply_along_axis vector", lambda x: np.apply_along_axis(np.flip, 0, x), (3,)),
    call("apply_over_axes", lambda x: np.apply_over_axes(np.sum, x, (0, -1)), C),
    call("apply_over_axes one", lambda x: np.apply_over_axes(np.sum, x, 1), C),
]  # fmt: skip

CALLS = [*SHAPES, *TURNED, *REPEATED, *CUT, *DIAGONALS, *WINDOWS, *OTHER]
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
    if "apply_along" not in one.name:
        assert_dtype_is_kept(one, dtype)


@each_call
def test_a_batch_is_one_value_after_the_other(one):
    assert_a_batch_is_one_by_one(one)


def test_the_memory_of_an_input_decides_what_order_a_and_k_mean():
    x = np.asfortranarray(numbers(M))
    for f in (
        lambda x: np.ravel(x, "A"),
        lambda x: x.ravel("K"),
        lambda x: x.reshape(12, order="A"),
    ):
        value, pull = cr.vjp(f, x)
        np.testing.assert_array_equal(value, x.T.ravel())
        np.testing.assert_array_equal(pull(x.T.ravel())[0], x)


def test_a_transposed_input_gets_its_gradient_in_its_own_shape():
    x = numbers(C).transpose(2, 0, 1)[:, ::-1]
    weights = numbers(np.shape(x), 5)
    gradient = cr.grad(lambda x: np.sum(np.ravel(x, "F") * np.ravel(weights, "F")))(x)
    np.testing.assert_array_equal(gradient, weights)


def test_where_an_element_is_not_picked_nothing_comes_back_from_it():
    x = np.array([[1.0, np.inf], [np.nan, 2.0]])
    f = lambda x: np.sum(np.diagonal(x * x))
    np.testing.assert_array_equal(cr.grad(f)(x), [[2.0, 0.0], [0.0, 4.0]])
    f = lambda x: np.sum(np.tril(x * np.array([[1.0, np.inf], [1.0, 1.0]])))
    np.testing.assert_array_equal(cr.grad(f)(np.ones((2, 2))), [[1.0, 0.0], [1.0, 1.0]])


def test_triangles_hide_what_is_not_a_number():
    x = np.array([[1.0, np.nan], [np.inf, 2.0]])
    np.testing.assert_array_equal(cr.vjp(np.triu, x)[0], np.triu(x))


def test_casts_to_whole_numbers_are_steps():
    def f(x):
        steps = x.astype(int)
        assert steps.dtype == int
        return np.sum(x * steps * x.astype(bool))

    np.testing.assert_array_equal(cr.grad(f)(np.array([2.5, -1.5, 0.0])), [2.0, -1.0, 0.0])


def test_casts_to_floats_are_part_of_the_computation():
    def f(x):
        return np.sum(x.astype(np.float32) ** 2) + np.sum(x.astype("f8", copy=False))

    gradient = cr.grad(f)(np.array([1.5, 2.0]))
    assert gradient.dtype == np.float64
    np.testing.assert_array_equal(gradient, [4.0, 5.0])
    assert cr.vjp(lambda x: np.astype(x, np.float32), np.ones(2))[0].dtype == np.float32


def test_a_copy_is_an_array_of_its_own():
    makes = [
        np.copy, lambda x: x.copy(), lambda x: x.astype(float), lambda x: x.flatten(),
        lambda x: np.concatenate([x]), lambda x: np.tile(x, 1), lambda x: np.repeat(x, 1),
        lambda x: np.pad(x, 0), lambda x: np.delete(x, []), lambda x: np.roll(x, 0),
        lambda x: np.resize(x, 2), lambda x: np.block(x), lambda x: np.meshgrid(x)[0],
        lambda x: np.stack(x), lambda x: np.apply_along_axis(lambda v: v, 0, x),
    ]  # fmt: skip
    for make in makes:

        def f(x, make=make):
            y = x * 1.0
            z = make(y)
            z[..., 0] = 7.0
            return np.sum(y * np.array([10.0, 100.0])) + np.sum(z[..., -1])

        plain = np.array([1.0, 2.0])
        assert cr.vjp(f, plain)[0] == f(plain)
        np.testing.assert_array_equal(cr.grad(f)(plain), [10.0, 101.0])


def test_what_numpy_returns_as_a_view_shows_what_is_written_into_the_array():
    views = [
        np.flip, np.rot90, lambda x: np.rot90(x, 0), lambda x: x.T, lambda x: x.reshape(4),
        lambda x: x.swapaxes(0, 1), lambda x: sliding_window_view(x, 2, axis=0), np.diagonal,
    ]  # fmt: skip
    for view in views:

        def f(x, view=view):
            y = x * 1.0
            z = view(y)
            y[0, 0] = 7.0
            return np.sum(z)

        x = np.array([[1.0, 2.0], [3.0, 4.0]])
        assert cr.vjp(f, x)[0] == f(x)
        hidden = cr.grad(f)(x)
        assert (hidden[0, 0], hidden[1, 1]) == (0.0, 1.0)


def test_the_gradient_of_windows_needs_no_memory_for_each_window():
    x = numbers((2000,))
    f = lambda x: np.sum(sliding_window_view(x, 1990).mean(axis=-1) ** 2)
    means = sliding_window_view(x, 1990).mean(axis=-1)
    expected = np.convolve(2 * means / 1990, np.ones(1990))
    np.testing.assert_allclose(cr.grad(f)(x), expected, atol=1e-12)


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda x: x.item(), TraceError, "x.reshape(())"),
        (lambda x: x.tolist(), TraceError, "list(x)"),
        (lambda x: x.strides, AttributeError, "not for memory"),
        (lambda x: x.flags, AttributeError, "not for memory"),
        (lambda x: x.view(np.int64), AttributeError, "not for memory"),
        (lambda x: x.resize((3, 4)), AttributeError, "np.resize"),
        (lambda x: as_strided(x, (2,), (8,)), (AttributeError, TraceError), ""),
        (lambda x: cr.vmap(np.trim_zeros)(x), TraceError, "length of the result"),
        (lambda x: x.astype(complex), NotDifferentiableError, "complex128"),
        (lambda x: x.astype(str), NotDifferentiableError, "cannot be cast"),
        (lambda x: x.astype(np.float32, casting="safe"), TypeError, "'safe'"),
        (lambda x: np.reshape(x, (2, 6), copy=False), TypeError, "copy=False"),
        (lambda x: np.reshape(x, (2, 6), order="K"), ValueError, "order"),
        (lambda x: np.reshape(x, (-1, -1)), ValueError, "one unknown dimension"),
        (lambda x: np.reshape(x, (5, -1)), ValueError, "cannot reshape"),
        (lambda x: np.ravel(x, "X"), ValueError, "order"),
        (lambda x: np.transpose(x, (0, 0)), ValueError, "axes"),
        (lambda x: np.moveaxis(x, (0, 1), 0), ValueError, "same number"),
        (lambda x: np.moveaxis(x, 2, 0), np.exceptions.AxisError, "source"),
        (lambda x: np.rollaxis(x, 0, 4), np.exceptions.AxisError, "start"),
        (lambda x: np.swapaxes(x, 0, 2), np.exceptions.AxisError, "out of bounds"),
        (lambda x: np.matrix_transpose(x[0]), ValueError, "2-dimensional"),
        (lambda x: np.expand_dims(x, (0, 0)), ValueError, "repeated axis"),
        (lambda x: np.squeeze(x, 0), ValueError, "not 1"),
        (lambda x: np.broadcast_to(x, (3, 3)), ValueError, "broadcast"),
        (lambda x: np.fliplr(x[0]), ValueError, "2-d"),
        (lambda x: np.flipud(x[0, 0]), ValueError, "1-d"),
        (lambda x: np.rot90(x, axes=(0, -2)), ValueError, "different"),
        (lambda x: np.rot90(x, axes=(0,)), ValueError, "2"),
        (lambda x: np.roll(x, [[1]], axis=0), ValueError, "1D"),
        (lambda x: np.tile(x, -1), ValueError, "-1"),
        (lambda x: np.repeat(x, -1), ValueError, "negative"),
        (lambda x: np.repeat(x, [1, 2], axis=0), ValueError, "broadcast"),
        (lambda x: np.repeat(x, x[0, 0]), NotDifferentiableError, "whole numbers"),
        (lambda x: np.resize(x, (-1, 2)), ValueError, "non-negative"),
        (lambda x: np.meshgrid(x, indexing="yx"), ValueError, "indexing"),
        (lambda x: np.ix_(x), ValueError, "1 dimensional"),
        (lambda x: np.split(x, 3, axis=1), ValueError, "equal division"),
        (lambda x: np.array_split(x, 0), ValueError, "larger than 0"),
        (lambda x: np.hsplit(x[0, 0], 1), ValueError, "1 or more"),
        (lambda x: np.vsplit(x[0], 2), ValueError, "2 or more"),
        (lambda x: np.dsplit(x, 2), ValueError, "3 or more"),
        (lambda x: np.unstack(x[0, 0]), ValueError, "at least 1-d"),
        (lambda x: np.diagonal(x[0]), ValueError, "two dimensions"),
        (lambda x: np.diagonal(x, axis1=0, axis2=-2), ValueError, "same"),
        (lambda x: np.diag(x[None]), ValueError, "1- or 2-d"),
        (lambda x: np.triu(x[0, 0]), TypeError, "one dimension"),
        (lambda x: sliding_window_view(x, 2), ValueError, "2 axes"),
        (lambda x: sliding_window_view(x, 5, axis=0), ValueError, "larger"),
        (lambda x: sliding_window_view(x, 2, axis=0, writeable=True), TypeError, "written"),
        (lambda x: np.apply_along_axis(np.sum, 1, x[:0]), ValueError, "iteration"),
        (lambda x: np.apply_over_axes(lambda a, axis: a[0, 0], x, 0), ValueError, "shape"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(f, error, says):
    with pytest.raises(error) as caught:
        cr.vjp(f, np.ones(M))
    assert says in str(caught.value)


def test_attributes_about_size_are_those_of_the_array():
    seen = []
    cr.vjp(lambda x: seen.append((x.nbytes, x.itemsize)) or x, np.ones(M, np.float32))
    assert seen == [(48, 4)]


@pytest.mark.parametrize(
    ("f", "names"),
    [
        (lambda x: np.roll(x, 2), ["roll"]),
        (lambda x: np.tile(x, 2), ["tile"]),
        (lambda x: np.repeat(x, 2), ["repeat"]),
        (lambda x: np.repeat(x, 2, axis=0), ["repeat"]),
        (lambda x: np.flip(x), ["flip"]),
        (lambda x: np.diag(x), ["diag"]),
        (lambda x: np.pad(x, 1, "edge"), ["pad"]),
        (lambda x: np.pad(x, 1), ["scatter"]),
        (lambda x: np.hstack([x, x]), ["concatenate"]),
        (lambda x: np.stack([x, x, x]), ["stack"]),
        (lambda x: x.T.T, ["transpose", "transpose"]),
        (lambda x: sliding_window_view(x, 2), ["sliding_window_view"]),
    ],
)
def test_a_call_is_as_few_steps_as_it_reads(f, names):
    tape = []

    def kept(x):
        tape.append(x.tape)
        return f(x)

    _, pull = cr.vjp(kept, np.arange(3.0))  # what is recorded lives as long as ``pull``
    assert [record.op.name for record in tape[0].records if record.op is not None] == names
    del pull


@each_call
def test_a_loop_that_is_recorded_once_has_the_same_gradient(one):
    assert_the_same_in_a_staged_loop(one)
