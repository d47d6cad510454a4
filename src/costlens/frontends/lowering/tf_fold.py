"""Shape arithmetic of traced graphs, worked out where all its numbers are known.

TensorFlow leaves a size open where it cannot tell it from the graph alone; with the sizes of the
tensors at hand, what is computed from them is known too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from costlens.frontends.layercall import Known, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.ir.types import TensorType, is_int

Array = np.ndarray[Any, Any]
Fold = Callable[[LayerCall, list[Array]], Any]


def known(call: LayerCall, value: Any, index: int = 0) -> Known:
    """Numbers as an output of an operation."""
    array = np.asarray(value, call.expected[index][1])
    return Known(TensorType(array.shape, str(array.dtype)), array, (call.layer.identity, index))


def folding(lowering: Lowering, fold: Fold) -> Lowering:
    """A lowering that works whole numbers out where every operand is known."""

    def folded(b: Builder, call: LayerCall) -> Tree:
        arrays = [x.value for x in call.args if isinstance(x, Known)]
        if len(arrays) == len(call.args) and is_int(call.expected[0][1]):
            return known(call, fold(call, arrays))
        return lowering(b, call)

    return folded


def shapes(b: Builder, call: LayerCall) -> Tree | None:
    """The shapes of tensors, as numbers; None where one has no type."""
    if not all(isinstance(x, (Tensor, Known)) for x in call.args):
        return None
    given = [x.type.shape for x in call.args]
    if call.layer.kind == "Rank":
        return [known(call, len(given[0]))]
    if call.layer.kind == "Size":
        return [known(call, np.prod(given[0]))]
    return [known(call, shape, i) for i, shape in enumerate(given)]


def _sliced(call: LayerCall, xs: list[Array]) -> Any:
    x, begin, end, step = xs
    config = call.config
    if int(config.get("ellipsis_mask", 0)) or int(config.get("new_axis_mask", 0)):
        raise Unreadable("a shape is sliced with an ellipsis")
    keys: list[Any] = []
    for axis, (low, high, by) in enumerate(zip(begin, end, step, strict=True)):
        masked = [bool(int(config.get(m, 0)) >> axis & 1) for m in ("begin_mask", "end_mask")]
        if int(config.get("shrink_axis_mask", 0)) >> axis & 1:
            keys.append(int(low))
        else:
            keys.append(slice(None if masked[0] else low, None if masked[1] else high, by))
    return x[tuple(keys)]


FOLDS: Mapping[str, Fold] = {
    "tf:AddV2": lambda call, xs: xs[0] + xs[1],
    "tf:Cast": lambda call, xs: xs[0],
    "tf:ConcatV2": lambda call, xs: np.concatenate(xs[:-1], int(xs[-1])),
    "tf:ExpandDims": lambda call, xs: np.expand_dims(xs[0], int(xs[1])),
    "tf:FloorDiv": lambda call, xs: xs[0] // xs[1],
    "tf:GatherV2": lambda call, xs: np.take(xs[0], xs[1], int(xs[2])),
    "tf:Maximum": lambda call, xs: np.maximum(*xs),
    "tf:Minimum": lambda call, xs: np.minimum(*xs),
    "tf:Mul": lambda call, xs: xs[0] * xs[1],
    "tf:Pack": lambda call, xs: np.stack(xs, int(call.config.get("axis") or 0)),
    "tf:Prod": lambda call, xs: np.prod(xs[0], tuple(xs[1].reshape(-1))),
    "tf:Reshape": lambda call, xs: xs[0].reshape(xs[1]),
    "tf:Squeeze": lambda call, xs: np.squeeze(xs[0]),
    "tf:StridedSlice": _sliced,
    "tf:Sub": lambda call, xs: xs[0] - xs[1],
}
"""Operations on whole numbers, by what they give."""
