"""Old spellings of Keras and raw TensorFlow: taken for what they mean, and named."""

from __future__ import annotations

import pytest

from costlens.frontends.keras_live import read_graph
from tests.frontends.script.conftest import Run, params

NET = "keras.Sequential([keras.Input((4,)), {}])\n"


@pytest.mark.parametrize(
    ("source", "says", "count"),
    [
        (
            "keras.optimizers.Adam(lr=0.1, decay=1e-6)\nnet = " + NET.format("L.Dense(3)"),
            "lr= is learning_rate= in Keras 3",
            15,
        ),
        (
            "x = L.Input((4,))\nnet = keras.Model(input=x, output=L.Dense(3)(x))\n",
            "Model(input=…, output=…) is Model(inputs=…, outputs=…) in Keras 3",
            15,
        ),
        (
            "from keras.layers.core import Dense\nfrom keras.layers.convolutional import Conv2D\n"
            "net = " + NET.format("Dense(3)"),
            "keras.layers.core is keras.layers in Keras 3",
            15,
        ),
        (
            "from keras.utils import np_utils\ny = np_utils.to_categorical([0, 1, 2])\n"
            "net = " + NET.format("L.Dense(y.shape[1])"),
            "keras.utils.np_utils is keras.utils in Keras 3",
            15,
        ),
        (
            "net = " + NET.format("L.Dense(output_dim=3, init='uniform', name='a')"),
            "output_dim= is units= in Keras 3",
            15,
        ),
        (
            "x = keras.Input((4,))\ny = L.Dense(3, name='block/dense')(x)\n"
            "net = keras.Model(x, y)\nnet.get_layer('block/dense')\n",
            "the name 'block/dense' is 'block_dense' here",
            15,
        ),
        (
            "x = keras.Input((4,))\ny = L.merge([x, L.Dense(4)(x)], mode='sum')\n"
            "net = keras.Model(x, y)\n",
            "merge(mode='sum') is add() in Keras 3",
            20,
        ),
        (
            "import tensorflow as tf\nP = tf.keras.layers.experimental.preprocessing\n"
            "net = keras.Sequential([keras.Input((4,)), P.Rescaling(2.0), L.Dense(3)])\n",
            "keras.layers.experimental is keras.layers in Keras 3",
            15,
        ),
        (
            "net = keras.Sequential([keras.Input((4, 4, 1)), L.AveragePooling2D(), L.Flatten(), "
            "L.Dense(3)])\n",
            "pool_size= has no default in Keras 3, and is 2 as in Keras 2",
            15,
        ),
        (
            "net = keras.Sequential()\n"
            "net.add(L.CuDNNLSTM(2, batch_input_shape=(8, 5, 4), stateful=True))\n",
            "CuDNNLSTM is LSTM in Keras 3",
            4 * 2 * (4 + 2 + 1),
        ),
    ],
)
def test_an_old_spelling_is_taken_for_the_new_one(
    run: Run, source: str, says: str, count: int
) -> None:
    loaded = run(f"import keras\nimport keras.layers as L\n{source}")
    assert params(loaded) == {"net": count}
    assert any(says in text for text in loaded.warnings), loaded.warnings
    assert all(text.startswith("m.py:") for text in loaded.warnings)


@pytest.mark.parametrize(
    "name", ["preprocessing.image", "preprocessing.text", "preprocessing.sequence"]
)
def test_preprocessing_is_found_where_it_was(run: Run, name: str) -> None:
    kinds = {"image": "ImageDataGenerator", "text": "Tokenizer", "sequence": "pad_sequences"}
    kind = kinds[name.partition(".")[2]]
    for root in ("keras", "tensorflow.keras"):
        source = f"import keras\nfrom {root}.{name} import {kind} as K\nK\n"
        loaded = run(source + "net = " + NET.format("keras.layers.Dense(3)"))
        assert not any("skipped" in text for text in loaded.warnings)


RAW = """
import tensorflow as tf
from tensorflow.keras import backend as K
from tensorflow.keras import Input, Model, layers
image = Input((16, 12, 3), name="image")
x = layers.Conv2D(8, 3, padding="same")(image)
size = tf.shape(x)
tokens = tf.reshape(x, [size[0], size[1] * size[2], 8])
assert tokens.shape == (None, 192, 8)
assert K.int_shape(tokens) == (None, 192, 8)
both = tf.concat([tf.reduce_mean(tokens, axis=1), K.sum(x, axis=(1, 2))], axis=-1)
scaled = tf.nn.relu(both) * tf.constant(2.0) + tf.cast(both, tf.float32)
assert scaled.shape.as_list() == [None, 16]
resized = tf.image.resize(x, size=(32, 24))
net = Model(image, [layers.Dense(4)(scaled), resized])
"""


def test_raw_tensorflow_on_a_symbolic_tensor_is_a_layer(run: Run) -> None:
    loaded = run(RAW)
    net = loaded.models[0].model
    assert params(loaded) == {"net": 3 * 3 * 3 * 8 + 8 + 16 * 4 + 4}
    named = [layer.name for layer in net.layers if type(layer).__name__ == "TFOp"]
    assert {"tf.reshape", "tf.concat", "tf.reduce_mean", "tf.nn.relu", "tf.cast"} <= set(named)
    assert net.outputs[1].shape == (None, 32, 24, 8)
    assert loaded.warnings[0] == (
        "m.py:7: tf.shape on a symbolic tensor is taken as a layer. "
        "Keras 3 takes keras.ops functions there."
    )
    graph = read_graph(net)
    assert [graph.values[value].shape for value in graph.outputs] == [(1, 4), (1, 32, 24, 8)]


def test_tensorflow_is_left_as_it_was(run: Run) -> None:
    import keras
    import tensorflow as tf

    before = (tf.reshape, tf.nn.relu, tf.function, vars(keras.KerasTensor)["shape"])
    run(RAW)
    assert (tf.reshape, tf.nn.relu, tf.function, vars(keras.KerasTensor)["shape"]) == before
    with pytest.raises(ValueError, match="KerasTensor cannot be used"):
        tf.reduce_mean(keras.Input((4,)))
