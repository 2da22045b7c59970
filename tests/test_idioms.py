"""Idioms written out by hand are recognised, and what only looks like one is not."""

from __future__ import annotations

import numpy as np

from chainrule.explanations.idioms import idioms_of
from chainrule.sources.function import trace_program


def names(f, *args):  # type: ignore[no-untyped-def]
    program, _, _ = trace_program(f, args, {})
    return [i.name for i in idioms_of(program)]


def test_a_logistic_function_is_recognised() -> None:
    assert names(lambda z: 1 / (1 + np.exp(-z)), 0.3) == ["sigmoid"]
