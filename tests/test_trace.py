"""The gradient trace: from the result through the author's variables to one element of an array."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
import scipy.special
from samples.functions import CALLS
from typer.testing import CliRunner

import chainrule as cr
from chainrule.cli.app import app
from chainrule.errors import ChainruleError, FormulaError, NotDifferentiableError
from chainrule.explanations.entry import CheckFailedError
from chainrule.notation.expression import CODE, piece
from chainrule.render.phrases import PLAIN_CODE
from chainrule.render.trace import rows as written


class _Namespace:
    """NumPy, with SciPy's special functions in it."""

    special = scipy.special

    def __getattr__(self, name):
        return getattr(np, name)


NUMPY = _Namespace()

# --- the anchor network ----------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss(W1, b1, W2, b2, x, y):
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = sigmoid(z2)
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))


W1 = np.array([[0.5, -0.2], [0.3, 0.8]])
ANCHOR = (W1, np.array([0.1, -0.1]), np.array([0.6, -0.4]), 0.0, np.array([0.5, 0.1]), 0.0)


def trace(f, wrt, *args, **options):
    return cr.explain(f, wrt=wrt, **options)(*args).traces[0]


def table(f, wrt, *args, **options):
    """The rows as (symbol, expression, values, result)."""
    found = written(trace(f, wrt, *args, **options), PLAIN_CODE)
    return [(c.symbol, c.expression, c.values, c.result) for _, c in found]


def test_the_anchor_networks_trace_is_the_seeds_row_by_row():
    assert table(loss, "W1[0,0]", *ANCHOR) == [
        ("∂loss/∂yhat", "(yhat − y)/(yhat·(1 − yhat))",
         "(0.536435 − 0)/(0.536435·(1 − 0.536435))", "2.157196188"),
        ("∂yhat/∂z2", "σ′(z2) = yhat·(1 − yhat)", "0.5364353017·(1 − 0.5364353017)",
         "0.2486724688"),
        ("∂loss/∂z2", "∂loss/∂yhat · ∂yhat/∂z2", "2.157196188 · 0.2486724688", "0.5364353017"),
        ("∂z2/∂a1[0]", "W2[0]", "", "0.6"),
        ("∂loss/∂a1[0]", "∂loss/∂z2 · ∂z2/∂a1[0]", "0.5364353017 · 0.6", "0.321861181"),
        ("∂a1[0]/∂z1[0]", "relu′(z1[0])", "z1[0] = 0.33 > 0", "1"),
        ("∂loss/∂z1[0]", "∂loss/∂a1[0] · ∂a1[0]/∂z1[0]", "0.321861181 · 1", "0.321861181"),
        ("∂z1[0]/∂W1[0,0]", "x[0]", "", "0.5"),
        ("∂loss/∂W1[0,0]", "∂loss/∂z1[0] · ∂z1[0]/∂W1[0,0]", "0.321861181 · 0.5",
         "0.1609305905"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("element", "value"),
    [
        ("W1[0,0]", 0.1609305905), ("W1[0,1]", 0.0321861181), ("W1[1,0]", -0.1072870603),
        ("W1[1,1]", -0.0214574121), ("b1[0]", 0.3218611810), ("b1[1]", -0.2145741207),
        ("W2[0]", 0.1770236496), ("W2[1]", 0.0697365892), ("b2", 0.5364353017),
    ],
)  # fmt: skip
def test_every_weight_of_the_anchor_network_has_its_gradient(element, value):
    explained = cr.explain(loss, wrt=element)(*ANCHOR)
    assert round(float(explained.derivative().value), 10) == value
    assert explained.check.outcome == "verified"
    last = explained.traces[0].rows[-1]
    assert last.total
    assert round(float(last.value), 10) == value


def test_the_figures_that_the_seed_misprints_come_out_right():
    by_symbol = {symbol: result for symbol, _, _, result in table(loss, "W1[0,0]", *ANCHOR)}
    assert by_symbol["∂loss/∂yhat"] == "2.157196188"  # and not 2.153

    def squared(yhat, y):
        return (yhat - y) ** 2

    slope = cr.explain(squared)(0.5364353017406441, 0.0).derivative().value
    assert round(float(slope), 10) == 1.0728706035  # and not 1.072

    def neuron(w, x, b):
        z = w * x + b
        return sigmoid(z)

    explained = cr.explain(neuron)(0.6, 0.5, 0.1)
    assert round(float(explained.derivative().value), 10) == 0.1201303729  # and not 0.120002


def test_the_page_shows_forward_values_the_trace_the_product_and_the_whole_gradient():
    page = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR).to_text(width=120)
    assert "loss(W1, b1, W2, b2, x, y) = 0.7688093174" in page
    assert re.search(r"z1 +W1 @ x \+ b1 +\[0.33, 0.13\]", page)
    assert "= ∂loss/∂yhat · ∂yhat/∂z2 · ∂z2/∂a1[0] · ∂a1[0]/∂z1[0] · ∂z1[0]/∂W1[0,0]" in page
    assert "[[ 0.16093059  0.03218612]" in page
    assert "✓ verified" in page


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width):
    page = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR).to_text(width=width)
    assert max(map(len, page.splitlines())) <= width
    for number in ("2.157196188", "0.5364353017", "0.321861181", "0.1609305905"):
        assert number in page
    assert "…" not in page


def test_the_steps_are_the_users_variables_with_their_lines():
    steps = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR).steps
    first = loss.__code__.co_firstlineno
    assert [(s.name, s.line - first) for s in steps] == [
        ("z1", 1), ("a1", 2), ("z2", 3), ("yhat", sigmoid.__code__.co_firstlineno + 1 - first),
        ("loss", 5),
    ]  # fmt: skip
    assert steps[0].value.round(2).tolist() == [0.33, 0.13]
    assert [p.of for s in steps for p in s.partials] == ["W1[0,0]", "z1[0]", "a1[0]", "z2", "yhat"]


def test_two_elements_have_a_trace_each():
    explained = cr.explain(loss, wrt="W1[0,0],b1[1]")(*ANCHOR)
    assert [t.variable for t in explained.traces] == ["W1[0,0]", "b1[1]"]
    assert [round(float(d.value), 10) for d in explained.derivatives] == [
        0.1609305905, -0.2145741207,
    ]  # fmt: skip


def test_the_dense_jacobian_of_a_step_is_there_on_request():
    steps = {s.name: s for s in cr.explain(loss, wrt="W1[0,0]")(*ANCHOR).steps}
    assert steps["a1"].jacobian("z1").tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert steps["z1"].jacobian("W1").shape == (2, 2, 2)
    assert steps["z2"].jacobian().tolist() == [0.6, -0.4]
    with pytest.raises(KeyError, match="z1"):
        steps["a1"].jacobian("W2")


# --- the exercises of the seed -----------------------------------------------------------------


def test_exercise_1_a_tanh_neuron():
    def neuron(w, x, b):
        z = w @ x + b
        return np.tanh(z)

    found = trace(neuron, "w[0]", np.array([0.3]), np.array([0.5]), 0.0)
    assert round(float(found.value), 10) == 0.4889166234
    assert found.chain


def test_exercise_2_the_second_hidden_neuron():
    found = table(loss, "W1[1,0]", *ANCHOR)
    assert ("∂z2/∂a1[1]", "W2[1]", "", "−0.4") in found
    assert found[-1][3] == "−0.1072870603"


def test_exercise_3_a_sigmoid_in_place_of_the_relu():
    def smooth(W1, b1, W2, b2, x, y):
        z1 = W1 @ x + b1
        a1 = sigmoid(z1)
        z2 = W2 @ a1 + b2
        yhat = sigmoid(z2)
        return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))

    explained = cr.explain(smooth, wrt="W1[0,0]")(*ANCHOR)
    found = {r.of: r for r in explained.traces[0].rows if not r.total}
    assert round(float(found["z1[0]"].value), 10) == 0.2433154043
    assert found["z1[0]"].function[0][0] == "σ"
    yhat = next(s.value for s in explained.steps if s.name == "yhat")
    assert round(float(yhat), 10) == 0.5339660821
    assert round(float(explained.derivative().value), 10) == 0.0389766519


def test_exercise_5_nine_factors_of_a_quarter():
    def deep(w, x):
        a = x
        for i in range(10):
            z = w[i] * a
            a = sigmoid(z)
        return a

    w = np.zeros(10)  # σ′(0) = 1/4 at every layer; a = 1/2 goes into the next
    slopes = [r for r in trace(deep, "w[0]", w, 1.0).rows if r.function]
    assert [float(r.value) for r in slopes] == [0.25] * 10
    assert float(f"{np.prod([r.value for r in slopes[:9]]):.1e}") == 3.8e-06


def test_the_scalar_network_has_its_published_deltas_on_the_way():
    def net(W, b, x, y):
        a1 = W[0] * x + b[0]
        a2 = W[1] * a1 + b[1]
        a3 = np.tanh(W[2] * a2 + b[2])
        z = W[3] * a3 + b[3]
        return (z - y) ** 2 / 2

    args = np.array([1.0, 2.0, 1.0, 1.0]), np.zeros(4), 2.0, 10.0
    expected = [-0.0482778221, -0.0241389110, -0.0482778221, -8.9946339481]
    for i, value in enumerate(expected):
        assert round(float(trace(net, f"W[{i}]", *args).value), 10) == value
    explained = cr.explain(net, wrt="W[0]")(*args)
    assert round(float(explained.value), 10) == 40.5060365273
    found = explained.traces[0]
    assert found.chain
    slopes = {(r.step, r.of): round(float(r.value), 10) for r in found.rows}
    assert slopes["net", "z"] == -9.0006707003
    assert slopes["a3", "a2"] == 0.0013409507
    assert slopes["net", "a2"] == -0.0120694555
    assert round(float(cr.explain(net, wrt="b[0]")(*args).derivative().value), 10) == -0.0241389110


def test_a_kink_is_named_and_its_convention_used_on_the_way_and_only_there():
    def f(W, x):
        z = W @ x
        a = np.maximum(z, 0)
        return np.sum(a)

    kinked = cr.explain(f, wrt="W[0,0]")(np.array([[1.0, -1.0], [1.0, 0.0]]), np.ones(2))
    assert kinked.check.outcome == "not verifiable"
    assert any("half goes to each side" in n for n in kinked.notes)
    assert float(kinked.derivative().value) == 0.5
    elsewhere = cr.explain(f, wrt="W[1,0]")(np.array([[1.0, -1.0], [1.0, 0.0]]), np.ones(2))
    assert elsewhere.notes == ()
    assert elsewhere.check.outcome == "verified"


def test_the_relu_of_a_library_is_one_where_it_is_on():
    def f(W, x):
        z = W @ x
        a = cr.nn.relu(z)
        return np.sum(a)

    found = table(f, "W[0,0]", np.array([[1.0, -0.5], [1.0, 0.0]]), np.ones(2))
    assert ("∂a[0]/∂z[0]", "relu′(z[0])", "z[0] = 0.5 > 0", "1") in found
    batched = trace(lambda W, x: np.sum(cr.nn.relu(x @ W)), "W[0,0]", W1, -np.ones((3, 2)))
    off = next(r for r in batched.rows if r.function)
    assert off.value.tolist() == [0.0, 0.0, 0.0]


def test_a_dead_unit_shows_where_the_gradient_ends():
    dead = (W1, np.array([-1.0, -0.1]), *ANCHOR[2:])
    found = table(loss, "W1[0,0]", *dead)
    assert ("∂a1[0]/∂z1[0]", "relu′(z1[0])", "z1[0] = −0.77 < 0", "0") in found
    assert found[-1][3] == "0"


# --- more than one element on the way ------------------------------------------------------------


def batch(W, V, x, y):
    h = np.tanh(x @ W)
    out = h @ V
    return np.mean((out - y) ** 2)


RNG = np.random.default_rng(0)
BATCH = (
    RNG.standard_normal((3, 4)), RNG.standard_normal((4, 2)), RNG.standard_normal((128, 3)),
    RNG.standard_normal((128, 2)),
)  # fmt: skip


def test_a_batch_is_written_with_subscripts_sums_and_the_largest_terms():
    found = trace(batch, "W[0,1]", *BATCH)
    by_symbol = {(r.step, r.of): r for r in found.rows}
    assert piece(by_symbol["out[i,j]", "h[i,1]"].expression, CODE).s == "V[1,j]"
    assert piece(by_symbol["h[i,1]", "u1[i,1]"].expression, CODE).s == "1 − h[i,1]²"
    assert piece(by_symbol["u1[i,1]", "W[0,1]"].expression, CODE).s == "x[i,0]"
    last = found.rows[-1]
    assert (last.terms, len(last.largest)) == (128, 3)
    u = by_symbol["batch", "u1[i,1]"].value
    terms = u * BATCH[2][:, 0]
    order = np.argsort(-np.abs(terms))[:3]
    assert [t.place for t in last.largest] == [(i, 1) for i in order]
    assert [t.adjoint * t.slope for t in last.largest] == pytest.approx(terms[order], rel=1e-12)
    assert float(last.value) == pytest.approx(float(terms.sum()), rel=1e-12)


def letters_of(name):
    """The letters in the subscripts of an element's name."""
    return re.findall(r"\b[i-t]\b", name.partition("[")[2])


def check_rows(found, gradient):
    """Every row's own numbers give its result, and the last one is the gradient."""
    local = {(r.step, r.of): r for r in found.rows if not r.total}
    for row in found.rows:
        if not row.total:
            continue
        assert np.allclose(sum(a.value for a in row.addends), row.value, rtol=1e-12, atol=1e-15)
        for addend in row.addends:
            slope = local[addend.step, addend.of]
            if slope.expression is None or (slope.value is not None and slope.letters is None):
                continue
            mine, keep = letters_of(addend.step), letters_of(addend.of)
            index = {c: n for n, c in enumerate(sorted({*mine, *keep, *slope.axes}))}
            made = np.einsum(
                np.asarray(addend.adjoint), [index[c] for c in mine],
                np.asarray(slope.value), [index[c] for c in slope.axes],
                [index[c] for c in keep if c in mine or c in slope.axes],
            )  # fmt: skip
            assert np.allclose(made, addend.value, rtol=1e-9, atol=1e-14)
    assert np.allclose(found.rows[-1].value, gradient, rtol=1e-12, atol=1e-18)


ACTIVATIONS = [np.tanh, sigmoid, lambda z: np.maximum(z, 0), np.sin, lambda z: z**2]
LOSSES = [
    lambda out, y: np.mean((out - y) ** 2),
    lambda out, y: np.sum(np.abs(out - y)),
    lambda out, y: np.sum(np.logaddexp(0, out) - y * out),
]


@pytest.mark.parametrize("seed", range(12))
def test_the_slopes_along_a_chain_multiply_to_the_gradient(seed):
    rng = np.random.default_rng(seed)
    act, out = ACTIVATIONS[seed % 5], ACTIVATIONS[(seed + 1) % 5]
    sizes = rng.integers(1, 5, 2)

    def net(W, b, V, x, y):
        z = W @ x + b
        a = act(z)
        s = V @ a
        p = out(s)
        return (p - y) ** 2 / 2

    args = [rng.standard_normal(s) for s in ((sizes[0], sizes[1]), sizes[0], sizes[0], sizes[1])]
    i, j = rng.integers(0, sizes[0]), rng.integers(0, sizes[1])
    found = trace(net, f"W[{i},{j}]", *args, 0.3)
    gradient = cr.grad(net)(*args, 0.3)[i, j]
    assert found.chain
    slopes = [r.value for r in found.rows if not r.total]
    assert float(np.prod(slopes)) == pytest.approx(float(gradient), rel=1e-12, abs=1e-300)
    check_rows(found, gradient)


@pytest.mark.parametrize("seed", range(12))
def test_every_row_of_a_deep_network_adds_up(seed):
    rng = np.random.default_rng(seed)
    depth, width, count = int(rng.integers(1, 4)), rng.integers(1, 5, 5), int(rng.integers(1, 6))
    score, act = LOSSES[seed % 3], ACTIVATIONS[seed % 5]

    def net(params, x, y):
        h = x
        for layer in params:
            z = h @ layer["W"] + layer["b"]
            h = act(z)
        return score(h, y)

    params = [
        {"W": rng.standard_normal((width[n], width[n + 1])), "b": rng.standard_normal(width[n + 1])}
        for n in range(depth)
    ]
    x, y = rng.standard_normal((count, width[0])), rng.standard_normal((count, width[depth]))
    i, j = int(rng.integers(0, width[0])), int(rng.integers(0, width[1]))
    explained = cr.explain(net, wrt=f"params[0]['W'][{i},{j}]")(params, x, y)
    check_rows(explained.traces[0], cr.grad(net)(params, x, y)[0]["W"][i, j])
    assert explained.check.outcome in ("verified", "not verifiable")
    assert np.array_equal(explained.traces[0].gradient, cr.grad(net)(params, x, y)[0]["W"])


def test_a_weight_that_is_used_twice_is_a_sum_over_its_uses():
    def shared(W, x):
        h1 = np.tanh(W @ x)
        h2 = np.tanh(W @ h1)
        return np.sum(h2**2)

    x = np.array([0.5, 0.1])
    found = trace(shared, "W[0,1]", W1, x)
    last = found.rows[-1]
    assert [a.of for a in last.addends] == ["W[0,1]"] * 2
    assert last.addends[0].held == ("h1",)
    check_rows(found, cr.grad(shared)(W1, x)[0, 1])


def test_indexing_like_a_convolution_shifts_the_subscript():
    def conv(w, x):
        y = w[0] * x[:-2] + w[1] * x[1:-1] + w[2] * x[2:]
        return np.sum(y**2)

    w, x = np.array([1.0, 2.0, 3.0]), np.arange(6.0)
    found = table(conv, "w[1]", w, x)
    assert found[1][:2] == ("∂y[i]/∂w[1]", "x[i+1]")
    check_rows(trace(conv, "w[2]", w, x), cr.grad(conv)(w, x)[2])
    in_x = trace(conv, "x[2]", w, x)  # three elements of y, each with another weight
    assert in_x.rows[1].value.tolist() == [3.0, 2.0, 1.0]
    check_rows(in_x, cr.grad(conv, 1)(w, x)[2])


def test_a_softmax_by_hand_has_its_formula_and_a_cross_entropy_its_gradient():
    def cross_entropy(W, x, y):
        z = x @ W
        p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
        return -np.mean(np.log(p[np.arange(len(y)), y]))

    args = RNG.standard_normal((3, 4)), RNG.standard_normal((5, 3)), np.array([0, 1, 2, 3, 0])
    found = trace(cross_entropy, "W[0,1]", *args)
    by_symbol = {(r.step, r.of): r for r in found.rows}
    slope = by_symbol["p[i,j]", "z[i,1]"]
    assert piece(slope.expression, CODE).s == "p[i,j]·(δ[j,1] − p[i,1])"
    p = next(s.value for s in cr.explain(cross_entropy, wrt="W[0,1]")(*args).steps if s.name == "p")
    expected = (p - np.eye(4)[args[2]])[:, 1] / 5
    assert by_symbol["cross_entropy", "z[i,1]"].value == pytest.approx(expected, abs=1e-15)
    check_rows(found, cr.grad(cross_entropy)(*args)[0, 1])


def test_a_scan_is_traced_through_all_of_its_turns():
    def rnn(W, U, xs):
        def step(h, x):
            h = np.tanh(W @ h + U @ x)
            return h, h

        _, hs = cr.scan(step, np.zeros(2), xs)
        return np.sum(hs**2)

    xs = RNG.standard_normal((3, 2))
    found = trace(rnn, "W[0,1]", W1, np.eye(2), xs)
    check_rows(found, cr.grad(rnn)(W1, np.eye(2), xs)[0, 1])
    assert len(found.rows[-1].addends) == 3


def test_a_residual_connection_is_one_step_and_adds_up():
    def residual(W, V, x):
        a = np.tanh(W @ x)
        b = a + V @ a
        return np.mean(b**2)

    x = np.array([0.5, 0.1])
    found = trace(residual, "W[1,0]", W1, W1.T, x)
    check_rows(found, cr.grad(residual)(W1, W1.T, x)[1, 0])


def test_a_black_pixel_moves_its_column_and_contributes_nothing():
    def f(W, x):
        z = x @ W
        return np.sum(np.tanh(z))

    x = RNG.standard_normal((4, 3))
    x[:, 0] = 0.0
    explained = cr.explain(f, wrt="W[0,1]")(RNG.standard_normal((3, 2)), x)
    assert explained.steps[0].name == "z"
    assert float(explained.derivative().value) == 0.0
    assert explained.check.outcome == "verified"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_single_precision_are_checked_as_doubles(dtype):
    args = [a.astype(dtype) for a in BATCH]
    explained = cr.explain(batch, wrt="W[0,1]")(*args)
    assert explained.check.outcome == "verified"
    assert explained.traces[0].gradient.dtype == dtype


# --- folding -------------------------------------------------------------------------------------


def model(W, V, x):
    def hidden(v):
        z = W @ v
        return np.tanh(z)

    h = hidden(x)
    return squares(V @ h)


def squares(v):
    s = v**2
    return np.sum(s)


MODEL = (W1, W1.T, np.array([0.5, 0.1]))


@pytest.mark.parametrize(
    ("fold", "names"),
    [
        ("variables", ["z", "h", "u1", "s", "model"]),
        ("functions", ["h", "u1", "model"]),
        ("primitives", ["z", "h", "u1", "s", "model"]),
    ],
)
def test_steps_are_folded_to_variables_functions_or_primitives(fold, names):
    explained = cr.explain(model, wrt="W[0,1]", fold=fold)(*MODEL)
    assert [s.name for s in explained.steps] == names
    check_rows(explained.traces[0], cr.grad(model)(*MODEL)[0, 1])


def test_unfolding_shows_every_operation():
    folded = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR)
    unfolded = cr.explain(loss, wrt="W1[0,0]", unfold=True)(*ANCHOR)
    assert len(unfolded.steps) == 16 > len(folded.steps) == 5
    assert unfolded.derivative().value == folded.derivative().value
    with pytest.raises(FormulaError, match="'variables', 'functions', 'primitives'"):
        cr.explain(loss, wrt="W1[0,0]", fold="lines")


def test_a_function_inside_an_expression_is_a_step_of_its_name():
    def f(w, x):
        return np.sum(squared(sigmoid(w * x)))

    def squared(v):
        return v * v

    names = [s.name for s in cr.explain(f, wrt="w[0]")(np.ones(2), np.ones(2)).steps]
    assert names == ["sigmoid", "squared", "y"]


# --- which element -------------------------------------------------------------------------------


@dataclasses.dataclass
class Layer:
    W: object
    b: object


def deep(layers, x):
    h = x
    for layer in layers:
        h = np.tanh(layer.W @ h + layer.b)
    return np.sum(h)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("layers[1].W[0,1]", "layers[1].W[0,1]"), ("layers[0].b[-1]", "layers[0].b[1]"),
        ("layers[-1].W[0,1]", None), ("layers[1].W[-2][-1]", "layers[1].W[0,1]"),
    ],
)  # fmt: skip
def test_elements_are_found_in_lists_and_attributes(asked, name):
    layers = [Layer(W1, np.zeros(2)), Layer(W1.T, np.zeros(2))]
    if name is None:
        with pytest.raises(NotDifferentiableError):
            cr.explain(deep, wrt=asked)(layers, np.ones(2))
        return
    explained = cr.explain(deep, wrt=asked)(layers, np.ones(2))
    assert explained.traces[0].variable == name
    gradient = cr.grad(deep)(layers, np.ones(2))
    part = eval(name.replace("layers", "gradient"), {"gradient": gradient})
    assert float(explained.derivative().value) == pytest.approx(float(part), rel=1e-12)


@pytest.mark.parametrize("asked", ["params['W'][0,1]", 'params["W"][0,1]', 'params["W"][0, -1]'])
def test_elements_are_found_in_dicts_in_any_quotes(asked):
    def f(params, x):
        return np.sum((params["W"] @ x) ** 2)

    found = trace(f, asked, {"W": W1}, np.ones(2))
    assert found.variable == "params['W'][0,1]"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("W1[2,0]", r"W1\[2,0\] is outside of W1, which has shape \(2, 2\): index 2 of axis 0"),
        ("W1[0]", r"has shape \(2, 2\).*\nWrite W1\[0,0\] for one element"),
        ("W1[:,0]", r"only single elements.*W1\[0,0\].*\n.*shape \(2, 2\)"),
        ("W1[0,0,0]", r"3 indices name nothing in it"),
        ("b1[2]", r"index 2, where the indices run from 0 to 1"),
        ("b2[0]", "b2 is a number"),
        ("W3[0,0]", r"no parameter 'W3\[0,0\]'. Did you mean 'W[12]\[0,0\]'"),
        ("W1[0", "no parameter"),
    ],
)  # fmt: skip
def test_what_is_no_element_is_refused_with_its_shape_and_what_to_write(asked, says):
    with pytest.raises(NotDifferentiableError, match=says):
        cr.explain(loss, wrt=asked)(*ANCHOR)


def test_what_is_only_for_scalars_is_said():
    for options in ({"order": 2}, {"mode": "forward"}, {"delta": 0.1}):
        with pytest.raises(FormulaError, match=next(iter(options))):
            cr.explain(loss, wrt="W1[0,0]", **options)(*ANCHOR)


def test_a_result_that_does_not_depend_on_the_element_says_so():
    def f(w, x):
        return np.sum(w[0] * x)

    explained = cr.explain(f, wrt="w[1]")(np.ones(2), np.ones(3))
    assert float(explained.derivative().value) == 0.0
    assert "does not depend on w[1]" in explained.to_text()
    assert explained.check.outcome == "verified"


def test_whole_numbers_are_refused_by_what_they_are():
    with pytest.raises(NotDifferentiableError, match=r"x is an array of int64 of shape \(3,\)"):
        cr.explain(lambda x: np.sum(x * 2.0), wrt="x[0]")(np.arange(3))


def test_a_result_that_is_another_element_does_not_depend():
    explained = cr.explain(lambda w: w[1], wrt="w[0]")(np.ones(2))
    assert (float(explained.derivative().value), explained.steps) == (0.0, ())
    assert "does not depend on w[0]" in explained.to_text()


def test_a_weight_that_is_used_in_sixty_layers_still_fits_on_a_page():
    def deep(w, x):
        h = x
        for _ in range(60):
            h = np.tanh(w @ h)
        return np.sum(h)

    explained = cr.explain(deep, wrt="w[0,1]")(W1, np.ones(2))
    page = explained.to_text(width=80)
    assert len(page.splitlines()) < 250
    assert re.search(r"55\s+more", page)
    gradient = cr.grad(deep)(W1, np.ones(2))[0, 1]
    assert float(explained.derivative().value) == pytest.approx(float(gradient), rel=1e-12)


def test_a_wrong_derivative_is_never_shown(monkeypatch):
    from chainrule.explanations import trace as module

    real = module.pull

    def wrong(op, *args, **kwargs):
        part = real(op, *args, **kwargs)
        return (part[0] * 1.001, part[1]) if op.name == "matmul" and part else part

    monkeypatch.setattr(module, "pull", wrong)
    with pytest.raises(ChainruleError, match="check failed"):
        cr.explain(loss, wrt="W1[0,0]")(*ANCHOR)
    large = [RNG.standard_normal(s) for s in ((60, 80), (80, 2), (128, 60), (128, 2))]
    with pytest.raises(ChainruleError, match="check failed"):
        cr.explain(batch, wrt="W[0,1]")(*large)


def test_a_row_whose_own_arithmetic_is_wrong_is_left_without_its_expression(monkeypatch):
    from chainrule.explanations import subscripts

    real = subscripts.factor
    monkeypatch.setattr(subscripts, "factor", lambda *a: real(*a) * 2.0)
    found = trace(loss, "W1[0,0]", *ANCHOR)
    first = found.rows[0]
    assert first.expression is None
    assert round(float(first.value), 9) == 2.157196188


@pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning")
@pytest.mark.parametrize("call", CALLS[::9], ids=str)
def test_whatever_numpy_does_has_a_trace_that_is_checked_and_every_page(call):
    if call.flat or call.refused or not call.inputs:
        pytest.skip("there is no derivative")

    def score(*args):
        out = call.call(NUMPY, *args)
        out = out[0] if isinstance(out, tuple | list) else out
        weights = 0.3 + np.arange(np.size(out)).reshape(np.shape(out)) * 0.1
        return np.sum(weights * out * out)

    x = call.inputs[0]
    if np.asarray(x).dtype.kind != "f" or not np.size(x):
        pytest.skip("nothing to differentiate")
    index = tuple(n // 2 for n in np.shape(x))
    name = "args[0]" + (f"[{','.join(map(str, index))}]" if index else "")
    with np.errstate(all="ignore"):
        explained = cr.explain(score, wrt=name)(*call.inputs)
        gradient = cr.grad(score)(*call.inputs)
    expected = float(np.asarray(gradient)[index])
    assert float(explained.derivative().value) == pytest.approx(expected, rel=1e-10, nan_ok=True)
    assert explained.check.outcome == "verified"
    assert explained.to_text()
    assert explained.to_markdown()
    assert explained.to_latex()
    json.dumps(explained.to_dict())


# --- cost --------------------------------------------------------------------------------------


def test_a_large_network_is_run_once_and_checked_with_two_more_calls():
    calls = []

    def f(W, x):
        calls.append(W)
        z = x @ W
        return np.sum(np.tanh(z))

    args = RNG.standard_normal((300, 100)) / 20, RNG.standard_normal((64, 300))
    explained = cr.explain(f, wrt="W[0,1]")(*args)
    assert explained.check.outcome == "verified"
    assert len(calls) == 3


def test_stop_gradient_is_held_while_a_large_network_is_checked():
    def f(W, x):
        z = x @ W
        return np.sum(z * cr.stop_gradient(z))

    args = RNG.standard_normal((300, 100)) / 20, RNG.standard_normal((64, 300))
    assert cr.explain(f, wrt="W[0,1]")(*args).check.outcome == "verified"


# --- every page ----------------------------------------------------------------------------------


def test_the_data_have_every_row_and_are_json():
    data = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR).to_dict()
    json.dumps(data)
    (found,) = data["traces"]
    assert (found["variable"], found["input"], found["index"]) == ("W1[0,0]", "W1", [0, 0])
    assert [r["kind"] for r in found["rows"]][:3] == ["local", "local", "accumulated"]
    assert found["rows"][2]["addends"][0]["adjoint"] == pytest.approx(2.1571961881)
    assert np.allclose(found["gradient"], cr.grad(loss)(*ANCHOR))


def test_latex_and_markdown_show_the_trace():
    explained = cr.explain(loss, wrt="W1[0,0]")(*ANCHOR)
    tex = explained.to_latex()
    assert r"\sigma'(z_{2}) = \mathrm{yhat}" in tex
    assert r"\operatorname{relu}'(z_{1}[0]) = 1 \qquad (z_{1}[0] = 0.33 > 0)" in tex
    assert r"\mathrm{yhat} - y && \text{cancel}" in tex
    assert tex.count(r"\begin{align*}") == tex.count(r"\end{align*}") >= 1
    markdown = explained.to_markdown()
    assert "| step | expression | values | result |" in markdown
    assert markdown.count("0.1609305905") >= 1


SOURCE = """
import numpy as np
def sigmoid(z): return 1/(1+np.exp(-z))
def loss(W1, b1, W2, b2, x, y):
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = sigmoid(z2)
    return -(y*np.log(yhat) + (1-y)*np.log(1-yhat))
"""
AT = "W1=[[0.5,-0.2],[0.3,0.8]],b1=[0.1,-0.1],W2=[0.6,-0.4],b2=0,x=[0.5,0.1],y=0"


@pytest.fixture
def anchor_file(tmp_path, monkeypatch):
    (tmp_path / "anchor.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return "anchor.py:loss"


def test_the_shell_prints_the_same_page(anchor_file):
    result = CliRunner().invoke(app, ["explain", anchor_file, "--wrt", "W1[0,0]", "--at", AT])
    assert result.exit_code == 0, result.output
    assert "0.1609305905" in result.output
    assert "relu′(z1[0])" in result.output


@pytest.mark.parametrize("fold", ["variables", "functions", "primitives"])
def test_the_shell_folds(anchor_file, fold):
    arguments = ["explain", anchor_file, "--wrt", "W1[0,0]", "--at", AT, "--fold", fold]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("asked", ["W1[5,0]", "W1[:,0]", "V[0]", "W1[0"])
def test_the_shell_refuses_what_is_no_element_without_a_traceback(anchor_file, asked):
    result = CliRunner().invoke(app, ["explain", anchor_file, "--wrt", asked, "--at", AT])
    assert result.exit_code == 2
    assert "error:" in result.output
    assert "Traceback" not in result.output


def test_parameters_that_keep_their_defaults_are_read_by_their_names_too():
    weights = np.array([2.0, 3.0])

    def f(x, w=weights, *more, scale=0.5, count=2, **named):
        return scale * np.sum(w * x) ** count

    explained = cr.explain(f, wrt="w[1]")(np.array([1.0, 4.0]))
    assert explained.title == "f(x, w, scale)"
    assert float(explained.derivative("w[1]").value) == 0.5 * 2 * 14 * 4
    assert list(explained.inputs) == ["x", "w", "scale"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("wrt", ["w", "w[1]"])
def test_a_function_that_rounds_inside_is_never_called_wrong(dtype, wrt):
    def f(w, x):
        h = np.tanh((w * x).astype(dtype))
        return np.mean(h * h)

    rng = np.random.default_rng(0)
    for _ in range(5):
        w, x = rng.normal(size=4), rng.normal(size=4)
        explained = cr.explain(f, wrt=wrt)(w, x)
        assert explained.check.outcome in ("verified", "not verifiable")


def test_a_wrong_rule_is_still_called_wrong_in_single_precision():
    tanh = cr.custom_rule(np.tanh, pull=lambda ct, x, out: 1.1 * ct * (1 - out**2))

    def f(w, x):
        h = tanh((w * x).astype(np.float32))
        return np.mean(h * h)

    for wrt in ("w", "w[1]"):
        with pytest.raises(CheckFailedError):
            cr.explain(f, wrt=wrt)(np.array([0.3, 0.5]), np.array([1.0, 2.0]))
