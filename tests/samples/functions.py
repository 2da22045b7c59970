"""One call, or a few, of every function of NumPy and SciPy that a traced value may meet.

The calls are data: a function written over a namespace ``np`` (with SciPy's special functions as
``np.special``) and its inputs, so that the same table can be run on other libraries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

from samples import array


@dataclass(frozen=True)
class Call:
    """A call of a function.

    Attributes:
        function: Where it is found in the namespace: ``"linalg.inv"``, or ``"add.reduce"`` for a
            method of a ufunc, or ``".sum"`` for a method of arrays.
        call: The call, written over a namespace: ``call(np, *inputs)``.
        inputs: What to differentiate with respect to.
        flat: Why there is no derivative, if there is none: the result is then a plain value.
        vmap: Whether it can be batched: not if the shape of the result depends on values.
        refused: Words of the error, if a traced value is refused on purpose.
    """

    function: str
    call: Callable[..., Any]
    inputs: tuple[Any, ...]
    flat: str = ""
    vmap: bool = True
    refused: str = ""

    def __str__(self) -> str:
        return self.function


CALLS: list[Call] = []


def call(function: str, how: Callable[..., Any], *inputs: Any, **facts: Any) -> None:
    CALLS.append(Call(function, how, inputs, **facts))


def spread_out(*shape: int) -> Any:
    """Distinct numbers of both signs between −2 and 2, away from 0 and from halves."""
    count = int(numpy.prod(shape))
    order = numpy.random.default_rng(count + 1).permutation(count)
    return ((order - count / 2 + 0.28) * (4 / max(count, 2)))[()].reshape(shape)


V, W, M, N, T = spread_out(5), array(5) * 0.7, spread_out(3, 4), array(3, 4) * 0.3, array(2, 3, 4)
SQUARE, OTHER = spread_out(3, 3) + 2.5 * numpy.eye(3), array(3, 3) * 0.4
STACK = spread_out(2, 3, 3) + 2.5 * numpy.eye(3)
UNIT = numpy.array([-0.8, -0.3, 0.1, 0.45, 0.9])
PLUS = numpy.array([0.2, 0.7, 1.6, 2.3, 4.1])
HOLES = numpy.array([[False, True, False], [True, False, False]])
DEGREES = numpy.array([0, 1, 2, 5, 0])
INDICES = numpy.array([2, 0, 2])
# Why a traced value is refused.
NO_ROW, NO_COMPLEX = "no row", "complex"
NO_GRADIENT = "lose its gradient"
TRUTH, WHOLE, SHAPE = "a truth value", "whole numbers", "no values"

# --------------------------------------------------------------------------------- ufuncs, smooth

for _name in (
    "sin", "cos", "tan", "arctan", "sinh", "cosh", "tanh", "arcsinh", "exp", "exp2", "expm1",
    "square", "negative", "positive", "absolute", "fabs", "cbrt", "reciprocal",
    "deg2rad", "rad2deg", "degrees", "radians", "conjugate",
):  # fmt: skip
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), V)
for _name in ("arcsin", "arccos", "arctanh"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), UNIT)
for _name in ("log", "log2", "log10", "log1p", "sqrt"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), PLUS)
call("arccosh", lambda np, x: np.arccosh(x), PLUS + 1)
for _name in (
    "add", "subtract", "multiply", "divide", "arctan2", "hypot", "logaddexp", "logaddexp2",
    "maximum", "minimum", "fmax", "fmin", "copysign", "remainder",
):  # fmt: skip
    call(_name, lambda np, x, y, f=_name: getattr(np, f)(x, y), V, W)
call("fmod", lambda np, x, y: np.fmod(x, y), V, W)
call("power", lambda np, x, y: np.power(x, y), PLUS, W)
call("float_power", lambda np, x, y: np.float_power(x, y), PLUS, W)
call("ldexp", lambda np, x: np.ldexp(x, 3), V)
call("heaviside", lambda np, x, y: np.heaviside(x, y), V, W)
call("matmul", lambda np, a, b: np.matmul(a, b), M, N.T)
call("vecdot", lambda np, a, b: np.vecdot(a, b), M, N)
call("matvec", lambda np, a, b: np.matvec(a, b), M, N[0])
call("vecmat", lambda np, a, b: np.vecmat(a, b), N[:, 0], M)

# ----------------------------------------------------------------------------------- ufuncs, flat

for _name in ("sign", "floor", "ceil", "rint", "trunc"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), V * 3)
call("floor_divide", lambda np, x, y: np.floor_divide(x, y), V * 3, W)
call("divmod", lambda np, x, y: np.divmod(x, y), V, W)
call("modf", lambda np, x: np.modf(x), V * 3)
call("frexp", lambda np, x: np.frexp(x)[0], V)
for _name in ("less", "less_equal", "greater", "greater_equal", "equal", "not_equal"):
    call(_name, lambda np, x, y, f=_name: getattr(np, f)(x, y), V, W, flat=TRUTH)
for _name in ("logical_and", "logical_or", "logical_xor"):
    call(_name, lambda np, x, y, f=_name: getattr(np, f)(x > 0, y > 0), V, W, flat=TRUTH)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    call(_name, lambda np, x, y, f=_name: getattr(np, f)(x > 0, y > 0), V, W, flat=TRUTH)
for _name in ("isfinite", "isnan", "isinf", "signbit", "logical_not"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), V, flat=TRUTH)
call("invert", lambda np, x: np.invert(x > 0), V, flat=TRUTH)
call("spacing", lambda np, x: np.spacing(x), V)
call("nextafter", lambda np, x: np.nextafter(x, 9.0), V)

# ------------------------------------------------------------------------------ methods of ufuncs

call("add.reduce", lambda np, x: np.add.reduce(x), M)
call("add.reduce", lambda np, x: np.add.reduce(x, axis=None), M)
call("multiply.reduce", lambda np, x: np.multiply.reduce(x, axis=1), M)
call("maximum.reduce", lambda np, x: np.maximum.reduce(x, axis=1), M)
call("minimum.reduce", lambda np, x: np.minimum.reduce(x), M)
call("logaddexp.reduce", lambda np, x: np.logaddexp.reduce(x, axis=1), M)
call("add.accumulate", lambda np, x: np.add.accumulate(x, axis=1), M)
call("multiply.accumulate", lambda np, x: np.multiply.accumulate(x), M)
call("maximum.accumulate", lambda np, x: np.maximum.accumulate(x), M)
call("minimum.accumulate", lambda np, x: np.minimum.accumulate(x, axis=1), M)
call("add.outer", lambda np, x, y: np.add.outer(x, y), V, W)
call("subtract.outer", lambda np, x, y: np.subtract.outer(x, y), V, M)
call("multiply.outer", lambda np, x, y: np.multiply.outer(x, y), V, W)
call("add.reduceat", lambda np, x: np.add.reduceat(x, [0, 2, 1, 3]), V)

# ------------------------------------------------------------------------------------- reductions

for _name in ("sum", "mean", "prod", "std", "var", "max", "min", "amax", "amin", "ptp", "median",
              "nansum", "nanmean", "nanprod", "nanstd", "nanvar", "nanmax", "nanmin",
              "nanmedian"):  # fmt: skip
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), M)
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, axis=0), T)
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, axis=-1, keepdims=True), M)
for _name in ("nansum", "nanmean", "nanprod", "nanstd", "nanvar", "nanmax", "nanmin", "nanmedian"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(np.where(HOLES, np.nan, x)), array(2, 3))
call("std", lambda np, x: np.std(x, axis=(0, 2), ddof=1), T)
call("var", lambda np, x: np.var(x, axis=(0, 1), ddof=1), T)
call("average", lambda np, x: np.average(x, axis=1), M)
call("average", lambda np, x, w: np.average(x, weights=w), V, PLUS)
for _name in ("quantile", "nanquantile"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, 0.3), V)
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, [0.1, 0.65], axis=1), M)
for _name in ("percentile", "nanpercentile"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, 30.0, axis=0), M)
call("all", lambda np, x: np.all(x > -1, axis=0), M, flat=TRUTH)
call("any", lambda np, x: np.any(x > 1, axis=0), M, flat=TRUTH)
call("count_nonzero", lambda np, x: np.count_nonzero(x, axis=1), M, flat=WHOLE)
for _name in ("argmax", "argmin", "nanargmax", "nanargmin"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, axis=1), M, flat=WHOLE)
call("cov", lambda np, x: np.cov(x), M)
call("corrcoef", lambda np, x: np.corrcoef(x), M)

# ------------------------------------------------------------------------------------- cumulative

for _name in ("cumsum", "cumprod", "nancumsum", "nancumprod"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), M)
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, axis=1), M)
for _name in ("cumulative_sum", "cumulative_prod"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, axis=1), M)
    call(_name, lambda np, x, f=_name: getattr(np, f)(x, include_initial=True), V)
call("diff", lambda np, x: np.diff(x), M)
call("diff", lambda np, x: np.diff(x, 2, axis=0), M)
call("ediff1d", lambda np, x: np.ediff1d(x), V)
call("gradient", lambda np, x: np.gradient(x), V)
call("gradient", lambda np, x: np.gradient(x, 0.5, axis=1), M)
call("trapezoid", lambda np, y: np.trapezoid(y, dx=0.5), M)
call("trapezoid", lambda np, y, x: np.trapezoid(y, x), V, PLUS)

# --------------------------------------------------------------------------------------- ordering

call("sort", lambda np, x: np.sort(x), M)
call("sort", lambda np, x: np.sort(x, axis=None), M)
call("partition", lambda np, x: np.sort(np.partition(x, 2)[:3]), V)
call("argsort", lambda np, x: np.argsort(x, axis=0), M, flat=WHOLE)
call("argpartition", lambda np, x: np.sort(np.argpartition(x, 2)[:2]), V, flat=WHOLE)
call("searchsorted", lambda np, x: np.searchsorted(np.sort(x), [0.0, 0.5]), V, flat=WHOLE)
call("digitize", lambda np, x: np.digitize(x, [-1.0, 0.0, 1.0]), V, flat=WHOLE)
call("lexsort", lambda np, x, y: np.lexsort((x, y)), V, W, flat=WHOLE)
call("unique", lambda np, x: np.unique(x), V, vmap=False)
call("unique_values", lambda np, x: np.unique_values(x), V, vmap=False)
for _name in ("unique_counts", "unique_inverse", "unique_all"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), V, vmap=False)
call("union1d", lambda np, x, y: np.union1d(x, y), V, M[:2], vmap=False)
call("setdiff1d", lambda np, x: np.setdiff1d(x, x[1:3]), V, vmap=False)
call("setdiff1d", lambda np, x: np.setdiff1d(x, x[1:3], assume_unique=True), V, vmap=False)
call("setxor1d", lambda np, x, y: np.setxor1d(x, y), V, W, vmap=False)
call("intersect1d", lambda np, x: np.intersect1d(x, x[[3, 1]]), V, vmap=False)
call("isin", lambda np, x: np.isin(x, V[1:3]), V, flat=TRUTH)
call("isin", lambda np, x: np.isin(M, x, invert=True), M[0], flat=TRUTH)
call("nonzero", lambda np, x: np.nonzero(x > 0), V, flat=WHOLE, vmap=False)
call("flatnonzero", lambda np, x: np.flatnonzero(x > 0), V, flat=WHOLE, vmap=False)
call("argwhere", lambda np, x: np.argwhere(x > 0), M, flat=WHOLE, vmap=False)

# ------------------------------------------------------------------------------------------ pieces

call("where", lambda np, x, y: np.where(x > y, x * y, y), V, W)
call("clip", lambda np, x: np.clip(x, -1.0, 1.2), V)
call("clip", lambda np, x, lo, hi: np.clip(x, lo, hi), V, W - 2, W + 2)
call("round", lambda np, x: np.round(x, 1), V)
call("around", lambda np, x: np.around(x), V)
call("fix", lambda np, x: np.fix(x), V * 3)
call("nan_to_num", lambda np, x: np.nan_to_num(x), V)
call("abs", lambda np, x: np.abs(x), V)
call("real", lambda np, x: np.real(x), V)
call("imag", lambda np, x: np.imag(x), V)
call("real_if_close", lambda np, x: np.real_if_close(x), V)
call("angle", lambda np, x: np.angle(x), V)
call("sinc", lambda np, x: np.sinc(x), V)
call("i0", lambda np, x: np.i0(x), V)
call("interp", lambda np, x, f: np.interp(x, [-3.0, -1.0, 0.2, 1.0, 3.0], f), V * 0.9, W)
call("select", lambda np, x, y: np.select([x > 1, x > 0], [x * y, y], -x), V, W)
call("choose", lambda np, x, y: np.choose([0, 1, 1, 0, 1], [x, y]), V, W)
call("piecewise", lambda np, x: np.piecewise(x, [x < 0, x >= 0], [lambda t: t**2, np.sin]), V,
     vmap=False)  # fmt: skip
call("unwrap", lambda np, x: np.unwrap(x), V * 4)
call("isclose", lambda np, x, y: np.isclose(x, y), V, W, flat=TRUTH)
call("allclose", lambda np, x, y: np.allclose(x, y), V, W, flat=TRUTH, vmap=False)
call("array_equal", lambda np, x, y: np.array_equal(x, y), V, W, flat=TRUTH, vmap=False)
call("array_equiv", lambda np, x, y: np.array_equiv(x, y), V, W, flat=TRUTH, vmap=False)
call("isreal", lambda np, x: np.isreal(x), V, flat=TRUTH)
call("iscomplex", lambda np, x: np.iscomplex(x), V, flat=TRUTH)
call("isrealobj", lambda np, x: np.isrealobj(x), V, flat=TRUTH, vmap=False)
call("iscomplexobj", lambda np, x: np.iscomplexobj(x), V, flat=TRUTH, vmap=False)
call("isposinf", lambda np, x: np.isposinf(x), V, flat=TRUTH)
call("isneginf", lambda np, x: np.isneginf(x), V, flat=TRUTH)

# ----------------------------------------------------------------------------------------- shapes

call("reshape", lambda np, x: np.reshape(x, (4, -1)), M)
call("ravel", lambda np, x: np.ravel(x), M)
call("transpose", lambda np, x: np.transpose(x), M)
call("transpose", lambda np, x: np.transpose(x, (1, -1, 0)), T)
call("permute_dims", lambda np, x: np.permute_dims(x, (2, 0, 1)), T)
call("matrix_transpose", lambda np, x: np.matrix_transpose(x), T)
call("swapaxes", lambda np, x: np.swapaxes(x, 0, -1), T)
call("moveaxis", lambda np, x: np.moveaxis(x, 0, -1), T)
call("moveaxis", lambda np, x: np.moveaxis(x, (0, 1), (-1, 0)), T)
call("rollaxis", lambda np, x: np.rollaxis(x, 2), T)
call("expand_dims", lambda np, x: np.expand_dims(x, (0, -1)), M)
call("squeeze", lambda np, x: np.squeeze(x), V[None, :, None])
call("squeeze", lambda np, x: np.squeeze(x, axis=-1), V[None, :, None])
call("broadcast_to", lambda np, x: np.broadcast_to(x, (2, 3, 5)), V)
call("broadcast_arrays", lambda np, x, y: np.broadcast_arrays(x, y), V, W[:3, None])
call("atleast_1d", lambda np, x: np.atleast_1d(x), numpy.float64(1.5))
call("atleast_2d", lambda np, x: np.atleast_2d(x), V)
call("atleast_3d", lambda np, x: np.atleast_3d(x), M)
call("flip", lambda np, x: np.flip(x), M)
call("flip", lambda np, x: np.flip(x, axis=(0,)), M)
call("fliplr", lambda np, x: np.fliplr(x), M)
call("flipud", lambda np, x: np.flipud(x), M)
call("roll", lambda np, x: np.roll(x, 2), M)
call("roll", lambda np, x: np.roll(x, (1, -1), axis=(0, 1)), M)
call("rot90", lambda np, x: np.rot90(x), M)
call("rot90", lambda np, x: np.rot90(x, 3, axes=(1, 2)), T)
call("tile", lambda np, x: np.tile(x, (2, 1, 3)), M)
call("repeat", lambda np, x: np.repeat(x, 2), M)
call("repeat", lambda np, x: np.repeat(x, [1, 0, 2], axis=0), M)
call("pad", lambda np, x: np.pad(x, 2), M)
call("pad", lambda np, x: np.pad(x, ((1, 0), (2, 3)), constant_values=1.5), M)
call("pad", lambda np, x: np.pad(x, ((1, 0), (2, 3)), mode="edge"), M)
call("pad", lambda np, x: np.pad(x, 2, mode="reflect"), M)
call("pad", lambda np, x: np.pad(x, 2, mode="symmetric"), M)
call("pad", lambda np, x: np.pad(x, 2, mode="wrap"), M)
call("resize", lambda np, x: np.resize(x, (3, 7)), M)
call("trim_zeros", lambda np, x: np.trim_zeros(np.where(np.abs(x) > 1, x, 0.0)), V, vmap=False)
call("trim_zeros", lambda np, x: np.trim_zeros(x * [0.0, 0.0, 1.0, 0.0, 1.0], "f"), V, vmap=False)
call("copy", lambda np, x: np.copy(x), M)
call("diag", lambda np, x: np.diag(x), M)
call("diag", lambda np, x: np.diag(x, 1), V)
call("diagflat", lambda np, x: np.diagflat(x, -1), V)
call("diagonal", lambda np, x: np.diagonal(x, 1, 0, 2), T)
call("trace", lambda np, x: np.trace(x), M)
call("trace", lambda np, x: np.trace(x, 1, 1, 2), T)
call("tril", lambda np, x: np.tril(x, 1), M)
call("triu", lambda np, x: np.triu(x, -1), T)
call("meshgrid", lambda np, x, y: np.meshgrid(x, y), V, W[:3])
call("meshgrid", lambda np, x, y: np.meshgrid(x, y, indexing="ij"), V, W[:3])
call("vander", lambda np, x: np.vander(x, 4), V)
call("vander", lambda np, x: np.vander(x, increasing=True), numpy.append(V, 0.0))
call("astype", lambda np, x: np.astype(x, np.float64), V)
for _name in ("zeros_like", "ones_like"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), M)
call("empty_like", lambda np, x: 0 * np.nan_to_num(np.empty_like(x)) + x, M)
call("full_like", lambda np, x: np.full_like(x, 2.5), M)
for _name in ("shape", "ndim", "size"):
    call(_name, lambda np, x, f=_name: getattr(np, f)(x), M, flat=SHAPE, vmap=False)
call("result_type", lambda np, x: np.zeros(2, np.result_type(x)), M, flat=SHAPE, vmap=False)

# --------------------------------------------------------------------------------------- indexing

call("take", lambda np, x: np.take(x, [[0, 3], [3, 3]]), V)
call("take", lambda np, x: np.take(x, INDICES, axis=1), M)
call("take_along_axis", lambda np, x: np.take_along_axis(x, INDICES[:, None], axis=1), M)
call("compress", lambda np, x: np.compress([True, False, True], x, axis=0), M)
call("extract", lambda np, x: np.extract(M > 0, x), M)
call("delete", lambda np, x: np.delete(x, [0, 2], axis=1), M)
call("delete", lambda np, x: np.delete(x, 1), M)
call("insert", lambda np, x, y: np.insert(x, 1, y, axis=1), M, N[:, 0])
call("append", lambda np, x, y: np.append(x, y), M, V)
call("append", lambda np, x, y: np.append(x, y, axis=0), M, N)
call("bincount", lambda np, w: np.bincount([0, 1, 1, 4, 0], weights=w), V)

# ---------------------------------------------------------------------------- joining, splitting

for _name in ("concatenate", "vstack", "hstack", "dstack", "column_stack", "stack"):
    call(_name, lambda np, x, y, f=_name: getattr(np, f)([x, y]), M, N)
call("concatenate", lambda np, x, y: np.concatenate((x, y, x), axis=1), M, M[:, :2])
call("concatenate", lambda np, x, y: np.concatenate((x, y), axis=None), M, V)
call("stack", lambda np, x, y: np.stack((x, y), axis=-1), M, N)
call("vstack", lambda np, x, y: np.vstack([x, y]), V, W)
call("hstack", lambda np, x, y: np.hstack([x, y]), V, W)
call("column_stack", lambda np, x, y: np.column_stack([x, y]), V, W)
call("block", lambda np, x, y: np.block([[x, y], [y, x]]), M, N)
call("split", lambda np, x: np.split(x, 2, axis=1), M)
call("split", lambda np, x: np.split(x, [1, 3]), V)
call("array_split", lambda np, x: np.array_split(x, 3), V)
call("hsplit", lambda np, x: np.hsplit(x, 2), M)
call("vsplit", lambda np, x: np.vsplit(x, 3), M)
call("dsplit", lambda np, x: np.dsplit(x, [1, 3]), T)
call("unstack", lambda np, x: np.unstack(x, axis=1), M)

# ------------------------------------------------------------------------------- linear algebra

call("dot", lambda np, x, y: np.dot(x, y), V, W)
call("dot", lambda np, x, y: np.dot(x, y), M, N.T)
call("dot", lambda np, x, y: np.dot(x, y), M, numpy.moveaxis(T, 1, 2))
call("vdot", lambda np, x, y: np.vdot(x, y), M, N)
call("inner", lambda np, x, y: np.inner(x, y), M, T)
call("outer", lambda np, x, y: np.outer(x, y), V, W)
call("tensordot", lambda np, x, y: np.tensordot(x, y), T, spread_out(3, 4, 2))
call(
    "tensordot", lambda np, x, y: np.tensordot(x, y, axes=([0, 2], [1, 0])), T, spread_out(4, 2, 3)
)
call("einsum", lambda np, x, y: np.einsum("ij,kj->ik", x, y), M, N)
call("einsum", lambda np, x: np.einsum("iij->j", x), numpy.moveaxis(STACK, 0, -1))
call("einsum", lambda np, x, y, z: np.einsum("aij,jk,k->ai", x, y, z), T, N.T, N[:, 0])
call("einsum", lambda np, x, y: np.einsum("...i,...i", x, y), M, N)
call("kron", lambda np, x, y: np.kron(x, y), M, OTHER)
call("cross", lambda np, x, y: np.cross(x, y), SQUARE, OTHER)
call("convolve", lambda np, x, y: np.convolve(x, y), V, W[:3])
call("convolve", lambda np, x, y: np.convolve(x, y, mode="same"), V, W[:3])
call("correlate", lambda np, x, y: np.correlate(x, y, mode="full"), V, W[:3])
call("polyval", lambda np, p, x: np.polyval(p, x), V, UNIT)
call("polyval", lambda np, p, x: np.polyval([1.0, p[0], 3], x), V, M)
call("polyadd", lambda np, p, q: np.polyadd(p, q), V, W[:3])
call("polysub", lambda np, p, q: np.polysub(p, q), V[:2], W)
call("polymul", lambda np, p, q: np.polymul(p, q), V[:3], W)
call("polymul", lambda np, p: np.polymul([0.0, 0.0, 2.0, 1.0], p), V)
call("polyder", lambda np, p: np.polyder(p, 2), V)
call("polyint", lambda np, p: np.polyint(p), V)
call("polyint", lambda np, p, k: np.polyint(p, 3, k), V, W[:3])
call("poly", lambda np, roots: np.poly(roots), V)
call("polydiv", lambda np, p, q: np.polydiv(p, q), V, PLUS[:3], vmap=False)
call("polydiv", lambda np, p, q: np.polydiv(p, q), V[:2], PLUS[:4])
call("polyfit", lambda np, x, y: np.polyfit(x, y, 2), UNIT, V)
call("polyfit", lambda np, x, y, w: np.polyfit(x, y, 1, w=w), UNIT, numpy.outer(V, V[:2]), PLUS)
call("polyfit", lambda np, x, y: np.polyfit(x, y, 2, cov=True), UNIT, V)
call("polyfit", lambda np, x, y: np.polyfit(x, y, 2, cov="unscaled"), UNIT, V)
call("polyfit", lambda np, x, y: np.polyfit(x, y, 1, full=True)[1], UNIT, V)
call("linalg.inv", lambda np, a: np.linalg.inv(a), SQUARE)
call("linalg.inv", lambda np, a: np.linalg.inv(a), STACK)
call("linalg.pinv", lambda np, a: np.linalg.pinv(a), M)
call("linalg.det", lambda np, a: np.linalg.det(a), STACK)
call("linalg.slogdet", lambda np, a: np.linalg.slogdet(a)[1], STACK)
call("linalg.slogdet", lambda np, a: np.linalg.slogdet(a), SQUARE)
call("linalg.solve", lambda np, a, b: np.linalg.solve(a, b), SQUARE, V[:3])
call("linalg.solve", lambda np, a, b: np.linalg.solve(a, b), STACK, M)
call("linalg.lstsq", lambda np, a, b: np.linalg.lstsq(a, b, rcond=None)[0], M.T, W[:4])
call("linalg.cholesky", lambda np, a: np.linalg.cholesky(a @ a.T + np.eye(3)), SQUARE)
call("linalg.qr", lambda np, a: np.linalg.qr(a), M.T)
call("linalg.qr", lambda np, a: np.linalg.qr(a, mode="r"), M.T)
call("linalg.svd", lambda np, a: np.linalg.svd(a, full_matrices=False), M)
call("linalg.svd", lambda np, a: np.linalg.svd(a, compute_uv=False), M)
call("linalg.svdvals", lambda np, a: np.linalg.svdvals(a), M)
call("linalg.eigh", lambda np, a: np.linalg.eigh(a + a.T), SQUARE)
call("linalg.eigvalsh", lambda np, a: np.linalg.eigvalsh(a + a.T), SQUARE)
call("linalg.norm", lambda np, x: np.linalg.norm(x), V)
call("linalg.norm", lambda np, x: np.linalg.norm(x, 1), V)
call("linalg.norm", lambda np, x: np.linalg.norm(x, 3.5), V)
call("linalg.norm", lambda np, x: np.linalg.norm(x, numpy.inf), V)
call("linalg.norm", lambda np, x: np.linalg.norm(x, -numpy.inf), V)
call("linalg.norm", lambda np, x: np.linalg.norm(x, 2), M)
call("linalg.norm", lambda np, x: np.linalg.norm(x, "nuc"), M)
call("linalg.norm", lambda np, x: np.linalg.norm(x, 1), M)
call("linalg.norm", lambda np, x: np.linalg.norm(x, axis=1, keepdims=True), M)
call("linalg.vector_norm", lambda np, x: np.linalg.vector_norm(x, axis=0), M)
call("linalg.matrix_norm", lambda np, x: np.linalg.matrix_norm(x), STACK)
call("linalg.matrix_power", lambda np, a: np.linalg.matrix_power(a, 3), SQUARE)
call("linalg.matrix_power", lambda np, a: np.linalg.matrix_power(a, -2), SQUARE)
call("linalg.multi_dot", lambda np, a, b, c: np.linalg.multi_dot([a, b, c]), M, N.T, SQUARE)
call("linalg.cond", lambda np, a: np.linalg.cond(a), SQUARE)
call("linalg.matrix_rank", lambda np, a: np.linalg.matrix_rank(a), SQUARE, flat=WHOLE)
call("linalg.tensorinv", lambda np, a: np.linalg.tensorinv(a.reshape(3, 1, 3), ind=2), SQUARE)
call("linalg.tensorsolve", lambda np, a, b: np.linalg.tensorsolve(a, b), SQUARE, V[:3])
call("linalg.trace", lambda np, a: np.linalg.trace(a), STACK)
call("linalg.diagonal", lambda np, a: np.linalg.diagonal(a), STACK)
call("linalg.outer", lambda np, x, y: np.linalg.outer(x, y), V, W)
call("linalg.cross", lambda np, x, y: np.linalg.cross(x, y), SQUARE, OTHER)
call("linalg.matmul", lambda np, x, y: np.linalg.matmul(x, y), M, N.T)
call("linalg.vecdot", lambda np, x, y: np.linalg.vecdot(x, y), M, N)
call("linalg.tensordot", lambda np, x, y: np.linalg.tensordot(x, y, axes=1), M, N.T)
call("linalg.matrix_transpose", lambda np, x: np.linalg.matrix_transpose(x), T)

# ------------------------------------------------------------------------------ special functions

for _name in ("erf", "erfc", "expit", "log_expit", "ndtr", "log_ndtr", "erfcx", "dawsn",
              "exprel", "i0", "i1", "i0e", "i1e", "j0", "j1", "sinc"):  # fmt: skip
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), V * 0.9)
for _name in ("gamma", "gammaln", "loggamma", "digamma", "psi", "k0", "k1", "k0e", "k1e", "y0",
              "y1", "rgamma", "entr"):  # fmt: skip
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), PLUS)
call("special.logit", lambda np, x: np.special.logit(x), (UNIT + 1) / 2)
call("special.erfinv", lambda np, x: np.special.erfinv(x), UNIT)
call("special.erfcinv", lambda np, x: np.special.erfcinv(x), UNIT + 1)
call("special.ndtri", lambda np, x: np.special.ndtri(x), (UNIT + 1) / 2)
call("special.xlogy", lambda np, x, y: np.special.xlogy(x, y), V, PLUS)
call("special.xlog1py", lambda np, x, y: np.special.xlog1py(x, y), V, PLUS)
call("special.rel_entr", lambda np, x, y: np.special.rel_entr(x, y), PLUS, PLUS[::-1])
call("special.kl_div", lambda np, x, y: np.special.kl_div(x, y), PLUS, PLUS[::-1])
call("special.beta", lambda np, x, y: np.special.beta(x, y), PLUS, PLUS[::-1])
call("special.betaln", lambda np, x, y: np.special.betaln(x, y), PLUS, PLUS[::-1])
call("special.gammainc", lambda np, x: np.special.gammainc(1.5, x), PLUS)
call("special.gammaincc", lambda np, x: np.special.gammaincc(1.5, x), PLUS)
call("special.gammainc", lambda np, a, x: np.special.gammainc(a, x), PLUS[::-1], PLUS)
call("special.gammaincc", lambda np, a: np.special.gammaincc(a, [0.3, 2.0, 0.9, 0.0, 7.0]), PLUS)
call("special.betainc", lambda np, x: np.special.betainc(1.5, 2.5, x), (UNIT + 1) / 2)
call("special.polygamma", lambda np, x: np.special.polygamma(1, x), PLUS)
call("special.zeta", lambda np, x: np.special.zeta(2.5, x), PLUS)
call("special.jv", lambda np, x: np.special.jv(2, x), PLUS)
call("special.iv", lambda np, x: np.special.iv(2, x), PLUS)
call("special.logsumexp", lambda np, x: np.special.logsumexp(x, axis=1), M)
call("special.softmax", lambda np, x: np.special.softmax(x, axis=1), M)
call("special.log_softmax", lambda np, x: np.special.log_softmax(x, axis=1), M)
call("special.boxcox", lambda np, x, y: np.special.boxcox(x, y), PLUS, W)
call("special.cbrt", lambda np, x: np.special.cbrt(x), V)
call("special.huber", lambda np, x: np.special.huber(0.5, x), V)
call("special.binom", lambda np, x: np.special.binom(x, 1.5), PLUS)

for _name in ("exp2", "exp10", "expm1", "cosm1", "erfi", "sindg", "cosdg", "tandg", "exp1", "expi",
              "log1p", "spence", "cotdg", "round", "gammasgn"):  # fmt: skip
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), PLUS)
call("special.owens_t", lambda np, x, y: np.special.owens_t(x, y), V, W)
call("special.poch", lambda np, x, y: np.special.poch(x, y), PLUS, PLUS[::-1])
call("special.pseudo_huber", lambda np, x, y: np.special.pseudo_huber(x, y), PLUS, V)
call("special.boxcox1p", lambda np, x, y: np.special.boxcox1p(x, y), PLUS, UNIT)
call("special.inv_boxcox", lambda np, x, y: np.special.inv_boxcox(x, y), UNIT, UNIT[::-1])
call("special.inv_boxcox1p", lambda np, x, y: np.special.inv_boxcox1p(x, y), UNIT, UNIT[::-1])
for _name in ("yv", "kv", "ive", "kve", "jn", "yn", "kn", "expn"):
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(2, x), PLUS)
for _name in ("sici", "shichi", "fresnel"):
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), PLUS)
for _name in ("ellipk", "ellipe"):
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), UNIT * 0.9)
for _name in ("legendre", "chebyt", "chebyu", "hermite", "hermitenorm", "laguerre", "sh_legendre",
              "sh_chebyt", "sh_chebyu", "chebyc", "chebys"):  # fmt: skip
    call(f"special.eval_{_name}", lambda np, x, f=f"eval_{_name}": getattr(np.special, f)(3, x), V)
call("special.eval_legendre", lambda np, x: np.special.eval_legendre(DEGREES, x), UNIT)
call("special.eval_gegenbauer", lambda np, x: np.special.eval_gegenbauer(3, 0.7, x), V)
call("special.eval_genlaguerre", lambda np, x: np.special.eval_genlaguerre(3, 0.7, x), V)
call("special.eval_jacobi", lambda np, x: np.special.eval_jacobi(3, 0.7, 1.5, x), V)
call("special.eval_sh_jacobi", lambda np, x: np.special.eval_sh_jacobi(3, 2.5, 1.5, x), V)
for _output in range(4):
    call("special.airy", lambda np, x, k=_output: np.special.airy(x)[k], V)
for _name in ("spherical_jn", "spherical_yn", "spherical_in", "spherical_kn"):
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(2, x), PLUS)
    call(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(DEGREES, x, True), PLUS)
call("special.comb", lambda np, n, k: np.special.comb(n, k), PLUS + 2, PLUS[::-1])
call("special.comb", lambda np, n: np.special.comb(n, 1.5, repetition=True), PLUS)
call("special.perm", lambda np, n, k: np.special.perm(n, k), PLUS + 2, PLUS[::-1])
call("special.betaincc", lambda np, x: np.special.betaincc(1.5, 2.5, x), (UNIT + 1) / 2)
call("special.hyp1f1", lambda np, x: np.special.hyp1f1(0.5, 1.5, x), V)
call("special.hyp2f1", lambda np, x: np.special.hyp2f1(0.5, 1.5, 2.5, x), UNIT / 2)
call("special.radian", lambda np, x: np.special.radian(x, 2 * x, 3.0), V)

# ----------------------------------------------------------------------------- methods of arrays

for _name in ("sum", "mean", "prod", "max", "min", "std", "var", "cumsum", "cumprod", "ravel",
              "flatten", "transpose", "squeeze", "copy", "trace", "diagonal", "round",
              "conj"):  # fmt: skip
    call(f".{_name}", lambda np, x, f=_name: getattr(x, f)(), M)
call(".reshape", lambda np, x: x.reshape(2, 6), M)
call(".astype", lambda np, x: x.astype(np.float64), M)
call(".clip", lambda np, x: x.clip(-1.0, 1.0), M)
call(".dot", lambda np, x, y: x.dot(y), M, N.T)
call(".take", lambda np, x: x.take([0, 2], axis=1), M)
call(".repeat", lambda np, x: x.repeat(2, axis=0), M)
call(".swapaxes", lambda np, x: x.swapaxes(0, 1), M)
call(".compress", lambda np, x: x.compress([True, False, True], axis=0), M)
call(".argmax", lambda np, x: x.argmax(axis=1), M, flat=WHOLE)
call(".argmin", lambda np, x: x.argmin(), M, flat=WHOLE)
call(".argsort", lambda np, x: x.argsort(axis=1), M, flat=WHOLE)
call(".all", lambda np, x: x.all(axis=1), M, flat=TRUTH)
call(".any", lambda np, x: x.any(), M, flat=TRUTH)

call(".argpartition", lambda np, x: np.sort(x.argpartition(2)[:2]), V, flat=WHOLE)
call(".choose", lambda np, x, y: (x > 0).astype(int).choose([x, y]), V, W, refused="plain NumPy")
call(".conjugate", lambda np, x: x.conjugate(), V)
call(".item", lambda np, x: x[2].item() * 1.0, V, refused=NO_GRADIENT)
call(".nonzero", lambda np, x: (x > 0).nonzero(), V, flat=WHOLE, vmap=False)
call(".searchsorted", lambda np, x: np.sort(x).searchsorted([0.0, 0.5]), V, flat=WHOLE)
call(".tolist", lambda np, x: np.stack(x.tolist()), V, refused=NO_GRADIENT)

# ------------------------------------------------------------------------------------ assignments


def after(change: Callable[..., Any]) -> Callable[..., Any]:
    """A copy of the first input after ``change(np, copy, *others)`` has written into it."""

    def changed(np: Any, x: Any, *others: Any) -> Any:
        out = np.copy(x)
        change(np, out, *others)
        return out * x

    return changed


call("copyto", after(lambda np, x, y: np.copyto(x, y, where=M > 0)), M, N)
call("putmask", after(lambda np, x, y: np.putmask(x, M > 0, y)), M, N)
call("place", after(lambda np, x, y: np.place(x, M > 0, y)), M, V)
call("put", after(lambda np, x, y: np.put(x, [0, 5, 7], y[:3])), M, V)
call(
    "put_along_axis",
    after(lambda np, x, y: np.put_along_axis(x, INDICES[:, None], y[:3, None], axis=1)),
    M,
    V,
)
call("fill_diagonal", after(lambda np, x, y: np.fill_diagonal(x, y[0])), M, V)
call(".fill", after(lambda np, x, y: x.fill(y[1])), M, V)
call(".put", after(lambda np, x, y: x.put([0, 5, 7], y[:3])), M, V)
call(".sort", after(lambda np, x: x.sort(axis=1)), M)
call(".partition", after(lambda np, x: x.partition(2)), V)
call("add.at", after(lambda np, x, y: np.add.at(x, [0, 2, 0], y[:3])), V, W)
call("subtract.at", after(lambda np, x, y: np.subtract.at(x, [0, 2, 0], y[:3])), V, W)
call("apply_along_axis", lambda np, x: np.apply_along_axis(lambda r: np.cumsum(r**2), 1, x), M)
call("apply_over_axes", lambda np, x: np.apply_over_axes(np.sum, x, (0, 2)), T)
call("einsum_path", lambda np, x, y: len(np.einsum_path("ij,jk", x, y)[0]), M, N.T, flat=SHAPE,
     vmap=False)  # fmt: skip
call("ix_", lambda np, x, y: np.ix_(x, y), V, W)
call("lib.stride_tricks.sliding_window_view",
     lambda np, x: np.lib.stride_tricks.sliding_window_view(x, 3), V)  # fmt: skip
call("vectorize", lambda np, x, y: np.vectorize(lambda a, b: a * b * b)(x, y), V, M[:, :1])
call("kaiser", lambda np, beta: np.kaiser(5, beta), numpy.float64(1.5))
call("kaiser", lambda np, beta: np.kaiser(1, beta), numpy.float64(1.5))
call("linspace", lambda np, x, y: np.linspace(x, y, 4), V, W)
call("logspace", lambda np, x, y: np.logspace(x, y, 4), V[:2], W[:2])
call("geomspace", lambda np, x, y: np.geomspace(x, y, 4), PLUS, PLUS[::-1] + 1)
call("histogram_bin_edges", lambda np, x: np.histogram_bin_edges(x, 3), V)
call("histogram_bin_edges", lambda np, x: np.histogram_bin_edges(x, "sturges"), V, vmap=False)
call("histogram", lambda np, x: np.histogram(x, 3), M)
call("histogram", lambda np, x: np.histogram(x, 3, density=True), V)
call("histogram", lambda np, w: np.histogram(V, 3, weights=w)[0], W)
call("histogram", lambda np, x, w: np.histogram(x, [-1.0, 0, 0.5, 2], weights=w)[0], V, W)
call("histogram", lambda np, w: np.histogram(V, 4, (-1, 1), True, w)[0], PLUS)
call("histogram2d", lambda np, x, y: np.histogram2d(x, y, 3), V, W)
call("histogram2d", lambda np, x, y: np.histogram2d(x, y, [3, 5], density=True), V, W)
call("histogram2d", lambda np, w: np.histogram2d(V, W, [[-1.0, 0, 1], 2], weights=w)[0], PLUS)
call("histogramdd", lambda np, x: np.histogramdd(x, 2, density=True)[0], M)
call("histogramdd", lambda np, x: np.histogramdd((x[0], x[1]), 2)[1], M)
call("histogramdd", lambda np, w: np.histogramdd(M.T, (2, 1, 3), weights=w)[0], PLUS[:4])

# ------------------------------------------------------------------------------- complex results

for _name in ("fft", "ifft", "rfft", "ihfft"):
    call(
        f"fft.{_name}",
        lambda np, x, f=_name: np.abs(getattr(np.fft, f)(x)) ** 2,
        V,
        refused=NO_COMPLEX,
    )
for _name in ("fft2", "ifft2", "fftn", "ifftn", "rfft2", "rfftn"):
    call(
        f"fft.{_name}",
        lambda np, x, f=_name: np.abs(getattr(np.fft, f)(x)) ** 2,
        M,
        refused=NO_COMPLEX,
    )
for _name in ("irfft", "hfft"):
    call(f"fft.{_name}", lambda np, x, f=_name: getattr(np.fft, f)(x), V, refused=NO_COMPLEX)
for _name in ("irfft2", "irfftn"):
    call(f"fft.{_name}", lambda np, x, f=_name: getattr(np.fft, f)(x), M, refused=NO_COMPLEX)
call("fft.fftshift", lambda np, x: np.fft.fftshift(x), M, refused=NO_ROW)
call("fft.ifftshift", lambda np, x: np.fft.ifftshift(x), M, refused=NO_ROW)
for _name in ("hankel1", "hankel1e", "hankel2", "hankel2e"):
    _hankel = lambda np, x, f=_name: np.abs(getattr(np.special, f)(2, x))
    call(f"special.{_name}", _hankel, PLUS, refused="complex")
call("special.wofz", lambda np, x: np.abs(np.special.wofz(x)), V, refused="complex")
for _name in ("sph_harm", "sph_harm_y"):
    _harmonic = lambda np, x, f=_name: np.abs(getattr(np.special, f)(2, 1, x, x))
    call(f"special.{_name}", _harmonic, PLUS, refused="complex")
call("linalg.eig", lambda np, a: np.abs(np.linalg.eig(a)[0]), SQUARE, refused=NO_COMPLEX)
call("linalg.eigvals", lambda np, a: np.abs(np.linalg.eigvals(a)), SQUARE, refused=NO_COMPLEX)
call("sort_complex", lambda np, x: np.abs(np.sort_complex(x)), V, refused=NO_COMPLEX)
