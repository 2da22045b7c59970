"""What errors and warnings say: what went wrong, in which line, and what to do instead."""

import math
import warnings

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, NotDifferentiableError, TraceError

X = np.array([1.0, 2.0, 3.0])


def text_of(f, transform=cr.grad, x=X, error=ChainruleError):
    """What is said, with the notes that were added."""
    with pytest.raises(error) as caught:
        transform(f)(x)
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


def stored(x):
    a = np.zeros(3)
    a[0] = x[0]
    return np.sum(a)


def stored_whole(x):
    a = np.zeros(3)
    a[:] = x
    return np.sum(a)


def added(x):
    a = np.zeros(3)
    a += x
    return np.sum(a)


def objects(function):
    def f(x):
        a = np.empty((2, 2), dtype=object)
        a[:] = 1.0
        a[0, 0], a[1, 1] = x[0], x[1]
        return np.sum(function(a))

    return f


@pytest.mark.parametrize(
    ("f", "says"),
    [
        (lambda x: math.sin(x[0]), "np.sin, not math.sin"),
        (lambda x: float(x[0]), "would lose its gradient"),
        (lambda x: complex(x[0]), "would lose its gradient"),
        (lambda x: sum(x[0] for _ in range(x[0])), "no whole number for Python to count with"),
        (lambda x: [1.0, 2.0][x[0]] * x[1], "np.take(table, i)"),
        (lambda x: np.arange(3.0)[x[0]] * x[0], "plain NumPy array"),
        (stored, "np.zeros_like(x) or np.zeros(n, like=x)"),
        (stored_whole, "np.zeros_like(x) or np.zeros(n, like=x)"),
        (added, "would put a traced value into a plain array"),
        (lambda x: np.exp(np.array([x[0], x[1]], dtype=object))[0], "np.stack([u, v])"),
        (objects(np.sin), "np.stack([u, v])"),
        (objects(lambda a: np.linalg.solve(a, np.ones(2))), "np.stack([u, v])"),
        (objects(np.linalg.det), "np.stack([u, v])"),
        (objects(np.isfinite), "np.stack([u, v])"),
        (lambda x: np.packbits(x, x, 1)[0], "np.packbits has no row in the rule book"),
        (lambda x: x[0].item(), "would make plain Python numbers"),
    ],
)
def test_a_use_that_would_lose_the_gradient_says_what_to_do_and_names_the_line(f, says):
    text = text_of(f)
    assert says in text
    assert "\n  at test_errors.py:" in text


@pytest.mark.parametrize("transform", [cr.grad, cr.jacobian, cr.vmap, cr.checkpoint, cr.hessian])
def test_every_transform_names_the_line(transform):
    def f(x):
        y = x * 2
        return math.exp(y[0]) + y[1]  # this line

    g = f if transform is not cr.checkpoint else lambda x: cr.grad(cr.checkpoint(f))(x)
    run = transform if transform is not cr.checkpoint else lambda g: g
    text = text_of(g, run, np.ones((2, 3)) if transform is cr.vmap else X)
    assert "return math.exp(y[0]) + y[1]  # this line" in text


@pytest.mark.parametrize(
    ("f", "error", "says"),
    [
        (lambda x: x @ np.ones(2), ValueError, "size 2 is different from 3"),
        (lambda x: x + np.ones(2), ValueError, "(3,) (2,)"),
        (lambda x: np.ones(3)[5] * x, IndexError, "index 5 is out of bounds"),
        (lambda x: x.foo(), AttributeError, "a traced value has no attribute 'foo'"),
        (lambda x: x[7], IndexError, "index 7 is out of bounds"),
        (lambda x: x if x else -x, ValueError, "truth value of an array"),
    ],
)
def test_an_error_of_numpy_stays_numpys_and_is_given_the_line(f, error, says):
    for transform, x in ((cr.grad, X), (cr.vmap, np.stack([X, X]))):
        if says.startswith("truth") and transform is cr.vmap:
            continue  # that is refused for another reason
        text = text_of(f, transform, x, error)
        assert says in text
        assert "while differentiating, at test_errors.py:" in text


def test_a_line_is_told_once_however_many_transforms_there_are():
    text = text_of(lambda x: x @ np.ones(2), cr.hessian, error=ValueError)
    assert text.count("while differentiating") == 1
    text = text_of(lambda x: np.sum(math.exp(x[0])), cr.hessian)
    assert text.count("  at test_errors.py") == 1


def test_a_truth_value_is_asked_for_freely_except_where_one_run_stands_for_many():
    f = lambda x: x[0] * 3 if x[0] > 0 else x[1]
    assert cr.grad(f)(X).tolist() == [3.0, 0.0, 0.0]
    assert "different" in text_of(f, cr.vmap, np.stack([X, X]), TraceError)
    looped = lambda x: cr.fori_loop(0, 2, lambda i, s: f(x * s), 1.0)
    assert "branch of the first" in text_of(looped, error=TraceError)


def test_an_int_is_a_step_like_any_comparison():
    assert cr.grad(lambda x: x[0] * int(x[1]))(X).tolist() == [2.0, 0.0, 0.0]
    assert "not the same every time" in text_of(
        lambda x: x[0] * int(x[1]), cr.vmap, np.stack([X, X])
    )


def test_a_value_that_outlived_its_function_is_reported_with_the_line_of_its_use():
    kept = []

    def f(x):
        kept.append(x)
        return np.sum(x)

    cr.grad(f)(X)
    text = text_of(lambda y: np.sum(y * kept[0]))
    assert "after the function that was being differentiated had returned" in text
    assert "at test_errors.py" in text


# --------------------------------------------------------------------------------- absent gradients


def warning_of(f, *args, argnums=0):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cr.grad(f, argnums)(*args)
    return [str(w.message) for w in caught if w.category is cr.AbsentGradientWarning]


@pytest.mark.parametrize(
    ("f", "cut"),
    [
        (lambda x: np.sum(cr.stop_gradient(x) * 2.0), "stop_gradient (detached)"),
        (lambda x: np.sum(x.astype(int) * 1.0), "truncate"),
        (lambda x: np.sum(np.where(x > 1, 1.0, 2.0)), "greater"),
        (lambda x: np.arange(3.0)[np.argmax(x)], "argmax"),
        (lambda x: np.arange(3.0)[np.argsort(x)][0], "argsort"),
    ],
)
def test_an_absent_gradient_says_of_which_input_and_where_it_was_cut(f, cut):
    (text,) = warning_of(f, X)
    assert "does not depend on x: its gradient is zero everywhere" in text
    assert cut in text
    assert "at test_errors.py:" in text


def test_only_the_input_that_is_absent_is_named():
    (text,) = warning_of(lambda a, b: np.sum(a * 2), X, X, argnums=(0, 1))
    assert "does not depend on b" in text
    assert warning_of(lambda a, b: np.sum(a * b), X, X, argnums=(0, 1)) == []
    assert warning_of(lambda a: np.sum(a * 0.0), X) == [], "a zero is not an absence"


def test_what_lies_inside_does_not_hide_or_cause_a_warning():
    assert len(warning_of(lambda x: np.sum(cr.checkpoint(np.sin)(X)), X)) == 1
    assert len(warning_of(lambda x: cr.scan(lambda s, t: (s + t, None), 0.0, X)[0], X)) == 1
    assert len(warning_of(lambda x: np.sum(cr.vmap(np.sin)(X)), X)) == 1
    assert warning_of(cr.grad(lambda x: 3.0 * x), 1.0) == [], "the slope of a line is no news"


def test_a_warning_points_at_the_call():
    with pytest.warns(cr.AbsentGradientWarning) as caught:
        cr.grad(lambda x: 3.0)(1.0)
    assert caught[0].filename == __file__


def test_an_error_leaves_numpy_as_it_was():
    before = (np.array, np.asarray, np.full, np.take)
    with pytest.raises(NotDifferentiableError):
        cr.grad(lambda x: np.packbits(x, x, 1)[0])(X)
    with pytest.raises(TraceError):
        cr.vmap(lambda x: float(x))(X)
    assert (np.array, np.asarray, np.full, np.take) == before
