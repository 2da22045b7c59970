"""The derivative of a formula of one number, called from Python: what one call costs.

The two formulas are sin(ln(x²+1)) and one of ten operations. The reference is mpmath's derivative
to fifty digits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work

X = 1.3


def sin_log(x: Any, np: Any = np) -> Any:
    return np.sin(np.log(x**2 + 1.0))


def ten(x: Any, np: Any = np) -> Any:
    t = x * x
    return np.tanh(np.exp(-t) * np.sin(3.0 * x)) / np.sqrt(t + 2.0)


def sin_log_by_hand(x: float) -> float:
    t = x * x + 1.0
    return math.cos(math.log(t)) / t * (2.0 * x)


def ten_by_hand(x: float) -> float:
    t = x * x
    e, s, c = math.exp(-t), math.sin(3.0 * x), math.cos(3.0 * x)
    h, d = math.tanh(e * s), 1.0 / math.sqrt(t + 2.0)
    return d * ((1.0 - h * h) * e * (3.0 * c - 2.0 * x * s) - h * x * d * d)


def cases(small: bool = False) -> Iterator[Case]:
    del small
    yield case("sin(ln(x²+1))", sin_log, sin_log_by_hand, "sin_log")
    yield case("ten operations", ten, ten_by_hand, "ten")


def case(size: str, f: Callable[..., Any], by_hand: Callable[[float], float], in_c: str) -> Case:
    def reference() -> float:
        import mpmath

        with mpmath.workdps(50):
            return float(mpmath.diff(lambda x: f(x, mpmath.mp), mpmath.mpf(X)))

    out = np.empty(1)
    return Case(
        size,
        reference,
        {
            **peers.ours(cr.grad(f), X),
            "JAX": peers.with_jax(lambda jax: jax.grad(lambda x: f(x, jax.numpy)), X),
            "JAX, Python floats": lambda: jax_floats(f),
            **peers.torches(lambda torch, x: f(x, torch), (np.float64(X),)),
            "autograd": peers.with_autograd(lambda anp, x: f(x, anp), (X,)),
            "CasADi": lambda: casadi(f),
            "CasADi, buffers": lambda: casadi_buffers(f),
            "math by hand": lambda: peers.bound(by_hand, X),
            "C by hand": lambda: baselines.call("scalar", in_c, X, out, result=out),
        },
        primal=peers.primal(f, X),
    )


def jax_floats(f: Callable[..., Any]) -> Work:
    jax = peers.jax()
    gradient = jax.jit(jax.grad(lambda x: f(x, jax.numpy)))
    return lambda: float(gradient(X))


def casadi_function(f: Callable[..., Any]) -> Any:
    casadi = peers.casadi()
    x = casadi.SX.sym("x")
    return casadi.Function("gradient", [x], [casadi.gradient(f(x, casadi), x)])


def casadi(f: Callable[..., Any]) -> Work:
    gradient = casadi_function(f)
    return lambda: float(gradient(X))


def casadi_buffers(f: Callable[..., Any]) -> Work:
    """CasADi's way without boxes: memory that is set once, and a bare call."""
    gradient = casadi_function(f)
    buffer, evaluate = gradient.buffer()
    given, out = np.array([X]), np.zeros(1)
    buffer.set_arg(0, memoryview(given))
    buffer.set_res(0, memoryview(out))

    def work() -> Any:
        evaluate()
        return out

    work.kept = gradient, buffer, given  # type: ignore[attr-defined]
    return work
