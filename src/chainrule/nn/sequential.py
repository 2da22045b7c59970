"""Layers one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.nn import random
from chainrule.nn.activations import relu
from chainrule.nn.initializers import Initializer, fan_in_uniform
from chainrule.nn.layer import Layer, Seed, check_size, described
from chainrule.nn.linear import Linear
from chainrule.nn.normalization import BatchNorm
from chainrule.tree import static_field


@dataclass(frozen=True, eq=False, repr=False)
class Apply(Layer):
    """A plain function as a layer without parameters.

    Attributes:
        function: A function of one array.
    """

    function: Callable[[Any], Any] = static_field()

    def __call__(self, x: Any) -> Any:
        """The function of ``x``."""
        return self.function(x)

    def __repr__(self) -> str:
        return described(self.function)


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Sequential(Layer):
    """Layers one after the other; functions such as ``nn.relu`` may stand between them.

    ``model(x)`` is the network in use. ``model(x, key=key)`` is the network in training: every
    ``Dropout`` gets a key of its own, and every ``BatchNorm`` uses its batch. A network with a
    ``BatchNorm`` has a state: whoever hands it in gets it back, ``y, state = model(x, state)``.

    Attributes:
        layers: A tuple of layers.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> rng = np.random.default_rng(0)
        >>> first, last = nn.Linear.init(4, 8, rng=rng), nn.Linear.init(8, 2, rng=rng)
        >>> model = nn.Sequential(first, nn.relu, last)
        >>> model(np.ones((3, 4), np.float32)).shape
        (3, 2)
    """

    takes_key: ClassVar[bool] = True

    layers: tuple[Any, ...]

    def __init__(self, *layers: Any) -> None:
        object.__setattr__(self, "layers", tuple(map(_as_layer, layers)))

    def initial_state(self) -> tuple[Any, ...]:
        """The first state of each layer, ``None`` where it has none."""
        return tuple(layer.initial_state() if _stateful(layer) else None for layer in self.layers)

    def __call__(self, x: Any, state: Any = None, *, key: Any = None) -> Any:
        """The network of ``x``.

        Args:
            x: What the first layer takes.
            state: What ``initial_state()`` or an earlier call gave; only needed with a
                ``BatchNorm``.
            key: A key of ``nn.random``. With one, the network is being trained.

        Returns:
            The result, or with a ``state`` the result and the new state.

        Raises:
            ArgumentsError: The network has a ``BatchNorm``, and no state was given.
        """
        if state is None and _stateful(self):
            raise ArgumentsError(
                "this network has layers that remember (BatchNorm): give it their state, "
                "y, state = model(x, state), beginning with model.initial_state()"
            )
        after = list(self.layers) if state is None else list(state)
        for i, layer in enumerate(self.layers):
            own = None if key is None else random.fold_in(key, i)
            if isinstance(layer, BatchNorm):
                x, after[i] = layer(x, after[i], training=key is not None)
            elif isinstance(layer, Sequential) and _stateful(layer):
                x, after[i] = layer(x, after[i], key=own)
            elif layer.takes_key:
                x = layer(x, key=own)
            else:
                x = layer(x)
        return x if state is None else (x, tuple(after))

    def __repr__(self) -> str:
        lines = "".join("\n  " + repr(layer).replace("\n", "\n  ") + "," for layer in self.layers)
        return f"Sequential({lines}\n)" if self.layers else "Sequential()"


def _as_layer(layer: Any) -> Any:
    if isinstance(layer, Layer):
        return layer
    if isinstance(layer, type) or not callable(layer):
        raise ArgumentsError(f"Sequential takes layers and functions of one array, not {layer!r}")
    return Apply(layer)


def _stateful(layer: Any) -> bool:
    """Whether a layer remembers something from batch to batch."""
    if isinstance(layer, Sequential):
        return any(map(_stateful, layer.layers))
    return isinstance(layer, BatchNorm)


def mlp(
    sizes: Sequence[int], *, rng: Seed, activation: Callable[[Any], Any] = relu,
    weight_init: Initializer = fan_in_uniform, dtype: Any = np.float32,
) -> Sequential:  # fmt: skip
    """Linear layers with an activation between them.

    Args:
        sizes: Numbers of features: of the input, of each hidden layer, of the output.
        rng: A seed or NumPy's generator.
        activation: Stands behind every layer but the last.
        weight_init: First values of the weights.
        dtype: Dtype of all parameters.

    Raises:
        ArgumentsError: There are fewer than two sizes, or one is no whole number from 1 on.

    Example:
        >>> from chainrule import nn
        >>> nn.mlp([64, 32, 10], rng=0)
        Sequential(
          Linear(weight=float32[32, 64], bias=float32[32]),
          relu,
          Linear(weight=float32[10, 32], bias=float32[10]),
        )
    """
    if len(sizes) < 2:
        raise ArgumentsError(f"a network has at least an input and an output size, not {sizes}")
    rng = np.random.default_rng(rng)
    layers: list[Any] = []
    for inputs, outputs in itertools.pairwise(check_size("a layer's size", s) for s in sizes):
        layers += [Linear.init(inputs, outputs, rng=rng, weight_init=weight_init, dtype=dtype)]
        layers += [activation]
    return Sequential(*layers[:-1])
