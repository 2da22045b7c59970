"""Convolutions and pooling over images ``(batch, channels, height, width)``, as in PyTorch.

Each output is a function of one window of the image. What the windows see at each of their places
is one slice of the image; with the slices side by side, what is done to all windows is one product
of matrices, one maximum or one mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ArgumentsError
from chainrule.graph.tape import shape_of
from chainrule.nn.initializers import Initializer, bias_like, fan_in_uniform
from chainrule.nn.layer import Layer, Seed, check_features, check_size
from chainrule.tree import static_field

Pair = tuple[int, int]


def _pair(what: str, value: Any, least: int = 1) -> Pair:
    """One whole number for both directions, or two."""
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2 or not all(isinstance(v, int | np.integer) and v >= least for v in both):
        raise ArgumentsError(
            f"{what} is a whole number from {least} on, or a pair of them, not {value!r}"
        )
    return int(both[0]), int(both[1])


def windows(x: Any, size: Pair, stride: Pair, dilation: Pair = (1, 1)) -> list[Any]:
    """What all windows of images ``(..., H, W)`` see, for each place in a window by itself.

    Each slice has shape ``(..., rows, columns)``: one number for each window.

    Raises:
        ArgumentsError: The window is larger than the image.
    """
    reach = [d * (s - 1) + 1 for s, d in zip(size, dilation, strict=True)]
    shape = shape_of(x)
    if len(shape) < 3 or shape[-2] < reach[0] or shape[-1] < reach[1]:
        raise ArgumentsError(
            f"a window of {reach[0]}×{reach[1]} does not fit into an array of shape {shape}: "
            "images are (batch, channels, height, width)"
        )
    # How far the first number of a window goes: down and to the right.
    down, right = (n - r + 1 for n, r in zip(shape[-2:], reach, strict=True))
    return [
        x[..., i : i + down : stride[0], j : j + right : stride[1]]
        for i in range(0, reach[0], dilation[0])
        for j in range(0, reach[1], dilation[1])
    ]


@dataclass(frozen=True, eq=False, repr=False)
class Conv2d(Layer):
    """A convolution of images (a cross-correlation, to be exact), as ``torch.nn.Conv2d``.

    Attributes:
        weight: Shape ``(outputs, inputs/groups, height, width)``.
        bias: Shape ``(outputs,)``, or ``None``.
        stride: How far the window moves, downwards and to the right.
        padding: How many zeros are put around the image, above and below, left and right.
        dilation: How far neighbours in the window are from each other.
        groups: In how many groups the channels are convolved, each by itself.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> conv = nn.Conv2d.init(3, 8, 3, rng=0, padding=1)
        >>> conv(np.ones((2, 3, 5, 5), np.float32)).shape
        (2, 8, 5, 5)
    """

    weight: Any
    bias: Any = None
    stride: Pair = static_field(default=(1, 1))
    padding: Pair = static_field(default=(0, 0))
    dilation: Pair = static_field(default=(1, 1))
    groups: int = static_field(default=1)

    @classmethod
    def init(
        cls, inputs: int, outputs: int, size: int | Pair, *, rng: Seed, stride: int | Pair = 1,
        padding: int | Pair = 0, dilation: int | Pair = 1, groups: int = 1, bias: bool = True,
        weight_init: Initializer = fan_in_uniform, dtype: Any = np.float32,
    ) -> Conv2d:  # fmt: skip
        """A layer with random weights.

        Args:
            inputs: Number of channels of the images.
            outputs: Number of channels of the result.
            size: Height and width of the window: one number, or two.
            rng: A seed or NumPy's generator.
            stride, padding, dilation: One number, or two.
            groups: A divisor of both numbers of channels.
            bias: Whether a number is added to each channel of the result.
            weight_init: First values of the weight. By default they are uniform between
                ±1/√(fan in), and so is the bias, as in PyTorch.
            dtype: Dtype of weight and bias.

        Raises:
            ArgumentsError: A size is not possible.
        """
        rng = np.random.default_rng(rng)
        check_size("inputs", inputs), check_size("outputs", outputs), check_size("groups", groups)
        if inputs % groups or outputs % groups:
            raise ArgumentsError(
                f"{inputs} channels in and {outputs} out cannot be divided into {groups} groups"
            )
        shape = (outputs, inputs // groups, *_pair("size", size))
        weight = weight_init(shape, rng, dtype)
        return cls(
            weight, bias_like(shape, rng, dtype) if bias else None, _pair("stride", stride),
            _pair("padding", padding, 0), _pair("dilation", dilation), groups,
        )  # fmt: skip

    def __call__(self, x: Any) -> Any:
        """Of images ``(..., inputs, H, W)`` an array ``(..., outputs, rows, columns)``."""
        outputs, inputs, *size = self.weight.shape
        check_features(self, x, -3, inputs * self.groups)
        *before, channels, height, width = shape_of(x)
        x = np.moveaxis(np.reshape(x, (-1, channels, height, width)), 0, 1)
        (above, left), groups = self.padding, self.groups
        if above or left:
            x = np.pad(x, [(0, 0), (0, 0), (above, above), (left, left)])
        # One large product: (groups, outputs, numbers in a window) @ (groups, the same, windows).
        seen = np.stack(windows(x, (size[0], size[1]), self.stride, self.dilation), axis=1)
        _, _, count, rows, columns = shape_of(seen)
        numbers = inputs * size[0] * size[1]
        seen = np.reshape(seen, (groups, numbers, count * rows * columns))
        y = np.reshape(self.weight, (groups, outputs // groups, numbers)) @ seen
        y = np.moveaxis(np.reshape(y, (outputs, count, rows, columns)), 0, 1)
        y = np.reshape(y, (*before, outputs, rows, columns))
        return y if self.bias is None else y + np.reshape(self.bias, (outputs, 1, 1))


def max_pool2d(x: Any, size: int | Pair, stride: int | Pair | None = None) -> Any:
    """The largest number of each window.

    Equal ones share the gradient, as everywhere in chainrule; in PyTorch the first has all of it.

    Args:
        x: Images ``(..., channels, H, W)``.
        size: Height and width of a window.
        stride: How far it moves; its own size if left out.

    Example:
        >>> import numpy as np
        >>> from chainrule import nn
        >>> nn.max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)[0, 0]
        array([[ 5.,  7.],
               [13., 15.]])
    """
    return np.max(_seen(x, size, stride), axis=0)


def avg_pool2d(x: Any, size: int | Pair, stride: int | Pair | None = None) -> Any:
    """The mean of each window; arguments as of ``max_pool2d``."""
    return np.mean(_seen(x, size, stride), axis=0)


def _seen(x: Any, size: Any, stride: Any) -> Any:
    size = _pair("size", size)
    return np.stack(windows(x, size, size if stride is None else _pair("stride", stride)))


def flatten(x: Any) -> Any:
    """All axes behind the first as one: images ``(N, C, H, W)`` become rows ``(N, C·H·W)``."""
    return np.reshape(x, (shape_of(x)[0], -1))
