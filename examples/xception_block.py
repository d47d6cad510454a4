"""A block of Xception's entry flow: two separable convolutions with a projection shortcut.

Nothing stands between a depthwise 3x3 and its 1x1 here: both are one ``SeparableConv2D`` layer. A
max pooling halves the map, and a 1x1 of stride 2 fits the shortcut. At 74x74x128 to 37x37x256:
134,528 convolution weights, 602,097,152 MACs, and 137,600 parameters with batch normalisation.

Paper: "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017, arXiv:1610.02357,
figure 5 (entry flow, second block): block3 of ``keras.applications.Xception``.
"""

import keras
from keras import layers


def relu_separable(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Rectify, convolve each channel, mix the channels, normalise."""
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.SeparableConv2D(filters, 3, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def build(input_shape: tuple[int, int, int] = (74, 74, 128), filters: int = 256) -> keras.Model:
    """Return one block; it halves height and width, rounding up."""
    inputs = keras.Input(input_shape, name="features")

    x = relu_separable(inputs, filters, "separable1")
    x = relu_separable(x, filters, "separable2")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool")(x)

    shortcut = layers.Conv2D(filters, 1, strides=2, use_bias=False, name="project")(inputs)
    shortcut = layers.BatchNormalization(name="project_bn")(shortcut)

    outputs = layers.Add(name="add")([x, shortcut])
    return keras.Model(inputs, outputs, name="xception_block")


model = build()
