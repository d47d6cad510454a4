"""Traced operations that slide or interpolate: pooling, resizing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.jax_common import extra, number, out
from costlens.frontends.lowering.operands import tensor
from costlens.ir.types import Shape


def _pool(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        known = number(call)
        return _pooled(b, call, fn, tensor(b, call.args[0])) if known is None else known

    return lowering


def _pooled(b: Builder, call: LayerCall, fn: str, x: Tensor) -> Tensor:
    config = call.config
    window, strides = (tuple(map(int, config[f"window_{n}"])) for n in ("dimensions", "strides"))
    padding = tuple((int(low), int(high)) for low, high in config["padding"])
    spread = [*(config.get("base_dilation") or ()), *(config.get("window_dilation") or ())]
    made = out(call)
    if any(int(step) != 1 for step in spread):  # no window of neighbours
        each = b.rearrange("windows", x, (*made.shape, prod(window)))
        return b.reduce("max" if fn == "max" else "sum", each, -1)
    whole = [(1, 1, (0, 0))] * 2
    axes = list(zip(window, strides, padding, strict=True))
    last = x.rank > 2 and [axes[0], axes[-1]] == whole
    first = not last and x.rank > 2 and axes[:2] == whole
    if not last and not first:
        x, axes = b.reshape(x, (1, *x.shape, 1)), [whole[0], *axes, whole[0]]
    inner = axes[2:] if first else axes[1:-1]
    pooled = b.emit(
        "pool",
        (x,),
        label=f"{fn}_pool",
        fn=fn,
        window=tuple(k for k, _, _ in inner),
        strides=tuple(s for _, s, _ in inner),
        padding=tuple(p for _, _, p in inner),
        channels_last=not first,
    )
    return b.reshape(pooled, made.shape)


def _pool_gradient(b: Builder, call: LayerCall) -> Tree:
    """``select_and_scatter_add``: finds each window's largest, and adds what it is given there."""
    source, x = tensor(b, call.args[0]), tensor(b, call.args[1])
    windows = prod(int(n) for n in call.config["window_dimensions"])
    each = b.rearrange("windows", x, (*source.shape, windows))
    found = b.reduce("argmax", each, -1, dtype="int32")
    return b.emit("scatter", (found, source), shape=x.shape, fn="add", dtype=x.dtype)


def resized(b: Builder, call: LayerCall) -> Tensor | None:
    """A whole call of ``jax.image.resize`` as one operation, where it is of an image's sides."""
    x, made = tensor(b, call.args[0]), out(call)
    if x.rank != len(made.shape) or x.shape == made.shape:
        return None
    changed = [i for i, (n, m) in enumerate(zip(x.shape, made.shape, strict=True)) if n != m]
    first, end = changed[0], changed[-1] + 1
    if x.rank > 3 and changed[0] > 0:  # all sides of a batch of images, those that stay too
        first, end = (2, x.rank) if changed[-1] == x.rank - 1 else (1, x.rank - 1)
        first = min(first, changed[0])
    line = (prod(x.shape[:first]), *x.shape[first:end], prod(x.shape[end:]))
    method, antialias = call.config["method"]
    sides = made.shape[first:end]
    done = _resize(b, b.reshape(x, line), sides, True, method, antialias, made.dtype)
    return b.reshape(done, made.shape)


def _resize(
    b: Builder,
    x: Tensor,
    size: Sequence[int],
    last: bool,
    method: str,
    antialias: bool,
    dtype: str,
) -> Tensor:
    return b.emit(
        "resize",
        (x,),
        label="resize",
        method=method,
        size=tuple(size),
        channels_last=last,
        antialias=antialias,
        **extra(dtype, x.dtype),
    )


def interpolated(
    b: Builder, call: LayerCall, x: Tensor, y: Tensor, over_x: Shape, over_y: Shape
) -> Tensor:
    """A product with a matrix of interpolation weights: one side of an image is resized."""
    made = out(call)
    if len(over_x) != 1 or 2 not in (x.rank, y.rank):
        return b.rearrange("interpolate", (x, y), made.shape, made.dtype)
    image, axis = (y, over_y[0]) if x.rank == 2 and y.rank > 2 else (x, over_x[0])
    matrix = x if image is y else y
    length = matrix.type.size // max(image.shape[axis], 1)
    front, back = prod(image.shape[:axis]), prod(image.shape[axis + 1 :])
    line = b.reshape(image, (front, image.shape[axis], back))
    done = _resize(b, line, (length,), True, "bilinear", False, made.dtype)
    return b.rearrange("axes", done, made.shape)


OPS: Mapping[str, Lowering] = {
    "jax:reduce_window_max": _pool("max"),
    "jax:reduce_window_min": _pool("max"),
    "jax:reduce_window_sum": _pool("average"),
    "jax:reduce_window": _pool("average"),
    "jax:select_and_scatter_add": _pool_gradient,
}
"""Primitive key → its lowering."""
