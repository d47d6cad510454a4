"""Network in Network for CIFAR-10: three mlpconv layers and global average pooling.

An mlpconv layer is a convolution followed by two 1x1 convolutions: a small perceptron that slides
over the map. The last one has a channel per class, and its average over the map is the score, so
that no fully connected layer is needed.

Paper: "Network In Network", ICLR 2014, arXiv:1312.4400, figure 2. It prints no counts; the widths
below, those of the authors' CIFAR-10 model, give 966,986 parameters.
"""

import keras
from keras import layers


def mlpconv(
    x: keras.KerasTensor, filters: int, kernel: int, mlp: tuple[int, int], name: str
) -> keras.KerasTensor:
    """Convolve, then mix the channels twice."""
    x = layers.Conv2D(filters, kernel, padding="same", activation="relu", name=f"{name}_conv")(x)
    for i, width in enumerate(mlp, start=1):
        x = layers.Conv2D(width, 1, activation="relu", name=f"{name}_mlp{i}")(x)
    return x


def build(input_shape: tuple[int, int, int] = (32, 32, 3), classes: int = 10) -> keras.Model:
    """Return a Network in Network."""
    inputs = keras.Input(input_shape, name="image")
    x = mlpconv(inputs, 192, 5, (160, 96), "mlpconv1")
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = layers.Dropout(0.5, name="dropout1")(x)
    x = mlpconv(x, 192, 5, (192, 192), "mlpconv2")
    x = layers.AveragePooling2D(3, strides=2, padding="same", name="pool2")(x)
    x = layers.Dropout(0.5, name="dropout2")(x)
    x = mlpconv(x, 192, 3, (192, classes), "mlpconv3")
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Softmax(name="softmax")(x)
    return keras.Model(inputs, outputs, name="nin")


model = build()
