"""A dense block of DenseNet-B layers with its transition, by default DenseNet-121's first.

Every layer reads all maps before it through a 1x1 of 4k channels and adds k channels of its own by
a 3x3: the block grows from 64 to 256 channels in six layers of growth rate k = 32. The transition
halves them with a 1x1 and pools. 364,544 convolution weights, 1,143,209,984 MACs, and
372,096 parameters with batch normalisation.

Paper: "Densely Connected Convolutional Networks", CVPR 2017, arXiv:1608.06993, section 3 and
table 1. The layers are conv2_block1 to pool2 of ``keras.applications.DenseNet121``.
"""

import keras
from keras import layers


def bn_relu_conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    """Normalise and rectify, then convolve."""
    x = layers.BatchNormalization(name=f"{name}_bn")(x)
    x = layers.ReLU(name=f"{name}_relu")(x)
    return layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)


def build(
    input_shape: tuple[int, int, int] = (56, 56, 64),
    depth: int = 6,
    growth: int = 32,
    bottleneck: int = 4,
    compression: float = 0.5,
) -> keras.Model:
    """Return ``depth`` layers and the transition; ``bottleneck`` is the 1x1's width over growth."""
    inputs = keras.Input(input_shape, name="features")
    x = inputs
    for i in range(1, depth + 1):
        new = bn_relu_conv(x, bottleneck * growth, 1, f"layer{i}_reduce")
        new = bn_relu_conv(new, growth, 3, f"layer{i}_spatial")
        x = layers.Concatenate(name=f"layer{i}_concat")([x, new])
    x = bn_relu_conv(x, int(compression * x.shape[-1]), 1, "transition")
    outputs = layers.AveragePooling2D(2, name="transition_pool")(x)
    return keras.Model(inputs, outputs, name="dense_block")


model = build()
