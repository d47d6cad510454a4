import os
from zipfile import ZipFile
import pandas as pd
import matplotlib.pyplot as plt
import keras

uri = "https://storage.example.org/keras-datasets/jena_climate_2009_2016.csv.zip"
zip_path = keras.utils.get_file(origin=uri, fname="jena_climate_2009_2016.csv.zip")
zip_file = ZipFile(zip_path)
zip_file.extractall()
csv_path = "jena_climate_2009_2016.csv"

df = pd.read_csv(csv_path)

feature_keys = ["p (mbar)", "T (degC)", "VPmax (mbar)", "VPdef (mbar)", "sh (g/kg)", "rho (g/m**3)", "wv (m/s)"]
date_time_key = "Date Time"


def show_raw_visualization(data):
    time_data = data[date_time_key]
    fig, axes = plt.subplots(nrows=4, ncols=2, figsize=(15, 20), dpi=80, facecolor="w", edgecolor="k")
    for i in range(len(feature_keys)):
        t_data = data[feature_keys[i]]
        t_data.index = time_data
        ax = t_data.plot(ax=axes[i // 2, i % 2], title=feature_keys[i], rot=25)
        ax.legend([feature_keys[i]])
    plt.tight_layout()


show_raw_visualization(df)

split_fraction = 0.715
train_split = int(split_fraction * int(df.shape[0]))
step = 6
past = 720
future = 72
learning_rate = 0.001
batch_size = 256
epochs = 10


def normalize(data, train_split):
    data_mean = data[:train_split].mean(axis=0)
    data_std = data[:train_split].std(axis=0)
    return (data - data_mean) / data_std


features = df[feature_keys]
features.index = df[date_time_key]
features = normalize(features.values, train_split)
features = pd.DataFrame(features)
train_data = features.loc[0 : train_split - 1]
val_data = features.loc[train_split:]

start = past + future
end = start + train_split
x_train = train_data[[i for i in range(7)]].values
y_train = features.iloc[start:end][[1]]
sequence_length = int(past / step)
dataset_train = keras.preprocessing.timeseries_dataset_from_array(
    x_train, y_train, sequence_length=sequence_length, sampling_rate=step, batch_size=batch_size,
)
for batch in dataset_train.take(1):
    inputs, targets = batch
print("Target shape:", targets.numpy().shape)

inputs = keras.layers.Input(shape=(sequence_length, len(feature_keys)))
gru_out = keras.layers.GRU(32, return_sequences=True)(inputs)
gru_out = keras.layers.GRU(32, dropout=0.2, recurrent_dropout=0.2)(gru_out)
outputs = keras.layers.Dense(1)(gru_out)

model = keras.Model(inputs=inputs, outputs=outputs)
model.compile(optimizer=keras.optimizers.Adam(learning_rate=learning_rate), loss="mse")
model.summary()

path_checkpoint = "model_checkpoint.weights.h5"
es_callback = keras.callbacks.EarlyStopping(monitor="val_loss", min_delta=0, patience=5)
modelckpt_callback = keras.callbacks.ModelCheckpoint(
    monitor="val_loss", filepath=path_checkpoint, verbose=1, save_weights_only=True, save_best_only=True,
)
history = model.fit(dataset_train, epochs=epochs, callbacks=[es_callback, modelckpt_callback])


def visualize_loss(history, title):
    loss = history.history["loss"]
    val_loss = history.history["val_loss"]
    epochs = range(len(loss))
    plt.figure()
    plt.plot(epochs, loss, "b", label="Training loss")
    plt.plot(epochs, val_loss, "r", label="Validation loss")
    plt.title(title)
    plt.legend()
    plt.show()


visualize_loss(history, "Training and Validation Loss")
