"""Explanations: a derivative worked, checked and readable.

``outline`` folds a program into steps, ``worked`` derives line by line with the numbers of the one
differentiation algorithm in ``chain``, ``check`` compares with an independent derivative, and
``solution`` and ``explanation`` hold the result as plain data for ``render``.
"""
