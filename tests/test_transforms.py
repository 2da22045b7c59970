"""The transforms: names, arguments and conventions of JAX, on any Python around NumPy calls."""

import collections
import dataclasses
import functools
import math
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, NotDifferentiableError, TraceError

Point = collections.namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Layer:
    weight: np.ndarray
    bias: np.ndarray


def quadratic(x, y, z):
    return x * x + 10 * y + z


# ---------------------------------------------------------------------------------- which arguments


@pytest.mark.parametrize(
    ("argnums", "expected"),
    [
        (0, 6.0), (1, 10.0), (-1, 1.0), (-3, 6.0),
        ((0,), (6.0,)), ((0, 2), (6.0, 1.0)), ((2, 0), (1.0, 6.0)), ((0, -1), (6.0, 1.0)),
        ([1, 2], (10.0, 1.0)), ((), ()),
    ],
)  # fmt: skip
def test_argnums_chooses_the_arguments_and_the_form_of_the_gradient(argnums, expected):
    assert cr.grad(quadratic, argnums=argnums)(3.0, 4.0, 5.0) == expected
    assert cr.value_and_grad(quadratic, argnums)(3.0, 4.0, 5.0) == (54.0, expected)


def test_arguments_that_are_not_differentiated_may_be_anything():
    f = lambda x, name, n, table: x**n * table[name]
    assert cr.grad(f)(3.0, "a", 2, {"a": 5}) == 30.0


def test_keyword_arguments_are_passed_through():
    def f(x, *, scale=1.0, power=1):
        return scale * x**power

    assert cr.grad(f)(3.0, scale=2.0, power=2) == 12.0
    assert cr.value_and_grad(f)(3.0, power=2) == (9.0, 6.0)


def test_the_gradient_function_keeps_the_name_and_documentation():
    def f(x):
        """Square."""
        return x * x

    assert (cr.grad(f).__name__, cr.grad(f).__doc__) == ("f", "Square.")


def test_callables_without_a_name_are_fine():
    class Square:
        def __call__(self, x):
            return x * x

    assert cr.grad(Square())(3.0) == 6.0
    assert cr.grad(functools.partial(quadratic, y=1.0, z=2.0))(3.0) == 6.0
    assert cr.grad(np.square)(3.0) == 6.0


def test_auxiliary_results_are_passed_through_as_plain_values():
    def f(x):
        y = np.sin(x)
        return y * y, {"y": y, "note": "sine", "list": [x, 1, None]}

    gradient, aux = cr.grad(f, has_aux=True)(0.5)
    assert gradient == pytest.approx(math.sin(1.0))
    assert aux == {"y": math.sin(0.5), "note": "sine", "list": [0.5, 1, None]}
    assert isinstance(aux["y"], np.float64)
    (value, again), gradient = cr.value_and_grad(f, has_aux=True)(0.5)
    assert (value, again) == (math.sin(0.5) ** 2, aux)
    value, pull, again = cr.vjp(f, 0.5, has_aux=True)
    assert (again, pull(1.0)[0]) == (aux, pytest.approx(math.sin(1.0)))


def test_scalars_in_scalars_out_and_arrays_keep_their_shape_and_dtype():
    assert isinstance(cr.grad(np.sin)(1.0), np.float64)
    assert isinstance(cr.grad(np.sin)(np.array(1.0)), np.float64)
    for shape in ((), (3,), (2, 3), (0,), (1, 1)):
        gradient = cr.grad(lambda x: np.sum(x * x))(np.ones(shape, np.float32))
        assert (np.shape(gradient), gradient.dtype) == (shape, np.float32)


def test_what_the_result_does_not_depend_on_has_gradient_zero_and_a_warning_that_names_it():
    with pytest.warns(cr.AbsentGradientWarning, match="does not depend on y: its gradient is zero"):
        gradient = cr.grad(lambda x, y: np.sum(x), argnums=1)(np.ones(2), np.ones((3, 1)))
    assert gradient.tolist() == [[0.0]] * 3
    with pytest.warns(cr.AbsentGradientWarning, match="does not depend on x"):
        assert cr.grad(lambda x: 3.0)(1.0) == 0.0
    assert cr.jvp(lambda x: 3.0, (1.0,), (1.0,)) == (3.0, 0.0)
    assert cr.vjp(lambda x: np.ones(2), 1.0)[1](np.ones(2)) == (0.0,)


# ------------------------------------------------------------------------------------------ pytrees


@pytest.mark.parametrize(
    "tree",
    [
        {"x": 2.0, "y": 3.0}, Point(2.0, 3.0), [2.0, 3.0], (2.0, 3.0), Layer(2.0, 3.0),
        {"y": [3.0, None], "x": (2.0,)}, [[2.0], {"k": {"k": Point(3.0, None)}}],
    ],
)  # fmt: skip
def test_the_gradient_of_a_tree_is_a_tree_like_it(tree):
    def leaves(node):
        if dataclasses.is_dataclass(node):
            return leaves(list(vars(node).values()))
        if isinstance(node, dict):
            return [leaf for key in sorted(node) for leaf in leaves(node[key])]
        if isinstance(node, list | tuple):
            return [leaf for child in node for leaf in leaves(child)]
        return [] if node is None else [node]

    f = lambda t: leaves(t)[0] ** 2 * leaves(t)[1]
    gradient = cr.grad(f)(tree)
    assert type(gradient) is type(tree)
    assert leaves(gradient) == [12.0, 4.0]
    value, tangent = cr.jvp(f, (tree,), (gradient,))
    assert (value, tangent) == (12.0, 160.0)


def test_the_dictionary_of_parameters_of_a_small_network():
    rng = np.random.default_rng(0)
    params = {
        "hidden": Layer(rng.normal(size=(3, 4)), np.zeros(4)),
        "out": [rng.normal(size=(4, 1)), None],
    }
    x = rng.normal(size=(5, 3))

    def loss(params, x):
        h = np.tanh(x @ params["hidden"].weight + params["hidden"].bias)
        return np.mean((h @ params["out"][0]) ** 2)

    gradient = cr.grad(loss)(params, x)
    assert gradient["hidden"].bias.shape == (4,)
    assert gradient["out"][1] is None
    h = 1e-6
    moved = [
        loss({**params, "hidden": Layer(params["hidden"].weight, np.array([0, s * h, 0, 0]))}, x)
        for s in (1, -1)
    ]
    assert gradient["hidden"].bias[1] == pytest.approx((moved[0] - moved[1]) / (2 * h), rel=1e-6)


def test_trees_go_in_and_out_of_vjp_and_jvp():
    f = lambda p: {"product": p.x * p.y, "both": [np.sin(p.x), p.y, 7.0, None]}
    value, pull = cr.vjp(f, Point(2.0, 3.0))
    assert value == {"product": 6.0, "both": [math.sin(2.0), 3.0, 7.0, None]}
    (pulled,) = pull({"product": 1.0, "both": [0.0, 10.0, 0.0, None]})
    assert pulled == Point(3.0, 12.0)
    _, tangent = cr.jvp(f, (Point(2.0, 3.0),), (Point(1.0, 0.0),))
    assert tangent == {"product": 3.0, "both": [math.cos(2.0), 0.0, 0.0, None]}


def test_vjp_of_an_array_function_is_the_transposed_jacobian():
    matrix = np.arange(6.0).reshape(2, 3)
    value, pull = cr.vjp(lambda x, b: matrix @ x + b, np.ones(3), np.zeros(2))
    assert value.tolist() == [3.0, 12.0]
    x_bar, b_bar = pull(np.array([1.0, 10.0]))
    assert (x_bar.tolist(), b_bar.tolist()) == ([30.0, 41.0, 52.0], [1.0, 10.0])
    assert pull(np.array([0.0, 1.0]))[0].tolist() == [3.0, 4.0, 5.0], "pull works again"


def test_a_result_that_is_the_argument_itself_or_is_returned_twice():
    assert cr.grad(lambda x: x)(2.0) == 1.0
    value, pull = cr.vjp(lambda x: (x, x, 2 * x), 3.0)
    assert (value, pull((1.0, 10.0, 100.0))) == ((3.0, 3.0, 6.0), (211.0,))
    assert cr.jvp(lambda x: (x, x), (3.0,), (1.0,)) == ((3.0, 3.0), (1.0, 1.0))


def test_the_same_array_given_twice_is_two_arguments():
    x = np.array([1.0, 2.0])
    a, b = cr.grad(lambda x, y: np.sum(x * y**2), argnums=(0, 1))(x, x)
    assert (a.tolist(), b.tolist()) == ([1.0, 4.0], [2.0, 8.0])


# ------------------------------------------------------------------------------------------ nesting


def test_gradients_of_gradients_of_gradients():
    f = lambda x: x**4 + np.sin(x)
    derivatives = [f]
    for _ in range(4):
        derivatives.append(cr.grad(derivatives[-1]))
    expected = [f(0.7), 4 * 0.7**3 + math.cos(0.7), 12 * 0.49 - math.sin(0.7),
                24 * 0.7 - math.cos(0.7), 24 + math.sin(0.7)]  # fmt: skip
    assert [d(0.7) for d in derivatives] == pytest.approx(expected, rel=1e-14)


def test_an_inner_derivative_does_not_confuse_its_perturbation_with_the_outer_one():
    # d/dx [ x · d/dy (x + y) ] = d/dx x = 1
    assert cr.grad(lambda x: x * cr.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    inner = lambda x: cr.jvp(lambda y: x + y, (1.0,), (1.0,))[1]
    assert cr.jvp(lambda x: x * inner(x), (1.0,), (1.0,))[1] == 1.0
    assert cr.grad(lambda x: x * inner(x))(1.0) == 1.0
    # d/dx [ x · d/dy (x·y) ] = d/dx x² = 2x, with the inner point depending on x or not
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(x))(3.0) == 6.0
    assert cr.grad(lambda x: cr.grad(lambda y: x * y * y)(x))(3.0) == 12.0  # d/dx 2x²


def test_every_combination_of_modes_gives_the_same_second_derivative():
    f = lambda x: np.exp(np.sin(x) * x)
    along = lambda g: lambda x: cr.jvp(g, (x,), (1.0,))[1]
    pulled = lambda g: lambda x: cr.vjp(g, x)[1](1.0)[0]
    ways = [
        first(second(f))(0.4) for first in (along, pulled, cr.grad) for second in (along, pulled)
    ]
    assert ways == pytest.approx([ways[0]] * 6, rel=1e-13)
    h = 1e-5
    assert ways[0] == pytest.approx((cr.grad(f)(0.4 + h) - cr.grad(f)(0.4 - h)) / (2 * h), rel=1e-8)


def test_a_hessian_vector_product_both_ways_round():
    matrix = np.array([[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 4.0]])
    f = lambda x: 0.5 * (x @ matrix @ x) + np.sum(x**3)
    x, v = np.array([0.1, -0.5, 2.0]), np.array([1.0, 2.0, -1.0])
    expected = matrix @ v + 6 * x * v
    np.testing.assert_allclose(cr.jvp(cr.grad(f), (x,), (v,))[1], expected)
    np.testing.assert_allclose(cr.grad(lambda x: cr.grad(f)(x) @ v)(x), expected)
    np.testing.assert_allclose(cr.grad(lambda x: cr.jvp(f, (x,), (v,))[1])(x), expected)


def test_a_gradient_step_inside_a_function_can_be_differentiated():
    loss = lambda w, x: (w * x - 1) ** 2

    def after_a_step(rate):
        w = 0.5 - rate * cr.grad(loss)(0.5, 2.0)
        return loss(w, 2.0)

    h = 1e-6
    difference = (after_a_step(0.1 + h) - after_a_step(0.1 - h)) / (2 * h)
    assert cr.grad(after_a_step)(0.1) == pytest.approx(difference, abs=1e-8)


def test_tangents_and_cotangents_may_be_differentiated_too():
    assert cr.grad(lambda t: cr.jvp(np.sin, (0.0,), (t,))[1])(2.0) == 1.0
    assert cr.grad(lambda t: cr.vjp(np.sin, 0.0)[1](t)[0] ** 2)(3.0) == 6.0


def test_a_gradient_with_respect_to_both_inner_and_outer_arguments():
    f = lambda x: cr.grad(lambda y, z: x * y * z, argnums=(0, 1))(x, 2.0)
    value, tangent = cr.jvp(f, (3.0,), (1.0,))
    assert value == (6.0, 9.0)
    assert tangent == (2.0, 6.0)


# ---------------------------------------------------------------------------------- ordinary Python


def test_branches_on_a_value_follow_the_value():
    def f(x):
        if x > 1:
            return x**2
        return -x if x < 0 else np.sin(x)

    assert [cr.grad(f)(x) for x in (2.0, -3.0, 0.0)] == [4.0, -1.0, 1.0]


def test_loops_that_end_on_a_value_run_as_often_as_they_would():
    def f(x):
        while x < 100:
            x = x * x
        return x

    assert cr.grad(f)(3.0) == 8 * 3.0**7


def test_loops_comprehensions_closures_and_recursion():
    def power(x, n):
        return x if n == 1 else x * power(x, n - 1)

    coefficients = [1.0, -2.0, 0.5]

    def f(x):
        total = 0.0
        for k, c in enumerate(coefficients):
            total += c * x**k
        squares = [term * term for term in (x, 2 * x)]
        return total + sum(squares) + power(x, 3) + max(x, 1.0) + abs(-x)

    assert cr.grad(f)(2.0) == pytest.approx(-2 + 2 + 20 + 12 + 1 + 1)


def test_iterating_unpacking_and_taking_the_length_of_a_traced_array():
    def f(v):
        first, *rest = v
        return first * sum(r**2 for r in rest) * len(v)

    assert cr.grad(f)(np.array([2.0, 1.0, 3.0])).tolist() == [30.0, 12.0, 36.0]


def test_augmented_assignment_to_names_and_containers():
    def f(x):
        y = x
        y *= x
        y += 1
        y **= 2
        y -= x
        y /= 2
        store = {"y": y}
        store["y"] = store["y"] * x
        return store["y"]

    exact = lambda x: (5 * x**4 + 6 * x**2 + 1 - 2 * x) / 2  # of ((x²+1)² − x)·x/2
    assert cr.grad(f)(1.5) == pytest.approx(exact(1.5))


def test_arrays_on_the_left_of_an_operator_do_not_swallow_the_traced_value():
    a = np.array([1.0, 2.0])
    assert cr.grad(lambda x: np.sum(a * x + a - x / a + a / x))(1.0) == pytest.approx(-1.5)
    assert cr.grad(lambda x: np.sum(a**x))(2.0) == pytest.approx(4 * math.log(2.0))
    assert cr.grad(lambda x: np.float64(2.0) * x)(3.0) == 2.0
    assert cr.grad(lambda x: np.sum(a @ (x * np.ones((2, 2)))))(3.0) == 6.0
    assert cr.grad(lambda x: np.sum(np.where(a < x, x, 0.0)))(1.5) == 1.0


def test_methods_of_arrays_work_on_traced_values():
    x = np.arange(6.0).reshape(2, 3)
    for f in (
        lambda v: v.sum(), lambda v: v.sum(axis=0).sum(), lambda v: 6 * v.mean(),
        lambda v: v.T.reshape(-1).sum(), lambda v: v.ravel().dot(np.ones(6)),
        lambda v: v.reshape((3, 2)).transpose((1, 0)).sum(), lambda v: v.clip(-1, 9).sum(),
        lambda v: v.astype(np.float64).sum(), lambda v: np.add.reduce(v).sum(),
    ):  # fmt: skip
        assert cr.grad(f)(x).tolist() == np.ones((2, 3)).tolist()
    assert cr.grad(lambda v: v.prod(axis=1)[1])(x).tolist() == [[0, 0, 0], [20, 15, 12]]


def test_shapes_of_traced_values_are_plain_tuples():
    seen = []

    def f(v):
        seen.append(
            (v.shape, v.ndim, v.size, v.dtype, len(v), np.shape(v), np.ndim(v), np.size(v, 1))
        )
        return np.sum(v)

    cr.grad(f)(np.ones((2, 3)))
    assert seen == [((2, 3), 2, 6, np.dtype(float), 2, (2, 3), 2, 3)]


def test_conversions_between_float_dtypes_are_part_of_the_computation():
    gradient = cr.grad(lambda x: np.sum(x.astype(np.float64) ** 2))(np.ones(2, np.float32))
    assert (gradient.tolist(), gradient.dtype) == ([2, 2], np.float32)
    indices = lambda x: np.sum(np.arange(4.0)[x.astype(int)] * x)
    assert cr.grad(indices)(np.array([1.2, 3.9])).tolist() == [1.0, 3.0]


def test_a_long_chain_does_not_recurse():
    def f(x):
        for _ in range(20_000):
            x = x + 1e-9 * x
        return x

    assert cr.grad(f)(1.0) == pytest.approx((1 + 1e-9) ** 20_000)


def test_the_arguments_are_left_as_they_were():
    x = np.array([1.0, 2.0])
    cr.grad(lambda v: np.sum(v * v))(x)
    assert x.tolist() == [1.0, 2.0]


def test_an_exception_in_the_function_comes_through_and_leaves_nothing_behind():
    def f(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cr.grad(f)(1.0)
    assert cr.grad(np.sin)(0.0) == 1.0


def test_a_chain_of_rules_that_raises_no_warning_at_a_singularity():
    with np.errstate(all="raise"):
        assert cr.grad(lambda x: np.where(x > 0, 1.0, x))(0.0) == 1.0
        assert cr.grad(np.sqrt)(0.0) == math.inf


# ------------------------------------------------------------------------------------------- errors


def message(error, f, *args, **kwargs):
    with pytest.raises(error) as caught:
        f(*args, **kwargs)
    assert isinstance(caught.value, ChainruleError | TypeError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        (
            1,
            "quadratic: it is a scalar of dtype int64.\nPass a float: 1.0 instead of 1",
        ),
        (np.arange(3), "an array of shape (3,) of dtype int64"),
        (np.uint8(3), "dtype uint8"),
        (True, "it is True.\nPass a float, or leave the argument out of argnums."),
        (1 + 2j, "complex128.\nComplex derivatives are not supported yet."),
        ("abc", "it is 'abc'.\nPass floats, or leave"),
        ([1.0, 2], "dtype int64"),
        ({"a": "b"}, "it is 'b'"),
        (object(), "an object"),
    ],
)
def test_an_argument_that_cannot_be_differentiated_is_named_with_its_dtype(argument, says):
    text = message(NotDifferentiableError, cr.grad(quadratic), argument, 1.0, 1.0)
    assert re.match(r"cannot differentiate with respect to x(\[.*\])? of quadratic", text)
    assert says in text


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda x: x * np.ones(2), "an array of shape (2,) of dtype float64"),
        (lambda x: (x, x), "a tuple"),
        (lambda x: None, "None"),
        (lambda x: "text", "'text'"),
        (lambda x: 1, "a scalar of dtype int64"),
        (lambda x: x > 0, "dtype bool"),
    ],
)
def test_a_result_that_is_not_a_real_scalar_is_described_with_a_way_out(result, says):
    text = message(NotDifferentiableError, cr.grad(result), 1.0)
    assert "real scalar result" in text
    assert says in text
    assert "np.sum" in text


@pytest.mark.parametrize("argnums", [1, -2, (0, 3)])
def test_argnums_out_of_range_says_how_many_arguments_there_were(argnums):
    text = message(TypeError, cr.grad(np.sin, argnums=argnums), 1.0)
    assert f"argnums={argnums if isinstance(argnums, int) else 3}" in text
    assert "1 positional argument" in text


def test_a_traced_value_does_not_become_a_plain_number():
    for f in (float, math.sin, complex, lambda x: np.sin(float(x))):
        text = message(TraceError, cr.grad(f), 1.0)
        assert "lose its gradient" in text
        assert "np.sin, not math.sin" in text


def test_a_traced_value_does_not_go_into_a_plain_array():
    original = np.asarray  # as a library has it that was imported before
    for f in (original, lambda x: np.zeros(2) + original(x)):
        assert "plain NumPy array" in message(TraceError, cr.grad(f), 1.0)


def test_storing_a_traced_value_in_an_element_of_a_plain_array_fails_and_says_why():
    def store(x):
        np.zeros(2)[0] = x

    with pytest.raises((ValueError, TraceError)) as caught:
        cr.grad(store)(1.0)
    reason = caught.value if isinstance(caught.value, TraceError) else caught.value.__cause__
    assert "lose its gradient" in str(reason)


def test_in_place_ufuncs_are_refused():
    def f(x):
        a = np.ones(2)
        np.multiply(a, x, out=a)
        return np.sum(a)

    assert "out=" in message(TraceError, cr.grad(f), 1.0)


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: np.packbits(x), "np.packbits"),
        (lambda x: np.hypot.reduceat(x, [0]), "np.hypot.reduceat"),
    ],
)
def test_a_function_without_a_rule_is_named(f, name):
    text = message(NotDifferentiableError, cr.grad(f), np.eye(2))
    assert text.startswith(f"{name} has no row in the rule book")


@pytest.mark.parametrize("f", [lambda x: np.sum(x, out=np.zeros(())), lambda x: np.round(x, out=x)])
def test_an_option_that_is_not_supported_is_named_with_its_function(f):
    assert "out=" in message(TypeError, cr.grad(f), np.ones(2))


def test_tangents_and_cotangents_of_the_wrong_shape_are_refused():
    x = np.ones(3)
    assert "shape (2,)" in message(TypeError, cr.jvp, np.sin, (x,), (np.ones(2),))
    assert "(3,)" in message(TypeError, cr.jvp, np.sin, (x,), (1.0,))
    assert "shape (2,)" in message(TypeError, cr.vjp(np.sin, x)[1], np.ones(2))
    assert "1 primals but 2 tangents" in message(TypeError, cr.jvp, np.sin, (x,), (x, x))
    assert "tuples" in message(TypeError, cr.jvp, np.sin, x, x)


def test_a_traced_value_that_outlives_its_function_is_reported():
    kept = []

    def f(x):
        kept.append(x)
        return x * 2

    cr.grad(f)(1.0)
    assert "after the function" in message(TraceError, lambda: kept[0] + 1)
    assert "after the function" in message(TraceError, cr.grad(lambda y: y * kept[0]), 1.0)


def test_arrays_that_change_after_their_use_keep_the_gradient_of_what_they_were():
    def f(v):
        weights, total = np.zeros(3), 0.0
        for i in range(3):
            weights[:] = i + 1
            total = total + np.sum(v * weights)
        return total

    assert cr.grad(f)(np.ones(3)).tolist() == [6.0, 6.0, 6.0]
    primal = np.ones(2)
    value, pull = cr.vjp(lambda a: a * a, primal)
    primal[:], value[:] = 100.0, 100.0
    assert pull(np.ones(2))[0].tolist() == [2.0, 2.0]


def test_a_masked_array_is_declined():
    assert "mask" in message(NotDifferentiableError, cr.grad(np.sum), np.ma.array([1.0, 2.0]))


def test_zero_to_the_power_zero_has_an_infinite_slope_in_the_exponent():
    assert cr.grad(lambda x: x**x)(0.0) == -np.inf


def test_what_is_picked_out_of_an_array_is_added_to_its_gradient_and_to_nobody_elses():
    def f(x):
        a = 2 * x
        b = a + a[::-1]
        shared = b
        return np.sum(b[[0, 0, 1]]) + a[0] * b[1] + np.sum(shared * b) + b[b > 7].sum() + x[2]

    x, h = np.array([1.0, 2.0, 3.0]), 1e-6
    differences = [(f(x + h * e) - f(x - h * e)) / (2 * h) for e in np.eye(3)]
    np.testing.assert_allclose(cr.grad(f)(x), differences, rtol=1e-7)


# ------------------------------------------------------------------------ whose array a gradient is


@pytest.mark.parametrize(
    "f",
    [
        lambda x, y: np.sum(x + y),
        lambda x, y: np.sum((x + y).T @ np.ones(2)),
        lambda x, y: np.sum(x.copy() + y.reshape(3, 2).reshape(2, 3)),
        lambda x, y: np.sum(x * y),
        lambda x, y: np.sum(x[0] + y[1]),
    ],
)
def test_no_two_gradients_share_memory_with_each_other_or_with_anything_else(f):
    x, y = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    of_x, of_y = cr.grad(f, (0, 1))(x, y)
    before, outside = of_y.copy(), (x.copy(), y.copy())
    of_x[...] = np.nan
    np.testing.assert_array_equal(of_y, before)
    np.testing.assert_array_equal((x, y), outside)


def test_a_cotangent_that_somebody_keeps_is_not_handed_out_as_the_gradient():
    kept = []

    def pull(cotangent, x, out):
        kept.append(2 * cotangent)
        return (kept[-1],)

    double = cr.custom_rule(lambda x: 2 * x, pull=pull)
    gradient = cr.grad(lambda x: np.sum(double(x)))(np.ones(3))
    gradient[...] = np.nan
    np.testing.assert_array_equal(kept[-1], [2.0, 2.0, 2.0])


def test_numpys_settings_are_those_of_the_caller_before_and_after_a_derivative():
    with np.errstate(divide="raise", over="warn"):
        before = np.geterr()
        found = cr.grad(lambda x: np.sum(np.sqrt(x)))(np.array([0.0, 4.0]))
        assert np.geterr() == before
    np.testing.assert_array_equal(found, [np.inf, 0.25])


def test_the_support_of_a_mask_is_kept_up_to_the_last_factor_before_the_input():
    w = np.array([[1.0, np.inf], [2.0, 3.0]])
    f = lambda x: np.sum(np.maximum(x, 0.0) @ np.array([1.0, 2.0]))
    assert cr.grad(f)(np.array([-1.0, 1.0])).tolist() == [0.0, 2.0]
    g = lambda x: np.sum(np.where([[True, False], [True, True]], w * x, 0.0))
    assert cr.grad(g)(np.ones((2, 2))).tolist() == [[1.0, 0.0], [2.0, 3.0]]
    h = lambda x: np.sum(np.where([True, False], x @ w, 0.0))
    assert cr.grad(h)(np.ones(2)).tolist() == [1.0, 2.0]
