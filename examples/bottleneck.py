"""A ResNet bottleneck block: 1x1 reduce, 3x3, 1x1 expand, and the residual addition.

The 3x3 convolution works on a quarter of the channels. With 256 channels and width 64 the block has
69,632 convolution weights and 218,365,952 MACs on 56x56; a plain pair of 3x3 convolutions on 256
channels would have 17 times as many. Convolutions carry no bias, because batch normalisation
follows each of them: 71,168 parameters with its scales, offsets and statistics.

Paper: "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385,
figure 5 (right).
"""

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (56, 56, 256), width: int = 64, stride: int = 1
) -> keras.Model:
    """Return one block of ``4 * width`` output channels.

    The shortcut is the identity where shapes allow it and a 1x1 projection elsewhere.
    """
    inputs = keras.Input(input_shape, name="features")

    x = layers.Conv2D(width, 1, strides=stride, use_bias=False, name="reduce")(inputs)
    x = layers.BatchNormalization(name="reduce_bn")(x)
    x = layers.ReLU(name="reduce_relu")(x)
    x = layers.Conv2D(width, 3, padding="same", use_bias=False, name="spatial")(x)
    x = layers.BatchNormalization(name="spatial_bn")(x)
    x = layers.ReLU(name="spatial_relu")(x)
    x = layers.Conv2D(4 * width, 1, use_bias=False, name="expand")(x)
    x = layers.BatchNormalization(name="expand_bn")(x)

    shortcut = inputs
    if stride != 1 or input_shape[-1] != 4 * width:
        project = layers.Conv2D(4 * width, 1, strides=stride, use_bias=False, name="shortcut")
        shortcut = project(inputs)
        shortcut = layers.BatchNormalization(name="shortcut_bn")(shortcut)

    x = layers.Add(name="add")([shortcut, x])
    outputs = layers.ReLU(name="relu")(x)
    return keras.Model(inputs, outputs, name="bottleneck")


model = build()
