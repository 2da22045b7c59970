"""NumPy's polynomials: arrays of coefficients, the highest power first. Nothing here is a row.

``polymul`` and ``polydiv`` cut off leading zeros, so the shape of their result depends on values.
Where those are not known (inside vmap or a staged loop) the zeros stay: it is the same polynomial.
"""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np

from chainrule.errors import TraceError
from chainrule.graph.operand import Operand, concrete
from chainrule.graph.tape import dtype_of, shape_of
from chainrule.rules.book import numpy_function
from chainrule.rules.joining import at_least_1d, concatenate, gathered
from chainrule.rules.shapes import astype, broadcast_to, reshape, transpose


def _coefficients(name: str, p: Any) -> Any:
    """Coefficients as an array of one axis."""
    if isinstance(p, np.poly1d):
        raise TraceError(
            f"np.{name} of a traced value and an np.poly1d would have to be an np.poly1d, which "
            "holds plain numbers.\nPass its coefficients: p.coeffs."
        )
    p = at_least_1d(gathered(p))
    if np.ndim(p) != 1:
        raise ValueError("Polynomial must be 1d only.")
    return p


def _filled_up(p: Any, length: int) -> Any:
    """Zeros in front, so that there are ``length`` coefficients."""
    missing = length - np.size(p)
    return concatenate([np.zeros(missing, dtype_of(p)), p]) if missing > 0 else p


def _without_leading_zeros(p: Any) -> Any:
    """As ``np.poly1d`` keeps its coefficients."""
    values = concrete(p)
    if isinstance(values, Operand):
        return p
    first = int(np.argmax(np.append(values != 0, True)))
    return p[min(first, np.size(p) - 1) :] if first else p


@numpy_function(np.polyval)
def _polyval(p: Any, x: Any) -> Any:
    """Horner's scheme."""
    p = gathered(p.coeffs if isinstance(p, np.poly1d) else p)
    if isinstance(x, np.poly1d):
        _coefficients("polyval", x)
    x = gathered(x)
    if np.ndim(p) == 0:
        raise TypeError("iteration over a 0-d array")
    shape = np.broadcast_shapes(shape_of(x), shape_of(p)[1:])
    count = shape_of(p)[0]
    if not count:
        return np.zeros_like(x)
    dtype = np.result_type(dtype_of(x), dtype_of(p))
    y = broadcast_to(astype(p[0], dtype), shape)
    for k in range(1, count):
        y = y * x + p[k]
    return y


@numpy_function(np.polyadd)
def _polyadd(a1: Any, a2: Any) -> Any:
    a1, a2 = (_coefficients("polyadd", a) for a in (a1, a2))
    length = max(np.size(a1), np.size(a2))
    return _filled_up(a1, length) + _filled_up(a2, length)


@numpy_function(np.polysub)
def _polysub(a1: Any, a2: Any) -> Any:
    a1, a2 = (_coefficients("polysub", a) for a in (a1, a2))
    length = max(np.size(a1), np.size(a2))
    return _filled_up(a1, length) - _filled_up(a2, length)


@numpy_function(np.polymul)
def _polymul(a1: Any, a2: Any) -> Any:
    a1, a2 = (_without_leading_zeros(_coefficients("polymul", a)) for a in (a1, a2))
    return np.convolve(a1, a2)


@numpy_function(np.polyder)
def _polyder(p: Any, m: int = 1) -> Any:
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    p = _coefficients("polyder", p)
    for _ in range(m):
        p = p[:-1] * np.arange(np.size(p) - 1, 0, -1)
    return p


@numpy_function(np.polyint)
def _polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    m = operator.index(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = np.zeros(m) if k is None else at_least_1d(gathered(k))
    if np.size(constants) == 1 and m > 1:
        constants = broadcast_to(constants, (m,))
    if np.size(constants) < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    p = _coefficients("polyint", p)
    for i in range(m):
        p = concatenate([p / np.arange(np.size(p), 0, -1), constants[i : i + 1]])
    return p


@numpy_function(np.poly)
def _poly(seq_of_zeros: Any) -> Any:
    """The coefficients of Π (x − root)."""
    roots = at_least_1d(gathered(seq_of_zeros))
    if np.ndim(roots) != 1:
        raise TraceError(
            "np.poly of a traced matrix needs its eigenvalues, which may be complex.\n"
            "Pass the roots: np.poly(np.linalg.eigvalsh(a)) of a symmetric matrix."
        )
    if dtype_of(roots).kind != "f":
        roots = astype(roots, np.dtype(float))
    p = np.ones(1, dtype_of(roots))
    for i in range(np.size(roots)):
        ends = np.zeros(1, dtype_of(roots))
        p = concatenate([p, ends]) - concatenate([ends, p * roots[i]])
    return p if np.size(roots) else 1.0


@numpy_function(np.polydiv)
def _polydiv(u: Any, v: Any) -> tuple[Any, Any]:
    """The quotient and the remainder, by long division."""
    u, v = (_coefficients("polydiv", a) + 0.0 for a in (u, v))
    dtype = np.result_type(dtype_of(u), dtype_of(v))
    m, n = np.size(u) - 1, np.size(v) - 1
    scale = 1.0 / v[0]
    rest = astype(u, dtype)
    quotient = []
    for k in range(m - n + 1):
        factor = scale * rest[k]
        quotient.append(reshape(factor, (1,)))
        pieces = [rest[:k], rest[k : k + n + 1] - factor * v, rest[k + n + 1 :]]
        rest = concatenate(pieces)
    while np.size(rest) > 1:
        leading = concrete(rest[0])
        if isinstance(leading, Operand) or not np.allclose(leading, 0, rtol=1e-14):
            break
        rest = rest[1:]
    return concatenate(quotient) if quotient else np.zeros(1, dtype), rest


@numpy_function(np.vander)
def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    x = gathered(x)
    if np.ndim(x) != 1:
        raise ValueError("x must be a one-dimensional array or sequence.")
    count = np.size(x) if N is None else operator.index(N)
    x = astype(x, np.result_type(dtype_of(x), int))
    powers = np.arange(count)
    powers = powers if increasing else powers[::-1]
    return np.power(x[:, None], powers.astype(dtype_of(x)))


@numpy_function(np.polyfit)
def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None,
    cov: Any = False,
) -> Any:  # fmt: skip
    """Least squares on columns of equal length, as NumPy does it."""
    order = operator.index(deg) + 1
    if order < 1:
        raise ValueError("expected deg >= 0")
    x, y = gathered(x) + 0.0, gathered(y) + 0.0
    if np.ndim(x) != 1:
        raise TypeError("expected 1D vector for x")
    if not np.size(x):
        raise TypeError("expected non-empty vector for x")
    if np.ndim(y) not in (1, 2):
        raise TypeError("expected 1D or 2D array for y")
    count = np.size(x)
    if shape_of(y)[0] != count:
        raise TypeError("expected x and y to have same length")
    if rcond is None:
        rcond = count * float(np.finfo(dtype_of(x)).eps)
    left, right = _vander(x, order), y
    if w is not None:
        w = gathered(w) + 0.0
        if np.ndim(w) != 1:
            raise TypeError("expected a 1-d array for weights")
        if np.size(w) != count:
            raise TypeError("expected w and y to have the same length")
        left = left * w[:, None]
        right = right * (w[:, None] if np.ndim(y) == 2 else w)
    scale = np.sqrt(np.sum(left * left, axis=0))
    left = left / scale
    c, misses, rank, values = np.linalg.lstsq(left, right, rcond)
    c = transpose(transpose(c) / scale)
    if full:
        return c, misses, rank, values, rcond
    if not isinstance(rank, Operand) and rank != order:
        message = "Polyfit may be poorly conditioned"
        warnings.warn(message, np.exceptions.RankWarning, stacklevel=2)
    if not cov:
        return c
    base = np.linalg.inv(np.matmul(transpose(left), left)) / np.outer(scale, scale)
    if cov != "unscaled":
        if count <= order:
            raise ValueError(
                "the number of data points must exceed order to scale the covariance matrix"
            )
        factor = misses / (count - order)
    else:
        factor = 1
    return c, (base if np.ndim(y) == 1 else base[:, :, None]) * factor
