"""Recurrent operators as one loop: LSTM, GRU and plain cells over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Builder

Term = Callable[[Tensor, Tensor], Tensor]
"""One gate before its activation, from a step of the input and the state before it."""


def term(
    b: Builder,
    kernel: Tensor,
    recurrent: Tensor,
    biases: Sequence[Tensor] = (),
) -> Term:
    """x·W + h·U and its biases, for kernels (n, units) and (units, units)."""

    def gate(x: Tensor, h: Tensor) -> Tensor:
        y = b.binary("add", project(b, x, kernel), project(b, h, recurrent))
        for bias in biases:
            y = b.binary("add", y, bias)
        return y

    return gate


def project(b: Builder, x: Tensor, kernel: Tensor) -> Tensor:
    """A step of the input, or a state, times a kernel."""
    return b.einsum("ay,yz->az", x, kernel, x.dtype, "matmul")


def lstm_step(
    b: Builder,
    gates: Sequence[Term],
    peepholes: Sequence[Tensor | None],
    activations: Sequence[str],
    x: Tensor,
    h: Tensor,
    c: Tensor,
) -> tuple[Tensor, Tensor]:
    """c' = f·c + i·g(z), h' = o·k(c'), gates i, f, o, z; without an input gate i is 1 - f.

    A peephole lets a gate see the cell (Gers & Schmidhuber 2000): the output gate the new one.
    """
    bend, inner, outer = activations

    def gate(at: int, cell: Tensor) -> Tensor:
        y, peephole = gates[at](x, h), peepholes[at]
        if peephole is not None:
            y = b.binary("add", y, b.binary("multiply", cell, peephole))
        return b.unary(bend, y)

    i, f = gate(0, c), gate(1, c)
    candidate = b.unary(inner, gates[3](x, h))
    new = b.binary("add", b.binary("multiply", f, c), b.binary("multiply", i, candidate))
    return b.binary("multiply", gate(2, new), b.unary(outer, new)), new


def gru_step(
    b: Builder,
    gates: Sequence[Term],
    candidate: Callable[[Tensor, Tensor, Tensor], Tensor],
    activations: Sequence[str],
    x: Tensor,
    h: Tensor,
) -> Tensor:
    """h' = (1 - z)·h̃ + z·h with update and reset gates z and r (Cho et al. 2014)."""
    bend, inner = activations
    z, r = (b.unary(bend, gate(x, h)) for gate in gates)
    new = b.unary(inner, candidate(x, h, r))
    return b.binary(
        "add",
        b.binary("multiply", b.binary("subtract", 1.0, z), new),
        b.binary("multiply", z, h),
    )
