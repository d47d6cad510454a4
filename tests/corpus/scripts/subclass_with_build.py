"""A regression net whose layers are made in build(), from the shape of what it is given."""
import keras
import numpy as np
from keras import layers
from keras.datasets import california_housing

(x_train, y_train), (x_test, y_test) = california_housing.load_data(version="large", test_split=0.2)
mean, std = x_train.mean(axis=0), x_train.std(axis=0) + 1e-7
x_train = (x_train - mean) / std
x_test = (x_test - mean) / std


class FactorisedRegressor(keras.Model):
    def __init__(self, rank=8, hidden=(64, 64), **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        self.hidden = [layers.Dense(h, activation="silu") for h in hidden]
        self.drop = layers.Dropout(0.1)
        self.out = layers.Dense(1)

    def build(self, input_shape):
        features = input_shape[-1]
        self.v = self.add_weight(shape=(features, self.rank), initializer="glorot_normal", name="v")
        width = features + self.rank
        for dense in self.hidden:
            dense.build((input_shape[0], width))
            width = dense.units
        self.out.build((input_shape[0], width))
        self.built = True

    def call(self, x, training=False):
        pairs = keras.ops.square(keras.ops.matmul(x, self.v))
        x = keras.ops.concatenate([x, pairs], axis=-1)
        for dense in self.hidden:
            x = self.drop(dense(x), training=training)
        return self.out(x)


regressor = FactorisedRegressor()
regressor.compile(
    optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10_000)),
    loss="mse",
    metrics=["mae"],
)
regressor.fit(x_train, y_train, epochs=30, batch_size=256, validation_split=0.1)
mse, mae = regressor.evaluate(x_test, y_test)
print(f"MAE ${mae:,.0f}")
np.save("predictions.npy", regressor.predict(x_test))
