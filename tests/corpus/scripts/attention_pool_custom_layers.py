"""Reuters topics with layers that add their own weights."""
import numpy as np
import keras
from keras import layers, ops
from keras.datasets import reuters


class Linear(layers.Layer):
    def __init__(self, units=32, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=True)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b


class AttentionPool(layers.Layer):
    """Weighted mean over time, the weights from a learned query."""

    def build(self, input_shape):
        self.query = self.add_weight(name="query", shape=(input_shape[-1], 1), initializer="glorot_uniform")
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        score = ops.squeeze(ops.matmul(inputs, self.query), -1) * self.scale
        alpha = ops.softmax(score, axis=-1)
        return ops.sum(inputs * ops.expand_dims(alpha, -1), axis=1)


class MLPBlock(layers.Layer):
    def __init__(self, hidden, out):
        super().__init__()
        self.linear_1 = Linear(hidden)
        self.linear_2 = Linear(out)
        self.rate = keras.Variable(0.5, trainable=False)

    def call(self, x):
        x = ops.relu(self.linear_1(x))
        return self.linear_2(x * self.rate)


max_words = 10000
maxlen = 120
(x_train, y_train), (x_test, y_test) = reuters.load_data(num_words=max_words, test_split=0.2)
num_classes = np.max(y_train) + 1
print(num_classes, "classes")
x_train = keras.utils.pad_sequences(x_train, maxlen=maxlen)
x_test = keras.utils.pad_sequences(x_test, maxlen=maxlen)
y_train = keras.utils.to_categorical(y_train, num_classes)
y_test = keras.utils.to_categorical(y_test, num_classes)

inputs = keras.Input((maxlen,))
x = layers.Embedding(max_words, 64)(inputs)
x = layers.Conv1D(96, 5, activation="relu")(x)
x = AttentionPool()(x)
x = MLPBlock(128, 46)(x)
outputs = layers.Softmax()(x)
net = keras.Model(inputs, outputs, name="reuters_net")
net.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
net.fit(x_train, y_train, batch_size=32, epochs=5, verbose=1, validation_split=0.1)
print("Test score:", net.evaluate(x_test, y_test, batch_size=32, verbose=1)[0])
