"""Normalisation layers."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering


def _batch_normalization(b: Builder, call: LayerCall) -> Tensor:
    """Inference form; the moving statistics are parameters that are never trainable."""
    config, x = call.config, call.x
    axis = config.get("axis", -1)
    axis = (axis[0] if isinstance(axis, (list, tuple)) else axis) % x.rank
    shape = (x.shape[axis],)
    stats = [b.weight("gamma", shape)] if config.get("scale", True) else []
    stats += [b.weight("beta", shape)] if config.get("center", True) else []
    stats += [b.weight("moving_mean", shape, trainable=False)]
    stats += [b.weight("moving_variance", shape, trainable=False)]
    return b.emit("batch_norm", (x, *stats), axis=axis)


LAYERS: Mapping[str, Lowering] = {"layer:BatchNormalization": _batch_normalization}
