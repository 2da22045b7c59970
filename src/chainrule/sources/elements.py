"""Which input is meant: ``"W1"``, ``"W1[0,0]"``, ``"params['W'][0,-1]"``, ``"layers[1].bias[2]"``.

What is written is read as Python reads it, and matched to the leaves of the arguments. What is left
over behind a leaf is the index of one of its elements.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError


@dataclass(frozen=True, slots=True)
class Element:
    """One element of an input.

    Attributes:
        leaf: The name of the input: ``params['W']``.
        index: Where in it, counted from 0; empty for a number.
    """

    leaf: str
    index: tuple[int, ...]

    @property
    def name(self) -> str:
        """As it is written in Python: ``params['W'][0,1]``."""
        return self.leaf + (f"[{','.join(map(str, self.index))}]" if self.index else "")


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
    wrt: str | Sequence[str], point: Mapping[str, Any], missing: Callable[[str], str]
) -> tuple[str, ...]:
    """The inputs, and the elements of inputs, that are asked for, as :func:`element` knows them.

    Args:
        wrt: What is asked for; the name of a tree stands for all leaves below it.
        point: The value of every input that can be differentiated, by name.
        missing: What to say of a name that is none of an input.

    Raises:
        NotDifferentiableError: A name is none, or an index is none of one element.
    """
    found: list[str] = []
    for name in asked_for(wrt):
        below = [n for n in point if n == name or n.startswith((f"{name}[", f"{name}."))]
        found += below or _written(name, point, missing)
    return tuple(dict.fromkeys(found))


def element(name: str, point: Mapping[str, Any]) -> Element | None:
    """What a name that :func:`chosen` gave stands for, if it is a single element or a number.

    >>> element("W[0,1]", {"W": np.eye(2), "b": np.float64(0)})
    Element(leaf='W', index=(0, 1))
    """
    if name in point:
        return Element(name, ()) if np.ndim(point[name]) == 0 else None
    leaf, _, index = name.rpartition("[")
    return Element(leaf, tuple(int(i) for i in index.rstrip("]").split(",")))


def _written(name: str, point: Mapping[str, Any], missing: Callable[[str], str]) -> list[str]:
    """Inputs, or an element of one, however the name is written."""
    steps = _steps(name)
    for count in range(len(steps), 0, -1):
        leaf = "".join(label for label, _ in steps[:count])
        if leaf in point:
            rest = [part for _, part in steps[count:]]
            index = _index(name, leaf, rest, point[leaf]) if rest else ()
            return [Element(leaf, index).name]
        below = [n for n in point if n.startswith((f"{leaf}[", f"{leaf}."))]
        if below and count == len(steps):
            return below
        if below:
            close = difflib.get_close_matches("".join(label for label, _ in steps), below, 1)
            hint = f"Did you mean {close[0]}?" if close else f"It has {_listed(below)}."
            raise NotDifferentiableError(f"there is no {name} to differentiate by. {hint}")
    base = steps[0][0] if steps else name
    close = difflib.get_close_matches(base, point, 1, 0.5)
    if len(steps) > 1 and close:
        behind = name[len(base) :]
        raise NotDifferentiableError(
            missing(name).split(" Did you mean")[0].split(" Its inputs")[0]
            + f" Did you mean {close[0] + behind!r}?"
        )
    raise NotDifferentiableError(missing(name))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


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


def _index(name: str, leaf: str, parts: Sequence[ast.expr | None], value: Any) -> tuple[int, ...]:
    """The index behind a leaf's name, counted from 0.

    Raises:
        NotDifferentiableError: It is none of one element.
    """
    shape = np.shape(value)
    written: list[ast.expr | None] = []
    for part in parts:
        written += part.elts if isinstance(part, ast.Tuple) else [part]
    if not shape:
        raise NotDifferentiableError(
            f"{name}: {leaf} is a number and has no elements. Ask for {leaf} itself."
        )
    numbers = [_whole(part) for part in written]
    if any(n is None for n in numbers):
        raise NotDifferentiableError(
            f"{name}: only single elements can be followed, by whole numbers: "
            f"{_example(leaf, shape)}.\n{leaf} has shape {shape}; ask for {leaf} to have its whole "
            "gradient."
        )
    if len(numbers) != len(shape):
        said = "a part of it" if len(numbers) < len(shape) else "nothing in it"
        raise NotDifferentiableError(
            f"{name}: {leaf} has shape {shape}, so that {len(numbers)} "
            f"{'index names' if len(numbers) == 1 else 'indices name'} {said}.\n"
            f"Write {_example(leaf, shape)} for one element, or {leaf} for the whole gradient."
        )
    found: list[int] = []
    for axis, (n, size) in enumerate(zip(numbers, shape, strict=True)):
        assert n is not None
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
