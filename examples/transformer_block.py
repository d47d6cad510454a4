"""A transformer encoder block: self-attention, then an MLP for every token by itself.

Its query, key, value and output projections and both layers of the MLP are 1x1 convolutions over
the sequence. At 196 tokens (14x14 patches) of width 384 with 6 heads, as in DeiT-S without its
class token: 1,774,464 parameters and 376,320,000 MACs, of which 29,503,488 are in the two products
of attention.

Papers: "Attention Is All You Need", NeurIPS 2017, arXiv:1706.03762, section 3; normalised before
each half as in "An Image is Worth 16x16 Words", ICLR 2021, arXiv:2010.11929, figure 1.
"""

import keras
from keras import layers


def build(tokens: int = 196, width: int = 384, heads: int = 6, expansion: int = 4) -> keras.Model:
    """Return one block; the MLP is ``expansion`` times as wide inside."""
    inputs = keras.Input((tokens, width), name="tokens")

    x = layers.LayerNormalization(epsilon=1e-6, name="norm1")(inputs)
    x = layers.MultiHeadAttention(heads, width // heads, name="attention")(x, x)
    attended = layers.Add(name="add1")([inputs, x])

    x = layers.LayerNormalization(epsilon=1e-6, name="norm2")(attended)
    x = layers.Dense(expansion * width, activation="gelu", name="expand")(x)
    x = layers.Dense(width, name="contract")(x)
    outputs = layers.Add(name="add2")([attended, x])
    return keras.Model(inputs, outputs, name="transformer_block")


model = build()
