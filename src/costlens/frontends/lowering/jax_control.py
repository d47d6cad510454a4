"""Traced functions, loops and branches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import Known, LayerCall, Program, Ref, Tensor, Tree
from costlens.frontends.lowering import tf_control
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.jax_common import Number
from costlens.frontends.lowering.jax_window import resized
from costlens.frontends.lowering.operands import tensor
from costlens.ir.types import TensorType, is_int


def _run(b: Builder, program: Program, args: Sequence[Any]) -> list[Any]:
    assert b.run is not None
    return list(b.run(program, list(args)))


def _called(b: Builder, call: LayerCall) -> Tree:
    """A function on its operands; one of ``jax.image`` that resizes is one operation."""
    if call.config["method"] is not None:
        whole = resized(b, call)
        if whole is not None:
            return whole
    return _run(b, call.config["f"], call.args)


def _cond(b: Builder, call: LayerCall) -> Tree:
    """The costlier branch, or the one whose number is known."""
    if len(call.config) == 1:
        return _run(b, call.config["branch0"], call.args[1:])
    return tf_control.OPS["tf:Case"](b, call)


def _while(b: Builder, call: LayerCall) -> Tree:
    """A loop's body, once with its trip count as repeat; where that is open, at least once."""
    body, turns = call.config["body"], call.config["turns"]
    args = call.args[call.config["skip"] :]
    if turns is None:
        b.unknown("how often a loop runs depends on the data", [], [])
        turns = 1
    count = call.config["consts"]
    return _carried(b, body, args[:count], args[count:], [], turns)


def _scan(b: Builder, call: LayerCall) -> Tree:
    """A loop over the first axis of its operands, whose results are stacked."""
    config = call.config
    first, second = config["num_consts"], config["num_consts"] + config["num_carry"]
    consts, carry, xs = call.args[:first], call.args[first:second], call.args[second:]
    made = _carried(b, config["body"], consts, carry, xs, config["length"])
    known = config["num_carry"]
    stacked = [_stacked(b, x, config["length"]) for x in made[known:]]
    return [*made[:known], *stacked]


def _stacked(b: Builder, x: Any, length: int) -> Any:
    """What each turn gives, in a sequence."""
    if isinstance(x, Number):
        return Number(TensorType((length, *x.type.shape), x.type.dtype), False)
    return b.emit("stack", (x,), axis=0, length=length)


def _carried(
    b: Builder,
    body: Program,
    consts: Sequence[Any],
    carry: Sequence[Any],
    xs: Sequence[Any],
    turns: int,
) -> list[Any]:
    """What a loop's body gives: its last carried values, and one turn's others."""
    inputs = [x.value for x in body.inputs[len(consts) :]]
    kept = [
        isinstance(after, Ref) and after.value == before
        for before, after in zip(inputs, body.outputs, strict=False)
    ][: len(carry)]
    given = [x if keep else _entering(b, x) for x, keep in zip(carry, kept, strict=True)]
    with b.loop(turns):
        items = [_item(b, x) for x in xs]
        made = _run(b, body, [*consts, *given, *items])
        after = made[len(carry) :]
        after = [x if isinstance(x, Number) else tensor(b, x) for x in after]
    last = [
        before if keep else b.emit("last", (x,)) if isinstance(x, Tensor) else x
        for before, x, keep in zip(given, made, kept, strict=False)
    ]
    return [*last, *after]


def _entering(b: Builder, x: Any) -> Any:
    """A carried value in the body: numbers that change from turn to turn are not known there."""
    if isinstance(x, (Known, Number)) and is_int(x.type.dtype) and x.type.size == 1:
        return Number(x.type, True)
    return tensor(b, x)


def _item(b: Builder, x: Any) -> Any:
    """One turn's part of a sequence."""
    if isinstance(x, (Known, Number)):
        type_ = TensorType(x.type.shape[1:], x.type.dtype)
        return Number(type_, not type_.shape or (isinstance(x, Number) and x.uniform))
    return b.emit("step", (tensor(b, x),), axis=0)


CALLS = (
    "pjit jit closed_call core_call core_closed_call xla_call remat remat2 checkpoint "
    "custom_jvp_call custom_jvp_call_jaxpr custom_vjp_call custom_vjp_call_jaxpr custom_vmap_call"
).split()
"""Operations that are a call of their function, whatever else they say of it."""

OPS: Mapping[str, Lowering] = {
    **{f"jax:{name}": _called for name in CALLS},
    "jax:cond": _cond,
    "jax:scan": _scan,
    "jax:while": _while,
}
"""Primitive key → its lowering."""
