"""Serialised configs → layers and programs, without importing Keras.

Reads what ``get_config()`` gives for a layer, a Functional model or a Sequential one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from costlens.frontends.held import Held, Places
from costlens.frontends.layercall import (
    Constant,
    Layer,
    Opaque,
    PartialShape,
    Program,
    ProgramInput,
    Ref,
    Step,
    Tree,
    leaves,
    map_leaves,
)
from costlens.ir.types import TensorType

CONTAINERS = ("Functional", "Sequential", "Model")
_OPERATIONS = tuple(
    f"keras.{part}" for part in ("ops", "src.ops", "src.activations", "src.quantizers")
)
"""Where operations live; ``keras.activations`` has some of its own beside those of ``ops``."""


_OWN_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}
"""Public names of classes whose own name, which paths are made of, is another."""

_STORES_MORE = ("IntegerLookup", "SpectralNormalization", "StringLookup", "TextVectorization")
"""Layers of which an archive holds tables that are no weights, or a weight twice."""

_MAX_OUTPUTS = 10_000

Told = tuple[PartialShape, str]
"""Shape and dtype of a tensor, as Keras declares them."""

_LAMBDA = "it holds a function, which is never run"


def layer_key(module: str | None, class_name: str) -> str:
    """``layer:Dense``, ``op:Add`` or ``custom:Mine``, from where a class lives."""
    module, class_name = module or "keras.layers", _OWN_NAMES.get(class_name, class_name)
    if module.split(".")[0] != "keras":
        return f"custom:{class_name}"
    return f"{'op' if module.startswith(_OPERATIONS) else 'layer'}:{class_name}"


def layer_from_config(
    serialized: Mapping[str, Any], identity: Hashable = None, held: Held | None = None
) -> Layer:
    """The layer that a serialised object ``{module, class_name, config, …}`` stands for.

    ``held`` is what an archive stores for it. A class that is not Keras's own is unreadable.
    """
    config = serialized.get("config") or {}
    class_name = str(serialized["class_name"])
    name = str(config.get("name") or serialized.get("name") or class_name.lower())
    identity = ("config", id(serialized)) if identity is None else identity
    key = _key_of(serialized, class_name)
    if class_name in CONTAINERS and key.startswith("layer:") and "layers" in config:
        program = program_from_config(config, name, identity, held)
        return Layer(key, name, config, identity, program=program)
    unreadable = f"{class_name} is a custom layer" if key.startswith("custom:") else ""
    stored = held.stored(identity) if held and not _stored_otherwise(class_name, config) else None
    return Layer(key, name, config, identity, stored, unreadable=unreadable)


def _key_of(serialized: Mapping[str, Any], class_name: str) -> str:
    """A class that is registered under a name is the user's, wherever it says that it lives.

    An HDF5 file does not say where classes live: an operation is what is called and, unlike any
    layer, cannot be trained.
    """
    module, registered = serialized.get("module"), serialized.get("registered_name")
    if module is None and isinstance(registered, str) and ">" in registered:
        return f"custom:{class_name}"
    if module is None and serialized.get("inbound_nodes"):
        trained = "trainable" in serialized["config"] or class_name in CONTAINERS
        module = "keras.layers" if trained else "keras.ops"
    return layer_key(module, class_name)


def _stored_otherwise(class_name: str, config: Mapping[str, Any]) -> bool:
    """Whether Keras saves the layer's variables in another form than it holds them in."""
    dtype = str(config.get("dtype"))
    quantised = "Quantized" in dtype or "_from_" in dtype
    return quantised or bool(config.get("lora_rank")) or class_name in _STORES_MORE


def program_from_config(
    config: Mapping[str, Any], name: str, identity: Hashable = None, held: Held | None = None
) -> Program:
    """The program of a Functional config (has ``input_layers``) or a Sequential one.

    ``identity`` tells the layers of two models apart whose names are the same; ``held`` is what
    an archive stores for the model.
    """
    identity = name if identity is None else identity
    places = None if held is None else held.places()
    if "input_layers" in config:
        return _functional(config, name, identity, places)
    return _sequential(config, name, identity, places)


def _placed(serialized: Mapping[str, Any], identity: Hashable, places: Places | None) -> Layer:
    """A layer of a model, with what the archive stores at its place."""
    key = _key_of(serialized, str(serialized["class_name"]))
    if places is None or key.startswith("op:"):
        return layer_from_config(serialized, identity)
    name = str(serialized.get("name") or serialized["config"].get("name"))
    return layer_from_config(serialized, identity, places.next(key.partition(":")[2], name))


def _sequential(
    config: Mapping[str, Any], name: str, identity: Hashable, places: Places | None
) -> Program:
    layers = list(config["layers"])
    shape: Sequence[int | None] | None = config.get("build_input_shape")
    start = ProgramInput(0, f"{name}_input", tuple(shape or ()), "float32")
    if layers and layers[0]["class_name"] == "InputLayer":
        start = _input(layers.pop(0)["config"], 0, start.name)
    steps = []
    for i, (serialized, behind) in enumerate(zip(layers, [*layers[1:], {}], strict=False)):
        layer = _placed(serialized, (identity, i), places)
        told = _told_behind(layer, behind)
        if told:
            why = "; what it returns is taken from the layer behind it"
            layer = replace(layer, unreadable=(layer.unreadable or _LAMBDA) + why)
        steps.append(Step(layer, (Ref(i),), {}, (i + 1,), told))
    return Program(name, (start,), tuple(steps), Ref(len(steps)))


def _told_behind(layer: Layer, behind: Mapping[str, Any]) -> tuple[Told, ...]:
    """What a layer that cannot be read returns: what the next one in a Sequential was built for.

    Its dtype is that which the layer computes in.
    """
    shape = (behind.get("build_config") or {}).get("input_shape")
    if not isinstance(shape, list) or not (layer.unreadable or layer.key == "layer:Lambda"):
        return ()
    dtype = layer.config.get("dtype") or "float32"
    if isinstance(dtype, Mapping):
        dtype = (dtype.get("config") or {}).get("name") or "float32"
    return ((tuple(shape), str(dtype).removeprefix("mixed_")),)


def _input(config: Mapping[str, Any], value: int, name: str) -> ProgramInput:
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    dtype = str(config.get("dtype") or "float32")
    return ProgramInput(value, str(config.get("name") or name), tuple(shape or ()), dtype)


@dataclass(frozen=True, slots=True)
class _Call:
    """One inbound node: which layer, which of its calls, on what."""

    key: tuple[str, int]
    layer: Layer
    args: tuple[Tree, ...]
    kwargs: Mapping[str, Tree]

    @property
    def reads(self) -> list[int]:
        """The tensors that the call reads, in Keras's order."""
        return [x.value for x in leaves((self.args, self.kwargs)) if isinstance(x, Ref)]


def _functional(
    config: Mapping[str, Any], name: str, identity: Hashable, places: Places | None
) -> Program:
    numbers = _Numbers()
    inputs: dict[int, ProgramInput] = {}
    calls: list[_Call] = []
    for serialized in config["layers"]:
        own = str(serialized.get("name") or serialized["config"]["name"])
        layer = _placed(serialized, (identity, own), places)
        if layer.kind == "InputLayer":
            value = numbers[own, 0, 0]
            inputs[value] = _input(layer.config, value, own)
            continue
        for index, node in enumerate(serialized["inbound_nodes"]):
            args = tuple(_decode(node["args"], numbers))
            calls.append(_Call((own, index), layer, args, _decode(node["kwargs"], numbers)))
    functional = _counted_from_one(config, calls)
    outputs = _history(config["output_layers"], numbers, functional)
    given = list(leaves(_history(config["input_layers"], numbers, functional)))
    order = _run_order(calls, [x.value for x in leaves(outputs)], numbers, set(inputs), name)
    steps = tuple(_step(call, numbers) for call in order)
    return Program(name, tuple(inputs[ref.value] for ref in given), steps, outputs)


def _step(call: _Call, numbers: _Numbers) -> Step:
    made = numbers.outputs(*call.key)
    told = numbers.told_of(made)
    args, kwargs = call.args, call.kwargs
    if told and told[0][1] == "float64" and call.layer.key.startswith("op:"):
        read = {numbers.told[value][1] for value in call.reads if value in numbers.told}
        if "float64" not in read:
            args, kwargs = map_leaves(_numpys, args), map_leaves(_numpys, kwargs)
    return Step(call.layer, args, kwargs, made, told)


def _numpys(leaf: Any) -> Any:
    """A number of numpy's, which a config writes as Python's own and which makes doubles."""
    return np.float64(leaf) if isinstance(leaf, float) else leaf


def _counted_from_one(config: Mapping[str, Any], calls: Sequence[_Call]) -> set[str]:
    """Nested Functional models, the user's own subclasses included, which outputs tell of."""
    made = Counter(call.key[0] for call in calls)
    custom = {call.key[0] for call in calls if call.layer.key.startswith("custom:")}
    beyond = {layer for layer, node in _histories(config["output_layers"]) if node >= made[layer]}
    return (custom & beyond) | {c.key[0] for c in calls if "input_layers" in c.layer.config}


def _histories(tree: Tree) -> Iterator[tuple[str, int]]:
    """Layer and node of every ``[layer, node, index]`` in a tree."""
    if isinstance(tree, (list, tuple)) and len(tree) == 3 and isinstance(tree[0], str):
        yield tree[0], int(tree[1])
    else:
        for item in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _histories(item)


class _Numbers(dict[tuple[str, int, int], int]):
    """Numbers the tensors (layer, node, index) of a config as they are met."""

    def __init__(self) -> None:
        super().__init__()
        self.widths: dict[tuple[str, int], int] = {}
        self.told: dict[int, Told] = {}

    def __missing__(self, key: tuple[str, int, int]) -> int:
        if not 0 <= key[2] < _MAX_OUTPUTS:
            raise ValueError(f"a call of {key[0]} has no output {key[2]}")
        self[key] = number = len(self)
        self.widths[key[:2]] = max(key[2] + 1, self.widths.get(key[:2], 1))
        return number

    def outputs(self, layer: str, node: int) -> tuple[int, ...]:
        """The numbers of a call's outputs, up to the last one that anything refers to."""
        return tuple(self[layer, node, i] for i in range(self.widths.get((layer, node), 1)))

    def told_of(self, values: Sequence[int]) -> tuple[Told, ...]:
        """What those that read these tensors say of them, up to the first that nothing reads."""
        known = takewhile(lambda told: told is not None, map(self.told.get, values))
        return tuple(told for told in known if told is not None)


def _run_order(
    calls: Sequence[_Call],
    outputs: Sequence[int],
    numbers: _Numbers,
    inputs: set[int],
    name: str,
) -> list[_Call]:
    """Calls in the order in which Keras runs them: by falling distance from the outputs.

    A layer's earlier call is at least as far as its later ones; calls of one distance keep the
    order in which walking back from the outputs meets them.
    """
    by_key = {call.key: call for call in calls}
    owner = {value: by_key[key[:2]] for key, value in numbers.items() if key[:2] in by_key}
    read = {value for call in calls for value in call.reads} | set(outputs)
    if read - set(owner) - inputs:
        raise ValueError(f"the config of {name} refers to a missing layer")
    walked = _walk([owner[v] for v in outputs if v in owner], owner, name)
    depth: dict[tuple[str, int], int] = {}
    layer_depth: dict[str, int] = {}
    for call in reversed(walked):
        own = max(depth.setdefault(call.key, 0), layer_depth.get(call.key[0], 0))
        layer_depth[call.key[0]] = depth[call.key] = own
        for value in call.reads:
            if value in owner:
                before = owner[value].key
                depth[before] = max(own + 1, depth.get(before, 0))
    return [by_key[key] for key in sorted(depth, key=lambda key: -depth[key])]


def _walk(ends: Sequence[_Call], owner: Mapping[int, _Call], name: str) -> list[_Call]:
    """Calls that lead to ``ends``, each behind what it reads, depth first."""
    done: dict[tuple[str, int], _Call] = {}
    opened: set[tuple[str, int]] = set()
    todo = [(call, False) for call in reversed(ends)]
    while todo:
        call, expanded = todo.pop()
        if call.key in done:
            continue
        if expanded:
            done[call.key] = call
            continue
        if call.key in opened:
            raise ValueError(f"the config of {name} has a cycle")
        opened.add(call.key)
        todo.append((call, True))
        before = [owner[value] for value in call.reads if value in owner]
        todo.extend((b, False) for b in reversed(before) if b.key not in done)
    return list(done.values())


def _history(tree: Tree, numbers: _Numbers, functional: set[str]) -> Tree:
    """``[layer, node, index]`` triples, in any nesting, as references.

    Here, and only here, Keras counts the calls of a nested Functional model from 1.
    """
    if isinstance(tree, (list, tuple)) and len(tree) == 3 and isinstance(tree[0], str):
        layer, node, index = tree[0], int(tree[1]), int(tree[2])
        return Ref(numbers[layer, node - (layer in functional), index])
    if isinstance(tree, Mapping):
        return {key: _history(item, numbers, functional) for key, item in tree.items()}
    items = [_history(item, numbers, functional) for item in tree]
    return tuple(items) if isinstance(tree, tuple) else items


def _decode(value: Any, numbers: _Numbers) -> Tree:
    """A serialised argument: tensors, slices and plain values, in any nesting."""
    if isinstance(value, tuple):
        return tuple(_decode(item, numbers) for item in value)
    if isinstance(value, list):
        return [_decode(item, numbers) for item in value]
    if not isinstance(value, Mapping):
        return value
    config: Any = value.get("config")
    match value.get("class_name"):
        case "__keras_tensor__":
            layer, node, index = config["keras_history"]
            number = numbers[layer, int(node), int(index)]
            if "shape" in config:
                numbers.told[number] = tuple(config["shape"]), str(config["dtype"])
            return Ref(number)
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
