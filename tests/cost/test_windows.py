"""Pooling and interpolation against counters that visit every tap of every window."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlens.cost.cost import ZERO, Cost
from costlens.ir.types import Shape
from tests.cost.calls import BOUNDED, DTYPES, cost, cost_and_shape, laid_out
from tests.cost.counting import Tally, total
from tests.oracles import loops

Draw = Any


def each(draw: Draw, low: int, high: int, rank: int) -> Shape:
    """One integer per axis."""
    return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))


@st.composite
def pools(draw: Draw) -> dict[str, Any]:
    rank, last = draw(st.integers(1, 3)), draw(st.booleans())
    most = {1: 9, 2: 6, 3: 4}[rank]
    spatial = each(draw, 1, most, rank)
    return {
        "x": laid_out(draw(st.integers(1, 2)), spatial, draw(st.integers(1, 3)), last),
        "window": each(draw, 1, 3, rank),
        "strides": each(draw, 1, 3, rank),
        "padding": tuple(zip(each(draw, 0, 2, rank), each(draw, 0, 2, rank), strict=True)),
        "channels_last": last,
    }


@BOUNDED
@given(case=pools(), fn=st.sampled_from(["max", "average"]), dtype=st.sampled_from(DTYPES))
def test_pool(case: dict[str, Any], fn: str, dtype: str) -> None:
    """A window's first element is taken as it is; every further one is one operation."""
    x, data_format = case.pop("x"), "channels_last" if case["channels_last"] else "channels_first"
    found, shape = cost_and_shape("pool", x, fn=fn, dtype=dtype, **case)
    work, _, expected = loops.pool_ops(
        x, case["window"], case["strides"], case["padding"], data_format
    )
    assert shape == expected
    assert found == (Cost(comparisons=work) if fn == "max" else Cost(adds=work))


@st.composite
def adaptive_pools(draw: Draw) -> tuple[Shape, Shape, bool, Shape]:
    rank, last = draw(st.integers(1, 3)), draw(st.booleans())
    spatial, size = each(draw, 1, 8 // rank, rank), each(draw, 1, 6 // rank, rank)
    x = laid_out(draw(st.integers(1, 2)), spatial, draw(st.integers(1, 2)), last)
    return x, size, last, spatial


@BOUNDED
@given(case=adaptive_pools(), fn=st.sampled_from(["max", "average"]))
def test_adaptive_pool(case: tuple[Shape, Shape, bool, Shape], fn: str) -> None:
    """The windows tile each axis in equal parts, every element that a part touches included."""
    x, size, last, spatial = case
    found, shape = cost_and_shape("adaptive_pool", x, fn=fn, size=size, channels_last=last)
    batch, _, channels = loops._split(x, "channels_last" if last else "channels_first")
    assert shape == laid_out(batch, size, channels, last)
    lines = [windows(n, m) for n, m in zip(spatial, size, strict=True)]
    tally = Tally()
    for _ in range(batch * channels):
        for position in product(*lines):
            total(tally.number(1.0) for _ in product(*position))
    work = tally.adds
    assert found == (Cost(comparisons=work) if fn == "max" else Cost(adds=work))


def windows(size: int, parts: int) -> list[list[int]]:
    """The elements that each of so many equal parts of a line touches."""
    found = []
    for part in range(parts):
        begin, end = Fraction(part * size, parts), Fraction((part + 1) * size, parts)
        found.append([at for at in range(size) if at < end and at + 1 > begin])
    return found


if hasattr(keras.ops, "adaptive_max_pool"):

    @pytest.mark.parametrize(("size", "parts"), [(7, 3), (8, 4), (9, 4), (5, 5), (10, 7)])
    def test_adaptive_windows_are_keras_s(size: int, parts: int) -> None:
        """The largest index in a window is its last, and the largest negated index its first."""
        line = keras.ops.reshape(keras.ops.arange(size, dtype="float32"), (1, size, 1))
        last = keras.ops.adaptive_max_pool(line, parts, data_format="channels_last")
        first = keras.ops.adaptive_max_pool(-line, parts, data_format="channels_last")
        ends = [(int(-a), int(b)) for a, b in zip(np.ravel(first), np.ravel(last), strict=True)]
        assert ends == [(window[0], window[-1]) for window in windows(size, parts)]


#: How far each kernel reaches to either side, in elements of its input.
REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


def most_taps(size: int, target: int, reach: int, antialias: bool) -> int:
    """The most elements that lie under the kernel, wherever its centre falls.

    With antialiasing a kernel that shrinks the image is as much wider as the image is larger.
    """
    scale = max(Fraction(1), Fraction(size, target)) if antialias else Fraction(1)
    most, step = 0, Fraction(1, 4 * target)
    for at in range(4 * target * size):
        centre = at * step
        begin, end = math.floor(centre - reach * scale), math.ceil(centre + reach * scale)
        under = sum(abs(n - centre) < reach * scale for n in range(begin, end + 1) if 0 <= n < size)
        most = max(most, under)
    return most


@BOUNDED
@given(
    size=st.lists(st.integers(1, 7), min_size=1, max_size=2),
    target=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    method=st.sampled_from(sorted(REACH)),
    antialias=st.booleans(),
    last=st.booleans(),
)
def test_resize(
    size: list[int], target: list[int], method: str, antialias: bool, last: bool
) -> None:
    """Every output element is a weighted sum of the elements under a kernel; nothing is a MAC."""
    target = target[: len(size)]
    found, shape = cost_and_shape(
        "resize",
        laid_out(2, size, 2, last),
        method=method,
        size=tuple(target),
        channels_last=last,
        antialias=antialias,
    )
    assert shape == laid_out(2, target, 2, last)
    taps = [
        range(most_taps(n, m, REACH[method], antialias)) for n, m in zip(size, target, strict=True)
    ]
    tally = Tally()
    for _ in range(math.prod(shape)):
        total(tally.number(0.5) * tally.number(1.0) for _ in product(*taps))
    assert found == tally.cost
    assert (found.macs, found.macs_valid) == (0, 0)


@BOUNDED
@given(
    size=st.lists(st.integers(1, 7), min_size=2, max_size=2),
    target=st.lists(st.integers(1, 6), min_size=2, max_size=2),
    last=st.booleans(),
)
def test_resize_by_area(size: list[int], target: list[int], last: bool) -> None:
    """Every output element is a weighted mean of the elements that it lies over."""
    x = laid_out(1, size, 3, last)
    found = cost("resize", x, method="area", size=tuple(target), channels_last=last)
    tally = Tally()
    for _ in range(3):
        for position in product(*(windows(n, m) for n, m in zip(size, target, strict=True))):
            total(tally.number(0.5) * tally.number(1.0) for _ in product(*position))
    assert found == tally.cost


@pytest.mark.parametrize("antialias", [False, True])
def test_nearest_computes_nothing(antialias: bool) -> None:
    options: dict[str, Any] = {"method": "nearest", "channels_last": True, "antialias": antialias}
    assert cost("resize", (1, 8, 6, 3), size=(3, 4), **options) == ZERO


@pytest.mark.parametrize(("method", "reach"), REACH.items())
def test_a_kernel_reaches_as_far_as_keras_s(method: str, reach: int) -> None:
    """One lit pixel in an image ten times enlarged: the outputs that see it lie under the kernel.

    A kernel is zero at its ends, and wherever it crosses zero between its taps.
    """
    line = np.zeros((1, 1, 40, 1), "float32")
    line[0, 0, 20] = 1.0
    seen = keras.ops.image.resize(line, (1, 400), method, data_format="channels_last")
    span = np.flatnonzero(np.abs(np.ravel(seen)) > 1e-6)
    assert span[-1] - span[0] + 1 == 2 * reach * 10
