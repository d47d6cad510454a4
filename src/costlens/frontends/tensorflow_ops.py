"""Functions of TensorFlow that Keras 2 recorded as layers → operations of ``keras.ops``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Function → operation, names of its further operands, and settings by what Keras calls them."""
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
_IGNORED = frozenset({"name", "conjugate", "data_format", "beta"})
_DEFAULTS: Mapping[str, Any] = {
    "adjoint_a": False, "adjoint_b": False, "a_is_sparse": False, "b_is_sparse": False,
    "batch_dims": 0, "constant_values": 0, "mode": "CONSTANT", "num": None, "output_type": None,
    "transpose_a": False, "transpose_b": False,
}  # fmt: skip
"""What a setting that the operation does not have must be for it to be the same."""


def operation(layer: dict[str, Any]) -> None:
    """Make a layer that stands for a function of TensorFlow's an operation, where there is one.

    Where there is none it becomes an unknown of the function's name.
    """
    function = str(layer["config"].get("function"))
    known = _OPERATIONS.get(function) or _OPERATIONS.get(function.rpartition(".")[2])
    (node, *more) = layer["inbound_nodes"] or [{"args": [], "kwargs": {}}]
    kwargs = node["kwargs"]
    made = None if known is None or more else _operation(layer, known, node, kwargs)
    if made is None:
        layer.update(module="tensorflow", class_name=f"tf.{function}")
    else:
        layer.update(made)


def _operation(
    layer: Mapping[str, Any],
    known: tuple[str, Sequence[str], Mapping[str, str]],
    node: Mapping[str, Any],
    kwargs: Mapping[str, Any],
) -> Mapping[str, Any] | None:
    name, operands, settings = known
    config = {"name": layer["config"].get("name")}
    for key, value in kwargs.items():
        if key in settings:
            config[settings[key]] = value
        elif key not in operands and key not in _IGNORED and _DEFAULTS.get(key, value) != value:
            return None
        elif key not in operands and key not in _IGNORED and key not in _DEFAULTS:
            return None
    if any(_is_tensor(value) for value in config.values()):
        return None
    if not all(key in kwargs for key in operands):
        return None
    args = [*node["args"], *(kwargs[key] for key in operands)]
    if name == "GetItem":
        key = {"class_name": "__tuple__", "config": {"value": args[1]}}
        args = [args[0], key if isinstance(args[1], list) else args[1]]
    elif name not in ("Concatenate", "Stack"):
        args = [_constant(arg) for arg in args]
    called = {"args": args, "kwargs": {}}
    return {
        "module": "keras.ops", "class_name": name, "config": _adjusted(name, config),
        "inbound_nodes": [called],
    }  # fmt: skip


def _adjusted(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Where Keras's defaults and spellings are others than TensorFlow's."""
    match name:
        case "Argmax":
            config.setdefault("axis", 0)
        case "Gelu":
            config.setdefault("approximate", False)
        case "Softmax" | "LogSoftmax":
            config["axis"] = -1 if config.get("axis") is None else config["axis"]
        case "Split":
            sizes = config.get("indices_or_sections")
            if isinstance(sizes, list):
                config["indices_or_sections"] = [sum(sizes[:i]) for i in range(1, len(sizes))]
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
