"""ConvNeXt: a depthwise k×k, then a token-wise expansion and contraction (Liu et al. 2022)."""

from __future__ import annotations

from collections.abc import Iterator

from costlens.motifs.draft import Draft, strides_of
from costlens.motifs.match import (
    Form,
    Found,
    Match,
    Miss,
    Motif,
    is_depthwise,
    is_pointwise,
    residual,
)
from costlens.motifs.skeleton import Skeleton


def find(k: Skeleton, found: Found) -> Iterator[Match | Miss]:
    """Depthwise → activated 1×1 → 1×1, an addition with the identity around the three."""
    for spatial in k.mixes:
        if not is_depthwise(spatial) or found.claimed(spatial, "inverted_residual"):
            continue
        expand = k.sole(spatial)
        contract = k.sole(expand) if expand else None
        if expand is None or contract is None:
            continue
        if not (is_pointwise(expand) and is_pointwise(contract)):
            continue
        assert spatial.mix and expand.mix and contract.mix
        end = k.sole(contract)
        why = ""
        if not contract.links[0].activated:
            why = "nothing bends what stands between its 1×1s"
        elif end is None or residual(k, end, contract, spatial.links[0].source) is None:
            why = "no addition with a shortcut around it follows"
        if why or end is None:
            yield Miss("convnext", contract.index, why)
            continue
        parts = {
            "spatial": (spatial.index,),
            "expand": (expand.index,),
            "contract": (contract.index,),
            "add": (end.index,),
        }
        sizes = {
            "in_channels": spatial.mix.cin,
            "width": expand.mix.cout,
            "out_channels": contract.mix.cout,
            "kernel": max(spatial.mix.kernel),
            "positions": k.positions(contract),
        }
        yield Match("convnext", parts, sizes, (end.index,))


def forms(k: Skeleton, match: Match) -> Iterator[Form]:
    """A plain k×k in place of the depthwise one; one k×k in place of all three."""
    spatial, contract = (k.units[match.parts[part][0]] for part in ("spatial", "contract"))
    assert spatial.mix and contract.mix
    x = spatial.links[0].value
    draft = Draft(k)
    draft.swap(spatial, draft.conv(x, spatial, spatial.mix.cout, spatial))
    yield Form("k×k not depthwise", draft.patch())
    draft = Draft(k)
    strides = strides_of(spatial, contract)
    draft.swap(contract, draft.conv(x, contract, contract.mix.cout, spatial, strides=strides))
    yield Form("one k×k", draft.patch())


MOTIF = Motif(
    "convnext",
    "ConvNeXt block",
    "a depthwise k×k, an activated 1×1, a 1×1, and an addition with a shortcut around the three",
    "Liu et al., A ConvNet for the 2020s, CVPR 2022, arXiv:2201.03545",
    find,
    forms,
)
