"""Serialised configs → layers and programs, without importing Keras.

Reads what ``get_config()`` gives for a layer, a Functional model or a Sequential one.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from costlens.frontends.layercall import (
    Constant,
    Layer,
    Opaque,
    Program,
    ProgramInput,
    Ref,
    Step,
    Tree,
    leaves,
)
from costlens.ir.types import TensorType

_CONTAINERS = ("Functional", "Sequential", "Model")


def layer_key(module: str | None, class_name: str) -> str:
    """``layer:Dense``, ``op:Add`` or ``custom:Mine``, from where a class lives."""
    module = module or "keras.layers"
    if module.split(".")[0] != "keras":
        return f"custom:{class_name}"
    return f"{'op' if '.ops' in module else 'layer'}:{class_name}"


def layer_from_config(serialized: Mapping[str, Any], identity: Hashable = None) -> Layer:
    """The layer that a serialised object ``{module, class_name, config, …}`` stands for."""
    config = serialized.get("config") or {}
    class_name = str(serialized["class_name"])
    name = str(config.get("name") or serialized.get("name") or class_name.lower())
    identity = ("config", id(serialized)) if identity is None else identity
    key = layer_key(serialized.get("module"), class_name)
    if class_name in _CONTAINERS and key.startswith("layer:") and "layers" in config:
        return Layer(key, name, config, identity, program=program_from_config(config, name))
    return Layer(key, name, config, identity)


def program_from_config(config: Mapping[str, Any], name: str) -> Program:
    """The program of a Functional config (has ``input_layers``) or a Sequential one."""
    if "input_layers" in config:
        return _functional(config, name)
    return _sequential(config, name)


def _sequential(config: Mapping[str, Any], name: str) -> Program:
    layers = list(config["layers"])
    shape: Sequence[int | None] | None = config.get("build_input_shape")
    dtype = "float32"
    if layers and layers[0]["class_name"] == "InputLayer":
        first = layers.pop(0)["config"]
        shape = first.get("batch_shape") or first.get("batch_input_shape")
        dtype = first.get("dtype") or dtype
    start = ProgramInput(0, f"{name}_input", tuple(shape or ()), str(dtype))
    steps = tuple(
        Step(layer_from_config(layer, (name, i)), (Ref(i),), {}, (i + 1,), ())
        for i, layer in enumerate(layers)
    )
    return Program(name, (start,), steps, Ref(len(steps)))


def _functional(config: Mapping[str, Any], name: str) -> Program:
    numbers = _Numbers()
    inputs: dict[tuple[str, int, int], ProgramInput] = {}
    pending: list[tuple[tuple[str, int], Layer, tuple[Tree, ...], Mapping[str, Tree]]] = []
    for serialized in config["layers"]:
        layer = layer_from_config(serialized, (name, serialized["config"].get("name")))
        own = str(serialized.get("name") or layer.name)
        if layer.kind == "InputLayer":
            shape = layer.config.get("batch_shape") or layer.config.get("batch_input_shape")
            dtype = str(layer.config.get("dtype") or "float32")
            inputs[own, 0, 0] = ProgramInput(numbers[own, 0, 0], own, tuple(shape or ()), dtype)
            continue
        for index, node in enumerate(serialized["inbound_nodes"]):
            args = tuple(_decode(node["args"], numbers))
            pending.append(((own, index), layer, args, _decode(node["kwargs"], numbers)))
    outputs = _history(config["output_layers"], numbers)
    given = [leaf for leaf in leaves(_history(config["input_layers"], numbers))]
    by_value = {start.value: start for start in inputs.values()}
    steps = _in_order(pending, set(by_value), numbers, name)
    return Program(name, tuple(by_value[ref.value] for ref in given), steps, outputs)


class _Numbers(dict[tuple[str, int, int], int]):
    """Numbers the tensors (layer, node, index) of a config as they are met."""

    def __missing__(self, key: tuple[str, int, int]) -> int:
        self[key] = number = len(self)
        return number

    def outputs(self, layer: str, node: int) -> tuple[int, ...]:
        """The numbers of a call's outputs, up to the last one that anything refers to."""
        last = max((i for (l, n, i) in self if (l, n) == (layer, node)), default=0)
        return tuple(self[layer, node, i] for i in range(last + 1))


def _in_order(
    pending: list[tuple[tuple[str, int], Layer, tuple[Tree, ...], Mapping[str, Tree]]],
    ready: set[int],
    numbers: _Numbers,
    name: str,
) -> tuple[Step, ...]:
    """Calls in an order in which every tensor exists before it is read."""
    steps: list[Step] = []
    while pending:
        later = []
        for entry in pending:
            (own, index), layer, args, kwargs = entry
            if {x.value for x in leaves((args, kwargs)) if isinstance(x, Ref)} <= ready:
                made = numbers.outputs(own, index)
                ready.update(made)
                steps.append(Step(layer, args, kwargs, made, ()))
            else:
                later.append(entry)
        if len(later) == len(pending):
            raise ValueError(f"the config of {name} has a cycle or refers to a missing layer")
        pending = later
    return tuple(steps)


def _history(tree: Tree, numbers: _Numbers) -> Tree:
    """``[layer, node, index]`` triples, in any nesting, as references."""
    if isinstance(tree, (list, tuple)) and len(tree) == 3 and isinstance(tree[0], str):
        return Ref(numbers[tree[0], int(tree[1]), int(tree[2])])
    if isinstance(tree, Mapping):
        return {key: _history(item, numbers) for key, item in tree.items()}
    return [_history(item, numbers) for item in tree]


def _decode(value: Any, numbers: _Numbers) -> Tree:
    """A serialised argument: tensors, slices and plain values, in any nesting."""
    if isinstance(value, (list, tuple)):
        return [_decode(item, numbers) for item in value]
    if not isinstance(value, Mapping):
        return value
    config = value.get("config")
    match value.get("class_name"):
        case "__keras_tensor__":
            layer, node, index = config["keras_history"]
            return Ref(numbers[layer, int(node), int(index)])
        case "__slice__":
            return slice(*(_decode(config[k], numbers) for k in ("start", "stop", "step")))
        case "__tuple__":
            return tuple(_decode(item, numbers) for item in config["value"])
        case "__numpy__" | "__tensor__":
            array = np.asarray(config["value"])
            dtype = str(config.get("dtype") or array.dtype)
            return Constant(TensorType(array.shape, dtype), ("literal", id(value)))
        case "__ellipsis__":
            return ...
        case None:
            return {key: _decode(item, numbers) for key, item in value.items()}
        case other:
            return Opaque(str(other))
