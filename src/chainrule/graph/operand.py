"""Where NumPy calls and Python operators on traced values arrive.

``Operand`` is the base of everything that stands for a value in a computation. It answers
``__array_ufunc__``, ``__array_function__`` and Python's operators by looking the function up in the
tables below and applying the primitive found there. The rule book fills the tables; nothing here
knows which primitives exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from chainrule.errors import NotDifferentiableError, TraceError
from chainrule.graph.primitive import Primitive

ARRAY = np.ndarray
Attrs = Mapping[str, Any]
NO_ATTRS: Attrs = {}

UFUNCS: dict[np.ufunc, Primitive] = {}
# By name, so that SciPy need not be imported to know its functions.
SCIPY_UFUNCS: dict[str, Primitive] = {}
FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
# The same by name, for those of modules that NumPy loads when they are first used.
NAMED_FUNCTIONS: dict[str, Callable[..., Any]] = {}
# What operands have as methods, once all rules are known.
METHODS: dict[str, Callable[..., Any]] = {}
# For attributes of arrays that an operand does not have: what to do instead.
ADVICE: dict[str, str] = {}
# Functions with ``like=``: called with the operand that a new array shall be like.
CREATORS: dict[Callable[..., Any], Callable[..., Any]] = {}
# By the method's name ("reduce", "outer", ..., or "__call__" with options): what it does with
# ``(ufunc, args, options)``; ``NotImplemented`` if it does not know this ufunc or option.
UFUNC_METHODS: dict[str, Callable[..., Any]] = {}
# What a call of a generalised ufunc (``np.vecdot``) does, and of ``np.matmul`` with options.
GENERALISED: dict[np.ufunc, Callable[..., Any]] = {}


class Operand:
    """A value in a computation: computes like a NumPy array, and every operation on it is noted.

    ``level`` orders computations nested in each other (``grad`` of ``grad``): an operation belongs
    to the innermost one among its arguments.
    """

    __slots__ = ("level",)
    __array_priority__ = 1000.0
    # An operand compares elementwise like an array, so (like an array) it cannot be a dict key.
    __hash__ = None  # type: ignore[assignment]

    level: int
    # Whether this stands for a value in general, not for one at a point.
    symbol = False

    def apply(self, primitive: Primitive, args: tuple[Any, ...], attrs: Attrs) -> Any:
        """Perform ``primitive`` where this operand lives."""
        raise NotImplementedError  # pragma: no cover - both subclasses define it

    @property
    def transparent(self) -> bool:
        """Whether the value may be looked at by ``concrete``."""
        return False

    def example(self) -> Any:
        """One plain value (or operand further out) of this shape and dtype."""
        raise NotImplementedError  # pragma: no cover - symbols are not staged

    def constant(self, value: Any) -> Any:
        """A plain array as a part of the same computation, to be assigned to."""
        return value

    def alias(self) -> Operand:
        """An object of its own for the same value: a later assignment moves only one of them."""
        return self

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs:
            primitive = UFUNCS.get(ufunc) or SCIPY_UFUNCS.get(ufunc.__name__)
            if primitive is not None:
                owner = self
                if len(args) > 1:
                    for arg in args:
                        if (
                            arg is not self
                            and type(arg) is not ARRAY
                            and isinstance(arg, Operand)
                            and arg.level > owner.level
                        ):
                            owner = arg
                return owner.apply(primitive, args, NO_ATTRS)
        return _uncommon_ufunc(ufunc, method, args, kwargs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        adapter = FUNCTIONS.get(function)
        if adapter is None and function in CREATORS:
            return CREATORS[function](self, *args, **kwargs)
        if adapter is None:
            adapter = NAMED_FUNCTIONS.get(f"{function.__module__}.{function.__name__}")
        if adapter is None:
            _no_rule(f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1))
        return adapter(*args, **kwargs)

    if TYPE_CHECKING:  # what subclasses define, and the methods that the rule book gives

        def __getattr__(self, name: str) -> Any: ...

    def __copy__(self) -> Any:
        return METHODS["copy"](self)

    def __deepcopy__(self, _memo: Any) -> Any:
        return METHODS["copy"](self)

    def refuse_leak(self) -> None:
        """An error where the function that made the value has returned."""

    def __array__(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        self.refuse_leak()
        if self.dtype.kind in "iub":
            raise TraceError(
                "a whole number of a batch or of a recorded loop cannot be stored in a plain NumPy "
                "array, nor be its index: it stands for many.\n"
                "Write np.take(table, i, axis=0) instead of table[i]."
            )
        raise TraceError(
            "a traced value cannot be stored in a plain NumPy array: its gradient would be lost.\n"
            "Make the array part of the computation: np.zeros_like(x) or np.zeros(n, like=x) of a "
            "traced x, np.array([u, v]) or np.stack([u, v]) of traced values."
        )

    def __float__(self) -> NoReturn:
        self.refuse_leak()
        raise TraceError(
            "float() of a traced value would lose its gradient.\n"
            "Use the value as it is, with NumPy's functions (np.sin, not math.sin). A number to "
            "look at, for a log, is float(cr.stop_gradient(x)).\n"
            "Storing it in a plain array does the same: make the array with np.zeros_like(x) or "
            "np.zeros(n, like=x) of a traced x."
        )

    __complex__ = __float__

    def __index__(self) -> int:
        raise TraceError(
            "a traced value is no whole number for Python to count with (range(n), an index of a "
            "list or of a plain array, a shape).\n"
            "Take elements with np.take(table, i). A number that is not differentiated does not "
            "have to be traced: leave it out of argnums and in_axes, or write int(n) where no "
            "vmap or recorded loop is around."
        )

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))  # type: ignore[index]


# There is no ``__getattr__`` that could do this: with one, Python looks up every attribute of every
# operand by name, which takes several times longer than finding it where it was the last time.
def missing(error: AttributeError) -> None:
    """Say of an attribute that an operand does not have what to write instead."""
    if isinstance(error.obj, Operand):
        error.args = (f"a traced value has no attribute {error.name!r}{_advice(str(error.name))}",)


def _advice(name: str) -> str:
    """What to write instead of an attribute: a function of NumPy's, if there is one so called."""
    function = None if name.startswith("_") else getattr(np, name, None)
    named = isinstance(function, np.ufunc) or function in FUNCTIONS
    return ADVICE.get(name, f".\nWrite np.{name}(x)." if named else "")


def bind(primitive: Primitive, args: tuple[Any, ...], attrs: Attrs = NO_ATTRS) -> Any:
    """Apply ``primitive`` in the innermost computation among ``args``, or just compute it."""
    owner = None
    for arg in args:
        if (
            type(arg) is not ARRAY
            and isinstance(arg, Operand)
            and (owner is None or arg.level > owner.level)
        ):
            owner = arg
    if owner is None:
        return primitive.evaluate(*args, **attrs)
    return owner.apply(primitive, args, attrs)


def concrete(value: Any) -> Any:
    """The value under every computation that ``value`` is part of: an array, or a graph node.

    What must not be looked at stays an operand: a batch, a value inside a staged loop.
    """
    while isinstance(value, Operand) and value.transparent:
        value = value.value
    return value


def symbolic(value: Any) -> bool:
    """Whether there is a symbol, not a number, under ``value``."""
    if not isinstance(value, Operand):
        return False
    below = concrete(value)
    return isinstance(below, Operand) and below.symbol


def _uncommon_ufunc(ufunc: np.ufunc, method: str, args: tuple[Any, ...], kwargs: Any) -> Any:
    """A ufunc's methods and options: reductions are functions, the rest has no rule."""
    adapter = UFUNC_METHODS.get(method)
    if adapter is not None:
        result = adapter(ufunc, args, kwargs)
        if result is not NotImplemented:
            return result
    if method == "reduce" and ufunc in FUNCTIONS:
        options = {"axis": 0} | {k: v for k, v in kwargs.items() if v is not np._NoValue}
        return FUNCTIONS[ufunc](*args, **options)
    if kwargs.get("out") is not None:
        raise refused_out(f"np.{ufunc.__name__}", kwargs["out"])
    if method == "__call__" and ufunc in GENERALISED:
        return GENERALISED[ufunc](*args, **kwargs)
    if kwargs:
        options_given = ", ".join(kwargs)
        raise TraceError(f"np.{ufunc.__name__} of a traced value does not take {options_given}.")
    return _no_rule(f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))


def refused_out(name: str, out: Any) -> TraceError:
    """The error for ``out=``, and for ``a += x`` of a plain array ``a``, which NumPy does by it."""
    targets = out if isinstance(out, tuple) else (out,)
    if any(isinstance(target, np.ndarray) for target in targets):
        return TraceError(
            f"{name} in place (a += x, or out=) would put a traced value into a plain array, and "
            "its gradient would be lost.\nMake the array part of the computation: np.zeros_like(x) "
            "or np.zeros(n, like=x) of a traced x; or assign the result to a new name: a = a + x."
        )
    return _overwrites(name)


def refuse_out(name: str, out: Any) -> None:
    """Raise if a function of NumPy, called by its name there, was given an ``out=``."""
    if out is not None:
        raise _overwrites(f"np.{name}")


def attribute_key(attribute: Any) -> Any:
    """An attribute as a part of a dictionary's key."""
    if isinstance(attribute, tuple):
        return tuple(map(attribute_key, attribute))
    if isinstance(attribute, slice):
        return slice, attribute.start, attribute.stop, attribute.step
    if isinstance(attribute, float):
        return attribute.hex()
    try:
        hash(attribute)
    except TypeError:
        return id(attribute)
    return type(attribute), attribute


def _overwrites(name: str) -> TraceError:
    return TraceError(
        f"{name}(..., out=...) overwrites a value that the derivative needs.\n"
        "Assign the result to a name instead."
    )


def _no_rule(name: str) -> NoReturn:
    raise NotDifferentiableError(
        f"{name} has no row in the rule book, so its derivative is not known.\n"
        "Write it with functions that have one (chainrule.rules.names() lists them), or add a row: "
        "see CONTRIBUTING.md."
    )
