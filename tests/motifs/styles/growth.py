"""Networks that concatenate onto a map: DenseNet's kinds, and others that only aggregate."""

from __future__ import annotations

from typing import Any

from keras import Input, Model, layers, ops

from tests.motifs.styles.base import Tensor, style


def norm_conv(x: Tensor, filters: int, kernel: int, **options: Any) -> Tensor:
    """Norm, activation, convolution: DenseNet's order."""
    axis = 1 if options.get("data_format") == "channels_first" else -1
    x = layers.ReLU()(layers.BatchNormalization(axis=axis)(x))
    return layers.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x)


def head(x: Tensor) -> Tensor:
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))


@style(dense_bottleneck=7, transition=2)
def densenet_progressive() -> Model:
    """arXiv:1608.06993, DenseNet-BC: every layer is concatenated onto its input."""
    x = Input((32, 32, 3))
    y = layers.MaxPooling2D(3, 2, padding="same")(layers.Conv2D(8, 7, 2, padding="same")(x))
    for i, depth in enumerate((2, 3, 2)):
        if i:
            y = layers.AveragePooling2D(2)(norm_conv(y, y.shape[-1] // 2, 1))
        for _ in range(depth):
            z = layers.Dropout(0.2)(norm_conv(norm_conv(y, 16, 1), 4, 3))
            y = layers.Concatenate()([y, z])
    return Model(x, head(y))


@style(dense_bottleneck=6, transition=1)
def densenet_of_lists() -> Model:
    """Every layer reads the concatenation of all maps before it; a block returns the last one."""
    x = Input((16, 16, 3))
    y = layers.Conv2D(8, 3, padding="same")(x)
    for i in range(2):
        if i:
            y = layers.AveragePooling2D(2)(norm_conv(y, y.shape[-1] // 2, 1))
        features = [y]
        for _ in range(3):
            z = features[0] if len(features) == 1 else layers.Concatenate()(features)
            features.append(norm_conv(norm_conv(z, 16, 1), 4, 3))
        y = layers.Concatenate()(features)
    return Model(x, head(y))


@style(dense_bottleneck=4, transition=1)
def densenet_channels_first() -> Model:
    """Convolution, then norm and activation; the new map stands before the old ones."""
    first: dict[str, Any] = {"data_format": "channels_first"}

    def unit(x: Tensor, filters: int, kernel: int) -> Tensor:
        x = layers.Conv2D(filters, kernel, padding="same", **first)(x)
        return ops.relu(layers.BatchNormalization(axis=1)(x))

    y = x = Input((8, 16, 16))
    for i in range(2):
        if i:
            y = layers.MaxPooling2D(2, **first)(unit(y, 8, 1))
        for _ in range(2):
            y = ops.concatenate([unit(unit(y, 16, 1), 4, 3), y], axis=1)
    return Model(x, layers.GlobalAveragePooling2D(**first)(y))


@style(transition=1)
def densenet_without_bottlenecks() -> Model:
    """The paper's basic DenseNet: 3×3 only, but the same transitions (table 2, k = 12)."""
    x = Input((16, 16, 3))
    y = layers.Conv2D(8, 3, padding="same")(x)
    for i in range(2):
        if i:
            y = layers.AveragePooling2D(2)(norm_conv(y, y.shape[-1], 1))
        for _ in range(3):
            y = layers.Concatenate()([y, norm_conv(y, 4, 3)])
    return Model(x, head(y))


@style(dense_bottleneck=3, transition=1)
def densenet_in_one_dimension() -> Model:
    """Dense for the 1×1s; a squeeze of the sequence ends the second block."""
    y = x = Input((64, 8))
    for i in range(2):
        if i:
            y = layers.AveragePooling1D(2)(layers.Dense(8)(y))
        for _ in range(2 - i):
            z = layers.Dense(16, activation="relu")(y)
            y = layers.concatenate([y, layers.Conv1D(4, 5, padding="same", activation="relu")(z)])
    return Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


@style(inception=1, dense_bottleneck=4, transition=1)
def peleenet() -> Model:
    """arXiv:1804.06882, figures 1 and 2. Both ways of a two-way dense layer (1×1, 3×3 and 1×1, 3×3,
    3×3) grow the map that they read. The stem block, which drops its input, is an inception
    module."""

    def conv(x: Tensor, filters: int, kernel: int, strides: int = 1) -> Tensor:
        x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    x = Input((32, 32, 3))
    y = conv(x, 8, 3, 2)
    y = layers.Concatenate()([conv(conv(y, 4, 1), 8, 3, 2), layers.MaxPooling2D(2)(y)])
    y = conv(y, 8, 1)
    for _ in range(2):
        left = conv(conv(y, 8, 1), 4, 3)
        right = conv(conv(conv(y, 8, 1), 4, 3), 4, 3)
        y = layers.Concatenate()([y, left, right])
    y = layers.AveragePooling2D(2)(conv(y, y.shape[-1], 1))
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style()
def vovnet() -> Model:
    """arXiv:1904.09730, figure 2(c), and V2's gate (arXiv:1911.06667) of one 1×1: a chain of 3×3s
    aggregated once, no 1×1 before any of them."""
    x = Input((32, 32, 3))
    y = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(x)
    for width in (8, 12):
        features = [y]
        for _ in range(3):
            z = layers.Conv2D(width, 3, padding="same", activation="relu")(features[-1])
            features.append(z)
        z = layers.Conv2D(2 * width, 1, activation="relu")(layers.Concatenate()(features))
        g = layers.GlobalAveragePooling2D(keepdims=True)(z)
        z = z * layers.Conv2D(2 * width, 1, activation="hard_sigmoid")(g)
        y = layers.Conv2D(2 * width, 3, strides=2, padding="same", activation="relu")(z)
    return Model(x, layers.GlobalAveragePooling2D()(y))


@style()
def unet() -> Model:
    """arXiv:1505.04597: a skip concatenated onto an upsampled map, and a 1×1 head."""
    x = Input((32, 32, 1))

    def double(y: Tensor, width: int) -> Tensor:
        for _ in range(2):
            y = layers.Conv2D(width, 3, padding="same", activation="relu")(y)
        return y

    skips, y = [], x
    for width in (4, 8):
        skips.append(double(y, width))
        y = layers.MaxPooling2D()(skips[-1])
    y = double(y, 16)
    for width, skip in ((8, skips[1]), (4, skips[0])):
        y = layers.Conv2DTranspose(width, 2, strides=2)(y)
        y = double(layers.Concatenate()([skip, y]), width)
    return Model(x, layers.Conv2D(1, 1, activation="sigmoid")(y))


@style()
def attention_unet() -> Model:
    """arXiv:1804.03999, figure 2: two 1×1s added, activated, and one 1×1 to a gate per position."""
    x = Input((16, 16, 3))
    skip = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(skip))
    y = layers.UpSampling2D()(y)
    gate = layers.ReLU()(layers.Add()([layers.Conv2D(4, 1)(skip), layers.Conv2D(4, 1)(y)]))
    skip = layers.Multiply()([skip, layers.Conv2D(1, 1, activation="sigmoid")(gate)])
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.Concatenate()([skip, y]))
    return Model(x, layers.Conv2D(2, 1, activation="softmax")(y))
