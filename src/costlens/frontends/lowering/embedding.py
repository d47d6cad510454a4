"""Table lookups: Embedding, and ReversibleEmbedding, which also multiplies by its table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from string import ascii_lowercase

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering import quantized_embedding
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.ir.types import promote


def _nonzero(b: Builder, ids: Tensor) -> Callable[[], Tensor]:
    """The mask of ``mask_zero``: made once, where it is first read."""

    @cache
    def mask() -> Tensor:
        return b.compare("not_equal", ids, 0)

    return mask


def _embedding(b: Builder, call: LayerCall) -> Tensor:
    """A row of the table per index; other dtypes than int32 and int64 are cast first."""
    ids = call.x
    index = ids if ids.dtype in ("int32", "int64") else b.cast(ids, "int32")
    if b.policy.quantization:
        y = quantized_embedding.lookup(b, call, index)
    else:
        table = _table(b, call)
        y = b.gather((table, index), (*index.shape, call.config["output_dim"]), table.dtype)
    y = b.cast(y, b.policy.compute)
    return Tensor(y.id, y.type, _nonzero(b, ids) if call.config.get("mask_zero") else None)


def _table(b: Builder, call: LayerCall) -> Tensor:
    """The table, with LoRA's A·B·(α/r) added to all of it (Hu et al. 2021).

    An embedding reads its variables as they are stored, without autocast.
    """
    config, rank = call.config, call.config.get("lora_rank")
    shape = (config["input_dim"], config["output_dim"])
    table = b.weight("embeddings", shape, trainable=not rank)
    if not rank:
        return table
    a = b.weight("lora_embeddings_a", (shape[0], rank), "float32")
    bb = b.weight("lora_embeddings_b", (rank, shape[1]), "float32")
    delta = b.einsum("ar,ro->ao", a, bb, dtype="float32", label="lora")
    delta = b.binary("multiply", delta, (config.get("lora_alpha") or rank) / rank)
    dtype = promote([table.dtype, delta.dtype])
    return b.cast(b.binary("add", table, delta, dtype), b.policy.compute)


def _reversible_embedding(b: Builder, call: LayerCall) -> Tensor:
    """Forwards a lookup, in reverse logits over the vocabulary (Press & Wolf 2017)."""
    config = call.config
    shape = (config["output_dim"], config["input_dim"])
    untied = not config.get("tie_weights", True)
    if not call.arg(1, "reverse", False):
        y = _embedding(b, call)
        if untied and not b.policy.quantization:
            b.weight("reverse_embeddings", shape)
        return y
    if b.policy.quantization:
        logits = quantized_embedding.reverse(b, call, call.x)
    else:
        table = _table(b, call)
        logits = _logits(b, call, b.weight("reverse_embeddings", shape) if untied else table)
    cap = config.get("logit_soft_cap")
    if cap is not None:
        capped = b.unary("tanh", b.binary("divide", logits, float(cap)))
        logits = b.binary("multiply", capped, float(cap))
    # Keras declares the compute dtype, whatever the product's own dtype is
    return b.cast(logits, b.policy.compute)


def _logits(b: Builder, call: LayerCall, table: Tensor) -> Tensor:
    """Inputs times the reverse table (dim, vocabulary), or the tied one transposed."""
    x, given = call.x, call.config.get("reverse_dtype")
    if given is not None:
        x, table = b.cast(x, str(given)), b.cast(table, str(given))
    axes = ascii_lowercase[: x.rank - 1]
    labels = "VD" if call.config.get("tie_weights", True) else "DV"
    dtype = promote([x.dtype, table.dtype])
    return b.einsum(f"{axes}D,{labels}->{axes}V", x, table, dtype=dtype, label="logits")


LAYERS: Mapping[str, Lowering] = {
    "layer:Embedding": _embedding,
    "layer:ReversibleEmbedding": _reversible_embedding,
}
