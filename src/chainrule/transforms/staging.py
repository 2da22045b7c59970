"""Staging: a function recorded once, to be run again on other values of the same shapes.

The body of a loop is staged: it is run once on examples, with every operation recorded, and from
then on the records are replayed. Traced values that it takes from outside become arguments.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.batch import Batched
from chainrule.graph.bundle import Bundle
from chainrule.graph.operand import Attrs, Operand, bind, concrete
from chainrule.graph.primitive import Custom, Notation, Primitive
from chainrule.graph.tape import (
    Tape,
    Traced,
    dtype_of,
    example,
    levels,
    running,
    shape_of,
    written_alike,
)
from chainrule.graph.versions import refreshed
from chainrule.tree import flatten, map_leaves


@dataclass(frozen=True, slots=True, eq=False)
class Staged:
    """A function as a list of operations.

    Attributes:
        records: The operations in order. What has no ``op`` is an input or taken from outside.
        inputs: Index of each argument among the records.
        outside: The operands it takes from the computations around it, as arguments before the
            others: ``self(*outside, *inputs)``.
        places: Where each of them stands among these, by its identity.
        results: For each result the index of a record, or a plain value.
        rebuild: Makes the tree that the function returned, of the results.
        level: That of the tape it was recorded on.
    """

    records: tuple[Traced, ...]
    inputs: tuple[int, ...]
    outside: tuple[Any, ...]
    places: dict[tuple[int, int], int]
    results: tuple[Any, ...]
    rebuild: Callable[[Sequence[Any]], Any]
    level: int

    def __call__(self, *values: Any) -> list[Any]:
        """The results for these values of what is taken from outside and of the inputs."""
        count = len(self.outside)
        outer, given = values[:count], values[count:]
        found: dict[int, Any] = dict(zip(self.inputs, given, strict=True))
        for record in self.records:
            if record.op is None:
                found.setdefault(record.index, record.value)
                continue
            args = tuple([self._argument(a, found, outer) for a in record.args])
            apply = bind if record.op.joint is None else bound
            found[record.index] = apply(record.op, args, record.attrs)
        return [found[r.index] if self._own(r) else self._argument(r, found, outer)
                for r in self.results]  # fmt: skip

    def _own(self, value: Any) -> bool:
        return type(value) is Traced and value.level == self.level

    def _argument(self, arg: Any, found: dict[int, Any], outer: Sequence[Any]) -> Any:
        if not isinstance(arg, Operand):
            return arg
        if self._own(arg):
            return found[arg.index]
        return outer[self.places[identity(arg)]]


class _Sketches(threading.local):
    """The recordings that are being made in this thread for shapes and dtypes alone."""

    def __init__(self) -> None:
        self.open: list[sketching] = []
        # Whether what is being evaluated are examples, and nothing else.
        self.examples = False


_sketches = _Sketches()


class sketching:
    """While only shapes and dtypes of values matter: a loop makes one turn for its example.

    ``shortened`` tells afterwards whether some loop did, so that values are not those of a run.
    """

    def __init__(self) -> None:
        self.shortened = False

    def __enter__(self) -> Self:
        _sketches.open.append(self)
        self.before, _sketches.examples = _sketches.examples, False
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:  # fmt: skip
        _sketches.open.pop()
        _sketches.examples = self.before


def shortened(args: Sequence[Any]) -> bool:
    """Whether a loop over these values may be cut short, as nobody looks at what it gives."""
    if not _sketches.examples or any(isinstance(a, Operand) for a in args):
        return False
    _sketches.open[-1].shortened = True
    return True


def bound(composite: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
    """Apply a composite. Where it is only recorded, its value is only an example.

    A loop over plain values is none, although it may stand in what is being recorded.
    """
    opaque = bool(_sketches.open) and any(isinstance(every_value(a), Operand) for a in args)
    if not opaque or _sketches.examples:
        return bind(composite, args, attrs)
    _sketches.examples = True
    try:
        return bind(composite, args, attrs)
    finally:
        _sketches.examples = False


def every_value(operand: Any) -> Any:
    """The values of a batch, of a batch of batches, ..."""
    while isinstance(operand, Operand):
        below = operand.stack if hasattr(operand, "stack") else concrete(operand)
        if below is operand:
            break  # a value inside a staged loop
        operand = below
    return operand


def identity(operand: Any) -> tuple[int, int]:
    """What tells operands apart: a record by its place on its tape, a batch by its stack."""
    return operand.level, operand.index if type(operand) is Traced else id(operand.stack)


def stage(f: Callable[..., Any], examples: Sequence[Any]) -> Staged:
    """Record ``f`` once, on examples of the arguments (pytrees).

    Raises:
        TraceError: ``f`` asks for a value: a branch, ``float()``, a mask as an index.
    """
    tape = Tape(staged=True)
    given, rebuild = flatten(tuple(examples))
    inputs = [tape.input(value_of(example(leaf))) for leaf in given]
    with running(tape), sketching(), np.errstate(all="ignore"):
        result = map_leaves(refreshed, f(*rebuild([x.alias() for x in inputs])))
    results, rebuild_result = flatten(result)
    outside, places = _each_once(taken_from_outside(tape, results))
    return Staged(
        records=tuple(tape.records),
        inputs=tuple(x.index for x in inputs),
        outside=outside,
        places=places,
        results=tuple(map(value_of, results)),
        rebuild=rebuild_result,
        level=tape.level,
    )


def taken_from_outside(tape: Tape, results: Sequence[Any]) -> dict[tuple[int, int], Any]:
    """The operands of other computations among what was recorded, in the order of first use."""
    outside: dict[tuple[int, int], Any] = {}
    for value in [*(a for r in tape.records for a in r.args), *results]:
        if isinstance(value, Operand) and value.level != tape.level:
            outside.setdefault(identity(value), value)
    return outside


def _each_once(
    outside: Mapping[tuple[int, int], Any],
) -> tuple[tuple[Any, ...], dict[tuple[int, int], int]]:
    """Operands without views that are written like another one, and the place of each.

    ``x[1:]``, written four times in the body of a loop, is taken from outside once: its cotangent
    is one thing that the loop carries back, and not four.
    """
    kept: list[Any] = []
    places: dict[tuple[int, int], int] = {}
    alike: dict[Any, int] = {}
    for key, value in outside.items():
        place = len(kept)
        if type(value) is Traced and value.op is not None and value.op.view:
            written = written_alike(value.op, value.args, value.attrs, value.level)
            if written is not None:
                place = alike.setdefault((value.level, written), place)
        if place == len(kept):
            kept.append(value)
        places[key] = place
    return tuple(kept), places


def value_of(leaf: Any) -> Any:
    """An operand as it is, anything else as NumPy's array or number."""
    return leaf if isinstance(leaf, Operand) else np.asarray(leaf)[()]


def items(bundle: Any, count: int) -> list[Any]:
    """Each of ``count`` results, taken from what a primitive with several gave."""
    attrs = [{"position": i, "count": count} for i in range(count)]
    return [bind(ITEM, (bundle,), a) for a in attrs]


def _push_item(tangents: Any, args: Any, out: Any, attrs: Any) -> Any:
    (tangent,) = tangents
    part = tangent[attrs["position"]]
    return zeros_along(out) if part is None else part


def _pull_item(cotangent: Any, args: Any, out: Any, attrs: Any) -> Any:
    parts = [None] * attrs["count"]
    parts[attrs["position"]] = cotangent
    return (Bundle(parts),)


def composite(
    name: str, evaluate: Callable[..., Any], push: Any, pull: Any, batch: Any = None
) -> Primitive:
    """A primitive made of others: it computes a batch by being run on batched values."""
    return Primitive(
        name, evaluate, (Custom(push, pull, joint=True),), Notation(name, rf"\mathrm{{{name}}}"),
        elementwise=False, structure="program", batch=batch or run_on_batch,
    )  # fmt: skip


def run_on_batch(row: Primitive, size: int, args: Any, batched: Any, attrs: Any) -> Any:
    """A composite of a batch: what it does is done to batched values."""
    return Bundle(over_batch(lambda *values: row.evaluate(*values, **attrs), size, batched)(*args))


def over_batch(
    f: Callable[..., Sequence[Any]], size: int, batched: Sequence[bool]
) -> Callable[..., list[Any]]:
    """``f`` of every value of a batch: arguments and results have the batch as first axis."""

    def run(*args: Any) -> list[Any]:
        level = next(levels)

        def stacked(value: Any) -> Any:
            if isinstance(value, Batched) and value.level == level:
                return value.stack
            return np.broadcast_to(value, (size, *shape_of(value)))

        wrapped = [Batched(level, a) if b else a for a, b in zip(args, batched, strict=True)]
        return list(map(stacked, f(*wrapped)))

    return run


ITEM = Primitive(
    "item", lambda bundle, position, count: bundle[position],
    (Custom(_push_item, _pull_item, joint=True),), Notation("item", r"\mathrm{item}"),
    elementwise=False, structure="selection",
)  # fmt: skip


def explained(values: Sequence[Any]) -> bool:
    """Whether the computation is going to be explained: then its loops are shown step by step."""
    return any(type(v) is Traced and v.tape.recorder is not None for v in values)


def is_float(value: Any) -> bool:
    """Whether a leaf has a derivative."""
    return dtype_of(value).kind == "f"


def linear_parts(
    f: Callable[..., Sequence[Any]], args: Sequence[Any]
) -> tuple[Callable[..., Sequence[Any]], list[Any], list[int]]:
    """``f`` as a function of its float arguments alone, those arguments, and where they stand."""
    where = [i for i, a in enumerate(args) if is_float(a)]

    def of_floats(*floats: Any) -> Sequence[Any]:
        merged = list(args)
        for i, value in zip(where, floats, strict=True):
            merged[i] = value
        return f(*merged)

    return of_floats, [args[i] for i in where], where


def placed(parts: Sequence[Any], where: Sequence[int], count: int) -> list[Any]:
    """The parts in their places among ``count``, and ``None`` in the others."""
    found: list[Any] = [None] * count
    for i, part in zip(where, parts, strict=True):
        found[i] = part
    return found


def zeros_for(value: Any) -> Any:
    """A tangent or cotangent of zero."""
    return np.zeros(shape_of(value), dtype_of(value))[()]


def zeros_along(value: Any) -> Any:
    """The same for an array that may have another length in another run of what is staged."""
    if not isinstance(value, Operand):
        return zeros_for(value)
    zero = dtype_of(value).type(0)
    return np.where(np.equal(value, value), zero, zero)


def refuse_operands(value: Any, what: str) -> None:
    """A plain run must give plain results; anything else came in from outside."""
    if isinstance(value, Operand):
        raise TraceError(
            f"{what} uses a traced value that is not among its arguments, so its gradient would be "
            "lost.\nPass it as an argument."
        )
