"""Shape operations of ``keras.ops``: views, permutations, joining, splitting, repeating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.ops_common import common, flat, listed, option
from costlens.frontends.lowering.ops_reduce import diagonal_shape
from costlens.ir.types import ITEMSIZE

# -- views and permutations -----------------------------------------------------------------


def _reshape(b: Builder, call: LayerCall) -> Tensor:
    """A view; a size that Keras knows only as None is the batch, or what the others leave."""
    x, sizes = call.x, _sizes(call, "newshape")
    if None in sizes and -1 in sizes and sizes[0] is None:
        sizes[0] = x.shape[0]
    if None in sizes and -1 not in sizes:
        sizes[sizes.index(None)] = -1
    return b.reshape(x, _closed(b, sizes))


def _setting(call: LayerCall, name: str) -> Any:
    """An option that decides the shape; a tensor is in no config."""
    if call.config.get(name) is None:
        raise Unreadable(f"its {name} is a tensor")
    return call.config[name]


def _sizes(call: LayerCall, name: str) -> list[int | None]:
    """A shape in the config; sizes that are no plain numbers are left open."""
    given = call.config.get(name)
    if given is None and call.expected:
        given = call.expected[0][0]
    return [int(n) if hasattr(n, "__index__") else None for n in listed(given)]


def _closed(b: Builder, sizes: Sequence[int | None]) -> list[int]:
    """A shape with what is left open asked for."""
    return [b.open_length("a size of its new shape") if n is None else n for n in sizes]


def _squeeze(b: Builder, call: LayerCall) -> Tensor:
    x, axis = call.x, call.config.get("axis")
    gone = [a for a, n in enumerate(x.shape) if n == 1]
    if axis is not None:
        gone = [a % x.rank for a in listed(axis)]
    return b.reshape(x, [n for a, n in enumerate(x.shape) if a not in gone])


def _expand_dims(b: Builder, call: LayerCall) -> Tensor:
    x, axes = call.x, listed(call.config["axis"])
    rank = x.rank + len(axes)
    new = {a % rank for a in axes}
    sizes = iter(x.shape)
    return b.reshape(x, [1 if a in new else next(sizes) for a in range(rank)])


def _transpose(b: Builder, call: LayerCall) -> Tensor:
    axes = call.config.get("axes")
    return b.transpose(call.x, range(call.x.rank)[::-1] if axes is None else axes)


def _swap_axes(b: Builder, call: LayerCall) -> Tensor:
    order, config = list(range(call.x.rank)), call.config
    one, two = config["axis1"], config["axis2"]
    order[one], order[two] = order[two], order[one]
    return b.transpose(call.x, order)


def _move_axis(b: Builder, call: LayerCall) -> Tensor:
    rank = call.x.rank
    source, target = ([a % rank for a in listed(call.config[n])] for n in ("source", "destination"))
    rest = iter(a for a in range(rank) if a not in source)
    came = dict(zip(target, source, strict=True))
    return b.transpose(call.x, [came[a] if a in came else next(rest) for a in range(rank)])


def _rotate(b: Builder, call: LayerCall) -> Tensor:
    """Quarter turns in the plane of two axes."""
    shape = list(call.x.shape)
    one, two = call.config.get("axes", (0, 1))
    shape[one], shape[two] = shape[two], shape[one]
    return b.rearrange("rot90", call.x, shape)


def _bitcast(b: Builder, call: LayerCall) -> Tensor:
    """``ops.view``: the same bytes read as another dtype."""
    x, dtype = call.x, call.config.get("dtype") or call.x.dtype
    if dtype == x.dtype:
        return b.identity(x)
    shape = x.shape
    if ITEMSIZE[dtype] != ITEMSIZE[x.dtype]:
        shape = (*shape[:-1], shape[-1] * ITEMSIZE[x.dtype] // ITEMSIZE[dtype])
    return b.rearrange("bitcast", x, shape, dtype)


def _rearranged(fn: str) -> Lowering:
    """The same shape in another order, or with a part set to 0."""
    return lambda b, call: b.rearrange(fn, call.x, call.x.shape)


# -- repeating ------------------------------------------------------------------------------


def _repeat(b: Builder, call: LayerCall) -> Tensor:
    """Each element, or each slice along an axis, as often as it says."""
    axis, repeats = call.config.get("axis"), listed(_setting(call, "repeats"))
    x = flat(b, call.x) if axis is None else call.x
    axis = 0 if axis is None else axis % x.rank
    size = repeats[0] * x.shape[axis] if len(repeats) == 1 else sum(repeats)
    return b.broadcast(x, (*x.shape[:axis], size, *x.shape[axis + 1 :]))


def _tile(b: Builder, call: LayerCall) -> Tensor:
    x, repeats = call.x, listed(_setting(call, "repeats"))
    rank = max(x.rank, len(repeats))
    sizes = (1,) * (rank - x.rank) + x.shape
    times = [1] * (rank - len(repeats)) + repeats
    return b.broadcast(x, [n * t for n, t in zip(sizes, times, strict=True)])


def _broadcast_to(b: Builder, call: LayerCall) -> Tensor:
    """A size that Keras knows only as None can but stay, unless the operand's is 1."""
    x, sizes = call.x, _sizes(call, "shape")
    own = [None] * (len(sizes) - x.rank) + [None if n == 1 else n for n in x.shape]
    wanted = [mine if n is None else n for n, mine in zip(sizes, own, strict=True)]
    return b.broadcast(x, _closed(b, wanted))


def _meshgrid(b: Builder, call: LayerCall) -> list[Tensor]:
    """Coordinate grids; Keras declares the last one's dtype for all, and floats for "ij"."""
    xs = call.tensors
    shape = [x.type.size for x in xs]
    if call.config.get("indexing", "xy") == "ij":
        dtype = "float32"
    else:
        shape[:2], dtype = shape[1::-1], xs[-1].dtype
    return [b.rearrange("meshgrid", x, shape, dtype) for x in xs]


def _pad(b: Builder, call: LayerCall) -> Tensor:
    """One width for all borders, a pair for all axes, or a pair (or one width) per axis."""
    x, width = call.x, _setting(call, "pad_width")
    pairs = [width] if isinstance(width, int) or isinstance(width[0], int) else list(width)
    pairs = pairs * x.rank if len(pairs) == 1 else pairs
    both = [(p, p) if isinstance(p, int) else (p[0], p[-1]) for p in pairs]
    return b.pad(x, both, call.config.get("mode", "constant"))


# -- joining --------------------------------------------------------------------------------


def _join(b: Builder, call: LayerCall, xs: Sequence[Tensor], axis: int) -> Tensor:
    return b.emit("concat", tuple(xs), axis=axis % xs[0].rank, dtype=common(call, *xs))


def _concatenate(b: Builder, call: LayerCall) -> Tensor:
    return _join(b, call, call.tensors, call.config.get("axis", 0))


def _stack(b: Builder, call: LayerCall) -> Tensor:
    xs, axis = call.tensors, call.config.get("axis", 0) % (call.x.rank + 1)
    return _join(b, call, [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in xs], axis)


def _joined_along(axis: int) -> Lowering:
    """``hstack`` and ``vstack``, by the axis that Keras joins."""
    return lambda b, call: _join(b, call, call.tensors, axis)


def _depth_stack(b: Builder, call: LayerCall) -> Tensor:
    """Joined on a third axis, which is made where it is missing."""
    shapes = {0: (1, 1, 1), 1: (1, -1, 1), 2: (*call.x.shape[:2], 1)}
    xs = [b.reshape(x, shapes[x.rank]) if x.rank < 3 else x for x in call.tensors]
    return _join(b, call, xs, 2)


def _append(b: Builder, call: LayerCall) -> Tensor:
    axis, xs = call.config.get("axis"), call.tensors
    return _join(b, call, [flat(b, x) for x in xs] if axis is None else xs, axis or 0)


# -- splitting ------------------------------------------------------------------------------


def _split(axis: Callable[[LayerCall], int], uneven: bool = False) -> Lowering:
    """Equal sections, or parts that end at the given indices; ``uneven`` lets the first ones
    be longer by one.
    """

    def lowering(b: Builder, call: LayerCall) -> list[Tensor]:
        x, at, given = call.x, axis(call), _setting(call, "indices_or_sections")
        n = x.shape[at]
        if not isinstance(given, int):
            ends = [*(int(i) for i in given), n]
        elif uneven:
            ends = [i * (n // given) + min(i, n % given) for i in range(1, given + 1)]
        else:
            ends = [i * (n // given) for i in range(1, given + 1)]
        return [b.take(x, at, s, e) for s, e in zip([0, *ends], ends, strict=False)]

    return lowering


def _along(call: LayerCall) -> int:
    return int(call.config.get("axis", 0))


# -- diagonals ------------------------------------------------------------------------------


def _diagonal(b: Builder, call: LayerCall) -> Tensor:
    x, config = call.x, call.config
    one, two = config.get("axis1", 0), config.get("axis2", 1)
    return b.rearrange("diagonal", x, diagonal_shape(x, config.get("offset", 0), one, two))


def _diag(b: Builder, call: LayerCall) -> Tensor:
    """The diagonal of a matrix, or the matrix of a diagonal."""
    x, k = call.x, call.config.get("k", 0)
    if x.rank == 2:
        return b.rearrange("diagonal", x, diagonal_shape(x, k, 0, 1))
    return b.rearrange("diag", x, (x.type.size + abs(k),) * 2)


def _diag_flat(b: Builder, call: LayerCall) -> Tensor:
    x, k = call.x, call.config.get("k", 0)
    return b.rearrange("diag", x, (x.type.size + abs(k),) * 2)


# -- new values of a known shape ------------------------------------------------------------


def _fill_like(b: Builder, call: LayerCall) -> Tensor:
    """Zeros, ones or another value in the shape of a tensor, which is not read."""
    like = call.arg(0, "x")
    shape = like.shape if isinstance(like, Tensor) else ()
    value = call.arg(1, "fill_value")
    operands = (value,) if isinstance(value, Tensor) else ()
    dtype = option(call, "dtype") or call.x.dtype
    return b.emit("fill", operands, label=call.layer.kind, shape=shape, dtype=dtype)


def _full(b: Builder, call: LayerCall) -> Tensor:
    shape = tuple(_closed(b, _sizes(call, "shape")))
    dtype = call.config.get("dtype") or "float32"
    return b.emit("fill", (call.x,), label="full", shape=shape, dtype=dtype)


def _size(b: Builder, call: LayerCall) -> Tensor:
    return b.fill((), "int32", "size")


def _ndim(b: Builder, call: LayerCall) -> Tensor:
    """The number of axes; Keras declares a float vector of as many elements."""
    return b.fill((call.x.rank,), "float32", "ndim")


OPS: Mapping[str, Lowering] = {
    "op:Reshape": _reshape,
    "op:Ravel": lambda b, call: b.reshape(call.x, (prod(call.x.shape),)),
    "op:Squeeze": _squeeze,
    "op:ExpandDims": _expand_dims,
    "op:Transpose": _transpose,
    "op:Swapaxes": _swap_axes,
    "op:Moveaxis": _move_axis,
    "op:Rot90": _rotate,
    "op:View": _bitcast,
    **{f"op:{name}": _rearranged("flip") for name in ("Flip", "Fliplr", "Flipud")},
    "op:Roll": _rearranged("roll"),
    "op:Tril": _rearranged("tril"),
    "op:Triu": _rearranged("triu"),
    "op:Repeat": _repeat,
    "op:Tile": _tile,
    "op:BroadcastTo": _broadcast_to,
    "op:Meshgrid": _meshgrid,
    "op:Pad": _pad,
    "op:Concatenate": _concatenate,
    "op:Stack": _stack,
    "op:Hstack": _joined_along(1),
    "op:Vstack": _joined_along(0),
    "op:Dstack": _depth_stack,
    "op:Append": _append,
    "op:Split": _split(_along),
    "op:ArraySplit": _split(_along, uneven=True),
    "op:Vsplit": _split(lambda call: 0),
    "op:Hsplit": _split(lambda call: min(1, call.x.rank - 1)),
    "op:Dsplit": _split(lambda call: 2),
    "op:Diagonal": _diagonal,
    "op:Diag": _diag,
    "op:Diagflat": _diag_flat,
    **{f"op:{name}": _fill_like for name in ("FullLike", "OnesLike", "ZerosLike", "EmptyLike")},
    "op:Full": _full,
    "op:Size": _size,
    "op:Ndim": _ndim,
}
