"""Compiled programs, called with arrays."""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

import chainrule.run.llvm.rows  # noqa: F401 - fills the table of rules
from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.emit import Module
from chainrule.run.llvm.engine import Library
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Buffer, Call
from chainrule.run.llvm.program import Program
from chainrule.run.llvm.target import host

_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_ALIGNED = 64


class OutOfBounds(Exception):
    """An index was beyond its array: NumPy's own error says which."""


class Executable:
    """A program as machine code: ``self(arrays)`` gives the arrays of its results.

    Calls from several threads at once are independent of each other; the interpreter lock is not
    held while the machine code runs.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        self.lowering = Lowering(program)
        self.module = Module(host())
        self.code = Code(self.lowering, self.module)
        self.library = Library(self.module)
        self._steps: list[Any] = [
            _FUNCTION(self.library.address(s)) if isinstance(s, str) else s
            for s in self.code.segments
        ]
        places = {id(b): k + 2 for k, b in enumerate(self.code.slots)}
        self._frame = np.zeros(len(self.code.slots) + 2, np.uintp)
        for b in self.code.slots:
            if b.kind == "constant":
                self._frame[places[id(b)]] = b.array.ctypes.data
        self._inputs = [places[id(b)] for b in self.lowering.inputs]
        self._results = [
            (places[id(b)], v.shape, b.dtype)
            for b, v in zip(self.lowering.results, program.results, strict=True)
        ]
        # Rooms of runs that are over, for the next ones.
        self._rooms: list[tuple[Any, int]] = []
        self._lock = threading.Lock()

    def _room(self) -> tuple[Any, int]:
        with self._lock:
            if self._rooms:
                return self._rooms.pop()
        room = np.empty(self.code.workspace + _ALIGNED, np.uint8)
        return room, -room.ctypes.data % _ALIGNED

    def __call__(self, arrays: Sequence[Any]) -> list[Any]:
        """Run it.

        Args:
            arrays: One for each input, of its shape and dtype.

        Raises:
            OutOfBounds: An index was.
        """
        frame = self._frame.copy()
        status = np.zeros((), np.int64)
        frame[1] = status.ctypes.data
        given = [np.ascontiguousarray(a) for a in arrays]
        for k, a in zip(self._inputs, given, strict=True):
            frame[k] = a.ctypes.data
        results = []
        for k, shape, dtype in self._results:
            out = np.empty(shape, dtype)
            frame[k] = out.ctypes.data
            results.append(out)
        room = self._room()
        frame[0] = room[0].ctypes.data + room[1]
        where = frame.ctypes.data
        for step in self._steps:
            if isinstance(step, Call):
                self._by_numpy(step, given, results, room)
            else:
                step(where)
        with self._lock:
            if len(self._rooms) < 2:
                self._rooms.append(room)
        if status:
            raise OutOfBounds
        return [r[()] for r in results]

    def _by_numpy(
        self, call: Call, given: Sequence[Any], results: Sequence[Any], room: tuple[Any, int]
    ) -> None:
        """An operation that has no code of ours."""
        known = {id(b): a for b, a in zip(self.lowering.inputs, given, strict=True)}
        known |= {id(b): a for b, a in zip(self.lowering.results, results, strict=True)}

        def array(b: Buffer, shape: tuple[int, ...]) -> Any:
            if id(b) in known:
                return known[id(b)].reshape(shape)
            if b.kind == "constant":
                return b.array.reshape(shape)
            start = room[1] + b.slot
            part = room[0][start : start + math.prod(shape) * b.itemsize]
            return part.view(b.dtype).reshape(shape)

        value, operands = call.data
        args = [array(*o)[()] if isinstance(o, tuple) else o for o in operands]
        with np.errstate(all="ignore"):
            found = value.op.evaluate(*args, **value.attrs)
        parts = found if value.parts is not None else (found,)
        for b, part in zip(call.writes, parts, strict=True):
            if np.shape(part) != b.shape:
                raise AssertionError(f"{value.op.name} gave {np.shape(part)} instead of {b.shape}")
            array(b, b.shape)[...] = part
