"""Recurrent layers and cells against Keras, TensorFlow's trace and counts made by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import keras
import pytest
from keras import layers

from costlens.cost.registry import price
from costlens.errors import InputError
from costlens.ir.graph import Graph
from tests.oracles.traced import traced_macs
from tests.support import abstract, cost_of, functional, graph_of, params_of

BATCH, STEPS, WIDE = 2, 6, 3
RECURRENT = [layers.SimpleRNN, layers.GRU, layers.LSTM]


def model_of(
    build: Callable[[Any], Any], shape: tuple[int | None, ...] = (STEPS, WIDE), **given: Any
) -> keras.Model:
    def made() -> keras.Model:
        x = keras.Input(shape, **given)
        return functional(x, build(x))

    return abstract(made)


def read(model: keras.Model, batch: int = BATCH, **flags: Any) -> Graph:
    """The graph, with nothing unknown in it and Keras's own parameters."""
    graph = graph_of(model, batch=batch, **flags)
    assert [node.attrs["reason"] for node in graph.nodes if node.op == "unknown"] == []
    assert params_of(graph) == model.count_params()
    trainable = sum(w.params for w in graph.weights.values() if w.trainable)
    assert trainable == sum(prod(w.shape) for w in model.trainable_weights)
    return graph


# A step of width 5 over inputs of width 3 multiplies 3·5 + 5·5 = 40 times per gate. Two samples
# take 6 steps each, so everything happens 12 times.
# Elementwise, per unit and step:
#   SimpleRNN: x·W + b + h·U, tanh: 2 additions.
#   GRU: three biases and three sums, 1 - z and the final sum: 8 additions, with reset_after
#     three recurrent biases more; r·, z· and (1-z)·: 3 multiplications; two sigmoids and a tanh.
#   LSTM: four sums, four biases, f·c + i·g: 9 additions; 3 multiplications; three sigmoids and
#     two tanh.
ONE_LAYER = [
    (layers.SimpleRNN, {}, 40 + 5, 12 * 40, (2, 0, 1)),
    (layers.GRU, {}, 120 + 30, 12 * 120, (11, 3, 3)),
    (layers.GRU, {"reset_after": False}, 120 + 15, 12 * 120, (8, 3, 3)),
    (layers.LSTM, {}, 160 + 20, 12 * 160, (9, 3, 5)),
]


@pytest.mark.parametrize(("kind", "options", "params", "macs", "per_unit"), ONE_LAYER)
@pytest.mark.parametrize("recurrent_dropout", [0.0, 0.2])
def test_counts_of_one_layer(
    kind: Any,
    options: dict[str, Any],
    params: int,
    macs: int,
    per_unit: tuple[int, int, int],
    recurrent_dropout: float,
) -> None:
    # recurrent dropout does nothing at inference but makes Keras take one product per gate
    layer = kind(5, recurrent_dropout=recurrent_dropout, **options)
    graph = read(model_of(layer))
    cost = cost_of(graph)
    assert params_of(graph) == params
    assert cost.macs == cost.macs_valid == macs
    adds, muls, transcendentals = (12 * 5 * n for n in per_unit)
    assert (cost.adds, cost.muls, cost.transcendentals) == (adds, muls, transcendentals)
    assert (cost.divs, cost.comparisons) == (0, 0)


OPTIONS: list[dict[str, Any]] = [
    {"return_sequences": True},
    {"return_state": True},
    {"return_sequences": True, "return_state": True},
    {"use_bias": False},
    {"unroll": True},
    {"go_backwards": True, "return_sequences": True},
    {"dropout": 0.3},
    {"recurrent_dropout": 0.2},
    {"recurrent_dropout": 0.2, "use_bias": False},
    {"activation": "relu"},
    {"activation": None},
    {"trainable": False},
    {"dtype": "mixed_float16", "return_sequences": True, "return_state": True},
    {"dtype": "mixed_bfloat16", "recurrent_dropout": 0.2},
    {"dtype": "float16"},
]
GATED: list[dict[str, Any]] = [
    {"recurrent_activation": "hard_sigmoid"},
    {"recurrent_activation": "softmax", "activation": "gelu"},
]
GRU_ONLY: list[dict[str, Any]] = [
    {"reset_after": False},
    {"reset_after": False, "use_bias": False},
    {"reset_after": False, "recurrent_dropout": 0.1},
    {"reset_after": False, "dtype": "mixed_float16"},
]


@pytest.mark.parametrize("kind", RECURRENT)
def test_every_option_agrees_with_keras_and_leaves_the_products_alone(kind: Any) -> None:
    options = OPTIONS + (GATED if kind is not layers.SimpleRNN else [])
    options += GRU_ONLY if kind is layers.GRU else []
    graph = read(model_of(lambda x: [kind(4, **option)(x) for option in options]))
    gates = {layers.SimpleRNN: 1, layers.GRU: 3, layers.LSTM: 4}[kind]
    # 12 steps in all, of gates × (3·4 + 4·4) products
    assert cost_of(graph).macs == len(options) * 12 * gates * 28


def test_the_trace_counts_the_same() -> None:
    def build(x: Any) -> Any:
        forward = layers.LSTM(4, return_sequences=True)
        backward = layers.LSTM(4, activation="relu", return_sequences=True, go_backwards=True)
        y = layers.Bidirectional(forward, backward_layer=backward)(x)
        cells = [layers.LSTMCell(4), layers.GRUCell(5), layers.SimpleRNNCell(3)]
        z = layers.RNN(cells, return_sequences=True)(y)
        return [
            layers.GRU(3)(z),
            layers.GRU(3, reset_after=False, recurrent_dropout=0.1)(z),
            layers.SimpleRNN(7, unroll=True)(z),
            layers.RNN(layers.GRUCell(2), go_backwards=True)(x),
        ]

    model = model_of(build)
    assert cost_of(read(model)).macs == traced_macs(model, batch=BATCH).macs


def test_a_loop_runs_its_body_once_per_step() -> None:
    model = model_of(layers.LSTM(4, return_sequences=True, return_state=True))
    graph = read(model)
    body = [node for node in graph.nodes if node.repeat == STEPS]
    outside = [node for node in graph.nodes if node.repeat == 1]
    assert {node.op for node in outside} == {"input", "fill", "stack", "last"}
    assert body[0].op == "step"
    products = [node for node in body if node.op == "einsum"]
    assert [graph.values[n.outputs[0]].shape for n in products] == [(BATCH, 16)] * 2
    zeros = [node.outputs[0] for node in outside if node.op == "fill"]
    assert len(zeros) == 2, "h and c enter the loop once"
    assert products[1].operands[0] == zeros[0]
    assert [graph.values[v].shape for v in graph.outputs] == [
        (BATCH, STEPS, 4),
        (BATCH, 4),
        (BATCH, 4),
    ]


def test_names_of_weights_follow_keras() -> None:
    graph = read(model_of(layers.Bidirectional(layers.LSTM(4, name="l"), name="b")))
    wanted = [
        f"b/{way}_l/lstm_cell/{name}"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert [weight.path for weight in graph.weights.values()] == wanted


@pytest.mark.parametrize("mode", ["sum", "mul", "ave", "concat", None])
def test_bidirectional_merges_as_keras_does(mode: str | None) -> None:
    def build(x: Any) -> Any:
        def both(**options: Any) -> Any:
            return layers.Bidirectional(layers.GRU(4, **options), merge_mode=mode)(x)

        return [
            both(),
            both(return_sequences=True),
            both(return_state=True),
            both(return_sequences=True, return_state=True),
        ]

    graph = read(model_of(build))
    # two directions × 12 steps × 3 gates × (3·4 + 4·4), four times
    assert cost_of(graph).macs == 4 * 2 * 12 * 3 * 28
    flips = [node for node in graph.nodes if node.op == "rearrange"]
    assert len(flips) == 2, "only whole sequences are flipped back"
    merged = 2 * BATCH * 4 * (1 + STEPS)  # elements merged: two last outputs, two sequences
    rest = cost_of(graph) + -1 * sum_of_cells(graph)
    wanted = {"sum": (1, 0, 0), "mul": (0, 1, 0), "ave": (1, 0, 1)}.get(str(mode), (0, 0, 0))
    assert (rest.adds, rest.muls, rest.divs) == tuple(merged * n for n in wanted)


def sum_of_cells(graph: Graph) -> Any:
    from costlens.cost.cost import ZERO
    from costlens.cost.registry import price

    costs = zip(graph.nodes, price(graph), strict=True)
    return sum((cost for node, cost in costs if node.repeat == STEPS), ZERO)


def test_bidirectional_of_other_layers_and_dtypes() -> None:
    def build(x: Any) -> Any:
        mixed = {"dtype": "mixed_float16"}
        return [
            layers.Bidirectional(layers.LSTM(4, return_sequences=True, **mixed), **mixed)(x),
            layers.Bidirectional(layers.SimpleRNN(4, **mixed))(x),
            layers.Bidirectional(layers.LSTM(4), backward_layer=layers.GRU(4, go_backwards=True))(
                x
            ),
            layers.Bidirectional(layers.RNN([layers.LSTMCell(4), layers.GRUCell(4)]))(x),
            layers.Bidirectional(layers.GRU(4, trainable=False))(x),
        ]

    read(model_of(build))


def test_cells_in_a_stack() -> None:
    def build(x: Any) -> Any:
        cells = [layers.LSTMCell(4), layers.GRUCell(5)]
        return layers.RNN(cells, return_sequences=True, return_state=True)(x)

    model = model_of(build)
    graph = read(model)
    # LSTM on width 3: 4·(3·4 + 4·4); GRU on its output: 3·(4·5 + 5·5)
    assert cost_of(graph).macs == 12 * (4 * 28 + 3 * 45)
    assert [graph.values[v].shape[1:] for v in graph.outputs] == [(STEPS, 5), (4,), (4,), (5,)]


def test_cells_whose_names_repeat_have_weights_of_their_own() -> None:
    def build(x: Any) -> Any:
        cells = [layers.SimpleRNNCell(3, name="c"), layers.SimpleRNNCell(3, name="c")]
        return layers.RNN(cells)(x)

    assert len(read(model_of(build)).weights) == 6


def test_rnn_of_one_cell_in_other_dtypes() -> None:
    def build(x: Any) -> Any:
        mixed = {"dtype": "mixed_float16"}
        return [
            layers.RNN(layers.LSTMCell(4, **mixed), return_state=True)(x),
            layers.RNN([layers.LSTMCell(4)], return_state=True, return_sequences=True)(x),
            layers.RNN([layers.LSTMCell(4, **mixed), layers.GRUCell(3)], return_state=True)(x),
            layers.RNN(layers.GRUCell(4), dtype="float16")(x),
        ]

    read(model_of(build))


def test_cells_called_as_layers() -> None:
    def build(x: Any) -> Any:
        s = layers.Dense(4)(layers.Flatten()(x))
        return [
            layers.LSTMCell(4)(s, [s, s]),
            layers.GRUCell(4)(s, [s]),
            layers.GRUCell(4)(s, s),
            layers.SimpleRNNCell(4)(s, s),
            layers.StackedRNNCells([layers.LSTMCell(4), layers.GRUCell(4)])(s, [[s, s], [s]]),
        ]

    graph = read(model_of(build))
    # Dense 18·4; then cells of 4 + 3 + 3 + 1 + (4 + 3) gates, each 4·4 + 4·4; two samples
    assert cost_of(graph).macs == 2 * (18 * 4 + 18 * 32)


def test_initial_states_given_in_every_way() -> None:
    def build(x: Any) -> Any:
        s = layers.Dense(4)(layers.Flatten()(x))
        stack = layers.RNN([layers.LSTMCell(4), layers.GRUCell(4)], return_state=True)
        return [
            layers.LSTM(4, return_state=True)(x, initial_state=[s, s]),
            layers.LSTM(4)(x, [s, s]),
            layers.GRU(4)(x, s),
            layers.GRU(4)(sequences=x, initial_state=s),
            layers.LSTM(4, dtype="mixed_float16")(x, initial_state=[s, s]),
            stack(x, initial_state=[[s, s], [s]]),
            layers.Bidirectional(layers.LSTM(4))(x, initial_state=[s, s, s, s]),
            layers.Bidirectional(layers.GRU(4, return_state=True))(x, initial_state=[s, s]),
        ]

    graph = read(model_of(build))
    assert "fill" not in {node.op for node in graph.nodes}, "no zeros where states are given"


def test_a_stateful_layer_starts_from_variables_that_are_no_parameters() -> None:
    # Keras makes the state variables on building and needs real ones: a small eager model
    x = keras.Input((STEPS, WIDE), batch_size=BATCH)
    y = layers.LSTM(4, stateful=True, return_sequences=True)(x)
    y = layers.Bidirectional(layers.GRU(2, stateful=True, return_sequences=True))(y)
    y = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], stateful=True)(y)
    model = functional(x, y)
    graph = read(model)
    shapes = sorted(type_.shape for type_ in graph.constants.values())
    assert shapes == sorted([(2, 4), (2, 4), (2, 2), (2, 2), (2, 4), (2, 4), (2, 3)])
    model.trainable = False
    assert not any(weight.trainable for weight in read(model).weights.values())


def test_masked_steps_select_once_per_output_and_state() -> None:
    def build(x: Any) -> Any:
        return layers.LSTM(4, return_sequences=True)(layers.Masking()(x))

    graph = read(model_of(build))
    selects = [n for n in graph.nodes if n.op == "select" and n.origin.kind == "LSTM"]
    assert [n.repeat for n in selects] == [STEPS] * 3, "the output, h and c"
    masks = [
        n for n in graph.nodes if n.op == "step" and graph.values[n.outputs[0]].dtype == "bool"
    ]
    assert [graph.values[n.outputs[0]].shape for n in masks] == [(BATCH,)]
    # Masking and the mask that Keras computes beside it: not_equal on 36 elements, any of 3 in
    # each of 12 steps, twice
    assert cost_of(graph).comparisons == 2 * (36 + 12 * 2)


def test_masks_reach_every_recurrent_layer() -> None:
    def build(x: Any) -> Any:
        y = layers.Embedding(9, 4, mask_zero=True)(x)
        z = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(y)
        states = layers.RNN([layers.LSTMCell(2), layers.GRUCell(2)], return_state=True)(z)
        unrolled = layers.SimpleRNN(
            2, unroll=True, zero_output_for_mask=True, return_sequences=True
        )
        return [layers.GRU(3)(layers.Dropout(0.5)(z)), unrolled(y), states, layers.GRU(3)(z)]

    model = model_of(build, (STEPS,), dtype="int32")
    graph = read(model)
    selects = [n.origin.kind for n in graph.nodes if n.op == "select" and n.repeat == STEPS]
    # per masked layer: its output and its states
    wanted = {"Bidirectional": 2 * 3, "RNN": 1 + 3, "SimpleRNN": 2, "GRU": 2 * 2}
    assert {kind: selects.count(kind) for kind in selects} == wanted
    assert cost_of(graph).macs == traced_macs(model, batch=BATCH).macs


def test_a_mask_that_is_given_wins() -> None:
    def build(x: Any) -> Any:
        given = keras.ops.greater(x[:, :, 0], 0.5)
        y = layers.LSTM(4, return_sequences=True)(layers.Masking()(x), mask=given)
        return layers.GRU(2)(y)

    graph = read(model_of(build))
    (mine,) = [n.outputs[0] for n in graph.nodes if n.origin.kind == "Greater"]
    steps = [n for n in graph.nodes if n.op == "step" and graph.values[n.operands[0]].rank == 2]
    assert [n.operands for n in steps if n.origin.kind == "LSTM"] == [(mine,)]
    # which mask travels on to the GRU is what Keras recorded: the given one in later versions
    assert sum(n.origin.kind == "GRU" for n in steps) == 1


def test_masks_under_mixed_precision_and_as_numbers() -> None:
    def build(x: Any) -> Any:
        y = layers.Masking(0.5, dtype="mixed_float16")(x)
        return [
            layers.LSTM(3, dtype="mixed_float16", return_sequences=True)(y),
            layers.GRU(3, dtype="mixed_float16", zero_output_for_mask=True)(y),
            layers.GRU(3)(x, mask=x[:, :, 0]),
        ]

    read(model_of(build))


CONV_LSTMS = [
    (layers.ConvLSTM1D, (5, 8, 3)),
    (layers.ConvLSTM2D, (4, 8, 7, 3)),
    (layers.ConvLSTM3D, (3, 8, 7, 6, 3)),
]


@pytest.mark.parametrize(("kind", "shape"), CONV_LSTMS)
def test_conv_lstm_agrees_with_keras_and_the_trace(kind: Any, shape: tuple[int, ...]) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"padding": "same", "return_sequences": True, "return_state": True},
        {"strides": 2, "use_bias": False},
        {"padding": "same", "strides": 2},
        {"dilation_rate": 2, "recurrent_activation": "hard_sigmoid"},
    ]
    model = model_of(lambda x: [kind(4, 3, **option)(x) for option in options], shape)
    assert cost_of(read(model)).macs == traced_macs(model, batch=BATCH).macs
    read(
        model_of(
            lambda x: [
                kind(4, 3, data_format="channels_first", padding="same")(x),
                kind(4, 3, data_format="channels_first", dtype="mixed_float16", return_state=True)(
                    x
                ),
                kind(4, 3, trainable=False, padding="same")(x),
                kind(4, 3, dtype="mixed_float16")(layers.Masking()(x)[:, :, :]),
            ],
            (shape[0], *(4 for _ in shape[1:])),
        )
    )


def test_conv_lstm_by_hand() -> None:
    shape = (5, 6, 7, 3)
    model = model_of(layers.ConvLSTM2D(4, (3, 1), strides=2, name="c"), shape)
    graph = read(model)
    # 3 taps; valid at stride 2 leaves 2×4 positions. Per position the input gives 3·3·16 and the
    # state 3·4·16 products; 5 steps, 2 samples
    assert params_of(graph) == 3 * 3 * 16 + 3 * 4 * 16 + 16
    assert cost_of(graph).macs == 2 * 5 * 8 * (3 * 3 * 16 + 3 * 4 * 16)
    # the state's convolution is "same": of 2 rows each sees 2 of its 3 taps
    assert cost_of(graph).macs_valid == 2 * 5 * (8 * 3 * 3 * 16 + 8 * 2 * 4 * 16)
    assert sum(node.op == "conv" for node in graph.nodes) == 8


FROZEN: list[tuple[Callable[[], Any], tuple[int, ...], int]] = [
    # made frozen: a layer hands it to the cell that it makes (but ConvLSTM), a wrapper does not
    (lambda: layers.LSTM(4, trainable=False), (6, 3), 0),
    (lambda: layers.ConvLSTM1D(4, 3, trainable=False), (6, 5, 3), 3),
    (lambda: layers.RNN(layers.LSTMCell(4), trainable=False), (6, 3), 3),
    (lambda: layers.RNN([layers.GRUCell(4, trainable=False), layers.GRUCell(4)]), (6, 3), 3),
    (lambda: layers.Bidirectional(layers.GRU(4), trainable=False), (6, 3), 6),
    (lambda: layers.Bidirectional(layers.GRU(4, trainable=False)), (6, 3), 0),
]


@pytest.mark.parametrize(("layer", "shape", "trainable"), FROZEN)
def test_frozen_layers(layer: Any, shape: tuple[int, ...], trainable: int) -> None:
    model = model_of(layer(), shape)
    assert sum(weight.trainable for weight in read(model).weights.values()) == trainable
    model.layers[1].trainable = False  # Keras does nothing where the flag stays as it is
    model.layers[1].trainable = True
    assert all(weight.trainable for weight in read(model).weights.values())
    model.layers[1].trainable = False
    assert not any(weight.trainable for weight in read(model).weights.values())


def test_parts_frozen_by_hand() -> None:
    model = model_of(
        lambda x: layers.Bidirectional(layers.LSTM(4))(layers.LSTM(4, return_sequences=True)(x))
    )
    model.layers[1].cell.trainable = False
    model.layers[2].backward_layer.trainable = False
    assert [w.trainable for w in read(model).weights.values()] == [False] * 3 + [True] * 3 + [
        False
    ] * 3


def test_a_shared_layer_has_its_weights_once_and_costs_per_call() -> None:
    def build(x: Any) -> Any:
        shared = layers.LSTM(4)
        return [shared(x), shared(x[:, 1:])]

    graph = read(model_of(build))
    assert len(graph.weights) == 3
    assert cost_of(graph).macs == 2 * (6 + 5) * 4 * 28


def test_an_unknown_length_is_an_error_that_names_the_flag() -> None:
    model = model_of(layers.LSTM(2), (None, 3), name="words")
    with pytest.raises(InputError, match=r"--input-shape words="):
        graph_of(model)
    graph = read(model, batch=1, input_shape={"words": (7, 3)})
    assert cost_of(graph).macs == 7 * 4 * (3 * 2 + 2 * 2)


class _Cell(layers.Layer):
    """A user's cell; ``extra`` has no config."""

    def __init__(self, units: int, extra: object = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape: tuple[int, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        self.other = self.add_weight(shape=(shape[-1], self.units), name="kernel")

    def call(self, x: Any, states: Any) -> Any:
        y = keras.ops.matmul(x, self.kernel + self.other) + states[0]
        return y, [y]


@pytest.mark.parametrize(
    ("cell", "per_step"),
    [
        (lambda: _Cell(4), 4 * WIDE),
        (lambda: [layers.LSTMCell(5), _Cell(4)], 4 * 5 * (WIDE + 5) + 4 * 5),
        (lambda: _Cell(4, object()), 4 * WIDE),
    ],
)
def test_a_users_cell_is_traced_and_its_parameters_count(cell: Any, per_step: int) -> None:
    def build(x: Any) -> Any:
        y = layers.RNN(cell(), return_state=True, return_sequences=True)(layers.Masking()(x))
        return layers.LSTM(2)(y[0])

    model = model_of(build)
    graph = graph_of(model, batch=BATCH)
    assert not [node for node in graph.nodes if node.op == "unknown"]
    macs = sum(
        cost.macs
        for node, cost in zip(graph.nodes, price(graph), strict=True)
        if node.origin.kind == "RNN"
    )
    assert macs == BATCH * STEPS * per_step
    assert params_of(graph) == model.count_params()


def test_a_batch_of_any_size() -> None:
    model = model_of(layers.Bidirectional(layers.LSTM(4, return_sequences=True)))
    one, many = (cost_of(read(model, batch=batch)) for batch in (1, 7))
    assert (many.macs, many.flops) == (7 * one.macs, 7 * one.flops)
