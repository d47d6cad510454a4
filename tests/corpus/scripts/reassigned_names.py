"""Three rounds of a tutorial in one file: `model` is made again each time."""
import tensorflow as tf
from tensorflow.keras import layers, regularizers
import numpy as np
import pathlib, shutil, tempfile
import gzip

logdir = pathlib.Path(tempfile.mkdtemp()) / "tensorboard_logs"
shutil.rmtree(logdir, ignore_errors=True)
gz = tf.keras.utils.get_file('HIGGS.csv.gz', 'http://mlphysics.example.edu/data/higgs/HIGGS.csv.gz')
FEATURES = 28
ds = tf.data.experimental.CsvDataset(gz, [float(), ] * (FEATURES + 1), compression_type="GZIP")


def pack_row(*row):
    label = row[0]
    features = tf.stack(row[1:], 1)
    return features, label


packed_ds = ds.batch(10000).map(pack_row).unbatch()
validate_ds = packed_ds.take(1000).cache().batch(500)
train_ds = packed_ds.skip(1000).take(10000).cache().shuffle(10000).repeat().batch(500)
lr_schedule = tf.keras.optimizers.schedules.InverseTimeDecay(0.001, decay_steps=20000, decay_rate=1, staircase=False)


def compile_and_fit(model, name, max_epochs=10000):
    model.compile(optimizer=tf.keras.optimizers.Adam(lr_schedule),
                  loss=tf.keras.losses.BinaryCrossentropy(from_logits=True), metrics=['accuracy'])
    model.summary()
    return model.fit(train_ds, steps_per_epoch=20, epochs=max_epochs, validation_data=validate_ds,
                     callbacks=[tf.keras.callbacks.TensorBoard(logdir / name)], verbose=0)


size_histories = {}
model = tf.keras.Sequential([layers.Input((FEATURES,)), layers.Dense(16, activation='elu'), layers.Dense(1)], name='tiny')
size_histories['Tiny'] = compile_and_fit(model, 'sizes/Tiny')

model = tf.keras.Sequential([
    layers.Input((FEATURES,)),
    layers.Dense(512, activation='elu', kernel_regularizer=regularizers.l2(0.0001)),
    layers.Dropout(0.5),
    layers.Dense(512, activation='elu'),
    layers.Dense(512, activation='elu'),
    layers.Dense(1),
], name='large')
size_histories['large'] = compile_and_fit(model, 'sizes/large')

model = tf.keras.Sequential([
    layers.Input((FEATURES,)),
    layers.Dense(64, activation='elu'),
    layers.Dropout(0.5),
    layers.Dense(64, activation='elu'),
    layers.Dense(1),
], name='combined')
size_histories['combined'] = compile_and_fit(model, "regularizers/combined")
