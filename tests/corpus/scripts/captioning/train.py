"""python train.py, from this folder"""
import json

import keras
import numpy as np

import config as cfg
from data.loader import load_captions, batches
from layers_extra import DecoderBlock, PositionalEmbedding, encoder_block

captions = load_captions(cfg.IMAGES)
print(len(captions), "captioned images")

features = keras.Input(cfg.FEATURES, name="features")
tokens = keras.Input((cfg.SEQ_LENGTH - 1,), dtype="int32", name="tokens")
encoded = encoder_block(features)
x = PositionalEmbedding(cfg.SEQ_LENGTH, cfg.VOCAB_SIZE, cfg.EMBED_DIM)(tokens)
x = DecoderBlock(cfg.HEADS)(x, encoded)
x = keras.layers.Dropout(0.5)(x)
logits = keras.layers.Dense(cfg.VOCAB_SIZE)(x)
captioner = keras.Model({"features": features, "tokens": tokens}, logits, name="captioner")
captioner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
captioner.fit(batches(captions), epochs=cfg.EPOCHS)
with open("history.json", "w") as f:
    json.dump(captioner.history.history, f)
captioner.save("captioner.keras")
