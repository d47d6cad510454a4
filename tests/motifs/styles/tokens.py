"""Transformers and their relatives, built of layers, of Dense and matmul, and of 1×1s on maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style

TOKENS, WIDTH, HEADS = 12, 16, 4


def tokens(vocabulary: int = 50) -> tuple[Tensor, Tensor]:
    """Token ids, and their embeddings."""
    x = Input((TOKENS,), dtype="int32")
    return x, layers.Embedding(vocabulary, WIDTH)(x)


def mlp(x: Tensor, act: Any = "gelu") -> Tensor:
    return layers.Dense(WIDTH)(layers.Dense(4 * WIDTH, activation=act)(x))


def self_attention(x: Tensor, **options: Any) -> Tensor:
    return layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(x, x, **options)


def patches(x: Tensor, size: int = 8) -> Tensor:
    """Cut an image into flat patches by reshaping."""
    rows, columns, channels = x.shape[1] // size, x.shape[2] // size, x.shape[3]
    x = ops.reshape(x, (-1, rows, size, columns, size, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows * columns, size * size * channels))


@style(transformer_mlp=2, attention_projection=2)
def vit_of_keras_io() -> Model:
    """The example of keras.io: both Dense of the MLP are activated, and those of the head, which
    works on a flattened sequence."""

    def head(x: Tensor, widths: tuple[int, ...]) -> Tensor:
        for width in widths:
            x = layers.Dropout(0.1)(layers.Dense(width, activation=ops.gelu)(x))
        return x

    x = Input((32, 32, 3))
    y = layers.Dense(WIDTH)(patches(x))
    for _ in range(2):
        z = layers.LayerNormalization(epsilon=1e-6)(y)
        z = layers.MultiHeadAttention(HEADS, WIDTH, dropout=0.1)(z, z)
        y = layers.Add()([z, y])
        z = layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Add()([head(z, (2 * WIDTH, WIDTH)), y])
    y = layers.Flatten()(layers.LayerNormalization(epsilon=1e-6)(y))
    return Model(x, layers.Dense(10)(head(layers.Dropout(0.5)(y), (64, 32))))


@style(transformer_mlp=2, attention_projection=2)
def vit_of_convolved_patches() -> Model:
    """A strided convolution embeds; the mean over tokens is classified."""
    x = Input((32, 32, 3))
    y = layers.Reshape((16, WIDTH))(layers.Conv2D(WIDTH, 8, strides=8)(x))
    for _ in range(2):
        y = y + self_attention(layers.LayerNormalization()(y))
        z = layers.Dense(WIDTH)(ops.gelu(layers.Dense(64)(layers.LayerNormalization()(y))))
        y = y + 1e-4 * z
    return Model(x, layers.Dense(10)(ops.mean(y, axis=1)))


@style(transformer_mlp=2)
def mlp_mixer() -> Model:
    """arXiv:2105.01601, figure 1: the MLP over tokens is no 1×1, as it mixes positions; the one
    over channels is."""
    x = Input((32, 32, 3))
    y = layers.Reshape((16, WIDTH))(layers.Conv2D(WIDTH, 8, strides=8)(x))
    for _ in range(2):
        z = layers.Permute((2, 1))(layers.LayerNormalization()(y))
        z = layers.Dense(16)(layers.Dense(24, activation="gelu")(z))
        y = layers.Add()([y, layers.Permute((2, 1))(z)])
        y = layers.Add()([y, mlp(layers.LayerNormalization()(y))])
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling1D()(y)))


@style(transformer_mlp=2, attention_projection=2)
def gpt() -> Model:
    """Causal attention of the built-in layer; the logits are a lone 1×1 over the tokens."""
    x, y = tokens()
    for _ in range(2):
        y = layers.Add()([y, self_attention(layers.LayerNormalization()(y), use_causal_mask=True)])
        y = layers.Add()([y, layers.Dropout(0.1)(mlp(layers.LayerNormalization()(y)))])
    return Model(x, layers.Dense(50, use_bias=False)(layers.LayerNormalization()(y)))


@style(transformer_mlp=2, attention_projection=2)
def bert() -> Model:
    """Normalised behind the addition; masked-word and first-token heads."""
    x, y = tokens()
    positions = Input((TOKENS,), dtype="int32")
    y = layers.LayerNormalization()(y + layers.Embedding(TOKENS, WIDTH)(positions))
    for _ in range(2):
        y = layers.LayerNormalization()(layers.Add()([y, self_attention(y)]))
        y = layers.LayerNormalization()(layers.Add()([y, mlp(y)]))
    words = layers.LayerNormalization()(layers.Dense(WIDTH, activation="gelu")(y))
    pooled = layers.Dense(WIDTH, activation="tanh")(y[:, 0])
    return Model([x, positions], [layers.Dense(50)(words), layers.Dense(2)(pooled)])


@style(transformer_mlp=1, attention_projection=2)
def decoder_with_cross_attention() -> Model:
    """arXiv:1706.03762, figure 1, right: two attentions and an MLP."""
    memory = Input((7, WIDTH))
    x, y = tokens()
    y = layers.LayerNormalization()(y + self_attention(y, use_causal_mask=True))
    cross = layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(y, memory)
    y = layers.LayerNormalization()(layers.Add()([y, cross]))
    y = layers.LayerNormalization()(layers.Add()([mlp(y, "relu"), y]))
    return Model([x, memory], layers.Dense(50, activation="softmax")(y))


def split_heads(x: Tensor) -> Tensor:
    x = layers.Reshape((-1, HEADS, x.shape[-1] // HEADS))(x)
    return layers.Permute((2, 1, 3))(x)


@style(transformer_mlp=1, attention_projection=1)
def attention_by_hand() -> Model:
    """Dense, reshape, permute, matmul, scale, softmax, and back; a mask added to the scores."""
    x = Input((TOKENS, WIDTH))
    z = layers.LayerNormalization()(x)
    q, k, v = (split_heads(layers.Dense(WIDTH)(z)) for _ in range(3))
    scores = ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / np.float32(2.0)
    scores = scores + np.triu(np.full((TOKENS, TOKENS), -1e9, "float32"), 1)
    z = ops.matmul(layers.Softmax()(scores), v)
    z = layers.Reshape((TOKENS, WIDTH))(layers.Permute((2, 1, 3))(z))
    y = layers.Add()([x, layers.Dense(WIDTH)(z)])
    return Model(x, y + mlp(layers.LayerNormalization()(y)))


@style(attention_projection=1)
def attention_from_one_dense() -> Model:
    """Q, K and V are thirds of one Dense, contracted by einsum."""
    x = Input((TOKENS, WIDTH))
    qkv = layers.Reshape((TOKENS, 3, HEADS, WIDTH // HEADS))(layers.Dense(3 * WIDTH)(x))
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    scores = ops.softmax(ops.einsum("bqhd,bkhd->bhqk", q, k) * 0.5, axis=-1)
    z = ops.reshape(ops.einsum("bhqk,bkhd->bqhd", scores, v), (-1, TOKENS, WIDTH))
    return Model(x, x + layers.Dense(WIDTH)(z))


@style(attention_projection=1)
def attention_from_split_dense() -> Model:
    """The same by `ops.split`, a single head and no output projection."""
    x = Input((TOKENS, WIDTH))
    q, k, v = ops.split(layers.Dense(3 * WIDTH, use_bias=False)(x), 3, axis=-1)
    scores = ops.softmax(ops.matmul(q, ops.swapaxes(k, 1, 2)) * 0.25)
    return Model(x, layers.LayerNormalization()(x + ops.matmul(scores, v)))


@style(attention_projection=1)
def attention_of_einsum_dense() -> Model:
    """Heads as an axis of their own, as in KerasHub's layers."""
    x = Input((TOKENS, WIDTH))
    q, k, v = (
        layers.EinsumDense("abc,cde->abde", output_shape=(None, HEADS, 4), bias_axes="de")(x)
        for _ in range(3)
    )
    scores = layers.Softmax()(ops.einsum("aecd,abcd->acbe", k, q * 0.5))
    z = ops.einsum("acbe,aecd->abcd", scores, v)
    z = layers.EinsumDense("abcd,cde->abe", output_shape=(None, WIDTH), bias_axes="e")(z)
    return Model(x, layers.Add()([x, z]))


@style(attention_projection=1)
def attention_layer_between_dense() -> Model:
    """`layers.Attention` has no weights; the three Dense before it are the projections."""
    x = Input((TOKENS, WIDTH))
    q, k, v = (layers.Dense(WIDTH)(x) for _ in range(3))
    return Model(x, layers.Attention(use_scale=True)([q, v, k]))


@style()
def attention_without_projections() -> Model:
    """Luong's and Bahdanau's attention over recurrent states: no 1×1 makes Q, K or V."""
    x, y = tokens()
    states = layers.LSTM(WIDTH, return_sequences=True)(y)
    query = layers.LSTM(WIDTH, return_sequences=True)(y)
    dot = layers.Attention()([query, states])
    additive = layers.AdditiveAttention()([query, states])
    y = layers.Concatenate()([query, dot, additive])
    return Model(x, layers.Dense(50, activation="softmax")(layers.GlobalMaxPooling1D()(y)))


def non_local(x: Tensor, soft: bool) -> Tensor:
    """arXiv:1711.07971, figure 2: 1×1s on a map, a product of positions, a 1×1 and an addition."""
    positions, half = x.shape[1] * x.shape[2], x.shape[3] // 2
    q, k, v = (layers.Reshape((positions, half))(layers.Conv2D(half, 1)(x)) for _ in range(3))
    scores = ops.matmul(q, ops.transpose(k, (0, 2, 1)))
    scores = ops.softmax(scores) if soft else scores / positions
    y = layers.Reshape((*x.shape[1:3], half))(ops.matmul(scores, v))
    return layers.Add()([x, layers.BatchNormalization()(layers.Conv2D(x.shape[3], 1)(y))])


@style(attention_projection=1)
def non_local_block() -> Model:
    x = Input((6, 5, 16))
    return Model(x, non_local(x, soft=True))


@style()
def non_local_dot_product() -> Model:
    """The same without a softmax."""
    x = Input((6, 5, 16))
    return Model(x, non_local(x, soft=False))


@style(transformer_mlp=2, attention_projection=2)
def llama() -> Model:
    """Grouped queries, RMS norms written out, SwiGLU of two Dense multiplied, no biases."""

    def norm(x: Tensor) -> Tensor:
        return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)

    x, y = tokens()
    for _ in range(2):
        z = norm(y)
        attend = layers.GroupQueryAttention(4, HEADS, 2, use_bias=False)
        y = y + attend(z, z, use_causal_mask=True)
        z = norm(y)
        gate = layers.Dense(40, activation="silu", use_bias=False)(z)
        up = layers.Dense(40, use_bias=False)(z)
        y = y + layers.Dense(WIDTH, use_bias=False)(gate * up)
    return Model(x, layers.Dense(50, use_bias=False)(norm(y)))


@style(transformer_mlp=2)
def gated_mlps() -> Model:
    """GEGLU of two Dense and a Multiply layer; SwiGLU of one Dense cut into halves."""
    x = Input((TOKENS, WIDTH))
    z = layers.LayerNormalization()(x)
    z = layers.Multiply()([layers.Dense(32)(z), layers.Activation("gelu")(layers.Dense(32)(z))])
    y = layers.Add()([x, layers.Dense(WIDTH)(z)])
    left, right = ops.split(layers.Dense(64)(layers.LayerNormalization()(y)), 2, axis=-1)
    return Model(x, y + layers.Dense(WIDTH)(ops.silu(left) * right))


@style(transformer_mlp=2, attention_projection=1, depthwise_separable=1)
def conformer() -> Model:
    """arXiv:2005.08100, figures 1 and 2. The convolution module is a gated 1×1 (a GLU), a
    depthwise, activated, and a 1×1; the addition after it takes the module's input, and not that
    of the depthwise, so that the two are a separable convolution."""

    def half(y: Tensor) -> Tensor:
        return y + 0.5 * mlp(layers.LayerNormalization()(y), "swish")

    x = Input((40, WIDTH))
    y = half(x)
    z = layers.LayerNormalization()(y)
    y = y + layers.MultiHeadAttention(2, 8)(z, z)
    z = layers.Dense(2 * WIDTH)(layers.LayerNormalization()(y))
    z = ops.sigmoid(z[..., WIDTH:]) * z[..., :WIDTH]
    z = layers.DepthwiseConv1D(9, padding="same")(z)
    z = layers.Activation("swish")(layers.BatchNormalization()(z))
    y = y + layers.Dropout(0.1)(layers.Dense(WIDTH)(z))
    return Model(x, layers.LayerNormalization()(half(y)))


@style(transformer_mlp=2)
def poolformer() -> Model:
    """arXiv:2111.11418, figure 2: pooling mixes the tokens, on a map; the MLP is two 1×1s."""
    x = Input((32, 32, 3))
    y = layers.Conv2D(WIDTH, 7, strides=4, padding="same")(x)
    for _ in range(2):
        z = layers.GroupNormalization(1)(y)
        y = y + (layers.AveragePooling2D(3, 1, padding="same")(z) - z)
        z = layers.Conv2D(64, 1)(layers.GroupNormalization(1)(y))
        y = y + layers.Conv2D(WIDTH, 1)(layers.Activation("gelu")(z))
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(transformer_mlp=1)
def mlp_in_a_sequential() -> Model:
    """A nested MLP with the addition outside."""
    body = Sequential(
        [
            Input((TOKENS, WIDTH)),
            layers.LayerNormalization(),
            layers.Dense(64),
            layers.LeakyReLU(),
            layers.Dropout(0.1),
            layers.Dense(WIDTH),
        ]
    )
    x = Input((TOKENS, WIDTH))
    return Model(x, layers.Add()([body(x), x]))


@style(transformer_mlp=1)
def mlp_of_conv1d() -> Model:
    """The original code of GPT-2 calls its Dense layers convolutions of one tap."""
    x = Input((TOKENS, WIDTH))
    z = layers.Conv1D(64, 1, activation="gelu")(layers.LayerNormalization()(x))
    return Model(x, layers.Add()([x, layers.Conv1D(WIDTH, 1)(z)]))


@style()
def mlp_without_addition() -> Model:
    """Token-wise, expanded and contracted, and nothing goes around it; one of its two is linear."""
    x, y = tokens()
    return Model(x, layers.GlobalAveragePooling1D()(mlp(layers.LayerNormalization()(y))))


@style(mlpconv=1)
def mlp_on_a_sequence() -> Model:
    """Two activated Dense over the time steps of a model input: an mlpconv without a k×k."""
    x = Input((TOKENS, 5))
    y = layers.Dense(8, activation="relu")(layers.Dense(16, activation="relu")(x))
    return Model(x, layers.LSTM(4)(y))


def shared_mlp(x: Tensor, *widths: int) -> Tensor:
    for width in widths:
        x = layers.Conv1D(width, 1)(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.0)(x))
    return x


@style(mlpconv=1)
def pointnet_vanilla() -> Model:
    """arXiv:1612.00593, without its transforms: one chain of five from the input to the pooling."""
    x = Input((64, 3))
    y = layers.GlobalMaxPooling1D()(shared_mlp(x, 8, 8, 8, 16, 64))
    y = layers.Dense(16, activation="relu")(layers.Dense(32, activation="relu")(y))
    return Model(x, layers.Dense(10, activation="softmax")(y))


@style(mlpconv=1)
def pointnet_of_keras_io() -> Model:
    """With both transforms. Only the first one's chain starts at the input; the others start
    behind a product with a learned matrix, no pooling and no k×k."""

    def transform(x: Tensor, width: int) -> Tensor:
        y = layers.GlobalMaxPooling1D()(shared_mlp(x, 8, 16, 64))
        for units in (32, 16):
            y = layers.Activation("relu")(layers.BatchNormalization()(layers.Dense(units)(y)))
        matrix = layers.Reshape((width, width))(layers.Dense(width * width)(y))
        return layers.Dot(axes=(2, 1))([x, matrix])

    x = Input((64, 3))
    y = shared_mlp(transform(x, 3), 8, 8)
    y = layers.GlobalMaxPooling1D()(shared_mlp(transform(y, 8), 8, 16, 64))
    y = layers.Dropout(0.3)(layers.Dense(16, activation="relu")(y))
    return Model(x, layers.Dense(10, activation="softmax")(y))


@style()
def mlp_on_vectors() -> Model:
    """DETR's box head and others like it: Dense on single vectors, in a row."""
    x = Input((WIDTH,))
    y = layers.Dense(WIDTH, activation="relu")(layers.Dense(64, activation="relu")(x))
    y = layers.Add()([x, y])
    return Model(x, layers.Dense(4, activation="sigmoid")(y))


Block = Callable[[Tensor], Tensor]


@style(attention_projection=3, transformer_mlp=3)
def layers_in_a_shared_block() -> Model:
    """ALBERT (arXiv:1909.11942): one block, called three times."""
    inputs = Input((TOKENS, WIDTH))
    y = inputs + self_attention(layers.LayerNormalization()(inputs))
    block: Block = Model(inputs, y + mlp(layers.LayerNormalization()(y)))
    x, y = tokens()
    for _ in range(3):
        y = block(y)
    return Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


@style(transformer_mlp=1, attention_projection=1)
def llama_by_hand() -> Model:
    """Rotary positions, keys and values repeated for groups of queries, a causal mask."""
    angles = np.outer(np.arange(TOKENS), [1.0, 0.1]).astype("float32")
    cos, sin = (np.tile(f(angles), 2)[:, None, :] for f in (np.cos, np.sin))

    def rotated(x: Tensor) -> Tensor:
        turned = layers.Concatenate()([-x[..., 2:], x[..., :2]])
        return x * cos + turned * sin

    x = Input((TOKENS, WIDTH))
    z = layers.LayerNormalization()(x)
    q = layers.Reshape((TOKENS, 4, 4))(layers.Dense(16, use_bias=False)(z))
    k = layers.Reshape((TOKENS, 2, 4))(layers.Dense(8, use_bias=False)(z))
    v = layers.Reshape((TOKENS, 2, 4))(layers.Dense(8, use_bias=False)(z))
    q, k, v = rotated(q), ops.repeat(rotated(k), 2, axis=2), ops.repeat(v, 2, axis=2)
    scores = ops.einsum("bqhd,bkhd->bhqk", q, k) / 2.0
    scores = ops.where(np.tril(np.ones((TOKENS, TOKENS), bool)), scores, -1e9)
    z = ops.einsum("bhqk,bkhd->bqhd", ops.softmax(scores, axis=-1), v)
    y = x + layers.Dense(WIDTH, use_bias=False)(layers.Reshape((TOKENS, 16))(z))
    z = layers.LayerNormalization()(y)
    z = ops.silu(layers.Dense(40)(z)) * layers.Dense(40)(z)
    return Model(x, y + layers.Dense(WIDTH)(z))


@style(transformer_mlp=1, attention_projection=1)
def swin() -> Model:
    """arXiv:2103.14030, figure 3(b), shifted: rolled, cut into windows, and put together again."""
    size, window = 8, 4
    cut = (-1, size // window, window, size // window, window, WIDTH)
    x = Input((size, size, WIDTH))
    z = ops.roll(layers.LayerNormalization()(x), (-2, -2), axis=(1, 2))
    z = ops.transpose(ops.reshape(z, cut), (0, 1, 3, 2, 4, 5))
    z = ops.reshape(z, (-1, window * window, WIDTH))
    qkv = ops.reshape(layers.Dense(3 * WIDTH)(z), (-1, window * window, 3, HEADS, 4))
    q, k, v = ops.unstack(ops.transpose(qkv, (2, 0, 3, 1, 4)), axis=0)
    scores = ops.matmul(q * 0.5, ops.transpose(k, (0, 1, 3, 2)))
    scores = ops.softmax(scores + np.zeros((1, HEADS, 16, 16), "float32"))
    z = ops.reshape(ops.transpose(ops.matmul(scores, v), (0, 2, 1, 3)), (-1, 16, WIDTH))
    z = ops.reshape(layers.Dense(WIDTH)(z), (-1, 2, 2, window, window, WIDTH))
    z = ops.reshape(ops.transpose(z, (0, 1, 3, 2, 4, 5)), (-1, size, size, WIDTH))
    y = x + ops.roll(z, (2, 2), axis=(1, 2))
    return Model(x, y + mlp(layers.LayerNormalization()(y)))


@style()
def mlp_on_embeddings() -> Model:
    """Two activated Dense behind a table: no pooling, input or k×k leads them."""
    x, y = tokens()
    y = layers.Dense(8, activation="relu")(layers.Dense(32, activation="relu")(y))
    return Model(x, layers.GlobalMaxPooling1D()(y))


@style()
def only_queries_are_projected() -> Model:
    memory = Input((7, WIDTH))
    x, y = tokens()
    z = layers.Attention()([layers.Dense(WIDTH)(y), memory])
    return Model([x, memory], layers.Concatenate()([y, z]))


@style()
def mixing_of_tokens() -> Model:
    """MLPs over as many tokens as channels, between permutations and as contractions of the token
    axis: no 1×1s."""
    x = Input((WIDTH, WIDTH))
    z = layers.Permute((2, 1))(layers.LayerNormalization()(x))
    y = layers.Add()([x, layers.Permute((2, 1))(mlp(z))])
    z = layers.EinsumDense("btc,ts->bsc", output_shape=(32, WIDTH), activation="gelu")(y)
    z = layers.EinsumDense("bsc,st->btc", output_shape=(WIDTH, WIDTH))(z)
    return Model(x, layers.Add()([y, z]))


@style(transformer_mlp=1, attention_projection=1)
def one_token_at_a_time() -> Model:
    """Decoding: a sequence of one token is a sequence."""
    x = Input((1, WIDTH))
    y = x + self_attention(layers.LayerNormalization()(x))
    return Model(x, y + mlp(layers.LayerNormalization()(y)))
