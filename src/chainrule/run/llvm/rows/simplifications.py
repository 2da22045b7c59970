"""Simpler values: algebra that changes no bit of a result, done while a program is built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS
from chainrule.rules.arithmetic import MULTIPLY, NEGATIVE
from chainrule.rules.reductions import ANY, SUM
from chainrule.rules.shapes import BROADCAST, RESHAPE
from chainrule.run.llvm.program import SIMPLER, Program, Value


def _simpler(*names: str) -> Callable[[Callable[..., Value | None]], Callable[..., Value | None]]:
    def add(rule: Callable[..., Value | None]) -> Callable[..., Value | None]:
        for name in names:
            SIMPLER[name] = rule
        return rule

    return add


def _is(value: Value, number: float) -> bool:
    return (
        value.uniform is not None and value.uniform == number
        and (number != 0 or bool(np.signbit(value.uniform)) == (math.copysign(1, number) < 0))
    )  # fmt: skip


def _same(program: Program, x: Value, shape: Any, dtype: Any) -> Value | None:
    """``x`` in the shape of a result, where its dtype is right already."""
    if x.dtype != dtype:
        return None
    if x.shape == shape:
        return x
    return program.apply(BROADCAST, (x,), {"shape": shape}, shape, dtype)


@_simpler("multiply")
def _multiply(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    x, y = args
    if x.uniform is not None and y.uniform is None:
        x, y = y, x
    if y.uniform is None:
        return None
    if _is(y, 1.0):
        return _same(program, x, shape, dtype)
    if _is(y, -1.0) and dtype.kind == "f" and x.shape == shape and x.dtype == dtype:
        return program.apply(NEGATIVE, (x,), NO_ATTRS, shape, dtype)
    return None


@_simpler("divide")
def _divide(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 1.0) else None


@_simpler("add")
def _add(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    for x, y in (args, args[::-1]):
        if _is(y, -0.0):
            return _same(program, x, shape, dtype)
    return None


@_simpler("subtract")
def _subtract(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 0.0) else None


@_simpler("negative")
def _negative(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    return x.args[0] if x.op is not None and x.op.name == "negative" else None


@_simpler("power")
def _power(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 1.0) else None


@_simpler("where")
def _where(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    condition, x, y = args
    if condition.uniform is not None:
        return _same(program, x if condition.uniform else y, shape, dtype)
    return _same(program, x, shape, dtype) if x is y else None


@_simpler("not_equal")
def _not_equal(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """Whether indicators, moved and added up, are not zero: without the numbers between."""
    x, y = args
    if y.uniform is None or y.uniform != 0 or x.op is None:
        return None
    name = x.op.name
    if name == "where":
        mask, one, zero = x.args
        if one.uniform is not None and one.uniform != 0 and zero.uniform == 0:
            return _same(program, mask, shape, dtype)
    elif name == "astype":
        if x.args[0].dtype == np.bool_:
            return _same(program, x.args[0], shape, dtype)
    elif name in ("reshape", "transpose", "broadcast_to", "index"):
        inside = _indicated(program, x.args[0])
        if inside is not None:
            return program.apply(x.op, (inside, *x.args[1:]), x.attrs, shape, dtype)
    elif name == "sum":
        inside = _indicated(program, x.args[0])
        if inside is not None and _positive(x.args[0]):
            return program.apply(ANY, (inside,), x.attrs, shape, dtype)
    return None


def _indicated(program: Program, x: Value) -> Value | None:
    """Where an indicator is not zero, if that is known without computing it."""
    if x.uniform is not None:
        return program.constant(np.broadcast_to(np.bool_(x.uniform != 0), x.shape))
    zero = program.constant(0)
    return _not_equal(program, (x, zero), NO_ATTRS, x.shape, np.dtype(np.bool_))


def _positive(x: Value) -> bool:
    """Whether what is added up is a number of ones, so that the sum is zero only if all are."""
    while x.op is not None and x.op.name in ("reshape", "transpose", "broadcast_to", "index"):
        x = x.args[0]
    if x.uniform is not None:
        return bool(x.uniform >= 0)
    if x.op is None:
        return False
    if x.op.name == "astype":
        return x.args[0].dtype == np.bool_
    if x.op.name == "sum":
        return _positive(x.args[0])
    if x.op.name == "where":
        return all(a.uniform is not None and a.uniform >= 0 for a in x.args[1:])
    return False


@_simpler("logical_and", "logical_or")
def _logical(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    x, y = args
    return _same(program, x, shape, dtype) if x is y else None


@_simpler("reshape")
def _reshape(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.shape == shape:
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "reshape":
        return program.apply(x.op, x.args, {"shape": shape}, shape, dtype)
    return None


@_simpler("transpose")
def _transpose(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    axes = attrs["axes"]
    if axes == tuple(range(len(axes))):
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "transpose":
        inner = x.attrs["axes"]
        joined = {"axes": tuple(inner[a] for a in axes)}
        return program.apply(x.op, x.args, joined, shape, dtype)
    return None


@_simpler("broadcast_to")
def _broadcast(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.shape == shape:
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "broadcast_to":
        return program.apply(x.op, x.args, {"shape": shape}, shape, dtype)
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform, shape))
    return None


@_simpler("astype", "copy")
def _astype(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    return x if x.dtype == dtype else None


@_simpler("sum", "mean", "max", "min", "prod")
def _over_one(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """A reduction over axes of length one only moves elements."""
    (x, *_) = args
    if len(args) > 1 or x.dtype != dtype or x.size != math.prod(shape) or not x.size:
        return None
    return program.apply(RESHAPE, (x,), {"shape": shape}, shape, dtype)


@_simpler("matmul")
def _matmul(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """A product with a matrix of equal numbers is a sum, repeated."""
    x, y = args
    if y.uniform is None or len(x.shape) < 2 or len(y.shape) != 2 or x.dtype != y.dtype:
        return None
    if dtype.kind != "f" or not np.isfinite(y.uniform):
        return None
    kept = (*x.shape[:-1], 1)
    over = {"axis": len(x.shape) - 1, "keepdims": True}
    total = program.apply(SUM, (x,), over, kept, dtype)
    if y.uniform != 1:
        total = program.apply(MULTIPLY, (total, y), NO_ATTRS, shape, dtype)
    return program.apply(BROADCAST, (total,), {"shape": shape}, shape, dtype)
