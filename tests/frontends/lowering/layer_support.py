"""Reading one layer at a time: what the tests of the layer families share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from costlens.ir.graph import Graph, Node
from tests.support import abstract, functional, graph_of, params_of

BATCH = 3
"""Never 1, so that a forgotten batch axis shows."""


def read(
    call: Callable[..., Any],
    *shapes: Sequence[int],
    dtype: str = "float32",
    dims: dict[str, int] | None = None,
) -> Graph:
    """The graph of ``call`` on inputs of these shapes; its weights are compared with Keras's."""

    def build() -> Any:
        inputs = [keras.Input(tuple(shape), dtype=dtype) for shape in shapes]
        return functional(inputs, call(*inputs))

    model = abstract(build)
    graph = graph_of(model, batch=BATCH, dims=dims)
    trainable = [weight.params for weight in graph.weights.values() if weight.trainable]
    assert params_of(graph) == model.count_params()
    assert sum(trainable) == sum(math.prod(v.shape) for v in model.trainable_weights)
    return graph


def read_layer(
    make: Callable[[], Any],
    *shapes: Sequence[int],
    dtype: str = "float32",
    dims: dict[str, int] | None = None,
) -> Graph:
    """The graph of one layer, called on an input, or on a list where there are several."""
    return read(
        lambda *xs: make()(xs[0] if len(xs) == 1 else list(xs)), *shapes, dtype=dtype, dims=dims
    )


def work(graph: Graph) -> list[Node]:
    """The nodes that are no inputs."""
    return [node for node in graph.nodes if node.op != "input"]


def ops(graph: Graph) -> list[str]:
    """The function, or the op where there is none, of each node."""
    return [str(node.attrs.get("fn") or node.op) for node in work(graph)]


def out(graph: Graph) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of the one output."""
    type_ = graph.values[graph.outputs[0]]
    return type_.shape, type_.dtype
