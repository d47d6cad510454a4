"""Build Keras models so that nothing is allocated, downloaded or trained."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from costlens.errors import InputError

_TRAINING = (
    "fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch",
)  # fmt: skip
_NOTHING = ("load_weights", "save", "save_weights", "export")


def import_keras() -> Any:
    """Keras ≥ 3 with a backend, or an InputError that says what to install."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        missing = getattr(error, "name", None) or "keras"
        raise InputError(
            "keras",
            f"building a model needs Keras 3 and a backend, and {missing} is not installed",
            "Run: pip install 'costlens[tensorflow-cpu]' (or costlens[tensorflow]).",
        ) from error
    version = str(getattr(keras, "__version__", "0"))
    if int(version.split(".")[0]) < 3:
        raise InputError("keras", f"version {version} is installed", "Install keras>=3.")
    return keras


@contextmanager
def abstract_keras() -> Iterator[Any]:
    """Keras, with every variable made inside a shape only, and no weights loaded or trained.

    ``keras.StatelessScope(initialize_variables=False)`` leaves its variables on a global list
    that a later unrelated layer would initialise, so the list is cleared on leaving.
    """
    keras = import_keras()
    file_utils = importlib.import_module("keras.src.utils.file_utils")
    global_state = importlib.import_module("keras.src.backend.common.global_state")
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    pending = global_state.get_global_attribute("uninitialized_variables", [])
    before = list(pending)
    try:
        for name in _TRAINING:
            replace(keras.Model, name, _refusal(name))
        for name in _NOTHING:
            replace(keras.Model, name, _nothing)
        replace(file_utils, "get_file", _no_download)
        with keras.StatelessScope(initialize_variables=False):
            yield keras
    finally:
        for owner, name, value in reversed(replaced):
            setattr(owner, name, value)
        global_state.set_global_attribute("uninitialized_variables", before)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for loading and saving weights that were never made."""


def _no_download(fname: str = "", *args: Any, **kwargs: Any) -> str:
    """Stands in for ``get_file``: the name of a file that nobody reads."""
    return str(fname)


def _refusal(name: str) -> Any:
    def refuse(model: Any, *args: Any, **kwargs: Any) -> None:
        raise InputError(
            str(model.name),
            f"the script calls {name}, and training scripts are not read yet",
            "Put the model in a function and name it: model.py:build.",
        )

    return refuse
