import keras
from keras import layers, ops

from config import EMBED_DIM, FF_DIM


class PositionalEmbedding(layers.Layer):
    def __init__(self, sequence_length, vocab_size, embed_dim, **kwargs):
        super().__init__(**kwargs)
        self.token_embeddings = layers.Embedding(input_dim=vocab_size, output_dim=embed_dim)
        self.position_embeddings = layers.Embedding(input_dim=sequence_length, output_dim=embed_dim)
        self.embed_scale = embed_dim**0.5

    def call(self, inputs):
        positions = ops.arange(0, ops.shape(inputs)[-1], 1)
        return self.token_embeddings(inputs) * self.embed_scale + self.position_embeddings(positions)


class DecoderBlock(layers.Layer):
    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        self.attention_1 = layers.MultiHeadAttention(num_heads, EMBED_DIM, dropout=0.1)
        self.attention_2 = layers.MultiHeadAttention(num_heads, EMBED_DIM, dropout=0.1)
        self.ffn_1 = layers.Dense(FF_DIM, activation="relu")
        self.ffn_2 = layers.Dense(EMBED_DIM)
        self.norms = [layers.LayerNormalization() for _ in range(3)]

    def call(self, inputs, encoder_outputs, training=False):
        x = self.norms[0](inputs + self.attention_1(inputs, inputs, use_causal_mask=True, training=training))
        y = self.attention_2(query=x, value=encoder_outputs, key=encoder_outputs, training=training)
        y = self.norms[1](x + y)
        return self.norms[2](y + self.ffn_2(self.ffn_1(y)))


def encoder_block(x):
    skip = layers.Dense(EMBED_DIM, activation="relu")(layers.LayerNormalization()(x))
    att = layers.MultiHeadAttention(1, EMBED_DIM)(skip, skip)
    return keras.layers.LayerNormalization()(skip + att)
