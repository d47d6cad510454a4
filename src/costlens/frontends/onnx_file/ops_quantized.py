"""ONNX's quantised operators. Dtypes are as stored; a scale and a zero point are no parameters."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Tensor
from costlens.frontends.onnx_file.ops_nn import convolution, with_bias
from costlens.frontends.onnx_file.tensors import dtype_name
from costlens.frontends.opfile.parts import dense, matmul
from costlens.frontends.opfile.site import Handler, Made, Site


def _quantized(site: Site, x: Tensor, dtype: str) -> Tensor:
    """Scaled, shifted, rounded."""
    b = site.b
    return b.cast(b.unary("round", b.binary("add", b.unary("scale", x), 0.0)), dtype)


def _quantize(site: Site) -> Tensor:
    number = int(site.attr("output_dtype", 0))
    dtype = dtype_name(number) if number else "uint8"
    return _quantized(site, site.x(), site.type(2).dtype if site.has(2) else dtype)


def _dequantize(site: Site) -> Tensor:
    b, x = site.b, site.x()
    return b.unary("scale", b.binary("subtract", b.cast(x, site.type(1).dtype), 0.0))


def _dynamic_quantize(site: Site) -> Made:
    """The range of what comes in gives its scale and zero point."""
    b, x = site.b, site.x()
    most, least = b.reduce("max", x), b.reduce("min", x)
    scale = b.unary("scale", b.binary("subtract", most, least))
    zero = b.cast(b.unary("round", b.binary("divide", least, scale)), "uint8")
    return _quantized(site, x, "uint8"), scale, zero


def _q_linear_conv(site: Site) -> Tensor:
    """x, its scale and zero point, the kernel and its own, those of y, bias."""
    return with_bias(site, convolution(site, 0, 3, site.type(7).dtype), 8)


def _conv_integer(site: Site) -> Tensor:
    return convolution(site, 0, 1, "int32")


def _product(site: Site, kernel_at: int, dtype: str) -> Tensor:
    x, kernel = site.param(0, "kernel"), site.param(kernel_at, "kernel")
    if kernel.rank == 2 and x.rank > 1:
        return dense(site, x, kernel, dtype)
    return matmul(site, x, kernel, dtype=dtype)


def _matmul_integer(site: Site) -> Tensor:
    return _product(site, 1, "int32")


def _q_linear_matmul(site: Site) -> Tensor:
    return _product(site, 3, site.type(7).dtype)


def _q_gemm(site: Site) -> Tensor:
    """ONNX Runtime's: a, its scale and zero point, b and its own, c, those of y."""
    b, rows = site.b, site.type(3).shape
    turned = bool(site.attr("transA", 0)), bool(site.attr("transB", 0))
    kernel = site.param(3, "kernel", rows[::-1] if turned[1] else rows)
    dtype = site.type(8).dtype if site.has(8) else "float32"
    y = matmul(site, site.x(), kernel, (turned[0], False), "dense", dtype)
    if not site.has(6):
        return y
    bias = site.param(6, "bias")
    return b.emit("binary", (y, bias), label="bias_add", fn="add", dtype=dtype)


def _dynamic_matmul(site: Site) -> Tensor:
    """ONNX Runtime's: a is quantised on the way in."""
    b, x = site.b, site.x()
    float_ = x.dtype
    y = dense(site, _quantized(site, x, "uint8"), site.param(1, "kernel"), "int32")
    y = b.unary("scale", b.cast(y, float_))
    return b.binary("add", y, site.param(4, "bias")) if site.has(4) else y


def _q_binary(fn: str) -> Handler:
    """ONNX Runtime's: a, its scale and zero point, b and its own, those of y."""
    return lambda site: site.b.binary(fn, site.x(), site.x(3), site.type().dtype)


def _q_unary(fn: str) -> Handler:
    return lambda site: site.b.unary(fn, site.x())


def _q_concat(site: Site) -> Tensor:
    """ONNX Runtime's: scale and zero point of y, then every operand with its own."""
    xs = [site.x(at) for at in range(2, len(site.values), 3)]
    return site.b.concat(xs, int(site.attr("axis", 1)))


def _q_global_average_pool(site: Site) -> Tensor:
    x, last = site.x(), bool(site.attr("channels_last", 0))
    window = x.shape[1:-1] if last else x.shape[2:]
    return site.b.emit(
        "pool",
        (x,),
        label="global_average_pool",
        fn="average",
        window=window,
        strides=(1,) * len(window),
        padding=((0, 0),) * len(window),
        channels_last=last,
    )


HANDLERS: Mapping[str, Handler] = {
    "QuantizeLinear": _quantize,
    "com.microsoft.QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "com.microsoft.DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "QLinearConv": _q_linear_conv,
    "ConvInteger": _conv_integer,
    "MatMulInteger": _matmul_integer,
    "QLinearMatMul": _q_linear_matmul,
    "com.microsoft.QGemm": _q_gemm,
    "com.microsoft.DynamicQuantizeMatMul": _dynamic_matmul,
    "com.microsoft.QLinearAdd": _q_binary("add"),
    "com.microsoft.QLinearMul": _q_binary("multiply"),
    "com.microsoft.QLinearSigmoid": _q_unary("sigmoid"),
    "com.microsoft.QLinearLeakyRelu": _q_unary("leaky_relu"),
    "com.microsoft.QLinearConcat": _q_concat,
    "com.microsoft.QLinearGlobalAveragePool": _q_global_average_pool,
}
"""Handlers by the operator's name, with its domain where that is not ONNX's own."""
