"""Long programs of scalars: what repeats becomes a loop again, the rest straight code.

A loop of Python's over scalars is recorded turn by turn. Here the turns are found again: a *run* is
a stretch of operations that repeats with a period, in which every argument moves along by the same
number of places from turn to turn, or stays where it is. A run becomes one loop over a *frame* in
memory that has one place for every operation, so that code is made for one turn only. What does not
repeat is written out in functions of limited length.

Expressions, statements and nests of loops are left out: an operation on scalars is written as text
from a template that is made once for its kind, by the same rule as that for arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from chainrule.graph.operand import NO_ATTRS, attribute_key
from chainrule.rules.powers import POWER as _POWER
from chainrule.run.llvm.emit import Emitter
from chainrule.run.llvm.expressions import Affine, Expr, cast, const, load
from chainrule.run.llvm.instructions import Module, Writer, conversion, number, type_of
from chainrule.run.llvm.lowering import DTYPES, RULES, Lowering, Tensor, Unsupported
from chainrule.run.llvm.nests import Buffer, Call
from chainrule.run.llvm.program import Value

# From so many operations on scalars on, they are written by what is in this file.
_LEAST = 48
# A run has at least so many turns, and leaves out at least so many operations.
_TURNS = 4
_SAVED = 24
# Windows of 2 to the power of these are compared to find a period.
_WINDOWS = (0, 2, 4, 6, 8, 10)
# Operations in one function of straight code.
_CHUNK = 400
# So many in all are compiled with little effort: their results are the same.
_HASTY = 1000
_MOST_ARGUMENTS = 3
# So many operations are named in a listing.
_NAMED = 10
_FRAME = np.dtype(np.float64)
# What an argument is, where it is not in a buffer from outside.
_HERE = -1
_CONSTANT = -2


# ------------------------------------------------------------------------------------------ kernels


class _Trial:
    """Stands for the lowering while a rule is asked for the expression of a scalar."""

    def __init__(self, args: Sequence[Value], given: Sequence[Tensor]) -> None:
        self.deferred: frozenset[int] = frozenset()
        self.tensors = {a.number: x for a, x in zip(args, given, strict=True)}

    def for_many(self, tensor: Tensor, _: float) -> Tensor:
        """Nothing is asked for more than once."""
        return tensor

    def __getattr__(self, name: str) -> NoReturn:
        raise Unsupported(f"a scalar does not need {name}")


class Kernel:
    """What one kind of operation computes from its arguments.

    Attributes:
        uses: The arguments as they are used: which, and the dtype that it is converted to.
        dtype: Of the result.
    """

    def __init__(self, index: int, value: Value) -> None:
        assert value.op is not None
        self.index = index
        self.dtype = value.dtype
        self._places = [Buffer(f"a{k}", (), a.dtype, "input") for k, a in enumerate(value.args)]
        given = [_scalar(load(b, ()), b) for b in self._places]
        # Of arguments that have nothing to do with each other, as others will be.
        args = []
        for k, a in enumerate(value.args):
            other = Value(k, None, (), NO_ATTRS, (), a.dtype)
            other.weak = a.weak
            if value.op.name == "power":
                other.uniform = a.uniform
            args.append(other)
        like = Value(len(args), value.op, tuple(args), value.attrs, (), value.dtype)
        found = RULES[value.op.name](_Trial(args, given), like, *given)
        if found.shape != () or found.dtype != value.dtype:
            raise Unsupported("it is no scalar of this dtype")
        self.uses: list[tuple[int, np.dtype[Any]]] = []
        self._used: dict[tuple[int, np.dtype[Any]], Expr] = {}
        self._replaced: dict[int, Expr] = {}
        self._expr = self._of_uses(found.at(()))

    def _of_uses(self, e: Expr) -> Expr:
        """The expression with arguments in the dtype in which they are used."""
        done = self._replaced.get(id(e))
        if done is not None:
            return done
        source = e.args[0] if e.kind == "op" and e.data == "cast" else e
        if source.kind == "load":
            use = self._places.index(source.data), e.dtype
            found = self._used.get(use)
            if found is None:
                self.uses.append(use)
                found = self._used[use] = load(Buffer("u", (), e.dtype, "input"), ())
        elif e.kind == "op":
            found = Expr(
                "op", e.dtype, e.data, tuple([self._of_uses(a) for a in e.args]), weight=e.weight
            )
        elif e.kind == "const":
            found = e
        else:
            raise Unsupported("it asks for an index")
        self._replaced[id(e)] = found
        return found

    def template(self, module: Module) -> tuple[str, str]:
        """The lines of code, and its result, to be formatted with a name and what is used."""
        emitter = Emitter(module)
        for k, use in enumerate(self.uses):
            e = self._used[use]
            emitter.levels[0].memo[id(e)] = e, (f"{{{k + 1}}}", False)
        result, _ = emitter.value(self._expr)
        if emitter.allocas:
            raise AssertionError("a scalar operation has room on the stack")
        lines = "\n".join(emitter.levels[0].lines)
        for k in range(emitter.count, 0, -1):
            name = "{0}" if f"%v{k}" == result else f"{{0}}.{k}"
            lines = lines.replace(f"%v{k} ", f"{name} ").replace(f"%v{k},", f"{name},")
            lines = lines.replace(f"%v{k})", f"{name})").replace(f"%v{k}\n", f"{name}\n")
            if lines.endswith(f"%v{k}"):
                lines = lines[: -len(f"%v{k}")] + name
        return lines, "{0}" if result.startswith("%v") else result


class Kernels:
    """The kernels of a program: equal operations have the same."""

    def __init__(self) -> None:
        self._known: dict[Any, Kernel | None] = {}
        self.all: list[Kernel] = []
        # That of each scalar, by its number.
        self.by_number: dict[int, Kernel] = {}

    def of(self, value: Value) -> Kernel | None:
        """What computes a value from scalars; ``None`` if it is not of this kind."""
        if value.shape != ():
            return None
        op, args = value.op, value.args
        count = len(args)
        key: Any
        if value.dtype.kind != "f" or value.attrs or count > 2 or op is _POWER:
            assert op is not None
            key = (
                op, value.dtype, *[(a.dtype, a.weak) for a in args],
                tuple([(k, attribute_key(v)) for k, v in value.attrs.items()]),
                args[1].uniform if op.name == "power" else None,
            )  # fmt: skip
        elif count == 2:
            key = (op, value.dtype, args[0].dtype, args[1].dtype)
        elif count == 1:
            key = (op, value.dtype, args[0].dtype)
        else:
            return None
        try:
            found = self._known[key]
        except KeyError:
            found = self._known[key] = self._made(value)
        if found is not None:
            for a in args:
                if a.shape != ():
                    return None
        return found

    def _made(self, value: Value) -> Kernel | None:
        op = value.op
        assert op is not None
        if (
            not op.elementwise or op.name not in RULES or value.parts is not None
            or not 0 < len(value.args) <= _MOST_ARGUMENTS
            or any(v.dtype not in DTYPES for v in (value, *value.args))
        ):  # fmt: skip
            return None
        try:
            kernel = Kernel(len(self.all), value)
        except Unsupported:
            return None
        self.all.append(kernel)
        return kernel


# --------------------------------------------------------------------------------------- the order


def arranged(values: Sequence[Value], count: int) -> list[tuple[list[Value], Kernels | None]]:
    """The values in an order in which many scalars stand next to each other.

    Args:
        values: In an order in which they can be computed.
        count: More than the largest number of a value.

    Returns:
        Lists of values: with their kernels, if all of them are scalars to be written here.
    """
    kernels = Kernels()
    if len(values) < _LEAST:
        return [(list(values), None)]
    of = kernels.of
    # How many groups of arrays come before a value, and whether it is a scalar.
    phase = [0] * count
    scalar = bytearray(count)
    by_number = kernels.by_number
    known: list[Value] = []
    groups: list[tuple[list[Value], list[Value]]] = []
    for v in values:
        if v.op is None:
            known.append(v)
            scalar[v.number] = 1
            continue
        first = 0
        kernel = of(v)
        if kernel is not None:
            scalar[v.number] = 1
            by_number[v.number] = kernel
            for a in v.args:
                n = a.number
                here = phase[n] if scalar[n] else phase[n] + 1
                if here > first:
                    first = here
        else:
            for a in v.args:
                if phase[a.number] > first:
                    first = phase[a.number]
        phase[v.number] = first
        while len(groups) <= first:
            groups.append(([], []))
        groups[first][not scalar[v.number]].append(v)
    if all(len(scalars) < _LEAST for scalars, _ in groups):
        return [(list(values), None)]
    found: list[tuple[list[Value], Kernels | None]] = [(known, None)]
    for scalars, others in groups:
        found.append((scalars, kernels if len(scalars) >= _LEAST else None))
        found.append((others, None))
    return found


# -------------------------------------------------------------------------------------------- runs


class Run:
    """Operations from ``start`` on that repeat ``turns`` times with a ``period``."""

    __slots__ = ("period", "start", "turns")

    def __init__(self, start: int, period: int, turns: int) -> None:
        self.start = start
        self.period = period
        self.turns = turns

    @property
    def end(self) -> int:
        """The first operation after it."""
        return self.start + self.period * self.turns


def runs_of(tokens: Any, places: Sequence[Any]) -> list[Run]:
    """Stretches that repeat, from the first to the last.

    Args:
        tokens: What each operation does, as a number: shape (n,).
        places: For each argument where it lies, shape (n,) each. In a run all of them move on by
            the same distance from each turn to the next.

    Returns:
        Runs that do not overlap, in order.
    """
    n = len(tokens)
    if n < _SAVED:
        return []
    gaps = [_gaps(rank) for rank in _ranks(tokens)]
    # A period is looked for where a window comes again, and once more at the same distance.
    starts = np.zeros(n, bool)
    for gap in gaps:
        again = np.minimum(np.arange(n) + gap, n - 1)
        good = (gap > 0) & (gap[again] == gap)
        gap[~good] = 0
        starts |= good
    candidates = np.flatnonzero(starts)
    table = np.stack([gap[candidates] for gap in gaps], axis=1).tolist()
    extents = _Extents(tokens, places)
    found: list[Run] = []
    position = 0
    while position < len(candidates):
        start = int(candidates[position])
        best: Run | None = None
        for period in set(table[position]):
            if not period:
                continue
            turns = (extents.end(start, period) - start) // period
            if turns >= _TURNS and (turns - 1) * period >= _SAVED and (
                best is None or turns * period - period > best.turns * best.period - best.period
            ):  # fmt: skip
                best = Run(start, period, turns)
        if best is None:
            position += 1
            continue
        found.append(best)
        position = int(np.searchsorted(candidates, best.end))
    return found


def _ranks(tokens: Any) -> list[Any]:
    """For each length of window a number that is equal where windows are."""
    _, rank = np.unique(tokens, return_inverse=True)
    found = []
    for power in range(max(_WINDOWS) + 1):
        if power in _WINDOWS:
            found.append(rank)
        step = 1 << power
        if 4 * step > len(tokens):
            break
        later = np.full(len(tokens), -1)
        later[:-step] = rank[step:]
        _, rank = np.unique(rank * (len(tokens) + 1) + later, return_inverse=True)
    return found


def _gaps(rank: Any) -> Any:
    """How far each window is from where it comes next; 0 for never."""
    order = np.argsort(rank, kind="stable")
    same = rank[order[1:]] == rank[order[:-1]]
    gap = np.zeros(len(rank), np.int64)
    gap[order[:-1]] = np.where(same, order[1:] - order[:-1], 0)
    return gap


class _Extents:
    """How far stretches with a period go on."""

    def __init__(self, tokens: Any, places: Sequence[Any]) -> None:
        self.tokens = tokens
        self.places = places
        # By period: the first operation that is not done again, and up to where the answer holds.
        self._alike: dict[int, int] = {}
        self._known: dict[int, tuple[int, int]] = {}

    def end(self, start: int, period: int) -> int:
        """Where a run ends that begins at ``start``."""
        until, end = self._known.get(period, (-1, 0))
        if start <= until:
            return end
        alike = self._alike.get(period, -1)
        if start > alike:
            alike = self._alike[period] = self._differs(self.tokens, start, period)
        # Arguments that move on by another distance end it as well.
        last = alike - period
        moved = last
        for place in self.places:
            moved = min(moved, self._turns_aside(place, start, moved, period))
        until = min(alike, moved) if moved < last else alike
        end = moved + 2 * period if moved < last else alike + period
        self._known[period] = until, end
        return end

    @staticmethod
    def _differs(tokens: Any, start: int, period: int) -> int:
        last = len(tokens) - period
        length = max(8 * period, 128)
        while start < last:
            stop = min(start + length, last)
            found = tokens[start:stop] != tokens[start + period : stop + period]
            first = int(found.argmax())
            if found[first]:
                return start + first
            start, length = stop, 2 * length
        return max(start, last)

    @staticmethod
    def _turns_aside(place: Any, start: int, last: int, period: int) -> int:
        length = max(8 * period, 128)
        while start < last:
            stop = min(start + length, last)
            a, b = place[start:stop], place[start + period : stop + period]
            found = place[start + 2 * period : stop + 2 * period] - b != b - a
            first = int(found.argmax())
            if found[first]:
                return start + first
            start, length = stop, 2 * length
        return last


# ----------------------------------------------------------------------------------------- sections


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
        self._sources: dict[int, Buffer] = {}
        self._read(b)
        self.runs = runs_of(self.tokens, self.places)
        self.stored = np.zeros(len(values), bool)
        self.copies: dict[int, tuple[Buffer, int]] = {}
        # What of a run is copied in every turn, by its operation, and what after the last one.
        self.series: dict[int, list[tuple[Any, int, int]]] = {}
        self.late: dict[int, list[int]] = {}
        self._exports(b)
        self._pieces()
        self._columns: dict[int, tuple[Buffer, dict[tuple[int, int], int]]] = {}
        for run in self.runs:
            self._constants(b, run)
        writes = list(
            {id(x): x for x in [self.frame, *[x for x, _ in self.copies.values()]]}.values()
        )
        constants = [x for x, _ in self._columns.values()]
        call = Call("scalars", writes, [*self._sources.values(), *constants], self, b.place)
        call.weight = float(len(values)) * 4
        b.nests.call(call)

    # -------------------------------------------------------------------------------- what it does

    def _read(self, b: Lowering) -> None:
        """Tokens and places of all operations."""
        n = len(self.values)
        position: dict[int, int] = {v.number: k for k, v in enumerate(self.values)}
        self.position = position
        places = [[0] * n for _ in range(_MOST_ARGUMENTS)]
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
                    key.append(_HERE)
                elif a.constant is not None:
                    key.append(_CONSTANT)
                else:
                    found = outside.get(m)
                    if found is None:
                        source, offset = _located(b, b.tensors[m])
                        if id(source) not in sources:
                            sources[id(source)] = len(sources)
                            self._sources[len(sources) - 1] = source
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
                len(kinds) > slot and kinds[slot] == _HERE for _, kinds in self.kinds
            ])[self.tokens] & straight  # fmt: skip
            wanted = place[here]
            self.stored[wanted[piece[wanted] != piece[here]]] = True
        self.hasty = int(straight.sum()) > _HASTY

    def _stored_for(self, run: Run) -> None:
        """What a run reads from memory."""
        turns = np.arange(run.turns)
        for k in range(run.start, run.start + run.period):
            for slot, kind in enumerate(self.kinds[self.tokens[k]][1]):
                if kind != _HERE:
                    continue
                how, first, step = self._moves(run, k, slot)
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

    def _moves(self, run: Run, k: int, slot: int) -> tuple[str, int, int]:
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
                if kinds[slot] != _CONSTANT:
                    continue
                given = [v.args[slot] for v in self.values[k : run.end : run.period]]
                if all(v is given[0] for v in given):
                    continue
                column = np.array([_converted(v, dtype) for v in given], dtype)
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
        self._columns[run.start] = buffer, columns

    # ------------------------------------------------------------------------------------- its code

    def prepare(self, module: Module, name: str) -> None:
        """Write the functions."""
        self.templates = [k.template(module) for k in self.kernels.all]
        self.functions: list[tuple[str, list[Buffer]]] = []
        for n, piece in enumerate(self.pieces):
            text = _Text(self, f"{name}.{n}")
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
    return _scalar(load(buffer, (Affine(k),)), buffer, k)


def _scalar(at: Expr, buffer: Buffer, k: int = 0) -> Tensor:
    return Tensor((), buffer.dtype, lambda _: at, layout=(buffer, k, ()))


def _converted(value: Value, dtype: np.dtype[Any]) -> Any:
    """A constant in the dtype in which it is used."""
    given = const(value.uniform, value.dtype)
    return cast(given, dtype).data


class _Text(Writer):
    """One function of a section."""

    def __init__(self, section: Section, name: str) -> None:
        super().__init__()
        self.section = section
        self.name = name
        self.buffers: list[Buffer] = []
        self.hasty = False
        self._bases: dict[int, str] = {}
        self._literals: dict[tuple[int, np.dtype[Any]], str] = {}
        self._converted: dict[tuple[str, np.dtype[Any]], str] = {}

    def base(self, b: Buffer) -> str:
        """The address of a buffer."""
        found = self._bases.get(id(b))
        if found is None:
            found = self._bases[id(b)] = f"%b{len(self.buffers)}"
            self.buffers.append(b)
        return found

    def address(self, b: Buffer, place: int, more: str) -> str:
        """Of a place in a buffer, ``more`` elements further on."""
        at = self.base(b)
        size = b.itemsize
        if place:
            at = self.put(f"getelementptr i8, ptr {at}, i64 {place * size}")
        return self.put(f"getelementptr i{8 * size}, ptr {at}, i64 {more}") if more else at

    def load(self, b: Buffer, place: int, dtype: np.dtype[Any], more: str = "") -> str:
        """A number from a place in a buffer, ``more`` elements further on."""
        memory = type_of(dtype, memory=True)
        at = self.address(b, place, more)
        found = self.put(f"load {memory}, ptr {at}, align {dtype.itemsize}")
        return self.put(f"icmp ne i8 {found}, 0") if memory == "i8" else found

    def store(
        self, b: Buffer, place: int, dtype: np.dtype[Any], register: str, more: str = ""
    ) -> None:
        """Write a number to a place in a buffer, ``more`` elements further on."""
        memory = type_of(dtype, memory=True)
        at = self.address(b, place, more)
        if memory == "i8":
            register = self.put(f"zext i1 {register} to i8")
        self.do(f"store {memory} {register}, ptr {at}, align {dtype.itemsize}")

    def literal(self, value: Value, dtype: np.dtype[Any]) -> str:
        """A constant as it is written in the code."""
        key = value.number, dtype
        found = self._literals.get(key)
        if found is None:
            found = self._literals[key] = number(_converted(value, dtype), dtype)
        return found

    def converted(self, register: str, old: np.dtype[Any], new: np.dtype[Any]) -> str:
        """A number in the dtype in which it is used."""
        if old == new:
            return register
        key = register, new
        found = self._converted.get(key)
        if found is None:
            a, b = type_of(old), type_of(new)
            found = self._converted[key] = self.put(f"{conversion(old, new)} {a} {register} to {b}")
        return found

    def operation(self, kernel: Kernel, name: str, used: Sequence[str]) -> str:
        """Write one operation; the register of its result."""
        lines, result = self.section.templates[kernel.index]
        if lines:
            self.lines.append(lines.format(name, *used))
        return name if result == "{0}" else result.format(name, *used)

    def straight(self, start: int, stop: int) -> None:
        """Operations one after another."""
        section = self.section
        self.hasty = section.hasty
        values, kinds, sources = section.values, section.kinds, section._sources
        tokens = section.tokens[start:stop].tolist()
        places = [p[start:stop].tolist() for p in section.places]
        stored = section.stored[start:stop].tolist()
        copies, frame = section.copies, section.frame
        registers: dict[int, str] = {}
        outside: dict[tuple[int, int], str] = {}
        for k in range(stop - start):
            value = values[start + k]
            kernel, kind = kinds[tokens[k]]
            args = value.args
            used = []
            for slot, dtype in kernel.uses:
                what = kind[slot]
                a = args[slot]
                if what == _CONSTANT:
                    used.append(self.literal(a, dtype))
                    continue
                at = places[slot][k]
                if what == _HERE:
                    register = registers.get(at)
                    if register is None:
                        register = registers[at] = self.load(frame, at, a.dtype)
                else:
                    register = outside.get((what, at), "")
                    if not register:
                        register = outside[what, at] = self.load(sources[what], at, a.dtype)
                used.append(
                    register if a.dtype is dtype else self.converted(register, a.dtype, dtype)
                )
            k += start
            result = registers[k] = self.operation(kernel, f"%r{k}", used)
            if stored[k - start]:
                self.store(frame, k, kernel.dtype, result)
            if copies and k in copies:
                copy, n = copies[k]
                self.store(copy, n, kernel.dtype, result)

    def run(self, run: Run) -> None:
        """A loop."""
        section = self.section
        self.hasty = run.period > _HASTY
        frame, values = section.frame, section.values
        table, columns = section._columns.get(run.start, (None, {}))
        phis: list[tuple[str, str, str, int]] = []
        fixed: dict[Any, str] = {}
        memory: dict[Any, str] = {}
        scaled: dict[int, str] = {}
        registers: dict[int, str] = {}
        body: list[str] = []
        before = self.lines

        def outside_of_turns(b: Buffer, place: int, dtype: Any) -> str:
            key = id(b), place
            if key not in fixed:
                self.lines = before
                fixed[key] = self.load(b, place, dtype)
                self.lines = body
            return fixed[key]

        def from_memory(b: Buffer, place: int, step: int, dtype: Any) -> str:
            key = id(b), place, step
            if key not in memory:
                memory[key] = self.load(b, place, dtype, times(step))
            return memory[key]

        def times(step: int) -> str:
            if step == 1:
                return "%t"
            if step not in scaled:
                scaled[step] = self.put(f"mul nsw i64 %t, {step}")
            return scaled[step]

        previous: dict[int, str] = {}
        self.lines = body
        for k in range(run.start, run.start + run.period):
            value = values[k]
            kernel, kinds = section.kinds[section.tokens[k]]
            used = []
            for n, (slot, dtype) in enumerate(kernel.uses):
                kind, a = kinds[slot], value.args[slot]
                if kind == _CONSTANT:
                    column = columns.get((k, n))
                    if column is None:
                        used.append(self.literal(a, dtype))
                    else:
                        assert table is not None
                        used.append(from_memory(table, column, table.shape[1], dtype))
                    continue
                if kind != _HERE:
                    place = int(section.places[slot][k])
                    step = int(section.places[slot][k + run.period]) - place
                    source = section._sources[kind]
                    if step == 0:
                        register = outside_of_turns(source, place, a.dtype)
                    else:
                        register = from_memory(source, place, step, a.dtype)
                else:
                    how, place, step = section._moves(run, k, slot)
                    if how == "here":
                        register = registers[place]
                    elif how == "before":
                        if place not in previous:
                            previous[place] = f"%p{place}"
                            first = outside_of_turns(frame, place, a.dtype)
                            t = type_of(a.dtype)
                            phis.append((previous[place], t, first, place + run.period))
                        register = previous[place]
                    elif how == "fixed":
                        register = outside_of_turns(frame, place, a.dtype)
                    else:
                        register = from_memory(frame, place, step, a.dtype)
                used.append(self.converted(register, a.dtype, dtype))
            result = registers[k] = self.operation(kernel, f"%r{k}", used)
            every = slice(k, run.end, run.period)
            if section.stored[every].any():
                self.store(frame, k, kernel.dtype, result, times(run.period))
            for copy, place, step in section.series.get(k, ()):
                self.store(copy, place, kernel.dtype, result, times(step))
        self.lines = before
        head = [
            "  br label %turns", "turns:",
            "  %t = phi i64 [ 0, %entry ], [ %t.next, %turns ]",
            *[
                f"  {name} = phi {t} [ {first}, %entry ], [ {registers[k]}, %turns ]"
                for name, t, first, k in phis
            ],
        ]  # fmt: skip
        self.lines += head
        self.lines += body
        self.lines += [
            "  %t.next = add nuw nsw i64 %t, 1",
            f"  %t.more = icmp ult i64 %t.next, {run.turns}",
            "  br i1 %t.more, label %turns, label %end", "end:",
        ]  # fmt: skip
        for k in section.late.get(run.start, ()):
            copy, place = section.copies[k]
            self.store(copy, place, copy.dtype, self.load(frame, k, copy.dtype))

    def finish(self) -> str:
        """The whole function."""
        given = ", ".join(
            ["ptr %status", *(f"ptr noalias %b{k}" for k in range(len(self.buffers)))]
        )
        linkage = "" if self.hasty else "internal "
        return self.whole(f"define {linkage}void @{self.name}({given}) #0")
