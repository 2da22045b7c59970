"""The tape: a computation recorded while it runs with concrete values.

A record is a slotted object that is never shared: what the user wrote twice stands twice, so names
and paths stay as written. Records are appended as they happen, so the order of recording is a
topological order and nothing that walks a tape ever recurses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from sys import _getframe as getframe
from types import FrameType
from typing import Any, Protocol

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.fronts import fronts
from chainrule.graph.operand import NO_ATTRS, Attrs, Operand, attribute_key, bind, concrete
from chainrule.graph.places import located, place_of_call
from chainrule.graph.primitive import Flat, Primitive

# Numbers that nobody can change, and these together with arrays: what no computation is part of.
NUMBERS = frozenset((float, int, bool, np.float64, np.float32, np.float16, np.int64, np.bool_))
PLAIN = NUMBERS | {np.ndarray}
ARRAY = np.ndarray
new = object.__new__
# A loop may cut many times in one line: this many of its values are remembered.
_REMEMBERED = 20
# Later tapes lie inside earlier ones. Level 0 is left to graph nodes, which lie under every tape.
levels = count(1)


class Recorder(Protocol):
    """Whatever wants to be told, once per operation, at which instruction one was performed.

    A call for each operation would cost as much as everything else that is done about it, so the
    tape looks itself whether the same frame is at work as the last time (``frame``), asks for the
    user's where it is another (``entered``), and notes the instruction (``note``).
    """

    frame: FrameType | None
    note: Callable[[int], None]

    def entered(self, frame: FrameType) -> FrameType:
        """The user's frame at or above ``frame``, which is the one at work from here on."""


class Traced(Operand):
    """One record: a value, the primitive that made it, and its arguments.

    ``op`` is ``None`` for an input. ``args`` holds records of the same tape and plain constants.
    """

    __slots__ = ("args", "attrs", "index", "op", "tape", "value")

    def __init__(
        self,
        tape: Tape,
        value: Any,
        op: Primitive | None = None,
        args: tuple[Any, ...] = (),
        attrs: Attrs = NO_ATTRS,
    ) -> None:
        self.tape = tape
        self.level = tape.level
        self.value = value
        self.op = op
        self.args = args
        self.attrs = attrs
        records = tape.records
        self.index = len(records)
        records.append(self)

    def apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
        """Compute ``primitive`` on the values and record it on this tape."""
        tape = self.tape
        # Functions of one or two arrays are what most programs are made of. Every question that is
        # not asked here shows in the time that a program of small arrays takes.
        if tape.special or not primitive.recorded:
            return self._apply(primitive, args, attrs)
        if len(args) == 1:
            x = self.value
            if tape.plain:
                value = primitive.evaluate(x, **attrs) if attrs else primitive.evaluate(x)
                if type(value) not in PLAIN:
                    tape.plain = False
            elif type(x) is Traced:
                value = x.apply(primitive, (x,), attrs)
            else:
                value = bind(primitive, (x,), attrs)
        elif attrs or len(args) > 2:
            return self._apply(primitive, args, attrs)
        else:
            x, y = args
            if x is self:
                x, kind = self.value, type(y)
                if kind is Traced and y.level == self.level:
                    y = y.value
                elif kind not in NUMBERS:
                    args = self, _kept(y)
                    if kind is not ARRAY:
                        tape.plain = False
            else:
                y, kind = self.value, type(x)
                if kind is Traced and x.level == self.level:
                    x = x.value
                elif kind not in NUMBERS:
                    args = _kept(x), self
                    if kind is not ARRAY:
                        tape.plain = False
            if tape.plain:
                value = primitive.evaluate(x, y)
                if type(value) not in PLAIN:
                    tape.plain = False
            elif type(x) is Traced and (
                type(y) in NUMBERS or (type(y) is Traced and y.level <= x.level)
            ):
                value = x.apply(primitive, (x, y), attrs)
            else:
                value = bind(primitive, (x, y))
        # What ``__init__`` does, without the call.
        record: Traced = new(Traced)
        record.tape = tape
        record.level = self.level
        record.value = value
        record.op = primitive
        record.args = args
        record.attrs = attrs
        records = tape.records
        record.index = len(records)
        records.append(record)
        return record

    def _apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
        """The same where there is more to be asked, or where there are more arguments."""
        tape = self.tape
        value, kept = self._uncommon(primitive, args, attrs)
        if kept is None:
            return value
        if tape.plain and type(value) not in PLAIN:
            tape.plain = False
        recorder = tape.recorder
        if recorder is not None:
            frame = getframe(3)  # the user's; between are this, and the operator or the ufunc
            if frame is not recorder.frame:
                frame = recorder.entered(frame)
            recorder.note(frame.f_lasti)
        return Traced(tape, value, primitive, kept, attrs)

    def _uncommon(
        self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs
    ) -> tuple[Any, tuple[Any, ...] | None]:
        """The value and the arguments to be recorded; without these, the value is the result."""
        level = self.level
        tape = self.tape
        if tape.asking:
            args = tape.looked_at(primitive, args)
            if any(type(a) is Traced and a.level > level for a in args):
                return bind(primitive, args, attrs), None  # a view of what moved further inside
        key: Any = None
        merged: Any = tape.merged
        if (
            merged is not None
            and primitive.recorded
            and not (primitive.view and _shows_memory(args, attrs))
        ):
            key = written_alike(primitive, args, attrs, level)
            if key is not None:
                same = merged.get(key)
                if same is not None:
                    return same, None
        if tape.staged:
            record = self._stage(primitive, args, attrs)
            if key is not None and type(record.value) in NUMBERS:
                merged[key] = record
            return record, None
        values = []
        kept = True
        below: Operand | None = None  # the innermost of the computations around this one
        for a in args:
            kind = type(a)
            if kind is Traced and a.level == level:
                a = a.value
                kind = type(a)
            elif kind not in NUMBERS:
                kept = False
            if (
                kind not in PLAIN
                and isinstance(a, Operand)
                and (below is None or a.level > below.level)
            ):
                below = a
            values.append(a)
        if below is not None:
            tape.plain = False
            value = below.apply(primitive, tuple(values), attrs)
        else:
            value = primitive.evaluate(*values, **attrs) if attrs else primitive.evaluate(*values)
        if not primitive.recorded:
            tape.note_cut(primitive, args)
            return value, None
        if not kept:
            args = tuple([a if type(a) is Traced and a.level == level else _kept(a) for a in args])
        if key is not None and type(example(value)) in NUMBERS:
            if type(value) not in PLAIN:
                tape.plain = False
            merged[key] = record = Traced(tape, value, primitive, args, attrs)
            return record, None
        return value, args

    def _stage(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Traced:
        """Record everything, also conditions and whole numbers: the next run has other values."""
        level = self.level
        values = []
        for a in args:
            kind = type(a)
            if kind is Traced and a.level == level:
                a = a.value
                kind = type(a)
            elif kind not in NUMBERS:
                args = tuple(
                    [b if type(b) is Traced and b.level == level else _kept(b) for b in args]
                )
            values.append(a if kind in PLAIN else example(a))
        value = primitive.evaluate(*values, **attrs) if attrs else primitive.evaluate(*values)
        return Traced(self.tape, value, primitive, args, attrs)

    @property
    def transparent(self) -> bool:
        """Whether the value may be looked at: not where the computation is staged."""
        return not self.tape.staged or self.tape.branching

    def example(self) -> Any:
        """The value, which may be an operand again."""
        return self.value

    def constant(self, value: Any) -> Any:
        """A plain array as a part of this computation, to be assigned to."""
        return self.tape.constant(value)

    def alias(self) -> Traced:
        """Another handle of the same record."""
        same = object.__new__(Traced)
        same.become(self)
        return same

    def become(self, other: Traced) -> None:
        """Be a handle of the record that ``other`` is, from here on."""
        for slot in _SLOTS:
            setattr(self, slot, getattr(other, slot))

    def refuse_leak(self) -> None:
        """An error where the function that made the value has returned."""
        if self.tape.closed:
            raise _leaked("a plain number was asked of")

    def __repr__(self) -> str:
        return f"Traced({self.value!r})"

    def __format__(self, spec: str) -> str:
        if not spec:
            return repr(self)
        # Digits can be read back as a number: a recording has to count on them.
        return format(self.value if self.tape.assumed is None else self.tape.assume(self), spec)

    def __bool__(self) -> bool:
        if not self.transparent:
            if self.tape.assumed is not None:
                return bool(self.tape.assume(self))
            raise TraceError(
                "a branch on a value inside a staged loop: its body is recorded once, so every "
                "iteration would take the branch of the first.\n"
                "Write np.where(condition, a, b), or cond(condition, f, g, x)."
            )
        return bool(self.value)

    def __index__(self) -> int:
        value = concrete(self)
        if isinstance(value, Operand) and value.dtype.kind in "iub":
            value = known(value)
            if not isinstance(value, Operand):
                return operator.index(value)
        return super().__index__()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a traced scalar has no len()")
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return shape_of(self.value)

    @property
    def ndim(self) -> int:
        """Number of dimensions of the value."""
        return np.ndim(self.value)

    @property
    def size(self) -> int:
        """Number of elements of the value."""
        return int(np.size(self.value))

    @property
    def dtype(self) -> np.dtype[Any]:
        """Dtype of the value."""
        return dtype_of(self.value)


@dataclass(slots=True)
class Cut:
    """A place where a traced value went in and a plain one came out."""

    because: str
    place: tuple[str, int]
    indices: set[int]


class Watch(Protocol):
    """Whatever looks at the arguments of every operation before it is performed."""

    used: Callable[[tuple[Any, ...]], None]
    settle: Callable[[], None]


_SLOTS = ("level", *Traced.__slots__)


class Tape:
    """The records of one run of a function, in the order in which they were made.

    On a ``staged`` tape, values only say shapes and dtypes: everything is recorded, and asking for
    a truth value is an error.
    """

    __slots__ = (
        "_closed", "_instead", "_watch", "asking", "assumed", "branching", "cuts", "level",
        "merged", "plain", "recorder", "records", "special", "staged",
    )  # fmt: skip

    def __init__(self, recorder: Recorder | None = None, staged: bool = False) -> None:
        self.level = next(levels)
        self.records: list[Traced] = []
        self.recorder = recorder
        self.staged = staged
        # On a staged tape: whether the values are those of this one run, so that they may be asked.
        self.branching = False
        # On a staged tape: the values that were asked for, each with the index of its record, if
        # the recording may count on them. Whoever runs it again has to see that they are the same.
        self.assumed: list[tuple[int, Any]] | None = None
        self.cuts: dict[tuple[str, int], Cut] = {}
        self._closed = False
        self._watch: Watch | None = None
        self._instead: Callable[[Operand], Any] | None = None
        # The records of numbers by what they are computed of, where a computation is recorded to be
        # compiled: what is written twice then stands once, and so does its derivative. A recursion
        # that comes to the same again and again is as short as if it had remembered.
        self.merged: dict[Any, Traced] | None = None
        # Whether any of the first three above is set, and whether it is besides staged, merges or
        # is looked at by a recorder: one question for every operation instead of six.
        self.asking = False
        self.special = staged or recorder is not None
        # Whether all values are arrays and numbers for certain, and no operands of the computations
        # around this one.
        self.plain = False

    @property
    def closed(self) -> bool:
        """Whether the function has returned, so that a record in use is a leak."""
        return self._closed

    @closed.setter
    def closed(self, closed: bool) -> None:
        self._closed = closed
        self._settle()

    @property
    def watch(self) -> Watch | None:
        """Who looks at the arguments of every operation."""
        return self._watch

    @watch.setter
    def watch(self, watch: Watch | None) -> None:
        self._watch = watch
        self._settle()

    @property
    def instead(self) -> Callable[[Operand], Any] | None:
        """Gives the records that are used in place of operands of other computations."""
        return self._instead

    @instead.setter
    def instead(self, instead: Callable[[Operand], Any] | None) -> None:
        self._instead = instead
        self._settle()

    def assume(self, record: Traced) -> Any:
        """The value of a record in this run, noted as one that the recording counts on."""
        assert self.assumed is not None
        self.assumed.append((record.index, record.value))
        return record.value

    def merge(self) -> None:
        """From here on, record a number once that is computed of the same."""
        if self.recorder is None:
            self.merged = {}
            self._settle()

    def _settle(self) -> None:
        self.asking = self._closed or self._watch is not None or self._instead is not None
        self.special = (
            self.staged or self.asking or self.merged is not None or self.recorder is not None
        )

    def looked_at(self, primitive: Primitive, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments of an operation after the questions that are rarely asked."""
        if self._closed:
            raise _leaked(f"{primitive.name} was applied to")
        if self._watch is not None:
            self._watch.used(args)
        instead = self._instead
        if instead is None:
            return args
        own = self.level
        return tuple([instead(a) if isinstance(a, Operand) and a.level != own else a for a in args])

    def input(self, value: Any) -> Traced:
        """A new independent variable; an array is copied, as its owner may change it."""
        if type(value) is Traced and value.tape.merged is not None and self.merged is None:
            self.merge()
        return Traced(self, _kept(value))

    def note_cut(self, primitive: Primitive, args: tuple[Any, ...]) -> None:
        """Remember that nothing flows on from here, in case somebody asks why a gradient is 0."""
        place = place_of_call()
        cut = self.cuts.get(place)
        if cut is None:
            edge = primitive.edges[0] if primitive.edges else None
            because = edge.because if isinstance(edge, Flat) else "no derivative"
            cut = self.cuts[place] = Cut(f"{primitive.name} ({because})", place, set())
        if len(cut.indices) < _REMEMBERED:
            own = (a for a in args if type(a) is Traced and a.level == self.level)
            cut.indices.update(a.index for a in own)

    def close(self) -> None:
        """The function has returned: from here on a record of this tape in use is a leak."""
        self._closed = self.special = self.asking = True
        if self._watch is not None:
            self._watch.settle()
            self._watch = None

    def constant(self, value: Any) -> Traced:
        """A record that depends on nothing, for an array that is going to be assigned to."""
        return Traced(self, value)


def _shows_memory(args: tuple[Any, ...], attrs: Attrs) -> bool:
    """Whether a result of one number may be a view: what is written into it goes to one array."""
    return len(args) == 1 and any(type(i) is not int for i in attrs.get("index", (None,)))


def written_alike(
    primitive: Primitive, args: tuple[Any, ...], attrs: Attrs, level: int
) -> tuple[Any, ...] | None:
    """What an operation is known by; ``None`` if it may be another one each time."""
    key: list[Any] = [primitive]
    for a in args:
        kind = type(a)
        if kind is Traced:
            key.append(a.index if a.level == level else (a.level, a.index))
        elif kind in NUMBERS:
            key.append((kind, a) if a else (kind, repr(a)))  # two zeros are two numbers
        else:
            return None
    for name, attribute in attrs.items():
        key += (name, attribute_key(attribute))
    return tuple(key)


def _kept(value: Any) -> Any:
    """The value as it is now: its owner may go on writing into it, the derivative needs it as is.

    An operand of another computation is an object of its own from here on, as an assignment moves
    the user's object on to a new record.
    """
    if type(value) is np.ndarray:
        return value.copy("K")  # its order in memory is a part of what it is: np.ravel(x, "K")
    return value.alias() if isinstance(value, Operand) else value


def example(value: Any) -> Any:
    """A plain value of the shape and dtype of ``value``, for staging."""
    while isinstance(value, Operand):
        value = value.example()
    return value


def known(value: Any) -> Any:
    """What is under every computation, also where a recording has to count on it from then on."""
    value = concrete(value)
    if type(value) is Traced and value.tape.assumed is not None:
        return value.tape.assume(value)
    return value


def dtype_of(value: Any) -> np.dtype[Any]:
    """Dtype of an array, a scalar or an operand."""
    try:
        return value.dtype  # type: ignore[no-any-return]
    except AttributeError:
        return np.result_type(value)


def shape_of(value: Any) -> tuple[int, ...]:
    """Shape of an array, a scalar or an operand."""
    try:
        return value.shape  # type: ignore[no-any-return]
    except AttributeError:
        return np.shape(value)


def _leaked(operation: str) -> TraceError:
    return TraceError(
        f"{operation} a traced value after the function that was being differentiated had "
        "returned.\n"
        "Something kept it (a global, an attribute, a closure): return it from the function (with "
        "has_aux=True beside a result), or keep cr.stop_gradient(x), a plain number."
    )


class running(fronts):
    """While the function runs whose computation a tape records; closes the tape at the end."""

    __slots__ = ("tape",)

    def __init__(self, tape: Tape) -> None:
        self.computation = self.tape = tape

    def __exit__(self, *raised: Any) -> None:
        fronts.__exit__(self)
        self.tape.close()
        if raised[1] is not None:
            located().__exit__(*raised)
