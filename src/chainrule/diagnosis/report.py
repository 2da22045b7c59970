"""What is said of a bad number: plain data, made by ``birth`` and shown by ``render.birth``."""

from __future__ import annotations

import linecache
from dataclasses import dataclass, field
from typing import Any, Literal

from chainrule.diagnosis.pairs import Item
from chainrule.display import Displayed
from chainrule.sources.names import Place


def code_at(place: Place) -> str | None:
    """The user's line, stripped; the statement's first line where the file cannot be read."""
    if place.file is None or place.line is None:
        return place.source
    return linecache.getline(place.file, place.line).strip() or place.source


@dataclass(frozen=True, slots=True)
class BadResult:
    """A result that is not finite.

    Attributes:
        kind: ``value``, ``gradient`` or ``tangent``.
        name: The leaf: ``result``, or the argument that the gradient belongs to.
        index: The first bad element.
        value: That element.
        count: How many elements are bad.
        size: How many there are.
    """

    kind: Literal["value", "gradient", "tangent"]
    name: str
    index: tuple[int, ...]
    value: float
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Birth:
    """Where bad numbers were made, or came in.

    Attributes:
        when: ``forward`` (computing values), ``backward`` (carrying cotangents), ``tangent``
            (carrying tangents), ``argument`` or ``constant`` (they came in).
        what: ``born`` of finite numbers, or infinities that ``turned`` into NaN; ``came`` in.
        operation: The rule-book name of the operation, or the name of the argument.
        pair: The numbers that made it: ``log(0)``, ``∞·0``.
        because: Why that is bad.
        value: The first bad number.
        index: Its place in the array.
        shape: The array's shape.
        count: How many elements are bad.
        items: The numbers that took part, by what they are.
        place: The user's file, line, statement and variable.
    """

    when: Literal["forward", "backward", "tangent", "argument", "constant"]
    what: Literal["born", "turned", "came"]
    operation: str
    pair: str
    because: str
    value: float
    index: tuple[int, ...]
    shape: tuple[int, ...]
    count: int
    items: tuple[Item, ...]
    place: Place

    @property
    def line(self) -> int | None:
        """The user's line."""
        return self.place.line


@dataclass(frozen=True, slots=True)
class Hider:
    """What kept the bad numbers, or the singular point, out of the value.

    Attributes:
        operation: The rule-book name of the operation.
        how: It does not ``select`` these elements; its ``value`` is finite all the same; or its
            ``slope`` is 0 there.
        says: That in words.
        place: Where it is written.
    """

    operation: str
    how: Literal["select", "value", "slope"]
    says: str
    place: Place


@dataclass(frozen=True, slots=True)
class Fix:
    """A change of the code that was tried out on the recorded run.

    Attributes:
        write: What to write.
        instead_of: What stands there now; ``None`` if it was not found in the source.
        place: Where.
        because: Why it helps.
    """

    write: str
    instead_of: str | None
    place: Place
    because: str


@dataclass(frozen=True, slots=True)
class Proof:
    """What the run with all fixes gave.

    Attributes:
        finite: Whether every value and derivative is finite now.
        values: The results of the function before and after, by the leaf's name.
        difference: The largest difference of an element that was finite before.
        unchanged: Whether every element that was finite is what it was, up to rounding.
        derivatives: The derivatives after the change, by the leaf's name.
    """

    finite: bool
    values: tuple[tuple[str, Any, Any], ...]
    difference: float
    unchanged: bool
    derivatives: tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class BadValues(Displayed):
    """Where the bad numbers of a call were born, what hid them, and what helps.

    Attributes:
        function: The function's name.
        transform: What was computed: ``grad``, ``vjp``, ``jvp``, ``jacobian``, ``jit``.
        supports: Whether derivatives had supports.
        results: The bad results; empty if everything is finite.
        birth: Where the first bad value was born; ``None`` if it could not be found.
        origins: What had made the values infinite, or NaN, that the derivative met there.
        later: What became of it on its way to the results.
        hidden_by: What kept it out of the value of the function.
        fixes: Changes of the code; together they were tried out.
        proof: What the run with the changes gave; ``None`` without fixes.
        note: What else has to be said.
    """

    function: str
    transform: str
    supports: bool
    results: tuple[BadResult, ...]
    birth: Birth | None = None
    origins: tuple[Birth, ...] = ()
    later: tuple[Birth, ...] = ()
    hidden_by: tuple[Hider, ...] = ()
    fixes: tuple[Fix, ...] = ()
    proof: Proof | None = None
    note: str | None = field(default=None)

    @property
    def finite(self) -> bool:
        """Whether nothing is wrong."""
        return not self.results

    def to_dict(self) -> dict[str, Any]:
        """Plain data for other programs."""
        from chainrule.render.birth import data

        found: dict[str, Any] = data(self)
        return found

    def to_text(self, width: int = 80) -> str:
        """The report as plain text."""
        from chainrule.render.birth import text

        return text(self, width)

    def to_markdown(self) -> str:
        """The report as Markdown."""
        from chainrule.render.birth import markdown

        return markdown(self)
