"""Products of tangents with a known matrix that is mostly zeros: each is a sum of few terms.

A zero of the matrix takes the columns of a Jacobian apart: behind it they reach only elements whose
rows of the matrix have something where the columns are. Zero times an infinity would be NaN, so a
recording counts on the tangents being finite, and is made again when they are not.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.graph.operand import Attrs, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Traced, dtype_of, known, shape_of
from chainrule.rules.contractions import EINSUM
from chainrule.transforms.reach import product_letters

# Where no columns come apart, so few terms are added up faster than a whole row.
_FEW = 8
_SHARE = 4


@dataclass(frozen=True, slots=True)
class Sparse:
    """A contraction with a matrix that is mostly zeros, over one axis.

    Attributes:
        matrix: The known factor, its summed axis last.
        axis: The summed axis of the other factor.
        inside: The letters of the other factor's other axes.
        own: Those of the matrix's other axes.
        out: Those of the result.
    """

    matrix: Any
    axis: int
    inside: str
    own: str
    out: str

    @property
    def is_thin(self) -> bool:
        """Whether the terms are so few that it pays to add up these alone."""
        most = int(np.count_nonzero(self.matrix, -1).max())
        return most <= min(_FEW, int(self.matrix.shape[-1]) // _SHARE)

    def pattern(self, args: Sequence[Any], position: int) -> Any:
        """Where the known factor is not zero, as numbers, in the place of that factor."""
        return np.where(args[1 - position] == 0, 0.0, 1.0)

    def terms(self, wanted: Any = True) -> tuple[Any, Any]:
        """For each row of the matrix, the places of its terms, as many for each, and the factors.

        Args:
            wanted: Where a factor counts, for each of some stacked products; everywhere if not
                given. The places are the same for all of them.
        """
        counts = (self.matrix != 0) & wanted
        needed = counts if counts.ndim == self.matrix.ndim else counts.any(0)
        width = max(1, int(needed.sum(-1).max()))
        places = np.argsort(~needed, axis=-1, kind="stable")[..., :width]
        factors = np.take_along_axis(self.matrix, places, -1)
        if needed is counts:
            return places, factors
        counted = np.take_along_axis(counts, places[None], -1)
        return places, np.where(counted, factors, np.zeros((), self.matrix.dtype))

    def subscripts(self, stacked: bool) -> str:
        """The contraction of what was picked at the places, and the factors."""
        row, term = [c for c in string.ascii_letters if c not in self.inside + self.own][:2]
        before, behind = self.inside[: self.axis], self.inside[self.axis :]
        if stacked:  # the axis was moved to the front, behind that of the stack
            left, right = f"{row}{self.own}{term}{self.inside}", f"{row}{self.own}{term}"
            return f"{left},{right}->{row}{self.out}"
        return f"{before}{self.own}{term}{behind},{self.own}{term}->{self.out}"

    def product(self, rows: Any, sources: Sequence[int], own: Any, others: Any) -> Any:
        """The contraction of each of some rows; ``None`` where terms would have to be taken apart.

        Args:
            rows: Stacked tangents.
            sources: Of which of these each row of the result is made.
            own: For each row of the result, where its tangent may be non-zero.
            others: For each, where that which it is made of belongs to other rows.
        """
        mine, theirs = (
            np.moveaxis(part, 1 + self.axis, 1)
            .reshape(len(own), part.shape[1 + self.axis], -1).any(2)
            for part in (own, others)
        )  # fmt: skip
        if (mine & theirs).any() or not assumed_finite(rows):
            return None
        apart = np.moveaxis(rows, 1 + self.axis, 1)
        stack = (1,) * (self.matrix.ndim - 1)
        found = []
        for first, count in _runs(sources):
            wanted = mine[first : first + count]
            places, factors = self.terms(wanted.reshape(count, *stack, -1))
            picked = apart[sources[first] : sources[first] + count][:, places]
            subscripts = {"subscripts": self.subscripts(stacked=True)}
            found.append(bind(EINSUM, (picked, factors), subscripts))
        return found[0] if len(found) == 1 else np.concatenate(found, 0)


def sparse_product(
    op: Primitive, position: int, args: tuple[Any, ...], attrs: Attrs
) -> Sparse | None:
    """The contraction of one argument with a matrix that is mostly zeros; ``None`` if it is none.

    Of each row of the matrix, no more than half is not zero.
    """
    letters, matrix = product_letters(op.name, args, attrs), args[1 - position]
    if letters is None or not isinstance(matrix, np.ndarray) or matrix.dtype.kind != "f":
        return None
    if matrix.dtype != dtype_of(args[position]):
        return None
    left, right, out = letters[position], letters[1 - position], letters[2]
    both = [c for c in left if c in right]
    if len(both) != 1 or both[0] in out or not matrix.size or not all(shape_of(args[position])):
        return None
    (summed,) = both
    matrix = np.moveaxis(matrix, right.index(summed), -1)
    if 2 * np.count_nonzero(matrix, -1).max() > matrix.shape[-1]:
        return None
    inside, own = (part.replace(summed, "") for part in (left, right))
    return Sparse(matrix, left.index(summed), inside, own, out)


def assumed_finite(x: Any) -> bool:
    """Whether an array has no NaN and no infinity, which a recording counts on from then on."""
    return bool(known(np.all(np.isfinite(x))))


def thinly_multiplied(records: Sequence[Traced]) -> Iterator[Traced]:
    """The records of a tape that are multiplied by a known matrix with very few terms in a row."""
    for record in list(records):
        op = record.op
        if op is None or op.name not in ("einsum", "matmul"):
            continue
        for position, x in enumerate(record.args):
            if type(x) is Traced and x.level == record.level:
                sparse = sparse_product(op, position, record.args, record.attrs)
                if sparse is not None and sparse.is_thin:
                    yield x


def _runs(sources: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where rows begin that follow each other, and how many do."""
    first = 0
    for k in range(1, len(sources) + 1):
        if k == len(sources) or sources[k] != sources[k - 1] + 1:
            yield first, k - first
            first = k
