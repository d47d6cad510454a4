"""Depthwise separable convolutions: filter each channel, then mix them (Howard et al. 2017)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.motifs.draft import Draft, strides_of
from costlens.motifs.match import Form, Found, Match, Miss, Motif, is_depthwise, is_pointwise
from costlens.motifs.skeleton import Skeleton


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """Depthwise k×k → 1×1, outside the blocks that have such a pair of their own."""
    for spatial in k.mixes:
        if not is_depthwise(spatial):
            continue
        point = k.sole(spatial)
        if not is_pointwise(point) or point is None:
            reason = "no 1×1 alone reads its depthwise convolution"
            if not found.claimed(spatial):
                yield Miss("depthwise_separable", spatial.index, reason)
            continue
        assert spatial.mix and point.mix
        if found.claimed(spatial, "inverted_residual", "convnext", "grouped_pointwise"):
            continue
        if point.mix.groups > 1:
            yield Miss("depthwise_separable", point.index, "its 1×1 is grouped")
            continue
        parts = {"depthwise": (spatial.index,), "pointwise": (point.index,)}
        sizes = {
            "in_channels": spatial.mix.cin,
            "multiplier": spatial.mix.cout // spatial.mix.cin,
            "out_channels": point.mix.cout,
            "kernel": max(spatial.mix.kernel),
            "stride": spatial.mix.stride * point.mix.stride,
            "positions": k.positions(point),
        }
        yield Match("depthwise_separable", parts, sizes, (point.index,))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """One k×k that filters and mixes at once."""
    spatial, point = (k.units[match.parts[part][0]] for part in ("depthwise", "pointwise"))
    draft = Draft(k)
    x, cout = spatial.links[0].value, match.sizes["out_channels"]
    strides = strides_of(spatial, point)
    draft.swap(point, draft.conv(x, point, cout, spatial, strides=strides))
    yield Form("full k×k", draft.patch())


MOTIF = Motif(
    "depthwise_separable",
    "Depthwise separable convolution",
    "a depthwise k×k that one ungrouped 1×1 reads, not part of an inverted residual or a ConvNeXt "
    "block",
    "Howard et al., MobileNets, 2017, arXiv:1704.04861",
    find,
    forms,
)
