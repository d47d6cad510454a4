"""Data → what it says about shapes; a model called on that; results of that form."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from costlens.frontends.script.models import Seen

Spec = tuple[tuple[int | None, ...], str]
"""A shape, None where it is open, and a dtype."""


class Leaf(tuple[Any, ...]):
    """A (shape, dtype) pair in a tree of them."""

    __slots__ = ()


def leaf_spec(shape: tuple[int | None, ...], dtype: str) -> Leaf:
    """One leaf of a tree of specs."""
    return Leaf((tuple(shape), dtype))


def is_data(keras: Any, tree: Any) -> bool:
    """Whether there are arrays or tensors with values in a tree, and nothing symbolic."""
    found = False
    for leaf in _leaves(tree):
        if isinstance(leaf, keras.KerasTensor) or _is_traced(leaf):
            return False
        found |= isinstance(leaf, np.ndarray) or bool(keras.ops.is_tensor(leaf)) or _stands(leaf)
    return found


def _stands(leaf: Any) -> bool:
    return type(leaf).__name__ == "StandIn"


def _is_traced(leaf: Any) -> bool:
    """A tensor without a value: of a TensorFlow graph, or a tracer of JAX."""
    module = type(leaf).__module__
    if module.startswith("tensorflow"):
        return not hasattr(leaf, "numpy") and hasattr(leaf, "graph")
    return module.startswith("jax") and "Tracer" in type(leaf).__name__


def _leaves(tree: Any) -> Any:
    if isinstance(tree, dict):
        for item in tree.values():
            yield from _leaves(item)
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from _leaves(item)
    else:
        yield tree


def specs(keras: Any, data: Any, batched: bool) -> Any:
    """A tree of (shape, dtype) that a model is given with this data; None where it is not known.

    ``batched``: data is what ``fit`` takes, which may be a data set or a generator of batches.
    """
    if batched:
        data = _first_batch(data)
    try:
        return _spec_tree(keras, data)
    except (TypeError, ValueError, AttributeError):
        return None


def _first_batch(data: Any) -> Any:
    """The x of what ``fit`` is given."""
    if hasattr(data, "element_spec"):
        element = data.element_spec
        return element[0] if isinstance(element, tuple) else element
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and hasattr(data, "on_epoch_end"):
        data = data[0]
        return data[0] if isinstance(data, tuple) else data
    if hasattr(data, "__next__"):
        batch = next(data)
        return batch[0] if isinstance(batch, tuple) else batch
    return data


def _spec_tree(keras: Any, data: Any) -> Any:
    if isinstance(data, Leaf):
        return data
    if isinstance(data, dict):
        return {key: _spec_tree(keras, item) for key, item in data.items()}
    if isinstance(data, (list, tuple)):
        if data and all(isinstance(item, (int, float)) for item in data):
            data = np.asarray(data)
        else:
            return [_spec_tree(keras, item) for item in data]
    shape, dtype = data.shape, data.dtype
    sizes = tuple(None if n is None else int(n) for n in shape)
    name = keras.backend.standardize_dtype(getattr(dtype, "name", dtype))
    if name == "float64":
        name = keras.config.floatx()
    return leaf_spec((None, *sizes[1:]) if sizes else sizes, name)


def on_data(keras: Any, seen: Seen, layer: Any, given: Any, whole: bool = False) -> Any:
    """Call a layer on symbols of the given form; what comes back is symbolic too.

    ``given`` is a tree of specs for its first argument, or, as a ``whole``, its args and kwargs.
    """
    with seen.apart():
        if not whole:
            return layer(_symbols(keras, given, None))
        args, kwargs = _symbols(keras, given, keras)
        kwargs.pop("training", None)
        return layer(*args, **kwargs)


def _symbols(keras: Any, tree: Any, data: Any) -> Any:
    """Specs, or with ``data`` arrays, as KerasTensors."""
    if isinstance(tree, Leaf):
        return keras.KerasTensor(tree[0], tree[1])
    if isinstance(tree, dict):
        return {key: _symbols(keras, item, data) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([_symbols(keras, item, data) for item in tree])
    if data is not None and (isinstance(tree, np.ndarray) or keras.ops.is_tensor(tree)):
        sizes = tuple(None if n is None else int(n) for n in tree.shape)
        return keras.KerasTensor(sizes, keras.backend.standardize_dtype(tree.dtype))
    return tree


def made_of(tree: Any, make: Callable[[Any, str], Any]) -> Any:
    """Symbols → what ``make`` gives for their shape and dtype."""
    if isinstance(tree, dict):
        return {key: made_of(item, make) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)([made_of(item, make) for item in tree])
    if hasattr(tree, "shape") and hasattr(tree, "dtype"):
        return make(tree.shape, str(tree.dtype))
    return tree
