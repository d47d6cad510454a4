"""The decoder of ``decoder.py``, written as a subclass: only tracing can read it.

``costlens analyze benchmarks/decoder_subclass.py:Decoder --input tokens=int32:1,2048`` reads it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


class Block(layers.Layer):
    """LayerNorm, attention, LayerNorm, MLP, with two shortcuts."""

    def __init__(self, width: int, heads: int, key_dim: int, hidden: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.norm1 = layers.LayerNormalization()
        self.attention = layers.MultiHeadAttention(heads, key_dim)
        self.norm2 = layers.LayerNormalization()
        self.up = layers.Dense(hidden, activation="silu")
        self.down = layers.Dense(width)

    def call(self, x: Any) -> Any:
        """(batch, tokens, width) → the same."""
        y = self.norm1(x)
        x = x + self.attention(y, y, use_causal_mask=True)
        return x + self.down(self.up(self.norm2(x)))


class Decoder(keras.Model):
    """A pre-norm decoder-only transformer of 61,165,338,624 parameters."""

    def __init__(self, width: int = 8192, blocks: int = 80, hidden: int = 28672) -> None:
        super().__init__(name="decoder_61b")
        self.embedding = layers.Embedding(128256, width)
        self.blocks = [Block(width, 64, 128, hidden, name=f"block{i}") for i in range(blocks)]
        self.head = layers.Dense(128256, use_bias=False)

    def call(self, tokens: Any) -> Any:
        """(batch, tokens) of int32 → (batch, tokens, vocabulary)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
