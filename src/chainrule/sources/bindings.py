"""What a piece of source text does with a value: which name it binds it to, or that it returns it.

Everything here is static. A code position is matched with the expression that has exactly its
span, and from there one climbs the syntax tree for as long as the value itself moves up. Where the
tree leaves a doubt the answer is "nothing", because a missing name is better than a wrong one.
"""

from __future__ import annotations
import __future__

import ast
import functools
import json
import linecache
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType

FUTURE_FLAGS = __future__.annotations.compiler_flag
"""The flags of a code object that its text alone does not determine."""

Span = tuple[int, int, int, int]
"""First line, last line, first column, last column; columns count UTF-8 bytes."""


@dataclass(frozen=True, slots=True)
class Item:
    """The value is item ``at`` of a tuple or list display of ``size`` items (if that is known)."""

    at: int
    size: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """The value belongs to the constant key ``key`` (as text) of a dict display."""

    key: str


@dataclass(frozen=True, slots=True)
class Each:
    """The value is one of the elements made by the list comprehension at ``where``."""

    where: Span


Step = Item | Entry | Each
Steps = tuple[Step, ...]
"""The way into a container, outermost step first."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The value, or the container that ``steps`` lead into, is assigned to ``name``."""

    name: str
    steps: Steps = ()


@dataclass(frozen=True, slots=True)
class Returned:
    """The value, or the container that ``steps`` lead into, is what the function returns."""

    steps: Steps = ()


Ending = Bound | Returned | None


@dataclass(frozen=True, slots=True)
class Statement:
    """The lines of a statement (of its header, if it has a body) and the text of the first."""

    lines: tuple[int, int]
    text: str


@dataclass(slots=True)
class Source:
    """A parsed file, and the code objects that its text compiles to."""

    lines: list[str]
    tree: ast.Module
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    spans: dict[Span, ast.AST | None] = field(default_factory=dict)
    codes: dict[tuple[str, int], list[CodeType]] = field(default_factory=dict)

    def holds(self, code: CodeType) -> bool:
        """Whether the text, as it is now, compiles to exactly this code object."""
        candidates = self.codes.get((code.co_qualname, code.co_firstlineno), ())
        return any(_same_code(candidate, code) for candidate in candidates)

    def node_at(self, span: Span) -> ast.AST | None:
        """The operation written at exactly this span."""
        return self.spans.get(span)

    def statement(self, node: ast.AST | None, line: int) -> Statement | None:
        """The smallest statement around a node, or around a line when no node is known."""
        found: ast.AST | None = node
        while found is not None and not isinstance(found, ast.stmt):
            found = self.parents.get(found)
        found = found or self._statement_on(line)
        if found is None:
            return None
        start, end = _header(found)
        return Statement((start, end), self.lines[start - 1].strip())

    def _statement_on(self, line: int) -> ast.stmt | None:
        statements = (n for n in self.parents if isinstance(n, ast.stmt))
        around = [s for s in statements if s.lineno <= line <= (s.end_lineno or s.lineno)]
        return min(around, key=lambda s: (s.end_lineno or s.lineno) - s.lineno, default=None)


def read_source(filename: str, flags: int = 0) -> Source | None:
    """Parse the present text of a file; ``None`` if there is none, or it is not Python.

    Args:
        filename: The name that the code was compiled with.
        flags: Future features that were on without the text saying so, as in interactive sessions.
    """
    linecache.checkcache(filename)
    lines = linecache.getlines(filename)
    if not lines:
        return None
    return _read(tuple(lines), filename, flags)


# Parsing a file takes longer than explaining a function in it, and a text is parsed the same way
# every time: a file that has changed is another text.
@functools.lru_cache(maxsize=16)
def _read(lines: tuple[str, ...], filename: str, flags: int) -> Source | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _parse(list(lines), filename, flags)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parse(lines: list[str], filename: str, flags: int) -> Source:
    source = Source(lines, ast.parse("".join(lines)))
    module = compile(source.tree, filename, "exec", flags, dont_inherit=True)
    # Interactive sessions compile their input in another mode.
    single = ast.Interactive(body=source.tree.body)
    prompt = compile(single, filename, "single", flags, dont_inherit=True)
    for code in (*_nested_codes(module), prompt):
        source.codes.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
    _index(source)
    return source


def _nested_codes(module: CodeType) -> Iterator[CodeType]:
    pending = [module]
    while pending:
        code = pending.pop()
        yield code
        pending.extend(c for c in code.co_consts if isinstance(c, CodeType))


def _same_code(one: CodeType, other: CodeType) -> bool:
    return one == other and list(one.co_positions()) == list(other.co_positions())


def _index(source: Source) -> None:
    pending: list[ast.AST] = [source.tree]
    while pending:
        node = pending.pop()
        for span in _spans(node):
            # Two operations with one span can only come from text whose columns are unreliable.
            source.spans[span] = None if span in source.spans else node
        for child in ast.iter_child_nodes(node):
            source.parents[child] = node
            pending.append(child)


_OPERATIONS = (
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Call,
    ast.Subscript,
    ast.Attribute,
    ast.AugAssign,
)


def _spans(node: ast.AST) -> Iterator[Span]:
    unpacking = isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Store)
    if not (unpacking or isinstance(node, _OPERATIONS)):
        return
    yield span_of(node)
    attribute = node.func if isinstance(node, ast.Call) else node
    if isinstance(attribute, ast.Attribute) and attribute.lineno != attribute.end_lineno:
        # A method called on a later line than its object is placed at the method's own name.
        _, line, _, column = span_of(attribute)
        _, end_line, _, end_column = span_of(node)
        yield line, end_line, column - len(attribute.attr), end_column


def span_of(node: ast.AST) -> Span:
    """The place of an expression or statement in its file."""
    assert isinstance(node, ast.expr | ast.stmt)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


def _header(statement: ast.AST) -> tuple[int, int]:
    assert isinstance(statement, ast.stmt)
    end = statement.end_lineno or statement.lineno
    body = getattr(statement, "body", None) or getattr(statement, "cases", None)
    if not body:
        return statement.lineno, end
    first = getattr(body[0], "pattern", body[0]).lineno
    return statement.lineno, max(statement.lineno, min(end, first - 1))


def ending(source: Source, node: ast.AST, steps: Steps = ()) -> Ending:
    """Follow the value of ``node`` up the tree until it is named, returned, or used up."""
    if isinstance(node, ast.AugAssign):
        return bind(source, node.target, steps)
    while True:
        parent = source.parents[node]
        end = _end_at(source, parent, node, steps)
        if not isinstance(end, bool):
            return end
        passed = _pass_through(parent, node, steps) if end else None
        if passed is None:
            return None
        node, steps = parent, passed


def _end_at(
    source: Source, parent: ast.AST, node: ast.AST, steps: Steps
) -> Bound | Returned | bool:
    """Where the flow ends at this parent; ``True`` to go on above it, ``False`` if it is lost."""
    match parent:
        case ast.NamedExpr(target=ast.Name(id=name)):
            return Bound(name, steps)
        case ast.Assign(targets=targets):
            found = (bind(source, target, steps) for target in targets)
            return next((f for f in found if f is not None), False)
        case ast.AnnAssign(target=target, value=value) if value is node:
            return bind(source, target, steps) or False
        case ast.Return():
            return Returned(steps) if not _overridden(source, parent) else False
        case ast.Lambda(body=body) if body is node:
            return Returned(steps)
        case ast.expr():
            return True
    return False


def _overridden(source: Source, node: ast.AST) -> bool:
    """Whether a ``finally`` around this ``return`` may return something else instead."""
    while not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
        node = source.parents[node]
        final = [n for s in getattr(node, "finalbody", ()) for n in ast.walk(s)]
        if any(isinstance(n, ast.Return | ast.Break | ast.Continue) for n in final):
            return True
    return False


def _pass_through(parent: ast.AST, node: ast.AST, steps: Steps) -> Steps | None:
    """The steps seen from ``parent``, if the value of ``node`` moves up into it unchanged."""
    match parent:
        case ast.IfExp(test=test) if test is not node:
            return steps
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return _into_display(items, node, steps)
        case ast.Dict(keys=keys, values=values):
            return _into_dict(keys, values, node, steps)
        case ast.ListComp(elt=element, generators=[loop]) if element is node and not loop.is_async:
            return (Each(span_of(parent)), *steps)
    return None


def _into_display(items: list[ast.expr], node: ast.AST, steps: Steps) -> Steps | None:
    at = next(i for i, item in enumerate(items) if item is node)
    starred = [i for i, item in enumerate(items) if isinstance(item, ast.Starred)]
    if any(i <= at for i in starred):
        return None
    return (Item(at, None if starred else len(items)), *steps)


def _into_dict(
    keys: list[ast.expr | None], values: list[ast.expr], node: ast.AST, steps: Steps
) -> Steps | None:
    at = next((i for i, value in enumerate(values) if value is node), None)
    key = None if at is None else keys[at]
    later = [] if at is None else keys[at + 1 :]
    if not isinstance(key, ast.Constant) or not all(isinstance(k, ast.Constant) for k in later):
        return None
    text = json.dumps(key.value, ensure_ascii=False) if isinstance(key.value, str) else None
    return (Entry(text or repr(key.value)), *steps)


def bind(source: Source, target: ast.AST, steps: Steps = ()) -> Bound | None:
    """The name that an assignment target gives to what ``steps`` lead to in the assigned value."""
    while isinstance(target, ast.Tuple | ast.List):
        inner = _unpacked(target.elts, steps[0]) if steps else None
        if inner is None:
            return None
        target, steps = inner[0], (*inner[1], *steps[1:])
    name = _target_text(source, target)
    return None if name is None else Bound(name, steps)


def _unpacked(targets: list[ast.expr], step: Step) -> tuple[ast.expr, Steps] | None:
    """The target at the step's position, and what a starred target leaves of the step."""
    if not isinstance(step, Item):
        return None
    star = next((i for i, t in enumerate(targets) if isinstance(t, ast.Starred)), len(targets))
    if step.at < star:
        return (targets[step.at], ()) if step.at < len(targets) else None
    if step.size is None or star == len(targets):
        return None
    starred = targets[star]
    assert isinstance(starred, ast.Starred)
    after = len(targets) - star - 1
    if step.at >= step.size - after:
        return targets[step.at - step.size], ()
    return starred.value, (Item(step.at - star, step.size - star - after),)


def _target_text(source: Source, target: ast.AST) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    effects = (ast.Call, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)
    if not isinstance(target, ast.Attribute | ast.Subscript):
        return None
    if any(isinstance(node, effects) for node in ast.walk(target)):
        return None
    first, last, start, end = span_of(target)
    if first != last:
        return ast.unparse(target)
    return source.lines[first - 1].encode()[start:end].decode()


def callee(function: ast.expr) -> str | None:
    """What is called, as a dotted path with ``[]`` for subscripts; ``None`` if it has no path."""
    match function:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            base = callee(value)
            return None if base is None else f"{base}.{attr}"
        case ast.Subscript(value=value):
            base = callee(value)
            return None if base is None else f"{base}[]"
    return None


def yields_its_operation(node: ast.AST) -> bool:
    """Whether an operator's own value is the operation's (not so for ``in`` or ``a < b < c``)."""
    match node:
        case ast.BinOp() | ast.AugAssign() | ast.Attribute(ctx=ast.Load()):
            return True
        case ast.Subscript(ctx=ast.Load()):
            return True
        case ast.UnaryOp(op=operator):
            return not isinstance(operator, ast.Not)
        case ast.Compare(ops=[operator]):
            return not isinstance(operator, ast.In | ast.NotIn)
    return False
