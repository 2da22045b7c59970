"""What is checked: a function, its arguments as named leaves, and plain calls beside the point."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError, ChainruleError, NotDifferentiableError
from chainrule.graph.held import Held
from chainrule.sources.elements import is_below
from chainrule.tree import leaves, map_leaves

Array = Any
Wrt = str | int | Sequence[str | int] | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A floating-point array among the arguments: its name, which argument it is in, its value."""

    name: str
    argument: int
    position: int
    value: Array

    def element(self, index: int) -> str:
        """The name of one element, by its index in the flattened array."""
        if self.value.ndim == 0:
            return self.name
        return f"{self.name}[{','.join(map(str, np.unravel_index(index, self.value.shape)))}]"


class Subject:
    """A function at a point, called with some of its leaves moved.

    Attributes:
        leaves: The leaves that the derivative is taken with respect to.
        value: The function's result at the point, as it was returned.
        outputs: The floating-point leaves of the result at the point.
        calls: How often the function was called.
    """

    def __init__(self, f: Callable[..., Any], args: Sequence[Any], wrt: Wrt = None) -> None:
        self.f = f
        self.args = tuple(args)
        self.name = getattr(f, "__name__", "f").replace("<lambda>", "f")
        self.calls = 0
        self.parameters = parameter_names(f, len(self.args))
        self._flat = [
            (argument, name, leaf)
            for argument, (parameter, tree) in enumerate(
                zip(self.parameters, self.args, strict=True)
            )
            for name, leaf in leaves(tree, parameter)
        ]
        self.leaves = tuple(self._chosen(wrt))
        self.held = Held()
        self.value = self.measured({})
        self.outputs = self.outputs_of(self.value)
        self.scalar = not isinstance(self.value, dict | list | tuple) and np.ndim(self.value) == 0

    def call(self, moved: Mapping[int, Array]) -> Any:
        """The function's result with the leaves at some positions replaced; arguments are copied.

        Args:
            moved: New values by position among all leaves of the arguments.
        """
        self.calls += 1
        return self.f(*self.rebuilt(moved))

    def measured(self, moved: Mapping[int, Array]) -> Any:
        """The same as ``call``, with what ``stop_gradient`` gives as it is at the point."""
        with self.held.during_call():
            return self.call(moved)

    def rebuilt(self, moved: Mapping[int, Any]) -> tuple[Any, ...]:
        """The arguments, the function's own to write into, with some leaves replaced."""
        positions = iter(range(len(self._flat)))

        def leaf_at(leaf: Any) -> Any:
            here = next(positions)
            new = moved.get(here, leaf)
            return new.copy() if isinstance(new, np.ndarray) else new

        return tuple(map_leaves(leaf_at, tree) for tree in self.args)

    def beside(self, leaf: Leaf, value: Array) -> list[Array] | None:
        """The outputs with one leaf moved; ``None`` where the function has no finite value.

        Raises:
            ChainruleError: The result has another shape than at the point.
        """
        try:
            with np.errstate(all="ignore"):
                outputs = self.outputs_of(self.measured({leaf.position: value[()]}))
        except (ArithmeticError, ValueError):
            return None
        except ChainruleError as error:
            if isinstance(error.__cause__, ArithmeticError | ValueError):
                return None
            raise
        if [o.shape for o in outputs] != [o.shape for o in self.outputs]:
            raise ChainruleError(
                f"the shape of what {self.name} returns changes when {leaf.name} moves a little"
            )
        return outputs if all(np.isfinite(o).all() for o in outputs) else None

    def widened(self) -> Subject | None:
        """The same function with its arguments in the next wider dtype, if it then computes so."""
        narrow = min((leaf.value.dtype for leaf in self.leaves), key=lambda d: d.itemsize)
        wider: np.dtype[Any] = np.dtype(np.float64 if narrow.itemsize < 8 else np.longdouble)
        if np.finfo(wider).eps >= np.finfo(narrow).eps:
            return None
        wide = Subject.__new__(Subject)
        wide.__dict__ |= self.__dict__
        wide.held = Held()  # the stopped values in the wider dtype

        def cast(leaf: Any) -> Any:
            if not _is_float(leaf):
                return leaf
            return np.asarray(leaf, np.promote_types(np.asarray(leaf).dtype, wider))[()]

        wide.args = tuple(map_leaves(cast, tree) for tree in self.args)
        wide._flat = [(n, name, cast(leaf)) for n, name, leaf in self._flat]
        wide.leaves = tuple(
            Leaf(x.name, x.argument, x.position, np.asarray(cast(x.value))) for x in self.leaves
        )
        try:
            with np.errstate(all="ignore"):
                wide.value = wide.measured({})
            wide.outputs = wide.outputs_of(wide.value)
        except Exception:  # linear algebra, for one, has no extended precision
            return None
        same = [o.shape for o in wide.outputs] == [o.shape for o in self.outputs]
        if not same or not all(o.dtype == wider for o in wide.outputs):
            return None
        near = all(
            np.allclose(w, o, rtol=0.1, atol=0.1 * float(np.max(np.abs(o), initial=0.0)))
            for w, o in zip(wide.outputs, self.outputs, strict=True)
        )
        return wide if near else None

    def arrays(self) -> Iterator[tuple[str, Any]]:
        """Every array among the arguments, and the outputs, by name."""
        for _, name, leaf in self._flat:
            if isinstance(leaf, np.ndarray):
                yield name, leaf
        for output in self.outputs:
            yield f"the result of {self.name}", output

    def outputs_of(self, value: Any) -> list[Array]:
        """The leaves of a result, as arrays of floats.

        Raises:
            NotDifferentiableError: One of them is something else.
        """
        found = []
        for name, leaf in leaves(value):
            array = np.asarray(leaf)
            if array.dtype.kind != "f":
                what = f"{array.dtype}" if array.dtype != object else f"a {type(leaf).__name__}"
                where = f" at {name}" if name else ""
                raise NotDifferentiableError(
                    f"{self.name} returned {what}{where}, and a derivative needs real floats."
                )
            found.append(array)
        if not found:
            raise NotDifferentiableError(
                f"{self.name} returned {value!r}, and a derivative needs real floats."
            )
        return found

    def _chosen(self, wrt: Wrt) -> Iterator[Leaf]:
        asked = None if wrt is None else [wrt] if isinstance(wrt, str | int) else list(wrt)
        used: set[int] = set()
        for position, (argument, name, leaf) in enumerate(self._flat):
            hits = [i for i, w in enumerate(asked or ()) if self._names(w, argument, name)]
            used |= set(hits)
            if asked is not None and not hits:
                continue
            if _is_float(leaf):
                yield Leaf(name, argument, position, np.array(leaf))
            elif asked is not None or np.iscomplexobj(leaf):
                raise NotDifferentiableError(_no_floats(name, leaf))
        for i, w in enumerate(asked or ()):
            if i not in used:
                known = ", ".join(name for _, name, _ in self._flat) or "none"
                raise ArgumentsError(
                    f"{self.name} has no argument {w!r} here. Its arguments: {known}."
                )
        if not any(_is_float(leaf) for _, _, leaf in self._flat):
            first = next(((n, v) for _, n, v in self._flat), None)
            raise NotDifferentiableError(
                _no_floats(*first) if first else f"{self.name} was given no arguments to check."
            )

    def _names(self, asked: str | int, argument: int, name: str) -> bool:
        if isinstance(asked, int):
            return asked % len(self.args) == argument and -len(self.args) <= asked < len(self.args)
        return is_below(name, asked)


def parameter_names(f: Callable[..., Any], count: int) -> list[str]:
    """What ``f`` calls its first ``count`` positional arguments."""
    try:
        if isinstance(f, np.ufunc):
            raise TypeError
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        return ["x"] if count == 1 else [f"x{i + 1}" for i in range(count)]
    names: list[str] = []
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD):
            names.append(p.name)
        elif p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}[{i}]" for i in range(count - len(names))]
    needed = [p for p in parameters if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD]
    if count > len(names) or count < len(needed):
        name = getattr(f, "__name__", "f")
        raise ArgumentsError(
            f"{name}{inspect.signature(f)} was given {count} positional argument(s).\n"
            "check(f, *args) calls f(*args); bind keyword arguments with functools.partial."
        )
    return names[:count]


def _is_float(leaf: Any) -> bool:
    if isinstance(leaf, np.ma.MaskedArray):
        raise NotDifferentiableError(
            "an argument is a masked array, and its mask would be ignored. Pass the data."
        )
    return isinstance(leaf, float) or (
        isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind == "f"
    )


def _no_floats(name: str, leaf: Any) -> str:
    dtype = np.asarray(leaf).dtype
    advice = (
        "Complex derivatives are not supported." if dtype.kind == "c"
        else "Pass floats: 1.0 instead of 1, or x.astype(float)."
    )  # fmt: skip
    return f"cannot check the derivative with respect to {name}: it is {dtype}.\n{advice}"
