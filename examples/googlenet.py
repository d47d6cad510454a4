"""GoogLeNet (Inception v1) for ImageNet, without its two auxiliary heads.

Every module of the paper's table 1 is a nested model of the same name, so that a roll-up by scope
shows the table's rows. Convolutions have biases; batch normalisation came later. The two local
response normalisations, for which Keras has no layer, are left out: they hold no weights.

Paper: "Going Deeper with Convolutions", CVPR 2015, arXiv:1409.4842, table 1. The shapes are the
table's. Its multiply-adds are those of the shapes in all rows but (4a), (5a) and the first
convolution; its weights (in units of 1024) in few rows. The shapes give 6,998,552 parameters and
1,582,671,872 MACs.
"""

import keras
from keras import layers

#: The paper's table 1: #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
MODULES = {
    "inception_3a": (64, 96, 128, 16, 32, 32),
    "inception_3b": (128, 128, 192, 32, 96, 64),
    "inception_4a": (192, 96, 208, 16, 48, 64),
    "inception_4b": (160, 112, 224, 24, 64, 64),
    "inception_4c": (128, 128, 256, 24, 64, 64),
    "inception_4d": (112, 144, 288, 32, 64, 64),
    "inception_4e": (256, 160, 320, 32, 128, 128),
    "inception_5a": (256, 160, 320, 32, 128, 128),
    "inception_5b": (384, 192, 384, 48, 128, 128),
}


def inception(name: str, input_shape: tuple[int, int, int]) -> keras.Model:
    """Return the module ``name`` of the table on maps of ``input_shape``."""
    conv1, reduce3, conv3, reduce5, conv5, project = MODULES[name]
    inputs = keras.Input(input_shape, name="features")

    direct = layers.Conv2D(conv1, 1, activation="relu", name="conv1")(inputs)

    medium = layers.Conv2D(reduce3, 1, activation="relu", name="reduce3")(inputs)
    medium = layers.Conv2D(conv3, 3, padding="same", activation="relu", name="conv3")(medium)

    wide = layers.Conv2D(reduce5, 1, activation="relu", name="reduce5")(inputs)
    wide = layers.Conv2D(conv5, 5, padding="same", activation="relu", name="conv5")(wide)

    pooled = layers.MaxPooling2D(3, strides=1, padding="same", name="pool")(inputs)
    pooled = layers.Conv2D(project, 1, activation="relu", name="project")(pooled)

    outputs = layers.Concatenate(name="concat")([direct, medium, wide, pooled])
    return keras.Model(inputs, outputs, name=name)


def build(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> keras.Model:
    """Return GoogLeNet."""
    inputs = keras.Input(input_shape, name="image")
    x = layers.Conv2D(64, 7, strides=2, padding="same", activation="relu", name="conv1")(inputs)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = layers.Conv2D(64, 1, activation="relu", name="conv2_reduce")(x)
    x = layers.Conv2D(192, 3, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool2")(x)
    for name in MODULES:
        if name in ("inception_4a", "inception_5a"):
            stage = int(name[-2]) - 1
            x = layers.MaxPooling2D(3, strides=2, padding="same", name=f"pool{stage}")(x)
        x = inception(name, x.shape[1:])(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    outputs = layers.Dense(classes, activation="softmax", name="linear")(x)
    return keras.Model(inputs, outputs, name="googlenet")


model = build()
