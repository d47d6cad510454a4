import datetime
import os
import random

import numpy as np
import tensorflow as tf
import wandb
from wandb.integration.keras import WandbMetricsLogger, WandbModelCheckpoint

wandb.init(
    project="fashion",
    config={"layer_1": 512, "activation_1": "relu", "dropout": 0.37, "layer_2": 10, "epoch": 8, "batch_size": 256},
)
config = {"layer_1": 512, "dropout": 0.37, "epoch": 8, "batch_size": 256}
np.random.seed(1), random.seed(1), tf.random.set_seed(1)

mnist = tf.keras.datasets.fashion_mnist
(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = tf.keras.models.Sequential([
    tf.keras.layers.Flatten(input_shape=(28, 28)),
    tf.keras.layers.Dense(config["layer_1"], activation="relu"),
    tf.keras.layers.Dropout(config["dropout"]),
    tf.keras.layers.Dense(10, activation="softmax"),
])
model.compile(optimizer="sgd", loss="sparse_categorical_crossentropy", metrics=["accuracy"])

log_dir = "logs/fit/" + datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
tensorboard_callback = tf.keras.callbacks.TensorBoard(log_dir=log_dir, histogram_freq=1)
file_writer = tf.summary.create_file_writer(log_dir + "/images")
with file_writer.as_default():
    tf.summary.image("Training data", np.reshape(x_train[0:25], (-1, 28, 28, 1)), step=0)

history = model.fit(
    x=x_train, y=y_train, epochs=config["epoch"], batch_size=config["batch_size"],
    validation_data=(x_test, y_test),
    callbacks=[WandbMetricsLogger(log_freq=5), WandbModelCheckpoint("models"), tensorboard_callback],
)
wandb.log({"final_loss": history.history["loss"][-1]})
os.system("tensorboard --logdir logs/fit &")
wandb.finish()
