"""Simpler values, found while a program is built: algebra that changes no bit of a result.

Two rules are declared safe though they may change the last bit: a multiple of a sum that is there,
and a sum that is taken before a product of matrices.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS
from chainrule.graph.primitive import Primitive
from chainrule.rules.arithmetic import ADD, DIVIDE, MULTIPLY, NEGATIVE, NOT_EQUAL, SUBTRACT
from chainrule.rules.piecewise import WHERE
from chainrule.rules.reductions import ANY, MAX, MEAN, MIN, PROD, SUM, reduced_axes
from chainrule.rules.shapes import BROADCAST, CAST, RESHAPE
from chainrule.run.llvm.program import CHOICES, SIMPLER, Program, Value
from chainrule.run.llvm.rows.sums_of_products import sum_before_product


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


@_simpler("divide", "power")
def _by_one(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
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


@_simpler("any")
def _any(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """Whether anything was put into a row, where it is known into which rows."""
    (x, *more) = args
    if more or attrs.keys() != {"axis", "keepdims"} or not x.size:
        return None
    axes = set(reduced_axes(attrs["axis"], len(x.shape)))
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform, shape))
    if x.op is None or x.op.name != "not_equal":
        return None
    put, zero = x.args
    if zero.uniform is None or zero.uniform != 0 or put.op is None or put.op.name != "scatter":
        return None
    values, *places = put.args
    one_by_one = put.attrs["index"] == ("array",) * len(x.shape) and len(places) == len(x.shape)
    if values.uniform is None or not values.uniform > 0 or not one_by_one:
        return None
    kept = [places[a].constant for a in range(len(x.shape)) if a not in axes]
    if not kept or any(k is None or k.dtype.kind != "i" for k in kept):
        return None
    found = np.zeros([n for a, n in enumerate(x.shape) if a not in axes], bool)
    try:
        found[tuple(np.broadcast_to(k, values.shape) for k in kept)] = True
    except (IndexError, ValueError):
        return None
    found = found.reshape(shape)
    return program.constant(np.broadcast_to(np.True_, shape) if found.all() else found)


def _logical(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    x, y = args
    return _same(program, x, shape, dtype) if x is y else None


@_simpler("logical_or")
def _or(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    for x, y in (args, args[::-1]):
        if x.uniform is not None and x.dtype == np.bool_:
            if x.uniform:
                return program.constant(np.broadcast_to(np.True_, shape))
            return _same(program, y, shape, dtype)
    return _logical(program, args, attrs, shape, dtype)


@_simpler("logical_and")
def _and(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    for x, y in (args, args[::-1]):
        if x.uniform is not None and x.dtype == np.bool_:
            if not x.uniform:
                return program.constant(np.broadcast_to(np.False_, shape))
            return _same(program, y, shape, dtype)
    return _logical(program, args, attrs, shape, dtype)


# A choice between two numbers (or a few: less than this part of what there is to choose for) stays
# one, whatever is done with it and other numbers: it is done with these before, once.
_FEW = 8


def _choice(x: Value) -> tuple[Value, Value, Value] | None:
    """The condition of a choice between few numbers, and these; ``None`` if it is none."""
    if x.op is None:
        return None
    if x.op.name == "astype" and x.args[0].dtype == np.bool_ and x.dtype.kind == "f":
        return x.args[0], x, x
    if x.op.name == "where" and x.args[0].shape == x.shape:
        condition, a, b = x.args
        few, others = _few(a, x.size), _few(b, x.size)
        return None if few is None or others is None else (condition, few, others)
    return None


def _few(x: Value, size: int) -> Value | None:
    """``x`` before it was repeated, if there are few numbers for a result of some size."""
    while x.op is not None and x.op.name == "broadcast_to":
        x = x.args[0]
    return x if x.uniform is not None or x.size * _FEW <= size else None


def _of_choices(
    op: Primitive, program: Program, args: Any, attrs: Any, shape: Any, dtype: Any
) -> Value | None:
    """``op`` of choices by one condition, and of few numbers, as a choice."""
    condition: Value | None = None
    sides: tuple[list[Value], list[Value]] = [], []
    for x in args:
        choice = _choice(x)
        if choice is None or (condition is not None and choice[0] is not condition):
            few = _few(x, math.prod(shape))
            if few is None:
                return None
            pair = few, few
        else:
            condition = choice[0]
            if choice[1] is x:  # a truth value as a number
                one = np.ones((), x.dtype)
                pair = program.constant(one[()]), program.constant((one * 0)[()])
            else:
                pair = _as(program, choice[1], x.dtype), _as(program, choice[2], x.dtype)
        for side, value in zip(sides, pair, strict=True):
            side.append(value)
    if condition is None or condition.shape != shape:
        return None
    chosen = (condition, *[_of_few(op, program, side, attrs, dtype) for side in sides])
    simpler = _where(program, chosen, NO_ATTRS, shape, dtype)
    return program.plain(WHERE, chosen, NO_ATTRS, shape, dtype) if simpler is None else simpler


def _of_few(op: Primitive, program: Program, args: list[Value], attrs: Any, dtype: Any) -> Value:
    known = [x.uniform for x in args]
    if all(k is not None for k in known):
        with np.errstate(all="ignore"):
            return program.constant(np.asarray(op.evaluate(*known, **attrs)).astype(dtype)[()])
    shape = np.broadcast_shapes(*[x.shape for x in args])
    return program.apply(op, args, attrs, shape, dtype)


def _or_of_choices(op: Primitive, rule: Callable[..., Value | None] | None) -> Any:
    def simpler(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
        found = None if rule is None else rule(program, args, attrs, shape, dtype)
        if found is None and any(x.op is not None and x.op.name in CHOICES for x in args):
            found = _of_choices(op, program, args, attrs, shape, dtype)
        return found

    return simpler


for _op in (MULTIPLY, DIVIDE, ADD, SUBTRACT, NEGATIVE, NOT_EQUAL, WHERE):
    SIMPLER[_op.name] = _or_of_choices(_op, SIMPLER.get(_op.name))


@_simpler("reshape")
def _reshape(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.shape == shape:
        return x  # type: ignore[no-any-return]
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform, shape))
    if x.op is not None and x.op.name == "reshape":
        return program.apply(x.op, x.args, {"shape": shape}, shape, dtype)
    return None


@_simpler("transpose")
def _transpose(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    axes = attrs["axes"]
    if axes == tuple(range(len(axes))):
        return x  # type: ignore[no-any-return]
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform, shape))
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


@_simpler("copy")
def _copy(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    return x if x.dtype == dtype else None


@_simpler("astype")
def _astype(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.dtype == dtype:
        return x  # type: ignore[no-any-return]
    if x.op is None or x.op.name != "where":
        return None
    # Numbers to choose from, of another dtype: they are changed once, and not in every place.
    condition, *numbers = x.args
    for number in numbers:
        if number.uniform is None and (number.op is None or number.op.name != "where"):
            return None
    chosen = [_as(program, number, dtype) for number in numbers]
    return program.apply(WHERE, (condition, *chosen), NO_ATTRS, shape, dtype)


def _as(program: Program, x: Value, dtype: Any) -> Value:
    """``x`` in a dtype."""
    if x.dtype == dtype:
        return x
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform.astype(dtype), x.shape))
    return program.apply(CAST, (x,), {"dtype": dtype}, x.shape, dtype)


def _reduced(
    op: Primitive, program: Program, args: Any, attrs: Any, shape: Any, dtype: Any
) -> Value | None:
    """One way of writing what is reduced, so that the same is computed once."""
    (x, *more) = args
    if more or not x.size:
        return None
    if x.size == math.prod(shape):  # each is reduced by itself
        if x.dtype != dtype:
            return None
        return program.apply(RESHAPE, (x,), {"shape": shape}, shape, dtype)
    if attrs.keys() != {"axis", "keepdims"}:
        return None
    axes = tuple(sorted(reduced_axes(attrs["axis"], len(x.shape))))
    plain = {"axis": None if len(axes) == len(x.shape) else axes, "keepdims": False}
    kept = tuple([n for a, n in enumerate(x.shape) if a not in axes])
    if plain != attrs:
        total = program.apply(op, args, plain, kept, dtype)
        return program.apply(RESHAPE, (total,), {"shape": shape}, shape, dtype)
    if op is not SUM:
        return None
    found = _multiple(program, x, axes, attrs, shape, dtype)
    return sum_before_product(program, x, axes) if found is None and x.dtype == dtype else found


for _op in (SUM, MEAN, PROD, MAX, MIN):
    SIMPLER[_op.name] = functools.partial(_reduced, _op)


def _multiple(
    program: Program, x: Value, axes: Any, attrs: Any, shape: Any, dtype: Any
) -> Value | None:
    """The sum over ``x``, from the sum over what it is a multiple of if that is computed anyway."""
    if x.op is None or x.dtype != dtype or dtype.kind != "f":
        return None
    name, given = x.op.name, x.args
    pairs: tuple[tuple[Value, Value | None], ...]
    if name == "negative":
        pairs = ((given[0], None),)
    elif name == "divide":
        pairs = ((given[0], given[1]),)
    elif name == "multiply":
        pairs = ((given[0], given[1]), (given[1], given[0]))
    else:
        return None
    for part, factor in pairs:
        if part.shape != x.shape:
            continue
        alike = None if factor is None else _along(program, factor, x.shape, axes)
        if factor is not None and alike is None:
            continue
        total = program.known(SUM, (part,), attrs, dtype)
        if total is None:
            total = _multiple(program, part, axes, attrs, shape, dtype)
        if total is not None:
            terms = (total,) if alike is None else (total, alike)
            return program.apply(x.op, terms, NO_ATTRS, shape, dtype)
    return None


def _along(program: Program, factor: Value, shape: Any, axes: Any) -> Value | None:
    """What all terms of a sum are multiplied by, in its shape; ``None`` if they differ."""
    while factor.op is not None and factor.op.name == "broadcast_to":
        factor = factor.args[0]
    whole = (*(1,) * (len(shape) - len(factor.shape)), *factor.shape)
    if any(whole[a] != 1 for a in axes):
        return None
    kept = tuple([n for a, n in enumerate(whole) if a not in axes])
    return program.apply(RESHAPE, (factor,), {"shape": kept}, kept, factor.dtype)


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
