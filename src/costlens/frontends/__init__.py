"""Anything → Graph. Which reader reads what; each is imported only when it is needed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlens.errors import InputError
from costlens.frontends.script.request import ABSTRACTLY, Answer, Listed, Request, Running
from costlens.frontends.sizes import AS_IT_IS, Inputs, InputShape, Wanted
from costlens.ir.graph import Graph

__all__ = [
    "ABSTRACTLY",
    "InputShape",
    "Inputs",
    "Reading",
    "Running",
    "Source",
    "Wanted",
    "read",
    "read_all",
]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a graph comes from: the TARGET, Keras's version and backend, what else is there.

    A saved model names no backend, and only an archive the version of Keras that wrote it.
    ``line`` is where a script makes the model. ``others`` are its other models, each with its
    TARGET and parameters, ``lines`` where they are made. ``warnings`` are sentences on what was
    skipped or stood in for: the figures may rest on it. ``witness`` is what calls are traced to.
    """

    target: str
    keras: str
    backend: str
    others: tuple[tuple[str, int], ...] = ()
    line: int | None = None
    lines: tuple[int | None, ...] = ()
    warnings: tuple[str, ...] = ()
    witness: str = ""


@dataclass(frozen=True, slots=True)
class Reading:
    """A model's graph and where it comes from; ``traced`` and ``step`` where they were wanted."""

    graph: Graph
    source: Source
    traced: Graph | None = None
    step: Graph | None = None


def read(
    target: Any,
    wanted: Wanted = AS_IT_IS,
    running: Running = ABSTRACTLY,
) -> Reading:
    """The graph of a live model or of a TARGET's main model, and where it comes from.

    A script is run as ``running`` says, in a process of its own. Raises InputError where there is
    nothing to read and LoweringError where a layer disagrees with Keras about itself.
    """
    if isinstance(target, str):
        return _read_targets(Request(target, False, wanted, running))[0]
    return _read_live(target, wanted)


def read_all(
    target: str,
    wanted: Wanted = AS_IT_IS,
    running: Running = ABSTRACTLY,
) -> tuple[Reading, ...]:
    """The graphs of all models of a TARGET that can be read, the largest first."""
    return _read_targets(Request(target, True, wanted, running))


def _read_targets(request: Request) -> tuple[Reading, ...]:
    from costlens.frontends.target import parse_target

    target, wanted = parse_target(request.target), request.wanted  # no TARGET starts nothing
    if target.saved is not None:
        return (_read_saved(target.saved, target.text, wanted),)
    if wanted.imports:
        raise InputError(
            "--import", f"{target.text} is no saved model", "A script imports its own."
        )
    from costlens.frontends.script import process

    answer = process.ask(request)
    return tuple(
        Reading(
            replace(graph, notes=(*graph.notes, *answer.warnings)),
            _source(request, answer, listed),
            listed.traced,
            listed.step,
        )
        for listed in answer.models
        if (graph := listed.graph) is not None
    )


def _source(request: Request, answer: Answer, listed: Listed) -> Source:
    """Where one model of an answer comes from; those that could not be read are warned of."""
    from costlens.frontends.tracers import witness_name

    unread = tuple(f"{m.target} is not read: {m.problem}" for m in answer.models if m.problem)
    others = [m for m in answer.models if m is not listed and not request.everything]
    return Source(
        listed.target if request.everything else request.target,
        answer.keras,
        answer.backend,
        tuple((other.target, other.params) for other in others),
        listed.line,
        tuple(other.line for other in others),
        (*answer.warnings, *unread),
        witness_name(answer.backend),
    )


def _read_saved(path: Path, text: str, wanted: Wanted) -> Reading:
    """A saved model, without Keras unless layers of the user's or a traced graph are wanted."""
    if path.suffix.lower() in (".tflite", ".onnx", ".pb") or path.is_dir():
        return _read_operators(path, text, wanted)
    from costlens.frontends.saved import open_saved

    saved = open_saved(path)
    source = Source(text, saved.keras, "")
    if wanted.imports or wanted.verify or wanted.training:
        from costlens.frontends import keras_load
        from costlens.frontends.tracers import current_backend, witness_name

        graphs = keras_load.read(saved, wanted)
        source = replace(source, witness=witness_name(current_backend()))
        return Reading(graphs.graph, source, graphs.traced, graphs.step)
    from costlens.frontends import keras_file

    graph = keras_file.read_graph(saved, wanted.batch, wanted.input_shape, wanted.dims)
    return Reading(graph, source)


def _read_operators(path: Path, text: str, wanted: Wanted) -> Reading:
    """A converted model, which is a graph of operators itself."""
    if wanted.verify or wanted.training or wanted.imports:
        what = "it is a graph of operators already: there is nothing to trace or to import"
        raise InputError(text, what, "Leave out --verify, --training and --import.")
    sizes = (wanted.batch, wanted.input_shape, wanted.dims)
    if path.suffix.lower() == ".tflite":
        from costlens.frontends.tflite_file import read_tflite

        return Reading(read_tflite(path, *sizes), Source(text, "", "tflite"))
    if path.suffix.lower() != ".onnx":
        from costlens.frontends.saved_model import read_saved_model

        return Reading(read_saved_model(path, *sizes), Source(text, "", "tensorflow"))
    from costlens.frontends.onnx_file import read_onnx

    return Reading(read_onnx(path, *sizes), Source(text, "", "onnx"))


def _read_live(model: Any, wanted: Wanted) -> Reading:
    from costlens.frontends import keras_live
    from costlens.frontends.abstract import import_keras
    from costlens.frontends.keras2_live import is_keras_2_model
    from costlens.frontends.tracers import witness_name

    if is_keras_2_model(model):
        return _read_keras_2(model, wanted)
    keras = import_keras()
    if not isinstance(model, keras.Model):
        raise InputError(
            "target",
            f"{type(model).__name__} is no Keras model and no TARGET",
            "Pass a keras.Model, or text such as 'model.py:build'.",
        )
    graphs = keras_live.read(model, wanted)
    name, backend = graphs.graph.name, str(keras.backend.backend())
    source = Source(name, str(keras.__version__), backend, witness=witness_name(backend))
    return Reading(graphs.graph, source, graphs.traced, graphs.step)


def _read_keras_2(model: Any, wanted: Wanted) -> Reading:
    """A model of tf_keras, which runs on TensorFlow only."""
    from costlens.frontends import keras2_live

    graph = keras2_live.read(model, wanted)
    version = str(sys.modules["tf_keras"].__version__)
    return Reading(graph, Source(graph.name, version, "tensorflow"))
