"""Activations, as a layer's ``activation=`` and as layers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.program import layer_from_config

_SAME_NAME = (
    "celu elu gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid mish relu "
    "relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus "
    "tanh tanh_shrink threshold"
).split()

UNARY_ACTIVATIONS: Mapping[str, str] = {
    **{name: name for name in _SAME_NAME},
    "exponential": "exp",
    "swish": "silu",
    "hard_swish": "hard_silu",
}
"""Keras's name of an elementwise activation → the unary function that it is."""


def glu(b: Builder, x: Tensor, axis: int = -1) -> Tensor:
    """Gated linear unit: one half of an axis times the sigmoid of the other half."""
    axis %= x.rank
    half = x.shape[axis] // 2
    value, gate = b.take(x, axis, 0, half), b.take(x, axis, half, 2 * half)
    return b.binary("multiply", value, b.unary("sigmoid", gate))


def sparsemax(b: Builder, x: Tensor, axis: int = -1) -> Tensor:
    """Sparsemax sorts its logits, so its FLOPs are not counted (Martins & Astudillo 2016)."""
    return b.opaque("sparsemax", (x,), x.type)[0]


_OTHERS: Mapping[str, Callable[[Builder, Tensor], Tensor]] = {
    "softmax": lambda b, x: b.softmax(x),
    "log_softmax": lambda b, x: b.softmax(x, fn="log_softmax"),
    "glu": glu,
    "sparsemax": sparsemax,
}


def activate(b: Builder, activation: Any, x: Tensor) -> Tensor:
    """Apply a config's ``activation`` entry: a name, a serialised layer, or a user's function.

    A function that is not Keras's is an unknown of the same shape.
    """
    name = activation
    if isinstance(activation, Mapping):
        config = activation.get("config")
        if isinstance(config, Mapping) and activation.get("module", "").startswith("keras"):
            return b.apply(layer_from_config(activation), x)  # type: ignore[no-any-return]
        name = config if isinstance(config, str) else activation.get("class_name")
    if name in (None, "linear"):
        return x
    if name in UNARY_ACTIVATIONS:
        return b.unary(UNARY_ACTIVATIONS[name], x)
    if name in _OTHERS:
        return _OTHERS[name](b, x)
    reason = f"the activation {name!r} is not one of Keras's"
    return b.unknown(reason, (x,), (x.type,))[0]  # type: ignore[no-any-return]


def _activation(b: Builder, call: LayerCall) -> Tensor:
    return activate(b, call.config.get("activation"), call.x)


def _relu(b: Builder, call: LayerCall) -> Tensor:
    """ReLU(max_value, negative_slope, threshold)."""
    config, x = call.config, call.x
    if config.get("negative_slope"):
        x = b.unary("leaky_relu", x)
        return b.binary("minimum", x, 1.0) if config.get("max_value") is not None else x
    return b.unary("relu6" if config.get("max_value") is not None else "relu", x)


def _prelu(b: Builder, call: LayerCall) -> Tensor:
    """PReLU: a learnt slope per element, shared along ``shared_axes``."""
    shared = call.config.get("shared_axes") or ()
    shape = [1 if axis in shared else n for axis, n in enumerate(call.x.shape) if axis > 0]
    return b.binary("prelu", call.x, b.weight("alpha", shape))


def _softmax(b: Builder, call: LayerCall) -> Tensor:
    """Softmax over one axis or several; a mask adds a large negative number first."""
    x, axis = call.x, call.config.get("axis", -1)
    mask = call.arg(1, "mask") or (x.mask and x.mask())
    if isinstance(mask, Tensor):
        bias = b.binary("multiply", b.binary("subtract", 1.0, b.cast(mask, x.dtype)), -1e9)
        x = b.binary("add", x, bias)
    axes = tuple(a % x.rank for a in axis) if isinstance(axis, (list, tuple)) else axis % x.rank
    return b.emit("softmax", (x,), label="softmax", fn="softmax", axis=axes)


LAYERS: Mapping[str, Lowering] = {
    "layer:Activation": _activation,
    "layer:ReLU": _relu,
    "layer:PReLU": _prelu,
    "layer:Softmax": _softmax,
    "layer:LeakyReLU": lambda b, call: b.unary("leaky_relu", call.x),
    "layer:ELU": lambda b, call: b.unary("elu", call.x),
}
