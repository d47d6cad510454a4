"""A single-shot detector head: several outputs, Lambda, losses in a dict, tfrecords that are not here."""
import glob
import tensorflow as tf
from tensorflow.keras.layers import (Input, Conv2D, BatchNormalization, LeakyReLU, ZeroPadding2D, Add,
                                     Concatenate, UpSampling2D, Lambda)
from tensorflow.keras.models import Model

NUM_CLASSES = 20
ANCHORS = 3
SIZE = 416
FEATURES = {
    'image/encoded': tf.io.FixedLenFeature([], tf.string),
    'image/object/bbox/xmin': tf.io.VarLenFeature(tf.float32),
}


def parse(record):
    x = tf.io.parse_single_example(record, FEATURES)
    image = tf.image.resize(tf.image.decode_jpeg(x['image/encoded'], channels=3), (SIZE, SIZE))
    targets = {'coarse': tf.zeros((13, 13, ANCHORS, 5 + NUM_CLASSES)), 'fine': tf.zeros((26, 26, ANCHORS, 5 + NUM_CLASSES))}
    return image / 255., targets


def DarknetConv(x, filters, size, strides=1, batch_norm=True):
    if strides == 1:
        padding = 'same'
    else:
        x = ZeroPadding2D(((1, 0), (1, 0)))(x)  # top left half-padding
        padding = 'valid'
    x = Conv2D(filters=filters, kernel_size=size, strides=strides, padding=padding,
               use_bias=not batch_norm, kernel_regularizer=tf.keras.regularizers.l2(0.0005))(x)
    if batch_norm:
        x = BatchNormalization()(x)
        x = LeakyReLU(negative_slope=0.1)(x)
    return x


def DarknetResidual(x, filters):
    prev = x
    x = DarknetConv(x, filters // 2, 1)
    x = DarknetConv(x, filters, 3)
    return Add()([prev, x])


def DarknetBlock(x, filters, blocks):
    x = DarknetConv(x, filters, 3, strides=2)
    for _ in range(blocks):
        x = DarknetResidual(x, filters)
    return x


def Darknet(name=None):
    x = inputs = Input([SIZE, SIZE, 3])
    x = DarknetConv(x, 16, 3)
    x = DarknetBlock(x, 32, 1)
    x = DarknetBlock(x, 64, 1)
    x = DarknetBlock(x, 128, 2)
    x = x_26 = DarknetBlock(x, 256, 2)
    x = DarknetBlock(x, 512, 1)
    return Model(inputs, (x_26, x), name=name)


def Output(x_in, filters, name):
    x = inputs = Input(x_in.shape[1:])
    x = DarknetConv(x, filters, 3)
    x = DarknetConv(x, ANCHORS * (NUM_CLASSES + 5), 1, batch_norm=False)
    x = Lambda(lambda x: tf.reshape(x, (-1, tf.shape(x)[1], tf.shape(x)[2], ANCHORS, NUM_CLASSES + 5)))(x)
    return Model(inputs, x, name=name)(x_in)


x = inputs = Input([SIZE, SIZE, 3], name='input')
x_26, x = Darknet(name='darknet')(x)
x = DarknetConv(x, 256, 1)
out_0 = Output(x, 512, 'coarse')
x = DarknetConv(x, 128, 1)
x = UpSampling2D(2)(x)
x = Concatenate()([x, x_26])
out_1 = Output(x, 256, 'fine')
yolo = Model(inputs, {'coarse': out_0, 'fine': out_1}, name='yolo')

records = tf.data.TFRecordDataset(glob.glob('/data/voc/*.tfrecord')).map(parse).shuffle(512).batch(8)
yolo.compile(tf.keras.optimizers.Adam(1e-3), loss={'coarse': 'mse', 'fine': 'mse'}, loss_weights={'coarse': 1., 'fine': 0.5})
yolo.fit(records, epochs=2, steps_per_epoch=100)
