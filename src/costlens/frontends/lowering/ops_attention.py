"""Scaled dot-product attention (Vaswani et al. 2017): QKᵀ, scale, bias and mask, softmax, AV."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.ops_arguments import operand, required
from costlens.ir.types import promote


def attention_core(
    b: Builder,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: Tensor | float | None = None,
    soft_cap: float | None = None,
) -> Tensor:
    """Attention of a query (B, T, N, H) over a key and value (B, S, M, H), M dividing N.

    ``bias`` and ``mask`` broadcast to the scores (B, N, T, S), which are kept in at least
    float32, as Keras does; the products are in the operands' dtype. ``scale`` None is 1/√H.
    """
    dtype = promote((q.dtype, k.dtype, v.dtype))
    q, k, v = b.cast(q, dtype), b.cast(k, dtype), b.cast(v, dtype)
    k, v = _repeat_heads(b, k, q.shape[2]), _repeat_heads(b, v, q.shape[2])
    scores = b.einsum("btnh,bsnh->bnts", q, k, label="scores")
    scores = b.cast(scores, promote((dtype, "float32")))
    factor = q.shape[-1] ** -0.5 if scale is None and q.shape[-1] else scale
    scores = b.binary("multiply", scores, 1.0 if factor is None else factor, scores.dtype)
    if bias is not None:
        scores = b.binary("add", scores, bias, scores.dtype)
    if soft_cap is not None:
        capped = b.unary("tanh", b.binary("divide", scores, soft_cap))
        scores = b.binary("multiply", capped, soft_cap)
    keep = _keep(b, scores, mask, causal)
    if keep is not None:
        scores = b.emit("select", (keep, scores), label="mask")
    weights = b.cast(b.softmax(scores), dtype)
    return b.einsum("bnts,bsnd->btnd", weights, v, label="context")


def _repeat_heads(b: Builder, x: Tensor, heads: int) -> Tensor:
    """Grouped-query attention repeats each key and value head; one head alone broadcasts."""
    batch, length, own, size = x.shape
    return b.broadcast(x, (batch, length, heads, size)) if 1 < own < heads else x


def _keep(b: Builder, scores: Tensor, mask: Tensor | None, causal: bool) -> Tensor | None:
    """The positions that may attend: the mask, the causal triangle, or both."""
    if not causal:
        return mask
    triangle = b.fill((1, 1, *scores.shape[2:]), "bool", "causal_mask")
    return triangle if mask is None else b.compare("logical_and", mask, triangle)


def _dot_product_attention(b: Builder, call: LayerCall) -> Tensor:
    q, k, v = (required(b, call, i, name) for i, name in enumerate(("query", "key", "value")))
    if v.shape[-1] != q.shape[-1]:
        raise Unreadable("Keras declares the query's shape, and the value has another head size")
    scale = call.arg(5, "scale")
    return attention_core(
        b,
        q,
        k,
        v,
        bias=operand(b, call, 3, "bias"),
        mask=operand(b, call, 4, "mask", "bool"),
        causal=bool(call.config.get("is_causal")),
        scale=scale if scale is None or isinstance(scale, Tensor) else float(scale),
        soft_cap=call.config.get("attn_logits_soft_cap"),
    )


OPS: Mapping[str, Lowering] = {"op:DotProductAttention": _dot_product_attention}
