"""ONNX's control flow: If, Loop, Scan, and calls of a model's own functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.opfile.control import branch, carried, held, last, leading_out, stacked
from costlens.frontends.opfile.model import FileGraph
from costlens.frontends.opfile.parts import axes_of
from costlens.frontends.opfile.run import Control, Runner, Scene, constant
from costlens.frontends.opfile.site import Value
from costlens.ir.types import TensorType

_ENDLESS = 2**31 - 1


def _if(runner: Runner, scene: Scene) -> Sequence[Value]:
    condition = scene.values[0]
    if condition is None:
        raise Unreadable("its condition is missing")
    bodies = [scene.op.attrs["then_branch"](), scene.op.attrs["else_branch"]()]
    return branch(runner, scene, condition, (), bodies)


def _function(runner: Runner, scene: Scene) -> Sequence[Value]:
    """A call of one of the model's own functions; it sees nothing around it."""
    body: FileGraph = scene.op.attrs["body"]()
    given = {
        name: value
        for name, value in zip(body.inputs, scene.values, strict=False)
        if value is not None
    }
    with runner.b.scoped(*scene.path.split("/")):
        return runner.graph(
            FileGraph(body.name, tuple(given), body.outputs, body.ops, body.tensors),
            list(given.values()),
        )


def _loop(runner: Runner, scene: Scene) -> Sequence[Value]:
    """Operands: the most trips, a condition, what is carried. The body gives a condition, what
    is carried, and what is stacked."""
    most, first, *given = scene.values
    body: FileGraph = scene.op.attrs["body"]()
    inputs = [value for value in given if value is not None]
    times = None if most is None or most.known is None else int(most.known.reshape(-1)[0])
    if times is None or times >= _ENDLESS:
        raise Unreadable("how often it runs is decided at run time")
    times = max(0, times)
    if len(inputs) != len(given):
        raise Unreadable("a value that it carries is missing")
    if not _goes_on(body):
        runner.b.note(f"{scene.path}: it may end before its {times:,} trips, which are counted.")
    start = [
        Value(TensorType((), "int64"), _made(runner, scene, "int64")),
        first or Value(TensorType((), "bool"), _made(runner, scene, "bool")),
        *inputs,
    ]
    # the condition comes out first, what counts the trips does not come out at all
    made = carried(runner, scene, body, times, start, range(1, len(start)))
    tensors = [held(runner, scene, value) for value in made[1 + len(inputs) :]]
    lasts = last(runner, scene, made[1 : 1 + len(inputs)]) if inputs else []
    return [*lasts, *(stacked(runner, scene, tensors, times) if tensors else [])]


def _made(runner: Runner, scene: Scene, dtype: str) -> Tensor:
    with leading_out(runner, scene, "counter"):
        return runner.b.fill((), dtype)


def _goes_on(body: FileGraph) -> bool:
    """Whether a body's condition is always true: a constant, or the one that it was given."""
    name = body.outputs[0] if body.outputs else ""
    aliases = {op.outputs[0]: op.inputs[0] for op in body.ops if op.kind == "Identity"}
    for _ in range(len(body.ops)):
        name = aliases.get(name, name)
    tensor = body.tensors.get(name)
    if tensor is not None and tensor.key is not None:
        known = constant(tensor).known
        return known is not None and bool(known.reshape(-1)[0])
    return len(body.inputs) > 1 and name == body.inputs[1]


def _scan(runner: Runner, scene: Scene) -> Sequence[Value]:
    """States are carried; sequences enter step by step, and what is made is stacked."""
    body: FileGraph = scene.op.attrs["body"]()
    values = [value for value in scene.values if value is not None]
    count = int(scene.op.attrs.get("num_scan_inputs", 0))
    if not 0 < count <= len(values):
        raise ValueError(f"{count} sequences among {len(values)} operands")
    states, sequences = values[: len(values) - count], values[len(values) - count :]
    given = scene.op.attrs.get("scan_input_axes") or (0,) * count
    axes = [axes_of((int(axis),), v.type.rank)[0] for v, axis in zip(sequences, given, strict=True)]
    lengths = {v.type.shape[axis] for v, axis in zip(sequences, axes, strict=True)}
    if len(lengths) != 1:
        raise ValueError(f"sequences of lengths {sorted(lengths)[:8]}")
    times, b = lengths.pop(), runner.b
    tensors = [held(runner, scene, value) for value in sequences]
    with leading_out(runner, scene, "step"), b.loop(times):
        steps = [b.emit("step", (x,), axis=axis) for x, axis in zip(tensors, axes, strict=True)]
    inputs = [*states, *(Value(x.type, x) for x in steps)]
    made = carried(runner, scene, body, times, inputs, range(len(states)))
    outputs = [held(runner, scene, value) for value in made[len(states) :]]
    if any(scene.op.attrs.get("scan_output_axes") or ()):
        raise Unreadable("it stacks on another axis than the first")
    lasts = last(runner, scene, made[: len(states)]) if states else []
    return [*lasts, *(stacked(runner, scene, outputs, times) if outputs else [])]


CONTROL: Mapping[str, Control] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "Function": _function,
}
"""Control flow by the operator's name."""
