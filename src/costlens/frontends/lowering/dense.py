"""Dense, EinsumDense and the embeddings."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.activations import activate
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.convolution import bias_add, with_lora


def contract_last(b: Builder, x: Tensor, kernel: Tensor, label: str = "dense") -> Tensor:
    """``x`` (…, n) times a kernel (n, units): every leading axis multiplies."""
    axes = "abcdefghijkl"[: x.rank - 1]
    return b.einsum(f"{axes}y,yz->{axes}z", x, kernel, label=label)


def _dense(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    units = config["units"]
    kernel = b.weight("kernel", (x.shape[-1], units), trainable=not config.get("lora_rank"))
    y = contract_last(b, x, with_lora(b, call, kernel))
    if config.get("use_bias", True):
        y = bias_add(b, y, b.weight("bias", (units,)))
    return activate(b, config.get("activation"), y)


LAYERS: Mapping[str, Lowering] = {"layer:Dense": _dense}
