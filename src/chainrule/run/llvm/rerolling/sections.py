"""Sections: many operations on scalars as a group of the nests, its runs as loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import Affine, load
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.lowering import Lowering, Tensor
from chainrule.run.llvm.nests import Buffer, Call
from chainrule.run.llvm.program import Value
from chainrule.run.llvm.rerolling.kernels import MOST_ARGUMENTS, Kernel, Kernels, scalar_at
from chainrule.run.llvm.rerolling.runs import Run, runs_of
from chainrule.run.llvm.rerolling.text import CONSTANT, HASTY, HERE, Text, converted

# A run leaves out at least so many operations.
_SAVED = 24
# Operations in one function of straight code.
_CHUNK = 400
# So many operations are named in a listing.
_NAMED = 10
_FRAME = np.dtype(np.float64)


class Section:
    """Scalars that are computed one after another, as a group of the nests.

    Attributes:
        frame: The buffer with a place for each of them.
        runs: What became a loop.
    """

    def __init__(self, b: Lowering, values: Sequence[Value], kernels: Kernels) -> None:
        self.values = values
        self.kernels = kernels
        self.frame = b.nests.buffer("f", (len(values),), _FRAME)
        self.sources: dict[int, Buffer] = {}
        self._read(b)
        self.runs = runs_of(self.tokens, self.places, _SAVED)
        self.stored = np.zeros(len(values), bool)
        self.copies: dict[int, tuple[Buffer, int]] = {}
        # What of a run is copied in every turn, by its operation, and what after the last one.
        self.series: dict[int, list[tuple[Any, int, int]]] = {}
        self.late: dict[int, list[int]] = {}
        self._exports(b)
        self._pieces()
        self.columns: dict[int, tuple[Buffer, dict[tuple[int, int], int]]] = {}
        for run in self.runs:
            self._constants(b, run)
        writes = list(
            {id(x): x for x in [self.frame, *[x for x, _ in self.copies.values()]]}.values()
        )
        constants = [x for x, _ in self.columns.values()]
        call = Call("scalars", writes, [*self.sources.values(), *constants], self, b.place)
        call.weight = float(len(values)) * 4
        b.nests.call(call)

    # -------------------------------------------------------------------------------- what it does

    def _read(self, b: Lowering) -> None:
        """Tokens and places of all operations."""
        n = len(self.values)
        position: dict[int, int] = {v.number: k for k, v in enumerate(self.values)}
        self.position = position
        places = [[0] * n for _ in range(MOST_ARGUMENTS)]
        tokens = [0] * n
        known: dict[Any, int] = {}
        kernels = self.kernels.by_number
        outside: dict[int, tuple[int, int]] = {}
        sources: dict[int, int] = {}
        self.kinds: list[tuple[Kernel, list[int]]] = []
        for k, v in enumerate(self.values):
            kernel = kernels[v.number]
            key = [kernel.index]
            for slot, a in enumerate(v.args):
                m = a.number
                at = position.get(m)
                if at is not None:
                    places[slot][k] = at
                    key.append(HERE)
                elif a.constant is not None:
                    key.append(CONSTANT)
                else:
                    found = outside.get(m)
                    if found is None:
                        source, offset = _located(b, b.tensors[m])
                        if id(source) not in sources:
                            sources[id(source)] = len(sources)
                            self.sources[len(sources) - 1] = source
                        found = outside[m] = sources[id(source)], offset
                    key.append(found[0])
                    places[slot][k] = found[1]
            whole = tuple(key)
            token = known.get(whole)
            if token is None:
                token = known[whole] = len(known)
                self.kinds.append((kernel, key[1:]))
            tokens[k] = token
        self.tokens = np.array(tokens)
        self.places = [np.array(p) for p in places]

    def _exports(self, b: Lowering) -> None:
        """The values that are used elsewhere, as arrays there."""
        used: dict[int, Value] = {}
        for v in b.values:
            if v.number not in self.position:
                for a in v.args:
                    if a.number in self.position:
                        used[a.number] = a
        for v in b.program.results:
            if v.number in self.position:
                used[v.number] = v
        others: dict[Any, list[Value]] = {}
        for m, v in used.items():
            k = self.position[m]
            if v.dtype == _FRAME:
                self.stored[k] = True
                b.tensors[m] = _element(self.frame, k)
            else:
                others.setdefault(v.dtype, []).append(v)
        for dtype, found in others.items():
            copy = b.nests.buffer("s", (len(found),), dtype)
            for n, v in enumerate(found):
                self.copies[self.position[v.number]] = copy, n
                b.tensors[v.number] = _element(copy, n)

    def _pieces(self) -> None:
        """Divide it into functions, and find what has to be in memory."""
        n = len(self.values)
        self.pieces: list[Run | tuple[int, int]] = []
        at = 0
        for run in [*self.runs, None]:
            end = run.start if run is not None else n
            while at < end:
                stop = min(end, at + _CHUNK)
                self.pieces.append((at, stop))
                at = stop
            if run is not None:
                self.pieces.append(run)
                at = run.end
        piece = np.zeros(n, np.int64)
        straight = np.ones(n, bool)
        for k, part in enumerate(self.pieces):
            if isinstance(part, Run):
                piece[part.start : part.end] = k
                straight[part.start : part.end] = False
                self._stored_for(part)
            else:
                piece[part[0] : part[1]] = k
        for slot, place in enumerate(self.places):
            here = np.array([
                len(kinds) > slot and kinds[slot] == HERE for _, kinds in self.kinds
            ])[self.tokens] & straight  # fmt: skip
            wanted = place[here]
            self.stored[wanted[piece[wanted] != piece[here]]] = True
        self.hasty = int(straight.sum()) > HASTY

    def _stored_for(self, run: Run) -> None:
        """What a run reads from memory."""
        turns = np.arange(run.turns)
        for k in range(run.start, run.start + run.period):
            for slot, kind in enumerate(self.kinds[self.tokens[k]][1]):
                if kind != HERE:
                    continue
                how, first, step = self.moves(run, k, slot)
                if how == "memory":
                    self.stored[first + step * turns] = True
                elif how != "here":
                    self.stored[first] = True

        if self.copies:
            self._copies_of(run)

    def _copies_of(self, run: Run) -> None:
        """What of a run goes elsewhere: turn by turn if it lies in a row there, or at the end."""
        for k in range(run.start, run.start + run.period):
            every = range(k, run.end, run.period)
            wanted = [m for m in every if m in self.copies]
            if not wanted:
                continue
            copy, first = self.copies.get(k, (None, 0))
            step = self.copies[every[1]][1] - first if every[1] in self.copies else 0
            row = [(copy, first + step * t) for t in range(run.turns)]
            if [self.copies.get(m) for m in every] == row:
                self.series[k] = [(copy, first, step)]
            else:
                self.stored[wanted] = True
                self.late.setdefault(run.start, []).extend(wanted)

    def moves(self, run: Run, k: int, slot: int) -> tuple[str, int, int]:
        """How the argument of an operation of a run's first turn is had in each turn.

        "here": made in the same turn; "before": in the turn before; "fixed": once for all turns;
        "memory": read. Then its place in the first turn, and the distance to the next turn's.
        """
        place = self.places[slot]
        first = int(place[k])
        step = int(place[k + run.period]) - first
        if step == run.period and first >= run.start:
            return "here", first, step
        if step == run.period and first >= run.start - run.period:
            return "before", first, step
        if step == 0 and first < run.start:
            return "fixed", first, step
        return "memory", first, step

    def _constants(self, b: Lowering, run: Run) -> None:
        """A table of the constants that are others in each turn."""
        columns: dict[tuple[int, int], int] = {}
        rows: list[Any] = []
        for k in range(run.start, run.start + run.period):
            kernel, kinds = self.kinds[self.tokens[k]]
            for n, (slot, dtype) in enumerate(kernel.uses):
                if kinds[slot] != CONSTANT:
                    continue
                given = [v.args[slot] for v in self.values[k : run.end : run.period]]
                if all(v is given[0] for v in given):
                    continue
                column = np.array([converted(v, dtype) for v in given], dtype)
                if (
                    column.view(np.uint8).reshape(run.turns, -1) == column[:1].view(np.uint8)
                ).all():
                    continue
                columns[k, n] = len(rows)
                rows.append(column)
        if not columns:
            return
        table = np.zeros((run.turns, len(rows)), _FRAME)
        bytes_ = table.view(np.uint8).reshape(run.turns, len(rows), _FRAME.itemsize)
        for n, column in enumerate(rows):
            bytes_[:, n, : column.itemsize] = column.view(np.uint8).reshape(run.turns, -1)
        buffer = b.nests.buffer("c", table.shape, _FRAME, "constant")
        buffer.array = table
        self.columns[run.start] = buffer, columns

    # ------------------------------------------------------------------------------------- its code

    def prepare(self, module: Module, name: str) -> None:
        """Write the functions."""
        self.templates = [k.template(module) for k in self.kernels.all]
        self.functions: list[tuple[str, list[Buffer]]] = []
        for n, piece in enumerate(self.pieces):
            text = Text(self, f"{name}.{n}")
            if isinstance(piece, Run):
                text.run(piece)
            else:
                text.straight(*piece)
            (module.hasty if text.hasty else module.functions).append(text.finish())
            self.functions.append((text.name, text.buffers))

    def emit(self, segment: Any) -> None:
        """The calls of them."""
        for name, buffers in self.functions:
            segment.call(name, buffers)

    def described(self) -> list[str]:
        """What it does, in words."""
        found = []
        for piece in self.pieces:
            first, last = (
                (piece.start, piece.start + piece.period) if isinstance(piece, Run) else piece
            )
            names = [str(v.op.name) for v in self.values[first:last] if v.op is not None]
            more = len(names) - _NAMED
            listed = ", ".join(names[:_NAMED]) + (f", and {more} more" if more > 0 else "")
            turns = f"{piece.turns} times: " if isinstance(piece, Run) else ""
            found.append(turns + listed)
        return found


def _located(b: Lowering, tensor: Tensor) -> tuple[Buffer, int]:
    """The buffer in which a scalar lies, and its place there."""
    if tensor.layout is None:
        tensor = b.stored(tensor)
    source, offset, _ = tensor.layout
    return source, offset


def _element(buffer: Buffer, k: int) -> Tensor:
    """One element of a buffer as a scalar."""
    return scalar_at(load(buffer, (Affine(k),)), buffer, k)
