"""Calls from Python straight into machine code.

A compiled function is called through a function of CPython's own kind, made here as machine code.
It compares the arguments with what the code was compiled for, puts addresses of arrays and values
of numbers where the code expects them, runs it without the interpreter lock, and makes the result.
What was compiled is described by tables, so this function is the same for all. Whatever it does not
know (a subclass, another shape, a class that is a pytree) it leaves to Python by giving an object
that says so.

It works where ``interpreter.py`` knows how objects lie in memory.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule.run.llvm.finite import NOT_FINITE, STATUS_WORDS
from chainrule.run.llvm.instructions import Module, Writer
from chainrule.run.llvm.interpreter import (
    DATA,
    DTYPE,
    FLAGS,
    FUNCTIONS,
    NDIM,
    SHAPE,
    SIGNATURES,
    TYPE,
    WANTED_FLAGS,
    WORD,
    addresses,
    available,
)
from chainrule.tree import _REGISTERED, _children, _sorted_keys

_ALIGNED = 64

# --------------------------------------------------------------------------------------- the tables

# The plan of a call, word by word.
(
    _NEXT, _POSITIONAL, _NAMED, _NAMES, _CHECKS, _CHECK_COUNT, _POOL, _ROOM, _TEMPLATE, _HEAD,
    _MOVED, _MOVED_COUNT, _STATUS, _REGISTERS, _ARRAYS, _STACK, _OUTPUTS, _OUTPUT_COUNT,
    _STEPS, _STEP_COUNT, _GUARDS, _GUARD_COUNT, _BUILD, _BUILD_COUNT, _HELD, _HELD_COUNT, _UNLOCKED,
    _API, _MISSED, _PLAN_SIZE,
) = range(30)  # fmt: skip

# What is asked of an argument, or of a part of one: a row of words beginning with one of these, and
# the register that holds it.
_ROW = 6
_OBJECT, _FLOAT, _INT, _BOOL, _ARRAY, _SCALAR, _TUPLE, _LIST, _DICT = range(9)
# How the result is put together, on a stack.
_BUILD_ROW = 3
(
    _TAKE, _NEW_FLOAT, _NEW_INT, _NEW_BOOL, _NEW_SCALAR, _KEPT, _COPY, _NEW_TUPLE, _NEW_LIST,
    _NEW_DICT, _APPLY,
) = range(11)  # fmt: skip


class Unsuited(Exception):
    """Calls of this kind are left to Python."""


class Tables:
    """Words, and what they point to: it lives as long as this object."""

    def __init__(self, words: Any) -> None:
        self.words = words
        self._alive: list[Any] = []

    def address(self, item: Any) -> int:
        """Of an object, which is kept."""
        self._alive.append(item)
        return id(item)

    def table(self, numbers: Sequence[int]) -> int:
        """Whole numbers in memory."""
        array = np.array(numbers, np.int64)
        self._alive.append(array)
        return int(array.ctypes.data)

    def data(self, array: Any) -> int:
        """Where an array lies that is kept."""
        self._alive.append(array)
        return int(array.ctypes.data)


class Plan(Tables):
    """One compiled call: what does not depend on where it is tried, and for which results.

    Attributes:
        head: The words that a room begins with.
        steps: What is called in turn, with whether it is Python's.
    """

    def __init__(self, executable: Any) -> None:
        super().__init__(np.zeros(_PLAN_SIZE, np.uintp))
        self.executable = executable
        self.head: list[int] = [int(a) for a in executable.frame]
        self.steps = [
            (0, s) if isinstance(s, int) else (1, self.address(s)) for s in executable.steps
        ]

    def reserve(self, count: int) -> int:
        """So many words of the room."""
        at = len(self.head) * WORD
        self.head.extend([0] * count)
        return at

    def entry(self, following: Any = None, finite: bool = False) -> Any:
        """The function that runs what was compiled when its arguments are like those planned for.

        Args:
            following: The entry that is tried when this one does not fit.
            finite: Whether one with a result that is not finite does not fit either.

        Raises:
            Unsuited: There are results of a kind that only Python can look at.
        """
        own = _Entry(self.words.copy())
        words, head, steps = own.words, [*self.head], [*self.steps]
        if finite:
            reading = self.executable.reading
            if reading is None:
                raise Unsuited
            first = int(words[_STATUS]) // WORD
            head[first : first + STATUS_WORDS] = reading.status
            steps += [(0, address) for address in reading.steps]
        words[_TEMPLATE] = own.table([_signed(n) for n in head])
        words[_STEPS] = own.table([_signed(n) for step in steps for n in step])
        words[_STEP_COUNT] = len(steps)
        if following is not None:
            words[_NEXT] = following.__self__.ctypes.data
        own.needs = self, following
        return _function(words, own)


class _Entry(Tables):
    """What a function needs as long as it is there."""

    needs: Any = None

    def __del__(self) -> None:
        room = int(self.words[_POOL])
        if room:
            ctypes.pythonapi.PyMem_RawFree(ctypes.c_void_p(_raw_of(room)))


def _raw_of(room: int) -> int:
    """The address that a room was allocated at: it stands before it."""
    return int(ctypes.c_size_t.from_address(room - WORD).value)


class Arguments:
    """How arguments are looked at: rows of checks, for one tree of values.

    Attributes:
        rows: The checks.
        registers: How many values and parts of values there are.
        leaves: Of each leaf that may change, whether it is an "array" or a "number", with the
            register of the one and the row of the other.
    """

    def __init__(self, plan: Plan, static: Callable[[], bool]) -> None:
        self.plan = plan
        self.rows: list[list[int]] = []
        self.registers = 0
        self.leaves: list[tuple[str, int]] = []
        self.static = static

    def arguments(self, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """All of a call, whose values stand in the first registers."""
        values = [*args, *kwargs.values()]
        self.registers = len(values)
        for k, value in enumerate(args):
            self.tree(value, k)
        at = {name: len(args) + k for k, name in enumerate(kwargs)}
        for name in sorted(kwargs):
            self.tree(kwargs[name], at[name])

    def tree(self, value: Any, register: int) -> None:
        """Rows for a value and for its parts, in the order of the leaves of a tree."""
        kind = type(value)
        if isinstance(value, tuple | list) and kind not in _REGISTERED:
            self._parts(_TUPLE if isinstance(value, tuple) else _LIST, kind, value, register, 0)
        elif kind is dict:
            keys = self.plan.table([self.plan.address(key) for key in value])
            first = self._row(_DICT, register, dict, len(value), keys)
            at = {key: first + n for n, key in enumerate(value)}
            for key in _sorted_keys(value):
                self.tree(value[key], at[key])
        elif value is None:
            self.rows.append([_OBJECT, register, self.plan.address(None), 0, 0, 0])
        elif _children(value) is None:
            self._leaf(value, register)
        else:
            raise Unsuited

    def _parts(self, word: int, kind: type, value: Any, register: int, more: int) -> None:
        first = self._row(word, register, kind, len(value), more)
        for n, part in enumerate(value):
            self.tree(part, first + n)

    def _row(self, word: int, register: int, kind: type, size: int, more: int) -> int:
        first = self.registers
        self.registers += size
        self.rows.append([word, register, self.plan.address(kind), size, first, more])
        return first

    def _leaf(self, value: Any, register: int) -> None:
        kind = type(value)
        plan = self.plan
        if self.static():
            compared = kind in (int, float, str, bytes)
            self.rows.append(
                [_OBJECT, register, plan.address(value), compared, plan.address(kind), 0]
            )
            return
        if kind is np.ndarray:
            if value.dtype.metadata or value.dtype is not np.dtype(value.dtype.str):
                raise Unsuited
            shape = plan.table(value.shape)
            row = [
                _ARRAY, register, plan.address(kind), plan.address(value.dtype), value.ndim, shape,
            ]  # fmt: skip
            self.leaves.append(("array", register))
        else:
            words = {float: _FLOAT, int: _INT, bool: _BOOL}
            if kind not in words and (not isinstance(value, np.generic) or value.nbytes > WORD):
                raise Unsuited
            word = words.get(kind, _SCALAR)
            row = [word, register, plan.address(kind), 0, plan.address(True), plan.address(False)]
            self.leaves.append(("number", len(self.rows)))
        self.rows.append(row)


class Results:
    """How results are put together."""

    def __init__(self, plan: Plan, arrays: dict[int, int], numbers: dict[int, int]) -> None:
        self.plan = plan
        self.arrays = arrays
        self.numbers = numbers
        self.rows: list[list[int]] = []
        self.depth = self.deepest = 0

    def _push(self, *row: int, takes: int = 0) -> None:
        self.rows.append([*row, *[0] * (_BUILD_ROW - len(row))])
        self.depth += 1 - takes
        self.deepest = max(self.deepest, self.depth + takes)

    def result(self, position: int, kind: type, dtype: Any) -> None:
        """One of the program's results."""
        if kind is np.ndarray:
            self._push(_TAKE, self.arrays[position])
            return
        words = {float: _NEW_FLOAT, int: _NEW_INT, bool: _NEW_BOOL}
        at = self.numbers[position]
        if kind in words:
            self._push(words[kind], at)
        else:
            self._push(_NEW_SCALAR, at, self.plan.address(dtype))

    def kept(self, value: Any) -> None:
        """A value that is always the same."""
        self._push(_COPY if type(value) is np.ndarray else _KEPT, self.plan.address(value))

    def tree(self, tree: Any, leaf: type, leaves: Iterator[Callable[[], None]]) -> bool:
        """A tree whose leaves put themselves on the stack; whether it is of a kind known here."""
        kind = type(tree)
        if kind is tuple or kind is list:
            if not all(self.tree(part, leaf, leaves) for part in tree):
                return False
            self._push(_NEW_TUPLE if kind is tuple else _NEW_LIST, len(tree), takes=len(tree))
        elif kind is dict:
            keys = _sorted_keys(tree)
            if not all(self.tree(tree[key], leaf, leaves) for key in keys):
                return False
            # The keys come in the order of the tree; the values lie in that of the leaves.
            places = {key: n for n, key in enumerate(keys)}
            pairs = [n for key in tree for n in (self.plan.address(key), places[key])]
            self._push(_NEW_DICT, len(tree), self.plan.table(pairs), takes=len(tree))
        elif tree is None:
            self.kept(None)
        elif kind is leaf:
            next(leaves)()
        else:
            return False
        return True

    def flat(self, leaves: Sequence[Callable[[], None]], rebuild: Callable[[Any], Any]) -> None:
        """A tree that Python puts together, of the tuple of its leaves."""
        self.rows.clear()
        self.depth = self.deepest = 0
        for leaf in leaves:
            leaf()
        self._push(_NEW_TUPLE, len(leaves), takes=len(leaves))
        self._push(_APPLY, self.plan.address(rebuild), takes=1)


def planned(
    executable: Any, args: Sequence[Any], kwargs: dict[str, Any], static: Callable[[], bool],
    guards: Sequence[Any], leaves: Sequence[Any], tree: Any, leaf: type,
    rebuild: Callable[[Any], Any], missed: Any,
) -> Plan:  # fmt: skip
    """How ``executable`` is called when the arguments are like these; the static ones are kept.

    Args:
        executable: What was compiled.
        args, kwargs: Arguments of the kind that it was compiled for.
        static: Told once for each leaf, in order, whether it is a part of what was compiled.
        guards: What the last results have to be, for the others to hold.
        leaves: For each leaf of the result: a pair of the position among the executable's results
            and the type wanted, or the value that it always is, alone in a list.
        tree: The result with an object of class ``leaf`` in place of each leaf.
        leaf: That class.
        rebuild: Makes the result of its leaves.
        missed: What it gives when arguments or guards are otherwise.

    Raises:
        Unsuited: There is something in it that only Python can do.
    """
    if not available():
        raise Unsuited
    plan = Plan(executable)
    words, head, reserve = plan.words, plan.head, plan.reserve
    asked = Arguments(plan, static)
    asked.arguments(args, kwargs)

    # A room for each run: the frame, then what this file needs, then numbers, then the workspace.
    moved = [0, 1]
    words[_STATUS] = head[1] = reserve(STATUS_WORDS)
    words[_REGISTERS] = reserve(asked.registers)
    held = []
    for (kind, where), slot in zip(asked.leaves, executable.input_slots, strict=True):
        if kind == "array":
            held.append(where)
            # The row says which register; where its data go is another table.
            continue
        head[slot] = asked.rows[where][3] = reserve(1)
        moved.append(slot)
    data_of = [
        n for (kind, where), slot in zip(asked.leaves, executable.input_slots, strict=True)
        if kind == "array" for n in (where, slot)
    ]  # fmt: skip
    arrays: dict[int, int] = {}
    numbers: dict[int, int] = {}
    outputs: list[int] = []
    wanted = {one[0]: one[1] for one in leaves if len(one) == 2}
    first_guard = len(executable.result_slots) - len(guards)
    checks: list[int] = []
    for n, (slot, shape, dtype) in enumerate(executable.result_slots):
        if n < first_guard and wanted.get(n) is np.ndarray:
            arrays[n] = len(arrays)
            outputs += [len(shape), plan.table(shape), plan.address(dtype), slot]
            continue
        nbytes = int(np.prod(shape)) * dtype.itemsize
        size = -(-nbytes // WORD)
        numbers[n] = head[slot] = reserve(max(size, 1))
        moved.append(slot)
        if n >= first_guard:
            expected = np.zeros(size * WORD, np.uint8)
            expected[:nbytes] = np.frombuffer(
                np.asarray(guards[n - first_guard], dtype).tobytes(), np.uint8
            )
            checks += [numbers[n], plan.data(expected), size]
    words[_ARRAYS] = reserve(len(arrays))
    built = Results(plan, arrays, numbers)

    def put(one: Any) -> Callable[[], None]:
        if len(one) == 1:
            return lambda: built.kept(one[0])
        return lambda: built.result(one[0], one[1], executable.result_slots[one[0]][2])

    puts = [put(one) for one in leaves]
    if not built.tree(tree, leaf, iter(puts)):
        built.flat(puts, rebuild)
    words[_STACK] = reserve(built.deepest)
    while len(head) * WORD % _ALIGNED:
        head.append(0)
    head[0] = len(head) * WORD
    words[_HEAD] = len(head)
    words[_ROOM] = head[0] + executable.workspace + 2 * _ALIGNED
    words[_MOVED], words[_MOVED_COUNT] = plan.table(moved), len(moved)
    words[_POSITIONAL], words[_NAMED] = len(args), len(kwargs)
    words[_NAMES] = plan.table([plan.address(sys.intern(name)) for name in kwargs])
    words[_CHECKS] = plan.table([_signed(n) for row in asked.rows for n in row])
    words[_CHECK_COUNT] = len(asked.rows)
    words[_HELD], words[_HELD_COUNT] = plan.table(data_of), len(held)
    words[_OUTPUTS], words[_OUTPUT_COUNT] = plan.table(outputs), len(arrays)
    words[_GUARDS], words[_GUARD_COUNT] = plan.table(checks), len(guards)
    words[_BUILD] = plan.table([_signed(n) for row in built.rows for n in row])
    words[_BUILD_COUNT] = len(built.rows)
    words[_UNLOCKED] = executable.long
    words[_API] = plan.data(addresses())
    words[_MISSED] = plan.address(missed)
    return plan


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


class _Method(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p), ("function", ctypes.c_void_p), ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )  # fmt: skip


@functools.cache
def _method() -> tuple[Any, Any, Any]:
    """How CPython describes the one function that all calls go through."""
    from chainrule.run.llvm.engine import Library

    library = Library(_code())
    fast_with_names = 0x0080 | 0x0002
    method = _Method(b"compiled", library.address("cr.call"), fast_with_names, None)
    make = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.py_object)(
        ("PyCFunction_NewEx", ctypes.pythonapi)
    )
    return library, method, make


def _function(words: Any, kept: Any) -> Any:
    _, method, make = _method()
    return make(ctypes.addressof(method), words, kept)


# ----------------------------------------------------------------------------------------- the code


class _Words(Writer):
    """Writes a function: words of memory, loops, and what is done if something holds."""

    def __init__(self) -> None:
        super().__init__()
        self.api = ""

    def variable(self) -> str:
        """A word that changes."""
        return self.alloca("i64")

    def go(self, label: str) -> None:
        self.do(f"br label %{label}")

    def at(self, base: str, offset: Any) -> str:
        """An address so many bytes further."""
        return self.put(f"getelementptr i8, ptr {base}, i64 {offset}")

    def word(self, base: str, offset: Any, kind: str = "i64") -> str:
        return self.put(f"load {kind}, ptr {self.at(base, offset)}")

    def store(self, value: str, base: str, offset: Any, kind: str = "i64") -> None:
        self.do(f"store {kind} {value}, ptr {self.at(base, offset)}")

    def times(self, a: str, b: int) -> str:
        return self.put(f"mul i64 {a}, {b}")

    def add(self, a: str, b: Any) -> str:
        return self.put(f"add i64 {a}, {b}")

    def call(self, name: str, *args: str) -> str:
        """One of the interpreter's functions."""
        text = SIGNATURES[name]
        result, kinds = text[:-1].split(" (")
        function = self.word(self.api, FUNCTIONS[name] * WORD, "ptr")
        given = ", ".join(f"{k} {a}" for k, a in zip(kinds.split(", "), args, strict=False) if k)
        call = f"call {result} {function}({given})"
        if result == "void":
            self.do(call)
            return ""
        return self.put(call)

    @contextmanager
    def when(self, comparison: str) -> Iterator[None]:
        """Done if a comparison holds."""
        then, after = self.label(), self.label()
        holds = self.put(comparison)
        self.do(f"br i1 {holds}, label %{then}, label %{after}")
        self.start(then)
        yield
        self.go(after)
        self.start(after)

    def unless(self, comparison: str, otherwise: str) -> None:
        """Go on if a comparison holds, and to ``otherwise`` if not."""
        after = self.label()
        holds = self.put(comparison)
        self.do(f"br i1 {holds}, label %{after}, label %{otherwise}")
        self.start(after)

    @contextmanager
    def loop(self, count: str) -> Iterator[str]:
        """Done for 0, 1, … up to a number."""
        counter = self.variable()
        self.do(f"store i64 0, ptr {counter}")
        test, body, after = self.label(), self.label(), self.label()
        self.go(test)
        self.start(test)
        now = self.put(f"load i64, ptr {counter}")
        more = self.put(f"icmp ult i64 {now}, {count}")
        self.do(f"br i1 {more}, label %{body}, label %{after}")
        self.start(body)
        yield now
        self.do(f"store i64 {self.add(now, 1)}, ptr {counter}")
        self.go(test)
        self.start(after)

    @contextmanager
    def case(self, number: str, which: int, done: str) -> Iterator[None]:
        """Done if a number is this one; then on to ``done``."""
        then, other = self.label(), self.label()
        self.do(
            f"br i1 {self.put(f'icmp eq i64 {number}, {which}')}, label %{then}, label %{other}"
        )
        self.start(then)
        yield
        self.go(done)
        self.start(other)


def _code() -> Any:
    """The function ``ptr (self, args, count, names)`` of CPython's kind."""
    from chainrule.run.llvm.target import host

    w = _Words()
    plan_at, room_at = w.variable(), w.variable()
    position, key, value, overflow = (w.variable() for _ in range(4))
    raw = w.word("%self", DATA)
    w.do(f"store i64 {raw}, ptr {plan_at}")
    start, miss, next_plan, give_back, failed = "start", "miss", "next", "giveback", "failed"
    w.go(start)

    # Each plan in turn, until one fits.
    w.start(start)
    plan = w.put(f"load ptr, ptr {plan_at}")

    def of_plan(n: int, kind: str = "i64") -> str:
        return w.word(plan, n * WORD, kind)

    w.api = of_plan(_API, "ptr")
    positional, named = of_plan(_POSITIONAL), of_plan(_NAMED)
    w.unless(f"icmp eq i64 %count, {positional}", next_plan)
    total = w.add(positional, named)
    has_names, no_names, names_done = w.label(), w.label(), w.label()
    w.do(f"br i1 {w.put('icmp eq ptr %names, null')}, label %{no_names}, label %{has_names}")
    w.start(no_names)
    w.unless(f"icmp eq i64 {named}, 0", next_plan)
    w.go(names_done)
    w.start(has_names)
    w.unless(f"icmp eq i64 {w.call('PyTuple_Size', '%names')}, {named}", next_plan)
    known_names = of_plan(_NAMES, "ptr")
    with w.loop(named) as i:
        name = w.call("PyTuple_GetItem", "%names", i)
        w.unless(f"icmp eq ptr {name}, {w.word(known_names, w.times(i, WORD), 'ptr')}", next_plan)
    w.go(names_done)
    w.start(names_done)

    # A room: the one that the last run has left, or a new one.
    pool = w.at(plan, _POOL * WORD)
    left = w.put(f"atomicrmw xchg ptr {pool}, i64 0 acq_rel")
    w.do(f"store i64 {left}, ptr {room_at}")
    with w.when(f"icmp eq i64 {left}, 0"):
        given = w.call("PyMem_RawMalloc", of_plan(_ROOM))
        got = w.label()
        w.do(f"br i1 {w.put(f'icmp eq ptr {given}, null')}, label %{next_plan}, label %{got}")
        w.start(got)
        number = w.put(f"ptrtoint ptr {given} to i64")
        up = w.add(number, WORD + _ALIGNED - 1)
        aligned = w.put(f"and i64 {up}, {-_ALIGNED}")
        new = w.put(f"inttoptr i64 {aligned} to ptr")
        w.store(number, new, -WORD)
        template = of_plan(_TEMPLATE, "ptr")
        with w.loop(of_plan(_HEAD)) as i:
            offset = w.times(i, WORD)
            w.store(w.word(template, offset), new, offset)
        moved = of_plan(_MOVED, "ptr")
        with w.loop(of_plan(_MOVED_COUNT)) as i:
            offset = w.times(w.word(moved, w.times(i, WORD)), WORD)
            w.store(w.add(w.word(new, offset), aligned), new, offset)
        w.do(f"store i64 {aligned}, ptr {room_at}")
    room = w.put(f"load ptr, ptr {room_at}")

    # The arguments.
    registers = w.at(room, of_plan(_REGISTERS))
    with w.loop(total) as i:
        offset = w.times(i, WORD)
        w.store(w.word("%args", offset), registers, offset)
    rows = of_plan(_CHECKS, "ptr")
    with w.loop(of_plan(_CHECK_COUNT)) as i:
        row = w.at(rows, w.times(i, _ROW * WORD))
        a, b, c, d = (w.word(row, k * WORD) for k in range(2, 6))
        what = w.word(row, 0)
        x = w.word(registers, w.times(w.word(row, WORD), WORD), "ptr")
        kind = w.word(x, TYPE)
        done = w.label()
        with w.case(what, _OBJECT, done):
            number = w.put(f"ptrtoint ptr {x} to i64")
            other = w.label()
            w.do(f"br i1 {w.put(f'icmp eq i64 {number}, {a}')}, label %{done}, label %{other}")
            w.start(other)
            w.unless(f"icmp eq i64 {b}, 1", miss)
            w.unless(f"icmp eq i64 {kind}, {c}", miss)
            expected = w.put(f"inttoptr i64 {a} to ptr")
            equal = w.call("PyObject_RichCompareBool", x, expected, "2")
            w.unless(f"icmp eq i32 {equal}, 1", miss)
        w.unless(f"icmp eq i64 {kind}, {a}", miss)
        with w.case(what, _ARRAY, done):
            w.unless(f"icmp eq i64 {w.word(x, DTYPE)}, {b}", miss)
            rank = w.put(f"zext i32 {w.word(x, NDIM, 'i32')} to i64")
            w.unless(f"icmp eq i64 {rank}, {c}", miss)
            shape, wanted = w.word(x, SHAPE, "ptr"), w.put(f"inttoptr i64 {d} to ptr")
            with w.loop(rank) as k:
                offset = w.times(k, WORD)
                n = w.word(shape, offset)
                w.unless(f"icmp eq i64 {n}, {w.word(wanted, offset)}", miss)
        with w.case(what, _FLOAT, done):
            w.store(w.call("PyFloat_AsDouble", x), room, b, "double")
        with w.case(what, _SCALAR, done):
            w.call("PyArray_ScalarAsCtype", x, w.at(room, b))
        with w.case(what, _INT, done):
            n = w.call("PyLong_AsLongLongAndOverflow", x, overflow)
            w.unless(f"icmp eq i32 {w.put(f'load i32, ptr {overflow}')}, 0", miss)
            w.store(n, room, b)
        with w.case(what, _BOOL, done):
            number = w.put(f"ptrtoint ptr {x} to i64")
            true = w.put(f"icmp eq i64 {number}, {c}")
            w.store(w.put(f"zext i1 {true} to i64"), room, b)
        parts = w.at(registers, w.times(c, WORD))
        for word, name in ((_TUPLE, "PyTuple"), (_LIST, "PyList")):
            with w.case(what, word, done):
                w.unless(f"icmp eq i64 {w.call(f'{name}_Size', x)}, {b}", miss)
                with w.loop(b) as k:
                    part = w.call(f"{name}_GetItem", x, k)
                    w.store(part, parts, w.times(k, WORD), "ptr")
        with w.case(what, _DICT, done):
            w.unless(f"icmp eq i64 {w.call('PyDict_Size', x)}, {b}", miss)
            keys = w.put(f"inttoptr i64 {d} to ptr")
            w.do(f"store i64 0, ptr {position}")
            with w.loop(b) as k:
                more = w.call("PyDict_Next", x, position, key, value)
                w.unless(f"icmp ne i32 {more}, 0", miss)
                offset = w.times(k, WORD)
                this = w.put(f"load i64, ptr {key}")
                w.unless(f"icmp eq i64 {this}, {w.word(keys, offset)}", miss)
                w.store(w.put(f"load i64, ptr {value}"), parts, offset)
        w.go(done)
        w.start(done)

    # New arrays for results.
    outputs, objects = of_plan(_OUTPUTS, "ptr"), w.at(room, of_plan(_ARRAYS))
    output_count = of_plan(_OUTPUT_COUNT)
    with w.loop(output_count) as i:
        w.store("0", objects, w.times(i, WORD))
    with w.loop(output_count) as i:
        row = w.at(outputs, w.times(i, 4 * WORD))
        rank = w.put(f"trunc i64 {w.word(row, 0)} to i32")
        dtype = w.word(row, 2 * WORD, "ptr")
        w.call("Py_IncRef", dtype)  # it is taken away
        array = w.call("PyArray_Empty", rank, w.word(row, WORD, "ptr"), dtype, "0")
        w.unless(f"icmp ne ptr {array}, null", failed)
        w.store(array, objects, w.times(i, WORD), "ptr")
        w.store(w.word(array, DATA), room, w.times(w.word(row, 3 * WORD), WORD))

    # The arrays that are given stay while the lock is away; those that do not lie row after row are
    # copied.
    held, held_count = of_plan(_HELD, "ptr"), of_plan(_HELD_COUNT)
    owned = w.variable()
    w.do(f"store i64 0, ptr {owned}")
    with w.loop(held_count) as i:
        row = w.at(held, w.times(i, 2 * WORD))
        offset = w.times(w.word(row, 0), WORD)
        array = w.word(registers, offset, "ptr")
        flags = w.put(f"and i32 {w.word(array, FLAGS, 'i32')}, {WANTED_FLAGS}")
        as_it_is, copied, known = w.label(), w.label(), w.label()
        lies_well = w.put(f"icmp eq i32 {flags}, {WANTED_FLAGS}")
        w.do(f"br i1 {lies_well}, label %{as_it_is}, label %{copied}")
        w.start(as_it_is)
        w.call("Py_IncRef", array)
        w.go(known)
        w.start(copied)
        copy = w.call("PyArray_NewCopy", array, "0")
        w.unless(f"icmp ne ptr {copy}, null", "let_go")
        w.store(copy, registers, offset, "ptr")
        w.go(known)
        w.start(known)
        array = w.word(registers, offset, "ptr")
        w.do(f"store i64 {w.add(i, 1)}, ptr {owned}")
        w.store(w.word(array, DATA), room, w.times(w.word(row, WORD), WORD))

    def release() -> None:
        with w.loop(w.put(f"load i64, ptr {owned}")) as i:
            row = w.at(held, w.times(i, 2 * WORD))
            w.call("Py_DecRef", w.word(registers, w.times(w.word(row, 0), WORD), "ptr"))

    status = of_plan(_STATUS)
    bad = w.add(status, NOT_FINITE * WORD)
    w.store("0", room, status)
    w.store("0", room, bad)
    steps, step_count = of_plan(_STEPS, "ptr"), of_plan(_STEP_COUNT)
    unlocked = of_plan(_UNLOCKED)
    thread = w.variable()
    with w.when(f"icmp ne i64 {unlocked}, 0"):
        w.do(f"store ptr {w.call('PyEval_SaveThread')}, ptr {thread}")
    with w.loop(step_count) as i:
        row = w.at(steps, w.times(i, 2 * WORD))
        step = w.word(row, WORD, "ptr")
        code, python, done = w.label(), w.label(), w.label()
        compiled = w.put(f"icmp eq i64 {w.word(row, 0)}, 0")
        w.do(f"br i1 {compiled}, label %{code}, label %{python}")
        w.start(code)
        w.do(f"call void {step}(ptr {room})")
        w.go(done)
        w.start(python)  # a function of the address of the frame
        with w.when(f"icmp ne i64 {unlocked}, 0"):
            w.call("PyEval_RestoreThread", w.put(f"load ptr, ptr {thread}"))
        number = w.call("PyLong_FromLongLong", w.put(f"ptrtoint ptr {room} to i64"))
        w.unless(f"icmp ne ptr {number}, null", "let_go")
        made = w.call("PyObject_CallOneArg", step, number)
        w.call("Py_DecRef", number)
        w.unless(f"icmp ne ptr {made}, null", "let_go")
        w.call("Py_DecRef", made)
        with w.when(f"icmp ne i64 {unlocked}, 0"):
            w.do(f"store ptr {w.call('PyEval_SaveThread')}, ptr {thread}")
        w.go(done)
        w.start(done)
    with w.when(f"icmp ne i64 {unlocked}, 0"):
        w.call("PyEval_RestoreThread", w.put(f"load ptr, ptr {thread}"))
    release()

    # Whether all was as the recording has it.
    drop = "drop"
    w.unless(f"icmp eq i64 {w.word(room, status)}, 0", drop)
    w.unless(f"icmp eq i64 {w.word(room, bad)}, 0", drop)
    guards = of_plan(_GUARDS, "ptr")
    with w.loop(of_plan(_GUARD_COUNT)) as i:
        row = w.at(guards, w.times(i, 3 * WORD))
        found, expected = w.at(room, w.word(row, 0)), w.word(row, WORD, "ptr")
        with w.loop(w.word(row, 2 * WORD)) as k:
            offset = w.times(k, WORD)
            w.unless(f"icmp eq i64 {w.word(found, offset)}, {w.word(expected, offset)}", drop)

    # The result.
    stack, top = w.at(room, of_plan(_STACK)), w.variable()
    w.do(f"store i64 0, ptr {top}")
    build = of_plan(_BUILD, "ptr")
    undo = "undo"
    with w.loop(of_plan(_BUILD_COUNT)) as i:
        row = w.at(build, w.times(i, _BUILD_ROW * WORD))
        what, a, b = (w.word(row, k * WORD) for k in range(3))
        depth = w.put(f"load i64, ptr {top}")
        pushed, popped, done = w.variable(), w.variable(), w.label()
        w.do(f"store i64 0, ptr {popped}")
        a_object = w.put(f"inttoptr i64 {a} to ptr")

        def push(item: str, pushed: str = pushed) -> None:
            w.do(f"store ptr {item}, ptr {pushed}")

        with w.case(what, _TAKE, done):
            offset = w.times(a, WORD)
            push(w.word(objects, offset, "ptr"))
            w.store("0", objects, offset)
        with w.case(what, _NEW_FLOAT, done):
            push(w.call("PyFloat_FromDouble", w.word(room, a, "double")))
        with w.case(what, _NEW_INT, done):
            push(w.call("PyLong_FromLongLong", w.word(room, a)))
        with w.case(what, _NEW_BOOL, done):
            small = w.put(f"zext i8 {w.word(room, a, 'i8')} to i64")
            push(w.call("PyBool_FromLong", small))
        with w.case(what, _NEW_SCALAR, done):
            dtype = w.put(f"inttoptr i64 {b} to ptr")
            push(w.call("PyArray_Scalar", w.at(room, a), dtype, "null"))
        with w.case(what, _KEPT, done):
            w.call("Py_IncRef", a_object)
            push(a_object)
        with w.case(what, _COPY, done):
            push(w.call("PyArray_NewCopy", a_object, "2"))
        first = w.put(f"sub i64 {depth}, {a}")
        for word, name in ((_NEW_TUPLE, "PyTuple"), (_NEW_LIST, "PyList")):
            with w.case(what, word, done):
                made = w.call(f"{name}_New", a)
                push(made)
                w.unless(f"icmp ne ptr {made}, null", undo)
                with w.loop(a) as k:
                    part = w.word(stack, w.times(w.add(first, k), WORD), "ptr")
                    w.call(f"{name}_SetItem", made, k, part)
                w.do(f"store i64 {a}, ptr {popped}")
        with w.case(what, _NEW_DICT, done):
            made = w.call("PyDict_New")
            push(made)
            w.unless(f"icmp ne ptr {made}, null", undo)
            pairs = w.put(f"inttoptr i64 {b} to ptr")
            with w.loop(a) as k:
                pair = w.at(pairs, w.times(k, 2 * WORD))
                place = w.times(w.add(first, w.word(pair, WORD)), WORD)
                part = w.word(stack, place, "ptr")
                w.call("PyDict_SetItem", made, w.word(pair, 0, "ptr"), part)
                w.call("Py_DecRef", part)
            w.do(f"store i64 {a}, ptr {popped}")
        with w.case(what, _APPLY, done):
            leaves = w.word(stack, w.times(w.put(f"sub i64 {depth}, 1"), WORD), "ptr")
            made = w.call("PyObject_CallOneArg", a_object, leaves)
            push(made)
            w.unless(f"icmp ne ptr {made}, null", undo)
            w.call("Py_DecRef", leaves)
            w.do(f"store i64 1, ptr {popped}")
        w.do("unreachable")
        w.start(done)
        item = w.put(f"load ptr, ptr {pushed}")
        w.unless(f"icmp ne ptr {item}, null", undo)
        left = w.put(f"sub i64 {depth}, {w.put(f'load i64, ptr {popped}')}")
        w.store(item, stack, w.times(left, WORD), "ptr")
        w.do(f"store i64 {w.add(left, 1)}, ptr {top}")
    result = w.variable()
    w.do(f"store ptr {w.word(stack, 0, 'ptr')}, ptr {result}")
    w.go(give_back)

    def return_room() -> None:
        """The room is left for the next run, or freed if another run has left one meanwhile."""
        number = w.put(f"ptrtoint ptr {room} to i64")
        other = w.put(f"atomicrmw xchg ptr {pool}, i64 {number} acq_rel")
        with w.when(f"icmp ne i64 {other}, 0"):
            old = w.put(f"inttoptr i64 {other} to ptr")
            w.call("PyMem_RawFree", w.word(old, -WORD, "ptr"))

    w.start(give_back)
    return_room()
    w.do(f"ret ptr {w.put(f'load ptr, ptr {result}')}")

    # There was no memory, or Python's part of the result has raised an error.
    w.start("let_go")
    release()
    w.go(failed)
    w.start(undo)
    with w.loop(w.put(f"load i64, ptr {top}")) as i:
        w.call("Py_DecRef", w.word(stack, w.times(i, WORD), "ptr"))
    w.go(failed)
    w.start(failed)
    with w.loop(output_count) as i:
        w.call("Py_DecRef", w.word(objects, w.times(i, WORD), "ptr"))
    w.do(f"store ptr null, ptr {result}")
    w.go(give_back)

    # The recording does not hold for these values.
    w.start(drop)
    with w.loop(output_count) as i:
        w.call("Py_DecRef", w.word(objects, w.times(i, WORD), "ptr"))
    w.go(miss)
    w.start(miss)
    return_room()
    w.go(next_plan)
    w.start(next_plan)
    following = of_plan(_NEXT)
    w.do(f"store i64 {following}, ptr {plan_at}")
    missed = of_plan(_MISSED, "ptr")
    none_left = w.label()
    w.do(f"br i1 {w.put(f'icmp eq i64 {following}, 0')}, label %{none_left}, label %{start}")
    w.start(none_left)
    w.call("Py_IncRef", missed)
    w.do(f"ret ptr {missed}")

    module = Module(host())
    head = "define ptr @cr.call(ptr %self, ptr %args, i64 %count, ptr %names)"
    module.functions.append(w.whole(head, end=""))
    return module
