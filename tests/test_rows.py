"""Rows of real models: what a call returns, what is a lower bound, what every export sums to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import pytest
from keras import layers

import costlens
from costlens.study import Study
from tests.support import abstract


def study(build: Callable[[], Any]) -> Study:
    """The study of a model built abstractly."""
    return costlens.analyze(abstract(build))


def test_a_row_has_the_outputs_of_its_call_and_no_others() -> None:
    """A masked recurrent layer carries states that its caller never sees."""
    made: list[Any] = [
        lambda: layers.LSTM(8, name="lstm"),
        lambda: layers.LSTM(8, return_sequences=True, name="sequences"),
        lambda: layers.LSTM(8, return_state=True, name="states"),
        lambda: layers.GRU(8, name="gru"),
        lambda: layers.Bidirectional(layers.GRU(8), name="both"),
        lambda: layers.RNN([layers.LSTMCell(8), layers.GRUCell(4)], name="stack"),
    ]

    def build() -> keras.Model:
        x = keras.Input((50, 16))
        masked = layers.Masking()(x)
        return keras.Model(x, [make()(masked) for make in made])

    model = abstract(build)
    rows = {row.path: row for row in costlens.analyze(model, batch=3).layers}
    for name in ("lstm", "sequences", "states", "gru", "both", "stack"):
        outputs = model.get_layer(name).output
        flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        wanted = [(3, *x.shape[1:]) for x in flat]
        assert list(rows[name].output_shapes) == wanted, name
        sizes = [shape[0] * shape[1] * (shape[2] if len(shape) > 2 else 1) for shape in wanted]
        if name != "states":  # its first output is its first state: one buffer
            assert rows[name].activation_bytes == 4 * sum(sizes), name


def shared() -> keras.Model:
    """One layer called three times, another once."""
    x = keras.Input((8,))
    dense = layers.Dense(8)
    return keras.Model(x, layers.Dense(2)(dense(dense(dense(x)))))


@pytest.mark.parametrize("level", ["op", "layer"])
def test_nodes_of_a_graph_sum_to_the_totals(level: str) -> None:
    made = study(shared)
    nodes = [data for _, data in made.to_networkx(level).nodes(data=True)]
    for field in ("params", "macs", "flops", "bytes_moved"):
        assert sum(data[field] for data in nodes) == getattr(made.totals, field)
    assert made.totals.params == (8 * 8 + 8) + (8 * 2 + 2)


def test_text_has_no_size_and_nothing_claims_otherwise() -> None:
    def build() -> keras.Model:
        x = keras.Input((), dtype="string")
        tokens = layers.StringLookup(vocabulary=["a", "b"])(x)
        return keras.Model(x, layers.Embedding(3, 4)(tokens))

    made = study(build)
    bytes_of = {"activation_bytes", "bytes_moved", "peak_memory_bytes"}
    assert made.totals.at_least == bytes_of
    assert not made.coverage.complete
    assert {u.reason for u in made.coverage.unknown} == {"text has no fixed size"}
    assert "Every figure is exact" not in str(made)
    assert [row.at_least for row in made.layers] == [bytes_of, bytes_of, frozenset()]


def test_keras_own_count_of_a_quantised_model_is_a_note() -> None:
    x = keras.Input((16,))
    model = keras.Model(x, layers.Dense(8)(x))
    model.quantize("int8")
    made = costlens.analyze(model)
    assert made.totals.params == 16 * 8 + 8
    # an int8 kernel, a bias, and one scale per output
    assert model.count_params() == 16 * 8 + 8 + 8
    assert any("136" in note and "144" in note for note in made.graph.notes)


def test_a_carried_state_is_not_written_over() -> None:
    """tanh(c) may not overwrite c, which the next step multiplies by its forget gate."""

    def build() -> keras.Model:
        x = keras.Input((5, 4))
        return keras.Model(x, layers.LSTM(3, name="lstm")(x))

    made = study(build)
    state_bytes, steps = 3 * 4, 5
    tanh = [part for part in made.layers[1].ops if part.name.endswith("/tanh#2")]
    assert [part.bytes_moved for part in tanh] == [steps * 2 * state_bytes]


def folded(*between: Any, calls: int = 1) -> int:
    """FLOPs that folding saves on a 3×3 map of 2 channels, per batch norm element."""

    def build() -> keras.Model:
        x = keras.Input((3, 3, 2))
        conv = layers.Conv2D(2, 1, use_bias=False)
        outputs = []
        for _ in range(calls):
            y = conv(x)
            for make in between:
                y = make()(y)
            outputs.append(layers.BatchNormalization()(y))
        return keras.Model(x, outputs)

    made = study(build).totals
    return made.flops - made.flops_folded


def test_a_batch_norm_folds_where_it_can() -> None:
    """18 elements: the scale goes into the kernel; the shift stays as the bias that it makes."""
    n = 3 * 3 * 2
    assert folded() == n
    assert folded(lambda: layers.SpatialDropout2D(0.5)) == n
    assert folded(layers.BatchNormalization) == n + 2 * n
    assert folded(layers.ReLU) == 0
    assert folded(calls=2) == 0  # one kernel cannot hold two scales


def test_outputs_that_share_a_buffer_count_once() -> None:
    def build() -> keras.Model:
        x = keras.Input((4, 3))
        y = layers.Reshape((6, 2))(layers.ReLU()(x))
        return keras.Model(x, [y, layers.Flatten()(y)])

    made = study(build)
    assert [row.activation_bytes for row in made.layers] == [48, 48, 0, 0]
    assert made.memory.peak_bytes == 96
