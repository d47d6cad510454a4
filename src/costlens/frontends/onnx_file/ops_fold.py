"""ONNX's operators on sizes: what they give is known without running them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np

from costlens.frontends.onnx_file.ops_math import reduced
from costlens.frontends.onnx_file.ops_shape import setting, sliced, squeezed
from costlens.frontends.onnx_file.tensors import dtype_name
from costlens.frontends.opfile.model import SMALL, Array, FileTensor
from costlens.frontends.opfile.parts import (
    FOLDED_BINARY,
    axes_of,
    counted,
    divided,
    filled,
    folded,
    joined,
    safe,
    taken,
    with_ones,
    without,
)
from costlens.frontends.opfile.site import Fold, Site, Value


def _of_first(fn: Callable[[Site, Array], Any]) -> Fold:
    """Arithmetic on the first operand, the others being its settings."""

    def fold(site: Site) -> Array | None:
        value = site.values[0] if site.values else None
        if value is None or not value.foldable or value.known is None:
            return None
        made = fn(site, value.known)
        return None if made is None else np.asarray(made)

    return fold


def _shape(site: Site) -> Array:
    shape = site.type().shape
    start, end = int(site.attr("start", 0)), site.attr("end")
    return np.array(shape[start : None if end is None else int(end)], "int64")


def _reshape(site: Site, x: Array) -> Array:
    sizes = setting(site, 1, "shape") or ()
    keep = not site.attr("allowzero", 0)
    return x.reshape([x.shape[at] if n == 0 and keep else n for at, n in enumerate(sizes)])


def _squeeze(site: Site, x: Array) -> Array:
    return x.reshape(without(x.shape, squeezed(site, x.shape)))


def _unsqueeze(site: Site, x: Array) -> Array:
    return x.reshape(with_ones(x.shape, setting(site, 1, "axes") or ()))


def _cast(site: Site, x: Array) -> Array | None:
    dtype = dtype_name(int(site.attr("to", 0)))
    return x.astype(dtype) if safe(dtype) else None


def _slice(site: Site, x: Array) -> Array:
    return x[tuple(sliced(site, x.shape))]


def _gather(site: Site, x: Array) -> Array | None:
    indices = site.known(1)
    return None if indices is None else taken(x, indices, int(site.attr("axis", 0)))


def _concat(site: Site) -> Array | None:
    known = [v.known for v in site.values if v and v.foldable and v.known is not None]
    if len(known) != len(site.values):
        return None
    return joined(known, int(site.attr("axis", 0)))


def _reduce(fn: Callable[..., Any]) -> Fold:
    def fold(site: Site, x: Array) -> Array | None:
        axes = reduced(site, x.ndim)
        return x if axes is None else fn(x, axis=axes, keepdims=bool(site.attr("keepdims", 1)))

    return _of_first(fold)


def _constant_of_shape(site: Site) -> Array | None:
    value = site.attr("value")
    if not isinstance(value, FileTensor):
        return filled(site.ints(0), 0, "float32")
    known = value.load() if value.load else None
    return (
        None
        if known is None or known.size != 1
        else filled(site.ints(0), known.reshape(-1)[0], value.dtype)
    )


def _range(site: Site) -> Array | None:
    values = [v.known for v in site.values if v and v.foldable and v.known is not None]
    if len(values) != 3:
        return None
    start, limit, delta = (float(v.reshape(-1)[0]) for v in values)
    return counted(start, limit, delta, site.type().dtype)


def _expand(site: Site, x: Array) -> Array | None:
    shape = np.broadcast_shapes(x.shape, site.ints(1))
    return np.broadcast_to(x, shape) if prod(shape) <= SMALL else None


def _tile(site: Site, x: Array) -> Array | None:
    times = site.ints(1)
    return np.tile(x, times) if 0 <= x.size * prod(times) <= SMALL else None


def _transpose(site: Site, x: Array) -> Array:
    return x.transpose(axes_of(site.attr("perm") or range(x.ndim)[::-1], x.ndim))


def _where(condition: Array, one: Array, two: Array) -> Array:
    return np.where(condition, one, two)


def _arithmetic(fn: Callable[..., Any]) -> Fold:
    """Arithmetic on sizes of any number of operands."""

    def several(*known: Array) -> Array:
        total = known[0]
        for other in known[1:]:
            total = fn(total, other)
        return np.asarray(total, known[0].dtype)

    return folded(several)


def _dequantize(site: Site) -> Value | None:
    """A constant that is stored in fewer bits is read as it is stored."""
    x = site.value(0)
    return None if x.key is None else Value(x.type, None, x.key, None, True)


FOLDS: Mapping[str, Fold] = {
    "DequantizeLinear": _dequantize,
    "Shape": _shape,
    "Size": lambda site: np.array(site.type().size, "int64"),
    "Reshape": _of_first(_reshape),
    "Squeeze": _of_first(_squeeze),
    "Unsqueeze": _of_first(_unsqueeze),
    "Cast": _of_first(_cast),
    "Slice": _of_first(_slice),
    "Gather": _of_first(_gather),
    "Concat": _concat,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Expand": _of_first(_expand),
    "Tile": _of_first(_tile),
    "Transpose": _of_first(_transpose),
    "NonZero": _of_first(lambda site, x: np.array(np.nonzero(x), "int64")),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "Identity": _of_first(lambda site, x: x),
    "Abs": _of_first(lambda site, x: np.abs(x)),
    "Neg": _of_first(lambda site, x: -x),
    "Not": _of_first(lambda site, x: ~x),
    "Floor": _of_first(lambda site, x: np.floor(x)),
    "Ceil": _of_first(lambda site, x: np.ceil(x)),
    "Sqrt": _of_first(lambda site, x: np.sqrt(np.abs(x)).astype(x.dtype)),
    "Reciprocal": _of_first(lambda site, x: (1 / np.where(x == 0, 1, x)).astype(x.dtype)),
    "Add": folded(FOLDED_BINARY["add"]),
    "Sub": folded(FOLDED_BINARY["subtract"]),
    "Mul": folded(FOLDED_BINARY["multiply"]),
    "Div": folded(divided),
    "Mod": folded(FOLDED_BINARY["mod"]),
    "Pow": _arithmetic(FOLDED_BINARY["power"]),
    "Max": _arithmetic(FOLDED_BINARY["maximum"]),
    "Min": _arithmetic(FOLDED_BINARY["minimum"]),
    "Equal": folded(np.equal),
    "Less": folded(np.less),
    "LessOrEqual": folded(np.less_equal),
    "Greater": folded(np.greater),
    "GreaterOrEqual": folded(np.greater_equal),
    "And": folded(np.logical_and),
    "Or": folded(np.logical_or),
    "Where": folded(_where),
}
"""Folds by the operator's name."""
