"""Small models that counters get wrong: `MODELS` maps a name to a function that builds one.

Any Keras backend can build and trace them. Sizes differ from axis to axis, so that two mixed up
dimensions change the count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import Input, Model, layers, ops

Builder = Callable[[], keras.Model]
MODELS: dict[str, Builder] = {}


def awkward(build: Builder) -> Builder:
    """Put a builder into `MODELS` under its own name."""
    MODELS[build.__name__] = build
    return build


def chain(shape: tuple[int | None, ...], *calls: Callable, dtype: str | None = None) -> Model:
    """A Functional model of layers one after another."""
    inputs = x = Input(shape, dtype=dtype)
    for call in calls:
        x = call(x)
    return Model(inputs, x)


# Recurrent


@awkward
def lstm_sequences() -> Model:
    return chain((7, 3), layers.LSTM(5, return_sequences=True), layers.LSTM(4))


@awkward
def lstm_unrolled_backwards() -> Model:
    return chain((6, 3), layers.LSTM(5, unroll=True, go_backwards=True))


@awkward
def lstm_encoder_decoder() -> Model:
    """States travel as keyword arguments."""
    source, target = Input((6, 3), name="source"), Input((4, 2), name="target")
    _, h, c = layers.LSTM(5, return_state=True, name="encoder")(source)
    x = layers.LSTM(5, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    return Model([source, target], layers.Dense(7)(x))


@awkward
def gru_reset_after() -> Model:
    return chain((7, 3), layers.GRU(5, reset_after=True, return_sequences=True))


@awkward
def gru_reset_before() -> Model:
    return chain((7, 3), layers.GRU(5, reset_after=False))


@awkward
def simple_rnn_masked() -> Model:
    """The mask of an embedding makes the loop a different one."""
    embed = layers.Embedding(11, 3, mask_zero=True)
    return chain((7,), embed, layers.SimpleRNN(5), layers.Dense(2), dtype="int32")


@awkward
def bidirectional_lstm() -> Model:
    return chain((7, 3), layers.Bidirectional(layers.LSTM(5, return_sequences=True)))


@awkward
def bidirectional_mixed() -> Model:
    """The backward layer is of another kind."""
    backward = layers.GRU(5, go_backwards=True)
    both = layers.Bidirectional(layers.LSTM(5), backward_layer=backward, merge_mode="sum")
    return chain((7, 3), both)


@awkward
def stacked_cells() -> Model:
    cells = [layers.LSTMCell(5), layers.GRUCell(4), layers.SimpleRNNCell(3)]
    return chain((7, 2), layers.RNN(cells, return_sequences=True))


@awkward
def conv_lstm1d_dilated() -> Model:
    """Only the input convolution is dilated."""
    return chain((4, 9, 2), layers.ConvLSTM1D(3, 3, dilation_rate=2, padding="same"))


@awkward
def conv_lstm2d_strided() -> Model:
    """The recurrent convolution runs over the output's positions."""
    return chain((3, 9, 8, 2), layers.ConvLSTM2D(4, (3, 2), strides=2, return_sequences=True))


@awkward
def conv_lstm3d() -> Model:
    return chain((2, 5, 4, 6, 1), layers.ConvLSTM3D(2, 2, padding="same"))


@awkward
def time_distributed_conv() -> Model:
    inner = layers.Conv2D(4, 3, padding="same", strides=2)
    return chain((3, 9, 7, 2), layers.TimeDistributed(inner), layers.TimeDistributed(layers.ReLU()))


@awkward
def time_distributed_lstm() -> Model:
    return chain((3, 5, 2), layers.TimeDistributed(layers.LSTM(4)))


# Attention


@awkward
def mha_cross() -> Model:
    """Queries, values and the output differ in size."""
    query, memory = Input((5, 6)), Input((7, 4))
    # On JAX Keras's fused path refuses a value_dim of its own; dropout keeps it off that path.
    attend = layers.MultiHeadAttention(2, 3, value_dim=5, output_shape=8, dropout=0.1)
    return Model([query, memory], attend(query, memory))


@awkward
def mha_causal_scores() -> Model:
    x = Input((6, 8))
    attend = layers.MultiHeadAttention(2, key_dim=4)
    y, scores = attend(x, x, use_causal_mask=True, return_attention_scores=True)
    return Model(x, [y, scores])


@awkward
def mha_masked_embedding() -> Model:
    ids = Input((6,), dtype="int32")
    x = layers.Embedding(13, 8, mask_zero=True)(ids)
    x = layers.Add()([x, layers.MultiHeadAttention(2, key_dim=4, dropout=0.1)(x, x)])
    return Model(ids, layers.LayerNormalization()(x))


@awkward
def mha_two_axes() -> Model:
    """Attention over two axes at once."""
    x = Input((3, 4, 6))
    return Model(x, layers.MultiHeadAttention(2, key_dim=5, attention_axes=(1, 2))(x, x))


@awkward
def grouped_query_attention() -> Model:
    """Keys and values have fewer heads than queries."""
    x = Input((6, 12))
    attend = layers.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2)
    return Model(x, attend(x, x, use_causal_mask=True))


@awkward
def attention_layers() -> Model:
    """Dot-product and additive attention without projections."""
    query, value = Input((5, 6)), Input((7, 6))
    dot = layers.Attention(use_scale=True)([query, value])
    additive = layers.AdditiveAttention()([query, value])
    return Model([query, value], [dot, additive])


# Convolutions


@awkward
def conv_grouped() -> Model:
    one = chain((9, 4), layers.Conv1D(6, 3, groups=2, padding="same"))
    two = chain((9, 8, 6), layers.Conv2D(9, (3, 2), groups=3, strides=2))
    three = chain((5, 6, 4, 4), layers.Conv3D(4, 2, groups=4))
    return Model([m.input for m in (one, two, three)], [m.output for m in (one, two, three)])


@awkward
def conv_dilated() -> Model:
    one = chain((19, 3), layers.Conv1D(4, 3, dilation_rate=4, padding="same"))
    two = chain((9, 8, 3), layers.Conv2D(4, 3, dilation_rate=(2, 3)))
    three = chain((7, 6, 5, 2), layers.Conv3D(3, 3, dilation_rate=2, padding="same"))
    return Model([m.input for m in (one, two, three)], [m.output for m in (one, two, three)])


@awkward
def conv_causal() -> Model:
    dilated = layers.Conv1D(4, 3, padding="causal", dilation_rate=2)
    return chain((11, 3), dilated, layers.Conv1D(5, 2, padding="causal", strides=2))


@awkward
def conv_grouped_dilated() -> Model:
    return chain((9, 8, 4), layers.Conv2D(6, 3, groups=2, dilation_rate=2, padding="same"))


@awkward
def conv1d_channels_first() -> Model:
    return chain((3, 11), layers.Conv1D(4, 3, strides=2, data_format="channels_first"))


@awkward
def conv2d_channels_first() -> Model:
    options: dict[str, Any] = {"data_format": "channels_first", "padding": "same"}
    return chain(
        (3, 9, 8),
        layers.Conv2D(4, 3, strides=2, **options),
        layers.DepthwiseConv2D(3, depth_multiplier=2, **options),
        layers.Conv2DTranspose(5, 3, strides=2, **options),
        layers.MaxPooling2D(2, data_format="channels_first"),
    )


@awkward
def conv3d_channels_first() -> Model:
    """TensorFlow compiles this one through a jitted function on a CPU."""
    return chain((2, 5, 6, 7), layers.Conv3D(3, 2, data_format="channels_first"))


@awkward
def depthwise() -> Model:
    one = chain((9, 3), layers.DepthwiseConv1D(3, depth_multiplier=2, strides=2, padding="same"))
    two = chain((9, 8, 3), layers.DepthwiseConv2D((3, 2), depth_multiplier=3))
    return Model([one.input, two.input], [one.output, two.output])


@awkward
def depthwise_dilated() -> Model:
    one = chain((9, 3), layers.DepthwiseConv1D(3, dilation_rate=2, padding="same"))
    two = chain((9, 8, 3), layers.DepthwiseConv2D(3, dilation_rate=(2, 3), padding="same"))
    return Model([one.input, two.input], [one.output, two.output])


def depthwise_strided_dilated() -> Model:
    """TensorFlow computes every position and Keras drops three of four."""
    two = layers.DepthwiseConv2D(3, strides=2, dilation_rate=2, padding="same")
    three = layers.SeparableConv2D(5, 3, strides=2, dilation_rate=2, padding="same")
    return chain((17, 14, 3), two, three)


def strides_dilated() -> bool:
    """Whether a depthwise convolution may have both; older versions of Keras refuse it."""
    try:
        layers.DepthwiseConv2D(3, strides=2, dilation_rate=2)
    except ValueError:
        return False
    return True


if strides_dilated():
    awkward(depthwise_strided_dilated)


@awkward
def separable() -> Model:
    one = chain((9, 3), layers.SeparableConv1D(5, 3, dilation_rate=2, padding="same"))
    two = chain((9, 8, 3), layers.SeparableConv2D(5, 3, depth_multiplier=2, strides=2))
    return Model([one.input, two.input], [one.output, two.output])


@awkward
def transposed() -> Model:
    one = chain((7, 3), layers.Conv1DTranspose(4, 3, strides=2, padding="same"))
    two = chain((5, 4, 3), layers.Conv2DTranspose(2, (3, 2), strides=3, output_padding=1))
    three = chain((3, 4, 2, 3), layers.Conv3DTranspose(2, 3, strides=2, padding="same"))
    return Model([m.input for m in (one, two, three)], [m.output for m in (one, two, three)])


@awkward
def transposed_stride_one() -> Model:
    """Input positions count here too, though there are fewer than output positions."""
    return chain((5, 4, 3), layers.Conv2DTranspose(2, 3), layers.Conv2DTranspose(4, (1, 3)))


# Dense and contractions


@awkward
def dense_on_maps() -> Model:
    """On an image Dense is a pointwise convolution."""
    return chain((5, 4, 3), layers.Dense(7), layers.Conv2D(6, 1), layers.Dense(2))


@awkward
def einsum_dense() -> Model:
    heads = layers.EinsumDense("abc,cde->abde", output_shape=(None, 2, 5), bias_axes="de")
    merge = layers.EinsumDense("abde,dec->abc", output_shape=(None, 6))
    return chain((4, 3), heads, merge, layers.EinsumDense("...x,xy->...y", output_shape=7))


@awkward
def dot_products() -> Model:
    left, right = Input((4, 5)), Input((6, 5))
    pairs = layers.Dot(axes=2)([left, right])
    cosine = layers.Dot(axes=2, normalize=True)([left, right])
    return Model([left, right], [pairs, cosine])


@awkward
def functional_contractions() -> Model:
    """`keras.ops` on symbolic tensors: no layer is there to ask."""
    a, b = Input((4, 5)), Input((5, 6))
    products = ops.matmul(a, b)
    scores = ops.einsum("bij,bkj->bik", products, ops.transpose(b, (0, 1, 2)))
    flat = ops.tensordot(scores[:, 0, ::2], ops.ones((3, 7)), axes=1)
    lone = ops.einsum("bij,bk->bk", scores, flat)  # i and j are summed before the product
    return Model([a, b], [products @ ops.ones((6, 2)), lone + 1.0])


@awkward
def einsum_of_three() -> Model:
    """Contracted pairwise, the last two first. TensorFlow's greedy order is the best one here."""
    a, b, c = Input((3, 4)), Input((4, 5)), Input((5, 2))
    return Model([a, b, c], ops.einsum("bij,bjk,bkl->bil", a, b, c))


@awkward
def functional_convolutions() -> Model:
    x = Input((9, 8, 4))
    y = ops.conv(x, ops.ones((3, 3, 4, 6)), strides=2, padding="same")
    y = ops.depthwise_conv(y, ops.ones((2, 2, 6, 1)), padding="same")
    y = ops.separable_conv(y, ops.ones((2, 3, 6, 2)), ops.ones((1, 1, 12, 5)))
    return Model(x, ops.relu(y))


def tied_embedding() -> Model:
    """The logits reuse the table: parameters once, a product at the end."""
    table = layers.ReversibleEmbedding(23, 6)
    ids = Input((5,), dtype="int32")
    hidden = layers.Dense(6, activation="gelu")(table(ids))
    return Model(ids, table(hidden, reverse=True))


if hasattr(layers, "ReversibleEmbedding"):
    awkward(tied_embedding)


# Structure


@awkward
def shared_layers() -> Model:
    """One convolution on images of two sizes, one Dense on both results."""
    big, small = Input((9, 8, 3)), Input((5, 6, 3))
    conv, head = layers.Conv2D(4, 3, name="shared"), layers.Dense(2, name="head")
    pool = layers.GlobalAveragePooling2D()
    return Model([big, small], [head(pool(conv(big))), head(pool(conv(small)))])


@awkward
def nested_models() -> Model:
    """An inner model called twice, in which an innermost one is called twice."""
    innermost = keras.Sequential([Input((4,)), layers.Dense(4, name="fc")], name="innermost")
    x = Input((4,))
    encoder = Model(x, innermost(layers.ReLU()(innermost(x))), name="encoder")
    left, right = Input((4,)), Input((4,))
    joined = layers.Concatenate()([encoder(left), encoder(right)])
    return Model([left, right], layers.Dense(3, name="fc")(joined))


@awkward
def sequential_of_models() -> Model:
    """A Sequential whose parts are models themselves."""
    conv = keras.Sequential([Input((9, 8, 3)), layers.Conv2D(4, 3, name="conv")], name="features")
    head = keras.Sequential([layers.GlobalMaxPooling2D(), layers.Dense(2)], name="head")
    return keras.Sequential([Input((9, 8, 3)), conv, head])


@awkward
def nested_at_two_sizes() -> Model:
    """The inner model leaves its size open, and is called at two."""
    x = Input((None, None, 3))
    y = layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(x)
    y = layers.Conv2DTranspose(2, 2, strides=2, name="up")(y)
    body = Model(x, y, name="body")
    big, small = Input((10, 8, 3)), Input((6, 4, 3))
    return Model([big, small], [body(big), body(small)])


@awkward
def unet() -> Model:
    x = Input((16, 12, 3))
    skips, y = [], x
    for width in (4, 6):
        y = layers.Conv2D(width, 3, padding="same", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        skips.append(y)
        y = layers.MaxPooling2D(2)(y)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
    for width, skip in ((6, skips[1]), (4, skips[0])):
        y = layers.Conv2DTranspose(width, 2, strides=2)(y)
        y = layers.Concatenate()([y, skip])
        y = layers.SeparableConv2D(width, 3, padding="same")(y)
    return Model(x, layers.Conv2D(1, 1, activation="sigmoid")(y))


@awkward
def resized() -> Model:
    """Interpolation is not MACs, though JAX writes it as matrix products."""
    return chain(
        (6, 5, 2),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Conv2D(3, 3),
        layers.Resizing(7, 4, interpolation="bicubic"),
        layers.Conv2D(2, 2),
    )


@awkward
def squeeze_excite() -> Model:
    x = Input((7, 6, 8))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(2, 1, activation="relu")(gate)
    gate = layers.Dense(8, activation="sigmoid")(gate)
    return Model(x, layers.Multiply()([x, gate]))


@awkward
def unused_branches() -> Model:
    """Layers beside the path from input to output do not run."""
    x = Input((5,))
    layers.Dense(100)(x)
    _, state = layers.GRU(3, return_state=True)(layers.Reshape((5, 1))(x))
    return Model(x, layers.Dense(2)(state))


@awkward
def mixed_precision() -> Model:
    half = "mixed_bfloat16"
    conv = layers.Conv2D(4, 3, groups=2, dtype=half)
    return chain((6, 5, 2), conv, layers.Flatten(), layers.Dense(3, dtype=half))


@awkward
def dropout_and_constants() -> Model:
    """Seeds, normalisation constants and lookups beside two products."""
    scale = layers.Normalization(mean=[0.0, 1.0, 2.0], variance=[1.0, 2.0, 3.0])
    return chain(
        (3,),
        scale,
        layers.GaussianNoise(0.1),
        layers.Dense(4),
        layers.Dropout(0.5),
        layers.Dense(2),
    )


class Recurrence(layers.Layer):
    """A product in a loop written by hand: with `scan`, or counted by `while_loop`."""

    def __init__(self, steps: int, scan: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.steps, self.scan = steps, scan

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")

    def call(self, x: Any) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)
        if self.scan:
            xs = ops.zeros((self.steps, 1))
            return ops.scan(lambda carry, _: (ops.matmul(carry, kernel), None), x, xs)[0]

        def body(step: Any, carry: Any) -> tuple[Any, Any]:
            return step + 2, ops.matmul(carry, kernel)

        limit = 2 * self.steps
        return ops.while_loop(lambda step, _: step < limit, body, (0, x))[1]

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return shape


@awkward
def hand_written_loops() -> Model:
    return chain((4, 5), Recurrence(3, scan=True), Recurrence(6, scan=False))
