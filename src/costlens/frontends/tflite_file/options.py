"""What TensorFlow Lite's schema says: operator names, dtypes, and the options of each operator.

An option is ``name:slot:code``; the code is struct's, or ``v`` for a vector of int32. Those that
are left out of the file are 0 or False, dilations 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.tflite_file.flatbuffer import Table

# fmt: off
KINDS: tuple[str, ...] = tuple("""
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE
    EMBEDDING_LOOKUP FLOOR FULLY_CONNECTED HASHTABLE_LOOKUP L2_NORMALIZATION L2_POOL_2D
    LOCAL_RESPONSE_NORMALIZATION LOGISTIC LSH_PROJECTION LSTM MAX_POOL_2D MUL RELU RELU_N1_TO_1
    RELU6 RESHAPE RESIZE_BILINEAR RNN SOFTMAX SPACE_TO_DEPTH SVDF TANH CONCAT_EMBEDDINGS
    SKIP_GRAM CALL CUSTOM EMBEDDING_LOOKUP_SPARSE PAD UNIDIRECTIONAL_SEQUENCE_RNN GATHER
    BATCH_TO_SPACE_ND SPACE_TO_BATCH_ND TRANSPOSE MEAN SUB DIV SQUEEZE
    UNIDIRECTIONAL_SEQUENCE_LSTM STRIDED_SLICE BIDIRECTIONAL_SEQUENCE_RNN EXP TOPK_V2 SPLIT
    LOG_SOFTMAX DELEGATE BIDIRECTIONAL_SEQUENCE_LSTM CAST PRELU MAXIMUM ARG_MAX MINIMUM LESS NEG
    PADV2 GREATER GREATER_EQUAL LESS_EQUAL SELECT SLICE SIN TRANSPOSE_CONV SPARSE_TO_DENSE TILE
    EXPAND_DIMS EQUAL NOT_EQUAL LOG SUM SQRT RSQRT SHAPE POW ARG_MIN FAKE_QUANT REDUCE_PROD
    REDUCE_MAX PACK LOGICAL_OR ONE_HOT LOGICAL_AND LOGICAL_NOT UNPACK REDUCE_MIN FLOOR_DIV
    REDUCE_ANY SQUARE ZEROS_LIKE FILL FLOOR_MOD RANGE RESIZE_NEAREST_NEIGHBOR LEAKY_RELU
    SQUARED_DIFFERENCE MIRROR_PAD ABS SPLIT_V UNIQUE CEIL REVERSE_V2 ADD_N GATHER_ND COS WHERE
    RANK ELU REVERSE_SEQUENCE MATRIX_DIAG QUANTIZE MATRIX_SET_DIAG ROUND HARD_SWISH IF WHILE
    NON_MAX_SUPPRESSION_V4 NON_MAX_SUPPRESSION_V5 SCATTER_ND SELECT_V2 DENSIFY SEGMENT_SUM
    BATCH_MATMUL PLACEHOLDER_FOR_GREATER_OP_CODES CUMSUM CALL_ONCE BROADCAST_TO RFFT2D CONV_3D
    IMAG REAL COMPLEX_ABS HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_SIZE REDUCE_ALL
    CONV_3D_TRANSPOSE VAR_HANDLE READ_VARIABLE ASSIGN_VARIABLE BROADCAST_ARGS
    RANDOM_STANDARD_NORMAL BUCKETIZE RANDOM_UNIFORM MULTINOMIAL GELU DYNAMIC_UPDATE_SLICE
    RELU_0_TO_1 UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_MAX UNSORTED_SEGMENT_SUM ATAN2
    UNSORTED_SEGMENT_MIN SIGN BITCAST BITWISE_XOR RIGHT_SHIFT STABLEHLO_LOGISTIC STABLEHLO_ADD
    STABLEHLO_DIVIDE STABLEHLO_MULTIPLY STABLEHLO_MAXIMUM STABLEHLO_RESHAPE STABLEHLO_CLAMP
    STABLEHLO_CONCATENATE STABLEHLO_BROADCAST_IN_DIM STABLEHLO_CONVOLUTION STABLEHLO_SLICE
    STABLEHLO_CUSTOM_CALL STABLEHLO_REDUCE STABLEHLO_ABS STABLEHLO_AND STABLEHLO_COSINE
    STABLEHLO_EXPONENTIAL STABLEHLO_FLOOR STABLEHLO_LOG STABLEHLO_MINIMUM STABLEHLO_NEGATE
    STABLEHLO_OR STABLEHLO_POWER STABLEHLO_REMAINDER STABLEHLO_RSQRT STABLEHLO_SELECT
    STABLEHLO_SUBTRACT STABLEHLO_TANH STABLEHLO_SCATTER STABLEHLO_COMPARE STABLEHLO_CONVERT
    STABLEHLO_DYNAMIC_SLICE STABLEHLO_DYNAMIC_UPDATE_SLICE STABLEHLO_PAD STABLEHLO_IOTA
    STABLEHLO_DOT_GENERAL STABLEHLO_REDUCE_WINDOW STABLEHLO_SORT STABLEHLO_WHILE
    STABLEHLO_GATHER STABLEHLO_TRANSPOSE DILATE STABLEHLO_RNG_BIT_GENERATOR REDUCE_WINDOW
    STABLEHLO_COMPOSITE STABLEHLO_SHIFT_LEFT STABLEHLO_CBRT
""".split())
"""Built-in operators, by their number in the schema."""

DTYPES: tuple[str, ...] = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64",
    "int8", "float64", "complex128", "uint64", "string", "string", "uint32", "uint16", "int8",
    "bfloat16",
)
"""Dtypes by their number; a handle of a resource has no size, and int4 is read as int8."""

INT4 = 17

ACTIVATIONS = ("", "relu", "hard_tanh", "relu6", "tanh", "signbit")
"""What an operator may apply to its result, by its number in the schema."""

_CONV = "padding:0:b stride_w:1:i stride_h:2:i"
_FUSED = "fused:0:b"
_REDUCE = "keep_dims:0:?"
_TRANSPOSED = f"{_CONV} fused:3:b"
_POOL = f"{_CONV} filter_w:3:i filter_h:4:i fused:5:b"
_CONV_3D = ("padding:0:b stride_d:1:i stride_w:2:i stride_h:3:i fused:4:b dilation_d:5:i "
            "dilation_w:6:i dilation_h:7:i")

_OPTIONS: Mapping[str, str] = {
    "CONV_2D": f"{_CONV} fused:3:b dilation_w:4:i dilation_h:5:i",
    "DEPTHWISE_CONV_2D": f"{_CONV} fused:4:b dilation_w:5:i dilation_h:6:i",
    "CONV_3D": _CONV_3D,
    "CONV_3D_TRANSPOSE": _CONV_3D,
    "TRANSPOSE_CONV": _TRANSPOSED,
    "FULLY_CONNECTED": "fused:0:b weights_format:1:b keep_num_dims:2:?",
    "BATCH_MATMUL": "adj_x:0:? adj_y:1:?",
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "L2_POOL_2D": _POOL,
    **dict.fromkeys("ADD SUB MUL DIV L2_NORMALIZATION".split(), _FUSED),
    **dict.fromkeys(
        "MEAN SUM REDUCE_PROD REDUCE_MAX REDUCE_MIN REDUCE_ANY REDUCE_ALL".split(), _REDUCE
    ),
    "LOCAL_RESPONSE_NORMALIZATION": "radius:0:i bias:1:f alpha:2:f beta:3:f",
    "CONCATENATION": "axis:0:i fused:1:b",
    "PACK": "count:0:i axis:1:i",
    "UNPACK": "num:0:i axis:1:i",
    "SPLIT": "num:0:i",
    "RESHAPE": "new_shape:0:v",
    "SQUEEZE": "dims:0:v",
    "STRIDED_SLICE": "begin:0:i end:1:i ellipsis:2:i new_axis:3:i shrink:4:i offset:5:?",
    "GATHER": "axis:0:i batch_dims:1:i",
    "MIRROR_PAD": "mode:0:b",
    "DEPTH_TO_SPACE": "block:0:i",
    "SPACE_TO_DEPTH": "block:0:i",
    "SOFTMAX": "beta:0:f",
    "ONE_HOT": "axis:0:i",
    "GELU": "approximate:0:?",
    "CUMSUM": "exclusive:0:? reverse:1:?",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "fused:0:b time_major:3:?",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "time_major:0:? fused:1:b",
    "IF": "then:0:i else:1:i",
    "WHILE": "cond:0:i body:1:i",
    "CALL_ONCE": "init:0:i",
    "VAR_HANDLE": "container:0:s shared:1:s",
}

_OPTIONS_2: Mapping[str, str] = {"STABLEHLO_COMPOSITE": "name:0:s body:1:i"}
# fmt: on


def attributes(kind: str, operator: Table) -> dict[str, Any]:
    """The options of an operator, by name."""
    names, slot = (_OPTIONS_2[kind], 12) if kind in _OPTIONS_2 else (_OPTIONS.get(kind, ""), 4)
    table = operator.table(slot) if names else None
    found: dict[str, Any] = {}
    for text in names.split():
        name, at, code = text.split(":")
        default = int(name.startswith("dilation"))
        if table is None:
            found[name] = () if code == "v" else "" if code == "s" else default
        elif code == "v":
            found[name] = table.numbers(int(at))
        elif code == "s":
            found[name] = table.text(int(at))
        else:
            found[name] = table.number(int(at), code, default)
    return found
