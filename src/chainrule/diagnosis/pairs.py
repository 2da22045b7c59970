"""The numbers that made a bad one: ``log(0)``, ``0/0``, ``∞−∞``, or ``∞·0`` in a derivative."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain.edges import factor
from chainrule.chain.modes import values_of
from chainrule.chain.quiet import quietly
from chainrule.diagnosis.flow import Event, Flow, bad, reached_back, reached_forward
from chainrule.diagnosis.recording import Recording
from chainrule.diagnosis.written import written
from chainrule.graph.primitive import ELEMENTWISE, Bilinear
from chainrule.graph.tape import Traced
from chainrule.notation.numbers import text_value
from chainrule.rules.reductions import spread

_SIGNS = {"divide": "/", "multiply": "·", "subtract": "−", "add": "+", "power": "^"}


@dataclass(frozen=True, slots=True)
class Item:
    """One of the numbers that took part.

    Attributes:
        label: What it is: the name of a variable, ``local derivative``, ``cotangent``, …
        value: The number.
    """

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Pair:
    """What made a bad number, at its first element.

    Attributes:
        text: ``log(0)`` or ``∞·0``.
        because: Why that is bad, in words.
        index: Which element.
        value: The bad number.
        items: The numbers that took part.
    """

    text: str
    because: str
    index: tuple[int, ...]
    value: float
    items: tuple[Item, ...] = ()


def shown(value: Any) -> str:
    """A number in few digits: ``∞``, ``NaN``, ``−0.5``.

    >>> shown(float("-inf")), shown(float("nan")), shown(0.25), shown(1.0000001)
    ('−∞', 'NaN', '0.25', '1.0000001')
    """
    number = float(value)
    if math.isnan(number):
        return "NaN"
    digits = 4
    if abs(number) < 1e6:  # a number beside a whole one is told from it
        while digits < 16 and float(f"{number:.{digits}g}").is_integer() != number.is_integer():
            digits += 4
    return text_value(number + 0.0, digits).replace("-", "−")


def first(mask: Any) -> tuple[int, ...]:
    """The index of the first element that a mask has."""
    if not np.ndim(mask):
        return ()
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), np.shape(mask)))


def pair_of(recording: Recording, event: Event, flow: Flow | None) -> Pair:
    """What made the bad numbers of an event."""
    if event.what in ("input", "constant"):
        return _came_in(recording, event)
    if event.position is None and event.what != "sum":
        return _of_value(recording, event)
    assert flow is not None
    if event.what == "sum":
        index = first(event.mask)
        value = _at(event.carried, index)
        word = "cotangent" if flow.backward else "tangent"
        because = f"the {word}s of several paths add up to more than the dtype holds"
        return Pair("overflow", because, index, value)
    return _of_derivative(recording, event, flow)


def _came_in(recording: Recording, event: Event) -> Pair:
    if event.position is not None:
        array = recording.value(event.record.args[event.position])
    else:
        array = event.record.value if event.carried is None else event.carried
    index = first(event.mask)
    value = _at(array, index)
    return Pair(shown(value), "it came in", index, value)


def _at(array: Any, index: tuple[int, ...]) -> float:
    """An element of an array; of a number, or of several results at once, what is bad in it."""
    if isinstance(array, tuple):
        return next((float(np.asarray(a)[bad(a)].flat[0]) for a in array if np.any(bad(a))), 0.0)
    whole = np.asarray(array)
    return float(whole[index] if whole.ndim == len(index) else whole.flat[0])


def _broadcast(array: Any, shape: tuple[int, ...], index: tuple[int, ...]) -> float | None:
    try:
        return float(np.broadcast_to(np.asarray(array, float), shape)[index])
    except (ValueError, TypeError):
        return None


def operand_name(recording: Recording, record: Traced, position: int) -> str:
    """What an argument of an operation is called."""
    arg = record.args[position]
    name = recording.name(arg)
    if name is not None:
        return name
    if not recording.own(arg):
        return "constant"
    if record.index not in recording.within:
        found = written(record, recording.place(record), [recording.name(a) for a in record.args])
        if found is not None and position < len(found.args):
            return found.args[position]
    return "argument" if len(record.args) == 1 else f"argument {position + 1}"


# ---------------------------------------------------------------------------------------- values


def _of_value(recording: Recording, event: Event) -> Pair:
    record, op = event.record, event.record.op
    assert op is not None
    index = first(event.mask)
    value = _at(record.value, index)
    if not op.elementwise:
        return _of_many(event, index, value)
    shape = np.shape(record.value)
    values = [_broadcast(a, shape, index) for a in values_of(record)]
    items = tuple(
        Item(operand_name(recording, record, n), v) for n, v in enumerate(values) if v is not None
    )
    text = _expression(op.name, [i.value for i in items])
    if record.index in recording.within and op.name == "multiply":
        items = (Item("local derivative", items[1].value), Item("cotangent", items[0].value))
        text = f"{_factor(items[0].value)}·{_factor(items[1].value)}"
        return Pair(text, _no_product(items[0].value, items[1].value), index, value, items)
    return Pair(text, _because(record, event, items, value), index, value, items)


def _expression(name: str, values: list[float]) -> str:
    sign = _SIGNS.get(name)
    if sign is None or len(values) != 2:
        return f"{name}({', '.join(map(shown, values))})"
    a, b = values
    if sign in "+−" and math.isinf(a) and math.isinf(b):
        return "∞−∞"
    return f"{_factor(a)}{sign}{_factor(b)}"


def _factor(value: float) -> str:
    """A number in a product: in parentheses if it is negative, and neither 0 nor infinite."""
    if value == 0:
        return "0"
    if math.isinf(value):
        return "∞"
    return f"({shown(value)})" if value < 0 else shown(value)


def _because(record: Traced, event: Event, items: tuple[Item, ...], value: float) -> str:
    op = record.op
    assert op is not None
    if event.what == "turned":
        return "infinities have no difference, no quotient and no product with 0"
    if op.domain is not None and not op.domain.test(*[np.float64(i.value) for i in items]):
        return f"{op.name} needs {op.domain.says}"
    if math.isinf(value):
        return _too_large(record)
    return f"{op.name} is not defined there"


def _too_large(record: Traced) -> str:
    dtype = np.asarray(record.value).dtype
    return f"overflow: {dtype} ends at {shown(np.finfo(dtype).max)}"


def _of_many(event: Event, index: tuple[int, ...], value: float) -> Pair:
    """Of an operation that takes many numbers together: a sum, a product of matrices, …"""
    record, op = event.record, event.record.op
    assert op is not None
    one = np.zeros(np.shape(event.mask), bool)
    one[index] = True
    taken = [
        np.asarray(v)[reached_back(record, n, one)]
        for n, v in enumerate(values_of(record))
        if np.asarray(v).dtype.kind == "f"
    ]
    together = np.concatenate([np.ravel(t) for t in taken]) if taken else np.zeros(0)
    infinite = together[np.isinf(together)]
    if event.what == "turned":
        opposite = bool((infinite > 0).any() and (infinite < 0).any())
        text = "∞−∞" if opposite else "0·∞" if len(taken) > 1 else f"{op.name}(∞)"
        because = (
            "infinities of both signs are added" if opposite
            else "an infinity is multiplied by 0" if len(taken) > 1
            else "infinities have no such result"
        )  # fmt: skip
        return Pair(text, because, index, value)
    if math.isinf(value):
        return Pair(f"{op.name} of {together.size} numbers", _too_large(record), index, value)
    if not together.size or op.name in ("mean", "var", "std"):
        return Pair("0/0", f"{op.name} of too few numbers", index, value)
    return Pair(f"{op.name} of {together.size} numbers", "it is not defined there", index, value)


# ----------------------------------------------------------------------------------- derivatives


def _of_derivative(recording: Recording, event: Event, flow: Flow) -> Pair:
    record, position = event.record, event.position
    op = record.op
    assert op is not None
    assert position is not None
    args, edge = values_of(record), op.edge(position)
    word = "cotangent" if flow.backward else "tangent"
    index = first(event.mask)
    value = _at(flow.part(record, position), index)
    if isinstance(edge, ELEMENTWISE) and op.joint is None:
        with quietly():
            if op.elementwise:
                whole = np.shape(record.value)
                slope, out = factor(edge, args, record.value, record.attrs), event.carried
            else:
                whole = np.shape(args[position])
                slope = factor(
                    edge, args, spread(record.value, *args, **record.attrs), record.attrs
                )
                out = spread(event.carried, *args, **record.attrs) if flow.backward else (
                    event.carried)  # fmt: skip
            slopes = np.broadcast_to(np.asarray(slope, float), whole)
            carried = np.broadcast_to(np.asarray(out, float), whole)
            products = slopes * carried
        where = event.mask
        if op.elementwise:
            reach = reached_forward if flow.backward else (lambda _r, _p, m: m)
            where = np.broadcast_to(reach(record, position, event.mask), whole)
        elif not flow.backward:
            where = reached_back(record, position, event.mask)
        made = where & ~np.isfinite(products)
        here = first(made if np.any(made) else where)
        p, c = float(slopes[here]), float(carried[here])
        items = [Item("local derivative", p), Item(word, c)]
        for n, v in enumerate(args):
            at = _broadcast(v, whole, here)
            if at is not None:
                items.append(Item(operand_name(recording, record, n), at))
        text = f"{_factor(p)}·{_factor(c)}"
        because = _no_product(p, c) if np.any(made) else "the products of several elements overflow"
        return Pair(text, because, index, value, tuple(items))
    if isinstance(edge, Bilinear):
        other = np.asarray(args[1 - position], float)
        if np.any(bad(other)):
            p = float(other[bad(other)].flat[0])
            zero = bool(np.any(np.asarray(event.carried) == 0))
            c = 0.0 if zero else float(np.ravel(event.carried)[0])
            text = f"{_factor(p)}·{_factor(c)}"
            items = [Item(operand_name(recording, record, 1 - position), p), Item(word, c)]
            return Pair(text, _no_product(p, c), index, value, tuple(items))
        return Pair("overflow", _too_large(record), index, value)
    because = f"the derivative of {op.name} does not exist at this point"
    return Pair(f"derivative of {op.name}", because, index, value)


def _no_product(slope: float, carried: float) -> str:
    if math.isnan(slope):
        return "the local derivative is no number"
    if math.isinf(slope) and carried == 0:
        return "the product of an infinite slope and 0 is no number"
    if math.isinf(slope):
        return "the local derivative is infinite"
    return "overflow: the product is too large for the dtype"
