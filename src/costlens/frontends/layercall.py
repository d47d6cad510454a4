"""What both Keras readers produce: a program of layer calls, free of any framework.

A ``Program`` is a Functional model as it was written: layers, and calls of them on references.
Binding it to concrete input types and running it through the lowering gives ``LayerCall``s
(concrete tensors in place of references) and, from them, a graph. The same program may be run
at several sizes; an inner model is a ``Layer`` that holds a program of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from costlens.ir.types import Shape, TensorType

Tree = Any
"""Nested lists, tuples and dicts of leaves."""

PartialShape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor of the enclosing program, by number."""

    value: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A captured array or a variable outside ``model.weights``; ``key`` tells it apart."""

    type: TensorType
    key: Hashable


@dataclass(frozen=True, eq=False, slots=True)
class Known:
    """An operand of a traced operation whose numbers are known: an axis, a shape, a padding."""

    type: TensorType
    value: Any
    key: Hashable

    @property
    def ints(self) -> tuple[int, ...]:
        """The numbers as a flat tuple of ints."""
        return tuple(int(n) for n in self.value.reshape(-1))


@dataclass(frozen=True, slots=True)
class Open:
    """A tensor whose size depends on the data; what reads it is unknown, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Opaque:
    """A leaf that cannot be described without running it: a callable, a foreign object.

    ``value`` is the object itself, where there is one, for whoever traces the call.
    """

    what: str
    value: Any = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Stored:
    """A variable that a layer holds, as the model stores it; ``key`` is its identity.

    ``frozen`` marks a variable that was made trainable and no longer is: its layer was frozen,
    or somebody froze it by hand, which no config says. ``trainable`` is None where an archive
    stores it, which says nothing of that.
    """

    name: str
    type: TensorType
    trainable: bool | None
    key: Hashable
    frozen: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """A layer or operation: its class, its config, and what a container holds inside.

    ``key`` is ``layer:Dense`` or ``op:Add`` for Keras's own classes and ``custom:Name`` for
    others. ``stored`` is None where only a config is known. ``unreadable`` says why a layer is
    not lowered, whatever its class, and ``container`` that it is a model, whose layers are rows.
    """

    key: str
    name: str
    config: Mapping[str, Any]
    identity: Hashable
    stored: tuple[Stored, ...] | None = None
    program: Program | None = None
    unreadable: str = ""
    container: bool = False

    @property
    def kind(self) -> str:
        """The class name."""
        return self.key.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Step:
    """One call in a program. ``expected`` holds Keras's own output types where it told them."""

    layer: Layer
    args: tuple[Tree, ...]
    kwargs: Mapping[str, Tree]
    outputs: tuple[int, ...]
    expected: tuple[tuple[PartialShape, str], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """A call of a layer that was traced: the steps inside it, on the tensors around it.

    A ``container`` (a keras.Model) has rows inside; another layer is one row. ``outputs`` are
    the references that the call gives its caller. ``call`` identifies it: a group of a call that
    was met before adds to its row, as the backward pass of a layer does.
    """

    layer: Layer
    steps: tuple[Step | Group, ...]
    outputs: tuple[Ref, ...]
    container: bool
    call: Hashable


@dataclass(frozen=True, slots=True)
class ProgramInput:
    """An input of a program; None in ``shape`` is left open."""

    value: int
    name: str
    shape: PartialShape
    dtype: str


@dataclass(frozen=True, eq=False, slots=True)
class Program:
    """A model: inputs, calls in the order in which they run, output tree; ``kind`` is its class."""

    name: str
    inputs: tuple[ProgramInput, ...]
    steps: tuple[Step | Group, ...]
    outputs: Tree
    uncalled: tuple[Layer, ...] = ()
    kind: str = "Functional"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A concrete tensor during lowering: its value id, its type, the mask that travels on it.

    A mask is made where it is first read: ``mask`` is a thunk or None.
    """

    id: str
    type: TensorType
    mask: Callable[[], Tensor] | None = field(default=None, compare=False)

    @property
    def shape(self) -> Shape:
        """The concrete shape."""
        return self.type.shape

    @property
    def dtype(self) -> str:
        """The dtype name."""
        return self.type.dtype

    @property
    def rank(self) -> int:
        """Number of axes."""
        return len(self.type.shape)


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One call as the lowering sees it: a layer, and concrete ``args`` and ``kwargs``.

    Leaves are Tensors (constants too, by then), Opaques, or plain values.
    """

    layer: Layer
    args: tuple[Tree, ...]
    kwargs: Mapping[str, Tree]
    expected: tuple[tuple[PartialShape, str], ...] = ()

    @property
    def config(self) -> Mapping[str, Any]:
        """The layer's config."""
        return self.layer.config

    @property
    def x(self) -> Tensor:
        """The first tensor of the call."""
        for leaf in leaves((self.args, self.kwargs)):
            if isinstance(leaf, Tensor):
                return leaf
        raise ValueError("the call has no tensor argument")

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor of the call, in order."""
        return [x for x in leaves((self.args, self.kwargs)) if isinstance(x, Tensor)]

    def arg(self, position: int, name: str, default: Tree = None) -> Tree:
        """The argument at a position, or by name, or the default where it was not given."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(name, default)


def leaves(tree: Tree) -> Iterator[Any]:
    """Leaves of a tree in order; dicts in key order, as Keras flattens them."""
    if isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)
    elif isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from leaves(tree[key])
    else:
        yield tree


def map_leaves(fn: Callable[[Any], Any], tree: Tree) -> Tree:
    """The same tree with every leaf replaced, met in the order of ``leaves``."""
    if isinstance(tree, tuple):
        items = [map_leaves(fn, item) for item in tree]
        return type(tree)(*items) if hasattr(tree, "_fields") else tuple(items)
    if isinstance(tree, list):
        return [map_leaves(fn, item) for item in tree]
    if isinstance(tree, Mapping):
        made = {key: map_leaves(fn, tree[key]) for key in sorted(tree)}
        return {key: made[key] for key in tree}
    return fn(tree)
