"""Modules of parallel branches: Inception's kinds, and what only looks like them."""

from __future__ import annotations

from typing import Any

import keras
from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style


def conv(x: Tensor, filters: int, kernel: Any, strides: int = 1, act: str | None = "relu") -> Any:
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(scale=False)(x)
    return layers.Activation(act)(x) if act else x


def v1(x: Tensor, *widths: int) -> Tensor:
    """arXiv:1409.4842, figure 2(b)."""
    one, reduce3, three, reduce5, five, pool = widths
    return layers.Concatenate()(
        [
            conv(x, one, 1),
            conv(conv(x, reduce3, 1), three, 3),
            conv(conv(x, reduce5, 1), five, 5),
            conv(layers.MaxPooling2D(3, 1, padding="same")(x), pool, 1),
        ]
    )


def head(x: Tensor) -> Tensor:
    return layers.Dense(10, activation="softmax")(layers.GlobalAveragePooling2D()(x))


@style(inception=3)
def googlenet_with_its_auxiliary_head() -> Model:
    """The auxiliary head pools, has one 1×1 and flattens (arXiv:1409.4842, section 5)."""
    x = Input((64, 64, 3))
    y = layers.MaxPooling2D(3, 2, padding="same")(conv(x, 8, 7, 2))
    y = layers.MaxPooling2D(3, 2, padding="same")(conv(conv(y, 8, 1), 16, 3))
    y = v1(y, 8, 12, 16, 2, 4, 4)
    y = v1(y, 8, 8, 12, 2, 4, 8)
    a = conv(layers.AveragePooling2D(5, 3)(y), 16, 1)
    a = layers.Dense(32, activation="relu")(layers.Flatten()(a))
    a = layers.Dense(10, activation="softmax")(layers.Dropout(0.7)(a))
    y = v1(layers.MaxPooling2D(3, 2, padding="same")(y), 8, 12, 16, 2, 4, 4)
    return Model(x, [head(y), a])


@style()
def naive_module() -> Model:
    """arXiv:1409.4842, figure 2(a): nothing is reduced before the 3×3 and 5×5."""
    x = Input((16, 16, 16))
    pool = layers.MaxPooling2D(3, 1, padding="same")(x)
    return Model(x, layers.concatenate([conv(x, 8, 1), conv(x, 8, 3), conv(x, 4, 5), pool]))


@style(inception=2)
def modules_of_sequentials() -> Model:
    """Every branch a Sequential, biases, activations as arguments, a Dense for a 1×1."""
    options: dict[str, Any] = {"padding": "same", "activation": "relu"}
    y = x = Input((16, 16, 12))
    for _ in range(2):
        branches = [
            Sequential([layers.Dense(4, activation="relu")]),
            Sequential([layers.Conv2D(4, 1, **options), layers.Conv2D(8, 3, **options)]),
            Sequential([layers.Conv2D(2, 1, **options), layers.Conv2D(4, 5, **options)]),
            Sequential([layers.AveragePooling2D(3, 1, "same"), layers.Conv2D(4, 1, **options)]),
        ]
        y = layers.Concatenate()([branch(y) for branch in branches])
    return Model(x, y)


@style(inception=5)
def inception_v3_kinds() -> Model:
    """arXiv:1512.00567, figures 5, 10, 6, 7 and a grid reduction: inner concatenations belong to
    their module."""
    x = Input((32, 32, 16))

    def pooled(y: Tensor) -> Tensor:
        return conv(layers.AveragePooling2D(3, 1, padding="same")(y), 8, 1)

    y = layers.concatenate(
        [conv(x, 8, 1), conv(conv(x, 6, 1), 8, 5), conv(conv(conv(x, 8, 1), 8, 3), 8, 3), pooled(x)]
    )
    y = layers.concatenate(
        [conv(y, 16, 3, 2), conv(conv(conv(y, 8, 1), 8, 3), 8, 3, 2), layers.MaxPooling2D(2)(y)]
    )
    seven = conv(conv(conv(y, 8, 1), 8, (1, 7)), 8, (7, 1))
    double = conv(conv(conv(conv(y, 8, 1), 8, (7, 1)), 8, (1, 7)), 8, (7, 1))
    y = layers.concatenate([conv(y, 8, 1), seven, double, pooled(y)])
    y = layers.concatenate(
        [
            conv(conv(y, 8, 1), 12, 3, 2),
            conv(conv(conv(conv(y, 8, 1), 8, (1, 7)), 8, (7, 1)), 8, 3, 2),
            layers.MaxPooling2D(2)(y),
        ]
    )
    a = conv(y, 8, 1)
    a = layers.concatenate([conv(a, 8, (1, 3)), conv(a, 8, (3, 1))])
    b = conv(conv(y, 8, 1), 8, 3)
    b = layers.concatenate([conv(b, 8, (1, 3)), conv(b, 8, (3, 1))])
    y = layers.concatenate([conv(y, 8, 1), a, b, pooled(y)])
    return Model(x, head(y))


@style(inception=5)
def inception_v4() -> Model:
    """arXiv:1602.07261, figures 3 to 8. Of the stem's three joins one has 1×1s before its k×ks, as
    a module has; those of a pooling and a 3×3 have none. Then A, two reductions and C."""
    x = Input((64, 64, 3))
    y = conv(conv(x, 4, 3, 2), 8, 3)
    y = layers.concatenate([layers.MaxPooling2D(2)(y), conv(y, 8, 3, 2)])
    y = layers.concatenate(
        [
            conv(conv(y, 8, 1), 8, 3),
            conv(conv(conv(conv(y, 8, 1), 8, (7, 1)), 8, (1, 7)), 8, 3),
        ]
    )
    y = layers.concatenate([conv(y, 16, 3, 2), layers.MaxPooling2D(2)(y)])

    def pooled(z: Tensor) -> Tensor:
        return conv(layers.AveragePooling2D(3, 1, padding="same")(z), 8, 1)

    y = layers.concatenate(
        [pooled(y), conv(y, 8, 1), conv(conv(y, 4, 1), 8, 3), conv(conv(conv(y, 4, 1), 8, 3), 8, 3)]
    )
    y = layers.concatenate(
        [layers.MaxPooling2D(2)(y), conv(y, 8, 3, 2), conv(conv(conv(y, 4, 1), 6, 3), 8, 3, 2)]
    )
    y = layers.concatenate(
        [
            layers.MaxPooling2D(2)(y),
            conv(conv(y, 8, 1), 8, 3, 2),
            conv(conv(conv(conv(y, 8, 1), 8, (1, 7)), 8, (7, 1)), 8, 3, 2),
        ]
    )
    a = conv(y, 8, 1)
    b = conv(conv(conv(y, 8, 1), 8, (1, 3)), 8, (3, 1))
    y = layers.concatenate(  # flat: six outputs of one module
        [
            pooled(y),
            conv(y, 8, 1),
            conv(a, 4, (1, 3)),
            conv(a, 4, (3, 1)),
            conv(b, 4, (3, 1)),
            conv(b, 4, (1, 3)),
        ]
    )
    return Model(x, head(y))


@style(inception=4)
def inception_resnet() -> Model:
    """arXiv:1602.07261, figures 10 to 13: concatenation, linear 1×1, scaled addition, and a
    reduction. None is a bottleneck."""
    x = Input((16, 16, 16))

    def residual(y: Tensor, *branches: Tensor) -> Tensor:
        up = layers.Conv2D(y.shape[-1], 1)(layers.Concatenate()(list(branches)))
        return ops.relu(y + 0.17 * up)

    y = residual(x, conv(x, 4, 1), conv(conv(x, 4, 1), 4, 3), conv(conv(conv(x, 4, 1), 4, 3), 4, 3))
    y = layers.concatenate(
        [conv(y, 8, 3, 2), conv(conv(conv(y, 4, 1), 4, 3), 8, 3, 2), layers.MaxPooling2D(2)(y)]
    )
    y = residual(y, conv(y, 8, 1), conv(conv(conv(y, 8, 1), 8, (1, 7)), 8, (7, 1)))
    y = residual(y, conv(y, 8, 1), conv(conv(conv(y, 8, 1), 8, (1, 3)), 8, (3, 1)))
    return Model(x, head(conv(y, 64, 1)))


@style(inception=2)
def resnext_early_concatenation() -> Model:
    """arXiv:1611.05431, figure 3(b): four paths of 1×1 and 3×3, concatenated, then a linear 1×1 and
    the addition. The paper calls it Inception-ResNet's form, and it is one here too."""
    y = x = Input((8, 8, 16))
    for _ in range(2):
        z = layers.Concatenate()([conv(conv(y, 2, 1), 2, 3) for _ in range(4)])
        y = layers.ReLU()(layers.Add()([y, conv(z, 16, 1, act=None)]))
    return Model(x, y)


@style(inception=2)
def inception_channels_first() -> Model:
    first: dict[str, Any] = {"data_format": "channels_first", "padding": "same"}

    def unit(y: Tensor, filters: int, kernel: int) -> Tensor:
        y = layers.Conv2D(filters, kernel, use_bias=False, **first)(y)
        return layers.ReLU()(layers.BatchNormalization(axis=1)(y))

    y = x = Input((12, 16, 16))
    for _ in range(2):
        pool = layers.MaxPooling2D(3, 1, **first)(y)
        y = layers.Concatenate(axis=1)(
            [unit(y, 4, 1), unit(unit(y, 4, 1), 8, 3), unit(unit(y, 2, 1), 4, 5), unit(pool, 4, 1)]
        )
    return Model(x, y)


@style(inception=2)
def inception_time() -> Model:
    """arXiv:1909.04939, figure 2: one 1×1 reduces for three long kernels, beside a pooled 1×1; an
    addition around all."""
    y = x = Input((64, 8))
    for _ in range(2):
        z = layers.Conv1D(8, 1, use_bias=False)(y)
        branches = [layers.Conv1D(8, k, padding="same", use_bias=False)(z) for k in (40, 20, 10)]
        pool = layers.MaxPooling1D(3, 1, padding="same")(y)
        branches.append(layers.Conv1D(8, 1, use_bias=False)(pool))
        y = layers.ReLU()(layers.BatchNormalization()(layers.Concatenate()(branches)))
    short = layers.BatchNormalization()(layers.Conv1D(32, 1, use_bias=False)(x))
    y = layers.ReLU()(layers.Add()([short, y]))
    return Model(x, layers.Dense(2)(layers.GlobalAveragePooling1D()(y)))


def fire(x: Tensor, squeeze: int, expand: int, separate: bool = False) -> Tensor:
    """arXiv:1602.07360, figure 1."""
    if separate:
        s = layers.ReLU()(layers.Conv2D(squeeze, 1)(x))
        left = layers.ReLU()(layers.Conv2D(expand, 1)(s))
        right = layers.ReLU()(layers.Conv2D(expand, 3, padding="same")(s))
    else:
        s = layers.Conv2D(squeeze, 1, activation="relu")(x)
        left = layers.Conv2D(expand, 1, activation="relu")(s)
        right = layers.Conv2D(expand, 3, padding="same", activation="relu")(s)
    return layers.Concatenate()([left, right])


def squeezenet(bypass: str, separate: bool) -> Model:
    """Eight fire modules; section 6 and figure 2 have the bypasses."""
    x = Input((64, 64, 3))
    y = layers.MaxPooling2D(3, 2)(layers.Conv2D(8, 7, strides=2, activation="relu")(x))
    for i, expand in enumerate((8, 8, 16, 16, 24, 24, 32, 32)):
        z = fire(y, expand // 4, expand, separate)
        if z.shape[-1] == y.shape[-1] and bypass:
            z = layers.Add()([y, z])
        elif bypass == "complex":
            z = layers.Add()([layers.Conv2D(z.shape[-1], 1)(y), z])
        y = layers.MaxPooling2D(3, 2)(z) if i == 2 else z
    y = layers.Conv2D(10, 1, activation="relu")(layers.Dropout(0.5)(y))
    return Model(x, layers.Softmax()(layers.GlobalAveragePooling2D()(y)))


@style(fire=8)
def squeezenet_plain() -> Model:
    return squeezenet("", separate=True)


@style(fire=8)
def squeezenet_simple_bypass() -> Model:
    """The addition stands outside the modules."""
    return squeezenet("simple", separate=False)


@style(fire=8)
def squeezenet_complex_bypass() -> Model:
    """A linear 1×1 stands beside the modules that change the width."""
    return squeezenet("complex", separate=True)


@style(fire=2)
def fire_channels_first() -> Model:
    """The 3×3 comes first in the concatenation, activated as a whole."""
    first: dict[str, Any] = {"data_format": "channels_first", "padding": "same"}
    y = x = Input((8, 16, 16))
    for _ in range(2):
        s = layers.Conv2D(4, 1, activation="relu", **first)(y)
        pair = [layers.Conv2D(8, 3, **first)(s), layers.Conv2D(8, 1, **first)(s)]
        y = layers.ReLU()(layers.BatchNormalization(axis=1)(layers.Concatenate(axis=1)(pair)))
    return Model(x, y)


@style(mlpconv=4)
def nin_for_imagenet() -> Model:
    """The authors' Caffe model: 11×11, 5×5, 3×3, 3×3, two "cccp" 1×1s behind each."""
    x = y = Input((64, 64, 3))
    for i, (width, kernel) in enumerate(((8, 11), (16, 5), (24, 3), (32, 3))):
        y = layers.Conv2D(width, kernel, strides=1 if i else 4, padding="same")(y)
        y = layers.ReLU()(y)
        y = layers.Conv2D(width, 1, activation="relu")(y)
        y = layers.Conv2D(width if i < 3 else 10, 1, activation="relu")(y)
        if i < 3:
            y = layers.MaxPooling2D(3, 2, padding="same")(y)
    return Model(x, layers.Softmax()(layers.GlobalAveragePooling2D()(y)))


@style(mlpconv=3)
def nin_of_sequentials() -> Model:
    """Dense on the map for the 1×1s, norms, and the second pair right behind a pooling."""

    def pair(width: int) -> Sequential:
        return Sequential(
            [
                layers.Dense(width),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Dense(width),
                layers.ReLU(),
            ]
        )

    return Sequential(
        [
            Input((32, 32, 3)),
            layers.Conv2D(8, 5, padding="same", activation="relu"),
            pair(8),
            layers.MaxPooling2D(),
            pair(16),
            layers.Conv2D(16, 3, padding="same"),
            layers.LeakyReLU(),
            pair(10),
            layers.GlobalAveragePooling2D(),
        ]
    )


@style()
def vgg_c() -> Model:
    """arXiv:1409.1556, configuration C: a single 1×1 ends each of the last three stages."""
    y = x = Input((64, 64, 3))
    for width, kernels in ((4, (3, 3)), (8, (3, 3)), (16, (3, 3, 1)), (32, (3, 3, 1))):
        for kernel in kernels:
            y = layers.Conv2D(width, kernel, padding="same", activation="relu")(y)
        y = layers.MaxPooling2D()(y)
    y = layers.Flatten()(y)
    for width in (32, 32):
        y = layers.Dense(width, activation="relu")(y)
    return Model(x, layers.Dense(10, activation="softmax")(y))


@style()
def text_cnn() -> Model:
    """arXiv:1408.5882: parallel kernels of 3, 4 and 5 words, none behind a 1×1."""
    x = Input((32,), dtype="int32")
    y = layers.Embedding(100, 16)(x)
    branches = [layers.Conv1D(8, k, activation="relu")(y) for k in (3, 4, 5)]
    y = layers.Concatenate()([layers.GlobalMaxPooling1D()(b) for b in branches])
    return Model(x, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.5)(y)))


@style()
def aspp() -> Model:
    """arXiv:1706.05587, figure 5: a 1×1, three dilated 3×3 and a pooled 1×1, none behind a 1×1."""
    x = Input((32, 32, 3))
    y = conv(conv(x, 8, 3, 2), 16, 3, 2)
    branches = [conv(y, 8, 1)]
    for rate in (2, 4, 6):
        branch = layers.Conv2D(8, 3, padding="same", dilation_rate=rate, use_bias=False)(y)
        branches.append(layers.ReLU()(layers.BatchNormalization()(branch)))
    pool = conv(layers.GlobalAveragePooling2D(keepdims=True)(y), 8, 1)
    branches.append(layers.UpSampling2D(8, interpolation="bilinear")(pool))
    y = conv(layers.Concatenate()(branches), 8, 1)
    y = layers.UpSampling2D(4, interpolation="bilinear")(layers.Conv2D(5, 1)(y))
    return Model(x, y)


@style(depthwise_separable=5)
def deeplab_v3_plus() -> Model:
    """arXiv:1802.02611, figure 2: separable dilated branches, and a decoder whose skip is one 1×1;
    the other way to that join is resized. Two separable convolutions refine."""
    x = Input((32, 32, 3))
    low = conv(x, 8, 3, 2)
    y = conv(low, 16, 3, 2)
    branches = [conv(y, 8, 1)]
    for rate in (2, 3, 4):
        branch = layers.DepthwiseConv2D(3, padding="same", dilation_rate=rate)(y)
        branches.append(conv(layers.ReLU()(layers.BatchNormalization()(branch)), 8, 1))
    y = conv(layers.concatenate(branches), 8, 1)
    y = layers.UpSampling2D(2, interpolation="bilinear")(y)
    y = layers.Concatenate()([y, conv(low, 6, 1)])
    for _ in range(2):
        y = layers.SeparableConv2D(8, 3, padding="same", activation="relu")(y)
    y = layers.Conv2D(5, 1)(y)
    return Model(x, keras.ops.image.resize(y, (32, 32)))


@style()
def pspnet() -> Model:
    """arXiv:1612.01105, figure 3: pooled, reduced and resized maps beside the map itself."""
    x = Input((24, 24, 8))
    branches = [x]
    for size in (1, 2, 3):
        y = conv(layers.AveragePooling2D(24 // size)(x), 2, 1)
        branches.append(layers.UpSampling2D(24 // size, interpolation="bilinear")(y))
    return Model(x, layers.Conv2D(5, 1)(conv(layers.Concatenate()(branches), 8, 3)))


@style(inception=1, depthwise_separable=1)
def module_with_a_separable_branch() -> Model:
    """One branch is 1×1 and 3×3, another one a separable convolution."""
    x = Input((16, 16, 8))
    separable = layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x)
    return Model(x, layers.Concatenate()([conv(x, 4, 1), conv(conv(x, 4, 1), 8, 3), separable]))


@style(mlpconv=2)
def nin_with_linear_scores() -> Model:
    """The last 1×1 gives scores to the pooling as they are: behind the third 3×3 stands one
    activated 1×1, and a chain has two."""
    x = y = Input((32, 32, 3))
    for width in (8, 16):
        y = layers.Conv2D(width, 3, padding="same", activation="relu")(y)
        y = layers.Conv2D(width, 1, activation="relu")(y)
        y = layers.MaxPooling2D()(layers.Conv2D(width, 1, activation="relu")(y))
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(y)
    y = layers.Conv2D(10, 1)(layers.Conv2D(16, 1, activation="relu")(y))
    return Model(x, layers.Softmax()(layers.GlobalAveragePooling2D()(y)))
