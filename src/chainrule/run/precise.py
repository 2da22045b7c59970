"""Evaluation to any number of digits with mpmath, for checks that float64 cannot settle."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.node import PI, E, Graph, Node, ancestors
from chainrule.graph.primitive import Primitive
from chainrule.graph.rational import Rational, exactly

# Numbers beyond 2**_LARGEST count as overflow: float64 ends at 2**1024 anyway, and an exponential
# of an exponential of one would never come back.
_LARGEST = 10_000
# An exponent below 2**_SMALL of a base within 2**±(_LARGEST >> _SMALL) does not get beyond that.
_SMALL = 7

_BOOLEANS = (bool, np.bool_)
_NEAREST = "n"  # mpmath's name for the usual rounding

# What is computed with here: mpmath's raw form of a number (sign, mantissa, exponent, bits), as
# its own arithmetic takes and gives it, or a truth value, or a whole number of Python's.
Raw = Any
# What has no value: mpmath's raw form of NaN. Everything undefined is this object.
_UNDEFINED: Raw = (0, 0, -123, -1)


class NotReal(ValueError):
    """A step left the real numbers (a logarithm of a negative number, a pole, an overflow)."""


def evaluate_precisely(
    mp: Any, outputs: Sequence[Any], inputs: Mapping[str, Any], spare: int | None = None
) -> list[Any]:
    """Compute ``outputs`` to the precision of the mpmath context ``mp``.

    Constants are the numbers they are written as: 0.1 is one tenth. As many digits again are
    carried along, so that a difference such as 1 − erf(8)² still has its digits; or ``spare`` bits,
    if somebody who can do without asks for fewer.

    Raises:
        NotReal: A step has no real, finite value there.
    """
    return Precisely(mp, inputs, alone=True, spare=spare)(outputs)


class Precisely:
    """Evaluation at one point, as ``evaluate_precisely`` does it: nothing is computed twice.

    What was asked for before is kept, so expressions that share nodes of a graph can be asked for
    one by one, and each be real or not by itself. Graphs that share no nodes, such as a formula
    and its derivative, share the operations that they carry out on the same numbers, unless a graph
    is ``alone``: there equal operations are one node anyway.
    """

    def __init__(
        self, mp: Any, inputs: Mapping[str, Any], alone: bool = False, spare: int | None = None
    ) -> None:
        self.mp = mp
        self.inputs = inputs
        self.spare = spare
        self._precision = 2 * mp.prec if spare is None else mp.prec + spare
        self._values: dict[Graph, dict[int, Raw]] = {}  # indices count within one graph
        self._carried_out: dict[Any, Raw] | None = None if alone else {}

    def __call__(self, outputs: Sequence[Any]) -> list[Any]:
        """The values of ``outputs``; ``NotReal`` if one of them has none."""
        nodes = [o for o in outputs if type(o) is Node]
        for graph in {n.graph for n in nodes}:
            self._evaluate(graph, [n for n in nodes if n.graph is graph])
        results = [
            self._values[o.graph][o.index] if type(o) is Node else _number(o, self._precision)
            for o in outputs
        ]
        if _UNDEFINED in results:
            raise NotReal("the formula has no finite real value here or beside this point")
        # Rounded to what was asked for.
        make = self.mp.make_mpf
        return [+make(r) if type(r) is tuple else r for r in results]

    def _evaluate(self, graph: Graph, outputs: Sequence[Node]) -> None:
        """Find the value of everything that the outputs, all of one graph, depend on."""
        mp, precision = self.mp, self._precision
        values = self._values.setdefault(graph, {})
        carried_out = self._carried_out
        direct, pairs = _raw_functions()
        constants = _constants()
        for node in ancestors(outputs, stop=values):
            index, op = node.index, node.op
            if index in values:
                continue
            if op is None:
                name = node.name
                values[index] = (
                    constants[name](precision, _NEAREST)
                    if name in constants
                    else getattr(self.inputs[name], "_mpf_", self.inputs[name])
                )
                continue
            args = [
                values[a.index] if type(a) is Node else _number(a, precision) for a in node.args
            ]
            function = direct.get(op)
            if carried_out is None:
                values[index] = _value(mp, node, function, args, precision)
                continue
            key = (op, *args)
            value = carried_out.get(key)
            if value is None:
                for partner, one in _together(pairs.get(op), args, precision):
                    carried_out[(partner, *args)] = one
                value = carried_out.get(key)
                if value is None:
                    value = carried_out[key] = _value(mp, node, function, args, precision)
            values[index] = value


def _together(
    pair: tuple[Any, ...] | None, args: list[Raw], precision: int
) -> list[tuple[Primitive, Raw]]:
    """The values of two functions that are found in one go, if this is one of them."""
    if pair is None or _UNDEFINED in args:
        return []
    function, *rows = pair
    try:
        found = function(args[0], precision, _NEAREST)
    except (*_NO_VALUE, TypeError):
        return []
    return [(row, _representable(value)) for row, value in zip(rows, found, strict=True)]


def _value(
    mp: Any, node: Node, function: Callable[..., Raw] | None, args: list[Raw], precision: int
) -> Raw:
    """One operation, by a function of raw numbers if the row has one."""
    if function is None or _UNDEFINED in args:
        return _step(mp, node, args, precision)
    try:
        return _representable(function(*args, precision, _NEAREST))
    except _NO_VALUE:
        return _UNDEFINED
    except TypeError:  # a truth value, or a whole number, among the numbers
        return _step(mp, node, args, precision)


_NO_VALUE = (ZeroDivisionError, OverflowError, ValueError, MemoryError)

# Rows that mean one function of mpmath's: what that is called on raw numbers, which saves packing
# every number and unpacking it again. All other rows are called as they are written.
_OF_RAW = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "negative": "neg",
    "abs": "abs", "sqrt": "sqrt", "exp": "exp", "log": "log",
    "sin": "sin", "cos": "cos", "tan": "tan", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}  # fmt: skip
# Functions that mpmath finds together: a formula has one of them, its derivative the other.
_TOGETHER = {"cos_sin": ("cos", "sin"), "cosh_sinh": ("cosh", "sinh")}


@functools.cache
def _raw_functions() -> tuple[dict[Primitive, Any], dict[Primitive, Any]]:
    """The function of raw numbers for a row, and for pairs: the function, and whose values."""
    from mpmath import libmp

    from chainrule.rules.book import BOOK  # lies above this room, and fills itself in later

    direct = {BOOK[name]: getattr(libmp, f"mpf_{raw}") for name, raw in _OF_RAW.items()}
    direct[BOOK["power"]] = functools.partial(_small_power, libmp.mpf_pow_int)
    pairs = {
        BOOK[name]: (getattr(libmp, f"mpf_{raw}"), *(BOOK[n] for n in names))
        for raw, names in _TOGETHER.items()
        for name in names
    }
    return direct, pairs


@functools.cache
def _constants() -> dict[str, Any]:
    from mpmath import libmp

    return {E: libmp.mpf_e, PI: libmp.mpf_pi}


def _small_power(raised: Callable[..., Raw], base: Raw, exponent: Raw, *rounding: Any) -> Raw:
    """A power whose exponent is a small whole number, of a number of reasonable size."""
    sign, mantissa, scale, bits = exponent
    small = mantissa and scale >= 0 and scale + bits <= _SMALL
    if not (small and abs(base[2] + base[3]) <= _LARGEST >> _SMALL):
        raise TypeError("not such a power: the row itself says what it is")
    whole = mantissa << scale
    return raised(base, -whole if sign else whole, *rounding)


def _number(constant: Any, precision: int) -> Raw:
    if type(constant) is not Rational:
        if isinstance(constant, _BOOLEANS):
            return bool(constant)
        if not math.isfinite(constant):
            return _infinite(constant)
        return _quotient(*exactly(constant).as_integer_ratio(), precision)
    return _quotient(*constant.ratio, precision)


@functools.lru_cache(maxsize=1024)
def _quotient(numerator: int, denominator: int, precision: int) -> Raw:
    """A number of a formula, at a precision."""
    from mpmath import libmp

    return libmp.from_rational(numerator, denominator, precision, _NEAREST)


def _infinite(constant: float) -> Raw:
    from mpmath import libmp

    return _UNDEFINED if math.isnan(constant) else libmp.from_float(float(constant))


def _step(mp: Any, node: Node, args: list[Raw], precision: int) -> Raw:
    """One operation as its row writes it."""
    op = node.op
    if op is None or op.mpmath is None:
        raise NotReal(f"{node!r} has no high-precision evaluation")
    if _UNDEFINED in args:
        return _of_undefined(op.name, args)
    with mp.workprec(precision):
        numbers = [mp.make_mpf(a) if type(a) is tuple else a for a in args]
        if op.name == "power" and _enormous(mp, *numbers):
            return _UNDEFINED
        try:
            value = op.mpmath(mp, *numbers)
        except (*_NO_VALUE, TypeError):
            return _UNDEFINED
        if isinstance(value, int):
            return value
    # A branch that is not taken may be anything: NaN marks it, and only the result must be real.
    return _representable(getattr(value, "_mpf_", _UNDEFINED))


def _representable(value: Raw) -> Raw:
    """The value if it is a real number, finite and not too large."""
    _, mantissa, exponent, bits = value
    fits = exponent + bits <= _LARGEST if mantissa else exponent == 0
    return value if fits else _UNDEFINED


def _of_undefined(name: str, args: list[Raw]) -> Raw:
    """What follows from undefined arguments: nothing, unless the others decide by themselves."""
    truths = [None if a == _UNDEFINED else bool(a[1] if type(a) is tuple else a) for a in args]
    if name == "where" and truths[0] is not None:
        return args[1] if truths[0] else args[2]
    deciding = {"logical_and": False, "logical_or": True}.get(name)
    return deciding if deciding is not None and deciding in truths else _UNDEFINED


def _enormous(mp: Any, base: Any, exponent: Any) -> bool:
    """Whether a power is too large even to start on."""
    base, exponent = mp.convert(base), mp.convert(exponent)
    (_, mantissa, scale, bits), (_, nonzero, order, length) = base._mpf_, exponent._mpf_
    if not mantissa or not nonzero:
        return False  # zero, or not finite
    if order + length <= _SMALL and abs(scale + bits) <= _LARGEST >> _SMALL:
        return False  # not enough to get there
    if order + length > 99 and abs(exponent) > mp.mpf(10) ** 30:
        return True
    magnitude = scale + bits
    # A power that is tiny is a number like any other: e^(−10⁸) is one factor of a slope.
    return magnitude not in (0, 1) and bool(exponent * magnitude > _LARGEST)
