"""Depth added by 1x1 convolutions: more non-linearities, the same receptive field.

A 3x3 convolution followed by two 1x1 convolutions of the same width, each with its ReLU. At 64
channels the two 1x1 layers make the block three deep for 2 · 64² weights, where one more 3x3 layer
would take 9 · 64². On 56x56x64: 141,295,616 MACs (115,605,504 of them in the 3x3) and 45,248
parameters.

Paper: "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
arXiv:1409.1556, configuration C and section 2.3.
"""

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (56, 56, 64), filters: int = 64, extra: int = 2
) -> keras.Model:
    """Return one 3x3 convolution and ``extra`` 1x1 convolutions behind it."""
    inputs = keras.Input(input_shape, name="features")
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", name="spatial")(inputs)
    for i in range(1, extra + 1):
        x = layers.Conv2D(filters, 1, activation="relu", name=f"mix{i}")(x)
    return keras.Model(inputs, x, name="depth_by_1x1")


model = build()
