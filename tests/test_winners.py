"""Winners of an axis get a number and everybody else zero; however that is added up, it is right.

The compiler leaves out the turns of its loops that add nothing, and goes through the lanes of a
vector one by one where only some of them add something. Random programs of this kind, compiled,
have to give what they give interpreted. More of them: ``python tests/test_winners.py COUNT
[START]``.
"""

import numpy as np
import pytest
from fuzzing import all_right, leave_nan_behind, main

import chainrule as cr

pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.filterwarnings("error::chainrule.transforms.jit.JitWarning"),  # not compiled at all
]

COUNT = 150
ROWS = (3, 9, 17, 33, 64, 83, 130, 301, 1003)
COLUMNS = (2, 3, 5, 8, 11, 16, 24, 40, 100)
DEPTHS = (1, 2, 3, 6, 8, 9, 16)

# What is compared, of points y and centres c, or given as x.
SCORES = {
    "given": lambda x, y, c: x,
    "distance": lambda x, y, c: (
        np.sum(y**2, axis=1)[:, None] + np.sum(c**2, axis=1) - 2 * (y @ c.T)
    ),
    "product": lambda x, y, c: y @ c.T,
}
# What a winner gets.
PRIZES = {
    "one": lambda x, y, c: 1.0,
    "of its row": lambda x, y, c: np.sum(y, axis=1)[:, None],
    "of its column": lambda x, y, c: np.sum(c, axis=1),
    "its own": lambda x, y, c: x,
    "a function": lambda x, y, c: np.exp(x * 0.1),
}
# How the prizes w are added up; a is a row of numbers.
SUMS = {
    "down": lambda w, y, c, a: np.sum(w, axis=0),
    "along": lambda w, y, c, a: np.sum(w, axis=1),
    "all": lambda w, y, c, a: np.sum(w),
    "with points": lambda w, y, c, a: w.T @ y,
    "with centres": lambda w, y, c, a: w @ c,
    "begun in a turn": lambda w, y, c, a: np.sum(w[:, :, None] * a, axis=2),
    "with a row": lambda w, y, c, a: np.sum(w[:, :, None] * a, axis=0),
    "twice": lambda w, y, c, a: np.sum(w[:, :, None] * y[:, None, :], axis=(0, 2)),
    "with both": lambda w, y, c, a: np.einsum("nk,nd,kd->d", w, y, c),
}


class Random:
    """A program and its arguments."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)

        def one_of(choices):
            return list(choices)[rng.integers(len(choices))]

        n, k, d = one_of(ROWS), one_of(COLUMNS), one_of(DEPTHS)
        n = n if n * k * d <= 400_000 else 64
        self.score, self.prize = one_of(SCORES), one_of(PRIZES)
        self.best, self.axis = one_of((np.min, np.max)), one_of((0, 1, 1, 1))
        self.with_nan, self.masked = rng.random(2) < (0.5, 0.3)
        self.special = one_of((None, None, None, np.nan, np.inf, -np.inf))
        sums = [s for s in SUMS if s != "with both" or self.special is None]  # NumPy's own order
        self.sums = [one_of(sums) for _ in range(rng.integers(1, 4))]
        self.gradient = one_of(("", "", "of the sums", "of the scores"))
        x, y, c = (rng.normal(size=s) for s in ((n, k), (n, d), (k, d)))
        if rng.random() < 0.5:  # ties
            x, y, c = np.round(x), np.round(y), np.round(c)
        if self.special is not None:
            chosen = one_of((x, y, c))
            chosen[tuple(int(rng.integers(m)) for m in chosen.shape)] = self.special
        dtype = one_of((np.float64, np.float64, np.float64, np.float32))
        self.arguments = [*(v.astype(dtype) for v in (x, y, c, rng.normal(size=d)))]
        self.keep = rng.random(n) < 0.7

    def __repr__(self):
        shapes = [v.shape for v in self.arguments]
        return f"{vars(self) | {'arguments': shapes, 'keep': self.masked}}"

    def all_sums(self, x, y, c, a):
        scores = SCORES[self.score](x, y, c)
        won = scores == self.best(scores, axis=self.axis, keepdims=True)
        if self.with_nan:
            won = won | np.isnan(scores)
        if self.masked:
            won = won & self.keep[:, None]
        w = np.where(won, PRIZES[self.prize](x, y, c), 0.0)
        return [SUMS[s](w, y, c, a) for s in self.sums]

    def loss(self, *arguments):
        if self.gradient == "of the scores":
            x, y, c, _ = arguments
            return np.sum(self.best(SCORES[self.score](x, y, c), axis=self.axis) ** 2)
        return sum(np.sum(s * s) for s in self.all_sums(*arguments))

    @property
    def function(self):
        return cr.grad(self.loss, argnums=(0, 1, 2)) if self.gradient else self.all_sums


def wrong(program):
    """What is wrong with the compiled program."""
    with np.errstate(all="ignore"):
        expected = program.function(*program.arguments)
        compiled = cr.jit(program.function)
        for _ in range(2):
            leave_nan_behind(*map(np.shape, expected))
            for found, wanted in zip(compiled(*program.arguments), expected, strict=True):
                size = np.max(np.abs(wanted), initial=1.0, where=np.isfinite(wanted))
                tolerance = 1e-3 if np.asarray(wanted).dtype == np.float32 else 1e-9
                if not np.allclose(
                    found, wanted, rtol=tolerance, atol=tolerance * size, equal_nan=True
                ):
                    return f"{found}\ninstead of\n{wanted}"
    return ""


@pytest.mark.parametrize("start", range(0, COUNT, 10))
def test_what_winners_get_is_added_up_compiled_as_it_is_interpreted(start):
    all_right(Random, wrong, range(start, start + 10))


if __name__ == "__main__":
    main(Random, wrong)
