"""What a primitive is: one row of the rule book, and the five kinds of edge its arguments may have.

An *edge* runs from one argument of a primitive to its output and carries the local derivative: a
small structured linear map. The kinds below only *state* that map; ``chain`` walks them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Partial = Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Elementwise: multiplied by ``partial(*args, out)``, forward and backward alike.

    ``partial`` is written over NumPy and runs on whatever its arguments are: numbers, traced values
    (higher order) or graph nodes (symbols). A partial that depends on nothing is just a number.
    On a reduction it is ``partial(*args, out, **attrs)`` in the shape of the argument, with ``out``
    repeated to it.
    """

    partial: Partial | float


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Elementwise selection: where ``weight(*args, out)`` is zero, nothing passes at all.

    The weight is a boolean, or a number where a tie is shared (0.5) or a sign carried (±1). Unlike
    a ``Scale`` that happens to be zero, a zero weight *restricts the support*: a NaN or an infinity
    behind it is never multiplied.
    """

    weight: Partial


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """The primitive is linear in this argument.

    ``transpose(cotangent, *args, **attrs)`` maps back; the primitive itself maps forward. With
    ``selects`` the map is a selection (index, take, pad): its transpose reaches only some places.
    With ``positional`` the primitive takes any number of arguments and is linear in all of them
    together (concatenate, stack): the transpose is told which one is meant by ``position=``.
    ``add_into(total, cotangent, *args, **attrs)`` adds the transpose to an array in place, where it
    touches few of its elements.
    """

    transpose: Callable[..., Any]
    selects: bool = False
    positional: bool = False
    add_into: Callable[..., None] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Bilinear:
    """A contraction, linear in each argument by itself (matmul, dot, convolve).

    ``transpose(cotangent, *args, **attrs)`` maps back to this argument.
    """

    transpose: Callable[..., Any]


@dataclass(frozen=True, slots=True, eq=False)
class Custom:
    """Push and pull written out: ``push(tangent, *args, out, **attrs)`` and likewise ``pull``.

    With ``reached`` the pull is told by ``support=`` where the cotangent can be non-zero at all:
    ``None`` (everywhere) or booleans. With ``joint`` the only edge of the primitive stands for all
    arguments and results at once: ``push(tangents, args, out, attrs)`` gives the tangent of the
    result and ``pull(cotangent, args, out, attrs)`` a cotangent for each argument, with ``None``
    for what is zero (or not there) on either side.
    """

    push: Callable[..., Any]
    pull: Callable[..., Any]
    reached: bool = False
    joint: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Flat:
    """No derivative flows: the output is constant between jumps, or the argument is a condition."""

    because: str


Edge = Scale | Mask | Linear | Bilinear | Custom | Flat
ELEMENTWISE = (Scale, Mask)


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """Where the primitive is defined: ``test(*args)`` elementwise, and the same in words."""

    test: Callable[..., Any]
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class Convention:
    """A point where the derivative does not exist (or is infinite), and what is used there.

    ``at(*args)`` is true there. ``says`` completes the sentence "relu at 0: …".
    """

    at: Callable[..., Any]
    where: str
    says: str


@dataclass(frozen=True, slots=True, eq=False)
class Notation:
    """How the primitive is written: the name of a function, or a template with ``{0}``, ``{1}``.

    Arithmetic has no templates: its signs and parentheses are the business of the printer.
    """

    text: str
    latex: str


@dataclass(frozen=True, slots=True, eq=False)
class Primitive:
    """One row of the rule book.

    Attributes:
        name: The rule-book name (NumPy's or SciPy's where they have one).
        evaluate: The value, on NumPy arrays: ``evaluate(*args, **attrs)``.
        edges: One edge per argument; the last repeats for primitives of any number of arguments.
        notation: How it is written, in text and in LaTeX.
        mpmath: The same function at any precision: ``mpmath(mp, *args)``.
        sympy: The same function for the simplifier: ``sympy(sp, *args)``.
        domain: Where it is defined, or ``None`` for everywhere.
        conventions: What is used where the derivative does not exist.
        analytic: Whether the complex-step method may be used on it.
        elementwise: Whether it acts on each element by itself (with broadcasting).
        structure: Which structure its Jacobian has, in a word (diagonal, matrix, selection, ...).
        axes: The attributes that name axes of the arguments (``axis``): an integer, a tuple of
            integers, or ``None`` for all of them.
        shapes: The attributes that are the shape of the result.
        stacked: How many trailing axes of each argument it acts on, the last number repeating, if
            all axes before them are a stack, as in ``np.linalg``; ``None`` if it is not so.
        batch: The row's own way of computing a whole batch, where the three declarations above do
            not say it: ``batch(row, size, args, batched, attrs)`` with the batch in front of the
            arguments that are ``batched``; returns the results with the batch in front.
        view: Whether NumPy's result shares memory with the argument, so that writing into one shows
            in the other.
        recorded: Whether a tape records it. Comparisons are not: they pick a branch, and their
            outcome is a plain array.
        ulps: Rounding error of ``evaluate`` in units of the last place, generously.
    """

    name: str
    evaluate: Callable[..., Any]
    edges: tuple[Edge, ...]
    notation: Notation
    mpmath: Callable[..., Any] | None = None
    sympy: Callable[..., Any] | None = None
    domain: Domain | None = None
    conventions: tuple[Convention, ...] = ()
    analytic: bool = False
    elementwise: bool = True
    structure: str = "diagonal"
    axes: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    stacked: tuple[int, ...] | None = None
    batch: Callable[..., Any] | None = None
    view: bool = False
    recorded: bool = True
    ulps: float = 1.0

    # What walking over a tape asks of every row, answered once.
    slopes: tuple[Any, ...] | None = field(init=False, default=None)  # partials and floats
    joint: Custom | None = field(init=False, default=None)
    picks: Linear | None = field(init=False, default=None)
    transposes: tuple[Callable[..., Any] | None, ...] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        first = self.edges[0] if self.edges else None
        if isinstance(first, Custom) and first.joint:
            object.__setattr__(self, "joint", first)
        if isinstance(first, Linear) and first.add_into is not None:
            object.__setattr__(self, "picks", first)
        if self.elementwise and all(isinstance(e, Scale) for e in self.edges):
            partials = [e.partial for e in self.edges if isinstance(e, Scale)]
            slopes = tuple(p if callable(p) else float(p) for p in partials)
            object.__setattr__(self, "slopes", slopes)
        if all(_has_transpose(e) for e in self.edges):
            transposes = tuple(getattr(e, "transpose", None) for e in self.edges)
            object.__setattr__(self, "transposes", transposes)

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def edge(self, position: int) -> Edge:
        """The edge from argument ``position`` to the output."""
        edges = self.edges
        return edges[position] if position < len(edges) else edges[-1]


def _has_transpose(edge: Edge) -> bool:
    """Whether a cotangent that reaches everywhere goes back by ``transpose`` and nothing else."""
    if isinstance(edge, Linear):
        return not edge.selects and not edge.positional
    return isinstance(edge, Bilinear | Flat)
