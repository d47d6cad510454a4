"""Networks without any block, and what comes close to one by its chain of layers alone."""

from __future__ import annotations

from keras import Input, Model, Sequential, layers, ops

from tests.motifs.styles.base import Tensor, style


def conv(x: Tensor, filters: int, kernel: int, act: str | None = "relu") -> Tensor:
    return layers.Conv2D(filters, kernel, padding="same", activation=act)(x)


@style()
def lenet() -> Model:
    return Sequential(
        [
            Input((28, 28, 1)),
            layers.Conv2D(6, 5, activation="tanh", padding="same"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="tanh"),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


@style()
def alexnet() -> Model:
    """With its two groups; Dense layers on a flattened map are no 1×1s."""
    return Sequential(
        [
            Input((99, 99, 3)),
            layers.Conv2D(8, 11, strides=4, activation="relu"),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(16, 5, padding="same", groups=2, activation="relu"),
            layers.MaxPooling2D(3, 2),
            layers.Conv2D(24, 3, padding="same", activation="relu"),
            layers.Conv2D(24, 3, padding="same", groups=2, activation="relu"),
            layers.MaxPooling2D(3, 2),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


@style()
def tabular_mlp() -> Model:
    """Numbers and a category, a residual and a gate: all on single vectors."""
    numbers, category = Input((8,)), Input((1,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(10, 4)(category))
    x = layers.Concatenate()([layers.BatchNormalization()(numbers), embedded])
    x = layers.Dense(32, activation="relu")(x)
    x = layers.Add()([x, layers.Dense(32)(layers.Dense(64, activation="relu")(x))])
    gate = layers.Dense(32, activation="sigmoid")(layers.Dense(8, activation="relu")(x))
    x = layers.Dense(16, activation="relu")(layers.Multiply()([x, gate]))
    return Model([numbers, category], layers.Dense(1)(x))


@style()
def autoencoders() -> Model:
    """Of Dense layers, and of strided and transposed convolutions."""
    x = y = Input((28, 28, 1))
    for width in (4, 8):
        y = layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(y)
    for width in (8, 4):
        y = layers.Conv2DTranspose(width, 3, strides=2, padding="same", activation="relu")(y)
    y = layers.Conv2D(1, 3, padding="same", activation="sigmoid")(y)
    z = layers.Dense(16, activation="relu")(layers.Flatten()(x))
    z = layers.Dense(784, activation="sigmoid")(layers.Dense(32, activation="relu")(z))
    return Model(x, [y, layers.Reshape((28, 28, 1))(z)])


@style()
def variational_autoencoder() -> Model:
    x, noise = Input((28, 28, 1)), Input((2,))
    y = layers.Conv2D(8, 3, activation="relu", strides=2, padding="same")(x)
    y = layers.Dense(16, activation="relu")(layers.Flatten()(y))
    mean, log_variance = layers.Dense(2)(y), layers.Dense(2)(y)
    z = mean + ops.exp(0.5 * log_variance) * noise
    y = layers.Reshape((7, 7, 8))(layers.Dense(7 * 7 * 8, activation="relu")(z))
    for width in (8, 4):
        y = layers.Conv2DTranspose(width, 3, strides=2, padding="same", activation="relu")(y)
    y = layers.Conv2DTranspose(1, 3, padding="same", activation="sigmoid")(y)
    return Model([x, noise], [y, mean, log_variance])


@style()
def dcgan() -> Model:
    """Generator and discriminator, one behind the other."""
    generator = Sequential([Input((16,)), layers.Dense(4 * 4 * 16), layers.Reshape((4, 4, 16))])
    for width in (8, 4):
        generator.add(layers.Conv2DTranspose(width, 4, strides=2, padding="same"))
        generator.add(layers.BatchNormalization())
        generator.add(layers.LeakyReLU(negative_slope=0.2))
    generator.add(layers.Conv2D(3, 5, padding="same", activation="tanh"))
    discriminator = Sequential([Input((16, 16, 3))])
    for width in (8, 16):
        discriminator.add(layers.Conv2D(width, 4, strides=2, padding="same"))
        discriminator.add(layers.LeakyReLU(negative_slope=0.2))
    discriminator.add(layers.Flatten())
    discriminator.add(layers.Dense(1, activation="sigmoid"))
    x = Input((16,))
    return Model(x, discriminator(generator(x)))


@style()
def bottleneck_without_addition() -> Model:
    """1×1, 3×3, 1×1 in a row."""
    x = Input((16, 16, 16))
    y = conv(conv(conv(x, 4, 1), 4, 3), 16, 1)
    return Model(x, conv(y, 16, 3))


@style()
def addition_around_two_3x3() -> Model:
    x = Input((16, 16, 16))
    return Model(x, layers.Add()([x, conv(conv(x, 16, 3), 16, 3, None)]))


@style()
def addition_around_1x1_and_3x3() -> Model:
    """No 1×1 leads back: Darknet's residual block; and the other way round."""
    x = Input((16, 16, 16))
    y = layers.Add()([x, conv(conv(x, 4, 1), 16, 3)])
    return Model(x, layers.Add()([y, conv(conv(y, 16, 3), 16, 1)]))


@style()
def addition_around_a_lone_1x1() -> Model:
    y = x = Input((16, 16, 16))
    for _ in range(2):
        y = layers.ReLU()(layers.Add()([y, conv(y, 16, 1, None)]))
    return Model(x, y)


@style()
def wide_middle() -> Model:
    """An addition around 1×1, 3×3, 1×1 whose middle is four times as wide as its ends."""
    x = Input((16, 16, 8))
    return Model(x, layers.Add()([x, conv(conv(conv(x, 32, 1), 32, 3), 8, 1, None)]))


@style()
def identity_and_3x3() -> Model:
    """Concatenated: no 1×1 before the 3×3."""
    y = x = Input((16, 16, 8))
    for _ in range(2):
        y = layers.Concatenate()([y, conv(y, 4, 3)])
    return Model(x, y)


@style()
def depthwise_alone() -> Model:
    """Depthwise, pooled, depthwise, and a k×k behind."""
    x = Input((16, 16, 8))
    y = layers.DepthwiseConv2D(3, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, activation="relu")(layers.MaxPooling2D()(y))
    return Model(x, conv(y, 8, 3))


@style()
def pointwise_alone() -> Model:
    """Single 1×1s between k×ks."""
    x = Input((16, 16, 8))
    y = conv(conv(conv(conv(x, 8, 3), 16, 1), 8, 3), 16, 1)
    return Model(x, conv(y, 8, 5))


@style()
def pooled_depthwise() -> Model:
    """A pooling between the depthwise and the 1×1: two operators, as figure 2 of MobileNet has
    them, are not next to each other."""
    x = Input((16, 16, 8))
    y = layers.MaxPooling2D()(layers.DepthwiseConv2D(3, activation="relu")(x))
    return Model(x, conv(conv(y, 16, 1), 8, 3))


@style()
def heads_of_1x1() -> Model:
    """Scores per position and per image."""
    x = Input((16, 16, 3))
    y = conv(conv(x, 8, 3), 16, 3)
    masks = conv(y, 4, 1, "softmax")
    boxes = conv(y, 4, 1, None)
    pooled = layers.GlobalAveragePooling2D()(y)
    tags = layers.Dense(6, activation="sigmoid")(layers.Dense(8, activation="relu")(pooled))
    return Model(x, [masks, boxes, tags])


@style()
def linear_1x1s() -> Model:
    """Two in a row that no activation separates or follows."""
    x = Input((16, 16, 3))
    y = conv(conv(conv(x, 8, 3), 8, 1, None), 8, 1, None)
    return Model(x, conv(y, 8, 3))


@style()
def one_activated_1x1() -> Model:
    """Behind a 3×3 an activated 1×1 and a linear one: a head, no chain of two."""
    x = Input((16, 16, 3))
    return Model(x, conv(conv(conv(x, 8, 3), 8, 1), 5, 1, None))


@style(transformer_mlp=1)
def two_1x1s_and_an_addition() -> Model:
    """Activated both, of one width, with an addition around them: a token-wise MLP that does not
    expand, as keras.io's text classification writes it (both activated in its ViT)."""
    x = Input((16, 16, 8))
    return Model(x, layers.Add()([x, conv(conv(x, 8, 1), 8, 1)]))


@style()
def gate_on_another_map() -> Model:
    """Pooled from one map, multiplied onto another."""
    x = Input((16, 16, 8))
    y, z = conv(x, 8, 3), conv(x, 8, 5)
    g = layers.Dense(4, activation="relu")(layers.GlobalAveragePooling2D()(y))
    g = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="sigmoid")(g))
    return Model(x, layers.Add()([layers.Multiply()([z, g]), y]))


@style()
def gate_that_is_added() -> Model:
    """A global context (arXiv:1904.11492) without its softmax: transformed and added."""
    x = Input((16, 16, 8))
    g = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return Model(x, layers.Add()([x, conv(conv(g, 4, 1), 8, 1, None)]))


@style()
def gate_per_position() -> Model:
    """Two 1×1s and a sigmoid on the full map, nothing pooled; an addition stands before them."""
    x = Input((16, 16, 8))
    y = layers.Add()([x, conv(x, 8, 3)])
    return Model(x, layers.Multiply()([y, conv(conv(y, 4, 1), 8, 1, "sigmoid")]))


@style()
def two_pooled_branches() -> Model:
    """Concatenated 1×1s of a pooled and an unpooled map: nothing reduces for a k×k."""
    x = Input((16, 16, 8))
    pool = layers.MaxPooling2D(3, 1, padding="same")(x)
    return Model(x, layers.Concatenate()([conv(x, 4, 1), conv(pool, 4, 1)]))


@style()
def branches_of_two_inputs() -> Model:
    """A 1×1 and a 3×3 behind each of two inputs, concatenated: no common source."""
    left, right = Input((16, 16, 8)), Input((16, 16, 8))
    y = [conv(conv(x, 4, 1), 8, 3) for x in (left, right)]
    return Model([left, right], layers.Concatenate()(y))


@style()
def squeeze_read_by_a_third() -> Model:
    """A fire module's two expansions, and the squeeze itself is concatenated too."""
    x = Input((16, 16, 8))
    s = conv(x, 4, 1)
    return Model(x, layers.Concatenate()([s, conv(s, 8, 1), conv(s, 8, 3)]))


@style()
def pooled_1x1() -> Model:
    """A 1×1 and a pooling behind a plain 3×3: no dense block, no transition."""
    x = Input((16, 16, 8))
    return Model(x, layers.AveragePooling2D(2)(conv(conv(x, 8, 3), 4, 1)))


@style()
def grouped_1x1_unshuffled() -> Model:
    x = Input((16, 16, 8))
    y = layers.Conv2D(8, 1, groups=2, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    return Model(x, layers.Add()([x, layers.Conv2D(8, 1, groups=2)(y)]))


@style()
def expanding_3x3_and_head() -> Model:
    """A wide activated 3×3 and a linear 1×1 that is the model's output: a head."""
    x = Input((16, 16, 8))
    return Model(x, layers.Reshape((-1, 4))(conv(conv(x, 32, 3), 4, 1, None)))


@style()
def depthwise_beside_a_3x3() -> Model:
    """A depthwise and a k×k beside each other, added."""
    x = Input((16, 16, 8))
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    return Model(x, layers.ReLU()(layers.Add()([y, conv(x, 8, 3, None)])))


@style()
def image_of_one_position() -> Model:
    """1×1s on a map of one position are dense layers."""
    x = Input((1, 1, 16))
    y = conv(conv(conv(x, 16, 1), 32, 1), 8, 1)
    return Model(x, layers.Flatten()(y))


@style()
def latent_of_an_autoencoder() -> Model:
    """A 3×3 that widens and a linear 1×1 to the latent, in a network without such blocks."""
    x = Input((16, 16, 4))
    y = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    y = layers.Conv2D(2, 1)(y)
    y = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(y)
    return Model(x, layers.Conv2D(4, 3, padding="same")(y))
