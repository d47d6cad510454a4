"""Recurrent cells: one time step of SimpleRNN, GRU, LSTM, ConvLSTM, and stacks of cells.

A cell takes one step's input and its states, and gives its output and its new states. Dropout
is off at inference. Part of a fused kernel is a slice, as Keras splits it inside the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from costlens.frontends.layercall import Layer, LayerCall, Tensor, Tree, leaves
from costlens.frontends.lowering.activations import activate
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.convolution import bias_add
from costlens.frontends.lowering.geometry import (
    channels,
    channels_last,
    ntuple,
    padding_pairs,
    spatial,
)
from costlens.frontends.program import layer_from_config
from costlens.ir.ops import windows
from costlens.ir.types import Shape, promote

# -- arithmetic that cells share -------------------------------------------------------------


def _project(b: Builder, x: Tensor, kernel: Tensor) -> Tensor:
    """``x`` (…, n) times a kernel (n, units), or a slice of one, in the compute dtype."""
    axes = "abcdefghijkl"[: x.rank - 1]
    dtype = promote([x.dtype, b.policy.compute])
    return b.einsum(f"{axes}y,yz->{axes}z", x, kernel, dtype=dtype, label="matmul")


def _split(b: Builder, x: Tensor, parts: int, axis: int = -1) -> list[Tensor]:
    """Equal parts of an axis, each a slice."""
    size = x.shape[axis] // parts
    return [b.take(x, axis, i * size, (i + 1) * size) for i in range(parts)]


def _gated(b: Builder, config: Mapping[str, Any], *terms: Tensor) -> Tensor:
    """A gate: the recurrent activation of a sum."""
    return activate(b, config.get("recurrent_activation"), _sum(b, *terms))


def _sum(b: Builder, first: Tensor, *rest: Tensor) -> Tensor:
    for term in rest:
        first = b.binary("add", first, term)
    return first


def _mul(b: Builder, x: Tensor, y: Tensor) -> Tensor:
    return b.binary("multiply", x, y)


def _implementation(config: Mapping[str, Any]) -> int:
    """1: one product per gate; 2: one for all. Recurrent dropout makes Keras take the first.

    A config does not hold the argument; both do the same multiplications.
    """
    return 1 if config.get("recurrent_dropout") else int(config.get("implementation", 2))


def _first(states: Tree) -> tuple[Tensor, bool]:
    """The one state of a cell, and whether it was given in a list."""
    nested = isinstance(states, (list, tuple))
    return (states[0] if nested else states), nested


# -- cells -----------------------------------------------------------------------------------


def _simple_rnn_cell(b: Builder, call: LayerCall) -> Tree:
    """h' = act(x·W + b + h·U) (Elman 1990)."""
    config, x, units = call.config, call.x, call.config["units"]
    h, nested = _first(call.arg(1, "states"))
    y = _project(b, x, b.weight("kernel", (x.shape[-1], units)))
    recurrent = b.weight("recurrent_kernel", (units, units))
    if config.get("use_bias", True):
        y = bias_add(b, y, b.weight("bias", (units,)))
    y = activate(b, config.get("activation"), _sum(b, y, _project(b, h, recurrent)))
    return y, [y] if nested else y


def _gru_cell(b: Builder, call: LayerCall) -> Tree:
    """h' = z·h + (1 - z)·h̃ with update gate z and reset gate r (Cho et al. 2014).

    ``reset_after`` applies r to h·U (with a bias of its own), else to h before the product.
    """
    config, x, units = call.config, call.x, call.config["units"]
    h, nested = _first(call.arg(1, "states"))
    kernel = b.weight("kernel", (x.shape[-1], 3 * units))
    recurrent = b.weight("recurrent_kernel", (units, 3 * units))
    bias, recurrent_bias = _gru_biases(b, config, units)
    fused = _implementation(config) != 1
    after = config.get("reset_after", True)
    xz, xr, xh = _projections(b, x, kernel, bias, 3, fused)
    if after:
        hz, hr, hh = _projections(b, h, recurrent, recurrent_bias, 3, fused)
    else:
        gates = b.take(recurrent, 1, 0, 2 * units) if fused else recurrent
        hz, hr = _projections(b, h, gates, None, 2, fused, units)
    z, r = _gated(b, config, xz, hz), _gated(b, config, xr, hr)
    if after:
        hh = _mul(b, r, hh)
    else:
        hh = _project(b, _mul(b, r, h), b.take(recurrent, 1, 2 * units, 3 * units))
    candidate = activate(b, config.get("activation"), _sum(b, xh, hh))
    keep = b.binary("subtract", 1.0, z)
    y = _sum(b, _mul(b, z, h), _mul(b, keep, candidate))
    return y, [y] if nested else y


def _gru_biases(
    b: Builder, config: Mapping[str, Any], units: int
) -> tuple[Tensor | None, Tensor | None]:
    """The input bias and the recurrent one, which only ``reset_after`` has: rows of (2, 3u)."""
    if not config.get("use_bias", True):
        return None, None
    if not config.get("reset_after", True):
        return b.weight("bias", (3 * units,)), None
    rows = _split(b, b.weight("bias", (2, 3 * units)), 2, axis=0)
    return b.reshape(rows[0], (3 * units,)), b.reshape(rows[1], (3 * units,))


def _projections(
    b: Builder,
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    gates: int,
    fused: bool,
    units: int | None = None,
) -> list[Tensor]:
    """``x·W + b`` for each gate: one product that is split, or one product per slice of W."""
    if fused:
        y = _project(b, x, kernel)
        return _split(b, y if bias is None else bias_add(b, y, bias), gates)
    size = units or kernel.shape[-1] // gates
    parts = []
    for gate in range(gates):
        y = _project(b, x, b.take(kernel, 1, gate * size, (gate + 1) * size))
        if bias is not None:
            y = bias_add(b, y, b.take(bias, 0, gate * size, (gate + 1) * size))
        parts.append(y)
    return parts


def _lstm_cell(b: Builder, call: LayerCall) -> Tree:
    """Input, forget, cell and output gates (Hochreiter & Schmidhuber 1997)."""
    config, x, units = call.config, call.x, call.config["units"]
    h, c = call.arg(1, "states")
    kernel = b.weight("kernel", (x.shape[-1], 4 * units))
    recurrent = b.weight("recurrent_kernel", (units, 4 * units))
    bias = b.weight("bias", (4 * units,)) if config.get("use_bias", True) else None
    if _implementation(config) == 1:
        inputs = _projections(b, x, kernel, bias, 4, fused=False)
        hidden = _projections(b, h, recurrent, None, 4, fused=False)
        gates = [_sum(b, p, q) for p, q in zip(inputs, hidden, strict=True)]
    else:
        z = _sum(b, _project(b, x, kernel), _project(b, h, recurrent))
        gates = _split(b, z if bias is None else bias_add(b, z, bias), 4)
    return _lstm_state(b, config, gates, c)


def _lstm_state(
    b: Builder, config: Mapping[str, Any], gates: Sequence[Tensor], carry: Tensor
) -> Tree:
    """c' = f·c + i·act(g), h = o·act(c'), from the four gates before their activations."""
    i, f, o = (_gated(b, config, gates[k]) for k in (0, 1, 3))
    candidate = activate(b, config.get("activation"), gates[2])
    c = _sum(b, _mul(b, f, carry), _mul(b, i, candidate))
    h = _mul(b, o, activate(b, config.get("activation"), c))
    return h, [h, c]


def _conv_lstm_cell(b: Builder, call: LayerCall) -> Tree:
    """An LSTM whose products are convolutions (Shi et al. 2015).

    The input's convolution has the layer's strides, padding and dilation; the state's is
    "same" at stride 1. Kernels and bias are split per gate, so there are eight convolutions.
    """
    config, x = call.config, call.x
    h, c = call.arg(1, "states")
    rank, last, filters = x.rank - 2, channels_last(call.config), call.config["filters"]
    taps, ones = ntuple(config["kernel_size"], rank), (1,) * rank
    kernel = b.weight("kernel", (*taps, channels(x.shape, last), 4 * filters))
    recurrent = b.weight("recurrent_kernel", (*taps, filters, 4 * filters))
    bias = b.weight("bias", (4 * filters,)) if config.get("use_bias", True) else None
    strides, padding, dilation = _window(config, rank)
    inputs = [
        _convolve(b, x, part, strides, padding, dilation, last) for part in _split(b, kernel, 4)
    ]
    if bias is not None:
        biases = _split(b, bias, 4)
        inputs = [bias_add(b, y, part, last) for y, part in zip(inputs, biases, strict=True)]
    hidden = [_convolve(b, h, part, ones, "same", ones, last) for part in _split(b, recurrent, 4)]
    gates = [_sum(b, p, q) for p, q in zip(inputs, hidden, strict=True)]
    return _lstm_state(b, config, gates, c)


def _window(config: Mapping[str, Any], rank: int) -> tuple[Shape, str, Shape]:
    """Strides, padding and dilation of a convolution's config."""
    return (
        ntuple(config.get("strides", 1), rank),
        str(config.get("padding", "valid")),
        ntuple(config.get("dilation_rate", 1), rank),
    )


def _convolve(
    b: Builder,
    x: Tensor,
    kernel: Tensor,
    strides: Shape,
    padding: str,
    dilation: Shape,
    last: bool,
) -> Tensor:
    """A convolution with a slice of a kernel, in the compute dtype."""
    pairs = padding_pairs(padding, spatial(x.shape, last), kernel.shape[:-2], strides, dilation)
    dtype = promote([x.dtype, b.policy.compute])
    return b.emit(
        "conv",
        (x, kernel),
        strides=strides,
        padding=pairs,
        dilation=dilation,
        groups=1,
        channels_last=last,
        **({} if dtype == x.dtype else {"dtype": dtype}),
    )


def _stacked_rnn_cells(b: Builder, call: LayerCall) -> Tree:
    """Cells in a row: the output of one is the input of the next; each has its own states."""
    y, made = call.x, []
    for cell, given in zip(stacked_cells(call.config), call.arg(1, "states"), strict=False):
        nested = isinstance(given, (list, tuple))
        y, new = b.apply(cell, y, list(given) if nested else [given])
        made.append(new if nested or len(new) > 1 else new[0])
    return y, made[0] if len(made) == 1 else made


def stacked_cells(config: Mapping[str, Any]) -> list[Layer]:
    """The cells of a StackedRNNCells config; a name that repeats is told apart by its place."""
    cells = [layer_from_config(cell) for cell in config["cells"]]
    names = [cell.name for cell in cells]
    return [
        replace(cell, name=f"{cell.name}_{i}") if cell.name in names[:i] else cell
        for i, cell in enumerate(cells)
    ]


# -- states ----------------------------------------------------------------------------------


def state_shapes(cell: Layer, step: Shape) -> list[Any]:
    """Shapes of the states that a cell starts from, nested as Keras nests them.

    ``step`` is the shape of one time step's input. Raises Unreadable for a cell that is not
    one of Keras's.
    """
    config = cell.config
    match cell.key:
        case "layer:SimpleRNNCell" | "layer:GRUCell":
            return [(step[0], config["units"])]
        case "layer:LSTMCell":
            return [(step[0], config["units"])] * 2
        case "layer:ConvLSTMCell":
            return [_conv_state(config, step)] * 2
        case "layer:StackedRNNCells":
            shapes: list[Any] = []
            for inner in stacked_cells(config):
                shapes.append(state_shapes(inner, step))
                step = output_shape(inner, step)
            return shapes
    raise Unreadable(f"its cell, {cell.kind}, is not one of Keras's")


def _conv_state(config: Mapping[str, Any], step: Shape) -> Shape:
    rank, last = len(step) - 2, channels_last(config)
    taps, sizes = ntuple(config["kernel_size"], rank), spatial(step, last)
    strides, padding, dilation = _window(config, rank)
    pairs = padding_pairs(padding, sizes, taps, strides, dilation)
    made = [
        windows(n, k, s, d, p)
        for n, k, s, d, p in zip(sizes, taps, strides, dilation, pairs, strict=True)
    ]
    filters = config["filters"]
    return (step[0], *made, filters) if last else (step[0], filters, *made)


def output_shape(cell: Layer, step: Shape) -> Shape:
    """The shape of a cell's output: that of its first state, or of the last cell's of a stack."""
    if cell.key == "layer:StackedRNNCells":
        for inner in stacked_cells(cell.config):
            step = output_shape(inner, step)
        return step
    first: Shape = state_shapes(cell, step)[0]
    return first


def state_tensors(states: Tree) -> list[Tensor]:
    """The tensors of a nest of states, in Keras's order."""
    return [x for x in leaves(states) if isinstance(x, Tensor)]


LAYERS: Mapping[str, Lowering] = {
    "layer:SimpleRNNCell": _simple_rnn_cell,
    "layer:GRUCell": _gru_cell,
    "layer:LSTMCell": _lstm_cell,
    "layer:ConvLSTMCell": _conv_lstm_cell,
    "layer:StackedRNNCells": _stacked_rnn_cells,
}
