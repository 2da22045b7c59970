"""Whatever text is given, the parser answers with a formula or with a FormulaError, and quickly.

``CHAINRULE_FUZZ`` sets how many texts are tried (20,000 unless told).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator

import pytest

from chainrule.errors import FormulaError
from chainrule.sources.formula.parse import parse
from chainrule.sources.formula.syntax import Call, Formula, postorder

COUNT = int(os.environ.get("CHAINRULE_FUZZ", "20000"))
LONGEST_SECONDS = 1.0
DEEPEST_CALL_NESTING = 450

SEEDS = [
    "h(x) = (x² + 1)³",
    "z = x*y; x = s^2; y = s^3",
    "f(u) = u^3; g(x) = x^2+1; h(x) = f(g(x))",
    r"\frac{1}{1+e^{-x}} \cdot \sqrt[3]{x} - \left|x\right|",
    r"$\sin^{-1} x \log_{2}(x) \operatorname{relu}(x_{1})$",
    "sin 2x cos x tan^2 y ln|x| √2x ∛(x+1)",
    "where(x <= 0, -x, max(a, b, c)) + clip(x, 0, 1)",
    "σ(W₁₁x₁ + b) × 1.5e-3 ÷ xⁿ⁺¹",
    "a(x+1)(x-1)/2πr^-x^y_max",
    "||x|-|y|| + ⌊x⌋ + {[x]}",
]
ALPHABET = "xyzefgπσ²⁻ⁿ₁0123456789.+-*/^=(){}[]|<>!,;_ \\\n√'$#@\x00\ud800\u0302½·×−" + "sincoslog"


def _random_bytes(source: random.Random) -> str:
    data = source.randbytes(source.randrange(60))
    return data.decode("latin-1") if source.random() < 0.5 else data.decode("utf-8", "replace")


def _mutated(source: random.Random) -> str:
    text = source.choice(SEEDS)
    for _ in range(source.randrange(1, 6)):
        start = source.randrange(len(text) + 1)
        end = min(len(text), start + source.randrange(4))
        other = source.choice(SEEDS)
        cut = source.randrange(len(other))
        pieces = ["", source.choice(ALPHABET), other[cut : cut + source.randrange(8)]]
        text = text[:start] + source.choice(pieces) + text[end:]
    return text


def _soup(source: random.Random) -> str:
    return "".join(source.choices(ALPHABET, k=source.randrange(40)))


def _texts(count: int) -> Iterator[str]:
    source = random.Random(20240607)
    makers = [_random_bytes, _mutated, _mutated, _soup]
    for index in range(count):
        yield makers[index % len(makers)](source)


def _check_error(error: FormulaError, text: str) -> None:
    assert error.message
    assert str(error)
    assert error.position is None or 0 <= error.position <= len(text)


def _outcome(text: str) -> str:
    try:
        formula = parse(text, ("x", "rate"))
    except FormulaError as error:
        _check_error(error, text)
        return "refused"
    assert isinstance(formula, Formula)
    for definition in formula.definitions:
        for node in postorder(definition.body):
            assert 0 <= node.start <= node.end <= len(text)
    return "read"


def test_any_text_gives_a_formula_or_a_formula_error():
    counts = {"read": 0, "refused": 0}
    slowest, slowest_text = 0.0, ""
    began = time.perf_counter()
    for text in _texts(COUNT):
        start = time.perf_counter()
        counts[_outcome(text)] += 1
        taken = time.perf_counter() - start
        if taken > slowest:
            slowest, slowest_text = taken, text
    mean = (time.perf_counter() - began) / max(1, COUNT)
    print(f"\n{counts}, mean {mean * 1e6:.0f} µs, slowest {slowest:.4f} s: {slowest_text!r}")
    assert slowest < LONGEST_SECONDS
    assert min(counts.values()) > COUNT // 50


HOSTILE = {
    "open parentheses": "(" * 100_000,
    "nested parentheses": "(" * 9_000 + "x" + ")" * 9_000,
    "signs": "-" * 4_900 + "x",
    "functions": "sin " * 4_000 + "x",
    "powers": "x^" * 2_400 + "x",
    "raised twice": "x" + "² " * 4_000,
    "fractions": r"\frac{1}{" * 1_000 + "x" + "}" * 1_000,
    "roots": "√" * 4_900 + "x",
    "bars": "|" * 4_900,
    "functions in exponents": "x^sin y z^" * 600 + "w",
    "a word": "a" * 19_999,
    "digits": "9" * 19_999,
    "small number": "1e-" + "9" * 5_000,
    "function letters": "sin" * 21 + "q",
    "function words": "sinsinsinx " * 1_800,
    "spaces": " " * 19_999,
    "a long sum": "x+" * 2_400 + "x",
    "a long product": "x " * 2_400 + "x",
    "quotients": "a/b c" * 900,
    "calls": "a(x+1)" * 700,
    "notes in notes": "a(b c/d " * 190 + "x" + ")" * 190,
    "many definitions": ";".join(f"f{i}(u)=qsinu" for i in range(600)),
    "unknown functions": "tahn(x)" * 600,
    "marks": "x" + "\u0302" * 19_000,
    "zero width": "\u200b" * 19_000,
    "a megabyte": "é(" * 500_000,
    "surrogates": "\ud800" * 1_000,
    "nothing but NUL": "\0" * 10_000,
    "maximum of many": "max(" + ",".join(["x"] * 2_400) + ")",
}


def _depth_without_flat_chains(text: str) -> int:
    """The nesting of the tree, where sums and products that lean to the left count once."""
    deepest = 0
    depth: dict[int, int] = {}
    for definition in parse(text).definitions:
        for node in postorder(definition.body):
            below = [depth[id(arg)] for arg in node.args] if isinstance(node, Call) else []
            flat = isinstance(node, Call) and node.function in {
                "add", "subtract", "multiply", "divide", "maximum"
            }  # fmt: skip
            same = below[:1] if flat else []
            rest = [d + 1 for d in (below[1:] if flat else below)]
            depth[id(node)] = max([1, *same, *rest])
            deepest = max(deepest, depth[id(node)])
    return deepest


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts_are_answered_quickly_and_trees_stay_shallow(name: str):
    text = HOSTILE[name]
    start = time.perf_counter()
    outcome = _outcome(text)
    assert time.perf_counter() - start < LONGEST_SECONDS
    if outcome == "read":
        assert _depth_without_flat_chains(text) <= DEEPEST_CALL_NESTING
