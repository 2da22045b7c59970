"""SciPy's special functions that are not ufuncs: they work on traced values too.

``logsumexp`` and its like make plain arrays of their arguments before anything else, and NumPy has
no protocol by which an operand could answer that call. So each of these few functions gets a front:
its code object is replaced by one that looks for an operand among the arguments, and calls the
original, a function of its own now, if there is none.

Why the code and not the name in ``scipy.special``? ``from scipy.special import logsumexp`` may have
been executed long before, in the user's module or in a library, and holds the function itself. A
name can be replaced in one place only; the function is one object wherever it is held. It stays
that object: its name, its pickle and its documentation are as before, ``inspect`` finds the
signature and the source through ``__wrapped__``, as with any decorator, and what plain arguments
give is computed by SciPy's own code.

It happens when SciPy's module is there: now, if it is imported already, or at the moment when it
has been. SciPy is not imported for it.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.graph.operand import Operand, bind
from chainrule.rules.bessel import spherical
from chainrule.rules.gamma import BINOM, DIGAMMA, GAMMA, GAMMALN, POCH, POLYGAMMA
from chainrule.rules.reductions import log_softmax, logsumexp, softmax
from chainrule.rules.scipy_values import refuse_differentiated

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

MODULE = "scipy.special"


def _polygamma(n: Any, x: Any) -> Any:
    refuse_differentiated(n, "polygamma", "order")
    if isinstance(n, Operand):
        zeroth = np.equal(n, 0)
        return np.where(zeroth, bind(DIGAMMA, (x,)), bind(POLYGAMMA, (np.where(zeroth, 1, n), x)))
    n = np.asarray(n)
    if not np.any(n == 0):
        return bind(POLYGAMMA, (n[()], x))
    below = bind(DIGAMMA, (x,))
    if np.all(n == 0):
        return below if not n.ndim else below + np.zeros(n.shape)
    return np.where(n == 0, below, bind(POLYGAMMA, (np.maximum(n, 1), x)))


def _multigammaln(a: Any, d: Any) -> Any:
    """ln of the multivariate gamma function of dimension d."""
    if np.ndim(d) or int(d) != d:
        raise ValueError("d should be a positive integer (dimension)")
    total = d * (d - 1) / 4 * math.log(math.pi)
    for j in range(int(d)):
        total = total + bind(GAMMALN, (a - j / 2,))
    return total


def _factorial(n: Any, exact: bool = False, extend: str = "zero") -> Any:
    """Γ(n + 1), and 0 below 0."""
    if exact or extend != "zero":
        raise TypeError("factorial of a traced value takes exact=False and extend='zero' only")
    inside = np.greater(n, -1)
    return np.where(inside, bind(GAMMA, (np.where(inside, n, 0.0) + 1,)), 0.0)


def _chosen(n: Any, k: Any, count: Callable[[Any, Any], Any]) -> Any:
    """A number of choices: 0 where there are more to choose than there are."""
    possible = np.less_equal(k, n) & np.greater_equal(n, 0) & np.greater_equal(k, 0)
    return np.where(possible, count(np.where(possible, n, 1.0), np.where(possible, k, 1.0)), 0.0)


def _comb(N: Any, k: Any, *, exact: bool = False, repetition: bool = False) -> Any:
    if exact:
        raise TypeError("comb of a traced value takes exact=False only")
    if not repetition:
        return _chosen(N, k, lambda n, k: bind(BINOM, (n, k)))
    nothing = np.equal(k, 0) & np.greater_equal(N, 0)
    return np.where(nothing, 1.0, bind(BINOM, (np.where(nothing, 1.0, N + k - 1), k)))


def _perm(N: Any, k: Any, exact: bool = False) -> Any:
    if exact:
        raise TypeError("perm of a traced value takes exact=False only")
    return _chosen(N, k, lambda n, k: bind(POCH, (n - k + 1, k)))


FRONTS: dict[str, Callable[..., Any]] = {
    "logsumexp": logsumexp, "softmax": softmax, "log_softmax": log_softmax,
    "polygamma": _polygamma, "multigammaln": _multigammaln, "factorial": _factorial,
    "comb": _comb, "perm": _perm, "spherical_jn": spherical("j"), "spherical_yn": spherical("y"),
    "spherical_in": spherical("i"), "spherical_kn": spherical("k"),
}  # fmt: skip


def _code_of_front(name: str, free: tuple[str, ...] = ()) -> Any:
    """Code that may stand in SciPy's module: it names nothing but what it imports itself.

    A function that closes over ``free`` takes only code that does so too.
    """

    def front(*args: Any, **kwargs: Any) -> Any:
        from chainrule.rules.scipy_functions import called

        return called("name", args, kwargs)

    constants = tuple(name if c == "name" else c for c in front.__code__.co_consts)
    return front.__code__.replace(
        co_consts=constants, co_name=name, co_qualname=name, co_freevars=free
    )


_originals: dict[str, Callable[..., Any]] = {}


def called(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """One of the functions, for any arguments: the original, unless one of them is an operand."""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Operand):
            return FRONTS[name](*args, **kwargs)
    return _originals[name](*args, **kwargs)


def connect(special: ModuleType) -> None:
    """Give SciPy's functions their fronts, once."""
    for name in FRONTS:
        function = getattr(special, name, None)
        if name in _originals or not isinstance(function, FunctionType):
            continue
        code = function.__code__
        original = FunctionType(
            code, function.__globals__, function.__name__, function.__defaults__,
            function.__closure__,
        )  # fmt: skip
        functools.update_wrapper(original, function)
        del original.__dict__["__wrapped__"]
        original.__dict__.update(function.__dict__)
        original.__kwdefaults__ = function.__kwdefaults__
        _originals[name] = original
        function.__code__ = _code_of_front(name, code.co_freevars)
        function.__kwdefaults__ = None
        function.__wrapped__ = original  # type: ignore[attr-defined]


class _AfterImport:
    """Connects SciPy's functions as soon as their module has been imported, and is gone then."""

    def __init__(self) -> None:
        self.searching = False

    def find_spec(self, fullname: str, *_where: Any) -> ModuleSpec | None:
        """The module's own spec, with ``connect`` behind its loader."""
        if fullname != MODULE or self.searching:
            return None
        from importlib.util import find_spec

        self.searching = True
        try:
            spec = find_spec(fullname)
        finally:
            self.searching = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Connecting(spec.loader, self)  # type: ignore[assignment]
        return spec


class _Connecting:
    """A loader that connects what it has loaded."""

    def __init__(self, loader: Any, finder: _AfterImport) -> None:
        self.loader = loader
        self.finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the module's own loader."""
        created: ModuleType | None = self.loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader; afterwards everything is as if it had done it alone."""
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        connect(module)
        if self.finder in sys.meta_path:
            sys.meta_path.remove(self.finder)


if MODULE in sys.modules:
    connect(sys.modules[MODULE])
else:
    sys.meta_path.insert(0, _AfterImport())
