"""Operands of traced operations: tensors, and what stands for one until somebody reads it.

A marker (a loop's counter, a spread map, a turned kernel) is an operand that later operations may
understand; ``made`` gives the tensor that it stands for to whoever does not.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from costlens.frontends.layercall import Constant, Known, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable


@runtime_checkable
class Marker(Protocol):
    """What stands for a tensor that is not made yet."""

    def made(self, b: Builder) -> Tensor: ...


def tensor(b: Builder, leaf: Any) -> Tensor:
    """An operand as a tensor; known numbers are a constant."""
    if isinstance(leaf, Tensor):
        return leaf
    if isinstance(leaf, Known):
        return b.constant(Constant(leaf.type, leaf.key))
    if isinstance(leaf, Marker):
        return leaf.made(b)
    raise Unreadable(f"an operand is {type(leaf).__name__}")


def tensors(b: Builder, call: LayerCall) -> list[Tensor]:
    """All operands as tensors."""
    return [tensor(b, leaf) for leaf in call.args]
