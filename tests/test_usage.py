"""Programs that people bring from other libraries, as they write them, with the right numbers."""

import copy
import functools
import gc
import itertools
import math
import re
import tracemalloc
import types
from collections import OrderedDict, namedtuple
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ArgumentsError, NotDifferentiableError, TraceError


def differences(f, x, h=1e-6):
    """The gradient (or the Jacobian) by centred differences."""
    x = np.asarray(x, float)
    found = np.zeros(np.shape(f(x)) + x.shape)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape)
        e[i] = h
        found[(..., *i)] = (np.asarray(f((x + e)[()])) - f((x - e)[()])) / (2 * h)
    return found


def same(found, expected, rtol=1e-6):
    assert np.shape(found) == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


# -------------------------------------------------------------------------------- stopped gradients


def straight_through(x):
    return x + cr.stop_gradient(np.round(x) - x)


def bootstrapped(weights, state, reward, after):
    """The loss of temporal-difference learning: its target is held constant."""
    target = cr.stop_gradient(reward + weights @ after)
    return 0.5 * (target - weights @ state) ** 2


WEIGHTS, STATE, AFTER = (
    np.array([0.1, -0.1, 0.0]),
    np.array([1.0, 2.0, -1.0]),
    np.array([2.0, 1, 0]),
)


def test_the_gradient_of_a_bootstrapped_loss_does_not_flow_into_its_target():
    found = cr.grad(bootstrapped)(WEIGHTS, STATE, 1.0, AFTER)
    same(found, -(1.0 + WEIGHTS @ AFTER - WEIGHTS @ STATE) * STATE)


def test_a_check_holds_what_stop_gradient_holds():
    checked = cr.check(bootstrapped, WEIGHTS, STATE, 1.0, AFTER, wrt="weights")
    assert checked
    assert "what stop_gradient gives was held at its value at the point" in checked.notes
    assert cr.check(straight_through, 3.2)
    assert cr.check(straight_through, np.float32(3.2))


def test_a_mistake_beside_stop_gradient_is_still_wrong():
    def forgotten(weights, state, reward, after):  # the cotangent flows into the target
        return (reward + weights @ after - weights @ state) * (after - state)

    checked = cr.check(bootstrapped, WEIGHTS, STATE, 1.0, AFTER, wrt="weights", backward=forgotten)
    assert checked.verdict.value == "WRONG"


def test_an_explanation_of_a_program_with_stopped_parts_is_verified():
    explained = cr.explain(straight_through)(3.2)
    assert explained.check.outcome == "verified"
    assert "with what stop_gradient gives held" in explained.check.says
    assert cr.explain(lambda x: (x - cr.stop_gradient(x**2)) ** 2)(3.0).check.outcome == "verified"


def test_held_values_belong_to_one_check_only():
    f = lambda x: x * cr.stop_gradient(x)
    assert cr.check(f, 2.0)
    assert f(5.0) == 25.0


def test_a_run_beside_the_point_that_stops_something_else_uses_what_it_stopped():
    f = lambda x: x + cr.stop_gradient(x) if x < 1 else x + cr.stop_gradient(np.array([x, 9]))[1]
    assert cr.check(f, 0.99)


# ---------------------------------------------------------- what is said to those who come from JAX


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("jacfwd", 'cr.jacobian(f, mode="forward")'),
        ("jacrev", 'cr.jacobian(f, mode="reverse")'),
        ("custom_vjp", "cr.custom_rule(f, pull=...)"),
        ("elementwise_grad", "cr.grad(lambda x: np.sum(f(x)))"),
    ],
)
def test_a_name_of_another_library_says_what_it_is_called_here(name, says):
    with pytest.raises(AttributeError) as caught:
        getattr(cr, name)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: x.detach(), "cr.stop_gradient(x)"),
        (lambda x: x.clone(), "x.copy()"),
        (lambda x: x.at[0].set(1.0), "y = x.copy(); y[i] = v"),
        (lambda x: x.view(3, 1), "x.reshape(shape)"),
        (lambda x: x.exp(), "np.exp(x)"),
        (lambda x: x.logaddexp(x), "np.logaddexp(x)"),
    ],
)
def test_a_method_of_another_library_says_what_to_write(f, says):
    with pytest.raises(AttributeError) as caught:
        cr.grad(f)(np.ones(3))
    assert says in str(caught.value)


def test_an_attribute_that_nobody_has_gets_no_advice():
    with pytest.raises(AttributeError) as caught:
        cr.grad(lambda x: x.shap)(1.0)
    assert str(caught.value) == "a traced value has no attribute 'shap'"


# --------------------------------------------------------------- values that outlive their function


def test_a_log_kept_inside_the_function_is_one_of_plain_numbers():
    history = []

    def loss(x):
        value = np.sum(x**2)
        history.append(float(cr.stop_gradient(value)))
        return value

    cr.grad(loss)(np.ones(3))
    cr.hessian(loss)(np.ones(3))
    assert history == [3.0, 3.0]


@pytest.mark.parametrize(
    "use",
    [float, np.asarray, lambda v: np.array([v]), lambda v: v + 1, lambda v: v.item()],
    ids=["float", "asarray", "array", "add", "item"],
)
def test_a_traced_value_that_was_kept_says_how_to_get_it_out(use):
    kept = []
    cr.grad(lambda x: kept.append(x * x) or x)(3.0)
    with pytest.raises(TraceError) as caught:
        use(kept[0])
    assert "had returned" in str(caught.value)
    assert "has_aux=True" in str(caught.value)
    assert "cr.stop_gradient(x)" in str(caught.value)


def test_the_value_of_an_earlier_run_is_never_returned():
    cache = {}

    def cached(x):
        return cache.setdefault("value", x * x)

    assert cr.value_and_grad(cached)(1.0) == (1.0, 2.0)
    for again in (cr.grad, cr.value_and_grad, lambda f: lambda x: cr.vjp(f, x)):
        with pytest.raises(TraceError, match="had returned"):
            again(cached)(2.0)


# ----------------------------------------------------------------------------------- random numbers


def test_random_numbers_that_are_moved_by_parameters_are_differentiated():
    def f(mu, sigma):
        draws = np.random.default_rng(0).normal(size=100)
        return np.mean((mu + sigma * draws) ** 2)

    same(cr.grad(f, 0)(1.0, 2.0), differences(lambda m: f(m, 2.0), 1.0))
    same(cr.grad(f, 1)(1.0, 2.0), differences(lambda s: f(1.0, s), 2.0))


@pytest.mark.parametrize(
    "draw",
    [
        lambda r, x: np.sum(r.normal(x, 1.0)),
        lambda r, x: np.sum(r.poisson(x, size=3)),
        lambda r, x: r.choice(3, p=x / 3),
        lambda r, x: np.sum(r.permutation(x)),
        lambda r, x: np.sum(r.multivariate_normal(x, np.eye(3))),
        lambda r, x: np.random.RandomState(0).normal(x[0]),
    ],
)
def test_drawing_with_traced_parameters_says_how_to_draw_and_names_the_line(draw):
    with pytest.raises(TraceError) as caught:
        cr.grad(lambda x: draw(np.random.default_rng(0), x))(np.ones(3))
    text = str(caught.value)
    assert "mu + sigma * rng.normal(size=n)" in text
    assert "\n  at test_usage.py:" in text


def test_a_permutation_and_a_choice_of_traced_elements():
    def f(x):
        r = np.random.default_rng(0)
        shuffled = x[r.permutation(5)]
        return np.sum(shuffled * np.arange(5)) + np.sum(r.choice(x, 3) ** 2)

    same(cr.grad(f)(np.arange(5.0)), differences(f, np.arange(5.0)))


# ------------------------------------------------------------------------------------------- copies


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, np.copy])
def test_a_copy_is_an_array_of_its_own(make):
    def f(x):
        y = make(x)
        y[0] = 5.0
        return np.sum(x**2) + np.sum(y**3)

    same(cr.grad(f)(np.array([1.0, 2.0])), [2.0, 4.0 + 12.0])


def test_parameters_are_copied_deeply_before_an_inner_loop():
    def f(params):
        fast = copy.deepcopy(params)
        fast["w"] -= 0.1 * cr.grad(lambda p: np.sum(p["w"] ** 4))(fast)["w"]
        return np.sum(fast["w"] ** 2) + np.sum(params["w"])

    w = np.array([0.5, -1.0])
    same(cr.grad(f)({"w": w})["w"], 2 * (w - 0.4 * w**3) * (1 - 1.2 * w**2) + 1)


# ------------------------------------------------------------------------------------- explanations


def doubled_in_a_dict(x):
    kept = {}
    for key in ("a", "b"):
        kept[key] = x * 2.0
        x = kept[key] * np.sin(x)
    return x


def test_the_page_shows_an_item_with_its_key():
    explained = cr.explain(doubled_in_a_dict)(1.0)
    assert "│ kept[key]_1 │" in str(explained)  # and not "kept_1", as if [key] were markup


def test_the_element_of_a_numbered_step_is_latex_with_one_subscript():
    def f(x):
        return np.sum(x[0]) * (2.0 * x)[1][0]

    latex = cr.explain(f)(np.ones((2, 2))).to_latex()
    assert "{u_{3}}_{[1]}" in latex
    assert re.search(r"_\{[^{}]*\}_", latex) is None


# ---------------------------------------------------------------------------- the autodiff cookbook


INPUTS = np.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.5, 1.4]])
TARGETS = np.array([True, True, False, True])
W, B = np.array([0.3, -0.5, 0.2]), 0.1


def predict(w, b, inputs=INPUTS):
    return 0.5 * (np.tanh((inputs @ w + b) / 2) + 1)


def logistic_loss(w, b):
    p = predict(w, b)
    return -np.sum(np.log(p * TARGETS + (1 - p) * (1 - TARGETS)))


def probabilities(w):
    return predict(w, B)


def test_gradients_of_logistic_regression():
    by_weights, by_bias = cr.grad(logistic_loss, (0, 1))(W, B)
    same(by_weights, INPUTS.T @ (predict(W, B) - TARGETS))
    same(by_bias, np.sum(predict(W, B) - TARGETS))
    value, gradient = cr.value_and_grad(lambda p: logistic_loss(p["W"], p["b"]))({"W": W, "b": B})
    same(value, logistic_loss(W, B))
    same(gradient["W"], by_weights)
    same(gradient["b"], by_bias)


def test_jacobians_by_rows_and_by_columns_are_the_same():
    p = probabilities(W)
    expected = (p * (1 - p))[:, None] * INPUTS
    for mode in ("forward", "reverse", None):
        same(cr.jacobian(probabilities, mode=mode)(W), expected)
    _, pull = cr.vjp(probabilities, W)
    same(cr.vmap(pull)(np.eye(4))[0], expected)
    push = lambda v: cr.jvp(probabilities, (W,), (v,))[1]
    same(cr.vmap(push, in_axes=1, out_axes=1)(np.eye(3)), expected)
    _, linear = cr.linearize(probabilities, W)
    same(np.stack([linear(v) for v in np.eye(3)], axis=1), expected)


def test_a_jacobian_with_respect_to_a_dict_is_a_dict():
    found = cr.jacobian(lambda p: predict(p["W"], p["b"]))({"W": W, "b": B})
    p = probabilities(W)
    same(found["W"], (p * (1 - p))[:, None] * INPUTS)
    same(found["b"], p * (1 - p))


def test_hessians_in_every_order_of_modes():
    loss = lambda w: logistic_loss(w, B)
    p = probabilities(W)
    expected = INPUTS.T @ ((p * (1 - p))[:, None] * INPUTS)
    same(cr.hessian(loss)(W), expected)
    for outer in ("forward", "reverse"):
        for inner in ("forward", "reverse"):
            same(cr.jacobian(cr.jacobian(loss, mode=inner), mode=outer)(W), expected)


@pytest.mark.parametrize(
    "product",
    [
        lambda f, x, v: cr.hvp(f, (x,), (v,)),
        lambda f, x, v: cr.jvp(cr.grad(f), (x,), (v,))[1],
        lambda f, x, v: cr.grad(lambda x: np.vdot(cr.grad(f)(x), v))(x),
        lambda f, x, v: cr.grad(lambda x: cr.jvp(f, (x,), (v,))[1])(x),
        lambda f, x, v: cr.vjp(cr.grad(f), x)[1](v)[0],
        lambda f, x, v: cr.linearize(cr.grad(f), x)[1](v),
    ],
    ids=[
        "hvp",
        "forward over reverse",
        "reverse over reverse",
        "reverse over forward",
        "vjp",
        "lin",
    ],
)
def test_a_hessian_times_a_vector_in_every_way(product):
    f = lambda x: np.sum(np.tanh(x) ** 2) + np.prod(x[0])
    x, v = normal(0, 3, 2), normal(1, 3, 2)
    same(product(f, x, v), np.tensordot(cr.hessian(f)(x), v, 2))


def test_gradients_of_each_example():
    error = lambda p, x, y: (p["w"] @ x + p["b"] - y) ** 2
    p, x, y = {"w": np.ones(3), "b": 0.5}, normal(0, 6, 3), normal(1, 6)
    found = cr.vmap(cr.grad(error), in_axes=(None, 0, 0))(p, x, y)
    residual = 2 * (x @ p["w"] + 0.5 - y)
    same(found["w"], residual[:, None] * x)
    same(found["b"], residual)


def test_the_fifth_derivative_of_tanh():
    f = np.tanh
    for _ in range(5):
        f = cr.grad(f)
    t = np.tanh(0.3)
    same(f(0.3), 16 - 136 * t**2 + 240 * t**4 - 120 * t**6, 1e-12)
    same(cr.vmap(f)(np.full(2, 0.3)), np.full(2, f(0.3)), 1e-12)


def test_an_inner_derivative_does_not_mix_with_the_outer_one():
    assert cr.grad(lambda x: x * cr.grad(lambda y: x + y)(1.0))(1.0) == 1.0
    assert cr.grad(lambda x: x * cr.grad(lambda y: x * y)(2.0))(3.0) == 6.0
    push = lambda f, x: cr.jvp(f, (x,), (1.0,))[1]
    assert push(lambda x: x * push(lambda y: x * y, 2.0), 3.0) == 6.0


def net(params, x):
    *hidden, last = params
    for w, b in hidden:
        x = np.tanh(x @ w + b)
    return x @ last[0] + last[1]


def squared_error(params, x, y):
    return np.mean((net(params, x) - y) ** 2)


def adapted_error(params, x, y, later_x, later_y):
    gradient = cr.grad(squared_error)(params, x, y)
    fast = [(w - 0.1 * dw, b - 0.1 * db) for (w, b), (dw, db) in zip(params, gradient, strict=True)]
    return squared_error(fast, later_x, later_y)


def test_meta_learning_differentiates_through_the_inner_step_for_a_batch_of_tasks():
    params = [(normal(0, 1, 4), np.zeros(4)), (normal(1, 4, 1), np.zeros(1))]
    x, later = normal(2, 3, 5, 1), normal(3, 3, 5, 1)
    tasks = cr.vmap(adapted_error, in_axes=(None, 0, 0, 0, 0))
    mean = lambda params: np.mean(tasks(params, x, np.sin(x), later, np.sin(later)))
    found = cr.grad(mean)(params)
    assert isinstance(found, list)
    assert isinstance(found[0], tuple)
    moved = lambda w: mean([(w, params[0][1]), params[1]])
    same(found[0][0], differences(moved, params[0][0]), 1e-5)


def test_a_fixed_point_with_a_rule_of_its_own_is_differentiated_twice():
    step = lambda a, x: 0.5 * (x + a / x)

    def iterated(a, x):
        for _ in range(60):
            x = step(a, x)
        return x

    def implicit(cotangent, a, start, out):
        _, by_a = cr.vjp(lambda a: step(a, out), a)
        _, by_x = cr.vjp(lambda x: step(a, x), out)
        w = cotangent
        for _ in range(30):
            w = cotangent + by_x(w)[0]
        return by_a(w)[0], None

    root = lambda a: cr.custom_rule(iterated, pull=implicit)(a, a / 2)
    same(cr.grad(root)(2.0), 0.5 / np.sqrt(2))
    same(cr.grad(cr.grad(root))(2.0), -0.25 * 2**-1.5)


def test_newtons_method_is_differentiated_three_times_through_its_iterations():
    def cube_root(a):
        x = 1.0
        for _ in range(50):
            after = x - (x**3 - a) / (3 * x**2)
            if abs(after - x) < 1e-14:
                break
            x = after
        return x

    first = cr.grad(cube_root)
    third = cr.grad(cr.grad(first))
    same(first(2.0), 2 ** (-2 / 3) / 3)
    same(third(2.0), 10 / 27 * 2 ** (-8 / 3), 1e-5)


# ---------------------------------------------------------------------------- loops that stay loops


def test_a_recurrent_net_as_a_scan():
    def f(w, xs):
        def step(h, x):
            h = np.tanh(w @ h + x)
            return h, h

        _, states = cr.scan(step, np.zeros(3), xs)
        return np.sum(states**2)

    w, xs = normal(0, 3, 3), normal(1, 6, 3)
    same(cr.grad(f)(w, xs), differences(lambda w: f(w, xs), w))
    same(cr.grad(f, 1)(w, xs), differences(lambda xs: f(w, xs), xs))
    batch = np.stack([xs, 2 * xs])
    each = cr.vmap(cr.grad(f), in_axes=(None, 0))(w, batch)
    same(each, np.stack([cr.grad(f)(w, xs) for xs in batch]))


def test_a_gradient_step_inside_a_scan_is_differentiated_twice():
    def f(w):
        step = lambda w, _: (w - 0.1 * cr.grad(lambda v: np.sum((v - 1) ** 4))(w), np.sum(w))
        w, history = cr.scan(step, w, None, length=4)
        return np.sum(w**2) + np.sum(history)

    w = np.array([0.5, 1.5, -0.2])
    same(cr.grad(f)(w), differences(f, w))
    same(cr.hessian(f)(w), differences(cr.grad(f), w), 1e-5)


def test_loops_and_choices_of_batches():
    double = lambda x: cr.while_loop(lambda s: s < 10.0, lambda s: 2 * s, x)
    same(cr.vmap(double)(np.array([1.0, 3.0, 20.0])), [16.0, 12.0, 20.0])
    same(cr.vmap(cr.grad(double))(np.array([1.0, 3.0, 20.0])), [16.0, 4.0, 1.0])
    choose = lambda x: cr.cond(x > 0, lambda x: x**2, lambda x: -x, x)
    same(cr.vmap(cr.grad(choose))(np.array([3.0, -3.0])), [6.0, -1.0])
    horner = lambda x: cr.fori_loop(0, 4, lambda i, c: c * x + i, 0.0)
    same(cr.grad(horner)(2.0), 2 * 2 * 1 + 2)
    counted = lambda x: cr.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] * x), (0, 1.0))
    same(cr.grad(lambda x: counted(x)[1])(2.0), 32.0)


def grown(x, rate):
    return cr.while_loop(lambda s: s[0] < 4, lambda s: (s[0] ** 2 * rate + 0.1, s[1] + 1), (x, 0))[
        0
    ]


def grown_in_python(x, rate):
    while x < 4:
        x = x**2 * rate + 0.1
    return x


@pytest.mark.parametrize("xs", [[1.1, 1.5], [1.5, 1.1], [5.0, 1.1, 2.0], [2.0, 6.0], [5.0, 6.0]])
def test_a_loop_of_unknown_length_in_a_scan_runs_another_number_of_times_in_each_step(xs):
    """Also where its derivative is recorded: in second derivatives, and under vmap."""

    def scanned(xs, rate):
        step = lambda c, x: (0.5 * c + grown(x, rate) * c * rate, None)
        return cr.scan(step, 1.0, xs)[0]

    def looped(xs, rate):
        c = 1.0
        for x in xs:
            c = 0.5 * c + grown_in_python(x, rate) * c * rate
        return c

    xs = np.array(xs)
    rates, batch = np.array([1.1, 1.3]), np.stack([xs, xs[::-1]])
    same(cr.grad(scanned)(xs, 1.1), cr.grad(looped)(xs, 1.1))
    same(cr.grad(scanned, 1)(xs, 1.1), cr.grad(looped, 1)(xs, 1.1))
    same(cr.hessian(scanned)(xs, 1.1), cr.hessian(looped)(xs, 1.1))
    forward = cr.jacobian(cr.jacobian(scanned, mode="forward"), mode="forward")
    same(forward(xs, 1.1), cr.hessian(looped)(xs, 1.1))
    for transform in (cr.grad, cr.hessian, lambda f: cr.grad(f, 1)):
        each = np.stack([transform(looped)(*one) for one in zip(batch, rates, strict=True)])
        same(cr.vmap(transform(scanned))(batch, rates), each)


# ------------------------------------------------------------------------ models and their training


@pytest.mark.parametrize(
    "transform",
    [
        lambda f, x: cr.grad(f)(x),
        lambda f, x: cr.jvp(f, (x,), (x,)),
        lambda f, x: cr.hvp(f, (x,), (x,)),
        lambda f, x: cr.vmap(cr.grad(f))(x[None]),
        lambda f, x: cr.vjp(f, x)[1](1.0),
        lambda f, x: cr.linearize(f, x)[1](x),
        lambda f, x: cr.jacobian(f)(x),
    ],
    ids=["grad", "jvp", "hvp", "vmap of grad", "vjp", "linearize", "jacobian"],
)
def test_large_intermediate_values_do_not_wait_for_the_garbage_collector(transform):
    f = lambda x: np.sum(np.tanh(x @ x))
    x = np.ones((100, 100))
    transform(f, x)
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(10):
            transform(f, x)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert after - before < x.nbytes


def test_a_gaussian_process_is_fitted_with_its_hessian():
    x = np.linspace(0, 1, 8)
    y = np.sin(6 * x)

    def negative_log_likelihood(p):
        scale, length, noise = np.exp(p)
        kernel = scale * np.exp(-0.5 * ((x[:, None] - x) / length) ** 2) + noise * np.eye(8)
        factor = np.linalg.cholesky(kernel)
        alpha = np.linalg.solve(factor.T, np.linalg.solve(factor, y))
        return 0.5 * y @ alpha + np.sum(np.log(np.diag(factor)))

    p = np.array([0.0, -1.0, -2.0])
    gradient = cr.grad(negative_log_likelihood)
    same(gradient(p), differences(negative_log_likelihood, p))
    same(cr.hessian(negative_log_likelihood)(p), differences(gradient, p), 1e-5)


def test_the_rates_of_an_equation_are_fitted_through_its_solver():
    def solved(f, y, times, *rates):
        ys = [y]
        for h in np.diff(times):
            k1 = f(y, *rates)
            k2 = f(y + h / 2 * k1, *rates)
            y = y + h * k2
            ys.append(y)
        return np.array(ys)

    field = lambda y, a, b: np.array([a * y[0] - y[0] * y[1], -b * y[1] + y[0] * y[1]])
    times, start = np.linspace(0, 2, 21), np.array([1.0, 1.0])
    data = solved(field, start, times, 1.5, 3.0)
    loss = lambda a, b: np.mean((solved(field, start, times, a, b) - data) ** 2)
    same(cr.grad(loss)(1.2, 2.5), differences(lambda a: loss(a, 2.5), 1.2))
    same(cr.grad(loss, 1)(1.2, 2.5), differences(lambda b: loss(1.2, b), 2.5))
    same(cr.grad(loss, (0, 1))(1.5, 3.0), [0.0, 0.0])


def test_black_box_variational_inference_finds_the_posterior():
    log_density = lambda z: -0.5 * np.sum((z - 1) ** 2 / np.array([1.0, 4.0]), axis=-1)

    def objective(p, seed):
        draws = np.random.RandomState(seed).randn(100, 2)
        return -(np.sum(p[2:]) + np.mean(log_density(p[:2] + draws * np.exp(p[2:]))))

    p = np.zeros(4)
    for i in range(300):
        p = p - 0.1 * cr.grad(objective)(p, i)
    np.testing.assert_allclose(p, [1, 1, 0, np.log(2)], atol=0.2)


def test_adam_trains_a_dict_that_is_changed_in_place():
    x = normal(0, 50, 3)
    y = np.sin(x @ np.ones(3))
    p = {
        "W1": 0.5 * normal(1, 3, 8),
        "b1": np.zeros(8),
        "W2": 0.5 * normal(2, 8),
        "b2": np.zeros(()),
    }
    loss = lambda p: np.mean((np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"] - y) ** 2)
    first, second = ({k: np.zeros_like(v) for k, v in p.items()} for _ in range(2))
    losses = []
    for i in range(1, 150):
        value, gradient = cr.value_and_grad(loss)(p)
        losses.append(value)
        for k in p:
            first[k] = 0.9 * first[k] + 0.1 * gradient[k]
            second[k] = 0.999 * second[k] + 0.001 * gradient[k] ** 2
            scale = np.sqrt(second[k] / (1 - 0.999**i)) + 1e-8
            p[k] -= 0.01 * first[k] / (1 - 0.9**i) / scale
    assert losses[-1] < 0.1 * losses[0]


def test_what_was_returned_belongs_to_the_caller():
    f = lambda p: np.sum(p["w"] ** 2) + np.sum(p["b"])
    p = {"w": np.ones(3), "b": np.zeros(2)}
    gradient = cr.grad(f)(p)
    gradient["w"] *= 2
    gradient["b"] += 1
    p["w"] -= gradient["w"]
    same(cr.grad(f)(p)["w"], 2 * p["w"])
    same(cr.grad(f)(p)["b"], [1.0, 1.0])
    x = np.ones(3)
    _, pull = cr.vjp(lambda x: x**2, x)
    x[:] = 5
    same(pull(np.ones(3))[0], [2.0, 2.0, 2.0])


def test_a_function_that_changes_its_dict_does_not_change_the_callers():
    def f(p):
        p["w"] = p["w"] * 2
        p["new"] = p["w"]
        return np.sum(p["new"] ** 2)

    p = {"w": np.ones(2)}
    same(cr.grad(f)(p)["w"], [8.0, 8.0])
    assert list(p) == ["w"]
    assert type(p["w"]) is np.ndarray


def test_minimisers_of_scipy_take_values_gradients_and_products():
    optimize = pytest.importorskip("scipy.optimize")
    rosenbrock = lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    start = np.zeros(4)
    product = lambda x, v: cr.hvp(rosenbrock, (x,), (v,))
    both = cr.value_and_grad(rosenbrock)
    first, second = cr.grad(rosenbrock), cr.hessian(rosenbrock)
    for found in (
        optimize.minimize(both, start, jac=True, method="BFGS"),
        optimize.minimize(both, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14}),
        optimize.minimize(rosenbrock, start, jac=first, hessp=product, method="trust-ncg"),
        optimize.minimize(rosenbrock, start, jac=first, hess=second, method="trust-exact"),
    ):
        same(found.x, np.ones(4), 1e-4)
    times = np.linspace(0, 1, 20)
    residual = lambda p: p[0] * np.exp(-p[1] * times) - 3 * np.exp(-2 * times)
    fitted = optimize.least_squares(residual, [1.0, 1.0], jac=cr.jacobian(residual))
    same(fitted.x, [3.0, 2.0])


def test_a_physics_informed_net_differentiates_through_second_derivatives():
    u = lambda p, x: np.tanh(x * p[0] + p[1]) @ p[2]
    residual = lambda p, x: cr.grad(cr.grad(u, 1), 1)(p, x) + np.sin(x)
    at = np.linspace(0, 1, 5)
    loss = lambda p: np.mean(cr.vmap(residual, in_axes=(None, 0))(p, at) ** 2)
    p = (normal(0, 6), normal(1, 6), normal(2, 6))
    found = cr.grad(loss)(p)
    same(found[0], differences(lambda w: loss((w, p[1], p[2])), p[0]), 1e-5)


# ---------------------------------------------------------------------------------- Python as it is


def test_every_way_to_make_a_function():
    class Model:
        power = 3.0

        def loss(self, x, scale=2.0, *, p=2):
            return self.power * scale * np.sum(x**p)

        @staticmethod
        def square(x):
            return x**2

        @classmethod
        def cube(cls, x):
            return x**3

        def __call__(self, x):
            return self.power * x

    @cr.grad
    def decorated(x):
        return x**3

    model, x = Model(), np.ones(2)
    same(cr.grad(model.loss)(x), [12.0, 12.0])
    same(cr.grad(model.loss, 1)(x, 2.0), 6.0)
    same(cr.grad(model.loss)(x, p=3), [18.0, 18.0])
    assert (cr.grad(Model.square)(2.0), cr.grad(model.cube)(2.0), cr.grad(model)(2.0)) == (4, 12, 3)
    assert decorated(2.0) == 12.0
    same(cr.grad(functools.partial(model.loss, p=3, scale=1.0))(x), [9.0, 9.0])
    same(cr.grad(functools.partial(lambda a, x: a * x, 3.0))(2.0), 3.0)


def test_iterations_of_every_kind():
    def sines(x):
        for _ in range(5):
            x = np.sin(x)
            yield x

    x = np.array([3.0, 1.0, 2.0])
    same(cr.grad(lambda v: sum(sines(v)))(0.5), differences(lambda v: sum(sines(v)), 0.5))
    same(cr.grad(lambda x: min(x) + 2 * sorted(x)[1] + max(x))(x), [1.0, 1.0, 2.0])
    same(cr.grad(lambda x: sum(a * b for a, b in itertools.pairwise(x)))(x), [1.0, 5.0, 1.0])
    same(cr.grad(lambda x: functools.reduce(lambda a, b: a * b, x))(x), [2.0, 6.0, 3.0])
    same(cr.grad(math.prod)(x), [2.0, 6.0, 3.0])
    same(cr.grad(lambda x: np.sum(np.array([v * i for i, v in enumerate(x)])))(x), [0.0, 1.0, 2.0])
    same(cr.grad(lambda x: (lambda a, *b: a * b[-1])(*x))(x), [2.0, 0.0, 3.0])
    power = lambda x, n: 1.0 if n == 0 else x * power(x, n - 1)
    same(cr.grad(power)(1.01, 300), 300 * 1.01**299)


def test_exceptions_asserts_and_matches_go_their_way():
    def f(x):
        assert np.all(np.isfinite(x))
        try:
            if x[0] < 0:
                raise ValueError("negative")
            return np.sqrt(x[0])
        except ValueError:
            return -x[0]

    same(cr.grad(f)(np.array([-2.0])), [-1.0])

    def g(x):
        match x.shape:
            case (n,):
                return np.sum(x) * n
        raise AssertionError

    same(cr.grad(g)(np.ones(3)), [3.0, 3.0, 3.0])

    def failing(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        cr.grad(failing)(1.0)
    assert type(np.array([1.0, 2.0])) is np.ndarray


def test_containers_come_back_as_they_were():
    point = namedtuple("point", "w b")

    @dataclass
    class Layer:
        w: np.ndarray
        b: float

    f = lambda p: np.sum(p.w**2) * p.b
    for tree in (point(np.ones(2), 2.0), Layer(np.ones(2), 2.0)):
        found = cr.grad(f)(tree)
        assert type(found) is type(tree)
        same(found.w, [4.0, 4.0])
        same(found.b, 2.0)
    nested = {"a": [1.0, (2.0, None)], "b": OrderedDict(c=np.ones(2))}
    found = cr.grad(lambda t: t["a"][0] * t["a"][1][0] + np.sum(t["b"]["c"]))(nested)
    assert found["a"] == [2.0, (1.0, None)]
    assert type(found["b"]) is OrderedDict
    curvature = cr.hessian(lambda p: p["a"] * p["b"] ** 2)({"a": 1.0, "b": 2.0})
    assert curvature == {"a": {"a": 0.0, "b": 4.0}, "b": {"a": 4.0, "b": 2.0}}


@pytest.mark.parametrize(
    ("x", "f", "dtype"),
    [
        (np.ones(3, np.float32), lambda x: np.sum(x * 2.0), np.float32),
        (np.ones(3, np.float32), lambda x: np.sum(x * np.ones(3)), np.float32),
        (np.ones(3, np.float32), lambda x: np.sum(x * np.arange(3)), np.float32),
        (np.ones(3, np.float16), lambda x: np.mean(x) ** 2, np.float16),
        (np.float32(3), lambda x: x * np.float64(2), np.float32),
        (np.array(3.0), lambda x: x**2, np.float64),
        (3.0, lambda x: x**2, np.float64),
        (np.zeros((0, 3)), lambda x: np.sum(x**2), np.float64),
    ],
)
def test_a_gradient_has_the_shape_and_the_dtype_of_its_argument(x, f, dtype):
    found = cr.grad(f)(x)
    assert found.dtype == dtype
    assert np.shape(found) == np.shape(x)


def test_a_rule_of_ones_own_may_compute_in_another_dtype():
    pull = cr.custom_rule(
        lambda x: np.sum(x**2), pull=lambda ct, x, out: ct * 2.0 * x.astype(float)
    )
    push = cr.custom_rule(
        lambda x: np.sum(x**2), push=lambda t, x, out: np.sum(t[0] * 2.0 * x * [1.0])
    )
    x = np.arange(3, dtype=np.float32)
    for f in (pull, push):
        value, tangent = cr.jvp(f, (x,), (x,))
        for found in (value, tangent, cr.grad(f)(x), cr.vmap(cr.grad(f))(x[None])):
            assert found.dtype == np.float32
        same(cr.grad(f)(x), 2 * x)


def test_masks_and_whole_numbers_mix_with_floats():
    mask, x = np.array([True, False, True]), np.array([1.0, 2.0, -3.0])

    def f(x):
        largest = np.argmax(x)
        picked = x[mask].sum() + np.where(mask, x, 0).sum() + mask @ x + x[largest] * largest
        return picked + (x > 0).sum() * x[1] + x.sum() * mask.sum() + x[np.argsort(x)][1] ** 2

    same(cr.grad(f)(x), differences(f, x))
    same(cr.grad(lambda x: np.sum(x ** np.arange(4)))(np.zeros(4)), [0.0, 1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.arange(3), "x of f: it is an array of shape (3,) of dtype int64"),
        (3, "1.0 instead of 1"),
        (True, "leave the argument out of argnums"),
        (1j, "Complex derivatives are not supported yet"),
        ([1.0, 2], "x[1] of f"),
        ({"rate": 1.0, "name": "relu"}, "x['name'] of f: it is 'relu'"),
        (types.SimpleNamespace(w=1.0), "cr.register_pytree_node"),
        (np.array([1.0, 2.0], dtype=object), "x.astype(float)"),
    ],
)
def test_what_cannot_be_differentiated_is_named(x, says):
    def f(x):
        return x

    with pytest.raises(NotDifferentiableError) as caught:
        cr.grad(f)(x)
    assert says in str(caught.value)


def test_ten_thousand_operations():
    def f(x):
        for _ in range(10_000):
            x = x * 0.9999 + 1e-5 * np.sin(x)
        return x

    same(cr.grad(f)(1.0), differences(f, 1.0))
    same(cr.grad(lambda x: sum(v * v for v in x))(np.ones(3000)), np.full(3000, 2.0))


def test_threads_do_not_see_each_other():
    def filled(x):
        p = np.zeros_like(x)
        for i in range(4):
            p[i] = x[i] ** 2
        return np.sum(np.array([p[0], p[1], p[2], p[3]]))

    def job(seed):
        for i in range(10):
            x = normal(seed + i, 4)
            same(cr.grad(filled)(x), 2 * x)
            same(cr.hessian(filled)(x), 2 * np.eye(4))
            assert type(np.array([1.0, 2.0])) is np.ndarray
        return seed

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(job, range(8))) == list(range(8))


def test_a_function_may_use_threads_itself():
    def f(x):
        with ThreadPoolExecutor(2) as pool:
            return sum(pool.map(lambda v: np.sin(v) ** 2, list(x)))

    x = np.array([0.3, 0.5, 0.7])
    same(cr.grad(f)(x), np.sin(2 * x))


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x, y: x * np.exp(-x * y) + y**2, (1.0, 2.0)),
        (logistic_loss, (W, B)),
        (lambda x: np.max(x) * np.mean(x), (np.array([1.0, 3.0, 2.0]),)),
        (lambda p: np.tanh(p["w"] * 0.7 + p["b"]) ** 2, ({"b": 0.1, "w": 0.5},)),
        (lambda x: np.floor(x) * x, (1.5,)),
        (lambda x: functools.reduce(np.multiply, [x] * 5), (1.5,)),
        (lambda w: squared_error([(w, np.zeros(2)), (np.ones((2, 1)), 0.0)], np.ones((1, 1)), 1.0),
         (np.array([[0.5, -0.3]]),)),
        (lambda w: (w - 0.1 * cr.grad(lambda v: (v - 2) ** 2)(w) - 2) ** 2, (1.0,)),
        (lambda r: cr.scan(lambda y, _: (y - 0.1 * r * y, None), 1.0, None, length=3)[0], (1.0,)),
        (cr.custom_rule(np.sin, partials=[lambda x, out: np.cos(x)]), (0.7,)),
    ],
)  # fmt: skip
def test_explanations_of_such_programs_are_verified(f, args):
    explained = cr.explain(f)(*args)
    assert explained.check.outcome == "verified"
    expected = cr.grad(f)(*args)
    found = [d.value for d in explained.derivatives]
    same(found, list(expected.values()) if isinstance(expected, dict) else [expected])


# ------------------------------------------------------------------- arguments that do not fit


def test_the_hessian_of_a_vector_function_has_an_axis_for_its_results():
    f = lambda x: np.stack([x[0] * x[1], np.sum(x**3)])
    x = np.array([2.0, 3.0])
    expected = [[[0.0, 1.0], [1.0, 0.0]], [[12.0, 0.0], [0.0, 18.0]]]
    np.testing.assert_allclose(cr.hessian(f)(x), expected)


def test_positions_may_be_numpys_whole_numbers():
    assert cr.grad(lambda x, y: x * y, np.int64(1))(2.0, 3.0) == 2.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: cr.grad(3.0), "grad takes a function, not a scalar of dtype float64"),
        (lambda: cr.grad(np.sin, "x"), "argnums are positions of arguments"),
        (lambda: cr.grad(np.sin, has_aux=True)(1.0), "returns a pair (result, aux)"),
        (lambda: cr.scan(lambda c, x: c + x, 0.0, np.ones(3)), "returns a pair (carry, y)"),
        (lambda: cr.hvp(np.sin, 1.0, 1.0), "takes primals and tangents as tuples"),
    ],
)
def test_arguments_of_transforms_that_do_not_fit_are_named(wrong, said):
    with pytest.raises(ArgumentsError, match=re.escape(said)):
        wrong()
