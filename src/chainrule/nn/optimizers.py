"""Optimisers as pairs of pure functions, as in optax; formulas and defaults are PyTorch's.

``init(parameters)`` makes the first state; ``update(gradient, state, parameters)`` gives the change
of the parameters and the next state. Both are functions of pytrees: nothing is changed in place.

    state = optimizer.init(model)
    change, state = optimizer.update(gradient, state, model)
    model = nn.apply_updates(model, change)

An optimiser is made of transformations of the gradient, one after the other (``chain``): clip it,
divide it by its running size, and finally multiply it by −rate.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import dtype_of
from chainrule.nn.schedules import Schedule, as_schedule
from chainrule.tree import flatten, map_leaves

Rate = float | Schedule


class Optimizer(NamedTuple):
    """A transformation of gradients.

    Attributes:
        init: Makes the first state of the parameters.
        update: ``update(gradient, state, parameters) -> (change, state)``.
    """

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def apply_updates(parameters: Any, change: Any) -> Any:
    """The parameters plus their change, each in its own dtype.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.apply_updates({"w": np.ones(2)}, {"w": np.array([0.5, -0.5])})
        {'w': array([1.5, 0.5])}
    """
    return map_leaves(lambda p, c: _cast(p + c, p), parameters, change)


def _cast(value: Any, like: Any) -> Any:
    """A value in the dtype of another: a rate of float64 must not widen a float32 network."""
    value = value if hasattr(value, "dtype") else np.asarray(value)
    dtype = dtype_of(like if hasattr(like, "dtype") else np.asarray(like))
    return value if dtype_of(value) == dtype else value.astype(dtype)


def _zeros(parameters: Any) -> Any:
    return map_leaves(np.zeros_like, parameters)


def _checked(name: str, value: float, least: float = 0.0, below: float = np.inf) -> None:
    if not callable(value) and not least <= value < below:
        upper = "" if below == np.inf else f" to below {below:g}"
        raise ArgumentsError(f"{name} is a number from {least:g}{upper or ' on'}, not {value!r}")


# ------------------------------------------------------------------------------------ the pieces


def chain(*transformations: Optimizer) -> Optimizer:
    """Transformations one after the other; the state is the tuple of theirs.

    Example:
        >>> from chainrule import nn
        >>> optimizer = nn.chain(nn.clip_by_global_norm(1.0), nn.adam(1e-3))
    """

    def init(parameters: Any) -> Any:
        return tuple(t.init(parameters) for t in transformations)

    def update(gradient: Any, state: Any, parameters: Any) -> Any:
        after = []
        for t, own in zip(transformations, state, strict=True):
            gradient, own = t.update(gradient, own, parameters)
            after.append(own)
        return gradient, tuple(after)

    return Optimizer(init, update)


def _stateless(transform: Callable[[Any, Any], Any]) -> Optimizer:
    """``transform(gradient, parameters)``, which remembers nothing."""
    return Optimizer(lambda _: (), lambda g, state, p: (transform(g, p), state))


def clip_by_value(limit: float) -> Optimizer:
    """Every number of the gradient is kept between ±``limit`` (``clip_grad_value_``)."""
    _checked("limit", limit)
    return _stateless(lambda g, _: map_leaves(lambda v: np.clip(v, -limit, limit), g))


def clip_by_global_norm(limit: float) -> Optimizer:
    """The whole gradient is shortened to the length ``limit`` where it is longer.

    Pascanu, Mikolov, Bengio: "On the difficulty of training recurrent neural networks", 2013. A
    gradient that is short enough stays as it is, bit for bit, as in optax (PyTorch's
    ``clip_grad_norm_`` divides by the length plus 1e-6).
    """
    _checked("limit", limit)

    def clip(gradient: Any, _: Any) -> Any:
        length = global_norm(gradient)
        factor = np.where(length > limit, limit / np.maximum(length, limit), 1.0)
        return map_leaves(lambda v: v * _cast(factor, v), gradient)

    return _stateless(clip)


def global_norm(tree: Any) -> Any:
    """√Σv² over every number of every leaf.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> float(nn.global_norm({"a": np.array([3.0]), "b": np.array([4.0])}))
        5.0
    """
    squares = [np.sum(np.square(leaf)) for leaf in flatten(tree)[0]]
    return np.sqrt(functools.reduce(lambda a, b: a + b, squares, 0.0))


def add_decayed_weights(decay: float) -> Optimizer:
    """decay·parameter is added: weights are drawn towards 0.

    Before the rest of an optimiser this is L2 regularisation, behind it "decoupled" decay (AdamW).
    """
    _checked("decay", decay)
    return _stateless(
        lambda g, p: map_leaves(lambda v, w: v + _cast(decay * w, v), g, p) if decay else g
    )


def scale_by_rate(rate: Rate) -> Optimizer:
    """Times −rate; a schedule is asked for the rate of each step.

    Raises:
        ArgumentsError: The rate is negative.
    """
    _checked("the learning rate", rate)  # type: ignore[arg-type]
    if not callable(rate):
        return _stateless(lambda g, _: map_leaves(lambda v: v * _cast(-rate, v), g))
    schedule = as_schedule(rate)

    def update(gradient: Any, step: Any, _: Any) -> Any:
        now = schedule(step)
        return map_leaves(lambda v: v * _cast(-now, v), gradient), step + 1

    return Optimizer(lambda _: np.int64(0), update)


def momentum(factor: float, nesterov: bool = False) -> Optimizer:
    """v ← factor·v + g in place of g; with ``nesterov`` g + factor·v (``torch.optim.SGD``)."""
    _checked("momentum", factor, below=1.0)

    def update(gradient: Any, velocity: Any, _: Any) -> Any:
        velocity = map_leaves(lambda g, v: factor * v + g, gradient, velocity)
        if not nesterov:
            return velocity, velocity
        return map_leaves(lambda g, v: g + factor * v, gradient, velocity), velocity

    return Optimizer(_zeros, update)


class AdamState(NamedTuple):
    """How many steps were taken, and the running means of the gradient and of its square."""

    step: Any
    mean: Any
    square: Any


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> Optimizer:
    """m̂/(√v̂ + eps). Kingma and Ba: "Adam", 2014, algorithm 1.

    m ← b1·m + (1 − b1)·g and v ← b2·v + (1 − b2)·g², divided by 1 − b1ᵗ and 1 − b2ᵗ.
    """
    _checked("b1", b1, below=1.0)
    _checked("b2", b2, below=1.0)

    def init(parameters: Any) -> AdamState:
        return AdamState(np.int64(0), _zeros(parameters), _zeros(parameters))

    def update(gradient: Any, state: AdamState, _: Any) -> Any:
        step = state.step + 1
        mean = map_leaves(lambda g, m: b1 * m + (1 - b1) * g, gradient, state.mean)
        square = map_leaves(lambda g, v: b2 * v + (1 - b2) * np.square(g), gradient, state.square)
        first, second = 1 - b1**step, np.sqrt(1 - b2**step)

        def change(m: Any, v: Any) -> Any:
            return m / _cast(first, m) / (np.sqrt(v) / _cast(second, v) + eps)

        return map_leaves(change, mean, square), AdamState(step, mean, square)

    return Optimizer(init, update)


def scale_by_rms(decay: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """g/(√v + eps) with v ← decay·v + (1 − decay)·g² (``torch.optim.RMSprop``)."""
    _checked("decay", decay, below=1.0)

    def update(gradient: Any, square: Any, _: Any) -> Any:
        square = map_leaves(lambda g, v: decay * v + (1 - decay) * np.square(g), gradient, square)
        return map_leaves(lambda g, v: g / (np.sqrt(v) + eps), gradient, square), square

    return Optimizer(_zeros, update)


# ------------------------------------------------------------------------------------- the wholes


def sgd(
    rate: Rate, momentum: float = 0.0, nesterov: bool = False, weight_decay: float = 0.0
) -> Optimizer:
    """Gradient descent, w ← w − rate·g, with momentum and Nesterov's variant of it.

    Args:
        rate: The learning rate, or a schedule.
        momentum: How much of the velocity is kept from step to step.
        nesterov: Whether the gradient is looked at one step ahead.
        weight_decay: Added to the gradient times w.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> optimizer = nn.sgd(0.1)
        >>> w = np.zeros(1)
        >>> change, state = optimizer.update(np.array([2.0]), optimizer.init(w), w)
        >>> change
        array([-0.2])
    """
    if nesterov and not momentum:
        raise ArgumentsError("sgd: nesterov needs a momentum")
    velocity = [_momentum(momentum, nesterov)] if momentum else []
    return chain(add_decayed_weights(weight_decay), *velocity, scale_by_rate(rate))


_momentum = momentum


def rmsprop(rate: Rate = 1e-2, decay: float = 0.99, eps: float = 1e-8) -> Optimizer:
    """The gradient divided by its running size (Tieleman and Hinton, 2012)."""
    return chain(scale_by_rms(decay, eps), scale_by_rate(rate))


def adam(
    rate: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:  # fmt: skip
    """Adam; ``weight_decay`` is added to the gradient (L2), as in PyTorch.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> optimizer = nn.adam(0.1)
        >>> w = np.array([1.0])
        >>> change, state = optimizer.update(np.array([2.0]), optimizer.init(w), w)
        >>> change.round(6)
        array([-0.1])
    """
    return chain(add_decayed_weights(weight_decay), scale_by_adam(b1, b2, eps), scale_by_rate(rate))


def adamw(
    rate: Rate = 1e-3, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Optimizer:  # fmt: skip
    """Adam with decoupled decay, w ← w − rate·(m̂/(√v̂ + eps) + weight_decay·w).

    Loshchilov and Hutter: "Decoupled weight decay regularization", 2017.
    """
    return chain(scale_by_adam(b1, b2, eps), add_decayed_weights(weight_decay), scale_by_rate(rate))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": adam, "adamw": adamw, "rmsprop": rmsprop, "sgd": sgd,
}  # fmt: skip
