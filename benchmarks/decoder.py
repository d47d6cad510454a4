"""A 61-billion-parameter decoder: 61,165,338,624 parameters that no machine here holds.

80 blocks of [LayerNorm, MHA 64 × 128, LayerNorm, MLP 28,672 with silu] at width 8,192, with
biases, no final norm, a vocabulary of 128,256 and an untied head without a bias; 2,048 tokens.
``costlens analyze benchmarks/decoder.py:build`` reads it.
"""

from __future__ import annotations

import keras
from keras import layers


def build(
    width: int = 8192,
    blocks: int = 80,
    heads: int = 64,
    key_dim: int = 128,
    hidden: int = 28672,
    vocabulary: int = 128256,
    tokens: int = 2048,
) -> keras.Model:
    """A pre-norm decoder-only transformer."""
    inputs = keras.Input((tokens,), dtype="int32", name="tokens")
    x = layers.Embedding(vocabulary, width, name="embedding")(inputs)
    for i in range(blocks):
        y = layers.LayerNormalization(name=f"block{i}_norm1")(x)
        attention = layers.MultiHeadAttention(heads, key_dim, name=f"block{i}_attention")
        x = layers.Add(name=f"block{i}_add1")([x, attention(y, y, use_causal_mask=True)])
        y = layers.LayerNormalization(name=f"block{i}_norm2")(x)
        y = layers.Dense(hidden, activation="silu", name=f"block{i}_mlp1")(y)
        y = layers.Dense(width, name=f"block{i}_mlp2")(y)
        x = layers.Add(name=f"block{i}_add2")([x, y])
    logits = layers.Dense(vocabulary, use_bias=False, name="head")(x)
    return keras.Model(inputs, logits, name="decoder_61b")
