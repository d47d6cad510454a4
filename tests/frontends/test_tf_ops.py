"""Every traced TensorFlow operation, run through a call and compared with what TensorFlow says.

Outputs have TensorFlow's own types; nothing but a contraction has MACs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from tensorflow.python.framework import op_def_registry

from costlens.frontends.lowering import tf_elementwise
from costlens.frontends.lowering.tf import TF_OPS
from tests.cost.test_functions import DEFINED, reference
from tests.frontends.lowering.ops_support import In, f, h, i, u
from tests.frontends.tf_support import lowered, steps_in, unknown_in
from tests.support import cost_of


def c(*shape: int) -> In:
    """A complex input."""
    return In(shape, "complex64")


def t(*shape: int) -> In:
    """A boolean input."""
    return In(shape, "bool")


def s(*shape: int) -> In:
    """An input of text."""
    return In(shape, "string")


def l(*shape: int) -> In:  # noqa: E743
    """An int64 input."""
    return In(shape, "int64")


def raw(name: str, *args: Any, **attrs: Any) -> tuple[str, Callable[..., Any], list[In]]:
    """An operation by name, its operands in order; an In is an input, the rest constants."""
    given: list[In] = []

    def collect(arg: Any) -> Any:
        if isinstance(arg, In):
            given.append(arg)
            return len(given) - 1, "input"
        return [collect(x) for x in arg] if type(arg) is list else (arg, "constant")

    tree = [collect(arg) for arg in args]
    names = list(inspect.signature(getattr(tf.raw_ops, name)).parameters)

    def call(*xs: Any) -> Any:
        def bind(leaf: Any) -> Any:
            if isinstance(leaf, list):
                return [bind(x) for x in leaf]
            return xs[leaf[0]] if leaf[1] == "input" else leaf[0]

        operands = dict(zip(names, map(bind, tree), strict=False))
        made = getattr(tf.raw_ops, name)(**operands, **attrs)
        return list(made) if isinstance(made, (list, tuple)) else made

    return name, call, given


DTYPES = {"LogicalNot": t, "Invert": i, "Real": c, "Imag": c, "Conj": c, "Angle": c}
PAIRED = {"BitwiseAnd": i, "BitwiseOr": i, "BitwiseXor": i, "LogicalAnd": t, "LogicalOr": t}
PAIRED |= {"LeftShift": i, "RightShift": i, "Mod": i, "TruncateDiv": i, "TruncateMod": i}
UNARY = [raw(name, DTYPES.get(name, f)(2, 3)) for name in tf_elementwise._UNARY]
BINARY = [
    raw(name, PAIRED.get(name, f)(2, 3), PAIRED.get(name, f)(3)) for name in tf_elementwise._BINARY
    if name != "ApproximateEqual"
]  # fmt: skip
WINDOW = {"ksize": [1, 3, 2, 1], "strides": [1, 2, 2, 1], "padding": "SAME"}
WINDOW3 = {"ksize": [1, 3, 2, 1, 1], "strides": [1, 2, 2, 1, 1], "padding": "VALID"}
STRIDES = {"strides": [1, 1, 1, 1], "padding": "VALID"}
IMAGE = f(2, 9, 8, 3)
SIZE = [5, 12]
MATRIX = f(2, 5, 5)
SEED = [1, 2]

MORE = [
    raw("ApproximateEqual", f(2, 3), f(2, 3)),
    raw("AccumulateNV2", [f(2, 3), f(2, 3)], shape=[2, 3]),
    raw("AddN", [f(2, 3), f(2, 3), f(2, 3)]),
    raw("BiasAdd", f(2, 4, 3), f(3)),
    raw("BiasAdd", f(2, 3, 4, 5), f(3), data_format="NCHW"),
    raw("BiasAddV1", f(2, 3), f(3)),
    raw("Bitcast", f(2, 3), type=tf.int32),
    raw("Bitcast", f(2, 3), type=tf.uint8),
    raw("Cast", f(2, 3), DstT=tf.float16),
    raw("ClipByValue", f(2, 3), 0.0, 1.0),
    raw("ClipByValue", f(2, 3), f(), f(2, 3)),
    raw("Complex", f(2, 3), f(2, 3)),
    raw("ComplexAbs", c(2, 3)),
    raw("Select", t(2), f(2, 3), f(2, 3)),
    raw("SelectV2", t(2, 1), f(2, 3), f(3)),
    raw("Xlogy", f(2, 3), f(3)),
    raw("Xlog1py", f(2, 3), f(3)),
    raw("CheckNumerics", f(2, 3), message=""),
    raw("CheckNumericsV2", f(2, 3), message=""),
    raw("Copy", f(2, 3)),
    raw("DeepCopy", f(2, 3)),
    raw("EnsureShape", f(2, 3), shape=[2, None]),
    raw("GuaranteeConst", f(2, 3)),
    raw("Identity", f(2, 3)),
    raw("IdentityN", [f(2, 3), i(2)]),
    raw("PlaceholderWithDefault", f(2, 3), shape=[2, 3]),
    raw("PreventGradient", f(2, 3)),
    raw("Print", f(2, 3), [f(2)]),
    raw("Snapshot", f(2, 3)),
    raw("StopGradient", f(2, 3)),
    # reductions and shapes
    *(raw(name, f(2, 3, 4), [0, 2], keep_dims=keep)
      for name in ("Max", "Mean", "Min", "Prod", "Sum", "EuclideanNorm") for keep in (False, True)),
    raw("Sum", f(2, 3), []),
    raw("Sum", f(2, 3), [-1]),
    raw("All", t(2, 3), [1]),
    raw("Any", t(2, 3), [1]),
    raw("ArgMax", f(2, 3), 1),
    raw("ArgMin", f(2, 3), -1, output_type=tf.int32),
    raw("Reshape", f(2, 6), [3, -1]),
    raw("Squeeze", f(2, 1, 3), axis=[1]),
    raw("ExpandDims", f(2, 3), 1),
    raw("Transpose", f(2, 3, 4), [2, 0, 1]),
    raw("ConjugateTranspose", c(2, 3), [1, 0]),
    raw("Concat", 1, [f(2, 3), f(2, 4)]),
    raw("ConcatV2", [f(2, 3), f(2, 4)], -1),
    raw("Pack", [f(2, 3), f(2, 3)], axis=-1),
    raw("ParallelConcat", [f(1, 3), f(1, 3)], shape=[2, 3]),
    raw("RaggedTensorToTensor", [3, 4], f(9), 0.0, [l(4)], row_partition_types=["ROW_SPLITS"]),
    raw("RaggedTensorToSparse", [l(3)], f(9)),
    raw("SparseConcat", [l(4, 2), l(3, 2)], [f(4), f(3)], [l(2), l(2)], concat_dim=0),
    raw("Shape", f(2, 3)),
    raw("ShapeN", [f(2, 3), f(4)]),
    raw("Size", f(2, 3)),
    raw("Rank", f(2, 3)),
    raw("ConcatOffset", 1, [[2, 3], [2, 4]]),
    raw("Split", 1, f(2, 6), num_split=3),
    raw("SplitV", f(2, 6), [1, 2, 3], 1, num_split=3),
    raw("Unpack", f(2, 3), num=3, axis=1),
    raw("Slice", f(2, 6), [0, 1], [2, 3]),
    raw("StridedSlice", f(2, 6), [0, 5], [2, 0], [1, -2]),
    raw("Pad", f(2, 3), [[0, 0], [1, 2]]),
    raw("PadV2", f(2, 3), [[0, 0], [1, 2]], 1.0),
    raw("MirrorPad", f(2, 3), [[0, 0], [1, 2]], mode="REFLECT"),
    raw("BroadcastTo", f(1, 3), [2, 3]),
    raw("Tile", f(2, 3), [2, 1]),
    raw("Cumsum", f(2, 3), 1, exclusive=True),
    raw("Cumprod", f(2, 3), -1, reverse=True),
    raw("CumulativeLogsumexp", f(2, 3), 1),
    raw("MatrixBandPart", f(4, 4), -1, 0),
    raw("OneHot", i(2, 3), 5, 1.0, 0.0),
    raw("OneHot", i(2, 3), 5, 1.0, 0.0, axis=0),
    raw("ZerosLike", f(2, 3)),
    raw("OnesLike", f(2, 3)),
    raw("Fill", [2, 3], f()),
    raw("LinSpace", f(), f(), 5),
    raw("Empty", [2, 3], dtype=tf.float32),
    raw("ReverseV2", f(2, 3), [1]),
    raw("Reverse", f(2, 3), [True, False]),
    raw("ReverseSequence", f(2, 3), l(2), seq_dim=1),
    raw("Roll", f(2, 3), 1, 0),
    raw("DepthToSpace", f(1, 2, 3, 8), block_size=2),
    raw("SpaceToDepth", f(1, 4, 6, 2), block_size=2),
    raw("MatrixDiag", f(2, 3)),
    raw("MatrixDiagV2", f(2, 3), 0, -1, -1, 0.0),
    raw("MatrixDiagV3", f(2, 3), 0, -1, -1, 0.0),
    raw("MatrixDiagPart", f(2, 3, 4)),
    raw("MatrixDiagPartV2", f(2, 3, 4), 0, 0.0),
    raw("MatrixDiagPartV3", f(2, 3, 4), 0, 0.0),
    raw("MatrixSetDiag", f(2, 3, 4), f(2, 3)),
    raw("MatrixSetDiagV2", f(2, 3, 4), f(2, 3), 0),
    raw("MatrixSetDiagV3", f(2, 3, 4), f(2, 3), 0),
    raw("Diag", f(3)),
    raw("DiagPart", f(3, 3)),
    raw("ExtractImagePatches", IMAGE, ksizes=[1, 3, 3, 1], strides=[1, 2, 2, 1],
        rates=[1, 1, 1, 1], padding="SAME"),
    raw("ExtractVolumePatches", f(1, 6, 6, 6, 2), ksizes=[1, 2, 2, 2, 1],
        strides=[1, 2, 2, 2, 1], padding="VALID"),
    raw("InvertPermutation", i(4)),
    raw("RandomShuffle", f(4, 3)),
    raw("StatelessShuffle", f(4, 3), In((1,), "uint64"), In((2,), "uint64"), 1),
    raw("DataFormatVecPermute", i(4)),
    raw("DataFormatDimMap", i(4)),
    raw("TensorStridedSliceUpdate", f(4, 3), [0, 0], [2, 3], [1, 1], f(2, 3)),
    raw("SpaceToBatchND", f(2, 6, 3), [2], [[0, 2]]),
    raw("SpaceToBatch", f(2, 6, 4, 3), [[0, 0], [0, 0]], block_size=2),
    raw("BatchToSpaceND", f(4, 3, 3), [2], [[0, 1]]),
    raw("BatchToSpace", f(4, 3, 2, 3), [[0, 0], [0, 0]], block_size=2),
    # lookups, scatters, segments, sorting
    raw("Gather", f(5, 3), i(4, 2)),
    raw("GatherV2", f(2, 5, 3), i(4), 1),
    raw("GatherV2", f(2, 5, 3), i(2, 4), 1, batch_dims=1),
    raw("GatherNd", f(5, 4, 3), i(7, 2)),
    raw("ScatterNd", i(4, 1), f(4, 3), [7, 3]),
    raw("ScatterNdNonAliasingAdd", f(7, 3), i(4, 1), f(4, 3)),
    *(raw(f"TensorScatter{kind}", f(7, 3), i(4, 1), f(4, 3))
      for kind in ("Update", "Add", "Sub", "Max", "Min")),
    *(raw(f"UnsortedSegment{kind}", f(6, 3), i(6), 4) for kind in ("Sum", "Prod", "Max", "Min")),
    *(raw(f"Segment{kind}V2", f(6, 3), i(6), 4) for kind in ("Sum", "Prod", "Max", "Min")),
    *(raw(f"SparseSegment{kind}WithNumSegments", f(6, 3), i(5), i(5), 4)
      for kind in ("Sum", "Mean", "SqrtN")),
    *(raw(f"SparseSegment{kind}Grad", f(4, 3), i(5), i(5), 6) for kind in ("Sum", "Mean", "SqrtN")),
    raw("DynamicStitch", [np.array([0, 2], "int32"), np.array([1], "int32")], [f(2, 3), f(1, 3)]),
    raw("ParallelDynamicStitch", [np.array([0, 2], "int32"), np.array([1], "int32")],
        [f(2, 3), f(1, 3)]),
    raw("Bincount", i(9), 5, np.zeros(0, "float32")),
    raw("Bincount", i(9), 5, f(9)),
    raw("DenseBincount", i(2, 9), 5, np.zeros(0, "float32")),
    raw("InTopK", f(2, 5), i(2), k=2),
    raw("InTopKV2", f(2, 5), i(2), 2),
    raw("UnravelIndex", i(4), [3, 5]),
    raw("SparseToDense", i(4, 2), [3, 5], f(4), 0.0),
    raw("SparseTensorDenseAdd", l(4, 2), f(4), np.array([3, 5]), f(3, 5)),
    *(raw(f"SparseDenseCwise{kind}", l(4, 2), f(4), np.array([3, 5]), f(3, 5))
      for kind in ("Add", "Mul", "Div")),
    raw("SparseReorder", l(4, 2), f(4), np.array([3, 5])),
    raw("SparseReshape", l(4, 2), np.array([3, 5]), np.array([15, 1])),
    raw("TopKV2", f(2, 5), 3),
    raw("ApproxTopK", f(2, 5), k=3),
    raw("NthElement", f(2, 5), 2),
    raw("Bucketize", f(2, 5), boundaries=[0.0, 1.0]),
    raw("LowerBound", f(2, 5), f(2, 3)),
    raw("UpperBound", f(2, 5), f(2, 3)),
    raw("HistogramFixedWidth", f(9), f(2), 5),
    raw("SparseSoftmax", l(4, 2), f(4), np.array([3, 5])),
    raw("IsotonicRegression", f(2, 5)),
    # linear algebra, transforms
    raw("Cross", f(4, 3), f(4, 3)),
    raw("TridiagonalMatMul", f(1, 5), f(1, 5), f(1, 5), f(5, 2)),
    *(raw(name, MATRIX) for name in (
        "Cholesky", "Qr", "Svd", "SelfAdjointEigV2", "MatrixInverse", "MatrixDeterminant",
        "LogMatrixDeterminant", "Lu")),
    raw("Svd", f(2, 5, 3), full_matrices=True),
    raw("Svd", f(2, 5, 3), compute_uv=False),
    raw("Eig", MATRIX, Tout=tf.complex64),
    raw("MatrixSquareRoot", MATRIX),
    raw("MatrixLogarithm", c(3, 3)),
    raw("CholeskyGrad", f(4, 4), f(4, 4)),
    raw("MatrixSolve", MATRIX, f(2, 5, 3)),
    raw("MatrixTriangularSolve", MATRIX, f(2, 5, 3)),
    raw("BandedTriangularSolve", f(2, 5), f(5, 3)),
    raw("MatrixSolveLs", f(2, 5, 4), f(2, 5, 3), 0.0),
    raw("TridiagonalSolve", f(3, 5), f(5, 2)),
    raw("Betainc", f(3), f(3), f(3)),
    raw("IgammaGradA", f(3), f(3)),
    *(raw(name, c(2, 4, 4, 4)) for name in (
        "FFT", "FFT2D", "FFT3D", "IFFT", "IFFT2D", "IFFT3D")),
    *(raw(f"RFFT{kind}", f(2, 8, 8, 8), [8] * n) for n, kind in enumerate(("", "2D", "3D"), 1)),
    *(raw(f"IRFFT{kind}", c(2, 8, 8, 5), [8] * n) for n, kind in enumerate(("", "2D", "3D"), 1)),
    raw("FFTND", c(4, 4), [4, 4], [0, 1]),
    raw("IFFTND", c(4, 4), [4, 4], [0, 1]),
    raw("RFFTND", f(8, 8), [8, 8], [0, 1]),
    raw("IRFFTND", c(8, 5), [8, 8], [0, 1]),
    raw("CTCLossV2", f(5, 2, 4), np.zeros((3, 2), "int64"), i(3), i(2)),
    raw("CTCLoss", f(5, 2, 4), np.zeros((3, 2), "int64"), i(3), i(2)),
    # images
    *(raw(name, IMAGE, SIZE) for name in (
        "ResizeBilinear", "ResizeNearestNeighbor", "ResizeBicubic", "ResizeArea")),
    *(raw("ScaleAndTranslate", IMAGE, SIZE, [1.0, 1.0], [0.0, 0.0], kernel_type=kind)
      for kind in ("lanczos3", "triangle", "gaussian")),
    raw("ScaleAndTranslateGrad", f(2, 5, 12, 3), IMAGE, [1.0, 1.0], [0.0, 0.0]),
    raw("ResizeBilinearGrad", f(2, 5, 12, 3), IMAGE),
    raw("ResizeBicubicGrad", f(2, 5, 12, 3), IMAGE),
    raw("ResizeNearestNeighborGrad", f(2, 5, 12, 3), [9, 8]),
    raw("ImageProjectiveTransformV2", IMAGE, f(2, 8), SIZE, interpolation="NEAREST"),
    raw("ImageProjectiveTransformV3", IMAGE, f(2, 8), SIZE, 0.0, interpolation="BILINEAR"),
    raw("CropAndResize", IMAGE, f(4, 4), i(4), SIZE),
    raw("CropAndResizeGradImage", f(4, 5, 12, 3), f(4, 4), i(4), [2, 9, 8, 3], T=tf.float32),
    raw("CropAndResizeGradBoxes", f(4, 5, 12, 3), IMAGE, f(4, 4), i(4)),
    raw("AdjustContrastv2", IMAGE, 0.5),
    raw("AdjustHue", IMAGE, 0.5),
    raw("AdjustSaturation", IMAGE, 0.5),
    raw("RGBToHSV", IMAGE),
    raw("HSVToRGB", IMAGE),
    raw("ExtractGlimpse", IMAGE, [4, 4], f(2, 2)),
    raw("ExtractGlimpseV2", IMAGE, [4, 4], f(2, 2)),
    raw("DrawBoundingBoxes", IMAGE, f(2, 5, 4)),
    raw("DrawBoundingBoxesV2", IMAGE, f(2, 5, 4), f(1, 3)),
    raw("NonMaxSuppressionV5", f(9, 4), f(9), 5, 0.5, 0.0, 0.0, pad_to_max_output_size=True),
    raw("NonMaxSuppressionV4", f(9, 4), f(9), 5, 0.5, 0.0, pad_to_max_output_size=True),
    raw("CombinedNonMaxSuppression", f(2, 9, 1, 4), f(2, 9, 3), 5, 10, 0.5, 0.1),
    # networks
    raw("MaxPool", IMAGE, **WINDOW),
    raw("MaxPoolV2", IMAGE, [1, 2, 2, 1], [1, 2, 2, 1], padding="VALID"),
    raw("MaxPoolWithArgmax", IMAGE, **WINDOW),
    raw("AvgPool", f(2, 3, 9, 8), ksize=[1, 1, 3, 3], strides=[1, 1, 2, 2], padding="SAME",
        data_format="NCHW"),
    raw("MaxPool3D", f(1, 7, 6, 5, 2), **WINDOW3),
    raw("AvgPool3D", f(1, 7, 6, 5, 2), **WINDOW3),
    raw("FractionalMaxPool", IMAGE, pooling_ratio=[1.0, 1.5, 1.5, 1.0]),
    raw("FractionalAvgPool", IMAGE, pooling_ratio=[1.0, 1.5, 1.5, 1.0]),
    raw("Dilation2D", IMAGE, f(3, 3, 3), rates=[1, 1, 1, 1], **STRIDES),
    raw("FusedBatchNorm", IMAGE, f(3), f(3), f(3), f(3), is_training=False),
    raw("FusedBatchNormV2", IMAGE, f(3), f(3), f(3), f(3), is_training=False),
    raw("FusedBatchNormV3", h(2, 9, 8, 3), f(3), f(3), f(3), f(3), is_training=True),
    raw("LRN", IMAGE, depth_radius=2),
    raw("L2Loss", f(2, 3)),
    raw("Softmax", f(2, 3)),
    raw("LogSoftmax", f(2, 3)),
    raw("SoftmaxCrossEntropyWithLogits", f(2, 3), f(2, 3)),
    raw("SparseSoftmaxCrossEntropyWithLogits", f(2, 3), i(2)),
    raw("FakeQuantWithMinMaxArgs", f(2, 3)),
    raw("FakeQuantWithMinMaxVars", f(2, 3), f(), f()),
    raw("FakeQuantWithMinMaxVarsPerChannel", f(2, 3), f(3), f(3)),
    raw("QuantizeAndDequantizeV2", f(2, 3), f(), f()),
    raw("QuantizeAndDequantizeV3", f(2, 3), f(), f(), 8),
    raw("QuantizeAndDequantizeV4", f(2, 3), f(), f()),
    raw("QuantizeAndDequantizeV4Grad", f(2, 3), f(2, 3), f(), f()),
    raw("FakeQuantWithMinMaxArgsGradient", f(2, 3), f(2, 3)),
    raw("FakeQuantWithMinMaxVarsGradient", f(2, 3), f(2, 3), f(), f()),
    raw("FakeQuantWithMinMaxVarsPerChannelGradient", f(2, 3), f(2, 3), f(3), f(3)),
    # gradients
    *(raw(f"{name}Grad", f(2, 3), f(2, 3)) for name in (
        "Elu", "Inv", "LeakyRelu", "Reciprocal", "Relu6", "Relu", "Rsqrt", "Selu", "Sigmoid",
        "Softplus", "Softsign", "Sqrt", "Tanh")),
    raw("BiasAddGrad", f(2, 5, 4, 3)),
    raw("BiasAddGrad", f(2, 3, 5, 4), data_format="NCHW"),
    raw("MaxPoolGrad", IMAGE, f(2, 5, 4, 3), f(2, 5, 4, 3), **WINDOW),
    raw("MaxPoolGradV2", IMAGE, f(2, 5, 4, 3), f(2, 5, 4, 3), [1, 3, 2, 1], [1, 2, 2, 1],
        padding="SAME"),
    raw("MaxPool3DGrad", f(1, 7, 6, 5, 2), f(1, 3, 3, 5, 2), f(1, 3, 3, 5, 2), **WINDOW3),
    raw("MaxPoolGradWithArgmax", IMAGE, f(2, 5, 4, 3), l(2, 5, 4, 3), **WINDOW),
    raw("AvgPoolGrad", [2, 9, 8, 3], f(2, 5, 4, 3), **WINDOW),
    raw("AvgPool3DGrad", [1, 7, 6, 5, 2], f(1, 3, 3, 5, 2), **WINDOW3),
    raw("MaxPoolGradGrad", IMAGE, f(2, 5, 4, 3), IMAGE, **WINDOW),
    raw("MaxPool3DGradGrad", f(1, 7, 6, 5, 2), f(1, 3, 3, 5, 2), f(1, 7, 6, 5, 2), **WINDOW3),
    raw("MaxPoolGradGradV2", IMAGE, f(2, 5, 4, 3), IMAGE, [1, 3, 2, 1], [1, 2, 2, 1],
        padding="SAME"),
    raw("MaxPoolGradGradWithArgmax", IMAGE, IMAGE, l(2, 5, 4, 3), **WINDOW),
    raw("FusedBatchNormGrad", IMAGE, IMAGE, f(3), f(3), f(3)),
    raw("FusedBatchNormGradV2", h(2, 9, 8, 3), h(2, 9, 8, 3), f(3), f(3), f(3)),
    raw("FusedBatchNormGradV3", IMAGE, IMAGE, f(3), f(3), f(3), f(3), is_training=False),
    raw("StridedSliceGrad", [4, 6], [0, 1], [2, 3], [1, 1], f(2, 2)),
    raw("MirrorPadGrad", f(2, 6), [[0, 0], [1, 2]], mode="REFLECT"),
    raw("LRNGrad", IMAGE, IMAGE, IMAGE),
    raw("Dilation2DBackpropInput", IMAGE, f(3, 3, 3), f(2, 7, 6, 3), rates=[1, 1, 1, 1], **STRIDES),
    raw("Dilation2DBackpropFilter", IMAGE, f(3, 3, 3), f(2, 7, 6, 3), rates=[1, 1, 1, 1],
        **STRIDES),
    raw("FractionalMaxPoolGrad", IMAGE, f(2, 6, 5, 3), f(2, 6, 5, 3), l(7), l(6)),
    raw("FractionalAvgPoolGrad", np.array([2, 9, 8, 3]), f(2, 6, 5, 3), l(7), l(6)),
    # random numbers and text
    raw("RandomUniform", [2, 3], dtype=tf.float32),
    raw("RandomUniformInt", [2, 3], 0, 9),
    raw("RandomStandardNormal", [2, 3], dtype=tf.float16),
    raw("TruncatedNormal", [2, 3], dtype=tf.float32),
    raw("ParameterizedTruncatedNormal", [2, 3], f(), f(), f(), f()),
    raw("RandomGamma", [2], f(3)),
    raw("RandomGammaGrad", f(3), f(3)),
    raw("RandomPoissonV2", [2], f(3), dtype=tf.float32),
    raw("Multinomial", f(2, 5), 3),
    raw("StatelessMultinomial", f(2, 5), 3, i(2)),
    *(raw(name, [2, 3], SEED, dtype=tf.float32) for name in (
        "StatelessRandomUniform", "StatelessRandomNormal", "StatelessTruncatedNormal")),
    *(raw(name, [2, 3], In((1,), "uint64"), In((2,), "uint64"), 1, dtype=tf.float32) for name in (
        "StatelessRandomUniformV2", "StatelessRandomNormalV2", "StatelessTruncatedNormalV2")),
    raw("StatelessRandomUniformInt", [2, 3], SEED, 0, 9),
    raw("StatelessRandomUniformFullInt", [2, 3], SEED, dtype=tf.int32),
    raw("StatelessRandomUniformIntV2", [2, 3], In((1,), "uint64"), In((2,), "uint64"), 1, 0, 9),
    raw("StatelessRandomUniformFullIntV2", [2, 3], In((1,), "uint64"), In((2,), "uint64"), 1,
        dtype=tf.int32),
    raw("StatelessRandomGammaV2", [2, 3], SEED, f(3)),
    raw("StatelessRandomGammaV3", [2, 3], In((1,), "uint64"), In((2,), "uint64"), 1, f(3)),
    raw("StatelessRandomPoisson", [2, 3], SEED, f(3), dtype=tf.float32),
    raw("StatelessRandomBinomial", [2, 3], SEED, f(3), f(3), dtype=tf.float32),
    raw("StatelessParameterizedTruncatedNormal", [2, 3], SEED, f(3), f(3), f(3), f(3)),
    raw("StatelessRandomGetKeyCounter", i(2)),
    raw("StatelessRandomGetAlg"),
    raw("StatelessRandomGetKeyCounterAlg", i(2)),
    raw("NonDeterministicInts", [2, 3]),
    raw("RandomIndexShuffle", i(4), In((4, 3), "uint32"), i(4), rounds=4),
    raw("UniformCandidateSampler", l(2, 3), num_true=3, num_sampled=4, unique=True, range_max=9),
    raw("LogUniformCandidateSampler", l(2, 3), num_true=3, num_sampled=4, unique=True,
        range_max=9),
    raw("LearnedUnigramCandidateSampler", l(2, 3), num_true=3, num_sampled=4, unique=True,
        range_max=9),
    raw("AllCandidateSampler", l(2, 3), num_true=3, num_sampled=4, unique=True),
    raw("SampleDistortedBoundingBoxV2", i(3), f(1, 5, 4), 0.1),
    raw("StatelessSampleDistortedBoundingBox", i(3), f(1, 5, 4), 0.1, SEED),
    raw("Timestamp"),
    *(raw(name, s(2, 3)) for name in (
        "StringLength", "StringLower", "StringUpper", "StringStrip", "StringToNumber",
        "DecodeBase64", "EncodeBase64")),
    raw("AsString", f(2, 3)),
    raw("StringFormat", [f(2, 3)]),
    raw("StringJoin", [s(2, 3), s(2, 3)]),
    raw("Substr", s(2, 3), 0, 2),
    raw("RegexReplace", s(2, 3), "a", "b"),
    raw("StaticRegexReplace", s(2, 3), pattern="a", rewrite="b"),
    raw("RegexFullMatch", s(2, 3), "a"),
    raw("StaticRegexFullMatch", s(2, 3), pattern="a"),
    raw("ReduceJoin", s(2, 3), [1]),
    raw("UnicodeTranscode", s(2), input_encoding="UTF-8", output_encoding="UTF-8"),
    raw("UnicodeScript", i(2)),
    raw("UnsortedSegmentJoin", s(4), i(4), 3),
    raw("StringToHashBucket", s(2, 3), num_buckets=9),
    raw("StringToHashBucketFast", s(2, 3), num_buckets=9),
    raw("StringToHashBucketStrong", s(2, 3), num_buckets=9, key=[1, 2]),
    raw("Fingerprint", u(2, 3), "farmhash64"),
]  # fmt: skip
CASES = [*UNARY, *BINARY, *MORE]

ELSEWHERE = """
BatchMatMul BatchMatMulV2 BatchMatMulV3 BroadcastGradientArgs Case Conv Conv2D
Conv2DBackpropFilter Conv2DBackpropFilterV2 Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D
Conv3DBackpropFilterV2 Conv3DBackpropInputV2 DepthwiseConv2dNative
DepthwiseConv2dNativeBackpropFilter DepthwiseConv2dNativeBackpropInput EagerPyFunc Einsum If
LookupTableFind LookupTableFindV2 MatMul OptionalFromValue OptionalGetValue OptionalNone
PartitionedCall PyFunc PyFuncStateless ResourceGather ResourceGatherNd RngReadAndSkip SparseMatMul
SparseTensorDenseMatMul StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
TensorListConcat TensorListConcatV2 TensorListElementShape TensorListFromTensor TensorListGather
TensorListGetItem TensorListLength TensorListPopBack TensorListPushBack TensorListResize
TensorListScatter TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack While
XlaDynamicUpdateSlice
"""
"""Contractions, control flow, lists, resources: tested by what functions make of them."""


@pytest.mark.parametrize(
    ("call", "inputs"),
    [pytest.param(*case[1:], id=f"{case[0]}-{number}") for number, case in enumerate(CASES)],
)
def test_an_operation_is_read_as_tensorflow_has_it(call: Callable[..., Any], inputs: Any) -> None:
    graph = lowered(call, *inputs)
    assert not unknown_in(graph)
    assert cost_of(graph).macs == 0


def sample(name: str, x: np.ndarray[Any, Any]) -> Any:
    """What TensorFlow computes."""
    op = getattr(tf.raw_ops, name)
    return np.asarray(op(**{next(iter(inspect.signature(op).parameters)): tf.constant(x)}))


POSITIVE = np.array([0.1, 0.3, 0.45, 0.7, 0.9], "float32")
ABOVE_ONE = ("Acosh", "BesselK0", "BesselK1", "BesselY0", "BesselY1", "Expint")


@pytest.mark.parametrize(("name", "fn"), tf_elementwise._UNARY.items())
def test_a_function_is_the_one_that_is_priced(name: str, fn: str) -> None:
    """TensorFlow's values are those of the function by whose name it is counted."""
    x: np.ndarray[Any, Any] = POSITIVE + (1 if name in ABOVE_ONE else 0)
    if name in DTYPES:
        x = x.astype({i: "int32", t: "bool", c: "complex64"}[DTYPES[name]])
    known = {
        "fresnel_cos": lambda x: scipy.special.fresnel(x)[1],
        "fresnel_sin": lambda x: scipy.special.fresnel(x)[0],
        "dawsn": scipy.special.dawsn,
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "imag": np.imag,
        "angle": np.angle,
    }
    of = known.get(fn) or reference(fn)
    assert of is not None, f"nothing computes {fn}"
    np.testing.assert_allclose(sample(name, x), np.asarray(of(x)), rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "fn"), tf_elementwise._BINARY.items())
def test_a_function_of_two_is_the_one_that_is_priced(name: str, fn: str) -> None:
    one, two = np.array([1.0, 2.0, 5.0, 3.0], "float32"), np.array([2.0, 3.0, 1.0, 3.0], "float32")
    if fn == "zeta":
        one = one + 1
    if name in PAIRED:
        kind = "bool" if PAIRED[name] is t else "int32"
        one, two = one.astype(kind), two.astype(kind)
    names = list(inspect.signature(getattr(tf.raw_ops, name)).parameters)
    operands = {key: tf.constant(x) for key, x in zip(names, (one, two), strict=False)}
    found = np.asarray(getattr(tf.raw_ops, name)(**operands))
    _, expected = DEFINED[fn]
    wanted = [np.asarray(expected(a, b)) for a, b in zip(one, two, strict=True)]
    np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-4)


OPEN = [
    raw("CTCBeamSearchDecoder", f(5, 2, 4), i(2), beam_width=3, top_paths=1),
    raw("CTCGreedyDecoder", f(5, 2, 4), i(2)),
    raw("DenseToDenseSetOperation", i(2, 3), i(2, 3), set_operation="a-b"),
    raw("DynamicPartition", f(5, 3), i(5), num_partitions=2),
    raw("ListDiff", i(5), i(3)),
    raw("NonMaxSuppression", f(9, 4), f(9), i()),
    raw("NonMaxSuppressionV2", f(9, 4), f(9), i(), 0.5),
    raw("NonMaxSuppressionV3", f(9, 4), f(9), i(), 0.5, 0.0),
    raw("NonMaxSuppressionWithOverlaps", f(9, 9), f(9), i(), 0.5, 0.0),
    raw("RaggedGather", [l(3)], f(9), i(2), OUTPUT_RAGGED_RANK=1),
    raw("RaggedRange", i(3), i(3), i(3)),
    *(raw(f"Segment{kind}", f(6, 3), i(6)) for kind in ("Prod", "Max", "Min", "Mean")),
    raw("SparseAdd", l(4, 2), f(4), l(2), l(3, 2), f(3), l(2), 0.0),
    raw("SparseFillEmptyRows", l(4, 2), f(4), l(2), 0.0),
    raw("SparseReduceMax", l(4, 2), f(4), l(2), i(1)),
    raw("SparseReduceSum", l(4, 2), f(4), l(2), i(1)),
    *(raw(f"SparseSegment{kind}", f(6, 3), i(5), i(5)) for kind in ("Sum", "Mean", "SqrtN")),
    *(raw(f"SparseSegment{kind}GradV2", f(4, 3), i(5), i(5), 6)
      for kind in ("Sum", "Mean", "SqrtN")),
    raw("SparseSlice", l(4, 2), f(4), l(2), l(2), l(2)),
    raw("StringNGrams", s(9), l(3), separator="", ngram_widths=[2], left_pad="", right_pad="",
        pad_width=0, preserve_short_sequences=False),
    raw("StringSplit", s(9), " "),
    raw("StringSplitV2", s(9), " "),
    raw("UnicodeDecode", s(9), input_encoding="UTF-8"),
    raw("Unique", i(9)),
    raw("UniqueWithCounts", i(9)),
    raw("UniqueWithCountsV2", i(9), np.array([0])),
    raw("Where", t(5)),
    raw("UniqueV2", i(9), np.array([0])),
    raw("SegmentSum", f(6, 3), i(6)),
    raw("Range", i(), i(), 1),
]  # fmt: skip


@pytest.mark.parametrize("case", OPEN, ids=[case[0] for case in OPEN])
def test_a_size_that_the_data_decides_is_named(case: Any) -> None:
    name, call, inputs = case
    reasons = unknown_in(lowered(call, *inputs))
    assert f"TensorFlow's {name} gives is open" in reasons[0]


def test_every_lowering_is_of_an_operation() -> None:
    names = {key.removeprefix("tf:") for key in TF_OPS}
    unknown = {name for name in names if op_def_registry.get(name) is None}
    assert not unknown


def test_every_lowering_is_tried() -> None:
    tried = {case[0] for case in (*CASES, *OPEN)}
    assert {key.removeprefix("tf:") for key in TF_OPS} == tried | set(ELSEWHERE.split())


def test_steps_of_an_opaque_operation() -> None:
    """A factorisation is one node that says nothing of its FLOPs."""
    graph = lowered(tf.linalg.cholesky, MATRIX)
    assert [node.op for node in steps_in(graph)] == ["opaque"]
