"""Programs that people bring from other libraries, as they write them, with the right numbers."""

import copy
import re

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import TraceError


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
        ("jit", "Nothing is compiled"),
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
