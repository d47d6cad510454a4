"""ResNet's relatives: bottlenecks, basic blocks and the gates that are hung into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style


def conv_bn(x: Tensor, filters: int, kernel: Any, act: str | None = "relu", **options: Any) -> Any:
    """Convolution, normalisation and activation as three layers."""
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x)
    x = layers.BatchNormalization()(x)
    return layers.Activation(act)(x) if act else x


def head(x: Tensor, classes: int = 10) -> Tensor:
    return layers.Dense(classes, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def stages(
    block: Callable[..., Tensor], widths: tuple[int, ...], depth: int, stem: Tensor
) -> Tensor:
    """`depth` blocks of each width; the first of all but the first stage has stride 2."""
    x = stem
    for i, width in enumerate(widths):
        for j in range(depth):
            x = block(x, width, 2 if i and not j else 1)
    return x


@style(bottleneck=4)
def resnext() -> Model:
    """arXiv:1611.05431, figure 3(c): the 3×3 in groups, half as wide as the output."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1 or x.shape[-1] != 2 * width:
            short = conv_bn(x, 2 * width, 1, None, strides=stride)
        x = conv_bn(x, width, 1)
        x = conv_bn(x, width, 3, strides=stride, groups=8)
        x = conv_bn(x, 2 * width, 1, None)
        return layers.ReLU()(layers.add([x, short]))

    x = Input((32, 32, 3))
    return Model(x, head(stages(block, (16, 32), 2, conv_bn(x, 16, 7, strides=2))))


@style(bottleneck=4)
def wide_resnet_50_2() -> Model:
    """arXiv:1605.07146: the 3×3 twice as wide, which is half of the output."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1 or x.shape[-1] != 4 * width:
            short = conv_bn(x, 4 * width, 1, None, strides=stride)
        x = conv_bn(x, 2 * width, 1)
        x = conv_bn(x, 2 * width, 3, strides=stride)
        x = conv_bn(x, 4 * width, 1, None)
        return layers.Activation("relu")(x + short)

    x = Input((32, 32, 3))
    y = layers.MaxPooling2D(3, 2, padding="same")(conv_bn(x, 8, 7, strides=2))
    return Model(x, head(stages(block, (8, 16), 2, y)))


def basic(x: Tensor, width: int, stride: int) -> Tensor:
    """Two 3×3, with a strided 1×1 on the shortcut where the shape changes."""
    short = x
    if stride > 1 or x.shape[-1] != width:
        short = conv_bn(x, width, 1, None, strides=stride)
    x = conv_bn(conv_bn(x, width, 3, strides=stride), width, 3, None)
    return layers.ReLU()(layers.Add()([x, short]))


@style()
def resnet18() -> Model:
    """arXiv:1512.03385, table 1: two 3×3 in every block."""
    x = Input((32, 32, 3))
    y = layers.MaxPooling2D(3, 2, padding="same")(conv_bn(x, 8, 7, strides=2))
    return Model(x, head(stages(basic, (8, 16, 32), 2, y)))


@style()
def wide_resnet_16() -> Model:
    """arXiv:1605.07146, table 1: pre-activated pairs of 3×3."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        y = layers.ReLU()(layers.BatchNormalization()(x))
        short = x if x.shape[-1] == width else layers.Conv2D(width, 1, strides=stride)(y)
        y = layers.Conv2D(width, 3, strides=stride, padding="same")(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Dropout(0.3)(y)
        return layers.Conv2D(width, 3, padding="same")(y) + short

    x = Input((16, 16, 3))
    y = stages(block, (16, 32), 2, layers.Conv2D(8, 3, padding="same")(x))
    return Model(x, head(layers.ReLU()(layers.BatchNormalization()(y))))


@style(bottleneck=4)
def preactivation_of_pieces() -> Model:
    """arXiv:1603.05027: norm, activation and convolution as small Sequential models."""

    def piece(filters: int, kernel: int, stride: int = 1) -> Sequential:
        return Sequential(
            [
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False),
            ]
        )

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1 or x.shape[-1] != 4 * width:
            short = layers.Conv2D(4 * width, 1, strides=stride)(x)
        y = piece(width, 1)(x)
        y = piece(width, 3, stride)(y)
        y = piece(4 * width, 1)(y)
        return layers.Add()([y, short])

    x = Input((16, 16, 3))
    return Model(x, head(stages(block, (4, 8), 2, layers.Conv2D(16, 3, padding="same")(x))))


@style(bottleneck=4)
def resnet_d() -> Model:
    """arXiv:1812.01187, figure 2(c): 3×3s in the stem, the shortcut pooled before its 1×1."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1:
            short = layers.AveragePooling2D(2, padding="same")(short)
        if x.shape[-1] != 4 * width:
            short = conv_bn(short, 4 * width, 1, None)
        x = conv_bn(conv_bn(x, width, 1), width, 3, strides=stride)
        return layers.ReLU()(layers.add([conv_bn(x, 4 * width, 1, None), short]))

    y = x = Input((32, 32, 3))
    for width in (4, 4, 8):
        y = conv_bn(y, width, 3)
    y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
    return Model(x, head(stages(block, (8, 16), 2, y)))


@style(bottleneck=1)
def strided_identity() -> Model:
    """The shortcut takes every other position by indexing."""
    x = Input((8, 8, 16))
    y = conv_bn(conv_bn(x, 4, 1), 4, 3, strides=2)
    y = conv_bn(y, 16, 1, None)
    return Model(x, ops.relu(y + x[:, ::2, ::2, :]))


@style(bottleneck=3)
def regnet_x() -> Model:
    """arXiv:2003.13678, figure 3: the bottleneck ratio is 1, the 3×3 in groups."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1 or x.shape[-1] != width:
            short = conv_bn(x, width, 1, None, strides=stride)
        x = conv_bn(conv_bn(x, width, 1), width, 3, strides=stride, groups=width // 8)
        return layers.ReLU()(layers.Add()([short, conv_bn(x, width, 1, None)]))

    x = Input((16, 16, 3))
    return Model(x, head(stages(block, (16, 24, 32), 1, conv_bn(x, 16, 3, strides=2))))


def squeeze_excite(x: Tensor, ratio: int = 4) -> Tensor:
    """Pool, Dense, Dense, reshape, multiply."""
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Dense(x.shape[-1] // ratio, activation="relu")(gate)
    gate = layers.Dense(x.shape[-1], activation="sigmoid")(gate)
    return layers.multiply([x, layers.Reshape((1, 1, x.shape[-1]))(gate)])


def gated(
    gate: Callable[[Tensor], Tensor], groups: int = 1, inside: bool = False
) -> Callable[..., Tensor]:
    """A bottleneck block with a gate before its addition, or before its last 1×1."""

    def block(x: Tensor, width: int, stride: int) -> Tensor:
        short = x
        if stride > 1 or x.shape[-1] != 4 * width:
            short = conv_bn(x, 4 * width, 1, None, strides=stride)
        x = conv_bn(conv_bn(x, width, 1), width, 3, strides=stride, groups=groups)
        x = conv_bn(gate(x) if inside else x, 4 * width, 1, None)
        return layers.ReLU()(layers.Add()([x if inside else gate(x), short]))

    return block


@style(bottleneck=2, channel_attention=2)
def senet() -> Model:
    """arXiv:1709.01507, figure 3: two Dense before the addition."""
    x = Input((16, 16, 3))
    return Model(x, head(stages(gated(squeeze_excite), (8, 16), 1, conv_bn(x, 16, 3))))


@style(bottleneck=2, channel_attention=2)
def se_resnext() -> Model:
    """The same, the 3×3 in groups and the gate of 1×1 convolutions on a kept map."""

    def gate(x: Tensor) -> Tensor:
        g = layers.GlobalAveragePooling2D(keepdims=True)(x)
        g = layers.Conv2D(4, 1, use_bias=False)(g)
        g = layers.ReLU()(layers.BatchNormalization()(g))
        g = layers.Conv2D(x.shape[-1], 1)(g)
        return x * layers.Activation("sigmoid")(g)

    x = Input((16, 16, 3))
    return Model(x, head(stages(gated(gate, groups=4), (8, 16), 1, conv_bn(x, 16, 3))))


@style(bottleneck=2, channel_attention=2)
def regnet_y() -> Model:
    """arXiv:2003.13678, section 4: the gate stands behind the 3×3 and scales its channels."""
    x = Input((16, 16, 3))
    block = gated(squeeze_excite, groups=2, inside=True)
    return Model(x, head(stages(block, (8, 16), 1, conv_bn(x, 16, 3))))


@style(bottleneck=2, channel_attention=2)
def cbam() -> Model:
    """arXiv:1807.06521, figure 2: one channel gate a block, though one small MLP is called on two
    pooled maps; the spatial gate is a 7×7 on channel statistics."""

    def gate(x: Tensor) -> Tensor:
        squeeze = layers.Dense(4, activation="relu")
        excite = layers.Dense(x.shape[-1])
        mean = excite(squeeze(layers.GlobalAveragePooling2D()(x)))
        peak = excite(squeeze(layers.GlobalMaxPooling2D()(x)))
        channel = layers.Activation("sigmoid")(layers.Add()([mean, peak]))
        x = layers.Multiply()([x, layers.Reshape((1, 1, x.shape[-1]))(channel)])
        flat = layers.Concatenate()(
            [ops.mean(x, axis=-1, keepdims=True), ops.max(x, axis=-1, keepdims=True)]
        )
        spatial = layers.Conv2D(1, 7, padding="same", activation="sigmoid")(flat)
        return layers.Multiply()([x, spatial])

    x = Input((16, 16, 3))
    return Model(x, head(stages(gated(gate), (8, 16), 1, conv_bn(x, 16, 3))))


@style(bottleneck=2)
def eca() -> Model:
    """arXiv:1910.03151: the gate is a 3-tap convolution along the channels, no contraction."""

    def gate(x: Tensor) -> Tensor:
        g = layers.Reshape((x.shape[-1], 1))(layers.GlobalAveragePooling2D()(x))
        g = layers.Conv1D(1, 3, padding="same", use_bias=False, activation="sigmoid")(g)
        return layers.Multiply()([x, layers.Reshape((1, 1, x.shape[-1]))(g)])

    x = Input((16, 16, 3))
    return Model(x, head(stages(gated(gate), (8, 16), 1, conv_bn(x, 16, 3))))


@style(channel_attention=6)
def gates_in_six_styles() -> Model:
    """One on each map of a plain stack: how people squeeze, excite, gate and multiply."""
    x = Input((16, 16, 3))

    def step(y: Tensor) -> Tensor:
        return layers.Conv2D(16, 3, padding="same", activation="relu")(y)

    y = step(x)
    g = ops.mean(y, axis=(1, 2), keepdims=True)  # plain operations
    g = ops.sigmoid(layers.Dense(16)(ops.relu(layers.Dense(4)(g))))
    y = step(y * g)

    g = layers.AveragePooling2D(16)(y)  # a window as large as the map
    g = layers.Conv2D(4, 1, activation="swish")(g)
    y = step(layers.multiply([y, layers.Conv2D(16, 1, activation="hard_sigmoid")(g)]))

    g = layers.GlobalMaxPooling2D(keepdims=True)(y)
    g = layers.Dense(16)(layers.LeakyReLU(negative_slope=0.1)(layers.Dense(4)(g)))
    y = step(layers.Multiply()([layers.ReLU(max_value=6)(g + 3.0) * (1 / 6), y]))

    pool = Sequential([Input((16, 16, 16)), layers.GlobalAveragePooling2D()])  # nested pieces
    mlp = Sequential([Input((16,)), layers.Dense(4, "relu"), layers.Dense(16, "sigmoid")])
    y = step(y * ops.expand_dims(ops.expand_dims(mlp(pool(y)), 1), 1))

    g = layers.Dense(16)(layers.PReLU()(layers.Dense(4)(layers.GlobalAveragePooling2D()(y))))
    y = step(y * ops.reshape((ops.tanh(g) + 1.0) / 2.0, (-1, 1, 1, 16)))  # a sigmoid in disguise

    g = layers.GlobalAveragePooling2D()(y)
    g = layers.Dense(16, use_bias=False)(layers.Dense(8, activation="elu", use_bias=False)(g))
    g = 1.0 / (1.0 + ops.exp(-g))  # written out
    return Model(x, head(step(y * g[:, None, None, :])))


@style(channel_attention=1)
def scse() -> Model:
    """arXiv:1803.02579: a channel gate and, from one 1×1, a spatial gate, side by side."""
    x = Input((16, 16, 8))
    channel = squeeze_excite(x)
    spatial = layers.Multiply()([x, layers.Conv2D(1, 1, activation="sigmoid")(x)])
    return Model(x, layers.Add()([channel, spatial]))


@style(bottleneck=2)
def bottleneck_of_dense() -> Model:
    """Dense on a map is a 1×1."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = layers.Dense(4, activation="relu")(y)
        z = layers.Conv2D(4, 3, padding="same", activation="relu")(z)
        y = layers.ReLU()(layers.Add()([y, layers.Dense(16)(z)]))
    return Model(x, head(y))


@style(bottleneck=2)
def bottleneck_of_operations() -> Model:
    """`keras.ops` in place of layers where there are no weights."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = ops.relu(layers.Conv2D(4, 1)(y))
        z = ops.pad(z, ((0, 0), (1, 1), (1, 1), (0, 0)))
        z = ops.maximum(layers.Conv2D(4, 3)(z), 0.0)
        y = ops.relu(layers.Conv2D(16, 1)(z) * 0.5 + y)
    return Model(x, ops.mean(y, axis=(1, 2)))


@style(bottleneck=2)
def bottleneck_1d() -> Model:
    y = x = Input((64, 16))
    for _ in range(2):
        z = layers.Conv1D(4, 1, activation="relu")(y)
        z = layers.Conv1D(4, 9, padding="same", activation="relu")(z)
        y = layers.ReLU()(layers.Add()([y, layers.Conv1D(16, 1)(z)]))
    return Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(y)))


@style(bottleneck=2)
def bottleneck_3d() -> Model:
    """Non-local nets' and SlowFast's blocks: the middle one reaches over space and time."""
    y = x = Input((4, 8, 8, 16))
    for kernel in ((1, 3, 3), 3):
        z = layers.ReLU()(layers.BatchNormalization()(layers.Conv3D(4, 1)(y)))
        z = layers.Conv3D(4, kernel, padding="same")(z)
        z = layers.Conv3D(16, 1)(layers.ReLU()(layers.BatchNormalization()(z)))
        y = layers.ReLU()(layers.Add()([y, z]))
    return Model(x, layers.Dense(3)(layers.GlobalAveragePooling3D()(y)))


@style(bottleneck=2, channel_attention=1)
def bottleneck_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first"}
    x = Input((16, 8, 8))
    z = layers.Conv2D(4, 1, strides=2, **first)(x)
    z = layers.ReLU()(layers.BatchNormalization(axis=1)(z))
    z = layers.Conv2D(4, 3, padding="same", activation="relu", **first)(z)
    z = layers.BatchNormalization(axis=1)(layers.Conv2D(32, 1, **first)(z))
    y = layers.ReLU()(layers.Add()([z, layers.Conv2D(32, 1, strides=2, **first)(x)]))
    z = layers.Conv2D(8, 1, activation="relu", **first)(y)
    z = layers.Conv2D(8, 3, padding="same", activation="relu", **first)(z)
    z = layers.Conv2D(32, 1, **first)(z)
    g = layers.GlobalAveragePooling2D(**first)(z)
    g = layers.Dense(32, activation="sigmoid")(layers.Dense(4, activation="relu")(g))
    z = layers.Multiply()([z, layers.Reshape((32, 1, 1))(g)])
    return Model(x, layers.Add()([z, y]))


@style(bottleneck=2, channel_attention=2)
def mixed_precision() -> Model:
    """Casts stand at the border of every layer."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        x = Input((16, 16, 3))
        y = stages(gated(squeeze_excite), (8, 16), 1, conv_bn(x, 16, 3))
        y = layers.GlobalAveragePooling2D()(y)
        return Model(x, layers.Dense(10, activation="softmax", dtype="float32")(y))
    finally:
        keras.config.set_dtype_policy(before)


@style(bottleneck=2)
def one_block_called_twice() -> Model:
    """Shared weights, two calls: each call computes a block."""
    inputs = Input((8, 8, 16))
    z = layers.Conv2D(4, 1, activation="relu")(inputs)
    z = layers.Conv2D(4, 3, padding="same", activation="relu")(z)
    block = Model(inputs, layers.Add()([inputs, layers.Conv2D(16, 1)(z)]))
    x = Input((8, 8, 16))
    return Model(x, head(block(layers.ReLU()(block(x)))))


@style(bottleneck=2)
def group_normalised() -> Model:
    """BiT (arXiv:1912.11370): group normalisation, pre-activated, activations as arguments."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = layers.Activation("relu")(layers.GroupNormalization(4)(y))
        z = layers.Conv2D(8, 1, use_bias=False)(z)
        z = layers.Activation("relu")(layers.GroupNormalization(4)(z))
        z = layers.Conv2D(8, 3, padding="same", use_bias=False)(z)
        z = layers.Activation("relu")(layers.GroupNormalization(4)(z))
        y = layers.Add()([y, layers.Conv2D(16, 1, use_bias=False)(z)])
    return Model(x, head(y))


@style(bottleneck=2)
def enet() -> Model:
    """arXiv:1606.02147, figure 2(b), dilated, with PReLU and spatial dropout."""
    y = x = Input((8, 8, 16))
    for rate in (2, 4):
        z = layers.PReLU()(layers.BatchNormalization()(layers.Conv2D(4, 1, use_bias=False)(y)))
        z = layers.Conv2D(4, 3, padding="same", dilation_rate=rate)(z)
        z = layers.PReLU()(layers.BatchNormalization()(z))
        z = layers.BatchNormalization()(layers.Conv2D(16, 1, use_bias=False)(z))
        y = layers.PReLU()(layers.Add()([layers.SpatialDropout2D(0.1)(z), y]))
    return Model(x, y)


@style(bottleneck=2)
def kernels_without_layers() -> Model:
    """`ops.conv` on arrays, as a port from another framework may have them."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = ops.relu(ops.conv(y, ops.ones((1, 1, 16, 4))))
        z = ops.relu(ops.conv(z, ops.ones((3, 3, 4, 4)), padding="same"))
        y = ops.relu(y + ops.conv(z, ops.ones((1, 1, 4, 16))))
    return Model(x, head(y))


@style()
def every_layer_is_an_output() -> Model:
    """The tutorial's feature extractor: all intermediate maps leave the model too, so that no
    plain form could do without them."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = layers.Conv2D(4, 1, activation="relu")(y)
        z = layers.Conv2D(4, 3, padding="same", activation="relu")(z)
        y = layers.ReLU()(layers.Add()([y, layers.Conv2D(16, 1)(z)]))
    model = Model(x, y)
    return Model(x, [layer.output for layer in model.layers[1:]])


@style()
def selective_kernels() -> Model:
    """arXiv:1903.06586, figure 1: a softmax weighs two kernels; pooled is their sum, multiplied is
    each of them."""
    x = Input((16, 16, 8))
    left, right = conv_bn(x, 8, 3), conv_bn(x, 8, 3, dilation_rate=2)
    g = layers.GlobalAveragePooling2D(keepdims=True)(layers.Add()([left, right]))
    g = conv_bn(g, 4, 1)
    weights = ops.softmax(ops.stack([layers.Conv2D(8, 1)(g), layers.Conv2D(8, 1)(g)]), axis=0)
    return Model(x, layers.Add()([left * weights[0], right * weights[1]]))


@style()
def coordinate_attention() -> Model:
    """arXiv:2103.02907, figure 2(c): pooled along one axis at a time, so that positions remain."""
    x = Input((12, 10, 8))
    rows = ops.mean(x, axis=2, keepdims=True)
    columns = ops.transpose(ops.mean(x, axis=1, keepdims=True), (0, 2, 1, 3))
    y = conv_bn(layers.Concatenate(axis=1)([rows, columns]), 4, 1)
    rows = layers.Conv2D(8, 1, activation="sigmoid")(y[:, :12])
    columns = layers.Conv2D(8, 1, activation="sigmoid")(y[:, 12:])
    return Model(x, x * rows * ops.transpose(columns, (0, 2, 1, 3)))


@style(bottleneck=1)
def block_on_every_frame() -> Model:
    """A block inside TimeDistributed."""
    inputs = Input((8, 8, 16))
    z = layers.Conv2D(4, 1, activation="relu")(inputs)
    z = layers.Conv2D(4, 3, padding="same", activation="relu")(z)
    block = Model(inputs, layers.Add()([inputs, layers.Conv2D(16, 1)(z)]))
    x = Input((4, 8, 8, 16))
    return Model(x, layers.TimeDistributed(block)(x))


@style()
def global_context() -> Model:
    """arXiv:1904.11492, figure 4(d): positions weighed by one softmaxed 1×1, two 1×1s on what they
    give, and an addition: no gate, and no query, key and value."""
    x = Input((6, 5, 16))
    weights = ops.softmax(layers.Reshape((30, 1))(layers.Conv2D(1, 1)(x)), axis=1)
    context = ops.matmul(ops.transpose(layers.Reshape((30, 16))(x), (0, 2, 1)), weights)
    y = layers.Conv2D(4, 1)(layers.Reshape((1, 1, 16))(context))
    y = layers.Conv2D(16, 1)(layers.ReLU()(layers.LayerNormalization()(y)))
    return Model(x, layers.Add()([x, y]))
