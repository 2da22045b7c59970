"""Reductions: elements combined over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.rules.reductions import reduced_axes
from chainrule.run.llvm.expressions import cast, const, op
from chainrule.run.llvm.lowering import (
    Lowering,
    Tensor,
    Unsupported,
    converted,
    elementwise,
    reshaped,
    rule,
)
from chainrule.run.llvm.program import Value
from chainrule.run.llvm.rows.elementwise import truth


def _axes(value: Value) -> tuple[int, ...]:
    return reduced_axes(value.attrs.get("axis"), len(value.args[0].shape))


def reduction(b: Lowering, value: Value, x: Tensor, combine: str, initial: Any) -> Tensor:
    """Elements combined over the axes that the primitive's attributes name."""
    return reshaped(b, b.reduce(x, _axes(value), combine, initial), value.shape)


@rule("sum")
def _sum(b: Lowering, value: Value, x: Tensor) -> Tensor:
    if value.dtype.kind not in "fi":
        raise Unsupported("sum")
    return reduction(b, value, converted(b, x, value.dtype), "add", 0)


@rule("prod")
def _prod(b: Lowering, value: Value, x: Tensor) -> Tensor:
    if value.dtype.kind not in "fi":
        raise Unsupported("prod")
    return reduction(b, value, converted(b, x, value.dtype), "multiply", 1)


@rule("mean")
def _mean(b: Lowering, value: Value, x: Tensor) -> Tensor:
    if value.dtype.kind != "f":
        raise Unsupported("mean")
    total = reduction(b, value, converted(b, x, value.dtype), "add", 0)
    n = math.prod(x.shape[a] for a in _axes(value))
    return elementwise(
        b, value.shape, (total,), lambda t: op("divide", t.dtype, t, const(n, t.dtype))
    )


@rule("max", "min")
def _extreme(b: Lowering, value: Value, x: Tensor) -> Tensor:
    assert value.op is not None
    if value.dtype.kind not in "fi" or not x.size:
        raise Unsupported(value.op.name)
    most = value.op.name == "max"
    if value.dtype.kind == "f":
        initial: Any = -np.inf if most else np.inf
    else:
        limits = np.iinfo(value.dtype)
        initial = limits.min if most else limits.max
    return reduction(b, value, x, "maximum" if most else "minimum", initial)


@rule("any", "all")
def _any(b: Lowering, value: Value, x: Tensor) -> Tensor:
    assert value.op is not None
    flags = elementwise(b, x.shape, (x,), truth)
    every = value.op.name == "all"
    return reduction(b, value, flags, "logical_and" if every else "logical_or", every)


@rule("count_nonzero")
def _count(b: Lowering, value: Value, x: Tensor) -> Tensor:
    ones = elementwise(b, x.shape, (x,), lambda e: cast(truth(e), value.dtype))
    return reduction(b, value, ones, "add", 0)


@rule("nanmax", "nanmin")
def _extreme_number(b: Lowering, value: Value, x: Tensor) -> Tensor:
    """NaN only where there is no number."""
    assert value.op is not None
    if value.dtype.kind != "f" or not x.size:
        raise Unsupported(value.op.name)
    return reduction(b, value, x, "fmax" if value.op.name == "nanmax" else "fmin", np.nan)
