"""Operations on scalars as text, from a template that is made once for each kind of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from chainrule.graph.operand import NO_ATTRS, attribute_key
from chainrule.rules.powers import POWER as _POWER
from chainrule.run.llvm.emit import Emitter
from chainrule.run.llvm.expressions import Expr, load
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.lowering import DTYPES, RULES, Tensor, Unsupported
from chainrule.run.llvm.nests import Buffer
from chainrule.run.llvm.program import Value

# From so many operations on scalars on, they are written by what is in this file.
LEAST = 48
MOST_ARGUMENTS = 3


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
        given = [scalar_at(load(b, ()), b) for b in self._places]
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
            or not 0 < len(value.args) <= MOST_ARGUMENTS
            or any(v.dtype not in DTYPES for v in (value, *value.args))
        ):  # fmt: skip
            return None
        try:
            kernel = Kernel(len(self.all), value)
        except Unsupported:
            return None
        self.all.append(kernel)
        return kernel


def scalar_at(at: Expr, buffer: Buffer, k: int = 0) -> Tensor:
    """The scalar at a place of a buffer."""
    return Tensor((), buffer.dtype, lambda _: at, layout=(buffer, k, ()))


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
    if len(values) < LEAST:
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
    if all(len(scalars) < LEAST for scalars, _ in groups):
        return [(list(values), None)]
    found: list[tuple[list[Value], Kernels | None]] = [(known, None)]
    for scalars, others in groups:
        found.append((scalars, kernels if len(scalars) >= LEAST else None))
        found.append((others, None))
    return found
