"""A network whose hidden layer is saturated by its bias."""

import numpy as np

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(32, 4)), rng.normal(size=(32, 1))
WEIGHTS = 0.1 * rng.normal(size=(4, 8)), rng.normal(size=(8, 1))


def sigmoid(z):
    """1/(1 + e⁻ᶻ), elementwise."""
    return 1 / (1 + np.exp(-z))


def loss(bias, W1=WEIGHTS[0], W2=WEIGHTS[1]):
    """The mean squared error of a hidden layer of eight units."""
    z1 = X @ W1 + bias
    h1 = sigmoid(z1)
    out = h1 @ W2
    return np.mean((out - Y) ** 2)
