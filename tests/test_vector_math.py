"""The elementary functions of compiled code: exact to some ulps, special values, every width."""

from __future__ import annotations

import ctypes
import itertools
import platform
import zlib
from functools import cache
from typing import Any

import llvmlite.binding as llvm
import mpmath
import numpy as np
import pytest
import scipy.special

from chainrule.run.llvm.functions import LANES, NAMES, function
from chainrule.run.llvm.functions.libraries import TWO_ARGUMENTS, in_libmvec
from chainrule.run.llvm.functions.own import OWN
from chainrule.run.llvm.functions.text import FORMATS

ELEMENTS = ("double", "float")
DTYPES = {"double": np.dtype(np.float64), "float": np.dtype(np.float32)}

# The promise for every function, and what is kept of those written here.
PROMISED = 4.0
OWN_BOUNDS = {"tan": 3.2, "sinh": 2.1, "arccosh": 2.1}
OWN_BOUND = 1.85

# The vector library is better at these, or has them alone.
NOT_OWN = {"cbrt", "erf", "erfc", "gamma", "gammaln"}


@cache
def machine(plain: bool = False) -> Any:
    """This machine, or the oldest one that runs 64-bit code: no AVX, no fused multiply-add."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    if plain:
        cpu, features = "x86-64", ""
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=cpu, features=features, opt=3)


def loop(found: Any, element: str, lanes: int) -> str:
    """A module with a loop that applies the function to arrays."""
    kind = element if lanes == 1 else f"<{lanes} x {element}>"
    align = DTYPES[element].itemsize
    places = range(found.arguments)
    loads = "\n".join(
        f"  %at{k} = getelementptr {element}, ptr %in{k}, i64 %i\n"
        f"  %x{k} = load {kind}, ptr %at{k}, align {align}"
        for k in places
    )
    return f"""
{chr(10).join(found.declarations)}
{found.definition}
define void @run({", ".join(f"ptr %in{k}" for k in places)}, ptr %out, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %loop ]
{loads}
  %r = call {kind} @{found.symbol}({", ".join(f"{kind} %x{k}" for k in places)})
  %at = getelementptr {element}, ptr %out, i64 %i
  store {kind} %r, ptr %at, align {align}
  %next = add i64 %i, {lanes}
  %more = icmp slt i64 %next, %n
  br i1 %more, label %loop, label %done
done:
  ret void
}}
"""


@cache
def compiled(name: str, element: str, lanes: int, plain: bool = False, **options: Any) -> Any:
    """The function over arrays, or None where the sources asked for do not have it."""
    found = function(name, element, lanes, **options)
    if found is None:
        return None
    target = machine(plain)
    module = llvm.parse_assembly(loop(found, element, lanes))
    module.verify()
    for symbol, address in found.externals.items():
        llvm.add_symbol(symbol, address)
    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(target, tuning)
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, target)
    engine.finalize_object()
    pointers = [ctypes.c_void_p] * (found.arguments + 1)
    code = ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(engine.get_function_address("run"))

    def run(*arrays: np.ndarray) -> np.ndarray:
        count = arrays[0].size
        padded = [np.resize(a.astype(DTYPES[element]), -(-count // lanes) * lanes) for a in arrays]
        out = np.empty_like(padded[0])
        code(*(a.ctypes.data for a in padded), out.ctypes.data, out.size)
        return out[:count]

    run.engine = engine  # type: ignore[attr-defined]
    run.source = found.source  # type: ignore[attr-defined]
    return run


def random(name: str, element: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(f"{name} {element}".encode()))


def anywhere(rng: np.random.Generator, dtype: np.dtype, count: int) -> np.ndarray:
    """Any finite numbers, all exponents alike, subnormal ones too."""
    words = rng.integers(0, 1 << (8 * dtype.itemsize), count, dtype=np.uint64)
    numbers = words.astype(f"u{dtype.itemsize}").view(dtype)
    return np.where(np.isfinite(numbers), numbers, dtype.type(0.75))


def samples(name: str, element: str, count: int = 160) -> tuple[np.ndarray, ...]:
    """Finite arguments where something can go wrong."""
    rng, dtype = random(name, element), DTYPES[element]
    eps, top = np.finfo(dtype).eps, 745.5 if element == "double" else 104.0
    quarters = rng.integers(-(10**5), 10**5, count) * (np.pi / 2)
    parts = [
        anywhere(rng, dtype, 2 * count),
        rng.uniform(-1, 1, count),
        rng.uniform(-9, 9, 2 * count),
        rng.uniform(-top, top, count),
        rng.normal(size=count) * 10.0 ** rng.uniform(-8, 1, count),
        1 + rng.normal(size=count) * 10.0 ** rng.uniform(-9, 0, count),
        quarters * (1 + eps * rng.integers(-2, 3, count)),
        rng.integers(-9, 9, count) * (np.pi / 2) * (1 + eps * rng.integers(-1, 2, count)),
        rng.uniform(-1, 1, count) * 10.0 ** rng.uniform(4, 12, count),
        rng.uniform(-1, 1, count) - top,
    ]
    x = np.concatenate([part.astype(dtype) for part in parts])
    if name not in TWO_ARGUMENTS:
        return (x,)
    if name == "power":
        # Results over the whole range, and those next to one; negative bases to whole powers.
        base = 10.0 ** rng.uniform(-30, 30, 4 * count)
        exponent = rng.uniform(-1, 1, 4 * count) * top * 0.43 / np.log10(base) * 0.99
        base = np.concatenate([base, 1 + rng.normal(size=count) * 1e-3, -np.arange(1, 40.0)])
        exponent = np.concatenate([exponent, rng.normal(size=count) * 1e4, rng.integers(-9, 9, 39)])
        return base.astype(dtype), exponent.astype(dtype)
    return x, rng.permutation(x)


def exact_value(name: str, arguments: list[float]) -> Any:
    mp = mpmath.mp
    numbers = [mp.mpf(argument) for argument in arguments]
    x = numbers[0]
    functions = {
        "exp2": lambda: mp.mpf(2) ** x, "log2": lambda: mp.log(x) / mp.log(2),
        "log1p": lambda: mp.log1p(x), "arcsin": lambda: mp.asin(x), "arccos": lambda: mp.acos(x),
        "arctan": lambda: mp.atan(x), "arcsinh": lambda: mp.asinh(x),
        "arccosh": lambda: mp.acosh(x), "arctanh": lambda: mp.atanh(x),
        "arctan2": lambda: mp.atan2(*numbers), "power": lambda: mp.power(*numbers),
        "cbrt": lambda: mp.sign(x) * mp.cbrt(abs(x)), "hypot": lambda: mp.hypot(*numbers),
        "expit": lambda: 1 / (1 + mp.exp(-x)),
        "log_expit": lambda: -mp.log1p(mp.exp(-x)), "gammaln": lambda: mp.loggamma(x).real,
    }  # fmt: skip
    return functions[name]() if name in functions else getattr(mp, name)(x)


def in_domain(name: str, arrays: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    x = arrays[0]
    inside = {
        "log": x > 0, "log2": x > 0, "log10": x > 0, "log1p": x > -1, "arcsin": abs(x) <= 1,
        "arccos": abs(x) <= 1, "arccosh": x >= 1, "arctanh": abs(x) < 1, "gammaln": x > 0,
        "gamma": (x > 0) & (x < 170), "erfc": x < 30,
    }.get(name, np.isfinite(x))  # fmt: skip
    return tuple(array[inside] for array in arrays)


@cache
def exact(name: str, element: str) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray]:
    """Arguments, the true values rounded to double, and what that rounding left."""
    count = 40 if name in ("gamma", "gammaln", "erf", "erfc") else 160
    arrays = in_domain(name, samples(name, element, count))
    high, low = np.empty((2, arrays[0].size))
    for place, arguments in enumerate(zip(*(array.tolist() for array in arrays), strict=True)):
        with mpmath.workprec(140):
            value = exact_value(name, list(arguments))
            high[place] = float(value)
            low[place] = float(value - high[place]) if np.isfinite(high[place]) else 0.0
    return arrays, high, low


def worst(got: np.ndarray, high: np.ndarray, low: np.ndarray, dtype: np.dtype) -> float:
    """The greatest error in units of the last place of the true value."""
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        want = high.astype(dtype)
    finite = np.isfinite(want)
    np.testing.assert_array_equal(got[~finite], want[~finite])
    got, high, low = got[finite].astype(np.float64), high[finite], low[finite]
    exponent = np.maximum(np.frexp(high)[1] - 1, int(info.minexp))
    error = abs((got - high) - low) / np.ldexp(1.0, exponent - info.nmant)
    assert not np.isnan(error).any()
    return float(error.max(initial=0.0))


def specials(element: str) -> np.ndarray:
    info = np.finfo(DTYPES[element])
    sizes = [0.0, info.smallest_subnormal, info.tiny, 1e-20, 0.5, 1.0, 2.0, 3.0, 1e4, info.max]
    return np.array([*sizes, *(-size for size in sizes), np.inf, -np.inf, np.nan], DTYPES[element])


def by_numpy(name: str, arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    if name == "gammaln":
        # SciPy's overflows for subnormal numbers; of -inf C has the other sign.
        (x,) = arrays
        small = (x != 0) & (abs(x) < 1e-30)
        return scipy.special.gammaln(np.where(small, 1e-30, np.where(np.isinf(x), np.inf, x)))
    known = getattr(np, name, None) or getattr(scipy.special, name)
    with np.errstate(all="ignore"):
        return known(*arrays)


def kind_of(values: np.ndarray) -> list[str]:
    """What a value is besides its size: NaN, or its sign and whether it is zero or infinite."""
    shape = np.where(values == 0, "zero", np.where(np.isinf(values), "infinity", "number"))
    sign = np.where(np.signbit(values), "-", "+")
    return np.where(np.isnan(values), "nan", np.char.add(sign, shape)).tolist()


def check_specials(run: Any, name: str, element: str) -> None:
    values = specials(element)
    arrays = (values,)
    if name in TWO_ARGUMENTS:
        arrays = tuple(np.array(list(itertools.product(values, values)), values.dtype).T.copy())
    got, want = run(*arrays), by_numpy(name, arrays)
    differing = [
        f"{name}{arguments} is {found}, not {wanted}"
        for *arguments, found, wanted in zip(*arrays, kind_of(got), kind_of(want), strict=True)
        if found != wanted
    ]
    assert differing == []


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_every_function_keeps_the_promise_at_every_width(name: str, element: str) -> None:
    arrays, high, low = exact(name, element)
    for lanes in LANES:
        got = compiled(name, element, lanes)(*arrays)
        assert worst(got, high, low, DTYPES[element]) <= PROMISED, lanes


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_special_values_are_numpys(name: str, element: str) -> None:
    for lanes in LANES:
        check_specials(compiled(name, element, lanes), name, element)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", sorted(OWN))
def test_own_functions_are_much_better_than_promised(name: str, element: str) -> None:
    arrays, high, low = exact(name, element)
    run = compiled(name, element, 4, sources=("own",))
    bound = OWN_BOUNDS.get(name, OWN_BOUND)
    assert worst(run(*arrays), high, low, DTYPES[element]) <= bound


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", sorted(OWN))
@pytest.mark.parametrize("lanes", [1, 4])
def test_own_functions_need_no_fused_multiply_add(name: str, element: str, lanes: int) -> None:
    if platform.machine() not in {"x86_64", "AMD64"}:
        pytest.skip("every processor of this kind has it")
    run = compiled(name, element, lanes, plain=True, sources=("own",), fused=False)
    arrays, high, low = exact(name, element)
    assert worst(run(*arrays), high, low, DTYPES[element]) <= PROMISED
    check_specials(run, name, element)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_the_scalar_library_alone_is_enough(name: str, element: str) -> None:
    run = compiled(name, element, 4, sources=("libm",))
    if run is None:
        assert name in {"expit", "log_expit"}
        return
    arrays, high, low = exact(name, element)
    assert run.source == "libm"
    assert worst(run(*arrays), high, low, DTYPES[element]) <= PROMISED


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("name", sorted(OWN))
def test_own_functions_give_an_element_the_same_value_whatever_its_neighbours(
    name: str, element: str
) -> None:
    arrays = samples(name, element)
    mixed = compiled(name, element, 4, sources=("own",))
    together = mixed(*arrays)
    apart = mixed(*(np.repeat(array, 4) for array in arrays))[::4]
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
@pytest.mark.parametrize("element", ELEMENTS)
def test_one_huge_argument_among_small_ones_is_reduced_exactly(name: str, element: str) -> None:
    dtype = DTYPES[element]
    huge = np.array([1e22, -1e30, 3e38, 7e5, 2.0**31, 1e9, -1e7, 2.0**16 + 1], dtype)
    x = np.stack([huge, *np.linspace(-2, 2, 3 * huge.size).astype(dtype).reshape(3, -1)], axis=1)
    run = compiled(name, element, 4, sources=("own",))
    got = run(x.ravel())
    with mpmath.workprec(400):
        want = np.array([float(exact_value(name, [value])) for value in x.ravel().tolist()])
    np.testing.assert_allclose(got, want, rtol=3.5 * np.finfo(dtype).eps)


def test_cosine_of_zero_and_exponential_of_zero_are_exactly_one() -> None:
    for name, element in itertools.product(["cos", "exp", "exp2", "cosh"], ELEMENTS):
        assert compiled(name, element, 4)(np.zeros(4)).tolist() == [1.0] * 4


def test_powers_of_two_have_whole_logarithms() -> None:
    whole = np.arange(-1074, 1024)
    got = compiled("log2", "double", 4, sources=("own",))(np.ldexp(1.0, whole))
    np.testing.assert_array_equal(got, whole)
    back = compiled("exp2", "double", 4, sources=("own",))(whole.astype(float))
    np.testing.assert_array_equal(back, np.ldexp(1.0, whole))


def test_powers_that_are_numbers_come_out_as_such() -> None:
    for element, digits in (("double", 53), ("float", 24)):
        base, exponent = np.meshgrid(np.arange(-99.0, 100.0), np.arange(0.0, 9.0))
        fits = abs(base) ** exponent < 2.0**digits
        base, exponent = base[fits], exponent[fits]
        got = compiled("power", element, 4, sources=("own",))(base, exponent)
        np.testing.assert_array_equal(got, base**exponent)


def test_the_vector_library_is_used_only_if_the_machine_has_it() -> None:
    for name, element, lanes in itertools.product(NAMES, ELEMENTS, LANES):
        found = function(name, element, lanes, sources=("libmvec",))
        there = in_libmvec(name, FORMATS[element], lanes) is not None
        assert (found is not None) == there
        if found is not None:
            assert found.source == "libmvec"
            assert all(address for address in found.externals.values())


@pytest.mark.parametrize("name", sorted({*NAMES} - NOT_OWN))
def test_most_functions_are_written_here_and_need_no_library(name: str) -> None:
    for element, lanes in itertools.product(ELEMENTS, LANES[1:]):
        found = function(name, element, lanes)
        assert found is not None
        assert found.source == "own polynomial"
        assert found.symbol == f"cr.{name}.v{lanes}f{FORMATS[element].bits}"
        assert set(found.externals) <= {f"cr.libm.{name}.f{FORMATS[element].bits}"}


def test_functions_of_one_module_do_not_collide() -> None:
    found = [
        function(name, element, lanes)
        for name, element, lanes in itertools.product(NAMES, ELEMENTS, LANES)
    ]
    declarations = dict.fromkeys(line for one in found for line in one.declarations)
    definitions = [one.definition for one in found]
    llvm.parse_assembly("\n".join([*declarations, *definitions])).verify()


def test_only_the_definition_itself_is_inlined_when_asked() -> None:
    asked, plain = function("sin", "double", 4, inline=True), function("sin", "double", 4)
    assert asked.definition.count("alwaysinline") == 1
    assert "alwaysinline" not in plain.definition
    assert asked.definition.replace(" alwaysinline", "") == plain.definition


def test_an_unknown_name_is_none_and_a_wrong_type_an_error() -> None:
    assert function("zeta", "double", 4) is None
    with pytest.raises(ValueError, match="double or float"):
        function("exp", "half", 4)
    with pytest.raises(ValueError, match="lanes"):
        function("exp", "double", 3)
    with pytest.raises(ValueError, match="source"):
        function("exp", "double", 4, sources=("svml",))
