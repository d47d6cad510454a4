"""What the lowerings of traced TensorFlow operations share: operands, output types.

A traced operation is a LayerCall with the key ``tf:OpType``: its config holds the operation's
attributes, its args the operands in order, its ``expected`` the output types. An operand is a
Tensor, a Known (numbers that are known while reading), an Index (a loop's counter and what is
computed from it) or a Listed (a list of tensors that a loop fills or reads).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from costlens.frontends.layercall import Constant, Known, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Index:
    """A counter of a loop or a number computed from it: index arithmetic, which costs nothing."""

    type: TensorType


@dataclass(frozen=True, slots=True)
class Listed:
    """A TensorList: the sequence that it was made of, or the value that each turn writes."""

    whole: Tensor | None = None
    item: Tensor | None = None


def tensor(b: Builder, leaf: Any) -> Tensor:
    """An operand as a tensor; known numbers are a constant."""
    match leaf:
        case Tensor():
            return leaf
        case Known():
            return b.constant(Constant(leaf.type, leaf.key))
        case Index():
            return b.fill(leaf.type.shape, leaf.type.dtype, "index")
        case _:
            raise Unreadable(f"an operand is {type(leaf).__name__}")


def tensors(b: Builder, call: LayerCall) -> list[Tensor]:
    """All operands as tensors."""
    return [tensor(b, leaf) for leaf in call.args]


def out(call: LayerCall, index: int = 0) -> TensorType:
    """The type of an output; raises Unreadable where the graph leaves its size open."""
    shape, dtype = call.expected[index]
    if None in shape:
        raise Unreadable(f"the size of what TensorFlow's {call.layer.kind} gives is open")
    return TensorType(tuple(n or 0 for n in shape), dtype)


def ints(call: LayerCall, position: int) -> tuple[int, ...]:
    """The numbers of an operand; raises Unreadable where they depend on the data."""
    leaf = call.args[position]
    if not isinstance(leaf, Known):
        raise Unreadable(f"operand {position} of TensorFlow's {call.layer.kind} depends on data")
    return leaf.ints


def axes(call: LayerCall, position: int, rank: int) -> tuple[int, ...]:
    """Axes given as an operand, counted from the front."""
    return tuple(axis % rank for axis in ints(call, position))


def counted(leaves: Sequence[Any]) -> bool:
    """Whether operands are numbers of index arithmetic only, one of them a loop's counter."""
    return any(isinstance(x, Index) for x in leaves) and all(
        isinstance(x, (Index, Known)) for x in leaves
    )


def extra(b: Builder, dtype: str, inferred: str) -> dict[str, str]:
    """The ``dtype`` attribute, where an op would infer another one."""
    return {} if dtype == inferred else {"dtype": dtype}
