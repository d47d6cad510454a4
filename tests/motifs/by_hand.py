"""Plain blocks written in Keras by hand, and what counters other than the engine say of them.

Nothing here reads a block that the engine found: widths, strides and biases are arguments. A
block ends where the next contraction, merge or pool begins, and keeps what trims its last output.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import keras
from keras import layers

import costlens
from costlens.study import Study
from tests.oracles.traced import build_abstractly, traced_macs

#: Layers that write nothing: they pass on the memory that they read.
VIEWS = ("InputLayer", "Reshape", "Flatten", "Dropout", "Identity")


@dataclass(frozen=True)
class Counted:
    """A model in Keras's parameters, the traced graph's MACs, the bytes that its layers write,
    and the figures that costlens has for the model itself."""

    params: int
    macs: int
    written: int
    study: Study

    @property
    def figures(self) -> dict[str, int]:
        """What costlens says of the model, its inputs aside."""
        totals = self.study.totals
        inputs = sum(r.activation_bytes for r in self.study.layers if r.type == "InputLayer")
        return {
            "weight_bytes": totals.weight_bytes,
            "macs_valid": totals.macs_valid,
            "flops": totals.flops,
            "activation_bytes": totals.activation_bytes - inputs,
            "bytes_moved": totals.bytes_moved,
        }


def count(build: Callable[..., keras.Model], *args: Any, **options: Any) -> Counted:
    """Build a model without its weights and count it."""
    model = build_abstractly(build, *args, **options)
    written = sum(
        4 * sum(prod(out.shape[1:]) for out in keras.tree.flatten(layer.output))
        for layer in model.layers
        if type(layer).__name__ not in VIEWS
    )
    return Counted(model.count_params(), traced_macs(model).macs, written, costlens.analyze(model))


@dataclass(frozen=True)
class Plain:
    """A plain form: the builder with its arguments, and its non-linearities, counted by eye."""

    depth: int
    build: Callable[..., keras.Model]
    args: tuple[Any, ...]

    @property
    def counted(self) -> Counted:
        return _counted(self.build, self.args)


@cache
def _counted(build: Callable[..., keras.Model], args: tuple[Any, ...]) -> Counted:
    return count(build, *args)


def plain(depth: int, build: Callable[..., keras.Model], *args: Any) -> Plain:
    """A plain form that is counted once, however many blocks have it."""
    return Plain(depth, build, args)


def square(side: int, channels: int) -> Any:
    return keras.Input((side, side, channels))


def conv_bn(x: Any, filters: int, kernel: int, stride: int = 1, bias: bool = False) -> Any:
    conv = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=bias)
    return layers.BatchNormalization()(conv(x))


def gated(x: Any, width: int) -> Any:
    """Squeeze-and-excitation by dense layers without biases."""
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Dense(width, activation="relu", use_bias=False)(squeezed)
    gate = layers.Dense(x.shape[-1], activation="sigmoid", use_bias=False)(gate)
    return layers.Multiply()([x, gate])


def nothing(side: int, channels: int) -> keras.Model:
    """A map as it is."""
    x = square(side, channels)
    return keras.Model(x, x)


def residual(
    convs: int,
    side: int,
    cin: int,
    cout: int,
    stride: int,
    bias: bool = False,
    project: bool = False,
    gate: int = 0,
) -> keras.Model:
    """One or two 3×3 of full width, each with its norm, a ReLU between them, and the shortcut.

    With two it is the basic block of ResNet-18 (arXiv:1512.03385, figure 5, left).
    """
    x = square(side, cin)
    y = conv_bn(x, cout, 3, stride, bias)
    for _ in range(convs - 1):
        y = conv_bn(layers.ReLU()(y), cout, 3, 1, bias)
    if gate:
        y = gated(y, gate)
    shortcut = conv_bn(x, cout, 1, stride, bias) if project else x
    return keras.Model(x, layers.ReLU()(layers.Add()([shortcut, y])))


def bottleneck(
    width: int,
    side: int,
    cin: int,
    cout: int,
    stride: int,
    bias: bool = False,
    project: bool = False,
    groups: int = 1,
) -> keras.Model:
    """1×1, 3×3, 1×1 at an inner width, stride in the first (figure 5, right)."""
    x = square(side, cin)
    y = layers.ReLU()(conv_bn(x, width, 1, stride, bias))
    spatial = layers.Conv2D(width, 3, padding="same", use_bias=bias, groups=groups)
    y = layers.ReLU()(layers.BatchNormalization()(spatial(y)))
    y = conv_bn(y, cout, 1, 1, bias)
    shortcut = conv_bn(x, cout, 1, stride, bias) if project else x
    return keras.Model(x, layers.ReLU()(layers.Add()([shortcut, y])))


def naive_inception(side: int, cin: int, one: int, three: int, five: int, pool: int) -> keras.Model:
    """The naive module (arXiv:1409.4842, figure 2a) with (b)'s projection behind the pool."""
    x = square(side, cin)
    branches = [
        layers.Conv2D(filters, kernel, padding="same", activation="relu")(x)
        for filters, kernel in ((one, 1), (three, 3), (five, 5))
    ]
    pooled = layers.MaxPooling2D(3, strides=1, padding="same")(x)
    branches.append(layers.Conv2D(pool, 1, activation="relu")(pooled))
    return keras.Model(x, layers.Concatenate()(branches))


def conv_bn_relu(side: int, cin: int, cout: int, stride: int) -> keras.Model:
    """A plain 3×3 with its norm and ReLU."""
    x = square(side, cin)
    return keras.Model(x, layers.ReLU()(conv_bn(x, cout, 3, stride)))


def conv_relu(
    side: int, cin: int, cout: int, kernel: int, stride: int = 1, after: int = 0
) -> keras.Model:
    """A convolution with its bias and ReLU; ``after`` more ReLUs as layers of their own."""
    x = square(side, cin)
    conv = layers.Conv2D(cout, kernel, strides=stride, padding="same", activation="relu")
    y = conv(x)
    for _ in range(after):
        y = layers.ReLU()(y)
    return keras.Model(x, y)


def conv(
    side: int, cin: int, cout: int, kernel: int, stride: int = 1, bias: bool = True
) -> keras.Model:
    """A convolution alone."""
    x = square(side, cin)
    made = layers.Conv2D(cout, kernel, strides=stride, padding="same", use_bias=bias)(x)
    return keras.Model(x, made)


def stack(side: int, cin: int, widths: tuple[int, ...], kernels: tuple[int, ...]) -> keras.Model:
    """Convolutions in a row, each with its bias and ReLU."""
    x = y = square(side, cin)
    for width, kernel in zip(widths, kernels, strict=True):
        y = layers.Conv2D(width, kernel, padding="same", activation="relu")(y)
    return keras.Model(x, y)


def nin_head(
    side: int, cin: int, widths: tuple[int, ...], kernels: tuple[int, ...], pooled: bool
) -> keras.Model:
    """A stack, then the scores: an average over the map, or flatten and a dense layer."""
    body = stack(side, cin, widths, kernels)
    y = body.output
    if pooled:
        y = layers.GlobalAveragePooling2D()(y)
    else:
        y = layers.Dense(widths[-1])(layers.Flatten()(y))
    return keras.Model(body.input, layers.Softmax()(y))


def pyramid(
    sides: tuple[int, ...], channels: tuple[int, ...], width: int, lateral: int
) -> keras.Model:
    """A feature pyramid, coarsest first, with laterals of this kernel; 0: 3×3s on the maps."""
    inputs = [square(side, cin) for side, cin in zip(sides, channels, strict=True)]
    outputs, top = [], None
    for x in inputs:
        level = x
        if lateral:
            level = layers.Conv2D(width, lateral, padding="same")(x)
            if top is not None:
                level = layers.Add()([level, layers.UpSampling2D(2)(top)])
        top = level
        outputs.append(layers.Conv2D(width, 3, padding="same")(level))
    return keras.Model(inputs, outputs)


def inverted_widened(
    side: int, cin: int, width: int, cout: int, stride: int, kernel: int = 3, expand: bool = True
) -> keras.Model:
    """An inverted residual whose depthwise convolution is a full one."""
    x = y = square(side, cin)
    if expand:
        y = layers.ReLU(6.0)(conv_bn(x, width, 1))
    y = layers.ReLU(6.0)(conv_bn(y, width, kernel, stride))
    y = conv_bn(y, cout, 1)
    if stride == 1 and cin == cout:
        y = layers.Add()([x, y])
    return keras.Model(x, y)


def inverted_fused(
    side: int, cin: int, width: int, cout: int, stride: int, kernel: int = 3, last: int = 1
) -> keras.Model:
    """One full convolution that expands, and a linear one back, of the kernel ``last``."""
    x = square(side, cin)
    y = layers.ReLU(6.0)(conv_bn(x, width, kernel, stride))
    y = conv_bn(y, cout, last)
    if stride == 1 and cin == cout:
        y = layers.Add()([x, y])
    return keras.Model(x, y)


def inverted_residual(
    side: int, cin: int, width: int, cout: int, stride: int, kernel: int = 3
) -> keras.Model:
    """MobileNetV2's block (arXiv:1801.04381, figure 4d)."""
    x = square(side, cin)
    y = layers.ReLU(6.0)(conv_bn(x, width, 1))
    y = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=False)(y)
    y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
    y = conv_bn(y, cout, 1)
    if stride == 1 and cin == cout:
        y = layers.Add()([x, y])
    return keras.Model(x, y)


def linear(side: int, cin: int, cout: int, stride: int, kernel: int = 3) -> keras.Model:
    """One convolution with its norm, linear, and an identity around it where one fits."""
    x = square(side, cin)
    y = conv_bn(x, cout, kernel, stride)
    if stride == 1 and cin == cout:
        y = layers.Add()([x, y])
    return keras.Model(x, y)


def convnext_full(side: int, channels: int, width: int, kernel: int) -> keras.Model:
    """ConvNeXt's block with a full convolution in place of the depthwise one."""
    x = square(side, channels)
    y = layers.Conv2D(channels, kernel, padding="same")(x)
    y = layers.LayerNormalization(epsilon=1e-6)(y)
    y = layers.Conv2D(width, 1, activation="gelu")(y)
    y = layers.Conv2D(channels, 1)(y)
    return keras.Model(x, layers.Add()([x, y]))


def conv_added(side: int, channels: int, kernel: int) -> keras.Model:
    """One convolution and its input added."""
    x = square(side, channels)
    y = layers.Conv2D(channels, kernel, padding="same")(x)
    return keras.Model(x, layers.Add()([x, y]))


def transition(side: int, cin: int, cout: int, kernel: int) -> keras.Model:
    """A convolution without bias, and an average pooling of 2."""
    x = square(side, cin)
    y = layers.Conv2D(cout, kernel, padding="same", use_bias=False)(x)
    return keras.Model(x, layers.AveragePooling2D(2)(y))


def token_mlp(tokens: int, channels: int, widths: tuple[int, ...], taps: int) -> keras.Model:
    """Convolutions over tokens, GELU between them, and what the block is added to."""
    x, around = keras.Input((tokens, channels)), keras.Input((tokens, channels))
    y = x
    for width in widths:
        y = layers.Conv1D(width, taps, padding="same", activation="gelu")(y)
    y = layers.Conv1D(channels, taps, padding="same")(y)
    return keras.Model([x, around], layers.Add()([around, y]))


def token_projections(
    tokens: int, channels: int, inner: int, taps: int, bias: bool = True, turned: bool = False
) -> keras.Model:
    """Queries, keys and values from one sequence, an output from another: four convolutions.

    With ``turned`` the keys leave with their axes exchanged.
    """
    x, context = keras.Input((tokens, channels)), keras.Input((tokens, inner))
    made = [layers.Conv1D(inner, taps, padding="same", use_bias=bias)(x) for _ in range(3)]
    if turned:
        made[1] = layers.Permute((2, 1))(made[1])
    made.append(layers.Conv1D(channels, taps, padding="same", use_bias=bias)(context))
    return keras.Model([x, context], made)


def shuffled(side: int, channels: int, width: int, groups: int, shuffle: int) -> keras.Model:
    """ShuffleNet's unit (arXiv:1707.01083, figure 2b) before its addition."""
    x = square(side, channels)
    y = layers.Conv2D(width, 1, groups=groups, use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Reshape((side, side, shuffle, width // shuffle))(y)
    y = layers.Permute((1, 2, 4, 3))(y)
    y = layers.Reshape((side, side, width))(y)
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization()(y)
    y = layers.Conv2D(channels, 1, groups=groups, use_bias=False)(y)
    return keras.Model(x, layers.BatchNormalization()(y))


def scores(side: int, cin: int, classes: int, pooled: bool) -> keras.Model:
    """Class scores of a map: averaged or flattened, a dense layer, a softmax."""
    x = square(side, cin)
    y = layers.GlobalAveragePooling2D()(x) if pooled else layers.Flatten()(x)
    return keras.Model(x, layers.Dense(classes, activation="softmax")(y))
