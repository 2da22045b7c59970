"""Gradient checking with a verdict: a derivative against differences of the function itself.

``subject`` is what is checked, ``derivative`` the gradient under suspicion, ``differences`` the
sweep of step sizes and what can be read off it, ``judge`` the verdict on one direction, ``search``
which directions are tried and how the worst element is found, ``patterns`` and ``uses`` what kind
of mistake it is, ``report`` how it is printed.
"""
