"""ONNX's LSTM, GRU and RNN: a loop over time for each direction.

Kernels hold all gates of a direction, (directions, gates·units, n). Outputs are the sequence
(time, directions, batch, units) and the last states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.opfile.parts import project
from costlens.frontends.opfile.site import Handler, Site

_ACTIVATIONS = {
    "Relu": "relu", "Tanh": "tanh", "Sigmoid": "sigmoid", "LeakyRelu": "leaky_relu",
    "HardSigmoid": "hard_sigmoid", "Elu": "elu", "Softsign": "softsign", "Softplus": "softplus",
    "ThresholdedRelu": "threshold", "ScaledTanh": "tanh", "Affine": "scale",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Direction:
    """One direction's kernels and biases, and the functions of its gates."""

    kernel: Tensor
    recurrent: Tensor
    biases: tuple[Tensor, Tensor] | None
    functions: tuple[str, ...]


def _direction(site: Site, at: int, count: int, gates: int, defaults: Sequence[str]) -> _Direction:
    units = site.type(2).shape[-1]
    names = site.attr("activations") or tuple(defaults) * count
    each = len(defaults)
    functions = tuple(_ACTIVATIONS[name] for name in names[at * each : (at + 1) * each])
    if len(functions) != each:
        raise ValueError(f"{len(names)} activations for {count} directions")
    biases = None
    if site.has(3):
        both = _part(site, 3, "bias", (count, 2 * gates * units), at)
        cut = gates * units
        biases = site.b.take(both, 0, 0, cut), site.b.take(both, 0, cut, 2 * cut)
    n = site.type(1).shape[-1]
    return _Direction(
        _part(site, 1, "kernel", (count, n, gates * units), at),
        _part(site, 2, "recurrent_kernel", (count, units, gates * units), at),
        biases,
        functions,
    )


def _part(site: Site, operand: int, name: str, shape: tuple[int, ...], at: int) -> Tensor:
    """One direction's part of a parameter that holds all of them."""
    b, whole = site.b, site.param(operand, name, shape)
    part = b.take(whole, 0, at, at + 1) if shape[0] > 1 else whole
    return b.reshape(part, shape[1:])


def _start(site: Site, operand: int, at: int, shape: tuple[int, int]) -> Tensor:
    """A state to start from, given or zeros."""
    b = site.b
    if not site.has(operand):
        return b.fill(shape, site.type().dtype, "zeros")
    x = site.x(operand)
    return b.reshape(b.take(x, 0, at, at + 1) if x.shape[0] > 1 else x, shape)


def _gates(site: Site, own: _Direction, x: Tensor, h: Tensor, count: int) -> list[Tensor]:
    """x·W + h·U + biases, cut into gates."""
    b = site.b
    y = b.binary("add", project(b, x, own.kernel), project(b, h, own.recurrent))
    for bias in own.biases or ():
        y = b.binary("add", y, bias)
    return _cut(site, y, count)


def _cut(site: Site, y: Tensor, count: int) -> list[Tensor]:
    size = y.shape[-1] // count
    return [site.b.take(y, -1, at * size, (at + 1) * size) for at in range(count)]


def _lstm_step(
    site: Site, own: _Direction, x: Tensor, states: Sequence[Tensor], peep: Sequence[Tensor]
) -> list[Tensor]:
    """Gates in the order input, output, forget, cell (Hochreiter & Schmidhuber 1997)."""
    b, (h, c) = site.b, states
    bend, inner, outer = own.functions
    i, o, f, z = _gates(site, own, x, h, 4)
    if peep:
        i = b.binary("add", i, b.binary("multiply", c, peep[0]))
        f = b.binary("add", f, b.binary("multiply", c, peep[2]))
    f = b.unary(bend, f)
    i = b.binary("subtract", 1.0, f) if site.attr("input_forget", 0) else b.unary(bend, i)
    kept = b.binary("multiply", f, c)
    new = b.binary("add", kept, b.binary("multiply", i, b.unary(inner, z)))
    if peep:
        o = b.binary("add", o, b.binary("multiply", new, peep[1]))
    return [b.binary("multiply", b.unary(bend, o), b.unary(outer, new)), new]


def _gru_step(
    site: Site, own: _Direction, x: Tensor, states: Sequence[Tensor], peep: Sequence[Tensor]
) -> list[Tensor]:
    """Gates in the order update, reset, hidden (Cho et al. 2014).

    ``linear_before_reset`` resets h·U, as cuDNN does; else h is reset before its product.
    """
    b, (h,) = site.b, states
    bend, inner = own.functions
    units = h.shape[-1]
    given = project(b, x, own.kernel)
    if own.biases:
        given = b.binary("add", given, own.biases[0])
    xz, xr, xh = _cut(site, given, 3)
    if site.attr("linear_before_reset", 0):
        held = project(b, h, own.recurrent)
        if own.biases:
            held = b.binary("add", held, own.biases[1])
        hz, hr, hh = _cut(site, held, 3)
        z, r = b.unary(bend, b.binary("add", xz, hz)), b.unary(bend, b.binary("add", xr, hr))
        hh = b.binary("multiply", r, hh)
    else:
        both = project(b, h, b.take(own.recurrent, 1, 0, 2 * units))
        last = b.take(own.recurrent, 1, 2 * units, 3 * units)
        if own.biases:
            both = b.binary("add", both, b.take(own.biases[1], 0, 0, 2 * units))
        hz, hr = _cut(site, both, 2)
        z, r = b.unary(bend, b.binary("add", xz, hz)), b.unary(bend, b.binary("add", xr, hr))
        hh = project(b, b.binary("multiply", r, h), last)
        if own.biases:
            hh = b.binary("add", hh, b.take(own.biases[1], 0, 2 * units, 3 * units))
    new = b.unary(inner, b.binary("add", xh, hh))
    fresh = b.binary("multiply", b.binary("subtract", 1.0, z), new)
    return [b.binary("add", fresh, b.binary("multiply", z, h))]


def _rnn_step(
    site: Site, own: _Direction, x: Tensor, states: Sequence[Tensor], peep: Sequence[Tensor]
) -> list[Tensor]:
    """h' = f(x·W + h·U + b) (Elman 1990)."""
    (y,) = _gates(site, own, x, states[0], 1)
    return [site.b.unary(own.functions[0], y)]


_STEPS = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN": _rnn_step}
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def _recurrent(site: Site) -> list[Tensor]:
    """All directions, each a loop; what nobody asks for is not made."""
    b, x, kind = site.b, site.x(), site.op.kind
    count, units = site.type(2).shape[0], site.type(2).shape[-1]
    time = 1 if site.attr("layout", 0) else 0
    steps, shape = x.shape[time], (x.shape[1 - time], units)
    if count not in (1, 2):
        raise Unreadable(f"it has {count} directions")
    wanted = [at < len(site.op.outputs) and bool(site.op.outputs[at]) for at in range(3)]
    sequences, lasts = [], []
    for at in range(count):
        own = _direction(site, at, count, _GATES[kind], _DEFAULTS[kind])
        starts = [_start(site, operand, at, shape) for operand in (5, 6)[: 1 + (kind == "LSTM")]]
        peep: list[Tensor] = []
        if kind == "LSTM" and site.has(7):
            held = _part(site, 7, "peephole", (count, 3 * units), at)
            peep = [b.take(held, 0, gate * units, (gate + 1) * units) for gate in range(3)]
        with b.loop(steps):
            made = _STEPS[kind](site, own, b.emit("step", (x,), axis=time), starts, peep)
        if wanted[0]:
            sequences.append(b.emit("stack", (made[0],), axis=time, length=steps))
        lasts.append([b.emit("last", (state,)) for state in made])
    return _led_out(site, sequences, lasts, wanted)


def _led_out(
    site: Site, sequences: list[Tensor], lasts: list[list[Tensor]], wanted: list[bool]
) -> list[Tensor]:
    """The sequence and the states, an axis of directions put in."""
    b, first = site.b, not site.attr("layout", 0)
    found: list[Tensor] = []
    for at, want in enumerate(wanted[: len(site.op.outputs)]):
        if not want:
            found.append(lasts[0][0])
            continue
        parts = sequences if at == 0 else [last[at - 1] for last in lasts]
        axis = (1 if first else 2) if at == 0 else (0 if first else 1)
        views = [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in parts]
        found.append(b.concat(views, axis) if len(views) > 1 else views[0])
    return found


HANDLERS: Mapping[str, Handler] = {"LSTM": _recurrent, "GRU": _recurrent, "RNN": _recurrent}
"""Handlers by the operator's name."""
