"""The chain rule: walks over the edges of a tape.

``edges`` carries a tangent or a cotangent across one edge; ``supports`` keeps track of where it can
be non-zero; ``modes`` walks a whole tape forward or backward and adds up over paths; ``rehearsed``
writes out the walks that come again and again. There is no other differentiation algorithm in the
project: explanations walk these same edges.
"""

from chainrule.chain.modes import forward, reverse

__all__ = ["forward", "reverse"]
