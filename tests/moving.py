"""What holds of every NumPy function that moves, repeats or adds elements.

Such a function is affine, so plain NumPy calls of it on unit vectors are its whole Jacobian: an
oracle that knows nothing of any rule.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

import chainrule as cr


@dataclass(frozen=True)
class Call:
    """A function of arrays of these shapes, and what it is called with."""

    name: str
    f: Any
    shapes: tuple[tuple[int, ...], ...]
    rounded: bool = False


def call(name, f, *shapes, rounded=False):
    """One call: ``f`` takes arrays of ``shapes``, on which it is differentiated.

    With ``rounded`` it computes as well as moves, so its last bits may differ from NumPy's.
    """
    return Call(name, f, shapes, rounded)


def numbers(shape, seed=0, dtype=np.float64):
    return np.asarray(np.random.default_rng(seed).normal(size=shape).round(3), dtype)[()]


def arguments(one, dtype=np.float64, seed=0):
    return tuple(numbers(shape, seed + i, dtype) for i, shape in enumerate(one.shapes))


def outputs(result):
    """The arrays that a function returns, in order."""
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in outputs(part)]
    return [result]


def flat(result):
    """All of them as one vector."""
    parts = [np.ravel(leaf) for leaf in outputs(result)]
    return np.concatenate(parts) if parts else np.zeros(0)


def jacobians(f, args):
    """A matrix for each argument, by plain calls."""
    at_zero = flat(f(*(np.zeros_like(a) for a in args)))
    matrices = []
    for i, arg in enumerate(args):
        columns = []
        for place in range(np.size(arg)):
            unit = np.zeros(np.size(arg))
            unit[place] = 1.0
            moved = [np.zeros_like(a) for a in args]
            moved[i] = unit.reshape(np.shape(arg))[()]
            columns.append(flat(f(*moved)) - at_zero)
        matrices.append(np.reshape(columns, (np.size(arg), at_zero.size)).T)
    return matrices


def assert_value(one, dtype=np.float64):
    """NumPy's value, shape, dtype and container; bit by bit, unless it is ``rounded``."""
    args = arguments(one, dtype)
    expected = one.f(*args)
    value = cr.vjp(one.f, *args)[0]
    assert type(value) is type(expected) or not isinstance(expected, list | tuple)
    assert len(outputs(value)) == len(outputs(expected))
    for found, wanted in zip(outputs(value), outputs(expected), strict=True):
        assert np.shape(found) == np.shape(wanted)
        assert found.dtype == wanted.dtype
        if one.rounded:
            atol = 8 * np.finfo(dtype).eps * np.max(np.abs(wanted), initial=0.0)
            np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)
        else:
            np.testing.assert_array_equal(found, wanted)


def assert_both_modes(one):
    """Pulled and pushed along random directions, against the Jacobians."""
    args = arguments(one)
    matrices = jacobians(one.f, args)
    value, pull = cr.vjp(one.f, *args)
    cotangents = [numbers(np.shape(leaf), 50 + i) for i, leaf in enumerate(outputs(value))]
    pulled = pull(like(value, cotangents))
    for gradient, matrix, arg in zip(pulled, matrices, args, strict=True):
        assert np.shape(gradient) == np.shape(arg)
        np.testing.assert_allclose(np.ravel(gradient), flat(cotangents) @ matrix, atol=1e-13)
    tangents = arguments(one, seed=90)
    pushed = cr.jvp(one.f, args, tangents)[1]
    expected = sum(m @ np.ravel(t) for m, t in zip(matrices, tangents, strict=True))
    np.testing.assert_allclose(flat(pushed), expected, atol=1e-13)
    for i, (matrix, tangent) in enumerate(zip(matrices, tangents, strict=True)):
        alone = lambda v, i=i: one.f(*args[:i], v, *args[i + 1 :])
        pushed = cr.jvp(alone, (args[i],), (tangent,))[1]
        np.testing.assert_allclose(flat(pushed), matrix @ np.ravel(tangent), atol=1e-13)


def like(value, leaves):
    """``leaves`` in the containers of ``value``."""
    rest = iter(leaves)

    def build(part):
        return type(part)(map(build, part)) if isinstance(part, list | tuple) else next(rest)

    return build(value)


def assert_second_order(one):
    """Hessian times vector of a cubic of the outputs, reverse and forward over reverse."""
    args = arguments(one)
    matrices = jacobians(one.f, args)
    out = flat(one.f(*args))
    weights = numbers(out.shape, 7)
    for i, matrix in enumerate(matrices):
        if not matrix.any():
            continue  # does not depend on this argument

        def loss(v, i=i):
            parts = outputs(one.f(*args[:i], v, *args[i + 1 :]))
            total, start = 0.0, 0
            for part in parts:
                size = int(np.size(part))
                w = weights[start : start + size].reshape(np.shape(part))
                total = total + np.sum(w * part * part * part)
                start += size
            return total

        v = numbers(one.shapes[i], 30 + i)
        expected = matrix.T @ (6 * weights * out * (matrix @ np.ravel(v)))
        forward = cr.jvp(cr.grad(loss), (args[i],), (v,))[1]
        backward = cr.grad(lambda x, v=v: np.sum(cr.grad(loss)(x) * v))(args[i])
        np.testing.assert_allclose(np.ravel(forward), expected, atol=1e-11)
        np.testing.assert_allclose(np.ravel(backward), expected, atol=1e-11)


def assert_dtype_is_kept(one, dtype):
    """The value has NumPy's dtype, tangents have the value's and gradients the argument's."""
    args = arguments(one, dtype)
    assert_value(one, dtype)
    value, pull = cr.vjp(one.f, *args)
    ones = like(value, [np.ones_like(leaf) for leaf in outputs(value)])
    assert {np.asarray(g).dtype for g in pull(ones)} == {np.dtype(dtype)}
    value, tangent = cr.jvp(one.f, args, args)
    assert [t.dtype for t in outputs(tangent)] == [leaf.dtype for leaf in outputs(value)]


def assert_a_batch_is_one_by_one(one):
    """vmap over every argument gives what one call after the other gives, gradients as well."""
    batches = [
        np.stack([numbers(s, 10 * k + i) for k in range(3)]) for i, s in enumerate(one.shapes)
    ]
    found = cr.vmap(one.f)(*batches)
    expected = [one.f(*parts) for parts in zip(*batches, strict=True)]
    for i, leaf in enumerate(outputs(found)):
        stacked = np.stack([outputs(e)[i] for e in expected])
        np.testing.assert_allclose(leaf, stacked, rtol=0, atol=1e-14 if one.rounded else 0)
    weights = [numbers(np.shape(leaf), 60 + i) for i, leaf in enumerate(outputs(expected[0]))]

    def loss(*args):
        parts = zip(outputs(one.f(*args)), weights, strict=True)
        return sum((np.sum(w * leaf) for leaf, w in parts), 0.0 * np.sum(args[0]))

    gradients = cr.vmap(cr.grad(loss))(*batches)
    for k, parts in enumerate(zip(*batches, strict=True)):
        np.testing.assert_allclose(gradients[k], cr.grad(loss)(*parts), atol=1e-14)


def assert_the_same_in_a_staged_loop(one):
    """The gradient of two rounds of ``scan``, whose body is recorded once, is that of a loop."""
    args = arguments(one)
    expected = outputs(one.f(*args))
    weights = [numbers(np.shape(leaf), 60 + i) for i, leaf in enumerate(expected)]

    def step(carry, *args):
        leaves = outputs(one.f(*(arg * carry for arg in args)))
        parts = [np.sum(w * leaf * leaf) for leaf, w in zip(leaves, weights, strict=True)]
        return sum(parts, carry + np.sum(args[0])).astype(np.float64)

    staged = lambda *args: cr.scan(lambda c, _: (step(c, *args), None), 1.0, length=2)[0]
    looped = lambda *args: step(step(args[0].dtype.type(1.0), *args), *args)
    places = tuple(range(len(args)))
    found, wanted = cr.grad(staged, places)(*args), cr.grad(looped, places)(*args)
    for gradient, plain in zip(found, wanted, strict=True):
        np.testing.assert_allclose(gradient, plain, rtol=1e-11, atol=1e-11)
