"""Models of one ``keras.ops`` call each, for the tests of their lowerings."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras

from costlens.cost.cost import Cost
from costlens.frontends.layercall import leaves
from costlens.ir.graph import Graph
from tests.support import abstract, cost_of, functional, graph_of


class In(NamedTuple):
    """A model input of this whole shape, batch included."""

    shape: tuple[int, ...]
    dtype: str = "float32"


def f(*shape: int) -> In:
    """A float32 input."""
    return In(shape)


def h(*shape: int) -> In:
    """A float16 input."""
    return In(shape, "float16")


def i(*shape: int) -> In:
    """An int32 input."""
    return In(shape, "int32")


def u(*shape: int) -> In:
    """A uint8 input."""
    return In(shape, "uint8")


@dataclass(frozen=True)
class Case:
    """A function of ``keras.ops``, by dotted name, and its arguments; an ``In`` is an input."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = [*map(_short, self.args), *(f"{k}={_short(v)}" for k, v in self.kwargs.items())]
        return f"{self.name}({', '.join(given)})"


def case(name: str, *args: Any, **kwargs: Any) -> Case:
    """A call of ``keras.ops.<name>``."""
    return Case(name, args, kwargs)


def _short(value: Any) -> str:
    if isinstance(value, In):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_short, value))}]"
    if callable(value):
        return "function"
    return f"array{list(value.shape)}" if hasattr(value, "shape") else str(value)


def op(name: str) -> Callable[..., Any]:
    """The function of a dotted name."""
    return operator.attrgetter(name)(keras.ops)  # type: ignore[no-any-return]


def exists(name: str) -> bool:
    """Whether the installed Keras has this function."""
    try:
        op(name)
    except AttributeError:
        return False
    return True


def present(cases: Iterable[Case]) -> list[Case]:
    """The cases whose function the installed Keras has."""
    return [one for one in cases if exists(one.name)]


def _with_inputs(tree: Any, made: list[Any]) -> Any:
    if isinstance(tree, In):
        made.append(keras.Input(batch_shape=tree.shape, dtype=tree.dtype))
        return made[-1]
    if isinstance(tree, (list, tuple)):
        return type(tree)(_with_inputs(item, made) for item in tree)
    return tree


def graph(one: Case) -> Graph:
    """The graph of a model that is one call; reading it compares every output with Keras."""
    return graph_with(op(one.name), *one.args, **one.kwargs)


def graph_with(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Graph:
    """The same for any function of tensors."""

    def build() -> Any:
        inputs: list[Any] = []
        given = [_with_inputs(arg, inputs) for arg in args]
        named = {key: _with_inputs(arg, inputs) for key, arg in kwargs.items()}
        return functional(inputs, list(leaves(function(*given, **named))))

    return graph_of(abstract(build))


def cost(name: str, *args: Any, **kwargs: Any) -> Cost:
    """The cost of one call."""
    return cost_of(graph(Case(name, args, kwargs)))


def ops_in(made: Graph) -> list[str]:
    """The ops of a graph in order, without its inputs."""
    return [node.op for node in made.nodes if node.op != "input"]
