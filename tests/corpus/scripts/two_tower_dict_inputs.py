"""A two-tower recommender: the model's call takes a dict of features."""
import os
import pprint
import tempfile
from typing import Dict, Text

import numpy as np
import pandas as pd
import tensorflow as tf
import keras

N_USERS, N_MOVIES, DIM = 6041, 3953, 32

ratings = pd.read_csv("ml-1m/ratings.dat", sep="::", names=["user", "movie", "rating", "ts"], engine="python")
ratings = ratings.sample(frac=1.0, random_state=42)
split = int(len(ratings) * 0.9)


def to_dataset(frame, shuffle=True):
    features = {
        "user": frame["user"].values.astype("int32"),
        "movie": frame["movie"].values.astype("int32"),
        "genres": np.zeros((len(frame), 18), dtype="float32"),
    }
    ds = tf.data.Dataset.from_tensor_slices((features, frame["rating"].values.astype("float32")))
    if shuffle:
        ds = ds.shuffle(100_000, seed=42)
    return ds.batch(8192).cache()


train, test = to_dataset(ratings[:split]), to_dataset(ratings[split:], shuffle=False)


class TwoTower(keras.Model):
    def __init__(self, dim=DIM):
        super().__init__()
        self.user_embedding = keras.layers.Embedding(N_USERS, dim)
        self.movie_embedding = keras.layers.Embedding(N_MOVIES, dim)
        self.genre = keras.layers.Dense(dim, use_bias=False)
        self.user_tower = keras.Sequential([
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(dim),
        ])
        self.movie_tower = keras.Sequential([
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(dim),
        ])
        self.rating = keras.layers.Dense(1)

    def call(self, features: Dict[Text, tf.Tensor]) -> tf.Tensor:
        user = self.user_tower(self.user_embedding(features["user"]))
        movie = self.movie_embedding(features["movie"]) + self.genre(features["genres"])
        movie = self.movie_tower(movie)
        return self.rating(tf.concat([user, movie, user * movie], axis=1))


model = TwoTower()
model.compile(optimizer=keras.optimizers.Adagrad(0.1), loss="mse",
              metrics=[keras.metrics.RootMeanSquaredError()])
example = {
    "user": tf.constant([1, 2]),
    "movie": tf.constant([10, 20]),
    "genres": tf.zeros((2, 18)),
}
pprint.pprint(model(example).numpy())
model.fit(train, epochs=3)
print(model.evaluate(test, return_dict=True))
with tempfile.TemporaryDirectory() as tmp:
    model.save(os.path.join(tmp, "model.keras"))
