"""GradBench's ba: bundle adjustment, the blocks of its sparse Jacobian.

Defined by ADBench (`ba`): a camera has 11 numbers (rotation vector, centre, focal length, principal
point, two of radial distortion), a point 3, an observation a weight and a feature; two residuals
per observation, and one, 1 − w², per weight. A residual depends on its own camera, point and weight
only: the result is these blocks, for each observation, in the sizes of ADBench's first two files.
Cameras and points vary about those of ADBench's test (GradBench repeats one of each). Float64. The
reference is our eager derivative in two pull-backs of all residuals at once.

JAX's way is `jit(vmap(jacfwd))`; `vmap(jacrev)` stands beside it. PyTorch is there as GradBench
writes it, one observation and one backward pass after the other, and with `vmap(jacrev)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import COMPILED, Case, Work

SIZES = ((49, 7_776, 31_843), (21, 11_315, 36_455))
CAMERA = (1.797201, 0.590697, -0.635786, 90.859550, 29.361415, 28.777534, 211.628116, -0.284531,
          -14.762924, 0.058931, 0.069976)  # fmt: skip
POINT = (4.173048, 5.586898, 1.403869)


def data(n: int, m: int, p: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(31337)
    cameras = np.array(CAMERA) * (1 + 0.05 * rng.uniform(-1, 1, size=(n, 11)))
    points = np.array(POINT) * (1 + 0.05 * rng.uniform(-1, 1, size=(m, 3)))
    weights = rng.uniform(size=p)
    features = 100 * rng.normal(size=(p, 2))
    return cameras, points, weights, np.arange(p) % n, np.arange(p) % m, features


def residual(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    """How far one camera sees one point from where it was found."""
    rotation, centre, focal = camera[:3], camera[3:6], camera[6]
    angle = np.sqrt(np.sum(rotation**2))
    axis, x = rotation / angle, point - centre
    around = np.cross(axis, x) * np.sin(angle)
    x = x * np.cos(angle) + around + axis * (np.sum(axis * x) * (1 - np.cos(angle)))
    flat = x[:2] / x[2]
    r2 = np.sum(flat**2)
    seen = flat * (1 + camera[9] * r2 + camera[10] * r2**2) * focal + camera[7:9]
    return weight * (seen - feature)


def blocks(mode: Any) -> Callable[..., Any]:
    def jacobian(cameras: Any, points: Any, weights: Any, camera_of: Any, point_of: Any,
                 features: Any) -> Any:  # fmt: skip
        each = cr.vmap(cr.jacobian(residual, argnums=(0, 1, 2), mode=mode))
        return (
            *each(cameras[camera_of], points[point_of], weights, features),
            cr.vmap(cr.grad(lambda w: 1 - w**2))(weights),
        )

    return jacobian


def residuals(cameras: Any, points: Any, weights: Any, features: Any, np: Any = np) -> Any:
    """All of them at once: row by row what ``residual`` is."""
    rotation, centre, focal = cameras[:, :3], cameras[:, 3:6], cameras[:, 6:7]
    angle = np.sqrt(np.sum(rotation**2, axis=1, keepdims=True))
    axis, x = rotation / angle, points - centre
    along = np.sum(axis * x, axis=1, keepdims=True)
    x = x * np.cos(angle) + np.cross(axis, x) * np.sin(angle) + axis * along * (1 - np.cos(angle))
    flat = x[:, :2] / x[:, 2:]
    r2 = np.sum(flat**2, axis=1, keepdims=True)
    bent = flat * (1 + cameras[:, 9:10] * r2 + cameras[:, 10:] * r2**2)
    return weights[:, None] * (bent * focal + cameras[:, 7:9] - features)


def in_two_pulls(cameras: Any, points: Any, weights: Any, camera_of: Any, point_of: Any,
                 features: Any) -> Any:  # fmt: skip
    given = (cameras[camera_of], points[point_of], weights)
    value, pull = cr.vjp(lambda c, x, w: residuals(c, x, w, features), *given)
    first, second = (pull(np.zeros_like(value) + unit) for unit in np.eye(2))
    rows = (np.stack(pair, axis=1) for pair in zip(first, second, strict=True))
    return (*rows, -2 * weights)


def objective(cameras: Any, points: Any, weights: Any, camera_of: Any, point_of: Any,
              features: Any) -> Any:  # fmt: skip
    seen = cr.vmap(residual)(cameras[camera_of], points[point_of], weights, features)
    return seen, 1 - weights**2


def by_hand(cameras: Any, points: Any, weights: Any, camera_of: Any, point_of: Any,
            features: Any) -> Any:  # fmt: skip
    # One row per number, so that what is done to all observations is contiguous.
    c, at, found = cameras.T[:, camera_of], points.T[:, point_of], features.T
    dot = lambda a, b: a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    cross = lambda a, b: np.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )
    angle = np.sqrt(dot(c[:3], c[:3]))
    w, x = c[:3] / angle, at - c[3:6]
    cos, sin, along, v = np.cos(angle), np.sin(angle), dot(w, x), cross(w, x)
    rest = 1 - cos
    y = x * cos + v * sin + w * (along * rest)
    turned = v * cos - x * sin + w * (along * sin)
    q = y[:2] / y[2]
    r2 = q[0] ** 2 + q[1] ** 2
    bend, slope = 1 + r2 * (c[9] + r2 * c[10]), 2 * (c[9] + 2 * c[10] * r2)
    scale = weights * c[6]
    by_camera = np.zeros((len(weights), 2, 11))
    by_point = np.empty((len(weights), 2, 3))
    for e in range(2):
        m = scale * slope * q[e] * q
        m[e] += scale * bend
        p = np.concatenate([m, -(m * q).sum(axis=0)[None]]) / y[2]
        pw = dot(p, w)
        by_axis = sin * cross(x, p) + rest * (along * p + pw * x)
        by_rotation = (dot(p, turned) - dot(by_axis, w) / angle) * w + by_axis / angle
        by_x = cos * p + sin * cross(p, w) + rest * pw * w
        by_camera[:, e, :3], by_camera[:, e, 3:6] = by_rotation.T, -by_x.T
        by_camera[:, e, 6], by_camera[:, e, 7 + e] = weights * q[e] * bend, weights
        by_camera[:, e, 9] = scale * q[e] * r2
        by_camera[:, e, 10] = by_camera[:, e, 9] * r2
        by_point[:, e] = by_x.T
    by_weight = (q * bend * c[6] + c[7:9] - found).T
    return by_camera, by_point, by_weight, -2 * weights


def cases(small: bool = False) -> Iterator[Case]:
    for n, m, p in ((3, 11, 70),) if small else SIZES:
        yield case(n, m, p)


def case(n: int, m: int, p: int) -> Case:
    args = data(n, m, p)
    out = np.empty((p, 2, 11)), np.empty((p, 2, 3)), np.empty((p, 2)), np.empty(p)
    return Case(
        f"{n} cameras, {m:,} points, {p:,} observations",
        lambda: in_two_pulls(*args),
        {
            **peers.ours(blocks(None), *args),
            f"{COMPILED}, forward": peers.ours(blocks("forward"), *args)[COMPILED],
            "JAX": peers.with_jax(lambda jax: with_jax(jax, jax.jacfwd), *args),
            "JAX, jacrev": peers.with_jax(lambda jax: with_jax(jax, jax.jacrev), *args),
            "PyTorch": lambda: with_torch(args),
            "PyTorch, vmap(jacrev)": lambda: with_torch_func(args),
            "autograd": lambda: with_autograd(args),
            "NumPy by hand": lambda: peers.bound(by_hand, *args),
            "C by hand": lambda: baselines.call("ba", "jacobian", *args, p, *out, result=out),
        },
        primal=peers.primal(objective, *args),
    )


def with_jax(jax: Any, jacobian: Any) -> Any:
    jnp = jax.numpy

    def residual(camera: Any, point: Any, weight: Any, feature: Any) -> Any:
        rotation, centre, focal = camera[:3], camera[3:6], camera[6]
        angle = jnp.sqrt(jnp.sum(rotation**2))
        axis, x = rotation / angle, point - centre
        around = jnp.cross(axis, x) * jnp.sin(angle)
        x = x * jnp.cos(angle) + around + axis * jnp.dot(axis, x) * (1 - jnp.cos(angle))
        flat = x[:2] / x[2]
        r2 = jnp.sum(flat**2)
        seen = flat * (1 + camera[9] * r2 + camera[10] * r2**2) * focal + camera[7:9]
        return weight * (seen - feature)

    def blocks(cameras: Any, points: Any, weights: Any, camera_of: Any, point_of: Any,
               features: Any) -> Any:  # fmt: skip
        each = jax.vmap(jacobian(residual, argnums=(0, 1, 2)))
        return (
            *each(cameras[camera_of], points[point_of], weights, features),
            jax.vmap(jax.grad(lambda w: 1 - w**2))(weights),
        )

    return blocks


def torch_residual(torch: Any, camera: Any, point: Any, weight: Any, feature: Any) -> Any:
    rotation, centre = camera[:3], camera[3:6]
    angle = torch.sqrt(torch.sum(rotation**2))
    axis, x = rotation / angle, point - centre
    cos, sin = torch.cos(angle), torch.sin(angle)
    x = x * cos + torch.linalg.cross(axis, x) * sin + axis * (torch.dot(axis, x) * (1 - cos))
    flat = x[:2] / x[2]
    r2 = torch.sum(flat**2)
    seen = flat * (1 + camera[9] * r2 + camera[10] * r2 * r2) * camera[6] + camera[7:9]
    return weight * (seen - feature)


def with_torch(args: Any) -> Work:
    torch = peers.torch()
    leaf = lambda value: torch.tensor(value, dtype=torch.float64, requires_grad=True)
    cameras, points, weights = ([leaf(row) for row in array] for array in args[:3])
    camera_of, point_of = (index.tolist() for index in args[3:5])
    features = torch.tensor(args[5])

    def work() -> Any:
        rows: list[Any] = []
        for k, weight in enumerate(weights):
            leaves = (cameras[camera_of[k]], points[point_of[k]], weight)
            for residual in torch_residual(torch, *leaves, features[k]):
                for leaf in leaves:
                    leaf.grad = None
                residual.backward(retain_graph=True)
                rows.append(torch.cat([leaf.grad.view(-1) for leaf in leaves]))
        found = torch.stack(rows).reshape(len(weights), 2, 15)
        of_weights = []
        for weight in weights:
            weight.grad = None
            (1 - weight**2).backward()
            of_weights.append(weight.grad)
        return found[..., :11], found[..., 11:14], found[..., 14], torch.stack(of_weights)

    return work


def with_torch_func(args: Any) -> Work:
    torch = peers.torch()
    given = [torch.tensor(value) for value in args]
    jacobian = torch.func.jacrev(lambda *one: torch_residual(torch, *one), argnums=(0, 1, 2))
    each = torch.func.vmap(jacobian)
    of_weights = torch.func.vmap(torch.func.grad(lambda w: 1 - w**2))

    def work() -> Any:
        cameras, points, weights, camera_of, point_of, features = given
        return (
            *each(cameras[camera_of], points[point_of], weights, features), of_weights(weights)
        )  # fmt: skip

    return work


def with_autograd(args: Any) -> Work:
    """Two backward passes over all residuals at once: autograd has no `vmap`."""
    autograd, anp = peers.autograd()
    cameras, points, weights, camera_of, point_of, features = args

    def work() -> Any:
        given = (cameras[camera_of], points[point_of], weights)
        rows = [
            autograd.grad(lambda g, e=e: anp.sum(residuals(*g, features, anp)[:, e]))(given)
            for e in range(2)
        ]
        own = autograd.elementwise_grad(lambda w: 1 - w**2)(weights)
        return (*(np.stack(pair, axis=1) for pair in zip(*rows, strict=True)), own)

    return work
