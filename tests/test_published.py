"""Cases that users of other libraries published as wrong or missing, with the answers given here.

More of them stand with their families: supports (``test_supports.py``), cumulative products
(``test_cumulative.py``), norms and repeated eigenvalues (``test_decompositions.py``).
"""

import warnings

import numpy as np
import pytest
from samples.functions import CALLS

import chainrule as cr

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
DIVISOR = np.array([0.0, 1.0])


def masked(x):  # pytorch/pytorch#4132, first reproduction
    y = x / DIVISOR
    y[DIVISOR == 0] = 0
    return np.sum(y)


def picked(x):  # pytorch/pytorch#4132, second reproduction
    return np.sum((x / DIVISOR)[DIVISOR != 0])


def unrelated(x):  # pytorch/pytorch#26799
    return (x / np.array([1.0, 0.0]))[0]


def overwritten(x):  # pytorch/pytorch#17455
    f = np.log(np.exp(x) + 1)
    f[1] = 0
    return f[1] + f[0]


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (masked, [1.0, 1.0], [0.0, 1.0]),
        (picked, [1.0, 1.0], [0.0, 1.0]),
        (unrelated, [1.0, 1.0], [1.0, 0.0]),
        (overwritten, [0.0, 1000.0], [0.5, 0.0]),
        (lambda x: np.log(x)[-1], [0.0, 3.0], [0.0, 1 / 3]),  # pytorch/pytorch#15506
    ],
)
def test_what_was_masked_or_overwritten_never_spoils_a_gradient(f, x, expected):
    x = np.array(x)
    np.testing.assert_allclose(cr.grad(f)(x), expected)
    forward = [cr.jvp(f, (x,), (e,))[1] for e in np.eye(len(x))]
    np.testing.assert_allclose(forward, expected)


def test_ties_have_one_convention_wherever_they_are_met():
    # jax-ml/jax#37821: half to each side for maximum and its relatives, 0 for relu, written with
    # where or not; an end of clip passes the derivative on.
    assert cr.grad(lambda x: np.maximum(x, 0.0))(0.0) == 0.5
    assert cr.grad(lambda x: np.fmax(x, 0.0))(0.0) == 0.5
    assert cr.grad(lambda x: np.minimum(0.0, x))(0.0) == 0.5
    assert cr.grad(np.max)(np.array([2.0, 2.0])).tolist() == [0.5, 0.5]
    assert cr.grad(lambda x: np.maximum.reduce(x))(np.array([2.0, 2.0])).tolist() == [0.5, 0.5]
    assert cr.grad(lambda x: np.max(np.stack([x, 0.0 * x])))(0.0) == 0.5
    assert cr.grad(lambda x: np.where(x > 0, x, 0.0))(0.0) == 0.0
    assert cr.grad(lambda x: np.clip(x, 0.0, 1.0))(0.0) == 1.0
    subnormal = np.float32(1e-45)
    assert cr.grad(lambda x: np.maximum(x, np.float32(0.0)))(subnormal) == 1.0


def test_a_zero_gradient_and_an_absent_one_are_told_apart():  # pytorch/pytorch#5479
    with warnings.catch_warnings():
        warnings.simplefilter("error", cr.AbsentGradientWarning)
        assert cr.grad(lambda x: 0.0 * x)(1.0) == 0.0
        assert cr.grad(lambda x: np.where(x > 5, x, 0.0))(1.0) == 0.0
    with pytest.warns(cr.AbsentGradientWarning, match="does not depend on x"):
        assert cr.grad(lambda x: 3.0)(1.0) == 0.0


def test_functions_that_others_call_but_cannot_differentiate_are_differentiated():
    # Of the kind of HIPS/autograd#788; each is held to its numbers in test_numpy_functions.py.
    asked = {
        "cumprod", "nancumsum", "nancumprod", "median", "nanmedian", "percentile", "quantile",
        "nanmean", "nansum", "nanprod", "nanmax", "nanmin", "nanvar", "nanstd", "ptp", "average",
        "cov", "corrcoef", "gradient", "trapezoid", "interp", "unwrap", "take_along_axis", "choose",
        "compress", "extract", "piecewise", "nan_to_num", "copysign", "float_power", "hypot",
        "logaddexp2", "fmod", "ldexp", "heaviside", "cbrt", "convolve", "correlate", "cross", "i0",
        "kron", "vander", "polyval", "block", "insert", "delete", "resize", "pad", "linalg.lstsq",
        "linalg.qr", "linalg.cond", "linalg.matrix_power", "linalg.multi_dot", "linalg.tensorsolve",
    }  # fmt: skip
    answered = {call.function for call in CALLS if not call.refused and not call.flat}
    assert asked - answered == set()
