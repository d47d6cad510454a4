"""Build Keras models so that nothing is allocated, downloaded or trained."""

from __future__ import annotations

import importlib
import math
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from costlens.errors import InputError

_ONE_AT_A_TIME = threading.RLock()
"""What is replaced in Keras is replaced for all threads."""

_NOTHING = ("load_weights", "save", "save_weights", "export")


def import_keras() -> Any:
    """Keras ≥ 3 with a backend, or an InputError that says what to install."""
    _choose_backend()
    try:
        keras = importlib.import_module("keras")
    except ImportError as error:
        missing = getattr(error, "name", None) or "keras"
        raise InputError(
            "keras",
            f"building a model needs Keras 3 and a backend, and {missing} is not installed",
            _install(missing),
        ) from error
    except Exception as error:  # such as a KERAS_BACKEND that Keras does not know
        text = " ".join(str(error).split())
        what = f"it does not start: {type(error).__name__}: {text}"
        raise InputError("keras", what, "Check KERAS_BACKEND and ~/.keras/keras.json.") from error
    version = str(getattr(keras, "__version__", "0"))
    if int(version.split(".")[0]) < 3:
        raise InputError("keras", f"version {version} is installed", "Install keras>=3.")
    return keras


def _install(missing: str) -> str:
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if missing != "keras" and backend != "tensorflow":
        return f"Install it, or set KERAS_BACKEND, which is {backend}, to a backend that is here."
    return "Run: pip install 'costlens[tensorflow-cpu]' (or costlens[tensorflow])."


def _choose_backend() -> None:
    """Where nobody chose a backend and TensorFlow, Keras's default, is absent: one that is here."""
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ or find_spec("tensorflow"):
        return
    for name in ("jax", "torch"):
        if find_spec(name):
            os.environ["KERAS_BACKEND"] = name
            return


@contextmanager
def abstract_keras() -> Iterator[Any]:
    """Keras, with every variable made inside a shape only, and no weights loaded or trained.

    ``keras.StatelessScope(initialize_variables=False)`` leaves its variables on a global list
    that a later unrelated layer would initialise, so the list is cleared on leaving. Keras
    numbers the names that it makes up from the start here, as in a process of its own.
    """
    with _ONE_AT_A_TIME:
        yield from _abstract()


def _abstract() -> Iterator[Any]:
    keras = import_keras()
    file_utils = importlib.import_module("keras.src.utils.file_utils")
    global_state = importlib.import_module("keras.src.backend.common.global_state")
    replaced: list[tuple[Any, str, Any]] = []

    def replace(owner: Any, name: str, value: Any) -> None:
        replaced.append((owner, name, getattr(owner, name)))
        setattr(owner, name, value)

    pending = global_state.get_global_attribute("uninitialized_variables", [])
    before = {"uninitialized_variables": list(pending)}
    before["object_name_uids"] = global_state.get_global_attribute("object_name_uids")
    global_state.set_global_attribute("object_name_uids", defaultdict(int))
    variables = importlib.import_module("keras.src.backend.common.variables")
    try:
        for name in _NOTHING:
            replace(keras.Model, name, _nothing)
        replace(variables.Variable, "__init__", _from_value(variables.Variable.__init__))
        replace(file_utils, "get_file", _no_download)
        replace(keras.utils, "get_file", _no_download)
        with keras.StatelessScope(initialize_variables=False):
            yield keras
    finally:
        for owner, name, value in reversed(replaced):
            setattr(owner, name, value)
        for name, value in before.items():
            global_state.set_global_attribute(name, value)


_MOST_BYTES = 2 << 30
"""Weights beyond which a model that reading has built is not given any."""


def left_initialised(model: Any) -> str:
    """Give a model that was built by reading it its weights, as calling it would have.

    Nothing happens where variables are abstract all around, or too large; then a note says so.
    """
    stateless = importlib.import_module("keras.src.backend.common.stateless_scope")
    waiting = [v for v in model.variables if getattr(v, "_value", model) is None]
    if not waiting or stateless.in_stateless_scope():
        return ""
    if sum(math.prod(v.shape) * 4 for v in waiting) > _MOST_BYTES:
        return (
            "Reading the model has built it, and its weights, which are large, were not "
            "initialised: make it anew before it is used."
        )
    for variable in waiting:
        variable._deferred_initialize()
    return ""


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for loading and saving weights that were never made."""


def _no_download(fname: str = "", *args: Any, **kwargs: Any) -> str:
    """Stands in for ``get_file``: the name of a file that nobody reads."""
    return str(fname)


def _from_value(original: Callable[..., None]) -> Callable[..., None]:
    """A variable given by its value, such as an optimizer's, which the scope would refuse."""

    def init(
        self: Any, initializer: Any, shape: Any = None, dtype: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        if not callable(initializer) and not isinstance(initializer, str):
            value = self._convert_to_tensor(initializer, dtype=dtype)
            shape, dtype = value.shape, dtype or value.dtype

            def initializer(shape: Any, dtype: Any = None) -> Any:
                return (
                    value
                    if hasattr(value, "__array__")
                    else importlib.import_module("keras").ops.zeros(shape, dtype)
                )

        original(self, initializer, shape, dtype, *args, **kwargs)

    return init
