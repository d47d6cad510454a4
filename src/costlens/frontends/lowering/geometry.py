"""Window arithmetic: Keras's padding rules as explicit pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlens.ir.ops import channel_axis, spatial_axes
from costlens.ir.types import Shape

Pairs = tuple[tuple[int, int], ...]


def ntuple(value: int | Sequence[int], n: int) -> tuple[int, ...]:
    """``3`` → ``(3, 3)``; a sequence of n ints as it is."""
    if isinstance(value, int):
        return (value,) * n
    return tuple(int(v) for v in value)


def channels_last(config: Any) -> bool:
    """Whether a config's ``data_format`` puts channels last; Keras's own default does."""
    return bool(config.get("data_format") != "channels_first")


def spatial(shape: Shape, last: bool) -> tuple[int, ...]:
    """The sizes of the spatial axes."""
    return tuple(shape[axis] for axis in spatial_axes(len(shape), last))


def channels(shape: Shape, last: bool) -> int:
    """The number of channels."""
    return shape[channel_axis(len(shape), last)]


def same_padding(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Pairs:
    """TensorFlow's SAME: ⌈n/s⌉ positions, the odd element of padding after."""
    pairs = []
    for n, k, s, d in zip(sizes, kernel, strides, dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def padding_pairs(
    padding: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """``"valid"`` or ``"same"`` as (before, after) per spatial axis."""
    if padding.lower() == "same":
        return same_padding(sizes, kernel, strides, dilation)
    return ((0, 0),) * len(sizes)
