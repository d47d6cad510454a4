"""A library is needed for the text only: the classifier itself is plain Keras."""
import keras
import keras_hub
import nltk
from datasets import load_dataset
from keras import layers

nltk.download("punkt")
MAX_LEN, VOCAB = 256, 30522
tokenizer = keras_hub.tokenizers.WordPieceTokenizer(
    vocabulary="vocab.txt", sequence_length=MAX_LEN, lowercase=True)
raw = load_dataset("ag_news")
train_x = tokenizer(raw["train"]["text"])
train_y = raw["train"]["label"]


class MultiScaleTextCNN(keras.Model):
    """Inputs come as a list: token ids and a mask."""

    def __init__(self, kernels=(3, 4, 5), filters=100, classes=4, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(VOCAB, 128)
        self.convs = [layers.Conv1D(filters, k, activation="relu") for k in kernels]
        self.pool = layers.GlobalMaxPooling1D()
        self.dropout = layers.Dropout(0.5)
        self.classifier = layers.Dense(classes)

    def call(self, inputs, training=None):
        ids, mask = inputs
        x = self.embedding(ids) * keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
        x = [self.pool(conv(x)) for conv in self.convs]
        x = self.dropout(keras.ops.concatenate(x, axis=-1), training=training)
        return self.classifier(x)


classifier = MultiScaleTextCNN()
ids = keras.Input((MAX_LEN,), dtype="int32")
mask = keras.Input((MAX_LEN,), dtype="bool")
classifier([ids, mask])
classifier.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
classifier.fit([train_x, train_x != 0], train_y, epochs=3, batch_size=64)
