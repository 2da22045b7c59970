"""Sums of products over named axes: einsum, and tensordot, convolve and correlate beside it.

An einsum of any number of operands is a sequence of contractions of two. Each is one row whose
subscripts are in normal form: every letter stands once in an operand, and in two or all three of
the operands and the output. The transpose of such a contraction is one again.
"""

from __future__ import annotations

import functools
import math
import string
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from chainrule.errors import NotDifferentiableError, TraceError
from chainrule.graph.operand import Attrs, Operand, bind, refuse_out
from chainrule.graph.primitive import Bilinear, Primitive
from chainrule.graph.tape import shape_of
from chainrule.rules.book import define, numpy_function
from chainrule.rules.shapes import array_of, reshape, sum_to, transpose

Labels = tuple[Hashable, ...]


def operands(function: str, *values: Any) -> tuple[Any, ...]:
    """The arguments of a NumPy function as arrays and operands.

    Raises:
        NotDifferentiableError: One of them is complex.
    """
    found = tuple(map(array_of, values))
    if any(value.dtype.kind == "c" for value in found):
        raise NotDifferentiableError(
            f"{function} of a traced value and a complex array: complex derivatives are not "
            "supported yet.\nCompute with the real and the imaginary part."
        )
    return found


# ------------------------------------------------------------------------------ one contraction


@functools.lru_cache(maxsize=4096)
def _plan(subscripts: str) -> tuple[str, str, str, tuple[str, str, str, str]]:
    """Letters of both operands and of the output; shared, summed, only left, only right."""
    inputs, out = subscripts.split("->")
    left, right = inputs.split(",")
    shared = "".join(c for c in left if c in right and c in out)
    summed = "".join(c for c in left if c in right and c not in out)
    alone = "".join(c for c in left if c not in right), "".join(c for c in right if c not in left)
    return left, right, out, (shared, summed, *alone)


def letters_of(name: str, args: Sequence[Any], attrs: Attrs) -> tuple[str, str, str] | None:
    """The names of the axes of both factors of a contraction, and of their product.

    Of stacks of matrices, axes that are repeated along each other have the same name.

    Returns:
        A letter for each axis; ``None`` if the primitive of that name has no letters.
    """
    if name == "einsum":
        left, right, out, _ = _plan(attrs["subscripts"])
        return left, right, out
    if name != "matmul":
        return None
    first, second = (len(shape_of(a)) for a in args)
    depth = max(first, second, 2) - 2
    stack = string.ascii_lowercase[:depth]
    left = "K" if first == 1 else stack[depth - (first - 2) :] + "MK"
    right = "K" if second == 1 else stack[depth - (second - 2) :] + "KN"
    return left, right, stack + "M" * (first > 1) + "N" * (second > 1)


def summed_products(args: Sequence[Any], letters: tuple[str, str, str]) -> int:
    """How many products each element of a contraction is the sum of."""
    *inputs, out = letters
    sizes = {
        c: n for x, own in zip(args, inputs, strict=True)
        for c, n in zip(own, shape_of(x), strict=True) if n != 1 and c not in out
    }  # fmt: skip
    return math.prod(sizes.values())


def _contraction(a: Any, b: Any, subscripts: str) -> Any:
    """A sum of products as one product of (stacks of) matrices, which NumPy gives to the BLAS."""
    left, right, out, (shared, summed, rows, columns) = _plan(subscripts)
    sizes = dict(zip(left + right, np.shape(a) + np.shape(b), strict=True))
    count = [math.prod(sizes[c] for c in group) for group in (summed, rows, columns)]
    stack = tuple(sizes[c] for c in shared)
    x = np.transpose(a, [left.index(c) for c in shared + rows + summed])
    y = np.transpose(b, [right.index(c) for c in shared + summed + columns])
    x = x.reshape((*stack, count[1], count[0]))
    y = y.reshape((*stack, count[0], count[2]))
    if not summed:
        product = x * y
    elif shared and count[1] == count[2] == 1:
        # Many short inner products: a call of the BLAS for each would cost more than it saves.
        product = np.einsum("...k,...k->...", x[..., 0, :], y[..., 0])
    else:
        product = np.matmul(x, y)
    order = shared + rows + columns
    product = product.reshape([sizes[c] for c in order])
    return np.transpose(product, [order.index(c) for c in out])


def _contraction_of_batches(
    row: Primitive, size: int, args: Sequence[Any], batched: Sequence[bool], attrs: Attrs
) -> Any:
    """The batch is one more letter."""
    left, right, out, _ = _plan(attrs["subscripts"])
    letter = next(c for c in string.ascii_letters if c not in left + right)
    one, other = (letter * own + part for own, part in zip(batched, (left, right), strict=True))
    return bind(row, tuple(args), {"subscripts": f"{one},{other}->{letter}{out}"})


def _contraction_left(ct: Any, a: Any, b: Any, subscripts: str) -> Any:
    left, right, out, _ = _plan(subscripts)
    return bind(EINSUM, (ct, b), {"subscripts": f"{out},{right}->{left}"})


def _contraction_right(ct: Any, a: Any, b: Any, subscripts: str) -> Any:
    left, right, out, _ = _plan(subscripts)
    return bind(EINSUM, (a, ct), {"subscripts": f"{left},{out}->{right}"})


EINSUM: Primitive = define(
    "einsum", _contraction, Bilinear(_contraction_left), Bilinear(_contraction_right),
    elementwise=False, structure="contraction", batch=_contraction_of_batches, ulps=100.0,
)  # fmt: skip


def contract(a: Any, left: Labels, b: Any, right: Labels, out: Labels) -> Any:
    """The sum of products of two operands whose axes are labelled.

    A label stands once in an operand. What stands in one operand alone is summed before.
    """
    a, left = _summed(a, left, {*right, *out})
    b, right = _summed(b, right, {*left, *out})
    letters = dict(zip(dict.fromkeys((*left, *right)), string.ascii_letters, strict=False))
    one, other, result = ("".join(letters[label] for label in part) for part in (left, right, out))
    return bind(EINSUM, (a, b), {"subscripts": f"{one},{other}->{result}"})


def stacked_product(a: Any, left: str, b: Any, right: str, out: str, shape: tuple[int, ...]) -> Any:
    """The contraction of the last axes of two stacks, summed over the stack to ``shape``.

    The axes before those that ``left`` and ``right`` name broadcast. This is what the transposes of
    matrix products are; the sum over the stack is part of the one contraction.
    """
    width = len(shape) - len(out)
    ndim = max(np.ndim(a) - len(left), np.ndim(b) - len(right), width)
    sizes = np.broadcast_shapes(
        shape_of(a)[: np.ndim(a) - len(left)], shape_of(b)[: np.ndim(b) - len(right)]
    )
    sizes = (1,) * (ndim - len(sizes)) + sizes
    kept = (0,) * (ndim - width) + shape[:width]
    stack: Labels = tuple(i for i in range(ndim) if kept[i] == sizes[i] != 1)
    a, one = _without_repetition(a, left, sizes)
    b, other = _without_repetition(b, right, sizes)
    return reshape(contract(a, one, b, other, (*stack, *out)), shape)


def _without_repetition(x: Any, letters: str, sizes: tuple[int, ...]) -> tuple[Any, Labels]:
    """A stack without the axes that are repeated by broadcasting, and the labels of the others."""
    stack = np.ndim(x) - len(letters)
    first = len(sizes) - stack
    whole = [i for i in range(stack) if shape_of(x)[i] == sizes[first + i] != 1]
    core = shape_of(x)[stack:]
    return (
        reshape(x, (*(shape_of(x)[i] for i in whole), *core)),
        (*(first + i for i in whole), *letters),
    )


def _summed(x: Any, labels: Labels, needed: Iterable[Hashable]) -> tuple[Any, Labels]:
    """The sum over the axes whose labels nobody needs."""
    needed = set(needed)
    axes = tuple(i for i, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    return np.sum(x, axis=axes), tuple(label for label in labels if label in needed)


# -------------------------------------------------------------------------------------- einsum


@numpy_function(np.einsum)
def _einsum(
    *given: Any, out: Any = None, dtype: Any = None, order: str = "K", casting: str = "safe",
    optimize: Any = False,
) -> Any:  # fmt: skip
    refuse_out("einsum", out)
    if dtype is not None or casting != "safe":
        raise TraceError(
            "np.einsum of a traced value takes neither dtype= nor casting=.\n"
            "Convert the operands with .astype first."
        )
    arrays, terms, result = _read(given)
    sizes = _sizes(arrays, terms)
    pairs = [_distinct(x, term, sizes) for x, term in zip(arrays, terms, strict=True)]
    if len(pairs) < 3:
        path: Any = [tuple(range(len(pairs)))]
    else:
        strategy = "greedy" if isinstance(optimize, bool) else optimize
        path = np.einsum_path(*map(_hollow, given), optimize=strategy)[0][1:]
    return _contracted(pairs, result, path)


@numpy_function(np.einsum_path)
def _einsum_path(*given: Any, optimize: Any = "greedy", einsum_call: Any = False) -> Any:
    """The path depends on shapes alone."""
    return np.einsum_path(*map(_hollow, given), optimize=optimize, einsum_call=einsum_call)


def _hollow(x: Any) -> Any:
    """An array of the same shape that takes no memory."""
    return np.broadcast_to(0.0, x.shape) if isinstance(x, Operand | np.ndarray) else x


def _read(given: Sequence[Any]) -> tuple[list[Any], list[Labels], Labels]:
    """The operands, the labels of their axes, and the labels of the result's.

    Raises:
        ValueError: NumPy's own, if the subscripts do not fit the operands.
    """
    result: list[Any] | None
    if given and isinstance(given[0], str):
        arrays = list(operands("np.einsum", *given[1:]))
        inputs, arrow, output = given[0].replace(" ", "").partition("->")
        terms = [_letters(term) for term in inputs.split(",")]
        result = _letters(output) if arrow else None
        dummies = [given[0], *map(_smallest, arrays)]
    else:
        paired = len(given) // 2 * 2
        arrays = list(operands("np.einsum", *given[:paired:2]))
        terms = [list(sublist) for sublist in given[1:paired:2]]
        result = list(given[-1]) if len(given) % 2 else None
        dummies = [part for x, term in zip(arrays, terms, strict=True)
                   for part in (_smallest(x), term)]  # fmt: skip
        dummies += [] if result is None else [result]
    np.einsum(*dummies)  # complains about anything but lengths
    dots = [
        np.ndim(x) - sum(c is not Ellipsis for c in term)
        for x, term in zip(arrays, terms, strict=True)
    ]
    labels = [_expanded(term, n) for term, n in zip(terms, dots, strict=True)]
    if result is None:
        counts = Counter(c for term in terms for c in term if c is not Ellipsis)
        result = [Ellipsis, *sorted(c for c, n in counts.items() if n == 1)]
    return arrays, labels, _expanded(result, max(dots))


def _letters(term: str) -> list[Any]:
    return list(term.partition("...")[0]) + (
        [Ellipsis, *term.partition("...")[2]] if "..." in term else []
    )


def _smallest(x: Any) -> Any:
    """An array of as many dimensions with no more than one element."""
    return np.zeros([min(n, 1) for n in shape_of(x)])


def _expanded(term: Sequence[Any], dots: int) -> Labels:
    """The labels with those of the axes that an ellipsis stands for, counted from the right."""
    found: list[Hashable] = []
    for label in term:
        found += [(Ellipsis, i - dots) for i in range(dots)] if label is Ellipsis else [label]
    return tuple(found)


def _sizes(arrays: Sequence[Any], terms: Sequence[Labels]) -> dict[Hashable, int]:
    """The length of the axes with each label; an axis of length 1 is repeated."""
    sizes: dict[Hashable, int] = {}
    for x, term in zip(arrays, terms, strict=True):
        for label, size in zip(term, shape_of(x), strict=True):
            before = sizes.setdefault(label, size)
            if before == 1:
                sizes[label] = size
            elif size not in (1, before):
                shapes = " ".join(str(shape_of(a)) for a in arrays)
                raise ValueError(
                    f"operands could not be broadcast together: axes of lengths {before} and "
                    f"{size} have the same subscript; shapes {shapes}"
                )
    return sizes


def _distinct(x: Any, term: Labels, sizes: dict[Hashable, int]) -> tuple[Any, Labels]:
    """An operand with every label once: repeated axes dropped, diagonals taken."""
    if len({(label, n) for label, n in zip(term, shape_of(x), strict=True)}) > len(set(term)):
        raise ValueError(f"an operand of shape {shape_of(x)} has no diagonal of unequal axes")
    kept = [i for i, label in enumerate(term) if shape_of(x)[i] == sizes[label]]
    if len(kept) < len(term):
        x = reshape(x, tuple(shape_of(x)[i] for i in kept))
    term = tuple(term[i] for i in kept)
    while len(set(term)) < len(term):
        label = next(c for c, n in Counter(term).items() if n > 1)
        one, other = [i for i, c in enumerate(term) if c == label][:2]
        x = np.diagonal(x, 0, one, other)
        term = (*(c for i, c in enumerate(term) if i not in (one, other)), label)
    return x, term


def _contracted(pairs: list[tuple[Any, Labels]], result: Labels, path: Iterable[Any]) -> Any:
    """All operands contracted, two at a time, in the order of ``path``."""
    for chosen in path:
        taken = [pairs[i] for i in chosen]
        pairs = [pair for i, pair in enumerate(pairs) if i not in chosen]
        x, term = taken[0]
        for k, (y, other) in enumerate(taken[1:], 2):
            rest = [*pairs, *taken[k:]]
            needed = {*result, *(c for _, labels in rest for c in labels)}
            out = tuple(c for c in dict.fromkeys((*term, *other)) if c in needed)
            out = out if rest else result
            x, term = contract(x, term, y, other, out), out
        pairs.append((x, term))
    (x, term), = pairs
    x, term = _summed(x, term, result)
    return x if term == result else transpose(x, [term.index(c) for c in result])


# ----------------------------------------------------------------------------------- tensordot


def tensordot(a: Any, b: Any, axes: Any) -> Any:
    """``np.tensordot`` on arrays and operands alike."""
    if isinstance(axes, int | np.integer):
        one: Any = range(np.ndim(a) - int(axes), np.ndim(a))
        other: Any = range(int(axes))
    else:
        one, other = axes
    left, right = normalize_axis_tuple(one, np.ndim(a)), normalize_axis_tuple(other, np.ndim(b))
    if len(left) != len(right) or any(
        shape_of(a)[i] != shape_of(b)[j] for i, j in zip(left, right, strict=True)
    ):
        raise ValueError("shape-mismatch for sum")
    first: list[Hashable] = [("a", i) for i in range(np.ndim(a))]
    second: list[Hashable] = [("b", i) for i in range(np.ndim(b))]
    for i, j in zip(left, right, strict=True):
        second[j] = first[i]
    out = [c for c in first if c not in second] + [c for c in second if c not in first]
    return contract(a, tuple(first), b, tuple(second), tuple(out))


@numpy_function(np.tensordot, np.linalg.tensordot)
def _tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    a, b = operands("np.tensordot", a, b)
    return tensordot(a, b, axes)


# -------------------------------------------------------------------------------- convolutions


def _convolution(a: Any, v: Any, mode: Any) -> Any:
    """``np.convolve`` along the last axis; ``v`` is not the longer of the two."""
    if np.ndim(a) == np.ndim(v) == 1:
        return np.convolve(a, v, mode)
    width = np.shape(v)[-1]
    if mode == "full":
        a = np.pad(a, [(0, 0)] * (np.ndim(a) - 1) + [(width - 1, width - 1)])
    windows = np.lib.stride_tricks.sliding_window_view(a, width, -1)
    return np.einsum("...nk,...k->...n", windows, v[..., ::-1])


def _reversed(x: Any) -> Any:
    return x[..., ::-1]


def convolve(a: Any, v: Any, mode: str) -> Any:
    """The convolution along the last axis, in mode full or valid."""
    if shape_of(v)[-1] > shape_of(a)[-1]:
        a, v = v, a
    return bind(CONVOLVE, (a, v), {"mode": mode})


def _convolve_left(ct: Any, a: Any, v: Any, mode: str) -> Any:
    return sum_to(convolve(ct, _reversed(v), _OTHER[mode]), shape_of(a))


def _convolve_right(ct: Any, a: Any, v: Any, mode: str) -> Any:
    if mode == "full":
        return sum_to(convolve(ct, _reversed(a), "valid"), shape_of(v))
    return sum_to(_reversed(convolve(a, _reversed(ct), "valid")), shape_of(v))


_OTHER = {"full": "valid", "valid": "full"}
CONVOLVE: Primitive = define(
    "convolve", _convolution, Bilinear(_convolve_left), Bilinear(_convolve_right),
    text="{0} * {1}", latex=r"{0} * {1}", elementwise=False, structure="Toeplitz", stacked=(1,),
)  # fmt: skip


def _signals(function: str, a: Any, v: Any) -> tuple[Any, Any]:
    a, v = (reshape(x, (1,)) if np.ndim(x) == 0 else x for x in operands(function, a, v))
    if np.ndim(a) > 1 or np.ndim(v) > 1:
        raise ValueError("object too deep for desired array")
    for x, word in ((a, "a"), (v, "v")):
        if not np.size(x):
            raise ValueError(f"{word} cannot be empty")
    return a, v


def _mode(mode: Any) -> str:
    """The mode by its name, or by the number that NumPy takes as well."""
    for number, name in enumerate(("valid", "same", "full")):
        if mode in (name, number):
            return name
    raise ValueError(f"mode must be 'valid', 'same' or 'full', not {mode!r}")


def _part(a: Any, v: Any, mode: str, start: int) -> Any:
    """The convolution in any mode; ``start`` is where the middle begins that mode same keeps."""
    if mode != "same":
        return convolve(a, v, mode)
    whole = convolve(a, v, "full")
    return whole[start : start + max(np.size(a), np.size(v))]


@numpy_function(np.convolve)
def _convolve(a: Any, v: Any, mode: str = "full") -> Any:
    a, v = _signals("np.convolve", a, v)
    return _part(a, v, _mode(mode), (min(np.size(a), np.size(v)) - 1) // 2)


@numpy_function(np.correlate)
def _correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    a, v = _signals("np.correlate", a, v)
    longer, shorter = np.size(a) >= np.size(v), min(np.size(a), np.size(v))
    start = (shorter - 1) // 2 if longer else shorter // 2
    return _part(a, _reversed(v), _mode(mode), start)
