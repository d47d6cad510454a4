'''Heart disease, structured data: Normalization.adapt, vocabularies that are known.'''
import pandas as pd
import tensorflow as tf
import keras
from keras import layers
from sklearn.model_selection import train_test_split

file_url = "http://storage.example.org/download.tensorflow.org/data/heart.csv"
dataframe = pd.read_csv(file_url)
print(dataframe.shape)
print(dataframe.head())
train_df, val_df = train_test_split(dataframe, test_size=0.2)
print("Using %d samples for training and %d for validation" % (len(train_df), len(val_df)))

NUMERIC = ["age", "trestbps", "chol", "thalach", "oldpeak", "slope"]
CATEGORICAL = {
    "sex": [0, 1],
    "cp": [0, 1, 2, 3, 4],
    "ca": [0, 1, 2, 3],
    "thal": ["fixed", "normal", "reversible"],
}


def dataframe_to_dataset(dataframe):
    dataframe = dataframe.copy()
    labels = dataframe.pop("target")
    ds = tf.data.Dataset.from_tensor_slices((dict(dataframe), labels))
    return ds.shuffle(buffer_size=len(dataframe))


train_ds = dataframe_to_dataset(train_df)
val_ds = dataframe_to_dataset(val_df)
for x, y in train_ds.take(1):
    print("Input:", x)
    print("Target:", y)
train_ds = train_ds.batch(32)
val_ds = val_ds.batch(32)


def encode_numerical_feature(feature, name, dataset):
    normalizer = layers.Normalization()
    feature_ds = dataset.map(lambda x, y: x[name])
    feature_ds = feature_ds.map(lambda x: tf.expand_dims(x, -1))
    normalizer.adapt(feature_ds)
    return normalizer(feature)


def encode_categorical_feature(feature, vocabulary):
    lookup_class = layers.StringLookup if isinstance(vocabulary[0], str) else layers.IntegerLookup
    lookup = lookup_class(vocabulary=vocabulary, output_mode="one_hot")
    return lookup(feature)


inputs, encoded = [], []
for name in NUMERIC:
    inp = keras.Input(shape=(1,), name=name)
    inputs.append(inp)
    encoded.append(encode_numerical_feature(inp, name, train_ds))
for name, vocabulary in CATEGORICAL.items():
    inp = keras.Input(shape=(1,), name=name, dtype="string" if isinstance(vocabulary[0], str) else "int64")
    inputs.append(inp)
    encoded.append(encode_categorical_feature(inp, vocabulary))

all_features = layers.concatenate(encoded)
x = layers.Dense(32, activation="relu")(all_features)
x = layers.Dropout(0.5)(x)
output = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, output)
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
keras.utils.plot_model(model, show_shapes=True, rankdir="LR")
model.fit(train_ds, epochs=50, validation_data=val_ds)

sample = {"age": 60, "sex": 1, "cp": 1, "trestbps": 145, "chol": 233, "thalach": 150,
          "oldpeak": 2.3, "slope": 3, "ca": 0, "thal": "fixed"}
input_dict = {name: tf.convert_to_tensor([value]) for name, value in sample.items()}
predictions = model.predict(input_dict)
print(f"This patient had a {100 * predictions[0][0]:.1f} percent probability of heart disease.")
