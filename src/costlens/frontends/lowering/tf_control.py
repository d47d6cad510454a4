"""Traced functions, loops and branches, and the lists that loops fill and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from costlens.frontends.layercall import (
    Constant,
    Known,
    LayerCall,
    Opaque,
    Program,
    Ref,
    Tensor,
    Tree,
)
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.operands import tensor
from costlens.frontends.lowering.tf_common import Index, Listed, ints, out
from costlens.ir.graph import Node
from costlens.ir.ops import label_sizes
from costlens.ir.types import TensorType, is_int


def _run(b: Builder, program: Program, args: Sequence[Any]) -> list[Any]:
    assert b.run is not None
    return list(b.run(program, list(args)))


def _called(b: Builder, call: LayerCall) -> Tree:
    return _run(b, call.config["f"], call.args)


# -- branches -------------------------------------------------------------------------------


def _branches(b: Builder, call: LayerCall) -> Tree:
    """The costlier branch counts; the others run no times. Said in a note."""
    names = [key for key in call.config if key != "turns"]
    taken = _taken(call, names)
    if taken is not None:
        return [_led_out(b, x) for x in _run(b, call.config[taken], call.args[1:])]
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
    b.note(
        f"{b.origin.layer}: of the {len(names)} branches of a condition the costliest is counted."
    )
    return [_led_out(b, x) for x in tried[most][2]]


def _taken(call: LayerCall, names: Sequence[str]) -> str | None:
    """The branch that is taken, where what decides is known."""
    decides = call.args[0]
    if not isinstance(decides, Known):
        return None
    (value,) = decides.ints
    if "then_branch" in names:
        return "then_branch" if value else "else_branch"
    return names[value if 0 <= value < len(names) else -1]


def _led_out(b: Builder, x: Any) -> Any:
    """What a branch gives; its numbers are known only if it is the one that runs."""
    if isinstance(x, Known):
        return tensor(b, x)
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
    given = [_filled(b, x) for x in given]
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
    if isinstance(after, Listed) and after is not before and after.item is not None:
        return replace(after, length=turns)
    if isinstance(after, Listed) or not isinstance(after, Tensor):
        return after
    return b.emit("last", (after,))


# -- lists ----------------------------------------------------------------------------------


def _filled(b: Builder, x: Any) -> Any:
    """What a loop is given: a list that another loop wrote is a sequence, one item a turn."""
    if isinstance(x, Listed) and x.whole is None and x.item is not None and x.length is not None:
        return Listed(whole=b.emit("stack", (x.item,), axis=0, length=x.length))
    return x


def _list(call: LayerCall) -> Listed:
    listed = call.args[0]
    if isinstance(listed, Opaque):  # made, and nothing written yet
        return Listed()
    if not isinstance(listed, Listed):
        raise Unreadable("a list is read that is none")
    return listed


def _optional(b: Builder, call: LayerCall) -> Tree:
    """A value that a branch keeps for the gradient."""
    return Listed(items=((0, tensor(b, call.args[0])),))


def _kept(b: Builder, call: LayerCall) -> Tree:
    """What was kept; where the other branch was counted, as large a value."""
    listed, made = _list(call), out(call)
    if listed.items:
        return listed.items[0][1]
    return b.fill(made.shape, made.dtype, "empty")


def _from_tensor(b: Builder, call: LayerCall) -> Tree:
    """``TensorListFromTensor``, and ``TensorListScatter`` in any order."""
    return Listed(whole=tensor(b, call.args[0]))


def _split(b: Builder, call: LayerCall) -> Tree:
    """``TensorListSplit``: parts of equal lengths are a sequence."""
    x, lengths = tensor(b, call.args[0]), ints(call, 2)
    if len(set(lengths)) > 1:
        raise Unreadable("the items of a list differ in shape")
    return Listed(whole=b.reshape(x, (len(lengths), *lengths[:1], *x.shape[1:])))


def _item(b: Builder, call: LayerCall) -> Tree:
    return _read(b, _list(call), call.args[1])


def _read(b: Builder, listed: Listed, place: Any) -> Tensor:
    """One item; a turn of a loop reads the sequence step by step."""
    if listed.whole is not None and b.repeat > 1:
        return b.emit("step", (listed.whole,), axis=0)
    if listed.whole is not None:
        return b.slice(listed.whole, listed.whole.shape[1:], "one item")
    items = dict(listed.items)
    if isinstance(place, Known) and place.ints[0] in items:
        return items[place.ints[0]]
    if items:
        return next(iter(items.values()))
    if listed.item is None:
        raise Unreadable("a list is read that nothing has filled")
    return listed.item


def _set_item(b: Builder, call: LayerCall) -> Tree:
    listed, place, x = _list(call), call.args[1], tensor(b, call.args[2])
    if isinstance(place, Known) and listed.item is None and listed.whole is None:
        return Listed(items=tuple(sorted({**dict(listed.items), place.ints[0]: x}.items())))
    return Listed(item=x)


def _push(b: Builder, call: LayerCall) -> Tree:
    listed, x = _list(call), tensor(b, call.args[1])
    if b.repeat > 1 or listed.item is not None or listed.whole is not None:
        return Listed(item=x)
    return Listed(items=(*listed.items, (len(listed.items), x)))


def _pop(b: Builder, call: LayerCall) -> Tree:
    """The last item, and the list without it."""
    listed = _list(call)
    if not listed.items:
        return [listed, _read(b, listed, None)]
    return [Listed(items=listed.items[:-1]), listed.items[-1][1]]


def _stack(b: Builder, call: LayerCall) -> Tree:
    return _stacked(b, _list(call), out(call))


def _stacked(b: Builder, listed: Listed, made: TensorType) -> Tensor:
    if listed.whole is not None and listed.whole.type.size == made.size:
        return b.reshape(listed.whole, made.shape)
    parts = [x for _, x in listed.items]
    if parts and sum(x.type.size for x in parts) == made.size:
        return b.concat([b.reshape(x, (1, *x.shape)) for x in parts], 0)
    if listed.item is None:
        return b.fill(made.shape, made.dtype, "empty")
    if listed.item.shape != made.shape[1:]:
        raise Unreadable("the items of a list differ in shape")
    return b.emit("stack", (listed.item,), axis=0, length=made.shape[0])


def _gathered(b: Builder, call: LayerCall) -> Tree:
    """``TensorListGather``: the items of some places."""
    listed, made = _list(call), out(call)
    if listed.whole is not None and listed.whole.shape != made.shape:
        return b.gather((listed.whole,), made.shape)
    return _stacked(b, listed, made)


def _concatenated(b: Builder, call: LayerCall) -> Tree:
    """``TensorListConcat``: the items one after the other, and their lengths."""
    listed, lengths = _list(call), Index(TensorType((0,), "int64"))
    if listed.items:
        return [b.concat([x for _, x in listed.items], 0), lengths]
    whole = _filled(b, listed).whole
    if whole is None or whole.rank < 2:
        raise Unreadable("a list is read whose length is open")
    return [b.reshape(whole, (whole.shape[0] * whole.shape[1], *whole.shape[2:])), lengths]


def _about(b: Builder, call: LayerCall) -> Tree:
    """The length of a list, the shape of its items: index arithmetic."""
    (shape, dtype), *_ = call.expected
    return Index(TensorType(tuple(n or 0 for n in shape), dtype))


OPS: Mapping[str, Lowering] = {
    "tf:PartitionedCall": _called,
    "tf:StatefulPartitionedCall": _called,
    **{f"tf:{name}": _branches for name in ("If", "StatelessIf", "Case", "StatelessCase")},
    **{f"tf:{name}": _python for name in ("PyFunc", "PyFuncStateless", "EagerPyFunc")},
    "tf:While": _while,
    "tf:StatelessWhile": _while,
    "tf:OptionalFromValue": _optional,
    "tf:OptionalGetValue": _kept,
    "tf:OptionalNone": lambda b, call: Listed(),
    "tf:TensorListFromTensor": _from_tensor,
    "tf:TensorListScatter": _from_tensor,
    "tf:TensorListScatterV2": _from_tensor,
    "tf:TensorListSplit": _split,
    "tf:TensorListGetItem": _item,
    "tf:TensorListSetItem": _set_item,
    "tf:TensorListPushBack": _push,
    "tf:TensorListPopBack": _pop,
    "tf:TensorListStack": _stack,
    "tf:TensorListGather": _gathered,
    "tf:TensorListConcat": _concatenated,
    "tf:TensorListConcatV2": _concatenated,
    "tf:TensorListLength": _about,
    "tf:TensorListElementShape": _about,
}
