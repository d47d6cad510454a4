"""TensorFlow Lite's control flow, variables, and what is read as it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.opfile.control import branch, carried, last, trips
from costlens.frontends.opfile.run import Control, Runner, Scene
from costlens.frontends.opfile.site import Value
from costlens.ir.types import TensorType

_ROLES = {
    "LESS": "less",
    "LESS_EQUAL": "less_equal",
    "LOGICAL_AND": "and",
    "ADD": "add",
}


def _present(scene: Scene) -> list[Value]:
    if any(value is None for value in scene.values):
        raise Unreadable("an operand is missing")
    return [value for value in scene.values if value is not None]


def _if(runner: Runner, scene: Scene) -> Sequence[Value]:
    condition, *inputs = _present(scene)
    bodies = [scene.op.attrs["then"](), scene.op.attrs["else"]()]
    return branch(runner, scene, condition, inputs, bodies)


def _while(runner: Runner, scene: Scene) -> Sequence[Value]:
    """A loop whose condition compares a counter; the condition's own arithmetic is not counted."""
    inputs = _present(scene)
    condition, body = scene.op.attrs["cond"](), scene.op.attrs["body"]()
    times = trips(condition, body, inputs, _ROLES)
    if times is None:
        raise Unreadable("how often it runs is decided at run time")
    made = carried(runner, scene, body, times, inputs, range(len(inputs)))
    return last(runner, scene, made)


def _composite(runner: Runner, scene: Scene) -> Sequence[Value]:
    """An operator that the file itself spells out."""
    with runner.b.scoped(*scene.path.split("/")):
        return runner.graph(scene.op.attrs["body"](), _present(scene), scene.env)


def _call_once(runner: Runner, scene: Scene) -> Sequence[Value]:
    runner.b.note("What runs once, when the model is loaded, is not counted.")
    return ()


def _var_handle(runner: Runner, scene: Scene) -> Sequence[Value]:
    """A variable by its name."""
    attrs = scene.op.attrs
    key = ("variable", attrs["container"], attrs["shared"] or scene.path)
    return (Value(TensorType((), "string"), None, key),)


CONTROL: Mapping[str, Control] = {
    "IF": _if,
    "WHILE": _while,
    "CALL_ONCE": _call_once,
    "STABLEHLO_COMPOSITE": _composite,
    "VAR_HANDLE": _var_handle,
}
"""Control flow by the operator's name in the schema."""
