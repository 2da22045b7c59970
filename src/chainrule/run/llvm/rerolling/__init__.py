"""Long programs: what repeats becomes a loop again, the rest straight code.

A loop of Python's is recorded turn by turn. Here the turns are found again (``runs``): a *run* is
a stretch of operations that repeats with a period, in which every argument moves along by the same
number of places from turn to turn, or stays where it is.

A run of operations on arrays becomes a ``scan`` of the program, before anything else is done with
it. ``table`` has the operations as numbers, ``loops`` says which runs become a loop and where its
turns find what they need (``sources``), ``parts`` what of it other operations use, ``rolling``
builds the new program, and ``body`` is one turn.

A run of operations on scalars becomes one loop over a *frame* in memory that has one place for
every operation (``sections``), so that code is made for one turn only. Expressions, statements and
nests of loops are left out: an operation on scalars is written as ``text`` from a template that is
made once for its kind (``kernels``), by the same rule as that for arrays. What does not repeat is
written out in functions of limited length.
"""
