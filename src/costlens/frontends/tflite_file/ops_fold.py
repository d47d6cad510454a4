"""TensorFlow Lite's operators on sizes: what they give is known without running them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from costlens.frontends.opfile.model import Array
from costlens.frontends.opfile.parts import (
    FOLDED_BINARY,
    counted,
    divided,
    filled,
    folded,
    joined,
    known_shape,
    safe,
    taken,
    with_ones,
    without,
)
from costlens.frontends.opfile.site import Fold, Site, Value
from costlens.ir.types import TensorType

_SHAPED = "RESHAPE SQUEEZE EXPAND_DIMS".split()


def _operands(site: Site) -> list[Array] | None:
    """The numbers of all operands, where arithmetic on them is done here."""
    if any(value is None or not value.foldable for value in site.values):
        return None
    return [value.known for value in site.values if value is not None and value.known is not None]


def _reshape(site: Site) -> Array | None:
    known = _operands(site)
    if known is None:
        return None
    x = known[0]
    if site.op.kind == "EXPAND_DIMS":
        return x.reshape(with_ones(x.shape, site.ints(1)))
    if site.op.kind == "SQUEEZE":
        gone = [n % x.ndim for n in site.attr("dims") if x.ndim] or [
            at for at, n in enumerate(x.shape) if n == 1
        ]
        return x.reshape(without(x.shape, gone))
    return x.reshape(site.ints(1) if site.has(1) else site.attr("new_shape"))


def _strided_slice(site: Site) -> Array | None:
    """Sizes are lists: one axis, cut or picked from."""
    known = _operands(site)
    if known is None or known[0].ndim != 1 or len(known[1]) != 1 or site.attr("new_axis"):
        return None
    x, begin, end, step = known[0], *(int(n.reshape(-1)[0]) for n in known[1:4])
    if site.attr("shrink"):
        return np.asarray(x[begin])
    first = None if site.attr("begin") & 1 else begin
    last = None if site.attr("end") & 1 else end
    return x[slice(first, last, step)]


def _slice(site: Site) -> Array | None:
    known = _operands(site)
    if known is None or known[0].ndim != 1:
        return None
    x, begin, size = known[0], *(int(n.reshape(-1)[0]) for n in known[1:3])
    return x[begin:] if size == -1 else x[begin : begin + size]


def _gather(site: Site) -> Array | None:
    known = _operands(site)
    if known is None or site.attr("batch_dims"):
        return None
    return taken(known[0], known[1], int(site.attr("axis")))


def _pack(site: Site) -> Array | None:
    known = _operands(site)
    return None if known is None else joined(known, int(site.attr("axis")), True)


def _concatenation(site: Site) -> Array | None:
    known = _operands(site)
    return None if known is None else joined(known, int(site.attr("axis")))


def _cast(site: Site) -> Array | None:
    known = _operands(site)
    dtype = site.dtype()
    return None if known is None or not safe(dtype) else known[0].astype(dtype)


def _prod(site: Site) -> Array | None:
    known = _operands(site)
    if known is None:
        return None
    fn = {"REDUCE_PROD": np.prod, "SUM": np.sum, "REDUCE_MAX": np.max, "REDUCE_MIN": np.min}
    keep = bool(site.attr("keep_dims"))
    return np.asarray(fn[site.op.kind](known[0], axis=site.ints(1), keepdims=keep))  # type: ignore[operator]


def _fill(site: Site) -> Array | None:
    known = _operands(site)
    if known is None or not safe(site.type(1).dtype):
        return None
    return filled(site.ints(0), known[1], site.type(1).dtype)


def _range(site: Site) -> Array | None:
    known = _operands(site)
    if known is None:
        return None
    start, limit, delta = (float(n.reshape(-1)[0]) for n in known)
    return counted(start, limit, delta, site.dtype())


def _broadcast_args(site: Site) -> Array:
    shapes = (site.ints(0), site.ints(1))
    return np.array(np.broadcast_shapes(*shapes), site.dtype())


def _read_variable(site: Site) -> Value | None:
    """A variable of the file: a parameter, whatever its numbers."""
    (shape, dtype), handle = site.declared[0], site.value(0)
    if handle.tensor is not None or shape is None or None in shape:
        return None
    sizes = tuple(n or 0 for n in shape)
    return Value(TensorType(sizes, dtype), None, handle.key, None, True)


def _dequantize(site: Site) -> Value | None:
    """A constant that is stored in fewer bits is read as it is stored."""
    x = site.value(0)
    return None if x.key is None else Value(x.type, None, x.key, None, True)


FOLDS: Mapping[str, Fold] = {
    "SHAPE": known_shape,
    "READ_VARIABLE": _read_variable,
    "DEQUANTIZE": _dequantize,
    "RANK": lambda site: np.array(site.type().rank, site.dtype()),
    "BROADCAST_ARGS": _broadcast_args,
    **dict.fromkeys(_SHAPED, _reshape),
    "STRIDED_SLICE": _strided_slice,
    "SLICE": _slice,
    "GATHER": _gather,
    "PACK": _pack,
    "CONCATENATION": _concatenation,
    "CAST": _cast,
    **dict.fromkeys("REDUCE_PROD SUM REDUCE_MAX REDUCE_MIN".split(), _prod),
    "FILL": _fill,
    "RANGE": _range,
    "ADD": folded(FOLDED_BINARY["add"]),
    "SUB": folded(FOLDED_BINARY["subtract"]),
    "MUL": folded(FOLDED_BINARY["multiply"]),
    "DIV": folded(divided),
    "FLOOR_DIV": folded(lambda a, b: divided(a, b, True)),
    "FLOOR_MOD": folded(FOLDED_BINARY["mod"]),
    "MAXIMUM": folded(FOLDED_BINARY["maximum"]),
    "MINIMUM": folded(FOLDED_BINARY["minimum"]),
    "EQUAL": folded(np.equal),
    "NOT_EQUAL": folded(np.not_equal),
    "LESS": folded(np.less),
    "GREATER": folded(np.greater),
    "LOGICAL_AND": folded(np.logical_and),
    "LOGICAL_OR": folded(np.logical_or),
    "LOGICAL_NOT": folded(np.logical_not),
    "NEG": folded(np.negative),
    "SELECT": folded(np.where),
    "SELECT_V2": folded(np.where),
}
"""Folds by the operator's name in the schema."""
