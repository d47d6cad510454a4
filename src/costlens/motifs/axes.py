"""Which axes of a value are its channels: what an op leaves of them, names and layouts apart.

Channels may be one axis or several, as where a projection is split into heads. None means that
nothing has said yet which they are.
"""

from __future__ import annotations

from collections.abc import Sequence

from costlens.ir.graph import Node
from costlens.ir.ops import channel_axis
from costlens.ir.types import Shape

Axes = tuple[int, ...]


def reshaped(old: Shape, new: Shape, axes: Axes) -> Axes | None:
    """The channel axes after a reshape; None where channels and positions merge into one axis.

    Old and new axes fall into runs of equal products; a run of channels stays one.

    >>> reshaped((1, 7, 7, 64), (1, 49, 64), (3,)), reshaped((1, 49, 64), (1, 49, 4, 16), (2,))
    ((2,), (2, 3))
    >>> reshaped((1, 7, 7, 64), (1, 3136), (3,)) is None
    True
    """
    if 0 in old:
        return None
    made: list[int] = []
    for left, right in _runs(old, new):
        real = [axis for axis in left if old[axis] != 1]
        inside = [axis in axes for axis in real or left]
        if not inside:
            continue
        if all(inside):
            wide = [axis for axis in right if new[axis] != 1]
            made += wide or right[-1:]
        elif any(inside):
            return None
    return tuple(made)


def _runs(old: Shape, new: Shape) -> list[tuple[list[int], list[int]]]:
    """Old and new axes in runs of equal products; axes of 1 join the run before them."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        left, right = [i] if i < len(old) else [], [j] if j < len(new) else []
        a, b = old[i] if left else 1, new[j] if right else 1
        i, j = i + len(left), j + len(right)
        while a != b:
            if (a < b and i < len(old)) or j >= len(new):
                a, i = a * old[i], i + 1
                left.append(i - 1)
            else:
                b, j = b * new[j], j + 1
                right.append(j - 1)
        runs.append((left, right))
    return runs


def transposed(axes: Axes, perm: Sequence[int]) -> Axes:
    """The channel axes after a transpose, in their own order."""
    return tuple(perm.index(axis) for axis in axes)


def without(axes: Axes, gone: Sequence[int]) -> Axes:
    """The channel axes after other axes have been taken out."""
    return tuple(axis - sum(g < axis for g in gone) for axis in axes if axis not in gone)


def of_layout(node: Node, rank: int) -> Axes:
    """The channel axis that a convolution, a pooling or a resize says itself."""
    return (channel_axis(rank, node.attrs["channels_last"]),)
