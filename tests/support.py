"""What tests share: build a model without weights, read it, sum its costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from costlens.cost.cost import ZERO, Cost
from costlens.cost.registry import price
from costlens.frontends.keras_live import read_graph
from costlens.ir.check import check
from costlens.ir.graph import Graph, Node


def abstract(build: Callable[[], Any]) -> Any:
    """Call ``build`` so that no weight is allocated."""
    import keras
    from keras.src.backend.common import global_state

    with keras.StatelessScope(initialize_variables=False):
        model = build()
    global_state.set_global_attribute("uninitialized_variables", [])
    return model


def functional(inputs: Any, outputs: Any) -> Any:
    """A Functional model."""
    import keras

    return keras.Model(inputs, outputs)


def graph_of(model: Any, **flags: Any) -> Graph:
    """The checked graph of a live model; every layer call has compared itself with Keras."""
    return check(read_graph(model, **flags))


def cost_of(graph: Graph) -> Cost:
    """The sum over all nodes."""
    return sum(price(graph), ZERO)


def params_of(graph: Graph) -> int:
    """Scalars of the distinct weights."""
    return sum(weight.params for weight in graph.weights.values())


def nodes_of(graph: Graph, layer: str) -> list[Node]:
    """The nodes of a layer, by path, in order."""
    return [node for node in graph.nodes if node.origin.layer == layer]
