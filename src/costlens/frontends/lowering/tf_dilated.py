"""Dilated convolutions that TensorFlow writes as space-to-batch, convolution, batch-to-space.

The positions of a dilated convolution fall into interleaved blocks, each of which a plain
convolution covers. Padding fills the blocks up, so that the plain one has more positions than the
layer. ``SpaceToBatchND`` gives a Spread, which views turn around, a convolution puts its kernel
on, and ``BatchToSpaceND`` reads back as one dilated convolution. Whatever else reads a Spread has
it as TensorFlow does.
"""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Known, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.geometry import Pairs
from costlens.frontends.lowering.operands import tensor
from costlens.frontends.lowering.tf_common import Spread, ints, out
from costlens.ir.ops import spatial_axes
from costlens.ir.types import Shape


def _per_axis(call: LayerCall, rank: int) -> tuple[tuple[int, ...], Pairs]:
    """Block sizes and paddings (or crops) of every axis; those of ``SpaceToBatch`` are square."""
    nd = call.layer.kind.endswith("ND")
    flat = ints(call, 2 if nd else 1)
    blocks = ints(call, 1) if nd else (int(call.config["block_size"]),) * (len(flat) // 2)
    rest = rank - 1 - len(blocks)
    pairs = tuple(zip(flat[::2], flat[1::2], strict=True))
    return (1, *blocks, *(1,) * rest), ((0, 0), *pairs, *((0, 0),) * rest)


def _to_batch(b: Builder, call: LayerCall) -> Tree:
    x, made = tensor(b, call.args[0]), out(call)
    blocks, pads = _per_axis(call, x.rank)

    def whole(crops: Pairs) -> Tensor:
        net = less(pads, crops)
        return b.pad(x, net) if any(map(any, net)) else x

    def literal() -> Tensor:
        return b.rearrange("space_to_batch", x, made.shape)

    return Spread(made, blocks, pads, lambda: x, whole, literal)


def _from_batch(b: Builder, call: LayerCall) -> Tree:
    x, made = call.args[0], out(call)
    blocks, crops = _per_axis(call, len(made.shape))
    if isinstance(x, Spread) and x.blocks == blocks and fits(x.pads, crops):
        return x.whole(crops)
    return b.rearrange("batch_to_space", tensor(b, x), made.shape)


def thinned(b: Builder, x: Tensor, call: LayerCall) -> Tensor | None:
    """A dilated convolution with strides, of which Keras lets TensorFlow compute every position
    and keeps every n-th; None where a slice is something else."""
    last, strides = b.nodes[-1] if b.nodes else None, call.args[-1]
    if last is None or last.op != "conv" or x.id not in last.outputs:
        return None
    if max(last.attrs["dilation"]) == 1 or not isinstance(strides, Known):
        return None
    if not call.config.get("reads_alone"):
        return None
    made, every = out(call).shape, strides.ints
    if len(every) != x.rank or any(
        -(-n // s) != m for n, s, m in zip(x.shape, every, made, strict=True)
    ):
        return None
    axes = spatial_axes(x.rank, last.attrs["channels_last"])
    steps = tuple(s * every[a] for s, a in zip(last.attrs["strides"], axes, strict=True))
    b.nodes.pop()
    operands = [Tensor(v, b.values[v]) for v in last.operands]
    return b.emit("conv", operands, label="conv", **{**last.attrs, "strides": steps})


def less(pads: Pairs, crops: Pairs) -> Pairs:
    """Padding of every axis, less what is cropped afterwards."""
    return tuple((p - c, q - d) for (p, q), (c, d) in zip(pads, crops, strict=True))


def fits(pads: Pairs, crops: Pairs) -> bool:
    """Whether crops take away padding only."""
    return all(n >= 0 for pair in less(pads, crops) for n in pair)


def reshaped(b: Builder, x: Spread, call: LayerCall) -> Spread | None:
    """A Spread whose axes of size 1 come or go; None where the shape changes otherwise."""
    made = out(call)
    places = _places(x, call, made.shape)
    if places is None:
        return None
    give = x.source

    def turned(y: Tensor) -> Tensor:
        return b.reshape(y, tuple(1 if at is None else y.shape[at] for at in places))

    def whole(crops: Pairs) -> Tensor:
        own = [(0, 0)] * len(x.blocks)
        for at, pair in zip(places, crops, strict=True):
            if at is not None:
                own[at] = pair
        return turned(x.whole(tuple(own)))

    return Spread(
        made,
        tuple(1 if at is None else x.blocks[at] for at in places),
        tuple((0, 0) if at is None else x.pads[at] for at in places),
        None if give is None else lambda: turned(give()),
        whole,
        lambda: b.reshape(x.literal(), made.shape),
    )


def _places(x: Spread, call: LayerCall, shape: Shape) -> list[int | None] | None:
    """For every axis of the new shape the old one, or None where it is new."""
    old = x.type.shape
    if call.layer.kind == "ExpandDims":
        places: list[int | None] = list(range(len(old)))
        places.insert(ints(call, 1)[0] % len(shape), None)
        return places
    if call.layer.kind == "Squeeze":
        picked = [int(n) % len(old) for n in call.config.get("squeeze_dims") or ()]
        gone = picked or [i for i, n in enumerate(old) if n == 1]
        whole = all(x.blocks[i] == 1 for i in gone)
        return [i for i in range(len(old)) if i not in gone] if whole else None
    return _matched(x, shape)


def _matched(x: Spread, shape: Shape) -> list[int | None] | None:
    """The places of a reshape that only adds or drops axes of size 1.

    The last axes are matched first: where sizes say nothing, new ones stand in front.
    """
    left = [(i, n, n == 1 and x.blocks[i] == 1) for i, n in enumerate(x.type.shape)]
    places: list[int | None] = []
    for n in reversed(shape):
        while left and left[-1][1] != n and n != 1 and left[-1][2]:
            left.pop()
        same = bool(left) and left[-1][1] == n
        if not same and n != 1:
            return None
        places.append(left.pop()[0] if same else None)
    return places[::-1] if all(gone for *_, gone in left) else None


OPS: Mapping[str, Lowering] = {
    "tf:SpaceToBatchND": _to_batch,
    "tf:SpaceToBatch": _to_batch,
    "tf:BatchToSpaceND": _from_batch,
    "tf:BatchToSpace": _from_batch,
}
