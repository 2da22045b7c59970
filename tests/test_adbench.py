"""ADBench's four problems, written in NumPy, give ADBench's own expected values and Jacobians.

The inputs and the expected numbers are ADBench's (``tests/data/adbench``); the formulas are the
ones it states, in code of our own.
"""

import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import special

import chainrule as cr

DATA = Path(__file__).parent / "data" / "adbench"
GOLDEN = json.loads((DATA / "golden.json").read_text())
# The expected numbers are themselves the result of a computation in double precision.
TOLERANCE = 1e-12


def lines(path, skip=0):
    return [[float(word) for word in line.split()] for line in path.read_text().splitlines()[skip:]]


def assert_agrees(found, expected):
    expected = np.asarray(expected, float)
    assert np.shape(found) == expected.shape
    assert np.max(abs(found - expected)) <= TOLERANCE * np.max(abs(expected))


def rows_by_vjp(f, x):
    """The Jacobian matrix by one pull-back per element of the result."""
    value, pull = cr.vjp(f, x)
    units = np.eye(np.size(value)).reshape(-1, *np.shape(value))
    return np.stack([np.ravel(pull(unit)[0]) for unit in units])


def columns_by_jvp(f, x):
    """The Jacobian matrix by one push-forward per element of the argument."""
    return np.stack([np.ravel(cr.jvp(f, (x,), (unit,))[1]) for unit in np.eye(len(x))], axis=1)


def all_rows(f, x):
    """The Jacobian matrix by all pull-backs side by side."""
    return cr.jacobian(f, mode="reverse")(x).reshape(-1, len(x))


def all_columns(f, x):
    """The Jacobian matrix by all push-forwards side by side."""
    return cr.jacobian(f, mode="forward")(x).reshape(-1, len(x))


every_way = pytest.mark.parametrize(
    "jacobian", [rows_by_vjp, columns_by_jvp, all_rows, all_columns]
)


# ------------------------------------------------------------------------------- Gaussian mixtures


def log_sum_exp(a):
    top = np.max(a, axis=-1, keepdims=True)
    return np.log(np.sum(np.exp(a - top), axis=-1)) + top[..., 0]


def gmm_objective(alphas, means, factors, *, points, gamma, extra_freedom):
    """Log-posterior of a mixture whose precisions are given by factors, with a Wishart prior.

    ``factors`` holds, for each component, the logarithm of a triangular factor's diagonal and then
    its columns below the diagonal.
    """
    (n, d), k = points.shape, len(alphas)
    log_diagonal, below = factors[:, :d], factors[:, d:]
    columns, rows = np.triu_indices(d, 1)
    Q = np.zeros((k, d, d), like=factors)
    Q[:, rows, columns] = below
    Q[:, np.arange(d), np.arange(d)] = np.exp(log_diagonal)
    z = np.einsum("kij,nkj->nki", Q, points[:, None, :] - means)
    log_det = np.sum(log_diagonal, axis=1)
    likelihood = (
        np.sum(log_sum_exp(alphas + log_det - 0.5 * np.sum(z**2, axis=2)))
        - n * log_sum_exp(alphas)
        - 0.5 * n * d * np.log(2 * np.pi)
    )
    freedom = d + extra_freedom + 1
    constant = freedom * d * np.log(gamma / np.sqrt(2)) - special.multigammaln(freedom / 2, d)
    prior = 0.5 * gamma**2 * np.sum(Q**2) - extra_freedom * np.sum(log_det) - k * constant
    return likelihood + prior


def gmm_instance():
    rows = lines(DATA / "gmm" / "test.txt")
    d, k, n = (int(number) for number in rows[0])
    alphas, means, factors, points, ((gamma, m),) = (
        rows[1 : 1 + k],
        rows[1 + k : 1 + 2 * k],
        rows[1 + 2 * k : 1 + 3 * k],
        rows[1 + 3 * k : 1 + 3 * k + n],
        rows[1 + 3 * k + n :],
    )
    given = {"points": np.array(points), "gamma": gamma, "extra_freedom": int(m)}
    assert np.shape(means) == (k, d)
    return (np.array(alphas)[:, 0], np.array(means), np.array(factors)), given


def test_gaussian_mixture():
    args, given = gmm_instance()
    value, gradient = cr.value_and_grad(gmm_objective, argnums=(0, 1, 2))(*args, **given)
    assert_agrees(value, GOLDEN["gmm/objective_calculation_correctness/scalar"])
    assert_agrees(
        np.concatenate([g.ravel() for g in gradient]),
        GOLDEN["gmm/jacobian_calculation_correctness/expected_gradient"],
    )


# ------------------------------------------------------------------------------- bundle adjustment


def project(cameras, points):
    """Where each camera sees its point: rotate, divide by the depth, distort, scale and shift."""
    rotation, centre, focal = cameras[:, :3], cameras[:, 3:6], cameras[:, 6:7]
    middle, k1, k2 = cameras[:, 7:9], cameras[:, 9:10], cameras[:, 10:11]
    angle = np.sqrt(np.sum(rotation**2, axis=1, keepdims=True))
    axis, x = rotation / angle, points - centre
    along = np.sum(axis * x, axis=1, keepdims=True)
    x = x * np.cos(angle) + np.cross(axis, x) * np.sin(angle) + axis * along * (1 - np.cos(angle))
    flat = x[:, :2] / x[:, 2:]
    r2 = np.sum(flat**2, axis=1, keepdims=True)
    return flat * (1 + k1 * r2 + k2 * r2**2) * focal + middle


def reprojection_errors(cameras, points, weights, *, camera_of, point_of, features):
    seen = project(cameras[camera_of], points[point_of])
    return weights[:, None] * (seen - features)


def bundle_instance():
    (counts, camera, point, (weight,), feature) = lines(DATA / "ba" / "test.txt")
    n, m, p = (int(number) for number in counts)
    args = np.tile(camera, (n, 1)), np.tile(point, (m, 1)), np.full(p, weight)
    given = {
        "camera_of": np.arange(p) % n,
        "point_of": np.arange(p) % m,
        "features": np.tile(feature, (p, 1)),
    }
    return args, given


def test_bundle_adjustment_has_the_expected_residuals():
    args, given = bundle_instance()
    expected = np.tile([-2.69048849235189402e-01, 2.59944792677901881e-01], (10, 1))
    # A residual is the small difference of a projection and a feature hundreds of pixels away.
    size = np.max(abs(given["features"]))
    assert np.max(abs(reprojection_errors(*args, **given) - expected)) <= TOLERANCE * size
    assert_agrees(1 - args[2] ** 2, np.full(10, 8.26092651515999976e-01))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_bundle_adjustment_has_the_expected_sparse_jacobian(mode):
    args, given = bundle_instance()
    whole = cr.jacobian(reprojection_errors, argnums=(0, 1, 2), mode=mode)(*args, **given)
    blocks = []
    for k, (c, q) in enumerate(zip(given["camera_of"], given["point_of"], strict=True)):
        # A residual depends on its own camera, point and weight; ADBench stores just those.
        for found, own in zip(whole, (c, q, k), strict=True):
            assert not np.any(np.delete(found[k], own, axis=1))
        of_camera, of_point, of_weight = (
            d[k, :, own] for d, own in zip(whole, (c, q, k), strict=True)
        )
        blocks.append(np.concatenate([of_camera, of_point, of_weight[:, None]], axis=1))
    of_weights = np.diagonal(cr.jacobian(lambda w: 1 - w**2, mode=mode)(args[2]))
    assert_agrees(
        np.concatenate([np.ravel(blocks), of_weights]),
        GOLDEN["ba/jacobian_calculation_correctness/expected_J_values"],
    )


# ------------------------------------------------------------------------------------ hand tracking


@functools.cache
def hand_model():
    """Bones, vertices and triangles of ADBench's hand."""
    folder = DATA / "hand" / "model"
    bones = [line.split(":") for line in (folder / "bones.txt").read_text().splitlines()]
    vertices = [line.split(":") for line in (folder / "vertices.txt").read_text().splitlines()]
    weights = np.zeros((len(vertices), len(bones)))
    for row, vertex in zip(weights, vertices, strict=True):
        pairs = vertex[9 : 9 + 2 * int(vertex[8])]
        row[[int(bone) for bone in pairs[::2]]] = [float(weight) for weight in pairs[1::2]]
    return {
        "parents": [int(bone[1]) for bone in bones],
        "relatives": np.array([bone[2:18] for bone in bones], float).reshape(-1, 4, 4),
        "inverses": np.array([bone[18:34] for bone in bones], float).reshape(-1, 4, 4),
        "positions": np.array([[*vertex[:3], 1] for vertex in vertices], float),
        "weights": weights,
        "triangles": np.loadtxt(folder / "triangles.txt", int, delimiter=":"),
    }


def hand_vertices(theta, *, parents, relatives, inverses, positions, weights, which):
    """The posed positions of the vertices in ``which``: linear blend skinning on a bone tree."""
    angles = np.zeros((len(parents), 3), like=theta)  # about x, z and y
    for finger in range(5):
        first = 6 + 4 * finger
        angles[2 + 4 * finger, :2] = theta[first : first + 2]
        angles[3 + 4 * finger, 0] = theta[first + 2]
        angles[4 + 4 * finger, 0] = theta[first + 3]

    absolute = []
    for bone, parent in enumerate(parents):
        (cx, cz, cy), (sx, sz, sy) = np.cos(angles[bone]), np.sin(angles[bone])
        turn = np.zeros((4, 4), like=theta)
        turn[0, :3] = np.stack([cz * cy, -sz * cx - cz * sy * sx, sz * sx - cz * sy * cx])
        turn[1, :3] = np.stack([sz * cy, cz * cx - sz * sy * sx, -cz * sx - sz * sy * cx])
        turn[2, :3] = np.stack([sy, cy * sx, cy * cx])
        turn[3, 3] = 1.0
        local = relatives[bone] @ turn
        absolute.append(local if parent < 0 else absolute[parent] @ local)
    transforms = np.stack(absolute) @ inverses

    posed = np.einsum("vb,bij,vj->vi", weights[which], transforms, positions[which])[:, :3]
    angle = np.sqrt(np.sum(theta[:3] ** 2))
    axis = theta[:3] / angle
    along = (posed @ axis)[:, None] * axis
    return (
        posed * np.cos(angle)
        + np.cross(axis, posed) * np.sin(angle)
        + along * (1 - np.cos(angle))
        + theta[3:6]
    )


def hand_residuals(theta, *, points, vertices):
    model = {key: part for key, part in hand_model().items() if key != "triangles"}
    return points - hand_vertices(theta, which=vertices, **model)


def hand_residuals_on_surface(coordinates_and_theta, *, points, triangles):
    """The complicated problem: each point lies somewhere on a triangle, and where is unknown."""
    n = len(points)
    u = coordinates_and_theta[: 2 * n].reshape(n, 2)
    theta = coordinates_and_theta[2 * n :]
    model = hand_model()
    corners = model["triangles"][triangles]
    rest = {key: part for key, part in model.items() if key != "triangles"}
    x = hand_vertices(theta, which=corners.ravel(), **rest).reshape(n, 3, 3)
    shares = np.stack([u[:, 0], u[:, 1], 1 - u[:, 0] - u[:, 1]], axis=1)
    return points - np.sum(shares[:, :, None] * x, axis=1)


def hand_instance(name):
    rows = lines(DATA / "hand" / name)
    n, m = (int(number) for number in rows[0])
    correspondences = np.array([int(row[0]) for row in rows[1 : 1 + n]])
    points = np.array([row[1:] for row in rows[1 : 1 + n]])
    unknowns = np.concatenate(rows[1 + n :])
    assert len(unknowns) in (m, 2 * n + m)
    return unknowns, points, correspondences


@every_way
def test_hand_with_known_vertices(jacobian):
    theta, points, vertices = hand_instance("test.txt")
    f = functools.partial(hand_residuals, points=points, vertices=vertices)
    assert_agrees(
        f(theta).ravel(), GOLDEN["hand/simple_objective_calculation_correctness/expected_objective"]
    )
    assert_agrees(
        jacobian(f, theta), GOLDEN["hand/simple_jacobian_calculation_correctness/expected_jacobian"]
    )


@every_way
def test_hand_with_unknown_places_on_triangles(jacobian):
    unknowns, points, triangles = hand_instance("hand_complicated.txt")
    f = functools.partial(hand_residuals_on_surface, points=points, triangles=triangles)
    assert_agrees(
        f(unknowns).ravel(),
        GOLDEN["hand/complicated_objective_calculation_correctness/expected_objective"],
    )
    found = jacobian(f, unknowns)
    n = len(points)
    # A point's residual depends on its own two coordinates only; ADBench stores just those.
    own = np.stack([found[i, 2 * (i // 3) : 2 * (i // 3) + 2] for i in range(3 * n)])
    assert np.count_nonzero(found[:, : 2 * n]) == np.count_nonzero(own)
    assert_agrees(
        np.concatenate([own, found[:, 2 * n :]], axis=1),
        GOLDEN["hand/complicated_jacobian_calculation_correctness/expected_jacobian"],
    )


# --------------------------------------------------------------------------------------------- LSTM


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm_loss(main, extra, *, state, sequence):
    """Average loss of a diagonal LSTM that predicts the next row of a sequence.

    The two is ADBench's own: its normalisation adds it to the sum of exponentials.
    """
    layers = len(main) // 2
    hidden, cell = list(state[0::2]), list(state[1::2])
    total = 0.0
    for now, after in itertools.pairwise(sequence):
        x = now * extra[0]
        for layer in range(layers):
            inputs = np.concatenate([x, hidden[layer], x, hidden[layer]])
            gates = inputs * main[2 * layer] + main[2 * layer + 1]
            forget, let_in, let_out, change = np.split(gates, 4)
            cell[layer] = cell[layer] * sigmoid(forget) + sigmoid(let_in) * np.tanh(change)
            hidden[layer] = x = sigmoid(let_out) * np.tanh(cell[layer])
        predicted = x * extra[1] + extra[2]
        total += np.sum(after * (predicted - np.log(np.sum(np.exp(predicted)) + 2)))
    return -total / sequence[1:].size


def lstm_instance():
    numbers = [row for row in lines(DATA / "lstm" / "lstm_l2_c1024.txt") if row]
    layers, length, bits = (int(number) for number in numbers[0])
    ends = np.cumsum([1, 2 * layers, 3, 2 * layers, length])
    main, extra, state, sequence = (np.array(numbers[a:b]) for a, b in itertools.pairwise(ends))
    assert sequence.shape == (length, bits)
    return (main, extra), {"state": state, "sequence": sequence}


def test_lstm():
    args, given = lstm_instance()
    value, gradient = cr.value_and_grad(lstm_loss, argnums=(0, 1))(*args, **given)
    # ADBench states this value to eight digits.
    expected = GOLDEN["lstm/objective_calculation_correctness/scalar"]
    assert value == pytest.approx(expected, abs=5e-9)
    assert_agrees(
        np.concatenate([g.ravel() for g in gradient]),
        GOLDEN["lstm/jacobian_calculation_correctness/expected_gradient"],
    )
