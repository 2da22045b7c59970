"""``cr.diagnose``: all gradients of a model at once, worst first, quiet where nothing is wrong."""

import json
from itertools import pairwise

import numpy as np
import pytest

import chainrule as cr
from chainrule.diagnosis.causes import Cause
from chainrule.diagnosis.why import Verdict
from chainrule.errors import NotDifferentiableError

INPUTS = np.ones(3)


def layers(*sizes, scale=None):
    rng = np.random.default_rng(3)
    return [
        {"W": rng.normal(size=(a, b)) * (np.sqrt(2 / a) if scale is None else scale),
         "b": np.zeros(b)}
        for a, b in pairwise(sizes)
    ]  # fmt: skip


def relu_loss(params, x, y):
    h = x
    for layer in params[:-1]:
        z = h @ layer["W"] + layer["b"]
        h = np.maximum(z, 0)
    return np.mean((h @ params[-1]["W"] + params[-1]["b"] - y) ** 2)


def tanh_loss(params, x, y):
    h = x
    for layer in params[:-1]:
        z = h @ layer["W"] + layer["b"]
        h = np.tanh(z)
    return np.mean((h @ params[-1]["W"] + params[-1]["b"] - y) ** 2)


def data(count=32, inputs=6):
    rng = np.random.default_rng(4)
    return rng.normal(size=(count, inputs)), rng.normal(size=(count, 1))


def test_a_healthy_network_is_quiet():
    for loss in (relu_loss, tanh_loss):
        found = cr.diagnose(loss)(layers(6, 16, 16, 1), *data())
        assert found.healthy
        assert found.verdict is Verdict.HEALTHY
        assert "nothing wrong" in found.to_text()
        assert not any(g.says for g in found.gradients)
        assert [a for a in found.activations if not a.healthy] == []


def test_every_leaf_has_the_norm_of_its_gradient():
    params, (x, y) = layers(6, 8, 1), data()
    found = cr.diagnose(relu_loss)(params, x, y)
    gradient = cr.grad(relu_loss)(params, x, y)
    for i, layer in enumerate(gradient):
        for key, value in layer.items():
            assert found[f"params[{i}]['{key}']"].norm == pytest.approx(np.linalg.norm(value))
    assert found[f'params[{0}]["W"]'].shape == (6, 8)
    with pytest.raises(KeyError):
        found["params"]


def test_the_worst_comes_first_with_its_cause_and_line():
    params = layers(6, 8, 8, 8, 1, scale=1e-3)
    found = cr.diagnose(tanh_loss)(params, *data())
    assert found.worst.parameter == "params[0]['b']"
    assert found.worst.cause is Cause.WEIGHTS
    assert found.worst.line.startswith("test_diagnose.py:")
    sizes = [g.norm for g in found.gradients if not g.healthy]
    assert sizes == sorted(sizes)


def test_what_is_zero_comes_before_what_is_small():
    def loss(params, x):
        h = np.tanh(x * params["a"])
        return 1e-9 * np.sum(h * params["b"]) + 0 * params["used"]

    found = cr.diagnose(loss)({"a": 1.0, "b": 1.0, "used": 1.0, "unused": 2.0}, np.ones(3))
    assert [g.verdict for g in found.gradients] == [Verdict.ZERO] * 2 + [Verdict.VANISHING] * 2
    assert found["params['unused']"].cause is Cause.NOT_CONNECTED
    assert found["params['used']"].cause is Cause.ZERO_WEIGHT


def test_dead_units_are_counted_over_the_whole_batch():
    params, (x, y) = layers(6, 10, 1), data()
    params[0]["b"][:7] = -100.0
    found = cr.diagnose(relu_loss)(params, x, y)
    (hidden,) = (a for a in found.activations if a.dead)
    assert (hidden.name, hidden.units, hidden.dead) == ("h", 10, 7)
    assert not found.healthy
    assert found["params[0]['b']"].zeros == 0.7
    assert "7 of 10 units are dead for the whole batch" in found.to_text()


def test_a_few_dead_units_are_no_disease():
    params, (x, y) = layers(6, 10, 1), data()
    params[0]["b"][:2] = -100.0
    assert cr.diagnose(relu_loss)(params, x, y).healthy


def test_saturation_is_the_share_of_flat_values():
    params, (x, y) = layers(6, 10, 1), data()
    params[0]["b"][:8] = 50.0
    found = cr.diagnose(tanh_loss)(params, x, y)
    (hidden,) = (a for a in found.activations if not a.healthy)
    assert hidden.saturated == pytest.approx(0.8, abs=0.02)
    assert "81 % of the values are saturated" in found.to_text()


def test_a_residual_close_to_zero_is_not_called_saturated():
    def loss(w, x, y):
        r = x @ w - y
        square = r**2
        return np.sum(square)

    x = np.random.default_rng(0).normal(size=(8, 3))
    w = np.ones(3)
    found = cr.diagnose(loss, wrt="w")(w, x, x @ w + 1e-3)
    assert all(a.saturated == 0 for a in found.activations)


def test_without_a_tree_all_arrays_are_looked_at_and_wrt_chooses():
    def loss(W, b, x):
        return np.sum(np.tanh(x @ W + b))

    args = np.ones((2, 3)), np.zeros(3), np.ones((4, 2))
    everything = cr.diagnose(loss)(*args)
    assert {g.parameter for g in everything.gradients} == {"W", "b", "x"}
    with pytest.raises(NotDifferentiableError, match=r"and W\[0,0\] is a part of one"):
        cr.diagnose(loss, wrt="b,W[0,0]")(*args)
    for wrt in ("W,b", ["W", "b"], "W, b"):
        assert {g.parameter for g in cr.diagnose(loss, wrt=wrt)(*args).gradients} == {"W", "b"}
    with pytest.raises(NotDifferentiableError, match="no parameter 'V'"):
        cr.diagnose(loss, wrt="W,V")(*args)
    with pytest.raises(NotDifferentiableError, match="no floating-point array"):
        cr.diagnose(lambda n: n)(3)


def test_numbers_left_to_their_defaults_are_no_parameters():
    def loss(w, x=INPUTS, eps=1e-5, scale=2.0):
        return np.sum((w * x) ** 2) / (eps + scale)

    assert {g.parameter for g in cr.diagnose(loss)(np.ones(3)).gradients} == {"w", "x"}
    assert {g.parameter for g in cr.diagnose(loss)(np.ones(3), scale=1.0).gradients} == {
        "w", "x", "scale",
    }  # fmt: skip
    assert cr.why(loss, wrt="eps")(np.ones(3)).healthy


def test_diagnose_and_why_agree():
    params, (x, y) = layers(6, 8, 8, 1, scale=1e-3), data()
    found = cr.diagnose(tanh_loss)(params, x, y)
    for one in found.gradients:
        alone = cr.why(tanh_loss, wrt=one.parameter)(params, x, y)
        assert alone.verdict is one.verdict
        assert alone.cause is one.cause
        assert alone.norm == pytest.approx(one.norm)


def test_nan_is_reported_and_not_explained():
    def loss(params):
        return np.sum(np.log(params["a"])) + params["b"]

    with np.errstate(all="ignore"):
        found = cr.diagnose(loss)({"a": np.array([0.0, -1.0]), "b": 1.0})
    assert found.worst.verdict is Verdict.NOT_FINITE
    assert found["params['b']"].healthy
    assert json.dumps(found.to_dict())
    assert "nan_guard" in found.to_text()


def test_bars_are_longer_for_larger_gradients():
    found = cr.diagnose(tanh_loss)(layers(6, 8, 8, 8, 1, scale=0.05), *data())
    lines = [x for x in found.to_text().splitlines() if "params[" in x]
    lengths = [x.count("█") for x in lines]
    norms = [g.norm for g in found.gradients]
    ordered = [n for _, n in sorted(zip(norms, lengths, strict=True))]
    assert ordered == sorted(ordered)
    assert max(lengths) > min(lengths)


@pytest.mark.parametrize("width", [80, 120])
def test_the_page_keeps_to_its_width(width):
    found = cr.diagnose(tanh_loss)(layers(6, 8, 8, 8, 1, scale=1e-3), *data())
    assert max(map(len, found.to_text(width).splitlines())) <= width


def test_a_layer_of_a_library_is_called_by_its_parameters():
    from chainrule import nn

    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear.init(2, 4, rng=rng), nn.relu, nn.Linear.init(4, 1, rng=rng), nn.relu
    )
    model.layers[2].bias[:] = -50

    def loss(model, x):
        out = model(x)
        return np.mean((out - 1) ** 2)

    found = cr.diagnose(loss)(model, np.ones((5, 2), np.float32))
    first = found["model.layers[0].weight"]
    assert first.cause is Cause.DEAD_MASK
    assert "model.layers[2].bias" in first.says
    assert first.source == "out = model(x)"
    assert first.step == "out"


def test_markdown_and_data_hold_every_gradient():
    found = cr.diagnose(relu_loss)(layers(6, 8, 1), *data())
    assert found.to_markdown().count("| `params") == 4
    assert len(json.loads(json.dumps(found.to_dict()))["gradients"]) == 4
    assert set(found._repr_mimebundle_()) == {"text/plain", "text/markdown"}
