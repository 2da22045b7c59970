"""Algorithms of numerical linear algebra written out, and NumPy's own put to use."""

import numpy as np

from programs import Program, normal


def conjugate_gradients(A, b):
    """Solve (A Aᵀ + 1) x = b and return how long the answer is; stops when it has converged."""
    M = A @ A.T + np.eye(len(b))
    x = np.zeros(len(b))
    r = b
    p = r
    rs = r @ r
    while rs > 1e-26:
        Mp = M @ p
        alpha = rs / (p @ Mp)
        x = x + alpha * p
        r = r - alpha * Mp
        new = r @ r
        p = r + new / rs * p
        rs = new
    return np.sqrt(x @ x)


def power_iteration(A):
    """The largest eigenvalue of A Aᵀ."""
    M = A @ A.T
    v = np.ones(len(M)) / np.sqrt(len(M))
    for _ in range(20):
        v = M @ v
        v = v / np.linalg.norm(v)
    return v @ M @ v


def gram_schmidt(A):
    """Orthonormal columns one after another, written into Q; the alignment with the diagonal."""
    Q = np.zeros_like(A)
    for j in range(A.shape[1]):
        v = A[:, j]
        for i in range(j):
            v = v - (Q[:, i] @ A[:, j]) * Q[:, i]
        Q[:, j] = v / np.linalg.norm(v)
    return np.trace(Q) + np.sum(Q[0] ** 3)


def gaussian_elimination(A, b):
    """Eliminate below the diagonal in place with row exchanges, then substitute back."""
    n = len(b)
    A, x = A.copy(), b.copy()
    for k in range(n - 1):
        pivot = k + np.argmax(np.abs(A[k:, k]))
        if pivot != k:
            A[[k, pivot]] = A[[pivot, k]]
            x[[k, pivot]] = x[[pivot, k]]
        for i in range(k + 1, n):
            factor = A[i, k] / A[k, k]
            A[i, k:] -= factor * A[k, k:]
            x[i] -= factor * x[k]
    for k in range(n - 1, -1, -1):
        x[k] = (x[k] - A[k, k + 1 :] @ x[k + 1 :]) / A[k, k]
    return np.sum(x**2)


def cholesky_by_hand(A):
    """Log-determinant from a factor filled in element by element."""
    n = len(A)
    M = A @ A.T + n * np.eye(n)
    L = np.zeros_like(M)
    for i in range(n):
        for j in range(i + 1):
            s = M[i, j] - np.sum(L[i, :j] * L[j, :j])
            if i == j:
                L[i, j] = np.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    return 2 * np.sum(np.log(np.diag(L)))


def tridiagonal_solver(lower, diagonal, upper, rhs):
    """Thomas's algorithm with two work arrays."""
    n = len(diagonal)
    c = np.empty_like(upper)
    d = np.empty_like(rhs)
    c[0] = upper[0] / diagonal[0]
    d[0] = rhs[0] / diagonal[0]
    for i in range(1, n):
        pivot = diagonal[i] - lower[i - 1] * c[i - 1]
        if i < n - 1:
            c[i] = upper[i] / pivot
        d[i] = (rhs[i] - lower[i - 1] * d[i - 1]) / pivot
    x = np.zeros_like(d)
    x[-1] = d[-1]
    for i in reversed(range(n - 1)):
        x[i] = d[i] - c[i] * x[i + 1]
    return np.linalg.norm(x)


def matrix_exponential(A, t):
    """Scaling, a Taylor series, and squaring."""
    squarings = max(0, int(np.ceil(np.log2(np.abs(A * t).sum(axis=1).max()))) + 3)
    small = A * t / 2**squarings
    term = result = np.eye(len(A))
    for k in range(1, 13):
        term = term @ small / k
        result = result + term
    for _ in range(squarings):
        result = result @ result
    return np.sum(result**2)


def spectral_gap(A):
    levels = np.linalg.eigvalsh((A + A.T) / 2)
    return levels[1] - levels[0] + np.sum(levels**2)


def principal_components(X, *, k):
    """What the first components leave unexplained, from the singular values."""
    centred = X - X.mean(axis=0)
    s = np.linalg.svd(centred, compute_uv=False)
    return np.sum(s[k:] ** 2) / np.sum(s**2)


def procrustes(A, B):
    """How far two clouds of points are apart after the best rotation."""
    A, B = A - A.mean(0), B - B.mean(0)
    U, s, Vt = np.linalg.svd(A.T @ B)
    return np.linalg.norm(A @ (U @ Vt) - B) ** 2 + 0.1 * s.sum()


def ridge_regression(X, y, penalty):
    """Leave-one-out error of a ridge regression, from its hat matrix."""
    n, d = X.shape
    H = X @ np.linalg.solve(X.T @ X + penalty * np.eye(d), X.T)
    residuals = (y - H @ y) / (1 - np.diag(H))
    return residuals @ residuals / n


def least_squares_by_qr(X, y):
    Q, R = np.linalg.qr(X)
    beta = np.linalg.solve(R, Q.T @ y)
    return np.sum(np.abs(beta))


def woodbury_likelihood(factors, noise, x):
    """A factor model's log-density with a small system instead of a large one."""
    k = factors.shape[1]
    inner = np.eye(k) + factors.T @ (factors / noise[:, None])
    solved = np.linalg.solve(inner, factors.T @ (x / noise))
    quadratic = x @ (x / noise) - (factors.T @ (x / noise)) @ solved
    log_det = np.linalg.slogdet(inner)[1] + np.sum(np.log(noise))
    return -0.5 * (quadratic + log_det + len(x) * np.log(2 * np.pi))


def page_rank(links, damping):
    """Stationary ranks, iterated to a fixed point, and their entropy."""
    P = np.exp(links)
    P /= P.sum(axis=0)
    n = len(P)
    rank = np.full(n, 1 / n)
    while True:
        new = damping * P @ rank + (1 - damping) / n
        if np.allclose(new, rank, rtol=0, atol=1e-15):
            break
        rank = new
    return -np.sum(rank * np.log(rank))


def determinant_ratio(A, B):
    """Determinants and inverses of a stack of matrices at once."""
    return (
        np.sum(np.linalg.det(A) / (1 + np.linalg.det(B) ** 2))
        + np.trace(np.linalg.inv(A) @ B, axis1=-2, axis2=-1).mean()
    )


PROGRAMS = [
    Program(conjugate_gradients, (normal(401, 4, 4), normal(402, 4)), decides=True),
    Program(power_iteration, (normal(403, 3, 3),)),
    Program(gram_schmidt, (normal(404, 4, 3),)),
    Program(
        gaussian_elimination,
        (normal(405, 4, 4), normal(406, 4)),
        not_jax="jax.numpy takes no lists as indices",
        decides=True,
    ),
    Program(cholesky_by_hand, (normal(407, 4, 4),)),
    Program(
        tridiagonal_solver,
        (normal(408, 5), 4 + normal(409, 6), normal(410, 5), normal(411, 6)),
    ),
    Program(matrix_exponential, (normal(412, 3, 3), 0.8), decides=True),
    Program(spectral_gap, (normal(413, 4, 4),)),
    Program(principal_components, (normal(414, 6, 4),), {"k": 2}),
    Program(procrustes, (normal(415, 6, 3), normal(416, 6, 3))),
    Program(ridge_regression, (normal(417, 8, 3), normal(418, 8), 0.7)),
    Program(least_squares_by_qr, (normal(419, 6, 3), normal(420, 6))),
    Program(woodbury_likelihood, (normal(421, 5, 2), np.exp(0.3 * normal(422, 5)), normal(423, 5))),
    Program(page_rank, (normal(424, 4, 4), 0.6), decides=True),
    Program(determinant_ratio, (normal(425, 2, 3, 3), normal(426, 2, 3, 3))),
]
