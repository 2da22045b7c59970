"""A program: the operations of a function as a graph, before it is made into loops.

It is built from what a staged tape recorded and is made small while it is built: what depends on
nothing is a constant, what stands twice is one value, and algebra that changes no bit of a result
is done. What nothing needs is left out when the graph is read from its results.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.graph.operand import NO_ATTRS, Attrs
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
    """

    def __init__(self) -> None:
        import chainrule.run.llvm.rows  # noqa: F401 - some rows are known to be made of others

        self.values: list[Value] = []
        self.inputs: list[Value] = []
        self.results: list[Value] = []
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
            spread = all(s == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1)
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

    def apply(
        self, op: Primitive, args: Sequence[Value], attrs: Attrs,
        shape: tuple[int, ...], dtype: np.dtype[Any], place: tuple[str, int] | None = None,
    ) -> Value:  # fmt: skip
        """``op`` of the arguments: a new value, one that is there already, or a simpler one."""
        args = tuple(args)
        rule = SIMPLER.get(op.name)
        if rule is not None and op.name in _OF_KNOWN:
            for a in args:
                if a.uniform is not None:
                    break
            else:
                rule = None
        if op.structure == BY_AUTHOR:  # its name is the user's, and says nothing
            rule = functools.partial(SIMPLER[BY_AUTHOR], op)
        if rule is not None:
            first = len(self.values)
            simpler = rule(self, args, attrs, shape, dtype)
            if simpler is not None and simpler.shape == shape and simpler.dtype == dtype:
                for made in self.values[first:]:
                    made.place = place
                return simpler
        given = tuple([(k, _key(v)) for k, v in attrs.items()]) if attrs else ()
        key = (op, args, given, dtype)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._new(op, args, attrs, shape, dtype)
            found.place = place
        return found

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
    ) -> None:  # fmt: skip
        """Add what a tape recorded.

        Args:
            records: The records in order.
            level: That of their tape.
            known: The values of records, by their index: those of inputs are there already, the
                others are added.
            outside: Gives the value for an operand of another computation.
            places: Where the operations were written, by index.
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
            dtype: np.dtype[Any] = _BUNDLE if several else _FLOAT64
            if not several and type(result) is not np.float64:
                shape, dtype = shape_of(result), dtype_of(result)
            if constant and not several:
                known[index] = self.constant(result)
                continue
            value = known[index] = self.apply(
                record.op, args, record.attrs, shape, dtype, places.get(index) if places else None
            )
            value.weak = type(result) in _WEAK
            if several and value.parts is None:
                value.parts = [(shape_of(part), dtype_of(part)) for part in result]


# Several results at once have no dtype of their own; each item has.
_BUNDLE = np.dtype(object)
_FLOAT64 = np.dtype(np.float64)
# Python's own numbers, which take on the dtype of their company.
_WEAK = frozenset((float, int, bool))
# What is only ever simpler with a number that is known.
_OF_KNOWN = frozenset(("add", "subtract", "multiply", "divide", "power"))


def _key(attribute: Any) -> Any:
    """An attribute as a part of a dictionary's key."""
    if isinstance(attribute, tuple):
        return tuple(map(_key, attribute))
    if isinstance(attribute, slice):
        return slice, attribute.start, attribute.stop, attribute.step
    if isinstance(attribute, float):
        return attribute.hex()
    try:
        hash(attribute)
    except TypeError:
        return id(attribute)
    return type(attribute), attribute


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
    if array.ndim and array.size > 1:
        spread = all(s == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1)
        if not spread:
            if array.flat[-1] != first:
                return None
            if not (array == first).all():
                return None
            if (
                first == 0
                and array.dtype.kind == "f"
                and np.signbit(array).any() != np.signbit(array).all()
            ):
                return None
    return first


# ---------------------------------------------------------------------------------- simpler values
#
# By the primitive's name: ``rule(program, args, attrs, shape, dtype)`` gives a value that is equal,
# bit for bit, or None.

SIMPLER: dict[str, Callable[..., Value | None]] = {}


def _simpler(*names: str) -> Callable[[Callable[..., Value | None]], Callable[..., Value | None]]:
    def add(rule: Callable[..., Value | None]) -> Callable[..., Value | None]:
        for name in names:
            SIMPLER[name] = rule
        return rule

    return add


def _is(value: Value, number: float) -> bool:
    return (
        value.uniform is not None and value.uniform == number
        and (number != 0 or bool(np.signbit(value.uniform)) == (math.copysign(1, number) < 0))
    )  # fmt: skip


def _same(program: Program, x: Value, shape: Any, dtype: Any) -> Value | None:
    """``x`` in the shape of a result, where its dtype is right already."""
    if x.dtype != dtype:
        return None
    if x.shape == shape:
        return x
    from chainrule.rules.shapes import BROADCAST

    return program.apply(BROADCAST, (x,), {"shape": shape}, shape, dtype)


@_simpler("multiply")
def _multiply(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    x, y = args
    if x.uniform is not None and y.uniform is None:
        x, y = y, x
    if y.uniform is None:
        return None
    if _is(y, 1.0):
        return _same(program, x, shape, dtype)
    if _is(y, -1.0) and dtype.kind == "f" and x.shape == shape and x.dtype == dtype:
        from chainrule.rules.arithmetic import NEGATIVE

        return program.apply(NEGATIVE, (x,), NO_ATTRS, shape, dtype)
    return None


@_simpler("divide")
def _divide(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 1.0) else None


@_simpler("add")
def _add(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    for x, y in (args, args[::-1]):
        if _is(y, -0.0):
            return _same(program, x, shape, dtype)
    return None


@_simpler("subtract")
def _subtract(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 0.0) else None


@_simpler("negative")
def _negative(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    return x.args[0] if x.op is not None and x.op.name == "negative" else None


@_simpler("power")
def _power(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    return _same(program, args[0], shape, dtype) if _is(args[1], 1.0) else None


@_simpler("where")
def _where(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    condition, x, y = args
    if condition.uniform is not None:
        return _same(program, x if condition.uniform else y, shape, dtype)
    return _same(program, x, shape, dtype) if x is y else None


@_simpler("not_equal")
def _not_equal(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """Whether indicators, moved and added up, are not zero: without the numbers between."""
    x, y = args
    if y.uniform is None or y.uniform != 0 or x.op is None:
        return None
    name = x.op.name
    if name == "where":
        mask, one, zero = x.args
        if one.uniform is not None and one.uniform != 0 and zero.uniform == 0:
            return _same(program, mask, shape, dtype)
    elif name == "astype":
        if x.args[0].dtype == np.bool_:
            return _same(program, x.args[0], shape, dtype)
    elif name in ("reshape", "transpose", "broadcast_to", "index"):
        inside = _indicated(program, x.args[0])
        if inside is not None:
            return program.apply(x.op, (inside, *x.args[1:]), x.attrs, shape, dtype)
    elif name == "sum":
        inside = _indicated(program, x.args[0])
        if inside is not None and _positive(x.args[0]):
            from chainrule.rules.reductions import ANY

            return program.apply(ANY, (inside,), x.attrs, shape, dtype)
    return None


def _indicated(program: Program, x: Value) -> Value | None:
    """Where an indicator is not zero, if that is known without computing it."""
    if x.uniform is not None:
        return program.constant(np.broadcast_to(np.bool_(x.uniform != 0), x.shape))
    zero = program.constant(0)
    return _not_equal(program, (x, zero), NO_ATTRS, x.shape, np.dtype(np.bool_))


def _positive(x: Value) -> bool:
    """Whether what is added up is a number of ones, so that the sum is zero only if all are."""
    while x.op is not None and x.op.name in ("reshape", "transpose", "broadcast_to", "index"):
        x = x.args[0]
    if x.uniform is not None:
        return bool(x.uniform >= 0)
    if x.op is None:
        return False
    if x.op.name == "astype":
        return x.args[0].dtype == np.bool_
    if x.op.name == "sum":
        return _positive(x.args[0])
    if x.op.name == "where":
        return all(a.uniform is not None and a.uniform >= 0 for a in x.args[1:])
    return False


@_simpler("logical_and", "logical_or")
def _logical(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    x, y = args
    return _same(program, x, shape, dtype) if x is y else None


@_simpler("reshape")
def _reshape(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.shape == shape:
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "reshape":
        return program.apply(x.op, x.args, {"shape": shape}, shape, dtype)
    return None


@_simpler("transpose")
def _transpose(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    axes = attrs["axes"]
    if axes == tuple(range(len(axes))):
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "transpose":
        inner = x.attrs["axes"]
        joined = {"axes": tuple(inner[a] for a in axes)}
        return program.apply(x.op, x.args, joined, shape, dtype)
    return None


@_simpler("broadcast_to")
def _broadcast(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    if x.shape == shape:
        return x  # type: ignore[no-any-return]
    if x.op is not None and x.op.name == "broadcast_to":
        return program.apply(x.op, x.args, {"shape": shape}, shape, dtype)
    if x.uniform is not None:
        return program.constant(np.broadcast_to(x.uniform, shape))
    return None


@_simpler("astype", "copy")
def _astype(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    (x,) = args
    return x if x.dtype == dtype else None


@_simpler("sum", "mean", "max", "min", "prod")
def _over_one(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """A reduction over axes of length one only moves elements."""
    (x, *_) = args
    if len(args) > 1 or x.dtype != dtype or x.size != math.prod(shape) or not x.size:
        return None
    from chainrule.rules.shapes import RESHAPE

    return program.apply(RESHAPE, (x,), {"shape": shape}, shape, dtype)


@_simpler("matmul")
def _matmul(program: Program, args: Any, attrs: Any, shape: Any, dtype: Any) -> Value | None:
    """A product with a matrix of equal numbers is a sum, repeated."""
    x, y = args
    if y.uniform is None or len(x.shape) < 2 or len(y.shape) != 2 or x.dtype != y.dtype:
        return None
    from chainrule.rules.arithmetic import MULTIPLY
    from chainrule.rules.reductions import SUM
    from chainrule.rules.shapes import BROADCAST

    if dtype.kind != "f" or not np.isfinite(y.uniform):
        return None
    kept = (*x.shape[:-1], 1)
    over = {"axis": len(x.shape) - 1, "keepdims": True}
    total = program.apply(SUM, (x,), over, kept, dtype)
    if y.uniform != 1:
        total = program.apply(MULTIPLY, (total, y), NO_ATTRS, shape, dtype)
    return program.apply(BROADCAST, (total,), {"shape": shape}, shape, dtype)
