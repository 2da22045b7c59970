"""The table of idioms: one row each, with every way of writing it by hand, in plain NumPy.

A spelling is a function of the idiom's arguments. Further parameters of a spelling are free:
``condition`` is any array of truth values, ``c`` any offset, and those in ``NUMBERS`` any number.
Reductions in a spelling are over any axes, the same throughout. A spelling may use the functions
that rows above it name: those are recognised first.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.explanations.idioms import functions as f
from chainrule.explanations.idioms.matching import Pattern, pattern
from chainrule.graph.node import Graph
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Primitive
from chainrule.rules import BOOK

Spelling = Callable[..., Any]
# What stands in front: the pattern times this number is what was found. ``None`` where a row does
# not allow it, and otherwise what is left of it when the function's own definition is taken out.
Scale = Callable[[float, dict[str, Any], int], float | None]

# Parameters of spellings that are numbers in front of something.
NUMBERS = frozenset(("alpha", "delta", "eps", "k", "k2"))
_LARGEST_GUARD = 1e-2
# Parameters that are no arguments of the idiom.
FREE = frozenset(("c", "condition", "k", "k2"))


def once(scale: float, _bound: dict[str, Any], _n: int) -> float | None:
    """The pattern as it is."""
    return 1.0 if math.isclose(scale, 1.0, rel_tol=1e-6) else None


def bent(scale: float, bound: dict[str, Any], n: int) -> float | None:
    """The pattern as it is, with two different slopes."""
    return None if math.isclose(bound["alpha"], 1.0) else once(scale, bound, n)


def any_multiple(scale: float, _bound: dict[str, Any], _n: int) -> float | None:
    """Any positive multiple: a loss may be a mean, a sum, or half of one."""
    return scale if scale > 0 else None


def signed(scale: float, _bound: dict[str, Any], _n: int) -> float | None:
    """Any multiple: the negative of a loss is a likelihood."""
    return scale


def guarded(scale: float, bound: dict[str, Any], _n: int) -> float | None:
    """Any multiple, with a small ε that keeps a logarithm from 0."""
    return scale if 0 < bound["eps"] < _LARGEST_GUARD else None


def averaged(scale: float, _bound: dict[str, Any], n: int) -> float | None:
    """A sum over n elements, divided by n."""
    return 1.0 if n > 1 and math.isclose(scale * n, 1.0, rel_tol=1e-6) else None


def mean_square(scale: float, _bound: dict[str, Any], n: int) -> float | None:
    """The root of a sum over n elements that is divided by n."""
    return 1.0 if n > 1 and math.isclose(scale * scale * n, 1.0, rel_tol=1e-6) else None


def of_mean_square(scale: float, bound: dict[str, Any], n: int) -> float | None:
    """A quotient by the root of Σx² + n·ε, times √n: by that of the mean square and ε."""
    bound["eps"] /= n
    return 1.0 if math.isclose(scale * scale, n, rel_tol=1e-6) else None


def as_inside(scale: float, bound: dict[str, Any], _n: int) -> float | None:
    """The same number in front as the one called ``k`` inside."""
    return 1.0 if math.isclose(scale, bound["k"], rel_tol=1e-6) else None


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One idiom.

    Attributes:
        function: What it is, with its definition: ``function.evaluate(*arguments, axis=…)``.
        title: Its name in words.
        spellings: The ways of writing it.
        scale: Which numbers may stand in front.
        total: Whether the sum over some or all elements bears the same name: losses.
        known: Whether what is computed from it sees the function, and not how it was written.
        last: Only the whole of a program, or a single number, is called so.
        probable: Its argument ``p`` has to hold probabilities.
        symmetric: Its two arguments ``a`` and ``b`` can change places.
    """

    function: Primitive
    title: str
    spellings: tuple[Spelling, ...]
    scale: Scale = once
    total: bool = False
    known: bool = True
    last: bool = False
    symmetric: bool = False
    probable: bool = False


def _call(function: Primitive) -> Callable[..., Any]:
    return lambda *args: bind(function, args, {"axis": None} if function.axes else {})


sigma, tanh, softplus, relu, leaky_relu = map(
    _call, (f.SIGMOID, f.TANH, f.SOFTPLUS, f.RELU, f.LEAKY_RELU)
)
logsumexp, softmax, log_softmax = map(_call, (f.LOGSUMEXP, f.SOFTMAX, f.LOG_SOFTMAX))
bce, cross_entropy, var, pick, erf = map(
    _call, (f.BCE, f.CROSS_ENTROPY, f.VAR, f.PICK, BOOK["erf"])
)


def summed(x: Any) -> Any:
    """A sum over some axes."""
    return np.sum(x)


TABLE: tuple[Row, ...] = (
    Row(f.SIGMOID, "the logistic function", (
        lambda z: 1 / (1 + np.exp(-z)),
        lambda z: np.exp(z) / (1 + np.exp(z)),
        lambda z: (np.tanh(z / 2) + 1) / 2,
        lambda condition, z: np.where(condition, sigma(z), sigma(z)),
        lambda condition, z: np.where(condition, sigma(abs(z)), sigma(-abs(z))),
        lambda condition, z: np.where(condition, sigma(-abs(z)), sigma(abs(z))),
    )),
    Row(f.TANH, "the hyperbolic tangent", (
        lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
        lambda z: (np.exp(2 * z) - 1) / (np.exp(2 * z) + 1),
        lambda z: (1 - np.exp(-2 * z)) / (1 + np.exp(-2 * z)),
        lambda z: np.sinh(z) / np.cosh(z),
        lambda z: 2 * sigma(2 * z) - 1,
        lambda z: 1 - 2 / (1 + np.exp(2 * z)),
        lambda z: 2 / (1 + np.exp(-2 * z)) - 1,
    )),
    Row(f.RELU, "the rectified linear unit", (
        lambda z: np.maximum(z, 0.0),
        lambda z: np.fmax(z, 0.0),
        lambda z: np.clip(z, 0.0, np.inf),
        lambda condition, z: z * condition,
        lambda condition, z: np.where(condition, z, 0.0),
        lambda condition, z: np.where(condition, 0.0, z),
        lambda z: (z + abs(z)) / 2,
    )),
    Row(f.LEAKY_RELU, "the leaky rectified linear unit", (
        lambda z, alpha: np.maximum(alpha * z, z),
        lambda condition, z, alpha: np.where(condition, z, alpha * z),
        lambda condition, z, alpha: np.where(condition, alpha * z, z),
        lambda z, alpha: relu(z) + alpha * np.minimum(z, 0.0),
    ), scale=bent),
    Row(f.ELU, "the exponential linear unit", (
        lambda condition, z, alpha, k: np.where(condition, z, alpha * np.exp(z) + k),
    )),
    Row(f.SOFTPLUS, "softplus", (
        lambda z: np.log(1 + np.exp(z)),
        lambda z: np.logaddexp(z, 0.0),
        lambda z: z + softplus(-z),
        lambda z: relu(z) + softplus(-abs(z)),
    )),
    Row(f.SILU, "the sigmoid linear unit (swish)", (
        lambda z: z * sigma(z),
        lambda z: z / (1 + np.exp(-z)),
    )),
    Row(f.GELU, "the Gaussian error linear unit", (
        lambda z: 0.5 * z * (1 + erf(z / math.sqrt(2))),
    )),
    Row(f.GELU_TANH, "the Gaussian error linear unit, by its approximation with tanh", (
        lambda z: 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
        lambda z: z * sigma(2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)),
    )),
    Row(f.LOGSUMEXP, "log-sum-exp", (
        lambda x: np.log(np.sum(np.exp(x))),
        lambda x, c: c + logsumexp(x - c),
    )),
    Row(f.SOFTMAX, "softmax", (
        lambda x: np.exp(x) / np.sum(np.exp(x)),
        lambda x: np.exp(x - logsumexp(x)),
        lambda x: np.exp(log_softmax(x)),
        lambda x, c: softmax(x - c),
    )),
    Row(f.LOG_SOFTMAX, "log-softmax", (
        lambda x: x - logsumexp(x),
        lambda x, c: log_softmax(x - c),
    )),
    Row(f.GUARDED_BCE, "the binary cross-entropy, with an ε in its logarithms", (
        lambda y, p, eps, k: -(y * np.log(p + eps) + (1 - y) * np.log(k - p)),
    ), scale=guarded, total=True),
    Row(f.GUARDED_CROSS_ENTROPY, "the cross-entropy, with an ε in its logarithm", (
        lambda y, p, eps: -np.sum(y * np.log(p + eps)),
    ), scale=guarded, total=True),
    Row(f.BCE, "the binary cross-entropy", (
        lambda y, p: -(y * np.log(p) + (1 - y) * np.log(1 - p)),
        lambda y, p: cross_entropy(y, p) + cross_entropy(1 - y, 1 - p),
    ), scale=signed, total=True),
    Row(f.BCE_WITH_LOGITS, "the binary cross-entropy of a sigmoid", (
        lambda y, z: softplus(z) - y * z,
        lambda y, z: relu(z) - y * z + softplus(-abs(z)),
        lambda y, z: y * softplus(-z) + (1 - y) * softplus(z),
    ), scale=signed, total=True),
    Row(f.SOFTMAX_CROSS_ENTROPY, "the cross-entropy of a softmax", (
        lambda y, z: -np.sum(y * log_softmax(z)),
        lambda z: -pick(log_softmax(z)),
        lambda z: logsumexp(z) - pick(z),
        lambda y, z: logsumexp(z) - np.sum(y * z),
    ), scale=signed, total=True),
    Row(f.CROSS_ENTROPY, "the cross-entropy", (
        lambda y, p: -np.sum(y * np.log(p)),
        lambda p: -np.log(pick(p)),
        lambda p: -pick(np.log(p)),
    ), probable=True, scale=signed, total=True),
    Row(f.VAR, "the variance", (
        lambda x, k: np.sum((x - k * np.sum(x)) ** 2),
    ), scale=as_inside),
    Row(f.VAR, "the variance", (
        lambda x, k, k2: k * np.sum(x**2) - k2 * np.sum(x) ** 2,
    )),
    Row(f.STD, "the standard deviation", (
        lambda x: np.sqrt(var(x)),
    ), known=False),
    Row(f.NORMALISED, "standardised: mean 0 and variance 1", (
        lambda x, k, eps: (x - k * np.sum(x)) / np.sqrt(var(x) + eps),
        lambda x, k: (x - k * np.sum(x)) / np.sqrt(var(x)),
    )),
    Row(f.RMS_NORMALISED, "divided by its root mean square", (
        lambda x, eps: x / np.sqrt(np.sum(x**2) + eps),
    ), scale=of_mean_square),
    Row(f.HUBER, "the Huber loss", (
        lambda condition, d, delta, k: np.where(condition, 0.5 * d**2, delta * abs(d) + k),
        lambda condition, d, delta, k: np.where(condition, delta * abs(d) + k, 0.5 * d**2),
    ), scale=any_multiple, total=True),
    Row(f.SQUARED_ERROR, "the squared error", (
        lambda a, b: np.sum((a - b) ** 2),
        lambda a, b: (a - b) ** 2,
    ), scale=any_multiple, known=False, last=True, symmetric=True),
    Row(f.ABSOLUTE_ERROR, "the absolute error", (
        lambda a, b: np.sum(abs(a - b)),
    ), scale=any_multiple, known=False, last=True, symmetric=True),
    Row(f.RMS, "the root mean square", (
        lambda x: np.sqrt(np.sum(x**2)),
    ), scale=mean_square, known=False),
    Row(f.NORM, "the Euclidean norm", (
        lambda x: np.sqrt(np.sum(x**2)),
    ), known=False),
    Row(f.MEAN, "the mean", (
        summed,
    ), scale=averaged, known=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Spelled:
    """A row, one of its spellings, and the pattern of that.

    ``summed`` says that it is the sum of what the row is.
    """

    row: Row
    pattern: Pattern
    arguments: tuple[str, ...]
    summed: bool = False


@functools.cache
def patterns() -> dict[tuple[Any, ...], tuple[Spelled, ...]]:
    """The patterns of all rows by the kind of form that they match, in the table's order."""
    found: dict[tuple[Any, ...], list[Spelled]] = {}
    for row in TABLE:
        for spelling in row.spellings:
            spelled = _spelled(row, spelling)
            found.setdefault(spelled.pattern.head, []).append(spelled)
        arguments = {tuple(n for n in _parameters(s) if n not in FREE) for s in row.spellings}
        for names in sorted(arguments) if row.total else ():
            spelled = _summed(row, names)
            found.setdefault(spelled.pattern.head, []).append(spelled)
    return {kind: tuple(several) for kind, several in found.items()}


def _parameters(spelling: Spelling) -> tuple[str, ...]:
    return tuple(inspect.signature(spelling).parameters)


def _spelled(row: Row, spelling: Spelling) -> Spelled:
    graph = Graph()
    names = _parameters(spelling)
    written = spelling(*[graph.input(name) for name in names])
    numbers = NUMBERS.intersection(names)
    arguments = tuple(n for n in names if n not in FREE)
    return Spelled(row, pattern(written, numbers, loss=row.total), arguments)


def _summed(row: Row, names: tuple[str, ...]) -> Spelled:
    graph = Graph()
    own = _call(row.function)(*[graph.input(name) for name in names])
    numbers = NUMBERS.intersection(names)
    return Spelled(row, pattern(np.sum(own), numbers, summed=True), names, summed=True)
