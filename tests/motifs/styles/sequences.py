"""One-dimensional networks: audio, text and time series, most of them without any block."""

from __future__ import annotations

from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style


@style()
def tcn() -> Model:
    """arXiv:1803.01271, figure 1: pairs of dilated causal convolutions, a 1×1 on a shortcut."""
    x = Input((64, 3))
    y: Tensor = x
    for i, width in enumerate((8, 8, 12)):
        short = y if y.shape[-1] == width else layers.Conv1D(width, 1)(y)
        for _ in range(2):
            y = layers.Conv1D(width, 3, padding="causal", dilation_rate=2**i)(y)
            y = layers.SpatialDropout1D(0.1)(layers.ReLU()(y))
        y = layers.ReLU()(layers.Add()([short, y]))
    return Model(x, layers.Dense(5)(y[:, -1]))


@style()
def wavenet() -> Model:
    """arXiv:1609.03499, figure 4: two k-tap convolutions multiplied, then a 1×1 to the residual and
    one to the skip. The head's two 1×1s stand behind the sum of skips, no pooling and no k×k."""
    x = Input((64, 1))
    y = layers.Conv1D(8, 2, padding="causal")(x)
    skips = []
    for i in range(3):
        options = {"padding": "causal", "dilation_rate": 2**i}
        z = layers.Multiply()(
            [
                layers.Conv1D(8, 2, activation="tanh", **options)(y),
                layers.Conv1D(8, 2, activation="sigmoid", **options)(y),
            ]
        )
        skips.append(layers.Conv1D(16, 1)(z))
        y = layers.Add()([y, layers.Conv1D(8, 1)(z)])
    y = layers.Conv1D(16, 1, activation="relu")(layers.ReLU()(layers.Add()(skips)))
    return Model(x, layers.Conv1D(32, 1, activation="softmax")(y))


@style()
def lstm_text_classifier() -> Model:
    return Sequential(
        [
            Input((40,), dtype="int32"),
            layers.Embedding(100, 16),
            layers.Bidirectional(layers.LSTM(8, return_sequences=True)),
            layers.LSTM(8),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@style()
def gru_tagger() -> Model:
    """Dense over every time step of a recurrent layer: a 1×1 head, and one before it."""
    x = Input((40,), dtype="int32")
    y = layers.GRU(16, return_sequences=True)(layers.Embedding(100, 8)(x))
    y = layers.TimeDistributed(layers.Dense(16, activation="relu"))(y)
    return Model(x, layers.Dense(9, activation="softmax")(y))


@style()
def speech_recogniser() -> Model:
    """Deep Speech 2: convolutions over a spectrogram, recurrent layers, a softmax a step."""
    x = Input((40, 32))
    y = layers.Reshape((40, 32, 1))(x)
    for kernel, stride in (((11, 9), (2, 2)), ((11, 5), (1, 2))):
        y = layers.Conv2D(8, kernel, strides=stride, padding="same", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Reshape((-1, y.shape[-2] * y.shape[-1]))(y)
    y = layers.Bidirectional(layers.GRU(8, return_sequences=True))(y)
    y = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(y))
    return Model(x, layers.Dense(29, activation="softmax")(y))


@style(depthwise_separable=2)
def separable_text_classifier() -> Model:
    return Sequential(
        [
            Input((40,), dtype="int32"),
            layers.Embedding(100, 16),
            layers.SeparableConv1D(16, 3, activation="relu"),
            layers.MaxPooling1D(2),
            layers.SeparableConv1D(16, 3, activation="relu", padding="same"),
            layers.GlobalMaxPooling1D(),
            layers.Dense(1),
        ]
    )


@style()
def sequence_to_sequence() -> Model:
    source, target = Input((12, 8)), Input((10, 8))
    _, h, c = layers.LSTM(8, return_state=True)(source)
    y = layers.LSTM(8, return_sequences=True)(target, initial_state=[h, c])
    return Model([source, target], layers.Dense(30, activation="softmax")(y))


@style()
def video_classifier() -> Model:
    """A small convolutional net on every frame, then an LSTM; and a ConvLSTM."""
    frame = Sequential(
        [
            Input((16, 16, 3)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    x = Input((4, 16, 16, 3))
    y = layers.LSTM(8)(layers.TimeDistributed(frame)(x))
    z = layers.GlobalMaxPooling2D()(layers.ConvLSTM2D(4, 3)(x))
    return Model(x, layers.Dense(5)(layers.Concatenate()([y, z])))


@style(inverted_residual=2, channel_attention=2)
def efficientnet_1d() -> Model:
    """Blocks for an electrocardiogram: depthwise, gate and linear 1×1 along one axis."""
    x = Input((64, 12))
    y = layers.Conv1D(8, 7, strides=2, padding="same", activation="swish")(x)
    for _ in range(2):
        z = layers.Activation("swish")(layers.BatchNormalization()(layers.Conv1D(32, 1)(y)))
        z = layers.DepthwiseConv1D(5, padding="same", use_bias=False)(z)
        z = layers.Activation("swish")(layers.BatchNormalization()(z))
        g = ops.mean(z, axis=1)
        g = layers.Dense(32, activation="sigmoid")(layers.Dense(2, activation="swish")(g))
        z = layers.Multiply()([z, layers.Reshape((1, 32))(g)])
        y = layers.Add()([y, layers.BatchNormalization()(layers.Conv1D(8, 1)(z))])
    return Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


@style(channel_attention=2)
def ecapa_tdnn_block() -> Model:
    """SE-Res2 blocks (arXiv:2005.07143, figure 2), their Res2 part cut down to one dilated k-tap
    convolution: 1×1, k-tap, 1×1 and a gate, but joined by concatenation at the end."""
    x = Input((50, 16))
    y: Tensor = x
    outputs = []
    for rate in (2, 3):
        z = layers.Conv1D(16, 1, activation="relu")(y)
        z = layers.Conv1D(16, 3, padding="same", dilation_rate=rate, activation="relu")(z)
        z = layers.Conv1D(16, 1, activation="relu")(z)
        g = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling1D()(z))
        y = layers.Multiply()([z, layers.Reshape((1, 16))(layers.Dense(16, "sigmoid")(g))])
        outputs.append(y)
    y = layers.Dense(24, activation="relu")(layers.Concatenate()(outputs))
    return Model(x, layers.GlobalAveragePooling1D()(y))
