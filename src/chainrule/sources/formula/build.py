"""From reductions of the grammar to the tree, bottom-up: one function per alias in grammar.lark.

Each function takes what the grammar matched, in that order. A ``Piece`` is a finished part of the
tree with what the tree itself forgets: parentheses around it, and how it was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from chainrule.sources.formula.syntax import Call, Definition, Expression, Name, Number
from chainrule.sources.formula.tokens import Token, wrong
from chainrule.sources.formula.vocabulary import CONSTANTS, INVERSES, LOGARITHM_BASES, Function

COMPARISONS = {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
    "==": "equal",
    "!=": "not_equal",
}
MISPLACED_COMPARISON = "a comparison can only stand first in where(condition, a, b)"


@dataclass(slots=True, eq=False)
class Note:
    """A place that could be read in two ways, and the tree it was read as."""

    start: int
    end: int
    node: Expression


Notes: TypeAlias = "tuple[Note | Notes, ...]"
"""Notes in the order of the text, nested: copying them flat at each step would be quadratic."""


class Piece(NamedTuple):
    """A part of the tree, its extent in the text with parentheses, and how it was written.

    ``first`` and ``last`` say how the text of the piece begins and ends: ``group``, ``name``,
    ``caret`` (``x^2``), ``root`` (``√2``), ``quotient`` (``1/2``), ``apply`` (``sin x``), ...
    """

    node: Expression
    start: int
    end: int
    notes: Notes = ()
    first: str = ""
    last: str = ""

    def noted(self) -> Piece:
        """The same piece with the remark that it could have been read otherwise."""
        return self._replace(notes=(self.notes, Note(self.start, self.end, self.node)))


@dataclass(slots=True, eq=False)
class Arguments:
    """What stands behind a function, up to the closing bracket."""

    pieces: tuple[Piece, ...]
    end: int


@dataclass(slots=True, eq=False)
class Defined:
    """A definition and the notes of its body."""

    definition: Definition
    notes: Notes


def flat(notes: Notes) -> Iterator[Note]:
    """All notes of a nest of notes."""
    stack: list[Note | Notes] = [notes]
    while stack:
        item = stack.pop()
        if isinstance(item, Note):
            yield item
        else:
            stack.extend(item)


def _call(function: str, args: Iterable[Piece], start: int, end: int) -> Piece:
    pieces = tuple(args)
    node = Call(function, tuple([piece.node for piece in pieces]), start, end)
    return Piece(node, start, end, _notes(pieces))


def _notes(pieces: Iterable[Piece]) -> Notes:
    return tuple([piece.notes for piece in pieces if piece.notes])


def _binary(function: str, left: Piece, right: Piece) -> Piece:
    return _call(function, (left, right), left.start, right.end)


# ---- definitions --------------------------------------------------------------------------------


def start(*parts: Defined | Token) -> list[Defined]:
    """The definitions of the formula, in order, without the separators."""
    return [part for part in parts if isinstance(part, Defined)]


def body(piece: Piece) -> Defined:
    """A formula without a name."""
    return Defined(Definition(None, (), piece.node, piece.start, piece.end), piece.notes)


def value(name: Token, _equals: Token, piece: Piece) -> Defined:
    """``y = …``."""
    return Defined(Definition(name.text, (), piece.node, name.start, piece.end), piece.notes)


def function(name: Token, *rest: Token | Piece) -> Defined:
    """``f(x) = …``."""
    names = [part.text for part in rest if isinstance(part, Token) and part.kind == "PARAMETER"]
    piece = _only_piece(rest)
    made = Definition(name.text, tuple(names), piece.node, name.start, piece.end)
    return Defined(made, piece.notes)


def _only_piece(parts: Iterable[Token | Piece]) -> Piece:
    (piece,) = (part for part in parts if isinstance(part, Piece))
    return piece


# ---- operators ----------------------------------------------------------------------------------


def add(left: Piece, _sign: Token, right: Piece) -> Piece:
    """``a + b``."""
    return _binary("add", left, right)


def subtract(left: Piece, _sign: Token, right: Piece) -> Piece:
    """``a - b``."""
    return _binary("subtract", left, right)


def multiply(left: Piece, _sign: Token, right: Piece) -> Piece:
    """``a * b``."""
    return _binary("multiply", left, right)._replace(first=left.first, last=right.last)


def divide(left: Piece, _sign: Token, right: Piece) -> Piece:
    """``a / b``; ``sin x/2`` could have been sin(x/2)."""
    last = "apply" if right.last == "apply" else "quotient"
    piece = _binary("divide", left, right)._replace(first=left.first, last=last)
    return piece.noted() if left.last == "apply" else piece


def negative(sign: Token, piece: Piece) -> Piece:
    """``-a``."""
    return _call("negative", (piece,), sign.start, piece.end)._replace(last=piece.last)


def positive(sign: Token, piece: Piece) -> Piece:
    """``+a``, which is ``a``."""
    return piece._replace(start=sign.start, first="")


def power(base: Piece, _sign: Token, exponent: Piece) -> Piece:
    """``a^b``."""
    last = "apply" if exponent.last == "apply" else "" if exponent.last == "group" else "caret"
    return _binary("power", base, exponent)._replace(first=base.first, last=last)


def raise_to(base: Piece, _open: Token, exponent: Piece, close: Token) -> Piece:
    """``a²``."""
    piece = _call("power", (base, exponent), base.start, close.end)
    return piece._replace(first=base.first)


def next_to(left: Piece, gap: Token, right: Piece) -> Piece:
    """``a b``: a product, with a remark wherever a reader could have meant something else."""
    piece = multiply(left, gap, right)
    return piece.noted() if gap.glued or _doubtful(left, gap, right) else piece


def _doubtful(left: Piece, gap: Token, right: Piece) -> bool:
    if left.last in ("quotient", "apply"):
        return True  # 1/2x and sin 2x cos x
    if gap.kind == "NEXT_FUNCTION":
        return False
    if left.last == "caret":
        return right.first != "group" and left.end == right.start  # e^2x
    calling = left.first == left.last == "name" and right.first == "group"
    return left.last == "root" or calling  # √2x and a(x+1)


def next_in_run(left: Piece, gap: Token, right: Piece) -> Piece:
    """A product inside the argument of a function, ``sin x y``: could have ended earlier."""
    piece = next_to(left, gap, right)
    plain = isinstance(left.node, Number) or _is_constant(left.node)
    stretched = not plain and (right.first == "group" or left.end < right.start)
    if (stretched or left.last == "stretch") and right.last != "apply":
        return piece._replace(last="stretch")
    return piece


def _is_constant(node: Expression) -> bool:
    return isinstance(node, Name) and node.name in CONSTANTS


def compare(left: Piece, sign: Token, right: Piece) -> Piece:
    """``a < b``, the condition of a ``where``; ``a = b`` could have been meant as a definition."""
    piece = _binary(COMPARISONS[sign.text], left, right)._replace(last="condition")
    return piece.noted() if sign.glued else piece


# ---- what needs no neighbour --------------------------------------------------------------------


def number(token: Token) -> Piece:
    """A literal."""
    return Piece(Number(token.text, token.start, token.end), token.start, token.end)


def name(token: Token) -> Piece:
    """A variable or a constant."""
    node = Name(token.text, token.start, token.end)
    return Piece(node, token.start, token.end, first="name", last="name")


def group(opener: Token, piece: Piece, closer: Token) -> Piece:
    """``(a)``: nothing but its extent and what may stand next to it changes."""
    first = "braces" if opener.kind == "LBRACE" else "group"
    return Piece(piece.node, opener.start, closer.end, piece.notes, first, "group")


def enclosed(opener: Token, piece: Piece, closer: Token) -> Piece:
    """``|a|``, ``⌊a⌋`` and ``⌈a⌉``."""
    function = {"LBAR": "abs", "LFLOOR": "floor", "LCEIL": "ceil"}[opener.kind]
    return _call(function, (piece,), opener.start, closer.end)


def second(*parts: Piece | Token) -> Piece:
    """What stands between brackets or behind a sign that has done its work."""
    return _only_piece(parts)


def root(sign: Token, piece: Piece) -> Piece:
    """``√a``, ``∛a`` and ``\\sqrt{a}``; without brackets, ``√2`` ends at the next factor."""
    function = "cbrt" if sign.text == "∛" else "sqrt"
    made = _call(function, (piece,), sign.start, piece.end)
    if sign.kind != "ROOT":
        return made
    made = made._replace(last="apply" if piece.last == "apply" else "root")
    return made.noted() if isinstance(piece.node, Call) and piece.node.function == "power" else made


def nth_root(sign: Token, _open: Token, degree: Piece, _close: Token, piece: Piece) -> Piece:
    """``\\sqrt[n]{a}``."""
    made = _root_of(piece, degree, sign.start, piece.end)
    return made._replace(notes=_notes([degree, piece]))


def _root_of(piece: Piece, degree: Piece, start: int, end: int) -> Piece:
    if isinstance(degree.node, Number) and degree.node.text in ("2", "3"):
        return _call({"2": "sqrt", "3": "cbrt"}[degree.node.text], (piece,), start, end)
    one = Piece(Number("1", degree.start, degree.start), degree.start, degree.start)
    return _call("power", (piece, _binary("divide", one, degree)), start, end)


def fraction(sign: Token, above: Piece, below: Piece) -> Piece:
    """``\\frac{a}{b}``."""
    return _call("divide", (above, below), sign.start, below.end)


# ---- functions ----------------------------------------------------------------------------------


def arguments(*parts: Piece | Token) -> Arguments:
    """``(a, b)``, or an argument in other brackets."""
    return Arguments(tuple([part for part in parts if type(part) is Piece]), parts[-1].end)


def call(token: Token, args: Arguments) -> Piece:
    """``sin(a)``."""
    piece = _applied(token, args)
    return piece.noted() if token.glued else piece


def call_raised(token: Token, exponent: Piece, args: Arguments) -> Piece:
    """``sin^2(a)``."""
    return _raised(exponent, call(token, args))


def apply(token: Token, argument: Piece) -> Piece:
    """``sin a``."""
    piece = _applied(token, Arguments((argument,), argument.end))._replace(last="apply")
    return piece.noted() if token.glued or argument.last == "stretch" else piece


def apply_raised(token: Token, exponent: Piece, argument: Piece) -> Piece:
    """``sin^2 a``."""
    return _raised(exponent, apply(token, argument))


def _raised(exponent: Piece, piece: Piece) -> Piece:
    """``sin^2 x`` is a power of the value, but ``sin^-1 x`` the inverse function."""
    assert isinstance(piece.node, Call)
    node, inverse = piece.node, _is_minus_one(exponent.node)
    if inverse and node.function in INVERSES:
        node = replace(node, function=INVERSES[node.function])
    else:
        node = Call("power", (node, exponent.node), piece.start, piece.end)
    made = piece._replace(node=node, notes=_notes([exponent, piece]))
    return made.noted() if inverse or piece.notes else made


def _is_minus_one(node: Expression) -> bool:
    if not (isinstance(node, Call) and node.function == "negative"):
        return False
    inner = node.args[0]
    return isinstance(inner, Number) and inner.text == "1"


def _applied(token: Token, args: Arguments) -> Piece:
    assert token.function is not None
    _check_count(token, token.function, args)
    _check_conditions(token.function, args)
    if token.function.name == "root":
        return _root_of(args.pieces[0], args.pieces[1], token.start, args.end)
    if token.subscript:
        return _logarithm(token, args)
    if token.function.most is None:
        return _nested(token.function.name, args.pieces, token.start, args.end)
    return _call(token.function.name, args.pieces, token.start, args.end)


def _check_count(token: Token, function: Function, args: Arguments) -> None:
    given, least, most = len(args.pieces), function.least, function.most
    if given >= least and (most is None or given <= most):
        return
    needed = f"{least} or more" if most is None else str(least)
    plural = "" if least == most == 1 else "s"
    message = f"'{token.text}' takes {needed} argument{plural}, not {given}"
    logarithm = function.name == "log" and given == 2
    hint = "a logarithm of another base is written log_2(x)" if logarithm else None
    raise wrong(message, token.start, args.end, hint=hint)


def _check_conditions(function: Function, args: Arguments) -> None:
    for index, piece in enumerate(args.pieces):
        wanted = function.name == "where" and index == 0
        if wanted and piece.last != "condition":
            message = "the first argument of where must be a comparison, such as x > 0"
            raise wrong(message, piece.start, piece.end)
        if piece.last == "condition" and not wanted:
            raise wrong(MISPLACED_COMPARISON, piece.start, piece.end)


def _nested(function: str, pieces: tuple[Piece, ...], start: int, end: int) -> Piece:
    """``max(a, b, c)`` is the maximum of the maximum of ``a`` and ``b``, and ``c``."""
    *front, last = pieces
    result = front[0]
    for piece in front[1:]:
        result = _call(function, (result, piece), start, piece.end)
    return _call(function, (result, last), start, end)


def _logarithm(token: Token, args: Arguments) -> Piece:
    """``log_b(x)``: the rule book's own for the bases 2 and 10, else a quotient of logarithms."""
    base = token.subscript
    if base in LOGARITHM_BASES:
        return _call(LOGARITHM_BASES[base], args.pieces, token.start, args.end)
    below = token._replace(text=base, start=max(token.start, token.end - len(base)))
    bottom = number(below) if base.isdecimal() else name(below)
    above = _call("log", args.pieces, token.start, args.end)
    under = _call("log", (bottom,), token.start, token.end)
    return _call("divide", (above, under), token.start, args.end)
