"""A ConvNeXt block: a depthwise 7x7, and two 1x1s that work as a transformer's MLP does.

The 1x1s expand to four times the channels and contract again; the only activation stands between
them. At 56x56x96, as in ConvNeXt-T's first stage: 79,200 parameters and 245,962,752 MACs, of which
14,751,744 are in the 7x7.

Paper: "A ConvNet for the 2020s", CVPR 2022, arXiv:2201.03545, figure 4. The scale per channel and
the stochastic depth with which the paper trains it are left out, as in the figure.
"""

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (56, 56, 96), kernel: int = 7, expansion: int = 4
) -> keras.Model:
    """Return one block of as many channels as its input has."""
    inputs = keras.Input(input_shape, name="features")
    channels = input_shape[-1]

    x = layers.DepthwiseConv2D(kernel, padding="same", name="depthwise")(inputs)
    x = layers.LayerNormalization(epsilon=1e-6, name="norm")(x)
    x = layers.Conv2D(expansion * channels, 1, activation="gelu", name="expand")(x)
    x = layers.Conv2D(channels, 1, name="contract")(x)
    outputs = layers.Add(name="add")([inputs, x])
    return keras.Model(inputs, outputs, name="convnext_block")


model = build()
