"""A 3-D CNN for CT scans; the functions are imported by train.py, which is not here."""
import os

import numpy as np
import nibabel as nib
from scipy import ndimage
import keras
from keras import layers


def read_nifti_file(filepath):
    """Read and load volume"""
    scan = nib.load(filepath)
    return scan.get_fdata()


def normalize(volume, low=-1000, high=400):
    volume = np.clip(volume, low, high)
    return ((volume - low) / (high - low)).astype("float32")


def resize_volume(img):
    factors = (128 / img.shape[0], 128 / img.shape[1], 64 / img.shape[-1])
    return ndimage.zoom(ndimage.rotate(img, 90, reshape=False), factors, order=1)


def process_scan(path):
    return resize_volume(normalize(read_nifti_file(path)))


def get_model(width=128, height=128, depth=64):
    """Build a 3D convolutional neural network model."""
    inputs = keras.Input((width, height, depth, 1))
    x = inputs
    for filters in (64, 64, 128, 256):
        x = layers.Conv3D(filters=filters, kernel_size=3, activation="relu")(x)
        x = layers.MaxPool3D(pool_size=2)(x)
        x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling3D()(x)
    x = layers.Dense(units=512, activation="relu")(x)
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(units=1, activation="sigmoid")(x)
    return keras.Model(inputs, outputs, name="3dcnn")
