# Usage: python multi_gpu_strategy.py
import os
import tensorflow as tf
from tensorflow import keras

gpus = tf.config.list_physical_devices('GPU')
for gpu in gpus:
    tf.config.experimental.set_memory_growth(gpu, True)
os.environ['TF_GPU_ALLOCATOR'] = 'cuda_malloc_async'
strategy = tf.distribute.MirroredStrategy()
print("Number of devices: {}".format(strategy.num_replicas_in_sync))

BATCH_SIZE_PER_REPLICA = 64
BATCH_SIZE = BATCH_SIZE_PER_REPLICA * strategy.num_replicas_in_sync


def get_compiled_model():
    inputs = keras.Input(shape=(784,))
    x = keras.layers.Dense(256, activation="relu")(inputs)
    x = keras.layers.Dense(256, activation="relu")(x)
    outputs = keras.layers.Dense(10)(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


def get_dataset():
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    x_train = x_train.reshape(-1, 784).astype("float32") / 255
    x_test = x_test.reshape(-1, 784).astype("float32") / 255
    y_train = y_train.astype("float32")
    y_test = y_test.astype("float32")
    num_val_samples = 10000
    x_val = x_train[-num_val_samples:]
    y_val = y_train[-num_val_samples:]
    return (
        tf.data.Dataset.from_tensor_slices((x_train, y_train)).batch(BATCH_SIZE),
        tf.data.Dataset.from_tensor_slices((x_val, y_val)).batch(BATCH_SIZE),
        tf.data.Dataset.from_tensor_slices((x_test, y_test)).batch(BATCH_SIZE),
    )


checkpoint_dir = "./ckpt"
if not os.path.exists(checkpoint_dir):
    os.makedirs(checkpoint_dir)


def make_or_restore_model():
    # Either restore the latest model, or create a fresh one if there is no checkpoint available.
    checkpoints = [checkpoint_dir + "/" + name for name in os.listdir(checkpoint_dir)]
    if checkpoints:
        latest_checkpoint = max(checkpoints, key=os.path.getctime)
        print("Restoring from", latest_checkpoint)
        return keras.models.load_model(latest_checkpoint)
    print("Creating a new model")
    return get_compiled_model()


# Open a strategy scope.
with strategy.scope():
    model = make_or_restore_model()

train_dataset, val_dataset, test_dataset = get_dataset()
callbacks = [keras.callbacks.ModelCheckpoint(filepath=checkpoint_dir + "/ckpt-{epoch}.keras", save_freq="epoch")]
model.fit(train_dataset, epochs=2, callbacks=callbacks, validation_data=val_dataset, verbose=2)
model.evaluate(test_dataset)
