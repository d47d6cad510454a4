"""``keras.ops`` of the core and einops families: casts, slices, scatters, rearrangements.

Control flow takes callables, which only tracing can read: see ``not_lowered``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_arguments import required


def saturate_cast(b: Builder, x: Tensor, dtype: str) -> Tensor:
    """Clip to what both dtypes hold, then cast."""
    return b.cast(b.unary("clip", x), dtype)


def _cast(b: Builder, call: LayerCall) -> Tensor:
    return b.cast(call.x, call.config.get("dtype") or call.x.dtype)


def _saturate_cast(b: Builder, call: LayerCall) -> Tensor:
    return saturate_cast(b, call.x, call.config["dtype"])


def _stop_gradient(b: Builder, call: LayerCall) -> Tensor:
    return b.identity(call.x)


def _shape(call: LayerCall) -> Sequence[int]:
    """A shape that is an option, or the last argument in older versions of Keras."""
    return call.config.get("shape") or call.arg(2, "shape") or ()


def _slice(b: Builder, call: LayerCall) -> Tensor:
    """A block of a given shape; -1 takes all that is left after the start index."""
    x, starts = required(b, call, 0, "inputs"), call.arg(1, "start_indices")
    known = isinstance(starts, (list, tuple)) and all(isinstance(s, int) for s in starts)
    shape = []
    for axis, size in enumerate(_shape(call)):
        if size == -1:
            size = x.shape[axis] - starts[axis] if known else b.open_length("the slice's size")
        shape.append(int(size))
    if isinstance(starts, Tensor):
        return b.emit("slice", (x, starts), shape=tuple(shape), index="at given indices")
    return b.slice(x, shape, f"from {tuple(starts)}" if known else "at given indices")


def _slice_update(b: Builder, call: LayerCall) -> Tensor:
    """Updates written over a block: the rest is copied."""
    x = required(b, call, 0, "inputs")
    starts, updates = call.arg(1, "start_indices"), required(b, call, 2, "updates", x.dtype)
    operands = (x, starts, updates) if isinstance(starts, Tensor) else (x, updates)
    return b.emit("scatter", operands, label="slice_update", shape=x.shape, dtype=x.dtype)


def _scatter(b: Builder, call: LayerCall) -> Tensor:
    """Values added into zeros: repeated indices sum up."""
    indices, values = required(b, call, 0, "indices", "int32"), required(b, call, 1, "values")
    shape = tuple(map(int, _shape(call)))
    return b.emit("scatter", (indices, values), shape=shape, fn="add", dtype=values.dtype)


_REDUCTIONS = {None: "set", "mul": "multiply"}


def _scatter_update(b: Builder, call: LayerCall) -> Tensor:
    """Updates written, or combined with what is there (add, max, min, mul)."""
    x = required(b, call, 0, "inputs")
    indices = required(b, call, 1, "indices", "int32")
    updates = required(b, call, 2, "updates", x.dtype)
    reduction = call.config.get("reduction")
    fn = _REDUCTIONS.get(reduction, reduction)
    return b.emit("scatter", (x, indices, updates), shape=x.shape, fn=fn, dtype=x.dtype)


def _unstack(b: Builder, call: LayerCall) -> list[Tensor]:
    x = call.x
    axis = call.config.get("axis", 0) % x.rank
    count = call.config.get("num") or x.shape[axis]
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return [b.slice(x, shape, f"axis {axis}: {i}") for i in range(count)]


_AXES = re.compile(r"\w+|\(.*?\)")


def _rearrange(b: Builder, call: LayerCall) -> Tensor:
    """einops notation: split the axes, permute them, merge them; only the middle copies."""
    x = required(b, call, 0, "tensor")
    left, _, right = str(call.arg(1, "pattern")).partition("->")
    sizes = {name: n for name, n in call.kwargs.items() if isinstance(n, int)}
    order: list[str] = []
    for group, dim in zip(_AXES.findall(left), x.shape, strict=True):
        names = re.findall(r"\w+", group)
        for name in (n for n in names if n not in sizes):
            known = prod(sizes[n] for n in names if n in sizes)
            sizes[name] = dim // known if known else 0
        order += names
    groups = [re.findall(r"\w+", group) for group in _AXES.findall(right)]
    x = b.reshape(x, [sizes[name] for name in order])
    x = b.transpose(x, [order.index(name) for names in groups for name in names])
    return b.reshape(x, [prod(sizes[name] for name in names) for names in groups])


OPS: Mapping[str, Lowering] = {
    "op:Cast": _cast,
    "op:ConvertToTensor": _cast,
    "op:Rearrange": _rearrange,
    "op:SaturateCast": _saturate_cast,
    "op:Scatter": _scatter,
    "op:ScatterUpdate": _scatter_update,
    "op:Slice": _slice,
    "op:SliceUpdate": _slice_update,
    "op:StopGradient": _stop_gradient,
    "op:Unstack": _unstack,
}
