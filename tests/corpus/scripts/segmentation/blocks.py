from tensorflow.keras import layers as L


def conv_bn_relu(x, width):
    x = L.Conv2D(width, 3, padding='same', use_bias=False)(x)
    return L.ReLU()(L.BatchNormalization()(x))


def upsample_add(small, large):
    factor = large.shape[1] // small.shape[1]
    if factor > 1:
        small = L.UpSampling2D(factor)(small)
    return L.Add()([small, large])
