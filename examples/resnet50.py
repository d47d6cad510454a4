"""ResNet-50 for ImageNet, from bottleneck blocks; other depths through ``blocks``.

Paper: "Deep Residual Learning for Image Recognition", CVPR 2016, arXiv:1512.03385, table 1 (3.8G
multiply-adds). Stride 2 sits in a block's first 1x1 convolution, as in the paper: 3,857,973,248
MACs. ``stride_on="3x3"`` moves it to the 3x3 convolution ("v1.5"): 4,089,184,256 MACs.

Biases: with ``use_bias=True``, the default, the convolutions have biases and the model has the
25,636,712 parameters of ``keras.applications.ResNet50``. Batch normalisation makes those biases
redundant; without them 25,610,152 parameters remain, 25,557,032 of them trainable.
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


def bottleneck(
    x: keras.KerasTensor,
    width: int,
    stride: int,
    project: bool,
    use_bias: bool,
    stride_on: str,
    name: str,
) -> keras.KerasTensor:
    """Add one bottleneck block; ``project`` gives its shortcut a 1x1 convolution."""
    first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
    shortcut = x
    if project:
        shortcut = conv_bn(x, 4 * width, 1, stride, use_bias, f"{name}_shortcut")
    x = conv_bn(x, width, 1, first, use_bias, f"{name}_reduce")
    x = layers.ReLU(name=f"{name}_reduce_relu")(x)
    x = conv_bn(x, width, 3, second, use_bias, f"{name}_spatial")
    x = layers.ReLU(name=f"{name}_spatial_relu")(x)
    x = conv_bn(x, 4 * width, 1, 1, use_bias, f"{name}_expand")
    x = layers.Add(name=f"{name}_add")([shortcut, x])
    return layers.ReLU(name=f"{name}_relu")(x)


def build(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    blocks: tuple[int, int, int, int] = (3, 4, 6, 3),
    use_bias: bool = True,
    stride_on: str = "1x1",
) -> keras.Model:
    """Return a ResNet whose stages conv2 … conv5 have ``blocks`` bottleneck blocks."""
    if stride_on not in ("1x1", "3x3"):
        raise ValueError(f'stride_on is "1x1" or "3x3", not {stride_on!r}')
    inputs = keras.Input(input_shape, name="image")
    x = conv_bn(inputs, 64, 7, 2, use_bias, "conv1")
    x = layers.ReLU(name="conv1_relu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    for stage, count in enumerate(blocks, start=2):
        for block in range(1, count + 1):
            x = bottleneck(
                x,
                width=64 * 2 ** (stage - 2),
                stride=2 if block == 1 and stage > 2 else 1,
                project=block == 1,
                use_bias=use_bias,
                stride_on=stride_on,
                name=f"conv{stage}_{block}",
            )
    x = layers.GlobalAveragePooling2D(name="average")(x)
    outputs = layers.Dense(classes, activation="softmax", name="classifier")(x)
    return keras.Model(inputs, outputs, name=f"resnet{3 * sum(blocks) + 2}")


model = build()
