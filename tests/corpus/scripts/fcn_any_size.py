"""Super-resolution by sub-pixel convolution: the input size is left open."""
import os
import math
import numpy as np
import tensorflow as tf
import keras
from keras import layers, ops
from keras.utils import load_img, array_to_img, img_to_array
from keras.preprocessing import image_dataset_from_directory
import PIL

dataset_url = "http://www.example.org/BSR/BSR_bsds500.tgz"
data_dir = keras.utils.get_file(origin=dataset_url, fname="BSR", untar=True)
root_dir = os.path.join(data_dir, "BSDS500/data")

crop_size = 300
upscale_factor = 3
input_size = crop_size // upscale_factor
batch_size = 8
train_ds = image_dataset_from_directory(
    root_dir, batch_size=batch_size, image_size=(crop_size, crop_size),
    validation_split=0.2, subset="training", seed=1337, label_mode=None)
train_ds = train_ds.map(lambda x: x / 255.0)


def process_input(input, input_size):
    input = tf.image.rgb_to_yuv(input)
    y, u, v = tf.split(input, 3, axis=len(input.shape) - 1)
    return tf.image.resize(y, [input_size, input_size], method="area")


train_ds = train_ds.map(lambda x: (process_input(x, input_size), tf.image.rgb_to_yuv(x)[..., :1]))
test_img_paths = sorted(
    os.path.join(root_dir, "images/test", fname)
    for fname in os.listdir(os.path.join(root_dir, "images/test"))
    if fname.endswith(".jpg")
)


class DepthToSpace(layers.Layer):
    def __init__(self, block_size):
        super().__init__()
        self.block_size = block_size

    def call(self, input):
        batch, height, width, depth = ops.shape(input)
        depth = depth // (self.block_size**2)
        x = ops.reshape(input, [batch, height, width, self.block_size, self.block_size, depth])
        x = ops.transpose(x, [0, 1, 3, 2, 4, 5])
        x = ops.reshape(x, [batch, height * self.block_size, width * self.block_size, depth])
        return x


def get_model(upscale_factor=3, channels=1):
    conv_args = {"activation": "relu", "kernel_initializer": "orthogonal", "padding": "same"}
    inputs = keras.Input(shape=(None, None, channels))
    x = layers.Conv2D(64, 5, **conv_args)(inputs)
    x = layers.Conv2D(64, 3, **conv_args)(x)
    x = layers.Conv2D(32, 3, **conv_args)(x)
    x = layers.Conv2D(channels * (upscale_factor**2), 3, **conv_args)(x)
    outputs = DepthToSpace(upscale_factor)(x)
    return keras.Model(inputs, outputs)


class ESPCNCallback(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.test_img = load_img(test_img_paths[0])

    def on_epoch_begin(self, epoch, logs=None):
        self.psnr = []

    def on_epoch_end(self, epoch, logs=None):
        print("Mean PSNR for epoch: %.2f" % (np.mean(self.psnr)))


model = get_model(upscale_factor=upscale_factor, channels=1)
model.summary()
loss_fn = keras.losses.MeanSquaredError()
model.compile(optimizer=keras.optimizers.Adam(learning_rate=0.001), loss=loss_fn)
model.fit(train_ds, epochs=100, callbacks=[ESPCNCallback()], verbose=2)
model.load_weights("/tmp/checkpoint.weights.h5")
