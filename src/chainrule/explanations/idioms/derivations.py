"""What the derivative of an idiom comes to, line by line: each line equals the one before.

A line is plain NumPy in the idiom's arguments. Besides these it may ask for ``out``, the idiom's
own value; ``total``, the sum over the idiom's axes; ``n``, how many elements that sums; and the
idiom's numbers. Where two idioms meet (the cross-entropy of a sigmoid), the lines are the product
of the two slopes, and ``p`` is what the inner one gives.

Sources: Goodfellow, Bengio, Courville, *Deep Learning* (2016), 3.10 (σ and softplus), 6.2.2 (what
cross-entropy and output unit come to together); Petersen, Pedersen, *The Matrix Cookbook*, 2.6
(norms). Every line is proved in the tests: by SymPy, and by 50 digits at random points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.explanations.idioms.functions import SIGMOID
from chainrule.graph.operand import bind

Written = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line: an expression, and what was done to get it.

    ``needs`` is 0 where the line holds, in NumPy like the line; ``None`` where it always does.
    """

    expression: Written
    reason: str
    needs: Written | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Derivation:
    """The derivative of an idiom with respect to one of its arguments.

    Attributes:
        wrt: The argument; of two idioms that meet, the inner one's argument.
        says: The result in words.
        lines: From the derivative as the rules give it to what it simplifies to.
        given: What a name in the lines stands for in terms of others: ``p`` by ``z``.
    """

    wrt: str
    says: str
    lines: tuple[Line, ...]
    given: Mapping[str, Written] = field(default_factory=dict)


def sigma(z: Any) -> Any:
    """σ(z), as one function."""
    return bind(SIGMOID, (z,))


_BY_SIGMOID: dict[str, Written] = {"p": lambda z: 1 / (1 + np.exp(-z))}
_BY_SOFTMAX: dict[str, Written] = {"p": lambda z, total: np.exp(z) / total(np.exp(z))}

# By the name of the function.
SLOPES: dict[str, Derivation] = {
    "sigmoid": Derivation("z", "σ′ = σ(1 − σ)", (
        Line(lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2, "derivative of 1/(1 + e^(−z))"),
        Line(lambda z: 1 / (1 + np.exp(-z)) * (np.exp(-z) / (1 + np.exp(-z))), "as two factors"),
        Line(lambda z: 1 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z))),
             "e^(−z) = (1 + e^(−z)) − 1"),
        Line(lambda out: out * (1 - out), "both are σ(z) again"),
    ), {"out": lambda z: 1 / (1 + np.exp(-z))}),
    "tanh": Derivation("z", "tanh′ = 1 − tanh²", (
        Line(lambda z: (np.cosh(z) ** 2 - np.sinh(z) ** 2) / np.cosh(z) ** 2,
             "quotient rule on sinh/cosh"),
        Line(lambda z: 1 - (np.sinh(z) / np.cosh(z)) ** 2, "divide"),
        Line(lambda out: 1 - out**2, "the quotient is tanh(z) again"),
    ), {"out": lambda z: np.sinh(z) / np.cosh(z)}),
    "softplus": Derivation("z", "softplus′ = σ", (
        Line(lambda z: 1 / (1 + np.exp(z)) * np.exp(z), "derivative of ln(1 + e^z)"),
        Line(lambda z: 1 / (1 + np.exp(-z)), "divide both by e^z"),
        Line(sigma, "that is σ"),
    )),
    "relu": Derivation("z", "relu′ is 1 where z > 0, and 0 elsewhere", (
        Line(lambda z: np.where(z > 0, 1.0, 0.0), "slope of z on the right, of 0 on the left"),
    )),
    "leaky_relu": Derivation("z", "the slope is 1 where z > 0, and the leak elsewhere", (
        Line(lambda z, alpha: np.where(z > 0, 1.0, alpha), "slope of z on the right, of the leak "
             "on the left"),
    )),
    "silu": Derivation("z", "silu′ = σ + silu·(1 − σ)", (
        Line(lambda z: sigma(z) + z * (sigma(z) * (1 - sigma(z))), "product rule, σ′ = σ(1 − σ)"),
        Line(lambda z, out: sigma(z) + out * (1 - sigma(z)), "z·σ(z) is the value again"),
    ), {"out": lambda z: z / (1 + np.exp(-z))}),
    "logsumexp": Derivation("x", "the gradient of log-sum-exp is softmax", (
        Line(lambda x, total: 1 / total(np.exp(x)) * np.exp(x), "derivative of ln, times that of "
             "the sum"),
        Line(lambda x, out: np.exp(x) / np.exp(out), "the sum is e to the value"),
        Line(lambda x, out: np.exp(x - out), "softmax"),
    ), {"out": lambda x, total: np.log(total(np.exp(x)))}),
    "norm": Derivation("x", "the gradient of ‖x‖ is x/‖x‖", (
        Line(lambda x, total: 1 / (2 * np.sqrt(total(x**2))) * (2 * x), "derivative of the root, "
             "times that of the sum"),
        Line(lambda x, total: x / np.sqrt(total(x**2)), "cancel the 2"),
        Line(lambda x, out: x / out, "the root is the norm again"),
    ), {"out": lambda x, total: np.sqrt(total(x**2))}),
    "squared_error": Derivation("a", "the slope of a square is twice what was squared", (
        Line(lambda a, b: 2 * (a - b) * 1, "power rule, times the slope of the difference"),
        Line(lambda a, b: 2 * (a - b), "the slope of the difference is 1"),
    )),
    "absolute_error": Derivation("a", "the slope is the sign of the difference", (
        Line(lambda a, b: np.sign(a - b), "slope of |·|"),
    )),
    "bce": Derivation("p", "(p − y)/(p(1 − p))", (
        Line(lambda y, p: -(y / p) + (1 - y) / (1 - p), "derivative of the logarithms"),
        Line(lambda y, p: (p * (1 - y) - y * (1 - p)) / (p * (1 - p)), "common denominator"),
        Line(lambda y, p: (p - y) / (p * (1 - p)), "the products y·p cancel"),
    )),
    "bce_with_logits": Derivation("z", "σ(z) − y", (
        Line(lambda y, z: np.exp(z) / (1 + np.exp(z)) - y, "derivative of ln(1 + e^z) − y·z"),
        Line(lambda y, z: sigma(z) - y, "that is σ"),
    )),
    "cross_entropy": Derivation("p", "−y/p", (
        Line(lambda y, p: -(y * (1 / p)), "derivative of the logarithm"),
        Line(lambda y, p: -(y / p), "−y/p"),
    )),
    "softmax_cross_entropy": Derivation("z", "softmax(z) − y", (
        Line(lambda y, p, total: -y + total(y) * p, "−Σ y·z + Σ y · log-sum-exp(z), whose "
             "gradient is p = softmax(z)"),
        Line(lambda y, p: p - y, "the labels y add up to 1", lambda y, total: total(y) - 1),
    ), _BY_SOFTMAX),
}  # fmt: skip

# By the names of the outer function, its argument, and the inner function.
COLLAPSES: dict[tuple[str, str, str], Derivation] = {
    ("bce", "p", "sigmoid"): Derivation("z", "the cross-entropy of a sigmoid: both slopes cancel", (
        Line(lambda y, p: (p - y) / (p * (1 - p)) * (p * (1 - p)),
             "slope of the cross-entropy · slope of σ"),
        Line(lambda y, p: p - y, "cancel"),
    ), _BY_SIGMOID),
    ("cross_entropy", "p", "softmax"): Derivation(
        "z", "the cross-entropy of a softmax: the probabilities cancel", (
        Line(lambda y, p, total: p * -(y / p) - p * total(p * -(y / p)),
             "Jacobian of softmax, diag(p) − p·pᵀ, on −y/p"),
        Line(lambda y, p, total: -y + p * total(y), "cancel p"),
        Line(lambda y, p: p - y, "the labels y add up to 1", lambda y, total: total(y) - 1),
    ), _BY_SOFTMAX),
    ("squared_error", "a", "sigmoid"): Derivation("z", "the slope of σ stays", (
        Line(lambda a, b: 2 * (a - b) * (a * (1 - a)), "slope of the square · slope of σ"),
    ), {"a": lambda z: 1 / (1 + np.exp(-z))}),
}  # fmt: skip
