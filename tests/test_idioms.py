"""Idioms written out by hand are recognised and named; what only looks like one is not."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from scipy.special import erf, expit

import chainrule as cr
from chainrule.explanations.idioms import Idiom, idioms_of
from chainrule.explanations.idioms.derivations import COLLAPSES, SLOPES, Derivation
from chainrule.explanations.idioms.functions import TOTAL
from chainrule.explanations.idioms.table import FREE, TABLE
from chainrule.graph.node import Graph, Node, ancestors
from chainrule.graph.operand import bind
from chainrule.notation.expression import latex, text
from chainrule.sources.function import trace_program

Function = Callable[..., Any]

rng = np.random.default_rng(3)
Z = rng.normal(size=(4, 3))
P = 1 / (1 + np.exp(-rng.normal(size=5)))
Y = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
LABELS = np.array([0, 2, 1, 1])
HOT = np.eye(3)[LABELS]
Q = np.exp(Z) / np.exp(Z).sum(1, keepdims=True)


def found_in(f: Function, *args: Any) -> tuple[Idiom, ...]:
    program, _, _ = trace_program(f, args, {})
    return idioms_of(program)


def names_in(f: Function, *args: Any) -> list[str]:
    return [i.name for i in found_in(f, *args)]


def the(name: str, f: Function, *args: Any) -> Idiom:
    *_, found = [i for i in found_in(f, *args) if i.name == name]
    return found


def stable(z: Any) -> Any:
    decay = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + decay), decay / (1 + decay))


def softmax_of(z: Any, axis: int = 1) -> Any:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def log_softmax_of(z: Any) -> Any:
    shifted = z - z.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))


def shifted_logsumexp(z: Any) -> Any:
    m = z.max(1)
    return m + np.log(np.sum(np.exp(z - m[:, None]), axis=1))


# Elementwise functions, each in several spellings.
ELEMENTWISE: dict[str, list[Function]] = {
    "sigmoid": [
        lambda z: 1 / (1 + np.exp(-z)),
        lambda z: 1.0 / (np.exp(-z) + 1),
        lambda z: (1 + np.exp(-z)) ** -1,
        lambda z: np.reciprocal(1 + np.exp(-z)),
        lambda z: 1 / (1 + 1 / np.exp(z)),
        lambda z: np.exp(z) / (1 + np.exp(z)),
        lambda z: 0.5 * (np.tanh(z / 2) + 1),
        lambda z: (1 + np.tanh(z * 0.5)) / 2,
        lambda z: np.where(z >= 0, 1 / (1 + np.exp(-z)), np.exp(z) / (1 + np.exp(z))),
        stable,
        lambda z: 1 / (1 + np.exp(-(2 * z + 1))),
    ],
    "tanh": [
        lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
        lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1),
        lambda z: (1 - np.exp(-2 * z)) / (1 + np.exp(-2 * z)),
        lambda z: 2 / (1 + np.exp(-2 * z)) - 1,
        lambda z: 1 - 2 / (np.exp(2 * z) + 1),
        lambda z: np.sinh(z) / np.cosh(z),
    ],
    "softplus": [
        lambda z: np.log(1 + np.exp(z)),
        lambda z: np.log1p(np.exp(z)),
        lambda z: np.logaddexp(0, z),
        lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
    ],
    "relu": [
        lambda z: np.maximum(z, 0),
        lambda z: np.maximum(0, z),
        lambda z: np.maximum(z, np.zeros_like(z)),
        lambda z: z * (z > 0),
        lambda z: (z > 0).astype(float) * z,
        lambda z: np.where(z > 0, z, 0),
        lambda z: np.where(z < 0, 0, z),
        lambda z: (z + np.abs(z)) / 2,
        lambda z: np.clip(z, 0, None),
    ],
    "leaky_relu": [
        lambda z: np.maximum(0.01 * z, z),
        lambda z: np.where(z > 0, z, 0.1 * z),
        lambda z: np.where(z < 0, z / 5, z),
    ],
    "elu": [lambda z: np.where(z > 0, z, 0.7 * (np.exp(z) - 1))],
    "silu": [
        lambda z: z / (1 + np.exp(-z)),
        lambda z: z * (1 / (1 + np.exp(-z))),
        lambda z: z * expit(z),
    ],
    "gelu": [lambda z: 0.5 * z * (1 + erf(z / np.sqrt(2)))],
    "gelu_tanh": [
        lambda z: 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
        lambda z: z * (0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))),
    ],
    "huber": [
        lambda z: np.where(np.abs(z) <= 0.5, 0.5 * z**2, 0.5 * (np.abs(z) - 0.25)),
        lambda z: np.where(np.abs(z) < 1, 0.5 * z * z, np.abs(z) - 0.5),
        lambda z: np.where(abs(z) > 2, 2 * abs(z) - 2, z**2 / 2),
    ],
    "softmax": [
        lambda z: np.exp(z) / np.exp(z).sum(1, keepdims=True),
        lambda z: (lambda e: e / e.sum(1)[:, None])(np.exp(z - z.max(1, keepdims=True))),
        softmax_of,
        lambda z: softmax_of(z, axis=0),
        lambda z: np.exp(log_softmax_of(z)),
    ],
    "log_softmax": [
        log_softmax_of,
        lambda z: z - np.log(np.exp(z).sum(1, keepdims=True)),
        lambda z: z - shifted_logsumexp(z)[:, None],
    ],
    "layer_norm": [
        lambda z: (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5),
        lambda z: (z - z.mean(0)) / z.std(0),
        lambda z: (lambda d: d / np.sqrt(np.mean(d**2, -1, keepdims=True) + 1e-5))(
            z - z.mean(-1, keepdims=True)
        ),
    ],
    "rms_norm": [lambda z: z / np.sqrt(np.mean(z**2, -1, keepdims=True) + 1e-6)],
}  # fmt: skip

REDUCTIONS: dict[str, list[Function]] = {
    "logsumexp": [
        lambda z: np.log(np.exp(z).sum(1)),
        lambda z: np.log(np.sum(np.exp(z), axis=0, keepdims=True)),
        shifted_logsumexp,
    ],
    "var": [
        lambda z: np.mean((z - z.mean(1, keepdims=True)) ** 2, axis=1),
        lambda z: np.mean((z - np.mean(z)) ** 2),
        lambda z: np.sum((z - np.sum(z) / 12) ** 2) / 12,
        lambda z: np.mean(z**2) - np.mean(z) ** 2,
    ],
    "norm": [
        lambda z: np.sqrt(np.sum(z**2)),
        lambda z: np.sqrt(z[0] @ z[0]),
        lambda z: np.sum(z * z, axis=1) ** 0.5,
    ],
    "rms": [lambda z: np.sqrt(np.mean(z**2))],
    "mean": [lambda z: np.sum(z) / z.size, lambda z: np.sum(np.sin(z), axis=1) / 3],
}

SPELLINGS = [(n, i) for n, several in ELEMENTWISE.items() for i in range(len(several))]


@pytest.mark.parametrize(("name", "which"), SPELLINGS)
def test_a_function_written_out_by_hand_is_recognised(name: str, which: int) -> None:
    f = ELEMENTWISE[name][which]
    idiom = the(name, lambda z: np.sum(f(z) ** 3), Z)
    if name != "huber":
        assert idiom.scale == 1.0
    assert idiom.root is idiom.members[-1]


@pytest.mark.parametrize("name", ["sigmoid", "relu", "leaky_relu", "softplus", "silu", "huber"])
def test_a_function_of_one_number_is_recognised(name: str) -> None:
    for f in ELEMENTWISE[name]:
        if "zeros_like" not in inspect.getsource(f) and "astype" not in inspect.getsource(f):
            for z in (0.9, -0.9):
                assert name in names_in(lambda z, f=f: f(4 * z + 0.1), z)


@pytest.mark.parametrize(
    ("name", "which"), [(n, i) for n, several in REDUCTIONS.items() for i in range(len(several))]
)
def test_a_reduction_written_out_by_hand_is_recognised(name: str, which: int) -> None:
    f = REDUCTIONS[name][which]
    assert name in names_in(lambda z: np.sum(f(z) ** 3), Z)


NEAR_MISSES: dict[str, tuple[Function, Any]] = {
    "1/(2 + e^(−z)) is no σ": (lambda z: np.sum(1 / (2 + np.exp(-z))), Z),
    "2/(1 + e^(−z)) is twice σ": (lambda z: np.sum(2 / (1 + np.exp(-z))), Z),
    "1/(1 − e^(−z)) is no σ": (lambda z: np.sum(1 / (1 - np.exp(-z))), Z),
    "1/(1 + e^(−z²))² is no σ": (lambda z: np.sum((1 + np.exp(-z)) ** -2), Z),
    "the maximum with 1 is no relu": (lambda z: np.sum(np.maximum(z, 1)), Z),
    "the minimum with 0 is no relu": (lambda z: np.sum(np.minimum(z, 0)), Z),
    "a threshold at 1 is no relu": (lambda z: np.sum(np.where(z > 0.1, z, 0)), Z),
    "z times (z < 0) is no relu": (lambda z: np.sum(z * (z < 0)), Z),
    "the divisor over the wrong axis": (
        lambda z: np.sum((np.exp(z) / np.exp(z).sum(axis=1)) ** 2), Z[:3],
    ),
    "the wrong axis where all are equal": (
        lambda z: np.sum((np.exp(z) / np.exp(z).sum(axis=1)) ** 2), np.zeros((3, 3)),
    ),
    "logarithms of other sums": (lambda z: np.sum(np.log(np.exp(z).sum(1) + 1)), Z),
    "ln(2 + e^z) is no softplus": (lambda z: np.sum(np.log(2 + np.exp(z))), Z),
    "a sum over 5 instead of 4": (lambda z: np.sum(z) / 13, Z),
    "tanh with the wrong sign": (
        lambda z: np.sum((np.exp(z) + np.exp(-z)) / (np.exp(z) - np.exp(-z))), Z,
    ),
    "a wrong gelu": (lambda z: np.sum(0.5 * z * (1 - erf(z / np.sqrt(3)))), Z),
    "a variance about something else": (lambda z: np.sum(np.mean((z - 0.1) ** 2, axis=1)), Z),
    "a huber that jumps": (
        lambda z: np.sum(np.where(np.abs(z) <= 0.5, 0.5 * z**2, 0.5 * (np.abs(z) - 0.3))), Z,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NEAR_MISSES)
def test_what_only_looks_like_an_idiom_is_none(case: str) -> None:
    f, at = NEAR_MISSES[case]
    assert names_in(f, at) == []


def test_values_that_are_not_finite_are_no_evidence() -> None:
    nothing = np.full(3, np.nan)
    assert names_in(lambda z: np.sum(1 / (1 + np.exp(-z))), nothing) == ["sigmoid"]
    assert names_in(lambda z: np.sum(1 / (2 + np.exp(-z))), nothing) == []
    wrong = np.full((3, 3), np.nan)
    assert names_in(lambda z: np.sum((np.exp(z) / np.exp(z).sum(axis=1)) ** 2), wrong) == []


def test_single_precision_is_recognised() -> None:
    at = Z.astype(np.float32)
    for name in ("sigmoid", "tanh", "softplus", "relu", "silu", "gelu_tanh", "softmax"):
        f = ELEMENTWISE[name][0]
        idiom = the(name, lambda z, f=f: np.sum(f(z) ** 3), at)
        if idiom.remark is not None:
            assert idiom.remark.error < 1e-5


def test_a_square_of_a_sum_or_inside_of_a_formula_is_no_squared_error() -> None:
    assert names_in(lambda x, y: (x + y) ** 2, 0.3, 0.5) == []
    assert names_in(lambda x, y: np.sqrt((x - y) ** 2 + x), 0.3, 0.5) == []
    assert names_in(lambda x, y: np.exp(-((x - y) ** 2)), 0.3, 0.5) == []
    assert names_in(lambda x, y: 3 * (x - y) ** 2, 0.3, 0.5) == ["squared_error"]
    assert "squared_error" in names_in(
        lambda a, b: np.mean((a - b) ** 2) + 0.1 * np.sum(np.sin(a)), P, Y
    )


def test_a_formula_is_searched_too() -> None:
    from chainrule.sources.formula import read_formula

    found = idioms_of(read_formula("1/(1 + e^(-x)) + ln(1 + e^x)"))
    assert [i.name for i in found] == ["sigmoid", "softplus"]


def test_a_function_of_minus_z_says_so() -> None:
    idiom = the("sigmoid", lambda z: np.sum(1 / (1 + np.exp(z))), Z)
    (argument,) = idiom.arguments
    assert argument.factor == -1.0
    np.testing.assert_array_equal(argument.value, -Z)
    assert text(idiom.expression(Graph(), {})) == "σ(−z)"


def test_a_mask_that_agrees_by_chance_is_no_relu() -> None:
    mask = np.array([True, False, True])
    assert names_in(lambda z: np.sum(np.where(mask, z, 0)), np.array([1.0, -2.0, 3.0])) == []
    assert names_in(lambda z: np.sum(mask * z), np.array([1.0, -2.0, 3.0])) == []
    assert names_in(lambda z: np.sum(np.where(z > 0, z, 0)), np.array([1.0, -2.0, 3.0])) == ["relu"]


def test_the_row_itself_is_not_called_written_out() -> None:
    assert names_in(lambda z: np.sum(expit(z)), Z) == []
    assert names_in(lambda z: np.mean(np.tanh(z)), Z) == []


BCE: list[Function] = [
    lambda p, y: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)),
    lambda p, y: np.mean(-y * np.log(p) - (1 - y) * np.log(1 - p)),
    lambda p, y: np.mean(-(y * np.log(p) + (1 - y) * np.log(1 - p))),
    lambda p, y: np.mean((y - 1) * np.log(1 - p) - y * np.log(p)),
    lambda p, y: -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / len(y),
    lambda p, y: -(np.sum(y * np.log(p)) + np.sum((1 - y) * np.log(1 - p))) / 5,
    lambda p, y: -(y @ np.log(p) + (1 - y) @ np.log(1 - p)) / 5,
    lambda p, y: np.mean(-y * np.log(p) - (1 - y) * np.log1p(-p)),
    lambda p, y: np.sum(-0.2 * (np.log(p) * y + np.log(1 - p) * (1 - y))),
]


@pytest.mark.parametrize("f", BCE)
def test_a_binary_cross_entropy_is_recognised_in_any_arrangement(f: Function) -> None:
    idiom = the("bce", f, P, Y)
    assert idiom.scale == pytest.approx(0.2)
    assert {a.role: a.node.name for a in idiom.arguments if a.node is not None} == {
        "y": "y", "p": "p",
    }  # fmt: skip
    assert idiom.summed


def test_a_cross_entropy_with_swapped_labels_is_not_that_of_the_labels() -> None:
    for wrong in (
        lambda p, y: -np.mean(y * np.log(1 - p) + (1 - y) * np.log(p)),
        lambda p, y: -np.mean(y * np.log(p) + (1 - y) * np.log(p)),
        lambda p, y: -np.mean(y * np.log(p) - (1 - y) * np.log(1 - p)),
        lambda p, y: -np.mean(y * np.log(p) + (1 - y) * np.log(2 - p)),
    ):
        assert "bce" not in names_in(wrong, P, Y)


def test_the_cross_entropy_of_logits_is_recognised() -> None:
    z = Z[0]
    for f in (
        lambda z, y: np.mean(np.logaddexp(0, z) - y * z),
        lambda z, y: np.mean(np.log(1 + np.exp(z)) - z * y),
        lambda z, y: np.mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))),
    ):
        idiom = the("bce_with_logits", f, z, Y[:3])
        assert idiom.scale == pytest.approx(1 / 3)
        np.testing.assert_allclose(idiom.remark.value, (expit(z) - Y[:3]) / 3, rtol=1e-12)


CROSS_ENTROPIES: list[tuple[str, Function, Any]] = [
    ("cross_entropy", lambda p: -np.mean(np.sum(HOT * np.log(p), axis=1)), Q),
    ("cross_entropy", lambda p: -np.sum(HOT * np.log(p)) / 4, Q),
    ("cross_entropy", lambda p: -np.mean(np.log(p[np.arange(4), LABELS])), Q),
    ("cross_entropy", lambda p: -np.mean(np.log(p)[np.arange(4), LABELS]), Q),
    ("cross_entropy", lambda z: -np.mean(np.log(softmax_of(z)[np.arange(4), LABELS])), Z),
    ("cross_entropy", lambda z: -np.mean(np.sum(HOT * np.log(softmax_of(z)), axis=1)), Z),
    ("softmax_cross_entropy", lambda z: -np.mean(log_softmax_of(z)[np.arange(4), LABELS]), Z),
    ("softmax_cross_entropy", lambda z: -np.mean(np.sum(HOT * log_softmax_of(z), axis=1)), Z),
    ("softmax_cross_entropy",
     lambda z: np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(4), LABELS]), Z),
]  # fmt: skip


@pytest.mark.parametrize(("name", "f", "at"), CROSS_ENTROPIES)
def test_a_cross_entropy_is_recognised_with_labels_of_either_kind(
    name: str, f: Function, at: Any
) -> None:
    idiom = the(name, f, at)
    assert idiom.scale == pytest.approx(0.25)
    labels = next(a for a in idiom.arguments if a.role == "y")
    np.testing.assert_array_equal(labels.value, HOT)
    remark = idiom.remark
    assert remark is not None
    if at is Z:  # of a softmax: it collapses
        np.testing.assert_allclose(remark.value, cr.grad(f)(Z), rtol=1e-10, atol=1e-14)
        assert remark.lines[-1].reason == "the labels y add up to 1"


def test_labels_that_do_not_add_up_to_1_stop_the_derivation_where_they_count() -> None:
    halves = HOT * 0.5

    def loss(z: Any) -> Any:
        return -np.sum(halves * np.log(softmax_of(z)))

    remark = the("cross_entropy", loss, Z).remark
    assert remark.lines[-1].reason == "cancel p"
    np.testing.assert_allclose(remark.value, cr.grad(loss)(Z), rtol=1e-10, atol=1e-14)


def test_the_logarithm_of_an_element_that_is_no_probability_is_no_cross_entropy() -> None:
    assert names_in(lambda x: -np.log(x[1]), np.array([2.0, 3.0])) == []
    assert names_in(lambda x: -np.log(x[1]), np.array([0.2, 0.3])) == []
    assert names_in(lambda x: -np.log(x[1]), np.array([0.7, 0.3])) == ["cross_entropy"]
    assert names_in(lambda x, w: -np.sum(w * np.log(x)), np.array([2.0, 3.0]), np.ones(2)) == []


SQUARES: list[tuple[Function, float]] = [
    (lambda a, b: np.mean((a - b) ** 2), 0.2),
    (lambda a, b: np.sum((a - b) ** 2) / len(a), 0.2),
    (lambda a, b: 0.5 * np.sum((b - a) ** 2), 0.5),
    (lambda a, b: np.sum(np.square(a - b)) / (2 * 5), 0.1),
    (lambda a, b: (lambda d: d @ d / 5)(a - b), 0.2),
    (lambda a, b: np.mean((a - b) * (a - b)), 0.2),
]


@pytest.mark.parametrize(("f", "scale"), SQUARES)
def test_a_squared_error_is_recognised_with_the_number_in_front(f: Function, scale: float) -> None:
    idiom = the("squared_error", f, P, Y)
    assert idiom.scale == pytest.approx(scale)
    sides = [a.value for a in idiom.arguments]
    np.testing.assert_allclose(np.abs(idiom.remark.value), 2 * scale * np.abs(P - Y), rtol=1e-12)
    assert len(sides) == 2


def test_a_small_number_inside_of_the_logarithms_is_said() -> None:
    def loss(p: Any, y: Any) -> Any:
        return -np.mean(y * np.log(p + 1e-8) + (1 - y) * np.log(1 - p + 1e-8))

    idiom = the("guarded_bce", loss, P, Y)
    assert idiom.numbers == {"eps": pytest.approx(1e-8)}
    assert idiom.scale == pytest.approx(0.2)
    idiom = the("guarded_cross_entropy", lambda z: -np.sum(HOT * np.log(softmax_of(z) + 1e-9)), Z)
    assert idiom.inner == {"p": "softmax"}
    for wrong in (
        lambda p, y: -np.mean(y * np.log(p + 0.5) + (1 - y) * np.log(1 - p + 0.5)),
        lambda p, y: -np.mean(y * np.log(p + 1e-3) + (1 - y) * np.log(1 - p + 2e-3)),
        lambda p, y: -np.sum(y * np.log(p + 1)),
    ):
        assert not {"bce", "guarded_bce", "guarded_cross_entropy"} & set(names_in(wrong, P, Y))


def test_an_absolute_error_is_recognised() -> None:
    assert names_in(lambda a, b: np.mean(np.abs(a - b)), P, Y) == ["absolute_error"]


# ------------------------------------------------------------------------------- what they say


def anchor(W1: Any, b1: Any, W2: Any, b2: Any, x: Any, y: Any) -> Any:
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = 1 / (1 + np.exp(-z2))
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))


ANCHOR = (
    np.array([[0.5, -0.2], [0.3, 0.8]]), np.array([0.1, -0.1]), np.array([0.6, -0.4]), 0.0,
    np.array([0.5, 0.1]), 0.0,
)  # fmt: skip


def test_the_cross_entropy_of_a_sigmoid_collapses_to_the_difference() -> None:
    program, _, _ = trace_program(anchor, ANCHOR, {})
    found = {i.name: i for i in idioms_of(program)}
    assert list(found) == ["relu", "sigmoid", "bce"]
    assert found["bce"].inner == {"p": "sigmoid"}
    remark = found["bce"].remark
    assert remark.value == pytest.approx(0.5364353017, abs=5e-11)
    assert remark.error < 1e-14
    names = {**program.names, **{n.index: k for k, n in program.graph.inputs.items()}}
    assert program.names[remark.of.index] == "z2"
    lines = [(text(e), why) for e, why in remark.expressions(Graph(), names)]
    assert lines[-1] == ("yhat − y", "cancel")
    assert latex(found["sigmoid"].expression(Graph(), names)) == r"\sigma\left(z_{2}\right)"


def test_an_idiom_that_is_a_row_of_the_book_collapses_too() -> None:
    remark = the(
        "bce", lambda z, y: (lambda p: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))(expit(z)),
        Z[0], Y[:3],
    ).remark  # fmt: skip
    np.testing.assert_allclose(remark.value, (expit(Z[0]) - Y[:3]) / 3, rtol=1e-12)


def test_members_are_foldable_only_if_nobody_else_uses_what_is_inside() -> None:
    def alone(z: Any) -> Any:
        return np.sum(1 / (1 + np.exp(-z)))

    def shared(z: Any) -> Any:
        e = np.exp(-z)
        return np.sum(1 / (1 + e)) + np.sum(e)

    assert the("sigmoid", alone, Z).foldable
    assert not the("sigmoid", shared, Z).foldable


def test_the_remark_of_every_idiom_is_the_derivative_at_the_programs_values() -> None:
    """The last line, summed where the function is, against a derivative of the program."""
    checked = 0
    for name, several in {**ELEMENTWISE, **REDUCTIONS}.items():
        derivation = SLOPES.get(name)
        if derivation is None:
            continue
        for f in several:

            def total(z: Any, f: Function = f) -> Any:
                return np.sum(f(z))

            remark = the(name, total, Z).remark
            assert remark.error < 1e-12
            (argument,) = remark.idiom.arguments
            if argument.node.op is None and argument.factor == 1.0:
                expected = cr.grad(total)(Z)
                np.testing.assert_allclose(remark.value, expected, rtol=1e-7, atol=1e-12)
                checked += 1
    assert checked >= 25


# ---------------------------------------------------------------------- derivations, line by line

DERIVATIONS: list[tuple[tuple[str, ...], Derivation]] = [
    *(((name,), d) for name, d in SLOPES.items()),
    *COLLAPSES.items(),
]
SIZE = 3  # components of vectors


def symbolic_lines(derivation: Derivation, numbers: Mapping[str, float]) -> list[Any]:
    """Each line as a graph in its parameters."""
    graph = Graph()
    return [applied(line.expression, graph, numbers) for line in derivation.lines]


def applied(written: Function, graph: Graph, numbers: Mapping[str, float]) -> Any:
    given = []
    for name in inspect.signature(written).parameters:
        if name == "total":
            given.append(lambda x: bind(TOTAL, (x,)))
        elif name in numbers:
            given.append(numbers[name])
        else:
            given.append(graph.input(name))
    return written(*given)


def component(expression: Any, at: int, leaf: Callable[[str, int], Any], system: Any) -> Any:
    """One component of an expression of vectors; ``system`` is SymPy, or an mpmath context."""
    if not isinstance(expression, Node):
        return system.mpf(expression) if system is not sympy else sympy.nsimplify(expression)
    values: dict[tuple[int, int], Any] = {}
    for node in ancestors([expression]):
        for i in range(SIZE):
            if node.op is None:
                values[node.index, i] = leaf(node.name, i)
            elif node.op.name in ("total", "sum"):
                (x,) = node.args
                values[node.index, i] = sum(values[x.index, k] for k in range(SIZE))
            else:
                args = [
                    values[a.index, i] if isinstance(a, Node)
                    else sympy.nsimplify(a) if system is sympy else system.mpf(a)
                    for a in node.args
                ]  # fmt: skip
                rule = node.op.sympy if system is sympy else node.op.mpmath
                values[node.index, i] = rule(system, *args)
    return values[expression.index, at]


def leaves_for(derivation: Derivation, free: Callable[[str, int], Any], system: Any) -> Any:
    """The value of each name at a component: free, or by what the derivation says it is."""

    def leaf(name: str, i: int) -> Any:
        if name in derivation.given:
            written = applied(derivation.given[name], Graph(), {})
            return component(written, i, leaf, system)
        if name == "y" and i == SIZE - 1:  # labels add up to 1
            return 1 - sum(free(name, k) for k in range(SIZE - 1))
        return free(name, i)

    return leaf


@pytest.fixture
def precise() -> Any:
    context = mpmath.mp.clone() if hasattr(mpmath.mp, "clone") else mpmath.MPContext()
    context.dps = 50
    return context


@pytest.mark.parametrize(("names", "derivation"), DERIVATIONS, ids=lambda d: "-".join(d)
                         if isinstance(d, tuple) else "")  # fmt: skip
def test_every_line_of_a_derivation_equals_the_next_to_50_digits(
    names: tuple[str, ...], derivation: Derivation, precise: Any
) -> None:
    for trial in range(5):
        point = random_point(precise, trial, derivation)
        leaf = leaves_for(derivation, point, precise)
        lines = symbolic_lines(derivation, {"alpha": 0.25})
        for one, other in itertools.pairwise(lines):
            for i in range(SIZE):
                a, b = (component(e, i, leaf, precise) for e in (one, other))
                assert abs(a - b) <= abs(a) * precise.mpf(10) ** -45


def random_point(mp: Any, seed: int, derivation: Derivation) -> Callable[[str, int], Any]:
    numbers = np.random.default_rng(seed)
    drawn: dict[tuple[str, int], Any] = {}

    def free(name: str, i: int) -> Any:
        positive = name in ("y", "p", "a") and "p" not in derivation.given
        if (name, i) not in drawn:
            value = numbers.uniform(0.05, 0.45) if positive or name == "y" else numbers.normal()
            drawn[name, i] = mp.mpf(float(value))
        return drawn[name, i]

    return free


@pytest.mark.parametrize(("names", "derivation"), DERIVATIONS, ids=lambda d: "-".join(d)
                         if isinstance(d, tuple) else "")  # fmt: skip
def test_every_line_of_a_derivation_equals_the_next_in_sympy(
    names: tuple[str, ...], derivation: Derivation
) -> None:
    def free(name: str, i: int) -> Any:
        return sympy.Symbol(f"{name}{i}", real=True)

    leaf = leaves_for(derivation, free, sympy)
    for one, other in itertools.pairwise(symbolic_lines(derivation, {"alpha": 0.25})):
        a, b = (component(e, 0, leaf, sympy) for e in (one, other))
        assert sympy.simplify((a - b).rewrite(sympy.exp)) == 0


@pytest.mark.parametrize(("names", "derivation"), DERIVATIONS, ids=lambda d: "-".join(d)
                         if isinstance(d, tuple) else "")  # fmt: skip
def test_the_first_line_of_a_derivation_is_the_derivative(
    names: tuple[str, ...], derivation: Derivation, precise: Any
) -> None:
    """Against differences of the definition, the first spelling in the table, at 50 digits."""
    outer = definition(names[0])
    inner = definition(names[2]) if len(names) == 3 else None
    for trial in range(3):
        point = random_point(precise, trial, derivation)
        first = symbolic_lines(derivation, {"alpha": 0.25})[0]
        found = component(first, 1, leaves_for(derivation, point, precise), precise)

        def moved(
            value: Any, point: Any = point, inner: Any = inner
        ) -> Any:  # the sum of the definition's values, with one component moved
            def free(name: str, i: int) -> Any:
                return value if (name, i) == (derivation.wrt, 1) else point(name, i)

            def leaf(name: str, i: int) -> Any:
                if inner is not None and name == names[1]:
                    return component(inner, i, lambda _, k: free(derivation.wrt, k), precise)
                return labelled(name, i)

            labelled = leaves_for(Derivation("", "", ()), free, precise)
            reduced = any(n.op is not None and n.op.name == "sum" for n in ancestors([outer]))
            parts = range(1) if reduced else range(SIZE)
            return sum(component(outer, i, leaf, precise) for i in parts)

        at = point(derivation.wrt, 1)
        difference = precise.diff(moved, at)
        assert abs(found - difference) <= abs(difference) * precise.mpf(10) ** -30


DEFINED: dict[str, Function] = {
    "relu": lambda z: np.where(z > 0, z, 0.0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.25 * z),
    "squared_error": lambda a, b: np.sum((a - b) ** 2),
    "softmax_cross_entropy": lambda y, z: np.sum(y) * np.log(np.sum(np.exp(z))) - np.sum(y * z),
    "bce_with_logits": lambda y, z: np.log(1 + np.exp(z)) - y * z,
    "silu": lambda z: z / (1 + np.exp(-z)),
}


def definition(name: str) -> Any:
    """What a function is, as a graph of vectors."""
    written = DEFINED.get(name)
    if written is None:
        rows = [row for row in TABLE if row.function.name == name]
        written = rows[0].spellings[0]
    parameters = inspect.signature(written).parameters
    assert not FREE & set(parameters)
    graph = Graph()
    return written(*[graph.input(p) for p in parameters])


def test_a_wrong_line_is_refused(precise: Any) -> None:
    right = SLOPES["sigmoid"]
    wrong = Derivation("z", "", (right.lines[0], type(right.lines[0])(lambda z: np.exp(-z), "")))
    with pytest.raises(AssertionError):
        test_every_line_of_a_derivation_equals_the_next_to_50_digits(("sigmoid",), wrong, precise)
    with pytest.raises(AssertionError):
        test_every_line_of_a_derivation_equals_the_next_in_sympy(("sigmoid",), wrong)


def test_every_row_of_the_table_is_met_by_its_own_spellings() -> None:
    met = {*ELEMENTWISE, *REDUCTIONS}
    met |= {"bce", "bce_with_logits", "cross_entropy", "softmax_cross_entropy"}
    met |= {"squared_error", "absolute_error", "guarded_bce", "guarded_cross_entropy"}
    assert {row.function.name for row in TABLE} - met == {"std"}
    assert "std" in names_in(lambda z: np.sum(np.sqrt(np.mean((z - np.mean(z)) ** 2)) ** 3), Z)


OPERATIONS: list[Function] = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: np.tanh(a) - 1,
    lambda a, b: np.exp(-a * a),
    lambda a, b: 1 / (2 + np.exp(-a) + b * b),
    lambda a, b: np.maximum(a, b),
    lambda a, b: np.where(a > b, a, b - 1),
    lambda a, b: np.log(3 + np.exp(a)),
]


@pytest.mark.parametrize("seed", range(30))
def test_random_arithmetic_is_called_nothing_that_it_is_not(seed: int) -> None:
    """No name of these can come about but by accident; a square of a difference may."""
    numbers = np.random.default_rng(seed)
    choices = [(*numbers.integers(0, 2 + i, 2), numbers.integers(0, 8)) for i in range(12)]

    def program(x: Any, y: Any) -> Any:
        found = [x, y]
        for i, j, which in choices:
            found.append(OPERATIONS[which](found[i], found[j]))
        return np.sum(found[-1] + found[-2])

    assert set(names_in(program, numbers.normal(size=5), numbers.normal(size=5))) == set()
