"""python -m segmentation.train --data /path/to/cityscapes"""
import os
import argparse

import tensorflow as tf

from .nets import build_fpn
from . import blocks

p = argparse.ArgumentParser()
p.add_argument('--data', default='/datasets/cityscapes')
p.add_argument('--classes', type=int, default=19)
p.add_argument('--size', type=int, default=256)
opt = p.parse_args()

files = tf.data.Dataset.list_files(os.path.join(opt.data, 'leftImg8bit/train/*/*.png'), shuffle=False)


def load(path):
    image = tf.image.resize(tf.io.decode_png(tf.io.read_file(path), 3), (opt.size, opt.size))
    label = tf.strings.regex_replace(path, 'leftImg8bit', 'gtFine_labelTrainIds')
    label = tf.image.resize(tf.io.decode_png(tf.io.read_file(label), 1), (opt.size, opt.size), 'nearest')
    return image / 127.5 - 1, tf.cast(label, tf.int32)


train = files.map(load, tf.data.AUTOTUNE).shuffle(256).batch(8).prefetch(1)
net = build_fpn(opt.classes, opt.size)
net.compile('adam', tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255))
net.fit(train, epochs=80)
net.save(os.path.join('weights', 'fpn.keras'))
