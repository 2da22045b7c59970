"""Programs people write in NumPy are differentiated as they stand, to first and second order.

Each gradient is held against extrapolated central differences of the program itself, and against
JAX running the same source where JAX is installed (which takes a few minutes: JAX compiles every
operation of every program).
"""

import ast
import dataclasses
import functools
import importlib
import inspect
import sys
import types

import numpy as np
import pytest
from programs import Program

import chainrule as cr
from chainrule.errors import TraceError
from chainrule.tree import leaves, map_leaves

FIELDS = ("statistics", "networks", "physics", "engineering", "linear_algebra", "finance")
PROGRAMS = {
    f"{field}.{program.name}": program
    for field in FIELDS
    for program in importlib.import_module(f"programs.{field}").PROGRAMS
}
every_program = pytest.mark.parametrize("name", PROGRAMS)


# ---------------------------------------------------------------------------- trees as flat vectors


def flat(tree):
    return np.concatenate([np.ravel(leaf) for _, leaf in leaves(tree)] or [np.zeros(0)])


def like(tree, vector):
    """The tree with its numbers taken from ``vector``."""
    start = 0

    def take(leaf):
        nonlocal start
        start += np.size(leaf)
        part = vector[start - np.size(leaf) : start].reshape(np.shape(leaf))
        return part if np.ndim(leaf) else float(part)

    return map_leaves(take, tree)


def function_of(program: Program):
    """The program with its constants given, as a function of its arguments."""
    return functools.partial(program.function, **program.constants)


def directions(program, count):
    """Random directions, each element in proportion to its own size."""
    x = flat(program.arguments)
    draws = np.random.default_rng(len(x)).normal(size=(count, len(x))) * np.maximum(abs(x), 0.1)
    return draws / np.linalg.norm(draws, axis=1, keepdims=True)


def difference_quotient(f):
    """The derivative of ``f`` at 0 by central differences, extrapolated to step 0 (Ridders).

    Returns:
        The best entry of the extrapolation table, and what its neighbours say about its error.
    """
    step, ratio = 0.02, 1.6
    best, error = None, np.inf
    previous: list[np.ndarray] = []
    for _ in range(12):
        row = [(np.asarray(f(step)) - np.asarray(f(-step))) / (2 * step)]
        factor = ratio**2
        for older in previous:
            row.append((factor * row[-1] - older) / (factor - 1))
            factor *= ratio**2
            spread = max(np.max(abs(row[-1] - row[-2])), np.max(abs(row[-1] - older)))
            if spread < error:
                best, error = row[-1], spread
        previous = row
        step /= ratio
    return best, error


def assert_derivative(found, f, size, tolerance=1e-8):
    """``found`` is the derivative of ``f`` at 0, to ``tolerance`` of the size of its terms."""
    expected, error = difference_quotient(f)
    assert error <= tolerance * size, f"the differences only settle to {error / size:.1e}"
    assert np.max(abs(found - expected)) <= tolerance * size


# ------------------------------------------------------------------------------------------ claims


@every_program
def test_the_gradient_is_the_limit_of_difference_quotients(name):
    program = PROGRAMS[name]
    f = function_of(program)
    args, x = program.arguments, flat(program.arguments)
    value, gradient = cr.value_and_grad(f, argnums=tuple(range(len(args))))(*args)
    assert [np.shape(g) for _, g in leaves(gradient)] == [np.shape(a) for _, a in leaves(args)]
    assert value == pytest.approx(f(*args), rel=1e-12)
    slope = flat(gradient)
    assert np.isfinite(slope).all()
    assert all(np.any(g != 0) for _, g in leaves(gradient)), "an argument nothing depends on"

    along = list(directions(program, 3))
    if len(x) <= 16:
        along += list(np.eye(len(x)) * np.maximum(abs(x), 0.1))
    for d in along:
        length = np.linalg.norm(d)
        size = max(np.sum(abs(slope * d)), 1e-3 * np.linalg.norm(slope) * length)
        assert_derivative(slope @ d, lambda t, d=d: f(*like(args, x + t * d)), size)


@every_program
def test_forward_mode_agrees_with_reverse_mode(name):
    program = PROGRAMS[name]
    f, args = function_of(program), program.arguments
    slope = flat(cr.grad(f, argnums=tuple(range(len(args))))(*args))
    for d in directions(program, 2):
        _, tangent = cr.jvp(f, args, like(args, d))
        assert abs(tangent - slope @ d) <= 1e-11 * np.sum(abs(slope * d))


@every_program
def test_the_second_derivative_is_the_limit_of_differences_of_gradients(name):
    program = PROGRAMS[name]
    f, args, x = function_of(program), program.arguments, flat(program.arguments)
    every = tuple(range(len(args)))
    gradient = cr.grad(f, argnums=every)
    (d,) = directions(program, 1)

    tangents = like(args, d)

    def along_d(*args):
        pairs = zip(leaves(gradient(*args)), leaves(tangents), strict=True)
        return sum(np.sum(g * v) for (_, g), (_, v) in pairs)

    found = flat(cr.grad(along_d, argnums=every)(*args))
    _, pushed = cr.jvp(gradient, args, tangents)
    size = max(np.max(abs(found)), np.max(abs(flat(gradient(*args)))))
    assert np.max(abs(flat(pushed) - found)) <= 1e-9 * size
    assert_derivative(found, lambda t: flat(gradient(*like(args, x + t * d))), size, 1e-7)


@every_program
def test_gradients_of_a_batch_are_the_gradients_of_its_members(name):
    program = PROGRAMS[name]
    f, args, x = function_of(program), program.arguments, flat(program.arguments)
    gradient = cr.grad(f, argnums=tuple(range(len(args))))
    members = [like(args, factor * x) for factor in (1.0, 1.001, 0.998)]
    batch = map_leaves(lambda *leaves: np.stack(leaves), *members)
    if program.decides:
        with pytest.raises(TraceError, match="vmap"):
            cr.vmap(gradient)(*batch)
        return
    together = cr.vmap(gradient)(*batch)
    for k, member in enumerate(members):
        alone = flat(gradient(*member))
        found = flat(map_leaves(lambda leaf, k=k: leaf[k], together))
        assert np.max(abs(found - alone)) <= 1e-11 * np.max(abs(alone))


# --------------------------------------------------------------------------------- the same, by JAX


class Functional(ast.NodeTransformer):
    """Source with ``a[i] = v`` turned into ``a = set_item(a, i, v)``, and ``like=`` left out."""

    def visit_Assign(self, node):
        self.generic_visit(node)
        target = node.targets[0]
        if not (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)):
            return node
        return self.set_item(target, node.value)

    def visit_AugAssign(self, node):
        self.generic_visit(node)
        target = node.target
        if not (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name)):
            return node
        now = ast.Subscript(target.value, target.slice, ast.Load())
        return self.set_item(target, ast.BinOp(now, node.op, node.value))

    def set_item(self, target, value):
        name = target.value.id
        index = target.slice
        if any(isinstance(part, ast.Slice) for part in getattr(index, "elts", [index])):
            index = ast.Subscript(ast.Name("index_of", ast.Load()), index, ast.Load())
        call = ast.Call(
            ast.Name("set_item", ast.Load()), [ast.Name(name, ast.Load()), index, value], []
        )
        return ast.Assign([ast.Name(name, ast.Store())], call)

    def visit_Call(self, node):
        self.generic_visit(node)
        node.keywords = [k for k in node.keywords if k.arg != "like"]
        return node


def set_item(a, i, v):
    """``a`` with ``a[i] = v``: JAX's arrays are made anew, the others written into."""
    if hasattr(a, "at"):
        return a.at[i].set(v)
    a[i] = v
    return a


@functools.cache
def module_for_jax(field):
    """The field's source run again, with ``numpy`` meaning ``jax.numpy`` inside its functions."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    source = inspect.getsource(importlib.import_module(f"programs.{field}"))
    tree = ast.fix_missing_locations(Functional().visit(ast.parse(source)))
    module = types.ModuleType(f"{field}_for_jax")
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    module.index_of, module.set_item = np.s_, set_item
    exec(compile(tree, f"<{field} for JAX>", "exec"), module.__dict__)
    for kind in vars(module).values():
        if dataclasses.is_dataclass(kind) and kind is not Program:
            jax.tree_util.register_dataclass(
                kind, [field.name for field in dataclasses.fields(kind)], []
            )
    module.np = importlib.import_module("jax.numpy")
    module.special = importlib.import_module("jax.scipy.special")
    return module


@every_program
def test_jax_finds_the_same_gradient_in_the_same_source(name):
    jax = pytest.importorskip("jax")
    field = name.split(".")[0]
    if PROGRAMS[name].not_jax:
        pytest.skip(PROGRAMS[name].not_jax)
    (twin,) = (p for p in module_for_jax(field).PROGRAMS if f"{field}.{p.name}" == name)
    every = tuple(range(len(twin.arguments)))
    theirs = jax.grad(function_of(twin), argnums=every)(*twin.arguments)
    ours = cr.grad(function_of(PROGRAMS[name]), argnums=every)(*PROGRAMS[name].arguments)
    a, b = flat(ours), np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(theirs)])
    assert np.max(abs(a - b)) <= 1e-10 * np.max(abs(b))
