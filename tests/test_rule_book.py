"""One property test that walks the whole rule book.

Each row is held against oracles that know nothing of its derivative: NumPy and SciPy for the value,
mpmath at 30 and 50 digits, the complex step, and extrapolated differences. The oracles themselves
are tested: an error of 0.1 % planted in any edge of any row is found.
"""

import dataclasses
import itertools
import math

import mpmath
import numpy as np
import pytest
from samples import INF, all_structured, array, collected, elementwise

import chainrule as cr
from chainrule.chain import reverse
from chainrule.graph.node import Graph
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Bilinear, Custom, Flat, Linear, Mask, Scale
from chainrule.graph.rewriting import exact
from chainrule.graph.tape import Tape
from chainrule.rules import BOOK
from chainrule.run.precise import evaluate_precisely

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

MP30, MP50 = mpmath.mp.clone(), mpmath.mp.clone()
MP30.dps, MP50.dps = 30, 50
EPS = np.finfo(np.float64).eps

ELEMENTWISE, STRUCTURED, CONVENTIONS = elementwise(), all_structured(), collected("CONVENTIONS")


def points(name):
    return ELEMENTWISE[name][1]


def differentiable(row, count):
    return [i for i in range(count) if not isinstance(row.edge(i), Flat)]


def arity(name):
    return len(points(name)[0])


ELEMENTWISE_EDGES = [
    (name, i)
    for name in ELEMENTWISE
    if name in BOOK
    for i in differentiable(BOOK[name], arity(name))
]
ANALYTIC_EDGES = [(name, i) for name, i in ELEMENTWISE_EDGES if BOOK[name].analytic]
STRUCTURED_EDGES = [
    (name, i)
    for name, samples in STRUCTURED.items()
    for i in differentiable(BOOK[name], len(samples.cases[0].args))
]
SMOOTH = [(name, i) for name, i in ELEMENTWISE_EDGES if BOOK[name].mpmath is not None]
BINARY = sorted({name for name, _ in ELEMENTWISE_EDGES if arity(name) == 2})

each_row = pytest.mark.parametrize("name", sorted(BOOK))
each_elementwise_row = pytest.mark.parametrize("name", ELEMENTWISE)
each_structured_row = pytest.mark.parametrize("name", STRUCTURED)
each_elementwise_edge = pytest.mark.parametrize(("name", "i"), ELEMENTWISE_EDGES)
each_structured_edge = pytest.mark.parametrize(("name", "i"), STRUCTURED_EDGES)

# ------------------------------------------------------------------------------- engine and oracles


def applied(row, attrs=None):
    """The row as a function of its arguments."""
    return lambda *args: bind(row, args, attrs or {})


def grad(f, i):
    return cr.grad(f, argnums=i)


def replaced(args, i, value):
    return (*args[:i], value, *args[i + 1 :])


def floats(point):
    return tuple(p if isinstance(p, bool) else np.float64(p) for p in point)


def complex_step(row, point, i):
    moved = replaced(point, i, complex(point[i], 1e-30))
    return row.evaluate(*(np.asarray(p)[()] for p in moved)).imag / 1e-30


def mp_function(mp, row, point, wrt):
    """The row's own mpmath function with the arguments in ``wrt`` free."""
    fixed = [p if isinstance(p, bool) else mp.mpf(p) for p in point]

    def f(*free):
        args = list(fixed)
        for i, value in zip(wrt, free, strict=True):
            args[i] = value
        return row.mpmath(mp, *args)

    return f


def mp_derivative(mp, row, point, i):
    return mp.diff(mp_function(mp, row, point, [i]), mp.mpf(point[i]))


def mp_second(mp, row, point, i, j):
    if i == j:
        return mp.diff(mp_function(mp, row, point, [i]), mp.mpf(point[i]), 2)
    at = (mp.mpf(point[i]), mp.mpf(point[j]))
    return mp.diff(mp_function(mp, row, point, [i, j]), at, (1, 1))


def extrapolated(f, x):
    """Central differences, extrapolated to step 0; the entry whose neighbours agree best."""
    best, error, rounding = math.nan, math.inf, EPS * abs(f(x))
    for h in (0.02 * max(1.0, abs(x)), 0.02 * abs(x), 1e-4 * abs(x)):
        rows = []
        for step in range(10):
            row = [(f(x + h) - f(x - h)) / (2 * h)]
            for j in range(step):
                row.append(row[j] + (row[j] - rows[-1][j]) / (1.96 ** (j + 1) - 1))
                spread = max(abs(row[-1] - row[-2]), abs(row[-1] - rows[-1][j])) + rounding / h
                if spread <= error:
                    best, error = row[-1], spread
            rows.append(row)
            h /= 1.4
    return best


def off(actual, expected, floor=1e-3):
    """Error relative to the expected value (or to ``floor``, if that is larger)."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    if not actual.size:
        return 0.0
    error = np.abs(actual - expected) / np.maximum(np.abs(expected), floor)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


def worst_complex_step(row, name, i):
    return max(
        off(grad(applied(row), i)(*floats(p)), complex_step(row, p, i)) for p in points(name)
    )


def worst_mp(row, name, i):
    return max(
        off(grad(applied(row), i)(*floats(p)), float(mp_derivative(MP30, row, p, i)))
        for p in points(name)
    )


def worst_difference(row, name, i):
    return max(
        off(
            grad(applied(row), i)(*floats(p)),
            extrapolated(lambda v, p=p: row.evaluate(*floats(replaced(p, i, v))), p[i]),
            1e-2 + 1e-6 * abs(float(row.evaluate(*floats(p)))) / max(abs(p[i]), 1e-3),
        )
        for p in points(name)
    )


def jacobian(row, args, attrs, i):
    """Every column by a complex step: outputs × inputs. All structured rows are polynomials."""
    x = np.asarray(args[i])
    columns = []
    for place in range(x.size):
        moved = x.astype(complex).ravel()
        moved[place] += 1e-30j
        out = row.evaluate(*replaced(args, i, moved.reshape(x.shape)), **attrs)
        columns.append(np.ravel(np.imag(out)) / 1e-30)
    return (
        np.stack(columns, axis=1)
        if columns
        else np.zeros((np.size(row.evaluate(*args, **attrs)), 0))
    )


def worst_structured(row, name, i):
    """Both modes against every column of the Jacobian."""
    worst = 0.0
    for args, attrs in STRUCTURED[name].cases:
        out = row.evaluate(*args, **attrs)
        size = np.size(args[i])
        # A cast drops imaginary parts: its Jacobian is the identity.
        matrix = np.eye(size) if name == "astype" else jacobian(row, args, attrs, i)
        t, ct = array(*np.shape(args[i])) + 0.1, array(*np.shape(out)) - 0.1
        f = lambda v, args=args, attrs=attrs: bind(row, replaced(args, i, v), attrs)
        _, pull = cr.vjp(f, args[i])
        _, pushed = cr.jvp(f, (args[i],), (t,))
        worst = max(
            worst,
            off(np.ravel(pull(ct)[0]), np.ravel(ct) @ matrix),
            off(np.ravel(pushed), matrix @ np.ravel(t)),
        )
    return worst


def both_products(row, args, attrs, i):
    """⟨ct, push(t)⟩ and ⟨pull(ct), t⟩."""
    f = lambda v: bind(row, replaced(args, i, v), attrs)
    out = f(args[i])
    t, ct = array(*np.shape(args[i])) + 0.1, array(*np.shape(out)) - 0.1
    _, pushed = cr.jvp(f, (args[i],), (t,))
    _, pull = cr.vjp(f, args[i])
    return float(np.sum(ct * pushed)), float(np.sum(pull(ct)[0] * t))


# ------------------------------------------------------------------------------------------ claims


def test_every_row_has_samples_here():
    assert set(ELEMENTWISE) | set(STRUCTURED) == set(BOOK)
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
    for args, attrs in samples.cases:
        value, expected = row.evaluate(*args, **attrs), samples.reference(*args, **attrs)
        np.testing.assert_allclose(value, expected, rtol=samples.rtol, atol=1e-15)
        assert np.shape(value) == np.shape(expected)
        assert np.shape(value) != () or isinstance(value, np.generic)


def many_points(row, count):
    """Points all over the domain: every order of magnitude, both signs, near 0 and ±1."""
    rng = np.random.default_rng(count)
    sizes = rng.choice([-1, 1], (300, count)) * 10.0 ** rng.uniform(-5, 2.4, (300, count))
    near = rng.choice([-1, 0, 1], (200, count)) + rng.choice([-1, 1], (200, count)) * (
        10.0 ** rng.uniform(-12, -0.01, (200, count))
    )
    unit = rng.uniform(0, 1, (100, count))
    found = np.concatenate([sizes, near, unit])
    inside = np.ones(len(found), bool) if row.domain is None else row.domain.test(*found.T)
    return found[np.asarray(inside, bool)]


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n != "where"])
def test_the_stated_rounding_bound_holds_all_over_the_domain(name):
    row = BOOK[name]
    for point in many_points(row, arity(name)):
        value = row.evaluate(*map(np.float64, point))
        exactly = row.mpmath(MP50, *map(MP50.mpf, point))
        if not np.isfinite(value) or 0 < abs(value) < 1e-290:
            continue
        error = abs(MP50.mpf(float(value)) - exactly)
        assert error <= row.ulps * EPS * abs(exactly) + MP50.mpf(1e-300), (
            f"{name}{tuple(map(float, point))}: {float(error / abs(exactly) / EPS):.3g} ulps"
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
    assert worst_structured(BOOK[name], name, i) < 1e-12


def test_integers_into_a_flat_argument_receive_nothing():
    for name in ELEMENTWISE:
        row = BOOK[name]
        for i in set(range(arity(name))) - set(differentiable(row, arity(name))):
            point = floats(points(name)[0])
            if row.recorded and not isinstance(point[i], bool):
                assert grad(applied(row), i)(*point) == 0


@each_elementwise_edge
def test_forward_and_backward_of_an_elementwise_row_are_transposes(name, i):
    columns = tuple(map(np.array, zip(*points(name), strict=True)))
    left, right = both_products(BOOK[name], columns, {}, i)
    assert left == pytest.approx(right, rel=1e-12)


@each_structured_edge
def test_forward_and_backward_of_an_array_operation_are_transposes(name, i):
    for args, attrs in STRUCTURED[name].cases:
        left, right = both_products(BOOK[name], args, attrs, i)
        assert left == pytest.approx(right, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(("name", "i"), SMOOTH)
def test_second_derivatives_agree_with_mpmath_in_every_order_of_modes(name, i):
    row = BOOK[name]
    f = applied(row)
    for point, j in itertools.product(points(name), differentiable(row, arity(name))):
        at = floats(point)
        first = lambda v, at=at, j=j: grad(f, i)(*replaced(at, j, v))
        along = lambda v, at=at: cr.jvp(lambda u: f(*replaced(at, i, u)), (v,), (1.0,))[1]
        reverse_twice = cr.grad(first)(at[j])
        forward_over_reverse = cr.jvp(first, (at[j],), (1.0,))[1]
        scale = 1e-3 + abs(float(first(at[j]))) / max(1e-3, abs(point[j]))
        expected = float(mp_second(MP30, row, point, i, j))
        assert off(reverse_twice, expected, scale) < 1e-10
        assert off(forward_over_reverse, reverse_twice, scale) < 1e-12
        if i == j:
            assert off(cr.grad(along)(at[i]), reverse_twice, scale) < 1e-12
            assert off(cr.jvp(along, (at[i],), (1.0,))[1], reverse_twice, scale) < 1e-12


@each_structured_edge
def test_second_derivatives_of_array_operations_agree_with_differences_of_the_first(name, i):
    row = BOOK[name]
    for args, attrs in STRUCTURED[name].cases:

        def loss(x, args=args, attrs=attrs):
            return np.sum(np.sin(bind(row, replaced(args, i, x), attrs)))

        x = args[i]
        t = array(*np.shape(x)) + 0.1
        along = lambda v, t=t: np.sum(cr.grad(loss)(v) * t)
        if not np.size(x):
            continue
        second = cr.grad(along)(x)
        _, pushed = cr.jvp(cr.grad(loss), (x,), (t,))
        np.testing.assert_allclose(pushed, second, rtol=1e-11, atol=1e-11)
        h = 1e-4
        differences = (cr.grad(loss)(x + h * t) - cr.grad(loss)(x - h * t)) / (2 * h)
        np.testing.assert_allclose(second, differences, rtol=1e-4, atol=1e-4)


SHAPES = [
    ((3,), (2, 3)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((1,), ()), ((0,), ()),
    ((0,), (1,)), ((1, 1), (2, 1)), ((3,), (3,)), ((2, 0, 1), (3,)),
]  # fmt: skip


@pytest.mark.parametrize("name", BINARY)
def test_the_gradient_through_broadcasting_is_the_loop_over_elements(name):
    row = BOOK[name]
    columns = [np.array(c) for c in zip(*points(name), strict=True)]
    for shapes in SHAPES:
        args = [np.resize(c, s)[()] for c, s in zip(columns, shapes, strict=True)]
        weights = array(*np.broadcast_shapes(*shapes))
        f = lambda x, y, w=weights: np.sum(w * bind(row, (x, y)))
        found = cr.grad(f, argnums=(0, 1))(*args)
        wide = [np.broadcast_to(a, weights.shape) for a in args]
        for i, arg in enumerate(args):
            local = np.zeros(weights.shape)
            for place in np.ndindex(weights.shape):
                local[place] = grad(applied(row), i)(*(w[place] for w in wide))
            extra = tuple(range(weights.ndim - np.ndim(arg)))
            stretched = tuple(
                k + len(extra) for k, n in enumerate(np.shape(arg))
                if n == 1 and weights.shape[k + len(extra)] != 1
            )  # fmt: skip
            looped = (weights * local).sum(axis=extra).sum(
                axis=tuple(s - len(extra) for s in stretched), keepdims=True
            ) if stretched else (weights * local).sum(axis=extra)  # fmt: skip
            assert np.shape(found[i]) == np.shape(arg)
            np.testing.assert_allclose(found[i], looped, rtol=1e-12, atol=1e-13)
            t = np.ones(np.shape(arg))[()]
            f_i = lambda v, i=i, args=args: bind(row, tuple(replaced(tuple(args), i, v)))
            np.testing.assert_allclose(cr.jvp(f_i, (arg,), (t,))[1], local, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@each_elementwise_edge
def test_values_and_gradients_keep_the_dtype(name, i, dtype):
    row = BOOK[name]
    small = np.finfo(dtype)
    for point in points(name):
        narrow = tuple(p if isinstance(p, bool) else dtype(p) for p in point)
        if any(not 1e-3 < abs(p) < 20 for p in narrow):
            continue
        wide = floats(narrow)
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
@each_structured_edge
def test_array_operations_keep_the_dtype_in_both_modes_and_both_orders(name, i, dtype):
    row = BOOK[name]
    for args, attrs in STRUCTURED[name].cases:
        narrow = tuple(
            a if isinstance(BOOK[name].edge(j), Flat) else np.asarray(a, dtype)[()]
            for j, a in enumerate(args)
        )
        attrs = attrs | ({"dtype": np.dtype(dtype)} if name == "astype" else {})
        f = lambda v, a=narrow, k=attrs: bind(row, replaced(a, i, v), k)
        loss = lambda v, f=f: np.sum(f(v) * f(v))
        assert f(narrow[i]).dtype == dtype
        assert cr.grad(loss)(narrow[i]).dtype == dtype
        assert cr.jvp(f, (narrow[i],), (narrow[i],))[1].dtype == dtype
        assert cr.grad(lambda v, g=loss: np.sum(cr.grad(g)(v)))(narrow[i]).dtype == dtype


@each_elementwise_edge
def test_second_derivatives_keep_float32(name, i):
    point = tuple(
        p if isinstance(p, bool) else np.float32(p) for p in points(name)[2 % len(points(name))]
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


# ------------------------------------------------------------------------------------- conventions


def test_every_convention_has_its_number_here():
    counts = {name: len(row.conventions) for name, row in BOOK.items() if row.conventions}
    assert counts == {name: len(cases) for name, cases in CONVENTIONS.items()}


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_convention_said_is_the_derivative_used(name):
    row = BOOK[name]
    for convention, (point, expected) in zip(row.conventions, CONVENTIONS[name], strict=True):
        at = floats(point)
        assert convention.at(*at)
        for i, slope in enumerate(expected):
            _, tangent = cr.jvp(
                lambda v, i=i, at=at: bind(row, replaced(at, i, v)), (at[i],), (1.0,)
            )
            np.testing.assert_array_equal(grad(applied(row), i)(*at), slope)
            np.testing.assert_array_equal(tangent, slope)


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
    for point in points(name):
        at = {f"x{k}": p if isinstance(p, bool) else MP50.mpf(p) for k, p in enumerate(point)}
        (value,) = evaluate_precisely(MP50, [expression], at)
        expected = mp_derivative(MP50, row, point, i)
        assert abs(value - expected) <= 1e-25 * max(abs(expected), 1e-3), (point, value, expected)


# ----------------------------------------------------------------------------- the checkers checked


def by_a_thousandth(function):
    return lambda *args, **attrs: function(*args, **attrs) * 1.001


def spoilt(row, i):
    """The row with its ``i``-th edge 0.1 % too large."""
    edge = row.edge(i)
    if isinstance(edge, Scale):
        p = edge.partial
        wrong = Scale(by_a_thousandth(p) if callable(p) else p * 1.001)
    elif isinstance(edge, Mask):
        wrong = Mask(by_a_thousandth(edge.weight))
    elif isinstance(edge, Linear | Bilinear):
        wrong = dataclasses.replace(edge, transpose=by_a_thousandth(edge.transpose))
    elif isinstance(edge, Custom):
        wrong = Custom(by_a_thousandth(edge.push), by_a_thousandth(edge.pull))
    edges = [row.edge(k) for k in range(max(i + 1, len(row.edges)))]
    return dataclasses.replace(row, edges=(*edges[:i], wrong, *edges[i + 1 :]))


@each_elementwise_edge
def test_an_error_of_a_thousandth_in_an_elementwise_edge_is_found(name, i):
    wrong = spoilt(BOOK[name], i)
    assert worst_difference(wrong, name, i) > 1e-4
    assert worst_mp(wrong, name, i) > 1e-4
    if wrong.analytic:
        assert worst_complex_step(wrong, name, i) > 1e-4


@each_structured_edge
def test_an_error_of_a_thousandth_in_an_array_operation_is_found(name, i):
    assert worst_structured(spoilt(BOOK[name], i), name, i) > 1e-4
