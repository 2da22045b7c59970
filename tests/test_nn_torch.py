"""The same layers, losses and optimisers beside PyTorch's own, with the same numbers in them."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, tree

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to hold beside")

RNG = np.random.default_rng(5)
F64 = np.float64


def tensor(value):
    return torch.tensor(np.array(value))


def filled(module, **values):
    """A module with these parameters, in float64."""
    module = module.double()
    with torch.no_grad():
        for name, value in values.items():
            module.get_parameter(name.replace("__", ".")).copy_(tensor(value))
    return module


def close(ours, theirs):
    assert np.allclose(ours, theirs.detach().numpy(), rtol=1e-10, atol=1e-12)


def compared(ours, x, use, module, call=None):
    """Value and gradients of both."""
    y = use(ours, x)
    w = RNG.normal(size=y.shape)
    of_layer, of_x = cr.grad(lambda m, v: np.sum(use(m, v) * w), argnums=(0, 1))(ours, x)
    tx = tensor(x).requires_grad_()
    ty = (call or module)(tx)
    close(y, ty)
    (ty * tensor(w)).sum().backward()
    close(of_x, tx.grad)
    for name, gradient in tree.leaves(of_layer):
        close(gradient, module.get_parameter(name.lstrip(".")).grad)


def test_linear():
    layer = nn.Linear.init(3, 2, rng=0, dtype=F64)
    module = filled(torch.nn.Linear(3, 2), weight=layer.weight, bias=layer.bias)
    compared(layer, RNG.normal(size=(4, 3)), lambda m, v: m(v), module)


@pytest.mark.parametrize(
    "options",
    [{}, {"stride": 2, "padding": 1}, {"dilation": (2, 1), "groups": 2, "padding": (2, 0)}],
)
def test_conv2d(options):
    layer = nn.Conv2d.init(4, 6, (3, 2), rng=0, dtype=F64, **options)
    module = filled(torch.nn.Conv2d(4, 6, (3, 2), **options), weight=layer.weight, bias=layer.bias)
    compared(layer, RNG.normal(size=(2, 4, 7, 6)), lambda m, v: m(v), module)


def test_pooling():
    x = RNG.normal(size=(2, 3, 7, 8))
    functional = torch.nn.functional
    for size, stride in ((2, None), (3, 1), ((2, 3), (3, 2))):
        close(nn.max_pool2d(x, size, stride), functional.max_pool2d(tensor(x), size, stride))
        close(nn.avg_pool2d(x, size, stride), functional.avg_pool2d(tensor(x), size, stride))


def test_layer_norm():
    layer = nn.LayerNorm(RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)))
    module = filled(torch.nn.LayerNorm((3, 4)), weight=layer.weight, bias=layer.bias)
    compared(layer, RNG.normal(size=(2, 3, 4)), lambda m, v: m(v), module)


@pytest.mark.parametrize(
    ("kind", "shape"), [("BatchNorm1d", (6, 3)), ("BatchNorm2d", (4, 3, 2, 2))]
)
def test_batch_norm(kind, shape):
    layer = nn.BatchNorm(RNG.normal(size=3), RNG.normal(size=3))
    module = filled(getattr(torch.nn, kind)(3), weight=layer.weight, bias=layer.bias)
    state, x = layer.initial_state(), RNG.normal(size=shape)
    compared(layer, x, lambda m, v: m(v, state, training=True)[0], module)
    for _ in range(2):
        x = RNG.normal(size=shape)
        _, state = layer(x, state, training=True)
        module(tensor(x))
    module.reset_running_stats()
    state = layer.initial_state()
    for _ in range(3):
        x = RNG.normal(size=shape)
        _, state = layer(x, state, training=True)
        module(tensor(x))
    close(state.mean, module.running_mean)
    close(state.variance, module.running_var)
    module.eval()
    close(layer(x, state)[0], module(tensor(x)))


def test_attention():
    layer = nn.MultiHeadAttention.init(6, 3, rng=0, dtype=F64)
    layer = tree.map_leaves(lambda v: v + 0.1 * RNG.normal(size=v.shape), layer)
    module = filled(
        torch.nn.MultiheadAttention(6, 3, batch_first=True),
        in_proj_weight=layer.in_proj_weight, in_proj_bias=layer.in_proj_bias,
        out_proj__weight=layer.out_proj.weight, out_proj__bias=layer.out_proj.bias,
    )  # fmt: skip
    blocked = nn.later(4)
    call = lambda x: module(x, x, x, attn_mask=torch.tensor(blocked))[0]
    compared(layer, RNG.normal(size=(2, 4, 6)), lambda m, v: m(v, blocked=blocked), module, call)
    query, key = RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 5, 6))
    close(layer(query, key), module(*map(tensor, (query, key, key)))[0])


@pytest.mark.parametrize(("ours", "theirs"), [(nn.RNNCell, "RNN"), (nn.LSTMCell, "LSTM")])
def test_recurrent_cells(ours, theirs):
    cell = ours.init(3, 4, rng=0, dtype=F64)
    module = getattr(torch.nn, theirs)(3, 4).double()
    names = {f"{n}_l0": v for n, v in ((n.lstrip("."), v) for n, v in tree.leaves(cell))}
    filled(module, **names)
    x = RNG.normal(size=(5, 2, 3))
    w = RNG.normal(size=(5, 2, 4))
    gradient = cr.grad(lambda c: np.sum(nn.unroll(c, x)[0] * w))(cell)
    y = module(tensor(x))[0]
    close(nn.unroll(cell, x)[0], y)
    (y * tensor(w)).sum().backward()
    for name, value in tree.leaves(gradient):
        close(value, module.get_parameter(f"{name.lstrip('.')}_l0").grad)


def test_embedding():
    table = nn.Embedding.init(5, 3, rng=0, dtype=F64)
    module = filled(torch.nn.Embedding(5, 3), weight=table.weight)
    indices = np.array([[0, 4], [4, 1]])
    gradient = cr.grad(lambda t: np.sum(t(indices) ** 2))(table).weight
    (module(torch.tensor(indices)) ** 2).sum().backward()
    close(gradient, module.weight.grad)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.relu, "relu"),
        (nn.sigmoid, "sigmoid"),
        (nn.tanh, "tanh"),
        (nn.leaky_relu, "leaky_relu"),
        (nn.elu, "elu"),
        (nn.gelu, "gelu"),
        (nn.silu, "silu"),
        (nn.softplus, "softplus"),
        (nn.gelu_tanh, lambda x: torch.nn.functional.gelu(x, approximate="tanh")),
        (nn.softmax, lambda x: torch.softmax(x, -1)),
        (nn.log_softmax, lambda x: torch.log_softmax(x, -1)),
    ],
)
def test_activations(ours, theirs):
    f = getattr(torch.nn.functional, theirs) if isinstance(theirs, str) else theirs
    x = np.concatenate([RNG.normal(size=20) * 3, [0.0, 10.0, -10.0]])
    w = RNG.normal(size=23)
    tx = tensor(x).requires_grad_()
    close(ours(x), f(tx))
    (f(tx) * tensor(w)).sum().backward()
    close(cr.grad(lambda v: np.sum(ours(v) * w))(x), tx.grad)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.mse, "mse_loss"),
        (nn.mae, "l1_loss"),
        (nn.huber, "huber_loss"),
        (nn.bce, "binary_cross_entropy"),
        (nn.bce_with_logits, "binary_cross_entropy_with_logits"),
    ],
)
def test_losses(ours, theirs, reduction):
    p, t = RNG.normal(size=(4, 3)) * 2, RNG.normal(size=(4, 3))
    if "bce" in ours.__name__:
        t = RNG.uniform(size=(4, 3))
    if ours is nn.bce:
        p = np.concatenate([RNG.uniform(size=(3, 3)), [[0.0, 1.0, 0.5]]])
    value = getattr(torch.nn.functional, theirs)(tensor(p), tensor(t), reduction=reduction)
    close(ours(p, t, reduction=reduction), value)


def test_cross_entropy_of_rows_and_of_images():
    for shape, labels in (((5, 3), (5,)), ((2, 3, 4), (2, 4)), ((3,), ())):
        z, y = RNG.normal(size=shape), RNG.integers(0, 3, labels)
        tz = tensor(z).requires_grad_()
        theirs = torch.nn.functional.cross_entropy(tz, torch.tensor(y))
        theirs.backward()
        close(nn.cross_entropy(z, y), theirs)
        close(cr.grad(nn.cross_entropy)(z, y), tz.grad)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (nn.sgd(0.1), lambda p: torch.optim.SGD(p, 0.1)),
        (
            nn.sgd(0.1, 0.9, weight_decay=0.1),
            lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.1),
        ),
        (nn.sgd(0.1, 0.9, nesterov=True), lambda p: torch.optim.SGD(p, 0.1, 0.9, nesterov=True)),
        (nn.rmsprop(), lambda p: torch.optim.RMSprop(p)),
        (nn.adam(), lambda p: torch.optim.Adam(p)),
        (
            nn.adam(0.1, 0.8, 0.9, 1e-3, 0.2),
            lambda p: torch.optim.Adam(p, 0.1, (0.8, 0.9), 1e-3, 0.2),
        ),
        (nn.adamw(), lambda p: torch.optim.AdamW(p)),
        (nn.adamw(0.1, weight_decay=0.2), lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.2)),
    ],
)
def test_optimisers(ours, theirs):
    w = RNG.normal(size=(3, 2))
    tw = tensor(w).requires_grad_()
    optimizer, state = theirs([tw]), ours.init(w)
    for t in range(10):
        optimizer.zero_grad()
        ((tw - 1) ** 2 + t * tw).sum().backward()
        optimizer.step()
        change, state = ours.update(
            cr.grad(lambda v, t=t: np.sum((v - 1) ** 2 + t * v))(w), state, w
        )
        w = nn.apply_updates(w, change)
        close(w, tw)


def test_clipping():
    g = {"a": RNG.normal(size=3), "b": RNG.normal(size=(2, 2))}
    leaves = [
        torch.zeros(3, dtype=torch.float64, requires_grad=True),
        torch.zeros(2, 2, dtype=torch.float64, requires_grad=True),
    ]
    for leaf, value in zip(leaves, g.values(), strict=True):
        leaf.grad = tensor(value)
    torch.nn.utils.clip_grad_value_(leaves, 0.5)
    clipped, _ = nn.clip_by_value(0.5).update(g, (), g)
    close(clipped["a"], leaves[0].grad)
    torch.nn.utils.clip_grad_norm_(leaves, 0.3)  # divides by the length plus 1e-6
    clipped, _ = nn.clip_by_global_norm(0.3).update(clipped, (), g)
    assert np.allclose(clipped["b"], leaves[1].grad.numpy(), rtol=1e-5)


def test_first_weights_have_pytorchs_bounds():
    for ours, theirs in (
        (nn.Linear.init(50, 40, rng=0), torch.nn.Linear(50, 40)),
        (nn.Conv2d.init(8, 16, 3, rng=0, groups=2), torch.nn.Conv2d(8, 16, 3, groups=2)),
        (nn.LSTMCell.init(20, 30, rng=0), torch.nn.LSTMCell(20, 30)),
        (nn.MultiHeadAttention.init(32, 4, rng=0), torch.nn.MultiheadAttention(32, 4)),
    ):
        for name, value in tree.leaves(ours):
            other = theirs.get_parameter(name.lstrip(".")).detach().numpy()
            assert (value.shape, value.dtype) == (other.shape, other.dtype)
            assert abs(np.abs(value).max() - np.abs(other).max()) <= 0.15 * np.abs(other).max()
