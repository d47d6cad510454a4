"""The nested-loop counters against what XLA computes on ones, asked through JAX."""

from __future__ import annotations

from math import prod

import jax
import numpy as np
from hypothesis import given

from . import loops
from .ones import BOUNDED, as_array, check_transpose, conv_cases, ones, transpose_cases


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
