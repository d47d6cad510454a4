"""Whole training scripts: what they train, load and print is stood in for, their models stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from costlens.errors import InputError
from costlens.frontends.script.request import Request, Running
from costlens.frontends.script.session import answer
from tests.frontends.script.conftest import Run, params

HEAD = "import keras\nimport numpy as np\nfrom keras import layers\n"
DENSE = "net = keras.Sequential([keras.Input((4,)), layers.Dense(3, name='d')])\n"


def test_training_gives_back_what_a_script_goes_on_with(run: Run) -> None:
    source = (
        HEAD
        + DENSE
        + """
net.compile(keras.optimizers.Adam(1e-3), "mse", metrics=["accuracy", keras.metrics.AUC(name="auc")])
x, y = np.ones((10, 4)), np.ones((10, 3))
history = net.fit(x, y, validation_data=(x, y), epochs=5)
assert [type(v) for v in history.history["val_accuracy"]] == [float]
loss, accuracy, auc = net.evaluate(x, y)
assert set(net.evaluate(x, y, return_dict=True)) == {"loss", "accuracy", "auc"}
assert net.predict(x).shape == (10, 3)
assert net(x).shape == (10, 3)
assert [w.shape for w in net.get_weights()] == [(4, 3), (3,)]
net.save("net.keras")
again = keras.models.load_model("net.keras")
assert again is net
open("done.txt", "w").write("yes")
assert open("done.txt").read() == "yes"
"""
    )
    loaded = run(source)
    assert params(loaded) == {"net": 15}
    assert loaded.warnings == ()


def test_a_model_of_its_own_remembers_what_it_was_given(run: Run) -> None:
    """And is built: Dense(3) and Dense(2) on 4 features have 15 and 10 parameters."""
    own = """
class Own(keras.Model):
    def __init__(self, n):
        super().__init__()
        self.dense = layers.Dense(n)
    def call(self, x):
        return self.dense(x)
fitted, called, built, never = Own(3), Own(2), Own(1), Own(9)
fitted.compile("adam", "mse")
fitted.fit(np.ones((8, 4)), np.ones((8, 3)))
called(np.ones((6, 5, 4), "float32"))
built.build((None, 7))
"""
    loaded = run(HEAD + own)
    given = {each.target[5:]: each.inputs for each in loaded.models}
    assert given["fitted"] == ((None, 4), "float32")
    assert given["called"] == ((None, 5, 4), "float32")
    assert given["built"] == ((None, 7), "float32")
    assert given["never"] is None
    assert params(loaded) == {"fitted": 15, "called": 10, "built": 8, "never": 0}


def test_open_sizes_are_those_of_the_data(run: Run) -> None:
    run(
        HEAD
        + """
(x, y), _ = keras.datasets.cifar10.load_data()
net = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(4, 3)])
net.fit(x, y)
"""
    )
    got = answer(Request("m.py"))
    graph = got.models[0].graph
    assert graph is not None
    assert graph.values[graph.inputs[0]].shape == (1, 32, 32, 3)
    assert "the size of the data" in got.warnings[-1]


DATA = {
    "mnist": (10, (28, 28), "uint8"),
    "fashion_mnist": (10, (28, 28), "uint8"),
    "cifar10": (10, (32, 32, 3), "uint8"),
    "cifar100": (100, (32, 32, 3), "uint8"),
}


@pytest.mark.parametrize("name", DATA)
def test_images_have_their_form_and_every_class(run: Run, name: str) -> None:
    classes, shape, dtype = DATA[name]
    loaded = run(
        HEAD
        + f"""
(x, y), (xt, yt) = keras.datasets.{name}.load_data()
assert x.shape[1:] == xt.shape[1:] == {shape} and x.dtype == "{dtype}"
x = x.reshape(60000, -1).astype("float32") / 255
held_out = x[-10000:]
assert held_out.shape[1] == x[50000:].shape[1] and len(x[50000:]) and x[59999].ndim == 1
n = int(np.max(y)) + 1
assert n == len(np.unique(y)) == keras.utils.to_categorical(y).shape[-1]
assert len([row for row in x]) == len(x)
net = keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(n)])
"""
    )
    assert loaded.warnings == ()
    size = 3072 if len(shape) == 3 else 784
    assert params(loaded) == {"net": (size + 1) * classes}


def test_texts_and_numbers_have_their_form(run: Run) -> None:
    loaded = run(
        HEAD
        + """
(x, y), _ = keras.datasets.imdb.load_data(num_words=500)
assert max(max(text) for text in x) == 499 and set(y) == {0, 1}
assert keras.utils.pad_sequences(x, maxlen=80).shape[1] == 80
assert len(keras.datasets.imdb.get_word_index()) == 88584
(x, y), _ = keras.datasets.reuters.load_data(num_words=50)
assert max(y) == 45
(x, y), _ = keras.datasets.boston_housing.load_data()
x = (x - x.mean(axis=0)) / x.std(axis=0)
net = keras.Sequential([keras.Input((x.shape[1],)), layers.Dense(1)])
"""
    )
    assert loaded.warnings == ()
    assert params(loaded) == {"net": 14}


def test_a_folder_of_images_that_is_not_here(run: Run) -> None:
    loaded = run(
        HEAD
        + """
train, test = keras.utils.image_dataset_from_directory(
    "flowers", image_size=(48, 40), batch_size=4, validation_split=0.2, subset="both", seed=1)
for images, labels in train.take(1):
    shape = images.shape[1:]
net = keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(len(train.class_names))])
net.fit(train.cache().prefetch(2), validation_data=test)
"""
    )
    assert params(loaded) == {"net": (48 * 40 * 3 + 1) * 2}
    assert loaded.warnings == (
        "m.py:5: the data in flowers are not read; 2 classes are taken for granted.",
    )


def test_steps_of_the_scripts_own_end(run: Run) -> None:
    loaded = run(
        HEAD
        + DENSE
        + """
import tensorflow as tf
optimizer = keras.optimizers.Adam()
@tf.function
def step(x):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(net(x, training=True) ** 2)
    gradients = tape.gradient(loss, net.trainable_variables)
    optimizer.apply_gradients(zip(gradients, net.trainable_variables))
    return loss
rounds = 0
while True:
    for batch in range(10**9):
        assert float(step(tf.ones((2, 4)))) == 0.0
        rounds += 1
"""
    )
    assert params(loaded) == {"net": 15}
    assert loaded.warnings == ()


def test_a_generator_and_its_critic_are_not_counted_twice(run: Run) -> None:
    loaded = run(
        HEAD
        + """
class GAN:
    def __init__(self):
        self.critic = keras.Sequential([keras.Input((6,)), layers.Dense(1)])
        self.generator = keras.Sequential([keras.Input((2,)), layers.Dense(6)])
        z = keras.Input((2,))
        self.both = keras.Model(z, self.critic(self.generator(z)))
gan = GAN()
class Wrapper(keras.Model):
    def __init__(self, generator):
        super().__init__()
        self.generator = generator
wrapper = Wrapper(gan.generator)
"""
    )
    assert params(loaded) == {"gan.both": 25, "wrapper": 18, "gan.generator": 18, "gan.critic": 7}
    assert next(iter(params(loaded))) == "gan.both"


def test_models_that_only_a_function_holds_are_found_and_can_be_named(run: Run) -> None:
    source = (
        HEAD
        + """
def main():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    keras.Sequential([keras.Input((4,)), layers.Dense(1)]).summary()
if __name__ == "__main__":
    main()
"""
    )
    loaded = run(source)
    assert params(loaded) == {"main.model": 10, "7": 5}
    assert [each.line for each in loaded.models] == [6, 7]
    assert params(run(source, "m.py:main.model")) == {"main.model": 10}
    assert params(run(source, "m.py:7")) == {"7": 5}


def test_arguments_after_the_script_and_those_that_it_cannot_do_without(run: Run) -> None:
    source = (
        HEAD
        + """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--units", type=int, default=2)
options = parser.parse_args()
net = keras.Sequential([keras.Input((4,)), layers.Dense(options.units)])
"""
    )
    loaded = run(source, arguments=("--units", "5"))
    assert params(loaded) == {"net": 25}
    assert loaded.warnings == (
        "m.py:9: its arguments are taken as --data data. Pass others after --.",
    )
    assert run(source, arguments=("--data", "x")).warnings == ()
    with pytest.raises(InputError, match=r"m.py:9: its arguments are wrong: .*invalid int value"):
        run(source, arguments=("--units", "many"))


def test_packages_that_are_not_here(run: Run) -> None:
    loaded = run(
        HEAD
        + """
import matplotlib.pyplot as plt
import no_such_frame as nf
from no_such_frame.selection import split
try:
    import no_such_other
except ImportError:
    no_such_other = None
table = nf.read_csv("table.csv")
rows, columns = split(table)
plt.plot(rows); plt.show()
assert no_such_other is None
width = table.shape[1]
net = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
other = keras.Sequential([keras.Input((4,)), layers.Dense(width)])
"""
    )
    assert params(loaded) == {"other": 160, "net": 15}
    assert loaded.warnings[0] == "m.py:6: no_such_frame is not installed, and is stood in for."
    assert "m.py:18: a whole number is needed of the shape of the data in table.csv" in str(
        loaded.warnings[1]
    )


def test_nothing_outside_is_touched(run: Run) -> None:
    loaded = run(
        HEAD
        + DENSE
        + """
import os, subprocess, urllib.request
from pathlib import Path
os.system("touch made")
subprocess.run(["touch", "made"], check=True)
page = urllib.request.urlopen("http://example.invalid/").read()
os.makedirs("logs/deep", exist_ok=True)
Path("logs/deep/a.txt").write_text("a")
assert os.listdir("logs/deep") == ["a.txt"] and os.path.isdir("logs")
os.remove("m.py")
assert os.path.exists("m.py")
np.savez("logs/b.npz", x=np.ones(3))
assert np.load("logs/b.npz")["x"].sum() == 3
keras.utils.get_file("w.h5", "http://example.invalid/w.h5")
answer = input("sure? ")
"""
    )
    assert params(loaded) == {"net": 15}
    assert "m.py:10: skipped: URLError: " in loaded.warnings[2]
    assert "the network is not touched" in loaded.warnings[2]
    assert len(loaded.warnings) == 4  # two programs, a page, a download


def test_a_line_that_builds_and_fails_gives_no_smaller_model(run: Run) -> None:
    source = (
        "x = y = keras.Input((4,))\ny = layers.Dense(3, nonsense=1)(y)\nnet = keras.Model(x, y)\n"
    )
    with pytest.raises(InputError, match=r"m.py:5: ValueError: Unrecognized keyword"):
        run(HEAD + source)


def test_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It trains and writes; a line that fails ends it."""
    monkeypatch.chdir(tmp_path)
    source = (
        HEAD
        + DENSE
        + """
if __name__ == "__main__":
    net.compile("sgd", "mse")
    net.fit(np.ones((4, 4)), np.ones((4, 3)), verbose=0)
    assert np.any(net.get_weights()[1] != 0)
    open("done", "w").write(str(net.count_params()))
"""
    )
    Path("m.py").write_text(source, encoding="utf-8")
    got = answer(Request("m.py", running=Running(real=True)))
    assert [(m.target, m.params) for m in got.models] == [("m.py:net", 15)]
    assert Path("done").read_text() == "15"
    Path("m.py").write_text(f"{source}\nraise ValueError('no')\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"m.py:12: ValueError: no"):
        answer(Request("m.py", running=Running(real=True)))


def test_a_time_limit_reads_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    waits = "import threading\nthreading.Event().wait()\n"
    Path("m.py").write_text(HEAD + DENSE + waits, encoding="utf-8")
    got = answer(Request("m.py", running=Running(time_limit=1.0)))
    assert [m.params for m in got.models] == [15]
    assert "stopped by its time limit" in got.warnings[0]
    Path("m.py").write_text(waits, encoding="utf-8")
    with pytest.raises(InputError, match=r"no model until then. Give it more with --time-limit"):
        answer(Request("m.py", running=Running(time_limit=1.0)))
