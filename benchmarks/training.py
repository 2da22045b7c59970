"""Training on the digits: how right, and how long beside the same network in PyTorch, eagerly.

Both begin with the same weights and take the same batches in the same order with the same
optimiser: what ``chainrule train --data digits --layers 64,32,10 --activation relu --epochs 30``
does. The defaults of that command (the scaling, the rate, the decay) were chosen on validation rows
taken from the training rows of other divisions of the data.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from benchmarks.table import Row, alternating, installed
from chainrule import nn
from chainrule.cli.train import RATES, TEST_SHARE, WEIGHT_DECAY, Optimizer
from chainrule.nn.tables import Scaling, digits, split

SIZES, EPOCHS, BATCH, SEEDS = (64, 64, 32, 10), 30, 32, range(10)
RATE = RATES[Optimizer.adamw]


class Problem:
    """The data and the first weights that belong to a seed, as the command makes them."""

    def __init__(self, seed: int) -> None:
        table, rng = digits(), np.random.default_rng(seed)
        rows, held = split(table, TEST_SHARE, rng)
        x = Scaling.of(table.x[rows], table.one_unit)(table.x)
        self.seed = seed
        self.train = x[rows], table.y[rows]
        self.test = x[held], table.y[held]
        self.model = nn.mlp(SIZES, rng=rng, weight_init=nn.he_uniform)

    def ours(self) -> nn.Trained:
        return nn.fit(
            self.model, loss, self.train, optimizer=nn.adamw(RATE, weight_decay=WEIGHT_DECAY),
            epochs=EPOCHS, batch_size=BATCH, seed=self.seed, progress=False,
        )  # fmt: skip

    def torch(self) -> Any:
        """The same in PyTorch: the trained module and the loss of each epoch."""
        import torch

        layers: list[Any] = []
        for ours in self.model.layers[::2]:
            outputs, inputs = ours.weight.shape
            linear = torch.nn.Linear(inputs, outputs)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(ours.weight))
                linear.bias.copy_(torch.from_numpy(ours.bias))
            layers += [linear, torch.nn.ReLU()]
        module = torch.nn.Sequential(*layers[:-1])
        optimizer = torch.optim.AdamW(module.parameters(), RATE, weight_decay=WEIGHT_DECAY)
        x, y = map(torch.from_numpy, self.train)
        rng, losses = np.random.Generator(np.random.PCG64(self.seed)), []
        for _ in range(EPOCHS):
            order, total = rng.permutation(len(y)), 0.0
            for start in range(0, len(order), BATCH):
                chosen = torch.from_numpy(order[start : start + BATCH])
                optimizer.zero_grad()
                value = torch.nn.functional.cross_entropy(module(x[chosen]), y[chosen])
                value.backward()
                optimizer.step()
                total += value.item() * len(chosen)
            losses.append(total / len(order))
        return module, losses

    def accuracy(self, logits: Any) -> float:
        return float(nn.accuracy(logits, self.test[1]))


def loss(model: Any, x: Any, y: Any) -> Any:
    return nn.cross_entropy(model(x), y)


def rows() -> list[Row]:
    beside_torch = installed("torch")
    first = Problem(0)
    begin = time.perf_counter()
    trained = first.ours()
    with_compiling = time.perf_counter() - begin
    right, theirs = [], []
    for problem in map(Problem, SEEDS):
        trained = problem.ours()
        right.append(problem.accuracy(trained.model(problem.test[0])))
        if beside_torch:
            import torch

            torch.set_num_threads(1)  # faster than two on matrices of this size
            module, losses = problem.torch()
            with torch.no_grad():
                logits = module(torch.from_numpy(problem.test[0])).numpy()
            theirs.append(problem.accuracy(logits))
            np.testing.assert_allclose(trained.history["loss"][0], losses[0], rtol=1e-3)
    works = [first.ours, first.torch] if beside_torch else [first.ours]
    times = alternating(works, 7)
    beside = f"PyTorch eager {times[1]:.2f} s" if beside_torch else ""
    ratio = f"{times[0] / times[1]:.2f}" if beside_torch else ""
    return [
        Row(
            "digits: median test accuracy over seeds 0 to 9 (least, most)", _spread(right),
            f"PyTorch eager {_spread(theirs)}" if theirs else "", "", "≥ 97 %",
        ),
        Row("30 epochs, 1350 steps of 32, 64-64-32-10, AdamW", f"{times[0]:.2f} s", beside, ratio),
        Row("the same, first in a process: recorded and compiled", f"{with_compiling:.2f} s"),
    ]  # fmt: skip


def _spread(shares: list[float]) -> str:
    low, high = 100 * min(shares), 100 * max(shares)
    return f"{100 * statistics.median(shares):.2f} % ({low:.2f}, {high:.2f})"
