"""GradBench's lstm: the loss of a diagonal LSTM over a sequence, and its gradient.

Defined by ADBench (`lstm`): l layers, 14 bits per character, c characters; the loss is the mean of
what the logarithm of a softmax (whose sum of exponentials has ADBench's 2 added) gives the next
character. Parameters and sequence are drawn here, in the shapes of ADBench's files, float64. Ours
is there with `cr.scan` and as a plain Python loop up to 1,024 steps. The reference is the backward
pass written by hand, in NumPy's long double.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, Case, Work

BITS = 14
SIZES = ((2, 64), (2, 256), (2, 1024), (4, 1024), (2, 4096), (4, 4096))
LONGEST_LOOP = 1024


def data(layers: int, length: int) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(31337)
    main = rng.normal(size=(2 * layers, 4 * BITS))
    extra = rng.normal(size=(3, BITS))
    state = rng.normal(size=(2 * layers, BITS))
    sequence = rng.integers(0, 2, size=(length, BITS)).astype(float)
    return main, extra, state, sequence


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def advance(weight: Any, bias: Any, hidden: Any, cell: Any, x: Any) -> tuple[Any, Any]:
    """One layer, one step; every weight matrix is diagonal."""
    forget = sigmoid(x * weight[:BITS] + bias[:BITS])
    let_in = sigmoid(hidden * weight[BITS : 2 * BITS] + bias[BITS : 2 * BITS])
    let_out = sigmoid(x * weight[2 * BITS : 3 * BITS] + bias[2 * BITS : 3 * BITS])
    change = np.tanh(hidden * weight[3 * BITS :] + bias[3 * BITS :])
    cell = cell * forget + let_in * change
    return let_out * np.tanh(cell), cell


def scored(main: Any, extra: Any, state: list[Any], now: Any, after: Any) -> tuple[Any, Any]:
    """The state after one character, and what the next one scores."""
    x = now * extra[0]
    following = []
    for layer in range(len(state) // 2):
        weight, bias = main[2 * layer], main[2 * layer + 1]
        x, cell = advance(weight, bias, state[2 * layer], state[2 * layer + 1], x)
        following += [x, cell]
    y = x * extra[1] + extra[2]
    return following, np.sum(after * (y - np.log(np.sum(np.exp(y)) + 2)))


def loss_by_loop(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    state = list(state)
    total = 0.0
    for now, after in itertools.pairwise(sequence):
        state, score = scored(main, extra, state, now, after)
        total = total + score
    return -total / sequence[1:].size


def loss_by_scan(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    def step(carry: Any, characters: Any) -> Any:
        return scored(main, extra, carry, *characters)

    _, scores = cr.scan(step, list(state), (sequence[:-1], sequence[1:]))
    return -np.sum(scores) / sequence[1:].size


def by_hand(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    layers, steps = len(state) // 2, len(sequence) - 1
    w, b = main[0::2].reshape(layers, 4, BITS), main[1::2].reshape(layers, 4, BITS)
    hidden, cell = [*state[0::2]], [*state[1::2]]
    gold = sequence[1:]
    kept: list[Any] = []
    tops = np.empty((steps, BITS), main.dtype)
    for t in range(steps):
        x = sequence[t] * extra[0]
        for i in range(layers):
            h, c = hidden[i], cell[i]
            z = np.stack([x, h, x, h])
            gates = z * w[i] + b[i]
            gates[:3] = 1 / (1 + np.exp(-gates[:3]))
            np.tanh(gates[3], out=gates[3])
            cell[i] = c * gates[0] + gates[1] * gates[3]
            squashed = np.tanh(cell[i])
            hidden[i] = x = gates[2] * squashed
            kept.append((z, c, gates, squashed))
        tops[t] = x
    y = tops * extra[1] + extra[2]
    e = np.exp(y)
    sums = e.sum(axis=1, keepdims=True) + 2
    scale = -1 / gold.size
    value = scale * np.sum(gold * (y - np.log(sums)))
    share = scale * (gold - gold.sum(axis=1, keepdims=True) * e / sums)
    g_w, g_b, g_extra = np.zeros_like(w), np.zeros_like(b), np.empty_like(extra)
    g_extra[0] = 0
    g_extra[1], g_extra[2] = np.sum(share * tops, axis=0), share.sum(axis=0)
    d_hidden, d_cell = np.zeros((2, layers, BITS), main.dtype)
    for t in range(steps - 1, -1, -1):
        d = share[t] * extra[1]
        for i in range(layers - 1, -1, -1):
            z, c, gates, squashed = kept.pop()
            forget, let_in, let_out, change = gates
            d += d_hidden[i]
            by_cell = d_cell[i] + d * let_out * (1 - squashed * squashed)
            by_gates = np.stack([by_cell * c, by_cell * change, d * squashed, by_cell * let_in])
            by_gates[:3] *= gates[:3] * (1 - gates[:3])
            by_gates[3] *= 1 - change * change
            g_w[i] += by_gates * z
            g_b[i] += by_gates
            d_cell[i] = by_cell * forget
            by_gates *= w[i]
            d_hidden[i] = by_gates[1] + by_gates[3]
            d = by_gates[0] + by_gates[2]
        g_extra[0] += d * sequence[t]
    g_main = np.stack([g_w, g_b], axis=1).reshape(main.shape)
    return value, (g_main, g_extra)


def cases(small: bool = False) -> Iterator[Case]:
    for layers, length in ((2, 9), (3, 6)) if small else SIZES:
        yield case(layers, length)


def case(layers: int, length: int) -> Case:
    args = data(layers, length)
    scanned = cr.value_and_grad(loss_by_scan, argnums=(0, 1))
    looped = cr.value_and_grad(loss_by_loop, argnums=(0, 1))
    contenders = peers.ours(scanned, *args)
    if length <= LONGEST_LOOP:
        contenders[f"{COMPILED}, Python loop"] = peers.ours(looped, *args)[COMPILED]
    return Case(
        f"{layers} layers, {length:,} steps",
        lambda: by_hand(*[np.asarray(a, np.longdouble) for a in args]),
        {
            **contenders,
            "JAX": peers.with_jax(with_jax, *args),
            "PyTorch": lambda: with_torch(args),
            "autograd": lambda: with_autograd(args),
            "NumPy by hand": lambda: peers.bound(by_hand, *args),
            "C by hand": lambda: in_c(args),
        },
        primal=peers.primal(loss_by_scan, *args),
    )


def with_jax(jax: Any) -> Any:
    jnp = jax.numpy

    def loss(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
        parameters = main.reshape(-1, 2, 4, BITS)

        def layer(x: Any, given: Any) -> Any:
            (weight, bias), (hidden, cell) = given
            forget, let_out = jax.nn.sigmoid(x * weight[::2] + bias[::2])
            let_in = jax.nn.sigmoid(hidden * weight[1] + bias[1])
            change = jnp.tanh(hidden * weight[3] + bias[3])
            cell = cell * forget + let_in * change
            x = let_out * jnp.tanh(cell)
            return x, jnp.stack([x, cell])

        def step(state: Any, characters: Any) -> Any:
            now, after = characters
            x, state = jax.lax.scan(layer, now * extra[0], (parameters, state), unroll=True)
            y = x * extra[1] + extra[2]
            return state, jnp.sum(after * (y - jnp.log(jnp.sum(jnp.exp(y)) + 2)))

        start = state.reshape(-1, 2, BITS)
        _, scores = jax.lax.scan(step, start, (sequence[:-1], sequence[1:]))
        return -jnp.sum(scores) / sequence[1:].size

    return jax.value_and_grad(loss, argnums=(0, 1))


def with_torch(args: Any) -> Work:
    """A plain loop, gates cut out of each layer's parameters, as GradBench's is."""
    torch = peers.torch()
    leaves = [torch.tensor(a, requires_grad=True) for a in args[:2]]
    start, sequence = (torch.tensor(a) for a in args[2:])

    def loss(main: Any, extra: Any) -> Any:
        state = list(start)
        total = torch.zeros((), dtype=torch.float64)
        count = 0
        for t in range(len(sequence) - 1):
            x = sequence[t] * extra[0]
            for i in range(0, len(state), 2):
                hidden = state[i]
                wf, wi, wo, wc = torch.chunk(main[i], 4)
                bf, bi, bo, bc = torch.chunk(main[i + 1], 4)
                forget = torch.sigmoid(x * wf + bf)
                let_in = torch.sigmoid(hidden * wi + bi)
                let_out = torch.sigmoid(x * wo + bo)
                change = torch.tanh(hidden * wc + bc)
                state[i + 1] = state[i + 1] * forget + let_in * change
                state[i] = x = let_out * torch.tanh(state[i + 1])
            y = x * extra[1] + extra[2]
            normed = y - torch.log(torch.sum(torch.exp(y)) + 2)
            total = total + torch.dot(sequence[t + 1], normed)
            count += BITS
        return -total / count

    def work() -> Any:
        value = loss(*leaves)
        return value.detach(), torch.autograd.grad(value, leaves)

    return work


def with_autograd(args: Any) -> Work:
    autograd, anp = peers.autograd()
    start, sequence = args[2:]
    sigmoid = lambda x: 1 / (1 + anp.exp(-x))

    def loss(params: Any) -> Any:
        main, extra = params
        state = list(start)
        total = 0.0
        for now, after in itertools.pairwise(sequence):
            x = now * extra[0]
            for i in range(0, len(state), 2):
                w, b, hidden = main[i].reshape((4, BITS)), main[i + 1].reshape((4, BITS)), state[i]
                let_in = sigmoid(hidden * w[1] + b[1])
                state[i + 1] = state[i + 1] * sigmoid(x * w[0] + b[0]) + let_in * anp.tanh(
                    hidden * w[3] + b[3]
                )
                state[i] = x = sigmoid(x * w[2] + b[2]) * anp.tanh(state[i + 1])
            y = x * extra[1] + extra[2]
            total = total + anp.sum(after * (y - anp.log(anp.sum(anp.exp(y)) + 2)))
        return -total / sequence[1:].size

    return peers.bound(autograd.value_and_grad(loss), args[:2])


def in_c(args: Any) -> Work:
    main, extra, state, sequence = args
    layers, length = len(state) // 2, len(sequence)
    space = np.empty((length * layers * 8 + length, 16))
    value, out = np.empty(1), (np.empty_like(main), np.empty_like(extra))
    return baselines.call(
        "lstm", "gradient", *args, layers, length, BITS, space, value, *out, result=(value, out)
    )
