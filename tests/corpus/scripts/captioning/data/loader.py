import os

import numpy as np
import tensorflow as tf

from config import FEATURES, SEQ_LENGTH


def load_captions(folder):
    captions = {}
    with open(os.path.join(folder, "Flickr8k.token.txt")) as f:
        for line in f:
            name, text = line.rstrip("\n").split("\t")
            captions.setdefault(name.split("#")[0], []).append(text)
    return captions


def batches(captions):
    names = list(captions)

    def generate():
        for name in names:
            vector = np.load(name + ".npy")
            ids = np.zeros(SEQ_LENGTH, "int32")
            yield {"features": vector, "tokens": ids[:-1]}, ids[1:]

    signature = (
        {"features": tf.TensorSpec(FEATURES, tf.float32), "tokens": tf.TensorSpec((SEQ_LENGTH - 1,), tf.int32)},
        tf.TensorSpec((SEQ_LENGTH - 1,), tf.int32),
    )
    return tf.data.Dataset.from_generator(generate, output_signature=signature).batch(64)
