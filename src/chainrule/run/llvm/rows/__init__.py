"""How each primitive is computed element by element: one file for each family of the rule book."""

from chainrule.run.llvm.rows import (
    contractions,
    elementwise,
    expansions,
    moves,
    pieces,
    reductions,
    selections,
    simplifications,
    thin_products,
)

__all__ = [
    "contractions",
    "elementwise",
    "expansions",
    "moves",
    "pieces",
    "reductions",
    "selections",
    "simplifications",
    "thin_products",
]
