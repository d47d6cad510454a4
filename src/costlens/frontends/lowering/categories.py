"""Categorical preprocessing: encodings, hashing, vocabulary lookups, text.

Hashing, lookups and string work are index arithmetic and table reads: no FLOPs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import Constant, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.ir.types import Shape, TensorType

_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


def encode(
    b: Builder,
    x: Tensor,
    mode: str,
    shape: Shape,
    dtype: str,
    weights: Tensor | None = None,
    sparse: bool = False,
) -> Tensor:
    """Category numbers as one_hot, multi_hot or count vectors of the shape given.

    Up to rank 2 the vectors are written by index, a count adding 1 (or a weight) per element.
    Above that Keras reduces one-hot vectors over an axis.
    """
    if sparse:
        b.note(f"{b.scope[-1]}: its sparse output is counted as a dense one")
    if mode == "one_hot":
        return b.rearrange("one_hot", x, shape, dtype)
    if x.rank > 2:
        hot = b.rearrange(
            "one_hot", x, (*shape[:-1], x.type.size // _rows(shape), shape[-1]), dtype
        )
        if weights is not None:
            hot = b.binary("multiply", hot, b.reshape(weights, (*hot.shape[:-1], 1)))
        return b.reduce("sum" if mode == "count" else "max", hot, -2)
    operands = (x,) if weights is None else (x, weights)
    fn = "add" if mode == "count" else "set"
    return b.emit("scatter", operands, label=mode, shape=shape, dtype=dtype, fn=fn)


def declared(call: LayerCall, shape: Shape) -> Shape:
    """The output shape, as the live model's own Keras declares it.

    Its releases disagree about the rank of an encoding, and about its last axis.
    """
    told = call.expected[0][0] if call.expected else shape
    if len(told) == len(shape):
        return (*shape[:-1], told[-1] or shape[-1]) if told else shape
    if None in told[1:]:
        return shape
    batch = call.x.shape[0] if call.x.rank else 1
    return tuple(batch if n is None else n for n in told)


def _rows(shape: Shape) -> int:
    return TensorType(shape[:-1], "bool").size or 1


def one_hot_shape(shape: Shape, depth: int) -> Shape:
    """A last axis of 1 gives way to the encoding; any other stays before it."""
    base = shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape
    return (*base, depth)


def _category_encoding(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    mode = str(config.get("output_mode", "multi_hot"))
    mode, depth = _MODES.get(mode, mode), config["num_tokens"]
    shape = one_hot_shape(x.shape, depth) if mode == "one_hot" else (*x.shape[:-1], depth)
    weights = call.arg(1, "count_weights")
    if isinstance(weights, Tensor):
        weights = b.cast(weights, b.policy.compute)
    sparse = bool(config.get("sparse"))
    return encode(b, x, mode, declared(call, shape), b.policy.compute, weights, sparse)


def _hashing(b: Builder, call: LayerCall) -> Tensor:
    """Each value's hash, modulo the number of bins."""
    config, x, dtype = call.config, call.x, b.policy.variable
    mode, bins = config.get("output_mode", "int"), config["num_bins"]
    if mode == "int":
        return b.rearrange("hash", x, x.shape, dtype)
    y = b.rearrange("hash", x, x.shape, "int64")
    shape = declared(call, (*x.shape[:-1], bins))
    return encode(b, y, mode, shape, dtype, sparse=bool(config.get("sparse")))


def _hashed_crossing(b: Builder, call: LayerCall) -> Tensor:
    """The hash of each row of features taken together."""
    config, x, dtype = call.config, call.x, b.policy.compute
    if config.get("output_mode", "int") == "int":
        return b.rearrange("hash", call.tensors, x.shape, dtype)
    y = b.rearrange("hash", call.tensors, x.shape, "int64")
    last = x.shape[-1] if x.rank else 0
    shape = declared(call, (*(x.shape[:-1] if last == 1 else x.shape), config["num_bins"]))
    return encode(b, y, "one_hot", shape, dtype, sparse=bool(config.get("sparse")))


def _depth(b: Builder, config: Mapping[str, Any]) -> int:
    """The vocabulary's size, or what it is padded to."""
    if config.get("pad_to_max_tokens") and config.get("max_tokens"):
        return int(config["max_tokens"])
    size = config.get("vocabulary_size")
    return int(size) if size else b.open_length("the size of its vocabulary")


def _weighted(b: Builder, call: LayerCall, counts: Tensor) -> Tensor:
    """Counts times the inverse document frequencies, which are no weights of the model."""
    size = TensorType(counts.shape[-1:], counts.dtype)
    return b.binary("multiply", counts, b.constant(Constant(size, (call.layer.identity, "idf"))))


def _lookup(b: Builder, call: LayerCall) -> Tensor:
    """StringLookup and IntegerLookup: a number per token, or an encoding of the numbers."""
    config, x = call.config, call.x
    mode = str(config.get("output_mode", "int"))
    mode = _MODES.get(mode, mode)
    found = b.gather((x,), x.shape, "int64")
    if mode == "int":
        return found
    depth = _depth(b, config)
    shape = one_hot_shape(x.shape, depth) if mode == "one_hot" else (*x.shape[:-1], depth)
    return _encoded(b, call, found, mode, shape)


def _encoded(b: Builder, call: LayerCall, x: Tensor, mode: str, shape: Shape) -> Tensor:
    shape = declared(call, shape)
    sparse = bool(call.config.get("sparse"))
    if mode == "tf_idf":
        return _weighted(b, call, encode(b, x, "count", shape, "float32", sparse=sparse))
    return encode(b, x, mode, shape, "float32", sparse=sparse)


def _text_vectorization(b: Builder, call: LayerCall) -> Tensor:
    """Text (B,) or (B, 1) → tokens (B, L) → their numbers, or one vector per text."""
    config, x = call.config, call.x
    mode = str(config.get("output_mode", "int"))
    mode = _MODES.get(mode, mode)
    batch: Sequence[int] = x.shape[:1]
    if mode == "int":
        return b.gather((x,), (*batch, _tokens(b, call)), "int64")
    depth = _depth(b, config)
    if config.get("split") is None:
        shape = (*(x.shape[:-1] if x.rank > 1 else batch), depth)
    else:
        shape = (*x.shape, depth)
    if mode == "multi_hot":  # nothing is added, whatever the number of tokens
        return _encoded(b, call, b.gather((x,), x.shape, "int64"), mode, shape)
    tokens = b.gather((x,), (*batch, _tokens(b, call)), "int64")
    return _encoded(b, call, tokens, mode, shape)


def _tokens(b: Builder, call: LayerCall) -> int:
    """The number of tokens per text: fixed, the width of texts already split, or left open."""
    fixed = call.config.get("output_sequence_length")
    if fixed is not None:
        return int(fixed)
    if call.config.get("split") is None and not call.config.get("ngrams") and call.x.rank > 1:
        return call.x.shape[-1]
    return b.open_length("the number of tokens of a text")


LAYERS: Mapping[str, Lowering] = {
    "layer:CategoryEncoding": _category_encoding,
    "layer:Hashing": _hashing,
    "layer:HashedCrossing": _hashed_crossing,
    "layer:StringLookup": _lookup,
    "layer:IntegerLookup": _lookup,
    "layer:TextVectorization": _text_vectorization,
}
