"""Copy memory task with a cell of one's own in keras.layers.RNN, beside an LSTM baseline."""
import numpy as np
import keras
from keras import layers, ops


class MinimalGatedCell(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2 * self.units), initializer="glorot_uniform", name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, 2 * self.units), initializer="orthogonal", name="recurrent")
        self.bias = self.add_weight(shape=(2 * self.units,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs, states):
        h = states[0]
        x = ops.matmul(inputs, self.kernel) + self.bias
        f = ops.sigmoid(x[:, : self.units] + ops.matmul(h, self.recurrent[:, : self.units]))
        c = ops.tanh(x[:, self.units :] + ops.matmul(f * h, self.recurrent[:, self.units :]))
        h = (1 - f) * h + f * c
        return h, [h]


T, SYMBOLS, N = 100, 10, 20000
rng = np.random.default_rng(0)
x = rng.integers(1, SYMBOLS - 1, size=(N, T))
y = np.roll(x, 10, axis=1)

inputs = keras.Input((T,), dtype="int32")
h = layers.Embedding(SYMBOLS, 16)(inputs)
h = layers.RNN(MinimalGatedCell(96), return_sequences=True)(h)
h = layers.RNN(MinimalGatedCell(96), return_sequences=True, go_backwards=True)(h)
outputs = layers.Dense(SYMBOLS, activation="softmax")(h)
mgu = keras.Model(inputs, outputs, name="mgu")

baseline = keras.Sequential([
    keras.Input((T,), dtype="int32"),
    layers.Embedding(SYMBOLS, 16),
    layers.LSTM(64, return_sequences=True),
    layers.Dense(SYMBOLS, activation="softmax"),
], name="lstm")

for net in (mgu, baseline):
    net.compile(keras.optimizers.RMSprop(1e-3, clipvalue=1.0), "sparse_categorical_crossentropy", ["accuracy"])
    net.fit(x, y, batch_size=128, epochs=10, validation_split=0.05)
    print(net.name, net.evaluate(x[:1000], y[:1000], verbose=0))
