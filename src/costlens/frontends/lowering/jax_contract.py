"""Traced contractions: products over any axes, convolutions and transposed ones."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.jax_common import Flipped, extra, out, tensor
from costlens.frontends.lowering.jax_window import interpolated


def _dot_general(b: Builder, call: LayerCall) -> Tree:
    """A product over some axes, for each place of others; of an image's it is interpolation."""
    x, y = (tensor(b, leaf) for leaf in call.args)
    (over_x, over_y), (same_x, same_y) = (
        tuple(map(tuple, axes)) for axes in call.config["dimension_numbers"]
    )
    if call.config["image"]:
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
    if int(config["batch_group_count"]) != 1:
        raise Unreadable("a convolution in groups of the batch")
    x = tensor(b, call.args[0])
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
    if any(int(step) > 1 for step in call.config["lhs_dilation"]):
        return True
    kernel = call.args[1]
    if not isinstance(kernel, Tensor) or kernel.id in b.weights:
        return isinstance(kernel, Flipped)
    made = {value: node for node in b.nodes for value in node.outputs}
    node = made.get(kernel.id)
    while node is not None and node.op in ("transpose", "cast"):
        node = made.get(node.operands[0])
    return node is not None and node.attrs.get("fn") == "flip"


def _conv_transpose(b: Builder, call: LayerCall, x: Tensor, last: bool) -> Tensor:
    """A convolution over a spread input: each element spreads its kernel over the output."""
    config = call.config
    if any(int(step) != 1 for step in config["window_strides"]):
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
