"""Networks with a planted disease, and healthy ones: what ``cr.why`` has to find in each.

The line of a disease carries the comment ``# sick: name``. Run as a script, this rewrites the table
of verdicts in ``docs/why.md``.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import chainrule as cr
from chainrule.diagnosis.causes import Cause
from chainrule.diagnosis.why import GradientReport, Verdict

PAGE = Path(__file__).parents[1] / "docs" / "why.md"
BEGIN, END = "<!-- cases -->", "<!-- end of cases -->"

ZERO, TINY, HUGE = Verdict.ZERO, Verdict.VANISHING, Verdict.EXPLODING
HEALTHY = Verdict.HEALTHY


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@dataclass(frozen=True)
class Case:
    """A loss at a point, and what is wrong with one of its gradients."""

    name: str
    loss: Callable[..., Any]
    args: Callable[[], tuple[Any, ...]]
    wrt: str
    verdict: Verdict
    cause: Cause | None = None

    @functools.cached_property
    def line(self) -> int | None:
        """The line with the planted disease."""
        lines = Path(__file__).read_text("utf-8").splitlines()
        marked = [i for i, x in enumerate(lines, 1) if x.endswith(f"# sick: {self.name}")]
        assert len(marked) == (self.verdict is not HEALTHY), f"{self.name}: {marked}"
        return marked[0] if marked else None

    @functools.cached_property
    def report(self) -> GradientReport:
        """What ``cr.why`` says."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return cr.why(self.loss, wrt=self.wrt)(*self.args())


CASES: list[Case] = []


def case(
    name: str, wrt: str, verdict: Verdict, cause: Cause | None, *args: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated loss; arguments that are functions are called for their value."""

    def given() -> tuple[Any, ...]:
        return tuple(a() if callable(a) else a for a in args)

    def enter(loss: Callable[..., Any]) -> Callable[..., Any]:
        CASES.append(Case(name, loss, given, wrt, verdict, cause))
        return loss

    return enter


def normal(*shape: int, scale: float = 1.0) -> Callable[[], Any]:
    return lambda: scale * rng().normal(size=shape)


def glorot(*shape: int) -> Any:
    return rng().normal(size=shape) / np.sqrt(shape[0])


# ------------------------------------------------------------------------- slopes


def sigmoid(z):
    return 1 / (1 + np.exp(-z))  # sick: sigmoid chain of 50


@case("sigmoid chain of 50", "x", TINY, Cause.SLOPES, normal(4), 1.0)
def sigmoid_chain(x, w):
    h = x
    for _ in range(50):
        h = sigmoid(w * h)
    return np.sum(h)


@case("saturated tanh", "W", TINY, Cause.SLOPES, lambda: 30 * glorot(5, 4), normal(6, 5))
def saturated_tanh(W, x):
    h = np.tanh(10 + np.abs(x @ W))  # sick: saturated tanh
    return np.mean(h**2)


@case("one dead layer of eight", "params[0]", TINY, Cause.SLOPES,
      lambda: [glorot(8, 8) for _ in range(8)], normal(16, 8))  # fmt: skip
def one_saturated_layer(params, x):
    h = x
    for i, W in enumerate(params):
        z = h @ W
        h = np.tanh(z)
        if i == 4:
            h = np.tanh(12 + h)  # sick: one dead layer of eight
    return np.mean(h**2) + np.sum(h) * 0


def hand_tanh(x):
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))  # sick: tanh by hand


@case("tanh by hand", "w", ZERO, Cause.SATURATED, lambda: np.full(3, 10.0), 3.0)
def saturated_to_the_last_bit(w, x):
    h = hand_tanh(w * x)
    return np.sum(h)


@case("arctan of infinity", "w", ZERO, Cause.SATURATED, lambda: np.full(3, 2.0))
def hard_switch(w):
    h = 1e200 * w
    out = np.arctan(h**2)  # sick: arctan of infinity
    return np.sum(out)


@case("exp of a very negative number", "w", ZERO, Cause.UNDERFLOW, lambda: np.full(3, 30.0), 30.0)
def gaussian(w, x):
    distance = (w * x) ** 2
    k = np.exp(-distance)  # sick: exp of a very negative number
    return np.sum(k)


@case("gaussian far from its centre", "mu", TINY, Cause.SLOPES, lambda: np.array([7.0, 8.0]), 0.0)
def far_gaussian(mu, x):
    d = x - mu
    k = np.exp(-(d**2) / 2)  # sick: gaussian far from its centre
    return np.sum(k)


@case("erf in its tail", "w", TINY, Cause.SLOPES, lambda: np.array([4.0, -5.0]))
def erf_tail(w):
    from scipy.special import erf

    return np.sum(erf(w))  # sick: erf in its tail


# ------------------------------------------------------------------------- weights


@case("weights of 1e-3", "params[0]['W']", TINY, Cause.WEIGHTS,
      lambda: [{"W": 1e-3 * rng().normal(size=(6, 6)), "b": np.zeros(6)} for _ in range(4)],
      normal(8, 6))  # fmt: skip
def tiny_weights(params, x):
    h = x
    for layer in params:
        h = np.tanh(h @ layer["W"] + layer["b"])  # sick: weights of 1e-3
    return np.sum(h)


@case("weights of 1e3", "params['W0']", HUGE, Cause.WEIGHTS,
      lambda: {f"W{i}": 1e3 * rng().normal(size=(5, 5)) for i in range(3)},
      normal(4, 5))  # fmt: skip
def huge_weights(params, x):
    def linear(h, W):
        return h @ W  # sick: weights of 1e3

    h = x
    for name in sorted(params):
        h = linear(h, params[name])
    return np.mean(h)


@case("zero weight", "W1", ZERO, Cause.ZERO_WEIGHT, normal(4, 3), lambda: np.zeros((3, 2)),
      normal(5, 4), normal(5, 2))  # fmt: skip
def zero_output_weights(W1, W2, x, y):
    h = np.tanh(x @ W1)
    out = h @ W2  # sick: zero weight
    return np.mean((out - y) ** 2)


class Gate:
    def __init__(self, strength):
        self.strength = strength

    def __call__(self, h):
        return h * self.strength  # sick: closed gate


@case("closed gate", "w", ZERO, Cause.ZERO_WEIGHT, normal(3), 0.0)
def closed_gate(w, s):
    gate = Gate(s)
    return np.sum(gate(np.tanh(w)))


@case(
    "inputs that are all zero", "W", ZERO, Cause.ZERO_WEIGHT, normal(3, 2), lambda: np.zeros((5, 3))
)
def black_picture(W, x):
    z = x @ W  # sick: inputs that are all zero
    return np.sum(np.exp(z))


@case("RNN of radius 0.5", "h0", TINY, Cause.WEIGHTS, lambda: np.ones(4), lambda: 0.5 * np.eye(4),
      lambda: 0.1 * rng().normal(size=(100, 4)))  # fmt: skip
def shrinking_rnn(h0, W, xs):
    h = h0
    for x in xs:
        h = W @ h + x  # sick: RNN of radius 0.5
    return np.sum(h**2)


@case("RNN of radius 1.5", "h0", HUGE, Cause.WEIGHTS, lambda: np.ones(4), lambda: 1.5 * np.eye(4),
      lambda: 0.1 * rng().normal(size=(100, 4)))  # fmt: skip
def growing_rnn(h0, W, xs):
    def cell(h, x):
        return W @ h + x, h  # sick: RNN of radius 1.5

    last, _ = cr.scan(cell, h0, xs)
    return np.sum(last)


@case("RNN of radius 1.5, its weights", "W", HUGE, Cause.WEIGHTS, lambda: 1.5 * np.eye(3),
      lambda: np.ones(3))  # fmt: skip
def growing_rnn_weights(W, h):
    for _ in range(60):
        h = W @ h  # sick: RNN of radius 1.5, its weights
    return np.sum(h)


@case("scan that forgets", "h0", TINY, Cause.CONSTANT, lambda: np.array([0.3, 0.2]),
      lambda: np.ones((40, 2)))  # fmt: skip
def forgetting_scan(h0, xs):
    def step(h, x):
        h = 0.1 * h + x  # sick: scan that forgets
        return h, None

    h, _ = cr.scan(step, h0, xs)
    return h[0] * h[1]


@case("learning rate inside the loss", "w", TINY, Cause.CONSTANT, normal(4))
def scaled_loss(w):
    h = np.tanh(w)
    return 1e-6 * np.sum(h)  # sick: learning rate inside the loss


@case("unscaled pixels", "W", HUGE, Cause.WEIGHTS, lambda: np.zeros((3, 2)),
      lambda: 1e6 + rng().normal(size=(4, 3)))  # fmt: skip
def unscaled_inputs(W, x):
    z = x @ W  # sick: unscaled pixels
    return np.mean(np.tanh(z))


# ------------------------------------------------------------------------- masks


@case("dead relu", "layer.W", ZERO, Cause.DEAD_MASK, lambda: Layer(glorot(3, 4), np.full(4, -50.0)),
      normal(8, 3))  # fmt: skip
def dead_relu(layer, x):
    h = np.maximum(layer(x), 0)  # sick: dead relu
    return np.mean(h**2)


class Layer(NamedTuple):
    W: Any
    b: Any

    def __call__(self, x):
        return x @ self.W + self.b


def relu(z):
    return np.where(z > 0, z, 0.0)  # sick: dead relu in a function of its own


@case("dead relu in a function of its own", "b", ZERO, Cause.DEAD_MASK, lambda: np.full(4, -9.0),
      lambda: glorot(3, 4), normal(8, 3))  # fmt: skip
def dead_hand_relu(b, W, x):
    hidden = relu(x @ W + b)
    return hidden.sum() + 1.0


@case("where takes the other branch", "a", ZERO, Cause.DEAD_MASK, normal(3), normal(3), True)
def other_branch(a, b, flag):
    picked = np.where(flag, b, a)  # sick: where takes the other branch
    return np.sum(picked**2)


@case("masked loss", "w", ZERO, Cause.DEAD_MASK, normal(4), normal(6, 4),
      lambda: np.zeros(6, bool))  # fmt: skip
def masked_loss(w, x, keep):
    error = (x @ w - 1.0) ** 2
    kept = np.where(keep, error, 0.0)  # sick: masked loss
    return np.sum(kept) / max(int(keep.sum()), 1)


@case("dropout that drops all", "W", ZERO, Cause.DEAD_MASK, lambda: glorot(4, 6), normal(3, 4),
      lambda: np.zeros(6, bool))  # fmt: skip
def dropout(W, x, mask):
    h = np.tanh(x @ W)
    d = np.where(mask, h / 0.5, 0)  # sick: dropout that drops all
    return np.mean(d)


@case("dropout by a factor", "W", ZERO, Cause.ZERO_WEIGHT, lambda: glorot(4, 6), normal(3, 4))
def dropout_factor(W, x):
    mask = np.zeros(6)
    h = np.tanh(x @ W)
    d = h * mask / 0.5  # sick: dropout by a factor
    return np.mean(d)


@case("loser of a max pooling", "small", ZERO, Cause.DEAD_MASK, lambda: np.full(3, -2.0),
      lambda: np.full(3, 2.0))  # fmt: skip
def max_pool(small, big):
    window = np.stack([small, big])
    best = np.max(window, axis=0)  # sick: loser of a max pooling
    return np.sum(best**2)


@case("hinge with a margin to spare", "w", ZERO, Cause.DEAD_MASK, lambda: np.array([5.0, 5.0]),
      lambda: np.eye(2), lambda: np.ones(2))  # fmt: skip
def hinge(w, x, y):
    margins = y * (x @ w)
    losses = np.maximum(0.0, 1.0 - margins)  # sick: hinge with a margin to spare
    return losses.mean()


@case("clipped", "z", ZERO, Cause.CLIPPED, lambda: np.array([5.0, -7.0]))
def clipped(z):
    p = np.clip(z, -1.0, 1.0)  # sick: clipped
    return np.sum(p**2)


@case("PPO ratio outside its clip", "logp", ZERO, Cause.CLIPPED, lambda: np.array([3.0, 2.5]),
      lambda: np.zeros(2))  # fmt: skip
def ppo(logp, old):
    ratio = np.exp(logp - old)
    limited = np.clip(ratio, 0.8, 1.2)  # sick: PPO ratio outside its clip
    return -np.mean(np.minimum(ratio * 2.0, limited * 2.0))


@case("relu at exactly 0", "W", ZERO, Cause.KINK, lambda: np.zeros((3, 2)), normal(4, 3))
def relu_at_zero(W, x):
    h = np.abs(x @ W)  # sick: relu at exactly 0
    return np.sum(h)


@case("norm at 0", "w", ZERO, Cause.KINK, lambda: np.zeros(3))
def norm_at_zero(w):
    n = np.linalg.norm(w)  # sick: norm at 0
    return 3 * n


@case("one dead unit", "W[:,2]", ZERO, Cause.DEAD_MASK, lambda: np.ones((2, 4)),
      lambda: np.array([0.0, 1.0, -9.0, 0.5]), lambda: np.ones((5, 2)))  # fmt: skip
def one_dead_unit(W, b, x):
    h = np.maximum(x @ W + b, 0)  # sick: one dead unit
    return np.mean(h)


# --------------------------------------------------------- steps, detached, not connected


@case("argmax", "scores", ZERO, Cause.STEP, normal(5), normal(5))
def hard_choice(scores, values):
    best = np.argmax(scores)  # sick: argmax
    return values[best] ** 2


@case("integer cast", "w", ZERO, Cause.STEP, lambda: np.array([1.5, 2.5]))
def quantised(w):
    level = (w * 8).astype(int)  # sick: integer cast
    return np.sum(level / 8.0)


@case("Python's int", "w", ZERO, Cause.STEP, 1.0, lambda: np.ones(9))
def as_index(w, x):
    count = int(w * 3)  # sick: Python's int
    return x[count] ** 2


@case("floor", "w", ZERO, Cause.STEP, normal(3))
def floored(w):
    h = np.floor(4 * w)  # sick: floor
    return np.sum(h**2)


@case("rounding", "w", ZERO, Cause.STEP, normal(3))
def rounded(w):
    q = np.round(np.tanh(w), 1)  # sick: rounding
    return np.mean(q)


@case("sign activation", "params['W1']", ZERO, Cause.STEP,
      lambda: {"W1": glorot(3, 4), "W2": glorot(4, 1)}, normal(5, 3))  # fmt: skip
def binary_network(params, x):
    h = np.sign(x @ params["W1"])  # sick: sign activation
    return np.mean((h @ params["W2"]) ** 2)


@case("accuracy as a loss", "w", ZERO, Cause.STEP, normal(3), normal(6, 3),
      lambda: np.arange(6) % 2 == 0)  # fmt: skip
def accuracy(w, x, y):
    right = (x @ w > 0) == y  # sick: accuracy as a loss
    return 1.0 - np.mean(right)


@case("detached branch", "w", ZERO, Cause.DETACHED, normal(3), normal(3))
def detached(w, v):
    target = cr.stop_gradient(np.tanh(w))  # sick: detached branch
    return np.mean((v - target) ** 2)


@case("detached by a helper", "encoder['W']", ZERO, Cause.DETACHED,
      lambda: {"W": glorot(3, 3)}, lambda: {"W": glorot(3, 2)}, normal(4, 3))  # fmt: skip
def frozen_features(encoder, head, x):
    def features(x):
        z = x @ encoder["W"]
        return cr.stop_gradient(z)  # sick: detached by a helper

    return np.mean((features(x) @ head["W"]) ** 2)


@case("unused parameter", "b", ZERO, Cause.NOT_CONNECTED, normal(3), normal(3))
def unused(w, b):  # sick: unused parameter
    return np.sum(w**2)


@case("auxiliary head that nobody reads", "params['aux']", ZERO, Cause.NOT_CONNECTED,
      lambda: {"main": glorot(3, 2), "aux": glorot(3, 2)}, normal(4, 3))  # fmt: skip
def forgotten_head(params, x):
    out = x @ params["main"]
    extra = np.tanh(x @ params["aux"])  # sick: auxiliary head that nobody reads
    assert extra.shape == out.shape
    return np.mean(out**2)


@case("word that never occurs", "E[7]", ZERO, Cause.NOT_CONNECTED, normal(9, 3), normal(3, 2),
      lambda: np.array([[1, 2], [3, 3]]))  # fmt: skip
def embedding_row(E, W, ids):
    words = E[ids]  # sick: word that never occurs
    return np.mean(np.tanh(words @ W))


@case("overwritten", "w", ZERO, Cause.NOT_CONNECTED, normal(3), normal(3))
def overwritten(w, x):
    h = np.tanh(w)
    h[:] = x  # sick: overwritten
    return np.sum(h**2)


# ------------------------------------------------------------------ averaging and selection


@case("mean over a million", "w", TINY, Cause.AVERAGING, lambda: np.array(0.5),
      lambda: np.eye(1, 1_000_000)[0])  # fmt: skip
def mean_of_million(w, x):
    per_example = np.tanh(w * x)
    return np.mean(per_example)  # sick: mean over a million


@case("mean of means", "w", TINY, Cause.AVERAGING, lambda: np.array([0.5]))
def mean_of_means(w):
    padded = np.concatenate([w, np.zeros(99)])
    a = np.sum(padded) / len(padded)
    return np.tanh(np.sum(a) / 10_000)  # sick: mean of means


@case("one of many", "w", TINY, Cause.MASK, lambda: np.array([0.5, 0.1]))
def one_of_many(w):
    z = np.sqrt(1 + w**2)
    padded = np.concatenate([z, np.ones(1_000_000)])  # sick: one of many
    return 0.02 * np.linalg.norm(padded)


# ------------------------------------------------------------------------- cancellation


@case("exact cancellation", "w", ZERO, Cause.CANCELLING, normal(4))
def cancelled(w):
    up, down = np.exp(w), -np.exp(w)
    return np.sum(up) + np.sum(down)  # sick: exact cancellation


@case("difference of twins", "W", ZERO, Cause.CANCELLING, lambda: glorot(3, 2), normal(4, 3))
def twins(W, x):
    student = x @ W
    teacher = x @ W
    gap = student - teacher  # sick: difference of twins
    return np.sum(gap)


@case("bias before a mean is taken off", "b", TINY, Cause.CANCELLING, lambda: np.array(0.3),
      normal(7))  # fmt: skip
def centred(b, x):
    h = np.tanh(x) + b  # sick: bias before a mean is taken off
    c = h - np.mean(h)
    return np.sum(c**2)


@case("normalising twice", "w", TINY, Cause.CANCELLING, lambda: 3.0, normal(8))
def normalised_twice(w, x):
    def normalise(v):
        return v / np.sqrt(np.sum(v**2))

    once = normalise(w * x)  # sick: normalising twice
    return np.sum(normalise(once) * np.arange(8.0))


@case("residual against itself", "h", ZERO, Cause.CANCELLING, normal(3))
def wrong_residual(h):
    skip = h
    f = 0.5 * h + 0.5 * h
    return np.sum(skip - f)  # sick: residual against itself


# ------------------------------------------------------------------- softmax and friends


def softmax(z):
    e = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)  # sick: softmax saturation


@case("softmax saturation", "W", TINY, Cause.SATURATED, lambda: 40 * np.eye(3), lambda: np.eye(3))
def confident(W, x):
    p = softmax(x @ W)
    return -np.mean(np.log(p[:, 0] + 1e-3))


@case("attention with huge logits", "params['q']", TINY, Cause.SATURATED,
      lambda: {"q": 9 * np.eye(4), "k": 9 * np.eye(4), "v": glorot(4, 4)},
      lambda: np.eye(4) + 0.01 * rng().normal(size=(4, 4)))  # fmt: skip
def attention(params, x):
    q, k, v = (x @ params[n] for n in "qkv")
    scores = q @ k.T / np.sqrt(4.0)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights = e / e.sum(axis=1)[:, None]  # sick: attention with huge logits
    return np.mean((weights @ v) ** 2)


@case("scipy's softmax", "z", TINY, Cause.SATURATED, lambda: np.array([90.0, 1.0, 2.0]))
def library_softmax(z):
    from scipy.special import softmax

    p = softmax(z)  # sick: scipy's softmax
    return np.sum(p * np.arange(3.0))


@case("log-sum-exp of a clear winner", "loser", TINY, Cause.SLOPES, lambda: np.array(-30.0))
def clear_winner(loser):
    e = np.exp(loser)  # sick: log-sum-exp of a clear winner
    return np.log(e + 1.0)


# ------------------------------------------------------------------------- dtypes


@case("float16 underflow", "w", ZERO, Cause.UNDERFLOW, lambda: np.ones(3, np.float16),
      lambda: np.full(3, 1e-4, np.float16))  # fmt: skip
def half_precision(w, x):
    h = w * x  # sick: float16 underflow
    scaled = h * x
    return np.sum(scaled).astype(np.float32)


@case("float16 loss scale too small", "W", ZERO, Cause.UNDERFLOW,
      lambda: np.ones((2, 2), np.float16), lambda: np.full((3, 2), 2e-4, np.float16))  # fmt: skip
def half_network(W, x):
    z = x @ W  # sick: float16 loss scale too small
    return 1e-4 * np.mean(z.astype(np.float32))


@case("float32 product of many", "w", ZERO, Cause.UNDERFLOW, lambda: np.ones(3, np.float32),
      lambda: np.full(3, 1e-9, np.float32))  # fmt: skip
def likelihood(w, p):
    total = w  # 1e-9 to the sixth is below what float32 can hold
    for _ in range(6):
        total = total * p  # sick: float32 product of many
    return np.sum(total)


# ------------------------------------------------------------------------- singularities


@case("sqrt near 0", "w", HUGE, Cause.SLOPES, lambda: np.array([1e-14, 2e-14]))
def near_root(w):
    r = np.sqrt(w)  # sick: sqrt near 0
    return np.sum(r)


@case("division by a small number", "w", HUGE, Cause.SLOPES, lambda: np.array([1e-4, 2e-4]))
def small_divisor(w):
    inverse = 1.0 / w  # sick: division by a small number
    return np.mean(inverse)


@case("log near 0", "p", HUGE, Cause.SLOPES, lambda: np.array([1e-7, 0.5]))
def cross_entropy(p):
    nll = -np.log(p)  # sick: log near 0
    return nll.sum()


@case("exp that grows", "w", HUGE, Cause.SLOPES, lambda: np.array([20.0, 21.0]))
def growing(w):
    energy = np.exp(w)  # sick: exp that grows
    return np.sum(energy)


@case("layer norm of a constant", "x", HUGE, Cause.SLOPES,
      lambda: 2.0 + 1e-7 * rng().normal(size=8),
      lambda: np.arange(8.0) ** 2)  # fmt: skip
def layer_norm(x, g):
    mu = np.mean(x)
    var = np.mean((x - mu) ** 2)
    s = np.sqrt(var)
    y = (x - mu) / s  # sick: layer norm of a constant
    return np.sum(y * g)


@case("variance of a constant", "x", ZERO, Cause.STATIONARY, lambda: np.full(6, 2.0))
def batch_variance(x):
    spread = np.var(x)  # sick: variance of a constant
    return np.log(spread + 1.0)


@case("at the minimum", "w", ZERO, Cause.STATIONARY, lambda: np.array([1.0, 2.0]),
      lambda: np.array([1.0, 2.0]))  # fmt: skip
def perfect_fit(w, y):
    residual = w - y
    return np.sum(residual**2)  # sick: at the minimum


# ------------------------------------------------------------------------- healthy


def _healthy(name: str, wrt: str, *args: Any) -> Any:
    return case(name, wrt, HEALTHY, None, *args)


@_healthy("two layers and cross-entropy", "W1", lambda: glorot(8, 16), lambda: glorot(16, 4),
          normal(32, 8), lambda: np.arange(32) % 4)  # fmt: skip
def classifier(W1, W2, x, y):
    logits = np.maximum(x @ W1, 0) @ W2
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return -np.mean(logp[np.arange(32), y])


@_healthy("residual that saves a chain", "x", normal(5), lambda: 0.1)
def residual_chain(x, w):
    h = x
    for _ in range(50):
        h = h + w * sigmoid(h)
    return np.mean(h)


@_healthy("linear regression", "w", normal(3), normal(20, 3), normal(20))
def regression(w, x, y):
    return np.mean((x @ w - y) ** 2)


@_healthy(
    "RNN of radius 1", "h0", lambda: np.ones(3), lambda: np.linalg.qr(rng().normal(size=(3, 3)))[0]
)
def orthogonal_rnn(h0, W):
    h, _ = cr.scan(lambda h, _: (W @ h, None), h0, length=60)
    return np.sum(h)


@_healthy("attention", "q", lambda: glorot(4, 4), lambda: glorot(4, 4), normal(6, 4))
def calm_attention(q, k, x):
    weights = softmax((x @ q) @ (x @ k).T / 2.0)
    return np.mean((weights @ x) ** 2)


@_healthy("layer norm", "x", normal(5, 8), normal(8))
def calm_layer_norm(x, g):
    c = x - x.mean(axis=1, keepdims=True)
    y = c / np.sqrt(np.mean(c**2, axis=1, keepdims=True) + 1e-5)
    return np.sum(np.tanh(y) * g) / 5


@_healthy("float16 with a scale", "w", lambda: np.ones(4, np.float16),
          lambda: np.full(4, 0.5, np.float16))  # fmt: skip
def calm_half(w, x):
    return np.sum(np.tanh(w * x)).astype(np.float32)


@_healthy("embedding", "E", normal(10, 4), lambda: np.array([1, 3, 3, 7]))
def embedding(E, ids):
    return np.mean(E[ids] ** 2)


@_healthy("convolution", "kernel", normal(3), normal(40))
def convolution(kernel, signal):
    h = np.convolve(signal, kernel, mode="valid")
    return np.mean(np.maximum(h, 0) ** 2)


@_healthy("mean over a million that all count", "w", lambda: np.array(0.5),
          lambda: np.linspace(-1, 1, 1_000_000))  # fmt: skip
def calm_mean(w, x):
    return np.mean(np.tanh(w * x) * x)


@_healthy("logistic regression", "w", normal(3), normal(20, 3), lambda: np.arange(20) % 2)
def logistic(w, x, y):
    p = sigmoid(x @ w)
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


@_healthy("deep tanh, well initialised", "params[0]",
          lambda: [np.linalg.qr(rng().normal(size=(8, 8)))[0] for _ in range(10)],
          normal(16, 8, scale=0.3))  # fmt: skip
def deep(params, x):
    h = x
    for W in params:
        h = np.tanh(h @ W)
    return np.mean(np.sum(h**2, axis=1))


# ------------------------------------------------------------------------- the table


def table() -> str:
    """The cases and what ``cr.why`` says of them, as Markdown."""
    rows = ["| network | gradient | verdict | cause | where | what it says |", "| --- " * 6 + "|"]
    for one in CASES:
        found = one.report
        cause = "" if found.cause is None else found.cause.value
        source = found.source.partition("  # sick:")[0]
        where = "" if found.healthy else f"`{source}`"
        cells = [one.name, f"`{one.wrt}`", found.verdict.value, cause, where, found.says]
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


def page_with_table(page: str) -> str:
    """The page with the table of this run."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")
    for one in CASES:
        found = one.report
        line = int(found.line.rpartition(":")[2] or 0)
        right = (
            found.verdict is one.verdict
            and found.cause is one.cause
            and (found.healthy or line == one.line)
        )
        print(
            "ok " if right else "NO ",
            one.name,
            "|",
            found.verdict.value,
            found.cause and found.cause.value,
            found.line,
            "want",
            one.verdict.value,
            one.cause and one.cause.value,
            one.line,
            "|",
            found.says,
            "|",
            f"{found.norm:.2g}",
            found.step,
        )
