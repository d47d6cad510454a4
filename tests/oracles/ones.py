"""Random convolutions, and arrays of ones to try them on."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from . import loops

BOUNDED = settings(max_examples=80, deadline=None, derandomize=True, database=None)
FORMATS = st.sampled_from(["channels_last", "channels_first"])


def as_array(hits: dict, shape: tuple[int, ...]) -> np.ndarray:
    array = np.full(shape, -1, dtype=np.int64)
    for index, count in hits.items():
        array[index] = count[1] if isinstance(count, list) else count
    return array


def ones(shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape, dtype="float32")


def shaped(batch: int, spatial: tuple, channels: int, data_format: str) -> tuple[int, ...]:
    first = data_format == "channels_first"
    return (batch, channels, *spatial) if first else (batch, *spatial, channels)


@st.composite
def conv_cases(draw, depthwise: bool = False):
    rank = draw(st.integers(1, 3))
    most = {1: 9, 2: 6, 3: 4}[rank]

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.integers(low, high), min_size=rank, max_size=rank)))

    spatial, kernel = each(1, most), each(1, 3)
    strides, dilation = each(1, 3), each(1, 2)
    padding = draw(st.sampled_from(["valid", "same", "explicit"]))
    if padding == "explicit":
        padding = tuple(zip(each(0, 2), each(0, 2), strict=True))
    groups = draw(st.integers(1, 2))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    data_format = draw(FORMATS)
    x = shaped(draw(st.integers(1, 2)), spatial, c_in, data_format)
    kernel_shape = (*kernel, c_in, c_out) if depthwise else (*kernel, c_in // groups, c_out)
    return x, kernel_shape, strides, padding, dilation, groups, data_format


@st.composite
def transpose_cases(draw, dilated: bool, least: int = 0):
    """``least`` is the smallest output padding that may be given."""
    rank = draw(st.integers(1, 3))
    most = {1: 7, 2: 4, 3: 3}[rank]
    stride = draw(st.integers(1, 3))
    kernel = tuple(draw(st.lists(st.integers(1, 5 - rank), min_size=rank, max_size=rank)))
    spatial = tuple(draw(st.lists(st.integers(1, most), min_size=rank, max_size=rank)))
    padding = draw(st.sampled_from(["valid", "same"]))
    # Keras wants output_padding < strides.
    extra = draw(st.sampled_from([None, *range(least, stride)]))
    c_in, c_out = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    dilation = draw(st.integers(1, 2)) if dilated else 1
    data_format = draw(FORMATS) if dilated else "channels_last"
    x = shaped(draw(st.integers(1, 2)), spatial, c_in, data_format)
    return x, (*kernel, c_out, c_in), stride, padding, extra, dilation, data_format


def check_transpose(case, computed: np.ndarray) -> None:
    hits, nominal, shape = loops.conv_transpose_hits(*case)
    assert shape == computed.shape
    np.testing.assert_array_equal(as_array(hits, shape), computed)
    assert loops.conv_transpose_macs(*case) == (nominal, int(computed.sum()), shape)
    assert nominal == prod(case[0]) * prod(case[1][:-1])
