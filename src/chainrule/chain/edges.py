"""One edge: how a cotangent is pulled back, and a tangent pushed forward, across it.

Un-broadcasting and dtypes are handled here and nowhere else; the rules know nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.chain.supports import (
    Support,
    certainly,
    contract,
    indicator,
    moved,
    nowhere,
    restrict,
    select,
    times,
)
from chainrule.graph.operand import NO_ATTRS, Attrs, Operand, bind
from chainrule.graph.primitive import (
    ELEMENTWISE,
    Bilinear,
    Custom,
    Flat,
    Linear,
    Mask,
    Primitive,
    Scale,
)
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.reductions import spread, summed
from chainrule.rules.shapes import broadcast_to, cast, sum_to

Carried = tuple[Any, Support]


def factor(edge: Scale | Mask, args: tuple[Any, ...], out: Any, attrs: Attrs = NO_ATTRS) -> Any:
    """The local derivative on an elementwise edge, as a value."""
    rule = edge.partial if isinstance(edge, Scale) else edge.weight
    if not callable(rule):
        return rule
    try:
        return rule(*args, out, **attrs)
    except (ZeroDivisionError, OverflowError):
        # Python's own numbers raise where NumPy's give an infinity.
        numbers = [np.float64(a) if isinstance(a, int | float) else a for a in args]
        return rule(*numbers, out, **attrs)


def pull(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, carried: Carried,
    further: bool = True,
) -> Carried | None:  # fmt: skip
    """Carry a cotangent of ``out`` back to argument ``position``; ``None`` if nothing flows.

    Without ``further``, the way ends at the argument: nobody asks there where it can be non-zero.
    """
    edge = op.edge(position)
    cotangent, support = carried
    if op.joint is not None:
        part = op.joint.pull(cotangent, args, out, attrs)[position]
        return None if part is None else (part, None)
    if isinstance(edge, Flat):
        return None
    if isinstance(edge, ELEMENTWISE):
        if not op.elementwise:
            cotangent, support = _linear(lambda c: spread(c, *args, **attrs), cotangent, support)
            out = spread(out, *args, **attrs)
        slope = factor(edge, args, out, attrs)
        value, support = _elementwise(edge, slope, cotangent, support)
        value, support = _as_argument(value, support if further else None, args[position])
    elif isinstance(edge, Custom):
        if support is not None and certainly(np.logical_not(support)):
            return nowhere(args[position])
        options = {**attrs, "support": support} if edge.reached else attrs
        value, support = edge.pull(cotangent, *args, out, **options), None
    elif isinstance(edge, Bilinear):
        if support is None:
            value = edge.transpose(cotangent, *args, **attrs)
        else:
            value, support = _pull_bilinear(edge, position, args, attrs, carried, further)
    else:
        transpose = edge.transpose
        options = {**attrs, "position": position} if edge.positional else attrs

        def move(ct: Any) -> Any:
            return transpose(ct, *args, **options)

        if further:
            value, support = _linear(move, cotangent, support, edge.selects)
        else:
            value, support = move(cotangent), None
    return cast(value, args[position]), support


def push(
    op: Primitive, position: int, args: tuple[Any, ...], out: Any, attrs: Attrs, carried: Carried
) -> Carried | None:
    """Carry a tangent of argument ``position`` forward to ``out``; ``None`` if nothing flows."""
    edge = op.edge(position)
    tangent, support = carried
    if op.joint is not None:
        tangents = tuple(tangent if i == position else None for i in range(len(args)))
        return op.joint.push(tangents, args, out, attrs), None
    if isinstance(edge, Flat):
        return None
    if isinstance(edge, ELEMENTWISE):
        whole = out if op.elementwise else spread(out, *args, **attrs)
        slope = factor(edge, args, whole, attrs)
        value, support = _elementwise(edge, slope, tangent, support)
        if not op.elementwise:
            value, support = _linear(lambda t: summed(t, **attrs), value, support)
        value = broadcast_to(value, shape_of(out))
    elif isinstance(edge, Custom):
        if support is not None and certainly(np.logical_not(support)):
            return nowhere(out)
        value, support = edge.push(tangent, *args, out, **attrs), None
    elif isinstance(edge, Bilinear):
        value, support = _push_bilinear(op, position, args, attrs, carried)
    else:
        replaced = _with(args, position, op)
        value, support = _linear(lambda t: bind(op, replaced(t), attrs), tangent, support)
    return cast(value, out), support


def push_together(
    op: Primitive, args: tuple[Any, ...], out: Any, attrs: Attrs, carried: Mapping[int, Carried]
) -> Carried:
    """Carry the tangents of several arguments forward at once.

    A primitive that is linear in any number of arguments maps them all in one go: a thousand pieces
    of a concatenation are joined once, and not a thousand times with zeros in place of the others.
    """

    def pushed(given: Mapping[int, Any]) -> Any:
        parts = [given[i] if i in given else np.zeros_like(a) for i, a in enumerate(args)]
        return bind(op, tuple(parts), attrs)

    support: Support = None
    if any(reach is not None for _, reach in carried.values()):
        reached = pushed({i: indicator(reach, args[i]) for i, (_, reach) in carried.items()}) != 0
        support = None if certainly(reached) else reached
    return cast(pushed({i: tangent for i, (tangent, _) in carried.items()}), out), support


def fitted(part: Any, value: Any) -> Any:
    """A part of the cotangent of ``value`` that reaches everywhere, in its shape and dtype."""
    return cast(sum_to(part, shape_of(value)), value)


def _linear(move: Any, carried: Any, support: Support, selects: bool = False) -> Carried:
    """Move the carried value, and its support along with it."""
    if support is not None or selects:
        support = moved(move, support, carried)
    return move(carried), support


def _elementwise(edge: Scale | Mask, slope: Any, carried: Any, support: Support) -> Carried:
    """Multiply by the local derivative; a mask selects instead, and narrows the support."""
    if isinstance(edge, Mask):
        support = restrict(np.asarray(slope) if not isinstance(slope, Operand) else slope, support)
        if dtype_of(slope) == np.bool_:
            return (carried if support is None else select(support, carried)), support
    elif isinstance(slope, float) and slope == 1.0:
        return carried, support
    return times(carried, slope, support), support


def _as_argument(value: Any, support: Support, arg: Any) -> Carried:
    """Sum over what broadcasting repeated."""
    shape = shape_of(arg)
    if shape_of(value) != shape:
        return _linear(lambda v: sum_to(v, shape), value, support)
    return value, support


def _pull_bilinear(
    edge: Bilinear, position: int, args: tuple[Any, ...], attrs: Attrs, carried: Carried,
    further: bool,
) -> Carried:  # fmt: skip
    def contraction(ct: Any, other: Any) -> Any:
        placed = (args[0], other) if position == 0 else (other, args[1])
        return edge.transpose(ct, *placed, **attrs)

    return _bilinear(contraction, args[1 - position], carried, further)


def _push_bilinear(
    op: Primitive, position: int, args: tuple[Any, ...], attrs: Attrs, carried: Carried
) -> Carried:
    def contraction(t: Any, other: Any) -> Any:
        return bind(op, (t, other) if position == 0 else (other, t), attrs)

    return _bilinear(contraction, args[1 - position], carried)


def _bilinear(contraction: Any, other: Any, carried: Carried, further: bool = True) -> Carried:
    value, support = carried
    result = contract(contraction, value, other, support)
    if not further:
        return result, None
    if support is not None:
        support = moved(lambda s: contraction(s, np.ones(shape_of(other))), support, value)
    return result, support


def _with(args: tuple[Any, ...], position: int, op: Primitive) -> Any:
    """The arguments with one replaced, and zeros for the others that the map is linear in."""

    def replaced(value: Any) -> tuple[Any, ...]:
        return tuple(
            value if i == position
            else np.zeros_like(a) if isinstance(op.edge(i), Linear) else a
            for i, a in enumerate(args)
        )  # fmt: skip

    return replaced
