"""From operations on arrays to what is computed for one element.

An operation either only says how an element of its result follows from elements of its arguments (a
*virtual* array: arithmetic, views, selections) or stores its result in a buffer (reductions,
contractions, whatever is used more than once and costs something).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.run.llvm.expressions import (
    ZERO,
    Affine,
    Expr,
    Var,
    cast,
    const,
    index_value,
    load,
    op,
)
from chainrule.run.llvm.layouts import Order, groups, orders
from chainrule.run.llvm.nests import Buffer, Call, Nests, Statement, path_of
from chainrule.run.llvm.program import Program, Value

DTYPES = frozenset(map(np.dtype, (np.float64, np.float32, np.int64, np.int32, np.bool_)))
Index = tuple[Any, ...]
# What may be computed again for each use rather than kept: about three additions.
_CHEAP = 3.0
# Where an expression grows longer than this, a part of it is stored.
_LONG = 2000.0
_DEEP = 60


class Unsupported(Exception):
    """An operation that is not lowered: NumPy performs it."""


class Tensor:
    """An array of which any element can be asked for.

    Attributes:
        at: The expression for the element at an index.
        weight: What computing one element costs.
        depth: How deeply operations are nested in it.
        layout: Buffer, offset and strides, if it is a part of a buffer.
        transposed: The array and the order of axes that it is a transpose by, if it is one.
        order: Its axes from the outermost in memory, if it is stored, where this is not theirs.
    """

    __slots__ = ("at", "depth", "dtype", "layout", "order", "shape", "transposed", "weight")

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, at: Callable[[Index], Expr],
        weight: float = 0.0, depth: int = 0, layout: Any = None,
    ) -> None:  # fmt: skip
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.at = at
        self.weight = weight
        self.depth = depth
        self.layout = layout
        self.transposed: tuple[Tensor, tuple[int, ...]] | None = None
        self.order: Order | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def buffer(self) -> Buffer | None:
        """The buffer that it is, element for element."""
        if self.layout is None:
            return None
        b, offset, strides = self.layout
        if offset == 0 and b.size == self.size and strides == row_strides(self.shape):
            return b  # type: ignore[no-any-return]
        return None


def row_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of an array whose last axis is the fastest."""
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def place_in(index: Sequence[Affine], shape: Sequence[int]) -> Affine:
    """How many elements lie before the one at an index, in an array whose last axis is fastest."""
    place = ZERO
    for i, s in zip(index, row_strides(shape), strict=True):
        place = place.plus(i.scaled(s))
    return place


class Lowering:
    """The nests of a program.

    Attributes:
        nests: What is to be done.
        tensors: The array of each value, by its number.
        inputs, results: Buffers, in the program's order.
        numpy: The operations that NumPy performs, with the reason.
    """

    def __init__(self, program: Program, blas: bool = True) -> None:
        from chainrule.run.llvm.rerolling.kernels import arranged
        from chainrule.run.llvm.rerolling.rolling import rolled
        from chainrule.run.llvm.rerolling.sections import Section

        self.program = program = rolled(program)
        self.nests = Nests()
        self.tensors: dict[int, Tensor] = {}
        self.blas = blas
        self.place: Any = None
        self.value: Value
        self.bundles: dict[int, list[Tensor]] = {}
        # What rules of loops know of each other.
        self.notes: dict[Any, Any] = {}
        # Values that the one operation that uses them computes on its way.
        self.deferred: set[int] = set()
        self.consumer: dict[int, Value] = {}
        self._uses: dict[int, int] = {}
        self.values = program.needed()
        self.orders = orders(self.values, program.results)
        for value in self.values:
            for arg in value.args:
                self._uses[arg.number] = self._uses.get(arg.number, 0) + 1
                self.consumer[arg.number] = value
        for value in program.results:
            self._uses[value.number] = self._uses.get(value.number, 0) + 1
        self.inputs: list[Buffer] = []
        for value in program.inputs:
            b = self.nests.buffer("x", value.shape, value.dtype, "input")
            self.inputs.append(b)
            self.tensors[value.number] = of_buffer(b)
        self.numpy: list[tuple[Value, str]] = []
        for values, kernels in arranged(self.values, len(program.values)):
            if kernels is not None:
                Section(self, values, kernels)
                continue
            for value in values:
                if value.op is not None:
                    self._lower(value)
                elif value.number not in self.tensors:
                    self.tensors[value.number] = self._of_constant(value)
        self.results = [self._result(value) for value in program.results]
        for piece in self.notes.get("closing", ()):
            piece.close(self)

    # ----------------------------------------------------------------------------------- one value

    def _lower(self, value: Value) -> None:
        assert value.op is not None
        self.place = value.place
        rule = RULES.get(value.op.name)
        try:
            if rule is None:
                raise Unsupported(f"{value.op.name} has no loops of its own")
            single = value.op.name != "item" and value.parts is None
            if single and any(v.dtype not in DTYPES for v in (value, *value.args)):
                raise Unsupported(f"{value.op.name} of dtype {value.dtype}")
            self.value = value
            tensor = rule(self, value, *[self.tensors.get(a.number) for a in value.args])
        except Unsupported as why:
            self._by_numpy(value, str(why))
            return
        if tensor is None:
            return
        if tensor.shape != value.shape or tensor.dtype != value.dtype:
            raise AssertionError(
                f"{value.op.name} came out as {tensor.dtype}{tensor.shape} "
                f"instead of {value.dtype}{value.shape}"
            )
        tensor.order = self.orders.get(value.number)
        several = self.uses(value) > 1
        costly = tensor.weight > _CHEAP if several else tensor.weight > _LONG
        if tensor.layout is None and (costly or tensor.depth > _DEEP):
            tensor = self.kept(tensor)
        self.tensors[value.number] = tensor

    def uses(self, value: Value) -> int:
        """How many operations and results use a value."""
        return self._uses.get(value.number, 0)

    def _by_numpy(self, value: Value, why: str) -> None:
        """The operation as NumPy performs it, between compiled parts."""
        self.numpy.append((value, why))
        operands: list[Any] = []
        reads = []
        for a in value.args:
            if a.is_constant:
                operands.append(a.constant.item() if a.weak else a.constant)
                continue
            b = self.stored(self.tensors[a.number]).buffer
            assert b is not None
            reads.append(b)
            operands.append((b, a.shape))
        parts = value.parts or [(value.shape, value.dtype)]
        targets = [self.nests.buffer("n", shape, dtype) for shape, dtype in parts]
        self.nests.call(Call("numpy", targets, reads, (value, operands), self.place))
        tensors = [of_buffer(b) for b in targets]
        if value.parts is None:
            self.tensors[value.number] = tensors[0]
        else:
            self.bundles[value.number] = tensors

    def _of_constant(self, value: Value) -> Tensor:
        if value.uniform is not None and value.dtype in DTYPES:
            number = const(value.uniform, value.dtype)
            return Tensor(value.shape, value.dtype, lambda _: number)
        room = self.room("c", value.shape, value.dtype, self.orders.get(value.number), "constant")
        room.buffer.array = np.ascontiguousarray(np.transpose(value.constant, room.order))
        return room.tensor

    def _result(self, value: Value) -> Buffer:
        """A buffer of its own for a result: nobody else writes into it."""
        tensor = self.tensors[value.number]
        b = tensor.buffer
        if b is not None and b.kind == "temporary" and not _in_parts(b):
            b.kind = "result"
            return b
        stored = self.stored(tensor, kind="result")
        assert stored.buffer is not None
        return stored.buffer

    # ------------------------------------------------------------------------------------- storing

    def kept(self, tensor: Tensor) -> Tensor:
        """The array in memory, its axes in the order in which it is wanted there."""
        return tensor if tensor.layout is not None else self._put(tensor, "temporary", "t", True)

    def stored(self, tensor: Tensor, kind: str = "temporary", label: str = "t") -> Tensor:
        """The array in a buffer, element for element."""
        if kind == "temporary" and tensor.buffer is not None:
            return tensor
        return self._put(tensor, kind, label)

    def _put(self, tensor: Tensor, kind: str, label: str, ordered: bool = False) -> Tensor:
        order = tensor.order if ordered else None
        room = self.room(
            label if kind == "temporary" else "y", tensor.shape, tensor.dtype, order, kind
        )
        variables, index = loops_over(tensor.shape)
        at = room.index(index)
        self.add(Statement(room.buffer, variables, at, tensor.at(index), place=self.place))
        found = room.tensor
        if kind == "temporary":  # for all who use it from here on
            tensor.at, tensor.layout, tensor.weight, tensor.depth = found.at, found.layout, 0.0, 0
        return found

    def add(self, statement: Statement) -> None:
        """Add a statement to the nests; one that nothing is computed in is left out."""
        if all(v.extent > 0 for v in statement.vars):
            self.nests.add(statement)

    def reduce(
        self, tensor: Tensor, axes: Sequence[int], combine: str, initial: Any,
        first: Sequence[int] | None = None,
    ) -> Tensor:  # fmt: skip
        """The array without some of its axes; over these its elements are combined.

        The loops of the axes in ``first``, if given, are the outermost.
        """
        kept = [k for k in range(len(tensor.shape)) if k not in axes]
        shape = tuple(tensor.shape[k] for k in kept)
        order = None
        if first is None and self.value.shape == shape:
            order = self.orders.get(self.value.number)
        room = self.room("r", shape, tensor.dtype, order)
        variables, at = loops_over(tensor.shape)
        statement = Statement(
            room.buffer, variables, room.index([at[k] for k in kept]), tensor.at(at), combine,
            [k in axes for k, n in enumerate(tensor.shape) if n != 1], place=self.place,
        )  # fmt: skip
        if first is not None:
            loops = [k for k, n in enumerate(tensor.shape) if n != 1]
            statement.reorder(sorted(
                range(len(loops)),
                key=lambda j: first.index(loops[j]) if loops[j] in first else len(loops),
            ))  # fmt: skip
        if not tensor.size and room.buffer.size:  # nothing to combine
            return self.stored(Tensor(shape, tensor.dtype, lambda _: const(initial, tensor.dtype)))
        if not any(statement.reduced):
            statement.combine = None
        else:
            statement.initial = const(initial, tensor.dtype)
        self.add(statement)
        return room.tensor

    def room(
        self, label: str, shape: Sequence[int], dtype: Any, order: Order | None = None,
        kind: str = "temporary",
    ) -> Room:  # fmt: skip
        """A new buffer for an array whose axes lie in an order; in their own if left out."""
        shape = tuple(shape)
        own = tuple(range(len(shape))) if order is None else order
        b = self.nests.buffer(label, tuple([shape[k] for k in own]), dtype, kind)
        return Room(b, own, shape)

    def for_many(self, tensor: Tensor, times: float) -> Tensor:
        """The array for a use that asks for each element several times."""
        return self.kept(tensor) if times > 1 and tensor.weight > _CHEAP else tensor


class Room:
    """A buffer whose axes are those of an array in another order."""

    def __init__(self, buffer: Buffer, order: Order, shape: tuple[int, ...]) -> None:
        self.buffer = buffer
        self.order = order
        if order == tuple(range(len(order))):
            self.tensor = of_buffer(buffer)
            return
        strides = row_strides(buffer.shape)
        self.tensor = Tensor(
            shape, buffer.dtype, lambda index: load(buffer, self.index(index)),
            layout=(buffer, 0, tuple([strides[order.index(k)] for k in range(len(order))])),
        )  # fmt: skip

    def index(self, index: Sequence[Any]) -> Index:
        """The index in the buffer of an element of the array."""
        return tuple([index[k] for k in self.order])


def _in_parts(b: Buffer) -> bool:
    """Whether a buffer is written piece by piece, at places that loops can share.

    Then it is put together in one turn of a loop, and copied as a whole. Pieces that are written by
    loops of their own are never together in one turn.
    """
    if len(b.writers) < 2:
        return False
    around = set()
    for w in b.writers:
        if not isinstance(w, Statement) or any(isinstance(i, Expr) for i in w.index):
            return False
        around.add(next(map(id, path_of(w)), None))
    return len(around) == 1


def of_var(var: Var) -> Affine:
    """The index that a loop's variable is."""
    return Affine(0, ((var, 1),))


def loops_over(shape: Sequence[int]) -> tuple[list[Var], tuple[Affine, ...]]:
    """A loop for each axis that is longer than one, and the index that they go through."""
    variables = [Var(n) for n in shape if n != 1]
    left = iter(variables)
    return variables, tuple([ZERO if n == 1 else of_var(next(left)) for n in shape])


def of_buffer(b: Buffer) -> Tensor:
    """A buffer as an array."""
    return Tensor(
        b.shape, b.dtype, lambda index: load(b, index), layout=(b, 0, row_strides(b.shape))
    )


Element = Callable[..., Expr]

# --------------------------------------------------------------------------------------- the rules
#
# By the primitive's name: ``rule(lowering, value, *args)`` gives the array.

RULES: dict[str, Callable[..., Any]] = {}


def rule(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The rule for primitives of these names."""

    def add(f: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            RULES[name] = f
        return f

    return add


def repeated(x: Tensor, shape: tuple[int, ...]) -> Callable[[Index], Expr]:
    """An element of ``x`` broadcast to a shape, by the index there."""
    if x.shape == shape:
        return x.at
    if not x.shape:
        return lambda _: x.at(())
    extra = len(shape) - len(x.shape)
    ones = [n == 1 and shape[extra + k] != 1 for k, n in enumerate(x.shape)]
    if not any(ones):
        return lambda index: x.at(index[extra:])
    return lambda index: x.at(
        tuple([ZERO if one else i for one, i in zip(ones, index[extra:], strict=True)])
    )


def elementwise(
    b: Lowering, shape: tuple[int, ...], args: Sequence[Tensor], element: Element
) -> Tensor:
    """``element`` of the broadcast arguments."""
    size = math.prod(shape)
    args = [b.for_many(x, size / max(x.size, 1)) for x in args]
    sources = [repeated(x, shape) for x in args]
    probe = element(*[Expr("const", x.dtype, x.dtype.type(0), weight=x.weight) for x in args])
    return Tensor(
        shape, probe.dtype, lambda index: element(*[at(index) for at in sources]),
        probe.weight, 1 + max([x.depth for x in args], default=0),
    )  # fmt: skip


def converted(b: Lowering, x: Tensor, dtype: Any) -> Tensor:
    """``x`` in another dtype."""
    return x if x.dtype == dtype else elementwise(b, x.shape, (x,), lambda e: cast(e, dtype))


def view(
    x: Tensor, shape: tuple[int, ...], move: Callable[[Index], Index],
    steps: Sequence[int | None], offset: int = 0,
) -> Tensor:  # fmt: skip
    """A part of ``x``: ``move`` gives the index in ``x``; the strides are ``steps`` there."""
    layout = None
    if x.layout is not None and all(s is not None for s in steps):
        source, start, _ = x.layout
        layout = source, start + offset, tuple(steps)
    return Tensor(shape, x.dtype, lambda index: x.at(move(index)), x.weight, x.depth, layout)


def strides_of(x: Tensor) -> tuple[int, ...]:
    """Its strides in the buffer that it is a part of; zeros if it is not."""
    return x.layout[2] if x.layout is not None else (0,) * len(x.shape)


def reshaped(b: Lowering, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same elements in another shape."""
    if x.shape == shape:
        return x
    wide = [(k, n) for k, n in enumerate(x.shape) if n != 1]
    if [n for _, n in wide] == [n for n in shape if n != 1]:  # only axes of length one differ
        strides = strides_of(x)
        places = iter(range(len(shape)))
        found: list[tuple[int, int | None]] = []
        for k, n in enumerate(x.shape):
            if n == 1:
                found.append((k, None))
            else:
                found.append((k, next(p for p in places if shape[p] != 1)))
        back = {p: k for k, p in found if p is not None}
        return view(
            x, shape,
            lambda index: tuple([ZERO if p is None else index[p] for _, p in found]),
            [strides[back[p]] if p in back else 0 for p in range(len(shape))],
        )  # fmt: skip
    if x.buffer is None and (x.layout is not None or x.order is not None):
        parts = groups(x.shape, shape)
        if all(len(old) == 1 for old, _ in parts):  # axes are divided, whatever their strides
            return _divided(b.kept(x), shape, parts)
    x = b.stored(x)
    source = x.buffer
    assert source is not None

    def at(index: Index) -> Expr:
        return load(source, _unravelled(index, shape, source.shape))

    return Tensor(shape, x.dtype, at, layout=(source, 0, row_strides(shape)))


def _divided(x: Tensor, shape: tuple[int, ...], parts: Sequence[tuple[Any, Any]]) -> Tensor:
    """An array whose axes are divided into those of a shape, wherever its elements lie."""
    steps = [0] * len(shape)
    for (axis,), own in parts:
        for k, step in zip(own, row_strides([shape[k] for k in own]), strict=True):
            steps[k] = strides_of(x)[axis] * step

    def move(index: Index) -> Index:
        return tuple([
            _unravelled(tuple([index[k] for k in own]), [shape[k] for k in own], [x.shape[axis]])[0]
            for (axis,), own in parts
        ])  # fmt: skip

    return view(x, shape, move, steps)


def _unravelled(index: Index, shape: Any, wanted: Any) -> Index:
    """The same place in an array of another shape.

    Axes that are joined or split are grouped: a joined one is an affine number, and what cannot
    be taken apart is left to the last axis of its group, which then runs beyond its length.
    """
    if not all(isinstance(i, Affine) for i in index):
        flat: Any = const(0, np.int64)
        for i, s in zip(index, row_strides(shape), strict=True):
            flat = op(
                "add", np.int64, flat, op("multiply", np.int64, index_value(i), const(s, np.int64))
            )
        return tuple([ZERO] * (len(wanted) - 1) + [flat])
    return _taken_apart(place_in(index, shape), wanted)


def _taken_apart(place: Affine, shape: Sequence[int]) -> Index:
    """A place in memory as an index, as far as its terms can be told apart by their strides."""
    found: list[Affine] = []
    rest = place
    for stride, n in zip(row_strides(shape), shape, strict=True):
        if stride == 1 and len(found) == len(shape) - 1:
            found.append(rest)
            break
        own = [(v, c) for v, c in rest.terms if stride > 0 and c % stride == 0]
        other = [(v, c) for v, c in rest.terms if stride <= 0 or c % stride != 0]
        const_part, left = divmod(rest.const, stride) if stride else (0, rest.const)
        here = Affine(const_part, tuple([(v, c // stride) for v, c in own]))
        remaining = Affine(left, tuple(other))
        low, high = remaining.bounds() if remaining.terms else (left, left)
        if low >= 0 and high < stride and here.bounds()[0] >= 0 and here.bounds()[1] < n:
            found.append(here)
            rest = remaining
        else:
            found.append(ZERO)
    return tuple(found)
