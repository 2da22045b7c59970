"""Compiled programs, called with arrays."""

from __future__ import annotations

import ctypes
import functools
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

import chainrule.run.llvm.loops
import chainrule.run.llvm.rows  # noqa: F401 - fills the table of rules
from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.engine import Library, blas
from chainrule.run.llvm.finite import FAILED, NOT_FINITE, STATUS_WORDS, Reading, reading
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Buffer, Call, Group, work_of
from chainrule.run.llvm.program import Program
from chainrule.run.llvm.target import host

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_ALIGNED = 64
# Additions, roughly, that take longer than handing over the interpreter lock.
_LONG = 4000


class OutOfBounds(Exception):
    """An index was beyond its array: NumPy's own error says which."""


class NotFinite(Exception):
    """A result has a NaN or an infinity, or is of a kind that machine code cannot look at."""


class Unfit(Exception):
    """A program has values that cannot lie in the memory of compiled code."""


class Executable:
    """A program as machine code: ``self(arrays)`` gives the arrays of its results.

    Calls from several threads at once are independent of each other; the interpreter lock is not
    held while the machine code runs.

    Attributes:
        frame: The pointers that the code begins with; those of constants are there already.
        input_slots: Where in the frame the address of each input goes.
        result_slots: The same for the results, each with its shape and dtype.
        workspace: How many bytes the code needs besides.
        steps: What is called in turn with the address of the frame: addresses of machine code, and
            functions of Python that let NumPy do something.
        long: Whether it takes long enough for other threads to run meanwhile.
    """

    def __init__(self, program: Program, guards: int = 0) -> None:
        """Compile a program, of whose results the last ``guards`` are no part of what it gives."""
        for value in program.needed():
            if value.parts is None and value.dtype.hasobject:
                raise Unfit(f"a value of {value.dtype} objects")
        self.lowering = Lowering(program, blas=bool(blas()))
        self.program = program = self.lowering.program
        self.module = Module(host())
        self.code = Code(self.lowering, self.module)
        self.library = Library(self.module)
        self.workspace: int = self.code.workspace
        places = self.code.places
        self.steps: list[Any] = [
            self.library.address(s) if isinstance(s, str) else _ByNumpy(s, places)
            for s in self.code.segments
        ]
        self._calls = [_FUNCTION(s) if isinstance(s, int) else s for s in self.steps]
        self.frame = np.zeros(len(self.code.slots) + 2, np.uintp)
        for b in self.code.slots:
            if b.kind == "constant":
                self.frame[places[id(b)]] = b.array.ctypes.data
        self.input_slots = [places[id(b)] for b in self.lowering.inputs]
        self._dtypes = [b.dtype for b in self.lowering.inputs]
        self.result_slots = [
            (places[id(b)], v.shape, b.dtype)
            for b, v in zip(self.lowering.results, program.results, strict=True)
        ]
        self._wanted = len(self.result_slots) - guards
        self.long = sum(map(_work, self.code.groups)) > _LONG
        # Rooms of runs that are over, for the next ones.
        self._rooms: list[tuple[Any, int]] = []
        self._lock = threading.Lock()

    def _room(self) -> tuple[Any, int]:
        with self._lock:
            if self._rooms:
                return self._rooms.pop()
        room = np.empty(self.workspace + _ALIGNED, np.uint8)
        return room, -room.ctypes.data % _ALIGNED

    @functools.cached_property
    def reading(self) -> Reading | None:
        """How a run finds out whether its results are finite; ``None`` if it cannot."""
        results = zip(self.lowering.results, self.result_slots[: self._wanted], strict=False)
        return reading(
            [
                (slot, b.size, dtype) for b, (slot, _, dtype) in results
                if dtype.kind == "f" and id(b) not in self.code.watched
            ]
        )  # fmt: skip

    def __call__(self, arrays: Sequence[Any], finite: bool = False) -> list[Any]:
        """Run it.

        Args:
            arrays: One for each input, of its shape and dtype.
            finite: Whether only finite results will do.

        Raises:
            OutOfBounds: An index was.
            NotFinite: A result may be something else.
        """
        frame = self.frame.copy()
        steps = self._calls
        status = np.zeros(STATUS_WORDS, np.int64)
        if finite:
            if self.reading is None:
                raise NotFinite
            status[:] = self.reading.status
            steps = [*steps, *map(_FUNCTION, self.reading.steps)]
        frame[1] = status.ctypes.data
        given = [
            np.require(a, dtype, ["C", "A"]) for a, dtype in zip(arrays, self._dtypes, strict=True)
        ]
        for k, a in zip(self.input_slots, given, strict=True):
            frame[k] = a.ctypes.data
        results = []
        for k, shape, dtype in self.result_slots:
            out = np.empty(shape, dtype)
            frame[k] = out.ctypes.data
            results.append(out)
        room = self._room()
        frame[0] = room[0].ctypes.data + room[1]
        where = frame.ctypes.data
        for step in steps:
            step(where)
        with self._lock:
            if len(self._rooms) < 2:
                self._rooms.append(room)
        if status[FAILED]:
            raise OutOfBounds
        if status[NOT_FINITE]:
            raise NotFinite
        return results


class _ByNumpy:
    """An operation that has no code of ours, on arrays in the memory of a run."""

    def __init__(self, call: Call, places: dict[int, int]) -> None:
        self.value, self.operands = call.data
        self.writes = call.writes
        self.places = places

    def __call__(self, frame: int) -> None:
        """Perform it, for the run whose frame is at this address."""
        args = [
            self._array(frame, *operand)[()] if isinstance(operand, tuple) else operand
            for operand in self.operands
        ]
        op = self.value.op
        with np.errstate(all="ignore"):
            found = op.evaluate(*args, **self.value.attrs)
        parts = found if self.value.parts is not None else (found,)
        for b, part in zip(self.writes, parts, strict=True):
            if np.shape(part) != b.shape:
                raise AssertionError(f"{op.name} gave {np.shape(part)} instead of {b.shape}")
            self._array(frame, b, b.shape)[...] = part

    def _array(self, frame: int, b: Buffer, shape: tuple[int, ...]) -> Any:
        if not b.size:
            return np.empty(shape, b.dtype)
        place = self.places.get(id(b))
        word = ctypes.c_size_t.from_address(frame + 8 * (place or 0)).value
        address = word if place is not None else word + b.slot
        memory: Any = (ctypes.c_char * (b.size * b.itemsize)).from_address(address)
        return np.frombuffer(memory, b.dtype).reshape(shape)


def _work(group: Group) -> float:
    """Roughly how many additions a group takes."""
    if isinstance(group, Call):
        return 0.0 if group.kind == "numpy" else group.weight or math.inf
    return work_of(group)
