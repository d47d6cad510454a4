"""Scripts on Keras 2: ``tf_keras``, also as ``tf.keras`` where TF_USE_LEGACY_KERAS says so.

Its models are made for real, weights included, for Keras 2 cannot make them without. They are
not trained, stored, or given weights.
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from costlens.frontends.script.guard import Guard
from costlens.frontends.script.models import Seen
from costlens.frontends.script.patches import Patches

_TRUE = ("1", "true")


def keras_2(path: Path | None) -> Any | None:
    """tf_keras where a script runs on it: it is asked for, or the script names it."""
    asked = os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in _TRUE
    if not asked and (path is None or b"tf_keras" not in path.read_bytes()):
        return None
    if not find_spec("tf_keras") or not find_spec("tensorflow"):
        return None
    return importlib.import_module("tf_keras")


def stand_in(keras: Any, guard: Guard, seen: Seen, patches: Patches) -> None:
    """Replace what trains, runs or stores a model of Keras 2."""

    def trained(self: Any, x: Any = None) -> None:
        guard.trained += 1
        _built(self, x)
        seen.reached(self)

    def fit(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        trained(self, x)
        history = keras.callbacks.History()
        history.history, history.epoch, history.params = _Zeros(), [0], {}
        return history

    def scores(self: Any, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        trained(self, x)
        return _Zeros() if kwargs.get("return_dict") else 0.0

    def nothing(*args: Any, **kwargs: Any) -> None:
        """Stands in for what would use trained weights."""

    for names, function in (
        ("fit fit_generator", fit),
        ("evaluate train_on_batch test_on_batch", scores),
        ("save save_weights load_weights export", nothing),
    ):
        for name in names.split():
            patches.set(keras.Model, name, function)
    for module in ("tf_keras.utils", "tf_keras.src.utils.data_utils"):
        patches.set(importlib.import_module(module), "get_file", lambda fname="", *a, **k: fname)


class _Zeros(dict[str, Any]):
    """A history or scores that have every metric."""

    def __missing__(self, key: str) -> list[float]:
        return [0.0]


def _built(model: Any, x: Any) -> None:
    """Build a model as being called on this data would."""
    spec = getattr(x, "element_spec", x)
    spec = spec[0] if isinstance(spec, (list, tuple)) and spec else spec
    shape = getattr(spec, "shape", None)
    if not model.built and shape is not None:
        with suppress(Exception):  # whatever its call does not take
            model.build((None, *tuple(shape)[1:]))
