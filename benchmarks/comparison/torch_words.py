# ruff: noqa: ARG001, ARG005  (calls take a namespace and arguments whether they need them or not)
"""NumPy's calls in PyTorch's words: the function of the same meaning, where there is one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy
import torch
from samples.functions import INDICES, M

Tensor = torch.Tensor


def tensor(x: Any) -> Any:
    return x if isinstance(x, Tensor) else torch.as_tensor(numpy.asarray(x))


def tensors(xs: Any) -> list[Any]:
    return [tensor(x) for x in xs]


def plain(x: Any) -> bool:
    """Whether it is a list of plain numbers, which NumPy would make an array of."""
    return isinstance(x, list) and all(
        plain(v) if isinstance(v, list) else isinstance(v, bool | int | float) for v in x
    )


def constant(x: Any) -> Any:
    """A NumPy array or a list of numbers as a tensor; anything else as it is."""
    return torch.as_tensor(x) if isinstance(x, numpy.ndarray) or (plain(x) and x) else x


class Words:
    """A module of PyTorch under NumPy's names: those of ``own`` first, then the module's."""

    def __init__(self, modules: tuple[Any, ...], own: dict[str, Any]) -> None:
        self._modules, self._own = modules, own

    def __getattr__(self, name: str) -> Any:
        if name in self._own:
            return self._own[name]
        for module in self._modules:
            if hasattr(module, name):
                return with_constants(getattr(module, name))
        raise AttributeError(f"PyTorch has no {name}")


def with_constants(function: Any) -> Any:
    if not callable(function) or isinstance(function, type):
        return function
    return lambda *args, **options: function(*map(constant, args), **options)


def over(axis: Any, x: Any) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(x.ndim))
    return (axis,) if isinstance(axis, int) else tuple(axis)


def reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=None, keepdims=False: function(x, dim=over(axis, x), keepdim=keepdims)


def spread(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=None, ddof=0, keepdims=False: function(
        x, dim=over(axis, x), correction=ddof, keepdim=keepdims
    )


def along(function: Callable[..., Any], default: int | None = None) -> Callable[..., Any]:
    """A function of one axis; without an axis, of all elements in a row."""

    def along(x: Any, axis: int | None = default, **options: Any) -> Any:
        return function(
            x.reshape(-1) if axis is None else x, 0 if axis is None else axis, **options
        )

    return along


def quantile(function: Callable[..., Any], scale: float = 1.0) -> Callable[..., Any]:
    def quantile(
        x: Any, q: Any, axis: Any = None, keepdims: bool = False, method: str = "linear"
    ) -> Any:
        q = torch.as_tensor(q) * scale
        return function(x, q, dim=axis, keepdim=keepdims, interpolation=method)

    return quantile


def middle(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=None, keepdims=False: function(x, 0.5, dim=axis, keepdim=keepdims)


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.prod(x) if axis is None else torch.prod(x, axis, keepdim=keepdims)


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return torch.mean(x, dim=over(axis, x))
    axes = over(axis, x)
    return torch.sum(x * weights, dim=axes) / torch.sum(weights)


def pad(x: Any, width: Any, mode: str = "constant", constant_values: float = 0.0) -> Any:
    pairs = [(width, width)] * x.ndim if isinstance(width, int) else list(width)
    flat = [n for pair in reversed(pairs) for n in pair]
    if mode == "constant":
        return torch.nn.functional.pad(x, flat, value=constant_values)
    words = {"edge": "replicate", "reflect": "reflect", "wrap": "circular"}
    return torch.nn.functional.pad(x[None, None], flat, mode=words[mode])[0, 0]


def norm(x: Any, order: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.linalg.norm(x, order, dim=axis, keepdim=keepdims)


def convolve(x: Any, y: Any, mode: str = "full") -> Any:
    return correlate(x, y.flip(0), mode)


def correlate(x: Any, y: Any, mode: str = "valid") -> Any:
    padding = {"full": y.shape[0] - 1, "same": (y.shape[0] - 1) // 2, "valid": 0}[mode]
    return torch.nn.functional.conv1d(x[None, None], y[None, None], padding=padding)[0, 0]


def select(conditions: Any, choices: Any, default: Any) -> Any:
    out = default
    for condition, choice in zip(reversed(conditions), reversed(choices), strict=True):
        out = torch.where(condition, choice, out)
    return out


def split(x: Any, parts: Any, axis: int = 0) -> Any:
    return torch.tensor_split(x, parts, dim=axis)


def repeat(x: Any, count: Any, axis: int | None = None) -> Any:
    return torch.repeat_interleave(x, constant(count), dim=axis)


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    indices = constant(indices)
    return torch.take(x, indices) if axis is None else torch.index_select(x, axis, indices)


def squeeze(x: Any, axis: Any = None) -> Any:
    return torch.squeeze(x) if axis is None else torch.squeeze(x, axis)


def expand_dims(x: Any, axes: tuple[int, ...]) -> Any:
    for axis in axes:
        x = torch.unsqueeze(x, axis)
    return x


def flip(x: Any, axis: Any = None) -> Any:
    return torch.flip(x, over(axis, x))


def diff(x: Any, n: int = 1, axis: int = -1, **ends: Any) -> Any:
    ends = {k: torch.atleast_1d(v) for k, v in ends.items()}
    return torch.diff(x, n, dim=axis, **ends)


def partition(x: Any, n: int) -> Any:
    return torch.sort(x).values


def concatenate(xs: Any, axis: int | None = 0) -> Any:
    if axis is None:
        return torch.concatenate([x.reshape(-1) for x in xs])
    return torch.concatenate(tuple(xs), dim=axis)


def sort(x: Any, axis: int | None = -1) -> Any:
    return torch.sort(x.reshape(-1), 0).values if axis is None else torch.sort(x, axis).values


def clip(x: Any, low: Any, high: Any) -> Any:
    return torch.clip(x, low, high)


def slogdet(a: Any) -> Any:
    return tuple(torch.linalg.slogdet(a))


def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    if not compute_uv:
        return torch.linalg.svdvals(a)
    return tuple(torch.linalg.svd(a, full_matrices=full_matrices))


def qr(a: Any, mode: str = "reduced") -> Any:
    found = torch.linalg.qr(a, mode=mode)
    return found[1] if mode == "r" else tuple(found)


def gradient(x: Any, step: float = 1.0, axis: int | None = None) -> Any:
    return torch.gradient(x, spacing=step, dim=0 if axis is None else axis)[0]


def maxima(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, axis=None, keepdims=False: function(x, dim=over(axis, x), keepdim=keepdims)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    return torch.trapezoid(y, dx=dx, dim=axis) if x is None else torch.trapezoid(y, x, dim=axis)


def angle(x: Any) -> Any:
    return torch.angle(x)


def vander(x: Any, n: int, increasing: bool = False) -> Any:
    powers = torch.linalg.vander(x, N=n)
    return powers if increasing else torch.flip(powers, (-1,))


def cov(
    x: Any, y: Any = None, rowvar: bool = True, bias: bool = False, aweights: Any = None
) -> Any:
    x = x if y is None else torch.stack((x, y))
    x, aweights = x if rowvar else x.T, constant(aweights)
    return torch.cov(x, correction=0 if bias else 1, aweights=aweights)


def einsum(*args: Any, optimize: bool = True) -> Any:
    return torch.einsum(*args)


def lstsq(a: Any, b: Any, rcond: None) -> Any:
    column = b[:, None] if b.ndim == 1 else b
    tall = a.shape[-2] > a.shape[-1]  # the driver that returns residuals takes no other matrices
    found = torch.linalg.lstsq(a, column, driver="gels" if tall else None)
    solution = found.solution[:, 0] if b.ndim == 1 else found.solution
    return solution, found.residuals


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return torch.special.logsumexp(x, dim=over(axis, x), keepdim=keepdims)


def unique(x: Any, return_counts: bool = False) -> Any:
    return torch.unique(x, return_counts=return_counts)


def searchsorted(x: Any, v: Any) -> Any:
    return torch.searchsorted(x, constant(v))


def unwanted(*_: Any, **__: Any) -> Any:
    raise AttributeError("no function of this meaning")


LINALG = Words(
    (torch.linalg,),
    {
        "norm": norm,
        "slogdet": slogdet,
        "svd": svd,
        "qr": qr,
        "eigh": lambda a, UPLO="L": tuple(torch.linalg.eigh(a, UPLO)),
        "eig": lambda a: tuple(torch.linalg.eig(a)),
        "lstsq": lstsq,
        "vector_norm": lambda x, axis=None: torch.linalg.vector_norm(x, dim=axis),
        "trace": lambda a: torch.diagonal(a, dim1=-2, dim2=-1).sum(-1),
        "outer": torch.outer,
        "tensordot": lambda x, y, axes: torch.tensordot(x, y, dims=axes),
        "matrix_transpose": lambda x: x.mT,
    },
)
SPECIAL = Words(
    (torch.special,),
    {
        "log_expit": torch.nn.functional.logsigmoid,
        "loggamma": torch.lgamma,
        "j0": torch.special.bessel_j0,
        "j1": torch.special.bessel_j1,
        "y0": torch.special.bessel_y0,
        "y1": torch.special.bessel_y1,
        "k0": torch.special.modified_bessel_k0,
        "k1": torch.special.modified_bessel_k1,
        "k0e": torch.special.scaled_modified_bessel_k0,
        "k1e": torch.special.scaled_modified_bessel_k1,
        "gammainc": lambda a, x: torch.special.gammainc(tensor(a), tensor(x)),
        "gammaincc": lambda a, x: torch.special.gammaincc(tensor(a), tensor(x)),
        "logsumexp": logsumexp,
        "softmax": lambda x, axis: torch.special.softmax(x, dim=axis),
        "log_softmax": lambda x, axis: torch.special.log_softmax(x, dim=axis),
        "huber": lambda d, x: torch.nn.functional.huber_loss(
            x, torch.zeros_like(x), reduction="none", delta=d
        ),
        "airy": lambda x: (torch.special.airy_ai(x),),
        "eval_chebyt": lambda n, x: torch.special.chebyshev_polynomial_t(x, n),
        "eval_chebyu": lambda n, x: torch.special.chebyshev_polynomial_u(x, n),
        "eval_hermite": lambda n, x: torch.special.hermite_polynomial_h(x, n),
        "eval_hermitenorm": lambda n, x: torch.special.hermite_polynomial_he(x, n),
        "eval_sh_chebyt": lambda n, x: torch.special.shifted_chebyshev_polynomial_t(x, n),
        "eval_sh_chebyu": lambda n, x: torch.special.shifted_chebyshev_polynomial_u(x, n),
        "eval_laguerre": lambda n, x: torch.special.laguerre_polynomial_l(x, n),
        "eval_legendre": lambda n, x: torch.special.legendre_polynomial_p(x, n),
        "spherical_jn": lambda n, x: torch.special.spherical_bessel_j0(x) if n == 0 else unwanted(),
    },
)
FFT = Words((torch.fft,), {})
ALIKE = {
    "conj": "conj_physical", "conjugate": "conj_physical", "degrees": "rad2deg",
    "radians": "deg2rad", "fabs": "abs", "around": "round", "rint": "round", "fix": "trunc",
    "invert": "bitwise_not", "float_power": "float_power", "power": "pow", "divide": "div",
    "mod": "remainder", "array_split": "tensor_split", "equal": "eq",
}  # fmt: skip
NAMESPACE = Words(
    (torch,),
    {
        **{name: with_constants(getattr(torch, other)) for name, other in ALIKE.items()},
        "linalg": LINALG,
        "special": SPECIAL,
        "fft": FFT,
        "float64": torch.float64,
        "nan": math.nan,
        "inf": math.inf,
        "sum": reduction(torch.sum),
        "mean": reduction(torch.mean),
        "nansum": reduction(torch.nansum),
        "nanmean": reduction(torch.nanmean),
        "all": lambda x, axis: torch.all(x, dim=axis),
        "any": lambda x, axis: torch.any(x, dim=axis),
        "max": maxima(torch.amax),
        "min": maxima(torch.amin),
        "amax": maxima(torch.amax),
        "amin": maxima(torch.amin),
        "prod": prod,
        "std": spread(torch.std),
        "var": spread(torch.var),
        "median": middle(torch.quantile),
        "nanmedian": middle(torch.nanquantile),
        "quantile": quantile(torch.quantile),
        "nanquantile": quantile(torch.nanquantile),
        "percentile": quantile(torch.quantile, 0.01),
        "nanpercentile": quantile(torch.nanquantile, 0.01),
        "average": average,
        "cumsum": along(torch.cumsum),
        "cumprod": along(torch.cumprod),
        "cumulative_sum": along(torch.cumsum),
        "cumulative_prod": along(torch.cumprod),
        "diff": diff,
        "gradient": gradient,
        "trapezoid": trapezoid,
        "sort": sort,
        "partition": partition,
        "argsort": lambda x, axis=-1: torch.argsort(x, dim=axis),
        "searchsorted": searchsorted,
        "digitize": lambda x, bins: torch.bucketize(x, constant(bins), right=True),
        "clip": clip,
        "select": select,
        "round": lambda x, decimals=0: torch.round(x, decimals=decimals),
        "ldexp": lambda x, n: torch.ldexp(x, torch.tensor(n)),
        "divmod": lambda x, y: (torch.floor_divide(x, y), torch.remainder(x, y)),
        "modf": lambda x: (torch.frac(x), torch.trunc(x)),
        "frexp": lambda x: tuple(torch.frexp(x)),
        "nextafter": lambda x, y: torch.nextafter(x, torch.tensor(y)),
        "reshape": torch.reshape,
        "transpose": lambda x, axes=None: x.permute(axes or tuple(range(x.ndim))[::-1]),
        "permute_dims": torch.permute,
        "matrix_transpose": lambda x: x.mT,
        "expand_dims": expand_dims,
        "squeeze": squeeze,
        "broadcast_arrays": torch.broadcast_tensors,
        "flip": flip,
        "roll": lambda x, n, axis=None: torch.roll(x, n, dims=axis),
        "rot90": lambda x, k=1, axes=(0, 1): torch.rot90(x, k, axes),
        "repeat": repeat,
        "pad": pad,
        "copy": torch.clone,
        "diagflat": torch.diagflat,
        "trace": lambda x, k=0, a=0, b=1: torch.diagonal(x, k, a, b).sum(-1),
        "meshgrid": lambda x, y, indexing="xy": torch.meshgrid(x, y, indexing=indexing),
        "vander": vander,
        "astype": lambda x, dtype: x.to(dtype),
        "take": take,
        "take_along_axis": lambda x, i, axis: torch.take_along_dim(x, constant(i), dim=axis),
        "compress": lambda c, x, axis: x[torch.as_tensor(c)],
        "extract": lambda c, x: torch.masked_select(x, constant(c)),
        "append": lambda x, y, axis=None: concatenate((x, y), axis),
        "bincount": lambda i, weights: torch.bincount(torch.as_tensor(i), weights=weights),
        "concatenate": concatenate,
        "concat": concatenate,
        "stack": lambda xs, axis=0: torch.stack(tuple(xs), dim=axis),
        "split": split,
        "dsplit": torch.dsplit,
        "unstack": lambda x, axis=0: torch.unbind(x, axis),
        "array": lambda xs: torch.stack([tensor(x) for x in xs]),
        "asarray": torch.asarray,
        "dot": lambda x, y: torch.dot(x, y) if x.ndim == 1 else torch.tensordot(
            x, y, ([-1], [-2])),
        "vdot": lambda x, y: torch.vdot(x.reshape(-1), y.reshape(-1)),
        "vecdot": torch.linalg.vecdot,
        "matvec": torch.mv,
        "vecmat": lambda a, b: a @ b,
        "tensordot": lambda x, y, axes=2: torch.tensordot(x, y, dims=axes),
        "cross": torch.linalg.cross,
        "convolve": convolve,
        "correlate": correlate,
        "cov": cov,
        "einsum": einsum,
        "corrcoef": torch.corrcoef,
        "linspace": unwanted,
        "logspace": unwanted,
        "unique": unique,
        "count_nonzero": lambda x, axis: torch.count_nonzero(x, dim=axis),
        "nonzero": lambda x: torch.nonzero(x, as_tuple=True),
        "allclose": lambda x, y: torch.tensor(torch.allclose(x, y)),
        "histogram": lambda x, n: tuple(torch.histogram(x, n)),
        "tile": torch.tile,
        "real_if_close": unwanted,
        "abs": torch.abs,
        "where": lambda c, x, y: torch.where(constant(c), x, y),
    },
)  # fmt: skip


def after(change: Callable[..., Any]) -> Callable[..., Any]:
    def changed(np: Any, x: Any, *others: Any) -> Any:
        out = x.clone()
        change(out, *others)
        return out * x

    return changed


MASK, FIRST = torch.as_tensor(M > 0), torch.tensor([0, 2, 0])
PLACES = torch.tensor([0, 5, 7])


def assign(x: Any, mask: Any, y: Any) -> None:
    x[mask] = y[mask]


def put_along(x: Any, y: Any) -> None:
    x.scatter_(1, torch.as_tensor(INDICES)[:, None], y[:3, None])


OWN: dict[str, Any] = {
    "copyto": after(lambda x, y: assign(x, MASK, y)),
    "putmask": after(lambda x, y: assign(x, MASK, y)),
    "put": after(lambda x, y: x.put_(PLACES, y[:3])),
    ".put": after(lambda x, y: x.put_(PLACES, y[:3])),
    "put_along_axis": after(put_along),
    "fill_diagonal": after(lambda x, y: x.diagonal().copy_(y[0])),
    ".fill": after(lambda x, y: x.fill_(y[1])),
    "add.at": after(lambda x, y: x.index_put_((FIRST,), y[:3], accumulate=True)),
    "subtract.at": after(lambda x, y: x.index_put_((FIRST,), -y[:3], accumulate=True)),
    ".sort": after(lambda x: x.copy_(x.sort(dim=1).values)),
    "subtract.outer": lambda np, x, y: x[:, None, None] - y,
    "add.outer": lambda np, x, y: x[:, None] + y,
    "multiply.outer": lambda np, x, y: torch.outer(x, y),
    "maximum.reduce": lambda np, x: torch.amax(x, 1),
    "minimum.reduce": lambda np, x: torch.amin(x, 0),
    "multiply.reduce": lambda np, x: torch.prod(x, 1),
    "logaddexp.reduce": lambda np, x: torch.logsumexp(x, 1),
    "add.accumulate": lambda np, x: torch.cumsum(x, 1),
    "multiply.accumulate": lambda np, x: torch.cumprod(x, 0),
    "maximum.accumulate": lambda np, x: torch.cummax(x, 0).values,
    "minimum.accumulate": lambda np, x: torch.cummin(x, 1).values,
    "lib.stride_tricks.sliding_window_view": lambda np, x: x.unfold(0, 3, 1),
    ".nonzero": lambda np, x: (x > 0).nonzero(as_tuple=True),
    ".max": lambda np, x: x.max(),
    ".std": lambda np, x: x.std(correction=0),
    ".var": lambda np, x: x.var(correction=0),
    ".transpose": lambda np, x: x.T,
    ".copy": lambda np, x: x.clone(),
    ".cumsum": lambda np, x: x.reshape(-1).cumsum(0),
    ".cumprod": lambda np, x: x.reshape(-1).cumprod(0),
    ".take": lambda np, x: x.index_select(1, torch.tensor([0, 2])),
    ".repeat": lambda np, x: x.repeat_interleave(2, dim=0),
    ".astype": lambda np, x: x.to(torch.float64),
    ".dot": lambda np, x, y: x.mm(y),
    ".conjugate": lambda np, x: x.conj_physical(),
    ".conj": lambda np, x: x.conj_physical(),
    ".swapaxes": lambda np, x: x.swapaxes(0, 1),
    "add.reduce": (lambda np, x: torch.sum(x, 0), lambda np, x: torch.sum(x)),
}
