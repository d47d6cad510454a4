"""Spectrogram layers: one is a convolution with Fourier kernels, the other an FFT."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Constant, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.convolution import convolve
from costlens.frontends.lowering.geometry import channels_last
from costlens.ir.types import TensorType


def _signal(b: Builder, call: LayerCall, kernel: Tensor) -> Tensor:
    """(B, T, C) or (B, C, T), each channel convolved with the kernel → (B, C, F, T')."""
    x, last = call.x, channels_last(call.config)
    step = call.config.get("frame_step") or call.config["frame_length"] // 2
    if last:
        x = b.transpose(x, (0, 2, 1))
    batch, channels, time = x.shape
    x = b.reshape(x, (batch * channels, time, 1) if last else (batch * channels, 1, time))
    padding = str(call.config.get("padding", "valid"))
    y = convolve(b, x, kernel, strides=(step,), padding=padding, dilation=(1,), last=last)
    if last:
        y = b.transpose(y, (0, 2, 1))
    return b.reshape(y, (batch, channels, *y.shape[1:]))


def _arrange(b: Builder, call: LayerCall, y: Tensor) -> Tensor:
    """(B, C, F, T) in the order that the layer returns."""
    last, expand = channels_last(call.config), call.config.get("expand_dims")
    if expand:
        return b.transpose(y, (0, 3, 2, 1) if last else (0, 1, 3, 2))
    batch, channels, frequencies, time = y.shape
    y = b.reshape(y, (batch, channels * frequencies, time))
    return b.transpose(y, (0, 2, 1)) if last else y


def _power(b: Builder, real: Tensor, imaginary: Tensor) -> Tensor:
    return b.binary("add", b.unary("square", real), b.unary("square", imaginary))


def _psd(b: Builder, power: Tensor) -> Tensor:
    """Twice the power, but for the first and the last frequency."""
    frequencies = power.shape[2]
    inner = b.take(power, 2, 1, max(1, frequencies - 1))
    return b.binary("add", power, b.pad(inner, ((0, 0), (0, 0), (1, 1), (0, 0))))


def _stft(b: Builder, call: LayerCall) -> Tensor:
    """Short-time Fourier transform as a convolution: its kernels are weights of the layer."""
    config, mode = call.config, call.config.get("mode", "log")
    frame = config["frame_length"]
    fft = config.get("fft_length") or 1 << max(0, frame - 1).bit_length()
    kernel = (frame, 1, fft // 2 + 1)
    parts = []
    for name in ("real", "imag"):
        if mode != {"real": "imag", "imag": "real"}[name]:
            parts.append(b.weight(f"{name}_kernel", kernel))
    signals = [_signal(b, call, part) for part in parts]
    if mode in ("real", "imag"):
        return _arrange(b, call, signals[0])
    if mode == "angle":
        return _arrange(b, call, b.binary("arctan2", signals[1], signals[0]))
    if mode == "stft":
        return _arrange(b, call, b.concat(signals, 2))
    power = _power(b, signals[0], signals[1])
    if mode == "psd":
        return _arrange(b, call, _psd(b, power))
    linear = _arrange(b, call, b.unary("sqrt", b.binary("maximum", power, 1e-7)))
    return linear if mode == "magnitude" else b.unary("log", b.binary("maximum", linear, 1e-7))


def _mel(b: Builder, call: LayerCall) -> Tensor:
    """(…, T) → (…, mels, frames): FFT (opaque), magnitude, mel matrix, decibels.

    The mel matrix depends on the config alone and is taken as a constant. The number of
    frames is the one that Keras declares.
    """
    config, compute = call.config, b.policy.compute
    dtype = compute if compute in ("float32", "float64") else "float32"
    x = b.cast(call.x, dtype)
    step, bins = config["sequence_stride"], config["fft_length"] // 2 + 1
    frames = (x.shape[-1] + step + 1) // step
    half = TensorType((*x.shape[:-1], frames, bins), dtype)
    real, imaginary = b.opaque("stft", (x,), half, half)
    y = b.unary("sqrt", _power(b, real, imaginary))
    y = b.binary("power", y, float(config.get("mag_exp", 2.0)))
    mels = config["num_mel_bins"]
    matrix = b.constant(Constant(TensorType((bins, mels), "float32"), (call.layer.identity, "mel")))
    batch = "ab"[: y.rank - 1]
    y = b.einsum(f"{batch}y,yz->{batch}z", y, matrix, dtype, label="mel")
    if config.get("power_to_db", True):
        y = _decibels(b, y)
    return b.cast(b.transpose(y, (*range(y.rank - 2), y.rank - 1, y.rank - 2)), compute)


def _decibels(b: Builder, x: Tensor) -> Tensor:
    """10·log10 of the power over the reference, down to ``top_db`` below its maximum."""
    y = b.unary("log10", b.binary("maximum", x, 1e-10))
    y = b.binary("subtract", b.binary("multiply", y, 10.0), 1.0)
    floor = b.binary("subtract", b.reduce("max", y), 80.0)
    return b.binary("maximum", y, floor)


LAYERS: Mapping[str, Lowering] = {
    "layer:STFTSpectrogram": _stft,
    "layer:MelSpectrogram": _mel,
}
