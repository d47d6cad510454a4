"""Traced contractions: products over any axes, convolutions and transposed ones."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.jax_common import Flipped, extra, out
from costlens.frontends.lowering.jax_window import interpolated
from costlens.frontends.lowering.operands import tensor
from costlens.ir.types import Shape


def _dot_general(b: Builder, call: LayerCall) -> Tree:
    """A product over some axes, for each place of others; of an image's it is interpolation."""
    x, y = (tensor(b, leaf) for leaf in call.args)
    (over_x, over_y), (same_x, same_y) = (
        tuple(map(tuple, axes)) for axes in call.config["dimension_numbers"]
    )
    if "image" in call.config["purposes"]:
        return interpolated(b, call, x, y, over_x, over_y)
    letters = iter(string.ascii_letters)
    left = [next(letters) for _ in range(x.rank)]
    right = [next(letters) for _ in range(y.rank)]
    for i, j in zip((*over_x, *same_x), (*over_y, *same_y), strict=True):
        right[j] = left[i]
    free_x = [left[i] for i in range(x.rank) if i not in over_x and i not in same_x]
    free_y = [right[j] for j in range(y.rank) if j not in over_y and j not in same_y]
    made = [*(left[i] for i in same_x), *free_x, *free_y]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(made)}"
    return b.einsum(equation, x, y, out(call).dtype, "dot_general")


def _ragged_dot(b: Builder, call: LayerCall) -> Tree:
    """Rows in groups, each times the matrix of its group: as many products as with one matrix."""
    x, matrices = (tensor(b, leaf) for leaf in call.args[:2])
    if x.rank != 2 or matrices.rank != 3:
        raise Unreadable("a ragged product of more than two axes")
    one = b.slice(matrices, matrices.shape[1:], "the group's matrix")
    return b.einsum("ab,bc->ac", x, one, out(call).dtype, "ragged_dot")


def _conv(b: Builder, call: LayerCall) -> Tree:
    config, numbers = call.config, call.config["dimension_numbers"]
    groups = int(config["batch_group_count"])
    if groups != 1:
        return _batch_groups(b, call, groups)
    x = tensor(b, call.args[0])
    if "patches" in config["purposes"]:
        return b.rearrange("patches", x, out(call).shape, out(call).dtype)
    if _swaps(call):
        return _swapped(b, call, x)
    last = tuple(numbers.lhs_spec) == (0, x.rank - 1, *range(1, x.rank - 1))
    order = (0, *range(2, x.rank), 1) if last else tuple(range(x.rank))
    if not last:
        x = b.transpose(x, numbers.lhs_spec)
    if _is_transposed(b, call):
        made = _conv_transpose(b, call, x, last)
    else:
        made = _plain(b, call, x, last)
    wanted = tuple(numbers.out_spec)  # where batch, channels and space are in what comes out
    place = {spec: order.index(i) for i, spec in enumerate(wanted)}
    return b.transpose(made, [place[axis] for axis in range(x.rank)])


def _batch_groups(b: Builder, call: LayerCall, groups: int) -> Tensor:
    """A convolution whose batch is in groups, each with kernels of its own: one turn each."""
    x, kernel, made = tensor(b, call.args[0]), tensor(b, call.args[1]), out(call)
    numbers = call.config["dimension_numbers"]
    batch, outward, features = numbers.lhs_spec[0], numbers.rhs_spec[0], numbers.out_spec[1]
    one_of = _divided(made.shape, features, groups)
    config = {**call.config, "batch_group_count": 1}
    with b.loop(groups):
        part = b.slice(x, _divided(x.shape, batch, groups), "a group of the batch")
        own = b.slice(kernel, _divided(kernel.shape, outward, groups), "its kernels")
        layer = replace(call.layer, config=config)
        one = _conv(b, LayerCall(layer, (part, own), {}, ((one_of, made.dtype),)))
    stacked = b.emit("stack", (one,), axis=features, length=groups)
    return b.reshape(stacked, made.shape)


def _divided(shape: Shape, axis: int, parts: int) -> Shape:
    return (*shape[:axis], shape[axis] // parts, *shape[axis + 1 :])


def _swaps(call: LayerCall) -> bool:
    """Whether it derives a transposed convolution's kernel, of which each element takes one
    product with each element of that convolution's input, and not with each of its output."""
    config, numbers = call.config, call.config["dimension_numbers"]
    if "gradient" not in config["purposes"] or isinstance(call.args[1], Flipped):
        return False
    shapes = (call.args[0].type.shape, call.args[1].type.shape, out(call).shape)
    specs = (numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec)
    x, taps, made = (
        prod([shape[axis] for axis in spec[2:]]) for shape, spec in zip(shapes, specs, strict=True)
    )
    spread = any(map(_not_one, config["lhs_dilation"]))
    return made < taps and (spread or x < taps)


def _swapped(b: Builder, call: LayerCall, x: Tensor) -> Tensor:
    """The same sums with the operands exchanged: the input is the kernel, its spread a dilation."""
    config, numbers = call.config, call.config["dimension_numbers"]
    kernel, made = tensor(b, call.args[1]), out(call)
    steps = [*config["window_strides"], *config["rhs_dilation"], config["feature_group_count"]]
    if any(map(_not_one, steps)):
        raise Unreadable("a convolution over a spread input that skips, or is in groups")
    (batch, inward, *space), (outward, within, *taps) = numbers.lhs_spec, numbers.rhs_spec
    lhs = b.transpose(kernel, (outward, *taps, within))
    rhs = b.transpose(x, (*space, inward, batch))
    spread = tuple(map(int, config["lhs_dilation"]))
    sizes = [made.shape[axis] for axis in numbers.out_spec[2:]]
    padding = []
    for size, long, short, step, (low, _) in zip(
        sizes, lhs.shape[1:-1], rhs.shape, spread, config["padding"], strict=False
    ):
        before = size - 1 - int(low)
        padding.append((before, size - 1 + (short - 1) * step + 1 - long - before))
    done = b.emit(
        "conv",
        (lhs, rhs),
        label="conv",
        strides=(1,) * len(sizes),
        padding=tuple(padding),
        dilation=spread,
        groups=1,
        channels_last=True,
        **extra(made.dtype, lhs.dtype),
    )
    return b.rearrange("kernel", done, made.shape)


def _kernel(b: Builder, leaf: Any, order: Sequence[int]) -> Tensor:
    """A kernel with its axes in this order; one turned around as it was."""
    if isinstance(leaf, Flipped):
        return b.transpose(leaf.of, [leaf.perm[i] for i in order])
    return b.transpose(tensor(b, leaf), order)


def _plain(b: Builder, call: LayerCall, x: Tensor, last: bool) -> Tensor:
    config = call.config
    outward, inward, *taps = config["dimension_numbers"].rhs_spec
    kernel = _kernel(b, call.args[1], (*taps, inward, outward))
    groups = int(config["feature_group_count"])
    return b.emit(
        "conv",
        (x, kernel),
        label="conv",
        strides=tuple(map(int, config["window_strides"])),
        padding=tuple((int(low), int(high)) for low, high in config["padding"]),
        dilation=tuple(map(int, config["rhs_dilation"])),
        groups=groups,
        channels_last=last,
        **extra(out(call).dtype, x.dtype),
    )


def _is_transposed(b: Builder, call: LayerCall) -> bool:
    """Its input is spread out, or its kernel turned around, as only a transposed one's are."""
    if any(map(_not_one, call.config["lhs_dilation"])):
        return True
    if any(map(_not_one, call.config["window_strides"])):
        return False
    kernel = call.args[1]
    if not isinstance(kernel, Tensor) or kernel.id in b.weights:
        return isinstance(kernel, Flipped)
    made = {value: node for node in b.nodes for value in node.outputs}
    node = made.get(kernel.id)
    while node is not None and node.op in ("transpose", "cast"):
        node = made.get(node.operands[0])
    return node is not None and node.attrs.get("fn") == "flip"


def _not_one(step: Any) -> bool:
    return int(step) != 1


def _conv_transpose(b: Builder, call: LayerCall, x: Tensor, last: bool) -> Tensor:
    """A convolution over a spread input: each element spreads its kernel over the output."""
    config = call.config
    if any(map(_not_one, config["window_strides"])):
        raise Unreadable("a transposed convolution that skips outputs")
    outward, inward, *taps = config["dimension_numbers"].rhs_spec
    kernel = _kernel(b, call.args[1], (*taps, outward, inward))
    dilation = tuple(map(int, config["rhs_dilation"]))
    reach = [(k - 1) * d for k, d in zip(kernel.shape, dilation, strict=False)]
    crop = tuple(
        (far - int(low), far - int(high))
        for far, (low, high) in zip(reach, config["padding"], strict=True)
    )
    attrs: dict[str, Any] = {
        "strides": tuple(map(int, config["lhs_dilation"])),
        "crop": crop,
        "dilation": dilation,
        "channels_last": last,
        **extra(out(call).dtype, x.dtype),
    }
    groups = int(config["feature_group_count"])
    if groups == 1:
        return b.emit("conv_transpose", (x, kernel), **attrs)
    return _in_groups(b, x, kernel, groups, attrs)


def _in_groups(
    b: Builder, x: Tensor, kernel: Tensor, groups: int, attrs: Mapping[str, Any]
) -> Tensor:
    """A transposed convolution of each group of channels, one turn of a loop each."""
    axis = x.rank - 1 if attrs["channels_last"] else 1
    shape = (*x.shape[:axis], x.shape[axis] // groups, *x.shape[axis + 1 :])
    part = kernel.shape[-2] // groups
    with b.loop(groups):
        one = b.slice(x, shape, "a group of channels")
        own = b.slice(kernel, (*kernel.shape[:-2], part, kernel.shape[-1]), "its kernels")
        made = b.emit("conv_transpose", (one, own), **attrs)
    stacked = b.emit("stack", (made,), axis=axis, length=groups)
    return b.reshape(stacked, (*made.shape[:axis], groups * part, *made.shape[axis + 1 :]))


OPS: Mapping[str, Lowering] = {
    "jax:dot_general": _dot_general,
    "jax:ragged_dot": _ragged_dot,
    "jax:conv_general_dilated": _conv,
}
"""Primitive key → its lowering."""
