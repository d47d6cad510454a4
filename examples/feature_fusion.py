"""Feature fusion: several feature maps become one channel through one 1x1 convolution.

The maps are stacked along the channels and a single filter learns how much each channel counts, as
the weighted-fusion layer of an edge or saliency detector does. Three maps of 28x28x64 give 150,528
MACs and 193 parameters (192 weights and one bias).

Paper: "Holistically-Nested Edge Detection", ICCV 2015, arXiv:1504.06375, section 2.
"""

import keras
from keras import layers


def build(input_shape: tuple[int, int, int] = (28, 28, 64), maps: int = 3) -> keras.Model:
    """Return a model that fuses ``maps`` inputs of the same shape into one channel."""
    inputs = [keras.Input(input_shape, name=f"map{i}") for i in range(1, maps + 1)]
    stacked = layers.Concatenate(name="stack")(inputs)
    outputs = layers.Conv2D(1, 1, activation="sigmoid", name="fuse")(stacked)
    return keras.Model(inputs, outputs, name="feature_fusion")


model = build()
