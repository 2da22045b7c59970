"""Programs that people bring from other libraries, as they write them, with the right numbers."""

import numpy as np

import chainrule as cr


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


# ------------------------------------------------------------------------------- stopped gradients


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
