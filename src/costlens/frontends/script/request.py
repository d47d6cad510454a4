"""What is asked of a script and what it answers, as JSON between two processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from operator import index
from typing import Any

from costlens import errors
from costlens.frontends.sizes import AS_IT_IS, Wanted
from costlens.ir import serde
from costlens.ir.graph import Graph


@dataclass(frozen=True, slots=True)
class Running:
    """How a script is run: its own arguments, for real or abstractly, and for how long."""

    arguments: tuple[str, ...] = ()
    real: bool = False
    time_limit: float = 60.0


ABSTRACTLY = Running()
"""As a script is run where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Request:
    """A TARGET, whether all its models are wanted, and how to read them."""

    target: str
    everything: bool = False
    wanted: Wanted = AS_IT_IS
    running: Running = ABSTRACTLY


@dataclass(frozen=True, slots=True)
class Listed:
    """A model of a script: the TARGET that names it, where it is made, its parameters.

    ``graph`` is there where it is wanted and readable, else ``problem`` says why not.
    """

    target: str
    line: int | None
    params: int
    graph: Graph | None = None
    traced: Graph | None = None
    step: Graph | None = None
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
    asked = data.pop("wanted")
    wanted = Wanted(**{**asked, "imports": tuple(asked["imports"])})
    return Request(**data, wanted=wanted, running=Running(arguments, **running))


def answer_text(answer: Answer) -> str:
    """The answer as JSON."""
    models = [
        [m.target, m.line, m.params, *map(_data, (m.graph, m.traced, m.step)), m.problem]
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


def _data(graph: Graph | None) -> Any:
    return graph and serde.to_data(graph)


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
    models = []
    for target, line, params, *graphs, problem in data["models"]:
        graph, traced, step = (data and serde.from_data(data, target) for data in graphs)
        models.append(Listed(target, line, params, graph, traced, step, problem))
    return Answer(tuple(models), tuple(data["warnings"]), data["keras"], data["backend"])
