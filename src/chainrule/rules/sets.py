"""Sets: which values there are, which are in both, and which are in one only.

What a value is chosen by is a comparison, constant between its jumps. The values themselves are
elements of the arguments: of equal ones the first carries the derivative, as in ``np.unique``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.graph.operand import bind, concrete
from chainrule.rules.book import numpy_function
from chainrule.rules.joining import concatenate, gathered
from chainrule.rules.ordering import places, refuse_unknown
from chainrule.rules.shapes import ravel, reshape

ISIN = places("isin", lambda x, among, invert, kind: np.isin(x, among, False, invert, kind=kind))


@numpy_function(np.isin)
def _isin(
    element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False, *,
    kind: Any = None,
) -> Any:  # fmt: skip
    attrs = {"invert": bool(invert), "kind": kind}
    return bind(ISIN, (gathered(element), gathered(test_elements)), attrs)


def _flat(name: str, *arrays: Any) -> list[Any]:
    """The arrays flattened, if it is known what is in them."""
    refuse_unknown(name, *(found := [ravel(gathered(array)) for array in arrays]))
    return found


# ------------------------------------------------------------------------------ one array's values


def _firsts(x: Any) -> tuple[Any, Any, Any]:
    """Of each different value in order: the first place, which ones are it, and how many."""
    return np.unique(
        concrete(x), return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )[1:]


@numpy_function(np.unique_all)
def _unique_all(x: Any) -> Any:
    (flat,) = _flat("unique_all", x)
    first, inverse, counts = _firsts(flat)
    kind = type(np.unique_all(np.zeros(1)))
    return kind(flat[first], first, reshape(inverse, np.shape(x)), counts)


@numpy_function(np.unique_counts)
def _unique_counts(x: Any) -> Any:
    (flat,) = _flat("unique_counts", x)
    first, _, counts = _firsts(flat)
    return type(np.unique_counts(np.zeros(1)))(flat[first], counts)


@numpy_function(np.unique_inverse)
def _unique_inverse(x: Any) -> Any:
    (flat,) = _flat("unique_inverse", x)
    first, inverse, _ = _firsts(flat)
    return type(np.unique_inverse(np.zeros(1)))(flat[first], reshape(inverse, np.shape(x)))


@numpy_function(np.unique_values)
def _unique_values(x: Any) -> Any:
    """The values in the order in which NumPy finds them, which need not be increasing."""
    (flat,) = _flat("unique_values", x)
    first = _firsts(flat)[0]
    found = np.empty_like(first)
    found[np.argsort(np.unique_values(concrete(flat)), kind="stable")] = first
    return flat[found]


# ----------------------------------------------------------------------------------- of two arrays


@numpy_function(np.union1d)
def _union1d(ar1: Any, ar2: Any) -> Any:
    return np.unique(concatenate(_flat("union1d", ar1, ar2)))


@numpy_function(np.intersect1d)
def _intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    ar1, ar2 = _flat("intersect1d", ar1, ar2)
    common = np.intersect1d(concrete(ar1), concrete(ar2), assume_unique, return_indices=True)
    if return_indices:
        return ar1[common[1]], common[1], common[2]
    return ar1[common[1]]


@numpy_function(np.setdiff1d)
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    ar1, ar2 = _flat("setdiff1d", ar1, ar2)
    if not assume_unique:
        ar1, ar2 = np.unique(ar1), np.unique(ar2)
    return ar1[np.isin(concrete(ar1), concrete(ar2), invert=True)]


@numpy_function(np.setxor1d)
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    ar1, ar2 = _flat("setxor1d", ar1, ar2)
    if not assume_unique:
        ar1, ar2 = np.unique(ar1), np.unique(ar2)
    both = concatenate([ar1, ar2])
    values = concrete(both)
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    differ = ordered[1:] != ordered[:-1]
    alone = np.append(differ, True) & np.insert(differ, 0, True) if len(order) else order
    return both[order[alone]]
