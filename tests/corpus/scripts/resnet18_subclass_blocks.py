'''ResNet-18 as nested Model subclasses; built by model.build().'''
import numpy as np
import tensorflow as tf
from tensorflow.keras import Model, layers
from tensorflow.keras.callbacks import EarlyStopping


class ResnetBlock(Model):
    def __init__(self, channels: int, down_sample=False):
        super().__init__()
        self.__channels = channels
        self.__down_sample = down_sample
        self.__strides = [2, 1] if down_sample else [1, 1]
        KERNEL_SIZE = (3, 3)
        self.conv_1 = layers.Conv2D(self.__channels, strides=self.__strides[0],
                                    kernel_size=KERNEL_SIZE, padding="same", kernel_initializer="he_normal")
        self.bn_1 = layers.BatchNormalization()
        self.conv_2 = layers.Conv2D(self.__channels, strides=self.__strides[1],
                                    kernel_size=KERNEL_SIZE, padding="same", kernel_initializer="he_normal")
        self.bn_2 = layers.BatchNormalization()
        self.merge = layers.Add()
        if self.__down_sample:
            self.res_conv = layers.Conv2D(self.__channels, strides=2, kernel_size=(1, 1),
                                          kernel_initializer="he_normal", padding="same")
            self.res_bn = layers.BatchNormalization()

    def call(self, inputs, training=False):
        res = inputs
        x = self.conv_1(inputs)
        x = self.bn_1(x, training=training)
        x = tf.nn.relu(x)
        x = self.conv_2(x)
        x = self.bn_2(x, training=training)
        if self.__down_sample:
            res = self.res_conv(res)
            res = self.res_bn(res, training=training)
        x = self.merge([x, res])
        return tf.nn.relu(x)


class ResNet18(Model):
    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.conv_1 = layers.Conv2D(64, (7, 7), strides=2, padding="same", kernel_initializer="he_normal")
        self.init_bn = layers.BatchNormalization()
        self.pool_2 = layers.MaxPool2D(pool_size=(2, 2), strides=2, padding="same")
        self.res_1_1 = ResnetBlock(64)
        self.res_1_2 = ResnetBlock(64)
        self.res_2_1 = ResnetBlock(128, down_sample=True)
        self.res_2_2 = ResnetBlock(128)
        self.res_3_1 = ResnetBlock(256, down_sample=True)
        self.res_3_2 = ResnetBlock(256)
        self.res_4_1 = ResnetBlock(512, down_sample=True)
        self.res_4_2 = ResnetBlock(512)
        self.avg_pool = layers.GlobalAveragePooling2D()
        self.flat = layers.Flatten()
        self.fc = layers.Dense(num_classes, activation="softmax")

    def call(self, inputs, training=False):
        out = self.conv_1(inputs)
        out = self.init_bn(out, training=training)
        out = tf.nn.relu(out)
        out = self.pool_2(out)
        for res_block in [self.res_1_1, self.res_1_2, self.res_2_1, self.res_2_2,
                          self.res_3_1, self.res_3_2, self.res_4_1, self.res_4_2]:
            out = res_block(out, training=training)
        out = self.avg_pool(out)
        out = self.flat(out)
        return self.fc(out)


(X_train, y_train), (X_test, y_test) = tf.keras.datasets.cifar10.load_data()
X_train, X_test = X_train.astype("float32") / 255., X_test.astype("float32") / 255.
y_train = tf.keras.utils.to_categorical(y_train)
y_test = tf.keras.utils.to_categorical(y_test)

model = ResNet18(10)
model.build(input_shape=(None, 32, 32, 3))
# use categorical_crossentropy since the label is one-hot encoded
model.compile(optimizer="adam", loss='categorical_crossentropy', metrics=["accuracy"])
model.summary()

es = EarlyStopping(patience=8, restore_best_weights=True, monitor="val_accuracy")
STEPS = len(X_train) // 256
history = model.fit(X_train, y_train, batch_size=256, steps_per_epoch=STEPS, epochs=50,
                    validation_data=(X_test, y_test), callbacks=[es])
