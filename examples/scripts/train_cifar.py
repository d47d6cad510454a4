"""A training script as people write them: a subclass, a custom layer, data, callbacks, plots.

``costlens analyze examples/scripts/train_cifar.py`` reads its model without the data set, without
training and without writing a file.
"""

import argparse

import matplotlib.pyplot as plt
import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

parser = argparse.ArgumentParser()
parser.add_argument("--width", type=int, default=32)
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()

(x_train, y_train), (x_test, y_test) = keras.datasets.cifar10.load_data()
train = tf.data.Dataset.from_tensor_slices((x_train / 255.0, y_train)).shuffle(50_000).batch(128)


class Bottleneck(layers.Layer):
    """1×1, 3×3, 1×1 around a shortcut."""

    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.reduce = layers.Conv2D(width, 1, use_bias=False)
        self.spatial = layers.Conv2D(width, 3, padding="same", use_bias=False)
        self.expand = layers.Conv2D(4 * width, 1)

    def call(self, x):
        y = tf.nn.relu(self.reduce(x))
        y = tf.nn.relu(self.spatial(y))
        return tf.nn.relu(x + self.expand(y))


class Classifier(keras.Model):
    """A stem, three bottlenecks, a classifier."""

    def __init__(self, width, classes=10):
        super().__init__(name="classifier")
        self.stem = layers.Conv2D(4 * width, 3, strides=2, padding="same", name="stem")
        self.blocks = [Bottleneck(width, name=f"block{i}") for i in range(3)]
        self.dropout = layers.Dropout(0.3, name="dropout")
        self.head = layers.Dense(classes, activation="softmax", name="head")

    def call(self, images, training=False):
        x = tf.nn.relu(self.stem(images))
        for block in self.blocks:
            x = block(x)
        x = self.dropout(tf.reduce_mean(x, axis=[1, 2]), training=training)
        return self.head(x)


model = Classifier(args.width)
model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
history = model.fit(
    train,
    epochs=args.epochs,
    callbacks=[keras.callbacks.ModelCheckpoint("best.keras", save_best_only=True)],
)
print("test accuracy", model.evaluate(x_test / 255.0, y_test)[1])

plt.plot(history.history["accuracy"])
plt.savefig("accuracy.png")
