import random
import numpy as np
import tensorflow as tf
from tensorflow.keras import layers, models, optimizers
from tensorflow.keras import backend as K
from tensorflow.keras.datasets import mnist

num_classes = 10
epochs = 20


def euclid_dis(vects):
    x, y = vects
    sum_square = K.sum(K.square(x - y), axis=1, keepdims=True)
    return K.sqrt(K.maximum(sum_square, K.epsilon()))


def eucl_dist_output_shape(shapes):
    shape1, shape2 = shapes
    return (shape1[0], 1)


def contrastive_loss(y_true, y_pred):
    y_true = tf.cast(y_true, y_pred.dtype)
    margin = 1
    return K.mean(y_true * K.square(y_pred) + (1 - y_true) * K.square(K.maximum(margin - y_pred, 0)))


def create_pairs(x, digit_indices):
    pairs, labels = [], []
    n = min([len(digit_indices[d]) for d in range(num_classes)]) - 1
    for d in range(num_classes):
        for i in range(n):
            z1, z2 = digit_indices[d][i], digit_indices[d][i + 1]
            pairs += [[x[z1], x[z2]]]
            inc = random.randrange(1, num_classes)
            dn = (d + inc) % num_classes
            z1, z2 = digit_indices[d][i], digit_indices[dn][i]
            pairs += [[x[z1], x[z2]]]
            labels += [1, 0]
    return np.array(pairs), np.array(labels).astype('float32')


def create_base_net(input_shape):
    inp = layers.Input(shape=input_shape)
    x = layers.Conv2D(4, (5, 5), activation='tanh')(inp)
    x = layers.AveragePooling2D(pool_size=(2, 2))(x)
    x = layers.Conv2D(16, (5, 5), activation='tanh')(x)
    x = layers.AveragePooling2D(pool_size=(2, 2))(x)
    x = layers.Flatten()(x)
    x = layers.Dense(10, activation='tanh')(x)
    return models.Model(inp, x, name='base')


(x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train = x_train.astype('float32') / 255
x_test = x_test.astype('float32') / 255
input_shape = (28, 28, 1)

digit_indices = [np.where(y_train == i)[0] for i in range(num_classes)]
tr_pairs, tr_y = create_pairs(x_train, digit_indices)
digit_indices = [np.where(y_test == i)[0] for i in range(num_classes)]
te_pairs, te_y = create_pairs(x_test, digit_indices)

base_network = create_base_net(input_shape)
input_a = layers.Input(shape=input_shape)
input_b = layers.Input(shape=input_shape)
processed_a = base_network(input_a)
processed_b = base_network(input_b)
distance = layers.Lambda(euclid_dis, output_shape=eucl_dist_output_shape, name='distance')([processed_a, processed_b])
model = models.Model([input_a, input_b], distance)

model.compile(loss=contrastive_loss, optimizer=optimizers.Adam(), metrics=['accuracy'])
model.fit([tr_pairs[:, 0], tr_pairs[:, 1]], tr_y, batch_size=128, epochs=epochs,
          validation_data=([te_pairs[:, 0], te_pairs[:, 1]], te_y))
y_pred = model.predict([te_pairs[:, 0], te_pairs[:, 1]])
print('* Accuracy on test set: %0.2f%%' % (100 * np.mean((y_pred.ravel() < 0.5) == te_y)))
