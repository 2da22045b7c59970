"""The names that operations get from the source text of the functions that performed them."""

from __future__ import annotations

import functools
import gc
import importlib.util
import linecache
import math
import operator
import subprocess
import sys
import textwrap
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from chainrule.sources.names import Origins, Place

# A tracer in miniature. Its file name makes it library code, whose frames are not the user's.
LIBRARY = "/library/of/the/test"
TRACER = """
import functools

class Traced:
    def __init__(self, origins):
        self.origins = origins

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return apply(self)

    def __array_function__(self, function, types, args, kwargs):
        self.origins.record(1, inner=True)
        return apply(self)

    def __iter__(self):
        for i in range(2):
            yield self[i]

    @property
    def T(self):
        return apply(self)

    def softplus(self):
        return apply(self)

    def __bool__(self):
        return True

def method(self, *args):
    return apply(self)

for name in "add radd sub mul rmul truediv pow matmul neg abs getitem lt eq".split():
    setattr(Traced, f"__{name}__", method)
Traced.__hash__ = object.__hash__
Traced.sum = method

def apply(traced):
    traced.origins.record(2)
    return Traced(traced.origins)

def relu(x):
    return apply(x)

def call(function, *args):
    return function(*args)

class Vectorized:
    def __init__(self, function):
        self.function = function

    def __call__(self, xs):
        return [self.function(x) for x in xs]
"""
tracer: dict[str, Any] = {"__name__": "tracer"}
exec(compile(TRACER, f"{LIBRARY}/tracer.py", "exec"), tracer)
Traced, relu, vectorized, call = (tracer[n] for n in ("Traced", "relu", "Vectorized", "call"))


def trace(function: Callable[..., Any]) -> list[Place]:
    """Call a function with traced values, one for each parameter, from library code."""
    origins = Origins(internal=[LIBRARY])
    values = [Traced(origins) for _ in range(function.__code__.co_argcount)]
    call(function, *values)
    origins.release()
    return origins.resolve()


def names(function: Callable[..., Any]) -> list[str | None]:
    return [place.name for place in trace(function)]


def test_operator_ufunc_method_and_item_are_named_by_assignment() -> None:
    def f(x, y):
        a = x * 2
        b = np.sin(a)
        c = b.sum()
        d = c[0]
        e = -d
        g = e @ y
        h = g.T
        i = abs(h)
        j = i < 1
        return a, b, c, d, e, g, h, i, j

    assert names(f) == ["a", "b", "c", "d", "e", "g", "h", "i", "j"]


def test_only_the_outermost_operation_of_an_expression_has_the_name() -> None:
    def f(x):
        a = np.sin(x) + 1
        return a

    assert names(f) == [None, "a"]


def test_an_alias_does_not_rename() -> None:
    def f(x):
        t = x * 2
        b = t
        return b

    assert names(f) == ["t"]


def test_tuples_and_nested_unpacking_go_by_position() -> None:
    def f(x):
        a, b = x * 1, x * 2
        (c, [d, e]), g = (x * 3, (x * 4, x * 5)), x * 6
        h, *i, j = x * 7, x * 8, x * 9, x * 10
        return a, b, c, d, e, g, h, i, j

    found = names(f)
    assert found == ["a", "b", "c", "d", "e", "g", "h", "i[0]", "i[1]", "j"]


def test_what_cannot_be_matched_by_position_has_no_name() -> None:
    def f(x):
        a, b, c = *[1], x * 2, x * 3
        return a, b, c

    assert names(f) == [None, None]


def test_unpacking_a_traced_value_names_its_items() -> None:
    def f(x):
        a, b = x
        for c, d in [x, x]:
            c * d
        e, *g = x
        return a, b, e, g

    assert names(f) == ["a", "b", "c", "d", None, "c", "d", None, None, None]


def test_iteration_names_nothing() -> None:
    def f(x):
        rows = list(x)
        more = [*x]
        for row in x * 2:
            row.sum()
        y = np.hypot(*x)
        return rows, more, y

    assert set(names(f)) == {None}


def test_augmented_assignment() -> None:
    def f(x):
        a = x * 1
        a += x * 2
        h = [a]
        h[0] -= x
        return h

    assert names(f) == ["a", None, "a", "h[0]"]


def test_walrus_is_the_innermost_name() -> None:
    def f(x):
        a = (b := x * 2)
        c = (d := x * 3) + 1
        return a, b, c, d

    assert names(f) == ["b", "d", "c"]


def test_attribute_and_item_targets_are_named_as_written() -> None:
    class Model:
        pass

    def f(x):
        self = Model()
        self.z = x * 1
        h = [None, None]
        i = 1
        h[0] = x * 2
        h[i] = x * 3
        p = {}
        p["W"] = x * 4
        p[str(i)] = x * 5
        return h

    assert names(f) == ["self.z", "h[0]", "h[i]", 'p["W"]', None]


def test_displays_number_their_items() -> None:
    def f(x):
        pair = (x * 1, x * 2)
        p = {"W": x * 3, 1: [x * 4]}
        q = {"W": x * 5, **p}
        r = {x * 6}
        return pair, p, q, r

    assert names(f) == ["pair[0]", "pair[1]", 'p["W"]', "p[1][0]", None, None]


def test_chained_and_annotated_assignment() -> None:
    def f(x):
        a = b = x * 1
        c: Any = x * 2
        return a, b, c

    assert names(f) == ["a", "c"]


def test_conditional_expression_passes_either_arm_on() -> None:
    def f(x):
        for p in True, False:
            a = x * 1 if p else x * 2
        b = 1 if x * 3 else 2
        c = x * 4 or 2
        return a, b, c

    assert names(f) == ["a", "a", None, None]


def test_a_comparison_of_three_or_a_negation_has_no_name() -> None:
    def f(x):
        a = x < x < x
        b = x in [1, 2]
        return a, b

    assert set(names(f)) == {None}


def test_arguments_are_not_named() -> None:
    def f(x):
        a = str(object=x * 1)
        b = [].append(x * 2)
        return a, b

    assert names(f) == [None, None]


def test_comprehension_numbers_the_elements() -> None:
    def f(x):
        hs = [np.tanh(v) for v in [x, x, x]]
        pairs = [(v * 1, v * 2) for v in hs if v is not hs[0]]
        return hs, pairs

    found = names(f)
    assert found[:3] == ["hs[0]", "hs[1]", "hs[2]"]
    assert found[3:] == ["pairs[0][0]", "pairs[0][1]", "pairs[1][0]", "pairs[1][1]"]


def test_comprehension_returned_by_a_function() -> None:
    def each(vs):
        return [np.tanh(v) for v in vs]

    def f(x):
        hs = each([x, x])
        return hs

    assert names(f) == ["hs[0]", "hs[1]"]


def test_comprehension_of_function_values() -> None:
    def layer(v):
        z = v * 2
        return np.tanh(z)

    def f(x):
        hs = [layer(v) for v in [x, x]]
        return hs

    assert names(f) == ["z", "hs[0]", "z", "hs[1]"]


def test_comprehension_with_elements_that_leave_no_record_is_not_numbered() -> None:
    def f(x):
        hs = [v * 2 for v in [1.0, x]]
        return hs

    assert names(f) == [None]


def test_comprehension_in_a_loop_or_nested_is_not_numbered() -> None:
    def f(x):
        for n in 1, 2:
            hs = [v * 2 for v in [x] * n]
        table = [[v * w for v in [x, x]] for w in [x, x]]
        flat = [v * w for v in [x, x] for w in [x]]
        return hs, table, flat

    assert set(names(f)) == {None}


def test_value_returned_through_two_functions() -> None:
    def inner(v):
        return np.tanh(v)

    def outer(v):
        return inner(v * 2)

    def f(x):
        h = outer(x)
        return h

    assert names(f) == [None, "h"]


def test_returned_tuples_are_matched_by_position() -> None:
    def both(v):
        return np.sin(v), np.cos(v)

    def f(x):
        s, c = both(x)
        pair = both(x)
        return s, c, pair

    assert names(f) == ["s", "c", "pair[0]", "pair[1]"]


def test_lambdas_return_their_body() -> None:
    square = lambda v: v**2

    def f(x):
        a = square(x)
        b = (lambda v: v + 1)(x)
        return a, b

    assert names(f) == ["a", "b"]


def test_the_result_of_the_traced_function_is_marked() -> None:
    def g(v):
        return v * 2

    def f(x):
        y = x * 1
        return g(x) if y is not None else x, y

    assert [(p.name, p.returned) for p in trace(f)] == [("y", False), (None, True)]


def test_recursion_keeps_the_calls_apart() -> None:
    def power(v, n):
        if n == 0:
            return v * 1
        rest = power(v, n - 1)
        return rest * v

    def f(x):
        y = power(x, 3)
        return y

    places = trace(f)
    assert [p.name for p in places] == ["rest", "rest", "rest", "y"]
    assert [p.call for p in places] == [4, 3, 2, 1]


def test_a_loop_repeats_the_name() -> None:
    def f(x):
        s = x
        for _ in range(3):
            s = s + x
        while s is None:
            pass
        for _ in range(2):
            s = np.sin(s)
        return s

    assert names(f) == ["s"] * 5


def test_expressions_over_several_lines() -> None:
    def f(x):
        a = (
            x
            * 2
        )  # fmt: skip
        b = (
            a
            .sum()
            .T
        )  # fmt: skip
        c = np.sin(
            b
        )  # fmt: skip
        return c

    places = trace(f)
    assert [p.name for p in places] == ["a", None, "b", "c"]
    first = f.__code__.co_firstlineno
    assert [p.statement for p in places] == [
        (first + 1, first + 4),
        (first + 5, first + 9),
        (first + 5, first + 9),
        (first + 10, first + 12),
    ]
    assert places[0].source == "a = ("


def test_unicode_names_and_text() -> None:
    def f(x):
        é = "ünïcödé — ∂"; θ = x * 2; 名 = θ.sum()  # noqa: E702  # fmt: skip
        self = ModuleType("é")
        self.σ = 名 * 2; h = {"é": 1, "λ": x * 3}  # noqa: E702  # fmt: skip
        return é, self, h

    assert names(f) == ["θ", "名", "self.σ", 'h["λ"]']


def test_sum_of_a_generator_names_the_total_only() -> None:
    def f(x):
        s = sum(v * 2 for v in [x, x, x])
        m = max([x, x])
        return s, m

    assert names(f) == [None, None, None, None, None, "s", None]


def test_built_in_folds_name_their_last_operation() -> None:
    def f(x):
        a = math.prod([x, x])
        b = functools.reduce(operator.add, [x, x, x])
        c = sum([x, x])
        d = functools.reduce(np.add, [x, x])
        e = np.add.reduce(x)
        return a, b, c, d, e

    assert names(f) == [None, "a", None, "b", None, "c", "d", "e"]


def test_a_function_that_built_in_code_calls_returns_to_that_code() -> None:
    def g(v, *_):
        return v * 2

    def f(x):
        a = list(map(g, [x, x]))
        b = sorted([x, x], key=g)[0]
        c = functools.reduce(g, [x, x, x])
        d = vectorized(g)([x, x])
        e = functools.partial(g)(x)
        return a, b, c, d, e

    assert set(names(f)) == {None}


def test_built_in_code_that_calls_operations_names_nothing() -> None:
    def f(x):
        a = list(map(np.sin, [x, x]))
        b = next(map(np.sin, [x, x]))
        as_list = list
        c = as_list(map(np.sin, [x]))
        return a, b, c

    assert set(names(f)) == {None}


def test_functions_under_other_names_are_followed() -> None:
    def twice(v):
        return v * 2

    def f(x):
        g = functools.partial(twice)
        a = g(x)
        act = np.tanh
        b = act(a)
        choice = {"a": twice, "b": np.sin}
        c = choice["a"](b)
        d = relu(c)
        e = d.softplus() + 1
        return e

    assert names(f) == ["a", "b", "c", "d", None, "e"]


def test_decorated_functions() -> None:
    def logged(function):
        @functools.wraps(function)
        def wrapper(*args):
            result = function(*args)
            return result

        return wrapper

    def passing(function):
        return lambda *args: function(*args, *[])

    @passing
    def layer(v):
        return np.tanh(v)

    @logged
    def other(v):
        return np.tanh(v)

    def f(x):
        h = layer(x)
        k = other(x)
        return h, k

    assert names(f) == ["h", "result"]


def test_closures_and_functions_made_by_functions() -> None:
    def scale(w):
        def layer(v):
            return w * v

        return layer

    def f(x):
        double = scale(2)
        a = double(x)
        b = scale(3)(x)
        return a, b

    assert names(f) == ["a", "b"]


class Dense:
    def __call__(self, v):
        return np.tanh(v)


class Net:
    def __init__(self):
        self.first, self.rest, self.act = Dense(), [Dense(), Dense()], np.sin

    def hidden(self, v):
        h = self.first(v)
        for layer in self.rest:
            h = layer(h)
        return self.rest[0](h)

    def apply(self, v):
        z = self.hidden(v)
        self.y = self.act(z)
        return self.y

    @staticmethod
    def scaled(v):
        return v * 2

    @property
    def doubled(self):
        return self.y * 2


def test_methods_and_callable_objects() -> None:
    def f(x):
        net = Net()
        y = net.apply(x)
        z = Net.scaled(y)
        d = net.doubled
        return z, d

    assert names(f) == ["h", "h", "h", "z", "self.y", "z", None]


def test_generators_have_calls_of_their_own() -> None:
    def values(v) -> Iterator[Any]:
        a = v * 2
        yield a
        b = yield v * 3
        return b

    def f(x):
        for v in values(x):
            w = v * 1
        return w

    places = trace(f)
    assert [p.name for p in places] == ["a", "w", None, "w"]
    assert [p.call for p in places] == [1, 0, 1, 0]


def test_class_bodies() -> None:
    def f(x):
        class Constants:
            double = x * 2

        return Constants

    place = trace(f)[0]
    assert place.name == "double"
    assert place.function is not None
    assert place.function.endswith("Constants")


def test_a_return_that_finally_overrides_is_not_followed() -> None:
    def g(v):
        try:
            return v * 1
        finally:
            return v * 2  # noqa: B012, SIM107

    def f(x):
        a = g(x)
        return a

    assert set(names(f)) == {None}


def test_steps_of_a_larger_operation_have_no_name() -> None:
    def f(x):
        for _ in range(2):
            m = np.mean(x)
        return m

    assert names(f) == [None, "m", None, "m"]


def test_a_place_tells_line_file_function_and_statement() -> None:
    def f(x):
        y = x * 2
        if x * 3:
            y = y + 1
        return y

    first = f.__code__.co_firstlineno
    product, test, _ = trace(f)
    assert product == Place(
        name="y",
        line=first + 1,
        file=__file__,
        source="y = x * 2",
        function=f.__qualname__,
        call=0,
        statement=(first + 1, first + 1),
    )
    assert test.source == "if x * 3:"
    assert test.statement == (first + 2, first + 2)


def test_a_script_is_user_code_too(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("y = x * 2\ntotal = (lambda v: v + y)(x)\nhs = [v * 2 for v in [x, y]]\n")
    origins = Origins(internal=[LIBRARY])
    exec(compile(path.read_text(), str(path), "exec"), {"x": Traced(origins)})
    places = origins.resolve()
    assert [p.name for p in places] == ["y", "total", "hs[0]", "hs[1]"]
    assert [p.function for p in places[:2]] == ["<module>", "<lambda>"]
    assert not any(p.returned for p in places)


def test_a_function_handed_back_to_the_library_is_not_the_traced_one() -> None:
    def f(x):
        h = call(lambda v: v * 2, x)
        return h.sum()

    assert [(p.name, p.returned) for p in trace(f)] == [(None, False), (None, True)]


# ------------------------------------------------------------------- where no name can be given


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TEXT = "def f(x):\n    a = x * 2\n    return a + 1\n"


@pytest.fixture
def module(tmp_path: Path) -> ModuleType:
    path = tmp_path / "user_code.py"
    path.write_text(TEXT)
    return load(path)


def trace_without_resolving(function: Callable[..., Any]) -> Origins:
    origins = Origins(internal=[LIBRARY])
    call(function, Traced(origins))
    origins.release()
    return origins


def told(places: list[Place]) -> list[tuple[str | None, int | None, str | None]]:
    return [(p.name, p.line, p.source) for p in places]


def test_a_module_of_its_own(module: ModuleType) -> None:
    places = trace_without_resolving(module.f).resolve()
    assert told(places) == [("a", 2, "a = x * 2"), (None, 3, "return a + 1")]


@pytest.mark.parametrize(
    "changed",
    [
        "\n" + TEXT,
        TEXT.replace("a", "b"),
        TEXT.replace("x * 2", "x * 3"),
        TEXT.replace("a = x * 2", "a = 2 * x"),
        TEXT.replace("a = x", "a =  x"),
        "def f(x:\n",
        "",
    ],
)
def test_a_changed_file_gives_lines_but_neither_names_nor_text(
    module: ModuleType, changed: str
) -> None:
    assert module.__file__ is not None
    linecache.getlines(module.__file__)
    origins = trace_without_resolving(module.f)
    Path(module.__file__).write_text(changed)
    assert told(origins.resolve()) == [(None, 2, None), (None, 3, None)]


def test_a_change_elsewhere_in_the_file_does_no_harm(module: ModuleType) -> None:
    assert module.__file__ is not None
    Path(module.__file__).write_text(TEXT + "\ndef g(y):\n    return y\n")
    assert told(trace_without_resolving(module.f).resolve())[0] == ("a", 2, "a = x * 2")


def test_a_deleted_file_gives_lines_only(module: ModuleType) -> None:
    assert module.__file__ is not None
    linecache.getlines(module.__file__)
    Path(module.__file__).unlink()
    assert told(trace_without_resolving(module.f).resolve()) == [(None, 2, None), (None, 3, None)]


def test_executed_text_gives_lines_only() -> None:
    scope: dict[str, Any] = {}
    exec(TEXT, scope)
    assert told(trace_without_resolving(scope["f"]).resolve()) == [(None, 2, None), (None, 3, None)]


def test_interactive_input_is_read_from_the_line_cache() -> None:
    scope: dict[str, Any] = {}
    lines = TEXT.splitlines(keepends=True)
    linecache.cache["<cell 1>"] = (len(TEXT), None, lines, "<cell 1>")
    exec(compile(TEXT, "<cell 1>", "single"), scope)
    assert trace_without_resolving(scope["f"]).resolve()[0].name == "a"


def test_text_known_only_to_the_loader_is_found() -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            return TEXT

    scope: dict[str, Any] = {"__name__": "in_memory", "__loader__": Loader()}
    exec(compile(TEXT, "in_memory.py", "exec"), scope)
    assert trace_without_resolving(scope["f"]).resolve()[0].name == "a"


def test_a_function_rewritten_for_its_assertions_is_not_named() -> None:
    def f(x):
        y = x * 2
        assert y is not None
        return y

    place = trace(f)[0]
    assert place.line == f.__code__.co_firstlineno + 1
    rewritten = any(name.startswith("@py") for name in f.__code__.co_varnames)
    assert place.name == (None if rewritten else "y")


def test_without_columns_there_are_lines_only(module: ModuleType) -> None:
    assert module.__file__ is not None
    program = f"""
        import sys
        sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(module.__file__).parent)!r}]
        from test_names import trace_without_resolving
        import user_code
        for place in trace_without_resolving(user_code.f).resolve():
            print(place.name, place.line, place.source)
    """
    command = [sys.executable, "-X", "no_debug_ranges", "-B", "-c", textwrap.dedent(program)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.splitlines() == ["None 2 a = x * 2", "None 3 return a + 1"]


# ------------------------------------------------------------------------------- time and memory


def long_loop(x):
    for _ in range(50_000):
        y = x * 2
        x = y + 1
    return x


def test_many_operations_are_resolved_in_linear_time() -> None:
    origins = trace_without_resolving(long_loop)
    start = time.perf_counter()
    places = origins.resolve()
    assert time.perf_counter() - start < 2
    assert len(places) == len(origins) == 100_000
    assert {p.name for p in places} == {"x", "y"}


def test_release_frees_the_variables_of_the_traced_function() -> None:
    class Big:
        pass

    alive: list[weakref.ref[Big]] = []

    def f(x):
        big = Big()
        alive.append(weakref.ref(big))
        return x * 2

    origins = Origins(internal=[LIBRARY])
    call(f, Traced(origins))
    assert alive[0]() is not None
    origins.release()
    gc.collect()
    assert alive[0]() is None
    assert origins.resolve()[0].returned


def test_recording_where_no_user_code_runs_gives_an_empty_place() -> None:
    origins = Origins(internal=[str(Path(sys.prefix)), str(Path(sys.base_prefix)), __file__])
    origins.record()
    assert isinstance(origins.resolve()[0], Place)
