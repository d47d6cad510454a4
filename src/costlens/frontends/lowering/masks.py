"""Which Keras layers let a mask pass, and which leave their inputs' dtype alone."""

from __future__ import annotations

PASSES_MASK = frozenset(
    "Activation ActivityRegularization AlphaDropout BatchNormalization Dense Dropout ELU "
    "GaussianDropout GaussianNoise GroupNormalization GroupQueryAttention Identity "
    "LayerNormalization LeakyReLU MultiHeadAttention Normalization PReLU ReLU Rescaling Softmax "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D "
    "TimeDistributed UnitNormalization".split()
)
"""Layers with ``supports_masking`` and Keras's default ``compute_mask``."""

NO_AUTOCAST = frozenset(
    "CategoryEncoding Discretization Embedding GroupNormalization HashedCrossing Hashing "
    "IntegerLookup LayerNormalization Pipeline RandomCrop RandomFlip "
    "ReversibleEmbedding StringLookup "
    "TextVectorization".split()
)
"""Layers that take float inputs in the dtype they come in."""
