"""Layers that ``keras.applications`` models bring along."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering


def _layer_scale(b: Builder, call: LayerCall) -> Tensor:
    """A learnt factor per channel (Touvron et al. 2021); ConvNeXt."""
    return b.binary("multiply", call.x, b.weight("gamma", (call.config["projection_dim"],)))


def _stochastic_depth(b: Builder, call: LayerCall) -> Tensor:
    """Drops whole paths in training (Huang et al. 2016); a view at inference."""
    return b.identity(call.x)


def _custom_scale_layer(b: Builder, call: LayerCall) -> Tensor:
    """A residual sum whose branch is scaled down; Inception-ResNet."""
    shortcut, branch = call.tensors
    return b.binary("add", shortcut, b.binary("multiply", branch, float(call.config["scale"])))


LAYERS: Mapping[str, Lowering] = {
    "layer:LayerScale": _layer_scale,
    "layer:StochasticDepth": _stochastic_depth,
    "layer:CustomScaleLayer": _custom_scale_layer,
}
