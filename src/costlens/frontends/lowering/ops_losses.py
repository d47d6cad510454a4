"""Losses and measures of ``keras.ops.nn``: cross-entropies, CTC, PSNR."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering, Unreadable
from costlens.frontends.lowering.ops_arguments import required, stated
from costlens.ir.types import TensorType, promote


def _pair(b: Builder, call: LayerCall) -> tuple[Tensor, Tensor]:
    output = required(b, call, 1, "output")
    return required(b, call, 0, "target", output.dtype), output


def _binary_crossentropy(b: Builder, call: LayerCall) -> Tensor:
    """-t·log p - (1-t)·log(1-p); of logits x, max(x, 0) - x·t + log(1 + exp(-|x|))."""
    t, x = _pair(b, call)
    if call.config.get("from_logits"):
        tail = b.unary("log1p", b.unary("exp", b.unary("negative", b.unary("abs", x))))
        linear = b.binary("subtract", b.unary("relu", x), b.binary("multiply", x, t, x.dtype))
        return b.binary("add", linear, tail)
    p = b.unary("clip", x)
    yes = b.binary("multiply", t, b.unary("log", p), x.dtype)
    no = b.unary("log", b.binary("subtract", 1.0, p))
    rest = b.binary("multiply", b.binary("subtract", 1.0, t, x.dtype), no)
    return b.unary("negative", b.binary("add", yes, rest))


def _categorical_crossentropy(b: Builder, call: LayerCall) -> Tensor:
    """-Σ t·log p over the classes; probabilities are first made to sum to one."""
    t, x = _pair(b, call)
    axis = call.config.get("axis", -1) % x.rank
    if axis != x.rank - 1:
        raise Unreadable("Keras declares the shape for classes on the last axis only")
    if call.config.get("from_logits"):
        logs = b.softmax(x, axis, "log_softmax")
    else:
        p = b.binary("divide", x, b.reduce("sum", x, axis, True))
        logs = b.unary("log", b.unary("clip", p))
    return b.unary("negative", b.reduce("sum", b.binary("multiply", t, logs, x.dtype), axis))


def _sparse_categorical_crossentropy(b: Builder, call: LayerCall) -> Tensor:
    """-log p of the target class; probabilities are clipped, logged and normalised again."""
    target, x = required(b, call, 0, "target", "int32"), required(b, call, 1, "output")
    axis = call.config.get("axis", -1) % x.rank
    if not call.config.get("from_logits"):
        x = b.unary("log", b.unary("clip", x))
    logs = b.softmax(x, axis, "log_softmax")
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return b.unary("negative", b.gather((logs, target), shape))


def _ctc_loss(b: Builder, call: LayerCall) -> Tensor:
    """Connectionist temporal classification, a sum over alignments (Graves et al. 2006)."""
    target, output = required(b, call, 0, "target", "int32"), required(b, call, 1, "output")
    lengths = [
        required(b, call, i, name, "int32")
        for i, name in ((2, "target_length"), (3, "output_length"))
    ]
    type_ = TensorType(target.shape[:1], promote((output.dtype, "float32")))
    return b.opaque("ctc_loss", (target, output, *lengths), type_)[0]


def _ctc_decode(b: Builder, call: LayerCall) -> list[Tensor]:
    """Decoded sequences (paths, B, T) and their scores (B, paths)."""
    x, lengths = required(b, call, 0, "inputs"), required(b, call, 1, "sequence_lengths", "int32")
    greedy = call.config.get("strategy", "greedy") == "greedy"
    paths = 1 if greedy else int(call.config.get("top_paths", 1))
    batch, steps = x.shape[:2]
    scores = TensorType((batch, paths), promote((x.dtype, "float32")))
    return list(
        b.opaque("ctc_decode", (x, lengths), TensorType((paths, batch, steps), "int32"), scores)
    )


def _psnr(b: Builder, call: LayerCall) -> Tensor:
    """20·log₁₀(max) - 10·log₁₀(mean squared error)."""
    x, y = required(b, call, 0, "x1"), required(b, call, 1, "x2")
    error = b.reduce("mean", b.unary("square", b.binary("subtract", x, y)))
    scaled = b.binary("multiply", b.unary("log10", error), 10.0)
    return b.binary("subtract", 1.0, scaled, stated(call, "float32"))


OPS: Mapping[str, Lowering] = {
    "op:BinaryCrossentropy": _binary_crossentropy,
    "op:CTCDecode": _ctc_decode,
    "op:CTCLoss": _ctc_loss,
    "op:CategoricalCrossentropy": _categorical_crossentropy,
    "op:PSNR": _psnr,
    "op:SparseCategoricalCrossentropy": _sparse_categorical_crossentropy,
}
