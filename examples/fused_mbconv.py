"""A fused inverted residual (Fused-MBConv): one 3x3 that expands, and a linear 1x1 that contracts.

The 3x3 does the work of MBConv's expansion and depthwise convolution at once: more MACs, fewer
bytes moved for each. At 56x56x48 and expansion 4 the block has 92,160 convolution weights and
289,013,760 MACs; with batch normalisation 93,120 parameters.

Paper: "EfficientNetV2: Smaller Models and Faster Training", ICML 2021, arXiv:2104.00298, figure 2
and table 4. The block is one of EfficientNetV2-S's second stage (48 channels, no gate).
"""

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (56, 56, 48),
    filters: int = 48,
    expansion: int = 4,
    kernel: int = 3,
    stride: int = 1,
) -> keras.Model:
    """Return one block; it has a shortcut where stride and channels allow an identity."""
    inputs = keras.Input(input_shape, name="features")
    channels = input_shape[-1]

    x = layers.Conv2D(
        expansion * channels, kernel, strides=stride, padding="same", use_bias=False, name="expand"
    )(inputs)
    x = layers.BatchNormalization(name="expand_bn")(x)
    x = layers.Activation("silu", name="expand_silu")(x)
    x = layers.Conv2D(filters, 1, use_bias=False, name="project")(x)
    x = layers.BatchNormalization(name="project_bn")(x)

    if stride == 1 and filters == channels:
        x = layers.Add(name="add")([inputs, x])
    return keras.Model(inputs, x, name="fused_mbconv")


model = build()
