"""What the lowerings of traced TensorFlow operations share: operands, output types.

A traced operation is a LayerCall with the key ``tf:OpType``: its config holds the operation's
attributes, its args the operands in order, its ``expected`` the output types. An operand is a
Tensor, a Known (numbers that are known while reading), an Index (a loop's counter and what is
computed from it), a Listed (a list of tensors that a loop fills or reads) or a Spread (a tensor
cut into the blocks of a dilated convolution).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from costlens.frontends.layercall import Known, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.geometry import Pairs
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Index:
    """A counter of a loop or a number computed from it: index arithmetic, which costs nothing."""

    type: TensorType

    def made(self, b: Builder) -> Tensor:
        """The number as a tensor."""
        return b.fill(self.type.shape, self.type.dtype, "index")


@dataclass(frozen=True, slots=True)
class Listed:
    """A TensorList: the sequence that it was made of, or the value that each turn writes.

    ``items`` are those that were written one by one, by place; ``length`` is how many turns
    wrote ``item``, where it is known.
    """

    whole: Tensor | None = None
    item: Tensor | None = None
    items: tuple[tuple[int, Tensor], ...] = ()
    length: int | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Spread:
    """A tensor whose axes are cut into interleaved blocks, which lie along the batch.

    ``type`` is how the trace has it; ``blocks`` and ``pads`` are per axis, and ``source`` is the
    tensor before it was padded and cut, in as many axes. ``whole`` gives what putting the blocks
    together and cropping gives, ``literal`` the tensor of ``type``.
    """

    type: TensorType
    blocks: tuple[int, ...]
    pads: Pairs
    source: Callable[[], Tensor] | None
    whole: Callable[[Pairs], Tensor]
    literal: Callable[[], Tensor]

    def made(self, b: Builder) -> Tensor:
        """The tensor as the trace has it."""
        return self.literal()


def data(b: Builder, call: LayerCall) -> list[Tensor]:
    """The operands that are data: known scalars, counters and sizes are none."""
    return [
        tensor(b, leaf)
        for leaf in call.args
        if not isinstance(leaf, Index)
        and not (isinstance(leaf, Known) and (leaf.type.size == 1 or _sizes(leaf)))
    ]


def _sizes(leaf: Known) -> bool:
    """Whether known numbers are a shape, a permutation or the like."""
    return leaf.type.rank == 1 and leaf.type.dtype in ("int32", "int64") and leaf.type.size <= 8


def out(call: LayerCall, index: int = 0) -> TensorType:
    """The type of an output; raises Unreadable where the graph leaves its size open."""
    shape, dtype = call.expected[index]
    if None in shape:
        raise Unreadable(f"the size of what TensorFlow's {call.layer.kind} gives is open")
    return TensorType(tuple(n or 0 for n in shape), dtype)


def dtype_of(call: LayerCall) -> str:
    """The dtype of the first output, whose size may be open in the graph and known here."""
    return call.expected[0][1]


def outs(call: LayerCall) -> list[TensorType]:
    """The types of all outputs."""
    return [out(call, i) for i in range(len(call.expected))]


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


def retyped(dtype: str, inferred: str) -> dict[str, str]:
    """The ``dtype`` attribute, where an op would infer another one."""
    return {} if dtype == inferred else {"dtype": dtype}


# -- whole families -------------------------------------------------------------------------


def opaque(fn: str) -> Lowering:
    """Known storage, no MACs, FLOPs unknown: a sort, a transform, a factorisation."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        return list(b.opaque(fn, data(b, call), *outs(call)))

    return lowering


def moved(fn: str) -> Lowering:
    """Data movement that computes nothing."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        if counted(call.args):
            return Index(out(call))
        xs = data(b, call) or tensors(b, call)[:1]
        return [b.rearrange(fn, xs, made.shape, made.dtype) for made in outs(call)]

    return lowering


def filled(fn: str) -> Lowering:
    """New values made from nothing, or drawn at random; what it is drawn from is no arithmetic."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        xs = [x for x in call.args if isinstance(x, Tensor)]
        return [
            b.emit("fill", xs, shape=made.shape, dtype=made.dtype, fn=fn) for made in outs(call)
        ]

    return lowering


def looked_up(first: int = 0) -> Lowering:
    """A lookup by index, the table at this position."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        xs = data(b, call)
        if len(xs) > first:
            xs.insert(0, xs.pop(first))
        made = out(call)
        return b.gather(xs, made.shape, made.dtype)

    return lowering


def table(names: str, family: Callable[[str], Lowering]) -> dict[str, Lowering]:
    """``"Qr SelfAdjointEigV2=eigh"``: operations, and their names in the graph if others."""
    made = {}
    for entry in names.split():
        op, _, fn = entry.partition("=")
        made[f"tf:{op}"] = family(fn or snake(op))
    return made


def snake(name: str) -> str:
    """``MatrixSolve`` → ``matrix_solve``; a version at the end is left off."""
    name = name[:-2] if name[-2:-1] == "V" and name[-1].isdigit() else name
    parts = ""
    for i, c in enumerate(name):
        starts = c.isupper() and i > 0 and (name[i - 1].islower() or name[i + 1 : i + 2].islower())
        parts += f"_{c}" if starts and parts[-1:] != "_" else c
    return parts.lower()
