"""The libraries that are compared, each behind the same few methods."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy
import scipy.special

Arrays = tuple[Any, ...]
Loss = Callable[..., Any]


class Numpy:
    """NumPy, with SciPy's special functions as ``special``."""

    special = scipy.special

    def __getattr__(self, name: str) -> Any:
        return getattr(numpy, name)


class Library:
    """What a comparison asks of a library. Arrays come in and go out as NumPy's.

    Attributes:
        name: As it is imported.
        title: As it is called.
        namespace: What stands where a call says ``np``.
    """

    name: str
    title: str
    namespace: Any

    def array(self, x: Any) -> Any:
        """A constant of the library."""
        return x

    def parts(self, out: Any) -> list[Any]:
        """The arrays of a result, which may be a tuple of them."""
        return list(out) if isinstance(out, tuple | list) else [out]

    #: Function → the library's own way of writing its calls: one for all, or one for each.
    own: Mapping[str, Loss | tuple[Loss, ...]] = {}

    def words(self, function: str, nth: int, call: Loss) -> Loss:
        """The ``nth`` call of a function, as it is written in the library."""
        own = self.own.get(function, call)
        return own[nth] if isinstance(own, tuple) else own

    def value(self, f: Loss, inputs: Arrays) -> list[Any]:
        """The arrays of ``f``, computed while it is differentiated."""
        raise NotImplementedError

    def flat_value(self, f: Loss, inputs: Arrays) -> list[Any]:
        """The arrays of ``f``, which has no derivative."""
        out = self.parts(f(*map(self.array, inputs)))
        return [numpy.asarray(r) for r in out]

    def gradient(self, loss: Loss) -> Callable[..., list[Any]]:
        raise NotImplementedError

    def second(self, loss: Loss, inputs: Arrays, tangents: Arrays) -> Iterator[list[Any]]:
        """The derivative of the gradient along ``tangents``, in each way that there is."""
        raise NotImplementedError

    def batched(self, f: Loss, batch: Arrays) -> list[Any]:
        """The value and the gradient of ``f`` for each of a batch, by vmap."""
        raise NotImplementedError

    def flat_batched(self, f: Loss, batch: Arrays) -> list[Any]:
        """The arrays of ``f`` for each of a batch, by vmap."""
        raise NotImplementedError


def every(inputs: Sequence[Any]) -> tuple[int, ...]:
    return tuple(range(len(inputs)))


class Chainrule(Library):
    name, title = "chainrule", "chainrule"
    namespace = Numpy()

    def __init__(self) -> None:
        import chainrule

        self.cr = chainrule
        warnings.simplefilter("ignore", chainrule.AbsentGradientWarning)

    def value(self, f: Loss, inputs: Arrays) -> list[Any]:
        return self.parts(self.cr.vjp(f, *inputs)[0])

    def flat_value(self, f: Loss, inputs: Arrays) -> list[Any]:
        seen: list[Any] = []

        def while_traced(*traced: Any) -> Any:
            seen.extend(self.parts(f(*traced)))
            return numpy.sum(traced[0])

        self.cr.grad(while_traced)(*inputs)
        return [numpy.asarray(r) for r in seen]

    def gradient(self, loss: Loss) -> Callable[..., list[Any]]:
        return lambda *inputs: list(self.cr.grad(loss, every(inputs))(*inputs))

    def second(self, loss: Loss, inputs: Arrays, tangents: Arrays) -> Iterator[list[Any]]:
        yield list(self.cr.jvp(self.cr.grad(loss, every(inputs)), inputs, tangents)[1])

    def batched(self, f: Loss, batch: Arrays) -> list[Any]:
        value, gradient = self.cr.vmap(self.cr.value_and_grad(f, every(batch)))(*batch)
        return [value, *gradient]

    def flat_batched(self, f: Loss, batch: Arrays) -> list[Any]:
        return self.parts(self.cr.vmap(f)(*batch))


class Autograd(Library):
    name, title = "autograd", "HIPS autograd"

    def __init__(self) -> None:
        import autograd
        import autograd.numpy
        import autograd.scipy.special

        self.autograd = autograd
        self.namespace = AutogradNames(autograd.numpy, autograd.scipy.special)

    def parts(self, out: Any) -> list[Any]:
        inside = getattr(out, "_value", out)
        return list(out) if isinstance(inside, tuple | list) else [out]

    def value(self, f: Loss, inputs: Arrays) -> list[Any]:
        seen: list[Any] = []
        numbers = self.namespace

        def while_traced(*traced: Any) -> Any:
            out = self.parts(f(*traced))
            seen.extend(plain(r) for r in out)
            return numbers.sum(traced[0])

        self.autograd.grad(while_traced)(*inputs)
        return seen

    def gradient(self, loss: Loss) -> Callable[..., list[Any]]:
        return lambda *inputs: list(self.autograd.grad(loss, every(inputs))(*inputs))

    def second(self, loss: Loss, inputs: Arrays, tangents: Arrays) -> Iterator[list[Any]]:
        gradient = self.autograd.grad(loss, every(inputs))

        def along(*v: Any) -> Any:
            g = gradient(*v)
            return sum(self.namespace.sum(g[i] * t) for i, t in enumerate(tangents))

        yield list(self.autograd.grad(along, every(inputs))(*inputs))


class AutogradNames:
    """``autograd.numpy`` and its special functions; a function of the same meaning has its name."""

    same: ClassVar = {"loggamma": "gammaln"}

    def __init__(self, numbers: Any, special: Any) -> None:
        self._numbers = numbers
        self.special = Renamed(special, self.same)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numbers, name)


class Renamed:
    """A module, with other names for some of its functions."""

    def __init__(self, module: Any, names: dict[str, Any]) -> None:
        self._module, self._names = module, names

    def __getattr__(self, name: str) -> Any:
        other = self._names.get(name, name)
        return getattr(self._module, other) if isinstance(other, str) else other


def plain(x: Any) -> Any:
    """What is in a box of autograd, however deep, or in an array of boxes."""
    while hasattr(x, "_value"):
        x = x._value
    x = numpy.asarray(x)
    if x.dtype == object:
        return numpy.array([plain(v) for v in x.ravel()]).reshape(x.shape)
    return x


class Jax(Library):
    name, title = "jax", "JAX"

    def __init__(self) -> None:
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_disable_most_optimizations", True)  # each program runs a few times
        self.jax = jax
        words = importlib.import_module("benchmarks.comparison.jax_words")
        self.namespace, self.own = words.NAMESPACE, words.OWN

    def array(self, x: Any) -> Any:
        return self.jax.numpy.asarray(x)

    def _run(self, work: Loss) -> Callable[..., list[Any]]:
        """``work`` on NumPy's arrays: compiled as a whole, or step by step if that is refused."""
        compiled: Loss | None = self.jax.jit(work)

        def run(*inputs: Any) -> list[Any]:
            nonlocal compiled
            arrays = tuple(map(self.array, inputs))
            if compiled is not None:
                try:
                    return [numpy.asarray(r) for r in compiled(*arrays)]
                except Exception:
                    compiled = None
            return [numpy.asarray(r) for r in work(*arrays)]

        return run

    def value(self, f: Loss, inputs: Arrays) -> list[Any]:
        return self._run(lambda *v: self.jax.vjp(lambda *a: self.parts(f(*a)), *v)[0])(*inputs)

    def flat_value(self, f: Loss, inputs: Arrays) -> list[Any]:
        return self._run(lambda *v: self.parts(f(*v)))(*inputs)

    def gradient(self, loss: Loss) -> Callable[..., list[Any]]:
        return self._run(lambda *v: self.jax.grad(loss, every(v))(*v))

    def second(self, loss: Loss, inputs: Arrays, tangents: Arrays) -> Iterator[list[Any]]:
        gradient = self.jax.grad(loss, every(inputs))
        yield self._run(lambda *v: self.jax.jvp(gradient, v, tuple(map(self.array, tangents)))[1])(
            *inputs
        )

    def batched(self, f: Loss, batch: Arrays) -> list[Any]:
        def work(*v: Any) -> list[Any]:
            value, gradient = self.jax.vmap(self.jax.value_and_grad(f, every(v)))(*v)
            return [value, *gradient]

        return self._run(work)(*batch)

    def flat_batched(self, f: Loss, batch: Arrays) -> list[Any]:
        return self._run(self.jax.vmap(lambda *a: self.parts(f(*a))))(*batch)


class Torch(Library):
    name, title = "torch", "PyTorch"

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        torch.set_default_dtype(torch.float64)
        self.torch = torch
        words = importlib.import_module("benchmarks.comparison.torch_words")
        self.namespace, self.own = words.NAMESPACE, words.OWN

    def array(self, x: Any) -> Any:
        return self.torch.as_tensor(numpy.array(x))

    def _leaves(self, inputs: Arrays) -> list[Any]:
        return [self.array(x).requires_grad_() for x in inputs]

    def _number(self, x: Any) -> Any:
        return x.detach().numpy() if isinstance(x, self.torch.Tensor) else numpy.asarray(x)

    def value(self, f: Loss, inputs: Arrays) -> list[Any]:
        return [self._number(r) for r in self.parts(f(*self._leaves(inputs)))]

    def flat_value(self, f: Loss, inputs: Arrays) -> list[Any]:
        return self.value(f, inputs)

    def gradient(self, loss: Loss) -> Callable[..., list[Any]]:
        def gradient(*inputs: Any) -> list[Any]:
            leaves = self._leaves(inputs)
            total = loss(*leaves)
            if not total.requires_grad:
                found = self.torch.func.grad(loss, every(inputs))(*leaves)
            else:
                found = self.torch.autograd.grad(total, leaves, materialize_grads=True)
            return [self._number(g) for g in found]

        return gradient

    def second(self, loss: Loss, inputs: Arrays, tangents: Arrays) -> Iterator[list[Any]]:
        leaves, t = self._leaves(inputs), [self.array(t) for t in tangents]
        first = self.torch.autograd.grad(
            loss(*leaves), leaves, create_graph=True, materialize_grads=True
        )
        along = sum((g * s).sum() for g, s in zip(first, t, strict=True))
        if not along.requires_grad:  # the gradient does not depend on the inputs
            yield [numpy.zeros(numpy.shape(x)) for x in inputs]
            return
        found = self.torch.autograd.grad(along, leaves, materialize_grads=True)
        yield [self._number(g) for g in found]

    def batched(self, f: Loss, batch: Arrays) -> list[Any]:
        work = self.torch.func.vmap(self.torch.func.grad_and_value(f, every(batch)))
        gradient, value = work(*map(self.array, batch))
        return [self._number(r) for r in (value, *gradient)]

    def flat_batched(self, f: Loss, batch: Arrays) -> list[Any]:
        out = self.torch.func.vmap(lambda *a: tuple(self.parts(f(*a))))(*map(self.array, batch))
        return [self._number(r) for r in out]


LIBRARIES: dict[str, type[Library]] = {
    kind.name: kind for kind in (Chainrule, Autograd, Jax, Torch)
}
