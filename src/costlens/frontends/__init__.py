"""Anything → Graph. Which reader reads what; each is imported only when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from costlens.errors import InputError
from costlens.frontends.script.request import Answer, Listed, Request, Running
from costlens.frontends.sizes import InputShape
from costlens.ir.graph import Graph

__all__ = ["InputShape", "Running", "Source", "read", "read_all"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a graph comes from: the TARGET, Keras's version and backend, what else is there.

    ``line`` is where a script makes the model. ``others`` are its other models, each with its
    TARGET and parameters, ``lines`` where they are made. ``warnings`` are sentences on what was
    skipped or stood in for: the figures may rest on it.
    """

    target: str
    keras: str
    backend: str
    others: tuple[tuple[str, int], ...] = ()
    line: int | None = None
    lines: tuple[int | None, ...] = ()
    warnings: tuple[str, ...] = ()


def read(
    target: Any,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
    running: Running | None = None,
) -> tuple[Graph, Source]:
    """The graph of a live model or of a TARGET's main model, and where it comes from.

    A script is run as ``running`` says, in a process of its own. Raises InputError where there is
    nothing to read and LoweringError where a layer disagrees with Keras about itself.
    """
    if isinstance(target, str):
        request = Request(target, False, batch, input_shape, dims, running or Running())
        return _read_targets(request)[0]
    return _read_live(target, batch, input_shape, dims)


def read_all(
    target: str,
    batch: int | None = None,
    input_shape: InputShape = None,
    dims: Mapping[str, int] | None = None,
    running: Running | None = None,
) -> tuple[tuple[Graph, Source], ...]:
    """The graphs of all models of a TARGET that can be read, the largest first."""
    return _read_targets(Request(target, True, batch, input_shape, dims, running or Running()))


def _read_targets(request: Request) -> tuple[tuple[Graph, Source], ...]:
    from costlens.frontends.script import process
    from costlens.frontends.target import parse_target

    parse_target(request.target)  # what is no TARGET at all starts nothing
    answer = process.ask(request)
    return tuple(
        (replace(graph, notes=(*graph.notes, *answer.warnings)), _source(request, answer, listed))
        for listed in answer.models
        if (graph := listed.graph) is not None
    )


def _source(request: Request, answer: Answer, listed: Listed) -> Source:
    """Where one model of an answer comes from; those that could not be read are warned of."""
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
    )


def _read_live(
    model: Any, batch: int | None, input_shape: InputShape, dims: Mapping[str, int] | None
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
    return graph, Source(graph.name, str(keras.__version__), str(keras.backend.backend()))
