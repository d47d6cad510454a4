"""A GoogLeNet-like trunk with Caffe's names, ported from Keras 1 and never touched since."""
from keras.layers import Input, Dense, Conv2D, MaxPooling2D, AveragePooling2D, Dropout, Flatten, concatenate
from keras.regularizers import l2
from keras.models import Model
from keras.optimizers import SGD
import numpy as np


def inception(x, name, b1, r3, b3, r5, b5, pp):
    p1 = Conv2D(b1, (1, 1), padding='same', activation='relu', name=name + '/1x1', kernel_regularizer=l2(0.0002))(x)
    p2 = Conv2D(r3, (1, 1), padding='same', activation='relu', name=name + '/3x3_reduce')(x)
    p2 = Conv2D(b3, (3, 3), padding='same', activation='relu', name=name + '/3x3')(p2)
    p3 = Conv2D(r5, (1, 1), padding='same', activation='relu', name=name + '/5x5_reduce')(x)
    p3 = Conv2D(b5, (5, 5), padding='same', activation='relu', name=name + '/5x5')(p3)
    p4 = MaxPooling2D((3, 3), strides=(1, 1), padding='same', name=name + '/pool')(x)
    p4 = Conv2D(pp, (1, 1), padding='same', activation='relu', name=name + '/pool_proj')(p4)
    return concatenate([p1, p2, p3, p4], axis=3, name=name + '/output')


def create_trunk(weights_path=None):
    input = Input(shape=(112, 112, 3))
    x = Conv2D(64, (7, 7), strides=(2, 2), padding='same', activation='relu', name='conv1/7x7_s2')(input)
    x = MaxPooling2D((3, 3), strides=(2, 2), padding='same', name='pool1/3x3_s2')(x)
    x = Conv2D(64, (1, 1), activation='relu', name='conv2/3x3_reduce')(x)
    x = Conv2D(192, (3, 3), padding='same', activation='relu', name='conv2/3x3')(x)
    x = MaxPooling2D((3, 3), strides=(2, 2), padding='same', name='pool2/3x3_s2')(x)
    x = inception(x, 'inception_3a', 64, 96, 128, 16, 32, 32)
    x = inception(x, 'inception_3b', 128, 128, 192, 32, 96, 64)
    x = AveragePooling2D((14, 14), strides=(1, 1), name='pool5/14x14_s1')(x)
    x = Flatten(name='loss3/flat')(x)
    x = Dropout(0.4)(x)
    x = Dense(1000, name='loss3/classifier', activation='softmax')(x)
    net = Model(input=input, output=x)
    if weights_path:
        net.load_weights(weights_path)
    return net


model = create_trunk('googlenet_weights.h5')
sgd = SGD(lr=0.1, decay=1e-6, momentum=0.9, nesterov=True)
model.compile(optimizer=sgd, loss='categorical_crossentropy')
img = np.random.random((1, 112, 112, 3))
out = model.predict(img)
print(np.argmax(out))
