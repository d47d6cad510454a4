"""Configs read without Keras against the live reader: the same program, the same graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from costlens.frontends.keras_live import read_model
from costlens.frontends.layercall import Constant, Program, Ref, leaves, map_leaves
from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.run import lower
from costlens.frontends.program import layer_from_config, program_from_config
from costlens.frontends.sizes import settle
from costlens.ir.graph import Graph
from tests.support import abstract, cost_of, functional, graph_of, params_of


def told(program: Program) -> list[Any]:
    """A program in plain words, its tensors numbered as they are made."""
    numbers: dict[int, Any] = {x.value: n for n, x in enumerate(program.inputs)}

    def leaf(value: Any) -> Any:
        if isinstance(value, Ref):
            return f"tensor {numbers[value.value]}"
        return value.type if isinstance(value, Constant) else value

    lines: list[Any] = [[(x.name, x.shape, x.dtype) for x in program.inputs]]
    for step in program.steps:
        inner = step.layer.program and told(step.layer.program)
        args, kwargs = map_leaves(leaf, step.args), map_leaves(leaf, dict(step.kwargs))
        lines.append([step.layer.key, step.layer.name, args, kwargs, inner])
        numbers.update({value: (len(lines), n) for n, value in enumerate(step.outputs)})
    # the config of an older Keras has a list where a model gives one tensor
    return [*lines, list(leaves(map_leaves(leaf, program.outputs)))]


def as_lists(tree: Any) -> Any:
    """JSON knows no tuples."""
    if isinstance(tree, (list, tuple)):
        return [as_lists(item) for item in tree]
    return {k: as_lists(v) for k, v in tree.items()} if isinstance(tree, dict) else tree


def slices_and_sharing() -> keras.Model:
    x = keras.Input((5, 3), name="a")
    shared = layers.Dense(4, name="d")
    left, right = shared(x[:, 0]), shared(x[:, 1:3, ::2][:, 0, ...] @ np.ones((2, 3), "float32"))
    y = layers.Concatenate()([left + right * 2.0, keras.ops.reshape(right, (-1, 4))])
    h, state = layers.GRU(3, return_state=True)(x, initial_state=[layers.Dense(3)(y)])
    inner = keras.Input((3,), name="inner")
    sub = functional(inner, layers.Dense(3, name="d")(inner))
    return functional({"a": x}, {"o": sub(h), "p": [y, sub(sub(state))]})


def one_nested_model() -> keras.Model:
    h = keras.Input((3,))
    sub = functional(h, layers.Dense(3, name="d")(h))
    x = keras.Input((3,))
    return functional(x, sub(x))


def models_of_one_name() -> keras.Model:
    """Four kernels, two of whose paths are the same."""

    def sub(outer: str) -> keras.Model:
        h = keras.Input((4,))
        inner = keras.Model(h, layers.Dense(4, name="fc")(h), name="inner")
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(4, name="fc")(inner(x)), name=outer)

    x = keras.Input((4,))
    return functional(x, sub("one")(x) + sub("two")(x))


def late_and_early_calls() -> keras.Model:
    """A layer that is called near the input and near the output, and branches of other depths."""
    x = keras.Input((8,))
    shared, other = layers.Dense(8, name="s"), layers.Dense(8, name="o")
    y = other(shared(x))
    z = layers.Dense(8)(layers.Dense(8)(layers.Dense(8)(x)))
    return functional(x, [shared(layers.Add()([y, z])), other(z), layers.Dense(2)(x)])


BUILDERS: list[Callable[[], keras.Model]] = [
    slices_and_sharing,
    one_nested_model,
    models_of_one_name,
    late_and_early_calls,
    lambda: keras.applications.InceptionV3(weights=None),
    lambda: keras.applications.NASNetMobile(weights=None),
    lambda: keras.applications.EfficientNetB0(weights=None),
]


@pytest.mark.parametrize("build", BUILDERS)
def test_a_config_reads_as_its_live_model_in_the_same_order(build: Any) -> None:
    model = abstract(build)
    live = told(read_model(model))
    assert told(program_from_config(model.get_config(), model.name)) == live
    saved = json.loads(json.dumps(model.get_config()))
    read = as_lists(told(program_from_config(saved, model.name)))
    assert read == as_lists(live)


def from_config(model: keras.Model) -> Graph:
    program = program_from_config(model.get_config(), model.name)
    return lower(program, LOWERINGS, settle(program.inputs, 2)[0])


def recurrent() -> keras.Model:
    x = keras.Input((6, 3))
    y = layers.Bidirectional(layers.LSTM(4, return_sequences=True), name="bi")(x)
    y = layers.TimeDistributed(layers.Dense(4, trainable=False))(layers.Masking()(y))
    y = layers.RNN([layers.LSTMCell(4), layers.GRUCell(4)], return_sequences=True)(y)
    y = layers.SpectralNormalization(layers.Conv1D(4, 3))(y)
    return functional(x, layers.GRU(3, trainable=False)(y))


def wrapped() -> keras.Model:
    x = keras.Input((7, 6, 3))
    return functional(x, layers.TimeDistributed(abstract(recurrent))(x))


def sequential() -> keras.Model:
    inner = keras.Sequential([layers.Dense(3), layers.BatchNormalization()], name="inner")
    start = [keras.Input((6,), dtype="int32", name="ids"), layers.Embedding(9, 4)]
    return keras.Sequential([*start, layers.LSTM(4, return_sequences=True), inner])


@pytest.mark.parametrize(
    "build", [recurrent, wrapped, sequential, models_of_one_name, late_and_early_calls]
)
def test_a_config_gives_the_graph_of_its_live_model(build: Any) -> None:
    model = abstract(build)
    live, read = graph_of(model, batch=2), from_config(model)
    assert params_of(read) == params_of(live) == model.count_params()
    assert cost_of(read) == cost_of(live)
    assert [(n.name, n.op, n.repeat) for n in read.nodes] == [
        (n.name, n.op, n.repeat) for n in live.nodes
    ]
    trainable = [[w.trainable for w in graph.weights.values()] for graph in (read, live)]
    assert trainable[0] == trainable[1]


def test_a_sequential_config_without_its_input_takes_the_shape_it_was_built_for() -> None:
    dense = {"class_name": "Dense", "module": "keras.layers", "config": {"name": "d", "units": 4}}
    config = {"layers": [dense], "build_input_shape": [None, 3]}
    program = program_from_config(config, "s")
    assert [(x.name, x.shape, x.dtype) for x in program.inputs] == [
        ("s_input", (None, 3), "float32")
    ]


@pytest.mark.parametrize("broken", ["missing", "cycle", "output"])
def test_a_broken_config_is_an_error(broken: str) -> None:
    config = json.loads(json.dumps(abstract(late_and_early_calls).get_config()))
    by_name = {layer["name"]: layer for layer in config["layers"]}
    if broken == "missing":
        config["layers"].remove(by_name["s"])
    elif broken == "output":
        config["output_layers"] = ["nothing", 0, 0]
    else:
        (first, _) = by_name["s"]["inbound_nodes"]
        first["args"][0]["config"]["keras_history"] = ["s", 1, 0]
    with pytest.raises(ValueError, match="cycle" if broken == "cycle" else "missing"):
        program_from_config(config, "m")


def test_classes_are_told_apart_by_where_they_live() -> None:
    def key(module: str | None) -> str:
        return layer_from_config({"class_name": "Add", "module": module, "config": {}}).key

    assert key("keras.layers") == key("keras.src.layers.merging.add") == key(None) == "layer:Add"
    assert key("keras.src.ops.numpy") == "op:Add"
    assert key("my.layers") == key("kerastuff") == "custom:Add"
