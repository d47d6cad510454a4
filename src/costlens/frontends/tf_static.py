"""What is known of a TensorFlow graph without running it: constant tensors, turns of a loop."""

from __future__ import annotations

from typing import Any

import numpy as np

_FEW = 4096
"""Elements up to which the numbers of a constant are looked at."""


def static(tensor: Any) -> np.ndarray[Any, Any] | None:
    """The numbers of a tensor that depends on constants and fixed shapes only, or None."""
    import tensorflow as tf
    from tensorflow.python.framework import tensor_util

    size = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    if size is None or size > _FEW or not _numeric(tensor.dtype):
        return None
    value = tf.get_static_value(tensor)
    if value is None and tensor.op.type not in ("Placeholder", "StatelessWhile", "While"):
        value = tensor_util.try_evaluate_constant(tensor)
    return None if value is None else np.asarray(value)


def _numeric(dtype: Any) -> bool:
    return bool(dtype.is_integer or dtype.is_floating or dtype.is_bool)


def trip_count(loop: Any, condition: Any, body: Any) -> int | None:
    """How often a While runs, from ``i < limit`` in its condition and ``i + step`` in its body.

    Of several limits joined by ``and`` the smallest counts; None where none is constant.
    """
    limits = [_turns(loop, condition, body, test) for test in _tests(condition.outputs[0])]
    known = [turns for turns in limits if turns is not None]
    return min(known) if known else None


def _tests(tensor: Any) -> list[Any]:
    """The comparisons that a condition joins."""
    op = _source(tensor).op
    if op.type == "LogicalAnd":
        return [test for x in op.inputs for test in _tests(x)]
    if op.type == "LogicalOr":
        possible = [x for x in op.inputs if not _never(x)]
        if len(possible) == 1:
            return _tests(possible[0])
    return [op]


def _never(tensor: Any) -> bool:
    """Whether a condition, or a part of one that ``and`` joins, is known to be false."""
    op = _source(tensor).op
    if op.type == "LogicalAnd":
        return any(map(_never, op.inputs))
    value = static(tensor)
    return value is not None and not value.any()


def _source(tensor: Any) -> Any:
    while tensor.op.type in ("Identity", "StopGradient", "Squeeze"):
        tensor = tensor.op.inputs[0]
    return tensor


def _turns(loop: Any, condition: Any, body: Any, test: Any) -> int | None:
    if test.type not in ("Less", "LessEqual", "Greater", "GreaterEqual"):
        return None
    left, right = (_place(x, condition) for x in test.inputs)
    if test.type.startswith("Greater"):
        left, right = right, left
    if not isinstance(left, int):
        return None
    first, step = static(loop.inputs[left]), _step(loop, body, left)
    limit = right
    if isinstance(right, int):
        limit = _number(loop.inputs[right]) if _carried(body, right) else None
    if first is None or step is None or limit is None or first.size != 1 or limit.size != 1:
        return None
    if first.dtype.kind not in "iu" or limit.dtype.kind not in "iu":
        return None  # what a sum of fractions comes to depends on rounding
    span = int(limit.reshape(())) - int(first.reshape(())) + test.type.endswith("Equal")
    turns: int = -(-span // step)
    return max(0, turns)


def _number(tensor: Any) -> Any:
    """The numbers of a tensor, which may be what another loop has counted up to."""
    op = _source(tensor).op
    if op.type not in ("While", "StatelessWhile"):
        return static(tensor)
    index = _source(tensor).value_index
    found = [op.graph._get_function(op.get_attr(name).name) for name in ("cond", "body")]
    if not all(hasattr(function, "graph") for function in found):  # only defined, or not here
        return None
    condition, body = (function.graph for function in found)
    if _carried(body, index):
        return _number(op.inputs[index])
    first, step = static(op.inputs[index]), _step(op, body, index)
    turns = trip_count(op, condition, body)
    if first is None or step is None or turns is None:
        return None
    return first + turns * step


def _place(tensor: Any, graph: Any) -> Any:
    """Which of a graph's inputs a tensor is, else its numbers where they are known."""
    source = _source(tensor)
    for index, given in enumerate(graph.inputs):
        if given is source:
            return index
    return static(source)


def _carried(body: Any, index: int) -> bool:
    """Whether a loop hands a variable on as it is."""
    return _source(body.outputs[index]) is body.inputs[index]


def _step(loop: Any, body: Any, index: int) -> int | None:
    """By how much a loop's body counts a variable up."""
    op = _source(body.outputs[index]).op
    if op.type not in ("AddV2", "Add"):
        return None
    sides = [_place(x, body) for x in op.inputs]
    mine = [isinstance(side, int) and side == index for side in sides]
    if sum(mine) != 1:
        return None
    by = sides[mine.index(False)]
    if isinstance(by, int):
        by = _number(loop.inputs[by]) if _carried(body, by) else None
    if by is None or by.size != 1 or by.dtype.kind not in "iu":
        return None
    step = int(by.reshape(()))
    return step if step > 0 else None
