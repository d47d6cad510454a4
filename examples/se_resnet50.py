"""SE-ResNet-50: ResNet-50 with channel attention (squeeze-and-excitation, reduction ratio 16).

Each bottleneck block averages its map to one number per channel, passes the vector through two
fully connected layers (C → C/16 → C) and scales the channels by the result before the addition.

Paper: "Squeeze-and-Excitation Networks", CVPR 2018, arXiv:1709.01507, section 4. The fully
connected layers have no biases, as in the paper's "2.5 million additional parameters": they add
2,514,944 parameters and as many MACs, 3,857,973,248 → 3,860,488,192. The ResNet-50 below is that
of resnet50.py with its defaults (stride in the first 1x1, biases before batch normalisation):
28,151,656 parameters in all.
"""

import keras
from keras import layers


def conv_bn(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, use_bias: bool, name: str
) -> keras.KerasTensor:
    """Convolve and normalise."""
    conv = layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=use_bias, name=name
    )
    return layers.BatchNormalization(name=f"{name}_bn")(conv(x))


def squeeze_excite(x: keras.KerasTensor, ratio: int, name: str) -> keras.KerasTensor:
    """Scale each channel by a gate that looks at all channels."""
    channels = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    reduce = layers.Dense(
        channels // ratio, activation="relu", use_bias=False, name=f"{name}_reduce"
    )
    excite = layers.Dense(channels, activation="sigmoid", use_bias=False, name=f"{name}_excite")
    return layers.Multiply(name=f"{name}_scale")([x, excite(reduce(gate))])


def se_bottleneck(
    x: keras.KerasTensor,
    width: int,
    stride: int,
    project: bool,
    ratio: int,
    use_bias: bool,
    name: str,
) -> keras.KerasTensor:
    """Add one bottleneck block with a gate; ``project`` puts a 1x1 convolution on its shortcut."""
    shortcut = x
    if project:
        shortcut = conv_bn(x, 4 * width, 1, stride, use_bias, f"{name}_shortcut")
    x = conv_bn(x, width, 1, stride, use_bias, f"{name}_reduce")
    x = layers.ReLU(name=f"{name}_reduce_relu")(x)
    x = conv_bn(x, width, 3, 1, use_bias, f"{name}_spatial")
    x = layers.ReLU(name=f"{name}_spatial_relu")(x)
    x = conv_bn(x, 4 * width, 1, 1, use_bias, f"{name}_expand")
    x = squeeze_excite(x, ratio, f"{name}_se")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def build(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
    ratio: int = 16,
    use_bias: bool = True,
) -> keras.Model:
    """Return an SE-ResNet whose stages conv2 … conv5 have ``blocks`` gated bottleneck blocks."""
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn(inputs, 64, 7, 2, use_bias, "conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    for stage, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            x = se_bottleneck(
                x,
                width=64 * 2 ** (stage - 2),
                stride=2 if block == 1 and stage > 2 else 1,
                project=block == 1,
                ratio=ratio,
                use_bias=use_bias,
                name=f"conv{stage}_{block}",
            )
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(classes, activation="softmax", name="classifier")(x)
    return keras.Model(inputs, outputs, name=f"se_resnet{3 * sum(blocks) + 2}")


model = build()
