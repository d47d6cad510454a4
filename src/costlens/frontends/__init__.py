"""Anything → Graph. Which reader reads what; each is imported only when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costlens.errors import InputError
from costlens.frontends.sizes import InputShape
from costlens.ir.graph import Graph

__all__ = ["InputShape", "Source", "read", "read_all"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a graph comes from: the TARGET, Keras's version and backend, other models there."""

    target: str
    keras: str
    backend: str
    others: tuple[tuple[str, int], ...] = ()


def read(
    target: Any,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> tuple[Graph, Source]:
    """The graph of a live model or of a TARGET's main model, and where it comes from.

    Raises InputError where there is nothing to read and LoweringError where a layer disagrees
    with Keras about itself.
    """
    if isinstance(target, str):
        return _read_targets(target, False, batch, input_shape, dims)[0]
    return _read_live(target, "", batch, input_shape, dims, ())


def read_all(
    target: str,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
) -> tuple[tuple[Graph, Source], ...]:
    """The graphs of all models of a TARGET, the largest first."""
    return _read_targets(target, True, batch, input_shape, dims)


def _read_targets(
    text: str,
    everything: bool,
    batch: int | None,
    input_shape: InputShape,
    dims: Mapping[str, int] | None,
) -> tuple[tuple[Graph, Source], ...]:
    suffix = Path(text).suffix.lower()
    if suffix == ".tflite":
        from costlens.frontends.tflite_file import read_tflite

        return ((read_tflite(text, batch, input_shape, dims), Source(text, "", "tflite")),)
    if suffix == ".onnx":
        from costlens.frontends.onnx_file import read_onnx

        return ((read_onnx(text, batch, input_shape, dims), Source(text, "", "onnx")),)
    from costlens.frontends.script import load
    from costlens.frontends.target import parse_target

    found = load(parse_target(text), input_shape, everything)
    rest = tuple((other.target, other.params) for other in found[1:])
    if everything:
        return tuple(_read_live(f.model, f.target, batch, input_shape, dims, ()) for f in found)
    return (_read_live(found[0].model, text, batch, input_shape, dims, rest),)


def _read_live(
    model: Any,
    text: str,
    batch: int | None,
    input_shape: InputShape,
    dims: Mapping[str, int] | None,
    others: tuple[tuple[str, int], ...],
) -> tuple[Graph, Source]:
    from costlens.frontends.abstract import import_keras
    from costlens.frontends.keras_live import read_graph

    keras = import_keras()
    if not isinstance(model, keras.Model):
        raise InputError(
            "target",
            f"{type(model).__name__} is no Keras model and no TARGET",
            "Pass a keras.Model, or text such as 'model.py:build'.",
        )
    graph = read_graph(model, batch, input_shape, dims)
    source = Source(
        text or graph.name, str(keras.__version__), str(keras.backend.backend()), others
    )
    return graph, source
