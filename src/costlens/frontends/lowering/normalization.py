"""Normalisation layers, each one node: by stored statistics, or by the input's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.ir.types import Shape


def _listed(axis: int | Sequence[int]) -> tuple[int, ...]:
    """A config's ``axis``, a number or several, in the order of the weights' axes.

    Newer versions of Keras sort it when they build the layer.
    """
    return (axis,) if isinstance(axis, int) else tuple(axis)


def _retyped(b: Builder, x: Tensor) -> dict[str, str]:
    """Keras computes in float32 at least and gives the compute dtype back."""
    return {} if x.dtype == b.policy.compute else {"dtype": b.policy.compute}


def _affine(b: Builder, shape: Shape, scale: bool, center: bool) -> list[Tensor]:
    made = [b.weight("gamma", shape)] if scale else []
    return made + ([b.weight("beta", shape)] if center else [])


def _batch_normalization(b: Builder, call: LayerCall) -> Tensor:
    """Inference form (Ioffe & Szegedy 2015); a mask and renormalisation only matter in training.

    The moving statistics, and batch renormalisation's, are parameters that are never trainable.
    """
    config, x = call.config, call.x
    axis = _listed(config.get("axis", -1))[0] % x.rank
    shape = (x.shape[axis],)
    stats = _affine(b, shape, config.get("scale", True), config.get("center", True))
    stats += [b.weight(f"moving_{name}", shape, trainable=False) for name in ("mean", "variance")]
    if config.get("renorm"):
        for name in ("moving_stddev", "renorm_mean", "renorm_stddev"):
            b.weight(name, shape, trainable=False)
    return b.emit("batch_norm", (x, *stats), axis=axis, **_retyped(b, x))


def _layer_normalization(b: Builder, call: LayerCall) -> Tensor:
    """Ba et al. 2016. ``rms_scaling`` divides x itself by its deviation: no shift is learnt."""
    config, x = call.config, call.x
    axes = _listed(config.get("axis", -1))
    rms = bool(config.get("rms_scaling"))
    scale = bool(config.get("scale", True)) or rms
    center = bool(config.get("center", True)) and not rms
    weights = _affine(b, tuple(x.shape[axis] for axis in axes), scale, center)
    return _norm(b, "layer", x, axes, weights, scale=scale, center=center)


def _group_normalization(b: Builder, call: LayerCall) -> Tensor:
    """Wu & He 2018; groups -1 is one per channel. All axes but the batch's are normalised."""
    config, x = call.config, call.x
    size = x.shape[config.get("axis", -1)]
    given = config.get("groups", 32)
    scale, center = bool(config.get("scale", True)), bool(config.get("center", True))
    weights = _affine(b, (size,), scale, center)
    return _norm(
        b,
        "group",
        x,
        range(1, x.rank),
        weights,
        groups=size if given == -1 else given,
        scale=scale,
        center=center,
    )


def _rms_normalization(b: Builder, call: LayerCall) -> Tensor:
    """Zhang & Sennrich 2019."""
    x, axes = call.x, _listed(call.config.get("axis", -1))
    scale = b.weight("scale", tuple(x.shape[axis] for axis in axes))
    return _norm(b, "rms", x, axes, [scale], scale=True)


def _unit_normalization(b: Builder, call: LayerCall) -> Tensor:
    """x over its L2 norm."""
    return _norm(b, "unit", call.x, _listed(call.config.get("axis", -1)), [])


def _norm(
    b: Builder,
    fn: str,
    x: Tensor,
    axes: Sequence[int],
    weights: Sequence[Tensor],
    **attrs: bool | int,
) -> Tensor:
    over = tuple(sorted(axis % x.rank for axis in axes))
    label = f"{fn}_norm"
    return b.emit("norm", (x, *weights), label=label, fn=fn, axes=over, **attrs, **_retyped(b, x))


LAYERS: Mapping[str, Lowering] = {
    "layer:BatchNormalization": _batch_normalization,
    "layer:LayerNormalization": _layer_normalization,
    "layer:GroupNormalization": _group_normalization,
    "layer:RMSNormalization": _rms_normalization,
    "layer:UnitNormalization": _unit_normalization,
}
