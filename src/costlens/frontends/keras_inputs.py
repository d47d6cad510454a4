"""What a subclassed model is called on: what it was built with, or what the user says it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from costlens.errors import InputError
from costlens.frontends.layercall import ProgramInput, Tree
from costlens.frontends.sizes import Wanted, settle


@dataclass(frozen=True, slots=True)
class Spec:
    """A tensor that a model takes; None in ``shape`` is left open."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A call: trees of TensorTypes as ``args`` and ``kwargs``, and the inputs' names in order."""

    args: tuple[Tree, ...]
    kwargs: Mapping[str, Tree]
    names: tuple[str, ...]


def settle_call(model: Any, wanted: Wanted, given: Tree = None) -> ModelCall:
    """How to call a subclassed model, every size settled.

    ``given`` is what a script gives it: a tree of (shape, dtype). Raises InputError where
    nothing says what it takes, or a size stays open.
    """
    parameters = _parameters(model)
    args, kwargs = _call(model, parameters, wanted, given)
    declared: list[ProgramInput] = []
    _number(args, kwargs, parameters, declared)
    sizes = wanted.input_shape if wanted.inputs is None else None
    types, _ = settle(declared, wanted.batch, sizes)
    left = iter(types)
    filled = _fill(args, left), {key: _fill(kwargs[key], left) for key in sorted(kwargs)}
    return ModelCall(*filled, tuple(x.name for x in declared))


def _parameters(model: Any) -> list[str]:
    """The names of what a model's call takes, without ``training`` and ``mask``."""
    try:
        signature = inspect.signature(model.call)
    except (TypeError, ValueError):
        return ["inputs"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [n for n, p in signature.parameters.items() if p.kind in kinds and n not in _FLAGS] or [
        "inputs"
    ]


def _only_named(model: Any) -> list[str]:
    """What a call takes by name only."""
    found = inspect.signature(model.call).parameters.items()
    return [n for n, p in found if p.kind is p.KEYWORD_ONLY and n not in _FLAGS]


_FLAGS = ("training", "mask")


def _call(
    model: Any, parameters: Sequence[str], wanted: Wanted, given: Tree
) -> tuple[tuple[Tree, ...], dict[str, Tree]]:
    if wanted.inputs is not None:
        specs = {name: Spec(tuple(shape), dtype) for name, (dtype, shape) in wanted.inputs.items()}
        return _named(specs, (*parameters, *_only_named(model)))
    if given is not None:
        return (_as_given(given),), {}
    built = _as_called(model) or _as_declared(model) or _as_built(model, parameters)
    if built is not None:
        return built
    shapes = wanted.input_shape
    if not shapes:
        raise InputError(
            str(model.name),
            f"{type(model).__name__} is a subclassed model that was never called, and nothing "
            "says what it takes",
            "Pass --input-shape 224,224,3, or --input NAME=DTYPE:SHAPE for each input.",
        )
    if isinstance(shapes, Mapping):
        return _named({n: Spec((None, *s)) for n, s in shapes.items()}, parameters)
    several: Any = shapes if isinstance(shapes[0], (tuple, list)) else [shapes]
    listed = [Spec((None, *shape)) for shape in several]
    if len(listed) == 1 or len(parameters) >= len(listed):
        return tuple(listed), {}
    return (listed,), {}


def _named(
    specs: Mapping[str, Spec], parameters: Sequence[str]
) -> tuple[tuple[Tree, ...], dict[str, Tree]]:
    """Inputs by name: arguments of the call where it has these names, else one dict."""
    if set(specs) <= set(parameters):
        return (), dict(specs)
    if set(specs) == {""}:
        return (specs[""],), {}
    return (dict(specs),), {}


def _as_given(tree: Tree) -> Tree:
    """A script's data as specs; how many samples it has is no size of the model."""
    match tree:
        case Mapping():
            return {key: _as_given(value) for key, value in tree.items()}
        case (tuple() | list() as shape, str() as dtype):
            return Spec((None, *shape[1:]) if shape else (), dtype)
        case tuple():
            return _like(tree, map(_as_given, tree))
        case list():
            return list(map(_as_given, tree))
    return tree


def _as_called(model: Any) -> tuple[tuple[Tree, ...], dict[str, Tree]] | None:
    """As it was called on symbolic inputs, which keeps structure and dtypes."""
    nodes = getattr(model, "_inbound_nodes", None)
    if not nodes:
        return None
    arguments = nodes[-1].arguments
    return tuple(map(_specs, arguments.args)), {
        key: _specs(value) for key, value in arguments.kwargs.items() if key not in _FLAGS
    }


def _as_declared(model: Any) -> tuple[tuple[Tree, ...], dict[str, Tree]] | None:
    """As the graph of layers declares it whose call a subclass wraps in its own."""
    declared = getattr(model, "_inputs_struct", None)
    return None if declared is None else ((_specs(declared),), {})


def _specs(tree: Any) -> Tree:
    """Symbolic tensors as specs, in any nesting."""
    if isinstance(tree, Mapping):
        return {key: _specs(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return _like(tree, map(_specs, tree))
    if hasattr(tree, "shape") and hasattr(tree, "dtype"):
        return Spec(tuple(tree.shape), str(getattr(tree.dtype, "name", tree.dtype)))
    return tree


def _as_built(
    model: Any, parameters: Sequence[str]
) -> tuple[tuple[Tree, ...], dict[str, Tree]] | None:
    """As it was built: the shapes that Keras remembers of it."""
    shapes = getattr(model, "_build_shapes_dict", None)
    if not shapes:
        return None
    trees = {key.removesuffix("_shape"): _shapes(value) for key, value in shapes.items()}
    if len(trees) == 1:
        return None if _required(model) > 1 else (tuple(trees.values()), {})
    return (), {key: value for key, value in trees.items() if key in parameters}


def _required(model: Any) -> int:
    """How many arguments a model's call cannot do without."""
    parameters = inspect.signature(model.call).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds and p.default is p.empty for p in parameters)


def _shapes(tree: Any) -> Tree:
    if isinstance(tree, Mapping):
        return {key: _shapes(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        if all(n is None or isinstance(n, int) for n in tree):
            return Spec(tuple(tree))
        return _like(tree, map(_shapes, tree))
    return tree


def _number(
    args: Sequence[Tree],
    kwargs: Mapping[str, Tree],
    parameters: Sequence[str],
    declared: list[ProgramInput],
) -> None:
    """Name every tensor of a call: by its argument, its key, or its place in a list."""

    def walk(name: str, tree: Tree) -> None:
        if isinstance(tree, Spec):
            declared.append(ProgramInput(len(declared), name, tree.shape, tree.dtype))
        elif isinstance(tree, Mapping):
            for key in sorted(tree):
                walk(str(key), tree[key])
        elif isinstance(tree, (list, tuple)):
            for index, item in enumerate(tree):
                walk(f"{name}_{index}", item)

    for name, tree in zip(parameters, args, strict=False):
        walk(name, tree)
    for name in sorted(kwargs):
        walk(name, kwargs[name])


def _fill(tree: Tree, left: Any) -> Tree:
    """The tree with settled types in place of its specs, in the order they were named."""
    if isinstance(tree, Spec):
        return next(left)
    if isinstance(tree, Mapping):
        made = {key: _fill(tree[key], left) for key in sorted(tree)}
        return {key: made[key] for key in tree}
    if isinstance(tree, (list, tuple)):
        return _like(tree, [_fill(item, left) for item in tree])
    return tree


def _like(tree: Any, items: Iterable[Tree]) -> Any:
    """Items in a sequence of the same class; a named tuple is made of its fields."""
    return type(tree)(*items) if hasattr(tree, "_fields") else type(tree)(items)
