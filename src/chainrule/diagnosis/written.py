"""An operation in the user's source text: what its arguments are written as."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from chainrule.graph.tape import Traced
from chainrule.sources.names import Place

_OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add, "subtract": ast.Sub, "multiply": ast.Mult, "divide": ast.Div,
    "power": ast.Pow, "matmul": ast.MatMult, "remainder": ast.Mod,
}  # fmt: skip
# What else an operation may be called in a program.
_ALSO = {
    "abs": ("absolute", "fabs"), "power": ("float_power",), "square": ("power",),
    "arccos": ("acos",), "arcsin": ("asin",), "arctan2": ("atan2",), "arctanh": ("atanh",),
    "arccosh": ("acosh",), "max": ("amax",), "min": ("amin",), "divide": ("true_divide",),
    "where": ("select", "choose", "nan_to_num", "relu"), "sigmoid": ("expit",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Written:
    """An operation as it stands in the source.

    Attributes:
        text: The whole expression.
        args: Its arguments, or its operands.
        function: How the function is written (``np.sqrt``); ``None`` for an operator.
        target: The name that the statement assigns to, if it is one.
    """

    text: str
    args: tuple[str, ...]
    function: str | None = None
    target: str | None = None


def written(record: Traced, place: Place, names: Sequence[str | None] = ()) -> Written | None:
    """How an operation is written in the line where it was performed, if that is found.

    Args:
        record: The operation.
        place: Where it was written.
        names: What the user calls its arguments, where that is known: of several operations of one
            kind in a line, the one is meant that has these.
    """
    if place.file is None or place.line is None or record.op is None:
        return None
    source = "".join(linecache.getlines(place.file))
    found = _on_line(source, place.line, record.op.name)
    if not found:
        return None
    return max(found, key=lambda w: _alike(w[1], record, names))[0]


def _alike(nodes: Sequence[ast.expr], record: Traced, names: Sequence[str | None] = ()) -> int:
    """How well arguments in the source fit those of an operation: a line may have several."""
    score = 0
    for n, (node, arg) in enumerate(zip(nodes, record.args, strict=False)):
        name = names[n] if n < len(names) else None
        own = type(arg) is Traced and arg.level == record.level
        if name is not None:
            score += 4 if ast.unparse(node) == name else -1
        if own and arg.op is not None:
            inside = _arguments(node, arg.op.name)
            if inside is not None:
                score += 2 + max(_alike(inside, arg), 0)
            elif name is None and isinstance(node, ast.Name):
                score -= 1
        elif not own and isinstance(node, ast.Constant):
            score += 2 if np.ndim(arg) == 0 and node.value == arg else -2
    return score


@lru_cache(maxsize=256)
def _on_line(source: str, line: int, name: str) -> list[tuple[Written, Sequence[ast.expr]]]:
    starting: list[tuple[Written, Sequence[ast.expr]]] = []
    further: list[tuple[Written, Sequence[ast.expr]]] = []
    for node, target in _nodes(source):
        if not node.lineno <= line <= (node.end_lineno or node.lineno):
            continue
        args = _arguments(node, name)
        if args is not None:
            function = _text(source, node.func) if isinstance(node, ast.Call) else None
            texts = tuple([_text(source, a) for a in args])
            found = Written(_text(source, node), texts, function, target)
            (starting if node.lineno == line else further).append((found, args))
    return starting + further


def _text(source: str, node: ast.expr) -> str:
    return _joined(ast.get_source_segment(source, node) or ast.unparse(node))


def _joined(text: str) -> str:
    """A piece of source on one line."""
    return " ".join(text.split())


@lru_cache(maxsize=16)
def _nodes(source: str) -> tuple[tuple[ast.expr, str | None], ...]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return ()
    found: list[tuple[ast.expr, str | None]] = []

    def visit(node: ast.AST, target: str | None) -> Iterator[tuple[ast.expr, str | None]]:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            target = node.targets[0].id
        elif isinstance(node, ast.stmt | ast.Lambda):
            target = None
        if isinstance(node, ast.expr):
            yield node, target
        for child in ast.iter_child_nodes(node):
            yield from visit(child, target)

    found.extend(visit(tree, None))
    return tuple(found)


def _arguments(node: ast.expr, name: str) -> list[ast.expr] | None:
    """The arguments of an operation if a node is one of that name."""
    if isinstance(node, ast.BinOp):
        return [node.left, node.right] if isinstance(node.op, _OPERATORS.get(name, ())) else None
    if name == "negative" and isinstance(node, ast.UnaryOp):
        return [node.operand] if isinstance(node.op, ast.USub) else None
    if name in ("index", "take", "getitem") and isinstance(node, ast.Subscript):
        return [node.value, node.slice]
    if not isinstance(node, ast.Call):
        return None
    called = node.func
    word = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    if word != name and word not in _ALSO.get(name, ()):
        return None
    args = list(node.args)
    if isinstance(called, ast.Attribute) and not _is_module(called.value):
        args.insert(0, called.value)
    return args


def _is_module(node: ast.expr) -> bool:
    """Whether something is written as a module is: ``np``, ``np.linalg``, ``scipy.special``."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in (
        "np", "numpy", "scipy", "special", "sp", "sc", "linalg", "cr", "math",
    )  # fmt: skip


def wrapped(text: str) -> str:
    """An expression as an operand: in parentheses unless it is a name, a number or a call."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return f"({text})"
    simple = ast.Name | ast.Constant | ast.Call | ast.Subscript | ast.Attribute
    return text if isinstance(node, simple) else f"({text})"
