"""Layers and operations of Keras that no lowering reads, and why: an unknown in a report."""

from __future__ import annotations

from collections.abc import Mapping

_TRACED = "it takes a function, which only tracing can read"
_BASE = "a base class, whose subclasses are read"
_MADE = "its function makes the array at once, so that no model holds the operation"

NOT_LOWERED: Mapping[str, str] = {
    "layer:FlaxLayer": "it wraps a Flax module, which Keras does not describe",
    "layer:InputLayer": "a model's input is read with the model",
    "layer:JaxLayer": "it wraps a JAX function, which only tracing can read",
    "layer:Lambda": _TRACED,
    "layer:Layer": _BASE,
    "layer:TFSMLayer": "it wraps a SavedModel, which Keras does not describe",
    "layer:TorchModuleWrapper": "it wraps a PyTorch module, which Keras does not describe",
    "layer:Wrapper": _BASE,
    "op:Arange": "Keras refuses tensors for its bounds, so no model records it",
    "op:AssociativeScan": _TRACED,
    "op:Cond": _TRACED,
    "op:ForiLoop": _TRACED,
    "op:JVP": _TRACED,
    "op:Map": _TRACED,
    "op:Scan": _TRACED,
    "op:SegmentReduction": _BASE,
    "op:Switch": _TRACED,
    "op:VectorizedMap": _TRACED,
    "op:WhileLoop": _TRACED,
    **{f"op:{name}": _MADE for name in ("Empty", "Eye", "Identity", "Ones", "Tri", "Zeros")},
}
"""Key, as in ``LOWERINGS``, to the reason."""
