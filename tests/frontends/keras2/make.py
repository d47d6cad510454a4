"""Writes the files beside it with Keras 2: ``pip install tf_keras``, then run it here.

``tests/frontends/saved.py`` builds the same models with Keras 3.
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
import tf_keras as keras
from tf_keras import layers

HERE = Path(__file__).parent


def varied() -> keras.Model:
    ids, x = keras.Input((6,), dtype="int32", name="ids"), keras.Input((6, 4), name="x")
    y = layers.Embedding(9, 4, mask_zero=True)(ids)
    y = layers.LSTM(4, return_sequences=True, name="lstm")(layers.Add()([y, x]))
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(y)
    y = layers.TimeDistributed(layers.Dense(4, trainable=False, name="frozen"))(y)
    y = layers.MultiHeadAttention(2, 3)(y, x, use_causal_mask=True)
    i = keras.Input((4,), name="i")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()])
    part = keras.Model(i, inner(i), name="part")
    z = part(part(y[:, 0])) * 0.5 + tf.ones((4,))
    rate = layers.Dropout(0.5)(layers.Dense(2, activation="relu", dtype="mixed_float16")(z))
    return keras.Model({"ids": ids, "x": x}, {"a": rate, "b": [tf.nn.softmax(z), y]})


def functions() -> keras.Model:
    x = keras.Input((8, 8, 6), batch_size=2, name="x")
    y = tf.nn.relu6(x + 3.0) * x / 6.0
    y = tf.concat([y, tf.nn.silu(x)], axis=-1)
    y = tf.transpose(tf.reshape(y, (2, 64, 12)), (0, 2, 1))
    y = tf.matmul(y, tf.reshape(x, (2, 64, 6)))
    y = tf.squeeze(y[:, tf.newaxis, 1:, ::2], axis=1)
    a, b = tf.split(y, [1, 2], axis=-1)
    y = tf.stack([a, b[..., :1]], axis=1) - tf.reduce_mean(b, axis=-1, keepdims=True)[:, None]
    y = tf.nn.leaky_relu(1.0 / (tf.exp(y) + tf.cast(y > 0, "float32")), alpha=0.1)
    y = tf.maximum(tf.clip_by_value(y, 0.0, 5.0), tf.sqrt(tf.abs(y)))
    return keras.Model(x, tf.pad(tf.expand_dims(y, 1), [[0, 0], [0, 0], [1, 1], [0, 0], [0, 2]]))


def saved() -> keras.Model:
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, strides=2, padding="same", name="stem/conv")(x)
    y = layers.LeakyReLU(0.1)(layers.BatchNormalization(trainable=False)(y))
    i = keras.Input((4, 4, 4))
    j = layers.SeparableConv2D(4, 3, padding="same")(i)
    y = keras.Model(i, layers.Add()([i, j]), name="block")(y)
    return keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling2D()(y)), name="saved")


def main() -> None:
    (HERE / "varied.json").write_text(varied().to_json())
    (HERE / "functions.json").write_text(functions().to_json())
    model = saved()
    for suffix in ("h5", "keras"):
        model.save(HERE / f"saved.{suffix}")


if __name__ == "__main__":
    main()
