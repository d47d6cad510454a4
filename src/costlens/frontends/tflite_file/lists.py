"""Writes into a list, as TensorFlow Lite's converter spells them, read back as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from costlens.frontends.opfile.model import FileOp, FileTensor


def joined(ops: Sequence[FileOp], tensors: Mapping[str, FileTensor]) -> list[FileOp]:
    """The operators, with every ``concat(list[:i], item, list[i + 1:])`` as one update.

    The two slices have no size that is known before the loop runs; what they are joined to has.
    """
    made = {name: op for op in ops for name in op.outputs}
    reads = Counter(name for op in ops for name in op.inputs)
    gone: set[str] = set()
    found = []
    for op in ops:
        ends = [made.get(name) for name in (*op.inputs[:1], *op.inputs[2:])]
        if op.kind == "CONCATENATION" and len(op.inputs) == 3:
            before, after = ends
            if before and after and _parts_of_one(before, after, reads, tensors):
                gone |= {*before.outputs, *after.outputs}
                inputs = (before.inputs[0], op.inputs[1])
                op = replace(op, kind="DYNAMIC_UPDATE_SLICE", inputs=inputs)
        found.append(op)
    return [op for op in found if not (op.outputs and gone.issuperset(op.outputs))]


def _parts_of_one(
    before: FileOp, after: FileOp, reads: Counter[str], tensors: Mapping[str, FileTensor]
) -> bool:
    """Whether these are two slices of one list, cut where no number says, and read once."""
    if before.kind != "SLICE" or after.kind != "SLICE" or before.inputs[0] != after.inputs[0]:
        return False
    shapes = [tensors[op.outputs[0]].shape or () for op in (before, after)]
    return all(None in s for s in shapes) and all(
        reads[op.outputs[0]] == 1 for op in (before, after)
    )
