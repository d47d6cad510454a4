"""Attention layers: multi-head, grouped-query, and the two of sequence-to-sequence models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from costlens.frontends.layercall import Layer, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_attention import attention_core


def _projection(
    b: Builder, call: LayerCall, name: str, x: Tensor, equation: str, shape: Sequence[int]
) -> Tensor:
    """One of the EinsumDense layers inside, under its Keras name.

    ``sublayers`` in a config holds what was changed on a layer inside after it was made
    (quantisation, LoRA, freezing), which the outer layer's own config does not say.
    """
    kernel, output = equation.split(",")[1].split("->")
    fresh = "".join(label for label in output if label in kernel)
    config = {
        "name": name,
        "dtype": call.config.get("dtype"),
        "equation": equation,
        "output_shape": (*(None,) * (len(output) - len(shape) - 1), *shape),
        "bias_axes": fresh if call.config.get("use_bias", True) else None,
        "activation": "sigmoid" if name == "gate" else None,
        **call.config.get("sublayers", {}).get(name, {}),
    }
    layer = Layer("layer:EinsumDense", name, config, (call.layer.identity, name))
    return b.apply(layer, Tensor(x.id, x.type))  # type: ignore[no-any-return]


def _project_heads(
    b: Builder, call: LayerCall, name: str, x: Tensor, heads: int, size: int
) -> Tensor:
    """(…, m) → (…, heads, size)."""
    axes = ascii_lowercase[: x.rank - 1]
    return _projection(b, call, name, x, f"{axes}M,MNH->{axes}NH", (heads, size))


def _project_output(b: Builder, call: LayerCall, x: Tensor, shape: Sequence[int]) -> Tensor:
    """(…, heads, size) → (…, *shape)."""
    axes = ascii_lowercase[: x.rank - 2]
    new = ascii_uppercase[-len(shape) :]
    return _projection(b, call, "attention_output", x, f"{axes}AB,AB{new}->{axes}{new}", shape)


# -- masks -----------------------------------------------------------------------------------


def _given(x: Tensor | None, explicit: Tree) -> Tensor | None:
    """A mask argument, or else the mask that travels on the tensor."""
    if isinstance(explicit, Tensor):
        return explicit
    return x.mask() if x is not None and x.mask is not None else None


def _and(b: Builder, one: Tensor | None, two: Tensor | None) -> Tensor | None:
    if one is None or two is None:
        return one if two is None else two
    return b.compare("logical_and", one, two)


def _expanded(b: Builder, x: Tensor, axis: int) -> Tensor:
    """A view with a new axis of size 1, at this place of the result."""
    at = axis % (x.rank + 1)
    return b.reshape(x, (*x.shape[:at], 1, *x.shape[at:]))


def _causal_mask(b: Builder, queries: int, keys: int) -> Tensor:
    """(1, T, S): row number ≥ column number, both by running sums of ones, as Keras does."""
    ones = b.fill((1, queries, keys), "int32", "ones")
    rows = b.emit("cumulative", (ones,), fn="cumsum", axis=1)
    columns = b.emit("cumulative", (ones,), fn="cumsum", axis=2)
    return b.compare("greater_equal", rows, columns)


def _window_mask(b: Builder, queries: int, keys: int, width: int) -> Tensor:
    """(1, T, S): positions less than ``width`` apart."""
    rows = b.reshape(b.fill((queries,), "int32", "arange"), (1, queries, 1))
    columns = b.reshape(b.fill((keys,), "int32", "arange"), (1, 1, keys))
    return b.compare("less", b.unary("abs", b.binary("subtract", rows, columns)), width)


def _attention_mask(
    b: Builder, call: LayerCall, query: Tensor, value: Tensor, masks: Mapping[str, Tensor | None]
) -> Tensor | None:
    """Every mask of the call merged, (B, T, S): query, value, key, causal, window, explicit."""
    merged: Tensor | None = None
    for name, axis in (("query", -1), ("value", -2), ("key", -2)):
        mask = masks[name]
        if mask is not None:
            merged = _and(b, merged, _expanded(b, b.cast(mask, "bool"), axis))
    sizes = query.shape[1], value.shape[1]
    if call.kwargs.get("use_causal_mask"):
        merged = _and(b, merged, _causal_mask(b, *sizes))
    window = call.config.get("sliding_window")
    if window is not None:
        merged = _and(b, merged, _window_mask(b, *sizes, window))
    given = masks["attention"]
    if given is not None and (merged is not None or call.layer.kind == "MultiHeadAttention"):
        given = b.cast(given, "bool")
    return _and(b, given, merged)


# -- multi-head and grouped-query --------------------------------------------------------------


def _multi_head_attention(b: Builder, call: LayerCall) -> Tree:
    """Vaswani et al. 2017. Keras takes the masks off its inputs, so later layers see none."""
    config = call.config
    query, value, key = _operands(call)
    masks = _masks(call, query, value, key)
    masks["query"] = _given(query, None)
    for x in (query, value, key or value):
        b.unmasked.add(x.id)
    heads, size = config["num_heads"], config["key_dim"]
    parts = {
        "query": (query, heads, size),
        "key": (key or value, heads, size),
        "value": (value, heads, config.get("value_dim") or size),
    }
    shape = config.get("output_shape") or [query.shape[-1]]
    shape = (shape,) if isinstance(shape, int) else shape
    return _attention(b, call, parts, masks, size**-0.5, _attended_axes(call, value.rank), shape)


def _attended_axes(call: LayerCall, rank: int) -> tuple[int, ...]:
    """The axes of inputs of this rank that attention runs over; by default all between.

    Building a layer settles those that count from the end. Older versions of Keras leave them
    and count on the projections, which have an axis more; so does what such a layer computes.
    """
    given = call.config.get("attention_axes")
    if given is None:
        return tuple(range(1, rank - 1))
    listed = (given,) if isinstance(given, int) else given
    counted = rank if call.layer.stored is None else rank + 1
    return tuple(axis if axis >= 0 else counted + axis for axis in listed)


def _grouped_query_attention(b: Builder, call: LayerCall) -> Tree:
    """Ainslie et al. 2023: each key and value head serves several query heads."""
    config = call.config
    query, value, key = _operands(call)
    masks = _masks(call, query, value, key)
    heads, shared = config["num_query_heads"], config["num_key_value_heads"]
    size = config["head_dim"]
    parts = {
        "query": (query, heads, size),
        "key": (key or value, shared, size),
        "value": (value, shared, size),
    }
    return _attention(b, call, parts, masks, size**-0.5, (1,), (query.shape[-1],))


def _operands(call: LayerCall) -> tuple[Tensor, Tensor, Tensor | None]:
    return call.arg(0, "query"), call.arg(1, "value"), call.arg(2, "key")


def _masks(
    call: LayerCall, query: Tensor, value: Tensor, key: Tensor | None
) -> dict[str, Tensor | None]:
    """Masks by argument; those not given travel on the tensors."""
    given = call.arg(6, "attention_mask")
    return {
        "query": _given(query, call.arg(3, "query_mask")),
        "value": _given(value, call.arg(4, "value_mask")),
        "key": _given(key, call.arg(5, "key_mask")),
        "attention": given if isinstance(given, Tensor) else None,
    }


def _attention(
    b: Builder,
    call: LayerCall,
    parts: Mapping[str, tuple[Tensor, int, int]],
    masks: Mapping[str, Tensor | None],
    scale: float,
    axes: tuple[int, ...],
    output: Sequence[int],
) -> Tree:
    """Projections, scores, softmax, context, output projection.

    Keras fuses the middle where nothing needs the scores themselves; causal masking alone then
    needs no mask argument, from the version on that can slide a window.
    """
    config, query = call.config, parts["query"][0]
    wants_scores = bool(call.kwargs.get("return_attention_scores"))
    fused = query.rank == 3 and not config.get("dropout") and not wants_scores
    causal = bool(call.kwargs.get("use_causal_mask"))
    unmasked = "sliding_window" in config and config["sliding_window"] is None
    alone = causal and unmasked and not any(masks.values())
    mask = None
    if not (alone and fused):
        mask = _attention_mask(b, call, query, parts["value"][0], masks)
    gate = None
    if config.get("use_gate"):
        gate = _project_heads(b, call, "gate", query, parts["query"][1], parts["value"][2])
    q, k, v = (_project_heads(b, call, name, *part) for name, part in parts.items())
    if call.layer.kind != "MultiHeadAttention":
        k, v = (b.broadcast(x, (*x.shape[:-2], q.shape[-2], x.shape[-1])) for x in (k, v))
    scores = None
    if fused:
        mask = None if mask is None else b.cast(_aligned(b, mask, 4, 1), "bool")
        y = attention_core(b, q, k, v, mask=mask, scale=scale, causal=alone)
    else:
        y, scores = _explicit(b, q, k, v, mask, scale, axes)
    y = _project_output(b, call, y if gate is None else b.binary("multiply", y, gate), output)
    y = Tensor(y.id, y.type, query.mask)
    return (y, scores) if wants_scores else y


def _aligned(b: Builder, mask: Tensor, rank: int, attended: int) -> Tensor:
    """Axes of size 1 where the scores have heads and further batch axes."""
    while mask.rank < rank:
        mask = _expanded(b, mask, -2 * attended - 1)
    return mask


def _explicit(
    b: Builder,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scale: float,
    axes: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """softmax(q·kᵀ/√H)·v over ``axes`` of (…, heads, size) operands, and the scores."""
    rank = q.rank
    target = ascii_lowercase[:rank]
    source = "".join(a.upper() if i in axes else a for i, a in enumerate(target))
    kept = [target[i] for i in range(rank - 1) if i not in axes]
    product = "".join([*kept, *(target[i] for i in axes), *(source[i] for i in axes)])
    q = b.binary("multiply", q, scale)
    scores = b.einsum(f"{source},{target}->{product}", k, q, label="scores")
    if mask is not None:
        scores = _masked(b, scores, _aligned(b, mask, scores.rank, len(axes)))
    lanes = tuple(range(scores.rank - len(axes), scores.rank))
    weights = b.emit("softmax", (scores,), label="softmax", fn="softmax", axis=_one(lanes))
    return b.einsum(f"{product},{source}->{target}", weights, v, label="context"), weights


def _one(axes: tuple[int, ...]) -> int | tuple[int, ...]:
    return axes[0] if len(axes) == 1 else axes


def _masked(b: Builder, scores: Tensor, keep: Tensor) -> Tensor:
    """Masked scores become a large negative number; a mask that is not bool keeps above 0.5."""
    if keep.dtype != "bool":
        keep = b.compare("greater", keep, 0.5)
    return b.emit("select", (keep, scores), label="mask", dtype=scores.dtype)


# -- Luong and Bahdanau attention --------------------------------------------------------------


def _dot_scores(b: Builder, call: LayerCall, q: Tensor, k: Tensor) -> Tensor:
    """q·kᵀ, by a learnt scalar where asked for (Luong et al. 2015); or the "concat" mode."""
    scale = b.weight("scale", ()) if call.config.get("use_scale") else None
    if call.config.get("score_mode", "dot") == "concat":
        weight = b.weight("concat_score_weight", ())
        both = _pairwise(b, q, k)
        both = both if scale is None else b.binary("multiply", both, scale)
        return b.binary("multiply", b.reduce("sum", b.unary("tanh", both), -1), weight)
    axes = ascii_lowercase[: q.rank - 2]
    scores = b.einsum(f"{axes}TD,{axes}SD->{axes}TS", q, k, label="scores")
    return scores if scale is None else b.binary("multiply", scores, scale)


def _additive_scores(b: Builder, call: LayerCall, q: Tensor, k: Tensor) -> Tensor:
    """Σ scale·tanh(q + k) (Bahdanau et al. 2015); without a learnt scale Keras multiplies by 1."""
    learnt = call.config.get("use_scale", True)
    scale = b.weight("scale", (q.shape[-1],)) if learnt else 1.0
    both = b.unary("tanh", _pairwise(b, q, k))
    return b.reduce("sum", b.binary("multiply", both, scale), -1)


def _pairwise(b: Builder, q: Tensor, k: Tensor) -> Tensor:
    """q + k for every pair of positions, (B, T, S, dim)."""
    return b.binary("add", _expanded(b, q, -2), _expanded(b, k, -3))


def _score_mask(
    b: Builder, call: LayerCall, scores: Tensor, value_mask: Tensor | None
) -> Tensor | None:
    if not call.kwargs.get("use_causal_mask"):
        return value_mask
    causal = _causal_mask(b, *scores.shape[-2:])
    return _and(b, value_mask and _expanded(b, value_mask, -2), causal)


def _sequence_attention(additive: bool) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        inputs = call.arg(0, "inputs")
        q, v = inputs[0], inputs[1]
        k = inputs[2] if len(inputs) > 2 else v
        given = call.arg(1, "mask") or (None, None)
        query_mask, value_mask = _given(q, given[0]), _given(v, given[1])
        scores = (_additive_scores if additive else _dot_scores)(b, call, q, k)
        keep = _score_mask(b, call, scores, value_mask)
        if keep is not None:
            scores = _lowered(b, call, scores, keep)
        weights = b.softmax(scores)
        axes = ascii_lowercase[: q.rank - 2]
        y = b.einsum(f"{axes}TS,{axes}SD->{axes}TD", weights, v, label="context")
        if query_mask is not None:
            y = _zeroed(b, call, y, _expanded(b, query_mask, -1))
        y = Tensor(y.id, y.type, None if query_mask is None else _constant_mask(query_mask))
        return (y, weights) if call.kwargs.get("return_attention_scores") else y

    return lowering


def _multiplies_masks(call: LayerCall) -> bool:
    """Versions of Keras that do not write the seed into the config multiply by their masks."""
    return "seed" not in call.config


def _lowered(b: Builder, call: LayerCall, scores: Tensor, keep: Tensor) -> Tensor:
    """Scores less a large number where padding is."""
    padding = b.unary("logical_not", keep, "bool")
    if padding.rank == 2:
        padding = _expanded(b, padding, -2)
    if _multiplies_masks(call):
        large = b.binary("multiply", b.cast(padding, scores.dtype), 1e9)
        return b.binary("subtract", scores, large)
    less = b.binary("subtract", scores, 1e9)
    return b.emit("select", (padding, less, scores), label="mask", dtype=scores.dtype)


def _zeroed(b: Builder, call: LayerCall, y: Tensor, keep: Tensor) -> Tensor:
    """The output, 0 where the query is padding."""
    if _multiplies_masks(call):
        return b.binary("multiply", y, b.cast(keep, y.dtype))
    return b.emit("select", (keep, y), label="mask", dtype=y.dtype)


def _constant_mask(mask: Tensor) -> Any:
    return lambda: mask


LAYERS: Mapping[str, Lowering] = {
    "layer:MultiHeadAttention": _multi_head_attention,
    "layer:GroupedQueryAttention": _grouped_query_attention,
    "layer:GroupQueryAttention": _grouped_query_attention,
    "layer:Attention": _sequence_attention(additive=False),
    "layer:AdditiveAttention": _sequence_attention(additive=True),
}
