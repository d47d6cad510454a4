"""Merging layers: elementwise, concatenation, dot products; and the masks that they merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.policy import computed

Merge = Callable[[Builder, list[Tensor]], Tensor]


def _same_rank(b: Builder, xs: Sequence[Tensor]) -> list[Tensor]:
    """Unit axes after the batch axis of the lower ranks; a reshaped input loses its mask."""
    rank = max(x.rank for x in xs)
    return [
        x if x.rank == rank else b.reshape(x, (*x.shape[:1], *(1,) * (rank - x.rank), *x.shape[1:]))
        for x in xs
    ]


def _spread(b: Builder, x: Tensor) -> Tensor | None:
    """The mask of ``x``, repeated along its last axis."""
    if x.mask is None:
        return None
    mask = x.mask()
    return b.broadcast(b.reshape(mask, (*mask.shape, 1)), x.shape)


def _where(b: Builder, condition: Tensor, x: Tensor, *other: Tensor) -> Tensor:
    return b.emit("select", (condition, x, *other))


def _either(b: Builder, x: Tensor, y: Tensor) -> Tensor:
    return b.binary("logical_or", x, y, "bool")


def _fold(fn: str) -> Merge:
    return lambda b, xs: reduce(lambda x, y: b.binary(fn, x, y), xs)


def _average(b: Builder, xs: list[Tensor]) -> Tensor:
    return b.binary("divide", _fold("add")(b, xs), float(len(xs)))


def _multiply(b: Builder, xs: list[Tensor]) -> Tensor:
    """A masked factor is 1 where it is masked out; the product is 0 where all of them are."""
    masks = [_spread(b, x) for x in xs]
    xs = [x if m is None else _where(b, m, x) for x, m in zip(xs, masks, strict=True)]
    product = _fold("multiply")(b, xs)
    known = [m for m in masks if m is not None]
    if len(known) < len(xs):
        return product
    return _where(b, reduce(lambda p, q: _either(b, p, q), known), product)


def _extreme(fn: str) -> Merge:
    """Maximum or minimum of the operands that their masks keep."""

    def merge(b: Builder, xs: list[Tensor]) -> Tensor:
        out, kept = xs[0], _spread(b, xs[0])
        for x in xs[1:]:
            mask = _spread(b, x)
            x = x if mask is None else _where(b, mask, x, out)
            out = out if kept is None else _where(b, kept, out, x)
            kept = _either(b, kept, mask) if kept is not None and mask is not None else None
            out = b.binary(fn, out, x)
        return out

    return merge


def _merged_mask(b: Builder, xs: Sequence[Tensor]) -> Callable[[], Tensor] | None:
    """Any of the masks, where every input has one."""
    masks = [x.mask for x in xs if x.mask is not None]
    if not xs or len(masks) < len(xs):
        return None
    return cache(lambda: reduce(lambda p, q: _either(b, p, q), [mask() for mask in masks]))


def _merge(merge: Merge) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        made = merge(b, _same_rank(b, call.tensors))
        return Tensor(made.id, made.type, _merged_mask(b, call.tensors))

    return lowering


def _concatenate(b: Builder, call: LayerCall) -> Tensor:
    xs, axis = call.tensors, call.config.get("axis", -1)
    made = b.concat(xs, axis)
    if all(x.mask is None for x in xs):
        return made
    return Tensor(made.id, made.type, cache(lambda: _concatenated_mask(b, xs, axis)))


def _concatenated_mask(b: Builder, xs: Sequence[Tensor], axis: int) -> Tensor:
    """The masks at their inputs' shapes, true where there is none, joined; any of the last axis."""
    masks = []
    for x in xs:
        mask = x.mask() if x.mask else b.fill(x.shape, "bool", "ones")
        if mask.rank < x.rank:
            zeros = b.fill(x.shape, "bool", "zeros")
            mask = _either(b, b.reshape(mask, (*mask.shape, 1)), zeros)
        masks.append(mask)
    return b.reduce("any", b.concat(masks, axis), -1)


def dot_axes(axes: Any, x: Tensor, y: Tensor) -> tuple[int, int]:
    """The contracted axis of each operand, counted from 0."""
    first, second = (axes, axes) if isinstance(axes, int) else axes
    return first % x.rank, second % y.rank


def batch_dot(b: Builder, x: Tensor, y: Tensor, axes: tuple[int, int]) -> Tensor:
    """Contract one axis of each, batch by batch; Keras brings the axes to the ends first."""
    first, second = axes
    x = b.transpose(x, [i for i in range(x.rank) if i != first] + [first])
    y = b.transpose(y, [0, second] + [i for i in range(1, y.rank) if i != second])
    left, right = "cdefgh"[: x.rank - 2], "ijklmn"[: y.rank - 2]
    out = b.einsum(f"a{left}z,az{right}->a{left}{right}", x, y, label="dot")
    return out if out.rank > 1 else b.reshape(out, (*out.shape, 1))


def _dot(b: Builder, call: LayerCall) -> Tensor:
    """Dot(axes, normalize): with ``normalize`` the cosine of the two."""
    x, y = call.tensors
    axes = dot_axes(call.config["axes"], x, y)
    if call.config.get("normalize"):
        x = _unit(b, x, axes[0])
        y = _unit(b, y, axes[1])
    return batch_dot(b, x, y, axes)


def _unit(b: Builder, x: Tensor, axis: int) -> Tensor:
    """Divided by its Euclidean norm along an axis."""
    return b.emit("norm", (x,), label="normalize", fn="unit", axes=(axis,))


_LAYERS: Mapping[str, Lowering] = {
    "layer:Add": _merge(_fold("add")),
    "layer:Subtract": _merge(_fold("subtract")),
    "layer:Multiply": _merge(_multiply),
    "layer:Maximum": _merge(_extreme("maximum")),
    "layer:Minimum": _merge(_extreme("minimum")),
    "layer:Average": _merge(_average),
    "layer:Concatenate": _concatenate,
    "layer:Dot": _dot,
}

LAYERS: Mapping[str, Lowering] = {key: computed(fn) for key, fn in _LAYERS.items()}
