"""Decompositions and norms: where the derivative exists, where it does not, and what is said then.

Rows by themselves are tried in ``test_rule_book.py``.
"""

import numpy as np
import pytest
from test_linear_algebra import LA, assert_right, normal

import chainrule as cr
from chainrule.errors import NotDifferentiableError

INF = np.inf


def symmetric(n=3):
    a = normal(n, n)
    return a + a.T


def with_eigenvalues(*w):
    """A symmetric matrix with these eigenvalues, in no special basis."""
    q = LA.qr(normal(len(w), len(w)))[0]
    a = q @ np.diag(w) @ q.T
    return (a + a.T) / 2


def along(f, x, t, h=1e-5):
    return (f(x + h * t) - f(x - h * t)) / (2 * h)


# ------------------------------------------------------------------------------ every option


def test_cholesky_of_either_triangle():
    positive = lambda a: a @ np.swapaxes(a, -1, -2) + np.eye(a.shape[-1])
    for shape in [(1, 1), (3, 3), (2, 4, 4), (0, 0)]:
        assert_right(lambda a: LA.cholesky(positive(a)), normal(*shape))
        assert_right(lambda a: LA.cholesky(positive(a), upper=True), normal(*shape))
    assert_right(LA.cholesky, positive(normal(3, 3)))
    assert_right(lambda a: LA.cholesky(a, upper=True), positive(normal(3, 3)))


@pytest.mark.parametrize(
    "shape", [(3, 3), (4, 3), (3, 4), (2, 4, 3), (2, 3, 5), (3, 0), (0, 3), (0, 0)]
)
def test_qr_of_tall_and_wide_matrices(shape):
    a = normal(*shape)
    assert_right(lambda a: LA.qr(a).Q, a)
    assert_right(lambda a: LA.qr(a, "r"), a)
    assert_right(lambda a: LA.qr(a, "complete").R, a)
    assert_right(lambda a: np.sum(LA.qr(a)[0] ** 3) + np.sin(LA.qr(a)[1]), a)
    if shape[-2] <= shape[-1]:
        assert_right(lambda a: LA.qr(a, "complete").Q, a)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 4), (1, 1), (0, 0)])
@pytest.mark.parametrize("triangle", ["L", "U"])
def test_eigenvalues_and_eigenvectors_of_the_triangle_that_is_read(triangle, shape):
    a = normal(*shape)

    def function_of_matrix(a):
        w, v = LA.eigh(a, triangle)
        return (v * np.exp(w / 4)[..., None, :]) @ np.swapaxes(v, -1, -2)

    assert_right(lambda a: LA.eigvalsh(a, triangle), a)
    assert_right(lambda a: LA.eigh(a, triangle).eigenvalues, a)
    assert_right(lambda a: LA.eigh(a, triangle).eigenvectors, a)
    assert_right(function_of_matrix, a)


@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (3, 4), (2, 4, 3), (1, 1)])
def test_singular_values_and_vectors(shape):
    a = normal(*shape)

    def function_of_matrix(a):
        u, s, vh = LA.svd(a, full_matrices=False)
        return (u * np.exp(s / 4)[..., None, :]) @ vh

    for part in ("U", "S", "Vh"):
        assert_right(lambda a, p=part: getattr(LA.svd(a, full_matrices=False), p), a)
    assert_right(function_of_matrix, a)
    assert_right(lambda a: LA.svd(a).S, a)
    assert_right(lambda a: LA.svd(a, compute_uv=False), a)
    assert_right(LA.svdvals, a)


def test_singular_values_of_symmetric_matrices():
    a = symmetric()
    assert_right(lambda a: LA.svd(a, hermitian=True).U + LA.svd(a, hermitian=True).Vh, a)
    assert_right(lambda a: LA.svd(a, compute_uv=False, hermitian=True), a)


@pytest.mark.parametrize("ord", [None, 2, 1, INF, -INF, 3, 2.5, -1, -2, 0.5])
def test_every_norm_of_vectors(ord):
    assert_right(lambda x: LA.norm(x, ord), normal(4))
    for axis in (0, -1, (1,)):
        assert_right(lambda x, a=axis: LA.norm(x, ord, a), normal(3, 4))
        assert_right(lambda x, a=axis: LA.norm(x, ord, a, keepdims=True), normal(3, 4))
    if ord is not None:
        assert_right(lambda x: LA.vector_norm(x, ord=ord, axis=(0, 2)), normal(2, 3, 4))
        assert_right(lambda x: LA.vector_norm(x, ord=ord, keepdims=True), normal(2, 3, 4))


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, INF, -INF])
def test_every_norm_of_matrices(ord):
    assert_right(lambda x: LA.norm(x, ord), normal(3, 4))
    assert_right(lambda x: LA.norm(x, ord, (2, 0)), normal(3, 2, 4))
    assert_right(lambda x: LA.norm(x, ord, (0, -1), keepdims=True), normal(3, 2, 4))
    if ord is not None:
        assert_right(lambda x: LA.matrix_norm(x, ord=ord, keepdims=True), normal(2, 3, 4))
    if ord != "fro":
        assert_right(lambda x: LA.cond(x, ord), normal(2, 3, 3) + 2 * np.eye(3))


def test_the_number_of_entries_that_are_not_zero_is_flat():
    x = np.array([0.0, 2.0, -1.0])
    value, gradient = cr.value_and_grad(lambda x: LA.norm(x, 0) + x[0])(x)
    assert value == 2
    assert gradient.tolist() == [1, 0, 0]


def test_norms_refuse_what_numpy_refuses():
    for call in (
        lambda x: LA.norm(x, "fro", 0),
        lambda x: LA.norm(x, 3),
        lambda x: LA.norm(x, axis=(0, 0)),
        lambda x: LA.norm(x[None], 2),
    ):
        for f in (call, cr.grad(lambda x, c=call: np.sum(c(x)))):
            with pytest.raises(ValueError):  # noqa: PT011 - the words are NumPy's
                f(normal(2, 2))


# ------------------------------------------------------------------------------- norms at zero

ORDERS = [None, 1, 2, 3, 1.5, 0.5, -1, INF, -INF]


@pytest.mark.parametrize("ord", ORDERS)
def test_norms_have_the_subgradient_0_at_0(ord):
    # HIPS/autograd#151
    with np.errstate(divide="ignore"):  # of a negative order, NumPy divides by 0 too
        value, gradient = cr.value_and_grad(lambda x: LA.norm(x, ord))(np.zeros(3))
    assert value == 0
    assert gradient.tolist() == [0, 0, 0]


@pytest.mark.parametrize("ord", [None, "fro", "nuc", 2, 1, INF])
def test_norms_of_matrices_have_the_subgradient_0_at_0(ord):
    assert np.all(cr.grad(lambda x: LA.norm(x, ord))(np.zeros((2, 3))) == 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_square_of_a_norm_is_differentiable_at_0(dtype):
    # HIPS/autograd#586
    zero = np.zeros(3, dtype)
    for square in (lambda x: LA.norm(x) ** 2, lambda x: np.square(LA.norm(x))):
        gradient = cr.grad(square)(zero)
        assert gradient.tolist() == [0, 0, 0]
        assert gradient.dtype == dtype
        assert cr.jvp(square, (zero,), (np.ones(3, dtype),))[1] == 0
        np.testing.assert_allclose(cr.hessian(square)(np.ones(3)), 2 * np.eye(3), atol=1e-14)


@pytest.mark.parametrize("ord", [None, 2, 3, 1, INF])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_0_that_norms_have_at_0_stays_0_when_it_is_differentiated_again(ord, dtype):
    # ‖x‖² is x·x only away from 0: what is made of the norm is made of its stated derivative.
    zero = np.zeros(2, dtype)
    for f in (lambda x: LA.norm(x, ord), lambda x: LA.norm(x, ord) ** 2):
        for hessian in (cr.hessian(f)(zero), cr.jacobian(cr.grad(f))(zero)):
            assert hessian.tolist() == [[0, 0], [0, 0]]
            assert hessian.dtype == dtype
    assert cr.hessian(lambda x: x @ x)(zero).tolist() == [[2, 0], [0, 2]]


def test_a_zero_vector_beside_others_has_no_part_in_their_second_derivatives():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    found = cr.hessian(lambda x: np.sum(LA.norm(x, axis=1) ** 2))(x)
    np.testing.assert_allclose(found[0, :, 0], 2 * np.eye(2), atol=1e-14)
    assert np.all(found[1] == 0)
    assert np.all(found[:, :, 1] == 0)


def test_a_zero_vector_beside_others_does_not_spoil_them():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    found = cr.grad(lambda x: np.sum(LA.norm(x, axis=1)))(x)
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])


# ----------------------------------------------------------------- equal eigenvalues: it exists

DEGENERATE = [2.0 * np.eye(3), np.diag([1.0, 1.0, 2.0]), with_eigenvalues(1.0, 1.0, 2.0)]
each_degenerate = pytest.mark.parametrize("a", DEGENERATE, ids=["2I", "diagonal", "rotated"])


@each_degenerate
def test_symmetric_functions_of_equal_eigenvalues_have_their_gradient(a):
    # jax-ml/jax#2311
    t = symmetric()
    f = lambda a: np.sum(np.exp(LA.eigvalsh(a)))
    g = lambda a: np.sum(np.exp(LA.eigh(a)[0]))
    exponential = (lambda w, v: (v * np.exp(w)) @ v.T)(*LA.eigh(a))
    for h in (f, g):
        assert np.sum(cr.grad(h)(a) * t) == pytest.approx(np.sum(exponential * t))
        assert cr.jvp(h, (a,), (t,))[1] == pytest.approx(np.sum(exponential * t))
        batch = np.stack([a, symmetric()])
        np.testing.assert_allclose(cr.vmap(cr.grad(h))(batch), [cr.grad(h)(x) for x in batch])


@pytest.mark.parametrize("a", DEGENERATE[1:], ids=["diagonal", "rotated"])
def test_the_projector_onto_the_space_of_equal_eigenvalues_has_its_gradient(a):
    t, weight = symmetric(), np.array([[1.0, 2.0, 0.5], [2.0, -1.0, 0.3], [0.5, 0.3, 0.7]])

    def f(a):
        v = LA.eigh(a)[1][:, :2]
        return np.sum(weight * (v @ v.T))

    assert np.sum(cr.grad(f)(a) * t) == pytest.approx(along(f, a, t), rel=1e-6)
    assert np.sum(cr.vmap(cr.grad(f))(a[None])[0] * t) == pytest.approx(along(f, a, t), rel=1e-6)


def test_functions_of_equal_singular_values_have_their_gradient():
    # jax-ml/jax#4646
    a = with_eigenvalues(1.0, -1.0, 2.0)
    t, weight = normal(3, 3), normal(3, 3)
    squares = lambda a: np.sum(LA.svd(a, compute_uv=False) ** 2)
    np.testing.assert_allclose(cr.grad(squares)(a), 2 * a, atol=1e-14)
    np.testing.assert_allclose(cr.grad(lambda a: LA.norm(a, "nuc"))(np.eye(3)), np.eye(3))

    def polar(a):
        u, _, vh = LA.svd(a)
        return np.sum(weight * (u @ vh))

    assert np.sum(cr.grad(polar)(a) * t) == pytest.approx(along(polar, a, t), rel=1e-6)


def test_singular_values_of_matrices_without_full_rank_have_their_gradient():
    for shape in [(4, 3), (3, 4), (3, 3)]:
        a = np.outer(np.arange(1.0, 1 + shape[0]), np.arange(1.0, 1 + shape[1]))
        largest = lambda a: LA.svd(a, full_matrices=False)[1][0]
        t = normal(*shape)
        assert np.sum(cr.grad(largest)(a) * t) == pytest.approx(along(largest, a, t), rel=1e-6)
        squares = lambda a: np.sum(LA.svd(a)[1] ** 2)
        np.testing.assert_allclose(cr.grad(squares)(a), 2 * a, atol=1e-12)


# ------------------------------------------------------------ equal eigenvalues: it does not exist


def function_of_matrix(a):
    w, v = LA.eigh(a)
    return np.sum(symmetric() * ((v * np.exp(w)) @ v.T))


def entry(a):
    return LA.eigh(a)[1][1, 0]


@pytest.mark.parametrize("f", [entry, function_of_matrix], ids=["vector", "values and vectors"])
@pytest.mark.parametrize("a", DEGENERATE[1:], ids=["diagonal", "rotated"])
def test_what_cannot_be_told_from_equal_eigenvalues_is_an_error(f, a):
    with pytest.raises(NotDifferentiableError, match="two eigenvalues are equal"):
        cr.grad(f)(a)
    assert np.isnan(cr.jvp(f, (a,), (symmetric(),))[1])
    batch = np.stack([a, symmetric()])
    found = cr.vmap(cr.grad(f))(batch)
    assert np.all(np.isnan(found[0][np.tri(3, dtype=bool)]))
    np.testing.assert_allclose(found[1], cr.grad(f)(batch[1]))


def test_a_second_derivative_that_equal_eigenvalues_hide_is_an_error():
    squares = lambda a: np.sum(LA.eigvalsh(a) ** 2)
    gradient = lambda a: np.sum(cr.grad(squares)(a) * symmetric())
    with pytest.raises(NotDifferentiableError, match="equal"):
        cr.grad(gradient)(np.eye(3))
    assert np.all(np.isfinite(cr.grad(gradient)(symmetric())))


def test_equal_singular_values_of_which_both_values_and_vectors_are_used_are_an_error():
    def rebuilt(a):
        u, s, vh = LA.svd(a)
        return np.sum(normal(3, 3) * ((u * s) @ vh))

    with pytest.raises(NotDifferentiableError, match="two singular values are equal"):
        cr.grad(rebuilt)(2 * np.eye(3))


def test_only_the_matrices_of_a_stack_that_are_used_have_to_be_differentiable():
    stack = np.stack([np.eye(3), symmetric()])
    found = cr.grad(lambda a: np.sum(LA.eigh(a)[1][1, :, 0]))(stack)
    assert np.all(found[0] == 0)
    np.testing.assert_allclose(found[1], cr.grad(lambda a: np.sum(LA.eigh(a)[1][:, 0]))(stack[1]))


def test_vectors_that_only_complete_a_basis_have_no_derivative():
    a = normal(5, 3)
    for f, advice in (
        (lambda a: np.sum(LA.svd(a)[0]), "full_matrices=False"),
        (lambda a: np.sum(LA.svd(a.T)[2]), "full_matrices=False"),
        (lambda a: np.sum(LA.qr(a, "complete")[0]), "mode='reduced'"),
    ):
        with pytest.raises(NotDifferentiableError, match=advice):
            cr.grad(f)(a)
        assert np.isnan(cr.jvp(f, (a,), (a,))[1])
    assert_right(lambda a: LA.svd(a)[0][:, :3], a)
    assert_right(lambda a: LA.qr(a, "complete")[0][:, :3], a)


def test_qr_of_dependent_columns_is_an_error():
    with pytest.raises(NotDifferentiableError, match="depends on those before it"):
        cr.grad(lambda a: np.sum(LA.qr(a)[0]))(np.ones((3, 2)))
    assert np.isnan(cr.jvp(lambda a: np.sum(LA.qr(a)[0]), (np.ones((3, 2)),), (normal(3, 2),))[1])
    graded = np.array([[1.0, 2.0], [3.0, 1.0]]) * [1.0, 1e-30]
    assert np.all(np.isfinite(cr.grad(lambda a: np.sum(LA.qr(a)[0]))(graded)))


@pytest.mark.parametrize(
    "f", [LA.eig, LA.eigvals, np.fft.fft, np.fft.rfft, np.fft.irfft, np.fft.fft2]
)
def test_complex_results_are_said_to_have_no_derivatives_yet(f):
    with pytest.raises(NotDifferentiableError, match="complex derivatives are not supported yet"):
        cr.grad(lambda a: np.sum(f(a)[0]))(normal(2, 2))


def test_large_and_small_numbers_do_not_disturb_the_choice():
    for scale in (1e-150, 1e150):
        a = scale * with_eigenvalues(1.0, 1.0, 2.0)
        assert np.all(np.isfinite(cr.grad(lambda a: np.sum(LA.eigvalsh(a)))(a)))
        with pytest.raises(NotDifferentiableError):
            cr.grad(entry)(a)
