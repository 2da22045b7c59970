"""Samples for the property test of the rule book: one module per family, named as in ``rules/``.

A module says, in up to three tables, where its rows are tried:

``ELEMENTWISE``: row → the same function from elsewhere, and points inside its domain and away from
its kinks and jumps. An argument that is an ``int`` or ``bool`` in a point stays
one; floats are floats in every dtype.

``STRUCTURED``: row → the same function from elsewhere, and cases: arguments with attributes. Write
``structured(...)`` instead of the pair to say more about the row.

``CONVENTIONS``: row → for each of its conventions, a point (or a case) where it applies, and the
derivative used there with respect to each argument (of the sum of the result, if it is an array).
"""

import importlib
import itertools
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from chainrule.rules.shapes import split_index

INF, NAN = math.inf, math.nan

LINE = (-30.0, -2.5, -1.1, -0.3, -1e-3, 1e-6, 0.7, 2.0, 4.25, 25.0)
POSITIVE = (1e-8, 1e-3, 0.2, 0.9, 1.3, 7.5, 4e5)
NONZERO = (-20.0, -3.1, -0.8, -1e-3, 1e-5, 0.4, 1.7, 12.0)
BETWEEN = (-0.999, -0.75, -0.1, 1e-6, 0.3, 0.6, 0.99)
OUTSIDE = (-50.0, -2.5, -1.01, 1.001, 1.4, 6.0, 300.0)
STEPS = (-7.3, -1.2, -0.4, 0.3, 0.8, 12.6)
PAIRS = ((2.0, 3.0), (-1.5, 0.7), (0.3, -4.0), (-20.0, -0.01), (1e4, 2.5), (1e-3, 8.0))
LOGICAL = tuple(itertools.product((0.0, 2.0), repeat=2))
WILD = (1.0, INF, -INF, NAN)


def array(*shape: int) -> Any:
    """A reproducible array of distinct numbers of both signs, none of them 0."""
    count = math.prod(shape)
    return (np.random.default_rng(count).permutation(count) - count / 2 + 0.25).reshape(shape) / 3


@dataclass(frozen=True)
class Case:
    """Arguments and attributes of a row."""

    args: tuple[Any, ...]
    attrs: dict[str, Any]

    def __iter__(self):
        return iter((self.args, self.attrs))


@dataclass(frozen=True)
class Made:
    """An argument that cannot be moved freely: ``make(free)``, and what is moved is ``free``."""

    make: Callable[[Any], Any]
    free: Any


def case(*args: Any, **attrs: Any) -> Case:
    """One case of a structured row.

    An argument that has to be symmetric, positive definite, sorted and the like is written
    ``Made(make, free)``: ``make`` brings any numbers near ``free`` into that form. It is
    differentiated through, so it is written in NumPy with rows of the book.
    """
    return Case(args, attrs)


def indexed(x: Any, index: Any, **attrs: Any) -> Case:
    """A case of a row that takes an index: its arrays are arguments, the rest is an attribute."""
    template, arrays = split_index(index)
    return case(x, *arrays, index=template, **attrs)


FLOATS = (np.float16, np.float32)


@dataclass(frozen=True)
class Structured:
    """What the property test knows of a structured row; see ``structured``."""

    reference: Callable[..., Any]
    cases: tuple[Case, ...]
    analytic: bool = True
    dtypes: tuple[type, ...] = FLOATS
    rtol: float = 1e-13
    emptied: bool = True


def structured(
    reference: Callable[..., Any],
    cases: Any,
    analytic: bool = True,
    dtypes: tuple[type, ...] = FLOATS,
    rtol: float = 1e-13,
    emptied: bool = True,
) -> Structured:
    """The samples of a structured row.

    Args:
        reference: The same function from elsewhere: ``reference(*args, **attrs)``.
        cases: Arguments and attributes.
        analytic: Whether ``evaluate`` runs on complex numbers, so that the Jacobian is found by a
            complex step; else it is found by extrapolated differences (max, norm, cholesky, ...).
        dtypes: The narrow dtypes that it has to keep. NumPy's linear algebra has no float16.
        rtol: How closely the value agrees with the reference.
        emptied: Whether the cases are also tried with each axis at length 0, if the reference takes
            that. It cannot be done where attributes go with the shape of the arguments: then there
            is a case without elements among the cases.
    """
    return Structured(reference, tuple(cases), analytic, dtypes, rtol, emptied)


def modules() -> list[ModuleType]:
    """The modules of this package."""
    return [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]


def collected(table: str) -> dict[str, Any]:
    """The tables of this name from all modules in one.

    Raises:
        ValueError: Two modules have samples of the same row.
    """
    found: dict[str, Any] = {}
    for module in modules():
        more = getattr(module, table, {})
        if twice := found.keys() & more.keys():
            raise ValueError(f"{module.__name__}.{table} has rows again: {sorted(twice)}")
        found |= more
    return found


# mpmath takes long over the functions of these families.
LONG = ("bessel", "gamma", "integrals", "probability", "hypergeometric")


def of_long_families() -> set[str]:
    """The rows for which mpmath takes long: it is asked at fewer points."""
    return {
        name
        for module in modules()
        if module.__name__.rpartition(".")[2] in LONG
        for name in getattr(module, "ELEMENTWISE", {})
    }


def elementwise() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """``ELEMENTWISE`` of all families; every point is a tuple of arguments."""
    return {
        name: (reference, tuple(p if isinstance(p, tuple) else (p,) for p in points))
        for name, (reference, points) in collected("ELEMENTWISE").items()
    }


def all_structured() -> dict[str, Structured]:
    """``STRUCTURED`` of all families."""
    return {
        name: entry if isinstance(entry, Structured) else structured(*entry)
        for name, entry in collected("STRUCTURED").items()
    }
