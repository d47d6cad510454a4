"""A raw ``tf.*`` call on a symbolic tensor, which Keras 3 refuses, becomes a layer."""

from __future__ import annotations

import functools
import importlib
import os
import sys
import types
from collections.abc import Callable
from typing import Any

from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches

WORDS = (b"tensorflow", b"backend")
"""What occurs in a script that calls TensorFlow itself."""
_MODULES = (
    "", "math", "nn", "image", "linalg", "signal", "strings", "sparse", "bitwise", "random",
    "sets", "quantization", "audio", "compat.v1", "compat.v1.nn", "compat.v1.math",
    "compat.v1.image",
)  # fmt: skip
_LEFT = frozenset(
    "function Module Variable name_scope constant_initializer init_scope control_dependencies "
    "executing_eagerly device map_fn_v2 is_tensor is_symbolic_tensor py_function numpy_function "
    "custom_gradient recompute_grad no_gradient print assert_equal".split()
)
"""Functions that make no tensor of their arguments."""


def wrapped_ops(keras: Any, log: Log, patches: Patches) -> None:
    """Let TensorFlow's functions take KerasTensors, each call a layer named for the function."""
    if keras.backend.backend() != "tensorflow":
        return
    tf = importlib.import_module("tensorflow")
    layer = _layer_class(keras)
    done: dict[int, Any] = {}
    for name in _MODULES:
        module = _module(tf, name)
        for attribute, value in list(vars(module).items()) if module else ():
            if attribute.startswith("_") or attribute in _LEFT or not _is_function(value):
                continue
            public = ".".join(part for part in ("tf", name, attribute) if part)
            if id(value) not in done:
                done[id(value)] = _wrap(keras, log, layer, value, public)
            patches.set(module, attribute, done[id(value)])
    legacy = [m for n, m in list(sys.modules.items()) if n in _BACKENDS]
    for module in legacy:
        for attribute, value in list(vars(module).items()):
            if attribute in _NO_TENSOR or not isinstance(value, types.FunctionType):
                continue
            if value.__module__.endswith("legacy.backend"):
                patches.set(module, attribute, _wrap(keras, log, layer, value, f"K.{attribute}"))
    _shapes(keras, tf, patches)


_NO_TENSOR = frozenset(
    "int_shape ndim dtype eval is_sparse variable placeholder get_value set_value batch_get_value "
    "batch_set_value function count_params get_variable_shape is_keras_tensor".split()
)
_BACKENDS = ("keras._tf_keras.keras.backend", "tensorflow.keras.backend", "keras.backend")


_INTERNAL = (f"{os.sep}keras{os.sep}src{os.sep}", f"{os.sep}tensorflow{os.sep}python{os.sep}")
"""Where a call from is none of the script's."""


def _module(tf: Any, name: str) -> Any:
    module = tf
    for part in filter(None, name.split(".")):
        module = getattr(module, part, None)
        if module is None:
            return None
    # a lazily loaded module has its functions only once it is loaded
    dir(module)
    return module


def _is_function(value: Any) -> bool:
    if isinstance(value, types.FunctionType):
        return True
    return callable(value) and not isinstance(value, type) and hasattr(value, "__wrapped__")


def _wrap(
    keras: Any, log: Log, layer: type, function: Callable[..., Any], public: str
) -> Callable[..., Any]:
    symbol = keras.KerasTensor

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not _has(symbol, args) and not _has(symbol, tuple(kwargs.values())):
            return function(*args, **kwargs)
        if any(inside in sys._getframe(1).f_code.co_filename for inside in _INTERNAL):
            return function(*args, **kwargs)
        return as_layer(keras, log, layer, function, public, args, kwargs)

    return call


def _has(symbol: type, tree: Any, depth: int = 0) -> bool:
    if isinstance(tree, symbol):
        return True
    if depth > 4 or not isinstance(tree, (tuple, list, dict)):
        return False
    items = tree.values() if isinstance(tree, dict) else tree
    return any(_has(symbol, item, depth + 1) for item in items)


def as_layer(
    keras: Any,
    log: Log,
    layer: Any,
    function: Callable[..., Any],
    public: str,
    args: Any,
    kwargs: Any,
) -> Any:
    """The call as a layer of the functional model that the tensors belong to."""
    if public in ("tf.shape", "tf.compat.v1.shape", "K.shape") and len(args) == 1:
        known = args[0].shape
        if all(n is not None for n in known):
            return list(known)
    tensors: list[Any] = []
    template = _cut(keras.KerasTensor, (args, kwargs), tensors)
    log.say(f"{public} on a symbolic tensor is taken as a layer", _WHY)
    name = importlib.import_module("keras.src.utils.naming").uniquify(public)
    made = layer(function, template, name=name)(tensors)
    if public in ("tf.shape", "tf.compat.v1.shape", "K.shape") and len(args) == 1:
        return _ShapeVector(made, args[0].shape)
    return made


_WHY = "Keras 3 takes keras.ops functions there."


class _ShapeVector(list[Any]):
    """The shape of a symbolic tensor: numbers where they are known, else symbols."""

    def __init__(self, vector: Any, known: Any) -> None:
        super().__init__(vector[i] if n is None else n for i, n in enumerate(known))


class _Slot:
    """Where a tensor goes in a call."""

    def __init__(self, index: int) -> None:
        self.index = index


def _cut(symbol: type, tree: Any, tensors: list[Any]) -> Any:
    """The tree with a slot for each symbolic tensor, which are collected."""
    if isinstance(tree, symbol):
        tensors.append(tree)
        return _Slot(len(tensors) - 1)
    if isinstance(tree, dict):
        return {key: _cut(symbol, item, tensors) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [_cut(symbol, item, tensors) for item in tree]
        return tuple(items) if isinstance(tree, tuple) else items
    return tree


def _filled(tree: Any, tensors: Any) -> Any:
    if isinstance(tree, _Slot):
        return tensors[tree.index]
    if isinstance(tree, dict):
        return {key: _filled(item, tensors) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        return type(tree)([_filled(item, tensors) for item in tree])
    return tree


def _layer_class(keras: Any) -> type:
    def init(self: Any, function: Any, template: Any, name: str) -> None:
        keras.layers.Layer.__init__(self, name=name)
        self._function, self._template = function, template

    def call(self: Any, tensors: Any) -> Any:
        args, kwargs = _filled(self._template, tensors)
        return self._function(*args, **kwargs)

    return type("TFOp", (keras.layers.Layer,), {"__init__": init, "call": call})


class _Shape(tuple[Any, ...]):
    """The shape of a symbolic tensor, with what TensorFlow's own shapes offer."""

    __slots__ = ()

    def as_list(self) -> list[Any]:
        """The sizes as a list."""
        return list(self)

    @property
    def rank(self) -> int:
        """How many axes there are."""
        return len(self)

    ndims = rank


def _shapes(keras: Any, tf: Any, patches: Patches) -> None:
    symbol = keras.KerasTensor
    shape = symbol.__dict__.get("shape")
    if isinstance(shape, property):
        get: Any = shape.fget
        patches.set(symbol, "shape", property(lambda self: _Shape(get(self)), shape.fset))
    patches.set(symbol, "get_shape", lambda self: tf.TensorShape(tuple(self.shape)))
    patches.set(symbol, "set_shape", lambda self, shape: None)
    patches.set(symbol, "__hash__", symbol.__hash__)
