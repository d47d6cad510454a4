"""What the lowerings of ``keras.ops`` share: operands, result dtypes, axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Scalar
from costlens.ir.types import Shape, is_int, promote

Operand = Tensor | Scalar

_WEAK = {bool: "bool", int: "int", float: "float", complex: "complex64"}
_NARROW = {"int64": "int32", "uint64": "uint32", "float64": "float32", "complex128": "complex64"}


def dtype_name(x: Operand) -> str:
    """The dtype of a tensor or numpy scalar; ``"int"`` and ``"float"`` for Python's own."""
    dtype = getattr(x, "dtype", None)
    return str(dtype) if dtype is not None else _WEAK[type(x)]


def result(call: LayerCall, *dtypes: str) -> str:
    """The dtype that Keras promotes these to; weak ones come last, as its lattice has them.

    A backend without 64-bit types declares the 32-bit one in its place.
    """
    strong = [dtype for dtype in dtypes if dtype not in ("int", "float")]
    weak = [dtype for dtype in dtypes if dtype in ("int", "float")]
    return narrowed(call, promote([*strong, *weak]))


def narrowed(call: LayerCall, dtype: str) -> str:
    """The dtype as the call's backend has it: JAX computes in 32 bits where asked for 64."""
    declared = call.expected[0][1] if call.expected else dtype
    return declared if _NARROW.get(dtype) == declared else dtype


def common(call: LayerCall, *xs: Operand) -> str:
    """The dtype that an operation on these computes in.

    numpy's integers come as Python's own, so that with one Keras's integer dtype is taken.
    """
    dtype = result(call, *map(dtype_name, xs))
    declared = call.expected[0][1] if call.expected else dtype
    counted = any(type(x) is int for x in xs) and is_int(dtype) and is_int(declared)
    return declared if counted else dtype


def floating(call: LayerCall, *xs: Operand) -> str:
    """The same, and at least a float: what division and the transcendentals give."""
    return result(call, *map(dtype_name, xs), "float")


def summed(dtype: str) -> str:
    """The dtype of a sum or product: small integers grow to 32 bits."""
    grown = dict.fromkeys(("bool", "int8", "int16"), "int32")
    return {**grown, "uint8": "uint32", "uint16": "uint32"}.get(dtype, dtype)


def option(call: LayerCall, name: str, default: Any = None) -> Any:
    """An option of the operation, which some versions of Keras record as an argument."""
    value = call.config.get(name)
    value = call.kwargs.get(name) if value is None else value
    return default if value is None else value


def axes_of(axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """An ``axis`` argument as sorted non-negative axes; None means all."""
    if axis is None:
        return tuple(range(rank))
    picked = (axis,) if isinstance(axis, int) else axis
    return tuple(sorted({int(a) % rank for a in picked})) if rank else ()


def listed(value: Any) -> list[Any]:
    """A list of what may be one thing or a sequence of it."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def flat(b: Builder, x: Tensor) -> Tensor:
    """A view with one axis."""
    return b.reshape(x, (x.type.size,))


def retyped(b: Builder, x: Tensor, shape: Shape, dtype: str) -> Tensor:
    """``x`` under the type that Keras declares where it declares another than it computes."""
    if x.shape != shape:
        same = x.type.size == prod(shape)
        x = b.reshape(x, shape) if same else b.rearrange("declared", x, shape)
    return b.cast(x, dtype)
