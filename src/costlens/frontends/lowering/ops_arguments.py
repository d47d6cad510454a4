"""Reading the arguments of a ``keras.ops`` call: tensors, literals, and what Keras declares."""

from __future__ import annotations

from costlens.frontends.layercall import Constant, LayerCall, Tensor, Tree, leaves
from costlens.frontends.lowering.build import Builder
from costlens.ir.types import Shape, TensorType


def operand(
    b: Builder, call: LayerCall, position: int, name: str, dtype: str = "float32"
) -> Tensor | None:
    """A tensor argument, or None; a number or a nested list of numbers becomes a constant."""
    value = call.arg(position, name)
    if value is None or isinstance(value, Tensor):
        return value
    tensors = [leaf for leaf in leaves(value) if isinstance(leaf, Tensor)]
    if tensors:
        return b.rearrange("stack", tensors, (len(tensors), *tensors[0].shape))
    type_ = TensorType(_literal_shape(value), dtype)
    return b.constant(Constant(type_, (call.layer.identity, position)))


def required(
    b: Builder, call: LayerCall, position: int, name: str, dtype: str = "float32"
) -> Tensor:
    """As ``operand``, of an argument that is never None."""
    value = operand(b, call, position, name, dtype)
    if value is None:
        raise ValueError(f"the argument {name!r} is missing")
    return value


def _literal_shape(value: Tree) -> Shape:
    if not isinstance(value, (list, tuple)):
        return ()
    return (len(value), *(_literal_shape(value[0]) if value else ()))


def stated(call: LayerCall, default: str, index: int = 0) -> str:
    """The dtype that Keras declares for an output, which the rest of the model builds on.

    Needed where the declaration is not what is computed: a few operations declare float32 or
    their input's dtype whatever they return.
    """
    return call.expected[index][1] if index < len(call.expected) else default
