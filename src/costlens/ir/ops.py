"""The closed op vocabulary: what each op reads, which attributes it has, what comes out.

Every front end lowers to these ops and every rule prices one of them. ``infer`` gives the
output types from operand types and attributes alone, so that a graph can be checked, edited
and re-priced without the framework it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from costlens.ir.types import Shape, TensorType, broadcast, promote

Types = tuple[TensorType, ...]
Infer = Callable[[Types, Mapping[str, Any]], Types]


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One op: operand count (``most`` None: any), attributes, storage and type inference.

    ``storage``: ``new`` writes a buffer of its own, ``view`` shares its first operand's and
    costs nothing, ``elementwise`` writes a new one but may take over a dying operand's.
    """

    name: str
    least: int
    most: int | None
    attrs: tuple[str, ...]
    optional: tuple[str, ...]
    storage: Literal["new", "view", "elementwise"]
    infer: Infer
    doc: str


def windows(size: int, kernel: int, stride: int, dilation: int, pad: tuple[int, int]) -> int:
    """Output positions of a sliding window along one axis of ``size`` elements."""
    return max(0, (size + sum(pad) - (kernel - 1) * dilation - 1) // stride + 1)


def spatial_axes(rank: int, channels_last: bool) -> range:
    """Axes between batch and channels (channels last), or after them (channels first)."""
    return range(1, rank - 1) if channels_last else range(2, rank)


def channel_axis(rank: int, channels_last: bool) -> int:
    """The axis that holds channels."""
    return rank - 1 if channels_last else 1


def _with_spatial(x: TensorType, sizes: list[int], channels: int, last: bool) -> Shape:
    return (x.shape[0], *sizes, channels) if last else (x.shape[0], channels, *sizes)


def _conv(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, kernel = types
    last = attrs["channels_last"]
    channels = x.shape[channel_axis(x.rank, last)]
    if channels != kernel.shape[-2] * attrs["groups"]:
        raise ValueError(
            f"{channels} input channels against a kernel {kernel.shape} in {attrs['groups']} groups"
        )
    sizes = [
        windows(x.shape[axis], k, s, d, p)
        for axis, k, s, d, p in zip(
            spatial_axes(x.rank, last),
            kernel.shape[:-2],
            attrs["strides"],
            attrs["dilation"],
            attrs["padding"],
            strict=True,
        )
    ]
    dtype = attrs.get("dtype") or x.dtype
    return (TensorType(_with_spatial(x, sizes, kernel.shape[-1], last), dtype),)


def _conv_transpose(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, kernel = types
    last = attrs["channels_last"]
    if x.shape[channel_axis(x.rank, last)] != kernel.shape[-1]:
        raise ValueError(f"input {x.shape} against a kernel {kernel.shape}")
    sizes = [
        (x.shape[axis] - 1) * s + (k - 1) * d + 1 - sum(crop)
        for axis, k, s, d, crop in zip(
            spatial_axes(x.rank, last),
            kernel.shape[:-2],
            attrs["strides"],
            attrs["dilation"],
            attrs["crop"],
            strict=True,
        )
    ]
    dtype = attrs.get("dtype") or x.dtype
    channels = kernel.shape[-2] * attrs.get("groups", 1)
    return (TensorType(_with_spatial(x, sizes, channels, last), dtype),)


def label_sizes(types: Types, equation: str) -> dict[str, int]:
    """The size of every label of an explicit einsum equation; a 1 broadcasts.

    Raises ValueError where a label has two sizes or the ranks disagree.
    """
    sizes: dict[str, int] = {}
    for labels, tensor in zip(equation.split("->")[0].split(","), types, strict=True):
        if len(labels) != tensor.rank:
            raise ValueError(f"einsum {equation}: operand {labels!r} has shape {tensor.shape}")
        for label, size in zip(labels, tensor.shape, strict=True):
            known = sizes.setdefault(label, size)
            if known == 1:
                sizes[label] = size
            elif size not in (known, 1):
                raise ValueError(f"einsum {equation}: {label} is both {known} and {size}")
    return sizes


def _einsum(types: Types, attrs: Mapping[str, Any]) -> Types:
    sizes = label_sizes(types, attrs["equation"])
    shape = tuple(sizes[label] for label in attrs["equation"].split("->")[1])
    return (TensorType(shape, attrs.get("dtype") or promote(t.dtype for t in types)),)


def _elementwise(types: Types, attrs: Mapping[str, Any]) -> Types:
    shape = broadcast(*(t.shape for t in types)) if len(types) > 1 else types[0].shape
    dtype = attrs.get("dtype") or promote(t.dtype for t in types)
    return (TensorType(shape, dtype),)


def _like_first(types: Types, attrs: Mapping[str, Any]) -> Types:
    return (TensorType(types[0].shape, attrs.get("dtype") or types[0].dtype),)


def _reduce(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, axes = types[0], attrs["axes"]
    keep = attrs.get("keepdims", False)
    shape = tuple(
        1 if axis in axes else size for axis, size in enumerate(x.shape) if keep or axis not in axes
    )
    return (TensorType(shape, attrs.get("dtype") or x.dtype),)


def _pool(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, last = types[0], attrs["channels_last"]
    sizes = [
        windows(x.shape[axis], k, s, 1, p)
        for axis, k, s, p in zip(
            spatial_axes(x.rank, last),
            attrs["window"],
            attrs["strides"],
            attrs["padding"],
            strict=True,
        )
    ]
    return (
        TensorType(_with_spatial(x, sizes, x.shape[channel_axis(x.rank, last)], last), x.dtype),
    )


def _sized(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, last = types[0], attrs["channels_last"]
    channels = x.shape[channel_axis(x.rank, last)]
    shape = _with_spatial(x, list(attrs["size"]), channels, last)
    return (TensorType(shape, attrs.get("dtype") or x.dtype),)


def _reshape(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, shape = types[0], tuple(attrs["shape"])
    if prod(shape) != x.size:
        raise ValueError(f"{x.size} elements of {x.shape} do not fill {shape}")
    return (TensorType(shape, x.dtype),)


def _shaped(types: Types, attrs: Mapping[str, Any]) -> Types:
    dtype = attrs.get("dtype") or (types[0].dtype if types else "float32")
    return (TensorType(tuple(attrs["shape"]), dtype),)


def _transpose(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, perm = types[0], attrs["perm"]
    if sorted(perm) != list(range(x.rank)):
        raise ValueError(f"{perm} does not permute the axes of {x.shape}")
    return (TensorType(tuple(x.shape[axis] for axis in perm), x.dtype),)


def _concat(types: Types, attrs: Mapping[str, Any]) -> Types:
    axis, first = attrs["axis"], types[0].shape
    for other in types[1:]:
        if other.rank != len(first) or any(
            a != b for i, (a, b) in enumerate(zip(first, other.shape, strict=True)) if i != axis
        ):
            shapes = " and ".join(str(t.shape) for t in types)
            raise ValueError(f"shapes {shapes} do not concatenate on axis {axis}")
    shape = (*first[:axis], sum(t.shape[axis] for t in types), *first[axis + 1 :])
    return (TensorType(shape, attrs.get("dtype") or promote(t.dtype for t in types)),)


def _pad(types: Types, attrs: Mapping[str, Any]) -> Types:
    x = types[0]
    shape = tuple(n + lo + hi for n, (lo, hi) in zip(x.shape, attrs["padding"], strict=True))
    return (TensorType(shape, x.dtype),)


def _step(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, axis = types[0], attrs["axis"]
    return (TensorType(x.shape[:axis] + x.shape[axis + 1 :], x.dtype),)


def _stack(types: Types, attrs: Mapping[str, Any]) -> Types:
    x, axis = types[0], attrs["axis"]
    return (TensorType((*x.shape[:axis], attrs["length"], *x.shape[axis:]), x.dtype),)


def _declared(types: Types, attrs: Mapping[str, Any]) -> Types:
    return tuple(attrs["types"])


def _spec(
    name: str,
    operands: str,
    attrs: str,
    storage: Literal["new", "view", "elementwise"],
    infer: Infer,
    doc: str,
) -> OpSpec:
    """``operands`` is ``n``, ``n-m`` or ``n-`` (any number from n); an attribute with ``?`` may
    be left out."""
    least, dash, most = operands.partition("-")
    names = attrs.split()
    return OpSpec(
        name,
        int(least),
        int(most) if most else None if dash else int(least),
        tuple(attr for attr in names if not attr.endswith("?")),
        tuple(attr[:-1] for attr in names if attr.endswith("?")),
        storage,
        infer,
        doc,
    )


# fmt: off
_SPECS = (
    _spec("input", "0", "shape dtype", "new", _shaped, "A model input."),
    _spec("conv", "2", "strides padding dilation groups channels_last dtype?", "new", _conv,
          "Convolution: x, kernel (*k, Cin/groups, Cout); padding is a pair per spatial axis."),
    _spec("conv_transpose", "2", "strides crop dilation channels_last groups? dtype?", "new",
          _conv_transpose, "Transposed convolution: x, kernel (*k, Cout/groups, Cin); crop is a "
          "pair per spatial axis taken off the full output (negative: zeros added)."),
    _spec("einsum", "2", "equation dtype?", "new", _einsum,
          "Contraction in explicit einsum notation: dense, matmul, attention products."),
    _spec("unary", "1", "fn dtype?", "elementwise", _elementwise,
          "Elementwise function of one operand."),
    _spec("binary", "1-2", "fn dtype?", "elementwise", _elementwise,
          "Broadcasting elementwise function; with one operand the other is a scalar."),
    _spec("select", "1-3", "dtype?", "elementwise", _elementwise, "where(condition, a, b)."),
    _spec("batch_norm", "1-5", "axis dtype?", "new", _like_first,
          "Normalisation by stored statistics, inference form: one scale and one shift."),
    _spec("norm", "1-3", "fn axes groups? scale? center? dtype?", "new", _like_first,
          "Normalisation by the input's own statistics: layer, group, rms or unit (l2)."),
    _spec("softmax", "1", "axis fn? dtype?", "new", _like_first, "softmax or log_softmax."),
    _spec("reduce", "1-2", "fn axes keepdims? dtype?", "new", _reduce, "Reduction over axes."),
    _spec("cumulative", "1", "fn axis dtype?", "new", _like_first, "Running sum or product."),
    _spec("pool", "1", "fn window strides padding channels_last", "new", _pool,
          "Max or average pooling."),
    _spec("adaptive_pool", "1", "fn size channels_last", "new", _sized,
          "Pooling to a given spatial size."),
    _spec("resize", "1-2", "method size channels_last antialias? dtype?", "new", _sized,
          "Spatial interpolation; of x, and coordinates where they are computed."),
    _spec("reshape", "1", "shape", "view", _reshape, "Same elements, other shape."),
    _spec("identity", "1", "", "view", _like_first, "Dropout at inference and the like."),
    _spec("transpose", "1", "perm", "new", _transpose, "Permuted axes, copied."),
    _spec("concat", "1-", "axis dtype?", "new", _concat, "Concatenation."),
    _spec("slice", "1-2", "shape index?", "new", _shaped, "A part of the operand."),
    _spec("pad", "1", "padding mode?", "new", _pad, "Elements added at the borders."),
    _spec("gather", "1-", "shape dtype?", "new", _shaped, "Table lookup by index."),
    _spec("scatter", "1-", "shape fn? places? dtype?", "new", _shaped,
          "Updates written by index, each to as many places."),
    _spec("broadcast", "1", "shape", "new", _shaped, "Repeated or broadcast elements."),
    _spec("rearrange", "1-", "shape fn dtype?", "new", _shaped,
          "Other data movement: flip, roll, band masks, patches, packing."),
    _spec("cast", "1", "dtype", "elementwise", _like_first, "Same values, other dtype."),
    _spec("fill", "0-", "shape dtype fn?", "new", _shaped, "New values made from nothing."),
    _spec("step", "1", "axis", "view", _step, "One time step of a sequence, inside a loop."),
    _spec("stack", "1", "axis length", "new", _stack, "A loop's per-step values, stacked."),
    _spec("last", "1", "", "view", _like_first, "A loop's last value."),
    _spec("opaque", "0-", "fn types", "new", _declared,
          "Sort, FFT, factorisation: known storage, no MACs, FLOPs unknown."),
    _spec("unknown", "0-", "reason types kind?", "new", _declared,
          "A call that could not be read: its parameters count, its cost is unknown."),
)
# fmt: on

OPS: Mapping[str, OpSpec] = {spec.name: spec for spec in _SPECS}
"""Every op that a graph may hold."""
