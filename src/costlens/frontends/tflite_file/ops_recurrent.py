"""Recurrent operators of TensorFlow Lite: one loop over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.opfile.parts import project
from costlens.frontends.opfile.site import Handler, Site
from costlens.frontends.tflite_file.ops_nn import fused
from costlens.frontends.tflite_file.options import ACTIVATIONS

Gate = Callable[[Tensor, Tensor], Tensor]
"""A gate before its activation, from a step of the input and the state before it."""


def _gate(site: Site, kernel: Tensor, recurrent: Tensor, biases: Sequence[Tensor]) -> Gate:
    """x·W + h·U and a bias, for kernels (n, units) and (units, units)."""
    b = site.b

    def gate(x: Tensor, h: Tensor) -> Tensor:
        y = b.binary("add", project(b, x, kernel), project(b, h, recurrent))
        for bias in biases:
            y = b.binary("add", y, bias)
        return y

    return gate


def _lstm_step(
    site: Site, gates: Sequence[Gate], peepholes: Sequence[Tensor | None], x: Tensor
) -> Tensor:
    """c' = f·c + i·g(z), h' = o·g(c'), gates i, f, o, z (Hochreiter & Schmidhuber 1997).

    A peephole lets a gate see the cell (Gers & Schmidhuber 2000): the output gate the new one.
    """
    b, h, c = site.b, site.x(18), site.x(19)
    bend = ACTIVATIONS[site.attr("fused", 0)] or "identity"

    def gate(at: int, cell: Tensor) -> Tensor:
        y, peephole = gates[at](x, h), peepholes[at]
        if peephole is not None:
            y = b.binary("add", y, b.binary("multiply", cell, peephole))
        return b.unary("sigmoid", y)

    i, f = gate(0, c), gate(1, c)
    candidate = b.unary(bend, gates[3](x, h))
    new = b.binary("add", b.binary("multiply", f, c), b.binary("multiply", i, candidate))
    return b.binary("multiply", gate(2, new), b.unary(bend, new))


def _turned(site: Site, at: int, name: str) -> Tensor:
    """A kernel (units, n) as (n, units)."""
    units, n = site.type(at).shape
    return site.param(at, name, (n, units))


def _sequence_rnn(site: Site) -> Tensor:
    """h' = act(x·W + h·U + b) over time (Elman 1990)."""
    b, x, axis = site.b, site.x(), 0 if site.attr("time_major") else 1
    kernel, recurrent = _turned(site, 1, "kernel"), _turned(site, 2, "recurrent_kernel")
    gate = _gate(site, kernel, recurrent, (site.param(3, "bias"),))
    with b.loop(x.shape[axis]):
        y = fused(site, gate(b.emit("step", (x,), axis=axis), site.x(4)))
    return b.emit("stack", (y,), axis=axis, length=x.shape[axis])


def _sequence_lstm(site: Site) -> Tensor:
    """Four gates, in the file's order input, forget, cell, output; layer norms are not read."""
    b, x, axis = site.b, site.x(), 0 if site.attr("time_major") else 1
    if any(site.has(at) for at in range(20, 24)):
        raise Unreadable("its gates are normalised")
    if not all(site.has(at) for at in range(1, 9)):
        raise Unreadable("its input gate is coupled")
    names = ("input", "forget", "cell", "output")
    gates, peepholes = [], []
    for at in (0, 1, 3, 2):
        biases = (site.param(12 + at, f"{names[at]}_bias"),) if site.has(12 + at) else ()
        kernel = _turned(site, 1 + at, f"{names[at]}_kernel")
        recurrent = _turned(site, 5 + at, f"{names[at]}_recurrent_kernel")
        gates.append(_gate(site, kernel, recurrent, biases))
        peep = {0: 9, 1: 10, 3: 11}.get(at)
        held = peep is not None and site.has(peep)
        peepholes.append(site.param(peep, f"{names[at]}_peephole") if peep and held else None)
    with b.loop(x.shape[axis]):
        step = b.emit("step", (x,), axis=axis)
        y = _lstm_step(site, gates, peepholes, step)
        if site.has(16):
            y = project(b, y, _turned(site, 16, "projection_kernel"))
            y = b.binary("add", y, site.param(17, "projection_bias")) if site.has(17) else y
    return b.emit("stack", (y,), axis=axis, length=x.shape[axis])


HANDLERS: Mapping[str, Handler] = {
    "UNIDIRECTIONAL_SEQUENCE_RNN": _sequence_rnn,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence_lstm,
}
"""Handlers by the operator's name in the schema."""
