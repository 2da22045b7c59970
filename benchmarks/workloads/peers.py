"""The libraries that take part: each is loaded when it is asked for, and may be missing."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import chainrule as cr
from benchmarks.table import installed
from benchmarks.workloads.contest import COMPILED, EAGER, Absent, Work

Makers = dict[str, Callable[[], Work]]

# The folder in which compiled code is kept from process to process.
DISK_CACHE = "CHAINRULE_CACHE_DIR"
_root = tempfile.TemporaryDirectory(prefix="chainrule-benchmarks-")


def other_disk_cache(number: int) -> None:
    """What is compiled from now on is kept in an empty folder: nothing is there already."""
    os.environ[DISK_CACHE] = str(Path(_root.name, f"{number}-{os.urandom(4).hex()}"))


def bound(f: Callable[..., Any], *args: Any) -> Work:
    return lambda: f(*args)


def anew(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same function as another object."""

    def g(*args: Any) -> Any:
        return f(*args)

    return g


def left_out(why: str) -> Callable[[], Work]:
    def make() -> Work:
        raise Absent(why)

    return make


def jit() -> Callable[..., Any]:
    try:
        return cr.jit  # type: ignore[no-any-return]
    except AttributeError:
        raise Absent("missing: chainrule has no jit") from None


def ours(derivative: Callable[..., Any], *args: Any, eager: bool = True) -> Makers:
    """A derivative of a NumPy function, compiled and as it is.

    What is compiled is a function of its own each time, so that none is compiled already.
    """
    made: Makers = {COMPILED: lambda: bound(jit()(anew(derivative)), *args)}
    if eager:
        made[EAGER] = lambda: bound(derivative, *args)
    return made


def primal(f: Callable[..., Any], *args: Any) -> Callable[[], Work]:
    """The function itself, compiled if we can, for the ratio of a derivative to it."""

    def make() -> Work:
        try:
            return bound(jit()(f), *args)
        except Absent:
            return bound(f, *args)

    return make


def needs(name: str) -> None:
    if not installed(name):
        raise Absent("not installed")


def jax() -> Any:
    needs("jax")
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def torch() -> Any:
    needs("torch")
    import torch

    return torch


def torch_without_caches() -> Any:
    """PyTorch, made to forget what it has compiled, in memory and on disk."""
    library = torch()
    import torch._inductor.config as settings

    settings.force_disable_caches = True
    library._dynamo.reset()
    return library


def autograd() -> tuple[Any, Any]:
    """HIPS autograd and its NumPy."""
    needs("autograd")
    import autograd
    import autograd.numpy as anp

    return autograd, anp


def casadi() -> Any:
    needs("casadi")
    import casadi

    return casadi


def with_jax(build: Callable[..., Callable[..., Any]], *args: Any) -> Callable[[], Work]:
    """``build(jax)`` is compiled; its arguments are on the device, its results waited for."""

    def make() -> Work:
        library = jax()
        f = library.jit(build(library))
        given = library.device_put(args)

        def work() -> Any:
            result = f(*given)
            if isinstance(result, tuple):
                library.block_until_ready(result)
            else:
                result.block_until_ready()
            return result

        return work

    return make


def with_torch(
    loss: Callable[..., Any], leaves: tuple[Any, ...], *rest: Any, compiled: bool = False
) -> Callable[[], Work]:
    """The gradient of ``loss(torch, *leaves, *rest)`` by a backward pass, eager or compiled."""

    def make() -> Work:
        library = torch()
        parameters = [library.tensor(leaf, requires_grad=True) for leaf in leaves]
        constants = [library.tensor(value) for value in rest]
        f = functools.partial(loss, library)
        if compiled:
            library._dynamo.reset()
            f = library.compile(f, dynamic=False)

        def work() -> Any:
            return library.autograd.grad(f(*parameters, *constants), parameters)

        return work

    return make


def torches(loss: Callable[..., Any], leaves: tuple[Any, ...], *rest: Any) -> Makers:
    return {
        "PyTorch": with_torch(loss, leaves, *rest),
        "torch.compile": with_torch(loss, leaves, *rest, compiled=True),
    }


def with_autograd(
    loss: Callable[..., Any], leaves: tuple[Any, ...], *rest: Any
) -> Callable[[], Work]:
    """The gradient of ``loss(autograd.numpy, *leaves, *rest)``."""

    def make() -> Work:
        library, anp = autograd()
        numbers = tuple(range(len(leaves)))
        gradient = library.grad(functools.partial(loss, anp), numbers)
        return bound(gradient, *leaves, *rest)

    return make
