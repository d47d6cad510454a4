"""Quantised contractions: what Dense and EinsumDense compute after ``quantize(mode)``.

The kernel is stored as Keras packs it; scales, zero points, group indices and amax histories
are stored beside it and are no parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Unreadable
from costlens.ir.graph import Graph
from costlens.ir.types import Shape, is_float


def packing_noted(graph: Graph) -> Graph:
    """The graph, with Keras's own count of its parameters where some are stored packed."""
    params = sum(weight.params for weight in graph.weights.values())
    by_keras = sum(weight.type.size for weight in graph.weights.values())
    if params == by_keras:
        return graph
    note = (
        f"Quantised kernels count at the shape they had before packing, {params:,} parameters in "
        f"all; Keras's count_params() gives {by_keras:,}, packed and with scales."
    )
    return replace(graph, notes=(*graph.notes, note))


@dataclass(frozen=True, slots=True)
class Contraction:
    """What a dense layer contracts, and how its kernel is laid out when it is quantised.

    ``kernel`` is the kernel's own shape; ``scale`` the shape of an int8 kernel's scale; ``grid``
    the rows and columns an int4 kernel is packed as, ``gptq_grid`` a gptq or awq one.
    """

    label: str
    equation: str
    kernel: Shape
    bias: Shape | None
    scale: Shape
    grid: tuple[int, int]
    gptq_grid: tuple[int, int]

    @property
    def labels(self) -> tuple[str, str, str]:
        """Input, kernel and output labels."""
        inputs, output = self.equation.split("->")
        x, kernel = inputs.split(",")
        return x, kernel, output


def contract(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    """The contraction in the arithmetic of the policy's quantisation mode, LoRA included."""
    mode = b.policy.quantization or ""
    if mode not in _MODES:
        raise Unreadable(f"{call.layer.kind} has no {mode} form")
    y = _MODES[mode](b, call, x, c)
    return _add_lora(b, call, x, y, c) if mode in ("int8", "int4") else y


def scale_weight(b: Builder, name: str, shape: Sequence[int], dtype: str | None = None) -> Tensor:
    """A variable that belongs to the quantisation: stored, and no parameter."""
    return b.weight(name, shape, dtype, trainable=False, auxiliary=True)


def quantizes_inputs(call: LayerCall, default: bool) -> bool:
    """Whether the layer quantises its inputs on each call, by its quantisation config."""
    given = call.config.get("quantization_config")
    if given is None:
        return default
    return (given.get("config") or {}).get("activation_quantizer") is not None


def abs_max_quantize(b: Builder, x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """int8 values and their scale 127 / (max |x| + ε) over ``axes``, which stay as 1."""
    peak = b.reduce("max", b.unary("abs", x), axes, keepdims=True)
    scale = b.binary("divide", 127.0, b.binary("add", peak, 1e-7))
    y = b.unary("clip", b.unary("round", b.binary("multiply", x, scale)))
    return b.cast(y, "int8"), scale


def unpack_int4(b: Builder, packed: Tensor, shape: Shape) -> Tensor:
    """Two 4-bit values per byte, one per element."""
    return b.rearrange("unpack_int4", packed, shape)


def dequantize(b: Builder, values: Tensor, scale: Tensor, zero: Tensor, groups: Tensor) -> Tensor:
    """(values - zero) · scale, with the scale and zero point of each element's group."""
    index = b.cast(groups, "int32")
    scales = b.gather((scale, index), values.shape)
    zeros = b.cast(b.gather((zero, index), values.shape), scales.dtype)
    return b.binary("multiply", b.binary("subtract", values, zeros), scales)


def rounded_bias(b: Builder, bias: Tensor) -> Tensor:
    """A float8 layer that computes in float32 rounds its bias through bfloat16."""
    if b.policy.quantization != "float8" or b.policy.compute != "float32":
        return bias
    return b.cast(b.cast(bias, "bfloat16"), bias.dtype)


def divided(b: Builder, y: Tensor, scale: Tensor) -> Tensor:
    """A product of quantised values in the compute dtype, over its scale."""
    return b.binary("divide", b.cast(y, b.policy.compute), scale)


def product(b: Builder, equation: str, x: Tensor, kernel: Tensor, label: str) -> Tensor:
    """A contraction; two int8 operands accumulate in int32."""
    both = x.dtype == kernel.dtype == "int8"
    return b.einsum(equation, x, kernel, dtype="int32" if both else None, label=label)


def _quantized_inputs(b: Builder, x: Tensor, c: Contraction) -> tuple[Tensor, Tensor]:
    """int8 inputs, and their scale with its axes where the output has them."""
    source, _, output = c.labels
    axes = [axis for axis, label in enumerate(source) if label not in output]
    y, scale = abs_max_quantize(b, x, axes)
    kept = [axis for axis in range(x.rank) if axis not in axes]
    order = sorted(kept, key=lambda axis: output.index(source[axis]))
    scale = b.transpose(scale, (*order, *axes))
    sizes = dict(zip(source, x.shape, strict=True))
    return y, b.reshape(scale, [sizes[n] if n in source else 1 for n in output])


def _int8(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    kernel = b.weight("kernel", c.kernel, "int8", trainable=False)
    scale = scale_weight(b, "kernel_scale", c.scale)
    return _scaled(b, call, x, kernel, scale, c, default=True)


def _scaled(
    b: Builder,
    call: LayerCall,
    x: Tensor,
    kernel: Tensor,
    scale: Tensor,
    c: Contraction,
    default: bool,
) -> Tensor:
    """Contract with the integer kernel, then divide by the scales of both sides."""
    if quantizes_inputs(call, default):
        x, inputs_scale = _quantized_inputs(b, x, c)
        scale = b.binary("multiply", inputs_scale, scale)
    return divided(b, product(b, c.equation, x, kernel, c.label), scale)


def _int4(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    """Unpacked on each call; one scale per column, or a scale and zero point per block of rows."""
    rows, columns = c.grid
    packed = b.weight("kernel", (rows, -(-columns // 2)), "int8", trainable=False, logical=c.kernel)
    values = unpack_int4(b, packed, c.grid)
    block = b.policy.block_size
    if block is None:
        return _int4_per_channel(b, call, x, values, c)
    shape = (-(-rows // block), columns)
    scale = scale_weight(b, "kernel_scale", shape)
    zero = scale_weight(b, "kernel_zero", shape, "int8")
    groups = scale_weight(b, "g_idx", (rows,), "float32")
    kernel = b.cast(dequantize(b, values, scale, zero, groups), b.policy.compute)
    return b.einsum(c.equation, x, b.reshape(kernel, c.kernel), label=c.label)


def _int4_per_channel(
    b: Builder, call: LayerCall, x: Tensor, values: Tensor, c: Contraction
) -> Tensor:
    """Dense contracts with the integers; EinsumDense makes a float kernel first."""
    scale = scale_weight(b, "kernel_scale", (c.grid[1],))
    if call.layer.kind == "Dense":
        return _scaled(b, call, x, values, scale, c, default=False)
    kernel = b.reshape(divided(b, values, scale), c.kernel)
    if not quantizes_inputs(call, False):
        return b.einsum(c.equation, x, kernel, label=c.label)
    x, inputs_scale = _quantized_inputs(b, x, c)
    return divided(b, product(b, c.equation, x, kernel, c.label), inputs_scale)


def _add_lora(b: Builder, call: LayerCall, x: Tensor, y: Tensor, c: Contraction) -> Tensor:
    """y + (α/r)·(x·A)·B on the unquantised inputs (Hu et al. 2021)."""
    rank = call.config.get("lora_rank")
    if not rank:
        return y
    a = b.weight("lora_kernel_a", (*c.kernel[:-1], rank), "float32")
    bb = b.weight("lora_kernel_b", (rank, c.kernel[-1]), "float32")
    low = b.einsum(c.equation, x, a, label="lora_a")
    axes = ascii_lowercase[: low.rank - 1]
    delta = b.einsum(f"{axes}R,RO->{axes}O", low, bb, label="lora_b")
    scale = (call.config.get("lora_alpha") or rank) / rank
    return b.cast(b.binary("add", y, b.binary("multiply", delta, scale)), b.policy.compute)


def _float8(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    """Both operands rounded through float8 and scaled back; the amax histories serve training."""
    kernel = b.weight("kernel", c.kernel)
    scales = []
    for name in ("inputs", "kernel", "outputs_grad"):
        scales.append(b.weight(f"{name}_scale", (), "float32", auxiliary=True))
        b.weight(f"{name}_amax_history", (b.policy.history,), "float32", auxiliary=True)
    x, kernel = _through_float8(b, x, scales[0]), _through_float8(b, kernel, scales[1])
    return b.einsum(c.equation, x, kernel, label=c.label)


def _through_float8(b: Builder, x: Tensor, scale: Tensor) -> Tensor:
    y = b.unary("clip", b.binary("divide", x, scale))
    y = b.cast(b.cast(y, "float8_e4m3fn"), b.policy.compute)
    return b.binary("multiply", y, scale)


def _gptq(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    """GPTQ (Frantar et al. 2022): the kernel rebuilt from its groups on each call.

    Before calibration the layer still holds, and uses, its float kernel.
    """
    return _grouped(b, call, x, c, packed=b.policy.bits == 4, awq=False)


def _awq(b: Builder, call: LayerCall, x: Tensor, c: Contraction) -> Tensor:
    """AWQ (Lin et al. 2023): as GPTQ in 4 bits, then divided by a scale per input channel."""
    return _grouped(b, call, x, c, packed=True, awq=True)


def _grouped(
    b: Builder, call: LayerCall, x: Tensor, c: Contraction, packed: bool, awq: bool
) -> Tensor:
    rows, columns = c.gptq_grid
    own = _float_kernel(b, c)
    stored = b.weight(
        "kernel" if own is None else "quantized_kernel",
        (-(-columns // 2) if packed else columns, rows),
        "uint8",
        trainable=False,
        logical=c.kernel,
        auxiliary=own is not None,
    )
    block = b.policy.block_size
    shape = (columns, 1 if block is None else -(-rows // block))
    scale = scale_weight(b, "kernel_scale", shape)
    dense = call.layer.kind == "Dense"
    zero = scale_weight(b, "kernel_zero" if dense else "zero_point", shape, "uint8")
    channels = scale_weight(b, "awq_scales", (rows,)) if awq else None
    groups = scale_weight(b, "g_idx", (rows,), "float32")
    if own is not None:
        return b.einsum(c.equation, x, own, label=c.label)
    values = unpack_int4(b, stored, (columns, rows)) if packed else stored
    kernel = b.transpose(dequantize(b, values, scale, zero, groups), (1, 0))
    if channels is not None:
        kernel = b.binary("divide", kernel, b.reshape(channels, (rows, 1)))
    return b.einsum(c.equation, x, b.reshape(kernel, c.kernel), label=c.label)


def _float_kernel(b: Builder, c: Contraction) -> Tensor | None:
    """The float kernel of a layer that waits for calibration; a saved one never does."""
    left = b.row.left if b.row is not None and b.row.left is not None else []
    for stored in left:
        if stored.name == "kernel" and is_float(stored.type.dtype):
            return b.weight("kernel", c.kernel)
    return None


_MODES: Mapping[str, Callable[[Builder, LayerCall, Tensor, Contraction], Tensor]] = {
    "int8": _int8,
    "int4": _int4,
    "float8": _float8,
    "gptq": _gptq,
    "awq": _awq,
}
