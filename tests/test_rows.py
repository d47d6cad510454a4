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
