"""Numeric preprocessing layers: rescaling, normalisation, discretisation; and their chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import Constant, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.categories import declared, encode
from costlens.frontends.lowering.reshaping import nothing
from costlens.frontends.program import layer_from_config
from costlens.ir.types import Shape, TensorType, is_float


def captured(b: Builder, call: LayerCall, name: str, shape: Sequence[int], dtype: str) -> Tensor:
    """An array that the layer holds outside its weights: the same one on every call."""
    return b.constant(Constant(TensorType(tuple(shape), dtype), (call.layer.identity, name)))


def shape_of(value: Any) -> Shape:
    """The shape of a number or of an array, as a config spells it: nested lists, or serialised."""
    if isinstance(value, Mapping):
        config = value.get("config", value)
        return shape_of(config.get("value") if isinstance(config, Mapping) else config)
    if hasattr(value, "shape"):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return (len(value), *shape_of(value[0])) if value else (0,)
    return ()


def _rescaling(b: Builder, call: LayerCall) -> Tensor:
    """x · scale + offset, each a number or one per channel."""
    x = b.cast(call.x, b.policy.compute)
    for fn, name, default in (("multiply", "scale", 1.0), ("add", "offset", 0.0)):
        shape = shape_of(call.config.get(name, default))
        operand: Tensor | float = default
        if shape:
            if len(shape) == 1 and shape[0] not in (1, x.shape[-1]):
                shape = (*shape, 1, 1)  # one per channel, channels first
            operand = captured(b, call, name, shape, x.dtype)
        x = b.binary(fn, x, operand)
    return x


def _statistics(b: Builder, call: LayerCall) -> tuple[Tensor, Tensor]:
    """Mean and variance, broadcast to the input's rank: given, or weights that ``adapt`` sets."""
    config, x, dtype = call.config, call.x, b.policy.compute
    axis = config.get("axis", -1)
    given = () if axis is None else (axis,) if isinstance(axis, int) else axis
    kept = sorted(a % x.rank for a in given)
    shape = tuple(n if a in kept else 1 for a, n in enumerate(x.shape))
    if config.get("mean") is not None:
        return captured(b, call, "mean", shape, dtype), captured(b, call, "variance", shape, dtype)
    sizes = tuple(x.shape[a] for a in kept)
    mean = b.weight("mean", sizes, trainable=False)
    variance = b.weight("variance", sizes, trainable=False)
    b.weight("count", (), _count_dtype(b), trainable=False)
    return b.reshape(mean, shape), b.reshape(variance, shape)


def _count_dtype(b: Builder) -> str:
    """Keras's default integer: 64 bits on TensorFlow, 32 elsewhere."""
    assert b.row is not None
    stored = [s.type.dtype for s in b.row.left or () if s.name == "count"]
    return stored[0] if stored else "int64"


def _normalization(b: Builder, call: LayerCall) -> Tensor:
    """(x - mean) / max(√variance, ε); ``invert`` undoes it."""
    dtype = b.policy.compute
    mean, variance = _statistics(b, call)
    x = b.cast(call.x, dtype)
    inverted = call.config.get("invert")
    centred = x if inverted else b.binary("subtract", x, mean, dtype)
    scale = b.binary("maximum", b.unary("sqrt", variance, dtype), 1e-7)
    if inverted:
        return b.binary("add", mean, b.binary("multiply", x, scale), dtype)
    return b.binary("divide", centred, scale)


def _discretization(b: Builder, call: LayerCall) -> Tensor:
    """Bin numbers by binary search, whose comparisons depend on the data; then their encoding."""
    config = call.config
    x = b.cast(call.x, "float32") if is_float(call.x.dtype) else call.x
    bounds, mode = config.get("bin_boundaries"), config.get("output_mode", "int")
    depth = len(bounds) + 1 if bounds else int(config.get("num_bins") or 0)
    (bins,) = b.opaque("digitize", (x,), TensorType(x.shape, "int32"))
    if mode == "int":
        return b.cast(bins, call.expected[0][1]) if call.expected else bins
    if mode == "one_hot":
        base = x.shape[:-1] if x.rank > 1 and x.shape[-1] == 1 else x.shape
    else:
        base = (x.shape[0], *x.shape[2:]) if x.rank >= 2 else ()
    sparse = bool(config.get("sparse"))
    shape = declared(call, (*base, depth))
    return encode(b, bins, mode, shape, b.policy.compute, sparse=sparse)


def _pipeline(b: Builder, call: LayerCall) -> Tree:
    """Layers one after the other."""
    x: Tree = call.arg(0, "inputs")
    for serialized in call.config["layers"]:
        x = b.apply(layer_from_config(serialized), x)
    return x


def _concatenate_features(b: Builder, call: LayerCall) -> Tensor:
    """FeatureSpace's own concatenation."""
    return b.concat(call.tensors, call.config.get("axis", -1))


LAYERS: Mapping[str, Lowering] = {
    "layer:Rescaling": _rescaling,
    "layer:Normalization": _normalization,
    "layer:Discretization": _discretization,
    "layer:Pipeline": _pipeline,
    "layer:TFDConcat": _concatenate_features,
    "layer:TFDIdentity": nothing,
}
