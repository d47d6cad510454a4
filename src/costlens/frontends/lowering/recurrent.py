"""Recurrent layers: SimpleRNN, GRU, LSTM, ConvLSTM, RNN over any cell, and Bidirectional.

A layer is a loop over time: a step of the input enters, the cell runs once per step, a stack
or the last value leads out. Walking backwards, unrolling and time-major copies are how a
backend runs the loop, and cost nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from costlens.frontends.layercall import Constant, Layer, LayerCall, Tensor, Tree, map_leaves
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.cells import output_shape, state_shapes, state_tensors
from costlens.frontends.lowering.policy import read_policy
from costlens.frontends.program import layer_from_config
from costlens.ir.types import Shape, TensorType

_OWN_CELL = {
    "SimpleRNN": ("SimpleRNNCell", "simple_rnn_cell"),
    "GRU": ("GRUCell", "gru_cell"),
    "LSTM": ("LSTMCell", "lstm_cell"),
    **{f"ConvLSTM{rank}D": ("ConvLSTMCell", "conv_lstm_cell") for rank in (1, 2, 3)},
}
"""Layers that make their cell themselves: its class and its name."""

Mask = Callable[[], Tensor] | None


def part_of(layer: Layer, key: str) -> Layer:
    """A layer that another one holds in its config.

    Raises Unreadable where Keras could give no config: a custom part need not have one.
    """
    held = layer.config.get(key)
    if not isinstance(held, Mapping):
        raise Unreadable(f"Keras gives no config of its {key}")
    return layer_from_config(held)


def cell_of(layer: Layer) -> Layer:
    """The cell of a recurrent layer: a part of its config, or made from the whole of it.

    ConvLSTM does not hand ``trainable`` on to its cell.
    """
    if layer.kind == "RNN":
        return part_of(layer, "cell")
    kind, name = _OWN_CELL[layer.kind]
    config = {**layer.config, "name": name}
    if kind == "ConvLSTMCell":
        config["trainable"] = True
    return Layer(f"layer:{kind}", name, config, layer.identity)


def mask_of(call: LayerCall, x: Tensor, position: int) -> Mask:
    """The mask that a call is given, or else the one that travels on its input."""
    given = call.arg(position, "mask")
    if isinstance(given, (list, tuple)):
        given = next((mask for mask in given if isinstance(mask, Tensor)), None)
    return (lambda: given) if isinstance(given, Tensor) else x.mask


def with_mask(x: Tensor, mask: Mask) -> Tensor:
    """The same tensor with a mask travelling on it."""
    return Tensor(x.id, x.type, mask)


def _recurrent(b: Builder, call: LayerCall) -> Tree:
    """Run the cell over axis 1; the output, and the states where the layer returns them."""
    config, x = call.config, call.arg(0, "sequences")
    cell, mask = cell_of(call.layer), mask_of(call, x, 2)
    states = _start(b, call, cell, x)
    selector = _selector(b, cell, x, mask) if mask else None
    with b.loop(x.shape[1]):
        step = b.emit("step", (x,), axis=1)
        y, made = b.apply(cell, step, states)
        new = state_tensors(made)
        if selector:
            y, new = selector(y, new, state_tensors(states))
    compute = b.policy.compute
    # each state is read again by the next step, and leads out whether it is returned or not
    final = [b.emit("last", (state,)) for state in new]
    if config["return_sequences"]:
        output = with_mask(b.cast(b.emit("stack", (y,), axis=1, length=x.shape[1]), compute), mask)
    else:
        output = b.cast(b.emit("last", (y,)), compute)
    if not config["return_state"]:
        return output
    return (output, *(b.cast(state, compute) for state in final))


def _start(b: Builder, call: LayerCall, cell: Layer, x: Tensor) -> Tree:
    """The states that the loop starts from, in the cell's dtype: given, stored, or zeros."""
    dtype = read_policy(cell.config.get("dtype")).compute
    given = call.arg(1, "initial_state")
    if given is not None:
        states = list(given) if isinstance(given, (list, tuple)) else [given]
        return map_leaves(lambda leaf: b.cast(leaf, dtype), states)
    shapes = state_shapes(cell, (x.shape[0], *x.shape[2:]))
    numbers = count()

    def state(shape: Shape) -> Tensor:
        if not call.config.get("stateful"):
            return b.fill(shape, dtype, "zeros")
        key = ("rnn_state", call.layer.identity, b.scope, next(numbers))
        return b.cast(b.constant(Constant(TensorType(shape, b.policy.variable), key)), dtype)

    return _map_shapes(state, shapes)


def _map_shapes(fn: Callable[[Shape], Tensor], shapes: list[Any]) -> list[Any]:
    return [_map_shapes(fn, s) if isinstance(s, list) else fn(s) for s in shapes]


_Select = Callable[[Tensor, list[Tensor], list[Tensor]], tuple[Tensor, list[Tensor]]]


def _selector(b: Builder, cell: Layer, x: Tensor, mask: Callable[[], Tensor]) -> _Select:
    """Masked steps keep the output (or give zeros) and the states of the step before.

    The mask and the zeros are made outside the loop, the first output to keep being zeros in
    either case; one select per output and state inside.
    """
    dtype = read_policy(cell.config.get("dtype")).compute
    zeros = b.fill(output_shape(cell, (x.shape[0], *x.shape[2:])), dtype, "zeros")
    steps = b.cast(mask(), "bool")

    def select(y: Tensor, new: list[Tensor], old: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        step = b.emit("step", (steps,), axis=1)

        def pick(fresh: Tensor, stale: Tensor) -> Tensor:
            seen = b.reshape(step, (*step.shape, *(1,) * (fresh.rank - step.rank)))
            return b.emit("select", (seen, fresh, stale))

        return pick(y, zeros), [pick(n, o) for n, o in zip(new, old, strict=True)]

    return select


def _bidirectional(b: Builder, call: LayerCall) -> Tree:
    """Two recurrent layers over one sequence, their outputs merged (Schuster & Paliwal 1997).

    The first half of ``initial_state`` is the forward layer's. A whole backward sequence is
    flipped back; states follow, forward first.
    """
    config, x = call.config, call.arg(0, "sequences")
    layers = [part_of(call.layer, key) for key in ("layer", "backward_layer")]
    mask, given = mask_of(call, x, 2), call.arg(1, "initial_state")
    half = len(given) // 2 if given is not None else 0
    starts = (None, None) if given is None else (given[:half], given[half:])
    outputs, states = [], []
    for layer, start in zip(layers, starts, strict=True):
        made = b.apply(layer, with_mask(x, mask), initial_state=start)
        y, *rest = made if isinstance(made, tuple) else (made,)
        outputs.append(b.cast(y, b.policy.compute))
        states += rest
    sequences = layers[0].config["return_sequences"]
    if sequences:
        outputs[1] = b.rearrange("flip", outputs[1], outputs[1].shape)
    merged = _merge(b, config.get("merge_mode"), *outputs)
    merged = tuple(with_mask(y, mask if sequences else None) for y in merged)
    result = (*merged, *states)
    return result if len(result) > 1 else result[0]


def _merge(b: Builder, mode: str | None, y: Tensor, back: Tensor) -> tuple[Tensor, ...]:
    match mode:
        case None:
            return y, back
        case "concat":
            return (b.concat((y, back), -1),)
        case "ave":
            return (b.binary("divide", b.binary("add", y, back), 2),)
        case "sum":
            return (b.binary("add", y, back),)
        case "mul":
            return (b.binary("multiply", y, back),)
    raise ValueError(f"merge_mode {mode!r}")


LAYERS: Mapping[str, Lowering] = {
    **{f"layer:{kind}": _recurrent for kind in ("RNN", *_OWN_CELL)},
    "layer:Bidirectional": _bidirectional,
}
