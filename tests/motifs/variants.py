"""Transforms of a graph, and of a model, under which no motif may come or go.

Every transformed graph passes `check`. Costs may change: a folded norm is cheaper, an activation
inside its convolution's layer writes in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache

import keras

from costlens.ir.check import check
from costlens.ir.graph import Graph, Node, Origin
from costlens.ir.types import TensorType
from tests.oracles.traced import build_abstractly

Transform = Callable[[Graph], Graph]

#: What names say about a layer, none of it true.
_LIES = "se_reduce pool shuffle add expand dwconv fire concat lateral bottleneck input".split()


def scrambled(graph: Graph) -> Graph:
    """Every name another one, and a misleading one; equal names stay equal."""

    @cache
    def part(path: tuple[str, ...]) -> str:
        return f"{_LIES[part.cache_info().currsize % len(_LIES)]}{part.cache_info().currsize}"

    @cache
    def path(name: str) -> str:
        parts = tuple(name.split("/"))
        return "/".join(part(parts[: i + 1]) for i in range(len(parts)))

    @cache
    def value(name: str) -> str:
        return f"v{value.cache_info().currsize}"

    @cache
    def kind(name: str) -> str:
        return f"Kind{kind.cache_info().currsize}"

    def origin(old: Origin) -> Origin:
        return Origin(kind(old.kind), path(old.layer), old.call)

    def values(names: Iterable[str]) -> tuple[str, ...]:
        return tuple(value(name) for name in names)

    nodes = tuple(
        replace(
            node,
            name=path(node.name),
            operands=values(node.operands),
            outputs=values(node.outputs),
            scope=tuple(part(node.scope[: i + 1]) for i in range(len(node.scope))),
            origin=origin(node.origin),
        )
        for node in graph.nodes
    )
    weights = {
        value(key): replace(w, id=value(key), path=path(w.path), owner=path(w.owner))
        for key, w in graph.weights.items()
    }
    return check(
        Graph(
            "scrambled",
            values(graph.inputs),
            values(graph.outputs),
            nodes,
            {value(key): type_ for key, type_ in graph.values.items()},
            weights,
            {value(key): type_ for key, type_ in graph.constants.items()},
            (),
            {origin(old): values(given) for old, given in graph.returns.items()},
        )
    )


def norms_folded(graph: Graph) -> Graph:
    """Without the batch normalisations that directly follow a contraction, or its bias."""
    gone: dict[str, str] = {}
    for node in graph.nodes:
        if node.op != "batch_norm":
            continue
        source = node.operands[0]
        made = _before_bias(graph, source)
        if (
            made is not None
            and made.op in ("conv", "conv_transpose", "einsum")
            and graph.values[source] == graph.values[node.outputs[0]]
        ):
            gone[node.outputs[0]] = source
    nodes = [
        replace(node, operands=tuple(gone.get(v, v) for v in node.operands))
        for node in graph.nodes
        if node.outputs[0] not in gone
    ]
    return _rebuilt(graph, nodes, gone)


def _before_bias(graph: Graph, value: str) -> Node | None:
    """The node that makes a value, or whose output plus a weight it is."""
    made = graph.producer.get(value)
    if made is not None and made.op == "binary" and made.operands[-1] in graph.weights:
        made = graph.producer.get(made.operands[0])
    return made


#: Elementwise functions of one operand that layers take as `activation=`.
_ACTIVATIONS = frozenset(
    "relu relu6 silu gelu sigmoid tanh hard_sigmoid hard_silu elu selu softplus leaky_relu".split()
)


def activations_as_arguments(graph: Graph) -> Graph:
    """Every activation layer becomes part of the call whose only reader it is."""
    sizes: dict[Origin, int] = {}
    for node in graph.nodes:
        sizes[node.origin] = sizes.get(node.origin, 0) + 1
    returns = dict(graph.returns)
    moved: dict[str, Node] = {}
    origins: dict[Origin, Origin] = {}
    for node in graph.nodes:
        if node.op != "unary" or node.attrs["fn"] not in _ACTIVATIONS or sizes[node.origin] != 1:
            continue
        source = node.operands[0]
        made = graph.producer.get(source)
        if made is None or made.op == "input" or len(graph.users[source]) != 1:
            continue
        owner = origins.get(made.origin, made.origin)
        if source in graph.outputs or returns.get(owner) != (source,):
            continue
        origins[node.origin] = owner
        returns.pop(node.origin, None)
        returns[owner] = node.outputs
        scope = moved[made.name].scope if made.name in moved else made.scope
        moved[node.name] = replace(node, origin=owner, scope=scope)
    nodes = [moved.get(node.name, node) for node in graph.nodes]
    return _rebuilt(replace(graph, returns=returns), nodes)


def activations_as_layers(graph: Graph) -> Graph:
    """Every activation that ends a call of something else becomes a layer of its own."""
    sizes: dict[Origin, int] = {}
    for node in graph.nodes:
        sizes[node.origin] = sizes.get(node.origin, 0) + 1
    returns = dict(graph.returns)
    nodes = []
    for node in graph.nodes:
        own = node.origin
        ends = returns.get(own) == node.outputs
        if node.op == "unary" and node.attrs["fn"] in _ACTIVATIONS and sizes[own] > 1 and ends:
            origin = Origin("Activation", f"{own.layer}_activation", own.call)
            scope = (*node.scope[:-1], f"{node.scope[-1]}_activation") if node.scope else ()
            returns[own], returns[origin] = node.operands[:1], node.outputs
            node = replace(node, origin=origin, scope=scope)
        nodes.append(node)
    return _rebuilt(replace(graph, returns=returns), nodes)


def convolutions_as_dense(graph: Graph) -> Graph:
    """Every 1×1 of stride 1, ungrouped and channels last, as an einsum by a matrix.

    The matrix is the weight itself, as a Dense layer has it, unless something else reads the
    kernel, or it is no weight: then a reshape of it.
    """
    values, weights = dict(graph.values), dict(graph.weights)
    nodes: list[Node] = []
    for node in graph.nodes:
        if not _is_pointwise(graph, node):
            nodes.append(node)
            continue
        x, kernel = node.operands
        matrix = TensorType(graph.values[kernel].shape[-2:], graph.values[kernel].dtype)
        if kernel in weights and len(graph.users[kernel]) == 1:
            values[kernel] = matrix
            weights[kernel] = replace(weights[kernel], type=matrix)
        else:
            flat = f"{node.name}/matrix"
            values[flat] = matrix
            attrs = {"shape": matrix.shape}
            nodes.append(
                replace(
                    node, name=flat, op="reshape", operands=(kernel,), outputs=(flat,), attrs=attrs
                )
            )
            kernel = flat
        lead = "abcdefg"[: graph.values[x].rank - 1]
        dtype = graph.values[node.outputs[0]].dtype
        attrs = {"equation": f"{lead}Y,YZ->{lead}Z", "dtype": dtype}
        nodes.append(replace(node, op="einsum", operands=(x, kernel), attrs=attrs))
    return _rebuilt(replace(graph, values=values, weights=weights), nodes)


def _is_pointwise(graph: Graph, node: Node) -> bool:
    if node.op != "conv" or not node.attrs["channels_last"] or node.attrs["groups"] != 1:
        return False
    ones = {*graph.values[node.operands[1]].shape[:-2], *node.attrs["strides"]}
    return ones == {1} and set(node.attrs["padding"]) == {(0, 0)}


def _rebuilt(graph: Graph, nodes: Iterable[Node], replaced: Mapping[str, str] = {}) -> Graph:
    """The graph with other nodes, checked; what a dropped node made is `replaced`, and weights
    that nothing reads any more are gone."""
    kept = tuple(nodes)
    read = {value for node in kept for value in node.operands} | set(graph.outputs)
    before = {value for node in graph.nodes for value in node.operands}
    dropped = {key for key in graph.weights if key in before and key not in read}
    made = {value for node in kept for value in node.outputs}
    returns = {
        origin: values
        for origin, given in graph.returns.items()
        if made.issuperset(values := tuple(replaced.get(v, v) for v in given))
    }
    weights = {key: w for key, w in graph.weights.items() if key not in dropped}
    alive = made | set(weights) | set(graph.constants)
    return check(
        replace(
            graph,
            outputs=tuple(replaced.get(v, v) for v in graph.outputs),
            nodes=kept,
            values={key: type_ for key, type_ in graph.values.items() if key in alive},
            weights=weights,
            returns=returns,
        )
    )


#: By the words that complete "unchanged when …".
TRANSFORMS: Mapping[str, Transform] = {
    "every name is scrambled": scrambled,
    "norms are folded away": norms_folded,
    "activations are arguments": activations_as_arguments,
    "activations are layers": activations_as_layers,
    "Dense replaces 1×1 convolutions": convolutions_as_dense,
}


def nested(model: keras.Model) -> keras.Model:
    """The whole model as one layer of another, one level deeper than it was."""

    def build() -> keras.Model:
        inputs = [keras.Input(batch_shape=x.shape, dtype=x.dtype) for x in model.inputs]
        return keras.Model(inputs, model(inputs if len(inputs) > 1 else inputs[0]))

    return build_abstractly(build)


def channels_first(build: Callable[[], keras.Model]) -> keras.Model:
    """What the builder makes where channels come first; the setting is restored."""
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        return build_abstractly(build)
    finally:
        keras.config.set_image_data_format(before)
