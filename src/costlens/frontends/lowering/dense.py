"""Dense and EinsumDense: one contraction, a bias, an activation."""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from string import ascii_letters, ascii_lowercase

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering import quantized
from costlens.frontends.lowering.activations import activate
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.convolution import bias_add, with_lora
from costlens.frontends.lowering.quantized import Contraction
from costlens.ir.types import Shape


def _last_equation(rank: int) -> str:
    """The equation of a (…, n) operand of this rank times an (n, units) one."""
    axes = ascii_lowercase[: rank - 1]
    return f"{axes}Y,YZ->{axes}Z"


def _apply(b: Builder, call: LayerCall, x: Tensor, contraction: Contraction) -> Tensor:
    """The contraction in the policy's arithmetic, then bias and activation."""
    if b.policy.quantization:
        y = quantized.contract(b, call, x, contraction)
    else:
        kernel = b.weight("kernel", contraction.kernel, trainable=not call.config.get("lora_rank"))
        kernel = with_lora(b, call, kernel)
        y = b.einsum(contraction.equation, x, kernel, label=contraction.label)
    if contraction.bias is not None:
        bias = b.weight("bias", contraction.bias)
        y = bias_add(b, y, quantized.rounded_bias(b, bias))
    return activate(b, call.config.get("activation"), y)


def _dense(b: Builder, call: LayerCall) -> Tensor:
    x, units = call.x, call.config["units"]
    shape = (x.shape[-1], units)
    bias = (units,) if call.config.get("use_bias", True) else None
    equation = _last_equation(x.rank)
    return _apply(b, call, x, Contraction("dense", equation, shape, bias, (units,), shape, shape))


def explicit(equation: str, rank: int) -> tuple[str, str, str]:
    """The labels of input, kernel and output, with an ellipsis spelt out for this input rank."""
    inputs, output = equation.replace(" ", "").split("->")
    x, kernel = inputs.split(",")
    free = [letter for letter in ascii_letters if letter not in equation]
    dots = "".join(free[: max(0, rank - len(x.replace("...", "")))])
    return x.replace("...", dots), kernel, output.replace("...", dots)


def _einsum_dense(b: Builder, call: LayerCall) -> Tensor:
    """einsum(equation, x, kernel): label sizes come from the input and ``output_shape``.

    ``output_shape`` leaves out the batch axis and what an ellipsis stands for, so that it lines
    up with the output's own labels from the right.
    """
    config, x = call.config, call.x
    source, kernel, output = explicit(config["equation"], x.rank)
    given = config["output_shape"]
    partial = (given,) if isinstance(given, int) else tuple(given)
    sizes = dict(zip(source, x.shape, strict=True))
    own = config["equation"].replace(" ", "").split("->")[1].replace("...", "")
    for label, size in zip(reversed(own), reversed(partial), strict=False):
        if size is not None:
            sizes.setdefault(label, index(size))
    shape = tuple(sizes[label] for label in kernel)
    contraction = Contraction(
        "einsum_dense",
        f"{source},{kernel}->{output}",
        shape,
        _bias_shape(config["equation"], config.get("bias_axes"), sizes, x.rank),
        tuple(sizes[label] if label in kernel else 1 for label in output),
        _int4_grid(shape, kernel, output),
        _gptq_grid(shape),
    )
    return _apply(b, call, x, contraction)


def _bias_shape(
    equation: str, axes: str | None, sizes: Mapping[str, int], rank: int
) -> Shape | None:
    """From the first bias axis on: its size where an output axis has a bias, else 1."""
    if axes is None:
        return None
    source, output = equation.replace(" ", "").split("->")
    own = output.replace("...", "")
    first = min(own.find(label) for label in axes)
    shape = tuple(sizes[label] if label in axes else 1 for label in own[first:])
    if not output.endswith("..."):
        return shape
    return shape + (1,) * (rank - len(source.split(",")[0].replace("...", "")))


def _int4_grid(shape: Shape, kernel: str, output: str) -> tuple[int, int]:
    """Rows and columns that an int4 kernel is packed as: reduced axes, then the others."""
    rows = columns = 1
    for label, size in zip(kernel, shape, strict=True):
        if label in output:
            columns *= size
        else:
            rows *= size
    return rows, columns


def _gptq_grid(shape: Shape) -> tuple[int, int]:
    """Rows and columns of a gptq or awq kernel: its widest axis tells which side is the model's."""
    if len(shape) != 3:
        return shape[0], shape[-1]
    if shape.index(max(shape)) == 0:
        return shape[0], shape[1] * shape[2]
    return shape[0] * shape[1], shape[2]


LAYERS: Mapping[str, Lowering] = {
    "layer:Dense": _dense,
    "layer:EinsumDense": _einsum_dense,
}
