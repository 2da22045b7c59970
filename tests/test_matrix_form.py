"""Layered networks in matrix form: the δ recursion, ∂L/∂W = δ aᵀ, and what is no plain chain."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import chainrule as cr
from chainrule.cli.app import app
from chainrule.errors import ArgumentsError, ChainruleError
from chainrule.explanations.layers import MatrixForm, layers_of, matrix_form
from chainrule.explanations.layers.structure import NotLayeredError
from chainrule.notation.expression import text
from chainrule.sources.function import trace_program

rng = np.random.default_rng(5)


def form_of(f: Callable[..., Any], *args: Any) -> MatrixForm:
    program, _, _ = trace_program(f, args, {})
    return matrix_form(program)


def why_not(f: Callable[..., Any], *args: Any) -> str:
    program, _, _ = trace_program(f, args, {})
    assert layers_of(program) is None
    with pytest.raises(NotLayeredError) as error:
        matrix_form(program)
    return str(error.value)


def formulas(form: MatrixForm) -> dict[str, list[str]]:
    data = form.to_dict()["formulas"]
    return {row["symbol"]: row["text"] for part in data.values() for row in part}


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def anchor(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, y: Any) -> Any:
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = sigmoid(z2)
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))


ANCHOR = (
    np.array([[0.5, -0.2], [0.3, 0.8]]), np.array([0.1, -0.1]), np.array([0.6, -0.4]), 0.0,
    np.array([0.5, 0.1]), 0.0,
)  # fmt: skip


def test_the_anchor_network_has_its_deltas_and_gradients() -> None:
    form = form_of(anchor, *ANCHOR)
    first, second = form.layers
    assert form.chain
    assert second.delta == pytest.approx(0.5364353017, abs=5e-11)
    np.testing.assert_allclose(first.delta, [0.3218611810, -0.2145741207], atol=5e-11)
    gradients = {p.name: p.value for p in form.parameters}
    np.testing.assert_allclose(
        gradients["W1"],
        [[0.1609305905, 0.0321861181], [-0.1072870603, -0.0214574121]], atol=5e-11,
    )  # fmt: skip
    np.testing.assert_allclose(gradients["b1"], [0.3218611810, -0.2145741207], atol=5e-11)
    np.testing.assert_allclose(gradients["W2"], [0.1770236496, 0.0697365892], atol=5e-11)
    assert form.check.outcome == "verified"
    assert form.check.error < 1e-14


def test_the_anchor_network_is_written_in_its_own_names() -> None:
    found = formulas(form_of(anchor, *ANCHOR))
    assert found["z₁"] == ["W₁ x + b₁"]
    assert found["a₁"] == ["relu(z₁)"]
    assert found["yhat"] == ["σ(z₂)"]
    assert found["δ₂"][-2:] == [f"∂{_result(found)}/∂yhat · σ′(z₂)", "yhat − y"]
    assert found["δ₁"][-1] == "(W₂ᵀ δ₂) ⊙ relu′(z₁)"
    assert found[f"∂{_result(found)}/∂W₁"] == ["δ₁ xᵀ"]
    assert found[f"∂{_result(found)}/∂b₁"] == ["δ₁"]
    assert found["∂a₁/∂z₁"] == ["diagonal: diag(relu′(z₁))"]
    assert found["∂z₂/∂a₁"] == ["matrix: W₂"]


def _result(found: dict[str, list[str]]) -> str:
    return found["δ₁"][0].removeprefix("∂").partition("/")[0]


def scalar_network(
    x: Any, y: Any, W1: Any, W2: Any, W3: Any, W4: Any, b1: Any, b2: Any, b3: Any, b4: Any
) -> Any:
    u1 = W1 * x + b1
    u2 = W2 * u1 + b2
    a3 = np.tanh(W3 * u2 + b3)
    z = W4 * a3 + b4
    return 0.5 * (z - y) ** 2


def test_the_scalar_network_has_its_deltas() -> None:
    form = form_of(scalar_network, 2.0, 10.0, 1.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    deltas = [layer.delta for layer in form.layers]
    np.testing.assert_allclose(
        deltas, [-0.0241389110, -0.0120694555, -0.0120694555, -9.0006707003], atol=5e-11
    )
    gradients = {p.name: p.value for p in form.parameters}
    for name, value in {
        "W4": -8.9946339481, "W3": -0.0482778221, "W2": -0.0241389110, "b2": -0.0120694555,
        "W1": -0.0482778221, "b1": -0.0241389110,
    }.items():  # fmt: skip
        assert gradients[name] == pytest.approx(value, abs=5e-11)
    slope = form.layers[2].ways[0].slope
    assert slope.value == pytest.approx(0.0013409507, abs=5e-11)
    found = formulas(form)
    assert found["δ₄"][-1] == "z − y"
    assert found["δ₃"][-1] == "(W₄·δ₄) · tanh′(u₃)"


def test_the_gradient_of_a_layer_is_the_error_times_the_slope_times_the_input() -> None:
    """The exercise of 000: for y = σ(Wx + b), ∂L/∂W is (∂L/∂y ⊙ σ′(Wx + b)) xᵀ."""

    def loss(W: Any, b: Any, x: Any, t: Any) -> Any:
        u = W @ x + b
        y = sigmoid(u)
        return np.sum((y - t) ** 2)

    W, b = rng.normal(size=(3, 2)), rng.normal(size=3)
    x, t = rng.normal(size=2), rng.normal(size=3)
    form = form_of(loss, W, b, x, t)
    y = sigmoid(W @ x + b)
    by_hand = np.outer(2 * (y - t) * y * (1 - y), x)
    np.testing.assert_allclose(form.parameters[0].value, by_hand, rtol=1e-14)
    found = formulas(form)
    (result,) = {s.partition("/")[0] for s in found if s.endswith("/∂W")} - {"∂u"}
    assert found["δ₁"][1] == f"{result}/∂y ⊙ σ′(u)"
    assert found["σ′(u)"] == ["y·(1 − y)"]
    assert found[f"{result}/∂W"] == ["δ₁ xᵀ"]


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": np.tanh,
    "sin": np.sin,
    "relu by maximum": lambda z: np.maximum(z, 0),
    "sigmoid by hand": sigmoid,
    "softplus by hand": lambda z: np.log(1 + np.exp(z)),
    "swish": lambda z: z * sigmoid(z),
    "leaky": lambda z: np.where(z > 0, z, 0.1 * z),
    "no name": lambda z: z**3 + np.cos(z) * 2,
    "layer norm": lambda z: (z - z.mean(-1, keepdims=True)) / np.sqrt(
        z.var(-1, keepdims=True) + 1e-5
    ),
}  # fmt: skip


NETWORKS = [
    (name, batch, side)
    for name, batch, side in itertools.product(
        ACTIVATIONS, [False, True], ["W a", "a W", "a Wᵀ", "Wᵀ a"]
    )
    # Rows are examples only where the weight is on the right: elsewhere they are not to be
    # normalised.
    if not (name == "layer norm" and batch and side[0] == "W")
]


@pytest.mark.parametrize(("name", "batch", "side"), NETWORKS)
def test_deep_networks_agree_with_grad(name: str, batch: bool, side: str) -> None:
    activation = ACTIVATIONS[name]
    sizes = [4, 3, 6, 2, 5]
    left, transposed = side[0] == "W", "ᵀ" in side

    def shape(n: int, m: int) -> tuple[int, int]:
        return (m, n) if left != transposed else (n, m)

    params = [
        (0.7 * rng.normal(size=shape(n, m)), rng.normal(size=m))
        for n, m in itertools.pairwise(sizes)
    ]  # fmt: skip
    x = rng.normal(size=((4, 5) if left else (5, 4)) if batch else 4)

    def network(params: Any, x: Any) -> Any:
        a = x
        for W, b in params:
            W = W.T if transposed else W
            b = b[:, None] if left and batch else b
            a = activation((W @ a if left else a @ W) + b)
        return np.sum(np.sin(a))

    form = form_of(network, params, x)
    assert form.check.outcome == "verified"
    assert [layer.layer.left for layer in form.layers] == [left] * 4
    assert form.chain
    expected = cr.grad(network)(params, x)
    named = {p.name: p.value for p in form.parameters}
    assert len(named) == 8
    for i, (W, b) in enumerate(expected):
        scale = np.max(np.abs(W))
        np.testing.assert_allclose(named[f"params[{i}][0]"], W, atol=1e-12 * scale)
        np.testing.assert_allclose(named[f"params[{i}][1]"], b, atol=1e-12 * np.max(np.abs(b)))
    symbol = "Δ" if batch else "δ"
    assert formulas(form)[f"{symbol}₄"]
    for layer in form.layers:
        assert layer.ways[0].slope.elementwise == (name != "layer norm")


def test_a_wrong_formula_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from chainrule.explanations.layers import form as module

    right = module.gradient_of

    def turned(layer: Any) -> Any:  # δᵀ a in place of δ aᵀ, of the same shape
        delta, signal = right(layer)
        return module.Factor(delta.part, True), module.Factor(signal.part)

    monkeypatch.setattr(module, "gradient_of", turned)
    with pytest.raises(ChainruleError, match="a formula and the backward pass differ"):
        form_of(lambda W, X: np.sum(np.tanh(W @ X) ** 2), *rng.normal(size=(2, 3, 3)))


def test_a_batch_adds_up_the_bias() -> None:
    def loss(W: Any, b: Any, X: Any) -> Any:
        U = X @ W.T + b
        return np.mean(U**2)

    form = form_of(loss, rng.normal(size=(2, 3)), rng.normal(size=2), rng.normal(size=(7, 3)))
    found = formulas(form)
    assert found["U"] == ["X Wᵀ + b"]
    (result,) = {s.partition("/")[0] for s in found if s.endswith("/∂W")} - {"∂U"}
    assert found[f"{result}/∂W"] == ["Δ₁ᵀ X"]
    assert found[f"{result}/∂b"] == ["Σ Δ₁"]
    assert form.parameters[1].summed


def test_single_precision_is_held_to_its_own_digits() -> None:
    args = [rng.normal(size=s).astype(np.float32) for s in [(3, 2), (3,), (1, 3), (2,)]]
    form = form_of(lambda W, b, V, x: np.sum(np.tanh(V @ np.tanh(W @ x + b))), *args)
    assert form.check.outcome == "verified"
    assert form.check.error < 1e-5
    assert form.layers[0].delta.dtype == np.float32


def test_layers_inside_functions_and_dicts_are_found() -> None:
    def dense(layer: Any, x: Any) -> Any:
        return layer["W"] @ x + layer["b"]

    def loss(params: Any, x: Any) -> Any:
        hidden = np.tanh(dense(params["first"], x))
        return np.sum(dense(params["second"], hidden) ** 2)

    params = {
        name: {"W": rng.normal(size=s), "b": rng.normal(size=s[0])}
        for name, s in {"first": (3, 2), "second": (2, 3)}.items()
    }
    form = form_of(loss, params, rng.normal(size=2))
    assert [layer.weight for layer in form.layers] == [
        "params['first']['W']",
        "params['second']['W']",
    ]
    assert [layer.signal for layer in form.layers] == ["x", "hidden"]
    expected = cr.grad(loss)(
        params, np.asarray(form.program.values[form.program.graph.inputs["x"].index])
    )
    np.testing.assert_allclose(form.parameters[0].value, expected["first"]["W"], rtol=1e-12)


def test_a_weight_used_at_every_step_of_a_recurrence_adds_up() -> None:
    def loss(W: Any, U: Any, b: Any, xs: Any) -> Any:
        h = np.zeros(3)
        for x in xs:
            h = np.tanh(W @ h + U @ x + b)
        return np.sum(h**2)

    args = (rng.normal(size=(3, 3)), rng.normal(size=(3, 2)), rng.normal(size=3),
            rng.normal(size=(4, 2)))  # fmt: skip
    form = form_of(loss, *args)
    expected = cr.grad(loss, argnums=(0, 1))(*args)
    named = {p.name: p for p in form.parameters}
    np.testing.assert_allclose(named["W"].value, expected[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(named["U"].value, expected[1], rtol=1e-11, atol=1e-13)
    assert len(named["U"].uses) == 4
    assert not form.chain
    assert form.remarks


def test_a_residual_network_is_said_to_be_no_plain_chain() -> None:
    def loss(W1: Any, W2: Any, W3: Any, x: Any) -> Any:
        h1 = np.tanh(W1 @ x)
        h2 = np.tanh(W2 @ h1) + h1
        return np.sum((W3 @ h2) ** 2)

    args = (*(rng.normal(size=(3, 3)) for _ in range(3)), rng.normal(size=3))
    form = form_of(loss, *args)
    assert not form.chain
    assert any("not a plain chain" in r and "h₂" in r for r in form.remarks)
    assert any("sum of 2 terms" in r for r in form.remarks)
    first = form.layers[0]
    assert len(first.ways) == 2
    np.testing.assert_allclose(sum(w.value for w in first.ways), first.delta, rtol=1e-12)
    assert formulas(form)["δ₁"][-1] == "(W₂ᵀ δ₂) ⊙ tanh′(u₁) + (W₃ᵀ δ₃) ⊙ ∂h₂/∂u₁"
    np.testing.assert_allclose(
        form.parameters[0].value, cr.grad(loss)(*args), rtol=1e-11, atol=1e-13
    )


def test_what_goes_on_to_layers_and_to_the_loss_is_not_counted_twice() -> None:
    def loss(W: Any, V: Any, x: Any) -> Any:
        h = np.tanh(W @ x)
        g = np.tanh(V @ h)
        return np.sum(h**2) + np.sum(g * h)

    args = rng.normal(size=(3, 2)), rng.normal(size=(3, 3)), rng.normal(size=2)
    form = form_of(loss, *args)
    assert [way.target for way in form.layers[0].ways] == [2, None]
    np.testing.assert_allclose(
        form.parameters[0].value, cr.grad(loss)(*args), rtol=1e-11, atol=1e-13
    )


def test_a_gated_recurrent_unit_adds_up() -> None:
    def loss(Wz: Any, Wh: Any, xs: Any) -> Any:
        h = np.zeros(2)
        for x in xs:
            both = np.concatenate([x, h])
            z = sigmoid(Wz @ both)
            h = (1 - z) * h + z * np.tanh(Wh @ both)
        return np.sum(h**2)

    args = rng.normal(size=(2, 4)), rng.normal(size=(2, 4)), rng.normal(size=(3, 2))
    form = form_of(loss, *args)
    assert form.check.outcome == "verified"
    gradients = cr.grad(loss, argnums=(0, 1))(*args)
    for parameter, expected in zip(form.parameters, gradients, strict=True):
        np.testing.assert_allclose(parameter.value, expected, rtol=1e-11, atol=1e-13)


def test_a_matrix_times_itself_is_used_twice() -> None:
    def loss(W: Any, x: Any) -> Any:
        return np.sum(np.tanh(W.T @ W) @ x)

    args = rng.normal(size=(3, 2)), rng.normal(size=2)
    form = form_of(loss, *args)
    named = {p.name: p.value for p in form.parameters}
    np.testing.assert_allclose(named["W"], cr.grad(loss)(*args), rtol=1e-11)


def test_a_penalty_on_the_weights_is_added_to_their_gradient() -> None:
    def loss(W: Any, V: Any, x: Any) -> Any:
        return np.sum(np.tanh(V @ np.tanh(W @ x))) + 0.1 * np.sum(W**2)

    args = rng.normal(size=(3, 2)), rng.normal(size=(2, 3)), rng.normal(size=2)
    form = form_of(loss, *args)
    penalised = form.parameters[0]
    np.testing.assert_allclose(penalised.elsewhere, 0.2 * args[0], rtol=1e-12)
    np.testing.assert_allclose(penalised.value, cr.grad(loss)(*args), rtol=1e-12)
    assert form.parameters[1].elsewhere is None


def test_a_branch_that_is_off_does_not_pass_an_infinity_on() -> None:
    def loss(W: Any, V: Any, x: Any) -> Any:
        return np.sum(V @ np.maximum(W @ x, 0))

    args = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([[2.0, 3.0]]), np.array([1.0, 1.0])
    form = form_of(loss, *args)
    np.testing.assert_array_equal(form.layers[0].delta, [2.0, 0.0])


def test_the_dense_jacobian_is_there_on_request() -> None:
    form = form_of(anchor, *ANCHOR)
    np.testing.assert_array_equal(form.jacobian("a1", wrt="z1"), np.eye(2))
    np.testing.assert_array_equal(form.jacobian("z2", wrt="a1"), ANCHOR[2])
    of_weight = form.jacobian("z1", wrt="W1")
    assert of_weight.shape == (2, 2, 2)
    np.testing.assert_array_equal(of_weight[0], [[0.5, 0.1], [0, 0]])

    def last(z1):  # type: ignore[no-untyped-def]
        return sigmoid(ANCHOR[2] @ np.maximum(z1, 0) + ANCHOR[3])

    z1 = ANCHOR[0] @ ANCHOR[4] + ANCHOR[1]
    np.testing.assert_allclose(form.jacobian("yhat", wrt="z1"), cr.jacobian(last)(z1), rtol=1e-14)


def test_a_jacobian_of_unknown_names_is_refused() -> None:
    form = form_of(anchor, *ANCHOR)
    with pytest.raises(ArgumentsError, match="no value is called 'z9'"):
        form.jacobian("z9", wrt="W1")
    with pytest.raises(ArgumentsError, match="not computed from"):
        form.jacobian("z1", wrt="a1")


def test_what_is_not_made_of_layers_says_why() -> None:
    assert "no product of a parameter" in why_not(lambda x: np.sum(np.sin(x)), np.ones(3))
    assert "nothing tells the weight from the data" in why_not(
        lambda a, b: np.sum(a @ b), np.ones((2, 3)), np.ones((3, 4))
    )


def test_labels_in_a_loss_are_no_weights() -> None:
    def loss(W: Any, x: Any, y: Any) -> Any:
        p = sigmoid(W @ x)
        return -(y @ np.log(p) + (1 - y) @ np.log(1 - p))

    form = form_of(loss, rng.normal(size=(3, 2)), rng.normal(size=2), np.array([1.0, 0.0, 1.0]))
    assert [layer.weight for layer in form.layers] == ["W"]
    assert text(form.layers[0].ways[0].expression) == "p − y"


PRODUCTS: dict[str, tuple[Callable[[Any, Any], Any], str, tuple[int, ...]]] = {
    "einsum of a vector": (lambda W, x: np.einsum("ij,j->i", W, x), "W x", (2,)),
    "einsum of rows": (lambda W, x: np.einsum("bj,ij->bi", x, W), "x Wᵀ", (5, 2)),
    "einsum of columns": (lambda W, x: np.einsum("ij,jb->ib", W, x), "W x", (2, 5)),
    "einsum the other way round": (lambda W, x: np.einsum("ij,bj->bi", W, x), "x Wᵀ", (5, 2)),
    "inner": (lambda W, x: np.inner(x, W), "x Wᵀ", (5, 2)),
    "tensordot": (lambda W, x: np.tensordot(x, W, (1, 1)), "x Wᵀ", (5, 2)),
    "dot": (lambda W, x: W.dot(x), "W x", (2,)),
    "dot of a transpose": (lambda W, x: np.dot(x, W.T), "x Wᵀ", (5, 2)),
    "einsum of a transpose": (lambda W, x: np.einsum("ji,j->i", W.T, x), "W x", (2,)),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_a_layer_however_it_is_written(name: str) -> None:
    product, written, shape = PRODUCTS[name]

    def loss(W: Any, x: Any) -> Any:
        z = product(W, x)
        return np.sum(np.tanh(z))

    args = rng.normal(size=(3, 2)), rng.normal(size=shape)
    form = form_of(loss, *args)
    assert formulas(form)["z"] == [written]
    assert form.check.outcome == "verified"
    np.testing.assert_allclose(form.parameters[0].value, cr.grad(loss)(*args), rtol=1e-12)


def test_a_weight_that_is_computed_is_no_signal_of_the_data() -> None:
    def loss(W: Any, X: Any) -> Any:
        return np.sum(np.tanh(X @ (W / np.sqrt(np.sum(W**2)))))

    assert "no product of a parameter" in why_not(
        loss, rng.normal(size=(2, 3)), rng.normal(size=(4, 2))
    )


def test_the_bias_tells_the_weight_from_the_data() -> None:
    def right(A: Any, B: Any, c: Any) -> Any:
        return np.sum(np.tanh(A @ B + c))

    form = form_of(right, np.ones((4, 2)), np.ones((2, 3)), np.ones(3))
    assert (form.layers[0].weight, form.layers[0].signal) == ("B", "A")
    form = form_of(lambda A, B, c: np.sum(np.tanh(A @ B + c[:, None])), np.ones((4, 2)),
                   np.ones((2, 3)), np.ones(4))  # fmt: skip
    assert (form.layers[0].weight, form.layers[0].signal) == ("A", "B")
    form = form_of(lambda X, v, c: np.sum(np.tanh(X @ v + c)), np.ones((4, 2)), np.ones(2), 1.0)
    assert (form.layers[0].weight, form.layers[0].signal) == ("v", "X")


@pytest.mark.parametrize("width", [80, 120])
def test_a_page_fits_its_width(width: int) -> None:
    page = form_of(anchor, *ANCHOR).to_text(width)
    assert max(map(len, page.splitlines())) <= width
    for shown in ("δ₂", "0.5364353017", "✓ verified"):
        assert shown in page


def test_an_explanation_gives_its_matrix_form() -> None:
    explained = cr.explain(anchor, wrt="W1[0,0]")(*ANCHOR)
    form = explained.matrix_form()
    assert form.parameters[0].value[0, 0] == pytest.approx(explained.derivative().value)
    assert form.result == explained.result
    with pytest.raises(ChainruleError, match="function of arrays at a point"):
        cr.explain("x^2", at={"x": 1.0}).matrix_form()


SOURCE = """
import numpy as np

def loss(W, b, x):
    z = W @ x + b
    return np.sum(np.tanh(z) ** 2)

def no_layers(W, x):
    return np.sum(np.sin(x))
"""


def test_the_command_line_shows_the_matrix_form(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(SOURCE)

    def run(name: str, *options: str) -> Result:
        at = ["--at", "W=[[1.0,2.0]],b=[0.5],x=[0.1,0.2]"] if name == "loss" else [
            "--at", "W=[1.0],x=[0.1,0.2]"
        ]  # fmt: skip
        return CliRunner().invoke(app, ["explain", f"{file}:{name}", "--matrix", *at, *options])

    shown = run("loss")
    assert shown.exit_code == 0
    assert "z = W x + b" in " ".join(shown.stdout.split())
    assert "✓ verified" in shown.stdout
    data = json.loads(run("loss", "--format", "json").stdout)
    assert [layer["weight"] for layer in data["layers"]] == ["W"]
    assert data["check"]["outcome"] == "verified"
    assert r"\delta_{1}" in run("loss", "--format", "latex").stdout
    refused = run("no_layers", "--wrt", "x")
    assert refused.exit_code == 2
    assert "no product of a parameter" in refused.stderr
    assert "A layer is W @ x + b" in refused.stderr


def test_latex_and_markdown_hold_the_recursion() -> None:
    form = form_of(anchor, *ANCHOR)
    recursion = (
        r"\left({W_{2}}^{\top}\, \delta_{2}\right) \odot \operatorname{relu}'\left(z_{1}\right)"
    )
    assert recursion in form.to_latex()
    assert recursion in form.to_markdown()
    assert form.to_latex().count(r"\left(") == form.to_latex().count(r"\right)")
