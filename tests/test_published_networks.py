"""Small networks whose numbers others published, explained: steps, gradients, paths, updates.

CS231n's notes on backpropagation (three circuits), Matt Mazur's step-by-step example of a network
of two layers, the README of micrograd, and the two networks of the texts on the chain rule that
this project grew out of. Where a source prints rounded numbers, ours are held against those digits.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import chainrule as cr

explain = functools.partial(cr.explain, simplify=False)


def steps(explained):
    return {s.name: s.value for s in explained.steps}


def gradients(explained):
    return {d.variable: d.value for d in explained.derivatives}


def rounds_to(value, printed):
    """Whether a number, rounded to as many digits as were printed, is what was printed."""
    digits = len(printed.partition(".")[2])
    return f"{float(value):.{digits}f}" == printed


# --- CS231n, "Backpropagation, Intuitions" -------------------------------------------


def first_circuit(x, y, z):
    q = x + y
    f = q * z
    return f


def test_the_first_circuit_of_cs231n():
    explained = explain(first_circuit, wrt="x,y,z")(-2.0, 5.0, -4.0)
    assert steps(explained) == {"q": 3.0, "f": -12.0}
    assert gradients(explained) == {"x": -4.0, "y": -4.0, "z": 3.0}
    assert explained.steps[0].adjoint == -4.0  # ∂f/∂q
    assert explained.check.outcome == "verified"
    assert [p.names for p in explained.paths("x")] == [("f", "q", "x")]
    formula = explain("f = q z; q = x + y", at={"x": -2.0, "y": 5.0, "z": -4.0})
    assert gradients(formula) == gradients(explained)


def neuron(w0, x0, w1, x1, w2):
    """The sigmoid of w·x + b, taken apart into the operations of the notes' drawing."""
    product0 = w0 * x0
    product1 = w1 * x1
    both = product0 + product1
    dot = both + w2
    negated = -1 * dot
    power = np.exp(negated)
    denominator = 1 + power
    f = 1 / denominator
    return f


NEURON = {"w0": 2.0, "x0": -1.0, "w1": -3.0, "x1": -2.0, "w2": -3.0}


def test_the_neuron_of_cs231n_has_every_intermediate_value():
    explained = explain(neuron, wrt="w0,x0,w1,x1,w2")(**NEURON)
    values = steps(explained)
    drawn = {
        "product0": "-2.00", "product1": "6.00", "both": "4.00", "dot": "1.00",
        "negated": "-1.00", "power": "0.37", "denominator": "1.37", "f": "0.73",
    }  # fmt: skip
    assert all(rounds_to(values[name], printed) for name, printed in drawn.items())
    adjoints = {s.name: s.adjoint for s in explained.steps}
    drawn = {
        "f": "1.00", "denominator": "-0.53", "power": "-0.53", "negated": "-0.20", "dot": "0.20",
        "both": "0.20", "product0": "0.20", "product1": "0.20",
    }  # fmt: skip
    assert all(rounds_to(adjoints[name], printed) for name, printed in drawn.items())
    # The drawing rounds on the way: it has -0.59 where float64 gives -0.5898… = 3·0.19661…
    sigma = 1 / (1 + math.exp(-1.0))
    slope = sigma * (1 - sigma)
    expected = {"w0": -slope, "x0": 2 * slope, "w1": -2 * slope, "x1": -3 * slope, "w2": slope}
    for name, value in gradients(explained).items():
        assert value == pytest.approx(expected[name], rel=1e-14)
    assert rounds_to(slope, "0.20")
    assert rounds_to(expected["x0"], "0.39")
    assert rounds_to(expected["w1"], "-0.39")
    assert rounds_to(expected["x1"], "-0.59")


def test_the_neuron_of_cs231n_written_with_vectors():
    def vectors(w, x):
        dot = w[0] * x[0] + w[1] * x[1] + w[2]
        f = 1.0 / (1 + np.exp(-dot))
        return f

    explained = explain(vectors, wrt="w")(np.array([2.0, -3.0, -3.0]), np.array([-1.0, -2.0]))
    scalar = gradients(explain(neuron, wrt="w0,w1,w2")(**NEURON))
    assert explained.derivative().value == pytest.approx(list(scalar.values()), rel=1e-14)
    ledger = explained.paths("w[1]")
    assert ledger.count == 1
    assert float(ledger[0].product) == pytest.approx(scalar["w1"], rel=1e-14)


def third_circuit(x, y, z, w):
    product = x * y
    larger = np.maximum(z, w)
    both = product + larger
    out = 2 * both
    return out


def test_the_third_circuit_of_cs231n_routes_distributes_and_swaps():
    point = {"x": 3.0, "y": -4.0, "z": 2.0, "w": -1.0}
    explained = explain(third_circuit, wrt="x,y,z,w")(**point)
    assert steps(explained) == {"product": -12.0, "larger": 2.0, "both": -10.0, "out": -20.0}
    assert gradients(explained) == {"x": -8.0, "y": 6.0, "z": 2.0, "w": 0.0}
    assert [s.adjoint for s in explained.steps] == [2.0, 2.0, 2.0, 1.0]
    smaller = explained.paths("w")  # the smaller argument of a maximum gets nothing
    assert (smaller.count, smaller.blocked, smaller.total) == (1, 1, 0.0)


# --- Matt Mazur, "A Step by Step Backpropagation Example" -----------------------------

MAZUR = {
    "w1": 0.15, "w2": 0.20, "w3": 0.25, "w4": 0.30, "w5": 0.40, "w6": 0.45, "w7": 0.50, "w8": 0.55,
}  # fmt: skip
WEIGHTS = ",".join(MAZUR)


def logistic(net):
    return 1 / (1 + np.exp(-net))


def mazur(w1, w2, w3, w4, w5, w6, w7, w8):
    i1, i2, b1, b2 = 0.05, 0.10, 0.35, 0.60
    net_h1 = w1 * i1 + w2 * i2 + b1
    net_h2 = w3 * i1 + w4 * i2 + b1
    out_h1 = logistic(net_h1)
    out_h2 = logistic(net_h2)
    net_o1 = w5 * out_h1 + w6 * out_h2 + b2
    net_o2 = w7 * out_h1 + w8 * out_h2 + b2
    out_o1 = logistic(net_o1)
    out_o2 = logistic(net_o2)
    E_o1 = 0.5 * (0.01 - out_o1) ** 2
    E_o2 = 0.5 * (0.99 - out_o2) ** 2
    E = E_o1 + E_o2
    return E


def mazur_from_hidden(out_h1, out_h2, w5, w6, w7, w8):
    """The second half of the network, so that ∂E/∂out_h1 is a derivative of its own."""
    out_o1 = logistic(w5 * out_h1 + w6 * out_h2 + 0.60)
    out_o2 = logistic(w7 * out_h1 + w8 * out_h2 + 0.60)
    E_o1 = 0.5 * (0.01 - out_o1) ** 2
    E_o2 = 0.5 * (0.99 - out_o2) ** 2
    return E_o1 + E_o2


def mazur_vectors(W, V):
    x, target = np.array([0.05, 0.10]), np.array([0.01, 0.99])
    net_h = W @ x + 0.35
    out_h = logistic(net_h)
    net_o = V @ out_h + 0.60
    out_o = logistic(net_o)
    E = np.sum(0.5 * (target - out_o) ** 2)
    return E


VECTORS = (np.array([[0.15, 0.20], [0.25, 0.30]]), np.array([[0.40, 0.45], [0.50, 0.55]]))


def test_mazurs_forward_pass_step_by_step():
    values = steps(explain(mazur, wrt="w5")(**MAZUR)) | steps(explain(mazur, wrt="w1,w3")(**MAZUR))
    printed = {
        "net_h1": "0.3775", "out_h1": "0.593269992", "out_h2": "0.596884378",
        "net_o1": "1.105905967", "out_o1": "0.75136507", "out_o2": "0.772928465",
        "E_o1": "0.274811083", "E_o2": "0.023560026", "E": "0.298371109",
    }  # fmt: skip
    for name, digits in printed.items():
        assert rounds_to(values[name], digits), name


def test_mazurs_gradient_of_w5_is_a_chain_of_three_factors():
    explained = explain(mazur, wrt="w5")(**MAZUR)
    assert explained.check.outcome == "verified"
    (path,) = explained.paths()
    assert path.names[0] == "E"
    assert path.names[-1] == "w5"
    assert rounds_to(path.product, "0.082167041")
    adjoints = {s.name: s.adjoint for s in explained.steps}
    assert rounds_to(adjoints["out_o1"], "0.74136507")
    assert rounds_to(adjoints["net_o1"], "0.138498562")  # δ of the output
    slope = float(adjoints["net_o1"] / adjoints["out_o1"])
    assert rounds_to(slope, "0.186815602")


def test_mazurs_hidden_unit_has_two_paths_one_through_each_output():
    h1, h2 = logistic(0.3775), logistic(0.3925)
    explained = explain(mazur_from_hidden, wrt="out_h1")(h1, h2, 0.40, 0.45, 0.50, 0.55)
    ledger = explained.paths()
    assert ledger.count == 2
    assert {n for p in ledger for n in p.names} >= {"out_o1", "out_o2", "E_o1", "E_o2"}
    assert rounds_to(ledger[0].product, "0.055399425")
    # The page prints -0.019049119: it multiplies numbers that it rounded before.
    assert rounds_to(ledger[1].product, "-0.019049118")
    assert float(ledger[1].product) == pytest.approx(-0.019049119, abs=1e-9)
    assert rounds_to(ledger.total, "0.036350306")
    assert ledger.cancellation == pytest.approx((0.055399425 + 0.019049119) / 0.036350306, rel=1e-7)


def test_mazurs_first_weight_written_with_vectors_has_two_element_paths():
    explained = explain(mazur_vectors, wrt="W[0,0]")(*VECTORS)
    ledger = explained.paths()
    assert ledger.count == 2
    through = [[n for n in p.names if n.startswith("out_o")] for p in ledger]
    assert through == [["out_o[0]"], ["out_o[1]"]]
    # The paths to the hidden unit, times what leads on to the weight: σ′(net_h1) · i1.
    on = logistic(0.3775) * (1 - logistic(0.3775)) * 0.05
    assert rounds_to(on / 0.05, "0.241300709")
    assert rounds_to(ledger[0].product / on, "0.055399425")
    assert rounds_to(ledger[1].product / on, "-0.019049118")
    assert rounds_to(ledger.total, "0.000438568")
    assert "out_o[0]" in str(explained)


def test_mazurs_first_weight_has_the_same_two_paths_in_scalars():
    ledger = explain(mazur, wrt="w1")(**MAZUR).paths()
    through = [[n for n in p.names if n.startswith("out_o")] for p in ledger]
    assert through == [["out_o1"], ["out_o2"]]
    vectors = explain(mazur_vectors, wrt="W[0,0]")(*VECTORS).paths()
    assert [float(p.product) for p in ledger] == pytest.approx(
        [float(p.product) for p in vectors], rel=1e-13
    )
    assert explain(mazur, wrt="w5")(**MAZUR).paths().count == 1


def test_mazurs_vectors_and_scalars_are_the_same_network():
    scalars = gradients(explain(mazur, wrt=WEIGHTS)(**MAZUR))
    first, second = cr.grad(mazur_vectors, (0, 1))(*VECTORS)
    flat = [*first.ravel(), *second.ravel()]
    assert flat == pytest.approx([float(scalars[n]) for n in MAZUR], rel=1e-13)


def test_mazurs_updated_weights():
    update = explain(mazur, wrt=WEIGHTS)(**MAZUR).update(0.5)
    printed = {
        "w1": "0.149780716", "w2": "0.19956143", "w3": "0.24975114", "w4": "0.29950229",
        "w5": "0.35891648", "w6": "0.408666186", "w7": "0.511301270", "w8": "0.561370121",
    }  # fmt: skip
    for name, digits in printed.items():
        assert abs(float(update.new[name]) - float(digits)) < 6e-9, name
    assert "w₅ ← 0.4 − 0.5·0.0821670405" in str(update)


def by_hand(W, V, steps, rate=0.5):
    """The same training with the derivatives written out; the error after it."""
    x, target = np.array([0.05, 0.10]), np.array([0.01, 0.99])
    for step in range(steps + 1):
        h = logistic(W @ x + 0.35)
        o = logistic(V @ h + 0.60)
        if step == steps:
            return float(np.sum(0.5 * (target - o) ** 2))
        outer = (o - target) * o * (1 - o)
        inner = (V.T @ outer) * h * (1 - h)
        W, V = W - rate * np.outer(inner, x), V - rate * np.outer(outer, h)
    raise AssertionError


def test_mazurs_network_learns_as_it_was_published():
    history = cr.descent(mazur, WEIGHTS, rate=0.5, steps=1)(**MAZUR)
    assert rounds_to(history.losses[0], "0.298371109")
    # The page prints 0.291027924, from weights rounded to nine digits.
    assert history.losses[1] == pytest.approx(by_hand(*VECTORS, 1), rel=1e-14)
    assert history.losses[1] == pytest.approx(0.291027924, abs=2e-7)
    trained = cr.descent(mazur_vectors, "W,V", rate=0.5, steps=10_000, every=1000)(*VECTORS)
    assert trained.loss == pytest.approx(by_hand(*VECTORS, 10_000), rel=1e-9)
    assert trained.loss == pytest.approx(0.0000351085, rel=1e-3)
    assert [m.step for m in trained.moments] == list(range(0, 10_001, 1000))
    assert len(trained.losses) == 10_001


# --- micrograd's README --------------------------------------------------------------


def micrograd(a, b):
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + np.maximum(b + a, 0)
    d += 3 * d + np.maximum(b - a, 0)
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    return g


def test_the_readme_of_micrograd():
    explained = explain(micrograd, wrt="a,b")(-4.0, 2.0)
    found = gradients(explained)
    assert rounds_to(explained.value, "24.7041")
    assert rounds_to(found["a"], "138.8338")
    assert rounds_to(found["b"], "645.5773")
    assert float(found["a"]) == pytest.approx(138.83381924198252, rel=1e-14)
    assert float(found["b"]) == pytest.approx(645.5772594752186, rel=1e-14)
    assert {"e", "f"} <= {s.name for s in explained.steps}
    for variable in "ab":
        ledger = explained.paths(variable, most=1000)
        assert ledger.remainder_count == 0
        assert math.fsum(float(p.product) for p in ledger) == pytest.approx(
            float(found[variable]), rel=1e-13
        )


# --- the scalar network of four layers -----------------------------------------------

SCALARS = {
    "W1": 1.0, "b1": 0.0, "W2": 2.0, "b2": 0.0, "W3": 1.0, "b3": 0.0, "W4": 1.0, "b4": 0.0,
}  # fmt: skip
LAYERS = ",".join(SCALARS)


def four_layers(W1, b1, W2, b2, W3, b3, W4, b4):
    x, y = 2.0, 10.0
    z1 = W1 * x + b1
    a1 = z1
    z2 = W2 * a1 + b2
    a2 = z2
    z3 = W3 * a2 + b3
    a3 = np.tanh(z3)
    z4 = W4 * a3 + b4
    L = 0.5 * (z4 - y) ** 2
    return L


def four_layers_of_vectors(W1, b1, W2, b2, W3, b3, W4, b4):
    x, y = np.array([2.0]), np.array([10.0])
    a1 = W1 @ x + b1
    a2 = W2 @ a1 + b2
    z3 = W3 @ a2 + b3
    a3 = np.tanh(z3)
    z4 = W4 @ a3 + b4
    L = 0.5 * np.sum((z4 - y) ** 2)
    return L


DERIVATIVES = {
    "W1": "-0.0482778221", "b1": "-0.0241389110", "W2": "-0.0241389110", "b2": "-0.0120694555",
    "W3": "-0.0482778221", "b3": "-0.0120694555", "W4": "-8.9946339481", "b4": "-9.0006707003",
}  # fmt: skip


def test_the_scalar_network_of_four_layers():
    explained = explain(four_layers, wrt=LAYERS)(**SCALARS)
    values, found = steps(explained), gradients(explained)
    assert rounds_to(values["a3"], "0.9993292997")
    assert rounds_to(values["L"], "40.5060365273")
    for name, printed in DERIVATIVES.items():
        assert rounds_to(found[name], printed), name
        (path,) = explained.paths(name)
        assert float(path.product) == pytest.approx(float(found[name]), rel=1e-14)
    delta = {s.name: s.adjoint for s in explained.steps}
    assert rounds_to(delta["z4"], "-9.0006707003")
    assert rounds_to(delta["z3"], "-0.0120694555")
    slope = next(s for s in explained.steps if s.name == "a3").partials[0]
    assert rounds_to(slope.value, "0.0013409507")
    assert explained.check.outcome == "verified"


def test_the_update_of_the_scalar_network():
    update = explain(four_layers, wrt="W4")(**SCALARS).update(0.1)
    assert str(update) == "W₄ ← 1 − 0.1·(−8.9946339481) = 1.8994633948"
    assert rounds_to(update.old["W4"] - update.new["W4"], "-0.8994633948")
    assert rounds_to(update.new["W4"], "1.8994633948")


def test_the_four_layers_written_with_vectors():
    arrays = {n: np.full((1, 1) if n[0] == "W" else 1, v) for n, v in SCALARS.items()}
    for name, printed in DERIVATIVES.items():
        element = f"{name}[0,0]" if name[0] == "W" else f"{name}[0]"
        explained = explain(four_layers_of_vectors, wrt=element)(**arrays)
        assert rounds_to(explained.derivative().value, printed)
        ledger = explained.paths()
        assert ledger.count == 1
        assert rounds_to(ledger.total, printed)
    update = explain(four_layers_of_vectors, wrt="W4[0,0]")(**arrays).update(0.1)
    assert str(update) == "W4[0,0] ← 1 − 0.1·(−8.9946339481) = 1.8994633948"


# --- the anchor network --------------------------------------------------------------


def anchor(W1, b1, W2, b2, x, y):
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = logistic(z2)
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))


ANCHOR = (
    np.array([[0.5, -0.2], [0.3, 0.8]]), np.array([0.1, -0.1]), np.array([0.6, -0.4]), 0.0,
    np.array([0.5, 0.1]), 0.0,
)  # fmt: skip


def test_every_weight_of_the_anchor_network_has_its_ledger():
    printed = {
        "W1": [["0.1609305905", "0.0321861181"], ["-0.1072870603", "-0.0214574121"]],
        "b1": ["0.3218611810", "-0.2145741207"],
        "W2": ["0.1770236496", "0.0697365892"],
    }
    explained = explain(anchor, wrt="W1,b1,W2")(*ANCHOR)
    for name, rows in printed.items():
        for index, digits in np.ndenumerate(np.array(rows)):
            ledger = explained.paths(f"{name}[{','.join(map(str, index))}]")
            assert rounds_to(ledger.total, digits)
            assert math.fsum(float(p.product) for p in ledger) == ledger.total
