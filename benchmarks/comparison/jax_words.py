# ruff: noqa: ARG005  (calls take a namespace and arguments whether they need them or not)
"""NumPy's calls in JAX's words: no lists of numbers as arguments, no assignment in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as special
import numpy
from samples.functions import INDICES, M

STATIC = {"split", "array_split", "dsplit", "tensordot", "apply_over_axes", "matrix_power"}


def plain(x: Any) -> bool:
    """Whether it is a list of plain numbers, which NumPy would make an array of."""
    return isinstance(x, list) and all(
        plain(v) if isinstance(v, list) else isinstance(v, bool | int | float) for v in x
    )


class Words:
    """A module of JAX whose functions take lists of numbers, as NumPy's do."""

    def __init__(self, module: Any, also: dict[str, Any] | None = None) -> None:
        self._module, self._also = module, also or {}

    def __getattr__(self, name: str) -> Any:
        if name in self._also:
            return self._also[name]
        found = getattr(self._module, name)
        if not callable(found) or isinstance(found, type) or name in STATIC:
            return found

        def with_arrays(*args: Any, **options: Any) -> Any:
            args = tuple(numpy.asarray(a) if plain(a) else a for a in args)
            options = {k: numpy.asarray(v) if plain(v) else v for k, v in options.items()}
            return found(*args, **options)

        with_arrays.__dict__.update(
            {m: getattr(found, m) for m in ("reduce", "accumulate", "outer", "reduceat", "at")
             if hasattr(found, m)}
        )  # fmt: skip
        return with_arrays


SPECIAL = Words(
    special,
    {
        "psi": special.digamma,
        "loggamma": special.gammaln,
        "log_expit": jax.nn.log_sigmoid,
        "sinc": jnp.sinc,
        "cbrt": jnp.cbrt,
        "expm1": jnp.expm1,
        "log1p": jnp.log1p,
        "exp2": jnp.exp2,
    },
)
NAMESPACE = Words(
    jnp,
    {
        "special": SPECIAL,
        "linalg": Words(jnp.linalg),
        "fft": Words(jnp.fft),
        "fix": jnp.trunc,
        "add": jnp.add,
        "subtract": jnp.subtract,
        "multiply": jnp.multiply,
        "maximum": jnp.maximum,
        "minimum": jnp.minimum,
        "logaddexp": jnp.logaddexp,
        "vectorize": jnp.vectorize,
    },
)


def after(change: Callable[..., Any]) -> Callable[..., Any]:
    """What the calls that assign in place compute, by a function that returns the new array."""
    return lambda np, x, *others: change(x, *others) * x


FIRST = numpy.array([0, 2, 0])
OWN: dict[str, Any] = {
    "copyto": after(lambda x, y: jnp.where(M > 0, y, x)),
    "putmask": after(lambda x, y: jnp.where(M > 0, y, x)),
    "place": after(lambda x, y: jnp.place(x, M > 0, y, inplace=False)),
    "put": after(lambda x, y: jnp.put(x, numpy.array([0, 5, 7]), y[:3], inplace=False)),
    ".put": after(lambda x, y: jnp.put(x, numpy.array([0, 5, 7]), y[:3], inplace=False)),
    "put_along_axis": after(
        lambda x, y: jnp.put_along_axis(x, INDICES[:, None], y[:3, None], axis=1, inplace=False)
    ),
    "fill_diagonal": after(lambda x, y: jnp.fill_diagonal(x, y[0], inplace=False)),
    ".fill": after(lambda x, y: jnp.full_like(x, y[1])),
    ".sort": after(lambda x: x.sort(axis=1)),
    "add.at": after(lambda x, y: x.at[FIRST].add(y[:3])),
    "subtract.at": after(lambda x, y: x.at[FIRST].add(-y[:3])),
    ".choose": lambda np, x, y: (x > 0).astype(int).choose([x, y]),
    ".compress": lambda np, x: x.compress(numpy.array([True, False, True]), axis=0),
    ".take": lambda np, x: x.take(numpy.array([0, 2]), axis=1),
    ".searchsorted": lambda np, x: jnp.sort(x).searchsorted(numpy.array([0.0, 0.5])),
    "add.reduceat": lambda np, x: jnp.add.reduceat(x, numpy.array([0, 2, 1, 3])),
    "special.jn": lambda np, x: special.bessel_jn(x, v=2)[2],
    "special.jv": lambda np, x: special.bessel_jn(x, v=2)[2],
    "special.j0": lambda np, x: special.bessel_jn(x, v=1)[0],
    "special.j1": lambda np, x: special.bessel_jn(x, v=1)[1],
    "polydiv": lambda np, x, y: jnp.polydiv(x, y, trim_leading_zeros=True),
    "empty_like": lambda np, x: 0 * jnp.empty_like(x) + x,
}
