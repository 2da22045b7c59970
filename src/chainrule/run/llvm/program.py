"""A program: the operations of a function as a graph, before it is made into loops.

It is built from what a staged tape recorded and is made small while it is built: what depends on
nothing is a constant, what stands twice is one value, and algebra that changes no bit of a result
is done. What nothing needs is left out when the graph is read from its results.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Attrs, attribute_key
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import NUMBERS, Traced, dtype_of, shape_of
from chainrule.transforms.own_rules import BY_AUTHOR

# Arrays of up to this many bytes are equal if their bytes are, and may become part of the code.
_SMALL = 4096


class Value:
    """One value of a program.

    Attributes:
        op: The primitive that makes it; ``None`` for an input or a constant.
        args: The values it is made of.
        attrs: The primitive's static attributes.
        shape, dtype: Of the array that it is.
        constant: The array itself, for a constant that is known while compiling.
        uniform: The number that a constant holds everywhere, if it is such a constant.
        weak: Whether it was written as a Python number, which takes on the dtype of its company.
        number: Its place in the program.
        parts: Shape and dtype of each, where it is several results at once.
        place: Where the operation was written: file and line.
    """

    __slots__ = (
        "args", "attrs", "constant", "dtype", "number", "op", "parts", "place", "shape", "uniform",
        "weak",
    )  # fmt: skip

    def __init__(
        self, number: int, op: Primitive | None, args: tuple[Value, ...], attrs: Attrs,
        shape: tuple[int, ...], dtype: np.dtype[Any],
    ) -> None:  # fmt: skip
        self.number = number
        self.op = op
        self.args = args
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.constant: Any = None
        self.uniform: Any = None
        self.weak = False
        self.parts: list[tuple[tuple[int, ...], np.dtype[Any]]] | None = None
        self.place: tuple[str, int] | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_constant(self) -> bool:
        """Whether it is known while compiling."""
        return self.constant is not None

    def __repr__(self) -> str:
        return f"%{self.number}"


class Program:
    """Operations in the order in which they can be performed.

    Attributes:
        inputs: The values that are given.
        captured: Constants too large for the code, by reference: inputs as well.
        results: The values that are wanted.
        finite: The numbers of values that have no NaN and no infinity whenever it is run.
    """

    def __init__(self) -> None:
        import chainrule.run.llvm.rows  # noqa: F401 - some rows are known to be made of others

        self.values: list[Value] = []
        self.inputs: list[Value] = []
        self.results: list[Value] = []
        self.finite: set[int] = set()
        self._known: dict[Any, Value] = {}
        self._by_identity: dict[int, tuple[Any, Value]] = {}

    # ------------------------------------------------------------------------------- what it holds

    def input(self, shape: tuple[int, ...], dtype: np.dtype[Any], weak: bool = False) -> Value:
        """A new value that is given from outside."""
        value = self._new(None, (), NO_ATTRS, shape, dtype)
        value.weak = weak
        self.inputs.append(value)
        return value

    def constant(self, given: Any) -> Value:
        """A value that is known: a number, or an array."""
        kind = type(given)
        weak = kind in _WEAK
        if kind in NUMBERS:
            key: Any = (kind, given) if given else (kind, repr(given))  # two zeros are two numbers
            found = self._known.get(key)
            if found is not None:
                return found
            array = np.asarray(given)
        else:
            known = self._by_identity.get(id(given))
            if known is not None:
                return known[1]
            array = np.asarray(given)
            spread = _repeats_one(array)
            small = array.nbytes <= _SMALL or spread
            content = array[(0,) * array.ndim].tobytes() if spread and array.size else None
            # The tape copies what it captures anew for every use; here it is one array again.
            data = content or (array.tobytes() if small else _digest(array))
            key = array.shape, array.dtype, data, bool(content), small
            found = self._known.get(key)
            if found is not None:
                return found
        value = self._new(None, (), NO_ATTRS, array.shape, array.dtype)
        value.constant = array
        value.weak = weak
        value.uniform = _uniform(array)
        self._known[key] = value
        if kind not in NUMBERS:
            self._by_identity[id(given)] = given, value  # kept, so that nothing else gets its id
        return value

    def adopted(self, other: Value) -> Value:
        """A constant of another program."""
        value = self._new(None, (), NO_ATTRS, other.shape, other.dtype)
        value.constant, value.uniform, value.weak = other.constant, other.uniform, other.weak
        return value

    def apply(
        self, op: Primitive, args: Sequence[Value], attrs: Attrs,
        shape: tuple[int, ...], dtype: np.dtype[Any], place: tuple[str, int] | None = None,
    ) -> Value:  # fmt: skip
        """``op`` of the arguments: a new value, one that is there already, or a simpler one."""
        args = tuple(args)
        rule = SIMPLER.get(op.name)
        if rule is not None and op.name in _OF_KNOWN:
            for a in args:
                if a.uniform is not None or (a.op is not None and a.op.name in CHOICES):
                    break
            else:
                rule = None
        if op.structure == BY_AUTHOR:  # its name is the user's, and says nothing
            rule = functools.partial(SIMPLER[BY_AUTHOR], op)
        if rule is not None:
            first = len(self.values)
            simpler = rule(self, args, attrs, shape, dtype)
            if simpler is not None and simpler.shape == shape and simpler.dtype == dtype:
                return self._placed(simpler, first, place)
        for a in args:
            if a.op is not None and a.op.name in JOINED:
                first = len(self.values)
                by_pieces = SIMPLER[OF_PIECES](self, op, args, attrs, shape, dtype)
                if by_pieces is not None:
                    return self._placed(by_pieces, first, place)
                break
        return self.plain(op, args, attrs, shape, dtype, place)

    def _placed(self, value: Value, first: int, place: tuple[str, int] | None) -> Value:
        """A value, all of which since a first one was made where an operation was written."""
        for made in self.values[first:]:
            made.place = place
        return value

    def plain(
        self, op: Primitive, args: tuple[Value, ...], attrs: Attrs, shape: tuple[int, ...],
        dtype: np.dtype[Any], place: tuple[str, int] | None = None,
    ) -> Value:  # fmt: skip
        """``op`` of the arguments: a new value, or one that is there already."""
        key = _key(op, args, attrs, dtype)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._new(op, args, attrs, shape, dtype)
            found.place = place
        return found

    def known(
        self, op: Primitive, args: tuple[Value, ...], attrs: Attrs, dtype: np.dtype[Any]
    ) -> Value | None:
        """The value of ``op`` of the arguments, if it is computed already."""
        return self._known.get(_key(op, args, attrs, dtype))

    def _new(
        self, op: Primitive | None, args: tuple[Value, ...], attrs: Attrs,
        shape: tuple[int, ...], dtype: np.dtype[Any],
    ) -> Value:  # fmt: skip
        value = Value(len(self.values), op, args, attrs, shape, dtype)
        self.values.append(value)
        return value

    def needed(self) -> list[Value]:
        """What the results depend on, in order: inputs, constants and operations."""
        wanted = bytearray(len(self.values))
        for result in self.results:
            wanted[result.number] = 1
        for value in reversed(self.values):
            if wanted[value.number]:
                for arg in value.args:
                    wanted[arg.number] = 1
        return [v for v in self.values if wanted[v.number]]

    # ---------------------------------------------------------------------- where it is taken from

    def record(
        self, records: Iterable[Traced], level: int, known: dict[int, Value],
        outside: Callable[[Any], Value], places: Mapping[int, tuple[str, int]] | None = None,
        finite: Container[int] = (),
    ) -> None:  # fmt: skip
        """Add what a tape recorded.

        Args:
            records: The records in order.
            level: That of their tape.
            known: The values of records, by their index: those of inputs are there already, the
                others are added.
            outside: Gives the value for an operand of another computation.
            places: Where the operations were written, by index.
            finite: Those that the recording counts on being finite, by index.
        """
        for record in records:
            index = record.index
            if index in known:
                continue
            if record.op is None:
                known[index] = self.constant(record.value)
                continue
            args = []
            constant = True
            for a in record.args:
                kind = type(a)
                if kind is Traced and a.level == level:
                    value = known[a.index]
                elif kind in NUMBERS:
                    value = self.constant(a)
                elif isinstance(a, Traced) or hasattr(a, "level"):
                    value = outside(a)
                else:
                    value = self.constant(a)
                constant = constant and value.constant is not None
                args.append(value)
            result = record.value
            several = isinstance(result, tuple)
            shape: tuple[int, ...] = ()
            dtype: np.dtype[Any] = BUNDLE if several else _FLOAT64
            if not several and type(result) is not np.float64:
                shape, dtype = shape_of(result), dtype_of(result)
            if constant and not several:
                known[index] = self.constant(result)
                continue
            value = known[index] = self.apply(
                record.op, args, record.attrs, shape, dtype, places.get(index) if places else None
            )
            if index in finite:
                self.finite.add(value.number)
            value.weak = type(result) in _WEAK
            if several and value.parts is None:
                value.parts = [(shape_of(part), dtype_of(part)) for part in result]


# Several results at once have no dtype of their own; each item has.
BUNDLE = np.dtype(object)
_FLOAT64 = np.dtype(np.float64)
# Python's own numbers, which take on the dtype of their company.
_WEAK = frozenset((float, int, bool))
# What may be a choice between few numbers, with which operations are simple too.
CHOICES = frozenset(("where", "astype"))
# What is put together of arrays, and the rule for what is done to each of them.
JOINED = frozenset(("concatenate", "stack"))
OF_PIECES = "of pieces"
# What is only ever simpler with a number that is known, or with one of these.
_OF_KNOWN = frozenset(("add", "subtract", "multiply", "divide", "power"))


def _digest(array: Any) -> bytes:
    """What stands for the content of a large array."""
    if array.dtype.hasobject:
        return id(array).to_bytes(8, "little")
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.blake2b(data.data, digest_size=32).digest()


def _uniform(array: Any) -> Any:
    """The number that stands everywhere in an array, or ``None``."""
    if array.dtype.kind not in "fiub" or not array.size:
        return None
    first = array[(0,) * array.ndim]
    if _repeats_one(array):
        return first
    if array.flat[-1] != first or not (array == first).all():
        return None
    if first == 0 and array.dtype.kind == "f":
        negative = np.signbit(array)
        if negative.any() != negative.all():
            return None
    return first


def _repeats_one(array: Any) -> bool:
    """Whether all elements of an array are the same one in memory."""
    return all(s == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1)


def _key(
    op: Primitive, args: tuple[Value, ...], attrs: Attrs, dtype: np.dtype[Any]
) -> tuple[Any, ...]:
    """What an operation is known by."""
    given = tuple([(k, attribute_key(v)) for k, v in attrs.items()]) if attrs else ()
    return op, args, given, dtype


# By the primitive's name: ``rule(program, args, attrs, shape, dtype)`` gives a value that is equal,
# or None. The rows fill the table.
SIMPLER: dict[str, Callable[..., Value | None]] = {}
