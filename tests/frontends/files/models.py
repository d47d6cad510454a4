"""Small Keras models of many kinds: what the op-graph files beside the tests are converted from."""

from __future__ import annotations

import keras
from keras import layers


def cnn() -> keras.Model:
    """Strides, both paddings, batch norm, a residual, pools, a classifier."""
    x = image = keras.Input((17, 17, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = y = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(4, 1, activation="relu")(x)
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = layers.Add()([y, layers.Conv2D(8, 1)(x)])
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu6")(x)
    x = layers.Concatenate()([layers.AveragePooling2D(3, 1, padding="same")(x), x])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(10, activation="softmax")(x)
    return keras.Model(image, x, name="cnn")


def convolutions() -> keras.Model:
    """Dilated, grouped, separable, transposed; 1-D, 2-D, 3-D."""
    image = keras.Input((12, 12, 4))
    series = keras.Input((20, 6))
    volume = keras.Input((6, 6, 6, 2))
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same")(image)
    x = layers.Conv2D(8, 3, groups=2, padding="same", activation="relu")(x)
    x = layers.SeparableConv2D(6, 3, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = layers.Conv2DTranspose(3, 4, strides=2)(x)
    y = layers.Conv1D(8, 3, padding="causal")(series)
    y = layers.Conv1D(5, 3, strides=2, activation="tanh")(y)
    z = layers.Conv3D(4, 3, activation="relu")(volume)
    return keras.Model([image, series, volume], [x, y, z], name="convolutions")


def transformer() -> keras.Model:
    """Embedding, attention, layer norm, GELU."""
    tokens = keras.Input((7,), dtype="int32")
    x = layers.Embedding(50, 16)(tokens)
    y = layers.LayerNormalization()(x)
    x = layers.Add()([x, layers.MultiHeadAttention(2, 8)(y, y)])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(32, activation="gelu")(y)
    x = layers.Add()([x, layers.Dense(16)(y)])
    return keras.Model(tokens, layers.Dense(50)(x), name="transformer")


def unet() -> keras.Model:
    """Down and up again, with resizing, padding, cropping and a skip."""
    image = keras.Input((16, 16, 3))
    a = layers.Conv2D(4, 3, padding="same", activation="silu")(image)
    b = layers.Conv2D(8, 3, strides=2, padding="same", activation="leaky_relu")(a)
    b = layers.ZeroPadding2D(1)(b)
    b = layers.Conv2D(8, 3)(b)
    b = layers.UpSampling2D(2, interpolation="bilinear")(b)
    x = layers.Concatenate()([a, b])
    x = layers.PReLU(shared_axes=(1, 2))(layers.Conv2D(4, 3, padding="same")(x))
    return keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x), name="unet")


def recurrent() -> keras.Model:
    """LSTM, GRU with its states, a plain cell both ways."""
    x = series = keras.Input((9, 5))
    x = layers.LSTM(6, return_sequences=True)(x)
    x = layers.GRU(4, return_sequences=True)(x)
    x = layers.SimpleRNN(3)(x)
    return keras.Model(series, x, name="recurrent")


def operations() -> keras.Model:
    """Slices, reductions, lookups and elementwise functions."""
    x = keras.Input((8, 6), name="x")
    ops = keras.ops
    a = ops.transpose(x, (0, 2, 1))
    b = ops.concatenate([x[:, 2:6], x[:, ::2]], axis=1)
    c = ops.mean(x, axis=1, keepdims=True) + ops.max(x, axis=(1, 2), keepdims=True)
    d = ops.where(x > 0, ops.exp(x), ops.sqrt(ops.abs(x)))
    e = ops.matmul(x, a)
    f = ops.split(b, 4, axis=1)
    g = ops.softmax(ops.pad(e, ((0, 0), (1, 1), (0, 0))))
    h = ops.sum(ops.stack([f[0], f[3]], axis=1), axis=1)
    i = ops.tile(c, (1, 2, 1)) / 3.0 - 1.0
    return keras.Model(x, [d, g, h, i, ops.squeeze(c, 1)], name="operations")


MODELS = {fn.__name__: fn for fn in (cnn, convolutions, transformer, unet, recurrent, operations)}
