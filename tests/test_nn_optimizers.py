"""Optimisers and schedules, against loops over plain numbers that follow the papers' formulas."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, tree
from chainrule.errors import ArgumentsError


def slopes(w, t):
    """Some gradient that depends on the parameters and on the step."""
    return 2 * (w - 3) + math.sin(t) * w


def by_hand(rule, w, steps=8):
    """A parameter after some steps of ``rule(gradient, w, memory, step)``."""
    memory, path = {}, []
    for t in range(steps):
        w = rule(slopes(w, t), w, memory, t)
        path.append(w)
    return path


def sgd(rate, mu=0.0, nesterov=False, decay=0.0):
    def rule(g, w, memory, t):
        g += decay * w
        memory["v"] = mu * memory.get("v", 0.0) + g
        return w - rate * (g + mu * memory["v"] if nesterov else memory["v"])

    return rule


def adam(rate, b1=0.9, b2=0.999, eps=1e-8, decay=0.0, decoupled=0.0):
    def rule(g, w, memory, t):
        g += decay * w
        memory["m"] = b1 * memory.get("m", 0.0) + (1 - b1) * g
        memory["v"] = b2 * memory.get("v", 0.0) + (1 - b2) * g * g
        m, v = memory["m"] / (1 - b1 ** (t + 1)), memory["v"] / (1 - b2 ** (t + 1))
        now = rate(t) if callable(rate) else rate
        return w - now * (m / (math.sqrt(v) + eps) + decoupled * w)

    return rule


def rmsprop(rate, alpha=0.99, eps=1e-8):
    def rule(g, w, memory, t):
        memory["v"] = alpha * memory.get("v", 0.0) + (1 - alpha) * g * g
        return w - rate * g / (math.sqrt(memory["v"]) + eps)

    return rule


CASES = {
    "sgd": (nn.sgd(0.1), sgd(0.1)),
    "momentum": (nn.sgd(0.1, momentum=0.9), sgd(0.1, 0.9)),
    "nesterov": (nn.sgd(0.1, momentum=0.9, nesterov=True), sgd(0.1, 0.9, True)),
    "sgd with decay": (nn.sgd(0.1, momentum=0.5, weight_decay=0.2), sgd(0.1, 0.5, decay=0.2)),
    "rmsprop": (nn.rmsprop(0.1, decay=0.8, eps=1e-3), rmsprop(0.1, 0.8, 1e-3)),
    "rmsprop's defaults": (nn.rmsprop(), rmsprop(1e-2)),
    "adam": (nn.adam(0.1, b1=0.8, b2=0.95, eps=1e-3), adam(0.1, 0.8, 0.95, 1e-3)),
    "adam's defaults": (nn.adam(), adam(1e-3)),
    "adam with decay": (nn.adam(0.1, weight_decay=0.3), adam(0.1, decay=0.3)),
    "adamw": (nn.adamw(0.1, weight_decay=0.3), adam(0.1, decoupled=0.3)),
    "adamw's defaults": (nn.adamw(), adam(1e-3, decoupled=1e-2)),
    "a schedule": (
        nn.adamw(nn.cosine_schedule(0.2, 6), weight_decay=0.3),
        adam(lambda t: 0.1 * (1 + math.cos(math.pi * min(t, 6) / 6)), decoupled=0.3),
    ),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", CASES)
def test_an_optimiser_takes_the_steps_of_its_formula(name, compiled):
    optimizer, rule = CASES[name]
    starts = {"a": np.array([0.5, -2.0]), "b": [np.float64(7.0)]}
    update = cr.jit(optimizer.update) if compiled else optimizer.update
    params, state = starts, optimizer.init(starts)
    path = []
    for t in range(8):
        gradient = tree.map_leaves(lambda w, t=t: slopes(w, t), params)
        change, state = update(gradient, state, params)
        params = nn.apply_updates(params, change)
        path.append([*params["a"], params["b"][0]])
    want = [by_hand(rule, w) for w in (0.5, -2.0, 7.0)]
    assert np.allclose(path, np.transpose(want), rtol=1e-12, atol=1e-14)
    assert starts["a"].tolist() == [0.5, -2.0]


@pytest.mark.parametrize("name", CASES)
def test_a_float32_network_stays_float32(name):
    optimizer = nn.chain(nn.clip_by_global_norm(1.0), nn.clip_by_value(0.5), CASES[name][0])
    params = {"w": np.ones(3, np.float32)}
    state = optimizer.init(params)
    before = [np.asarray(v).dtype for _, v in tree.leaves(state)]
    for step in (optimizer.update, cr.jit(optimizer.update)):
        change, after = step({"w": np.full(3, 2, np.float32)}, state, params)
        assert change["w"].dtype == np.float32
        assert [np.asarray(v).dtype for _, v in tree.leaves(after)] == before


def test_clipping_shortens_only_what_is_too_long():
    g = {"a": np.array([3.0]), "b": np.array([[0.0, -4.0]])}
    clip = lambda optimizer: optimizer.update(g, optimizer.init(g), g)[0]
    short = clip(nn.clip_by_global_norm(1.0))
    assert np.allclose([short["a"][0], short["b"][0, 1]], [0.6, -0.8], rtol=1e-15)
    kept = clip(nn.clip_by_global_norm(5.5))
    assert kept["a"].tobytes() == g["a"].tobytes()
    assert kept["b"].tobytes() == g["b"].tobytes()
    values = clip(nn.clip_by_value(2.0))
    assert (values["a"].tolist(), values["b"].tolist()) == ([2.0], [[0.0, -2.0]])
    zero = {"a": np.zeros(2)}
    assert not np.any(nn.clip_by_global_norm(1.0).update(zero, (), zero)[0]["a"])
    assert nn.global_norm(g) == 5.0


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        (nn.constant_schedule(0.3), lambda t: 0.3),
        (nn.exponential_schedule(0.3, 0.5, 10), lambda t: 0.3 * 0.5 ** (t / 10)),
        (
            nn.step_schedule(0.3, {5: 0.1, 20: 0.5}),
            lambda t: 0.3 * (0.1 if t >= 5 else 1) * (0.5 if t >= 20 else 1),
        ),
        (
            nn.cosine_schedule(0.3, 12, 0.1),
            lambda t: 0.1 + 0.2 * (1 + math.cos(math.pi * min(t / 12, 1))) / 2,
        ),
        (nn.warmup_schedule(8, 0.3), lambda t: 0.3 * min(t / 8, 1)),
        (
            nn.warmup_schedule(8, nn.exponential_schedule(0.3, 0.5)),
            lambda t: 0.3 * t / 8 if t < 8 else 0.3 * 0.5 ** (t - 8),
        ),
    ],
)
def test_a_schedule_is_its_formula_also_compiled(schedule, formula):
    compiled = cr.jit(schedule)
    for t in range(30):
        assert math.isclose(schedule(t), formula(t), rel_tol=1e-14, abs_tol=1e-300)
        assert math.isclose(compiled(np.int64(t)), formula(t), rel_tol=1e-12, abs_tol=1e-300)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: nn.sgd(-0.1), "the learning rate is a number from 0 on, not -0.1"),
        (lambda: nn.sgd(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: nn.adam(b1=1.0), "b1 is a number from 0 to below 1, not 1.0"),
        (lambda: nn.clip_by_value(-1), "limit is a number from 0 on"),
        (lambda: nn.cosine_schedule(0.1, 0), "steps is a whole number from 1 on"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make, says):
    with pytest.raises(ArgumentsError, match=says):
        make()
