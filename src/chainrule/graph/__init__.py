"""Named values and the operations between them: what a computation *is*.

``primitive`` says what a primitive is and what one row of the rule book holds; ``operand`` makes
NumPy calls and Python operators arrive here; ``tape`` records a computation that runs with concrete
values; ``node`` is the same computation as a graph of symbols. Nothing in this room knows calculus.
"""
