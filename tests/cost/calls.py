"""One op call, without a graph around it: what it costs and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import settings

from costlens.cost.cost import Call, Cost
from costlens.cost.registry import RULES
from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType

BOUNDED = settings(max_examples=300, deadline=None, derandomize=True, database=None)
DTYPES = ("float32", "float16", "bfloat16", "float64", "int8", "int32")


def called(op: str, *shapes: Sequence[int], dtype: str = "float32", **attrs: Any) -> Call:
    """A call of an op on operands of these shapes; the op says what comes out."""
    spec = OPS[op]
    operands = tuple(TensorType(tuple(shape), dtype) for shape in shapes)
    assert spec.least <= len(operands) and (spec.most is None or len(operands) <= spec.most)
    assert set(spec.attrs) <= set(attrs) <= {*spec.attrs, *spec.optional}
    return Call(operands, spec.infer(operands, attrs), attrs)


def cost_and_shape(op: str, *shapes: Sequence[int], **attrs: Any) -> tuple[Cost, Shape]:
    """What a call costs by its op's rule, and the shape of its output."""
    call = called(op, *shapes, **attrs)
    return RULES[op](call), call.out.shape


def cost(op: str, *shapes: Sequence[int], **attrs: Any) -> Cost:
    """What a call costs by its op's rule."""
    return cost_and_shape(op, *shapes, **attrs)[0]


def laid_out(batch: int, spatial: Sequence[int], channels: int, last: bool) -> Shape:
    """An activation shape in either data format."""
    return (batch, *spatial, channels) if last else (batch, channels, *spatial)
