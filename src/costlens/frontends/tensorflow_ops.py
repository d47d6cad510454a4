"""Functions of TensorFlow that Keras 2 recorded as layers → operations of ``keras.ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

_TABLE = """
__operators__.add       Add                 y
__operators__.getitem   GetItem             slice_spec
__operators__.sub       Subtract            y
__operators__.mul       Multiply            y
__operators__.truediv   Divide              y
abs                     Absolute            -
add                     Add                 y
bias_add                Add                 bias
argmax                  Argmax              -          axis
cast                    Cast                -          dtype
clip_by_value           Clip                -          clip_value_min=x_min clip_value_max=x_max
concat                  Concatenate         -          axis
depth_to_space          DepthToSpace        -          block_size
divide                  Divide              y
elu                     Elu                 -
equal                   Equal               y
erf                     Erf                 -
exp                     Exp                 -
expand_dims             ExpandDims          -          axis
floor                   Floor               -
gather                  Take                indices    axis
gelu                    Gelu                -          approximate
greater                 Greater             y
greater_equal           GreaterEqual        y
identity                Copy                -
leaky_relu              LeakyRelu           -          alpha=negative_slope
less                    Less                y
less_equal              LessEqual           y
log                     Log                 -
log_softmax             LogSoftmax          -          axis
logical_and             LogicalAnd          y
logical_not             LogicalNot          -
matmul                  Matmul              b
maximum                 Maximum             y
minimum                 Minimum             y
multiply                Multiply            y
negative                Negative            -
not_equal               NotEqual            y
one_hot                 OneHot              -          depth=num_classes axis
pad                     Pad                 -          paddings=pad_width
pow                     Power               y
reciprocal              Reciprocal          -
reduce_max              Max                 -          axis keepdims
reduce_mean             Mean                -          axis keepdims
reduce_min              Min                 -          axis keepdims
reduce_prod             Prod                -          axis keepdims
reduce_std              Std                 -          axis keepdims
reduce_sum              Sum                 -          axis keepdims
reduce_variance         Var                 -          axis keepdims
relu                    Relu                -
relu6                   Relu6               -
reshape                 Reshape             -          shape=newshape
reverse                 Flip                -          axis
resize                  Resize              -          size method=interpolation
round                   Round               -
rsqrt                   Rsqrt               -
selu                    Selu                -
sigmoid                 Sigmoid             -
sign                    Sign                -
silu                    Silu                -
sin                     Sin                 -
cos                     Cos                 -
softmax                 Softmax             -          axis
softplus                Softplus            -
softsign                Softsign            -
space_to_depth          SpaceToDepth        -          block_size
split                   Split               -          num_or_size_splits=indices_or_sections axis
sqrt                    Sqrt                -
square                  Square              -
squeeze                 Squeeze             -          axis
stack                   Stack               -          axis
stop_gradient           StopGradient        -
sub                     Subtract            y
subtract                Subtract            y
swish                   Silu                -
tanh                    Tanh                -
tile                    Tile                -          multiples=repeats
transpose               Transpose           -          perm=axes
truediv                 Divide              y
where                   Where               x,y
zeros_like              ZerosLike           -
ones_like               OnesLike            -
"""


def _table() -> Mapping[str, tuple[str, Sequence[str], Mapping[str, str]]]:
    """Function → operation, further operands, and settings with the names that Keras has."""
    made = {}
    for line in _TABLE.strip().splitlines():
        function, name, operands, *settings = line.split()
        renamed = (setting.partition("=") for setting in settings)
        made[function] = (
            name,
            () if operands == "-" else tuple(operands.split(",")),
            {old: new or old for old, _, new in renamed},
        )
    return made


_OPERATIONS = _table()
_MODULES = ("", "__operators__", "compat.v1", "compat.v1.math", "compat.v1.nn", "image", "linalg",
            "math", "nn")  # fmt: skip
"""Where the functions live: those of one name do the same."""

_DEFAULTS: Mapping[str, Any] = {
    "a_is_sparse": False, "adjoint_a": False, "adjoint_b": False, "antialias": False,
    "b_is_sparse": False, "batch_dims": 0, "beta": 1.0, "conjugate": False, "constant_values": 0,
    "data_format": "NHWC", "mode": "CONSTANT", "preserve_aspect_ratio": False,
    "transpose_a": False, "transpose_b": False,
}  # fmt: skip
"""What a setting that the operation does not have must be for it to be the same."""


def operation(layer: dict[str, Any]) -> None:
    """Make a layer that stands for a function of TensorFlow's an operation, where there is one.

    Where there is none it becomes an unknown of the function's name.
    """
    function = str(layer["config"].get("function"))
    module, _, name = function.rpartition(".")
    known = _OPERATIONS.get(function) or (_OPERATIONS.get(name) if module in _MODULES else None)
    nodes = layer["inbound_nodes"]
    made = _operation(layer, *known, nodes[0]) if known and len(nodes) == 1 else None
    layer.update(made or {"module": "tensorflow", "class_name": f"tf.{function}"})


def _operation(
    layer: Mapping[str, Any],
    name: str,
    operands: Sequence[str],
    settings: Mapping[str, str],
    node: Mapping[str, Any],
) -> Mapping[str, Any] | None:
    """The operation of Keras's; None where the function is called in a way that it has not."""
    kwargs = node["kwargs"]
    config = {new: kwargs[old] for old, new in settings.items() if old in kwargs}
    for key in kwargs.keys() - settings.keys() - {*operands, "name"}:
        if key not in _DEFAULTS or kwargs[key] != _DEFAULTS[key]:
            return None
    if not kwargs.keys() >= set(operands) or any(map(_is_tensor, config.values())):
        return None
    args = [*node["args"], *(kwargs[key] for key in operands)]
    if name == "GetItem" and isinstance(args[1], list):
        args[1] = {"class_name": "__tuple__", "config": {"value": args[1]}}
    elif name not in ("Concatenate", "GetItem", "Stack"):
        args = [_constant(arg) for arg in args]
    return {
        "module": "keras.ops",
        "class_name": name,
        "config": {"name": layer["config"].get("name"), **_adjusted(name, config)},
        "inbound_nodes": [{"args": args, "kwargs": {}}],
    }


def _adjusted(name: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where Keras's defaults and spellings are others than TensorFlow's."""
    match name:
        case "Argmax":
            return {"axis": 0, **config}
        case "Gelu":
            return {"approximate": False, **config}
        case "Split" if isinstance(sizes := config.get("indices_or_sections"), list):
            return {**config, "indices_or_sections": list(accumulate(sizes))[:-1]}
    return config


def _constant(value: Any) -> Any:
    """A list of numbers is an array."""
    if not isinstance(value, list) or _is_tensor(value):
        return value
    return {"class_name": "__numpy__", "config": {"value": value, "dtype": _dtype(value)}}


def _dtype(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return "bool" if isinstance(value, bool) else "int32" if isinstance(value, int) else "float32"


def _is_tensor(value: Any) -> bool:
    """Whether there is a tensor in it."""
    if isinstance(value, list):
        return any(map(_is_tensor, value))
    return isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__"
