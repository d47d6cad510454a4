"""SqueezeNet 1.0 for ImageNet, from fire modules; 1.1 through ``version``.

A fire module squeezes its input with 1x1 convolutions and expands it with as many 1x1 as 3x3
filters side by side. Each one is a nested model, so that a roll-up by scope shows the rows of the
paper's table.

Paper: "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB model size", 2016,
arXiv:1602.07360, table 1: exactly 1,248,424 parameters before pruning. On 224x224 the model takes
818,924,576 MACs; the table's map sizes (111, 55, 27, 13) are those of 227x227, with 832,667,936.
Version 1.1, from the authors' repository: 1,235,496 parameters.
"""

import keras
from keras import layers

#: Squeeze width and the width of each half of the expansion.
FIRES = {
    "fire2": (16, 64),
    "fire3": (16, 64),
    "fire4": (32, 128),
    "fire5": (32, 128),
    "fire6": (48, 192),
    "fire7": (48, 192),
    "fire8": (64, 256),
    "fire9": (64, 256),
}

#: For each version: filters and kernel of the first convolution, and what a pooling follows.
VERSIONS = {
    "1.0": (96, 7, ("conv1", "fire4", "fire8")),
    "1.1": (64, 3, ("conv1", "fire3", "fire5")),
}


def fire(name: str, input_shape: tuple[int, int, int]) -> keras.Model:
    """Return the fire module ``name`` on maps of ``input_shape``."""
    squeeze, expand = FIRES[name]
    inputs = keras.Input(input_shape, name="features")
    x = layers.Conv2D(squeeze, 1, activation="relu", name="squeeze")(inputs)
    left = layers.Conv2D(expand, 1, activation="relu", name="expand1x1")(x)
    right = layers.Conv2D(expand, 3, padding="same", activation="relu", name="expand3x3")(x)
    outputs = layers.Concatenate(name="concat")([left, right])
    return keras.Model(inputs, outputs, name=name)


def pool(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Halve the map as Caffe does, rounding up: a last window may hang over the border."""
    padding = "valid" if x.shape[1] % 2 else "same"
    return layers.MaxPooling2D(3, strides=2, padding=padding, name=f"pool_{name}")(x)


def build(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    version: str = "1.0",
) -> keras.Model:
    """Return SqueezeNet ``version`` "1.0" or "1.1" (with square inputs)."""
    if version not in VERSIONS:
        raise ValueError(f"version is one of {', '.join(VERSIONS)}, not {version!r}")
    filters, kernel, pooled = VERSIONS[version]
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(filters, kernel, strides=2, activation="relu", name="conv1")(inputs)
    x = pool(x, "conv1")
    for name in FIRES:
        x = fire(name, x.shape[1:])(x)
        if name in pooled:
            x = pool(x, name)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = layers.Conv2D(classes, 1, activation="relu", name="conv10")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Softmax(name="softmax")(x)
    return keras.Model(inputs, outputs, name="squeezenet")


model = build()
