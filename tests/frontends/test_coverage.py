"""Every public layer and operation of the installed Keras is read, or listed with a reason."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import keras
import keras.src.applications
import keras.src.ops
import pytest
from keras.src.ops.operation import Operation

from costlens.frontends.lowering import LOWERINGS
from costlens.frontends.lowering.not_lowered import NOT_LOWERED
from costlens.frontends.program import layer_key

_GRAPHS = ("Operation", "Function")
"""What Keras builds its graphs from, rather than an operation of ``keras.ops``."""


def _modules(package: str) -> Iterator[object]:
    root = importlib.import_module(package)
    for found in pkgutil.iter_modules(root.__path__):
        if not found.name.endswith("_test"):
            yield importlib.import_module(f"{package}.{found.name}")


def _classes(package: str, base: type) -> Iterator[type]:
    """Subclasses that the modules of a package define themselves."""
    for module in _modules(package):
        for value in vars(module).values():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, base) and value.__name__ not in _GRAPHS:
                yield value


def _public_layers() -> Iterator[type]:
    for name in dir(keras.layers):
        value = getattr(keras.layers, name)
        if inspect.isclass(value) and issubclass(value, keras.layers.Layer):
            yield value


def _keys(classes: Iterator[type]) -> list[str]:
    return sorted({layer_key(cls.__module__, cls.__name__) for cls in classes})


LAYERS = _keys(_public_layers())
APPLICATIONS = _keys(_classes("keras.src.applications", keras.layers.Layer))
OPERATIONS = _keys(_classes("keras.src.ops", Operation))
OTHERS = _keys(
    cls
    for package in ("keras.src.activations", "keras.src.quantizers")
    for cls in _classes(package, Operation)
)


@pytest.mark.parametrize("key", [*LAYERS, *APPLICATIONS, *OPERATIONS, *OTHERS])
def test_it_is_read_or_has_a_reason(key: str) -> None:
    known = LOWERINGS.keys() | NOT_LOWERED.keys()
    assert key in known, f"{key} has neither a lowering nor a reason"


def test_the_enumeration_finds_what_is_known_to_be_there() -> None:
    assert len(LAYERS) > 100
    assert {"layer:Dense", "layer:LSTM", "layer:MultiHeadAttention"} <= set(LAYERS)
    assert "layer:LayerScale" in APPLICATIONS
    assert len(OPERATIONS) > 200
    assert {"op:Add", "op:Conv", "op:Norm", "op:Resize", "op:TopK"} <= set(OPERATIONS)
    assert {"op:ReLU"} <= set(OTHERS)


def test_nothing_is_both_read_and_refused() -> None:
    assert not set(LOWERINGS) & set(NOT_LOWERED)


def test_every_reason_is_a_sentence_of_its_own() -> None:
    assert all(len(reason.split()) > 3 for reason in NOT_LOWERED.values())
