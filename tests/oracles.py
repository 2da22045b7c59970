"""What derivatives are held against: oracles that know nothing of the rules.

mpmath at 30 and 50 digits, the complex step, and extrapolated differences with an estimate of their
own error. All of them look at values only.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import mpmath
import numpy as np

MP30, MP50 = mpmath.mp.clone(), mpmath.mp.clone()
MP30.dps, MP50.dps = 30, 50
EPS = float(np.finfo(np.float64).eps)
RATIO, DEEPEST, GOOD = 2.0, 6, 1e-10


def extrapolated(f: Callable[[Any], Any], starts: Iterable[Any]) -> tuple[Any, Any]:
    """The derivative of ``f(h)`` at h = 0: central differences, extrapolated to step 0.

    ``f`` may have an array as its value; every element of the result is found by itself. The first
    step is each of ``starts`` (which may be arrays too) until the result is good enough, and of all
    the extrapolations the one is taken whose neighbours agree best.

    Returns:
        The derivative, and an estimate of its error: how far the neighbours of the best entry are
        from it, and what rounding does to it.
    """
    here = np.asarray(f(0.0), float)
    best, error = np.full(here.shape, math.nan), np.full(here.shape, math.inf)
    with np.errstate(all="ignore"):
        for h in starts:
            before: list[Any] = []
            for step in range(DEEPEST):
                above, below = np.asarray(f(h), float), np.asarray(f(-h), float)
                rounding = 4 * EPS * np.maximum(np.abs(above), np.abs(below)) / np.abs(h)
                row = [(above - below) / (2 * h)]
                for j in range(step):
                    row.append(row[j] + (row[j] - before[j]) / (RATIO ** (2 * j + 2) - 1))
                    spread = np.maximum(abs(row[-1] - row[-2]), abs(row[-1] - before[j])) + rounding
                    better = spread <= error
                    best, error = np.where(better, row[-1], best), np.where(better, spread, error)
                before, h = row, h / RATIO
            if np.all(error <= GOOD * np.maximum(np.abs(best), 1.0)):
                break
    return best, error


def jacobian_by_complex_step(f: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Every column of the Jacobian of ``f``, outputs × inputs, and its error: none."""
    x = np.asarray(x)
    matrix = np.zeros((np.size(f(x[()])), x.size))
    for k in range(x.size):
        moved = x.astype(complex)
        moved.flat[k] += 1e-30j
        matrix[:, k] = np.ravel(np.imag(f(moved[()]))) / 1e-30
    return matrix, np.zeros(matrix.shape)


def jacobian_by_differences(f: Callable[[Any], Any], x: Any) -> tuple[Any, Any]:
    """Every column of the Jacobian of ``f``, outputs × inputs, and how far it may be off."""
    x = np.asarray(x, float)
    matrix = np.zeros((np.size(f(x[()])), x.size))
    errors = np.zeros(matrix.shape)
    for k in range(x.size):

        def along(h: Any, k: int = k) -> Any:
            moved = x.copy()
            moved.flat[k] += h
            return np.ravel(f(moved[()]))

        matrix[:, k], errors[:, k] = extrapolated(along, _starts(x.flat[k]))
    return matrix, errors


def along_direction(f: Callable[..., Any], args: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """The derivative of ``f`` along ``tangents`` by differences, and how far it may be off."""
    size = max((float(np.max(np.abs(t))) for t in tangents if np.size(t)), default=1.0)

    def moved(h: Any) -> Any:
        return f(*(a + h * t for a, t in zip(args, tangents, strict=True)))

    return extrapolated(moved, (0.02 / size, 0.002 / size))


def _starts(x: float) -> tuple[float, ...]:
    size = max(abs(x), 0.5)
    return 0.02 * size, 0.002 * size


def mp_function(mp: Any, row: Any, point: tuple[Any, ...], wrt: list[int]) -> Callable[..., Any]:
    """The row's own mpmath function with the arguments in ``wrt`` free."""
    fixed = [mp.mpf(p) if isinstance(p, float) else p for p in point]

    def f(*free: Any) -> Any:
        args = list(fixed)
        for i, value in zip(wrt, free, strict=True):
            args[i] = value
        return row.mpmath(mp, *args)

    return f


def mp_derivative(mp: Any, row: Any, point: tuple[Any, ...], i: int) -> Any:
    return mp.diff(mp_function(mp, row, point, [i]), mp.mpf(point[i]))


def mp_second(mp: Any, row: Any, point: tuple[Any, ...], i: int, j: int) -> Any:
    if i == j:
        return mp.diff(mp_function(mp, row, point, [i]), mp.mpf(point[i]), 2)
    at = (mp.mpf(point[i]), mp.mpf(point[j]))
    return mp.diff(mp_function(mp, row, point, [i, j]), at, (1, 1))


def off(actual: Any, expected: Any, floor: Any = 1e-3, allowed: Any = 0.0) -> float:
    """Largest error relative to the expected value (or to ``floor``, if that is larger).

    An error within ``allowed``, which is how far the expected value may be off, does not count.
    """
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    if not actual.size:
        return 0.0
    with np.errstate(all="ignore"):
        error = np.maximum(np.abs(actual - expected) - allowed, 0.0)
        error = error / np.maximum(np.abs(expected), floor)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


def shifted_layouts(x: Any) -> list[tuple[str, Any]]:
    """The same numbers in memory otherwise: Fortran order, strided, reversed, read-only."""
    x = np.asarray(x)
    if x.ndim == 0:
        return [("no dimensions", x)]
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1] + 1), x.dtype)
    wide[..., 1::2] = x
    backwards = np.ascontiguousarray(x[(slice(None, None, -1),) * x.ndim])
    locked = x.copy()
    locked.flags.writeable = False
    return [
        ("Fortran order", np.asfortranarray(x)),
        ("every second", wide[..., 1::2]),
        ("reversed", backwards[(slice(None, None, -1),) * x.ndim]),
        ("read-only", locked),
    ]
