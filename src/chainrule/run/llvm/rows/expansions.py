"""Primitives that are computations of others: they become these before anything is lowered.

An expansion is NumPy code. It is run once on traced arguments of the right shapes and dtypes, and
what that records takes the place of the primitive, so that it is fused and shared like anything
that the user wrote. Where the row of the rule book is computed by such code itself, that is used.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.graph.operand import Attrs, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Tape, Traced, dtype_of, running, shape_of
from chainrule.rules.assignment import REPLACE
from chainrule.rules.book import BOOK
from chainrule.rules.reductions import reduced_axes
from chainrule.rules.shapes import INDEX, SCATTER, astype, split_index
from chainrule.run.llvm.lowering import DTYPES
from chainrule.run.llvm.program import SIMPLER, Program, Value
from chainrule.transforms.loops import scan
from chainrule.transforms.own_rules import BY_AUTHOR
from chainrule.transforms.staging import sketching

# Python's own numbers by the kind of their dtype. A whole number may be an index: 0 always fits.
_NUMBERS: dict[str, Any] = {"f": 0.5, "i": 0, "b": True}
# What acts on each element by itself, although the rule book does not say so.
_PLAIN_MOVES = frozenset(("astype", "truncate", "copy", "stop_gradient"))


def expand(
    name: str, f: Callable[..., Any] | None = None, unless: Callable[..., bool] | None = None
) -> None:
    """Expand the primitive of this name.

    Args:
        name: Of the row.
        f: Computes it, ``f(*args, **attrs)``; what the row itself evaluates when left out.
        unless: Tells of the arguments' values in the program whether they are left to NumPy.
    """
    row = BOOK[name]
    compute = row.evaluate if f is None else f

    def expanded(
        program: Program, args: Sequence[Value], attrs: Attrs, shape: Any, dtype: Any
    ) -> Value | None:
        if dtype not in DTYPES or any(a.dtype not in DTYPES for a in args):
            return None
        if unless is not None and unless(*args):
            return None
        if row.elementwise:
            return _elementwise(program, compute, args, attrs)
        if any(a.size == 0 for a in args):
            return None
        return _staged(program, compute, args, attrs)

    SIMPLER[name] = expanded


def _recorded(
    compute: Callable[..., Any], args: Sequence[Value], attrs: Attrs, examples: Sequence[Any]
) -> tuple[Tape, dict[int, Value], Any]:
    """The tape of a computation on examples, the values of its inputs, and its result there."""
    tape = Tape(staged=True)
    known: dict[int, Value] = {}
    given = []
    for a, x in zip(args, examples, strict=True):
        if a.is_constant:
            given.append(x)
            continue
        traced = Traced(tape, x)
        known[traced.index] = a
        given.append(traced)
    with running(tape), sketching(), np.errstate(all="ignore"):
        result = compute(*given, **attrs)
    return tape, known, result


def _outside(_: Any) -> Value:
    raise AssertionError("an expansion that takes operands from outside")


def _staged(
    program: Program, compute: Callable[..., Any], args: Sequence[Value], attrs: Attrs
) -> Value:
    """A computation on arrays: examples have the arguments' shapes, but all elements are one."""
    examples = [_constant(a) if a.is_constant else _example(a, a.shape) for a in args]
    tape, known, result = _recorded(compute, args, attrs, examples)
    if not isinstance(result, Traced):
        return program.constant(result)
    program.record(tape.records, tape.level, known, _outside)
    return known[result.index]


def _elementwise(
    program: Program, compute: Callable[..., Any], args: Sequence[Value], attrs: Attrs
) -> Value:
    """A computation on each element: it is run on numbers, and shapes follow by broadcasting."""
    examples = [_constant(a) if a.is_constant else _example(a, ()) for a in args]
    tape, known, result = _recorded(compute, args, attrs, examples)
    if not isinstance(result, Traced):
        return program.constant(result)
    for record in tape.records:
        if record.index in known:
            continue
        op = record.op
        assert op is not None
        found = [
            known[a.index] if isinstance(a, Traced) else program.constant(a) for a in record.args
        ]
        if op.name == "index" and record.attrs["index"] == ():
            known[record.index] = found[0]
            continue
        assert op.elementwise or op.name in _PLAIN_MOVES, op.name
        shape = np.broadcast_shapes(*[v.shape for v in found])
        value = program.apply(op, found, record.attrs, shape, dtype_of(record.value))
        value.weak = type(record.value) in (float, int, bool)
        known[record.index] = value
    return known[result.index]


def _example(a: Value, shape: tuple[int, ...]) -> Any:
    number = _NUMBERS[a.dtype.kind]
    if a.weak:
        return number
    one = a.dtype.type(number)
    return np.broadcast_to(one, shape) if shape else one


def _constant(a: Value) -> Any:
    return a.constant.item() if a.weak else a.constant[()]


# ------------------------------------------------------------------------------ rules of the user's


def _of_user(
    op: Primitive, program: Program, args: Sequence[Value], attrs: Attrs, shape: Any, dtype: Any
) -> Value:
    """What a function with a derivative of its own does, if it is made of what is known.

    It may call any library, and branch on values: then it is called as it is.
    """
    if all(a.dtype in DTYPES for a in args):
        try:
            found = _staged(program, op.evaluate, args, attrs)
        except Exception:  # whatever a library raises that is given something else than arrays
            pass
        else:
            if found.shape == shape and found.dtype == dtype:
                return found
    return program.apply(_opaque(op), args, attrs, shape, dtype)


@functools.lru_cache(maxsize=1000)
def _opaque(op: Primitive) -> Primitive:
    return replace(op, name=f"custom_rule {op.name}", structure="any")


SIMPLER[BY_AUTHOR] = _of_user


# ------------------------------------------------------------------------------ as the rows have it

for _name in (
    "sec", "csc", "cot", "arcsec", "arccsc", "arccot", "sech", "csch", "coth", "arcsech", "arccsch",
    "arccoth", "sinc", "logit", "pseudo_huber", "gelu", "logsumexp", "softmax", "log_softmax",
    "finite_max", "norm",
):  # fmt: skip
    expand(_name)


# -------------------------------------------------------------------------------------- elementwise


def _logaddexp(x: Any, y: Any) -> Any:
    """The larger one, and what both together exceed it by; equal infinities have no difference."""
    beyond = np.log1p(np.exp(-np.abs(x - y)))
    return np.where(x == y, x + math.log(2), np.maximum(x, y) + beyond)


def _logaddexp2(x: Any, y: Any) -> Any:
    beyond = np.log1p(np.exp2(-np.abs(x - y))) * (1 / math.log(2))
    return np.where(x == y, x + 1, np.maximum(x, y) + beyond)


def _times_log(x: Any, y: Any, log: Any) -> Any:
    """x·log y; 0 for x = 0 unless y is NaN."""
    return np.where((x == 0) & (y == y), 0.0, x * log(y))


def _entropy(x: Any) -> Any:
    """−x·ln x, 0 at 0, −∞ below."""
    inside = np.where(x == 0, 0.0, -x * np.log(x))
    return np.where(x < 0, -math.inf, inside)


def _relative_entropy(x: Any, y: Any) -> Any:
    """x·ln(x/y); 0 for x = 0 and y ≥ 0; ∞ elsewhere."""
    inside = np.where((x > 0) & (y > 0), x * np.log(x / y), math.inf)
    found = np.where((x == 0) & (y >= 0), 0.0, inside)
    return np.where((x == x) & (y == y), found, x + y)


def _huber(delta: Any, r: Any) -> Any:
    size = np.abs(r)
    inside = np.where(size <= delta, 0.5 * r * r, delta * (size - 0.5 * delta))
    return np.where(delta < 0, math.inf, inside)


def _ndtr(x: Any) -> Any:
    """The normal distribution: near 0 by erf, in the tails by erfc."""
    z = x * math.sqrt(0.5)
    tail = 0.5 * bind(BOOK["erfc"], (np.abs(z),))
    outside = np.where(z > 0, 1 - tail, tail)
    return np.where(np.abs(z) < math.sqrt(0.5), 0.5 + 0.5 * bind(BOOK["erf"], (z,)), outside)


def _heaviside(x: Any, at_zero: Any) -> Any:
    sides = np.where(x < 0, 0.0, np.where(x > 0, 1.0, x))
    return np.where(x == 0, at_zero, sides)


def _isclose(a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool = False) -> Any:
    near = np.logical_and(np.abs(a - b) <= atol + rtol * np.abs(b), np.isfinite(b))
    found = np.logical_or(near, a == b)
    return np.logical_or(found, np.logical_and(a != a, b != b)) if equal_nan else found


def _boxcox(log: Any, power: Any) -> Any:
    """(xᵖ − 1)/p of the logarithm of x, and that logarithm for p = 0."""
    exponent = power * log
    large = np.sign(power) * np.exp(exponent - np.log(np.abs(power))) - 1 / power
    value = np.where(exponent < 709.78, np.expm1(exponent) / power, large)
    return np.where(np.abs(power) < 1e-19, log, value)


expand("logaddexp", _logaddexp)
expand("logaddexp2", _logaddexp2)
expand("softplus", lambda x: np.logaddexp(x, 0.0))
expand("xlogy", lambda x, y: _times_log(x, y, np.log))
expand("xlog1py", lambda x, y: _times_log(x, y, np.log1p))
expand("entr", _entropy)
expand("rel_entr", _relative_entropy)
expand("huber", _huber)
expand("ndtr", _ndtr)
expand("heaviside", _heaviside)
expand("isclose", _isclose)
expand("boxcox", lambda x, power: _boxcox(np.log(x), power))
expand("cosm1", lambda x: -2 * np.square(np.sin(0.5 * x)))
expand("exp10", lambda x: np.power(10.0, x))


# ---------------------------------------------------------------------------------------- of arrays


def _var(x: Any, axis: Any = None, keepdims: bool = False, ddof: float = 0) -> Any:
    """The squares of the distances from the mean, as NumPy adds them."""
    dtype = np.result_type(dtype_of(x), np.float16 if dtype_of(x).kind == "f" else np.float64)
    over = reduced_axes(axis, len(shape_of(x)))
    count = math.prod(shape_of(x)[a] for a in over)
    apart = x - np.sum(x, axis=over, keepdims=True, dtype=dtype) / count
    total = np.sum(apart * apart, axis=over, keepdims=keepdims)
    return total / max(count - ddof, 0)


expand("var", _var)
expand("std", lambda x, **options: np.sqrt(_var(x, **options)))
expand("trace", lambda x, offset=0: np.sum(np.diagonal(x, offset, -2, -1), axis=-1))


def _part(x: Any, axis: int, *bounds: Any) -> Any:
    """``x[..., slice(*bounds), ...]`` along one axis."""
    return x[(slice(None),) * axis + (slice(*bounds),)]


def _rolled(x: Any, shift: Any, axis: Any) -> Any:
    shifts, axes = (v if isinstance(v, tuple) else (v,) for v in (shift, axis))
    ndim = len(shape_of(x))
    by = dict.fromkeys((a % ndim for a in axes), 0)
    for a, s in zip(axes, shifts, strict=True):
        by[a % ndim] += s
    for a, s in by.items():
        n = shape_of(x)[a]
        if s % n:
            x = np.concatenate((_part(x, a, n - s % n, None), _part(x, a, None, n - s % n)), a)
    return x


def _shifted(x: Any, axis: int, by: int) -> Any:
    """Every element one place further, or nearer; a zero comes in."""
    axis %= len(shape_of(x))
    side = np.zeros((*shape_of(x)[:axis], 1, *shape_of(x)[axis + 1 :]), dtype_of(x))
    rest = _part(x, axis, None, -1) if by > 0 else _part(x, axis, 1, None)
    return np.concatenate((side, rest) if by > 0 else (rest, side), axis)


def _tiled(x: Any, reps: Any) -> Any:
    reps = reps if isinstance(reps, tuple) else (reps,)
    shape = shape_of(x)
    reps, shape = ((1,) * (max(len(reps), len(shape)) - len(v)) + v for v in (reps, shape))
    apart = np.reshape(x, tuple([n for size in shape for n in (1, size)]))
    pairs = tuple([n for pair in zip(reps, shape, strict=True) for n in pair])
    whole = tuple(map(math.prod, zip(reps, shape, strict=True)))
    return np.reshape(np.broadcast_to(apart, pairs), whole)


def _repeated(x: Any, repeats: int, axis: int) -> Any:
    shape = shape_of(x)
    axis %= len(shape)
    before, after = shape[: axis + 1], shape[axis + 1 :]
    apart = np.reshape(x, (*before, 1, *after))
    copies = np.broadcast_to(apart, (*before, repeats, *after))
    return np.reshape(copies, (*shape[:axis], shape[axis] * repeats, *after))


def _padded(x: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """The elements at the sides are those of other places."""
    axis %= len(shape_of(x))
    places = np.pad(np.arange(shape_of(x)[axis]), (before, after), mode)  # type: ignore[call-overload]
    return x[(slice(None),) * axis + (places,)]


def _folded(y: Any, axis: int, before: int, after: int, mode: str) -> Any:
    """What was added at the sides is added to the elements that it repeats."""
    shape = shape_of(y)
    axis %= len(shape)
    length = shape[axis] - before - after
    places = np.pad(np.arange(length), (before, after), mode)  # type: ignore[call-overload]
    template, arrays = split_index((slice(None),) * axis + (places,))
    attrs = {"index": template, "shape": (*shape[:axis], length, *shape[axis + 1 :])}
    return bind(SCATTER, (y, *arrays), attrs)


def _crossed(a: Any, b: Any) -> Any:
    a, b = ([x[..., k] for k in range(shape_of(x)[-1])] for x in (a, b))
    if len(a) == len(b) == 3:
        pairs = ((1, 2), (2, 0), (0, 1))
        return np.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs], -1)
    if len(a) == len(b) == 2:
        return a[0] * b[1] - a[1] * b[0]
    if len(a) == 2:
        return np.stack([a[1] * b[2], -(a[0] * b[2]), a[0] * b[1] - a[1] * b[0]], -1)
    return np.stack([-(a[2] * b[1]), a[2] * b[0], a[0] * b[1] - a[1] * b[0]], -1)


def _convolved(a: Any, v: Any, mode: str) -> Any:
    """A sum of products over windows; ``v`` is not the longer of the two."""
    width = shape_of(v)[-1]
    if mode == "full":
        side = np.zeros((*shape_of(a)[:-1], width - 1), dtype_of(a))
        a = np.concatenate((side, a, side), -1)
    windows = np.lib.stride_tricks.sliding_window_view(a, width, -1)
    stack = len(shape_of(a)) - 1, len(shape_of(v)) - 1
    names = "abcdefgh"[: max(stack)]
    left, right = (names[len(names) - n :] for n in stack)
    return np.einsum(f"{left}nk,{right}k->{names}n", windows, v[..., ::-1])


def _last_written(value: Any, *arrays: Any, index: Any, shape: Any) -> Any:
    """Where an element of the value is still there when a place was written more than once."""
    numbers = np.arange(math.prod(shape_of(value))).reshape(shape_of(value))
    attrs = {"index": index}
    kept = bind(REPLACE, (np.zeros(shape, np.intp), numbers, *arrays), attrs)
    return np.equal(bind(INDEX, (kept, *arrays), attrs), numbers)


expand("roll", _rolled)
expand("shift", _shifted)
expand("tile", _tiled)
expand("repeat", _repeated)
expand("pad", _padded)
expand("fold", _folded)
expand("cross", _crossed)
expand("convolve", _convolved)
expand(
    "last_written",
    _last_written,
    unless=lambda _, *places: any(a.dtype == np.bool_ for a in places),
)


# ------------------------------------------------------------------------------------- running ones


def _running(step: Callable[..., Any], identity: float) -> Callable[..., Any]:
    """What is made of each element and of what was made before it, along an axis."""

    def along(*args: Any, axis: int, reverse: bool = False) -> Any:
        dtype = np.result_type(*map(dtype_of, args))
        rows = [np.moveaxis(astype(x, dtype), axis, 0) for x in args]
        start = np.full(shape_of(rows[0])[1:], identity, dtype)[()]

        def turn(before: Any, row: Any) -> tuple[Any, Any]:
            now = step(before, *row)
            return now, now

        return np.moveaxis(scan(turn, start, rows, reverse=reverse)[1], 0, axis)

    return along


def _recurrent(before: Any, a: Any, b: Any) -> Any:
    """An infinite factor of 0 makes no difference: it stands for a derivative that is not there."""
    return b + np.where(before == 0, 0, a * before)


def _narrow(x: Value, *_: Value) -> bool:
    """Whole numbers that NumPy adds up in a wider dtype."""
    return x.dtype not in (np.float64, np.float32, np.int64)


expand("cumsum", _running(lambda before, x: before + x, -0.0), unless=_narrow)
expand("cumprod", _running(lambda before, x: before * x, 1), unless=_narrow)
expand("recurrence", _running(_recurrent, 0.0), unless=_narrow)
