"""Random programs of NumPy, compiled and interpreted: the results have to be the same.

A program is a list of lines that a user could have written: arithmetic with broadcasting,
reductions, indexing, assignment, contractions, joining, winners, loops, in several dtypes, with
values that are used again. What consists only of operations that NumPy and machine code round alike
has to agree in every bit; sums and elementary functions within a tolerance. Gradients of a loss of
the results are compared as well.

More than the few hundred of the test suite: ``python tests/test_compiled_fuzz.py COUNT [START]``.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np
import pytest
from fuzzing import all_right, main

import chainrule as cr
from chainrule.errors import TraceError

pytestmark = [
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::chainrule.AbsentGradientWarning"),
]

COUNT = 300
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 70)
MOST = 4000


def listed(text):
    """The parts of a list that is written with semicolons."""
    return [part.strip() for part in text.split(";")]


def marked(alike, otherwise):
    """Lines, each with whether every machine rounds it alike."""
    return [*((t, True) for t in listed(alike)), *((t, False) for t in listed(otherwise))]


UNARY = marked(
    """
    np.sqrt(np.abs({})); {} ** 2; np.square({}); -{}; np.abs({}); 1 / (1 + {0} * {0});
    {} * 0.5 + 1; np.maximum({}, 0); np.clip({}, -0.5, 1.0); {}.astype(np.float32);
    {}.astype(np.float64); np.copysign(1.5, {}); np.where(np.isnan({0}), 0, {0})
    """,
    """
    np.sin({}); np.tanh({}); np.exp(-np.abs({})); np.log1p(np.abs({})); np.arctan({});
    np.cos({}) * 2; np.exp2({} / 4); np.log(2 + {0} * {0}); np.cbrt({});
    np.expm1(np.minimum({}, 2.0)); np.logaddexp({}, 0.0); np.sinh({} / 4)
    """,
)
BINARY = marked(
    """
    {} + {}; {} - {}; {} * {}; {} / (2 + np.abs({})); np.maximum({}, {}); np.minimum({}, {});
    np.where({0} > {1}, {0}, {1} * 2); {0} * {1} + {0}; np.fmax({}, {})
    """,
    """
    np.arctan2({}, 1 + {} ** 2); np.hypot({}, {}); np.logaddexp({}, {});
    np.power(1 + np.abs({}), {} / 4)
    """,
)
REDUCTIONS = marked(
    """
    max; min; count_nonzero; any; argmax; argmin; ptp
    """,
    """
    sum; sum; mean; prod; var; std; logsumexp; softmax; norm
    """,
)
# Functions that jump, of floats; and whole numbers.
STEPS = listed("""
    np.floor({}); np.rint({} * 4); np.sign({}); np.trunc({} * 3).astype(np.int64); np.round({}, 1);
    np.ceil({}).astype(np.int32); np.remainder({}, 0.75); np.heaviside({}, 0.5); np.fmod({}, 0.75);
    ({} * 2) // 0.75
""")
WHOLE = listed("""
    {} + {}; {} * {}; {} - {} * 1; np.maximum({}, {}); {} // ({} + 10); {} % ({} * 2 + 9);
    np.abs({}) + {}; -{} * {}; ({} > 0) & ({} > 0); {} / ({} + 10); {} ** 2 + {};
    np.minimum({}, {}) * 2.5
""")


@dataclass
class Made:
    """A variable of a program: its value when the program was made, and if all round it alike."""

    name: str
    value: object
    exact: bool

    @property
    def shape(self):
        return np.shape(self.value)

    @property
    def kind(self):
        return np.asarray(self.value).dtype.kind


@dataclass
class Random:
    """A program that is being made."""

    seed: int
    rng: np.random.Generator = field(init=False)
    lines: list = field(default_factory=list)
    made: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    results: list = field(default_factory=list)

    def __post_init__(self):
        self.rng = np.random.default_rng(self.seed)
        for _ in range(self.rng.integers(1, 5)):
            self.input()
        for _ in range(int(self.rng.integers(3, 22))):
            self.step()
        own = [m for m in self.made if m.name not in self.names()] or self.made
        count = int(self.rng.integers(1, min(4, len(own)) + 1))
        places = {len(own) - 1, *self.rng.choice(len(own), count).tolist()}
        self.results = [own[k] for k in sorted(places)]

    # -------------------------------------------------------------------------------- small choices

    def one_of(self, *choices):
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, probability):
        return self.rng.random() < probability

    def shape(self, ndim=None):
        ndim = int(self.rng.choice(4, p=[0.15, 0.35, 0.35, 0.15])) if ndim is None else ndim
        while True:
            shape = tuple(int(n) for n in self.rng.choice(LENGTHS, ndim))
            if np.prod(shape) <= MOST:
                return shape

    def axes(self, ndim):
        """Some axes of an array, as NumPy's ``axis`` takes them."""
        if ndim == 0 or self.chance(0.25):
            return None
        count = int(self.rng.integers(1, ndim + 1))
        axes = tuple(int(a) for a in self.rng.choice(ndim, count, replace=False))
        axes = tuple(a - ndim if self.chance(0.3) else a for a in axes)
        return axes[0] if len(axes) == 1 and self.chance(0.7) else axes

    # ----------------------------------------------------------------------------- what is there

    def names(self):
        return [m.name for m in self.inputs]

    def input(self, value=None):
        if value is None:
            kind = self.one_of("f8", "f8", "f8", "f4", "i8", "i4", "b1")
            shape = self.related() if self.inputs and self.chance(0.6) else self.shape()
            if kind[0] == "f":
                value = self.rng.uniform(-2, 2, shape).astype(kind)
                if self.chance(0.2):
                    value = np.where(self.rng.random(shape) < 0.3, 0.0, value).astype(kind)
            elif kind[0] == "i":
                value = self.rng.integers(-3, 5, shape).astype(kind)
            else:
                value = self.rng.random(shape) < 0.5
            value = np.asarray(value)[()]
        made = Made(f"x{len(self.inputs)}", value, True)
        self.inputs.append(made)
        self.made.append(made)
        return made

    def related(self):
        """A shape that broadcasts with that of something that is there."""
        shape = self.one_of(*self.made).shape
        start = int(self.rng.integers(0, len(shape) + 1)) if self.chance(0.5) else 0
        return tuple(1 if self.chance(0.2) else n for n in shape[start:])

    def some(self, *, kinds="f", ndim=None, exact=False, where=lambda m: True):
        """A variable of some kind, a late one rather than an early one."""
        fitting = [
            m for m in self.made
            if m.kind in kinds and (ndim is None or len(m.shape) in ndim)
            and (m.exact or not exact) and where(m)
        ]  # fmt: skip
        if not fitting:
            return None
        place = len(fitting) - 1 - int(self.rng.exponential(2.5)) % len(fitting)
        return fitting[place]

    def fitting(self, shape, **options):
        """A variable that broadcasts with a shape."""

        def fits(m):
            try:
                return np.prod(np.broadcast_shapes(m.shape, shape)) <= MOST
            except ValueError:
                return False

        return self.some(where=fits, **options)

    def add(self, text, operands, exact):
        """One more line; what is not finite, too large or empty is not kept."""
        name = f"v{len(self.lines)}"
        known = {m.name: m.value for m in self.made} | {"np": np, "cr": cr}
        with np.errstate(all="ignore"):
            local = dict(known)
            exec(text.replace("OUT", name), local)
        value = local[name]
        array = np.asarray(value)
        if not 0 < array.size <= MOST or array.dtype.kind not in "fib":
            return
        if array.dtype.kind == "f" and not np.abs(array).max() <= 1e3:
            return
        self.lines.append((name, text.replace("OUT", name), [m.name for m in operands]))
        self.made.append(Made(name, value, exact and all(m.exact for m in operands)))

    def step(self):
        steps = [
            self.unary, self.unary, self.binary, self.binary, self.binary, self.reduction,
            self.reduction, self.move, self.move, self.slice, self.gather, self.assignment,
            self.contraction, self.joining, self.selection, self.whole, self.running,
            self.winners, self.loop,
        ]  # fmt: skip
        self.one_of(*steps)()

    # ---------------------------------------------------------------------------------------- lines

    def unary(self):
        text, exact = self.one_of(*UNARY)
        x = self.some(exact="copysign" in text)
        if x is not None:
            self.add("OUT = " + text.format(x.name), [x], exact)

    def binary(self):
        text, exact = self.one_of(*BINARY)
        sharp = "where" in text
        x = self.some(exact=sharp)
        y = x and self.fitting(x.shape, kinds="fffi", exact=sharp)
        if y is not None:
            self.add("OUT = " + text.format(x.name, y.name), [x, y], exact)

    def reduction(self):
        name, exact = self.one_of(*REDUCTIONS)
        sharp = exact or name == "std"
        x = self.some(exact=sharp, kinds="fffib" if name in ("sum", "any", "max", "mean") else "f")
        if x is None:
            return
        axis = self.axes(len(x.shape))
        if name.startswith("arg") and isinstance(axis, tuple):
            axis = axis[0]
        if name == "logsumexp":
            over = f"axis={axis}, keepdims=True"
            text = (
                f"np.log(np.sum(np.exp({x.name} - np.max({x.name}, {over})), {over}))"
                f" + np.max({x.name}, {over})"
            )
        elif name == "softmax":
            text = (
                f"np.exp({x.name} - np.max({x.name}, axis={axis}, keepdims=True))"
                f" / np.sum(np.exp({x.name} - np.max({x.name}, axis={axis}, keepdims=True)),"
                f" axis={axis}, keepdims=True)"
            )
        elif name == "norm":
            axis = axis if isinstance(axis, int) else None
            text = f"np.linalg.norm({x.name}, axis={axis})" if axis is not None else (
                f"np.linalg.norm(np.ravel({x.name}))"
            )  # fmt: skip
        else:
            text = f"np.{name}({x.name}, axis={axis}, keepdims={self.chance(0.4)})"
        self.add("OUT = " + text, [x], exact)

    def move(self):
        x = self.some(kinds="fffib")
        if x is None:
            return
        ndim, n = len(x.shape), x.name
        axis = int(self.rng.integers(0, max(ndim, 1)))
        shift = int(self.rng.integers(-3, 4))
        sizes = list(self.reshapes(x.shape))
        choices = [
            f"np.reshape({n}, {self.one_of(*sizes)})", f"{n}.ravel()" if ndim else f"{n} + 0",
            f"np.transpose({n})", f"np.squeeze({n})", f"np.expand_dims({n}, 0)",
            f"np.broadcast_to({n}, {(int(self.rng.integers(1, 4)), *x.shape)})",
        ]  # fmt: skip
        if ndim:
            order = tuple(int(a) for a in self.rng.permutation(ndim))
            choices += [
                f"np.transpose({n}, {order})", f"np.flip({n}, {axis})",
                f"np.roll({n}, {shift}, {axis})",
                f"np.roll({n}, {shift})", f"np.repeat({n}, 2, axis={axis})", f"np.tile({n}, 2)",
                f"np.moveaxis({n}, {axis}, 0)", f"np.pad({n}, 1)",
                f"np.pad({n}, (2, 1), mode='edge')",
                f"np.swapaxes({n}, {axis}, -1)",
            ]  # fmt: skip
        if ndim >= 2:
            choices += [
                f"np.diagonal({n}, {self.one_of(-1, 0, 1)})", f"np.tril({n}, {shift})",
                f"np.triu({n})",
                f"np.diagonal({n}, 0, 0, {ndim - 1})",
            ]  # fmt: skip
        if ndim == 1:
            choices += [f"np.diag({n})", f"np.outer({n}, {n})"]
        self.add("OUT = " + self.one_of(*choices), [x], True)

    def reshapes(self, shape):
        count = int(np.prod(shape))
        yield (-1,)
        yield (1, *shape)
        for k in (2, 3, 4, 8):
            if count % k == 0 and count:
                yield (k, count // k)
                yield (count // k, k)
            if count % (2 * k) == 0 and count:
                yield (2, count // (2 * k), k)
        for a, (n, m) in enumerate(itertools.pairwise(shape)):
            yield (*shape[:a], n * m, *shape[a + 2 :])

    def part(self, n):
        """A slice of an axis that is not empty."""
        step = self.one_of(1, 1, 1, 2, 3, -1, -2)
        low = int(self.rng.integers(0, n))
        high = int(self.rng.integers(low + 1, n + 1))
        if self.chance(0.3):
            return f"::{step}"
        if step < 0:
            return f"{high - 1}:{low - 1 if low else ''}:{step}"
        return f"{low}:{high}:{step}" if step > 1 else f"{low}:{high}"

    def index(self, shape, arrays=True, numbers=True):
        """An index, written out, of slices, numbers, new axes, and arrays of places."""
        parts, some, count = [], [], int(self.rng.integers(0, len(shape) + 1))
        lengths = self.one_of((), (3,), (5,), (2, 3))
        for n in shape[:count]:
            how = self.rng.random()
            if arrays and how < 0.35:
                places = self.rng.integers(
                    -n, n, self.one_of(lengths, lengths, (1,) * len(lengths))
                )
                if self.chance(0.5):
                    made = self.input(places)
                    some.append(made)
                    parts.append(made.name)
                else:
                    parts.append(f"np.array({places.tolist()})")
            elif numbers and how < 0.5:
                parts.append(str(int(self.rng.integers(-n, n))))
            else:
                parts.append(self.part(n))
        if self.chance(0.15) and numbers:
            parts.insert(int(self.rng.integers(0, len(parts) + 1)), "None")
        if self.chance(0.15) and count == len(shape):
            parts.insert(0, "...")
        return ", ".join(parts) or "...", some

    def slice(self):
        x = self.some(kinds="fffib", ndim=(1, 2, 3))
        if x is not None:
            text, _ = self.index(x.shape, arrays=False)
            self.add(f"OUT = {x.name}[{text}]", [x], True)

    def gather(self):
        x = self.some(kinds="fffi", ndim=(1, 2, 3))
        if x is None:
            return
        if self.chance(0.25):
            axis = int(self.rng.integers(0, len(x.shape)))
            shape = tuple(4 if k == axis else n for k, n in enumerate(x.shape))
            places = self.input(self.rng.integers(0, x.shape[axis], shape))
            text = f"OUT = np.take_along_axis({x.name}, {places.name}, {axis})"
            self.add(text, [x, places], True)
            return
        text, some = self.index(x.shape)
        self.add(f"OUT = {x.name}[{text}]", [x, *some], True)

    def assignment(self):
        x = self.some(ndim=(1, 2, 3))
        if x is None:
            return
        sign = self.one_of("=", "=", "+=", "*=")
        text, some = self.index(x.shape, arrays=self.chance(0.5))
        part = eval(f"{x.name}[{text}]", {m.name: m.value for m in self.made} | {"np": np})
        y = self.fitting(np.shape(part), exact=True)
        with_value = y is not None and len(y.shape) <= len(x.shape) and self.chance(0.6)
        value = y.name if with_value else self.one_of("0.5", "0", "1.25")
        operands = [x, *some, *([y] if with_value else [])]
        copy = self.one_of(f"np.copy({x.name})", f"{x.name} * 1.0", f"np.array({x.name})")
        if with_value:  # the value has to fit into the part
            try:
                local = {m.name: m.value for m in self.made} | {"np": np}
                exec(f"out = np.copy({x.name}); out[{text}] {sign} {value}", local)
            except (ValueError, np.exceptions.DTypePromotionError):
                return
        self.add(f"OUT = {copy}; OUT[{text}] {sign} {value}", operands, True)

    def contraction(self):
        x = self.some(ndim=(1, 2, 3))
        if x is None:
            return
        y = self.some(ndim=(1, 2, 3), where=lambda m: bool({*m.shape} & {*x.shape}))
        if y is None:
            return
        how = self.one_of("matmul", "einsum", "einsum", "einsum")
        if how == "matmul":
            try:
                np.matmul(x.value, y.value)
            except ValueError:
                return
            self.add(f"OUT = {x.name} @ {y.name} / 8", [x, y], False)
            return
        letters = "abcdefgh"
        left = letters[: len(x.shape)]
        right = ""
        for k, n in enumerate(y.shape):
            same = [c for c, m in zip(left, x.shape, strict=True) if m == n and c not in right]
            right += self.one_of(*same) if same and self.chance(0.7) else letters[len(left) + k]
        both = "".join(dict.fromkeys(left + right))
        sizes = dict(zip(left + right, x.shape + y.shape, strict=True))
        if np.prod([sizes[c] for c in both]) > 200_000:
            return
        kept = [c for c in both if self.chance(0.6 if c in left and c in right else 0.7)]
        out = "".join(self.rng.permutation(kept)) if kept else ""
        self.add(f"OUT = np.einsum('{left},{right}->{out}', {x.name}, {y.name}) / 8", [x, y], False)

    def joining(self):
        x = self.some(kinds="fffi", ndim=(1, 2, 3))
        if x is None:
            return
        axis = int(self.rng.integers(0, len(x.shape)))

        def joins(m):
            return len(m.shape) == len(x.shape) and all(
                k == axis or a == b for k, (a, b) in enumerate(zip(m.shape, x.shape, strict=True))
            )

        y = self.some(kinds="fffi", where=joins) or x
        if self.chance(0.3) and x.shape == y.shape:
            self.add(f"OUT = np.stack(({x.name}, {y.name}, {x.name}), {axis})", [x, y], True)
        else:
            self.add(f"OUT = np.concatenate(({x.name}, {y.name}), {axis})", [x, y], True)

    def selection(self):
        c = self.some(kinds="b")
        if c is None or self.chance(0.5):
            x = self.some(kinds="fi", exact=True)
            y = x and self.fitting(x.shape, kinds="fi", exact=True)
            if y is not None:
                sign = self.one_of("<", "<=", ">", "==", "!=")
                self.add(f"OUT = {x.name} {sign} {y.name}", [x, y], True)
            return
        x = self.fitting(c.shape)
        y = x and self.fitting(np.broadcast_shapes(c.shape, x.shape), kinds="fi")
        if y is None:
            return
        name = c.name if self.chance(0.7) else f"~{c.name}"
        self.add(f"OUT = np.where({name}, {x.name}, {y.name})", [c, x, y], True)

    def whole(self):
        x = self.some(kinds="i") if self.chance(0.6) else None
        if x is None:
            x = self.some(exact=True)
            text = self.one_of(*STEPS)
            if x is not None:
                self.add("OUT = " + text.format(x.name), [x], True)
            return
        y = self.fitting(x.shape, kinds="ib")
        if y is None:
            return
        text = self.one_of(*WHOLE)
        self.add("OUT = " + text.format(x.name, y.name), [x, y], True)

    def running(self):
        x = self.some(ndim=(1, 2, 3))
        if x is None or max(x.shape) > 40:
            return
        axis = int(self.rng.integers(-len(x.shape), len(x.shape)))
        text = self.one_of(
            f"np.cumsum({x.name}, axis={axis}) / 4", f"np.cumprod(np.tanh({x.name}), axis={axis})",
            f"np.diff({x.name}, axis={axis})", f"np.sort({x.name}, axis={axis})",
        )  # fmt: skip
        if "sort" in text and not x.exact:
            return
        self.add("OUT = " + text, [x], "sort" in text or "diff" in text)

    def winners(self):
        """The largest or smallest of an axis get a number, everybody else zero; then sums."""
        x = self.some(exact=True, ndim=(2, 3))
        w = x and self.fitting(x.shape, ndim=range(len(x.shape) + 1))
        if w is None:
            return
        shape = np.broadcast_shapes(x.shape, w.shape)
        axis, best = int(self.rng.integers(-len(x.shape), 0)), self.one_of("max", "min")
        text = f"np.where({x.name} == np.{best}({x.name}, axis={axis}, keepdims=True), {w.name}, 0)"
        row = self.some(ndim=(1,))
        matrix = self.some(ndim=(2,), where=lambda m: m.shape[0] == shape[-2])
        if matrix is not None and self.chance(0.4):
            text, others = f"np.swapaxes({text}, -1, -2) @ {matrix.name} / 8", [matrix]
        elif row is not None and self.chance(0.6) and np.prod(shape) * row.shape[0] <= 50_000:
            axes = self.axes(len(x.shape) + 1)
            text, others = f"np.sum({text}[..., None] * {row.name}, axis={axes}) / 8", [row]
        else:
            text, others = f"np.sum({text}, axis={self.axes(len(x.shape))}) / 4", []
        self.add("OUT = " + text, [x, w, *others], False)

    def loop(self):
        """A loop over the rows of an array, or over nothing but its number."""
        x = self.some(ndim=(1, 2, 3))
        if x is None or x.value.dtype != np.float64:
            return
        n = x.name
        rows = f"lambda c, r: (np.tanh(c + r) * 0.9, c * r), {n}[-1] * 0.5, {n}"
        text = self.one_of(
            f"cr.scan({rows})[0]", f"cr.scan({rows})[1]", f"cr.scan({rows}, reverse=True)[1]",
            f"cr.scan(lambda c, r: (np.maximum(c, r), np.sum(c) / 8), {n}[0], {n})[1]",
            f"cr.fori_loop(0, 4, lambda k, c: np.sin(c) + {n} / (k + 1), {n})",
            f"cr.cond(np.sum({n}) > 1000, lambda c: c * 2, lambda c: np.cos(c) + c, {n})",
        )  # fmt: skip
        self.add("OUT = " + text, [x], False)

    # ---------------------------------------------------------------------------- the whole program

    def source(self, results=None):
        """The function, with the lines that its results need."""
        wanted = {m.name for m in results or self.results}
        needed = []
        for name, text, operands in reversed(self.lines):
            if name in wanted:
                needed.append(text)
                wanted.update(operands)
        names = [m.name for m in results or self.results]
        body = "\n".join(f"    {line}" for line in reversed(needed))
        return f"def f({', '.join(self.names())}):\n{body}\n    return ({', '.join(names)},)"

    def function(self, results=None):
        local = {"np": np, "cr": cr}
        exec(self.source(results), local)
        return local["f"]

    @property
    def tolerance(self):
        """How far results may be apart, beside the largest number or 1."""
        narrow = any(m.value.dtype == np.float32 for m in self.made)
        return 1e-3 if narrow else 1e-9

    def arguments(self):
        return tuple(m.value for m in self.inputs)


def difference(found, expected, exact, tolerance):
    """What is wrong with a result, in words; nothing if it is right."""
    # NumPy has some functions that give an array of no dimensions instead of a number.
    found, expected = (x if np.ndim(x) else np.asarray(x)[()] for x in (found, expected))
    if type(found) is not type(expected):
        return f"{type(found).__name__} instead of {type(expected).__name__}"
    a, b = np.asarray(found), np.asarray(expected)
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{a.dtype}{a.shape} instead of {b.dtype}{b.shape}"
    if exact or b.dtype.kind != "f":
        same = np.array_equal(a, b, equal_nan=b.dtype.kind == "f")
        return "" if same else f"not the same in every bit\n{a!r}\ninstead of\n{b!r}"
    with np.errstate(all="ignore"):
        off = np.abs(a.astype(float) - b) > tolerance * (1 + np.max(np.abs(b), initial=0.0))
    nans = np.isnan(a) != np.isnan(b)
    return f"{a!r}\ninstead of\n{b!r}" if (off | nans).any() else ""


def loss_of(f, chosen):
    """A number that depends on all float results."""

    def loss(*args):
        total = 0.0
        for k, value in enumerate(f(*args)):
            if k in chosen:
                total = total + np.sum(np.sin(value.astype(np.float64) + 0.3 * k))
        return total

    return loss


def differences(program, results=None):
    """What is wrong with the compiled program: of its results, or of the gradient of a loss."""
    f, args = program.function(results), program.arguments()
    results = results or program.results
    kept = [np.copy(a) for a in args]
    with np.errstate(all="ignore"):
        expected = f(*args)
        found = cr.jit(f)(*args)
        for m, a, b in zip(results, found, expected, strict=True):
            wrong = difference(a, b, m.exact, program.tolerance)
            if wrong:
                return f"{m.name}: {wrong}"
        if not all(np.array_equal(a, k) for a, k in zip(args, kept, strict=True)):
            return "an argument was written into"
        if any(isinstance(a, np.ndarray) and np.shares_memory(a, x) for a in found for x in args):
            return "a result shares memory with an argument"
        moved = tuple(k for k, m in enumerate(program.inputs) if m.kind == "f")
        chosen = {k for k, m in enumerate(results) if m.kind == "f"}
        if not moved or not chosen:
            return ""
        gradient = cr.value_and_grad(loss_of(f, chosen), argnums=moved)
        try:
            value, slopes = gradient(*args)
        except TraceError:  # a part of an array that is not traced is assigned to
            return ""
        compiled, again = cr.jit(gradient)(*args)
        wrong = difference(compiled, value, exact=False, tolerance=program.tolerance)
        if wrong:
            return f"the loss: {wrong}"
        for n, (k, a, b) in enumerate(zip(moved, again, slopes, strict=True)):
            wrong = difference(a, b, exact=False, tolerance=program.tolerance)
            if wrong and not is_noise(gradient, args, n, b, program.tolerance):
                return f"the gradient in x{k}: {wrong}"
    return ""


def is_noise(gradient, args, n, slope, tolerance):
    """Whether a gradient is made of rounding errors: those of the arguments change it as much.

    The standard deviation of numbers that are all equal, for one: its gradient divides the rounding
    error of their mean by itself.
    """
    near = [np.nextafter(a, np.inf) if np.asarray(a).dtype.kind == "f" else a for a in args]
    _, slopes = gradient(*near)
    return bool(difference(slopes[n], slope, exact=False, tolerance=tolerance))


def fails(program, results):
    """Whether the program with these results is wrong, or breaks."""
    try:
        return bool(differences(program, results))
    except Exception:  # an error is what is looked for
        return True


def smallest(program):
    """A short part of the program that is wrong as well: one result, or those that are needed."""
    for made in program.made:
        if made.name not in program.names() and fails(program, [made]):
            return program.source([made])
    results = list(program.results)
    for made in program.results:
        fewer = [m for m in results if m is not made]
        if fewer and fails(program, fewer):
            results = fewer
    return program.source(results)


@pytest.mark.parametrize("start", range(0, COUNT, 25))
def test_a_random_program_gives_compiled_what_it_gives_interpreted(start):
    all_right(Random, differences, range(start, start + 25), smallest)


if __name__ == "__main__":
    main(Random, differences, smallest)
