"""Networks and training: layers, losses and optimisers as plain functions of pytrees.

A layer is a dataclass whose arrays are what is learned; a loss is a function of a model and a
batch; an optimiser is a pair of pure functions. ``fit`` puts them together. Shapes and conventions
are PyTorch's where PyTorch has the same. ``docs/networks.md`` is a tour.
"""

from chainrule.nn import random
from chainrule.nn.activations import (
    elu,
    gelu,
    gelu_tanh,
    identity,
    leaky_relu,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from chainrule.nn.attention import MultiHeadAttention, attention, later
from chainrule.nn.convolution import Conv2d, avg_pool2d, flatten, max_pool2d
from chainrule.nn.dropout import Dropout
from chainrule.nn.history import History
from chainrule.nn.initializers import (
    fan_in_uniform,
    fans,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
)
from chainrule.nn.layer import Layer, parameter_count
from chainrule.nn.linear import Embedding, Linear
from chainrule.nn.losses import (
    accuracy,
    bce,
    bce_with_logits,
    cross_entropy,
    huber,
    mae,
    mse,
    r2_score,
)
from chainrule.nn.normalization import BatchNorm, BatchNormState, LayerNorm
from chainrule.nn.optimizers import (
    AdamState,
    Optimizer,
    adam,
    adamw,
    add_decayed_weights,
    apply_updates,
    chain,
    clip_by_global_norm,
    clip_by_value,
    global_norm,
    momentum,
    rmsprop,
    scale_by_adam,
    scale_by_rate,
    scale_by_rms,
    sgd,
)
from chainrule.nn.recurrent import LSTMCell, RNNCell, unroll
from chainrule.nn.saving import FileError, load, save
from chainrule.nn.schedules import (
    constant_schedule,
    cosine_schedule,
    exponential_schedule,
    step_schedule,
    warmup_schedule,
)
from chainrule.nn.sequential import Apply, Sequential, mlp
from chainrule.nn.training import Trained, epochs_done, fit, steps_in
from chainrule.tree import static_field

__all__ = [
    "AdamState",
    "Apply",
    "BatchNorm",
    "BatchNormState",
    "Conv2d",
    "Dropout",
    "Embedding",
    "FileError",
    "History",
    "LSTMCell",
    "Layer",
    "LayerNorm",
    "Linear",
    "MultiHeadAttention",
    "Optimizer",
    "RNNCell",
    "Sequential",
    "Trained",
    "accuracy",
    "adam",
    "adamw",
    "add_decayed_weights",
    "apply_updates",
    "attention",
    "avg_pool2d",
    "bce",
    "bce_with_logits",
    "chain",
    "clip_by_global_norm",
    "clip_by_value",
    "constant_schedule",
    "cosine_schedule",
    "cross_entropy",
    "elu",
    "epochs_done",
    "exponential_schedule",
    "fan_in_uniform",
    "fans",
    "fit",
    "flatten",
    "gelu",
    "gelu_tanh",
    "global_norm",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "huber",
    "identity",
    "later",
    "leaky_relu",
    "load",
    "log_softmax",
    "mae",
    "max_pool2d",
    "mlp",
    "momentum",
    "mse",
    "parameter_count",
    "r2_score",
    "random",
    "relu",
    "rmsprop",
    "save",
    "scale_by_adam",
    "scale_by_rate",
    "scale_by_rms",
    "sgd",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "static_field",
    "step_schedule",
    "steps_in",
    "tanh",
    "unroll",
    "warmup_schedule",
]
