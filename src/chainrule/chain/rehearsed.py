"""The walk back over a short tape, written out as Python once the same computation comes again.

On small arrays, asking each edge what it is takes longer than its arithmetic. The answers depend on
the operations, on what they were given, and on shapes and dtypes, all of which are the same in each
step of a training loop. So a computation that comes for the third time is walked by a function that
was written for it: the same partials and transposes, called with the same arguments in the same
order, and no questions but whether it still is the same computation. Where it is not, or where an
edge is more than a product or a transpose, ``reverse`` walks the tape itself.

A rule's results have shapes and dtypes that follow from those of its arguments, never from values;
staging for the compiler rests on the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule.chain.edges import fitted
from chainrule.chain.quiet import quietly
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Traced, dtype_of, shape_of
from chainrule.rules.shapes import add_up, sum_to

ARRAY = np.ndarray
# Longer tapes have arrays that take their time, or are loops of numbers: the walk will do.
_LONGEST = 256
# How often a computation was walked before its walk is written.
_SEEN = 2
# How many walks are kept of computations with the same operations, on other shapes; and of others.
_ALIKE = 6
_OTHERS = 512

# A walk: from the records and the cotangent of the last one to the cotangents of the inputs.
Walk = Callable[[Sequence[Traced], Any], "dict[int, Any] | None"]
_primitive_of = attrgetter("op")


class _Known:
    """What is known of the computations with the same operations in the same order."""

    __slots__ = ("left", "operations", "seen", "walks")

    def __init__(self) -> None:
        self.operations: tuple[Any, ...] | None = None  # once there are walks
        self.seen = 0
        self.left = _ALIKE
        self.walks: list[Walk] = []


# By the hash of the operations: to be remembered, those of a user's own rules need not be kept.
_known: dict[int, _Known] = {}


def rehearsed(
    records: Sequence[Traced], seeds: Mapping[int, tuple[Any, Any]]
) -> dict[int, Any] | None:
    """What ``reverse`` returns, if the computation is one whose walk has been written.

    Args:
        records: A tape's records, in order.
        seeds: Cotangent and support of the outputs, by index, as for ``reverse``.

    Returns:
        Cotangent and support of each input by index, or ``None``: then ``reverse`` has to walk.
    """
    if len(seeds) != 1 or len(records) > _LONGEST or not records or not records[0].tape.plain:
        return None
    ((last, (cotangent, support)),) = seeds.items()
    if support is not None:
        return None
    operations = (last, *map(_primitive_of, records))
    key = hash(operations)
    known = _known.get(key)
    if known is None:
        if len(_known) >= _OTHERS:
            _known.clear()
        known = _known[key] = _Known()
    if known.walks and known.operations == operations:
        with quietly():
            for walk in known.walks:
                carried = walk(records, cotangent)
                if carried is not None:
                    return carried
    known.seen += 1
    if known.seen > _SEEN and known.left:
        known.seen, known.left = 0, known.left - 1
        written = _Writer(records, last).written(cotangent)
        if written is None:
            known.left = 0
            return None
        walk, carried = written
        if known.operations is None or known.operations == operations:
            known.operations = operations
            known.walks.append(walk)
        return carried
    return None


class _Writer:
    """Writes the walk over a tape while walking it."""

    def __init__(self, records: Sequence[Traced], last: int) -> None:
        self.records = records
        self.last = last
        self.names: dict[str, Any] = {
            "ARRAY": ARRAY,
            "add_up": add_up,
            "fitted": fitted,
            "sum_to": sum_to,
        }
        self.asked: list[str] = []
        self.walked: list[str] = []
        self.found: dict[int, Any] = {}

    def written(self, cotangent: Any) -> tuple[Walk, dict[int, Any]] | None:
        """The walk and what it comes to this time, or ``None`` where it cannot be written."""
        if not all(self._known(i, r) for i, r in enumerate(self.records)):
            return None
        self._same_value(f"c{self.last}", cotangent)
        self.found[self.last] = cotangent
        ends = []
        with quietly():
            try:
                for index in range(self.last, -1, -1):
                    if index in self.found:
                        if self.records[index].op is None:
                            ends.append(index)
                        else:
                            self._walk(index)
            except (ZeroDivisionError, OverflowError):  # of Python's own numbers
                return None
        numbers = range(len(self.records))
        rows = ", ".join(f"r{i}" for i in numbers)
        needed = set(re.findall(r"\bv\d+\b", "\n".join([*self.asked, *self.walked])))
        values = [f"v{i} = r{i}.value" for i in numbers if f"v{i}" in needed]
        result = ", ".join(f"{i}: (c{i}, None)" for i in ends)
        body = [
            f"{rows}, = records",
            *values,
            *self.asked,
            "try:",
            *("    " + line for line in self.walked or ["pass"]),
            "except (ZeroDivisionError, OverflowError):",
            "    return None",
            f"return {{{result}}}",
        ]
        source = f"def walk(records, c{self.last}):\n" + "\n".join("    " + line for line in body)
        exec(compile(source, "<a walk written out>", "exec"), self.names)
        return self.names["walk"], {index: (self.found[index], None) for index in ends}

    def _known(self, index: int, record: Traced) -> bool:
        """Whether the record can be walked; asks in what is written whether it is the same."""
        op, args = record.op, record.args
        if record.index != index:  # a handle that an assignment has moved on
            return False
        if op is None:
            self._same_value(f"v{index}", record.value)
            return True
        if not walkable(op, args, record.attrs):
            return False
        given = _arguments(index, args)
        if len(args) == 2:
            self.asked.append(f"a{index}, b{index} = r{index}.args")
        for name, a in zip(given, args, strict=True):
            if type(a) is not Traced:
                self._same_value(name, a)
            elif a.index < index and self.records[a.index] is a:
                self._same(f"{name} is r{a.index}")
            else:
                return False
        if record.attrs:
            self._same(f"r{index}.attrs == {self._name('A', dict(record.attrs))}")
        return True

    def _same(self, condition: str) -> None:
        self.asked.append(f"if not ({condition}): return None")

    def _same_value(self, name: str, value: Any) -> None:
        """Ask for the type, and for shape and dtype where they do not follow from it."""
        if type(value) is not ARRAY:
            self._same(f"type({name}) is {self._name('T', type(value))}")
            return
        dtype = self._name("D", value.dtype)
        shape = f"{name}.shape == {value.shape}"
        self._same(f"type({name}) is ARRAY and {shape} and {name}.dtype is {dtype}")

    def _name(self, letter: str, thing: Any) -> str:
        """What something is called in the function's globals."""
        for name, named in self.names.items():
            if named is thing and name.startswith(letter):
                return name
        name = f"{letter}{len(self.names)}"
        self.names[name] = thing
        return name

    def _walk(self, index: int) -> None:
        """Across the edges of one record."""
        record = self.records[index]
        op, args, attrs = record.op, record.args, record.attrs
        assert op is not None
        values = [a.value if type(a) is Traced else a for a in args]
        names = [
            f"v{a.index}" if type(a) is Traced else own
            for a, own in zip(args, _arguments(index, args), strict=True)
        ]
        cotangent, here = self.found.pop(index), f"c{index}"
        for position, a in enumerate(args):
            if type(a) is not Traced:
                continue
            if op.slopes is not None:
                slope = op.slopes[min(position, len(op.slopes) - 1)]
                if type(slope) is not float:
                    given = ", ".join([*names, f"v{index}"])
                    part = cotangent * slope(*values, record.value)
                    text = f"{here} * {self._name('S', slope)}({given})"
                elif slope == 1.0:
                    part, text = cotangent, here
                elif slope == -1.0:
                    part, text = -cotangent, f"-{here}"
                else:
                    part, text = cotangent * slope, f"{here} * {self._name('S', slope)}"
            else:
                assert op.transposes is not None
                transpose = op.transposes[position]
                assert transpose is not None
                part = transpose(cotangent, *values, **attrs)
                given = ", ".join([here, *names])
                for name, attribute in attrs.items():
                    given += f", {name}={self._name('A', attribute)}"
                text = f"{self._name('L', transpose)}({given})"
            self._arrive(a, part, text)
        self.walked.append(f"{here} = None")  # its memory is free for what comes

    def _arrive(self, a: Traced, part: Any, text: str) -> None:
        """Add a part to the cotangent of an argument, in its shape and dtype."""
        name, value = f"c{a.index}", a.value
        shape, wide = shape_of(value), shape_of(part)
        if type(part) is not type(value) or dtype_of(part) != dtype_of(value):
            text = f"fitted({text}, v{a.index})"
        elif shape != wide:  # of a bias, ``sum_to`` makes the first of the two
            text = f"add_up({text}, 0)" if wide[1:] == shape else f"sum_to({text}, {shape})"
        part = fitted(part, value)
        if a.index in self.found:
            part = self.found[a.index] + part
            text = f"{name} + {text}"
        self.found[a.index] = part
        self.walked.append(f"{name} = {text}")


def _arguments(index: int, args: tuple[Any, ...]) -> list[str]:
    """What the arguments of a record are called in what is written."""
    return [f"r{index}.args[0]"] if len(args) == 1 else [f"a{index}", f"b{index}"]


def walkable(op: Primitive, args: tuple[Any, ...], attrs: Mapping[str, Any]) -> bool:
    """Whether a cotangent goes back across all edges by a product or a transpose."""
    if len(args) not in (1, 2):
        return False
    if op.slopes is not None:
        return not attrs
    transposes = op.transposes
    if transposes is None or None in transposes or len(transposes) != len(args):
        return False
    return not attrs or (len(args) == 1 and all(map(_is_simple, attrs.values())))


def _is_simple(attribute: Any) -> bool:
    """Whether two attributes are the same if they are equal."""
    if isinstance(attribute, tuple):
        return all(map(_is_simple, attribute))
    return attribute is None or isinstance(attribute, bool | int | str | np.dtype)
