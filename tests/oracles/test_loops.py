"""Proof that the nested-loop counters are right.

With an input and a kernel of ones, the value that Keras or XLA computes at an output position is
the number of products behind it. So each counter is compared element by element with what the
framework really computes, and the sum of the output is the number of valid MACs.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from math import prod

import jax
import keras
import numpy as np
import pytest
from hypothesis import given, settings
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


def xla_conv(x_shape, kernel_shape, strides, padding, dilation, groups, data_format) -> np.ndarray:
    spatial = "DHW"[-(len(x_shape) - 2) :]
    layout = f"N{spatial}C" if data_format == "channels_last" else f"NC{spatial}"
    out = jax.lax.conv_general_dilated(
        ones(x_shape),
        ones(kernel_shape),
        strides,
        padding.upper() if isinstance(padding, str) else padding,
        rhs_dilation=dilation,
        dimension_numbers=(layout, f"{spatial}IO", layout),
        feature_group_count=groups,
    )
    return np.asarray(out)


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


@BOUNDED
@given(conv_cases())
def test_conv_equals_xla_on_ones(case):
    """Any stride, padding, dilation, group and layout, in one to three dimensions."""
    computed = xla_conv(*case)
    hits, shape = loops.conv_hits(*case)
    assert shape == computed.shape
    np.testing.assert_array_equal(as_array(hits, shape), computed)
    nominal, valid, out_shape = loops.conv_macs(*case)
    assert out_shape == computed.shape
    assert valid == int(computed.sum())
    # With every padded tap present each output sums a full window.
    assert nominal == len(hits) * prod(case[1][:-1])


@BOUNDED
@given(conv_cases(depthwise=True))
def test_depthwise_equals_xla_on_ones(case):
    x, kernel, strides, padding, dilation, _, data_format = case
    *taps, channels, multiplier = kernel
    as_grouped = (*taps, 1, channels * multiplier)
    computed = xla_conv(x, as_grouped, strides, padding, dilation, channels, data_format)
    hits, shape = loops.depthwise_hits(x, kernel, strides, padding, dilation, data_format)
    assert shape == computed.shape
    np.testing.assert_array_equal(as_array(hits, shape), computed)
    nominal, valid, _ = loops.depthwise_macs(x, kernel, strides, padding, dilation, data_format)
    assert valid == int(computed.sum())
    assert nominal == prod(shape) * prod(taps)


CONVS = {1: "Conv1D", 2: "Conv2D", 3: "Conv3D"}


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {"padding": "causal", "dilation_rate": 2}),
        (1, {"padding": "causal", "strides": 2}),
        (1, {"padding": "same", "dilation_rate": 3}),
        (1, {"padding": "same", "strides": 3, "groups": 2}),
        (2, {"padding": "same", "strides": 2}),
        (2, {"padding": "same", "dilation_rate": 2}),
        (2, {"padding": "valid", "strides": (2, 1), "groups": 2}),
        (3, {"padding": "same", "strides": 2}),
        (3, {"padding": "valid", "dilation_rate": 2}),
    ],
)
def test_conv_layers_agree(rank, options):
    """The layer itself: its kernel shape, its output shape and its values on ones."""
    layer = getattr(keras.layers, CONVS[rank])(
        4, 3, use_bias=False, kernel_initializer="ones", **options
    )
    x = (2, *(7, 8, 6)[:rank], 4)
    computed = np.asarray(layer(ones(x)))
    args = (
        x,
        tuple(layer.kernel.shape),
        layer.strides,
        layer.padding,
        layer.dilation_rate,
        layer.groups,
        layer.data_format,
    )
    nominal, valid, shape = loops.conv_macs(*args)
    assert shape == computed.shape
    if layer.padding == "causal":
        # The layer pads with zeros in an op of its own: they are real input to the convolution.
        assert valid == nominal > computed.sum()
        return
    np.testing.assert_array_equal(as_array(*loops.conv_hits(*args)), computed)
    assert valid == int(computed.sum())


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (1, {"padding": "same", "strides": 2}),
        (1, {"padding": "same", "dilation_rate": 2}),
        (2, {"padding": "same", "strides": 2, "depth_multiplier": 2}),
        (2, {"padding": "same", "strides": 2, "dilation_rate": 2}),
        (2, {"padding": "valid", "dilation_rate": (1, 2)}),
    ],
)
def test_depthwise_layers_agree(rank, options):
    layer = getattr(keras.layers, f"DepthwiseConv{rank}D")(
        3, use_bias=False, depthwise_initializer="ones", **options
    )
    x = (2, *(7, 8)[:rank], 3)
    computed = np.asarray(layer(ones(x)))
    args = (x, tuple(layer.kernel.shape), layer.strides, layer.padding, layer.dilation_rate)
    np.testing.assert_array_equal(as_array(*loops.depthwise_hits(*args)), computed)
    assert loops.depthwise_macs(*args)[1:] == (int(computed.sum()), computed.shape)


@st.composite
def transpose_cases(draw, dilated: bool):
    rank = draw(st.integers(1, 3))
    most = {1: 7, 2: 4, 3: 3}[rank]
    stride = draw(st.integers(1, 3))
    kernel = tuple(draw(st.lists(st.integers(1, 5 - rank), min_size=rank, max_size=rank)))
    spatial = tuple(draw(st.lists(st.integers(1, most), min_size=rank, max_size=rank)))
    padding = draw(st.sampled_from(["valid", "same"]))
    # Keras wants output_padding < strides.
    extra = draw(st.one_of(st.none(), st.integers(0, stride - 1)))
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


@BOUNDED
@given(transpose_cases(dilated=True))
def test_transpose_equals_xla_on_ones(case):
    """As Keras computes it on JAX: its padding arguments, XLA's convolution."""
    from keras.src.backend.common.backend_utils import (
        compute_conv_transpose_padding_args_for_jax,
    )

    x, kernel, stride, padding, extra, dilation, data_format = case
    rank = len(x) - 2
    pads = compute_conv_transpose_padding_args_for_jax(x, kernel, stride, padding, extra, dilation)
    spatial = "DHW"[-rank:]
    layout = f"N{spatial}C" if data_format == "channels_last" else f"NC{spatial}"
    computed = jax.lax.conv_transpose(
        ones(x),
        ones(kernel),
        (stride,) * rank,
        padding=pads,
        rhs_dilation=(dilation,) * rank,
        dimension_numbers=(layout, f"{spatial}IO", layout),
        transpose_kernel=True,
    )
    check_transpose(case, np.asarray(computed))


def forward_exists(case) -> bool:
    """TensorFlow computes the gradient of a forward convolution, so there has to be one."""
    x, kernel, stride, padding, _, _, _ = case
    out = loops.conv_transpose_macs(*case)[2]
    if 0 in out:
        return False
    return loops.conv_macs(out, kernel, stride, padding)[2] == x


@BOUNDED
@given(transpose_cases(dilated=False))
def test_transpose_layers_agree(case):
    """As Keras computes it on TensorFlow, and its own symbolic output shape."""
    x, (*kernel, filters, _), stride, padding, extra, _, _ = case
    rank = len(x) - 2
    layer = getattr(keras.layers, f"Conv{rank}DTranspose")(
        filters,
        tuple(kernel),
        strides=stride,
        padding=padding,
        output_padding=extra,
        use_bias=False,
        kernel_initializer="ones",
    )
    assert tuple(layer.compute_output_shape(x)) == loops.conv_transpose_macs(*case)[2]
    if not forward_exists(case):
        return
    computed = np.asarray(layer(ones(x)))
    assert tuple(layer.kernel.shape) == case[1]
    check_transpose(case, computed)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", ((3, 4), (4, 5))),
        ("bqhd,bkhd->bhqk", ((2, 3, 2, 4), (2, 5, 2, 4))),
        ("bhqk,bkhd->bqhd", ((2, 2, 3, 5), (2, 5, 2, 4))),
        ("...a,ab->...b", ((2, 3, 4), (4, 5))),
        ("b...a,ac->b...c", ((2, 3, 3, 4), (4, 2))),
        ("ab,ab->ab", ((3, 4), (3, 4))),
        ("i,j->ij", ((3,), (4,))),
        ("ii,ij->j", ((3, 3), (3, 2))),
        ("ij,jk", ((3, 4), (4, 5))),
        ("...ij,...jk", ((2, 3, 4), (1, 4, 2))),
        ("ij,k->k", ((3, 4), (2,))),
    ],
)
def test_einsum_equals_numpy_on_ones(equation, shapes):
    computed = np.einsum(equation, *(ones(shape) for shape in shapes))
    hits = loops.einsum_hits(equation, *shapes)
    np.testing.assert_array_equal(as_array(hits, computed.shape), computed)
    assert loops.einsum_macs(equation, *shapes, lone_first=False) == int(computed.sum())


@pytest.mark.parametrize(
    ("equation", "shapes", "macs"),
    [
        ("ij,jk->ik", ((3, 4), (4, 5)), 60),
        ("ij,k->k", ((3, 4), (2,)), 2),
        ("bij,bk->bk", ((2, 3, 4), (2, 5)), 10),
        ("...ij,...jk", ((2, 3, 4), (1, 4, 2)), 48),
        ("ij,ij->", ((3, 4), (3, 4)), 12),
    ],
)
def test_einsum_sums_lone_labels_first(equation, shapes, macs):
    assert loops.einsum_macs(equation, *shapes) == macs


@BOUNDED
@given(conv_cases())
def test_pooling_shapes_and_valid_windows(case):
    """A window sum over ones is its real taps, of which one is free."""
    x, kernel, strides, padding, _, _, data_format = case
    window = kernel[: len(x) - 2]
    first = data_format == "channels_first"
    full = (1, 1, *window) if first else (1, *window, 1)
    step = (1, 1, *strides) if first else (1, *strides, 1)
    if isinstance(padding, str):
        pads = padding.upper()
    else:
        pads = [(0, 0), (0, 0), *padding] if first else [(0, 0), *padding, (0, 0)]
    sums = np.asarray(jax.lax.reduce_window(ones(x), 0.0, jax.lax.add, full, step, pads))
    nominal, valid, shape = loops.pool_ops(x, window, strides, padding, data_format)
    assert shape == sums.shape
    assert valid == int(np.maximum(sums - 1, 0).sum())
    assert nominal == sums.size * (prod(window) - 1)


def test_pooling_layers_agree():
    for rank, padding, strides in ((1, "same", None), (2, "valid", 1), (3, "same", 2)):
        layer = getattr(keras.layers, f"MaxPooling{rank}D")(2, strides=strides, padding=padding)
        x = (2, *(7, 5, 6)[:rank], 3)
        assert loops.pool_ops(x, 2, strides, padding)[2] == tuple(layer.compute_output_shape(x))
