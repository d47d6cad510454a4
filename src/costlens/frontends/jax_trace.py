"""A call of a Keras model or layer on the JAX backend → a jaxpr that says which layer made what.

Nothing is allocated and nothing runs: inputs are shapes, and a variable is an equation of its
own wherever it is read. Layers leave three traces in the jaxpr: the scope of an equation's name
tells the calls that it was made in, whatever calls, loops and transformations it passes through
later; ``enter`` and ``leave`` are identities on what a call is given and gives back.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from costlens.frontends.layercall import Tree, leaves, map_leaves
from costlens.ir.types import TensorType

_SCOPE = "costlens"
_NUMBERS = count()


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor in the arguments of a call, by its number there."""

    index: int


@dataclass(eq=False, slots=True, weakref_slot=True)
class Frame:
    """One call of a layer: its arguments with Slots for tensors, and the types it gives back.

    ``whole``: it is wanted as one piece, all of its arguments with it.
    """

    number: int
    layer: Any
    args: Tree = ()
    kwargs: Tree = None
    types: tuple[tuple[tuple[int, ...], str], ...] = ()
    whole: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """A Keras variable, in the equation that reads it."""

    variable: Any


@dataclass(frozen=True, eq=False, slots=True)
class Trace:
    """A traced call: a closed jaxpr, its outputs with Slots for tensors, the calls inside.

    ``backward``: the jaxpr gives the gradients too, behind the outputs.
    """

    closed: Any
    outputs: Tree
    frames: tuple[Frame, ...]
    backward: bool


@dataclass(frozen=True, slots=True)
class Markers:
    """The primitives that a trace writes beside those of JAX."""

    enter: Any
    leave: Any
    variable: Any


_FRAMES: WeakValueDictionary[int, Frame] = WeakValueDictionary()


def frames_in(name_stack: Any) -> list[Frame]:
    """The calls that an equation was made in, outermost first."""
    numbers = re.findall(rf"{_SCOPE}(\d+)", str(name_stack))
    return [frame for frame in (_FRAMES.get(int(n)) for n in numbers) if frame is not None]


def trace(call: Any, args: Tree, kwargs: Mapping[str, Tree], backward: bool = False) -> Trace:
    """Trace a call of a layer; the TensorTypes in its arguments are its inputs.

    With ``backward`` the gradients of its outputs by every trainable variable are outputs too.
    Runs where ``abstract_keras`` is entered. Raises what the call raises.
    """
    if backward and not call.trainable_variables:  # before its first call it has none
        trace(call, args, kwargs)
    import jax

    types: list[TensorType] = []

    def slot(leaf: Any) -> Any:
        if not isinstance(leaf, TensorType):
            return leaf
        types.append(leaf)
        return Slot(len(types) - 1)

    asked = map_leaves(slot, args), map_leaves(slot, kwargs)
    outputs: list[Tree] = []

    def run(*xs: Any) -> list[Any]:
        now, named = map_leaves(lambda x: xs[x.index] if isinstance(x, Slot) else x, asked)
        tree, tensors = _slotted(call(*now, **named))
        outputs.append(tree)
        return tensors

    def both(*xs: Any) -> list[Any]:
        trained = call.trainable_variables
        values = [_bound(variable) for variable in trained]

        def forward(values: list[Any]) -> tuple[list[Any], list[Any]]:
            given.update((id(v), value) for v, value in zip(trained, values, strict=True))
            tensors = run(*xs)
            given.clear()
            floats = [x for x in tensors if jax.numpy.issubdtype(x.dtype, jax.numpy.floating)]
            return floats, tensors

        made, pull, tensors = jax.vjp(forward, values, has_aux=True)
        return [*tensors, *pull([jax.numpy.ones(x.shape, x.dtype) for x in made])[0]]

    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        frames = stack.enter_context(_recorded())
        given = stack.enter_context(_read_variables())
        closed = jax.make_jaxpr(both if backward else run)(
            *[jax.ShapeDtypeStruct(t.shape, t.dtype) for t in types]
        )
    return Trace(closed, outputs[-1], tuple(frames), backward)


def _slotted(tree: Tree) -> tuple[Tree, list[Any]]:
    """A tree with Slots in place of its traced tensors, and these."""
    import jax

    tensors: list[Any] = []

    def slot(leaf: Any) -> Any:
        if not isinstance(leaf, jax.core.Tracer):
            return leaf
        tensors.append(leaf)
        return Slot(len(tensors) - 1)

    return map_leaves(slot, tree), tensors


@cache
def markers() -> Markers:
    """The primitives, with what JAX asks of one that it traces, batches and differentiates."""
    import jax
    from jax.interpreters import ad, batching, partial_eval

    primitive = getattr(importlib.import_module("jax.extend.core"), "Primitive", None)
    primitive = primitive or jax.core.Primitive
    enter, leave, variable = (primitive(f"{_SCOPE}_{n}") for n in ("enter", "leave", "variable"))
    enter.multiple_results = True
    enter.def_abstract_eval(lambda *xs, **_: list(xs))
    leave.def_abstract_eval(lambda x, **_: x)
    variable.def_abstract_eval(lambda *, shape, dtype, **_: jax.core.ShapedArray(shape, dtype))

    def batched(bind: Any) -> Callable[..., Any]:
        def rule(xs: Any, axes: Any, *, batched: bool, **params: Any) -> Any:
            return bind(*xs, batched=True, **params), axes if bind == enter.bind else axes[0]

        return rule

    def pruned(used: Sequence[bool], eqn: Any) -> tuple[list[bool], Any]:
        if eqn.params["frame"].whole and any(used):
            return [True] * len(used), eqn
        keep = [i for i, yes in enumerate(used) if yes]
        ins, outs = ([xs[i] for i in keep] for xs in (eqn.invars, eqn.outvars))
        return list(used), eqn.replace(invars=ins, outvars=outs) if keep else None

    partial_eval.dce_rules[enter] = pruned
    batching.primitive_batchers[enter] = batched(enter.bind)
    batching.primitive_batchers[leave] = batched(leave.bind)
    ad.primitive_jvps[enter] = lambda xs, dots, **params: (enter.bind(*xs, **params), list(dots))
    ad.primitive_jvps[leave] = lambda xs, dots, **params: (leave.bind(*xs, **params), dots[0])
    return Markers(enter, leave, variable)


@contextmanager
def _read_variables() -> Iterator[dict[int, Any]]:
    """Inside, reading a Keras variable that the call did not assign is an equation of its own.

    Not one for all: a variable read in the body of a loop belongs to that body's jaxpr. One that
    is put into the dict, by its id, has that value instead.
    """
    import keras

    scope = keras.StatelessScope
    original = scope.get_current_value
    given: dict[int, Any] = {}

    def current(self: Any, variable: Any) -> Any:
        value = original(self, variable)
        value = given.get(id(variable)) if value is None else value
        return _bound(variable) if value is None else value

    scope.get_current_value = current
    try:
        yield given
    finally:
        scope.get_current_value = original


def _bound(variable: Any) -> Any:
    """The equation that reads a variable."""
    import jax

    shape, dtype = tuple(variable.shape), jax.numpy.dtype(variable.dtype)
    return markers().variable.bind(held=Held(variable), shape=shape, dtype=dtype)


@contextmanager
def _recorded() -> Iterator[list[Frame]]:
    """Every call of a layer or operation on traced tensors in a scope of its own, with markers."""
    import keras

    operation = importlib.import_module("keras.src.ops.operation").Operation
    frames: list[Frame] = []
    running: list[Any] = []
    kept: list[Any] = []  # JAX drops equations whose results nobody holds any more

    def recording(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            again = running and running[-1] is self  # Layer.__call__ calls Operation.__call__
            if again or any(isinstance(x, keras.KerasTensor) for x in leaves((args, kwargs))):
                return _within(running, None, lambda: original(self, *args, **kwargs))
            frame = Frame(next(_NUMBERS), self)
            _FRAMES[frame.number] = frame
            frames.append(frame)
            return _within(running, self, lambda: _framed(frame, original, args, kwargs, kept))

        return call

    layer = keras.layers.Layer
    originals = layer.__call__, operation.__call__
    layer.__call__, operation.__call__ = map(recording, originals)
    try:
        yield frames
    finally:
        layer.__call__, operation.__call__ = originals


def _within(running: list[Any], layer: Any, call: Callable[[], Any]) -> Any:
    """Call while ``layer`` is the one that runs; a call of itself inside is another call."""
    running.append(layer)
    try:
        return call()
    finally:
        running.pop()


def _framed(
    frame: Frame,
    original: Callable[..., Any],
    args: Tree,
    kwargs: Tree,
    kept: list[Any],
) -> Any:
    """The call between its markers, in its scope."""
    import jax

    with jax.named_scope(f"{_SCOPE}{frame.number}"):
        (frame.args, frame.kwargs), tensors = _slotted((args, kwargs))
        marked = markers().enter.bind(*tensors, frame=frame, batched=False)
        kept.extend(marked)
        args, kwargs = _replaced((args, kwargs), tensors, marked)
        outputs = original(frame.layer, *args, **kwargs)
        _, tensors = _slotted(outputs)
        frame.types = tuple((tuple(x.shape), str(x.dtype)) for x in tensors)
        marked = [
            markers().leave.bind(x, frame=frame, index=i, batched=False)
            for i, x in enumerate(tensors)
        ]
        kept.extend(marked)
        return _replaced(outputs, tensors, marked)


def _replaced(tree: Tree, tensors: Sequence[Any], marked: Sequence[Any]) -> Tree:
    """The tree with every tensor behind its marker, its Keras mask with it."""
    import keras

    masking = importlib.import_module("keras.src.backend.common.masking")
    by_id = {id(x): y for x, y in zip(tensors, marked, strict=True)}
    for x, y in zip(tensors, marked, strict=True):
        mask = masking.get_keras_mask(x)
        if mask is not None:
            masking.set_keras_mask(y, mask)
    return keras.tree.map_structure(lambda leaf: by_id.get(id(leaf), leaf), tree)
