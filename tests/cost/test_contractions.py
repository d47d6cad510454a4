"""Convolutions and contractions against counters that walk over every single product."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlens.ir.ops import OPS
from costlens.ir.types import Shape, TensorType
from tests.cost.calls import BOUNDED, DTYPES, called, cost_and_shape, laid_out
from tests.oracles import loops

FORMAT = {True: "channels_last", False: "channels_first"}
Draw = Any


@st.composite
def convolutions(draw: Draw) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[rank]

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    groups, last = draw(st.integers(1, 3)), draw(st.booleans())
    fan_in, fan_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    return {
        "x": laid_out(draw(st.integers(1, 2)), each(1, most), groups * fan_in, last),
        "kernel": (*each(1, 3), fan_in, groups * fan_out),
        "strides": each(1, 3),
        "padding": tuple(zip(each(0, 3), each(0, 3), strict=True)),
        "dilation": each(1, 3),
        "groups": groups,
        "channels_last": last,
    }


@BOUNDED
@given(case=convolutions(), dtype=st.sampled_from(DTYPES))
def test_conv(case: dict[str, Any], dtype: str) -> None:
    """Any stride, padding (before and after on their own), dilation, groups and layout."""
    x, kernel, last = case.pop("x"), case.pop("kernel"), case["channels_last"]
    cost, shape = cost_and_shape("conv", x, kernel, dtype=dtype, **case)
    nominal, valid, expected = loops.conv_macs(
        x,
        kernel,
        case["strides"],
        case["padding"],
        case["dilation"],
        case["groups"],
        FORMAT[last],
    )
    assert (cost.macs, cost.macs_valid, shape) == (nominal, valid, expected)
    assert cost.flops == 2 * nominal


@BOUNDED
@given(case=convolutions(), multiplier=st.integers(1, 3))
def test_depthwise_conv(case: dict[str, Any], multiplier: int) -> None:
    """A depthwise convolution is one group per channel."""
    x, last = case.pop("x"), case["channels_last"]
    taps, channels = case.pop("kernel")[:-2], x[-1 if last else 1]
    case["groups"] = channels
    cost, shape = cost_and_shape("conv", x, (*taps, 1, channels * multiplier), **case)
    assert (cost.macs, cost.macs_valid, shape) == loops.depthwise_macs(
        x,
        (*taps, channels, multiplier),
        case["strides"],
        case["padding"],
        case["dilation"],
        FORMAT[last],
    )


def test_conv_names_channels_that_disagree() -> None:
    attrs = {"strides": (1,), "padding": ((0, 0),), "dilation": (1,), "channels_last": True}
    with pytest.raises(ValueError, match=r"5 input channels against a kernel \(3, 2, 4\)"):
        called("conv", (1, 9, 5), (3, 2, 4), groups=2, **attrs)


def scattered(
    x: Shape,
    kernel: Shape,
    strides: Shape,
    crop: tuple[tuple[int, int], ...],
    dilation: Shape,
    last: bool,
    groups: int = 1,
) -> tuple[int, int, Shape]:
    """Every input element times every tap, put where it lands; what lands outside is cropped.

    A channel of a group goes to the output channels of that group only.
    """
    batch, spatial, c_in = loops._split(x, FORMAT[last])
    *taps, c_out, _ = kernel
    ends = []
    for size, reach, step, gap, (before, after) in zip(
        spatial, taps, strides, dilation, crop, strict=True
    ):
        landings = [at * step + tap * gap for at in range(size) for tap in range(reach)]
        ends.append((before, max(landings) - after))
    nominal = valid = 0
    for _ in range(batch):
        for at in product(*map(range, spatial)):
            for tap in product(*map(range, taps)):
                steps = zip(at, strides, tap, dilation, strict=True)
                landed = [a * s + t * d for a, s, t, d in steps]
                kept = all(lo <= n <= hi for n, (lo, hi) in zip(landed, ends, strict=True))
                for _ in range(c_in * c_out):
                    nominal += 1
                    valid += kept
    sizes = [len(range(lo, hi + 1)) for lo, hi in ends]
    return nominal, valid, laid_out(batch, sizes, c_out * groups, last)


@st.composite
def transposed(draw: Draw, grouped: bool = False) -> dict[str, Any]:
    rank = draw(st.integers(1, 3))
    most = {1: 6, 2: 4, 3: 3}[rank]
    last = draw(st.booleans())

    def each(low: int, high: int) -> Shape:
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    spatial, taps, strides, dilation = each(1, most), each(1, 3), each(1, 3), each(1, 3)
    crop = []
    for size, reach, step, gap in zip(spatial, taps, strides, dilation, strict=True):
        full = 1 + max(at * step + tap * gap for at in range(size) for tap in range(reach))
        before = draw(st.integers(-2, full - 1))
        crop.append((before, draw(st.integers(-2, full - 1 - max(before, 0)))))
    c_in, c_out = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3)) if grouped else 1
    case = {
        "x": laid_out(draw(st.integers(1, 2)), spatial, c_in * groups, last),
        "kernel": (*taps, c_out, c_in * groups),
        "strides": strides,
        "crop": tuple(crop),
        "dilation": dilation,
        "channels_last": last,
    }
    return case if groups == 1 else {**case, "groups": groups}


@BOUNDED
@given(case=transposed(grouped=True), dtype=st.sampled_from(DTYPES))
def test_conv_transpose(case: dict[str, Any], dtype: str) -> None:
    """Any crop of either side; a negative one adds zeros."""
    x, kernel = case.pop("x"), case.pop("kernel")
    cost, shape = cost_and_shape("conv_transpose", x, kernel, dtype=dtype, **case)
    nominal, valid, expected = scattered(
        x,
        kernel,
        case["strides"],
        case["crop"],
        case["dilation"],
        case["channels_last"],
        case.get("groups", 1),
    )
    assert (cost.macs, cost.macs_valid, shape) == (nominal, valid, expected)
    assert cost.flops == 2 * nominal


@BOUNDED
@given(
    case=transposed(),
    padding=st.sampled_from(["valid", "same"]),
    extra=st.none() | st.integers(0, 2),
)
def test_conv_transpose_as_keras_pads_it(
    case: dict[str, Any], padding: str, extra: int | None
) -> None:
    """The crops that Keras's ``padding`` and ``output_padding`` amount to."""
    x, kernel, last = case.pop("x"), case.pop("kernel"), case["channels_last"]
    strides, dilation = case["strides"], case["dilation"]
    spatial, taps = loops._split(x, FORMAT[last])[1], kernel[:-2]
    extras = None if extra is None else [min(extra, step - 1) for step in strides]
    crop = []
    for axis, line in enumerate(zip(spatial, taps, strides, dilation, strict=True)):
        landings, length = loops._scatter_line(*line, padding, extras and extras[axis])
        crop.append((-landings[0][0], landings[-1][-1] + 1 - length))
    cost, shape = cost_and_shape("conv_transpose", x, kernel, **{**case, "crop": tuple(crop)})
    assert (cost.macs, cost.macs_valid, shape) == loops.conv_transpose_macs(
        x, kernel, strides, padding, extras, dilation, FORMAT[last]
    )


@st.composite
def equations(draw: Draw) -> tuple[str, Shape, Shape]:
    """Two operands' labels in any order; where both have a label, either may be of size 1."""
    labels = draw(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True))
    sizes = {label: draw(st.integers(1, 4)) for label in labels}
    left, right, out = [], [], []
    for label in labels:
        where = draw(st.sampled_from(["left", "right", "both"]))
        left += [label] * (where != "right")
        right += [label] * (where != "left")
        out += [label] * draw(st.integers(0, 1))
    terms = [draw(st.permutations(term)) for term in (left, right, out)]
    shapes = []
    for term in terms[:2]:
        alone = draw(st.integers(0, 3)) > 0
        size = [sizes[x] if alone or x not in set(left) & set(right) else 1 for x in term]
        shapes.append(tuple(size))
    one, two, three = ("".join(term) for term in terms)
    return f"{one},{two}->{three}", shapes[0], shapes[1]


@BOUNDED
@given(case=equations(), dtype=st.sampled_from(DTYPES))
def test_einsum(case: tuple[str, Shape, Shape], dtype: str) -> None:
    """Batched, contracted, broadcast and lone labels, in any order."""
    equation, left, right = case
    cost, shape = cost_and_shape("einsum", left, right, dtype=dtype, equation=equation)
    products = loops.einsum_macs(equation, left, right, lone_first=False)
    assert (cost.macs, cost.macs_valid, cost.flops) == (products, products, 2 * products)
    hits = loops.einsum_hits(equation, left, right)
    assert sum(hits.values()) == products
    assert shape == tuple(len(set(along)) for along in zip(*hits, strict=True))


@pytest.mark.parametrize(
    ("equation", "left", "right"),
    [("ab,bc->ac", (2, 3), (4, 5)), ("ab,bc->ac", (2, 3, 4), (3, 5))],
)
def test_einsum_refuses_operands_that_disagree(equation: str, left: Shape, right: Shape) -> None:
    with pytest.raises(ValueError, match="einsum ab,bc->ac"):
        called("einsum", left, right, equation=equation)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_result_may_be_of_another_dtype(dtype: str) -> None:
    """Products may accumulate in a dtype that the operands do not have."""
    operands = (TensorType((2, 3), "int8"), TensorType((3, 4), "int8"))
    (out,) = OPS["einsum"].infer(operands, {"equation": "ab,bc->ac", "dtype": dtype})
    assert out == TensorType((2, 4), dtype)
