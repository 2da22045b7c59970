"""Evaluation to any number of digits with mpmath, for checks that float64 cannot settle."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.rational import Rational, exactly

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
    return Precisely(mp, inputs, alone=True)(outputs)


class Precisely:
    """Evaluation at one point, as ``evaluate_precisely`` does it: nothing is computed twice.

    What was asked for before is kept, so expressions that share nodes of a graph can be asked for
    one by one, and each be real or not by itself. Graphs that share no nodes, such as a formula
    and its derivative, share the operations that they carry out on the same numbers, unless a graph
    is ``alone``: there equal operations are one node anyway.
    """

    def __init__(self, mp: Any, inputs: Mapping[str, Any], alone: bool = False) -> None:
        self.mp = mp
        self.inputs = inputs
        self._alone = alone
        self._values: dict[Graph, dict[int, Any]] = {}  # indices count within one graph
        self._carried_out: dict[Any, Any] = {}

    def __call__(self, outputs: Sequence[Any]) -> list[Any]:
        """The values of ``outputs``; ``NotReal`` if one of them has none."""
        mp = self.mp
        nodes = [o for o in outputs if isinstance(o, Node)]
        precision = mp.prec
        mp.prec = 2 * precision
        try:
            for graph in {n.graph for n in nodes}:
                self._evaluate(graph, [n for n in nodes if n.graph is graph])
            results = [
                self._values[o.graph][o.index] if isinstance(o, Node) else _number(mp, o)
                for o in outputs
            ]
        finally:
            mp.prec = precision
        if any(mp.isnan(r) for r in results):
            raise NotReal("the formula has no finite real value here or beside this point")
        return [r if isinstance(r, bool) else +r for r in results]  # rounded to what was asked for

    def _evaluate(self, graph: Graph, outputs: Sequence[Node]) -> None:
        """Find the value of everything that the outputs, all of one graph, depend on."""
        mp = self.mp
        values = self._values.setdefault(graph, {})
        carried_out = self._carried_out
        for node in ancestors(outputs, stop=values):
            index = node.index
            if index in values:
                continue
            if node.op is None:
                known = mp.e if node.name == E else mp.pi if node.name == PI else None
                values[index] = self.inputs[node.name] if known is None else known
                continue
            args = [values[a.index] if type(a) is Node else _number(mp, a) for a in node.args]
            if self._alone:
                values[index] = _step(mp, node, args)
                continue
            key = (node.op, *[getattr(a, "_mpf_", a) for a in args])
            value = carried_out.get(key)
            if value is None:
                value = carried_out[key] = _step(mp, node, args)
            values[index] = value


def _number(mp: Any, constant: Any) -> Any:
    if type(constant) is not Rational:
        if isinstance(constant, _BOOLEANS):
            return bool(constant)
        if not math.isfinite(constant):
            return mp.nan if math.isnan(constant) else mp.mpf(float(constant))
    return _quotient(mp, mp.prec, *exactly(constant).as_integer_ratio())


@functools.lru_cache(maxsize=1024)
def _quotient(mp: Any, _precision: int, numerator: int, denominator: int) -> Any:
    """A number of a formula, at the precision that the context has now."""
    whole = mp.mpf(numerator)
    return whole if denominator == 1 else whole / denominator


def _step(mp: Any, node: Node, args: list[Any]) -> Any:
    op = node.op
    if op is None or op.mpmath is None:
        raise NotReal(f"{node!r} has no high-precision evaluation")
    undefined = mp.nan
    for arg in args:
        if arg is undefined:  # what has no value is always this object
            return _of_undefined(mp, op.name, args)
    if op.name == "power" and _enormous(mp, *args):
        return undefined
    try:
        value = op.mpmath(mp, *args)
    except (ZeroDivisionError, OverflowError, ValueError, TypeError, MemoryError):
        return undefined
    # A branch that is not taken may be anything: NaN marks it, and only the result must be real.
    return value if isinstance(value, bool) or _representable(value) else undefined


def _representable(value: Any) -> bool:
    """Whether a number is real, finite and not too large, from mpmath's raw form of it."""
    raw = getattr(value, "_mpf_", None)
    if raw is None:
        return isinstance(value, int)
    _, mantissa, exponent, bits = raw
    return bool(exponent + bits <= _LARGEST if mantissa else exponent == 0)


def _of_undefined(mp: Any, name: str, args: list[Any]) -> Any:
    """What follows from undefined arguments: nothing, unless the others decide by themselves."""
    if name == "where" and args[0] is not mp.nan:
        return args[1] if args[0] else args[2]
    deciding = {"logical_and": False, "logical_or": True}.get(name)
    return deciding if deciding is not None and deciding in args else mp.nan


def _enormous(mp: Any, base: Any, exponent: Any) -> bool:
    """Whether a power is too large even to start on."""
    base, exponent = mp.convert(base), mp.convert(exponent)
    (_, mantissa, scale, bits), (_, nonzero, order, length) = base._mpf_, exponent._mpf_
    if not mantissa or not nonzero:
        return False  # zero, or not finite
    if order + length <= 7 and abs(scale + bits) <= _LARGEST >> 7:
        return False  # the exponent is less than 2⁷: not enough to get there
    if order + length > 99 and abs(exponent) > mp.mpf(10) ** 30:
        return True
    magnitude = scale + bits
    # A power that is tiny is a number like any other: e^(−10⁸) is one factor of a slope.
    return magnitude not in (0, 1) and bool(exponent * magnitude > _LARGEST)
