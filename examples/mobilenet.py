"""MobileNet (v1) 1.0-224: thirteen depthwise separable convolutions.

A 3x3 depthwise convolution filters each channel by itself and a 1x1 convolution mixes them, for
1/N + 1/9 of the cost of a 3x3 convolution with N filters. ``separable=False`` puts that plain
convolution in place of each pair (the paper's "Conv MobileNet").

Paper: "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017,
arXiv:1704.04861, tables 1, 2 and 4 (569M multiply-adds, 4.2M parameters): 568,740,352 MACs and, by
the paper's convention, 4,209,088 parameters: kernels only, without batch normalisation and without
the classifier's biases. With those the model has 4,253,864, as ``keras.applications.MobileNet``.
"""

import keras
from keras import layers


def conv_bn_relu(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, name: str
) -> keras.KerasTensor:
    """Convolve, normalise and rectify."""
    conv = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, name=name
    )
    x = layers.BatchNormalization(name=f"{name}_bn")(conv(x))
    return layers.ReLU(name=f"{name}_relu")(x)


def depthwise_separable(
    x: keras.KerasTensor, filters: int, strides: int, name: str
) -> keras.KerasTensor:
    """Filter each channel by itself, then mix the channels."""
    x = layers.DepthwiseConv2D(
        3, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.BatchNormalization(name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return conv_bn_relu(x, filters, 1, 1, f"{name}_pointwise")


def build(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    alpha: float = 1.0,
    repeats: int = 5,
    separable: bool = True,
) -> keras.Model:
    """Return a MobileNet.

    ``alpha`` is the paper's width multiplier, ``repeats`` the number of equal blocks at 512
    channels in the middle (0 is the paper's "Shallow MobileNet").
    """
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    plan += [(512, 1)] * repeats
    plan += [(1024, 2), (1024, 1)]

    inputs = keras.Input(input_shape, name="image")
    x = conv_bn_relu(inputs, int(32 * alpha), 3, 2, "stem")
    for i, (filters, strides) in enumerate(plan, start=1):
        if separable:
            x = depthwise_separable(x, int(filters * alpha), strides, f"block{i}")
        else:
            x = conv_bn_relu(x, int(filters * alpha), 3, strides, f"block{i}_conv")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.001, name="dropout")(x)
    outputs = layers.Dense(classes, activation="softmax", name="classifier")(x)
    return keras.Model(inputs, outputs, name="mobilenet")


model = build()
