"""Every function of NumPy that a traced value may meet, called: value, derivatives, vmap.

``samples/functions.py`` is the table of calls. Where the property test of the rule book looks at
rows, this looks at what people write: the functions with their options, as NumPy spells them.
"""

import operator

import numpy as np
import pytest
import scipy.special
from oracles import along_direction, off
from samples.functions import CALLS

import chainrule as cr
from chainrule.errors import NotDifferentiableError, TraceError
from chainrule.graph.operand import (
    FUNCTIONS,
    GENERALISED,
    METHODS,
    SCIPY_UFUNCS,
    UFUNC_METHODS,
    UFUNCS,
)
from chainrule.rules import ufunc_methods

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning"),
]


class Namespace:
    """NumPy, with SciPy's special functions as ``special``."""

    special = scipy.special

    def __getattr__(self, name):
        return getattr(np, name)


NAMESPACE = Namespace()


def exists(call):
    """Whether this version of NumPy has the function."""
    try:
        call.call(NAMESPACE, *call.inputs)
    except AttributeError:
        return False
    return True


def results(out):
    """The arrays of a result, which may be a tuple of them."""
    return list(out) if isinstance(out, tuple | list) else [out]


def flattened(call):
    """The call with everything that it returns in one vector."""
    return lambda *inputs: np.concatenate(
        [np.ravel(r) for r in results(call.call(NAMESPACE, *inputs))]
    )


def ids(calls):
    seen = {}
    for c in calls:
        seen[c.function] = seen.get(c.function, 0) + 1
        yield f"{c.function}-{seen[c.function]}"


KNOWN = [c for c in CALLS if exists(c) and not c.refused]
REFUSED = [c for c in CALLS if exists(c) and c.refused]
SMOOTH = [c for c in KNOWN if not c.flat]
FLAT = [c for c in KNOWN if c.flat]
BATCHED = [c for c in KNOWN if c.vmap]
each_call = pytest.mark.parametrize("call", KNOWN, ids=ids(KNOWN))
each_smooth_call = pytest.mark.parametrize("call", SMOOTH, ids=ids(SMOOTH))
each_flat_call = pytest.mark.parametrize("call", FLAT, ids=ids(FLAT))
each_batched_call = pytest.mark.parametrize("call", BATCHED, ids=ids(BATCHED))


def direction(x):
    rng = np.random.default_rng(3 + np.size(x))
    return (rng.uniform(0.2, 1.0, np.shape(x)) * rng.choice([-1, 1], np.shape(x)))[()]


def loss_of(call):
    """A scalar of everything that a call returns, with curvature of its own."""

    def loss(*inputs):
        total = 0.0
        for out in results(call.call(NAMESPACE, *inputs)):
            weights = direction(np.zeros(np.shape(out)))
            total = total + np.sum(weights * out) + np.sum(weights * out * out) / 2
        return total

    return loss


@each_call
def test_the_value_is_numpys(call):
    expected = results(call.call(NAMESPACE, *call.inputs))
    if call.flat:
        seen = []
        cr.grad(lambda *a: np.sum(a[0]) + 0 * bool(seen.append(call.call(NAMESPACE, *a))))(
            *call.inputs
        )
        found = results(seen[0])
    else:
        found = results(cr.vjp(lambda *a: call.call(NAMESPACE, *a), *call.inputs)[0])
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)
        assert np.shape(one) == np.shape(other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


@each_flat_call
def test_what_has_no_derivative_is_a_plain_value(call):
    def f(*inputs):
        for out in results(call.call(NAMESPACE, *inputs)):
            assert not hasattr(out, "tape"), call.flat
        return np.sum(inputs[0])

    cr.grad(f)(*call.inputs)


@each_smooth_call
def test_the_gradient_and_the_tangent_agree_with_differences(call):
    loss, everything = loss_of(call), tuple(range(len(call.inputs)))
    tangents = tuple(map(direction, call.inputs))
    expected, error = along_direction(loss, call.inputs, tangents)
    gradient = cr.grad(loss, everything)(*call.inputs)
    found = sum(np.sum(g * t) for g, t in zip(gradient, tangents, strict=True))
    _, pushed = cr.jvp(loss, call.inputs, tangents)
    scale = max(1.0, *(np.max(np.abs(g)) for g in gradient))
    assert error < 1e-6 * scale, "the oracle is not sure"
    assert off(found, expected, scale, 3 * error) < 1e-9
    assert off(pushed, found, scale) < 1e-11
    for g, x in zip(gradient, call.inputs, strict=True):
        assert np.shape(g) == np.shape(x)


@each_smooth_call
def test_the_second_derivative_agrees_with_differences_of_the_first(call):
    loss, everything = loss_of(call), tuple(range(len(call.inputs)))
    tangents = tuple(map(direction, call.inputs))
    gradient = cr.grad(loss, everything)

    def first(*inputs):
        return np.concatenate([np.ravel(g) for g in gradient(*inputs)])

    expected, error = along_direction(first, call.inputs, tangents)
    _, pushed = cr.jvp(gradient, call.inputs, tangents)
    found = np.concatenate([np.ravel(p) for p in pushed])
    along = lambda *v: cr.jvp(loss, v, tangents)[1]
    twice = cr.grad(
        lambda *v: sum(np.sum(g * t) for g, t in zip(gradient(*v), tangents, strict=True)),
        everything,
    )(*call.inputs)
    other_order = cr.grad(along, everything)(*call.inputs)
    scale = max(1.0, np.max(np.abs(expected)))
    assert np.all(error < 1e-5 * scale), "the oracle is not sure"
    assert off(found, expected, scale, 3 * error) < 1e-8
    for parts in (twice, other_order):
        assert off(np.concatenate([np.ravel(p) for p in parts]), found, scale) < 1e-9


def batches(call, size, axis):
    """Different inputs near those of the call, along a new axis."""
    return tuple(
        np.stack([np.asarray(x) * (1 + 0.01 * k) for k in range(size)], axis) for x in call.inputs
    )


def slices(batch, axis):
    return zip(*(np.moveaxis(b, axis, 0) for b in batch), strict=True)


@each_batched_call
def test_vmap_of_a_call_is_the_loop_over_the_batch(call):
    for size, axis in ((3, 0), (2, -1)):
        batch = batches(call, size, axis)
        found = results(cr.vmap(lambda *a: call.call(NAMESPACE, *a), in_axes=axis)(*batch))
        one_by_one = [results(call.call(NAMESPACE, *s)) for s in slices(batch, axis)]
        for one, other in zip(found, zip(*one_by_one, strict=True), strict=True):
            np.testing.assert_allclose(one, np.stack(other), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "call", [c for c in BATCHED if not c.flat], ids=ids([c for c in BATCHED if not c.flat])
)
def test_vmap_of_the_gradient_of_a_call_is_the_loop_over_the_batch(call):
    gradient = cr.grad(loss_of(call), tuple(range(len(call.inputs))))
    batch = batches(call, 3, 0)
    found = cr.vmap(gradient)(*batch)
    one_by_one = zip(*(gradient(*s) for s in slices(batch, 0)), strict=True)
    for one, other in zip(found, one_by_one, strict=True):
        np.testing.assert_allclose(one, np.stack(other), rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------------------- nothing is left out


def called(path):
    return operator.attrgetter(path)(NAMESPACE)


def names_in_the_table(prefix=""):
    return {c.function.removeprefix(prefix) for c in CALLS if c.function.startswith(prefix)}


def functions_in_the_table():
    paths = [p for p in names_in_the_table() if not p.startswith(".")]
    found = []
    for path in paths:
        try:
            found.append(called(path))
        except AttributeError:
            continue
    return found


def test_every_numpy_function_with_an_adapter_is_called_here():
    table = functions_in_the_table()
    reduced = {c.function.partition(".")[0] for c in CALLS if c.function.endswith(".reduce")}
    missing = [
        f.__name__
        for f in {*FUNCTIONS, *GENERALISED}
        if f not in table and not (isinstance(f, np.ufunc) and f.__name__ in reduced)
    ]
    assert missing == []


def test_every_ufunc_with_a_row_is_called_here():
    table = functions_in_the_table()
    ufuncs = {*UFUNCS, *(f for f in ufunc_methods.CALLS if isinstance(f, np.ufunc))}
    assert [f.__name__ for f in ufuncs if f not in table] == []
    of_scipy = {*SCIPY_UFUNCS, *(f for f in ufunc_methods.CALLS if isinstance(f, str))}
    public = {name for name in of_scipy if not name.startswith("_")}
    assert sorted(public - names_in_the_table("special.")) == []


def test_every_method_is_called_here():
    methods = {name for name in METHODS if hasattr(np.ndarray, name)}
    assert sorted(methods - names_in_the_table(".")) == []
    tails = {c.function.partition(".")[2] for c in CALLS}
    assert sorted(set(UFUNC_METHODS) - tails - {"__call__"}) == []


@pytest.mark.parametrize("call", REFUSED, ids=ids(REFUSED))
def test_what_is_refused_says_why(call):
    with pytest.raises((NotDifferentiableError, TraceError, TypeError), match=call.refused):
        cr.grad(loss_of(call))(*call.inputs)


WHOLE = {
    "fabs": np.fabs,
    "rint": np.rint,
    "modf": lambda x: np.modf(x)[1],
    "clip from below": lambda x: np.clip(x, 1, None),
    "clip from above": lambda x: np.clip(x, None, 2),
    "nansum": np.nansum,
    "nanprod": np.nanprod,
    "nanmean": np.nanmean,
    "mean of some": lambda x: np.mean(x, where=x > 0),
    "nancumsum": np.nancumsum,
    "nan_to_num": np.nan_to_num,
    "isclose": lambda x: np.isclose(x, x[::-1]),
    "bincount": lambda x: np.bincount(np.maximum(x, 0)),
    "unwrap": np.unwrap,
    "gradient": np.gradient,
}
# NumPy takes no difference of truth values.
OF_WHOLE = [
    (name, dtype) for dtype in (np.int64, np.int32, np.bool_) for name in WHOLE
    if (name, dtype) != ("gradient", np.bool_)
]  # fmt: skip


@pytest.mark.parametrize(("name", "dtype"), OF_WHOLE)
def test_whole_numbers_give_what_numpy_gives_in_its_dtype(name, dtype):
    f = WHOLE[name]
    x = np.array([1, 0, 9, 2, 2]).astype(dtype)
    found, expected = cr.jit(f)(x), f(x)
    assert np.asarray(found).dtype == np.asarray(expected).dtype
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_steps_between_truth_values_are_changes():
    x = np.array([True, True, False])
    np.testing.assert_array_equal(cr.jit(np.diff)(x), np.diff(x))


def test_whole_numbers_that_differ_by_too_much_are_not_close():
    x, y = np.array([2**63 - 1, 5]), np.array([-1, 5])
    np.testing.assert_array_equal(cr.jit(np.isclose)(x, y), np.isclose(x, y))
