"""Programs whose gradients are NaN, or infinite, and where: material for ``test_nan.py``.

The line of each birth is the one that ends in ``# born``, and what hid it ends in ``# hidden``.
"""

import numpy as np

import chainrule as cr

# ---------------------------------------------------------------- published, without supports

T = 0.0
DIVISOR = np.array([0.0, 1.0])
KEPT = np.array([True, False, True, True])
W = np.float64("nan")


def pytorch_36923(x):
    y = T * (x / T)  # born
    return np.where(x >= T, x, y)  # hidden


def pytorch_23395(x):
    y = x / 2
    z = np.sqrt(x) + 1  # born
    w = np.where(x == 0.0, y, z)  # hidden
    return np.sum(w)


def pytorch_52248(a):
    b, c = np.array(False), np.ones(())
    quotient = a / 0  # born
    return np.where(b, quotient, c)  # hidden


def jax_2630(x):
    y = x * np.inf  # born
    return np.where(x > 0, 0, y)  # hidden


def jax_2630_root(x):
    y = np.sqrt(x)  # born
    return np.sum(np.where(x <= 0, 0, y))  # hidden


def autograd_802(x):
    y = np.sqrt(-x)  # born
    return np.where(x >= 0, x, y)  # hidden


def tinygrad_12409(x):
    y = x * np.sqrt(x)  # born
    return np.sum(np.where(x == 0, 0, y))  # hidden


def pytorch_4132(x):
    y = x / DIVISOR  # born
    return np.sum(y[DIVISOR != 0])  # hidden


def pytorch_10729(x):
    y = np.exp(x)  # born
    z = np.minimum(y, 1.0)  # hidden
    return np.sum(z)


def pytorch_15506(a):
    y = np.log(a)  # born
    return y[-1]  # hidden


def pytorch_68425(a):
    y = np.exp(a)  # born
    return np.where(a <= 0, y, 1 + a)  # hidden


def pytorch_94700(x):
    y = x * W  # born
    return np.nan_to_num(y, nan=0.0)  # hidden


def pytorch_93998(x):
    out = np.arctan2(np.array([2.0, 0.0, 0.0, 0.0]), x)  # born
    return np.mean(out[KEPT])  # hidden


# ------------------------------------------------------------------------ births of many kinds


def log_of_a_softmax(z):
    p = np.exp(z) / np.sum(np.exp(z))
    return -np.log(p[0])  # born


def log_of_softmaxes(z):
    p = np.exp(z) / np.sum(np.exp(z), axis=1, keepdims=True)
    return -np.sum(np.log(p))  # born


def softmax_overflows(z):
    e = np.exp(z)  # born
    return np.sum((e / np.sum(e)) ** 2)


def root_of_squares(x):
    squares = x**2
    return np.sqrt(np.sum(squares))  # born


def distance(x, y):
    return np.sqrt(x**2 + y**2)  # born


def root_of_a_square(x):
    return np.sqrt(x * x)  # born


def half_power(x):
    return np.sum(x**0.5)  # born


def arccos_at_the_end(x):
    return np.arccos(x)  # born


def nothing_over_nothing(x):
    total = x - x
    return np.sum(x / total)  # born


def difference_of_infinities(x):
    a = np.exp(x)  # born
    return np.exp(2 * x) - a


def entropy(p):
    return -np.sum(p * np.log(p))  # born


def cross_entropy(p):
    y = np.array([0.0, 1.0])
    return -np.sum(y * np.log(p))  # born


def sigmoid_by_hand(x):
    decay = np.exp(-x)  # born
    return np.sum(1 / (1 + decay))  # hidden


def log_of_a_sigmoid(x):
    s = 1 / (1 + np.exp(-x))
    return np.log(s)  # born


def log_of_one_less_a_sigmoid(x):
    s = 1 / (1 + np.exp(-x))
    return -np.log(1 - s)  # born


def binary_cross_entropy(z):
    y, p = 0.0, 1 / (1 + np.exp(-z))
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))  # born


def log_sum_exp(z):
    return np.log(np.sum(np.exp(z)))  # born


def softplus(x):
    return np.log(1 + np.exp(x))  # born


def deviation(x):
    m = np.mean(x)
    return np.sqrt(np.mean((x - m) ** 2))  # born


def overflow(x):
    return np.sum(np.exp(x))  # born


def angle(x, y):
    return np.arctan2(y, x)  # born


def hypotenuse(x, y):
    return np.hypot(x, y)  # born


def fully_masked_row(s):
    z = np.where(np.array([False, False]), s, -np.inf)
    e = np.exp(z - np.max(z))  # born
    return np.sum(e / np.sum(e))


def _root(v):
    return np.sqrt(v)  # born


def called_twice(x):
    return _root(x[0]) + _root(x[1])


def in_a_loop(x):
    total = 0.0
    for i in range(3):
        total = total + np.log(x[i])  # born
    return total


def in_a_scan(x):
    def step(carry, v):
        carry = np.sqrt(carry * v)  # born
        return carry, carry

    last, _ = cr.scan(step, x[0], x[1:])
    return last


def double_inverse(x):
    return 1 / (1 / x)  # born


def negative_root(x):
    return np.sum(np.sqrt(x - 1))  # born


def method(x):
    return (x / x.sum()).sum()  # born


def two_births(x):
    a = np.log(x[0])  # born
    b = np.sqrt(x[1])
    return a + b


def zeros_replaced(x):
    y = np.log(x)  # born
    return np.sum(np.nan_to_num(y, neginf=0.0))  # hidden


def isfinite_mask(x):
    y = np.log(x)  # born
    return np.sum(np.where(np.isfinite(y), y, 0.0))  # hidden


def weighted(w, x):
    h = w * x
    return np.sum(h)
