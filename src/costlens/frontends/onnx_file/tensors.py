"""TensorProto and TypeProto: shapes and dtypes, and the values of what is small."""

from __future__ import annotations

from collections.abc import Hashable
from functools import partial
from math import prod

import numpy as np

from costlens.frontends.onnx_file.wire import Message, Span
from costlens.frontends.opfile.model import SMALL, Array, FileTensor
from costlens.frontends.opfile.names import printable
from costlens.frontends.opfile.parts import safe
from costlens.frontends.opfile.reading import Malformed
from costlens.frontends.opfile.site import real
from costlens.ir.types import ITEMSIZE

_DTYPES = (
    "", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool",
    "float16", "float64", "uint32", "uint64", "complex64", "complex128", "bfloat16",
    "float8_e4m3fn", "float8_e4m3fn", "float8_e5m2", "float8_e5m2", "uint8", "int8",
    "float8_e4m3fn", "float8_e4m3fn", "uint8", "int8",
)  # fmt: skip
"""Dtypes by their number in the format; what has less than a byte is read as one byte."""

_FIRST_PACKED = 21
_MOST_AXES = 32


def dtype_name(number: int) -> str:
    """The dtype of a number; raises Malformed where there is none."""
    if not 0 < number < len(_DTYPES):
        raise Malformed(f"it has a tensor of an unknown dtype, number {number}")
    return _DTYPES[number]


def constant(span: Span, key: Hashable, name: str = "") -> FileTensor:
    """A stored tensor; its data may lie in another file, which is not looked for."""
    message = span.message()
    shape, number = message.wholes(1), message.whole(2)
    dtype = dtype_name(number)
    name = name or message.text(8)
    if len(shape) > _MOST_AXES or min(shape, default=0) < 0:
        raise Malformed(f"{printable(name)} has an impossible shape")
    raw = message.span(9)
    wanted = prod(shape) * ITEMSIZE[dtype]
    outside = message.whole(14) == 1
    if raw is not None and number < _FIRST_PACKED and dtype != "string" and raw.size != wanted:
        raise Malformed(
            f"{printable(name)} has {raw.size:,} bytes of data, and its shape takes {wanted:,}"
        )
    small = prod(shape) <= SMALL and safe(dtype) and number < _FIRST_PACKED and not outside
    load = partial(_load, message, shape, dtype) if small else None
    return FileTensor(printable(name), shape, dtype, key, load, real(dtype))


def _load(message: Message, shape: tuple[int, ...], dtype: str) -> Array:
    """The values: raw bytes, or numbers in the field that the dtype has."""
    raw = message.span(9)
    if raw is not None:
        return np.frombuffer(raw.raw(), np.dtype(dtype).newbyteorder("<")).reshape(shape)
    if dtype in ("float32", "complex64"):
        found = np.array(message.floats(4), "float32").view(dtype)
    elif dtype in ("float64", "complex128"):
        found = np.array(message.floats(10, "d"), "float64").view(dtype)
    elif dtype == "int64":
        found = np.array(message.wholes(7), dtype)
    elif dtype in ("uint32", "uint64"):
        found = np.array([n % 2**64 for n in message.wholes(11)], "uint64").astype(dtype)
    elif dtype == "float16":
        found = np.array([n & 65535 for n in message.wholes(5)], "uint16").view(dtype)
    else:
        found = np.array(message.wholes(5), "int64").astype(dtype)
    if found.size != prod(shape):
        raise Malformed(f"it has a tensor of {found.size} numbers, and its shape takes another")
    return found.reshape(shape)


def declared(span: Span) -> FileTensor | None:
    """A ValueInfoProto: what a value is; None where it is no tensor."""
    message = span.message()
    name, type_ = message.text(1), message.span(2)
    tensor = type_.message().span(1) if type_ else None
    if tensor is None:
        return None
    found = tensor.message()
    shape, number = found.span(2), found.whole(1)
    sizes = None if shape is None else tuple([_size(dim) for dim in shape.message().spans(1)])
    if sizes is not None and len(sizes) > _MOST_AXES:
        raise Malformed(f"{printable(name)} has {len(sizes)} axes")
    return FileTensor(name, sizes, dtype_name(number) if number else "")


def _size(dim: Span) -> int | None:
    """A dimension: a number, or open where it has a name or nothing."""
    size = dim.message().whole(1, -1)
    return None if size < 0 else size
