"""``jit``: a function recorded once, compiled, and run as machine code from then on."""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.operand import Operand
from chainrule.graph.tape import Tape, Traced, running
from chainrule.graph.versions import refreshed
from chainrule.tree import flatten, map_leaves, structure

# After so many recordings for arguments of one kind, the function is run as it is.
MOST_TRACES = 8
_NUMBERS = (bool, int, float, np.generic, np.ndarray)


class JitWarning(UserWarning):
    """A function is not run as machine code, and why."""


class _Trace:
    """One recording of a function: machine code, what it counts on, and how results are put together."""

    __slots__ = ("assumed", "executable", "kept", "rebuild", "results")

    def __init__(self, f: Callable[[Sequence[Any]], Any], given: Sequence[Any]) -> None:
        from chainrule.run.llvm.executable import Executable
        from chainrule.run.llvm.program import Program, Value

        tape = Tape(staged=True)
        tape.assumed = []
        inputs = [tape.input(x) for x in given]
        with running(tape), np.errstate(all="ignore"):
            tree = map_leaves(refreshed, f([x.alias() for x in inputs]))
        found, self.rebuild = flatten(tree)
        program = Program()
        known: dict[int, Value] = {}
        for x in inputs:
            array = np.asarray(x.value)
            weak = type(x.value) in (bool, int, float)
            known[x.index] = program.input(array.shape, array.dtype, weak)
        program.record(tape.records, tape.level, known, _from_outside)
        # Of each result: where it stands among those of the program, or the value that it always is.
        self.results: list[Any] = []
        self.kept: list[Any] = []
        for leaf in found:
            if type(leaf) is Traced and leaf.level == tape.level:
                value = known[leaf.index]
                self.results.append(len(program.results))
                program.results.append(value)
                self.kept.append(None)
            else:
                self.results.append(None)
                self.kept.append(leaf)
        self.assumed: list[Any] = []
        asked: set[int] = set()
        for index, value in tape.assumed:
            if known[index].is_constant or known[index].number in asked:
                continue
            asked.add(known[index].number)
            program.results.append(known[index])
            self.assumed.append(np.asarray(value))
        tape.records.clear()
        self.executable = Executable(program)

    def __call__(self, given: Sequence[Any]) -> tuple[bool, list[Any]]:
        """Whether what the recording counts on held, and the results."""
        found = self.executable(given)
        count = len(found) - len(self.assumed)
        for was, now in zip(self.assumed, found[count:], strict=True):
            if was.ndim == 0:
                if was != now and (was == was or now == now):
                    return False, []
            elif not np.array_equal(was, now, equal_nan=was.dtype.kind == "f"):
                return False, []
        return True, [
            _fresh(kept) if k is None else found[k]
            for k, kept in zip(self.results, self.kept, strict=True)
        ]


def _fresh(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _from_outside(_: Any) -> Any:
    raise ArgumentsError(
        "jit: the function uses a traced value that is not among its arguments.\n"
        "Pass it as an argument."
    )


class Jitted:
    """What ``jit`` returns: call it like the function."""

    def __init__(
        self, f: Callable[..., Any], static_argnums: Sequence[int], static_argnames: Sequence[str]
    ) -> None:
        functools.update_wrapper(self, f)
        self._f = f
        self._static = frozenset(static_argnums)
        self._static_names = frozenset(static_argnames)
        self._traces: dict[Hashable, list[_Trace]] = {}
        self._eager: set[Hashable] = set()
        self._lock = threading.RLock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key, given, call = self._signature(args, kwargs)
        if call is None or key in self._eager:
            return self._f(*args, **kwargs)
        from chainrule.run.llvm.executable import OutOfBounds

        traces = self._traces.get(key, ())
        for trace in traces:
            try:
                holds, found = trace(given)
            except OutOfBounds:
                return self._f(*args, **kwargs)  # for NumPy's own error
            if holds:
                return trace.rebuild(found)
        return self._anew(key, given, call, args, kwargs)

    def _anew(self, key: Hashable, given: Any, call: Any, args: Any, kwargs: Any) -> Any:
        """Record the function for these arguments, and run the recording."""
        with self._lock:
            traces = self._traces.get(key, [])
            if len(traces) >= MOST_TRACES:
                self._eager.add(key)
                warnings.warn(
                    f"{getattr(self._f, '__name__', 'the function')} was recorded {MOST_TRACES} "
                    "times, as it branches on values that keep changing; from now on it is run as "
                    "it is, without being compiled.\nWrite np.where, cr.cond or cr.while_loop "
                    "instead of the branch or the loop.",
                    JitWarning, stacklevel=3,
                )  # fmt: skip
                return self._f(*args, **kwargs)
            trace = _Trace(call, given)
            self._traces[key] = [trace, *traces]
        _, found = trace(given)
        return trace.rebuild(found)

    def _signature(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The key of the recordings, the values that may change, and how to call with them."""
        kinds: list[Any] = []
        dynamic: list[Any] = []
        static: dict[int, Any] = {}
        leaves, rebuild = flatten((args, kwargs)) if kwargs else flatten((args, {}))
        owners = self._owners(args, kwargs) if self._static or self._static_names else None
        for k, leaf in enumerate(leaves):
            if isinstance(leaf, Operand):
                return None, None, None
            if (owners is not None and owners[k]) or not isinstance(leaf, _NUMBERS):
                static[k] = leaf
                kinds.append((type(leaf), leaf))
            elif isinstance(leaf, np.ndarray):
                kinds.append((leaf.shape, leaf.dtype))
                dynamic.append(leaf)
            else:
                kinds.append(type(leaf))
                dynamic.append(leaf)
        key = tuple(kinds), structure(args), structure(kwargs)
        try:
            hash(key)
        except TypeError:
            raise ArgumentsError(
                "jit: an argument that is neither an array nor a number has to be hashable, as it "
                "is a part of what is compiled."
            ) from None

        def call(values: Sequence[Any]) -> Any:
            left = iter(values)
            merged = [static[k] if k in static else next(left) for k in range(len(leaves))]
            given_args, given_kwargs = rebuild(merged)
            return self._f(*given_args, **given_kwargs)

        return key, dynamic, call

    def _owners(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[bool]:
        """For each leaf whether it belongs to a static argument."""
        found: list[bool] = []
        count = len(args)
        for k, arg in enumerate(args):
            found += [k in self._static or k - count in self._static] * len(flatten(arg)[0])
        for name in sorted(kwargs):
            found += [name in self._static_names] * len(flatten(kwargs[name])[0])
        return found

    def clear_cache(self) -> None:
        """Forget what was compiled."""
        with self._lock:
            self._traces.clear()
            self._eager.clear()


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
        A function with the arguments and results of ``f``.

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
