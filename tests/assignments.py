"""Random programs that write into arrays: views, copies, other names, operations in place.

A program is a function of one array, as lines of Python. NumPy's own run says what is right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SHAPES = ((3,), (4,), (2, 3), (3, 2), (2, 2), (1, 3))
INDICES: dict[int, tuple[str, ...]] = {
    1: ("0", "-1", "1:", ":-1", "::2", "::-1", "...", "[0, 1]", "[1, 1]", "[True] + [False] * {r}",
        "None", "{v} > 1.1", ":"),
    2: ("0", "1", "-1", ":, 0", "1:", ":, 1:", "::-1", "0, 1", "[0, 0]", "[0, 1], [1, 0]",
        ":, [0, 0]", "..., 0", "0, 1:", "{v} > 1.1", ":, ::-1", "None, 0", "[1], :"),
    3: ("0", "..., 0", "0, 0", ":, 0", "0, :, 0", ":, :, [0, 0]"),
}  # fmt: skip
VIEWS = (
    "{v}.T", "{v}.reshape(-1)", "{v}.ravel()", "np.asarray({v})", "np.atleast_2d({v})", "{v}[None]",
    "np.squeeze({v})", "np.expand_dims({v}, 0)", "np.swapaxes({v}, 0, -1)", "{v}[...]",
    "np.flip({v})", "{v}", "np.ravel({v}, 'F')", "np.reshape({v}, {v}.shape)",
    "np.moveaxis({v}, -1, 0)", "np.split({v}, 1)[0]", "np.array_split({v}, 2)[0]", "list({v})[0]",
    "np.broadcast_to({v}, {v}.shape)",
    "np.atleast_1d({v})", "np.flipud({v})", "np.rot90(np.atleast_2d({v}), 2)", "np.diagonal({v})",
    "np.real({v})", "np.broadcast_arrays({v}, {w})[0]",
)  # fmt: skip
COPIES = (
    "{v}.copy()", "np.array({v})", "{v} * 1.5", "np.sin({v})", "{v}.flatten()", "+{v}", "abs({v})",
    "np.zeros_like({v})", "np.ones({v}.shape, like={v})", "np.full_like({v}, 0.5)",
    "{v}.astype(float)",
    "np.full({v}.shape, np.sum({v}), like={v})", "np.concatenate([{v}, {v}])", "np.roll({v}, 0)",
    "np.sort({v})", "np.stack([{v}, {v}])", "np.clip({v}, -9, 9)", "np.where({v} > 0, {v}, 0.0)",
    "{v}.repeat(1)", "np.tile({v}, 1)", "np.append({v}, 1.0)", "np.array([{v}, {v}])",
    "np.take({v}, [0, 1])", "np.pad({v}, 0)", "np.nan_to_num({v})", "np.floor({v}) * {v}",
    "np.sum({v}, axis=())", "np.diff({v}, n=0)", "np.triu(np.atleast_2d({v}))", "np.copy({v})",
    "np.positive({v})", "np.cumsum({v})", "np.max({v}, axis=0)", "np.delete({v}, [], axis=0)",
    "np.resize({v}, {v}.shape)", "{v}.take([0], axis=0)", "np.linalg.matrix_power({v}, 1)",
)  # fmt: skip
VALUES = ("0.5", "x.flat[0]", "np.sum({w})", "{w}", "{w}[0]", "{w}[..., 0]", "{v}.T", "np.cos({w})",
          "{v}[::-1]", "[1.0, 2.0]", "1")  # fmt: skip
STATEMENTS = (
    "{v}[{i}] = {e}", "{v}[{i}] = {e}", "{v}[{i}] += {e}", "{v}[{i}] *= {e}", "{v} += {e}",
    "{v} *= {e}", "{v}[{i}] -= {e}", "{v}.fill({e})", "{v}.sort()", "np.copyto({v}, {e})",
    "np.add.at({v}, {j}, {e})", "np.put({v}, [0, -1, 0], {e})", "np.putmask({v}, {v} > 1.1, {e})",
    "np.place({v}, {v} < 1.1, [0.3, 0.4])", "np.fill_diagonal({v}, {e})", "{v}[{i}][{k}] = {e}",
    "np.put_along_axis({v}, np.zeros((1,) * {v}.ndim, int), 0.7, 0)",
    "{v}[{i}], {w}[{k}] = {w}[{k}], {v}[{i}]",
    "for row in {v}: row *= 1.2", "{v}.T[{k}] = {e}", "{v} /= 1.0 + np.sum({w} ** 2)",
    "np.subtract.at({v}, {j}, {e})", "{v}.put([0], {e})", "{v}.flat[1] = {e}",
    "{v}[{i}][{k}] += {e}",
    "{v} -= {v}.mean()", "np.copyto({v}, {e}, where={v} > 1.1)", "{v}[{i}] /= 2", "{v}[{i}] **= 2",
)  # fmt: skip


def run(lines: list[str], x: Any) -> Any:
    """The value of a program: a weighted sum of all its arrays, as they are at the end."""
    scope: dict[str, Any] = {"np": np, "x": x}
    exec("\n".join(lines), scope)
    arrays = [scope[name] for name in sorted(scope) if name == "x" or name[0] == "v"]
    total = 0.0
    for n, array in enumerate(arrays):
        weights = np.linspace(0.4, 1.7, int(np.size(array))).reshape(np.shape(array))
        total = total + np.sum(np.sin(array * (1.0 + 0.1 * n)) * weights)
    return total


def random_program(rng: np.random.Generator, shape: tuple[int, ...], length: int) -> list[str]:
    """A program that NumPy runs without an error on arrays of this shape."""
    lines: list[str] = []
    names = ["x"]

    def pick(choices: Any) -> str:
        return str(choices[int(rng.integers(len(choices)))])

    while len(lines) < length:
        fills = {"v": pick(names), "w": pick(names)}
        ndim = int(rng.integers(1, 4))
        fills |= {"i": pick(INDICES[ndim]), "k": pick(INDICES[max(ndim - 1, 1)]),
                  "j": pick(("0", "[0, 0]", "[1, 0, 1]", "..., 0")), "e": pick(VALUES)}  # fmt: skip
        kind = rng.random()
        template = pick(STATEMENTS)
        if kind < 0.45:
            source = pick(VIEWS) if kind < 0.2 else pick(COPIES) if kind < 0.33 else "{v}[{i}]"
            template = f"v{len(names)} = {source}"
        for _ in range(3):
            template = template.replace("{r}", str(shape[0] - 1))
            for key, fill in fills.items():
                template = template.replace("{" + key + "}", fill)
        try:
            with np.errstate(all="ignore"):
                value = run([*lines, template], point(shape))
        except Exception:  # whatever NumPy says, this is no program
            continue
        if not np.isfinite(value) or abs(value) > 1e3:
            continue
        lines.append(template)
        if kind < 0.45:
            names.append(f"v{len(names)}")
    return lines


def point(shape: tuple[int, ...]) -> Any:
    """Numbers without ties."""
    return (0.6 + 0.37 * np.arange(np.prod(shape)) ** 0.9).reshape(shape)
