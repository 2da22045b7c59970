"""The rule book: every primitive with its derivative, one row each, one file per family.

A row says the value, the edge from each argument to the output, how it is written, where it is
defined, and what is used at a point without a derivative. Both modes, higher orders, formulas in
text and LaTeX and the property tests all read the same row.
"""

from chainrule.graph.operand import METHODS, Operand
from chainrule.rules import (
    along_axes,
    arithmetic,
    arranging,
    assignment,
    averages,
    bessel,
    choosing,
    contractions,
    creation,
    cumulative,
    decompositions,
    diagonals,
    exponential,
    gamma,
    histograms,
    hyperbolic,
    integrals,
    joining,
    linear_algebra,
    norms,
    ordering,
    orthogonal,
    padding,
    piecewise,
    polynomials,
    powers,
    probability,
    reductions,
    repeating,
    scipy_functions,
    scipy_values,
    sets,
    shapes,
    solving,
    special,
    splitting,
    statistics,
    trigonometric,
    ufunc_methods,
    vectorizing,
    windows,
)
from chainrule.rules.book import BOOK

for _name, _method in METHODS.items():
    setattr(Operand, _name, _method)

__all__ = [
    "BOOK",
    "along_axes",
    "arithmetic",
    "arranging",
    "assignment",
    "averages",
    "bessel",
    "choosing",
    "contractions",
    "creation",
    "cumulative",
    "decompositions",
    "diagonals",
    "exponential",
    "gamma",
    "histograms",
    "hyperbolic",
    "integrals",
    "joining",
    "linear_algebra",
    "names",
    "norms",
    "ordering",
    "orthogonal",
    "padding",
    "piecewise",
    "polynomials",
    "powers",
    "probability",
    "reductions",
    "repeating",
    "scipy_functions",
    "scipy_values",
    "sets",
    "shapes",
    "solving",
    "special",
    "splitting",
    "statistics",
    "trigonometric",
    "ufunc_methods",
    "vectorizing",
    "windows",
]


def names() -> list[str]:
    """The names of all rows, sorted.

    >>> from chainrule import rules
    >>> "tanh" in rules.names()
    True
    """
    return sorted(BOOK)
