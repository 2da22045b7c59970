# ruff: noqa: ARG005  (a call takes a namespace whether it needs it or not)
"""What is compared: the calls of the tests' table, a few more, and the families they belong to."""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy
from samples.functions import (
    CALLS,
    INDICES,
    OTHER,
    PLUS,
    SQUARE,
    STACK,
    UNIT,
    Call,
    M,
    N,
    T,
    V,
    W,
)  # fmt: skip

MORE: list[Call] = []


def more(function: str, how: Callable[..., Any], *inputs: Any, **facts: Any) -> None:
    MORE.append(Call(function, how, inputs, **facts))


# ---------------------------------------------------------------------------------- more of NumPy

GRID = numpy.array([[1, 0], [2, 2]])
more("x[…] slices", lambda np, x: x[1:, ::-2], M)
more("x[…] slices", lambda np, x: x[..., None, 1], T)
more("x[…] integer arrays", lambda np, x: x[INDICES], M)
more("x[…] integer arrays", lambda np, x: x[INDICES[:, None], GRID[0]], M)
more("x[…] integer arrays", lambda np, x: x[:, GRID, 1:], T)
more("x[…] boolean arrays", lambda np, x: x[M > 0], M)
more("x[…] of the value", lambda np, x: x[x > 0], V, vmap=False)
more("einsum", lambda np, x: np.einsum("ii", x), SQUARE)
more("einsum", lambda np, x: np.einsum("ij->", x), M)
more("einsum", lambda np, x, y: np.einsum("i,j->ji", x, y), V, W)
more("einsum", lambda np, x, y: np.einsum("bij,bjk->bik", x, y), T, spread := N.T @ T)
for _order in ("fro", -2, -1, numpy.inf, -numpy.inf):
    more("linalg.norm", lambda np, x, o=_order: np.linalg.norm(x, o), M)
more("linalg.norm", lambda np, x: np.linalg.norm(x, 2, axis=(1, 2)), T)
more("linalg.norm", lambda np, x: np.linalg.norm(x, 0), V)


def unsigned(np: Any, u: Any, s: Any, vt: Any) -> tuple[Any, ...]:
    """What libraries agree on: the signs of singular vectors are anybody's choice."""
    return np.abs(u), s, vt**2


more(
    "linalg.norm squared at 0", lambda np, x: np.linalg.norm(x - np.asarray(V)) ** 2 + np.sum(x), V
)
more("linalg.svd of a tall matrix", lambda np, a: unsigned(np, *np.linalg.svd(a, False)), M.T)
more("linalg.svd with full matrices", lambda np, a: np.linalg.svd(a)[1], M)
more("linalg.qr of a wide matrix", lambda np, a: np.linalg.qr(a), M)
more("linalg.det of a singular matrix",
     lambda np, a: np.linalg.det(a * np.asarray([[1.0], [1.0], [0.0]])), SQUARE)  # fmt: skip
more("linalg.matrix_power", lambda np, a: np.linalg.matrix_power(a, 0) + a, STACK)
more("linalg.pinv", lambda np, a: np.linalg.pinv(a), STACK)
more("prod of a zero", lambda np, x: np.prod(x * np.asarray([1.0, 0, 1, 1, 1])), V)
more("cumprod of a zero", lambda np, x: np.cumprod(x * np.asarray([1.0, 0, 1, 1, 1])), V)
more("concat", lambda np, x, y: np.concat([x, y]), M, N)
more("conj", lambda np, x: np.conj(x), V)
more("pow", lambda np, x, y: np.pow(x, y), PLUS, W)
more("mod", lambda np, x, y: np.mod(x, y), V, W)
more("true_divide", lambda np, x, y: np.true_divide(x, y), V, W)
for _name in ("acos", "asin", "atanh"):
    more(_name, lambda np, x, f=_name: getattr(np, f)(x), UNIT)
for _name in ("atan", "asinh"):
    more(_name, lambda np, x, f=_name: getattr(np, f)(x), V)
more("acosh", lambda np, x: np.acosh(x), PLUS + 1)
more("atan2", lambda np, x, y: np.atan2(x, y), V, W)
for _name in ("polyadd", "polysub", "polymul"):
    more(_name, lambda np, x, y, f=_name: getattr(np, f)(x, y), V, W[:3])
more("polydiv", lambda np, x, y: np.polydiv(x, y), V, W[:3], vmap=False)
more("polyder", lambda np, x: np.polyder(x), V)
more("polyint", lambda np, x: np.polyint(x), V)
more("poly", lambda np, x: np.poly(x), V)
more("polyfit", lambda np, x, y: np.polyfit(x, y, 2), V, W)
more("unique_values", lambda np, x: np.unique_values(x), V, vmap=False)
more("union1d", lambda np, x, y: np.union1d(x, y), V, W, vmap=False)
more("setdiff1d", lambda np, x: np.setdiff1d(x, W + 9), V, vmap=False)
more("setxor1d", lambda np, x, y: np.setxor1d(x, y), V, W, vmap=False)
more("vectorize", lambda np, x, y: np.vectorize(lambda a, b: a * b * b)(x, y), V, W)
more("array", lambda np, x, y: np.array([x[0], y[1] * x[2], 1.0]), V, W)
more("asarray", lambda np, x: np.asarray(x), V)
more("full", lambda np, x: np.full((2, 3), x[1]), V)
more("array, nested", lambda np, x: np.array([[x[0], 2.0], [x[1], x[0]]]), V)
more("isin", lambda np, x: np.isin(x, V[:3]), V, flat="a truth value")
more("roots", lambda np, x: np.abs(np.roots(x)), V, refused="complex")

# Options that change what is computed.
for _mode in ("linear_ramp", "maximum", "mean", "median", "minimum"):
    more("pad", lambda np, x, m=_mode: np.pad(x, 2, mode=m), M)
for _mode in ("lower", "higher", "midpoint", "nearest"):
    more("quantile", lambda np, x, m=_mode: np.quantile(x, 0.3, method=m), V)
more("pad", lambda np, x: np.pad(x, 2, mode="reflect", reflect_type="odd"), M)
more("pad", lambda np, x, y: np.pad(x, 1, constant_values=y[0]), M, V)
more("quantile in q", lambda np, x, q: np.quantile(x, q), V, (UNIT[1:4] + 1) / 2)
more("percentile in q", lambda np, x, q: np.percentile(x, q), V, UNIT[1:4] * 30 + 40)
more("interp in its nodes", lambda np, x, p, f: np.interp(x, np.cumsum(p) - 3, f), V, PLUS, W)
more("interp with ends", lambda np, x, f: np.interp(x, V[[3, 0]] * 0 + [-1, 1], f, -2.0, 2.0),
     V, W[:2])  # fmt: skip
more("sum", lambda np, x: np.sum(x, where=M > 0), M)
more("mean", lambda np, x: np.mean(x, axis=1, where=M > -1.2), M)
more("prod", lambda np, x: np.prod(x, axis=1, initial=2.0), M)
more("max", lambda np, x: np.max(x, axis=1, initial=0.5, where=M > 0), M)
more("average", lambda np, x, w: np.average(x, axis=1, weights=w), M, PLUS[:4])
more("cov", lambda np, x, y: np.cov(x, y, bias=True), V, W)
more("cov", lambda np, x: np.cov(x, rowvar=False, aweights=[1.0, 2.0, 0.5]), M)
more("diff", lambda np, x, y: np.diff(x, prepend=y[0], append=y[1:3]), V, W)
more("trapezoid", lambda np, y, x: np.trapezoid(y, x, axis=0), M, PLUS[:3, None])
more("take", lambda np, x: np.take(x, [-1, 7], mode="wrap"), V)
more("take", lambda np, x: np.take(x, [1, 7], mode="clip"), V)
more("nan_to_num", lambda np, x: np.nan_to_num(x / np.asarray([1.0, 0, 1, 1, 1]), posinf=3.0), V)
more("vander", lambda np, x: np.vander(x, 3, increasing=True), V)
more("unwrap", lambda np, x: np.unwrap(x, period=3.0), V * 4)
more("linspace", lambda np, x, y: np.linspace(x, y, 4, endpoint=False, axis=-1), V, W)
more("einsum", lambda np, x, y: np.einsum(x, [0, 1], y, [2, 1], [0, 2]), M, N)
more("einsum", lambda np, x, y, z: np.einsum("ij,kj,i->k", x, y, z, optimize=True), M, N, V[:3])
more("tensordot", lambda np, x, y: np.tensordot(x, y, axes=0), V, M)
more("convolve", lambda np, x, y: np.convolve(x, y, mode="valid"), V, W[:3])
more("correlate", lambda np, x, y: np.correlate(x, y, mode="same"), V, W[:3])
more("correlate", lambda np, x, y: np.correlate(x, y), V, W[:3])
more("cross", lambda np, x, y: np.cross(x, y, axis=0), SQUARE, OTHER)
more("kron", lambda np, x, y: np.kron(x, y), V[:2], T)
more("matmul", lambda np, x, y: np.matmul(x, y), V[:4], N.T)
more("matmul", lambda np, x, y: np.matmul(x, y), T, N[0])
more("linalg.cond", lambda np, a: np.linalg.cond(a, 1), SQUARE)
more("linalg.cond", lambda np, a: np.linalg.cond(a, "fro"), SQUARE)
more("linalg.cholesky", lambda np, a: np.linalg.cholesky(a @ a.T + np.eye(3), upper=True), SQUARE)
more("linalg.eigh", lambda np, a: np.linalg.eigh(a + a.T, UPLO="U")[0], SQUARE)
more("linalg.lstsq", lambda np, a, b: np.linalg.lstsq(a, b, rcond=None)[0], M.T, N.T[:, :2])
more("linalg.lstsq, residuals", lambda np, a, b: np.linalg.lstsq(a, b, rcond=None)[1], M.T, W[:4])
more("linalg.lstsq of a wide matrix", lambda np, a, b: np.linalg.lstsq(a, b, rcond=None)[0],
     M, W[:3])  # fmt: skip
more("linalg.pinv, hermitian", lambda np, a: np.linalg.pinv(a + a.T, hermitian=True), SQUARE)
more("histogram of weights", lambda np, w: np.histogram(V, 3, weights=w)[0], W)
more("histogram of weights", lambda np, w: np.histogram(V, 3, weights=w, density=True)[0], PLUS)
more("kaiser", lambda np, b: np.kaiser(5, b), numpy.float64(1.5))
more("fromfunction", lambda np, x: np.fromfunction(lambda i, j: x[0] * i + x[1] * j, (2, 3)), V)
more("unique, with counts", lambda np, x: np.unique(x, return_counts=True)[0], V, vmap=False)
more("nanquantile in q", lambda np, x, q: np.nanquantile(x, q), V, (UNIT[1:4] + 1) / 2)

# ------------------------------------------------------------------------ more special functions

more("special.comb", lambda np, x, k: np.special.comb(x, k), PLUS + 2, PLUS[::-1])
more("special.logsumexp", lambda np, x: np.special.logsumexp(x), M)
more("special.logsumexp", lambda np, x: np.special.logsumexp(x, axis=(0, 2)), T)
more("special.logsumexp, with sign",
     lambda np, x, b: np.special.logsumexp(x, b=b, axis=1, return_sign=True)[0], M, N)  # fmt: skip

for _name in ("exp1", "expi", "spence"):
    more(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), PLUS)
more("special.expn", lambda np, x: np.special.expn(2, x), PLUS)
more("special.fresnel", lambda np, x: np.special.fresnel(x), V)
more("special.sici", lambda np, x: np.special.sici(x), PLUS)
more("special.boxcox1p", lambda np, x, y: np.special.boxcox1p(x, y), PLUS, W)
more("special.inv_boxcox", lambda np, x, y: np.special.inv_boxcox(x, y), PLUS, PLUS[::-1])
more("special.multigammaln", lambda np, x: np.special.multigammaln(x, 2), PLUS + 1)
more("special.poch", lambda np, x, y: np.special.poch(x, y), PLUS, PLUS[::-1])
more("special.factorial", lambda np, x: np.special.factorial(x), PLUS)
more("special.gammasgn", lambda np, x: np.special.gammasgn(x), V)
more("special.hyp1f1", lambda np, x: np.special.hyp1f1(1.5, 2.5, x), V)
more("special.hyp1f1 in its parameters",
     lambda np, a, b: np.special.hyp1f1(a, b, 0.7), PLUS, PLUS + 1)  # fmt: skip
more("special.hyp2f1", lambda np, x: np.special.hyp2f1(1.5, 0.5, 2.5, x), UNIT)
more("special.owens_t", lambda np, x, y: np.special.owens_t(x, y), V, W)
more("special.gammainc in its order", lambda np, a: np.special.gammainc(a, 1.7), PLUS)
more("special.gammaincc in its order", lambda np, a: np.special.gammaincc(a, 1.7), PLUS)
more("special.betainc in its orders",
     lambda np, a, b: np.special.betainc(a, b, 0.3), PLUS, PLUS + 1)  # fmt: skip
more("special.zeta in both arguments", lambda np, s, x: np.special.zeta(s, x), PLUS + 1.5, PLUS)
more("special.polygamma", lambda np, x: np.special.polygamma(3, x), PLUS)
more("special.yn", lambda np, x: np.special.yn(2, x), PLUS)
more("special.jn", lambda np, x: np.special.jn(2, x), PLUS)
more("special.ive", lambda np, x: np.special.ive(2.5, x), PLUS)
more("special.kv", lambda np, x: np.special.kv(2.5, x), PLUS)
more("special.kn", lambda np, x: np.special.kn(2, x), PLUS)
more("special.yv", lambda np, x: np.special.yv(2.5, x), PLUS)
more("special.spherical_jn", lambda np, x: np.special.spherical_jn(0, x), PLUS)
more("special.airy", lambda np, x: np.special.airy(x)[0], V)
for _name in ("eval_chebyt", "eval_chebyu", "eval_hermite", "eval_hermitenorm", "eval_laguerre",
              "eval_legendre", "eval_sh_chebyt", "eval_sh_chebyu"):  # fmt: skip
    more(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(3, x), UNIT)
more(
    "special.logsumexp with weights",
    lambda np, x, b: np.special.logsumexp(x, b=b, axis=1, keepdims=True),
    M,
    N**2 + 0.1,
)
for _name in ("expm1", "log1p", "exp2"):
    more(f"special.{_name}", lambda np, x, f=_name: getattr(np.special, f)(x), PLUS)
more("special.wofz", lambda np, x: np.abs(np.special.wofz(x)), V, refused="complex")
more("special.ellipk", lambda np, x: np.special.ellipk(x), (UNIT + 1) / 2.1)
more("special.ellipe", lambda np, x: np.special.ellipe(x), (UNIT + 1) / 2.1)
more("special.stdtr", lambda np, x: np.special.stdtr(3.0, x), V)
more("special.pseudo_huber", lambda np, x: np.special.pseudo_huber(0.5, x), V)

# ------------------------------------------------------------------------------------- families

FAMILIES: dict[str, str] = {
    "Elementwise functions": """
        sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh
        asin acos atan asinh acosh atanh exp exp2 expm1 log log2 log10 log1p sqrt cbrt square
        reciprocal negative positive absolute fabs abs conjugate conj real imag angle deg2rad
        rad2deg degrees radians sinc i0 add subtract multiply divide true_divide power pow
        float_power arctan2 atan2 hypot logaddexp logaddexp2 maximum minimum fmax fmin copysign
        remainder mod fmod divmod modf floor_divide ldexp frexp heaviside sign floor ceil rint
        trunc fix round around spacing nextafter nan_to_num real_if_close unwrap clip where select
        choose piecewise interp""",
    "Reductions": """
        sum mean prod max min amax amin ptp std var median average quantile percentile nansum
        nanmean nanprod nanstd nanvar nanmax nanmin nanmedian nanquantile nanpercentile cov corrcoef
        trace apply_over_axes""",
    "Running sums, differences": """
        cumsum cumprod nancumsum nancumprod cumulative_sum cumulative_prod diff ediff1d gradient
        trapezoid apply_along_axis""",
    "Sorting and sets": """
        sort partition unique unique_values unique_counts unique_inverse unique_all union1d
        intersect1d setdiff1d setxor1d""",
    "Shapes and rearranging": """
        reshape ravel transpose permute_dims matrix_transpose swapaxes moveaxis rollaxis expand_dims
        squeeze broadcast_to broadcast_arrays atleast_1d atleast_2d atleast_3d flip fliplr flipud
        roll rot90 tile repeat pad resize trim_zeros copy astype diag diagflat diagonal tril triu
        meshgrid ix_ vander concatenate concat stack vstack hstack dstack column_stack block append
        insert delete split array_split hsplit vsplit dsplit unstack
        lib.stride_tricks.sliding_window_view""",
    "Creating": """
        array asarray full zeros_like ones_like empty_like full_like linspace logspace geomspace
        vectorize fromfunction kaiser""",
    "Indexing and assigning": """
        take take_along_axis compress extract bincount histogram histogram2d histogramdd
        histogram_bin_edges copyto putmask place put put_along_axis fill_diagonal add.at
        subtract.at""",
    "Products and polynomials": """
        dot vdot inner outer matmul vecdot matvec vecmat tensordot einsum kron cross convolve
        correlate polyval polyadd polysub polymul polydiv polyder polyint poly polyfit""",
    "Methods of ufuncs": """
        add.reduce multiply.reduce maximum.reduce minimum.reduce logaddexp.reduce add.accumulate
        multiply.accumulate maximum.accumulate minimum.accumulate add.outer subtract.outer
        multiply.outer add.reduceat""",
}
LINALG, SPECIAL, ARRAYS = "Linear algebra", "Special functions", "Methods of arrays"
COMPLEX, FLAT = "Complex numbers and `fft`", "Functions without a derivative"
ORDER = (*FAMILIES, LINALG, SPECIAL, ARRAYS)
# Conversions to plain numbers, which no library differentiates, and questions about shapes.
LEFT_OUT = {".item", ".tolist", "shape", "ndim", "size", "result_type", "einsum_path",
            "isrealobj", "iscomplexobj"}  # fmt: skip


def family(call: Call) -> str:
    """The heading under which a call is listed."""
    name = call.function.partition(" ")[0]
    name = name.rstrip(",")
    if call.flat:
        return FLAT
    if name.startswith("fft.") or call.refused.startswith(("complex", "has complex")):
        return COMPLEX
    if name.startswith("x["):
        return "Indexing and assigning"
    for prefix, heading in (("linalg.", LINALG), ("special.", SPECIAL), (".", ARRAYS)):
        if name.startswith(prefix):
            return heading
    for heading, names in FAMILIES.items():
        if name in names.split():
            return heading
    raise LookupError(f"{name} is in no family: add it to FAMILIES")


def functions() -> dict[str, list[Asked]]:
    """Function → its calls."""
    found: dict[str, list[Asked]] = {}
    for one in CALLS_ASKED.values():
        found.setdefault(one.call.function, []).append(one)
    return found


class _Written(ast.NodeTransformer):
    """A call as it would be typed: loop variables and ``getattr`` replaced."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known

    def visit_Name(self, node: ast.Name) -> ast.expr:
        known = self.known.get(node.id)
        return ast.Constant(known) if isinstance(known, str | int | float) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "getattr":
            of, name = node.args
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                return ast.Attribute(of, name.value, ast.Load())
        return node


@functools.cache
def _lambdas(module: ModuleType) -> dict[int, ast.Lambda]:
    """Line → the call that is written on it."""
    return {
        node.lineno: node
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.Lambda) and node.args.args and node.args.args[0].arg == "np"
    }


def written(call: Call) -> str:
    """How a call is typed, such as ``np.linalg.norm(x, 3.5)``; its name if it is no lambda."""
    module = inspect.getmodule(call.call)
    assert module is not None
    node = _lambdas(module).get(call.call.__code__.co_firstlineno)
    if node is None:
        return call.function
    names = [a.arg for a in node.args.args]
    defaults = call.call.__defaults__ or ()
    known = dict(zip(names[len(names) - len(defaults) :], defaults, strict=True))
    return ast.unparse(_Written(known).visit(copy.deepcopy(node.body)))


def exists(call: Call, namespace: Any) -> bool:
    """Whether the installed NumPy and SciPy have the function."""
    try:
        with numpy.errstate(all="ignore"):
            call.call(namespace, *call.inputs)
    except (AttributeError, ImportError):
        return False
    return True


@dataclass(frozen=True)
class Asked:
    """A call with its name: the function and which of its calls it is."""

    call: Call
    nth: int

    @property
    def key(self) -> str:
        return f"{self.call.function} #{self.nth}"

    @property
    def mark(self) -> str:
        """The name, and a sum over the text and the inputs: another one for another call."""
        text = f"{written(self.call)} {self.call.vmap} {self.call.flat}".encode()
        for x in self.call.inputs:
            text += repr(numpy.shape(x)).encode() + numpy.asarray(x).tobytes()
        return f"{self.key} {zlib.crc32(text):08x}"


def _asked() -> Iterator[Asked]:
    seen: dict[str, int] = {}
    for call in (*CALLS, *MORE):
        if call.function not in LEFT_OUT:
            nth = seen[call.function] = seen.get(call.function, -1) + 1
            yield Asked(call, nth)


CALLS_ASKED: dict[str, Asked] = {one.key: one for one in _asked()}
