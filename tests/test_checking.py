"""Gradient checking: the verdict is right, names the place, and does not cry wolf."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import chainrule as cr
from chainrule.checking.differences import noise_of
from chainrule.checking.result import GradientCheck, Verdict
from chainrule.cli.app import app
from chainrule.errors import ArgumentsError, NotDifferentiableError

F32 = np.float32
DTYPES = [np.float32, np.float64]


# What is right passes.

SMOOTH: dict[str, Callable[..., Any]] = {
    "sum": lambda x: np.sum(x),
    "sum of squares": lambda x: np.sum(x**2),
    "mean of cubes": lambda x: np.mean(x**3),
    "norm": lambda x: np.sqrt(1 + np.sum(x**2)),
    "sin": lambda x: np.sum(np.sin(x)),
    "cos": lambda x: np.sum(np.cos(3 * x)),
    "tan": lambda x: np.sum(np.tan(x / 4)),
    "sin of square": lambda x: np.sum(np.sin(x**2)),
    "exp": lambda x: np.sum(np.exp(x)),
    "steep exp": lambda x: np.sum(np.exp(5 * x)),
    "log": lambda x: np.sum(np.log(1 + x**2)),
    "steep log": lambda x: np.sum(np.log(1e-3 + x**2)),
    "log1p": lambda x: np.sum(np.log1p(x**2)),
    "expm1": lambda x: np.sum(np.expm1(x)),
    "tanh": lambda x: np.sum(np.tanh(x)),
    "saturated tanh": lambda x: np.sum(np.tanh(20 * x)),
    "sinh": lambda x: np.sum(np.sinh(x)),
    "cosh": lambda x: np.sum(np.cosh(x)),
    "arctan": lambda x: np.sum(np.arctan(x)),
    "arcsinh": lambda x: np.sum(np.arcsinh(x)),
    "arcsin": lambda x: np.sum(np.arcsin(np.tanh(x))),
    "sigmoid": lambda x: np.sum(1 / (1 + np.exp(-x))),
    "swish": lambda x: np.sum(x / (1 + np.exp(-x))),
    "softplus": lambda x: np.sum(np.logaddexp(0, x)),
    "logsumexp": lambda x: np.log(np.sum(np.exp(x))),
    "sum of softmax": lambda x: np.sum(np.exp(x) / np.sum(np.exp(x))),
    "cross entropy": lambda x: -np.log(np.exp(x[0]) / np.sum(np.exp(x))),
    "rational": lambda x: np.sum(x / (1 + x**2)),
    "reciprocal": lambda x: np.sum(1 / (0.01 + x**2)),
    "sqrt": lambda x: np.sum(np.sqrt(0.1 + x**2)),
    "power": lambda x: np.sum((0.1 + x**2) ** 1.7),
    "cube root": lambda x: np.sum(np.cbrt(3 + np.sin(x))),
    "product": lambda x: np.prod(1 + x**2),
    "variance": lambda x: np.mean((x - np.mean(x)) ** 2),
    "deviation": lambda x: np.sqrt(np.mean((x - np.mean(x)) ** 2) + 1e-3),
    "gaussian": lambda x: np.exp(-np.sum(x**2)),
    "narrow gaussian": lambda x: np.sum(np.exp(-((x / 0.01) ** 2))),
    "on an offset": lambda x: 1e3 + np.sum(np.sin(x)),
    "oscillating": lambda x: np.sum(np.sin(100 * x)),
    "with a round period": lambda x: np.sum(np.sin(2 * np.pi * 64 * x)),
    "nearly constant": lambda x: 3.0 + 0 * np.sum(x),
    "tiny": lambda x: 1e-12 * np.sum(x**2),
    "huge": lambda x: 1e12 * np.sum(x**2),
    "of all sizes": lambda x: np.sum(x**2 * 10.0 ** np.linspace(-6, 6, x.size).astype(x.dtype)),
    "rosenbrock": lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2),
    "cancelling": lambda x: np.sum((1 + x) ** 2 - 1 - 2 * x) + np.sum(np.sin(x)),
    "a power with a kink in its slope": lambda x: np.sum(np.abs(x) ** 1.5),
    "squared relu": lambda x: np.sum(np.maximum(x, 0) ** 2),
    "quadratic form": lambda x: x @ np.diag(np.arange(1, x.size + 1).astype(x.dtype)) @ x
    if x.size < 10 else np.sum(x * x),
    "a branch": lambda x: np.sum(np.where(x > 0, x**3, -(x**3))),
    "elementwise": lambda x: np.tanh(x) * x,
    "outer": lambda x: x[:5, None] * x[None, :5],
    "two outputs": lambda x: (np.sin(x), {"s": np.sum(x**2)}),
}  # fmt: skip


@pytest.mark.parametrize("size", [5, 300])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SMOOTH)
def test_no_false_alarm_on_a_smooth_function(name: str, dtype: Any, size: int) -> None:
    rng = np.random.default_rng(list(SMOOTH).index(name))
    for scale in (1.0, 1e-2) if size < 100 else (1.0,):
        x = (scale * rng.standard_normal(size)).astype(dtype)
        if name == "product":
            x = x[:5]
        assert cr.check(SMOOTH[name], x).verdict is Verdict.PASS


def test_enough_functions_are_tried() -> None:
    assert len(SMOOTH) >= 50


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x", [1e-8, 1e-3, 1.0, 1e3, 1e6])
def test_the_size_of_the_numbers_does_not_matter(x: float, dtype: Any) -> None:
    assert cr.check(lambda x: np.log(x) + np.sin(x / 1e3), dtype(x))


def test_float16_is_checked_in_a_wider_dtype() -> None:
    x = np.array([0.5, -1.25, 2.0], np.float16)
    f = lambda x: np.sum(np.tanh(x) * x)
    assert cr.check(f, x).ok
    assert cr.check(f, x).dtype == "float16"
    assert cr.check(f, x, backward=lambda x: 2 * cr.grad(f)(x)).verdict is Verdict.WRONG


def test_a_hundred_thousand_relus_pass_in_both_dtypes() -> None:
    x = np.random.default_rng(0).standard_normal(100_000)
    for dtype in DTYPES:
        found = cr.check(lambda x: np.sum(np.maximum(x, 0)), x.astype(dtype))
        assert found.verdict is Verdict.PASS
        assert found.calls < 200


# The cookbook's logistic regression.

INPUTS = np.array(
    [[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]], F32
)
TARGETS = np.array([1, 1, 0, 1], F32)
COOKBOOK_W = np.array([-0.36838785, -2.275689, 0.01144757], F32)
COOKBOOK_B = F32(0.8535516)


def cookbook_loss(W: Any, b: Any) -> Any:
    predicted = F32(0.5) * (np.tanh((INPUTS @ W + b) / F32(2)) + F32(1))
    return -np.sum(np.log(predicted * TARGETS + (1 - predicted) * (1 - TARGETS)))


def test_a_step_too_small_for_float32_is_inconclusive_and_round_off_is_the_reason() -> None:
    found = cr.check(cookbook_loss, COOKBOOK_W, COOKBOOK_B, eps=1e-4, wrt="b")
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "round-off explains it" in found.says
    worst = found.worst
    assert worst is not None
    assert worst.name == "b"
    assert worst.found == pytest.approx(-0.29227236, abs=1e-6)
    # One unit in the last place of the loss is 2.4e-7, and 2.4e-3 in the quotient.
    assert worst.expected == pytest.approx(-0.29563904, abs=5.1e-3)
    assert worst.expected != pytest.approx(worst.found, abs=2e-4)
    assert 1e-3 < worst.uncertainty < 1e-2


def test_the_sweep_passes_where_the_fixed_step_could_not_tell() -> None:
    found = cr.check(cookbook_loss, COOKBOOK_W, COOKBOOK_B)
    assert found.verdict is Verdict.PASS
    assert found.worst is not None
    assert found.worst.uncertainty < 1e-3


def test_a_step_too_large_is_not_called_wrong() -> None:
    found = cr.check(lambda x: np.exp(3 * x), 1.0, eps=0.5)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert cr.check(lambda x: np.exp(3 * x), 1.0, eps=1e-4)
    assert cr.check(np.exp, 1.0, backward=lambda x: 2 * np.exp(x), eps=1e-4).verdict == "WRONG"


# What is wrong is found, in its place, and named.


@dataclass
class Layer:
    """A layer with a hand-written backward pass in which a mistake can be planted."""

    X: Any
    Y: Any

    def loss(self, params: dict[str, Any]) -> Any:
        return np.mean((np.tanh(self.X @ params["W"] + params["b"]) - self.Y) ** 2)

    def backward(self, params: dict[str, Any]) -> dict[str, Any]:
        out = np.tanh(self.X @ params["W"] + params["b"])
        before = 2 * (out - self.Y) / out.size * (1 - out**2)
        return {"W": self.X.T @ before, "b": before.sum(axis=0)}

    def unsummed(self, params: dict[str, Any]) -> dict[str, Any]:
        out = np.tanh(self.X @ params["W"] + params["b"])
        before = 2 * (out - self.Y) / out.size * (1 - out**2)
        return {"W": self.X.T @ before, "b": before}


def layer(dtype: Any, size: str) -> tuple[Layer, dict[str, Any]]:
    batch, n = {"small": (5, 3), "large": (20, 30)}[size]
    rng = np.random.default_rng(7)
    draw = lambda *shape: rng.standard_normal(shape).astype(dtype)
    return Layer(draw(batch, n), draw(batch, n)), {"W": draw(n, n) / 2, "b": draw(n)}


CASES = [(d, s) for d in DTYPES for s in ("small", "large")]
both = pytest.mark.parametrize(
    ("dtype", "size"), CASES, ids=[f"{d.__name__}-{s}" for d, s in CASES]
)


def planted(dtype: Any, size: str, spoil: Callable[[dict[str, Any]], Any]) -> GradientCheck:
    net, params = layer(dtype, size)
    return cr.check(net.loss, params, backward=lambda p: spoil(net.backward(p)))


def expect(found: GradientCheck, kind: str, says: str = "") -> GradientCheck:
    assert found.verdict is Verdict.WRONG
    assert found.pattern is not None, str(found)
    assert found.pattern.kind == kind
    assert says in found.pattern.says
    return found


@both
def test_a_right_backward_pass_passes(dtype: Any, size: str) -> None:
    found = planted(dtype, size, lambda g: g)
    assert found.verdict is Verdict.PASS
    assert found.pattern is None


@both
def test_a_wrong_sign_is_named(dtype: Any, size: str) -> None:
    found = planted(dtype, size, lambda g: {k: -v for k, v in g.items()})
    assert expect(found, "sign").pattern.factor == -1  # type: ignore[union-attr]


@both
def test_a_constant_factor_is_named(dtype: Any, size: str) -> None:
    found = planted(dtype, size, lambda g: {k: v / 2 for k, v in g.items()})
    assert expect(found, "factor", "0.5 times").pattern.factor == 0.5  # type: ignore[union-attr]


@both
def test_a_lost_mean_is_named_with_its_length(dtype: Any, size: str) -> None:
    count = {"small": 15, "large": 600}[size]
    found = planted(dtype, size, lambda g: {k: v * count for k, v in g.items()})
    expect(found, "lost 1/N", f"it is {count} times what is right, and {count} is the number of")


@both
def test_a_mean_too_many_is_named(dtype: Any, size: str) -> None:
    count = {"small": 15, "large": 600}[size]
    expect(planted(dtype, size, lambda g: {k: v / count for k, v in g.items()}), "extra 1/N")


@both
def test_a_transposed_gradient_is_named(dtype: Any, size: str) -> None:
    found = planted(dtype, size, lambda g: {**g, "W": g["W"].T.copy()})
    expect(found, "transposed", "found[i,j] is what belongs at [j,i]")


@both
def test_a_missing_sum_over_a_broadcast_axis_is_named(dtype: Any, size: str) -> None:
    net, params = layer(dtype, size)
    found = cr.check(net.loss, params, backward=net.unsummed)
    expect(found, "missing sum", "summed over axis 0 it is right")
    shape = {"small": "(5, 3), not (3,)", "large": "(20, 30), not (30,)"}[size]
    assert found.says == f"the gradient of params['b'] has the shape {shape}"


@both
def test_a_gradient_that_never_arrives_is_named(dtype: Any, size: str) -> None:
    found = planted(dtype, size, lambda g: {**g, "b": 0 * g["b"]})
    expect(found, "missing", "the gradient of params['b'] is 0")


@both
def test_one_wrong_element_is_found_and_named_along_the_pytree(dtype: Any, size: str) -> None:
    def spoil(g: dict[str, Any]) -> dict[str, Any]:
        g["W"][0, 1] += 0.5 * np.abs(g["W"]).max()
        return g

    found = planted(dtype, size, spoil)
    assert found.verdict is Verdict.WRONG
    assert found.worst is not None
    assert found.worst.name == "params['W'][0,1]"
    net, params = layer(dtype, size)
    right = net.backward(params)["W"][0, 1]
    assert found.worst.expected == pytest.approx(right, rel=2e-3)
    assert found.worst.found == pytest.approx(right + found.worst.difference)
    assert found.pattern is None
    assert found.calls < 1500


@both
def test_not_a_number_is_found(dtype: Any, size: str) -> None:
    def spoil(g: dict[str, Any]) -> dict[str, Any]:
        g["W"][1, 2] = np.nan
        return g

    found = planted(dtype, size, spoil)
    assert found.verdict is Verdict.WRONG
    assert found.worst is not None
    assert found.worst.name == "params['W'][1,2]"
    assert "it is not a number, and the function has a slope here" in found.says


@both
def test_an_overwritten_contribution_is_named_with_its_line(dtype: Any, size: str) -> None:
    def rnn(W: Any, h: Any) -> Any:
        first = np.tanh(h @ W)
        second = np.tanh(first @ W)
        return np.sum(second**2)

    def backward(W: Any, h: Any) -> Any:
        first = np.tanh(h @ W)
        second = np.tanh(first @ W)
        d = 2 * second * (1 - second**2)
        dW = first.T @ d
        d = d @ W.T * (1 - first**2)
        dW = h.T @ d  # where dW += is meant
        return dW, d @ W.T

    net, params = layer(dtype, size)
    found = cr.check(rnn, params["W"], net.X, backward=backward)
    expect(found, "overwritten", "only one of the 2 contributions to W is there")
    assert found.pattern is not None
    assert "`first = np.tanh(h @ W)`" in found.pattern.says
    assert "`=` where `+=` is meant" in found.pattern.says
    assert found.worst is not None
    assert found.worst.name.startswith("W[")


def test_an_intermediate_value_that_was_overwritten_is_called_by_its_name() -> None:
    def f(x: Any) -> Any:
        hidden = np.tanh(x)
        left = np.sin(hidden)
        right = np.exp(hidden)
        return np.sum(left * right)

    def backward(x: Any) -> Any:
        hidden = np.tanh(x)
        d_hidden = np.exp(hidden) * np.cos(hidden)
        d_hidden = np.sin(hidden) * np.exp(hidden)
        return d_hidden * (1 - hidden**2)

    x = np.array([0.5, 2.0, -1.0])
    found = expect(cr.check(f, x, backward=backward), "overwritten", "contributions to hidden")
    assert "`right = np.exp(hidden)`" in found.pattern.says  # type: ignore[union-attr]


def test_a_lost_weight_decay_is_named() -> None:
    w = np.array([0.5, -1.5, 2.0, 0.25])
    found = cr.check(lambda w: np.sum(np.sin(w)) + 0.05 * np.sum(w**2), w, backward=np.cos)
    expect(found, "multiple of the argument", "a term 0.1·w is missing")


def test_a_lost_mean_over_an_argument_names_the_argument() -> None:
    data = np.arange(14.0).reshape(7, 2) / 10
    f = lambda w, data: np.sum((data @ w) ** 2) / 7
    backward = lambda w, data: 2 * data.T @ (data @ w)
    found = cr.check(f, np.array([0.3, -0.2]), data, wrt="w", backward=backward)
    expect(found, "lost 1/N", "7 is the length of axis 0 of data")


def test_a_summed_gradient_of_the_wrong_shape_is_named() -> None:
    f = lambda x: np.sum(np.sin(x))
    x = np.array([[0.5, 1.0], [2.0, 3.0]])
    expect(cr.check(f, x, backward=lambda x: np.cos(x).sum(axis=0)), "extra sum", "axis 0")
    expect(cr.check(f, x, backward=lambda x: np.cos(x).ravel()), "shape", "only the shape is not")


def test_a_small_relative_error_is_seen_in_float64() -> None:
    x = np.array([0.5, 1.0])
    f = lambda x: np.sum(np.sin(x))
    assert cr.check(f, x, backward=lambda x: np.cos(x) * (1 + 1e-5)).verdict is Verdict.WRONG
    assert cr.check(f, x, backward=lambda x: np.cos(x) * (1 + 1e-5), rtol=1e-3)


def test_an_error_in_many_elements_is_found_without_trying_them_all() -> None:
    x = np.random.default_rng(0).standard_normal((300, 400))

    def backward(x: Any) -> Any:
        g = np.cos(x)
        g[170, 123] = 5.0
        return g

    found = cr.check(lambda x: np.sum(np.sin(x)), x, backward=backward)
    assert found.verdict is Verdict.WRONG
    assert found.worst is not None
    assert found.worst.name == "x[170,123]"
    assert found.calls < 1500
    assert found.coverage == "120,000 elements by 2 random projections of each of 1 array"


# Functions that do not return a scalar.


def test_backward_of_a_non_scalar_function_takes_the_cotangent_first() -> None:
    x = np.array([0.5, 2.0, -1.0])
    right = lambda cotangent, x: cotangent * (1 - np.tanh(x) ** 2)
    ignoring = lambda cotangent, x: 1 - np.tanh(x) ** 2
    assert cr.check(np.tanh, x, backward=right)
    assert cr.check(lambda x: x[:1], x[:1], backward=lambda c, x: c)
    found = cr.check(np.tanh, x, backward=ignoring)
    expect(found, "ignored cotangent", "the cotangent is ignored")


def test_the_cotangent_has_the_structure_of_the_result() -> None:
    f = lambda x: {"a": x**2, "b": (np.sum(x),)}
    backward = lambda c, x: 2 * x * c["a"] + c["b"][0]
    assert cr.check(f, np.array([1.0, 2.0]), backward=backward)


# Kinks, jumps, and points at the edge.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("f", "at", "name"),
    [
        (lambda x: np.sum(np.abs(x)), [1.0, 0.0, 2.0], "x[1]"),
        (lambda x: np.sum(np.maximum(x, 0)), [1.0, 0.5, 0.0], "x[2]"),
        (lambda x: np.max(x), [1.0, 3.0, 3.0], "x[1]"),
        (lambda x: np.sum(np.clip(x, -1, 1)), [0.5, 1.0, 0.25], "x[1]"),
        (lambda x: np.sum(np.where(x > 0, x, 0.1 * x)), [0.0, 1.0, -1.0], "x[0]"),
    ],
)
def test_a_kink_under_the_point_is_a_kink(f: Any, at: Any, name: str, dtype: Any) -> None:
    found = cr.check(f, np.array(at, dtype))
    assert found.verdict is Verdict.KINK
    assert not found
    assert found.worst is not None
    assert found.worst.name == name
    assert found.worst.left is not None
    assert found.worst.right is not None
    assert abs(found.worst.left - found.worst.right) > 0.5
    assert "the derivatives from the left and from the right differ" in found.says


def test_a_value_outside_of_both_sides_is_wrong_even_at_a_kink() -> None:
    relu = lambda x: np.maximum(x, 0)
    assert cr.check(relu, 0.0, backward=lambda x: 1.0).verdict is Verdict.KINK
    found = cr.check(relu, 0.0, backward=lambda x: 2.0)
    assert found.verdict is Verdict.WRONG
    assert "it lies outside of both" in found.says


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_relu_at_zero_among_many_is_found(dtype: Any) -> None:
    x = np.random.default_rng(0).uniform(1, 2, 2000).astype(dtype)
    x[1234] = 0
    found = cr.check(lambda x: np.sum(np.maximum(x, 0)), x)
    assert found.verdict is Verdict.KINK
    assert found.worst is not None
    assert found.worst.name == "x[1234]"


@pytest.mark.parametrize("size", [3, 300])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("distance", [1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-7, 1e-9, 1e-12, 1e-15])
def test_a_kink_nearby_is_never_wrong(distance: float, dtype: Any, size: int) -> None:
    x = np.random.default_rng(3).uniform(1.5, 2, size).astype(dtype)
    for sign in (1, -1):
        x[1] = sign * distance
        for f in (lambda x: np.sum(np.abs(x)), lambda x: np.sum(np.tanh(np.maximum(x, 0)))):
            verdict = cr.check(f, x).verdict
            assert verdict is not Verdict.WRONG
            if distance >= (1e-3 if dtype is F32 else 1e-6):
                assert verdict is Verdict.PASS


@pytest.mark.parametrize("distance", [1e-1, 1e-3, 1e-5])
def test_a_missing_mask_is_wrong_although_a_kink_is_near(distance: float) -> None:
    x = np.array([1.0, -distance, 2.0])
    found = cr.check(lambda x: np.sum(np.maximum(x, 0)), x, backward=np.ones_like)
    assert found.verdict is Verdict.WRONG
    assert found.worst is not None
    assert found.worst.name == "x[1]"


def test_a_jump_and_a_vertical_slope_are_kinks_that_say_what_they_are() -> None:
    jump = cr.check(lambda x: np.sum(np.floor(x)), np.array([0.5, 1.0]))
    assert jump.verdict is Verdict.KINK
    assert jump.says == "at x[1], the function jumps here: its values on either side do not meet"
    steep = cr.check(lambda x: np.sum(np.cbrt(x)), np.array([0.0, 1.0]))
    assert steep.verdict is Verdict.KINK
    assert steep.says == "at x[0], the slope grows without bound here"


def test_between_the_jumps_a_step_function_passes() -> None:
    assert cr.check(lambda x: np.sum(np.floor(x)), np.array([0.5, 1.001, 2.9]))


def test_at_the_edge_of_the_domain_it_cannot_be_told() -> None:
    found = cr.check(lambda x: np.sum(x * np.sqrt(x)), np.array([0.0, 1.0]))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.says == "at x[0], the function has no finite value on the left of the point"


def test_near_the_edge_of_the_domain_smaller_steps_are_taken() -> None:
    assert cr.check(lambda x: np.sum(np.log(x)), np.array([1e-6, 1e-3, 1.0]))


def test_errors_of_the_function_beside_the_point_count_as_no_value() -> None:
    import math

    f = lambda x: math.sqrt(x) if isinstance(x, float) else np.sqrt(x)
    assert cr.check(f, 1e-4)
    assert cr.check(f, 0.0, backward=lambda x: 0.0).verdict is Verdict.INCONCLUSIVE


# Functions that cannot be checked, and arguments that do not matter.


def test_a_random_function_is_called_so() -> None:
    rng = np.random.default_rng(0)
    found = cr.check(lambda x: np.sum(x) * rng.random(), np.ones(3))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "f is not deterministic: two calls at the same point gave" in found.says


def test_a_random_backward_is_called_so() -> None:
    rng = np.random.default_rng(0)
    found = cr.check(np.sum, np.ones(3), backward=lambda x: rng.random(3))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "backward is not deterministic" in found.says


def test_a_function_that_is_not_finite_at_the_point_is_inconclusive() -> None:
    found = cr.check(lambda x: np.log(x), -1.0)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "f is not finite at the point: it returns nan" in found.says
    assert cr.check(np.sin, np.inf).verdict is Verdict.INCONCLUSIVE


def test_an_argument_that_is_ignored_passes_with_a_note() -> None:
    found = cr.check(lambda x, unused: np.sin(x), 1.0, 2.0)
    assert found.verdict is Verdict.PASS
    assert found.notes == ("f does not change with unused here",)
    wrong = cr.check(lambda x, y: np.sin(x), 1.0, 2.0, backward=lambda x, y: (np.cos(x), 3.0))
    assert wrong.verdict is Verdict.WRONG
    assert wrong.worst is not None
    assert wrong.worst.name == "y"


def test_integers_are_passed_on_and_not_differentiated() -> None:
    f = lambda x, n, labels: np.sum(x**n * labels)
    assert cr.check(f, np.array([1.0, 2.0]), 3, np.array([1, 0]))
    with pytest.raises(NotDifferentiableError, match=r"Pass floats: 1\.0 instead of 1"):
        cr.check(f, np.array([1.0, 2.0]), 3, np.array([1, 0]), wrt="labels")
    with pytest.raises(NotDifferentiableError, match="with respect to x: it is int64"):
        cr.check(np.square, 3)


def test_values_too_coarse_for_the_steps_are_not_called_wrong() -> None:
    rough = lambda x: (x + 1e12) - 1e12
    assert cr.check(rough, 0.3, backward=lambda x: 1.0).verdict is not Verdict.WRONG
    assert cr.check(lambda x: (x + F32(1e6)) - F32(1e6), F32(0.3)).verdict is not Verdict.WRONG


def test_noise_in_the_function_is_not_called_wrong() -> None:
    """Rounded to three digits, sin has steps of 0.001 in its values."""
    rounded = lambda x: np.sum(np.round(np.sin(x), 3))
    found = cr.check(rounded, np.array([0.3, 1.1]), backward=np.cos)
    assert found.verdict in (Verdict.INCONCLUSIVE, Verdict.WRONG)
    noisy = lambda x: np.sum(np.sin(x).astype(F32).astype(float))
    assert cr.check(noisy, np.array([0.3, 1.1]), backward=np.cos).verdict is not Verdict.WRONG


def test_the_function_cannot_change_its_arguments() -> None:
    def f(x: Any) -> Any:
        x *= 2
        return np.sum(x)

    x = np.array([1.0, 2.0])
    assert cr.check(f, x, backward=lambda x: np.full(2, 2.0))
    assert x.tolist() == [1.0, 2.0]


# Arguments, options, and what backward may return.


def test_gradients_come_back_as_jax_and_pytorch_users_expect() -> None:
    f = lambda W, b: np.sum(np.sin(W)) * b
    W, b = np.array([[0.5, 1.0]]), 2.0
    dW, db = (lambda W, b: b * np.cos(W)), (lambda W, b: np.sum(np.sin(W)))
    assert cr.check(f, W, b, backward=lambda W, b: (dW(W, b), db(W, b)))
    assert cr.check(f, W, b, backward=lambda W, b: [dW(W, b), db(W, b)])
    assert cr.check(f, W, b, wrt=0, backward=dW)
    assert cr.check(f, W, b, wrt="b", backward=db)
    assert cr.check(f, W, b, wrt="b", backward=lambda W, b: (None, db(W, b)))
    assert cr.check(f, W, b, wrt=(0, 1), backward=lambda W, b: (dW(W, b), db(W, b)))
    with pytest.raises(ArgumentsError, match="should return one gradient for each of W, b"):
        cr.check(f, W, b, backward=dW)


def test_missing_gradients_in_a_pytree_are_an_error_that_names_them() -> None:
    f = lambda p: np.sum(p["a"]) * p["b"]
    with pytest.raises(ArgumentsError, match=r"returned no gradient for p\['b'\]"):
        cr.check(f, {"a": np.ones(2), "b": 1.0}, backward=lambda p: {"a": np.ones(2)})


def test_wrt_picks_leaves_of_a_pytree() -> None:
    f = lambda p: np.sum(p["a"]) * p["b"]
    p = {"a": np.ones(2), "b": 1.0}
    found = cr.check(f, p, wrt="p['b']", backward=lambda p: {"a": None, "b": np.sum(p["a"])})
    assert found.coverage == "1 element"
    assert found.ok


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cr.check(np.sin), "check needs the point"),
        (lambda: cr.check(3, 1.0), "takes a function"),
        (lambda: cr.check(np.sin, 1.0, eps=0), "eps has to be a positive number, not 0"),
        (lambda: cr.check(np.sin, 1.0, rtol=-1), "rtol has to be a positive number"),
        (lambda: cr.check(np.sin, 1.0, seed=-1), "seed has to be a whole number"),
        (lambda: cr.check(np.sin, 1.0, backward=1), "backward has to be a function"),
        (lambda: cr.check(lambda x: x, 1.0, wrt="y"), "has no argument 'y' here"),
        (lambda: cr.check(lambda x, y: x, 1.0), "was given 1 positional argument"),
        (lambda: cr.check(np.sin, 1.0, backward=lambda: 1), "it is called as backward\\(x\\)"),
        (
            lambda: cr.check(np.sin, np.ones(2), backward=lambda x: x),
            "it is called as backward\\(cotangent, x\\), because sin does not return a scalar",
        ),
        (lambda: cr.check(np.sin, 1.0, backward=lambda x: "no"), "array of real numbers"),
    ],
)
def test_bad_input_is_one_clear_message(call: Any, message: str) -> None:
    with pytest.raises(ArgumentsError, match=message):
        call()


@pytest.mark.parametrize("value", [1j, None, "text", 3])
def test_results_that_have_no_derivative_are_refused(value: Any) -> None:
    with pytest.raises(NotDifferentiableError, match="a derivative needs real floats"):
        cr.check(lambda x: value, 1.0)


# What is returned.


def test_the_order_of_convergence_of_a_smooth_function_is_two() -> None:
    found = cr.check(np.sin, 0.7)
    assert found.order == pytest.approx(2, abs=0.05)


def test_the_same_seed_gives_the_same_numbers() -> None:
    x = np.random.default_rng(0).standard_normal(1000)
    f = lambda x: np.sum(np.sin(x))
    assert cr.check(f, x, seed=3) == cr.check(f, x, seed=3)
    assert cr.check(f, x, seed=3).worst != cr.check(f, x, seed=4).worst


def test_everything_is_in_the_dict_and_fits_into_json() -> None:
    found = cr.check(lambda x: np.mean(x**2), np.ones(3), backward=lambda x: 2 * x)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["verdict"] == "WRONG"
    assert data["ok"] is False
    assert data["worst"]["found"] == 2.0
    assert data["worst"]["difference"] == pytest.approx(4 / 3)
    assert data["pattern"] == {
        "kind": "lost 1/N",
        "says": "it is 3 times what is right, and 3 is the length of x: a factor 1/N was lost",
        "factor": 3.0,
    }
    singular = cr.check(lambda x: np.sum(np.cbrt(x)), np.zeros(1))
    assert json.loads(json.dumps(singular.to_dict(), allow_nan=False))["worst"]["found"] == "inf"


def test_it_prints_what_was_found() -> None:
    found = cr.check(lambda x: np.mean(x**2), np.ones(3), backward=lambda x: 2 * x)
    text = str(found)
    for piece in (
        "backward against f(x)", "worst      x[", "expected   0.666666666667   ±",
        "found      2", "3 elements, each by itself; float64, step swept",
        "✗ WRONG: at x[", "· it is 3 times what is right",
    ):  # fmt: skip
        assert piece in text


def test_noise_is_estimated_from_high_differences() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(7)
    found = [noise_of(list(np.sin(1e-3 * t) + 1e-6 * rng.standard_normal(7))) for _ in range(50)]
    assert np.median(found) == pytest.approx(1e-6, rel=0.5)


# The command line.

MODEL = """
import numpy as np

def loss(W, b):
    return np.mean(np.tanh(W @ np.array([1.0, 2.0]) + b) ** 2)

def dloss(W, b):
    x = np.array([1.0, 2.0])
    out = np.tanh(W @ x + b)
    d = 2 * out / out.size * (1 - out**2)
    return d[:, None] * x, d

def wrong(W, b):
    dW, db = dloss(W, b)
    return -dW, -db

def relu(x):
    return np.maximum(x, 0)

def breaks(x):
    return undefined + x
"""
AT = "W=[[0.1,0.2],[0.3,-0.4],[0.5,0.6]],b=[0.1,0.2,0.3]"


@pytest.fixture
def model(tmp_path: Path) -> str:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


def test_the_command_checks_our_derivative_and_hand_written_ones(model: str) -> None:
    ours = run(f"{model}:loss", "--at", AT)
    assert ours.exit_code == 0
    assert "✓ PASS" in ours.stdout
    theirs = run(f"{model}:loss", "--backward", f"{model}:dloss", "--at", AT)
    assert theirs.exit_code == 0
    wrong = run(f"{model}:loss", "--backward", f"{model}:wrong", "--at", AT)
    assert wrong.exit_code == 1
    assert "the sign is wrong" in wrong.stdout


def test_every_verdict_has_its_exit_code(model: str) -> None:
    assert run(f"{model}:relu", "--at", "x=1").exit_code == 0
    assert run(f"{model}:relu", "--at", "x=0").exit_code == 3
    small = run(f"{model}:loss", "--at", AT, "--dtype", "float32", "--eps", "1e-5")
    assert small.exit_code == 4
    assert "round-off explains it" in small.stdout


def test_the_command_prints_json(model: str) -> None:
    result = run(f"{model}:loss", "--at", AT, "--format", "json", "--wrt", "b")
    data = json.loads(result.stdout)
    assert data["verdict"] == "PASS"
    assert data["coverage"] == "3 elements, each by itself"


def test_arrays_come_from_files_and_at_random(model: str, tmp_path: Path) -> None:
    np.save(tmp_path / "W.npy", np.ones((3, 2)))
    np.savez(tmp_path / "all.npz", W=np.ones((3, 2)), b=np.zeros(3))
    loss = f"{model}:loss"
    assert run(loss, "--at", f"W={tmp_path}/W.npy", "--at", "b=normal(3)").exit_code == 0
    both = f"W={tmp_path}/all.npz:W,b={tmp_path}/all.npz:b"
    assert run(loss, "--at", both).exit_code == 0
    assert run(loss, "--at", "W=uniform(3,2),b=normal(3)").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}:loss", "--at", "W=[[1,2]]"], "missing a required argument: 'b'"),
        (["{}:loss", "--at", AT, "--wrt", "c"], "has no argument 'c'"),
        (["{}:loss", "--at", "W=missing.npy,b=1"], "could not be read from missing.npy"),
        (["{}:loss", "--at", AT, "--backward", "sin"], "does not name a function"),
        (["x^2", "--at", "x=1"], "does not name a function"),
        (["{}:nothing", "--at", "x=1"], "has no function 'nothing'"),
        (["{}:breaks", "--at", "x=1"], "NameError: name 'undefined' is not defined"),
        (["{}:loss", "--at", AT, "--eps", "0"], "eps has to be a positive number"),
        (["{}:loss", "--at", "W=normal(3,5),b=1"], "ValueError"),
    ],
)
def test_bad_input_exits_2_without_a_traceback(
    arguments: list[str], message: str, model: str
) -> None:
    result = run(*(a.format(model) if a.startswith("{") else a for a in arguments))
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
