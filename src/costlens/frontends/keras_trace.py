"""A model or layer that no config describes → Program, by tracing it with TensorFlow.

The call is traced into a TensorFlow graph while every variable is a placeholder, so that nothing
is allocated and nothing runs. Which layer makes an operation is known from the range of
operations that each call of a layer made (names are made unique and so are ambiguous).
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from costlens.frontends.layercall import Tree, leaves, map_leaves
from costlens.ir.types import TensorType


@dataclass(eq=False, slots=True)
class Frame:
    """One call of a layer while tracing: the operations ``start`` to ``stop`` of ``graph``."""

    layer: Any
    args: Tree
    kwargs: Mapping[str, Tree]
    graph: Any
    start: int
    stop: int = 0
    outputs: Tree = None
    inside: list[Frame] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Trace:
    """A traced call: its graph, the calls inside, and the variables behind placeholders.

    From operation ``forward`` on the graph holds the backward pass, where one was asked for.
    """

    graph: Any
    frames: tuple[Frame, ...]
    inputs: tuple[Any, ...]
    outputs: Tree
    variables: Mapping[int, tuple[Any, Any]]
    forward: int


def trace(
    call: Callable[..., Tree], args: Tree, kwargs: Mapping[str, Tree], backward: bool = False
) -> Trace:
    """Trace a call of a layer; the TensorTypes in its arguments become placeholders.

    With ``backward`` the gradients of its outputs by every trainable variable are outputs too.
    Runs where ``abstract_keras`` is entered. Conditions and loops on tensors are converted by
    AutoGraph where the call does not trace without. Raises what the call raises.
    """
    import tensorflow as tf

    try:
        return _trace(call, args, kwargs, backward, convert=False)
    except Exception as error:
        asks = getattr(tf.errors, "OperatorNotAllowedInGraphError", ())
        if not isinstance(error, asks or ()) and "OperatorNotAllowed" not in type(error).__name__:
            raise
        return _trace(call, args, kwargs, backward, convert=True)


def _trace(
    call: Callable[..., Tree],
    args: Tree,
    kwargs: Mapping[str, Tree],
    backward: bool,
    convert: bool,
) -> Trace:
    import tensorflow as tf

    func_graph = importlib.import_module("tensorflow.python.framework.func_graph")
    graph = func_graph.FuncGraph("costlens")
    placeholders: list[Any] = []

    def placeholder(leaf: Any) -> Any:
        if not isinstance(leaf, TensorType):
            return leaf
        made = tf.compat.v1.placeholder(leaf.dtype, leaf.shape)
        placeholders.append(made)
        return made

    # at the root, a name may not begin with an underscore, as that of a private class does
    with graph.as_default(), graph.name_scope("call"):
        given, named = map_leaves(placeholder, args), map_leaves(placeholder, kwargs)
        with _recorded(convert) as frames, _variables(graph) as variables, _anew(), _quiet():
            outputs = call(*given, **named)
        forward = graph.version
        if backward:
            outputs = (outputs, _gradients(outputs, variables))
    return Trace(graph, tuple(frames), tuple(placeholders), outputs, variables, forward)


def _gradients(outputs: Tree, variables: Mapping[int, tuple[Any, Any]]) -> list[Any]:
    """The gradients of what a call returns by the placeholders of its trainable variables."""
    import tensorflow as tf

    made = [x for x in leaves(outputs) if hasattr(x, "dtype") and x.dtype.is_floating]
    trained = [value for value, variable in variables.values() if variable.trainable]
    found = tf.gradients(made, trained)
    return [getattr(x, "values", x) for x in found if x is not None]


@contextmanager
def _anew() -> Iterator[None]:
    """Inside, a ``tf.function`` is traced anew: what it has cached reads other variables, and
    what it would cache reads placeholders."""
    import tensorflow as tf

    kind = type(tf.function(lambda: None))
    original, thread = kind.__call__, threading.get_ident()

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        anew = self
        if type(self) is kind and threading.get_ident() == thread:
            anew = tf.function(self.python_function, autograph=self._autograph)
        return original(anew, *args, **kwargs)

    kind.__call__ = call
    try:
        yield
    finally:
        kind.__call__ = original


@contextmanager
def _quiet() -> Iterator[None]:
    """Keras's and the user's warnings about how a model is built are not this reader's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _variables(graph: Any) -> Iterator[Mapping[int, tuple[Any, Any]]]:
    """Inside, the value of every Keras variable is a placeholder, made where it is first read."""
    import keras
    import tensorflow as tf

    made: dict[int, Any] = {}
    behind: dict[int, tuple[Any, Any]] = {}

    class Scope(keras.StatelessScope):  # type: ignore[misc]
        """Answers with what the call assigned, else with the variable's placeholder."""

        def get_current_value(self, variable: Any) -> Any:
            assigned = super().get_current_value(variable)
            if assigned is not None:
                return assigned
            if id(variable) not in made:
                with graph.as_default():
                    value = tf.compat.v1.placeholder(variable.dtype, variable.shape)
                made[id(variable)] = value
                behind[id(value)] = (value, variable)
            return made[id(variable)]

    with Scope(initialize_variables=False):
        yield behind


@contextmanager
def _recorded(convert: bool) -> Iterator[list[Frame]]:
    """Record every call of a layer or operation on tensors, each inside the one that makes it."""
    import keras
    import tensorflow as tf

    operation = importlib.import_module("keras.src.ops.operation").Operation
    thread = threading.get_ident()
    roots: list[Frame] = []
    open_frames: list[Frame] = []

    def recording(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(self, *args, **kwargs)
            inner = open_frames and open_frames[-1].layer is self  # Layer calls Operation's
            if inner or any(isinstance(x, keras.KerasTensor) for x in leaves((args, kwargs))):
                return original(self, *args, **kwargs)
            graph = tf.compat.v1.get_default_graph()
            frame = Frame(self, args, kwargs, graph, graph.version, -1)
            (open_frames[-1].inside if open_frames else roots).append(frame)
            open_frames.append(frame)
            waiting = _build_by_calling(self)
            try:
                with _converted(self, convert):
                    frame.outputs = original(self, *args, **kwargs)
            finally:
                open_frames.pop()
                frame.stop = graph.version
            if waiting:
                _built(self, (*args, *kwargs.values()))
            return frame.outputs

        return call

    layer = keras.layers.Layer
    originals = layer.__call__, operation.__call__
    layer.__call__, operation.__call__ = map(recording, originals)
    try:
        yield roots
    finally:
        layer.__call__, operation.__call__ = originals


def _built(layer: Any, given: Tree) -> None:
    """What Keras remembers of a build, by which a model is built anew when it is loaded."""
    shapes = (map_leaves(lambda x: tuple(x.shape), x) for x in given if _tensors(x))
    layer.build(next(shapes, None))


def _tensors(tree: Tree) -> bool:
    found = list(leaves(tree))
    return bool(found) and all(hasattr(x, "shape") for x in found)


def _build_by_calling(layer: Any) -> bool:
    """Spare a layer without a ``build`` Keras's trial call, which only builds what is inside.

    The call that is being traced does the same, and each level of nesting would trace all
    levels below once more. Whether it was spared.
    """
    waiting = not getattr(layer, "built", True)
    if not waiting or not _is_own(layer) or not getattr(layer.build, "_is_default", False):
        return False
    layer.built = True
    return True


def _is_own(layer: Any) -> bool:
    """Whether a layer's class is the user's."""
    return type(layer).__module__.split(".")[0] != "keras"


@contextmanager
def _converted(layer: Any, convert: bool) -> Iterator[None]:
    """The layer's own call with its conditions and loops on tensors made TensorFlow's."""
    if not convert or not _is_own(layer) or "call" in vars(layer):
        yield
        return
    import tensorflow as tf

    converted = tf.autograph.to_graph(type(layer).call)
    vars(layer)["call"] = lambda *args, **kwargs: converted(layer, *args, **kwargs)
    try:
        yield
    finally:
        del vars(layer)["call"]
