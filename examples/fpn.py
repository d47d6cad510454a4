"""A feature pyramid network on C2 … C5 of a ResNet-50.

A 1x1 convolution brings each stage of the backbone to 256 channels; the coarser map, doubled in
size, is added to the finer one; a 3x3 convolution smooths each sum. The outputs are P2 … P5.

Paper: "Feature Pyramid Networks for Object Detection", CVPR 2017, arXiv:1612.03144, figure 3. It
prints no counts; the four lateral and four output convolutions have 3,344,384 parameters (984,064
and 2,360,320, biases included). The backbone is ``keras.applications.ResNet50`` without its head.
"""

import keras
from keras import layers

#: The last layer of each stage of the backbone, the coarsest first.
STAGES = {
    5: "conv5_block3_out",
    4: "conv4_block6_out",
    3: "conv3_block4_out",
    2: "conv2_block3_out",
}


def build(input_shape: tuple[int, int, int] = (224, 224, 3), width: int = 256) -> keras.Model:
    """Return the backbone with its pyramid; height and width are multiples of 32."""
    backbone = keras.applications.ResNet50(include_top=False, weights=None, input_shape=input_shape)
    pyramid = []
    top = None
    for level, name in STAGES.items():
        x = layers.Conv2D(width, 1, name=f"fpn_lateral{level}")(backbone.get_layer(name).output)
        if top is not None:
            up = layers.UpSampling2D(2, name=f"fpn_up{level}")(top)
            x = layers.Add(name=f"fpn_add{level}")([x, up])
        top = x
        pyramid.append(layers.Conv2D(width, 3, padding="same", name=f"fpn_output{level}")(top))
    return keras.Model(backbone.inputs, pyramid[::-1], name="fpn")


model = build()
