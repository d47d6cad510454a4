"""Wrappers around one layer, and Masking, which starts the masks that recurrent layers read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from costlens.frontends.layercall import Layer, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Policy
from costlens.frontends.lowering.policy import computed, read_policy
from costlens.frontends.lowering.recurrent import mask_of, part_of, with_mask
from costlens.ir.types import is_float

_TAKES_MASK = frozenset(
    "BatchNormalization Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D GRU "
    "GlobalAveragePooling1D LSTM RNN SimpleRNN Softmax TimeDistributed".split()
)
"""Layers whose ``call`` takes a mask; so does that of every container."""


def _time_distributed(b: Builder, call: LayerCall) -> Tensor:
    """The same layer on every step of axis 1, one after the other, as Keras unrolls it.

    The layer's ``call`` runs under the wrapper's own policy: what it stores is the layer's
    business, what it computes in is the wrapper's.
    """
    x = call.arg(0, "inputs")
    inner, mask = part_of(call.layer, "layer"), mask_of(call, x, 2)
    if inner.program is None:
        inner = _under_policy(inner, b.policy)
    masked = mask is not None and (inner.program is not None or inner.kind in _TAKES_MASK)
    steps = mask() if mask is not None and masked else None
    with b.loop(x.shape[1]):
        step = b.emit("step", (x,), axis=1)
        if steps is not None:
            seen = b.emit("step", (steps,), axis=1)
            step = with_mask(step, lambda: seen)
        y = _only(b.apply(inner, step))
    return b.emit("stack", (y,), axis=1, length=x.shape[1])


def _under_policy(layer: Layer, outer: Policy) -> Layer:
    own = read_policy(layer.config.get("dtype"))
    return replace(layer, config={**layer.config, "dtype": replace(own, compute=outer.compute)})


def _only(made: Tree) -> Tensor:
    """The one tensor that a wrapped layer gives; a container gives a list of one."""
    while isinstance(made, (list, tuple)) and len(made) == 1:
        made = made[0]
    if not isinstance(made, Tensor):
        raise ValueError("the wrapped layer has several outputs")
    return made


def _spectral_normalization(b: Builder, call: LayerCall) -> Tensor:
    """At inference the wrapped layer and nothing more: training writes σ into the kernel.

    ``vector_u`` (1, n), the power iteration's vector, is never trainable; n is the kernel's
    last axis (Miyato et al. 2018).
    """
    x, start = call.arg(0, "inputs"), len(b.nodes)
    y = _only(b.apply(part_of(call.layer, "layer"), x))
    kernel = _kernel(b, start)
    b.weight("vector_u", (1, kernel.shape[-1]), kernel.dtype, trainable=False)
    return b.cast(y, x.dtype if is_float(x.dtype) else b.policy.compute)


def _kernel(b: Builder, start: int) -> Tensor:
    """The wrapped layer's kernel or table: the first such weight that its nodes read."""
    for node in b.nodes[start:]:
        for value in node.operands:
            weight = b.weights.get(value)
            if weight and weight.path.rpartition("/")[2] in ("kernel", "embeddings"):
                return Tensor(value, weight.type)
    raise ValueError("the wrapped layer reads no kernel")


def _masking(b: Builder, call: LayerCall) -> Tensor:
    """Steps that equal ``mask_value`` throughout become zeros; the mask travels on the output."""
    x, value = call.arg(0, "inputs"), call.config.get("mask_value", 0.0)
    scalar = value if isinstance(value, (int, float)) else 0.0
    seen = b.reduce("any", b.compare("not_equal", x, scalar), -1, keepdims=True)
    y = b.cast(b.emit("select", (seen, x)), b.policy.compute)
    made: list[Tensor] = []

    def mask() -> Tensor:
        if not made:
            made.append(b.reshape(seen, seen.shape[:-1]))
        return made[0]

    return with_mask(y, mask)


LAYERS: Mapping[str, Lowering] = {
    "layer:TimeDistributed": computed(_time_distributed),
    "layer:SpectralNormalization": _spectral_normalization,
    "layer:Masking": _masking,
}
