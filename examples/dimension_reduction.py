"""Dimension reduction: a 1x1 convolution that takes 28x28x64 to 28x28x32.

Half the channels remain, so that whatever reads them next costs half as much: 1,605,632 MACs and
2,080 parameters (2,048 weights and 32 biases).

Paper: "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, section 4.
"""

import keras
from keras import layers


def build(input_shape: tuple[int, int, int] = (28, 28, 64), filters: int = 32) -> keras.Model:
    """Return a model that reduces the channels of its input to ``filters``."""
    inputs = keras.Input(input_shape, name="features")
    outputs = layers.Conv2D(filters, 1, activation="relu", name="reduce")(inputs)
    return keras.Model(inputs, outputs, name="dimension_reduction")


model = build()
