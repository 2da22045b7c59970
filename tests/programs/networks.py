"""Machine learning by hand."""

from typing import NamedTuple

import numpy as np

from programs import Program, integers, normal, uniform


def softmax(x, axis=-1):
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def mlp_classifier(layers, images, *, labels):
    """Cross-entropy of a multilayer perceptron given as a list of (weight, bias)."""
    h = images.reshape(len(images), -1)
    for W, b in layers[:-1]:
        h = np.maximum(h @ W + b, 0)
    W, b = layers[-1]
    probabilities = softmax(h @ W + b)
    return -np.log(probabilities[np.arange(len(labels)), labels]).mean()


class Recurrent(NamedTuple):
    Wx: np.ndarray
    Wh: np.ndarray
    b: np.ndarray
    Wy: np.ndarray


def rnn(cell, sequence, targets):
    h = np.zeros(len(cell.b))
    loss = 0.0
    for x, target in zip(sequence, targets, strict=True):
        h = np.tanh(cell.Wx @ x + cell.Wh @ h + cell.b)
        loss += np.sum((cell.Wy @ h - target) ** 2)
    return loss / len(sequence)


def lstm(params, sequence, *, labels):
    """A long short-term memory that predicts a class at every step."""
    n = params["b"].shape[0] // 4
    h = np.zeros((sequence.shape[1], n))
    c = np.zeros((sequence.shape[1], n))
    losses = []
    for x, y in zip(sequence, labels, strict=True):
        gates = np.concatenate([x, h], axis=1) @ params["W"] + params["b"]
        i, f, o, g = np.split(gates, 4, axis=1)
        c = sigmoid(f + 1.0) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        p = softmax(h @ params["V"])
        losses.append(-np.log(p[np.arange(len(y)), y]))
    return np.mean(np.array(losses))


def gated_recurrent_unit(params, sequence):
    """A GRU whose hidden states are kept in an array made beforehand."""
    Wz, Wr, Wh = params
    n = Wz.shape[0]
    states = np.zeros_like(Wz, shape=(len(sequence) + 1, n))
    for t, x in enumerate(sequence):
        h = states[t]
        both = np.hstack([x, h])
        z = sigmoid(Wz @ both)
        r = sigmoid(Wr @ both)
        candidate = np.tanh(Wh @ np.hstack([x, r * h]))
        states[t + 1] = (1 - z) * h + z * candidate
    return np.sum(states[1:] ** 2)


def attention(params, x, *, heads):
    """Causal multi-head self-attention."""
    length, width = x.shape
    split = lambda a: a.reshape(length, heads, width // heads).transpose(1, 0, 2)
    q, k, v = (split(x @ params[name]) for name in ("query", "key", "value"))
    scores = q @ k.transpose(0, 2, 1) / np.sqrt(width // heads)
    visible = np.tril(np.ones((length, length), dtype=bool))
    weights = softmax(np.where(visible, scores, -np.inf))
    mixed = (weights @ v).transpose(1, 0, 2).reshape(length, width)
    return np.sum((mixed @ params["out"]) ** 2)


def einsum_attention(q, k, v):
    """Attention in a batch, written with einsum."""
    scores = np.einsum("bihd,bjhd->bhij", q, k) / np.sqrt(q.shape[-1])
    out = np.einsum("bhij,bjhd->bihd", softmax(scores), v)
    return np.mean(out**2)


def rotary_embedding(q, k):
    """Query–key scores with rotary positions."""
    length, width = q.shape
    frequency = 10.0 ** (-np.arange(width // 2) / (width // 2))
    angle = np.arange(length)[:, None] * frequency
    cos, sin = np.cos(angle), np.sin(angle)

    def turn(x):
        a, b = x[:, 0::2], x[:, 1::2]
        return np.concatenate([a * cos - b * sin, a * sin + b * cos], axis=-1)

    scores = turn(q) @ turn(k).T
    return np.log(np.sum(np.exp(scores / np.sqrt(width))))


def convolution_by_windows(image, kernels, bias):
    """A convolution as a product with sliding windows, then relu and 2×2 max pooling."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernels.shape[1:])
    maps = np.tensordot(windows, kernels, axes=([2, 3], [1, 2])) + bias
    maps = np.maximum(maps, 0)
    h, w, c = maps.shape
    pooled = maps[: h // 2 * 2, : w // 2 * 2].reshape(h // 2, 2, w // 2, 2, c).max(axis=(1, 3))
    return np.sum(pooled**2)


def convolution_by_slices(image, kernel):
    """A convolution that adds shifted slices into an output array."""
    kh, kw = kernel.shape
    h, w = image.shape[0] - kh + 1, image.shape[1] - kw + 1
    out = np.zeros_like(image, shape=(h, w))
    for i in range(kh):
        for j in range(kw):
            out[:, :] += kernel[i, j] * image[i : i + h, j : j + w]
    return np.sum(np.tanh(out))


def convolution_by_columns(images, filters):
    """im2col: patches are copied into the columns of one matrix and multiplied at once."""
    n, h, w = images.shape
    count, kh, kw = filters.shape
    rows, cols = h - kh + 1, w - kw + 1
    columns = np.empty_like(images, shape=(n, kh * kw, rows * cols))
    for i in range(kh):
        for j in range(kw):
            columns[:, i * kw + j] = images[:, i : i + rows, j : j + cols].reshape(n, -1)
    out = filters.reshape(count, -1) @ columns
    return np.mean(np.log1p(np.exp(out)))


def layer_norm_block(x, gain, shift, W1, W2):
    """A residual block: layer normalisation, a GELU layer, and the sum."""
    centred = x - np.mean(x, axis=-1, keepdims=True)
    h = centred / np.sqrt(np.var(x, axis=-1, keepdims=True) + 1e-5) * gain + shift
    h = h @ W1
    h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
    return np.sum(np.sin(x + h @ W2))


def batch_norm(x, gamma, beta):
    h = gamma * (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3) + beta
    return np.square(np.tanh(h)).mean()


def graph_convolution(features, W1, W2, *, edges):
    """Two rounds of message passing: every node adds up what its neighbours send."""
    degree = np.bincount(edges[:, 1], minlength=len(features)) + 1.0
    h = features
    for W in (W1, W2):
        messages = np.zeros_like(h)
        for source, target in edges:
            messages[target] += h[source]
        h = np.tanh(((h + messages) / degree[:, None]) @ W)
    return np.sum(h.max(axis=0))


def contrastive_loss(a, b, temperature):
    """The InfoNCE loss of two views, by cosine similarity."""
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    similarity = a @ b.T / temperature
    p = softmax(similarity, axis=1)
    return -np.mean(np.log(np.diag(p)))


def skip_gram(embeddings, contexts, *, centres, others, negatives):
    """word2vec with negative sampling; words come up more than once."""
    u, v = embeddings[centres], contexts[others]
    positive = np.sum(u * v, axis=1)
    negative = np.einsum("ij,ikj->ik", u, contexts[negatives])
    return -np.mean(np.log(sigmoid(positive)) + np.log(sigmoid(-negative)).sum(axis=1))


def matrix_factorisation(U, V, *, ratings, seen):
    """Squared error over the ratings that were seen, plus a ridge."""
    error = (U @ V.T - ratings)[seen]
    return error @ error + 0.1 * (np.sum(U**2) + np.sum(V**2))


def support_vector_machine(alpha, X, *, y):
    """A kernel machine's squared hinge loss."""
    squares = (X**2).sum(1)[:, None] + (X**2).sum(1)[None, :] - 2 * X @ X.T
    K = np.exp(-0.5 * squares)
    margins = y * (K @ alpha)
    return np.sum(np.maximum(0, 1 - margins) ** 2) + 0.1 * alpha @ K @ alpha


def tuned_learning_rate(log_rate, momentum, w, X, y):
    """The loss after a few steps of gradient descent: a gradient for the optimiser's settings."""
    velocity = np.zeros_like(w)
    for _ in range(5):
        slope = X.T @ (X @ w - y) / len(y)
        velocity = momentum * velocity - np.exp(log_rate) * slope
        w = w + velocity
    return 0.5 * np.mean((X @ w - y) ** 2)


def logged_training(w, rate, X, y, *, log):
    """Gradient descent that notes how it gets on, and stops when it is good enough."""
    for step in range(20):
        error = X @ w - y
        loss = np.mean(error**2)
        log.append(f"step {step}: loss {loss:.4f}, first weight {w[0]:+.2e}")
        if loss < 0.6:
            break
        w = w - rate * 2 * (X.T @ error) / len(y)
    return loss


def radial_basis_network(centres, widths, weights, x):
    distance = np.hypot(x[:, None, 0] - centres[:, 0], x[:, None, 1] - centres[:, 1])
    return np.sum(np.cos(np.exp(-((distance / widths) ** 2)) @ weights))


SEQUENCE = normal(101, 5, 3)

PROGRAMS = [
    Program(
        mlp_classifier,
        (
            [
                (normal(102, 9, 5) / 3, 0.1 * normal(103, 5)),
                (normal(104, 5, 4), 0.1 * normal(105, 4)),
            ],
            normal(106, 6, 3, 3),
        ),
        {"labels": integers(107, 4, 6)},
    ),
    Program(
        rnn,
        (
            Recurrent(
                normal(108, 4, 3), 0.5 * normal(109, 4, 4), normal(110, 4), normal(111, 2, 4)
            ),
            SEQUENCE,
            normal(112, 5, 2),
        ),
    ),
    Program(
        lstm,
        (
            {"W": 0.5 * normal(113, 7, 16), "b": 0.1 * normal(114, 16), "V": normal(115, 4, 3)},
            normal(116, 4, 2, 3),
        ),
        {"labels": integers(117, 3, 4, 2)},
    ),
    Program(gated_recurrent_unit, (tuple(0.6 * normal(118, 3, 4, 7)), SEQUENCE)),
    Program(
        attention,
        (
            {
                name: normal(119 + i, 4, 4) / 2
                for i, name in enumerate(("query", "key", "value", "out"))
            },
            normal(123, 5, 4),
        ),
        {"heads": 2},
    ),
    Program(
        einsum_attention,
        (normal(124, 2, 3, 2, 2), normal(125, 2, 4, 2, 2), normal(126, 2, 4, 2, 2)),
    ),
    Program(rotary_embedding, (normal(127, 4, 4), normal(128, 4, 4))),
    Program(
        convolution_by_windows,
        (normal(129, 7, 7), normal(130, 2, 3, 3), 0.1 * normal(131, 2)),
        not_jax="jax.numpy has no sliding_window_view",
    ),
    Program(convolution_by_slices, (normal(132, 6, 5), normal(133, 3, 2))),
    Program(convolution_by_columns, (normal(134, 2, 4, 5), normal(135, 3, 2, 2))),
    Program(
        layer_norm_block,
        (
            normal(136, 3, 4),
            1 + 0.1 * normal(137, 4),
            0.1 * normal(138, 4),
            normal(139, 4, 6) / 2,
            normal(140, 6, 4) / 2,
        ),
    ),
    Program(batch_norm, (normal(141, 6, 3), uniform(142, 0.5, 1.5, 3), normal(143, 3))),
    Program(
        graph_convolution,
        (normal(144, 5, 3), normal(145, 3, 3), normal(146, 3, 2)),
        {"edges": np.array([[0, 1], [1, 2], [2, 0], [3, 1], [4, 1], [0, 4]])},
    ),
    Program(contrastive_loss, (normal(147, 5, 4), normal(148, 5, 4), 0.5)),
    Program(
        skip_gram,
        (normal(149, 6, 3), normal(150, 6, 3)),
        {
            "centres": integers(151, 6, 7),
            "others": integers(152, 6, 7),
            "negatives": integers(153, 6, 7, 3),
        },
    ),
    Program(
        matrix_factorisation,
        (normal(154, 4, 2), normal(155, 5, 2)),
        {"ratings": normal(156, 4, 5), "seen": normal(157, 4, 5) > 0},
    ),
    Program(
        support_vector_machine,
        (normal(158, 7), normal(159, 7, 2)),
        {"y": np.array([1, -1, 1, 1, -1, -1, 1])},
    ),
    Program(tuned_learning_rate, (-1.5, 0.7, normal(160, 3), normal(161, 8, 3), normal(162, 8))),
    Program(
        logged_training,
        (normal(167, 3), 0.1, normal(161, 8, 3), normal(162, 8)),
        {"log": []},
        not_jax="a traced value of JAX cannot be formatted",
        decides=True,
    ),
    Program(
        radial_basis_network,
        (normal(163, 4, 2), uniform(164, 0.5, 2, 4), normal(165, 4), normal(166, 5, 2)),
    ),
]
