"""Keyword arguments everywhere: warm-up schedule class, EMA, custom loss and metric, label smoothing."""
import math

import keras
import numpy as np
from keras import ops
from keras.layers import (
    Activation, Add, BatchNormalization, Conv2D, Dense, GlobalAveragePooling2D, Input, Multiply, Reshape,
)

EPOCHS, BATCH, BASE_LR = 100, 128, 0.4


@keras.saving.register_keras_serializable()
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, learning_rate_base, total_steps, warmup_learning_rate, warmup_steps):
        super().__init__()
        self.learning_rate_base = learning_rate_base
        self.total_steps = total_steps
        self.warmup_learning_rate = warmup_learning_rate
        self.warmup_steps = warmup_steps
        self.pi = ops.array(np.pi)

    def __call__(self, step):
        if self.total_steps < self.warmup_steps:
            raise ValueError("Total_steps must be larger or equal to warmup_steps.")
        step = ops.cast(step, "float32")
        cos = ops.cos(self.pi * (step - self.warmup_steps) / float(self.total_steps - self.warmup_steps))
        rate = 0.5 * self.learning_rate_base * (1 + cos)
        slope = (self.learning_rate_base - self.warmup_learning_rate) / self.warmup_steps
        warm = slope * step + self.warmup_learning_rate
        return ops.where(step < self.warmup_steps, warm, rate)

    def get_config(self):
        return {"learning_rate_base": self.learning_rate_base, "total_steps": self.total_steps,
                "warmup_learning_rate": self.warmup_learning_rate, "warmup_steps": self.warmup_steps}


def squeeze_excite(x, ratio=8):
    c = x.shape[-1]
    s = GlobalAveragePooling2D()(x)
    s = Dense(c // ratio, activation="relu")(s)
    s = Dense(c, activation="sigmoid")(s)
    return Multiply()([x, Reshape((1, 1, c))(s)])


def block(x, filters, stride):
    y = Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
    y = Activation("swish")(BatchNormalization()(y))
    y = Conv2D(filters, 3, padding="same", use_bias=False)(y)
    y = squeeze_excite(BatchNormalization()(y))
    if stride != 1 or x.shape[-1] != filters:
        x = Conv2D(filters, 1, stride, use_bias=False)(x)
    return Activation("swish")(Add()([x, y]))


(x_train, y_train), (x_val, y_val) = keras.datasets.cifar10.load_data()
steps = EPOCHS * math.ceil(len(x_train) / BATCH)
schedule = WarmUpCosine(BASE_LR, steps, 0.0, int(0.05 * steps))
print([float(schedule(s)) for s in range(0, steps, max(1, steps // 10))])

inputs = Input((32, 32, 3))
x = Conv2D(32, 3, padding="same", use_bias=False)(inputs)
for f, s in ((32, 1), (64, 2), (128, 2)):
    x = block(x, f, s)
outputs = Dense(10)(GlobalAveragePooling2D()(x))
model = keras.Model(inputs, outputs, name="se_net")
model.compile(
    optimizer=keras.optimizers.SGD(schedule, momentum=0.9, nesterov=True, use_ema=True, ema_momentum=0.999),
    loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
    metrics=["accuracy", keras.metrics.TopKCategoricalAccuracy(5)],
    jit_compile=True,
)
model.fit(x_train / 255.0, keras.utils.to_categorical(y_train, 10), batch_size=BATCH, epochs=EPOCHS,
          callbacks=[keras.callbacks.SwapEMAWeights(swap_on_epoch=True), keras.callbacks.TerminateOnNaN()])
