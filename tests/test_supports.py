"""Where nothing can flow, nothing is multiplied: gradients behind masks, selections and branches.

Every claim is made in both modes: ``derivatives`` asks reverse mode for the gradient of the sum and
forward mode for the derivative with respect to each element, and compares them.
"""

import math

import numpy as np
import pytest

import chainrule as cr
from chainrule.graph.operand import bind
from chainrule.graph.primitive import Flat
from chainrule.rules import BOOK
from chainrule.transforms.staging import stage

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

INF, NAN = math.inf, math.nan


def derivatives(f, x):
    """The gradient of ``sum(f(x))``, found backward and, element by element, forward."""
    x = np.asarray(x, float)[()] if not isinstance(x, np.ndarray) else x
    total = lambda v: np.sum(f(v))
    backward = cr.grad(total)(x)
    forward = np.zeros_like(x)
    for place in np.ndindex(np.shape(x)):
        here = np.zeros(np.shape(x), bool)
        here[place] = True
        forward[place] = cr.jvp(
            lambda v, here=here: total(np.where(here, v, x)), (x[place],), (1.0,)
        )[1]
    np.testing.assert_allclose(forward, backward, rtol=1e-6, atol=1e-30)
    return backward


def assert_derivatives(f, x, expected):
    np.testing.assert_allclose(derivatives(f, x), expected, rtol=2e-7, atol=1e-30)


# --------------------------------------------------------------------------- a branch not taken


@pytest.mark.parametrize(
    "hidden",
    [
        np.sqrt, np.log, np.log2, np.arccosh, np.cbrt,
        lambda x: 1 / x, lambda x: x / 0.0, lambda x: x * INF, lambda x: x * NAN,
        lambda x: x**0.5, lambda x: x**-1, lambda x: np.abs(x) ** x, lambda x: np.exp(1e3 / x**2),
        lambda x: np.exp(1000 * (x + 3)), lambda x: np.log(x) ** 2, lambda x: np.sqrt(x) / x,
        lambda x: np.hypot(x, 0 * x), lambda x: np.arctan2(x, x), lambda x: np.sqrt(np.sqrt(x) - 9),
        lambda x: np.arcsin(x + 5), lambda x: np.log1p(-np.exp(2000 * (x + 3))),
        lambda x: np.maximum(np.sqrt(x), np.log(x)), lambda x: np.minimum(np.log(x), 1 / x),
        lambda x: np.clip(np.log(x), 1 / x, INF), lambda x: np.sum(np.log(x) * np.ones(3)),
        lambda x: np.prod(np.log(x) * np.ones(3)), lambda x: np.mean(np.sqrt(x) * np.ones((2, 2))),
        lambda x: np.dot(np.log(x) * np.ones(2), np.array([1.0, INF])),
        lambda x: np.sum(np.broadcast_to(np.sqrt(x), (3,)).reshape(3, 1) @ np.array([[INF, NAN]])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("x", [0.0, -1.0])
def test_whatever_happens_in_the_branch_not_taken_its_derivative_is_not_used(hidden, x):
    taken = lambda x: np.where(x > 0.5, hidden(x), 3 * x)
    assert derivatives(taken, x) == 3.0
    assert derivatives(lambda x: np.where(x <= 0.5, 3 * x, hidden(x)), x) == 3.0
    assert derivatives(lambda x: np.where(x > 0.5, hidden(x), 0.0), x) == 0.0
    assert cr.grad(cr.grad(taken))(x) == 0.0
    assert cr.jvp(cr.grad(taken), (x,), (1.0,))[1] == 0.0
    assert cr.grad(lambda v: cr.jvp(taken, (v,), (1.0,))[1])(x) == 0.0


# Rows whose first argument has a derivative; the remainder jumps.
WITH_DOMAIN = [
    n for n, row in BOOK.items()
    if row.domain and row.elementwise and n != "remainder" and not isinstance(row.edge(0), Flat)
]  # fmt: skip


@pytest.mark.parametrize("name", WITH_DOMAIN)
def test_a_row_guarded_by_its_own_domain_has_its_derivative_inside_and_zero_outside(name):
    row = BOOK[name]
    x = np.array([-INF, -3.0, -1.5, -1.0, -0.5, 0.0, 0.25, 1.0, 2.0, 40.0])
    others = [np.full_like(x, 0.5)] * (row.domain.test.__code__.co_argcount - 1)
    apply = np.power if name == "power" else np.divide if name == "divide" else None

    def f(v):
        args = [*others, v] if name == "divide" else [v, *others]
        return apply(*args) if apply else bind(row, tuple(args))

    inside = row.domain.test(*([*others, x] if name == "divide" else [x, *others]))
    plain = cr.grad(lambda v: np.sum(f(v)))(x)
    guarded = lambda v: np.where(inside, f(v), 0.0)
    assert_derivatives(guarded, x, np.where(inside, plain, 0.0))
    second = cr.grad(lambda v: np.sum(cr.grad(lambda u: np.sum(guarded(u)))(v)))(x)
    assert np.all(second[~inside] == 0)


def test_both_sides_of_a_root_at_zero_and_the_point_itself():
    f = lambda x: np.where(x > 0, np.sqrt(x), 0.0)
    assert_derivatives(f, np.array([4.0, 0.0, -4.0]), [0.25, 0.0, 0.0])


def test_a_value_used_under_two_masks_is_masked_on_both_paths():
    def f(x):
        s = np.sqrt(x)
        return np.where(x > 0, s, 0.0) + np.where(x > 0, 2 * s, 0.0)

    assert_derivatives(f, np.array([0.0, 4.0, -1.0]), [0.0, 0.75, 0.0])


def test_a_value_used_under_opposite_masks_is_used_everywhere():
    def f(x):
        s = np.sqrt(x)
        return np.where(x > 1, s, 0.0) + np.where(x > 1, 0.0, 2 * s)

    assert_derivatives(f, np.array([4.0, 0.25, 0.0]), [0.25, 2.0, INF])


def test_a_mask_on_one_path_does_not_hide_the_singularity_on_the_other():
    def f(x):
        s = np.sqrt(x)
        return np.where(x > 0, s, 0.0) + s

    assert_derivatives(f, np.array([0.0, 4.0]), [INF, 0.5])


def test_masks_within_masks():
    def f(x):
        inner = np.where(x > -1, np.log1p(x), 1 / (x + 1))
        return np.where(x > 1, np.sqrt(x - 1), np.where(x < 0, 0.0, inner))

    assert_derivatives(f, np.array([-1.0, -3.0, 0.5, 2.0]), [0.0, 0.0, 2 / 3, 0.5])


def test_the_mask_survives_everything_between_it_and_the_singularity():
    def f(x):
        s = np.sqrt(x)
        y = np.exp(np.sin(3 * s) - s) / (1 + s**2)
        return np.where(x > 0, y, 0.0)

    assert derivatives(f, 0.0) == 0.0
    assert np.isfinite(derivatives(f, 2.0))


def test_a_mask_after_reductions_and_moves_reaches_back_through_them():
    x = np.array([[4.0, 0.0], [1.0, 9.0]])
    keep = np.array([False, True])
    for reduce in (
        lambda s: np.sum(s, axis=1), lambda s: np.mean(s, axis=1) * 2,
        lambda s: np.sum(s.T, axis=0), lambda s: np.sum(s.ravel()[[0, 1, 2, 3]].reshape(2, 2), 1),
        lambda s: s @ np.ones(2), lambda s: np.sum(np.expand_dims(s, 0).squeeze(), axis=1),
        lambda s: np.dot(s, np.array([1.0, 1.0])),
    ):  # fmt: skip
        f = lambda v, r=reduce: np.where(keep, r(np.sqrt(v)), 0.0)
        assert_derivatives(f, x, [[0, 0], [0.5, 1 / 6]])


def test_a_mask_before_reductions_and_moves_is_carried_forward_through_them():
    x = np.array([[4.0, 0.0], [1.0, 9.0]])
    for reduce in (
        np.sum, lambda s: np.mean(s) * 4, lambda s: np.sum(s.reshape(-1)), lambda s: np.ones(2) @ s,
        lambda s: np.broadcast_to(s, (3, 2, 2))[1], lambda s: np.sum(s.T, axis=(0, 1)),
    ):  # fmt: skip
        f = lambda v, r=reduce: r(np.where(v > 0, np.sqrt(v), 0.0))
        assert_derivatives(f, x, [[0.25, 0], [0.5, 1 / 6]])


def test_a_product_of_the_elements_behind_a_mask():
    x = np.array([[INF, 2.0], [3.0, 4.0]])
    f = lambda v: np.where(np.array([False, True]), np.prod(v, axis=1), 0.0)
    assert_derivatives(f, x, [[0, 0], [4, 3]])
    f = lambda v: np.prod(np.where(v > 0, np.sqrt(v), 1.0))
    assert_derivatives(f, np.array([0.0, 4.0, 9.0]), [0.0, 0.75, 1 / 3])


# ------------------------------------------------------------------------------- elements not taken


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (1, [0, 0.25, 0]), (-2, [0, 0.25, 0]), (slice(1, 2), [0, 0.25, 0]), ([1, 1], [0, 0.5, 0]),
        (np.array([False, True, False]), [0, 0.25, 0]), ((None, 1), [0, 0.25, 0]),
        ((..., [1]), [0, 0.25, 0]), (slice(0, 0), [0, 0, 0]), (slice(None), [INF, 0.25, NAN]),
    ],
)  # fmt: skip
def test_the_elements_that_indexing_leaves_out_receive_zero(index, expected):
    assert_derivatives(lambda x: np.sqrt(x)[index], np.array([0.0, 4.0, -1.0]), expected)


def test_indexing_twice_keeps_both_selections():
    x = np.array([[0.0, 4.0], [1.0, 0.0]])
    assert_derivatives(lambda x: np.sqrt(x)[0][1:], x, [[0, 0.25], [0, 0]])
    assert_derivatives(lambda x: np.sqrt(x)[:, 1][0] + np.sqrt(x)[1, 0], x, [[0, 0.25], [0.5, 0]])


def test_a_mask_with_as_many_elements_as_the_array_does_not_restrict():
    assert_derivatives(
        lambda x: np.where(x > 0, np.sqrt(x), 0.0), np.array([4.0, 1.0]), [0.25, 0.5]
    )


# ---------------------------------------------------------------------------------- matrix products


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_a_masked_row_of_a_product_with_a_matrix_that_is_not_finite_is_not_used(bad):
    matrix = np.array([[bad, 1.0], [2.0, 3.0]])
    keep = np.array([False, True])
    assert_derivatives(lambda x: np.where(keep, matrix @ x, 0.0), np.ones(2), [2, 3])
    assert_derivatives(lambda x: (matrix @ x)[1], np.ones(2), [2, 3])
    assert_derivatives(lambda x: (matrix @ x)[keep], np.ones(2), [2, 3])
    assert_derivatives(lambda x: (x @ matrix.T)[1], np.ones(2), [2, 3])
    assert_derivatives(
        lambda x: np.where(keep, x @ matrix.T, 0.0), np.ones((3, 2)), np.tile([2.0, 3.0], (3, 1))
    )


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_a_masked_element_before_a_product_with_a_matrix_that_is_not_finite_is_not_used(bad):
    matrix = np.array([[bad, 1.0], [2.0, 3.0]])
    keep = np.array([False, True])
    f = lambda x: matrix @ np.where(keep, np.sqrt(x), 1.0)
    assert_derivatives(f, np.array([0.0, 4.0]), [0, 1.0])


def test_an_infinity_that_is_used_shows_with_its_sign():
    matrix = np.array([[INF, 1.0], [2.0, 3.0], [-INF, 1.0]])
    one = lambda i: derivatives(lambda x: (matrix @ x)[i], np.ones(2))
    assert one(0).tolist() == [INF, 1]
    assert one(1).tolist() == [2, 3]
    assert one(2).tolist() == [-INF, 1]
    assert derivatives(lambda x: -(matrix @ x)[0], np.ones(2)).tolist() == [-INF, -1]


def test_infinities_that_meet_behind_a_mask_add_up_as_numbers_do():
    matrix = np.array([[INF], [INF], [-INF], [INF]])
    used = lambda *weights: cr.vjp(lambda x: (matrix @ x)[[0, 1, 2]], np.ones(1))[1](
        np.array(weights)
    )[0].tolist()
    assert used(1.0, 2.0, -1.0) == [INF]
    np.testing.assert_equal(used(2.0, 0.0, 1.0), [NAN])
    assert used(1.0, 0.0, -1.0) == [INF]  # a cotangent of 0 starts nothing
    np.testing.assert_equal(used(NAN, 1.0, -1.0), [NAN])
    assert used(-3.0, -1.0, 1.0) == [-INF]


def test_a_masked_product_keeps_float32():
    matrix = np.array([[INF, 1.0], [2.0, 3.0]], np.float32)
    x = np.ones(2, np.float32)
    gradient = cr.grad(lambda x: (matrix @ x)[1])(x)
    assert gradient.dtype == np.float32
    assert cr.jvp(lambda x: (matrix @ x)[1], (x,), (x,))[1].dtype == np.float32


# --------------------------------------------------------------------- what has to stay as it is


def test_an_unguarded_root_at_zero_has_an_infinite_derivative():
    assert derivatives(np.sqrt, 0.0) == INF
    assert_derivatives(np.sqrt, np.array([0.0, 4.0]), [INF, 0.25])


def test_the_users_own_zero_times_infinity_is_not_a_number():
    assert_derivatives(lambda x: 0.0 * np.sqrt(x), 0.0, NAN)
    mask = np.array([0.0, 1.0])
    assert_derivatives(lambda x: mask * np.sqrt(x), np.array([0.0, 4.0]), [NAN, 0.25])
    assert_derivatives(lambda x: np.sqrt(x) * INF, 4.0, INF)


def test_a_singularity_in_the_branch_taken_shows():
    assert derivatives(lambda x: np.where(x >= 0, np.sqrt(x), 0.0), 0.0) == INF
    assert derivatives(lambda x: np.where(x < 1, -np.log(x), x), 0.0) == -INF


def test_a_singularity_in_the_condition_does_not_matter():
    assert derivatives(lambda x: np.where(np.log(x) > 0, x, 2 * x), 0.0) == 2.0
    assert derivatives(lambda x: np.where(np.sqrt(x) > 0, x, 2 * x), -1.0) == 2.0


def test_a_branch_at_an_isolated_point_uses_the_branchs_own_derivative():
    sinc = lambda x: np.where(x == 0, 1.0, np.sin(x) / x)
    assert derivatives(sinc, 0.0) == 0.0
    assert_derivatives(sinc, np.array([0.0, 1.0]), [0.0, math.cos(1) - math.sin(1)])


def test_a_number_that_is_not_one_wins_a_maximum_as_it_does_in_the_value():
    assert_derivatives(lambda x: np.maximum(np.sqrt(x), 0.0), -1.0, NAN)
    assert_derivatives(lambda x: np.minimum(0.0, np.log(x)), -1.0, -1.0)


@pytest.mark.parametrize("pick", [np.maximum, lambda a, b: -np.minimum(-a, -b)])
def test_the_smaller_side_of_a_maximum_receives_nothing_whatever_its_slope(pick):
    assert derivatives(lambda x: pick(np.sqrt(x), 2.0 + x), 0.0) == 1.0
    assert derivatives(lambda x: pick(-np.exp(1000 + x), x), 1.0) == 1.0
    assert derivatives(lambda x: np.clip(np.exp(x), 0.0, 1.0), 1000.0) == 0.0
    assert derivatives(lambda x: np.sqrt(pick(x, 0.0)), -4.0) == 0.0
    assert derivatives(lambda x: np.log(np.clip(x, 1e-3, None)), -4.0) == 0.0


def test_conditions_may_be_numbers_lists_and_scalars():
    x = np.array([0.0, 4.0])
    for condition in ([0.0, 2.0], np.array([0, 3]), [False, True], np.array([[0.0, -0.5]])):
        f = lambda x, c=condition: np.where(c, np.sqrt(x), 5.0)
        assert_derivatives(f, x, [0, 0.25])
    assert_derivatives(lambda x: np.where(False, np.sqrt(x), x), x, [1, 1])
    assert_derivatives(lambda x: np.where(2.0, np.sqrt(x), x), x, [INF, 0.25])
    assert_derivatives(lambda x: np.where(x, np.sqrt(x), x), x, [1, 0.25])


def test_a_mask_that_broadcasts_restricts_what_it_covers():
    x = np.array([0.0, 4.0])
    column = np.array([[True], [False]])
    assert_derivatives(lambda x: np.where(column, 2 * x, np.sqrt(x)), x, [INF, 2.25])
    assert_derivatives(lambda x: np.where(column & (x > 0), np.sqrt(x), 0.0), x, [0, 0.25])
    row = np.array([False, True])
    assert_derivatives(
        lambda x: np.where(row, np.sqrt(x), 0.0), np.array([[0.0], [4.0]]), [[INF], [0.25]]
    )


# ------------------------------------------------------------------------------------ second order


def test_second_derivatives_behind_masks_and_selections_are_finite():
    smooth = lambda x: np.where(x > 0, x * np.sqrt(x), 0.0)
    hessian_diagonal = lambda f, x: cr.grad(lambda v: np.sum(cr.grad(lambda u: np.sum(f(u)))(v)))(x)
    x = np.array([0.0, 4.0, -1.0])
    np.testing.assert_allclose(hessian_diagonal(smooth, x), [0, 0.375, 0])
    np.testing.assert_allclose(hessian_diagonal(lambda x: np.sqrt(x)[1:2], x), [0, -1 / 32, 0])
    gradient = cr.grad(lambda u: np.sum(smooth(u)))
    _, tangent = cr.jvp(gradient, (x,), (np.ones(3),))
    np.testing.assert_allclose(tangent, [0, 0.375, 0])


def test_second_derivatives_behind_a_matrix_that_is_not_finite():
    matrix = np.array([[INF, 1.0], [2.0, 3.0]])
    f = lambda x: (matrix @ x**3)[1]
    assert cr.grad(lambda x: np.sum(cr.grad(f)(x)))(np.ones(2)).tolist() == [12, 18]


# ---------------------------------------------------------------------------------- published cases

DIV = np.array([0.0, 1.0])


def jax_3407(x):
    squares = np.power(np.expand_dims(x, 0) - np.expand_dims(x, 1), 2)
    distance = np.sqrt(np.sum(squares, axis=-1))
    keep = 1 - np.eye(x.shape[0])
    distance = np.where(keep, distance, np.zeros_like(distance))
    return np.sum(np.where(keep, 1 / distance, np.zeros_like(distance)))


def jax_347(x):
    r = np.sqrt(np.sum(x**2, axis=1))
    return np.where(r > 0.5, r, np.ones_like(r))


EXPS = [4.5399929762484854e-05, 6.737946999085467e-03, 0, 0, 0, 0, 0, 0, 0, 0]
FLOAT32 = np.array([-10, -5, 5, 10, 50, 60, 70, 80, 90, 100], np.float32)
FLOAT64 = np.array([-10.0, -5, 5, 10, 50, 100, 700, 710, 800, 1000])
CLAMPS = {
    "minimum": lambda x: np.minimum(np.exp(x), 1.0),
    "clip": lambda x: np.clip(np.exp(x), None, 1.0),
    "where": lambda x: np.where(x < 0, np.exp(x), np.ones_like(x)),
}
ROW_3407 = [0.03176131149993445, -0.07940327874983612, -0.11910491812475418]

# Issue, function, input, right gradient.
PUBLISHED = [
    (
        "jax-ml/jax#1052",
        lambda a: np.where(np.array([0.0, 1.0, 0.0]) > 0.5, 0.0, np.arctan2(a, a)),
        [3.0, 0.0, -5.0], [0, 0, 0],
    ),
    ("jax-ml/jax#2630", lambda x: np.where(x > 0, 0.0, x * np.inf), 1.0, 0),
    ("jax-ml/jax#2630 root", lambda x: np.where(x <= 0, 0.0, np.sqrt(x)), [-1.0, 4.0], [0, 0.25]),
    (
        "jax-ml/jax#3407", jax_3407,
        [[1.0, 2.0, 3.0], [0.2, 4.0, 6.0]], [[-r for r in ROW_3407], ROW_3407],
    ),
    ("jax-ml/jax#5798", lambda x: np.where(x < 1.0, x, np.sqrt(x)), [0.0, 1e-9], [1, 1]),
    *((f"pytorch/pytorch#10729 {n}", f, FLOAT64, EXPS) for n, f in CLAMPS.items()),
    *((f"pytorch/pytorch#10729 {n} float32", f, FLOAT32, EXPS) for n, f in CLAMPS.items()),
    ("pytorch/pytorch#4132 index", lambda x: (x / DIV)[DIV != 0], [1.0, 1.0], [0, 1]),
    ("pytorch/pytorch#4132 where", lambda x: np.where(DIV != 0, x / DIV, 0.0), [1.0, 1.0], [0, 1]),
    # There f jumps at 0, so there is no true gradient: the derivative of the branch taken is used.
    (
        "pytorch/pytorch#23395",
        lambda x: np.where(x == 0.0, x / 2, np.sqrt(x) + 1), [16.0, 0.0], [0.125, 0.5],
    ),
    (
        "pytorch/pytorch#23395 fixed mask",
        lambda x: np.where(np.array([False, True]), x / 2, np.sqrt(x) + 1),
        [16.0, 0.0], [0.125, 0.5],
    ),
    (
        "jax-ml/jax#347", jax_347,
        [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]], [[0.4472136, 0.8944272], [0.6, 0.8], [0, 0]],
    ),
    ("pytorch/pytorch#15506", lambda a: np.log(a)[-1], [0.0, 1.0, 2.0, 3.0], [0, 0, 0, 1 / 3]),
    ("pytorch/pytorch#68425", lambda a: np.where(a <= 0, np.exp(a), 1 + a), 1000.0, 1),
    (
        "pytorch/pytorch#108618",
        lambda x: np.where(x > 2, np.log2(x), 2 * x), [0.0, 1.5, 3.0], [2, 2, 0.4808983],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("f", "x", "expected"), [c[1:] for c in PUBLISHED], ids=[c[0] for c in PUBLISHED]
)
def test_the_published_wrong_gradients_are_right_here(f, x, expected):
    x = np.array(x) if not isinstance(x, float | np.ndarray) else x
    assert_derivatives(f, x, expected)
    if isinstance(x, np.ndarray):
        assert cr.grad(lambda v: np.sum(f(v)))(x).dtype == x.dtype


@pytest.mark.parametrize("mode", [None, "forward", "reverse"])
def test_a_jacobian_has_zeros_beside_an_infinite_slope(mode):
    x = np.array([1.0, 0.0, 4.0])
    found = cr.jacobian(np.sqrt, mode=mode)(x)
    np.testing.assert_array_equal(found, np.diag([0.5, np.inf, 0.25]))
    found = cr.jacobian(lambda x: np.cumsum(np.sqrt(x)), mode=mode)(x)
    np.testing.assert_array_equal(found, np.tril([[0.5, np.inf, 0.25]] * 3))


def test_a_hessian_has_zeros_beside_an_infinite_curvature():
    found = cr.hessian(lambda w: np.sum(w**1.5))(np.array([1.0, 0.0]))
    np.testing.assert_array_equal(found, np.diag([0.75, np.inf]))


@pytest.mark.parametrize(("factor", "selects"), [(0.5, False), (-0.5, True), (INF, True)])
def test_zeros_times_a_positive_number_are_zeros_without_being_selected(factor, selects):
    gradient, x = cr.grad(lambda x: np.sum((x * factor)[1:] ** 2)), np.arange(3.0)
    names = {record.op.name for record in stage(gradient, (x,)).records if record.op is not None}
    assert ("where" in names) is selects
    found = gradient(x)
    np.testing.assert_array_equal(found, [0.0, 2 * factor**2, 4 * factor**2])
    assert not np.signbit(found[0])
