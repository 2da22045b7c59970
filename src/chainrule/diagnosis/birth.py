"""Where the first bad number of a call was born, what hid it, and what helps.

A call is recorded once more with every check that the fast run leaves out. From its bad results the
walk goes back to the operations that made them (``flow``), the numbers that met there are named
(``pairs``), and changes of the code (``repairs``) are tried out on the recording until everything
is finite.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.chain.supports import plain_products, plainly
from chainrule.diagnosis.flow import (
    Event,
    any_bad,
    bad,
    reached_back,
    reached_forward,
    shape,
    value_events,
)
from chainrule.diagnosis.hiding import Hidden, hidden
from chainrule.diagnosis.outcome import Outcome, Question
from chainrule.diagnosis.pairs import first, pair_of, shown
from chainrule.diagnosis.recording import Recording, record
from chainrule.diagnosis.repairs import Case, Repair, repairs
from chainrule.diagnosis.report import BadResult, BadValues, Birth, Fix, Hider, Proof
from chainrule.errors import ArgumentsError, ChainruleError
from chainrule.graph.tape import Traced, dtype_of, shape_of
from chainrule.sources.arguments import as_floats, called
from chainrule.sources.elements import asked_for, meant
from chainrule.sources.names import Place
from chainrule.transforms.derivatives import argument_name
from chainrule.transforms.watching import Call, watcher
from chainrule.tree import flatten

# So many changes of the code are suggested together at most.
_MOST_FIXES = 4
# So many of a kind are told.
_MOST_TOLD = 5


def bad_values(
    f: Callable[..., Any], wrt: str | Sequence[str] | None = None, supports: bool = True
) -> Callable[..., BadValues]:
    """Find where the NaNs and infinities of a function's value and gradient are born.

    Args:
        f: A function of floats, arrays or pytrees of them.
        wrt: The parameters to differentiate with respect to, by name; all that are made of floats
            if ``None``. A result that is an array is differentiated as its sum.
        supports: ``False`` takes every product of the chain rule, as other libraries do, so that a
            gradient that is fine here shows why it is NaN there.

    Returns:
        A function of ``f``'s arguments that returns a report; ``report.finite`` is true if nothing
        is wrong.

    Raises:
        ArgumentsError: There is no such parameter, or nothing to differentiate.

    Example:
        >>> import numpy as np
        >>> from chainrule.diagnosis.birth import bad_values
        >>> report = bad_values(lambda x: np.sum(np.sqrt(x)))(np.array([4.0, 0.0]))
        >>> report.birth.operation, report.birth.pair, report.birth.index
        ('sqrt', '∞·1', (1,))
    """

    def found(*args: Any, **kwargs: Any) -> BadValues:
        names = [argument_name(f, n) for n in range(len(args))]
        asked = names if wrt is None else asked_for(wrt)
        for name in asked:
            if name not in names:
                raise ArgumentsError(f"{called(f)} has no parameter {name!r}. {meant(name, names)}")
        nums = [
            n for n, a in enumerate(args)
            if names[n] in asked and any(as_floats(x) is not None for x in flatten(a)[0])
        ]  # fmt: skip
        return examine(Call("grad", f, args, kwargs, tuple(nums)), supports)

    return found


def examine(call: Call, supports: bool | None = None) -> BadValues:
    """Make a call again, with everything recorded, and say what is bad about it.

    Args:
        call: The call.
        supports: Whether derivatives have supports; as they have now if ``None``.
    """
    plain = plainly() if supports is None else not supports
    token = watcher.set(None)
    try:
        with np.errstate(all="ignore"), plain_products(plain), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what was said once need not be said again
            if call.transform == "jit":
                inner = _inside(call)
                if inner is not None:
                    return examine(inner)
            return _examined(call, plain)
    finally:
        watcher.reset(token)


class _First(Exception):
    """The first call inside of another one that gave a bad number."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call


class _Catching:
    """Stops at the first bad result."""

    def told(self, call: Call) -> None:
        raise _First(call)


def _inside(call: Call) -> Call | None:
    """The derivative inside of a compiled function that gave the first bad number, if one did."""
    token = watcher.set(_Catching())
    try:
        call.f(*call.args, **call.kwargs)
    except _First as found:
        return found.call
    finally:
        watcher.reset(token)
    return None


def _examined(call: Call, plain: bool) -> BadValues:
    title = getattr(call.f, "__name__", "f").replace("<lambda>", "f")
    argnums = call.argnums or (None if call.transform == "jit" else tuple(range(len(call.args))))
    try:
        recording = record(call.f, call.args, call.kwargs, argnums, call.has_aux)
    except (ChainruleError, TypeError, ValueError) as error:
        if not call.found:  # nobody has seen a result yet: the function itself is wrong
            raise
        note = f"the call could not be recorded to look for the cause: {error}"
        return BadValues(title, call.transform, not plain, _bad_of_call(call), note=note)
    finding = _Finding(recording, call, plain)
    return finding.report()


def _bad_of_call(call: Call, wrt: Sequence[str] = ()) -> tuple[BadResult, ...]:
    """The bad results as they were found, without a recording that names them."""
    found = []
    for n, leaf in enumerate(call.found):
        if not any_bad(leaf):
            continue
        if call.transform == "grad" and 0 < n <= len(wrt):
            found.append(_bad_result("gradient", wrt[n - 1], leaf))
        else:
            alone = len(call.found) == 1 or (call.transform == "grad" and n == 0)
            found.append(_bad_result("value", "result" if alone else f"result[{n}]", leaf))
    return tuple(found)


def _bad_result(kind: Any, name: str, value: Any) -> BadResult:
    mask = bad(value)
    index = first(mask)
    whole = np.asarray(value) if not isinstance(value, tuple) else np.array(np.nan)
    return BadResult(
        kind, name, index, float(whole[index] if whole.ndim == len(index) else np.nan),
        int(mask.sum()), int(mask.size),
    )  # fmt: skip


def _questions(recording: Recording, call: Call, plain: bool) -> list[Question]:
    """What was asked, in the order in which it may have gone wrong."""
    if call.transform == "jit":
        return [Question("values", plain=plain)]
    if call.transform == "jvp":
        if call.along is None:
            return [Question("values", plain=plain)]
        return [Question("forward", call.along, plain)]
    if call.transform == "vjp" and call.along is None:
        return [Question("values", plain=plain)]
    if call.transform == "jacobian":
        return _of_jacobian(recording, call, plain)
    return [Question("backward", call.along, plain)]


def _of_jacobian(recording: Recording, call: Call, plain: bool) -> list[Question]:
    """One row of the Jacobian that is bad, and one column, which is carried the other way."""
    leaves = [leaf for _, leaf in recording.results()]
    wrt = [recording.inputs[name] for name in recording.wrt]
    blocks = list(call.found)
    for n, block in enumerate(blocks):
        if not any_bad(block) or len(blocks) != len(leaves) * len(wrt):
            continue
        index = first(bad(block))
        out, x = leaves[n // len(wrt)], wrt[n % len(wrt)]
        split = len(shape_of(recording.value(out)))
        row = [_unit(recording.value(y), index[:split] if y is out else None) for y in leaves]
        column = [_unit(v.value, index[split:] if v is x else None) for v in wrt]
        return [
            Question("backward", row, plain, dense=True),
            Question("forward", column, plain, dense=True),
        ]
    return [Question("backward", None, plain)]


def _unit(value: Any, index: tuple[int, ...] | None) -> Any:
    """Zeros like a value, with a 1 at an index."""
    unit = np.zeros(shape_of(value), dtype_of(value))
    if index is not None:
        unit[index] = 1.0
    return unit[()]


class _Finding:
    """One recording examined."""

    def __init__(self, recording: Recording, call: Call, plain: bool) -> None:
        self.call, self.plain = call, plain
        for question in _questions(recording, call, plain):
            self.question = question
            self.outcome = Outcome(recording, question)
            if self.outcome.bad:
                break
        self.recording = recording

    def report(self) -> BadValues:
        """What is said of it."""
        title = self.recording.title
        results = tuple(_bad_result(n.kind, n.name, n.value) for n in self.outcome.bad)
        if not results:
            note = None
            told = _bad_of_call(self.call, self.recording.wrt)
            if told:
                note = (
                    "made again, the call gave finite numbers only: it draws random numbers, or "
                    "depends on something that has changed since, or machine code rounds otherwise"
                )
            return BadValues(title, self.call.transform, not self.plain, told, note=note)
        case, told_events = self._case(self.outcome)
        if case is None:
            note = "the bad numbers were made outside of what is recorded"
            return BadValues(title, self.call.transform, not self.plain, results, note=note)
        fixes, proof = self._fixed(case)
        births = [(e, self._birth(self.outcome, e)) for e in told_events]
        primary = next(b for e, b in births if e is case.birth)
        at = next(n for n, (e, _) in enumerate(births) if e is case.birth)
        return BadValues(
            title, self.call.transform, not self.plain, results, primary,
            _distinct([b for _, b in births[:at]], primary),
            _distinct([b for _, b in births[at + 1 :]], primary),
            tuple(self._hider(h) for h in case.hidden[:_MOST_TOLD]), fixes, proof,
            None if fixes else "no change of the catalogue makes everything finite",
        )  # fmt: skip

    # ------------------------------------------------------------------------------- events

    def _case(self, outcome: Outcome) -> tuple[Case | None, list[Event]]:
        """The birth, and every event in the order of time."""
        recording = outcome.recording
        values = outcome.spoilt(values=True)
        if values:
            events = value_events(recording, values)
            if not events:
                return None, []
            birth = _birth_among(events)
            return self._made_case(recording, birth, events, ()), events
        flow = outcome.flow
        if flow is None:
            return None, []
        later = flow.events(outcome.spoilt(values=False))
        if not later:
            return None, []
        birth = next((e for e in later if e.what == "born"), later[0])
        start, mask = _made_at(birth, flow.backward)
        origins = value_events(recording, _bad_there(recording, start, mask))
        masked: tuple[Hidden, ...] = ()
        if birth.what == "born" and (_zero_there(birth, mask) or origins):
            masked = tuple(hidden(recording, start, mask, flow if flow.backward else None))
        return self._made_case(recording, birth, [*origins, *later], masked), [*origins, *later]

    @staticmethod
    def _made_case(
        recording: Recording, birth: Event, events: Sequence[Event], masked: tuple[Hidden, ...]
    ) -> Case:
        others = tuple(e for e in events if e is not birth)
        return Case(recording, birth, others, masked)

    def _birth(self, outcome: Outcome, event: Event) -> Birth:
        recording, made = outcome.recording, event.record
        pair = pair_of(recording, event, outcome.flow)
        operation = made.op.name if made.op is not None else "constant"
        when: Any = "forward"
        what: Any = "came" if event.what in ("input", "constant") else event.what
        if what == "sum":
            what = "born"
        if event.what == "sum" or (event.position is not None and event.what != "constant"):
            assert outcome.flow is not None
            when = "backward" if outcome.flow.backward else "tangent"
        if event.what == "input":
            when = "argument"
            operation = recording.name(made) or "argument"
            if event.carried is not None:
                operation = "the cotangent" if self.question.mode == "backward" else "the tangent"
        elif event.what == "constant":
            when = "constant"
        elif made.index in recording.within:
            when = "backward"
            inner = recording.records[recording.within[made.index]].op
            operation = operation if inner is None else inner.name
        return Birth(
            when, what, operation, pair.text, pair.because, pair.value, pair.index,
            shape(event.mask), int(np.sum(event.mask)), pair.items, recording.place(made),
        )  # fmt: skip

    def _hider(self, h: Hidden) -> Hider:
        assert h.record.op is not None
        name = h.record.op.name
        places = int(np.sum(h.mask))
        these = "this element" if places == 1 else f"these {places} elements"
        if np.ndim(h.mask) == 0:
            these = "it"
        if h.how == "select":
            says = f"{name} does not use {these}"
        elif h.how == "value":
            index = first(h.mask)
            before = _element(self.recording.value(h.record.args[h.position]), index)
            says = f"{name} makes a finite number of {shown(before)}"
        else:
            says = f"the slope of {name} is 0 there, which makes the cotangent 0"
        return Hider(name, h.how, says, self.recording.place(h.record))

    # -------------------------------------------------------------------------------- fixes

    def _fixed(self, case: Case) -> tuple[tuple[Fix, ...], Proof | None]:
        """Changes that make everything finite, found by trying."""
        fixes: list[Fix] = []
        current: Case | None = case
        while current is not None and len(fixes) < _MOST_FIXES:
            step = self._one_fix(current)
            if step is None:
                return (), None
            repair, outcome, further = step
            made = repair.record
            place = Place() if made is None else current.recording.place(made)
            current = further
            fixes.append(_fix(repair, place))
            if not outcome.bad:
                return tuple(fixes), _proof(self.outcome, outcome)
        return (), None

    def _one_fix(self, case: Case) -> tuple[Repair, Outcome, Case | None] | None:
        """The first change that helps altogether; else the first that takes this birth away."""
        progress: tuple[Repair, Outcome, Case | None] | None = None
        other_value: tuple[Repair, Outcome, Case | None] | None = None
        before = _line_of(case)
        for repair in repairs(case):
            outcome = self._with(case.recording, repair)
            if outcome is None:
                continue
            if not outcome.bad:
                if _proof(self.outcome, outcome).unchanged:
                    return repair, outcome, None
                other_value = other_value or (repair, outcome, None)
            elif progress is None:
                further, _ = self._case(outcome)
                if further is not None and _line_of(further) != before:
                    progress = repair, outcome, further
        return other_value or progress

    def _with(self, recording: Recording, repair: Repair) -> Outcome | None:
        try:
            again = recording.again(repair.changes, repair.inputs, repair.precise)
            return Outcome(again, self.question)
        except (ChainruleError, ArithmeticError, TypeError, ValueError, IndexError):
            return None


def _fix(repair: Repair, place: Place) -> Fix:
    return Fix(repair.write, repair.instead_of, place, repair.because)


def _distinct(births: Sequence[Birth], primary: Birth) -> tuple[Birth, ...]:
    """One for each operation and line."""
    kept: dict[Any, Birth] = {}
    for b in births:
        if _key(b) != _key(primary):
            kept.setdefault(_key(b), b)
    return tuple(kept.values())[:_MOST_TOLD]


def _key(birth: Birth) -> Any:
    return birth.when, birth.operation, birth.place.file, birth.place.line


def _birth_among(events: Sequence[Event]) -> Event:
    """The event that is called the birth: an intended infinity is none by itself.

    What came in with an argument is told as it is. A constant that the program writes down is
    meant; it is the operation that made a NaN of it which went wrong.
    """
    given = [e for e in events if e.what != "constant"]
    return given[0] if given else events[0]


def _made_at(birth: Event, backward: bool) -> tuple[Traced, Any]:
    """The record, and its elements, at which the derivative was multiplied."""
    if birth.position is None or not backward:
        return birth.record, birth.mask
    return birth.record, reached_forward(birth.record, birth.position, birth.mask)


def _bad_there(recording: Recording, start: Traced, mask: Any) -> Mapping[int, Any]:
    """Bad values of an operation, or of its arguments, at the elements in question."""
    found: dict[int, Any] = {}
    if any_bad(start.value) and np.any(bad(start.value) & mask):
        found[start.index] = bad(start.value) & mask
    for n, arg in enumerate(start.args):
        value = recording.value(arg)
        if recording.own(arg) and any_bad(value):
            here = bad(value) & reached_back(start, n, mask)
            if np.any(here):
                found[arg.index] = found.get(arg.index, False) | here
    return found


def _zero_there(birth: Event, mask: Any) -> bool:
    carried = np.asarray(birth.carried)
    if carried.shape != np.shape(mask):
        return bool(np.any(carried == 0))
    return bool(np.any((carried == 0) & mask))


def _element(value: Any, index: tuple[int, ...]) -> float:
    whole = np.asarray(value)
    return float(whole[index] if whole.ndim == len(index) else whole.flat[0])


def _line_of(case: Case) -> Any:
    """What a birth is told from others by, also in a run with changes."""
    birth = case.birth
    place = case.recording.place(birth.record)
    value = birth.position is None
    return birth.record.op, place.file, place.line, birth.what, value, case.written(birth.record)


def _proof(before: Outcome, after: Outcome) -> Proof:
    """What the run with the changes gave, beside the first one."""
    names = [n.name for n in before.numbers if n.kind == "value"]
    values = list(zip(names, before.values(), after.values(), strict=True))
    difference, unchanged = 0.0, True
    for _, old, new in values:
        a, b = np.asarray(old, float), np.asarray(new, float)
        fine = np.isfinite(a)
        if not np.any(fine):
            continue
        apart = np.abs(np.where(fine, b - np.where(fine, a, 0.0), 0.0))
        difference = max(difference, float(np.max(apart)))
        size = np.abs(np.where(fine, a, 0.0))
        eps = float(np.finfo(dtype_of(old)).eps)
        unchanged &= bool(np.all(apart <= 64 * eps * np.maximum(size, 1.0)))
    derivatives = tuple((n.name, n.value) for n in after.numbers if n.kind != "value")
    return Proof(not after.bad, tuple(values), difference, unchanged, derivatives)
