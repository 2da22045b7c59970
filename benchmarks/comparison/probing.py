"""One call in one library: does it compute, differentiate, differentiate twice, batch, and rightly.

Run as a program, it does so for the calls whose names are given, and prints a line of JSON for
each: a call that crashes or hangs takes only its own process with it.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy
from oracles import along_direction

from benchmarks.comparison.calls import CALLS_ASKED, FLAT, Asked, Call, family
from benchmarks.comparison.libraries import LIBRARIES, Library, Numpy

# Any other answer says what was wrong with the number.
GOOD, NOTHING, NOT_ASKED = "good", "nothing", "not asked"
WHAT = ("value", "gradient", "second order", "vmap")
VALUE, FIRST, SECOND, SAME = 1e-9, 1e-6, 1e-5, 1e-9  # how near the numbers have to be
UNSURE = 1e-4


def probe(library: Library, asked: Asked) -> list[str]:
    """Answers for a call: value, gradient, second order, vmap; or value and vmap, if it is flat."""
    call = asked.call
    words = library.words(call.function, asked.nth, call.call)
    written = functools.partial(words, library.namespace)
    if family(call) == FLAT:
        return flat_answers(library, call, written)
    loss, plain = loss_of(library, written), plain_loss(call)
    tangents = tuple(direction(x) for x in call.inputs)
    gradient = library.gradient(loss)

    def value() -> str:
        return differs(library.value(written, call.inputs), values(call), VALUE)

    def first() -> str:
        found = gradient(*call.inputs)
        expected, error = along_direction(plain, call.inputs, tangents)
        along = sum(float(numpy.sum(g * t)) for g, t in zip(found, tangents, strict=True))
        if any(numpy.shape(g) != numpy.shape(x) for g, x in zip(found, call.inputs, strict=True)):
            return "a gradient of another shape"
        scale = max(1.0, *(float(numpy.max(numpy.abs(g), initial=0)) for g in found))
        return differs([along], [expected], FIRST * scale + sure(error, scale))

    def second() -> str:
        def everything(*inputs: Any) -> Any:
            return numpy.concatenate([numpy.ravel(g) for g in gradient(*inputs)])

        expected, error = along_direction(everything, call.inputs, tangents)
        scale = max(1.0, float(numpy.max(numpy.abs(expected))))
        allowed = SECOND * scale + sure(error, scale)
        return first_good(
            lambda found=found: differs([flat(found)], [expected], allowed)
            for found in library.second(loss, call.inputs, tangents)
        )

    def batched() -> str:
        batch, one_by_one = batch_of(call)
        loop = [[plain(*s), *gradient(*s)] for s in one_by_one]
        expected = [numpy.stack(each) for each in zip(*loop, strict=True)]
        return differs(library.batched(loss, batch), expected, SAME)

    answers = [answer(value), answer(first)]
    if answers[1] != GOOD:
        return [*answers, NOTHING, NOTHING if call.vmap else NOT_ASKED]
    return [*answers, answer(second), answer(batched) if call.vmap else NOT_ASKED]


def sure(error: Any, scale: float) -> float:
    """How far differences may be off, which has to be little."""
    allowed = 3 * float(numpy.max(error))
    if not allowed <= UNSURE * scale:
        raise ArithmeticError("the differences are not sure")
    return allowed


def flat_answers(library: Library, call: Call, written: Callable[..., Any]) -> list[str]:
    def value() -> str:
        return differs(library.flat_value(written, call.inputs), values(call), VALUE)

    def batched() -> str:
        batch, one_by_one = batch_of(call)
        loop = zip(*(parts(call.call(Numpy(), *s)) for s in one_by_one), strict=True)
        return differs(library.flat_batched(written, batch), list(map(numpy.stack, loop)), SAME)

    first = answer(value)
    return [first, answer(batched) if call.vmap else NOT_ASKED]


def answer(question: Callable[[], str]) -> str:
    """``GOOD``, what was wrong with the number, or ``NOTHING`` with the error if there was none."""
    try:
        return question()
    except Exception as error:
        return f"{NOTHING}: {type(error).__name__}: {error}".splitlines()[0][:200]


def first_good(questions: Any) -> str:
    """The answer of the first way that works, or that of the first way of all."""
    found: list[str] = []
    ways = iter(questions)
    while True:
        try:
            found.append(next(ways)())
        except StopIteration:
            return found[0] if found else NOTHING
        except Exception:
            if not found:
                raise
            return found[0]
        if found[-1] == GOOD:
            return GOOD


def differs(found: list[Any], expected: list[Any], allowed: float) -> str:
    """``GOOD``, or in words how the numbers differ: more than ``allowed``, relative above 1."""
    if len(found) != len(expected):
        return f"{len(found)} results and not {len(expected)}"
    for one, other in zip(map(numpy.asarray, found), map(numpy.asarray, expected), strict=True):
        if one.shape != other.shape:
            return f"shape {one.shape} and not {other.shape}"
        if not numpy.issubdtype(one.dtype, numpy.number) and one.dtype != bool:
            return f"{NOTHING}: an array of {one.dtype}"
        one, other = one.astype(complex), other.astype(complex)
        near = numpy.abs(one - other) <= allowed * numpy.maximum(1, numpy.abs(other))
        same = near | (one == other) | (numpy.isnan(one) & numpy.isnan(other))
        if not numpy.all(same):
            at = int(numpy.argmin(numpy.ravel(same)))
            return f"{numpy.ravel(one)[at].real:.4g} and not {numpy.ravel(other)[at].real:.4g}"
    return GOOD


def parts(out: Any) -> list[Any]:
    return list(out) if isinstance(out, tuple | list) else [out]


def values(call: Call) -> list[Any]:
    """NumPy's own results."""
    return [numpy.asarray(r) for r in parts(call.call(Numpy(), *call.inputs))]


def flat(arrays: list[Any]) -> Any:
    return numpy.concatenate([numpy.ravel(a) for a in arrays])


def direction(x: Any) -> Any:
    """A direction in which no element is forgotten."""
    rng = numpy.random.default_rng(3 + numpy.size(x))
    size = rng.uniform(0.2, 1.0, numpy.shape(x))
    return (size * rng.choice([-1, 1], numpy.shape(x)))[()]


def loss_of(library: Library, written: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar of everything that a call returns, with curvature of its own."""

    def loss(*inputs: Any) -> Any:
        total = 0.0
        for out in library.parts(written(*inputs)):
            weights = library.array(direction(numpy.zeros(tuple(out.shape))))
            total = total + library.namespace.sum(weights * out + weights * out * out / 2)
        return total

    return loss


def plain_loss(call: Call) -> Callable[..., Any]:
    def loss(*inputs: Any) -> Any:
        total = 0.0
        for out in parts(call.call(Numpy(), *inputs)):
            weights = direction(numpy.zeros(numpy.shape(out)))
            total = total + numpy.sum(weights * out + weights * out * out / 2)
        return total

    return loss


def batch_of(call: Call) -> tuple[tuple[Any, ...], list[tuple[Any, ...]]]:
    """Two inputs near those of the call along a new axis, and each of them."""
    each = [tuple(numpy.asarray(x) * (1 + 0.01 * k) for x in call.inputs) for k in range(2)]
    return tuple(numpy.stack(xs) for xs in zip(*each, strict=True)), each


def main(name: str, keys: list[str]) -> None:
    warnings.simplefilter("ignore")
    numpy.seterr(all="ignore")
    library = LIBRARIES[name]()
    for key in keys:
        one = CALLS_ASKED[key]
        with contextlib.redirect_stdout(io.StringIO()):
            answers = probe(library, one)
        print(json.dumps([key, answers]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
