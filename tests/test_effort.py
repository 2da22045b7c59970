"""What is compiled with how much effort, and in how many parts."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.run.llvm.objects import object_code
from chainrule.run.llvm.target import host

random = np.random.default_rng(0)


def softmax(x: Any) -> Any:
    e = np.exp(x - np.max(x, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def layers(x: Any, w: Any) -> Any:
    for _ in range(4):
        x = softmax(np.tanh(x @ w) + np.cumsum(x, axis=1))
    return np.sum(x**2)


def parts(f: Any, *args: Any) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = cr.jit(f).lower(*args)._executable.library.parts
    return found


def test_loops_that_take_hardly_any_time_are_compiled_with_little_effort() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.sum(np.exp(x)), np.sqrt(y)

    x, y = random.uniform(size=200_000), random.uniform(size=50)
    little = [text for text, effort in parts(f, x, y) if effort == 0]
    much = [text for text, effort in parts(f, x, y) if effort == 2]
    (rare,), hot = little, "\n".join(much)
    assert "define void @u.g" in rare
    assert "cr.exp" in hot
    assert "cr.exp" not in rare
    # Beside nothing that takes longer the same loop is worth it.
    assert max(effort for _, effort in parts(np.sqrt, y)) == 2
    np.testing.assert_array_equal(cr.jit(f)(x, y)[1], np.sqrt(y))


def test_a_program_gives_the_same_bits_in_however_many_parts_it_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, w = random.normal(size=(20, 12)), random.normal(size=(12, 12))
    found = []
    for threads in (1, 2, 5):
        own = dataclasses.replace(host(), threads=threads)
        monkeypatch.setattr("chainrule.run.llvm.executable.host", lambda own=own: own)
        hot = [text for text, effort in parts(cr.grad(layers), x, w) if effort]
        assert len(hot) == threads
        found.append(cr.jit(cr.grad(layers))(x, w))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    np.testing.assert_allclose(found[0], cr.grad(layers)(x, w), rtol=1e-10)


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_what_llvm_refuses_is_an_error_whichever_thread_finds_it(bad: int) -> None:
    texts = [f"define void @f{k}() {{\n  ret void\n}}\n" for k in range(3)]
    assert len(set(object_code([(text, 2) for text in texts]))) == 3
    texts[bad] = "define void @f() {\n  ret i8 %unknown\n}\n"
    with pytest.raises(RuntimeError, match="parsing"):
        object_code([(text, 2) for text in texts])


def unrolled(x: Any, w: Any, steps: int) -> Any:
    for _ in range(steps):
        x = np.tanh(x @ w)
        x = x / np.sum(x**2)
    return np.sum(x)


def test_steps_of_an_unrolled_loop_of_array_operations_share_their_code() -> None:
    x, w = random.normal(size=(6, 5)), random.normal(size=(5, 5))

    def lines(steps: int) -> int:
        found = parts(lambda x, w: unrolled(x, w, steps), x, w)
        bodies = "\n".join(text for text, _ in found).split("\ndefine ")
        return sum(body.count("\n") for body in bodies if "run0(" not in body.split("\n")[0])

    assert lines(40) < 1.5 * lines(20) < 3 * lines(4)
    f = cr.jit(lambda x, w: unrolled(x, w, 40))
    np.testing.assert_allclose(f(x, w), unrolled(x, w, 40), rtol=1e-10)


def test_what_is_inlined_into_a_loop_is_not_compiled_by_itself_too() -> None:
    found = parts(lambda x, w: unrolled(np.cumsum(x @ w, axis=0), w, 4), *np.ones((2, 30, 30)))
    heads = [
        line for text, _ in found for line in text.split("\n")
        if line.startswith("define ") and "alwaysinline" in line
    ]  # fmt: skip
    assert any(".0.run0(" in head for head in heads)
    assert all(head.startswith("define internal ") for head in heads)
