"""What a framework declares of a call's outputs, against what is read of them."""

from __future__ import annotations

from collections.abc import Sequence

from costlens.frontends.layercall import LayerCall, PartialShape, Tensor, Tree, leaves
from costlens.ir.types import ITEMSIZE, TensorType


def complete(
    expected: Sequence[tuple[PartialShape, str]], batch: Sequence[int]
) -> list[TensorType] | None:
    """Declared types, an open batch filled in; None where another size is open."""
    types = []
    for shape, dtype in expected:
        sizes = [*batch, *shape[1:]] if batch and shape and shape[0] is None else list(shape)
        if None in sizes or dtype not in ITEMSIZE:  # a list of tensors has no size of its own
            return None
        types.append(TensorType(tuple(n or 0 for n in sizes), dtype))
    return types


def disagreement(call: LayerCall, made: Tree) -> str:
    """What a call gives against what Keras declares of it; empty where they agree."""
    found = [x for x in leaves(made) if isinstance(x, Tensor)]
    for x, (shape, dtype) in zip(found, _declared(call), strict=False):
        same = len(shape) == x.rank and all(
            n is None or n == m for n, m in zip(shape, x.shape, strict=True)
        )
        if not same or dtype != x.dtype:
            return f"{x.type}, and Keras says {dtype}{list(shape)}"
    return ""


def _declared(call: LayerCall) -> Sequence[tuple[PartialShape, str]]:
    """Keras's own output types, less what Keras declares otherwise than it computes.

    Multi-head attention's scores are declared as (B, N, T, T), whatever they run over;
    EinsumDense turns the axes that an ellipsis stands for around; an elementwise merge with a
    constant of batch 1 is declared to have that batch.
    """
    if call.layer.kind == "MultiHeadAttention":
        return call.expected[:1]
    if call.layer.kind == "EinsumDense" and "..." in str(call.config.get("equation")):
        return [((None,) * len(shape), dtype) for shape, dtype in call.expected]
    if call.layer.kind in _MERGES and any(shape[:1] == (1,) for shape, _ in call.expected):
        return [((None, *shape[1:]), dtype) for shape, dtype in call.expected]
    return call.expected


_MERGES = ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")
