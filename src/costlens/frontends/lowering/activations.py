"""Activations, as a layer's ``activation=`` and as layers of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from costlens.frontends.layercall import Layer, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.policy import computed
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
    "gelu_tanh": "gelu_tanh",
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
    "sparsemax": sparsemax,
}


def activate(b: Builder, activation: Any, x: Tensor) -> Tensor:
    """Apply a config's ``activation`` entry: a name, a serialised layer, or a user's function.

    A function that is not Keras's is an unknown of the same shape.
    """
    name = activation
    if isinstance(activation, Mapping):
        config, name = activation.get("config"), activation.get("class_name")
        if isinstance(config, Mapping) and name not in ("__lambda__", "function"):
            return _layer_activation(b, layer_from_config(activation), x)
        name = _foreign(activation)
    if name in (None, "linear"):
        return x
    if name in UNARY_ACTIVATIONS:
        return b.unary(UNARY_ACTIVATIONS[name], x)
    if name in _OTHERS:
        return _OTHERS[name](b, x)
    if name == "glu":
        raise Unreadable("glu halves an axis, and Keras declares the shape unchanged")
    reason = f"the activation {name!r} is not one of Keras's"
    if b.opens:
        raise Unreadable(reason)  # the layer is traced, and the function with it
    return b.unknown(reason, (x,), (x.type,))[0]  # type: ignore[no-any-return]


def _layer_activation(b: Builder, layer: Layer, x: Tensor) -> Tensor:
    """A layer as an activation; Keras builds it, and its weights, on the first real call."""
    assert b.row is not None
    if layer.kind == "PReLU" and b.row.left == []:
        raise Unreadable("its activation PReLU has no weights until the model is called")
    made: Tensor = b.apply(layer, x)
    return made


_FRAMEWORKS = ("builtins", "jax", "keras", "tensorflow", "torch")


def _foreign(activation: Mapping[str, Any]) -> str:
    """A serialised function: a framework's by its name, another's with where it lives.

    The frameworks' functions compute what Keras's of that name do, but for the default of gelu.
    """
    config = activation.get("config")
    name = config if isinstance(config, str) else str(activation.get("class_name"))
    module = str(activation.get("module") or "keras")
    if module.split(".")[0] not in _FRAMEWORKS:
        return f"{module}.{name}"
    tanh = name == "gelu" and module.startswith(("jax", "keras.src.ops", "keras.ops"))
    return "gelu_tanh" if tanh else name


def relu(
    b: Builder,
    x: Tensor,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
) -> Tensor:
    """Rectifier with a leak, a ceiling and a threshold, as Keras composes it.

    f(x) = x above the threshold, slope·(x - threshold) below it, never more than the ceiling.
    """
    below: Tensor | None = None
    if negative_slope:
        if max_value is None and not threshold:
            return b.unary("leaky_relu", x)
        below = b.unary("negative", x)
        if threshold:
            below = b.binary("add", below, threshold)
        below = b.unary("relu", below)
    if threshold:
        x = b.emit("select", (b.compare("greater", x, threshold), x))
    else:
        x = b.unary("relu6" if max_value == 6 else "relu", x)
    if max_value is not None and (threshold or max_value != 6):
        x = b.unary("clip", x)
    if below is None:
        return x
    return b.binary("subtract", x, b.binary("multiply", below, negative_slope))


def _activation(b: Builder, call: LayerCall) -> Tensor:
    return activate(b, call.config.get("activation"), call.x)


def _relu(b: Builder, call: LayerCall) -> Tensor:
    """ReLU(max_value, negative_slope, threshold)."""
    config = call.config
    return relu(
        b,
        call.x,
        config.get("negative_slope") or 0.0,
        config.get("max_value"),
        config.get("threshold") or 0.0,
    )


def _prelu(b: Builder, call: LayerCall) -> Tensor:
    """PReLU: a learnt slope per element, shared along ``shared_axes`` (He et al. 2015)."""
    given, x = call.config.get("shared_axes") or (), call.x
    shared = (given,) if isinstance(given, int) else given
    shape = [1 if axis in shared else n for axis, n in enumerate(x.shape) if axis > 0]
    return b.binary("prelu", x, b.weight("alpha", shape))


def _softmax(b: Builder, call: LayerCall) -> Tensor:
    """Softmax over one axis or several; masked positions are set aside before and after."""
    x, axis = call.x, call.config.get("axis", -1)
    mask = call.arg(1, "mask") or (x.mask and x.mask())
    if isinstance(mask, Tensor):
        mask = mask if mask.dtype == "bool" else b.compare("greater", mask, 0.5)
        x = b.emit("select", (mask, x))
    if isinstance(axis, (list, tuple)) and len(axis) > 1:
        total = b.reduce("logsumexp", x, axis, keepdims=True)
        y = b.unary("exp", b.binary("subtract", x, total))
    else:
        y = b.softmax(x, axis[0] if isinstance(axis, (list, tuple)) else axis)
    return b.emit("select", (mask, y)) if isinstance(mask, Tensor) else y


LAYERS: Mapping[str, Lowering] = {
    "layer:Activation": computed(_activation),
    "layer:ReLU": computed(_relu),
    "layer:PReLU": computed(_prelu),
    "layer:Softmax": computed(_softmax),
    "layer:LeakyReLU": computed(lambda b, call: b.unary("leaky_relu", call.x)),
    "layer:ELU": computed(lambda b, call: b.unary("elu", call.x)),
}
