"""One edge on which a cotangent that is not zero became zero, and why it did."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.chain.edges import factor, pull
from chainrule.chain.modes import values_of
from chainrule.diagnosis.budget import Arrival, Budget
from chainrule.diagnosis.causes import Cause, Finding
from chainrule.diagnosis.gains import arrays, kind_of, local, wide
from chainrule.diagnosis.naming import Names, number
from chainrule.graph.bundle import Bundle
from chainrule.graph.primitive import ELEMENTWISE, Bilinear, Mask
from chainrule.graph.tape import Traced
from chainrule.rules.reductions import spread


class DeadEdge:
    """An edge on which a cotangent that is not zero became zero.

    Attributes:
        cotangent: What arrived at the operation.
        moving: The elements of the argument that are asked about; all of them by default.
        reached: Which these are, in words.
    """

    def __init__(self, budget: Budget, names: Names, arrival: Arrival) -> None:
        self.budget, self.names = budget, names
        self.index, self.position = arrival.source, arrival.position
        self.record = budget.records[arrival.source]
        self.cotangent = budget.cotangents[arrival.source]
        self.moving: Any = True  # the elements of the argument that are asked about
        self.reached = ""  # which these are, in words

    def finding(self) -> Finding:
        """The cause, and what to say of it."""
        cause, says = self._cause()
        return Finding(cause, says, self.names.place(self.index), self.index)

    def _cause(self) -> tuple[Cause, str]:
        record, op = self.record, self.record.op
        assert op is not None
        several = (self.cotangent, record.args[self.position].value)
        if op.joint is not None or any(isinstance(x, Bundle) for x in several):
            return Cause.OPERATION, f"the derivative of {self._operation} is 0 here"
        if op.edge(self.position).__class__ in ELEMENTWISE:
            return self._elementwise()
        kink = self._kink(np.ones(np.shape(record.value), bool))
        if kink is not None:
            return Cause.KINK, kink
        scaled, sizes = self._again(lambda x: x), self._again(np.abs)
        if np.any(scaled != 0):
            return Cause.UNDERFLOW, self._underflow()
        if np.any(sizes != 0):
            return (
                Cause.CANCELLING,
                f"the terms that the gradient of {self._operation} adds up cancel",
            )
        if isinstance(op.edge(self.position), Bilinear):
            other = self.names.argument(self.index, 1 - self.position)
            return Cause.ZERO_WEIGHT, f"the other factor of {self._operation}, {other}, is 0"
        if op.name in ("softmax", "log_softmax"):
            return Cause.SATURATED, f"{self._operation} has reached 0 and 1, where its slope is 0"
        if op.name == "replace":
            return Cause.NOT_CONNECTED, f"an assignment overwrites {self._argument}"
        return Cause.NOT_CONNECTED, f"{self._operation} passes nothing on of {self._argument}"

    # ------------------------------------------------------------------------ elementwise edges

    def _elementwise(self) -> tuple[Cause, str]:
        record, position = self.record, self.position
        depends = self.budget.active.__contains__
        g = wide(self.cotangent)
        if record.op is not None and not record.op.elementwise:
            g = wide(spread(g, *values_of(record), **record.attrs))
        slope = np.broadcast_to(local(record, position, depends).product, g.shape)
        arrives = (g != 0) & self.moving
        if np.any(arrives & (slope != 0)):
            sums = g / np.max(np.abs(g)) * np.where(arrives, slope, 0.0)
            if np.shape(record.args[position].value) != g.shape and abs(np.sum(sums)) <= (
                1e-15 * np.sum(np.abs(sums))
            ):
                return (
                    Cause.CANCELLING,
                    f"the terms that the gradient of {self._operation} adds up cancel",
                )
            return Cause.UNDERFLOW, self._underflow()
        kind = kind_of(record, position, depends)
        if kind in ("weights", "constant", "averaging"):
            return self._zero_factor()
        kink = self._kink(arrives)
        if kink is not None:
            return Cause.KINK, kink
        if isinstance(record.op and record.op.edge(position), Mask):
            return self._masked(arrives)
        return self._flat_slope(arrives)

    def _masked(self, arrives: Any) -> tuple[Cause, str]:
        op, count = self.record.op, int(np.sum(arrives))
        assert op is not None
        if op.name == "clip":
            low, high = self.record.args[1], self.record.args[2]
            outside = f"outside [{_plain(low)}, {_plain(high)}]"
            which = f"all {count:,} values of {self._argument} lie" if count > 1 else (
                f"{self._argument} lies"
            )  # fmt: skip
            return Cause.CLIPPED, f"{which} {outside}, where clip passes no gradient"
        many = f"none of the {count:,} values" if count > 1 else "nothing"
        return Cause.DEAD_MASK, f"{self._operation} passes {many} of {self._argument}{self.reached}"

    def _zero_factor(self) -> tuple[Cause, str]:
        other = self.record.args[1 - self.position]
        name = self.names.argument(self.index, 1 - self.position)
        if not isinstance(other, Traced) and np.shape(other) != () and np.any(other):
            return Cause.DEAD_MASK, f"{name} in {self._operation} is 0 wherever a gradient arrives"
        return Cause.ZERO_WEIGHT, f"the other factor of {self._operation}, {name}, is 0"

    def _flat_slope(self, arrives: Any) -> tuple[Cause, str]:
        """A slope of exactly zero: flat at a point, flat for good, or too small for the dtype."""
        record = self.record
        out = np.broadcast_to(np.asarray(record.value), arrives.shape) if (
            record.op is not None and record.op.elementwise
        ) else np.zeros(arrives.shape)  # fmt: skip
        x = np.broadcast_to(np.asarray(record.args[self.position].value), arrives.shape)
        at = np.unravel_index(np.argmax(arrives), arrives.shape)
        where = self.names.slope_at(self.index, x[at])
        if self._curved(arrives):
            return Cause.STATIONARY, f"{where} = 0: {self._argument} is where the slope is 0"
        if np.all(out[arrives] == 0):
            return Cause.UNDERFLOW, (
                f"{self._operation} of {self._argument} = {number(x[at])} underflows to 0 in "
                f"{record.dtype}, and its slope with it"
            )
        return Cause.SATURATED, (
            f"{where} rounds to 0 in {record.dtype}: {self._operation} is saturated to the last bit"
        )

    def _curved(self, arrives: Any) -> bool:
        """Whether the slope is zero at the point alone, and not a little before and behind it."""
        record, position = self.record, self.position
        op, args = record.op, list(values_of(record))
        assert op is not None
        edge, x = op.edge(position), np.asarray(args[position])
        if not op.elementwise:
            return bool(np.ptp(x) == 0) if x.size else False
        assert isinstance(edge, ELEMENTWISE)
        for side in (-1, 1):
            args[position] = (x + side * np.maximum(np.abs(x), 1) * 2.0**-7).astype(x.dtype)[()]
            with np.errstate(all="ignore"):
                out = op.evaluate(*args, **record.attrs)
                slope = np.broadcast_to(factor(edge, tuple(args), out, record.attrs), arrives.shape)
            if not np.any(np.nan_to_num(slope)[arrives] != 0):
                return False
        return True

    # --------------------------------------------------------------------------------- readings

    def _kink(self, arrives: Any) -> str | None:
        """The convention that gives 0 here, if all that arrives is at its point."""
        op = self.record.op
        assert op is not None
        for convention in op.conventions:
            with np.errstate(all="ignore"):
                try:
                    at = np.asarray(convention.at(*values_of(self.record), **self.record.attrs))
                except (TypeError, ValueError):
                    continue
            if at.size and np.all(np.broadcast_to(at, at.shape)) and np.any(arrives):
                return f"{self._operation} at {convention.where}: {convention.says}"
        return None

    def _again(self, of: Any) -> Any:
        """What leaves, computed once more in float64 from numbers of about 1, or their sizes."""
        op, record = self.record.op, self.record
        assert op is not None

        def unit(x: Any) -> Any:
            x = of(wide(x))
            return x / (np.max(np.abs(x), initial=0.0) or 1.0)

        bilinear = isinstance(op.edge(self.position), Bilinear)
        args = tuple(
            unit(a) if bilinear and i != self.position
            else wide(a) if np.asarray(a).dtype.kind == "f" else a
            for i, a in enumerate(values_of(record))
        )  # fmt: skip
        out = wide(record.value)
        with np.errstate(all="ignore"):
            found = pull(
                op, self.position, args, out, record.attrs, (unit(self.cotangent), None), False
            )
        return np.zeros(()) if found is None else wide(found[0])

    def _underflow(self) -> str:
        largest = max(float(np.max(np.abs(a))) for a in arrays(self.cotangent))
        dtype = np.asarray(self.record.args[self.position].value).dtype
        return (
            f"at {self._operation} a gradient of {number(largest)} becomes smaller than the "
            f"smallest {dtype}, {number(np.finfo(dtype).smallest_subnormal)}"
        )

    @property
    def _operation(self) -> str:
        return self.names.operation(self.index)

    @property
    def _argument(self) -> str:
        return self.names.argument(self.index, self.position)


def _plain(value: Any) -> str:
    value = value.value if isinstance(value, Traced) else value
    return number(value) if np.ndim(value) == 0 else "…"
