"""A kernel in the middle of being edited: a cell's name is gone, the model comes after."""
import os
import numpy as np
import pandas as pd
import matplotlib.pyplot as plt
from keras.layers import Dense, Dropout, Input
from keras.models import Sequential

for dirname, _, filenames in os.walk('/kaggle/input'):
    for filename in filenames:
        print(os.path.join(dirname, filename))

train = pd.read_csv('/kaggle/input/tabular/train.csv')
train.drop(columns=['id'], inplace=True)
plt.hist(trian_target, bins=50)  # typo of the author's
plt.show()

N_FEATURES = 28
model = Sequential([
    Input((N_FEATURES,)),
    Dense(128, activation='relu'),
    Dropout(0.3),
    Dense(64, activation='relu'),
    Dropout(0.3),
    Dense(9, activation='softmax'),
])
model.compile('adam', 'sparse_categorical_crossentropy')
model.fit(train.iloc[:, :28], train['target'], epochs=40, validation_split=0.2)
