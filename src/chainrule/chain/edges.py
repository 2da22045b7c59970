"""One edge: how a cotangent is pulled back, and a tangent pushed forward, across it.

Un-broadcasting and dtypes are handled here and nowhere else; the rules know nothing of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.chain.supports import Support, contract, moved, restrict, select, times
from chainrule.graph.operand import Attrs, Operand, bind
from chainrule.graph.primitive import Bilinear, Custom, Flat, Linear, Mask, Primitive, Scale
from chainrule.graph.tape import dtype_of
from chainrule.rules.shapes import broadcast_to, sum_to

Carried = tuple[Any, Support]


def factor(edge: Scale | Mask, args: tuple[Any, ...], out: Any) -> Any:
    """The local derivative on an elementwise edge, as a value."""
    rule = edge.partial if isinstance(edge, Scale) else edge.weight
    if not callable(rule):
        return rule
    try:
        return rule(*args, out)
    except (ZeroDivisionError, OverflowError):
        # Python's own numbers raise where NumPy's give an infinity.
        return rule(*(np.float64(a) if isinstance(a, int | float) else a for a in args), out)


def pull(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, carried: Carried
) -> Carried | None:
    """Carry a cotangent of ``out`` back to argument ``position``; ``None`` if nothing flows."""
    edge = op.edge(position)
    cotangent, support = carried
    if isinstance(edge, Scale | Mask):
        value, support = _elementwise(edge, args, out, cotangent, support)
        return _as_argument(value, support, args[position])
    if isinstance(edge, Flat):
        return None
    if isinstance(edge, Custom):
        return edge.pull(cotangent, *args, out, **attrs), None
    if isinstance(edge, Bilinear):
        return _pull_bilinear(edge, position, args, cotangent, support)
    value = edge.transpose(cotangent, *args, **attrs)
    if support is not None or edge.selects:
        support = moved(lambda s: edge.transpose(s, *args, **attrs), support, cotangent)
    return value, support


def push(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, carried: Carried
) -> Carried | None:
    """Carry a tangent of argument ``position`` forward to ``out``; ``None`` if nothing flows."""
    edge = op.edge(position)
    tangent, support = carried
    if isinstance(edge, Scale | Mask):
        value, support = _elementwise(edge, args, out, tangent, support)
        return _as_output(value, out), support
    if isinstance(edge, Flat):
        return None
    if isinstance(edge, Custom):
        return edge.push(tangent, *args, out, **attrs), None
    if isinstance(edge, Bilinear):
        return _push_bilinear(op, position, args, tangent, support)
    replaced = _with(args, position, op)
    value = bind(op, replaced(tangent), attrs)
    if support is not None:
        support = moved(lambda s: op.evaluate(*replaced(s), **attrs), support, tangent)
    return value, support


def _elementwise(
    edge: Scale | Mask, args: tuple[Any, ...], out: Any, carried: Any, support: Support
) -> Carried:
    """Multiply by the local derivative; a mask selects instead, and narrows the support."""
    slope = factor(edge, args, out)
    if isinstance(edge, Mask):
        support = restrict(np.asarray(slope) if not isinstance(slope, Operand) else slope, support)
        if dtype_of(slope) == np.bool_:
            return (carried if support is None else select(support, carried)), support
    elif isinstance(slope, float) and slope == 1.0:
        return carried, support
    return times(carried, slope, support), support


def _as_argument(value: Any, support: Support, arg: Any) -> Carried:
    """Sum over what broadcasting repeated, in the argument's own dtype."""
    shape = np.shape(arg)
    if np.shape(value) != shape:
        if support is not None:
            support = moved(lambda s: sum_to(s, shape), support, value)
        value = sum_to(value, shape)
    return _cast(value, arg), support


def _cast(value: Any, like: Any) -> Any:
    if isinstance(value, Operand) or isinstance(like, Operand):
        return value
    dtype = dtype_of(like)
    return value if dtype_of(value) == dtype else np.asarray(value).astype(dtype)[()]


def _as_output(value: Any, out: Any) -> Any:
    """Repeat where the other argument was the larger one."""
    return _cast(broadcast_to(value, np.shape(out)), out)


def _pull_bilinear(
    edge: Bilinear, position: int, args: tuple[Any, ...], cotangent: Any, support: Support
) -> Carried:
    def contraction(ct: Any, other: Any) -> Any:
        placed = (args[0], other) if position == 0 else (other, args[1])
        return edge.transpose(ct, *placed)

    other = args[1 - position]
    value = contract(contraction, cotangent, other, support)
    if support is not None:
        support = moved(lambda s: contraction(s, np.ones(np.shape(other))), support, cotangent)
    return value, support


def _push_bilinear(
    op: Primitive, position: int, args: tuple[Any, ...], tangent: Any, support: Support
) -> Carried:
    def contraction(t: Any, other: Any) -> Any:
        return bind(op, (t, other) if position == 0 else (other, t))

    other = args[1 - position]
    value = contract(contraction, tangent, other, support)
    if support is not None:
        support = moved(lambda s: contraction(s, np.ones(np.shape(other))), support, tangent)
    return value, support


def _with(args: tuple[Any, ...], position: int, op: Primitive) -> Any:
    """The arguments with one replaced, and zeros for the others that the map is linear in."""

    def replaced(value: Any) -> tuple[Any, ...]:
        return tuple(
            value if i == position
            else np.zeros_like(a) if isinstance(op.edge(i), Linear) else a
            for i, a in enumerate(args)
        )  # fmt: skip

    return replaced
