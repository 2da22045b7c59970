"""What the compiler promises about loops: which share a nest, what is kept, all turns count."""

import dataclasses
import itertools

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm import codegen, target
from chainrule.run.llvm.codegen import Code
from chainrule.run.llvm.flight import in_flight
from chainrule.run.llvm.instructions import Module
from chainrule.run.llvm.lowering import Lowering
from chainrule.run.llvm.nests import Call, Loop
from chainrule.run.llvm.program import Program
from chainrule.transforms.staging import stage


def lowered(f, *args):
    """The code of a function of arrays, not yet compiled."""
    recorded = stage(f, args)
    program, known = Program(), {}
    for index in recorded.inputs:
        value = recorded.records[index].value
        known[index] = program.input(np.shape(value), np.asarray(value).dtype)
    program.record(recorded.records, recorded.level, known, None)
    program.results = [known[r.index] for r in recorded.results]
    return Code(Lowering(program), Module(target.host()))


def loops_of(code):
    return [group for group in code.groups if isinstance(group, Loop)]


def softmax_loss(x):
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return -np.sum(np.log(e[:, 0] / np.sum(e, axis=1)))


def test_softmax_and_its_gradient_are_one_loop_over_the_rows():
    code = lowered(cr.value_and_grad(softmax_loss), np.ones((50, 7)))
    (loop,) = loops_of(code)
    assert loop.var.here().extent == 50


def test_what_one_turn_needs_takes_no_room_for_all_of_them():
    code = lowered(cr.value_and_grad(softmax_loss), np.ones((500, 70)))
    assert code.workspace < 500 * 70 * 8


def test_an_elementwise_gradient_keeps_nothing():
    code = lowered(cr.grad(lambda x: np.sum(np.sin(np.log(x**2 + 1)))), np.ones(1000))
    assert code.workspace == 0
    assert len(code.groups) == 1


def test_a_transpose_is_no_loop_and_no_copy():
    code = lowered(lambda a, b: (a.T @ b.T, np.sum(a.T * 2)), np.ones((40, 30)), np.ones((50, 40)))
    calls = [group for group in code.groups if isinstance(group, Call)]
    assert [call.kind for call in calls] == ["gemm"]
    assert code.workspace == 0


def live_sets(code):
    """Bytes of temporaries in memory while each group runs."""
    lives = {}
    for n, group in enumerate(code.groups):
        for b in codegen._used(group):
            if b.kind == "temporary" and code._in_memory(b):
                lives.setdefault(id(b), [b, n, n])[2] = n
    return [
        sum(b.size * b.itemsize for b, first, last in lives.values() if first <= n <= last)
        for n in range(len(code.groups))
    ]


def test_rooms_are_used_again_up_to_a_fifth_above_the_largest_live_set():
    def deep(x, *weights):
        for w in weights:
            x = np.tanh(x @ w)
        return np.sum(x**2)

    rng = np.random.default_rng(0)
    sizes = [300, 200, 400, 100, 250, 300, 50]
    weights = [rng.normal(size=pair) for pair in itertools.pairwise(sizes)]
    code = lowered(cr.grad(deep, tuple(range(1, 7))), rng.normal(size=(128, 300)), *weights)
    assert code.workspace <= 1.2 * max(live_sets(code))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 100, 129])
def test_every_turn_counts_whatever_is_left_over(n):
    x = np.random.default_rng(n).normal(size=n)
    f = cr.jit(lambda x: (np.sum(x * x), np.max(x), np.exp(x), np.prod(x), x[::-1] + x))
    for found, expected in zip(
        f(x), (x @ x, x.max(), np.exp(x), np.prod(x), x[::-1] + x), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_long_sums_of_small_numbers_lose_nothing():
    x = np.full(3_000_001, np.float32(0.1))
    found = cr.jit(np.sum)(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 0.1 * len(x), rtol=1e-5)  # one after another: 3e-2
    x = np.random.default_rng(0).uniform(size=200_003)
    f = cr.jit(lambda x: (np.sum(x), np.sum(x * x), np.sum(np.stack([x, -2 * x]), axis=1)))
    for found, expected in zip(f(x), (x.sum(), x @ x, [x.sum(), -2 * x.sum()]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)


@pytest.mark.parametrize("n", [3, 4, 9, 40, 67, 130])
@pytest.mark.parametrize("d", [2, 3, 5, 10, 17])
def test_nests_inside_of_vector_loops(n, d):
    """Quadratic forms: loops over short axes inside of a loop over points, with sums over both."""
    rng = np.random.default_rng(n * d)
    q, m, x = rng.normal(size=(3, d, d)), rng.normal(size=(3, d)), rng.normal(size=(n, d))

    def f(q, m, x):
        z = np.einsum("kij,nkj->nki", q, x[:, None, :] - m)
        return np.sum(np.log1p(np.sum(z**2, axis=2)))

    gradient = cr.grad(f, (0, 1, 2))
    for found, expected in zip(cr.jit(gradient)(q, m, x), gradient(q, m, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


def test_assigned_elements_inside_of_vector_loops():
    """Elements that are written one by one are read again where they stand."""
    at = np.arange(2)

    def f(values, w):
        q = np.zeros((len(values), 2, 2), like=values)
        q[:, 1, 0] = values[:, 2]
        q[:, at, at] = np.exp(values[:, :2])
        return np.sum(q * q * w)

    rng = np.random.default_rng(0)
    for k in (1, 3, 4, 5, 16, 33):
        values, w = rng.normal(size=(k, 3)), rng.normal(size=(k, 2, 2))
        gradient = cr.grad(f, (0, 1))
        for found, expected in zip(cr.jit(gradient)(values, w), gradient(values, w), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-13)


def three_threads(monkeypatch):
    """A machine of three cores, on which everything but the smallest loops is divided."""
    on_threads(3, monkeypatch)


def on_threads(count, monkeypatch):
    wide = dataclasses.replace(target.host(), threads=count)
    monkeypatch.setattr(codegen, "_PARALLEL_FROM", 1000)
    monkeypatch.setattr(target, "host", lambda: wide)
    monkeypatch.setattr("chainrule.run.llvm.executable.host", lambda: wide)


def test_a_listing_names_the_threads_at_the_loop_that_they_divide(monkeypatch):
    three_threads(monkeypatch)
    nests = cr.jit(np.sin).lower(np.ones((3, 5, 130, 20))).nests
    (divided,) = [line for line in nests.splitlines() if "3 threads" in line]
    assert "in 0..130:" in divided


@pytest.mark.parametrize("shape", [(1003, 37), (3, 5, 130, 20), (2, 70)])
def test_threads_share_the_turns_and_runs_are_alike_bit_for_bit(shape, monkeypatch):
    x = np.random.default_rng(0).normal(size=shape)

    def f(x):
        shares = np.exp(x - np.max(x, axis=-1, keepdims=True))
        shares /= np.sum(shares, axis=-1, keepdims=True)
        return np.sum(np.sin(x), axis=0), np.sum(x * x), np.sum(x, axis=1), shares

    three_threads(monkeypatch)
    compiled = cr.jit(f)
    first = compiled(x)
    for found, expected in zip(first, f(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    for _ in range(20):
        for again, before in zip(compiled(x), first, strict=True):
            np.testing.assert_array_equal(again, before)


def test_what_threads_have_summed_may_lie_where_a_result_is_made_of_it(monkeypatch):
    def f(x):
        total = np.sum(np.sin(x), axis=0)
        return total * 2.0 + 1.0

    three_threads(monkeypatch)
    compiled = cr.jit(f)
    x = np.random.default_rng(0).normal(size=(5003, 40))
    for _ in range(20):
        np.testing.assert_allclose(compiled(x), f(x), rtol=1e-11, atol=1e-11)
    lowered = compiled.lower(x)
    assert "3 threads" in lowered.nests
    assert lowered._executable.code.over


def test_a_product_beside_a_quantity_that_is_not_finite_leaves_out_what_relu_leaves_out():
    def f(x, w):
        return np.sum(np.maximum(x @ w, 0))

    compiled = cr.jit(cr.grad(f, 1))
    w = np.array([[1.0, -1.0], [1.0, -1.0]])
    for x in (np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, np.inf], [3.0, 4.0]])):
        np.testing.assert_array_equal(compiled(x, w), cr.grad(f, 1)(x, w))


@pytest.mark.parametrize("rows", [4, 9, 40])
def test_lanes_of_a_reduced_loop_inside_of_another_reduced_one_are_added_up(rows):
    # Images, their windows as rows: what the gradient of a convolution's weight sums over.
    def f(x, scale):
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        return np.sum(np.reshape(windows, (2, -1, 9)) * scale, axis=(0, 1))

    x = np.random.default_rng(0).normal(size=(2, rows + 2, 6))
    np.testing.assert_allclose(cr.jit(f)(x, 2.0), f(x, 2.0), rtol=1e-13, atol=1e-13)


# ---------------------------------------------------------------------------- what is not computed


def test_a_multiple_of_a_sum_that_is_there_needs_no_sum_of_its_own():
    def f(x):
        e = np.exp(x)
        s = np.sum(e, axis=1, keepdims=True)
        return np.sum(-(e / s), axis=1), s

    x = np.random.default_rng(0).normal(size=(7, 9))
    compiled = cr.jit(f)
    for found, expected in zip(compiled(x), f(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-15)
    assert compiled.lower(x).graph.count(" sum(") == 1


def test_the_same_reduction_written_in_two_ways_is_computed_once():
    def f(x):
        return np.sum(x) * np.max(x, axis=(0, 1)), np.sum(x, axis=(0, 1), keepdims=True), np.max(x)

    x = np.random.default_rng(0).normal(size=(3, 4))
    graph = cr.jit(f).lower(x).graph
    assert graph.count(" sum(") == graph.count(" max(") == 1


def test_what_is_chosen_by_a_condition_is_computed_before_and_not_in_every_place():
    def f(x, a):
        mask = np.where(x > 0, 1.0, 0.0)
        return mask * a / 3.0 - a

    x, a = np.random.default_rng(0).normal(size=(40, 5)), np.float64(0.7)
    compiled = cr.jit(f)
    np.testing.assert_array_equal(compiled(x, a), f(x, a))
    for operation in ("multiply", "divide", "subtract"):
        for line in compiled.lower(x, a).graph.splitlines():
            assert f" {operation}(" not in line or "float64 = " in line, line


@pytest.mark.parametrize("special", [np.inf, -np.inf, np.nan, 0.0, -0.0])
def test_a_choice_of_special_values_is_what_it_is_uncompiled(special):
    def f(x, a):
        mask = (x > 0).astype(float)
        return mask * a, a / mask, mask / a, np.where(x > 0, a, 2.0) + a, -(mask - a)

    x = np.random.default_rng(0).normal(size=(20, 3))
    with np.errstate(all="ignore"):
        for found, expected in zip(cr.jit(f)(x, special), f(x, special), strict=True):
            np.testing.assert_array_equal(found, expected)
            np.testing.assert_array_equal(np.signbit(found), np.signbit(expected))


def test_labels_that_reach_every_row_leave_no_question_where_a_gradient_arrives():
    def loss(scores, labels):
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        logs = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
        return -np.mean(logs[np.arange(len(labels)), labels])

    scores = np.random.default_rng(0).normal(size=(12, 5))
    labels = np.random.default_rng(1).integers(0, 5, 12)
    compiled = cr.jit(cr.grad(loss))
    np.testing.assert_allclose(compiled(scores, labels), cr.grad(loss)(scores, labels), rtol=1e-13)
    assert " any(" not in compiled.lower(scores, labels).graph


def test_a_result_lies_where_its_operand_was_only_if_nobody_reads_that_afterwards():
    def f(x):
        e = np.exp(x)
        s = np.sum(e)
        first = e / s
        turned = e[::-1] * s  # reads other elements than the turn writes
        return first, turned, np.cumsum(first)[-1] * e

    x = np.random.default_rng(0).normal(size=1000)
    for found, expected in zip(cr.jit(f)(x), f(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-13)
    workspace = cr.jit(lambda x: np.exp(x) / np.sum(np.exp(x))).lower(x)
    assert workspace._executable.workspace < x.nbytes  # the exponentials lie in the result


@pytest.mark.parametrize("length", [16, 37, 1000, 20_011])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_more_sums_than_registers_are_right_in_one_loop(length, dtype):
    def moments(t):
        return [np.sum(t**n) for n in range(1, 15)] + [np.max(t)]

    t = np.random.default_rng(0).uniform(-1, 1, length).astype(dtype)
    exact = moments(t.astype(np.longdouble))
    for found, expected in zip(cr.jit(moments)(t), exact, strict=True):
        assert found.dtype == dtype
        rounding = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(
            found, float(expected), rtol=4 * rounding, atol=4 * rounding * length**0.5
        )


def fit(coefficients, t):
    """Half the sum of the squares of a polynomial, written as NumPy's own loop."""
    value = np.zeros_like(t)
    for c in coefficients:
        value = value * t + c
    return np.sum(value**2) / 2


COEFFICIENTS = np.random.default_rng(0).uniform(-1, 1, 80)


def slopes_of(coefficients, t):
    powers = np.vander(t.astype(np.longdouble), len(coefficients))
    return (powers @ coefficients) @ powers


@pytest.mark.parametrize("length", [47, 48, 50, 64, 95, 1000, 20_011])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_long_chain_of_operations_is_right_whatever_is_left_over(length, dtype, monkeypatch):
    on_threads(1, monkeypatch)
    t = np.random.default_rng(1).uniform(-1, 1, length).astype(dtype)
    x = COEFFICIENTS.astype(dtype)
    expected = slopes_of(x, t).astype(float)
    found = cr.jit(cr.grad(fit))(x, t)
    assert found.dtype == dtype
    rounding = 40 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=0, atol=rounding * np.max(np.abs(expected)))


@pytest.mark.parametrize("length", [48, 95, 20_011])
def test_whatever_is_combined_of_a_long_chain_of_operations(length):
    def combined(t):
        value = np.polyval(COEFFICIENTS, t)
        return np.sum(value), np.max(value), np.min(value), np.any(value > 60), np.prod(value / 4)

    t = np.random.default_rng(1).uniform(-1, 1, length)
    for found, expected in zip(cr.jit(combined)(t), combined(t), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_a_long_chain_of_operations_is_divided_where_its_vectors_are_full(monkeypatch):
    three_threads(monkeypatch)
    t = np.random.default_rng(1).uniform(-1, 1, 5003)
    compiled = cr.jit(cr.grad(fit))
    first = compiled(COEFFICIENTS, t)
    assert "3 threads" in compiled.lower(COEFFICIENTS, t).nests
    np.testing.assert_allclose(first, slopes_of(COEFFICIENTS, t).astype(float), rtol=1e-11)
    for _ in range(20):
        np.testing.assert_array_equal(compiled(COEFFICIENTS, t), first)


def flights(f, *args, registers):
    """How many vectors of each loop are to be in flight."""
    return [in_flight(loop, registers) for loop in loops_of(lowered(f, *args))]


def test_operations_that_wait_for_each_other_are_done_for_as_many_vectors_as_registers_hold():
    t = np.linspace(-1, 1, 1000)
    assert max(flights(fit, COEFFICIENTS, t, registers=16)) == 6
    assert max(flights(fit, COEFFICIENTS, t, registers=32)) == 8


def many_alive(t):
    """A chain backwards that needs what each step forwards gave."""
    value = t
    for _ in range(80):
        value = value * value + t
    return value


@pytest.mark.parametrize("f", [np.exp, cr.grad(lambda t: np.sum(many_alive(t)))])
def test_other_loops_have_four_vectors_in_flight(f):
    assert set(flights(f, np.linspace(-1, 1, 1000), registers=16)) == {4}


def nearest(centroids, points):
    """The sum of the squared distances to the nearest of some points, and how far it moves."""
    products = points @ centroids.T
    squares = np.sum(points**2, axis=1)[:, None] + np.sum(centroids**2, axis=1)
    return np.sum(np.min(squares - 2 * products, axis=1))


def test_a_product_over_a_short_axis_and_the_sums_of_its_winners_are_one_loop_over_the_rows():
    def sums(centroids, points):
        away = np.sum(centroids**2, axis=1) - 2 * points @ centroids.T
        return np.where(away == np.min(away, axis=1, keepdims=True), 1.0, 0.0).T @ points

    code = lowered(sums, np.ones((40, 5)), np.ones((3000, 5)))
    assert not any(isinstance(group, Call) for group in code.groups)
    assert [loop.var.here().extent for loop in loops_of(code)].count(3000) == 1
    assert code.workspace < 3000 * 40 * 8 / 10


@pytest.mark.parametrize("k", [3, 10, 37, 300])
@pytest.mark.parametrize("n", [256, 301])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_turns_that_add_nothing_are_left_out_and_no_others(k, n, dtype):
    rng = np.random.default_rng(k)
    centroids, points = rng.normal(size=(k, 4)).astype(dtype), rng.normal(size=(n, 4)).astype(dtype)
    centroids[2] = centroids[0]  # ties
    gradient = cr.grad(nearest)
    expected = gradient(centroids, points)
    tolerance = 1e-11 if dtype == np.float64 else 1e-3
    np.testing.assert_allclose(
        cr.jit(gradient)(centroids, points), expected, rtol=tolerance, atol=tolerance * n
    )


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_zero_times_what_is_not_finite_is_nan_where_turns_that_add_nothing_are_left_out(special):
    def winners(x, y):
        return np.where(x == np.max(x, axis=1, keepdims=True), x, 0.0).T @ y

    x = np.random.default_rng(0).normal(size=(300, 12))
    y = np.ones((300, 3))
    y[17, 1] = special
    compiled = cr.jit(winners)
    with np.errstate(invalid="ignore"):
        expected = winners(x, y)
    np.testing.assert_allclose(compiled(x, y), expected, rtol=1e-13)
    assert np.isnan(expected[:, 1]).sum() >= 11
    assert not any(isinstance(group, Call) for group in lowered(winners, x, y).groups)


def test_sums_that_begin_in_a_turn_are_made_even_if_nothing_is_added():
    def f(x, y):
        winners = np.where(x == np.max(x, axis=1)[:, None], x, 0.0)
        return np.sum(winners[:, :, None] * y, axis=2)

    x, y = np.random.default_rng(0).normal(size=(64, 12)), np.arange(9.0)
    compiled = cr.jit(f)
    for _ in range(3):
        unused = [np.full((64, 12), np.nan) for _ in range(50)]  # what new memory may be full of
        del unused
        np.testing.assert_allclose(compiled(x, y), f(x, y), rtol=1e-13)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["a point", "a centroid"])
@pytest.mark.parametrize(("k", "n"), [(11, 1001), (12, 1024), (64, 1203)])
def test_lanes_with_winners_take_turns_and_each_finds_its_own(k, n, where, bad):
    def moves(centroids, points):
        return cr.jvp(
            cr.grad(lambda c: nearest(c, points)), (centroids,), (np.ones_like(centroids),)
        )

    rng = np.random.default_rng(k)
    centroids = np.round(rng.normal(size=(k, 8)))
    points = np.round(rng.normal(size=(n, 8)))  # many are as near to one as to another
    (points if where == "a point" else centroids)[3, 2] = bad
    compiled = cr.jit(moves)
    if where == "a centroid":  # points with infinities are another program, as zeros times them are
        assert "cttz" in compiled.lower(centroids, points).llvm_ir
    with np.errstate(invalid="ignore"):
        expected = moves(centroids, points)
    for found, wanted in zip(compiled(centroids, points), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-11)


def test_a_row_with_nan_has_its_nans_as_winners_compiled_and_not():
    x = np.random.default_rng(1).normal(size=(40, 9))
    x[3, 4] = x[3, 7] = np.nan
    gradient = cr.grad(lambda x: np.sum(np.max(x, axis=1)))
    np.testing.assert_array_equal(gradient(x)[3], [0, 0, 0, 0, 0.5, 0, 0, 0.5, 0])
    np.testing.assert_array_equal(cr.jit(gradient)(x), gradient(x))


def test_a_loop_waits_for_what_the_next_statement_needs_besides():
    def f(x, y):
        squares = np.sum(x**2, axis=1)  # a loop over the rows of x
        other = np.sum(y**2, axis=1)  # one over those of y
        return np.max(squares[:, None] - other, axis=1)

    x, y = np.random.default_rng(2).normal(size=(2, 500, 6))
    code = lowered(f, x, y[:20])
    assert [loop.var.here().extent for loop in loops_of(code)] == [20, 500]
    np.testing.assert_allclose(cr.jit(f)(x, y[:20]), f(x, y[:20]), rtol=1e-13)


def test_winners_that_are_known_only_in_loops_inside_are_not_asked_for_before():
    gradient = cr.grad(lambda x: np.sum(np.ptp(np.sort(x, axis=1), axis=0)))
    x = np.random.default_rng(3).normal(size=(5, 4, 17))
    np.testing.assert_allclose(cr.jit(gradient)(x), gradient(x), rtol=1e-13)


def test_what_passes_back_through_one_matrix_from_many_points_is_added_up_first():
    def f(mean, matrix, points):
        return np.sum(np.sin(np.einsum("ij,nj->ni", matrix, points - mean)))

    mean, matrix, points = (
        np.ones(24),
        np.random.default_rng(4).normal(size=(24, 24)),
        np.eye(300, 24),
    )
    gradient = cr.grad(f)
    code = lowered(gradient, mean, matrix, points)
    calls = [group for group in code.groups if isinstance(group, Call)]
    assert [call.data["sizes"] for call in calls] == [(300, 24, 24)], "forth, and not back as well"
    found, expected = cr.jit(gradient)(mean, matrix, points), gradient(mean, matrix, points)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize("axis", [0, 1, (0, 1), None])
@pytest.mark.parametrize(
    "sizes", [((3, 40, 5), (5, 6)), ((3, 40, 5), (3, 5, 6)), ((40, 5), (5, 6))]
)
def test_sums_of_products_over_any_axes_are_those_of_numpy(sizes, axis):
    x, y = (np.random.default_rng(5).normal(size=size) for size in sizes)
    f = lambda x, y: (np.sum(x @ y, axis=axis), -np.sum(-(x @ y), axis=axis))
    for found, expected in zip(cr.jit(f)(x, y), f(x, y), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def shapes_of(code):
    """The shapes in memory of what is kept on the way."""
    return [b.shape for b in code.nests.buffers if b.kind == "temporary"]


def test_arrays_lie_as_the_result_that_is_made_of_them():
    def f(x, y):
        inner = np.einsum("rvk,vk->rv", np.exp(x), y)
        return np.moveaxis(np.stack([inner, inner * np.tanh(inner)], -1), 0, -1)

    args = np.ones((6, 9, 20)), np.ones((9, 20))
    code = lowered(f, *args)
    assert (6, 9) not in shapes_of(code)
    (loop,) = [loop for loop in loops_of(code) if loop.var.here().extent == 9]
    assert any(s.target.kind == "result" for s in loop.statements())
    x, y = (np.random.default_rng(3).normal(size=a.shape) for a in args)
    np.testing.assert_allclose(cr.jit(f)(x, y), f(x, y), rtol=1e-13)


@pytest.mark.parametrize("f", [
    lambda x, y: (x @ y).T,
    lambda x, y: ((x @ y).T, np.exp(x @ y)),
    lambda x, y: np.moveaxis(np.reshape(np.cumsum(x @ y, 0), (6, 2, 4)), 0, -1) * 2,
    lambda x, y: np.sum(np.reshape(np.sin(x @ y), (3, 2, 8)), 1).T,
    lambda x, y: np.concatenate([x @ y, np.sin(x @ y)[:4]]).T[1:, None],
    lambda x, y: np.transpose((np.exp(x @ y))[:, None, 2:6] * np.ones((6, 3, 1)), (2, 1, 0)),
    lambda x, y: np.swapaxes(np.stack([x @ y, np.exp(x) @ y]), 0, 2)[::-1] + 1,
    lambda x, y: np.einsum("ij,jk->ki", np.exp(x), y)[:, np.array([1, 0, 5])],
    lambda x, y: (np.sort(x @ y, axis=0).T * 2, (x @ y)[0]),
])  # fmt: skip
def test_in_whatever_order_arrays_lie_they_hold_the_same(f):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(5, 8))
    found, expected = (v if isinstance(v, tuple) else (v,) for v in (cr.jit(f)(x, y), f(x, y)))
    for one, other in zip(found, expected, strict=True):
        assert one.flags.c_contiguous
        np.testing.assert_allclose(one, other, rtol=1e-13)


def test_axes_of_an_array_that_lies_otherwise_are_divided_without_a_copy():
    def f(x, y):
        kept = np.einsum("rk,vk->rv", x, y)
        return np.sum(np.reshape(kept * np.exp(kept), (7, 5, 3)), 2).T

    code = lowered(f, np.ones((7, 30)), np.ones((15, 30)))
    assert all(np.prod(shape) != 7 * 15 or shape == (15, 7) for shape in shapes_of(code))
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(7, 30)) / 9, rng.normal(size=(15, 30))
    np.testing.assert_allclose(cr.jit(f)(x, y), f(x, y), rtol=1e-13)


def test_a_sum_of_a_few_numbers_is_inside_the_loop_along_the_memory():
    code = lowered(lambda x, y: np.einsum("kv,kv->v", x, y) + 1, np.ones((3, 50)), np.ones((3, 50)))
    (statement,) = [s for loop in loops_of(code) for s in loop.statements() if s.combine]
    assert [v.extent for v in statement.vars] == [50, 3]


def test_a_result_that_two_loops_write_is_not_copied():
    def f(x):
        y = x * 2
        y[1:] += np.sin(x[:-1])
        return y

    x = np.linspace(0, 1, 5000)
    code = lowered(f, x)
    (result,) = code.lowering.results
    assert result.kind == "result"
    assert len(result.writers) == 2, "the loop of all and that of a part; no third one copies"
    np.testing.assert_allclose(cr.jit(f)(x), f(x), rtol=1e-13)


@pytest.mark.parametrize(("products", "waits"), [(3, 2), (8, 3), (16, 3), (20, 4)])
def test_products_of_a_written_out_sum_wait_for_few_others(products, waits):
    def after(e):
        return (e.data == "multiply_add") + max(map(after, e.args), default=0)

    x, y = np.ones((1000, products)), np.ones((products, 30))
    sums = [after(s.value) for s in loops_of(lowered(np.matmul, x, y))[-1].statements()]
    assert max(sums) == waits


def gathered(x):
    """Sums of a few rows each, of columns that lie behind each other in the result."""
    places, factors = np.arange(60).reshape(20, 3) % 7, np.linspace(-1, 1, 60).reshape(20, 3)
    return np.einsum("lvk,vk->vl", np.exp(x)[:, places], factors)


def test_an_array_that_is_looked_up_in_lies_as_the_result_and_is_read_in_vectors():
    x = np.random.default_rng(6).normal(size=(4, 7))
    code = lowered(gathered, x)
    assert (7, 4) in shapes_of(code)
    assert (4, 7) not in shapes_of(code)
    widths = target.host().bytes // 8
    text = "\n".join([*code.module.functions, *code.module.rare])
    assert f"load <{min(widths, 4)} x double>" in text
    np.testing.assert_allclose(cr.jit(gathered)(x), gathered(x), rtol=1e-13)


@pytest.mark.parametrize("f", [
    lambda x, y: np.einsum("nij,njk->nik", x, y),
    lambda x, y: np.einsum("nij,njk,nkl->nil", x, y, x),
    lambda x, y: np.sum(np.einsum("nij,nkj->nik", x, y) * x, 1),
    lambda x, y: np.einsum("nij,njk->nk", np.exp(x), y),
])  # fmt: skip
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_small_matrices_in_a_long_loop_are_multiplied_right(f, n):
    rng = np.random.default_rng(n)
    x, y = rng.normal(size=(2, 50, n, n))
    np.testing.assert_allclose(cr.jit(f)(x, y), f(x, y), rtol=1e-12, atol=1e-13)
