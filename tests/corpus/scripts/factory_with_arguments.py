"""Model definitions only; another file trains them."""
from keras import Model, layers


def residual_block(x, filters, dilation):
    y = layers.Conv1D(filters, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
    y = layers.Conv1D(filters, 3, padding="causal", dilation_rate=dilation, activation="relu")(y)
    if x.shape[-1] != filters:
        x = layers.Conv1D(filters, 1)(x)
    return layers.add([x, y])


def build_tcn(timesteps, channels, filters=32, levels=4):
    inputs = layers.Input((timesteps, channels))
    x = inputs
    for level in range(levels):
        x = residual_block(x, filters, 2**level)
    outputs = layers.Dense(1)(x[:, -1, :])
    return Model(inputs, outputs, name="tcn")
