"""``np.pad`` in all its modes, with traced values inside and outside the array."""

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
from chainrule.errors import NotDifferentiableError
from chainrule.rules import padding
from chainrule.rules.joining import stretches

M = (3, 4)
WIDTHS = {
    "a number": 2,
    "one on the left": (1, 0),
    "each axis": ((1, 2), (0, 3)),
    "one axis": ((0, 0), (2, 1)),
    "far beyond": ((7, 9), (11, 0)),
    "not at all": 0,
}


def padded(name, mode, widths, shape=M, rounded=False, **options):
    return call(name, lambda x: np.pad(x, widths, mode, **options), shape, rounded=rounded)


REPEATING = [
    padded(f"{mode} {name}", mode, widths)
    for mode in ("edge", "reflect", "symmetric", "wrap")
    for name, widths in WIDTHS.items()
]
ODD = [
    padded(f"odd {mode} {name}", mode, widths, reflect_type="odd")
    for mode in ("reflect", "symmetric")
    for name, widths in WIDTHS.items()
]
MORE = [
    *(padded(f"constant {name}", "constant", widths) for name, widths in WIDTHS.items()),
    *(padded(f"even {mode}", mode, 2, reflect_type="even") for mode in ("reflect", "symmetric")),
    *(padded(f"{mode} of one", mode, (2, 3), (1, 2)) for mode in ("reflect", "symmetric", "wrap")),
    *(padded(f"odd {m} of one", m, 2, (1,), reflect_type="odd") for m in ("reflect", "symmetric")),
    *(padded(f"{mode} of two", mode, 5, (2,)) for mode in ("reflect", "symmetric", "edge")),
    *(padded(f"{mode} of 3 axes", mode, 1, (2, 1, 2)) for mode in ("wrap", "reflect")),
    padded("default", "constant", [[1, 2], [0, 0]]),
    padded("dict", "edge", {0: 1, -1: (2, 0)}),
    padded("wrap many times", "wrap", 40, (2,)),
    padded("constants", "constant", 1, constant_values=5),
    padded("constants of both sides", "constant", 2, constant_values=(1.5, -2)),
    padded("constants of each axis", "constant", 2, constant_values=((1, 2), (3, 4))),
    padded("nothing", "constant", 1, (0, 3)),
    padded("nothing but along the other axis", "edge", ((0, 0), (2, 1)), (0, 3)),
    padded("scalar", "constant", 1, ()),
    *(padded(f"mean {name}", "mean", widths) for name, widths in WIDTHS.items()),
    padded("mean of some", "mean", 2, stat_length=2),
    padded("mean of some on each side", "mean", 2, stat_length=((1, 2), (3, 9))),
    # One vector holds the array and the values outside it: np.pad looks at the array alone to see
    # whether anything is traced.
    call("traced constant", lambda z: np.pad(z[1:], 1, constant_values=z[0]), (4,)),
    call("traced constants", lambda z: np.pad(z[2:], (2, 1), constant_values=z[:2]), (5,)),
    call(
        "traced constants of each axis",
        lambda z: np.pad(z[4:].reshape(2, 2), 2, "constant", constant_values=z[:4].reshape(2, 2)),
        (8,),
    ),
    call(
        "traced and plain constants",
        lambda z: np.pad(z[1:].reshape(2, 2), 1, constant_values=((z[0], 1.0), (2.0, z[0]))),
        (5,),
    ),
    *(
        padded(f"ramp {name}", "linear_ramp", widths, rounded=True, end_values=(2, -1))
        for name, widths in WIDTHS.items()
    ),
    padded("ramp to zero", "linear_ramp", 2, rounded=True),
    call(
        "traced ramp",
        lambda z: np.pad(z[2:], 3, "linear_ramp", end_values=z[:2]),
        (5,),
        rounded=True,
    ),
]
# Not affine, so compared with differences instead of a Jacobian made of unit vectors.
PIECEWISE = [
    padded(f"{mode} {name}", mode, widths, **options)
    for mode in ("maximum", "minimum", "median")
    for name, widths, options in (
        ("all", ((2, 1), (0, 2)), {}),
        ("some", 2, {"stat_length": ((2, 1), (1, 3))}),
    )
]

LINEAR = [*REPEATING, *ODD, *MORE]
CALLS = [*LINEAR, *PIECEWISE]
each_call = pytest.mark.parametrize("one", CALLS, ids=[one.name for one in CALLS])
each_linear_call = pytest.mark.parametrize("one", LINEAR, ids=[one.name for one in LINEAR])
each_piecewise_call = pytest.mark.parametrize("one", PIECEWISE, ids=[o.name for o in PIECEWISE])


@each_call
def test_the_value_is_numpys(one):
    assert_value(one)


@each_linear_call
def test_both_modes_are_the_jacobian_that_numpy_shows(one):
    assert_both_modes(one)


@each_linear_call
def test_second_derivatives_pass_through(one):
    assert_second_order(one)


@each_call
def test_float32_is_kept(one):
    assert_dtype_is_kept(one, np.float32)


@each_call
def test_a_batch_is_one_value_after_the_other(one):
    assert_a_batch_is_one_by_one(one)


@each_piecewise_call
def test_both_modes_are_what_differences_show(one):
    x, weights = numbers(M), numbers(np.shape(one.f(np.zeros(M))), 3)
    f = lambda x: np.sum(weights * one.f(x))
    h = 1e-4  # f is linear as far as this
    steps = h * np.eye(12).reshape(12, 3, 4)
    expected = [(f(x + step) - f(x - step)) / (2 * h) for step in steps]
    np.testing.assert_allclose(np.ravel(cr.grad(f)(x)), expected, atol=1e-9)
    tangents = [cr.jvp(f, (x,), (step / h,))[1] for step in steps]
    np.testing.assert_allclose(tangents, expected, atol=1e-9)


def test_the_transpose_of_padding_uses_slices_where_it_can(monkeypatch):
    cuts = []
    monkeypatch.setattr(
        padding, "stretches", lambda places: cuts.append(stretches(places)) or cuts[-1]
    )
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        gradient = cr.grad(lambda x, m=mode: np.sum(np.pad(x, 3, m)))(np.ones((50, 60)))
        assert gradient.sum() == 56 * 66
    assert len(cuts) == 16
    assert None not in cuts


def test_nothing_comes_back_from_where_the_padding_was_multiplied_away():
    x = np.array([1.0, np.inf, 3.0])
    f = lambda x: np.sum(np.where(np.array([1, 0, 1]), np.pad(x, 1)[1:-1] * 2.0, 0.0))
    np.testing.assert_array_equal(cr.grad(f)(x), [2.0, 0.0, 2.0])


def test_the_area_that_empty_leaves_undefined_has_no_derivative():
    f = lambda x: np.sum(np.pad(x, 2, "empty")[2:-2] ** 2)
    np.testing.assert_array_equal(cr.grad(f)(np.arange(3.0)), [0.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda x: np.pad(x, 1, lambda *_: None), NotDifferentiableError, "np.concatenate"),
        (lambda x: np.pad(x, 1, "mirror"), ValueError, "mode 'mirror' is not supported"),
        (lambda x: np.pad(x, 1, "edge", stat_length=2), ValueError, "stat_length"),
        (lambda x: np.pad(x, 1.5), TypeError, "integral"),
        (lambda x: np.pad(x, -1), ValueError, "negative"),
        (lambda x: np.pad(x, (1, 2, 3)), ValueError, "broadcast"),
        (lambda x: np.pad(x[:0], 1, "reflect"), ValueError, "empty axis 0"),
        (lambda x: np.pad(x, 1, "maximum", stat_length=0), ValueError, "stat_length of 0"),
    ],
)
def test_what_cannot_be_padded_is_refused_with_a_reason(f, error, says):
    with pytest.raises(error) as caught:
        cr.vjp(f, np.ones(M))
    assert says in str(caught.value)


@each_call
def test_a_loop_that_is_recorded_once_has_the_same_gradient(one):
    assert_the_same_in_a_staged_loop(one)
