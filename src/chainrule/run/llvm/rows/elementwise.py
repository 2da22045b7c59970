"""Elementwise operations: the number of one element of the result, of numbers of the arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Expr, cast, const, op
from chainrule.run.llvm.lowering import (
    DTYPES,
    RULES,
    Element,
    Lowering,
    Tensor,
    Unsupported,
    elementwise,
    rule,
)
from chainrule.run.llvm.program import Value


def pointwise(names: Sequence[str], element: Element, domain: str = "f") -> None:
    """A rule for elementwise primitives: ``element(*numbers)`` of the numbers of one element.

    Arguments are converted to the dtype of the result where that is of a kind in ``domain``, else
    to the one that NumPy would compute in.
    """

    def lower(b: Lowering, value: Value, *args: Tensor) -> Tensor:
        if value.attrs:
            raise Unsupported(f"{value.op} with options")
        inside = computing_dtype(value)
        if inside not in DTYPES or inside.kind not in domain:
            raise Unsupported(f"{value.op} of {inside}")
        return elementwise(b, value.shape, args, lambda *xs: cast(
            element(*[cast(x, inside) for x in xs]), value.dtype
        ))

    for name in names:
        RULES[name] = lower


# A Python number of a kind takes on the dtype of its company.
_WEAK = {"f": 0.0, "i": 0, "b": False}


def computing_dtype(value: Value) -> np.dtype[Any]:
    """The dtype in which NumPy performs an elementwise operation."""
    if value.dtype.kind == "f":
        return value.dtype
    kinds: list[Any] = [_WEAK[a.dtype.kind] if a.weak else a.dtype for a in value.args]
    return np.result_type(*kinds)


def _named(name: str) -> Element:
    return lambda *xs: op(name, xs[0].dtype, *xs)


def _condition(name: str) -> Element:
    return lambda *xs: op(name, np.bool_, *xs)


for _name in ("add", "subtract", "multiply", "maximum", "minimum", "negative", "abs"):
    pointwise([_name], _named(_name), "fi")
for _name in (
    "divide", "copysign", "fmax", "fmin", "floor", "ceil", "trunc", "sqrt", "exp", "exp2", "expm1",
    "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2",
    "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "cbrt", "hypot", "erf", "erfc",
    "gammaln",
):  # fmt: skip
    pointwise([_name], _named(_name))
for _name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
    pointwise([_name], _condition(_name), "fib")


def _one(x: Expr) -> Expr:
    return const(1, x.dtype)


def _zero(x: Expr) -> Expr:
    return const(0, x.dtype)


def truth(x: Expr) -> Expr:
    """Whether a number is not zero."""
    return x if x.dtype == np.bool_ else op("not_equal", np.bool_, x, _zero(x))


pointwise(["square"], lambda x: op("multiply", x.dtype, x, x), "fi")
pointwise(["reciprocal"], lambda x: op("divide", x.dtype, _one(x), x))
pointwise(["positive"], lambda x: x, "fi")
pointwise(["isnan"], lambda x: op("isnan", np.bool_, x))
pointwise(["isfinite"], lambda x: op("isfinite", np.bool_, x))
pointwise(["isinf"], lambda x: op("isinf", np.bool_, x))
pointwise(["signbit"], lambda x: op("signbit", np.bool_, x))
pointwise(["relu"], lambda x: op("maximum", x.dtype, x, _zero(x)), "fi")
pointwise(["radians"], lambda x: op("multiply", x.dtype, x, const(math.pi / 180, x.dtype)))
pointwise(["degrees"], lambda x: op("multiply", x.dtype, x, const(180 / math.pi, x.dtype)))


def _sign(x: Expr) -> Expr:
    """1, −1, 0, or NaN."""
    positive = op("greater", np.bool_, x, _zero(x))
    negative = op("less", np.bool_, x, _zero(x))
    zero = op("where", x.dtype, op("equal", np.bool_, x, _zero(x)), _zero(x), x)
    other = op("where", x.dtype, negative, const(-1, x.dtype), zero)
    return op("where", x.dtype, positive, _one(x), other)


pointwise(["sign"], _sign, "fi")
pointwise(["sigmoid"], lambda x: op("expit", x.dtype, x))


def _logical(name: str) -> None:
    def lower(b: Lowering, value: Value, *args: Tensor) -> Tensor:
        if value.dtype != np.bool_:
            raise Unsupported(f"{name} of whole numbers")
        return elementwise(b, value.shape, args, lambda *xs: op(name, np.bool_, *map(truth, xs)))

    RULES[name] = lower


for _name in ("logical_and", "logical_or", "logical_xor", "logical_not"):
    _logical(_name)


@rule("where")
def _where(b: Lowering, value: Value, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    dtype = value.dtype
    return elementwise(b, value.shape, (condition, x, y), lambda c, p, q: op(
        "where", dtype, truth(c), cast(p, dtype), cast(q, dtype)
    ))


@rule("clip")
def _clip(b: Lowering, value: Value, *args: Tensor) -> Tensor:
    dtype = computing_dtype(value)
    if value.attrs or dtype.kind not in "fi":
        raise Unsupported("clip")
    return elementwise(b, value.shape, args, lambda x, low, high: op(
        "minimum", dtype,
        op("maximum", dtype, cast(x, dtype), cast(low, dtype)), cast(high, dtype),
    ))


@rule("power")
def _power(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    dtype = value.dtype
    if dtype.kind != "f":
        raise Unsupported("power of whole numbers")
    exponent = value.args[1].uniform
    if exponent is not None and float(exponent) in _SMALL_POWERS:
        return elementwise(
            b, value.shape, (x,), lambda base: _SMALL_POWERS[float(exponent)](cast(base, dtype))
        ) if math.prod(value.shape) == x.size else _whole_power(b, value, x, y)
    return _whole_power(b, value, x, y)


def _whole_power(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    dtype = value.dtype
    return elementwise(b, value.shape, (x, y), lambda p, q: op(
        "power", dtype, cast(p, dtype), cast(q, dtype)
    ))


def _times(x: Expr, y: Expr) -> Expr:
    return op("multiply", x.dtype, x, y)


def _inverse(x: Expr) -> Expr:
    return op("divide", x.dtype, _one(x), x)


# Powers as products: at most one rounding more than the power itself.
_SMALL_POWERS: dict[float, Callable[[Expr], Expr]] = {
    0.0: _one, 1.0: lambda x: x, 2.0: lambda x: _times(x, x),
    3.0: lambda x: _times(_times(x, x), x), 4.0: lambda x: _times(_times(x, x), _times(x, x)),
    -1.0: _inverse, -2.0: lambda x: _times(_inverse(x), _inverse(x)),
}  # fmt: skip


@rule("astype", "truncate")
def _astype(b: Lowering, value: Value, x: Tensor) -> Tensor:
    if value.dtype.kind in "iu" and x.dtype.kind == "f":
        raise Unsupported("a float as a whole number")  # what overflows is NumPy's own business
    return elementwise(b, value.shape, (x,), lambda e: (
        truth(e) if value.dtype == np.bool_ else cast(e, value.dtype)
    ))


@rule("copy", "stop_gradient")
def _copy(b: Lowering, value: Value, x: Tensor) -> Tensor:
    return x
