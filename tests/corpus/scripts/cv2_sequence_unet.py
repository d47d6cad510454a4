import os, sys, glob, random
import cv2
import numpy as np
from tqdm import tqdm
from keras.utils import Sequence
from keras.layers import *
from keras.models import *
from keras.optimizers import *
from keras.callbacks import *
from albumentations import Compose, HorizontalFlip, RandomBrightnessContrast

DATA = os.environ.get('DATA_DIR', '/mnt/data/isbi')
SIZE = 256

ids = [os.path.basename(p)[:-4] for p in tqdm(sorted(glob.glob(DATA + '/image/*.png')))]
random.shuffle(ids)
train_ids, val_ids = ids[20:], ids[:20]
AUG = Compose([HorizontalFlip(p=.5), RandomBrightnessContrast(p=.2)])


class CellSequence(Sequence):
    def __init__(self, ids, batch_size=2, augment=True):
        super().__init__()
        self.ids, self.batch_size, self.augment = ids, batch_size, augment

    def __len__(self):
        return int(np.ceil(len(self.ids) / self.batch_size))

    def __getitem__(self, index):
        xs, ys = [], []
        for i in self.ids[index * self.batch_size:(index + 1) * self.batch_size]:
            img = cv2.imread('%s/image/%s.png' % (DATA, i), cv2.IMREAD_GRAYSCALE)
            lab = cv2.imread('%s/label/%s.png' % (DATA, i), cv2.IMREAD_GRAYSCALE)
            img = cv2.resize(img, (SIZE, SIZE)) / 255.
            lab = (cv2.resize(lab, (SIZE, SIZE)) > 127).astype('float32')
            xs.append(img[..., None])
            ys.append(lab[..., None])
        return np.array(xs), np.array(ys)


def unet(pretrained_weights=None, input_size=(SIZE, SIZE, 1)):
    inputs = Input(input_size)
    conv1 = Conv2D(64, 3, activation='relu', padding='same', kernel_initializer='he_normal')(inputs)
    conv1 = Conv2D(64, 3, activation='relu', padding='same', kernel_initializer='he_normal')(conv1)
    pool1 = MaxPooling2D(pool_size=(2, 2))(conv1)
    conv2 = Conv2D(128, 3, activation='relu', padding='same', kernel_initializer='he_normal')(pool1)
    conv2 = Conv2D(128, 3, activation='relu', padding='same', kernel_initializer='he_normal')(conv2)
    pool2 = MaxPooling2D(pool_size=(2, 2))(conv2)
    conv3 = Conv2D(256, 3, activation='relu', padding='same', kernel_initializer='he_normal')(pool2)
    conv3 = Conv2D(256, 3, activation='relu', padding='same', kernel_initializer='he_normal')(conv3)
    drop3 = Dropout(0.5)(conv3)
    up4 = Conv2D(128, 2, activation='relu', padding='same', kernel_initializer='he_normal')(UpSampling2D(size=(2, 2))(drop3))
    merge4 = concatenate([conv2, up4], axis=3)
    conv4 = Conv2D(128, 3, activation='relu', padding='same', kernel_initializer='he_normal')(merge4)
    conv4 = Conv2D(128, 3, activation='relu', padding='same', kernel_initializer='he_normal')(conv4)
    up5 = Conv2D(64, 2, activation='relu', padding='same', kernel_initializer='he_normal')(UpSampling2D(size=(2, 2))(conv4))
    merge5 = concatenate([conv1, up5], axis=3)
    conv5 = Conv2D(64, 3, activation='relu', padding='same', kernel_initializer='he_normal')(merge5)
    conv5 = Conv2D(2, 3, activation='relu', padding='same', kernel_initializer='he_normal')(conv5)
    conv6 = Conv2D(1, 1, activation='sigmoid')(conv5)
    model = Model(inputs=inputs, outputs=conv6)
    model.compile(optimizer=Adam(learning_rate=1e-4), loss='binary_crossentropy', metrics=['accuracy'])
    if pretrained_weights:
        model.load_weights(pretrained_weights)
    return model


model = unet('unet_membrane.weights.h5')
model_checkpoint = ModelCheckpoint('unet_membrane.keras', monitor='loss', verbose=1, save_best_only=True)
model.fit(CellSequence(train_ids), epochs=5, validation_data=CellSequence(val_ids), callbacks=[model_checkpoint])
for i in tqdm(val_ids):
    img = cv2.imread('%s/image/%s.png' % (DATA, i), 0)
    pred = model.predict(cv2.resize(img, (SIZE, SIZE))[None, ..., None] / 255.)
    cv2.imwrite('pred_%s.png' % i, (pred[0, ..., 0] * 255).astype('uint8'))
