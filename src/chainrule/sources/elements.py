"""Which input is meant: ``"W1"``, ``"W1[0,0]"``, ``"params['W'][0,-1]"``, ``"layers[1].bias[2]"``.

What is written is read as Python reads it, and matched to the leaves of the arguments. What is left
over behind a leaf is the index of one of its elements, or of a part of it.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an input, a part of one, or all of it.

    Attributes:
        leaf: The name of the input: ``params['W']``.
        index: Where in it, counted from 0, with slices for parts; empty for all of it.
    """

    leaf: str
    index: tuple[Any, ...] = ()

    @property
    def name(self) -> str:
        """As it is written in Python: ``params['W'][0,1]``."""
        return self.leaf + (f"[{','.join(map(_index_text, self.index))}]" if self.index else "")


def _index_text(index: int | slice) -> str:
    if not isinstance(index, slice):
        return str(index)
    ends = [index.start, index.stop, *([] if index.step is None else [index.step])]
    return ":".join("" if end is None else str(end) for end in ends)


def is_below(name: str, tree: str) -> bool:
    """Whether a leaf is that of a tree, or in it."""
    return name == tree or name.startswith((f"{tree}[", f"{tree}."))


def asked_for(wrt: str | Sequence[str]) -> list[str]:
    """The names in a list, or in a text in which commas separate them outside of brackets.

    >>> asked_for("W1[0,0], b1[1]")
    ['W1[0,0]', 'b1[1]']
    """
    if not isinstance(wrt, str):
        return list(wrt)
    pieces, depth = [""], 0
    for char in wrt:
        depth += (char in "[(") - (char in ")]")
        if char == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += char
    return [piece.strip() for piece in pieces]


def chosen(
    wrt: str | Sequence[str], point: Mapping[str, Any], missing: Callable[[str, str], str],
    parts: bool = False,
) -> list[Element]:  # fmt: skip
    """The inputs, and the elements of inputs, that are asked for.

    Args:
        wrt: What is asked for; the name of a tree stands for all leaves below it.
        point: The value of every input that can be differentiated, by name.
        missing: What to say of a name that is none of an input; given the name, and a hint at what
            may be meant.
        parts: Whether whole parts of an array can be asked for as well as single elements.

    Raises:
        NotDifferentiableError: A name is none, or an index is none of one element.
    """
    found: list[Element] = []
    for name in asked_for(wrt):
        below = [Element(n) for n in point if is_below(n, name)]
        found += below or _written(name, point, missing, parts)
    return list({e.name: e for e in found}.values())


def element(name: str, point: Mapping[str, Any]) -> Element | None:
    """What the name of one that was chosen stands for, if it is a single element or a number.

    >>> element("W[0,1]", {"W": np.eye(2), "b": np.float64(0)})
    Element(leaf='W', index=(0, 1))
    """
    if name in point:
        return Element(name, ()) if np.ndim(point[name]) == 0 else None
    leaf, _, index = name.rpartition("[")
    return Element(leaf, tuple(int(i) for i in index.rstrip("]").split(",")))


def _written(
    name: str, point: Mapping[str, Any], missing: Callable[[str, str], str], parts: bool
) -> list[Element]:
    """Inputs, or an element of one, however the name is written."""
    steps = _steps(name)
    for count in range(len(steps), 0, -1):
        leaf = "".join(label for label, _ in steps[:count])
        if leaf in point:
            rest = [part for _, part in steps[count:]]
            return [Element(leaf, _index(name, leaf, rest, point[leaf], parts) if rest else ())]
        below = [n for n in point if is_below(n, leaf)]
        if below and count == len(steps):
            return [Element(n) for n in below]
        if below:
            close = difflib.get_close_matches("".join(label for label, _ in steps), below, 1)
            hint = f"Did you mean {close[0]}?" if close else f"It has {listed(below)}."
            raise NotDifferentiableError(f"there is no {name} to differentiate by. {hint}")
    if len(steps) > 1:
        base = steps[0][0]
        close = difflib.get_close_matches(base, point, 1, 0.5)
        if close:
            hint = f"Did you mean {close[0] + name[len(base) :]!r}?"
            raise NotDifferentiableError(missing(name, hint))
    raise NotDifferentiableError(missing(name, meant(name, point)))


def meant(name: str, known: Iterable[str]) -> str:
    """A hint at what a name that is none may stand for.

    >>> meant("W11", ["W1", "b1"]), meant("rate", ["W1", "b1"])
    ("Did you mean 'W1'?", 'Its inputs are: W1, b1.')
    """
    known = list(known)
    close = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {close[0]!r}?" if close else f"Its inputs are: {listed(known) or 'none'}."


def listed(names: Sequence[str]) -> str:
    """Names one after the other, not too many of them."""
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")


def _steps(name: str) -> list[tuple[str, ast.expr | None]]:
    """The name in pieces: each as a leaf's name has it, and the index that it is."""
    try:
        node: ast.expr = ast.parse(name.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return []
    steps: list[tuple[str, ast.expr | None]] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append((f".{node.attr}", None))
        elif isinstance(node, ast.Subscript):
            key = node.slice
            label = repr(key.value) if isinstance(key, ast.Constant) else ast.unparse(key)
            steps.append((f"[{label}]", key))
        else:
            return []
        node = node.value
    return [(node.id, None), *reversed(steps)]


def _index(
    name: str, leaf: str, brackets: Sequence[ast.expr | None], value: Any, parts: bool
) -> tuple[Any, ...]:
    """The index behind a leaf's name, counted from 0.

    Raises:
        NotDifferentiableError: It is none of one element, nor of a part if that can be asked for.
    """
    shape = np.shape(value)
    if not shape:
        raise NotDifferentiableError(
            f"{name}: {leaf} is a number and has no elements. Ask for {leaf} itself."
        )
    numbers: list[Any] = []
    for k, bracket in enumerate(brackets):
        slices = parts and k == len(brackets) - 1  # W[1:][0] is none of W[1:,0]
        numbers += [
            _slice(part) if slices and isinstance(part, ast.Slice) else _whole(part)
            for part in (bracket.elts if isinstance(bracket, ast.Tuple) else [bracket])
        ]
    if any(n is None for n in numbers):
        can = (
            "a part is given by whole numbers and slices" if parts
            else "only single elements can be followed, by whole numbers"
        )  # fmt: skip
        raise NotDifferentiableError(
            f"{name}: {can}: {_example(leaf, shape)}.\n{leaf} has shape {shape}; ask for {leaf} to "
            "have its whole gradient."
        )
    if len(numbers) > len(shape) or (not parts and len(numbers) < len(shape)):
        said = "a part of it" if len(numbers) < len(shape) else "nothing in it"
        raise NotDifferentiableError(
            f"{name}: {leaf} has shape {shape}, so that {len(numbers)} "
            f"{'index names' if len(numbers) == 1 else 'indices name'} {said}.\n"
            f"Write {_example(leaf, shape)} for one element, or {leaf} for the whole gradient."
        )
    found: list[Any] = []
    for axis, (n, size) in enumerate(zip(numbers, shape, strict=False)):
        if isinstance(n, slice):
            if not len(range(size)[n]):
                raise NotDifferentiableError(f"{name} is empty: {leaf} has shape {shape}.")
            found.append(n)
            continue
        if not -size <= n < size:
            where = f"index {n}" if len(shape) == 1 else f"index {n} of axis {axis}"
            ends = f"run from 0 to {size - 1} (or −{size} to −1)" if size else "are none"
            raise NotDifferentiableError(
                f"{name} is outside of {leaf}, which has shape {shape}: {where}, where the indices "
                f"{ends}."
            )
        found.append(n % size)
    return tuple(found)


def _example(leaf: str, shape: tuple[int, ...]) -> str:
    return f"{leaf}[{','.join('0' * len(shape))}]"


def _whole(part: ast.expr | None) -> int | None:
    """The whole number that is written there, if it is one."""
    try:
        value = None if part is None else ast.literal_eval(part)
    except ValueError:
        return None
    return value if type(value) is int else None


def _slice(part: ast.Slice) -> slice | None:
    """The slice that is written there, if its ends are whole numbers."""
    ends = [(e, _whole(e)) for e in (part.lower, part.upper, part.step)]
    if any(e is not None and n is None for e, n in ends) or ends[2][1] == 0:
        return None
    return slice(*(n for _, n in ends))
