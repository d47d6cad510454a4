# PSPNet-like segmentation head, raw tf ops: shape, resize, slicing, expand_dims, squeeze
import tensorflow as tf
from tensorflow import keras
from tensorflow.keras import layers

HEIGHT, WIDTH, CLASSES = 128, 128, 21
BATCH = 8
DATA_ROOT = "/data/VOCdevkit/VOC2012"


def read_pair(img_path, mask_path):
    img = tf.image.decode_jpeg(tf.io.read_file(img_path), channels=3)
    img = tf.image.resize(img, [HEIGHT, WIDTH]) / 255.0
    mask = tf.image.decode_png(tf.io.read_file(mask_path), channels=1)
    mask = tf.image.resize(mask, [HEIGHT, WIDTH], method='nearest')
    return img, mask


files = tf.io.gfile.glob(DATA_ROOT + "/JPEGImages/*.jpg")
masks = [f.replace("JPEGImages", "SegmentationClass").replace(".jpg", ".png") for f in files]
train_ds = tf.data.Dataset.from_tensor_slices((files, masks)).map(read_pair).shuffle(100).batch(BATCH)


def stem(x):
    for f, s in ((32, 2), (64, 2), (128, 2), (128, 1)):
        x = layers.Conv2D(f, 3, strides=s, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    return x


def pyramid(features, bins=(1, 2, 4, 8)):
    size = tf.shape(features)[1:3]
    branches = [features]
    for b in bins:
        k = features.shape[1] // b
        p = layers.AveragePooling2D(k, strides=k)(features)
        p = layers.Conv2D(32, 1, activation="relu")(p)
        p = tf.image.resize(p, size, method="bilinear")
        branches.append(p)
    return tf.concat(branches, axis=-1)


inp = keras.Input((HEIGHT, WIDTH, 3))
centred = inp - tf.constant([0.485, 0.456, 0.406])
feat = stem(centred)
x = pyramid(feat)
x = layers.Conv2D(128, 3, padding="same", activation="relu")(x)
x = layers.Conv2D(CLASSES, 1)(x)
logits = tf.image.resize(x, (HEIGHT, WIDTH))
image_level = tf.expand_dims(tf.reduce_mean(logits[:, 8:-8, 8:-8, :], axis=[1, 2]), 1)
image_level = tf.squeeze(layers.Dense(CLASSES)(image_level), axis=1)
model = keras.Model(inp, [logits, image_level])
model.compile("adam", loss=[keras.losses.SparseCategoricalCrossentropy(from_logits=True), None])
model.fit(train_ds, epochs=30)
