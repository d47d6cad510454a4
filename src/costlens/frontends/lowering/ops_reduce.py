"""Reductions of ``keras.ops``: sums, extremes, statistics, cumulative, and their nan forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from costlens.frontends.layercall import Constant, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_common import (
    axes_of,
    flat,
    floating,
    narrowed,
    option,
    result,
    summed,
)
from costlens.ir.types import is_float

Dtype = Callable[[LayerCall, Tensor], str]
"""The dtype of a reduction of one tensor."""


def _same(call: LayerCall, x: Tensor) -> str:
    return narrowed(call, x.dtype)


def _sum(call: LayerCall, x: Tensor) -> str:
    return str(option(call, "dtype", narrowed(call, summed(x.dtype))))


def _mean(call: LayerCall, x: Tensor) -> str:
    """Floats are kept; integers average in float32."""
    return x.dtype if is_float(x.dtype) else result(call, x.dtype, "float32")


def _always(dtype: str) -> Dtype:
    return lambda call, x: dtype


def _reduced(b: Builder, call: LayerCall, fn: str, x: Tensor, dtype: str) -> Tensor:
    axes = axes_of(call.config.get("axis"), x.rank)
    return b.reduce(fn, x, axes, bool(call.config.get("keepdims")), dtype)


def _reduce(fn: str, dtype: Dtype) -> Lowering:
    """A reduction over ``axis``; ``initial`` is one more element to compare with."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        y = _reduced(b, call, fn, call.x, dtype(call, call.x))
        if call.config.get("initial") is None:
            return y
        return b.binary("maximum" if fn == "max" else "minimum", y, call.config["initial"], y.dtype)

    return lowering


def _peak_to_peak(b: Builder, call: LayerCall) -> Tensor:
    low, high = (_reduced(b, call, fn, call.x, call.x.dtype) for fn in ("min", "max"))
    return b.binary("subtract", high, low)


def _average(b: Builder, call: LayerCall) -> Tensor:
    """A weighted mean: sum of products over the sum of weights.

    Weights of another rank lie along the axis and are contracted with it.
    """
    x, weights = call.x, call.arg(1, "weights")
    dtype = floating(call, x, weights) if weights is not None else floating(call, x)
    if weights is None:
        return _reduced(b, call, "mean", x, dtype)
    axis = call.config.get("axis")
    if axis is not None and weights.rank != x.rank:
        labels = "abcdefghijklmnopqrstuvwxyz"[: x.rank]
        along = labels[axis]
        out = labels.replace(along, "")
        total = b.einsum(f"{labels},{along}->{out}", x, weights, dtype, "average")
        return b.binary("divide", total, b.reduce("sum", weights, dtype=dtype))
    total = _reduced(b, call, "sum", b.binary("multiply", x, weights, dtype), dtype)
    return b.binary("divide", total, _reduced(b, call, "sum", weights, dtype))


# -- nan forms ------------------------------------------------------------------------------


def _without_nan(b: Builder, x: Tensor) -> tuple[Tensor, Tensor]:
    """``x`` with a neutral element for every nan, and where those were."""
    nan = b.unary("isnan", x, "bool")
    return nan, b.emit("select", (nan, x), label="fill_nan", dtype=x.dtype)


def _nan_reduce(fn: str, dtype: Dtype, marks: bool = False) -> Lowering:
    """A reduction that skips nan; ``marks``: a lane of nothing else gives nan (or -1)."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, wanted = call.x, dtype(call, call.x)
        if not is_float(x.dtype):
            return _reduced(b, call, fn, x, wanted)
        nan, clean = _without_nan(b, x)
        y = _reduced(b, call, fn, clean, wanted)
        if not marks:
            return y
        empty = _reduced(b, call, "all", nan, "bool")
        return b.emit("select", (empty, y), label="mark_nan", dtype=wanted)

    return lowering


def _nan_mean(b: Builder, call: LayerCall) -> Tensor:
    dtype = floating(call, call.x)
    if not is_float(call.x.dtype):
        return _reduced(b, call, "mean", call.x, dtype)
    nan, clean = _without_nan(b, call.x)
    total = _reduced(b, call, "sum", clean, dtype)
    return b.binary("divide", total, _count(b, call, nan, dtype), dtype)


def _count(b: Builder, call: LayerCall, nan: Tensor, dtype: str) -> Tensor:
    """How many elements of each lane are not nan."""
    return _reduced(b, call, "count_nonzero", b.unary("logical_not", nan, "bool"), dtype)


def _nan_variance(b: Builder, call: LayerCall) -> Tensor:
    """The mean of squared distances from the mean, nan aside."""
    x = b.cast(call.x, floating(call, call.x))
    axes = axes_of(call.config.get("axis"), x.rank)
    nan, clean = _without_nan(b, x)
    count = b.reduce("count_nonzero", b.unary("logical_not", nan), axes, True, x.dtype)
    mean = b.binary("divide", b.reduce("sum", clean, axes, True), count)
    distance = b.emit("select", (nan, b.binary("subtract", x, mean)), dtype=x.dtype)
    total = _reduced(b, call, "sum", b.unary("square", distance), x.dtype)
    return b.binary("divide", total, b.reshape(count, total.shape))


def _nan_deviation(b: Builder, call: LayerCall) -> Tensor:
    return b.unary("sqrt", _nan_variance(b, call))


# -- along an axis --------------------------------------------------------------------------


def _cumulative(fn: str) -> Lowering:
    """A running sum or product; without an axis over the flat tensor."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        x, axis = call.x, call.config.get("axis")
        dtype = option(call, "dtype") or x.dtype
        dtype = "int32" if dtype == "bool" else dtype
        if axis is None:
            x, axis = flat(b, x), 0
        if call.layer.kind.startswith("Nan") and is_float(x.dtype):
            x = b.unary("nan_to_num", x)
        return b.emit("cumulative", (x,), fn=fn, axis=axis % x.rank, dtype=dtype)

    return lowering


def _difference(b: Builder, call: LayerCall) -> Tensor:
    """The n-th difference: n times, each element less the one before it."""
    y, axis = call.x, call.config.get("axis", -1)
    fn = "not_equal" if y.dtype == "bool" else "subtract"
    for _ in range(call.config.get("n", 1)):
        if y.shape[axis] == 0:
            break
        y = _neighbours(b, fn, y, axis)
    return y


def _trapezoid(b: Builder, call: LayerCall) -> Tensor:
    """Σ dx (y₁ + y₀)/2, with one spacing for all or the distances of sample points."""
    y, points = b.cast(call.x, floating(call, call.x)), call.config.get("x")
    axis = call.config.get("axis", -1) % y.rank
    heights = b.binary("multiply", _neighbours(b, "add", y, axis), 0.5)
    spacing: Tensor | float = 1.0
    if isinstance(points, Constant):
        x = b.constant(points)
        spacing = _neighbours(b, "subtract", x, -1 if x.rank == 1 else axis)
        if x.rank == 1:
            spacing = b.reshape(spacing, (-1, *(1,) * (y.rank - 1 - axis)))
    areas = b.binary("multiply", heights, spacing, y.dtype)
    return b.reduce("sum", areas, axis)


def _neighbours(b: Builder, fn: str, x: Tensor, axis: int) -> Tensor:
    """``fn`` of each element along an axis and the one before it."""
    size = max(x.shape[axis], 1)
    return b.binary(fn, b.take(x, axis, 1, size), b.take(x, axis, 0, size - 1), x.dtype)


def _trace(b: Builder, call: LayerCall) -> Tensor:
    """The sum of a diagonal."""
    x, config = call.x, call.config
    one, two = (config.get(name, i) % x.rank for i, name in enumerate(("axis1", "axis2")))
    diagonal = b.rearrange("diagonal", x, diagonal_shape(x, config.get("offset", 0), one, two))
    return b.reduce("sum", diagonal, -1, dtype=summed(x.dtype))


def diagonal_shape(x: Tensor, offset: int, one: int, two: int) -> tuple[int, ...]:
    """The other axes, and last as many elements as the diagonal has."""
    rows, columns = x.shape[one], x.shape[two]
    length = min(rows, columns - offset) if offset > 0 else min(rows + offset, columns)
    rest = [n for axis, n in enumerate(x.shape) if axis not in (one % x.rank, two % x.rank)]
    return (*rest, max(0, length))


def _count_nonzero(b: Builder, call: LayerCall) -> Tensor:
    return _reduced(b, call, "count_nonzero", call.x, "int32")


def _std(call: LayerCall, x: Tensor) -> str:
    return x.dtype if is_float(x.dtype) or x.dtype.startswith("complex") else "float32"


OPS: Mapping[str, Lowering] = {
    "op:Sum": _reduce("sum", _sum),
    "op:Prod": _reduce("prod", _sum),
    "op:Mean": _reduce("mean", _mean),
    "op:Max": _reduce("max", _same),
    "op:Min": _reduce("min", _same),
    "op:Amax": _reduce("max", _same),
    "op:Amin": _reduce("min", _same),
    "op:All": _reduce("all", _always("bool")),
    "op:Any": _reduce("any", _always("bool")),
    "op:Argmax": _reduce("argmax", _always("int32")),
    "op:Argmin": _reduce("argmin", _always("int32")),
    "op:CountNonzero": _count_nonzero,
    "op:Std": _reduce("std", _std),
    "op:Var": _reduce("var", floating),
    "op:Ptp": _peak_to_peak,
    "op:Average": _average,
    "op:Nansum": _nan_reduce("sum", _sum),
    "op:Nanprod": _nan_reduce("prod", _sum),
    "op:Nanmax": _nan_reduce("max", _same, marks=True),
    "op:Nanmin": _nan_reduce("min", _same, marks=True),
    "op:Nanargmax": _nan_reduce("argmax", _always("int32"), marks=True),
    "op:Nanargmin": _nan_reduce("argmin", _always("int32"), marks=True),
    "op:Nanmean": _nan_mean,
    "op:Nanvar": _nan_variance,
    "op:Nanstd": _nan_deviation,
    "op:Cumsum": _cumulative("cumsum"),
    "op:Cumprod": _cumulative("cumprod"),
    "op:Nancumsum": _cumulative("cumsum"),
    "op:Nancumprod": _cumulative("cumprod"),
    "op:Diff": _difference,
    "op:Trapezoid": _trapezoid,
    "op:Trace": _trace,
}
