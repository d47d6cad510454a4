"""Traced operations that look up, write by index, combine by segment, sort or search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor, tensors
from costlens.frontends.lowering.tf_common import (
    Index,
    counted,
    dtype_of,
    ints,
    looked_up,
    moved,
    opaque,
    out,
    outs,
    retyped,
    table,
)
from costlens.ir.types import TensorType


def scatter(
    b: Builder, xs: Sequence[Tensor], made: TensorType, fn: str, label: str = "", places: int = 1
) -> Tensor:
    """Updates, the last operand, written by index."""
    more = {} if places == 1 else {"places": places}
    extra = {**more, **retyped(made.dtype, xs[0].dtype)}
    return b.emit("scatter", tuple(xs), label=label, shape=made.shape, fn=fn, **extra)


def _gather(b: Builder, call: LayerCall) -> Tree:
    if counted(call.args[:2]):
        return Index(out(call))
    xs, made = tensors(b, call)[:2], out(call)
    return b.gather(xs, made.shape, made.dtype)


def _scatter_nd(b: Builder, call: LayerCall) -> Tree:
    """``ScatterNd``: updates of one place are added up."""
    return scatter(b, tensors(b, call)[:2], out(call), "add")


def _onto(fn: str) -> Lowering:
    """Updates on a tensor: (tensor, indices, updates)."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        return scatter(b, tensors(b, call)[:3], out(call), fn)

    return lowering


def _segment(fn: str) -> Lowering:
    """Rows combined by segment: one operation per element of the data."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        rows, ids = tensors(b, call)[:2]
        made = scatter(b, (ids, rows), out(call), "add" if fn == "mean" else fn, "segment")
        return b.binary("divide", made, 1.0, made.dtype) if fn == "mean" else made

    return lowering


def _sparse_segment(fn: str) -> Lowering:
    """Rows looked up by index and combined by segment; a mean or √n divides the sums."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        rows, indices, ids = tensors(b, call)[:3]
        picked = b.gather((rows, indices), (*indices.shape, *rows.shape[1:]), rows.dtype)
        made = scatter(b, (ids, picked), out(call), "add", "segment")
        return made if fn == "sum" else b.binary("divide", made, 1.0, made.dtype)

    return lowering


def _sparse_segment_gradient(fn: str) -> Lowering:
    """The gradient of every segment goes to the rows that it was made of."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        dy, indices, ids = tensors(b, call)[:3]
        rows = b.gather((dy, ids), (*indices.shape, *dy.shape[1:]), dy.dtype)
        if fn != "sum":
            rows = b.binary("divide", rows, 1.0, rows.dtype)
        made = scatter(b, (indices, rows), out(call), "add", "segment")
        rest = [b.fill(t.shape, t.dtype, "indices") for t in outs(call)[1:]]
        return [made, *rest]

    return lowering


def _stitch(b: Builder, call: LayerCall) -> Tree:
    """``DynamicStitch``: values written to the places that the indices before them name."""
    if counted(call.args):
        return Index(out(call))
    xs = tensors(b, call)
    return scatter(b, xs, out(call), "set")


def _counts(b: Builder, call: LayerCall) -> Tree:
    """``Bincount``: one addition per element, of 1 or of its weight."""
    x, made = tensor(b, call.args[0]), out(call)
    weights = [w for w in tensors(b, call)[2:] if w.shape == x.shape]
    return scatter(b, (x, *weights), made, "add", "bincount")


def _in_top_k(b: Builder, call: LayerCall) -> Tree:
    """Whether fewer than k predictions exceed the target's."""
    scores, targets = tensors(b, call)[:2]
    own = b.reshape(b.gather((scores, targets), targets.shape), (*targets.shape, 1))
    above = b.reduce("count_nonzero", b.compare("greater", scores, own), -1, dtype="int32")
    return b.compare("less", above, 1)


def _dense_from_sparse(b: Builder, call: LayerCall) -> Tree:
    """``SparseToDense``: values written into a dense tensor."""
    indices, _, values = tensors(b, call)[:3]
    return scatter(b, (indices, values), out(call), "set")


def _plus_sparse(b: Builder, call: LayerCall) -> Tree:
    """``SparseTensorDenseAdd``: the stored values are added onto a dense tensor."""
    indices, values, _, dense = tensors(b, call)[:4]
    return scatter(b, (dense, indices, values), out(call), "add")


def _sparse_elementwise(fn: str) -> Lowering:
    """A sparse tensor and a dense one, at the stored places only."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        indices, values, _, dense = tensors(b, call)[:4]
        picked = b.gather((dense, indices), values.shape, dense.dtype)
        return b.binary(fn, values, picked, dtype_of(call))

    return lowering


def _partition(b: Builder, call: LayerCall) -> Tree:
    x = tensor(b, call.args[0])
    return [b.slice(x, made.shape, "partition") for made in outs(call)]


def _unraveled(b: Builder, call: LayerCall) -> Tree:
    """A flat index as one per axis: a remainder and a quotient each."""
    x, made = tensor(b, call.args[0]), out(call)
    rest, found = x, []
    for size in reversed(ints(call, 1)):
        found.append(b.binary("mod", rest, size, x.dtype))
        rest = b.binary("floor_divide", rest, size, x.dtype)
    rows = [b.reshape(axis, (1, *axis.shape)) for axis in found[::-1]]
    return b.reshape(b.concat(rows, 0), made.shape)


def _block(b: Builder, call: LayerCall) -> Tree:
    """A block written over a tensor, as ``keras.ops.slice_update`` does: the rest is copied."""
    x, block = (tensor(b, leaf) for leaf in call.args[:2])
    return scatter(b, (x, block), out(call), "set", "slice_update")


OPS: Mapping[str, Lowering] = {
    "tf:XlaDynamicUpdateSlice": _block,
    "tf:Gather": _gather,
    "tf:GatherV2": _gather,
    "tf:GatherNd": _gather,
    **table("ResourceGather=take ResourceGatherNd=take", lambda _: looked_up()),
    "tf:ScatterNd": _scatter_nd,
    **table(
        "TensorScatterUpdate=set TensorScatterAdd=add TensorScatterSub=add TensorScatterMax=max "
        "TensorScatterMin=min ScatterNdNonAliasingAdd=add",
        _onto,
    ),
    **table(
        "SegmentSum=add SegmentSumV2=add SegmentProd=multiply SegmentProdV2=multiply "
        "SegmentMax=max SegmentMaxV2=max SegmentMin=min SegmentMinV2=min SegmentMean=mean "
        "UnsortedSegmentSum=add UnsortedSegmentProd=multiply UnsortedSegmentMax=max "
        "UnsortedSegmentMin=min",
        _segment,
    ),
    **table(
        "SparseSegmentSum=sum SparseSegmentSumWithNumSegments=sum SparseSegmentMean=mean "
        "SparseSegmentMeanWithNumSegments=mean SparseSegmentSqrtN=mean "
        "SparseSegmentSqrtNWithNumSegments=mean",
        _sparse_segment,
    ),
    **table(
        "SparseSegmentSumGrad=sum SparseSegmentSumGradV2=sum SparseSegmentMeanGrad=mean "
        "SparseSegmentMeanGradV2=mean SparseSegmentSqrtNGrad=mean SparseSegmentSqrtNGradV2=mean",
        _sparse_segment_gradient,
    ),
    "tf:DynamicStitch": _stitch,
    "tf:ParallelDynamicStitch": _stitch,
    "tf:DynamicPartition": _partition,
    "tf:Bincount": _counts,
    "tf:DenseBincount": _counts,
    "tf:InTopK": _in_top_k,
    "tf:InTopKV2": _in_top_k,
    "tf:UnravelIndex": _unraveled,
    "tf:SparseToDense": _dense_from_sparse,
    "tf:SparseTensorDenseAdd": _plus_sparse,
    **table(
        "SparseDenseCwiseAdd=add SparseDenseCwiseMul=multiply SparseDenseCwiseDiv=divide",
        _sparse_elementwise,
    ),
    **table(
        "SparseReorder SparseReshape SparseSlice SparseConcat SparseFillEmptyRows "
        "RaggedTensorToTensor=pad_rows RaggedTensorToSparse RaggedGather=gather RaggedRange=arange",
        moved,
    ),
    **table(
        "TopKV2 ApproxTopK=top_k NthElement Unique UniqueV2 UniqueWithCounts=unique "
        "UniqueWithCountsV2=unique ListDiff Where=nonzero Bucketize=digitize "
        "LowerBound=searchsorted UpperBound=searchsorted HistogramFixedWidth=histogram "
        "DenseToDenseSetOperation=set_operation "
        "SparseReduceSum SparseReduceMax SparseSoftmax "
        "SparseAdd "
        "IsotonicRegression",
        opaque,
    ),
}
"""What ``Where``, ``Unique`` and the like give is of an open size, unless it is fixed."""
