"""What is asked of a script and what it answers, as JSON between two processes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import index
from typing import Any

from costlens import errors
from costlens.frontends.sizes import InputShape
from costlens.ir import serde
from costlens.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class Running:
    """How a script is run: its own arguments, for real or abstractly, and for how long."""

    arguments: tuple[str, ...] = ()
    real: bool = False
    time_limit: float = 60.0


ABSTRACT = Running()


@dataclass(frozen=True, slots=True)
class Request:
    """A TARGET, whether all its models are wanted, the sizes to read them at."""

    target: str
    everything: bool = False
    batch: Any = None
    input_shape: InputShape = None
    dims: Mapping[str, int] | None = None
    running: Running = ABSTRACT


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a script: the TARGET that names it, where it is made, its parameters.

    ``graph`` is there where it is wanted and readable, else ``problem`` says why not.
    """

    target: str
    line: int | None
    params: int
    graph: Graph | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The models of a script, the main one first, and what there is to warn of."""

    models: tuple[Listed, ...]
    warnings: tuple[str, ...]
    keras: str
    backend: str


def request_text(request: Request) -> str:
    """The request as JSON."""
    return json.dumps(asdict(request), default=index)


def read_request(text: str) -> Request:
    """The request of ``request_text``."""
    data = json.loads(text)
    running = data.pop("running")
    arguments = tuple(running.pop("arguments"))
    return Request(**data, running=Running(arguments, **running))


def answer_text(answer: Answer) -> str:
    """The answer as JSON."""
    models = [
        [m.target, m.line, m.params, m.graph and serde.to_data(m.graph), m.problem]
        for m in answer.models
    ]
    return json.dumps(
        {
            "models": models,
            "warnings": answer.warnings,
            "keras": answer.keras,
            "backend": answer.backend,
        }
    )


def error_text(error: BaseException, details: str = "") -> str:
    """An error as JSON: one that the user can act on, or a fault of costlens."""
    if isinstance(error, errors.CostlensError):
        said = [type(error).__name__, error.where, error.what, error.fix]
    else:
        said = ["", type(error).__name__, " ".join(str(error).split()), details]
    return json.dumps({"error": said})


class ScriptFault(Exception):
    """A fault of costlens itself, in the process that runs the script."""


def read_answer(text: str) -> Answer:
    """The answer of ``answer_text``; raises the error of ``error_text``."""
    data = json.loads(text)
    if "error" in data:
        kind, *said = data["error"]
        if not kind:
            name, what, details = said
            raise ScriptFault(f"{name}: {what}" + (f"\n{details}" if details else ""))
        raise getattr(errors, kind, errors.InputError)(*said)
    models = tuple(
        Listed(target, line, params, graph and serde.from_data(graph, target), problem)
        for target, line, params, graph, problem in data["models"]
    )
    return Answer(models, tuple(data["warnings"]), data["keras"], data["backend"])
