"""Pieces of programs that have a name of their own, and are safe under that name.

``log(sum(exp(z)))`` overflows where ``logsumexp(z)`` does not, and the root of a sum of squares has
an infinite slope at 0 where the norm has a convention. Each matcher looks at one operation and the
few behind it, and says what to compute in their place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.diagnosis.recording import Change, Recording
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Traced
from chainrule.rules import BOOK

Text = Callable[[Any], str]


@dataclass(frozen=True, slots=True, eq=False)
class StableForm:
    """A piece of a program, and what is safe in its place.

    Attributes:
        root: The operation whose value is computed otherwise.
        members: The operations that belong to the piece.
        changes: What is done otherwise.
        write: What to write in place of the root, given what the arguments are written as.
        because: Why it helps.
    """

    root: Traced
    members: frozenset[int]
    changes: Mapping[int, Change]
    write: Callable[[Text], str]
    because: str


def stable_forms(recording: Recording) -> Iterator[StableForm]:
    """All that are found in a recording."""
    look = _Look(recording)
    for record in recording.records:
        for matcher in _MATCHERS:
            found = matcher(look, record)
            if found is not None:
                yield found


class _Look:
    """Asks of values what they were made by."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording

    def made_by(self, value: Any, *names: str) -> Traced | None:
        """The record of a value, if it was made by an operation of one of these names."""
        if not self.recording.own(value) or value.op is None:
            return None
        record: Traced = self.recording.records[value.index]
        return record if value.op.name in names else None

    def square_of(self, value: Any) -> tuple[Traced, Any] | None:
        """The record of a square, and what was squared."""
        record = self.made_by(value, "square", "power", "multiply")
        if record is None:
            return None
        name, args = value.op.name, record.args
        if name == "square":
            return record, args[0]
        if name == "power":
            return (record, args[0]) if self.is_number(args[1], 2) else None
        same = self.recording.own(args[0]) and self.recording.own(args[1])
        return (record, args[0]) if same and args[0].index == args[1].index else None

    def is_number(self, value: Any, number: float) -> bool:
        """Whether a value is that constant."""
        return not self.recording.own(value) and bool(
            np.ndim(value) == 0 and np.asarray(value) == number
        )

    def through_shapes(self, value: Any) -> tuple[Any, set[int]]:
        """What a value is but for reshaping and broadcasting, and the records in between."""
        between: set[int] = set()
        while True:
            record = self.made_by(value, "reshape", "broadcast_to", "index", "transpose", "copy")
            if record is None:
                return value, between
            between.add(record.index)
            value = record.args[0]

    def same(self, a: Any, b: Any) -> bool:
        """Whether two values are one record, or were computed of one in the same way."""
        if not (self.recording.own(a) and self.recording.own(b)):
            return False
        if a.index == b.index:
            return True
        if a.op is None or a.op is not b.op or len(a.args) != 1 or len(b.args) != 1:
            return False
        return self.same(a.args[0], b.args[0])


def _members(*records: Traced | None) -> frozenset[int]:
    return frozenset(r.index for r in records if r is not None)


def _row(name: str) -> Primitive:
    return BOOK[name]


def _norm(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.linalg.norm(x, axis=axis, keepdims=keepdims) if axis is not None or np.ndim(x) < 2 \
        else np.linalg.norm(np.reshape(x, -1))  # fmt: skip


def _logsumexp(z: Any, axis: Any, keepdims: bool) -> Any:
    largest = np.max(z, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(z - largest), axis=axis, keepdims=True)) + largest
    return total if keepdims else np.sum(total, axis=axis)


def _axis(attrs: Mapping[str, Any], keepdims: bool | None = None) -> str:
    """The options of a reduction as they are written."""
    axis, kept = attrs.get("axis"), attrs.get("keepdims", False) if keepdims is None else keepdims
    if isinstance(axis, tuple) and len(axis) == 1:
        axis = axis[0]
    parts = [] if axis is None else [f"axis={axis}"]
    return "".join(f", {p}" for p in [*parts, *(["keepdims=True"] if kept else [])])


# -------------------------------------------------------------------------------- roots of squares


def _root_of_squares(look: _Look, record: Traced) -> StableForm | None:
    root = look.made_by(record, "sqrt", "power")
    if root is None or (record.op and record.op.name == "power"
                        and not look.is_number(record.args[1], 0.5)):  # fmt: skip
        return None
    because = "a norm has derivative 0 at 0, by convention; a root has slope ∞ there"
    mean = look.made_by(record.args[0], "mean")
    if mean is not None:
        return _deviation(look, record, mean)
    total = look.made_by(record.args[0], "sum")
    if total is not None:
        square = look.square_of(total.args[0])
        if square is None:
            return None
        x, attrs = square[1], total.attrs
        axis, kept = attrs.get("axis"), attrs.get("keepdims", False)
        whole = (axis is None or len(np.atleast_1d(axis)) == np.ndim(x)) and np.ndim(x) > 1
        if whole and kept:
            return None
        along = None if whole or (np.ndim(x) == 1 and not kept) else axis
        return StableForm(
            record, _members(record, total, square[0]),
            {record.index: lambda now: _norm(now(x), along, kept)},
            lambda text: f"np.linalg.norm({text(x)}{_axis({'axis': along}, kept)})",
            because,
        )  # fmt: skip
    square = look.square_of(record.args[0])
    if square is not None:
        x = square[1]
        return StableForm(
            record, _members(record, square[0]), {record.index: lambda now: np.abs(now(x))},
            lambda text: f"np.abs({text(x)})",
            "√x² is |x|, which has derivative 0 at 0, by convention; a root has slope ∞ there",
        )  # fmt: skip
    terms = _terms(look, record.args[0])
    if len(terms) < 2:
        return None
    squares = [look.square_of(t) for t in terms]
    found = [s for s in squares if s is not None]
    if len(found) < len(squares):
        return None
    xs = [x for _, x in found]

    def change(now: Callable[[Any], Any]) -> Any:
        return np.linalg.norm(np.stack(np.broadcast_arrays(*map(now, xs))), axis=0)

    return StableForm(
        record, _members(record, *(r for r, _ in found)) | _sums(look, record.args[0]),
        {record.index: change},
        lambda text: f"np.linalg.norm(np.stack([{', '.join(map(text, xs))}]), axis=0)",
        because,
    )  # fmt: skip


def _deviation(look: _Look, record: Traced, mean: Traced) -> StableForm | None:
    """The root of a mean of squares: a standard deviation, or at least a norm."""
    square = look.square_of(mean.args[0])
    axis, kept = mean.attrs.get("axis"), mean.attrs.get("keepdims", False)
    if square is None or (axis is not None and len(np.atleast_1d(axis)) > 1):
        return None
    made, u = square
    because = "it has derivative 0 where all numbers are equal, by convention"
    rest = look.made_by(u, "subtract")
    centre = None if rest is None else look.through_shapes(rest.args[1])[0]
    inner = look.made_by(centre, "mean")
    if rest is not None and inner is not None and look.same(inner.args[0], rest.args[0]):
        x, attrs = rest.args[0], {"axis": axis}
        if np.size(record.value) * np.size(x) == np.size(x) * max(np.size(inner.value), 1):
            return StableForm(
                record, _members(record, mean, made, rest, inner),
                {record.index: lambda now: np.std(now(x), axis=axis, keepdims=kept)},
                lambda text: f"np.std({text(x)}{_axis(attrs, kept)})", because,
            )  # fmt: skip
    count = np.size(mean.args[0].value) / max(np.size(record.value), 1)
    return StableForm(
        record, _members(record, mean, made),
        {record.index: lambda now: _norm(now(u), axis, kept) / np.sqrt(count)},
        lambda text: f"np.linalg.norm({text(u)}{_axis({'axis': axis}, kept)}) / np.sqrt({count:g})",
        because,
    )  # fmt: skip


def _hypotenuse(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "hypot") is None:
        return None

    def change(now: Callable[[Any], Any]) -> Any:
        return np.linalg.norm(np.stack(np.broadcast_arrays(*map(now, record.args))), axis=0)

    return StableForm(
        record, _members(record), {record.index: change},
        lambda text: f"np.linalg.norm(np.stack([{', '.join(map(text, record.args))}]), axis=0)",
        "a norm has derivative 0 at 0, by convention",
    )  # fmt: skip


def _terms(look: _Look, value: Any) -> list[Any]:
    """The summands of a sum that is written with plus signs."""
    record = look.made_by(value, "add")
    return [value] if record is None else [t for a in record.args for t in _terms(look, a)]


def _sums(look: _Look, value: Any) -> frozenset[int]:
    record = look.made_by(value, "add")
    if record is None:
        return frozenset()
    return _members(record).union(*(_sums(look, a) for a in record.args))


# --------------------------------------------------------------------- exponentials and logarithms


def _log_of_sum(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "log") is None:
        return None
    because = "the largest exponent is taken out of the sum, so that nothing overflows"
    total = look.made_by(record.args[0], "sum")
    if total is not None:
        exp = look.made_by(total.args[0], "exp")
        if exp is None:
            return None
        z, attrs = exp.args[0], total.attrs
        axis, kept = attrs.get("axis"), attrs.get("keepdims", False)
        return StableForm(
            record, _members(record, total, exp),
            {record.index: lambda now: _logsumexp(now(z), axis, kept)},
            lambda text: f"scipy.special.logsumexp({text(z)}{_axis(attrs)})", because,
        )  # fmt: skip
    pair = look.made_by(record.args[0], "add")
    if pair is None:
        return None
    exps = [look.made_by(a, "exp") for a in pair.args]
    if all(e is None for e in exps):
        return None
    parts: list[Any] = []
    for arg, exp in zip(pair.args, exps, strict=True):
        if exp is not None:
            parts.append(exp.args[0])
        elif look.is_number(arg, 1):
            parts.append(0.0)
        else:
            return None
    return StableForm(
        record, _members(record, pair, *exps),
        {record.index: lambda now: np.logaddexp(*(now(p) for p in parts))},
        lambda text: f"np.logaddexp({', '.join(map(text, parts))})", because,
    )  # fmt: skip


def _log1p_of_exp(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "log1p") is None:
        return None
    exp = look.made_by(record.args[0], "exp")
    if exp is None:
        return None
    x = exp.args[0]
    return StableForm(
        record, _members(record, exp), {record.index: lambda now: np.logaddexp(0.0, now(x))},
        lambda text: f"np.logaddexp(0.0, {text(x)})",
        "the exponential is never larger than 1 there, so that nothing overflows",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Sigmoid:
    """1/(1 + exp(u)), however it is written."""

    u: Any
    negative: bool  # whether it is 1/(1 + exp(-u)) instead
    members: frozenset[int]


def _sigmoid_at(look: _Look, value: Any) -> _Sigmoid | None:
    quotient = look.made_by(value, "divide", "sigmoid", "reciprocal")
    if quotient is None:
        return None
    if value.op.name == "sigmoid":
        return _Sigmoid(quotient.args[0], True, _members(quotient))
    above, below = (1.0, quotient.args[0]) if len(quotient.args) == 1 else quotient.args
    total = look.made_by(below, "add")
    if total is None:
        return None
    for one, other in (total.args, total.args[::-1]):
        exp = look.made_by(other, "exp")
        if not look.is_number(one, 1) or exp is None:
            continue
        u, members = exp.args[0], _members(quotient, total, exp)
        if look.is_number(above, 1):
            minus = look.made_by(u, "negative")
            if minus is not None:
                return _Sigmoid(minus.args[0], True, members | _members(minus))
            return _Sigmoid(u, False, members)
        if look.same(above, other):
            return _Sigmoid(u, True, members | _members(above))
    return None


def _sigmoid(look: _Look, record: Traced) -> StableForm | None:
    found = _sigmoid_at(look, record)
    if found is None or (record.op is not None and record.op.name == "sigmoid"):
        return None
    u, row = found.u, _row("sigmoid")
    sign = "" if found.negative else "-"
    return StableForm(
        record, found.members,
        {record.index: lambda now: bind(row, (now(u) if found.negative else -now(u),))},
        lambda text: f"scipy.special.expit({sign}{_operand(text(u), sign)})",
        "it is the sigmoid, which has no exponential that overflows",
    )  # fmt: skip


def _operand(text: str, sign: str) -> str:
    return text if not sign or text.isidentifier() else f"({text})"


def _log_of_sigmoid(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "log") is None:
        return None
    inside, others = record.args[0], frozenset[int]()
    found, flipped = _sigmoid_at(look, inside), False
    if found is None:
        rest = look.made_by(inside, "subtract")
        if rest is None or not look.is_number(rest.args[0], 1):
            return None
        found, flipped, others = _sigmoid_at(look, rest.args[1]), True, _members(rest)
    if found is None:
        return None
    u, minus = found.u, found.negative != flipped
    sign = "-" if minus else ""
    return StableForm(
        record, found.members | others | _members(record),
        {record.index: lambda now: -np.logaddexp(0.0, -now(u) if minus else now(u))},
        lambda text: f"-np.logaddexp(0.0, {sign}{_operand(text(u), sign)})",
        "the logarithm of a sigmoid is taken without the sigmoid, which is 0 or 1 in its tails",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Softmax:
    """exp(z)/sum(exp(z))."""

    z: Any
    exps: tuple[Traced, ...]
    attrs: Mapping[str, Any]
    members: frozenset[int]


def _softmax_at(look: _Look, value: Any) -> _Softmax | None:
    row = look.made_by(value, "softmax")
    if row is not None:
        return _Softmax(row.args[0], (), row.attrs, _members(row))
    quotient = look.made_by(value, "divide")
    if quotient is None:
        return None
    exp = look.made_by(quotient.args[0], "exp")
    below, between = look.through_shapes(quotient.args[1])
    total = look.made_by(below, "sum")
    if exp is None or total is None:
        return None
    again = look.made_by(total.args[0], "exp")
    if again is None or not look.same(exp, again):
        return None
    exps = (exp,) if exp.index == again.index else (exp, again)
    members = _members(quotient, total, *exps) | between
    return _Softmax(exp.args[0], exps, total.attrs, members)


def _softmax(look: _Look, record: Traced) -> StableForm | None:
    found = _softmax_at(look, record)
    if found is None or not found.exps:
        return None
    z, axis = found.z, found.attrs.get("axis")

    def shifted(now: Callable[[Any], Any]) -> Any:
        return np.exp(now(z) - np.max(now(z), axis=axis, keepdims=True))

    options = _axis({"axis": axis}, True) if axis is not None else ""
    return StableForm(
        found.exps[0], found.members, {e.index: shifted for e in found.exps},
        lambda text: f"np.exp({text(z)} - np.max({text(z)}{options}))",
        "the quotient is the same, and the largest exponential is 1",
    )  # fmt: skip


def _log_of_softmax(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "log") is None:
        return None
    found, picked = _softmax_at(look, record.args[0]), None
    if found is None:
        picked = look.made_by(record.args[0], "index", "take_along_axis")
        found = None if picked is None else _softmax_at(look, picked.args[0])
    if found is None:
        return None
    z, axis = found.z, found.attrs.get("axis")

    def change(now: Callable[[Any], Any]) -> Any:
        whole = now(z) - _logsumexp(now(z), axis, True)
        if picked is None:
            return whole
        assert picked.op is not None
        return bind(picked.op, (whole, *map(now, picked.args[1:])), picked.attrs)

    options = "" if axis is None else _axis({"axis": axis}, False)

    def write(text: Text) -> str:
        end = "" if picked is None else text(picked)
        index = end[end.rfind("[") :] if end.endswith("]") else ", then pick" if end else ""
        return f"scipy.special.log_softmax({text(z)}{options}){index}"

    return StableForm(
        record, found.members | _members(record, picked), {record.index: change},
        write,
        "the logarithm of a softmax is taken without the softmax, which underflows to 0",
    )  # fmt: skip


def _product_with_log(look: _Look, record: Traced) -> StableForm | None:
    if look.made_by(record, "multiply") is None:
        return None
    logs = [look.made_by(a, "log") for a in record.args]
    if logs[1] is not None:
        a, log = record.args[0], logs[1]
    elif logs[0] is not None:
        a, log = record.args[1], logs[0]
    else:
        return None
    y, row = log.args[0], _row("xlogy")
    return StableForm(
        record, _members(record, log), {record.index: lambda now: bind(row, (now(a), now(y)))},
        lambda text: f"scipy.special.xlogy({text(a)}, {text(y)})", "0·log(0) is 0 there, its limit",
    )  # fmt: skip


_MATCHERS = (
    _root_of_squares, _hypotenuse, _log_of_softmax, _log_of_sigmoid, _log_of_sum, _log1p_of_exp,
    _sigmoid, _softmax, _product_with_log,
)  # fmt: skip
