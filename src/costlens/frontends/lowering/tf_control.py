"""Traced functions, loops and branches, and the lists that loops fill and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from costlens.frontends.layercall import Constant, Known, LayerCall, Program, Ref, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.tf_common import Index, Listed, out, tensor
from costlens.ir.graph import Node
from costlens.ir.ops import label_sizes
from costlens.ir.types import is_int


def _run(b: Builder, program: Program, args: Sequence[Any]) -> list[Any]:
    assert b.run is not None
    return list(b.run(program, list(args)))


def _called(b: Builder, call: LayerCall) -> Tree:
    return _run(b, call.config["f"], call.args)


# -- branches -------------------------------------------------------------------------------


def _branches(b: Builder, call: LayerCall) -> Tree:
    """The costlier branch counts; the others run no times. Said in a note."""
    names = [key for key in call.config if key != "turns"]
    tried = []
    for name in names:
        start = len(b.nodes)
        made = _run(b, call.config[name], call.args[1:])
        tried.append((start, len(b.nodes), made))
    weights = [_work(b, b.nodes[start:stop]) for start, stop, _ in tried]
    most = weights.index(max(weights))
    for index, (start, stop, _) in enumerate(tried):
        if index != most:
            b.nodes[start:stop] = [replace(node, repeat=0) for node in b.nodes[start:stop]]
    assert b.row is not None
    b.note(
        f"{b.row.origin.layer}: of the {len(names)} branches of a condition the costliest is "
        "counted."
    )
    return [_led_out(b, x) for x in tried[most][2]]


def _led_out(b: Builder, x: Any) -> Any:
    return b.identity(x) if isinstance(x, Tensor) and x.id not in b.weights else x


def _work(b: Builder, nodes: Sequence[Node]) -> tuple[int, int]:
    """How much a branch does: multiply-accumulates, then elements written."""
    macs = 0
    for node in nodes:
        types = tuple(b.values[v] for v in node.operands)
        if node.op in ("conv", "conv_transpose"):
            side = b.values[node.outputs[0]] if node.op == "conv" else types[0]
            macs += side.size * types[1].size // max(types[1].shape[-1], 1) * node.repeat
        if node.op == "einsum":
            macs += prod(label_sizes(types, node.attrs["equation"]).values()) * node.repeat
    return macs, sum(b.values[v].size * n.repeat for n in nodes for v in n.outputs)


def _python(b: Builder, call: LayerCall) -> Tree:
    raise Unreadable("it runs Python code, which TensorFlow does not trace")


# -- loops ----------------------------------------------------------------------------------


def _while(b: Builder, call: LayerCall) -> Tree:
    """A loop's body, once with its trip count as repeat; where that is open, at least once."""
    body: Program = call.config["body"]
    turns = call.config["turns"]
    given = [
        _entering(b, x, program_out, i, body)
        for i, (x, program_out) in enumerate(zip(call.args, body.outputs, strict=True))
    ]
    if turns is None:
        b.unknown("how often a loop runs depends on the data", [], [])
        turns = 1
    with b.loop(turns):
        made = _run(b, body, given)
    return [
        _leaving(b, before, after, turns, body.inputs[i].value == _ref(body.outputs[i]))
        for i, (before, after) in enumerate(zip(given, made, strict=True))
    ]


def _ref(leaf: Any) -> int | None:
    return leaf.value if isinstance(leaf, Ref) else None


def _entering(b: Builder, x: Any, program_out: Any, i: int, body: Program) -> Any:
    """A loop variable in the body: numbers that change from turn to turn are not known there."""
    if not isinstance(x, Known) or _ref(program_out) == body.inputs[i].value:
        return x
    if is_int(x.type.dtype) and x.type.size == 1:
        return Index(x.type)
    return b.constant(Constant(x.type, x.key))


def _leaving(b: Builder, before: Any, after: Any, turns: int, carried: bool) -> Any:
    if carried:
        return before
    if isinstance(after, Listed) or not isinstance(after, Tensor):
        return after
    return b.emit("last", (after,))


# -- lists ----------------------------------------------------------------------------------


def _reserved(b: Builder, call: LayerCall) -> Tree:
    return Listed()


def _from_tensor(b: Builder, call: LayerCall) -> Tree:
    return Listed(whole=tensor(b, call.args[0]))


def _item(b: Builder, call: LayerCall) -> Tree:
    listed = call.args[0]
    if not isinstance(listed, Listed) or (listed.whole is None and listed.item is None):
        raise Unreadable("a list is read that nothing has filled")
    if listed.whole is not None and b.repeat > 1:
        return b.emit("step", (listed.whole,), axis=0)
    if listed.whole is not None:
        return b.slice(listed.whole, listed.whole.shape[1:], "one item")
    return listed.item


def _set_item(b: Builder, call: LayerCall) -> Tree:
    return Listed(item=tensor(b, call.args[2]))


def _push(b: Builder, call: LayerCall) -> Tree:
    return Listed(item=tensor(b, call.args[1]))


def _stack(b: Builder, call: LayerCall) -> Tree:
    listed, made = call.args[0], out(call)
    if isinstance(listed, Listed) and listed.whole is not None:
        return listed.whole
    if not isinstance(listed, Listed) or listed.item is None:
        return b.fill(made.shape, made.dtype, "empty")
    if listed.item.shape != made.shape[1:]:
        raise Unreadable("the items of a list differ in shape")
    return b.emit("stack", (listed.item,), axis=0, length=made.shape[0])


OPS: Mapping[str, Lowering] = {
    "tf:PartitionedCall": _called,
    "tf:StatefulPartitionedCall": _called,
    **{f"tf:{name}": _branches for name in ("If", "StatelessIf", "Case", "StatelessCase")},
    **{f"tf:{name}": _python for name in ("PyFunc", "PyFuncStateless", "EagerPyFunc")},
    "tf:While": _while,
    "tf:StatelessWhile": _while,
    "tf:TensorListReserve": _reserved,
    "tf:EmptyTensorList": _reserved,
    "tf:TensorListFromTensor": _from_tensor,
    "tf:TensorListGetItem": _item,
    "tf:TensorListSetItem": _set_item,
    "tf:TensorListPushBack": _push,
    "tf:TensorListStack": _stack,
}
