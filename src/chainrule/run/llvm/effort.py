"""What is worth compiling well: not what takes next to no time beside the rest of a program."""

from __future__ import annotations

import math
from collections.abc import Iterable

from chainrule.run.llvm.nests import Call, Group, work_of

# The share of a program's time that may be spent in code which is two to four times as slow as it
# could be. Compiling such code takes a fifth of the time.
_SHARE = 0.01
# What a product and sum in the BLAS takes, in additions.
_PRODUCT = 0.25


class Budget:
    """The time, in additions, that may be spent in code that was compiled with little effort."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self.left = _SHARE * sum(map(estimated, groups))

    def covers(self, time: float) -> bool:
        """Whether something may take its time from what is left."""
        if time >= self.left:
            return False
        self.left -= time
        return True


def estimated(group: Group) -> float:
    """The time that a group takes, in additions, as far as it is known beforehand."""
    if not isinstance(group, Call):
        return work_of(group)
    if group.kind == "gemm":
        products: int = math.prod(count for count, *_ in group.data["batches"])
        sizes: tuple[int, ...] = group.data["sizes"]
        return _PRODUCT * products * math.prod(sizes)
    if group.kind == "loop":
        turns: int = getattr(group.data, "count", None) or 1
        return turns * sum(estimated(g) for code in group.data.codes for g in code.groups)
    return group.weight
