"""Every row of the rule book as machine code, held against the same row as it is interpreted.

Each row is compiled together with its derivatives in both directions, for all its samples at once,
and compared with NumPy: values, shapes, dtypes, and whether a result is a NumPy scalar or an array.
"""

import itertools

import numpy as np
import pytest
from oracles import shifted_layouts
from samples import Made, all_structured, elementwise

import chainrule as cr
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Flat
from chainrule.rules import BOOK

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning"),
]

ELEMENTWISE, STRUCTURED = elementwise(), all_structured()
each_elementwise_row = pytest.mark.parametrize("name", list(ELEMENTWISE))
each_structured_row = pytest.mark.parametrize("name", list(STRUCTURED))

SPECIAL = [
    0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 1e-300, -1e-300, 5e-324, -5e-324, 1e-310, 700.0,
    1e308, -1e308, np.inf, -np.inf, np.nan,
]  # fmt: skip


def leaves(tree):
    return [x for part in tree for x in leaves(part)] if isinstance(tree, list | tuple) else [tree]


def assert_alike(found, expected, ulps, floor=0.0, where=""):
    """The same kind of thing: type, dtype and shape; numbers within ``ulps``, the rest the same.

    ``floor`` is a size, as a part of the largest number of the result, below which errors are not
    relative any more: sums of numbers that cancel have no digits of their own there.
    """
    for k, (a, b) in enumerate(zip(leaves(found), leaves(expected), strict=True)):
        at = f"{where} result {k}: {a!r} instead of {b!r}"
        assert type(a) is type(b), at
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype, at
        assert a.shape == b.shape, at
        if b.dtype.kind != "f":
            assert np.array_equal(a, b), at
            continue
        assert np.array_equal(np.isnan(a), np.isnan(b)), at
        assert np.array_equal(np.where(np.isinf(a), a, 0), np.where(np.isinf(b), b, 0)), at
        usual = np.isfinite(a) & np.isfinite(b)
        a, b = a[usual].astype(float), b[usual].astype(float)
        info = np.finfo(found_dtype(expected, k))
        size = np.max(np.abs(b), initial=0.0)
        allowed = ulps * float(info.eps) * np.maximum(np.abs(b), floor * size)
        smallest = float(info.smallest_subnormal) * ulps
        off = np.abs(a - b) > allowed + smallest
        assert not off.any(), (
            f"{at}; off by {(np.abs(a - b) / (allowed + smallest)).max() * ulps} ulp"
        )


def found_dtype(tree, k):
    return np.asarray(leaves(tree)[k]).dtype


def allowed_ulps(row, derivative=False):
    """How far the compiled row may be from NumPy's, which both are from the truth."""
    ulps = 1e6 if row.ulps == np.inf else row.ulps
    return 64 * (ulps + 4) if derivative else ulps + 4


def direction(x):
    """A generic tangent or cotangent, of the dtype of ``x``."""
    rng = np.random.default_rng(7 + np.size(x))
    numbers = rng.uniform(0.2, 1.0, np.shape(x)) * rng.choice([-1, 1], np.shape(x))
    return numbers.astype(np.asarray(x).dtype)[()]


def floats(args, dtype):
    return tuple(
        a.astype(dtype)[()] if np.asarray(a).dtype == np.float64 and not isinstance(a, float) else a
        for a in map(np.asarray, args)
    )


def value_and_derivatives(row, args, attrs, both=True):
    """The value, what the pullback makes of a cotangent, and the tangent along a direction."""
    fixed = list(args)
    moved = [
        i for i, a in enumerate(args)
        if not isinstance(row.edge(i), Flat) and np.result_type(a).kind == "f"
    ]  # fmt: skip

    def f(*values):
        for i, x in zip(moved, values, strict=True):
            fixed[i] = x
        return bind(row, tuple(fixed), attrs)

    if not moved or not row.recorded:
        return [bind(row, args, attrs)]
    at = tuple(args[i] for i in moved)
    out, pull = cr.vjp(f, *at)
    if np.result_type(out).kind != "f":
        return [out]
    found = [out, *pull(direction(np.zeros(np.shape(out), np.result_type(out))))]
    tangents = tuple(direction(np.zeros(np.shape(x), np.result_type(x))) for x in at)
    return [*found, cr.jvp(f, at, tangents)[1]] if both else found


def made(arg):
    return arg.make(arg.free) if isinstance(arg, Made) else arg


def columns(name):
    return tuple(map(np.array, zip(*ELEMENTWISE[name][1], strict=True)))


# ------------------------------------------------------------------------------------------ claims


@each_elementwise_row
def test_an_elementwise_row_is_compiled_to_what_numpy_gives(name):
    row, at = BOOK[name], columns(name)
    first = tuple(c[0].item() for c in at)
    some = [
        at,
        floats(at, np.float32),
        tuple(c.reshape(-1, 1) if k % 2 else c for k, c in enumerate(at)),
        tuple(np.asarray(p)[()] for p in first),
        tuple(c[:0] for c in at),
    ]
    half = floats(at, np.float16)

    def all_of(given, numbers, halves):
        found = [value_and_derivatives(row, args, {}) for args in given]
        return found, bind(row, numbers, {}), bind(row, halves, {})

    compiled = cr.jit(all_of)
    expected, *plain = all_of(some, first, half)
    found, *others = compiled(some, first, half)
    for part, other in zip(found, expected, strict=True):
        assert_alike(part[:1], other[:1], allowed_ulps(row))
        assert_alike(part[1:], other[1:], allowed_ulps(row, derivative=True), 1e-2)
    assert_alike(others, plain, allowed_ulps(row))
    for k in range(len(shifted_layouts(at[0]))):
        moved = [tuple(shifted_layouts(x)[k][1] for x in at), *some[1:]]
        again, *_ = compiled(moved, first, half)
        assert_alike(again, found, 0.0, where="in another layout")


@each_elementwise_row
def test_an_elementwise_row_treats_special_numbers_as_numpy_does(name):
    row, sample = BOOK[name], ELEMENTWISE[name][1][0]
    if row.ulps == np.inf:
        return  # these are left to NumPy
    choices = [
        SPECIAL
        if isinstance(p, float)
        else [False, True]
        if isinstance(p, bool)
        else [0, 1, 2, 3, -1]
        for p in sample
    ]
    everything = list(itertools.product(*choices))[:3000]
    wide = tuple(map(np.array, zip(*everything, strict=True)))
    with np.errstate(all="ignore"):
        narrow = floats(wide, np.float32)
    compiled = cr.jit(lambda a, b: (bind(row, a, {}), bind(row, b, {})))
    for found, given in zip(compiled(wide, narrow), (wide, narrow), strict=True):
        expected = bind(row, given, {})
        assert_alike(found, expected, allowed_ulps(row))
        signed = np.isfinite(expected) & (np.asarray(expected) == 0)
        if signed.any() and np.asarray(expected).dtype.kind == "f":
            off = signed & (np.signbit(found) != np.signbit(expected)) & (np.asarray(found) == 0)
            assert not off.any(), [tuple(c[k] for c in given) for k in np.flatnonzero(off)[:4]]


@each_structured_row
def test_an_array_operation_is_compiled_to_what_numpy_gives(name):
    row, cases = BOOK[name], STRUCTURED[name].cases
    narrow = [d for d in STRUCTURED[name].dtypes if d is np.float32]
    cases = [(tuple(map(made, c.args)), c.attrs) for c in cases]
    cases += [(floats(args, d), attrs) for args, attrs in cases for d in narrow]
    some = [args for args, _ in cases]

    def all_of(given):
        return [
            value_and_derivatives(row, args, attrs)
            for args, (_, attrs) in zip(given, cases, strict=True)
        ]

    compiled = cr.jit(all_of)
    expected, found = all_of(some), compiled(some)
    for part, other in zip(found, expected, strict=True):
        assert_alike(part[:1], other[:1], 4 * allowed_ulps(row), 1.0)
        assert_alike(part[1:], other[1:], allowed_ulps(row, derivative=True), 1.0)
    for k in range(4):
        moved = [tuple(otherwise(x, k) for x in args) for args in some]
        assert_alike(compiled(moved), found, 0.0, where="in another layout")


def otherwise(x, k):
    """An array in another layout; what is none stays as it is."""
    layouts = shifted_layouts(x)
    return layouts[k][1] if isinstance(x, np.ndarray) and len(layouts) > k else x
