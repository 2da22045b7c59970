"""The code of a whole program: its groups one after another, and where everything lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from chainrule.run.llvm import pool
from chainrule.run.llvm.effort import Budget
from chainrule.run.llvm.emit import Emitter
from chainrule.run.llvm.expressions import Affine, Expr, Var, load, op
from chainrule.run.llvm.instructions import Module, Writer, number, type_of
from chainrule.run.llvm.lowering import Lowering, of_var, place_in
from chainrule.run.llvm.nests import (
    FULL,
    Buffer,
    Call,
    Group,
    Loop,
    Statement,
    Straight,
    Sweep,
    contract,
    loops_around,
    path_of,
    work_of,
)
from chainrule.run.llvm.sweeps import Window, swept, windows

# Statements in one function: LLVM takes longer than linear time for long ones.
_CHUNK = 160
# Rooms for one turn of a loop lie on the stack up to this size.
_ON_STACK = 1 << 16
# Work below this (in additions, roughly) does not pay for a thread. The BLAS has threads of its
# own that go on spinning for a while: beside these it takes more.
_PARALLEL_FROM = 400_000
_PARALLEL_BESIDE_BLAS = 2_000_000
# Where another loop is divided anyway, the threads are awake.
_PARALLEL_AWAKE = 100_000
# What reading or writing a number in memory comes to, in additions.
_MOVED = 3
# A loop is divided into so many parts for each thread, as not all threads get on alike. Where every
# part has more than so many sums of its own, adding these up would take longer than waiting.
_PARTS_OF_A_THREAD = 4
_FEW_SUMS = 4096
# Loops with fewer turns are not divided.
_FEW_TURNS = 32
# Results of so many numbers are looked at while they are written: fewer are soon read again.
_LARGE = 2048
_ALIGNED = 64
_COPY = "declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)"
_BITS = {"double": "d", "float": "s"}


class Code:
    """The code of a lowered program.

    ``segments`` is what is to be done in order: names of functions ``void (ptr frame)``, and calls
    of NumPy between them. The frame holds pointers: the workspace, a whole number that is 0 while
    all goes well, then ``slots`` in their order. The code of a loop's body (``inner``) is one
    function that is given all these as arguments, status first: its frame need not be written anew
    for every turn.
    """

    def __init__(
        self, lowering: Lowering, module: Module, prefix: str = "u", inner: bool = False
    ) -> None:
        self.inner = inner
        self.lowering = lowering
        self.module = module
        self.prefix = prefix
        self.nests = lowering.nests
        self.segments: list[Any] = []
        contract(self.nests, lambda size: size <= _ON_STACK)
        self.groups = swept(_chunked(self.nests.groups))
        self.silent = _silent(self.nests.buffers)
        # Results that the loops look at while they write them: are they finite?
        self.watched = {id(b) for b in lowering.results if not inner and _written_once(b)}
        self.slots: list[Buffer] = [
            b for b in self.nests.buffers if b.kind in ("input", "constant", "result")
        ]
        # Where in the frame the address of each slot stands.
        self.places = {id(b): k + 2 for k, b in enumerate(self.slots)}
        self._partials: dict[int, list[_Partial]] = {}
        self._uses_blas = any(isinstance(g, Call) and g.kind == "gemm" for g in self.groups)
        # Of each group the loop whose turns are divided among threads.
        dear = self._uses_blas or inner  # in a loop, threads are started in every turn
        least = _PARALLEL_BESIDE_BLAS if dear else _PARALLEL_FROM
        self.divided = [self._divided(n, g, least) for n, g in enumerate(self.groups)]
        if not dear and any(self.divided):
            for n, group in enumerate(self.groups):
                if self.divided[n] is None:
                    self.divided[n] = self._divided(n, group, _PARALLEL_AWAKE)
        # Of what is only used in a sweep that one thread makes, so much is kept.
        self.windows: dict[int, tuple[Window, Sweep]] = {}
        for group, divided in zip(self.groups, self.divided, strict=True):
            if isinstance(group, Sweep) and divided is None:
                self.windows.update((id(w.buffer), (w, group)) for w in windows(group))
        for n, group in enumerate(self.groups):
            if isinstance(group, Call) and group.kind in ("loop", "scalars"):
                group.data.prepare(module, f"{prefix}.{n}")
        # The groups that are compiled with little effort; the bodies of loops are not among them.
        self.budget = Budget(() if inner else self.groups)
        times = {n: work_of(g) for n, g in enumerate(self.groups) if not isinstance(g, Call)}
        self.rare = {
            n for n in sorted(times, key=times.__getitem__) if self.budget.covers(times[n])
        }
        # Buffers that lie where another one does, by their identity.
        self.over = _in_place(self.groups, self._may_lie_under)
        self.workspace = self._plan()
        self._main()

    # ---------------------------------------------------------------------------------- where it is

    def _in_memory(self, b: Buffer) -> bool:
        return b.home is None and id(b) not in self.silent

    def _may_lie_under(self, b: Buffer) -> bool:
        """Whether something else may be where this will be: in a loop, not where the state is."""
        kinds = ("temporary",) if self.inner else ("temporary", "result")
        return b.kind in kinds and self._in_memory(b) and id(b) not in self.windows

    def _plan(self) -> int:
        """Places in the workspace: what is no longer needed makes room. Returns its size."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        known: dict[int, Buffer] = {}
        for n, group in enumerate(self.groups):
            for b in map(self.root, _used(group)):
                if b.kind == "temporary" and self._in_memory(b):
                    known[id(b)] = b
                    first.setdefault(id(b), n)
                    last[id(b)] = n
            for rows in {id(p.rows): p.rows for p in self._partials.get(n, ())}.values():
                known[id(rows)] = rows
                first[id(rows)] = last[id(rows)] = n
        starts: dict[int, list[Buffer]] = {}
        ends: dict[int, list[Buffer]] = {}
        for key, b in known.items():
            starts.setdefault(first[key], []).append(b)
            ends.setdefault(last[key], []).append(b)
        free: list[tuple[int, int]] = []  # offset and size, in order
        top = 0
        for n in range(len(self.groups)):
            for b in sorted(starts.get(n, ()), key=lambda b: -b.size):
                need = self._room(b)
                best = min(
                    (k for k, (_, size) in enumerate(free) if size >= need),
                    key=lambda k: free[k][1], default=None,
                )  # fmt: skip
                if best is None:
                    grows = bool(free) and free[-1][0] + free[-1][1] == top
                    offset = free.pop()[0] if grows else top
                    b.slot = offset
                    top = offset + need
                else:
                    offset, size = free[best]
                    b.slot = offset
                    if size == need:
                        free.pop(best)
                    else:
                        free[best] = offset + need, size - need
            for b in ends.get(n, ()):
                free.append((b.slot, self._room(b)))
                free.sort()
                joined: list[tuple[int, int]] = []
                for offset, size in free:
                    if joined and joined[-1][0] + joined[-1][1] == offset:
                        joined[-1] = joined[-1][0], joined[-1][1] + size
                    else:
                        joined.append((offset, size))
                free = joined
        for group in self.groups:
            for b in _used(group):
                root = self.root(b)
                if id(root) in self.places:
                    self.places[id(b)] = self.places[id(root)]
                else:
                    b.slot = root.slot
        return top

    def _room(self, b: Buffer) -> int:
        """How many bytes of the workspace a buffer takes."""
        taken = b.size * b.itemsize
        if id(b) in self.windows:
            window, sweep = self.windows[id(b)]
            taken = (sweep.block + window.span) * _row(b)
        return max(_ALIGNED, -(-taken // _ALIGNED) * _ALIGNED)

    def root(self, b: Buffer) -> Buffer:
        """The buffer in whose memory this one lies; most lie in their own."""
        while id(b) in self.over:
            b = self.over[id(b)]
        return b

    def memory(self, group: Group) -> list[Buffer]:
        """The memory that a group reads or writes, each place once."""
        used = [self.root(b) for b in _used(group) if self._in_memory(b)]
        return list({id(b): b for b in used}.values())

    # ------------------------------------------------------------------------------------ functions

    def _cost(self, group: Loop | Sweep) -> float:
        """How long a group takes, in additions: it computes while it reads and writes."""
        statements = group.statements()
        turns = max([math.prod(v.extent for v in s.vars) for s in statements], default=0)
        moved = sum(min(b.size, turns) for b in _used(group) if self._in_memory(b))
        return max(work_of(group), _MOVED * moved)

    def _divided(self, n: int, group: Group, least: float) -> Var | None:
        """The loop whose turns are divided among threads, if that pays and may be done.

        It is the outermost, or one further in where those around it are short and hold nothing
        else; of a sweep the first.
        """
        if not isinstance(group, Loop | Sweep) or self.module.target.threads < 2:
            return None
        if self._cost(group) < least:
            return None
        if isinstance(group, Sweep):
            self._partials[n] = []
            return group.turns[0].loop.var.here() if self._gains_by_threads(group) else None
        around: list[Var] = []
        loop = group
        while loop.var.extent < _FEW_TURNS:
            if len(loop.body) != 1 or not isinstance(loop.body[0], Loop):
                return None
            around.append(loop.var.here())
            loop = loop.body[0]
        var = loop.var.here()
        summed: list[Statement] = []
        for s in group.statements():
            if any(isinstance(i, Expr) for i in s.index):
                return None
            if s.combine is None:
                continue
            reduced = {v.here() for v, r in zip(s.vars, s.reduced, strict=True) if r}
            own = any(isinstance(i, Affine) and i.is_var(var) for i in s.index)
            if var not in reduced:
                if not own or not reduced.isdisjoint(around):
                    return None  # what one thread begins with, another would have filled already
                continue
            if s.initial is None or s.target.home is not None or s.target.size > 1 << 16:
                return None
            summed.append(s)
        parts = _parts(self.module.target.threads, summed)
        self._partials[n] = _side_by_side(summed, parts)
        return var

    def _gains_by_threads(self, sweep: Sweep) -> bool:
        """Whether a sweep in parts is faster than one with windows, which parts cannot have.

        It is bound by the memory that it goes through.
        """
        threads = self.module.target.threads
        if _ends(0, sweep.extent, FULL, _parts(threads, ()))[1] <= sweep.reach:
            return False
        whole = sum(b.size * b.itemsize for b in _used(sweep) if self._in_memory(b))
        near = sum(w.buffer.size * w.buffer.itemsize for w in windows(sweep))
        return whole < threads * (whole - near)

    def _main(self) -> None:
        segment = _Segment(self, 0)
        for n, group in enumerate(self.groups):
            if isinstance(group, Call):
                if group.kind == "gemm":
                    segment.gemm(group)
                    continue
                if group.kind in ("loop", "scalars"):
                    group.data.emit(segment)
                    continue
                segment.end()
                self.segments.append(group)
                segment = _Segment(self, len(self.segments))
                continue
            name = f"{self.prefix}.g{n}"
            buffers = self.memory(group)
            divided = self.divided[n]
            own, name = name, self._function(name, group, buffers, divided, n in self.rare)
            if isinstance(group, Sweep):
                segment.sweep(f"{own}.blocks", name, group, buffers, divided is not None)
            elif divided is not None:
                ends = divided.low, divided.high
                full = math.lcm(FULL, self.module.widths[divided.number])
                segment.parallel(name, ends, full, buffers, self._partials[n])
            else:
                segment.call(name, buffers)
        segment.end()

    def _function(
        self, name: str, group: Any, buffers: Sequence[Buffer], divided: Var | None, rare: bool
    ) -> str:
        """Write the function of a group; the name to call is of one like it if there is one."""
        emitter = Emitter(self.module)
        emitter.silent, emitter.watched = self.silent, self.watched
        written = {id(self.root(s.target)) for s in group.statements()}
        emitter.pointers["status"] = "%status"
        names = {id(b): f"%b{k}" for k, b in enumerate(buffers)}
        for b in _used(group):
            root = id(self.root(b))
            if root in written:
                emitter.written.add(id(b))
            if root in names:
                emitter.pointers[id(b)] = names[root]
        parameters = ["ptr %status", *(f"ptr noalias %b{k}" for k in range(len(buffers)))]
        if isinstance(group, Sweep):
            parameters += ["i64 %low", "i64 %high", "i1 %begins", "i1 %closes"]
        elif divided is not None:
            parameters += ["i64 %low", "i64 %high"]
            emitter.bounds[divided] = "%low", "%high"
        if isinstance(group, Sweep):
            for b in (b for b in buffers if id(b) in self.windows):
                window = self.windows[id(b)][0]
                first = emitter.put(f"add nsw i64 %low, {window.low}")
                back = emitter.put(f"mul nsw i64 {first}, {-_row(b)}")
                own = emitter.put(f"getelementptr i8, ptr {names[id(b)]}, i64 {back}")
                emitter.pointers[id(b)] = own
            emitter.sweep(group)
        elif isinstance(group, Loop):
            emitter.loop(group)
        else:
            for s in group.statements():
                emitter.statement(s)
        # A part of a loop for threads has its name from it, and what a loop calls is inlined there.
        shared = divided is None and not self.inner
        return emitter.finish(name, ", ".join(parameters), rare, shared)


class _Segment(Writer):
    """A function that calls the functions of groups in order."""

    def __init__(self, code: Code, number: int) -> None:
        super().__init__()
        self.code = code
        self.name = f"{code.prefix}.run{number}"
        self.pointers: dict[int | str, str] = {}
        self.calls = 0

    def pointer(self, b: Buffer) -> str:
        """The address of a buffer."""
        found = self.pointers.get(id(b))
        if found is None:
            slot = self.code.places.get(id(b))
            if slot is not None and self.code.inner:
                found = f"%p{slot}"
            elif slot is not None:
                place = self.put(f"getelementptr ptr, ptr %frame, i64 {slot}")
                found = self.put(f"load ptr, ptr {place}")
            else:
                if "workspace" not in self.pointers:
                    self.pointers["workspace"] = (
                        "%workspace" if self.code.inner else self.put("load ptr, ptr %frame")
                    )
                base = self.pointers["workspace"]
                found = self.put(f"getelementptr i8, ptr {base}, i64 {b.slot}")
            self.pointers[id(b)] = found
        return found

    def status(self) -> str:
        """Where a run notes that an index was out of bounds."""
        if self.code.inner:
            return "%status"
        if "status" not in self.pointers:
            place = self.put("getelementptr ptr, ptr %frame, i64 1")
            self.pointers["status"] = self.put(f"load ptr, ptr {place}")
        return self.pointers["status"]

    def call(self, name: str, buffers: Sequence[Buffer], *more: str) -> None:
        pointers = [f"ptr {p}" for p in (self.status(), *map(self.pointer, buffers))]
        self.do(f"call void @{name}({', '.join([*pointers, *more])})")
        self.calls += 1

    def sweep(
        self, blocks: str, name: str, sweep: Sweep, buffers: Sequence[Buffer], divided: bool
    ) -> None:
        """The blocks of a sweep, or of its parts, and then what these have left between them."""
        module = self.code.module
        kept = {
            k: self.code.windows[id(b)][0] for k, b in enumerate(buffers, 1)
            if id(b) in self.code.windows
        }  # fmt: skip
        text = _blocks(name, sweep, len(buffers) + 1, kept)
        if kept:
            module.declare(_COPY)
        found = blocks if divided else module.alike.setdefault((False, text), blocks)
        if found == blocks:
            module.functions.append(f"define internal void @{blocks}{text}")
        ends = sweep.start, sweep.end
        if not divided:
            self.call(found, buffers, *(f"i64 {e}" for e in ends))
            return
        for border in self.parallel(blocks, ends, FULL, buffers, ()):
            place = f"i64 {border}"
            self.call(name, buffers, place, place, "i1 false", "i1 true")

    def parallel(
        self, name: str, ends: tuple[int, int], full: int, buffers: Sequence[Buffer],
        partials: Sequence[_Partial],
    ) -> list[int]:  # fmt: skip
        """The turns of a loop divided among threads, in parts that whoever is free takes.

        A part has a multiple of ``full`` turns, so that none ends within a vector, and none has
        more than so many more than another.

        Returns:
            Where one part ends and the next begins.
        """
        low, high = ends
        module = self.code.module
        self.calls += 1
        parts = _parts(module.target.threads, [p.statement for p in partials])
        table = _ends(low, high, full, parts)
        count = len(table) - 1
        written = ", ".join(f"i64 {end}" for end in table)
        kind = f"[{len(table)} x i64]"
        module.declare(f"@{name}.ends = private unnamed_addr constant {kind} [{written}]")
        own = {id(self.code.root(p.statement.target)): p for p in partials}
        given = [self.status()]
        given += [self.pointer(own[id(b)].rows if id(b) in own else b) for b in buffers]
        task = self.alloca(f"[{len(given)} x ptr]")
        part = [f"define internal void @{name}.part(ptr %task, i64 %part) #0 {{"]
        for k, g in enumerate(given):
            place = self.put(f"getelementptr ptr, ptr {task}, i64 {k}")
            self.do(f"store ptr {g}, ptr {place}")
            part.append(f"  %p{k} = getelementptr ptr, ptr %task, i64 {k}")
            part.append(f"  %a{k} = load ptr, ptr %p{k}")
        names = [f"ptr %a{k}" for k in range(len(given))]
        for k, b in enumerate(buffers, 1):
            if id(b) in own:
                rows, offset = own[id(b)].rows, own[id(b)].offset
                part.append(f"  %r{k} = mul i64 %part, {rows.shape[1] * b.itemsize}")
                part.append(f"  %o{k} = add i64 %r{k}, {offset * b.itemsize}")
                part.append(f"  %b{k} = getelementptr i8, ptr %a{k}, i64 %o{k}")
                names[k] = f"ptr %b{k}"
        part += [
            f"  %from = getelementptr i64, ptr @{name}.ends, i64 %part",
            "  %to = getelementptr i64, ptr %from, i64 1",
            "  %low = load i64, ptr %from",
            "  %high = load i64, ptr %to",
            f"  call void @{name}({', '.join(names)}, i64 %low, i64 %high)",
            "  ret void",
            "}",
        ]
        module.functions.append("\n".join(part))
        module.declare(pool.DECLARATION)
        self.do(f"call void @{pool.RUN}(ptr @{name}.part, ptr {task}, i64 {count})")
        numbers = Straight()
        for k, partial in enumerate(partials):
            group = loops_around(_merged(partial, count))
            if isinstance(group, Loop):
                self._merge(f"{name}.m{k}", group)
            else:
                numbers.body += group.body
        if numbers.body:
            self._merge(f"{name}.m", numbers)
        return table[1:-1]

    def _merge(self, name: str, group: Loop | Straight) -> None:
        memory = self.code.memory(group)
        rare = self.code.budget.covers(work_of(group))
        self.call(self.code._function(name, group, memory, None, rare), memory)

    def gemm(self, call: Call) -> None:
        """A product of matrices by the BLAS, whose columns are our rows."""
        module = self.code.module
        (target,) = call.writes
        kind = _BITS[type_of(target.dtype)]
        symbol = f"cr.{kind}gemm"
        module.declare(f"declare void @{symbol}({', '.join(['ptr'] * 13)})")
        m, n, k = call.data["sizes"]
        self.calls += 1

        pointer_to = module.constant

        def matrix(part: Any) -> tuple[str, str, str]:
            b, offset, transposed, stride = part
            base = self.pointer(b)
            if offset:
                base = self.put(f"getelementptr i8, ptr {base}, i64 {offset * b.itemsize}")
            return (
                base,
                pointer_to("i8", str(ord("T" if transposed else "N"))),
                pointer_to("i64", str(stride)),
            )

        a, ta, lda = matrix(call.data["left"])
        b, tb, ldb = matrix(call.data["right"])
        out = self.pointer(target)
        t = type_of(target.dtype)
        one = pointer_to(t, number(target.dtype.type(1), target.dtype))
        zero = pointer_to(t, number(target.dtype.type(0), target.dtype))
        sizes = [pointer_to("i64", str(x)) for x in (n, m, k, call.data["stride"])]
        closing: list[str] = []
        for count, *steps in call.data["batches"]:
            # One product after another: three pointers that move on.
            label = self.label("product")
            counter = f"%{label}.i"
            self.lines += [
                f"  br label %{label}.from", f"{label}.from:", f"  br label %{label}", f"{label}:",
                f"  {counter} = phi i64 [ 0, %{label}.from ], [ {counter}.next, %{label}.to ]",
            ]  # fmt: skip
            moved = []
            for base, step in zip((a, b, out), steps, strict=True):
                offset = self.put(f"mul nsw i64 {counter}, {step * target.itemsize}")
                moved.append(self.put(f"getelementptr i8, ptr {base}, i64 {offset}"))
            a, b, out = moved
            closing = [
                f"  br label %{label}.to", f"{label}.to:",
                f"  {counter}.next = add nuw nsw i64 {counter}, 1",
                f"  {counter}.more = icmp ult i64 {counter}.next, {count}",
                f"  br i1 {counter}.more, label %{label}, label %{label}.end", f"{label}.end:",
                *closing,
            ]  # fmt: skip
        given = [tb, ta, *sizes[:3], one, b, ldb, a, lda, zero, out, sizes[3]]
        self.do(f"call void @{symbol}({', '.join(f'ptr {g}' for g in given)})")
        self.lines += closing

    def end(self) -> None:
        if not self.calls and self.code.segments:
            return
        head = f"define void @{self.name}(ptr %frame) #0"
        if self.code.inner:
            given = [f"ptr noalias %p{k + 2}" for k in range(len(self.code.slots))]
            given = ["ptr %status", "ptr noalias %workspace", *given]
            head = f"define internal void @{self.name}({', '.join(given)}) #0"
        rare = self.code.budget.covers(len(self.lines))
        self.code.module.add(self.whole(head), rare)
        self.code.segments.append(self.name)


def _row(b: Buffer) -> int:
    """Bytes from one index of the first axis to the next."""
    return b.size // b.shape[0] * b.itemsize


def _blocks(name: str, sweep: Sweep, pointers: int, kept: Mapping[int, Window]) -> str:
    """A function that makes a part of a sweep block by block, from its arguments on.

    ``kept`` are the windows of arrays, by the number of the argument.
    """
    text = Writer()
    names = ", ".join(f"ptr %b{k}" for k in range(pointers))
    inside = text.put(f"icmp ne i64 %low, {sweep.start}")
    text.do("br label %block")
    text.start("block")
    text.do("%at = phi i64 [ %low, %entry ], [ %to, %block ]")
    text.do(f"%begins = phi i1 [ {inside}, %entry ], [ false, %block ]")
    # The first block of a part is past where the loops begin.
    first = max(sweep.block, -(-sweep.reach // FULL) * FULL)
    turns = text.put(f"select i1 %begins, i64 {first}, i64 {sweep.block}")
    further = text.put(f"add nsw i64 %at, {turns}")
    less = text.put(f"icmp slt i64 {further}, %high")
    text.do(f"%to = select i1 {less}, i64 {further}, i64 %high")
    text.do(f"call void @{name}({names}, i64 %at, i64 %to, i1 %begins, i1 false)")
    for k, window in kept.items():
        row = _row(window.buffer)
        end = text.put(f"getelementptr i8, ptr %b{k}, i64 {sweep.block * row}")
        given = f"ptr %b{k}, ptr {end}, i64 {window.span * row}, i1 false"
        text.do(f"call void @llvm.memcpy.p0.p0.i64({given})")
    text.do(f"br i1 {less}, label %block, label %end")
    text.start("end")
    return text.whole(f"({names}, i64 %low, i64 %high) #0")


class _Partial(NamedTuple):
    """A sum that every part of a loop makes for itself, from a place of its row on."""

    statement: Statement
    rows: Buffer
    offset: int


def _side_by_side(summed: Sequence[Statement], parts: int) -> list[_Partial]:
    """Room for the sums of parts: those of one part together, apart from those of the others.

    Threads that write numbers near each other would wait for each other's caches.
    """
    widths: dict[Any, int] = {}
    offsets = []
    for s in summed:
        offsets.append(widths.get(s.target.dtype, 0))
        widths[s.target.dtype] = offsets[-1] + s.target.size
    rows = {
        dtype: Buffer("p", (parts, -(-n * dtype.itemsize // _ALIGNED) * _ALIGNED // dtype.itemsize),
                      dtype, "temporary")
        for dtype, n in widths.items()
    }  # fmt: skip
    return [_Partial(s, rows[s.target.dtype], at) for s, at in zip(summed, offsets, strict=True)]


def _merged(partial: _Partial, parts: int) -> Statement:
    """What the threads have summed, one after another."""
    s, rows, offset = partial
    variables = [Var(n) for n in s.target.shape]
    index = tuple(of_var(v) for v in variables)
    place = place_in(index, s.target.shape).shifted(offset)
    value: Expr = load(rows, (Affine(0), place))
    assert s.combine is not None
    for n in range(1, parts):
        value = op(s.combine, s.target.dtype, value, load(rows, (Affine(n), place)))
    return Statement(s.target, variables, index, value)


def _parts(threads: int, summed: Sequence[Statement]) -> int:
    """How many parts a loop is divided into, each of which has sums of its own."""
    few = sum(s.target.size for s in summed) <= _FEW_SUMS
    return threads * (_PARTS_OF_A_THREAD if few else 1)


def _ends(low: int, high: int, full: int, parts: int) -> list[int]:
    """Where parts begin, and where the last one ends: whole vectors, shared out evenly."""
    shares = -(-(high - low) // full)
    parts = min(parts, shares)
    return [*(low + shares * n // parts * full for n in range(parts)), high]


def _used(group: Any) -> list[Buffer]:
    """The buffers that a group reads or writes."""
    if isinstance(group, Call):
        return list({id(b): b for b in [*group.reads_buffers, *group.writes]}.values())
    found: dict[int, Buffer] = {}
    for s in group.statements():
        for r in s.reads:
            found.setdefault(id(r.data), r.data)
        found.setdefault(id(s.target), s.target)
    return list(found.values())


def _chunked(groups: Sequence[Group]) -> list[Group]:
    """Long straight groups in parts."""
    found: list[Group] = []
    for group in groups:
        if isinstance(group, Straight) and len(group.body) > _CHUNK:
            for start in range(0, len(group.body), _CHUNK):
                part = Straight()
                part.body = group.body[start : start + _CHUNK]
                for s in part.body:
                    s.parent = part
                found.append(part)
        else:
            found.append(group)
    return found


def _in_place(groups: Sequence[Group], may: Callable[[Buffer], bool]) -> dict[int, Buffer]:
    """What may be written over by what is computed from it, element by element.

    A long program then goes through less memory: what is read for the last time is in the cache.
    """
    last: dict[int, Group] = {}
    for group in groups:
        for b in _used(group):
            last[id(b)] = group
    over: dict[int, Buffer] = {}
    taken: set[int] = set()
    for group in groups:
        if not isinstance(group, Loop | Sweep):
            continue
        statements = group.statements()
        order = {id(s): k for k, s in enumerate(statements)}
        for s in reversed(statements):
            target = s.target
            if (
                s.combine is not None or len(target.writers) != 1 or id(target) in taken
                or not may(target) or not _each_once(s)
            ):  # fmt: skip
                continue
            for read in s.reads:
                b = read.data
                if (
                    b.kind == "temporary" and may(b) and last[id(b)] is group
                    and id(b) not in over and b.shape == target.shape
                    and b.itemsize == target.itemsize
                    and not any(id(w) in order for w in b.writers)
                    and _read_before(b, s, order)
                ):  # fmt: skip
                    over[id(b)] = target
                    taken.add(id(target))
                    break
    return over


def _each_once(s: Statement) -> bool:
    """Whether each turn writes an element of its own."""
    own = [v.here() for v in s.vars]
    used = [v for v in own if any(isinstance(i, Affine) and i.is_var(v) for i in s.index)]
    return len(used) == len(own)


def _read_before(b: Buffer, s: Statement, order: Mapping[int, int]) -> bool:
    """Whether an element is only read in the turn that writes the other in its place, or before.

    ``order`` has the places of the statements of their group, by identity.
    """
    index = [i.canonical() if isinstance(i, Affine) else None for i in s.index]
    if None in index:
        return False
    for other in b.readers:
        if id(other) not in order:
            continue  # another group, which is done
        for read in other.reads:
            if read.data is not b:
                continue
            if other.parent is not s.parent or order[id(other)] > order[id(s)]:
                return False
            if [i.canonical() if isinstance(i, Affine) else None for i in read.index] != index:
                return False
    return True


def _silent(buffers: Sequence[Buffer]) -> set[int]:
    """Buffers that are never in memory: all uses are in the turn in which the value is made."""
    found: set[int] = set()
    for b in buffers:
        if b.kind != "temporary" or not b.writers or _is_searched(b):
            continue
        if b.home is not None:
            if len(b.writers) == 1 and all(
                n == 1 or b.dropped >> axis & 1 for axis, n in enumerate(b.shape)
            ):
                found.add(id(b))
            continue
        first = b.writers[0]
        if (
            len(b.writers) == 1 and isinstance(first, Statement) and not path_of(first)
            and all(isinstance(r, Statement) and r.parent is first.parent for r in b.readers)
        ):  # fmt: skip
            found.add(id(b))
    return found


def _written_once(b: Buffer) -> bool:
    """Whether a result is large, and nothing is written into it but its elements as they are.

    A sum begins with another number, and calls have code of their own. Of short loops, each store
    would be looked at by itself.
    """
    if b.dtype.kind != "f" or b.size < _LARGE:
        return False
    return all(
        isinstance(w, Statement) and w.combine is None and w.vars[-1].extent >= _FEW_TURNS
        for w in b.writers
    )


def _is_searched(b: Buffer) -> bool:
    """Whether an element is read at a place that is computed, which only memory can answer."""
    return any(
        isinstance(i, Expr)
        for s in b.readers if isinstance(s, Statement)
        for read in s.reads if read.data is b
        for i in read.index
    )  # fmt: skip
