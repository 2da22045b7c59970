"""``jit``: a function recorded once, compiled, and run as machine code from then on."""

from __future__ import annotations

import functools
import gc
import inspect
import sys
import threading
import types
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.chain.modes import differentiated
from chainrule.chain.supports import plainly
from chainrule.errors import ArgumentsError
from chainrule.graph import unusual
from chainrule.graph.operand import Operand
from chainrule.graph.places import depth_of_call, place_of_call
from chainrule.graph.tape import Tape, Traced, running
from chainrule.graph.versions import refreshed
from chainrule.transforms.sparse import assumed_finite, thinly_multiplied
from chainrule.transforms.staging import sketching
from chainrule.transforms.watching import all_finite, look, watcher
from chainrule.tree import flatten, map_leaves, structure

if TYPE_CHECKING:
    from chainrule.run.llvm.call import Plan
    from chainrule.run.llvm.listing import Lowered

# After so many recordings for arguments of one kind, the function is run as it is.
MOST_TRACES = 8
# So many recordings are tried without Python's help, one after another.
_MOST_ENTRIES = 32
_WEAK = frozenset((bool, int, float))
# Reasons that were given once, as they are the same for every function.
_told: set[str] = set()


class JitWarning(UserWarning):
    """A function is not run as machine code, and why."""


class _Outside(Exception):
    """The function uses a value of a computation around it."""


class _Leaf:
    """Stands for a leaf in the tree of a result."""


def _never(*_: Any, **__: Any) -> Any:
    """The entry of a function that was not compiled yet."""
    return _MISS


class _Miss:
    """What an entry gives that does not fit the arguments."""


_MISS: Any = _Miss()


@dataclass(frozen=True, slots=True)
class _Given:
    """The arguments of a call.

    Attributes:
        key: What a recording depends on: equal for calls that can use the same.
        leaves: All leaves of the arguments.
        static: Which of them are parts of what is compiled.
        dynamic: The others.
        rebuild: Makes the arguments of leaves.
    """

    key: Hashable
    leaves: list[Any]
    static: list[bool]
    dynamic: list[Any]
    rebuild: Callable[[Iterable[Any]], Any]

    def called(self, f: Callable[..., Any], values: Iterable[Any]) -> Any:
        """``f`` of these arguments with others in place of those that may change."""
        left = iter(values)
        merged = [
            leaf if static else next(left)
            for leaf, static in zip(self.leaves, self.static, strict=True)
        ]
        args, kwargs = self.rebuild(merged)
        return f(*args, **kwargs)


class _Records(list[Traced]):
    """The records of a tape, and the user's line that each comes from.

    What a derivative computes for an operation comes from the operation's line.
    """

    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level
        self.places: dict[int, tuple[str, int]] = {}

    def append(self, record: Traced) -> None:
        self.places[record.index] = self._of_derivative() or place_of_call()
        super().append(record)

    def _of_derivative(self) -> tuple[str, int] | None:
        record = differentiated(sys._getframe(2), self.level)
        return None if record is None else self.places.get(record.index)


def _recorded(
    f: Callable[..., Any], given: _Given, placed: bool, shortly: bool
) -> tuple[Tape, list[Traced], Any, set[int]]:
    """The tape of a function, its inputs, the tree of its results, and what has to be finite.

    First loops make one turn only (``shortly``), as what they are made of is all that is needed. If
    the function then asks for a value, or fails, it is recorded anew with all their turns.
    """
    tape = Tape(staged=True)
    tape.assumed = []
    tape.merge()
    if placed:
        tape.records = _Records(tape.level)
    inputs = [tape.input(x) for x in given.dynamic]
    sketch = sketching()
    try:
        with running(tape), sketch if shortly else nullcontext(), np.errstate(all="ignore"):
            tree = map_leaves(refreshed, given.called(f, [x.alias() for x in inputs]))
            thin = {x.index: x for x in thinly_multiplied(tape.records)}
            finite = {index for index, x in thin.items() if assumed_finite(x)}
    except Exception:
        if not sketch.shortened:
            raise
        return _recorded(f, given, placed, shortly=False)
    if sketch.shortened and tape.assumed:
        return _recorded(f, given, placed, shortly=False)
    return tape, inputs, tree, finite


class _Recording:
    """What a function does for arguments of one kind, as a program.

    Attributes:
        program: Its results are those of the function that are not always the same, and then what
            it was asked for on the way.
        leaves: For each leaf of the result its position among the program's results and its type,
            or a list of the value alone that it always is.
        tree: The result with ``_Leaf`` in place of each leaf.
        assumed: What the last results of the program were.
    """

    def __init__(self, f: Callable[..., Any], given: _Given, placed: bool = False) -> None:
        from chainrule.run.llvm.program import Program, Value

        tape, inputs, tree, finite = _recorded(f, given, placed, shortly=True)
        places = tape.records.places if isinstance(tape.records, _Records) else None
        assert tape.assumed is not None
        found, rebuild = flatten(tree)
        self.tree, self.rebuild = tree, rebuild
        if found:
            # Nothing of the recording stays in memory with the tree.
            self.tree = rebuild([_Leaf() for _ in found])
            _, self.rebuild = flatten(self.tree)
        self.program = program = Program()
        known: dict[int, Value] = {}
        for x in inputs:
            array = np.asarray(x.value)
            known[x.index] = program.input(array.shape, array.dtype, type(x.value) in _WEAK)
        program.record(tape.records, tape.level, known, _outside, places, finite)
        self.leaves: list[Any] = []
        for leaf in found:
            own = type(leaf) is Traced and leaf.level == tape.level
            if own and not known[leaf.index].is_constant:
                self.leaves.append((len(program.results), type(leaf.value)))
                program.results.append(known[leaf.index])
            elif isinstance(leaf, Operand) and not own:
                raise _Outside
            else:
                value = leaf.value if own else leaf
                self.leaves.append([value.copy() if isinstance(value, np.ndarray) else value])
        self.assumed: list[Any] = []
        asked: set[int] = set()
        for index, value in tape.assumed:
            if known[index].is_constant or known[index].number in asked:
                continue
            asked.add(known[index].number)
            program.results.append(known[index])
            self.assumed.append(np.asarray(value, known[index].dtype))
        tape.records.clear()


def _outside(_: Any) -> Any:
    raise _Outside


class _Trace:
    """A recording as machine code."""

    __slots__ = ("assumed", "executable", "leaves", "plan", "rebuild", "tree")

    def __init__(self, recording: _Recording) -> None:
        from chainrule.run.llvm.executable import Executable

        self.leaves, self.tree = recording.leaves, recording.tree
        self.rebuild, self.assumed = recording.rebuild, recording.assumed
        self.executable = Executable(recording.program, len(self.assumed))
        self.plan: Plan | None = None

    def __call__(self, dynamic: Sequence[Any], finite: bool = False) -> tuple[bool, Any]:
        """Whether what the recording counts on held, and the result.

        With ``finite``, it counts on the result having no NaN and no infinity as well.
        """
        from chainrule.run.llvm.executable import NotFinite

        if finite and not self._constants_finite():
            return False, None
        try:
            found = self.executable(dynamic, finite)
        except NotFinite:
            return False, None
        first = len(found) - len(self.assumed)
        for was, now in zip(self.assumed, found[first:], strict=True):
            if was.tobytes() != now.tobytes():
                return False, None
        return True, self.rebuild([_leaf(leaf, found) for leaf in self.leaves])

    def prepare(self, args: Any, kwargs: Any, static: Sequence[bool]) -> None:
        """Find out how calls with arguments like these can be made without Python."""
        from chainrule.run.llvm import call

        flags = iter(static)
        with suppress(call.Unsuited):
            self.plan = call.planned(
                self.executable, args, kwargs, lambda: next(flags), self.assumed, self.leaves,
                self.tree, _Leaf, self.rebuild, _MISS,
            )  # fmt: skip

    def entry(self, following: Any, finite: bool = False) -> Any:
        """A function for calls of this kind, or ``None`` if Python has to make them.

        With ``finite``, calls with a NaN or an infinity in the result are left to Python.
        """
        from chainrule.run.llvm import call

        if self.plan is None or (finite and not self._constants_finite()):
            return None
        try:
            return self.plan.entry(None if following is _never else following, finite)
        except call.Unsuited:
            return None

    def _constants_finite(self) -> bool:
        return all(all_finite(leaf[0]) for leaf in self.leaves if len(leaf) == 1)


def _leaf(leaf: Any, found: Sequence[Any]) -> Any:
    """A leaf of the result, of the results of a program."""
    if type(leaf) is list:
        (value,) = leaf
        return value.copy() if isinstance(value, np.ndarray) else value
    position, kind = leaf
    value = found[position]
    if kind is np.ndarray:
        return value
    return value.item() if kind in _WEAK else value[()]


class _Uncollected:
    """While a function is recorded and compiled, nothing looks for garbage in cycles.

    So many objects are made at once, all of them in use, that this would take half of the time.
    """

    def __enter__(self) -> None:
        self._enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._enabled:
            gc.enable()


class Jitted:
    """What ``jit`` returns: call it like the function."""

    __name__: str

    def __init__(
        self, f: Callable[..., Any], static_argnums: Sequence[int], static_argnames: Sequence[str]
    ) -> None:
        functools.update_wrapper(self, f)
        self._f = f
        self._numbers, self._names = _static(f, static_argnums, static_argnames)
        self._traces: dict[Hashable, list[_Trace]] = {}
        self._eager: set[Hashable] = set()
        self._lock = threading.RLock()
        # Machine code that tries the recordings, the last one first; those it has, by their key.
        self._entry: Callable[..., Any] = _never
        self._entries: list[tuple[Hashable, _Trace]] = []
        # The same for finite results only, made when one is looked at; those of so many entries.
        self._finite: Callable[..., Any] = _never
        self._asked = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function of these arguments."""
        if unusual.asked:
            if plainly():  # what is compiled has supports
                return self._f(*args, **kwargs)
            found = self._finite(*args, **kwargs)
            return self._looked_at(args, kwargs) if found is _MISS else found
        found = self._entry(*args, **kwargs)
        return self._call(args, kwargs) if found is _MISS else found

    def _looked_at(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same where it is not known yet that the result is finite."""
        watched = watcher.get() is not None
        if watched:
            self._ask_for_finite()
            given = self._given(args, kwargs)
            done, found = (False, None) if given is None else self._run(given, finite=True)
            if done:
                return found
        found = self._entry(*args, **kwargs)
        if found is _MISS:
            found = self._call(args, kwargs)
        if watched:
            look((found,), "jit", self._f, args, kwargs)
        return found

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<jit of {getattr(self._f, '__qualname__', repr(self._f))}>"

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call as Python makes it."""
        given = self._given(args, kwargs)
        if given is None or given.key in self._eager:
            return self._f(*args, **kwargs)
        done, result = self._run(given)
        return result if done else self._anew(given, args, kwargs)

    def _run(self, given: _Given, finite: bool = False) -> tuple[bool, Any]:
        """The recording that holds for these arguments, run; whether there is one.

        With ``finite``, only if the result is.
        """
        traces = self._traces.get(given.key)
        if traces:
            from chainrule.run.llvm.executable import OutOfBounds

            for trace in traces:
                try:
                    holds, result = trace(given.dynamic, finite)
                except OutOfBounds:
                    if finite:
                        break
                    return True, given.called(self._f, given.dynamic)  # for NumPy's own error
                if holds:
                    return True, result
        return False, None

    def _anew(self, given: _Given, args: Any, kwargs: Any) -> Any:
        """Record the function for these arguments, and run the recording."""
        before = self._traces.get(given.key, ())
        with self._lock:
            traces = self._traces.get(given.key, [])
            if traces is not before:  # another thread was here
                done, result = self._run(given)
                if done:
                    return result
            if given.key in self._eager:
                return self._f(*args, **kwargs)
            if len(traces) >= MOST_TRACES:
                self._give_up(
                    given.key,
                    f"was recorded {MOST_TRACES} times, as it branches on values that keep "
                    "changing; from now on it is run as it is, without being compiled.\n"
                    "Write np.where, cr.cond or cr.while_loop instead of the branch or the loop.",
                )
                return self._f(*args, **kwargs)
            trace = self._traced(given)
            if trace is None:
                return self._f(*args, **kwargs)
            self._traces[given.key] = [trace, *traces]
            trace.prepare(args, kwargs, given.static)
            self._enter(given.key, trace)
        done, result = self._run(given)
        return result if done else self._f(*args, **kwargs)

    def _traced(self, given: _Given) -> _Trace | None:
        """The function recorded and compiled; ``None`` if it has to be run as it is."""
        with _Uncollected():
            return self._made(given)

    def _made(self, given: _Given) -> _Trace | None:
        try:
            recording = _Recording(self._f, given)
        except _Outside:
            return None
        except ImportError as error:
            if not _without_compiler(error):
                raise
            self._give_up(given.key, _reason(error), once=True)
            return None
        try:
            return _Trace(recording)
        except Exception as error:
            missing = isinstance(error, ImportError)
            self._give_up(given.key, _reason(error), once=missing)
            return None

    def _give_up(self, key: Hashable, why: str, once: bool = False) -> None:
        """From now on, calls of this kind are not compiled."""
        self._eager.add(key)
        self._traces.pop(key, None)
        # The entries of this kind must no longer be tried.
        kept = [(k, trace) for k, trace in self._entries if k != key]
        if len(kept) < len(self._entries):
            self._forget_entries()
            for k, trace in kept:
                self._enter(k, trace)
        if once:
            if why in _told:
                return
            _told.add(why)
        name = getattr(self._f, "__name__", "the function")
        warnings.warn(f"{name} {why}", JitWarning, stacklevel=depth_of_call())

    def _enter(self, key: Hashable, trace: _Trace) -> None:
        """Let machine code take the calls of this kind."""
        entry = trace.entry(self._entry) if len(self._entries) < _MOST_ENTRIES else None
        if entry is not None:
            self._entries.append((key, trace))
            self._entry = entry

    def _ask_for_finite(self) -> None:
        """Let machine code look at the results of the calls that it takes."""
        if self._asked == len(self._entries):
            return
        with self._lock:
            for _, trace in self._entries[self._asked :]:
                self._finite = trace.entry(self._finite, finite=True) or self._finite
            self._asked = len(self._entries)

    def _forget_entries(self) -> None:
        self._entry = self._finite = _never
        self._entries = []
        self._asked = 0

    def _given(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Given | None:
        """The arguments of a call; ``None`` if it cannot be one of a recording."""
        leaves, rebuild = flatten((args, kwargs))
        kinds: list[Any] = []
        static: list[bool] = []
        dynamic: list[Any] = []
        owned = self._owned(args, kwargs) if self._numbers or self._names else None
        for k, leaf in enumerate(leaves):
            kind = type(leaf)
            if owned is not None and owned[k]:
                fixed = True
            elif kind is np.ndarray or kind is np.memmap:
                if leaf.dtype.kind in "SUVMm":
                    return None
                kinds.append((leaf.shape, leaf.dtype))
                fixed = False
            elif kind in _WEAK or isinstance(leaf, np.number | np.bool_):
                if kind is int and not -(2**63) <= leaf < 2**63:
                    return None
                kinds.append(kind)
                fixed = False
            elif isinstance(leaf, Operand | np.ndarray | complex | np.datetime64 | np.void):
                return None
            else:
                fixed = True
            static.append(fixed)
            if fixed:
                kinds.append((kind, leaf))
            else:
                dynamic.append(leaf)
        key = tuple(kinds), structure(args), structure(kwargs), _orders((args, kwargs))
        try:
            hash(key)
        except TypeError:
            raise ArgumentsError(
                "jit: an argument that is neither an array nor a number has to be hashable, as it "
                "is a part of what is compiled."
            ) from None
        return _Given(key, leaves, static, dynamic, rebuild)

    def _owned(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
        """For each leaf whether it belongs to a static argument."""
        found: list[bool] = []
        count = len(args)
        for k, arg in enumerate(args):
            static = k in self._numbers or k - count in self._numbers
            found += [static] * len(flatten(arg)[0])
        for name in sorted(kwargs):
            found += [name in self._names] * len(flatten(kwargs[name])[0])
        return found

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """What the function is made into for these arguments, to be read.

        Args:
            args: Arguments as of a call; only their shapes, dtypes and structure matter, and the
                values that the function branches on.
            kwargs: The same by name.

        Returns:
            An object with texts: ``graph``, the operations that are left; ``nests``, the loops they
            are put into; ``functions``, where elementary functions come from; ``llvm_ir``;
            ``assembly``. Printed, it shows the graph and the loops.

        Raises:
            ArgumentsError: The arguments cannot be compiled for.

        Example:
            >>> import numpy as np, chainrule as cr
            >>> shown = cr.jit(lambda x: np.sum(2 * x)).lower(np.ones(3))
            >>> "multiply" in shown.graph, "for " in shown.nests
            (True, True)
        """
        from chainrule.run.llvm.executable import Executable
        from chainrule.run.llvm.listing import Lowered

        given = self._given(args, kwargs)
        if given is None:
            raise ArgumentsError("lower: there is no machine code for arguments of this kind")
        with self._lock:
            try:
                recording = _Recording(self._f, given, placed=True)
            except _Outside:
                raise ArgumentsError(
                    "lower: the function uses a traced value that is not among its arguments.\n"
                    "Pass it as an argument."
                ) from None
            executable = Executable(recording.program)
        return Lowered(executable, len(recording.assumed), self.__name__)

    def clear_cache(self) -> None:
        """Forget what was compiled."""
        with self._lock:
            self._forget_entries()
            self._traces.clear()
            self._eager.clear()


def _reason(error: BaseException) -> str:
    if isinstance(error, ImportError) and _without_compiler(error):
        return f"runs on NumPy, without being compiled, as llvmlite cannot be imported ({error})"
    return (
        "runs on NumPy, without being compiled, as something went wrong in the compiler: "
        f"{type(error).__name__}: {error}"
    )


def _without_compiler(error: ImportError) -> bool:
    return (error.name or "").partition(".")[0] == "llvmlite"


def _orders(tree: Any) -> Any:
    """The order in which dictionaries hold their keys: a function may depend on it."""
    kind = type(tree)
    if kind is tuple or kind is list:
        found = tuple([o for o in map(_orders, tree) if o is not None])
        return found or None
    if isinstance(tree, dict):
        return tuple([(key, _orders(tree[key])) for key in tree]) or None
    return None


def _static(
    f: Callable[..., Any], numbers: Sequence[int], names: Sequence[str]
) -> tuple[frozenset[int], frozenset[str]]:
    """Positions and names of static arguments: each is static however it is given."""
    if not numbers and not names:
        return frozenset(), frozenset()
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return frozenset(numbers), frozenset(names)
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    count = len(by_place)
    more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    places: set[int] = set()
    for n in numbers:
        if not more and not -count <= n < count:
            raise ArgumentsError(
                f"jit: static_argnums has {n}, and the function has {count} arguments by position"
            )
        places.add(n if n >= 0 or more else n + count)
    known = {p.name for p in parameters}
    for name in names:
        if name not in known and not any(p.kind is p.VAR_KEYWORD for p in parameters):
            raise ArgumentsError(f"jit: static_argnames has {name!r}, which is no argument")
    all_names = set(names) | {by_place[n].name for n in places if 0 <= n < count}
    places |= {n for n, p in enumerate(by_place) if p.name in all_names}
    return frozenset(places), frozenset(all_names)


def jit(
    f: Callable[..., Any], static_argnums: int | Iterable[int] = (),
    static_argnames: str | Iterable[str] = (),
) -> Jitted:  # fmt: skip
    """``f`` as machine code.

    The first call with arguments of some shapes and dtypes records what ``f`` does and compiles it;
    later calls run the code. A branch on a value is remembered, and recorded anew when it turns out
    otherwise.

    Args:
        f: A function of arrays and numbers, or pytrees of them, that can be differentiated or not.
        static_argnums: Positions of arguments that are parts of what is compiled: any hashable
            values. Strings, functions and the like always are.
        static_argnames: The same by name.

    Returns:
        A function with the arguments and results of ``f``. Its ``lower`` shows what was compiled,
        its ``clear_cache`` forgets it.

    Raises:
        ArgumentsError: ``f`` is no function, or has no such arguments.

    Example:
        >>> import numpy as np, chainrule as cr
        >>> slope = cr.jit(cr.grad(lambda x: np.sum(np.sin(x) ** 2)))
        >>> slope(np.array([0.0, np.pi / 4])).round(6)
        array([0., 1.])
    """
    if not callable(f):
        raise ArgumentsError(f"jit takes a function, not {type(f).__name__}")
    numbers = (static_argnums,) if isinstance(static_argnums, int) else tuple(static_argnums)
    names = (static_argnames,) if isinstance(static_argnames, str) else tuple(static_argnames)
    return Jitted(f, numbers, names)
