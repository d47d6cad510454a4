"""Merging layers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering


def _merge(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        return reduce(lambda x, y: b.binary(fn, x, y), call.tensors)

    return lowering


def _average(b: Builder, call: LayerCall) -> Tensor:
    total = reduce(lambda x, y: b.binary("add", x, y), call.tensors)
    return b.binary("divide", total, float(len(call.tensors)))


def _concatenate(b: Builder, call: LayerCall) -> Tensor:
    return b.concat(call.tensors, call.config.get("axis", -1))


LAYERS: Mapping[str, Lowering] = {
    "layer:Add": _merge("add"),
    "layer:Subtract": _merge("subtract"),
    "layer:Multiply": _merge("multiply"),
    "layer:Maximum": _merge("maximum"),
    "layer:Minimum": _merge("minimum"),
    "layer:Average": _average,
    "layer:Concatenate": _concatenate,
}
