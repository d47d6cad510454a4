"""Configurations as Keras 2 wrote them → as Keras 3 writes them.

Keras 2 (``tf.keras``, ``tf_keras``) writes a call as nested lists ``[layer, node, index, kwargs]``,
input sizes as ``batch_input_shape``, and functions of TensorFlow's as layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.program import CONTAINERS, layer_key
from costlens.frontends.tensorflow_ops import operation

_OLD = ("keras", "tf_keras", "tensorflow", "tensorflow_core", "tf.keras", "builtins")
_FUNCTIONS = ("TFOpLambda", "SlicingOpLambda")
_NAMES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Model": "Functional",
    "SyncBatchNormalization": "BatchNormalization",
}
_SETTINGS = {"LeakyReLU": {"alpha": "negative_slope"}}
_RECURRENT = ("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "RNN",
              "SimpleRNN")  # fmt: skip
"""Layers that Keras 2 calls on a list of their input and their initial states."""


def is_keras_2(serialized: Mapping[str, Any]) -> bool:
    """Whether Keras 2 wrote this or a model inside: by its version, or by how calls are written."""
    if str(serialized.get("keras_version", "3")).startswith(("1.", "2.")):
        return True
    config = serialized.get("config", serialized)
    layers = config.get("layers") if isinstance(config, Mapping) else config
    return any(
        any(isinstance(node, list) for node in layer.get("inbound_nodes") or ())
        or "batch_input_shape" in (layer.get("config") or ())
        or ("layers" in (layer.get("config") or ()) and is_keras_2(layer))
        for layer in layers or ()
        if isinstance(layer, Mapping)
    )


def modern(serialized: Any) -> Any:
    """A serialised object of Keras 2, and all objects inside, as Keras 3 would write them."""
    if isinstance(serialized, list):
        return [modern(item) for item in serialized]
    if not isinstance(serialized, Mapping):
        return serialized
    if "class_name" not in serialized:
        return {key: modern(value) for key, value in serialized.items()}
    config, name = serialized.get("config"), str(serialized["class_name"])
    name = _NAMES.get(name, name)
    made = {**serialized, "class_name": name, "module": _module(serialized, name)}
    if isinstance(config, list) and name == "Sequential":  # as the first versions wrote it
        config = {"layers": config}
    if isinstance(config, Mapping):
        config = _model(config) if name in CONTAINERS and "layers" in config else modern(config)
        if name == "Bidirectional":
            config = _both_ways(config)
        settings = _SETTINGS.get(name, {})
        made["config"] = {settings.get(key, key): value for key, value in config.items()}
    return made


def _both_ways(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a Bidirectional layer, whose second layer Keras 2 makes from the first."""
    if config.get("backward_layer") is not None:
        return config
    layer, inner = config["layer"], config["layer"]["config"]
    there = {**inner, "name": f"forward_{inner.get('name')}"}
    back = {
        **inner,
        "name": f"backward_{inner.get('name')}",
        "go_backwards": not inner.get("go_backwards"),
    }
    return {
        **config,
        "layer": {**layer, "config": there},
        "backward_layer": {**layer, "config": back},
    }


def _module(serialized: Mapping[str, Any], name: str) -> str | None:
    """Where Keras 3 has the class; a user's own stays where it is."""
    module = serialized.get("module")
    if module is None and ">" in str(serialized.get("registered_name")):
        return None
    if module is None or str(module).startswith(_OLD):
        return "keras" if name in CONTAINERS else "keras.layers"
    return str(module)


def _model(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config of a Functional or Sequential model."""
    layers = [modern({**layer, "inbound_nodes": []}) for layer in config["layers"]]
    if "input_layers" not in config:
        return {**config, "layers": [*_start(config, layers), *layers]}
    calls = _Calls(config, layers)
    for old, new in zip(config["layers"], layers, strict=True):
        new.setdefault("name", str(new["config"].get("name")))
        calls.convert(old.get("inbound_nodes") or [], new)
    ends = {key: calls.ends(config[key]) for key in ("input_layers", "output_layers")}
    return {**config, **ends, "layers": layers}


def _start(config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The input of a Sequential model that holds none, from its first layer."""
    if not layers or config.get("build_input_shape") or layers[0]["class_name"] == "InputLayer":
        return []
    first = layers[0]["config"]
    inside = first.get("layers") or [{}]
    declared = first if "batch_input_shape" in first else inside[0].get("config", {})
    shape = declared.get("batch_input_shape")
    made = {"name": f"{first.get('name')}_input", "batch_shape": shape}
    return [{"class_name": "InputLayer", "config": made}] if shape else []


class _Calls:
    """Rewrites the calls of one Functional model."""

    def __init__(self, config: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> None:
        self.layers = {
            str(layer.get("name") or layer["config"].get("name")): layer for layer in layers
        }
        self.first = self._first(config)

    def _first(self, config: Mapping[str, Any]) -> Mapping[str, int]:
        """The number of each inner model's first call: 1 where making it was a call already."""
        met: dict[str, set[int]] = {name: set() for name in self.layers}
        nodes = [layer.get("inbound_nodes") for layer in config["layers"]]
        for name, node in _references([*nodes, config["output_layers"]]):
            if name in met:
                met[name].add(node)
        count = dict(zip(self.layers, (len(made or ()) for made in nodes), strict=True))
        first = {}
        for name, called in met.items():
            inner = self.layers[name]["config"].get("layers")
            if inner and called:
                begun = inner[0]["class_name"] == "InputLayer" and min(called) > 0
                first[name] = int(begun or max(called) >= count[name])
        return first

    def convert(self, nodes: Sequence[Any], layer: dict[str, Any]) -> None:
        """A layer's calls; one of TensorFlow's functions becomes an operation of Keras's."""
        shape = (layer.get("build_config") or {}).get("input_shape")
        for node in nodes:
            kwargs: dict[str, Any] = {}
            inputs = self._inputs(node, kwargs, shape)
            kwargs = {key: self._value(x) for key, x in kwargs.items() if x is not None}
            args = [inputs]
            if layer["class_name"] in _RECURRENT and isinstance(inputs, list):
                args = inputs[:1]
                kwargs["initial_state"] = inputs[1:]
            layer["inbound_nodes"].append({"args": args, "kwargs": kwargs})
        if layer["class_name"] in _FUNCTIONS:
            operation(layer)

    def _inputs(self, node: Any, kwargs: dict[str, Any], shape: Any) -> Any:
        """What a layer is called on, in any nesting; the last leaf's ``kwargs`` are the call's."""
        if isinstance(node, Mapping):
            return {key: self._inputs(item, kwargs, None) for key, item in node.items()}
        if node and isinstance(node[0], str):
            kwargs.update(node[3] if len(node) > 3 else {})
            return self._tensor(node, shape)
        shapes = (
            shape if isinstance(shape, list) and len(shape) == len(node) else [None] * len(node)
        )
        made = [self._inputs(x, kwargs, s) for x, s in zip(node, shapes, strict=True)]
        if len(made) == 1:
            return self._inputs(node[0], {}, shape)
        return made

    def _tensor(self, reference: Sequence[Any], shape: Any = None) -> Any:
        name, node, index = reference[:3]
        if name == "_CONSTANT_VALUE":
            return index
        history = [name, int(node) - self.first.get(name, 0), int(index)]
        config: dict[str, Any] = {"keras_history": history}
        maker = self.layers.get(name)
        if maker is not None and isinstance(shape, list) and not _read(maker):
            config |= {"shape": shape, "dtype": _computed(maker)}
        return {"class_name": "__keras_tensor__", "config": config}

    def _value(self, value: Any) -> Any:
        """An argument: tensors, slices and plain values, in any nesting."""
        if isinstance(value, list):
            if len(value) == 3 and isinstance(value[0], str) and value[0] in self.layers:
                return self._tensor(value)
            return [self._value(item) for item in value]
        if not isinstance(value, Mapping):
            return value
        if set(value) == {"start", "stop", "step"}:
            return {"class_name": "__slice__", "config": self._values(value)}
        if value.get("class_name") == "__tuple__":
            return {"class_name": "__tuple__", "config": {"value": self._value(value["items"])}}
        return self._values(value)

    def _values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {key: self._value(item) for key, item in values.items()}

    def ends(self, tree: Any) -> Any:
        """Inputs or outputs; here Keras 3 counts the calls of a Functional model from 1."""
        if isinstance(tree, Mapping):
            return {key: self.ends(item) for key, item in tree.items()}
        if not (tree and isinstance(tree[0], str)):
            return [self.ends(item) for item in tree]
        name, node, index = tree[:3]
        inner = "input_layers" in self.layers[name]["config"] if name in self.layers else False
        return [name, int(node) - self.first.get(name, 0) + inner, int(index)]


def _references(tree: Any) -> Iterator[tuple[str, int]]:
    """Layer and node of everything in a tree that looks like a reference to a tensor."""
    if isinstance(tree, Mapping):
        tree = list(tree.values())
    if not isinstance(tree, list):
        return
    if len(tree) >= 3 and isinstance(tree[0], str) and type(tree[1]) is int:
        yield tree[0], tree[1]
    for item in tree:
        yield from _references(item)


def _read(layer: Mapping[str, Any]) -> bool:
    """Whether what a layer returns is found by reading it."""
    if "layers" in layer["config"]:
        return True
    key = layer_key(layer["module"], layer["class_name"])
    return key in LOWERINGS and layer["class_name"] != "Lambda"


def _computed(layer: Mapping[str, Any]) -> str:
    """The dtype that a layer computes in."""
    dtype = layer["config"].get("dtype") or "float32"
    if isinstance(dtype, Mapping):
        dtype = (dtype.get("config") or {}).get("name") or "float32"
    return str(dtype).removeprefix("mixed_")
