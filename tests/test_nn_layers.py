"""Layers: what they compute, held against loops written by hand, and what one may do with them."""

import math
import subprocess
import sys

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, tree
from chainrule.errors import ArgumentsError

RNG = np.random.default_rng(7)
F64 = np.float64


def convolved(x, weight, bias, stride, padding, dilation, groups):
    """A convolution as its definition says it: seven loops."""
    (n, _, height, width), (outputs, inputs, kh, kw) = x.shape, weight.shape
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    rows = (height + 2 * padding[0] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    columns = (width + 2 * padding[1] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((n, outputs, rows, columns))
    for i, o, r, c in np.ndindex(*y.shape):
        first = o // (outputs // groups) * inputs
        for k, a, b in np.ndindex(inputs, kh, kw):
            seen = x[i, first + k, r * stride[0] + a * dilation[0], c * stride[1] + b * dilation[1]]
            y[i, o, r, c] += weight[o, k, a, b] * seen
        y[i, o, r, c] += bias[o]
    return y


def test_linear_is_x_times_the_transposed_weight_plus_bias():
    layer = nn.Linear.init(3, 2, rng=0, dtype=F64)
    x = RNG.normal(size=(4, 5, 3))
    want = np.zeros((4, 5, 2))
    for i, j, o in np.ndindex(4, 5, 2):
        want[i, j, o] = sum(layer.weight[o, k] * x[i, j, k] for k in range(3)) + layer.bias[o]
    assert np.allclose(layer(x), want, rtol=1e-14)
    plain = nn.Linear.init(3, 2, rng=0, bias=False)
    assert plain.bias is None
    assert len(list(tree.leaves(plain))) == 1


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups", "size"),
    [
        (1, 0, 1, 1, 3),
        (2, 1, 1, 1, 3),
        ((1, 2), (0, 2), 1, 2, (2, 3)),
        (1, 2, 2, 1, 3),
        (2, (1, 0), (1, 2), 4, (3, 1)),
    ],
)
def test_a_convolution_is_its_definition(stride, padding, dilation, groups, size):
    layer = nn.Conv2d.init(
        4, 8, size, rng=1, stride=stride, padding=padding, dilation=dilation, groups=groups,
        dtype=F64,
    )  # fmt: skip
    x = RNG.normal(size=(2, 4, 7, 6))
    want = convolved(
        x, layer.weight, layer.bias, layer.stride, layer.padding, layer.dilation, groups
    )
    assert np.allclose(layer(x), want, rtol=1e-12, atol=1e-12)
    assert np.allclose(layer(x[0]), want[0], rtol=1e-12, atol=1e-12)


def test_pooling_looks_at_each_window():
    x = RNG.normal(size=(2, 3, 7, 5))
    for size, stride in ((2, None), ((3, 2), 1), (2, (3, 1))):
        high, wide = size if isinstance(size, tuple) else (size, size)
        down, right = (high, wide) if stride is None else np.broadcast_to(stride, 2)
        want = [
            [x[..., r : r + high, c : c + wide] for c in range(0, 5 - wide + 1, right)]
            for r in range(0, 7 - high + 1, down)
        ]
        largest = np.moveaxis(
            np.array([[w.max((-1, -2)) for w in row] for row in want]), (0, 1), (2, 3)
        )
        means = np.moveaxis(
            np.array([[w.mean((-1, -2)) for w in row] for row in want]), (0, 1), (2, 3)
        )
        assert np.array_equal(nn.max_pool2d(x, size, stride), largest)
        assert np.allclose(nn.avg_pool2d(x, size, stride), means, rtol=1e-14)


def test_layer_norm_brings_each_example_to_mean_0_and_variance_1():
    layer = nn.LayerNorm(RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), eps=1e-3)
    x = RNG.normal(size=(5, 3, 4))
    for given, found in zip(x, layer(x), strict=True):
        mean = given.sum() / 12
        variance = ((given - mean) ** 2).sum() / 12
        want = (given - mean) / math.sqrt(variance + 1e-3) * layer.weight + layer.bias
        assert np.allclose(found, want, rtol=1e-13)


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (6, 3, 2, 4)])
def test_batch_norm_uses_the_batch_in_training_and_what_it_remembers_otherwise(shape):
    layer = nn.BatchNorm(RNG.normal(size=3), RNG.normal(size=3), eps=1e-3, momentum=0.3)
    before = nn.BatchNormState(RNG.normal(size=3), RNG.uniform(1, 2, 3))
    x = RNG.normal(size=shape) * 3 + 1
    trained, after = layer(x, before, training=True)
    used, same = layer(x, before)
    assert same is before
    for c in range(3):
        values = x[:, c]
        mean = values.sum() / values.size
        squares = ((values - mean) ** 2).sum()
        want = (values - mean) / math.sqrt(squares / values.size + 1e-3)
        assert np.allclose(trained[:, c], want * layer.weight[c] + layer.bias[c], rtol=1e-12)
        want = (values - before.mean[c]) / math.sqrt(before.variance[c] + 1e-3)
        assert np.allclose(used[:, c], want * layer.weight[c] + layer.bias[c], rtol=1e-12)
        assert math.isclose(after.mean[c], 0.7 * before.mean[c] + 0.3 * mean)
        unbiased = squares / (values.size - 1)
        assert math.isclose(after.variance[c], 0.7 * before.variance[c] + 0.3 * unbiased)


def test_dropout_leaves_out_a_share_and_scales_up_the_rest():
    drop, x = nn.Dropout(0.3), np.ones((200, 500), np.float32)
    y = drop(x, key=nn.random.key(3))
    assert y.dtype == np.float32
    assert set(np.unique(y)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs(np.mean(y == 0) - 0.3) < 0.005
    assert np.array_equal(y, drop(x, key=nn.random.key(3)))
    assert not np.array_equal(y, drop(x, key=nn.random.key(4)))
    assert drop(x) is x
    gradient = cr.grad(lambda v: np.sum(drop(v, key=nn.random.key(3))))(x)
    assert np.array_equal(gradient, y)


def test_random_numbers_are_those_of_numpys_philox_and_no_two_keys_share_them():
    key = nn.random.key(5)
    raw = np.random.Philox(key=key).random_raw(4)
    assert np.array_equal(nn.random.uniform(key, (4,), F64), (raw >> np.uint64(11)) / 2.0**53)
    narrow = nn.random.uniform(key, (100_000,))
    assert narrow.dtype == np.float32
    assert 0 <= narrow.min() < 0.001
    assert 0.999 < narrow.max() < 1
    keys = [key, *(nn.random.fold_in(key, i) for i in range(50))]
    keys += [nn.random.fold_in(keys[1], i) for i in range(50)]
    assert len({k.tobytes() for k in keys}) == 101
    first = {nn.random.uniform(k, (1,), F64).tobytes() for k in keys}
    assert len(first) == 101


def test_a_key_is_an_argument_like_any_other():
    drop = nn.Dropout(0.5)
    f = lambda x, key: np.sum(drop(x, key=key) ** 2)
    compiled = cr.jit(cr.grad(f))
    x = RNG.normal(size=64)
    for seed in range(3):
        key = nn.random.key(seed)
        assert np.allclose(compiled(x, key), cr.grad(f)(x, key), rtol=1e-14)
    keys = np.stack([nn.random.key(seed) for seed in range(3)])
    batch = cr.vmap(lambda k: drop(x, key=k))(keys)
    assert np.array_equal(batch, [drop(x, key=k) for k in keys])


def test_an_embedding_picks_rows_and_its_gradient_counts_them():
    table = nn.Embedding.init(5, 3, rng=0, dtype=F64)
    picked = table(np.array([[4, 1], [4, 4]]))
    assert np.array_equal(picked, table.weight[[[4, 1], [4, 4]]])
    gradient = cr.grad(lambda t: np.sum(t(np.array([4, 1, 4]))))(table)
    assert np.array_equal(gradient.weight[:, 0], [0, 1, 0, 0, 2])


def attended(layer, query, key, value, blocked):
    """Attention head by head and query by query."""
    features, d = query.shape[-1], query.shape[-1] // layer.heads
    project = lambda i, x: (
        x @ layer.in_proj_weight[i * features : (i + 1) * features].T
        + layer.in_proj_bias[i * features : (i + 1) * features]
    )
    q, k, v = project(0, query), project(1, key), project(2, value)
    out = np.zeros_like(query)
    for h in range(layer.heads):
        part = slice(h * d, (h + 1) * d)
        for i in range(len(q)):
            weights = [
                0.0 if blocked[i, j] else math.exp(q[i, part] @ k[j, part] / math.sqrt(d))
                for j in range(len(k))
            ]
            out[i, part] = sum(w * v[j, part] for j, w in enumerate(weights)) / sum(weights)
    return out @ layer.out_proj.weight.T + layer.out_proj.bias


def test_attention_is_a_weighted_mean_of_values_in_each_head():
    layer = nn.MultiHeadAttention.init(6, 3, rng=2, dtype=F64)
    layer = tree.map_leaves(lambda v: v + 0.1, layer)
    query, key, value = (RNG.normal(size=(2, n, 6)) for n in (3, 4, 4))
    blocked = np.array([[False, True, False, False], [False] * 4, [True, True, True, False]])
    found = layer(query, key, value, blocked)
    for i in range(2):
        want = attended(layer, query[i], key[i], value[i], blocked)
        assert np.allclose(found[i], want, rtol=1e-12)
    x = query[0]
    assert np.allclose(layer(x), attended(layer, x, x, x, np.zeros((3, 3), bool)), rtol=1e-12)
    later = layer(x, blocked=nn.later(3))
    assert np.allclose(later[0], layer(x[:1])[0], rtol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_cells_run_along_a_sequence_as_their_equations_say():
    xs = RNG.normal(size=(5, 2, 3))
    rnn, lstm = nn.RNNCell.init(3, 4, rng=0, dtype=F64), nn.LSTMCell.init(3, 4, rng=1, dtype=F64)
    h, want = np.zeros((2, 4)), []
    for x in xs:
        h = np.tanh(x @ rnn.weight_ih.T + rnn.bias_ih + h @ rnn.weight_hh.T + rnn.bias_hh)
        want.append(h)
    ys, last = nn.unroll(rnn, xs)
    assert np.allclose(ys, want, rtol=1e-13)
    assert np.allclose(last, h, rtol=1e-13)
    h, c, want = np.zeros((2, 4)), np.zeros((2, 4)), []
    for x in xs:
        sums = x @ lstm.weight_ih.T + lstm.bias_ih + h @ lstm.weight_hh.T + lstm.bias_hh
        i, f, g, o = np.split(sums, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        want.append(h)
    ys, (last_h, last_c) = nn.unroll(lstm, xs)
    assert np.allclose(ys, want, rtol=1e-12)
    assert np.allclose(last_h, h, rtol=1e-12)
    assert np.allclose(last_c, c, rtol=1e-12)
    again, _ = nn.unroll(lstm, xs[3:], nn.unroll(lstm, xs[:3])[1])
    assert np.allclose(again, want[3:], rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [
        (nn.relu, lambda x: x if x > 0 else 0.0),
        (nn.sigmoid, lambda x: 1 / (1 + math.exp(-x))),
        (nn.tanh, math.tanh),
        (nn.leaky_relu, lambda x: x if x > 0 else 0.01 * x),
        (nn.elu, lambda x: x if x > 0 else math.exp(x) - 1),
        (nn.gelu, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        (nn.gelu_tanh, lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2),
        (nn.silu, lambda x: x / (1 + math.exp(-x))),
        (nn.softplus, lambda x: math.log1p(math.exp(x))),
        (nn.identity, lambda x: x),
    ],
)
def test_an_activation_is_its_formula(activation, formula):
    x = np.concatenate([RNG.normal(size=9) * 2, [0.7, -0.7]])
    near = 2e-3 if activation is nn.gelu_tanh else 1e-12
    assert np.allclose(activation(x), [formula(v) for v in x], rtol=near, atol=near)
    assert activation(x.astype(np.float32)).dtype == np.float32
    assert cr.check(lambda v: np.sum(activation(v)), x).verdict.value == "PASS"


def test_softmax_and_its_logarithm_do_not_overflow():
    x = np.array([[1000.0, 0.0, 999.0], [-1.0, 0.0, 1.0]])
    want = np.exp(x - x.max(1, keepdims=True))
    want /= want.sum(1, keepdims=True)
    assert np.allclose(nn.softmax(x), want, rtol=1e-14)
    assert np.allclose(nn.log_softmax(x)[1], np.log(want[1]), rtol=1e-14)
    assert np.allclose(nn.softmax(x.T, axis=0), want.T, rtol=1e-14)


# ------------------------------------------------------------------------------ as part of programs


def layers():
    f32 = lambda *shape: RNG.normal(size=shape).astype(np.float32)
    norm = nn.BatchNorm.init(3)
    yield "linear", nn.Linear.init(3, 4, rng=0), lambda m, x: m(x), f32(5, 3)
    yield (
        "conv",
        nn.Conv2d.init(2, 4, 3, rng=0, padding=1, groups=2),
        lambda m, x: m(x),
        f32(3, 2, 5, 4),
    )
    yield "layer norm", nn.LayerNorm.init((2, 3)), lambda m, x: m(x), f32(5, 2, 3)
    yield "batch norm", norm, lambda m, x: m(x, norm.initial_state(), training=True)[0], f32(6, 3)
    yield (
        "attention",
        nn.MultiHeadAttention.init(4, 2, rng=0),
        lambda m, x: m(x, blocked=nn.later(3)),
        f32(2, 3, 4),
    )
    yield "rnn", nn.RNNCell.init(3, 4, rng=0), lambda m, x: nn.unroll(m, x)[0], f32(4, 2, 3)
    yield "lstm", nn.LSTMCell.init(3, 4, rng=0), lambda m, x: nn.unroll(m, x)[0], f32(4, 2, 3)
    yield (
        "embedding",
        nn.Embedding.init(6, 3, rng=0),
        lambda m, x: m(np.array([1, 5, 1])) * x,
        f32(3, 3),
    )
    pooled = nn.Sequential(
        nn.Conv2d.init(1, 2, 3, rng=1), nn.gelu, lambda x: nn.max_pool2d(x, 2), nn.flatten,
        nn.Dropout(0.5), nn.Linear.init(8, 3, rng=2),
    )  # fmt: skip
    yield "sequential", pooled, lambda m, x: m(x, key=nn.random.key(1)), f32(2, 1, 6, 6)


@pytest.mark.parametrize(
    ("name", "layer", "use", "x"), list(layers()), ids=lambda v: v if isinstance(v, str) else ""
)
def test_a_layer_differentiates_compiles_and_stays_in_its_dtype(name, layer, use, x):
    wide = tree.map_leaves(lambda v: np.asarray(v, F64), layer)
    weights = np.random.default_rng(0).normal(size=use(layer, x).shape)
    loss = lambda m, v: np.sum(use(m, v) * weights.astype(v.dtype))
    assert use(layer, x).dtype == np.float32
    value, (of_layer, of_x) = cr.value_and_grad(loss, argnums=(0, 1))(layer, x)
    assert value.dtype == of_x.dtype == np.float32
    assert {g.dtype for _, g in tree.leaves(of_layer)} == {np.dtype(np.float32)}
    assert type(of_layer) is type(layer)
    assert [n for n, _ in tree.leaves(of_layer)] == [n for n, _ in tree.leaves(layer)]
    # The differences are those of the wide layer, whose gradient the narrow one has too.
    given = [v for _, v in tree.leaves(wide)]
    _, rebuild = tree.flatten(wide)
    checked = cr.check(lambda *a: loss(rebuild(a[:-1]), a[-1]), *given, x.astype(F64))
    assert checked.verdict.value == "PASS", checked
    exact = cr.grad(loss, argnums=(0, 1))(wide, x.astype(F64))
    for (_, narrow), (_, true) in zip(
        tree.leaves((of_layer, of_x)), tree.leaves(exact), strict=True
    ):
        assert np.allclose(narrow, true, rtol=1e-3, atol=1e-4 * np.abs(true).max() + 1e-6)
    compiled = cr.jit(cr.grad(loss, argnums=(0, 1)))(wide, x.astype(F64))
    for (_, a), (_, b) in zip(tree.leaves(compiled), tree.leaves(exact), strict=True):
        assert np.allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Linear.init(3, 2, rng=0, dtype=F64), RNG.normal(size=(4, 3))),
        (
            nn.Conv2d.init(2, 2, 3, rng=0, stride=2, padding=1, dtype=F64),
            RNG.normal(size=(3, 2, 6, 5)),
        ),
        (nn.LayerNorm.init(3, dtype=F64), RNG.normal(size=(4, 3))),
        (nn.MultiHeadAttention.init(4, 2, rng=0, dtype=F64), RNG.normal(size=(3, 5, 4))),
    ],
    ids=lambda v: type(v).__name__,
)
def test_a_layer_of_each_example_is_the_layer_of_the_batch(layer, x):
    assert np.allclose(cr.vmap(layer)(x), layer(x), rtol=1e-12)
    each = cr.vmap(cr.grad(lambda m, v: np.sum(m(v) ** 2)), in_axes=(None, 0))(layer, x)
    together = cr.grad(lambda m, v: np.sum(m(v) ** 2))(layer, x)
    for (_, a), (_, b) in zip(tree.leaves(each), tree.leaves(together), strict=True):
        assert np.allclose(a.sum(0), b, rtol=1e-9, atol=1e-11)


def test_a_network_remembers_only_what_is_handed_to_it():
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Linear.init(3, 4, rng=rng), nn.BatchNorm.init(4), nn.relu,
        nn.Sequential(nn.BatchNorm.init(4), nn.Dropout(0.5)), nn.Linear.init(4, 2, rng=rng),
    )  # fmt: skip
    x, key = RNG.normal(size=(8, 3)).astype(np.float32), nn.random.key(0)
    state = model.initial_state()
    y, after = model(x, state, key=key)
    assert np.array_equal(y, model(x, state, key=key)[0])
    assert not np.array_equal(y, model(x, state, key=nn.random.key(1))[0])
    assert np.all(state[1].mean == 0)
    assert np.any(after[1].mean != 0)
    assert np.any(after[3][0].mean != 0)
    used, same = model(x, after)
    assert tree.structure(same) == tree.structure(after)
    assert np.array_equal(used[:2], model(x[:2], after)[0])
    with pytest.raises(ArgumentsError, match=r"beginning with model\.initial_state"):
        model(x)


def test_a_gradient_does_not_flow_into_what_is_remembered():
    norm = nn.BatchNorm.init(2, dtype=F64)
    f = lambda x: np.sum(norm(x, norm.initial_state(), training=True)[1].variance)
    with pytest.warns(cr.AbsentGradientWarning):
        assert not np.any(cr.grad(f)(RNG.normal(size=(4, 2))))


def test_fans_count_what_a_number_is_made_of_and_where_it_goes():
    assert nn.fans((5, 7)) == (7, 5)
    assert nn.fans((8, 3, 5, 4)) == (3 * 20, 8 * 20)
    with pytest.raises(ArgumentsError, match="at least two axes"):
        nn.fans((3,))


@pytest.mark.parametrize(
    ("initializer", "variance"),
    [
        (nn.glorot_uniform, lambda i, o: 2 / (i + o)),
        (nn.glorot_normal, lambda i, o: 2 / (i + o)),
        (nn.he_uniform, lambda i, o: 2 / i),
        (nn.he_normal, lambda i, o: 2 / i),
        (nn.fan_in_uniform, lambda i, o: 1 / (3 * i)),
    ],
)
@pytest.mark.parametrize("shape", [(300, 200), (64, 32, 5, 5)])
def test_an_initialiser_has_the_variance_it_is_known_for(initializer, variance, shape):
    w = initializer(shape, 0)
    assert (w.shape, w.dtype) == (shape, np.float32)
    want = variance(*nn.fans(shape))
    assert abs(w.var() / want - 1) < 0.02
    assert abs(w.mean()) < 4 * math.sqrt(want / w.size)
    if "uniform" in initializer.__name__:
        assert np.abs(w).max() <= math.sqrt(3 * want) * (1 + 1e-6)
    assert np.array_equal(w, initializer(shape, np.random.default_rng(0)))
    assert initializer(shape, 0, F64).dtype == F64


def test_layers_print_as_their_shapes():
    model = nn.mlp([4, 3, 2], rng=0, activation=nn.tanh)
    assert repr(model).splitlines() == [
        "Sequential(",
        "  Linear(weight=float32[3, 4], bias=float32[3]),",
        "  tanh,",
        "  Linear(weight=float32[2, 3], bias=float32[2]),",
        ")",
    ]
    assert [n for n, _ in tree.leaves(model, "model")] == [
        "model.layers[0].weight", "model.layers[0].bias",
        "model.layers[2].weight", "model.layers[2].bias",
    ]  # fmt: skip
    assert nn.parameter_count(model) == 15 + 8


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda: nn.Linear.init(3, 2, rng=0)(np.ones((2, 4))),
            r"takes 3 features along axis -1, but .* \(2, 4\)",
        ),
        (lambda: nn.Linear.init(0, 2, rng=0), "inputs is a whole number from 1 on, not 0"),
        (
            lambda: nn.Conv2d.init(3, 4, 2, rng=0)(np.ones((1, 2, 5, 5))),
            "takes 3 features along axis -3",
        ),
        (lambda: nn.Conv2d.init(3, 4, 2, rng=0, groups=2), "3 channels in and 4 out"),
        (lambda: nn.Conv2d.init(1, 1, 9, rng=0)(np.ones((1, 1, 5, 5))), "9×9 does not fit"),
        (lambda: nn.Conv2d.init(1, 1, (1, 2, 3), rng=0), "or a pair of them"),
        (lambda: nn.LayerNorm.init(3)(np.ones((3, 2))), r"last axes are \(3,\)"),
        (
            lambda: nn.BatchNorm.init(2)(
                np.ones((1, 2)), nn.BatchNorm.init(2).initial_state(), training=True
            ),
            "one number for each feature",
        ),
        (lambda: nn.Dropout(1.0), "from 0 to below 1"),
        (lambda: nn.MultiHeadAttention.init(6, 4, rng=0), "6 features cannot be divided among 4"),
        (lambda: nn.RNNCell.init(2, 2, rng=0)(np.zeros(2), np.ones(3)), "takes 2 features"),
        (lambda: nn.Sequential(nn.Linear), "layers and functions of one array"),
        (lambda: nn.mlp([3], rng=0), "at least an input and an output size"),
    ],
)
def test_what_does_not_fit_is_said_with_its_shape(make, says):
    with pytest.raises(ArgumentsError, match=says):
        make()


def test_networks_are_loaded_when_they_are_asked_for_and_need_numpy_alone():
    heavy = {"rich", "typer", "sympy", "scipy", "sklearn", "matplotlib", "safetensors"}
    code = (
        "import sys, chainrule as cr\n"
        "before = 'chainrule.nn' in sys.modules\n"
        "from chainrule import nn\n"
        f"print(before, cr.nn is nn, *sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
