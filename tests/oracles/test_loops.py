"""Proof that the nested-loop counters are right.

With an input and a kernel of ones, the value that Keras computes at an output position is the
number of products behind it. So each counter is compared element by element with what the
framework really computes, and the sum of the output is the number of valid MACs.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from hypothesis import given

from . import loops
from .awkward import strides_dilated
from .ones import BOUNDED, as_array, check_transpose, ones, transpose_cases

STRIDED_DILATED = []
if strides_dilated():
    STRIDED_DILATED = [(2, {"padding": "same", "strides": 2, "dilation_rate": 2})]


def pads_by_nothing() -> bool:
    """Whether an output padding may be 0; in older versions of Keras None has to say so."""
    try:
        keras.layers.Conv1DTranspose(1, 1, output_padding=0)
    except ValueError:
        return False
    return True


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
        (2, {"padding": "valid", "dilation_rate": (1, 2)}),
        *STRIDED_DILATED,
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


def forward_exists(case) -> bool:
    """TensorFlow computes the gradient of a forward convolution, so there has to be one."""
    x, kernel, stride, padding, _, _, _ = case
    out = loops.conv_transpose_macs(*case)[2]
    if 0 in out:
        return False
    return loops.conv_macs(out, kernel, stride, padding)[2] == x


@BOUNDED
@given(transpose_cases(dilated=False, least=0 if pads_by_nothing() else 1))
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


def test_pooling_layers_agree():
    for rank, padding, strides in ((1, "same", None), (2, "valid", 1), (3, "same", 2)):
        layer = getattr(keras.layers, f"MaxPooling{rank}D")(2, strides=strides, padding=padding)
        x = (2, *(7, 5, 6)[:rank], 3)
        assert loops.pool_ops(x, 2, strides, padding)[2] == tuple(layer.compute_output_shape(x))
