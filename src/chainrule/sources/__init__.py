"""Where computations come from: formulas as people write them, and Python functions traced."""
