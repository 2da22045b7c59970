"""Values of SciPy's special functions, which is imported when one is needed and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.errors import NotDifferentiableError
from chainrule.graph.operand import Operand, bind
from chainrule.graph.primitive import Primitive
from chainrule.graph.tape import Traced
from chainrule.rules.ufunc_methods import CALLS


def from_scipy(name: str, output: int | None = None, orders: int = 0) -> Callable[..., Any]:
    """``scipy.special``'s function of this name, in the dtype of its arguments.

    Args:
        name: The function.
        output: Which of its results, if it has several.
        orders: How many of the first arguments have no say in the dtype: whole orders.
    """

    def evaluate(*args: Any) -> Any:
        import scipy.special

        value = getattr(scipy.special, name)(*args)
        value = value if output is None else value[output]
        dtypes = [a.dtype for a in args[orders:] if hasattr(a, "dtype")]
        # SciPy has no half precision, and takes an integer order beside a float32 for a float64.
        floats = any(d.kind == "f" for d in dtypes)
        return value.astype(np.result_type(*dtypes), copy=False) if floats else value

    return evaluate


def takes_fixed(row: Primitive, *names: str, orders: int = 1, what: str = "order") -> None:
    """Connect SciPy's ufuncs of these names to a row whose first arguments have no derivative.

    That the derivative is not known is not the same as zero: a float that is being differentiated
    is refused there.
    """

    def call(*args: Any) -> Any:
        for arg in args[:orders]:
            refuse_differentiated(arg, names[0], what)
        return bind(row, args)

    for name in names:
        CALLS[name] = call


def refuse_differentiated(value: Any, name: str, what: str) -> None:
    """Refuse a float that is being differentiated in the place of an order or a parameter.

    Raises:
        NotDifferentiableError: It is one.
    """
    while isinstance(value, Operand):
        if isinstance(value, Traced) and value.dtype.kind == "f":
            raise NotDifferentiableError(
                f"the derivative of scipy.special.{name} with respect to its {what} is not known.\n"
                f"Pass the {what} as a number that does not depend on what is differentiated."
            )
        value = getattr(value, "value", getattr(value, "stack", None))
