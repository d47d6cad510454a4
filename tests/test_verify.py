"""The second witness: it agrees on whole families of models, and says where it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers, ops

import costlens
from costlens.analysis.verify import Verification, verify
from costlens.cli import main
from costlens.cost.registry import price
from costlens.frontends import keras_live
from costlens.ir.graph import Graph
from tests.oracles.traced import build_abstractly
from tests.support import abstract, graph_of

# -- families that no other test verifies ----------------------------------------------------


def vit() -> keras.Model:
    x = keras.Input((32, 32, 3))
    y = layers.Reshape((64, 24))(layers.Conv2D(24, 4, strides=4)(x))
    y = y + layers.Embedding(64, 24)(ops.arange(64))
    for _ in range(2):
        z = layers.LayerNormalization()(y)
        y = layers.Add()([y, layers.MultiHeadAttention(3, 8)(z, z)])
        z = layers.Dense(48, activation="gelu")(layers.LayerNormalization()(y))
        y = layers.Add()([y, layers.Dense(24)(z)])
    return keras.Model(x, layers.Dense(5)(y[:, 0]))


class WindowAttention(layers.Layer):
    """Shifted windows of 4×4 tokens, with a table of relative biases."""

    def __init__(self, width: int, heads: int, shift: int) -> None:
        super().__init__()
        self.width, self.heads, self.shift = width, heads, shift
        self.qkv, self.out = layers.Dense(3 * width), layers.Dense(width)

    def build(self, shape: Any) -> None:
        self.bias = self.add_weight(shape=(49, self.heads), name="bias")

    def call(self, x: Any) -> Any:
        if self.shift:
            x = tf.roll(x, [-self.shift, -self.shift], [1, 2])
        b, h, w, c = x.shape
        y = tf.reshape(x, (b, h // 4, 4, w // 4, 4, c))
        y = tf.reshape(tf.transpose(y, (0, 1, 3, 2, 4, 5)), (-1, 16, c))
        q, k, v = tf.unstack(
            tf.reshape(self.qkv(y), (-1, 16, 3, self.heads, c // self.heads)), axis=2
        )
        scores = tf.einsum("bqhd,bkhd->bhqk", q, k) / (c // self.heads) ** 0.5
        index = tf.reshape(tf.range(256) % 49, (16, 16))
        scores += tf.transpose(tf.gather(self.bias, index), (2, 0, 1))
        y = self.out(
            tf.reshape(tf.einsum("bhqk,bkhd->bqhd", tf.nn.softmax(scores), v), (-1, 16, c))
        )
        y = tf.transpose(tf.reshape(y, (b, h // 4, w // 4, 4, 4, c)), (0, 1, 3, 2, 4, 5))
        y = tf.reshape(y, (b, h, w, c))
        return tf.roll(y, [self.shift, self.shift], [1, 2]) if self.shift else y


class Swin(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.embed = layers.Conv2D(16, 4, strides=4)
        self.first, self.second = WindowAttention(16, 2, 0), WindowAttention(16, 2, 2)
        self.merge = layers.Dense(32, use_bias=False)

    def call(self, x: Any) -> Any:
        x = self.embed(x)
        x = x + self.second(x + self.first(x))
        x = tf.concat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        return self.merge(x)


class Gan(keras.Model):
    """Generator and discriminator in one call."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential(
            [
                keras.Input((10,)),
                layers.Dense(4 * 4 * 8),
                layers.Reshape((4, 4, 8)),
                layers.Conv2DTranspose(4, 4, strides=2, padding="same"),
                layers.LeakyReLU(),
                layers.Conv2DTranspose(1, 4, strides=2, padding="same", activation="tanh"),
            ]
        )
        self.discriminator = keras.Sequential(
            [
                keras.Input((16, 16, 1)),
                layers.Conv2D(4, 4, strides=2, padding="same"),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )

    def call(self, z: Any) -> Any:
        return self.discriminator(self.generator(z))


class Vae(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.mean = layers.Dense(16, activation="relu"), layers.Dense(2)
        self.log_variance, self.decoder = layers.Dense(2), layers.Dense(20, activation="sigmoid")

    def call(self, x: Any) -> Any:
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        noise = tf.random.normal(tf.shape(mean))
        return self.decoder(mean + tf.exp(0.5 * log_variance) * noise), mean, log_variance


class Experts(keras.Model):
    """The two best of four experts, each run on every token."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = layers.Dense(4)
        self.experts = [layers.Dense(12, activation="gelu") for _ in range(4)]

    def call(self, x: Any) -> Any:
        values, chosen = tf.math.top_k(self.gate(x), 2)
        weights = tf.reduce_sum(tf.nn.softmax(values)[..., None] * tf.one_hot(chosen, 4), -2)
        every = tf.stack([expert(x) for expert in self.experts], -2)
        return tf.einsum("bte,bted->btd", weights, every)


def diffusion() -> keras.Model:
    """A U-Net with time embeddings and attention at its floor."""
    x, time = keras.Input((16, 16, 3)), keras.Input((1,))
    steps = layers.Dense(16, activation="swish")(layers.Lambda(lambda t: ops.sin(t * 3.0))(time))

    def residual(y: Any, width: int) -> Any:
        z = layers.GroupNormalization(4)(layers.Conv2D(width, 3, padding="same")(y))
        z = layers.Add()([z, layers.Dense(width)(steps)[:, None, None, :]])
        z = layers.Conv2D(width, 3, padding="same")(layers.Activation("swish")(z))
        return layers.Add()([z, layers.Conv2D(width, 1)(y)])

    a = residual(x, 8)
    b = residual(layers.AveragePooling2D(2)(a), 16)
    flat = layers.Reshape((64, 16))(b)
    b = layers.Add()([b, layers.Reshape((8, 8, 16))(layers.MultiHeadAttention(2, 8)(flat, flat))])
    up = layers.Concatenate()([layers.UpSampling2D(interpolation="bilinear")(b), a])
    return keras.Model([x, time], layers.Conv2D(3, 3, padding="same")(residual(up, 8)))


class CachedDecoder(layers.Layer):
    """A decoder layer of a language model: masks, and a cache where it is given."""

    def __init__(self, width: int, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads, self.norm = heads, layers.LayerNormalization()
        self.query, self.key, self.value = (
            layers.EinsumDense("btd,dhk->bthk", (None, heads, width // heads)) for _ in range(3)
        )
        self.out = layers.EinsumDense("bthk,hkd->btd", (None, width))

    def call(self, x: Any, padding_mask: Any = None, cache: Any = None, index: Any = None) -> Any:
        y = self.norm(x)
        query, key, value = self.query(y), self.key(y), self.value(y)
        if cache is not None:
            start = [0, 0 if index is None else index, 0, 0]
            key = ops.slice_update(cache[:, 0], start, key)
            value = ops.slice_update(cache[:, 1], start, value)
        scores = ops.einsum("bqhk,bshk->bhqs", query, key)
        if padding_mask is not None:
            scores = ops.where(ops.cast(padding_mask[:, None, None, :], "bool"), scores, -1e9)
        y = x + self.out(ops.einsum("bhqs,bshk->bqhk", ops.softmax(scores), value))
        return (y, ops.stack([key, value], 1)) if cache is not None else y


class Backbone(keras.Model):
    """A Functional model over a dict of inputs, of layers of its own, as a class."""

    def __init__(self) -> None:
        tokens = keras.Input((6,), dtype="int32", name="token_ids")
        mask = keras.Input((6,), dtype="int32", name="padding_mask")
        x = layers.Embedding(30, 8, name="embedding")(tokens)
        for i in range(2):
            x = CachedDecoder(8, 2, name=f"layer_{i}")(x, padding_mask=mask)
        super().__init__({"token_ids": tokens, "padding_mask": mask}, x, name="backbone")


class Step(keras.Model):
    """One step of generation: one token against a cache of six."""

    def __init__(self) -> None:
        super().__init__(name="step")
        self.layer = CachedDecoder(8, 2, name="layer")

    def call(self, inputs: dict[str, Any]) -> Any:
        return self.layer(inputs["x"], cache=inputs["cache"], index=3)


def test_a_backbone_with_masks_and_a_step_with_a_cache() -> None:
    """Per layer 4 projections of 8 × 8, and 2 products of queries with all keys."""
    whole = costlens.analyze(build_abstractly(Backbone), verify=True)
    step = costlens.analyze(
        build_abstractly(Step),
        inputs={"x": ("float32", (1, 1, 8)), "cache": ("float32", (1, 2, 6, 2, 4))},
        verify=True,
    )
    for found in (whole, step):
        assert found.verification is not None
        assert found.verification.agrees and not found.verification.unread
        assert found.coverage.complete
    assert whole.totals.macs == 2 * (4 * 6 * 64 + 2 * 6 * 6 * 8)
    assert step.totals.macs == 4 * 64 + 2 * 1 * 6 * 8


FAMILIES: dict[Callable[[], Any], Any] = {
    vit: None,
    Swin: (32, 32, 3),
    Gan: (10,),
    Vae: (20,),
    Experts: (6, 8),
    diffusion: None,
}


@pytest.mark.parametrize("build", FAMILIES)
def test_a_family(build: Callable[[], Any]) -> None:
    model = build_abstractly(build)
    found = costlens.analyze(model, input_shape=FAMILIES[build], verify=True)
    assert found.verification is not None
    assert found.verification.agrees and not found.verification.unread
    assert found.totals.params == model.count_params() and found.totals.macs > 0
    assert "macs" not in found.totals.at_least


# -- what is said where they differ ----------------------------------------------------------


def dense(width: int) -> Graph:
    x = keras.Input((4,), name="x")
    return graph_of(abstract(lambda: keras.Model(x, layers.Dense(width, name="fc")(x))))


def compared(one: Graph, two: Graph) -> Verification:
    return verify(one, price(one), two, price(two), "another graph")


def test_a_difference_is_told_with_both_figures() -> None:
    found = compared(dense(3), dense(5))
    assert not found.agrees
    (scope,) = found.differing
    assert (scope.path, scope.call, scope.type) == ("fc", 1, "Dense")
    assert (scope.macs, scope.traced_macs, scope.params, scope.traced_params) == (12, 20, 15, 25)
    assert compared(dense(3), dense(3)) == Verification("another graph", 2, (), (), ())


def test_a_scope_that_only_one_graph_has_differs() -> None:
    x = keras.Input((4,), name="x")
    y = layers.Dense(2, name="more")(layers.Dense(3, name="fc")(x))
    found = compared(dense(3), graph_of(abstract(lambda: keras.Model(x, y))))
    assert [(d.path, d.macs, d.traced_macs) for d in found.differing] == [("more", 0, 6)]


def test_other_operations_differ_with_a_reason() -> None:
    model = build_abstractly(
        lambda: keras.Sequential(
            [keras.Input((4, 4, 2)), layers.BatchNormalization(), layers.BatchNormalization()]
        )
    )
    found = costlens.analyze(model, verify=True).verification
    assert found is not None and found.agrees
    (other,) = found.others
    assert (other.type, other.scopes, other.flops) == ("BatchNormalization", 2, 2 * 2 * 32)
    assert "batch_norm" in other.reason and "rsqrt" in other.reason


SCRIPT = """
import keras
net = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3, name="fc")], name="net")
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "net.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    return "net.py"


def test_the_command_says_that_both_agree(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", script, "--verify"]) == 0
    out = capsys.readouterr().out
    assert "Verified     2 scopes agree on MACs and parameters with TensorFlow's graph" in out


def test_the_command_takes_the_inputs_of_a_subclass(
    script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own.py").write_text(
        "import keras\n"
        "class Own(keras.Model):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.table = keras.layers.Embedding(9, 4)\n"
        "    def call(self, tokens): return self.table(tokens)\n"
    )
    read = ["analyze", "own.py:Own", "--format", "json"]
    for given in ("tokens=int32:2,5", "int32:2,5"):
        assert main([*read, "--input", given, "--verify", "--training"]) == 0
        data = json.loads(capsys.readouterr().out)
        (told,) = data["model"]["inputs"]
        assert (told["shape"], told["dtype"]) == ([2, 5], "int32")
        assert data["totals"]["params"] == 36
    for given, says in (("tokens=5", "is not NAME=DTYPE:SHAPE"), ("tokens=int3:2", "is no dtype")):
        assert main([*read, "--input", given]) == 2
        assert says in capsys.readouterr().err


def test_the_command_fails_where_they_differ(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keras_live, "_traced", lambda *_: dense(5))
    assert main(["analyze", script, "--verify"]) == 1
    assert "1 of 2 scopes differ on MACs and parameters" in capsys.readouterr().out
    assert main(["analyze", script, "--verify", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)["verification"]
    assert found["agrees"] is False and found["differing"][0]["traced_macs"] == 20
