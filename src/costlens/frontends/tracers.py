"""Which framework traces a call: the one that Keras runs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from costlens.errors import InputError
from costlens.frontends import jax_graph, jax_trace, keras_trace, tf_graph
from costlens.frontends.layercall import Program


@dataclass(frozen=True, slots=True)
class Tracer:
    """``trace(call, args, kwargs)`` and ``program_of(traced, view, name, kind)`` of a framework;
    ``witness`` is what they read."""

    witness: str
    trace: Callable[..., Any]
    program_of: Callable[..., Program]


_TRACERS: Mapping[str, Tracer] = {
    "tensorflow": Tracer("TensorFlow's graph", keras_trace.trace, tf_graph.program_of),
    "jax": Tracer("JAX's jaxpr", jax_trace.trace, jax_graph.program_of),
}


def current_backend() -> str:
    """The backend that Keras runs on in this process."""
    import keras

    return str(keras.backend.backend())


def tracer(kind: str) -> Tracer:
    """What traces a call of this class. Raises InputError on a backend that traces nothing."""
    backend = current_backend()
    if backend not in _TRACERS:
        raise InputError(
            kind,
            f"its call is its own, and Keras's {backend} backend cannot trace it",
            "Set KERAS_BACKEND to tensorflow or jax.",
        )
    return _TRACERS[backend]


def witness_name(backend: str) -> str:
    """What a model is traced to on this backend of Keras; empty where nothing traces it."""
    return _TRACERS[backend].witness if backend in _TRACERS else ""
