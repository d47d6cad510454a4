"""A ShuffleNet unit: grouped 1x1s around a depthwise 3x3, and a channel shuffle between them.

With g groups a 1x1 takes a g-th of the MACs, but each group of its outputs sees one group of its
inputs only; the shuffle hands every group of the next layer channels from all groups. At 28x28x240
with 3 groups and a bottleneck of a quarter (60 channels): 7,949,760 MACs, which is the paper's
hw(2cm/g + 9m), 10,140 convolution weights, and 11,580 parameters with batch normalisation.

Paper: "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices", CVPR
2018, arXiv:1707.01083, figure 2(b), section 3.2 and table 1 (stage 2, g = 3).
"""

import keras
from keras import layers


def channel_shuffle(x: keras.KerasTensor, groups: int) -> keras.KerasTensor:
    """Deal the channels of each group out to all groups."""
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height, width, groups, channels // groups), name="shuffle_split")(x)
    x = layers.Permute((1, 2, 4, 3), name="shuffle_turn")(x)
    return layers.Reshape((height, width, channels), name="shuffle_join")(x)


def build(
    input_shape: tuple[int, int, int] = (28, 28, 240), groups: int = 3, ratio: int = 4
) -> keras.Model:
    """Return one unit of stride 1; ``ratio`` is its channels over those inside."""
    inputs = keras.Input(input_shape, name="features")
    channels = input_shape[-1]

    x = layers.Conv2D(channels // ratio, 1, groups=groups, use_bias=False, name="reduce")(inputs)
    x = layers.BatchNormalization(name="reduce_bn")(x)
    x = layers.ReLU(name="reduce_relu")(x)
    x = channel_shuffle(x, groups)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.BatchNormalization(name="depthwise_bn")(x)
    x = layers.Conv2D(channels, 1, groups=groups, use_bias=False, name="expand")(x)
    x = layers.BatchNormalization(name="expand_bn")(x)
    x = layers.Add(name="add")([inputs, x])
    outputs = layers.ReLU(name="relu")(x)
    return keras.Model(inputs, outputs, name="shufflenet_unit")


model = build()
