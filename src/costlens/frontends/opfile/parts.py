"""Pieces of lowering that op-graph files of every format need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from string import ascii_lowercase

import numpy as np

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.frontends.opfile.model import SMALL, Array
from costlens.frontends.opfile.site import Fold, Handler, Site
from costlens.ir.types import Shape, broadcast

# -- elementwise -----------------------------------------------------------------------------


def unary(fn: str) -> Handler:
    """One elementwise function of the first operand."""
    return lambda site: site.b.unary(fn, site.x(), site.dtype())


def apply_binary(
    site: Site, fn: str, one: int = 0, two: int = 1, dtype: str | None = None
) -> Tensor:
    """A broadcasting function of two operands, one of which may be a single known number."""
    left, right = site.operand(one), site.operand(two)
    ranks = site.type(one).rank, site.type(two).rank
    if isinstance(left, float) and (isinstance(right, float) or ranks[0] > ranks[1]):
        left = site.x(one)
    if isinstance(right, float) and isinstance(left, Tensor) and ranks[1] > ranks[0]:
        right = site.x(two)
    return site.b.binary(fn, left, right, dtype or site.dtype())


def binary(fn: str) -> Handler:
    """One broadcasting elementwise function of the first two operands."""
    return lambda site: apply_binary(site, fn)


def compare(fn: str) -> Handler:
    """A comparison, or a function of truth values."""
    return lambda site: apply_binary(site, fn, dtype="bool")


def select(site: Site) -> Tensor:
    """where(condition, a, b)."""
    xs = [site.x(0), site.x(1), site.x(2)]
    return site.b.emit("select", xs, dtype=site.dtype() if site.declared[0][1] else xs[1].dtype)


# -- products --------------------------------------------------------------------------------


def matmul(
    site: Site,
    one: Tensor,
    two: Tensor,
    turned: tuple[bool, bool] = (False, False),
    label: str = "matmul",
    dtype: str | None = None,
) -> Tensor:
    """Matrix product over the last two axes, the others broadcast; a 1-D operand is a vector."""
    batch = "abcdefghijklmnopqrstuvw"[: max(one.rank, two.rank, 2) - 2]
    left = "y" if one.rank == 1 else "yx" if turned[0] else "xy"
    right = "y" if two.rank == 1 else "zy" if turned[1] else "yz"
    left = batch[len(batch) - max(one.rank - 2, 0) :] + left
    right = batch[len(batch) - max(two.rank - 2, 0) :] + right
    out = batch + "x" * (one.rank > 1) + "z" * (two.rank > 1)
    return site.b.einsum(f"{left},{right}->{out}", one, two, dtype or site.dtype(), label)


def dense(site: Site, x: Tensor, kernel: Tensor, dtype: str | None = None) -> Tensor:
    """``x`` (…, n) times a kernel (n, units)."""
    axes = ascii_lowercase[: x.rank - 1]
    return site.b.einsum(f"{axes}Y,YZ->{axes}Z", x, kernel, dtype or site.dtype(), "dense")


def project(b: Builder, x: Tensor, kernel: Tensor) -> Tensor:
    """A step of a sequence, or a state, times a kernel (n, units)."""
    return b.einsum("ay,yz->az", x, kernel, x.dtype, "matmul")


# -- shapes ----------------------------------------------------------------------------------


def cut(size: int, begin: int | None, end: int | None, step: int) -> int:
    """How many elements a slice of an axis has."""
    return len(range(*slice(begin, end, step).indices(size)))


def reshaped(site: Site, x: Tensor, sizes: Sequence[int], zero_keeps: bool = False) -> Tensor:
    """A view in this shape; -1 is what is left.

    A file whose input is asked for at another batch still names its own in its reshapes: where
    that does not come out, the first axis is what is left.
    """
    wanted = [x.shape[at] if n == 0 and zero_keeps else n for at, n in enumerate(sizes)]
    rest = prod(n for n in wanted if n != -1)
    fixed = -1 not in wanted
    if site.resized and wanted and (rest != x.type.size if fixed else rest and x.type.size % rest):
        site.b.note("Reshapes to a fixed batch are read as reshapes to the batch asked for.")
        wanted[0] = -1
    if wanted.count(-1) > 1 or min(wanted, default=1) < -1:
        raise Unreadable(f"{list(sizes)} is no shape")
    return site.b.reshape(x, wanted)


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes counted from the front; raises ValueError where there is none of that number."""
    if any(not -rank <= axis < rank for axis in axes):
        raise ValueError(f"axes {list(axes)[:8]} of {rank}")
    return tuple(axis % rank for axis in axes)


def without(shape: Shape, axes: Sequence[int]) -> Shape:
    """A shape less some axes."""
    return tuple(n for at, n in enumerate(shape) if at not in axes)


def with_ones(shape: Shape, axes: Sequence[int]) -> Shape:
    """A shape with axes of 1 put in at these places of the result."""
    rank = len(shape) + len(axes)
    places = set(axes_of(axes, rank))
    if len(places) != len(axes):
        raise ValueError(f"axes {list(axes)[:8]} repeat")
    sizes = iter(shape)
    return tuple(1 if at in places else next(sizes) for at in range(rank))


def gathered(site: Site, x: Tensor, indices: Tensor, axis: int, batch: int = 0) -> Tensor:
    """Rows of one axis, looked up by index; the first ``batch`` axes go along."""
    axis = axes_of((axis,), x.rank)[0]
    shape = (*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :])
    return site.b.gather((x, indices), shape, x.dtype)


def one_hot(site: Site, indices: Tensor, depth: int, axis: int) -> Tensor:
    """Truth values as numbers: an axis of ``depth`` is put in."""
    axis %= indices.rank + 1
    shape = (*indices.shape[:axis], depth, *indices.shape[axis:])
    return site.b.rearrange("one_hot", indices, shape, site.dtype())


def split(site: Site, x: Tensor, sizes: Sequence[int], axis: int) -> list[Tensor]:
    """Parts of an axis, one after another."""
    axis = axes_of((axis,), x.rank)[0]
    if sum(sizes) != x.shape[axis] or min(sizes, default=0) < 0:
        raise ValueError(f"parts {list(sizes)[:8]} of an axis of {x.shape[axis]}")
    found, at = [], 0
    for size in sizes:
        found.append(site.b.take(x, axis, at, at + size))
        at += size
    return found


def expanded(site: Site, x: Tensor, shape: Shape) -> Tensor:
    """Elements repeated to fill a shape that is broadcast with the operand's own."""
    shape = broadcast(x.shape, shape)
    return x if shape == x.shape else site.b.broadcast(x, shape)


# -- folding ---------------------------------------------------------------------------------


def folded(fn: Callable[..., Array], *operands: int) -> Fold:
    """Arithmetic on known numbers, all operands or these."""

    def fold(site: Site) -> Array | None:
        picked = operands or range(len(site.values))
        values = [site.values[at] if at < len(site.values) else None for at in picked]
        if any(value is None or not value.foldable for value in values):
            return None
        known = [value.known for value in values if value and value.known is not None]
        if prod(np.broadcast_shapes(*(array.shape for array in known))) > SMALL:
            return None
        with np.errstate(all="ignore"):
            return np.asarray(fn(*known))

    return fold


def known_shape(site: Site) -> Array:
    """The shape of the first operand."""
    return np.array(site.type(0).shape, site.declared[0][1] or "int64")


def taken(x: Array, indices: Array, axis: int) -> Array | None:
    """A small array looked up in another; None where it is not small."""
    axis = axes_of((axis,), x.ndim)[0]
    size = prod(without(x.shape, (axis,))) * indices.size
    return np.take(x, indices.astype(int), axis) if size <= SMALL else None


def joined(parts: Sequence[Array], axis: int, stacked: bool = False) -> Array | None:
    """Small arrays, joined or stacked; None where they are not small together."""
    if sum(part.size for part in parts) > SMALL:
        return None
    return np.stack(parts, axis) if stacked else np.concatenate(parts, axis)


def filled(shape: Sequence[int], value: Array | int, dtype: str) -> Array | None:
    """A small array of one number; None where it is not small."""
    if prod(shape) > SMALL or len(shape) > 32 or min(shape, default=0) < 0:
        return None
    return np.full(tuple(shape), value, dtype)


def counted(start: float, limit: float, delta: float, dtype: str) -> Array | None:
    """A small range; None where it is not small."""
    if not delta or (limit - start) / delta > SMALL:
        return None
    return np.arange(start, limit, delta).astype(dtype)


def safe(dtype: str) -> bool:
    """Whether numpy has a dtype of this name."""
    return dtype not in ("bfloat16", "string", "float8_e4m3fn", "float8_e5m2")


FOLDED_BINARY: Mapping[str, Callable[..., Array]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "power": lambda a, b: np.power(a.astype(float), b),
    "mod": lambda a, b: np.where(b == 0, 0, np.mod(a, np.where(b == 0, 1, b))),
    "equal": np.equal,
    "not_equal": np.not_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "logical_and": np.logical_and,
    "logical_or": np.logical_or,
    "logical_xor": np.logical_xor,
}
"""Arithmetic on sizes, by the name of the elementwise function."""


def divided(one: Array, two: Array, floor: bool = False) -> Array:
    """A quotient as integers have it: towards 0, or down; by 0 it is 0."""
    if one.dtype.kind == "f":
        return one / np.where(two == 0, 1, two)
    quotient = np.floor_divide(one, np.where(two == 0, 1, two))
    if not floor:
        quotient = np.sign(one) * np.sign(two) * (np.abs(one) // np.abs(np.where(two == 0, 1, two)))
    return quotient.astype(one.dtype)
