"""Evaluation to any number of digits with mpmath, for checks that float64 cannot settle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.graph.node import PI, E, Node, ancestors


class NotReal(ValueError):
    """A step left the real numbers (a logarithm of a negative number, a pole, an overflow)."""


def evaluate_precisely(mp: Any, outputs: Sequence[Any], inputs: Mapping[str, Any]) -> list[Any]:
    """Compute ``outputs`` in the precision of the mpmath context ``mp``.

    Raises:
        NotReal: A step has no real, finite value there.
    """
    values: dict[int, Any] = {}
    known = {E: mp.e, PI: mp.pi}
    for node in ancestors(outputs):
        if node.op is None:
            values[node.index] = known[node.name] if node.name in known else inputs[node.name]
        else:
            args = [values[a.index] if isinstance(a, Node) else _number(mp, a) for a in node.args]
            values[node.index] = _step(mp, node, args)
    results = [values[o.index] if isinstance(o, Node) else _number(mp, o) for o in outputs]
    if any(mp.isnan(r) for r in results):
        raise NotReal("the formula has no finite real value here")
    return results


def _number(mp: Any, constant: Any) -> Any:
    return bool(constant) if isinstance(constant, bool) else mp.mpf(float(constant))


def _step(mp: Any, node: Node, args: list[Any]) -> Any:
    if node.op is None or node.op.mpmath is None:
        raise NotReal(f"{node!r} has no high-precision evaluation")
    try:
        value = node.op.mpmath(mp, *args)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, MemoryError):
        return mp.nan
    # A branch that is not taken may be anything: NaN marks it, and only the result must be real.
    complex_or_infinite = isinstance(value, mp.mpc) or (
        isinstance(value, mp.mpf) and not mp.isfinite(value)
    )
    return mp.nan if complex_or_infinite else value
