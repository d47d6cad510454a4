"""Branches and loops: which branch counts, how often a loop runs, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil, prod

from costlens.frontends.layercall import Layer, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.frontends.opfile.model import FileGraph, FileOp
from costlens.frontends.opfile.run import Runner, Scene, constant
from costlens.frontends.opfile.site import Value
from costlens.ir.graph import Node
from costlens.ir.ops import label_sizes

# -- branches --------------------------------------------------------------------------------


def branch(
    runner: Runner,
    scene: Scene,
    condition: Value,
    inputs: Sequence[Value],
    bodies: Sequence[FileGraph],
) -> list[Value]:
    """The branch that a known condition takes; else both, of which the larger counts."""
    scope = scene.path.split("/")
    if condition.known is not None and condition.known.size:
        body = bodies[0 if condition.known.reshape(-1)[0] else 1]
        with runner.b.scoped(*scope):
            return runner.graph(body, inputs, scene.env)
    found: list[tuple[int, int, int, list[Value]]] = []
    for at, body in enumerate(bodies):
        start = len(runner.b.nodes)
        with runner.b.scoped(*scope, ("then", "else")[at]):
            outputs = runner.graph(body, inputs, scene.env)
        nodes = runner.b.nodes[start:]
        found.append((sum(_work(runner.b, node) for node in nodes), start, len(nodes), outputs))
    larger = 0 if found[0][0] >= found[1][0] else 1
    _, start, count, _ = found[1 - larger]
    nodes = runner.b.nodes
    nodes[start : start + count] = [
        replace(node, repeat=0) for node in nodes[start : start + count]
    ]
    name = ("then", "else")[larger]
    runner.b.note(f"{scene.path}: its {name} branch is the larger one, and is counted.")
    return found[larger][3]


def _work(b: Builder, node: Node) -> int:
    """How much a node does, to tell the larger of two branches: products, or elements."""
    out = sum(b.values[value].size for value in node.outputs)
    if node.op == "einsum":
        types = tuple(b.values[value] for value in node.operands)
        return prod(label_sizes(types, node.attrs["equation"]).values()) * node.repeat
    if node.op in ("conv", "conv_transpose"):
        return out * prod(b.values[node.operands[1]].shape[:-1]) * node.repeat
    return out * node.repeat


# -- loops -----------------------------------------------------------------------------------


def carried(
    runner: Runner,
    scene: Scene,
    body: FileGraph,
    times: int,
    inputs: Sequence[Value],
    states: range,
) -> list[Value]:
    """A loop's outputs after it has run this often, the first of them its states.

    ``states`` says which of the inputs those are.

    What the body may change is not known inside, and what it hands on unchanged is. Raises
    Unreadable where a state changes its type.
    """
    if len(body.inputs) != len(inputs) or len(body.outputs) < len(states):
        raise ValueError(f"{len(inputs)} values for a body of {len(body.inputs)}")
    b, inside = runner.b, list(inputs)
    for out, at in enumerate(states):
        if body.outputs[out] != body.inputs[at]:
            inside[at] = Value(inputs[at].type, held(runner, scene, inputs[at]))
    with b.scoped(*scene.path.split("/")), b.loop(times):
        made = runner.graph(body, inside, scene.env)
    for at, after in zip(states, made, strict=False):
        if inputs[at].type != after.type:
            raise Unreadable(f"its loop carries {inputs[at].type} in and {after.type} out")
    return made


def held(runner: Runner, scene: Scene, value: Value) -> Tensor:
    """A value that a loop carries, as a tensor: a known start has no numbers inside."""
    if value.tensor is not None:
        return value.tensor
    type_, b = value.type, runner.b
    with leading_out(runner, scene, "start"):
        return b.fill(type_.shape, type_.dtype, "start")


def last(runner: Runner, scene: Scene, values: Sequence[Value]) -> list[Value]:
    """The values of a loop's last step, led out of it."""
    b, found = runner.b, []
    with leading_out(runner, scene, "last"):
        for value in values:
            if value.tensor is not None:
                value = Value(value.type, b.emit("last", (value.tensor,)))
            found.append(value)
    return found


def stacked(runner: Runner, scene: Scene, values: Sequence[Tensor], times: int) -> list[Value]:
    """The values of every step of a loop, stacked on a first axis."""
    with leading_out(runner, scene, "stack"):
        made = [runner.b.emit("stack", (x,), axis=0, length=times) for x in values]
    return [Value(x.type, x) for x in made]


@contextmanager
def leading_out(runner: Runner, scene: Scene, name: str) -> Iterator[None]:
    """A row beside the loop's own."""
    *scope, name = runner.namer.path(f"{scene.path}/{name}", "", runner.b.scope).split("/")
    with runner.b.scoped(*scope), runner.b.open_row(Layer("op:Loop", name, {}, scene.path)):
        yield


def trips(
    condition: FileGraph, body: FileGraph, inputs: Sequence[Value], roles: Mapping[str, str]
) -> int | None:
    """How often a loop runs whose condition is ``counter < limit``, or several of these at once.

    ``roles`` says which operators compare, join conditions and add: kind → "less",
    "less_equal", "and", "add". None where the condition is anything else.
    """
    makers = {name: op for op in condition.ops for name in op.outputs}
    loop = _Loop(condition, body, inputs, roles, makers)
    return loop.bound(condition.outputs[0]) if condition.outputs else None


@dataclass(frozen=True, slots=True)
class _Loop:
    """A loop that is driven by its condition; ``makers`` says what makes the condition's values."""

    condition: FileGraph
    body: FileGraph
    inputs: Sequence[Value]
    roles: Mapping[str, str]
    makers: Mapping[str, FileOp]

    def bound(self, name: str, depth: int = 8) -> int | None:
        """How often a condition of this name holds."""
        op = self.makers.get(name)
        role = self.roles.get(op.kind) if op else None
        if op is None or role not in ("less", "less_equal", "and") or not depth:
            return None
        one, two = op.inputs[:2]
        if role == "and":
            found = [n for n in (self.bound(x, depth - 1) for x in (one, two)) if n is not None]
            return min(found) if found else None
        limit = self._fixed(two)
        if limit is None or one not in self.condition.inputs:
            return None
        at = self.condition.inputs.index(one)
        start, step = _number(self.inputs[at]), self._step(at)
        if start is None or not step or step < 0:
            return None
        return max(0, ceil((limit - start + (role == "less_equal")) / step))

    def _fixed(self, name: str) -> float | None:
        """The number that a condition compares with: a constant, or a loop invariant."""
        tensor = self.condition.tensors.get(name)
        if tensor is not None and tensor.key is not None:
            return _number(constant(tensor))
        if name in self.condition.inputs:
            at = self.condition.inputs.index(name)
            if self.body.outputs[at] == self.body.inputs[at]:
                return _number(self.inputs[at])
        return None

    def _step(self, at: int) -> float | None:
        """What the body adds to the counter that it carries at this place."""
        made = {name: op for op in self.body.ops for name in op.outputs}
        op, counter = made.get(self.body.outputs[at]), self.body.inputs[at]
        if op is None or self.roles.get(op.kind) != "add" or len(op.inputs) < 2:
            return None
        one, two = op.inputs[:2]
        other = two if one == counter else one if two == counter else None
        tensor = self.body.tensors.get(other) if other else None
        return None if tensor is None or tensor.key is None else _number(constant(tensor))


def _number(value: Value) -> float | None:
    if value.known is None or value.known.size != 1:
        return None
    return float(value.known.reshape(-1)[0])
