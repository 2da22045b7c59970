"""GradBench's ht: hand tracking, the Jacobian of the residuals by 26 pose parameters.

Defined by ADBench (`hand`): a mesh on 22 bones is posed by linear blend skinning, 20 angles of
fingers, a rotation and a shift, and held against points. In the simple problem each point has a
vertex; in the complicated one it lies on a triangle, and two coordinates per point are unknown too,
of whose Jacobian ADBench keeps each residual's own two columns. ADBench's small model, with 100 and
192 points as in its first two files; pose and points are drawn here; its big model is not in this
repository. Float64. The reference is our eager Jacobian in reverse mode.

PyTorch is there as GradBench writes it, one backward pass for each residual, and with `jacfwd`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr
from benchmarks import baselines
from benchmarks.workloads import peers
from benchmarks.workloads.contest import Case, Work

MODEL = Path(__file__).parents[2] / "tests" / "data" / "adbench" / "hand" / "model"
SIZES = (100, 192)
BONES = 22
# Which bone and which axis (x, z, y) each of the angles of the fingers turns.
TURNED = np.array([2 + 4 * finger + joint for finger in range(5) for joint in (0, 0, 1, 2)])
AXES = np.array([0, 1, 0, 0] * 5)


@functools.cache
def model() -> dict[str, Any]:
    """Bones, vertices and triangles of ADBench's small hand."""
    bones = [line.split(":") for line in (MODEL / "bones.txt").read_text().splitlines()]
    vertices = [line.split(":") for line in (MODEL / "vertices.txt").read_text().splitlines()]
    weights = np.zeros((len(vertices), len(bones)))
    for row, vertex in zip(weights, vertices, strict=True):
        pairs = vertex[9 : 9 + 2 * int(vertex[8])]
        row[[int(bone) for bone in pairs[::2]]] = [float(weight) for weight in pairs[1::2]]
    return {
        "parents": [int(bone[1]) for bone in bones],
        "relatives": np.array([bone[2:18] for bone in bones], float).reshape(-1, 4, 4),
        "inverses": np.array([bone[18:34] for bone in bones], float).reshape(-1, 4, 4),
        "base": np.array([[*vertex[:3], 1] for vertex in vertices], float),
        "weights": weights,
        "triangles": np.loadtxt(MODEL / "triangles.txt", int, delimiter=":"),
    }


def data(count: int, complicated: bool) -> tuple[Any, Any, Any, Any]:
    """The pose, coordinates on triangles, the points, and the vertices they are held to."""
    rng = np.random.default_rng(31337)
    theta = 0.4 * rng.normal(size=26)
    u = rng.dirichlet(np.ones(3), size=count)[:, :2].copy()
    points = rng.normal(size=(count, 3))
    hand = model()
    vertices = rng.integers(0, len(hand["base"]), size=count)
    corners = hand["triangles"][rng.integers(0, len(hand["triangles"]), size=count)]
    return theta, u, points, corners if complicated else vertices


def posed(theta: Any, vertices: Any) -> Any:
    """Where the pose puts these vertices."""
    hand = model()
    angles = np.zeros((BONES, 3), like=theta)
    angles[TURNED, AXES] = theta[6:]
    (cx, cz, cy), (sx, sz, sy) = np.cos(angles).T, np.sin(angles).T
    turns = np.zeros((BONES, 4, 4), like=theta)
    turns[:, 0, 0], turns[:, 1, 0], turns[:, 2, 0] = cz * cy, sz * cy, sy
    turns[:, 0, 1], turns[:, 0, 2] = -sz * cx - cz * sy * sx, sz * sx - cz * sy * cx
    turns[:, 1, 1], turns[:, 1, 2] = cz * cx - sz * sy * sx, -cz * sx - sz * sy * cx
    turns[:, 2, 1], turns[:, 2, 2] = cy * sx, cy * cx
    turns[:, 3, 3] = 1.0
    local = hand["relatives"] @ turns
    absolute: list[Any] = []
    for bone, parent in enumerate(hand["parents"]):
        absolute.append(local[bone] if parent < 0 else absolute[parent] @ local[bone])
    maps = np.stack(absolute) @ hand["inverses"]
    base, weights = hand["base"][vertices], hand["weights"][vertices]
    skin = np.einsum("vb,bij,vj->vi", weights, maps, base)[:, :3]
    angle = np.sqrt(np.sum(theta[:3] ** 2))
    axis = theta[:3] / angle
    along = (skin @ axis)[:, None] * axis
    around = np.cross(axis, skin)
    turned = skin * np.cos(angle) + around * np.sin(angle) + along * (1 - np.cos(angle))
    return turned + theta[3:6]


def residuals(theta: Any, points: Any, vertices: Any) -> Any:
    return points - posed(theta, vertices)


def residuals_on_surface(theta: Any, u: Any, points: Any, corners: Any) -> Any:
    x = posed(theta, corners.ravel()).reshape(len(points), 3, 3)
    shares = np.stack([u[:, 0], u[:, 1], 1 - u[:, 0] - u[:, 1]], axis=1)
    return points - np.sum(shares[:, :, None] * x, axis=1)


def simple(points: Any, vertices: Any) -> Callable[..., Any]:
    return cr.jacobian(lambda theta: residuals(theta, points, vertices), mode="forward")


def complicated(points: Any, corners: Any) -> Callable[..., Any]:
    def jacobian(theta: Any, u: Any) -> Any:
        by_theta = cr.jacobian(residuals_on_surface, mode="forward")(theta, u, points, corners)
        f = lambda u: residuals_on_surface(theta, u, points, corners)
        along = [cr.jvp(f, (u,), (np.zeros_like(u) + unit,))[1] for unit in np.eye(2)]
        return by_theta, np.stack(along, axis=-1)

    return jacobian


def by_hand(theta: Any, vertices: Any, u: Any = None) -> Any:
    """Forward mode: each map beside its derivatives by the 20 angles."""
    hand = model()
    angles = np.zeros((BONES, 3))
    angles[TURNED, AXES] = theta[6:]
    (cx, cz, _), (sx, sz, _) = np.cos(angles).T, np.sin(angles).T
    zero, one = np.zeros(BONES), np.ones(BONES)
    table = lambda *rows: np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    nothing = [zero] * 4
    turns = table([cz, -sz * cx, sz * sx, zero], [sz, cz * cx, -cz * sx, zero],
                  [zero, sx, cx, zero], [zero, zero, zero, one])  # fmt: skip
    by_axis = (
        table([zero, sz * sx, sz * cx, zero], [zero, -cz * sx, -cz * cx, zero],
              [zero, cx, -sx, zero], nothing),
        table([-sz, -cz * cx, cz * sx, zero], [cz, -sz * cx, sz * sx, zero], nothing, nothing),
    )  # fmt: skip
    local = hand["relatives"] @ turns
    absolute = np.empty((BONES, 4, 4))
    moved = np.zeros((BONES, 20, 4, 4))
    for bone, parent in enumerate(hand["parents"]):
        before = np.eye(4) if parent < 0 else absolute[parent]
        absolute[bone] = before @ local[bone]
        if parent >= 0:
            moved[bone] = moved[parent] @ local[bone]
        for i in np.flatnonzero(bone == TURNED):
            moved[bone, i] += before @ hand["relatives"][bone] @ by_axis[AXES[i]][bone]
    maps, moved = absolute @ hand["inverses"], moved @ hand["inverses"][:, None]
    flat = np.ravel(vertices)
    base, weights = hand["base"][flat], hand["weights"][flat]
    weighted = (weights[:, :, None] * base[:, None, :]).reshape(len(flat), -1)
    skin = weighted @ maps[:, :3].transpose(0, 2, 1).reshape(-1, 3)
    by_angles = weighted @ moved[:, :, :3].transpose(0, 3, 2, 1).reshape(-1, 60)
    by_angles = by_angles.reshape(len(flat), 3, 20)
    if u is not None:
        shares = np.concatenate([u, 1 - u.sum(axis=1, keepdims=True)], axis=1)
        corners = skin.reshape(-1, 3, 3)
        skin = np.einsum("vk,vki->vi", shares, corners)
        by_angles = np.einsum("vk,vkij->vij", shares, by_angles.reshape(-1, 3, 3, 20))
    angle = np.sqrt(theta[:3] @ theta[:3])
    w = theta[:3] / angle
    across = lambda a: np.array([[0, -a[2], a[1]], [a[2], 0, -a[0]], [-a[1], a[0], 0]])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = cos * np.eye(3) + sin * across(w) + (1 - cos) * np.outer(w, w)
    out = np.empty((len(skin), 3, 26))
    for j in range(3):
        d = (np.eye(3)[j] - w[j] * w) / angle
        by = w[j] * (cos * across(w) - sin * np.eye(3) + sin * np.outer(w, w))
        by += sin * across(d) + (1 - cos) * (np.outer(d, w) + np.outer(w, d))
        out[:, :, j] = -skin @ by.T
    out[:, :, 3:6] = -np.eye(3)
    out[:, :, 6:] = -(turn @ by_angles)
    if u is None:
        return out
    return out, ((corners[:, 2:] - corners[:, :2]) @ turn.T).transpose(0, 2, 1)


def cases(small: bool = False) -> Iterator[Case]:
    for on_surface in (False, True):
        for count in (7,) if small else SIZES:
            yield case(count, on_surface)


def case(count: int, on_surface: bool) -> Case:
    theta, u, points, vertices = data(count, on_surface)
    out, out_u = np.empty((count, 3, 26)), np.empty((count, 3, 2))
    derivative, f, args = simple(points, vertices), residuals, (theta, points, vertices)
    given: tuple[Any, ...] = (theta,)
    if on_surface:
        derivative, f = complicated(points, vertices), residuals_on_surface
        args, given = (theta, u, points, vertices), (theta, u)

    def reference() -> Any:
        if not on_surface:
            return cr.jacobian(residuals, mode="reverse")(*args)
        by_theta, by_u = cr.jacobian(residuals_on_surface, (0, 1), mode="reverse")(*args)
        return by_theta, by_u[np.arange(count), :, np.arange(count)]

    hand = model()
    parents = np.array(hand["parents"])
    return Case(
        f"{'complicated' if on_surface else 'simple'}, {count} points",
        reference,
        {
            **peers.ours(derivative, *given),
            "JAX": peers.with_jax(lambda jax: with_jax(jax, points, vertices), *given),
            "PyTorch": lambda: with_torch(given, points, vertices),
            "PyTorch, jacfwd": lambda: with_torch_func(given, points, vertices),
            "autograd": peers.left_out("left out: it cannot assign to elements"),
            "NumPy by hand": lambda: peers.bound(by_hand, theta, vertices, *given[1:]),
            "C by hand": lambda: baselines.call(
                "ht", "jacobian", theta, u if on_surface else 0, parents, hand["relatives"],
                hand["inverses"], hand["base"], hand["weights"], vertices, count, out, out_u,
                result=(out, out_u) if on_surface else out,
            ),
        },
        primal=peers.primal(f, *args),
    )  # fmt: skip


def with_jax(jax: Any, points: Any, vertices: Any) -> Any:
    jnp = jax.numpy
    hand = model()

    def posed(theta: Any, vertices: Any) -> Any:
        angles = jnp.zeros((BONES, 3)).at[TURNED, AXES].set(theta[6:])
        (cx, cz, cy), (sx, sz, sy) = jnp.cos(angles).T, jnp.sin(angles).T
        zero, one = jnp.zeros(BONES), jnp.ones(BONES)
        rows = (
            [cz * cy, -sz * cx - cz * sy * sx, sz * sx - cz * sy * cx, zero],
            [sz * cy, cz * cx - sz * sy * sx, -cz * sx - sz * sy * cx, zero],
            [sy, cy * sx, cy * cx, zero],
            [zero, zero, zero, one],
        )
        turns = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
        local = hand["relatives"] @ turns
        absolute: list[Any] = []
        for bone, parent in enumerate(hand["parents"]):
            absolute.append(local[bone] if parent < 0 else absolute[parent] @ local[bone])
        maps = jnp.stack(absolute) @ hand["inverses"]
        base, weights = hand["base"][vertices], hand["weights"][vertices]
        skin = jnp.einsum("vb,bij,vj->vi", weights, maps, base)[:, :3]
        angle = jnp.sqrt(jnp.sum(theta[:3] ** 2))
        axis = theta[:3] / angle
        around = jnp.cross(axis, skin)
        along = jnp.outer(skin @ axis, axis)
        turned = skin * jnp.cos(angle) + around * jnp.sin(angle) + along * (1 - jnp.cos(angle))
        return turned + theta[3:6]

    def residuals(theta: Any) -> Any:
        return points - posed(theta, vertices)

    def residuals_on_surface(theta: Any, u: Any) -> Any:
        x = posed(theta, vertices.ravel()).reshape(-1, 3, 3)
        shares = jnp.concatenate([u, 1 - jnp.sum(u, axis=1, keepdims=True)], axis=1)
        return points - jnp.sum(shares[:, :, None] * x, axis=1)

    def on_surface(theta: Any, u: Any) -> Any:
        def along(unit: Any) -> Any:
            tangent = jnp.broadcast_to(unit, u.shape)
            return jax.jvp(lambda u: residuals_on_surface(theta, u), (u,), (tangent,))[1]

        by_u = jax.vmap(along, out_axes=-1)(jnp.eye(2))
        return jax.jacfwd(residuals_on_surface)(theta, u), by_u

    return jax.jacfwd(residuals) if vertices.ndim == 1 else on_surface


def torch_residuals(torch: Any, points: Any, vertices: Any) -> Callable[..., Any]:
    """As GradBench's: all vertices are posed, and those that are held to a point picked out."""
    hand = model()
    wide = lambda value: torch.tensor(value, dtype=torch.float64)
    relatives, inverses = wide(hand["relatives"]), wide(hand["inverses"])
    base, weights, targets = wide(hand["base"]), wide(hand["weights"]), wide(points)
    picked = torch.tensor(vertices)
    last = wide([[0, 0, 0, 1]])

    def turn(x: Any, z: Any) -> Any:
        cx, sx, cz, sz = torch.cos(x), torch.sin(x), torch.cos(z), torch.sin(z)
        zero = torch.zeros_like(x)
        numbers = [cz, -sz * cx, sz * sx, zero, sz, cz * cx, -cz * sx, zero, zero, sx, cx, zero]
        return torch.cat([torch.stack(numbers).reshape(3, 4), last])

    def posed(theta: Any) -> Any:
        zero = torch.zeros((), dtype=torch.float64)
        angles = [[zero, zero] for _ in range(BONES)]
        for i, (bone, axis) in enumerate(zip(TURNED, AXES, strict=True)):
            angles[bone][axis] = theta[6 + i]
        local = [relatives[bone] @ turn(*angles[bone]) for bone in range(BONES)]
        absolute: list[Any] = []
        for bone, parent in enumerate(hand["parents"]):
            absolute.append(local[bone] if parent < 0 else absolute[parent] @ local[bone])
        maps = torch.stack([absolute[bone] @ inverses[bone] for bone in range(BONES)])
        positions = torch.stack([maps[bone] @ base.T for bone in range(BONES)])
        skin = torch.sum(positions.permute(2, 0, 1) * weights[:, :, None], 1)[:, :3]
        angle = torch.sqrt(torch.sum(theta[:3] ** 2))
        axis = theta[:3] / angle
        x, y, z = axis
        zero = torch.zeros_like(x)
        across = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
        eye = torch.eye(3, dtype=torch.float64)
        cos, sin = torch.cos(angle), torch.sin(angle)
        rotation = cos * eye + sin * across + (1 - cos) * torch.outer(axis, axis)
        return skin @ rotation.T + theta[3:6]

    def residuals(theta: Any) -> Any:
        return targets - posed(theta)[picked]

    def residuals_on_surface(theta: Any, u: Any) -> Any:
        shares = torch.cat([u, 1 - u.sum(1, keepdim=True)], 1)
        return targets - torch.sum(shares[:, :, None] * posed(theta)[picked], 1)

    return residuals if vertices.ndim == 1 else residuals_on_surface


def with_torch(given: Any, points: Any, vertices: Any) -> Work:
    torch = peers.torch()
    f = torch_residuals(torch, points, vertices)
    leaves = [torch.tensor(value, requires_grad=True) for value in given]
    count = len(points)

    def work() -> Any:
        rows: list[list[Any]] = [[] for _ in leaves]
        for value in f(*leaves).reshape(-1):
            for leaf in leaves:
                leaf.grad = None
            value.backward(retain_graph=True)
            for kept, leaf in zip(rows, leaves, strict=True):
                kept.append(leaf.grad)
        by_theta = torch.stack(rows[0])
        if len(rows) == 1:
            return by_theta
        by_u = torch.stack([row[k // 3] for k, row in enumerate(rows[1])])
        return by_theta, by_u.reshape(count, 3, 2)

    return work


def with_torch_func(given: Any, points: Any, vertices: Any) -> Work:
    torch = peers.torch()
    f = torch_residuals(torch, points, vertices)
    theta, *rest = (torch.tensor(value) for value in given)
    by_theta = torch.func.jacfwd(f)

    def work() -> Any:
        if not rest:
            return by_theta(theta)
        (u,) = rest
        units = torch.eye(2, dtype=torch.float64)
        along = [
            torch.func.jvp(lambda u: f(theta, u), (u,), (unit.expand_as(u).clone(),))[1]
            for unit in units
        ]
        return by_theta(theta, u), torch.stack(along, -1)

    return work
