"""Matrix products, contractions and linear systems as people write them.

Value, both modes and the second order of every call are held against differences; rows by
themselves are tried in ``test_rule_book.py``.
"""

import itertools
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotDifferentiableError, TraceError

LA = np.linalg


def normal(*shape):
    return np.random.default_rng(sum(shape) + 31 * len(shape)).normal(size=shape)


def assert_right(f, *args, second=True):
    """Value, pull and push in every argument, and second derivatives, by differences."""
    for i, x in enumerate(args):
        g = lambda v, i=i: f(*args[:i], v, *args[i + 1 :])
        plain = np.asarray(g(x))
        out, pull = cr.vjp(g, x)
        np.testing.assert_allclose(out, plain, rtol=1e-11, atol=1e-12)
        assert np.shape(out) == plain.shape
        ct, t, h = normal(*plain.shape) + 0.1, normal(*x.shape) + 0.2, 1e-6
        slope = (np.asarray(g(x + h * t)) - np.asarray(g(x - h * t))) / (2 * h)
        size = 1 + np.max(np.abs(slope), initial=0)
        np.testing.assert_allclose(cr.jvp(g, (x,), (t,))[1], slope, rtol=1e-6, atol=1e-7 * size)
        found = pull(ct)[0]
        assert np.shape(found) == x.shape
        assert np.sum(found * t) == pytest.approx(np.sum(ct * slope), rel=1e-6, abs=1e-6 * size)
        if second and x.size:
            gradient = cr.grad(lambda v, g=g, ct=ct: np.sum(ct * g(v)) + np.sum(ct * g(v) ** 2))
            along = (gradient(x + 10 * h * t) - gradient(x - 10 * h * t)) / (20 * h)
            size = 1 + np.max(np.abs(along))
            twice = cr.grad(lambda v, gr=gradient, t=t: np.sum(gr(v) * t))(x)
            np.testing.assert_allclose(twice, along, rtol=1e-5, atol=1e-6 * size)
            mixed = cr.jvp(gradient, (x,), (t,))[1]
            np.testing.assert_allclose(mixed, twice, rtol=1e-9, atol=1e-9 * size)


# -------------------------------------------------------------------------------------- einsum

EINSUMS = [
    ("ij,jk", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)), ("ba", (2, 3)), ("ij->", (2, 3)),
    ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (3, 3, 2)), ("iii->i", (2, 2, 2)),
    ("ii,i", (3, 3), (3,)), ("iij,jki->k", (2, 2, 3), (3, 4, 2)), (",ij->ji", (), (2, 3)),
    ("...", (2, 3)), ("i...->...", (2, 3)), ("...ii->...i", (2, 3, 3)), ("...i,i", (2, 3), (3,)),
    ("...ij,...jk", (5, 2, 3), (3, 4)), ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 4)),
    ("b...,...->b...", (2, 3, 4), (3, 4)), ("i,i->i", (1,), (3,)), ("ij,jk", (2, 1), (3, 4)),
    ("bi,bi->b", (3, 4), (3, 4)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)), ("ij,k->i", (2, 3), (4,)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("i,j,k", (2,), (3,), (4,)), ("a,a,a", *[(3,)] * 3),
    ("ab,bc,cd,de,e", (2, 3), (3, 4), (4, 2), (2, 3), (3,)), (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("ij,jk", (0, 3), (3, 2)), ("ij,jk", (2, 0), (0, 2)), ("...ab,...b->...a", (0, 2, 3), (3,)),
]  # fmt: skip


@pytest.mark.parametrize(("subscripts", "shapes"), [(s, shapes) for s, *shapes in EINSUMS])
def test_einsum_in_every_form(subscripts, shapes):
    args = [normal(*s) for s in shapes]
    for optimize in (False, True, "optimal"):
        f = lambda *a, o=optimize: np.einsum(subscripts, *a, optimize=o)
        assert_right(f, *args, second=optimize is False)


def test_einsum_with_lists_of_axes():
    a, b = normal(2, 3), normal(3, 4)
    assert_right(lambda a, b: np.einsum(a, [0, 1], b, [1, 2]), a, b)
    assert_right(lambda a, b: np.einsum(a, [30, 1], b, [1, 2], [2, 30]), a, b)
    assert_right(lambda a: np.einsum(a, [..., 0], [0, ...]), a)


def test_einsum_keeps_to_a_path_that_is_given():
    args = [normal(2, 3), normal(3, 4), normal(4, 2)]
    path = ["einsum_path", (1, 2), (0, 1)]
    assert_right(lambda *a: np.einsum("ij,jk,kl", *a, optimize=path), *args)
    seen = []
    cr.grad(lambda a: seen.append(np.einsum_path("ij,jk,kl", a, *args[1:])[0]) or np.sum(a))(
        args[0]
    )
    assert seen == [np.einsum_path("ij,jk,kl", *args)[0]]


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk", [(2, 3), (4, 2)]), ("ii", [(2, 3)]), ("ij", [(2,)]), ("i->j", [(2,)]),
        ("i...->i", [(2, 3)]), ("i,j", [(2,)]), ("i", [(2,), (3,)]), ("ij->ii", [(2, 2)]),
    ],
)  # fmt: skip
def test_einsum_refuses_what_numpy_refuses(subscripts, shapes):
    first, *others = [normal(*s) for s in shapes]
    with pytest.raises(ValueError):  # noqa: PT011 - the words are NumPy's
        np.einsum(subscripts, first, *others)
    with pytest.raises(ValueError):  # noqa: PT011
        cr.grad(lambda x: np.sum(np.einsum(subscripts, x, *others)))(first)


def test_einsum_says_which_options_it_does_not_take():
    x = normal(2, 2)
    with pytest.raises(TraceError, match="out="):
        cr.grad(lambda v: np.einsum("ii", v, out=np.zeros(())))(x)
    with pytest.raises(TraceError, match="astype"):
        cr.grad(lambda v: np.einsum("ii", v, dtype=np.float32))(x)
    with pytest.raises(NotDifferentiableError, match="complex"):
        cr.grad(lambda v: np.einsum("ij,jk->", v, x + 1j))(x)


def test_nothing_flows_from_the_part_of_a_contraction_that_was_masked_out():
    a, b = np.array([[1.0, 2.0]]), np.array([[np.inf, 1.0], [3.0, 4.0]])
    f = lambda a: np.sum(np.where([[False, True]], np.einsum("ij,jk->ik", a, b), 0.0))
    assert cr.grad(f)(a).tolist() == [[1.0, 4.0]]


def test_vmap_of_einsum_is_one_contraction_more():
    a, b = normal(5, 2, 3), normal(5, 3, 3)
    f = lambda a, b: np.einsum("ij,jk,kl->il", a, b, a.T)
    gradient = cr.grad(lambda a, b: np.sum(np.sin(f(a, b))), (0, 1))
    np.testing.assert_allclose(cr.vmap(f)(a, b), [f(x, y) for x, y in zip(a, b, strict=True)])
    whole = cr.grad(lambda a, b: np.sum(np.sin(cr.vmap(f)(a, b))), (0, 1))(a, b)
    for batched, one_by_one in zip(cr.vmap(gradient)(a, b), whole, strict=True):
        np.testing.assert_allclose(batched, one_by_one)


# ------------------------------------------------------------------------------------ products


@pytest.mark.parametrize("sa", [(), (3,), (2, 3), (4, 2, 3)])
@pytest.mark.parametrize("product", ["dot", "inner", "outer", "kron", "tensordot"])
def test_products_of_arrays_of_any_rank(product, sa):
    last = {(): (), (3,): (3,), (2, 3): (3, 2), (4, 2, 3): (4, 3, 2)}
    for sb in last if product != "dot" else last.values():
        f = getattr(np, product)
        f = (lambda a, b: np.tensordot(a, b, 0)) if product == "tensordot" else f
        assert_right(f, normal(*sa), normal(*sb), second=len(sa) < 3)


def test_products_with_options():
    assert_right(np.vdot, normal(2, 3), normal(3, 2))
    assert_right(
        lambda a, b: np.tensordot(a, b, ([0, 2], [1, 0])), normal(2, 3, 4), normal(4, 2, 5)
    )
    assert_right(lambda a, b: np.tensordot(a, b, (-1, 0)), normal(2, 3), normal(3))
    assert_right(lambda a, b: np.vecdot(a, b, axis=0, keepdims=True), normal(3, 2), normal(3, 2))
    assert_right(lambda a, b: LA.vecdot(a, b, axis=0), normal(3, 2), normal(3, 2))
    axes = [(1, 0), (0, 1), (0, 1)]
    assert_right(lambda a, b: np.matmul(a, b, axes=axes), normal(3, 2), normal(3, 2))
    with pytest.raises(TraceError, match="out="):
        cr.grad(lambda a: np.sum(np.dot(a, a, out=np.zeros((2, 2)))))(normal(2, 2))


@pytest.mark.skipif(not hasattr(np, "matvec"), reason="NumPy has it since 2.2")
def test_stacks_of_matrices_times_stacks_of_vectors():
    for sa, sv in [((2, 3), (3,)), ((5, 2, 3), (3,)), ((2, 3), (5, 3)), ((5, 2, 3), (4, 1, 3))]:
        assert_right(np.matvec, normal(*sa), normal(*sv))
        assert_right(np.vecmat, normal(*sv), np.swapaxes(normal(*sa), -1, -2).copy())


def test_the_gradient_of_shared_weights_is_summed_over_the_stack():
    x, w = normal(7, 4, 3), normal(3, 2)
    ct = normal(7, 4, 2)
    _, pull = cr.vjp(lambda w: x @ w, w)
    np.testing.assert_allclose(pull(ct)[0], np.einsum("abi,abj->ij", x, ct))


def test_cross_products_in_space_and_in_the_plane():
    for sa, sb in [((3,), (3,)), ((4, 3), (3,)), ((5, 1, 3), (4, 3))]:
        assert_right(np.cross, normal(*sa), normal(*sb))
    assert_right(lambda a, b: np.cross(a, b, axisa=0, axisb=1, axisc=0), normal(3, 2), normal(2, 3))
    assert_right(lambda a, b: LA.cross(a, b, axis=0), normal(3, 2), normal(3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for sa, sb in [((2,), (2,)), ((4, 2), (2,)), ((2,), (3,)), ((4, 3), (2,))]:
            assert_right(np.cross, normal(*sa), normal(*sb))


def test_a_cross_product_with_a_masked_cotangent_loses_nothing():
    # The signs of its transpose cancel: (1, 1, 1) × (1, 1, 1) is 0.
    f = lambda a: np.where(np.array([True, True, False]), np.cross(a, np.array([1.0, 2.0, 5.0])), 0)
    a = normal(3)
    ct = np.array([1.0, -1.0, 0.0])
    expected = np.cross([1.0, 2.0, 5.0], ct)
    np.testing.assert_allclose(cr.vjp(f, a)[1](ct)[0], expected)


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolutions_of_signals_of_any_two_lengths(mode):
    for n, m in itertools.product(range(1, 6), repeat=2):
        assert_right(lambda a, v: np.convolve(a, v, mode), normal(n), normal(m))
        assert_right(lambda a, v: np.correlate(a, v, mode), normal(n), normal(m))


def test_traces_chains_and_powers():
    for offset in (-3, -1, 0, 2, 5):
        assert_right(lambda a, k=offset: np.trace(a, k, 2, 0), normal(3, 2, 4))
        assert_right(lambda a, k=offset: LA.trace(a, offset=k), normal(2, 3, 4))
    assert_right(lambda *a: LA.multi_dot(a), normal(3), normal(3, 4), normal(4, 2), normal(2))
    one = cr.vjp(lambda a: LA.matrix_power(a, 0) + a, np.zeros((2, 3, 3)))[0]
    assert one.tolist() == np.broadcast_to(np.eye(3), (2, 3, 3)).tolist()
    for n in (1, 2, 3, 7, -1, -2):
        assert_right(lambda a, n=n: LA.matrix_power(a, n), 0.5 * normal(2, 3, 3) + np.eye(3))


# --------------------------------------------------------------------------------------- systems


def test_pseudo_inverses_while_the_rank_stays_the_same():
    for shape in [(3, 4), (4, 3), (3, 3), (2, 3, 4), (0, 3)]:
        assert_right(LA.pinv, normal(*shape))
    a, b = normal(4, 2), normal(2, 5)
    assert_right(lambda a, b: LA.pinv(a @ b, rcond=1e-10), a, b)
    assert_right(lambda a: LA.pinv(a + a.T, hermitian=True), normal(3, 3))
    assert_right(lambda a: LA.pinv(a, rtol=None), normal(2, 3, 4))


def test_least_squares():
    a, b = normal(5, 3), normal(5, 2)
    x, residuals, rank, s = LA.lstsq(a, b, rcond=None)
    found = []
    cr.grad(lambda a: found.extend(LA.lstsq(a, b, rcond=None)) or np.sum(found[0]))(a)
    assert found[2] == rank
    for mine, theirs in zip(found, (x, residuals, rank, s), strict=True):
        np.testing.assert_allclose(cr.graph.operand.concrete(mine), theirs)
    for k in (0, 1):
        assert_right(lambda a, b, k=k: LA.lstsq(a, b, rcond=None)[k], a, b)
        assert_right(lambda a, b, k=k: LA.lstsq(a, b, rcond=None)[k], a, b[:, 0])
    assert_right(lambda a, b: LA.lstsq(a, b, rcond=None)[0], normal(3, 5), normal(3))


def test_tensor_equations():
    assert_right(lambda a: LA.tensorinv(a.reshape(6, 3, 2), ind=1), normal(6, 6))
    assert_right(lambda a, b: LA.tensorsolve(a, b, axes=(1,)), normal(2, 6, 3), normal(2, 3))


def adjugate(a):
    minor = lambda i, j: LA.det(np.delete(np.delete(a, i, 0), j, 1))
    return np.array([[(-1) ** (i + j) * minor(i, j) for i in range(3)] for j in range(3)])


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_determinant_has_all_its_derivatives_at_singular_matrices(rank):
    a = normal(3, rank) @ normal(rank, 3) if rank else np.zeros((3, 3))
    np.testing.assert_allclose(cr.grad(LA.det)(a), adjugate(a).T, atol=1e-13)
    assert_right(LA.det, a)
    t = normal(3, 3)
    second = cr.jvp(lambda v: cr.jvp(LA.det, (v,), (t,))[1], (a,), (t,))[1]
    steps = np.linspace(-1, 1, 7)
    cubic = np.polyfit(steps, [LA.det(a + s * t) for s in steps], 3)
    assert second == pytest.approx(2 * cubic[1], abs=1e-12)


def test_a_third_derivative_of_a_determinant_does_not_mind_equal_singular_values():
    t = normal(3, 3)
    along = LA.det
    for _ in range(3):
        along = lambda v, f=along: cr.jvp(f, (v,), (t,))[1]
    assert along(np.eye(3)) == pytest.approx(6 * LA.det(t))


def test_the_sign_of_a_determinant_is_flat_and_its_logarithm_is_not():
    a = normal(2, 3, 3)
    result = []
    gradient = cr.grad(lambda a: result.append(LA.slogdet(a)) or np.sum(result[0].logabsdet))(a)
    np.testing.assert_allclose(gradient, np.swapaxes(LA.inv(a), -1, -2))
    assert_right(lambda a: LA.slogdet(a).sign * LA.slogdet(a).logabsdet, a)


def test_singular_matrices_of_a_stack_that_are_masked_out_do_no_harm():
    a = np.stack([np.zeros((2, 2)), 2 * np.eye(2)])

    def f(a):
        _, log = LA.slogdet(a)
        return np.sum(np.where(np.isfinite(log), log, 0.0))

    assert cr.grad(f)(a).tolist() == [[[0, 0], [0, 0]], [[0.5, 0], [0, 0.5]]]


def test_ranks_are_whole_numbers():
    assert (
        cr.vjp(lambda a: LA.matrix_rank(a) * a, np.eye(3))[0].tolist() == (3 * np.eye(3)).tolist()
    )
    ranks = cr.vmap(LA.matrix_rank)(np.stack([np.eye(2), np.ones((2, 2))]))
    assert ranks.tolist() == [2, 1]


@pytest.mark.parametrize(
    "f", [LA.inv, LA.det, lambda a: LA.solve(a, np.ones(2)), LA.cholesky, LA.eigvalsh]
)
def test_matrices_that_are_not_square_are_refused_as_numpy_refuses_them(f):
    for shape in ((2, 3), (3,)):
        with pytest.raises(LA.LinAlgError):
            f(normal(*shape))
        with pytest.raises(LA.LinAlgError):
            cr.grad(lambda a: np.sum(f(a)))(normal(*shape))
