"""A network of two layers: the example that the pages on networks work on."""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def loss(W1, b1, W2, b2, x, y):
    z1 = W1 @ x + b1
    a1 = np.maximum(z1, 0)
    z2 = W2 @ a1 + b2
    yhat = sigmoid(z2)
    return -(y * np.log(yhat) + (1 - y) * np.log(1 - yhat))
