"""π and the logarithms to 320 bits, and their first bits as numbers to multiply with exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable

_SHIFT = 320
PI = int(
    "3243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89452821e638d01377",
    16,
)
LN_2 = int(
    "b17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d175b8baafa2be7b876206debac98",
    16,
)
LOG2_E = int(
    "171547652b82fe1777d0ffda0d23a7d11d6aef551bad2b4b1164a2cd9a342648fbc3887eeaa2ed9ac",
    16,
)
LOG10_E = int(
    "6f2dec549b9438ca9aadd557d699ee191f71a30122e4d1011d1f96a27bc7529e3aa1277d0a0179f9",
    16,
)
LOG10_2 = int(
    "4d104d427de7fbcc47c4acd605be48bc13569862a1e8f9a4c52f37935be631e5943516c0c8cfd5e8",
    16,
)


def pieces(constant: int, widths: Iterable[int], factor: float = 1.0) -> tuple[float, ...]:
    """Numbers of so many bits each that add up to the constant, greatest first.

    The last one is rounded, the others are cut off. ``factor`` is a power of two.
    """
    found = []
    *cut, last = widths
    for width in cut:
        below = max(constant.bit_length() - width, 0)
        piece = constant >> below << below
        constant -= piece
        found.append(math.ldexp(float(piece >> below), below - _SHIFT) * factor)
    below = max(constant.bit_length() - last, 1)
    rounded = (constant + (1 << (below - 1))) >> below
    found.append(math.ldexp(float(rounded), below - _SHIFT) * factor)
    return tuple(found)
