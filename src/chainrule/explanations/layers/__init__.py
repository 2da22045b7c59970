"""The matrix form of layered networks: the δ recursion, and gradients as products of matrices.

``structure`` finds the layers and what links them in a program's graph; ``form`` puts the numbers
of a backward pass beside the formulas and checks each of them.
"""

from chainrule.explanations.layers.form import LayerForm, MatrixForm, layers_of, matrix_form

__all__ = ["LayerForm", "MatrixForm", "layers_of", "matrix_form"]
