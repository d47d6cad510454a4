"""Wide residual network, options through absl flags."""
from absl import app
from absl import flags
from absl import logging
import tensorflow as tf
import tensorflow_datasets as tfds

FLAGS = flags.FLAGS
flags.DEFINE_integer("width", 2, "Width multiplier.")
flags.DEFINE_integer("depth", 16, "6n + 4.")
flags.DEFINE_string("output_dir", "/tmp/wrn", "Where checkpoints go.")
flags.DEFINE_float("base_learning_rate", 0.1, "Learning rate.")
flags.DEFINE_enum("dataset", "cifar10", ["cifar10", "cifar100"], "Data set.")
flags.DEFINE_bool("use_gpu", True, "Whether to run on GPU.")

HP = dict(padding="same", use_bias=False, kernel_initializer="he_normal")


def basic_block(inputs, filters, strides):
    x = inputs
    y = tf.keras.layers.BatchNormalization(momentum=0.9)(x)
    y = tf.keras.layers.Activation("relu")(y)
    y = tf.keras.layers.Conv2D(filters, 3, strides=strides, **HP)(y)
    y = tf.keras.layers.BatchNormalization(momentum=0.9)(y)
    y = tf.keras.layers.Activation("relu")(y)
    y = tf.keras.layers.Conv2D(filters, 3, strides=1, **HP)(y)
    if not x.shape.is_compatible_with(y.shape) if hasattr(x.shape, "is_compatible_with") else x.shape != y.shape:
        x = tf.keras.layers.Conv2D(filters, 1, strides=strides, **HP)(x)
    return tf.keras.layers.add([x, y])


def wide_resnet(input_shape, depth, width_multiplier, num_classes):
    if (depth - 4) % 6 != 0:
        raise ValueError("depth should be 6n+4 (e.g., 16, 22, 28, 40).")
    num_blocks = (depth - 4) // 6
    inputs = tf.keras.layers.Input(shape=input_shape)
    x = tf.keras.layers.Conv2D(16, 3, **HP)(inputs)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        for i in range(num_blocks):
            x = basic_block(x, filters * width_multiplier, strides if i == 0 else 1)
    x = tf.keras.layers.BatchNormalization(momentum=0.9)(x)
    x = tf.keras.layers.Activation("relu")(x)
    x = tf.keras.layers.AveragePooling2D(pool_size=8)(x)
    x = tf.keras.layers.Flatten()(x)
    x = tf.keras.layers.Dense(num_classes, kernel_initializer="he_normal")(x)
    return tf.keras.Model(inputs=inputs, outputs=x, name=f"wide_resnet-{depth}-{width_multiplier}")


def main(argv):
    del argv  # unused arg
    tf.io.gfile.makedirs(FLAGS.output_dir)
    logging.info("Saving checkpoints at %s", FLAGS.output_dir)
    tf.random.set_seed(42)
    strategy = tf.distribute.MirroredStrategy()
    logging.info("Number of replicas: %s", strategy.num_replicas_in_sync)

    ds = tfds.load(FLAGS.dataset, split="train", as_supervised=True)
    ds = ds.map(lambda img, label: (tf.cast(img, tf.float32) / 255.0, label)).shuffle(50000).batch(128)
    steps_per_epoch = 50000 // 128

    with strategy.scope():
        model = wide_resnet((32, 32, 3), FLAGS.depth, FLAGS.width, 10 if FLAGS.dataset == "cifar10" else 100)
        logging.info("Model number of weights: %s", model.count_params())
        optimizer = tf.keras.optimizers.SGD(FLAGS.base_learning_rate, momentum=0.9, nesterov=True)
        train_loss = tf.keras.metrics.Mean()

    @tf.function
    def train_step(iterator):
        def step_fn(inputs):
            images, labels = inputs
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                loss = tf.reduce_mean(
                    tf.keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
            grads = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables))
            train_loss.update_state(loss)

        strategy.run(step_fn, args=(next(iterator),))

    train_iterator = iter(strategy.experimental_distribute_dataset(ds))
    checkpoint = tf.train.Checkpoint(model=model, optimizer=optimizer)
    for epoch in range(200):
        for step in range(steps_per_epoch):
            train_step(train_iterator)
        logging.info("epoch %d loss %.4f", epoch, train_loss.result())
        checkpoint.save(FLAGS.output_dir + "/checkpoint")


if __name__ == "__main__":
    app.run(main)
