"""Structures, circuits, robots, cameras and controllers."""

from dataclasses import dataclass

import numpy as np

from programs import Program, normal, uniform


def rotate(axis_angle, points):
    """Rodrigues' formula, with its limit where the angle vanishes."""
    squared = np.sum(axis_angle**2)
    if squared < 1e-16:
        return points + np.cross(axis_angle, points)
    angle = np.sqrt(squared)
    axis = axis_angle / angle
    along = np.outer(points @ axis, axis)
    return (
        points * np.cos(angle)
        + np.cross(axis, points) * np.sin(angle)
        + along * (1 - np.cos(angle))
    )


def bundle_adjustment(cameras, points, *, seen_by, seen_point, pixels):
    """Reprojection error of points in several cameras with radial distortion."""
    total = 0.0
    for c, camera in enumerate(cameras):
        mine = seen_by == c
        x = rotate(camera[:3], points[seen_point[mine]]) + camera[3:6]
        p = x[:, :2] / x[:, 2:]
        r2 = np.sum(p**2, axis=1, keepdims=True)
        f, k1, k2 = camera[6:]
        projected = f * (1 + k1 * r2 + k2 * r2**2) * p
        total += np.sum((projected - pixels[mine]) ** 2)
    return total


def robot_arm(angles, lengths, target):
    """How far the hand is from the target, by products of homogeneous matrices."""
    pose = np.eye(3)
    for angle, length in zip(angles, lengths, strict=True):
        c, s = np.cos(angle), np.sin(angle)
        joint = np.array([[c, -s, length * c], [s, c, length * s], [0, 0, 1]])
        pose = pose @ joint
    return np.sum((pose[:2, 2] - target) ** 2) + 0.01 * np.sum(np.diff(angles) ** 2)


def truss(areas, nodes, load, *, bars, fixed):
    """Compliance of a truss: element stiffness matrices are added into one and solved."""
    n = 2 * len(nodes)
    K = np.zeros((n, n), like=nodes)
    for bar, (i, j) in enumerate(bars):
        d = nodes[j] - nodes[i]
        length = np.linalg.norm(d)
        direction = np.concatenate([-d, d]) / length
        dofs = np.array([2 * i, 2 * i + 1, 2 * j, 2 * j + 1])
        K[np.ix_(dofs, dofs)] += areas[bar] / length * np.outer(direction, direction)
    free = np.setdiff1d(np.arange(n), fixed)
    displacement = np.linalg.solve(K[np.ix_(free, free)], load[free])
    return load[free] @ displacement + 0.1 * np.sum(areas)


@dataclass(frozen=True)
class Controller:
    proportional: float
    integral: float
    derivative: float


def pid_controller(controller, plant):
    """A saturating PID loop around a second-order plant, judged by its tracking error."""
    position, speed, total, previous = 0.0, 0.0, 0.0, 1.0
    cost, h = 0.0, 0.1
    for _ in range(20):
        error = 1.0 - position
        total = total + h * error
        drive = (
            controller.proportional * error
            + controller.integral * total
            + controller.derivative * (error - previous) / h
        )
        drive = np.clip(drive, -2.0, 2.0)
        previous = error
        speed = speed + h * (drive - plant["friction"] * speed - plant["spring"] * position)
        position = position + h * speed
        cost = cost + h * (error**2 + 0.01 * drive**2)
    return cost


def resistor_network(conductances, current, *, branches):
    """Power drawn by a network, by nodal analysis with an incidence matrix."""
    A = np.zeros((len(branches), 4))
    for k, (i, j) in enumerate(branches):
        A[k, i] = 1
        A[k, j] = -1
    A = A[:, 1:]
    laplacian = A.T @ (conductances[:, None] * A)
    voltages = np.linalg.inv(laplacian) @ current
    return current @ voltages


def image_registration(shift, angle, image, *, target):
    """Squared difference after a rigid motion, with bilinear interpolation between pixels."""
    n = image.shape[0]
    grid = np.arange(1, n - 1) - (n - 1) / 2
    gx, gy = np.meshgrid(grid, grid)
    x = np.cos(angle) * gx - np.sin(angle) * gy + shift[0] + (n - 1) / 2
    y = np.sin(angle) * gx + np.cos(angle) * gy + shift[1] + (n - 1) / 2
    x0 = np.clip(np.floor(x).astype(int), 0, n - 2)
    y0 = np.clip(np.floor(y).astype(int), 0, n - 2)
    fx, fy = x - x0, y - y0
    moved = (
        image[y0, x0] * (1 - fx) * (1 - fy)
        + image[y0, x0 + 1] * fx * (1 - fy)
        + image[y0 + 1, x0] * (1 - fx) * fy
        + image[y0 + 1, x0 + 1] * fx * fy
    )
    return np.mean((moved - target[1:-1, 1:-1]) ** 2)


def total_variation_denoising(image, weight, *, noisy):
    smooth = np.sqrt(np.diff(image, axis=0)[:, :-1] ** 2 + np.diff(image, axis=1)[:-1] ** 2 + 1e-3)
    return 0.5 * np.sum((image - noisy) ** 2) + weight * smooth.sum()


def ray_through_lenses(height, slope, radii, indices, *, gaps):
    """A ray traced through spherical surfaces by Snell's law; a surface may be missed."""
    y, angle, n = height, slope, 1.0
    for radius, index, gap in zip(radii, indices, gaps, strict=True):
        if abs(y / radius) >= 1:
            return y
        incidence = angle + np.arcsin(y / radius)
        refraction = np.arcsin(n / index * np.sin(incidence))
        angle = angle - incidence + refraction
        y = y + gap * np.tan(angle)
        n = index
    return y


def beam_deflection(load, stiffness):
    """A cantilever: shear, moment, slope and deflection as running integrals of each other."""
    h = 1 / len(load)
    shear = np.cumsum(load[::-1])[::-1] * h
    moment = np.cumsum(shear[::-1])[::-1] * h
    slope = np.cumsum(moment / stiffness) * h
    return np.cumsum(slope)[-1] * h


def stiff_reaction(rates, start):
    """Robertson's kinetics by implicit Euler, each step solved by Newton's method."""
    k1, k2, k3 = rates
    y = start
    h = 0.1
    for _ in range(3):
        new = y
        for _ in range(5):
            a, b, c = new[0], new[1], new[2]
            flow = np.array([-k1 * a + k3 * b * c, k1 * a - k2 * b**2 - k3 * b * c, k2 * b**2])
            J = np.array(
                [
                    [-k1, k3 * c, k3 * b],
                    [k1, -2 * k2 * b - k3 * c, -k3 * b],
                    [0.0, 2 * k2 * b, 0.0],
                ]
            )
            new = new - np.linalg.solve(np.eye(3) - h * J, new - y - h * flow)
        y = new
    return y[2]


def moving_average_filter(signal, taps):
    """A finite impulse response filter and the energy that is left."""
    filtered = np.convolve(signal, taps, mode="valid")
    return np.mean(filtered**2) / np.mean(signal**2)


def recursive_filter(signal, a, b):
    """A second-order section y[n] = b·x − a·y, written into its output."""
    y = np.zeros_like(signal)
    for n in range(len(signal)):
        y[n] = b[0] * signal[n]
        if n >= 1:
            y[n] += b[1] * signal[n - 1] - a[0] * y[n - 1]
        if n >= 2:
            y[n] += b[2] * signal[n - 2] - a[1] * y[n - 2]
    return np.sum(y**2)


def power_spectrum(signal, cutoff):
    """Energy above a soft cutoff, with the discrete Fourier transform as two real matrices."""
    n = len(signal)
    angle = 2 * np.pi * np.outer(np.arange(n // 2 + 1), np.arange(n)) / n
    window = np.hanning(n)
    real, imaginary = np.cos(angle) @ (window * signal), np.sin(angle) @ (window * signal)
    power = real**2 + imaginary**2
    return np.sum(power / (1 + np.exp(-(np.arange(n // 2 + 1) - cutoff)))) / power.sum()


def antenna_array(weights, phases, positions):
    """How much of a beam goes where it is wanted, against a soft maximum of the side lobes."""
    angles = np.linspace(-1.2, 1.2, 15)
    path = 2 * np.pi * np.outer(np.sin(angles), positions) + phases
    gain = (np.cos(path) @ weights) ** 2 + (np.sin(path) @ weights) ** 2
    side = np.abs(angles) > 0.4
    return np.log(np.sum(gain[side] ** 4) ** 0.25) - np.log(gain[len(angles) // 2])


def vehicle_energy(speeds, mass, drag):
    """Energy of a drive cycle with recuperation, from a speed profile and an engine map."""
    v = (speeds[1:] + speeds[:-1]) / 2
    force = mass * np.diff(speeds) + drag * v**2
    power = force * v
    efficiency = np.interp(v, np.array([0.0, 1.0, 2.0, 4.0]), np.array([0.2, 0.6, 0.9, 0.8]))
    used = np.where(power > 0, power / efficiency, 0.5 * power * efficiency)
    return used.sum()


BARS = [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3), (2, 4), (3, 4)]
NODES = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.1], [1.1, 1.0], [2.0, 0.5]])

PROGRAMS = [
    Program(
        bundle_adjustment,
        (
            np.concatenate(
                [
                    0.3 * normal(301, 2, 3),
                    np.array([[0.1, -0.2, 4.0], [0.3, 0.2, 5.0]]),
                    np.array([[1.2, 0.05, 0.01], [0.9, -0.03, 0.02]]),
                ],
                axis=1,
            ),
            normal(302, 4, 3),
        ),
        {
            "seen_by": np.array([0, 0, 0, 1, 1, 1]),
            "seen_point": np.array([0, 1, 2, 1, 2, 3]),
            "pixels": normal(303, 6, 2),
        },
        decides=True,
    ),
    Program(
        robot_arm, (np.array([0.3, -0.7, 1.1]), np.array([1.0, 0.8, 0.5]), np.array([1.0, 1.2]))
    ),
    Program(
        truss,
        (uniform(304, 0.5, 1.5, 7), NODES, normal(305, 10)),
        {"bars": BARS, "fixed": np.array([0, 1, 2, 3])},
    ),
    Program(pid_controller, (Controller(1.5, 0.6, 0.2), {"friction": 0.8, "spring": 1.2})),
    Program(
        resistor_network,
        (uniform(306, 0.5, 2, 5), np.array([0.0, 0.4, 1.0])),
        {"branches": [(0, 1), (1, 2), (2, 3), (0, 2), (1, 3)]},
    ),
    Program(
        image_registration,
        (np.array([0.31, -0.23]), 0.17, normal(307, 7, 7)),
        {"target": normal(308, 7, 7)},
    ),
    Program(total_variation_denoising, (normal(309, 5, 4), 0.3), {"noisy": normal(310, 5, 4)}),
    Program(
        ray_through_lenses,
        (0.4, 0.05, np.array([3.0, -2.5, 4.0]), np.array([1.5, 1.7, 1.1])),
        {"gaps": [0.3, 0.2, 3.0]},
        decides=True,
    ),
    Program(beam_deflection, (normal(311, 8), uniform(312, 1, 2, 8))),
    Program(stiff_reaction, (np.array([0.4, 30.0, 10.0]), np.array([1.0, 0.05, 0.1]))),
    Program(moving_average_filter, (normal(313, 12), normal(314, 4))),
    Program(recursive_filter, (normal(315, 8), np.array([-0.5, 0.2]), np.array([0.3, 0.5, 0.1]))),
    Program(power_spectrum, (normal(316, 10), 2.3)),
    Program(antenna_array, (uniform(317, 0.5, 1, 4), 0.1 * normal(318, 4), np.arange(4) * 0.5)),
    Program(vehicle_energy, (uniform(319, 0.2, 3.5, 8), 1.3, 0.2)),
]
