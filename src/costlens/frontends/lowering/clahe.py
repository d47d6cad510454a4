"""Contrast-limited adaptive histogram equalisation, op by op as Keras writes it."""

from __future__ import annotations

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Builder

_LEVELS = 256

Grid = tuple[int, int]


def equalize(b: Builder, x: Tensor, clip_limit: float, grid: Grid) -> Tensor:
    """Images (B, H, W, C) of values 0 to 255, equalised tile by tile and interpolated between.

    The interpolation's positions and weights depend on sizes alone and are made from nothing.
    """
    _, height, width, _ = x.shape
    tile = (-(-height // grid[0]), -(-width // grid[1]))
    padded = _pad(b, x, (tile[0] * grid[0], tile[1] * grid[1]))
    table = _bordered(b, _mapping(b, _histograms(b, padded, tile, grid), tile, clip_limit))
    y = _interpolate(b, padded, table)
    return y if y.shape[:3] == x.shape[:3] else b.slice(y, x.shape, "without the padding")


def _pad(b: Builder, x: Tensor, size: Grid) -> Tensor:
    """Mirrored at the far borders, so that the tiles come out whole."""
    batch, height, width, depth = x.shape
    if (height, width) == size:
        return x
    planes = b.reshape(b.transpose(x, (0, 3, 1, 2)), (batch * depth, height, width))
    after = ((0, 0), (0, size[0] - height), (0, size[1] - width))
    planes = b.pad(planes, after, "symmetric")
    return b.transpose(b.reshape(planes, (batch, depth, *size)), (0, 2, 3, 1))


def _histograms(b: Builder, x: Tensor, tile: Grid, grid: Grid) -> Tensor:
    """(B, rows, columns, C, 256): a sum of one-hot vectors over each tile."""
    batch, depth = x.shape[0], x.shape[-1]
    tiles = b.reshape(x, (batch, grid[0], tile[0], grid[1], tile[1], depth))
    tiles = b.transpose(tiles, (0, 1, 3, 5, 2, 4))
    flat = b.reshape(tiles, (batch, *grid, depth, tile[0] * tile[1]))
    levels = b.unary("clip", b.cast(flat, "int32"))
    hot = b.rearrange("one_hot", levels, (*levels.shape, _LEVELS), "float32")
    return b.reduce("sum", hot, -2)


def _mapping(b: Builder, histograms: Tensor, tile: Grid, clip_limit: float) -> Tensor:
    """The grey-level mapping of each tile: its clipped histogram's cumulative sum, scaled."""
    if clip_limit > 0:
        clipped = b.unary("clip", histograms)
        excess = b.reduce("sum", b.binary("subtract", histograms, clipped), -1, keepdims=True)
        histograms = b.binary("add", clipped, b.binary("divide", excess, float(_LEVELS)))
    cdf = b.emit("cumulative", (histograms,), fn="cumsum", axis=histograms.rank - 1)
    least = b.reduce("min", cdf, -1, keepdims=True)
    above = b.binary("multiply", b.binary("subtract", cdf, least), 255.0)
    span = b.binary("subtract", float(tile[0] * tile[1]), least)
    ones = b.fill(span.shape, span.dtype, "ones")
    span = b.emit("select", (b.compare("equal", span, 0.0), ones, span))
    return b.unary("clip", b.binary("divide", above, span))


def _bordered(b: Builder, table: Tensor) -> Tensor:
    """The first and last tile of each axis once more, so that every pixel lies between tiles."""
    for axis in (1, 2):
        size = table.shape[axis]
        first, last = b.take(table, axis, 0, 1), b.take(table, axis, size - 1, size)
        table = b.concat((first, table, last), axis)
    return table


def _interpolate(b: Builder, x: Tensor, table: Tensor) -> Tensor:
    """Each pixel mapped by its four nearest tiles, bilinearly."""
    _, height, width, _ = x.shape
    table = b.reshape(table, (table.type.size,))
    pixels = b.cast(b.unary("clip", x), "int32")
    rows = [b.fill((1, height, 1, 1), "int32", "positions") for _ in range(2)]
    columns = [b.fill((1, 1, width, 1), "int32", "positions") for _ in range(2)]
    down = b.fill((1, height, 1, 1), "float32", "weights")
    right = b.fill((1, 1, width, 1), "float32", "weights")

    def tile(row: Tensor, column: Tensor) -> Tensor:
        return b.gather((table, pixels, row, column), x.shape, "float32")

    top, bottom = [_mix(b, tile(row, columns[0]), tile(row, columns[1]), right) for row in rows]
    return _mix(b, top, bottom, down)


def _mix(b: Builder, p: Tensor, q: Tensor, weight: Tensor) -> Tensor:
    """p · (1 - w) + q · w."""
    left = b.binary("multiply", p, b.binary("subtract", 1.0, weight))
    return b.binary("add", left, b.binary("multiply", q, weight))
