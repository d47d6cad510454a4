"""One operator being lowered: what it reads, as tensors, parameters or known values."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from costlens.frontends.layercall import Constant, PartialShape, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.frontends.opfile.model import Array, FileOp
from costlens.ir.types import TensorType, is_float


@dataclass(frozen=True, slots=True)
class Value:
    """A value in the run of a graph: made by a node, or a constant that nothing has read yet.

    ``known`` holds its numbers where they are few and known without running anything.
    """

    type: TensorType
    tensor: Tensor | None = None
    key: Hashable = None
    known: Array | None = None
    real: bool = False

    @property
    def foldable(self) -> bool:
        """Whether arithmetic on it is done here: sizes and single numbers, never parameters."""
        return self.known is not None and (not self.real or self.type.size <= 1)


@dataclass(frozen=True, slots=True)
class Site:
    """One operator and the values that it reads; ``declared`` are its outputs as stored."""

    b: Builder
    op: FileOp
    values: tuple[Value | None, ...]
    declared: tuple[tuple[PartialShape | None, str], ...]
    resized: bool = False

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute of the operator."""
        return self.op.attrs.get(name, default)

    def has(self, at: int) -> bool:
        """Whether the operand is given."""
        return at < len(self.values) and self.values[at] is not None

    def value(self, at: int) -> Value:
        """An operand; raises Unreadable where it is left out."""
        value = self.values[at] if at < len(self.values) else None
        if value is None:
            raise Unreadable(f"its operand {at} is missing")
        return value

    def type(self, at: int = 0) -> TensorType:
        """The type of an operand."""
        return self.value(at).type

    def dtype(self, at: int = 0) -> str:
        """The dtype of an output, as the file has it, or that of the first operand."""
        return self.declared[at][1] or self.type(0).dtype

    def x(self, at: int = 0) -> Tensor:
        """An operand as data: an array of real numbers is a parameter, a single one is not."""
        value = self.value(at)
        if value.tensor is not None:
            return value.tensor
        if value.real and value.type.size > 1:
            return self.b.variable(value.key, "weight", value.type)
        return self.b.constant(Constant(value.type, value.key))

    def xs(self) -> list[Tensor]:
        """All operands as data."""
        return [self.x(at) for at in range(len(self.values)) if self.has(at)]

    def operand(self, at: int) -> Tensor | float:
        """An operand of elementwise arithmetic: a known single number is no tensor."""
        value = self.value(at)
        if value.tensor is None and value.known is not None and value.type.size == 1:
            return float(np.real(value.known).reshape(-1)[0])
        return self.x(at)

    def param(
        self,
        at: int,
        name: str,
        shape: Sequence[int] | None = None,
        auxiliary: bool = False,
    ) -> Tensor:
        """An operand in a parameter's place, in the layout ``shape``: a constant is a weight.

        How a file lays a kernel out is notation: a computed one is viewed, never copied.
        """
        value = self.value(at)
        shape = value.type.shape if shape is None else tuple(shape)
        if value.tensor is not None:
            return self.b.reshape(value.tensor, shape)
        wanted = TensorType(shape, value.type.dtype)
        if wanted.size != value.type.size:
            raise Unreadable(f"its {name} {value.type} does not fill {list(shape)}")
        return self.b.reshape(self.b.variable(value.key, name, wanted, auxiliary), shape)

    def known(self, at: int) -> Array | None:
        """The numbers of an operand, where they are few and known."""
        return self.value(at).known

    def ints(self, at: int) -> tuple[int, ...]:
        """An operand that is a list of whole numbers; raises Unreadable where it is computed."""
        known = self.known(at)
        if known is None:
            raise Unreadable(f"its operand {at} is computed at run time")
        return tuple(int(n) for n in known.reshape(-1))

    def keeping(self, x: Tensor, at: int = 0) -> dict[str, str]:
        """The ``dtype`` attribute that gives the output's dtype, where it is not that of x."""
        return {} if x.dtype == self.dtype(at) else {"dtype": self.dtype(at)}


Made = Tensor | Sequence[Tensor]
Handler = Callable[[Site], Made]
Fold = Callable[[Site], Array | Value | None]
"""What an operator gives without being run: numbers, or a constant as it is stored; None where
it has to be lowered."""


def real(dtype: str, scaled: bool = False) -> bool:
    """Whether numbers of this dtype stand for real ones."""
    return is_float(dtype) or scaled
