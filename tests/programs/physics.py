"""Simulations that are stepped through time, and equations solved until they hold."""

import numpy as np

from programs import Program, normal, uniform


def rk4_step(f, t, y, h):
    k1 = f(t, y)
    k2 = f(t + h / 2, y + h / 2 * k1)
    k3 = f(t + h / 2, y + h / 2 * k2)
    k4 = f(t + h, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def driven_pendulum(y, length, damping, force):
    """Where a driven pendulum is after a while, by the classical Runge–Kutta method."""

    def slope(t, y):
        angle, speed = y
        pull = -9.81 / length * np.sin(angle) - damping * speed + force * np.cos(2 * t)
        return np.stack([speed, pull])

    t, h = 0.0, 0.05
    for _ in range(12):
        y = rk4_step(slope, t, y, h)
        t += h
    return y[0] ** 2 + 0.1 * y[1]


def lotka_volterra_fit(rates, start, *, observed, h):
    """Misfit of a predator–prey model; the trajectory is stored in an array made beforehand."""
    birth, hunt, feed, death = rates
    trajectory = np.zeros_like(start, shape=(len(observed), 2))
    trajectory[0] = start
    for n in range(len(observed) - 1):
        prey, predators = trajectory[n]
        trajectory[n + 1, 0] = prey + h * (birth * prey - hunt * prey * predators)
        trajectory[n + 1, 1] = predators + h * (feed * prey * predators - death * predators)
    return np.sum((np.log(trajectory) - np.log(observed)) ** 2)


def n_body(masses, positions, velocities):
    """Leapfrog for bodies that attract each other; how far the centre body has gone."""
    n = len(masses)

    def acceleration(x):
        d = x[None, :, :] - x[:, None, :]
        r2 = (d**2).sum(axis=-1) + 0.05
        return np.sum(masses[None, :, None] * d / r2[:, :, None] ** 1.5, axis=1)

    h = 0.05
    a = acceleration(positions)
    for _ in range(6):
        velocities = velocities + h / 2 * a
        positions = positions + h * velocities
        a = acceleration(positions)
        velocities = velocities + h / 2 * a
    kinetic = 0.5 * np.sum(masses * np.sum(velocities**2, axis=1))
    i, j = np.triu_indices(n, k=1)
    distances = np.sqrt(np.sum((positions[i] - positions[j]) ** 2, axis=1))
    return kinetic - np.sum(masses[i] * masses[j] / distances)


def fluid_step(u, v, viscosity):
    """A step of an incompressible fluid on a torus: diffuse, project, measure the mixing."""
    laplace = lambda a: (
        np.roll(a, 1, 0) + np.roll(a, -1, 0) + np.roll(a, 1, 1) + np.roll(a, -1, 1) - 4 * a
    )
    ddx = lambda a: (np.roll(a, -1, axis=1) - np.roll(a, 1, axis=1)) / 2
    ddy = lambda a: (np.roll(a, -1, axis=0) - np.roll(a, 1, axis=0)) / 2
    for _ in range(2):
        u, v = (
            u - 0.1 * (u * ddx(u) + v * ddy(u)) + viscosity * laplace(u),
            v - 0.1 * (u * ddx(v) + v * ddy(v)) + viscosity * laplace(v),
        )
        divergence = ddx(u) + ddy(v)
        p = np.zeros_like(u)
        for _ in range(5):
            p = (laplace(p) + 4 * p - divergence) / 4
        u, v = u - ddx(p), v - ddy(p)
    return np.sum((ddx(v) - ddy(u)) ** 2)


def heat_equation(u, conductivity, *, steps):
    """Explicit diffusion along a rod whose ends are held, updating the inside in place."""
    u = u.copy()
    for _ in range(steps):
        flux = conductivity * np.diff(u)
        u[1:-1] += 0.2 * np.diff(flux)
        u[0] = 0.0
        u[-1] = 1.0
    return np.trapezoid(u**2, dx=0.1)


def wave_equation(u, speed):
    """A string plucked, stepped with three time levels and rolled boundaries."""
    before, now = u, u
    for _ in range(6):
        curvature = np.roll(now, 1) - 2 * now + np.roll(now, -1)
        before, now = now, 2 * now - before + 0.25 * speed**2 * curvature
    return np.max(now) + np.sum(now[: len(now) // 2] ** 3)


def kepler_orbit(mean_anomaly, eccentricity, axis):
    """A planet's distance from a point: Kepler's equation by Newton's method in a while loop."""
    E = mean_anomaly
    while True:
        step = (E - eccentricity * np.sin(E) - mean_anomaly) / (1 - eccentricity * np.cos(E))
        E = E - step
        if abs(step) < 1e-13:
            break
    x = axis * (np.cos(E) - eccentricity)
    y = axis * np.sqrt(1 - eccentricity**2) * np.sin(E)
    return np.hypot(x - 1, y - 0.5)


def mean_field_magnet(coupling, field, *, temperature):
    """The magnetisation that reproduces itself, by iterating until it does."""
    m = np.ones(len(field))
    change = 1.0
    while change > 1e-14:
        new = np.tanh((coupling @ m + field) / temperature)
        change = np.max(np.abs(new - m))
        m = new
    return np.mean(m**2)


def lennard_jones(positions, epsilon, sigma, *, box):
    """Energy of particles in a periodic box, each pair at its nearest image, cut off smoothly."""
    i, j = np.triu_indices(len(positions), k=1)
    d = positions[i] - positions[j]
    d = d - box * np.round(d / box)
    r2 = np.sum(d * d, axis=1)
    s6 = (sigma**2 / r2) ** 3
    energy = 4 * epsilon * (s6**2 - s6)
    return np.sum(np.where(r2 < (box / 2) ** 2, energy, 0.0))


def double_pendulum(angles, speeds, masses, lengths):
    """Two steps of Lagrange's equations, each with a 2×2 system for the accelerations."""
    for _ in range(2):
        delta = angles[0] - angles[1]
        m = masses[0] + masses[1]
        M = np.array(
            [
                [m * lengths[0], masses[1] * lengths[1] * np.cos(delta)],
                [lengths[0] * np.cos(delta), lengths[1]],
            ]
        )
        rhs = np.array(
            [
                -masses[1] * lengths[1] * speeds[1] ** 2 * np.sin(delta)
                - m * 9.81 * np.sin(angles[0]),
                lengths[0] * speeds[0] ** 2 * np.sin(delta) - 9.81 * np.sin(angles[1]),
            ]
        )
        speeds = speeds + 0.02 * np.linalg.solve(M, rhs)
        angles = angles + 0.02 * speeds
    return np.sum(lengths * np.cos(angles))


def thin_film(thicknesses, indices, *, wavelength):
    """Reflectance of a stack of layers; complex 2×2 matrices kept as real and imaginary parts."""
    a, b, c, d = 1.0, 0.0, 1.5, 0.0  # the electric field a + ib and the magnetic field c + id
    for n, t in zip(indices[::-1], thicknesses[::-1], strict=True):
        phase = 2 * np.pi * n * t / wavelength
        cos, sin = np.cos(phase), np.sin(phase)
        a, b, c, d = (
            cos * a - sin / n * d,
            cos * b + sin / n * c,
            cos * c - n * sin * b,
            cos * d + n * sin * a,
        )
    top = (a - c) ** 2 + (b - d) ** 2
    bottom = (a + c) ** 2 + (b + d) ** 2
    return top / bottom


def blackbody_fit(temperature, scale, *, wavelengths, observed):
    x = 1.4388 / (wavelengths * temperature)
    model = scale / (wavelengths**5 * np.expm1(x))
    weights = np.gradient(wavelengths)
    return np.sum(weights * (model - observed) ** 2)


def charged_particle(position, velocity, E, B):
    """The Boris push through a magnetic field, with cross products."""
    h = 0.1
    for _ in range(8):
        half = velocity + h / 2 * E
        t = h / 2 * B * (1 + 0.1 * np.sum(position**2))
        s = 2 * t / (1 + np.dot(t, t))
        turned = half + np.cross(half + np.cross(half, t), s)
        velocity = turned + h / 2 * E
        position = position + h * velocity
    return np.linalg.norm(position)


def particle_in_cell(positions, charges, *, cells):
    """Charges are shared out between the two nearest grid points; the energy of their field."""
    left = np.floor(positions).astype(int)
    share = positions - left
    density = np.zeros(cells, like=charges)
    np.add.at(density, left % cells, charges * (1 - share))
    np.add.at(density, (left + 1) % cells, charges * share)
    field = np.cumsum(density - density.mean())
    return 0.5 * np.sum(field**2)


def ising_transfer_matrix(coupling, field):
    """Free energy of a chain from the largest eigenvalue of its transfer matrix."""
    spins = np.array([1.0, -1.0])
    s, t = np.meshgrid(spins, spins, indexing="ij")
    T = np.exp(coupling * s * t + field * (s + t) / 2)
    return -np.log(np.linalg.eigvalsh(T)[-1])


def schroedinger_ground_state(potential, mass):
    """Lowest level of a particle on a grid, and how far it leaks to the right."""
    n = len(potential)
    off = -0.5 / mass * np.ones(n - 1)
    H = np.diag(potential + 1 / mass) + np.diag(off, 1) + np.diag(off, -1)
    levels, states = np.linalg.eigh(H)
    return levels[0] + np.sum(states[n // 2 :, 0] ** 2)


MASSES = uniform(201, 0.5, 2, 4)
WAVELENGTHS = np.linspace(0.4, 2.0, 9)

PROGRAMS = [
    Program(driven_pendulum, (np.array([0.5, -0.2]), 1.3, 0.2, 0.7)),
    Program(
        lotka_volterra_fit,
        ((1.1, 0.4, 0.1, 0.4), np.array([3.0, 2.0])),
        {"observed": uniform(202, 1, 4, 8, 2), "h": 0.1},
    ),
    Program(n_body, (MASSES, normal(203, 4, 3), 0.3 * normal(204, 4, 3))),
    Program(fluid_step, (normal(205, 4, 5), normal(206, 4, 5), 0.05)),
    Program(heat_equation, (normal(207, 9), uniform(208, 0.5, 1.5, 8)), {"steps": 6}),
    Program(wave_equation, (normal(209, 10), 0.8)),
    Program(kepler_orbit, (1.1, 0.4, 1.7), decides=True),
    Program(
        mean_field_magnet,
        (0.3 * normal(210, 4, 4), normal(211, 4)),
        {"temperature": 2.0},
        decides=True,
    ),
    Program(lennard_jones, (uniform(212, 0, 4, 6, 3), 0.7, 1.1), {"box": 4.0}),
    Program(
        double_pendulum,
        (np.array([0.4, -0.9]), np.array([1.0, 0.5]), np.array([1.2, 0.8]), np.array([1.0, 0.7])),
    ),
    Program(
        thin_film,
        (np.array([0.11, 0.07, 0.12]), np.array([1.38, 2.1, 1.7])),
        {"wavelength": 0.55},
    ),
    Program(
        blackbody_fit,
        (1.3, 0.9),
        {"wavelengths": WAVELENGTHS, "observed": uniform(213, 0, 1, 9)},
    ),
    Program(charged_particle, (normal(214, 3), normal(215, 3), normal(216, 3), normal(217, 3))),
    Program(
        particle_in_cell,
        (uniform(219, 0, 6, 9), normal(220, 9)),
        {"cells": 6},
        not_jax="jax.numpy.add.at does not work in place",
    ),
    Program(ising_transfer_matrix, (0.6, 0.3)),
    Program(schroedinger_ground_state, (uniform(218, 0, 2, 7), 1.4)),
]
