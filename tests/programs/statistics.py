"""Likelihoods and estimators."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from programs import Program, integers, normal, uniform


def logistic_regression(params, X, *, y, penalty):
    logits = X @ params["w"] + params["b"]
    loss = np.mean(np.logaddexp(0, logits) - y * logits)
    return loss + penalty * np.sum(params["w"] ** 2)


def log_sum_exp(a, axis):
    top = np.max(a, axis=axis, keepdims=True)
    return np.squeeze(top, axis=axis) + np.log(np.sum(np.exp(a - top), axis=axis))


def gaussian_mixture(weights, means, log_scales, x):
    """Average log-likelihood of points under a mixture with diagonal covariances."""
    log_weights = weights - log_sum_exp(weights, 0)
    z = (x[:, None, :] - means) / np.exp(log_scales)
    log_density = -0.5 * np.sum(z**2, axis=-1) - np.sum(log_scales, axis=-1)
    log_density -= 0.5 * x.shape[1] * np.log(2 * np.pi)
    return log_sum_exp(log_weights + log_density, 1).mean()


def kalman_filter(F, H, q, r, observations):
    """Log-likelihood of a linear Gaussian state-space model."""
    n = F.shape[0]
    Q = np.exp(q) * np.eye(n)
    R = np.exp(r) * np.eye(H.shape[0])
    m, P = np.zeros(n), np.eye(n)
    total = 0.0
    for y in observations:
        m = F @ m
        P = F @ P @ F.T + Q
        innovation = y - H @ m
        S = H @ P @ H.T + R
        K = np.linalg.solve(S, H @ P).T
        _, logdet = np.linalg.slogdet(2 * np.pi * S)
        total += -0.5 * (innovation @ np.linalg.solve(S, innovation) + logdet)
        m = m + K @ innovation
        P = P - K @ S @ K.T
    return total


@dataclass
class Kernel:
    amplitude: float
    lengthscales: np.ndarray
    noise: float


def gaussian_process(kernel, X, y):
    """Negative log marginal likelihood by a Cholesky factorisation."""
    scaled = X / kernel.lengthscales
    squares = np.sum((scaled[:, None] - scaled[None, :]) ** 2, axis=-1)
    K = kernel.amplitude**2 * np.exp(-0.5 * squares) + kernel.noise**2 * np.eye(len(X))
    L = np.linalg.cholesky(K)
    alpha = np.linalg.solve(L, y)
    return 0.5 * alpha @ alpha + np.sum(np.log(np.diag(L))) + 0.5 * len(X) * np.log(2 * np.pi)


def kmeans(centres, points):
    distances = np.sum((points[:, None, :] - centres[None, :, :]) ** 2, axis=2)
    return np.min(distances, axis=1).sum()


def poisson_regression(beta, exposure, X, *, counts):
    eta = X @ beta + np.log(exposure)
    return np.sum(np.exp(eta) - counts * eta + special.gammaln(counts + 1.0))


def negative_binomial(mu, dispersion, *, counts):
    r = 1 / dispersion
    p = r / (r + mu)
    terms = special.gammaln(counts + r) - special.gammaln(r) - special.gammaln(counts + 1)
    return np.sum(terms + r * np.log(p) + counts * np.log1p(-p))


def hidden_markov_model(start, transition, emission, *, symbols):
    """The forward algorithm in a table filled row by row."""
    log_start = start - log_sum_exp(start, 0)
    log_transition = transition - log_sum_exp(transition, 1)[:, None]
    log_emission = emission - log_sum_exp(emission, 1)[:, None]
    table = np.zeros((len(symbols), len(start)), like=start)
    table[0] = log_start + log_emission[:, symbols[0]]
    for t in range(1, len(symbols)):
        for j in range(len(start)):
            table[t, j] = (
                log_sum_exp(table[t - 1] + log_transition[:, j], 0) + log_emission[j, symbols[t]]
            )
    return log_sum_exp(table[-1], 0)


def ctc_loss(logits, *, label, blank):
    """Connectionist temporal classification: all alignments of a label, by dynamic programming."""
    log_probs = logits - log_sum_exp(logits, 1)[:, None]
    T = logits.shape[0]
    extended = [blank]
    for symbol in label:
        extended += [symbol, blank]
    S = len(extended)
    alpha = np.full_like(logits, -1e30, shape=(T, S))
    alpha[0, 0] = log_probs[0, blank]
    alpha[0, 1] = log_probs[0, extended[1]]
    for t in range(1, T):
        for s in range(S):
            reached = alpha[t - 1, s]
            if s > 0:
                reached = np.logaddexp(reached, alpha[t - 1, s - 1])
            if s > 1 and extended[s] != blank and extended[s] != extended[s - 2]:
                reached = np.logaddexp(reached, alpha[t - 1, s - 2])
            alpha[t, s] = reached + log_probs[t, extended[s]]
    return -np.logaddexp(alpha[-1, -1], alpha[-1, -2])


def student_t_regression(beta, log_sigma, log_nu, X, y):
    nu = 1 + np.exp(log_nu)
    z = (y - X.dot(beta)) / np.exp(log_sigma)
    norm = special.gammaln((nu + 1) / 2) - special.gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
    return -(norm - log_sigma - (nu + 1) / 2 * np.log1p(z**2 / nu)).sum()


def kernel_density_bandwidth(h, x):
    """Leave-one-out log-likelihood of a kernel density estimate."""
    n = len(x)
    u = np.subtract.outer(x, x) / h
    K = np.exp(-(u**2) / 2) / (h * np.sqrt(2 * np.pi))
    others = K[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return np.log(others.sum(axis=1) / (n - 1)).mean()


def cox_partial_likelihood(beta, X, *, times, events):
    order = np.argsort(-times)
    risk = (X @ beta)[order]
    log_risk_set = np.log(np.cumsum(np.exp(risk)))
    return -np.sum((risk - log_risk_set)[events[order] == 1])


def variational_bound(mean, log_std, data, *, noise):
    """A reparametrised evidence lower bound for a normal mean with a Cauchy prior."""
    std = np.exp(log_std)
    theta = mean + std * noise
    log_prior = -np.log(np.pi * (1 + theta**2))
    log_likelihood = -0.5 * ((data[None, :] - theta[:, None]) ** 2).sum(axis=1)
    entropy = log_std + 0.5 * np.log(2 * np.pi * np.e)
    return np.average(log_prior + log_likelihood) + entropy


def ornstein_uhlenbeck(params, path, *, dt):
    """Log-likelihood of a mean-reverting path; parameters come as a tuple."""
    speed, level, volatility = params
    decay = np.exp(-speed * dt)
    variance = volatility**2 * (1 - decay**2) / (2 * speed)
    residuals = np.diff(path) - (level - path[:-1]) * (1 - decay)
    return -0.5 * np.sum(residuals**2 / variance + np.log(2 * np.pi * variance))


def multivariate_normal(mean, triangle, x):
    """Log-density with the covariance given by the entries of its Cholesky factor."""
    d = len(mean)
    L = np.zeros((d, d), like=triangle)
    L[np.tril_indices(d)] = triangle
    z = np.linalg.solve(L, (x - mean).T)
    log_det = np.log(np.abs(np.diagonal(L))).sum()
    return np.mean(-0.5 * (z**2).sum(axis=0) - log_det - d / 2 * np.log(2 * np.pi))


def correlation(x, y):
    """Pearson's coefficient of two columns after ranks are made smooth."""
    soft = lambda v: np.mean(special.expit((v[:, None] - v[None, :]) / 0.3), axis=1)
    a, b = soft(x), soft(y)
    a, b = a - a.mean(), b - b.mean()
    return np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))


X = normal(1, 12, 3)

PROGRAMS = [
    Program(
        logistic_regression,
        ({"w": normal(2, 3), "b": 0.3}, X),
        {"y": integers(3, 2, 12), "penalty": 0.05},
    ),
    Program(gaussian_mixture, (normal(4, 3), normal(5, 3, 2), 0.3 * normal(6, 3, 2), X[:, :2])),
    Program(
        kalman_filter,
        (
            np.array([[1.0, 0.1], [-0.1, 0.9]]),
            np.array([[1.0, 0.2]]),
            -1.0,
            -0.5,
            normal(7, 8, 1),
        ),
    ),
    Program(gaussian_process, (Kernel(1.2, np.array([0.7, 1.3, 0.9]), 0.4), X[:8], normal(8, 8))),
    Program(kmeans, (normal(9, 3, 2), normal(10, 15, 2))),
    Program(
        poisson_regression,
        (0.4 * normal(11, 3), uniform(12, 0.5, 2.0, 12), X),
        {"counts": integers(13, 6, 12)},
    ),
    Program(negative_binomial, (uniform(14, 1.0, 4.0, 9), 0.6), {"counts": integers(15, 8, 9)}),
    Program(
        hidden_markov_model,
        (normal(16, 3), normal(17, 3, 3), normal(18, 3, 4)),
        {"symbols": integers(19, 4, 6)},
    ),
    Program(ctc_loss, (normal(20, 6, 4),), {"label": [1, 2, 2], "blank": 0}),
    Program(student_t_regression, (normal(21, 3), -0.2, 0.8, X, normal(22, 12))),
    Program(kernel_density_bandwidth, (0.5, normal(23, 9))),
    Program(
        cox_partial_likelihood,
        (normal(24, 3), X),
        {"times": uniform(25, 0, 5, 12), "events": integers(26, 2, 12)},
    ),
    Program(variational_bound, (0.3, -0.4, normal(27, 6)), {"noise": normal(28, 7)}),
    Program(ornstein_uhlenbeck, ((0.8, 0.2, 0.5), normal(29, 10)), {"dt": 0.1}),
    Program(
        multivariate_normal,
        (normal(30, 3), np.array([1.1, 0.3, 0.9, -0.2, 0.4, 1.3]), X[:6]),
    ),
    Program(correlation, (normal(31, 8), normal(32, 8))),
]
