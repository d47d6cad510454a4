"""Mobile networks: separable convolutions, inverted residuals, ghosts and shuffles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style

Act = Callable[[Tensor], Tensor]


def relu6(x: Tensor) -> Tensor:
    return layers.ReLU(max_value=6)(x)


def swish(x: Tensor) -> Tensor:
    """Written out."""
    return x * ops.sigmoid(x)


def hard_swish(x: Tensor) -> Tensor:
    """MobileNetV3's, as TensorFlow tutorials write it."""
    return layers.Multiply()([x, layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)])


def bn(x: Tensor, act: Act | None = None) -> Tensor:
    x = layers.BatchNormalization()(x)
    return act(x) if act else x


def conv(x: Tensor, filters: int, kernel: int, act: Act | None = None, **options: Any) -> Tensor:
    return bn(layers.Conv2D(filters, kernel, padding="same", use_bias=False, **options)(x), act)


def depthwise(x: Tensor, kernel: int, act: Act | None, strides: int = 1) -> Tensor:
    layer = layers.DepthwiseConv2D(kernel, strides=strides, padding="same", use_bias=False)
    return bn(layer(x), act)


def gate(x: Tensor, width: int, act: Act) -> Tensor:
    g = layers.GlobalAveragePooling2D(keepdims=True)(x)
    g = act(layers.Conv2D(width, 1)(g))
    return layers.Multiply()([x, layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(g)])


def mbconv(
    x: Tensor, out: int, expand: float, kernel: int, stride: int, act: Act, se: bool = False
) -> Tensor:
    """Expansion (none at 1), depthwise, gate, linear projection, residual."""
    y = conv(x, int(expand * x.shape[-1]), 1, act) if expand != 1 else x
    y = depthwise(y, kernel, act, stride)
    if se:
        y = gate(y, max(1, x.shape[-1] // 4), act)
    y = conv(y, out, 1)
    return layers.Add()([x, y]) if stride == 1 and out == x.shape[-1] else y


def classifier(x: Tensor, width: int, act: Act) -> Tensor:
    x = layers.GlobalAveragePooling2D()(conv(x, width, 1, act))
    return layers.Dense(10, activation="softmax")(layers.Dropout(0.2)(x))


@style(depthwise_separable=3)
def mobilenet_v1() -> Model:
    """arXiv:1704.04861, figure 3: norm and activation behind both halves."""
    x = Input((32, 32, 3))
    y = conv(x, 8, 3, relu6, strides=2)
    for width, stride in ((16, 1), (32, 2), (32, 1)):
        y = conv(depthwise(y, 3, relu6, stride), width, 1, relu6)
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(depthwise_separable=3)
def separable_layers() -> Model:
    """A tutorial's Sequential of SeparableConv2D, activations as arguments."""
    return Sequential(
        [
            Input((32, 32, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.SeparableConv2D(16, 3, activation="relu", padding="same"),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(32, 5, activation="relu", depth_multiplier=2),
            layers.BatchNormalization(),
            layers.SeparableConv2D(32, 3, strides=2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@style(depthwise_separable=3)
def separable_by_hand() -> Model:
    """Depthwise as groups, pointwise as Dense, biases and no norm; the last pair is linear."""
    x = Input((16, 16, 8))
    y = layers.Conv2D(8, 3, padding="same", groups=8, activation="relu")(x)
    y = layers.Dense(16, activation="relu")(y)
    y = layers.Conv2D(32, (5, 1), padding="same", groups=16)(y)
    y = layers.Conv2D(16, 1)(y)
    y = layers.DepthwiseConv2D(3)(layers.ReLU()(y))
    return Model(x, layers.Flatten()(layers.Conv2D(4, 1)(y)))


@style(depthwise_separable=2)
def separable_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first", "padding": "same"}
    x = Input((8, 16, 16))
    y = layers.DepthwiseConv2D(3, activation="relu", **first)(x)
    y = layers.Conv2D(16, 1, activation="relu", **first)(y)
    y = layers.ReLU()(layers.SeparableConv2D(24, 3, **first)(y))
    return Model(x, layers.GlobalMaxPooling2D(data_format="channels_first")(y))


@style(depthwise_separable=1, inverted_residual=1)
def depthwise_in_one_dimension() -> Model:
    x = Input((64, 8))
    y = layers.SeparableConv1D(16, 5, activation="relu")(x)
    z = layers.Conv1D(32, 1, activation="relu")(y)
    z = layers.DepthwiseConv1D(5, padding="same", activation="relu")(z)
    y = layers.Add()([y, layers.Conv1D(16, 1)(z)])
    return Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


@style(depthwise_separable=1, inverted_residual=1)
def depthwise_in_three_dimensions() -> Model:
    """X3D and CSN: as many groups as channels."""
    x = Input((4, 8, 8, 8))
    y = layers.Conv3D(8, 3, padding="same", groups=8, activation="relu")(x)
    y = layers.Conv3D(16, 1, activation="relu")(y)
    z = layers.Conv3D(36, 1, activation="relu")(y)
    z = layers.Conv3D(36, 3, padding="same", groups=36, activation="swish")(z)
    y = layers.Add()([y, layers.Conv3D(16, 1)(z)])
    return Model(x, layers.Dense(2)(layers.GlobalAveragePooling3D()(y)))


@style(inverted_residual=5)
def mobilenet_v2() -> Model:
    """arXiv:1801.04381, table 2: the first block has no expansion; ReLU6."""
    x = Input((32, 32, 3))
    y = mbconv(conv(x, 8, 3, relu6, strides=2), 4, 1, 3, 1, relu6)
    for out, stride in ((6, 2), (6, 1), (8, 2), (8, 1)):
        y = mbconv(y, out, 6, 3, stride, relu6)
    return Model(x, classifier(y, 32, relu6))


@style(inverted_residual=5, channel_attention=2)
def mnasnet_a1() -> Model:
    """arXiv:1807.11626, figure 7(a): SepConv is a depthwise, activated, and a linear 1×1: an
    inverted residual of expansion 1; MBConv3 (k5×5) has a gate."""
    relu = layers.ReLU()
    x = Input((32, 32, 3))
    y = mbconv(conv(x, 8, 3, relu, strides=2), 4, 1, 3, 1, relu)
    y = mbconv(y, 6, 6, 3, 2, relu)
    y = mbconv(y, 6, 6, 3, 1, relu)
    y = mbconv(y, 8, 3, 5, 2, relu, se=True)
    y = mbconv(y, 8, 3, 5, 1, relu, se=True)
    return Model(x, classifier(y, 32, relu))


@style(inverted_residual=4, channel_attention=2)
def mobilenet_v3() -> Model:
    """arXiv:1905.02244, written-out hard swish; the head ends in two 1×1s on a 1×1 map."""
    x = Input((32, 32, 3))
    y = conv(x, 16, 3, hard_swish, strides=2)
    y = mbconv(y, 16, 1, 3, 2, layers.ReLU(), se=True)
    y = mbconv(y, 24, 4.5, 3, 2, layers.ReLU())
    y = mbconv(y, 24, 3.5, 5, 1, hard_swish)
    y = mbconv(y, 24, 6, 5, 1, hard_swish, se=True)
    y = conv(y, 64, 1, hard_swish)
    y = layers.GlobalAveragePooling2D(keepdims=True)(y)
    y = hard_swish(layers.Conv2D(96, 1)(y))
    y = layers.Flatten()(layers.Conv2D(10, 1)(layers.Dropout(0.2)(y)))
    return Model(x, layers.Softmax()(y))


@style(inverted_residual=4)
def efficientnet_lite() -> Model:
    """No gates, ReLU6; the repository's README says what differs from EfficientNet."""
    x = Input((32, 32, 3))
    y = mbconv(conv(x, 8, 3, relu6, strides=2), 4, 1, 3, 1, relu6)
    for out, kernel, stride in ((8, 3, 2), (8, 5, 1), (16, 5, 2)):
        y = mbconv(y, out, 6, kernel, stride, relu6)
    return Model(x, classifier(y, 32, relu6))


@style(inverted_residual=3, channel_attention=3, fused_inverted_residual=2)
def efficientnet_v2_written_out() -> Model:
    """Fused blocks, then gated ones; swish is a product, the gate too, dropout on branches."""

    def fused(x: Tensor, out: int, stride: int) -> Tensor:
        y = conv(x, 4 * x.shape[-1], 3, swish, strides=stride)
        y = layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(conv(y, out, 1))
        return y + x if stride == 1 and out == x.shape[-1] else y

    x = Input((32, 32, 3))
    y = conv(layers.Rescaling(1 / 255)(x), 8, 3, swish, strides=2)
    y = y + conv(y, 8, 3, swish)  # expansion 1: a plain convolution
    y = fused(fused(y, 12, 2), 12, 1)
    for out, stride in ((16, 2), (16, 1), (24, 1)):
        y = mbconv(y, out, 4, 3, stride, swish, se=True)
    return Model(x, classifier(y, 32, swish))


@style(fused_inverted_residual=1, channel_attention=1)
def fused_with_a_gate() -> Model:
    """EfficientNetV2's code allows a gate between the k×k and the projection."""
    x = Input((16, 16, 8))
    y = gate(conv(x, 32, 3, swish), 2, swish)
    y = layers.Add()([x, conv(y, 8, 1)])
    return Model(x, layers.Conv2D(4, 3)(y))


@style(inverted_residual=2)
def inverted_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first"}
    y = x = Input((8, 16, 16))
    for _ in range(2):
        z = layers.ReLU(6.0)(layers.BatchNormalization(axis=1)(layers.Conv2D(32, 1, **first)(y)))
        z = layers.ZeroPadding2D(1, **first)(z)
        z = layers.BatchNormalization(axis=1)(layers.DepthwiseConv2D(3, **first)(z))
        z = layers.Conv2D(8, 1, **first)(layers.ReLU(6.0)(z))
        y = layers.Add()([y, layers.BatchNormalization(axis=1)(z)])
    return Model(x, layers.GlobalAveragePooling2D(**first)(y))


@style(inverted_residual=2, channel_attention=1)
def inverted_of_dense_and_groups() -> Model:
    """1×1s as Dense, the depthwise as a grouped convolution, activations as arguments."""
    y = x = Input((16, 16, 8))
    for gated in (False, True):
        z = layers.Dense(32, activation="relu6")(y)
        z = layers.Conv2D(32, 3, padding="same", groups=32, activation="relu6")(z)
        if gated:
            g = ops.mean(z, axis=(1, 2), keepdims=True)
            g = layers.Dense(32, activation="hard_sigmoid")(layers.Dense(4, "relu")(g))
            z = z * g
        y = y + layers.Dense(8)(z)
    return Model(x, layers.GlobalMaxPooling2D()(y))


@style(depthwise_separable=2, channel_attention=1)
def ghostnet() -> Model:
    """arXiv:1911.11907, figure 3. A ghost module is a 1×1 whose output a cheap depthwise reads and
    joins: identity and one branch, no inception, and no 1×1 between, no dense layer. Of the
    strided block the middle depthwise feeds the second module's 1×1, and its shortcut is a
    separable convolution: two of these."""
    relu = layers.ReLU()

    def ghost(x: Tensor, out: int, act: Act | None) -> Tensor:
        primary = conv(x, out // 2, 1, act)
        return layers.Concatenate()([primary, depthwise(primary, 3, act)])

    x = Input((16, 16, 3))
    y = conv(x, 8, 3, relu)
    z = gate(ghost(y, 24, relu), 6, relu)
    y = layers.Add()([y, ghost(z, 8, None)])
    z = depthwise(ghost(y, 24, relu), 3, None, 2)
    z = ghost(z, 12, None)
    y = layers.Add()([conv(depthwise(y, 3, None, 2), 12, 1), z])
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


def shuffle(x: Tensor, groups: int) -> Tensor:
    height, width, channels = x.shape[1:]
    x = layers.Reshape((height, width, groups, channels // groups))(x)
    x = layers.Permute((1, 2, 4, 3))(x)
    return layers.Reshape((height, width, channels))(x)


@style(grouped_pointwise=4)
def shufflenet_v1() -> Model:
    """arXiv:1707.01083, figure 2(b) and (c). The depthwise is linear and its 1×1 grouped; in the
    first unit of stage 2 the first 1×1 is not (section 3.2)."""
    relu = layers.ReLU()

    def unit(x: Tensor, out: int, stride: int, groups: int = 4, first: int = 4) -> Tensor:
        if stride == 2:
            out -= x.shape[-1]
        y = shuffle(conv(x, 16, 1, relu, groups=first), groups)
        y = conv(depthwise(y, 3, None, stride), out, 1, groups=groups)
        if stride == 1:
            return relu(layers.Add()([x, y]))
        short = layers.AveragePooling2D(3, 2, padding="same")(x)
        return layers.Concatenate()([short, relu(y)])

    x = Input((32, 32, 3))
    y = layers.MaxPooling2D(3, 2, padding="same")(conv(x, 8, 3, relu, strides=2))
    y = unit(unit(y, 32, 2, first=1), 32, 1)
    y = unit(unit(y, 64, 2), 64, 1)
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(grouped_pointwise=1)
def shuffle_by_operations() -> Model:
    """`ops.reshape` and `ops.transpose`, channels first."""
    first: dict[str, Any] = {"data_format": "channels_first"}
    x = Input((16, 8, 8))
    y = layers.Conv2D(16, 1, groups=2, activation="relu", **first)(x)
    y = ops.reshape(y, (-1, 2, 8, 8, 8))
    y = ops.reshape(ops.transpose(y, (0, 2, 1, 3, 4)), (-1, 16, 8, 8))
    y = layers.DepthwiseConv2D(3, padding="same", **first)(y)
    y = layers.Conv2D(16, 1, groups=2, **first)(y)
    return Model(x, ops.relu(x + y))


@style(depthwise_separable=4)
def shufflenet_v2() -> Model:
    """arXiv:1807.11164, figure 3(c) and (d): the 1×1s are not grouped, so the shuffles stand alone;
    the depthwise is linear and its 1×1 activated. A strided unit has one such pair a branch."""
    relu = layers.ReLU()

    def branch(x: Tensor, width: int, stride: int) -> Tensor:
        return conv(depthwise(conv(x, width, 1, relu), 3, None, stride), width, 1, relu)

    def down(x: Tensor, width: int) -> Tensor:
        left = conv(depthwise(x, 3, None, 2), width, 1, relu)
        return shuffle(layers.Concatenate()([left, branch(x, width, 2)]), 2)

    def unit(x: Tensor) -> Tensor:
        half = x.shape[-1] // 2
        left, right = x[..., :half], x[..., half:]
        return shuffle(layers.Concatenate()([left, branch(right, half, 1)]), 2)

    x = Input((32, 32, 3))
    y = unit(unit(down(conv(x, 8, 3, relu, strides=2), 16)))
    return Model(x, classifier(y, 32, relu))


@style(depthwise_separable=6)
def xception_small() -> Model:
    """arXiv:1610.02357, figure 5: activated before each, additions around, strided 1×1 beside."""
    x = Input((32, 32, 3))
    y = conv(conv(x, 8, 3, ops.relu, strides=2), 16, 3, ops.relu)
    for width in (24, 32):
        short = bn(layers.Conv2D(width, 1, strides=2, padding="same")(y))
        for _ in range(2):
            y = layers.SeparableConv2D(width, 3, padding="same", use_bias=False)(ops.relu(y))
            y = bn(y)
        y = layers.Add()([layers.MaxPooling2D(3, 2, padding="same")(y), short])
    z = y
    for _ in range(2):
        z = bn(layers.SeparableConv2D(32, 3, padding="same", use_bias=False)(ops.relu(z)))
    y = layers.Add()([z, y])
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(depthwise_separable=1)
def eegnet() -> Model:
    """arXiv:1611.08024, table 2: the first depthwise ends in a pooling, the second is separable."""
    return Sequential(
        [
            Input((8, 64, 1)),
            layers.Conv2D(4, (1, 32), padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D((8, 1), depth_multiplier=2, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("elu"),
            layers.AveragePooling2D((1, 4)),
            layers.Dropout(0.5),
            layers.SeparableConv2D(8, (1, 16), padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("elu"),
            layers.AveragePooling2D((1, 8)),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )


@style(convnext=4)
def convnext_of_dense() -> Model:
    """arXiv:2201.03545 as its authors' code: LayerNorm, two Dense, a scale per channel."""
    x = Input((32, 32, 3))
    y = layers.LayerNormalization()(layers.Conv2D(8, 4, strides=4)(x))
    for stage in range(2):
        if stage:
            y = layers.Conv2D(16, 2, strides=2)(layers.LayerNormalization()(y))
        for _ in range(2):
            z = layers.LayerNormalization()(layers.DepthwiseConv2D(7, padding="same")(y))
            z = layers.Dense(4 * y.shape[-1], activation="gelu")(z)
            z = layers.Dense(y.shape[-1])(z) * np.full(y.shape[-1], 1e-6, "float32")
            y = layers.Add()([y, layers.Dropout(0.1, noise_shape=(None, 1, 1, 1))(z)])
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(convnext=2)
def convnext_of_convolutions() -> Model:
    y = x = Input((16, 16, 8))
    for _ in range(2):
        z = layers.Conv2D(8, 7, padding="same", groups=8)(y)
        z = layers.Conv2D(32, 1)(layers.LayerNormalization(epsilon=1e-6)(z))
        z = layers.Conv2D(8, 1)(layers.Activation("gelu")(z))
        y = y + 0.1 * z
    return Model(x, y)


@style(convnext=2)
def convnext_channels_first() -> Model:
    """The norm and the Dense work on the last axis, between two permutations."""
    y = x = Input((8, 16, 16))
    for _ in range(2):
        z = layers.DepthwiseConv2D(7, padding="same", data_format="channels_first")(y)
        z = layers.LayerNormalization()(layers.Permute((2, 3, 1))(z))
        z = layers.Dense(8)(layers.Dense(32, activation="gelu")(z))
        y = layers.Add()([y, layers.Permute((3, 1, 2))(z)])
    return Model(x, y)


@style()
def convmixer() -> Model:
    """arXiv:2201.09792, figure 2: an addition stands between each depthwise and its 1×1."""
    x = Input((32, 32, 3))
    y = bn(layers.Conv2D(8, 4, strides=4, activation="gelu")(x))
    for _ in range(2):
        z = bn(layers.DepthwiseConv2D(5, padding="same", activation="gelu")(y))
        y = bn(layers.Conv2D(8, 1, activation="gelu")(layers.Add()([z, y])))
    return Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(y)))


@style(depthwise_separable=1)
def depthwise_in_a_bottleneck() -> Model:
    """A 1×1 that reduces before an activated depthwise: neither wide inside nor a full k×k."""
    x = Input((16, 16, 16))
    y = layers.ReLU()(layers.Conv2D(8, 1)(x))
    y = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same")(y))
    return Model(x, layers.ReLU()(layers.Add()([x, layers.Conv2D(16, 1)(y)])))


@style(inverted_residual=1)
def activated_after_the_addition() -> Model:
    """The projection is linear up to the addition; a ReLU follows that."""
    x = Input((16, 16, 16))
    y = conv(depthwise(conv(x, 16, 1, relu6), 3, relu6), 16, 1)
    return Model(x, layers.ReLU()(layers.Add()([y, x])))


@style(depthwise_separable=1)
def sandglass() -> Model:
    """MobileNeXt (arXiv:2007.02269, figure 3(c)): activated depthwise, linear 1×1 that reduces,
    activated 1×1 that expands, linear depthwise. The first two are a separable convolution: no
    inverted residual follows; the last depthwise ends in the addition."""
    x = Input((16, 16, 16))
    y = conv(depthwise(x, 3, relu6), 4, 1)
    y = depthwise(conv(y, 16, 1, relu6), 3, None)
    return Model(x, conv(layers.Add()([x, y]), 8, 3))


@style(inverted_residual=2, depthwise_separable=4)
def ssdlite() -> Model:
    """arXiv:1801.04381, section 6.2: heads of an activated depthwise and a linear 1×1, which leaves
    the network and so is no inverted residual."""
    x = Input((32, 32, 3))
    y = mbconv(conv(x, 8, 3, relu6, strides=2), 12, 6, 3, 2, relu6)
    z = mbconv(y, 16, 6, 3, 2, relu6)
    outputs = []
    for size in (4, 3):
        parts = []
        for level in (y, z):
            score = layers.Conv2D(2 * size, 1)(depthwise(level, 3, relu6))
            parts.append(layers.Reshape((-1, size))(score))
        outputs.append(layers.Concatenate(axis=1)(parts))
    return Model(x, [outputs[0], layers.Softmax()(outputs[1])])


@style(depthwise_separable=6)
def separable_heads_of_two_levels() -> Model:
    """EfficientDet's: separable convolutions with shared kernels, called on each level."""
    fine, coarse = Input((16, 16, 8)), Input((8, 8, 8))
    tower = [layers.SeparableConv2D(8, 3, padding="same") for _ in range(2)]
    last = layers.SeparableConv2D(12, 3, padding="same", activation="sigmoid")
    outputs = []
    for y in (fine, coarse):
        for layer in tower:
            y = layers.Activation("swish")(layers.BatchNormalization()(layer(y)))
        outputs.append(last(y))
    return Model([fine, coarse], outputs)


@style(depthwise_separable=2)
def residual_of_separables() -> Model:
    """Two separable convolutions, activated inside, with an addition around both: the second one's
    depthwise reads the first one's 1×1, which mixes and expands nothing."""
    x = y = Input((16, 16, 8))
    y = conv(depthwise(y, 3, relu6), 8, 1, relu6)
    y = conv(depthwise(y, 3, relu6), 8, 1, None)
    return Model(x, conv(layers.Add()([x, y]), 8, 3))
