"""Raw TensorFlow calls straight on the symbolic tensors, as one wrote them for TF 2.0."""
import tensorflow as tf
from tensorflow.keras.layers import Input, Conv2D, BatchNormalization, Dense
from tensorflow.keras.models import Model
from tensorflow.keras.datasets import cifar10

(x_train, y_train), (x_test, y_test) = cifar10.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0
y_train, y_test = y_train.flatten(), y_test.flatten()
K = len(set(y_train))
print("number of classes:", K)


def conv_bn(x, filters, size, strides=1):
    x = Conv2D(filters, size, strides=strides, padding='same', use_bias=False)(x)
    x = BatchNormalization()(x)
    return tf.nn.relu(x)


def fire(x, squeeze, expand):
    s = conv_bn(x, squeeze, 1)
    left = conv_bn(s, expand, 1)
    right = conv_bn(s, expand, 3)
    return tf.concat([left, right], axis=-1)


i = Input(shape=x_train[0].shape)
x = conv_bn(i, 32, 3)
x = fire(x, 16, 32)
x = tf.nn.max_pool2d(x, ksize=2, strides=2, padding='SAME')
x = fire(x, 24, 48)
x = tf.nn.avg_pool2d(x, ksize=2, strides=2, padding='VALID')
x = fire(x, 32, 64)
# global context gate
g = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
g = Dense(32, activation='relu')(g)
g = Dense(128)(g)
x = x * tf.sigmoid(g)
avg = tf.reduce_mean(x, axis=[1, 2])
peak = tf.reduce_max(x, axis=[1, 2])
x = tf.concat([avg, peak], 1)
x = tf.nn.dropout(x, 0.2)
x = Dense(K, activation='softmax')(x)
model = Model(i, x)

model.compile(optimizer='adam', loss='sparse_categorical_crossentropy', metrics=['accuracy'])
r = model.fit(x_train, y_train, validation_data=(x_test, y_test), epochs=50)
import matplotlib.pyplot as plt
plt.plot(r.history['loss'], label='loss')
plt.plot(r.history['val_loss'], label='val_loss')
plt.legend()
plt.show()
