"""An Inception module with dimension reduction, by default GoogLeNet's inception (3a).

Four branches read the same map: a 1x1, a 3x3 and a 5x5 convolution behind 1x1 reductions, and a
max pooling behind which a 1x1 convolution projects. Their outputs are concatenated.

Paper: "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, figure 2(b). Its table 1 prints
128M multiply-adds and 159K weights for (3a): 128,049,152 MACs and 163,328 weights (159.5 · 1024);
with the 368 biases 163,696 parameters.
"""

import keras
from keras import layers


def build(
    input_shape: tuple[int, int, int] = (28, 28, 192),
    conv1: int = 64,
    reduce3: int = 96,
    conv3: int = 128,
    reduce5: int = 16,
    conv5: int = 32,
    project: int = 32,
) -> keras.Model:
    """Return one module; the widths are the columns of the paper's table 1."""
    inputs = keras.Input(input_shape, name="features")

    direct = layers.Conv2D(conv1, 1, activation="relu", name="conv1")(inputs)

    medium = layers.Conv2D(reduce3, 1, activation="relu", name="reduce3")(inputs)
    medium = layers.Conv2D(conv3, 3, padding="same", activation="relu", name="conv3")(medium)

    wide = layers.Conv2D(reduce5, 1, activation="relu", name="reduce5")(inputs)
    wide = layers.Conv2D(conv5, 5, padding="same", activation="relu", name="conv5")(wide)

    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(inputs)
    pooled = layers.Conv2D(project, 1, activation="relu", name="project")(pooled)

    outputs = layers.Concatenate(name="concat")([direct, medium, wide, pooled])
    return keras.Model(inputs, outputs, name="inception_module")


model = build()
