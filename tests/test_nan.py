"""Bad numbers: where they are born, what hid them, the fix, and the guard that finds out."""

import contextvars
import dataclasses
import inspect
import json
import re
import threading
import warnings
import weakref

import nan_cases
import numpy as np
import pytest
import scipy.special
from typer.testing import CliRunner

import chainrule as cr
from chainrule.chain.supports import plain_products
from chainrule.cli.app import app
from chainrule.diagnosis.birth import bad_values
from chainrule.diagnosis.guard import BadValueWarning
from chainrule.diagnosis.report import code_at
from chainrule.errors import ArgumentsError, BadValueError
from chainrule.tree import flatten

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

FLOAT32 = np.float32


def marked(f, mark):
    """The line of a function (or of one that it calls) that ends in a mark."""
    lines, first = inspect.getsourcelines(f)
    here = [first + n for n, line in enumerate(lines) if line.rstrip().endswith(f"# {mark}")]
    if not here and "_root(" in "".join(lines):
        return marked(nan_cases._root, mark)
    (line,) = here
    return line


def apart(report):
    """The values before and after the fixes, and the derivatives after them, as arrays."""
    proof = report.proof
    return [np.asarray(v) for _, _, v in proof.values], [
        np.asarray(v) for _, v in proof.derivatives
    ]


# --------------------------------------------------------------------------------- published cases

# Function, argument, operation, pair, what hid it, the right gradient, what to write.
PUBLISHED = [
    ("pytorch_36923", 1.0, "divide", "∞·0", "where", 1.0, "x / np.where(x >= T, 1.0, T)"),
    ("pytorch_23395", [16.0, 0.0], "sqrt", "∞·0", "where", [0.125, 0.5],
     "np.sqrt(np.where(x == 0.0, 1.0, x))"),
    ("pytorch_52248", 0.3, "divide", "∞·0", "where", 0.0, "a / np.where(b, 0, 1.0)"),
    ("jax_2630", 1.0, "multiply", "∞·0", "where", 0.0, "np.where(x > 0, 1.0, x) * np.inf"),
    ("jax_2630_root", [0.0, 4.0], "sqrt", "∞·0", "where", [0.0, 0.25],
     "np.sqrt(np.where(x <= 0, 1.0, x))"),
    ("autograd_802", 1.0, "sqrt", "NaN·0", "where", 1.0, "np.sqrt(np.where(x >= 0, 1.0, -x))"),
    ("tinygrad_12409", np.zeros(1, FLOAT32), "sqrt", "∞·0", "where", [0.0],
     "np.sqrt(np.where(x == 0, 1.0, x))"),
    ("pytorch_4132", [1.0, 1.0], "divide", "∞·0", "index", [0.0, 1.0],
     "x / np.where(DIVISOR != 0, DIVISOR, 1.0)"),
    ("pytorch_10729", np.array([-10, 100], FLOAT32), "exp", "∞·0", "minimum", [4.539993e-05, 0],
     "np.exp(np.where(x < 44, x, 0.0))"),
    ("pytorch_15506", [0.0, 1.0, 2.0, 3.0], "log", "∞·0", "index", [0, 0, 0, 1 / 3],
     "np.log(np.where(a > 0, a, 1.0))"),
    ("pytorch_68425", 1000.0, "exp", "∞·0", "where", 1.0, "np.exp(np.where(a <= 0, a, 0.0))"),
    ("pytorch_94700", 0.3, "multiply", "NaN·0", "where", 0.0,
     "np.where(np.isfinite(W), x, 1.0) * W"),
    ("pytorch_93998", [1.0, 0.0, 2.0, 3.0], "arctan2", "NaN·0", "index", [-0.4 / 3, 0, 0, 0],
     "np.arctan2(np.array([2.0, 0.0, 0.0, 0.0]), np.where(KEPT, x, 1.0))"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "x", "operation", "pair", "hider", "gradient", "write"), PUBLISHED,
    ids=[c[0] for c in PUBLISHED],
)  # fmt: skip
def test_the_birth_the_hider_and_a_proven_fix_of_a_published_case(
    name, x, operation, pair, hider, gradient, write
):
    f = getattr(nan_cases, name)
    x = np.asarray(x)[()] if isinstance(x, np.ndarray) else np.asarray(x, float)[()]
    report = bad_values(f, supports=False)(x)
    birth = report.birth
    assert not report.finite
    assert {r.kind for r in report.results} == {"gradient"}, "the value hides it"
    assert (birth.when, birth.what) == ("backward", "born")
    assert (birth.operation, birth.pair, birth.line) == (operation, pair, marked(f, "born"))
    assert np.isnan(birth.value)
    (hidden,) = report.hidden_by
    assert (hidden.operation, hidden.how) == (hider, "select")
    assert hidden.place.line == marked(f, "hidden")
    (fix,) = report.fixes
    assert (fix.write, fix.place.line) == (write, marked(f, "born"))
    assert report.proof.finite
    assert report.proof.unchanged
    (after,), (slope,) = apart(report)
    np.testing.assert_array_equal(after, f(x))
    np.testing.assert_allclose(slope, gradient, rtol=1e-6)
    # With supports, as everywhere else here, there is nothing to find.
    assert bad_values(f)(x).finite
    np.testing.assert_allclose(cr.grad(f)(x), gradient, rtol=1e-6)


@pytest.mark.parametrize("case", PUBLISHED, ids=[c[0] for c in PUBLISHED])
def test_what_a_fix_says_helps_when_it_is_written_into_the_program(case):
    f = getattr(nan_cases, case[0])
    x = (
        np.asarray(case[1])[()]
        if isinstance(case[1], np.ndarray)
        else np.asarray(case[1], float)[()]
    )
    (fix,) = bad_values(f, supports=False)(x).fixes
    source = inspect.getsource(f)
    assert source.count(fix.instead_of) == 1
    scope = dict(vars(nan_cases))
    exec(source.replace(fix.instead_of, fix.write), scope)
    mended = scope[f.__name__]
    with plain_products():
        assert not np.isfinite(cr.grad(f)(x)).all()
        np.testing.assert_allclose(cr.grad(mended)(x), case[5], rtol=1e-6)
    np.testing.assert_array_equal(mended(x), f(x))


# ------------------------------------------------------------------------------ births of all kinds

OVER, UNDER = [800.0, 0.0], [-800.0, 0.0]
# Function, arguments, when, operation, pair, what to write.
BIRTHS = [
    ("log_of_a_softmax", [UNDER], "forward", "log", "log(0)", "scipy.special.log_softmax(z)[0]"),
    ("log_of_softmaxes", [[UNDER, [1, 2]]], "forward", "log", "log(0)",
     "scipy.special.log_softmax(z, axis=1)"),
    ("softmax_overflows", [OVER], "forward", "exp", "exp(800)", "np.exp(z - np.max(z))"),
    ("root_of_squares", [[0, 0]], "backward", "sqrt", "∞·1", "np.linalg.norm(x)"),
    ("distance", [0.0, 0.0], "backward", "sqrt", "∞·1",
     "np.linalg.norm(np.stack([x, y]), axis=0)"),
    ("root_of_a_square", [0.0], "backward", "sqrt", "∞·1", "np.abs(x)"),
    ("half_power", [[4, 0]], "backward", "power", "∞·1", "np.maximum(x, 1e-300) ** 0.5"),
    ("arccos_at_the_end", [1.0], "backward", "arccos", "∞·1",
     "np.arccos(np.clip(x, -(1 - 2e-16), 1 - 2e-16))"),
    ("arccos_at_the_end", [1.0000001], "forward", "arccos", "arccos(1.0000001)",
     "np.arccos(np.clip(x, -(1 - 2e-16), 1 - 2e-16))"),
    ("nothing_over_nothing", [[0, 1]], "forward", "divide", "0/0",
     "np.where(total == 0, 0.0, x / np.where(total == 0, 1.0, total))"),
    ("difference_of_infinities", [800.0], "forward", "exp", "exp(800)",
     "np.exp(np.minimum(x, 354))"),
    ("entropy", [[0, 1]], "forward", "log", "log(0)", "np.log(np.maximum(p, 1e-300))"),
    ("cross_entropy", [[0, 1]], "forward", "log", "log(0)", "scipy.special.xlogy(y, p)"),
    ("sigmoid_by_hand", [UNDER], "backward", "exp", "∞·0", "scipy.special.expit(x)"),
    ("log_of_a_sigmoid", [-800.0], "forward", "log", "log(0)", "-np.logaddexp(0.0, -x)"),
    ("log_of_one_less_a_sigmoid", [40.0], "forward", "log", "log(0)", "-np.logaddexp(0.0, x)"),
    ("binary_cross_entropy", [40.0], "forward", "log", "log(0)", "-np.logaddexp(0.0, z)"),
    ("log_sum_exp", [OVER], "forward", "exp", "exp(800)", "scipy.special.logsumexp(z)"),
    ("softplus", [800.0], "forward", "exp", "exp(800)", "np.logaddexp(0, x)"),
    ("deviation", [[2, 2, 2]], "backward", "sqrt", "∞·1", "np.std(x)"),
    ("angle", [0.0, 0.0], "backward", "arctan2", "NaN·1",
     "np.arctan2(y, np.where((y == 0) & (x == 0), 1.0, x))"),
    ("hypotenuse", [0.0, 0.0], "backward", "hypot", "NaN·1",
     "np.linalg.norm(np.stack([x, y]), axis=0)"),
    ("fully_masked_row", [[1, 2]], "forward", "subtract", "∞−∞",
     "np.where(np.array([False, False]), s, -1e30)"),
    ("called_twice", [[0, 0]], "backward", "sqrt", "∞·1", "np.sqrt(np.maximum(v, 1e-300))"),
    ("in_a_loop", [[1, 0, 0]], "forward", "log", "log(0)", "np.log(np.maximum(x[i], 1e-300))"),
    ("in_a_scan", [[1, 0, 2]], "backward", "sqrt", "∞·1",
     "np.sqrt(np.maximum(carry * v, 1e-300))"),
    ("double_inverse", [0.0], "backward", "divide", "∞·0",
     "np.where(x == 0, 0.0, 1 / np.where(x == 0, 1.0, x))"),
    ("negative_root", [[0, 2]], "forward", "sqrt", "sqrt(−1)",
     "np.sqrt(np.maximum(x - 1, 1e-300))"),
    ("method", [[1, -1]], "forward", "divide", "1/0",
     "np.where(x.sum() == 0, 0.0, x / np.where(x.sum() == 0, 1.0, x.sum()))"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "args", "when", "operation", "pair", "write"), BIRTHS,
    ids=[f"{c[0]}-{n}" for n, c in enumerate(BIRTHS)],
)  # fmt: skip
def test_a_bad_number_is_traced_to_its_operation_and_mended(
    name, args, when, operation, pair, write
):
    f = getattr(nan_cases, name)
    report = bad_values(f)(*[np.asarray(a, float)[()] for a in args])
    birth = report.birth
    assert (birth.when, birth.operation, birth.pair) == (when, operation, pair)
    assert birth.line == marked(f, "born")
    assert report.fixes[0].write == write
    assert report.proof.finite
    values, slopes = apart(report)
    assert all(np.isfinite(v).all() for v in (*values, *slopes))


# Of the double inverse, one fix lies inside of what the other one replaces.
SEPARATE = [c for c in BIRTHS if c[0] != "double_inverse"]


@pytest.mark.parametrize("case", SEPARATE, ids=[f"{c[0]}-{n}" for n, c in enumerate(SEPARATE)])
def test_a_fix_of_any_kind_helps_when_it_is_written_into_the_program(case):
    f = getattr(nan_cases, case[0])
    args = [np.asarray(a, float)[()] for a in case[1]]
    report = bad_values(f)(*args)
    source = inspect.getsource(f)
    for fix in report.fixes:
        if fix.instead_of not in source:
            source += inspect.getsource(nan_cases._root)
        source = source.replace(fix.instead_of, fix.write)
    scope = {**vars(nan_cases), "scipy": scipy}
    exec(source, scope)
    mended = scope[f.__name__]
    value, gradient = cr.value_and_grad(mended, argnums=tuple(range(len(args))))(*args)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in gradient)
    (after,), slopes = apart(report)
    np.testing.assert_allclose(value, after, rtol=1e-12, atol=1e-15)
    for g, slope in zip(gradient, slopes, strict=True):
        np.testing.assert_allclose(g, slope, rtol=1e-12)


def test_a_finite_value_stays_what_it_is_and_a_change_of_it_is_told():
    for name, args, unchanged in [
        ("root_of_squares", [[0.0, 0.0]], True), ("half_power", [[4.0, 0.0]], True),
        ("sigmoid_by_hand", [UNDER], True), ("arccos_at_the_end", [1.0], False),
    ]:  # fmt: skip
        f = getattr(nan_cases, name)
        report = bad_values(f)(*[np.asarray(a)[()] for a in args])
        assert report.proof.unchanged is unchanged
        ((_, before, after),) = report.proof.values
        assert abs(after - before) == report.proof.difference < 1e-7
        assert ("unchanged" in str(report)) is unchanged


def test_what_hid_an_infinity_by_its_value_is_told_as_well():
    report = bad_values(nan_cases.sigmoid_by_hand)(np.array(UNDER))
    (hidden,) = report.hidden_by
    assert (hidden.operation, hidden.how) == ("divide", "value")
    assert hidden.place.line == marked(nan_cases.sigmoid_by_hand, "hidden")
    (origin,) = report.origins
    assert (origin.when, origin.operation, origin.pair) == ("forward", "exp", "exp(800)")


def test_what_becomes_of_an_infinity_is_told():
    report = bad_values(nan_cases.root_of_squares)(np.zeros(2))
    assert report.birth.value == np.inf
    assert [(b.operation, b.pair, b.what) for b in report.later] == [("power", "0·∞", "turned")]
    report = bad_values(nan_cases.softmax_overflows)(np.array(OVER))
    assert [(b.operation, b.pair) for b in report.later] == [("divide", "∞/∞")]


def test_two_births_on_different_lines_are_mended_together():
    report = bad_values(nan_cases.two_births)(np.zeros(2))
    assert [f.write for f in report.fixes] == [
        "np.log(np.maximum(x[0], 1e-300))", "np.sqrt(np.maximum(x[1], 1e-300))",
    ]  # fmt: skip
    assert report.fixes[1].place.line == report.fixes[0].place.line + 1
    assert report.proof.finite


def test_the_elements_are_told_and_counted():
    x = np.ones((4, 5))
    x[1, 2] = x[3, 0] = x[3, 4] = 0.0
    report = bad_values(lambda x: np.sum(np.log(x) ** 2))(x)
    assert (report.birth.index, report.birth.count, report.birth.shape) == ((1, 2), 3, (4, 5))
    assert [i.value for i in report.birth.items if i.label == "x"] == [0.0]


def test_a_birth_that_reaches_no_bad_result_is_not_reported():
    def f(x):
        unused = np.log(x)
        harmless = np.exp(-1 / x**2)
        return np.sum(harmless[:1]) + np.sum(np.sqrt(x[1:])) + 0 * unused[1]

    report = bad_values(f)(np.array([0.0, 1.0, 0.0]))
    assert (report.birth.operation, report.birth.index) == ("sqrt", (1,))


def test_a_singularity_in_one_element_is_told_from_that_in_another():
    def f(x):
        both = np.stack([np.log(x[0]), 1 / x[1]])
        return both[1]

    report = bad_values(f)(np.zeros(2))
    assert (report.birth.operation, report.birth.pair) == ("divide", "1/0")


@pytest.mark.parametrize("supports", [True, False])
def test_intended_infinities_are_nobodys_business(supports):
    mask = np.array([[True, False], [True, True]])

    def attention(s):
        z = np.where(mask, s, -np.inf)
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return np.sum((e / np.sum(e, axis=1, keepdims=True))[:, 0] ** 2)

    def smallest(x):
        best = np.inf
        for i in range(2):
            best = np.minimum(best, x[i])
        return best

    with cr.nan_guard(supports=supports):
        assert np.isfinite(cr.grad(attention)(np.ones((2, 2)))).all()
        cr.grad(smallest)(np.array([3.0, 2.0]))
        cr.grad(lambda x: (np.sum(x), -np.inf), has_aux=True)(np.ones(2))
    assert bad_values(attention, supports=supports)(np.ones((2, 2))).finite


# ------------------------------------------------------------------------------ what came in


def test_a_bad_number_that_came_in_is_named_by_its_argument():
    w, x = np.ones(4), np.array([1.0, 2.0, 3.0, np.inf])
    report = bad_values(nan_cases.weighted, wrt="w")(w, x)
    birth = report.birth
    assert (birth.when, birth.operation, birth.index) == ("argument", "x", (3,))
    assert "argument x at [3]" in str(report)
    assert report.fixes[0].write == "before the call: x = np.where(np.isfinite(x), x, 0.0)"
    assert report.proof.finite


def test_a_leaf_of_a_tree_is_named_along_the_tree():
    params = {"layers": [np.ones(2), np.array([1.0, np.nan])]}
    report = bad_values(lambda p, x: np.sum(p["layers"][0] * x + p["layers"][1]))(
        params, np.ones(2)
    )
    assert (report.birth.operation, report.birth.index) == ("p['layers'][1]", (1,))


def test_overflow_of_a_narrow_dtype_is_mended_by_a_wide_one():
    for dtype, x, largest in [(np.float32, 100.0, "3.403×10³⁸"), (np.float16, 20.0, "6.55×10⁴")]:
        report = bad_values(nan_cases.overflow)(np.array([1.0, x], dtype))
        assert (report.birth.pair, report.birth.index) == (f"exp({x:g})", (1,))
        assert report.birth.because == f"overflow: {np.dtype(dtype)} ends at {largest}"
        assert report.fixes[0].write == "pass x.astype(np.float64)"
        assert report.proof.finite
    wide = bad_values(nan_cases.overflow)(np.array([1.0, 800.0]))
    assert wide.fixes[0].write == "np.exp(np.minimum(x, 354))"


def test_data_that_are_used_as_indices_do_not_stop_the_search():
    def f(w, columns):
        return np.sum(np.sqrt(w[columns.astype(int)]))

    report = bad_values(f, wrt="w")(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert report.birth.operation == "sqrt"


# --------------------------------------------------------------------------------------- guard


def root(w):
    return np.sum(np.sqrt(w))


W = np.array([1.0, 0.0])

GUARDED = {
    "grad": lambda: cr.grad(root)(W),
    "value_and_grad": lambda: cr.value_and_grad(root)(W),
    "vjp": lambda: cr.vjp(np.sqrt, W)[1](np.ones(2)),
    "jvp": lambda: cr.jvp(np.sqrt, (W,), (np.ones(2),)),
    "linearize": lambda: cr.linearize(lambda w: np.sqrt(w), W)[1](np.ones(2)),
    "jacobian": lambda: cr.jacobian(lambda w: np.sqrt(w) * 2)(W),
    "forward jacobian": lambda: cr.jacobian(lambda w: np.sqrt(w) * 2, mode="forward")(W),
    "jitted gradient": lambda: cr.jit(cr.grad(root))(W),
    "jitted step": lambda: cr.jit(lambda w: w - 0.1 * cr.grad(root)(w))(W),
    "gradient of jitted": lambda: cr.grad(cr.jit(root))(W),
}


@pytest.mark.parametrize("how", GUARDED)
def test_a_guard_finds_the_birth_inside_of_every_transform(how):
    with pytest.raises(BadValueError) as caught, cr.nan_guard():
        GUARDED[how]()
    report = caught.value.report
    assert report.birth.operation == "sqrt"
    assert report.birth.pair.startswith("∞·")
    assert report.proof.finite
    assert "∞·" in str(caught.value)


@pytest.mark.parametrize(
    "second",
    [
        lambda f: cr.hessian(f)(W), lambda f: cr.hvp(f, (W,), (np.ones(2),)),
        lambda f: cr.grad(lambda w: np.sum(cr.grad(f)(w)))(W),
    ],
)  # fmt: skip
def test_a_guard_finds_births_in_derivatives_of_derivatives(second):
    def f(w):
        return np.sum(w**1.5)

    with pytest.raises(BadValueError) as caught, cr.nan_guard():
        second(f)
    report = caught.value.report
    assert (report.birth.when, report.birth.operation) == ("backward", "power")
    assert report.birth.line == inspect.getsourcelines(f)[1] + 1
    assert report.fixes[0].write == "np.maximum(w, 1e-300) ** 1.5"
    assert report.proof.finite


def test_a_value_of_a_jitted_function_that_differentiates_nothing_is_guarded():
    with pytest.raises(BadValueError) as caught, cr.nan_guard():
        cr.jit(lambda v: np.log(v))(W)
    assert (caught.value.report.birth.pair, caught.value.report.transform) == ("log(0)", "jit")


def test_a_guard_lets_finite_results_pass_unchanged():
    g = cr.jit(cr.value_and_grad(lambda w: np.sum(np.sin(w) ** 2)))
    outside = g(W)
    with cr.nan_guard() as guard:
        inside = g(W)
        tree = cr.grad(lambda p: p["a"] * p["b"][0])({"a": 2.0, "b": (3.0,)})
    np.testing.assert_array_equal(inside[1], outside[1])
    assert tree == {"a": 3.0, "b": (2.0,)}
    assert guard.reports == []


def test_large_finite_numbers_are_not_bad():
    with cr.nan_guard():
        cr.grad(lambda w: np.sum(w) * 1e300)(np.ones(5))  # their squares overflow
        cr.grad(lambda w: np.sum(w))(np.ones(3, np.float16))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_bad_number_among_many_of_a_compiled_function_is_seen(dtype):
    x = np.ones(50_000, dtype)
    with cr.nan_guard(action=lambda report: None) as guard:
        step = cr.jit(cr.grad(lambda x: np.sum(np.sqrt(x))))
        step(x)
        step(x * dtype(1e30))
        cr.jit(lambda x: {"large": (x, [x * 2])})(x * dtype(1e30))  # squares overflow in float32
        assert guard.reports == []
        x[31_000] = 0.0
        step(x)
    assert guard.reports[0].birth.index == (31_000,)


# Results of compiled functions: written by loops, in vectors with some lanes left over, row by row,
# by several threads, by the BLAS, as sums, by NumPy, as numbers, in a loop; and one of each kind.
GRID = np.linspace(1.0, 2.0, 60 * 50).reshape(60, 50)
LARGE = np.linspace(1.0, 2.0, 300_001)
COMPILED = {
    "a loop": (lambda x: x * 2.0, GRID),
    "lanes left over": (lambda x: 1 / x, np.ones(2051)),
    "float32": (lambda x: 1 / x, np.ones(5003, FLOAT32)),
    "threads": (lambda x: 1 / x, LARGE),
    "rows": (lambda x: np.exp(x - np.max(x, axis=1, keepdims=True)), GRID),
    "turned": (lambda x: x.T[::-1] + 1.0, GRID),
    "short rows": (lambda x: x + 1.0, np.ones((900, 3))),
    "two results": (lambda x: (x * 2.0, {"log": np.log(x)}), GRID),
    "BLAS": (lambda x: x @ x.T, np.ones((200, 200))),
    "sums": (lambda x: [np.sum(x, axis=0), np.max(x, axis=1)], GRID),
    "long sums": (lambda x: np.sum(x, axis=0), np.ones((5, 3000))),
    "NumPy": (lambda x: np.sort(x, axis=1), np.ones((300, 300))),
    "float16": (lambda x: np.sort(x), np.ones(77, np.float16)),
    "a number": (lambda x: np.sum(x), np.ones(3)),
    "an input": (lambda x: x, GRID),
    "an assignment": (lambda x: np.concatenate([x, 2 * x])[:, ::-1], GRID),
    "a scan": (lambda x: cr.scan(lambda c, row: (c + row, c * row), x[0], x), GRID),
}


@pytest.fixture
def looks(monkeypatch):
    """The results that Python looks at after compiled functions."""
    seen = []
    names = cr.jit.__globals__
    look = names["look"]
    monkeypatch.setitem(names, "look", lambda *a: (seen.append(a[0]), look(*a)))
    return seen


@pytest.mark.parametrize("program", COMPILED)
def test_what_is_compiled_finds_out_whether_its_results_are_finite(program, looks):
    f, x = COMPILED[program]
    fast = cr.jit(f)
    outside = fast(x)
    with cr.nan_guard(action=lambda report: None) as guard:
        fast(x)
        looks.clear()
        inside = fast(x)
        assert looks == guard.reports == []
        for a, b in zip(*(flatten(tree)[0] for tree in (outside, inside)), strict=True):
            assert a.tobytes() == b.tobytes()
        for place in (0, x.size // 2, x.size - 1):
            for bad in (np.nan, np.inf, -np.inf):
                sick = x.copy()
                sick.flat[place] = bad
                fine = all(np.isfinite(r).all() for r in flatten(f(sick))[0])
                del looks[:], guard.reports[:]
                fast(sick)
                assert len(looks) == len(guard.reports) == (not fine)


@dataclasses.dataclass
class Layer:
    weight: np.ndarray
    bias: np.ndarray


def test_a_step_of_a_model_that_python_calls_finds_out_whether_it_is_finite(looks):
    def step(model, x):
        slope = cr.grad(lambda m: np.sum(np.log(x @ m.weight + m.bias)))(model)
        return Layer(model.weight - 0.1 * slope.weight, model.bias - 0.1 * slope.bias)

    fast = cr.jit(step)
    model, x = Layer(np.ones((60, 50)), np.zeros(50)), np.ones((9, 60))
    expected = fast(model, x)
    with cr.nan_guard(action=lambda report: None) as guard:
        found = fast(model, x)
        assert looks == guard.reports == []
        assert found.weight.tobytes() == expected.weight.tobytes()
        model.bias[7] = -60.0
        fast(model, x)
    assert len(looks) == len(guard.reports) == 1


def test_an_infinity_on_the_way_of_compiled_code_is_nobodys_business(looks):
    masked = cr.jit(lambda x: np.max(np.where(x > 0, x, -np.inf), axis=0))
    x = np.where(np.arange(3000) % 7 < 3, -1.0, 1.0)[:, None] * np.ones(40)
    with cr.nan_guard():
        masked(x)
        looks.clear()
        assert np.all(masked(x) == 1.0)
    assert looks == []


def test_whole_numbers_and_truth_values_of_compiled_code_are_finite(looks):
    f = cr.jit(lambda x: (x > 1.5, np.argmax(x, axis=1), x.astype(np.int64)))
    with cr.nan_guard():
        f(GRID)
        looks.clear()
        f(GRID)
    assert looks == []


def test_a_compiled_constant_that_is_not_finite_is_seen_in_every_call():
    f = cr.jit(lambda x: (x * 2.0, np.float64(np.nan)))
    with cr.nan_guard(action=lambda report: None) as guard:
        for _ in range(3):
            f(1.0)
    assert len(guard.reports) == 3
    assert "outside of what is recorded" in guard.reports[0].note


def test_a_guard_sees_the_kinds_and_branches_that_are_compiled_after_it_has_looked():
    f = cr.jit(lambda x: np.log(x) if x.ndim else (x * 2.0 if x > 0 else np.log(x)))
    with cr.nan_guard(action=lambda report: None) as guard:
        for x in (np.ones(3), np.float64(1.0), np.ones(4), np.ones(3)):
            f(x)
            f(x)
        assert guard.reports == []
        for x in (np.zeros(3), np.float64(-1.0), np.zeros(4)):
            f(x)
            f(x)
        assert len(guard.reports) == 6
        f.clear_cache()
        f(np.zeros(3))
    assert len(guard.reports) == 7


def test_arguments_that_change_after_the_first_call_are_those_of_another_kind():
    f = cr.jit(lambda parts: sum(np.sum(p) for p in parts))
    parts = [np.ones(3), np.ones(3)]
    assert f(parts) == 6
    parts[1] = np.ones(300)
    parts.append(np.ones(3))
    with cr.nan_guard():
        assert f([np.ones(3), np.ones(3)]) == 6
        assert f(parts) == 306
        assert f(parts) == 306


def test_arguments_of_the_first_call_are_not_kept():
    f = cr.jit(lambda x: x + 1.0)
    x = np.ones(50)
    gone = weakref.ref(x)
    f(x)
    del x
    assert gone() is None


def test_a_guard_may_warn_or_call_back():
    with pytest.warns(BadValueWarning, match="∞·1 at sqrt"), cr.nan_guard(action="warn") as guard:
        gradient = cr.grad(root)(W)
    np.testing.assert_array_equal(gradient, [0.5, np.inf])
    assert len(guard.reports) == 1
    seen = []
    with cr.nan_guard(action=seen.append):
        cr.grad(root)(W)
    assert seen[0].birth.operation == "sqrt"
    with pytest.raises(ArgumentsError, match="'raise', 'warn' or a function"):
        cr.nan_guard(action="shout")


def test_a_warning_points_to_the_users_line():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with cr.nan_guard(action="warn"):
            cr.grad(root)(W)
    assert [w.filename for w in caught if w.category is BadValueWarning] == [__file__]


def test_the_error_is_one_of_ours_and_one_of_floating_point():
    assert issubclass(BadValueError, FloatingPointError)
    with pytest.raises(cr.grad.__globals__["ArgumentsError"].__mro__[1]), cr.nan_guard():
        cr.grad(root)(W)


def test_nothing_is_looked_at_outside_of_a_guard_or_in_another_thread():
    def gradient():
        found.append(cr.grad(root)(W))

    found = []
    gradient()
    with cr.nan_guard():
        thread = threading.Thread(target=gradient)
        thread.start()
        thread.join()
        fresh = contextvars.Context()
        fresh.run(gradient)
        copied = contextvars.copy_context()
        with pytest.raises(BadValueError):
            copied.run(gradient)
    gradient()
    assert len(found) == 4


def test_guards_nest_and_the_inner_one_is_asked():
    with cr.nan_guard() as outer:
        with cr.nan_guard(action=lambda report: None) as inner:
            cr.grad(root)(W)
        with pytest.raises(BadValueError):
            cr.grad(root)(W)
    assert (len(inner.reports), len(outer.reports)) == (1, 1)


def test_a_guard_without_supports_shows_what_other_libraries_see():
    safe = lambda x: np.where(x > 0, np.sqrt(x), 0.0)
    fast = cr.jit(cr.grad(safe))
    assert fast(0.0) == 0.0
    with cr.nan_guard():
        assert cr.grad(safe)(0.0) == 0.0
    for gradient in (cr.grad(safe), fast):
        with pytest.raises(BadValueError) as caught, cr.nan_guard(supports=False):
            gradient(0.0)
        assert caught.value.report.hidden_by[0].operation == "where"
        assert not caught.value.report.supports
    assert fast(0.0) == 0.0, "nothing was compiled without supports"


def test_plain_products_are_those_of_other_libraries_in_both_modes():
    x = np.array([0.0, 4.0])
    f = lambda v: np.where(v > 0, np.sqrt(v), 0.0)
    with plain_products():
        np.testing.assert_array_equal(cr.grad(lambda v: np.sum(f(v)))(x), [np.nan, 0.25])
        np.testing.assert_array_equal(cr.grad(lambda v: np.log(v)[1])(x), [np.nan, 0.25])
        assert np.isnan(cr.jvp(lambda v: np.sqrt(v) * 1.0, (x,), (np.array([0.0, 1.0]),))[1][0])
        with plain_products(False):
            np.testing.assert_array_equal(cr.grad(lambda v: np.sum(f(v)))(x), [0, 0.25])
    np.testing.assert_array_equal(cr.grad(lambda v: np.sum(f(v)))(x), [0, 0.25])


def test_a_call_that_cannot_be_made_again_alike_says_so():
    draws = iter([0.0, 1.0, 2.0])
    with pytest.raises(BadValueError, match="draws random numbers") as caught, cr.nan_guard():
        cr.grad(lambda w: np.sum(np.sqrt(w * next(draws))))(np.ones(2))
    assert caught.value.report.birth is None
    assert caught.value.report.results[0].name == "w"
    calls = []

    def once(w):
        if calls:
            raise ValueError("only once")
        calls.append(1)
        return np.sqrt(w)

    with pytest.raises(BadValueError, match=r"could not be recorded.*only once"), cr.nan_guard():
        cr.grad(once)(0.0)


def test_a_generator_that_is_made_inside_of_the_function_is_fine():
    def noisy(w):
        noise = np.random.default_rng(0).normal(size=2)
        return np.sum(np.sqrt(w * noise**2))

    with pytest.raises(BadValueError) as caught, cr.nan_guard():
        cr.grad(noisy)(W)
    assert caught.value.report.birth.operation == "sqrt"


def test_where_nothing_helps_that_is_said():
    report = bad_values(lambda x: np.mean(x[x > 9]))(np.ones(2))
    assert (report.birth.pair, report.birth.operation) == ("0/0", "mean")
    assert report.fixes == ()
    assert report.proof is None
    assert "no change" in str(report)


# ---------------------------------------------------------------------------- no false alarms

UNARY = [
    np.sin, np.tanh, np.exp, np.arctan, lambda v: np.log(1 + v**2), lambda v: np.sqrt(1 + v**2),
    lambda v: v / (2 + np.cos(v)), lambda v: np.where(v > 0, v, 0.1 * v), np.abs,
    lambda v: np.maximum(v, 0.3), lambda v: np.clip(v, -1, 1), lambda v: v**3,
    lambda v: np.where(v > 0, np.log(np.where(v > 0, v, 1.0)), v), np.cumsum, np.sort,
    lambda v: v[::-1], lambda v: np.where(v > 9, np.inf, v), lambda v: np.exp(-np.abs(v)),
    lambda v: np.where(v > 0, np.sqrt(v), v), lambda v: np.log(np.abs(v) + 1)[[0, 0, 1]],
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.multiply, np.maximum, lambda a, b: a / (1 + b**2), np.logaddexp,
    lambda a, b: np.where(a > b, a, b), lambda a, b: np.outer(a, b) @ np.ones(3) / 3,
]  # fmt: skip


def random_program(seed):
    """A program of up to twelve operations whose value and gradient are finite."""
    rng = np.random.default_rng(seed)
    steps = [(rng.integers(3), rng.integers(20), rng.integers(8), rng.random(2)) for _ in range(12)]

    def f(x):
        values = [x, np.sin(x)]
        for kind, unary, binary, (p, q) in steps[:rng_length]:
            a, b = values[int(p * len(values))], values[int(q * len(values))]
            made = BINARY[binary](a, b) if kind == 0 else UNARY[unary](a)
            values.append(np.tanh(made) if kind == 2 else np.clip(made, -50, 50))
        return np.sum(values[-1]) + np.mean(values[len(values) // 2])

    rng_length = int(rng.integers(1, 12))
    return f, rng.normal(size=3)


@pytest.mark.parametrize("block", range(4))
def test_random_finite_programs_raise_no_alarm(block):
    with cr.nan_guard() as guard:
        for seed in range(50 * block, 50 * (block + 1)):
            f, x = random_program(seed)
            value, gradient = cr.value_and_grad(f)(x)
            assert np.isfinite(value)
            assert np.isfinite(gradient).all()
            assert bad_values(f)(x).finite
    assert guard.reports == []


@pytest.mark.parametrize("block", range(2))
def test_a_pole_planted_in_a_random_program_is_found_where_it_was_planted(block):
    poles = {
        "log": lambda v: np.log(v - v), "sqrt": lambda v: np.sqrt(v - v),
        "divide": lambda v: v / (v - v),
    }  # fmt: skip
    for seed in range(15 * block, 15 * (block + 1)):
        f, x = random_program(seed)
        name = list(poles)[seed % 3]
        report = bad_values(lambda v: f(v) + np.sum(poles[name](v) * v))(x)  # noqa: B023
        assert report.birth.operation == name, seed
        assert f'"{name}": lambda' in code_at(report.birth.place), seed


# ------------------------------------------------------------------------------------- in print


def test_a_report_is_text_markdown_and_data():
    report = bad_values(nan_cases.pytorch_23395, supports=False)(np.array([16.0, 0.0]))
    for width in (60, 80, 120):
        code = [fix.write for fix in report.fixes] + [code_at(report.birth.place)]
        for line in report.to_text(width).splitlines():
            assert len(line) <= width or any(c in line for c in code)
    text = report.to_text(80)
    assert re.search(r"∞·0 at sqrt, nan_cases.py:\d+ in pytorch_23395", text)
    assert re.search(r"hidden +by where, nan_cases.py:\d+", text)
    assert "the value is 5, unchanged; the derivative of x is [0.125, 0.5]" in " ".join(
        text.split()
    )
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["birth"]["pair"] == "∞·0"
    assert data["birth"]["value"] == "nan"
    assert data["proof"]["finite"] is True
    assert "`np.sqrt(np.where(x == 0.0, 1.0, x))`" in report.to_markdown()
    assert set(report._repr_mimebundle_()) == {"text/plain", "text/markdown"}


PROGRAM = """
import numpy as np

def loss(x, y):
    z = np.sqrt(x)
    return np.sum(np.where(x > 0, z, 0.0) * y)

def fails(x):
    raise RuntimeError("no")
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, "utf-8")
    return f"{path}:loss"


def test_the_command_finds_the_birth(program):
    run = lambda *args: CliRunner().invoke(app, ["nan", *args])
    at = ["--at", "x=[0,4],y=[1,2]"]
    fine = run(program, *at)
    assert (fine.exit_code, "finite" in fine.output) == (0, True)
    sick = run(program, *at, "--no-supports")
    assert sick.exit_code == 1
    assert "∞·0 at sqrt, program.py:5" in sick.output
    assert "np.sqrt(np.where(x > 0, x, 1.0))" in sick.output
    data = json.loads(run(program, *at, "--no-supports", "--format", "json").output)
    assert data["birth"]["place"]["line"] == 5
    assert "**born**" in run(program, *at, "--no-supports", "--format", "markdown").output


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["sin(x)"], "does not name a function"),
        (["{}", "--at", "x=1"], "missing a required argument"),
        (["{}"], "Give them with --at"),
        (["{}", "--at", "x=1,y=2", "--wrt", "z"], "has no parameter 'z'. Its inputs are: x, y."),
        (["{}", "--at", "x=1,y=2", "--seed", "-1"], "whole number"),
        (["{fails}", "--at", "x=1"], "RuntimeError: no"),
    ],
)
def test_bad_input_is_one_clear_message(program, args, says):
    args = [a.replace("{fails}", program.replace(":loss", ":fails")).replace("{}", program)
            for a in args]  # fmt: skip
    result = CliRunner().invoke(app, ["nan", *args])
    assert result.exit_code == 2
    assert says in " ".join(result.output.split())
    assert "Traceback" not in result.output
