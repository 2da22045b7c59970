"""One property test that walks the whole rule book.

Each row is held against oracles that know nothing of its derivative: NumPy and SciPy for the value,
mpmath at 30 and 50 digits, the complex step, and extrapolated differences. The oracles themselves
are tested: an error of 0.1 % planted in any edge of any row is found, and so is a derivative that
forgets that it depends on the arguments itself.

The samples live in ``samples/``, one module per family of rows.
"""

import dataclasses
import functools
import itertools

import numpy as np
import pytest
from oracles import (
    EPS,
    MP30,
    MP50,
    along_direction,
    extrapolated,
    jacobian_by_complex_step,
    jacobian_by_differences,
    mp_derivative,
    mp_second,
    off,
    shifted_layouts,
)
from samples import (
    INF,
    Made,
    all_structured,
    array,
    collected,
    elementwise,
    of_long_families,
)

import chainrule as cr
from chainrule.chain import reverse
from chainrule.graph.node import Graph
from chainrule.graph.operand import bind, concrete
from chainrule.graph.primitive import Bilinear, Custom, Flat, Linear, Mask, Scale
from chainrule.graph.rewriting import exact
from chainrule.graph.tape import Tape
from chainrule.rules import BOOK
from chainrule.run.precise import evaluate_precisely

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning"),
]

ELEMENTWISE, STRUCTURED, CONVENTIONS = elementwise(), all_structured(), collected("CONVENTIONS")
LONG = of_long_families()


def points(name):
    return ELEMENTWISE[name][1]


def exact_points(name):
    """The points at which mpmath is asked."""
    return points(name)[:: 3 if name in LONG and len(points(name)) > 6 else 1]


def columns(name):
    """All points at once: one array per argument."""
    return tuple(map(np.array, zip(*points(name), strict=True)))


def arity(name):
    return len(points(name)[0])


def differentiable(row, count):
    return [i for i in range(count) if not isinstance(row.edge(i), Flat)]


def edges_of(name, count):
    return [(name, i) for i in differentiable(BOOK[name], count)] if name in BOOK else []


ELEMENTWISE_EDGES = [edge for name in ELEMENTWISE for edge in edges_of(name, arity(name))]
STRUCTURED_EDGES = [
    edge
    for name, samples in STRUCTURED.items()
    for edge in edges_of(name, max(len(case.args) for case in samples.cases))
]
ANALYTIC_EDGES = [(name, i) for name, i in ELEMENTWISE_EDGES if BOOK[name].analytic]
SMOOTH = [(name, i) for name, i in ELEMENTWISE_EDGES if BOOK[name].mpmath is not None]
BROADCASTING = sorted({name for name, _ in ELEMENTWISE_EDGES if arity(name) > 1})
DIFFERENTIABLE = list(dict.fromkeys(name for name, _ in ELEMENTWISE_EDGES))
DIFFERENTIABLE_ARRAYS = list(dict.fromkeys(name for name, _ in STRUCTURED_EDGES))

each_elementwise_row = pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n in BOOK])
each_structured_row = pytest.mark.parametrize("name", [n for n in STRUCTURED if n in BOOK])
each_elementwise_edge = pytest.mark.parametrize(("name", "i"), ELEMENTWISE_EDGES)
each_structured_edge = pytest.mark.parametrize(("name", "i"), STRUCTURED_EDGES)
each_differentiable_row = pytest.mark.parametrize("name", DIFFERENTIABLE)
each_differentiable_array_operation = pytest.mark.parametrize("name", DIFFERENTIABLE_ARRAYS)

# ---------------------------------------------------------------------------------- rows and cases


def applied(row, attrs=None):
    """The row as a function of its arguments."""
    return lambda *args: bind(row, args, attrs or {})


def grad(f, i):
    return cr.grad(f, argnums=i)


def replaced(args, i, value):
    return (*args[:i], value, *args[i + 1 :])


def floats(point):
    """A point of NumPy scalars; what is an integer or a truth value in the sample stays one."""
    return tuple(np.float64(p) if isinstance(p, float) else p for p in point)


def free(arg):
    """What of an argument can be moved."""
    return arg.free if isinstance(arg, Made) else arg


def made(arg, value):
    """The argument with ``value`` for what can be moved."""
    return arg.make(value) if isinstance(arg, Made) else value


def made_args(case):
    return tuple(made(a, free(a)) for a in case.args)


def function_of(row, case, places, evaluate=None):
    """The row as a function of what can be moved of the arguments in ``places``."""
    fixed, attrs = made_args(case), case.attrs

    def f(*values):
        args = list(fixed)
        for i, value in zip(places, values, strict=True):
            args[i] = made(case.args[i], value)
        return evaluate(*args, **attrs) if evaluate else bind(row, tuple(args), attrs)

    return f


def moved_places(row, case):
    return differentiable(row, len(case.args))


def direction(x):
    """A generic tangent or cotangent, with no symmetry to the samples."""
    rng = np.random.default_rng(7 + np.size(x))
    return (rng.uniform(0.2, 1.0, np.shape(x)) * rng.choice([-1, 1], np.shape(x)))[()]


def sparse(x):
    """A cotangent that is zero at every other place, so that it has a support."""
    return np.where(np.arange(np.size(x)).reshape(np.shape(x)) % 2 == 0, direction(x), 0.0)[()]


def curved(f):
    """A scalar of ``f``'s value whose second derivative shows all of ``f``'s first and second."""

    def loss(*args):
        out = f(*args)
        weights = direction(np.zeros(np.shape(out)))
        return np.sum(weights * out) + np.sum(weights * out * out) / 2

    return loss


# ----------------------------------------------------------------------------------------- oracles


def worst_complex_step(row, name, i):
    worst = 0.0
    for p in points(name):
        moved = replaced(p, i, complex(p[i], 1e-30))
        expected = row.evaluate(*(np.asarray(v)[()] for v in moved)).imag / 1e-30
        worst = max(worst, off(grad(applied(row), i)(*floats(p)), expected))
    return worst


@functools.cache
def exact_derivative(name, point, i):
    return float(mp_derivative(MP30, BOOK[name], point, i))


@functools.cache
def exact_second_derivative(name, point, i, j):
    return float(mp_second(MP30, BOOK[name], point, i, j))


def worst_mp(row, name, i):
    return max(
        off(grad(applied(row), i)(*floats(p)), exact_derivative(name, p, i))
        for p in exact_points(name)
    )


def worst_difference(row, name, i):
    at = columns(name)
    x = at[i]
    starts = (0.02 * np.maximum(1.0, abs(x)), 0.02 * abs(x), 1e-4 * abs(x))
    expected, error = extrapolated(lambda h: row.evaluate(*replaced(at, i, x + h)), starts)
    value = row.evaluate(*at)
    _, pull = cr.vjp(lambda v: bind(row, replaced(at, i, v)), x)
    floor = 1e-2 + 1e-6 * abs(value) / np.maximum(abs(x), 1e-3)
    assert np.all(error < 1e-5 * np.maximum(abs(expected), floor)), "the oracle is not sure"
    return off(pull(np.ones(np.shape(value)))[0], expected, floor)


def worst_structured(row, name, i):
    """Both modes against every column of the Jacobian."""
    worst, samples = 0.0, STRUCTURED[name]
    oracle = jacobian_by_complex_step if samples.analytic else jacobian_by_differences
    for case in samples.cases:
        if i >= len(case.args):
            continue
        x = free(case.args[i])
        matrix, error = oracle(function_of(row, case, [i], row.evaluate), x)
        size = max(1.0, np.max(np.abs(matrix), initial=0.0))
        assert np.all(error < 1e-6 * size), f"the oracle is not sure: {np.max(error)}"
        f = function_of(row, case, [i])
        out, pull = cr.vjp(f, x)
        for ct in (direction(out), sparse(out)):
            expected, allowed = np.ravel(ct) @ matrix, np.ravel(abs(ct)) @ error
            found = pull(ct)[0]
            assert np.shape(found) == np.shape(x)
            worst = max(worst, off(np.ravel(found), expected, 1e-2 * size, 2 * allowed))
        for t in (direction(x), sparse(x)):
            expected, allowed = matrix @ np.ravel(t), error @ np.ravel(abs(t))
            found = cr.jvp(f, (x,), (t,))[1]
            assert np.shape(found) == np.shape(out)
            worst = max(worst, off(np.ravel(found), expected, 1e-2 * size, 2 * allowed))
    return worst


def both_products(f, x):
    """⟨ct, push(t)⟩ and ⟨pull(ct), t⟩."""
    out, pull = cr.vjp(f, x)
    t, ct = direction(x), direction(out)
    _, pushed = cr.jvp(f, (x,), (t,))
    return float(np.sum(ct * pushed)), float(np.sum(pull(ct)[0] * t))


def second_along(row, case):
    """The loss of a case, where, along which direction, and H·t by reverse over reverse."""
    places = moved_places(row, case)
    at = tuple(free(case.args[i]) for i in places)
    tangents = tuple(map(direction, at))
    everything = tuple(range(len(at)))
    gradient = cr.grad(curved(function_of(row, case, places)), everything)

    def along(*values):
        found = gradient(*values)
        return sum(np.sum(g * t) for g, t in zip(found, tangents, strict=True))

    return places, at, tangents, gradient, cr.grad(along, everything)(*at)


def worst_second(row, name):
    """H·t, in every argument at once, against differences of the gradient."""
    worst = 0.0
    for case in STRUCTURED[name].cases:
        _, at, tangents, gradient, second = second_along(row, case)
        flat = lambda *values, g=gradient: np.concatenate([np.ravel(v) for v in g(*values)])
        if not sum(map(np.size, at)):
            continue
        expected, error = along_direction(flat, at, tangents)
        found = np.concatenate([np.ravel(s) for s in second])
        size = max(1.0, np.max(np.abs(expected)))
        assert np.all(error < 1e-5 * size), f"the oracle is not sure: {np.max(error)}"
        worst = max(worst, off(found, expected, size, 5 * error))
    return worst


# ------------------------------------------------------------------------------------------ claims


def test_every_row_has_samples():
    assert sorted(set(BOOK) - set(ELEMENTWISE) - set(STRUCTURED)) == []
    assert sorted((set(ELEMENTWISE) | set(STRUCTURED)) - set(BOOK)) == []
    assert all(BOOK[name].elementwise for name in ELEMENTWISE)
    assert not any(BOOK[name].elementwise for name in STRUCTURED)


@each_elementwise_row
def test_the_value_is_that_of_the_function_of_this_name(name):
    row, (reference, _) = BOOK[name], ELEMENTWISE[name]
    for point in points(name):
        value, expected = row.evaluate(*floats(point)), reference(*floats(point))
        np.testing.assert_allclose(value, expected, rtol=2e-12, atol=0)
        assert isinstance(value, np.generic), "a scalar in gives a scalar out"


@each_structured_row
def test_the_value_of_an_array_operation_is_that_of_numpys(name):
    row, samples = BOOK[name], STRUCTURED[name]
    for case in samples.cases:
        args = made_args(case)
        value = row.evaluate(*args, **case.attrs)
        expected = samples.reference(*args, **case.attrs)
        np.testing.assert_allclose(value, expected, rtol=samples.rtol, atol=1e-15)
        assert np.shape(value) == np.shape(expected)
        assert np.shape(value) != () or isinstance(value, np.generic)


def many_points(row, like):
    """Points all over the domain: every order of magnitude, both signs, near 0 and ±1."""
    count = len(like)
    rng = np.random.default_rng(count)
    sizes = rng.choice([-1, 1], (300, count)) * 10.0 ** rng.uniform(-5, 2.4, (300, count))
    near = rng.choice([-1, 0, 1], (200, count)) + rng.choice([-1, 1], (200, count)) * (
        10.0 ** rng.uniform(-12, -0.01, (200, count))
    )
    unit = rng.uniform(0, 1, (100, count))
    found = [
        c if isinstance(p, float) else c > 0 if isinstance(p, bool) else np.rint(c).astype(int)
        for c, p in zip(np.concatenate([sizes, near, unit]).T, like, strict=True)
    ]
    inside = True if row.domain is None else row.domain.test(*found)
    inside = np.broadcast_to(np.asarray(inside, bool), len(found[0]))
    return list(zip(*(c[inside].tolist() for c in found), strict=True))


# NumPy adds the larger argument to a logarithm: where the two cancel, the error is relative to the
# arguments.
CANCELLING = ("logaddexp", "logaddexp2")


@each_elementwise_row
def test_the_stated_rounding_bound_holds_all_over_the_domain(name):
    row = BOOK[name]
    found = many_points(row, points(name)[0])[:: 7 if name in LONG else 1]
    assert found
    for point in found:
        value = row.evaluate(*floats(point))
        exactly = row.mpmath(MP50, *(MP50.mpf(p) if isinstance(p, float) else p for p in point))
        if not np.isfinite(value) or 0 < abs(value) < 1e-290:
            continue
        error = abs(MP50.mpf(float(value)) - exactly)
        size = max(map(abs, point)) if name in CANCELLING else 0.0
        assert error <= row.ulps * EPS * max(abs(exactly), size) + MP50.mpf(1e-300), (
            f"{name}{point}: {float(error / abs(exactly) / EPS):.3g} ulps"
        )


@pytest.mark.parametrize(("name", "i"), ANALYTIC_EDGES)
def test_a_complex_step_agrees_with_the_derivative(name, i):
    assert worst_complex_step(BOOK[name], name, i) < 1e-12


@pytest.mark.parametrize(("name", "i"), SMOOTH)
def test_mpmath_agrees_with_the_derivative(name, i):
    assert worst_mp(BOOK[name], name, i) < 1e-12


@each_elementwise_edge
def test_differences_agree_with_the_derivative(name, i):
    assert worst_difference(BOOK[name], name, i) < 1e-7


@each_structured_edge
def test_both_modes_of_an_array_operation_are_its_jacobian(name, i):
    assert worst_structured(BOOK[name], name, i) < 1e-11


def test_integers_into_a_flat_argument_receive_nothing():
    for name in ELEMENTWISE:
        row = BOOK[name]
        for i in set(range(arity(name))) - set(differentiable(row, arity(name))):
            point = floats(points(name)[0])
            if row.recorded and isinstance(point[i], float):
                assert grad(applied(row), i)(*point) == 0


@each_elementwise_edge
def test_forward_and_backward_of_an_elementwise_row_are_transposes(name, i):
    at = columns(name)
    left, right = both_products(lambda v: bind(BOOK[name], replaced(at, i, v)), at[i])
    assert left == pytest.approx(right, rel=1e-12)


@each_structured_edge
def test_forward_and_backward_of_an_array_operation_are_transposes(name, i):
    for case in STRUCTURED[name].cases:
        if i < len(case.args):
            f = function_of(BOOK[name], case, [i])
            left, right = both_products(f, free(case.args[i]))
            assert left == pytest.approx(right, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(("name", "i"), SMOOTH)
def test_second_derivatives_agree_with_mpmath_in_every_order_of_modes(name, i):
    row = BOOK[name]
    f = applied(row)
    some = exact_points(name)[:: 2 if len(exact_points(name)) > 6 else 1]
    for point, j in itertools.product(some, differentiable(row, arity(name))):
        at = floats(point)
        first = lambda v, at=at, j=j: grad(f, i)(*replaced(at, j, v))
        along = lambda v, at=at: cr.jvp(lambda u: f(*replaced(at, i, u)), (v,), (1.0,))[1]
        reverse_twice = cr.grad(first)(at[j])
        forward_over_reverse = cr.jvp(first, (at[j],), (1.0,))[1]
        scale = 1e-3 + abs(float(first(at[j]))) / max(1e-3, abs(point[j]))
        expected = exact_second_derivative(name, point, min(i, j), max(i, j))
        assert off(reverse_twice, expected, scale) < 1e-10
        assert off(forward_over_reverse, reverse_twice, scale) < 1e-12
        if i == j:
            assert off(cr.grad(along)(at[i]), reverse_twice, scale) < 1e-12
            assert off(cr.jvp(along, (at[i],), (1.0,))[1], reverse_twice, scale) < 1e-12


@each_differentiable_array_operation
def test_second_derivatives_of_array_operations_agree_with_differences_of_the_first(name):
    assert worst_second(BOOK[name], name) < 1e-7


@each_differentiable_array_operation
def test_second_derivatives_of_array_operations_are_the_same_in_every_order_of_modes(name):
    row = BOOK[name]
    for case in STRUCTURED[name].cases:
        places, at, tangents, gradient, second = second_along(row, case)
        loss = curved(function_of(row, case, places))
        everything = tuple(range(len(at)))
        along = lambda *v, f=loss, t=tangents: cr.jvp(f, v, t)[1]
        orders = {
            "forward over reverse": cr.jvp(gradient, at, tangents)[1],
            "reverse over forward": cr.grad(along, everything)(*at),
        }
        for order, found in orders.items():
            for one, other in zip(found, second, strict=True):
                scale = np.max(np.abs(other), initial=1e-3)
                np.testing.assert_allclose(
                    one, other, rtol=1e-9, atol=1e-11 * scale, err_msg=f"{order}, {case}"
                )
        curvature = cr.jvp(along, at, tangents)[1]
        expected = sum(np.sum(s * t) for s, t in zip(second, tangents, strict=True))
        assert off(curvature, expected, 1.0) < 1e-8


SHAPES = [
    ((3,), (2, 3)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((1,), ()), ((0,), ()),
    ((0,), (1,)), ((1, 1), (2, 1)), ((3,), (3,)), ((2, 0, 1), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("name", BROADCASTING)
def test_the_gradient_through_broadcasting_is_the_loop_over_elements(name):
    row, places = BOOK[name], tuple(differentiable(BOOK[name], arity(name)))
    for pair in SHAPES:
        shapes = (*pair, *pair)[: arity(name)]
        args = [np.resize(c, s)[()] for c, s in zip(columns(name), shapes, strict=True)]
        weights = array(*np.broadcast_shapes(*shapes))
        found = cr.grad(lambda *a, w=weights: np.sum(w * bind(row, a)), places)(*args)
        wide = [np.broadcast_to(a, weights.shape) for a in args]
        for i, gradient in zip(places, found, strict=True):
            local = np.zeros(weights.shape)
            for place in np.ndindex(weights.shape):
                local[place] = grad(applied(row), i)(*(w[place] for w in wide))
            summed = weights * local
            while summed.ndim > np.ndim(args[i]):
                summed = summed.sum(axis=0)
            for axis, length in enumerate(np.shape(args[i])):
                if length == 1:
                    summed = summed.sum(axis=axis, keepdims=True)
            assert np.shape(gradient) == np.shape(args[i])
            np.testing.assert_allclose(gradient, summed, rtol=1e-12, atol=1e-13)
            f_i = lambda v, i=i, args=args: bind(row, replaced(tuple(args), i, v))
            _, tangent = cr.jvp(f_i, (args[i],), (np.ones(shapes[i])[()],))
            np.testing.assert_allclose(tangent, local, rtol=1e-12, atol=1e-13)


@each_differentiable_row
def test_elementwise_rows_take_arrays_of_no_elements_and_of_no_dimensions(name):
    row, places = BOOK[name], tuple(differentiable(BOOK[name], arity(name)))
    for shape in ((0,), (2, 0), (1, 0, 3)):
        empty = tuple(np.resize(c, shape) if shape else c for c in columns(name))
        empty = tuple(np.zeros(shape, c.dtype) for c in empty)
        loss = lambda *args: np.sum(bind(row, args))
        for found in cr.grad(loss, places)(*empty):
            assert np.shape(found) == shape
        for i in places:
            f = lambda v, i=i, a=empty: bind(row, replaced(a, i, v))
            value, tangent = cr.jvp(f, (empty[i],), (empty[i],))
            assert np.shape(value) == np.shape(tangent) == shape
    point = points(name)[0]
    boxed = tuple(np.array(p) for p in point)
    found = cr.grad(applied(row), places)(*boxed)
    expected = cr.grad(applied(row), places)(*floats(point))
    for one, other in zip(found, expected, strict=True):
        assert np.shape(one) == ()
        assert one == other


@each_differentiable_array_operation
def test_array_operations_take_arrays_of_no_elements_wherever_numpy_does(name):
    row, samples = BOOK[name], STRUCTURED[name]
    if not samples.emptied:
        assert any(np.size(free(a)) == 0 for case in samples.cases for a in case.args)
        return
    for case in samples.cases:
        for axis in range(max(np.ndim(free(a)) for a in case.args)):
            emptied = dataclasses.replace(
                case, args=tuple(emptied_along(a, axis) for a in case.args)
            )
            try:
                expected = np.shape(samples.reference(*made_args(emptied), **case.attrs))
            except (ValueError, IndexError, TypeError, np.linalg.LinAlgError, ZeroDivisionError):
                continue
            places = moved_places(row, emptied)
            f = function_of(row, emptied, places)
            at = tuple(free(emptied.args[i]) for i in places)
            value, tangent = cr.jvp(f, at, at)
            assert np.shape(value) == np.shape(tangent) == expected
            for x, found in zip(at, cr.vjp(f, *at)[1](np.ones(expected)), strict=True):
                assert np.shape(found) == np.shape(x)
            for x, found in zip(at, second_along(row, emptied)[-1], strict=True):
                assert np.shape(found) == np.shape(x)


def emptied_along(arg, axis):
    """The argument with no elements along this axis, if it is an array of numbers that has it."""
    if isinstance(arg, Made):
        return dataclasses.replace(arg, free=emptied_along(arg.free, axis))
    if np.ndim(arg) <= axis or np.asarray(arg).dtype.kind != "f":
        return arg
    return np.delete(arg, slice(None), axis)


@each_differentiable_row
def test_elementwise_rows_do_not_mind_how_arrays_lie_in_memory(name):
    row, at = BOOK[name], columns(name)
    for i in differentiable(row, arity(name)):
        f = lambda v, i=i: bind(row, replaced(at, i, v))
        assert_the_same_in_any_layout(f, at[i])


@each_structured_edge
def test_array_operations_do_not_mind_how_arrays_lie_in_memory(name, i):
    for case in STRUCTURED[name].cases:
        if i < len(case.args):
            assert_the_same_in_any_layout(function_of(BOOK[name], case, [i]), free(case.args[i]))


def assert_the_same_in_any_layout(f, x):
    """Value, pull and push from strided, reversed, Fortran-order and read-only arrays.

    None of them is written to.
    """
    value, pull = cr.vjp(f, x)
    ct, t = direction(value), direction(x)
    pulled, pushed = pull(ct)[0], cr.jvp(f, (x,), (t,))[1]
    layouts = zip(
        shifted_layouts(x), shifted_layouts(t), itertools.cycle(reversed(shifted_layouts(ct)))
    )
    for (how, x2), (_, t2), (how_ct, ct2) in layouts:
        kept = x2.copy(), t2.copy(), ct2.copy()
        value2, pull2 = cr.vjp(f, x2)
        (pulled2,) = pull2(ct2)
        _, pushed2 = cr.jvp(f, (x2,), (t2,))
        for found, expected in ((value2, value), (pushed2, pushed), (pulled2, pulled)):
            np.testing.assert_allclose(
                found, expected, rtol=1e-12, atol=1e-13, err_msg=f"{how}, cotangent {how_ct}"
            )
        for now, before in zip((x2, t2, ct2), kept, strict=True):
            np.testing.assert_array_equal(now, before, err_msg=f"{how}: written to")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_elementwise_edge
def test_values_and_gradients_keep_the_dtype(name, i, dtype):
    row = BOOK[name]
    small = np.finfo(dtype)
    for point in points(name):
        narrow = tuple(dtype(p) if isinstance(p, float) else p for p in point)
        if any(not 1e-3 < abs(p) < 20 for p in narrow if isinstance(p, dtype)):
            continue
        wide = tuple(np.float64(p) if isinstance(p, dtype) else p for p in narrow)
        value, gradient = cr.value_and_grad(applied(row), argnums=i)(*narrow)
        assert value.dtype == gradient.dtype == dtype
        _, tangent = cr.jvp(lambda v, p=narrow: bind(row, replaced(p, i, v)), (narrow[i],), (1.0,))
        assert tangent.dtype == dtype
        exactly, slope = cr.value_and_grad(applied(row), argnums=i)(*wide)
        if max(abs(exactly), abs(slope)) < small.max / 4 and row.evaluate(*narrow) == value:
            floor = max(1e-2, abs(float(exactly)))
            assert off(value, exactly, floor) < 100 * small.eps
            assert off(gradient, slope, max(1.0, floor)) < 300 * small.eps
            assert gradient == tangent


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@each_differentiable_array_operation
def test_array_operations_keep_the_dtype_in_both_modes_and_both_orders(name, dtype):
    row, samples = BOOK[name], STRUCTURED[name]
    if dtype not in samples.dtypes:
        pytest.skip(f"NumPy's {name} takes no {np.dtype(dtype)}")
    for case in samples.cases:
        narrow, wide = in_dtype(row, case, dtype), in_dtype(row, case, dtype, np.float64)
        places = moved_places(row, case)
        at, exactly = (tuple(free(c.args[i]) for i in places) for c in (narrow, wide))
        everything = tuple(range(len(at)))
        found, expected = [], []
        for values, c, into in ((at, narrow, found), (exactly, wide, expected)):
            f = function_of(row, c, places)
            value, pull = cr.vjp(f, *values)
            into += [value, *pull(np.ones(np.shape(value))), cr.jvp(f, values, values)[1]]
            first = cr.grad(curved(f), everything)
            total = lambda *v, g=first: sum(np.sum(part) for part in g(*v))
            into += cr.grad(total, everything)(*values)
        limit, eps = float(np.finfo(dtype).max), float(np.finfo(dtype).eps)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == dtype, case
            assert other.dtype == np.float64, case
            scale = float(np.max(np.abs(other), initial=1.0))
            if scale < limit / 100:
                np.testing.assert_allclose(one, other, rtol=0, atol=100 * eps * scale)


def in_dtype(row, case, dtype, kept_as=None):
    """The case with its differentiable arguments rounded to ``dtype``."""

    def rounded(x):
        return np.asarray(np.asarray(x, dtype), kept_as or dtype)[()]

    args = tuple(
        a
        if isinstance(row.edge(i), Flat)
        else dataclasses.replace(a, free=rounded(a.free))
        if isinstance(a, Made)
        else rounded(a)
        for i, a in enumerate(case.args)
    )
    of_dtype = {k: v for k, v in case.attrs.items() if isinstance(v, np.dtype) and v.kind == "f"}
    attrs = case.attrs | dict.fromkeys(of_dtype, np.dtype(kept_as or dtype))
    return dataclasses.replace(case, args=args, attrs=attrs)


@each_elementwise_edge
def test_second_derivatives_keep_float32(name, i):
    point = tuple(
        np.float32(p) if isinstance(p, float) else p for p in points(name)[2 % len(points(name))]
    )
    first = lambda v: grad(applied(BOOK[name]), i)(*replaced(point, i, v))
    assert cr.grad(first)(point[i]).dtype == np.float32


def test_an_argument_of_less_precision_gets_its_gradient_in_its_own_precision():
    for name in ("add", "multiply", "divide", "maximum", "hypot", "matmul"):
        a, b = np.ones((2, 2), np.float32), np.full((2, 2), 3.0)
        f = lambda x, y, n=name: np.sum(bind(BOOK[n], (x, y)))
        assert [g.dtype for g in cr.grad(f, (0, 1))(a, b)] == [np.float32, np.float64]
        twice = cr.grad(lambda x, b=b, f=f: np.sum(cr.grad(f)(x, b)))
        assert twice(a).dtype == np.float32
        assert cr.jvp(lambda x, b=b, f=f: f(x, b), (a,), (a,))[1].dtype == np.float64


# -------------------------------------------------------------------------------------------- vmap


def looped(f, args, axes):
    """What vmap means: the function of every slice, stacked."""
    (size,) = {np.shape(a)[axis] for a, axis in zip(args, axes, strict=True) if axis is not None}
    slices = [
        f(*(a if axis is None else np.take(a, k, axis) for a, axis in zip(args, axes, strict=True)))
        for k in range(size)
    ]
    return np.stack(slices)


def stacked(x, size, axis):
    """Different arguments near ``x``, along a new axis."""
    return np.stack([np.asarray(x) * (1 + 0.03 * k) for k in range(size)], axis)


def assert_vmap_is_the_loop(f, args, axes, places, **tolerance):
    """Value, and in each of ``places`` gradient and tangent."""
    np.testing.assert_allclose(
        cr.vmap(f, in_axes=axes)(*args), looped(f, args, axes), **tolerance, err_msg="value"
    )
    for i in places:
        gradient = cr.grad(curved(f), i)
        along = lambda *a, i=i: cr.jvp(lambda v: f(*replaced(a, i, v)), (a[i],), (2.0 * a[i],))[1]
        for function, word in ((gradient, "gradient"), (along, "tangent")):
            found, expected = cr.vmap(function, in_axes=axes)(*args), looped(function, args, axes)
            np.testing.assert_allclose(found, expected, **tolerance, err_msg=word)


@each_differentiable_row
def test_vmap_of_an_elementwise_row_is_the_loop_over_the_batch(name):
    f, at = applied(BOOK[name]), columns(name)
    places = differentiable(BOOK[name], len(at))
    assert_vmap_is_the_loop(f, at, (0,) * len(at), places, rtol=1e-12, atol=1e-14)
    for i in range(len(at)):
        one = replaced(tuple(c[0] for c in at), i, at[i][:1])
        axes = replaced((None,) * len(at), i, 0)
        assert_vmap_is_the_loop(f, one, axes, places, rtol=1e-12, atol=1e-14)


@each_differentiable_array_operation
def test_vmap_of_an_array_operation_is_the_loop_over_the_batch(name):
    row = BOOK[name]
    for number, case in enumerate(STRUCTURED[name].cases):
        places = moved_places(row, case)
        f = function_of(row, case, places)
        at = tuple(free(case.args[i]) for i in places)
        everything = range(len(at))
        sizes = ((3, 0), (1, 0), (2, -1)) if number == 0 else ((3, 0), (2, -1))[number % 2 :][:1]
        for size, axis in sizes:
            batch = tuple(stacked(x, size, axis) for x in at)
            axes = (axis,) * len(at)
            assert_vmap_is_the_loop(f, batch, axes, everything, rtol=1e-10, atol=1e-11)
        for k in everything if len(at) > 1 else ():
            some = replaced(at, k, stacked(at[k], 2, 0))
            axes = replaced((None,) * len(at), k, 0)
            assert_vmap_is_the_loop(f, some, axes, [(k + number) % len(at)], rtol=1e-10, atol=1e-11)


@each_differentiable_array_operation
def test_a_batch_of_none_gives_a_batch_of_none(name):
    row = BOOK[name]
    for case in STRUCTURED[name].cases:
        places = moved_places(row, case)
        f = function_of(row, case, places)
        at = tuple(free(case.args[i]) for i in places)
        batch = tuple(np.zeros((0, *np.shape(x))) for x in at)
        assert np.shape(cr.vmap(f)(*batch)) == (0, *np.shape(f(*at)))
        assert np.shape(cr.vmap(cr.grad(curved(f)))(*batch)) == (0, *np.shape(at[0]))


# ------------------------------------------------------------------------------------- conventions


def test_every_convention_has_its_number():
    counts = {name: len(row.conventions) for name, row in BOOK.items() if row.conventions}
    assert counts == {name: len(cases) for name, cases in CONVENTIONS.items()}


@pytest.mark.parametrize("name", [n for n in CONVENTIONS if n in BOOK])
def test_the_convention_said_is_the_derivative_used(name):
    row = BOOK[name]
    for convention, (where, expected) in zip(row.conventions, CONVENTIONS[name], strict=True):
        args, attrs = (floats(where), {}) if row.elementwise else where
        assert np.any(convention.at(*args, **attrs))
        for i, slope in enumerate(expected):
            if isinstance(row.edge(i), Flat) and not row.elementwise:
                continue
            f = lambda v, i=i, a=args, k=attrs: bind(row, replaced(a, i, v), k)
            value, pull = cr.vjp(f, args[i])
            found = pull(np.ones(np.shape(value))[()])[0]
            np.testing.assert_array_equal(found, slope, strict=not row.elementwise)
            for place in np.ndindex(np.shape(args[i])):
                unit = np.zeros(np.shape(args[i]))
                unit[place] = 1.0
                _, tangent = cr.jvp(f, (args[i],), (unit[()],))
                np.testing.assert_array_equal(np.sum(tangent), np.asarray(slope)[place])


def test_a_convention_about_the_second_derivative_is_about_the_second_derivative():
    assert cr.grad(cr.grad(lambda x: x**1.5))(0.0) == INF


def test_both_ends_of_clip_and_of_the_inverse_functions_follow_the_convention():
    assert cr.grad(lambda x: np.clip(x, -1.0, 2.0))(2.0) == 1.0
    assert cr.grad(np.arcsin)(-1.0) == INF
    assert cr.grad(np.arccos)(1.0) == -INF


def test_powers_are_differentiable_at_a_base_of_zero():
    assert cr.grad(lambda x: x**2)(0.0) == 0.0
    assert cr.grad(lambda x: x**1)(0.0) == 1.0
    assert cr.grad(lambda x: x**0)(0.0) == 0.0
    assert cr.grad(lambda p: 0.0**p)(2.0) == 0.0
    assert cr.grad(cr.grad(lambda x: x**2))(0.0) == 2.0
    exponents = np.array([0.0, 1.0, 2.0, 3.0])
    assert cr.grad(lambda x: np.sum(x**exponents))(np.zeros(4)).tolist() == [0, 1, 0, 0]


def test_integer_powers_of_negative_numbers_are_differentiable():
    assert cr.grad(lambda x: x**3)(-2.0) == 12.0
    assert cr.grad(lambda x: x**-1.0)(-2.0) == -0.25


# ----------------------------------------------------------------------------------- symbolic form


def symbolic_derivative(row, count, i):
    """The edge as an expression, and its variables."""
    graph, tape = Graph(exact), Tape()
    symbols = [graph.input(f"x{k}") for k in range(count)]
    out = bind(row, tuple(replaced(tuple(symbols), i, tape.input(symbols[i]))))
    return reverse(tape.records, {out.index: (1.0, None)})[0][0]


@pytest.mark.parametrize(("name", "i"), SMOOTH)
def test_the_derivative_in_symbols_is_exact_to_25_digits(name, i):
    row = BOOK[name]
    expression = symbolic_derivative(row, arity(name), i)
    for point in exact_points(name):
        at = {f"x{k}": MP50.mpf(p) if isinstance(p, float) else p for k, p in enumerate(point)}
        (value,) = evaluate_precisely(MP50, [expression], at)
        expected = mp_derivative(MP50, row, point, i)
        assert abs(value - expected) <= 1e-25 * max(abs(expected), 1e-3), (point, value, expected)


# ----------------------------------------------------------------------------- the checkers checked


def by_a_thousandth(function):
    return lambda *args, **attrs: function(*args, **attrs) * 1.001


def with_edge(row, i, wrong):
    edges = [row.edge(k) for k in range(max(i + 1, len(row.edges)))]
    return dataclasses.replace(row, edges=(*edges[:i], wrong, *edges[i + 1 :]))


def spoilt(row, i):
    """The row with its ``i``-th edge 0.1 % too large, in each way in which it can be."""
    edge = row.edge(i)
    if isinstance(edge, Scale):
        p = edge.partial
        wrong = [Scale(by_a_thousandth(p) if callable(p) else p * 1.001)]
    elif isinstance(edge, Mask):
        wrong = [Mask(by_a_thousandth(edge.weight))]
    elif isinstance(edge, Linear | Bilinear):
        wrong = [dataclasses.replace(edge, transpose=by_a_thousandth(edge.transpose))]
    elif isinstance(edge, Custom):
        wrong = [
            dataclasses.replace(edge, push=by_a_thousandth(edge.push)),
            dataclasses.replace(edge, pull=by_a_thousandth(edge.pull)),
        ]
    return [with_edge(row, i, w) for w in wrong]


def forgetful(row, i):
    """The row with an ``i``-th edge that does not know that it depends on arguments and output."""

    def forgetting(function, carried):
        return lambda *args, **attrs: function(
            *args[:carried], *map(concrete, args[carried:]), **attrs
        )

    edge = row.edge(i)
    if isinstance(edge, Scale) and callable(edge.partial):
        return with_edge(row, i, Scale(forgetting(edge.partial, 0)))
    if isinstance(edge, Bilinear):
        return with_edge(row, i, Bilinear(forgetting(edge.transpose, 1)))
    if isinstance(edge, Custom):
        return with_edge(row, i, Custom(edge.push, forgetting(edge.pull, 1)))
    return None


@each_elementwise_edge
def test_an_error_of_a_thousandth_in_an_elementwise_edge_is_found(name, i):
    for wrong in spoilt(BOOK[name], i):
        assert worst_difference(wrong, name, i) > 1e-4
        if wrong.mpmath is not None:
            assert worst_mp(wrong, name, i) > 1e-4
        if wrong.analytic:
            assert worst_complex_step(wrong, name, i) > 1e-4


@each_structured_edge
def test_an_error_of_a_thousandth_in_an_array_operation_is_found(name, i):
    for wrong in spoilt(BOOK[name], i):
        assert worst_structured(wrong, name, i) > 1e-4


@each_structured_edge
def test_a_derivative_that_forgets_what_it_depends_on_is_found(name, i):
    wrong = forgetful(BOOK[name], i)
    if wrong is not None and not isinstance(BOOK[name].edge(i), Linear):
        assert worst_second(wrong, name) > 1e-4


def test_a_rule_that_writes_into_what_it_is_given_is_found():
    def careless(ct, x, axis, keepdims):
        ct *= 2.0
        return np.broadcast_to(ct / 2.0, np.shape(x))

    row = dataclasses.replace(BOOK["sum"], edges=(Linear(careless),))
    f = lambda v: bind(row, (v,), {"axis": 0, "keepdims": False})
    right = lambda v: bind(BOOK["sum"], (v,), {"axis": 0, "keepdims": False})
    assert_the_same_in_any_layout(right, array(3, 4))
    with pytest.raises((AssertionError, ValueError), match=r"written to|read-only|not equal"):
        assert_the_same_in_any_layout(f, array(3, 4))


def test_a_rule_that_depends_on_how_an_array_lies_in_memory_is_found():
    def careless(x):
        return np.frombuffer(x.tobytes("A"))

    row = dataclasses.replace(BOOK["reshape"], evaluate=careless, edges=(Flat("wrong"),))
    with pytest.raises(AssertionError):
        assert_the_same_in_any_layout(lambda v: bind(row, (v,)), array(3, 4))


def test_a_row_that_mistakes_the_batch_for_an_axis_of_its_own_is_found():
    row = dataclasses.replace(BOOK["sum"], axes=(), elementwise=True)
    f = lambda v: bind(row, (v,), {"axis": 0, "keepdims": False})
    with pytest.raises(AssertionError):
        assert_vmap_is_the_loop(f, (array(3, 3),), (0,), (), rtol=1e-10)
