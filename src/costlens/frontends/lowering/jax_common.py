"""What the lowerings of traced JAX operations share: operands, output types.

A traced operation is a LayerCall with the key ``jax:primitive``: its config holds the equation's
parameters, its args the operands in order, its ``expected`` the output types. An operand is a
Tensor, a Known (numbers that are known while reading), a Number (what is computed from these)
or a Flipped kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from costlens.frontends.layercall import Known, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder
from costlens.ir.types import TensorType

FEW = 4096
"""Elements up to which different numbers are worked out once, and cost nothing."""


@dataclass(frozen=True, slots=True)
class Number:
    """Computed from known numbers and counters of loops: it costs nothing.

    ``uniform``: one number in every place, which operations take as a scalar.
    """

    type: TensorType
    uniform: bool

    def made(self, b: Builder) -> Tensor:
        """The numbers as a tensor."""
        return b.fill(self.type.shape, self.type.dtype, "number")


@dataclass(frozen=True, slots=True)
class Flipped:
    """A kernel turned around in space, as a transposed convolution writes it.

    ``axes`` of ``of`` are turned around; its own axes are those of ``of``, permuted.
    """

    of: Tensor
    perm: tuple[int, ...]
    axes: frozenset[int]

    @property
    def type(self) -> TensorType:
        """Its type: that of the kernel, its axes permuted."""
        return TensorType(tuple(self.of.shape[i] for i in self.perm), self.of.dtype)

    def made(self, b: Builder) -> Tensor:
        """The kernel, turned around."""
        turned = b.transpose(self.of, self.perm)
        return b.rearrange("flip", turned, turned.shape)


def out(call: LayerCall, index: int = 0) -> TensorType:
    """The type of an output."""
    shape, dtype = call.expected[index]
    return TensorType(tuple(n or 0 for n in shape), dtype)


def uniform(leaf: Any) -> bool:
    """Whether an operand is one known number in every place."""
    if isinstance(leaf, Known):
        return leaf.type.size == 1
    return isinstance(leaf, Number) and leaf.uniform


def number(call: LayerCall) -> Number | None:
    """What an operation on numbers alone gives; None where an operand is a tensor, or where it
    makes so many different ones that they count. The weights of an interpolation never do."""
    same, made = all(map(uniform, call.args)), out(call)
    if not all(isinstance(x, (Known, Number)) for x in call.args):
        return None
    few = same or made.size <= FEW or "image" in call.config["purposes"]
    return Number(made, same) if few else None


def extra(dtype: str, inferred: str) -> dict[str, str]:
    """The ``dtype`` attribute, where an op would infer another one."""
    return {} if dtype == inferred else {"dtype": dtype}
