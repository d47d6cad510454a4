"""Tensor types and dtype arithmetic. Imports nothing but the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

Shape = tuple[int, ...]

ITEMSIZE: dict[str, int] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "uint32": 4,
    "int32": 4,
    "uint64": 8,
    "int64": 8,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
    "string": 0,  # of no fixed size: whoever sums bytes says "≥"
}
"""Bytes of one element, by dtype name as Keras spells it."""

_INTS = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")
_FLOATS = ("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "float64")
_COMPLEX = ("complex64", "complex128")


@dataclass(frozen=True, slots=True)
class TensorType:
    """A concrete shape and a dtype name; ``size`` in elements, ``nbytes`` in bytes."""

    shape: Shape
    dtype: str

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * ITEMSIZE[self.dtype]

    @property
    def rank(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def is_float(dtype: str) -> bool:
    """True for real floating-point dtypes."""
    return dtype in _FLOATS


def is_int(dtype: str) -> bool:
    """True for signed and unsigned integers; bool is not one."""
    return dtype in _INTS


def is_complex(dtype: str) -> bool:
    """True for complex dtypes."""
    return dtype in _COMPLEX


def promote(dtypes: Iterable[str], floatx: str = "float32") -> str:
    """The dtype that an operation on several dtypes computes in, as Keras promotes them.

    The lattice is JAX's: bool < integers < floats < complex, and an integer never widens a
    float. ``"int"`` and ``"float"`` stand for weakly typed Python scalars.
    """
    result = ""
    for dtype in dtypes:
        result = dtype if not result else _join(result, dtype)
    return {"int": "int32", "float": floatx, "": floatx}.get(result, result)


def _rank(dtype: str) -> int:
    if dtype in ("bool", "string"):
        return 0
    if dtype == "int" or dtype in _INTS:
        return 1
    return 2 if dtype == "float" or dtype in _FLOATS else 3


def _join(a: str, b: str) -> str:
    if a == b:
        return a
    low, high = sorted((a, b), key=_rank)
    if _rank(low) != _rank(high):
        if high == "complex64" and low == "float64":
            return "complex128"
        return high
    if low in ("int", "float"):
        return high
    if high in ("int", "float"):
        return low
    return _join_ints(a, b) if _rank(a) == 1 else _wider_float(a, b)


def _join_ints(a: str, b: str) -> str:
    unsigned_a, unsigned_b = a.startswith("u"), b.startswith("u")
    wide = max(ITEMSIZE[a], ITEMSIZE[b])
    if unsigned_a == unsigned_b:
        return f"{'u' if unsigned_a else ''}int{wide * 8}"
    unsigned, signed = (a, b) if unsigned_a else (b, a)
    if ITEMSIZE[unsigned] < ITEMSIZE[signed]:
        return signed
    bits = ITEMSIZE[unsigned] * 16
    return f"int{bits}" if bits <= 64 else "float"


def _wider_float(a: str, b: str) -> str:
    if ITEMSIZE[a] != ITEMSIZE[b]:
        return a if ITEMSIZE[a] > ITEMSIZE[b] else b
    return {1: "float16", 2: "float32"}.get(ITEMSIZE[a], a)


def broadcast(*shapes: Shape) -> Shape:
    """The shape that operands of these shapes broadcast to, by numpy's rule.

    Raises ValueError when they do not.
    """
    rank = max(map(len, shapes))
    out = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if -axis <= len(shape)} - {1}
        if len(sizes) > 1:
            raise ValueError(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)
