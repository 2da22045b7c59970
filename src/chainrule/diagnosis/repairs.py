"""Changes of a program that may help against a bad number, the best ones first.

Each is a suggestion in words together with what it does to the recorded run. Whether it helps is
not decided here: the run is made again with it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule.diagnosis.flow import Event, Flow, any_bad, bad
from chainrule.diagnosis.hiding import Hidden
from chainrule.diagnosis.pairs import shown
from chainrule.diagnosis.recording import Change, Recording
from chainrule.diagnosis.stable_forms import StableForm, stable_forms
from chainrule.diagnosis.written import Written, wrapped, written
from chainrule.graph.operand import bind
from chainrule.graph.tape import Traced, dtype_of

# What the arguments have to fulfil for the operation to be harmless: written, and as a test.
_HARMLESS: dict[str, tuple[str, Callable[..., Any]]] = {
    **dict.fromkeys(("sqrt", "log", "log2", "log10", "power"), ("{0} > 0", lambda x, *_: x > 0)),
    "log1p": ("{0} > -1", lambda x: x > -1),
    "divide": ("{1} != 0", lambda _, y: y != 0),
    "reciprocal": ("{0} != 0", lambda x: x != 0),
    **dict.fromkeys(("arccos", "arcsin", "arctanh"), ("np.abs({0}) < 1", lambda x: np.abs(x) < 1)),
    "arccosh": ("{0} > 1", lambda x: x > 1),
}
# A positive number that is as good as 0, by how many bytes a number takes.
_SMALL = {2: 1e-4, 4: 1e-36, 8: 1e-300, 16: 1e-300}
_GROWING = ("exp", "exp2", "exp10", "expm1", "sinh", "cosh")
_SIGNS = {"divide": "/", "multiply": "*", "add": "+", "subtract": "-", "power": "**",
          "matmul": "@"}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Repair:
    """A change that may help.

    Attributes:
        record: The operation in whose line it is made; ``None`` if it is made to the inputs.
        write: What to write.
        instead_of: What stands there now, if it was found.
        because: Why it may help.
        changes: What is done otherwise in the run.
        inputs: Other values of inputs.
        precise: Whether everything is computed in float64.
    """

    record: Traced | None
    write: str
    instead_of: str | None
    because: str
    changes: Mapping[int, Change] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    precise: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What was found of a bad number: the material for repairs.

    Attributes:
        recording: The run.
        birth: Where it was born.
        others: What had made it possible, and what became of it.
        hidden: What hid it from the value.
    """

    recording: Recording
    birth: Event
    others: tuple[Event, ...]
    hidden: tuple[Hidden, ...]

    def text(self, value: Any) -> str:
        """What a value is written as."""
        recording = self.recording
        name = recording.name(value)
        if name is not None:
            return name
        if not recording.own(value):
            return shown(value) if np.ndim(value) == 0 else "constant"
        record = recording.records[value.index]
        found = self.written(record)
        return "…" if found is None else found.text

    def text_among(self, members: Collection[int]) -> Callable[[Any], str]:
        """The same for what some operations take: constants are written in these, too."""

        def text(value: Any) -> str:
            if not self.recording.own(value) and np.ndim(value):
                for index in members:
                    record = self.recording.records[index]
                    found = self.written(record)
                    for n, arg in enumerate(record.args):
                        if arg is value and found is not None and n < len(found.args):
                            return found.args[n]
            return self.text(value)

        return text

    def written(self, record: Traced) -> Written | None:
        """How an operation is written."""
        if record.index in self.recording.within:
            return None
        names = [self.recording.name(a) for a in record.args]
        return written(record, self.recording.place(record), names)

    def alike(self, record: Traced) -> list[Traced]:
        """The same piece of source, in every call and every turn of a loop."""
        here, text = self.recording.place(record), self.written(record)
        return [
            r for r in self.recording.records
            if r.op is record.op and r.index not in self.recording.within
            and (r.index == record.index
                 or (_same_line(self.recording.place(r), here) and self.written(r) == text))
        ]  # fmt: skip


def _same_line(a: Any, b: Any) -> bool:
    return a.line is not None and (a.file, a.line) == (b.file, b.line)


def repairs(case: Case) -> Iterator[Repair]:
    """What may help, the best first."""
    if case.birth.what == "input":
        yield from _clean_inputs(case)
        return
    if case.birth.what == "constant":
        yield from _clean_constant(case)
        return
    if any(h.how == "select" for h in case.hidden):
        yield from _safe_arguments(case)
    yield from _by_stable_form(case)
    yield from _finite_constants(case)
    yield from _more_precise(case)
    events = (case.birth, *case.others)
    for event in events:
        yield from _beside_the_pole(case, event)
    for event in events:
        yield from _inner_derivative(case, event)


# ------------------------------------------------------------------------------ what is not used


def used(recording: Recording) -> Callable[[Traced], Any]:
    """Which elements of a record reach a result at all, by supports; ``None`` for all."""
    seeds: dict[int, Any] = {}
    for _, leaf in recording.results():
        if recording.own(leaf) and dtype_of(leaf.value).kind == "f":
            seeds[leaf.index] = (np.ones_like(leaf.value), None)
    carried = Flow(recording, seeds, backward=True, plain=False).carried

    def of(record: Traced) -> Any:
        found = carried.get(record.index)
        return np.zeros(np.shape(record.value), bool) if found is None else found[1]

    return of


def _safe_arguments(case: Case) -> Iterator[Repair]:
    """The double ``where``: another argument where the result is not used."""
    record = case.birth.record
    op = record.op
    if op is None or not op.elementwise or record.index in case.recording.within:
        return
    alike = case.alike(record)
    of = used(case.recording)
    masks = {r.index: of(r) for r in alike}
    mine = masks[record.index]
    if mine is None or np.all(mine):
        return
    conditions = [_Condition("used", lambda r: masks[r.index])]
    condition = _used_where(case)
    if condition is not None:
        conditions.insert(0, condition)
    for condition in conditions:
        for positions in _positions(case, record):
            for safe in [0.0, 1.0] if op.name in _GROWING else [1.0, 0.5, 0.0, 2.0]:
                changes = {
                    r.index: _with_safe(r, positions, condition.mask(r), safe)
                    for r in alike if masks[r.index] is not None
                }  # fmt: skip
                yield _safe_argument(case, record, positions, safe, condition, changes)


def _positions(case: Case, record: Traced) -> list[list[int]]:
    """Which arguments are given another value: the one that makes the pole, else each, else all."""
    assert record.op is not None
    known = {"divide": [[1]], "power": [[0]]}.get(record.op.name)
    count = len(record.args)
    by_name = sorted(range(count), key=lambda n: not case.recording.own(record.args[n]))
    single = known or [[n] for n in by_name]
    return [*single, list(range(count))] if count > 1 else single


def _with_safe(record: Traced, positions: list[int], mask: Any, safe: float) -> Change:
    op = record.op
    assert op is not None

    def change(now: Callable[[Any], Any]) -> Any:
        args = [now(a) for a in record.args]
        for n in positions:
            args[n] = np.where(mask, args[n], _number(args[n], safe))
        return bind(op, tuple(args), record.attrs)

    return change


def _number(like: Any, value: float) -> Any:
    """A number in the dtype of an array of floats."""
    dtype = dtype_of(like)
    return dtype.type(value) if dtype.kind == "f" else value


@dataclass(frozen=True, slots=True)
class _Condition:
    """Where elements are used.

    Attributes:
        text: What is written for it.
        mask: Which elements of an operation that is.
        holds: Whether they are used where the text is true.
    """

    text: str
    mask: Callable[[Traced], Any]
    holds: bool = True


def _used_where(case: Case) -> _Condition | None:
    """The condition under which the hidden elements would be used, as the user wrote it."""
    hider = next((h for h in case.hidden if h.how == "select"), None)
    harmless = _harmless(case)
    if hider is None:
        return harmless
    made = _written_condition(case, hider)
    if made is None or _mentions(made[0], _names_behind(case)):
        return harmless
    text, mask, holds = made
    record = case.birth.record
    fits = np.shape(mask) == np.shape(record.value) or np.ndim(mask) == 0
    if not fits or len(case.alike(record)) > 1:
        return harmless
    return _Condition(text, lambda _: mask, holds)


def _written_condition(case: Case, hider: Hidden) -> tuple[str, Any, bool] | None:
    """How a selection is written, which elements it uses, and whether where it is true."""
    found, record = case.written(hider.record), hider.record
    if found is None or record.op is None:
        return None
    name, args = record.op.name, found.args
    values = [case.recording.value(a) for a in record.args]
    if name == "where" and found.function is not None and len(args) == 3:
        holds = hider.position == 1
        condition = np.asarray(values[0], bool)
        return (args[0], condition if holds else ~condition, holds)
    if name == "index" and len(args) == 2:
        masks = [v for v in values[1:] if np.asarray(v).dtype == np.bool_]
        return (args[1], masks[0], True) if len(masks) == 1 else None
    if name in ("maximum", "minimum", "fmax", "fmin") and len(args) == 2:
        (mine, other), (a, b) = args, values
        if hider.position == 1:
            mine, other, a, b = other, mine, b, a
        larger = name in ("maximum", "fmax")
        return (f"{mine} {'>' if larger else '<'} {other}", a > b if larger else a < b, True)
    return None


def _names_behind(case: Case) -> set[str]:
    """The names that only exist once the operation was performed."""
    record = case.birth.record
    name = case.recording.place(record).name
    found = case.written(record)
    return {n for n in (name, None if found is None else found.target) if n is not None}


def _mentions(text: str, names: set[str]) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return False
    return any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(tree))


def _harmless(case: Case) -> _Condition | None:
    """A condition on the operation's own arguments."""
    record = case.birth.record
    op = record.op
    if op is None:
        return None
    found = case.written(record)
    texts = found.args if found is not None else tuple(map(case.text, record.args))
    wanted = _HARMLESS.get(op.name)
    if op.name in _GROWING:
        limit = _limit(record)
        wanted = f"{{0}} < {limit:g}", lambda x: x < limit
    if wanted is None:
        wanted = _finite_constant(case)
    if wanted is None or len(texts) < len(record.args):
        return None
    text, test = wanted

    def mask(r: Traced) -> Any:
        return test(*map(np.asarray, map(case.recording.value, r.args)))

    return _Condition(text.format(*map(wrapped, texts)), mask)


def _finite_constant(case: Case) -> tuple[str, Callable[..., Any]] | None:
    """Where the one operand of an operation that came with infinities or NaNs has none."""
    record = case.birth.record
    given = [n for n, a in enumerate(record.args) if not case.recording.own(a) and any_bad(a)]
    if len(given) != 1 or record.op is None or record.op.name not in _SIGNS:
        return None
    (place,) = given
    return f"np.isfinite({{{place}}})", lambda *args: np.isfinite(args[place])


def _safe_argument(
    case: Case, record: Traced, positions: list[int], safe: float, condition: _Condition,
    changes: dict[int, Change],
) -> Repair:  # fmt: skip
    found = case.written(record)
    texts = list(found.args) if found is not None else list(map(case.text, record.args))
    assert record.op is not None
    for n in positions:
        if n < len(texts):
            pair = (texts[n], f"{safe}") if condition.holds else (f"{safe}", texts[n])
            texts[n] = f"np.where({condition.text}, {', '.join(pair)})"
    because = f"{record.op.name} gets a harmless argument where its result is not used"
    if condition.text == "used":
        because += " (`used` is True where it is)"
    write = _operation(record, found, texts)
    return Repair(record, write, None if found is None else found.text, because, changes)


def _operation(record: Traced, found: Written | None, texts: list[str]) -> str:
    """An operation with other arguments, as it is written."""
    assert record.op is not None
    name = record.op.name
    sign = _SIGNS.get(name)
    if found is not None and found.function is not None:
        function = found.function
        if "." in function and found.args and function.startswith(f"{found.args[0]}."):
            function = f"np.{function.rsplit('.', 1)[1]}"  # a method of the array
        return f"{function}({', '.join(texts)})"
    if sign is not None and len(texts) == 2:
        return f"{wrapped(texts[0])} {sign} {wrapped(texts[1])}"
    if name == "negative" and texts:
        return f"-{wrapped(texts[0])}"
    return f"np.{name}({', '.join(texts)})"


# --------------------------------------------------------------------------------- stable forms


def _by_stable_form(case: Case) -> Iterator[Repair]:
    """Pieces of the program that are safe under a name of their own."""
    about = [e.record.index for e in (case.birth, *case.others)]

    def rank(form: StableForm) -> tuple[int, int]:
        """What the birth belongs to comes first, and of that the largest piece."""
        return min(about.index(m) for m in form.members if m in about), -len(form.members)

    for form in sorted((s for s in stable_forms(case.recording) if s.members & {*about}), key=rank):
        yield _stable_form(case, form)


def _stable_form(case: Case, form: StableForm) -> Repair:
    changes = dict(form.changes)
    here = case.recording.place(form.root)
    for other in stable_forms(case.recording):  # the same piece in other calls and turns
        same = other.root.op is form.root.op and other.because == form.because
        if same and _same_line(case.recording.place(other.root), here):
            changes.update(other.changes)
    found = case.written(form.root)
    write = form.write(case.text_among(form.members))
    instead_of = None if found is None else found.text
    return Repair(form.root, write, instead_of, form.because, changes)


# ---------------------------------------------------------------------- what came in, and dtypes


def _clean_inputs(case: Case) -> Iterator[Repair]:
    """Data without bad numbers; what to put in their place only the user knows."""
    recording = case.recording
    for what in (0.0, 1.0):
        inputs, names = {}, []
        for name, x in recording.inputs.items():
            if any_bad(x.value):
                clean = np.where(bad(x.value), what, x.value)
                inputs[name] = clean.astype(dtype_of(x.value))[()]
                names.append(name)
        listed = "; ".join(f"{n} = np.where(np.isfinite({n}), {n}, {what})" for n in names)
        yield Repair(
            None, f"before the call: {listed}", None,
            "the numbers that came in are bad; drop them, or put others in their place",
            inputs=inputs,
        )  # fmt: skip


def _clean_constant(case: Case) -> Iterator[Repair]:
    """A constant without bad numbers."""
    birth = case.birth
    record, position = birth.record, birth.position
    if position is None or record.op is None:
        return
    found = case.written(record)
    texts = list(found.args) if found is not None else list(map(case.text, record.args))
    if position < len(texts):
        texts[position] = f"np.where(np.isfinite({texts[position]}), {texts[position]}, 0.0)"

    def change(now: Callable[[Any], Any]) -> Any:
        assert record.op is not None
        args = [now(a) for a in record.args]
        args[position] = np.where(bad(args[position]), 0.0, args[position])
        return bind(record.op, tuple(args), record.attrs)

    yield Repair(
        record, _operation(record, found, texts), None if found is None else found.text,
        "the constant itself has bad numbers; drop them, or put others in their place",
        {record.index: change},
    )  # fmt: skip


def _finite_constants(case: Case) -> Iterator[Repair]:
    """−1e30 in place of −∞: large enough for a mask, and its differences are numbers."""
    events = [e for e in (case.birth, *case.others) if e.what == "constant"]
    if not events or case.birth.what == "born":
        return
    changes: dict[int, Change] = {}
    large = 1e30
    for event in events:
        record, position = event.record, event.position
        array = record.value if position is None else case.recording.value(record.args[position])
        if np.any(np.isnan(np.asarray(array, float)[np.broadcast_to(event.mask, np.shape(array))])):
            return
        if np.finfo(dtype_of(array)).max < large:
            large = 1e4
    for event in events:
        changes[event.record.index] = _with_finite(event.record, event.position, large)
    first = events[0]
    found = case.written(first.record) if first.position is not None else None
    texts = list(found.args) if found is not None else []
    negative = _is_negative(case, first)
    number = f"{'-' if negative else ''}{large:g}".replace("e+", "e")
    write = f"{number} instead of {'-' if negative else ''}np.inf"
    position = first.position or 0
    if found is not None and position < len(texts):
        texts[position] = number
        write = _operation(first.record, found, texts)
    yield Repair(
        first.record, write, None if found is None else found.text,
        "a large finite number masks as well, and ∞−∞ and 0·∞ cannot arise", changes,
    )  # fmt: skip


def _is_negative(case: Case, event: Event) -> bool:
    if event.position is None:
        array = event.record.value
    else:
        array = case.recording.value(event.record.args[event.position])
    values = np.asarray(array, float)[np.broadcast_to(event.mask, np.shape(array))]
    return bool(np.all(values < 0))


def _with_finite(record: Traced, position: int | None, large: float) -> Change:
    def change(now: Callable[[Any], Any]) -> Any:
        if position is None or record.op is None:
            return np.nan_to_num(record.value, posinf=large, neginf=-large)
        args = [now(a) for a in record.args]
        args[position] = np.nan_to_num(args[position], posinf=large, neginf=-large)
        return bind(record.op, tuple(args), record.attrs)

    return change


def _more_precise(case: Case) -> Iterator[Repair]:
    """float64 for what overflows in less."""
    narrow = [
        (name, dtype_of(x.value)) for name, x in case.recording.inputs.items()
        if dtype_of(x.value).itemsize < 8
    ]  # fmt: skip
    overflowed = dtype_of(case.birth.record.value).itemsize < 8 if not isinstance(
        case.birth.record.value, tuple) else False  # fmt: skip
    if not narrow or not overflowed or case.birth.what == "constant":
        return
    names = ", ".join(f"{n}.astype(np.float64)" for n, _ in narrow[:3])
    more = " and so on" if len(narrow) > 3 else ""
    yield Repair(
        None, f"pass {names}{more}", None,
        f"{narrow[0][1]} ends at {shown(np.finfo(narrow[0][1]).max)}, float64 at 1.8×10³⁰⁸",
        precise=True,
    )  # fmt: skip


# ----------------------------------------------------------------------------- beside the pole


def _limit(record: Traced) -> float:
    """How large an exponent may be so that the result can still be multiplied by itself."""
    return float(math.floor(math.log(np.finfo(dtype_of(record.value)).max) / 2))


def _beside_the_pole(case: Case, event: Event) -> Iterator[Repair]:
    """An argument that stays away from where the function, or its slope, is infinite."""
    record, op = event.record, event.record.op
    if op is None or record.index in case.recording.within:
        return
    made = _moved_argument(case, record)
    if made is None:
        return
    position, wrap, text, because = made
    found = case.written(record)
    texts = list(found.args) if found is not None else list(map(case.text, record.args))

    def changed(r: Traced) -> Change:
        def change(now: Callable[[Any], Any]) -> Any:
            args = [now(a) for a in r.args]
            if op.name == "divide":
                y = args[1]
                return np.where(y == 0, 0.0, args[0] / np.where(y == 0, 1.0, y))
            args[position] = wrap(args[position])
            return bind(op, tuple(args), r.attrs)

        return change

    if position < len(texts):
        texts[position] = text(texts[position])
    write = _operation(record, found, texts)
    if op.name == "divide" and len(texts) > 1:
        y = texts[1]
        x = found.args[0] if found is not None else case.text(record.args[0])
        bare = found.args[1] if found is not None else case.text(record.args[1])
        write = f"np.where({wrapped(bare)} == 0, 0.0, {wrapped(x)} / {y})"
    yield Repair(
        record, write, None if found is None else found.text, because,
        {r.index: changed(r) for r in case.alike(record)},
    )  # fmt: skip


_Moved = tuple[int, Callable[[Any], Any], Callable[[str], str], str]


def _moved_argument(case: Case, record: Traced) -> _Moved | None:
    """Which argument is moved, how, how that is written, and why."""
    op = record.op
    assert op is not None
    if isinstance(record.value, tuple):
        return None
    finfo = np.finfo(dtype_of(record.value)) if dtype_of(record.value).kind == "f" else None
    if finfo is None:
        return None
    tiny, eps = _SMALL[dtype_of(record.value).itemsize], float(finfo.eps)
    positive = ("sqrt", "log", "log2", "log10", "power", "cbrt", "reciprocal", "gammaln", "xlogy")
    if op.name in positive:
        return (
            1 if op.name == "xlogy" else 0, lambda v: np.maximum(v, dtype_of(v).type(tiny)),
            lambda t: f"np.maximum({t}, {tiny:g})",
            "the argument never reaches 0, and passes no derivative on where it would have",
        )  # fmt: skip
    if op.name == "log1p":
        return (
            0, lambda v: np.maximum(v, dtype_of(v).type(-1 + eps)),
            lambda t: f"np.maximum({t}, -1 + {eps:.1g})", "the argument never reaches −1",
        )  # fmt: skip
    if op.name == "arccosh":
        return (
            0, lambda v: np.maximum(v, dtype_of(v).type(1 + eps)),
            lambda t: f"np.maximum({t}, 1 + {eps:.1g})", "the argument never reaches 1",
        )  # fmt: skip
    if op.name == "logit":
        return (
            0, lambda v: np.clip(v, dtype_of(v).type(tiny), dtype_of(v).type(1 - eps)),
            lambda t: f"np.clip({t}, {tiny:g}, 1 - {eps:.1g})",
            "the argument never reaches 0 or 1",
        )  # fmt: skip
    if op.name in ("arccos", "arcsin", "arctanh"):
        end = f"1 - {eps:.1g}"
        return (
            0, lambda v: np.clip(v, dtype_of(v).type(eps - 1), dtype_of(v).type(1 - eps)),
            lambda t: f"np.clip({t}, -({end}), {end})",
            "the argument never reaches ±1, where the slope is infinite",
        )  # fmt: skip
    if op.name == "divide":
        return (
            1, lambda v: v, lambda t: f"np.where({wrapped(t)} == 0, 1.0, {t})",
            "the quotient is 0 where the divisor is, and has derivative 0 there",
        )  # fmt: skip
    if op.name == "arctan2":
        x = case.recording.value(record.args[1])
        y = case.recording.value(record.args[0])
        both = (np.asarray(x) == 0) & (np.asarray(y) == 0)
        names = [case.text(a) for a in record.args]
        return (
            1, lambda v: np.where(both, dtype_of(v).type(1.0), v),
            lambda t: f"np.where(({names[0]} == 0) & ({names[1]} == 0), 1.0, {t})",
            "both arguments are never 0 at once",
        )  # fmt: skip
    if op.name in _GROWING:
        limit = _limit(record)
        return (
            0, lambda v: np.minimum(v, dtype_of(v).type(limit)),
            lambda t: f"np.minimum({t}, {limit:g})",
            "the argument stays where the result does not overflow",
        )  # fmt: skip
    return None


def _inner_derivative(case: Case, event: Event) -> Iterator[Repair]:
    """The operation whose derivative made the number, in a derivative of a derivative."""
    above = case.recording.within.get(event.record.index)
    if above is None:
        return
    record = case.recording.records[above]
    for repair in _beside_the_pole(case, Event("born", record, None, event.mask)):
        made = _moved_argument(case, record)
        if made is None:
            return
        position, move = made[0], made[1]
        moved = record.args[position]
        changes = dict(repair.changes)
        for other in case.recording.records:  # what was computed of it for the derivative
            if case.recording.within.get(other.index) == above:
                changes[other.index] = _with_moved(case.recording, other, moved, move)
        yield replace(repair, changes=changes)


def _with_moved(
    recording: Recording, record: Traced, moved: Any, move: Callable[[Any], Any]
) -> Change:
    """An operation with an argument moved wherever it takes it."""
    op = record.op
    assert op is not None

    def change(now: Callable[[Any], Any]) -> Any:
        own = recording.own
        args = [
            move(now(a)) if own(a) and own(moved) and a.index == moved.index else now(a)
            for a in record.args
        ]
        return bind(op, tuple(args), record.attrs)

    return change
