"""``keras.ops`` of the math family: segments, top-k, distances, Fourier transforms, erf."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_arguments import required, stated
from costlens.frontends.lowering.ops_common import axes_of
from costlens.ir.ops import windows
from costlens.ir.types import TensorType, promote


def _elementwise(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        return b.unary(fn, call.x)

    return lowering


def _erfc(b: Builder, call: LayerCall) -> Tensor:
    return b.unary("erfc", call.x, promote((call.x.dtype, "float")))


def _erfinv(b: Builder, call: LayerCall) -> Tensor:
    """Half precision is computed in float32."""
    x = call.x
    half = x.dtype in ("float16", "bfloat16")
    return b.cast(b.unary("erfinv", b.cast(x, "float32") if half else x), x.dtype)


def fake_quantised(b: Builder, x: Tensor) -> Tensor:
    """Clip to the range, round to one of its steps, scale back; float32 at least."""
    y = b.unary("clip", b.cast(x, promote((x.dtype, "float32"))))
    y = b.binary("multiply", b.binary("subtract", y, 1.0), 1.0)
    y = b.binary("add", b.binary("subtract", y, 1.0), 0.5)
    return b.cast(b.binary("multiply", b.unary("floor", y), 1.0), x.dtype)


def _fake_quantisation(b: Builder, call: LayerCall) -> Tensor:
    return fake_quantised(b, required(b, call, 0, "inputs"))


def _segment(fn: str) -> Lowering:
    """Rows combined by segment id: one operation per element of the data."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        data = required(b, call, 0, "data")
        ids = required(b, call, 1, "segment_ids", "int32")
        count = call.config.get("num_segments")
        if count is None:
            count = b.open_length("the number of segments")
        shape = (int(count), *data.shape[1:])
        return b.emit("scatter", (ids, data), label="segment", shape=shape, fn=fn, dtype=data.dtype)

    return lowering


def _top_k(b: Builder, call: LayerCall) -> list[Tensor]:
    """The k largest of the last axis, and where they are: a partial sort."""
    x = call.x
    shape = (*x.shape[:-1], int(call.config["k"]))
    return list(b.opaque("top_k", (x,), TensorType(shape, x.dtype), TensorType(shape, "int32")))


def _in_top_k(b: Builder, call: LayerCall) -> Tensor:
    """Whether fewer than k predictions exceed the target's."""
    targets = required(b, call, 0, "targets", "int32")
    scores = required(b, call, 1, "predictions")
    own = b.reshape(b.gather((scores, targets), targets.shape), (*targets.shape, 1))
    above = b.reduce("count_nonzero", b.compare("greater", scores, own), -1, dtype="int32")
    return b.compare("less", above, int(call.config["k"]))


def _logsumexp(b: Builder, call: LayerCall) -> Tensor:
    config, x = call.config, call.x
    axes = axes_of(config.get("axis"), x.rank)
    dtype = stated(call, "float32")
    return b.reduce("logsumexp", x, axes, bool(config.get("keepdims")), dtype)


def _cdist(b: Builder, call: LayerCall) -> Tensor:
    """Euclidean distances of every row of x (…, m, d) to every row of y (…, n, d)."""
    x, y = required(b, call, 0, "x"), required(b, call, 1, "y")
    dtype = promote((x.dtype, y.dtype, "float"))
    rows = b.reshape(x, (*x.shape[:-1], 1, x.shape[-1]))
    columns = b.reshape(y, (*y.shape[:-2], 1, *y.shape[-2:]))
    difference = b.binary("subtract", rows, columns, dtype)
    return b.unary("sqrt", b.reduce("sum", b.unary("square", difference), -1))


def frames(b: Builder, x: Tensor, length: int, stride: int) -> Tensor:
    """Windows of the last axis, copied: (…, T) → (…, count, length)."""
    count = windows(x.shape[-1], length, stride, 1, (0, 0))
    return b.rearrange("frames", x, (*x.shape[:-1], count, length))


def _extract_sequences(b: Builder, call: LayerCall) -> Tensor:
    return frames(b, call.x, call.config["sequence_length"], call.config["sequence_stride"])


def _fourier(fn: str) -> Lowering:
    """A complex transform of (real, imaginary), of the same shape."""

    def lowering(b: Builder, call: LayerCall) -> list[Tensor]:
        real, imaginary = call.tensors
        return list(b.opaque(fn, (real, imaginary), real.type, imaginary.type))

    return lowering


def _rfft(b: Builder, call: LayerCall) -> list[Tensor]:
    length = call.config.get("fft_length") or call.x.shape[-1]
    return _half_spectrum(b, call.x, length)


def _half_spectrum(b: Builder, x: Tensor, length: int) -> list[Tensor]:
    type_ = TensorType((*x.shape[:-1], length // 2 + 1), x.dtype)
    return list(b.opaque("rfft", (x,), type_, type_))


def _irfft(b: Builder, call: LayerCall) -> Tensor:
    length = call.config.get("fft_length") or 2 * (call.x.shape[-1] - 1)
    return _from_spectrum(b, call.tensors, length)


def _from_spectrum(b: Builder, parts: list[Tensor], length: int) -> Tensor:
    type_ = TensorType((*parts[0].shape[:-1], length), parts[0].dtype)
    return b.opaque("irfft", parts, type_)[0]


def _windowed(b: Builder, call: LayerCall, x: Tensor, fn: str) -> Tensor:
    """Frames times the analysis or synthesis window; a window that is an array has no config."""
    window = call.config.get("window", "hann")
    if window is None:
        return x
    return b.binary("multiply", x, b.fill(x.shape[-1:], x.dtype, fn))


def _stft(b: Builder, call: LayerCall) -> list[Tensor]:
    """Short-time Fourier transform: reflect, cut into frames, window, transform each."""
    config, x = call.config, call.x
    length, stride = config["fft_length"], config["sequence_stride"]
    if config.get("center", True):
        x = b.pad(x, [(0, 0)] * (x.rank - 1) + [(length // 2, length // 2)], "reflect")
    x = _windowed(b, call, frames(b, x, length, stride), "window")
    return _half_spectrum(b, x, length)


def _istft(b: Builder, call: LayerCall) -> Tensor:
    """The inverse: transform each frame, window, add where frames overlap, cut to length."""
    config, (real, imaginary) = call.config, call.tensors
    length, stride = config["fft_length"], config["sequence_stride"]
    x = _from_spectrum(b, [real, imaginary], length)
    x = _windowed(b, call, x, "synthesis_window")
    full = (x.shape[-2] - 1) * stride + length
    shape = (*x.shape[:-2], full)
    y = b.emit("scatter", (x,), label="overlap_add", shape=shape, fn="add")
    kept = full - (length // 2 * 2 if config.get("center", True) else 0)
    kept = config["length"] if config.get("length") is not None else kept
    return y if kept == full else b.slice(y, (*shape[:-1], kept), "centre")


def _view_as_complex(b: Builder, call: LayerCall) -> Tensor:
    """(…, 2) read as real and imaginary parts."""
    return b.rearrange("complex", call.x, call.x.shape[:-1], stated(call, "complex64"))


def _view_as_real(b: Builder, call: LayerCall) -> Tensor:
    return b.rearrange("real_imag", call.x, (*call.x.shape, 2), stated(call, "float32"))


OPS: Mapping[str, Lowering] = {
    "op:CDist": _cdist,
    "op:Erf": _elementwise("erf"),
    "op:Erfc": _erfc,
    "op:Erfinv": _erfinv,
    "op:ExtractSequences": _extract_sequences,
    "op:FFT": _fourier("fft"),
    "op:FFT2": _fourier("fft2"),
    "op:FakeQuantWithMinMaxVars": _fake_quantisation,
    "op:IFFT2": _fourier("ifft2"),
    "op:IRFFT": _irfft,
    "op:ISTFT": _istft,
    "op:InTopK": _in_top_k,
    "op:Logsumexp": _logsumexp,
    "op:RFFT": _rfft,
    "op:Rsqrt": _elementwise("rsqrt"),
    "op:STFT": _stft,
    "op:SegmentMax": _segment("max"),
    "op:SegmentMin": _segment("min"),
    "op:SegmentProd": _segment("multiply"),
    "op:SegmentSum": _segment("add"),
    "op:TopK": _top_k,
    "op:ViewAsComplex": _view_as_complex,
    "op:ViewAsReal": _view_as_real,
}
