"""Compare several small nets; the models live in a dict and in a list."""
import time
import keras
from keras import layers, models
from keras.datasets import fashion_mnist

(train_x, train_y), (test_x, test_y) = fashion_mnist.load_data()
train_x = train_x[..., None] / 255.0
test_x = test_x[..., None] / 255.0


def linear():
    return models.Sequential([layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)], name="linear")


def mlp(width):
    return models.Sequential(
        [layers.Input((28, 28, 1)), layers.Flatten(), layers.Dense(width, "relu"), layers.Dense(10)],
        name=f"mlp{width}",
    )


def lenet():
    net = models.Sequential(name="lenet")
    net.add(layers.Input((28, 28, 1)))
    net.add(layers.Conv2D(6, 5, padding="same", activation="tanh"))
    net.add(layers.AveragePooling2D(2))
    net.add(layers.Conv2D(16, 5, activation="tanh"))
    net.add(layers.AveragePooling2D(2))
    net.add(layers.Flatten())
    net.add(layers.Dense(120, activation="tanh"))
    net.add(layers.Dense(84, activation="tanh"))
    net.add(layers.Dense(10))
    return net


zoo = {"linear": linear(), "lenet": lenet(), "wide": mlp(512)}
ensemble = [mlp(w) for w in (32, 64)]
results = {}
for key, net in zoo.items():
    start = time.time()
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    net.fit(train_x, train_y, epochs=3, verbose=0)
    _, results[key] = net.evaluate(test_x, test_y, verbose=0)
    print(f"{key:8s} {results[key]:.4f} {time.time() - start:.1f}s {net.count_params():>9,}")
for net in ensemble:
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(train_x, train_y, epochs=3, verbose=0)
best = max(results, key=results.get)
zoo[best].save(f"best_{best}.keras")
