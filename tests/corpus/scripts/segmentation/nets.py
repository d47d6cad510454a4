import tensorflow as tf
from tensorflow.keras import layers as L

from .blocks import conv_bn_relu, upsample_add


def build_fpn(classes, size=256, width=128):
    trunk = tf.keras.applications.ResNet50V2(include_top=False, weights='imagenet', input_shape=(size, size, 3))
    taps = [trunk.get_layer(n).output for n in ('conv2_block2_out', 'conv3_block3_out', 'conv4_block5_out')]
    c5 = trunk.output
    p = L.Conv2D(width, 1, name='top')(c5)
    for i, c in enumerate(reversed(taps)):
        p = upsample_add(p, L.Conv2D(width, 1, name='lateral%d' % i)(c))
    p = conv_bn_relu(p, width)
    p = L.Conv2D(classes, 1)(p)
    return tf.keras.Model(trunk.input, L.UpSampling2D(4, interpolation='bilinear')(p), name='fpn')
