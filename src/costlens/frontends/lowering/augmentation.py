"""Random augmentation: at inference each layer returns its images, in its compute dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree, map_leaves
from costlens.frontends.lowering.build import Builder, Lowering

_NAMES = (
    "AugMix CutMix MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter "
    "RandomContrast RandomElasticTransform RandomErasing RandomFlip RandomGaussianBlur RandomHue "
    "RandomInvert RandomPerspective RandomPosterization RandomRotation RandomSaturation "
    "RandomSharpness RandomShear RandomTranslation RandomZoom Solarization"
).split()

_SAME_DTYPE = ("Equalization", "RandomGrayscale")


def _unchanged(b: Builder, call: LayerCall) -> Tree:
    """Images, or a dictionary of images, labels and boxes, as Keras declares them."""

    def view(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return b.cast(Tensor(b.identity(leaf).id, leaf.type), b.policy.compute)

    return map_leaves(view, call.arg(0, "data"))


def _same(b: Builder, call: LayerCall) -> Tensor:
    return b.identity(call.x)


def _max_boxes(b: Builder, call: LayerCall) -> Tree:
    """Boxes (B, n, 4) and labels (B, n) cut or filled up to a number of boxes."""
    data, number = call.arg(0, "data"), int(call.config["max_number"])
    if not isinstance(data, Mapping) or "bounding_boxes" not in data:
        return _unchanged(b, call)

    def limited(x: Tensor) -> Tensor:
        count = x.shape[1]
        x = b.take(x, 1, 0, min(count, number))
        missing = ((0, 0), (0, max(0, number - count)), *((0, 0),) * (x.rank - 2))
        return b.cast(b.pad(x, missing), b.policy.compute)

    boxes = {key: limited(x) for key, x in data["bounding_boxes"].items()}
    rest = {key: x for key, x in data.items() if key != "bounding_boxes"}
    kept: dict[str, Any] = {key: b.cast(b.identity(x), b.policy.compute) for key, x in rest.items()}
    return {**kept, "bounding_boxes": boxes}


LAYERS: Mapping[str, Lowering] = {
    **{f"layer:{name}": _unchanged for name in _NAMES},
    **{f"layer:{name}": _same for name in _SAME_DTYPE},
    "layer:MaxNumBoundingBoxes": _max_boxes,
}
