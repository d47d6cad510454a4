"""Pyramids and heads: what detectors put on a backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style

Up = Callable[[Tensor], Tensor]


def conv(x: Tensor, filters: int, kernel: int, strides: int = 1, **options: Any) -> Tensor:
    options = {"padding": "same", "activation": "relu", **options}
    return layers.Conv2D(filters, kernel, strides=strides, **options)(x)


def backbone(size: int = 64, **options: Any) -> tuple[Tensor, list[Tensor]]:
    """An input and maps of stride 4, 8 and 16, made by 3×3s alone."""
    first = options.get("data_format") == "channels_first"
    x = Input((3, size, size) if first else (size, size, 3))
    y, maps = conv(x, 4, 3, 2, **options), []
    for width in (8, 12, 16):
        y = conv(conv(y, width, 3, 2, **options), width, 3, **options)
        maps.append(y)
    return x, maps


def pyramid(maps: list[Tensor], up: Up, smooth: bool = True, **options: Any) -> list[Tensor]:
    """Lateral 1×1s, coarse to fine by addition, a 3×3 on each sum; the finest first."""
    options["activation"] = None
    merged: list[Tensor] = []
    for level in reversed(maps):
        y = conv(level, 8, 1, **options)
        merged.append(layers.Add()([up(merged[-1]), y]) if merged else y)
    return [conv(y, 8, 3, **options) if smooth else y for y in reversed(merged)]


@style(fpn=1)
def fpn() -> Model:
    x, maps = backbone()
    return Model(x, pyramid(maps, layers.UpSampling2D()))


@style(fpn=1)
def fpn_resized() -> Model:
    """`ops.image.resize`, and `+`; norms and activations on laterals and outputs."""
    x, maps = backbone()
    merged = None
    outputs = []
    for level in maps[::-1]:
        y = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False)(level))
        y = ops.relu(y)
        if merged is not None:
            y = y + ops.image.resize(merged, y.shape[1:3], interpolation="bilinear")
        merged = y
        y = layers.Conv2D(8, 3, padding="same", use_bias=False)(y)
        outputs.append(layers.ReLU()(layers.BatchNormalization()(y)))
    return Model(x, outputs)


@style(fpn=1)
def fpn_repeated() -> Model:
    """Upsampling by repeating rows and columns; Dense for the laterals."""
    x, maps = backbone()

    def up(y: Tensor) -> Tensor:
        return ops.repeat(ops.repeat(y, 2, axis=1), 2, axis=2)

    y = layers.Dense(8)(maps[2])
    outputs = [conv(y, 8, 3)]
    for level in (maps[1], maps[0]):
        y = layers.Dense(8)(level) + up(y)
        outputs.append(conv(y, 8, 3))
    return Model(x, outputs)


@style(fpn=1)
def fpn_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first"}
    x, maps = backbone(**first)
    return Model(x, pyramid(maps, layers.UpSampling2D(**first), **first))


@style()
def fpn_without_smoothing() -> Model:
    """Laterals and additions, and nothing that smooths: a near miss."""
    x, maps = backbone()
    return Model(x, pyramid(maps, layers.UpSampling2D(), smooth=False))


@style(fpn=1)
def retinanet() -> Model:
    """arXiv:1708.02002: P6 and P7 are strided 3×3s; the heads are 3×3s, shared by all levels."""
    x, maps = backbone(128)
    levels = pyramid(maps, layers.UpSampling2D(interpolation="nearest"))
    levels.append(conv(maps[-1], 8, 3, 2, activation=None))
    levels.append(conv(layers.ReLU()(levels[-1]), 8, 3, 2, activation=None))

    def head(outputs: int) -> Model:
        inputs = Input((None, None, 8))
        y = conv(conv(inputs, 8, 3), 8, 3)
        return Model(inputs, conv(y, outputs, 3, activation=None))

    outputs = []
    for model, size in ((head(9 * 4), 4), (head(9 * 5), 5)):
        parts = [layers.Reshape((-1, size))(model(level)) for level in levels]
        outputs.append(layers.Concatenate(axis=1)(parts))
    return Model(x, outputs)


@style(fpn=1)
def panet() -> Model:
    """arXiv:1803.01534, figure 1(a) and (b): a pyramid, and a path back down by strided 3×3s."""
    x, maps = backbone()
    p3, p4, p5 = pyramid(maps, layers.UpSampling2D())
    n4 = conv(layers.Add()([conv(p3, 8, 3, 2), p4]), 8, 3)
    n5 = conv(layers.Add()([conv(n4, 8, 3, 2), p5]), 8, 3)
    return Model(x, [p3, n4, n5])


@style(depthwise_separable=4)
def bifpn() -> Model:
    """arXiv:1911.09070, figure 3(d) and section 3: one layer on three levels, weighted sums. A
    separable 3×3 smooths its sums, so it is no FPN, whose k×ks mix channels."""

    def smooth(y: Tensor) -> Tensor:
        y = layers.SeparableConv2D(8, 3, padding="same")(layers.Activation("swish")(y))
        return layers.BatchNormalization()(y)

    x, maps = backbone()
    l3, l4, l5 = (layers.BatchNormalization()(conv(m, 8, 1, activation=None)) for m in maps)
    up, down = layers.UpSampling2D(), layers.MaxPooling2D(3, 2, padding="same")
    t4 = smooth(0.5 * l4 + 0.5 * up(l5))
    o3 = smooth(0.5 * l3 + 0.5 * up(t4))
    o4 = smooth(0.4 * l4 + 0.3 * t4 + 0.3 * down(o3))
    o5 = smooth(0.5 * l5 + 0.5 * down(o4))
    return Model(x, [o3, o4, o5])


@style()
def yolo_v3() -> Model:
    """arXiv:1804.02767, table 1: residual pairs of 1×1 and 3×3 have no 1×1 behind; the neck takes
    turns of both and concatenates; the heads are a 3×3 and a linear 1×1 that leaves the model."""

    def unit(y: Tensor, filters: int, kernel: int, strides: int = 1) -> Tensor:
        y = layers.Conv2D(filters, kernel, strides, padding="same", use_bias=False)(y)
        return layers.LeakyReLU(negative_slope=0.1)(layers.BatchNormalization()(y))

    def turns(y: Tensor, width: int) -> Tensor:
        y = unit(unit(unit(y, width, 1), 2 * width, 3), width, 1)
        return unit(unit(y, 2 * width, 3), width, 1)

    def output(y: Tensor, width: int) -> Tensor:
        y = layers.Conv2D(3 * 7, 1)(unit(y, 2 * width, 3))
        return layers.Reshape((y.shape[1], y.shape[2], 3, 7))(y)

    x = Input((64, 64, 3))
    y, maps = unit(x, 4, 3), []
    for width in (8, 16, 24):
        y = unit(y, width, 3, 2)
        for _ in range(2):
            y = layers.Add()([y, unit(unit(y, width // 2, 1), width, 3)])
        maps.append(y)
    coarse = turns(maps[2], 12)
    y = layers.UpSampling2D()(unit(coarse, 8, 1))
    fine = turns(layers.Concatenate()([y, maps[1]]), 8)
    return Model(x, [output(coarse, 12), output(fine, 8)])


@style()
def centernet() -> Model:
    """arXiv:1904.07850, section 5: transposed convolutions, and heads of an activated 3×3 and a
    1×1, of which the heat map is squashed and the others are not."""
    x, maps = backbone()
    y = maps[-1]
    for width in (12, 8):
        y = layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
    heads = [layers.Conv2D(n, 1)(conv(y, 32, 3)) for n in (5, 2, 2)]
    return Model(x, [layers.Activation("sigmoid")(heads[0]), *heads[1:]])


@style()
def ssd() -> Model:
    """arXiv:1512.02325, figure 2: extra layers of a 1×1 and a strided 3×3; heads of 3×3s."""
    x, maps = backbone()
    y = maps[-1]
    for _ in range(2):
        y = conv(conv(y, 8, 1), 16, 3, 2)
        maps.append(y)
    boxes = [layers.Reshape((-1, 4))(conv(m, 16, 3, activation=None)) for m in maps]
    return Model(x, layers.Concatenate(axis=1)(boxes))


@style(bottleneck=9)
def hourglass() -> Model:
    """arXiv:1603.06937, figures 3 and 4: pre-activated bottlenecks on the way down, beside it and
    up again, joined by additions of upsampled maps. A 1×1 makes the heat maps and two lead on."""

    def residual(y: Tensor, width: int = 16) -> Tensor:
        z = layers.Conv2D(width // 2, 1)(ops.relu(layers.BatchNormalization()(y)))
        z = ops.relu(layers.BatchNormalization()(z))
        z = layers.Conv2D(width // 2, 3, padding="same")(z)
        z = layers.Conv2D(width, 1)(ops.relu(layers.BatchNormalization()(z)))
        return (y if y.shape[-1] == width else layers.Conv2D(width, 1)(y)) + z

    def glass(y: Tensor, depth: int) -> Tensor:
        beside = residual(y)
        low = residual(layers.MaxPooling2D()(y))
        low = glass(low, depth - 1) if depth > 1 else residual(low)
        return beside + layers.UpSampling2D()(residual(low))

    x = Input((64, 64, 3))
    y = residual(conv(x, 8, 7, 2))
    z = conv(residual(glass(y, 2)), 16, 1)
    heat = layers.Conv2D(5, 1)(z)
    y = y + layers.Conv2D(16, 1)(z) + layers.Conv2D(16, 1)(heat)
    return Model(x, [heat, layers.Conv2D(5, 3, padding="same")(y)])


@style()
def hrnet_fusion() -> Model:
    """arXiv:1908.07919, figure 3: the coarse map has a 1×1 before it is enlarged and added, the
    fine one none, and goes down by a strided 3×3."""
    x, maps = backbone()
    fine, coarse = maps[0], maps[1]
    up = layers.UpSampling2D()(layers.BatchNormalization()(layers.Conv2D(8, 1)(coarse)))
    down = layers.BatchNormalization()(conv(fine, 12, 3, 2, activation=None))
    fine, coarse = layers.ReLU()(fine + up), layers.ReLU()(coarse + down)
    return Model(x, [conv(fine, 8, 3), conv(coarse, 12, 3)])


@style()
def lraspp() -> Model:
    """arXiv:1905.02244, figure 10: the gate is one 1×1 and scales another 1×1's output; two score
    maps are added, and nothing smooths them."""
    x, maps = backbone()
    gate = layers.GlobalAveragePooling2D(keepdims=True)(maps[2])
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    y = layers.Multiply()([conv(maps[2], 8, 1), gate])
    y = layers.Conv2D(5, 1)(layers.UpSampling2D(interpolation="bilinear")(y))
    return Model(x, layers.Add()([y, layers.Conv2D(5, 1)(maps[1])]))


@style()
def linknet() -> Model:
    """arXiv:1707.03718, figure 2: 1×1, transposed 3×3, 1×1, added to the encoder's map: the
    addition goes around a whole encoder stage as well, and no lateral is a 1×1."""
    x, maps = backbone()
    y = maps[-1]
    for skip in maps[-2::-1]:
        y = conv(y, y.shape[-1] // 4, 1)
        y = layers.Conv2DTranspose(y.shape[-1], 3, strides=2, padding="same", activation="relu")(y)
        y = layers.Add()([conv(y, skip.shape[-1], 1), skip])
    return Model(x, layers.Conv2DTranspose(5, 2, strides=2)(y))


@style()
def fcn() -> Model:
    """arXiv:1411.4038, figure 3: 1×1 scores of three maps, enlarged by transposed convolutions and
    added: no k×k smooths a sum before it is enlarged or leaves."""
    x, maps = backbone()
    y = None
    for level in maps[::-1]:
        score = layers.Conv2D(5, 1)(level)
        y = score if y is None else layers.Add()([score, y])
        y = layers.UpSampling2D(interpolation="bilinear")(y)
    return Model(x, keras.layers.Softmax()(layers.UpSampling2D(2)(y)))


@style()
def siamese_tracker() -> Model:
    """One Sequential backbone on two inputs; a difference, a 1×1 and a score."""
    body = Sequential(
        [
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(16, 3, activation="relu"),
        ]
    )
    left, right = Input((32, 32, 3)), Input((32, 32, 3))
    y = ops.abs(body(left) - body(right))
    return Model([left, right], layers.Conv2D(1, 1, activation="sigmoid")(y))


@style(fpn=1)
def fpn_on_a_nested_backbone() -> Model:
    """The backbone is a model with three outputs, the pyramid another one with three inputs."""
    inputs, maps = backbone()
    body = Model(inputs, maps)
    neck_inputs = [Input(m.shape[1:]) for m in maps]
    neck = Model(neck_inputs, pyramid(neck_inputs, layers.UpSampling2D()))
    x = Input((64, 64, 3))
    return Model(x, neck(body(x)))
