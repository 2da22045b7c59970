"""The names that users gave to the values of their computation, from where each one was made.

While a function runs, :class:`Origins` notes for every operation which call of which user function
performed it, and at which instruction: two list appends, no more. Afterwards the instructions are
looked up in the source text, and from there every value is followed into the variable it was
assigned to: through tuples, conditional expressions, comprehensions, and out of the functions that
returned it. A name is given only if it is certain.
"""

from __future__ import annotations

import ast
import functools
import itertools
import linecache
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import CodeType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Literal

import numpy as np

from chainrule.sources import bindings
from chainrule.sources.bindings import Bound, Each, Ending, Entry, Item, Returned, Source, Steps

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where an operation was written, and what its value was called.

    Attributes:
        name: The variable, attribute or item that the value of the operation was assigned to.
        line: The line of the operation.
        file: The file name of the code that ran.
        source: The first line of the statement, stripped.
        function: The qualified name of the function.
        call: Which call of a user function this was, counted from 0; -1 if it was none.
        statement: First and last line of the statement (of its header, if it has a body).
        returned: Whether the value is (part of) the result of the outermost traced function.
    """

    name: str | None = None
    line: int | None = None
    file: str | None = None
    source: str | None = None
    function: str | None = None
    call: int = -1
    statement: tuple[int, int] | None = None
    returned: bool = False


_NOWHERE = Place()


# ---------------------------------------------------------------- what the names in a frame call

_OPERATION: Literal["operation"] = "operation"
_MODULE: Literal["module"] = "module"
_Target = CodeType | Literal["operation", "module"]
_Targets = Mapping[str, list[_Target]]
_Position = tuple[int | None, int | None, int | None, int | None]

_ARRAY_FUNCTION: type = type(np.sum)
_PARTIAL = (functools.partial, functools._lru_cache_wrapper)
_SURVEY_DEPTH = 3
_MOST_KNOWN = 4096


@dataclass(slots=True, eq=False)
class _Known:
    """A code object, and what the names it uses were seen to call.

    A function that built-in code calls (``map``, ``functools.reduce``) appears to be called by the
    expression ``map(f, xs)``, yet its value goes elsewhere. Only what a name really referred to
    tells ``f(x)`` from that.
    """

    code: CodeType
    targets: dict[str, list[_Target]] = field(default_factory=dict)
    callers: set[tuple[int, _Known]] = field(default_factory=set)
    settled: bool = False

    def survey(self, frame: FrameType) -> None:
        """Note what the names of the running code refer to at this moment."""
        code = self.code
        scopes: tuple[Mapping[str, Any], ...] = (frame.f_locals, frame.f_globals, frame.f_builtins)
        for name in {*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars}:
            scope = next((s for s in scopes if name in s), None)
            if scope is not None:
                self._visit(name, scope[name], _SURVEY_DEPTH)

    def called_from(self, above: _Known, caller: FrameType, offset: int) -> None:
        """Note what the caller's names refer to, the first time that it calls from there."""
        site = offset, above
        if site not in self.callers:
            self.callers.add(site)
            above.survey(caller)

    def _visit(self, path: str, value: object, depth: int) -> None:
        self._note(path, _target(value))
        for member in _shared_targets(value):
            self._note(f"{path}[]", member)
        if depth > 1:
            for attribute, inside in _attributes(value, self.code.co_names):
                self._visit(f"{path}.{attribute}", inside, depth - 1)

    def _note(self, path: str, target: _Target | None) -> None:
        found = self.targets.setdefault(path, [])
        if target is not None and not any(target is t for t in found):
            found.append(target)


def _target(value: object) -> _Target | None:
    """What runs when ``value`` is called, provided that the call has that very value."""
    while isinstance(value, _PARTIAL):
        value = value.func if isinstance(value, functools.partial) else value.__wrapped__
    if isinstance(value, MethodType | staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, ModuleType):
        return _MODULE
    if isinstance(value, FunctionType):
        return value.__code__
    if isinstance(value, np.ufunc | _ARRAY_FUNCTION) or _is_operator(value):
        return _OPERATION
    call = next((vars(c)["__call__"] for c in type(value).__mro__ if "__call__" in vars(c)), None)
    return call.__code__ if isinstance(call, FunctionType) else None


def _is_operator(value: object) -> bool:
    if value is abs or value is pow or value is round:
        return True
    return isinstance(value, type(abs)) and value.__module__ == "_operator"


def _shared_targets(value: object) -> Sequence[_Target]:
    """What the items of a container call, if calling any of them is a plain call."""
    items: Iterable[object] = ()
    if type(value) is list or type(value) is tuple:
        items = value
    elif type(value) is dict:
        items = value.values()
    targets: list[_Target] = []
    for item in items:
        target = _target(item)
        if target is None:
            return ()
        targets.append(target)
    return targets


def _attributes(value: object, names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """The attributes of these names, found without running any code of the value's class."""
    scopes: list[Mapping[str, object]] = [vars(c) for c in type(value).__mro__]
    if type(value).__dictoffset__:
        own = object.__getattribute__(value, "__dict__")
        scopes = [own, *scopes] if isinstance(own, dict) else scopes
    for name in names:
        scope = next((s for s in scopes if name in s), None)
        if scope is not None:
            yield name, scope[name]


_known: dict[int, _Known] = {}


def _known_code(frame: FrameType) -> _Known:
    """What is known of the frame's code; codes are told apart by identity, as hashing is slow."""
    code = frame.f_code
    known = _known.get(id(code))
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[id(code)] = _Known(code)
        known.survey(frame)
    return known


# ------------------------------------------------------------------------------------- recording


def _library_roots() -> Iterator[str]:
    yield _PACKAGE
    yield os.path.dirname(np.__file__)
    scipy = sys.modules.get("scipy")
    if scipy is not None and scipy.__file__ is not None:
        yield os.path.dirname(scipy.__file__)


def _is_library(filename: str, more: tuple[str, ...]) -> bool:
    roots = (*_library_roots(), *more)
    return any(filename == root or filename.startswith(root + os.sep) for root in roots)


# For each set of further library files, which files were found to be the library's.
_verdicts: dict[tuple[str, ...], dict[str, bool]] = {}


# What may stand above a call in place of another call: the library code that runs the outermost
# traced function, library code that was handed a function, or nothing that belongs to the trace.
_TRACER = -1
_LIBRARY = -2
_OUTSIDE = -3


class Origins:
    """Notes where operations come from while they happen; afterwards tells their places.

    Frames of user functions are kept alive until :meth:`release`, which makes them distinct and
    preserves what their variables referred to.

    Args:
        internal: Further files, or directories of files, to be treated as library code.
    """

    __slots__ = (
        "_above",
        "_changes",
        "_index",
        "_internal",
        "_known",
        "_lengths",
        "_offsets",
        "_parent_offsets",
        "_parents",
        "_verdicts",
        "frame",
        "note",
    )

    def __init__(self, internal: Iterable[str] = ()) -> None:
        self._internal = tuple(internal)
        self._verdicts = _verdicts.setdefault(self._internal, {})
        self._index: dict[FrameType, int] = {}
        self._offsets: list[int] = []
        self._changes: list[tuple[int, int]] = []  # from which operation on, and which call
        self._known: list[_Known] = []
        self._parents: list[int] = []
        self._parent_offsets: list[int] = []
        self._lengths: list[dict[str, int]] = []
        self._above: FrameType | None = self._user_frame(sys._getframe(1))
        self.frame: FrameType | None = None  # the one seen last
        self.note = self._offsets.append

    def __len__(self) -> int:
        return len(self._offsets)

    def record(self, skip: int = 0, inner: bool = False) -> None:
        """Note that an operation is performed for the nearest user frame.

        Args:
            skip: So many frames above the caller are certain not to be the user's, counting the
                caller itself: exact numbers save time, small ones do no harm.
            inner: The value is not that of the expression the user wrote, but a step on the way to
                it, or one of several results.
        """
        frame = sys._getframe(1 + skip)
        if frame is not self.frame:
            frame = self.entered(frame)
        self.note(~frame.f_lasti if inner else frame.f_lasti)

    def entered(self, frame: FrameType) -> FrameType:
        """Note that another call is at work from here on; give the frame that is the user's."""
        found = self._user_frame(frame)
        call = -1 if found is None else self._call_of(found)
        if not self._changes or self._changes[-1][1] != call:
            self._changes.append((len(self._offsets), call))
        self.frame = found or frame
        return self.frame

    def _calls(self) -> list[int]:
        """The call that each operation belongs to."""
        changes = [*self._changes, (len(self._offsets), -1)]
        return [
            call
            for (start, call), (end, _) in itertools.pairwise(changes)
            for _ in range(end - start)
        ]

    def _user_frame(self, frame: FrameType | None) -> FrameType | None:
        verdicts = self._verdicts
        while frame is not None:
            filename = frame.f_code.co_filename
            if not (verdicts[filename] if filename in verdicts else self._is_internal(filename)):
                break
            frame = frame.f_back
        return frame

    def _is_internal(self, filename: str) -> bool:
        found = self._verdicts.get(filename)
        if found is None:
            found = self._verdicts[filename] = _is_library(filename, self._internal)
        return found

    def _call_of(self, frame: FrameType) -> int:
        """The number of a frame. A new one is entered after its callers, outermost first."""
        index, caller = self._index, frame
        if frame in index:
            return index[frame]
        new: list[FrameType] = []
        while caller not in index:
            new.append(caller)
            above = caller.f_back
            if above is None or caller is self._above or self._is_library_frame(above):
                break
            caller = above
        for entered in reversed(new):
            self._enter(entered)
        return index[frame]

    def _is_library_frame(self, frame: FrameType) -> bool:
        return frame not in self._index and self._is_internal(frame.f_code.co_filename)

    def _enter(self, frame: FrameType) -> None:
        # The caller's position has to be noted now: it moves on as soon as this call returns.
        known, caller = _known_code(frame), frame.f_back
        parent = _OUTSIDE if caller is None else self._parent(frame, caller)
        offset = 0 if caller is None else caller.f_lasti
        self._index[frame] = len(self._known)
        self._known.append(known)
        self._parents.append(parent)
        self._parent_offsets.append(offset)
        if caller is not None and parent >= 0:
            known.called_from(self._known[parent], caller, offset)

    def _parent(self, frame: FrameType, caller: FrameType) -> int:
        parent = self._index.get(caller)
        if frame is self._above or parent is not None:
            return _OUTSIDE if parent is None else parent
        return _TRACER if self._user_frame(caller) is self._above else _LIBRARY

    def release(self) -> None:
        """Let go of all frames, and so of the variables of the traced functions."""
        for frame, call in self._index.items():
            known = self._known[call]
            self._lengths.append(_list_lengths(frame))
            if not known.settled:
                known.settled = True
                known.survey(frame)
                _remember_loader(frame)
        self._index.clear()
        self.frame = None
        self._above = None

    def resolve(self) -> list[Place]:
        """The places of all recorded operations, in the order of recording."""
        if self._index:
            self.release()
        calls = _Calls(self._known, self._parents, self._parent_offsets, self._lengths)
        return _Resolver(calls, self._is_internal).places(self._calls(), self._offsets)


def _list_lengths(frame: FrameType) -> dict[str, int]:
    return {name: len(v) for name, v in frame.f_locals.items() if type(v) is list}


def _remember_loader(frame: FrameType) -> None:
    """Let ``linecache`` find source text that only the module's loader has."""
    filename = frame.f_code.co_filename
    if filename not in linecache.cache:
        linecache.lazycache(filename, frame.f_globals)


# ------------------------------------------------------------------------------------- resolving


@dataclass(frozen=True, slots=True)
class _Calls:
    """The calls of user functions, as parallel lists."""

    known: list[_Known]
    parents: list[int]
    parent_offsets: list[int]
    lengths: list[dict[str, int]]


@dataclass(frozen=True, slots=True)
class _Site:
    """What an instruction of user code does with the value of an operation performed there."""

    place: Place
    ending: Ending = None
    # The last of several operations in a row makes the value, as in sum(...).
    folds: bool = False
    # The operations take the items of one value, one for each of these targets.
    unpacks: tuple[Ending, ...] = ()


@dataclass(frozen=True, slots=True)
class _Group:
    """The elements of one list: where it is bound, which call's comprehension made it, and how."""

    owner: int
    maker: int
    end: Bound


_PRODUCTS = ["mul", "multiply", "matmul", "truediv", "divide"]
_REDUCERS = frozenset(["add", "sub", "subtract", "concat", "maximum", "minimum", *_PRODUCTS])
_ARRAY_METHODS = frozenset(dir(np.ndarray))
_SUSPENDABLE = CO_GENERATOR | CO_COROUTINE | CO_ASYNC_GENERATOR


class _Resolver:
    """Turns recorded positions into places; everything static is worked out once per position."""

    def __init__(self, calls: _Calls, is_internal: Callable[[str], bool]) -> None:
        self._calls = calls
        self._is_internal = is_internal
        self._texts = _Texts()
        self._sites: dict[tuple[int, int], _Site] = {}
        self._flows: dict[tuple[int, int, int, Steps], Ending] = {}
        self._named: dict[tuple[int, int], Place] = {}
        self._unnamed: dict[tuple[int, int], Place] = {}
        self._elements: dict[_Group, list[int]] = defaultdict(list)
        self._unpacked: dict[tuple[int, int], list[int]] = defaultdict(list)

    def places(self, numbers: list[int], offsets: list[int]) -> list[Place]:
        """One place for each recorded operation."""
        lasts = _ends_of_runs(numbers, offsets)
        found = list(map(self._place, itertools.count(), numbers, offsets, lasts))
        self._name_elements(found)
        self._name_unpacked(found)
        return found

    def _place(self, i: int, call: int, offset: int, last: bool) -> Place:
        if call < 0:
            return _NOWHERE
        if offset < 0:
            return self._without_name(call, ~offset)
        site = self._site(call, offset)
        if site.unpacks:
            self._unpacked[call, offset].append(i)
        if site.ending is None or (site.folds and not last):
            return self._without_name(call, offset)
        return self._named.get((call, offset)) or self._with_name(i, call, offset)

    def _without_name(self, call: int, offset: int) -> Place:
        key = call, offset
        if key not in self._unnamed:
            self._unnamed[key] = _placed(self._site(call, offset).place, call)
        return self._unnamed[key]

    def _with_name(self, i: int, call: int, offset: int) -> Place:
        site = self._site(call, offset)
        owner, maker, end = self._follow(call, site.ending)
        if isinstance(end, Bound) and _is_element(end):
            self._elements[_Group(owner, maker, end)].append(i)
            return self._without_name(call, offset)
        place = _placed(site.place, call, _text(end), isinstance(end, Returned))
        self._named[call, offset] = place
        return place

    def _name_elements(self, found: list[Place]) -> None:
        # An element that is a plain number leaves no record. Only if the list turned out to be as
        # long as there are records for it is each record's position in it known.
        for group, operations in self._elements.items():
            first, *rest = group.end.steps
            length = self._calls.lengths[group.owner].get(group.end.name)
            if length != len(operations) or not isinstance(first, Each):
                continue
            for at, i in enumerate(operations):
                end = Bound(group.end.name, (Item(at, length), *rest))
                found[i] = _placed(found[i], found[i].call, _text(end))

    def _name_unpacked(self, found: list[Place]) -> None:
        for (call, offset), operations in self._unpacked.items():
            targets = self._site(call, offset).unpacks
            if len(operations) % len(targets):
                continue
            for i, target in zip(operations, itertools.cycle(targets)):
                found[i] = _placed(found[i], call, _text(target))

    # --- following a value out of the functions that return it

    def _follow(self, call: int, end: Ending) -> tuple[int, int, Ending]:
        """In which call the value is bound, in which call it was made an element, and how."""
        maker = -1
        while True:
            call = self._owner(call)
            maker = call if maker < 0 and _is_element(end) else maker
            if not isinstance(end, Returned):
                return call, maker, end
            parent = self._calls.parents[call]
            if self._calls.known[call].code.co_flags & _SUSPENDABLE or parent < 0:
                return call, maker, self._result(call, end)
            end = self._flow_above(call, end.steps)
            call = parent

    def _result(self, call: int, end: Returned) -> Ending:
        suspendable = self._calls.known[call].code.co_flags & _SUSPENDABLE
        return end if self._calls.parents[call] == _TRACER and not suspendable else None

    def _owner(self, call: int) -> int:
        """The call whose source a comprehension belongs to, where that runs in its own frame."""
        while self._calls.known[call].code.co_name == "<listcomp>":
            parent = self._calls.parents[call]
            if parent < 0:
                break
            call = parent
        return call

    def _flow_above(self, call: int, steps: Steps) -> Ending:
        called, caller = self._calls.known[call], self._calls.known[self._calls.parents[call]]
        offset = self._calls.parent_offsets[call]
        key = (id(caller), offset, id(called), steps)
        if key not in self._flows:
            self._flows[key] = self._flow_from_call(caller, offset, called, steps)
        return self._flows[key]

    def _flow_from_call(self, caller: _Known, offset: int, called: _Known, steps: Steps) -> Ending:
        source, node = self._texts.node(caller.code, offset)
        if source is None or not isinstance(node, ast.Call):
            return None
        if not _calls_directly(node.func, called.code, caller.targets):
            return None
        return bindings.ending(source, node, steps)

    # --- what is known of one position

    def _site(self, call: int, offset: int) -> _Site:
        known = self._calls.known[call]
        key = id(known), offset
        if key not in self._sites:
            self._sites[key] = self._new_site(known, offset)
        return self._sites[key]

    def _new_site(self, known: _Known, offset: int) -> _Site:
        source, node = self._texts.node(known.code, offset)
        place = self._texts.place(known.code, offset)
        if source is None or node is None:
            return _Site(place)
        if isinstance(node, ast.Tuple | ast.List):
            return _Site(place, unpacks=_unpacking(source, node))
        if isinstance(node, ast.Call):
            return self._call_site(place, source, node, known)
        return _Site(place, _operator_ending(source, node))

    def _call_site(self, place: Place, source: Source, node: ast.Call, known: _Known) -> _Site:
        # Iterating over a starred argument makes records at the position of the call, too.
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            return _Site(place)
        folds = not self._is_operation(node.func, known.targets)
        if folds and not _is_fold(node):
            return _Site(place)
        return _Site(place, bindings.ending(source, node), folds=folds)

    def _is_operation(self, function: ast.expr, targets: _Targets) -> bool:
        """Whether the value of calling this is the value of the operation recorded there."""
        path = bindings.callee(function)
        found = targets.get(path, []) if path else []
        if found:
            return all(self._is_library_target(target) for target in found)
        if not isinstance(function, ast.Attribute):
            return False
        base = targets.get(bindings.callee(function.value) or "", [])
        return _OPERATION in base or (function.attr in _ARRAY_METHODS and _MODULE not in base)

    def _is_library_target(self, target: _Target) -> bool:
        if isinstance(target, CodeType):
            return self._is_internal(target.co_filename)
        return target == _OPERATION


class _Texts:
    """The source texts behind code objects, each read and checked once."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, int], Source | None] = {}
        self._sources: dict[int, Source | None] = {}
        self._positions: dict[int, list[_Position]] = {}

    def node(self, code: CodeType, offset: int) -> tuple[Source | None, ast.AST | None]:
        """The text of the code, and the operation at this offset; ``None`` if not certain."""
        source, (line, end, column, end_column) = self._source(code), self._position(code, offset)
        if source is None or line is None or end is None or column is None or end_column is None:
            return source, None
        return source, source.node_at((line, end, column, end_column))

    def place(self, code: CodeType, offset: int) -> Place:
        """All of the place that does not depend on the call."""
        source, node = self.node(code, offset)
        line = self._position(code, offset)[0]
        found = source.statement(node, line) if source is not None and line is not None else None
        text, lines = (found.text, found.lines) if found is not None else (None, None)
        return Place(None, line, code.co_filename, text, code.co_qualname, -1, lines)

    def _position(self, code: CodeType, offset: int) -> _Position:
        if id(code) not in self._positions:
            self._positions[id(code)] = list(code.co_positions())
        return self._positions[id(code)][offset // 2]

    def _source(self, code: CodeType) -> Source | None:
        file = code.co_filename, code.co_flags & bindings.FUTURE_FLAGS
        if file not in self._files:
            self._files[file] = bindings.read_source(*file)
        if id(code) not in self._sources:
            source = self._files[file]
            self._sources[id(code)] = source if source and source.holds(code) else None
        return self._sources[id(code)]


def _ends_of_runs(numbers: list[int], offsets: list[int]) -> list[bool]:
    """Whether each operation is followed, within its call, by one from another position."""
    following: dict[int, int] = {}
    ends = [False] * len(numbers)
    for i in range(len(ends) - 1, -1, -1):
        call, offset = numbers[i], offsets[i]
        ends[i] = following.get(call) != offset
        following[call] = offset
    return ends


def _placed(place: Place, call: int, name: str | None = None, returned: bool = False) -> Place:
    return Place(
        name,
        place.line,
        place.file,
        place.source,
        place.function,
        call,
        place.statement,
        returned,
    )


def _is_element(end: Ending) -> bool:
    return end is not None and any(isinstance(step, Each) for step in end.steps)


def _text(end: Ending) -> str | None:
    if not isinstance(end, Bound):
        return None
    keys = [step.key if isinstance(step, Entry) else step.at for step in _fixed(end.steps)]
    return end.name + "".join(f"[{key}]" for key in keys) if len(keys) == len(end.steps) else None


def _fixed(steps: Steps) -> list[Item | Entry]:
    return [step for step in steps if not isinstance(step, Each)]


def _operator_ending(source: Source, node: ast.AST) -> Ending:
    return bindings.ending(source, node) if bindings.yields_its_operation(node) else None


def _unpacking(source: Source, node: ast.Tuple | ast.List) -> tuple[Ending, ...]:
    if any(isinstance(target, ast.Starred) for target in node.elts):
        return ()
    return tuple(bindings.bind(source, target) for target in node.elts)


def _calls_directly(function: ast.expr, code: CodeType, targets: _Targets) -> bool:
    """Whether calling this expression runs ``code`` and has the value that ``code`` returns."""
    if isinstance(function, ast.Lambda):
        return code.co_name == "<lambda>"
    if isinstance(function, ast.Call):
        maker = _last_name(function.func)
        return code.co_qualname.split(".")[-3:-1] == [maker, "<locals>"]
    path = bindings.callee(function)
    if any(target is code for target in targets.get(path or "", [])):
        return True
    return isinstance(function, ast.Attribute) and function.attr == code.co_name


def _is_fold(node: ast.Call) -> bool:
    """Whether built-in code combines many values here, so that its last operation is the value."""
    match _last_name(node.func), node.args:
        case ("sum", _) if isinstance(node.func, ast.Name):
            return True
        case "prod", _:
            return True
        case "reduce", [combine, *_]:
            return _last_name(combine) in _REDUCERS
    return False


def _last_name(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None
