"""The rule book: every primitive with its derivative, one row each, one file per family.

A row says the value, the edge from each argument to the output, how it is written, where it is
defined, and what is used at a point without a derivative. Both modes, higher orders, formulas in
text and LaTeX and the property tests all read the same row.
"""

from chainrule.rules import (
    arithmetic,
    exponential,
    hyperbolic,
    linear_algebra,
    piecewise,
    powers,
    reductions,
    shapes,
    special,
    trigonometric,
)
from chainrule.rules.book import BOOK

__all__ = [
    "BOOK",
    "arithmetic",
    "exponential",
    "hyperbolic",
    "linear_algebra",
    "names",
    "piecewise",
    "powers",
    "reductions",
    "shapes",
    "special",
    "trigonometric",
]


def names() -> list[str]:
    """The names of all rows, sorted.

    >>> from chainrule import rules
    >>> "tanh" in rules.names()
    True
    """
    return sorted(BOOK)
