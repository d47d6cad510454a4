"""Views, padding, cropping and upsampling layers, and those that do nothing at inference."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import channels_last, ntuple
from costlens.ir.ops import spatial_axes


def nothing(b: Builder, call: LayerCall) -> Tensor:
    """Identity, and dropout and noise at inference: a view."""
    return b.identity(call.x)


def _flatten(b: Builder, call: LayerCall) -> Tensor:
    x = call.x
    if not channels_last(call.config) and x.rank > 2:
        x = b.transpose(x, (0, *range(2, x.rank), 1))
    return b.reshape(x, (x.shape[0], -1))


def _reshape(b: Builder, call: LayerCall) -> Tensor:
    return b.reshape(call.x, (call.x.shape[0], *call.config["target_shape"]))


def _zero_padding(b: Builder, call: LayerCall) -> Tensor:
    x, given = call.x, call.config["padding"]
    pairs = [given] if x.rank == 3 else given
    pads = [(0, 0)] * x.rank
    for axis, pair in zip(spatial_axes(x.rank, channels_last(call.config)), pairs, strict=True):
        before, after = ntuple(pair, 2)
        pads[axis] = (before, after)
    return b.pad(x, pads)


LAYERS: Mapping[str, Lowering] = {
    "layer:Identity": nothing,
    "layer:Dropout": nothing,
    "layer:Flatten": _flatten,
    "layer:Reshape": _reshape,
    **{f"layer:ZeroPadding{n}D": _zero_padding for n in (1, 2, 3)},
}
