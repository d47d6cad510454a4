"""One pointwise (1x1) convolution: a Dense layer over the channels, applied at every position.

It mixes channels and leaves the spatial grid alone: H·W·Cin·Cout MACs, Cin·Cout weights, and one
bias per output channel. For 56x56x256 → 64: 51,380,224 MACs and 16,448 parameters.

Paper: "Network In Network", ICLR 2014, arXiv:1312.4400.
"""

import keras
from keras import layers


def build(input_shape: tuple[int, int, int] = (56, 56, 256), filters: int = 64) -> keras.Model:
    """Return a model that is a single 1x1 convolution."""
    inputs = keras.Input(input_shape, name="features")
    outputs = layers.Conv2D(filters, 1, name="pointwise")(inputs)
    return keras.Model(inputs, outputs, name="pointwise")


model = build()
