"""Several results of one primitive, such as a loop's: a record has one value, and this is it."""

from __future__ import annotations

from typing import Any


class Bundle(tuple[Any, ...]):
    """A tuple of results. Tangents and cotangents of it may be ``None`` where nothing flows.

    >>> Bundle((1.0, None)) + Bundle((2.0, 5.0))
    (3.0, 5.0)
    """

    __slots__ = ()

    def __add__(self, other: Any) -> Bundle:
        return Bundle(
            b if a is None else a if b is None else a + b for a, b in zip(self, other, strict=True)
        )
