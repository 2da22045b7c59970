"""How far rounding can have moved a float64 result: a running error bound.

Each step adds the rounding of its own operation to the errors it inherits, each multiplied by the
size of its local derivative (first-order error propagation; see N. J. Higham, *Accuracy and
Stability of Numerical Algorithms*, section 3.3). The local derivatives are handed in; this file
only adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from chainrule.graph.node import Node, ancestors
from chainrule.graph.rational import exactly

EPS = float(np.finfo(np.float64).eps)
# Below the normal numbers, rounding is absolute.
SMALLEST = float(np.finfo(np.float64).smallest_subnormal)
Slopes = Callable[[Node, tuple[Any, ...], Any], Sequence[float]]


def rounded(constant: Any) -> float:
    """How far a float is from the number that it is written as: 0.1 is not one tenth."""
    if np.ndim(constant) or not np.isfinite(constant):
        return 0.0
    return float(abs(exactly(constant) - Fraction(float(constant))))


def error_bounds(
    outputs: Sequence[Any], values: Mapping[int, Any], slopes: Slopes
) -> dict[int, float]:
    """A bound on the absolute rounding error of every node, to first order.

    Args:
        outputs: The nodes of interest.
        values: The float64 value of every node they depend on.
        slopes: The local derivatives of a node: ``slopes(node, args, value)``.
    """
    bounds: dict[int, float] = {}
    for node in ancestors(outputs):
        if node.op is None:
            bounds[node.index] = 0.0
            continue
        args = tuple(values[a.index] if isinstance(a, Node) else a for a in node.args)
        value = values[node.index]
        incoming = [bounds[a.index] if isinstance(a, Node) else rounded(a) for a in node.args]
        inherited = sum(
            abs(slope) * bound
            for slope, bound in zip(slopes(node, args, value), incoming, strict=True)
            if bound and slope != 0  # what a choice does not take may be unbounded
        )
        own = max(EPS * abs(float(value)), SMALLEST)
        bounds[node.index] = float(inherited + node.op.ulps * own)
    return bounds
