"""Quantised embeddings: int8 or packed int4 rows, a scale per row or per block of a row."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.frontends.lowering.quantized import (
    abs_max_quantize,
    dequantize,
    divided,
    product,
    quantizes_inputs,
    scale_weight,
    unpack_int4,
)
from costlens.ir.types import Shape

Weights = Mapping[str, Tensor]


def _weights(b: Builder, call: LayerCall) -> Weights:
    """Every variable of the layer, whichever way it is called."""
    config, rank = call.config, call.config.get("lora_rank")
    rows, size = config["input_dim"], config["output_dim"]
    if b.policy.quantization not in ("int8", "int4"):
        raise Unreadable(f"{call.layer.kind} has no {b.policy.quantization} form")
    made = _forward(b, rows, size)
    if not config.get("tie_weights", True):
        made |= _reverse(b, rows, size)
    if rank:
        made["lora_a"] = b.weight("lora_embeddings_a", (rows, rank), "float32")
        made["lora_b"] = b.weight("lora_embeddings_b", (rank, size), "float32")
    return made


def _forward(b: Builder, rows: int, size: int) -> dict[str, Tensor]:
    packed, block = b.policy.quantization == "int4", _block(b)
    made = {"embeddings": _kernel(b, "embeddings", (rows, size), 1 if packed else None)}
    shape = (rows, -(-size // block)) if block else (rows,)
    made["scale"] = scale_weight(b, "embeddings_scale", shape)
    if block:
        made["zero"] = scale_weight(b, "embeddings_zero", shape, "int8")
        made["groups"] = scale_weight(b, "g_idx", (size,), "float32")
    return made


def _reverse(b: Builder, rows: int, size: int) -> dict[str, Tensor]:
    """The untied table (dim, vocabulary), packed along its first axis; float zero points."""
    packed, block = b.policy.quantization == "int4", _block(b)
    kernel = _kernel(b, "reverse_embeddings", (size, rows), 0 if packed else None)
    shape = (-(-size // block), rows) if block else (rows,)
    made = {"reverse": kernel, "reverse_scale": scale_weight(b, "reverse_embeddings_scale", shape)}
    if block:
        made["reverse_zero"] = scale_weight(b, "reverse_embeddings_zero", shape)
    return made


def _block(b: Builder) -> int | None:
    return b.policy.block_size if b.policy.quantization == "int4" else None


def _kernel(b: Builder, name: str, shape: Shape, packed: int | None) -> Tensor:
    """An int8 table, or one of two 4-bit values per byte along the axis ``packed``."""
    stored = tuple(-(-n // 2) if axis == packed else n for axis, n in enumerate(shape))
    logical = None if packed is None else shape
    return b.weight(name, stored, "int8", trainable=False, logical=logical)


def lookup(b: Builder, call: LayerCall, index: Tensor) -> Tensor:
    """Rows by index, dequantised; an int4 table is unpacked whole on each call."""
    w, size = _weights(b, call), call.config["output_dim"]
    shape = (*index.shape, size)
    table = w["embeddings"]
    if b.policy.quantization == "int4":
        table = unpack_int4(b, table, (call.config["input_dim"], size))
    rows = b.gather((table, index), shape)
    scale = _rows(b, w["scale"], index)
    if _block(b):
        zero = _rows(b, w["zero"], index)
        y = dequantize(b, b.cast(rows, b.policy.compute), scale, zero, w["groups"])
    else:
        y = divided(b, rows, b.reshape(scale, (*index.shape, 1)))
    return _with_lora(b, call, w, index, y)


def _rows(b: Builder, table: Tensor, index: Tensor) -> Tensor:
    """Rows of a scale or zero point, in the dtype they are stored in."""
    return b.gather((table, index), (*index.shape, *table.shape[1:]), table.dtype)


def _with_lora(b: Builder, call: LayerCall, w: Weights, index: Tensor, y: Tensor) -> Tensor:
    """y + (α/r)·A[index]·B (Hu et al. 2021)."""
    rank = call.config.get("lora_rank")
    if not rank:
        return y
    low = b.gather((w["lora_a"], index), (*index.shape, rank), "float32")
    axes = ascii_lowercase[: low.rank - 1]
    delta = b.einsum(f"{axes}R,RO->{axes}O", low, w["lora_b"], "float32", label="lora")
    scale = (call.config.get("lora_alpha") or rank) / rank
    return b.binary("add", y, b.binary("multiply", delta, scale))


def reverse(b: Builder, call: LayerCall, x: Tensor) -> Tensor:
    """Logits over the vocabulary from quantised inputs and the quantised table."""
    w, config = _weights(b, call), call.config
    tied = config.get("tie_weights", True)
    table, scale = (w["embeddings"], w["scale"]) if tied else (w["reverse"], w["reverse_scale"])
    labels = "VD" if tied else "DV"
    if b.policy.quantization == "int4":
        table = unpack_int4(b, table, (config["output_dim"], config["input_dim"]))
        labels = "DV"
    x, inputs_scale = _inputs(b, call, x)
    axes = ascii_lowercase[: x.rank - 1]
    equation = f"{axes}D,{labels}->{axes}V"
    if not _block(b):
        logits = b.cast(product(b, equation, x, table, "logits"), b.policy.compute)
        return b.binary("divide", logits, b.binary("multiply", inputs_scale, scale))
    zero = w["zero"] if tied else w["reverse_zero"]
    if tied:
        scale, zero = b.transpose(scale, (1, 0)), b.transpose(zero, (1, 0))
    kernel = dequantize(b, b.cast(table, b.policy.compute), scale, zero, w["groups"])
    return b.binary("divide", product(b, equation, x, kernel, "logits"), inputs_scale)


def _inputs(b: Builder, call: LayerCall, x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantised inputs and their scale; where they are not quantised, the scale is a one."""
    if quantizes_inputs(call, True):
        return abs_max_quantize(b, x, (-1,))
    return x, b.fill((1,), b.policy.compute, "ones")
