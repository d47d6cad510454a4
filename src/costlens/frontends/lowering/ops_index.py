"""Indexing and choosing in ``keras.ops``: slices, gathers, where, select; sorting and search.

What sorts or searches has FLOPs that depend on the values or the algorithm: one opaque node.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from costlens.frontends.layercall import Constant, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_common import (
    axes_of,
    common,
    dtype_name,
    floating,
    result,
    retyped,
)
from costlens.ir.types import Shape, TensorType, broadcast, is_float

# -- x[...] ---------------------------------------------------------------------------------


def _get_item(b: Builder, call: LayerCall) -> Tensor:
    """``x[key]``: a view where whole axes stay, a slice, or a gather by integer arrays."""
    x, key = call.x, call.arg(1, "key")
    keys = _per_axis(x, list(key) if isinstance(key, (tuple, list)) else [key])
    arrays = [k for k in keys if _is_array(k)]
    if arrays:
        return _gather(b, x, keys)
    shape, axis, whole = [], 0, True
    for k in keys:
        if k is None:
            shape.append(1)
            continue
        n = x.shape[axis]
        if isinstance(k, slice):
            picked = _range(k, n)
            shape.append(len(picked))
            whole &= picked == range(n)
        else:
            whole &= n == 1
        axis += 1
    return b.reshape(x, shape) if whole else b.slice(x, shape, _written(keys))


def _per_axis(x: Tensor, keys: list[Any]) -> list[Any]:
    """One key per axis, and None for each new one: the ellipsis written out."""
    taken = sum(_rank(k) for k in keys)
    rest = [slice(None)] * (x.rank - taken)
    at = next((i for i, k in enumerate(keys) if k is ...), None)
    return [*keys, *rest] if at is None else [*keys[:at], *rest, *keys[at + 1 :]]


def _rank(key: Any) -> int:
    """How many axes a key uses up: a boolean mask as many as it has."""
    if key is None or key is ...:
        return 0
    return key.rank if isinstance(key, Tensor) and key.dtype == "bool" else 1


def _is_array(key: Any) -> bool:
    return isinstance(key, (Tensor, list, tuple))


def _range(key: slice, size: int) -> range:
    """Positions that a slice picks; a bound that is a tensor is read as left out."""
    bounds = [None if isinstance(k, Tensor) else k for k in (key.start, key.stop, key.step)]
    return range(*slice(*bounds).indices(size))


def _gather(b: Builder, x: Tensor, keys: list[Any]) -> Tensor:
    """Integer arrays and masks index together; their axes stand where the first one stood, or
    first where a slice stands between them. A mask picks an unknown number of elements.
    """
    picked = [i for i, k in enumerate(keys) if _is_array(k) or isinstance(k, int)]
    shapes = [_index_shape(b, keys[i]) for i in picked]
    front = picked != list(range(picked[0], picked[-1] + 1))
    shape: list[int] = list(broadcast(*shapes)) if front else []
    axis = 0
    for i, k in enumerate(keys):
        if i == picked[0] and not front:
            shape += broadcast(*shapes)
        if k is None:
            shape.append(1)
        elif isinstance(k, slice):
            shape.append(len(_range(k, x.shape[axis])))
        axis += _rank(k)
    return b.gather((x, *(k for k in keys if isinstance(k, Tensor))), shape, x.dtype)


def _index_shape(b: Builder, key: Any) -> Shape:
    if isinstance(key, Tensor):
        return (b.open_length("what a mask picks"),) if key.dtype == "bool" else key.shape
    return tuple(np.shape(key))


def _written(keys: list[Any]) -> str:
    """The key as Python writes it."""

    def one(k: Any) -> str:
        if not isinstance(k, slice):
            return str(k)
        bounds = ["" if v is None else str(v) for v in (k.start, k.stop)]
        return ":".join(bounds if k.step is None else [*bounds, str(k.step)])

    return ", ".join(map(one, keys))


# -- gathers --------------------------------------------------------------------------------


def _take(b: Builder, call: LayerCall) -> Tensor:
    """Slices along an axis by index; without an axis, elements of the flat tensor."""
    x, indices, axis = call.arg(0, "x"), call.arg(1, "indices"), call.config.get("axis")
    shape = indices.shape if isinstance(indices, Tensor) else tuple(np.shape(indices))
    if axis is not None:
        axis %= x.rank
        shape = (*x.shape[:axis], *shape, *x.shape[axis + 1 :])
    if not isinstance(indices, Tensor):
        return b.slice(x, shape, f"axis {axis}: {indices}")
    return b.gather((x, indices), shape, x.dtype)


def _take_along_axis(b: Builder, call: LayerCall) -> Tensor:
    """One element per index, which stands in the same place of the other axes."""
    x, indices, axis = call.arg(0, "x"), call.arg(1, "indices"), call.config.get("axis")
    if axis is None:
        return b.gather((x, indices), indices.shape, x.dtype)
    axis %= x.rank
    shape = (*x.shape[:axis], indices.shape[axis], *x.shape[axis + 1 :])
    return b.gather((x, indices), broadcast(shape, indices.shape), x.dtype)


# -- choosing -------------------------------------------------------------------------------


def _where(b: Builder, call: LayerCall) -> Tensor:
    """``where(condition, a, b)``; of a condition alone, the places where it holds, which Keras
    declares in the condition's shape.
    """
    one, two = call.arg(1, "x1"), call.arg(2, "x2")
    if one is None or two is None:
        dtype = call.expected[0][1] if call.expected else "int64"
        return b.opaque("nonzero", call.tensors, TensorType(call.x.shape, dtype))[0]
    return b.emit("select", call.tensors, label="where", dtype=common(call, one, two))


def _select(b: Builder, call: LayerCall) -> Tensor:
    """The first choice whose condition holds, else the default: one select per choice."""
    conditions, choices = call.arg(0, "condlist"), call.arg(1, "choicelist")
    y, first = call.arg(2, "default", 0), choices[0]
    for condition, choice in list(zip(conditions, choices, strict=True))[::-1]:
        parts = [x for x in (condition, choice, y) if isinstance(x, Tensor)]
        y = b.emit("select", parts, label="select", dtype=first.dtype)
    return retyped(b, y, first.shape, first.dtype)


def _nonzero(b: Builder, call: LayerCall) -> list[Tensor]:
    """One vector of positions per axis, as long as there are non-zero elements."""
    found = b.open_length("the number of non-zero elements")
    types = [TensorType((found,), "int32")] * call.x.rank
    return list(b.opaque("nonzero", (call.x,), *types))


# -- sorting, searching, counting -----------------------------------------------------------


def _sorted(fn: str, dtype: str = "") -> Lowering:
    """A sort along an axis, or of the flat tensor; ``dtype`` of what it gives, if indices."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x = call.x
        shape = x.shape if call.config.get("axis", -1) is not None else (x.type.size,)
        if call.expected and len(call.expected[0][0]) == x.rank:
            shape = x.shape  # older versions of Keras declare no flat result
        return b.opaque(fn, (x,), TensorType(shape, dtype or x.dtype))[0]

    return lowering


def _quantile(fn: str) -> Lowering:
    """Order statistics of the lanes over some axes; several quantiles make a first axis."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, q = call.x, call.arg(1, "q")
        axes = axes_of(call.config.get("axis"), x.rank)
        keep = bool(call.config.get("keepdims"))
        shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keep or a not in axes]
        if isinstance(q, Tensor):
            shape = [*q.shape[:1], *shape]
        elif isinstance(q, (list, tuple)) and (len(q) > 1 or "percentile" in fn):
            shape = [len(q), *shape]
        dtype = x.dtype if is_float(x.dtype) else floating(call, x)
        return b.opaque(fn, call.tensors, TensorType(tuple(shape), dtype))[0]

    return lowering


def _searched(fn: str, position: int, dtype: str) -> Lowering:
    """A search for every element of one operand in the other."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x = call.args[position]
        return b.opaque(fn, call.tensors, TensorType(x.shape, dtype))[0]

    return lowering


def _histogram(b: Builder, call: LayerCall) -> list[Tensor]:
    """Counts and bin edges; without a range, the extremes are found first."""
    x, bins = call.x, call.config.get("bins", 10)
    types = TensorType((bins,), x.dtype), TensorType((bins + 1,), x.dtype)
    return list(b.opaque("histogram", (x,), *types))


def _bincount(b: Builder, call: LayerCall) -> Tensor:
    """One addition per element into as many bins as the largest value asks for."""
    x, weights = call.x, call.config.get("weights")
    added = [b.constant(weights)] if isinstance(weights, Constant) else []
    dtype = common(call, x, *added) if added else "int32"
    if not added and call.expected:
        dtype = call.expected[0][1]
    shape = (*x.shape[:-1], b.open_length("the number of bins"))
    return b.emit("scatter", (x, *added), label="bincount", shape=shape, fn="add", dtype=dtype)


def _unique(b: Builder, call: LayerCall) -> list[Tensor]:
    """Distinct values, and where asked for first places, positions and counts."""
    x, config, axis = call.x, call.config, call.config.get("axis")
    size = config.get("size")
    size = b.open_length("the number of distinct values") if size is None else size
    shape = [size] if axis is None else [*x.shape]
    inverse = x.shape
    if axis is not None:
        inverse = (x.shape[axis],)
        shape[axis] = size
    types = [TensorType(tuple(shape), x.dtype)]
    types += [TensorType((size,), "int32")] * bool(config.get("return_index"))
    types += [TensorType(inverse, "int32")] * bool(config.get("return_inverse"))
    types += [TensorType((size,), "int32")] * bool(config.get("return_counts"))
    return list(b.opaque("unique", (x,), *types))


def _unravel_index(b: Builder, call: LayerCall) -> list[Tensor]:
    """A flat index as one per axis: the remainder of each size, from the last, and the quotient."""
    rest, found = call.x, []
    for size in reversed(call.config["shape"]):
        found.append(b.binary("mod", rest, size, call.x.dtype))
        rest = b.binary("floor_divide", rest, size, call.x.dtype)
    return found[::-1]


def _slogdet(b: Builder, call: LayerCall) -> list[Tensor]:
    """Sign and logarithm of determinants, by a factorisation; Keras declares one sign."""
    x = call.x
    types = TensorType((), x.dtype), TensorType(x.shape[:-2], x.dtype)
    return list(b.opaque("slogdet", (x,), *types))


# -- ranges between tensors -----------------------------------------------------------------


def _spaced(fn: str) -> Lowering:
    """``linspace``: start + i × step, ``num`` of them along a new axis. ``logspace`` raises a
    base to that, and ``geomspace`` takes logarithms first.
    """

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        config, start, stop = call.config, call.arg(0, "start"), call.arg(1, "stop")
        name = config.get("dtype") or dtype_name(start)
        dtype = result(call, {"int": "int64", "float": "float32"}.get(name, name), "float")
        if fn == "geomspace":
            start, stop = (_log10(b, x, dtype) for x in (start, stop))
        span = b.binary("subtract", stop, start, dtype)
        num, axis = config.get("num", 50), config.get("axis", 0) % (span.rank + 1)
        step = b.binary("divide", span, float(max(num - 1, 1)))
        steps = b.fill((num, *(1,) * (span.rank - axis)), dtype, "range")
        y = b.binary("multiply", steps, _widened(b, step, span.rank, axis))
        first = _widened(b, start, span.rank, axis) if isinstance(start, Tensor) else start
        y = b.binary("add", y, first, dtype)
        return y if fn == "linspace" else b.binary("power", float(config.get("base", 10)), y)

    return lowering


def _widened(b: Builder, x: Tensor, rank: int, axis: int) -> Tensor:
    """A new axis among as many as the other operand has."""
    shape = (*(1,) * (rank - x.rank), *x.shape)
    return b.reshape(x, (*shape[:axis], 1, *shape[axis:]))


def _log10(b: Builder, x: Any, dtype: str) -> Any:
    return b.binary("divide", b.unary("log", x, dtype), 2.302585) if isinstance(x, Tensor) else x


def _vander(b: Builder, call: LayerCall) -> Tensor:
    """Powers of each element, one column each."""
    x = call.x
    columns = x.shape[0] if call.config.get("N") is None else call.config["N"]
    powers = b.fill((columns,), "float32", "range")
    return b.cast(b.binary("power", b.reshape(x, (-1, 1)), powers), x.dtype)


OPS: Mapping[str, Lowering] = {
    "op:GetItem": _get_item,
    "op:Take": _take,
    "op:TakeAlongAxis": _take_along_axis,
    "op:Where": _where,
    "op:Select": _select,
    "op:Nonzero": _nonzero,
    "op:Sort": _sorted("sort"),
    "op:Argsort": _sorted("argsort", "int32"),
    "op:Argpartition": _sorted("argpartition", "int32"),
    **{
        f"op:{fn.capitalize()}": _quantile(fn)
        for fn in (
            "median",
            "percentile",
            "quantile",
            "nanmedian",
            "nanpercentile",
            "nanquantile",
        )
    },
    "op:Digitize": _searched("digitize", 0, "int32"),
    "op:SearchSorted": _searched("searchsorted", 1, "int32"),
    "op:IsIn": _searched("isin", 0, "bool"),
    "op:Histogram": _histogram,
    "op:Bincount": _bincount,
    "op:Unique": _unique,
    "op:UnravelIndex": _unravel_index,
    "op:Slogdet": _slogdet,
    "op:Linspace": _spaced("linspace"),
    "op:Logspace": _spaced("logspace"),
    "op:Geomspace": _spaced("geomspace"),
    "op:Vander": _vander,
}
