"""What every call of a NumPy function is held to, whatever rows it is composed of."""

import numpy as np
from oracles import along_direction, jacobian_by_differences, off

import chainrule as cr


def direction(x):
    rng = np.random.default_rng(11 + np.size(x))
    return (rng.uniform(0.2, 1.0, np.shape(x)) * rng.choice([-1, 1], np.shape(x)))[()]


def curved(f):
    """A scalar of the value whose second derivative shows all of ``f``'s first and second."""

    def loss(*args):
        out = f(*args)
        weights = direction(np.zeros(np.shape(out))).astype(np.result_type(out))
        return np.sum(weights * out) + np.sum(weights * out * out) / 2

    return loss


def hold(f, *args, vmap=True, float32=True, second=True, tight=1e-7):
    """``f(*args)``: NumPy's value, both modes against differences, second order, dtypes, vmap."""
    expected = f(*args)
    everything = tuple(range(len(args)))
    value, pull = cr.vjp(f, *args)
    np.testing.assert_allclose(value, expected, rtol=1e-14, atol=1e-15, strict=True)
    pulled = pull(direction(value))
    for i, x in enumerate(args):
        along = lambda v, i=i: f(*args[:i], v, *args[i + 1 :])
        matrix, error = jacobian_by_differences(along, x)
        size = max(1.0, np.max(np.abs(matrix), initial=0.0))
        assert np.all(error < 1e-5 * size), f"the oracle is not sure: {np.max(error)}"
        ct, t = direction(value), direction(x)
        assert np.shape(pulled[i]) == np.shape(x)
        allowed = np.ravel(abs(ct)) @ error
        assert off(np.ravel(pulled[i]), np.ravel(ct) @ matrix, size, 2 * allowed) < tight
        pushed = cr.jvp(along, (x,), (t,))[1]
        assert np.shape(pushed) == np.shape(value)
        allowed = error @ np.ravel(abs(t))
        assert off(np.ravel(pushed), matrix @ np.ravel(t), size, 2 * allowed) < tight
    if second:
        _hold_second(f, args, everything)
    if float32:
        _hold_float32(f, args, everything)
    if vmap:
        _hold_vmap(f, args, everything)


def _hold_second(f, args, everything):
    gradient = cr.grad(curved(f), everything)
    tangents = tuple(map(direction, args))
    flat = lambda *values: np.concatenate([np.ravel(v) for v in gradient(*values)])
    expected, error = along_direction(flat, args, tangents)
    total = lambda *values: sum(
        np.sum(g * t) for g, t in zip(gradient(*values), tangents, strict=True)
    )
    found = np.concatenate([np.ravel(s) for s in cr.grad(total, everything)(*args)])
    pushed = np.concatenate([np.ravel(s) for s in cr.jvp(gradient, args, tangents)[1]])
    size = max(1.0, np.max(np.abs(expected), initial=0.0))
    assert np.all(error < 1e-4 * size), f"the oracle is not sure: {np.max(error)}"
    assert off(found, expected, size, 5 * error) < 1e-6
    assert off(pushed, found, size) < 1e-9


def _hold_float32(f, args, everything):
    narrow = tuple(np.asarray(a, np.float32)[()] for a in args)
    value, pull = cr.vjp(f, *narrow)
    expected = f(*narrow)
    assert value.dtype == expected.dtype
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
    ct = direction(value).astype(value.dtype)
    wide = cr.vjp(f, *(np.asarray(a, np.float64)[()] for a in narrow))[1](ct)
    for x, found, exactly in zip(narrow, pull(ct), wide, strict=True):
        assert found.dtype == x.dtype
        scale = np.max(np.abs(exactly), initial=1.0)
        np.testing.assert_allclose(found, exactly, rtol=0, atol=2e-5 * scale)


def _hold_vmap(f, args, everything):
    stacked = tuple(np.stack([a, a * 1.01, a * 0.99 + 0.003]) for a in args)
    for function in (f, cr.grad(curved(f), everything)):
        batched = cr.vmap(function)(*stacked)
        looped = [function(*(s[k] for s in stacked)) for k in range(3)]
        if isinstance(batched, tuple):
            for one, *others in zip(batched, *looped, strict=True):
                np.testing.assert_allclose(one, np.stack(others), rtol=1e-10, atol=1e-11)
        else:
            np.testing.assert_allclose(batched, np.stack(looped), rtol=1e-12, atol=1e-13)
