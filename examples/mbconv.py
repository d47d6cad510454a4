"""An inverted residual (MBConv), MobileNetV2's at 24 channels: 1x1 expand, depthwise 3x3, 1x1.

The block is narrow outside and ``expansion`` times as wide inside; the last 1x1 is linear, and the
addition joins the narrow ends. At 56x56x24 and expansion 6 it has 8,208 convolution weights and
25,740,288 MACs, with batch normalisation 9,456 parameters. ``gate=True`` puts EfficientNet's
squeeze-and-excitation before the projection: 11,334 parameters and 25,742,016 MACs.

Paper: "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, arXiv:1801.04381,
figure 4(d) and table 2. The gate: "EfficientNet", ICML 2019, arXiv:1905.11946. The block is the
second of the table's 24-channel stage, block_2 of ``keras.applications.MobileNetV2``.
"""

import keras
from keras import layers


def squeeze_excite(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Scale each channel by a gate that looks at all channels."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(width, 1, activation="silu", name="gate_reduce")(gate)
    gate = layers.Conv2D(x.shape[-1], 1, activation="sigmoid", name="gate_excite")(gate)
    return layers.Multiply(name="scale")([x, gate])


def build(
    input_shape: tuple[int, int, int] = (56, 56, 24),
    filters: int = 24,
    expansion: int = 6,
    kernel: int = 3,
    stride: int = 1,
    gate: bool = False,
) -> keras.Model:
    """Return one block; it has a shortcut where stride and channels allow an identity."""
    inputs = keras.Input(input_shape, name="features")
    channels = input_shape[-1]

    x = inputs
    if expansion != 1:
        x = layers.Conv2D(expansion * channels, 1, use_bias=False, name="expand")(x)
        x = layers.BatchNormalization(name="expand_bn")(x)
        x = layers.ReLU(6.0, name="expand_relu")(x)
    x = layers.DepthwiseConv2D(
        kernel, strides=stride, padding="same", use_bias=False, name="depthwise"
    )(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    x = layers.ReLU(6.0, name="depthwise_relu")(x)
    if gate:
        x = squeeze_excite(x, channels // 4)
    x = layers.Conv2D(filters, 1, use_bias=False, name="project")(x)
    x = layers.BatchNormalization(name="project_bn")(x)

    if stride == 1 and filters == channels:
        x = layers.Add(name="add")([inputs, x])
    return keras.Model(inputs, x, name="mbconv")


model = build()
