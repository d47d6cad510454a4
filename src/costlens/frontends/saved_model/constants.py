"""What of a SavedModel TensorFlow may work out while it infers shapes: small arithmetic.

It evaluates whatever depends on constants alone and is asked for as a size. An operation that is
no arithmetic, such as one that reads a file, or that makes much of little, is cut off there.
"""

from __future__ import annotations

SHAPES = frozenset("Rank Shape ShapeN Size".split())
"""Operations that are constants where sizes are known, whatever they are asked of."""

ARITHMETIC = SHAPES | frozenset(
    "Abs Add AddN AddV2 All Any ArgMax ArgMin BroadcastArgs BroadcastGradientArgs BroadcastTo "
    "Cast Ceil Concat ConcatOffset ConcatV2 Cos Cumprod Cumsum Div DivNoNan EnsureShape Equal "
    "Exp ExpandDims Fill Floor FloorDiv FloorMod Gather GatherNd GatherV2 Greater GreaterEqual "
    "Identity IdentityN InvertPermutation LeftShift Less LessEqual LinSpace ListDiff Log "
    "LogicalAnd LogicalNot LogicalOr MatrixBandPart Max Maximum Mean Min Minimum Mod Mul Neg "
    "NotEqual OneHot OnesLike Pack Pad PadV2 Pow PreventGradient Prod Range RealDiv Reciprocal "
    "Reshape ReverseV2 RightShift Round Rsqrt Select SelectV2 Sigmoid Sign Sin Slice Split "
    "SplitV Sqrt Square Squeeze StopGradient StridedSlice Sub Sum Tanh Tile Transpose "
    "TruncateDiv TruncateMod Unpack ZerosLike".split()
)

MOST = 1 << 16
"""Elements up to which a constant is worked out."""
