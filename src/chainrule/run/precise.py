"""Evaluation to any number of digits with mpmath, for checks that float64 cannot settle."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Node, ancestors
from chainrule.graph.rational import exactly

# Numbers beyond 2**_LARGEST count as overflow: float64 ends at 2**1024 anyway, and an exponential
# of an exponential of one would never come back.
_LARGEST = 10_000


_BOOLEANS = (bool, np.bool_)


class NotReal(ValueError):
    """A step left the real numbers (a logarithm of a negative number, a pole, an overflow)."""


def evaluate_precisely(mp: Any, outputs: Sequence[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """Compute ``outputs`` to the precision of the mpmath context ``mp``.

    Constants are the numbers they are written as: 0.1 is one tenth. As many digits again are
    carried along, so that a difference such as 1 − erf(8)² still has its digits.

    Raises:
        NotReal: A step has no real, finite value there.
    """
    nodes = [o for o in outputs if isinstance(o, Node)]
    with mp.workprec(2 * mp.prec):
        values = {
            key: _values(mp, [n for n in nodes if id(n.graph) == key], inputs)
            for key in {id(n.graph) for n in nodes}  # indices count within one graph
        }
        results = [
            values[id(o.graph)][o.index] if isinstance(o, Node) else _number(mp, o) for o in outputs
        ]
    if any(mp.isnan(r) for r in results):
        raise NotReal("the formula has no finite real value here or beside this point")
    return [r if isinstance(r, bool) else +r for r in results]  # rounded to what was asked for


def _values(mp: Any, outputs: Sequence[Node], inputs: Mapping[str, Any]) -> dict[int, Any]:
    """The value of everything that the outputs, all of one graph, depend on."""
    values: dict[int, Any] = {}
    known = {E: mp.e, PI: mp.pi}
    for node in ancestors(outputs):
        if node.op is None:
            values[node.index] = known[node.name] if node.name in known else inputs[node.name]
        else:
            args = [values[a.index] if isinstance(a, Node) else _number(mp, a) for a in node.args]
            values[node.index] = _step(mp, node, args)
    return values


def _number(mp: Any, constant: Any) -> Any:
    if isinstance(constant, _BOOLEANS):
        return bool(constant)
    if not math.isfinite(constant):
        return mp.mpf(float(constant))
    number = exactly(constant)
    whole = mp.mpf(number.numerator)
    return whole if number.denominator == 1 else whole / number.denominator


def _step(mp: Any, node: Node, args: list[Any]) -> Any:
    if node.op is None or node.op.mpmath is None:
        raise NotReal(f"{node!r} has no high-precision evaluation")
    if any(_undefined(mp, a) for a in args):
        return _of_undefined(mp, node.op.name, args)
    if node.op.name == "power" and _enormous(mp, *args):
        return mp.nan
    try:
        value = node.op.mpmath(mp, *args)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, MemoryError):
        return mp.nan
    # A branch that is not taken may be anything: NaN marks it, and only the result must be real.
    return value if isinstance(value, bool) or _representable(value) else mp.nan


def _representable(value: Any) -> bool:
    """Whether a number is real, finite and not too large, from mpmath's raw form of it."""
    raw = getattr(value, "_mpf_", None)
    if raw is None:
        return isinstance(value, int)
    _, mantissa, exponent, bits = raw
    return bool(exponent + bits <= _LARGEST if mantissa else exponent == 0)


def _undefined(mp: Any, value: Any) -> bool:
    return bool(getattr(value, "_mpf_", None) == mp.nan._mpf_)


def _of_undefined(mp: Any, name: str, args: list[Any]) -> Any:
    """What follows from undefined arguments: nothing, unless the others decide by themselves."""
    if name == "where" and not _undefined(mp, args[0]):
        return args[1] if args[0] else args[2]
    deciding = {"logical_and": False, "logical_or": True}.get(name)
    return deciding if deciding is not None and deciding in args else mp.nan


def _enormous(mp: Any, base: Any, exponent: Any) -> bool:
    """Whether a power is too large even to start on."""
    if not (mp.isfinite(base) and mp.isfinite(exponent)) or base == 0:
        return False
    if abs(exponent) > mp.mpf(10) ** 30:
        return True
    # A power that is tiny is a number like any other: e^(−10⁸) is one factor of a slope.
    return bool(exponent * mp.mag(base) > _LARGEST and mp.mag(base) not in (0, 1))
