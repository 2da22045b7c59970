"""The gain of one edge, in decades, split into parts that are each measured by a formula.

A cotangent ``g`` that crosses an edge becomes ``c = Aᵀg``, where ``A`` is the local derivative. The
edge's gain is ``log₁₀(‖c‖/‖g‖)``. ``docs/why.md`` states the formula of every part; none of them is
what remains when the others are subtracted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.chain.edges import factor, pull
from chainrule.chain.modes import values_of
from chainrule.graph.bundle import Bundle
from chainrule.graph.primitive import ELEMENTWISE, Bilinear, Linear, Mask, Scale
from chainrule.graph.tape import Traced
from chainrule.rules.reductions import spread
from chainrule.rules.shapes import sum_to

PARTS = (
    "slope",
    "weights",
    "constant",
    "averaging",
    "terms",
    "mask",
    "alignment",
    "paths",
    "operation",
    "rounding",
)
"""The parts of a gain, in the order in which they are shown."""

AT = {name: i for i, name in enumerate(PARTS)}
Parts = Any
"""An array of decades, one for each of ``PARTS``."""

# Below this, float64 itself has fewer digits, and products are rounded visibly.
_FEW_DIGITS = 1e-290
# From so many decades of cancellation on, what is left has few right digits.
_CANCELS = -6.0


def no_parts() -> Parts:
    """Parts of a gain of zero decades."""
    return np.zeros(len(PARTS))


def wide(value: Any) -> Any:
    """An array in float64, in which parts are measured whatever the computation's dtype."""
    return np.asarray(value, dtype=np.float64)


def arrays(value: Any) -> Iterator[Any]:
    """The arrays of a cotangent; a record of several results has several, or none."""
    if isinstance(value, Bundle):
        for part in value:
            if part is not None and np.asarray(part).dtype.kind == "f":
                yield wide(part)
    else:
        yield wide(value)


def log_norm(value: Any) -> float:
    """``log₁₀‖v‖``, also where squares would overflow or vanish; ``-inf`` for zero."""
    logs = [_log_norm(a) for a in arrays(value)]
    if len(logs) == 1:
        return logs[0]
    largest = max(logs, default=-math.inf)
    if not math.isfinite(largest):
        return largest
    return largest + 0.5 * math.log10(sum(10 ** (2 * (x - largest)) for x in logs))


def _log_norm(array: Any) -> float:
    largest = float(np.max(np.abs(array), initial=0.0))
    if largest == 0:
        return -math.inf
    if not math.isfinite(largest):
        return math.nan if math.isnan(largest) else math.inf
    scaled = array / largest
    return math.log10(largest) + 0.5 * math.log10(float(np.vdot(scaled, scaled)))


def _log_rms(array: Any) -> float:
    return _log_norm(array) - 0.5 * math.log10(max(array.size, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Diagonal:
    """The local derivative of elementwise operations, one or many in a row, by kinds of factors.

    Attributes:
        slope: The product of the slopes of functions (``tanh′``), an array or a number.
        weights: The product of the arrays that were multiplied with.
        constant: The product of constant numbers.
        averaging: The product of the 1/N.
        mask: The product of the weights of selections; ``None`` without one.
        inexact: Whether few of its digits are right: it was computed in a small dtype, or it is
            what is left of a sum whose terms cancel.
    """

    slope: Any = 1.0
    weights: Any = 1.0
    constant: float = 1.0
    averaging: float = 1.0
    mask: Any = None
    inexact: bool = False

    def after(self, first: Diagonal) -> Diagonal:
        """This, behind ``first`` on the way back."""
        mask = (
            self.mask if first.mask is None
            else first.mask if self.mask is None else first.mask * self.mask
        )  # fmt: skip
        return Diagonal(
            first.slope * self.slope, first.weights * self.weights,
            first.constant * self.constant, first.averaging * self.averaging, mask,
            first.inexact or self.inexact,
        )  # fmt: skip

    @property
    def product(self) -> Any:
        """The derivative itself."""
        whole = self.slope * self.weights * (self.constant * self.averaging)
        return whole if self.mask is None else np.where(self.mask == 0, 0.0, whole * self.mask)


def is_diagonal(record: Traced, position: int) -> bool:
    """Whether the edge is elementwise and nothing is repeated or summed on it."""
    op = record.op
    assert op is not None
    arg = record.args[position]
    return (
        op.elementwise
        and op.joint is None
        and isinstance(op.edge(position), ELEMENTWISE)
        and np.shape(arg.value) == np.shape(record.value)
    )


def kind_of(record: Traced, position: int, depends: Any) -> str:
    """Which part of a gain the factor on an elementwise edge is.

    Args:
        record: The operation.
        position: The argument that the edge leads to.
        depends: Whether a record depends on what the derivative is taken with respect to, by its
            index.
    """
    op = record.op
    assert op is not None
    edge = op.edge(position)
    if isinstance(edge, Mask):
        return "mask"
    if isinstance(edge, Scale) and not callable(edge.partial):
        return "constant"
    if op.name not in ("multiply", "divide") or (op.name == "divide" and position == 1):
        return "slope"
    other = record.args[1 - position]
    own = type(other) is Traced and other.level == record.level
    if own and depends(other.index):
        return "weights" if op.name == "multiply" else "slope"
    value = other.value if own else other
    if np.shape(value) != ():
        return "weights"
    if own and record.tape.records[other.index].op is None:
        return "weights"  # a number that was passed as an argument is one of the model's
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return "averaging" if op.name == "divide" and whole and value > 1 else "constant"


def local(record: Traced, position: int, depends: Any) -> Diagonal:
    """The factor on an elementwise edge, in the shape of the operation's result."""
    op, args, out = record.op, values_of(record), record.value
    assert op is not None
    edge = op.edge(position)
    assert isinstance(edge, ELEMENTWISE)
    if not op.elementwise:
        out = spread(out, *args, **record.attrs)
    with np.errstate(all="ignore"):
        weight = wide(factor(edge, args, out, record.attrs))
    kind = kind_of(record, position, depends)
    inexact = _is_small(record, position)
    if kind in ("constant", "averaging"):
        number = float(np.reshape(weight, -1)[0])
        return (
            Diagonal(constant=number, inexact=inexact) if kind == "constant"
            else Diagonal(averaging=number, inexact=inexact)
        )  # fmt: skip
    shape = np.shape(out)
    weight = weight if np.shape(weight) == shape else np.broadcast_to(weight, shape)
    if kind == "mask":
        return Diagonal(mask=weight, inexact=inexact)
    if kind == "slope":
        return Diagonal(slope=weight, inexact=inexact)
    return Diagonal(weights=weight, inexact=inexact)


def _is_small(record: Traced, position: int) -> bool:
    """Whether an operation or its argument is in float16 or float32."""
    return bool(min(record.dtype.itemsize, record.args[position].dtype.itemsize) < 8)


def diagonal_parts(
    diagonal: Diagonal, cotangent: Any, shape: tuple[int, ...], log_c: float
) -> Parts:
    """The parts of the gain of elementwise operations.

    Args:
        diagonal: The local derivative.
        cotangent: What arrives on the way back, in the shape of the result.
        shape: The shape of the argument, to which repeated elements are summed.
        log_c: ``log₁₀`` of the norm of what leaves.
    """
    parts = no_parts()
    g = wide(cotangent)
    g = g / np.max(np.abs(g))
    slope, weights, mask = (
        np.asarray(x) for x in (diagonal.slope, diagonal.weights, diagonal.mask)
    )
    usable = np.isfinite(slope) & np.isfinite(weights) & (weights != 0)
    if diagonal.mask is not None:
        usable = usable & (mask != 0)
    else:
        mask = np.ones(())
    usable = np.broadcast_to(usable, g.shape)
    everything = bool(usable.all())

    def passed(x: Any) -> Any:
        return np.broadcast_to(x, g.shape) if everything else np.broadcast_to(x, g.shape)[usable]

    there = g if everything else g[usable]
    relative = there / math.sqrt(float(np.vdot(there, there))) if np.any(there) else there
    parts[AT["mask"]] = 0.0 if everything else _log_norm(there) - _log_norm(g)
    for name, values in (("slope", slope), ("weights", weights), ("mask", mask)):
        if values.ndim == 0 and values == 1:
            continue
        here = passed(values)
        size = _log_rms(here)
        parts[AT[name]] += size
        if math.isfinite(size):
            relative = relative * (here * 10.0**-size if abs(size) < 290 else here / 10.0**size)
    parts[AT["constant"]] = math.log10(abs(diagonal.constant)) if diagonal.constant else -math.inf
    parts[AT["averaging"]] = math.log10(abs(diagonal.averaging))
    parts[AT["alignment"]] = _log_norm(relative)
    if shape != g.shape:
        exact = g * np.where(usable, diagonal.product, 0.0)
        parts[AT["alignment"]] += _left(sum_to(exact, shape), sum_to(np.abs(exact), shape))
        parts[AT["alignment"]] -= _log_norm(exact)
    if diagonal.inexact or _is_rounded(log_c, parts):
        parts[AT["rounding"]] = log_c - (log_norm(cotangent) + float(np.sum(parts)))
    return parts


def _left(result: Any, sizes: Any) -> float:
    """``log₁₀`` of the norm of sums, no smaller than rounding, given the sums of their sizes."""
    log = _log_norm(result)
    return log if log > -math.inf else _log_norm(sizes) + math.log10(np.finfo(float).eps)


def _is_rounded(log_c: float, parts: Parts) -> bool:
    """Whether what the tape computed and the same in other order may differ visibly in float64.

    That is so among the smallest numbers, and where terms cancel so far that what is left of them
    is mostly rounding.
    """
    return log_c < math.log10(_FEW_DIGITS) or parts[AT["alignment"]] < _CANCELS


def edge_parts(
    record: Traced, position: int, cotangent: Any, log_g: float, log_c: float, depends: Any
) -> Parts:
    """The parts of the gain of one edge of any kind.

    Args:
        record: The operation.
        position: The argument that the edge leads to.
        cotangent: What arrives at the operation on the way back.
        log_g: ``log₁₀`` of its norm.
        log_c: ``log₁₀`` of the norm of what leaves at the argument.
        depends: As in ``kind_of``.
    """
    op = record.op
    assert op is not None
    edge, shape = op.edge(position), np.shape(record.args[position].value)
    if op.joint is None and isinstance(edge, ELEMENTWISE):
        if op.elementwise:
            return diagonal_parts(local(record, position, depends), cotangent, shape, log_c)
        repeated = wide(spread(cotangent, *values_of(record), **record.attrs))
        parts = diagonal_parts(local(record, position, depends), repeated, shape, log_c)
        # Every result reaches many elements: what counts is the length of its row of slopes.
        parts[AT["mask" if isinstance(edge, Mask) else "slope"]] += _log_norm(repeated) - log_g
        return parts
    if op.joint is None and isinstance(edge, Bilinear):
        return _bilinear_parts(record, position, cotangent, log_g, log_c)
    if op.joint is None and isinstance(edge, Linear):
        found = _linear_parts(record, position, cotangent, log_g, log_c)
        if found is not None:
            return found
    parts = no_parts()
    parts[AT["operation"]] = log_c - log_g
    return parts


def _bilinear_parts(
    record: Traced, position: int, cotangent: Any, log_g: float, log_c: float
) -> Parts:
    """A contraction with an array: what a random cotangent would get, and how this one lies."""
    op, parts = record.op, no_parts()
    assert op is not None
    edge = op.edge(position)
    assert isinstance(edge, Bilinear)
    args = [wide(a) for a in values_of(record)]
    other = 1 - position
    largest = float(np.max(np.abs(args[other]), initial=0.0))
    scaled = args[other] / largest
    g = wide(cotangent)
    ones = np.ones(g.shape)

    def transposed(ct: Any, factor: Any) -> Any:
        placed = (args[0], factor) if position == 0 else (factor, args[1])
        return edge.transpose(ct, *placed, **record.attrs)

    squares = float(np.sum(transposed(ones, scaled**2)))  # ‖A‖² over largest²
    typical = math.log10(largest) + 0.5 * math.log10(squares / g.size)
    g = g / np.max(np.abs(g))
    exact = _log_norm(transposed(g, scaled))
    if exact == -math.inf:
        exact = _left(np.zeros(()), transposed(np.abs(g), np.abs(scaled)))
    gain = exact - _log_norm(g) + math.log10(largest)
    parts[AT["weights"]] = typical
    parts[AT["alignment"]] = gain - typical
    if _is_small(record, position) or _is_rounded(log_c, parts):
        parts[AT["rounding"]] = log_c - (log_g + gain)
    return parts


def _linear_parts(
    record: Traced, position: int, cotangent: Any, log_g: float, log_c: float
) -> Parts | None:
    """Sums, means, indexing, joining: matrices of zeros and ones (or 1/N)."""
    op, parts = record.op, no_parts()
    assert op is not None
    if isinstance(record.value, Bundle) or isinstance(record.args[position].value, Bundle):
        return None
    args = tuple(wide(a) if np.asarray(a).dtype.kind == "f" else a for a in values_of(record))
    out = np.shape(record.value)

    def transposed(ct: Any) -> Any:
        with np.errstate(all="ignore"):
            found = pull(op, position, args, np.zeros(out), record.attrs, (ct, None), False)
        return np.zeros(np.shape(args[position])) if found is None else wide(found[0])

    mean = op.structure == "row of 1/n"
    count = np.size(args[position]) / max(math.prod(out), 1) if mean else 1.0
    counts = transposed(np.ones(out)) * count
    if np.any(counts < 0) or np.any(counts != np.rint(counts)):
        return None
    ones = float(np.sum(counts))
    g = wide(cotangent)
    g = g / np.max(np.abs(g))
    typical = 0.5 * math.log10(ones / g.size) if ones else -math.inf
    parts[AT["terms" if typical > 0 else "mask"]] = typical
    parts[AT["averaging"]] = -math.log10(count)
    gain = _left(transposed(g), transposed(np.abs(g))) - _log_norm(g)
    parts[AT["alignment"]] = gain + math.log10(count) - typical
    if _is_small(record, position) or _is_rounded(log_c, parts):
        parts[AT["rounding"]] = log_c - (log_g + gain)
    return parts
