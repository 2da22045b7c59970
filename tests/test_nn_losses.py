"""Losses, against loops over their definitions, at places where naive formulas overflow too."""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.errors import ArgumentsError

RNG = np.random.default_rng(11)
P, T = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4))
Q, B = RNG.uniform(0.05, 0.95, (3, 4)), RNG.integers(0, 2, (3, 4)).astype(float)


def huber(p, t, delta=1.0):
    e = abs(p - t)
    return e * e / 2 if e <= delta else delta * (e - delta / 2)


CASES = [
    (nn.mse, P, T, lambda p, t: (p - t) ** 2),
    (nn.mae, P, T, lambda p, t: abs(p - t)),
    (nn.huber, P, T, huber),
    (nn.bce, Q, B, lambda p, t: -math.log(p) if t else -math.log(1 - p)),
    (nn.bce_with_logits, P, B, lambda z, t: math.log1p(math.exp(-z if t else z))),
]


@pytest.mark.parametrize(
    ("loss", "p", "t", "formula"), CASES, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_loss_is_its_formula_and_its_gradient_is_right(loss, p, t, formula):
    each = np.array(
        [[formula(a, b) for a, b in zip(x, y, strict=True)] for x, y in zip(p, t, strict=True)]
    )
    assert np.allclose(loss(p, t, reduction="none"), each, rtol=1e-13)
    assert math.isclose(loss(p, t), each.sum() / 12, rel_tol=1e-13)
    assert math.isclose(loss(p, t, reduction="sum"), each.sum(), rel_tol=1e-13)
    assert cr.check(lambda x: loss(x, t), p).verdict.value == "PASS"
    narrow = p.astype(np.float32), t.astype(np.float32)
    value, gradient = cr.value_and_grad(loss)(*narrow)
    assert value.dtype == gradient.dtype == np.float32
    compiled = cr.jit(cr.value_and_grad(loss))(p, t)
    wanted = cr.value_and_grad(loss)(p, t)
    assert np.allclose(compiled[0], wanted[0], rtol=1e-13)
    assert np.allclose(compiled[1], wanted[1], rtol=1e-12)
    assert np.allclose(cr.vmap(loss)(p, t), each.mean(1), rtol=1e-13)


@pytest.mark.parametrize("delta", [0.3, 2.0])
def test_huber_bends_at_delta(delta):
    each = [
        [huber(a, b, delta) for a, b in zip(x, y, strict=True)] for x, y in zip(P, T, strict=True)
    ]
    assert np.allclose(nn.huber(P, T, delta=delta, reduction="none"), each, rtol=1e-13)


def test_cross_entropy_is_the_negative_logarithm_of_the_right_class_s_probability():
    z, labels = RNG.normal(size=(5, 3)), np.array([0, 2, 1, 1, 2])
    want = [
        -(row[k] - math.log(sum(math.exp(v) for v in row)))
        for row, k in zip(z, labels, strict=True)
    ]
    assert np.allclose(nn.cross_entropy(z, labels, reduction="none"), want, rtol=1e-13)
    assert math.isclose(nn.cross_entropy(z, labels), np.mean(want), rel_tol=1e-13)
    assert math.isclose(nn.cross_entropy(z[0], 0), want[0], rel_tol=1e-13)
    assert cr.check(lambda v: nn.cross_entropy(v, labels), z).verdict.value == "PASS"
    probabilities = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    closed = (probabilities - np.eye(3)[labels]) / 5
    assert np.allclose(cr.grad(nn.cross_entropy)(z, labels), closed, rtol=1e-12)
    assert np.allclose(cr.jit(cr.grad(nn.cross_entropy))(z, labels), closed, rtol=1e-12)
    assert np.allclose(cr.vmap(nn.cross_entropy)(z, labels), want, rtol=1e-13)
    assert cr.grad(nn.cross_entropy)(z.astype(np.float32), labels).dtype == np.float32


def test_the_classes_of_cross_entropy_stand_along_axis_1():
    z, labels = RNG.normal(size=(2, 3, 4)), RNG.integers(0, 3, (2, 4))
    found = nn.cross_entropy(z, labels, reduction="none")
    for i, j in np.ndindex(2, 4):
        want = math.log(sum(math.exp(v) for v in z[i, :, j])) - z[i, labels[i, j], j]
        assert math.isclose(found[i, j], want, rel_tol=1e-13)
    assert cr.check(lambda v: nn.cross_entropy(v, labels), z).verdict.value == "PASS"


def test_losses_of_logits_do_not_overflow():
    z = np.array([1000.0, -1000.0])
    assert nn.bce_with_logits(z, np.array([1.0, 0.0])) == 0
    assert nn.bce_with_logits(z, np.array([0.0, 1.0])) == 1000
    assert np.array_equal(cr.grad(nn.bce_with_logits)(z, np.array([0.0, 1.0])), [0.5, -0.5])
    far = np.array([[1000.0, 0.0], [0.0, -1000.0]])
    assert nn.cross_entropy(far, np.array([1, 0])) == 500
    assert np.array_equal(cr.grad(nn.cross_entropy)(far, np.array([1, 0])), [[0.5, -0.5], [0, 0]])


def test_a_probability_of_0_or_1_costs_at_most_100_as_in_pytorch():
    p, t = np.array([0.0, 1.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0, 1.0])
    assert nn.bce(p, t, reduction="none").tolist() == [100, 100, 0, 0]
    assert np.all(np.isfinite(cr.grad(nn.bce)(p, t)))


def test_a_negative_label_inside_of_compiled_code_gives_nan_and_no_class():
    z = RNG.normal(size=(3, 2))
    compiled = cr.jit(nn.cross_entropy)
    assert math.isclose(compiled(z, np.array([0, 1, 1])), nn.cross_entropy(z, np.array([0, 1, 1])))
    assert math.isnan(compiled(z, np.array([0, -1, 1])))
    with pytest.raises(ArgumentsError, match="but there is 2"):
        compiled(z, np.array([0, 2, 1]))


def test_accuracy_and_r2_count_as_their_definitions_say():
    z, labels = RNG.normal(size=(50, 3)), RNG.integers(0, 3, 50)
    hits = sum(max(range(3), key=lambda k: row[k]) == y for row, y in zip(z, labels, strict=True))
    assert nn.accuracy(z, labels) == hits / 50
    p, t = P.ravel(), T.ravel()
    wrong = sum((a - b) ** 2 for a, b in zip(p, t, strict=True))
    around = sum((b - t.sum() / 12) ** 2 for b in t)
    assert math.isclose(nn.r2_score(p, t), 1 - wrong / around, rel_tol=1e-13)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (
            lambda: nn.mse(np.ones((3, 1)), np.ones(3)),
            r"mse: the prediction has shape \(3, 1\) and the target \(3,\)",
        ),
        (
            lambda: nn.cross_entropy(np.ones((3, 2)), np.ones(3)),
            "labels are whole numbers .* not float64",
        ),
        (
            lambda: nn.cross_entropy(np.ones((3, 2)), np.ones((3, 2), int)),
            r"take labels of shape \(3,\), not \(3, 2\)",
        ),
        (
            lambda: nn.cross_entropy(np.ones((3, 2)), np.array([0, 1, 2])),
            "from 0 to 1 for 2 classes, but there is 2",
        ),
        (lambda: nn.cross_entropy(np.ones((3, 2)), np.array([0, -1, 1])), "but there is -1"),
        (lambda: nn.mae(P, T, reduction="max"), "not 'max'"),
    ],
)
def test_what_does_not_fit_is_refused_where_pytorch_would_broadcast(call, says):
    with pytest.raises(ArgumentsError, match=says):
        call()
