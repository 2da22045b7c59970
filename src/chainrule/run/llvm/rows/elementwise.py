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
        return elementwise(
            b,
            value.shape,
            args,
            lambda *xs: cast(element(*[cast(x, inside) for x in xs]), value.dtype),
        )

    for name in names:
        RULES[name] = lower


# A Python number of a kind takes on the dtype of its company.
_WEAK = {"f": 0.0, "i": 0, "b": False}


def computing_dtype(value: Value) -> np.dtype[Any]:
    """The dtype in which NumPy performs an elementwise operation."""
    if value.dtype.kind == "f":
        return value.dtype
    kinds: list[Any] = [_WEAK[a.dtype.kind] if a.weak else a.dtype for a in value.args]
    found = np.result_type(*kinds)
    # Python's own truth values are added as whole numbers.
    return value.dtype if value.dtype.kind == "i" and found.kind == "b" else found


def _named(name: str) -> Element:
    return lambda *xs: op(name, xs[0].dtype, *xs)


def _condition(name: str) -> Element:
    return lambda *xs: op(name, np.bool_, *xs)


for _name in ("subtract", "negative", "abs"):
    pointwise([_name], _named(_name), "fi")
for _name in ("maximum", "minimum"):
    pointwise([_name], _named(_name), "fib")
for _name in (
    "divide", "copysign", "fmax", "fmin", "floor", "ceil", "trunc", "sqrt", "exp", "exp2", "expm1",
    "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2",
    "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "cbrt", "hypot", "erf", "erfc",
    "gamma", "gammaln", "log_expit",
):  # fmt: skip
    pointwise([_name], _named(_name))
for _name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
    pointwise([_name], _condition(_name), "fib")


def _of_truths(name: str, truths: str) -> None:
    """Arithmetic that is logic on truth values."""

    def element(x: Expr, y: Expr) -> Expr:
        return op(truths if x.dtype == np.bool_ else name, x.dtype, x, y)

    pointwise([name], element, "fib")


_of_truths("add", "logical_or")
_of_truths("multiply", "logical_and")


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


def _of_kind(name: str, otherwise: bool) -> None:
    """A question about a float; the answer for all whole numbers and truth values is known."""
    pointwise(
        [name],
        lambda x: op(name, np.bool_, x) if x.dtype.kind == "f" else const(otherwise, np.bool_),
        "fib",
    )


_of_kind("isnan", False)
_of_kind("isfinite", True)
_of_kind("isinf", False)
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


def choice(condition: Expr, x: Expr, y: Expr) -> Expr:
    """``x`` where the condition holds, else ``y``."""
    return op("where", x.dtype, condition, x, y)


def _compared(name: str, x: Expr, y: Expr) -> Expr:
    return op(name, np.bool_, x, y)


def _other_sign(x: Expr, y: Expr) -> Expr:
    """Whether exactly one of the two is negative."""
    zero = _zero(x)
    return op("logical_xor", np.bool_, _compared("less", x, zero), _compared("less", y, zero))


def _safe_divisor(y: Expr) -> tuple[Expr, Expr, Expr]:
    """A divisor of whole numbers that never fails, 1 instead of 0 and −1; where it was these."""
    zero, minus = _compared("equal", y, _zero(y)), _compared("equal", y, const(-1, y.dtype))
    return choice(op("logical_or", np.bool_, zero, minus), _one(y), y), zero, minus


def _fmod(x: Expr, y: Expr) -> Expr:
    """What is left over, with the sign of ``x``; for whole numbers 0 when divided by 0."""
    if x.dtype.kind == "f":
        return op("fmod", x.dtype, x, y)
    return op("fmod", x.dtype, x, _safe_divisor(y)[0])


def _remainder(x: Expr, y: Expr) -> Expr:
    """What is left over, with the sign of ``y``."""
    left = _fmod(x, y)
    some = _compared("not_equal", left, _zero(x))
    moved = op("add", x.dtype, left, y)
    turned = op("logical_and", np.bool_, some, _other_sign(left, y))
    if x.dtype.kind == "i":
        return choice(turned, moved, left)
    found = choice(turned, moved, choice(some, left, op("copysign", x.dtype, _zero(x), y)))
    return choice(_compared("equal", y, _zero(y)), left, found)


def _floor_divide(x: Expr, y: Expr) -> Expr:
    """The quotient rounded down; for floats as Python has it, by way of what is left over."""
    dtype = x.dtype
    if dtype.kind == "i":
        divisor, zero, minus = _safe_divisor(y)
        quotient = op("divide", dtype, x, divisor)
        left = _compared("not_equal", op("fmod", dtype, x, divisor), _zero(x))
        down = op("logical_and", np.bool_, left, _other_sign(x, divisor))
        found = choice(down, op("subtract", dtype, quotient, _one(x)), quotient)
        return choice(zero, _zero(x), choice(minus, op("negative", dtype, x), found))
    left = op("fmod", dtype, x, y)
    some = _compared("not_equal", left, _zero(x))
    turned = op("logical_and", np.bool_, some, _other_sign(left, y))
    quotient = op("divide", dtype, op("subtract", dtype, x, left), y)
    quotient = choice(turned, op("subtract", dtype, quotient, _one(x)), quotient)
    down = op("floor", dtype, quotient)
    beyond = _compared("greater", op("subtract", dtype, quotient, down), const(0.5, dtype))
    whole = choice(beyond, op("add", dtype, down, _one(x)), down)
    plain = op("divide", dtype, x, y)
    none = op("copysign", dtype, _zero(x), plain)
    found = choice(_compared("equal", quotient, _zero(x)), none, whole)
    return choice(_compared("equal", y, _zero(y)), plain, found)


pointwise(["fmod"], _fmod, "fi")
pointwise(["remainder"], _remainder, "fi")
pointwise(["floor_divide"], _floor_divide, "fi")


@rule("round")
def _round(b: Lowering, value: Value, x: Tensor) -> Tensor:
    """To even at halves; with decimals a power of ten times the number, as NumPy does it."""
    decimals = value.attrs.get("decimals", 0)
    dtype = value.dtype
    if dtype.kind == "i" and decimals >= 0:
        return x
    if dtype.kind != "f" or abs(decimals) > 22:
        raise Unsupported("round")
    if not decimals:
        return elementwise(b, value.shape, (x,), lambda e: op("rint", dtype, e))
    scale = const(10.0 ** abs(decimals), dtype)
    there, back = ("multiply", "divide") if decimals > 0 else ("divide", "multiply")
    return elementwise(
        b,
        value.shape,
        (x,),
        lambda e: op(back, dtype, op("rint", dtype, op(there, dtype, e, scale)), scale),
    )


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
    return elementwise(
        b,
        value.shape,
        (condition, x, y),
        lambda c, p, q: op("where", dtype, truth(c), cast(p, dtype), cast(q, dtype)),
    )


@rule("clip")
def _clip(b: Lowering, value: Value, *args: Tensor) -> Tensor:
    dtype = computing_dtype(value)
    if value.attrs or dtype.kind not in "fi":
        raise Unsupported("clip")
    return elementwise(
        b,
        value.shape,
        args,
        lambda x, low, high: op(
            "minimum",
            dtype,
            op("maximum", dtype, cast(x, dtype), cast(low, dtype)),
            cast(high, dtype),
        ),
    )


@rule("power")
def _power(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    dtype = value.dtype
    exponent = value.args[1].uniform
    if dtype.kind != "f" and (dtype.kind != "i" or exponent not in (0, 1, 2, 3, 4)):
        raise Unsupported("power of whole numbers")
    if exponent is not None and float(exponent) in _SMALL_POWERS:
        return (
            elementwise(
                b, value.shape, (x,), lambda base: _SMALL_POWERS[float(exponent)](cast(base, dtype))
            )
            if math.prod(value.shape) == x.size
            else _whole_power(b, value, x, y)
        )
    return _whole_power(b, value, x, y)


def _whole_power(b: Lowering, value: Value, x: Tensor, y: Tensor) -> Tensor:
    dtype = value.dtype
    return elementwise(
        b, value.shape, (x, y), lambda p, q: op("power", dtype, cast(p, dtype), cast(q, dtype))
    )


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


def _whole(x: Expr, dtype: Any) -> Expr:
    """A float as a whole number: what has no place there is the smallest one, as on x86."""
    limit = const(2.0 ** (8 * dtype.itemsize - 1), x.dtype)
    fits = _compared("less", op("abs", x.dtype, op("trunc", x.dtype, x)), limit)
    return choice(fits, cast(x, dtype), const(np.iinfo(dtype).min, dtype))


@rule("astype", "truncate")
def _astype(b: Lowering, value: Value, x: Tensor) -> Tensor:
    dtype = value.dtype
    if dtype == np.bool_:
        return elementwise(b, value.shape, (x,), truth)
    if dtype.kind == "i" and x.dtype.kind == "f":
        return elementwise(b, value.shape, (x,), lambda e: _whole(e, dtype))
    return elementwise(b, value.shape, (x,), lambda e: cast(e, dtype))


@rule("copy", "stop_gradient")
def _copy(b: Lowering, value: Value, x: Tensor) -> Tensor:
    return x
